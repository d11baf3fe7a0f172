/* Goal: the dict finds what it holds at every size and in every state of
 * splitting and merging; SCAN keeps its promise; chains, walks, picks and
 * drains are right; keys that collide under one secret do not under another.
 *
 * Method: items are numbers with a hash made from them, so any hash can be
 * chosen.  Sets of items grow and shrink in random order beside a plain array,
 * dict_check walks the table.  Scans run one step at a time while the table
 * grows to tables that are mapped and shrinks back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/dict.h"
#include "store/key_hash.h"

struct item {
    uint64_t hash;
    uint64_t number;
    bool is_present, is_through;
    unsigned seen;
};

static uint64_t hash_item(const void *context, const void *item)
{
    (void)context;
    return ((const struct item *)item)->hash;
}

static bool is_item(const void *item, const void *wanted)
{
    return ((const struct item *)item)->number == ((const struct item *)wanted)->number;
}

static void add(struct dict *d, struct item *i)
{
    assert_false(i->is_present);
    dict_insert(d, i->hash, i);
    i->is_present = true;
}

static void take(struct dict *d, struct item *i)
{
    void **slot = dict_find(d, i->hash, is_item, i);
    assert_non_null(slot);
    assert_ptr_equal(*slot, i);
    dict_remove(d, i->hash, slot);
    i->is_present = i->is_through = false;
}

static struct item *make_items(size_t count, uint64_t seed)
{
    struct item *items = calloc(count, sizeof *items);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct item){.number = i, .hash = random_mix(seed * 1000003 + i)};
    return items;
}

static bool see(void *context, void *item)
{
    (void)context;
    ((struct item *)item)->seen++;
    return true;
}

/* Growing and shrinking, one time in check_each checked as a whole. */
static void find_at_every_size(size_t count, int steps, int check_each)
{
    struct item *items = make_items(count, 1);
    struct random random;
    random_init(&random, 1);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    size_t present = 0;
    for (int step = 0; step < steps; step++) {
        struct item *i = &items[random_below(&random, count)];
        bool wants = random_below(&random, 100) < (step / (steps / 5) % 2 ? 20u : 80u);
        void **slot = dict_find(&d, i->hash, is_item, i);
        assert_int_equal(slot != NULL, i->is_present);
        if (wants && !i->is_present)
            add(&d, i), present++;
        else if (!wants && i->is_present)
            take(&d, i), present--;
        if (random_below(&random, 10) == 0)
            dict_merge(&d);
        assert_int_equal(dict_size(&d), present);
        if (step % check_each == 0)
            dict_check(&d);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(dict_find(&d, items[i].hash, is_item, &items[i]) != NULL, items[i].is_present);
    dict_deinit(&d);
    free(items);
}

/* Small tables, which double at once, and some that grow bucket by bucket. */
static void test_finds_at_every_size(void **state)
{
    (void)state;
    find_at_every_size(600, 8000, 1);
    find_at_every_size(12000, 60000, 199);
}

/* Items of one bucket, or of one hash, chain up and come apart. */
static void test_colliding_items_chain(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct item *items = make_items(COUNT, 2);
    for (size_t i = 0; i < COUNT; i++)
        items[i].hash = i % 2 ? 0x1234567890abcdef : 0x1234567890abcdef + i;
    struct random random;
    random_init(&random, 2);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    for (int step = 0; step < 4000; step++) {
        struct item *i = &items[random_below(&random, COUNT)];
        if (i->is_present)
            take(&d, i);
        else
            add(&d, i);
        dict_check(&d);
        for (size_t k = 0; k < COUNT; k++)
            assert_int_equal(dict_find(&d, items[k].hash, is_item, &items[k]) != NULL, items[k].is_present);
    }
    dict_deinit(&d);
    free(items);
}

static void finish_scan(struct item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].is_through)
            assert_true(items[i].seen >= 1);
        items[i].is_through = items[i].is_present;
        items[i].seen = 0;
    }
}

/* One scan after another, a step per some changes, while the table goes from
 * nothing to beyond the size of mapped tables and back, at several speeds. */
