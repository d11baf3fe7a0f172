/* What the keyspace needs to do with a sorted set.
 *
 * A part, saved: pairs in ascending order, of either form:
 *
 *   8 bytes  score, a double, little-endian
 *   4 bytes  length of the member, little-endian
 *            member */
#include <math.h>

#include "base/little_endian.h"
#include "store/digest.h"
#include "store/twins.h"
#include "store/zset_private.h"

enum { PAIR_HEAD_BYTES = 12 };

/* --- freeing, copying, measuring ---------------------------------------------------- */

static void free_member(void *context, void *item)
{
    (void)context;
    member_free(item);
}

static bool forget_member(void *context, void *item)
{
    (void)context, (void)item;
    return true;
}

static bool zset_free_some(struct value *v, size_t *budget)
{
    if (is_compact(v)) {
        mem_free(v->at);
        *budget -= *budget > 0;
        v->at = NULL;
        return true;
    }
    struct zset *z = zset_of(v);
    if (!tree_drain(&z->order, budget, free_member, NULL) ||
        !dict_drain(&z->members, budget, forget_member, NULL))
        return false;
    mem_free_sized(z, sizeof *z);
    v->at = NULL;
    return true;
}

void zset_free(struct value v)
{
    value_free(VALUE_ZSET, v);
}

static size_t zset_free_effort(const struct value *v)
{
    return is_compact(v) ? 1 : 1 + zset_size(v);
}

static struct value zset_copy(const struct value *v)
{
    if (is_compact(v))
        return (struct value){listpack_copy(v->at), v->encoding};
    struct zset *z = zset_large_create(zset_of(v)->env);
    struct zset_iterator i;
    struct zset_pair pair;
    zset_iterate(&i, v, 0, false);
    while (zset_next(&i, &pair)) {
        bool is_above = zset_large_append(z, zset_member_create(pair.member, pair.score));
        CHECK(is_above);
    }
    return (struct value){z, v->encoding};
}

static uint64_t score_bits(double score)
{
    uint64_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits;
}

/* The order follows from the pairs, so a sum of theirs will do. */
static struct digest zset_digest(const struct value *v)
{
    struct digest sum = {0};
    struct zset_iterator i;
    struct zset_pair pair;
    zset_iterate(&i, v, 0, false);
    while (zset_next(&i, &pair)) {
        struct digest_parts parts = {
            .type = VALUE_ZSET,
            .expire_at = (int64_t)score_key(pair.score),
            .key = digest_bytes(pair.member),
        };
        digest_add(&sum, digest_combine(&parts));
    }
    return sum;
}

static size_t members_memory(const struct zset *z, size_t samples)
{
    size_t size = tree_size(&z->order), looked = 0, bytes = 0;
    if (samples == 0 || samples > size)
        samples = size;
    struct tree_place place = tree_first(&z->order);
    for (; looked < samples; looked++, place = tree_next(place))
        bytes += mem_usable_size(tree_get(place).item);
    return value_memory_of_all(bytes, looked, size);
}

static size_t zset_memory(const struct value *v, size_t samples)
{
    if (is_compact(v))
        return mem_usable_size(v->at);
    const struct zset *z = zset_of(v);
    return mem_usable_size(z) + tree_bytes(&z->order) + dict_bytes(&z->members) + members_memory(z, samples);
}

/* --- saving --------------------------------------------------------------------------- */

static void save_pair(struct zset_pair pair, struct buf *out)
{
    char head[PAIR_HEAD_BYTES];
    put_le(put_le(head, score_bits(pair.score), 8), pair.member.len, 4);
    buf_append(out, head, sizeof head);
    buf_append_slice(out, pair.member);
}

/* at[0]: where to go on: compact, the byte offset of a member (0: the first);
 * large, a rank. */
static void zset_save(const struct value *v, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    struct zset_iterator i;
    struct zset_pair pair;
    zset_iterate(&i, v, is_compact(v) ? 0 : cursor->at[0], false);
    if (is_compact(v) && cursor->at[0] > 0)
        i.at = (const char *)v->at + cursor->at[0];
    size_t start = buf_size(out), saved = 0;
    bool has_more = true;
    while (has_more && (saved == 0 || buf_size(out) - start < limit)) {
        has_more = zset_next(&i, &pair);
        if (has_more) {
            save_pair(pair, out);
            saved++;
        }
    }
    if (!is_compact(v)) {
        cursor->at[0] += saved;
        cursor->is_done = cursor->at[0] == zset_size(v);
    } else {
        cursor->at[0] = i.at ? (uint64_t)(i.at - (const char *)v->at) : 0;
        cursor->is_done = !i.at;
    }
}

