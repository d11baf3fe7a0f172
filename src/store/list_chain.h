/* list_chain: the nodes of a large list, in order, found by the rank of an
 * element.
 *
 * A chain in both directions, which is all that most lists need.  From
 * CHAIN_WALK_MAX nodes on there is a tree of spans above it: a span knows up to
 * SPAN_CHILDREN nodes or lower spans and how many elements they hold together,
 * and nodes and spans know the span above, so that a change of a node's count
 * is added up along a path of three or four.  5 million small elements are 12
 * thousand nodes, 400 spans.
 *
 * I1: prev and next agree; node_count and length tell nodes and elements.
 * I2: either there is no tree (root NULL) and no node has a span, or every node
 *     has a place in it, in the order of the chain.
 * I3: a span is not empty; its size is the sum of its children's; the root is
 *     not above a single span.
 *
 * Spans that lost children are not merged: a list that was once long and thinned
 * out keeps at most one span a node and the depth it had. */
#ifndef STORE_LIST_CHAIN_H
#define STORE_LIST_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include "store/list_node.h"

struct list_chain {
    struct list_node *head, *tail;
    struct list_span *root;
    uint64_t length;
    size_t node_count;
};

/* Adds a node behind after, or in front of all if after is NULL.  Takes it. */
void list_chain_insert(struct list_chain *c, struct list_node *after, struct list_node *node);
/* Takes a node out; the caller frees it. */
void list_chain_remove(struct list_chain *c, struct list_node *node);
/* A node's count has become larger by so many. */
void list_chain_grew(struct list_chain *c, struct list_node *node, int64_t count);
/* The node that holds the element of rank *rank, below the length; *rank
 * becomes its place in the node. */
struct list_node *list_chain_find(const struct list_chain *c, uint64_t *rank);
/* Bytes of the tree. */
size_t list_chain_span_bytes(const struct list_chain *c);
/* Aborts unless I1 to I3 hold; checks the nodes too. */
void list_chain_check(const struct list_chain *c);

#endif
