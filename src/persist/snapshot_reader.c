#include "persist/snapshot_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <lz4frame.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"
#include "persist/snapshot_block.h"
#include "persist/snapshot_format.h"
#include "store/digest.h"
#include "store/extras.h"
#include "store/value.h"

static const unsigned char frame_magic[] = {0x04, 0x22, 0x4d, 0x18};

enum {
    MAGIC_SNIFF = sizeof frame_magic,
    RUN = 16, /* keys hashed and prefetched together */
    KEY_MEMORY_MIN = 32, /* of a key in a keyspace, its share of the table included, at the least */
    GROWTH_STEP_MIN = 1 << 20,
    FORMAT_VERSION_MIN = 1,
};

/*            prefix         head record      record              end record
 *   PREFIX ---------> HEAD -------------> RECORDS --+----------------------> END
 *                                            ^------+ database, keys, more, last
 *
 * Content goes into one buffer until what is wanted next is complete: the
 * prefix, a record's head, the record. */
enum place { PLACE_PREFIX, PLACE_HEAD, PLACE_RECORDS, PLACE_END };

enum form { FORM_UNKNOWN, FORM_PLAIN, FORM_LZ4 };

struct snapshot_reader {
    struct keyspace *ks; /* NULL: only checks */
    snapshot_head_fn *on_head;
    void *head_context;
    const struct snapshot_visitor *visitor; /* NULL unless checking */

    enum form form;
    LZ4F_dctx *lz4;
    bool is_frame_done;
    char sniffed[MAGIC_SNIFF];
    size_t sniffed_bytes;

    enum place place;
    char *content; /* wanted > 0: of them, got are there */
    size_t room, got, wanted;
    bool is_record_head_known;
    struct record_head record;
    uint64_t ordinal, content_bytes;

    uint32_t version;
    bool has_extras;
    struct snapshot_head head;
    char *state;
    int database_count; /* of the writer */
    uint64_t presize_max;

    /* A collection whose value goes on; pending.key is an own copy. */
    bool is_pending;
    struct keyspace_item pending;
    char *pending_key;
    struct value pending_value;
    struct value_env *env; /* of collections, when there is no keyspace */

    struct snapshot_database_figures database;
    uint64_t database_keys, database_expiring; /* announced */
    uint64_t keys;
    struct digest digest;

    enum status status; /* AGAIN: under way */
    char error[SNAPSHOT_ERROR_MAX];
};

__attribute__((format(printf, 3, 4))) static enum status fail(struct snapshot_reader *r, enum status status,
                                                              const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error, sizeof r->error, format, arguments);
    va_end(arguments);
    r->status = status;
    return status;
}

static enum status malformed(struct snapshot_reader *r, const char *what)
{
    return fail(r, STATUS_MALFORMED, "not a sound snapshot: %s (record %llu, ending at byte %llu of the content)", what,
                (unsigned long long)r->ordinal, (unsigned long long)r->content_bytes);
}

/* --- head ------------------------------------------------------------------ */

static enum status take_prefix(struct snapshot_reader *r)
{
    if (memcmp(r->content, SNAPSHOT_MAGIC, MAGIC_BYTES) != 0)
        return fail(r, STATUS_MALFORMED, "not a snapshot: it does not begin as one");
    uint32_t version = (uint32_t)get_le(r->content + MAGIC_BYTES, PREFIX_BYTES - MAGIC_BYTES);
    if (version < FORMAT_VERSION_MIN || version > SNAPSHOT_FORMAT_VERSION)
        return fail(r, STATUS_MISMATCH, "the snapshot has format version %lu, this program reads version %d%s",
                    (unsigned long)version, SNAPSHOT_FORMAT_VERSION,
                    version > SNAPSHOT_FORMAT_VERSION ? ": it was written by a newer one" : "");
    r->version = version;
    r->place = PLACE_HEAD;
    return STATUS_AGAIN;
}

