/* How a replica makes its own batches out of its sessions' commands
 * (protocol.md, Proposing again and Reads): either the replica's own
 * replica/proposer.h, or a model of it with more freedom (smaller batches,
 * fewer in flight, sessions that go away).  The model's rules:
 *
 *   - Commands go into batches in their order; reads ride without text in the
 *     next batch.  A batch of reads alone is empty.
 *   - A batch names the owner's last batch that is not empty, if that one has
 *     not come out of the order yet.
 *   - A session with commands in an empty batch that is not out adds nothing
 *     to a later batch: later batches do not name the empty one.
 *   - When an own batch comes out NULL or void, nothing is proposed until all
 *     own batches are out; then the commands of those that failed go first.
 *
 *   P1  own slots come out once each, in the order of proposing
 *   P2  the proposer answers a batch only if it counts, and then does, unless
 *       it is empty: that one may ride again behind earlier reads */
#ifndef SIM_OWNER_H
#define SIM_OWNER_H

#include "base/random.h"
#include "clients.h"
#include "plan.h"
#include "replica/proposer.h"

struct own_slot {
    uint64_t lap, proposed_us;
    struct command **commands;
    size_t count;
    bool is_empty;
};

struct command_queue {
    struct command **items;
    size_t count, capacity;
};

struct owner {
    const struct plan *plan;
    struct verdict *verdict;
    struct command_queue pending, again;
    struct own_slot *in_flight;
    size_t in_flight_head, in_flight_end, in_flight_capacity;
    bool is_draining;
    uint64_t stamp;
    int64_t clock_correction_ms;
    struct proposer proposer;
};

void owner_init(struct owner *owner, const struct plan *plan, struct verdict *verdict);
void owner_deinit(struct owner *owner);
void owner_add(struct owner *owner, struct command *command, uint64_t now_us);
bool owner_has_work(const struct owner *owner);
/* The next batch, or NULL if there is nothing to propose now.  When a batch
 * was returned, owner_proposed tells the slot it got. */
struct batch *owner_make(struct owner *owner, struct random *random, uint64_t wall_ms, bool wants_clock_only,
                         uint64_t now_us);
void owner_proposed(struct owner *owner, uint64_t lap, uint64_t now_us);
/* When owner_make may have a batch that it does not have now; or UINT64_MAX. */
uint64_t owner_deadline_us(const struct owner *owner, uint64_t now_us);
/* A slot of the own lane came out; the returned batch's commands are the
 * caller's to answer if it did not fail, and its array is the caller's to
 * free.  False if the slot was not the one due. */
bool owner_out(struct owner *owner, const struct rabia_decided *decided, struct own_slot *own);
void owner_clock_refused(struct owner *owner, uint64_t wall_ms, uint64_t peer_ms);

#endif
