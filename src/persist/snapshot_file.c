/* Snapshots in files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "persist/file.h"
#include "persist/snapshot_reader.h"

enum { READ_BYTES = 1 << 20 };

/* --- writing --------------------------------------------------------------- */

struct file_sink {
    int fd;
    uint64_t offset;
    void (*progress)(void *context, uint64_t keys_done);
    void *context;
};

static enum status write_piece(void *context, const void *bytes, size_t size)
{
    struct file_sink *sink = context;
    enum status status = file_write(sink->fd, bytes, size, sink->offset);
    if (status == STATUS_OK)
        sink->offset += size;
    return status;
}

static void pass_progress(void *context, uint64_t keys_done)
{
    const struct file_sink *sink = context;
    sink->progress(sink->context, keys_done);
}

/* step tells which step failed. */
static enum status write_and_flush(struct keyspace *ks, const struct snapshot_head *head, bool is_compressed,
                                   struct file_sink *sink, const char **step)
{
    const struct snapshot_write_options options = {.is_compressed = is_compressed,
                                                   .sink = write_piece,
                                                   .context = sink,
                                                   .progress = sink->progress ? pass_progress : NULL};
    *step = "write";
    enum status status = snapshot_write(ks, head, &options);
    if (status != STATUS_OK)
        return status;
    *step = "flush";
    return file_flush(sink->fd);
}

static enum status put_in_place(const char *dir, const char *temporary, const char *path, const char **step)
{
    *step = "rename";
    enum status status = file_rename(temporary, path);
    if (status != STATUS_OK)
        return status;
    *step = "flush the directory of";
    return file_flush_dir_path(dir);
}

static char *join(const char *dir, const char *name, const char *ending)
{
    size_t size = strlen(dir) + 1 + strlen(name) + strlen(ending) + 1;
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/%s%s", dir, name, ending);
    return path;
}

/* The temporary file has a fixed name: one that a killed process left behind is
 * written over. */
enum status snapshot_write_file(struct keyspace *ks, const struct snapshot_head *head, bool is_compressed,
                                const char *dir, const char *name,
                                void (*progress)(void *context, uint64_t keys_done), void *context,
                                char error[static SNAPSHOT_ERROR_MAX])
{
    char *path = join(dir, name, ""), *temporary = join(dir, name, ".tmp");
    struct file_sink sink = {.fd = -1, .progress = progress, .context = context};
    const char *step = "create";
    enum status status = file_open(&sink.fd, temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (status == STATUS_OK) {
        status = write_and_flush(ks, head, is_compressed, &sink, &step);
        int cause = errno;
        file_close(sink.fd);
        errno = cause;
        if (status == STATUS_OK)
            status = put_in_place(dir, temporary, path, &step);
        if (status != STATUS_OK) {
            cause = errno;
            enum status ignored = file_remove(temporary); /* it may be gone already */
            (void)ignored;
            errno = cause;
        }
    }
    if (status != STATUS_OK) {
        int cause = errno;
        snprintf(error, SNAPSHOT_ERROR_MAX, "cannot %s %s: %s", step, temporary,
                 status == STATUS_IO ? strerror(cause) : status_text(status));
        errno = cause;
    }
    mem_free(temporary);
    mem_free(path);
    return status;
}

/* --- reading --------------------------------------------------------------- */

typedef void read_progress_fn(void *context, uint64_t bytes_done, uint64_t bytes_total);

/* STATUS_IO without a text. */
static enum status read_all(struct snapshot_reader *reader, int fd, read_progress_fn *progress, void *context)
{
    uint64_t total;
    enum status status = file_size(fd, &total);
    if (status != STATUS_OK)
        return status;
    snapshot_reader_expect_bytes(reader, total);
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    char *bytes = mem_alloc(READ_BYTES);
    status = STATUS_AGAIN;
    for (uint64_t done = 0; done < total && (status == STATUS_AGAIN || status == STATUS_OK);) {
        size_t piece = total - done < READ_BYTES ? (size_t)(total - done) : READ_BYTES;
        enum status read = file_read(fd, bytes, piece, done);
        if (read != STATUS_OK) {
            status = read == STATUS_NOT_FOUND ? STATUS_AGAIN : read; /* it was cut meanwhile */
            break;
        }
        status = snapshot_feed(reader, bytes, piece);
        done += piece;
        if (progress)
            progress(context, done, total);
    }
    mem_free(bytes);
    return status == STATUS_AGAIN ? snapshot_reader_end_of_file(reader) : status;
}

enum status snapshot_read_file(struct snapshot_reader *reader, const char *path, read_progress_fn *progress,
                               void *context)
{
    int fd;
    enum status status = file_open(&fd, path, O_RDONLY);
    if (status == STATUS_OK) {
        status = read_all(reader, fd, progress, context);
        int cause = errno;
        file_close(fd);
        errno = cause;
    }
    if (status == STATUS_IO && *snapshot_reader_error(reader) == 0) {
        int cause = errno;
        status = snapshot_reader_fail_io(reader, path, strerror(cause));
        errno = cause;
    }
    return status;
}

/* --- checking -------------------------------------------------------------- */

struct check {
    const struct snapshot_visitor *visitor;
    uint64_t file_bytes;
};

static void check_progress(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    struct check *check = context;
    check->file_bytes = bytes_total;
    if (check->visitor->on_progress)
        check->visitor->on_progress(check->visitor->context, bytes_done, bytes_total);
}

enum status snapshot_check_file(const char *path, const struct snapshot_visitor *visitor,
                                struct snapshot_file_figures *figures, char error[static SNAPSHOT_ERROR_MAX])
{
    struct check check = {.visitor = visitor};
    struct snapshot_reader *reader = snapshot_reader_create_checker(visitor);
    enum status status = snapshot_read_file(reader, path, check_progress, &check);
    if (status == STATUS_OK) {
        snapshot_reader_get_figures(reader, figures);
        figures->file_bytes = check.file_bytes;
    } else {
        snprintf(error, SNAPSHOT_ERROR_MAX, "%s", snapshot_reader_error(reader));
    }
    snapshot_reader_free(reader);
    return status;
}
