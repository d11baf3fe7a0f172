/* The data: 16 (or more) numbered databases of keys, their values and expiry.
 *
 * Deterministic: keyspaces that saw the same calls in the same order hold the
 * same data, whatever their hash secret, addresses or clocks.  Time enters
 * only through keyspace_advance; nothing a caller can observe and replicate
 * depends on bucket order (scan and random choice do, and are local reads).
 *
 * Ownership: the keyspace owns every entry.  A struct entry pointer and every
 * slice into an entry live until the next call that may change the keyspace.
 * Keys and values passed in are copied.
 *
 * Expired keys: a key whose time is at or before logical time is absent for
 * every find, scan and random choice, though it stays counted and stored until
 * it is removed: by keyspace_expire_due, or by a write that touches it (both
 * run on all replicas alike).  Reads never remove.
 *
 * Layout, costs and the reasons for both: entry.h, dict.h, expiry.h. */
#ifndef STORE_KEYSPACE_H
#define STORE_KEYSPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/slice.h"

enum value_type {
    VALUE_STRING, /* the order is that of snapshots: never changed */
    VALUE_LIST,
    VALUE_SET,
    VALUE_ZSET,
    VALUE_HASH,
    VALUE_STREAM,
};

/* What OBJECT ENCODING reports; the thresholds are Redis's. */
enum value_encoding {
    ENCODING_INT,
    ENCODING_EMBSTR, /* at most 44 bytes, never edited in place */
    ENCODING_RAW,
    ENCODING_LISTPACK,   /* hash, zset: one block */
    ENCODING_HASHTABLE,  /* hash, set */
    ENCODING_INTSET,     /* set: one sorted block */
    ENCODING_SMALL_SET,  /* set: one block of strings; "hashtable" to clients, since Redis 7.0 has no such form */
    ENCODING_SKIPLIST,   /* zset: a counted tree here */
    ENCODING_SMALL_LIST, /* list: one block; "quicklist" to clients, as above */
    ENCODING_QUICKLIST,
    ENCODING_STREAM,
};

/* A value that is no string: where it is and in which form (value.h). */
struct value {
    void *at;
    enum value_encoding encoding;
};
struct value_env;
struct settings;

#define EXPIRE_NONE INT64_C(-1)
/* For keyspace_set: leave the expiry as it is. */
#define EXPIRE_KEEP INT64_C(-2)

struct keyspace;
struct entry;

/* Told of each change as it is made, for notifications and feeds.  name is a
 * static string ("set", "expired", ...); key is borrowed for the call.  The
 * callback must not touch the keyspace. */
enum keyspace_event_class { /* bit per class of notify-keyspace-events */
    EVENT_GENERIC = 1 << 0,
    EVENT_STRING = 1 << 1,
    EVENT_LIST = 1 << 2,
    EVENT_SET = 1 << 3,
    EVENT_HASH = 1 << 4,
    EVENT_ZSET = 1 << 5,
    EVENT_EXPIRED = 1 << 6,
    EVENT_EVICTED = 1 << 7,
    EVENT_STREAM = 1 << 8,
    EVENT_NEW = 1 << 9,
    EVENT_KEY_MISS = 1 << 10,
    EVENT_MODULE = 1 << 11,
};
typedef void keyspace_event_fn(void *context, enum keyspace_event_class event_class, const char *name,
                               int db, struct slice key);

struct keyspace_options {
    int database_count;           /* 1..10000 */
    unsigned char hash_secret[16]; /* against flooding; the same on all members of a cluster, so that SCAN
                                      cursors are good on every replica */
    keyspace_event_fn *on_event;  /* may be NULL */
    void *event_context;
};

struct keyspace *keyspace_create(const struct keyspace_options *options);
void keyspace_free(struct keyspace *ks);
/* Another secret, once the members of a cluster have agreed on one.  Only while
 * no key is held. */
void keyspace_set_hash_secret(struct keyspace *ks, const unsigned char secret[static 16]);
int keyspace_database_count(const struct keyspace *ks);

/* --- time ---------------------------------------------------------------- */

/* Logical time, unix milliseconds: max of what it was and now_ms. */
void keyspace_advance(struct keyspace *ks, int64_t now_ms);
int64_t keyspace_now(const struct keyspace *ks);
/* The earliest expiry of any key, INT64_MAX if none.  O(1). */
int64_t keyspace_next_due(const struct keyspace *ks);
/* Removes at most limit keys that are due, in order of (expiry, database, key
 * bytes): the same keys on every replica.  Returns how many. */
size_t keyspace_expire_due(struct keyspace *ks, size_t limit);
/* DEBUG SET-ACTIVE-EXPIRE: when off, keyspace_expire_due removes nothing. */
void keyspace_set_active_expire(struct keyspace *ks, bool is_on);
bool keyspace_is_active_expire(const struct keyspace *ks);

