/* Sorted sets: single members. */
#include "command/zset.h"

#include <math.h>

#include "base/alloc.h"
#include "command/families.h"

/* --- shared ------------------------------------------------------------------------- */

static void count_changes(struct call *c, enum keyspace_event_class event_class, const char *event,
                          struct slice key, size_t count)
{
    call_changed(c, event_class, event, key);
    keyspace_count_changes(c->ks, count - 1);
}

void zset_removed(struct call *c, struct slice key, struct entry *e, struct value v, const char *event,
                  size_t count)
{
    entry_put_value(e, v);
    count_changes(c, EVENT_ZSET, event, key, count);
    if (zset_size(&v) == 0)
        call_delete_empty(c, key);
}

void zset_store(struct call *c, struct slice key, struct value v, const char *event, size_t changes)
{
    size_t size = zset_size(&v);
    if (size > 0) {
        call_set_value(c, key, VALUE_ZSET, v);
        count_changes(c, EVENT_ZSET, event, key, changes);
    } else {
        zset_free(v);
        if (keyspace_delete(c->ks, c->db, key))
            call_changed(c, EVENT_GENERIC, "del", key);
    }
    reply_int(c->reply, (int64_t)size);
}

void zset_reply_count(struct reply *r, size_t count, bool with_scores)
{
    reply_array(r, with_scores && r->protocol == 2 ? count * 2 : count);
}

void zset_reply_pair(struct reply *r, struct zset_pair pair, bool with_scores)
{
    if (with_scores && r->protocol > 2)
        reply_array(r, 2);
    reply_bulk(r, pair.member);
    if (with_scores)
        reply_double(r, pair.score);
}

/* --- ZADD, ZINCRBY ------------------------------------------------------------------ */

enum outcome { OUTCOME_NOTHING, OUTCOME_SAME, OUTCOME_ADDED, OUTCOME_UPDATED, OUTCOME_NAN };

/* *score becomes what the member has, if anything was done. */
static enum outcome add_pair(struct value *v, const struct value_env *env, const struct zset_addition *a,
                             struct slice member, double *score)
{
    struct zset_found found = zset_find(v, member);
    if (!found.is_present) {
        if (a->is_old_only)
            return OUTCOME_NOTHING;
        zset_add(v, env, &found, member, *score);
        return OUTCOME_ADDED;
    }
    if (a->is_new_only)
        return OUTCOME_NOTHING;
    if (a->is_increment)
        *score += found.score;
    if (isnan(*score))
        return OUTCOME_NAN;
    if ((a->is_less_only && *score >= found.score) || (a->is_greater_only && *score <= found.score))
        return OUTCOME_NOTHING;
    if (*score == found.score)
        return OUTCOME_SAME;
    zset_move(v, &found, *score);
    return OUTCOME_UPDATED;
}

static void reply_addition(struct call *c, const struct zset_addition *a, size_t added, size_t updated,
                           enum outcome last, double score)
{
    if (!a->is_increment)
        reply_int(c->reply, (int64_t)(added + (a->counts_changed ? updated : 0)));
    else if (last == OUTCOME_NAN)
        reply_error(c->reply, "ERR resulting score is not a number (NaN)");
    else if (last == OUTCOME_NOTHING)
        reply_null(c->reply);
    else
        reply_double(c->reply, score);
}

void zset_add_pairs(struct call *c, const struct zset_addition *a)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_ZSET, &e))
        return;
    size_t added = 0, updated = 0;
    enum outcome outcome = OUTCOME_NOTHING;
    double score = 0;
    if (e || !a->is_old_only) {
        struct value v = e ? entry_value(e) : zset_create();
        for (size_t i = 0; i < a->count; i++) {
            score = a->pairs[i].score;
            outcome = add_pair(&v, keyspace_env(c->ks), a, a->pairs[i].member, &score);
            added += outcome == OUTCOME_ADDED;
            updated += outcome == OUTCOME_UPDATED;
        }
        if (e)
            entry_put_value(e, v);
        else
            call_set_value(c, c->argv[1], VALUE_ZSET, v);
    }
    reply_addition(c, a, added, updated, outcome, score);
    if (added + updated > 0)
        count_changes(c, EVENT_ZSET, a->is_increment ? "zincr" : "zadd", c->argv[1], added + updated);
}

