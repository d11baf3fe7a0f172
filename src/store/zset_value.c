#include "store/zset_value.h"

#include "store/zset_private.h"

/* --- the large form -------------------------------------------------------------- */

static uint64_t hash_member(const void *context, const void *item)
{
    return key_hash(context, member_slice(item));
}

static bool is_member(const void *item, const void *wanted)
{
    return slice_equal(member_slice(item), *(const struct slice *)wanted);
}

static int compare_members(const void *a, const void *b)
{
    return slice_compare(member_slice(a), member_slice(b));
}

struct zset *zset_large_create(const struct value_env *env)
{
    struct zset *z = mem_alloc(sizeof *z);
    dict_init(&z->members, hash_member, &env->secret);
    tree_init(&z->order, compare_members);
    z->env = env;
    return z;
}

struct zset_member *zset_member_create(struct slice member, double score)
{
    struct zset_member *m = mem_alloc(sizeof *m + length_bytes(member.len) + member.len);
    m->score = score;
    memcpy(length_write(m->bytes, member.len), member.ptr, member.len);
    return m;
}

static uint64_t hash_of(const struct zset *z, struct slice member)
{
    return key_hash(&z->env->secret, member);
}

bool zset_large_append(struct zset *z, struct zset_member *m)
{
    if (!tree_append(&z->order, item_of(m)))
        return false;
    dict_insert(&z->members, hash_of(z, member_slice(m)), m);
    return true;
}

static void large_insert(struct zset *z, uint64_t hash, struct slice member, double score)
{
    struct zset_member *m = zset_member_create(member, score);
    dict_insert(&z->members, hash, m);
    bool is_new = tree_insert(&z->order, item_of(m));
    CHECK(is_new);
}

static void large_remove(struct zset *z, uint64_t hash, void **slot)
{
    struct zset_member *m = *slot;
    dict_remove(&z->members, hash, slot);
    bool was_there = tree_remove(&z->order, item_of(m), NULL);
    CHECK(was_there);
    member_free(m);
}

static void enlarge(struct value *v, const struct value_env *env)
{
    char *lp = v->at;
    struct zset *z = zset_large_create(env);
    char scratch[INT64_TEXT_MAX];
    const char *next;
    for (const char *at = listpack_first(lp); at; at = next) {
        struct zset_pair pair = zset_compact_pair(lp, at, &next, scratch);
        bool is_above = zset_large_append(z, zset_member_create(pair.member, pair.score));
        CHECK(is_above);
    }
    mem_free(lp);
    *v = (struct value){z, ENCODING_SKIPLIST};
}

/* --- by member ------------------------------------------------------------------ */

struct value zset_create(void)
{
    return (struct value){listpack_create(), ENCODING_LISTPACK};
}

static int64_t entries_max(const struct value_env *env)
{
    return setting_value(&env->settings, SETTING_ZSET_MAX_LISTPACK_ENTRIES);
}

static int64_t value_max(const struct value_env *env)
{
    return setting_value(&env->settings, SETTING_ZSET_MAX_LISTPACK_VALUE);
}

struct value zset_create_for(const struct value_env *env, size_t count, size_t longest)
{
    if (count > (uint64_t)entries_max(env) || longest > (uint64_t)value_max(env))
        return (struct value){zset_large_create(env), ENCODING_SKIPLIST};
    return zset_create();
}

size_t zset_size(const struct value *v)
{
    return is_compact(v) ? zset_compact_size(v->at) : tree_size(&zset_of(v)->order);
}

struct zset_found zset_find(const struct value *v, struct slice member)
{
    struct zset_found found = {0};
    if (is_compact(v)) {
        const char *lp = v->at;
        found.at = listpack_find(lp, listpack_first(lp), member, 2);
        found.is_present = found.at;
        if (found.at)
            found.score = zset_compact_score(zset_compact_score_at(lp, found.at));
        return found;
    }
    const struct zset *z = zset_of(v);
    found.hash = hash_of(z, member);
    found.slot = dict_find(&z->members, found.hash, is_member, &member);
    found.is_present = found.slot;
    if (found.slot)
        found.score = ((struct zset_member *)*found.slot)->score;
    return found;
}

/* True if one more member of this size keeps the value compact. */
static bool may_stay_compact(const struct value *v, const struct value_env *env, struct slice member)
{
    return zset_compact_size(v->at) < (uint64_t)entries_max(env) && member.len <= (uint64_t)value_max(env) &&
           zset_compact_has_room(v->at, member);
}

