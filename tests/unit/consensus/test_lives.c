/* Goal: replicas that crash, come back with their memory, lose it, jump ahead
 * with a snapshot, join and leave: one order, nothing said differently, and in
 * the end everything goes on (protocol.md, Restart and Membership).
 *
 * Method: whole machines with a small window, each with a journal (a list of
 * records, of which a prefix is on disk), a snapshot (an export and the order
 * up to it) and an order, its "data".  A seeded generator delivers, loses and
 * delays frames, kills processes (what was written stays), cuts power (of what
 * was not flushed a part stays), wipes disks, takes snapshots, changes members.
 * Faults stay within the budget f of every list in question.  What anyone said
 * is kept over all lives; whoever says something else is caught at once, and so
 * is an order that differs from what any replica ever handed out.  Then the
 * faults end, and new batches must come out everywhere.
 *
 *   LIVES_RUNS=100 LIVES_FIRST=1 LIVES_SEED=7 (one alone) LIVES_VERBOSE=1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "consensus/mutant.h"
#include "consensus/probe.h"

enum { NODES = 6, WINDOW = 64, FRAMES_MAX = 1 << 12, ORDER_MAX = 1 << 12, SAID_MAX = 1 << 21, PROPOSED_MAX = 16, HEAL_PROPOSALS = 3 };

struct frame {
    uint8_t from, to;
    size_t count;
    struct rabia_message *messages;
};
struct decision {
    uint64_t lap, changed_from;
    uint32_t number;
    uint8_t lane;
    bool is_void;
};
struct order {
    struct decision *items;
    size_t count;
};
struct node {
    struct rabia *rabia; /* NULL: down */
    uint64_t core_seq, now_base;
    struct rabia_record *journal;
    size_t journal_count, journal_capacity, flushed_count; /* of the journal */
    size_t life_start;                                     /* records from here on are of this life */
    uint64_t life_seq;                                     /* core seq of the first of them, minus one */
    unsigned char snapshot[RABIA_EXPORT_BYTES];
    size_t snapshot_size, snapshot_order;
    struct order order;
    uint64_t deadline_us, up_at_us, came_up_us, silent_below;
    bool is_rejoining, has_mark, lost_tail, needs_snapshot;
    uint64_t needs_lap;
};
struct said {
    uint64_t key;
    uint32_t value;
};
struct cluster {
    uint8_t first_members;
    bool flush, has_changes, has_wipes;
    uint16_t mask, pending; /* as the furthest node has it */
    uint64_t furthest, mask_from;
    struct proposed_change {
        uint64_t lap;
        uint16_t mask;
    } proposed[PROPOSED_MAX]; /* a ring: changes that may still come out */
    size_t proposed_count;
    struct node nodes[NODES];
    struct frame frames[FRAMES_MAX];
    size_t frame_count;
    uint64_t now_us, seed;
    struct random random;
    unsigned loss_percent;
    uint32_t numbers;
    struct order truth;
    struct said *said;
    size_t said_count;
    unsigned kills, cuts, wipes, rejoins, installs, changes, refusals, snapshots, losts;
    bool is_verbose, is_healing;
};
static struct cluster c;

#define NOTE(...) (c.is_verbose ? (void)printf(__VA_ARGS__) : (void)0)
#define LL(x) ((unsigned long long)(x))

/* --- what was said, over all lives ----------------------------------------- */

enum { ANYTHING = UINT32_MAX, NULL_OR_SKIP = UINT32_MAX - 1, SAID_SKIP = 9, STAGE_OWNER = 0xffff };

static struct said *said_entry(uint8_t node, uint64_t lap, uint8_t lane, unsigned stage)
{
    uint64_t key = (lap << 24 | (uint64_t)lane << 20 | (uint64_t)node << 16 | (stage & 0xffff)) + 1;
    size_t at = random_mix(key) % SAID_MAX;
    while (c.said[at].key && c.said[at].key != key)
        at = (at + 1) % SAID_MAX;
    if (!c.said[at].key) {
        assert_true(++c.said_count < SAID_MAX / 2);
        c.said[at] = (struct said){key, 0};
    }
    return &c.said[at];
}

