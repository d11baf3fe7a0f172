/* Goal: a snapshot file is there whole or not at all, reads back, can be
 * checked without a keyspace, and is one the lz4 tool understands.
 *
 * Method: files in a directory of the test's own, damaged and cut; calls of
 * the file layer that fail one after the other; the lz4 tool if there is one. */
#include "snapshot_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "persist/file.h"

static char dir[64], path[128];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_snapshot_XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/data.snapshot", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static struct keyspace *make_full(uint64_t seed)
{
    struct keyspace *ks = make_keyspace(secret_a, DATABASES);
    fill(ks, seed, 2000, 5, sizeof lengths / sizeof *lengths);
    return ks;
}

static void save(struct keyspace *ks, bool is_compressed)
{
    const struct snapshot_head head = sample_head();
    char error[SNAPSHOT_ERROR_MAX] = "";
    assert_int_equal(snapshot_write_file(ks, &head, is_compressed, dir, "data.snapshot", NULL, NULL, error), STATUS_OK);
    assert_string_equal(error, "");
}

static struct buf read_bytes(const char *name)
{
    struct buf bytes;
    buf_init(&bytes);
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    for (size_t got = 1; got > 0;) {
        got = fread(buf_reserve(&bytes, 65536), 1, 65536, file);
        buf_extend(&bytes, got);
    }
    fclose(file);
    return bytes;
}

static void write_bytes(struct slice bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    fclose(file);
}

static enum status load(struct keyspace *ks, const char *name, char error[static SNAPSHOT_ERROR_MAX])
{
    struct snapshot_reader *reader = snapshot_reader_create(ks);
    enum status status = snapshot_read_file(reader, name, NULL, NULL);
    snprintf(error, SNAPSHOT_ERROR_MAX, "%s", snapshot_reader_error(reader));
    snapshot_reader_free(reader);
    return status;
}

struct progress {
    uint64_t calls, last, total;
};

static void keys_progress(void *context, uint64_t keys_done)
{
    struct progress *progress = context;
    assert_true(keys_done > progress->last);
    progress->last = keys_done;
    progress->calls++;
}

static void bytes_progress(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    struct progress *progress = context;
    assert_true(bytes_done > progress->last);
    progress->last = bytes_done;
    progress->total = bytes_total;
    progress->calls++;
}

static void a_file_comes_back(void **state)
{
    (void)state;
    for (int compressed = 0; compressed < 2; compressed++) {
        struct keyspace *ks = make_full(1), *back = make_keyspace(secret_a, DATABASES);
        const struct snapshot_head head = sample_head();
        char error[SNAPSHOT_ERROR_MAX];
        struct progress writing = {0}, reading = {0};
        assert_int_equal(snapshot_write_file(ks, &head, compressed, dir, "data.snapshot", keys_progress, &writing, error),
                         STATUS_OK);
        assert_true(writing.calls > 3);
        struct snapshot_reader *reader = snapshot_reader_create(back);
        assert_int_equal(snapshot_read_file(reader, path, bytes_progress, &reading), STATUS_OK);
        assert_true(reading.calls > 0);
        assert_int_equal(reading.last, reading.total);
        assert_same(ks, back);
        snapshot_reader_free(reader);
        keyspace_free(ks);
        keyspace_free(back);
    }
}

static void cut_and_absent_files_are_refused(void **state)
{
    (void)state;
    struct keyspace *ks = make_keyspace(secret_a, DATABASES);
    keyspace_set(ks, 0, SLICE_LITERAL("key"), SLICE_LITERAL("value"), EXPIRE_NONE);
    char error[SNAPSHOT_ERROR_MAX];
    for (int compressed = 0; compressed < 2; compressed++) {
        save(ks, compressed);
        struct buf bytes = read_bytes(path);
        for (size_t size = 0; size < buf_size(&bytes); size += 1 + size / 8) {
            write_bytes(slice_make(buf_head(&bytes), size));
            struct keyspace *back = make_keyspace(secret_a, DATABASES);
            assert_int_equal(load(back, path, error), STATUS_MALFORMED);
            assert_non_null(strstr(error, "ends early"));
            keyspace_free(back);
            struct snapshot_file_figures figures;
            assert_int_equal(snapshot_check_file(path, &(struct snapshot_visitor){0}, &figures, error), STATUS_MALFORMED);
        }
        buf_deinit(&bytes);
    }
    unlink(path);
    struct keyspace *back = make_keyspace(secret_a, DATABASES);
    assert_int_equal(load(back, path, error), STATUS_IO);
    assert_int_equal(errno, ENOENT);
    assert_non_null(strstr(error, path));
    keyspace_free(back);
    keyspace_free(ks);
}

