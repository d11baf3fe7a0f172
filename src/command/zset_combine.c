/* Sorted sets combined: union, intersection, difference, of sorted sets and of
 * sets, whose members all have score 1.
 *
 * Results are gathered as items, found again by a dict where several sources may
 * hold a member, and sorted once at the end. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"
#include "command/zset.h"
#include "store/dict.h"
#include "store/set_value.h"

enum operation { UNION, INTERSECTION, DIFFERENCE };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

/* --- sources ------------------------------------------------------------------------ */

struct source {
    const struct entry *entry; /* NULL: empty */
    struct value value;
    bool is_set;
    size_t size, place; /* place among the arguments */
    double weight;
};

static void source_open(struct source *s, const struct entry *e, size_t place)
{
    *s = (struct source){.entry = e, .place = place, .weight = 1};
    if (!e)
        return;
    s->value = entry_value(e);
    s->is_set = entry_type(e) == VALUE_SET;
    s->size = s->is_set ? set_size(&s->value) : zset_size(&s->value);
}

static bool source_find(const struct source *s, struct slice member, double *score)
{
    if (!s->entry)
        return false;
    if (s->is_set) {
        *score = 1;
        return set_has(&s->value, member);
    }
    struct zset_found found = zset_find(&s->value, member);
    *score = found.score;
    return found.is_present;
}

struct walk {
    const struct source *source;
    struct set_iterator set;
    struct zset_iterator zset;
};

static void walk_begin(struct walk *w, const struct source *s)
{
    w->source = s;
    if (s->is_set)
        set_iterate(&w->set, &s->value);
    else if (s->entry)
        zset_iterate(&w->zset, &s->value, 0, false);
}

static bool walk_next(struct walk *w, struct zset_pair *pair)
{
    if (!w->source->entry)
        return false;
    if (!w->source->is_set)
        return zset_next(&w->zset, pair);
    pair->score = 1;
    return set_next(&w->set, &pair->member);
}

/* --- the result --------------------------------------------------------------------- */

struct item {
    double score;
    uint64_t hash;
    size_t length;
    char bytes[];
};

struct result {
    struct item **items;
    size_t count, capacity;
    struct dict index; /* for a union */
    const struct value_env *env;
};

static struct slice item_member(const struct item *i)
{
    return slice_make(i->bytes, i->length);
}

static struct item *result_add(struct result *r, struct slice member, double score)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 16;
        r->items = mem_realloc(r->items, r->capacity * sizeof *r->items);
    }
    struct item *item = mem_alloc(sizeof *item + member.len);
    *item = (struct item){.score = score, .length = member.len};
    memcpy(item->bytes, member.ptr, member.len);
    return r->items[r->count++] = item;
}

static uint64_t item_hash(const void *context, const void *item)
{
    (void)context;
    return ((const struct item *)item)->hash;
}

static bool is_item(const void *item, const void *wanted)
{
    return slice_equal(item_member(item), *(const struct slice *)wanted);
}

static int compare_items(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return slice_compare(item_member(x), item_member(y));
}

static void result_free(struct result *r)
{
    dict_deinit(&r->index);
    for (size_t i = 0; i < r->count; i++)
        mem_free(r->items[i]);
    mem_free(r->items);
}

/* --- combining ---------------------------------------------------------------------- */

struct combination {
    enum operation operation;
    enum aggregate aggregate;
    struct source *sources;
    size_t source_count;
    bool with_scores;
    bool is_store, is_count;
    int64_t limit; /* of what is counted; 0: none */
};

/* A sum of opposite infinities counts as 0. */
static double number_or_zero(double score)
{
    return isnan(score) ? 0 : score;
}

static double join(enum aggregate aggregate, double score, double other)
{
    if (aggregate == AGGREGATE_SUM)
        return number_or_zero(score + other);
    if (aggregate == AGGREGATE_MIN)
        return other < score ? other : score;
    return other > score ? other : score;
}

