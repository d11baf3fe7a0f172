#include "store/watch.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/list.h"
#include "base/little_endian.h"
#include "base/varint.h"
#include "store/dict.h"
#include "store/value.h"

/* A watcher's interest in a key. */
struct place {
    struct list_link of_watcher, of_key;
    struct watcher *watcher;
    struct watched *key;
    bool was_expired; /* when it was watched, and it is still stored */
};

struct watched {
    struct list places;
    size_t place_count;
    int db;
    size_t size;
    char bytes[];
};

struct watcher {
    struct watcher_id id;
    struct list places;
    size_t place_count;
    bool is_touched;
    struct watcher *next_touched; /* only while a change is worked off */
};

struct watches {
    struct keyspace *ks;
    struct keyspace_listener listener;
    bool is_listening;
    struct key_hash_secret secret; /* of this table: the keyspace's may be replaced */
    struct dict watchers, keys;
    size_t place_count, key_bytes;
};

/* --- identities -------------------------------------------------------------- */

void watcher_id_put(const struct watcher_id *id, char bytes[static WATCHER_ID_BYTES])
{
    char *at = put_le(bytes, id->member, 2);
    at = put_le(at, id->life, 8);
    put_le(at, id->number, 8);
}

bool watcher_id_get(struct slice bytes, struct watcher_id *id)
{
    if (bytes.len != WATCHER_ID_BYTES)
        return false;
    *id = (struct watcher_id){.member = (uint16_t)get_le(bytes.ptr, 2),
                              .life = get_le(bytes.ptr + 2, 8),
                              .number = get_le(bytes.ptr + 10, 8)};
    return true;
}

static bool is_same_id(const struct watcher_id *a, const struct watcher_id *b)
{
    return a->number == b->number && a->life == b->life && a->member == b->member;
}

/* --- the two tables ---------------------------------------------------------- */

struct key_wanted {
    int db;
    struct slice key;
};

