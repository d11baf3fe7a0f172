#include "store/hash_value.h"

#include "base/alloc.h"
#include "base/check.h"
#include "store/digest.h"
#include "store/hash_table.h"
#include "store/listpack.h"
#include "store/part_text.h"
#include "store/twins.h"

enum {
    /* What a pair's two elements take in a listpack beyond their texts, at most. */
    PAIR_OVERHEAD_MAX = 20,
    /* The most pairs a stranger's number makes us reserve room for, 230 MB of address space.  A larger hash
     * loads all the same, its chains longer until it has come. */
    RESERVE_MAX = 1 << 24,
};

static struct hash_table *table_of(const struct value *v)
{
    return v->at;
}

static bool is_compact(const struct value *v)
{
    return v->encoding == ENCODING_LISTPACK;
}

/* --- the compact form --------------------------------------------------------------- */

/* The field's element, NULL if it is not there. */
static const char *compact_find(const char *lp, struct slice field)
{
    return listpack_find(lp, listpack_first(lp), field, 2);
}

/* Calls visit for the pair at a field's element; returns the next field. */
static const char *visit_pair(const char *lp, const char *at, hash_visit_fn *visit, void *context)
{
    char field_scratch[INT64_TEXT_MAX], value_scratch[INT64_TEXT_MAX];
    struct slice field = listpack_text(at, field_scratch);
    at = listpack_next(lp, at);
    visit(context, field, listpack_text(at, value_scratch));
    return listpack_next(lp, at);
}

static void add_to_table(void *context, struct slice field, struct slice value)
{
    hash_table_set(context, field, value);
}

static void leave_compact(struct value *v, const struct value_env *env)
{
    struct hash_table *t = hash_table_create(&env->secret);
    hash_each(v, add_to_table, t);
    mem_free(v->at);
    *v = (struct value){t, ENCODING_HASHTABLE};
}

static bool is_too_long(const struct value_env *env, struct slice text)
{
    return (int64_t)text.len > setting_value(&env->settings, SETTING_HASH_MAX_LISTPACK_VALUE);
}

static bool compact_set(struct value *v, const struct value_env *env, struct slice field, struct slice value)
{
    const char *at = compact_find(v->at, field);
    bool is_new = !at;
    if (at) {
        at = listpack_next(v->at, at);
        v->at = listpack_replace(v->at, &at, value);
    } else {
        v->at = listpack_append_pair(v->at, field, value);
    }
    if ((int64_t)hash_size(v) > setting_value(&env->settings, SETTING_HASH_MAX_LISTPACK_ENTRIES))
        leave_compact(v, env);
    return is_new;
}

/* --- fields ---------------------------------------------------------------------------- */

struct value hash_create(void)
{
    return (struct value){listpack_create(), ENCODING_LISTPACK};
}

size_t hash_size(const struct value *v)
{
    return is_compact(v) ? listpack_count(v->at) / 2 : dict_size(&table_of(v)->dict);
}

bool hash_has(const struct value *v, struct slice field)
{
    return is_compact(v) ? compact_find(v->at, field) != NULL : hash_table_find(v->at, field) != NULL;
}

bool hash_get(const struct value *v, struct slice field, char scratch[static INT64_TEXT_MAX], struct slice *value)
{
    const char *at = is_compact(v) ? compact_find(v->at, field) : hash_table_find(v->at, field);
    if (!at)
        return false;
    *value = is_compact(v) ? listpack_text(listpack_next(v->at, at), scratch) : hash_block_pair(at).value;
    return true;
}

bool hash_set(struct value *v, const struct value_env *env, struct slice field, struct slice value)
{
    if (is_compact(v) && (is_too_long(env, field) || is_too_long(env, value) ||
                          !listpack_has_room(v->at, field.len + value.len + PAIR_OVERHEAD_MAX)))
        leave_compact(v, env);
    if (is_compact(v))
        return compact_set(v, env, field, value);
    return hash_table_set(v->at, field, value);
}

bool hash_remove(struct value *v, struct slice field)
{
    if (!is_compact(v))
        return hash_table_remove(v->at, field);
    const char *at = compact_find(v->at, field);
    if (!at)
        return false;
    v->at = listpack_remove(v->at, &at, 2);
    return true;
}

/* --- walking ------------------------------------------------------------------------------ */

struct walk {
    hash_visit_fn *visit;
    void *context;
};

static bool visit_block(void *context, void *block)
{
    const struct walk *w = context;
    struct hash_pair pair = hash_block_pair(block);
    w->visit(w->context, pair.field, pair.value);
    return true;
}

