/* Directed links with delays, loss, repetition, reordering and blocks.
 *
 * A frame carries several messages.  Unless the plan shares batches, a frame
 * and each repetition of it owns copies of all contents, so that a replica
 * that changes or forgets to hold what it was given is found out.
 *
 * A link that is renewed loses what was on its way (a new connection).
 *
 * A frame carries how often each replica lost its memory, as far as its sender
 * knew: its own entry is its incarnation. */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "agenda.h"
#include "base/random.h"
#include "plan.h"

struct frame {
    struct frame *next; /* while held by a blocked link */
    struct rabia_message *messages;
    size_t count;
    uint64_t generation;
    uint32_t known[RABIA_MEMBERS_MAX];
    uint8_t from, to;
};

enum network_block { NETWORK_OPEN = 0, NETWORK_DROPS, NETWORK_HOLDS };

struct network_link {
    enum network_block block;
    uint32_t slowness; /* times the plan's delay */
    uint64_t generation, last_arrival_us;
    struct frame *held_first, **held_end;
};

struct network {
    const struct plan *plan;
    struct agenda *agenda;
    uint32_t known[RABIA_MEMBERS_MAX][RABIA_MEMBERS_MAX]; /* by sender, for its next frames */
    struct random random;
    double loss;
    struct network_link links[RABIA_MEMBERS_MAX][RABIA_MEMBERS_MAX];
};

void network_init(struct network *network, const struct plan *plan, struct agenda *agenda);
void network_deinit(struct network *network);

/* Copies the messages.  False if the frame was lost at once (for the trace). */
bool network_send(struct network *network, uint64_t now_us, uint8_t from, uint8_t to,
                  const struct rabia_message *messages, size_t count);
/* Whether a frame that comes up in the agenda still arrives. */
bool network_arrives(const struct network *network, const struct frame *frame);
void network_block(struct network *network, uint8_t from, uint8_t to, enum network_block block);
/* What was held goes on its way. */
void network_unblock(struct network *network, uint64_t now_us, uint8_t from, uint8_t to);
/* Both directions; what was on its way or held is lost. */
void network_renew(struct network *network, uint8_t a, uint8_t b);
/* The process there has ended: what was on its way to it is lost.  What it sent
 * may still arrive. */
void network_end(struct network *network, uint8_t node);
void frame_free(struct frame *frame);

#endif
