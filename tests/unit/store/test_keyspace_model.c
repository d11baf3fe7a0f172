/* Goal: the keyspace does what a plain model does, under any sequence of
 * calls, and keeps its invariants.
 *
 * Method: from a seed, random calls on a keyspace and on a table of every key
 * there can be, in four databases.  After every call keyspace_check walks the
 * keyspace, and answers, events and the key concerned are compared; now and
 * then everything is.  Keys and values have the lengths around which the
 * layout changes.  A SCAN is always under way, one step now and then, and must
 * visit each key that was there all the time.  A second keyspace with another
 * hash secret sees the same calls and must have the same digest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/keyspace.h"

enum { DATABASES = 4, KEYS = 160, EVENTS_MAX = 4096 };

struct held {
    bool is_present;
    bool is_through; /* there since the scan under way began */
    bool is_seen;
    enum value_encoding encoding;
    char *bytes;
    size_t size;
    int64_t expire_at;
};

struct event {
    int db;
    char *key;
    size_t size;
};

static struct slice keys[KEYS];
static struct held model[DATABASES][KEYS];
static int64_t now_ms;
static struct keyspace *ks, *twin;
static struct random rng;
static struct event events[EVENTS_MAX];
static size_t event_count;
static uint64_t expired_count;

static const size_t key_lengths[] = {0, 1, 15, 16, 127, 128, 254, 255, 256, 257, 1000};
static const size_t value_lengths[] = {0,  1,   8,   15,  16,   17,    20,    21,    43,    44,   45,
                                       64, 100, 255, 256, 1000, 14000, 14300, 14328, 16384, 70000};

static uint64_t below(uint64_t bound)
{
    return random_below(&rng, bound);
}

#define PICK(array) (array)[below(sizeof(array) / sizeof *(array))]

/* --- the model ------------------------------------------------------------- */

static void make_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        size_t size = i < 11 ? key_lengths[i] : 2 + below(i % 8 ? 30 : 300);
        char *bytes = malloc(size + 1);
        for (size_t k = 0; k < size; k++)
            bytes[k] = (char)below(256);
        if (size >= 2)
            memcpy(bytes, &(uint16_t){(uint16_t)(i * 257)}, 2); /* no two alike */
        keys[i] = slice_make(bytes, size);
    }
}

static void on_event(void *context, enum keyspace_event_class event_class, const char *name, int db, struct slice key)
{
    if (context) /* the twin */
        return;
    assert_int_equal(event_class, EVENT_EXPIRED);
    assert_string_equal(name, "expired");
    assert_true(event_count < EVENTS_MAX);
    char *copy = malloc(key.len + 1);
    memcpy(copy, key.ptr, key.len);
    events[event_count++] = (struct event){db, copy, key.len};
}

static bool is_live(const struct held *v)
{
    return v->is_present && (v->expire_at == EXPIRE_NONE || v->expire_at > now_ms);
}

static void model_remove(struct held *v)
{
    free(v->bytes);
    *v = (struct held){.is_seen = v->is_seen};
}

static void model_expect_expired(int db, int k)
{
    static size_t position;
    if (event_count <= position)
        position = 0;
    assert_true(position < event_count);
    assert_int_equal(events[position].db, db);
    assert_int_equal(events[position].size, keys[k].len);
    assert_memory_equal(events[position].key, keys[k].ptr, keys[k].len);
    free(events[position].key);
    if (++position == event_count)
        position = event_count = 0;
    expired_count++;
    model_remove(&model[db][k]);
}

static void model_touch(int db, int k)
{
    if (model[db][k].is_present && !is_live(&model[db][k]))
        model_expect_expired(db, k);
}

static void model_put(struct held *v, const char *bytes, size_t size, enum value_encoding encoding, int64_t expire_at)
{
    char *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    if (!v->is_present)
        v->is_through = false;
    if (expire_at == EXPIRE_KEEP)
        expire_at = v->is_present ? v->expire_at : EXPIRE_NONE;
    free(v->bytes);
    v->bytes = copy;
    v->size = size;
    v->encoding = encoding;
    v->expire_at = expire_at;
    v->is_present = true;
}

static enum value_encoding smallest(const char *bytes, size_t size)
{
    int64_t ignored;
    if (slice_to_int64(slice_make(bytes, size), &ignored))
        return ENCODING_INT;
    return size <= 44 ? ENCODING_EMBSTR : ENCODING_RAW;
}

