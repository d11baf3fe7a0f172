/* Writing replies: RESP2 or RESP3, into a buf.
 *
 * A reply with out == NULL discards everything at the cost of a branch: that
 * is how a batch of another replica is applied.  Types that RESP2 lacks are
 * written in the form Redis 7 gives them there (a map as a flat array, a
 * double as a bulk string, ...). */
#ifndef RESP_REPLY_H
#define RESP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct reply {
    struct buf *out;     /* borrowed; NULL discards */
    uint8_t protocol;    /* 2 or 3 */
    bool is_error;       /* an error was written (for command statistics) */
};

void reply_simple(struct reply *r, const char *text); /* +text */
void reply_ok(struct reply *r);
/* "-text"; text begins with the code ("ERR ...", "WRONGTYPE ...").  Line
 * breaks inside become spaces. */
void reply_error(struct reply *r, const char *text);
void reply_error_format(struct reply *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_int(struct reply *r, int64_t value);
void reply_bulk(struct reply *r, struct slice bytes);
void reply_bulk_text(struct reply *r, const char *text);
void reply_bulk_int(struct reply *r, int64_t value); /* decimal, as a bulk string */
void reply_null(struct reply *r);       /* $-1 or _ */
void reply_null_array(struct reply *r); /* *-1 or _ */
void reply_array(struct reply *r, size_t count);
void reply_map(struct reply *r, size_t pairs);
void reply_set(struct reply *r, size_t count);
void reply_push(struct reply *r, size_t count);
void reply_attribute(struct reply *r, size_t pairs);
void reply_double(struct reply *r, double value);       /* shortest text that reads back as value */
void reply_long_double(struct reply *r, long double value); /* as INCRBYFLOAT prints it, a bulk string */
void reply_bool(struct reply *r, bool value);           /* #t or :1 */
void reply_big_number(struct reply *r, struct slice digits);
/* format is three characters: "txt" or "mkd". */
void reply_verbatim(struct reply *r, const char *format, struct slice text);

/* An aggregate whose count is known only at its end.  Begin reserves room,
 * end writes the header there and closes the gap.  May nest. */
struct reply_deferred {
    size_t offset; /* from buf head */
};
struct reply_deferred reply_begin(struct reply *r);
void reply_end_array(struct reply *r, struct reply_deferred begin, size_t count);
void reply_end_map(struct reply *r, struct reply_deferred begin, size_t pairs);
void reply_end_set(struct reply *r, struct reply_deferred begin, size_t count);

/* Shared by INCRBYFLOAT and replies: %.17Lg-like fixed text without trailing
 * zeros, Redis's "human" form.  Returns the length. */
enum { LONG_DOUBLE_TEXT_MAX = 5 * 1024 };
size_t long_double_to_text(long double value, char text[static LONG_DOUBLE_TEXT_MAX]);
enum { DOUBLE_TEXT_MAX = 32 };
size_t double_to_text(double value, char text[static DOUBLE_TEXT_MAX]);

#endif