static enum status take_head(struct snapshot_reader *r, const char *body)
{
    struct snapshot_head *head = &r->head;
    if (r->record.kind != RECORD_HEAD)
        return malformed(r, "the first record is not a head");
    if (r->record.data_bytes < HEAD_FIXED_BYTES)
        return malformed(r, "the head is too short");
    head->cluster = get_le(body, 8);
    head->position = get_le(body + 8, 8);
    head->logical_time_ms = (int64_t)get_le(body + 16, 8);
    head->created_ms = (int64_t)get_le(body + 24, 8);
    memcpy(head->hash_secret, body + 32, sizeof head->hash_secret);
    head->key_count = get_le(body + 48, 8);
    uint64_t flags = get_le(body + 56, 4), databases = get_le(body + 60, 4), state_bytes = get_le(body + 64, 8);
    head->is_active_expire = flags & HEAD_FLAG_ACTIVE_EXPIRE;
    if (flags & ~(uint64_t)HEAD_FLAG_ACTIVE_EXPIRE || databases < 1 || databases > DATABASES_LIMIT)
        return malformed(r, "the head says what cannot be");
    if (state_bytes != r->record.data_bytes - HEAD_FIXED_BYTES)
        return malformed(r, "the head and its state differ in length");
    r->database_count = (int)databases;
    r->state = mem_alloc(state_bytes);
    memcpy(r->state, body + HEAD_FIXED_BYTES, state_bytes);
    head->state = slice_make(r->state, state_bytes);
    r->place = PLACE_RECORDS;
    if (r->visitor && r->visitor->on_head)
        r->visitor->on_head(r->visitor->context, head, r->version);
    enum status status = r->on_head ? r->on_head(r->head_context, head) : STATUS_OK;
    if (status != STATUS_OK)
        return fail(r, status, "the snapshot is not wanted here");
    if (r->ks) {
        keyspace_advance(r->ks, head->logical_time_ms);
        keyspace_set_active_expire(r->ks, head->is_active_expire);
    }
    return STATUS_AGAIN;
}

/* --- databases and keys ---------------------------------------------------- */

static enum status end_database(struct snapshot_reader *r)
{
    if (r->database.keys != r->database_keys)
        return malformed(r, "a database has fewer keys than announced");
    if (r->database.expiring != r->database_expiring)
        return malformed(r, "a database has not as many expiring keys as announced");
    if (r->database.db >= 0 && r->visitor && r->visitor->on_database)
        r->visitor->on_database(r->visitor->context, &r->database);
    return STATUS_AGAIN;
}

static enum status take_database(struct snapshot_reader *r, const char *body)
{
    enum status status = end_database(r);
    if (status != STATUS_AGAIN)
        return status;
    if (r->record.data_bytes != DATABASE_BYTES)
        return malformed(r, "a database record of wrong length");
    uint64_t db = get_le(body, 4), keys = get_le(body + 4, 8), expiring = get_le(body + 12, 8);
    if (db >= (uint64_t)r->database_count || (int)db <= r->database.db)
        return malformed(r, "databases out of order");
    if (keys == 0 || keys > r->head.key_count - r->keys || expiring > keys)
        return malformed(r, "a database announces what cannot be");
    if (r->ks && (int)db >= keyspace_database_count(r->ks))
        return fail(r, STATUS_MISMATCH, "the snapshot has keys in database %d, this server has only %d databases",
                    (int)db, keyspace_database_count(r->ks));
    r->database = (struct snapshot_database_figures){.db = (int)db};
    r->database_keys = keys;
    r->database_expiring = expiring;
    if (r->ks)
        keyspace_reserve(r->ks, (int)db, keys < r->presize_max ? keys : r->presize_max);
    return STATUS_AGAIN;
}

static void count_item(struct snapshot_reader *r, const struct keyspace_item *item)
{
    struct snapshot_type_figures *type = &r->database.types[item->type];
    bool expires = item->expire_at != EXPIRE_NONE;
    type->keys++;
    type->expiring += expires;
    type->key_bytes += item->key.len;
    type->value_bytes += item->encoding == ENCODING_INT ? sizeof item->integer : item->bytes.len;
    r->database.expired += expires && item->expire_at <= r->head.logical_time_ms;
}

