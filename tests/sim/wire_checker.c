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
    wire->members = options->member_count;
    wire->quorum = (uint8_t)(options->member_count / 2 + 1);
    wire->flush_before_send = options->flush_before_send;
    wire->cluster_seed = options->cluster_seed;
    wire->first_lap = options->first_lap;
    wire->clock_tolerance_ms = options->clock_tolerance_ms;
    for (size_t i = 0; i < wire->members; i++)
        wire->replicas[i].frontier = options->first_lap;
}

void wire_deinit(struct wire_checker *wire)
{
    for (size_t i = 0; i < wire->members; i++) {
        for (size_t j = 0; j < wire->lanes[i].count; j++)
            for (struct wire_phase *phase = wire->lanes[i].slots[j].phases, *next; phase; phase = next) {
                next = phase->next;
                mem_free(phase);
            }
        mem_free(wire->lanes[i].slots);
        mem_free(wire->replicas[i].pending);
    }
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
    else if (names_slots(m->kind) && m->lane >= wire->members)
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
    if (m->batch && m->lane < wire->members) {
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
    if (lap >= wire->replicas[replica].frontier + RABIA_AHEAD + 1 &&
        lap >= wire->replicas[replica].frontier + RABIA_WINDOW)
        verdict_fail(wire->verdict, "W3: replica %u proposes in lap %" PRIu64 " beyond its window", replica, lap);
    slot->hash = data_batch_hash(batch);
    slot->is_empty = batch_is_empty(batch);
    slot->received |= (uint16_t)(1u << replica);
}

/* --- what had been said, W8 ------------------------------------------------ */

static unsigned proposals(const struct wire_slot *slot, unsigned value)
{
    return count_bits(slot->counted_proposal[value]);
}

static bool state_follows(const struct wire_checker *wire, struct wire_slot *slot, const struct rabia_message *m,
                          uint64_t lap)
{
    unsigned q = wire->quorum;
    if (m->phase == 1)
        return m->value == RABIA_BATCH ? proposals(slot, RABIA_BATCH) >= 1 && proposals(slot, RABIA_NULL) >= 1 &&
                                             proposals(slot, 0) + proposals(slot, 1) >= q
                                       : proposals(slot, RABIA_NULL) >= q;
    const struct wire_phase *before = phase_at(slot, m->phase - 1, false);
    unsigned votes = count_bits(before->counted_vote[0]) + count_bits(before->counted_vote[1]) +
                     count_bits(before->counted_vote[2]);
    if (votes < q)
        return false;
    if (before->counted_vote[m->value])
        return true;
    return rabia_coin(wire->cluster_seed, lap, m->lane, m->phase - 1) == (m->value == RABIA_BATCH) &&
           count_bits(before->counted_vote[RABIA_UNSURE]) >= q;
}

static bool vote_follows(const struct wire_checker *wire, struct wire_slot *slot, const struct rabia_message *m)
{
    const struct wire_phase *phase = phase_at(slot, m->phase, false);
    unsigned zeros = count_bits(phase->counted_state[0]), ones = count_bits(phase->counted_state[1]);
    if (m->value == RABIA_UNSURE)
        return zeros && ones && zeros + ones >= wire->quorum;
    return (m->value == RABIA_BATCH ? ones : zeros) >= wire->quorum;
}

static bool batch_follows(const struct wire_checker *wire, const struct wire_slot *slot)
{
    if (proposals(slot, RABIA_BATCH) >= wire->quorum)
        return true;
    for (const struct wire_phase *phase = slot->phases; phase; phase = phase->next)
        if (count_bits(phase->counted_vote[RABIA_BATCH]) >= wire->quorum)
            return true;
    return false;
}

static bool null_follows(const struct wire_checker *wire, const struct wire_slot *slot)
{
    if (slot->is_skip_counted)
        return true;
    for (const struct wire_phase *phase = slot->phases; phase; phase = phase->next)
        if (count_bits(phase->counted_vote[RABIA_NULL]) >= wire->quorum)
            return true;
    return false;
}

/* W9: the first time anybody claims the slot decided, the claim must follow
 * from what was said; from then on it is the slot's value. */
static void settle(struct wire_checker *wire, uint8_t replica, uint8_t lane, uint64_t lap, uint8_t value)
{
    struct wire_slot *slot = slot_at(wire, lane, lap);
    if (slot->decided == value + 1)
        return;
    if (slot->decided) {
        verdict_fail(wire->verdict, "W9: replica %u decides %s for " SLOT ", which others decided as %s", replica,
                     value ? "batch" : "NULL", lap, lane, value ? "NULL" : "batch");
        return;
    }
    if (value == RABIA_BATCH ? !batch_follows(wire, slot) : !null_follows(wire, slot))
        verdict_fail(wire->verdict, "W8: replica %u decides %s for " SLOT ", which nothing said so far supports", replica,
                     value ? "batch" : "NULL", lap, lane);
    unsigned holders = count_bits(slot->is_empty ? slot->journaled : slot->counted_journaled); /* empty: needs no flush */
    if (value == RABIA_BATCH && holders < wire->quorum)
        verdict_fail(wire->verdict, "W9: " SLOT " is decided as a batch held by %u", lap, lane, holders);
    slot->decided = (uint8_t)(value + 1);
}

/* --- records ---------------------------------------------------------------- */

static void count_said(struct wire_checker *wire, uint8_t replica, const struct rabia_message *m, bool is_decided)
{
    uint16_t bit = (uint16_t)(1u << replica);
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
    if (m->value != RABIA_UNSURE && phase->vote[1 - m->value])
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
                                                           .is_decided = record->kind == RABIA_RECORD_DECIDED};
}

