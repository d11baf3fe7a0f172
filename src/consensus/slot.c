#include "consensus/slot.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/mutant.h"

static unsigned count_of(unsigned members)
{
    return (unsigned)__builtin_popcount(members);
}

/* --- what members said --------------------------------------------------- */

static uint32_t own_phase(const struct slot *slot)
{
    return slot->contest ? slot->contest->own_phase : 0;
}

const struct phase *slot_phase(const struct slot *slot, uint32_t phase)
{
    CHECK(phase > 0);
    if (!slot->contest || phase > slot->contest->capacity)
        return NULL;
    return &slot->contest->phases[phase - 1];
}

/* Room for phase; the array doubles, and never shrinks before the decision. */
static struct phase *phase_reach(struct slot *slot, uint32_t phase)
{
    CHECK(phase > 0);
    uint32_t had = slot->contest ? slot->contest->capacity : 0;
    if (phase > had) {
        uint32_t capacity = had * 2 > phase ? had * 2 : phase + 1;
        slot->contest = mem_realloc(slot->contest, sizeof *slot->contest + capacity * sizeof(struct phase));
        memset(&slot->contest->phases[had], 0, (capacity - had) * sizeof(struct phase));
        slot->contest->capacity = capacity;
        if (had == 0)
            slot->contest->own_phase = 0;
    }
    return &slot->contest->phases[phase - 1];
}

/* Sets bit in mine unless it is set there or in one of the others. */
static bool mark_once(uint16_t *mine, unsigned all, uint16_t bit)
{
    if (all & bit)
        return false;
    *mine = (uint16_t)(*mine | bit);
    return true;
}

static bool count_proposal(struct slot *slot, uint16_t bit, uint8_t value)
{
    unsigned all = (unsigned)slot->proposed_batch | slot->proposed_null;
    return mark_once(value == RABIA_BATCH ? &slot->proposed_batch : &slot->proposed_null, all, bit);
}

static bool count_in_phase(struct slot *slot, uint16_t bit, const struct rabia_message *message)
{
    if (message->phase > own_phase(slot) + PHASES_AHEAD)
        return false;
    struct phase *phase = phase_reach(slot, message->phase);
    if (MUTANT(MUTANT_VOTE_TWICE) && message->kind == RABIA_STATE)
        phase->is_vote_said = false;
    if (message->kind == RABIA_STATE)
        return mark_once(&phase->state[message->value], (unsigned)phase->state[0] | phase->state[1], bit);
    return mark_once(&phase->vote[message->value],
                     (unsigned)phase->vote[0] | phase->vote[1] | phase->vote[2], bit);
}

bool slot_count(struct slot *slot, uint8_t member, const struct rabia_message *message)
{
    CHECK(!slot_is_decided(slot));
    CHECK(member < RABIA_MEMBERS_MAX);
    uint16_t bit = (uint16_t)(1u << member);
    if (message->value == RABIA_BATCH)
        slot->holders |= bit;
    if (message->kind == RABIA_PROPOSAL)
        return count_proposal(slot, bit, message->value);
    return count_in_phase(slot, bit, message);
}

/* --- what comes next ----------------------------------------------------- */

/* (R7) Messages that say "batch" count only for a replica that holds it. */
static unsigned count_if_held(const struct slot *slot, unsigned members)
{
    return slot_is_held(slot) || MUTANT(MUTANT_NO_HOLDING) ? count_of(members) : 0;
}

static struct slot_action act(enum slot_step step, uint8_t value, uint32_t phase)
{
    return (struct slot_action){.step = step, .value = value, .phase = phase};
}
static struct slot_action wait_for_more(void)
{
    return act(SLOT_WAIT, 0, 0);
}

/* (R7) STATE(1) waits for the contents.  They can be had: whoever voted "?" or
 * 1 counted a STATE(1), so it holds them, and of q voters one is alive. */
static struct slot_action say_state(const struct slot *slot, uint32_t phase, bool value)
{
    if (value && !slot_is_held(slot) && !MUTANT(MUTANT_NO_HOLDING))
        return wait_for_more();
    return act(SLOT_SAY_STATE, value ? RABIA_BATCH : RABIA_NULL, phase);
}

/* (R4) Rabia, Algorithm 2, lines 1 to 6, with "any is for the batch" in place
 * of "q are for the same". */
