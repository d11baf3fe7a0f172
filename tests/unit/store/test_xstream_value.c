/* Goal: a stream is what an array of entries is that are taken away but never
 * put back, its groups are what arrays of (id, consumer, deliveries) are; and
 * its type's row keeps its promises.
 *
 * Method: random additions, removals, trimming and deliveries beside such
 * arrays, check after every step, walks both ways and single ids compared from
 * time to time; limits of nodes small enough for trees of them.  Parts are saved
 * in sizes down to a byte and damaged.  Which node goes when, and what the radix
 * tree would look like, is compared with redis-server (test_oracle.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "store/xstream_group.h"
#include "value_parts.h"

enum { ENTRIES = 3000, GROUPS = 3, CONSUMERS = 4, WORDS = 6 };

struct pending_model {
    int consumer; /* -1: not pending */
    uint64_t deliveries;
};

struct model {
    struct value_env env;
    struct value value;
    struct xstream_id ids[ENTRIES];
    bool is_there[ENTRIES];
    size_t count, length; /* ever added, left */
    struct pending_model pending[GROUPS][ENTRIES];
    size_t pending_count;
};

static const struct object_type *const type = &stream_object_type;
static const struct slice group_names[GROUPS] = {{"g", 1}, {"group-2", 7}, {"", 0}};
static const struct slice consumer_names[CONSUMERS] = {{"c", 1}, {"consumer", 8}, {"consumer-2", 10}, {"", 0}};

static void model_init(struct model *m, int64_t node_entries, int64_t node_bytes)
{
    memset(m, 0, sizeof *m);
    parts_env(&m->env, 7);
    m->env.settings.values[SETTING_STREAM_NODE_MAX_ENTRIES] = node_entries;
    m->env.settings.values[SETTING_STREAM_NODE_MAX_BYTES] = node_bytes;
    m->value = xstream_create();
    for (int g = 0; g < GROUPS; g++) {
        struct xstream_group *group = xstream_group_create(xstream_of(&m->value), group_names[g], XSTREAM_ID_ZERO, 0);
        assert_non_null(group);
        assert_null(xstream_group_create(xstream_of(&m->value), group_names[g], XSTREAM_ID_ZERO, 0));
        for (int c = 0; c < CONSUMERS; c++)
            assert_non_null(xstream_consumer_create(group, consumer_names[c], c));
        for (size_t i = 0; i < ENTRIES; i++)
            m->pending[g][i].consumer = -1;
    }
}

/* An entry's words follow from its place. */
static size_t words_of(size_t i, struct slice words[static WORDS])
{
    static char texts[WORDS][400];
    size_t count = i % 3 + 1;
    for (size_t w = 0; w < 2 * count; w++) {
        int width = i % 11 == 5 && w % 2 ? 300 : 0;
        int length = w % 2 == 0 ? snprintf(texts[w], sizeof texts[w], "%s%zu", i % 7 ? "field" : "", w)
                                : snprintf(texts[w], sizeof texts[w], "%s%0*zu", i % 2 ? "" : "v", width, i * 977);
        words[w] = slice_make(texts[w], (size_t)length);
    }
    return count;
}

static void add(struct model *m, struct random *random)
{
    struct slice words[WORDS];
    struct xstream *s = xstream_of(&m->value);
    struct xstream_id id = s->last_id;
    /* Steps of all sizes, so that ids share and do not share bytes. */
    unsigned shift = (unsigned)random_below(random, 20);
    if (random_below(random, 2))
        id = (struct xstream_id){id.ms + 1 + random_below(random, UINT64_C(1) << shift), random_below(random, 300)};
    else
        id.seq += 1 + random_below(random, UINT64_C(1) << shift);
    size_t count = words_of(m->count, words);
    assert_int_equal(xstream_append(s, &m->env, s->last_id, words, count), XSTREAM_ID_TOO_SMALL);
    assert_int_equal(xstream_append(s, &m->env, id, words, count), XSTREAM_APPENDED);
    m->ids[m->count] = id;
    m->is_there[m->count++] = true;
    m->length++;
}

static void take(struct model *m, size_t i)
{
    struct xstream *s = xstream_of(&m->value);
    assert_int_equal(xstream_remove(s, m->ids[i]), m->is_there[i]);
    xstream_settle(s);
    m->length -= m->is_there[i];
    m->is_there[i] = false;
}

static size_t first_left(const struct model *m)
{
    size_t i = 0;
    while (i < m->count && !m->is_there[i])
        i++;
    return i;
}

