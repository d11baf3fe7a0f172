#include "wire_checker.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "data_model.h"

#define SLOT "lap %" PRIu64 " lane %u"

/* A range beyond any window is a malformed message, not a reason to allocate. */
enum { RANGE_MAX = 64 * RABIA_WINDOW };

void wire_init(struct wire_checker *wire, struct verdict *verdict, const struct rabia_options *options)
{
    memset(wire, 0, sizeof *wire);
    wire->verdict = verdict;
    wire->nodes = options->member_count;
    wire->window = RABIA_WINDOW;
    wire_members(wire, options->first_lap, (uint16_t)((1u << options->member_count) - 1));
    wire->flush_before_send = options->flush_before_send;
    wire->cluster_seed = options->cluster_seed;
    wire->first_lap = options->first_lap;
    wire->clock_tolerance_ms = options->clock_tolerance_ms;
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        wire->replicas[i].frontier = options->first_lap;
}

void wire_deinit(struct wire_checker *wire)
{
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++) {
        for (size_t j = 0; j < wire->lanes[i].count; j++)
            for (struct wire_phase *phase = wire->lanes[i].slots[j].phases, *next; phase; phase = next) {
                next = phase->next;
                mem_free(phase);
            }
        mem_free(wire->lanes[i].slots);
        mem_free(wire->replicas[i].pending);
    }
}

void wire_members(struct wire_checker *wire, uint64_t from, uint16_t mask)
{
    if (wire->list_count < WIRE_LISTS_MAX)
        wire->lists[wire->list_count++] = (struct wire_list){from, mask};
    else
        verdict_fail(wire->verdict, "the run has more changes of members than there is room for");
}

const struct wire_list *wire_list_at(const struct wire_checker *wire, uint64_t lap)
{
    size_t i = wire->list_count - 1;
    while (i > 0 && wire->lists[i].from > lap)
        i--;
    return &wire->lists[i];
}

static unsigned quorum_of(const struct wire_list *list)
{
    return (unsigned)__builtin_popcount(list->mask) / 2 + 1;
}

static struct wire_slot *slot_at(struct wire_checker *wire, uint8_t lane_index, uint64_t lap)
{
    struct wire_lane *lane = &wire->lanes[lane_index];
    size_t at = (size_t)(lap - wire->first_lap);
    if (at >= lane->count) {
        size_t count = lane->count ? lane->count * 2 : 1024;
        while (count <= at)
            count *= 2;
        lane->slots = mem_realloc(lane->slots, count * sizeof *lane->slots);
        memset(lane->slots + lane->count, 0, (count - lane->count) * sizeof *lane->slots);
        lane->count = count;
    }
    return &lane->slots[at];
}

static struct wire_phase *phase_at(struct wire_slot *slot, uint32_t number, bool creates)
{
    static struct wire_phase nothing;
    for (struct wire_phase *phase = slot->phases; phase; phase = phase->next)
        if (phase->phase == number)
            return phase;
    if (!creates)
        return &nothing;
    struct wire_phase *phase = mem_calloc(1, sizeof *phase);
    phase->phase = number;
    phase->next = slot->phases;
    slot->phases = phase;
    return phase;
}

