/* The ordering core's state, and what its files offer one another.  Internal
 * to consensus/; everyone else includes rabia.h.
 *
 *   rabia.c       create, step, dispatch; the decided order and the frontier
 *   receive.c     messages from peers: checked, clamped, dispatched by kind
 *   voice.c       what we say about a slot, and what follows from it
 *   slot.c        the rules of one slot (pure)
 *   durability.c  what waits for the disk; the lap mark
 *   pace.c        skips, suspicion, forfeits, nudges
 *   catchup.c     asking, and the heartbeat
 *   repeat.c      answering: repeats, decided slots, contents
 *   members.c     who counts from which lap on
 *   export.c      export, restore, replay, restate, install
 *   rejoin.c      a replica without memory
 *   outbox.c      the out's arrays; neighbours merge into ranges
 *   suspicion.c, history.c, coin.c   what their names say
 *   rabia_check.c, rabia_status.c, probe.c   looking in from outside
 *
 * A place is a slot's number in the total order: lap * 16 + lane. */
#ifndef CONSENSUS_MACHINE_H
#define CONSENSUS_MACHINE_H

#include "base/slice.h"
#include "consensus/history.h"
#include "consensus/rabia.h"
#include "consensus/slot.h"
#include "consensus/suspicion.h"

enum {
    FORFEIT_AHEAD = RABIA_AHEAD / 2, /* forfeits stay within frontier + this, so that an owner whose lane was
                                        forfeited still finds its next slot within RABIA_AHEAD */
    FETCHES_MAX = 64,                /* per ask timer */
    REPEAT_LAPS = 64,                /* repeated unasked per ask timer */
    WORTH_ASKS = 16, /* who could help and has not by this many intervals may be dead */
    BACKOFF_MAX = 32                 /* ask_interval_us is multiplied by this at most */
};
/* Laps beyond this are refused in messages, so that sums and places never
 * overflow. */
#define LAP_MAX ((uint64_t)1 << 58)
#define RANGE_MAX ((uint64_t)1 << 32)
#define PHASE_MAX ((uint32_t)1 << 20)

struct lane {
    uint64_t first_undecided; /* lap */
    uint64_t heard_lap;       /* the owner said nothing here at or beyond it */
    uint64_t last_valid_lap;  /* of the last valid batch that is not empty, or RABIA_NO_LAP */
    uint64_t frontier_lap;    /* as its owner announced it */
    uint8_t frontier_lane;    /* and how far it had come in that lap */
    uint64_t too_old_place;   /* its owner keeps decided slots from here on only */
    uint64_t resume_lap;      /* the owner will propose nothing below */
    uint64_t forfeited_to;    /* we forfeited the unsaid slots below it */
    uint64_t forfeit_ahead;   /* laps to forfeit ahead of need; doubles */
    bool is_suspect;          /* forfeited ahead until its owner speaks */
    bool is_link_down;
    bool may_be_penalised;    /* forfeited since the last doubling */
    struct suspicion suspicion;
    uint64_t decided_batches, decided_nulls, forfeits, wrongful_forfeits;
};

/* A message that waits for the disk. */
struct gated {
    uint64_t seq; /* goes when this record is on disk */
    uint16_t to_urgent, to_lazy;
    bool has_contents; /* an owner's PROPOSAL whose contents did not go early */
    struct rabia_message message; /* never with contents */
};
struct gate {
    struct gated *entries; /* ring; capacity is a power of two, or 0 */
    size_t head, count, capacity;
};

/* Who counts, from a lap on. */
struct members {
    uint16_t mask;
    uint8_t quorum;
    uint64_t from; /* lap; RABIA_NO_LAP: there is no such list */
};

/* What a member told us while we rejoin. */
struct rejoin_answer {
    bool is_there;
    uint64_t lap; /* H */
    struct members members, pending;
};

struct rabia {
    struct rabia_options options;
    uint64_t window; /* A: RABIA_WINDOW; smaller in the explorer */
    uint64_t now_us, wall_ms;
    struct rabia_out *out; /* during a step, else NULL */

