/* rabia_check: the whole state against the invariants of rabia.h. */
#include "consensus/machine.h"

#include "base/check.h"

static bool has_two(unsigned a, unsigned b)
{
    return (a & b) != 0;
}

/* I1: nobody is counted for two different messages; our own bit agrees with
 * what we said.  I5: it is never set without. */
static void check_phase(const struct rabia *r, const struct slot *slot, const struct phase *phase)
{
    unsigned own = bit_of(r->options.self);
    CHECK(!has_two(phase->state[0], phase->state[1]));
    CHECK(!has_two(phase->vote[0], (unsigned)phase->vote[1] | phase->vote[2]));
    CHECK(!has_two(phase->vote[1], phase->vote[2]));
    for (uint8_t value = 0; value < 2; value++)
        if (phase->state[value] & own)
            CHECK(phase->is_state_said && phase->said_state == value);
    for (uint8_t value = 0; value < 3; value++)
        if (phase->vote[value] & own)
            CHECK(phase->is_vote_said && phase->said_vote == value);
    if (phase->is_state_said && phase->said_state == RABIA_BATCH)
        CHECK(slot->batch); /* I3 */
    if (phase->is_vote_said && phase->said_vote == RABIA_BATCH)
        CHECK(slot->batch); /* I3 */
}

static void check_slot(const struct rabia *r, const struct slot *slot, uint8_t lane)
{
    unsigned own = bit_of(r->options.self);
    CHECK(!has_two(slot->proposed_batch, slot->proposed_null));
    CHECK(slot->decision != SLOT_BATCH || slot->batch);
    CHECK(slot->decision != SLOT_NULL || !slot->batch);
    CHECK(slot->said != SLOT_SAID_SKIP || lane == r->options.self);
    CHECK(slot->said != SLOT_SAID_SKIP || slot->decision != SLOT_BATCH);
    CHECK(!slot->is_refused || slot->batch);
    if (slot->proposed_batch & own)
        CHECK(slot->said == SLOT_SAID_BATCH);
    if (slot->proposed_null & own)
        CHECK(slot->said == SLOT_SAID_NULL);
    if (slot->said == SLOT_SAID_BATCH && slot->decision != SLOT_NULL)
        CHECK(slot->batch); /* I3 */
    if (!slot->contest)
        return;
    CHECK(!slot_is_decided(slot));
    for (uint32_t phase = 1; phase <= slot->contest->capacity; phase++)
        check_phase(r, slot, slot_phase(slot, phase));
}

/* A slot that waits has nothing to do. */
static void check_quiet(const struct rabia *r, const struct slot *slot, uint64_t lap, uint8_t lane)
{
    struct slot_place place = {.cluster_seed = r->options.cluster_seed,
                               .lap = lap,
                               .lane = lane,
                               .self = r->options.self,
                               .quorum = members_at(r, lap)->quorum,
                               .is_silent = !may_speak(r, lap)};
    CHECK(slot_next(slot, &place).step == SLOT_WAIT);
}

static bool is_blank(const struct slot *slot)
{
    return !slot->batch && !slot->contest && !slot->proposed_batch && !slot->proposed_null && !slot->holders &&
           !slot_is_decided(slot) && slot->said == SLOT_SAID_NOTHING;
}

static void check_lane(const struct rabia *r, uint8_t lane)
{
    const struct lane *l = &r->lanes[lane];
    CHECK(l->first_undecided >= r->frontier);
    CHECK(l->last_valid_lap == RABIA_NO_LAP || l->last_valid_lap <= r->frontier);
    for (uint64_t lap = r->frontier; lap < window_end(r); lap++) {
        const struct slot *slot = rabia_slot(r, lap, lane);
        CHECK(lap >= l->first_undecided || slot_is_decided(slot));
        CHECK(lap != l->first_undecided || !slot_is_decided(slot));
        check_slot(r, slot, lane);
        if (r->has_begun)
            check_quiet(r, slot, lap, lane);
        if (lap >= r->touched_end && is_member_at(r, lane, lap))
            CHECK(is_blank(slot));
        if (!is_member_at(r, lane, lap))
            CHECK(slot_is_decided(slot) && !slot->batch); /* I6 */
    }
}

/* I5: a PROPOSAL that waits for the disk is not counted as ours. */
static void check_uncounted(const struct rabia *r, const struct rabia_message *m)
{
    unsigned own = bit_of(r->options.self);
    if (m->kind != RABIA_PROPOSAL)
        return;
    for (uint64_t lap = lap_max(m->lap, r->frontier); lap < m->lap + m->count; lap++) {
        const struct slot *slot = rabia_slot(r, lap, m->lane);
        CHECK(!has_two((unsigned)slot->proposed_batch | slot->proposed_null, own));
    }
}

/* I5: what waits for the disk is in order, and not counted. */
static void check_gate(const struct rabia *r)
{
    uint64_t seq = r->flushed_seq;
    for (size_t i = 0; i < r->gate.count; i++) {
        const struct gated *g = &r->gate.entries[(r->gate.head + i) & (r->gate.capacity - 1)];
        CHECK(g->seq >= seq);
        CHECK(g->seq <= r->last_seq);
        CHECK(!g->message.batch);
        check_uncounted(r, &g->message);
        seq = g->seq;
    }
}

/* I6: who counts, and where we are silent. */
static void check_members(const struct rabia *r)
{
    unsigned lists = (unsigned)r->members.mask | r->pending.mask;
    CHECK(r->members.mask != 0);
    CHECK(r->members.from <= r->frontier);
    CHECK((r->pending.from == RABIA_NO_LAP) == (r->pending.mask == 0));
    CHECK(r->pending.from > r->frontier);
    CHECK(lists >> r->lane_count == 0);
    CHECK(!(r->audience & bit_of(r->options.self)));
    CHECK((lists & ~(unsigned)r->audience & ~(unsigned)bit_of(r->options.self)) == 0);
    CHECK(r->has_begun || r->silent_below == RABIA_NO_LAP);
    CHECK(!r->is_rejoining || r->rejoin_lap == 0 || r->silent_below >= r->rejoin_lap);
}

static void check_held(const struct rabia *r)
{
    size_t bytes = 0;
    for (size_t i = 0; i < r->window * r->lane_count; i++)
        bytes += r->slots[i].batch ? r->slots[i].batch->size : 0;
    CHECK(bytes == r->held_bytes);
}

void rabia_check(const struct rabia *r)
{
    CHECK(!r->out);
    check_held(r);
    CHECK(r->cursor_lane < r->lane_count);
    if (r->frontier < window_end(r))
        CHECK(!slot_is_decided(rabia_slot(r, r->frontier, r->cursor_lane))); /* I4 */
    check_members(r);
    CHECK(r->own_next >= r->frontier);
    CHECK(r->own_next <= window_end(r)); /* I2 */
    CHECK(r->mark_on_disk <= r->mark);
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        check_lane(r, lane);
    check_gate(r);
    history_check(&r->history);
}
