/* Goal: one slot is safe whatever the order of messages, forfeits and flushes.
 *
 * Method: exhaustive exploration with the production step function.  A state is
 * what every replica knows about slot (0, 0) and which messages were ever sent;
 * from it any sent message may be delivered to its receiver (again, too), any
 * replica may forfeit, the owner may propose or be nudged to skip, a disk may
 * finish.  A lost message is one never delivered, a crashed replica one that
 * never acts again, so every state stands for those as well.  Messages about
 * other slots are dropped, which is loss.  Replicas that have gone past the last
 * phase explored take no further part.
 *
 * The core search leaves out FETCH and DECIDED (contents come from the owner's
 * own message at any time) and delivers messages only when they are of use; it
 * is complete.  The full search has everything and is bounded.
 *
 * The searches with lives let one replica, at any moment, be killed and restart
 * with its memory, or lose by a power cut what was not flushed, or lose its
 * memory and rejoin: it is silent in this slot then, and learns.  What it said
 * before may still arrive.
 *
 * Replica states are interned and their steps remembered, so a transition costs
 * a table lookup.  Visited states are kept as 64-bit hashes (a collision could
 * hide a state, one chance in about 10^6 at these numbers).
 *
 * Asserted in every state: agreement; batch only if the owner proposed it; NULL
 * if the owner skipped; a decided batch held (on disk, when flushing) by a
 * quorum; one PROPOSAL or SKIP per replica, one STATE and one VOTE per phase;
 * rabia_check of every replica. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "consensus/probe.h"

enum { CORE_STATES = 2000000, BOUNDED_STATES = 700000, FULL_STATES = 200000 };
enum { WORDS = 4, MESSAGES_MAX = 64 * WORDS, MEMBERS_MAX = 5, NODES_MAX = 60000, STAGES_MAX = 24 };
enum {
    EVENT_PROPOSE = MESSAGES_MAX,
    EVENT_SKIP,
    EVENT_FORFEIT,
    EVENT_FLUSH,
    EVENT_RESTART,
    EVENT_CUT,
    EVENT_WIPE,
    EVENTS
};

struct set {
    uint64_t words[WORDS];
};
struct wire {
    uint8_t from, to, kind, value, has_batch;
    uint32_t phase;
};
/* One replica's interned state; self is part of it. */
struct node {
    struct rabia *rabia;
    uint8_t self;
    bool has_durable_batch, may_own;
    uint64_t contents_seq, last_seq; /* of the record with the contents; 0: none */
    struct probe_facts facts;
    size_t key_size;
    uint8_t key[PROBE_BYTES_MAX + 4];
    uint16_t *next;         /* by event; 0: not yet known, else node + 1 */
    struct set *emitted;    /* by event */
};
struct state {
    uint16_t nodes[MEMBERS_MAX];
    uint8_t owner_act; /* 0 nothing, else EVENT_PROPOSE or EVENT_SKIP has happened */
    uint8_t restarts, wipes; /* so many happened */
    struct set sent;
};

struct explorer {
    uint8_t n;
    bool flush;
    uint32_t phases;
    bool has_lives;
    uint64_t seed;
    bool is_core; /* FETCH and DECIDED are left out */
    uint64_t states_max, visited_count, transitions, decided_null, decided_batch;
    bool is_complete;
    struct wire wires[MESSAGES_MAX];
    size_t wire_count;
    struct node *nodes;
    size_t node_count;
    uint32_t *buckets;  /* of nodes, by key */
    uint64_t *visited;
    size_t visited_capacity;
    struct state *queue;
    size_t head, tail, queue_capacity;
    struct batch *batch;
};
static struct explorer x;

static bool set_has(const struct set *s, size_t i)
{
    return s->words[i / 64] >> (i % 64) & 1;
}
static void set_add(struct set *s, size_t i)
{
    s->words[i / 64] |= (uint64_t)1 << (i % 64);
}
static uint64_t hash_bytes(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    uint64_t hash = size;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, b + i, size - i < 8 ? size - i : 8);
        hash = random_mix(hash ^ word) + word;
    }
    return hash;
}

/* --- messages ------------------------------------------------------------ */

static size_t wire_intern(struct wire w)
{
    for (size_t i = 0; i < x.wire_count; i++) {
        struct wire *o = &x.wires[i];
        if (o->from == w.from && o->to == w.to && o->kind == w.kind && o->value == w.value &&
            o->has_batch == w.has_batch && o->phase == w.phase)
            return i;
    }
    assert_true(x.wire_count < MESSAGES_MAX);
    x.wires[x.wire_count] = w;
    return x.wire_count++;
}

