/* Goal: numbers and patterns are read exactly as Redis reads them.
 * Method: tables whose outcomes were observed on redis-server 7.0.15 (INCRBY,
 * INCRBYFLOAT, KEYS), and one pattern that would take a backtracking matcher for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "base/random.h"
#include "base/slice.h"

static void comparing(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("abc")));
    assert_false(slice_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("abC")));
    assert_false(slice_equal(SLICE_LITERAL("abc"), SLICE_LITERAL("ab")));
    assert_true(slice_equal((struct slice){NULL, 0}, SLICE_LITERAL("")));
    assert_true(slice_equal_nocase(SLICE_LITERAL("aBc[`{"), SLICE_LITERAL("AbC[`{")));
    assert_false(slice_equal_nocase(SLICE_LITERAL("["), SLICE_LITERAL("{"))); /* 32 apart, no letters */
    assert_true(slice_is(SLICE_LITERAL("ex"), "EX"));
    assert_false(slice_is(SLICE_LITERAL("ex\0"), "EX"));
    assert_true(slice_compare(SLICE_LITERAL("a"), SLICE_LITERAL("b")) < 0);
    assert_true(slice_compare(SLICE_LITERAL("a"), SLICE_LITERAL("aa")) < 0);
    assert_true(slice_compare(SLICE_LITERAL("\xff"), SLICE_LITERAL("a")) > 0);
    assert_int_equal(slice_compare(SLICE_LITERAL(""), SLICE_LITERAL("")), 0);
}

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        int64_t value;
    } table[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"18446744073709551615", false, 0},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"100000000000000000000", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"-0", false, 0},
        {"00", false, 0},
        {"01", false, 0},
        {"-01", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"1a", false, 0},
        {"0x1", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t value = 4711;
        if (slice_to_int64(slice_from(table[i].text), &value) != table[i].is_number)
            fail_msg("%s", table[i].text);
        assert_int_equal(value, table[i].is_number ? table[i].value : 4711);
    }
    int64_t value = 4711;
    assert_false(slice_to_int64(SLICE_LITERAL("1\0"), &value));
    uint64_t unsigned_value = 4711;
    assert_true(slice_to_uint64(SLICE_LITERAL("18446744073709551615"), &unsigned_value));
    assert_true(unsigned_value == UINT64_MAX);
    assert_false(slice_to_uint64(SLICE_LITERAL("18446744073709551616"), &unsigned_value));
    assert_false(slice_to_uint64(SLICE_LITERAL("-1"), &unsigned_value));
    assert_true(unsigned_value == UINT64_MAX);
}

/* Short decimals take a way of their own: the same bits as strtod's. */
static void decimals_are_those_of_strtod(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 2);
    for (int i = 0; i < 50000; i++) {
        char text[32];
        size_t length = 0, digits = 1 + random_below(&random, 17), point = random_below(&random, 20);
        if (random_below(&random, 2))
            text[length++] = '-';
        for (size_t d = 0; d < digits; d++) {
            text[length++] = (char)('0' + random_below(&random, i % 3 ? 10 : 2));
            if (d == point)
                text[length++] = '.';
        }
        text[length] = '\0';
        double value, expected = strtod(text, NULL);
        assert_true(slice_to_double(slice_make(text, length), &value));
        if (memcmp(&value, &expected, sizeof value) != 0)
            fail_msg("%s", text);
    }
    double value = 7;
    for (const char *const *bad = (const char *const[]){".", "-", "-.", "1.2.3", "1-2", "--1", NULL}; *bad; bad++)
        assert_false(slice_to_double(slice_from(*bad), &value));
    assert_true(value == 7);
}

/* What is printed reads back as the same number. */
static void integers_round_trip(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 1);
    for (int i = 0; i < 20000; i++) {
        int64_t value = (int64_t)(random_next(&random) >> random_below(&random, 64)), back = 0;
        if (random_below(&random, 2))
            value = (int64_t)(0 - (uint64_t)value);
        char text[INT64_TEXT_MAX];
        size_t length = int64_to_text(value, text);
        assert_true(length <= INT64_TEXT_MAX);
        assert_true(slice_to_int64(slice_make(text, length), &back));
        assert_int_equal(value, back);
    }
    char text[INT64_TEXT_MAX];
    assert_int_equal(int64_to_text(INT64_MIN, text), 20);
    assert_memory_equal(text, "-9223372036854775808", 20);
}

