/* Goal: a spool hands out the snapshot as its child writes it, and about every lap of its tail
 * all that was decided and nothing else: spool.h.
 *
 * Method: random orders of batches with gaps of NULL slots, beginning in the middle of a lap,
 * asked for at random moments and compared with what was noted; real files and children;
 * a file system that is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"
#include "persist/file.h"
#include "replica/spool.h"

enum { LAPS = 40000, LANES = 3, FIRST = 100, FIRST_LANE = 1 };

static int nameless(void)
{
    char path[] = "/tmp/test-spool-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* A child that ends when a byte comes (or the pipe closes) with this status, and has written
 * text before. */
static int fork_writer(int fd, const char *text, int status, int *pipe_end)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
        (void)!read(ends[0], &byte, 1);
        _exit(is_written ? status : 99);
    }
    close(ends[0]);
    *pipe_end = ends[1];
    return child;
}

static struct spool *make(const char *text, int status, int *pipe_end)
{
    int fd = nameless();
    int child = fork_writer(fd, text, status, pipe_end);
    return spool_create(fd, child, nameless(), (struct spool_place){FIRST, FIRST_LANE}, FIRST * 16 + 5);
}

static void await_child(struct spool *s, int pipe_end)
{
    close(pipe_end);
    while (spool_is_writing(s))
        sched_yield();
}

/* --- the snapshot ----------------------------------------------------------- */

static void test_a_snapshot_is_read_while_it_is_written(void **state)
{
    (void)state;
    int pipe_end;
    size_t got;
    char bytes[16];
    struct spool *s = make("0123456789", 0, &pipe_end);
    while (spool_read(s, 0, bytes, 4, &got) == STATUS_AGAIN)
        sched_yield();
    assert_int_equal(spool_read(s, 0, bytes, 4, &got), STATUS_OK);
    assert_int_equal(got, 4);
    assert_memory_equal(bytes, "0123", 4);
    assert_int_equal(spool_read(s, 4, bytes, sizeof bytes, &got), STATUS_OK);
    assert_int_equal(got, 6);
    assert_memory_equal(bytes, "456789", 6);
    assert_int_equal(spool_read(s, 10, bytes, sizeof bytes, &got), STATUS_AGAIN);
    assert_true(spool_is_writing(s));
    await_child(s, pipe_end);
    assert_int_equal(spool_read(s, 10, bytes, sizeof bytes, &got), STATUS_NOT_FOUND);
    assert_false(spool_has_failed(s));
    /* Another reader begins at the beginning. */
    assert_int_equal(spool_read(s, 0, bytes, sizeof bytes, &got), STATUS_OK);
    assert_int_equal(got, 10);
    assert_int_equal(spool_position(s), FIRST * 16 + 5);
    spool_free(s);
}

static void test_a_child_that_fails_is_no_end(void **state)
{
    (void)state;
    int pipe_end;
    size_t got;
    char bytes[16];
    struct spool *s = make("0123456789", 1, &pipe_end);
    await_child(s, pipe_end);
    assert_true(spool_has_failed(s));
    assert_int_equal(spool_read(s, 10, bytes, sizeof bytes, &got), STATUS_IO);
    assert_int_equal(spool_read(s, 0, bytes, sizeof bytes, &got), STATUS_IO);
    spool_free(s);
}

