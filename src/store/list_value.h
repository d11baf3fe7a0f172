/* list_value: lists.
 *
 * ENCODING_SMALL_LIST: one listpack, while it is at most LIST_SMALL_BYTES long
 * and within the limit of a node.  ENCODING_QUICKLIST: a chain of nodes, each a
 * listpack (list_node.h, list_chain.h).  A list that has become large stays so.
 *
 * Nodes are filled as Redis fills them when elements are pushed; in the middle
 * a full node is split where an element is added, and small neighbours are
 * joined when elements are removed.  An element that does not fit into a node
 * has its own, so no edit moves more than a node.
 *
 * Costs: pushing, popping and the length O(1); finding an element by its index
 * O(log n) and a walk of one node, from its nearer end; everything else a walk
 * of what it passes.
 *
 * Values: struct value is changed in place; the caller puts it back
 * (entry_put_value).  A list may be left empty; its key is deleted then.
 * Bytes passed in must not lie in the list. */
#ifndef STORE_LIST_VALUE_H
#define STORE_LIST_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/listpack.h"
#include "store/value.h"

enum { LIST_SMALL_BYTES = 1024 };

struct list_node;

/* An element, until the next change; at NULL: beyond an end. */
struct list_place {
    struct list_node *node; /* NULL in the small form */
    const char *at;         /* for listpack_text, listpack_equals */
};

/* An empty small list. */
struct value list_create(void);
uint64_t list_length(const struct value *v);

/* --- at the ends ---------------------------------------------------------------- */

void list_push(struct value *v, const struct value_env *env, bool is_front, struct slice bytes);
/* The first or the last element; the list must not be empty. */
struct list_place list_end(const struct value *v, bool is_front);
/* Removes it. */
void list_pop(struct value *v, bool is_front);

/* --- anywhere --------------------------------------------------------------------- */

/* Negative: from the end, -1 the last. */
struct list_place list_at(const struct value *v, int64_t index);
struct list_place list_next(const struct value *v, struct list_place place);
struct list_place list_prev(const struct value *v, struct list_place place);
/* The first element equal to bytes. */
struct list_place list_find(const struct value *v, struct slice bytes);
void list_set(struct value *v, const struct value_env *env, struct list_place place, struct slice bytes);
void list_insert(struct value *v, const struct value_env *env, struct list_place place, bool is_after,
                 struct slice bytes);
/* Removes elements equal to bytes, at most limit of them, the first ones or the
 * last ones; returns how many.  Cost: the walk, and a memmove of a node for
 * each. */
uint64_t list_remove_equal(struct value *v, const struct value_env *env, struct slice bytes, uint64_t limit,
                           bool is_backward);
/* Removes count elements from index on; both within the list.  Cost: what is
 * removed, by nodes. */
void list_remove_range(struct value *v, const struct value_env *env, uint64_t index, uint64_t count);

/* --- Redis's form (DUMP, RESTORE) ---------------------------------------------------- */

/* The nodes in order, a small list being one. */
typedef void list_node_visit_fn(void *context, struct slice listpack, bool is_plain);
void list_each_node(const struct value *v, list_node_visit_fn *visit, void *context);
/* Add a node at the end, as it is: the elements of a valid listpack (none: no
 * node), or one element. */
void list_add_node(struct value *v, struct slice listpack);
void list_add_plain_node(struct value *v, struct slice bytes);

#endif
