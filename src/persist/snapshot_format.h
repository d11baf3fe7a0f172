/* What writer and reader of snapshots share: the numbers of the format that
 * snapshot.c documents, and little-endian words. */
#ifndef PERSIST_SNAPSHOT_FORMAT_H
#define PERSIST_SNAPSHOT_FORMAT_H

#include <assert.h>
#include <stdint.h>

#include "base/little_endian.h"
#include "persist/snapshot.h"

enum {
    PREFIX_BYTES = 12, /* magic, version */
    MAGIC_BYTES = 8,
    RECORD_HEAD_BYTES = 28,
    CHECKSUM_BYTES = 8,
    HEAD_FIXED_BYTES = 72, /* of the head record's body, before the caller's state */
    DATABASE_BYTES = 20,
    END_BYTES = 24,
    /* A record is filled up to this; one key more alone may exceed it.  Also the
     * block size of the LZ4 frame, so that a record is one LZ4 block. */
    RECORD_BYTES_MAX = 256 << 10,
    /* Of a collection in one record, about; more than that only for a member that is longer. */
    PART_BYTES = 192 << 10,
    DATABASES_LIMIT = 10000,
};

#define SNAPSHOT_MAGIC "kvsnap\r\n"

/* MORE and LAST carry on the value of the one key of the record before. */
enum record_kind {
    RECORD_HEAD = 1,
    RECORD_DATABASE = 2,
    RECORD_KEYS = 3,
    RECORD_END = 4,
    RECORD_MORE = 5,
    RECORD_LAST = 6,
    RECORD_EXTRAS = 7, /* what is replicated beside the keys (store/extras.h) */
};

enum { HEAD_FLAG_ACTIVE_EXPIRE = 1 };

/* The 28 bytes at the front of a record. */
struct record_head {
    uint64_t checksum;
    uint32_t kind;
    uint32_t keys;
    uint32_t data_bytes, shape_bytes, expiry_bytes;
};

static inline uint64_t record_body_bytes(const struct record_head *head)
{
    return (uint64_t)head->data_bytes + head->shape_bytes + head->expiry_bytes;
}

/* The checksum field itself is left to the caller. */
static inline void record_head_put(char at[static RECORD_HEAD_BYTES], const struct record_head *head)
{
    at = put_le(at + CHECKSUM_BYTES, head->kind, 4);
    at = put_le(at, head->keys, 4);
    at = put_le(at, head->data_bytes, 4);
    at = put_le(at, head->shape_bytes, 4);
    put_le(at, head->expiry_bytes, 4);
}
static inline struct record_head record_head_get(const char at[static RECORD_HEAD_BYTES])
{
    return (struct record_head){.checksum = get_le(at, 8),
                                .kind = (uint32_t)get_le(at + 8, 4),
                                .keys = (uint32_t)get_le(at + 12, 4),
                                .data_bytes = (uint32_t)get_le(at + 16, 4),
                                .shape_bytes = (uint32_t)get_le(at + 20, 4),
                                .expiry_bytes = (uint32_t)get_le(at + 24, 4)};
}

#endif
