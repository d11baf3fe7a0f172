#include "resp/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"

/* Headers are a type byte, a decimal and CRLF. */
enum { HEADER_MAX = 1 + INT64_TEXT_MAX + 2 };

/* Writes the header at the given place, which has HEADER_MAX bytes of room.
 * Most values are below a thousand. */
static inline size_t write_header(char *at, char type, int64_t value)
{
    size_t length = 1;
    at[0] = type;
    if (__builtin_expect((uint64_t)value < 10, 1)) {
        at[length++] = (char)('0' + value);
    } else if ((uint64_t)value < 1000) {
        unsigned small = (unsigned)value;
        if (small >= 100) {
            at[length++] = (char)('0' + small / 100);
            small %= 100;
        }
        at[length++] = (char)('0' + small / 10);
        at[length++] = (char)('0' + small % 10);
    } else {
        length += int64_to_text(value, at + 1);
    }
    at[length++] = '\r';
    at[length++] = '\n';
    return length;
}

static inline void append_header(struct reply *r, char type, int64_t value)
{
    char *at = buf_reserve(r->out, HEADER_MAX);
    buf_extend(r->out, write_header(at, type, value));
}

static inline void append_aggregate(struct reply *r, char type, size_t count)
{
    if (r->out)
        append_header(r, type, (int64_t)count);
}

/* A header that states the length of what follows, and what follows. */
static inline void append_blob(struct reply *r, char type, const char *bytes, size_t size)
{
    char *at = buf_reserve(r->out, HEADER_MAX + size + 2);
    size_t length = write_header(at, type, (int64_t)size);
    if (size)
        memcpy(at + length, bytes, size);
    length += size;
    at[length++] = '\r';
    at[length++] = '\n';
    buf_extend(r->out, length);
}

/* A type byte and a short text on one line. */
static void append_line(struct reply *r, char type, const char *bytes, size_t size)
{
    char *at = buf_reserve(r->out, size + 3);
    at[0] = type;
    memcpy(at + 1, bytes, size);
    memcpy(at + 1 + size, "\r\n", 2);
    buf_extend(r->out, size + 3);
}

void reply_simple(struct reply *r, const char *text)
{
    if (r->out)
        append_line(r, '+', text, strlen(text));
}

/* An error line of size bytes was appended without its end: what a stranger
 * sent may be quoted in it, and must not end it early. */
static void end_error(struct buf *out, size_t size)
{
    char *line = out->data + out->tail - size;
    for (size_t i = 0; i < size; i++)
        if (line[i] == '\r' || line[i] == '\n')
            line[i] = ' ';
    buf_append(out, "\r\n", 2);
}

void reply_error(struct reply *r, const char *text)
{
    r->is_error = true;
    if (!r->out)
        return;
    size_t size = strlen(text);
    buf_append(r->out, "-", 1);
    buf_append(r->out, text, size);
    end_error(r->out, size);
}

void reply_error_format(struct reply *r, const char *format, ...)
{
    r->is_error = true;
    if (!r->out)
        return;
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(size >= 0);
    buf_append(r->out, "-", 1);
    char *line = buf_reserve(r->out, (size_t)size + 1);
    vsnprintf(line, (size_t)size + 1, format, again);
    va_end(again);
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == '\n'))
        size--;
    buf_extend(r->out, (size_t)size);
    end_error(r->out, (size_t)size);
}

void reply_int(struct reply *r, int64_t value)
{
    if (r->out)
        append_header(r, ':', value);
}

void reply_bulk(struct reply *r, struct slice bytes)
{
    if (r->out)
        append_blob(r, '$', bytes.ptr, bytes.len);
}

void reply_bulk_text(struct reply *r, const char *text)
{
    if (r->out)
        append_blob(r, '$', text, strlen(text));
}

void reply_bulk_int(struct reply *r, int64_t value)
{
    if (!r->out)
        return;
    char text[INT64_TEXT_MAX];
    append_blob(r, '$', text, int64_to_text(value, text));
}

void reply_null_array(struct reply *r)
{
    if (r->protocol == 2)
        reply_raw(r, "*-1\r\n", 5);
    else
        reply_raw(r, "_\r\n", 3);
}

void reply_array(struct reply *r, size_t count)
{
    append_aggregate(r, '*', count);
}

void reply_map(struct reply *r, size_t pairs)
{
    if (r->protocol == 2)
        append_aggregate(r, '*', pairs * 2);
    else
        append_aggregate(r, '%', pairs);
}

void reply_set(struct reply *r, size_t count)
{
    append_aggregate(r, r->protocol == 2 ? '*' : '~', count);
}

void reply_push(struct reply *r, size_t count)
{
    append_aggregate(r, r->protocol == 2 ? '*' : '>', count);
}

void reply_attribute(struct reply *r, size_t pairs)
{
    if (!r->out)
        return;
    CHECK(r->protocol == 3);
    append_header(r, '|', (int64_t)pairs);
}