/* Most first scores begin with no letter and need not be compared with words. */
static bool may_be_option(struct slice word)
{
    return word.len > 0 && ((word.ptr[0] >= 'a' && word.ptr[0] <= 'z') || (word.ptr[0] >= 'A' && word.ptr[0] <= 'Z'));
}

/* Options in front of the first score; returns its index. */
static int read_options(struct call *c, struct zset_addition *a)
{
    int i = 2;
    for (; i < c->argc && may_be_option(c->argv[i]); i++) {
        if (call_option(c, i, "nx"))
            a->is_new_only = true;
        else if (call_option(c, i, "xx"))
            a->is_old_only = true;
        else if (call_option(c, i, "gt"))
            a->is_greater_only = true;
        else if (call_option(c, i, "lt"))
            a->is_less_only = true;
        else if (call_option(c, i, "ch"))
            a->counts_changed = true;
        else if (call_option(c, i, "incr"))
            a->is_increment = true;
        else
            break;
    }
    return i;
}

static const char *options_error(const struct zset_addition *a, int pair_arguments)
{
    if (pair_arguments == 0 || pair_arguments % 2)
        return ERROR_SYNTAX;
    if (a->is_new_only && a->is_old_only)
        return "ERR XX and NX options at the same time are not compatible";
    if (a->is_new_only + a->is_greater_only + a->is_less_only > 1)
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    if (a->is_increment && pair_arguments > 2)
        return "ERR INCR option supports a single increment-element pair";
    return NULL;
}

static bool read_pairs(struct call *c, int first, struct zset_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int at = first + (int)i * 2;
        if (!slice_to_double(c->argv[at], &pairs[i].score)) {
            reply_error(c->reply, ERROR_NOT_FLOAT);
            return false;
        }
        pairs[i].member = c->argv[at + 1];
    }
    return true;
}

/* Pairs from argument first on. */
static void add_from(struct call *c, struct zset_addition *a, int first)
{
    enum { FEW = 8 };
    struct zset_pair few[FEW];
    a->count = (size_t)(c->argc - first) / 2;
    struct zset_pair *pairs = a->count <= FEW ? few : mem_alloc(a->count * sizeof *pairs);
    a->pairs = pairs;
    if (read_pairs(c, first, pairs, a->count))
        zset_add_pairs(c, a);
    if (pairs != few)
        mem_free(pairs);
}

static void zadd_command(struct call *c)
{
    struct zset_addition a = {0};
    int first = read_options(c, &a);
    const char *error = options_error(&a, c->argc - first);
    if (error)
        reply_error(c->reply, error);
    else
        add_from(c, &a, first);
}

static void zincrby_command(struct call *c)
{
    struct zset_addition a = {.is_increment = true};
    add_from(c, &a, 2);
}

/* --- ZREM --------------------------------------------------------------------------- */

static void zrem_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_ZSET, &e))
        return;
    size_t removed = 0;
    struct value v = e ? entry_value(e) : (struct value){0};
    for (int i = 2; e && i < c->argc && (removed == 0 || zset_size(&v) > 0); i++) {
        struct zset_found found = zset_find(&v, c->argv[i]);
        if (!found.is_present)
            continue;
        zset_remove(&v, &found);
        removed++;
    }
    if (removed > 0)
        zset_removed(c, c->argv[1], e, v, "zrem", removed);
    reply_int(c->reply, (int64_t)removed);
}

/* --- looking ------------------------------------------------------------------------ */

static void zcard_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_ZSET, &v, &is_there))
        reply_int(c->reply, is_there ? (int64_t)zset_size(&v) : 0);
}

static struct zset_found find_in(const struct entry *e, struct slice member)
{
    if (!e)
        return (struct zset_found){0};
    struct value v = entry_value(e);
    return zset_find(&v, member);
}

