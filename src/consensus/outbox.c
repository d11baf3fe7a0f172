/* The out's arrays.
 *
 * A message or record that adjoins one already there is merged into it, so
 * that a range leaves as one entry.  Merging moves it before what was added in
 * between.  No message depends on the order of a frame.  A record does: the
 * process may die with a part of a step's records written, and what it then
 * remembers must be what it could have said by itself.  So no record moves before
 * another one about the same slot (I7); different slots do not depend on each other
 * within a step, as the window stands still. */
#include "consensus/machine.h"

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/mutant.h"

/* How far back a neighbour is sought: a few kinds for each lane. */
enum { LOOKBACK = 4 * RABIA_MEMBERS_MAX };

void rabia_out_init(struct rabia_out *out)
{
    *out = (struct rabia_out){
        .proposed_lap = RABIA_NO_LAP, .snapshot_from_lap = RABIA_NO_LAP, .rejoined_lap = RABIA_NO_LAP};
}

void rabia_out_clear(struct rabia_out *out)
{
    for (size_t i = 0; i < out->record_count; i++)
        batch_release(out->records[i].message.batch);
    for (size_t i = 0; i < out->message_count; i++)
        batch_release(out->messages[i].message.batch);
    for (size_t i = 0; i < out->decided_count; i++)
        batch_release(out->decided[i].batch);
    out->record_count = out->message_count = out->decided_count = 0;
    out->deadline_us = 0;
    out->clock_refused_ms = 0;
    out->proposed_lap = out->snapshot_from_lap = out->rejoined_lap = RABIA_NO_LAP;
    out->has_rejoined = out->was_removed = false;
}

void rabia_out_deinit(struct rabia_out *out)
{
    rabia_out_clear(out);
    mem_free(out->records);
    mem_free(out->messages);
    mem_free(out->decided);
    *out = (struct rabia_out){0};
}

static bool is_same_but_laps(const struct rabia_message *a, const struct rabia_message *b)
{
    return a->kind == b->kind && a->lane == b->lane && a->value == b->value && a->phase == b->phase &&
           a->clock_ms == b->clock_ms && a->batch == b->batch;
}

static bool names_slots(uint8_t kind)
{
    return kind < RABIA_ASK;
}

bool outbox_merge(struct rabia_message *into, const struct rabia_message *message)
{
    if (!is_same_but_laps(into, message))
        return false;
    uint64_t end = message->lap + message->count;
    if (message->lap >= into->lap && end <= into->lap + into->count)
        return true;
    if (into->batch || !names_slots(into->kind) || message->lap != into->lap + into->count)
        return false;
    into->count += message->count;
    return true;
}

static bool merge_outgoing(struct rabia_out *out, uint16_t to, bool is_lazy, const struct rabia_message *message)
{
    for (size_t back = 1; back <= LOOKBACK && back <= out->message_count; back++) {
        struct rabia_outgoing *o = &out->messages[out->message_count - back];
        if (o->to == to && o->is_lazy == is_lazy && outbox_merge(&o->message, message))
            return true;
    }
    return false;
}

void outbox_send(struct rabia *r, uint16_t to, bool is_lazy, const struct rabia_message *message)
{
    struct rabia_out *out = r->out;
    CHECK(out);
    CHECK(!(to & bit_of(r->options.self)));
    if (to == 0 || merge_outgoing(out, to, is_lazy, message))
        return;
    if (out->message_count == out->message_capacity) {
        out->message_capacity = out->message_capacity ? out->message_capacity * 2 : 16;
        out->messages = mem_realloc(out->messages, out->message_capacity * sizeof *out->messages);
    }
    out->messages[out->message_count++] = (struct rabia_outgoing){.to = to, .is_lazy = is_lazy, .message = *message};
    if (message->batch)
        batch_hold(message->batch);
}

static bool is_about_same_slot(const struct rabia_message *a, const struct rabia_message *b)
{
    return a->lane == b->lane && a->lap < b->lap + b->count && b->lap < a->lap + a->count;
}

static bool merge_record(struct rabia_out *out, enum rabia_record_kind kind, const struct rabia_message *message,
                         bool needs_flush)
{
    for (size_t back = 1; back <= LOOKBACK && back <= out->record_count; back++) {
        struct rabia_record *record = &out->records[out->record_count - back];
        if (record->kind == kind && record->needs_flush == needs_flush && outbox_merge(&record->message, message))
            return true;
        if (is_about_same_slot(&record->message, message) && !MUTANT(MUTANT_RECORDS_UNORDERED))
            return false;
    }
    return false;
}

void outbox_record(struct rabia *r, enum rabia_record_kind kind, const struct rabia_message *message,
                   bool needs_flush)
{
    struct rabia_out *out = r->out;
    CHECK(out);
    CHECK(!needs_flush || r->options.flush_before_send || kind == RABIA_RECORD_REJOIN);
    if (merge_record(out, kind, message, needs_flush))
        return;
    if (out->record_count == out->record_capacity) {
        out->record_capacity = out->record_capacity ? out->record_capacity * 2 : 16;
        out->records = mem_realloc(out->records, out->record_capacity * sizeof *out->records);
    }
    out->records[out->record_count++] =
        (struct rabia_record){.seq = ++r->last_seq, .kind = kind, .needs_flush = needs_flush, .message = *message};
    if (message->batch)
        batch_hold(message->batch);
}
