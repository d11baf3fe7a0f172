/* Goal: the table of watched keys decides as Redis does which watchers a change concerns,
 * costs nothing while nothing is watched, and is the same after it was saved and loaded;
 * hostile bytes are refused.
 *
 * Method: stories on a real keyspace; random changes against a model that remembers every
 * watched key's version; every prefix and many damaged copies of a saved table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/keyspace.h"
#include "store/marks.h"
#include "store/watch.h"

static struct keyspace *ks;
static struct watches *watches;

static int start(void **state)
{
    (void)state;
    ks = keyspace_create(&(struct keyspace_options){.database_count = 4});
    keyspace_set_active_expire(ks, false);
    keyspace_advance(ks, 1000);
    watches = keyspace_watches(ks);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    keyspace_free(ks);
    return 0;
}

static struct watcher_id id_of(uint64_t number)
{
    return (struct watcher_id){.member = 1, .life = 77, .number = number};
}

static bool watch(uint64_t number, int db, const char *key)
{
    struct watcher_id id = id_of(number);
    bool is_added = watch_add(watches, &id, db, slice_from(key));
    watches_check(watches);
    return is_added;
}

static enum watch_verdict verdict(uint64_t number)
{
    struct watcher_id id = id_of(number);
    watches_check(watches);
    return watch_verdict(watches, &id);
}

static void set(int db, const char *key, int64_t expire_at)
{
    keyspace_set(ks, db, slice_from(key), SLICE_LITERAL("v"), expire_at);
}

static void test_every_change_counts(void **state)
{
    (void)state;
    set(0, "k", EXPIRE_NONE);
    assert_true(watch(1, 0, "k"));
    assert_true(watch(1, 0, "k"));
    assert_true(watch(2, 0, "other"));
    assert_true(watch(2, 1, "k"));
    assert_int_equal(verdict(1), WATCH_CLEAN);
    assert_int_equal(verdict(3), WATCH_UNKNOWN);
    set(0, "k", EXPIRE_NONE);
    assert_int_equal(verdict(1), WATCH_TOUCHED);
    assert_int_equal(verdict(2), WATCH_CLEAN);
    assert_int_equal(watch_key_count(watches), 2);
    assert_true(watch(1, 0, "more")); /* touched already: kept out of the table */
    assert_int_equal(watch_key_count(watches), 2);
    keyspace_delete(ks, 1, SLICE_LITERAL("k")); /* is not there */
    assert_int_equal(verdict(2), WATCH_CLEAN);
    keyspace_rename(ks, 0, SLICE_LITERAL("k"), 1, SLICE_LITERAL("k"));
    assert_int_equal(verdict(2), WATCH_TOUCHED);
    assert_int_equal(watch_key_count(watches), 0);
}

static void test_expiry(void **state)
{
    (void)state;
    set(0, "k", 1500);
    watch(1, 0, "k");
    keyspace_advance(ks, 1400);
    assert_int_equal(verdict(1), WATCH_CLEAN);
    keyspace_advance(ks, 1500);
    assert_int_equal(verdict(1), WATCH_TOUCHED);
    watch(2, 0, "k"); /* expired and stored */
    assert_int_equal(verdict(2), WATCH_CLEAN);
    assert_null(keyspace_find_for_write(ks, 0, SLICE_LITERAL("k")));
    assert_int_equal(verdict(2), WATCH_CLEAN); /* nothing anybody could see has changed */
    assert_int_equal(verdict(1), WATCH_TOUCHED);
    set(0, "k", EXPIRE_NONE);
    assert_int_equal(verdict(2), WATCH_TOUCHED);
    set(0, "l", 1600);
    keyspace_advance(ks, 1700);
    watch(3, 0, "l");
    set(0, "l", EXPIRE_NONE);
    assert_int_equal(verdict(3), WATCH_TOUCHED);
}

static void test_whole_databases(void **state)
{
    (void)state;
    set(0, "here", EXPIRE_NONE);
    set(1, "there", EXPIRE_NONE);
    set(1, "dead", 1100);
    set(0, "old", 1100);
    keyspace_advance(ks, 1200);
    const char *const keys[] = {"here", "there", "dead", "old", "nowhere"};
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5; i++)
            watch((uint64_t)(round * 10 + i), 0, keys[i]);
    keyspace_swap(ks, 2, 3);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(verdict(i), WATCH_CLEAN);
    keyspace_swap(ks, 0, 1);
    assert_int_equal(verdict(0), WATCH_TOUCHED); /* gone */
    assert_int_equal(verdict(1), WATCH_TOUCHED); /* came */
    assert_int_equal(verdict(2), WATCH_CLEAN);   /* came, but expired */
    assert_int_equal(verdict(3), WATCH_CLEAN);   /* went, but expired */
    assert_int_equal(verdict(4), WATCH_CLEAN);
    watch(20, 0, "there");
    watch(21, 0, "dead");
    keyspace_flush(ks, 0, true);
    assert_int_equal(verdict(20), WATCH_TOUCHED);
    assert_int_equal(verdict(21), WATCH_CLEAN);
    assert_int_equal(verdict(4), WATCH_CLEAN);
    keyspace_flush(ks, -1, false);
    assert_int_equal(verdict(4), WATCH_CLEAN);
}

