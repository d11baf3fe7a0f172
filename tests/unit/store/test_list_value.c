/* Goal: a list is what was put into it, in both forms and through every change
 * of form, node and span; it is saved and loaded, copied, digested and freed
 * whole; strangers' parts are refused or harmless.
 *
 * Method: random operations beside an array of texts, the list's own check and a
 * comparison with the array after every step; limits from one element a node,
 * so that a few hundred elements have a tree of spans, to 64 KiB.  Parts of every
 * small size are loaded again; damaged and cut ones in blocks of their exact
 * size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/list_value.h"

enum { MODEL_MAX = 3000, TEXT_MAX = 40 };

struct model {
    size_t count;
    struct text {
        size_t len;
        char bytes[TEXT_MAX];
    } texts[MODEL_MAX];
};

static struct value_env make_env(int64_t fill, size_t threshold)
{
    struct value_env env = {.list_packed_threshold = threshold};
    settings_init(&env.settings);
    env.settings.values[SETTING_LIST_MAX_LISTPACK_SIZE] = fill;
    return env;
}

static struct slice text_of(const struct text *t)
{
    return slice_make(t->bytes, t->len);
}

static struct text random_text(struct random *random, size_t longest)
{
    struct text t;
    if (random_below(random, 2)) {
        t.len = (size_t)snprintf(t.bytes, TEXT_MAX, "%d", (int)random_below(random, 20) - 5);
        return t;
    }
    t.len = random_below(random, longest);
    for (size_t i = 0; i < t.len; i++)
        t.bytes[i] = (char)('a' + random_below(random, 2));
    return t;
}

static void model_insert(struct model *m, size_t index, const struct text *t)
{
    memmove(m->texts + index + 1, m->texts + index, (m->count - index) * sizeof *m->texts);
    m->texts[index] = *t;
    m->count++;
}

static void model_remove(struct model *m, size_t index, size_t count)
{
    memmove(m->texts + index, m->texts + index + count, (m->count - index - count) * sizeof *m->texts);
    m->count -= count;
}

static uint64_t model_remove_equal(struct model *m, struct slice bytes, uint64_t limit, bool is_backward)
{
    uint64_t removed = 0;
    for (size_t passed = 0; passed < m->count && removed < limit;) {
        size_t i = is_backward ? m->count - 1 - passed : passed;
        if (slice_equal(text_of(&m->texts[i]), bytes)) {
            model_remove(m, i, 1);
            removed++;
        } else {
            passed++;
        }
    }
    return removed;
}

static void assert_is(struct list_place place, const struct text *t)
{
    char scratch[INT64_TEXT_MAX];
    assert_non_null(place.at);
    assert_true(slice_equal(listpack_text(place.at, scratch), text_of(t)));
}

static void assert_is_model(const struct value *v, const struct model *m)
{
    list_object_type.check(v);
    assert_int_equal(list_length(v), m->count);
    size_t i = 0;
    for (struct list_place place = list_end(v, true); place.at; place = list_next(v, place))
        assert_is(place, &m->texts[i++]);
    assert_int_equal(i, m->count);
    for (struct list_place place = list_end(v, false); place.at; place = list_prev(v, place))
        assert_is(place, &m->texts[--i]);
    assert_int_equal(i, 0);
}

static void free_in(struct value *v, size_t step)
{
    size_t budget;
    do {
        budget = step;
    } while (!list_object_type.free_some(v, &budget));
    assert_true(budget < step);
}

static void empty(struct value *v, struct model *m)
{
    free_in(v, 3);
    *v = list_create();
    m->count = 0;
}

/* One operation on both; longest bounds the texts. */
static void step(struct value *v, const struct value_env *env, struct model *m, struct random *random,
                 size_t longest)
{
    struct text t = random_text(random, longest);
    size_t index = m->count ? random_below(random, m->count) : 0;
    bool side = random_below(random, 2);
    switch (m->count ? random_below(random, 14) : 0) {
    case 0:
    case 1:
    case 2:
    case 3:
        list_push(v, env, side, text_of(&t));
        model_insert(m, side ? 0 : m->count, &t);
        break;
    case 4:
    case 5:
        assert_is(list_end(v, side), &m->texts[side ? 0 : m->count - 1]);
        list_pop(v, side);
        model_remove(m, side ? 0 : m->count - 1, 1);
        break;
    case 6:
    case 7:
        list_insert(v, env, list_at(v, (int64_t)index), side, text_of(&t));
        model_insert(m, index + side, &t);
        break;
    case 8:
    case 9:
        list_set(v, env, list_at(v, (int64_t)index), text_of(&t));
        m->texts[index] = t;
        break;
    case 10: {
        uint64_t limit = 1 + random_below(random, 3);
        uint64_t removed = list_remove_equal(v, env, text_of(&t), limit, side);
        assert_int_equal(removed, model_remove_equal(m, text_of(&t), limit, side));
        break;
    }
    case 11: {
        size_t count = random_below(random, random_below(random, 4) ? 4 : m->count + 1);
        count = count < m->count - index ? count : m->count - index;
        list_remove_range(v, env, index, count);
        model_remove(m, index, count);
        break;
    }
    default:
        assert_is(list_at(v, (int64_t)index), &m->texts[index]);
        assert_is(list_at(v, (int64_t)index - (int64_t)m->count), &m->texts[index]);
        assert_null(list_at(v, (int64_t)m->count).at);
        assert_null(list_at(v, -(int64_t)m->count - 1).at);
    }
}

