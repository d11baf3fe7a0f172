#include "store/keyspace.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/check.h"
#include "store/dict.h"
#include "store/digest.h"
#include "store/entry.h"
#include "store/expiry.h"
#include "store/key_hash.h"
#include "store/marks.h"
#include "store/value.h"
#include "store/watch.h"

static_assert(sizeof((struct keyspace_options *)NULL)->hash_secret == KEY_HASH_SEED_BYTES, "the secret is the seed");

enum {
    DATABASES_MAX = 10000,
    FREE_LATER_EFFORT = 64,   /* blocks: a value with more is freed by keyspace_reclaim */
    FLUSH_AT_ONCE_MAX = 64,   /* keys: below, is_async is not worth its while */
    ITEMS_PER_US = 4,         /* keyspace_reclaim: an entry or bucket out of cache, about 250 ns */
    ITEMS_PER_MERGE = 8,
    ITEMS_PER_SEGMENT = 8,
    RANDOM_TRIES = 64,
    PARTS_MAX = 65536,
    CACHE_LINE = 64,
    LFU_INITIAL = 5,
    LFU_LOG_FACTOR = 10,
    LFU_COUNT_MAX = 255,
    MS_PER_SECOND = 1000,
    MS_PER_MINUTE = 60000,
};

/* What SWAPDB exchanges. */
struct contents {
    struct dict dict;
    struct expiry expiry;
    size_t entry_bytes;
};

/* due is a binary heap of the numbers of the databases that have expiring
 * keys, ordered by (due_at, number).  A database with none has due_position
 * NOT_DUE and due_at INT64_MAX. */
enum { NOT_DUE = -1 };
struct database {
    struct contents held;
    int64_t due_at;
    int due_position;
};

/* Contents of a flushed database. */
struct grave {
    struct grave *next;
    struct contents held;
};

struct keyspace {
    struct database *databases;
    int database_count;
    int *due;
    int due_count;
    int64_t now_ms;
    bool is_active_expire;

    struct slice hint_key; /* ptr NULL: none */
    uint64_t hint_hash;

    bool is_lfu, is_unnoticed;
    uint32_t clock_seconds, clock_minutes;
    struct random lfu_random;

    keyspace_event_fn *on_event;
    void *event_context;
    uint64_t changes, hits, misses, expired;

    struct grave *graves;
    struct entry **heavy; /* unlinked entries that take long to free */
    size_t heavy_count, heavy_room;
    int reclaim_db; /* where the search for sparse tables goes on */

    struct value_env env;
    const struct keyspace_listener *listeners[KEYSPACE_LISTENERS_MAX];
    int listener_count;
    struct watches *watches;
    struct marks marks;
};

/* --- life ------------------------------------------------------------------ */

static uint64_t hash_item(const void *secret, const void *item)
{
    return key_hash(secret, entry_key_slice(item));
}

static void contents_init(struct keyspace *ks, struct contents *held)
{
    dict_init(&held->dict, hash_item, &ks->env.secret);
    expiry_init(&held->expiry);
    held->entry_bytes = 0;
}

struct keyspace *keyspace_create(const struct keyspace_options *options)
{
    CHECK(options->database_count >= 1);
    CHECK(options->database_count <= DATABASES_MAX);
    struct keyspace *ks = mem_calloc(1, sizeof *ks);
    size_t count = (size_t)options->database_count;
    ks->database_count = options->database_count;
    ks->databases = mem_calloc(count, sizeof *ks->databases);
    ks->due = mem_calloc(count, sizeof *ks->due);
    key_hash_expand(&ks->env.secret, options->hash_secret);
    settings_init(&ks->env.settings);
    for (size_t i = 0; i < count; i++) {
        contents_init(ks, &ks->databases[i].held);
        ks->databases[i].due_at = INT64_MAX;
        ks->databases[i].due_position = NOT_DUE;
    }
    ks->is_active_expire = true;
    ks->on_event = options->on_event;
    ks->event_context = options->event_context;
    random_init(&ks->lfu_random, 0);
    ks->watches = watches_create(ks);
    return ks;
}

void keyspace_free(struct keyspace *ks)
{
    if (!ks)
        return;
    watches_free(ks->watches);
    ks->listener_count = 0;
    keyspace_flush(ks, -1, false);
    while (keyspace_reclaim(ks, UINT32_MAX / ITEMS_PER_US)) {
    }
    for (int i = 0; i < ks->database_count; i++)
        dict_deinit(&ks->databases[i].held.dict);
    mem_free(ks->heavy);
    mem_free(ks->due);
    mem_free(ks->databases);
    mem_free(ks);
}

void keyspace_set_hash_secret(struct keyspace *ks, const unsigned char secret[static KEY_HASH_SEED_BYTES])
{
    for (int db = 0; db < keyspace_database_count(ks); db++)
        CHECK(keyspace_size(ks, db) == 0);
    ks->hint_key.ptr = NULL;
    key_hash_expand(&ks->env.secret, secret);
}

int keyspace_database_count(const struct keyspace *ks)
{
    return ks->database_count;
}

static struct database *database_at(const struct keyspace *ks, int db)
{
    CHECK(db >= 0);
    CHECK(db < ks->database_count);
    return &ks->databases[db];
}

/* --- hashes and slots ------------------------------------------------------ */

