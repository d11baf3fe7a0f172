/* Streams: the value of a key of VALUE_STREAM.  Entries, each a list of fields
 * and values under an id that is above all before it; and groups of consumers
 * that share them out.
 *
 *   nodes    tree of xstream_node.h, by id: some entries in one listpack
 *   groups   tree, by name (xstream_group.h)
 *
 * One form.  What stays the same on all replicas, and in DUMP: nodes begin and
 * end where stream-node-max-bytes and stream-node-max-entries had them, trimming
 * without exactness removes whole nodes, and XINFO tells how many there are.
 *
 * A stream may be empty and stay, with its last id and its groups.
 *
 * I1: nodes ascend: the last entry of one is below the id of the next.
 * I2: length is the number of entries that are not deleted; first_id the first
 *     of them, zero if there is none.
 * I3: no entry is above last_id.
 * I4: radix_nodes is what xstream_radix.h says of the ids of the nodes.
 * I5: pending_count is the number of pending entries of all groups.
 *
 * Costs: O(log n) to find a node, and a walk in it. */
#ifndef STORE_XSTREAM_VALUE_H
#define STORE_XSTREAM_VALUE_H

#include "store/xstream_node.h"
#include "store/tree.h"
#include "store/value.h"

struct xstream {
    struct tree nodes, groups;
    uint64_t length, entries_added, pending_count, radix_nodes;
    struct xstream_id last_id, first_id, max_deleted_id;
};

/* Empty. */
struct value xstream_create(void);
/* All at once, for values that are in no entry. */
void xstream_free(struct value v);
static inline struct xstream *xstream_of(const struct value *v)
{
    return v->at;
}

/* --- adding ---------------------------------------------------------------------- */

enum { XSTREAM_APPENDED, XSTREAM_ID_TOO_SMALL, XSTREAM_TOO_LARGE };
/* words: fields and values in turn, count pairs, at least one.  id must be above
 * last_id; what is too large for a listpack is refused. */
int xstream_append(struct xstream *s, const struct value_env *env, struct xstream_id id, const struct slice *words,
                  size_t count) __attribute__((warn_unused_result));

/* --- walking --------------------------------------------------------------------- */

struct xstream_iterator {
    struct xstream_id start, end;
    bool is_reverse;
    struct tree_place place;
    struct xstream_head head; /* lp NULL: no node was begun */
    const char *next;        /* ascending: element of the next entry; descending: of the entry read last */
    struct xstream_entry entry;
};
/* Entries from start to end, both included; from end to start if is_reverse. */
void xstream_iterate(struct xstream_iterator *i, const struct xstream *s, struct xstream_id start, struct xstream_id end,
                    bool is_reverse);
/* The next entry that is not deleted, in i->entry; false at the end.  Good until
 * the next call or change. */
bool xstream_next(struct xstream_iterator *i);
static inline bool xstream_next_field(struct xstream_iterator *i, struct slice *field, struct slice *value)
{
    return xstream_entry_next(&i->entry, i->head.lp, field, value);
}
bool xstream_has(const struct xstream *s, struct xstream_id id);
/* Of the entries that are not deleted; zero if there is none. */
struct xstream_id xstream_top_id(const struct xstream *s);

/* --- removing -------------------------------------------------------------------- */

/* False if there is no such entry.  Leaves first_id as it is: xstream_settle. */
bool xstream_remove(struct xstream *s, struct xstream_id id);
/* Finds first_id, after removals. */
void xstream_settle(struct xstream *s);

struct xstream_trim {
    enum { XSTREAM_TRIM_NONE, XSTREAM_TRIM_LENGTH, XSTREAM_TRIM_ID } kind;
    bool is_rough; /* whole nodes only */
    uint64_t length;     /* at most so many stay */
    struct xstream_id id; /* those below go */
    uint64_t limit;      /* at most so many go; 0: no limit */
};
/* From the oldest on; returns how many entries were removed. */
uint64_t xstream_trim(struct xstream *s, const struct xstream_trim *trim);

/* --- for values that come from outside ----------------------------------------------- */

/* Takes an id and the bytes of a node, above all others; false, and nothing is
 * changed, if they are not sound.  Of the stream's fields it sets length,
 * first_id, radix_nodes and, if lower, last_id. */
bool xstream_load_node(struct xstream *s, struct xstream_id id, struct slice bytes);

#endif
