/* Goal: what the model test does not reach: order of expiry at scale, digests
 * and their parts, hints, access clocks, reclaiming in steps, random choice.
 *
 * Method: cases built by hand, some with tens of thousands of keys so that
 * tables and heaps pass their segment and mapping sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "store/keyspace.h"

static struct keyspace *make_with(unsigned char secret, keyspace_event_fn *on_event, void *context)
{
    struct keyspace_options options = {
        .database_count = 16, .hash_secret = {secret}, .on_event = on_event, .event_context = context};
    return keyspace_create(&options);
}

static struct keyspace *make(void)
{
    return make_with(1, NULL, NULL);
}

static struct slice numbered(char text[static 32], size_t number)
{
    return slice_make(text, (size_t)sprintf(text, "key:%zu", number));
}

static void assert_same_digest(struct digest a, struct digest b)
{
    assert_int_equal(a.low, b.low);
    assert_int_equal(a.high, b.high);
}

static bool is_same_digest(struct digest a, struct digest b)
{
    return a.low == b.low && a.high == b.high;
}

/* --- expiry ---------------------------------------------------------------- */

struct expired {
    int db;
    char key[16];
};
struct expired_list {
    struct expired *items;
    size_t count;
};

static void note_expired(void *context, enum keyspace_event_class event_class, const char *name, int db, struct slice key)
{
    struct expired_list *list = context;
    assert_int_equal(event_class, EVENT_EXPIRED);
    assert_string_equal(name, "expired");
    struct expired *e = &list->items[list->count++];
    e->db = db;
    memcpy(e->key, key.ptr, key.len);
    e->key[key.len] = 0;
}

/* The same keys in two keyspaces with different histories: other order of
 * insertion, other times before, databases swapped into place. */
static void test_expire_due_does_not_depend_on_history(void **state)
{
    (void)state;
    enum { COUNT = 30000 };
    struct expired_list lists[2];
    struct keyspace *ks[2];
    for (size_t i = 0; i < 2; i++) {
        lists[i] = (struct expired_list){calloc(COUNT, sizeof(struct expired)), 0};
        ks[i] = make_with((unsigned char)i, note_expired, &lists[i]);
    }
    char text[32];
    for (size_t i = 0; i < COUNT; i++) {
        size_t number[2] = {i, (i * 7919 + 13) % COUNT};
        for (int k = 0; k < 2; k++) {
            int db = (int)(number[k] % 3);
            int64_t at = 1000 + (int64_t)(number[k] * 31 % 1000);
            int early_db = k ? (db + 1) % 3 : db;
            if (k)
                keyspace_set(ks[k], early_db, numbered(text, number[k]), SLICE_LITERAL("v"), 5000 - at);
            keyspace_set(ks[k], early_db, numbered(text, number[k]), SLICE_LITERAL("v"), at);
        }
    }
    keyspace_swap(ks[1], 0, 1); /* 1 2 0 -> 0 1 2 */
    keyspace_swap(ks[1], 1, 2);
    keyspace_check(ks[1]);
    assert_same_digest(keyspace_digest(ks[0]), keyspace_digest(ks[1]));
    assert_int_equal(keyspace_next_due(ks[0]), 1000);
    assert_int_equal(keyspace_next_due(ks[1]), 1000);
    for (int k = 0; k < 2; k++) {
        keyspace_advance(ks[k], 999);
        assert_int_equal(keyspace_expire_due(ks[k], SIZE_MAX), 0);
        keyspace_advance(ks[k], 1000);
        assert_int_equal(keyspace_expire_due(ks[k], SIZE_MAX), 30);
        keyspace_advance(ks[k], 3000);
        keyspace_set_active_expire(ks[k], false);
        assert_int_equal(keyspace_expire_due(ks[k], SIZE_MAX), 0);
        keyspace_set_active_expire(ks[k], true);
        keyspace_advance(ks[k], 10); /* time does not go back */
        assert_int_equal(keyspace_now(ks[k]), 3000);
        assert_int_equal(keyspace_expire_due(ks[k], 7), 7);
        assert_int_equal(keyspace_expire_due(ks[k], SIZE_MAX), COUNT - 37);
        assert_int_equal(keyspace_next_due(ks[k]), INT64_MAX);
        keyspace_check(ks[k]);
    }
    assert_int_equal(lists[0].count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(lists[0].items[i].db, lists[1].items[i].db);
        assert_string_equal(lists[0].items[i].key, lists[1].items[i].key);
    }
    for (int k = 0; k < 2; k++) {
        keyspace_free(ks[k]);
        free(lists[k].items);
    }
}

