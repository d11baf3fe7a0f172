/* Memory allocation that does not fail.
 *
 * Built on jemalloc (on the sanitizers' allocator in sanitized builds).  When
 * the system has no memory left the process aborts here, so callers never test
 * for NULL.  A size chosen by a stranger is bounded before it gets here. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#define MEM_RETURNS __attribute__((returns_nonnull, warn_unused_result))

void *mem_alloc(size_t size) MEM_RETURNS __attribute__((malloc, alloc_size(1)));
void *mem_calloc(size_t count, size_t size) MEM_RETURNS __attribute__((malloc, alloc_size(1, 2)));
void *mem_realloc(void *block, size_t size) MEM_RETURNS __attribute__((alloc_size(2)));
void *mem_alloc_aligned(size_t alignment, size_t size) MEM_RETURNS __attribute__((malloc, alloc_size(2)));
void mem_free(void *block);
/* When the caller knows the size it asked for, this is cheaper than mem_free. */
void mem_free_sized(void *block, size_t size);
char *mem_strdup(const char *text) MEM_RETURNS;

/* The bytes really reserved for block (at least what was asked for).  All of
 * them may be used. */
size_t mem_usable_size(const void *block);
/* What mem_usable_size would be for a request of size bytes. */
size_t mem_good_size(size_t size);

/* Figures for INFO and for limits.  Cost: mem_used is one allocator epoch
 * (tens of microseconds); call it per cron tick, not per command. */
struct mem_figures {
    size_t allocated; /* bytes in live blocks, and mapped ones */
    size_t active;    /* bytes in pages with a live block, and mapped ones */
    size_t resident;  /* bytes of memory mapped and present */
    size_t resident_process;
    size_t mapped;    /* bytes in use that their owners mapped: large hash tables */
};
void mem_figures(struct mem_figures *figures);
/* Memory in use that is mapped, not allocated, has become so much more, or less.
 * Of the one thread that changes data. */
void mem_note_mapped(int64_t change);
/* "jemalloc-5.3.0", or the sanitizer's name. */
const char *mem_allocator_name(void);
/* Gives unused pages back to the system. */
void mem_purge(void);

#endif