/* The oldest go, one by one, until as many are gone as were trimmed. */
static void trim(struct model *m, struct random *random)
{
    struct xstream_trim t = {.kind = random_below(random, 2) ? XSTREAM_TRIM_LENGTH : XSTREAM_TRIM_ID,
                             .is_rough = random_below(random, 2)};
    if (m->count == 0)
        return;
    t.length = m->length - random_below(random, m->length / 4 + 1);
    t.id = m->ids[(first_left(m) + random_below(random, 30)) % m->count];
    t.limit = t.is_rough ? random_below(random, 50) : 0;
    uint64_t removed = xstream_trim(xstream_of(&m->value), &t);
    assert_true(t.limit == 0 || removed <= t.limit);
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        bool goes = t.kind == XSTREAM_TRIM_ID ? xstream_id_compare(m->ids[i], t.id) < 0 : m->length > t.length;
        if (!m->is_there[i] || !goes)
            continue;
        kept += removed == 0;
        m->length -= removed > 0;
        m->is_there[i] = removed == 0;
        removed -= removed > 0;
        if (removed == 0 && t.kind == XSTREAM_TRIM_LENGTH && t.is_rough)
            break;
    }
    assert_int_equal(removed, 0);
    assert_true(t.is_rough || kept == 0);
}

/* Delivered, given, acknowledged. */
static void handle(struct model *m, struct random *random)
{
    int g = (int)random_below(random, GROUPS), c = (int)random_below(random, CONSUMERS);
    struct xstream *s = xstream_of(&m->value);
    struct xstream_group *group = xstream_group_find(s, group_names[g]);
    struct xstream_consumer *consumer = xstream_consumer_find(group, consumer_names[c]);
    size_t i = random_below(random, m->count);
    struct pending_model *p = &m->pending[g][i];
    struct xstream_pending *found = xstream_pending_find(group, m->ids[i]);
    assert_int_equal(found != NULL, p->consumer >= 0);
    if (!found) {
        xstream_pending_create(s, group, consumer, m->ids[i], 5);
        *p = (struct pending_model){c, 1};
        m->pending_count++;
    } else if (random_below(random, 2)) {
        xstream_pending_give(found, consumer);
        found->deliveries++;
        *p = (struct pending_model){c, p->deliveries + 1};
    } else {
        xstream_pending_remove(s, group, found);
        p->consumer = -1;
        m->pending_count--;
    }
}

static void assert_entry(struct model *m, struct xstream_iterator *i, size_t place)
{
    struct slice words[WORDS], field, value;
    size_t count = words_of(place, words);
    assert_int_equal(xstream_id_compare(i->entry.id, m->ids[place]), 0);
    assert_int_equal(i->entry.field_count, count);
    for (size_t w = 0; w < 2 * count; w += 2) {
        assert_true(xstream_next_field(i, &field, &value));
        assert_true(slice_equal(field, words[w]));
        assert_true(slice_equal(value, words[w + 1]));
        if (place % 5 == 0)
            return; /* fields that are left unread are passed over */
    }
    assert_false(xstream_next_field(i, &field, &value));
}

static void compare_range(struct model *m, size_t first, size_t last)
{
    struct xstream_iterator up, down;
    const struct xstream *s = xstream_of(&m->value);
    xstream_iterate(&up, s, m->ids[first], m->ids[last], false);
    xstream_iterate(&down, s, m->ids[first], m->ids[last], true);
    for (size_t i = first; i <= last; i++) {
        if (m->is_there[i]) {
            assert_true(xstream_next(&up));
            assert_entry(m, &up, i);
        }
        size_t j = last - (i - first);
        if (m->is_there[j]) {
            assert_true(xstream_next(&down));
            assert_entry(m, &down, j);
        }
    }
    assert_false(xstream_next(&up));
    assert_false(xstream_next(&down));
}

static void compare_groups(struct model *m)
{
    const struct xstream *s = xstream_of(&m->value);
    for (int g = 0; g < GROUPS; g++) {
        struct xstream_group *group = xstream_group_find(s, group_names[g]);
        struct tree_place place = tree_first(&group->pending);
        for (size_t i = 0; i < m->count; i++) {
            const struct pending_model *p = &m->pending[g][i];
            if (p->consumer < 0)
                continue;
            const struct xstream_pending *found = xstream_pending_at(place);
            assert_int_equal(xstream_id_compare(found->id, m->ids[i]), 0);
            assert_true(slice_equal(found->consumer->name, consumer_names[p->consumer]));
            assert_int_equal(found->deliveries, p->deliveries);
            place = tree_next(place);
        }
        assert_true(tree_is_end(place));
    }
    assert_int_equal(s->pending_count, m->pending_count);
}

