/* What we say about a slot, and what follows from it.
 *
 * voice_evaluate is the loop around slot_next: it performs one action after
 * another until the slot waits.  Everything said goes one way (say): promised
 * in the slot, recorded, then counted and sent, or held back for the disk. */
#include "consensus/machine.h"

#include "base/check.h"
#include "consensus/mutant.h"

/* --- saying -------------------------------------------------------------- */

struct route {
    uint16_t urgent, lazy;
};

/* (Pace, Frames) An echo matters to the owner at once, to others sometime; a
 * skip to the owners who wait for it.  All else concerns everybody. */
static struct route route_of(const struct rabia *r, const struct rabia_message *m)
{
    uint16_t all = everyone_else(r), first = all;
    if (m->kind == RABIA_PROPOSAL && m->value == RABIA_BATCH && m->lane != r->options.self)
        first = bit_of(m->lane) & all;
    if (m->kind == RABIA_SKIP)
        first = r->skip_to & all;
    return (struct route){first, (uint16_t)(all & ~(unsigned)first)};
}

/* The first message of ours about a batch puts the contents on disk with it. */
static struct batch *contents_to_record(struct slot *slot, const struct rabia_message *m)
{
    bool is_forfeit = m->kind == RABIA_PROPOSAL && m->value == RABIA_NULL;
    if (is_forfeit || slot->is_recorded || !slot_is_held(slot))
        return NULL;
    slot->is_recorded = true;
    return slot->batch;
}

static void count_own(struct rabia *r, const struct rabia_message *m, uint64_t lap)
{
    struct slot *slot = rabia_slot(r, lap, m->lane);
    if (slot_is_decided(slot))
        return;
    if (m->kind == RABIA_SKIP)
        voice_decide(r, lap, m->lane, RABIA_NULL);
    else
        slot_count(slot, r->options.self, m);
}

/* The owner's contents go out at once; where a flush must come first, they go
 * as CONTENTS and the PROPOSAL follows without them.  Peers have had the
 * contents for a flush's time by then, so it may be lazy. */
static void say_gated(struct rabia *r, const struct slot *slot, const struct rabia_message *m)
{
    struct route route = route_of(r, m);
    bool is_owners = m->kind == RABIA_PROPOSAL && m->value == RABIA_BATCH && m->lane == r->options.self;
    bool is_early = is_owners && durability_may_send_early(r, m->lap);
    if (is_early) {
        struct rabia_message early = *m;
        early.kind = MUTANT(MUTANT_EARLY_IS_PROPOSAL) ? RABIA_PROPOSAL : RABIA_CONTENTS;
        early.batch = slot->batch;
        outbox_send(r, everyone_else(r), false, &early);
        route = (struct route){0, everyone_else(r)};
    }
    durability_gate(r, route.urgent, route.lazy, is_owners && !is_early, m);
    if (MUTANT(MUTANT_COUNT_UNFLUSHED))
        count_own(r, m, m->lap);
}

static void say_now(struct rabia *r, const struct slot *slot, const struct rabia_message *m)
{
    struct route route = route_of(r, m);
    struct rabia_message sent = *m;
    if (m->kind == RABIA_PROPOSAL && m->value == RABIA_BATCH && m->lane == r->options.self)
        sent.batch = slot->batch;
    outbox_send(r, route.urgent, false, &sent);
    outbox_send(r, route.lazy, true, &sent);
    count_own(r, m, m->lap);
}

static void say(struct rabia *r, const struct rabia_message *m)
{
    CHECK(m->count == 1);
    CHECK(m->lap < window_end(r) || MUTANT(MUTANT_NO_WINDOW)); /* I2 */
    CHECK(may_speak(r, m->lap));                               /* I6 */
    struct slot *slot = rabia_slot(r, m->lap, m->lane);
    slot_say(slot, m);
    r->touched_end = lap_max(r->touched_end, m->lap + 1);
    r->spoke_end = lap_max(r->spoke_end, m->lap + 1);
    bool needs_flush = durability_needs_flush(r, slot, m);
    struct rabia_message record = *m;
    record.batch = contents_to_record(slot, m);
    outbox_record(r, RABIA_RECORD_SAID, &record, needs_flush);
    if (needs_flush)
        say_gated(r, slot, m);
    else
        say_now(r, slot, m);
}