static unsigned count_bits(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

static bool names_slots(uint8_t kind)
{
    return kind == RABIA_PROPOSAL || kind == RABIA_CONTENTS || kind == RABIA_SKIP || kind == RABIA_STATE ||
           kind == RABIA_VOTE || kind == RABIA_DECIDED || kind == RABIA_FETCH || kind == RABIA_CLOCK_REFUSED;
}

static bool speaks_in_slots(uint8_t kind)
{
    return kind == RABIA_PROPOSAL || kind == RABIA_CONTENTS || kind == RABIA_SKIP || kind == RABIA_STATE ||
           kind == RABIA_VOTE;
}

/* W1 */
static bool is_well_formed(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m)
{
    const char *wrong = NULL;
    if (m->kind == 0 || m->kind >= RABIA_KIND_END)
        wrong = "unknown kind";
    else if (names_slots(m->kind) && m->lane >= wire->nodes)
        wrong = "no such lane";
    else if (names_slots(m->kind) && (m->count == 0 || m->count > RANGE_MAX))
        wrong = "count out of range";
    else if (names_slots(m->kind) && (m->lap < wire->first_lap || m->lap - wire->first_lap > UINT32_MAX))
        wrong = "lap out of range";
    else if ((m->kind == RABIA_PROPOSAL || m->kind == RABIA_STATE || m->kind == RABIA_DECIDED) && m->value > RABIA_BATCH)
        wrong = "value out of range";
    else if (m->kind == RABIA_VOTE && m->value > RABIA_UNSURE)
        wrong = "value out of range";
    else if ((m->kind == RABIA_STATE || m->kind == RABIA_VOTE) && m->phase == 0)
        wrong = "phase 0";
    else if (m->kind == RABIA_CONTENTS && !m->batch)
        wrong = "CONTENTS without contents";
    else if (m->batch && m->count != 1)
        wrong = "contents for a range";
    if (!wrong)
        return true;
    verdict_fail(wire->verdict, "W1: replica %u: %s (kind %u, lap %" PRIu64 ", lane %u, count %" PRIu64 ")", replica,
                 wrong, m->kind, m->lap, m->lane, m->count);
    return false;
}

/* W4 */
static void check_contents(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m)
{
    const struct wire_slot *slot = slot_at(wire, m->lane, m->lap);
    if (slot->hash != data_batch_hash(m->batch))
        verdict_fail(wire->verdict, "W4: replica %u has other contents than the owner's for " SLOT, replica, m->lap,
                     m->lane);
}

void wire_received(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m)
{
    if (m->batch && m->kind != RABIA_REJOIN_ANSWER && m->lane < wire->nodes) {
        check_contents(wire, replica, m);
        slot_at(wire, m->lane, m->lap)->received |= (uint16_t)(1u << replica);
    }
}

void wire_proposed(struct wire_checker *wire, uint8_t replica, uint64_t lap, const struct batch *batch)
{
    if (lap == RABIA_NO_LAP || lap < wire->first_lap || lap - wire->first_lap > UINT32_MAX) {
        verdict_fail(wire->verdict, "W1: replica %u proposed in lap %" PRIu64, replica, lap);
        return;
    }
    struct wire_slot *slot = slot_at(wire, replica, lap);
    if (slot->hash)
        verdict_fail(wire->verdict, "W2: replica %u puts a second batch into lap %" PRIu64, replica, lap);
    if (slot->is_skipped)
        verdict_fail(wire->verdict, "W2: replica %u puts a batch into lap %" PRIu64 ", which it skipped", replica, lap);
    if (lap >= wire->replicas[replica].frontier + wire->window)
        verdict_fail(wire->verdict, "W3: replica %u proposes in lap %" PRIu64 " beyond its window", replica, lap);
    slot->hash = data_batch_hash(batch);
    slot->is_empty = batch_is_empty(batch);
    slot->received |= (uint16_t)(1u << replica);
}

/* --- what had been said, W8 ------------------------------------------------ */

static unsigned count_of(const struct wire_list *list, unsigned bits)
{
    return count_bits(bits & list->mask);
}

static unsigned proposals(const struct wire_list *list, const struct wire_slot *slot, unsigned value)
{
    return count_of(list, slot->counted_proposal[value]);
}

static bool state_follows(const struct wire_checker *wire, struct wire_slot *slot, const struct rabia_message *m,
                          uint64_t lap)
{
    const struct wire_list *list = wire_list_at(wire, lap);
    unsigned q = quorum_of(list), zeros = proposals(list, slot, RABIA_NULL), ones = proposals(list, slot, RABIA_BATCH);
    if (m->phase == 1)
        return m->value == RABIA_BATCH ? ones >= 1 && zeros >= 1 && zeros + ones >= q : zeros >= q;
    const struct wire_phase *before = phase_at(slot, m->phase - 1, false);
    unsigned votes = count_of(list, before->counted_vote[0]) + count_of(list, before->counted_vote[1]) +
                     count_of(list, before->counted_vote[2]);
    if (votes < q)
        return false;
    if (before->counted_vote[m->value] & list->mask)
        return true;
    return rabia_coin(wire->cluster_seed, lap, m->lane, m->phase - 1) == (m->value == RABIA_BATCH) &&
           count_of(list, before->counted_vote[RABIA_UNSURE]) >= q;
}

static bool vote_follows(const struct wire_checker *wire, struct wire_slot *slot, const struct rabia_message *m,
                         uint64_t lap)
{
    const struct wire_list *list = wire_list_at(wire, lap);
    const struct wire_phase *phase = phase_at(slot, m->phase, false);
    unsigned zeros = count_of(list, phase->counted_state[0]), ones = count_of(list, phase->counted_state[1]);
    if (m->value == RABIA_UNSURE)
        return zeros && ones && zeros + ones >= quorum_of(list);
    return (m->value == RABIA_BATCH ? ones : zeros) >= quorum_of(list);
}

static bool decision_follows(const struct wire_list *list, const struct wire_slot *slot, uint8_t value)
{
    if (value == RABIA_BATCH ? proposals(list, slot, RABIA_BATCH) >= quorum_of(list) : slot->is_skip_counted)
        return true;
    for (const struct wire_phase *phase = slot->phases; phase; phase = phase->next)
        if (count_of(list, phase->counted_vote[value]) >= quorum_of(list))
            return true;
    return false;
}

/* W9: the first time anybody claims the slot decided, the claim must follow
 * from what was said; from then on it is the slot's value. */
static void settle(struct wire_checker *wire, uint8_t replica, uint8_t lane, uint64_t lap, uint8_t value)
{
    struct wire_slot *slot = slot_at(wire, lane, lap);
    const struct wire_list *list = wire_list_at(wire, lap);
    bool has_member = list->mask >> lane & 1;
    if (slot->decided == value + 1 || slot->is_muddled || (!has_member && value == RABIA_NULL))
        return;
    if (slot->decided) {
        verdict_fail(wire->verdict, "W9: replica %u decides %s for " SLOT ", which others decided as %s", replica,
                     value ? "batch" : "NULL", lap, lane, value ? "NULL" : "batch");
        return;
    }
    if (!has_member || !decision_follows(list, slot, value))
        verdict_fail(wire->verdict, "W8: replica %u decides %s for " SLOT ", which nothing said so far supports", replica,
                     value ? "batch" : "NULL", lap, lane);
    unsigned held = slot->is_empty ? slot->journaled : slot->counted_journaled; /* empty: needs no flush */
    unsigned holders = count_of(list, held | slot->lost);
    if (value == RABIA_BATCH && holders < quorum_of(list))
        verdict_fail(wire->verdict, "W9: " SLOT " is decided as a batch held by %u", lap, lane, holders);
    slot->decided = (uint8_t)(value + 1);
}

/* --- records ---------------------------------------------------------------- */

static void count_said(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m, bool is_decided)
{
    uint16_t bit = (uint16_t)(1u << replica);
    struct wire_replica *r = &wire->replicas[replica];
    if (!is_decided && m->lap + m->count > r->spoke_end)
        r->spoke_end = m->lap + m->count;
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
        struct wire_slot *slot = slot_at(wire, m->lane, lap);
        if (m->batch)
            slot->counted_journaled |= bit;
        if (is_decided)
            continue;
        if (m->kind == RABIA_PROPOSAL)
            slot->counted_proposal[m->value] |= bit;
        else if (m->kind == RABIA_SKIP)
            slot->is_skip_counted = 1;
        else if (m->kind == RABIA_STATE)
            phase_at(slot, m->phase, true)->counted_state[m->value] |= bit;
        else
            phase_at(slot, m->phase, true)->counted_vote[m->value] |= bit;
    }
}