static struct digest bytes_digest(const struct keyspace_item *item)
{
    char text[INT64_TEXT_MAX];
    if (item->encoding == ENCODING_INT)
        return digest_bytes(slice_make(text, int64_to_text(item->integer, text)));
    return digest_bytes(item->bytes);
}

/* As keyspace_entry_digest, without an entry. */
static struct digest item_digest(int db, const struct keyspace_item *item, struct digest value)
{
    const struct digest_parts parts = {.db = db,
                                       .type = (uint32_t)item->type,
                                       .expire_at = item->expire_at,
                                       .key = digest_bytes(item->key),
                                       .value = value};
    return digest_combine(&parts);
}

static const struct value_env *env_of(struct snapshot_reader *r)
{
    if (r->ks)
        return keyspace_env(r->ks);
    if (!r->env) {
        r->env = mem_calloc(1, sizeof *r->env);
        settings_init(&r->env->settings);
    }
    return r->env;
}

/* Adds a part to a collection; when that was its last, the collection is in v
 * and is whole. */
static bool load_part(struct snapshot_reader *r, const struct keyspace_item *item, struct value *v, struct slice part,
                      bool is_last)
{
    const struct object_type *type = object_type_of(item->type);
    if (type && type->load(v, env_of(r), part, is_last))
        return true;
    if (type)
        value_free(item->type, *v);
    *v = (struct value){0};
    return false;
}

/* Takes v, which is whole. */
static bool settle_collection(struct snapshot_reader *r, const struct keyspace_item *item, struct value v)
{
    if (!r->ks) {
        digest_add(&r->digest, item_digest(r->database.db, item, object_type_of(item->type)->digest(&v)));
        value_free(item->type, v);
        return true;
    }
    uint64_t hash = keyspace_hash(r->ks, item->key);
    const struct entry *e = keyspace_add_value(r->ks, r->database.db, hash, item, v);
    if (!e) {
        value_free(item->type, v);
        return false;
    }
    digest_add(&r->digest, keyspace_entry_digest(r->database.db, e));
    return true;
}

static void keep_pending(struct snapshot_reader *r, const struct keyspace_item *item, struct value v)
{
    r->pending_key = mem_realloc(r->pending_key, item->key.len + 1);
    memcpy(r->pending_key, item->key.ptr, item->key.len);
    r->pending = *item;
    r->pending.key.ptr = r->pending_key;
    r->pending.bytes = slice_make(NULL, 0);
    r->pending_value = v;
    r->is_pending = true;
}

static bool add_collection(struct snapshot_reader *r, const struct keyspace_item *item)
{
    struct value v = {NULL, item->encoding};
    if (!load_part(r, item, &v, item->bytes, !item->goes_on))
        return false;
    if (!item->goes_on)
        return settle_collection(r, item, v);
    keep_pending(r, item, v);
    return true;
}

/* A string.  The digest is that of the entries, so it also covers the way into
 * the keyspace. */
static bool add_string(struct snapshot_reader *r, const struct keyspace_item *item, uint64_t hash)
{
    if (!r->ks) {
        digest_add(&r->digest, item_digest(r->database.db, item, bytes_digest(item)));
        return true;
    }
    const struct entry *e = keyspace_add(r->ks, r->database.db, hash, item);
    if (e)
        digest_add(&r->digest, keyspace_entry_digest(r->database.db, e));
    return e != NULL;
}

