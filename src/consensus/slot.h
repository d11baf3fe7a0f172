/* One slot: what members said about it, and what a replica does next.
 *
 * Rabia's weak-MVC (SOSP 2021, Algorithms 1 and 2) for the case of one owner
 * per slot: only the owner's batch or NULL can win.  Pure: slot_count notes a
 * message, slot_next names the next action, the caller (voice.c) performs it
 * and asks again until the slot waits.
 *
 *                     PROPOSAL(batch) from q            slot_next: SLOT_DECIDE
 *      +----------+ ------------------------------------------> DECIDED batch
 *      | EXCHANGE |   owner's SKIP                      voice.c
 *      |          | ------------------------------------------> DECIDED NULL
 *      +----------+
 *           | q PROPOSALs, one of them NULL (R4)        SLOT_SAY_STATE, phase 1
 *           v
 *      +----------+   q STATEs                          SLOT_SAY_VOTE
 *      |  STATE p | ------------> VOTE p
 *      +----------+                 | q VOTEs for v     SLOT_DECIDE
 *           ^                       +-------------------------> DECIDED v
 *           |    q VOTEs, else      |                   SLOT_SAY_STATE, p + 1
 *           +-----------------------+
 *
 *      from anywhere, DECIDED from a peer -------------------> DECIDED (R8)
 *
 * "Said" and "counted" differ: said is what this replica promised (written,
 * perhaps waiting for the disk) and must never say differently; its own bit is
 * counted when durability allows.
 *
 * Limits: messages of phases more than PHASES_AHEAD beyond the own phase are
 * dropped (their senders repeat them when asked), so a contest holds at most
 * own phase + PHASES_AHEAD phases. */
#ifndef CONSENSUS_SLOT_H
#define CONSENSUS_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "consensus/rabia.h"

enum { PHASES_AHEAD = 4 };

enum slot_decision {
    SLOT_UNDECIDED = 0,
    SLOT_NULL,
    SLOT_BATCH,
    SLOT_PASSED /* decided, and covered by a snapshot: the value is not known here */
};
enum slot_said { SLOT_SAID_NOTHING = 0, SLOT_SAID_NULL, SLOT_SAID_BATCH, SLOT_SAID_SKIP };

/* Bitmaps by member, indexed by enum rabia_value. */
struct phase {
    uint16_t state[2];
    uint16_t vote[3];
    bool is_state_said, is_vote_said;
    uint8_t said_state, said_vote;
};

/* The phases of a slot that the exchange did not decide. */
struct contest {
    uint32_t own_phase; /* of our last STATE; 0 before it */
    uint32_t capacity;
    struct phase phases[]; /* phase p at p - 1 */
};

struct slot {
    struct batch *batch;     /* contents, or NULL */
    struct contest *contest; /* NULL while nobody sent STATE or VOTE */
    uint16_t proposed_batch, proposed_null;
    uint16_t holders; /* members who said "batch" in any way: whom to fetch from */
    uint16_t fetched; /* of these, the ones we asked for the contents */
    uint8_t decision; /* enum slot_decision */
    uint8_t said;     /* enum slot_said: our PROPOSAL or SKIP */
    bool is_refused;  /* (Time) contents present, but their clock is too far ahead */
    bool is_known_batch; /* a peer says it is decided as the batch; we may lack contents */
    bool is_recorded; /* the contents are in our journal */
};

/* What slot_next has to know besides the slot itself. */
struct slot_place {
    uint64_t cluster_seed;
    uint64_t lap;
    uint8_t lane;
    uint8_t self;
    uint8_t quorum;
    bool is_silent; /* we may say nothing about it, only learn */
};

enum slot_step { SLOT_WAIT = 0, SLOT_ECHO, SLOT_SAY_STATE, SLOT_SAY_VOTE, SLOT_DECIDE };
struct slot_action {
    enum slot_step step;
    uint8_t value; /* enum rabia_value */
    uint32_t phase;
};

static inline bool slot_is_decided(const struct slot *slot)
{
    return slot->decision != SLOT_UNDECIDED;
}
/* (R7) Contents are there and not refused. */
static inline bool slot_is_held(const struct slot *slot)
{
    return slot->batch && !slot->is_refused;
}

/* Notes member's PROPOSAL, STATE or VOTE.  False when it says nothing new: a
 * repeat, a second different one (the first stays), or a phase out of reach. */
bool slot_count(struct slot *slot, uint8_t member, const struct rabia_message *message);

/* The next action by R2 to R7; SLOT_WAIT when more must arrive.  Never asks
 * for the same thing twice once slot_say was called. */
struct slot_action slot_next(const struct slot *slot, const struct slot_place *place);

/* Promises our PROPOSAL, SKIP, STATE or VOTE; CHECKs that it is the only one
 * (I1). */
void slot_say(struct slot *slot, const struct rabia_message *message);

/* The same for what a journal says that we said; it may come again, and phases
 * in any order.  False if it contradicts what was said. */
bool slot_recall(struct slot *slot, const struct rabia_message *message);

/* The contents are needed now, not only soon: without them the slot cannot go
 * on, or its owner believes that we have them. */
bool slot_needs_contents(const struct slot *slot, uint8_t lane);

/* Final.  Frees the phases; a NULL drops the contents too. */
void slot_decide(struct slot *slot, uint8_t value);
/* Releases what the slot holds and makes it blank. */
void slot_reset(struct slot *slot);

/* The phases said so far, for repeating; NULL if phase was never reached. */
const struct phase *slot_phase(const struct slot *slot, uint32_t phase);

#endif