/* --- checking ---------------------------------------------------------------- */

struct visit {
    struct keyspace *ks;
    int last_db;
    uint64_t keys, expiring, heads;
};

static void visit_head(void *context, const struct snapshot_head *head, uint32_t version)
{
    struct visit *visit = context;
    assert_int_equal(version, SNAPSHOT_FORMAT_VERSION);
    assert_int_equal(head->position, 4711);
    visit->heads++;
}

static void visit_database(void *context, const struct snapshot_database_figures *figures)
{
    struct visit *visit = context;
    assert_true(figures->db > visit->last_db);
    assert_int_equal(figures->keys, keyspace_size(visit->ks, figures->db));
    assert_int_equal(figures->expiring, keyspace_expiring(visit->ks, figures->db));
    uint64_t keys = 0, expiring = 0;
    for (int type = VALUE_STRING; type < SNAPSHOT_TYPE_COUNT; type++) {
        keys += figures->types[type].keys;
        expiring += figures->types[type].expiring;
    }
    assert_int_equal(keys, figures->keys);
    assert_int_equal(expiring, figures->expiring);
    assert_true(figures->types[VALUE_HASH].value_bytes > figures->types[VALUE_HASH].keys * 10);
    assert_true(figures->expired > 0);
    assert_true(figures->expired < figures->expiring);
    assert_true(figures->types[VALUE_STRING].key_bytes > figures->keys * 3);
    visit->last_db = figures->db;
    visit->keys += figures->keys;
}

static void checking_needs_no_keyspace(void **state)
{
    (void)state;
    struct keyspace *ks = make_full(2);
    for (int compressed = 0; compressed < 2; compressed++) {
        save(ks, compressed);
        struct visit visit = {.ks = ks, .last_db = -1};
        const struct snapshot_visitor visitor = {&visit, visit_head, visit_database, NULL};
        struct snapshot_file_figures figures;
        char error[SNAPSHOT_ERROR_MAX];
        assert_int_equal(snapshot_check_file(path, &visitor, &figures, error), STATUS_OK);
        assert_int_equal(visit.heads, 1);
        assert_int_equal(visit.keys, figures.keys);
        assert_int_equal(figures.is_compressed, compressed);
        assert_true(digests_equal(figures.digest, keyspace_digest(ks)));
        struct stat stat_of;
        assert_int_equal(stat(path, &stat_of), 0);
        assert_int_equal(figures.file_bytes, stat_of.st_size);
        assert_true(compressed ? figures.content_bytes > figures.file_bytes : figures.content_bytes == figures.file_bytes);
        struct buf bytes = read_bytes(path);
        for (size_t at = 0; at < buf_size(&bytes); at += 1 + buf_size(&bytes) / 50) {
            buf_head(&bytes)[at] ^= 0x10;
            write_bytes(buf_slice(&bytes));
            assert_int_not_equal(snapshot_check_file(path, &(struct snapshot_visitor){0}, &figures, error), STATUS_OK);
            assert_true(*error);
            buf_head(&bytes)[at] ^= 0x10;
        }
        buf_deinit(&bytes);
    }
    keyspace_free(ks);
}

/* --- the lz4 tool -------------------------------------------------------------- */

static int lz4(const char *options, const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "lz4 %s '%s' %s 2>/dev/null", options, from, to);
    return system(command);
}

