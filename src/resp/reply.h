/* Writing replies: RESP2 or RESP3, into a buf.
 *
 * A reply with out == NULL discards everything at the cost of a branch: that
 * is how a batch of another replica is applied.  Types that RESP2 lacks are
 * written in the form Redis 7.0.15 gives them there (a map as a flat array, a
 * double as a bulk string, ...). */
#ifndef RESP_REPLY_H
#define RESP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct reply {
    struct buf *out;  /* borrowed; NULL discards */
    uint8_t protocol; /* 2 or 3 */
    bool is_error;    /* an error was written or discarded (for command statistics) */
};

/* Fixed bytes, already in wire form. */
static inline void reply_raw(struct reply *r, const char *bytes, size_t size)
{
    if (r->out)
        buf_append(r->out, bytes, size);
}
static inline void reply_ok(struct reply *r)
{
    reply_raw(r, "+OK\r\n", 5);
}
static inline void reply_null(struct reply *r) /* $-1 or _ */
{
    if (r->protocol == 2)
        reply_raw(r, "$-1\r\n", 5);
    else
        reply_raw(r, "_\r\n", 3);
}

void reply_simple(struct reply *r, const char *text); /* +text */
/* "-text"; text begins with the code ("ERR ...", "WRONGTYPE ...").  Line
 * breaks inside become spaces. */
void reply_error(struct reply *r, const char *text);
/* The same; line breaks at the end are dropped, as Redis does for these. */
void reply_error_format(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_int(struct reply *r, int64_t value);
void reply_bulk(struct reply *r, struct slice bytes);
void reply_bulk_text(struct reply *r, const char *text);
void reply_bulk_int(struct reply *r, int64_t value); /* decimal, as a bulk string */
void reply_null_array(struct reply *r);              /* *-1 or _ */
void reply_array(struct reply *r, size_t count);
void reply_map(struct reply *r, size_t pairs);
void reply_set(struct reply *r, size_t count);
void reply_push(struct reply *r, size_t count); /* a plain array in RESP2 */
/* RESP3 alone: a client of RESP2 would take it for its reply. */
void reply_attribute(struct reply *r, size_t pairs);
void reply_double(struct reply *r, double value); /* text as double_to_text */
/* As INCRBYFLOAT prints it (long_double_to_text): a bulk string in both
 * protocols. */
void reply_long_double(struct reply *r, long double value);
/* The same text, but a double in RESP3: GEOPOS. */
void reply_coordinate(struct reply *r, long double value);
void reply_bool(struct reply *r, bool value); /* #t or :1 */
void reply_big_number(struct reply *r, struct slice digits);
/* format is three characters: "txt" or "mkd". */
void reply_verbatim(struct reply *r, const char *format, struct slice text);

/* An aggregate whose count is known only at its end.  Begin reserves room,
 * end writes the header there and closes the gap, by moving what lies before it
 * or behind it, whichever is less.  May nest.  Between begin and end nothing may
 * be consumed from out. */
struct reply_deferred {
    size_t offset; /* from buf head */
};
struct reply_deferred reply_begin(struct reply *r);
void reply_end_array(struct reply *r, struct reply_deferred begin, size_t count);
void reply_end_map(struct reply *r, struct reply_deferred begin, size_t pairs);
void reply_end_set(struct reply *r, struct reply_deferred begin, size_t count);

/* Shared by INCRBYFLOAT and replies: 17 digits behind the point without
 * trailing zeros, never an exponent; "inf", "-inf"; never "-0".  No terminator.
 * Returns the length. */
enum { LONG_DOUBLE_TEXT_MAX = 5 * 1024 };
size_t long_double_to_text(long double value, char text[static LONG_DOUBLE_TEXT_MAX]);
/* Redis 7.0's form: %.17g (0.1 is 0.10000000000000001), "inf", "-inf", "nan". */
enum { DOUBLE_TEXT_MAX = 32 };
size_t double_to_text(double value, char text[static DOUBLE_TEXT_MAX]);

#endif