static bool add_run(struct snapshot_reader *r, const struct keyspace_item *items, size_t count)
{
    uint64_t hashes[RUN] = {0};
    for (size_t i = 0; r->ks && i < count; i++) {
        hashes[i] = keyspace_hash(r->ks, items[i].key);
        keyspace_prefetch_bucket(r->ks, r->database.db, hashes[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (!r->ks)
            count_item(r, &items[i]);
        bool is_added = items[i].type == VALUE_STRING ? add_string(r, &items[i], hashes[i])
                                                      : add_collection(r, &items[i]);
        if (!is_added)
            return false;
    }
    return true;
}

static struct snapshot_block_reader open_block(const struct snapshot_reader *r, const char *body)
{
    const struct record_head *record = &r->record;
    struct snapshot_block_reader block = {.data = body, .base_ms = r->head.logical_time_ms};
    block.data_end = block.shape = body + record->data_bytes;
    block.shape_end = block.expiry = block.shape + record->shape_bytes;
    block.expiry_end = block.expiry + record->expiry_bytes;
    return block;
}

static enum status take_keys(struct snapshot_reader *r, const char *body)
{
    uint32_t left = r->record.keys;
    if (r->database.db < 0 || left == 0 || left > r->database_keys - r->database.keys)
        return malformed(r, "more keys than announced");
    struct snapshot_block_reader block = open_block(r, body);
    while (left > 0) {
        struct keyspace_item items[RUN];
        size_t count = left < RUN ? left : RUN;
        for (size_t i = 0; i < count; i++) {
            if (!snapshot_block_next(&block, &items[i]))
                return malformed(r, "keys that cannot be");
            if (items[i].goes_on && r->record.keys > 1)
                return malformed(r, "a value that goes on beside others");
            r->database.expiring += items[i].expire_at != EXPIRE_NONE;
        }
        if (!add_run(r, items, count))
            return malformed(r, "a key comes twice, or its value cannot be");
        left -= (uint32_t)count;
    }
    if (!snapshot_block_is_done(&block))
        return malformed(r, "bytes behind the last key of a record");
    r->database.keys += r->record.keys;
    r->keys += r->record.keys;
    return STATUS_AGAIN;
}

static enum status take_part(struct snapshot_reader *r, const char *body)
{
    bool is_last = r->record.kind == RECORD_LAST;
    if (!r->is_pending)
        return malformed(r, "a part of no value");
    r->database.types[r->pending.type].value_bytes += r->record.data_bytes;
    struct value v = r->pending_value;
    r->is_pending = false;
    if (!load_part(r, &r->pending, &v, slice_make(body, r->record.data_bytes), is_last))
        return malformed(r, "a part that cannot be");
    if (is_last)
        return settle_collection(r, &r->pending, v) ? STATUS_AGAIN : malformed(r, "a key comes twice");
    r->pending_value = v;
    r->is_pending = true;
    return STATUS_AGAIN;
}

/* Who only checks reads them into a keyspace of no other use. */
static bool extras_are_sound(struct snapshot_reader *r, struct slice bytes)
{
    if (r->ks)
        return extras_read(r->ks, bytes);
    struct keyspace *scratch = keyspace_create(&(struct keyspace_options){.database_count = r->database_count});
    bool is_sound = extras_read(scratch, bytes);
    keyspace_free(scratch);
    return is_sound;
}

static enum status take_extras(struct snapshot_reader *r, const char *body)
{
    if (r->has_extras || r->database.db >= 0)
        return malformed(r, "extras that are not behind the head");
    r->has_extras = true;
    if (!extras_are_sound(r, slice_make(body, r->record.data_bytes)))
        return malformed(r, "extras that cannot be");
    return STATUS_AGAIN;
}

static enum status take_end(struct snapshot_reader *r, const char *body)
{
    enum status status = end_database(r);
    if (status != STATUS_AGAIN)
        return status;
    if (r->record.data_bytes != END_BYTES)
        return malformed(r, "an end of wrong length");
    if (r->version >= 2 && !r->has_extras)
        return malformed(r, "no extras");
    if (get_le(body, 8) != r->keys || r->keys != r->head.key_count)
        return malformed(r, "not as many keys as announced");
    struct digest digest = {get_le(body + 8, 8), get_le(body + 16, 8)};
    if (digest.low != r->digest.low || digest.high != r->digest.high)
        return fail(r, STATUS_MISMATCH, "the data has digest %016llx%016llx, the snapshot says %016llx%016llx",
                    (unsigned long long)r->digest.high, (unsigned long long)r->digest.low,
                    (unsigned long long)digest.high, (unsigned long long)digest.low);
    r->place = PLACE_END;
    return STATUS_AGAIN;
}

/* --- records --------------------------------------------------------------- */

/* Before a byte of the body is taken in. */
static enum status check_record_head(struct snapshot_reader *r)
{
    const struct record_head *head = &r->record;
    bool is_part = head->kind == RECORD_MORE || head->kind == RECORD_LAST;
    if (head->kind < RECORD_HEAD || head->kind > (r->version < 2 ? RECORD_END : RECORD_EXTRAS))
        return malformed(r, "a record of unknown kind");
    if (r->is_pending != is_part)
        return malformed(r, "a value and its parts not one behind the other");
    if (head->kind != RECORD_KEYS && (head->keys || head->shape_bytes || head->expiry_bytes))
        return malformed(r, "a record with columns that its kind has not");
    uint64_t bytes = RECORD_HEAD_BYTES + record_body_bytes(head), bytes_max = RECORD_BYTES_MAX;
    if (head->kind == RECORD_HEAD)
        bytes_max = RECORD_HEAD_BYTES + HEAD_FIXED_BYTES + (uint64_t)SNAPSHOT_STATE_MAX;
    if (is_part || (head->kind == RECORD_KEYS && head->keys == 1))
        bytes_max = RECORD_BYTES_MAX + 2 * (uint64_t)SNAPSHOT_STRING_MAX;
    if (head->kind == RECORD_EXTRAS)
        bytes_max = RECORD_HEAD_BYTES + (uint64_t)EXTRAS_BYTES_MAX;
    if (bytes > bytes_max)
        return malformed(r, "a record that is too long");
    return STATUS_AGAIN;
}

static enum status take_record(struct snapshot_reader *r)
{
    const char *body = r->content + RECORD_HEAD_BYTES;
    uint64_t sum = XXH3_64bits_withSeed(r->content + CHECKSUM_BYTES, r->got - CHECKSUM_BYTES, r->ordinal);
    if (sum != r->record.checksum)
        return malformed(r, "a checksum differs");
    r->is_record_head_known = false;
    enum status status;
    if (r->place == PLACE_HEAD)
        status = take_head(r, body);
    else if (r->record.kind == RECORD_KEYS)
        status = take_keys(r, body);
    else if (r->record.kind == RECORD_MORE || r->record.kind == RECORD_LAST)
        status = take_part(r, body);
    else if (r->record.kind == RECORD_EXTRAS)
        status = take_extras(r, body);
    else if (r->record.kind == RECORD_DATABASE)
        status = take_database(r, body);
    else if (r->record.kind == RECORD_END)
        status = take_end(r, body);
    else
        status = malformed(r, "a second head");
    r->ordinal += status == STATUS_AGAIN;
    return status;
}

/* --- content --------------------------------------------------------------- */

/* What is wanted is complete: acts on it and says what is wanted next. */
static enum status take_wanted(struct snapshot_reader *r)
{
    if (r->place != PLACE_PREFIX && !r->is_record_head_known) {
        r->record = record_head_get(r->content);
        r->is_record_head_known = true;
        enum status status = check_record_head(r);
        r->wanted = RECORD_HEAD_BYTES + (status == STATUS_AGAIN ? record_body_bytes(&r->record) : 0);
        return status == STATUS_AGAIN && r->wanted == r->got ? take_wanted(r) : status;
    }
    enum status status = r->place == PLACE_PREFIX ? take_prefix(r) : take_record(r);
    r->got = 0;
    r->wanted = r->place == PLACE_END ? 0 : RECORD_HEAD_BYTES;
    return status;
}

/* Room for more of what is wanted.  It grows as bytes come, so a length that is
 * a lie takes no memory; a large buffer does not stay for small records. */
static size_t make_room(struct snapshot_reader *r)
{
    bool is_needed = r->got == r->room, is_idle = r->got == 0 && r->room > GROWTH_STEP_MIN;
    if (is_needed || is_idle) {
        size_t room = r->room < GROWTH_STEP_MIN || is_idle ? GROWTH_STEP_MIN : 2 * r->room;
        if (room > r->wanted && r->wanted > GROWTH_STEP_MIN)
            room = r->wanted;
        r->content = mem_realloc(r->content, room);
        r->room = room;
    }
    size_t end = r->wanted < r->room ? r->wanted : r->room;
    return end - r->got;
}

static enum status note_content(struct snapshot_reader *r, size_t size)
{
    r->got += size;
    r->content_bytes += size;
    return r->got == r->wanted ? take_wanted(r) : STATUS_AGAIN;
}

static enum status feed_plain(struct snapshot_reader *r, const char *bytes, size_t size)
{
    enum status status = STATUS_AGAIN;
    while (size > 0 && status == STATUS_AGAIN) {
        if (r->place == PLACE_END)
            return malformed(r, "bytes behind the end");
        size_t room = make_room(r), piece = size < room ? size : room;
        memcpy(r->content + r->got, bytes, piece);
        bytes += piece;
        size -= piece;
        status = note_content(r, piece);
    }
    return status;
}

/* Unpacks straight into the record.  Behind the end record the frame may only
 * end: one byte of room shows whether it does. */
static enum status feed_lz4(struct snapshot_reader *r, const char *bytes, size_t size)
{
    for (bool is_full = true; size > 0 || is_full;) {
        if (r->is_frame_done)
            return size > 0 ? malformed(r, "bytes behind the end of the LZ4 frame") : STATUS_AGAIN;
        char extra;
        bool is_end = r->place == PLACE_END;
        size_t room = is_end ? sizeof extra : make_room(r), taken = size, unpacked = room;
        size_t hint = LZ4F_decompress(r->lz4, is_end ? &extra : r->content + r->got, &unpacked, bytes, &taken, NULL);
        if (LZ4F_isError(hint))
            return fail(r, STATUS_MALFORMED, "the LZ4 frame is damaged: %s (near byte %llu of the content)",
                        LZ4F_getErrorName(hint), (unsigned long long)r->content_bytes);
        bytes += taken;
        size -= taken;
        is_full = unpacked == room;
        r->is_frame_done = hint == 0;
        if (is_end && unpacked > 0)
            return malformed(r, "bytes behind the end");
        if (!is_end && unpacked > 0) {
            enum status status = note_content(r, unpacked);
            if (status != STATUS_AGAIN)
                return status;
        }
        if (!is_full && taken == 0 && size > 0 && !r->is_frame_done)
            return malformed(r, "the LZ4 frame does not go on");
    }
    return STATUS_AGAIN;
}

static enum status feed(struct snapshot_reader *r, const char *bytes, size_t size)
{
    enum status status = r->form == FORM_LZ4 ? feed_lz4(r, bytes, size) : feed_plain(r, bytes, size);
    if (status != STATUS_AGAIN)
        return status;
    if (r->is_frame_done && r->place != PLACE_END)
        return malformed(r, "the LZ4 frame ends early");
    bool is_complete = r->place == PLACE_END && (r->form == FORM_PLAIN || r->is_frame_done);
    return is_complete ? STATUS_OK : STATUS_AGAIN;
}

/* Which form it is shows in the first bytes; they are fed when they are there. */
static enum status sniff(struct snapshot_reader *r, const char **bytes, size_t *size)
{
    while (*size > 0 && r->sniffed_bytes < MAGIC_SNIFF) {
        r->sniffed[r->sniffed_bytes++] = *(*bytes)++;
        --*size;
    }
    if (r->sniffed_bytes < MAGIC_SNIFF)
        return STATUS_AGAIN;
    r->form = FORM_PLAIN;
    if (memcmp(r->sniffed, frame_magic, sizeof frame_magic) == 0) {
        r->form = FORM_LZ4;
        LZ4F_errorCode_t failed = LZ4F_createDecompressionContext(&r->lz4, LZ4F_VERSION);
        CHECK(!LZ4F_isError(failed)); /* out of memory */
    }
    return feed(r, r->sniffed, MAGIC_SNIFF);
}

enum status snapshot_feed(struct snapshot_reader *r, const void *bytes, size_t size)
{
    const char *at = bytes;
    if (r->status == STATUS_OK && size > 0)
        return malformed(r, "bytes behind the end");
    if (r->status != STATUS_AGAIN)
        return r->status;
    if (r->form == FORM_UNKNOWN)
        r->status = sniff(r, &at, &size);
    if (r->form != FORM_UNKNOWN && r->status == STATUS_AGAIN && size > 0)
        r->status = feed(r, at, size);
    return r->status;
}

/* --- life ------------------------------------------------------------------ */

static struct snapshot_reader *create(struct keyspace *ks, const struct snapshot_visitor *visitor)
{
    struct snapshot_reader *r = mem_calloc(1, sizeof *r);
    r->ks = ks;
    r->visitor = visitor;
    r->status = STATUS_AGAIN;
    r->wanted = PREFIX_BYTES;
    r->database.db = -1;
    /* More keys than fit into memory are not prepared for, whatever a head says. */
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    r->presize_max = memory / KEY_MEMORY_MIN;
    return r;
}

struct snapshot_reader *snapshot_reader_create(struct keyspace *ks)
{
    for (int db = 0; db < keyspace_database_count(ks); db++)
        CHECK(keyspace_size(ks, db) == 0);
    return create(ks, NULL);
}

struct snapshot_reader *snapshot_reader_create_checker(const struct snapshot_visitor *visitor)
{
    return create(NULL, visitor);
}

void snapshot_reader_free(struct snapshot_reader *r)
{
    if (!r)
        return;
    LZ4F_freeDecompressionContext(r->lz4);
    if (r->is_pending)
        value_free(r->pending.type, r->pending_value);
    mem_free(r->pending_key);
    mem_free(r->env);
    mem_free(r->state);
    mem_free(r->content);
    mem_free(r);
}

void snapshot_reader_on_head(struct snapshot_reader *r, snapshot_head_fn *on_head, void *context)
{
    r->on_head = on_head;
    r->head_context = context;
}

void snapshot_reader_expect_bytes(struct snapshot_reader *r, uint64_t bytes)
{
    enum { LZ4_RATIO_MAX = 255 };
    uint64_t keys_max = bytes > UINT64_MAX / LZ4_RATIO_MAX ? UINT64_MAX : bytes * LZ4_RATIO_MAX;
    if (keys_max < r->presize_max)
        r->presize_max = keys_max;
}

const struct snapshot_head *snapshot_reader_head(const struct snapshot_reader *r)
{
    return r->place >= PLACE_RECORDS ? &r->head : NULL;
}

uint64_t snapshot_reader_keys(const struct snapshot_reader *r)
{
    return r->keys;
}

const char *snapshot_reader_error(const struct snapshot_reader *r)
{
    return r->error;
}

enum status snapshot_reader_fail_io(struct snapshot_reader *r, const char *path, const char *reason)
{
    return fail(r, STATUS_IO, "%s: %s", path, reason);
}

enum status snapshot_reader_end_of_file(struct snapshot_reader *r)
{
    if (r->status != STATUS_AGAIN)
        return r->status;
    return malformed(r, "the file ends early");
}

void snapshot_reader_get_figures(const struct snapshot_reader *r, struct snapshot_file_figures *figures)
{
    *figures = (struct snapshot_file_figures){.content_bytes = r->content_bytes,
                                              .records = r->ordinal,
                                              .keys = r->keys,
                                              .is_compressed = r->form == FORM_LZ4,
                                              .digest = r->digest};
}