static uint64_t hash_key(const struct watches *w, int db, struct slice key)
{
    return key_hash(&w->secret, key) + (uint64_t)db * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t hash_id(const struct watches *w, const struct watcher_id *id)
{
    char bytes[WATCHER_ID_BYTES];
    watcher_id_put(id, bytes);
    return key_hash(&w->secret, slice_make(bytes, sizeof bytes));
}

static uint64_t hash_watched(const void *context, const void *item)
{
    const struct watched *key = item;
    return hash_key(context, key->db, slice_make(key->bytes, key->size));
}

static uint64_t hash_watcher(const void *context, const void *item)
{
    return hash_id(context, &((const struct watcher *)item)->id);
}

static bool is_wanted_key(const void *item, const void *wanted)
{
    const struct watched *key = item;
    const struct key_wanted *is = wanted;
    return key->db == is->db && slice_equal(slice_make(key->bytes, key->size), is->key);
}

static bool is_wanted_watcher(const void *item, const void *wanted)
{
    return is_same_id(&((const struct watcher *)item)->id, wanted);
}

static struct watched *find_key(const struct watches *w, int db, struct slice key)
{
    struct key_wanted wanted = {db, key};
    void **slot = dict_find(&w->keys, hash_key(w, db, key), is_wanted_key, &wanted);
    return slot ? *slot : NULL;
}

static struct watcher *find_watcher(const struct watches *w, const struct watcher_id *id)
{
    void **slot = dict_find(&w->watchers, hash_id(w, id), is_wanted_watcher, id);
    return slot ? *slot : NULL;
}

/* --- places ------------------------------------------------------------------ */

static void listen_if_needed(struct watches *w)
{
    bool should = w->place_count > 0;
    if (should == w->is_listening)
        return;
    w->is_listening = should;
    if (should)
        keyspace_listen(w->ks, &w->listener);
    else
        keyspace_unlisten(w->ks, &w->listener);
}

static void remove_key(struct watches *w, struct watched *key)
{
    struct key_wanted wanted = {key->db, slice_make(key->bytes, key->size)};
    uint64_t hash = hash_watched(w, key);
    dict_remove(&w->keys, hash, dict_find(&w->keys, hash, is_wanted_key, &wanted));
    mem_free(key);
}

static void remove_places(struct watches *w, struct watcher *watcher)
{
    LIST_FOR_EACH(&watcher->places, struct place, of_watcher, p) {
        list_remove(&p->of_watcher);
        list_remove(&p->of_key);
        w->key_bytes -= p->key->size;
        w->place_count--;
        if (--p->key->place_count == 0)
            remove_key(w, p->key);
        mem_free(p);
    }
    watcher->place_count = 0;
}

static void remove_watcher(struct watches *w, struct watcher *watcher)
{
    remove_places(w, watcher);
    uint64_t hash = hash_watcher(w, watcher);
    dict_remove(&w->watchers, hash, dict_find(&w->watchers, hash, is_wanted_watcher, &watcher->id));
    mem_free(watcher);
    listen_if_needed(w);
}

/* Walks the shorter of the two lists. */
static bool has_place(const struct watcher *watcher, const struct watched *key)
{
    if (watcher->place_count < key->place_count) {
        LIST_FOR_EACH(&watcher->places, struct place, of_watcher, p) {
            if (p->key == key)
                return true;
        }
    } else {
        LIST_FOR_EACH(&key->places, struct place, of_key, p) {
            if (p->watcher == watcher)
                return true;
        }
    }
    return false;
}

static struct watcher *add_watcher(struct watches *w, const struct watcher_id *id)
{
    struct watcher *watcher = mem_calloc(1, sizeof *watcher);
    watcher->id = *id;
    list_init(&watcher->places);
    dict_insert(&w->watchers, hash_id(w, id), watcher);
    return watcher;
}

static struct watched *add_key(struct watches *w, int db, struct slice key)
{
    struct watched *watched = mem_calloc(1, sizeof *watched + key.len);
    list_init(&watched->places);
    watched->db = db;
    watched->size = key.len;
    if (key.len)
        memcpy(watched->bytes, key.ptr, key.len);
    dict_insert(&w->keys, hash_key(w, db, key), watched);
    return watched;
}

static bool add_place(struct watches *w, struct watcher *watcher, int db, struct slice key, bool was_expired)
{
    struct watched *watched = find_key(w, db, key);
    if (watched && has_place(watcher, watched))
        return true;
    if (w->place_count >= WATCH_PLACES_MAX || key.len > WATCH_BYTES_MAX - w->key_bytes)
        return false;
    if (!watched)
        watched = add_key(w, db, key);
    struct place *place = mem_calloc(1, sizeof *place);
    place->watcher = watcher;
    place->key = watched;
    place->was_expired = was_expired;
    list_append(&watcher->places, &place->of_watcher);
    list_append(&watched->places, &place->of_key);
    watcher->place_count++;
    watched->place_count++;
    w->place_count++;
    w->key_bytes += key.len;
    listen_if_needed(w);
    return true;
}

bool watch_add(struct watches *w, const struct watcher_id *id, int db, struct slice key)
{
    struct watcher *watcher = find_watcher(w, id), *fresh = NULL;
    if (!watcher)
        watcher = fresh = add_watcher(w, id);
    if (watcher->is_touched)
        return true;
    bool is_added = add_place(w, watcher, db, key, keyspace_presence(w->ks, db, key) == KEY_EXPIRED);
    if (!is_added && fresh)
        remove_watcher(w, fresh);
    return is_added;
}

/* --- changes ----------------------------------------------------------------- */

/* Watchers a change concerns: told apart from taking their places away, since
 * that changes the lists and tables being walked. */
static void touch(struct watcher **touched, struct watcher *watcher)
{
    if (watcher->is_touched)
        return;
    watcher->is_touched = true;
    watcher->next_touched = *touched;
    *touched = watcher;
}

static void release_touched(struct watches *w, struct watcher *touched)
{
    for (; touched; touched = touched->next_touched)
        remove_places(w, touched);
    listen_if_needed(w);
}

static void on_touch(void *context, int db, struct slice key)
{
    struct watches *w = context;
    struct watched *watched = find_key(w, db, key);
    if (!watched)
        return;
    struct watcher *touched = NULL;
    enum keyspace_presence presence = keyspace_presence(w->ks, db, key);
    LIST_FOR_EACH(&watched->places, struct place, of_key, p) {
        if (!p->was_expired || presence == KEY_PRESENT)
            touch(&touched, p->watcher);
        else if (presence == KEY_ABSENT)
            p->was_expired = false; /* what was not there for anybody is gone */
    }
    release_touched(w, touched);
}

/* Database from is about to be replaced by to, or emptied. */
struct swap {
    struct keyspace *ks;
    int from, to; /* to -1: emptied */
    struct watcher *touched;
};

static bool is_changed_by_swap(struct place *p, enum keyspace_presence before, enum keyspace_presence after)
{
    if (before == KEY_ABSENT && after == KEY_ABSENT)
        return false;
    if (p->was_expired && after != KEY_PRESENT) {
        p->was_expired = after == KEY_EXPIRED;
        return false;
    }
    if (before == KEY_ABSENT && after == KEY_EXPIRED) {
        p->was_expired = true;
        return false;
    }
    return true;
}

static bool swap_key(void *context, void *item)
{
    struct swap *swap = context;
    struct watched *key = item;
    if (key->db != swap->from)
        return true;
    struct slice name = slice_make(key->bytes, key->size);
    enum keyspace_presence before = keyspace_presence(swap->ks, swap->from, name);
    enum keyspace_presence after = swap->to < 0 ? KEY_ABSENT : keyspace_presence(swap->ks, swap->to, name);
    LIST_FOR_EACH(&key->places, struct place, of_key, p) {
        if (is_changed_by_swap(p, before, after))
            touch(&swap->touched, p->watcher);
    }
    return true;
}

static void swap_one(struct watches *w, int from, int to)
{
    struct swap swap = {.ks = w->ks, .from = from, .to = to};
    dict_walk(&w->keys, 0, UINT64_MAX, swap_key, &swap);
    release_touched(w, swap.touched);
}

static void on_swap(void *context, int a, int b)
{
    struct watches *w = context;
    if (a == b) {
        swap_one(w, a, -1);
    } else {
        swap_one(w, a, b);
        swap_one(w, b, a);
    }
}

/* --- asking and dropping ------------------------------------------------------ */

/* A key that expired since, though nothing has removed it yet. */
static bool has_expired_since(const struct watches *w, const struct watcher *watcher)
{
    LIST_FOR_EACH(&watcher->places, struct place, of_watcher, p) {
        if (!p->was_expired &&
            keyspace_presence(w->ks, p->key->db, slice_make(p->key->bytes, p->key->size)) == KEY_EXPIRED)
            return true;
    }
    return false;
}

enum watch_verdict watch_verdict(const struct watches *w, const struct watcher_id *id)
{
    const struct watcher *watcher = find_watcher(w, id);
    if (!watcher)
        return WATCH_UNKNOWN;
    return watcher->is_touched || has_expired_since(w, watcher) ? WATCH_TOUCHED : WATCH_CLEAN;
}

void watch_drop(struct watches *w, const struct watcher_id *id)
{
    struct watcher *watcher = find_watcher(w, id);
    if (watcher)
        remove_watcher(w, watcher);
}

struct dropping {
    const struct watcher_id *kept; /* NULL: none */
    struct watcher *dropped;
};

static bool choose_dropped(void *context, void *item)
{
    struct dropping *dropping = context;
    struct watcher *watcher = item;
    const struct watcher_id *kept = dropping->kept;
    if (kept && (watcher->id.member != kept->member ||
                 (watcher->id.life == kept->life && watcher->id.number > kept->number)))
        return true;
    watcher->next_touched = dropping->dropped;
    dropping->dropped = watcher;
    return true;
}

static void drop_but(struct watches *w, const struct watcher_id *kept)
{
    struct dropping dropping = {.kept = kept};
    dict_walk(&w->watchers, 0, UINT64_MAX, choose_dropped, &dropping);
    while (dropping.dropped) {
        struct watcher *watcher = dropping.dropped;
        dropping.dropped = watcher->next_touched;
        remove_watcher(w, watcher);
    }
}

void watch_drop_others(struct watches *w, uint16_t member, uint64_t life, uint64_t upto)
{
    drop_but(w, &(struct watcher_id){member, life, upto});
}

void watch_drop_all(struct watches *w)
{
    drop_but(w, NULL);
}

/* --- life and looking --------------------------------------------------------- */

struct watches *watches_create(struct keyspace *ks)
{
    struct watches *w = mem_calloc(1, sizeof *w);
    w->ks = ks;
    w->listener = (struct keyspace_listener){.context = w, .on_touch = on_touch, .on_swap = on_swap};
    w->secret = keyspace_env(ks)->secret;
    dict_init(&w->watchers, hash_watcher, w);
    dict_init(&w->keys, hash_watched, w);
    return w;
}

void watches_free(struct watches *w)
{
    watch_drop_all(w);
    dict_deinit(&w->watchers);
    dict_deinit(&w->keys);
    mem_free(w);
}

size_t watch_watcher_count(const struct watches *w)
{
    return dict_size(&w->watchers);
}

size_t watch_key_count(const struct watches *w)
{
    return dict_size(&w->keys);
}

struct visiting {
    void (*visit)(void *context, const struct watcher_id *id);
    void *context;
};

static bool visit_watcher(void *context, void *item)
{
    const struct visiting *visiting = context;
    visiting->visit(visiting->context, &((const struct watcher *)item)->id);
    return true;
}

void watch_each(const struct watches *w, void (*visit)(void *context, const struct watcher_id *id), void *context)
{
    struct visiting visiting = {visit, context};
    dict_walk(&w->watchers, 0, UINT64_MAX, visit_watcher, &visiting);
}

/* --- bytes -------------------------------------------------------------------- */

static void write_number(struct buf *out, uint64_t number)
{
    char *at = buf_reserve(out, VARINT_MAX);
    buf_extend(out, (size_t)(varint_write(at, number) - at));
}

static bool write_watcher(void *context, void *item)
{
    struct buf *out = context;
    const struct watcher *watcher = item;
    char id[WATCHER_ID_BYTES];
    watcher_id_put(&watcher->id, id);
    buf_append(out, id, sizeof id);
    buf_append(out, watcher->is_touched ? "\1" : "", 1);
    write_number(out, watcher->place_count);
    LIST_FOR_EACH(&watcher->places, struct place, of_watcher, p) {
        write_number(out, (uint64_t)p->key->db);
        buf_append(out, p->was_expired ? "\1" : "", 1);
        write_number(out, p->key->size);
        buf_append(out, p->key->bytes, p->key->size);
    }
    return true;
}

void watches_write(const struct watches *w, struct buf *out)
{
    write_number(out, dict_size(&w->watchers));
    dict_walk(&w->watchers, 0, UINT64_MAX, write_watcher, out);
}

static bool read_flag(const char **at, const char *end, bool *flag)
{
    if (*at == end || (unsigned char)**at > 1)
        return false;
    *flag = *(*at)++;
    return true;
}

static bool read_number(const char **at, const char *end, uint64_t max, uint64_t *number)
{
    const char *next = varint_read(*at, end, number);
    if (!next || *number > max)
        return false;
    *at = next;
    return true;
}

static bool read_place(struct watches *w, struct watcher *watcher, const char **at, const char *end)
{
    uint64_t db, size;
    bool was_expired;
    if (!read_number(at, end, (uint64_t)keyspace_database_count(w->ks) - 1, &db) || !read_flag(at, end, &was_expired) ||
        !read_number(at, end, UINT64_MAX, &size) || size > (uint64_t)(end - *at))
        return false;
    struct slice key = slice_make(*at, size);
    *at += size;
    size_t places = w->place_count;
    return add_place(w, watcher, (int)db, key, was_expired) && w->place_count > places;
}

static bool read_watcher(struct watches *w, const char **at, const char *end)
{
    struct watcher_id id;
    uint64_t places;
    bool is_touched;
    if (end - *at < WATCHER_ID_BYTES || !watcher_id_get(slice_make(*at, WATCHER_ID_BYTES), &id) || find_watcher(w, &id))
        return false;
    *at += WATCHER_ID_BYTES;
    if (!read_flag(at, end, &is_touched) || !read_number(at, end, is_touched ? 0 : WATCH_PLACES_MAX, &places))
        return false;
    struct watcher *watcher = add_watcher(w, &id);
    watcher->is_touched = is_touched;
    for (uint64_t i = 0; i < places; i++)
        if (!read_place(w, watcher, at, end))
            return false;
    return true;
}

bool watches_read(struct watches *w, const char **at, const char *end)
{
    uint64_t count;
    watch_drop_all(w);
    /* Each takes more than a byte, so a false count soon meets the end. */
    if (!read_number(at, end, UINT64_MAX, &count))
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (read_watcher(w, at, end))
            continue;
        watch_drop_all(w);
        return false;
    }
    return true;
}

