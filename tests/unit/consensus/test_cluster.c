/* Goal: many slots, many replicas, a bad network: the order is the same
 * everywhere, nothing is lost, and once the network behaves everything ends.
 *
 * Method: whole machines joined by queues, driven by a seeded generator:
 * frames are delivered in any order between links, lost, repeated; replicas
 * stand still for a while; flushes end late.  rabia_check runs along the way.
 * Then the network heals, and every replica must hand out the same list, every
 * proposal in it or told as lost.  The seed is printed on failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "consensus/rabia.h"

enum { FRAMES_MAX = 1 << 12, ORDER_MAX = 1 << 14 };

struct frame {
    uint8_t from, to;
    size_t count;
    struct rabia_message *messages;
};
struct decision {
    uint64_t lap;
    uint8_t lane;
    bool is_void;
    uint32_t number;
};
struct node {
    struct rabia *rabia;
    uint64_t last_seq, flushed_seq, deadline_us, previous_lap;
    uint32_t proposed, ended; /* own batches, and those that came out or were told NULL */
    uint64_t frozen_until_us;
    struct decision *order;
    size_t order_count;
};
struct cluster {
    uint8_t n;
    bool flush;
    struct node nodes[RABIA_MEMBERS_MAX];
    struct frame frames[FRAMES_MAX];
    size_t frame_count;
    uint64_t now_us;
    struct random random;
    unsigned loss_percent;
    uint64_t urgent_sent[RABIA_KIND_END];
    uint32_t numbers;
};

static void frame_drop(struct cluster *c, size_t index)
{
    struct frame *f = &c->frames[index];
    for (size_t i = 0; i < f->count; i++)
        batch_release(f->messages[i].batch);
    mem_free(f->messages);
    memmove(f, f + 1, (c->frame_count - index - 1) * sizeof *f);
    c->frame_count--;
}

static void frame_add(struct cluster *c, uint8_t from, uint8_t to, const struct rabia_out *out)
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
    if (c->frame_count == FRAMES_MAX)
        frame_drop(c, 0);
    c->frames[c->frame_count++] = f;
}

static void note_decided(struct cluster *c, uint8_t self, const struct rabia_out *out)
{
    struct node *node = &c->nodes[self];
    for (size_t i = 0; i < out->decided_count; i++) {
        const struct rabia_decided *d = &out->decided[i];
        if (d->lane == self)
            node->ended++;
        if (!d->batch)
            continue;
        uint32_t number;
        memcpy(&number, d->batch->bytes, sizeof number);
        assert_true(node->order_count < ORDER_MAX);
        node->order[node->order_count++] = (struct decision){d->lap, d->lane, d->is_void, number};
    }
}

static void step(struct cluster *c, uint8_t self, struct rabia_event *event)
{
    struct node *node = &c->nodes[self];
    struct rabia_out out;
    rabia_out_init(&out);
    event->now_us = c->now_us;
    event->wall_ms = c->now_us / 1000;
    rabia_step(node->rabia, event, &out);
    for (size_t i = 0; i < out.record_count; i++) {
        assert_int_equal(out.records[i].seq, node->last_seq + 1);
        node->last_seq = out.records[i].seq;
    }
    for (uint8_t to = 0; to < c->n; to++)
        if (to != self)
            frame_add(c, self, to, &out);
    note_decided(c, self, &out);
    if (event->kind == RABIA_EVENT_PROPOSE)
        node->previous_lap = out.proposed_lap;
    node->deadline_us = out.deadline_us;
    assert_int_not_equal(out.deadline_us, UINT64_MAX);
    rabia_out_deinit(&out);
}

static bool is_frozen(const struct cluster *c, uint8_t node)
{
    return c->nodes[node].frozen_until_us > c->now_us;
}