static void compact_each(const char *lp, hash_visit_fn *visit, void *context)
{
    for (const char *at = listpack_first(lp); at;)
        at = visit_pair(lp, at, visit, context);
}

void hash_each(const struct value *v, hash_visit_fn *visit, void *context)
{
    hash_scan(v, 0, SIZE_MAX, visit, context);
}

uint64_t hash_scan(const struct value *v, uint64_t cursor, size_t count, hash_visit_fn *visit, void *context)
{
    if (is_compact(v)) {
        compact_each(v->at, visit, context);
        return 0;
    }
    struct walk w = {visit, context};
    if (count < hash_size(v))
        return dict_scan(&table_of(v)->dict, cursor, count, visit_block, &w);
    if (cursor >> (64 - DICT_CURSOR_SHIFT) == 0)
        dict_walk(&table_of(v)->dict, cursor << DICT_CURSOR_SHIFT, UINT64_MAX, visit_block, &w);
    return 0;
}

/* --- drawing -------------------------------------------------------------------------------- */

static void compact_pick(const char *lp, struct random *random, hash_visit_fn *visit, void *context)
{
    uint64_t pair = random_below(random, listpack_count(lp) / 2);
    visit_pair(lp, listpack_at(lp, (int64_t)(2 * pair)), visit, context);
}

void hash_pick(const struct value *v, struct random *random, hash_visit_fn *visit, void *context)
{
    CHECK(hash_size(v) > 0);
    if (is_compact(v)) {
        compact_pick(v->at, random, visit, context);
        return;
    }
    struct walk w = {visit, context};
    visit_block(&w, dict_pick(&table_of(v)->dict, random));
}

/* Selection sampling (Knuth, volume 2, 3.4.2, algorithm S): a pair is taken with
 * the probability wanted / left, which gives all sets of pairs the same. */
struct selection {
    struct walk walk;
    struct random *random;
    size_t wanted, left;
};

static void select_pair(void *context, struct slice field, struct slice value)
{
    struct selection *s = context;
    if (random_below(s->random, s->left--) >= s->wanted)
        return;
    s->wanted--;
    s->walk.visit(s->walk.context, field, value);
}

static uint64_t hash_address(const void *context, const void *item)
{
    (void)context;
    return random_mix((uint64_t)(uintptr_t)item);
}

static bool is_address(const void *item, const void *wanted)
{
    return item == wanted;
}

/* Picks until enough different ones have come; few of them come twice. */
static void pick_different(const struct hash_table *t, struct random *random, size_t count, struct walk *w)
{
    struct dict drawn;
    dict_init(&drawn, hash_address, NULL);
    while (dict_size(&drawn) < count) {
        void *block = dict_pick(&t->dict, random);
        uint64_t hash = hash_address(NULL, block);
        if (dict_find(&drawn, hash, is_address, block))
            continue;
        dict_insert(&drawn, hash, block);
        visit_block(w, block);
    }
    dict_deinit(&drawn);
}

void hash_sample(const struct value *v, struct random *random, size_t count, hash_visit_fn *visit, void *context)
{
    enum { FEW = 3 };
    size_t size = hash_size(v);
    CHECK(count <= size);
    struct walk w = {visit, context};
    if (!is_compact(v) && count < size / FEW) {
        pick_different(v->at, random, count, &w);
        return;
    }
    struct selection s = {.walk = w, .random = random, .wanted = count, .left = size};
    hash_each(v, select_pair, &s);
}

/* --- what the keyspace asks ------------------------------------------------------------------ */

static bool free_some(struct value *v, size_t *budget)
{
    if (*budget == 0)
        return false;
    if (!is_compact(v))
        return hash_table_free_some(v->at, budget);
    mem_free(v->at);
    --*budget;
    return true;
}

static size_t free_effort(const struct value *v)
{
    return is_compact(v) ? 1 : hash_size(v) + 1;
}

static bool copy_block(void *context, void *block)
{
    struct hash_table *t = context;
    struct hash_pair pair = hash_block_pair(block);
    hash_table_add(t, key_hash(t->dict.hash_context, pair.field), pair.field, pair.value);
    return true;
}

static struct value copy(const struct value *v)
{
    if (is_compact(v))
        return (struct value){listpack_copy(v->at), v->encoding};
    const struct dict *from = &table_of(v)->dict;
    struct hash_table *t = hash_table_create(from->hash_context);
    dict_reserve(&t->dict, dict_size(from));
    dict_walk(from, 0, UINT64_MAX, copy_block, t);
    return (struct value){t, v->encoding};
}

/* The sum over pairs of a digest of the digests of field and value. */
static void add_digest(void *context, struct slice field, struct slice value)
{
    struct digest both[2] = {digest_bytes(field), digest_bytes(value)};
    digest_add(context, digest_bytes(slice_make(both, sizeof both)));
}

