/* sequence: pointers side by side, each known by its place, from 0.
 *
 * Grows and shrinks at its end without moving what is there: a tree of blocks
 * of 256 pointers (2 KiB), as deep as the size needs, filled from the left.  The
 * root alone is smaller until it is full.
 *
 *   up to 256 places          one block
 *   up to 256^2, 256^3, ...   a block of pointers to blocks, and so on
 *
 * Costs: a look, a step per level (two up to 65 536 places, three up to 16
 * million); one block allocated or freed at a time, the root's doubled.
 *
 * I1: with size 0 there is no block; otherwise depth is the least for which
 *     256^depth is at least size, and a block is there exactly if a place below
 *     size is in it.
 * I2: the root has room for 8 to 256 pointers, all other blocks for 256. */
#ifndef STORE_SEQUENCE_H
#define STORE_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>

struct sequence {
    void **root;
    size_t size;
    size_t room;    /* pointers the root has room for */
    unsigned depth; /* 0: no block */
};

/* Allocates nothing. */
static inline void sequence_init(struct sequence *s)
{
    *s = (struct sequence){0};
}
static inline size_t sequence_size(const struct sequence *s)
{
    return s->size;
}
/* place below the size. */
void *sequence_at(const struct sequence *s, size_t place);
void sequence_put(struct sequence *s, size_t place, void *item);
void sequence_append(struct sequence *s, void *item);
/* Takes the last one away. */
void *sequence_pop(struct sequence *s);
/* Frees blocks from the end, at most *budget of them, lowering it, and forgets
 * what they held; true when all are gone. */
bool sequence_free_some(struct sequence *s, size_t *budget);
size_t sequence_block_count(const struct sequence *s);
size_t sequence_bytes(const struct sequence *s);
/* Aborts unless I1 holds. */
void sequence_check(const struct sequence *s);

#endif