uint64_t keyspace_hash(const struct keyspace *ks, struct slice key)
{
    return key_hash(&ks->env.secret, key);
}

void keyspace_hint(struct keyspace *ks, struct slice key, uint64_t hash)
{
    ks->hint_key = key;
    ks->hint_hash = hash;
}

/* Builds that look for errors verify the hint. */
#if defined(__SANITIZE_ADDRESS__)
#define VERIFY_HINTS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VERIFY_HINTS 1
#endif
#endif
#ifndef VERIFY_HINTS
#define VERIFY_HINTS 0
#endif

static uint64_t hash_of(struct keyspace *ks, struct slice key)
{
    if (key.ptr != ks->hint_key.ptr || key.len != ks->hint_key.len || !key.ptr)
        return keyspace_hash(ks, key);
    ks->hint_key.ptr = NULL;
    if (VERIFY_HINTS)
        CHECK(ks->hint_hash == keyspace_hash(ks, key));
    return ks->hint_hash;
}

static bool is_entry_of(const void *item, const void *key)
{
    return entry_has_key(item, *(const struct slice *)key);
}

/* The slot of an entry, expired or not; NULL if absent. */
static struct entry **find_slot(const struct keyspace *ks, int db, uint64_t hash, struct slice key)
{
    const struct dict *dict = &database_at(ks, db)->held.dict;
    return (struct entry **)(void *)dict_find(dict, hash, is_entry_of, &key);
}

void keyspace_prefetch_bucket(const struct keyspace *ks, int db, uint64_t hash)
{
    dict_prefetch_bucket(&database_at(ks, db)->held.dict, hash);
}

void keyspace_prefetch_entry(const struct keyspace *ks, int db, uint64_t hash)
{
    const char *entry = dict_guess(&database_at(ks, db)->held.dict, hash);
    if (entry) {
        __builtin_prefetch(entry, 1);
        __builtin_prefetch(entry + CACHE_LINE, 1);
    }
}

/* --- which database is due next -------------------------------------------- */

static bool is_due_before(const struct keyspace *ks, int a, int b)
{
    int64_t at_a = ks->databases[a].due_at, at_b = ks->databases[b].due_at;
    return at_a != at_b ? at_a < at_b : a < b;
}

static void due_put(struct keyspace *ks, int position, int db)
{
    ks->due[position] = db;
    ks->databases[db].due_position = position;
}