static void note_proposal(struct wire_checker *wire, uint8_t replica, struct wire_slot *slot,
                          const struct rabia_message *m, uint64_t lap, uint64_t wall_ms)
{
    uint16_t bit = (uint16_t)(1u << replica);
    if (slot->proposal[1 - m->value] & bit)
        verdict_fail(wire->verdict, "W2: replica %u proposes both batch and NULL for " SLOT, replica, lap, m->lane);
    if (m->value == RABIA_BATCH && slot->is_skipped)
        verdict_fail(wire->verdict, "W2: replica %u proposes a batch for " SLOT ", which its owner skipped", replica, lap,
                     m->lane);
    if (m->value == RABIA_BATCH && m->batch && replica != m->lane && !(slot->proposal[RABIA_BATCH] & bit) &&
        m->batch->clock_ms > wall_ms + wire->clock_tolerance_ms)
        verdict_fail(wire->verdict, "W10: replica %u echoes " SLOT ", whose clock is %" PRIu64 " ms ahead", replica, lap,
                     m->lane, m->batch->clock_ms - wall_ms);
    slot->proposal[m->value] |= bit;
}

static void note_state(struct wire_checker *wire, uint8_t replica, struct wire_slot *slot, const struct rabia_message *m,
                       uint64_t lap)
{
    struct wire_phase *phase = phase_at(slot, m->phase, true);
    uint16_t bit = (uint16_t)(1u << replica);
    if (phase->state[1 - m->value] & bit)
        verdict_fail(wire->verdict, "W2: replica %u has two STATEs for " SLOT " phase %u", replica, lap, m->lane, m->phase);
    phase->state[m->value] |= bit;
}