static void collect(uint8_t from, const struct rabia_out *out, struct set *emitted)
{
    for (size_t i = 0; i < out->message_count; i++) {
        const struct rabia_message *m = &out->messages[i].message;
        if (m->kind > RABIA_DECIDED && m->kind != RABIA_FETCH)
            continue;
        if (m->lane != 0 || m->lap > 0 || (x.is_core && m->kind > RABIA_VOTE))
            continue;
        for (uint8_t to = 0; to < x.n; to++)
            if (out->messages[i].to >> to & 1)
                set_add(emitted, wire_intern((struct wire){from, to, m->kind, m->value, m->batch != NULL, m->phase}));
    }
}

/* --- replica states ------------------------------------------------------ */

static uint16_t node_intern(struct node *node)
{
    node->key_size = probe_slot(node->rabia, 0, 0, node->key);
    if (x.is_core && !node->key[0])
        memset(&node->key[8], 0, 4); /* whom to fetch from */
    node->key[node->key_size++] = node->self;
    node->key[node->key_size++] = node->has_durable_batch;
    node->key[node->key_size++] = node->contents_seq > 0;
    uint64_t bucket = hash_bytes(node->key, node->key_size) % (2 * NODES_MAX);
    for (; x.buckets[bucket]; bucket = (bucket + 1) % (2 * NODES_MAX)) {
        struct node *known = &x.nodes[x.buckets[bucket] - 1];
        if (known->key_size == node->key_size && memcmp(known->key, node->key, node->key_size) == 0) {
            rabia_free(node->rabia);
            return (uint16_t)(x.buckets[bucket] - 1);
        }
    }
    assert_true(x.node_count < NODES_MAX);
    rabia_check(node->rabia);
    node->facts = probe_facts(node->rabia, 0, 0);
    node->may_own = node->key[2] == 0 && rabia_can_propose(node->rabia);
    x.nodes[x.node_count] = *node;
    x.buckets[bucket] = (uint32_t)++x.node_count;
    return (uint16_t)(x.node_count - 1);
}

static void perform(struct rabia *r, const struct node *node, unsigned event, struct rabia_out *out)
{
    struct rabia_message nudge = {.kind = RABIA_NUDGE, .lap = 1, .count = 1};
    struct rabia_event e = {.kind = RABIA_EVENT_MESSAGES, .messages = &nudge, .message_count = 1};
    struct rabia_message m;
    if (event == EVENT_FORFEIT) {
        probe_forfeit(r, 0, 0, out);
        return;
    }
    if (event == EVENT_PROPOSE) {
        e = (struct rabia_event){.kind = RABIA_EVENT_PROPOSE, .batch = x.batch};
    } else if (event == EVENT_SKIP) {
        e.peer = 1;
    } else if (event == EVENT_FLUSH) {
        e = (struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = node->last_seq};
    } else {
        struct wire w = x.wires[event];
        m = (struct rabia_message){.kind = w.kind, .value = w.value, .phase = w.phase, .count = 1,
                                   .batch = w.has_batch ? x.batch : NULL};
        e.messages = &m;
        e.peer = w.from;
    }
    rabia_step(r, &e, out);
}

static struct rabia_options options_of(uint8_t self)
{
    struct rabia_options options;
    rabia_options_default(&options);
    options.member_count = x.n;
    options.self = self;
    options.cluster_seed = x.seed;
    options.flush_before_send = x.flush;
    options.skip_ahead_max = 0;
    return options;
}

/* What the power cut may take: words that waited for the disk, and skips. */
static bool is_lost(const struct rabia *r, const struct rabia_record *record)
{
    if (record->kind != RABIA_RECORD_SAID)
        return false;
    return record->message.kind == RABIA_SKIP || probe_is_gated(r, &record->message);
}

/* A record of several slots, one by one. */
static void replay_record(struct rabia *to, const struct rabia *from, struct rabia_record record, bool is_cut)
{
    uint64_t end = record.message.lap + record.message.count;
    bool has_range = record.kind == RABIA_RECORD_SAID || record.kind == RABIA_RECORD_DECIDED;
    for (; !has_range || record.message.lap < end; record.message.lap++) {
        struct rabia_out out;
        rabia_out_init(&out);
        if (has_range)
            record.message.count = 1;
        if (!is_cut || !is_lost(from, &record))
            assert_true(rabia_replay(to, &record, &out));
        rabia_out_deinit(&out);
        if (!has_range)
            break;
    }
}

