/* The two forms of a sorted set, for zset_value.c, zset_compact.c and
 * zset_parts.c. */
#ifndef STORE_ZSET_PRIVATE_H
#define STORE_ZSET_PRIVATE_H

#include "base/alloc.h"
#include "base/check.h"
#include "store/dict.h"
#include "store/length.h"
#include "store/listpack.h"
#include "store/zset_value.h"

/* --- the large form -------------------------------------------------------------- */

struct zset {
    struct dict members;
    struct tree order;
    const struct value_env *env;
};
struct zset_member {
    double score;
    char bytes[]; /* length, member */
};

static inline struct zset *zset_of(const struct value *v)
{
    CHECK(v->encoding == ENCODING_SKIPLIST);
    return v->at;
}

static inline struct slice member_slice(const struct zset_member *m)
{
    struct slice slice;
    slice.ptr = length_read(m->bytes, &slice.len);
    return slice;
}

static inline size_t member_bytes(const struct zset_member *m)
{
    size_t length = member_slice(m).len;
    return sizeof *m + length_bytes(length) + length;
}

static inline void member_free(struct zset_member *m)
{
    mem_free_sized(m, member_bytes(m));
}

/* Ascends as scores do; the sign of a zero is lost. */
static inline uint64_t score_key(double score)
{
    uint64_t bits;
    double normal = score + 0.0;
    memcpy(&bits, &normal, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static inline struct tree_item item_of(struct zset_member *m)
{
    return (struct tree_item){score_key(m->score), m};
}

struct zset *zset_large_create(const struct value_env *env);
struct zset_member *zset_member_create(struct slice member, double score);
/* Behind all others; false if it is not above them. */
bool zset_large_append(struct zset *z, struct zset_member *m);

/* %.17g, whole numbers too. */
struct slice zset_large_score_text(double score, char text[static ZSET_SCORE_TEXT_MAX]);

/* --- the compact form ------------------------------------------------------------- *
 * Functions that take a listpack and return one leave it where they return it.  A
 * pair is known by its member's element. */

static inline bool is_compact(const struct value *v)
{
    return v->encoding == ENCODING_LISTPACK;
}

size_t zset_compact_size(const char *lp);
/* The element behind a member's: its score's. */
const char *zset_compact_score_at(const char *lp, const char *member_at);
/* The score that stands at this element, and how it would be written. */
double zset_compact_score(const char *score_at);
struct slice zset_compact_score_text(double score, char text[static ZSET_SCORE_TEXT_MAX]);
/* *next becomes the pair behind, or NULL; it may be at's own variable. */
struct zset_pair zset_compact_pair(const char *lp, const char *at, const char **next,
                                   char scratch[static INT64_TEXT_MAX]);
/* True if a member may be added without passing the format's limit. */
bool zset_compact_has_room(const char *lp, struct slice member);
bool zset_compact_is_above_last(const char *lp, struct slice member, double score);
/* Behind all others, whatever they are. */
char *zset_compact_append(char *lp, struct slice member, double score);
/* Where it belongs; the member must not be there. */
char *zset_compact_insert(char *lp, struct slice member, double score);
/* A pair gets another score. */
char *zset_compact_move(char *lp, const char *at, double score);

#endif
