/* What must be on disk before what is sent (protocol.md, the section of that
 * name), for appendfsync always.
 *
 * Gated messages wait in a queue for the flush of their record; then they are
 * counted as our own, acted upon, and sent.  The queue is as long as the
 * messages of one flush: the driver flushes once per pass.
 *
 * The lap mark M lets SKIPs and what concerns empty batches go unflushed:
 * below M on disk, a restart knows that something may be missing. */
#include "consensus/machine.h"

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/mutant.h"

enum { GATE_LOOKBACK = 4 * RABIA_MEMBERS_MAX };

static bool is_light(const struct slot *slot, const struct rabia_message *message)
{
    return message->kind == RABIA_SKIP || (slot->batch && batch_is_empty(slot->batch));
}

void rabia_set_flush_before_send(struct rabia *r, bool flush_before_send)
{
    CHECK(!r->out);
    r->options.flush_before_send = flush_before_send;
}

bool durability_needs_flush(const struct rabia *r, const struct slot *slot, const struct rabia_message *message)
{
    CHECK(slot);
    if (!r->options.flush_before_send)
        return false;
    if (message->kind == RABIA_PROPOSAL && message->value == RABIA_NULL)
        return !MUTANT(MUTANT_UNFLUSHED_FORFEIT);
    if (!is_light(slot, message))
        return true;
    return message->lap >= r->mark_on_disk && !MUTANT(MUTANT_LAP_MARK_IGNORED);
}

/* Early contents are words of ours that are not on disk: below the mark alone,
 * or a restart could put something else in their slot. */
bool durability_may_send_early(const struct rabia *r, uint64_t lap)
{
    return !r->options.flush_before_send || lap < r->mark_on_disk || MUTANT(MUTANT_LAP_MARK_IGNORED);
}

static struct gated *gate_at(const struct gate *gate, size_t index)
{
    CHECK(index < gate->count);
    return &gate->entries[(gate->head + index) & (gate->capacity - 1)];
}

static void gate_grow(struct gate *gate)
{
    size_t capacity = gate->capacity ? gate->capacity * 2 : 64;
    struct gated *entries = mem_alloc(capacity * sizeof *entries);
    for (size_t i = 0; i < gate->count; i++)
        entries[i] = *gate_at(gate, i);
    mem_free(gate->entries);
    *gate = (struct gate){.entries = entries, .capacity = capacity, .count = gate->count};
}

static bool gate_merge(const struct gate *gate, const struct gated *gated)
{
    for (size_t back = 1; back <= GATE_LOOKBACK && back <= gate->count; back++) {
        struct gated *g = gate_at(gate, gate->count - back);
        if (g->seq != gated->seq)
            return false;
        if (g->has_contents == gated->has_contents && g->to_urgent == gated->to_urgent && g->to_lazy == gated->to_lazy &&
            outbox_merge(&g->message, &gated->message))
            return true;
    }
    return false;
}

void durability_gate(struct rabia *r, uint16_t to_urgent, uint16_t to_lazy, bool has_contents,
                     const struct rabia_message *message)
{
    CHECK(r->options.flush_before_send);
    CHECK(!message->batch);
    struct gated gated = {r->last_seq, to_urgent, to_lazy, has_contents, *message};
    if (gate_merge(&r->gate, &gated))
        return;
    if (r->gate.count == r->gate.capacity)
        gate_grow(&r->gate);
    r->gate.count++;
    *gate_at(&r->gate, r->gate.count - 1) = gated;
}

/* What was decided and passed meanwhile can be fetched. */
static void release_contents(struct rabia *r, const struct gated *gated)
{
    struct rabia_message m = gated->message;
    uint64_t end = m.lap + m.count;
    for (m.count = 1; m.lap < end; m.lap++) {
        m.batch = m.lap < r->frontier ? NULL : rabia_slot(r, m.lap, m.lane)->batch;
        outbox_send(r, everyone_else(r), false, &m);
    }
}

static void release(struct rabia *r, const struct gated *gated)
{
    if (gated->has_contents) {
        release_contents(r, gated);
    } else {
        outbox_send(r, gated->to_urgent & everyone_else(r), false, &gated->message);
        outbox_send(r, gated->to_lazy & everyone_else(r), true, &gated->message);
    }
    if (gated->message.kind != RABIA_RESUME)
        voice_count_own(r, &gated->message);
}

void durability_flushed(struct rabia *r, uint64_t seq)
{
    CHECK(seq <= r->last_seq);
    r->flushed_seq = lap_max(r->flushed_seq, seq);
    if (r->mark_seq <= r->flushed_seq)
        r->mark_on_disk = r->mark;
    if (r->rejoin_seq <= r->flushed_seq)
        r->rejoin_seq = 0;
    while (r->gate.count > 0 && gate_at(&r->gate, 0)->seq <= seq) {
        struct gated gated = *gate_at(&r->gate, 0);
        r->gate.head = (r->gate.head + 1) & (r->gate.capacity - 1);
        r->gate.count--;
        release(r, &gated);
    }
}

/* Once per RABIA_AHEAD / 2 laps; never while an earlier raise is under way. */
void durability_raise_mark(struct rabia *r)
{
    bool is_low = r->mark < r->frontier + ahead_of(r) / 2;
    if (!r->options.flush_before_send || !is_low || r->mark != r->mark_on_disk)
        return;
    r->mark = r->frontier + ahead_of(r);
    struct rabia_message message = {.lap = r->mark};
    outbox_record(r, RABIA_RECORD_LAP_MARK, &message, true);
    r->mark_seq = r->last_seq;
    CHECK(r->mark > r->mark_on_disk);
}
