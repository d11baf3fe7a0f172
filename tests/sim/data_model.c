#include "data_model.h"

#include <string.h>

#include "base/random.h"

enum { BATCH_HEADER = 8 };

struct data_value data_apply(struct data_value *value, uint8_t operation, uint64_t argument, uint64_t expected)
{
    struct data_value before = *value;
    switch ((enum data_operation)operation) {
    case DATA_GET:
        return before;
    case DATA_SET:
        value->a = argument;
        return (struct data_value){0, 0};
    case DATA_SWAP:
        value->a = argument;
        return before;
    case DATA_CAS:
        if (before.a != expected)
            return (struct data_value){0, 0};
        value->a = argument;
        return (struct data_value){1, 0};
    case DATA_INCREMENT:
        value->a += argument;
        return (struct data_value){value->a, 0};
    case DATA_APPEND:
        value->a++;
        value->b = random_mix(value->b ^ argument);
        return (struct data_value){value->a, 0};
    }
    return before;
}

uint64_t data_digest(const struct data_store *store)
{
    uint64_t digest = store->logical_ms;
    for (size_t i = 0; i < DATA_KEYS; i++) {
        digest = random_mix(digest ^ store->values[i].a);
        digest = random_mix(digest ^ store->values[i].b);
    }
    return digest;
}

const struct data_write *data_writes(const struct batch *batch, size_t *count)
{
    *count = 0;
    if (batch->size < BATCH_HEADER)
        return NULL;
    uint64_t stated;
    memcpy(&stated, batch->bytes, sizeof stated);
    size_t present = (batch->size - BATCH_HEADER) / sizeof(struct data_write);
    *count = stated < present ? (size_t)stated : present;
    return *count ? (const struct data_write *)(const void *)(batch->bytes + BATCH_HEADER) : NULL;
}

struct batch *data_batch_create(const struct data_write *writes, size_t count, size_t filler)
{
    if (count == 0 && filler == 0) {
        struct batch *empty = batch_create(0);
        empty->clock_ms = 0;
        empty->previous_lap = RABIA_NO_LAP;
        return empty;
    }
    struct batch *batch = batch_create(BATCH_HEADER + count * sizeof *writes + filler);
    uint64_t stated = count;
    memcpy(batch->bytes, &stated, sizeof stated);
    if (count)
        memcpy(batch->bytes + BATCH_HEADER, writes, count * sizeof *writes);
    memset(batch->bytes + BATCH_HEADER + count * sizeof *writes, 'x', filler);
    batch->clock_ms = 0;
    batch->previous_lap = RABIA_NO_LAP;
    return batch;
}

uint64_t data_batch_hash(const struct batch *batch)
{
    uint64_t hash = random_mix(batch->clock_ms ^ 0x5851f42d4c957f2du) ^ random_mix(batch->previous_lap + batch->size);
    size_t at = 0;
    for (; at + 8 <= batch->size; at += 8) {
        uint64_t word;
        memcpy(&word, batch->bytes + at, sizeof word);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 29;
    }
    for (; at < batch->size; at++)
        hash = (hash ^ (uint8_t)batch->bytes[at]) * 0x100000001b3u;
    hash = random_mix(hash);
    return hash ? hash : 1;
}

struct batch *data_batch_copy(const struct batch *batch)
{
    struct batch *copy = batch_create(batch->size);
    copy->clock_ms = batch->clock_ms;
    copy->previous_lap = batch->previous_lap;
    memcpy(copy->bytes, batch->bytes, batch->size);
    return copy;
}
