/* Goal: the history keeps whole laps, in order, within its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/history.h"

enum { SIZE = 36, COST = SIZE + HISTORY_ENTRY_COST };

static void add(struct history *h, uint64_t lap, uint8_t lane)
{
    struct batch *batch = batch_create(SIZE);
    history_add(h, lap, lane, batch);
    batch_release(batch);
    history_check(h);
}

static void test_find(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 10, 1 << 20);
    for (uint64_t lap = 10; lap < 300; lap += 3) {
        add(&h, lap, 1);
        add(&h, lap, 4);
    }
    assert_non_null(history_batch(&h, 13, 4));
    assert_null(history_batch(&h, 13, 2));
    assert_null(history_batch(&h, 14, 1));
    assert_int_equal(history_at(&h, history_find(&h, 14, 0))->lap, 16);
    history_deinit(&h);
}

static void test_bytes_bound_whole_laps(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 0, 3 * COST);
    add(&h, 0, 0);
    add(&h, 0, 1);
    add(&h, 5, 0);
    assert_int_equal(h.first_lap, 0);
    add(&h, 6, 0);
    assert_int_equal(h.first_lap, 1);
    assert_int_equal(h.count, 2);
    assert_in_range(h.bytes, 0, h.bytes_max);
    history_trim(&h, 6);
    assert_int_equal(h.count, 1);
    history_deinit(&h);
}

static void test_newest_lap_stays(void **state)
{
    (void)state;
    struct history h;
    history_init(&h, 0, 1);
    add(&h, 3, 0);
    add(&h, 3, 1);
    assert_int_equal(h.count, 2); /* even beyond the limit */
    add(&h, 4, 0);
    assert_int_equal(h.count, 1);
    history_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_bytes_bound_whole_laps),
        cmocka_unit_test(test_newest_lap_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
