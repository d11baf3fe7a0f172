/* Watches everything the replicas write and say, and judges it by
 * protocol.md alone; it knows nothing of the core's insides.
 *
 * The simulator tells it, for each step of a replica and in this order: what
 * arrived (wire_received, wire_flushed), a slot proposed in (wire_proposed),
 * then the out's records, messages and decided slots, and at last the
 * replica's frontier.
 *
 * What it asserts (W numbers stand in its complaints):
 *   W1  messages and records are well formed; record numbers rise by one
 *   W2  one PROPOSAL per slot and replica, one STATE and one VOTE per slot,
 *       phase and replica; SKIP from the owner alone, and never SKIP and batch
 *   W3  nobody speaks at or beyond frontier + window
 *   W4  a slot's contents are the same wherever they appear, and are the owner's
 *   W5  whoever says or decides "batch" has the contents in its journal
 *   W6  what is sent was recorded before; with flush_before_send, and unless
 *       it is of the kind that needs no flush, it was also on disk
 *   W7  what needs no flush stays below the lap mark on disk
 *   W8  a STATE, a VOTE and a decision follow from what had been said by then
 *       (counted over all replicas, so a necessary condition)
 *   W9  one value per slot; a decided batch is held by a quorum; a frontier
 *       passes decided slots only, and a decided batch is never passed as NULL
 *   W10 a batch whose clock is too far ahead is not echoed
 *   W11 two replicas do not vote for different values in one phase */
#ifndef SIM_WIRE_CHECKER_H
#define SIM_WIRE_CHECKER_H

#include <stddef.h>
#include <stdint.h>

#include "consensus/rabia.h"
#include "verdict.h"

struct wire_phase {
    uint32_t phase;
    uint16_t state[2], vote[3];                 /* recorded, by value; one bit per replica */
    uint16_t counted_state[2], counted_vote[3]; /* of these, what may be sent and counted */
    struct wire_phase *next;
};

struct wire_slot {
    uint64_t hash; /* of the owner's batch; 0: none known */
    uint16_t proposal[2], counted_proposal[2];
    uint16_t received; /* replicas the contents have reached */
    uint16_t journaled, counted_journaled;
    uint16_t decided_batch; /* replicas whose order gave out the batch */
    uint8_t is_skipped, is_skip_counted, is_empty;
    uint8_t decided; /* 0: not yet, else 1 + enum rabia_value */
    struct wire_phase *phases;
};

struct wire_pending { /* a record that is not on disk yet */
    uint64_t seq;
    struct rabia_message message; /* batch is only compared with NULL */
    bool is_lap_mark, is_decided;
};

struct wire_replica {
    uint64_t next_seq, frontier, mark_flushed;
    struct wire_pending *pending;
    size_t pending_head, pending_count, pending_capacity;
};

struct wire_lane {
    struct wire_slot *slots; /* from first_lap on */
    size_t count;
};

/* What the economy check reads. */
struct wire_figures {
    uint64_t forfeits, states, votes, asks, fetches;
};

struct wire_checker {
    struct verdict *verdict;
    uint8_t members, quorum;
    bool flush_before_send;
    uint64_t cluster_seed, first_lap, clock_tolerance_ms;
    struct wire_lane lanes[RABIA_MEMBERS_MAX];
    struct wire_replica replicas[RABIA_MEMBERS_MAX];
    struct wire_figures figures;
};

/* options: those of any replica. */
void wire_init(struct wire_checker *wire, struct verdict *verdict, const struct rabia_options *options);
void wire_deinit(struct wire_checker *wire);

void wire_received(struct wire_checker *wire, uint8_t replica, const struct rabia_message *message);
void wire_flushed(struct wire_checker *wire, uint8_t replica, uint64_t seq);
void wire_proposed(struct wire_checker *wire, uint8_t replica, uint64_t lap, const struct batch *batch);
/* The records of one step: they are written together, and their order says
 * nothing. */
void wire_recorded(struct wire_checker *wire, uint8_t replica, const struct rabia_record *records, size_t count,
                   uint64_t wall_ms);
/* frontier: the sender's, after the step. */
void wire_sent(struct wire_checker *wire, uint8_t replica, const struct rabia_outgoing *outgoing, uint64_t frontier);
void wire_decided(struct wire_checker *wire, uint8_t replica, const struct rabia_decided *decided);
void wire_frontier(struct wire_checker *wire, uint8_t replica, uint64_t frontier);

#endif
