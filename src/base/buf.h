/* A growable byte queue: bytes are appended at the tail and consumed at the
 * head.  Flat, so that a parser or a writer sees one run.
 *
 * Consuming is O(1); appending is amortised O(1) and may move the bytes, so a
 * slice into a buf lives until the next call that appends or reserves. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/slice.h"

struct buf {
    char *data;
    size_t head, tail, capacity; /* head <= tail <= capacity */
};

static inline void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}
void buf_deinit(struct buf *b);

static inline size_t buf_size(const struct buf *b)
{
    return b->tail - b->head;
}
/* NULL while nothing was ever appended. */
static inline char *buf_head(const struct buf *b)
{
    return b->data ? b->data + b->head : NULL;
}
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){buf_head(b), b->tail - b->head};
}

/* Slow half of buf_reserve: moves or reallocates. */
void buf_make_room(struct buf *b, size_t size);

/* Room for size more bytes, contiguous, at the returned address; they count
 * only after buf_extend. */
static inline char *buf_reserve(struct buf *b, size_t size)
{
    if (__builtin_expect(b->capacity - b->tail < size, 0))
        buf_make_room(b, size);
    return b->data + b->tail;
}
static inline size_t buf_room(const struct buf *b)
{
    return b->capacity - b->tail;
}
static inline void buf_extend(struct buf *b, size_t size)
{
    CHECK(b->capacity - b->tail >= size);
    b->tail += size;
}
static inline void buf_append(struct buf *b, const void *bytes, size_t size)
{
    if (size) {
        memcpy(buf_reserve(b, size), bytes, size);
        b->tail += size;
    }
}
static inline void buf_append_slice(struct buf *b, struct slice bytes)
{
    buf_append(b, bytes.ptr, bytes.len);
}
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops size bytes at the head. */
static inline void buf_consume(struct buf *b, size_t size)
{
    CHECK(size <= b->tail - b->head);
    b->head += size;
    if (b->head == b->tail)
        b->head = b->tail = 0;
}
static inline void buf_clear(struct buf *b)
{
    b->head = b->tail = 0;
}
/* Gives memory back when an empty or mostly empty buf holds more than
 * keep bytes. */
void buf_shrink(struct buf *b, size_t keep);

#endif