static void test_random_operations(void **state)
{
    (void)state;
    static const int64_t fills[] = {-2, 1, 2, 3, 7, 128, -1, -5, 0};
    struct model *m = calloc(1, sizeof *m);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct random random;
        random_init(&random, seed);
        struct value_env env = make_env(fills[seed % 9], seed % 4 == 0 ? 8 : 0);
        struct value v = list_create();
        m->count = 0;
        for (int i = 0; i < 500; i++) {
            step(&v, &env, m, &random, seed % 3 ? 12 : TEXT_MAX);
            assert_is_model(&v, m);
        }
        empty(&v, m);
        free_in(&v, 1);
    }
    free(m);
}

/* Lists of thousands of nodes: three levels of spans, growing at the ends and
 * in the middle, thinned out to nothing. */
static void test_many_nodes(void **state)
{
    (void)state;
    struct model *m = calloc(1, sizeof *m);
    struct value_env env = make_env(1, 0);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct random random;
        random_init(&random, seed);
        struct value v = list_create();
        m->count = 0;
        while (m->count < MODEL_MAX - 1) {
            struct text t = random_text(&random, 12);
            size_t index = random_below(&random, m->count + 1);
            if (seed % 2 && m->count > 0 && index < m->count) {
                list_insert(&v, &env, list_at(&v, (int64_t)index), false, text_of(&t));
            } else {
                index = seed == 2 ? 0 : m->count;
                list_push(&v, &env, seed == 2, text_of(&t));
            }
            model_insert(m, index, &t);
            if (m->count % 100 == 0)
                assert_is_model(&v, m);
        }
        for (size_t i = 0; i < m->count; i++)
            assert_is(list_at(&v, (int64_t)i), &m->texts[i]);
        while (m->count > 0) {
            size_t index = random_below(&random, m->count);
            list_remove_range(&v, &env, index, 1);
            model_remove(m, index, 1);
            if (m->count % 100 == 0)
                assert_is_model(&v, m);
        }
        empty(&v, m);
        free_in(&v, 1);
    }
    free(m);
}

/* --- nodes as Redis fills them --------------------------------------------------- */

struct sizes {
    size_t count, plain, elements[64], bytes[64];
};

static void note_node(void *context, struct slice listpack, bool is_plain)
{
    struct sizes *s = context;
    s->plain += is_plain;
    if (s->count < 64) {
        s->elements[s->count] = listpack_count(listpack.ptr);
        s->bytes[s->count] = listpack.len;
    }
    s->count++;
}

/* What DUMP of redis-server 7.0.15 shows for lists pushed with RPUSH: count
 * elements of size letters, at a limit. */
