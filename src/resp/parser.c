#include "resp/parser.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"

enum {
    ARGV_CAPACITY_MIN = 16,
    ARGV_CAPACITY_KEPT = 256,    /* reset frees a larger argv */
    INLINE_CAPACITY_KEPT = 4096, /* and a larger store of inline bytes */
};

void resp_parser_init(struct resp_parser *p)
{
    *p = (struct resp_parser){.bulk_length = -1};
}

void resp_parser_deinit(struct resp_parser *p)
{
    mem_free(p->argv);
    mem_free(p->inline_bytes);
    resp_parser_init(p);
}

size_t resp_parser_memory(const struct resp_parser *p)
{
    return p->argv_capacity * sizeof *p->argv + p->inline_capacity;
}

void resp_parser_reset(struct resp_parser *p)
{
    p->stage = RESP_STAGE_START;
    p->argc = p->consumed = p->bytes_needed = 0;
    if (p->argv_capacity > ARGV_CAPACITY_KEPT) {
        mem_free(p->argv);
        p->argv = NULL;
        p->argv_capacity = 0;
    }
    if (p->inline_capacity > INLINE_CAPACITY_KEPT) {
        mem_free(p->inline_bytes);
        p->inline_bytes = NULL;
        p->inline_capacity = 0;
    }
}

static enum resp_result fail(struct resp_parser *p, const char *text)
{
    snprintf(p->error, sizeof p->error, "Protocol error: %s", text);
    return RESP_ERROR;
}

static enum resp_result fail_type(struct resp_parser *p, char got)
{
    if (got == '\r' || got == '\n')
        got = ' ';
    snprintf(p->error, sizeof p->error, "Protocol error: expected '$', got '%c'", got);
    return RESP_ERROR;
}

static enum resp_result need(struct resp_parser *p, size_t bytes_needed)
{
    p->bytes_needed = bytes_needed;
    return RESP_MORE;
}

static enum resp_result complete(struct resp_parser *p, size_t argc, size_t consumed)
{
    p->stage = RESP_STAGE_START;
    p->argc = argc;
    p->consumed = consumed;
    return argc ? RESP_COMMAND : RESP_EMPTY;
}

static __attribute__((noinline)) void grow_argv(struct resp_parser *p)
{
    size_t capacity = p->argv_capacity ? p->argv_capacity * 2 : ARGV_CAPACITY_MIN;
    p->argv = mem_realloc(p->argv, capacity * sizeof *p->argv);
    p->argv_capacity = capacity;
}

static inline void push_argument(struct resp_parser *p, const char *bytes, size_t len)
{
    if (__builtin_expect(p->arguments_read == p->argv_capacity, 0))
        grow_argv(p);
    p->argv[p->arguments_read++] = slice_make(bytes, len);
}

/* Finds the next end in [position, position + longest], not looking again at what an
 * earlier call looked at.  STATUS-like: found, not yet, or never within the
 * limit. */
enum search { SEARCH_FOUND, SEARCH_MORE, SEARCH_TOO_LONG };

static enum search find_end(struct resp_parser *p, const char *bytes, size_t len, char end, size_t longest,
                            size_t *at)
{
    size_t from = p->scanned > p->position ? p->scanned : p->position;
    size_t seen = len - p->position;
    size_t to = seen > longest ? p->position + longest + 1 : len;
    const char *hit = from < to ? memchr(bytes + from, end, to - from) : NULL;
    if (hit) {
        p->scanned = *at = (size_t)(hit - bytes);
        return SEARCH_FOUND;
    }
    p->scanned = to;
    return seen > longest ? SEARCH_TOO_LONG : SEARCH_MORE;
}

/* The common header at once: type byte, up to nine digits, CR and a byte.
 * Returns its length, or 0 when it is anything else: incomplete, long, wrong. */
static inline size_t quick_header(const char *bytes, size_t len, char type, int64_t *value)
{
    enum { QUICK_DIGITS_MAX = 9 };
    if (len < 4 || bytes[0] != type)
        return 0;
    unsigned digit = (unsigned)(unsigned char)bytes[1] - '0';
    if (digit > 9)
        return 0;
    if (bytes[2] == '\r') {
        *value = digit;
        return 4;
    }
    if (digit == 0)
        return 0;
    unsigned sum = digit;
    size_t last = len - 1 < QUICK_DIGITS_MAX + 1 ? len - 1 : QUICK_DIGITS_MAX + 1;
    size_t i = 2;
    while (i < last && (digit = (unsigned)(unsigned char)bytes[i] - '0') <= 9) {
        sum = sum * 10 + digit;
        i++;
    }
    if (i >= len - 1 || bytes[i] != '\r')
        return 0;
    *value = sum;
    return i + 2;
}

