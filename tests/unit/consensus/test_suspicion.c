/* Goal: patience adapts to what a lane usually takes, within floor and ceiling,
 * and doubles with each wrongful forfeit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/suspicion.h"

enum { FLOOR = 5000, CEILING = 200000 };

static uint64_t limit(const struct suspicion *s)
{
    return suspicion_limit_us(s, FLOOR, CEILING, false);
}

static uint64_t settle(struct suspicion *s, unsigned times, uint64_t took_us, uint64_t now_us)
{
    for (unsigned i = 0; i < times; i++) {
        suspicion_wait(s, now_us, now_us);
        now_us += took_us;
        suspicion_settled(s, s->waiting_lap, now_us, FLOOR);
        suspicion_rest(s);
        now_us++;
    }
    return now_us;
}

static void test_adapts(void **state)
{
    (void)state;
    struct suspicion s = {0};
    assert_int_equal(limit(&s), CEILING); /* nothing known */
    uint64_t now_us = settle(&s, 100, 100, 1);
    assert_int_equal(limit(&s), FLOOR);
    now_us = settle(&s, 100, 20000, now_us);
    assert_in_range(limit(&s), 20001, 100000);
    settle(&s, 100, 1000000, now_us);
    assert_int_equal(limit(&s), CEILING);
}

static void test_doubles_and_forgets(void **state)
{
    (void)state;
    struct suspicion s = {0};
    suspicion_double(&s, 10);
    suspicion_double(&s, 20);
    assert_int_equal(limit(&s), 4 * CEILING);
    suspicion_forget(&s, 30);
    assert_int_equal(limit(&s), 4 * CEILING);
    suspicion_forget(&s, 20 + SUSPICION_FORGET_US);
    assert_int_equal(limit(&s), 2 * CEILING);
    for (int i = 0; i < 100; i++)
        suspicion_double(&s, 20 + SUSPICION_FORGET_US);
    assert_int_equal(limit(&s), SUSPICION_CEILINGS * CEILING);
    /* A quick lane's patience grows as often as it may. */
    struct suspicion quick = {0};
    uint64_t now_us = settle(&quick, 100, 100, 1);
    for (int i = 0; i < 100; i++)
        suspicion_double(&quick, now_us);
    assert_int_equal(limit(&quick), (uint64_t)FLOOR << SUSPICION_DOUBLINGS_MAX);
}

static void test_phi_rises(void **state)
{
    (void)state;
    struct suspicion s = {0};
    uint64_t now_us = settle(&s, 100, 10000, 1);
    assert_true(suspicion_phi(&s, now_us) < 0.001);
    suspicion_wait(&s, UINT64_MAX, now_us);
    double before = 0;
    for (uint64_t waited_us = 5000; waited_us < 50000; waited_us += 5000) {
        double phi = suspicion_phi(&s, now_us + waited_us);
        assert_true(phi > before);
        before = phi;
    }
    assert_true(suspicion_phi(&s, now_us + limit(&s)) > 7);
}

static void test_link_down_and_pause(void **state)
{
    (void)state;
    struct suspicion s = {0};
    assert_int_equal(suspicion_limit_us(&s, FLOOR, CEILING, true), CEILING / 4);
    suspicion_wait(&s, 7, 1000);
    assert_int_equal(suspicion_waited_us(&s, 5000), 4000);
    suspicion_restart(&s, 5000);
    assert_int_equal(suspicion_waited_us(&s, 5000), 0);
    suspicion_wait(&s, 7, 6000); /* the same slot: still since the restart */
    assert_int_equal(suspicion_waited_us(&s, 6000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adapts),
        cmocka_unit_test(test_doubles_and_forgets),
        cmocka_unit_test(test_phi_rises),
        cmocka_unit_test(test_link_down_and_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
