/* Keyspaces to write and compare, and bytes to write them to. */
#ifndef TESTS_SNAPSHOT_FIXTURE_H
#define TESTS_SNAPSHOT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/random.h"
#include "persist/snapshot.h"
#include "persist/snapshot_format.h"
#include "store/hash_value.h"
#include "store/keyspace.h"
#include "store/settings.h"
#include "store/list_value.h"
#include "store/set_value.h"
#include "store/value.h"
#include "store/zset_value.h"

enum { DATABASES = 16, NOW_MS = 1000000 };

static const unsigned char secret_a[16] = "one secret", secret_b[16] = "another secret";

static inline struct keyspace *make_keyspace(const unsigned char secret[16], int databases)
{
    struct keyspace_options options = {.database_count = databases};
    memcpy(options.hash_secret, secret, 16);
    return keyspace_create(&options);
}

static const size_t lengths[] = {0,   1,   2,    15,   16,    43,    44,    45,    64,    100,    127,   128,
                                 255, 256, 1000, 4096, 14000, 14328, 14329, 16384, 70000, 262144, 300000};

static inline struct slice random_bytes(struct random *random, char *room, size_t size)
{
    bool is_plain = random_below(random, 2);
    for (size_t i = 0; i < size; i++)
        room[i] = (char)(is_plain ? 'a' + i % 7 : random_below(random, 256));
    return slice_make(room, size);
}

static inline int64_t random_integer(struct random *random)
{
    unsigned shift = (unsigned)random_below(random, 64);
    int64_t value = (int64_t)(random_next(random) >> shift);
    switch (random_below(random, 6)) {
    case 0: return 0;
    case 1: return INT64_MIN;
    case 2: return -(int64_t)(UINT64_C(1) << shift / 8 * 7);
    case 3: return value < 0 ? value : -value;
    default: return value;
    }
}

static inline int64_t random_expiry(struct random *random)
{
    switch (random_below(random, 8)) {
    case 0: return 0;
    case 1: return NOW_MS - 1 - (int64_t)random_below(random, 1000); /* stored, expired */
    case 2: return INT64_MAX;
    case 3: return NOW_MS + (int64_t)random_below(random, 100000);
    default: return EXPIRE_NONE;
    }
}

/* Adds members to a collection under key, in a form that depends on how many and
 * how long; replaces what is there, if that is of another type. */
static inline void collect(struct keyspace *ks, struct random *random, int db, struct slice key, size_t lengths_used)
{
    static char member_room[300000], value_room[300000];
    static const enum value_type types[] = {VALUE_LIST, VALUE_SET, VALUE_ZSET, VALUE_HASH};
    enum value_type type = types[random_below(random, 4)];
    const struct value_env *env = keyspace_env(ks);
    struct entry *e = keyspace_find_for_write(ks, db, key);
    if (!e || entry_type(e) != type) {
        struct value fresh = type == VALUE_LIST  ? list_create()
                             : type == VALUE_SET ? set_create()
                             : type == VALUE_ZSET ? zset_create()
                                                  : hash_create();
        e = keyspace_set_value(ks, db, key, type, fresh, random_expiry(random));
    }
    struct value v = entry_value(e);
    bool are_numbers = random_below(random, 3) == 0;
    for (size_t left = 1 + random_below(random, random_below(random, 6) ? 12 : 700); left > 0; left--) {
        char text[INT64_TEXT_MAX];
        size_t used = random_below(random, 100) ? 6 : lengths_used; /* long ones make values of several parts */
        struct slice member = random_bytes(random, member_room, lengths[random_below(random, used)]);
        struct slice value = random_bytes(random, value_room, lengths[random_below(random, used)]);
        if (are_numbers)
            member = slice_make(text, int64_to_text(random_integer(random), text));
        struct zset_found found;
        switch (type) {
        case VALUE_LIST: list_push(&v, env, random_below(random, 2), member); break;
        case VALUE_SET: set_add(&v, env, member); break;
        case VALUE_ZSET:
            found = zset_find(&v, member);
            if (!found.is_present)
                zset_add(&v, env, &found, member, (double)random_below(random, 100) / 8);
            break;
        default: hash_set(&v, env, member, value); break;
        }
    }
    entry_put_value(e, v);
}