/* "*3\r\n".  RESP_COMMAND here means: read on. */
static enum resp_result parse_count(struct resp_parser *p, const char *bytes, size_t len,
                                    const struct resp_limits *limits)
{
    int64_t count;
    size_t length = p->scanned ? 0 : quick_header(bytes, len, '*', &count);
    if (!length) {
        size_t end;
        switch (find_end(p, bytes, len, '\r', limits->inline_bytes_max, &end)) {
        case SEARCH_MORE: return need(p, 0);
        case SEARCH_TOO_LONG: return fail(p, "too big mbulk count string");
        case SEARCH_FOUND: break;
        }
        if (end + 2 > len)
            return need(p, end + 2);
        if (!slice_to_int64(slice_make(bytes + 1, end - 1), &count) || count > RESP_ARGUMENTS_MAX)
            return fail(p, "invalid multibulk length");
        length = end + 2;
    }
    if (count > 0 && (size_t)count > limits->argument_count_max)
        return fail(p, limits->is_authenticated ? "invalid multibulk length" : "unauthenticated multibulk length");
    if (count <= 0)
        return complete(p, 0, length);
    p->position = length;
    p->arguments_expected = (size_t)count;
    p->stage = RESP_STAGE_ARGUMENTS;
    return RESP_COMMAND;
}

/* "$3\r\n" when it is not the common case: RESP_COMMAND means bulk_length and
 * position are set. */
static __attribute__((noinline)) enum resp_result parse_bulk_header(struct resp_parser *p, const char *bytes,
                                                                    size_t len,
                                                                    const struct resp_limits *limits)
{
    size_t end;
    switch (find_end(p, bytes, len, '\r', limits->inline_bytes_max, &end)) {
    case SEARCH_MORE: return need(p, 0);
    case SEARCH_TOO_LONG: return fail(p, "too big bulk count string");
    case SEARCH_FOUND: break;
    }
    if (end + 2 > len)
        return need(p, end + 2);
    if (bytes[p->position] != '$')
        return fail_type(p, bytes[p->position]);
    int64_t length;
    size_t digits = p->position + 1;
    if (!slice_to_int64(slice_make(bytes + digits, end - digits), &length) || length < 0)
        return fail(p, "invalid bulk length");
    if ((size_t)length > limits->bulk_bytes_max)
        return fail(p, limits->is_authenticated || length > RESP_BULK_BYTES_MAX
                           ? "invalid bulk length"
                           : "unauthenticated bulk length");
    p->bulk_length = length;
    p->position = end + 2;
    return RESP_COMMAND;
}

/* The hot loop keeps its place in locals: bytes are chars, which the compiler must
 * take for aliases of the parser's own fields. */
static enum resp_result parse_arguments(struct resp_parser *p, const char *bytes, size_t len,
                                        const struct resp_limits *limits)
{
    const size_t bulk_bytes_max = limits->bulk_bytes_max;
    size_t position = p->position, read = p->arguments_read;
    int64_t length = p->bulk_length;
    enum resp_result result = RESP_COMMAND;
    while (read < p->arguments_expected) {
        if (length < 0) {
            size_t header = quick_header(bytes + position, len - position, '$', &length);
            if (__builtin_expect(header && (size_t)length <= bulk_bytes_max, 1)) {
                position += header;
            } else {
                p->position = position;
                p->bulk_length = -1;
                result = parse_bulk_header(p, bytes, len, limits);
                position = p->position;
                length = p->bulk_length;
                if (result != RESP_COMMAND)
                    break;
            }
        }
        /* The length may be near SIZE_MAX if the limit allows it. */
        if (len - position < 2 || len - position - 2 < (size_t)length) {
            result = need(p, position + (size_t)length + 2);
            break;
        }
        if (__builtin_expect(read == p->argv_capacity, 0))
            grow_argv(p);
        p->argv[read++] = slice_make(bytes + position, (size_t)length);
        position += (size_t)length + 2;
        length = -1;
    }
    p->position = position;
    p->arguments_read = read;
    p->bulk_length = length;
    return result == RESP_COMMAND ? complete(p, read, position) : result;
}

/* --- inline lines ------------------------------------------------------------ */

/* The C locale's isspace, whatever the process's locale. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Inside double quotes, behind a backslash at line[*at]: the byte it stands
 * for.  Advances *at to the escape's last byte. */
