/* Goal: one slot's rules (R2 to R7), each at its edge.
 *
 * Method: slot_count, slot_next and slot_say are called directly, as voice.c
 * would, for five replicas with member 1 as ourselves and member 0 as owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/slot.h"

static const struct slot_place place = {.cluster_seed = 7, .lap = 3, .lane = 0, .self = 1, .quorum = 3};

static struct rabia_message message(uint8_t kind, uint32_t phase, uint8_t value)
{
    return (struct rabia_message){.kind = kind, .phase = phase, .value = value, .lap = 3, .count = 1};
}

static bool count(struct slot *slot, uint8_t member, uint8_t kind, uint32_t phase, uint8_t value)
{
    struct rabia_message m = message(kind, phase, value);
    return slot_count(slot, member, &m);
}

static void say(struct slot *slot, uint8_t kind, uint32_t phase, uint8_t value)
{
    struct rabia_message m = message(kind, phase, value);
    slot_say(slot, &m);
    slot_count(slot, place.self, &m);
}

static void expect(const struct slot *slot, enum slot_step step, uint8_t value, uint32_t phase)
{
    struct slot_action action = slot_next(slot, &place);
    assert_int_equal(action.step, step);
    if (step == SLOT_WAIT)
        return;
    assert_int_equal(action.value, value);
    assert_int_equal(action.phase, phase);
}

static void test_echo_then_decide(void **state)
{
    (void)state;
    struct slot slot = {0};
    expect(&slot, SLOT_WAIT, 0, 0);
    slot.batch = batch_create(0);
    expect(&slot, SLOT_ECHO, RABIA_BATCH, 0);
    say(&slot, RABIA_PROPOSAL, 0, RABIA_BATCH);
    assert_true(count(&slot, 0, RABIA_PROPOSAL, 0, RABIA_BATCH));
    expect(&slot, SLOT_WAIT, 0, 0);
    assert_true(count(&slot, 2, RABIA_PROPOSAL, 0, RABIA_BATCH));
    expect(&slot, SLOT_DECIDE, RABIA_BATCH, 0);
    slot_decide(&slot, RABIA_BATCH);
    expect(&slot, SLOT_WAIT, 0, 0);
    slot_reset(&slot);
}

static void test_first_word_counts(void **state)
{
    (void)state;
    struct slot slot = {0};
    assert_true(count(&slot, 2, RABIA_PROPOSAL, 0, RABIA_NULL));
    assert_false(count(&slot, 2, RABIA_PROPOSAL, 0, RABIA_NULL));
    assert_false(count(&slot, 2, RABIA_PROPOSAL, 0, RABIA_BATCH));
    assert_true(count(&slot, 2, RABIA_VOTE, 1, RABIA_UNSURE));
    assert_false(count(&slot, 2, RABIA_VOTE, 1, RABIA_NULL));
    assert_false(count(&slot, 2, RABIA_STATE, PHASES_AHEAD + 1, RABIA_NULL));
    slot_reset(&slot);
}

static void test_holding(void **state)
{
    (void)state;
    struct slot slot = {0};
    for (uint8_t member = 2; member < 5; member++)
        count(&slot, member, RABIA_PROPOSAL, 0, RABIA_BATCH);
    expect(&slot, SLOT_WAIT, 0, 0); /* a quorum says batch, but we hold nothing */
    assert_false(slot_needs_contents(&slot, 0));
    count(&slot, 0, RABIA_PROPOSAL, 0, RABIA_BATCH);
    assert_true(slot_needs_contents(&slot, 0)); /* the owner believes we have it */
    slot.batch = batch_create(0);
    slot.is_refused = true;
    expect(&slot, SLOT_WAIT, 0, 0);
    slot.is_refused = false;
    expect(&slot, SLOT_ECHO, RABIA_BATCH, 0);
    slot_reset(&slot);
}

static void test_mixed_exchange(void **state)
{
    (void)state;
    struct slot slot = {0};
    say(&slot, RABIA_PROPOSAL, 0, RABIA_NULL);
    count(&slot, 2, RABIA_PROPOSAL, 0, RABIA_NULL);
    expect(&slot, SLOT_WAIT, 0, 0);
    count(&slot, 0, RABIA_PROPOSAL, 0, RABIA_BATCH);
    expect(&slot, SLOT_WAIT, 0, 0); /* not counted without contents */
    slot.batch = batch_create(0);
    expect(&slot, SLOT_SAY_STATE, RABIA_BATCH, 1);
    slot_reset(&slot);

    slot = (struct slot){0};
    for (uint8_t member = 2; member < 5; member++)
        count(&slot, member, RABIA_PROPOSAL, 0, RABIA_NULL);
    expect(&slot, SLOT_SAY_STATE, RABIA_NULL, 1);
    slot_reset(&slot);
}