static struct rabia *live_again(struct rabia *r, uint8_t self, unsigned event, struct rabia_out *out)
{
    struct rabia_options options = options_of(self);
    struct rabia *next = probe_restore(&options, slice_make(NULL, 0), 0, 4);
    struct rabia_speak_options how = {.may_have_lost_tail = event == EVENT_CUT};
    struct rabia_out records;
    rabia_out_init(&records);
    rabia_restate(r, &records);
    for (size_t i = 0; event != EVENT_WIPE && i < records.record_count; i++)
        replay_record(next, r, records.records[i], event == EVENT_CUT);
    rabia_out_deinit(&records);
    rabia_free(r);
    if (event == EVENT_WIPE)
        rabia_rejoin(next, 0, 0, out);
    else
        rabia_speak(next, &how, 0, 0, out);
    return next;
}

static void note_records(struct node *node, const struct rabia_out *out)
{
    for (size_t i = 0; i < out->record_count; i++) {
        node->last_seq = out->records[i].seq;
        if (out->records[i].message.batch && out->records[i].message.lane == 0)
            node->contents_seq = out->records[i].seq;
    }
    if (!x.flush && node->contents_seq)
        node->has_durable_batch = true;
}

static void node_expand(uint16_t index, unsigned event)
{
    struct node next = x.nodes[index];
    struct set emitted = {{0}};
    struct rabia_out out;
    rabia_out_init(&out);
    next.next = NULL;
    next.emitted = NULL;
    next.rabia = probe_clone(next.rabia);
    if (event >= EVENT_RESTART) {
        next.rabia = live_again(next.rabia, next.self, event, &out);
        next.last_seq = next.contents_seq = 0;
        next.has_durable_batch = probe_facts(next.rabia, 0, 0).has_batch;
    } else {
        perform(next.rabia, &x.nodes[index], event, &out);
    }
    if (event == EVENT_FLUSH && next.contents_seq)
        next.has_durable_batch = true;
    note_records(&next, &out);
    collect(next.self, &out, &emitted);
    rabia_out_deinit(&out);
    uint16_t to = node_intern(&next);
    if (!x.nodes[index].next) {
        x.nodes[index].next = mem_calloc(EVENTS, sizeof(uint16_t));
        x.nodes[index].emitted = mem_calloc(EVENTS, sizeof(struct set));
    }
    x.nodes[index].next[event] = (uint16_t)(to + 1);
    x.nodes[index].emitted[event] = emitted;
}

/* --- what must hold ------------------------------------------------------ */

/* PROPOSAL and SKIP are one stage, each STATE and VOTE one per phase. */
static unsigned stage_of(const struct wire *w)
{
    if (w->kind == RABIA_PROPOSAL || w->kind == RABIA_SKIP)
        return 1;
    if (w->kind == RABIA_STATE || w->kind == RABIA_VOTE)
        return w->phase * 2 + (w->kind == RABIA_VOTE);
    return 0;
}

static void check_said_once(const struct set *sent)
{
    unsigned said[MEMBERS_MAX][STAGES_MAX] = {{0}};
    for (size_t i = 0; i < x.wire_count; i++) {
        const struct wire *w = &x.wires[i];
        unsigned stage = stage_of(w), what = 1u + (w->kind == RABIA_SKIP ? 7u : w->value);
        if (!stage || !set_has(sent, i))
            continue;
        assert_true(stage < STAGES_MAX);
        if (x.has_lives && what == 8)
            what = 1; /* a skip that was lost becomes a forfeit: both NULL */
        if (said[w->from][stage] == 0)
            said[w->from][stage] = what;
        assert_int_equal(said[w->from][stage], what);
    }
}

static void check_state(const struct state *s)
{
    unsigned holders = 0, nulls = 0, batches = 0;
    for (uint8_t i = 0; i < x.n; i++) {
        const struct node *node = &x.nodes[s->nodes[i]];
        holders += node->has_durable_batch;
        if (node->facts.is_decided) {
            nulls += node->facts.value == RABIA_NULL;
            batches += node->facts.value == RABIA_BATCH;
        }
    }
    assert_true(nulls == 0 || batches == 0);
    if (batches > 0) {
        assert_int_equal(s->owner_act, 1);
        assert_true(holders + s->wipes >= x.n / 2u + 1);
    }
    x.decided_null += nulls == x.n;
    x.decided_batch += batches == x.n;
}

/* --- the search ---------------------------------------------------------- */