/* --- comparing ------------------------------------------------------------- */

static void compare_key(int db, int k)
{
    const struct held *v = &model[db][k];
    struct entry *e = keyspace_peek(ks, db, keys[k]);
    assert_int_equal(e != NULL, is_live(v));
    if (!e)
        return;
    char scratch[INT64_TEXT_MAX];
    struct slice string = entry_string(e, scratch);
    assert_int_equal(string.len, v->size);
    assert_int_equal(entry_string_length(e), v->size);
    assert_memory_equal(string.ptr, v->bytes, v->size);
    assert_int_equal(entry_expire_at(e), v->expire_at);
    assert_int_equal(entry_encoding(e), v->encoding);
    assert_true(slice_equal(entry_key(e), keys[k]));
    assert_true(entry_memory(e, 0) >= keys[k].len + (v->encoding == ENCODING_INT ? 8 : v->size));
}

static void compare_all(void)
{
    int64_t next_due = INT64_MAX;
    for (int db = 0; db < DATABASES; db++) {
        size_t size = 0, expiring = 0;
        for (int k = 0; k < KEYS; k++) {
            const struct held *v = &model[db][k];
            compare_key(db, k);
            size += v->is_present;
            bool expires = v->is_present && v->expire_at != EXPIRE_NONE;
            expiring += expires;
            if (expires && v->expire_at < next_due)
                next_due = v->expire_at;
        }
        assert_int_equal(keyspace_size(ks, db), size);
        assert_int_equal(keyspace_expiring(ks, db), expiring);
    }
    assert_int_equal(keyspace_next_due(ks), next_due);
    struct digest a = keyspace_digest(ks), b = keyspace_digest(twin);
    assert_int_equal(a.low, b.low);
    assert_int_equal(a.high, b.high);
    struct keyspace_figures figures;
    keyspace_get_figures(ks, &figures);
    assert_int_equal(figures.expired, expired_count);
    assert_int_equal(event_count, 0);
}

/* --- the scan under way ---------------------------------------------------- */

static int scan_db;
static uint64_t scan_cursor;

static void scan_begin(void)
{
    scan_db = (int)below(DATABASES);
    scan_cursor = 0;
    for (int k = 0; k < KEYS; k++) {
        model[scan_db][k].is_through = is_live(&model[scan_db][k]);
        model[scan_db][k].is_seen = false;
    }
}

static void scan_visit(void *context, struct entry *e)
{
    (void)context;
    for (int k = 0; k < KEYS; k++)
        if (slice_equal(keys[k], entry_key(e))) {
            assert_true(is_live(&model[scan_db][k]));
            model[scan_db][k].is_seen = true;
            return;
        }
    fail_msg("scan visited a key that never was");
}

static void scan_step(void)
{
    scan_cursor = keyspace_scan(ks, scan_db, scan_cursor, 1 + below(12), scan_visit, NULL);
    assert_true(scan_cursor < UINT64_C(1) << 53);
    if (scan_cursor)
        return;
    for (int k = 0; k < KEYS; k++) {
        const struct held *v = &model[scan_db][k];
        if (v->is_through && is_live(v))
            assert_true(v->is_seen);
    }
    scan_begin();
}

/* --- the calls ------------------------------------------------------------- */

static size_t random_value(char *bytes)
{
    uint64_t kind = below(8);
    if (kind < 2)
        return int64_to_text(kind ? (int64_t)random_next(&rng) : (int64_t)below(100), bytes);
    if (kind == 2)
        return (size_t)sprintf(bytes, "%s", (const char *[]){"007", "-0", "+1", "9223372036854775808", " 1"}[below(5)]);
    size_t size = kind < 6 ? below(60) : PICK(value_lengths);
    memset(bytes, 'a' + (int)below(26), size);
    return size;
}

static int64_t random_expiry(void)
{
    return now_ms + (int64_t)below(40) - 2;
}

static char bytes[1 << 18];

static void do_set(int db, int k)
{
    size_t size = random_value(bytes);
    int64_t at = (int64_t[]){EXPIRE_NONE, EXPIRE_KEEP, random_expiry()}[below(3)];
    if (at < EXPIRE_KEEP || (at < 0 && now_ms == 0))
        at = EXPIRE_NONE;
    struct entry *e = keyspace_set(ks, db, keys[k], slice_make(bytes, size), at);
    keyspace_set(twin, db, keys[k], slice_make(bytes, size), at);
    assert_true(slice_equal(entry_key(e), keys[k]));
    model_touch(db, k);
    model_put(&model[db][k], bytes, size, smallest(bytes, size), at);
}