static bool is_speech(uint8_t kind)
{
    return kind == RABIA_PROPOSAL || kind == RABIA_SKIP || kind == RABIA_STATE || kind == RABIA_VOTE;
}

static unsigned stage_of(const struct rabia_message *m)
{
    return m->kind == RABIA_PROPOSAL || m->kind == RABIA_SKIP ? 0 : m->phase * 2 + (m->kind == RABIA_VOTE);
}

static uint32_t value_of(const struct rabia_message *m)
{
    return m->kind == RABIA_SKIP ? SAID_SKIP : m->value + 1u;
}

static void note_said_slot(uint8_t self, const struct rabia_message *m, uint64_t lap)
{
    struct said *entry = said_entry(self, lap, m->lane, stage_of(m));
    uint32_t value = value_of(m);
    if (entry->value == 0)
        entry->value = value;
    if (entry->value == NULL_OR_SKIP && value != RABIA_BATCH + 1)
        return;
    if (entry->value != value && entry->value != ANYTHING)
        fail_msg("seed %llu: %u said kind %u of %llu.%u phase %u value %u, before %u", LL(c.seed), self, m->kind,
                 LL(lap), m->lane, m->phase, value, entry->value);
}

static uint32_t number_of(const struct batch *batch)
{
    uint32_t number = 0;
    if (batch->size >= sizeof number)
        memcpy(&number, batch->bytes, sizeof number);
    return number;
}

/* A slot has one batch in all the world, and none if its owner skipped it. */
static void note_contents(const struct rabia_message *m)
{
    uint32_t number = m->batch && m->kind != RABIA_REJOIN_ANSWER ? number_of(m->batch) : 0;
    if (number == 0)
        return;
    struct said *entry = said_entry(0, m->lap, m->lane, STAGE_OWNER);
    if (entry->value == 0)
        entry->value = number;
    assert_int_equal(entry->value, number);
    assert_int_not_equal(said_entry(m->lane, m->lap, m->lane, 0)->value, SAID_SKIP);
}

static void note_said(uint8_t self, const struct rabia_out *out)
{
    for (size_t i = 0; i < out->message_count; i++) {
        const struct rabia_message *m = &out->messages[i].message;
        note_contents(m);
        if (!is_speech(m->kind))
            continue;
        if (m->lap < c.nodes[self].silent_below)
            fail_msg("seed %llu: %u speaks in lap %llu, silent below %llu", LL(c.seed), self, LL(m->lap),
                     LL(c.nodes[self].silent_below));
        for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
            note_said_slot(self, m, lap);
            if (m->kind == RABIA_SKIP)
                assert_int_equal(said_entry(0, lap, m->lane, STAGE_OWNER)->value, 0);
        }
    }
}

/* Light words that a power cut took may be said differently afterwards, but an
 * owner that may have skipped must not put a batch there. */
static void forgive(uint8_t self, const struct rabia_record *record)
{
    const struct rabia_message *m = &record->message;
    if (record->kind != RABIA_RECORD_SAID || record->needs_flush)
        return;
    for (uint64_t lap = m->lap; lap < m->lap + m->count; lap++) {
        struct said *entry = said_entry(self, lap, m->lane, stage_of(m));
        if (entry->value)
            entry->value = m->lane == self && stage_of(m) == 0 ? NULL_OR_SKIP : ANYTHING;
    }
}

/* --- frames ----------------------------------------------------------------- */

static void frame_drop(size_t index)
{
    struct frame *f = &c.frames[index];
    for (size_t i = 0; i < f->count; i++)
        batch_release(f->messages[i].batch);
    mem_free(f->messages);
    memmove(f, f + 1, (c.frame_count - index - 1) * sizeof *f);
    c.frame_count--;
}

static void frame_add(uint8_t from, uint8_t to, const struct rabia_out *out)
{
    struct frame f = {from, to, 0, mem_alloc((out->message_count + 1) * sizeof(struct rabia_message))};
    for (size_t i = 0; i < out->message_count; i++)
        if (out->messages[i].to >> to & 1) {
            f.messages[f.count++] = out->messages[i].message;
            if (out->messages[i].message.batch)
                batch_hold(out->messages[i].message.batch);
        }
    if (f.count == 0) {
        mem_free(f.messages);
        return;
    }
    if (c.frame_count == FRAMES_MAX)
        frame_drop(0);
    c.frames[c.frame_count++] = f;
}

