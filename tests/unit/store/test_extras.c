/* Goal: settings, marks and watched keys come back from a snapshot's bytes as they were, and
 * hostile bytes are refused.
 *
 * Method: a round trip into another keyspace; every prefix, and copies with flipped bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/extras.h"
#include "store/marks.h"
#include "store/settings.h"
#include "store/watch.h"

static struct keyspace *create(void)
{
    return keyspace_create(&(struct keyspace_options){.database_count = 4});
}

static void fill(struct keyspace *ks)
{
    struct watcher_id id = {3, 99, 7};
    keyspace_set_setting(ks, SETTING_LIST_MAX_LISTPACK_SIZE, -5);
    keyspace_set_setting(ks, SETTING_HASH_MAX_LISTPACK_ENTRIES, INT64_MAX);
    assert_true(marks_take(keyspace_marks(ks), &id));
    assert_true(watch_add(keyspace_watches(ks), &id, 2, SLICE_LITERAL("key")));
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct keyspace *ks = create(), *other = create();
    struct buf bytes;
    buf_init(&bytes);
    fill(ks);
    keyspace_set_setting(other, SETTING_KEY_METADATA, 1);
    extras_write(ks, &bytes);
    assert_true(extras_read(other, buf_slice(&bytes)));
    assert_memory_equal(keyspace_settings(ks)->values, keyspace_settings(other)->values,
                        sizeof keyspace_settings(ks)->values);
    assert_int_equal(keyspace_settings(ks)->agreed, keyspace_settings(other)->agreed);
    assert_true(setting_is_agreed(keyspace_settings(other), SETTING_LIST_MAX_LISTPACK_SIZE));
    assert_false(setting_is_agreed(keyspace_settings(other), SETTING_KEY_METADATA));
    struct watcher_id id = {3, 99, 7};
    assert_false(marks_take(keyspace_marks(other), &id));
    assert_int_equal(watch_verdict(keyspace_watches(other), &id), WATCH_CLEAN);
    keyspace_set(other, 2, SLICE_LITERAL("key"), SLICE_LITERAL("v"), EXPIRE_NONE);
    assert_int_equal(watch_verdict(keyspace_watches(other), &id), WATCH_TOUCHED);
    buf_deinit(&bytes);
    keyspace_free(ks);
    keyspace_free(other);
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    struct keyspace *ks = create(), *other = create();
    struct buf good;
    buf_init(&good);
    fill(ks);
    extras_write(ks, &good);
    size_t size = buf_size(&good);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = mem_alloc(cut ? cut : 1);
        memcpy(part, buf_head(&good), cut);
        assert_false(extras_read(other, slice_make(part, cut)));
        mem_free(part);
    }
    struct random random;
    random_init(&random, 1);
    for (int i = 0; i < 20000; i++) {
        char *copy = mem_alloc(size);
        memcpy(copy, buf_head(&good), size);
        copy[random_below(&random, size)] ^= (char)(1 << random_below(&random, 8));
        (void)extras_read(other, slice_make(copy, size));
        for (enum setting s = 0; s < SETTING_COUNT; s++) {
            assert_true(keyspace_settings(other)->values[s] >= setting_bounds[s].min);
            assert_true(keyspace_settings(other)->values[s] <= setting_bounds[s].max);
        }
        watches_check(keyspace_watches(other));
        mem_free(copy);
    }
    buf_append(&good, "", 1);
    assert_false(extras_read(other, buf_slice(&good)));
    buf_deinit(&good);
    keyspace_free(ks);
    keyspace_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
