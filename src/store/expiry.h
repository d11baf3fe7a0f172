/* expiry: the keys of one database that have an expiry, earliest first.
 *
 * A 4-ary heap of (time, entry), ordered by time and then by key bytes: a
 * total order, so the sequence of first entries does not depend on how the
 * heap came about.  Each entry stores its position, so changing or removing
 * one is O(log n) without a search, and the earliest is at hand.
 *
 * The four children of an item share a cache line.  Times are kept in the
 * heap, so sifting touches entries only where times are equal, and to write
 * back positions.
 *
 * Items live in segments of 4096: growing never copies more than one segment,
 * releasing is piecewise.  Up to one segment the array just doubles.
 *
 * I1: an item is not earlier than its parent.
 * I2: an entry's position leads to its item, whose time is the entry's.
 * I3: segments needed for count items exist, and at most one more. */
#ifndef STORE_EXPIRY_H
#define STORE_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry;

struct expiry_item {
    int64_t at;
    struct entry *entry;
};

struct expiry {
    struct expiry_item **segments;
    size_t segment_count, segments_room;
    size_t first_room; /* places in the first segment */
    size_t count;
};

/* Allocates nothing. */
void expiry_init(struct expiry *x);
/* Frees the heap, not the entries. */
void expiry_deinit(struct expiry *x);
/* Frees one segment; true when all are gone.  For a heap whose entries are
 * going away; nothing else may be called in between. */
bool expiry_drain(struct expiry *x);

/* The entry must have an expiry part and not be in a heap.  Its key must not
 * change while it is in one. */
void expiry_add(struct expiry *x, struct entry *e, int64_t at);
void expiry_update(struct expiry *x, struct entry *e, int64_t at);
/* Sets the entry's time to EXPIRE_NONE. */
void expiry_remove(struct expiry *x, struct entry *e);
/* The entry, with time and position, lies at another address now. */
void expiry_moved(struct expiry *x, struct entry *e);

/* NULL if empty. */
struct entry *expiry_first(const struct expiry *x);
/* INT64_MAX if empty. */
int64_t expiry_next_due(const struct expiry *x);
static inline size_t expiry_count(const struct expiry *x)
{
    return x->count;
}
/* True if the item at the entry's position is the entry's. */
bool expiry_holds(const struct expiry *x, const struct entry *e);
size_t expiry_bytes(const struct expiry *x);

/* Aborts unless I1 to I3 hold.  Cost: O(count). */
void expiry_check(const struct expiry *x);

#endif