static void drop_frames_of(uint8_t node, bool both_ways)
{
    for (size_t i = c.frame_count; i-- > 0;)
        if (c.frames[i].to == node || (both_ways && c.frames[i].from == node))
            frame_drop(i);
}

/* --- the disk --------------------------------------------------------------- */

static void journal_append(struct node *node, const struct rabia_record *record)
{
    if (node->journal_count == node->journal_capacity) {
        node->journal_capacity = node->journal_capacity ? node->journal_capacity * 2 : 64;
        node->journal = mem_realloc(node->journal, node->journal_capacity * sizeof *node->journal);
    }
    node->journal[node->journal_count++] = *record;
    if (record->message.batch)
        batch_hold(record->message.batch);
}

static void journal_cut(struct node *node, size_t count)
{
    while (node->journal_count > count)
        batch_release(node->journal[--node->journal_count].message.batch);
    if (node->flushed_count > count)
        node->flushed_count = count;
}

static void journal_take(struct node *node, const struct rabia_out *out)
{
    for (size_t i = 0; i < out->record_count; i++) {
        assert_int_equal(out->records[i].seq, node->core_seq + 1);
        node->core_seq = out->records[i].seq;
        journal_append(node, &out->records[i]);
    }
}

/* --- the order -------------------------------------------------------------- */

static void order_append(struct order *order, const struct decision *d)
{
    assert_true(order->count < ORDER_MAX);
    order->items[order->count++] = *d;
}

static void check_truth(uint8_t self, size_t index)
{
    const struct decision *d = &c.nodes[self].order.items[index];
    if (index == c.truth.count) {
        order_append(&c.truth, d);
        return;
    }
    const struct decision *t = &c.truth.items[index];
    if (t->lap != d->lap || t->lane != d->lane || t->number != d->number || t->is_void != d->is_void ||
        t->changed_from != d->changed_from)
        fail_msg("seed %llu: %u has %llu.%u number %u (change %llu) at %zu, others %llu.%u number %u (change %llu)",
                 LL(c.seed), self, LL(d->lap), d->lane, d->number, LL(d->changed_from), index, LL(t->lap), t->lane,
                 t->number, LL(t->changed_from));
}

static void apply(uint8_t self, const struct rabia_out *out)
{
    struct node *node = &c.nodes[self];
    for (size_t i = 0; i < out->decided_count; i++) {
        const struct rabia_decided *d = &out->decided[i];
        uint16_t mask = 0;
        if (!d->batch || batch_is_empty(d->batch))
            continue;
        struct decision item = {d->lap, 0, number_of(d->batch), d->lane, d->is_void};
        memcpy(&mask, d->batch->bytes + sizeof item.number, sizeof mask);
        if (mask && !d->is_void) {
            item.changed_from = rabia_change_members(node->rabia, d->lap, mask);
            bool is_first = node->order.count == c.truth.count;
            c.changes += is_first && item.changed_from != RABIA_NO_LAP;
            c.refusals += is_first && item.changed_from == RABIA_NO_LAP;
            if (is_first)
                NOTE("  change to %x in lap %llu from %llu\n", mask, LL(d->lap), LL(item.changed_from));
        }
        order_append(&node->order, &item);
        check_truth(self, node->order.count - 1);
    }
}

/* --- a step ----------------------------------------------------------------- */

static void honour(uint8_t self, struct rabia_out *out)
{
    struct node *node = &c.nodes[self];
    journal_take(node, out);
    if (out->rejoined_lap != RABIA_NO_LAP) {
        NOTE("  %u: J %llu\n", self, LL(out->rejoined_lap));
        node->silent_below = out->rejoined_lap;
    }
    note_said(self, out);
    for (uint8_t to = 0; to < NODES; to++)
        if (to != self && c.nodes[to].rabia)
            frame_add(self, to, out);
    apply(self, out);
    if (out->has_rejoined) {
        c.rejoins++;
        NOTE("  %u has rejoined\n", self);
        node->is_rejoining = node->has_mark = false;
    }
    if (out->snapshot_from_lap != RABIA_NO_LAP) {
        node->needs_snapshot = true;
        node->needs_lap = out->snapshot_from_lap;
    }
    node->deadline_us = out->deadline_us;
    assert_int_not_equal(out->deadline_us, UINT64_MAX);
    rabia_out_deinit(out);
}

