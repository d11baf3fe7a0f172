/* Sorted sets: members from the ends, at once or waited for; members at random;
 * all of them piece by piece. */
#include "command/families.h"
#include "command/scan.h"
#include "command/zset.h"
#include "store/sample.h"

/* --- popping -------------------------------------------------------------------------- */

enum { COUNT_NONE = -1 };

struct pop {
    int first_key, key_count; /* arguments; the first key that is there serves */
    bool is_max;
    int64_t count; /* COUNT_NONE: one, and the reply is flat */
    bool names_key;     /* the reply begins with the key */
    bool is_nested;     /* the reply holds pairs */
    bool is_null_empty; /* nothing there: a null, not an empty array */
};

/* False, with WRONGTYPE written, if a key that is no sorted set comes first. */
static bool find_first(struct call *c, const struct pop *p, int *index, struct entry **e)
{
    *e = NULL;
    for (int i = 0; i < p->key_count && !*e; i++) {
        *index = p->first_key + i;
        if (!call_find_type_for_write(c, *index, VALUE_ZSET, e))
            return false;
    }
    return true;
}

static void reply_pop_head(struct call *c, const struct pop *p, struct slice key, size_t count)
{
    if (p->names_key)
        reply_array(c->reply, p->is_nested ? 2 : count * 2 + 1);
    if (p->names_key)
        reply_bulk(c->reply, key);
    if (p->is_nested || !p->names_key)
        reply_array(c->reply, p->is_nested ? count : count * 2);
}

static void pop_from(struct call *c, const struct pop *p, struct slice key, struct entry *e)
{
    struct value v = entry_value(e);
    struct zset_iterator i;
    struct zset_pair pair;
    size_t size = zset_size(&v), wanted = p->count == COUNT_NONE ? 1 : (size_t)p->count;
    size_t count = wanted < size ? wanted : size;
    reply_pop_head(c, p, key, count);
    zset_iterate(&i, &v, p->is_max ? size - 1 : 0, p->is_max);
    for (size_t n = 0; c->reply->out && n < count && zset_next(&i, &pair); n++) {
        if (p->is_nested)
            reply_array(c->reply, 2);
        reply_bulk(c->reply, pair.member);
        reply_double(c->reply, pair.score);
    }
    zset_remove_run(&v, p->is_max ? (struct zset_run){size - count, size} : (struct zset_run){0, count});
    zset_removed(c, key, e, v, p->is_max ? "zpopmax" : "zpopmin", count);
}

/* True if it has replied; false if no key is there. */
static bool try_pop(struct call *c, const struct pop *p)
{
    struct entry *e;
    int index;
    if (!find_first(c, p, &index, &e))
        return true;
    if (!e)
        return false;
    if (p->count == 0)
        reply_array(c->reply, 0);
    else
        pop_from(c, p, c->argv[index], e);
    return true;
}

static void pop_now(struct call *c, const struct pop *p)
{
    if (try_pop(c, p))
        return;
    if (p->is_null_empty)
        reply_null_array(c->reply);
    else
        reply_array(c->reply, 0);
}

static void pop_or_wait(struct call *c, const struct pop *p, int timeout_index)
{
    struct call_wait wait = {.type = VALUE_ZSET, .first_key = p->first_key,
                             .last_key = p->first_key + p->key_count - 1, .key_step = 1, .is_null_array = true};
    if (!call_timeout(c, timeout_index, &wait.timeout_ms) || try_pop(c, p))
        return;
    if (!call_block(c, &wait))
        reply_null_array(c->reply);
}

static void pop_end(struct call *c, bool is_max)
{
    struct pop p = {.first_key = 1, .key_count = 1, .is_max = is_max, .count = COUNT_NONE};
    if (c->argc > 3) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 3) {
        if (!call_int64_or(c, 2, &p.count, "ERR value is out of range, must be positive"))
            return;
        if (p.count < 0) {
            reply_error(c->reply, "ERR value is out of range, must be positive");
            return;
        }
        p.is_nested = c->reply->protocol > 2;
    }
    pop_now(c, &p);
}

static void zpopmin_command(struct call *c)
{
    pop_end(c, false);
}

static void zpopmax_command(struct call *c)
{
    pop_end(c, true);
}

static void pop_end_or_wait(struct call *c, bool is_max)
{
    struct pop p = {.first_key = 1, .key_count = c->argc - 2, .is_max = is_max, .count = COUNT_NONE,
                    .names_key = true};
    pop_or_wait(c, &p, c->argc - 1);
}

static void bzpopmin_command(struct call *c)
{
    pop_end_or_wait(c, false);
}

static void bzpopmax_command(struct call *c)
{
    pop_end_or_wait(c, true);
}