static void propose(struct cluster *c, uint8_t self)
{
    if (!rabia_can_propose(c->nodes[self].rabia))
        return;
    struct batch *batch = batch_create(sizeof(uint32_t));
    uint32_t number = ++c->numbers;
    memcpy(batch->bytes, &number, sizeof number);
    if (random_below(&c->random, 2) && c->nodes[self].ended < c->nodes[self].proposed)
        batch->previous_lap = c->nodes[self].previous_lap;
    c->nodes[self].proposed++;
    step(c, self, &(struct rabia_event){.kind = RABIA_EVENT_PROPOSE, .batch = batch});
    batch_release(batch);
}

static void deliver(struct cluster *c, size_t index)
{
    struct frame *f = &c->frames[index];
    struct frame frame = *f;
    if (is_frozen(c, f->to))
        return;
    f->count = 0;
    f->messages = NULL;
    frame_drop(c, index);
    step(c, frame.to, &(struct rabia_event){.kind = RABIA_EVENT_MESSAGES, .peer = frame.from,
                                            .messages = frame.messages, .message_count = frame.count});
    for (size_t i = 0; i < frame.count; i++)
        batch_release(frame.messages[i].batch);
    mem_free(frame.messages);
}

static void flush(struct cluster *c, uint8_t self)
{
    struct node *node = &c->nodes[self];
    if (node->flushed_seq == node->last_seq)
        return;
    node->flushed_seq = node->last_seq;
    step(c, self, &(struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = node->flushed_seq});
}

static void run_timers(struct cluster *c)
{
    for (uint8_t i = 0; i < c->n; i++)
        if (!is_frozen(c, i) && c->nodes[i].deadline_us <= c->now_us)
            step(c, i, &(struct rabia_event){.kind = RABIA_EVENT_TICK});
}

static void random_act(struct cluster *c)
{
    uint8_t node = (uint8_t)random_below(&c->random, c->n);
    uint64_t choice = random_below(&c->random, 100);
    c->now_us += random_below(&c->random, 200);
    if (choice < 8 && !is_frozen(c, node))
        propose(c, node);
    else if (choice < 20 && !is_frozen(c, node))
        flush(c, node);
    else if (choice == 20 && random_below(&c->random, 10) == 0)
        c->nodes[node].frozen_until_us = c->now_us + random_below(&c->random, 400 * 1000);
    else if (choice == 21)
        c->now_us += random_below(&c->random, 20 * 1000);
    else if (c->frame_count > 0) {
        size_t index = random_below(&c->random, c->frame_count);
        if (random_below(&c->random, 100) < c->loss_percent)
            frame_drop(c, index);
        else
            deliver(c, index);
    }
    run_timers(c);
}

static void create(struct cluster *c, uint8_t n, bool flush_first, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->n = n;
    c->flush = flush_first;
    random_init(&c->random, seed);
    for (uint8_t i = 0; i < n; i++) {
        struct rabia_options options;
        rabia_options_default(&options);
        options.member_count = n;
        options.self = i;
        options.cluster_seed = seed;
        options.flush_before_send = flush_first;
        c->nodes[i].rabia = rabia_create(&options, 0);
        c->nodes[i].order = mem_alloc(ORDER_MAX * sizeof(struct decision));
        c->nodes[i].previous_lap = RABIA_NO_LAP;
    }
}

static void destroy(struct cluster *c)
{
    while (c->frame_count > 0)
        frame_drop(c, c->frame_count - 1);
    for (uint8_t i = 0; i < c->n; i++) {
        rabia_free(c->nodes[i].rabia);
        mem_free(c->nodes[i].order);
    }
}

static void check_agreement(const struct cluster *c)
{
    for (uint8_t i = 1; i < c->n; i++) {
        const struct node *a = &c->nodes[0], *b = &c->nodes[i];
        size_t common = a->order_count < b->order_count ? a->order_count : b->order_count;
        for (size_t k = 0; k < common; k++) {
            assert_int_equal(a->order[k].lap, b->order[k].lap);
            assert_int_equal(a->order[k].lane, b->order[k].lane);
            assert_int_equal(a->order[k].number, b->order[k].number);
            assert_int_equal(a->order[k].is_void, b->order[k].is_void);
        }
    }
}

