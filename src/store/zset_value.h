/* Sorted sets: the value of a key of VALUE_ZSET.  Members, each once, in the
 * order of (score, bytes of the member).
 *
 * Two forms:
 *
 *   ENCODING_LISTPACK  member, score, member, score, ... ascending, as Redis
 *                      writes them: a score that is a whole number of at most
 *                      2^62 as an integer, others as %.17g, "inf", "-inf"
 *   ENCODING_SKIPLIST  a dict of members and a tree of the same blocks
 *
 *       dict: hash -> member block                 (by name)
 *       tree: (sortable score, member block)       (by score, by rank)
 *       member block: score 8, length 1 or 5, bytes
 *
 * A sorted set leaves the compact form when a member comes that is one too
 * many, or too long (zset-max-listpack-entries, -value), and never returns to it.
 *
 * Scores are never NaN.  -0 equals 0 in every comparison; the large form keeps
 * its sign, the compact one does not (nor does Redis).
 *
 * Everything that speaks of a part of a sorted set comes down to ranks from 0
 * and a run [first, end) of them.
 *
 * Costs: O(log n) in the large form, O(n) in the compact one; walking a step,
 * O(1).  Slices given out live until the next change, or as long as the scratch. */
#ifndef STORE_ZSET_VALUE_H
#define STORE_ZSET_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/tree.h"
#include "store/value.h"

struct zset_pair {
    struct slice member;
    double score;
};

/* Empty and compact. */
struct value zset_create(void);
/* Empty, in the form that so many members will have, the longest of which has so
 * many bytes. */
struct value zset_create_for(const struct value_env *env, size_t count, size_t longest);
/* All at once, for values that are in no entry. */
void zset_free(struct value v);
/* O(1) below 32768 members in the compact form. */
size_t zset_size(const struct value *v);

/* --- by member ------------------------------------------------------------------ */

/* Where a member is, or that it is not there; good until the next change. */
struct zset_found {
    bool is_present;
    double score;
    const char *at; /* compact */
    uint64_t hash;  /* large */
    void **slot;
};
struct zset_found zset_find(const struct value *v, struct slice member);
/* The member found not to be there.  Its bytes must not lie in v. */
void zset_add(struct value *v, const struct value_env *env, const struct zset_found *found, struct slice member,
              double score);
/* The member found gets another score. */
void zset_move(struct value *v, const struct zset_found *found, double score);
void zset_remove(struct value *v, const struct zset_found *found);
/* Of the member found. */
size_t zset_rank(const struct value *v, const struct zset_found *found);
/* Adds behind all others; false, and nothing is changed, if it is not above
 * them.  That it is not among them is the caller's business.  Building so from
 * ascending pairs costs no searches. */
bool zset_append(struct value *v, const struct value_env *env, struct slice member, double score);

/* --- by order ------------------------------------------------------------------- */

struct zset_score_range {
    double min, max;
    bool is_min_open, is_max_open; /* min, max themselves do not belong to it */
};
struct zset_lex_bound {
    enum { LEX_MEMBER, LEX_LEAST, LEX_GREATEST } kind; /* the latter two: below and above all */
    struct slice member;
    bool is_open;
};
struct zset_lex_range {
    struct zset_lex_bound min, max;
};
/* Ranks [first, end).  A lex range means something only where all scores are
 * equal; elsewhere its run follows from the members and their form all the same,
 * and costs O(log n * log n). */
struct zset_run {
    size_t first, end;
};
struct zset_run zset_run_of_scores(const struct value *v, const struct zset_score_range *range);
struct zset_run zset_run_of_lex(const struct value *v, const struct zset_lex_range *range);
/* Where such a range lies that no member can be in, for any value. */
bool zset_lex_range_is_empty(const struct zset_lex_range *range);
/* end at most the size. */
void zset_remove_run(struct value *v, struct zset_run run);

/* The pair of a rank below the size. */
struct zset_pair zset_at(const struct value *v, size_t rank, char scratch[static INT64_TEXT_MAX]);

struct zset_iterator {
    bool is_reverse;
    const char *lp, *at; /* compact */
    struct tree_place place;
    char scratch[INT64_TEXT_MAX];
};
/* From a rank on, upwards or downwards; a rank that is not below the size is
 * the end. */
void zset_iterate(struct zset_iterator *i, const struct value *v, size_t rank, bool is_reverse);
/* False at the end.  The member lives until the next call or change. */
bool zset_next(struct zset_iterator *i, struct zset_pair *pair);

/* A score of this value's as ZSCAN shows it: as the compact form writes it, but
 * in the large form without regard to whole numbers. */
enum { ZSET_SCORE_TEXT_MAX = 32 };
struct slice zset_score_text(const struct value *v, double score, char text[static ZSET_SCORE_TEXT_MAX]);

/* ZSCAN: visits about count members from cursor on, all of them in the compact
 * form, and returns the next cursor, 0 at the end (dict.h). */
typedef void zset_visit_fn(void *context, struct zset_pair pair);
uint64_t zset_scan(const struct value *v, uint64_t cursor, size_t count, zset_visit_fn *visit, void *context);

#endif