/* --- checking ------------------------------------------------------------------ */

struct counts {
    size_t places, bytes;
};

static bool check_watcher(void *context, void *item)
{
    struct counts *counts = context;
    struct watcher *watcher = item;
    size_t places = 0;
    LIST_FOR_EACH(&watcher->places, struct place, of_watcher, p) {
        CHECK(p->watcher == watcher);
        CHECK(list_is_linked(&p->of_key));
        places++;
        counts->bytes += p->key->size;
    }
    CHECK(places == watcher->place_count);
    CHECK(!watcher->is_touched || places == 0);
    counts->places += places;
    return true;
}

static bool check_key(void *context, void *item)
{
    struct counts *counts = context;
    struct watched *key = item;
    size_t places = 0;
    LIST_FOR_EACH(&key->places, struct place, of_key, p) {
        CHECK(p->key == key);
        places++;
    }
    CHECK(places > 0);
    CHECK(places == key->place_count);
    counts->places += places;
    return true;
}

void watches_check(const struct watches *w)
{
    struct counts by_watcher = {0}, by_key = {0};
    dict_check(&w->watchers);
    dict_check(&w->keys);
    dict_walk(&w->watchers, 0, UINT64_MAX, check_watcher, &by_watcher);
    dict_walk(&w->keys, 0, UINT64_MAX, check_key, &by_key);
    CHECK(by_watcher.places == w->place_count);
    CHECK(by_key.places == w->place_count);
    CHECK(by_watcher.bytes == w->key_bytes);
    CHECK(w->is_listening == (w->place_count > 0));
}
