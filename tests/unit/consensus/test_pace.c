/* Goal: the order keeps its pace (protocol.md, Pace): one round trip when all
 * is well, in few frames; no wait for the idle, a short one for the dead.
 *
 * Method: machines joined by links of a fixed delay.  Lazy messages ride with
 * the next urgent frame or go after LAZY_US.  Counted: frames that were sent
 * for their own sake, ASKs, forfeits, and the time from PROPOSE to the batch
 * coming out at its owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "consensus/rabia.h"

enum { DELAY_US = 100, LAZY_US = 1000, FRAMES_MAX = 4096, MESSAGES_MAX = 65536, LAPS_MAX = 1 << 20 };

struct frame {
    uint64_t due_us;
    size_t count;
    struct rabia_message *messages;
};
struct link {
    struct frame frames[FRAMES_MAX];
    size_t head, count;
    struct rabia_message lazy[MESSAGES_MAX];
    size_t lazy_count;
    uint64_t lazy_due_us;
};
struct node {
    struct rabia *rabia;
    bool is_dead;
    uint64_t deadline_us, last_seq, flushed_seq, flush_due_us, slow_us;
    uint64_t proposed_us[256]; /* by lap % 256 */
    uint64_t proposed, ended, nulls, wait_sum_us, wait_max_us, decided;
};
struct cluster {
    uint8_t n;
    uint64_t now_us, flush_us;
    struct node nodes[RABIA_MEMBERS_MAX];
    struct link links[RABIA_MEMBERS_MAX][RABIA_MEMBERS_MAX];
    uint64_t urgent_frames[RABIA_MEMBERS_MAX], kinds[RABIA_KIND_END];
};
static struct cluster c;

static void send_frame(uint8_t from, uint8_t to, const struct rabia_out *out, bool lazy_only)
{
    struct link *l = &c.links[from][to];
    struct rabia_message *messages = mem_alloc(sizeof *messages * (l->lazy_count + (out ? out->message_count : 0) + 1));
    size_t count = 0;
    for (size_t i = 0; i < l->lazy_count; i++)
        messages[count++] = l->lazy[i];
    l->lazy_count = 0;
    for (size_t i = 0; out && i < out->message_count; i++)
        if (out->messages[i].to >> to & 1) {
            messages[count] = out->messages[i].message;
            if (messages[count].batch)
                batch_hold(messages[count].batch);
            c.kinds[messages[count++].kind]++;
        }
    c.urgent_frames[from] += !lazy_only;
    assert_true(l->count < FRAMES_MAX);
    uint64_t delay_us = DELAY_US + c.nodes[from].slow_us;
    l->frames[(l->head + l->count++) % FRAMES_MAX] = (struct frame){c.now_us + delay_us, count, messages};
}

static void send_out(uint8_t from, uint8_t to, const struct rabia_out *out)
{
    struct link *l = &c.links[from][to];
    bool has_urgent = false;
    for (size_t i = 0; i < out->message_count; i++)
        has_urgent |= (out->messages[i].to >> to & 1) && !out->messages[i].is_lazy;
    if (has_urgent) {
        send_frame(from, to, out, false);
        return;
    }
    for (size_t i = 0; i < out->message_count; i++)
        if (out->messages[i].to >> to & 1) {
            if (l->lazy_count == 0)
                l->lazy_due_us = c.now_us + LAZY_US;
            assert_true(l->lazy_count < MESSAGES_MAX);
            l->lazy[l->lazy_count++] = out->messages[i].message;
            if (out->messages[i].message.batch)
                batch_hold(out->messages[i].message.batch);
        }
}

static void note_decided(uint8_t self, const struct rabia_out *out)
{
    struct node *node = &c.nodes[self];
    for (size_t i = 0; i < out->decided_count; i++) {
        node->decided += out->decided[i].batch != NULL;
        if (out->decided[i].lane != self)
            continue;
        uint64_t wait_us = c.now_us - node->proposed_us[out->decided[i].lap % 256];
        node->ended++;
        node->nulls += !out->decided[i].batch;
        node->wait_sum_us += wait_us;
        node->wait_max_us = wait_us > node->wait_max_us ? wait_us : node->wait_max_us;
    }
}

static void step(uint8_t self, struct rabia_event event)
{
    struct node *node = &c.nodes[self];
    struct rabia_out out;
    rabia_out_init(&out);
    event.now_us = c.now_us;
    rabia_step(node->rabia, &event, &out);
    if (out.proposed_lap != RABIA_NO_LAP)
        node->proposed_us[out.proposed_lap % 256] = c.now_us;
    for (size_t i = 0; i < out.record_count; i++)
        if (out.records[i].needs_flush && node->flush_due_us == 0)
            node->flush_due_us = c.now_us + c.flush_us;
    if (out.record_count)
        node->last_seq = out.records[out.record_count - 1].seq;
    note_decided(self, &out);
    for (uint8_t to = 0; to < c.n; to++)
        if (to != self)
            send_out(self, to, &out);
    node->deadline_us = out.deadline_us;
    rabia_out_deinit(&out);
}