static struct digest digest(const struct value *v)
{
    struct digest sum = {0, 0};
    hash_each(v, add_digest, &sum);
    return sum;
}

struct weighing {
    size_t count, limit, bytes;
};

static bool weigh_block(void *context, void *block)
{
    struct weighing *w = context;
    w->bytes += mem_usable_size(block);
    return ++w->count < w->limit;
}

static size_t memory(const struct value *v, size_t samples)
{
    if (is_compact(v))
        return mem_usable_size(v->at);
    struct hash_table *t = table_of(v);
    struct weighing w = {.limit = samples ? samples : SIZE_MAX};
    dict_walk(&t->dict, 0, UINT64_MAX, weigh_block, &w);
    return mem_usable_size(t) + dict_bytes(&t->dict) + value_memory_of_all(w.bytes, w.count, hash_size(v));
}

/* --- parts -------------------------------------------------------------------------------------- *
 *
 *   number of all pairs, a varint, in the first part alone
 *   pairs: field and value, each a varint length and its bytes
 *
 * A LISTPACK's pairs come in their order; cursor.at[0] is the next one's number.
 * A HASHTABLE's come in the order of hashes, which wants room reserved at once
 * (dict_reserve); at[0] is the cursor of dict_scan, at[1] is 1 after the first
 * part. */

static void save_pair(void *context, struct slice field, struct slice value)
{
    struct buf *out = context;
    part_put_text(out, field);
    part_put_text(out, value);
}

static void save_compact(const char *lp, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    size_t begin = buf_size(out);
    const char *at = listpack_at(lp, (int64_t)(2 * cursor->at[0]));
    do {
        at = visit_pair(lp, at, save_pair, out);
        cursor->at[0]++;
    } while (at && buf_size(out) - begin < limit);
    cursor->is_done = !at;
}

static void save_table(const struct hash_table *t, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    size_t begin = buf_size(out);
    struct walk w = {save_pair, out};
    do
        cursor->at[0] = dict_scan(&t->dict, cursor->at[0], 1, visit_block, &w);
    while (cursor->at[0] && (buf_size(out) == begin || buf_size(out) - begin < limit));
    cursor->is_done = cursor->at[0] == 0;
}

static void save(const struct value *v, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    if (!cursor->at[1])
        part_put_number(out, hash_size(v));
    cursor->at[1] = 1;
    if (is_compact(v))
        save_compact(v->at, cursor, out, limit);
    else
        save_table(v->at, cursor, out, limit);
}

static bool load_pair(struct value *v, struct slice field, struct slice value)
{
    if (!is_compact(v))
        return hash_table_set(v->at, field, value);
    if (!listpack_has_room(v->at, field.len + value.len + PAIR_OVERHEAD_MAX))
        return false;
    v->at = listpack_append_pair(v->at, field, value);
    return true;
}

/* The compact form keeps its number nowhere: the table's is checked at the end. */
static bool load_first(struct value *v, const struct value_env *env, const char **at, const char *end)
{
    uint64_t expected;
    *at = varint_read(*at, end, &expected);
    if (!*at)
        return false;
    if (is_compact(v)) {
        v->at = listpack_create();
        return true;
    }
    struct hash_table *t = hash_table_create(&env->secret);
    t->expected = expected;
    dict_reserve(&t->dict, expected < RESERVE_MAX ? expected : RESERVE_MAX);
    v->at = t;
    return true;
}

static bool load(struct value *v, const struct value_env *env, struct slice part, bool is_last)
{
    const char *at = part.ptr, *end = part.ptr + part.len;
    if (!v->at && !load_first(v, env, &at, end))
        return false;
    if (at == end)
        return false;
    while (at < end) {
        struct slice field, value;
        if (!part_get_text(&at, end, &field) || !part_get_text(&at, end, &value) || !load_pair(v, field, value))
            return false;
    }
    if (!is_last)
        return true;
    return is_compact(v) ? !listpack_has_twins(v->at, 2, &env->secret) : table_of(v)->expected == hash_size(v);
}

static void check(const struct value *v)
{
    if (is_compact(v)) {
        listpack_check(v->at);
        CHECK(listpack_count(v->at) % 2 == 0);
        return;
    }
    CHECK(v->encoding == ENCODING_HASHTABLE);
    hash_table_check(v->at);
}

const struct object_type hash_object_type = {
    .free_some = free_some,
    .free_effort = free_effort,
    .copy = copy,
    .digest = digest,
    .memory = memory,
    .save = save,
    .load = load,
    .check = check,
};
