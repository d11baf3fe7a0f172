/* The ordering core: Rabia's weak-MVC on owned slots, for 1 to 9 members.
 *
 * Specification: shared/design/protocol.md (summarised in README.md of this
 * folder); base: Rabia, SOSP 2021, Algorithms 1 and 2 (weak-MVC).
 *
 * Shape.  A pure state machine: no I/O, no clock, no timer, no global.  Time
 * and messages arrive in an event; what must be written, what may be sent,
 * what was decided and when to call again come back in an out.  Same events,
 * same outs, always.  The driver (replica/) and the simulator (tests/sim)
 * call it in the same way:
 *
 *     rabia_step(r, &event, &out);
 *     ... honour out in the order its comment states ...
 *     rabia_out_clear(&out);
 *
 * Invariants (rabia_check walks them; R numbers are rules of protocol.md):
 *   I1  at most one PROPOSAL per slot and one STATE and one VOTE per slot and
 *       phase is ever emitted; repeats are identical (One slot).
 *   I2  nothing is emitted for a lap at or beyond frontier + A (window).
 *   I3  PROPOSAL(batch), STATE(1), VOTE(1) are emitted and counted only while
 *       the contents are held (R7).  A batch refused for its clock counts as
 *       not held until it is decided or its time has come.
 *   I4  decided batches come out in total order, each slot once.
 *   I5  own messages are counted only when they are on disk, if the options
 *       say so (durability).
 *   I6  nothing is said about a lap of whose list of members we are not, nor
 *       below J by a replica that rejoined; words of others count by the same
 *       lists (Membership).
 *   I7  of the records of a step, any number from the first on are what the replica
 *       could have written by itself: a process may die between any two.
 *
 * Limits: members 9, window A laps, history bytes, phases kept per slot,
 * answer bytes per ASK; each named below.
 *
 * Cost: a step is O(messages + slots they touch).  A slot's state is fixed
 * size; only a contended slot allocates (its phases). */
#ifndef CONSENSUS_RABIA_H
#define CONSENSUS_RABIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "consensus/batch.h"

enum {
    RABIA_MEMBERS_MAX = 9,
    RABIA_WINDOW = 4096,           /* A, laps; a constant of the cluster */
    RABIA_AHEAD = RABIA_WINDOW / 2 /* skips, forfeits and the lap mark stay within frontier + this */
};

/* --- messages ------------------------------------------------------------ */

enum rabia_value { RABIA_NULL = 0, RABIA_BATCH = 1, RABIA_UNSURE = 2 /* VOTE only: "?" */ };

/* Every kind that names slots names a range: laps [lap, lap + count) of one
 * lane, all with the same value and phase. */
enum rabia_kind {
    RABIA_PROPOSAL = 1,  /* value BATCH from the owner carries contents (count 1); from others it is the
                            echo; value NULL forfeits */
    RABIA_CONTENTS,      /* contents without a PROPOSAL: sent early by an owner whose flush is under
                            way, forwarded in a mixed exchange, or the answer to FETCH; count 1 */
    RABIA_SKIP,          /* the owner has nothing for these slots: NULL at once */
    RABIA_STATE,         /* phase, value NULL or BATCH */
    RABIA_VOTE,          /* phase, value NULL, BATCH or UNSURE */
    RABIA_DECIDED,       /* value; BATCH may carry contents, else the receiver fetches */
    RABIA_ASK,           /* repeat what you said about undecided slots of all lanes in this lap range and
                            DECIDED for the others; lane: the sender knows what lies before (lap, lane) */
    RABIA_FETCH,         /* send the contents of this slot */
    RABIA_NUDGE,         /* skip your lane, and forfeit the absent lanes, up to lap (exclusive) */
    RABIA_RESUME,        /* the sender will propose nothing in its lane below lap: forfeit it there */
    RABIA_CLOCK_REFUSED, /* the batch of this slot is too far ahead of clock_ms, the sender's clock */
    RABIA_FRONTIER,      /* the sender has come to (lap, lane) in the order */
    RABIA_TOO_OLD,       /* answer to ASK: decided slots before (lap, lane) are no longer kept here */
    RABIA_REJOIN,        /* the sender lost its memory: how far may it have spoken? */
    RABIA_REJOIN_ANSWER, /* lap: H, see rejoin.c; contents: an export (export.c), for the lists in it */
    RABIA_KIND_END
};

struct rabia_message {
    uint8_t kind;  /* enum rabia_kind */
    uint8_t lane;
    uint8_t value; /* enum rabia_value */
    uint32_t phase;
    uint64_t lap;
    uint64_t count;
    uint64_t clock_ms;   /* CLOCK_REFUSED only */
    struct batch *batch; /* contents or NULL */
};

/* --- events -------------------------------------------------------------- */