/* Text of a number: a line of its own type in RESP3, a bulk string before. */
static void append_number(struct reply *r, char type, const char *text, size_t size)
{
    if (r->protocol == 2)
        append_blob(r, '$', text, size);
    else
        append_line(r, type, text, size);
}

void reply_double(struct reply *r, double value)
{
    if (!r->out)
        return;
    char text[DOUBLE_TEXT_MAX];
    append_number(r, ',', text, double_to_text(value, text));
}

void reply_long_double(struct reply *r, long double value)
{
    if (!r->out)
        return;
    char text[LONG_DOUBLE_TEXT_MAX];
    append_blob(r, '$', text, long_double_to_text(value, text));
}

void reply_coordinate(struct reply *r, long double value)
{
    if (!r->out)
        return;
    char text[LONG_DOUBLE_TEXT_MAX];
    append_number(r, ',', text, long_double_to_text(value, text));
}

void reply_bool(struct reply *r, bool value)
{
    if (r->protocol == 2)
        reply_int(r, value);
    else
        reply_raw(r, value ? "#t\r\n" : "#f\r\n", 4);
}

void reply_big_number(struct reply *r, struct slice digits)
{
    if (r->out)
        append_number(r, '(', digits.ptr, digits.len);
}

void reply_verbatim(struct reply *r, const char *format, struct slice text)
{
    if (!r->out)
        return;
    if (r->protocol == 2) {
        append_blob(r, '$', text.ptr, text.len);
        return;
    }
    CHECK(strlen(format) == 3);
    append_header(r, '=', (int64_t)text.len + 4);
    buf_append(r->out, format, 3);
    buf_append(r->out, ":", 1);
    buf_append_slice(r->out, text);
    buf_append(r->out, "\r\n", 2);
}

struct reply_deferred reply_begin(struct reply *r)
{
    if (!r->out)
        return (struct reply_deferred){0};
    struct reply_deferred begin = {buf_size(r->out)};
    buf_reserve(r->out, HEADER_MAX);
    buf_extend(r->out, HEADER_MAX);
    return begin;
}

static void end_aggregate(struct reply *r, struct reply_deferred begin, char type, size_t count)
{
    if (!r->out)
        return;
    struct buf *out = r->out;
    CHECK(buf_size(out) >= begin.offset + HEADER_MAX);
    char header[HEADER_MAX];
    size_t size = write_header(header, type, (int64_t)count);
    size_t gap = HEADER_MAX - size;
    char *place = buf_head(out) + begin.offset;
    size_t behind = buf_size(out) - begin.offset - HEADER_MAX;
    if (begin.offset < behind) {
        /* Offsets of enclosing aggregates count from the head, which moves too. */
        memmove(buf_head(out) + gap, buf_head(out), begin.offset);
        out->head += gap;
        memcpy(place + gap, header, size);
    } else {
        memmove(place + size, place + HEADER_MAX, behind);
        out->tail -= gap;
        memcpy(place, header, size);
    }
}

void reply_end_array(struct reply *r, struct reply_deferred begin, size_t count)
{
    end_aggregate(r, begin, '*', count);
}

void reply_end_map(struct reply *r, struct reply_deferred begin, size_t pairs)
{
    if (r->protocol == 2)
        end_aggregate(r, begin, '*', pairs * 2);
    else
        end_aggregate(r, begin, '%', pairs);
}

void reply_end_set(struct reply *r, struct reply_deferred begin, size_t count)
{
    end_aggregate(r, begin, r->protocol == 2 ? '*' : '~', count);
}

static size_t infinity_to_text(bool is_negative, char *text)
{
    memcpy(text, is_negative ? "-inf" : "inf", is_negative ? 4 : 3);
    return is_negative ? 4 : 3;
}

size_t long_double_to_text(long double value, char text[static LONG_DOUBLE_TEXT_MAX])
{
    if (isinf(value))
        return infinity_to_text(value < 0, text);
    int printed = snprintf(text, LONG_DOUBLE_TEXT_MAX, "%.17Lf", value);
    CHECK(printed > 0);
    CHECK(printed < LONG_DOUBLE_TEXT_MAX);
    size_t length = (size_t)printed;
    if (memchr(text, '.', length)) {
        while (text[length - 1] == '0')
            length--;
        if (text[length - 1] == '.')
            length--;
    }
    if (length == 2 && memcmp(text, "-0", 2) == 0) {
        text[0] = '0';
        length = 1;
    }
    return length;
}

size_t double_to_text(double value, char text[static DOUBLE_TEXT_MAX])
{
    if (isinf(value))
        return infinity_to_text(value < 0, text);
    /* %.17g prints these integers plainly, and scores mostly are such. */
    if (value > -1e15 && value < 1e15) {
        int64_t whole = (int64_t)value;
        bool is_whole = (double)whole >= value && (double)whole <= value;
        if (is_whole && (whole != 0 || !signbit(value)))
            return int64_to_text(whole, text);
    }
    int printed = snprintf(text, DOUBLE_TEXT_MAX, "%.17g", value);
    CHECK(printed > 0);
    CHECK(printed < DOUBLE_TEXT_MAX);
    return (size_t)printed;
}
