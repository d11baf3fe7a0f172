#include "store/sequence.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { BLOCK_BITS = 8, BLOCK_PLACES = 1 << BLOCK_BITS, ROOM_MIN = 8, DEPTH_MAX = 7 };

/* Places below one pointer of a block at this level (leaves: 0). */
static size_t reach(unsigned level)
{
    return (size_t)1 << BLOCK_BITS * level;
}

static size_t index_at(size_t place, unsigned level)
{
    return place >> BLOCK_BITS * level & (BLOCK_PLACES - 1);
}

static void **new_block(void)
{
    return mem_calloc(BLOCK_PLACES, sizeof(void *));
}

/* --- places -------------------------------------------------------------------- */

static void **slot_of(const struct sequence *s, size_t place)
{
    void **block = s->root;
    for (unsigned level = s->depth - 1; level > 0; level--)
        block = block[index_at(place, level)];
    return &block[index_at(place, 0)];
}

void *sequence_at(const struct sequence *s, size_t place)
{
    CHECK(place < s->size);
    return *slot_of(s, place);
}

void sequence_put(struct sequence *s, size_t place, void *item)
{
    CHECK(place < s->size);
    *slot_of(s, place) = item;
}

/* --- growing --------------------------------------------------------------------- */

static void resize_root(struct sequence *s, size_t room)
{
    s->root = mem_realloc(s->root, room * sizeof *s->root);
    if (room > s->room)
        memset(s->root + s->room, 0, (room - s->room) * sizeof *s->root);
    s->room = room;
}

static void grow_root(struct sequence *s)
{
    resize_root(s, s->room ? 2 * s->room : ROOM_MIN);
}

/* Makes the blocks a place needs; the blocks left of it are there. */
static void make_path(struct sequence *s, size_t place)
{
    if (place == reach(s->depth)) {
        CHECK(s->depth < DEPTH_MAX);
        void **child = s->root;
        *s = (struct sequence){.size = s->size, .depth = s->depth + 1};
        grow_root(s);
        s->root[0] = child;
    }
    if (place / reach(s->depth - 1) == s->room)
        grow_root(s);
    void **block = s->root;
    for (unsigned level = s->depth - 1; level > 0; level--) {
        void **child = &block[index_at(place, level)];
        if (!*child)
            *child = new_block();
        block = *child;
    }
}

void sequence_append(struct sequence *s, void *item)
{
    size_t place = s->size;
    if (place < BLOCK_PLACES) {
        s->depth = 1;
        if (place == s->room)
            grow_root(s);
    } else if (place % BLOCK_PLACES == 0) {
        make_path(s, place);
    }
    s->size++;
    *slot_of(s, place) = item;
}

/* --- shrinking ------------------------------------------------------------------- */

/* A block of this level and what is below it: nothing but first children. */
static void free_first_children(void **block, unsigned level)
{
    for (;;) {
        void **child = level > 0 ? block[0] : NULL;
        mem_free(block);
        if (!child)
            return;
        block = child;
        level--;
    }
}

static void drop_roots(struct sequence *s)
{
    while (s->depth > 1 && s->size <= reach(s->depth - 1)) {
        void **root = s->root;
        s->root = root[0];
        s->room = BLOCK_PLACES;
        mem_free(root);
        s->depth--;
    }
}

/* Frees the leaf that begins at place, where the sequence now ends, and the
 * blocks above that held it alone. */
static void drop_leaf(struct sequence *s, size_t place)
{
    void **block = s->root;
    for (unsigned level = s->depth - 1; level > 0; level--) {
        void **child = &block[index_at(place, level)];
        if (place % reach(level) == 0) {
            free_first_children(*child, level - 1);
            *child = NULL;
            break;
        }
        block = *child;
    }
    drop_roots(s);
}

static void drop_only_block(struct sequence *s)
{
    mem_free(s->root);
    sequence_init(s);
}

static void shrink(struct sequence *s)
{
    if (s->size == 0)
        drop_only_block(s);
    else if (s->depth > 1 && s->size % BLOCK_PLACES == 0)
        drop_leaf(s, s->size);
    else if (s->depth == 1 && s->room > ROOM_MIN && s->size <= s->room / 4)
        resize_root(s, s->room / 2);
}

void *sequence_pop(struct sequence *s)
{
    CHECK(s->size > 0);
    void *item = *slot_of(s, s->size - 1);
    s->size--;
    shrink(s);
    return item;
}

bool sequence_free_some(struct sequence *s, size_t *budget)
{
    while (s->size && *budget) {
        s->size = (s->size - 1) / BLOCK_PLACES * BLOCK_PLACES;
        shrink(s);
        --*budget;
    }
    return s->size == 0;
}

/* --- figures ----------------------------------------------------------------------- */

size_t sequence_block_count(const struct sequence *s)
{
    size_t count = 0, width = s->size;
    for (unsigned level = 0; level < s->depth; level++) {
        width = (width + BLOCK_PLACES - 1) / BLOCK_PLACES;
        count += width;
    }
    return count;
}

size_t sequence_bytes(const struct sequence *s)
{
    size_t blocks = sequence_block_count(s);
    return blocks ? (s->room + (blocks - 1) * BLOCK_PLACES) * sizeof(void *) : 0;
}

/* Walks the block of a level whose first place is first; returns how many
 * blocks there are. */
static size_t check_block(const struct sequence *s, void *const *block, unsigned level, size_t first)
{
    CHECK(block != NULL);
    size_t count = 1;
    size_t places = level + 1 == s->depth ? s->room : BLOCK_PLACES;
    for (size_t i = 0; level > 0 && i < places; i++) {
        size_t place = first + i * reach(level);
        if (place < s->size)
            count += check_block(s, block[i], level - 1, place);
        else
            CHECK(block[i] == NULL);
    }
    return count;
}

void sequence_check(const struct sequence *s)
{
    if (s->size == 0) {
        CHECK(s->root == NULL);
        CHECK(s->depth == 0);
        CHECK(s->room == 0);
        return;
    }
    CHECK(s->depth >= 1);
    CHECK(s->depth <= DEPTH_MAX);
    CHECK(s->size <= reach(s->depth));
    CHECK(s->depth == 1 || s->size > reach(s->depth - 1));
    CHECK(s->size <= s->room * reach(s->depth - 1));
    CHECK(s->room >= ROOM_MIN);
    CHECK(s->room <= BLOCK_PLACES);
    CHECK(check_block(s, s->root, s->depth - 1, 0) == sequence_block_count(s));
}