static void note_vote(struct wire_checker *wire, uint8_t replica, struct wire_slot *slot, const struct rabia_message *m,
                      uint64_t lap)
{
    struct wire_phase *phase = phase_at(slot, m->phase, true);
    uint16_t bit = (uint16_t)(1u << replica);
    for (unsigned other = 0; other < 3; other++)
        if (other != m->value && phase->vote[other] & bit)
            verdict_fail(wire->verdict, "W2: replica %u has two VOTEs for " SLOT " phase %u", replica, lap, m->lane,
                         m->phase);
    if (m->value != RABIA_UNSURE && phase->vote[1 - m->value] && !slot->is_muddled)
        verdict_fail(wire->verdict, "W11: votes for both values in " SLOT " phase %u", lap, m->lane, m->phase);
    phase->vote[m->value] |= bit;
}

static void note_skip(struct wire_checker *wire, uint8_t replica, struct wire_slot *slot, const struct rabia_message *m,
                      uint64_t lap)
{
    if (m->lane != replica)
        verdict_fail(wire->verdict, "W2: replica %u skips " SLOT ", not its own", replica, lap, m->lane);
    if (slot->hash)
        verdict_fail(wire->verdict, "W2: replica %u skips " SLOT ", where it has a batch", replica, lap, m->lane);
    slot->is_skipped = 1;
}

/* W5: the journal must hold the contents no later than the first record that
 * says "batch". */
static void check_held(struct wire_checker *wire, uint8_t replica, struct wire_slot *slot, const struct rabia_message *m,
                       uint64_t lap)
{
    uint16_t bit = (uint16_t)(1u << replica);
    if (m->value != RABIA_BATCH || m->kind == RABIA_SKIP)
        return;
    if (!(slot->journaled & bit))
        verdict_fail(wire->verdict, "W5: replica %u records %u for " SLOT " and has no contents in its journal", replica,
                     m->kind, lap, m->lane);
    if (!(slot->received & bit))
        verdict_fail(wire->verdict, "W5: replica %u records %u for " SLOT ", whose contents never reached it", replica,
                     m->kind, lap, m->lane);
}

/* W7: what may stay unflushed. */
static void check_flush_need(struct wire_checker *wire, uint8_t replica, const struct wire_slot *slot,
                             const struct rabia_record *record, uint64_t lap)
{
    const struct rabia_message *m = &record->message;
    if (!wire->flush_before_send || record->needs_flush || m->kind == RABIA_SKIP || record->kind == RABIA_RECORD_DECIDED)
        return;
    if (!slot->is_empty || (m->kind == RABIA_PROPOSAL && m->value == RABIA_NULL))
        verdict_fail(wire->verdict, "W7: replica %u does not flush %u for " SLOT, replica, m->kind, lap, m->lane);
}

static void push_pending(struct wire_replica *r, const struct rabia_record *record)
{
    if (r->pending_head == r->pending_count)
        r->pending_head = r->pending_count = 0;
    if (r->pending_count == r->pending_capacity) {
        r->pending_capacity = r->pending_capacity ? r->pending_capacity * 2 : 64;
        r->pending = mem_realloc(r->pending, r->pending_capacity * sizeof *r->pending);
    }
    r->pending[r->pending_count++] = (struct wire_pending){.seq = record->seq, .message = record->message,
                                                           .is_lap_mark = record->kind == RABIA_RECORD_LAP_MARK,
                                                           .is_decided = record->kind == RABIA_RECORD_DECIDED,
                                                           .is_rejoin = record->kind == RABIA_RECORD_REJOIN};
}

static bool names_a_lap(const struct rabia_record *record)
{
    return record->kind == RABIA_RECORD_LAP_MARK || record->kind == RABIA_RECORD_REJOIN;
}

static bool is_record_well_formed(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record)
{
    struct wire_replica *r = &wire->replicas[replica];
    if (r->next_seq && record->seq != r->next_seq)
        verdict_fail(wire->verdict, "W1: replica %u writes record %" PRIu64 " after %" PRIu64, replica, record->seq,
                     r->next_seq - 1);
    r->next_seq = record->seq + 1;
    uint8_t kind = record->message.kind;
    if (names_a_lap(record))
        return true;
    bool is_kind_right = record->kind == RABIA_RECORD_DECIDED ? kind == RABIA_DECIDED
                                                              : kind == RABIA_PROPOSAL || kind == RABIA_STATE ||
                                                                    kind == RABIA_VOTE || kind == RABIA_SKIP;
    if (!is_kind_right)
        verdict_fail(wire->verdict, "W1: replica %u writes a record of kind %u with message %u", replica, record->kind,
                     kind);
    return is_kind_right && is_well_formed(wire, replica, &record->message);
}

static void note_contents(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record)
{
    const struct rabia_message *m = &record->message;
    if (!m->batch)
        return;
    check_contents(wire, replica, m);
    slot_at(wire, m->lane, m->lap)->journaled |= (uint16_t)(1u << replica);
}