static struct slot_action next_after_exchange(const struct slot *slot, const struct slot_place *place)
{
    unsigned nulls = count_of(slot->proposed_null);
    unsigned batches = count_if_held(slot, slot->proposed_batch);
    if (nulls == 0 || nulls + batches < place->quorum)
        return wait_for_more();
    if (MUTANT(MUTANT_FORFEITS_DECIDE) && nulls >= place->quorum)
        return act(SLOT_DECIDE, RABIA_NULL, 0);
    return say_state(slot, 1, batches > 0 && !MUTANT(MUTANT_MIXED_FORGETS_BATCH));
}

/* (R5) Algorithm 2, lines 9 to 13. */
static struct slot_action next_after_states(const struct slot *slot, const struct phase *phase,
                                            const struct slot_place *place, uint32_t number)
{
    unsigned zeros = count_of(phase->state[RABIA_NULL]);
    unsigned ones = count_if_held(slot, phase->state[RABIA_BATCH]);
    if (zeros + ones < place->quorum)
        return wait_for_more();
    uint8_t vote = ones >= place->quorum ? RABIA_BATCH : zeros >= place->quorum ? RABIA_NULL : RABIA_UNSURE;
    if (MUTANT(MUTANT_DECIDE_ON_STATES) && vote != RABIA_UNSURE)
        return act(SLOT_DECIDE, vote, number);
    return act(SLOT_SAY_VOTE, vote, number);
}

static bool flip_coin(const struct slot_place *place, uint32_t phase)
{
    uint64_t seed = place->cluster_seed + (MUTANT(MUTANT_LOCAL_COIN) ? place->self : 0);
    return rabia_coin(seed, place->lap, place->lane, phase);
}

/* (R5) Algorithm 2, lines 14 to 19. */
static struct slot_action next_after_votes(const struct slot *slot, const struct phase *phase,
                                           const struct slot_place *place, uint32_t number)
{
    unsigned zeros = count_of(phase->vote[RABIA_NULL]);
    unsigned ones = count_if_held(slot, phase->vote[RABIA_BATCH]);
    if (zeros + ones + count_of(phase->vote[RABIA_UNSURE]) < place->quorum)
        return wait_for_more();
    if (zeros >= place->quorum)
        return act(SLOT_DECIDE, RABIA_NULL, number);
    if (ones >= place->quorum)
        return act(SLOT_DECIDE, RABIA_BATCH, number);
    if ((zeros > 0 || ones > 0) && !MUTANT(MUTANT_VOTE_IGNORED))
        return say_state(slot, number + 1, ones > 0);
    return say_state(slot, number + 1, flip_coin(place, number));
}

static struct slot_action next_in_contest(const struct slot *slot, const struct slot_place *place)
{
    uint32_t number = own_phase(slot);
    if (number == 0)
        return next_after_exchange(slot, place);
    const struct phase *phase = slot_phase(slot, number);
    CHECK(phase);
    CHECK(phase->is_state_said);
    if (!phase->is_vote_said)
        return next_after_states(slot, phase, place, number);
    return next_after_votes(slot, phase, place, number);
}

/* (R2) Contents are echoed on first holding them, by everyone but the owner,
 * unless we forfeited. */
static bool is_echo_due(const struct slot *slot, const struct slot_place *place)
{
    if (!slot_is_held(slot) || place->lane == place->self)
        return false;
    return slot->said == SLOT_SAID_NOTHING ||
           (MUTANT(MUTANT_ECHO_AFTER_FORFEIT) && slot->said == SLOT_SAID_NULL);
}

/* A replica that may not speak learns what others decide by their words. */
static struct slot_action next_of_listener(const struct slot *slot, const struct slot_place *place)
{
    if (slot->batch && count_if_held(slot, slot->proposed_batch) >= place->quorum)
        return act(SLOT_DECIDE, RABIA_BATCH, 0);
    for (uint32_t number = 1; slot->contest && number <= slot->contest->capacity; number++) {
        const struct phase *phase = slot_phase(slot, number);
        if (count_of(phase->vote[RABIA_NULL]) >= place->quorum)
            return act(SLOT_DECIDE, RABIA_NULL, number);
        if (slot->batch && count_if_held(slot, phase->vote[RABIA_BATCH]) >= place->quorum)
            return act(SLOT_DECIDE, RABIA_BATCH, number);
    }
    return wait_for_more();
}

