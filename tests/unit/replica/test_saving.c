/* How far a save has come, across processes and in the log.
 *
 * Goal: what one process notes the other sees; a long save is logged now and then, a short
 * one not at all; a failure's reason arrives.  Method: a real fork, time passed in, the log
 * in a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "replica/saving.h"

static struct saving saving;
static char log_path[] = "/tmp/kvstore-saving-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    close(mkstemp(log_path));
    saving_init(&saving);
    return log_open(log_path) == STATUS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    saving_deinit(&saving);
    return unlink(log_path);
}

static int log_lines(const char *word)
{
    FILE *file = fopen(log_path, "r");
    assert_non_null(file);
    char line[512];
    int count = 0;
    while (fgets(line, sizeof line, file))
        count += strstr(line, word) != NULL;
    fclose(file);
    return count;
}

static void in_child(void (*work)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        work();
        _exit(0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void write_some(void)
{
    static char touched[1 << 20];
    memset(touched, 1, sizeof touched); /* no longer shared */
    saving_note(&saving, 250);
    saving_note_end(&saving);
}

static void fail_with_reason(void)
{
    saving_fail(&saving, "cannot flush x: No space left on device");
}

static void test_across_processes(void **state)
{
    (void)state;
    saving_begin(&saving, 1000, false, 0);
    assert_int_equal(saving_keys_done(&saving), 0);
    assert_string_equal(saving_error(&saving), "");
    in_child(write_some);
    assert_int_equal(saving_keys_done(&saving), 250);
    assert_true(saving_cow_bytes(&saving) >= 1 << 20);
    assert_true(saving_cow_peak_bytes(&saving) >= saving_cow_bytes(&saving));
    in_child(fail_with_reason);
    assert_string_equal(saving_error(&saving), "cannot flush x: No space left on device");
    saving_begin(&saving, 5, false, 0);
    assert_int_equal(saving_keys_done(&saving), 0);
    assert_int_equal(saving_cow_bytes(&saving), 0);
    assert_string_equal(saving_error(&saving), "");
}

static void test_log_of_a_long_save(void **state)
{
    (void)state;
    const int64_t start_us = 77;
    saving_begin(&saving, 1000, false, start_us);
    in_child(write_some);
    saving_log(&saving, start_us + SAVING_LOG_US - 1);
    assert_int_equal(log_lines("saving a snapshot"), 0);
    saving_log(&saving, start_us + SAVING_LOG_US);
    assert_int_equal(log_lines("saving a snapshot: 250 of 1000 keys (25%) after 5 s"), 1);
    saving_log(&saving, start_us + 2 * SAVING_LOG_US - 1);
    assert_int_equal(log_lines("saving a snapshot"), 1);
    saving_log(&saving, start_us + 2 * SAVING_LOG_US);
    assert_int_equal(log_lines("saving a snapshot"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_across_processes),
        cmocka_unit_test(test_log_of_a_long_save),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
