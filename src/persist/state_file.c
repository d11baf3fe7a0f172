#include "persist/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#include "persist/file.h"

#define FIRST_LINE "kvstore-state 1\n"
#define LAST_LINE "checksum "

enum { CHECKSUM_DIGITS = 16 };

void state_file_init(struct state_file *file)
{
    buf_init(&file->text);
}

void state_file_deinit(struct state_file *file)
{
    buf_deinit(&file->text);
}

/* --- lines ---------------------------------------------------------------- */

/* The next line of rest, without its end; rest begins behind it. */
static bool next_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *line = slice_make(rest->ptr, len);
    size_t taken = end ? len + 1 : len;
    *rest = slice_make(rest->ptr + taken, rest->len - taken);
    return true;
}

static bool is_named(struct slice line, const char *name)
{
    size_t len = strlen(name);
    return line.len > len && memcmp(line.ptr, name, len) == 0 && line.ptr[len] == ' ';
}

struct slice state_file_get(const struct state_file *file, const char *name)
{
    struct slice rest = buf_slice(&file->text), line;
    while (next_line(&rest, &line))
        if (is_named(line, name))
            return slice_make(line.ptr + strlen(name) + 1, line.len - strlen(name) - 1);
    return (struct slice){NULL, 0};
}

bool state_file_get_uint(const struct state_file *file, const char *name, uint64_t *value)
{
    struct slice text = state_file_get(file, name);
    return text.ptr && slice_to_uint64(text, value);
}

static void append_others(struct buf *out, const struct buf *text, const char *name)
{
    struct slice rest = buf_slice(text), line;
    while (next_line(&rest, &line)) {
        if (is_named(line, name))
            continue;
        buf_append_slice(out, line);
        buf_append(out, "\n", 1);
    }
}

void state_file_set(struct state_file *file, const char *name, const char *format, ...)
{
    char value[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    CHECK((size_t)length < sizeof value);
    CHECK(!memchr(value, '\n', (size_t)length));
    struct buf changed;
    buf_init(&changed);
    append_others(&changed, &file->text, name);
    buf_printf(&changed, "%s %s\n", name, value);
    buf_deinit(&file->text);
    file->text = changed;
}

/* --- the disk ------------------------------------------------------------- */

static void append_checksum(struct buf *out)
{
    uint64_t checksum = XXH3_64bits(buf_head(out), buf_size(out));
    buf_printf(out, LAST_LINE "%016llx\n", (unsigned long long)checksum);
}

static enum status check(struct slice bytes, struct slice *lines)
{
    size_t head = strlen(FIRST_LINE), tail = strlen(LAST_LINE) + CHECKSUM_DIGITS + 1;
    if (bytes.len < head + tail || memcmp(bytes.ptr, FIRST_LINE, head) != 0)
        return STATUS_MALFORMED;
    struct buf expected;
    buf_init(&expected);
    buf_append(&expected, bytes.ptr, bytes.len - tail);
    append_checksum(&expected);
    bool is_equal = slice_equal(buf_slice(&expected), bytes);
    buf_deinit(&expected);
    *lines = slice_make(bytes.ptr + head, bytes.len - head - tail);
    return is_equal ? STATUS_OK : STATUS_MALFORMED;
}

static enum status read_bytes(int fd, struct buf *bytes)
{
    uint64_t size;
    enum status status = file_size(fd, &size);
    if (status != STATUS_OK)
        return status;
    if (size > STATE_FILE_BYTES_MAX)
        return STATUS_MALFORMED;
    status = file_read(fd, buf_reserve(bytes, size + 1), size, 0);
    if (status == STATUS_OK)
        buf_extend(bytes, size);
    return status == STATUS_NOT_FOUND ? STATUS_MALFORMED : status;
}

enum status state_file_read(struct state_file *file, const char *path)
{
    int fd;
    if (file_open(&fd, path, O_RDONLY) != STATUS_OK)
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    struct buf bytes;
    buf_init(&bytes);
    struct slice lines;
    enum status status = read_bytes(fd, &bytes);
    if (status == STATUS_OK)
        status = check(buf_slice(&bytes), &lines);
    if (status == STATUS_OK) {
        buf_clear(&file->text);
        buf_append_slice(&file->text, lines);
    }
    buf_deinit(&bytes);
    file_close(fd);
    return status;
}

static enum status write_bytes(const char *path, struct slice bytes)
{
    int fd;
    enum status status = file_open(&fd, path, O_WRONLY | O_CREAT | O_TRUNC);
    if (status != STATUS_OK)
        return status;
    status = file_write(fd, bytes.ptr, bytes.len, 0);
    if (status == STATUS_OK)
        status = file_flush(fd);
    file_close(fd);
    return status;
}

/* The directory of path, into dir. */
static void directory_of(const char *path, char dir[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) : 1;
    snprintf(dir, PATH_MAX, "%.*s", len ? len : 1, slash ? path : ".");
}

enum status state_file_write(const struct state_file *file, const char *path)
{
    struct buf bytes;
    buf_init(&bytes);
    buf_append(&bytes, FIRST_LINE, strlen(FIRST_LINE));
    buf_append_slice(&bytes, buf_slice(&file->text));
    append_checksum(&bytes);
    char temporary[PATH_MAX], dir[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    directory_of(path, dir);
    enum status status = write_bytes(temporary, buf_slice(&bytes));
    if (status == STATUS_OK)
        status = file_rename(temporary, path);
    if (status == STATUS_OK)
        status = file_flush_dir_path(dir);
    buf_deinit(&bytes);
    return status;
}