static void unite(const struct combination *m, struct result *r)
{
    for (size_t i = 0; i < m->source_count; i++) {
        struct walk walk;
        struct zset_pair pair;
        walk_begin(&walk, &m->sources[i]);
        while (walk_next(&walk, &pair)) {
            double score = number_or_zero(m->sources[i].weight * pair.score);
            uint64_t hash = key_hash(&r->env->secret, pair.member);
            void **slot = dict_find(&r->index, hash, is_item, &pair.member);
            if (slot) {
                struct item *item = *slot;
                item->score = join(m->aggregate, item->score, score);
                continue;
            }
            struct item *item = result_add(r, pair.member, score);
            item->hash = hash;
            dict_insert(&r->index, hash, item);
        }
    }
}

/* The score in all sources together; false if one lacks the member. */
static bool join_all(const struct combination *m, struct zset_pair pair, double *score)
{
    *score = number_or_zero(m->sources[0].weight * pair.score);
    for (size_t i = 1; i < m->source_count; i++) {
        const struct source *s = &m->sources[i];
        double other = pair.score;
        if (s->entry != m->sources[0].entry && !source_find(s, pair.member, &other))
            return false;
        *score = join(m->aggregate, *score, other * s->weight);
    }
    return true;
}

/* Returns how many there are; r NULL: only counts, up to the limit. */
static size_t intersect(const struct combination *m, struct result *r)
{
    struct walk walk;
    struct zset_pair pair;
    size_t count = 0;
    walk_begin(&walk, &m->sources[0]);
    while (walk_next(&walk, &pair)) {
        double score;
        if (!join_all(m, pair, &score))
            continue;
        count++;
        if (r)
            result_add(r, pair.member, score);
        else if (m->limit > 0 && count >= (uint64_t)m->limit)
            break;
    }
    return count;
}

static void subtract(const struct combination *m, struct result *r)
{
    struct walk walk;
    struct zset_pair pair;
    walk_begin(&walk, &m->sources[0]);
    while (walk_next(&walk, &pair)) {
        bool is_elsewhere = false;
        double ignored;
        for (size_t i = 1; i < m->source_count && !is_elsewhere; i++)
            is_elsewhere = source_find(&m->sources[i], pair.member, &ignored);
        if (!is_elsewhere)
            result_add(r, pair.member, pair.score);
    }
}

