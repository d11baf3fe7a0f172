/* What SCAN, HSCAN, SSCAN and ZSCAN read and answer alike. */
#ifndef COMMAND_SCAN_H
#define COMMAND_SCAN_H

#include "base/buf.h"
#include "command/command.h"

struct scan_options {
    struct slice pattern, type; /* ptr NULL: any */
    int64_t count;              /* from 1 on */
};

/* Argument index as a cursor; writes Redis's error. */
bool scan_cursor(struct call *c, int index, uint64_t *cursor);
/* MATCH and COUNT, and TYPE where may_have_type, from argument first on. */
bool scan_parse(struct call *c, int first, bool may_have_type, struct scan_options *o);
/* True if MATCH lets this name through. */
bool scan_lets_through(const struct scan_options *o, struct slice name);
void scan_reply_cursor(struct call *c, uint64_t cursor);
/* All three for a command on one key: HSCAN key cursor ...  False, with the
 * reply written, for an error and for a key that is not there (*e is then
 * NULL), in Redis's order. */
bool scan_open(struct call *c, enum value_type type, struct entry **e, uint64_t *cursor, struct scan_options *o);

/* What a step found.  It is written apart, since the cursor, known only at its
 * end, stands before it. */
struct scan_found {
    const struct scan_options *options;
    struct reply reply; /* what visits write to */
    size_t count;       /* of bulk strings in it */
    struct buf out;
};
void scan_found_init(struct scan_found *found, const struct call *c, const struct scan_options *o);
/* Replies with the cursor and what was found, and frees it. */
void scan_finish(struct call *c, struct scan_found *found, uint64_t cursor);

#endif