static void test_a_child_ends_with_its_spool(void **state)
{
    (void)state;
    int pipe_end, fd = nameless();
    int child = fork_writer(fd, "", 0, &pipe_end);
    spool_free(spool_create(fd, child, nameless(), (struct spool_place){1, 0}, 1));
    assert_int_equal(waitpid(child, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
    close(pipe_end);
}

/* --- the tail ------------------------------------------------------------------ */

static uint32_t noted[LAPS][LANES]; /* 0: NULL, else what its batch holds */
static uint64_t newest;             /* the lap of the newest batch noted */

static void note(struct spool *s, uint64_t lap, uint8_t lane, uint32_t word, size_t size)
{
    struct batch *batch = batch_create(size < sizeof word ? sizeof word : size);
    memset(batch->bytes, 'x', batch->size);
    memcpy(batch->bytes, &word, sizeof word);
    batch->clock_ms = word;
    batch->previous_lap = RABIA_NO_LAP;
    noted[lap][lane] = word;
    newest = lap;
    spool_note(s, lap, lane, batch);
    batch_release(batch);
}

/* What is said of slots is what was noted; of lap, everything is said. */
static void check_answer(struct spool *s, uint64_t lap)
{
    struct frame_messages messages = {0};
    unsigned lanes = 0;
    enum status status = spool_tail(s, lap, &messages);
    assert_int_equal(status, lap >= FIRST && lap < newest ? STATUS_OK : STATUS_NOT_FOUND);
    for (size_t i = 0; i < messages.count; i++) {
        const struct rabia_message *m = &messages.messages[i];
        assert_int_equal(m->kind, RABIA_DECIDED);
        assert_true(m->lap > FIRST || m->lane >= FIRST_LANE);
        if (m->lap <= lap && lap < m->lap + m->count)
            lanes |= 1u << m->lane;
        if (m->batch) {
            assert_int_equal(m->count, 1);
            uint32_t word;
            memcpy(&word, m->batch->bytes, sizeof word);
            assert_int_equal(word, noted[m->lap][m->lane]);
            assert_int_equal(m->batch->clock_ms, word);
            continue;
        }
        assert_int_equal(m->value, RABIA_NULL);
        for (uint64_t l = m->lap; l < m->lap + m->count && m->lane < LANES; l++)
            assert_int_equal(noted[l][m->lane], 0);
    }
    unsigned unknown = lap == FIRST ? (1u << FIRST_LANE) - 1 : 0;
    if (status == STATUS_OK)
        assert_int_equal(lanes | unknown, (1u << RABIA_MEMBERS_MAX) - 1);
    frame_messages_deinit(&messages);
}

static void live(uint64_t seed)
{
    struct random random;
    random_init(&random, seed);
    int pipe_end;
    struct spool *s = make("", 0, &pipe_end);
    uint32_t word = 0;
    uint64_t gap = random_below(&random, 3) == 0 ? 6000 : 3;
    memset(noted, 0, sizeof noted);
    newest = FIRST;
    for (uint64_t lap = FIRST; lap < LAPS; lap += random_below(&random, gap)) {
        for (uint8_t lane = lap == FIRST ? FIRST_LANE : 0; lane < LANES; lane++)
            if (random_below(&random, 2))
                note(s, lap, lane, ++word, random_below(&random, 50) ? 100 : 300000);
        if (random_below(&random, 30) == 0)
            check_answer(s, FIRST + random_below(&random, lap + 2 - FIRST));
        if (random_below(&random, 100) == 0)
            check_answer(s, newest - 1);
        lap++;
    }
    assert_true(spool_tail_end(s) == newest);
    for (uint64_t lap = FIRST - 1; lap <= newest; lap += 1 + random_below(&random, 200))
        check_answer(s, lap);
    spool_free(s);
    close(pipe_end);
}

static void test_every_lap_is_told_as_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        live(seed);
}

/* --- a disk that is full --------------------------------------------------------- */

static int writes_left;

static ssize_t write_or_fail(int fd, const void *bytes, size_t size, off_t offset)
{
    if (writes_left-- > 0)
        return pwrite(fd, bytes, size, offset);
    errno = ENOSPC;
    return -1;
}

static off_t size_of(int fd)
{
    return lseek(fd, 0, SEEK_END);
}

static const struct file_ops full_ops = {.pread = pread, .pwrite = write_or_fail, .close = close, .size = size_of};

static void test_a_full_disk_ends_the_tail(void **state)
{
    (void)state;
    int pipe_end;
    struct spool *s = make("", 0, &pipe_end);
    memset(noted, 0, sizeof noted);
    file_set_ops(&full_ops);
    writes_left = 6; /* two for a block */
    for (uint64_t lap = FIRST + 1; lap < FIRST + 1000; lap++)
        note(s, lap, 1, (uint32_t)lap, 10000);
    assert_true(spool_is_tail_cut(s));
    newest = spool_tail_end(s);
    assert_true(newest > FIRST + 100 && newest < FIRST + 500);
    for (uint64_t lap = FIRST; lap < FIRST + 1000; lap++)
        check_answer(s, lap);
    spool_free(s);
    file_set_ops(NULL);
    close(pipe_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_snapshot_is_read_while_it_is_written),
        cmocka_unit_test(test_a_child_that_fails_is_no_end),
        cmocka_unit_test(test_a_child_ends_with_its_spool),
        cmocka_unit_test(test_every_lap_is_told_as_it_was),
        cmocka_unit_test(test_a_full_disk_ends_the_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