enum rabia_event_kind {
    RABIA_EVENT_TICK = 1,  /* the deadline of an earlier out has come, or simply time went by */
    RABIA_EVENT_PROPOSE,   /* batch for the own lane; allowed only while rabia_can_propose() */
    RABIA_EVENT_MESSAGES,  /* a frame's messages from one peer, in their order */
    RABIA_EVENT_LINK_UP,   /* the link to peer is new: repeat to it everything undecided */
    RABIA_EVENT_LINK_DOWN, /* a hint for suspicion, nothing else */
    RABIA_EVENT_FLUSHED,   /* records up to and including flushed_seq are on disk */
    RABIA_EVENT_NUDGE,     /* ask all to bring the frontier to lap (local request) */
    RABIA_EVENT_FORGET,    /* peer came back without its memory: before any REJOIN of its new life is
                              handed over; nothing of its older life may be handed over from now on */
    RABIA_EVENT_LEARNERS   /* members: who besides the members shall hear everything, from now on */
};

struct rabia_event {
    enum rabia_event_kind kind;
    uint64_t now_us;  /* monotonic; never goes back */
    uint64_t wall_ms; /* unix; may jump.  Used for the clock rule (Time) alone */
    uint8_t peer;     /* MESSAGES, LINK_UP, LINK_DOWN: a member's index */
    const struct rabia_message *messages; /* borrowed; batches in them too (the core takes its own holds) */
    size_t message_count;
    struct batch *batch;  /* PROPOSE: borrowed, held by the core; its previous_lap is the caller's business */
    uint64_t flushed_seq; /* FLUSHED */
    uint64_t lap;         /* NUDGE */
    uint16_t members;     /* LEARNERS: bit per index */
};

/* --- out ----------------------------------------------------------------- */

/* What a replica must not forget.  seq rises by one per record, from 1 in each
 * life of the process. */
enum rabia_record_kind {
    RABIA_RECORD_SAID = 1, /* message: a PROPOSAL, STATE, VOTE or SKIP of ours, contents included where
                              it carries or echoes a batch we did not record before */
    RABIA_RECORD_DECIDED,  /* message: kind DECIDED, value and, if never recorded before, contents */
    RABIA_RECORD_LAP_MARK, /* message.lap: the lap mark M */
    RABIA_RECORD_REJOIN    /* message.lap: J, needs a flush in every mode; nothing is said before FLUSHED
                              has come for it */
};
struct rabia_record {
    uint64_t seq;
    enum rabia_record_kind kind;
    bool needs_flush; /* false for SKIP and what concerns an empty batch (below the lap mark) */
    struct rabia_message message; /* holds its batch until rabia_out_clear */
};

struct rabia_outgoing {
    uint16_t to;  /* bit per member index; never the own bit */
    bool is_lazy; /* may wait for the next frame to that peer, for a bounded time (echoes and skips to
                     others than the owner whose slot they answer) */
    struct rabia_message message; /* holds its batch until rabia_out_clear */
};

/* A slot passed by the frontier's order.  NULL slots of other lanes are left
 * out; NULL slots of the own lane in which we had proposed a batch are told
 * (batch == NULL), since their commands wait.  Own slots of an earlier life come
 * out as well: as everybody's, and nobody waits for them. */
struct rabia_decided {
    uint64_t lap;
    uint8_t lane;
    bool is_unknown;     /* own slot that rabia_install jumped over (batch == NULL): it may have been applied;
                            its writes are INDOUBT, its reads ride again */
    bool is_void;        /* applied as nothing: the previous batch it names was NULL or void */
    struct batch *batch; /* held until rabia_out_clear; hold it to keep it */
};

/* Honour in this order:
 *   1. append records to the journal (write; flush is the journal's mode)
 *   2. send messages (those that had to wait for a flush are not in here: they
 *      come out of the FLUSHED event that releases them)
 *   3. apply decided, in order; a change of members among them is passed to
 *      rabia_change_members before the next step
 *   4. see that a TICK comes no later than deadline_us, and FLUSHED as flushes end
 * A record with needs_flush has to be flushed, in every mode, and FLUSHED to be
 * told. */
struct rabia_out {
    struct rabia_record *records;
    size_t record_count, record_capacity;
    struct rabia_outgoing *messages;
    size_t message_count, message_capacity;
    struct rabia_decided *decided;
    size_t decided_count, decided_capacity;
    uint64_t deadline_us;   /* monotonic */
    uint64_t proposed_lap;  /* PROPOSE: the slot's lap; otherwise RABIA_NO_LAP */
    uint64_t clock_refused_ms; /* a peer's clock when it refused an own batch in this step, else 0 */
    uint64_t snapshot_from_lap; /* != RABIA_NO_LAP: peers no longer keep what comes behind our frontier;
                                   only a snapshot at or beyond this lap helps */
    uint64_t rejoined_lap; /* != RABIA_NO_LAP: J, fixed in this step (its record is among the records) */
    bool has_rejoined;     /* up again: remove the rejoining mark, durably, then serve */
    bool was_removed;      /* we are no longer a member, and a quorum of the list in force has come as far:
                              serve nobody, say so; only now may this replica be switched off */
};

