#include "store/list_node.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

/* --- limits -------------------------------------------------------------------- */

enum {
    FILL_BYTES_MIN = 4096,      /* for -1; each step below doubles it */
    FILL_SIZES = 5,
    FILL_COUNT_MAX = 32767,     /* larger numbers mean this one */
    FILL_COUNT_BYTES_MAX = 8192, /* where fill tells a number of elements */
    ELEMENT_OVERHEAD = 8,       /* what Redis takes an element's head and size for */
};

static size_t fill_bytes(int64_t fill)
{
    if (fill >= 0)
        return FILL_COUNT_BYTES_MAX;
    return (size_t)FILL_BYTES_MIN << (fill < -FILL_SIZES ? FILL_SIZES - 1 : -fill - 1);
}

static size_t fill_count(int64_t fill)
{
    if (fill < 0)
        return SIZE_MAX;
    return fill == 0 ? 1 : fill > FILL_COUNT_MAX ? FILL_COUNT_MAX : (size_t)fill;
}

bool list_limits_allow(const struct list_limits *limits, size_t bytes, size_t count, size_t element)
{
    return element <= limits->packed_max && count < fill_count(limits->fill) &&
           bytes + element + ELEMENT_OVERHEAD <= fill_bytes(limits->fill);
}

bool list_node_takes(const struct list_node *n, const struct list_limits *limits, size_t element)
{
    return !n->is_plain && list_limits_allow(limits, list_node_bytes(n), n->count, element);
}

/* --- whole nodes ----------------------------------------------------------------- */

static struct list_node *create(char *block, size_t capacity, size_t count)
{
    struct list_node *n = mem_alloc(sizeof *n);
    CHECK(capacity <= UINT32_MAX);
    *n = (struct list_node){.block = block, .capacity = (uint32_t)capacity, .count = (uint32_t)count};
    return n;
}

struct list_node *list_node_create(struct slice bytes, const struct list_limits *limits)
{
    struct listpack_form form = listpack_form_of(bytes);
    size_t capacity = mem_good_size(LISTPACK_EMPTY_BYTES + form.bytes);
    struct list_node *n = create(mem_alloc(capacity), capacity, 1);
    listpack_init(n->block);
    listpack_push_back(n->block, &form);
    n->is_plain = bytes.len > limits->packed_max;
    return n;
}

struct list_node *list_node_adopt(char *lp)
{
    return create(lp, mem_usable_size(lp), listpack_count(lp));
}

struct list_node *list_node_copy(const struct list_node *n)
{
    struct list_node *copy = list_node_adopt(listpack_copy(list_node_listpack(n)));
    copy->is_plain = n->is_plain;
    return copy;
}

void list_node_free(struct list_node *n)
{
    mem_free(n->block);
    mem_free_sized(n, sizeof *n);
}

size_t list_node_memory(const struct list_node *n)
{
    return mem_usable_size(n) + mem_usable_size(n->block);
}

/* --- at the ends ------------------------------------------------------------------ */

/* The listpack to another block, at its beginning or its end. */
static void move_to(struct list_node *n, char *block, size_t capacity, bool is_room_in_front)
{
    size_t bytes = list_node_bytes(n), gap = is_room_in_front ? capacity - bytes : 0;
    memmove(block + gap, list_node_listpack(n), bytes);
    if (block != n->block)
        mem_free(n->block);
    n->block = block;
    n->capacity = (uint32_t)capacity;
    n->gap = (uint32_t)gap;
}

/* Kept out of the way of the push that has room. */
static __attribute__((noinline)) void make_room(struct list_node *n, size_t size, bool is_front)
{
    size_t total = list_node_bytes(n) + size;
    if (total <= n->capacity) {
        move_to(n, n->block, n->capacity, is_front);
        return;
    }
    size_t capacity = mem_good_size(total);
    CHECK(capacity <= UINT32_MAX);
    move_to(n, mem_alloc(capacity), capacity, is_front);
}