static bool read_count(struct call *c, int index, int64_t *count, const char *error)
{
    if (!call_int64_or(c, index, count, error))
        return false;
    if (*count >= 1)
        return true;
    reply_error(c->reply, error);
    return false;
}

/* numkeys key ... MIN|MAX [COUNT count], from argument at on. */
static bool read_pop(struct call *c, int at, struct pop *p)
{
    int64_t key_count;
    *p = (struct pop){.first_key = at + 1, .count = COUNT_NONE, .names_key = true, .is_nested = true,
                      .is_null_empty = true};
    if (!read_count(c, at, &key_count, "ERR numkeys should be greater than 0"))
        return false;
    bool has_where = key_count < c->argc - at - 1;
    int where = has_where ? at + 1 + (int)key_count : 0;
    p->key_count = has_where ? (int)key_count : 0;
    p->is_max = has_where && call_option(c, where, "max");
    if (!p->is_max && !(has_where && call_option(c, where, "min"))) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    for (int i = where + 1; i < c->argc; i += 2) {
        if (p->count != COUNT_NONE || !call_option(c, i, "count") || i + 1 == c->argc) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!read_count(c, i + 1, &p->count, "ERR count should be greater than 0"))
            return false;
    }
    return true;
}

static void zmpop_command(struct call *c)
{
    struct pop p;
    if (read_pop(c, 1, &p))
        pop_now(c, &p);
}

static void bzmpop_command(struct call *c)
{
    struct pop p;
    if (read_pop(c, 2, &p))
        pop_or_wait(c, &p, 1);
}

/* --- ZRANDMEMBER ------------------------------------------------------------------------ */

static void reply_at(struct call *c, const struct value *v, size_t rank, bool with_scores)
{
    char scratch[INT64_TEXT_MAX];
    zset_reply_pair(c->reply, zset_at(v, rank, scratch), with_scores);
}

static void reply_all(struct call *c, const struct value *v, bool with_scores)
{
    struct zset_iterator i;
    struct zset_pair pair;
    zset_reply_count(c->reply, zset_size(v), with_scores);
    zset_iterate(&i, v, 0, false);
    while (zset_next(&i, &pair))
        zset_reply_pair(c->reply, pair, with_scores);
}

static void reply_different(struct call *c, const struct value *v, size_t count, bool with_scores)
{
    struct random random;
    struct sample sample;
    random_init(&random, c->seed);
    sample_init(&sample, &random, zset_size(v), count);
    zset_reply_count(c->reply, count, with_scores);
    for (size_t i = 0; i < count; i++)
        reply_at(c, v, sample_next(&sample), with_scores);
    sample_deinit(&sample);
}

static void reply_repeated(struct call *c, const struct value *v, size_t count, bool with_scores)
{
    struct random random;
    random_init(&random, c->seed);
    zset_reply_count(c->reply, count, with_scores);
    for (size_t i = 0; i < count; i++)
        reply_at(c, v, random_below(&random, zset_size(v)), with_scores);
}