static bool visit(const struct state *s)
{
    uint64_t hash = hash_bytes(s, sizeof *s) | 1;
    size_t bucket = hash % x.visited_capacity;
    for (; x.visited[bucket]; bucket = (bucket + 1) % x.visited_capacity)
        if (x.visited[bucket] == hash)
            return false;
    x.visited[bucket] = hash;
    x.visited_count++;
    return true;
}

static void push(const struct state *s)
{
    if (x.visited_count >= x.states_max) {
        x.is_complete = false;
        return;
    }
    if (!visit(s))
        return;
    check_state(s);
    x.queue[x.tail++ % x.queue_capacity] = *s;
    assert_true(x.tail - x.head <= x.queue_capacity);
}

static void act(const struct state *s, uint8_t member, unsigned event)
{
    uint16_t index = s->nodes[member];
    if (!x.nodes[index].next || x.nodes[index].next[event] == 0)
        node_expand(index, event);
    struct state next = *s;
    next.nodes[member] = (uint16_t)(x.nodes[index].next[event] - 1);
    const struct set *emitted = &x.nodes[index].emitted[event];
    bool is_news = next.nodes[member] != index;
    for (int w = 0; w < WORDS; w++) {
        is_news |= (emitted->words[w] & ~s->sent.words[w]) != 0;
        next.sent.words[w] |= emitted->words[w];
    }
    x.transitions++;
    if (event == EVENT_PROPOSE)
        next.owner_act = 1;
    next.restarts = (uint8_t)(next.restarts + (event == EVENT_RESTART || event == EVENT_CUT));
    next.wipes = (uint8_t)(next.wipes + (event == EVENT_WIPE));
    if (!is_news)
        return;
    check_said_once(&next.sent);
    push(&next);
}

/* In the core search a message is delivered only when the receiver can use it
 * now.  Delivered earlier it would merely be noted, and all that follows
 * happens as well when it is delivered at the moment of use: nothing is lost. */
static bool is_of_use(const struct wire *w, const struct probe_facts *facts)
{
    if (!x.is_core)
        return true;
    if (facts->is_decided)
        return false;
    if (w->kind == RABIA_SKIP)
        return true;
    if (facts->is_silent)
        return w->kind != RABIA_STATE || (w->has_batch && !facts->has_batch);
    if (w->kind == RABIA_STATE)
        return w->phase == facts->own_phase && !facts->has_voted;
    if (w->kind == RABIA_VOTE)
        return w->phase == facts->own_phase && facts->has_voted;
    return facts->own_phase == 0 || (w->has_batch && !facts->has_batch);
}

static void deliver_all(const struct state *s)
{
    for (size_t m = 0; m < x.wire_count; m++) {
        const struct probe_facts *facts = &x.nodes[s->nodes[x.wires[m].to]].facts;
        if (set_has(&s->sent, m) && facts->own_phase <= x.phases && is_of_use(&x.wires[m], facts))
            act(s, x.wires[m].to, (unsigned)m);
    }
}

static void expand(const struct state *s)
{
    if (s->owner_act == 0 && x.nodes[s->nodes[0]].may_own) { /* own_next is still lap 0 */
        act(s, 0, EVENT_PROPOSE);
        act(s, 0, EVENT_SKIP);
    }
    for (uint8_t i = 0; i < x.n; i++) {
        if (x.nodes[s->nodes[i]].facts.own_phase > x.phases)
            continue;
        if (i > 0)
            act(s, i, EVENT_FORFEIT);
        if (x.flush)
            act(s, i, EVENT_FLUSH);
        if (!x.has_lives || s->restarts + s->wipes > 0)
            continue;
        act(s, i, EVENT_RESTART);
        act(s, i, EVENT_WIPE);
        if (x.flush)
            act(s, i, EVENT_CUT);
    }
    deliver_all(s);
}

static struct node create_node(uint8_t self)
{
    struct rabia_options options = options_of(self);
    struct node node = {.rabia = probe_create(&options, 4), .self = self};
    struct rabia_out out;
    rabia_out_init(&out);
    rabia_step(node.rabia, &(struct rabia_event){.kind = RABIA_EVENT_TICK}, &out);
    note_records(&node, &out);
    rabia_out_clear(&out);
    rabia_step(node.rabia, &(struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = node.last_seq}, &out);
    rabia_out_deinit(&out);
    return node;
}