void rabia_out_init(struct rabia_out *out);
/* Drops the holds, keeps the memory. */
void rabia_out_clear(struct rabia_out *out);
void rabia_out_deinit(struct rabia_out *out);

/* --- the machine --------------------------------------------------------- */

struct rabia_options {
    uint8_t member_count; /* 1..RABIA_MEMBERS_MAX: members 0 to member_count - 1, unless members is given */
    uint16_t members;     /* the first list, a bit per index; 0: by member_count.  An export overrides it */
    uint16_t learners;    /* who hears everything besides */
    uint8_t self;         /* own index, the own lane; need not be a member */
    uint64_t cluster_seed; /* the common coin's (R6), the same on all members */
    uint64_t first_lap;   /* where this cluster's order begins, normally 0 */
    bool flush_before_send; /* appendfsync always: own messages are counted and sent only after FLUSHED */
    uint64_t forfeit_floor_us;   /* suspicion never acts sooner (default 5 ms) */
    uint64_t forfeit_ceiling_us; /* nor waits longer than this, or four times this after wrongful forfeits (200 ms) */
    uint64_t ask_interval_us;    /* first repeat of an unanswered need; doubles up to 32 times this (20 ms) */
    uint64_t heartbeat_us;       /* FRONTIER to all when idle (100 ms) */
    uint64_t clock_tolerance_ms; /* how far ahead of our clock a batch's may be (500 ms) */
    size_t history_bytes_max;    /* decided batches kept for peers behind (256 MiB) */
    size_t held_bytes_max;       /* contents held of the window, while others are ahead: beyond it those of laps
                                    to come are not taken, but asked for when their turn has come (64 MiB) */
    size_t answer_bytes_max;     /* contents in the answer to one ASK (1 MiB; at least one batch) */
    uint32_t skip_ahead_max;     /* laps an idle lane skips ahead at most (64) */
};
/* The defaults named above; member_count, self and cluster_seed are the caller's. */
void rabia_options_default(struct rabia_options *options);

struct rabia;
/* appendfsync was changed, and everything recorded so far is on disk.  What waits for a flush
 * goes on waiting until FLUSHED is told. */
void rabia_set_flush_before_send(struct rabia *r, bool flush_before_send);

struct rabia *rabia_create(const struct rabia_options *options, uint64_t now_us);
void rabia_free(struct rabia *r);

/* --- restart, with and without memory --------------------------------------
 *
 * With memory:    rabia_restore, rabia_replay for each record, rabia_speak.
 * Without memory: rabia_restore (empty, or a snapshot's export), rabia_rejoin.
 * Only then rabia_step.  In between rabia_change_members, rabia_export,
 * rabia_restate, rabia_check and the getters may be called, nothing else. */

/* All that the core must know as of the cursor, the next slot of the order; the
 * same bytes on all replicas with the same cursor.  Belongs into a snapshot of
 * the data as of what came out so far.  Format: export.c. */
enum { RABIA_EXPORT_BYTES = 102 };
size_t rabia_export(const struct rabia *r, unsigned char bytes[static RABIA_EXPORT_BYTES]);

/* A core that does not speak yet.  exported: of the snapshot whose data were
 * loaded, or empty: nothing has happened.  NULL if it is malformed. */
struct rabia *rabia_restore(const struct rabia_options *options, struct slice exported, uint64_t now_us);

/* One record of the journal, of any life since that snapshot, in order (seq is
 * not read).  Its batch is borrowed.  What comes out of the order is in
 * out->decided, to be applied before the next call; out has nothing else.  False:
 * the record contradicts the others, or does not fit the snapshot; the journal
 * is damaged, and the core must not be used. */
bool rabia_replay(struct rabia *r, const struct rabia_record *record, struct rabia_out *out);

/* Everything replayed is on disk by now (journal_open sees to that).
 * may_have_lost_tail: what was written last before the restart, unflushed, may
 * be missing (power cut, with flush_before_send; the other modes are then
 * without memory). */
struct rabia_speak_options {
    bool may_have_lost_tail;
};
void rabia_speak(struct rabia *r, const struct rabia_speak_options *how, uint64_t now_us, uint64_t wall_ms,
                 struct rabia_out *out);

/* Begins to rejoin; the rejoining mark is on disk.  Until out.has_rejoined the
 * core learns, proposes nothing, and says nothing below J.  Frames of the earlier
 * life, and answers to its REJOINs, must not reach this one (incarnations).
 * Needs the answers of q others: with n <= 2 only the recovery of the whole
 * cluster helps (protocol.md, Too many without memory). */