static void enter_phase_one(struct slot *slot, uint8_t value)
{
    *slot = (struct slot){.batch = batch_create(0)};
    say(slot, RABIA_PROPOSAL, 0, RABIA_NULL);
    say(slot, RABIA_STATE, 1, value);
}

static void test_vote(void **state)
{
    (void)state;
    struct slot slot;
    enter_phase_one(&slot, RABIA_BATCH);
    count(&slot, 2, RABIA_STATE, 1, RABIA_BATCH);
    expect(&slot, SLOT_WAIT, 0, 0);
    count(&slot, 3, RABIA_STATE, 1, RABIA_NULL);
    expect(&slot, SLOT_SAY_VOTE, RABIA_UNSURE, 1);
    count(&slot, 4, RABIA_STATE, 1, RABIA_BATCH);
    expect(&slot, SLOT_SAY_VOTE, RABIA_BATCH, 1); /* equal STATEs lead to a vote, not to a decision */
    slot_reset(&slot);
}

static void test_after_votes(void **state)
{
    (void)state;
    struct slot slot;
    enter_phase_one(&slot, RABIA_NULL);
    say(&slot, RABIA_VOTE, 1, RABIA_UNSURE);
    count(&slot, 2, RABIA_VOTE, 1, RABIA_UNSURE);
    expect(&slot, SLOT_WAIT, 0, 0);
    count(&slot, 3, RABIA_VOTE, 1, RABIA_UNSURE);
    expect(&slot, SLOT_SAY_STATE, rabia_coin(7, 3, 0, 1), 2);
    count(&slot, 4, RABIA_VOTE, 1, RABIA_BATCH);
    expect(&slot, SLOT_SAY_STATE, RABIA_BATCH, 2); /* one vote for 1 sets the state */
    slot_reset(&slot);

    enter_phase_one(&slot, RABIA_NULL);
    say(&slot, RABIA_VOTE, 1, RABIA_NULL);
    count(&slot, 2, RABIA_VOTE, 1, RABIA_NULL);
    count(&slot, 3, RABIA_VOTE, 1, RABIA_NULL);
    expect(&slot, SLOT_DECIDE, RABIA_NULL, 1);
    slot_reset(&slot);
}

static void test_state_one_waits_for_contents(void **state)
{
    (void)state;
    struct slot slot;
    enter_phase_one(&slot, RABIA_NULL);
    batch_release(slot.batch);
    slot.batch = NULL;
    say(&slot, RABIA_VOTE, 1, RABIA_UNSURE);
    for (uint8_t member = 2; member < 5; member++)
        count(&slot, member, RABIA_VOTE, 1, RABIA_UNSURE);
    struct slot_place heads = place;
    while (!rabia_coin(heads.cluster_seed, 3, 0, 1))
        heads.cluster_seed++;
    assert_int_equal(slot_next(&slot, &heads).step, SLOT_WAIT);
    slot.batch = batch_create(0);
    assert_int_equal(slot_next(&slot, &heads).step, SLOT_SAY_STATE);
    slot_reset(&slot);
}

static void test_known_decision(void **state)
{
    (void)state;
    struct slot slot = {.is_known_batch = true, .holders = 4};
    expect(&slot, SLOT_WAIT, 0, 0);
    assert_true(slot_needs_contents(&slot, 0));
    slot.batch = batch_create(0);
    expect(&slot, SLOT_DECIDE, RABIA_BATCH, 0);
    slot_reset(&slot);
}

static void test_coin(void **state)
{
    (void)state;
    unsigned heads = 0;
    for (uint64_t lap = 0; lap < 1000; lap++)
        for (uint32_t phase = 1; phase <= 10; phase++) {
            assert_int_equal(rabia_coin(1, lap, 2, phase), rabia_coin(1, lap, 2, phase));
            heads += rabia_coin(1, lap, 2, phase);
        }
    assert_in_range(heads, 4700, 5300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo_then_decide), cmocka_unit_test(test_first_word_counts),
        cmocka_unit_test(test_holding),          cmocka_unit_test(test_mixed_exchange),
        cmocka_unit_test(test_vote),             cmocka_unit_test(test_after_votes),
        cmocka_unit_test(test_state_one_waits_for_contents),
        cmocka_unit_test(test_known_decision),   cmocka_unit_test(test_coin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
