/* Goal: counters count what they name, and rates are per second.
 * Method: a few events and samples at chosen times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "admin/info.h"
#include "admin/stats.h"

static struct stats s;

static void test_commands(void **state)
{
    (void)state;
    stats_init(&s);
    static const struct command rows[300];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 300; i++)
            stats_count_run(&s, &rows[i], i % 2);
    stats_count_rejection(&s, &rows[7]);
    assert_int_equal(s.command_count, 300);
    assert_int_equal(s.commands_processed, 600);
    const struct command_stats *seventh = stats_find(&s, &rows[7]);
    assert_int_equal(seventh->calls, 2);
    assert_int_equal(seventh->failed, 2);
    assert_int_equal(seventh->rejected, 1);
    stats_reset(&s);
    assert_null(stats_find(&s, &rows[7]));
    assert_int_equal(s.commands_processed, 0);
}

/* Goal: measured runs stand for those that are not, long ones for themselves. */
static void test_measuring(void **state)
{
    (void)state;
    stats_init(&s);
    static const struct command row;
    struct command_stats *c = stats_of(&s, &row);
    int measured = 0;
    for (int i = 0; i < 10 * STATS_SAMPLED; i++) {
        if (stats_is_measured(c)) {
            measured++;
            stats_count_usec(c, 3);
        }
        stats_count_run(&s, &row, false);
    }
    assert_int_equal(measured, 10);
    assert_int_equal(stats_usec(c), 10 * STATS_SAMPLED * 3);
    stats_count_usec(c, STATS_LONG_USEC);
    stats_count_run(&s, &row, false);
    assert_int_equal(stats_usec(c), 10 * STATS_SAMPLED * 3 + STATS_LONG_USEC);
    assert_true(stats_is_measured(c));
}

static void test_errors(void **state)
{
    (void)state;
    stats_init(&s);
    stats_count_error(&s, SLICE_LITERAL("ERR one"));
    stats_count_error(&s, SLICE_LITERAL("ERR two"));
    stats_count_error(&s, SLICE_LITERAL("WRONGTYPE"));
    stats_count_error(&s, SLICE_LITERAL("AWORDTHATISFARLONGERTHANWHATISKEPTOFIT x"));
    assert_int_equal(s.error_count, 3);
    assert_string_equal(s.errors[0].prefix, "ERR");
    assert_int_equal(s.errors[0].count, 2);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "E%d x", i);
        stats_count_error(&s, slice_make(text, (size_t)length));
    }
    assert_int_equal(s.error_count, STATS_ERRORS_MAX);
    assert_int_equal(s.error_replies, 1004);
}

static void test_rates(void **state)
{
    (void)state;
    stats_init(&s);
    for (uint64_t i = 0; i <= STATS_SAMPLES; i++) {
        stats_sample(&s, 1000000 + i * 100000, 1000 * i);
        s.commands_processed += 500;
    }
    assert_int_equal(stats_rate_per_second(&s.commands_rate), 5000);
    assert_int_equal(s.memory_peak_bytes, 1000 * STATS_SAMPLES);
    s.traffic.bytes_in = 100;
    stats_sample(&s, 1000000 + STATS_SAMPLES * 100000, 0); /* no time has passed */
    stats_reset(&s);
    stats_sample(&s, 5000000, 0);
}

static void test_human_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0B"}, {1023, "1023B"}, {1024, "1.00K"}, {941008, "918.95K"}, {25276510208, "23.54G"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[INFO_HUMAN_MAX];
        info_human_bytes(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_measuring),   cmocka_unit_test(test_errors),
        cmocka_unit_test(test_rates),    cmocka_unit_test(test_human_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
