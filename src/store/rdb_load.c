/* The forms of rdb_save.c, and those of older servers:
 *
 *   1   list       length, elements
 *   3   sorted set length, members with their scores: a byte n and n bytes of text; 253: no number, 254, 255: the
 *                  infinite ones
 *   9   hash       a zipmap, as a string
 *   10, 12, 13     list, sorted set, hash: a ziplist, as a string
 *   14  list       number of nodes, each a ziplist, as a string */
#include <math.h>

#include "base/alloc.h"
#include "store/hash_value.h"
#include "store/intset.h"
#include "store/list_value.h"
#include "store/rdb_form.h"
#include "store/rdb_value.h"
#include "store/set_value.h"
#include "store/zset_value.h"

enum { FORM_BYTES = 1, FOOTER_BYTES = 10, SCORE_NAN = 253, SCORE_INF, SCORE_MINUS_INF };

struct loading {
    struct rdb_reader r;
    const struct value_env *env;
    struct value v;
};

/* --- element by element ---------------------------------------------------------- */

/* Takes one element, one pair, from the payload. */
typedef bool take_fn(struct loading *l);

/* A length, which is not 0, and so many elements.  What they say they are is
 * bounded by what is there, since each takes a byte at least. */
static bool take_all(struct loading *l, take_fn *take)
{
    uint64_t count;
    if (!rdb_read_length(&l->r, &count) || count == 0)
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (!take(l))
            return false;
    return true;
}

static bool take_list_element(struct loading *l)
{
    struct rdb_text t;
    if (!rdb_read_string(&l->r, &t))
        return false;
    list_push(&l->v, l->env, false, t.bytes);
    rdb_text_free(&t);
    return true;
}

static bool take_set_member(struct loading *l)
{
    struct rdb_text t;
    if (!rdb_read_string(&l->r, &t))
        return false;
    bool is_new = set_add(&l->v, l->env, t.bytes);
    rdb_text_free(&t);
    return is_new;
}

static bool add_to_zset(struct loading *l, struct slice member, double score)
{
    struct zset_found found = zset_find(&l->v, member);
    if (found.is_present)
        return false;
    if (!zset_append(&l->v, l->env, member, score))
        zset_add(&l->v, l->env, &found, member, score);
    return true;
}

typedef bool read_score_fn(struct rdb_reader *r, double *score);

static bool read_score_text(struct rdb_reader *r, double *score)
{
    struct slice length, text;
    if (!rdb_read_bytes(r, 1, &length))
        return false;
    unsigned count = (unsigned char)*length.ptr;
    if (count == SCORE_INF || count == SCORE_MINUS_INF) {
        *score = count == SCORE_INF ? INFINITY : -INFINITY;
        return true;
    }
    return count != SCORE_NAN && rdb_read_bytes(r, count, &text) && slice_to_double(text, score) && !isnan(*score);
}

static bool take_scored(struct loading *l, read_score_fn *read_score)
{
    struct rdb_text t;
    double score;
    if (!rdb_read_string(&l->r, &t))
        return false;
    bool is_sound = read_score(&l->r, &score) && add_to_zset(l, t.bytes, score);
    rdb_text_free(&t);
    return is_sound;
}

/* The length of the longest of count members. */
static bool measure(struct rdb_reader r, uint64_t count, read_score_fn *read_score, size_t *longest)
{
    for (*longest = 0; count > 0; count--) {
        struct rdb_text t;
        double score;
        if (!rdb_read_string(&r, &t))
            return false;
        *longest = t.bytes.len > *longest ? t.bytes.len : *longest;
        rdb_text_free(&t);
        if (!read_score(&r, &score))
            return false;
    }
    return true;
}

/* The form is chosen first: a score of -0 is 0 in the compact one, and would
 * stay so. */
static bool take_scores(struct loading *l, read_score_fn *read_score)
{
    uint64_t count;
    size_t longest = 0;
    if (!rdb_read_length(&l->r, &count) || count == 0)
        return false;
    bool may_be_compact = count <= (uint64_t)setting_value(&l->env->settings, SETTING_ZSET_MAX_LISTPACK_ENTRIES);
    if (may_be_compact && !measure(l->r, count, read_score, &longest))
        return false;
    l->v = zset_create_for(l->env, (size_t)count, longest);
    for (uint64_t i = 0; i < count; i++)
        if (!take_scored(l, read_score))
            return false;
    return true;
}

