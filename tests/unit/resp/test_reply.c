/* Goal: replies are byte for byte those of Redis 7.0.15, in RESP2 and RESP3.
 * Method: the expected bytes were captured from redis-server 7.0.15 by raw socket
 * (DEBUG PROTOCOL, ZSCORE, GEOPOS, INCRBYFLOAT, ...) and stand here as literals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <math.h>

#include "resp/reply.h"

static struct buf out;

static struct reply *fresh(uint8_t protocol)
{
    static struct reply r;
    buf_clear(&out);
    r = (struct reply){.out = &out, .protocol = protocol};
    return &r;
}

static void assert_bytes(const char *expected)
{
    if (!slice_equal(buf_slice(&out), slice_from(expected)))
        fail_msg("%.*s instead of %s", (int)buf_size(&out), buf_head(&out), expected);
}

#define BOTH(call, two, three)                    \
    do {                                          \
        struct reply *r = fresh(2);               \
        call;                                     \
        assert_bytes(two);                        \
        r = fresh(3);                             \
        call;                                     \
        assert_bytes(three);                      \
        struct reply nowhere = {.protocol = 2};   \
        r = &nowhere;                             \
        call;                                     \
    } while (0)
#define SAME(call, bytes) BOTH(call, bytes, bytes)

static void plain_types(void **state)
{
    (void)state;
    SAME(reply_ok(r), "+OK\r\n");
    SAME(reply_simple(r, "QUEUED"), "+QUEUED\r\n");
    SAME(reply_int(r, 12345), ":12345\r\n");
    SAME(reply_int(r, 0), ":0\r\n");
    SAME(reply_int(r, 9), ":9\r\n");
    SAME(reply_int(r, 10), ":10\r\n");
    SAME(reply_int(r, 99), ":99\r\n");
    SAME(reply_int(r, 100), ":100\r\n");
    SAME(reply_int(r, -2), ":-2\r\n");
    SAME(reply_int(r, INT64_MIN), ":-9223372036854775808\r\n");
    SAME(reply_int(r, INT64_MAX), ":9223372036854775807\r\n");
    SAME(reply_bulk_text(r, "Hello World"), "$11\r\nHello World\r\n");
    SAME(reply_bulk(r, SLICE_LITERAL("")), "$0\r\n\r\n");
    SAME(reply_bulk(r, ((struct slice){NULL, 0})), "$0\r\n\r\n");
    SAME(reply_bulk_int(r, -17), "$3\r\n-17\r\n");
    BOTH(reply_null(r), "$-1\r\n", "_\r\n");
    BOTH(reply_null_array(r), "*-1\r\n", "_\r\n");
    BOTH(reply_bool(r, true), ":1\r\n", "#t\r\n");
    BOTH(reply_bool(r, false), ":0\r\n", "#f\r\n");
    BOTH(reply_big_number(r, SLICE_LITERAL("1234567999999999999999999999999999999")),
         "$37\r\n1234567999999999999999999999999999999\r\n", "(1234567999999999999999999999999999999\r\n");
    BOTH(reply_verbatim(r, "txt", SLICE_LITERAL("This is a verbatim\nstring")),
         "$25\r\nThis is a verbatim\nstring\r\n", "=29\r\ntxt:This is a verbatim\nstring\r\n");
}

static void aggregates(void **state)
{
    (void)state;
    SAME(reply_array(r, 3), "*3\r\n");
    SAME(reply_array(r, 123456), "*123456\r\n");
    BOTH(reply_set(r, 3), "*3\r\n", "~3\r\n");
    BOTH(reply_map(r, 3), "*6\r\n", "%3\r\n");
    BOTH(reply_push(r, 2), "*2\r\n", ">2\r\n");
    struct reply *three = fresh(3);
    reply_attribute(three, 1);
    assert_bytes("|1\r\n");
}

/* ZSCORE of what ZADD took. */
static void doubles(void **state)
{
    (void)state;
    BOTH(reply_double(r, 3.141), "$5\r\n3.141\r\n", ",3.141\r\n");
    BOTH(reply_double(r, 0.1), "$19\r\n0.10000000000000001\r\n", ",0.10000000000000001\r\n");
    BOTH(reply_double(r, 3), "$1\r\n3\r\n", ",3\r\n");
    BOTH(reply_double(r, 1e16), "$17\r\n10000000000000000\r\n", ",10000000000000000\r\n");
    BOTH(reply_double(r, 1e17), "$5\r\n1e+17\r\n", ",1e+17\r\n");
    BOTH(reply_double(r, 123456789012345678.0), "$22\r\n1.2345678901234568e+17\r\n", ",1.2345678901234568e+17\r\n");
    BOTH(reply_double(r, 1e300), "$23\r\n1.0000000000000001e+300\r\n", ",1.0000000000000001e+300\r\n");
    BOTH(reply_double(r, 1e-7), "$22\r\n9.9999999999999995e-08\r\n", ",9.9999999999999995e-08\r\n");
    BOTH(reply_double(r, (double)INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
    BOTH(reply_double(r, -(double)INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
}

/* The quick way for integral doubles prints what %.17g prints. */
static void doubles_agree_with_printf(void **state)
{
    (void)state;
    const double values[] = {0, -0.0, 1, -1, 9, 10, 1e14, 999999999999999, 1e15, -1e15, 1e15 + 1, 4503599627370497.5, 0.5, -2.5};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char expected[64], text[DOUBLE_TEXT_MAX];
        snprintf(expected, sizeof expected, "%.17g", values[i]);
        assert_true(slice_equal(slice_make(text, double_to_text(values[i], text)), slice_from(expected)));
    }
}

static void long_doubles(void **state)
{
    (void)state;
    SAME(reply_long_double(r, 3.1L), "$3\r\n3.1\r\n");
    struct reply *two = fresh(2);
    reply_long_double(two, 1e300L);
    assert_bytes("$301\r\n"
         "10000000000000000000089973240795591938705239442732907479382600823212656465961809357558491520837"
         "50497190350372508614274835903592556184672983913096260520748646287327135641843653294084255107606"
         "01678972665293237003055138294762099454029477278188962060617926761162709741065056718738610569008"
         "9424915104006144"
         "\r\n");
}

static void long_double_text(void **state)
{
    (void)state;
    static const struct {
        long double value;
        const char *text;
    } table[] = {{0, "0"},       {-0.0L, "0"},   {5, "5"},           {-5, "-5"},
                 {10.5L, "10.5"}, {100, "100"},   {0.1L, "0.1"},      {-1e-20L, "0"},
                 {3.0e3L, "3000"}, {(long double)INFINITY, "inf"}, {-(long double)INFINITY, "-inf"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[LONG_DOUBLE_TEXT_MAX];
        struct slice got = slice_make(text, long_double_to_text(table[i].value, text));
        if (!slice_equal(got, slice_from(table[i].text)))
            fail_msg("%.*s instead of %s", (int)got.len, got.ptr, table[i].text);
    }
}

static void coordinates(void **state)
{
    (void)state;
    BOTH(reply_coordinate(r, 13.361389338970184326171875L), "$20\r\n13.36138933897018433\r\n",
         ",13.36138933897018433\r\n");
}

static void errors(void **state)
{
    (void)state;
    SAME(reply_error(r, "WRONGTYPE Operation against a key holding the wrong kind of value"),
         "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    SAME(reply_error(r, "ERR a\r\nb\r\n"), "-ERR a  b  \r\n"); /* as DEBUG ERROR shows it */
    SAME(reply_error_format(r, "ERR unknown command '%s', with args beginning with: '%s' ", "NOSUCH", "a\r\nb\n"),
         "-ERR unknown command 'NOSUCH', with args beginning with: 'a  b ' \r\n");
    struct reply discarded = {.out = NULL, .protocol = 2};
    reply_error(&discarded, "ERR x");
    assert_true(discarded.is_error);
    struct reply *two = fresh(2);
    reply_ok(two);
    assert_false(two->is_error);
    reply_error_format(two, "ERR %0600d", 7);
    assert_true(two->is_error);
    assert_int_equal(buf_size(&out), 5 + 1 + 4 + 600 + 2);
}

/* Counts known late: nested, with more in front and with more behind. */
static void deferred(void **state)
{
    (void)state;
    for (int front = 0; front < 200; front += 40)
        for (int behind = 0; behind < 200; behind += 40) {
            struct reply *r = fresh(3);
            struct buf expected;
            buf_init(&expected);
            buf_reserve(&expected, 4096);
            for (int i = 0; i < front; i++) {
                reply_ok(r);
                buf_printf(&expected, "+OK\r\n");
            }
            struct reply_deferred outer = reply_begin(r), inner = reply_begin(r);
            buf_printf(&expected, "*2\r\n~%d\r\n", behind);
            for (int i = 0; i < behind; i++) {
                reply_int(r, i);
                buf_printf(&expected, ":%d\r\n", i);
            }
            reply_end_set(r, inner, (size_t)behind);
            struct reply_deferred map = reply_begin(r);
            reply_end_map(r, map, 0);
            reply_end_array(r, outer, 2);
            reply_ok(r);
            buf_printf(&expected, "%%0\r\n+OK\r\n");
            assert_true(slice_equal(buf_slice(&out), buf_slice(&expected)));
            buf_deinit(&expected);
        }
    struct reply *r = fresh(2);
    struct reply_deferred map = reply_begin(r);
    reply_bulk_text(r, "a");
    reply_int(r, 1);
    reply_end_map(r, map, 1);
    assert_bytes("*2\r\n$1\r\na\r\n:1\r\n");
    struct reply nowhere = {.protocol = 3};
    reply_end_array(&nowhere, reply_begin(&nowhere), 1);
}

static int free_out(void **state)
{
    (void)state;
    buf_deinit(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_types), cmocka_unit_test(aggregates),       cmocka_unit_test(doubles),
        cmocka_unit_test(doubles_agree_with_printf), cmocka_unit_test(long_doubles),
        cmocka_unit_test(long_double_text), cmocka_unit_test(coordinates), cmocka_unit_test(errors),
        cmocka_unit_test(deferred),
    };
    return cmocka_run_group_tests(tests, NULL, free_out);
}