static void test_scan_sees_what_stays(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct item *items = make_items(COUNT, 3);
    struct random random;
    random_init(&random, 3);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    unsigned scans = 0;
    uint64_t cursor = 0;
    for (int wave = 0; wave < 3; wave++)
        for (int is_shrinking = 0; is_shrinking < 2; is_shrinking++)
            for (size_t n = 0; n < COUNT; n++) {
                /* Even items leave early, every 16th stays through the wave's end. */
                struct item *i = &items[n * 7919 % COUNT];
                if (!is_shrinking && !i->is_present)
                    add(&d, i);
                else if (is_shrinking && i->is_present && i->number % 16)
                    take(&d, i);
                if (random_below(&random, 20) == 0)
                    dict_merge(&d);
                if (n % (wave == 0 ? 1u : wave == 1 ? 50u : 7u))
                    continue;
                cursor = dict_scan(&d, cursor, random_below(&random, 40), see, NULL);
                assert_true(cursor < UINT64_C(1) << 53);
                if (cursor == 0) {
                    finish_scan(items, COUNT);
                    scans++;
                }
            }
    dict_check(&d);
    assert_true(scans > 20);
    while (dict_merge(&d)) {
    }
    dict_check(&d);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(dict_find(&d, items[i].hash, is_item, &items[i]) != NULL, items[i].is_present);
    dict_deinit(&d);
    free(items);
}

/* A table at rest is visited once, in order, in steps of about count; any
 * cursor is survived. */
static void test_scan_of_a_table_at_rest(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct item *items = make_items(COUNT, 4);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    assert_int_equal(dict_scan(&d, 0, 10, see, NULL), 0);
    for (size_t i = 0; i < COUNT; i++)
        add(&d, &items[i]);
    uint64_t cursor = 0, before;
    size_t steps = 0;
    do {
        before = cursor;
        cursor = dict_scan(&d, cursor, 10, see, NULL);
        assert_true(cursor == 0 || cursor > before);
        steps++;
    } while (cursor);
    assert_in_range(steps, COUNT / 30, COUNT / 9);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(items[i].seen, 1);
    const uint64_t strange[] = {1, 12345, (UINT64_C(1) << 52) - 1, UINT64_C(1) << 52, UINT64_MAX};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        dict_scan(&d, strange[i], SIZE_MAX, see, NULL);
    assert_int_equal(dict_scan(&d, UINT64_C(1) << 52, 10, see, NULL), 0);
    assert_int_equal(dict_scan(&d, 0, COUNT + 1, see, NULL), 0);
    dict_deinit(&d);
    free(items);
}

/* With all items in one bucket, a step crosses at most ten empty buckets per
 * item asked for. */
static void test_scan_does_not_linger_in_empty_buckets(void **state)
{
    (void)state;
    enum { COUNT = 2000, COUNT_ASKED = 3 };
    struct item *items = make_items(COUNT, 8);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        items[i].hash >>= 16;
        add(&d, &items[i]);
    }
    size_t steps = 0;
    for (uint64_t cursor = 0; (cursor = dict_scan(&d, cursor, COUNT_ASKED, see, NULL)); steps++) {
    }
    assert_in_range(steps, dict_bucket_count(&d) / (10 * COUNT_ASKED), dict_bucket_count(&d));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(items[i].seen, 1);
    dict_deinit(&d);
    free(items);
}

/* dict_walk visits all items with hashes in the range, and picks are even
 * although half of the table is split and half is not. */
static void test_walk_and_pick(void **state)
{
    (void)state;
    enum { COUNT = 7200, PICKS_EACH = 400 };
    struct item *items = make_items(COUNT, 5);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    for (size_t i = 0; i < COUNT; i++)
        add(&d, &items[i]);
    assert_true(d.split > 0); /* the state this test is about */
    for (uint64_t part = 0; part < 8; part++) {
        uint64_t first = part << 61, last = first | UINT64_MAX >> 3;
        for (size_t i = 0; i < COUNT; i++)
            items[i].seen = 0;
        assert_true(dict_walk(&d, first, last, see, NULL));
        for (size_t i = 0; i < COUNT; i++)
            if (items[i].hash >= first && items[i].hash <= last)
                assert_int_equal(items[i].seen, 1);
    }
    for (size_t i = 0; i < COUNT; i++)
        items[i].seen = 0;
    struct random random;
    random_init(&random, 5);
    for (size_t i = 0; i < COUNT * PICKS_EACH; i++)
        ((struct item *)dict_pick(&d, &random))->seen++;
    for (size_t i = 0; i < COUNT; i++) /* six standard deviations are 120 */
        assert_in_range(items[i].seen, PICKS_EACH - 120, PICKS_EACH + 120);
    dict_deinit(&d);
    free(items);
}

/* Draining gives every item once and no step does much more than its budget;
 * a dict half drained can be thrown away. */