static bool take_hash_pair(struct loading *l)
{
    struct rdb_text field, value;
    if (!rdb_read_string(&l->r, &field))
        return false;
    bool is_sound = rdb_read_string(&l->r, &value);
    if (is_sound) {
        is_sound = hash_set(&l->v, l->env, field.bytes, value.bytes);
        rdb_text_free(&value);
    }
    rdb_text_free(&field);
    return is_sound;
}

/* --- blocks ---------------------------------------------------------------------- */

/* What fills a value from a listpack. */
typedef bool fill_fn(struct loading *l, const char *lp);

static bool fill_list(struct loading *l, const char *lp)
{
    list_add_node(&l->v, slice_make(lp, listpack_bytes(lp)));
    return true;
}

static bool fill_hash(struct loading *l, const char *lp)
{
    char scratch[INT64_TEXT_MAX], value_scratch[INT64_TEXT_MAX];
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at)) {
        struct slice field = listpack_text(at, scratch);
        at = listpack_next(lp, at);
        if (!at || !hash_set(&l->v, l->env, field, listpack_text(at, value_scratch)))
            return false;
    }
    return true;
}

static bool fill_zset(struct loading *l, const char *lp)
{
    char scratch[INT64_TEXT_MAX];
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at)) {
        struct slice member = listpack_text(at, scratch);
        at = listpack_next(lp, at);
        if (!at)
            return false;
        struct listpack_element element = listpack_get(at);
        double score = (double)element.integer;
        if (!element.is_int && (!slice_to_double(element.bytes, &score) || isnan(score)))
            return false;
        if (!add_to_zset(l, member, score))
            return false;
    }
    return true;
}

static bool load_listpack(struct loading *l, fill_fn *fill)
{
    struct rdb_text t;
    if (!rdb_read_string(&l->r, &t))
        return false;
    bool is_sound = listpack_is_valid(t.bytes) && fill(l, t.bytes.ptr);
    rdb_text_free(&t);
    return is_sound;
}

static bool load_converted(struct loading *l, char *(*convert)(struct slice bytes), fill_fn *fill)
{
    struct rdb_text t;
    if (!rdb_read_string(&l->r, &t))
        return false;
    char *lp = convert(t.bytes);
    bool is_sound = lp && fill(l, lp);
    mem_free(lp);
    rdb_text_free(&t);
    return is_sound;
}

static bool take_ziplist_node(struct loading *l)
{
    return load_converted(l, rdb_ziplist_to_listpack, fill_list);
}

static bool take_node(struct loading *l)
{
    uint64_t kind;
    if (!rdb_read_length(&l->r, &kind))
        return false;
    if (kind == RDB_NODE_PACKED)
        return load_listpack(l, fill_list);
    struct rdb_text t;
    if (kind != RDB_NODE_PLAIN || !rdb_read_string(&l->r, &t))
        return false;
    bool is_sound = t.bytes.len > 0;
    if (is_sound)
        list_add_plain_node(&l->v, t.bytes);
    rdb_text_free(&t);
    return is_sound;
}

static bool load_intset(struct loading *l)
{
    struct rdb_text t;
    char scratch[INT64_TEXT_MAX];
    if (!rdb_read_string(&l->r, &t))
        return false;
    bool is_sound = intset_is_valid(t.bytes);
    for (size_t i = 0; is_sound && i < intset_count(t.bytes.ptr); i++) {
        size_t length = int64_to_text(intset_at(t.bytes.ptr, i), scratch);
        is_sound = set_add(&l->v, l->env, slice_make(scratch, length));
    }
    rdb_text_free(&t);
    return is_sound;
}

/* --- by form --------------------------------------------------------------------- */

static bool load_list(struct loading *l, enum rdb_form form)
{
    l->v = list_create();
    bool is_sound = false;
    switch (form) {
    case RDB_LIST: is_sound = take_all(l, take_list_element); break;
    case RDB_LIST_ZIPLIST: is_sound = take_ziplist_node(l); break;
    case RDB_LIST_ZIPLISTS: is_sound = take_all(l, take_ziplist_node); break;
    default: is_sound = take_all(l, take_node);
    }
    return is_sound && list_length(&l->v) > 0;
}

static bool load_set(struct loading *l, enum rdb_form form)
{
    l->v = set_create();
    bool is_sound = form == RDB_SET ? take_all(l, take_set_member) : load_intset(l);
    return is_sound && set_size(&l->v) > 0;
}

