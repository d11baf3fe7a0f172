/* Membership (protocol.md): who counts is a function of the lap.
 *
 * At most two lists matter: the one of the frontier's lap, and the pending one.
 * A change that came out in lap L holds from L + A + 1: whoever took part in
 * the last lap of the old list has then applied lap L, so that every quorum of
 * the old list has a member that knows the new one (rejoin.c needs that).
 *
 * Lanes outside the list: their slots are NULL from the moment their lap comes
 * into the window, so that no other rule has to know about them. */
#include "consensus/machine.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/mutant.h"

struct members members_make(uint16_t mask, uint64_t from)
{
    return (struct members){mask, (uint8_t)(__builtin_popcount(mask) / 2 + 1), from};
}

static uint8_t width_of(unsigned mask)
{
    return mask ? (uint8_t)(32 - __builtin_clz(mask)) : 0;
}

/* --- lanes that have no slots yet, or no members -------------------------- */

static void null_slot(struct rabia *r, uint64_t lap, uint8_t lane)
{
    struct slot *slot = rabia_slot(r, lap, lane);
    CHECK(slot->said == SLOT_SAID_NOTHING);
    if (!slot_is_decided(slot))
        rabia_decide_slot(r, slot, RABIA_NULL);
}

static void pass_nulls(struct rabia *r, uint8_t lane)
{
    struct lane *l = &r->lanes[lane];
    while (l->first_undecided < window_end(r) && slot_is_decided(rabia_slot(r, l->first_undecided, lane)))
        l->first_undecided++;
}

static void copy_lap(struct slot *to, uint8_t to_lanes, const struct slot *from, uint8_t from_lanes, uint64_t index)
{
    memcpy(&to[index * to_lanes], &from[index * from_lanes], from_lanes * sizeof *from);
}

/* New lanes have no member in the laps that are in the window already. */
static void grow_lanes(struct rabia *r, uint8_t lane_count)
{
    uint8_t had = r->lane_count;
    CHECK(lane_count > had);
    struct slot *slots = mem_calloc(r->window * lane_count, sizeof *slots);
    for (uint64_t index = 0; r->slots && index < r->window; index++)
        copy_lap(slots, lane_count, r->slots, had, index);
    mem_free(r->slots);
    r->slots = slots;
    r->lane_count = lane_count;
    for (uint8_t lane = had; lane < lane_count; lane++)
        r->lanes[lane].first_undecided = r->frontier;
}

static bool has_outsiders(const struct rabia *r)
{
    unsigned all = (1u << r->lane_count) - 1;
    return r->members.mask != all || (r->pending.mask != 0 && r->pending.mask != all);
}

static void null_outsiders(struct rabia *r, uint64_t from, uint64_t to)
{
    unsigned all = (1u << r->lane_count) - 1;
    for (uint64_t lap = from; lap < to; lap++)
        for (unsigned left = all & ~(unsigned)members_at(r, lap)->mask; left; left &= left - 1)
            null_slot(r, lap, (uint8_t)__builtin_ctz(left));
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        pass_nulls(r, lane);
}

void members_open(struct rabia *r)
{
    uint64_t from = lap_max(r->nullable_from, r->frontier);
    r->nullable_from = window_end(r);
    if (has_outsiders(r))
        null_outsiders(r, from, window_end(r));
}

/* --- lists --------------------------------------------------------------- */

void members_settle(struct rabia *r)
{
    unsigned lists = (unsigned)r->members.mask | r->pending.mask;
    r->learners &= (uint16_t)~lists;
    r->audience = (uint16_t)((lists | r->learners) & ~(unsigned)bit_of(r->options.self));
    r->peer_count = width_of(r->audience);
    if (width_of(lists) > r->lane_count) {
        grow_lanes(r, width_of(lists));
        null_outsiders(r, r->frontier, r->nullable_from);
    }
}

void members_init(struct rabia *r, struct members members, struct members pending)
{
    CHECK(!r->slots);
    r->members = members;
    r->pending = pending;
    r->nullable_from = r->frontier;
    members_settle(r);
    members_open(r);
}

/* A removed member may still have to learn that it is: it stays a learner
 * until the driver says otherwise. */
void members_promote(struct rabia *r)
{
    unsigned removed = r->members.mask & ~(unsigned)r->pending.mask;
    CHECK(r->frontier == r->pending.from);
    r->members = r->pending;
    r->pending = members_make(0, RABIA_NO_LAP);
    r->learners = (uint16_t)(r->learners | removed);
    r->is_leaving |= (removed & bit_of(r->options.self)) != 0;
    r->is_leaving &= !(r->members.mask & bit_of(r->options.self));
    members_settle(r);
}

/* What the old list decided, its members hold: they are needed until a quorum
 * of the new one has passed the last of its laps. */
void members_leave(struct rabia *r)
{
    unsigned passed = 0;
    if (!r->is_leaving)
        return;
    for (uint8_t peer = 0; peer < r->peer_count; peer++)
        passed += (r->members.mask >> peer & 1) && r->lanes[peer].frontier_lap >= r->members.from;
    if (passed < r->members.quorum)
        return;
    r->is_leaving = false;
    r->out->was_removed = true;
}

void members_nudge(struct rabia *r)
{
    if (!r->pending.mask)
        return;
    r->nudge_lap = lap_max(r->nudge_lap, r->pending.from);
    pace_nudge(r, r->pending.from);
}

/* Depends on lap and on earlier changes alone, so all replicas answer alike. */
uint64_t rabia_change_members(struct rabia *r, uint64_t lap, uint16_t mask)
{
    CHECK(!r->out);
    CHECK(mask != 0);
    CHECK(mask < 1u << RABIA_MEMBERS_MAX);
    CHECK(lap >= r->window_base);
    CHECK(lap <= r->frontier);
    uint64_t newest = r->pending.mask ? r->pending.from : r->members.from;
    if (lap < newest && !MUTANT(MUTANT_CHANGE_DURING_CHANGE))
        return RABIA_NO_LAP;
    CHECK(!r->pending.mask || MUTANT(MUTANT_CHANGE_DURING_CHANGE));
    uint64_t from = MUTANT(MUTANT_CHANGE_AT_ONCE) ? r->frontier + 1 : lap + r->window + 1;
    r->pending = members_make(mask, from);
    members_settle(r);
    if (r->has_begun)
        members_nudge(r);
    return from;
}
