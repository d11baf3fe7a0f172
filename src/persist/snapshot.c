/* Writes snapshots.
 *
 * The file is the content below, plain or as one LZ4 frame (magic 04 22 4D 18)
 * with checksums of content and of blocks; what the lz4 tool unpacks is the plain form.  All
 * numbers are little-endian, none is aligned.
 *
 *   offset  bytes
 *        0      8  magic: "kvsnap\r\n"
 *        8      4  format version, 2
 *       12         records, to the end
 *
 * A record:
 *
 *        0      8  checksum: XXH3-64 of the rest of the record, seeded with its
 *                  ordinal (0 is the first), so that records that are lost,
 *                  doubled or exchanged show
 *        8      4  kind: 1 head, 2 database, 3 keys, 4 end, 5 more, 6 last,
 *                  7 extras
 *       12      4  number of keys; 0 unless kind is 3
 *       16      4  bytes of the data column
 *       20      4  bytes of the shape column, 0 unless kind is 3
 *       24      4  bytes of the expiry column, 0 unless kind is 3
 *       28         data, shapes, expiries
 *
 * In order: a head; extras (not in format 1); for each database that has keys, numbers ascending, a
 * database record and one or more keys records; an end.  Nothing follows it.
 * Behind a keys record with a single key whose value goes on come any number of
 * more records and one last record.
 *
 * Data of a head:
 *
 *        0      8  cluster
 *        8      8  position
 *       16      8  logical time, unix ms
 *       24      8  created, unix ms
 *       32     16  hash secret
 *       48      8  number of keys in all
 *       56      4  flags: bit 0, keys are expired actively; others 0
 *       60      4  number of databases the writer had
 *       64      8  bytes of the caller's state, at most 1 MiB
 *       72         the caller's state
 *
 * Data of a database record:
 *
 *        0      4  number of the database
 *        4      8  keys in it, more than 0
 *       12      8  how many of them expire
 *
 * Data of an end:
 *
 *        0      8  number of keys in all
 *        8     16  keyspace_digest of them, low word first
 *
 * Data of extras: as store/extras.h says.
 *
 * A keys record holds at most 256 KiB with its head, or a single key.  The data
 * of a more and of a last record is a part of a value.
 *
 *   data     of each key: its bytes, then those of its value.  An integer is
 *            its two's complement in as few bytes as hold it with its sign, 0
 *            in none.  A collection is saved in parts, each of them described
 *            where its type is (store/<type>_value.c); this is the first.
 *   shapes   tokens.  Below 0x80 the token begins a new shape, of one key:
 *              bits 0-2 type (enum value_type), bit 3: the value goes on in the
 *              next record, bits 4-5 which of the type's encodings
 *              (snapshot_block.c), bit 6: it expires; then two varints, length
 *              of key and of value, each at most 512 MiB.
 *            From 0x80 on: the next (token & 0x7f) + 1 keys have the shape of
 *            the one before.
 *   expiries of each key that expires, its time less the logical time of the
 *            head (modulo 2^64), zigzag (0, -1, 1, -2 as 0, 1, 2, 3), as a
 *            varint.  Keys whose time has come but which were not removed yet
 *            are there too.
 *
 * A varint has seven bits per byte, the lowest first; the high bit is set in
 * all bytes but the last.
 *
 * Keys come in the order of their hashes under the head's secret, roughly: in
 * that order a reader fills its table from front to end. */
#include "persist/snapshot.h"

#include <lz4frame.h>
#define XXH_STATIC_LINKING_ONLY /* a state on the stack */
#include <xxhash.h>

#include "base/alloc.h"
#include "base/check.h"
#include "persist/snapshot_block.h"
#include "persist/snapshot_format.h"
#include "store/digest.h"
#include "store/extras.h"
#include "store/value.h"

struct writer {
    const struct snapshot_write_options *options;
    struct keyspace *ks;
    LZ4F_cctx *lz4; /* NULL: plain */
    char *packed;
    size_t packed_room;
    struct buf record; /* being put together */
    struct buf part;   /* of a collection */
    struct snapshot_block block;
    uint64_t ordinal, keys;
    int db;
    struct digest digest;
    enum status status;
};

