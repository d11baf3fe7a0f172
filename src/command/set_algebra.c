/* Several sets at once: intersection, union, difference, and storing them. */
#include <stdlib.h>

#include "base/alloc.h"
#include "command/families.h"
#include "store/set_value.h"

/* --- operands -------------------------------------------------------------------- */

struct operand {
    struct value set;
    size_t size;
    int index;      /* among the keys given: the order of equal sizes */
    bool is_there;
};

struct operands {
    struct operand *list;
    int count, missing;
};

/* The sets at count arguments from first on.  All are looked at, so that each
 * that is missing is told of, until one is no set. */
static bool find_operands(struct call *c, int first, int count, struct operands *o)
{
    *o = (struct operands){.list = mem_calloc((size_t)count, sizeof *o->list), .count = count};
    for (int i = 0; i < count; i++) {
        struct entry *e;
        if (!call_find_type(c, first + i, VALUE_SET, &e)) {
            mem_free(o->list);
            return false;
        }
        struct operand *operand = &o->list[i];
        operand->index = i;
        operand->is_there = e != NULL;
        o->missing += !e;
        if (!e)
            continue;
        operand->set = entry_value(e);
        operand->size = set_size(&operand->set);
    }
    return true;
}

static int by_size(const void *a, const void *b)
{
    const struct operand *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->index - y->index;
}

static int by_size_down(const void *a, const void *b)
{
    return by_size(b, a);
}

/* --- results ------------------------------------------------------------------------ */

/* Where members of a result go: into a set, or into the reply, or nowhere. */
struct result {
    struct call *c;
    struct value *set;
    struct reply *reply;
    size_t count, limit; /* limit 0: none */
};

/* False when no more is wanted. */
static bool emit(struct result *r, struct slice member)
{
    if (r->reply)
        reply_bulk(r->reply, member);
    if (r->set)
        set_add(r->set, keyspace_env(r->c->ks), member);
    r->count++;
    return r->limit == 0 || r->count < r->limit;
}

/* Gives dst the set, or removes it if the set is empty.  Takes the set. */
static void store_result(struct call *c, struct value set, const char *event)
{
    struct slice key = c->argv[1];
    size_t size = set_size(&set);
    if (size > 0) {
        call_set_value(c, key, VALUE_SET, set);
        call_changed(c, EVENT_SET, event, key);
    } else {
        set_free(set);
        if (keyspace_delete(c->ks, c->db, key))
            call_changed(c, EVENT_GENERIC, "del", key);
    }
    reply_int(c->reply, (int64_t)size);
}

/* Takes the set. */
static void reply_result(struct call *c, struct value set)
{
    struct set_iterator i;
    struct slice member;
    reply_set(c->reply, set_size(&set));
    set_iterate(&i, &set);
    while (set_next(&i, &member))
        reply_bulk(c->reply, member);
    set_free(set);
}

/* --- intersection --------------------------------------------------------------------- */

/* True if all but the first have it. */
static bool others_have(const struct operands *o, struct slice member)
{
    for (int i = 1; i < o->count; i++)
        if (!set_has(&o->list[i].set, member))
            return false;
    return true;
}

/* Members of the smallest set are looked for in the others, from the next
 * smallest on. */
static void intersect(struct operands *o, struct result *r)
{
    struct set_iterator i;
    struct slice member;
    if (o->missing)
        return;
    qsort(o->list, (size_t)o->count, sizeof *o->list, by_size);
    set_iterate(&i, &o->list[0].set);
    while (set_next(&i, &member))
        if (others_have(o, member) && !emit(r, member))
            return;
}

static void sinter_command(struct call *c)
{
    struct operands o;
    if (!find_operands(c, 1, c->argc - 1, &o))
        return;
    struct result r = {.c = c, .reply = c->reply};
    struct reply_deferred begin = reply_begin(c->reply);
    intersect(&o, &r);
    reply_end_set(c->reply, begin, r.count);
    mem_free(o.list);
}