static void propose(uint8_t self)
{
    if (!rabia_can_propose(c.nodes[self].rabia))
        return;
    struct batch *batch = batch_create(4);
    memset(batch->bytes, 0, 4);
    c.nodes[self].proposed++;
    step(self, (struct rabia_event){.kind = RABIA_EVENT_PROPOSE, .batch = batch});
    batch_release(batch);
}

static void arrive(uint8_t from, uint8_t to)
{
    struct link *l = &c.links[from][to];
    struct frame f = l->frames[l->head];
    l->head = (l->head + 1) % FRAMES_MAX;
    l->count--;
    if (!c.nodes[to].is_dead)
        step(to, (struct rabia_event){
                     .kind = RABIA_EVENT_MESSAGES, .peer = from, .messages = f.messages, .message_count = f.count});
    for (size_t i = 0; i < f.count; i++)
        batch_release(f.messages[i].batch);
    mem_free(f.messages);
}

/* One tick of the world: 10 us. */
static void advance(void)
{
    c.now_us += 10;
    for (uint8_t from = 0; from < c.n; from++)
        for (uint8_t to = 0; to < c.n; to++) {
            struct link *l = &c.links[from][to];
            if (l->lazy_count && l->lazy_due_us <= c.now_us)
                send_frame(from, to, NULL, true);
            while (l->count && l->frames[l->head].due_us <= c.now_us)
                arrive(from, to);
        }
    for (uint8_t i = 0; i < c.n; i++) {
        struct node *node = &c.nodes[i];
        if (!node->is_dead && node->flush_due_us && node->flush_due_us <= c.now_us) {
            node->flush_due_us = 0;
            step(i, (struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = node->last_seq});
        }
        if (!node->is_dead && node->deadline_us <= c.now_us)
            step(i, (struct rabia_event){.kind = RABIA_EVENT_TICK});
    }
}

static void create(uint8_t n, uint64_t flush_us)
{
    memset(&c, 0, sizeof c);
    c.n = n;
    c.flush_us = flush_us;
    for (uint8_t i = 0; i < n; i++) {
        struct rabia_options options;
        rabia_options_default(&options);
        options.member_count = n;
        options.self = i;
        options.cluster_seed = 1;
        options.flush_before_send = flush_us > 0;
        c.nodes[i].rabia = rabia_create(&options, 0);
    }
}

static void destroy(void)
{
    for (uint8_t from = 0; from < c.n; from++)
        for (uint8_t to = 0; to < c.n; to++) {
            struct link *l = &c.links[from][to];
            c.nodes[to].is_dead = true;
            while (l->count)
                arrive(from, to);
            for (size_t i = 0; i < l->lazy_count; i++)
                batch_release(l->lazy[i].batch);
        }
    for (uint8_t i = 0; i < c.n; i++) {
        rabia_check(c.nodes[i].rabia);
        rabia_free(c.nodes[i].rabia);
    }
}

static uint64_t forfeits(void)
{
    uint64_t total = 0;
    for (uint8_t i = 0; i < c.n; i++) {
        struct rabia_status s;
        rabia_get_status(c.nodes[i].rabia, c.now_us, &s);
        for (uint8_t lane = 0; lane < c.n; lane++)
            total += s.lanes[lane].forfeits;
    }
    return total;
}

static void forget_figures(void)
{
    memset(c.urgent_frames, 0, sizeof c.urgent_frames);
    memset(c.kinds, 0, sizeof c.kinds);
    for (uint8_t i = 0; i < c.n; i++) {
        struct node *node = &c.nodes[i];
        node->proposed = node->ended = node->nulls = node->wait_sum_us = node->wait_max_us = node->decided = 0;
    }
}

/* Replicas in busy each keep up to depth batches in flight. */
static void run(unsigned busy, uint64_t depth, uint64_t for_us)
{
    for (uint64_t end_us = c.now_us + for_us; c.now_us < end_us; advance())
        for (uint8_t i = 0; i < c.n; i++) {
            struct rabia_status s;
            if (!(busy >> i & 1) || c.nodes[i].is_dead)
                continue;
            rabia_get_status(c.nodes[i].rabia, c.now_us, &s);
            if (s.own_in_flight < depth)
                propose(i);
        }
}

