/* list_node: one of the blocks a large list consists of, a listpack that has
 * room in front of it as well as behind it.
 *
 *     block | gap | listpack | room |
 *            <---- capacity -------->
 *
 * The gap makes a push in front as cheap as one behind: nothing is moved but
 * the listpack's header.  Room is made by the next class of the allocator, on
 * the side where it is wanted, so pushing is amortised O(1) and a full node is
 * as small as its elements.
 *
 * A node is filled up to the limit the setting list-max-listpack-size tells
 * (fill), as Redis fills its own; a larger element has one for itself.
 *
 * I1: gap + bytes of the listpack <= capacity <= what the allocator gave.
 * I2: count is the number of its elements, at least one between operations.
 * I3: a plain node (an element beyond the packed threshold) holds one. */
#ifndef STORE_LIST_NODE_H
#define STORE_LIST_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/listpack.h"

struct list_span;

struct list_node {
    struct list_node *prev, *next; /* list_chain.h */
    struct list_span *span;
    char *block;
    uint32_t gap, capacity, count;
    bool is_plain;
};

/* Where a list's nodes end. */
struct list_limits {
    int64_t fill;     /* list-max-listpack-size */
    size_t packed_max; /* an element of more bytes has a plain node */
};

static inline char *list_node_listpack(const struct list_node *n)
{
    return n->block + n->gap;
}
static inline size_t list_node_bytes(const struct list_node *n)
{
    return listpack_bytes(list_node_listpack(n));
}

/* With one element. */
struct list_node *list_node_create(struct slice bytes, const struct list_limits *limits);
/* Takes a listpack of mem_alloc with at least one element. */
struct list_node *list_node_adopt(char *lp);
struct list_node *list_node_copy(const struct list_node *n);
void list_node_free(struct list_node *n);
/* Bytes of the allocator. */
size_t list_node_memory(const struct list_node *n);

/* True if a listpack of bytes with count elements takes one more of so many
 * bytes. */
bool list_limits_allow(const struct list_limits *limits, size_t bytes, size_t count, size_t element);
bool list_node_takes(const struct list_node *n, const struct list_limits *limits, size_t element);

/* --- at the ends; O(1), amortised -------------------------------------------- */

void list_node_push(struct list_node *n, bool is_front, struct slice bytes);
/* May leave none: the caller removes the node then. */
void list_node_pop(struct list_node *n, bool is_front);

/* --- in the middle; a memmove of the node ------------------------------------- *
 * *at is an element of it, and afterwards the one concerned, as in listpack.h. */

void list_node_insert(struct list_node *n, const char **at, struct slice bytes);
void list_node_replace(struct list_node *n, const char **at, struct slice bytes);
/* May leave none; *at becomes NULL if nothing lies behind. */
void list_node_remove(struct list_node *n, const char **at, size_t count);
/* Takes the elements from at on, which is not the first, to a new node. */
struct list_node *list_node_split(struct list_node *n, const char *at);
/* True if the elements of both fit one node with room to spare, so that it is
 * not split again at once. */
bool list_node_may_join(const struct list_node *a, const struct list_node *b, const struct list_limits *limits);
/* Adds the elements of another listpack behind n's. */
void list_node_join(struct list_node *n, const char *listpack);

void list_node_check(const struct list_node *n);

#endif