static int compare_sources(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* --- reading the command -------------------------------------------------------------- */

/* False, with the error written, unless all are of fitting types. */
static bool open_sources(struct call *c, int first_key, struct combination *m)
{
    for (size_t i = 0; i < m->source_count; i++) {
        struct entry *e = call_find(c, first_key + (int)i);
        if (e && entry_type(e) != VALUE_ZSET && entry_type(e) != VALUE_SET) {
            reply_error(c->reply, ERROR_WRONG_TYPE);
            return false;
        }
        source_open(&m->sources[i], e, i);
    }
    return true;
}

static bool read_weights(struct call *c, int at, struct combination *m)
{
    for (size_t i = 0; i < m->source_count; i++)
        if (!slice_to_double(c->argv[at + (int)i], &m->sources[i].weight)) {
            reply_error(c->reply, "ERR weight value is not a float");
            return false;
        }
    return true;
}

static bool read_aggregate(struct call *c, int at, enum aggregate *aggregate)
{
    if (call_option(c, at, "sum"))
        *aggregate = AGGREGATE_SUM;
    else if (call_option(c, at, "min"))
        *aggregate = AGGREGATE_MIN;
    else if (call_option(c, at, "max"))
        *aggregate = AGGREGATE_MAX;
    else
        return false;
    return true;
}

static bool read_limit(struct call *c, int at, int64_t *limit)
{
    const char *error = "ERR LIMIT can't be negative";
    if (!call_int64_or(c, at, limit, error))
        return false;
    if (*limit < 0)
        reply_error(c->reply, error);
    return *limit >= 0;
}

static bool read_combination_options(struct call *c, int at, struct combination *m)
{
    bool is_weighted = m->operation != DIFFERENCE && !m->is_count;
    while (at < c->argc) {
        size_t left = (size_t)(c->argc - at);
        if (is_weighted && left > m->source_count && call_option(c, at, "weights")) {
            if (!read_weights(c, at + 1, m))
                return false;
            at += 1 + (int)m->source_count;
        } else if (is_weighted && left >= 2 && call_option(c, at, "aggregate")) {
            if (!read_aggregate(c, at + 1, &m->aggregate)) {
                reply_error(c->reply, ERROR_SYNTAX);
                return false;
            }
            at += 2;
        } else if (!m->is_store && !m->is_count && call_option(c, at, "withscores")) {
            m->with_scores = true;
            at++;
        } else if (m->is_count && left >= 2 && call_option(c, at, "limit")) {
            if (!read_limit(c, at + 1, &m->limit))
                return false;
            at += 2;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* numkeys, the number of sources, at argument at. */
static bool read_source_count(struct call *c, int at, struct combination *m)
{
    int64_t count;
    if (!call_int64(c, at, &count))
        return false;
    if (count < 1) {
        reply_error_format(c->reply, "ERR at least 1 input key is needed for '%s' command", c->command->name);
        return false;
    }
    if (count > c->argc - at - 1) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    m->source_count = (size_t)count;
    return true;
}

/* --- answering ------------------------------------------------------------------------ */

static void store_result(struct call *c, const struct combination *m, const struct result *r)
{
    static const char *const events[] = {"zunionstore", "zinterstore", "zdiffstore"};
    size_t longest = 0;
    for (size_t i = 0; i < r->count; i++)
        longest = r->items[i]->length > longest ? r->items[i]->length : longest;
    struct value v = zset_create_for(r->env, r->count, longest);
    for (size_t i = 0; i < r->count; i++) {
        bool is_above = zset_append(&v, r->env, item_member(r->items[i]), r->items[i]->score);
        CHECK(is_above);
    }
    zset_store(c, c->argv[1], v, events[m->operation], 1);
}

static void reply_result(struct call *c, const struct combination *m, const struct result *r)
{
    zset_reply_count(c->reply, r->count, m->with_scores);
    for (size_t i = 0; i < r->count; i++) {
        struct zset_pair pair = {item_member(r->items[i]), r->items[i]->score};
        zset_reply_pair(c->reply, pair, m->with_scores);
    }
}

static void answer(struct call *c, const struct combination *m)
{
    struct result r = {.env = keyspace_env(c->ks)};
    dict_init(&r.index, item_hash, NULL);
    if (m->operation == UNION)
        unite(m, &r);
    else if (m->operation == INTERSECTION)
        intersect(m, &r);
    else
        subtract(m, &r);
    if (r.count > 0)
        qsort(r.items, r.count, sizeof *r.items, compare_items);
    if (m->is_store)
        store_result(c, m, &r);
    else
        reply_result(c, m, &r);
    result_free(&r);
}

/* at: where numkeys stands. */
static void combine(struct call *c, int at, struct combination m)
{
    if (!read_source_count(c, at, &m))
        return;
    m.sources = mem_alloc(m.source_count * sizeof *m.sources);
    if (open_sources(c, at + 1, &m) && read_combination_options(c, at + 1 + (int)m.source_count, &m)) {
        /* Scores are joined in this order, and the smallest is walked. */
        if (m.operation != DIFFERENCE)
            qsort(m.sources, m.source_count, sizeof *m.sources, compare_sources);
        if (m.is_count)
            reply_int(c->reply, (int64_t)intersect(&m, NULL));
        else
            answer(c, &m);
    }
    mem_free(m.sources);
}

static void zunion_command(struct call *c)
{
    combine(c, 1, (struct combination){.operation = UNION});
}

static void zinter_command(struct call *c)
{
    combine(c, 1, (struct combination){.operation = INTERSECTION});
}

static void zdiff_command(struct call *c)
{
    combine(c, 1, (struct combination){.operation = DIFFERENCE});
}

static void zintercard_command(struct call *c)
{
    combine(c, 1, (struct combination){.operation = INTERSECTION, .is_count = true});
}

static void zunionstore_command(struct call *c)
{
    combine(c, 2, (struct combination){.operation = UNION, .is_store = true});
}

static void zinterstore_command(struct call *c)
{
    combine(c, 2, (struct combination){.operation = INTERSECTION, .is_store = true});
}

static void zdiffstore_command(struct call *c)
{
    combine(c, 2, (struct combination){.operation = DIFFERENCE, .is_store = true});
}

/* --- the table ---------------------------------------------------------------------- */

#define WEIGHTS_ARGUMENT                                                                                     \
    ARGUMENT("weight", INTEGER, .token = "WEIGHTS", .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE)
#define AGGREGATE_ARGUMENT                                                                                   \
    ARGUMENT("aggregate", ONEOF, .token = "AGGREGATE", .flags = ARGUMENT_OPTIONAL,                           \
             COMMAND_ARGUMENTS(ARGUMENT_WORD("sum", "SUM"), ARGUMENT_WORD("min", "MIN"),                     \
                               ARGUMENT_WORD("max", "MAX")))

const struct command command_zset_combine_rows[] = {
    {ZSET_ROW(zunion, -3, READ, COMMAND_READONLY | COMMAND_MOVABLEKEYS), .since = "6.2.0",
     .complexity = "O(n log n), n being all members of the sources",
     .summary = "Lists the members that any of several sorted sets has.",
     COMMAND_SPECS(KEY_COUNTED(1, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(NUMKEYS_ARGUMENT, KEYS_ARGUMENT, WEIGHTS_ARGUMENT, AGGREGATE_ARGUMENT,
                       WITHSCORES_ARGUMENT)},
    {ZSET_ROW(zinter, -3, READ, COMMAND_READONLY | COMMAND_MOVABLEKEYS), .since = "6.2.0",
     .complexity = "O(n k log n), n being the members of the smallest of k sources",
     .summary = "Lists the members that all of several sorted sets have.",
     COMMAND_SPECS(KEY_COUNTED(1, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(NUMKEYS_ARGUMENT, KEYS_ARGUMENT, WEIGHTS_ARGUMENT, AGGREGATE_ARGUMENT,
                       WITHSCORES_ARGUMENT)},
    {ZSET_ROW(zdiff, -3, READ, COMMAND_READONLY | COMMAND_MOVABLEKEYS), .since = "6.2.0",
     .complexity = "O(n k log n), n being the members of the first of k sources",
     .summary = "Lists the members of a sorted set that others lack.",
     COMMAND_SPECS(KEY_COUNTED(1, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(NUMKEYS_ARGUMENT, KEYS_ARGUMENT, WITHSCORES_ARGUMENT)},
    {ZSET_ROW(zintercard, -3, READ, COMMAND_READONLY | COMMAND_MOVABLEKEYS), .since = "7.0.0",
     .complexity = "O(n k log n), n being the members of the smallest of k sources",
     .summary = "Counts the members that all of several sorted sets have.",
     COMMAND_SPECS(KEY_COUNTED(1, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(NUMKEYS_ARGUMENT, KEYS_ARGUMENT,
                       ARGUMENT("limit", INTEGER, .token = "LIMIT", .flags = ARGUMENT_OPTIONAL))},
    {ZSET_ROW(zunionstore, -4, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLEKEYS),
     .since = "2.0.0", .complexity = "O(n log n), n being all members of the sources",
     .summary = "Stores the members that any of several sorted sets has.", COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_OW | KEY_UPDATE, 0, 1), KEY_COUNTED(2, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(ARGUMENT("destination", KEY), NUMKEYS_ARGUMENT,
                       ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE, .key_spec_index = 1),
                       WEIGHTS_ARGUMENT, AGGREGATE_ARGUMENT)},
    {ZSET_ROW(zinterstore, -4, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLEKEYS),
     .since = "2.0.0", .complexity = "O(n k log n), n being the members of the smallest of k sources",
     .summary = "Stores the members that all of several sorted sets have.", COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_OW | KEY_UPDATE, 0, 1), KEY_COUNTED(2, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(ARGUMENT("destination", KEY), NUMKEYS_ARGUMENT,
                       ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE, .key_spec_index = 1),
                       WEIGHTS_ARGUMENT, AGGREGATE_ARGUMENT)},
    {ZSET_ROW(zdiffstore, -4, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLEKEYS),
     .since = "6.2.0", .complexity = "O(n k log n), n being the members of the first of k sources",
     .summary = "Stores the members of a sorted set that others lack.", COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_OW | KEY_UPDATE, 0, 1), KEY_COUNTED(2, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(ARGUMENT("destination", KEY), NUMKEYS_ARGUMENT,
                       ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE, .key_spec_index = 1))},
};
COMMAND_FAMILY_COUNT(zset_combine);