static void test_dropping(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 10; i++)
        watch(i, 0, i % 2 ? "odd" : "even");
    struct watcher_id third = id_of(3), stranger = {.member = 2, .life = 5, .number = 1};
    watch_add(watches, &stranger, 0, SLICE_LITERAL("odd"));
    watch_drop(watches, &third);
    watch_drop(watches, &third);
    assert_int_equal(watch_watcher_count(watches), 10);
    watch_drop_others(watches, 1, 77, 8);
    assert_int_equal(verdict(8), WATCH_UNKNOWN);
    assert_int_equal(verdict(9), WATCH_CLEAN);
    watch_drop_others(watches, 1, 78, 0);
    assert_int_equal(watch_watcher_count(watches), 1);
    watch_drop_others(watches, 2, UINT64_MAX, 0);
    assert_int_equal(watch_watcher_count(watches), 0);
    assert_int_equal(watch_key_count(watches), 0);
}

static void test_limits(void **state)
{
    (void)state;
    char key[32];
    struct watcher_id id = id_of(1), other = id_of(2);
    for (int i = 0; i < WATCH_PLACES_MAX; i++) {
        int size = snprintf(key, sizeof key, "%d", i);
        if (!watch_add(watches, &id, 0, slice_make(key, (size_t)size)))
            fail();
    }
    assert_false(watch_add(watches, &id, 0, SLICE_LITERAL("one more")));
    assert_true(watch_add(watches, &id, 0, SLICE_LITERAL("7"))); /* it has it */
    assert_false(watch_add(watches, &other, 0, SLICE_LITERAL("7")));
    assert_int_equal(watch_verdict(watches, &other), WATCH_UNKNOWN);
    watches_check(watches);
    set(0, "7", EXPIRE_NONE);
    assert_true(watch_add(watches, &other, 0, SLICE_LITERAL("7")));
    watches_check(watches);
}

/* --- random changes ------------------------------------------------------------- */

enum { KEYS = 6, WATCHERS = 8, DATABASES = 2 };

struct model {
    uint64_t versions[DATABASES][KEYS];
    uint64_t seen[WATCHERS][DATABASES][KEYS]; /* version when watched, plus one; 0: not watched */
    bool is_known[WATCHERS];
};

static const char *const names[KEYS] = {"a", "b", "c", "d", "e", "f"};

static void change(struct model *m, struct random *random)
{
    int db = (int)random_below(random, DATABASES), key = (int)random_below(random, KEYS);
    struct slice name = slice_from(names[key]);
    switch (random_below(random, 5)) {
    case 0:
        m->versions[db][key]++;
        keyspace_set(ks, db, name, SLICE_LITERAL("x"), EXPIRE_NONE);
        break;
    case 1: m->versions[db][key] += keyspace_delete(ks, db, name); break;
    case 2: m->versions[db][key] += keyspace_set_expire(ks, db, name, EXPIRE_NONE); break;
    case 3:
        for (int i = 0; i < KEYS; i++) {
            bool is_anywhere = keyspace_peek(ks, 0, slice_from(names[i])) || keyspace_peek(ks, 1, slice_from(names[i]));
            m->versions[0][i] += is_anywhere;
            m->versions[1][i] += is_anywhere;
        }
        keyspace_swap(ks, 0, 1);
        break;
    default: keyspace_look(ks, db, name); break;
    }
}

static void expect_verdicts(const struct model *m)
{
    for (int w = 0; w < WATCHERS; w++) {
        bool is_touched = false;
        for (int db = 0; db < DATABASES; db++)
            for (int key = 0; key < KEYS; key++)
                is_touched |= m->seen[w][db][key] && m->seen[w][db][key] != m->versions[db][key] + 1;
        enum watch_verdict expected = !m->is_known[w] ? WATCH_UNKNOWN : is_touched ? WATCH_TOUCHED : WATCH_CLEAN;
        assert_int_equal(verdict((uint64_t)w), expected);
    }
}

static void reload(void)
{
    struct buf bytes;
    buf_init(&bytes);
    watches_write(watches, &bytes);
    const char *at = buf_head(&bytes);
    assert_true(watches_read(watches, &at, at + buf_size(&bytes)));
    assert_ptr_equal(at, buf_head(&bytes) + buf_size(&bytes));
    buf_deinit(&bytes);
}

