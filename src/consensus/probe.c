#include "consensus/probe.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/machine.h"

struct rabia *probe_create(const struct rabia_options *options, uint64_t window)
{
    return rabia_create_with_window(options, 0, window);
}

struct rabia *probe_restore(const struct rabia_options *options, struct slice exported, uint64_t now_us,
                            uint64_t window)
{
    return rabia_restore_with_window(options, exported, now_us, window);
}

static void clone_slot(struct slot *slot)
{
    if (slot->batch)
        batch_hold(slot->batch);
    if (slot->contest) {
        size_t size = sizeof *slot->contest + slot->contest->capacity * sizeof(struct phase);
        slot->contest = memcpy(mem_alloc(size), slot->contest, size);
    }
}

static void clone_history(struct history *to, const struct history *from)
{
    history_init(to, from->first_lap, from->bytes_max);
    for (size_t i = 0; i < from->count; i++) {
        const struct history_entry *e = history_at(from, i);
        history_add(to, e->lap, e->lane, e->batch);
    }
}

struct rabia *probe_clone(const struct rabia *r)
{
    CHECK(!r->out);
    size_t slots = r->window * r->lane_count;
    struct rabia *clone = memcpy(mem_alloc(sizeof *r), r, sizeof *r);
    clone->slots = memcpy(mem_alloc(slots * sizeof *r->slots), r->slots, slots * sizeof *r->slots);
    for (size_t i = 0; i < slots; i++)
        clone_slot(&clone->slots[i]);
    clone_history(&clone->history, &r->history);
    if (r->gate.capacity > 0) {
        size_t size = r->gate.capacity * sizeof *r->gate.entries;
        clone->gate.entries = memcpy(mem_alloc(size), r->gate.entries, size);
    }
    return clone;
}

struct writer {
    uint8_t *bytes;
    size_t size;
};

static void put(struct writer *w, uint64_t value, size_t size)
{
    CHECK(w->size + size <= PROBE_BYTES_MAX);
    for (size_t i = 0; i < size; i++)
        w->bytes[w->size++] = (uint8_t)(value >> (8 * i));
}

static void put_phase(struct writer *w, const struct phase *phase)
{
    for (int value = 0; value < 2; value++)
        put(w, phase->state[value], 2);
    for (int value = 0; value < 3; value++)
        put(w, phase->vote[value], 2);
    put(w, phase->is_state_said ? 1u + phase->said_state : 0, 1);
    put(w, phase->is_vote_said ? 1u + phase->said_vote : 0, 1);
}

static bool is_blank_phase(const struct phase *phase)
{
    static const struct phase blank;
    return memcmp(phase, &blank, sizeof blank) == 0;
}

static void put_contest(struct writer *w, const struct slot *slot)
{
    uint32_t last = slot->contest ? slot->contest->capacity : 0;
    while (last > 0 && is_blank_phase(slot_phase(slot, last)))
        last--;
    put(w, slot->contest ? slot->contest->own_phase : 0, 1);
    for (uint32_t phase = 1; phase <= last; phase++)
        put_phase(w, slot_phase(slot, phase));
}

static void put_gate(struct writer *w, const struct rabia *r, uint64_t lap, uint8_t lane)
{
    for (size_t i = 0; i < r->gate.count; i++) {
        const struct rabia_message *m = &r->gate.entries[(r->gate.head + i) & (r->gate.capacity - 1)].message;
        if (m->lane != lane || lap < m->lap || lap >= m->lap + m->count)
            continue;
        put(w, m->kind, 1);
        put(w, m->value, 1);
        put(w, m->phase, 1);
    }
}

size_t probe_slot(const struct rabia *r, uint64_t lap, uint8_t lane, uint8_t bytes[static PROBE_BYTES_MAX])
{
    const struct slot *slot = rabia_slot(r, lap, lane);
    struct writer w = {bytes, 0};
    put(&w, slot->decision, 1);
    put(&w, slot->said, 1);
    put(&w, r->own_next > lap, 1);
    put(&w, slot->batch != NULL, 1);
    if (!slot_is_decided(slot)) { /* what led to a decision has no future */
        put(&w, slot->proposed_batch, 2);
        put(&w, slot->proposed_null, 2);
        put(&w, slot->holders, 2);
        put(&w, slot->fetched, 2);
        put(&w, (uint64_t)slot->is_refused << 2 | (uint64_t)slot->is_known_batch << 1 | slot->is_recorded, 1);
        put_contest(&w, slot);
    }
    put_gate(&w, r, lap, lane);
    put(&w, (uint64_t)may_speak(r, lap) << 1 | (r->unsure_below > lap), 1);
    return w.size;
}

bool probe_is_gated(const struct rabia *r, const struct rabia_message *message)
{
    for (size_t i = 0; i < r->gate.count; i++) {
        const struct rabia_message *m = &r->gate.entries[(r->gate.head + i) & (r->gate.capacity - 1)].message;
        if (m->kind == message->kind && m->lane == message->lane && m->phase == message->phase &&
            message->lap >= m->lap && message->lap < m->lap + m->count)
            return true;
    }
    return false;
}

void probe_forfeit(struct rabia *r, uint64_t lap, uint8_t lane, struct rabia_out *out)
{
    CHECK(!r->out);
    r->out = out;
    voice_forfeit(r, lane, lap, lap + 1);
    rabia_order(r);
    r->out = NULL;
}

struct probe_facts probe_facts(const struct rabia *r, uint64_t lap, uint8_t lane)
{
    const struct slot *slot = rabia_slot(r, lap, lane);
    uint32_t own_phase = slot->contest ? slot->contest->own_phase : 0;
    return (struct probe_facts){.is_decided = slot_is_decided(slot),
                                .value = slot->decision == SLOT_BATCH ? RABIA_BATCH : RABIA_NULL,
                                .has_batch = slot->batch != NULL,
                                .own_phase = own_phase,
                                .is_silent = !may_speak(r, lap),
                                .has_voted = own_phase > 0 && slot_phase(slot, own_phase)->is_vote_said};
}
