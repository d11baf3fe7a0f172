/* intset: sorted integers in one block.
 *
 * The bytes are those of Redis's format of the same name, so that DUMP and
 * RESTORE move values as they are, all little-endian:
 *
 *   4 bytes   bytes per integer: 2, 4 or 8
 *   4 bytes   number of integers
 *             the integers, ascending, no two equal
 *
 * The width is that of the widest integer that was ever in it.
 *
 * Ownership: a block of mem_alloc, freed with mem_free; functions that change it
 * take it and return where it is now.
 *
 * Costs: finding O(log n); adding and removing, a memmove of what lies behind;
 * an integer too wide for the others, O(n).
 *
 * I1: the width is 2, 4 or 8, integers ascend strictly. */
#ifndef STORE_INTSET_H
#define STORE_INTSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { INTSET_HEADER_BYTES = 8, INTSET_COUNT_MAX = 1 << 30 };

char *intset_create(void);
char *intset_copy(const char *set);
size_t intset_bytes(const char *set);
size_t intset_count(const char *set);
unsigned intset_width(const char *set);
/* index below the count. */
int64_t intset_at(const char *set, size_t index);
/* *index: where it is, or would be. */
bool intset_find(const char *set, int64_t value, size_t *index);

/* value must not be there; index is what intset_find said. */
char *intset_insert(char *set, size_t index, int64_t value);
char *intset_remove(char *set, size_t index);
/* Behind all others; false if value is not above them, and nothing is changed. */
bool intset_append(char **set, int64_t value);
/* Makes integers at least that wide. */
char *intset_widen(char *set, unsigned width);

/* True if these bytes are a whole intset.  O(n). */
bool intset_is_valid(struct slice bytes);
/* Aborts unless I1 holds. */
void intset_check(const char *set);

#endif
