/* Goal: a sorted set is what a sorted array of (score, member) is, in both
 * forms, and its type's row keeps its promises: parts, copies, digests, freeing.
 *
 * Method: random changes beside an array, check after every step, every rank,
 * range and walk compared from time to time, with thresholds that make the
 * value compact, large, or change on the way.  Hostile parts are made from good
 * ones by cutting them short, doubling, disordering and breaking scores. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/listpack.h"
#include "store/zset_private.h"

enum { NAMES = 300, NAME_BYTES = 400 };

struct name {
    char text[NAME_BYTES];
    struct slice slice;
    double score;
    bool is_present;
};

struct model {
    struct value_env env;
    struct value value;
    struct name names[NAMES];
    struct name *sorted[NAMES];
    size_t count, visited;
};

static const struct object_type *const type = &zset_object_type;

static const double scores[] = {0, -0.0, 1, -1, 1.5, 2, 0.1, 1e300, -1e-300, 4611686018427387904.0, 9e18, INFINITY, -INFINITY, 3};
enum { SCORES = sizeof scores / sizeof *scores };

/* Some look like integers, some are long, one is empty. */
static void model_init(struct model *m, int64_t entries_max)
{
    memset(m, 0, sizeof *m);
    settings_init(&m->env.settings);
    m->env.settings.values[SETTING_ZSET_MAX_LISTPACK_ENTRIES] = entries_max;
    m->env.settings.values[SETTING_ZSET_MAX_LISTPACK_VALUE] = NAME_BYTES;
    key_hash_expand(&m->env.secret, (const unsigned char *)"0123456789abcdef");
    m->value = zset_create();
    for (int i = 0; i < NAMES; i++) {
        struct name *n = &m->names[i];
        int width = i % 40 == 7 ? 300 : 0;
        int length = i == 0 ? 0 : snprintf(n->text, NAME_BYTES, i % 3 ? "n%0*d" : "%0*d", width, i - 50);
        n->slice = slice_make(n->text, (size_t)length);
    }
}

static void add(struct model *m, size_t i, double score)
{
    struct name *n = &m->names[i];
    struct zset_found found = zset_find(&m->value, n->slice);
    assert_int_equal(found.is_present, n->is_present);
    if (found.is_present) {
        assert_true(found.score == n->score);
        zset_move(&m->value, &found, score);
    } else {
        zset_add(&m->value, &m->env, &found, n->slice, score);
        m->count++;
    }
    n->is_present = true;
    n->score = score;
}

static void take(struct model *m, size_t i)
{
    struct zset_found found = zset_find(&m->value, m->names[i].slice);
    assert_int_equal(found.is_present, m->names[i].is_present);
    if (!found.is_present)
        return;
    zset_remove(&m->value, &found);
    m->names[i].is_present = false;
    m->count--;
}

static int compare_names(const void *a, const void *b)
{
    const struct name *x = *(struct name *const *)a, *y = *(struct name *const *)b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return slice_compare(x->slice, y->slice);
}

static void sort(struct model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < NAMES; i++)
        if (m->names[i].is_present)
            m->sorted[n++] = &m->names[i];
    assert_int_equal(n, m->count);
    assert_int_equal(zset_size(&m->value), n);
    qsort(m->sorted, n, sizeof *m->sorted, compare_names);
}

static void assert_pair(struct zset_pair pair, const struct name *n)
{
    assert_true(slice_equal(pair.member, n->slice));
    assert_true(pair.score == n->score);
}

static void compare_walks(struct model *m)
{
    char scratch[INT64_TEXT_MAX];
    struct zset_iterator up, down;
    struct zset_pair pair;
    zset_iterate(&up, &m->value, 0, false);
    zset_iterate(&down, &m->value, m->count - 1, true);
    for (size_t rank = 0; rank < m->count; rank++) {
        assert_true(zset_next(&up, &pair));
        assert_pair(pair, m->sorted[rank]);
        assert_true(zset_next(&down, &pair));
        assert_pair(pair, m->sorted[m->count - 1 - rank]);
        assert_pair(zset_at(&m->value, rank, scratch), m->sorted[rank]);
        struct zset_found found = zset_find(&m->value, m->sorted[rank]->slice);
        assert_int_equal(zset_rank(&m->value, &found), rank);
    }
    assert_false(zset_next(&up, &pair));
    assert_false(zset_next(&down, &pair));
    zset_iterate(&up, &m->value, m->count, false);
    assert_false(zset_next(&up, &pair));
}