/* --- bytes out ------------------------------------------------------------- */

static const LZ4F_preferences_t preferences = {
    .frameInfo = {.blockSizeID = LZ4F_max256KB,
                  .blockMode = LZ4F_blockIndependent,
                  .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                  /* Some flipped bits unpack to the same content; they are damage all the same. */
                  .blockChecksumFlag = LZ4F_blockChecksumEnabled},
    .autoFlush = 1,
};

static enum status sink(struct writer *w, const void *bytes, size_t size)
{
    return size ? w->options->sink(w->options->context, bytes, size) : STATUS_OK;
}

/* packed_room is what LZ4F_compressBound wants, so no call can fail. */
static enum status sink_packed(struct writer *w, size_t size)
{
    CHECK(!LZ4F_isError(size));
    return sink(w, w->packed, size);
}

static enum status write_bytes(struct writer *w, const char *bytes, size_t size)
{
    if (!w->lz4)
        return sink(w, bytes, size);
    enum status status = STATUS_OK;
    while (size > 0 && status == STATUS_OK) {
        size_t piece = size < RECORD_BYTES_MAX ? size : RECORD_BYTES_MAX;
        status = sink_packed(w, LZ4F_compressUpdate(w->lz4, w->packed, w->packed_room, bytes, piece, NULL));
        bytes += piece;
        size -= piece;
    }
    return status;
}

static enum status begin_frame(struct writer *w)
{
    if (!w->options->is_compressed)
        return STATUS_OK;
    LZ4F_errorCode_t failed = LZ4F_createCompressionContext(&w->lz4, LZ4F_VERSION);
    CHECK(!LZ4F_isError(failed)); /* out of memory */
    w->packed_room = LZ4F_compressBound(RECORD_BYTES_MAX, &preferences) + LZ4F_HEADER_SIZE_MAX;
    w->packed = mem_alloc(w->packed_room);
    return sink_packed(w, LZ4F_compressBegin(w->lz4, w->packed, w->packed_room, &preferences));
}

static enum status end_frame(struct writer *w)
{
    if (!w->lz4)
        return STATUS_OK;
    return sink_packed(w, LZ4F_compressEnd(w->lz4, w->packed, w->packed_room, NULL));
}

/* --- records --------------------------------------------------------------- */

/* The record buffer holds room for the head, then the body. */
static void record_begin(struct writer *w)
{
    buf_clear(&w->record);
    buf_reserve(&w->record, RECORD_HEAD_BYTES);
    buf_extend(&w->record, RECORD_HEAD_BYTES);
}

static enum status record_write(struct writer *w, const struct record_head *head)
{
    char *record = buf_head(&w->record);
    CHECK(buf_size(&w->record) == RECORD_HEAD_BYTES + record_body_bytes(head));
    record_head_put(record, head);
    size_t covered = buf_size(&w->record) - CHECKSUM_BYTES;
    put_le(record, XXH3_64bits_withSeed(record + CHECKSUM_BYTES, covered, w->ordinal++), CHECKSUM_BYTES);
    return write_bytes(w, record, buf_size(&w->record));
}

static enum status write_plain_record(struct writer *w, enum record_kind kind)
{
    size_t body = buf_size(&w->record) - RECORD_HEAD_BYTES;
    return record_write(w, &(struct record_head){.kind = kind, .data_bytes = (uint32_t)body});
}

static void record_le(struct writer *w, uint64_t word, unsigned bytes)
{
    put_le(buf_reserve(&w->record, bytes), word, bytes);
    buf_extend(&w->record, bytes);
}

static uint64_t count_keys(struct keyspace *ks)
{
    uint64_t count = 0;
    for (int db = 0; db < keyspace_database_count(ks); db++)
        count += keyspace_size(ks, db);
    return count;
}

