/* Goal: commands come out of a batch as they went in, and no bytes make decoding
 * read beyond their end or reserve memory for what is not there.
 *
 * Method: round trips at the edges of the numbers; every prefix against an unreadable
 * page; lengths and counts that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../resp/guarded.h"
#include "replica/batch_code.h"

static void test_varints_come_back(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    struct guarded g = guarded_create(16);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char bytes[VARINT_MAX];
        size_t size = (size_t)(varint_write(bytes, values[i]) - bytes);
        assert_int_equal(size, varint_size(values[i]));
        uint64_t value = 7;
        char *at = guarded_place(&g, bytes, size);
        assert_ptr_equal(varint_read(at, at + size, &value), at + size);
        assert_int_equal(value, values[i]);
        for (size_t len = 0; len < size; len++) {
            at = guarded_place(&g, bytes, len);
            assert_null(varint_read(at, at + len, &value));
        }
    }
    guarded_free(&g);
}

static void test_varints_beyond_64_bits_are_refused(void **state)
{
    (void)state;
    uint64_t value;
    char bytes[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    assert_null(varint_read(bytes, bytes + 10, &value));
    memset(bytes, 0x80, 10);
    assert_null(varint_read(bytes, bytes + 10, &value));
}

static void encode_two(struct buf *out)
{
    char *long_value = malloc(300);
    memset(long_value, 'v', 300);
    struct slice set[] = {SLICE_LITERAL("SET"), SLICE_LITERAL("k\0\r\n"), slice_make(long_value, 300)};
    struct slice touch[] = {SLICE_LITERAL("TOUCH"), slice_make(NULL, 0)};
    batch_encode(out, 0, 3, set);
    assert_int_equal(buf_size(out), batch_encoded_size(0, 3, set));
    size_t first = buf_size(out);
    batch_encode(out, 9999, 2, touch);
    assert_int_equal(buf_size(out) - first, batch_encoded_size(9999, 2, touch));
    free(long_value);
}

static void test_commands_come_back_side_by_side(void **state)
{
    (void)state;
    struct buf out = {0};
    encode_two(&out);
    struct guarded g = guarded_create(buf_size(&out));
    const char *at = guarded_place(&g, buf_head(&out), buf_size(&out)), *end = at + buf_size(&out);
    struct batch_arguments arguments = {0};
    int db, argc;
    assert_int_equal(batch_decode(&at, end, &arguments, 0, &db, &argc), STATUS_OK);
    assert_int_equal(db, 0);
    assert_int_equal(argc, 3);
    assert_int_equal(batch_decode(&at, end, &arguments, 3, &db, &argc), STATUS_OK);
    assert_int_equal(db, 9999);
    assert_int_equal(argc, 2);
    assert_ptr_equal(at, end);
    assert_true(slice_equal(arguments.argv[1], SLICE_LITERAL("k\0\r\n")));
    assert_int_equal(arguments.argv[2].len, 300);
    assert_true(slice_equal(arguments.argv[3], SLICE_LITERAL("TOUCH")));
    assert_int_equal(arguments.argv[4].len, 0);
    batch_arguments_deinit(&arguments);
    guarded_free(&g);
    buf_deinit(&out);
}

static void test_more_arguments_than_room(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct slice *argv = malloc(MANY * sizeof *argv);
    for (int i = 0; i < MANY; i++)
        argv[i] = SLICE_LITERAL("x");
    struct buf out = {0};
    batch_encode(&out, 1, MANY, argv);
    struct batch_arguments arguments = {0};
    const char *at = buf_head(&out);
    int db, argc;
    assert_int_equal(batch_decode(&at, at + buf_size(&out), &arguments, 10, &db, &argc), STATUS_OK);
    assert_int_equal(argc, MANY);
    assert_true(arguments.capacity >= MANY + 10);
    batch_arguments_deinit(&arguments);
    buf_deinit(&out);
    free(argv);
}

static void assert_refused(struct guarded *g, const char *bytes, size_t len)
{
    const char *begin = guarded_place(g, bytes, len), *at = begin;
    struct batch_arguments arguments = {0};
    int db = -7, argc = -7;
    assert_int_equal(batch_decode(&at, begin + len, &arguments, 0, &db, &argc), STATUS_MALFORMED);
    assert_ptr_equal(at, begin);
    assert_int_equal(db, -7);
    assert_int_equal(argc, -7);
    assert_true(arguments.capacity <= 1024);
    batch_arguments_deinit(&arguments);
}

static void test_every_prefix_is_malformed(void **state)
{
    (void)state;
    struct slice set[] = {SLICE_LITERAL("SET"), SLICE_LITERAL("key"), SLICE_LITERAL("value")};
    struct buf out = {0};
    batch_encode(&out, 300, 3, set);
    struct guarded g = guarded_create(64);
    for (size_t len = 0; len < buf_size(&out); len++)
        assert_refused(&g, buf_head(&out), len);
    guarded_free(&g);
    buf_deinit(&out);
}

static void test_lies_are_malformed(void **state)
{
    (void)state;
    static const struct slice lies[] = {
        SLICE_LITERAL("\x00"),                 /* an empty body */
        SLICE_LITERAL("\x02\x00\x00"),         /* no arguments */
        SLICE_LITERAL("\x03\x00\x02\x00"),     /* two arguments in one byte */
        SLICE_LITERAL("\x04\x00\x01\x02zz"),   /* an argument that ends behind the body */
        SLICE_LITERAL("\x05\x00\x01\x01zz"),   /* bytes left over inside the body */
        SLICE_LITERAL("\x04\x00\x01\x05z"),    /* an argument longer than the body */
        SLICE_LITERAL("\x08\xff\xff\xff\xff\x0f\x01\x01z"),             /* a database beyond int */
        SLICE_LITERAL("\x0a\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),  /* arguments without number */
        SLICE_LITERAL("\x05\x00\xc0\x84\x3d\x00"), /* a million arguments in one byte */
        SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01"), /* a body of 2^64 - 1 */
        SLICE_LITERAL("\x0c\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* an argument of that */
    };
    struct guarded g = guarded_create(64);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        assert_refused(&g, lies[i].ptr, lies[i].len);
    guarded_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varints_come_back),
        cmocka_unit_test(test_varints_beyond_64_bits_are_refused),
        cmocka_unit_test(test_commands_come_back_side_by_side),
        cmocka_unit_test(test_more_arguments_than_room),
        cmocka_unit_test(test_every_prefix_is_malformed),
        cmocka_unit_test(test_lies_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