void zset_add(struct value *v, const struct value_env *env, const struct zset_found *found, struct slice member,
              double score)
{
    CHECK(!found->is_present);
    uint64_t hash = found->hash;
    if (is_compact(v)) {
        if (may_stay_compact(v, env, member)) {
            v->at = zset_compact_insert(v->at, member, score);
            return;
        }
        enlarge(v, env);
        hash = hash_of(zset_of(v), member);
    }
    large_insert(zset_of(v), hash, member, score);
}

bool zset_append(struct value *v, const struct value_env *env, struct slice member, double score)
{
    if (is_compact(v)) {
        if (!zset_compact_is_above_last(v->at, member, score))
            return false;
        if (may_stay_compact(v, env, member)) {
            v->at = zset_compact_append(v->at, member, score);
            return true;
        }
        enlarge(v, env);
    }
    struct zset_member *m = zset_member_create(member, score);
    if (zset_large_append(zset_of(v), m))
        return true;
    member_free(m);
    return false;
}

void zset_move(struct value *v, const struct zset_found *found, double score)
{
    CHECK(found->is_present);
    if (is_compact(v)) {
        v->at = zset_compact_move(v->at, found->at, score);
        return;
    }
    struct zset *z = zset_of(v);
    struct zset_member *m = *found->slot;
    bool was_there = tree_remove(&z->order, item_of(m), NULL);
    CHECK(was_there);
    m->score = score;
    bool is_new = tree_insert(&z->order, item_of(m));
    CHECK(is_new);
}

void zset_remove(struct value *v, const struct zset_found *found)
{
    CHECK(found->is_present);
    const char *at = found->at;
    if (is_compact(v))
        v->at = listpack_remove(v->at, &at, 2);
    else
        large_remove(zset_of(v), found->hash, found->slot);
}

size_t zset_rank(const struct value *v, const struct zset_found *found)
{
    CHECK(found->is_present);
    size_t rank = 0;
    if (is_compact(v)) {
        for (const char *at = listpack_first(v->at); at != found->at; rank++)
            at = listpack_next(v->at, zset_compact_score_at(v->at, at));
        return rank;
    }
    struct tree_place place = tree_find(&zset_of(v)->order, item_of(*found->slot), &rank);
    CHECK(!tree_is_end(place));
    return rank;
}

/* --- by order ------------------------------------------------------------------- */

/* Rank of the first member that is not below a bound. */
typedef bool below_fn(const void *bound, struct zset_pair pair);

static size_t compact_seek(const char *lp, below_fn *is_below, const void *bound)
{
    char scratch[INT64_TEXT_MAX];
    const char *at = listpack_first(lp);
    size_t rank = 0;
    for (; at && is_below(bound, zset_compact_pair(lp, at, &at, scratch)); rank++)
        continue;
    return rank;
}

struct seek {
    below_fn *is_below;
    const void *bound;
};

static int seek_member(const void *sought, struct tree_item item)
{
    const struct seek *seek = sought;
    const struct zset_member *m = item.item;
    return seek->is_below(seek->bound, (struct zset_pair){member_slice(m), m->score}) ? -1 : 1;
}

static size_t seek_rank(const struct value *v, below_fn *is_below, const void *bound)
{
    if (is_compact(v))
        return compact_seek(v->at, is_below, bound);
    size_t rank;
    struct seek seek = {is_below, bound};
    tree_seek(&zset_of(v)->order, seek_member, &seek, &rank);
    return rank;
}

static struct zset_run run_of(size_t first, size_t end)
{
    return (struct zset_run){first, end > first ? end : first};
}

static bool is_below_scores(const void *bound, struct zset_pair pair)
{
    const struct zset_score_range *range = bound;
    return range->is_min_open ? pair.score <= range->min : pair.score < range->min;
}

static bool is_within_score_max(const void *bound, struct zset_pair pair)
{
    const struct zset_score_range *range = bound;
    return range->is_max_open ? pair.score < range->max : pair.score <= range->max;
}

struct zset_run zset_run_of_scores(const struct value *v, const struct zset_score_range *range)
{
    return run_of(seek_rank(v, is_below_scores, range), seek_rank(v, is_within_score_max, range));
}

static bool is_below_lex(const void *bound, struct zset_pair pair)
{
    const struct zset_lex_bound *min = &((const struct zset_lex_range *)bound)->min;
    if (min->kind != LEX_MEMBER)
        return min->kind == LEX_GREATEST;
    int order = slice_compare(pair.member, min->member);
    return min->is_open ? order <= 0 : order < 0;
}