static void reply_score(struct call *c, const struct entry *e, struct slice member)
{
    struct zset_found found = find_in(e, member);
    if (found.is_present)
        reply_double(c->reply, found.score);
    else
        reply_null(c->reply);
}

static void zscore_command(struct call *c)
{
    struct entry *e;
    if (call_find_type(c, 1, VALUE_ZSET, &e))
        reply_score(c, e, c->argv[2]);
}

static void zmscore_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_score(c, e, c->argv[i]);
}

static void rank(struct call *c, bool is_reverse)
{
    struct entry *e;
    if (!call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    struct zset_found found = find_in(e, c->argv[2]);
    if (!found.is_present) {
        reply_null(c->reply);
        return;
    }
    struct value v = entry_value(e);
    size_t rank = zset_rank(&v, &found);
    reply_int(c->reply, (int64_t)(is_reverse ? zset_size(&v) - 1 - rank : rank));
}

static void zrank_command(struct call *c)
{
    rank(c, false);
}

static void zrevrank_command(struct call *c)
{
    rank(c, true);
}

/* --- the table ---------------------------------------------------------------------- */
const struct command command_zset_rows[] = {
    {ZSET_ROW(zadd, -4, WRITE, FAST_STORE),
     COMMAND_HISTORY({"2.4.0", "Takes several members."}, {"3.0.2", "NX, XX, CH and INCR."}, {"6.2.0", "GT and LT."}), .since = "1.2.0", .complexity = "O(log n) for each member",
     .summary = "Adds members to a sorted set, or gives them other scores.",
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT,
                       ARGUMENT("condition", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "3.0.2",
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("nx", "NX"), ARGUMENT_WORD("xx", "XX"))),
                       ARGUMENT("comparison", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "6.2.0",
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("gt", "GT"), ARGUMENT_WORD("lt", "LT"))),
                       ARGUMENT("change", PURE_TOKEN, .token = "CH", .flags = ARGUMENT_OPTIONAL,
                                .since = "3.0.2"),
                       ARGUMENT("increment", PURE_TOKEN, .token = "INCR", .flags = ARGUMENT_OPTIONAL,
                                .since = "3.0.2"),
                       ARGUMENT("score_member", BLOCK, .flags = ARGUMENT_MULTIPLE,
                                COMMAND_ARGUMENTS(ARGUMENT("score", DOUBLE), MEMBER_ARGUMENT)))},
    {ZSET_ROW(zincrby, 4, WRITE, FAST_STORE), .since = "1.2.0", .complexity = "O(log n)",
     .summary = "Adds to the score of a member; an absent one counts as 0.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("increment", INTEGER), MEMBER_ARGUMENT)},
    {ZSET_ROW(zrem, -3, WRITE, FAST_WRITE),
     COMMAND_HISTORY({"2.4.0", "Takes several members."}), .since = "1.2.0", .complexity = "O(log n) for each member",
     .summary = "Removes members of a sorted set, and the set with its last one.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
    {ZSET_ROW(zcard, 2, READ, FAST_READ), .since = "1.2.0", .complexity = "O(1)",
     .summary = "Counts the members of a sorted set.", COMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {ZSET_ROW(zscore, 3, READ, FAST_READ), .since = "1.2.0", .complexity = "O(1)",
     .summary = "Reads the score of a member.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBER_ARGUMENT)},
    {ZSET_ROW(zmscore, -3, READ, FAST_READ), .since = "6.2.0", .complexity = "O(members)",
     .summary = "Reads the scores of several members; null stands for those that are not there.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
    {ZSET_ROW(zrank, 3, READ, FAST_READ), .since = "2.0.0", .complexity = "O(log n)",
     .summary = "Tells how many members have a lower place than this one.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBER_ARGUMENT)},
    {ZSET_ROW(zrevrank, 3, READ, FAST_READ), .since = "2.0.0", .complexity = "O(log n)",
     .summary = "Tells how many members have a higher place than this one.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBER_ARGUMENT)},
};
COMMAND_FAMILY_COUNT(zset);