/* W12, W13 */
static void check_may_speak(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m, uint64_t lap)
{
    const struct wire_list *list = wire_list_at(wire, lap);
    const struct wire_replica *r = &wire->replicas[replica];
    if (!(list->mask >> replica & 1) || !(list->mask >> m->lane & 1))
        verdict_fail(wire->verdict, "W12: replica %u says %u for " SLOT ", whose members are %#x", replica, m->kind, lap,
                     m->lane, list->mask);
    if (lap < r->silent_below)
        verdict_fail(wire->verdict, "W13: replica %u says %u for " SLOT ", it lost its memory and J is %" PRIu64, replica,
                     m->kind, lap, m->lane, r->silent_below);
}

static bool is_answered_by(const struct wire_replica *r, uint8_t replica, uint16_t mask)
{
    unsigned others = r->answered & mask & ~(1u << replica);
    return mask == 0 || count_bits(others) > count_bits(mask) / 2;
}

/* W13: what may have been sent was spoken. */
static void note_rejoin(struct wire_checker *wire, uint8_t replica, uint64_t lap)
{
    struct wire_replica *r = &wire->replicas[replica];
    if (!r->is_rejoining)
        verdict_fail(wire->verdict, "W13: replica %u has its memory and sets J", replica);
    if (lap < r->spoke_end)
        verdict_fail(wire->verdict, "W13: replica %u takes J %" PRIu64 " and spoke up to lap %" PRIu64, replica, lap,
                     r->spoke_end - 1);
    if (!is_answered_by(r, replica, r->answered_members) || !is_answered_by(r, replica, r->answered_pending))
        verdict_fail(wire->verdict, "W13: replica %u takes J with answers of %#x, the lists are %#x and %#x", replica,
                     r->answered, r->answered_members, r->answered_pending);
}

static void note_record(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record, uint64_t wall_ms)
{
    const struct rabia_message *m = &record->message;
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
        struct wire_slot *slot = slot_at(wire, m->lane, lap);
        if (record->kind == RABIA_RECORD_SAID)
            check_may_speak(wire, replica, m, lap);
        check_held(wire, replica, slot, m, lap);
        check_flush_need(wire, replica, slot, record, lap);
        if (m->kind == RABIA_PROPOSAL)
            note_proposal(wire, replica, slot, m, lap, wall_ms);
        else if (m->kind == RABIA_STATE)
            note_state(wire, replica, slot, m, lap);
        else if (m->kind == RABIA_VOTE)
            note_vote(wire, replica, slot, m, lap);
        else if (m->kind == RABIA_SKIP)
            note_skip(wire, replica, slot, m, lap);
    }
    if (m->kind == RABIA_PROPOSAL && m->value == RABIA_NULL)
        wire->figures.forfeits += m->count;
    wire->figures.states += m->kind == RABIA_STATE;
    wire->figures.votes += m->kind == RABIA_VOTE;
    if (!wire->flush_before_send || !record->needs_flush)
        count_said(wire, replica, m, record->kind == RABIA_RECORD_DECIDED);
}

/* W8 */
static void check_follows(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m)
{
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
        struct wire_slot *slot = slot_at(wire, m->lane, lap);
        if (m->kind == RABIA_DECIDED)
            settle(wire, replica, m->lane, lap, m->value);
        else if (m->kind == RABIA_STATE ? !state_follows(wire, slot, m, lap)
                                        : m->kind == RABIA_VOTE && !vote_follows(wire, slot, m, lap))
            verdict_fail(wire->verdict, "W8: replica %u: %s %u of phase %u for " SLOT " follows from nothing said",
                         replica, m->kind == RABIA_STATE ? "STATE" : "VOTE", m->value, m->phase, lap, m->lane);
    }
}

/* In their order: a process may end between any two of them, so each must follow
 * from what was said before it. */
void wire_recorded(struct wire_checker *wire, uint8_t replica, const struct rabia_record *records, size_t count,
                   uint64_t wall_ms)
{
    for (size_t i = 0; i < count && !wire->verdict->has_failed; i++) {
        const struct rabia_record *record = &records[i];
        bool is_good = is_record_well_formed(wire, replica, record);
        push_pending(&wire->replicas[replica], record);
        if (record->kind == RABIA_RECORD_REJOIN)
            note_rejoin(wire, replica, record->message.lap);
        if (!is_good || names_a_lap(record))
            continue;
        note_contents(wire, replica, record);
        note_record(wire, replica, record, wall_ms);
        check_follows(wire, replica, &record->message);
    }
}