static void step(uint8_t self, struct rabia_event event)
{
    struct rabia_out out;
    rabia_out_init(&out);
    event.now_us = c.now_us;
    event.wall_ms = c.now_us / 1000;
    rabia_step(c.nodes[self].rabia, &event, &out);
    honour(self, &out);
}

static void flush(uint8_t self)
{
    struct node *node = &c.nodes[self];
    if (node->flushed_count == node->journal_count)
        return;
    node->flushed_count = node->journal_count;
    step(self, (struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = node->core_seq});
}

/* --- snapshots --------------------------------------------------------------- */

static void keep_snapshot(struct node *node)
{
    struct rabia_out out;
    node->snapshot_size = rabia_export(node->rabia, node->snapshot);
    node->snapshot_order = node->order.count;
    rabia_out_init(&out);
    rabia_restate(node->rabia, &out);
    /* The new segment is flushed before the old ones go. */
    journal_cut(node, 0);
    journal_take(node, &out);
    rabia_out_deinit(&out);
}

static void take_snapshot(uint8_t self)
{
    c.snapshots++;
    keep_snapshot(&c.nodes[self]);
    flush(self);
}

static void copy_order(struct order *to, const struct order *from, size_t count)
{
    memcpy(to->items, from->items, count * sizeof *to->items);
    to->count = count;
}

/* From whoever is far enough. */
static void fetch_snapshot(uint8_t self)
{
    struct node *node = &c.nodes[self];
    for (uint8_t i = 0; i < NODES; i++) {
        struct node *other = &c.nodes[(self + 1 + i) % NODES];
        unsigned char bytes[RABIA_EXPORT_BYTES];
        struct rabia_out out;
        if (other == node || !other->rabia || rabia_frontier(other->rabia) < node->needs_lap)
            continue;
        rabia_export(other->rabia, bytes);
        rabia_out_init(&out);
        size_t had = node->order.count;
        copy_order(&node->order, &other->order, other->order.count);
        if (rabia_install(node->rabia, slice_make(bytes, sizeof bytes), c.now_us, c.now_us / 1000, &out)) {
            c.installs++;
            NOTE("  %u installs a snapshot at lap %llu\n", self, LL(rabia_frontier(node->rabia)));
            memcpy(node->snapshot, bytes, sizeof bytes);
            node->snapshot_size = sizeof bytes;
            node->snapshot_order = node->order.count;
            honour(self, &out);
            rabia_check(node->rabia);
        } else {
            node->order.count = had;
            rabia_out_deinit(&out);
        }
        node->needs_snapshot = false;
        return;
    }
}

/* --- lives -------------------------------------------------------------------- */

static struct rabia_options options_of(uint8_t self)
{
    struct rabia_options options;
    rabia_options_default(&options);
    options.member_count = c.first_members;
    options.learners = (1u << NODES) - 1;
    options.self = self;
    options.cluster_seed = c.seed;
    options.flush_before_send = c.flush;
    options.history_bytes_max = 600;
    options.skip_ahead_max = 8;
    return options;
}

static void end_life(uint8_t self)
{
    struct node *node = &c.nodes[self];
    rabia_free(node->rabia);
    node->rabia = NULL;
    node->needs_snapshot = false;
    node->up_at_us = c.now_us + random_below(&c.random, 300 * 1000);
    drop_frames_of(self, false);
}

static void replay(uint8_t self)
{
    struct node *node = &c.nodes[self];
    for (size_t i = 0; i < node->journal_count; i++) {
        struct rabia_out out;
        rabia_out_init(&out);
        if (!rabia_replay(node->rabia, &node->journal[i], &out))
            fail_msg("seed %llu: %u cannot replay record %zu: kind %u of %llu.%u count %llu value %u, frontier %llu",
                     LL(c.seed), self, i, node->journal[i].message.kind, LL(node->journal[i].message.lap),
                     node->journal[i].message.lane, LL(node->journal[i].message.count),
                     node->journal[i].message.value, LL(rabia_frontier(node->rabia)));
        assert_int_equal(out.record_count + out.message_count, 0);
        apply(self, &out);
        rabia_out_deinit(&out);
    }
}

