/* Sorted sets: parts of them, by rank, score or member. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"
#include "command/zset.h"

/* --- ends of ranges ----------------------------------------------------------------- */

/* As strtod reads a C string: blanks in front, hexadecimal and infinities are
 * taken, nothing at all is 0, a zero byte is the end. */
static bool read_score_bound(struct slice text, double *score, bool *is_open)
{
    *is_open = text.len > 0 && text.ptr[0] == '(';
    text = slice_make(text.ptr + *is_open, text.len - *is_open);
    text.len = strnlen(text.ptr, text.len);
    enum { SHORT = 64 };
    char few[SHORT], *copy = text.len < SHORT ? few : mem_alloc(text.len + 1), *end;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *score = strtod(copy, &end);
    bool is_score = end == copy + text.len && !isnan(*score);
    if (copy != few)
        mem_free(copy);
    return is_score;
}

bool zset_read_scores(struct call *c, int min, int max, struct zset_score_range *range)
{
    if (read_score_bound(c->argv[min], &range->min, &range->is_min_open) &&
        read_score_bound(c->argv[max], &range->max, &range->is_max_open))
        return true;
    reply_error(c->reply, "ERR min or max is not a float");
    return false;
}

static bool read_lex_bound(struct slice text, struct zset_lex_bound *bound)
{
    if (text.len == 0)
        return false;
    char first = text.ptr[0];
    bound->is_open = first == '(';
    bound->member = slice_make(text.ptr + 1, text.len - 1);
    bound->kind = first == '-' ? LEX_LEAST : first == '+' ? LEX_GREATEST : LEX_MEMBER;
    if (bound->kind == LEX_MEMBER)
        return first == '(' || first == '[';
    return text.len == 1 || text.ptr[1] == '\0';
}

bool zset_read_lex(struct call *c, int min, int max, struct zset_lex_range *range)
{
    if (read_lex_bound(c->argv[min], &range->min) && read_lex_bound(c->argv[max], &range->max))
        return true;
    reply_error(c->reply, "ERR min or max not valid string range item");
    return false;
}

struct zset_run zset_run_of_ranks(size_t size, int64_t start, int64_t stop)
{
    int64_t count = (int64_t)size;
    start = start < 0 ? start + count : start;
    stop = stop < 0 ? stop + count : stop;
    start = start < 0 ? 0 : start;
    stop = stop >= count ? count - 1 : stop;
    if (start > stop || start >= count)
        return (struct zset_run){0, 0};
    return (struct zset_run){(size_t)start, (size_t)stop + 1};
}

/* A range of whichever kind. */
struct range {
    enum range_kind { RANGE_AUTO, RANGE_RANK, RANGE_SCORE, RANGE_LEX } kind;
    int64_t start, stop;
    struct zset_score_range scores;
    struct zset_lex_range lex;
};

static bool read_range(struct call *c, int min, int max, struct range *range)
{
    if (range->kind == RANGE_SCORE)
        return zset_read_scores(c, min, max, &range->scores);
    if (range->kind == RANGE_LEX)
        return zset_read_lex(c, min, max, &range->lex);
    return call_int64(c, min, &range->start) && call_int64(c, max, &range->stop);
}

static struct zset_run run_of(const struct value *v, const struct range *range)
{
    if (range->kind == RANGE_SCORE)
        return zset_run_of_scores(v, &range->scores);
    if (range->kind == RANGE_LEX)
        return zset_run_of_lex(v, &range->lex);
    return zset_run_of_ranks(zset_size(v), range->start, range->stop);
}

/* --- ZCOUNT, ZLEXCOUNT --------------------------------------------------------------- */

