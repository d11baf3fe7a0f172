/* Goal: a sequence holds what it was given at every size around those where its
 * shape changes, keeps no more blocks than it needs, and is freed in steps.
 *
 * Method: it grows past 9 * 256^2 places and shrinks again, item n being n; around
 * 8, 256 and 256^2 every step is checked, up and down, otherwise some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "store/sequence.h"

enum { BLOCK = 256, TOP = 9 * BLOCK * BLOCK + 3 * BLOCK + 5 };

static void *item(size_t n)
{
    return (void *)(uintptr_t)(n * 16 + 1);
}

static bool is_near_change(size_t size)
{
    size_t rest = size % BLOCK;
    return size < 2 * BLOCK + 3 || (size + 3 > BLOCK * BLOCK && size < BLOCK * BLOCK + 5) || (size < 5 * BLOCK && (rest < 2 || rest > BLOCK - 2));
}

static void compare(const struct sequence *s, size_t size)
{
    assert_int_equal(sequence_size(s), size);
    sequence_check(s);
    for (size_t place = 0; place < size; place += size < 1000 ? 1 : size / 97)
        assert_ptr_equal(sequence_at(s, place), item(place));
    if (size)
        assert_ptr_equal(sequence_at(s, size - 1), item(size - 1));
}

static void test_grows_and_shrinks(void **state)
{
    (void)state;
    struct sequence s;
    sequence_init(&s);
    compare(&s, 0);
    for (size_t size = 0; size < TOP; size++) {
        sequence_append(&s, item(size));
        if (size % 49999 == 0 || is_near_change(size + 1))
            compare(&s, size + 1);
    }
    for (size_t size = TOP; size-- > 0;) {
        assert_ptr_equal(sequence_pop(&s), item(size));
        if (size % 49999 == 0 || is_near_change(size))
            compare(&s, size);
    }
    assert_null(s.root);
}

/* Back and forth over each border, where a block comes and goes every time. */
static void test_swings_over_borders(void **state)
{
    (void)state;
    struct sequence s;
    sequence_init(&s);
    static const size_t borders[] = {8, 16, BLOCK, 2 * BLOCK, BLOCK * BLOCK};
    for (size_t b = 0; b < sizeof borders / sizeof *borders; b++) {
        while (sequence_size(&s) < borders[b] - 2)
            sequence_append(&s, item(sequence_size(&s)));
        for (int swing = 0; swing < 3; swing++) {
            for (int i = 0; i < 4; i++) {
                sequence_append(&s, item(sequence_size(&s)));
                compare(&s, sequence_size(&s));
            }
            for (int i = 0; i < 4; i++) {
                sequence_pop(&s);
                compare(&s, sequence_size(&s));
            }
        }
    }
    size_t budget = SIZE_MAX;
    assert_true(sequence_free_some(&s, &budget));
}

/* The bytes follow the size down as well. */
static void test_gives_room_back(void **state)
{
    (void)state;
    struct sequence s;
    sequence_init(&s);
    for (size_t i = 0; i < 10 * BLOCK; i++)
        sequence_append(&s, item(i));
    assert_true(sequence_bytes(&s) <= (11 * BLOCK) * sizeof(void *));
    while (sequence_size(&s) > 20)
        sequence_pop(&s);
    assert_true(sequence_bytes(&s) <= 80 * sizeof(void *));
    size_t budget = SIZE_MAX;
    assert_true(sequence_free_some(&s, &budget));
    assert_int_equal(sequence_bytes(&s), 0);
}

static void test_puts(void **state)
{
    (void)state;
    struct sequence s;
    sequence_init(&s);
    for (size_t i = 0; i < 3 * BLOCK; i++)
        sequence_append(&s, item(0));
    for (size_t i = 3 * BLOCK; i-- > 0;)
        sequence_put(&s, i, item(i));
    compare(&s, 3 * BLOCK);
    size_t budget = SIZE_MAX;
    assert_true(sequence_free_some(&s, &budget));
    assert_true(budget > SIZE_MAX - 10);
}

/* A block a step, whatever is left is whole. */
static void test_frees_in_steps(void **state)
{
    (void)state;
    struct sequence s;
    sequence_init(&s);
    for (size_t i = 0; i < TOP; i++)
        sequence_append(&s, item(i));
    assert_int_equal(sequence_block_count(&s), 9 * BLOCK + 4 + 10 + 1);
    for (size_t steps = 0; sequence_size(&s) > 0; steps++) {
        size_t size = sequence_size(&s), budget = 1;
        bool is_gone = sequence_free_some(&s, &budget);
        assert_int_equal(budget, 0);
        assert_true(sequence_size(&s) < size);
        assert_int_equal(is_gone, sequence_size(&s) == 0);
        if (steps % 100 == 0)
            compare(&s, sequence_size(&s));
    }
    size_t budget = 0;
    assert_true(sequence_free_some(&s, &budget));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_shrinks),
        cmocka_unit_test(test_swings_over_borders),
        cmocka_unit_test(test_gives_room_back),
        cmocka_unit_test(test_puts),
        cmocka_unit_test(test_frees_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
