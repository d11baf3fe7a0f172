/* xstream_node: some entries of a stream, neighbours, in one listpack.
 *
 * The bytes are those of Redis's nodes, so that DUMP and RESTORE move them as
 * they are.  First what all entries share:
 *
 *   count deleted num-fields field-1 ... field-N 0
 *
 * then the entries, ascending, each in one of two forms:
 *
 *   flags ms seq num-fields field-1 value-1 ... field-N value-N lp-count
 *   flags ms seq value-1 ... value-N lp-count          (with XSTREAM_SAME_FIELDS)
 *
 * ms and seq are differences to the node's id, the id of its first entry when
 * it was made; lp-count is how many elements lie before it in the entry, for
 * walking backwards.  An entry removed stays, marked XSTREAM_DELETED: count tells
 * those that are left, deleted the others.  A node goes with its last entry,
 * but for one that was trimmed by id between an entry left and one deleted.
 *
 * Costs: adding at the end O(bytes added); everything else is a walk. */
#ifndef STORE_XSTREAM_NODE_H
#define STORE_XSTREAM_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/listpack.h"

struct xstream_id {
    uint64_t ms, seq;
};
#define XSTREAM_ID_ZERO ((struct xstream_id){0, 0})
#define XSTREAM_ID_MAX  ((struct xstream_id){UINT64_MAX, UINT64_MAX})

static inline int xstream_id_compare(struct xstream_id a, struct xstream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}
static inline bool xstream_id_is_zero(struct xstream_id id)
{
    return id.ms == 0 && id.seq == 0;
}
/* The next and the previous id; false, and *id is unchanged, if there is none. */
bool xstream_id_increment(struct xstream_id *id);
bool xstream_id_decrement(struct xstream_id *id);

enum { XSTREAM_DELETED = 1, XSTREAM_SAME_FIELDS = 2 };

struct xstream_node {
    struct xstream_id id;
    char *lp; /* owned */
};

/* The listpack's bytes. */
static inline struct slice xstream_node_bytes(const struct xstream_node *n)
{
    return slice_make(n->lp, listpack_bytes(n->lp));
}

/* The head of a node.  Addresses live until the node's next change. */
struct xstream_head {
    struct xstream_id id;
    const char *lp;
    uint64_t count, deleted;
    size_t field_count;
    const char *fields; /* element of the first */
    const char *first;  /* of the first entry */
};
struct xstream_head xstream_node_head(const struct xstream_node *n);
/* Entries left.  O(1). */
uint64_t xstream_node_count(const struct xstream_node *n);
/* Entries left and deleted.  O(1). */
uint64_t xstream_node_total(const struct xstream_node *n);

/* An entry, and how far its fields have been read. */
struct xstream_entry {
    struct xstream_id id;
    size_t field_count;
    bool is_deleted;
    const char *at;       /* element of its flags */
    const char *field_at; /* elements of the next field and value */
    const char *value_at;
    size_t fields_left;
    bool has_own_fields;
    char field_text[INT64_TEXT_MAX], value_text[INT64_TEXT_MAX];
};
/* The entry that begins at an element of the node. */
void xstream_entry_read(struct xstream_entry *e, const struct xstream_head *head, const char *at);
/* False when all have been read.  The slices live until the next call or
 * change. */
bool xstream_entry_next(struct xstream_entry *e, const char *lp, struct slice *field, struct slice *value);
/* The element the next entry begins with; NULL: there is none.  Passes over what
 * has not been read. */
const char *xstream_entry_end(struct xstream_entry *e, const char *lp);
/* The element the entry before this one begins with, at NULL the last one's;
 * NULL: there is none. */
const char *xstream_entry_before(const struct xstream_head *head, const char *at);

/* --- changing ------------------------------------------------------------------ */

/* words: fields and values in turn, count pairs, at least one.  Their bytes must
 * have passed xstream_words_fit. */
struct xstream_node *xstream_node_create(struct xstream_id id, const struct slice *words, size_t count);
struct xstream_node *xstream_node_copy(const struct xstream_node *n);
void xstream_node_free(struct xstream_node *n);
/* Behind all others; room for the words is the caller's business
 * (xstream_node_has_room). */
void xstream_node_append(struct xstream_node *n, struct xstream_id id, const struct slice *words, size_t count);
/* Gives back what appending has left. */
void xstream_node_finish(struct xstream_node *n);
/* Marks the entry that begins at an element.  *at becomes where it begins now. */
void xstream_node_mark(struct xstream_node *n, const char **at);
/* So many entries have been marked. */
void xstream_node_count_marked(struct xstream_node *n, uint64_t marked);

/* Bytes of the words, all told. */
size_t xstream_words_bytes(const struct slice *words, size_t count);
/* True if an entry of its own node can hold them. */
bool xstream_words_fit(size_t bytes, size_t count);
bool xstream_node_has_room(const struct xstream_node *n, size_t bytes, size_t count);

/* The id of the last entry, deleted or not. */
struct xstream_id xstream_node_last_id(const struct xstream_node *n);

/* --- strangers' bytes ------------------------------------------------------------ */

/* True if these bytes are a node with this id as described above, its entries
 * ascending, its numbers right. */
bool xstream_node_is_valid(struct xstream_id id, struct slice bytes);

#endif
