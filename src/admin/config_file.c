/* Files, command lines, CONFIG REWRITE. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/config.h"
#include "admin/words.h"
#include "base/alloc.h"
#include "base/buf.h"

/* --- reading ------------------------------------------------------------- */

static enum status read_all(int fd, struct buf *out)
{
    enum { CHUNK = 16 * 1024 };
    for (;;) {
        ssize_t got = read(fd, buf_reserve(out, CHUNK), CHUNK);
        if (got == 0)
            return STATUS_OK;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return STATUS_IO;
        buf_extend(out, (size_t)got);
        if (buf_size(out) > CONFIG_FILE_BYTES_MAX) {
            errno = EFBIG;
            return STATUS_IO;
        }
    }
}

static enum status read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return STATUS_IO;
    enum status status = read_all(fd, out);
    int reason = errno;
    close(fd);
    errno = reason;
    return status;
}

/* The next line of rest, without its end; false behind the last. */
static bool next_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t taken = end ? (size_t)(end - rest->ptr) + 1 : rest->len;
    *line = slice_make(rest->ptr, end ? taken - 1 : taken);
    *rest = slice_make(rest->ptr + taken, rest->len - taken);
    return true;
}

/* Blank lines too.  Quotes in a comment mean nothing. */
static bool is_comment(struct slice line)
{
    size_t at = 0;
    while (at < line.len && strchr(" \t\r\v\f", line.ptr[at]))
        at++;
    return at == line.len || line.ptr[at] == '#';
}

/* words[0] names the option, the rest is its value. */
static bool set_words(struct config *c, const struct words *w, char error[static CONFIG_ERROR_MAX])
{
    const struct config_row *row = config_find_row(w->words[0]);
    if (!row) {
        snprintf(error, CONFIG_ERROR_MAX, "there is no such option");
        return false;
    }
    if (w->count < 2 || (w->count > 2 && !(row->flags & CONFIG_MULTI))) {
        snprintf(error, CONFIG_ERROR_MAX, "wrong number of arguments");
        return false;
    }
    struct buf value;
    buf_init(&value);
    words_join(w, 1, &value);
    bool is_set = config_set_row(c, row, buf_slice(&value), error);
    buf_deinit(&value);
    if (is_set)
        c->given |= UINT64_C(1) << (row - config_rows);
    return is_set;
}

static bool load_line(struct config *c, struct slice line, char error[static CONFIG_ERROR_MAX])
{
    struct words w;
    if (is_comment(line))
        return true;
    if (line.len > CONFIG_LINE_BYTES_MAX || words_split(&w, line) != STATUS_OK) {
        snprintf(error, CONFIG_ERROR_MAX, "%s",
                 line.len > CONFIG_LINE_BYTES_MAX ? "the line is too long" : "unbalanced quotes");
        return false;
    }
    bool is_set = set_words(c, &w, error);
    words_deinit(&w);
    return is_set;
}

static bool load_text(struct config *c, const char *path, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    char reason[CONFIG_ERROR_MAX];
    struct slice line;
    for (int number = 1; next_line(&text, &line); number++) {
        if (load_line(c, line, reason))
            continue;
        enum { QUOTED_MAX = 100 };
        snprintf(error, CONFIG_ERROR_MAX, "%.200s:%d: '%.*s': %.180s", path, number,
                 (int)(line.len < QUOTED_MAX ? line.len : QUOTED_MAX), line.ptr, reason);
        return false;
    }
    return true;
}

bool config_load_file(struct config *c, const char *path, char error[static CONFIG_ERROR_MAX])
{
    bool is_input = strcmp(path, "-") == 0;
    struct buf text;
    buf_init(&text);
    enum status status = is_input ? read_all(STDIN_FILENO, &text) : read_file(path, &text);
    bool is_loaded = false;
    if (status == STATUS_OK)
        is_loaded = load_text(c, is_input ? "standard input" : path, buf_slice(&text), error);
    else
        snprintf(error, CONFIG_ERROR_MAX, "cannot read %.300s: %s", path, strerror(errno));
    char absolute[PATH_MAX];
    if (is_loaded && !is_input && realpath(path, absolute)) {
        mem_free(c->path);
        c->path = mem_strdup(absolute);
    }
    buf_deinit(&text);
    return is_loaded;
}

/* --- the command line ---------------------------------------------------- */

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] == '-';
}

