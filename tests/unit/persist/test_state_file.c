/* Goal: a state file reads back as it was written, any damage is noticed, and whatever
 * fails while it is replaced, or cuts the power, the former one or the new one is there.
 *
 * Method: round trips; every prefix and every flipped bit; every call of the file layer
 * failed in turn, and the power cut after each, on the disk of disk.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "disk.h"
#include "persist/state_file.h"

#define PATH "/disk/test.state"

static void write_number(uint64_t number, enum status expected)
{
    struct state_file file;
    state_file_init(&file);
    state_file_set(&file, "number", "%llu", (unsigned long long)number);
    state_file_set(&file, "text", "a b  c");
    assert_int_equal(state_file_write(&file, PATH), expected);
    state_file_deinit(&file);
}

static uint64_t read_number(void)
{
    struct state_file file;
    uint64_t number = 0;
    state_file_init(&file);
    assert_int_equal(state_file_read(&file, PATH), STATUS_OK);
    assert_true(state_file_get_uint(&file, "number", &number));
    state_file_deinit(&file);
    return number;
}

static int format(void **state)
{
    (void)state;
    disk_format(1);
    disk_put("other", "", 0);
    return 0;
}

static int unformat(void **state)
{
    (void)state;
    file_set_ops(NULL);
    return 0;
}

static void test_lines_come_back(void **state)
{
    (void)state;
    struct state_file file;
    uint64_t number;
    state_file_init(&file);
    assert_int_equal(state_file_read(&file, PATH), STATUS_NOT_FOUND);
    state_file_set(&file, "num", "1");
    state_file_set(&file, "number", "%llu", (unsigned long long)UINT64_MAX);
    state_file_set(&file, "empty", "%s", "");
    state_file_set(&file, "num", "2"); /* replaces the line of that name alone */
    assert_int_equal(state_file_write(&file, PATH), STATUS_OK);
    state_file_deinit(&file);
    state_file_init(&file);
    assert_int_equal(state_file_read(&file, PATH), STATUS_OK);
    assert_true(state_file_get_uint(&file, "num", &number));
    assert_int_equal(number, 2);
    assert_true(state_file_get_uint(&file, "number", &number));
    assert_true(number == UINT64_MAX);
    struct slice empty = state_file_get(&file, "empty");
    assert_non_null(empty.ptr);
    assert_int_equal(empty.len, 0);
    assert_null(state_file_get(&file, "nu").ptr);
    assert_false(state_file_get_uint(&file, "empty", &number));
    assert_false(state_file_get_uint(&file, "absent", &number));
    state_file_deinit(&file);
}

static void assert_malformed(const void *bytes, size_t size)
{
    struct state_file file;
    state_file_init(&file);
    disk_put("test.state", bytes, size);
    assert_int_equal(state_file_read(&file, PATH), STATUS_MALFORMED);
    assert_null(state_file_get(&file, "number").ptr);
    state_file_deinit(&file);
}

static void test_damage_is_noticed(void **state)
{
    (void)state;
    write_number(7, STATUS_OK);
    struct disk_bytes *whole = disk_get("test.state");
    size_t size = whole->size;
    unsigned char bytes[1024];
    assert_true(size < sizeof bytes);
    memcpy(bytes, whole->bytes, size);
    for (size_t len = 0; len < size; len++)
        assert_malformed(bytes, len);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_malformed(bytes, size);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    memcpy(bytes + size, "x", 1);
    assert_malformed(bytes, size + 1);
    unsigned char *large = calloc(1, STATE_FILE_BYTES_MAX + 1);
    assert_malformed(large, STATE_FILE_BYTES_MAX + 1);
    free(large);
}

/* What failed may or may not have happened; when nothing did, it has. */
static void test_any_call_may_fail(void **state)
{
    (void)state;
    write_number(1, STATUS_OK);
    long at = 1;
    for (bool has_failed = true; has_failed; at++) {
        disk_fail(at, 1, EIO);
        struct state_file file;
        state_file_init(&file);
        state_file_set(&file, "number", "%ld", at + 1);
        long before = disk_failed();
        enum status status = state_file_write(&file, PATH);
        has_failed = disk_failed() > before;
        state_file_deinit(&file);
        disk_fail(0, 0, 0);
        assert_int_equal(status, has_failed ? STATUS_IO : STATUS_OK);
        uint64_t read = read_number();
        assert_true(read == (uint64_t)at + 1 || (has_failed && read == 1));
        write_number(1, STATUS_OK);
    }
    assert_true(at > 5); /* create, write, flush, rename, flush the directory */
}

static void test_the_power_may_go_at_any_call(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        for (long at = 1; at < 8; at++) {
            disk_format(seed);
            disk_put("other", "", 0);
            write_number(1, STATUS_OK);
            disk_fail(at, 1000, EIO); /* nothing happens any more */
            struct state_file file;
            state_file_init(&file);
            state_file_set(&file, "number", "2");
            enum status status = state_file_write(&file, PATH);
            state_file_deinit(&file);
            disk_fail(0, 0, 0);
            disk_power_off();
            disk_power_on(50);
            uint64_t read = read_number();
            assert_true(read == 2 || (read == 1 && status != STATUS_OK));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_come_back, format, unformat),
        cmocka_unit_test_setup_teardown(test_damage_is_noticed, format, unformat),
        cmocka_unit_test_setup_teardown(test_any_call_may_fail, format, unformat),
        cmocka_unit_test_setup_teardown(test_the_power_may_go_at_any_call, format, unformat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