void rabia_rejoin(struct rabia *r, uint64_t now_us, uint64_t wall_ms, struct rabia_out *out);

/* Jumps to the cursor of a snapshot whose data replace ours.  False: malformed, or
 * not ahead of our cursor; nothing has changed.  The snapshot must be durable as
 * the one to restart from before out is honoured.  Own slots jumped over are in
 * out->decided (is_unknown), possibly more behind them. */
bool rabia_install(struct rabia *r, struct slice exported, uint64_t now_us, uint64_t wall_ms, struct rabia_out *out);

/* Puts into out->records all that the journal must hold besides an export of
 * this moment, so that what was written before can be forgotten once these
 * records and that snapshot are on disk.  Cost: the part of the window in use. */
void rabia_restate(struct rabia *r, struct rabia_out *out);

/* --- membership ------------------------------------------------------------- */

/* A change of the list of members came out in lap: to be called after the step
 * (or replay) that ordered it and before the next one.  Returns the lap from
 * which it holds, lap + A + 1, or RABIA_NO_LAP: refused, since the change before
 * is not in force in this lap; all replicas answer alike.  The core nudges the
 * cluster there; a TICK soon starts that.  A removed member stays a learner, so
 * that it learns of it, until RABIA_EVENT_LEARNERS says otherwise.  The owner of
 * an index is the caller's business; a lane is never given to another. */
uint64_t rabia_change_members(struct rabia *r, uint64_t lap, uint16_t mask);

/* Who counts: the list in force at the frontier, and the one to come (0: none), a bit per index,
 * each from which lap on. */
struct rabia_lists {
    uint16_t members, pending;
    uint64_t members_from, pending_from;
};
struct rabia_lists rabia_lists(const struct rabia *r);
/* The next slot of the order; and the first lap of which every slot's value is kept for peers. */
void rabia_cursor(const struct rabia *r, uint64_t *lap, uint8_t *lane);
uint64_t rabia_kept_from(const struct rabia *r);
/* What a peer last announced as its frontier. */
uint64_t rabia_frontier_of(const struct rabia *r, uint8_t peer);

/* --- steps ------------------------------------------------------------------ */

/* One event in, one out.  out must be initialised and clear. */
void rabia_step(struct rabia *r, const struct rabia_event *event, struct rabia_out *out);

/* Whether PROPOSE is possible now (the next own slot lies inside the window
 * and within RABIA_AHEAD of the frontier). */
bool rabia_can_propose(const struct rabia *r);

/* First lap with a slot not decided here. */
uint64_t rabia_frontier(const struct rabia *r);

/* (R6) The common coin: pure hash of seed, slot and phase. */
bool rabia_coin(uint64_t cluster_seed, uint64_t lap, uint8_t lane, uint32_t phase);

/* Walks the whole state against I1..I6 and aborts where one does not hold.
 * Cost: window times members; for tests and simulation. */
void rabia_check(const struct rabia *r);

/* --- for RABIA STATUS ---------------------------------------------------- */

struct rabia_lane_status {
    uint64_t next_lap;        /* first lap of this lane about which its owner has said nothing here */
    uint64_t frontier_lap;    /* what its owner last announced as its frontier */
    uint64_t decided_batches, decided_nulls;
    uint64_t forfeits;        /* slots of this lane forfeited by us */
    uint64_t wrongful_forfeits; /* of those, the ones that ended as a batch */
    double phi;               /* suspicion now */
    uint64_t usual_delay_us, forfeit_after_us;
    bool is_suspect;
};
enum { RABIA_PHASE_COUNTERS = 8 };
struct rabia_status {
    uint64_t frontier, own_next_lap, history_first_lap;
    size_t history_bytes;
    uint64_t own_in_flight;
    uint64_t decided_by_exchange;                       /* batches decided in one round trip */
    uint64_t decided_in_phase[RABIA_PHASE_COUNTERS];    /* [0] phase 1, ...; the last holds all beyond */
    uint64_t waiting_for_disk;      /* own messages (ranges) held back for a flush */
    uint64_t invalid_messages;      /* ignored: a number in them was out of bounds */
    uint64_t conflicting_decisions; /* a peer's DECIDED differs from ours: never, unless someone broke the rules */
    uint16_t members, pending_members, learners; /* bit per index; pending 0: none */
    uint64_t members_from, pending_from;         /* laps; pending_from RABIA_NO_LAP: none */
    bool is_rejoining;
    uint64_t rejoin_lap; /* J, once fixed; 0 before, and if we never rejoined */
    struct rabia_lane_status lanes[RABIA_MEMBERS_MAX];
};
void rabia_get_status(const struct rabia *r, uint64_t now_us, struct rabia_status *status);

#endif
