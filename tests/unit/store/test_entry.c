/* Goal: entries of all sizes are stored, changed and copied exactly; OBJECT
 * ENCODING is Redis's; overwriting and growing touch the allocator as seldom
 * as promised; a small key costs the memory promised.
 *
 * Method: through the keyspace, every key length around a threshold with every
 * value length around a threshold, each run through the changes there are,
 * with keyspace_check after each.  Addresses tell whether something moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store/entry.h"
#include "store/keyspace.h"

static struct keyspace *make(void)
{
    struct keyspace_options options = {.database_count = 2};
    return keyspace_create(&options);
}

static struct slice filled(size_t size, char with)
{
    char *bytes = malloc(size + 1);
    memset(bytes, with, size);
    return slice_make(bytes, size);
}

static void drop(struct slice bytes)
{
    free((void *)(uintptr_t)bytes.ptr);
}

static void expect_value_bytes(struct entry *e, struct slice expected)
{
    char scratch[INT64_TEXT_MAX];
    assert_non_null(e);
    assert_true(slice_equal(entry_string(e, scratch), expected));
}

/* Set, lengthen, shorten, expire, persist, copy, rename, overwrite, remove. */
static void live_through(struct keyspace *ks, struct slice key, struct slice value)
{
    struct slice second = SLICE_LITERAL("another key");
    keyspace_set(ks, 0, key, value, EXPIRE_NONE);
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 0, key), value);
    assert_true(slice_equal(entry_key(keyspace_find(ks, 0, key)), key));

    keyspace_set_expire(ks, 0, key, 1000);
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 0, key), value);
    assert_int_equal(entry_expire_at(keyspace_find(ks, 0, key)), 1000);
    assert_memory_equal(keyspace_edit_string(ks, 0, key, value.len + 1), value.ptr, value.len);
    keyspace_check(ks);
    keyspace_set(ks, 0, key, value, EXPIRE_KEEP);
    keyspace_check(ks);

    assert_true(keyspace_copy(ks, 0, key, 1, second));
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 1, second), value);
    assert_true(keyspace_rename(ks, 1, second, 0, second));
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 0, second), value);
    assert_int_equal(entry_expire_at(keyspace_find(ks, 0, second)), 1000);
    assert_true(keyspace_rename(ks, 0, second, 0, key));
    keyspace_check(ks);

    char *edited = keyspace_edit_string(ks, 0, key, value.len + 1);
    assert_memory_equal(edited, value.ptr, value.len);
    assert_int_equal(edited[value.len], 0);
    edited[value.len] = '!';
    keyspace_check(ks);
    edited = keyspace_edit_string(ks, 0, key, value.len);
    assert_memory_equal(edited, value.ptr, value.len);
    keyspace_check(ks);
    keyspace_edit_string(ks, 0, key, value.len / 3);
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 0, key), slice_make(value.ptr, value.len / 3));
    assert_int_equal(entry_encoding(keyspace_find(ks, 0, key)), ENCODING_RAW);

    keyspace_set_expire(ks, 0, key, EXPIRE_NONE);
    keyspace_check(ks);
    keyspace_set_int(ks, 0, key, INT64_MIN);
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 0, key), SLICE_LITERAL("-9223372036854775808"));
    keyspace_set(ks, 0, key, value, EXPIRE_NONE);
    keyspace_check(ks);
    expect_value_bytes(keyspace_find(ks, 0, key), value);
    assert_true(keyspace_delete(ks, 0, key));
    assert_false(keyspace_delete(ks, 0, key));
    keyspace_check(ks);
}

static void test_all_sizes(void **state)
{
    (void)state;
    static const size_t key_sizes[] = {0, 1, 15, 16, 127, 128, 254, 255, 256, 257, 14000, 14327, 14328, 65535, 1 << 20};
    static const size_t value_sizes[] = {0,   1,     2,     7,     8,     9,     16,    19,    20,    21,
                                         43,  44,    45,    127,   128,   255,   256,   4096,  14063, 14064,
                                         14065, 14080, 14326, 14327, 14328, 14329, 16384, 65535, 65536, 1 << 20};
    struct keyspace *ks = make();
    for (size_t k = 0; k < sizeof key_sizes / sizeof *key_sizes; k++)
        for (size_t v = 0; v < sizeof value_sizes / sizeof *value_sizes; v++) {
            struct slice key = filled(key_sizes[k], 'k'), value = filled(value_sizes[v], 'v');
            live_through(ks, key, value);
            drop(key);
            drop(value);
        }
    keyspace_free(ks);
}

