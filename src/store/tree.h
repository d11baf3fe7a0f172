/* tree: items in an order, each also known by its rank.  A B+ tree whose inner
 * nodes count what is below them.
 *
 * An item is a pointer with a 64-bit key beside it that decides most
 * comparisons without touching what it points to; equal keys are told apart by
 * a function.  A sorted set's key is its score made sortable, a stream's the
 * milliseconds of an id.
 *
 * No two items are equal.  Costs: O(log n) for all but walking (O(1) a step)
 * and draining.
 *
 * A leaf is a block of 1 KiB with 62 items, an inner node one of 1 KiB with 31
 * children.  A full node first shares with a neighbour that has room and only
 * then splits; at either end of the tree it splits off the new item alone, so
 * that ascending and descending insertion leave full nodes behind.  An item
 * costs 16.5 to 23 bytes.
 *
 * I1: items ascend by (key, compare); an inner node holds, for each child, the
 *     least item below it.
 * I2: all leaves have the same depth and are linked in order; only the first
 *     and the last node of a level may hold less than a fourth of their room,
 *     and none is empty.
 * I3: counts tell the number of items below. */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tree_item {
    uint64_t key;
    void *item;
};

/* Order of two items whose keys are equal: below 0, 0, above 0. */
typedef int tree_compare_fn(const void *a, const void *b);
/* Order of an item with this key against what is sought; ascending items must
 * answer below 0, then 0, then above 0.  Decides by key as well as by item. */
typedef int tree_seek_fn(const void *sought, struct tree_item item);

struct tree_node;
struct tree {
    struct tree_node *root; /* NULL: empty */
    size_t size;
    size_t leaf_count, inner_count;
    unsigned depth; /* levels of inner nodes */
    tree_compare_fn *compare; /* NULL: keys are never equal */
};

/* A place in a tree; node NULL: beyond an end.  Good until the next change. */
struct tree_place {
    const struct tree_node *node; /* a leaf */
    unsigned index;
};

/* Allocates nothing. */
void tree_init(struct tree *t, tree_compare_fn *compare);
static inline size_t tree_size(const struct tree *t)
{
    return t->size;
}

/* False, and nothing is changed, if an equal item is there. */
bool tree_insert(struct tree *t, struct tree_item item);
/* Removes the item that equals this one; false if there is none.  *removed, if
 * not NULL, becomes what was held. */
bool tree_remove(struct tree *t, struct tree_item item, struct tree_item *removed);

/* --- looking ----------------------------------------------------------------- */

static inline bool tree_is_end(struct tree_place place)
{
    return !place.node;
}
/* The place must not be an end. */
struct tree_item tree_get(struct tree_place place);
struct tree_place tree_first(const struct tree *t);
struct tree_place tree_last(const struct tree *t);
struct tree_place tree_next(struct tree_place place);
struct tree_place tree_previous(struct tree_place place);
/* By rank, from 0; an end if rank is not below the size. */
struct tree_place tree_at(const struct tree *t, size_t rank);
/* The item equal to this one, an end if there is none; its rank if wanted. */
struct tree_place tree_find(const struct tree *t, struct tree_item item, size_t *rank);
/* The first item for which seek does not answer below 0 (the end if there is
 * none), and how many lie before it. */
struct tree_place tree_seek(const struct tree *t, tree_seek_fn *seek, const void *sought, size_t *rank);

/* --- all of it --------------------------------------------------------------- */

/* For building from ascending items: compares with the last one only.  False,
 * and nothing is changed, if the item is not above it. */
bool tree_append(struct tree *t, struct tree_item item);
/* Takes items out, in no certain order, giving each to visit, until *budget
 * items are done, lowering it; true when the tree is empty.  Until then nothing
 * else may be called. */
bool tree_drain(struct tree *t, size_t *budget, void (*visit)(void *context, void *item), void *context);
/* Of the nodes.  O(1). */
size_t tree_bytes(const struct tree *t);
/* Aborts unless I1 to I3 hold.  O(n). */
void tree_check(const struct tree *t);

#endif