/* How many arguments, the option's name included, belong to the option at
 * argv[0].  What stands right behind a name is its value even with dashes,
 * save that "--save --next" means an empty save, as in Redis. */
static int option_length(int argc, char *const *argv)
{
    int length = 1;
    bool is_bare = argc > 1 && strcmp(argv[0], "--save") == 0 && is_option(argv[1]);
    if (argc > 1 && !is_bare)
        length++;
    while (length > 1 && length < argc && !is_option(argv[length]))
        length++;
    return length;
}

/* "--port 7001" may also come as a single argument. */
static bool load_option(struct config *c, int argc, char *const *argv, char error[static CONFIG_ERROR_MAX])
{
    char reason[CONFIG_ERROR_MAX];
    bool is_loaded = false;
    if (argc == 1 && strchr(argv[0], ' ')) {
        is_loaded = load_line(c, slice_from(argv[0] + 2), reason);
    } else {
        struct slice empty = SLICE_LITERAL("");
        struct words w = {.words = mem_calloc((size_t)argc + 1, sizeof *w.words), .count = (size_t)argc};
        w.words[0] = slice_from(argv[0] + 2);
        for (int i = 1; i < argc; i++)
            w.words[i] = slice_from(argv[i]);
        if (argc == 1 && slice_is(w.words[0], "save"))
            w.words[w.count++] = empty;
        is_loaded = set_words(c, &w, reason);
        words_deinit(&w);
    }
    if (!is_loaded)
        snprintf(error, CONFIG_ERROR_MAX, "%.100s: %.300s", argv[0], reason);
    return is_loaded;
}

static bool load_options(struct config *c, int argc, char *const *argv, char error[static CONFIG_ERROR_MAX])
{
    for (int i = 0, length; i < argc; i += length) {
        if (!is_option(argv[i])) {
            snprintf(error, CONFIG_ERROR_MAX, "'%.100s': options begin with --, the file comes first", argv[i]);
            return false;
        }
        length = option_length(argc - i, argv + i);
        if (!load_option(c, length, argv + i, error))
            return false;
    }
    return true;
}

bool config_is_given(const struct config *c, const struct config_row *row)
{
    return c->given >> (row - config_rows) & 1;
}

static bool is_given(const struct config *c, const char *name)
{
    return config_is_given(c, config_find_row(slice_from(name)));
}

/* What a member of a cluster takes where nothing was given. */
static void take_member_defaults(struct config *c)
{
    for (int i = 0; i < c->member_count; i++)
        if (c->members[i].id == c->cluster_self && !is_given(c, "port"))
            c->port = c->members[i].port;
    if (!is_given(c, "appendonly"))
        c->is_journaled = true;
    if (!is_given(c, "appendfsync"))
        c->journal_mode = JOURNAL_ALWAYS;
}

static bool finish(struct config *c, char error[static CONFIG_ERROR_MAX])
{
    if (c->cluster_self || c->member_count)
        take_member_defaults(c);
    const char *conflict = config_conflict(c);
    if (conflict)
        snprintf(error, CONFIG_ERROR_MAX, "%s", conflict);
    return !conflict;
}

bool config_load_arguments(struct config *c, int argc, char *const *argv, char error[static CONFIG_ERROR_MAX])
{
    int first = 1;
    bool is_input = false;
    const char *path = NULL;
    if (first < argc && !is_option(argv[first]) && strcmp(argv[first], "-") != 0)
        path = argv[first++];
    if (first < argc && strcmp(argv[first], "-") == 0) {
        is_input = true;
        first++;
    }
    if (!is_input && argc > first && strcmp(argv[argc - 1], "-") == 0) {
        is_input = true;
        argc--;
    }
    return (!path || config_load_file(c, path, error)) && (!is_input || config_load_file(c, "-", error)) &&
           load_options(c, argc - first, argv + first, error) && finish(c, error);
}

/* --- CONFIG REWRITE ------------------------------------------------------ */

static void print_option(const struct config *c, const struct config_row *row, struct buf *out)
{
    struct buf value;
    buf_init(&value);
    config_print_row_for_file(c, row, &value);
    buf_printf(out, "%s ", row->name);
    if (row->flags & CONFIG_MULTI && buf_size(&value))
        buf_append_slice(out, buf_slice(&value));
    else
        words_quote(buf_slice(&value), out);
    buf_append(out, "\n", 1);
    buf_deinit(&value);
}