static void test_encodings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum value_encoding encoding;
    } cases[] = {
        {"", ENCODING_EMBSTR},
        {"0", ENCODING_INT},
        {"-1", ENCODING_INT},
        {"9223372036854775807", ENCODING_INT},
        {"-9223372036854775808", ENCODING_INT},
        {"9223372036854775808", ENCODING_EMBSTR},
        {"-9223372036854775809", ENCODING_EMBSTR},
        {"007", ENCODING_EMBSTR},
        {"-0", ENCODING_EMBSTR},
        {"+1", ENCODING_EMBSTR},
        {"1 ", ENCODING_EMBSTR},
        {"1.0", ENCODING_EMBSTR},
        {"12345678901234567890123456789012345678901234", ENCODING_EMBSTR}, /* 44 */
        {"123456789012345678901234567890123456789012345", ENCODING_RAW},
    };
    struct keyspace *ks = make();
    struct slice key = SLICE_LITERAL("key"), copy = SLICE_LITERAL("copy");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice text = slice_from(cases[i].text);
        int64_t ignored;
        struct entry *e = keyspace_set(ks, 0, key, text, EXPIRE_NONE);
        assert_int_equal(entry_encoding(e), cases[i].encoding);
        assert_int_equal(entry_int(e, &ignored), cases[i].encoding == ENCODING_INT);
        assert_int_equal(entry_type(e), VALUE_STRING);
        expect_value_bytes(e, text);
        assert_int_equal(entry_string_length(e), text.len);
        keyspace_copy(ks, 0, key, 0, copy);
        assert_int_equal(entry_encoding(keyspace_peek(ks, 0, copy)), cases[i].encoding);
        keyspace_edit_string(ks, 0, key, text.len);
        assert_int_equal(entry_encoding(keyspace_peek(ks, 0, key)), ENCODING_RAW);
        expect_value_bytes(keyspace_peek(ks, 0, key), text);
        keyspace_copy(ks, 0, key, 0, copy);
        assert_int_equal(entry_encoding(keyspace_peek(ks, 0, copy)), ENCODING_RAW);
        keyspace_rename(ks, 0, copy, 1, copy);
        assert_int_equal(entry_encoding(keyspace_peek(ks, 1, copy)), ENCODING_RAW);
        assert_int_equal(entry_encoding(keyspace_set_int(ks, 0, key, 5)), ENCODING_INT);
        assert_int_equal(entry_encoding(keyspace_set(ks, 0, key, text, EXPIRE_KEEP)), cases[i].encoding);
    }
    keyspace_free(ks);
}

/* A value of the same length, or of the same allocator class, is written over
 * the old one; so is an integer over an integer, with or without expiry. */
static void test_overwriting_in_place(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    struct slice key = SLICE_LITERAL("0123456789abcdef"), one = filled(64, '1'), other = filled(64, '2');
    struct entry *e = keyspace_set(ks, 0, key, one, EXPIRE_NONE);
    assert_ptr_equal(keyspace_set(ks, 0, key, other, EXPIRE_NONE), e);
    expect_value_bytes(e, other);
    size_t room = mem_good_size(entry_bytes(e)) - entry_bytes(e);
    struct slice longer = filled(64 + room, '3');
    assert_ptr_equal(keyspace_set(ks, 0, key, longer, EXPIRE_NONE), e);
    expect_value_bytes(e, longer);
    keyspace_check(ks);

    e = keyspace_set(ks, 0, key, one, 1000);
    assert_ptr_equal(keyspace_set(ks, 0, key, other, 2000), e);
    assert_ptr_equal(keyspace_set(ks, 0, key, one, EXPIRE_NONE), e);
    assert_int_equal(entry_expire_at(e), EXPIRE_NONE);
    assert_ptr_equal(keyspace_set(ks, 0, key, one, 3000), e);
    keyspace_set_expire(ks, 0, key, 4000);
    assert_ptr_equal(keyspace_peek(ks, 0, key), e);
    keyspace_check(ks);

    e = keyspace_set_int(ks, 0, key, 1);
    assert_ptr_equal(keyspace_set_int(ks, 0, key, INT64_MAX), e);
    assert_int_equal(entry_expire_at(e), 4000);

    struct slice large = filled(1 << 20, 'L'), similar = filled(1000000, 'S');
    e = keyspace_set(ks, 0, key, large, EXPIRE_NONE);
    char scratch[INT64_TEXT_MAX];
    const char *at = entry_string(e, scratch).ptr;
    assert_ptr_equal(keyspace_set(ks, 0, key, similar, EXPIRE_NONE), e);
    assert_ptr_equal(entry_string(e, scratch).ptr, at);
    expect_value_bytes(e, similar);
    keyspace_check(ks);
    drop(one), drop(other), drop(longer), drop(large), drop(similar);
    keyspace_free(ks);
}

/* Byte by byte to 3 MiB: the string moves some tens of times, holds at most
 * twice its length or a MiB more, and gives memory back when cut. */
