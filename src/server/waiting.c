#include "server/waiting.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "server/server.h"

/* --- keys ----------------------------------------------------------------------- */

struct key_wanted {
    int db;
    struct slice key;
};

/* A secret of its own: the keyspace's may be replaced while clients wait. */
static uint64_t hash_name(const struct waiting *w, int db, struct slice key)
{
    return key_hash(&w->secret, key) + (uint64_t)db * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t hash_key(const void *context, const void *item)
{
    const struct waiting_key *key = item;
    return hash_name(context, key->db, slice_make(key->bytes, key->size));
}

static bool is_wanted(const void *item, const void *wanted)
{
    const struct waiting_key *key = item;
    const struct key_wanted *is = wanted;
    return key->db == is->db && slice_equal(slice_make(key->bytes, key->size), is->key);
}

static struct waiting_key *find_key(const struct waiting *w, int db, struct slice key)
{
    struct key_wanted wanted = {db, key};
    void **slot = dict_find(&w->keys, hash_name(w, db, key), is_wanted, &wanted);
    return slot ? *slot : NULL;
}

static void listen_if_needed(struct waiting *w, size_t keys_before)
{
    if (keys_before == 0 && dict_size(&w->keys) == 1)
        keyspace_listen(w->server->keyspace, &w->listener);
    else if (keys_before == 1 && dict_size(&w->keys) == 0)
        keyspace_unlisten(w->server->keyspace, &w->listener);
}

static struct waiting_key *add_key(struct waiting *w, int db, struct slice name)
{
    struct waiting_key *key = mem_calloc(1, sizeof *key + name.len);
    list_init(&key->places);
    key->db = db;
    key->size = name.len;
    if (name.len)
        memcpy(key->bytes, name.ptr, name.len);
    dict_insert(&w->keys, hash_name(w, db, name), key);
    listen_if_needed(w, dict_size(&w->keys) - 1);
    return key;
}

static void remove_key(struct waiting *w, struct waiting_key *key)
{
    struct key_wanted wanted = {key->db, slice_make(key->bytes, key->size)};
    uint64_t hash = hash_key(w, key);
    if (list_is_linked(&key->ready_link))
        list_remove(&key->ready_link);
    dict_remove(&w->keys, hash, dict_find(&w->keys, hash, is_wanted, &wanted));
    listen_if_needed(w, dict_size(&w->keys) + 1);
    mem_free(key);
}

void waiting_release(struct waiting *w, struct waiting_key *key)
{
    if (list_is_empty(&key->places) && !key->is_served)
        remove_key(w, key);
}

/* --- being told ------------------------------------------------------------------ */

void waiting_make_ready(struct waiting *w, struct waiting_key *key)
{
    if (!list_is_linked(&key->ready_link))
        list_append(&w->ready, &key->ready_link);
}

static void mark_ready(struct waiting *w, struct waiting_key *key)
{
    key->touches++;
    waiting_make_ready(w, key);
}

static void on_touch(void *context, int db, struct slice name)
{
    struct waiting *w = context;
    struct waiting_key *key = find_key(w, db, name);
    if (key)
        mark_ready(w, key);
}

struct swapping {
    struct waiting *w;
    int a, b;
};

static bool touch_swapped(void *context, void *item)
{
    struct swapping *swapping = context;
    struct waiting_key *key = item;
    if (key->db == swapping->a || key->db == swapping->b)
        mark_ready(swapping->w, key);
    return true;
}

static void on_swap(void *context, int a, int b)
{
    struct waiting *w = context;
    struct swapping swapping = {w, a, b};
    dict_walk(&w->keys, 0, UINT64_MAX, touch_swapped, &swapping);
}

static bool touch_item(void *context, void *item)
{
    mark_ready(context, item);
    return true;
}

void waiting_touch_all(struct waiting *w)
{
    dict_walk(&w->keys, 0, UINT64_MAX, touch_item, w);
}

void waiting_touch(struct waiting *w, const struct waiter *waiter)
{
    for (int i = 0; i < waiter->place_count; i++)
        mark_ready(w, waiter->places[i].key);
}

/* --- places ---------------------------------------------------------------------- */

static void count_place(struct waiting_key *key, const struct waiter *waiter, bool is_more)
{
    size_t one = is_more ? 1 : (size_t)-1;
    key->waiters[waiter->wait.type] += one;
    if (waiter->wait.type == VALUE_STREAM && waiter->row->route == ROUTE_WRITE)
        key->group_readers += one;
}

static bool is_there_already(const struct waiting_key *key, const struct waiter *waiter)
{
    const struct list_link *last = key->places.head.prev;
    return !list_is_empty(&key->places) && LIST_ENTRY(last, struct waiter_place, of_key)->waiter == waiter;
}

void waiting_enter(struct waiting *w, struct waiter *waiter)
{
    const struct call_wait *wait = &waiter->wait;
    int keys = (wait->last_key - wait->first_key) / wait->key_step + 1;
    CHECK(keys > 0);
    waiter->places = mem_calloc((size_t)keys, sizeof *waiter->places);
    for (int i = 0; i < keys; i++) {
        int argument = wait->first_key + i * wait->key_step;
        struct waiting_key *key = find_key(w, waiter->db, waiter->argv[argument]);
        if (!key)
            key = add_key(w, waiter->db, waiter->argv[argument]);
        if (is_there_already(key, waiter))
            continue;
        struct waiter_place *place = &waiter->places[waiter->place_count++];
        *place = (struct waiter_place){.key = key, .waiter = waiter, .argument = argument};
        list_append(&key->places, &place->of_key);
        count_place(key, waiter, true);
    }
}

void waiting_leave(struct waiting *w, struct waiter *waiter)
{
    for (int i = 0; i < waiter->place_count; i++) {
        struct waiting_key *key = waiter->places[i].key;
        list_remove(&waiter->places[i].of_key);
        count_place(key, waiter, false);
        waiting_release(w, key);
    }
    if (list_is_linked(&waiter->failed_link))
        list_remove(&waiter->failed_link);
    mem_free(waiter->places);
    waiter->places = NULL;
    waiter->place_count = 0;
}

/* --- life ------------------------------------------------------------------------ */

void waiting_init(struct waiting *w, struct server *server)
{
    *w = (struct waiting){.server = server};
    w->listener = (struct keyspace_listener){.context = w, .on_touch = on_touch, .on_wake = on_touch,
                                           .on_swap = on_swap};
    unsigned char seed[KEY_HASH_SEED_BYTES];
    random_from_system(seed, sizeof seed);
    key_hash_expand(&w->secret, seed);
    dict_init(&w->keys, hash_key, w);
    list_init(&w->ready);
    list_init(&w->failed);
}

void waiting_deinit(struct waiting *w)
{
    CHECK(dict_size(&w->keys) == 0);
    dict_deinit(&w->keys);
}

static bool check_key(void *context, void *item)
{
    const struct waiting_key *key = item;
    size_t places = 0, counted = 0, proposed = 0;
    LIST_FOR_EACH(&key->places, struct waiter_place, of_key, p) {
        CHECK(p->key == key);
        places++;
        proposed += p->waiter->proposed_for == key;
    }
    for (int i = 0; i < WAITING_TYPES; i++)
        counted += key->waiters[i];
    CHECK(places > 0 || key->is_served);
    CHECK(places == counted);
    CHECK(proposed == key->proposed);
    (void)context;
    return true;
}

void waiting_check(const struct waiting *w)
{
    dict_check(&w->keys);
    dict_walk(&w->keys, 0, UINT64_MAX, check_key, NULL);
}