/* The option a line of the file sets, NULL for comments and blank lines. */
static const struct config_row *row_of_line(struct slice line)
{
    struct words w;
    if (is_comment(line) || words_split(&w, line) != STATUS_OK)
        return NULL;
    const struct config_row *row = config_find_row(w.words[0]);
    words_deinit(&w);
    return row;
}

static void rewrite_lines(const struct config *c, struct slice text, bool *is_written, struct buf *out)
{
    struct slice line;
    while (next_line(&text, &line)) {
        const struct config_row *row = row_of_line(line);
        if (!row) {
            buf_append_slice(out, line);
            buf_append(out, "\n", 1);
        } else if (!is_written[row - config_rows]) {
            is_written[row - config_rows] = true;
            print_option(c, row, out);
        }
    }
}

static bool is_at_default(const struct config *c, const struct config *defaults, const struct config_row *row)
{
    struct buf now, before;
    buf_init(&now);
    buf_init(&before);
    config_print_row(c, row, &now);
    config_print_row(defaults, row, &before);
    bool is_same = slice_equal(buf_slice(&now), buf_slice(&before));
    buf_deinit(&now);
    buf_deinit(&before);
    return is_same;
}

static void append_missing(const struct config *c, struct slice old, const bool *is_written, struct buf *out)
{
    static const char mark[] = "# Generated by CONFIG REWRITE\n";
    bool is_marked = old.len && memmem(old.ptr, old.len, mark, sizeof mark - 1);
    struct config *defaults = config_create();
    for (size_t i = 0; i < config_row_count; i++) {
        if (is_written[i] || is_at_default(c, defaults, &config_rows[i]))
            continue;
        if (!is_marked)
            buf_append(out, mark, sizeof mark - 1);
        is_marked = true;
        print_option(c, &config_rows[i], out);
    }
    config_free(defaults);
}

static enum status write_all(int fd, struct slice bytes)
{
    while (bytes.len) {
        ssize_t written = write(fd, bytes.ptr, bytes.len);
        if (written < 0 && errno != EINTR)
            return STATUS_IO;
        if (written > 0)
            bytes = slice_make(bytes.ptr + written, bytes.len - (size_t)written);
    }
    return fsync(fd) == 0 ? STATUS_OK : STATUS_IO;
}

/* The rename itself is on disk once the directory is. */
static enum status flush_directory_of(const char *path)
{
    char directory[PATH_MAX];
    size_t length = (size_t)(strrchr(path, '/') - path);
    snprintf(directory, sizeof directory, "%.*s", (int)(length ? length : 1), path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return STATUS_IO;
    enum status status = fsync(fd) == 0 ? STATUS_OK : STATUS_IO;
    close(fd);
    return status;
}

/* Puts bytes in the place of the file at path, all or nothing. */
static enum status replace_file(const char *path, struct slice bytes)
{
    char temporary[PATH_MAX];
    struct stat old;
    mode_t mode = stat(path, &old) == 0 ? old.st_mode & 0777 : 0644;
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return STATUS_IO;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return STATUS_IO;
    enum status status = write_all(fd, bytes);
    if (status == STATUS_OK && fchmod(fd, mode) != 0)
        status = STATUS_IO;
    if (close(fd) != 0)
        status = STATUS_IO;
    if (status == STATUS_OK && rename(temporary, path) != 0)
        status = STATUS_IO;
    if (status == STATUS_OK)
        return flush_directory_of(path);
    int reason = errno;
    unlink(temporary);
    errno = reason;
    return status;
}

enum status config_rewrite(const struct config *c)
{
    struct buf old, new;
    buf_init(&old);
    buf_init(&new);
    bool is_written[CONFIG_ROWS_MAX] = {false};
    enum status status = c->path ? read_file(c->path, &old) : STATUS_NOT_FOUND;
    if (status == STATUS_IO && errno == ENOENT)
        status = STATUS_OK; /* it was removed: write a new one */
    if (status == STATUS_OK) {
        rewrite_lines(c, buf_slice(&old), is_written, &new);
        append_missing(c, buf_slice(&old), is_written, &new);
        status = replace_file(c->path, buf_slice(&new));
    }
    buf_deinit(&old);
    buf_deinit(&new);
    return status;
}
