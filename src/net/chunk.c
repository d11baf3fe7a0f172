#include "base/alloc.h"
#include "base/check.h"
#include "net/chunk_queue.h"
#include "net/stream.h"

void chunk_hold(struct chunk *chunk)
{
    CHECK(chunk->references > 0);
    CHECK(chunk->references < UINT32_MAX);
    chunk->references++;
}

void chunk_drop(struct chunk *chunk)
{
    CHECK(chunk->references > 0);
    if (--chunk->references == 0)
        chunk->release(chunk);
}

static void release_copy(struct chunk *chunk)
{
    mem_free(chunk);
}

struct chunk *chunk_copy(const void *bytes, size_t size)
{
    CHECK(size > 0);
    struct chunk *chunk = mem_alloc(sizeof *chunk + size);
    char *copy = (char *)(chunk + 1);
    memcpy(copy, bytes, size);
    *chunk = (struct chunk){.bytes = copy, .size = size, .references = 1, .release = release_copy};
    return chunk;
}

void chunk_queue_push(struct chunk_queue *queue, struct chunk *chunk, uint64_t position)
{
    CHECK(chunk->size > 0);
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity ? queue->capacity * 2 : 8;
        struct chunk_entry *entries = mem_alloc(capacity * sizeof *entries);
        for (size_t i = 0; i < queue->count; i++)
            entries[i] = *chunk_queue_at(queue, i);
        mem_free(queue->entries);
        queue->entries = entries;
        queue->capacity = capacity;
        queue->first = 0;
    }
    chunk_hold(chunk);
    queue->bytes += chunk->size;
    queue->count++;
    *chunk_queue_at(queue, queue->count - 1) = (struct chunk_entry){chunk, position};
}

size_t chunk_queue_consume_front(struct chunk_queue *queue, size_t size)
{
    struct chunk *chunk = chunk_queue_at(queue, 0)->chunk;
    size_t rest = chunk->size - queue->front_sent;
    size_t taken = size < rest ? size : rest;
    queue->front_sent += taken;
    queue->bytes -= taken;
    if (queue->front_sent == chunk->size) {
        queue->first = (queue->first + 1) & (queue->capacity - 1);
        queue->count--;
        queue->front_sent = 0;
        chunk_drop(chunk);
    }
    return taken;
}

void chunk_queue_clear(struct chunk_queue *queue)
{
    while (queue->count > 0)
        chunk_queue_consume_front(queue, SIZE_MAX);
    CHECK(queue->bytes == 0);
    mem_free(queue->entries);
    *queue = (struct chunk_queue){0};
}