static void print(const char *what)
{
    uint64_t proposed = 0, ended = 0, nulls = 0, wait_us = 0, max_us = 0, frames = 0;
    for (uint8_t i = 0; i < c.n; i++) {
        struct node *node = &c.nodes[i];
        proposed += node->proposed;
        ended += node->ended;
        nulls += node->nulls;
        wait_us += node->wait_sum_us;
        max_us = node->wait_max_us > max_us ? node->wait_max_us : max_us;
        frames += c.urgent_frames[i];
    }
    printf("%-34s batches %6llu null %4llu wait %5llu max %6llu us; urgent frames %.2f per batch; asks %llu states %llu "
           "forfeits %llu\n",
           what, (unsigned long long)ended, (unsigned long long)nulls, (unsigned long long)(ended ? wait_us / ended : 0),
           (unsigned long long)max_us, proposed ? (double)frames / (double)proposed : 0,
           (unsigned long long)c.kinds[RABIA_ASK], (unsigned long long)c.kinds[RABIA_STATE],
           (unsigned long long)forfeits());
}

static uint64_t mean_wait_us(uint8_t i)
{
    return c.nodes[i].ended ? c.nodes[i].wait_sum_us / c.nodes[i].ended : UINT64_MAX;
}

static void test_lone_proposer(void **state)
{
    (void)state;
    create(3, 0);
    run(1, 1, 100 * 1000);
    forget_figures();
    run(1, 1, 1000 * 1000);
    print("lone proposer, 3 replicas");
    assert_in_range(mean_wait_us(0), 0, 2 * DELAY_US + 20);
    assert_true(c.urgent_frames[1] <= c.nodes[0].proposed + 1);
    assert_true(c.urgent_frames[2] <= c.nodes[0].proposed + 1);
    assert_int_equal(c.kinds[RABIA_ASK] + c.kinds[RABIA_STATE] + forfeits(), 0);
    destroy();
}

static void test_all_busy(void **state)
{
    (void)state;
    for (uint8_t n = 3; n <= 5; n = (uint8_t)(n + 2))
        for (uint64_t depth = 1; depth <= 8; depth *= 8) {
            create(n, 0);
            run(0x1f, depth, 100 * 1000);
            forget_figures();
            run(0x1f, depth, 1000 * 1000);
            print(depth == 1 ? "all busy, one in flight" : "all busy, eight in flight");
            assert_int_equal(c.kinds[RABIA_ASK] + c.kinds[RABIA_STATE] + forfeits(), 0);
            assert_in_range(mean_wait_us(0), 0, 5 * DELAY_US);
            destroy();
        }
}

static void test_flushing(void **state)
{
    (void)state;
    create(3, 500);
    run(1, 4, 300 * 1000);
    forget_figures();
    run(1, 4, 1000 * 1000);
    print("lone proposer, flush 500 us");
    assert_int_equal(c.kinds[RABIA_ASK] + c.kinds[RABIA_STATE] + forfeits(), 0);
    destroy();
    create(3, 500);
    run(7, 4, 300 * 1000);
    forget_figures();
    run(7, 4, 1000 * 1000);
    print("all busy, flush 500 us");
    assert_int_equal(c.kinds[RABIA_ASK] + c.kinds[RABIA_STATE] + forfeits(), 0);
    destroy();
}

static void test_one_dies(void **state)
{
    (void)state;
    create(3, 0);
    run(3, 4, 300 * 1000);
    c.nodes[2].is_dead = true;
    forget_figures();
    run(3, 4, 500 * 1000);
    print("third dies: first half second");
    assert_true(c.nodes[0].wait_max_us <= 250 * 1000);
    forget_figures();
    run(3, 4, 1000 * 1000);
    print("third dead: steady");
    assert_int_equal(c.kinds[RABIA_ASK], 0);
    assert_in_range(mean_wait_us(0), 0, 5 * DELAY_US);
    c.nodes[2].is_dead = false;
    run(7, 4, 500 * 1000);
    forget_figures();
    run(7, 4, 500 * 1000);
    print("third back: steady");
    assert_true(c.nodes[2].ended > 100);
    assert_int_equal(c.nodes[2].nulls, 0);
    destroy();
}

static void test_slow_owner(void **state)
{
    (void)state;
    create(3, 0);
    run(7, 4, 300 * 1000);
    c.nodes[2].slow_us = 30 * 1000;
    run(7, 4, 3000 * 1000);
    forget_figures();
    run(7, 4, 3000 * 1000);
    print("third is slow, 30 ms");
    assert_true(c.nodes[2].ended - c.nodes[2].nulls > 10);
    destroy();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lone_proposer), cmocka_unit_test(test_all_busy), cmocka_unit_test(test_flushing),
        cmocka_unit_test(test_one_dies),      cmocka_unit_test(test_slow_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