    /* membership */
    struct members members, pending; /* of the frontier's lap, and of laps from pending.from on */
    uint16_t learners; /* hear everything, count for nothing */
    uint16_t audience; /* everybody but us: members, pending ones, learners */
    uint8_t peer_count; /* indices in the audience lie below */
    uint8_t lane_count; /* lanes that have slots; the others' are NULL */
    uint64_t nullable_from; /* see members_open */
    bool is_leaving;        /* removed; was_removed is still to be told */

    /* what we may say */
    bool has_begun;        /* false between rabia_restore and rabia_speak or rabia_rejoin */
    uint64_t silent_below; /* laps; RABIA_NO_LAP: everywhere */
    uint64_t spoke_end;    /* we took part in no lap at or beyond it, as far as we know */
    uint64_t unsure_below; /* an earlier life may have spoken in own slots below it, unrecorded */

    /* rejoining */
    bool is_rejoining;
    uint64_t rejoin_lap; /* J, also after we rejoined; 0: never */
    uint64_t rejoin_seq; /* its record; 0: it is on disk */

    /* order */
    struct slot *slots; /* [lap % window][lane], laps [frontier, window_end) */
    uint64_t window_base; /* the frontier when this step began: what came out before has been applied */
    uint64_t base_place;  /* slots before it are known from a snapshot alone */
    uint64_t frontier;
    uint8_t cursor_lane; /* slots of the frontier's lap below it have come out */
    uint64_t touched_end; /* laps from here on are blank */
    struct lane lanes[RABIA_MEMBERS_MAX];
    struct history history;

    /* pace */
    uint64_t own_next;   /* lap of the next own slot */
    uint64_t skip_lap;   /* skip the own lane up to it */
    uint32_t skip_ahead; /* laps beyond need; doubles while idle */
    uint16_t skip_to;    /* owners who wait for the skip of this step */
    uint64_t wanted_end; /* places below it are wanted: a batch or a nudge lies behind them */
    uint64_t nudge_lap;  /* our own nudge, or one we heard: repeated until the frontier is there */
    bool was_forfeited;  /* our lane was forfeited beyond own_next; RESUME is due */

    /* catching up */
    uint64_t ask_us; /* 0: no need */
    uint64_t ask_wait_us;
    uint64_t asked_place; /* the cursor when the timer was set */
    uint64_t stood_us;    /* since when it has been there */
    uint64_t ask_goal;    /* the furthest known frontier then */
    uint16_t asked_peers; /* who may be about to answer */
    uint8_t next_peer;    /* peers are asked in turn */
    uint64_t heartbeat_due_us;

    /* durability */
    uint64_t last_seq, flushed_seq;
    struct gate gate;
    uint64_t mark, mark_on_disk, mark_seq;

    uint64_t own_in_flight;
    size_t held_bytes; /* contents in the slots of the window */
    uint64_t decided_by_exchange, decided_in_phase[RABIA_PHASE_COUNTERS];
    uint64_t invalid_messages, conflicting_decisions;
    struct rejoin_answer answers[RABIA_MEMBERS_MAX];
};

static inline uint64_t place_of(uint64_t lap, uint8_t lane)
{
    return lap << 4 | lane;
}
static inline uint64_t cursor_place(const struct rabia *r)
{
    return place_of(r->frontier, r->cursor_lane);
}
static inline uint16_t bit_of(uint8_t member)
{
    return (uint16_t)(1u << member);
}
static inline uint16_t everyone_else(const struct rabia *r)
{
    return r->audience;
}
/* I2.  Counted from where this step began: a change of members that comes out
 * in this step must be known before a lap it concerns is touched. */
static inline uint64_t window_end(const struct rabia *r)
{
    return r->window_base + r->window;
}
/* The list in force in lap, which lies in the window. */
static inline const struct members *members_at(const struct rabia *r, uint64_t lap)
{
    return lap < r->pending.from ? &r->members : &r->pending;
}
static inline bool is_member_at(const struct rabia *r, uint8_t member, uint64_t lap)
{
    return members_at(r, lap)->mask >> member & 1;
}
/* Whether anything of ours about this lap may be said at all. */
static inline bool may_speak(const struct rabia *r, uint64_t lap)
{
    return lap >= r->silent_below && is_member_at(r, r->options.self, lap);
}
/* RABIA_AHEAD and FORFEIT_AHEAD, in tests scaled to their window. */
static inline uint64_t ahead_of(const struct rabia *r)
{
    return r->window / (RABIA_WINDOW / RABIA_AHEAD);
}
static inline uint64_t forfeits_ahead_of(const struct rabia *r)
{
    return r->window / (RABIA_WINDOW / FORFEIT_AHEAD);
}
static inline uint64_t lap_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t lap_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- rabia.c ------------------------------------------------------------- */