static bool is_record_well_formed(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record)
{
    struct wire_replica *r = &wire->replicas[replica];
    if (r->next_seq && record->seq != r->next_seq)
        verdict_fail(wire->verdict, "W1: replica %u writes record %" PRIu64 " after %" PRIu64, replica, record->seq,
                     r->next_seq - 1);
    r->next_seq = record->seq + 1;
    uint8_t kind = record->message.kind;
    if (record->kind == RABIA_RECORD_LAP_MARK)
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

static void note_record(struct wire_checker *wire, uint8_t replica, const struct rabia_record *record, uint64_t wall_ms)
{
    const struct rabia_message *m = &record->message;
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
        struct wire_slot *slot = slot_at(wire, m->lane, lap);
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
                                        : m->kind == RABIA_VOTE && !vote_follows(wire, slot, m))
            verdict_fail(wire->verdict, "W8: replica %u: %s %u of phase %u for " SLOT " follows from nothing said",
                         replica, m->kind == RABIA_STATE ? "STATE" : "VOTE", m->value, m->phase, lap, m->lane);
    }
}

void wire_recorded(struct wire_checker *wire, uint8_t replica, const struct rabia_record *records, size_t count,
                   uint64_t wall_ms)
{
    bool are_good = true;
    for (size_t i = 0; i < count; i++) {
        are_good &= is_record_well_formed(wire, replica, &records[i]);
        push_pending(&wire->replicas[replica], &records[i]);
    }
    for (size_t i = 0; are_good && i < count; i++)
        note_contents(wire, replica, &records[i]);
    for (size_t i = 0; are_good && i < count; i++)
        if (records[i].kind != RABIA_RECORD_LAP_MARK)
            note_record(wire, replica, &records[i], wall_ms);
    for (size_t i = 0; are_good && i < count; i++)
        if (records[i].kind != RABIA_RECORD_LAP_MARK)
            check_follows(wire, replica, &records[i].message);
}

void wire_flushed(struct wire_checker *wire, uint8_t replica, uint64_t seq)
{
    struct wire_replica *r = &wire->replicas[replica];
    while (r->pending_head < r->pending_count && r->pending[r->pending_head].seq <= seq) {
        const struct wire_pending *pending = &r->pending[r->pending_head++];
        if (pending->is_lap_mark)
            r->mark_flushed = pending->message.lap;
        else
            count_said(wire, replica, &pending->message, pending->is_decided);
    }
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
        if (!r->pending[i].is_lap_mark && !r->pending[i].is_decided && p->kind == m->kind && p->lane == m->lane &&
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
    check_mark(wire, replica, m, lap);
}

void wire_sent(struct wire_checker *wire, uint8_t replica, const struct rabia_outgoing *outgoing, uint64_t frontier)
{
    const struct rabia_message *m = &outgoing->message;
    if (outgoing->to == 0 || outgoing->to >> wire->members || outgoing->to >> replica & 1)
        verdict_fail(wire->verdict, "W1: replica %u sends to members %#x", replica, outgoing->to);
    if (!is_well_formed(wire, replica, m))
        return;
    wire->figures.asks += m->kind == RABIA_ASK;
    wire->figures.fetches += m->kind == RABIA_FETCH;
    if (!names_slots(m->kind))
        return;
    if (speaks_in_slots(m->kind) && m->lap + m->count > frontier + RABIA_WINDOW)
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
    if (decided->lane >= wire->members || decided->lap < wire->first_lap) {
        verdict_fail(wire->verdict, "W1: replica %u gives out " SLOT, replica, decided->lap, decided->lane);
        return;
    }
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
    if (frontier < r->frontier)
        verdict_fail(wire->verdict, "W9: the frontier of replica %u goes back from %" PRIu64 " to %" PRIu64, replica,
                     r->frontier, frontier);
    for (; r->frontier < frontier; r->frontier++)
        for (uint8_t lane = 0; lane < wire->members; lane++) {
            bool as_batch = slot_at(wire, lane, r->frontier)->decided_batch >> replica & 1;
            settle(wire, replica, lane, r->frontier, as_batch ? RABIA_BATCH : RABIA_NULL);
        }
}

