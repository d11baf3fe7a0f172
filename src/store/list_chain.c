#include "store/list_chain.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { CHAIN_WALK_MAX = 32, SPAN_CHILDREN = 32 };

struct list_span {
    struct list_span *above;
    uint64_t size;
    unsigned used;
    bool is_low; /* its children are nodes */
    void *children[SPAN_CHILDREN];
};

/* --- spans and their children ---------------------------------------------------- */

static uint64_t child_size(const struct list_span *s, const void *child)
{
    return s->is_low ? ((const struct list_node *)child)->count : ((const struct list_span *)child)->size;
}

static void set_above(const struct list_span *s, void *child, struct list_span *above)
{
    if (s->is_low)
        ((struct list_node *)child)->span = above;
    else
        ((struct list_span *)child)->above = above;
}

/* From the end, where most lists grow. */
static unsigned position_of(const struct list_span *s, const void *child)
{
    for (unsigned i = s->used; i-- > 0;)
        if (s->children[i] == child)
            return i;
    CHECK_UNREACHABLE();
}

static struct list_span *span_create(struct list_span *above, bool is_low)
{
    struct list_span *s = mem_alloc(sizeof *s);
    s->above = above;
    s->size = 0;
    s->used = 0;
    s->is_low = is_low;
    return s;
}

static void put_child(struct list_span *s, unsigned position, void *child)
{
    memmove(s->children + position + 1, s->children + position, (s->used - position) * sizeof *s->children);
    s->children[position] = child;
    s->used++;
    set_above(s, child, s);
}

static inline void add_up(struct list_span *s, int64_t count)
{
    for (; s; s = s->above)
        s->size += (uint64_t)count;
}

/* The children of a full span from keep on to a new one, which is to stand behind
 * it and which nothing above counts. */
static struct list_span *move_rest(struct list_span *s, unsigned keep)
{
    struct list_span *rest = span_create(s->above, s->is_low);
    for (unsigned i = keep; i < s->used; i++) {
        put_child(rest, rest->used, s->children[i]);
        rest->size += child_size(s, s->children[i]);
    }
    add_up(s, -(int64_t)rest->size);
    s->used = keep;
    return rest;
}

static void raise_root(struct list_chain *c)
{
    struct list_span *root = span_create(NULL, false);
    root->size = c->root->size;
    put_child(root, 0, c->root);
    c->root = root;
}

/* Adds a child; the caller adds its size to the spans above.  At the ends a
 * full span is left full, so that pushing fills all of them. */
static void add_child(struct list_chain *c, struct list_span *s, unsigned position, void *child)
{
    if (s->used < SPAN_CHILDREN) {
        put_child(s, position, child);
        return;
    }
    if (!s->above)
        raise_root(c);
    unsigned keep = position == 0 || position == SPAN_CHILDREN ? position : SPAN_CHILDREN / 2;
    struct list_span *rest = move_rest(s, keep);
    add_child(c, s->above, position_of(s->above, s) + 1, rest);
    add_up(rest->above, (int64_t)rest->size);
    if (position == SPAN_CHILDREN || position > keep)
        put_child(rest, position - keep, child);
    else
        put_child(s, position, child);
}

static void drop_child(struct list_chain *c, struct list_span *s, void *child)
{
    unsigned position = position_of(s, child);
    s->used--;
    memmove(s->children + position, s->children + position + 1, (s->used - position) * sizeof *s->children);
    if (s->used > 0)
        return;
    if (s->above)
        drop_child(c, s->above, s);
    else
        c->root = NULL;
    mem_free_sized(s, sizeof *s);
}

static void lower_root(struct list_chain *c)
{
    while (c->root && !c->root->is_low && c->root->used == 1) {
        struct list_span *root = c->root;
        c->root = root->children[0];
        c->root->above = NULL;
        mem_free_sized(root, sizeof *root);
    }
}

/* --- the tree and the chain ---------------------------------------------------------- */

/* node is in the chain already. */
static void index_node(struct list_chain *c, struct list_node *node)
{
    if (node->prev)
        add_child(c, node->prev->span, position_of(node->prev->span, node->prev) + 1, node);
    else
        add_child(c, node->next->span, 0, node);
    add_up(node->span, node->count);
}