static void compare_all(struct model *m, struct random *random)
{
    const struct xstream *s = xstream_of(&m->value);
    size_t first = first_left(m);
    assert_int_equal(s->entries_added, m->count);
    assert_int_equal(xstream_id_compare(s->first_id, first < m->count ? m->ids[first] : XSTREAM_ID_ZERO), 0);
    if (m->count == 0)
        return;
    compare_range(m, 0, m->count - 1);
    for (int i = 0; i < 10; i++) {
        size_t a = random_below(random, m->count), b = a + random_below(random, m->count - a);
        compare_range(m, a, b);
        assert_int_equal(xstream_has(s, m->ids[a]), m->is_there[a]);
        assert_false(xstream_has(s, (struct xstream_id){m->ids[a].ms, m->ids[a].seq + UINT64_MAX / 2}));
    }
    compare_groups(m);
}

static void step(struct model *m, struct random *random, unsigned i)
{
    size_t dice = random_below(random, 100);
    if (i / 300 % 2 == 0 ? dice < 70 : dice < 20)
        add(m, random);
    else if (dice < 80 && m->count > 0)
        handle(m, random);
    else if (dice < 97 && m->count > 0)
        take(m, random_below(random, m->count));
    else
        trim(m, random);
    type->check(&m->value);
    assert_int_equal(xstream_of(&m->value)->length, m->length);
    assert_int_equal(type->count(&m->value), m->length);
}

static struct model *random_model(int64_t node_entries, int64_t node_bytes, unsigned steps)
{
    struct model *m = malloc(sizeof *m);
    struct random random;
    random_init(&random, (uint64_t)(node_entries * 100000 + node_bytes));
    model_init(m, node_entries, node_bytes);
    for (unsigned i = 0; i < steps; i++) {
        step(m, &random, i);
        if (i % 150 == 0)
            compare_all(m, &random);
    }
    compare_all(m, &random);
    return m;
}

static void model_free(struct model *m)
{
    xstream_free(m->value);
    free(m);
}

static void test_random(void **state)
{
    (void)state;
    model_free(random_model(100, 4096, 2400));
    model_free(random_model(5, 4096, 2400));
    model_free(random_model(1, 4096, 1800));
    model_free(random_model(0, 0, 1800));
    model_free(random_model(0, 600, 1800));
}

static void test_nodes_and_radix(void **state)
{
    (void)state;
    struct model *m = malloc(sizeof *m);
    const struct slice words[] = {{"a", 1}, {"1", 1}};
    model_init(m, 100, 4096);
    struct xstream *s = xstream_of(&m->value);
    assert_int_equal(s->radix_nodes, 1);
    for (uint64_t i = 1; i <= 201; i++) {
        assert_int_equal(xstream_append(s, &m->env, (struct xstream_id){i, 0}, words, 1), XSTREAM_APPENDED);
        assert_int_equal(tree_size(&s->nodes), (i + 99) / 100);
        /* One key: a run and its end.  Two: a run, a branch, a run and an end each. */
        assert_int_equal(s->radix_nodes, i <= 100 ? 2 : i <= 200 ? 6 : 8);
    }
    while (s->length > 0) {
        assert_true(xstream_remove(s, xstream_top_id(s)));
        xstream_settle(s);
    }
    assert_int_equal(tree_size(&s->nodes), 0);
    assert_int_equal(s->radix_nodes, 1);
    assert_int_equal(xstream_append(s, &m->env, (struct xstream_id){201, 0}, words, 1), XSTREAM_ID_TOO_SMALL);
    model_free(m);
}