static void test_random(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 3);
    struct model model = {0}, *m = &model;
    for (int round = 0; round < 20000; round++) {
        int w = (int)random_below(&random, WATCHERS), db = (int)random_below(&random, DATABASES);
        int key = (int)random_below(&random, KEYS);
        struct watcher_id id = id_of((uint64_t)w);
        uint64_t what = random_below(&random, 10);
        if (what < 4) {
            /* "seen" stays at the oldest version, as one place per key does. */
            if (!m->seen[w][db][key])
                m->seen[w][db][key] = m->versions[db][key] + 1;
            m->is_known[w] = true;
            assert_true(watch_add(watches, &id, db, slice_from(names[key])));
        } else if (what == 4) {
            memset(m->seen[w], 0, sizeof m->seen[w]);
            m->is_known[w] = false;
            watch_drop(watches, &id);
        } else if (what == 5 && random_below(&random, 10) == 0) {
            reload();
        } else if (what > 5) {
            change(m, &random);
        }
        if (round % 16 == 0)
            expect_verdicts(m);
    }
}

/* --- bytes -------------------------------------------------------------------------- */

static void test_hostile_bytes(void **state)
{
    (void)state;
    set(0, "dead", 1100);
    keyspace_advance(ks, 1200);
    watch(1, 0, "a");
    watch(1, 3, "longer key");
    watch(2, 0, "dead");
    watch(3, 0, "b");
    set(0, "b", EXPIRE_NONE);
    struct buf good;
    buf_init(&good);
    watches_write(watches, &good);
    size_t size = buf_size(&good);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = mem_alloc(cut ? cut : 1);
        memcpy(part, buf_head(&good), cut);
        const char *at = part;
        assert_false(watches_read(watches, &at, part + cut));
        assert_int_equal(watch_watcher_count(watches), 0);
        watches_check(watches);
        mem_free(part);
    }
    struct random random;
    random_init(&random, 9);
    for (int i = 0; i < 20000; i++) {
        char *copy = mem_alloc(size);
        memcpy(copy, buf_head(&good), size);
        copy[random_below(&random, size)] ^= (char)(1 << random_below(&random, 8));
        const char *at = copy;
        (void)!watches_read(watches, &at, copy + size);
        watches_check(watches);
        mem_free(copy);
    }
    const char *at = buf_head(&good);
    assert_true(watches_read(watches, &at, at + size));
    assert_int_equal(verdict(1), WATCH_CLEAN);
    assert_int_equal(verdict(3), WATCH_TOUCHED);
    keyspace_find_for_write(ks, 0, SLICE_LITERAL("dead"));
    assert_int_equal(verdict(2), WATCH_CLEAN);
    buf_deinit(&good);
}

static void test_marks(void **state)
{
    (void)state;
    struct marks *m = keyspace_marks(ks);
    assert_true(marks_take(m, &(struct watcher_id){1, 5, 1}));
    assert_false(marks_take(m, &(struct watcher_id){1, 5, 1}));
    assert_true(marks_take(m, &(struct watcher_id){1, 5, 3}));
    assert_false(marks_take(m, &(struct watcher_id){1, 5, 2}));
    assert_true(marks_take(m, &(struct watcher_id){1, 6, 1}));
    assert_true(marks_take(m, &(struct watcher_id){2, 5, 1}));
    struct buf bytes;
    buf_init(&bytes);
    marks_write(m, &bytes);
    for (size_t cut = 0; cut < buf_size(&bytes); cut++) {
        struct marks other;
        const char *at = buf_head(&bytes);
        assert_false(marks_read(&other, &at, at + cut));
    }
    struct marks other;
    const char *at = buf_head(&bytes);
    assert_true(marks_read(&other, &at, at + buf_size(&bytes)));
    assert_false(marks_take(&other, &(struct watcher_id){1, 6, 1}));
    assert_false(marks_take(&other, &(struct watcher_id){2, 5, 1}));
    /* Many members: the one marked longest ago makes room. */
    for (uint16_t member = 3; member < 3 + MARKS_MAX - 1; member++)
        assert_true(marks_take(&other, &(struct watcher_id){member, 1, 1}));
    assert_int_equal(other.count, MARKS_MAX);
    assert_false(marks_take(&other, &(struct watcher_id){2 + MARKS_MAX - 1, 1, 1}));
    buf_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_change_counts, start, stop),
        cmocka_unit_test_setup_teardown(test_expiry, start, stop),
        cmocka_unit_test_setup_teardown(test_whole_databases, start, stop),
        cmocka_unit_test_setup_teardown(test_dropping, start, stop),
        cmocka_unit_test_setup_teardown(test_limits, start, stop),
        cmocka_unit_test_setup_teardown(test_random, start, stop),
        cmocka_unit_test_setup_teardown(test_hostile_bytes, start, stop),
        cmocka_unit_test_setup_teardown(test_marks, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