static enum status write_head(struct writer *w, const struct snapshot_head *head)
{
    CHECK(head->state.len <= SNAPSHOT_STATE_MAX);
    char prefix[PREFIX_BYTES];
    memcpy(prefix, SNAPSHOT_MAGIC, MAGIC_BYTES);
    put_le(prefix + MAGIC_BYTES, SNAPSHOT_FORMAT_VERSION, PREFIX_BYTES - MAGIC_BYTES);
    enum status status = write_bytes(w, prefix, sizeof prefix);
    if (status != STATUS_OK)
        return status;
    record_begin(w);
    record_le(w, head->cluster, 8);
    record_le(w, head->position, 8);
    record_le(w, (uint64_t)keyspace_now(w->ks), 8);
    record_le(w, (uint64_t)head->created_ms, 8);
    buf_append(&w->record, head->hash_secret, sizeof head->hash_secret);
    record_le(w, count_keys(w->ks), 8);
    record_le(w, keyspace_is_active_expire(w->ks) ? HEAD_FLAG_ACTIVE_EXPIRE : 0, 4);
    record_le(w, (uint64_t)keyspace_database_count(w->ks), 4);
    record_le(w, head->state.len, 8);
    CHECK(buf_size(&w->record) == RECORD_HEAD_BYTES + HEAD_FIXED_BYTES);
    buf_append_slice(&w->record, head->state);
    return write_plain_record(w, RECORD_HEAD);
}

static enum status write_extras(struct writer *w)
{
    record_begin(w);
    extras_write(w->ks, &w->record);
    CHECK(buf_size(&w->record) <= RECORD_HEAD_BYTES + (size_t)EXTRAS_BYTES_MAX);
    return write_plain_record(w, RECORD_EXTRAS);
}

static enum status write_database(struct writer *w)
{
    record_begin(w);
    record_le(w, (uint64_t)w->db, 4);
    record_le(w, keyspace_size(w->ks, w->db), 8);
    record_le(w, keyspace_expiring(w->ks, w->db), 8);
    return write_plain_record(w, RECORD_DATABASE);
}

static enum status write_end(struct writer *w)
{
    record_begin(w);
    record_le(w, w->keys, 8);
    record_le(w, w->digest.low, 8);
    record_le(w, w->digest.high, 8);
    return write_plain_record(w, RECORD_END);
}

/* --- keys ------------------------------------------------------------------ */

static struct record_head block_head(const struct snapshot_block *block)
{
    return (struct record_head){.kind = RECORD_KEYS,
                                .keys = block->keys,
                                .data_bytes = (uint32_t)buf_size(&block->data),
                                .shape_bytes = (uint32_t)buf_size(&block->shapes),
                                .expiry_bytes = (uint32_t)buf_size(&block->expiries)};
}

static void note_keys(struct writer *w, uint64_t count)
{
    w->keys += count;
    if (w->options->progress)
        w->options->progress(w->options->context, w->keys);
}

static enum status flush_block(struct writer *w)
{
    struct snapshot_block *block = &w->block;
    if (block->keys == 0)
        return STATUS_OK;
    snapshot_block_finish(block);
    record_begin(w);
    buf_append_slice(&w->record, buf_slice(&block->data));
    buf_append_slice(&w->record, buf_slice(&block->shapes));
    buf_append_slice(&w->record, buf_slice(&block->expiries));
    CHECK(buf_size(&w->record) <= RECORD_BYTES_MAX);
    const struct record_head head = block_head(block);
    enum status status = record_write(w, &head);
    note_keys(w, block->keys);
    snapshot_block_clear(block);
    return status;
}