/* Far beyond one segment of the index, positions are right whatever is taken
 * out of the middle. */
static void test_expiry_index_at_scale(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct keyspace *ks = make();
    struct random random;
    random_init(&random, 3);
    char text[32];
    for (size_t i = 0; i < COUNT; i++)
        keyspace_set(ks, 0, numbered(text, i), SLICE_LITERAL("v"), (int64_t)random_below(&random, 500));
    keyspace_check(ks);
    for (size_t i = 0; i < COUNT; i++) {
        struct slice key = numbered(text, random_below(&random, COUNT));
        switch (random_below(&random, 4)) {
        case 0: keyspace_delete(ks, 0, key); break;
        case 1: keyspace_set_expire(ks, 0, key, EXPIRE_NONE); break;
        case 2: keyspace_set_expire(ks, 0, key, (int64_t)random_below(&random, 500)); break;
        default: keyspace_set(ks, 0, key, SLICE_LITERAL("a longer value than before"), EXPIRE_KEEP);
        }
        if (i % 2000 == 0)
            keyspace_check(ks);
    }
    keyspace_check(ks);
    keyspace_advance(ks, 250);
    for (int64_t before = 0; keyspace_next_due(ks) <= 250;) {
        assert_true(keyspace_next_due(ks) >= before);
        before = keyspace_next_due(ks);
        keyspace_expire_due(ks, 1);
    }
    keyspace_check(ks);
    keyspace_free(ks);
}

static void count_visit(void *context, struct entry *e)
{
    (void)e;
    ++*(size_t *)context;
}

/* An expired key is absent for every reader, and no reader removes it. */
static void test_expired_keys_are_absent_until_removed(void **state)
{
    (void)state;
    struct expired_list list = {calloc(8, sizeof(struct expired)), 0};
    struct keyspace *ks = make_with(1, note_expired, &list);
    struct slice key = SLICE_LITERAL("key");
    struct random random;
    random_init(&random, 1);
    size_t visited = 0;
    keyspace_set(ks, 0, key, SLICE_LITERAL("v"), 10);
    keyspace_advance(ks, 10);
    assert_null(keyspace_find(ks, 0, key));
    assert_null(keyspace_peek(ks, 0, key));
    assert_null(keyspace_random(ks, 0, &random));
    keyspace_scan(ks, 0, 0, 100, count_visit, &visited);
    keyspace_each(ks, 0, count_visit, &visited);
    assert_int_equal(visited, 0);
    assert_int_equal(list.count, 0);
    assert_int_equal(keyspace_size(ks, 0), 1);
    assert_null(keyspace_find_for_write(ks, 0, key));
    assert_int_equal(list.count, 1);
    assert_int_equal(keyspace_size(ks, 0), 0);
    /* Edited, an expired string begins empty and does not expire. */
    keyspace_set(ks, 0, key, SLICE_LITERAL("old bytes"), 10);
    assert_memory_equal(keyspace_edit_string(ks, 0, key, 3), "\0\0\0", 3);
    assert_int_equal(entry_expire_at(keyspace_peek(ks, 0, key)), EXPIRE_NONE);
    assert_int_equal(list.count, 2);
    /* Times before 1970. */
    keyspace_set(ks, 0, key, SLICE_LITERAL("v"), -1000);
    assert_null(keyspace_peek(ks, 0, key));
    keyspace_set(ks, 0, key, SLICE_LITERAL("v"), EXPIRE_KEEP);
    assert_non_null(keyspace_peek(ks, 0, key));
    assert_int_equal(list.count, 3);
    keyspace_set_expire(ks, 0, key, -2);
    assert_null(keyspace_peek(ks, 0, key));
    struct keyspace_figures figures;
    keyspace_get_figures(ks, &figures);
    assert_int_equal(figures.expired, 3);
    assert_int_equal(figures.misses, 1);
    keyspace_check(ks);
    keyspace_free(ks);
    free(list.items);
}