/* Slots behind the frontier were decided while the disk worked. */
void voice_count_own(struct rabia *r, const struct rabia_message *message)
{
    CHECK(message->count > 0);
    uint64_t end = message->lap + message->count;
    for (uint64_t lap = lap_max(message->lap, r->frontier); lap < end; lap++) {
        count_own(r, message, lap);
        voice_evaluate(r, lap, message->lane);
    }
}

void voice_propose(struct rabia *r, struct batch *batch)
{
    CHECK(pace_can_speak(r));
    uint64_t lap = r->own_next++;
    struct slot *slot = rabia_slot(r, lap, r->options.self);
    rabia_hold(r, slot, batch);
    r->own_in_flight++;
    pace_want(r, place_of(lap, r->options.self) + 1);
    say(r, &(struct rabia_message){
               .kind = RABIA_PROPOSAL, .lane = r->options.self, .value = RABIA_BATCH, .lap = lap, .count = 1});
    voice_evaluate(r, lap, r->options.self);
}

void voice_skip(struct rabia *r, uint64_t lap)
{
    CHECK(lap < window_end(r));
    say(r, &(struct rabia_message){.kind = RABIA_SKIP, .lane = r->options.self, .lap = lap, .count = 1});
}

void voice_forfeit_own(struct rabia *r, uint64_t lap)
{
    CHECK(lap < r->unsure_below);
    say(r, &(struct rabia_message){.kind = RABIA_PROPOSAL, .lane = r->options.self, .lap = lap, .count = 1});
    voice_evaluate(r, lap, r->options.self);
}

static bool may_forfeit(const struct slot *slot)
{
    return !slot_is_decided(slot) && slot->said == SLOT_SAID_NOTHING && !slot->is_known_batch;
}

void voice_forfeit(struct rabia *r, uint8_t lane, uint64_t from, uint64_t to)
{
    CHECK(lane != r->options.self);
    CHECK(to <= window_end(r));
    for (uint64_t lap = lap_max(from, r->frontier); lap < to; lap++) {
        if (!may_speak(r, lap) || !may_forfeit(rabia_slot(r, lap, lane)))
            continue;
        r->lanes[lane].forfeits++;
        say(r, &(struct rabia_message){.kind = RABIA_PROPOSAL, .lane = lane, .lap = lap, .count = 1});
        voice_evaluate(r, lap, lane);
    }
}

/* --- what follows -------------------------------------------------------- */

static void perform(struct rabia *r, uint64_t lap, uint8_t lane, struct slot_action action)
{
    struct rabia_message m = {.lane = lane, .value = action.value, .phase = action.phase, .lap = lap, .count = 1};
    CHECK(action.step != SLOT_WAIT);
    m.kind = action.step == SLOT_ECHO ? RABIA_PROPOSAL : action.step == SLOT_SAY_STATE ? RABIA_STATE : RABIA_VOTE;
    if (action.step == SLOT_DECIDE)
        voice_decide(r, lap, lane, action.value);
    else
        say(r, &m);
}

static struct slot_place place_for(const struct rabia *r, uint64_t lap, uint8_t lane)
{
    return (struct slot_place){.cluster_seed = r->options.cluster_seed,
                               .lap = lap,
                               .lane = lane,
                               .self = r->options.self,
                               .quorum = members_at(r, lap)->quorum,
                               .is_silent = !may_speak(r, lap)};
}

/* (Time) A batch refused for its clock is held once that time has come. */
static void reconsider_clock(const struct rabia *r, struct slot *slot)
{
    if (slot->is_refused && slot->batch->clock_ms <= r->wall_ms + r->options.clock_tolerance_ms)
        slot->is_refused = false;
}

/* Ends: every action says something that was not said, or decides. */
void voice_evaluate(struct rabia *r, uint64_t lap, uint8_t lane)
{
    struct slot *slot = rabia_slot(r, lap, lane);
    struct slot_place place = place_for(r, lap, lane);
    r->touched_end = lap_max(r->touched_end, lap + 1);
    reconsider_clock(r, slot);
    for (;;) {
        struct slot_action action = slot_next(slot, &place);
        if (action.step == SLOT_WAIT)
            break;
        perform(r, lap, lane, action);
    }
    if (slot_needs_contents(slot, lane) && slot->fetched == 0)
        voice_fetch(r, lap, lane);
}