static void floats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        double value;
    } table[] = {
        {"1.5", true, 1.5},    {"-1.5e3", true, -1500}, {"+2", true, 2},      {".5", true, 0.5},
        {"1.", true, 1},       {"0x10", true, 16},      {"inf", true, HUGE_VAL}, {"-inf", true, -HUGE_VAL},
        {"Infinity", true, HUGE_VAL}, {"nan", false, 0}, {"-nan", false, 0},  {"", false, 0},
        {" 1", false, 0},      {"\t1", false, 0},       {"1 ", false, 0},     {"1e", false, 0},
        {"1e400", false, 0},   {"-1e400", false, 0},    {"1e-400", false, 0}, {"abc", false, 0},
        {"1,5", false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double value = 4711;
        if (slice_to_double(slice_from(table[i].text), &value) != table[i].is_number)
            fail_msg("%s", table[i].text);
        double expected = table[i].is_number ? table[i].value : 4711;
        assert_true(value >= expected && value <= expected);
    }
    long double value = 4711;
    assert_true(slice_to_long_double(SLICE_LITERAL("1e400"), &value));
    assert_true(value > 1e300L);
    assert_false(slice_to_long_double(SLICE_LITERAL("1e5000"), &value));
    assert_false(slice_to_long_double(SLICE_LITERAL("1e-5000"), &value));
    assert_false(slice_to_long_double(SLICE_LITERAL("1\0"), &value));
    assert_true(slice_to_long_double(SLICE_LITERAL("10"), &value));
    /* Not terminated: only the slice is read. */
    assert_true(slice_to_long_double(slice_make("123", 2), &value));
    assert_true(value >= 12 && value <= 12);
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches, matches_nocase;
    } table[] = {
        {"*", "", true, true},           {"", "", true, true},           {"", "a", false, false},
        {"a", "", false, false},         {"hello", "hello", true, true}, {"HELLO", "hello", false, true},
        {"h?llo", "hallo", true, true},  {"h?llo", "hllo", false, false}, {"h*llo", "heeeello", true, true},
        {"h*llo", "hllo", true, true},   {"h[ae]llo", "hello", true, true}, {"h[ae]llo", "hillo", false, false},
        {"h[^e]llo", "hallo", true, true}, {"h[^e]llo", "hello", false, false}, {"h[a-b]llo", "hbllo", true, true},
        {"h[b-a]llo", "hbllo", true, true}, {"h[A-B]llo", "hbllo", false, true}, {"h[a-b]llo", "hcllo", false, false},
        {"\\*", "*", true, true},        {"\\*", "a", false, false},     {"a\\", "a\\", true, true},
        {"[\\]]", "]", true, true},      {"[a\\-z]", "-", true, true},   {"[a\\-z]", "b", false, false},
        {"[]", "a", false, false},       {"[abc", "b", true, true},      {"[^", "a", true, true},
        {"*a*b*", "xaxbx", true, true},  {"*a*b*", "xbxax", false, false}, {"**", "abc", true, true},
        {"*c", "abcabc", true, true},    {"a*?", "a", false, false},     {"?*?", "ab", true, true},
        {"user:[0-9]*:name", "user:42:name", true, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct slice pattern = slice_from(table[i].pattern), text = slice_from(table[i].text);
        if (slice_glob(pattern, text, false) != table[i].matches ||
            slice_glob(pattern, text, true) != table[i].matches_nocase)
            fail_msg("%s %s", table[i].pattern, table[i].text);
    }
    assert_true(slice_glob(SLICE_LITERAL("a\0*"), SLICE_LITERAL("a\0b"), false));
}

static void globs_do_not_explode(void **state)
{
    (void)state;
    char pattern[201], text[5000];
    for (int i = 0; i < 200; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[200] = 'b';
    memset(text, 'a', sizeof text);
    assert_false(slice_glob(slice_make(pattern, 201), slice_make(text, sizeof text), false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing), cmocka_unit_test(integers), cmocka_unit_test(decimals_are_those_of_strtod),
        cmocka_unit_test(integers_round_trip),
        cmocka_unit_test(floats),    cmocka_unit_test(globs),    cmocka_unit_test(globs_do_not_explode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