/* One random change; the same for the same state of random, on any keyspace. */
static inline void change(struct keyspace *ks, struct random *random, int databases, size_t lengths_used)
{
    static char key_room[70000], value_room[300000];
    int db = random_below(random, 3) ? 0 : (int)random_below(random, (uint64_t)databases);
    size_t key_size = random_below(random, 50) ? 3 + random_below(random, 20) : lengths[random_below(random, 15)];
    struct slice key = random_bytes(random, key_room, key_size);
    if (key_size >= 3)
        snprintf(key_room, 3, "%02x", (unsigned)random_below(random, 256));
    struct slice value = random_bytes(random, value_room, lengths[random_below(random, lengths_used)]);
    int64_t expire_at = random_expiry(random), integer = random_integer(random);
    switch (random_below(random, 10)) {
    case 8:
    case 9: collect(ks, random, db, key, lengths_used); break;
    case 0: keyspace_set_int(ks, db, key, integer); break;
    case 1: {
        char text[INT64_TEXT_MAX]; /* spells a number, is a text */
        keyspace_set_text(ks, db, key, slice_make(text, int64_to_text(integer, text)), expire_at);
        break;
    }
    case 2: {
        struct entry *e = keyspace_find_for_write(ks, db, key);
        if (e && entry_type(e) != VALUE_STRING)
            break;
        char *at = keyspace_edit_string(ks, db, key, value.len);
        memcpy(at, value.ptr, value.len);
        break;
    }
    case 3: keyspace_delete(ks, db, key); break;
    case 4: keyspace_set_expire(ks, db, key, expire_at); break;
    default: keyspace_set(ks, db, key, value, expire_at); break;
    }
}

static inline void fill(struct keyspace *ks, uint64_t seed, size_t changes, int databases, size_t lengths_used)
{
    struct random random;
    random_init(&random, seed);
    for (size_t i = 0; i < changes; i++)
        change(ks, &random, databases, lengths_used);
    keyspace_advance(ks, NOW_MS);
}

static inline enum status append(void *context, const void *bytes, size_t size)
{
    buf_append(context, bytes, size);
    return STATUS_OK;
}

static inline struct snapshot_head sample_head(void)
{
    struct snapshot_head head = {.cluster = 7, .position = 4711, .created_ms = 99, .state = SLICE_LITERAL("what we said")};
    memcpy(head.hash_secret, secret_a, sizeof head.hash_secret);
    return head;
}

static inline struct buf written_with(struct keyspace *ks, const struct snapshot_head *head, bool is_compressed)
{
    struct buf to;
    buf_init(&to);
    const struct snapshot_write_options options = {.is_compressed = is_compressed, .sink = append, .context = &to};
    assert_int_equal(snapshot_write(ks, head, &options), STATUS_OK);
    return to;
}

static inline struct buf written(struct keyspace *ks, bool is_compressed)
{
    const struct snapshot_head head = sample_head();
    return written_with(ks, &head, is_compressed);
}

/* In pieces of at most piece_max bytes, each ending where its block ends. */
static inline enum status feed_all(struct snapshot_reader *reader, struct slice bytes, size_t piece_max)
{
    enum status status = STATUS_AGAIN;
    for (size_t at = 0; at < bytes.len && status == STATUS_AGAIN;) {
        size_t piece = bytes.len - at < piece_max ? bytes.len - at : piece_max;
        char *exact = malloc(piece);
        memcpy(exact, bytes.ptr + at, piece);
        status = snapshot_feed(reader, exact, piece);
        free(exact);
        at += piece;
        if (status == STATUS_OK && at < bytes.len)
            status = snapshot_feed(reader, bytes.ptr + at, bytes.len - at);
    }
    return status;
}

static inline bool digests_equal(struct digest a, struct digest b)
{
    return a.low == b.low && a.high == b.high;
}