static void explore(uint8_t n, bool flush, bool is_core, bool has_lives, uint32_t phases, uint64_t seed, uint64_t states_max)
{
    memset(&x, 0, sizeof x);
    x.has_lives = has_lives;
    x.seed = seed;
    x.n = n;
    x.flush = flush;
    x.is_core = is_core;
    x.phases = phases;
    x.states_max = states_max;
    x.is_complete = true;
    x.nodes = mem_calloc(NODES_MAX, sizeof *x.nodes);
    x.buckets = mem_calloc(2 * NODES_MAX, sizeof *x.buckets);
    x.visited_capacity = states_max * 2 + 1;
    x.visited = mem_calloc(x.visited_capacity, sizeof *x.visited);
    x.queue_capacity = states_max + 1;
    x.queue = mem_alloc(x.queue_capacity * sizeof *x.queue);
    x.batch = batch_create(1);
    x.batch->bytes[0] = 'x';
    clock_t start = clock();
    struct state first = {.owner_act = 0};
    for (uint8_t i = 0; i < n; i++) {
        struct node node = create_node(i);
        first.nodes[i] = node_intern(&node);
    }
    push(&first);
    while (x.head < x.tail) {
        struct state s = x.queue[x.head++ % x.queue_capacity];
        expand(&s);
    }
    printf("n %u%s%s%s, %u phases, coin %d: %llu states%s, %llu transitions, %zu replica states, all decided NULL in %llu, batch in "
           "%llu, %.1f s\n",
           n, flush ? " flushing" : "", is_core ? " core" : "", has_lives ? " lives" : "", phases, rabia_coin(seed, 0, 0, 1), (unsigned long long)x.visited_count,
           x.is_complete ? " (all)" : " (bounded)", (unsigned long long)x.transitions, x.node_count,
           (unsigned long long)x.decided_null, (unsigned long long)x.decided_batch,
           (double)(clock() - start) / CLOCKS_PER_SEC);
    for (size_t i = 0; i < x.node_count; i++) {
        rabia_free(x.nodes[i].rabia);
        mem_free(x.nodes[i].next);
        mem_free(x.nodes[i].emitted);
    }
    batch_release(x.batch);
    mem_free(x.nodes);
    mem_free(x.buckets);
    mem_free(x.visited);
    mem_free(x.queue);
}

/* A seed whose coin for phase 1 of slot (0, 0) shows side. */
static uint64_t seed_with_coin(bool side)
{
    uint64_t seed = 1;
    while (rabia_coin(seed, 0, 0, 1) != side)
        seed++;
    return seed;
}

/* The sanitizers look at a part of the space; the whole of it is for the release
 * build (stage explore of tests/run). */
#if defined(__SANITIZE_ADDRESS__)
enum { SHARE = 10 };
#else
enum { SHARE = 1 };
#endif

static uint64_t states_max(uint64_t standard)
{
    const char *text = getenv("EXPLORE_STATES");
    return text ? strtoull(text, NULL, 10) : standard / SHARE;
}

static void both_coins(uint8_t n, bool flush, bool is_core, uint32_t phases, uint64_t limit)
{
    explore(n, flush, is_core, false, phases, seed_with_coin(false), states_max(limit));
    explore(n, flush, is_core, false, phases, seed_with_coin(true), states_max(limit));
}

static void both_coins_with_lives(uint8_t n, bool flush, bool is_core, uint32_t phases, uint64_t limit)
{
    explore(n, flush, is_core, true, phases, seed_with_coin(false), states_max(limit));
    explore(n, flush, is_core, true, phases, seed_with_coin(true), states_max(limit));
}

static void test_lives(void **state)
{
    (void)state;
    both_coins_with_lives(3, false, true, 1, CORE_STATES);
    both_coins_with_lives(3, true, true, 1, BOUNDED_STATES);
    both_coins_with_lives(3, true, false, 1, FULL_STATES);
}

static void test_core_three(void **state)
{
    (void)state;
    both_coins(3, false, true, 2, CORE_STATES);
    both_coins(3, false, true, 3, CORE_STATES);
    both_coins(3, true, true, 1, CORE_STATES);
    both_coins(3, true, true, 2, BOUNDED_STATES);
}

static void test_core_more(void **state)
{
    (void)state;
    both_coins(2, true, true, 2, BOUNDED_STATES);
    both_coins(4, false, true, 2, BOUNDED_STATES);
    both_coins(5, false, true, 2, BOUNDED_STATES);
}

static void test_full(void **state)
{
    (void)state;
    both_coins(3, false, false, 2, FULL_STATES);
    both_coins(3, true, false, 2, FULL_STATES);
    both_coins(5, false, false, 2, FULL_STATES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_three),
        cmocka_unit_test(test_core_more),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
