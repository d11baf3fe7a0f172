/* Goal: the seeded generator is the same everywhere, for ever, and not lopsided; log lines
 * have their form and cannot be forged by what is quoted in them.
 * Method: xoshiro256** against values computed from its published definition; counts over
 * many draws; a log file read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/random.h"

static void published_sequence(void **state)
{
    (void)state;
    struct random random = {{1, 2, 3, 4}};
    static const uint64_t expected[] = {11520u, 0u, 1509978240u, 1215971899390074240u, 1216172134540287360u};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_true(random_next(&random) == expected[i]);
    /* splitmix64 from seed 1234567, as its author's test vectors have it. */
    assert_true(random_mix(1234567) == 6457827717110365317u);
    assert_true(random_mix(1234567 + 0x9e3779b97f4a7c15u) == 3203168211198807973u);
    struct random one, same, other;
    random_init(&one, 5);
    random_init(&same, 5);
    random_init(&other, 6);
    assert_true(random_next(&one) == random_next(&same));
    assert_true(random_next(&one) != random_next(&other));
}

static void uniform(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 9);
    enum { DRAWS = 100000, BOUND = 7 };
    int counts[BOUND] = {0};
    double sum = 0;
    for (int i = 0; i < DRAWS; i++) {
        counts[random_below(&random, BOUND)]++;
        double unit = random_unit(&random);
        assert_true(unit >= 0 && unit < 1);
        sum += unit;
    }
    for (int i = 0; i < BOUND; i++)
        assert_in_range(counts[i], DRAWS / BOUND - 600, DRAWS / BOUND + 600);
    assert_true(sum > 0.49 * DRAWS && sum < 0.51 * DRAWS);
    assert_int_equal(random_below(&random, 1), 0);
    uint64_t a = 0, b = 0;
    random_from_system(&a, sizeof a);
    random_from_system(&b, sizeof b);
    assert_true(a != b);
    random_from_system(&a, 0);
}

static size_t read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    return length;
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void log_lines(void **state)
{
    (void)state;
    char path[] = "/tmp/test_log.XXXXXX", text[8192];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(log_open("/no/such/directory/log"), STATUS_IO);
    assert_int_equal(log_open(path), STATUS_OK);
    log_debug("base", "unseen");
    log_notice("base", "key \"%s\"", "evil\n2026-01-31T12:00:00.123Z 1 warning replica: forged\r\x1b[2J");
    read_file(path, text, sizeof text);
    assert_int_equal(count_lines(text), 1);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\r'));
    int year, month, day, hour, minute, second, millis, pid, behind = 0;
    int fields = sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %d notice base: key%n", &year, &month, &day, &hour,
                        &minute, &second, &millis, &pid, &behind);
    assert_int_equal(fields, 8);
    assert_true(behind > 0);
    assert_int_equal(pid, getpid());
    log_set_level(LOG_LEVEL_WARNING);
    assert_false(log_is_enabled(LOG_LEVEL_NOTICE));
    log_notice("base", "unseen");
    log_warning("base", "%05000d", 7); /* cut, but still one whole line */
    log_set_level(LOG_LEVEL_NOTICE);
    size_t length = read_file(path, text, sizeof text);
    assert_int_equal(count_lines(text), 2);
    assert_true(length < 2 * 2048);
    assert_int_equal(text[length - 1], '\n');
    assert_int_equal(log_open(""), STATUS_OK);
    unlink(path);
}

static void statuses_have_texts(void **state)
{
    (void)state;
    for (int status = STATUS_OK; status <= STATUS_NOT_FOUND; status++)
        assert_string_not_equal(status_text((enum status)status), "unknown status");
    assert_string_equal(status_text((enum status)99), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sequence), cmocka_unit_test(uniform), cmocka_unit_test(log_lines),
        cmocka_unit_test(statuses_have_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