static void compare_score_ranges(struct model *m)
{
    for (int i = 0; i < SCORES * SCORES * 4; i++) {
        struct zset_score_range range = {.min = scores[i / 4 % SCORES], .max = scores[i / 4 / SCORES],
                                         .is_min_open = i & 1, .is_max_open = i & 2};
        struct zset_run run = zset_run_of_scores(&m->value, &range);
        size_t inside = 0;
        for (size_t rank = 0; rank < m->count; rank++) {
            double score = m->sorted[rank]->score;
            bool is_inside = (range.is_min_open ? score > range.min : score >= range.min) &&
                             (range.is_max_open ? score < range.max : score <= range.max);
            inside += is_inside;
            assert_int_equal(is_inside, rank >= run.first && rank < run.end);
        }
        assert_int_equal(run.end - run.first, inside);
    }
}

static struct zset_lex_bound random_bound(struct model *m, struct random *random)
{
    return (struct zset_lex_bound){
        .kind = (int)random_below(random, 8) == 0 ? LEX_LEAST : random_below(random, 8) == 0 ? LEX_GREATEST : LEX_MEMBER,
        .member = m->names[random_below(random, NAMES)].slice,
        .is_open = random_below(random, 2),
    };
}

static bool is_above(struct slice member, const struct zset_lex_bound *bound, int sign)
{
    if (bound->kind != LEX_MEMBER)
        return (bound->kind == LEX_LEAST) == (sign > 0);
    int order = slice_compare(member, bound->member) * sign;
    return bound->is_open ? order > 0 : order >= 0;
}

/* All scores must be equal. */
static void compare_lex_ranges(struct model *m, struct random *random)
{
    for (int i = 0; i < 200; i++) {
        struct zset_lex_range range = {random_bound(m, random), random_bound(m, random)};
        struct zset_run run = zset_run_of_lex(&m->value, &range);
        size_t inside = 0;
        for (size_t rank = 0; rank < m->count; rank++) {
            struct slice member = m->sorted[rank]->slice;
            bool is_inside = is_above(member, &range.min, 1) && is_above(member, &range.max, -1);
            inside += is_inside;
            assert_int_equal(is_inside, rank >= run.first && rank < run.end);
        }
        assert_int_equal(run.end - run.first, inside);
        assert_false(zset_lex_range_is_empty(&range) && inside > 0);
    }
}

static void mark(void *context, struct zset_pair pair)
{
    struct model *m = context;
    struct zset_found found = zset_find(&m->value, pair.member);
    assert_true(found.is_present);
    assert_true(found.score == pair.score);
    m->visited++;
}

static size_t scan_all(struct model *m, size_t count)
{
    m->visited = 0;
    uint64_t cursor = 0;
    do
        cursor = zset_scan(&m->value, cursor, count, mark, m);
    while (cursor);
    return m->visited;
}

static void compare_all(struct model *m, struct random *random, bool is_lex)
{
    sort(m);
    compare_walks(m);
    compare_score_ranges(m);
    if (is_lex)
        compare_lex_ranges(m, random);
    assert_int_equal(scan_all(m, 7), m->count);
}

static void remove_random_run(struct model *m, struct random *random)
{
    if (m->count == 0)
        return;
    sort(m);
    size_t first = random_below(random, m->count);
    size_t end = first + random_below(random, 5);
    if (end > m->count)
        end = m->count;
    zset_remove_run(&m->value, (struct zset_run){first, end});
    for (size_t rank = first; rank < end; rank++)
        m->sorted[rank]->is_present = false;
    m->count -= end > first ? end - first : 0;
}

static void step(struct model *m, struct random *random, bool is_rising, bool is_lex)
{
    size_t i = random_below(random, NAMES);
    if (is_rising)
        add(m, i, is_lex ? 0 : random_below(random, 3) ? scores[random_below(random, SCORES)] : (double)random_below(random, 1000) / 7);
    else if (random_below(random, 10) == 0)
        remove_random_run(m, random);
    else
        take(m, i);
    type->check(&m->value);
    assert_int_equal(zset_size(&m->value), m->count);
}

