/* Looking at a tree, taking it apart, and its invariants. */
#include "base/check.h"
#include "store/tree_private.h"

/* --- places ---------------------------------------------------------------------- */

static struct tree_place place_of(const struct leaf *l, unsigned index)
{
    return (struct tree_place){&l->node, index};
}

static struct tree_place end_place(void)
{
    return (struct tree_place){NULL, 0};
}

struct tree_item tree_get(struct tree_place place)
{
    CHECK(place.node);
    return leaf_item(as_leaf(place.node), place.index);
}

struct tree_place tree_first(const struct tree *t)
{
    return tree_at(t, 0);
}

struct tree_place tree_last(const struct tree *t)
{
    return t->size > 0 ? tree_at(t, t->size - 1) : end_place();
}

struct tree_place tree_next(struct tree_place place)
{
    CHECK(place.node);
    const struct leaf *l = as_leaf(place.node);
    if (place.index + 1 < l->node.count)
        return place_of(l, place.index + 1);
    return l->next ? place_of(l->next, 0) : end_place();
}

struct tree_place tree_previous(struct tree_place place)
{
    CHECK(place.node);
    const struct leaf *l = as_leaf(place.node);
    if (place.index > 0)
        return place_of(l, place.index - 1);
    return l->previous ? place_of(l->previous, l->previous->node.count - 1) : end_place();
}

struct tree_place tree_at(const struct tree *t, size_t rank)
{
    if (rank >= t->size)
        return end_place();
    const struct tree_node *node = t->root;
    for (unsigned level = 0; level < t->depth; level++) {
        const struct inner *n = as_inner(node);
        unsigned i = 0;
        while (rank >= n->counts[i])
            rank -= n->counts[i++];
        node = n->children[i];
    }
    return place_of(as_leaf(node), (unsigned)rank);
}

/* --- searching ------------------------------------------------------------------- */

struct wanted {
    const struct tree *t;
    struct tree_item item;
};

static int seek_item(const void *sought, struct tree_item item)
{
    const struct wanted *w = sought;
    return compare_items(w->t, item, w->item);
}

struct tree_place tree_find(const struct tree *t, struct tree_item item, size_t *rank)
{
    struct wanted wanted = {t, item};
    struct tree_place place = tree_seek(t, seek_item, &wanted, rank);
    if (tree_is_end(place) || compare_items(t, tree_get(place), item) != 0)
        return end_place();
    return place;
}

/* The last child whose least item answers below 0; 0 if there is none. */
static unsigned seek_child(const struct inner *n, tree_seek_fn *seek, const void *sought)
{
    unsigned low = 0, high = n->node.count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (seek(sought, (struct tree_item){n->keys[middle], n->items[middle]}) < 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static unsigned seek_index(const struct leaf *l, tree_seek_fn *seek, const void *sought)
{
    unsigned low = 0, high = l->node.count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (seek(sought, leaf_item(l, middle)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct tree_place tree_seek(const struct tree *t, tree_seek_fn *seek, const void *sought, size_t *rank)
{
    size_t before = 0;
    struct tree_place place = end_place();
    if (t->root) {
        const struct tree_node *node = t->root;
        for (unsigned level = 0; level < t->depth; level++) {
            const struct inner *n = as_inner(node);
            unsigned child = seek_child(n, seek, sought);
            for (unsigned i = 0; i < child; i++)
                before += n->counts[i];
            node = n->children[child];
        }
        const struct leaf *l = as_leaf(node);
        unsigned index = seek_index(l, seek, sought);
        before += index;
        if (index < l->node.count)
            place = place_of(l, index);
        else if (l->next)
            place = place_of(l->next, 0);
    }
    if (rank)
        *rank = before;
    return place;
}

/* --- all of it ------------------------------------------------------------------- */

/* The last leaf, and, once emptied, it and the inner nodes that had nothing
 * else. */
static struct leaf *last_leaf(const struct tree *t)
{
    const struct tree_node *node = t->root;
    for (unsigned level = 0; level < t->depth; level++)
        node = as_inner(node)->children[node->count - 1];
    return as_leaf(node);
}

static void free_last_leaf(struct tree *t)
{
    bool is_empty;
    do {
        struct tree_node *node = t->root, *parent = NULL;
        unsigned height = t->depth;
        while (height > 0 && node->count > 0) {
            parent = node;
            node = as_inner(node)->children[node->count - 1];
            height--;
        }
        node_free(t, node, height);
        if (!parent)
            t->root = NULL;
        is_empty = parent && --parent->count == 0;
    } while (is_empty);
}

bool tree_drain(struct tree *t, size_t *budget, void (*visit)(void *context, void *item), void *context)
{
    while (t->root && *budget > 0) {
        struct leaf *l = last_leaf(t);
        while (l->node.count > 0 && *budget > 0) {
            visit(context, l->items[--l->node.count]);
            t->size--;
            --*budget;
        }
        if (l->node.count == 0)
            free_last_leaf(t);
    }
    if (t->root)
        return false;
    CHECK(t->size == 0);
    tree_init(t, t->compare);
    return true;
}

size_t tree_bytes(const struct tree *t)
{
    return t->leaf_count * sizeof(struct leaf) + t->inner_count * sizeof(struct inner);
}

struct checked {
    const struct tree *t;
    const struct leaf *last; /* met so far */
    size_t leaf_count, inner_count;
};

static void check_leaf(struct checked *c, const struct leaf *l)
{
    CHECK(l->previous == c->last);
    CHECK(!c->last || c->last->next == l);
    if (c->last)
        CHECK(compare_items(c->t, leaf_item(c->last, c->last->node.count - 1), leaf_item(l, 0)) < 0);
    for (unsigned i = 1; i < l->node.count; i++)
        CHECK(compare_items(c->t, leaf_item(l, i - 1), leaf_item(l, i)) < 0);
    c->last = l;
    c->leaf_count++;
}

/* Returns the number of items below.  is_first, is_last: of its level. */
static size_t check_node(struct checked *c, const struct tree_node *node, unsigned height, bool is_first,
                         bool is_last)
{
    CHECK(node->count > 0);
    CHECK(node->count <= node_room(height));
    CHECK(is_first || is_last || node->count >= node_room(height) / FOURTH);
    if (height == 0) {
        check_leaf(c, as_leaf(node));
        return node->count;
    }
    const struct inner *n = as_inner(node);
    size_t items = 0;
    for (unsigned i = 0; i < node->count; i++) {
        struct tree_item least = node_least(n->children[i], height - 1);
        CHECK(n->keys[i] == least.key);
        CHECK(n->items[i] == least.item);
        bool is_last_child = i + 1 == node->count;
        size_t below = check_node(c, n->children[i], height - 1, is_first && i == 0, is_last && is_last_child);
        CHECK(n->counts[i] == below);
        items += below;
    }
    c->inner_count++;
    return items;
}

void tree_check(const struct tree *t)
{
    struct checked c = {.t = t};
    CHECK((t->root == NULL) == (t->size == 0));
    size_t items = t->root ? check_node(&c, t->root, t->depth, true, true) : 0;
    CHECK(items == t->size);
    CHECK(!c.last || !c.last->next);
    CHECK(c.leaf_count == t->leaf_count);
    CHECK(c.inner_count == t->inner_count);
}