static void test_nodes_are_redis_s(void **state)
{
    (void)state;
    static const struct {
        int64_t fill;
        size_t size, count, nodes, first_elements, first_bytes, last_elements;
    } dumped[] = {
        {-5, 60, 3000, 3, 1056, 65479, 888}, {-5, 3000, 40, 2, 21, 63091, 19}, {-7, 60, 3000, 3, 1056, 65479, 888}, {-7, 3000, 40, 2, 21, 63091, 19},
        {-1, 1, 5000, 4, 1361, 4090, 917}, {-1, 16, 3000, 14, 226, 4075, 62}, {-1, 60, 500, 8, 65, 4037, 45},
        {-1, 3000, 20, 20, 1, 3011, 1}, {-1, 4000, 9, 9, 1, 4011, 1}, {-1, 8180, 4, 4, 1, 8194, 1},
        {-1, 8184, 4, 4, 1, 8198, 1}, {-1, 20000, 3, 3, 1, 20015, 1}, {-2, 1, 5000, 2, 2726, 8185, 2274},
        {-2, 16, 3000, 7, 454, 8179, 276}, {-2, 60, 500, 4, 131, 8129, 107}, {-2, 3000, 20, 10, 2, 6015, 2},
        {-2, 4000, 9, 5, 2, 8015, 1}, {-2, 8180, 4, 4, 1, 8194, 1}, {-2, 8184, 4, 4, 1, 8198, 1},
        {-2, 20000, 3, 3, 1, 20015, 1}, {-3, 1, 5000, 1, 5000, 15007, 5000},
        {-3, 16, 3000, 4, 909, 16369, 273}, {-3, 60, 500, 2, 264, 16375, 236}, {-3, 3000, 20, 4, 5, 15027, 5},
        {-3, 4000, 9, 3, 4, 16023, 1}, {-3, 8180, 4, 2, 2, 16381, 2}, {-3, 8184, 4, 4, 1, 8198, 1},
        {-3, 20000, 3, 3, 1, 20015, 1}, {-5, 1, 5000, 1, 5000, 15007, 5000},
        {-5, 16, 3000, 1, 3000, 54007, 3000}, {-5, 60, 500, 1, 500, 31007, 500},
        {-5, 3000, 20, 1, 20, 60087, 20}, {-5, 4000, 9, 1, 9, 36043, 9}, {-5, 8180, 4, 1, 4, 32755, 4},
        {-5, 8184, 4, 1, 4, 32771, 4}, {-5, 20000, 3, 1, 3, 60031, 3}, {-7, 1, 5000, 1, 5000, 15007, 5000},
        {-7, 16, 3000, 1, 3000, 54007, 3000}, {-7, 60, 500, 1, 500, 31007, 500},
        {-7, 3000, 20, 1, 20, 60087, 20}, {-7, 4000, 9, 1, 9, 36043, 9}, {-7, 8180, 4, 1, 4, 32755, 4},
        {-7, 8184, 4, 1, 4, 32771, 4}, {-7, 20000, 3, 1, 3, 60031, 3}, {1, 3000, 20, 20, 1, 3011, 1},
        {1, 4000, 9, 9, 1, 4011, 1}, {1, 8180, 4, 4, 1, 8194, 1}, {1, 8184, 4, 4, 1, 8198, 1},
        {1, 20000, 3, 3, 1, 20015, 1}, {5, 3000, 20, 10, 2, 6015, 2}, {5, 4000, 9, 5, 2, 8015, 1},
        {5, 8180, 4, 4, 1, 8194, 1}, {5, 8184, 4, 4, 1, 8198, 1}, {5, 20000, 3, 3, 1, 20015, 1},
        {128, 1, 5000, 40, 128, 391, 8}, {128, 16, 3000, 24, 128, 2311, 56},
        {128, 60, 500, 4, 128, 7943, 116}, {128, 3000, 20, 10, 2, 6015, 2}, {128, 4000, 9, 5, 2, 8015, 1},
        {128, 8180, 4, 4, 1, 8194, 1}, {128, 8184, 4, 4, 1, 8198, 1}, {128, 20000, 3, 3, 1, 20015, 1},
        {0, 3000, 20, 20, 1, 3011, 1}, {0, 4000, 9, 9, 1, 4011, 1}, {0, 8180, 4, 4, 1, 8194, 1},
        {0, 8184, 4, 4, 1, 8198, 1}, {0, 20000, 3, 3, 1, 20015, 1},
    };
    char *text = malloc(100000);
    memset(text, 'x', 100000);
    for (size_t i = 0; i < sizeof dumped / sizeof *dumped; i++) {
        struct value_env env = make_env(dumped[i].fill, 0);
        struct value v = list_create();
        for (size_t n = 0; n < dumped[i].count; n++)
            list_push(&v, &env, false, slice_make(text, dumped[i].size));
        struct sizes sizes = {0};
        list_each_node(&v, note_node, &sizes);
        assert_int_equal(sizes.count, dumped[i].nodes);
        assert_int_equal(sizes.elements[0], dumped[i].first_elements);
        assert_int_equal(sizes.bytes[0], dumped[i].first_bytes);
        assert_int_equal(sizes.elements[sizes.count - 1], dumped[i].last_elements);
        free_in(&v, 100);
    }
    free(text);
}

