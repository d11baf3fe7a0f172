#include "store/tree.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "store/tree_private.h"

/* The way from the root to a leaf. */
struct path {
    struct inner *inners[DEPTH_MAX];
    unsigned indexes[DEPTH_MAX]; /* of the child taken */
    struct leaf *leaf;
    unsigned index;
};

static void leaf_put(struct leaf *l, unsigned index, struct tree_item item)
{
    l->keys[index] = item.key;
    l->items[index] = item.item;
}

void tree_init(struct tree *t, tree_compare_fn *compare)
{
    *t = (struct tree){.compare = compare};
}

/* --- nodes, whichever their level -------------------------------------------- */

static struct tree_node *node_create(struct tree *t, unsigned height)
{
    struct tree_node *node = mem_alloc(height == 0 ? sizeof(struct leaf) : sizeof(struct inner));
    node->count = 0;
    *(height == 0 ? &t->leaf_count : &t->inner_count) += 1;
    return node;
}

static size_t node_items(const struct tree_node *node, unsigned height)
{
    if (height == 0)
        return node->count;
    size_t items = 0;
    for (unsigned i = 0; i < node->count; i++)
        items += as_inner(node)->counts[i];
    return items;
}

#define SHIFT(array, to, from, n) memmove(&(array)[to], &(array)[from], (n) * sizeof *(array))
#define MOVE(target, source, member, to, from, n) \
    memcpy(&(target)->member[to], &(source)->member[from], (n) * sizeof *(source)->member)

/* Moves the contents from index from on to index to; the count follows. */
static void node_shift(struct tree_node *node, unsigned height, unsigned to, unsigned from)
{
    size_t n = node->count - from;
    if (height == 0) {
        SHIFT(as_leaf(node)->keys, to, from, n);
        SHIFT(as_leaf(node)->items, to, from, n);
    } else {
        SHIFT(as_inner(node)->keys, to, from, n);
        SHIFT(as_inner(node)->items, to, from, n);
        SHIFT(as_inner(node)->children, to, from, n);
        SHIFT(as_inner(node)->counts, to, from, n);
    }
    node->count = to + (unsigned)n;
}

static void node_move(struct tree_node *target, unsigned to, const struct tree_node *source, unsigned from,
                      size_t n, unsigned height)
{
    if (height == 0) {
        MOVE(as_leaf(target), as_leaf(source), keys, to, from, n);
        MOVE(as_leaf(target), as_leaf(source), items, to, from, n);
        return;
    }
    MOVE(as_inner(target), as_inner(source), keys, to, from, n);
    MOVE(as_inner(target), as_inner(source), items, to, from, n);
    MOVE(as_inner(target), as_inner(source), children, to, from, n);
    MOVE(as_inner(target), as_inner(source), counts, to, from, n);
}

/* Moves contents between neighbours until left has so many. */
static void node_level(struct tree_node *left, struct tree_node *right, unsigned height, unsigned left_count)
{
    if (left->count > left_count) {
        unsigned n = left->count - left_count;
        node_shift(right, height, n, 0);
        node_move(right, 0, left, left_count, n, height);
        left->count = left_count;
    } else {
        unsigned n = left_count - left->count;
        node_move(left, left->count, right, 0, n, height);
        left->count = left_count;
        node_shift(right, height, 0, n);
    }
}

/* --- a parent and its children ------------------------------------------------- */

/* What a parent says of a child, after the child has changed.  height is the
 * child's. */
static void describe_child(struct inner *parent, unsigned index, unsigned height)
{
    const struct tree_node *child = parent->children[index];
    struct tree_item least = node_least(child, height);
    parent->keys[index] = least.key;
    parent->items[index] = least.item;
    parent->counts[index] = node_items(child, height);
}

static void insert_child(struct inner *parent, unsigned index, struct tree_node *child, unsigned height)
{
    node_shift(&parent->node, height + 1, index + 1, index);
    parent->children[index] = child;
    describe_child(parent, index, height);
}

static void link_after(struct leaf *left, struct leaf *created)
{
    created->previous = left;
    created->next = left->next;
    if (left->next)
        left->next->previous = created;
    left->next = created;
}

static void unlink_leaf(struct leaf *l)
{
    if (l->previous)
        l->previous->next = l->next;
    if (l->next)
        l->next->previous = l->previous;
}

