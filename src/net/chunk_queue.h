/* A stream's queue of shared chunks: a ring that doubles when full.
 *
 * I1: bytes is what is left to send: the sizes of all chunks less front_sent.
 * I2: front_sent is less than the front chunk's size; 0 when empty.
 * I3: capacity is a power of two, or 0. */
#ifndef NET_CHUNK_QUEUE_H
#define NET_CHUNK_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct chunk;

struct chunk_entry {
    struct chunk *chunk;
    uint64_t position; /* bytes of the reply buffer, counted from the stream's birth, that go before */
};

struct chunk_queue {
    struct chunk_entry *entries;
    size_t first, count, capacity;
    size_t front_sent;
    size_t bytes;
};

static inline struct chunk_entry *chunk_queue_at(const struct chunk_queue *queue, size_t index)
{
    return &queue->entries[(queue->first + index) & (queue->capacity - 1)];
}
/* Takes a reference. */
void chunk_queue_push(struct chunk_queue *queue, struct chunk *chunk, uint64_t position);
/* Up to size bytes of the front chunk are sent; drops it when it is done. */
size_t chunk_queue_consume_front(struct chunk_queue *queue, size_t size);
void chunk_queue_clear(struct chunk_queue *queue);

#endif