void list_node_push(struct list_node *n, bool is_front, struct slice bytes)
{
    struct listpack_form form = listpack_form_of(bytes);
    size_t room = is_front ? n->gap : n->capacity - n->gap - list_node_bytes(n);
    if (form.bytes > room)
        make_room(n, form.bytes, is_front);
    if (is_front) {
        listpack_push_front(list_node_listpack(n), &form);
        n->gap -= (uint32_t)form.bytes;
    } else {
        listpack_push_back(list_node_listpack(n), &form);
    }
    n->count++;
}

enum { WORTH_SHRINKING = 128 };

/* A node that was emptied to a fourth is made to measure: copying it costs less
 * than emptying it did. */
static void give_back(struct list_node *n)
{
    size_t bytes = list_node_bytes(n);
    if (n->count == 0 || n->capacity <= WORTH_SHRINKING || bytes > n->capacity / 4)
        return;
    size_t capacity = mem_good_size(bytes);
    move_to(n, mem_alloc(capacity), capacity, false);
}

void list_node_pop(struct list_node *n, bool is_front)
{
    char *lp = list_node_listpack(n);
    if (is_front)
        n->gap += (uint32_t)(listpack_pop_front(lp) - lp);
    else
        listpack_pop_back(lp);
    n->count--;
    give_back(n);
}

/* --- in the middle ----------------------------------------------------------------- */

/* Closes the gap, so that the block is the listpack; returns where at is now. */
static const char *settle(struct list_node *n, const char *at)
{
    const char *moved = at - n->gap;
    if (n->gap)
        move_to(n, n->block, n->capacity, false);
    return moved;
}

static void take_back(struct list_node *n, char *lp)
{
    n->block = lp;
    size_t capacity = mem_usable_size(lp);
    CHECK(capacity <= UINT32_MAX);
    n->capacity = (uint32_t)capacity;
}

void list_node_insert(struct list_node *n, const char **at, struct slice bytes)
{
    *at = settle(n, *at);
    take_back(n, listpack_insert(n->block, at, bytes));
    n->count++;
}

void list_node_replace(struct list_node *n, const char **at, struct slice bytes)
{
    *at = settle(n, *at);
    take_back(n, listpack_replace(n->block, at, bytes));
}

void list_node_remove(struct list_node *n, const char **at, size_t count)
{
    *at = settle(n, *at);
    size_t before = listpack_count(n->block);
    take_back(n, listpack_remove(n->block, at, count));
    n->count -= (uint32_t)(before - listpack_count(n->block));
}

struct list_node *list_node_split(struct list_node *n, const char *at)
{
    at = settle(n, at);
    char *rest = listpack_copy(n->block);
    const char *first = listpack_first(rest);
    size_t kept = 0;
    for (const char *passed = listpack_first(n->block); passed != at; passed = listpack_next(n->block, passed))
        kept++;
    rest = listpack_shrink(listpack_remove(rest, &first, kept));
    take_back(n, listpack_shrink(listpack_remove(n->block, &at, SIZE_MAX)));
    n->count = (uint32_t)kept;
    return list_node_adopt(rest);
}

bool list_node_may_join(const struct list_node *a, const struct list_node *b, const struct list_limits *limits)
{
    return !a->is_plain && !b->is_plain &&
           list_node_bytes(a) + list_node_bytes(b) <= fill_bytes(limits->fill) / 2 &&
           (size_t)a->count + b->count <= fill_count(limits->fill);
}

void list_node_join(struct list_node *n, const char *listpack)
{
    settle(n, n->block);
    n->count += (uint32_t)listpack_count(listpack);
    take_back(n, listpack_join(n->block, listpack));
}

void list_node_check(const struct list_node *n)
{
    listpack_check(list_node_listpack(n));
    CHECK(n->gap + list_node_bytes(n) <= n->capacity);
    CHECK(n->capacity <= mem_usable_size(n->block));
    CHECK(n->count > 0);
    CHECK(n->count == listpack_count(list_node_listpack(n)));
    if (n->is_plain)
        CHECK(n->count == 1);
}