/* A key that fills more than a record: from where it lies, without a copy. */
static enum status write_alone(struct writer *w, const struct keyspace_item *item)
{
    struct snapshot_block *block = &w->block;
    CHECK(block->keys == 0);
    snapshot_block_put_shape(block, item);
    snapshot_block_finish(block);
    struct record_head head = block_head(block);
    head.data_bytes = (uint32_t)(item->key.len + item->bytes.len);
    char bytes[RECORD_HEAD_BYTES];
    record_head_put(bytes, &head);
    const struct slice parts[] = {
        slice_make(bytes, sizeof bytes), item->key, item->bytes, buf_slice(&block->shapes), buf_slice(&block->expiries),
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    XXH3_state_t sum;
    XXH3_64bits_reset_withSeed(&sum, w->ordinal++);
    XXH3_64bits_update(&sum, bytes + CHECKSUM_BYTES, sizeof bytes - CHECKSUM_BYTES);
    for (int i = 1; i < PARTS; i++)
        XXH3_64bits_update(&sum, parts[i].ptr, parts[i].len);
    put_le(bytes, XXH3_64bits_digest(&sum), CHECKSUM_BYTES);
    enum status status = STATUS_OK;
    for (int i = 0; i < PARTS && status == STATUS_OK; i++)
        status = write_bytes(w, parts[i].ptr, parts[i].len);
    note_keys(w, 1);
    snapshot_block_clear(block);
    return status;
}

static void save_part(struct writer *w, const struct value *v, enum value_type type, struct value_cursor *cursor)
{
    buf_clear(&w->part);
    object_type_of(type)->save(v, cursor, &w->part, PART_BYTES);
    CHECK(cursor->is_done || buf_size(&w->part) > 0);
}

/* What did not go into the first part. */
static enum status write_rest(struct writer *w, const struct value *v, enum value_type type,
                              struct value_cursor *cursor)
{
    enum status status = STATUS_OK;
    while (!cursor->is_done && status == STATUS_OK) {
        save_part(w, v, type, cursor);
        record_begin(w);
        buf_append_slice(&w->record, buf_slice(&w->part));
        status = write_plain_record(w, cursor->is_done ? RECORD_LAST : RECORD_MORE);
    }
    return status;
}

static enum status put_item(struct writer *w, const struct keyspace_item *item)
{
    bool is_long = RECORD_HEAD_BYTES + snapshot_block_bound(&w->block, item) > RECORD_BYTES_MAX || item->goes_on;
    if (is_long) {
        enum status status = flush_block(w);
        if (status != STATUS_OK)
            return status;
    }
    if (item->goes_on || RECORD_HEAD_BYTES + snapshot_block_bound(&w->block, item) > RECORD_BYTES_MAX)
        return write_alone(w, item);
    snapshot_block_put(&w->block, item);
    return STATUS_OK;
}

static enum status put_collection(struct writer *w, const struct entry *e, struct keyspace_item *item)
{
    struct value v = entry_value(e);
    struct value_cursor cursor = {0};
    save_part(w, &v, item->type, &cursor);
    item->bytes = buf_slice(&w->part);
    item->goes_on = !cursor.is_done;
    enum status status = put_item(w, item);
    return status == STATUS_OK ? write_rest(w, &v, item->type, &cursor) : status;
}

static bool write_entry(void *context, const struct entry *e)
{
    struct writer *w = context;
    struct keyspace_item item = entry_item(e);
    digest_add(&w->digest, keyspace_entry_digest(w->db, e));
    w->status = item.type == VALUE_STRING ? put_item(w, &item) : put_collection(w, e, &item);
    return w->status == STATUS_OK;
}
static enum status write_databases(struct writer *w)
{
    for (w->db = 0; w->db < keyspace_database_count(w->ks); w->db++) {
        if (keyspace_size(w->ks, w->db) == 0)
            continue;
        w->status = write_database(w);
        if (w->status == STATUS_OK && keyspace_walk(w->ks, w->db, write_entry, w))
            w->status = flush_block(w);
        if (w->status != STATUS_OK)
            return w->status;
    }
    return STATUS_OK;
}

static enum status write_content(struct writer *w, const struct snapshot_head *head)
{
    enum status status = begin_frame(w);
    if (status == STATUS_OK)
        status = write_head(w, head);
    if (status == STATUS_OK)
        status = write_extras(w);
    if (status == STATUS_OK)
        status = write_databases(w);
    if (status == STATUS_OK)
        status = write_end(w);
    if (status == STATUS_OK)
        status = end_frame(w);
    return status;
}

enum status snapshot_write(struct keyspace *ks, const struct snapshot_head *head,
                           const struct snapshot_write_options *options)
{
    struct writer w = {.options = options, .ks = ks};
    buf_init(&w.record);
    buf_init(&w.part);
    snapshot_block_init(&w.block, keyspace_now(ks));
    enum status status = write_content(&w, head);
    if (status == STATUS_OK)
        CHECK(w.keys == count_keys(ks));
    snapshot_block_deinit(&w.block);
    buf_deinit(&w.part);
    buf_deinit(&w.record);
    mem_free(w.packed);
    LZ4F_freeCompressionContext(w.lz4);
    return status;
}