static bool is_within_lex_max(const void *bound, struct zset_pair pair)
{
    const struct zset_lex_bound *max = &((const struct zset_lex_range *)bound)->max;
    if (max->kind != LEX_MEMBER)
        return max->kind == LEX_GREATEST;
    int order = slice_compare(pair.member, max->member);
    return max->is_open ? order < 0 : order <= 0;
}

bool zset_lex_range_is_empty(const struct zset_lex_range *range)
{
    if (range->min.kind == LEX_GREATEST || range->max.kind == LEX_LEAST)
        return true;
    if (range->min.kind == LEX_LEAST || range->max.kind == LEX_GREATEST)
        return false;
    int order = slice_compare(range->min.member, range->max.member);
    return order > 0 || (order == 0 && (range->min.is_open || range->max.is_open));
}

struct zset_run zset_run_of_lex(const struct value *v, const struct zset_lex_range *range)
{
    if (zset_lex_range_is_empty(range))
        return run_of(0, 0);
    return run_of(seek_rank(v, is_below_lex, range), seek_rank(v, is_within_lex_max, range));
}

static const char *compact_at(const char *lp, size_t rank)
{
    return rank < zset_compact_size(lp) ? listpack_at(lp, (int64_t)rank * 2) : NULL;
}

void zset_remove_run(struct value *v, struct zset_run run)
{
    CHECK(run.end <= zset_size(v));
    if (run.first >= run.end)
        return;
    if (is_compact(v)) {
        const char *at = compact_at(v->at, run.first);
        v->at = listpack_remove(v->at, &at, (run.end - run.first) * 2);
        return;
    }
    struct zset *z = zset_of(v);
    for (size_t count = run.end - run.first; count > 0; count--) {
        struct slice member = member_slice(tree_get(tree_at(&z->order, run.first)).item);
        uint64_t hash = hash_of(z, member);
        large_remove(z, hash, dict_find(&z->members, hash, is_member, &member));
    }
}

struct zset_pair zset_at(const struct value *v, size_t rank, char scratch[static INT64_TEXT_MAX])
{
    if (is_compact(v)) {
        const char *at = compact_at(v->at, rank), *next;
        CHECK(at);
        return zset_compact_pair(v->at, at, &next, scratch);
    }
    const struct zset_member *m = tree_get(tree_at(&zset_of(v)->order, rank)).item;
    return (struct zset_pair){member_slice(m), m->score};
}

void zset_iterate(struct zset_iterator *i, const struct value *v, size_t rank, bool is_reverse)
{
    i->is_reverse = is_reverse;
    i->lp = is_compact(v) ? v->at : NULL;
    if (i->lp)
        i->at = compact_at(i->lp, rank);
    else
        i->place = tree_at(&zset_of(v)->order, rank);
}

static bool compact_next(struct zset_iterator *i, struct zset_pair *pair)
{
    const char *at = i->at, *next;
    if (!at)
        return false;
    *pair = zset_compact_pair(i->lp, at, &next, i->scratch);
    if (i->is_reverse) {
        const char *score_at = listpack_prev(i->lp, at);
        next = score_at ? listpack_prev(i->lp, score_at) : NULL;
    }
    i->at = next;
    return true;
}

bool zset_next(struct zset_iterator *i, struct zset_pair *pair)
{
    if (i->lp)
        return compact_next(i, pair);
    if (tree_is_end(i->place))
        return false;
    const struct zset_member *m = tree_get(i->place).item;
    *pair = (struct zset_pair){member_slice(m), m->score};
    i->place = i->is_reverse ? tree_previous(i->place) : tree_next(i->place);
    return true;
}

struct slice zset_score_text(const struct value *v, double score, char text[static ZSET_SCORE_TEXT_MAX])
{
    return is_compact(v) ? zset_compact_score_text(score, text) : zset_large_score_text(score, text);
}

struct scan {
    zset_visit_fn *visit;
    void *context;
};

static bool scan_member(void *context, void *item)
{
    const struct scan *scan = context;
    const struct zset_member *m = item;
    scan->visit(scan->context, (struct zset_pair){member_slice(m), m->score});
    return true;
}

uint64_t zset_scan(const struct value *v, uint64_t cursor, size_t count, zset_visit_fn *visit, void *context)
{
    if (!is_compact(v)) {
        struct scan scan = {visit, context};
        return dict_scan(&zset_of(v)->members, cursor, count, scan_member, &scan);
    }
    struct zset_iterator i;
    struct zset_pair pair;
    zset_iterate(&i, v, 0, false);
    while (zset_next(&i, &pair))
        visit(context, pair);
    return 0;
}
