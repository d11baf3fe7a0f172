/* The compact form of a sorted set: a listpack of member, score, ... */
#include <stdio.h>

#include "store/zset_private.h"

/* (score, member) against (score, member). */
static int compare_pairs(double score_a, struct slice a, double score_b, struct slice b)
{
    if (score_a != score_b)
        return score_a < score_b ? -1 : 1;
    return slice_compare(a, b);
}

/* Whole numbers that Redis writes as integers. */
static bool score_is_int(double score, int64_t *integer)
{
    const double bound = 4611686018427387904.0;
    if (score < -bound || score > bound)
        return false;
    *integer = (int64_t)score;
    return (double)*integer == score;
}

struct slice zset_large_score_text(double score, char text[static ZSET_SCORE_TEXT_MAX])
{
    int length = snprintf(text, ZSET_SCORE_TEXT_MAX, "%.17g", score);
    CHECK(length > 0);
    CHECK(length < ZSET_SCORE_TEXT_MAX);
    return slice_make(text, (size_t)length);
}

struct slice zset_compact_score_text(double score, char text[static ZSET_SCORE_TEXT_MAX])
{
    int64_t integer;
    if (score_is_int(score, &integer))
        return slice_make(text, int64_to_text(integer, text));
    return zset_large_score_text(score, text);
}

double zset_compact_score(const char *at)
{
    int64_t integer;
    if (listpack_int(at, &integer))
        return (double)integer;
    double score;
    bool is_score = slice_to_double(listpack_get(at).bytes, &score);
    CHECK(is_score);
    return score;
}

char *zset_compact_append(char *lp, struct slice member, double score)
{
    char text[ZSET_SCORE_TEXT_MAX];
    return listpack_append_pair(lp, member, zset_compact_score_text(score, text));
}

bool zset_compact_has_room(const char *lp, struct slice member)
{
    return listpack_has_room(lp, listpack_element_bytes(member) + (zset_compact_size(lp) + 1) * ZSET_SCORE_TEXT_MAX);
}

const char *zset_compact_score_at(const char *lp, const char *member_at)
{
    const char *at = listpack_next(lp, member_at);
    CHECK(at);
    return at;
}

/* The pair whose member stands at this element; *next becomes the one behind. */
struct zset_pair zset_compact_pair(const char *lp, const char *at, const char **next,
                                     char scratch[static INT64_TEXT_MAX])
{
    const char *score_at = zset_compact_score_at(lp, at);
    *next = listpack_next(lp, score_at);
    return (struct zset_pair){listpack_text(at, scratch), zset_compact_score(score_at)};
}

size_t zset_compact_size(const char *lp)
{
    return listpack_count(lp) / 2;
}

bool zset_compact_is_above_last(const char *lp, struct slice member, double score)
{
    const char *score_at = listpack_last(lp);
    if (!score_at)
        return true;
    char scratch[INT64_TEXT_MAX];
    const char *at = listpack_prev(lp, score_at);
    CHECK(at);
    return compare_pairs(score, member, zset_compact_score(score_at), listpack_text(at, scratch)) > 0;
}

/* Where a pair belongs: the member element it stands before.  Members are looked
 * at only where scores are equal. */
static const char *compact_position(const char *lp, struct slice member, double score)
{
    char scratch[INT64_TEXT_MAX];
    const char *at = listpack_first(lp);
    while (at) {
        const char *score_at = zset_compact_score_at(lp, at);
        double other = zset_compact_score(score_at);
        if (other > score || (other == score && slice_compare(listpack_text(at, scratch), member) > 0))
            break;
        at = listpack_next(lp, score_at);
    }
    return at;
}

char *zset_compact_insert(char *lp, struct slice member, double score)
{
    if (zset_compact_is_above_last(lp, member, score))
        return zset_compact_append(lp, member, score);
    char text[ZSET_SCORE_TEXT_MAX];
    const char *at = compact_position(lp, member, score);
    lp = listpack_insert(lp, &at, member);
    at = listpack_next(lp, at);
    return listpack_insert(lp, &at, zset_compact_score_text(score, text));
}

/* True if this score leaves the pair whose member stands at this element where
 * it is. */
static bool compact_may_stay(const char *lp, const char *at, double score)
{
    char scratch[INT64_TEXT_MAX], other[INT64_TEXT_MAX];
    struct slice member = listpack_text(at, scratch);
    const char *score_at = zset_compact_score_at(lp, at);
    const char *next = listpack_next(lp, score_at), *previous_score = listpack_prev(lp, at);
    if (next && compare_pairs(score, member, zset_compact_score(zset_compact_score_at(lp, next)),
                              listpack_text(next, other)) >= 0)
        return false;
    return !previous_score || compare_pairs(score, member, zset_compact_score(previous_score),
                                            listpack_text(listpack_prev(lp, previous_score), other)) > 0;
}

/* The member's bytes are in the listpack and must be taken out before it moves. */
char *zset_compact_move(char *lp, const char *at, double score)
{
    char text[ZSET_SCORE_TEXT_MAX], scratch[INT64_TEXT_MAX];
    if (compact_may_stay(lp, at, score)) {
        at = zset_compact_score_at(lp, at);
        return listpack_replace(lp, &at, zset_compact_score_text(score, text));
    }
    struct slice borrowed = listpack_text(at, scratch);
    char *copy = mem_alloc(borrowed.len + 1);
    memcpy(copy, borrowed.ptr, borrowed.len);
    lp = listpack_remove(lp, &at, 2);
    lp = zset_compact_insert(lp, slice_make(copy, borrowed.len), score);
    mem_free(copy);
    return lp;
}