static void link_up_all(uint8_t self)
{
    for (uint8_t i = 0; i < NODES; i++)
        if (i != self && c.nodes[i].rabia) {
            step(self, (struct rabia_event){.kind = RABIA_EVENT_LINK_UP, .peer = i});
            step(i, (struct rabia_event){.kind = RABIA_EVENT_LINK_UP, .peer = self});
        }
}

static void come_up(uint8_t self)
{
    struct node *node = &c.nodes[self];
    struct rabia_options options = options_of(self);
    struct rabia_out out;
    node->rabia = probe_restore(&options, slice_make(node->snapshot, node->snapshot_size), c.now_us, WINDOW);
    assert_non_null(node->rabia);
    node->order.count = node->snapshot_order;
    node->core_seq = 0;
    if (!node->has_mark)
        replay(self);
    rabia_check(node->rabia);
    if (!MUTANT(MUTANT_USE_UNFLUSHED))
        node->flushed_count = node->journal_count;
    rabia_out_init(&out);
    if (node->has_mark) {
        node->is_rejoining = true;
        node->silent_below = RABIA_NO_LAP;
        rabia_rejoin(node->rabia, c.now_us, c.now_us / 1000, &out);
    } else {
        struct rabia_speak_options how = {.may_have_lost_tail = node->lost_tail};
        rabia_speak(node->rabia, &how, c.now_us, c.now_us / 1000, &out);
    }
    honour(self, &out);
    rabia_check(node->rabia);
    node->lost_tail = false;
    node->came_up_us = c.now_us;
    for (uint8_t i = 0; node->has_mark && i < NODES; i++)
        if (i != self && c.nodes[i].rabia)
            step(i, (struct rabia_event){.kind = RABIA_EVENT_FORGET, .peer = self});
    link_up_all(self);
    NOTE("%llu ms: %u is up, frontier %llu%s\n", LL(c.now_us / 1000), self, LL(rabia_frontier(node->rabia)),
         node->is_rejoining ? ", rejoining" : "");
}

static void kill_node(uint8_t self)
{
    NOTE("%llu ms: kill %u at %llu\n", LL(c.now_us / 1000), self, LL(rabia_frontier(c.nodes[self].rabia)));
    c.kills++;
    end_life(self);
}

static void cut_power(uint8_t self)
{
    struct node *node = &c.nodes[self];
    size_t kept = node->flushed_count + random_below(&c.random, node->journal_count - node->flushed_count + 1);
    NOTE("%llu ms: power cut at %u, frontier %llu, %zu of %zu records lost\n", LL(c.now_us / 1000), self,
         LL(rabia_frontier(node->rabia)), node->journal_count - kept, node->journal_count);
    c.cuts++;
    c.losts += node->journal_count > kept;
    for (size_t i = kept; i < node->journal_count; i++)
        forgive(self, &node->journal[i]);
    journal_cut(node, kept);
    node->lost_tail = true;
    end_life(self);
}

/* Half of them keep an old snapshot: that much is true wherever it came from. */
static void wipe(uint8_t self)
{
    struct node *node = &c.nodes[self];
    NOTE("%llu ms: wipe %u at %llu\n", LL(c.now_us / 1000), self, LL(rabia_frontier(node->rabia)));
    c.wipes++;
    journal_cut(node, 0);
    node->has_mark = true;
    node->is_rejoining = false;
    if (random_below(&c.random, 2)) {
        node->snapshot_size = 0;
        node->snapshot_order = 0;
    }
    drop_frames_of(self, true);
    end_life(self);
}

/* --- who may fail -------------------------------------------------------------- */

static void look_at_lists(void)
{
    uint64_t furthest = 0;
    for (uint8_t i = 0; i < NODES; i++) {
        struct rabia_status s;
        if (!c.nodes[i].rabia || rabia_frontier(c.nodes[i].rabia) < furthest)
            continue;
        rabia_get_status(c.nodes[i].rabia, c.now_us, &s);
        c.furthest = furthest = s.frontier;
        c.mask = s.members;
        c.mask_from = s.members_from;
        c.pending = s.pending_members;
    }
}