static bool read_random_count(struct call *c, int64_t *count, bool *with_scores)
{
    if (!call_random_count(c, 2, count))
        return false;
    *with_scores = c->argc == 4 && call_option(c, 3, "withscores");
    if (c->argc > 4 || (c->argc == 4 && !*with_scores)) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (*with_scores && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2)) {
        reply_error(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void reply_many(struct call *c, const struct value *v, int64_t count, bool with_scores)
{
    if (count < -SAMPLE_REPEATS_MAX)
        reply_error(c->reply, "ERR value is out of range");
    else if (count < 0)
        reply_repeated(c, v, (size_t)-count, with_scores);
    else if ((uint64_t)count >= zset_size(v))
        reply_all(c, v, with_scores);
    else
        reply_different(c, v, (size_t)count, with_scores);
}

static void zrandmember_command(struct call *c)
{
    struct entry *e;
    int64_t count = 0;
    bool with_scores = false, has_count = c->argc > 2;
    if (has_count && !read_random_count(c, &count, &with_scores))
        return;
    if (!call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    struct value v = e ? entry_value(e) : (struct value){0};
    if (has_count && (!e || count == 0)) {
        reply_array(c->reply, 0);
    } else if (has_count) {
        reply_many(c, &v, count, with_scores);
    } else if (e) {
        struct random random;
        random_init(&random, c->seed);
        reply_at(c, &v, random_below(&random, zset_size(&v)), false);
    } else {
        reply_null(c->reply);
    }
}

/* --- ZSCAN -------------------------------------------------------------------------------- */

struct scan {
    const struct value *value;
    struct scan_found found;
};

static void scan_pair(void *context, struct zset_pair pair)
{
    struct scan *s = context;
    if (!scan_lets_through(s->found.options, pair.member))
        return;
    char text[ZSET_SCORE_TEXT_MAX];
    reply_bulk(&s->found.reply, pair.member);
    reply_bulk(&s->found.reply, zset_score_text(s->value, pair.score, text));
    s->found.count += 2;
}

static void zscan_command(struct call *c)
{
    struct entry *e;
    uint64_t cursor;
    struct scan_options options;
    if (!scan_open(c, VALUE_ZSET, &e, &cursor, &options))
        return;
    struct value v = entry_value(e);
    struct scan s = {.value = &v};
    scan_found_init(&s.found, c, &options);
    cursor = zset_scan(&v, cursor, (size_t)options.count, scan_pair, &s);
    scan_finish(c, &s.found, cursor);
}

/* --- the table ---------------------------------------------------------------------- */

#define WHERE_ARGUMENT                                                                                       \
    ARGUMENT("where", ONEOF, COMMAND_ARGUMENTS(ARGUMENT_WORD("min", "MIN"), ARGUMENT_WORD("max", "MAX")))

const struct command command_zset_pop_rows[] = {
    {ZSET_ROW(zpopmin, -2, WRITE, FAST_WRITE), .since = "5.0.0", .complexity = "O(log n) for each member",
     .summary = "Takes the members with the lowest scores out.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("count", INTEGER, .flags = ARGUMENT_OPTIONAL))},
    {ZSET_ROW(zpopmax, -2, WRITE, FAST_WRITE), .since = "5.0.0", .complexity = "O(log n) for each member",
     .summary = "Takes the members with the highest scores out.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("count", INTEGER, .flags = ARGUMENT_OPTIONAL))},
    {ZSET_ROW(bzpopmin, -3, WRITE, COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_FAST),
     COMMAND_HISTORY({"6.0.0", "A timeout may have a fraction."}),
     .since = "5.0.0", .complexity = "O(keys + log n)",
     .summary = "Takes the member with the lowest score out of the first sorted set there is, or waits for one.",
     COMMAND_KEYS(1, -2, 1), COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, -2, 1)),
     COMMAND_ARGUMENTS(KEYS_ARGUMENT, ARGUMENT("timeout", DOUBLE))},
    {ZSET_ROW(bzpopmax, -3, WRITE, COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING | COMMAND_FAST),
     COMMAND_HISTORY({"6.0.0", "A timeout may have a fraction."}),
     .since = "5.0.0", .complexity = "O(keys + log n)",
     .summary = "Takes the member with the highest score out of the first sorted set there is, or waits for one.",
     COMMAND_KEYS(1, -2, 1), COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, -2, 1)),
     COMMAND_ARGUMENTS(KEYS_ARGUMENT, ARGUMENT("timeout", DOUBLE))},
    {ZSET_ROW(zmpop, -4, WRITE, COMMAND_WRITE | COMMAND_MOVABLEKEYS), .since = "7.0.0",
     .complexity = "O(keys + log n for each member)",
     .summary = "Takes members from one end of the first sorted set there is.",
     COMMAND_SPECS(KEY_COUNTED(1, KEY_RW | KEY_ACCESS | KEY_DELETE)),
     COMMAND_ARGUMENTS(NUMKEYS_ARGUMENT, KEYS_ARGUMENT, WHERE_ARGUMENT,
                       ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL))},
    {ZSET_ROW(bzmpop, -5, WRITE, COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLEKEYS), .since = "7.0.0",
     .complexity = "O(keys + log n for each member)",
     .summary = "Takes members from one end of the first sorted set there is, or waits for one.",
     COMMAND_SPECS(KEY_COUNTED(2, KEY_RW | KEY_ACCESS | KEY_DELETE)),
     COMMAND_ARGUMENTS(ARGUMENT("timeout", DOUBLE), NUMKEYS_ARGUMENT, KEYS_ARGUMENT, WHERE_ARGUMENT,
                       ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL))},
    {ZSET_ROW(zrandmember, -2, READ, COMMAND_READONLY), .since = "6.2.0",
     .complexity = "O(log n) for each member", .summary = "Names members of a sorted set at random.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(KEY_ARGUMENT,
                       ARGUMENT("options", BLOCK, .flags = ARGUMENT_OPTIONAL,
                                COMMAND_ARGUMENTS(ARGUMENT("count", INTEGER), WITHSCORES_ARGUMENT)))},
    {ZSET_ROW(zscan, -3, READ, COMMAND_READONLY), .since = "2.8.0",
     .complexity = "O(COUNT) for a call, O(n) from the first cursor to the last",
     .summary = "Lists members and scores of a sorted set piece by piece, going on from a cursor.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("cursor", INTEGER),
                       ARGUMENT("pattern", PATTERN, .token = "MATCH", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL))},
};
COMMAND_FAMILY_COUNT(zset_pop);