static void do_set_int(int db, int k)
{
    int64_t value = (int64_t)random_next(&rng) >> below(64), got;
    struct entry *e = keyspace_set_int(ks, db, keys[k], value);
    keyspace_set_int(twin, db, keys[k], value);
    assert_true(entry_int(e, &got));
    assert_int_equal(got, value);
    model_touch(db, k);
    model_put(&model[db][k], bytes, int64_to_text(value, bytes), ENCODING_INT, EXPIRE_KEEP);
}

static void do_edit(int db, int k)
{
    const struct held *v = &model[db][k];
    size_t old_size = is_live(v) ? v->size : 0;
    size_t size = below(3) ? old_size + below(100) : PICK(value_lengths);
    char *edited = keyspace_edit_string(ks, db, keys[k], size);
    char *other = keyspace_edit_string(twin, db, keys[k], size);
    model_touch(db, k);
    size_t kept = old_size < size ? old_size : size;
    if (kept)
        memcpy(bytes, model[db][k].bytes, kept);
    memset(bytes + kept, 0, size - kept);
    assert_memory_equal(edited, bytes, size);
    if (size > kept) {
        memset(bytes + kept, 'E', size - kept);
        memset(edited + kept, 'E', size - kept);
        memset(other + kept, 'E', size - kept);
    }
    model_put(&model[db][k], bytes, size, ENCODING_RAW, EXPIRE_KEEP);
}

static void do_delete(int db, int k)
{
    bool was_there = keyspace_delete(ks, db, keys[k]);
    keyspace_delete(twin, db, keys[k]);
    assert_int_equal(was_there, is_live(&model[db][k]));
    model_touch(db, k);
    model_remove(&model[db][k]);
}

static void do_set_expire(int db, int k)
{
    int64_t at = below(3) ? random_expiry() : EXPIRE_NONE;
    if (at < 0)
        at = EXPIRE_NONE;
    bool was_there = keyspace_set_expire(ks, db, keys[k], at);
    keyspace_set_expire(twin, db, keys[k], at);
    assert_int_equal(was_there, is_live(&model[db][k]));
    model_touch(db, k);
    if (was_there)
        model[db][k].expire_at = at;
}

static void do_rename_or_copy(int db, int k)
{
    int to_db = (int)below(DATABASES), to = (int)below(KEYS);
    bool is_copy = below(2);
    bool (*call)(struct keyspace *, int, struct slice, int, struct slice) = is_copy ? keyspace_copy : keyspace_rename;
    bool was_there = call(ks, db, keys[k], to_db, keys[to]);
    call(twin, db, keys[k], to_db, keys[to]);
    assert_int_equal(was_there, is_live(&model[db][k]));
    model_touch(db, k);
    if (!was_there || (db == to_db && k == to))
        return;
    model_touch(to_db, to);
    struct held from = model[db][k];
    bool is_seen = model[to_db][to].is_seen;
    model_remove(&model[to_db][to]); /* it may be another key to a scan */
    model_put(&model[to_db][to], from.bytes, from.size, from.encoding, from.expire_at);
    model[to_db][to].is_seen = is_seen;
    if (!is_copy)
        model_remove(&model[db][k]);
    compare_key(to_db, to);
}

static void do_swap(void)
{
    int a = (int)below(DATABASES), b = (int)below(DATABASES);
    keyspace_swap(ks, a, b);
    keyspace_swap(twin, a, b);
    for (int k = 0; k < KEYS; k++) {
        struct held v = model[a][k];
        model[a][k] = model[b][k];
        model[b][k] = v;
    }
    scan_begin();
}

static void do_flush(void)
{
    int db = (int)below(DATABASES + 1) - 1;
    bool is_async = below(2);
    size_t expected = 0;
    for (int i = 0; i < DATABASES; i++)
        for (int k = 0; k < KEYS; k++)
            if (db == -1 || i == db) {
                expected += model[i][k].is_present;
                model_remove(&model[i][k]);
            }
    assert_int_equal(keyspace_flush(ks, db, is_async), expected);
    keyspace_flush(twin, db, !is_async);
}