/* One more without memory: f at most, and answers to REJOIN come from q others. */
static bool is_within_budget(uint16_t list, uint8_t self)
{
    int n = __builtin_popcount(list), q = n / 2 + 1, lost = 0;
    for (uint8_t i = 0; i < NODES; i++)
        if (list >> i & 1)
            lost += c.nodes[i].has_mark || i == self;
    return n >= 3 && lost <= n - q && n - lost >= q;
}

/* What an older list decided is safe when a quorum of this one has it. */
static bool is_handed_over(uint8_t self)
{
    int count = 0;
    for (uint8_t i = 0; i < NODES; i++)
        count += (c.mask >> i & 1) && i != self && c.nodes[i].rabia && !c.nodes[i].has_mark &&
                 rabia_frontier(c.nodes[i].rabia) >= c.mask_from;
    return count >= __builtin_popcount(c.mask) / 2 + 1;
}

static bool may_fail(uint8_t self, bool with_memory)
{
    look_at_lists();
    if (with_memory)
        return true;
    bool is_ready = is_handed_over(self) && is_within_budget(c.mask, self) && (!c.pending || is_within_budget(c.pending, self));
    for (size_t i = 0; i < PROPOSED_MAX; i++)
        if (c.proposed[i].mask && c.proposed[i].lap >= c.furthest)
            is_ready &= is_within_budget(c.proposed[i].mask, self);
    return is_ready;
}

/* --- acts ------------------------------------------------------------------------ */

static void propose_batch(uint8_t self, uint16_t mask, bool is_empty)
{
    if (!c.nodes[self].rabia || !rabia_can_propose(c.nodes[self].rabia))
        return;
    uint32_t number = ++c.numbers;
    struct batch *batch = batch_create(is_empty ? 0 : sizeof number + sizeof mask);
    if (!is_empty) {
        memcpy(batch->bytes, &number, sizeof number);
        memcpy(batch->bytes + sizeof number, &mask, sizeof mask);
    }
    if (mask)
        c.proposed[c.proposed_count++ % PROPOSED_MAX] =
            (struct proposed_change){rabia_frontier(c.nodes[self].rabia) + WINDOW, mask};
    step(self, (struct rabia_event){.kind = RABIA_EVENT_PROPOSE, .batch = batch});
    batch_release(batch);
}

static bool is_near(uint8_t node, uint64_t frontier)
{
    return c.nodes[node].rabia && !c.nodes[node].has_mark && rabia_frontier(c.nodes[node].rabia) + WINDOW / 2 > frontier;
}

/* Up to two members more or less, or one replaced; all of them well. */
static void change_members(uint8_t self)
{
    struct rabia_status s;
    if (!c.nodes[self].rabia)
        return;
    rabia_get_status(c.nodes[self].rabia, c.now_us, &s);
    unsigned mask = s.members;
    for (int i = 0; i < 2; i++)
        mask ^= 1u << random_below(&c.random, NODES);
    for (uint8_t i = 0; i < NODES; i++)
        if (!c.is_healing && (mask >> i & 1) && !is_near(i, s.frontier))
            return;
    if (mask == 0 || (c.has_wipes && __builtin_popcount(mask) < 3))
        return;
    for (uint8_t i = 0; i < NODES; i++)
        if (c.nodes[i].has_mark)
            return;
    propose_batch(self, (uint16_t)mask, false);
}

static void deliver(size_t index)
{
    struct frame frame = c.frames[index];
    c.frames[index].count = 0;
    c.frames[index].messages = NULL;
    frame_drop(index);
    if (c.nodes[frame.to].rabia)
        step(frame.to, (struct rabia_event){.kind = RABIA_EVENT_MESSAGES, .peer = frame.from,
                                            .messages = frame.messages, .message_count = frame.count});
    for (size_t i = 0; i < frame.count; i++)
        batch_release(frame.messages[i].batch);
    mem_free(frame.messages);
}

