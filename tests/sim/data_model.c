#include "data_model.h"

#include <string.h>

#include "base/random.h"
#include "replica/batch_code.h"

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
    case DATA_MEMBERS:
        return before;
    }
    return before;
}

uint64_t data_digest(const struct data_store *store)
{
    uint64_t digest = store->logical_ms ^ store->changes;
    for (size_t i = 0; i < DATA_KEYS; i++) {
        digest = random_mix(digest ^ store->values[i].a);
        digest = random_mix(digest ^ store->values[i].b);
    }
    return digest;
}

struct data_cursor data_writes(const struct batch *batch)
{
    return (struct data_cursor){batch->bytes, batch->bytes + batch->size};
}

bool data_next_write(struct data_cursor *cursor, struct data_write *write)
{
    while (cursor->at && cursor->at < cursor->end) {
        uint64_t size, db, count, length;
        const char *at = varint_read(cursor->at, cursor->end, &size);
        if (!at || size > (uint64_t)(cursor->end - at))
            return false;
        const char *next = at + size;
        at = varint_read(at, next, &db);
        at = at ? varint_read(at, next, &count) : NULL;
        at = at ? varint_read(at, next, &length) : NULL;
        if (!at || length > (uint64_t)(next - at))
            return false;
        cursor->at = next;
        if (length != sizeof *write)
            continue;
        memcpy(write, at, sizeof *write);
        return true;
    }
    return false;
}

/* One command: database 0, one argument. */
static size_t command_body(size_t length)
{
    return 2 + varint_size(length) + length;
}

static char *command_write(char *at, size_t length)
{
    at = varint_write(at, command_body(length));
    at = varint_write(at, 0);
    at = varint_write(at, 1);
    return varint_write(at, length);
}

static size_t command_size(size_t length)
{
    return varint_size(command_body(length)) + command_body(length);
}

struct batch *data_batch_create(const struct data_write *writes, size_t count, size_t filler)
{
    if (filler == sizeof *writes)
        filler++;
    struct batch *batch = batch_create(count * command_size(sizeof *writes) + (filler ? command_size(filler) : 0));
    char *at = batch->bytes;
    for (size_t i = 0; i < count; i++) {
        at = command_write(at, sizeof *writes);
        memcpy(at, &writes[i], sizeof *writes);
        at += sizeof *writes;
    }
    if (filler)
        memset(command_write(at, filler), 'x', filler);
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