static void run_random(int64_t entries_max, bool is_lex)
{
    struct model *m = calloc(1, sizeof *m);
    struct random random;
    random_init(&random, (uint64_t)entries_max + 1);
    model_init(m, entries_max);
    for (unsigned i = 0; i < 1600; i++) {
        step(m, &random, i / 400 % 2 == 0 || random_below(&random, 4) == 0, is_lex);
        if (i % 200 == 0 && m->count > 0)
            compare_all(m, &random, is_lex);
    }
    zset_free(m->value);
    free(m);
}

static void test_random_compact(void **state)
{
    (void)state;
    run_random(100000, false);
    run_random(100000, true);
}

static void test_random_large(void **state)
{
    (void)state;
    run_random(0, false);
    run_random(0, true);
}

static void test_random_growing(void **state)
{
    (void)state;
    run_random(60, false);
}

static void test_thresholds(void **state)
{
    (void)state;
    struct model *m = calloc(1, sizeof *m);
    model_init(m, 128);
    for (size_t i = 0; i < 128; i++)
        add(m, i, (double)i);
    assert_int_equal(m->value.encoding, ENCODING_LISTPACK);
    add(m, 128, 5);
    assert_int_equal(m->value.encoding, ENCODING_SKIPLIST);
    for (size_t i = 0; i < 128; i++)
        take(m, i);
    assert_int_equal(m->value.encoding, ENCODING_SKIPLIST);
    zset_free(m->value);
    model_init(m, 128);
    m->env.settings.values[SETTING_ZSET_MAX_LISTPACK_VALUE] = 64;
    char long_name[65];
    memset(long_name, 'x', sizeof long_name);
    for (size_t length = 64; length <= 65; length++) {
        struct slice name = slice_make(long_name, length);
        struct zset_found found = zset_find(&m->value, name);
        zset_add(&m->value, &m->env, &found, name, 1);
        assert_int_equal(m->value.encoding, length == 64 ? ENCODING_LISTPACK : ENCODING_SKIPLIST);
    }
    zset_free(m->value);
    free(m);
}

/* The bytes are Redis's. */
static void test_compact_bytes(void **state)
{
    (void)state;
    static const char expected[] = "\x78\x00\x00\x00\x18\x00\x81h\x02\x84-inf\x05\x0c\x01\x00\x01\x81" "a\x02\x00\x01\x81"
        "b\x02\x00\x01\x81" "e\x02\x83" "1.5\x04\x81" "d\x02\x03\x01\x81k\x02\x07\x01\x81" "c\x02\xf4\x00\x80\xc6\xa4~\x8d"
        "\x03\x00\x09\x81" "f\x02\xf4\x00\x00\x00\x00\x00\x00\x00@\x09\x81g\x02\x85" "9e+18\x06\x81j\x02\x97"
        "1.0000000000000001e+300\x18\x81i\x02\x83inf\x04\xff";
    static const struct { const char *name; double score; } pairs[] = {
        {"a", 5}, {"b", -0.0}, {"c", 1e15}, {"d", 3}, {"e", 1.5}, {"f", 4611686018427387904.0}, {"g", 9e18},
        {"h", -INFINITY}, {"i", INFINITY}, {"j", 1e300}, {"k", 7}, {"12", 0}, {"a", 0}};
    struct model *m = calloc(1, sizeof *m);
    model_init(m, 128);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct zset_found found = zset_find(&m->value, slice_from(pairs[i].name));
        if (found.is_present)
            zset_move(&m->value, &found, pairs[i].score);
        else
            zset_add(&m->value, &m->env, &found, slice_from(pairs[i].name), pairs[i].score);
    }
    assert_int_equal(listpack_bytes(m->value.at), sizeof expected - 1);
    assert_memory_equal(m->value.at, expected, sizeof expected - 1);
    zset_free(m->value);
    free(m);
}