static void run_timers(void)
{
    for (uint8_t i = 0; i < NODES; i++) {
        struct node *node = &c.nodes[i];
        if (!node->rabia && node->up_at_us <= c.now_us)
            come_up(i);
        if (node->rabia && node->needs_snapshot)
            fetch_snapshot(i);
        if (node->rabia && node->deadline_us <= c.now_us)
            step(i, (struct rabia_event){.kind = RABIA_EVENT_TICK});
    }
}

static void fail_something(uint8_t self)
{
    uint64_t choice = random_below(&c.random, 4);
    if (!c.nodes[self].rabia)
        return;
    if (choice == 0 && c.has_wipes && may_fail(self, false))
        wipe(self);
    else if (choice == 1 && c.flush && (!c.nodes[self].has_mark || may_fail(self, false)))
        cut_power(self);
    else if (choice >= 2)
        kill_node(self);
}

/* Twice in a row: what the second life relied on must have been on disk. */
static void fail_again(uint8_t self)
{
    const struct node *node = &c.nodes[self];
    if (c.flush && node->rabia && !node->has_mark && node->came_up_us && c.now_us - node->came_up_us < 5000)
        cut_power(self);
}

static void random_act(void)
{
    uint8_t node = (uint8_t)random_below(&c.random, NODES);
    uint64_t choice = random_below(&c.random, 200);
    c.now_us += random_below(&c.random, 150);
    if (choice < 14)
        propose_batch(node, 0, random_below(&c.random, 4) == 0);
    else if (choice < 50) {
        if (c.nodes[node].rabia)
            flush(node);
    } else if (choice == 50 && random_below(&c.random, 3) == 0)
        fail_something(node);
    else if (choice == 51 && c.nodes[node].rabia && !c.nodes[node].has_mark && random_below(&c.random, 4) == 0)
        take_snapshot(node);
    else if (choice == 52 && c.has_changes && random_below(&c.random, 2) == 0)
        change_members(node);
    else if (choice >= 54 && choice < 60)
        fail_again(node);
    else if (choice == 53)
        c.now_us += random_below(&c.random, 20 * 1000);
    else if (c.frame_count > 0) {
        size_t index = random_below(&c.random, c.frame_count);
        if (random_below(&c.random, 100) < c.loss_percent)
            frame_drop(index);
        else
            deliver(index);
    }
    run_timers();
}

/* --- the end ----------------------------------------------------------------------- */

static bool is_quiet(void)
{
    for (uint8_t i = 0; i < NODES; i++) {
        struct rabia_status s;
        if (!c.nodes[i].rabia || c.nodes[i].has_mark || c.nodes[i].order.count != c.truth.count)
            return false;
        rabia_get_status(c.nodes[i].rabia, c.now_us, &s);
        if (s.own_in_flight > 0 || s.pending_members)
            return false;
    }
    return true;
}

static bool settle(void)
{
    for (unsigned round = 0; round < 30000; round++) {
        for (unsigned i = 0; c.frame_count > 0 && i < 20000; i++)
            deliver(0);
        for (uint8_t i = 0; i < NODES; i++)
            if (c.nodes[i].rabia)
                flush(i);
        if (c.frame_count == 0 && is_quiet())
            return true;
        c.now_us += 1000;
        run_timers();
    }
    return false;
}

static void print_nodes(void)
{
    for (uint8_t i = 0; i < NODES; i++) {
        struct rabia_status s;
        if (!c.nodes[i].rabia)
            continue;
        rabia_get_status(c.nodes[i].rabia, c.now_us, &s);
        printf("  %u: frontier %llu own next %llu in flight %llu members %x from %llu pending %x from %llu order %zu of %zu%s J "
               "%llu\n",
               i, LL(s.frontier), LL(s.own_next_lap), LL(s.own_in_flight), s.members, LL(s.members_from),
               s.pending_members, LL(s.pending_from), c.nodes[i].order.count, c.truth.count,
               s.is_rejoining ? " rejoining" : "", LL(s.rejoin_lap));
    }
}

