/* Goal: replicas digest the same part at the same place of the order, over time all
 * parts, and the one whose data differ is told apart from the others.
 *
 * Method: cases by hand with 3 and 5 members, digests arriving in every order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "replica/divergence.h"

static struct frame_digest digest_of(uint64_t boundary, uint64_t data)
{
    return (struct frame_digest){.boundary = boundary, .part_count = 1, .digest = {data, ~data}};
}

static enum divergence_verdict note(struct divergence *d, uint8_t member, uint64_t data)
{
    struct frame_digest digest = digest_of(DIVERGENCE_LAPS, data);
    return divergence_note(d, member, &digest);
}

static void test_a_boundary_is_due_once(void **state)
{
    (void)state;
    struct divergence d;
    struct frame_digest due;
    divergence_init(&d, 3, 0);
    assert_false(divergence_is_due(&d, DIVERGENCE_LAPS - 1, 10, &due));
    assert_true(divergence_is_due(&d, DIVERGENCE_LAPS, 10, &due));
    assert_int_equal(due.boundary, DIVERGENCE_LAPS);
    assert_int_equal(due.part_count, 1);
    assert_int_equal(due.part, 0);
    assert_false(divergence_is_due(&d, 2 * DIVERGENCE_LAPS - 1, 10, &due));
    assert_true(divergence_is_due(&d, 7 * DIVERGENCE_LAPS + 5, 10, &due)); /* laps without batches between */
    assert_int_equal(due.boundary, 7 * DIVERGENCE_LAPS);
}

/* A replica that restarts in the middle of two boundaries has data from behind the
 * earlier one: to digest that would tell it from the others for no reason. */
static void test_a_boundary_passed_before_is_not_due(void **state)
{
    (void)state;
    struct divergence d;
    struct frame_digest due;
    divergence_init(&d, 3, 0);
    divergence_pass(&d, 5 * DIVERGENCE_LAPS + 17);
    assert_false(divergence_is_due(&d, 5 * DIVERGENCE_LAPS + 18, 10, &due));
    assert_true(divergence_is_due(&d, 6 * DIVERGENCE_LAPS, 10, &due));
    assert_int_equal(due.boundary, 6 * DIVERGENCE_LAPS);
}

static void test_parts_take_turns(void **state)
{
    (void)state;
    struct divergence d;
    struct frame_digest due;
    divergence_init(&d, 3, 0);
    uint64_t parts = 0;
    for (uint64_t i = 1; i <= 8; i++) {
        assert_true(divergence_is_due(&d, i * DIVERGENCE_LAPS, 8 * DIVERGENCE_KEYS, &due));
        assert_int_equal(due.part_count, 8);
        parts |= 1u << due.part;
    }
    assert_int_equal(parts, 255);
    assert_true(divergence_is_due(&d, 9 * DIVERGENCE_LAPS, SIZE_MAX, &due));
    assert_int_equal(due.part_count, DIVERGENCE_PARTS_MAX);
}

static void test_equal_data_say_nothing(void **state)
{
    (void)state;
    struct divergence d;
    divergence_init(&d, 3, 1);
    for (uint8_t member = 0; member < 3; member++)
        assert_int_equal(note(&d, member, 7), DIVERGENCE_NONE);
    assert_int_equal(d.differing, 0);
    assert_true(d.compared > 0);
}

