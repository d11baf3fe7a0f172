#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/alloc.h"
#include "persist/snapshot_block.h"
#include "persist/snapshot_reader_private.h"
#include "store/extras.h"

enum {
    RUN = 16, /* keys hashed and prefetched together */
    FORMAT_VERSION_MIN = 1,
};

/* --- head ------------------------------------------------------------------ */

enum status snapshot_take_prefix(struct snapshot_reader *r)
{
    if (memcmp(r->content, SNAPSHOT_MAGIC, MAGIC_BYTES) != 0)
        return snapshot_fail(r, STATUS_MALFORMED, "not a snapshot: it does not begin as one");
    uint32_t version = (uint32_t)get_le(r->content + MAGIC_BYTES, PREFIX_BYTES - MAGIC_BYTES);
    if (version < FORMAT_VERSION_MIN || version > SNAPSHOT_FORMAT_VERSION)
        return snapshot_fail(r, STATUS_MISMATCH, "the snapshot has format version %lu, this program reads version %d%s",
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
        return snapshot_malformed(r, "the first record is not a head");
    if (r->record.data_bytes < HEAD_FIXED_BYTES)
        return snapshot_malformed(r, "the head is too short");
    head->cluster = get_le(body, 8);
    head->position = get_le(body + 8, 8);
    head->logical_time_ms = (int64_t)get_le(body + 16, 8);
    head->created_ms = (int64_t)get_le(body + 24, 8);
    memcpy(head->hash_secret, body + 32, sizeof head->hash_secret);
    head->key_count = get_le(body + 48, 8);
    uint64_t flags = get_le(body + 56, 4), databases = get_le(body + 60, 4), state_bytes = get_le(body + 64, 8);
    head->is_active_expire = flags & HEAD_FLAG_ACTIVE_EXPIRE;
    if (flags & ~(uint64_t)HEAD_FLAG_ACTIVE_EXPIRE || databases < 1 || databases > DATABASES_LIMIT)
        return snapshot_malformed(r, "the head says what cannot be");
    if (state_bytes != r->record.data_bytes - HEAD_FIXED_BYTES)
        return snapshot_malformed(r, "the head and its state differ in length");
    r->database_count = (int)databases;
    r->state = mem_alloc(state_bytes);
    memcpy(r->state, body + HEAD_FIXED_BYTES, state_bytes);
    head->state = slice_make(r->state, state_bytes);
    r->place = PLACE_RECORDS;
    if (r->visitor && r->visitor->on_head)
        r->visitor->on_head(r->visitor->context, head, r->version);
    enum status status = r->on_head ? r->on_head(r->head_context, head) : STATUS_OK;
    if (status != STATUS_OK)
        return snapshot_fail(r, status, "the snapshot is not wanted here");
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
        return snapshot_malformed(r, "a database has fewer keys than announced");
    if (r->database.expiring != r->database_expiring)
        return snapshot_malformed(r, "a database has not as many expiring keys as announced");
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
        return snapshot_malformed(r, "a database record of wrong length");
    uint64_t db = get_le(body, 4), keys = get_le(body + 4, 8), expiring = get_le(body + 12, 8);
    if (db >= (uint64_t)r->database_count || (int)db <= r->database.db)
        return snapshot_malformed(r, "databases out of order");
    if (keys == 0 || keys > r->head.key_count - r->keys || expiring > keys)
        return snapshot_malformed(r, "a database announces what cannot be");
    if (r->ks && (int)db >= keyspace_database_count(r->ks))
        return snapshot_fail(r, STATUS_MISMATCH,
                             "the snapshot has keys in database %d, this server has only %d databases", (int)db,
                             keyspace_database_count(r->ks));
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
        return snapshot_malformed(r, "more keys than announced");
    struct snapshot_block_reader block = open_block(r, body);
    while (left > 0) {
        struct keyspace_item items[RUN];
        size_t count = left < RUN ? left : RUN;
        for (size_t i = 0; i < count; i++) {
            if (!snapshot_block_next(&block, &items[i]))
                return snapshot_malformed(r, "keys that cannot be");
            if (items[i].goes_on && r->record.keys > 1)
                return snapshot_malformed(r, "a value that goes on beside others");
            r->database.expiring += items[i].expire_at != EXPIRE_NONE;
        }
        if (!add_run(r, items, count))
            return snapshot_malformed(r, "a key comes twice, or its value cannot be");
        left -= (uint32_t)count;
    }
    if (!snapshot_block_is_done(&block))
        return snapshot_malformed(r, "bytes behind the last key of a record");
    r->database.keys += r->record.keys;
    r->keys += r->record.keys;
    return STATUS_AGAIN;
}

static enum status take_part(struct snapshot_reader *r, const char *body)
{
    bool is_last = r->record.kind == RECORD_LAST;
    if (!r->is_pending)
        return snapshot_malformed(r, "a part of no value");
    r->database.types[r->pending.type].value_bytes += r->record.data_bytes;
    struct value v = r->pending_value;
    r->is_pending = false;
    if (!load_part(r, &r->pending, &v, slice_make(body, r->record.data_bytes), is_last))
        return snapshot_malformed(r, "a part that cannot be");
    if (is_last)
        return settle_collection(r, &r->pending, v) ? STATUS_AGAIN : snapshot_malformed(r, "a key comes twice");
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
        return snapshot_malformed(r, "extras that are not behind the head");
    r->has_extras = true;
    if (!extras_are_sound(r, slice_make(body, r->record.data_bytes)))
        return snapshot_malformed(r, "extras that cannot be");
    return STATUS_AGAIN;
}

static enum status take_end(struct snapshot_reader *r, const char *body)
{
    enum status status = end_database(r);
    if (status != STATUS_AGAIN)
        return status;
    if (r->record.data_bytes != END_BYTES)
        return snapshot_malformed(r, "an end of wrong length");
    if (r->version >= 2 && !r->has_extras)
        return snapshot_malformed(r, "no extras");
    if (get_le(body, 8) != r->keys || r->keys != r->head.key_count)
        return snapshot_malformed(r, "not as many keys as announced");
    struct digest digest = {get_le(body + 8, 8), get_le(body + 16, 8)};
    if (digest.low != r->digest.low || digest.high != r->digest.high)
        return snapshot_fail(r, STATUS_MISMATCH, "the data has digest %016llx%016llx, the snapshot says %016llx%016llx",
                             (unsigned long long)r->digest.high, (unsigned long long)r->digest.low,
                             (unsigned long long)digest.high, (unsigned long long)digest.low);
    r->place = PLACE_END;
    return STATUS_AGAIN;
}

/* --- records --------------------------------------------------------------- */

/* Before a byte of the body is taken in. */
enum status snapshot_check_record_head(struct snapshot_reader *r)
{
    const struct record_head *head = &r->record;
    bool is_part = head->kind == RECORD_MORE || head->kind == RECORD_LAST;
    if (head->kind < RECORD_HEAD || head->kind > (r->version < 2 ? RECORD_END : RECORD_EXTRAS))
        return snapshot_malformed(r, "a record of unknown kind");
    if (r->is_pending != is_part)
        return snapshot_malformed(r, "a value and its parts not one behind the other");
    if (head->kind != RECORD_KEYS && (head->keys || head->shape_bytes || head->expiry_bytes))
        return snapshot_malformed(r, "a record with columns that its kind has not");
    uint64_t bytes = RECORD_HEAD_BYTES + record_body_bytes(head), bytes_max = RECORD_BYTES_MAX;
    if (head->kind == RECORD_HEAD)
        bytes_max = RECORD_HEAD_BYTES + HEAD_FIXED_BYTES + (uint64_t)SNAPSHOT_STATE_MAX;
    if (is_part || (head->kind == RECORD_KEYS && head->keys == 1))
        bytes_max = RECORD_BYTES_MAX + 2 * (uint64_t)SNAPSHOT_STRING_MAX;
    if (head->kind == RECORD_EXTRAS)
        bytes_max = RECORD_HEAD_BYTES + (uint64_t)EXTRAS_BYTES_MAX;
    if (bytes > bytes_max)
        return snapshot_malformed(r, "a record that is too long");
    return STATUS_AGAIN;
}

enum status snapshot_take_record(struct snapshot_reader *r)
{
    const char *body = r->content + RECORD_HEAD_BYTES;
    uint64_t sum = XXH3_64bits_withSeed(r->content + CHECKSUM_BYTES, r->got - CHECKSUM_BYTES, r->ordinal);
    if (sum != r->record.checksum)
        return snapshot_malformed(r, "a checksum differs");
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
        status = snapshot_malformed(r, "a second head");
    r->ordinal += status == STATUS_AGAIN;
    return status;
}
