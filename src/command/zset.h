/* What the files on sorted sets, and those on places (geo), share. */
#ifndef COMMAND_ZSET_H
#define COMMAND_ZSET_H

#include "command/command.h"
#include "store/zset_value.h"

/* --- adding ----------------------------------------------------------------------- */

/* ZADD and what comes down to it. */
struct zset_addition {
    bool is_new_only, is_old_only;      /* NX, XX */
    bool is_greater_only, is_less_only; /* GT, LT */
    bool counts_changed;                /* CH */
    bool is_increment;                  /* INCR: one pair, and the reply is its score */
    const struct zset_pair *pairs;      /* borrowed */
    size_t count;
};
/* Runs it on the key argv[1] and replies. */
void zset_add_pairs(struct call *c, const struct zset_addition *a);

/* --- after a change ----------------------------------------------------------------- */

/* Members were removed from e's value, now v: puts it back, or deletes the key
 * if nothing is left, with its events. */
void zset_removed(struct call *c, struct slice key, struct entry *e, struct value v, const char *event,
                  size_t count);
/* The result of a command that stores: gives v to key, or, v being empty,
 * deletes the key.  Takes v; replies its size. */
void zset_store(struct call *c, struct slice key, struct value v, const char *event, size_t changes);

/* --- ranges ------------------------------------------------------------------------- */

/* Arguments as the two ends of a range; these write Redis's error. */
bool zset_read_scores(struct call *c, int min, int max, struct zset_score_range *range);
bool zset_read_lex(struct call *c, int min, int max, struct zset_lex_range *range);
/* Ranks as ZRANGE takes them, negative ones from the end, in a set of so many. */
struct zset_run zset_run_of_ranks(size_t size, int64_t start, int64_t stop);

/* --- replies ------------------------------------------------------------------------ *
 * With scores: a flat array in RESP2, an array of pairs in RESP3. */
void zset_reply_count(struct reply *r, size_t count, bool with_scores);
void zset_reply_pair(struct reply *r, struct zset_pair pair, bool with_scores);

/* --- rows --------------------------------------------------------------------------- */

#define ZSET_ROW(name_, arity_, route_, flags_)                                                              \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_SORTEDSET, .group = "sorted-set"
#define FAST_WRITE (COMMAND_WRITE | COMMAND_FAST)
#define FAST_STORE (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define FAST_READ  (COMMAND_READONLY | COMMAND_FAST)

#define KEY_ARGUMENT     ARGUMENT("key", KEY)
#define KEYS_ARGUMENT    ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE)
#define NUMKEYS_ARGUMENT ARGUMENT("numkeys", INTEGER)
#define MEMBER_ARGUMENT  ARGUMENT("member", STRING)
#define MEMBERS_ARGUMENT ARGUMENT("member", STRING, .flags = ARGUMENT_MULTIPLE)
#define WITHSCORES_ARGUMENT                                                                                  \
    ARGUMENT("withscores", PURE_TOKEN, .token = "WITHSCORES", .flags = ARGUMENT_OPTIONAL)

#endif