static void test_plain_nodes(void **state)
{
    (void)state;
    struct value_env env = make_env(-2, 5);
    struct value v = list_create();
    list_push(&v, &env, false, SLICE_LITERAL("four"));
    list_push(&v, &env, false, SLICE_LITERAL("fives"));
    list_push(&v, &env, false, SLICE_LITERAL("four"));
    list_push(&v, &env, true, SLICE_LITERAL("four"));
    struct sizes sizes = {0};
    list_each_node(&v, note_node, &sizes);
    assert_int_equal(sizes.count, 3);
    assert_int_equal(sizes.plain, 1);
    assert_int_equal(sizes.elements[0], 2);
    list_set(&v, &env, list_at(&v, 2), SLICE_LITERAL("four"));
    sizes = (struct sizes){0};
    list_each_node(&v, note_node, &sizes);
    assert_int_equal(sizes.plain, 0);
    list_set(&v, &env, list_at(&v, 0), SLICE_LITERAL("fives"));
    list_object_type.check(&v);
    assert_true(listpack_equals(list_at(&v, 0).at, SLICE_LITERAL("fives")));
    assert_true(listpack_equals(list_at(&v, 2).at, SLICE_LITERAL("four")));
    free_in(&v, 1);
}

/* What removals leave of neighbours is one node again. */
static void test_small_neighbours_are_joined(void **state)
{
    (void)state;
    struct value_env env = make_env(100, 0);
    for (int by_range = 0; by_range < 2; by_range++) {
        struct value v = list_create();
        for (int i = 0; i < 1000; i++)
            list_push(&v, &env, false, i < 10 || i >= 990 ? SLICE_LITERAL("kept") : SLICE_LITERAL("gone"));
        struct sizes sizes = {0};
        list_each_node(&v, note_node, &sizes);
        assert_int_equal(sizes.count, 10);
        if (by_range)
            list_remove_range(&v, &env, 10, 980);
        else
            assert_int_equal(list_remove_equal(&v, &env, SLICE_LITERAL("gone"), UINT64_MAX, false), 980);
        list_object_type.check(&v);
        assert_int_equal(list_length(&v), 20);
        sizes = (struct sizes){0};
        list_each_node(&v, note_node, &sizes);
        assert_int_equal(sizes.count, 1);
        free_in(&v, 1);
    }
}

/* Elements that do not fit a node do not drag their neighbours along. */
static void test_large_elements(void **state)
{
    (void)state;
    struct value_env env = make_env(-2, 0);
    struct value v = list_create();
    char *text = malloc(1 << 20);
    memset(text, 'y', 1 << 20);
    for (int i = 0; i < 600; i++)
        list_push(&v, &env, false, SLICE_LITERAL("0123456789abcdef"));
    list_set(&v, &env, list_at(&v, 100), slice_make(text, 1 << 20));
    list_insert(&v, &env, list_at(&v, 50), false, slice_make(text, 9000));
    list_insert(&v, &env, list_at(&v, 0), false, slice_make(text, 9000));
    list_insert(&v, &env, list_at(&v, -1), true, slice_make(text, 9000));
    list_object_type.check(&v);
    assert_int_equal(list_length(&v), 603);
    struct sizes sizes = {0};
    list_each_node(&v, note_node, &sizes);
    assert_int_equal(sizes.elements[0], 1);
    for (size_t i = 0; i < sizes.count; i++)
        assert_true(sizes.elements[i] == 1 || sizes.bytes[i] <= 8192);
    list_set(&v, &env, list_at(&v, 102), SLICE_LITERAL("small again"));
    list_object_type.check(&v);
    free_in(&v, 1);
    free(text);
}

/* --- copies, digests, parts ----------------------------------------------------------- */

static bool digests_equal(struct digest a, struct digest b)
{
    return a.low == b.low && a.high == b.high;
}

static struct value make_list(const struct value_env *env, const struct model *m)
{
    struct value v = list_create();
    for (size_t i = 0; i < m->count; i++)
        list_push(&v, env, false, text_of(&m->texts[i]));
    return v;
}

static void make_model(struct model *m, size_t count, struct random *random)
{
    m->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct text t = random_text(random, TEXT_MAX);
        model_insert(m, m->count, &t);
    }
}

