/* What a replica remembers: as of a snapshot (export, restore, install), and
 * since (replay, restate).
 *
 * An export, byte by byte, integers little-endian:
 *
 *   version u8        RABIA_EXPORT_VERSION
 *   lap u64, lane u8  the cursor: the next slot of the order
 *   members u16, from u64   list in force in the cursor's lap, and since which lap
 *   pending u16, from u64   list to come (0: none), and from which lap on
 *   last_valid u64 * 9      per lane, the lap of its last valid batch that is not
 *                           empty (all ones: none)
 *
 * It is the same on all replicas that are at this place of the order. */
#include "consensus/machine.h"

#include <assert.h>

#include "base/check.h"
#include "consensus/mutant.h"

enum { RABIA_EXPORT_VERSION = 1 };
static_assert(1 + 8 + 1 + 2 * (2 + 8) + 8 * RABIA_MEMBERS_MAX == RABIA_EXPORT_BYTES, "the bytes above");

/* --- export --------------------------------------------------------------- */

static unsigned char *put(unsigned char *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *at++ = (unsigned char)(value >> (8 * i));
    return at;
}

size_t rabia_export(const struct rabia *r, unsigned char bytes[static RABIA_EXPORT_BYTES])
{
    unsigned char *at = put(bytes, RABIA_EXPORT_VERSION, 1);
    at = put(at, r->frontier, 8);
    at = put(at, r->cursor_lane, 1);
    at = put(at, r->members.mask, 2);
    at = put(at, r->members.from, 8);
    at = put(at, r->pending.mask, 2);
    at = put(at, r->pending.from, 8);
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++)
        at = put(at, r->lanes[lane].last_valid_lap, 8);
    CHECK(at == bytes + RABIA_EXPORT_BYTES);
    return RABIA_EXPORT_BYTES;
}

static uint64_t take(const unsigned char **at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)*(*at)++ << (8 * i);
    return value;
}

static struct members take_members(const unsigned char **at)
{
    uint16_t mask = (uint16_t)take(at, 2);
    return members_make(mask, take(at, 8));
}

static bool is_memory_valid(const struct memory *m)
{
    unsigned lists = (unsigned)m->members.mask | m->pending.mask;
    if (m->lap > LAP_MAX || m->members.mask == 0 || lists >= 1u << RABIA_MEMBERS_MAX || lists >> m->lane == 0)
        return false;
    if (m->members.from > m->lap || (m->pending.mask == 0) != (m->pending.from == RABIA_NO_LAP))
        return false;
    return m->pending.from > m->lap && (m->pending.mask == 0 || m->pending.from <= LAP_MAX);
}

bool memory_read(struct memory *memory, struct slice exported)
{
    const unsigned char *at = (const unsigned char *)exported.ptr;
    if (exported.len != RABIA_EXPORT_BYTES || take(&at, 1) != RABIA_EXPORT_VERSION)
        return false;
    struct memory m = {.lap = take(&at, 8)};
    m.lane = (uint8_t)take(&at, 1);
    m.members = take_members(&at);
    m.pending = take_members(&at);
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++)
        m.last_valid_laps[lane] = take(&at, 8);
    if (!is_memory_valid(&m))
        return false;
    *memory = m;
    return true;
}

/* Slots of the cursor's lap that the snapshot covers. */
void memory_pass_lanes(struct rabia *r)
{
    CHECK(cursor_place(r) == r->base_place);
    CHECK(r->cursor_lane < r->lane_count);
    for (uint8_t lane = 0; lane < r->cursor_lane; lane++) {
        struct slot *slot = rabia_slot(r, r->frontier, lane);
        rabia_reset_slot(r, slot);
        slot->decision = SLOT_PASSED;
    }
    r->touched_end = lap_max(r->touched_end, r->frontier + (r->cursor_lane > 0));
    for (uint8_t lane = 0; lane < r->lane_count; lane++) {
        struct lane *l = &r->lanes[lane];
        while (l->first_undecided < window_end(r) && slot_is_decided(rabia_slot(r, l->first_undecided, lane)))
            l->first_undecided++;
    }
}

/* --- replay ---------------------------------------------------------------- */

static void recall_contents(struct rabia *r, struct slot *slot, const struct rabia_message *m)
{
    if (!m->batch || slot->decision == SLOT_NULL)
        return;
    slot->is_recorded = true;
    if (!slot->batch)
        rabia_hold(r, slot, m->batch);
}