static bool load_zset(struct loading *l, enum rdb_form form)
{
    if (form == RDB_ZSET || form == RDB_ZSET_TEXT)
        return take_scores(l, form == RDB_ZSET ? rdb_read_double : read_score_text);
    l->v = zset_create();
    bool is_sound = form == RDB_ZSET_LISTPACK ? load_listpack(l, fill_zset)
                                              : load_converted(l, rdb_ziplist_to_listpack, fill_zset);
    return is_sound && zset_size(&l->v) > 0;
}

static bool load_hash(struct loading *l, enum rdb_form form)
{
    l->v = hash_create();
    bool is_sound = false;
    switch (form) {
    case RDB_HASH_ZIPMAP: is_sound = load_converted(l, rdb_zipmap_to_listpack, fill_hash); break;
    case RDB_HASH_ZIPLIST: is_sound = load_converted(l, rdb_ziplist_to_listpack, fill_hash); break;
    case RDB_HASH_LISTPACK: is_sound = load_listpack(l, fill_hash); break;
    default: is_sound = take_all(l, take_hash_pair);
    }
    return is_sound && hash_size(&l->v) > 0;
}

static bool load_string(struct rdb_value *loaded, struct rdb_reader *r)
{
    struct rdb_text t;
    if (!rdb_read_string(r, &t))
        return false;
    loaded->string = t.bytes;
    loaded->owned = t.owned;
    if (t.bytes.ptr == t.scratch) {
        memcpy(loaded->scratch, t.scratch, sizeof t.scratch);
        loaded->string.ptr = loaded->scratch;
    }
    return true;
}

static bool type_of_form(enum rdb_form form, enum value_type *type)
{
    switch (form) {
    case RDB_STRING: *type = VALUE_STRING; return true;
    case RDB_LIST:
    case RDB_LIST_ZIPLIST:
    case RDB_LIST_ZIPLISTS:
    case RDB_LIST_LISTPACKS: *type = VALUE_LIST; return true;
    case RDB_SET:
    case RDB_SET_INTSET: *type = VALUE_SET; return true;
    case RDB_ZSET_TEXT:
    case RDB_ZSET:
    case RDB_ZSET_ZIPLIST:
    case RDB_ZSET_LISTPACK: *type = VALUE_ZSET; return true;
    case RDB_HASH:
    case RDB_HASH_ZIPMAP:
    case RDB_HASH_ZIPLIST:
    case RDB_HASH_LISTPACK: *type = VALUE_HASH; return true;
    case RDB_STREAM:
    case RDB_STREAM_OLD: *type = VALUE_STREAM; return true;
    }
    return false;
}

static bool load_object(struct rdb_value *loaded, struct loading *l, enum rdb_form form)
{
    switch (loaded->type) {
    case VALUE_LIST: return load_list(l, form);
    case VALUE_SET: return load_set(l, form);
    case VALUE_ZSET: return load_zset(l, form);
    case VALUE_HASH: return load_hash(l, form);
    case VALUE_STREAM: return rdb_stream_load(&l->v, &l->r, form == RDB_STREAM_OLD);
    default: return false;
    }
}

bool rdb_value_load(struct rdb_value *loaded, const struct value_env *env, struct slice payload)
{
    struct loading l = {.env = env};
    *loaded = (struct rdb_value){0};
    if (payload.len < FORM_BYTES + FOOTER_BYTES)
        return false;
    enum rdb_form form = (enum rdb_form)(unsigned char)payload.ptr[0];
    l.r = (struct rdb_reader){payload.ptr + FORM_BYTES, payload.ptr + payload.len - FOOTER_BYTES};
    if (!type_of_form(form, &loaded->type))
        return false;
    bool is_sound = loaded->type == VALUE_STRING ? load_string(loaded, &l.r) : load_object(loaded, &l, form);
    loaded->value = l.v;
    if (is_sound && l.r.at == l.r.end)
        return true;
    rdb_value_free(loaded, false);
    return false;
}

void rdb_value_free(struct rdb_value *loaded, bool is_stored)
{
    size_t budget = SIZE_MAX;
    mem_free(loaded->owned);
    loaded->owned = NULL;
    if (loaded->type != VALUE_STRING && !is_stored && loaded->value.at)
        object_type_of(loaded->type)->free_some(&loaded->value, &budget);
}