/* A machine with another window than RABIA_WINDOW (a power of two), for the
 * explorer. */
struct rabia *rabia_create_with_window(const struct rabia_options *options, uint64_t now_us, uint64_t window);
struct rabia *rabia_restore_with_window(const struct rabia_options *options, struct slice exported, uint64_t now_us,
                                        uint64_t window);
/* The beginning and the end of what counts as one step. */
void rabia_begin(struct rabia *r, uint64_t now_us, uint64_t wall_ms, struct rabia_out *out);
void rabia_end(struct rabia *r);
/* An own slot came out: batch NULL, and is_unknown if a snapshot covered it. */
void rabia_tell(struct rabia *r, const struct rabia_decided *decided);
/* lap must lie in [frontier, frontier + window). */
struct slot *rabia_slot(const struct rabia *r, uint64_t lap, uint8_t lane);
/* What a slot holds is counted in held_bytes. */
void rabia_hold(struct rabia *r, struct slot *slot, struct batch *batch);
void rabia_decide_slot(struct rabia *r, struct slot *slot, uint8_t value);
void rabia_reset_slot(struct rabia *r, struct slot *slot);
/* Hands out what is decided in order and moves the frontier. */
void rabia_order(struct rabia *r);

/* --- outbox.c ------------------------------------------------------------ */

/* Takes a hold of the message's batch.  to == 0 sends nothing. */
void outbox_send(struct rabia *r, uint16_t to, bool is_lazy, const struct rabia_message *message);
void outbox_record(struct rabia *r, enum rabia_record_kind kind, const struct rabia_message *message,
                   bool needs_flush);
/* Extends into by message if that is its neighbour (no contents, all else
 * equal, laps adjoining) or within it. */
bool outbox_merge(struct rabia_message *into, const struct rabia_message *message);

/* --- durability.c -------------------------------------------------------- */

bool durability_needs_flush(const struct rabia *r, const struct slot *slot, const struct rabia_message *message);
/* Holds the message back until everything recorded so far is on disk. */
void durability_gate(struct rabia *r, uint16_t to_urgent, uint16_t to_lazy, bool has_contents,
                     const struct rabia_message *message);
/* Whether contents may be sent although their record is not on disk. */
bool durability_may_send_early(const struct rabia *r, uint64_t lap);
void durability_flushed(struct rabia *r, uint64_t seq);
void durability_raise_mark(struct rabia *r);

/* --- voice.c ------------------------------------------------------------- */

/* Each does what follows from it as well: the slot is evaluated until it
 * waits for something. */
void voice_evaluate(struct rabia *r, uint64_t lap, uint8_t lane);
void voice_propose(struct rabia *r, struct batch *batch);
void voice_skip(struct rabia *r, uint64_t lap);
/* PROPOSAL(NULL) for a slot of our own of which an earlier life may have spoken. */
void voice_forfeit_own(struct rabia *r, uint64_t lap);
/* PROPOSAL(NULL) for the slots of [from, to) about which we said nothing. */
void voice_forfeit(struct rabia *r, uint8_t lane, uint64_t from, uint64_t to);
/* Contents have come (R2, Time). */
void voice_hold(struct rabia *r, uint64_t lap, uint8_t lane, struct batch *batch);
/* Asks a member that holds the contents, another one each time. */
void voice_fetch(struct rabia *r, uint64_t lap, uint8_t lane);
void voice_decide(struct rabia *r, uint64_t lap, uint8_t lane, uint8_t value);
/* Own message is on disk, or needs not be: count it. */
void voice_count_own(struct rabia *r, const struct rabia_message *message);

/* --- receive.c ----------------------------------------------------------- */

void receive_messages(struct rabia *r, const struct rabia_event *event);

/* --- repeat.c ------------------------------------------------------------ */

/* All we know and said about laps [from, to), to peer, which knows what lies
 * before (from, lane) (ASK, LINK_UP). */