static bool is_done(const struct cluster *c)
{
    for (uint8_t i = 0; i < c->n; i++)
        if (c->nodes[i].ended != c->nodes[i].proposed || c->nodes[i].order_count != c->nodes[0].order_count)
            return false;
    return true;
}

/* What a run exercised, so that a quiet one does not pass for a good one. */
static void print_figures(const struct cluster *c)
{
    uint64_t exchange = 0, phases = 0, forfeits = 0, wrongful = 0, nulled = 0;
    for (uint8_t i = 0; i < c->n; i++) {
        struct rabia_status s;
        rabia_get_status(c->nodes[i].rabia, c->now_us, &s);
        exchange += s.decided_by_exchange;
        for (int p = 0; p < RABIA_PHASE_COUNTERS; p++)
            phases += s.decided_in_phase[p];
        for (uint8_t lane = 0; lane < c->n; lane++) {
            forfeits += s.lanes[lane].forfeits;
            wrongful += s.lanes[lane].wrongful_forfeits;
        }
        assert_int_equal(s.conflicting_decisions, 0);
        assert_int_equal(s.invalid_messages, 0);
        nulled += c->nodes[i].proposed;
    }
    printf("  proposed %llu ordered %zu; exchange %llu phases %llu forfeits %llu wrongful %llu; %llu ms\n",
           (unsigned long long)nulled, c->nodes[0].order_count, (unsigned long long)exchange,
           (unsigned long long)phases, (unsigned long long)forfeits, (unsigned long long)wrongful,
           (unsigned long long)c->now_us / 1000);
}

/* The network behaves: all frames in order, all flushes, time goes on. */
static void heal(struct cluster *c)
{
    c->now_us += 500 * 1000;
    for (unsigned round = 0; round < 20000; round++) {
        while (c->frame_count > 0)
            deliver(c, 0);
        for (uint8_t i = 0; i < c->n; i++)
            flush(c, i);
        if (c->frame_count == 0 && is_done(c))
            return;
        c->now_us += 1000;
        run_timers(c);
    }
    for (uint8_t i = 0; i < c->n; i++)
        printf("replica %u: frontier %llu proposed %u ended %u order %zu\n", i,
               (unsigned long long)rabia_frontier(c->nodes[i].rabia), c->nodes[i].proposed, c->nodes[i].ended,
               c->nodes[i].order_count);
    fail_msg("does not end");
}

static struct cluster cluster;

static void run_one(uint8_t n, bool flush_first, uint64_t seed)
{
    struct cluster *c = &cluster;
    create(c, n, flush_first, seed);
    c->loss_percent = (unsigned)random_below(&c->random, 4) * 5;
    printf("n %u flush %d seed %llu\n", n, flush_first, (unsigned long long)seed);
    for (unsigned i = 0; i < 3000; i++) {
        random_act(c);
        if (i % 500 == 0)
            rabia_check(c->nodes[i / 500 % n].rabia);
    }
    heal(c);
    check_agreement(c);
    for (uint8_t i = 0; i < n; i++)
        rabia_check(c->nodes[i].rabia);
    print_figures(c);
    destroy(c);
}

static void test_random(void **state)
{
    (void)state;
    const char *text = getenv("CLUSTER_RUNS"), *first = getenv("CLUSTER_FIRST");
    uint64_t runs = text ? strtoull(text, NULL, 10) : 20;
    for (uint64_t seed = first ? strtoull(first, NULL, 10) : 1; seed <= runs; seed++) {
        run_one(3, false, seed);
        run_one(3, true, seed);
        run_one(5, seed % 2, seed);
        run_one((uint8_t)(1 + seed % 7), seed % 2, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