static void test_drain(void **state)
{
    (void)state;
    enum { COUNT = 150000, BUDGET = 100 };
    struct item *items = make_items(COUNT, 6);
    for (int is_whole = 0; is_whole < 2; is_whole++) {
        struct dict d;
        dict_init(&d, hash_item, NULL);
        for (size_t i = 0; i < COUNT; i++) {
            items[i].is_present = false;
            items[i].seen = 0;
            add(&d, &items[i]);
        }
        size_t steps = 0, budget = BUDGET;
        while (!dict_drain(&d, &budget, see, NULL)) {
            budget = BUDGET;
            if (++steps == 300 && !is_whole)
                break;
        }
        if (is_whole) {
            assert_in_range(steps, COUNT / BUDGET, 2 * COUNT / BUDGET);
            for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(items[i].seen, 1);
            assert_int_equal(dict_bytes(&d), 0);
            add(&d, (items->is_present = false, items));
            dict_check(&d);
        }
        dict_deinit(&d);
    }
    free(items);
}

/* The load stays between its bounds, so memory per item does at any size. */
static void test_load(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    struct item *items = make_items(COUNT, 7);
    struct dict d;
    dict_init(&d, hash_item, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        add(&d, &items[i]);
        if (i > 20000 && i % 1000 == 0) {
            double bytes = (double)dict_bucket_count(&d) * 64 / (double)(i + 1);
            assert_true(bytes > 13.3 && bytes < 13.6);
            assert_true((double)d.children * 64 / (double)(i + 1) < 2.8);
        }
    }
    for (size_t i = 0; i < COUNT - 3000; i++)
        take(&d, &items[i]);
    assert_true(dict_bucket_count(&d) < 3000);
    while (dict_merge(&d)) {
    }
    assert_true(dict_bucket_count(&d) < 1300);
    assert_true(dict_bytes(&d) < 200000);
    dict_check(&d);
    dict_deinit(&d);
    free(items);
}

static size_t mapped_now(void)
{
    struct mem_figures figures;
    mem_figures(&figures);
    return figures.mapped;
}

/* What INFO and maxmemory see: a table that is mapped counts, whoever holds it,
 * while it grows, shrinks, is reserved and drained. */
static void test_mapped_tables_are_counted(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct item *items = make_items(COUNT, 8);
    struct dict d;
    size_t before = mapped_now(), budget = SIZE_MAX;
    dict_init(&d, hash_item, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        add(&d, &items[i]);
        if (i % 100)
            continue;
        size_t mapped = mapped_now() - before, buckets = dict_bytes(&d) - d.children * 64;
        assert_true(mapped == buckets || buckets < (256 << 10));
        assert_true(mapped <= buckets);
    }
    assert_true(mapped_now() - before > COUNT * 12);
    for (size_t i = 0; i < COUNT - 1000; i++)
        take(&d, &items[i]);
    while (dict_merge(&d)) {
    }
    assert_int_equal(mapped_now(), before);
    assert_true(dict_drain(&d, &budget, see, NULL));
    dict_reserve(&d, COUNT);
    assert_int_equal(mapped_now() - before, dict_bytes(&d));
    dict_deinit(&d);
    assert_int_equal(mapped_now(), before);
    free(items);
}

/* A flood collected under one secret spreads evenly under another. */
static void test_colliding_keys_depend_on_the_secret(void **state)
{
    (void)state;
    enum { WANTED = 200, BITS = 10 };
    struct key_hash_secret one, other;
    key_hash_expand(&one, (const unsigned char *)"0123456789abcdef");
    for (int byte = 0; byte < KEY_HASH_SEED_BYTES; byte++) {
        unsigned char seed[] = "0123456789abcdef";
        seed[byte] ^= 1;
        key_hash_expand(&other, seed);
        assert_memory_not_equal(&one, &other, sizeof one);
        size_t counts[1 << BITS] = {0}, fullest = 0, found = 0;
        for (uint64_t n = 0; found < WANTED; n++) {
            char key[32];
            size_t size = (size_t)sprintf(key, "user:%llu", (unsigned long long)n);
            if (key_hash(&one, slice_make(key, size)) >> (64 - BITS) != 77)
                continue;
            found++;
            size_t bucket = key_hash(&other, slice_make(key, size)) >> (64 - BITS);
            if (++counts[bucket] > fullest)
                fullest = counts[bucket];
        }
        assert_true(fullest <= 6); /* of 200 in one bucket under the first */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_at_every_size),
        cmocka_unit_test(test_colliding_items_chain),
        cmocka_unit_test(test_scan_sees_what_stays),
        cmocka_unit_test(test_scan_of_a_table_at_rest),
        cmocka_unit_test(test_scan_does_not_linger_in_empty_buckets),
        cmocka_unit_test(test_walk_and_pick),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_mapped_tables_are_counted),
        cmocka_unit_test(test_colliding_keys_depend_on_the_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