/* --- digests --------------------------------------------------------------- */

static void test_digest_is_of_the_data_only(void **state)
{
    (void)state;
    struct keyspace *a = make_with(1, NULL, NULL), *b = make_with(2, NULL, NULL);
    char text[32];
    enum { COUNT = 3000 };
    for (size_t i = 0; i < COUNT; i++) {
        size_t j = COUNT - 1 - i;
        keyspace_set(a, (int)(i % 3), numbered(text, i), numbered(text, i * i), EXPIRE_NONE);
        /* Other order, other encodings on the way, another access clock. */
        keyspace_set_access_clock(b, (int64_t)i * 1000);
        struct slice key = numbered(text, j);
        char value[32];
        struct slice bytes = numbered(value, j * j);
        memcpy(keyspace_edit_string(b, (int)(j % 3), slice_make(strcpy((char[32]){0}, text), key.len), bytes.len),
               bytes.ptr, bytes.len);
    }
    /* a used the value as key text: make the same in b. */
    keyspace_flush(a, -1, false);
    for (size_t i = 0; i < COUNT; i++) {
        char value[32];
        keyspace_set(a, (int)(i % 3), numbered(text, i), numbered(value, i * i), EXPIRE_NONE);
    }
    assert_same_digest(keyspace_digest(a), keyspace_digest(b));
    /* An integer and its text. */
    keyspace_set_int(a, 0, SLICE_LITERAL("n"), 1234);
    memcpy(keyspace_edit_string(b, 0, SLICE_LITERAL("n"), 4), "1234", 4);
    assert_same_digest(keyspace_digest(a), keyspace_digest(b));
    assert_same_digest(keyspace_entry_digest(0, keyspace_peek(a, 0, SLICE_LITERAL("n"))),
                       keyspace_entry_digest(0, keyspace_peek(b, 0, SLICE_LITERAL("n"))));
    /* Each part of the data counts. */
    struct digest before = keyspace_digest(a);
    keyspace_set_expire(a, 0, SLICE_LITERAL("n"), 9);
    assert_false(is_same_digest(keyspace_digest(a), before));
    keyspace_set_expire(a, 0, SLICE_LITERAL("n"), EXPIRE_NONE);
    assert_same_digest(keyspace_digest(a), before);
    keyspace_rename(a, 0, SLICE_LITERAL("n"), 0, SLICE_LITERAL("m"));
    assert_false(is_same_digest(keyspace_digest(a), before));
    keyspace_rename(a, 0, SLICE_LITERAL("m"), 1, SLICE_LITERAL("n"));
    assert_false(is_same_digest(keyspace_digest(a), before));
    keyspace_rename(a, 1, SLICE_LITERAL("n"), 0, SLICE_LITERAL("n"));
    assert_same_digest(keyspace_digest(a), before);
    keyspace_set_int(a, 0, SLICE_LITERAL("n"), 1235);
    assert_false(is_same_digest(keyspace_digest(a), before));
    /* Key and value do not run into one another. */
    struct keyspace *c = make(), *d = make();
    keyspace_set(c, 0, SLICE_LITERAL("ab"), SLICE_LITERAL("c"), EXPIRE_NONE);
    keyspace_set(d, 0, SLICE_LITERAL("a"), SLICE_LITERAL("bc"), EXPIRE_NONE);
    assert_false(is_same_digest(keyspace_digest(c), keyspace_digest(d)));
    keyspace_free(a), keyspace_free(b), keyspace_free(c), keyspace_free(d);
}