static void sinterstore_command(struct call *c)
{
    struct operands o;
    if (!find_operands(c, 2, c->argc - 2, &o))
        return;
    struct value set = set_create();
    struct result r = {.c = c, .set = &set};
    intersect(&o, &r);
    mem_free(o.list);
    store_result(c, set, "sinterstore");
}

static bool read_key_count(struct call *c, int *count)
{
    const char *const error = "ERR numkeys should be greater than 0";
    int64_t value;
    if (!call_int64_or(c, 1, &value, error))
        return false;
    if (value < 1) {
        reply_error(c->reply, error);
        return false;
    }
    if (value > c->argc - 2) {
        reply_error(c->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    *count = (int)value;
    return true;
}

static bool read_limit(struct call *c, int first, size_t *limit)
{
    const char *const error = "ERR LIMIT can't be negative";
    for (int i = first; i < c->argc; i += 2) {
        int64_t value;
        if (i + 1 == c->argc || !call_option(c, i, "limit")) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!call_int64_or(c, i + 1, &value, error))
            return false;
        if (value < 0) {
            reply_error(c->reply, error);
            return false;
        }
        *limit = (size_t)value;
    }
    return true;
}

static void sintercard_command(struct call *c)
{
    struct operands o;
    struct result r = {.c = c};
    int count;
    if (!read_key_count(c, &count) || !read_limit(c, 2 + count, &r.limit) || !find_operands(c, 2, count, &o))
        return;
    intersect(&o, &r);
    mem_free(o.list);
    reply_int(c->reply, (int64_t)r.count);
}

/* --- union ------------------------------------------------------------------------------- */

static void add_all(struct call *c, struct value *to, const struct value *from)
{
    struct set_iterator i;
    struct slice member;
    set_iterate(&i, from);
    while (set_next(&i, &member))
        set_add(to, keyspace_env(c->ks), member);
}

static bool unite(struct call *c, int first, struct value *set)
{
    struct operands o;
    if (!find_operands(c, first, c->argc - first, &o))
        return false;
    *set = set_create();
    for (int i = 0; i < o.count; i++)
        if (o.list[i].is_there)
            add_all(c, set, &o.list[i].set);
    mem_free(o.list);
    return true;
}

static void sunion_command(struct call *c)
{
    struct value set;
    if (unite(c, 1, &set))
        reply_result(c, set);
}

static void sunionstore_command(struct call *c)
{
    struct value set;
    if (unite(c, 2, &set))
        store_result(c, set, "sunionstore");
}

/* --- difference -----------------------------------------------------------------------------
 *
 * Two ways, as in Redis, and chosen as in Redis, because the choice shows: what
 * is added and removed again leaves a hashtable where one that never held it is
 * an intset. */

static bool others_lack(const struct operands *o, struct slice member)
{
    for (int i = 1; i < o->count; i++)
        if (o->list[i].is_there && set_has(&o->list[i].set, member))
            return false;
    return true;
}

/* Looks for each member of the first set in the others, the largest first. */
static void subtract_by_looking(struct call *c, struct operands *o, struct value *set)
{
    struct set_iterator i;
    struct slice member;
    qsort(o->list + 1, (size_t)o->count - 1, sizeof *o->list, by_size_down);
    set_iterate(&i, &o->list[0].set);
    while (set_next(&i, &member))
        if (others_lack(o, member))
            set_add(set, keyspace_env(c->ks), member);
}

/* Takes the members of the others out of a copy of the first. */
static void subtract_by_removing(struct call *c, const struct operands *o, struct value *set)
{
    struct set_iterator i;
    struct slice member;
    add_all(c, set, &o->list[0].set);
    for (int k = 1; k < o->count && set_size(set) > 0; k++) {
        if (!o->list[k].is_there)
            continue;
        set_iterate(&i, &o->list[k].set);
        while (set_next(&i, &member))
            set_remove(set, member);
    }
}

static bool looking_is_cheaper(const struct operands *o)
{
    size_t looking = 0, removing = 0;
    for (int i = 0; i < o->count; i++) {
        looking += o->list[i].is_there ? o->list[0].size : 0;
        removing += o->list[i].size;
    }
    return looking / 2 <= removing;
}

static bool subtract(struct call *c, int first, struct value *set)
{
    struct operands o;
    if (!find_operands(c, first, c->argc - first, &o))
        return false;
    bool is_empty = !o.list[0].is_there;
    for (int i = 1; i < o.count && !is_empty; i++)
        is_empty = slice_equal(c->argv[first], c->argv[first + i]);
    *set = set_create();
    if (!is_empty && looking_is_cheaper(&o))
        subtract_by_looking(c, &o, set);
    else if (!is_empty)
        subtract_by_removing(c, &o, set);
    mem_free(o.list);
    return true;
}

static void sdiff_command(struct call *c)
{
    struct value set;
    if (subtract(c, 1, &set))
        reply_result(c, set);
}

static void sdiffstore_command(struct call *c)
{
    struct value set;
    if (subtract(c, 2, &set))
        store_result(c, set, "sdiffstore");
}

/* --- the table -------------------------------------------------------------------------------- */

#define ALGEBRA_ROW(name_, arity_, route_, flags_)                                                           \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_SET, .group = "set"
#define READING_ROW(name_)                                                                                   \
    ALGEBRA_ROW(name_, -2, READ, COMMAND_READONLY), .since = "1.0.0",                                        \
        COMMAND_MANY_KEYS(KEY_RO | KEY_ACCESS, 1), COMMAND_TIPS("nondeterministic_output_order"),            \
        COMMAND_ARGUMENTS(KEYS_ARGUMENT(0))
#define STORING_ROW(name_, target_flags_)                                                                    \
    ALGEBRA_ROW(name_, -3, WRITE, COMMAND_WRITE | COMMAND_DENYOOM), .since = "1.0.0",                        \
        COMMAND_KEYS(1, -1, 1),                                                                              \
        COMMAND_SPECS(KEY_RANGE(1, (target_flags_) | KEY_UPDATE, 0, 1),                                      \
                      KEY_RANGE(2, KEY_RO | KEY_ACCESS, -1, 1)),                                             \
        COMMAND_ARGUMENTS(ARGUMENT("destination", KEY), KEYS_ARGUMENT(1))
#define KEYS_ARGUMENT(spec) ARGUMENT("key", KEY, .key_spec_index = (spec), .flags = ARGUMENT_MULTIPLE)

#define INTERSECTION_COST "O(members of the smallest set * sets)"
#define SUM_COST          "O(members of all sets)"

const struct command command_set_algebra_rows[] = {
    {READING_ROW(sinter), .complexity = INTERSECTION_COST, .summary = "Lists what all of several sets have."},
    {ALGEBRA_ROW(sintercard, -3, READ, COMMAND_READONLY | COMMAND_MOVABLEKEYS), .since = "7.0.0",
     .complexity = INTERSECTION_COST, .summary = "Counts what all of several sets have, up to a limit.",
     COMMAND_SPECS(KEY_COUNTED(1, KEY_RO | KEY_ACCESS)),
     COMMAND_ARGUMENTS(ARGUMENT("numkeys", INTEGER), KEYS_ARGUMENT(0),
                       ARGUMENT("limit", INTEGER, .token = "LIMIT", .flags = ARGUMENT_OPTIONAL))},
    {STORING_ROW(sinterstore, KEY_RW), .complexity = INTERSECTION_COST,
     .summary = "Stores what all of several sets have."},
    {READING_ROW(sunion), .complexity = SUM_COST, .summary = "Lists what any of several sets has."},
    {STORING_ROW(sunionstore, KEY_OW), .complexity = SUM_COST, .summary = "Stores what any of several sets has."},
    {READING_ROW(sdiff), .complexity = SUM_COST, .summary = "Lists what the first of several sets alone has."},
    {STORING_ROW(sdiffstore, KEY_OW), .complexity = SUM_COST,
     .summary = "Stores what the first of several sets alone has."},
};
COMMAND_FAMILY_COUNT(set_algebra);