/* --- finding ------------------------------------------------------------- */

/* NULL if absent or expired.  find counts a hit or miss and notes the access
 * (access clock or frequency, local, never replicated), access does so even while
 * accesses go unnoticed; look only counts; peek does neither. */
struct entry *keyspace_find(struct keyspace *ks, int db, struct slice key);
struct entry *keyspace_access(struct keyspace *ks, int db, struct slice key);
struct entry *keyspace_look(struct keyspace *ks, int db, struct slice key);
struct entry *keyspace_peek(struct keyspace *ks, int db, struct slice key);
/* For commands that will write: like find, but an expired key is removed
 * first, with its "expired" event.  Does not count hits or misses. */
struct entry *keyspace_find_for_write(struct keyspace *ks, int db, struct slice key);
/* Whether a key is stored at all, and if so whether its time has come. */
enum keyspace_presence { KEY_ABSENT, KEY_EXPIRED, KEY_PRESENT };
enum keyspace_presence keyspace_presence(const struct keyspace *ks, int db, struct slice key);

enum value_type entry_type(const struct entry *e);
enum value_encoding entry_encoding(const struct entry *e);
struct slice entry_key(const struct entry *e);
int64_t entry_expire_at(const struct entry *e); /* unix ms or EXPIRE_NONE */
/* Seconds and count for OBJECT IDLETIME and OBJECT FREQ. */
int64_t entry_idle_seconds(const struct keyspace *ks, const struct entry *e);
unsigned entry_frequency(const struct keyspace *ks, const struct entry *e);
/* Bytes this key occupies, its share of the index included; of a collection up
 * to samples members are looked at (0: all). */
size_t entry_memory(const struct entry *e, size_t samples);

/* The bytes of a string value; an integer is rendered into scratch. */
struct slice entry_string(const struct entry *e, char scratch[static INT64_TEXT_MAX]);
size_t entry_string_length(const struct entry *e);
/* True if the value is held as an integer. */
bool entry_int(const struct entry *e, int64_t *value);

/* The value of an entry whose type is not VALUE_STRING, and back again, after
 * it was changed.  The entry stays where it is.  put never frees. */
struct value entry_value(const struct entry *e);
void entry_put_value(struct entry *e, struct value v);

/* --- changing ------------------------------------------------------------ *
 * None of these emits an event but "expired" of a key they find expired, "del"
 * never: names of events are the command's business (keyspace_notify). */

/* Sets a string value in its smallest form (integer, embedded, plain),
 * replacing a value of any type.  expire_at: unix ms, EXPIRE_NONE, EXPIRE_KEEP;
 * a time before 1970 counts as 0, here and in keyspace_set_expire. */
struct entry *keyspace_set(struct keyspace *ks, int db, struct slice key, struct slice value, int64_t expire_at);
/* The same, but never as an integer, whatever value spells (INCRBYFLOAT). */
struct entry *keyspace_set_text(struct keyspace *ks, int db, struct slice key, struct slice value,
                                int64_t expire_at);
/* Sets an integer value, keeping the expiry. */
struct entry *keyspace_set_int(struct keyspace *ks, int db, struct slice key, int64_t value);
/* The same for an entry just found that holds an integer already: no lookup,
 * and the entry stays where it is. */
void keyspace_edit_int(struct keyspace *ks, struct entry *e, int64_t value);
/* Makes the string value of key exactly size bytes, plain (ENCODING_RAW), the
 * old bytes kept, new ones zero, and returns them for writing; creates the key
 * if absent.  Growth is amortised.  The key must not hold another type.  The
 * bytes live until the next call.  Whoever changes them touches the key. */
char *keyspace_edit_string(struct keyspace *ks, int db, struct slice key, size_t size);
/* Gives key a value of a type other than string, replacing what is there.
 * Takes v.  expire_at as keyspace_set. */
struct entry *keyspace_set_value(struct keyspace *ks, int db, struct slice key, enum value_type type,
                                 struct value v, int64_t expire_at);
/* True if the key was there (and not expired). */
bool keyspace_delete(struct keyspace *ks, int db, struct slice key);
/* expire_at unix ms (may lie in the past) or EXPIRE_NONE.  False if absent. */
bool keyspace_set_expire(struct keyspace *ks, int db, struct slice key, int64_t expire_at);
/* Moves value and expiry to another name and database, replacing what is
 * there.  False if from is absent.  Source and target may be equal. */