/* The bytes are Redis's. */
static void test_node_bytes(void **state)
{
    (void)state;
    static const char expected[] =
        "\x2d\x00\x00\x00\x11\x00\x02\x01\x00\x01\x01\x01\x81\x66\x02\x00\x01\x02\x01\x00"
        "\x01\x00\x01\x81\x76\x02\x04\x01\x00\x01\x01\x01\xdf\xfe\x02\x01\x01\x81\x67\x02"
        "\x07\x01\x06\x01\xff";
    struct model *m = malloc(sizeof *m);
    const struct slice first[] = {{"f", 1}, {"v", 1}}, second[] = {{"g", 1}, {"7", 1}};
    model_init(m, 100, 4096);
    struct xstream *s = xstream_of(&m->value);
    assert_int_equal(xstream_append(s, &m->env, (struct xstream_id){5, 3}, first, 1), XSTREAM_APPENDED);
    assert_int_equal(xstream_append(s, &m->env, (struct xstream_id){6, 1}, second, 1), XSTREAM_APPENDED);
    const struct xstream_node *n = tree_get(tree_first(&s->nodes)).item;
    struct slice bytes = xstream_node_bytes(n);
    assert_int_equal(bytes.len, sizeof expected - 1);
    assert_memory_equal(bytes.ptr, expected, sizeof expected - 1);
    model_free(m);
}

static void test_too_large(void **state)
{
    (void)state;
    struct model *m = malloc(sizeof *m);
    const struct slice words[] = {{"a", 1}, {"", (size_t)LISTPACK_BYTES_MAX - 100}};
    model_init(m, 100, 4096);
    assert_int_equal(xstream_append(xstream_of(&m->value), &m->env, (struct xstream_id){1, 1}, words, 1), XSTREAM_TOO_LARGE);
    type->check(&m->value);
    model_free(m);
}

/* --- the type's row ------------------------------------------------------------------------ */

static void test_copy_and_digest(void **state)
{
    (void)state;
    struct model *m = random_model(5, 4096, 900), *other = random_model(5, 4096, 900);
    assert_true(parts_same_digest(type, &m->value, &other->value));
    struct value copy = type->copy(&m->value);
    type->check(&copy);
    assert_true(parts_same_digest(type, &m->value, &copy));
    struct xstream *s = xstream_of(&copy);
    struct xstream_group *g = xstream_group_find(s, group_names[1]);
    struct xstream_pending *p = xstream_pending_at(tree_first(&g->pending));
    p->deliveries++;
    assert_false(parts_same_digest(type, &m->value, &copy));
    p->deliveries--;
    p->delivered_ms++;
    assert_false(parts_same_digest(type, &m->value, &copy));
    p->delivered_ms--;
    p->consumer->seen_ms++;
    assert_false(parts_same_digest(type, &m->value, &copy));
    p->consumer->seen_ms--;
    assert_true(parts_same_digest(type, &m->value, &copy));
    g->entries_read++;
    assert_false(parts_same_digest(type, &m->value, &copy));
    g->entries_read--;
    s->max_deleted_id.seq++;
    assert_false(parts_same_digest(type, &m->value, &copy));
    s->max_deleted_id.seq--;
    assert_true(xstream_remove(s, xstream_top_id(s)));
    assert_false(parts_same_digest(type, &m->value, &copy));
    xstream_free(copy);
    model_free(m);
    model_free(other);
}

/* The same entries in other nodes. */
static void test_digest_of_other_nodes(void **state)
{
    (void)state;
    struct model *m[2];
    for (int i = 0; i < 2; i++) {
        struct random random;
        random_init(&random, 3);
        m[i] = malloc(sizeof *m[i]);
        model_init(m[i], i == 0 ? 3 : 100, 4096);
        for (int n = 0; n < 200; n++)
            add(m[i], &random);
    }
    assert_int_not_equal(tree_size(&xstream_of(&m[0]->value)->nodes), tree_size(&xstream_of(&m[1]->value)->nodes));
    assert_true(parts_same_digest(type, &m[0]->value, &m[1]->value));
    model_free(m[0]);
    model_free(m[1]);
}

static void test_memory_and_free(void **state)
{
    (void)state;
    struct model *m = random_model(2, 4096, 1200);
    size_t all = type->memory(&m->value, 0), some = type->memory(&m->value, 3);
    assert_true(all > m->length * 20);
    assert_in_range(some, all / 4, all * 4);
    size_t effort = type->free_effort(&m->value);
    assert_true(effort >= m->pending_count + tree_size(&xstream_of(&m->value)->nodes));
    assert_true(parts_discard(type, m->value, 7) > effort / 7 / 2);
    free(m);
}