static void count_range(struct call *c, enum range_kind kind)
{
    struct range range = {.kind = kind};
    struct entry *e;
    if (!read_range(c, 2, 3, &range) || !call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    struct zset_run run = {0};
    if (e) {
        struct value v = entry_value(e);
        run = run_of(&v, &range);
    }
    reply_int(c->reply, (int64_t)(run.end - run.first));
}

static void zcount_command(struct call *c)
{
    count_range(c, RANGE_SCORE);
}

static void zlexcount_command(struct call *c)
{
    count_range(c, RANGE_LEX);
}

/* --- ZREMRANGEBY... ------------------------------------------------------------------ */

static void remove_range(struct call *c, enum range_kind kind, const char *event)
{
    struct range range = {.kind = kind};
    struct entry *e;
    if (!read_range(c, 2, 3, &range) || !call_find_type_for_write(c, 1, VALUE_ZSET, &e))
        return;
    struct zset_run run = {0};
    if (e) {
        struct value v = entry_value(e);
        run = run_of(&v, &range);
        if (run.end > run.first) {
            zset_remove_run(&v, run);
            zset_removed(c, c->argv[1], e, v, event, run.end - run.first);
        }
    }
    reply_int(c->reply, (int64_t)(run.end - run.first));
}

static void zremrangebyrank_command(struct call *c)
{
    remove_range(c, RANGE_RANK, "zremrangebyrank");
}

static void zremrangebyscore_command(struct call *c)
{
    remove_range(c, RANGE_SCORE, "zremrangebyscore");
}

static void zremrangebylex_command(struct call *c)
{
    remove_range(c, RANGE_LEX, "zremrangebylex");
}

/* --- ZRANGE and its kin --------------------------------------------------------------- */

enum direction { DIRECTION_AUTO, FORWARD, REVERSE };

struct query {
    struct range range;
    enum direction direction;
    bool is_store, with_scores;
    int64_t offset, limit; /* negative: empty, and all */
    int key;               /* argument; the ends of the range are behind it */
};

static bool read_query_options(struct call *c, struct query *q)
{
    for (int i = q->key + 3; i < c->argc; i++) {
        if (!q->is_store && call_option(c, i, "withscores")) {
            q->with_scores = true;
        } else if (call_option(c, i, "limit") && i + 2 < c->argc) {
            if (!call_int64(c, i + 1, &q->offset) || !call_int64(c, i + 2, &q->limit))
                return false;
            i += 2;
        } else if (q->direction == DIRECTION_AUTO && call_option(c, i, "rev")) {
            q->direction = REVERSE;
        } else if (q->range.kind == RANGE_AUTO && call_option(c, i, "bylex")) {
            q->range.kind = RANGE_LEX;
        } else if (q->range.kind == RANGE_AUTO && call_option(c, i, "byscore")) {
            q->range.kind = RANGE_SCORE;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static bool check_query(struct call *c, const struct query *q)
{
    const char *error = NULL;
    bool is_rank = q->range.kind == RANGE_AUTO || q->range.kind == RANGE_RANK;
    if (q->limit != -1 && is_rank)
        error = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    else if (q->with_scores && q->range.kind == RANGE_LEX)
        error = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    if (error)
        reply_error(c->reply, error);
    return !error;
}

static bool read_query(struct call *c, struct query *q)
{
    if (!read_query_options(c, q) || !check_query(c, q))
        return false;
    bool is_swapped = q->direction == REVERSE && (q->range.kind == RANGE_SCORE || q->range.kind == RANGE_LEX);
    int min = q->key + (is_swapped ? 2 : 1), max = q->key + (is_swapped ? 1 : 2);
    return read_range(c, min, max, &q->range);
}

/* The ranks to answer, in the query's direction: rank *first and *count of them
 * upwards or downwards. */
static void find_answer(const struct value *v, const struct query *q, size_t *first, size_t *count)
{
    struct zset_run run = run_of(v, &q->range);
    size_t length = run.end - run.first, skipped = 0;
    if (q->range.kind == RANGE_SCORE || q->range.kind == RANGE_LEX) {
        skipped = q->offset < 0 || (uint64_t)q->offset > length ? length : (size_t)q->offset;
        length -= skipped;
        if (q->limit >= 0 && (uint64_t)q->limit < length)
            length = (size_t)q->limit;
    } else if (q->direction == REVERSE) {
        /* Ranks count from the end. */
        size_t size = zset_size(v), last = size - run.first;
        run = (struct zset_run){size - run.end, last};
    }
    *count = length;
    *first = q->direction == REVERSE ? run.end - 1 - skipped : run.first + skipped;
}

static void reply_range(struct call *c, const struct value *v, const struct query *q)
{
    size_t first, count;
    struct zset_iterator i;
    struct zset_pair pair;
    find_answer(v, q, &first, &count);
    zset_reply_count(c->reply, count, q->with_scores);
    if (count == 0)
        return;
    zset_iterate(&i, v, first, q->direction == REVERSE);
    for (; count > 0 && zset_next(&i, &pair); count--)
        zset_reply_pair(c->reply, pair, q->with_scores);
}

/* A sorted set of its own, whichever the direction. */
static struct value cut_range(struct call *c, const struct value *v, const struct query *q)
{
    size_t first, count;
    struct zset_iterator i;
    struct zset_pair pair;
    find_answer(v, q, &first, &count);
    /* Where Redis knows the number beforehand. */
    bool is_rank = q->range.kind == RANGE_AUTO || q->range.kind == RANGE_RANK;
    struct value cut = is_rank ? zset_create_for(keyspace_env(c->ks), count, 0) : zset_create();
    if (count == 0)
        return cut;
    zset_iterate(&i, v, q->direction == REVERSE ? first + 1 - count : first, false);
    for (; count > 0 && zset_next(&i, &pair); count--) {
        bool is_above = zset_append(&cut, keyspace_env(c->ks), pair.member, pair.score);
        CHECK(is_above);
    }
    return cut;
}

static void run_query(struct call *c, struct query *q)
{
    struct entry *e;
    q->limit = -1;
    if (!read_query(c, q) || !call_find_type(c, q->key, VALUE_ZSET, &e))
        return;
    struct value v = e ? entry_value(e) : (struct value){0};
    if (q->is_store)
        zset_store(c, c->argv[1], e ? cut_range(c, &v, q) : zset_create(), "zrangestore", 1);
    else if (e)
        reply_range(c, &v, q);
    else
        reply_array(c->reply, 0);
}

static void answer_range(struct call *c, enum range_kind kind, enum direction direction)
{
    struct query q = {.range.kind = kind, .direction = direction, .key = 1};
    run_query(c, &q);
}

static void zrange_command(struct call *c)
{
    answer_range(c, RANGE_AUTO, DIRECTION_AUTO);
}

static void zrangestore_command(struct call *c)
{
    struct query q = {.is_store = true, .key = 2};
    run_query(c, &q);
}

static void zrevrange_command(struct call *c)
{
    answer_range(c, RANGE_RANK, REVERSE);
}

static void zrangebyscore_command(struct call *c)
{
    answer_range(c, RANGE_SCORE, FORWARD);
}

static void zrevrangebyscore_command(struct call *c)
{
    answer_range(c, RANGE_SCORE, REVERSE);
}

static void zrangebylex_command(struct call *c)
{
    answer_range(c, RANGE_LEX, FORWARD);
}

static void zrevrangebylex_command(struct call *c)
{
    answer_range(c, RANGE_LEX, REVERSE);
}

/* --- the table ---------------------------------------------------------------------- */

#define LIMIT_ARGUMENT                                                                                       \
    ARGUMENT("offset_count", BLOCK, .token = "LIMIT", .flags = ARGUMENT_OPTIONAL,                            \
             COMMAND_ARGUMENTS(ARGUMENT("offset", INTEGER), ARGUMENT("count", INTEGER)))

const struct command command_zset_range_rows[] = {
    {ZSET_ROW(zcount, 4, READ, FAST_READ), .since = "2.0.0", .complexity = "O(log n)",
     .summary = "Counts the members within a range of scores.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("min", DOUBLE), ARGUMENT("max", DOUBLE))},
    {ZSET_ROW(zlexcount, 4, READ, FAST_READ), .since = "2.8.9", .complexity = "O(log n)",
     .summary = "Counts the members between two names, where all scores are equal.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("min", STRING), ARGUMENT("max", STRING))},
    {ZSET_ROW(zremrangebyrank, 4, WRITE, COMMAND_WRITE), .since = "2.0.0",
     .complexity = "O(log n) for each member removed",
     .summary = "Removes the members within a range of ranks.", COMMAND_ONE_KEY(KEY_RW | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", INTEGER), ARGUMENT("stop", INTEGER))},
    {ZSET_ROW(zremrangebyscore, 4, WRITE, COMMAND_WRITE), .since = "1.2.0",
     .complexity = "O(log n) for each member removed",
     .summary = "Removes the members within a range of scores.", COMMAND_ONE_KEY(KEY_RW | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("min", DOUBLE), ARGUMENT("max", DOUBLE))},
    {ZSET_ROW(zremrangebylex, 4, WRITE, COMMAND_WRITE), .since = "2.8.9",
     .complexity = "O(log n) for each member removed",
     .summary = "Removes the members between two names, where all scores are equal.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("min", STRING), ARGUMENT("max", STRING))},
    {ZSET_ROW(zrange, -4, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"6.2.0", "REV, BYSCORE, BYLEX and LIMIT."}), .since = "1.2.0",
     .complexity = "O(log n + members answered)", .summary = "Lists members by rank, score or name.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", STRING), ARGUMENT("stop", STRING),
                       ARGUMENT("sortby", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "6.2.0",
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("byscore", "BYSCORE"),
                                                  ARGUMENT_WORD("bylex", "BYLEX"))),
                       ARGUMENT("rev", PURE_TOKEN, .token = "REV", .flags = ARGUMENT_OPTIONAL,
                                .since = "6.2.0"),
                       ARGUMENT("offset_count", BLOCK, .token = "LIMIT", .flags = ARGUMENT_OPTIONAL,
                                .since = "6.2.0",
                                COMMAND_ARGUMENTS(ARGUMENT("offset", INTEGER), ARGUMENT("count", INTEGER))),
                       WITHSCORES_ARGUMENT)},
    {ZSET_ROW(zrangestore, -5, WRITE, COMMAND_WRITE | COMMAND_DENYOOM), .since = "6.2.0",
     .complexity = "O(log n + members stored)",
     .summary = "Stores members chosen by rank, score or name as another sorted set.",
     COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_OW | KEY_UPDATE, 0, 1), KEY_RANGE(2, KEY_RO | KEY_ACCESS, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("dst", KEY), ARGUMENT("src", KEY, .key_spec_index = 1),
                       ARGUMENT("min", STRING), ARGUMENT("max", STRING),
                       ARGUMENT("sortby", ONEOF, .flags = ARGUMENT_OPTIONAL,
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("byscore", "BYSCORE"),
                                                  ARGUMENT_WORD("bylex", "BYLEX"))),
                       ARGUMENT("rev", PURE_TOKEN, .token = "REV", .flags = ARGUMENT_OPTIONAL),
                       LIMIT_ARGUMENT)},
    {ZSET_ROW(zrevrange, -4, READ, COMMAND_READONLY), .since = "1.2.0",
     .complexity = "O(log n + members answered)",
     .summary = "Lists members by rank, from the highest score down.", .deprecated_since = "6.2.0",
     .replaced_by = "`ZRANGE` with the `REV` argument", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", INTEGER), ARGUMENT("stop", INTEGER),
                       WITHSCORES_ARGUMENT)},
    {ZSET_ROW(zrangebyscore, -4, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"2.0.0", "WITHSCORES."}), .since = "1.0.5",
     .complexity = "O(log n + members answered)", .summary = "Lists the members within a range of scores.",
     .deprecated_since = "6.2.0", .replaced_by = "`ZRANGE` with the `BYSCORE` argument",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("min", DOUBLE), ARGUMENT("max", DOUBLE),
                       ARGUMENT("withscores", PURE_TOKEN, .token = "WITHSCORES", .flags = ARGUMENT_OPTIONAL,
                                .since = "2.0.0"), LIMIT_ARGUMENT)},
    {ZSET_ROW(zrevrangebyscore, -4, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"2.1.6", "Ranges without their ends."}), .since = "2.2.0",
     .complexity = "O(log n + members answered)",
     .summary = "Lists the members within a range of scores, from the highest down.",
     .deprecated_since = "6.2.0", .replaced_by = "`ZRANGE` with the `REV` and `BYSCORE` arguments",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("max", DOUBLE), ARGUMENT("min", DOUBLE), WITHSCORES_ARGUMENT,
                       LIMIT_ARGUMENT)},
    {ZSET_ROW(zrangebylex, -4, READ, COMMAND_READONLY), .since = "2.8.9",
     .complexity = "O(log n + members answered)",
     .summary = "Lists the members between two names, where all scores are equal.",
     .deprecated_since = "6.2.0", .replaced_by = "`ZRANGE` with the `BYLEX` argument",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("min", STRING), ARGUMENT("max", STRING), LIMIT_ARGUMENT)},
    {ZSET_ROW(zrevrangebylex, -4, READ, COMMAND_READONLY), .since = "2.8.9",
     .complexity = "O(log n + members answered)",
     .summary = "Lists the members between two names downwards, where all scores are equal.",
     .deprecated_since = "6.2.0", .replaced_by = "`ZRANGE` with the `REV` and `BYLEX` arguments",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("max", STRING), ARGUMENT("min", STRING), LIMIT_ARGUMENT)},
};
COMMAND_FAMILY_COUNT(zset_range);