bool keyspace_rename(struct keyspace *ks, int from_db, struct slice from, int to_db, struct slice to);
/* The same, leaving the source in place; encoding is kept. */
bool keyspace_copy(struct keyspace *ks, int from_db, struct slice from, int to_db, struct slice to);
void keyspace_swap(struct keyspace *ks, int a, int b);
/* db -1: all.  Returns the number of keys removed.  is_async: memory is given
 * back little by little (keyspace_reclaim), without a pause. */
size_t keyspace_flush(struct keyspace *ks, int db, bool is_async);

/* --- settings that shape data ---------------------------------------------- */

const struct value_env *keyspace_env(const struct keyspace *ks);
const struct settings *keyspace_settings(const struct keyspace *ks);
/* DEBUG QUICKLIST-PACKED-THRESHOLD; 0: none.  Shapes nodes of lists, which is
 * nothing a digest sees, and is not kept in snapshots. */
void keyspace_set_list_packed_threshold(struct keyspace *ks, size_t bytes);
/* setting is an enum setting, value within its bounds.  It counts as agreed
 * from then on. */
void keyspace_set_setting(struct keyspace *ks, int setting, int64_t value);
/* All of them, from a snapshot. */
void keyspace_replace_settings(struct keyspace *ks, const struct settings *settings);

/* --- being told ------------------------------------------------------------ *
 * WATCH and blocked clients need to know of changes whatever command made
 * them.  Every function above that changes a key tells of it, but for those that
 * hand out a value to be changed in place: whoever does so calls
 * keyspace_touch.  A call costs a test of a pointer
 * while nobody listens. */
struct keyspace_listener {
    void *context;
    /* The key was changed, created or removed. */
    void (*on_touch)(void *context, int db, struct slice key);
    /* Not changed, but who waits for it is to look again; may be NULL. */
    void (*on_wake)(void *context, int db, struct slice key);
    /* Two databases changed places, or one was emptied (b equals a).  Before it
     * happens. */
    void (*on_swap)(void *context, int a, int b);
};
/* At most KEYSPACE_LISTENERS_MAX at a time, each borrowed until it is taken
 * back.  A listener may come and go inside a callback of its own. */
enum { KEYSPACE_LISTENERS_MAX = 4 };
void keyspace_listen(struct keyspace *ks, const struct keyspace_listener *listener);
void keyspace_unlisten(struct keyspace *ks, const struct keyspace_listener *listener);
void keyspace_touch(struct keyspace *ks, int db, struct slice key);
void keyspace_wake(struct keyspace *ks, int db, struct slice key);

/* --- watched keys (watch.h) ------------------------------------------------- */

struct watches;
struct watches *keyspace_watches(struct keyspace *ks);
struct marks; /* marks.h */
struct marks *keyspace_marks(struct keyspace *ks);

/* --- events -------------------------------------------------------------- */

void keyspace_notify(struct keyspace *ks, enum keyspace_event_class event_class, const char *name, int db,
                     struct slice key);
/* Changes counted since creation (what INFO calls dirty). */
uint64_t keyspace_changes(const struct keyspace *ks);
void keyspace_count_changes(struct keyspace *ks, uint64_t count);

/* --- looking at all ------------------------------------------------------ */

size_t keyspace_size(const struct keyspace *ks, int db);
size_t keyspace_expiring(const struct keyspace *ks, int db);

/* SCAN: visits about count keys beginning at cursor (0 at first), returns the
 * next cursor, 0 at the end.  Every key present from beginning to end of a
 * full iteration is visited at least once, however the table was resized
 * meanwhile.  Expired keys are passed over.  visit must not change the
 * keyspace.  Cost: O(count), empty buckets bounded by 10 * count. */
typedef void keyspace_visit_fn(void *context, struct entry *e);
uint64_t keyspace_scan(struct keyspace *ks, int db, uint64_t cursor, size_t count, keyspace_visit_fn *visit,
                       void *context);
/* Every key, expired ones passed over, in one go. */
void keyspace_each(struct keyspace *ks, int db, keyspace_visit_fn *visit, void *context);
/* A key chosen uniformly enough for RANDOMKEY, NULL if there is none that is
 * not expired.  Depends on bucket order: for local reads only. */
struct entry *keyspace_random(struct keyspace *ks, int db, struct random *random);

/* --- all data, out and in (snapshots) ------------------------------------- */

/* A key with all that is said of it but its access clock. */
struct keyspace_item {
    enum value_type type;
    enum value_encoding encoding;
    int64_t expire_at;            /* unix ms from 0 on, or EXPIRE_NONE */
    struct slice key;
    int64_t integer;              /* the value if the encoding is ENCODING_INT */
    struct slice bytes;           /* otherwise; of a collection, its first part (value.h) */
    bool goes_on;                 /* that part is not the last */
};
/* Borrows from the entry.  bytes is empty for what is no string. */
struct keyspace_item entry_item(const struct entry *e);
/* False for what no entry can be: an encoding or an expiry out of range. */
bool keyspace_item_is_valid(const struct keyspace_item *item);