static void test_digest_parts_add_up(void **state)
{
    (void)state;
    struct keyspace *a = make(), *b = make();
    char text[32];
    for (size_t i = 0; i < 5000; i++)
        keyspace_set(a, (int)(i % 2), numbered(text, i), SLICE_LITERAL("v"), EXPIRE_NONE);
    /* b once held more, so its table has another shape. */
    for (size_t i = 20000; i-- > 0;)
        keyspace_set(b, (int)(i % 2), numbered(text, i), SLICE_LITERAL("v"), EXPIRE_NONE);
    for (size_t i = 5000; i < 20000; i++)
        keyspace_delete(b, (int)(i % 2), numbered(text, i));
    keyspace_set(b, 1, numbered(text, 77), SLICE_LITERAL("w"), EXPIRE_NONE);
    for (uint32_t parts = 1; parts <= 65536; parts *= 16) {
        struct digest sum = {0, 0};
        unsigned differing = 0;
        for (uint32_t part = 0; part < parts; part++) {
            struct digest p = keyspace_digest_part(a, part, parts);
            differing += !is_same_digest(p, keyspace_digest_part(b, part, parts));
            uint64_t low = sum.low;
            sum.low += p.low;
            sum.high += p.high + (sum.low < low);
        }
        assert_same_digest(sum, keyspace_digest(a));
        assert_int_equal(differing, 1);
    }
    keyspace_free(a), keyspace_free(b);
}

/* --- hints ----------------------------------------------------------------- */

/* A hint serves one call, for the very bytes it was given for. */
static void test_hints(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    char one[] = "first key", other[] = "other key";
    struct slice key = slice_from(one), second = slice_from(other);
    for (int i = 0; i < 3; i++) {
        keyspace_hint(ks, key, keyspace_hash(ks, key));
        keyspace_set(ks, 0, key, SLICE_LITERAL("v"), EXPIRE_NONE);
        memcpy(one, i % 2 ? "first" : "third", 5); /* used up: the bytes may change */
        keyspace_set(ks, 0, key, SLICE_LITERAL("v"), EXPIRE_NONE);
        keyspace_check(ks);
        keyspace_hint(ks, second, keyspace_hash(ks, second));
        assert_non_null(keyspace_find(ks, 0, key)); /* another key: not used */
        keyspace_rename(ks, 0, key, 0, second);
        keyspace_check(ks);
        keyspace_delete(ks, 0, second);
    }
    keyspace_free(ks);
}

/* --- access clocks --------------------------------------------------------- */

static void test_idle_time(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    struct slice key = SLICE_LITERAL("key");
    keyspace_set_access_clock(ks, 1000000);
    struct entry *e = keyspace_set(ks, 0, key, SLICE_LITERAL("v"), EXPIRE_NONE);
    keyspace_set_access_clock(ks, 1012999);
    assert_int_equal(entry_idle_seconds(ks, e), 12);
    keyspace_peek(ks, 0, key);
    assert_int_equal(entry_idle_seconds(ks, e), 12);
    keyspace_find(ks, 0, key);
    assert_int_equal(entry_idle_seconds(ks, e), 0);
    keyspace_set_access_clock(ks, INT64_C(0xfffffe) * 1000);
    keyspace_find(ks, 0, key);
    keyspace_set_access_clock(ks, INT64_C(0x1000001) * 1000); /* 24 bits wrap */
    assert_int_equal(entry_idle_seconds(ks, e), 3);
    struct digest before = keyspace_digest(ks);
    keyspace_find_for_write(ks, 0, key);
    assert_same_digest(before, keyspace_digest(ks));
    keyspace_free(ks);
}

static void test_frequency(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    keyspace_set_lfu(ks, true);
    keyspace_set_access_clock(ks, 60000 * 100);
    struct slice key = SLICE_LITERAL("key");
    struct entry *e = keyspace_set(ks, 0, key, SLICE_LITERAL("v"), EXPIRE_NONE);
    assert_int_equal(entry_frequency(ks, e), 5);
    for (int i = 0; i < 1000; i++)
        keyspace_find(ks, 0, key);
    assert_in_range(entry_frequency(ks, e), 14, 24); /* Redis's table: 18 */
    unsigned high = entry_frequency(ks, e);
    keyspace_set_access_clock(ks, 60000 * 103);
    assert_int_equal(entry_frequency(ks, e), high - 3);
    keyspace_set_access_clock(ks, 60000 * 200);
    assert_int_equal(entry_frequency(ks, e), 0);
    keyspace_find(ks, 0, key);
    assert_int_equal(entry_frequency(ks, e), 1);
    for (int i = 0; i < 2000000; i++)
        keyspace_find(ks, 0, key);
    assert_in_range(entry_frequency(ks, e), 240, 255);
    keyspace_free(ks);
}

/* --- reclaiming ------------------------------------------------------------ */