static char unescape(struct slice line, size_t *at)
{
    const char *s = line.ptr + *at;
    size_t left = line.len - *at;
    if (s[0] == 'x' && left > 2 && hex_value(s[1]) >= 0 && hex_value(s[2]) >= 0) {
        *at += 2;
        return (char)(hex_value(s[1]) * 16 + hex_value(s[2]));
    }
    switch (s[0]) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return s[0];
    }
}

/* One argument that contains quotes, from line[*at], unescaped into to.
 * False: the quotes are unbalanced, or something clings to a closing one. */
static bool unquote(struct slice line, size_t *at, char *to, size_t *length)
{
    size_t written = 0;
    char quote = 0;
    for (size_t i = *at; i <= line.len; i++) {
        if (i == line.len || (!quote && is_space(line.ptr[i]))) {
            *at = i;
            *length = written;
            return !quote;
        }
        char c = line.ptr[i];
        if (!quote && (c == '"' || c == '\'')) {
            quote = c;
        } else if (quote && c == quote) {
            if (i + 1 < line.len && !is_space(line.ptr[i + 1]))
                return false;
            quote = 0;
        } else if (quote == '"' && c == '\\' && i + 1 < line.len) {
            i++;
            to[written++] = unescape(line, &i);
        } else if (quote == '\'' && c == '\\' && i + 1 < line.len && line.ptr[i + 1] == '\'') {
            to[written++] = line.ptr[++i];
        } else {
            to[written++] = c;
        }
    }
    CHECK_UNREACHABLE();
}

static bool split_line(struct resp_parser *p, struct slice line)
{
    size_t stored = 0;
    for (size_t i = 0; i < line.len;) {
        if (is_space(line.ptr[i])) {
            i++;
            continue;
        }
        size_t begin = i;
        bool has_quotes = false;
        while (i < line.len && !is_space(line.ptr[i]) && !has_quotes) {
            has_quotes = line.ptr[i] == '"' || line.ptr[i] == '\'';
            i++;
        }
        if (!has_quotes) {
            push_argument(p, line.ptr + begin, i - begin);
            continue;
        }
        /* Unescaping never lengthens, so the line's length bounds them all. */
        if (p->inline_capacity < line.len) {
            CHECK(stored == 0);
            mem_free(p->inline_bytes);
            p->inline_capacity = mem_good_size(line.len);
            p->inline_bytes = mem_alloc(p->inline_capacity);
        }
        size_t length;
        i = begin;
        if (!unquote(line, &i, p->inline_bytes + stored, &length))
            return false;
        push_argument(p, p->inline_bytes + stored, length);
        stored += length;
    }
    return true;
}

static enum resp_result parse_inline(struct resp_parser *p, const char *bytes, size_t len,
                                     const struct resp_limits *limits)
{
    size_t end;
    switch (find_end(p, bytes, len, '\n', limits->inline_bytes_max, &end)) {
    case SEARCH_MORE: return need(p, 0);
    case SEARCH_TOO_LONG: return fail(p, "too big inline request");
    case SEARCH_FOUND: break;
    }
    size_t length = end > 0 && bytes[end - 1] == '\r' ? end - 1 : end;
    if (!split_line(p, slice_make(bytes, length)))
        return fail(p, "unbalanced quotes in request");
    return complete(p, p->arguments_read, end + 1);
}

/* --- the whole ---------------------------------------------------------------- */

/* I2: the bytes moved, so the arguments read so far moved with them. */
static __attribute__((noinline)) void rebase(struct resp_parser *p, const char *bytes)
{
    for (size_t i = 0; i < p->arguments_read; i++)
        p->argv[i].ptr = bytes + ((uintptr_t)p->argv[i].ptr - p->base);
    p->base = (uintptr_t)bytes;
}

enum resp_result resp_parse(struct resp_parser *p, const char *bytes, size_t len,
                            const struct resp_limits *limits)
{
    if (p->stage == RESP_STAGE_START) {
        if (len == 0)
            return need(p, 0);
        p->stage = bytes[0] == '*' ? RESP_STAGE_COUNT : RESP_STAGE_INLINE;
        p->position = p->scanned = p->arguments_read = 0;
        p->bulk_length = -1;
        p->base = (uintptr_t)bytes;
    } else if (p->base != (uintptr_t)bytes) {
        rebase(p, bytes);
    }
    CHECK(len >= p->position);
    if (p->stage == RESP_STAGE_INLINE)
        return parse_inline(p, bytes, len, limits);
    if (p->stage == RESP_STAGE_COUNT) {
        enum resp_result result = parse_count(p, bytes, len, limits);
        if (result != RESP_COMMAND)
            return result;
    }
    return parse_arguments(p, bytes, len, limits);
}
