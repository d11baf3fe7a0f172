/* What the files on streams share. */
#ifndef COMMAND_XSTREAM_H
#define COMMAND_XSTREAM_H

#include "command/command.h"
#include "store/xstream_group.h"
#include "store/xstream_value.h"

/* --- ids as arguments: on failure these write Redis's error and return false ------ */

/* Numbers as strtoull of C takes them, sign and blanks included, since Redis
 * asks it; what comes behind a zero byte is not looked at. */
struct xstream_id_form {
    uint64_t missing_seq; /* for "ms" alone */
    bool is_strict;       /* "-" and "+" are no ids */
    bool *is_seq_given;   /* not NULL: "ms-*" may be said, and whether it was not */
};
bool xstream_read_id(struct call *c, int index, const struct xstream_id_form *form, struct xstream_id *id);
/* The same without an error. */
bool xstream_id_of(struct slice text, const struct xstream_id_form *form, struct xstream_id *id);
/* Strict, missing seq 0: where one entry is meant. */
bool xstream_read_strict_id(struct call *c, int index, struct xstream_id *id);
/* Ends of an interval: "(" in front leaves the id itself out. */
bool xstream_read_start(struct call *c, int index, struct xstream_id *id);
bool xstream_read_end(struct call *c, int index, struct xstream_id *id);
/* Arguments from first on, all strict; freed with mem_free. */
struct xstream_id *xstream_read_ids(struct call *c, int first, int count);
/* True if the argument is this one word, in this case. */
static inline bool xstream_is_word(const struct call *c, int index, const char *word)
{
    return slice_equal(c->argv[index], slice_from(word));
}

/* --- replies -------------------------------------------------------------------- */

enum { XSTREAM_ID_TEXT_MAX = 2 * (INT64_TEXT_MAX + 1) };
struct slice xstream_id_text(struct xstream_id id, char text[static XSTREAM_ID_TEXT_MAX]);
void xstream_reply_id(struct reply *r, struct xstream_id id);
/* The id and the fields of the iterator's entry. */
void xstream_reply_entry(struct reply *r, struct xstream_iterator *i);
/* One entry; false, and nothing is written, if there is none. */
bool xstream_reply_one(struct reply *r, const struct xstream *s, struct xstream_id id);
/* An array of entries; count 0: all. */
void xstream_reply_range(struct reply *r, const struct xstream *s, struct xstream_id start, struct xstream_id end,
                        uint64_t count, bool is_reverse);

/* --- groups --------------------------------------------------------------------- */

/* The stream and the group of arguments 1 and 2, as for reading.  False, with an
 * error written, if one is not there. */
bool xstream_find_group(struct call *c, struct xstream **s, struct xstream_group **g);
/* The same of the entry of argument 1, found before; e may be NULL. */
bool xstream_group_in(struct call *c, const struct entry *e, struct xstream **s, struct xstream_group **g);
/* The consumer, seen now; made, with its event, if it is not there. */
struct xstream_consumer *xstream_meet_consumer(struct call *c, struct xstream_group *g, struct slice name,
                                             struct slice key);
/* A change that Redis tells nobody who watches: counted, nothing else. */
static inline void xstream_count_changes(struct call *c, uint64_t count)
{
    keyspace_count_changes(c->ks, count);
}

/* --- rows ----------------------------------------------------------------------- */

#define XSTREAM_ROW(name_, arity_, route_, flags_)                                                            \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_STREAM, .group = "stream"
#define XSTREAM_SUBROW(name_, handler_, arity_, route_, flags_)                                               \
    .name = #name_, .handler = (handler_), .arity = (arity_), .route = ROUTE_##route_,                       \
    .flags = (flags_), .categories = CATEGORY_STREAM, .group = "stream"

#define XSTREAM_KEY_ARGUMENT ARGUMENT("key", KEY)
#define XSTREAM_ID_ARGUMENTS ARGUMENT("id", STRING, .flags = ARGUMENT_MULTIPLE)
#define XSTREAM_COUNT_ARGUMENT ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL)

#define ERROR_XSTREAM_ID "ERR Invalid stream ID specified as stream command argument"

#endif