static void heal(void)
{
    c.is_healing = true;
    if (!settle()) {
        print_nodes();
        fail_msg("seed %llu: does not end", LL(c.seed));
    }
    uint32_t before = c.numbers;
    for (int k = 0; k < HEAL_PROPOSALS; k++) {
        size_t had = c.truth.count;
        for (uint8_t i = 0; i < NODES; i++)
            propose_batch(i, 0, false);
        c.now_us += 300 * 1000;
        if (!settle() || c.truth.count == had) {
            print_nodes();
            fail_msg("seed %llu: nothing new comes out", LL(c.seed));
        }
    }
    assert_true(c.numbers > before);
    for (uint8_t i = 0; i < NODES; i++) {
        struct rabia_status s;
        rabia_check(c.nodes[i].rabia);
        rabia_get_status(c.nodes[i].rabia, c.now_us, &s);
        assert_int_equal(s.conflicting_decisions, 0);
        if (s.invalid_messages)
            fail_msg("seed %llu: %u counted %llu invalid messages", LL(c.seed), i, LL(s.invalid_messages));
    }
}

static void create(uint64_t seed)
{
    struct said *said = c.said;
    memset(&c, 0, sizeof c);
    c.said = said ? memset(said, 0, SAID_MAX * sizeof *said) : mem_calloc(SAID_MAX, sizeof *said);
    c.seed = seed;
    c.is_verbose = getenv("LIVES_VERBOSE") != NULL;
    random_init(&c.random, seed);
    c.flush = random_below(&c.random, 2);
    c.first_members = (uint8_t)(random_below(&c.random, 3) * 2 + 1);
    c.has_changes = random_below(&c.random, 2);
    c.has_wipes = c.first_members >= 3 && random_below(&c.random, 2);
    c.loss_percent = (unsigned)random_below(&c.random, 4) * 4;
    c.truth.items = mem_alloc(ORDER_MAX * sizeof *c.truth.items);
    for (uint8_t i = 0; i < NODES; i++) {
        struct rabia_options options = options_of(i);
        c.nodes[i].order.items = mem_alloc(ORDER_MAX * sizeof *c.truth.items);
        c.nodes[i].rabia = probe_create(&options, WINDOW);
    }
}

static void destroy(void)
{
    while (c.frame_count > 0)
        frame_drop(c.frame_count - 1);
    for (uint8_t i = 0; i < NODES; i++) {
        rabia_free(c.nodes[i].rabia);
        journal_cut(&c.nodes[i], 0);
        mem_free(c.nodes[i].journal);
        mem_free(c.nodes[i].order.items);
    }
    mem_free(c.truth.items);
}

static struct cluster sum;

static void run_one(uint64_t seed)
{
    create(seed);
    NOTE("seed %llu: %u members, flush %d, changes %d, wipes %d, loss %u\n", LL(seed), c.first_members, c.flush,
         c.has_changes, c.has_wipes, c.loss_percent);
    for (unsigned i = 0; i < 12000 && c.truth.count < ORDER_MAX - 200; i++) {
        random_act();
        if (i % 100 == 0 && c.nodes[i / 100 % NODES].rabia)
            rabia_check(c.nodes[i / 100 % NODES].rabia);
    }
    heal();
    sum.kills += c.kills;
    sum.cuts += c.cuts;
    sum.losts += c.losts;
    sum.wipes += c.wipes;
    sum.rejoins += c.rejoins;
    sum.installs += c.installs;
    sum.changes += c.changes;
    sum.refusals += c.refusals;
    sum.snapshots += c.snapshots;
    sum.truth.count += c.truth.count;
    destroy();
}

static void test_lives(void **state)
{
    (void)state;
    const char *runs = getenv("LIVES_RUNS"), *first = getenv("LIVES_FIRST"), *one = getenv("LIVES_SEED");
    uint64_t from = one ? strtoull(one, NULL, 10) : first ? strtoull(first, NULL, 10) : 1;
    uint64_t count = one ? 1 : runs ? strtoull(runs, NULL, 10) : 60;
    for (uint64_t seed = from; seed < from + count; seed++)
        run_one(seed);
    mem_free(c.said);
    printf("%llu runs: %zu batches, %u kills, %u power cuts (%u lost something), %u wipes, %u rejoined, %u installs, %u "
           "changes, %u refused, %u snapshots\n",
           LL(count), sum.truth.count, sum.kills, sum.cuts, sum.losts, sum.wipes, sum.rejoins, sum.installs,
           sum.changes, sum.refusals, sum.snapshots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