void repeat_range(struct rabia *r, uint8_t peer, uint8_t lane, uint64_t from, uint64_t to);
/* How far we have come. */
void repeat_frontier(struct rabia *r, uint16_t to, bool is_lazy);
/* Own batches again, to those who have said nothing about them. */
void repeat_own(struct rabia *r);
/* What we said about the first undecided slots. */
void repeat_undecided(struct rabia *r, uint8_t peer);
/* (R8) peer spoke of slots we have decided. */
void repeat_decided(struct rabia *r, uint8_t peer, const struct rabia_message *message);
void repeat_contents(struct rabia *r, uint8_t peer, uint64_t lap, uint8_t lane);

/* --- pace.c -------------------------------------------------------------- */

void pace_want(struct rabia *r, uint64_t end_place);
/* A batch was proposed in this slot: skip our own lane up to it. */
void pace_follow(struct rabia *r, uint64_t lap, uint8_t lane);
/* Members forfeit our own lane below lap, peer among them. */
void pace_own_lane_forfeited(struct rabia *r, uint8_t peer, uint64_t lap);
/* The owner spoke about its own lane. */
void pace_heard_owner(struct rabia *r, uint8_t lane, uint64_t lap_end);
/* The owner's batch came although we forfeited its slot. */
void pace_forfeit_was_wrong(struct rabia *r, uint8_t lane);
/* A peer forfeits [from, to). */
void pace_join_forfeit(struct rabia *r, uint8_t lane, uint64_t from, uint64_t to);
void pace_resume(struct rabia *r, uint8_t lane, uint64_t lap);
void pace_slot_decided(struct rabia *r, uint64_t lap, uint8_t lane, bool by_owner);
/* Our own process stood still: nobody is to blame. */
void pace_was_paused(struct rabia *r);
/* Whether the own lane's next slot may be spoken for. */
bool pace_can_speak(const struct rabia *r);
/* Own slots that others had decided NULL are passed by. */
void pace_pass_decided(struct rabia *r);
void pace_nudge(struct rabia *r, uint64_t lap);
void pace_hear_nudge(struct rabia *r, uint64_t lap);
void pace_run(struct rabia *r);
uint64_t pace_deadline_us(const struct rabia *r);
uint64_t pace_limit_us(const struct rabia *r, uint8_t lane);

/* --- catchup.c ----------------------------------------------------------- */

bool catchup_is_behind(const struct rabia *r);
void catchup_answered(struct rabia *r, uint8_t peer, uint64_t frontier_before);
void catchup_too_old(struct rabia *r, uint8_t peer, uint64_t lap, uint8_t lane);
void catchup_run(struct rabia *r);
uint64_t catchup_deadline_us(const struct rabia *r);

/* --- members.c ----------------------------------------------------------- */

struct members members_make(uint16_t mask, uint64_t from);
/* The first list, for a machine that is being made. */
void members_init(struct rabia *r, struct members members, struct members pending);
/* The list that holds now, and the audience, after any change. */
void members_settle(struct rabia *r);
/* The window has moved: slots of lanes outside the list are NULL from the
 * moment their lap comes into it. */
void members_open(struct rabia *r);
/* Tells a removed member when it may go. */
void members_leave(struct rabia *r);
/* Nobody waits for load to bring the pending list into force. */
void members_nudge(struct rabia *r);
/* The frontier has come to the lap from which the pending list holds. */
void members_promote(struct rabia *r);

/* --- export.c ------------------------------------------------------------ */

/* False if the bytes are no export. */
struct memory {
    uint64_t lap;
    uint8_t lane;
    struct members members, pending;
    uint64_t last_valid_laps[RABIA_MEMBERS_MAX];
};
bool memory_read(struct memory *memory, struct slice exported);
/* Slots before the machine's cursor are passed. */
void memory_pass_lanes(struct rabia *r);

/* --- rejoin.c ------------------------------------------------------------ */

void rejoin_answer(struct rabia *r, uint8_t peer);
void rejoin_hear_answer(struct rabia *r, uint8_t peer, const struct rabia_message *message);
/* REJOIN, or the nudge to J, again. */
void rejoin_repeat(struct rabia *r);
void rejoin_run(struct rabia *r);

#endif