static void test_save_and_load(void **state)
{
    (void)state;
    struct model *m = random_model(4, 4096, 900);
    for (size_t limit = 1; limit < 100000; limit *= 6) {
        struct parts *parts = parts_save(type, &m->value, limit);
        struct model loaded = *m;
        struct random random;
        random_init(&random, 1);
        assert_true(parts_load(parts, &m->env, &loaded.value));
        assert_true(parts_same_digest(type, &m->value, &loaded.value));
        assert_int_equal(xstream_of(&loaded.value)->radix_nodes, xstream_of(&m->value)->radix_nodes);
        compare_all(&loaded, &random);
        xstream_free(loaded.value);
        parts_damage(parts, &m->env, &random, 400);
        parts_free(parts);
    }
    model_free(m);
}

static void test_empty_is_kept(void **state)
{
    (void)state;
    struct model *m = malloc(sizeof *m);
    struct value loaded;
    model_init(m, 100, 4096);
    xstream_of(&m->value)->last_id = (struct xstream_id){5, 5};
    struct parts *parts = parts_save(type, &m->value, 1000);
    assert_true(parts_load(parts, &m->env, &loaded));
    assert_true(parts_same_digest(type, &m->value, &loaded));
    xstream_free(loaded);
    parts_free(parts);
    model_free(m);
}

/* One word of a node's listpack replaced. */
static bool is_taken_with(const struct xstream_node *n, int64_t index, int64_t value)
{
    char *lp = listpack_copy(n->lp);
    const char *at = listpack_at(lp, index);
    lp = listpack_replace_int(lp, &at, value);
    bool is_taken = xstream_node_is_valid(n->id, slice_make(lp, listpack_bytes(lp)));
    mem_free(lp);
    return is_taken;
}

static void test_impossible_nodes(void **state)
{
    (void)state;
    struct model *m = malloc(sizeof *m);
    const struct slice words[] = {{"f", 1}, {"v", 1}};
    model_init(m, 100, 4096);
    struct xstream *s = xstream_of(&m->value);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(xstream_append(s, &m->env, (struct xstream_id){10, 5 + 2 * i}, words, 1), XSTREAM_APPENDED);
    const struct xstream_node *n = tree_get(tree_first(&s->nodes)).item;
    /* count deleted fields f 0 | flags ms seq v lp-count | flags ms seq v lp-count | ... */
    static const struct { int64_t index, value; bool is_taken; } cases[] = {
        {0, 3, true}, {0, 2, false}, {0, 4, false}, {0, -1, false}, {1, 1, false}, {2, 2, false}, {2, 0, false},
        {4, 1, false}, {5, 0, false}, {5, 4, false}, {5, 3, false}, {6, -1, false}, {7, -1, false}, {7, 1, true},
        {7, 2, false}, {9, 5, false}, {9, 3, false}, {12, 0, false}, {12, 1, true}, {12, 4, false}, {12, 5, false},
        {11, 1, false}, {16, 1, true}, {16, -1, false}, {14, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(is_taken_with(n, cases[i].index, cases[i].value), cases[i].is_taken);
    model_free(m);
}

/* Every byte of a small node changed in turn: refused, or a sound value. */
static void test_hostile_nodes(void **state)
{
    (void)state;
    struct model *m = malloc(sizeof *m);
    struct random random;
    random_init(&random, 9);
    model_init(m, 100, 4096);
    for (int i = 0; i < 6; i++)
        add(m, &random);
    take(m, 2);
    const struct xstream_node *n = tree_get(tree_first(&xstream_of(&m->value)->nodes)).item;
    struct slice whole = xstream_node_bytes(n);
    for (size_t at = 0; at < whole.len * 256; at++) {
        char *bytes = parts_block(whole);
        bytes[at / 256] = (char)(unsigned char)at;
        struct value v = xstream_create();
        if (xstream_load_node(xstream_of(&v), n->id, slice_make(bytes, whole.len)))
            type->check(&v);
        xstream_free(v);
        free(bytes);
    }
    struct value v = xstream_create();
    assert_true(xstream_load_node(xstream_of(&v), n->id, whole));
    assert_false(xstream_load_node(xstream_of(&v), n->id, whole));
    assert_false(xstream_load_node(xstream_of(&v), xstream_top_id(xstream_of(&v)), whole));
    xstream_free(v);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),          cmocka_unit_test(test_nodes_and_radix),
        cmocka_unit_test(test_node_bytes),      cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_copy_and_digest), cmocka_unit_test(test_digest_of_other_nodes),
        cmocka_unit_test(test_memory_and_free), cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_empty_is_kept),   cmocka_unit_test(test_hostile_nodes),
        cmocka_unit_test(test_impossible_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