static void test_digest_knows_no_form(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 3);
    struct model *m = calloc(1, sizeof *m);
    make_model(m, 40, &random);
    struct value_env small = make_env(-2, 0), large = make_env(3, 0);
    struct value a = make_list(&small, m), b = make_list(&large, m);
    assert_int_equal(a.encoding, ENCODING_SMALL_LIST);
    assert_int_equal(b.encoding, ENCODING_QUICKLIST);
    struct digest whole = list_object_type.digest(&a);
    assert_true(digests_equal(whole, list_object_type.digest(&b)));
    struct value copy = list_object_type.copy(&b);
    assert_is_model(&copy, m);
    assert_int_equal(copy.encoding, b.encoding);
    assert_true(digests_equal(whole, list_object_type.digest(&copy)));
    /* Another order, another division of the same bytes: another digest. */
    list_pop(&copy, true);
    list_push(&copy, &large, false, text_of(&m->texts[0]));
    assert_false(digests_equal(whole, list_object_type.digest(&copy)));
    free_in(&a, 1);
    free_in(&b, 1);
    free_in(&copy, 1);
    struct value ab = list_create(), a_b = list_create();
    list_push(&ab, &small, false, SLICE_LITERAL("ab"));
    list_push(&a_b, &small, false, SLICE_LITERAL("a"));
    list_push(&a_b, &small, false, SLICE_LITERAL("b"));
    assert_false(digests_equal(list_object_type.digest(&ab), list_object_type.digest(&a_b)));
    free_in(&ab, 1);
    free_in(&a_b, 1);
    free(m);
}

/* Saves in parts of about limit bytes and loads them; false if a part is
 * refused.  damage, if not NULL, is given each part. */
static bool round_trip(const struct value *v, size_t limit, const struct value_env *env, struct value *loaded,
                       void (*damage)(struct random *, struct buf *), struct random *random)
{
    struct value_cursor cursor = {0};
    *loaded = (struct value){NULL, v->encoding};
    bool is_fine = true;
    while (is_fine && !cursor.is_done) {
        struct buf out;
        buf_init(&out);
        list_object_type.save(v, &cursor, &out, limit);
        assert_true(buf_size(&out) > 0);
        if (damage)
            damage(random, &out);
        char *exact = malloc(buf_size(&out) + 1);
        char *part = exact + 1;
        memcpy(part, buf_head(&out), buf_size(&out));
        is_fine = list_object_type.load(loaded, env, slice_make(part, buf_size(&out)), cursor.is_done);
        free(exact);
        buf_deinit(&out);
    }
    return is_fine;
}

static size_t node_count(const struct value *v)
{
    struct sizes sizes = {0};
    list_each_node(v, note_node, &sizes);
    return sizes.count;
}

static void test_parts(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 5);
    struct model *m = calloc(1, sizeof *m);
    static const int64_t fills[] = {-2, 2, 10};
    for (size_t round = 0; round < 60; round++) {
        struct value_env env = make_env(fills[round % 3], round % 4 ? 0 : 20);
        make_model(m, 1 + random_below(&random, round % 2 ? 20 : 800), &random);
        struct value v = make_list(&env, m), loaded;
        size_t limit = round % 5 ? 1 + random_below(&random, 300) : 1 << 20;
        assert_true(round_trip(&v, limit, &env, &loaded, NULL, NULL));
        assert_is_model(&loaded, m);
        assert_int_equal(loaded.encoding, v.encoding);
        assert_int_equal(node_count(&loaded), node_count(&v));
        free_in(&loaded, 5);
        free_in(&v, 5);
    }
    free(m);
}

static void damage_byte(struct random *random, struct buf *out)
{
    if (random_below(random, 3) == 0)
        buf_head(out)[random_below(random, buf_size(out))] = (char)random_next(random);
}

static void cut_short(struct random *random, struct buf *out)
{
    if (random_below(random, 3) == 0)
        out->tail = out->head + random_below(random, buf_size(out));
}

static void test_hostile_parts(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 11);
    struct model *m = calloc(1, sizeof *m);
    int refused = 0;
    for (size_t round = 0; round < 2000; round++) {
        struct value_env env = make_env(round % 2 ? -2 : 3, round % 4 ? 0 : 20);
        make_model(m, 1 + random_below(&random, 30), &random);
        struct value v = make_list(&env, m), loaded;
        if (round_trip(&v, 1 + random_below(&random, 100), &env, &loaded, round % 3 ? damage_byte : cut_short,
                       &random)) {
            list_object_type.check(&loaded);
            assert_true(list_length(&loaded) > 0);
        } else {
            refused++;
        }
        if (loaded.at)
            free_in(&loaded, 5);
        free_in(&v, 5);
    }
    assert_true(refused > 300);
    free(m);
}