static void test_append(void **state)
{
    (void)state;
    for (int64_t entries_max = 0; entries_max < 400; entries_max += 100) {
        struct model *m = calloc(1, sizeof *m);
        model_init(m, entries_max);
        for (size_t i = 0; i < NAMES; i++) {
            assert_true(zset_append(&m->value, &m->env, m->names[i].slice, (double)i));
            assert_false(zset_append(&m->value, &m->env, m->names[i].slice, (double)i));
            m->names[i].is_present = true;
            m->names[i].score = (double)i;
            m->count++;
        }
        type->check(&m->value);
        assert_int_equal(m->value.encoding, entries_max >= NAMES ? ENCODING_LISTPACK : ENCODING_SKIPLIST);
        sort(m);
        compare_walks(m);
        zset_free(m->value);
        free(m);
    }
}

/* --- the type's row --------------------------------------------------------------------- */

static struct model *filled(int64_t entries_max)
{
    struct model *m = calloc(1, sizeof *m);
    model_init(m, entries_max);
    for (size_t i = 0; i < NAMES; i++)
        add(m, i, scores[i % SCORES]);
    return m;
}

static bool digests_equal(const struct value *a, const struct value *b)
{
    struct digest x = type->digest(a), y = type->digest(b);
    return x.low == y.low && x.high == y.high;
}

static void test_digest_and_copy(void **state)
{
    (void)state;
    struct model *small = filled(1000), *large = filled(0);
    assert_true(digests_equal(&small->value, &large->value));
    struct value copies[] = {type->copy(&small->value), type->copy(&large->value)};
    assert_int_equal(copies[0].encoding, ENCODING_LISTPACK);
    assert_int_equal(copies[1].encoding, ENCODING_SKIPLIST);
    for (int i = 0; i < 2; i++) {
        type->check(&copies[i]);
        assert_true(digests_equal(&copies[i], &small->value));
        zset_free(copies[i]);
    }
    add(large, 1, 17);
    assert_false(digests_equal(&small->value, &large->value));
    zset_free(small->value);
    zset_free(large->value);
    free(small);
    free(large);
}

static void test_memory_and_free(void **state)
{
    (void)state;
    struct model *m = filled(0);
    size_t all = type->memory(&m->value, 0);
    assert_true(all > NAMES * 40);
    assert_true(type->memory(&m->value, 5) > NAMES * 20);
    assert_true(type->free_effort(&m->value) >= NAMES);
    size_t calls = 0;
    for (bool is_gone = false; !is_gone; calls++) {
        size_t budget = 10;
        is_gone = type->free_some(&m->value, &budget);
        assert_true(is_gone || budget == 0);
    }
    assert_in_range(calls, NAMES / 10, NAMES / 2);
    free(m);
    m = filled(1000);
    assert_int_equal(type->free_effort(&m->value), 1);
    assert_true(type->memory(&m->value, 0) >= listpack_bytes(m->value.at));
    zset_free(m->value);
    free(m);
}

static void discard(struct value *v)
{
    size_t budget = SIZE_MAX;
    if (v->at)
        assert_true(type->free_some(v, &budget));
}

/* Saved in parts of about limit bytes, loaded part by part. */
static struct value round_trip(struct model *m, size_t limit)
{
    struct value_cursor cursor = {0};
    struct value loaded = {NULL, m->value.encoding};
    struct buf part;
    buf_init(&part);
    do {
        buf_clear(&part);
        type->save(&m->value, &cursor, &part, limit);
        assert_true(buf_size(&part) > 0);
        assert_true(buf_size(&part) < limit + NAME_BYTES + 12);
        assert_true(type->load(&loaded, &m->env, buf_slice(&part), cursor.is_done));
    } while (!cursor.is_done);
    buf_deinit(&part);
    return loaded;
}

static void test_save_and_load(void **state)
{
    (void)state;
    for (int64_t entries_max = 0; entries_max <= 1000; entries_max += 1000) {
        struct model *m = filled(entries_max);
        for (size_t limit = 1; limit < 100000; limit *= 6) {
            struct value loaded = round_trip(m, limit);
            type->check(&loaded);
            assert_int_equal(loaded.encoding, m->value.encoding);
            assert_true(digests_equal(&loaded, &m->value));
            struct model other = *m;
            other.value = loaded;
            sort(&other);
            compare_walks(&other);
            zset_free(loaded);
        }
        zset_free(m->value);
        free(m);
    }
}