static void due_settle(struct keyspace *ks, int position, int db)
{
    while (position > 0 && is_due_before(ks, db, ks->due[(position - 1) / 2])) {
        due_put(ks, position, ks->due[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    for (int child; (child = 2 * position + 1) < ks->due_count; position = child) {
        if (child + 1 < ks->due_count && is_due_before(ks, ks->due[child + 1], ks->due[child]))
            child++;
        if (!is_due_before(ks, ks->due[child], db))
            break;
        due_put(ks, position, ks->due[child]);
    }
    due_put(ks, position, db);
}

/* After any change to a database's expiry index. */
static void due_update(struct keyspace *ks, int db)
{
    struct database *d = database_at(ks, db);
    int64_t at = expiry_next_due(&d->held.expiry);
    if (at == d->due_at)
        return;
    d->due_at = at;
    int position = d->due_position;
    if (at != INT64_MAX) {
        due_settle(ks, position == NOT_DUE ? ks->due_count++ : position, db);
        return;
    }
    d->due_position = NOT_DUE;
    int last = ks->due[--ks->due_count];
    if (last != db)
        due_settle(ks, position, last);
}

/* --- access clock ---------------------------------------------------------- */

void keyspace_set_access_clock(struct keyspace *ks, int64_t wall_ms)
{
    ks->clock_seconds = (uint32_t)(wall_ms / MS_PER_SECOND) & 0xffffff;
    ks->clock_minutes = (uint32_t)(wall_ms / MS_PER_MINUTE) & 0xffff;
}

void keyspace_set_lfu(struct keyspace *ks, bool is_lfu)
{
    ks->is_lfu = is_lfu;
}

bool keyspace_is_lfu(const struct keyspace *ks)
{
    return ks->is_lfu;
}

static uint32_t new_access(const struct keyspace *ks)
{
    return ks->is_lfu ? ks->clock_minutes << 8 | LFU_INITIAL : ks->clock_seconds;
}

/* The count less one per minute since it was written. */
static unsigned decayed_count(const struct keyspace *ks, const struct entry *e)
{
    uint32_t access = entry_access(e);
    uint32_t minutes = (ks->clock_minutes - (access >> 8)) & 0xffff;
    unsigned count = access & 0xff;
    return minutes < count ? count - minutes : 0;
}

static unsigned counted_up(struct keyspace *ks, unsigned count)
{
    if (count == LFU_COUNT_MAX)
        return count;
    unsigned above = count > LFU_INITIAL ? count - LFU_INITIAL : 0;
    return count + (random_below(&ks->lfu_random, above * LFU_LOG_FACTOR + 1) == 0);
}

void keyspace_set_unnoticed(struct keyspace *ks, bool is_unnoticed)
{
    ks->is_unnoticed = is_unnoticed;
}

static void set_access_now(struct keyspace *ks, struct entry *e)
{
    uint32_t access = ks->clock_seconds;
    if (ks->is_lfu)
        access = ks->clock_minutes << 8 | counted_up(ks, decayed_count(ks, e));
    if (access != entry_access(e)) /* spares the cache line a write */
        entry_set_access(e, access);
}

static void note_access(struct keyspace *ks, struct entry *e)
{
    if (!ks->is_unnoticed)
        set_access_now(ks, e);
}

void keyspace_set_idle(struct keyspace *ks, struct entry *e, int64_t seconds)
{
    const int64_t seconds_max = 0xffffff;
    if (!ks->is_lfu)
        entry_set_access(e, (ks->clock_seconds - (uint32_t)(seconds < seconds_max ? seconds : seconds_max)) & 0xffffff);
}

void keyspace_set_frequency(struct keyspace *ks, struct entry *e, unsigned count)
{
    if (ks->is_lfu)
        entry_set_access(e, ks->clock_minutes << 8 | (count & 0xff));
}

int64_t entry_idle_seconds(const struct keyspace *ks, const struct entry *e)
{
    uint32_t access = entry_access(e);
    if (ks->is_lfu)
        return (int64_t)((ks->clock_minutes - (access >> 8)) & 0xffff) * (MS_PER_MINUTE / MS_PER_SECOND);
    return (ks->clock_seconds - access) & 0xffffff;
}

unsigned entry_frequency(const struct keyspace *ks, const struct entry *e)
{
    return decayed_count(ks, e);
}

/* --- links ----------------------------------------------------------------- */

void keyspace_notify(struct keyspace *ks, enum keyspace_event_class event_class, const char *name, int db,
                     struct slice key)
{
    if (ks->on_event)
        ks->on_event(ks->event_context, event_class, name, db, key);
}

void keyspace_listen(struct keyspace *ks, const struct keyspace_listener *listener)
{
    CHECK(ks->listener_count < KEYSPACE_LISTENERS_MAX);
    ks->listeners[ks->listener_count++] = listener;
}

void keyspace_unlisten(struct keyspace *ks, const struct keyspace_listener *listener)
{
    int at = 0;
    while (at < ks->listener_count && ks->listeners[at] != listener)
        at++;
    CHECK(at < ks->listener_count);
    ks->listeners[at] = ks->listeners[--ks->listener_count];
}

/* From the last to the first: one that leaves inside its callback is replaced
 * by one that was told already. */
static void tell_touch(struct keyspace *ks, int db, struct slice key)
{
    for (int i = ks->listener_count - 1; i >= 0; i--)
        ks->listeners[i]->on_touch(ks->listeners[i]->context, db, key);
}

static void tell_swap(struct keyspace *ks, int a, int b)
{
    for (int i = ks->listener_count - 1; i >= 0; i--)
        ks->listeners[i]->on_swap(ks->listeners[i]->context, a, b);
}

void keyspace_touch(struct keyspace *ks, int db, struct slice key)
{
    if (__builtin_expect(ks->listener_count > 0, 0))
        tell_touch(ks, db, key);
}

void keyspace_wake(struct keyspace *ks, int db, struct slice key)
{
    for (int i = ks->listener_count - 1; i >= 0; i--)
        if (ks->listeners[i]->on_wake)
            ks->listeners[i]->on_wake(ks->listeners[i]->context, db, key);
}

struct watches *keyspace_watches(struct keyspace *ks)
{
    return ks->watches;
}

struct marks *keyspace_marks(struct keyspace *ks)
{
    return &ks->marks;
}

static bool is_expired(const struct keyspace *ks, const struct entry *e)
{
    int64_t at = entry_expiry_time(e);
    return at != EXPIRE_NONE && at <= ks->now_ms;
}

/* expire_at: unix ms from 0, EXPIRE_NONE or EXPIRE_KEEP.  The entry has an
 * expiry part if it needs one. */
static void link_expiry(struct keyspace *ks, int db, struct entry *e, int64_t expire_at)
{
    struct expiry *x = &database_at(ks, db)->held.expiry;
    int64_t present = entry_expiry_time(e);
    if (expire_at == EXPIRE_KEEP || expire_at == present)
        return;
    if (expire_at == EXPIRE_NONE)
        expiry_remove(x, e);
    else if (present == EXPIRE_NONE)
        expiry_add(x, e, expire_at);
    else
        expiry_update(x, e, expire_at);
    due_update(ks, db);
}

static void link_entry(struct keyspace *ks, int db, uint64_t hash, struct entry *e, int64_t expire_at)
{
    struct contents *held = &database_at(ks, db)->held;
    dict_insert(&held->dict, hash, e);
    held->entry_bytes += entry_allocated(e);
    link_expiry(ks, db, e, expire_at);
}

/* Out of the database; the caller frees it. */
static struct entry *unlink_entry(struct keyspace *ks, int db, uint64_t hash, struct entry **slot)
{
    struct contents *held = &database_at(ks, db)->held;
    struct entry *e = *slot;
    link_expiry(ks, db, e, EXPIRE_NONE);
    held->entry_bytes -= entry_allocated(e);
    dict_remove(&held->dict, hash, (void **)(void *)slot);
    return e;
}

/* Puts a changed entry back into its slot; bytes_before: what it took then. */
static void relink_entry(struct keyspace *ks, int db, struct entry **slot, struct entry *e, size_t bytes_before)
{
    struct contents *held = &database_at(ks, db)->held;
    held->entry_bytes += entry_allocated(e) - bytes_before;
    if (*slot == e)
        return;
    *slot = e;
    if (entry_expiry_time(e) != EXPIRE_NONE)
        expiry_moved(&held->expiry, e);
}

static void free_later(struct keyspace *ks, struct entry *e)
{
    if (ks->heavy_count == ks->heavy_room) {
        ks->heavy_room = ks->heavy_room ? 2 * ks->heavy_room : 8;
        ks->heavy = mem_realloc(ks->heavy, ks->heavy_room * sizeof *ks->heavy);
    }
    ks->heavy[ks->heavy_count++] = e;
}

static void discard_entry(struct keyspace *ks, struct entry *e)
{
    if (entry_free_effort(e) > FREE_LATER_EFFORT)
        free_later(ks, e);
    else
        entry_free(e);
}

static void tell_expired(struct keyspace *ks, int db, const struct entry *e)
{
    ks->expired++;
    keyspace_notify(ks, EVENT_EXPIRED, "expired", db, entry_key_slice(e));
}

static void remove_expired(struct keyspace *ks, int db, uint64_t hash, struct entry **slot)
{
    struct entry *e = unlink_entry(ks, db, hash, slot);
    tell_expired(ks, db, e);
    keyspace_touch(ks, db, entry_key_slice(e));
    discard_entry(ks, e);
}

/* The entry is about to get another value: if it has expired, that is said
 * now, and it goes on as a key that was just made. */
static void renew_if_expired(struct keyspace *ks, int db, struct entry *e)
{
    if (!is_expired(ks, e))
        return;
    link_expiry(ks, db, e, EXPIRE_NONE);
    tell_expired(ks, db, e);
    entry_set_access(e, new_access(ks));
}

/* --- time ------------------------------------------------------------------ */

void keyspace_advance(struct keyspace *ks, int64_t now_ms)
{
    if (now_ms > ks->now_ms)
        ks->now_ms = now_ms;
}

int64_t keyspace_now(const struct keyspace *ks)
{
    return ks->now_ms;
}

int64_t keyspace_next_due(const struct keyspace *ks)
{
    return ks->due_count ? ks->databases[ks->due[0]].due_at : INT64_MAX;
}

size_t keyspace_expire_due(struct keyspace *ks, size_t limit)
{
    size_t count = 0;
    for (; ks->is_active_expire && count < limit && keyspace_next_due(ks) <= ks->now_ms; count++) {
        if (ks->due_count == 0) /* now_ms is INT64_MAX */
            break;
        int db = ks->due[0];
        struct slice key = entry_key_slice(expiry_first(&ks->databases[db].held.expiry));
        uint64_t hash = keyspace_hash(ks, key);
        struct entry **slot = find_slot(ks, db, hash, key);
        CHECK(slot != NULL);
        remove_expired(ks, db, hash, slot);
    }
    return count;
}

void keyspace_set_active_expire(struct keyspace *ks, bool is_on)
{
    ks->is_active_expire = is_on;
}

bool keyspace_is_active_expire(const struct keyspace *ks)
{
    return ks->is_active_expire;
}

/* --- finding --------------------------------------------------------------- */

struct entry *keyspace_peek(struct keyspace *ks, int db, struct slice key)
{
    struct entry **slot = find_slot(ks, db, hash_of(ks, key), key);
    return slot && !is_expired(ks, *slot) ? *slot : NULL;
}

struct entry *keyspace_look(struct keyspace *ks, int db, struct slice key)
{
    struct entry *e = keyspace_peek(ks, db, key);
    if (e)
        ks->hits++;
    else
        ks->misses++;
    return e;
}

struct entry *keyspace_find(struct keyspace *ks, int db, struct slice key)
{
    struct entry *e = keyspace_look(ks, db, key);
    if (e)
        note_access(ks, e);
    return e;
}

struct entry *keyspace_access(struct keyspace *ks, int db, struct slice key)
{
    struct entry *e = keyspace_look(ks, db, key);
    if (e)
        set_access_now(ks, e);
    return e;
}

/* The slot of a key that is there; an expired one is removed. */
static struct entry **find_live_slot(struct keyspace *ks, int db, uint64_t hash, struct slice key)
{
    struct entry **slot = find_slot(ks, db, hash, key);
    if (slot && is_expired(ks, *slot)) {
        remove_expired(ks, db, hash, slot);
        return NULL;
    }
    return slot;
}

enum keyspace_presence keyspace_presence(const struct keyspace *ks, int db, struct slice key)
{
    struct entry **slot = find_slot(ks, db, keyspace_hash(ks, key), key);
    if (!slot)
        return KEY_ABSENT;
    return is_expired(ks, *slot) ? KEY_EXPIRED : KEY_PRESENT;
}

struct entry *keyspace_find_for_write(struct keyspace *ks, int db, struct slice key)
{
    struct entry **slot = find_live_slot(ks, db, hash_of(ks, key), key);
    if (!slot)
        return NULL;
    note_access(ks, *slot);
    return *slot;
}

/* --- changing -------------------------------------------------------------- */

static int64_t clamp_expiry(int64_t expire_at)
{
    return expire_at < 0 ? 0 : expire_at;
}

/* A large value moves to an entry of its own, freed later, so that what
 * replaces it need not wait. */
static void shed_heavy_value(struct keyspace *ks, struct entry *e)
{
    if (entry_free_effort(e) > FREE_LATER_EFFORT)
        free_later(ks, entry_move(e, entry_key_slice(e), false));
}

static struct entry *store_string(struct keyspace *ks, int db, struct slice key, const struct string_form *form,
                                  int64_t expire_at)
{
    uint64_t hash = hash_of(ks, key);
    struct entry **slot = find_slot(ks, db, hash, key);
    bool wants_expiry = expire_at >= 0;
    if (!slot) {
        struct entry *e = entry_create(key, form, wants_expiry, new_access(ks));
        link_entry(ks, db, hash, e, wants_expiry ? expire_at : EXPIRE_NONE);
        keyspace_touch(ks, db, key);
        return e;
    }
    renew_if_expired(ks, db, *slot);
    size_t before = entry_allocated(*slot);
    shed_heavy_value(ks, *slot);
    struct entry *e = entry_overwrite(*slot, form, wants_expiry);
    relink_entry(ks, db, slot, e, before);
    link_expiry(ks, db, e, expire_at);
    note_access(ks, e);
    keyspace_touch(ks, db, entry_key_slice(e)); /* key may have been bytes of what was replaced */
    return e;
}

struct entry *keyspace_set(struct keyspace *ks, int db, struct slice key, struct slice value, int64_t expire_at)
{
    struct string_form form = string_form_of(value);
    if (expire_at != EXPIRE_NONE && expire_at != EXPIRE_KEEP)
        expire_at = clamp_expiry(expire_at);
    return store_string(ks, db, key, &form, expire_at);
}

struct entry *keyspace_set_text(struct keyspace *ks, int db, struct slice key, struct slice value, int64_t expire_at)
{
    struct string_form form = string_form_text(value);
    if (expire_at != EXPIRE_NONE && expire_at != EXPIRE_KEEP)
        expire_at = clamp_expiry(expire_at);
    return store_string(ks, db, key, &form, expire_at);
}

struct entry *keyspace_set_int(struct keyspace *ks, int db, struct slice key, int64_t value)
{
    struct string_form form = string_form_int(value);
    return store_string(ks, db, key, &form, EXPIRE_KEEP);
}

void keyspace_edit_int(struct keyspace *ks, struct entry *e, int64_t value)
{
    struct string_form form = string_form_int(value);
    CHECK(entry_encoding(e) == ENCODING_INT);
    CHECK(!is_expired(ks, e));
    struct entry *same = entry_overwrite(e, &form, false);
    CHECK(same == e);
}

char *keyspace_edit_string(struct keyspace *ks, int db, struct slice key, size_t size)
{
    uint64_t hash = hash_of(ks, key);
    struct entry **slot = find_slot(ks, db, hash, key);
    if (!slot) {
        struct entry *e = entry_create_zero(key, size, false, new_access(ks));
        link_entry(ks, db, hash, e, EXPIRE_NONE);
        return entry_edit_bytes(e);
    }
    struct entry *e = *slot;
    size_t before = entry_allocated(e);
    if (is_expired(ks, e)) {
        const struct string_form empty = {.encoding = ENCODING_RAW, .bytes = SLICE_LITERAL("")};
        renew_if_expired(ks, db, e);
        shed_heavy_value(ks, e);
        e = entry_overwrite(e, &empty, false);
    }
    e = entry_edit(e, size);
    relink_entry(ks, db, slot, e, before);
    note_access(ks, e);
    return entry_edit_bytes(e);
}

bool keyspace_delete(struct keyspace *ks, int db, struct slice key)
{
    uint64_t hash = hash_of(ks, key);
    struct entry **slot = find_live_slot(ks, db, hash, key);
    if (!slot)
        return false;
    struct entry *e = unlink_entry(ks, db, hash, slot);
    keyspace_touch(ks, db, entry_key_slice(e)); /* key may lie in it */
    discard_entry(ks, e);
    return true;
}

bool keyspace_set_expire(struct keyspace *ks, int db, struct slice key, int64_t expire_at)
{
    struct entry **slot = find_live_slot(ks, db, hash_of(ks, key), key);
    if (!slot)
        return false;
    if (expire_at != EXPIRE_NONE) {
        expire_at = clamp_expiry(expire_at);
        size_t before = entry_allocated(*slot);
        relink_entry(ks, db, slot, entry_add_expiry(*slot), before);
    }
    link_expiry(ks, db, *slot, expire_at);
    keyspace_touch(ks, db, entry_key_slice(*slot));
    return true;
}

/* fresh takes the place of whatever has its key. */
static void replace_entry(struct keyspace *ks, int db, uint64_t hash, struct entry *fresh, int64_t expire_at)
{
    struct entry **slot = find_live_slot(ks, db, hash, entry_key_slice(fresh));
    if (slot)
        discard_entry(ks, unlink_entry(ks, db, hash, slot));
    link_entry(ks, db, hash, fresh, expire_at);
    keyspace_touch(ks, db, entry_key_slice(fresh));
}

struct entry *keyspace_set_value(struct keyspace *ks, int db, struct slice key, enum value_type type,
                                 struct value v, int64_t expire_at)
{
    uint64_t hash = hash_of(ks, key);
    if (expire_at == EXPIRE_KEEP) {
        struct entry **slot = find_slot(ks, db, hash, key);
        expire_at = slot && !is_expired(ks, *slot) ? entry_expiry_time(*slot) : EXPIRE_NONE;
    } else if (expire_at != EXPIRE_NONE) {
        expire_at = clamp_expiry(expire_at);
    }
    struct entry *fresh = entry_create_value(key, type, v, expire_at != EXPIRE_NONE, new_access(ks));
    replace_entry(ks, db, hash, fresh, expire_at);
    return fresh;
}

bool keyspace_rename(struct keyspace *ks, int from_db, struct slice from, int to_db, struct slice to)
{
    uint64_t from_hash = hash_of(ks, from), to_hash = hash_of(ks, to);
    struct entry **slot = find_live_slot(ks, from_db, from_hash, from);
    if (!slot)
        return false;
    if (from_db == to_db && slice_equal(from, to))
        return true;
    int64_t expire_at = entry_expiry_time(*slot);
    struct entry *e = unlink_entry(ks, from_db, from_hash, slot);
    struct entry *fresh = entry_move(e, to, expire_at != EXPIRE_NONE);
    keyspace_touch(ks, from_db, from);
    replace_entry(ks, to_db, to_hash, fresh, expire_at);
    entry_free(e); /* last: from and to may lie in it */
    return true;
}

bool keyspace_copy(struct keyspace *ks, int from_db, struct slice from, int to_db, struct slice to)
{
    uint64_t from_hash = hash_of(ks, from), to_hash = hash_of(ks, to);
    struct entry **slot = find_live_slot(ks, from_db, from_hash, from);
    if (!slot)
        return false;
    if (from_db == to_db && slice_equal(from, to))
        return true;
    int64_t expire_at = entry_expiry_time(*slot);
    struct entry *fresh = entry_copy(*slot, to, expire_at != EXPIRE_NONE, new_access(ks));
    replace_entry(ks, to_db, to_hash, fresh, expire_at);
    return true;
}

void keyspace_swap(struct keyspace *ks, int a, int b)
{
    struct database *one = database_at(ks, a), *other = database_at(ks, b);
    tell_swap(ks, a, b);
    struct contents held = one->held;
    one->held = other->held;
    other->held = held;
    due_update(ks, a);
    due_update(ks, b);
}

/* --- flushing and reclaiming ----------------------------------------------- */

struct burial {
    struct keyspace *ks;
    struct contents *held;
};

static bool bury_entry(void *context, void *item)
{
    struct burial *burial = context;
    burial->held->entry_bytes -= entry_allocated(item);
    discard_entry(burial->ks, item);
    return true;
}

/* True when nothing is left. */
static bool bury_some(struct keyspace *ks, struct contents *held, size_t *budget)
{
    while (held->expiry.segment_count > 0 && *budget > 0) {
        *budget -= *budget < ITEMS_PER_SEGMENT ? *budget : ITEMS_PER_SEGMENT;
        expiry_drain(&held->expiry);
    }
    struct burial burial = {ks, held};
    return *budget > 0 && dict_drain(&held->dict, budget, bury_entry, &burial);
}

static size_t flush_one(struct keyspace *ks, int db, bool is_async)
{
    tell_swap(ks, db, db);
    struct contents *held = &database_at(ks, db)->held;
    size_t count = dict_size(&held->dict);
    if (is_async && count > FLUSH_AT_ONCE_MAX) {
        struct grave *grave = mem_alloc(sizeof *grave);
        *grave = (struct grave){ks->graves, *held};
        ks->graves = grave;
        contents_init(ks, held);
    } else {
        size_t budget = SIZE_MAX;
        bool is_gone = bury_some(ks, held, &budget);
        CHECK(is_gone);
        CHECK(held->entry_bytes == 0);
    }
    due_update(ks, db);
    return count;
}

size_t keyspace_flush(struct keyspace *ks, int db, bool is_async)
{
    if (db != -1)
        return flush_one(ks, db, is_async);
    size_t count = 0;
    for (int i = 0; i < ks->database_count; i++)
        count += flush_one(ks, i, is_async);
    return count;
}

static bool reclaim_heavy(struct keyspace *ks, size_t *budget)
{
    while (ks->heavy_count > 0 && *budget > 0)
        if (entry_free_some(ks->heavy[ks->heavy_count - 1], budget))
            ks->heavy_count--;
    return ks->heavy_count == 0;
}

static bool reclaim_graves(struct keyspace *ks, size_t *budget)
{
    while (ks->graves && *budget > 0) {
        struct grave *grave = ks->graves;
        if (!bury_some(ks, &grave->held, budget))
            break;
        ks->graves = grave->next;
        mem_free(grave);
    }
    return ks->graves == NULL;
}

static size_t spend(size_t budget, size_t items)
{
    return items < budget ? budget - items : 0;
}

static bool reclaim_tables(struct keyspace *ks, size_t *budget)
{
    for (int idle = 0; idle < ks->database_count;) {
        if (*budget == 0)
            return false;
        struct dict *dict = &ks->databases[ks->reclaim_db].held.dict;
        if (dict_merge(dict)) {
            *budget = spend(*budget, ITEMS_PER_MERGE);
            idle = 0;
        } else {
            idle++;
            ks->reclaim_db = (ks->reclaim_db + 1) % ks->database_count;
        }
    }
    return true;
}

bool keyspace_reclaim(struct keyspace *ks, unsigned budget_us)
{
    size_t budget = (size_t)budget_us * ITEMS_PER_US;
    bool is_done = reclaim_heavy(ks, &budget);
    is_done = reclaim_graves(ks, &budget) && is_done;
    is_done = reclaim_tables(ks, &budget) && is_done;
    return !is_done || ks->heavy_count > 0;
}

/* --- settings -------------------------------------------------------------- */

const struct value_env *keyspace_env(const struct keyspace *ks)
{
    return &ks->env;
}

const struct settings *keyspace_settings(const struct keyspace *ks)
{
    return &ks->env.settings;
}

void keyspace_set_list_packed_threshold(struct keyspace *ks, size_t bytes)
{
    ks->env.list_packed_threshold = bytes;
}

void keyspace_replace_settings(struct keyspace *ks, const struct settings *settings)
{
    ks->env.settings = *settings;
}

void keyspace_set_setting(struct keyspace *ks, int setting, int64_t value)
{
    CHECK(setting >= 0);
    CHECK(setting < SETTING_COUNT);
    CHECK(value >= setting_bounds[setting].min);
    CHECK(value <= setting_bounds[setting].max);
    ks->env.settings.values[setting] = value;
    ks->env.settings.agreed |= UINT32_C(1) << setting;
}

/* --- changes --------------------------------------------------------------- */

uint64_t keyspace_changes(const struct keyspace *ks)
{
    return ks->changes;
}

void keyspace_count_changes(struct keyspace *ks, uint64_t count)
{
    ks->changes += count;
}

/* --- looking at all -------------------------------------------------------- */

size_t keyspace_size(const struct keyspace *ks, int db)
{
    return dict_size(&database_at(ks, db)->held.dict);
}

size_t keyspace_expiring(const struct keyspace *ks, int db)
{
    return expiry_count(&database_at(ks, db)->held.expiry);
}

struct live_visit {
    const struct keyspace *ks;
    keyspace_visit_fn *visit;
    void *context;
};

static bool visit_live(void *context, void *item)
{
    const struct live_visit *live = context;
    if (!is_expired(live->ks, item))
        live->visit(live->context, item);
    return true;
}

uint64_t keyspace_scan(struct keyspace *ks, int db, uint64_t cursor, size_t count, keyspace_visit_fn *visit,
                       void *context)
{
    struct live_visit live = {ks, visit, context};
    return dict_scan(&database_at(ks, db)->held.dict, cursor, count, visit_live, &live);
}

void keyspace_each(struct keyspace *ks, int db, keyspace_visit_fn *visit, void *context)
{
    struct live_visit live = {ks, visit, context};
    dict_walk(&database_at(ks, db)->held.dict, 0, UINT64_MAX, visit_live, &live);
}

struct search {
    const struct keyspace *ks;
    struct entry *found;
};

static bool stop_at_live(void *context, void *item)
{
    struct search *search = context;
    if (!is_expired(search->ks, item))
        search->found = item;
    return !search->found;
}

/* When almost all keys have expired, the next live one from a random place on
 * must do. */
struct entry *keyspace_random(struct keyspace *ks, int db, struct random *random)
{
    const struct dict *dict = &database_at(ks, db)->held.dict;
    for (int i = 0; i < RANDOM_TRIES && dict_size(dict) > 0; i++) {
        struct entry *e = dict_pick(dict, random);
        if (!is_expired(ks, e))
            return e;
    }
    struct search search = {ks, NULL};
    uint64_t start = random_next(random);
    if (dict_walk(dict, start, UINT64_MAX, stop_at_live, &search))
        dict_walk(dict, 0, start, stop_at_live, &search);
    return search.found;
}

/* --- all data, out and in -------------------------------------------------- */

struct keyspace_item entry_item(const struct entry *e)
{
    struct keyspace_item item = {.type = entry_type(e),
                                 .encoding = entry_encoding(e),
                                 .expire_at = entry_expiry_time(e),
                                 .key = entry_key_slice(e)};
    char scratch[INT64_TEXT_MAX];
    if (item.type == VALUE_STRING && !entry_int(e, &item.integer))
        item.bytes = entry_string(e, scratch);
    return item;
}

bool keyspace_item_is_valid(const struct keyspace_item *item)
{
    if (item->type > VALUE_STREAM || (item->expire_at < 0 && item->expire_at != EXPIRE_NONE))
        return false;
    if (!value_encoding_fits(item->type, item->encoding) || (item->type == VALUE_STRING && item->goes_on))
        return false;
    return item->encoding != ENCODING_EMBSTR || item->bytes.len <= ENTRY_EMBSTR_MAX;
}

struct walk {
    keyspace_walk_fn *visit;
    void *context;
};

static bool visit_stored(void *context, void *item)
{
    const struct walk *walk = context;
    return walk->visit(walk->context, item);
}

bool keyspace_walk(const struct keyspace *ks, int db, keyspace_walk_fn *visit, void *context)
{
    struct walk walk = {visit, context};
    return dict_walk(&database_at(ks, db)->held.dict, 0, UINT64_MAX, visit_stored, &walk);
}

void keyspace_reserve(struct keyspace *ks, int db, size_t count)
{
    dict_reserve(&database_at(ks, db)->held.dict, count);
}

struct entry *keyspace_add(struct keyspace *ks, int db, uint64_t hash, const struct keyspace_item *item)
{
    CHECK(keyspace_item_is_valid(item));
    CHECK(item->type == VALUE_STRING);
    if (find_slot(ks, db, hash, item->key))
        return NULL;
    const struct string_form form = {item->encoding, item->integer, item->bytes};
    bool wants_expiry = item->expire_at != EXPIRE_NONE;
    struct entry *e = entry_create(item->key, &form, wants_expiry, new_access(ks));
    link_entry(ks, db, hash, e, item->expire_at);
    return e;
}

struct entry *keyspace_add_value(struct keyspace *ks, int db, uint64_t hash, const struct keyspace_item *item,
                                 struct value v)
{
    CHECK(keyspace_item_is_valid(item));
    if (find_slot(ks, db, hash, item->key))
        return NULL;
    bool wants_expiry = item->expire_at != EXPIRE_NONE;
    struct entry *e = entry_create_value(item->key, item->type, v, wants_expiry, new_access(ks));
    link_entry(ks, db, hash, e, item->expire_at);
    return e;
}

/* --- digests --------------------------------------------------------------- */

struct digest_walk {
    struct digest sum;
    int db;
    unsigned part_bits;
    uint32_t part;
    const struct key_hash_secret *secret;
};

static bool digest_visit(void *context, void *item)
{
    struct digest_walk *walk = context;
    if (walk->part_bits > 0 && hash_item(walk->secret, item) >> (64 - walk->part_bits) != walk->part)
        return true;
    digest_add(&walk->sum, keyspace_entry_digest(walk->db, item));
    return true;
}

/* Expired keys that are still stored count: they too are the same everywhere. */
struct digest keyspace_digest_part(struct keyspace *ks, uint32_t part, uint32_t part_count)
{
    CHECK(part_count > 0);
    CHECK(part_count <= PARTS_MAX);
    CHECK((part_count & (part_count - 1)) == 0);
    CHECK(part < part_count);
    struct digest_walk walk = {.part = part, .secret = &ks->env.secret};
    walk.part_bits = (unsigned)__builtin_ctz(part_count);
    uint64_t first = walk.part_bits ? (uint64_t)part << (64 - walk.part_bits) : 0;
    uint64_t last = walk.part_bits ? first | UINT64_MAX >> walk.part_bits : UINT64_MAX;
    for (walk.db = 0; walk.db < ks->database_count; walk.db++)
        dict_walk(&ks->databases[walk.db].held.dict, first, last, digest_visit, &walk);
    return walk.sum;
}

struct digest keyspace_digest(struct keyspace *ks)
{
    return keyspace_digest_part(ks, 0, 1);
}

/* --- figures and checks ---------------------------------------------------- */

static void count_contents(struct keyspace_figures *figures, const struct contents *held)
{
    figures->bucket_bytes += dict_bytes(&held->dict);
    figures->expiry_bytes += expiry_bytes(&held->expiry);
    figures->entry_bytes += held->entry_bytes;
}

void keyspace_get_figures(const struct keyspace *ks, struct keyspace_figures *figures)
{
    *figures = (struct keyspace_figures){.hits = ks->hits, .misses = ks->misses, .expired = ks->expired};
    for (int i = 0; i < ks->database_count; i++) {
        count_contents(figures, &ks->databases[i].held);
        figures->is_resizing |= dict_is_sparse(&ks->databases[i].held.dict);
    }
    for (const struct grave *grave = ks->graves; grave; grave = grave->next)
        count_contents(figures, &grave->held);
}

void keyspace_reset_figures(struct keyspace *ks)
{
    ks->hits = ks->misses = ks->expired = 0;
}

struct check_walk {
    const struct contents *held;
    size_t entry_bytes, expiring;
};

static bool check_visit(void *context, void *item)
{
    struct check_walk *walk = context;
    const struct entry *e = item;
    entry_check(e);
    walk->entry_bytes += entry_allocated(e);
    if (entry_expiry_time(e) != EXPIRE_NONE) {
        walk->expiring++;
        CHECK(expiry_holds(&walk->held->expiry, e));
    }
    return true;
}

static void check_database(const struct keyspace *ks, int db)
{
    const struct database *d = database_at(ks, db);
    struct check_walk walk = {.held = &d->held};
    dict_check(&d->held.dict);
    expiry_check(&d->held.expiry);
    dict_walk(&d->held.dict, 0, UINT64_MAX, check_visit, &walk);
    CHECK(walk.entry_bytes == d->held.entry_bytes);
    CHECK(walk.expiring == expiry_count(&d->held.expiry));
    CHECK(d->due_at == expiry_next_due(&d->held.expiry));
    CHECK((d->due_position == NOT_DUE) == (d->due_at == INT64_MAX));
    if (d->due_position != NOT_DUE)
        CHECK(ks->due[d->due_position] == db);
}

void keyspace_check(struct keyspace *ks)
{
    int due_count = 0;
    for (int i = 0; i < ks->database_count; i++) {
        check_database(ks, i);
        due_count += ks->databases[i].due_position != NOT_DUE;
    }
    CHECK(due_count == ks->due_count);
    for (int i = 1; i < ks->due_count; i++)
        CHECK(is_due_before(ks, ks->due[(i - 1) / 2], ks->due[i]));
}