static bool loads(enum value_encoding encoding, struct slice part)
{
    struct value_env env = make_env(-2, 0);
    struct value v = {NULL, encoding};
    bool is_fine = list_object_type.load(&v, &env, part, true);
    if (v.at)
        free_in(&v, 5);
    return is_fine;
}

static void test_refused_parts(void **state)
{
    (void)state;
#define ONE "\x09\0\0\0\1\0\x05\1\xff"
#define TWO "\x0b\0\0\0\2\0\x05\1\x06\1\xff"
    assert_true(loads(ENCODING_SMALL_LIST, SLICE_LITERAL("\1" ONE)));
    assert_true(loads(ENCODING_SMALL_LIST, SLICE_LITERAL("\1" ONE "\0" TWO)));
    assert_true(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\1" ONE "\1" TWO "\0" TWO "\2" ONE)));
    assert_false(loads(ENCODING_SMALL_LIST, SLICE_LITERAL("")));
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("")));
    assert_false(loads(ENCODING_SMALL_LIST, SLICE_LITERAL("\1" ONE "\1" ONE))); /* two nodes */
    assert_false(loads(ENCODING_SMALL_LIST, SLICE_LITERAL("\2" ONE)));          /* plain */
    assert_false(loads(ENCODING_SMALL_LIST, SLICE_LITERAL("\0" ONE)));          /* goes on, but with what */
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\0" ONE)));
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\2" TWO)));           /* plain with two */
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\2" ONE "\0" ONE)));
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\3" ONE)));
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\1\7\0\0\0\0\0\xff")));   /* empty */
    assert_false(loads(ENCODING_QUICKLIST, SLICE_LITERAL("\1" ONE "\1")));
}

static void test_too_large_to_be_small(void **state)
{
    (void)state;
    char *lp = listpack_create(), *text = calloc(1, 70000);
    lp = listpack_append(lp, slice_make(text, 70000));
    struct buf part;
    buf_init(&part);
    buf_append(&part, "\1", 1);
    buf_append(&part, lp, listpack_bytes(lp));
    assert_false(loads(ENCODING_SMALL_LIST, buf_slice(&part)));
    assert_true(loads(ENCODING_QUICKLIST, buf_slice(&part)));
    buf_deinit(&part);
    mem_free(lp);
    free(text);
}

/* --- Redis's nodes, memory -------------------------------------------------------------- */

static void test_nodes_added(void **state)
{
    (void)state;
    struct value v = list_create();
    char *lp = listpack_append_int(listpack_append(listpack_create(), SLICE_LITERAL("a")), 5);
    char *none = listpack_create();
    list_add_node(&v, slice_make(none, listpack_bytes(none)));
    list_add_node(&v, slice_make(lp, listpack_bytes(lp)));
    assert_int_equal(v.encoding, ENCODING_SMALL_LIST);
    list_add_node(&v, slice_make(lp, listpack_bytes(lp)));
    list_add_plain_node(&v, SLICE_LITERAL("12"));
    list_object_type.check(&v);
    assert_int_equal(list_length(&v), 5);
    assert_int_equal(node_count(&v), 3);
    assert_true(listpack_equals(list_at(&v, 4).at, SLICE_LITERAL("12")));
    mem_free(lp);
    mem_free(none);
    free_in(&v, 1);
}

static void test_memory(void **state)
{
    (void)state;
    struct value_env env = make_env(-2, 0);
    struct value v = list_create();
    for (int i = 0; i < 20000; i++)
        list_push(&v, &env, i % 2, SLICE_LITERAL("a text of 24 letters ..."));
    size_t all = list_object_type.memory(&v, 0), some = list_object_type.memory(&v, 5);
    assert_true(all > 20000 * 26);
    assert_true(all < 20000 * 26 * 21 / 20);
    assert_true(some > all / 2 && some < all * 2);
    /* Emptied but for a few elements, it does not keep what it had. */
    for (int i = 0; i < 19990; i++)
        list_pop(&v, i % 3 == 0);
    assert_true(list_object_type.memory(&v, 0) < 4096);
    free_in(&v, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_many_nodes),
        cmocka_unit_test(test_nodes_are_redis_s),
        cmocka_unit_test(test_plain_nodes),
        cmocka_unit_test(test_small_neighbours_are_joined),
        cmocka_unit_test(test_large_elements),
        cmocka_unit_test(test_digest_knows_no_form),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_hostile_parts),
        cmocka_unit_test(test_refused_parts),
        cmocka_unit_test(test_too_large_to_be_small),
        cmocka_unit_test(test_nodes_added),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