static void recall_decision(struct rabia *r, struct slot *slot, uint64_t lap, uint8_t lane, uint8_t value)
{
    rabia_decide_slot(r, slot, value);
    pace_slot_decided(r, lap, lane, false);
}

static bool recall_own_lane(struct rabia *r, struct slot *slot, const struct rabia_message *m, uint64_t lap,
                            uint8_t said_before)
{
    bool is_first = said_before == SLOT_SAID_NOTHING && m->kind == RABIA_PROPOSAL && m->value == RABIA_BATCH;
    if (m->lane != r->options.self)
        return m->kind != RABIA_SKIP;
    r->own_in_flight += is_first;
    if (m->kind == RABIA_PROPOSAL || m->kind == RABIA_SKIP)
        r->own_next = lap_max(r->own_next, lap + 1);
    if (m->kind == RABIA_SKIP && !slot_is_decided(slot))
        recall_decision(r, slot, lap, m->lane, RABIA_NULL);
    return m->kind != RABIA_SKIP || slot->decision != SLOT_BATCH;
}

/* What is in the journal is on disk by now, so it counts as ours. */
static bool recall_said(struct rabia *r, const struct rabia_message *m, uint64_t lap)
{
    struct slot *slot = rabia_slot(r, lap, m->lane);
    if (slot->decision == SLOT_PASSED || (m->kind == RABIA_VOTE && MUTANT(MUTANT_FORGET_SAID)))
        return true;
    uint8_t said_before = slot->said;
    r->spoke_end = lap_max(r->spoke_end, lap + 1);
    recall_contents(r, slot, m);
    if (!is_member_at(r, r->options.self, lap) || !slot_recall(slot, m))
        return false;
    if (m->kind != RABIA_SKIP && !slot_is_decided(slot))
        slot_count(slot, r->options.self, m);
    return recall_own_lane(r, slot, m, lap, said_before);
}

/* The contents may come with a later record of the same step, or be lost with
 * the tail: then a peer has them. */
static bool recall_decided(struct rabia *r, const struct rabia_message *m, uint64_t lap)
{
    struct slot *slot = rabia_slot(r, lap, m->lane);
    if (slot_is_decided(slot))
        return slot->decision == SLOT_PASSED || (slot->decision == SLOT_BATCH) == (m->value == RABIA_BATCH);
    recall_contents(r, slot, m);
    if (m->value == RABIA_NULL) {
        recall_decision(r, slot, lap, m->lane, RABIA_NULL);
        return true;
    }
    slot->is_known_batch = true;
    slot->holders |= everyone_else(r);
    return true;
}

static bool is_record_valid(const struct rabia *r, const struct rabia_message *m, bool is_decided)
{
    bool is_kind_good = is_decided ? m->kind == RABIA_DECIDED
                                   : m->kind == RABIA_PROPOSAL || m->kind == RABIA_SKIP || m->kind == RABIA_STATE ||
                                         m->kind == RABIA_VOTE;
    bool has_phase = m->kind == RABIA_STATE || m->kind == RABIA_VOTE;
    uint8_t value_max = m->kind == RABIA_VOTE ? RABIA_UNSURE : RABIA_BATCH;
    return is_kind_good && m->lap <= LAP_MAX && m->count > 0 && m->count <= RANGE_MAX &&
           (!m->batch || m->count == 1) && m->value <= value_max &&
           (!has_phase || (m->phase > 0 && m->phase <= PHASE_MAX)) && m->lane < RABIA_MEMBERS_MAX &&
           (m->lap + m->count <= r->frontier || m->lane < r->lane_count);
}

static bool recall_slots(struct rabia *r, const struct rabia_message *m, bool is_decided)
{
    if (!is_record_valid(r, m, is_decided) || m->lap + m->count > window_end(r))
        return false;
    for (uint64_t lap = lap_max(m->lap, r->frontier); lap < m->lap + m->count; lap++) {
        if (!(is_decided ? recall_decided(r, m, lap) : recall_said(r, m, lap)))
            return false;
        struct slot *slot = rabia_slot(r, lap, m->lane);
        r->touched_end = lap_max(r->touched_end, lap + 1);
        if (m->value == RABIA_BATCH)
            pace_want(r, place_of(lap, m->lane) + 1); /* somebody waits for it */
        if (slot->is_known_batch && slot->batch && !slot_is_decided(slot))
            recall_decision(r, slot, lap, m->lane, RABIA_BATCH);
    }
    return true;
}

