/* Bytes that end at an unreadable page: whoever reads beyond them dies. */
#ifndef TESTS_GUARDED_H
#define TESTS_GUARDED_H

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

struct guarded {
    char *map;
    size_t size; /* of the readable part */
};

static inline struct guarded guarded_create(size_t size)
{
    size_t page = 4096, readable = (size + page - 1) / page * page + page;
    char *map = mmap(NULL, readable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(map != MAP_FAILED);
    int failed = mprotect(map + readable, page, PROT_NONE);
    assert(!failed);
    (void)failed;
    return (struct guarded){map, readable};
}

/* A copy of the bytes whose last one is the last readable. */
static inline char *guarded_place(struct guarded *g, const char *bytes, size_t len)
{
    assert(len <= g->size);
    return memcpy(g->map + g->size - len, bytes, len);
}

static inline void guarded_free(struct guarded *g)
{
    munmap(g->map, g->size + 4096);
}

#endif