void wire_restated(struct wire_checker *wire, uint8_t replica, const struct rabia_record *records, size_t count)
{
    struct wire_replica *r = &wire->replicas[replica];
    for (size_t i = 0; i < count; i++) {
        is_record_well_formed(wire, replica, &records[i]);
        push_pending(r, &records[i]);
        r->pending[r->pending_count - 1].is_restated = true;
    }
}

static void end_pending(struct wire_checker *wire, uint8_t replica, const struct wire_pending *pending)
{
    struct wire_replica *r = &wire->replicas[replica];
    if (pending->is_restated)
        return;
    if (pending->is_lap_mark)
        r->mark_flushed = pending->message.lap;
    else if (pending->is_rejoin)
        r->silent_below = pending->message.lap;
    else
        count_said(wire, replica, &pending->message, pending->is_decided);
}

void wire_flushed(struct wire_checker *wire, uint8_t replica, uint64_t seq)
{
    struct wire_replica *r = &wire->replicas[replica];
    while (r->pending_head < r->pending_count && r->pending[r->pending_head].seq <= seq)
        end_pending(wire, replica, &r->pending[r->pending_head++]);
}

/* --- messages --------------------------------------------------------------- */

static bool is_counted(struct wire_slot *slot, uint8_t replica, const struct rabia_message *m)
{
    uint16_t bit = (uint16_t)(1u << replica);
    switch (m->kind) {
    case RABIA_PROPOSAL:
        return slot->counted_proposal[m->value] & bit;
    case RABIA_SKIP:
        return slot->is_skip_counted && m->lane == replica;
    case RABIA_STATE:
        return phase_at(slot, m->phase, false)->counted_state[m->value] & bit;
    case RABIA_VOTE:
        return phase_at(slot, m->phase, false)->counted_vote[m->value] & bit;
    default:
        return true;
    }
}

/* W7: at or beyond the mark, even what needs no flush must be on disk. */
static void check_mark(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m, uint64_t lap)
{
    const struct wire_replica *r = &wire->replicas[replica];
    if (!wire->flush_before_send || lap < r->mark_flushed || m->kind == RABIA_CONTENTS)
        return;
    for (size_t i = r->pending_head; i < r->pending_count; i++) {
        const struct rabia_message *p = &r->pending[i].message;
        if (!r->pending[i].is_lap_mark && !r->pending[i].is_decided && !r->pending[i].is_rejoin &&
            !r->pending[i].is_restated && p->kind == m->kind && p->lane == m->lane &&
            p->phase == m->phase && p->lap <= lap && lap < p->lap + p->count)
            verdict_fail(wire->verdict, "W7: replica %u sends unflushed %u for " SLOT ", its mark is %" PRIu64, replica,
                         m->kind, lap, m->lane, r->mark_flushed);
    }
}

static void check_sent_slot(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m, uint64_t lap)
{
    struct wire_slot *slot = slot_at(wire, m->lane, lap);
    uint16_t bit = (uint16_t)(1u << replica);
    if (!is_counted(slot, replica, m))
        verdict_fail(wire->verdict, "W6: replica %u sends %u value %u phase %u for " SLOT " before it is written%s", replica,
                     m->kind, m->value, m->phase, lap, m->lane, wire->flush_before_send ? " and flushed" : "");
    bool says_batch = (m->kind == RABIA_PROPOSAL || m->kind == RABIA_STATE || m->kind == RABIA_VOTE) &&
                      m->value == RABIA_BATCH;
    if ((says_batch || m->kind == RABIA_CONTENTS) && !(slot->received & bit))
        verdict_fail(wire->verdict, "W5: replica %u says batch for " SLOT ", whose contents never reached it", replica, lap,
                     m->lane);
    if (m->kind == RABIA_DECIDED)
        settle(wire, replica, m->lane, lap, m->value);
    if (speaks_in_slots(m->kind) && m->kind != RABIA_CONTENTS)
        check_may_speak(wire, replica, m, lap);
    slot->is_contents_sent |= m->batch != NULL;
    check_mark(wire, replica, m, lap);
}

/* W14 */
static void check_answer(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m)
{
    const struct wire_replica *r = &wire->replicas[replica];
    if (m->kind != RABIA_REJOIN_ANSWER)
        return;
    if (r->is_rejoining)
        verdict_fail(wire->verdict, "W14: replica %u answers REJOIN and is rejoining itself", replica);
    if (m->lap + 1 < r->spoke_before || m->lap < r->frontier)
        verdict_fail(wire->verdict, "W14: replica %u answers REJOIN with %" PRIu64 " and spoke up to %" PRIu64
                     ", its frontier is %" PRIu64, replica, m->lap, r->spoke_before - 1, r->frontier);
}