/* Takes an empty child out. */
static void drop_child(struct tree *t, struct inner *parent, unsigned index, unsigned height)
{
    struct tree_node *child = parent->children[index];
    CHECK(child->count == 0);
    if (height == 0)
        unlink_leaf(as_leaf(child));
    node_free(t, child, height);
    node_shift(&parent->node, height + 1, index, index + 1);
}

/* --- the way down ---------------------------------------------------------------- */

/* The last child whose least item is not above item; 0 if there is none. */
static unsigned child_of(const struct tree *t, const struct inner *n, struct tree_item item)
{
    unsigned low = 0, high = n->node.count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (compare_items(t, (struct tree_item){n->keys[middle], n->items[middle]}, item) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first index whose item is not below item. */
static unsigned index_of(const struct tree *t, const struct leaf *l, struct tree_item item, bool *is_equal)
{
    unsigned low = 0, high = l->node.count;
    *is_equal = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = compare_items(t, leaf_item(l, middle), item);
        if (order == 0) {
            *is_equal = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* To where the item is or would be; true if it is there.  The tree must not be
 * empty. */
static bool descend(const struct tree *t, struct tree_item item, struct path *path)
{
    const struct tree_node *node = t->root;
    for (unsigned level = 0; level < t->depth; level++) {
        path->inners[level] = as_inner(node);
        path->indexes[level] = child_of(t, as_inner(node), item);
        node = as_inner(node)->children[path->indexes[level]];
    }
    path->leaf = as_leaf(node);
    bool is_equal;
    path->index = index_of(t, path->leaf, item, &is_equal);
    return is_equal;
}

/* The item at the path's leaf's beginning has changed: those above must know. */
static void tell_least(const struct tree *t, const struct path *path)
{
    for (unsigned level = t->depth; level-- > 0;) {
        struct inner *n = path->inners[level];
        unsigned index = path->indexes[level];
        n->keys[index] = path->leaf->keys[0];
        n->items[index] = path->leaf->items[0];
        if (index > 0)
            return;
    }
}

/* --- inserting --------------------------------------------------------------------- */

static void grow_root(struct tree *t)
{
    CHECK(t->depth < DEPTH_MAX);
    struct tree_node *old = t->root;
    t->root = node_create(t, t->depth + 1);
    insert_child(as_inner(t->root), 0, old, t->depth);
    t->depth++;
}

/* A neighbour with room takes some of a full child's contents. */
static bool share_child(struct inner *parent, unsigned index, unsigned height)
{
    unsigned room = node_room(height), enough = room - room / FOURTH;
    unsigned left = index;
    if (index > 0 && parent->children[index - 1]->count <= enough)
        left = index - 1;
    else if (index + 1 == parent->node.count || parent->children[index + 1]->count > enough)
        return false;
    struct tree_node *a = parent->children[left], *b = parent->children[left + 1];
    node_level(a, b, height, (a->count + b->count) / 2);
    describe_child(parent, left, height);
    describe_child(parent, left + 1, height);
    return true;
}

/* Makes two of a full child, the left one with so much of its contents. */
static void split_child(struct tree *t, struct inner *parent, unsigned index, unsigned height, unsigned left_count)
{
    struct tree_node *left = parent->children[index], *right = node_create(t, height);
    if (height == 0)
        link_after(as_leaf(left), as_leaf(right));
    node_level(left, right, height, left_count);
    insert_child(parent, index + 1, right, height);
    describe_child(parent, index, height);
}

/* How much of a full node stays left of a split: at an end of the tree nearly
 * all or nearly nothing, since what comes next will likely come there too. */
static unsigned split_point(const struct tree *t, const struct path *path, unsigned level)
{
    unsigned room = node_room(t->depth - level);
    bool is_first = path->index == 0, is_last = path->index == path->leaf->node.count;
    for (unsigned i = 0; i < t->depth; i++) {
        is_first = is_first && path->indexes[i] == 0;
        is_last = is_last && path->indexes[i] + 1 == path->inners[i]->node.count;
    }
    return is_last ? room - 1 : is_first ? 1 : room / 2;
}

/* Makes room on the way of path, from the highest full node whose parent has
 * some down to the leaf; one step per call, since positions change.  False when
 * there is room. */
static bool make_room(struct tree *t, const struct path *path)
{
    if (path->leaf->node.count < LEAF_ROOM)
        return false;
    unsigned level = t->depth; /* of the node to be split: its parent has room */
    while (level > 0 && path->inners[level - 1]->node.count == INNER_ROOM)
        level--;
    if (level == 0) {
        grow_root(t);
        return true;
    }
    struct inner *parent = path->inners[level - 1];
    unsigned index = path->indexes[level - 1], height = t->depth - level;
    unsigned left_count = split_point(t, path, level);
    bool is_at_end = left_count != node_room(height) / 2;
    if (is_at_end || !share_child(parent, index, height))
        split_child(t, parent, index, height, left_count);
    return true;
}

/* The path's leaf has room. */
static void insert_at(struct tree *t, const struct path *path, struct tree_item item)
{
    struct leaf *l = path->leaf;
    node_shift(&l->node, 0, path->index + 1, path->index);
    leaf_put(l, path->index, item);
    for (unsigned level = 0; level < t->depth; level++)
        path->inners[level]->counts[path->indexes[level]]++;
    if (path->index == 0)
        tell_least(t, path);
    t->size++;
}

static void insert_first(struct tree *t, struct tree_item item)
{
    t->root = node_create(t, 0);
    struct leaf *l = as_leaf(t->root);
    l->previous = l->next = NULL;
    l->node.count = 1;
    leaf_put(l, 0, item);
    t->size = 1;
}

bool tree_insert(struct tree *t, struct tree_item item)
{
    if (!t->root) {
        insert_first(t, item);
        return true;
    }
    struct path path;
    do
        if (descend(t, item, &path))
            return false;
    while (make_room(t, &path));
    insert_at(t, &path, item);
    return true;
}

static void descend_to_end(const struct tree *t, struct path *path)
{
    const struct tree_node *node = t->root;
    for (unsigned level = 0; level < t->depth; level++) {
        path->inners[level] = as_inner(node);
        path->indexes[level] = node->count - 1;
        node = as_inner(node)->children[node->count - 1];
    }
    path->leaf = as_leaf(node);
    path->index = node->count;
}

bool tree_append(struct tree *t, struct tree_item item)
{
    if (!t->root) {
        insert_first(t, item);
        return true;
    }
    struct path path;
    do {
        descend_to_end(t, &path);
        if (compare_items(t, leaf_item(path.leaf, path.index - 1), item) >= 0)
            return false;
    } while (make_room(t, &path));
    insert_at(t, &path, item);
    return true;
}

/* --- removing ------------------------------------------------------------------------ */

/* A child with little in it takes in a neighbour, or some of its contents. */
static void refill_child(struct tree *t, struct inner *parent, unsigned index, unsigned height)
{
    unsigned left = index > 0 ? index - 1 : index;
    struct tree_node *a = parent->children[left], *b = parent->children[left + 1];
    unsigned sum = a->count + b->count;
    if (sum > node_room(height)) {
        node_level(a, b, height, sum / 2);
        describe_child(parent, left + 1, height);
    } else {
        node_level(a, b, height, sum);
        drop_child(t, parent, left + 1, height);
    }
    describe_child(parent, left, height);
}

static void shrink_root(struct tree *t)
{
    while (t->depth > 0 && t->root->count == 1) {
        struct tree_node *child = as_inner(t->root)->children[0];
        node_free(t, t->root, t->depth);
        t->depth--;
        t->root = child;
    }
    if (t->size == 0) {
        CHECK(t->depth == 0);
        node_free(t, t->root, 0);
        t->root = NULL;
    }
}

/* After a removal that left little in the path's leaf, from there upwards. */
static void settle(struct tree *t, const struct path *path)
{
    for (unsigned level = t->depth; level > 0; level--) {
        struct inner *parent = path->inners[level - 1];
        unsigned index = path->indexes[level - 1], height = t->depth - level;
        unsigned count = parent->children[index]->count;
        bool is_alone = parent->node.count == 1;
        if (count < node_room(height) / FOURTH && !is_alone)
            refill_child(t, parent, index, height);
        else if (count == 0)
            drop_child(t, parent, index, height);
        else
            describe_child(parent, index, height);
    }
    shrink_root(t);
}

bool tree_remove(struct tree *t, struct tree_item item, struct tree_item *removed)
{
    struct path path;
    if (!t->root || !descend(t, item, &path))
        return false;
    struct leaf *l = path.leaf;
    if (removed)
        *removed = leaf_item(l, path.index);
    node_shift(&l->node, 0, path.index, path.index + 1);
    for (unsigned level = 0; level < t->depth; level++)
        path.inners[level]->counts[path.indexes[level]]--;
    t->size--;
    if (l->node.count < LEAF_ROOM / FOURTH)
        settle(t, &path);
    else if (path.index == 0)
        tell_least(t, &path);
    return true;
}