static void the_lz4_tool_verifies_and_unpacks_it(void **state)
{
    (void)state;
    if (system("command -v lz4 >/dev/null 2>&1") != 0)
        skip();
    struct keyspace *ks = make_full(3), *back = make_keyspace(secret_a, DATABASES);
    save(ks, false);
    struct buf plain = read_bytes(path);
    save(ks, true);
    char unpacked[160], error[SNAPSHOT_ERROR_MAX];
    snprintf(unpacked, sizeof unpacked, "%s.plain", path);
    assert_int_equal(lz4("-tq", path, ""), 0);
    assert_int_equal(lz4("-dqf", path, unpacked), 0);
    struct buf bytes = read_bytes(unpacked);
    assert_true(slice_equal(buf_slice(&bytes), buf_slice(&plain)));
    /* And what it packs, in its own way, is read. */
    assert_int_equal(lz4("-9 -qf", unpacked, path), 0);
    assert_int_equal(load(back, path, error), STATUS_OK);
    assert_same(ks, back);
    save(ks, true);
    buf_deinit(&bytes);
    bytes = read_bytes(path);
    buf_head(&bytes)[buf_size(&bytes) / 2] ^= 1;
    write_bytes(buf_slice(&bytes));
    assert_int_not_equal(lz4("-tq", path, ""), 0);
    buf_deinit(&bytes);
    buf_deinit(&plain);
    keyspace_free(ks);
    keyspace_free(back);
}

/* --- failing calls -------------------------------------------------------------- */

static int calls_left;
static struct file_ops failing;

static char order[4]; /* of the last calls */

static bool is_failure(char call)
{
    memmove(order, order + 1, 2);
    order[2] = call;
    if (calls_left-- != 0)
        return false;
    errno = ENOSPC;
    return true;
}

static int failing_open(const char *name, int flags, mode_t mode)
{
    if (flags & O_DIRECTORY)
        return open(name, flags, mode);
    return is_failure('o') ? -1 : open(name, flags, mode);
}
static ssize_t failing_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return is_failure('w') ? -1 : pwrite(fd, bytes, size, offset);
}
static int failing_fdatasync(int fd)
{
    return is_failure('d') ? -1 : fdatasync(fd);
}
static int failing_fsync(int fd)
{
    return is_failure('f') ? -1 : fsync(fd);
}
static int failing_rename(const char *from, const char *to)
{
    return is_failure('r') ? -1 : rename(from, to);
}

/* Whatever call fails, the file that was there before stays as it was until
 * the rename, nothing is left beside it, and the reason is told. */
static void a_failing_call_leaves_the_old_file(void **state)
{
    (void)state;
    struct keyspace *old = make_full(4), *fresh = make_full(5);
    save(old, true);
    struct buf before = read_bytes(path);
    failing = (struct file_ops){.open = failing_open, .close = close, .pread = pread, .pwrite = failing_pwrite,
                                .fdatasync = failing_fdatasync, .fsync = failing_fsync, .ftruncate = ftruncate,
                                .rename = failing_rename, .unlink = unlink};
    int failures = 0, calls = 0;
    for (;; calls++) {
        const struct snapshot_head head = sample_head();
        char error[SNAPSHOT_ERROR_MAX] = "";
        calls_left = calls;
        file_set_ops(&failing);
        enum status status = snapshot_write_file(fresh, &head, true, dir, "data.snapshot", NULL, NULL, error);
        int cause = errno;
        file_set_ops(NULL);
        if (status == STATUS_OK)
            break;
        assert_int_equal(status, STATUS_IO);
        assert_int_equal(cause, ENOSPC);
        assert_non_null(strstr(error, strerror(ENOSPC)));
        char temporary[160];
        snprintf(temporary, sizeof temporary, "%s.tmp", path);
        assert_int_equal(access(temporary, F_OK), -1);
        struct buf after = read_bytes(path);
        bool is_old = slice_equal(buf_slice(&after), buf_slice(&before));
        assert_true(is_old || strstr(error, "directory") != NULL);
        buf_deinit(&after);
        failures++;
    }
    assert_true(failures >= 6); /* open, writes, flush, rename, the directory's flush */
    assert_string_equal(order, "drf"); /* data on disk, then the name, then the directory */
    buf_deinit(&before);
    keyspace_free(old);
    keyspace_free(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_comes_back, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(cut_and_absent_files_are_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(checking_needs_no_keyspace, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(the_lz4_tool_verifies_and_unpacks_it, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_failing_call_leaves_the_old_file, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