struct slot_action slot_next(const struct slot *slot, const struct slot_place *place)
{
    CHECK(place->quorum > 0);
    if (slot_is_decided(slot))
        return wait_for_more();
    if (slot->is_known_batch)
        return slot->batch ? act(SLOT_DECIDE, RABIA_BATCH, 0) : wait_for_more();
    if (place->is_silent)
        return next_of_listener(slot, place);
    if (is_echo_due(slot, place))
        return act(SLOT_ECHO, RABIA_BATCH, 0);
    unsigned needed = place->quorum - (MUTANT(MUTANT_QUORUM_TOO_SMALL) ? 1u : 0u);
    if (count_if_held(slot, slot->proposed_batch) >= needed && slot->batch) /* (R3) */
        return act(SLOT_DECIDE, RABIA_BATCH, 0);
    return next_in_contest(slot, place);
}

bool slot_needs_contents(const struct slot *slot, uint8_t lane)
{
    if (slot->batch || slot_is_decided(slot) || !slot->holders)
        return false;
    bool is_contested = slot->proposed_null || slot->contest;
    bool owner_proposed = slot->proposed_batch >> lane & 1;
    return slot->is_known_batch || is_contested || owner_proposed;
}

/* --- what we said -------------------------------------------------------- */

static void say_proposal(struct slot *slot, uint8_t said)
{
    CHECK(slot->said == SLOT_SAID_NOTHING || MUTANT(MUTANT_ECHO_AFTER_FORFEIT));
    slot->said = said;
}

static void say_in_phase(struct slot *slot, const struct rabia_message *message)
{
    struct phase *phase = phase_reach(slot, message->phase);
    if (message->kind == RABIA_STATE) {
        CHECK(!phase->is_state_said);
        phase->is_state_said = true;
        phase->said_state = message->value;
        slot->contest->own_phase = message->phase;
    } else {
        CHECK(!phase->is_vote_said);
        phase->is_vote_said = true;
        phase->said_vote = message->value;
    }
}

void slot_say(struct slot *slot, const struct rabia_message *message)
{
    CHECK(!slot_is_decided(slot));
    if (message->kind == RABIA_SKIP)
        say_proposal(slot, SLOT_SAID_SKIP);
    else if (message->kind == RABIA_PROPOSAL)
        say_proposal(slot, message->value == RABIA_BATCH ? SLOT_SAID_BATCH : SLOT_SAID_NULL);
    else
        say_in_phase(slot, message);
}

static bool recall_proposal(struct slot *slot, uint8_t said)
{
    if (slot->said != SLOT_SAID_NOTHING && slot->said != said)
        return false;
    slot->said = said;
    return true;
}

static bool recall_in_phase(struct slot *slot, const struct rabia_message *message)
{
    struct phase *phase = phase_reach(slot, message->phase);
    bool *is_said = message->kind == RABIA_STATE ? &phase->is_state_said : &phase->is_vote_said;
    uint8_t *said = message->kind == RABIA_STATE ? &phase->said_state : &phase->said_vote;
    if (*is_said)
        return *said == message->value;
    *is_said = true;
    *said = message->value;
    if (message->kind == RABIA_STATE && message->phase > slot->contest->own_phase)
        slot->contest->own_phase = message->phase;
    return true;
}

bool slot_recall(struct slot *slot, const struct rabia_message *message)
{
    if (message->kind == RABIA_SKIP)
        return recall_proposal(slot, SLOT_SAID_SKIP);
    if (message->kind == RABIA_PROPOSAL)
        return recall_proposal(slot, message->value == RABIA_BATCH ? SLOT_SAID_BATCH : SLOT_SAID_NULL);
    return slot_is_decided(slot) || recall_in_phase(slot, message);
}

/* --- the end ------------------------------------------------------------- */

void slot_decide(struct slot *slot, uint8_t value)
{
    CHECK(!slot_is_decided(slot));
    CHECK(value == RABIA_NULL || value == RABIA_BATCH);
    CHECK(value == RABIA_NULL || slot->batch);
    slot->decision = value == RABIA_BATCH ? SLOT_BATCH : SLOT_NULL;
    slot->is_refused = false;
    mem_free(slot->contest);
    slot->contest = NULL;
    if (value == RABIA_NULL) {
        batch_release(slot->batch);
        slot->batch = NULL;
    }
}

void slot_reset(struct slot *slot)
{
    batch_release(slot->batch);
    mem_free(slot->contest);
    *slot = (struct slot){0};
}
