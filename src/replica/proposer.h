/* The owner's side of the order: commands of this replica's clients, gathered
 * into batches, proposed, answered when their batch is applied, proposed again
 * when their slot came to nothing (protocol.md, Proposing again, Reads).
 *
 * Pure logic: no I/O, no clock; the simulator runs it as it stands.
 *
 *   add --> open batch --> waiting --take/sent--> in flight --decided--> applied
 *                             ^                       |
 *                             +------ retry <---------+ NULL or void
 *
 * I1  A command's text is in one batch at a time.  It is proposed again only
 *     after the slot of that batch came out of the order as NULL or void.
 * I2  Commands of one client leave in the order they were added: batches leave
 *     in order, and a retried batch precedes everything younger.  To keep it
 *     so, nothing is proposed between the first NULL or void of an own batch
 *     and the end of all batches then in flight (draining).
 * I3  A batch names as its previous the newest batch in flight that is not
 *     empty.  An empty batch is never named: after a power cut one replica may
 *     have it as NULL and another as a batch, and they would disagree on what
 *     is void.
 * I4  Because of I3 nothing ties a batch to an empty one before it.  So one
 *     that is not empty, and holds a command of a client whose reads ride in
 *     an empty batch in flight, waits for that one: otherwise, were it
 *     forfeited, those reads would be answered behind what came after them.
 *     Empty batches follow each other freely: one that is decided while
 *     draining rides again behind those that came to nothing.
 * I5  A client is answered once per command: applied, or failed.  Commands of
 *     a batch fail together, and a failed batch is never proposed again.
 *
 * Limits: PROPOSER_IN_FLIGHT_MAX batches in flight, batch bytes from the
 * options, queued bytes reported for the caller's back-pressure. */
#ifndef REPLICA_PROPOSER_H
#define REPLICA_PROPOSER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "consensus/rabia.h"

enum { PROPOSER_IN_FLIGHT_MAX = 64 };

/* Embedded in whatever waits for answers; zero-initialised. */
struct proposer_client {
    uint64_t newest_batch; /* sequence of the batch that holds its newest command */
};

enum proposer_failure { PROPOSER_NO_QUORUM, PROPOSER_IN_DOUBT };

struct proposer_op {
    struct proposer_client *client; /* NULL once failed */
    const void *row;                /* the caller's; handed back */
    bool is_write;
};

/* A batch of this owner, with who waits for what in it. */
struct own_batch {
    struct list_link link;
    uint64_t sequence;   /* order of creation */
    uint64_t since_us;   /* when its first command was added */
    uint64_t lap;        /* while in flight */
    uint64_t hold_until; /* I4: unless empty, not before the batch with this sequence is out; 0: none */
    struct proposer_op *ops;
    size_t op_count, op_capacity;
    struct buf writes, reads; /* encoded commands (batch_code.h); writes is empty once batch exists */
    struct batch *batch;      /* what was proposed last; NULL before that */
    bool needs_clock;         /* a read in it concerns time */
    bool has_live_ops;
};

struct proposer_options {
    size_t batch_bytes_max;   /* a batch is closed when its writes reach this (1 MiB) */
    size_t batch_ops_max;     /* or when it holds this many commands (65536) */
    uint64_t wait_us;         /* then a command fails (cluster-timeout) */
    uint64_t spread_us;       /* with a batch in flight younger than this, small batches wait and grow */
    size_t spread_bytes;      /* what counts as small */
    /* May be called inside proposer_expire and proposer_abandon only. */
    void (*fail)(void *context, struct proposer_client *client, const void *row, enum proposer_failure failure);
    void *context;
};

struct proposer_figures {
    uint64_t batches_proposed, batches_reproposed, commands_proposed, reads_ridden;
    uint64_t failures_no_quorum, failures_in_doubt;
};

struct proposer {
    struct proposer_options options;
    struct list waiting, in_flight, retry, spare;
    struct own_batch *open; /* the last of waiting, still growing; or NULL */
    size_t in_flight_count, waiting_count, spare_count;
    size_t queued_bytes;
    uint64_t next_sequence;
    uint64_t newest_sent_us;
    bool is_draining;
    struct proposer_figures figures;
};

void proposer_init(struct proposer *p, const struct proposer_options *options);
/* Forgets everything without answering. */
void proposer_deinit(struct proposer *p);

/* Takes one command; argv is copied.  needs_clock: a read whose answer depends
 * on time, so that its batch must carry the clock. */
void proposer_add(struct proposer *p, struct proposer_client *client, const void *row, bool is_write,
                  bool needs_clock, int db, int argc, const struct slice *argv, uint64_t now_us);
/* Takes the client's newest command back, unless it has been proposed or
 * answered; false: it is too late.  Cost: its batch. */
bool proposer_withdraw(struct proposer *p, struct proposer_client *client);
/* Asks for a batch that carries only the clock, unless one is on its way. */
void proposer_add_clock(struct proposer *p, uint64_t now_us);

/* The next batch to propose now, or NULL.  The caller's reference.  Follow it
 * with proposer_sent.  clock_ms is the wall clock to put in, if one is needed. */
struct batch *proposer_take(struct proposer *p, uint64_t clock_ms, uint64_t now_us);
void proposer_sent(struct proposer *p, uint64_t lap, uint64_t now_us);
/* When proposer_take may answer otherwise than now, though nothing was added
 * or decided; UINT64_MAX: not before that. */
uint64_t proposer_deadline(const struct proposer *p, uint64_t now_us);

/* An own slot came out of the order.  Returns the batch to apply and answer
 * (give it back with proposer_applied), or NULL if it was NULL or void, or is
 * empty and came while draining (I4): its commands will be proposed again. */
struct own_batch *proposer_decided(struct proposer *p, const struct rabia_decided *decided);
void proposer_applied(struct proposer *p, struct own_batch *own);

/* The order jumps over what is in flight (a snapshot, a new epoch): its writes
 * are IN_DOUBT, nothing of it is proposed again.  What waits goes on waiting. */
void proposer_abandon(struct proposer *p);

/* Fails what has waited longer than wait_us. */
void proposer_expire(struct proposer *p, uint64_t now_us);
/* This process stood still for so long (a command that took its time, a stopped
 * process): nobody could have answered meanwhile, so it does not count. */
void proposer_forgive(struct proposer *p, uint64_t gap_us);
/* When proposer_expire has something to do; UINT64_MAX if nothing waits. */
uint64_t proposer_expire_deadline(const struct proposer *p);

static inline bool proposer_is_idle(const struct proposer *p)
{
    return p->in_flight_count == 0 && p->waiting_count == 0 && list_is_empty(&p->retry);
}

/* Aborts unless I1..I5 hold as far as the lists show them. */
void proposer_check(const struct proposer *p);

#endif