/* Of a listpack the size that it tells is looked at, so none has to be that long. */
static void test_room_for_longer_scores(void **state)
{
    (void)state;
    enum { MEMBERS = 1000, MEMBER_BYTES = 3 }; /* "m", with head and size */
    static char lp[LISTPACK_EMPTY_BYTES];
    struct slice member = SLICE_LITERAL("m");
    size_t needed = MEMBER_BYTES + (MEMBERS + 1) * (size_t)ZSET_SCORE_TEXT_MAX;
    listpack_write_header(lp, LISTPACK_BYTES_MAX - LISTPACK_EMPTY_BYTES - needed, 2 * MEMBERS);
    assert_true(zset_compact_has_room(lp, member));
    listpack_write_header(lp, LISTPACK_BYTES_MAX - LISTPACK_EMPTY_BYTES - needed + 1, 2 * MEMBERS);
    assert_false(zset_compact_has_room(lp, member));
}

/* Where scores differ a lex range means nothing, but it must say the same of the
 * same members, however the tree came to be. */
static void test_lex_follows_from_members(void **state)
{
    (void)state;
    static struct model m;
    struct random random;
    random_init(&random, 11);
    model_init(&m, 0);
    for (int i = 0; i < 3 * NAMES; i++) {
        char text[32];
        struct slice member = slice_make(text, (size_t)snprintf(text, sizeof text, "n%d", i * 7919 % (3 * NAMES)));
        struct zset_found found = zset_find(&m.value, member);
        zset_add(&m.value, &m.env, &found, member, (double)random_below(&random, 50));
    }
    struct value again = round_trip(&m, 1000);
    for (int i = 0; i < 1000; i++) {
        struct zset_lex_range range = {random_bound(&m, &random), random_bound(&m, &random)};
        struct zset_run one = zset_run_of_lex(&m.value, &range), other = zset_run_of_lex(&again, &range);
        assert_int_equal(one.first, other.first);
        assert_int_equal(one.end, other.end);
    }
    zset_free(again);
    zset_free(m.value);
}

static void test_hostile_parts(void **state)
{
    (void)state;
    static const char a[] = "\0\0\0\0\0\0\xf0?\1\0\0\0a", b[] = "\0\0\0\0\0\0\xf0?\1\0\0\0b";
    static const char a2[] = "\0\0\0\0\0\0\0@\1\0\0\0a", nan_a[] = "\0\0\0\0\0\0\xf8\x7f\1\0\0\0a";
    enum { BYTES = 13 };
    struct { const char *first, *second; bool is_good; } cases[] = {
        {a, b, true}, {b, a, false}, {a, a, false}, {a, a2, false}, {nan_a, a2, false}, {a, nan_a, false}, {b, a2, true}};
    struct model *m = calloc(1, sizeof *m);
    model_init(m, 128);
    const enum value_encoding encodings[] = {ENCODING_LISTPACK, ENCODING_SKIPLIST};
    for (int e = 0; e < 2; e++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct value v = {NULL, encodings[e]};
            bool is_good = type->load(&v, &m->env, slice_make(cases[i].first, BYTES), false) &&
                           type->load(&v, &m->env, slice_make(cases[i].second, BYTES), true);
            assert_int_equal(is_good, cases[i].is_good);
            discard(&v);
        }
        for (size_t cut = 1; cut < BYTES; cut++) {
            /* In a block of its own, so that reading beyond it is seen. */
            char *copy = malloc(cut);
            memcpy(copy, a, cut);
            struct value v = {NULL, encodings[e]};
            assert_false(type->load(&v, &m->env, slice_make(copy, cut), true));
            discard(&v);
            free(copy);
        }
        struct value v = {NULL, encodings[e]};
        assert_false(type->load(&v, &m->env, slice_make("", 0), true));
        discard(&v);
    }
    zset_free(m->value);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_compact),   cmocka_unit_test(test_random_large),
        cmocka_unit_test(test_random_growing),   cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_compact_bytes),    cmocka_unit_test(test_append),
        cmocka_unit_test(test_digest_and_copy),  cmocka_unit_test(test_memory_and_free),
        cmocka_unit_test(test_room_for_longer_scores),
        cmocka_unit_test(test_lex_follows_from_members),
        cmocka_unit_test(test_save_and_load),    cmocka_unit_test(test_hostile_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