/* --- contents ------------------------------------------------------------ */

static bool is_from_the_future(const struct rabia *r, uint8_t lane, const struct batch *batch)
{
    if (MUTANT(MUTANT_NO_CLOCK_RULE))
        return false;
    return lane != r->options.self && batch->clock_ms > r->wall_ms + r->options.clock_tolerance_ms;
}

/* (Time) Told to the owner and forfeited promptly; the contents are kept, for
 * others may decide it. */
static void refuse(struct rabia *r, uint64_t lap, uint8_t lane)
{
    rabia_slot(r, lap, lane)->is_refused = true;
    if (!may_speak(r, lap))
        return;
    struct rabia_message m = {
        .kind = RABIA_CLOCK_REFUSED, .lane = lane, .lap = lap, .count = 1, .clock_ms = r->wall_ms};
    outbox_send(r, bit_of(lane), false, &m);
    voice_forfeit(r, lane, lap, lap + 1);
}

void voice_hold(struct rabia *r, uint64_t lap, uint8_t lane, struct batch *batch)
{
    CHECK(batch);
    struct slot *slot = rabia_slot(r, lap, lane);
    if (slot->batch || slot_is_decided(slot))
        return;
    rabia_hold(r, slot, batch);
    if (slot->said == SLOT_SAID_NULL && lane != r->options.self)
        pace_forfeit_was_wrong(r, lane);
    /* What we echoed in a former life is held, whatever our clock says now. */
    if (!slot->is_known_batch && slot->said != SLOT_SAID_BATCH && is_from_the_future(r, lane, batch))
        refuse(r, lap, lane);
}

void voice_fetch(struct rabia *r, uint64_t lap, uint8_t lane)
{
    struct slot *slot = rabia_slot(r, lap, lane);
    unsigned holders = slot->holders & (unsigned)everyone_else(r);
    CHECK(!slot->batch);
    if (holders == 0)
        return;
    if ((holders & ~(unsigned)slot->fetched) == 0)
        slot->fetched = 0;
    unsigned untried = holders & ~(unsigned)slot->fetched;
    uint16_t chosen = (uint16_t)(untried & -untried);
    slot->fetched |= chosen;
    outbox_send(r, chosen, false, &(struct rabia_message){.kind = RABIA_FETCH, .lane = lane, .lap = lap, .count = 1});
}

/* --- deciding ------------------------------------------------------------ */

static void count_decision(struct rabia *r, const struct slot *slot, uint8_t lane, uint8_t value)
{
    uint32_t phase = slot->contest ? slot->contest->own_phase : 0;
    if (phase > RABIA_PHASE_COUNTERS)
        phase = RABIA_PHASE_COUNTERS;
    if (value == RABIA_BATCH)
        r->lanes[lane].decided_batches++;
    else
        r->lanes[lane].decided_nulls++;
    if (phase > 0)
        r->decided_in_phase[phase - 1]++;
    else if (value == RABIA_BATCH)
        r->decided_by_exchange++;
    if (value == RABIA_BATCH && slot->said == SLOT_SAID_NULL)
        r->lanes[lane].wrongful_forfeits++;
}

/* Our own SKIP is its decision; anything else is recorded. */
static void record_decision(struct rabia *r, struct slot *slot, uint64_t lap, uint8_t lane, uint8_t value)
{
    struct rabia_message m = {.kind = RABIA_DECIDED, .lane = lane, .value = value, .lap = lap, .count = 1};
    if (slot->said == SLOT_SAID_SKIP)
        return;
    if (value == RABIA_BATCH && !slot->is_recorded) {
        slot->is_recorded = true;
        m.batch = slot->batch;
    }
    outbox_record(r, RABIA_RECORD_DECIDED, &m, false);
}

void voice_decide(struct rabia *r, uint64_t lap, uint8_t lane, uint8_t value)
{
    struct slot *slot = rabia_slot(r, lap, lane);
    CHECK(lane == r->options.self || slot->said != SLOT_SAID_SKIP);
    bool by_owner = value == RABIA_BATCH || slot->said != SLOT_SAID_NULL;
    count_decision(r, slot, lane, value);
    rabia_decide_slot(r, slot, value);
    record_decision(r, slot, lap, lane, value);
    r->touched_end = lap_max(r->touched_end, lap + 1);
    pace_slot_decided(r, lap, lane, by_owner);
}
