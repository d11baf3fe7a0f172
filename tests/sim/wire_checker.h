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
 *   W11 two replicas do not vote for different values in one phase
 * Over all lives of a replica, W2 to W11 as well, and:
 *   W12 nobody speaks in a lap of whose list it is not a member, or about a lane
 *       without a member; no such word is counted (in W8)
 *   W13 a replica without memory is silent until its REJOIN record is on disk,
 *       and below J for ever; J lies above all it ever spoke in
 *   W14 a replica that rejoins answers nobody's REJOIN; an answer covers all laps
 *       in which its sender spoke
 *       J follows from answers of quorums, the replica itself left out, of the
 *       newest lists among the answers
 *   W15 it is up no sooner than its frontier is at J
 *   W16 no power cut takes what was to be on disk before it was sent
 * A word that needed no flush, and was lost in a power cut, may be followed by
 * another one, if it was about an empty batch: that counts as NULL anyway.  In its
 * own lane the owner may follow a lost SKIP with a forfeit, but not with a batch. */
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
    uint16_t lost; /* replicas that held the contents before they lost their memory */
    uint8_t is_skipped, is_skip_counted, is_empty;
    uint8_t is_contents_sent;
    uint8_t is_muddled; /* empty batch, words about which were lost */
    uint8_t decided; /* 0: not yet, else 1 + enum rabia_value */
    struct wire_phase *phases;
};

struct wire_pending { /* a record that is not on disk yet */
    uint64_t seq;
    struct rabia_message message; /* batch is only compared with NULL */
    bool is_lap_mark, is_decided, is_rejoin, is_restated;
};

struct wire_replica {
    uint64_t next_seq, frontier, mark_flushed;
    uint64_t spoke_end;    /* it could send no word for a lap at or beyond it, in any life */
    uint64_t spoke_before; /* the same when its last step began */
    uint64_t silent_below; /* RABIA_NO_LAP: everywhere */
    uint64_t pending_rejoin_lap;
    bool is_rejoining;
    uint16_t answered; /* REJOIN, in this life */
    uint16_t answered_members, answered_pending; /* the newest lists in answers, and in its own snapshot */
    uint64_t answered_from;
    struct wire_pending *pending;
    size_t pending_head, pending_count, pending_capacity;
};

struct wire_lane {
    struct wire_slot *slots; /* from first_lap on */
    size_t count;
};

/* Members of all laps from this one on. */
struct wire_list {
    uint64_t from;
    uint16_t mask;
};
enum { WIRE_LISTS_MAX = 256 };

/* What the economy check reads. */
struct wire_figures {
    uint64_t forfeits, states, votes, asks, fetches;
};

struct wire_checker {
    struct verdict *verdict;
    uint8_t nodes;   /* wire_init: the members; more may be set after it */
    uint32_t window; /* wire_init: RABIA_WINDOW */
    struct wire_list lists[WIRE_LISTS_MAX];
    size_t list_count;
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
/* Records of one step, in their order, each of which must follow from what was said
 * before it: a process may end between any two of them. */
void wire_recorded(struct wire_checker *wire, uint8_t replica, const struct rabia_record *records, size_t count,
                   uint64_t wall_ms);
/* frontier: the sender's, after the step. */
void wire_sent(struct wire_checker *wire, uint8_t replica, const struct rabia_outgoing *outgoing, uint64_t frontier);
/* The journal restates what it holds: nothing new is said. */
void wire_restated(struct wire_checker *wire, uint8_t replica, const struct rabia_record *records, size_t count);
void wire_decided(struct wire_checker *wire, uint8_t replica, const struct rabia_decided *decided);
void wire_frontier(struct wire_checker *wire, uint8_t replica, uint64_t frontier);

/* --- lives --------------------------------------------------------------------- */

void wire_members(struct wire_checker *wire, uint64_t from, uint16_t mask);
const struct wire_list *wire_list_at(const struct wire_checker *wire, uint64_t lap);
/* A power cut took this record. */
void wire_lost(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record);
/* A new life begins at this cursor, without a journal so far. */
void wire_restarted(struct wire_checker *wire, uint8_t replica, uint64_t lap, uint8_t lane, bool has_memory);
/* With memory: one record of the journal that is replayed, in order. */
void wire_replayed(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record);
/* The journal has been read.  What the owner wrote of its own slots, and had not
 * sent, may be forgotten by now. */
void wire_speaks(struct wire_checker *wire, uint8_t replica);
/* A snapshot covers all slots before this one. */
void wire_installed(struct wire_checker *wire, uint8_t replica, uint64_t lap, uint8_t lane);
/* An answer to its REJOIN has come to replica, with this export; from itself: the
 * export it begins with. */
void wire_answered(struct wire_checker *wire, uint8_t replica, uint8_t from, const unsigned char *bytes);
void wire_rejoined(struct wire_checker *wire, uint8_t replica);

#endif