static bool recall(struct rabia *r, const struct rabia_record *record)
{
    const struct rabia_message *m = &record->message;
    switch (record->kind) {
    case RABIA_RECORD_SAID:
        return recall_slots(r, m, false);
    case RABIA_RECORD_DECIDED:
        return recall_slots(r, m, true);
    case RABIA_RECORD_LAP_MARK:
        r->mark = r->mark_on_disk = lap_max(r->mark, m->lap);
        return m->lap <= LAP_MAX + RABIA_AHEAD;
    case RABIA_RECORD_REJOIN:
        r->rejoin_lap = lap_max(r->rejoin_lap, m->lap);
        return m->lap <= LAP_MAX + RABIA_AHEAD;
    }
    return false;
}

bool rabia_replay(struct rabia *r, const struct rabia_record *record, struct rabia_out *out)
{
    CHECK(!r->has_begun);
    rabia_begin(r, r->now_us, 0, out);
    bool is_good = recall(r, record);
    rabia_order(r);
    pace_pass_decided(r);
    r->out = NULL;
    return is_good;
}

/* --- beginning ------------------------------------------------------------- */

static void evaluate_all(struct rabia *r)
{
    for (uint64_t lap = r->frontier; lap < lap_min(r->touched_end, window_end(r)); lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++)
            if (lap >= r->frontier)
                voice_evaluate(r, lap, lane);
}

/* An earlier life gave up own slots as far as we may propose, or further, and
 * its nudge is forgotten: nobody else need want them, and we could never propose. */
static void nudge_to_own_lap(struct rabia *r)
{
    if (r->own_next < r->frontier + ahead_of(r) || r->own_next >= window_end(r))
        return;
    r->nudge_lap = lap_max(r->nudge_lap, r->own_next);
    pace_nudge(r, r->own_next);
}

void rabia_speak(struct rabia *r, const struct rabia_speak_options *how, uint64_t now_us, uint64_t wall_ms,
                 struct rabia_out *out)
{
    CHECK(!r->has_begun);
    rabia_begin(r, now_us, wall_ms, out);
    r->has_begun = true;
    r->silent_below = r->rejoin_lap;
    r->was_forfeited = false;
    members_nudge(r);
    if (how->may_have_lost_tail && r->mark > r->frontier) {
        r->unsure_below = r->mark;
        r->nudge_lap = lap_max(r->nudge_lap, r->mark);
        pace_nudge(r, r->mark);
        outbox_send(r, everyone_else(r), false,
                    &(struct rabia_message){.kind = RABIA_NUDGE, .lap = r->mark, .count = 1});
        outbox_send(r, everyone_else(r), false,
                    &(struct rabia_message){
                        .kind = RABIA_RESUME, .lane = r->options.self, .lap = r->mark, .count = 1});
    }
    nudge_to_own_lap(r);
    evaluate_all(r);
    rabia_end(r);
}

/* --- restate --------------------------------------------------------------- */

struct restating {
    struct rabia *r;
    const struct slot *slot;
    struct rabia_message message;
    bool is_contents_due;
};

static void restate_said(struct restating *s, uint8_t kind, uint32_t phase, uint8_t value)
{
    struct rabia_message m = s->message;
    m.kind = kind;
    m.phase = phase;
    m.value = value;
    bool is_forfeit = kind == RABIA_PROPOSAL && value == RABIA_NULL;
    if (s->is_contents_due && !is_forfeit && kind != RABIA_SKIP) {
        m.batch = s->slot->batch;
        s->is_contents_due = false;
    }
    outbox_record(s->r, kind == RABIA_DECIDED ? RABIA_RECORD_DECIDED : RABIA_RECORD_SAID, &m, false);
}

static void restate_phases(struct restating *s)
{
    for (uint32_t number = 1; s->slot->contest && number <= s->slot->contest->capacity; number++) {
        const struct phase *phase = slot_phase(s->slot, number);
        if (phase->is_state_said)
            restate_said(s, RABIA_STATE, number, phase->said_state);
        if (phase->is_vote_said)
            restate_said(s, RABIA_VOTE, number, phase->said_vote);
    }
}