static void test_async_flush_is_reclaimed_in_steps(void **state)
{
    (void)state;
    enum { COUNT = 100000, STEP_US = 50 };
    struct keyspace *ks = make();
    char text[32];
    for (size_t i = 0; i < COUNT; i++)
        keyspace_set(ks, 3, numbered(text, i), SLICE_LITERAL("v"), i % 2 ? EXPIRE_NONE : 5);
    struct keyspace_figures full, figures;
    keyspace_get_figures(ks, &full);
    assert_int_equal(keyspace_flush(ks, -1, true), COUNT);
    assert_int_equal(keyspace_size(ks, 3), 0);
    assert_int_equal(keyspace_expiring(ks, 3), 0);
    assert_int_equal(keyspace_next_due(ks), INT64_MAX);
    keyspace_get_figures(ks, &figures);
    assert_int_equal(figures.entry_bytes, full.entry_bytes);
    keyspace_set(ks, 3, SLICE_LITERAL("new"), SLICE_LITERAL("v"), 77);
    size_t steps = 1, last = full.entry_bytes;
    for (; keyspace_reclaim(ks, STEP_US); steps++) {
        keyspace_get_figures(ks, &figures);
        assert_true(last - figures.entry_bytes <= (STEP_US * 4 + 20) * full.entry_bytes / COUNT * 2);
        last = figures.entry_bytes;
    }
    assert_true(steps > COUNT / (STEP_US * 4));
    keyspace_get_figures(ks, &figures);
    assert_true(figures.entry_bytes < 100);
    assert_true(figures.bucket_bytes < 1000);
    assert_true(figures.expiry_bytes < 1000);
    assert_false(keyspace_reclaim(ks, STEP_US));
    assert_int_equal(keyspace_size(ks, 3), 1);
    keyspace_check(ks);
    keyspace_flush(ks, -1, true); /* freed with work left */
    for (size_t i = 0; i < 1000; i++)
        keyspace_set(ks, 0, numbered(text, i), SLICE_LITERAL("v"), 5);
    keyspace_flush(ks, 0, true);
    keyspace_reclaim(ks, 10);
    keyspace_free(ks);
}

static void test_sparse_tables_shrink_when_idle(void **state)
{
    (void)state;
    enum { COUNT = 300000 };
    struct keyspace *ks = make();
    struct keyspace_figures figures;
    char text[32];
    for (size_t i = 0; i < COUNT; i++)
        keyspace_set(ks, 0, numbered(text, i), SLICE_LITERAL("v"), EXPIRE_NONE);
    for (size_t i = 0; i < COUNT * 7 / 10; i++)
        keyspace_delete(ks, 0, numbered(text, i));
    keyspace_get_figures(ks, &figures);
    size_t before = figures.bucket_bytes;
    assert_true(figures.is_resizing);
    while (keyspace_reclaim(ks, 10)) {
    }
    keyspace_get_figures(ks, &figures);
    assert_true(figures.bucket_bytes < before * 3 / 4);
    assert_false(figures.is_resizing);
    keyspace_check(ks);
    keyspace_free(ks);
}

/* --- random choice --------------------------------------------------------- */

static void test_random_finds_the_only_live_key(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    struct random random;
    random_init(&random, 9);
    char text[32];
    assert_null(keyspace_random(ks, 0, &random));
    for (size_t i = 0; i < 5000; i++)
        keyspace_set(ks, 0, numbered(text, i), SLICE_LITERAL("v"), i == 3333 ? 100 : 10);
    keyspace_advance(ks, 50);
    for (int i = 0; i < 50; i++)
        assert_true(slice_equal(entry_key(keyspace_random(ks, 0, &random)), SLICE_LITERAL("key:3333")));
    keyspace_free(ks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expire_due_does_not_depend_on_history),
        cmocka_unit_test(test_expiry_index_at_scale),
        cmocka_unit_test(test_expired_keys_are_absent_until_removed),
        cmocka_unit_test(test_digest_is_of_the_data_only),
        cmocka_unit_test(test_digest_parts_add_up),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_idle_time),
        cmocka_unit_test(test_frequency),
        cmocka_unit_test(test_async_flush_is_reclaimed_in_steps),
        cmocka_unit_test(test_sparse_tables_shrink_when_idle),
        cmocka_unit_test(test_random_finds_the_only_live_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