/* Every key that is stored, expired ones included, in the order of hashes:
 * with the same secret, the order in which keyspace_add is cheapest.  visit
 * returns false to stop the walk, which then returns false. */
typedef bool keyspace_walk_fn(void *context, const struct entry *e);
bool keyspace_walk(const struct keyspace *ks, int db, keyspace_walk_fn *visit, void *context);
/* Room for count keys in a database that holds none, so that keyspace_add need
 * not grow it; in the order of hashes it must not, or chains become long.
 * Cost: address space; pages appear when touched. */
void keyspace_reserve(struct keyspace *ks, int db, size_t count);
/* Adds a string as the item says, expired or not; hash is keyspace_hash of its
 * key.  NULL if a key of that name is stored already. */
struct entry *keyspace_add(struct keyspace *ks, int db, uint64_t hash, const struct keyspace_item *item);
/* The same with a value of another type, which it takes; NULL leaves it. */
struct entry *keyspace_add_value(struct keyspace *ks, int db, uint64_t hash, const struct keyspace_item *item,
                                 struct value v);

/* --- digests ------------------------------------------------------------- *
 * 128 bits over databases, keys, values, types and expiry; independent of
 * order, encoding, hash secret and access clocks. */
struct digest {
    uint64_t low, high;
};
/* Whole data.  Cost: O(bytes held). */
struct digest keyspace_digest(struct keyspace *ks);
/* One key (DEBUG DIGEST-VALUE). */
struct digest keyspace_entry_digest(int db, const struct entry *e);
/* The same for whatever key and database hold that value and expiry. */
struct digest keyspace_value_digest(const struct entry *e);
/* The keys whose hash falls into part part of part_count (a power of two, up
 * to 65536), all databases: lets replicas compare their data piece by piece.
 * The hash is the keyed one, so parts compare only between keyspaces with the
 * same hash secret (their sum over all parts is keyspace_digest in any case).
 * A part is a run of neighbouring buckets: cost O(keys / part_count). */
struct digest keyspace_digest_part(struct keyspace *ks, uint32_t part, uint32_t part_count);

/* --- speed --------------------------------------------------------------- *
 * For a run of commands at hand: hash all keys and prefetch their buckets,
 * then prefetch the entries, then run; each step hides the misses of the one
 * before.  hint spares the command's lookup the second hash: the next find or
 * change whose key.ptr and length equal key's uses hash, and uses it up.  The
 * hint is void once the bytes at key.ptr change: set another or an empty one
 * then. */
uint64_t keyspace_hash(const struct keyspace *ks, struct slice key);
void keyspace_prefetch_bucket(const struct keyspace *ks, int db, uint64_t hash);
void keyspace_prefetch_entry(const struct keyspace *ks, int db, uint64_t hash);
void keyspace_hint(struct keyspace *ks, struct slice key, uint64_t hash);

/* Housekeeping in small steps: moves some buckets of a table that is being
 * resized, frees some memory of flushed databases.  Returns false when there
 * is nothing left to do.  Bounded by about budget_us microseconds of work
 * (counted in items, not with a clock). */
bool keyspace_reclaim(struct keyspace *ks, unsigned budget_us);

struct keyspace_figures {
    uint64_t hits, misses, expired;
    size_t bucket_bytes, entry_bytes; /* flushed data not yet freed included */
    size_t expiry_bytes;
    bool is_resizing;
};
void keyspace_get_figures(const struct keyspace *ks, struct keyspace_figures *figures);
void keyspace_reset_figures(struct keyspace *ks);

/* Access clock and policy, local to this replica. */
void keyspace_set_access_clock(struct keyspace *ks, int64_t wall_ms);
void keyspace_set_lfu(struct keyspace *ks, bool is_lfu);
/* While set, finding and changing a key leaves its access clock and frequency as
 * they are (CLIENT NO-TOUCH); a new key is born accessed now all the same. */
void keyspace_set_unnoticed(struct keyspace *ks, bool is_unnoticed);
bool keyspace_is_lfu(const struct keyspace *ks);
/* As if the last access lay so far back, or with that count (0 to 255); without
 * effect where the policy knows only the other. */
void keyspace_set_idle(struct keyspace *ks, struct entry *e, int64_t seconds);
void keyspace_set_frequency(struct keyspace *ks, struct entry *e, unsigned count);

/* Walks everything against the invariants of dict.h, entry.h and expiry.h and
 * aborts where one does not hold.  Cost: O(keys). */
void keyspace_check(struct keyspace *ks);

#endif