static void test_growth_is_amortised(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    struct slice key = SLICE_LITERAL("key");
    const char *at = NULL;
    unsigned moves = 0;
    enum { SIZE = 3 << 20, STEP = 7 };
    for (size_t size = 1; size < SIZE; size += STEP) {
        char *edited = keyspace_edit_string(ks, 0, key, size);
        edited[size - 1] = (char)('a' + size % 23);
        moves += edited != at;
        at = edited;
    }
    assert_true(moves < 40);
    char *edited = keyspace_edit_string(ks, 0, key, SIZE);
    for (size_t size = 1; size < SIZE; size += STEP) {
        assert_int_equal(edited[size - 1], 'a' + size % 23);
        for (size_t gap = size; gap < size + STEP - 1; gap++)
            assert_int_equal(edited[gap], 0);
    }
    assert_true(entry_memory(keyspace_peek(ks, 0, key), 0) < SIZE + (2 << 20));
    keyspace_check(ks);
    keyspace_edit_string(ks, 0, key, 10);
    assert_true(entry_memory(keyspace_peek(ks, 0, key), 0) < 200);
    keyspace_check(ks);
    keyspace_free(ks);
}

/* Keys and values given may be bytes of the keyspace itself, even of the key
 * that the call changes. */
static void test_arguments_may_lie_in_entries(void **state)
{
    (void)state;
    static const size_t sizes[] = {5, 44, 300, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct keyspace *ks = make();
        struct slice key = SLICE_LITERAL("key"), value = filled(sizes[i], 'v');
        char scratch[INT64_TEXT_MAX];
        struct entry *e = keyspace_set(ks, 0, key, value, EXPIRE_NONE);
        e = keyspace_set(ks, 0, entry_key(e), entry_string(e, scratch), 1000);
        expect_value_bytes(e, value);
        struct slice tail = entry_string(e, scratch);
        tail.ptr += 3, tail.len -= 3;
        e = keyspace_set(ks, 0, entry_key(e), tail, EXPIRE_KEEP);
        expect_value_bytes(e, slice_make(value.ptr, value.len - 3));
        assert_true(keyspace_rename(ks, 0, entry_key(e), 0, entry_string(e, scratch)));
        e = keyspace_peek(ks, 0, slice_make(value.ptr, value.len - 3));
        expect_value_bytes(e, slice_make(value.ptr, value.len - 3));
        assert_true(keyspace_copy(ks, 0, entry_key(e), 1, entry_string(e, scratch)));
        keyspace_edit_string(ks, 0, entry_key(e), 50000);
        keyspace_check(ks);
        e = keyspace_peek(ks, 1, slice_make(value.ptr, value.len - 3));
        keyspace_set_expire(ks, 1, entry_key(e), 1);
        keyspace_advance(ks, 1);
        /* The key lies in an entry that has expired. */
        keyspace_set(ks, 1, entry_key(e), SLICE_LITERAL("new"), EXPIRE_NONE);
        keyspace_check(ks);
        e = keyspace_peek(ks, 1, slice_make(value.ptr, value.len - 3));
        assert_true(keyspace_delete(ks, 1, entry_key(e)));
        keyspace_check(ks);
        /* A short part of a long string held apart replaces it. */
        struct slice large = filled(200000, 'L');
        e = keyspace_set(ks, 0, key, large, EXPIRE_NONE);
        keyspace_set(ks, 0, key, slice_make(entry_string(e, scratch).ptr + 1000, 30000), EXPIRE_NONE);
        expect_value_bytes(keyspace_peek(ks, 0, key), slice_make(large.ptr, 30000));
        keyspace_check(ks);
        drop(large);
        drop(value);
        keyspace_free(ks);
    }
}

/* The block sizes entry.h promises. */
static void test_memory_of_small_keys(void **state)
{
    (void)state;
    struct keyspace *ks = make();
    struct slice key = SLICE_LITERAL("0123456789abcdef"), value = SLICE_LITERAL("sixteen byte val");
    assert_int_equal(entry_bytes(keyspace_set(ks, 0, key, value, EXPIRE_NONE)), 40);
    assert_int_equal(entry_bytes(keyspace_set(ks, 0, key, value, 1000)), 52);
    keyspace_delete(ks, 0, key);
    assert_int_equal(entry_bytes(keyspace_set(ks, 0, key, SLICE_LITERAL("12345678901"), EXPIRE_NONE)), 32);
    assert_int_equal(entry_bytes(keyspace_set(ks, 0, key, SLICE_LITERAL("12345678901"), 1000)), 44);
    assert_true(entry_memory(keyspace_peek(ks, 0, key), 0) < 80);
    struct keyspace_figures figures;
    keyspace_get_figures(ks, &figures);
    assert_int_equal(figures.entry_bytes, 44);
    keyspace_free(ks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_overwriting_in_place),
        cmocka_unit_test(test_growth_is_amortised),
        cmocka_unit_test(test_arguments_may_lie_in_entries),
        cmocka_unit_test(test_memory_of_small_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
