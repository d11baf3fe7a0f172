/* Keys and their values as the body of a snapshot's record, and back.  The
 * bytes are documented in snapshot.c.
 *
 * Three columns: what keys and values consist of (shapes), when they expire,
 * and their bytes.  Neighbours mostly have the same shape, so it is said once
 * for up to 128 of them.  Compared with a row per key this makes a snapshot of
 * keys and values of equal length an eleventh smaller, and the bytes easier to
 * compress. */
#ifndef PERSIST_SNAPSHOT_BLOCK_H
#define PERSIST_SNAPSHOT_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/keyspace.h"

/* Type, encoding, whether it expires; lengths of key and value. */
struct snapshot_shape {
    uint8_t kind;
    uint32_t key_bytes, value_bytes;
};

/* --- writing --------------------------------------------------------------- */

struct snapshot_block {
    struct buf data, shapes, expiries;
    uint32_t keys;
    struct snapshot_shape last;
    unsigned repeats; /* of last, not yet written */
    int64_t base_ms;  /* expiries are relative to it */
};

void snapshot_block_init(struct snapshot_block *block, int64_t base_ms);
void snapshot_block_deinit(struct snapshot_block *block);
/* Empties it; the memory stays. */
void snapshot_block_clear(struct snapshot_block *block);
/* An upper bound of what the block's bytes will be with this item added. */
size_t snapshot_block_bound(const struct snapshot_block *block, const struct keyspace_item *item);
void snapshot_block_put(struct snapshot_block *block, const struct keyspace_item *item);
/* The same without key and value in the data column: the caller writes key,
 * then item->bytes, himself.  Not for integers. */
void snapshot_block_put_shape(struct snapshot_block *block, const struct keyspace_item *item);
/* Before shapes is read: writes out the repeats that are pending. */
void snapshot_block_finish(struct snapshot_block *block);

/* --- reading --------------------------------------------------------------- */

struct snapshot_block_reader {
    const char *data, *data_end;
    const char *shape, *shape_end;
    const char *expiry, *expiry_end;
    struct snapshot_shape last;
    unsigned repeats;
    bool has_shape;
    int64_t base_ms;
};

/* The next key into item, which borrows from the columns; false if the bytes
 * are not what snapshot_block_put writes. */
bool snapshot_block_next(struct snapshot_block_reader *reader, struct keyspace_item *item);
/* All columns were used up. */
bool snapshot_block_is_done(const struct snapshot_block_reader *reader);

#endif
