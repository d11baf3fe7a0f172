/* The nodes of a tree, for tree.c and tree_walk.c. */
#ifndef STORE_TREE_PRIVATE_H
#define STORE_TREE_PRIVATE_H

#include <assert.h>

#include "base/alloc.h"
#include "store/tree.h"

enum {
    LEAF_ROOM = 62,
    INNER_ROOM = 31,
    /* Below, a node is refilled; as much room makes a neighbour worth sharing with. */
    FOURTH = 4,
    DEPTH_MAX = 24, /* inner nodes have 7 children or more: 7^24 is above 2^64 */
};

/* Keys apart from items, so that a search stays in few cache lines. */
struct tree_node {
    unsigned count;
};
struct leaf { /* height 0 */
    struct tree_node node;
    struct leaf *previous, *next;
    uint64_t keys[LEAF_ROOM];
    void *items[LEAF_ROOM];
};
struct inner { /* as many levels above the leaves as its height says */
    struct tree_node node;
    uint64_t keys[INNER_ROOM]; /* of the least item below each child */
    void *items[INNER_ROOM];
    struct tree_node *children[INNER_ROOM];
    size_t counts[INNER_ROOM];
};
static_assert(sizeof(struct leaf) <= 1024, "a leaf fits its size class");
static_assert(sizeof(struct inner) <= 1024, "an inner node fits its size class");

static inline struct leaf *as_leaf(const struct tree_node *node)
{
    return (struct leaf *)(uintptr_t)node;
}

static inline struct inner *as_inner(const struct tree_node *node)
{
    return (struct inner *)(uintptr_t)node;
}

static inline struct tree_item leaf_item(const struct leaf *l, unsigned index)
{
    return (struct tree_item){l->keys[index], l->items[index]};
}

static inline int compare_items(const struct tree *t, struct tree_item a, struct tree_item b)
{
    if (a.key != b.key)
        return a.key < b.key ? -1 : 1;
    return t->compare ? t->compare(a.item, b.item) : 0;
}

static inline unsigned node_room(unsigned height)
{
    return height == 0 ? LEAF_ROOM : INNER_ROOM;
}

static inline struct tree_item node_least(const struct tree_node *node, unsigned height)
{
    if (height == 0)
        return leaf_item(as_leaf(node), 0);
    return (struct tree_item){as_inner(node)->keys[0], as_inner(node)->items[0]};
}

static inline void node_free(struct tree *t, struct tree_node *node, unsigned height)
{
    *(height == 0 ? &t->leaf_count : &t->inner_count) -= 1;
    mem_free_sized(node, height == 0 ? sizeof(struct leaf) : sizeof(struct inner));
}

#endif