/* Digests of all members in every order: what the last one makes clear. */
static void judge_in_every_order(uint8_t members, uint8_t self, const uint64_t *data, enum divergence_verdict expected)
{
    uint8_t order[RABIA_MEMBERS_MAX];
    uint64_t orders = 1;
    for (uint8_t i = 1; i <= members; i++)
        orders *= i;
    for (uint64_t number = 0; number < orders; number++) {
        uint64_t rest = number;
        for (uint8_t i = 0; i < members; i++)
            order[i] = i;
        for (uint8_t i = members; i > 1; i--) {
            uint8_t j = (uint8_t)(rest % i), kept = order[i - 1];
            rest /= i;
            order[i - 1] = order[j];
            order[j] = kept;
        }
        struct divergence d;
        divergence_init(&d, members, self);
        enum divergence_verdict verdict = DIVERGENCE_NONE;
        for (uint8_t i = 0; i < members; i++) {
            verdict = note(&d, order[i], data[order[i]]);
            if (expected != DIVERGENCE_SELF)
                assert_int_not_equal(verdict, DIVERGENCE_SELF);
            if (expected == DIVERGENCE_SELF)
                assert_int_not_equal(verdict, DIVERGENCE_OTHER);
        }
        assert_int_equal(verdict, expected);
    }
}

static void test_of_three_the_odd_one_is_wrong(void **state)
{
    (void)state;
    static const uint64_t data[] = {1, 1, 2};
    judge_in_every_order(3, 0, data, DIVERGENCE_OTHER);
    judge_in_every_order(3, 1, data, DIVERGENCE_OTHER);
    judge_in_every_order(3, 2, data, DIVERGENCE_SELF);
    static const uint64_t all_differ[] = {1, 2, 3};
    for (uint8_t self = 0; self < 3; self++)
        judge_in_every_order(3, self, all_differ, DIVERGENCE_UNDECIDED);
}

static void test_of_five_three_are_right(void **state)
{
    (void)state;
    static const uint64_t two_wrong[] = {1, 9, 1, 9, 1};
    static const enum divergence_verdict verdicts[] = {DIVERGENCE_OTHER, DIVERGENCE_SELF, DIVERGENCE_OTHER,
                                                       DIVERGENCE_SELF, DIVERGENCE_OTHER};
    for (uint8_t self = 0; self < 5; self++)
        judge_in_every_order(5, self, two_wrong, verdicts[self]);
    static const uint64_t no_quorum[] = {1, 1, 2, 2, 3};
    for (uint8_t self = 0; self < 5; self++)
        judge_in_every_order(5, self, no_quorum, DIVERGENCE_UNDECIDED);
}

static void test_another_part_differs(void **state)
{
    (void)state;
    struct divergence d;
    divergence_init(&d, 3, 0);
    struct frame_digest mine = digest_of(DIVERGENCE_LAPS, 5), theirs = mine;
    theirs.part_count = 2; /* it counts other keys than we do */
    assert_int_equal(divergence_note(&d, 0, &mine), DIVERGENCE_NONE);
    assert_int_equal(divergence_note(&d, 1, &theirs), DIVERGENCE_UNDECIDED);
    assert_int_equal(divergence_note(&d, 2, &theirs), DIVERGENCE_SELF);
}

static void test_old_boundaries_are_let_go(void **state)
{
    (void)state;
    struct divergence d;
    divergence_init(&d, 3, 0);
    struct frame_digest late = digest_of(DIVERGENCE_LAPS, 1);
    struct frame_digest same_place = digest_of((1 + DIVERGENCE_KEPT) * DIVERGENCE_LAPS, 2);
    assert_int_equal(divergence_note(&d, 0, &late), DIVERGENCE_NONE);
    assert_int_equal(divergence_note(&d, 0, &same_place), DIVERGENCE_NONE);
    late.digest.low = 99;
    assert_int_equal(divergence_note(&d, 1, &late), DIVERGENCE_NONE);
    assert_int_equal(divergence_note(&d, 1, &same_place), DIVERGENCE_NONE);
    assert_int_equal(d.differing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_boundary_is_due_once),
        cmocka_unit_test(test_a_boundary_passed_before_is_not_due),
        cmocka_unit_test(test_parts_take_turns),
        cmocka_unit_test(test_equal_data_say_nothing),
        cmocka_unit_test(test_of_three_the_odd_one_is_wrong),
        cmocka_unit_test(test_of_five_three_are_right),
        cmocka_unit_test(test_another_part_differs),
        cmocka_unit_test(test_old_boundaries_are_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