/* The due key that comes first by (expiry, database, key bytes). */
static bool model_first_due(int *first_db, int *first)
{
    const struct held *best = NULL;
    for (int db = 0; db < DATABASES; db++)
        for (int k = 0; k < KEYS; k++) {
            const struct held *v = &model[db][k];
            if (!v->is_present || is_live(v))
                continue;
            if (best && (best->expire_at < v->expire_at ||
                         (best->expire_at == v->expire_at &&
                          (*first_db < db || slice_compare(keys[*first], keys[k]) < 0))))
                continue;
            best = v, *first_db = db, *first = k;
        }
    return best != NULL;
}

static void do_expire_due(void)
{
    size_t limit = below(10);
    size_t count = keyspace_expire_due(ks, limit);
    assert_int_equal(keyspace_expire_due(twin, limit), count);
    int db, k;
    for (size_t i = 0; i < count; i++) {
        assert_true(model_first_due(&db, &k));
        model_expect_expired(db, k);
    }
    assert_true(count == limit || !model_first_due(&db, &k));
}

static void do_find(int db, int k)
{
    bool is_write = below(2);
    struct entry *e = is_write ? keyspace_find_for_write(ks, db, keys[k]) : keyspace_find(ks, db, keys[k]);
    if (is_write)
        keyspace_find_for_write(twin, db, keys[k]);
    assert_int_equal(e != NULL, is_live(&model[db][k]));
    if (is_write)
        model_touch(db, k);
}

static void do_hinted_find(int db, int k)
{
    uint64_t hash = keyspace_hash(ks, keys[k]);
    keyspace_prefetch_bucket(ks, db, hash);
    keyspace_prefetch_entry(ks, db, hash);
    keyspace_hint(ks, keys[k], hash);
    compare_key(db, k);
    keyspace_hint(ks, SLICE_LITERAL(""), 0);
}

static void do_random(int db)
{
    struct entry *e = keyspace_random(ks, db, &rng);
    bool any = false;
    for (int k = 0; k < KEYS; k++)
        any |= is_live(&model[db][k]);
    assert_int_equal(e != NULL, any);
    if (e)
        assert_true(entry_expire_at(e) == EXPIRE_NONE || entry_expire_at(e) > now_ms);
}

static void step(int bias)
{
    int db = (int)below(DATABASES) & (below(4) ? 0 : -1), k = (int)below(KEYS);
    switch (below(100)) {
    case 0: do_swap(); break;
    case 1: if (below(20) == 0) do_flush(); break;
    case 2: case 3: case 4: case 5: do_expire_due(); break;
    case 6: case 7: case 8: now_ms += (int64_t)below(12); break;
    case 9: case 10: case 11: keyspace_reclaim(ks, (unsigned)below(3)); break;
    case 12: case 13: case 14: case 15: case 16: scan_step(); break;
    case 17: do_random(db); break;
    case 18: do_hinted_find(db, k); break;
    case 19: case 20: do_find(db, k); break;
    default:
        if ((int)below(100) < bias) {
            do_delete(db, k);
            break;
        }
        switch (below(8)) {
        case 0: do_edit(db, k); break;
        case 1: do_set_int(db, k); break;
        case 2: do_set_expire(db, k); break;
        case 3: do_rename_or_copy(db, k); break;
        default: do_set(db, k);
        }
    }
    keyspace_advance(ks, now_ms);
    keyspace_advance(twin, now_ms);
    keyspace_check(ks);
    compare_key(db, k);
}

static void run(uint64_t seed, int steps)
{
    random_init(&rng, seed);
    now_ms = 0, expired_count = 0;
    make_keys();
    struct keyspace_options options = {.database_count = DATABASES, .on_event = on_event};
    ks = keyspace_create(&options);
    options.hash_secret[3] = 77;
    options.event_context = &options;
    twin = keyspace_create(&options);
    scan_begin();
    for (int i = 0; i < steps; i++) {
        step(i / 700 % 2 ? 75 : 15); /* grow, then shrink */
        if (i % 50 == 0)
            compare_all();
    }
    compare_all();
    keyspace_free(ks);
    keyspace_free(twin);
    for (int db = 0; db < DATABASES; db++)
        for (int k = 0; k < KEYS; k++)
            model_remove(&model[db][k]);
    for (int k = 0; k < KEYS; k++)
        free((void *)(uintptr_t)keys[k].ptr);
}

static void test_model(void **state)
{
    (void)state;
    const char *seed_text = getenv("SEED");
    uint64_t first = seed_text ? strtoull(seed_text, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (seed_text ? 1 : 12); seed++) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run(seed, 3500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