/* --- loading -------------------------------------------------------------------------- */

static bool load_compact(struct value *v, struct zset_pair pair)
{
    /* Less than a new member must leave: the scores that are there may be long already. */
    size_t bytes = listpack_element_bytes(pair.member) + ZSET_SCORE_TEXT_MAX;
    if (!zset_compact_is_above_last(v->at, pair.member, pair.score) || !listpack_has_room(v->at, bytes))
        return false;
    v->at = zset_compact_append(v->at, pair.member, pair.score);
    return true;
}

static bool load_large(struct value *v, struct zset_pair pair)
{
    if (zset_find(v, pair.member).is_present)
        return false;
    struct zset_member *m = zset_member_create(pair.member, pair.score);
    if (zset_large_append(zset_of(v), m))
        return true;
    member_free(m);
    return false;
}

static bool parse_pair(struct slice *part, struct zset_pair *pair)
{
    if (part->len < PAIR_HEAD_BYTES)
        return false;
    uint64_t bits = get_le(part->ptr, 8);
    memcpy(&pair->score, &bits, sizeof bits);
    pair->member = slice_make(part->ptr + PAIR_HEAD_BYTES, (size_t)get_le(part->ptr + 8, 4));
    if (isnan(pair->score) || pair->member.len > part->len - PAIR_HEAD_BYTES)
        return false;
    *part = slice_make(pair->member.ptr + pair->member.len, part->len - PAIR_HEAD_BYTES - pair->member.len);
    return true;
}

static bool zset_load(struct value *v, const struct value_env *env, struct slice part, bool is_last)
{
    if (!v->at)
        v->at = is_compact(v) ? (void *)listpack_create() : (void *)zset_large_create(env);
    while (part.len > 0) {
        struct zset_pair pair;
        if (!parse_pair(&part, &pair) || !(is_compact(v) ? load_compact(v, pair) : load_large(v, pair)))
            return false;
    }
    return !is_last || (zset_size(v) > 0 && (!is_compact(v) || !listpack_has_twins(v->at, 2, &env->secret)));
}

/* --- checking ------------------------------------------------------------------------- */

static void check_large(const struct value *v)
{
    const struct zset *z = zset_of(v);
    tree_check(&z->order);
    dict_check(&z->members);
    CHECK(tree_size(&z->order) == dict_size(&z->members));
    for (struct tree_place p = tree_first(&z->order); !tree_is_end(p); p = tree_next(p)) {
        const struct zset_member *m = tree_get(p).item;
        CHECK(!isnan(m->score));
        CHECK(tree_get(p).key == score_key(m->score));
        struct zset_found found = zset_find(v, member_slice(m));
        CHECK(found.is_present);
        CHECK(*found.slot == m);
    }
}

static void check_compact(const char *lp)
{
    listpack_check(lp);
    CHECK(listpack_count(lp) % 2 == 0);
    char scratch[2][INT64_TEXT_MAX];
    struct zset_pair last = {0};
    unsigned turn = 0;
    for (const char *at = listpack_first(lp), *score_at; at; at = listpack_next(lp, score_at), turn ^= 1) {
        score_at = listpack_next(lp, at);
        CHECK(score_at);
        struct zset_pair pair = {listpack_text(at, scratch[turn]), zset_compact_score(score_at)};
        CHECK(at == listpack_first(lp) || pair.score >= last.score);
        CHECK(at == listpack_first(lp) || pair.score != last.score || slice_compare(pair.member, last.member) > 0);
        last = pair;
    }
    static const struct key_hash_secret any_secret;
    CHECK(!listpack_has_twins(lp, 2, &any_secret));
}

static void zset_check(const struct value *v)
{
    if (is_compact(v))
        check_compact(v->at);
    else
        check_large(v);
}

const struct object_type zset_object_type = {
    .count = zset_size,
    .free_some = zset_free_some,
    .free_effort = zset_free_effort,
    .copy = zset_copy,
    .digest = zset_digest,
    .memory = zset_memory,
    .save = zset_save,
    .load = zset_load,
    .check = zset_check,
};