void wire_sent(struct wire_checker *wire, uint8_t replica, const struct rabia_outgoing *outgoing, uint64_t frontier)
{
    const struct rabia_message *m = &outgoing->message;
    if (outgoing->to == 0 || outgoing->to >> wire->nodes || outgoing->to >> replica & 1)
        verdict_fail(wire->verdict, "W1: replica %u sends to members %#x", replica, outgoing->to);
    if (!is_well_formed(wire, replica, m))
        return;
    check_answer(wire, replica, m);
    wire->figures.asks += m->kind == RABIA_ASK;
    wire->figures.fetches += m->kind == RABIA_FETCH;
    if (!names_slots(m->kind))
        return;
    if (speaks_in_slots(m->kind) && m->lap + m->count > frontier + wire->window)
        verdict_fail(wire->verdict, "W3: replica %u sends %u for " SLOT "+%" PRIu64 ", its frontier is %" PRIu64, replica,
                     m->kind, m->lap, m->lane, m->count, frontier);
    if (m->batch)
        check_contents(wire, replica, m);
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++)
        check_sent_slot(wire, replica, m, lap);
}

/* --- decisions --------------------------------------------------------------- */

void wire_decided(struct wire_checker *wire, uint8_t replica, const struct rabia_decided *decided)
{
    if (decided->lane >= wire->nodes || decided->lap < wire->first_lap) {
        verdict_fail(wire->verdict, "W1: replica %u gives out " SLOT, replica, decided->lap, decided->lane);
        return;
    }
    if (decided->is_unknown)
        return;
    struct wire_slot *slot = slot_at(wire, decided->lane, decided->lap);
    settle(wire, replica, decided->lane, decided->lap, decided->batch ? RABIA_BATCH : RABIA_NULL);
    if (!decided->batch)
        return;
    if (slot->hash != data_batch_hash(decided->batch))
        verdict_fail(wire->verdict, "W4: replica %u decides other contents for " SLOT, replica, decided->lap, decided->lane);
    if (slot->decided_batch >> replica & 1)
        verdict_fail(wire->verdict, "W9: replica %u gives out " SLOT " twice", replica, decided->lap, decided->lane);
    slot->decided_batch |= (uint16_t)(1u << replica);
}

void wire_frontier(struct wire_checker *wire, uint8_t replica, uint64_t frontier)
{
    struct wire_replica *r = &wire->replicas[replica];
    r->spoke_before = r->spoke_end;
    if (frontier < r->frontier)
        verdict_fail(wire->verdict, "W9: the frontier of replica %u goes back from %" PRIu64 " to %" PRIu64, replica,
                     r->frontier, frontier);
    for (; r->frontier < frontier; r->frontier++)
        for (uint8_t lane = 0; lane < wire->nodes; lane++) {
            bool as_batch = slot_at(wire, lane, r->frontier)->decided_batch >> replica & 1;
            settle(wire, replica, lane, r->frontier, as_batch ? RABIA_BATCH : RABIA_NULL);
        }
}

/* --- lives --------------------------------------------------------------------- */

static void forget_word(struct wire_slot *slot, const struct rabia_message *m, uint16_t bit)
{
    uint16_t keeps = (uint16_t)~bit;
    if (m->kind == RABIA_PROPOSAL)
        slot->proposal[m->value] &= keeps;
    else if (m->kind == RABIA_STATE)
        phase_at(slot, m->phase, true)->state[m->value] &= keeps;
    else if (m->kind == RABIA_VOTE)
        phase_at(slot, m->phase, true)->vote[m->value] &= keeps;
    else if (!slot->is_skip_counted)
        slot->is_skipped = 0;
}

/* What needed a flush and had none was never sent: it may be said otherwise. */
void wire_lost(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record)
{
    const struct rabia_message *m = &record->message;
    if (record->kind != RABIA_RECORD_SAID)
        return;
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
        struct wire_slot *slot = slot_at(wire, m->lane, lap);
        bool is_light = !record->needs_flush;
        if (!is_light && is_counted(slot, replica, m))
            verdict_fail(wire->verdict, "W16: a power cut takes %u of replica %u for " SLOT ", which was to be on disk",
                         m->kind, replica, lap, m->lane);
        else
            forget_word(slot, m, (uint16_t)(1u << replica));
        slot->is_muddled |= is_light && slot->is_empty;
    }
}