static void build(struct list_chain *c)
{
    c->root = span_create(NULL, true);
    put_child(c->root, 0, c->head);
    c->root->size = c->head->count;
    for (struct list_node *n = c->head->next; n; n = n->next)
        index_node(c, n);
}

void list_chain_insert(struct list_chain *c, struct list_node *after, struct list_node *node)
{
    node->prev = after;
    node->next = after ? after->next : c->head;
    *(node->prev ? &node->prev->next : &c->head) = node;
    *(node->next ? &node->next->prev : &c->tail) = node;
    c->length += node->count;
    c->node_count++;
    if (c->root)
        index_node(c, node);
    else if (c->node_count > CHAIN_WALK_MAX)
        build(c);
}

void list_chain_remove(struct list_chain *c, struct list_node *node)
{
    *(node->prev ? &node->prev->next : &c->head) = node->next;
    *(node->next ? &node->next->prev : &c->tail) = node->prev;
    c->length -= node->count;
    c->node_count--;
    if (!c->root)
        return;
    add_up(node->span, -(int64_t)node->count);
    drop_child(c, node->span, node);
    lower_root(c);
}

void list_chain_grew(struct list_chain *c, struct list_node *node, int64_t count)
{
    c->length += (uint64_t)count;
    add_up(node->span, count);
}

static struct list_node *walk(const struct list_chain *c, uint64_t *rank)
{
    if (*rank < c->length / 2) {
        struct list_node *n = c->head;
        for (; *rank >= n->count; n = n->next)
            *rank -= n->count;
        return n;
    }
    struct list_node *n = c->tail;
    uint64_t behind = c->length - *rank; /* elements from the sought one on */
    for (; behind > n->count; n = n->prev)
        behind -= n->count;
    *rank = n->count - behind;
    return n;
}

struct list_node *list_chain_find(const struct list_chain *c, uint64_t *rank)
{
    CHECK(*rank < c->length);
    if (!c->root || *rank < c->head->count || c->length - *rank <= c->tail->count)
        return walk(c, rank);
    const struct list_span *s = c->root;
    for (;;) {
        unsigned i = 0;
        for (; *rank >= child_size(s, s->children[i]); i++)
            *rank -= child_size(s, s->children[i]);
        if (s->is_low)
            return s->children[i];
        s = s->children[i];
    }
}

static size_t span_count(const struct list_span *s)
{
    size_t count = 1;
    for (unsigned i = 0; i < s->used && !s->is_low; i++)
        count += span_count(s->children[i]);
    return count;
}

size_t list_chain_span_bytes(const struct list_chain *c)
{
    return c->root ? span_count(c->root) * sizeof *c->root : 0;
}

/* --- check ------------------------------------------------------------------------------ */

/* Walks the nodes below s, which begin with *next. */
static void check_span(const struct list_span *s, const struct list_node **next)
{
    uint64_t size = 0;
    CHECK(s->used > 0);
    CHECK(s->used <= SPAN_CHILDREN);
    for (unsigned i = 0; i < s->used; i++) {
        size += child_size(s, s->children[i]);
        if (s->is_low) {
            CHECK(s->children[i] == *next);
            CHECK((*next)->span == s);
            *next = (*next)->next;
        } else {
            CHECK(((const struct list_span *)s->children[i])->above == s);
            check_span(s->children[i], next);
        }
    }
    CHECK(size == s->size);
}

void list_chain_check(const struct list_chain *c)
{
    const struct list_node *prev = NULL;
    uint64_t length = 0;
    size_t nodes = 0;
    for (const struct list_node *n = c->head; n; prev = n, n = n->next) {
        CHECK(n->prev == prev);
        list_node_check(n);
        length += n->count;
        nodes++;
        if (!c->root)
            CHECK(!n->span);
    }
    CHECK(c->tail == prev);
    CHECK(length == c->length);
    CHECK(nodes == c->node_count);
    if (!c->root)
        return;
    CHECK(!c->root->above);
    CHECK(c->root->is_low || c->root->used > 1);
    const struct list_node *next = c->head;
    check_span(c->root, &next);
    CHECK(!next);
}