static void restate_slot(struct rabia *r, uint64_t lap, uint8_t lane)
{
    const struct slot *slot = rabia_slot(r, lap, lane);
    struct restating s = {.r = r, .slot = slot, .message = {.lane = lane, .lap = lap, .count = 1}};
    s.is_contents_due = slot->batch && slot->is_recorded;
    if (slot->said == SLOT_SAID_SKIP)
        restate_said(&s, RABIA_SKIP, 0, RABIA_NULL);
    else if (slot->said != SLOT_SAID_NOTHING)
        restate_said(&s, RABIA_PROPOSAL, 0, slot->said == SLOT_SAID_BATCH ? RABIA_BATCH : RABIA_NULL);
    restate_phases(&s);
    if (slot->said != SLOT_SAID_SKIP && (slot->decision == SLOT_NULL || slot->decision == SLOT_BATCH))
        restate_said(&s, RABIA_DECIDED, 0, slot->decision == SLOT_BATCH ? RABIA_BATCH : RABIA_NULL);
}

static void restate_lap(struct rabia *r, enum rabia_record_kind kind, uint64_t lap)
{
    if (lap > 0)
        outbox_record(r, kind, &(struct rabia_message){.lap = lap}, false);
}

void rabia_restate(struct rabia *r, struct rabia_out *out)
{
    CHECK(!r->out);
    CHECK(out->record_count == 0);
    r->out = out;
    restate_lap(r, RABIA_RECORD_LAP_MARK, r->mark);
    restate_lap(r, RABIA_RECORD_REJOIN, r->rejoin_lap);
    uint64_t end = lap_min(r->touched_end, window_end(r));
    for (uint64_t lap = r->frontier; lap < end; lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++)
            if (is_member_at(r, lane, lap))
                restate_slot(r, lap, lane);
    r->out = NULL;
}

/* --- install --------------------------------------------------------------- */

/* Whether own batches that are jumped over had an effect is in the snapshot,
 * but not to be seen there; one that we know to be NULL had none. */
static void leave_slot(struct rabia *r, uint64_t lap, uint8_t lane)
{
    struct slot *slot = rabia_slot(r, lap, lane);
    if (lane == r->options.self && slot->said == SLOT_SAID_BATCH && place_of(lap, lane) >= cursor_place(r)) {
        r->own_in_flight--;
        rabia_tell(r, &(struct rabia_decided){
                          .lap = lap, .lane = lane, .is_unknown = slot->decision != SLOT_NULL});
    }
    rabia_reset_slot(r, slot);
}

static void leave_all_before(struct rabia *r, uint64_t place)
{
    uint64_t end = lap_min((place >> 4) + 1, window_end(r));
    for (uint64_t lap = r->frontier; lap < end; lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++)
            if (place_of(lap, lane) < place)
                leave_slot(r, lap, lane);
}

static void adopt_members(struct rabia *r, const struct memory *memory)
{
    unsigned had = r->members.mask;
    r->members = memory->members;
    r->pending = memory->pending;
    unsigned removed = had & ~((unsigned)r->members.mask | r->pending.mask);
    r->learners = (uint16_t)(r->learners | removed);
    r->is_leaving |= (removed & bit_of(r->options.self)) != 0;
}

static void jump(struct rabia *r, const struct memory *memory)
{
    uint64_t old_end = window_end(r);
    leave_all_before(r, place_of(memory->lap, memory->lane));
    r->frontier = r->window_base = memory->lap;
    r->cursor_lane = memory->lane;
    r->base_place = cursor_place(r);
    r->nullable_from = lap_max(old_end, r->frontier);
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++) {
        struct lane *l = &r->lanes[lane];
        l->last_valid_lap = memory->last_valid_laps[lane];
        l->first_undecided = lap_max(l->first_undecided, r->frontier);
    }
    adopt_members(r, memory);
    members_settle(r);
    members_open(r);
    memory_pass_lanes(r);
    history_deinit(&r->history);
    history_init(&r->history, r->frontier, r->options.history_bytes_max);
    r->touched_end = lap_max(r->touched_end, r->frontier);
    pace_pass_decided(r);
}

bool rabia_install(struct rabia *r, struct slice exported, uint64_t now_us, uint64_t wall_ms, struct rabia_out *out)
{
    struct memory memory;
    CHECK(r->has_begun);
    if (!memory_read(&memory, exported) || place_of(memory.lap, memory.lane) <= cursor_place(r))
        return false;
    rabia_begin(r, now_us, wall_ms, out);
    jump(r, &memory);
    members_nudge(r);
    rabia_end(r);
    return true;
}
