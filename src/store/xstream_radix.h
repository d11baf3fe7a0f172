/* How many nodes Redis's radix tree would have for the ids of a stream's nodes:
 * XINFO STREAM tells.
 *
 * The tree's keys are the 16 bytes of an id, high bytes first.  Bytes that do not
 * branch share a node, a byte with several followers is a node, and every key
 * ends in one: an empty tree has one node, a tree of one key two.
 *
 * What a key adds follows from its neighbours, so the number is kept up to date
 * with some searches per node of the stream, O(log n) each. */
#ifndef STORE_XSTREAM_RADIX_H
#define STORE_XSTREAM_RADIX_H

#include "store/xstream_node.h"
#include "store/tree.h"

enum { XSTREAM_RADIX_EMPTY = 1 };

/* What adding id adds to the number of nodes, or removing it took away: nodes
 * is the tree of stream nodes without it. */
uint64_t xstream_radix_share(const struct tree *nodes, struct xstream_id id);

#endif