static void lose_contents(struct wire_slot *slot, uint16_t bit, bool has_memory)
{
    uint16_t keeps = (uint16_t)~bit;
    if (!has_memory && slot->counted_journaled & bit)
        slot->lost |= bit;
    slot->decided_batch &= keeps;
    slot->journaled &= keeps;
    slot->counted_journaled &= keeps;
    slot->received &= keeps;
}

void wire_restarted(struct wire_checker *wire, uint8_t replica, uint64_t lap, uint8_t lane, bool has_memory)
{
    struct wire_replica *r = &wire->replicas[replica];
    for (uint8_t i = 0; i < wire->nodes; i++)
        for (size_t at = (size_t)(lap - wire->first_lap) + (i < lane); at < wire->lanes[i].count; at++)
            lose_contents(&wire->lanes[i].slots[at], (uint16_t)(1u << replica), has_memory);
    r->pending_head = r->pending_count = 0;
    r->next_seq = 1;
    r->frontier = lap;
    r->is_rejoining = !has_memory;
    if (!has_memory)
        r->silent_below = RABIA_NO_LAP;
    r->mark_flushed = 0;
    r->answered = r->answered_members = r->answered_pending = 0;
    r->answered_from = 0;
}

void wire_replayed(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record)
{
    struct wire_replica *r = &wire->replicas[replica];
    const struct rabia_message *m = &record->message;
    if (record->kind == RABIA_RECORD_LAP_MARK) {
        r->mark_flushed = m->lap > r->mark_flushed ? m->lap : r->mark_flushed;
    } else if (record->kind == RABIA_RECORD_REJOIN) {
        r->silent_below = m->lap > r->silent_below ? m->lap : r->silent_below;
    } else {
        if (m->batch) {
            struct wire_slot *slot = slot_at(wire, m->lane, m->lap);
            slot->journaled |= (uint16_t)(1u << replica);
            slot->received |= (uint16_t)(1u << replica);
        }
        count_said(wire, replica, m, record->kind == RABIA_RECORD_DECIDED);
    }
}

void wire_speaks(struct wire_checker *wire, uint8_t replica)
{
    uint16_t bit = (uint16_t)(1u << replica);
    struct wire_lane *lane = &wire->lanes[replica];
    size_t from = (size_t)(wire->replicas[replica].frontier - wire->first_lap);
    for (size_t at = from; at < lane->count; at++) {
        struct wire_slot *slot = &lane->slots[at];
        if (!slot->hash || slot->journaled & bit || slot->is_contents_sent)
            continue;
        slot->hash = 0;
        slot->is_empty = 0;
        slot->proposal[RABIA_BATCH] &= (uint16_t)~bit;
    }
}

void wire_installed(struct wire_checker *wire, uint8_t replica, uint64_t lap, uint8_t lane)
{
    uint16_t bit = (uint16_t)(1u << replica);
    struct wire_replica *r = &wire->replicas[replica];
    for (uint8_t i = 0; i < wire->nodes; i++)
        for (uint64_t at = r->frontier; at < lap + (i < lane); at++) {
            struct wire_slot *slot = slot_at(wire, i, at);
            if (slot->decided != 1 + RABIA_BATCH)
                continue;
            slot->decided_batch |= bit;
            slot->journaled |= bit;
            slot->counted_journaled |= bit;
        }
    if (lap < r->frontier)
        verdict_fail(wire->verdict, "W9: replica %u installs a snapshot behind its frontier", replica);
    r->frontier = lap;
}

void wire_rejoined(struct wire_checker *wire, uint8_t replica)
{
    struct wire_replica *r = &wire->replicas[replica];
    if (!r->is_rejoining || r->frontier < r->silent_below)
        verdict_fail(wire->verdict, "W15: replica %u is up at %" PRIu64 ", J is %" PRIu64, replica, r->frontier,
                     r->silent_below);
    r->is_rejoining = false;
}

static uint64_t number_at(const unsigned char *bytes, size_t at, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number |= (uint64_t)bytes[at + i] << (8 * i);
    return number;
}

/* Format: consensus/memory.c.  Of two lists that are equally new, the one that
 * is in force tells more than the one to come. */
void wire_answered(struct wire_checker *wire, uint8_t replica, uint8_t from, const unsigned char *bytes)
{
    struct wire_replica *r = &wire->replicas[replica];
    uint16_t members = (uint16_t)number_at(bytes, 10, 2), pending = (uint16_t)number_at(bytes, 20, 2);
    uint64_t newest = number_at(bytes, pending ? 22 : 12, 8);
    r->answered |= (uint16_t)(1u << from);
    if (r->answered_members && (newest < r->answered_from || (newest == r->answered_from && pending)))
        return;
    r->answered_from = newest;
    r->answered_members = members;
    r->answered_pending = pending;
}