struct comparison {
    struct keyspace *other;
    int db;
    size_t seen;
};

/* Byte for byte: order, too, is kept, but where it is that of hashes under a
 * secret. */
static inline bool is_saved_alike(const struct entry *a, const struct entry *b)
{
    if (entry_type(a) == VALUE_HASH && entry_encoding(a) == ENCODING_HASHTABLE)
        return digests_equal(keyspace_value_digest(a), keyspace_value_digest(b));
    struct buf parts[2];
    const struct entry *both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        buf_init(&parts[i]);
        struct value v = entry_value(both[i]);
        for (struct value_cursor cursor = {0}; !cursor.is_done;)
            object_type_of(entry_type(both[i]))->save(&v, &cursor, &parts[i], 1000);
    }
    bool is_alike = slice_equal(buf_slice(&parts[0]), buf_slice(&parts[1]));
    buf_deinit(&parts[0]);
    buf_deinit(&parts[1]);
    return is_alike;
}

static inline bool compare_entry(void *context, const struct entry *e)
{
    struct comparison *c = context;
    struct keyspace_item item = entry_item(e);
    /* Expired ones cannot be found; their digest and number are compared. */
    if (item.expire_at == EXPIRE_NONE || item.expire_at > keyspace_now(c->other)) {
        struct entry *same = keyspace_peek(c->other, c->db, item.key);
        assert_non_null(same);
        assert_int_equal(entry_encoding(same), item.encoding);
        assert_int_equal(entry_expire_at(same), item.expire_at);
        assert_int_equal(entry_type(same), item.type);
        if (item.type == VALUE_STRING) {
            char one[INT64_TEXT_MAX], two[INT64_TEXT_MAX];
            assert_true(slice_equal(entry_string(same, one), entry_string(e, two)));
        } else {
            assert_true(is_saved_alike(same, e));
        }
    }
    c->seen++;
    return true;
}

static inline void assert_same(struct keyspace *a, struct keyspace *b)
{
    keyspace_check(b);
    assert_int_equal(keyspace_now(a), keyspace_now(b));
    assert_int_equal(keyspace_is_active_expire(a), keyspace_is_active_expire(b));
    assert_int_equal(keyspace_next_due(a), keyspace_next_due(b));
    for (int db = 0; db < keyspace_database_count(a); db++) {
        assert_int_equal(keyspace_size(a, db), keyspace_size(b, db));
        assert_int_equal(keyspace_expiring(a, db), keyspace_expiring(b, db));
        struct comparison c = {b, db, 0};
        assert_true(keyspace_walk(a, db, compare_entry, &c));
        assert_int_equal(c.seen, keyspace_size(a, db));
    }
    assert_true(digests_equal(keyspace_digest(a), keyspace_digest(b)));
}

/* --- forging --------------------------------------------------------------- */

/* Where the record of that ordinal begins in plain bytes. */
static inline char *record_at(struct buf *bytes, unsigned ordinal)
{
    char *at = buf_head(bytes) + PREFIX_BYTES;
    for (; ordinal > 0; ordinal--) {
        struct record_head head = record_head_get(at);
        at += RECORD_HEAD_BYTES + record_body_bytes(&head);
    }
    assert_true(at < buf_head(bytes) + buf_size(bytes));
    return at;
}

/* Makes the checksum right, size being that of head and body. */
static inline void reseal(char *record, uint64_t ordinal, size_t size)
{
    put_le(record, XXH3_64bits_withSeed(record + CHECKSUM_BYTES, size - CHECKSUM_BYTES, ordinal), CHECKSUM_BYTES);
}

/* Writes a number into a record's body and makes its checksum right. */
static inline void forge(struct buf *bytes, unsigned ordinal, size_t offset, uint64_t word, unsigned word_bytes)
{
    char *record = record_at(bytes, ordinal);
    struct record_head head = record_head_get(record);
    put_le(record + RECORD_HEAD_BYTES + offset, word, word_bytes);
    reseal(record, ordinal, RECORD_HEAD_BYTES + record_body_bytes(&head));
}

#endif
