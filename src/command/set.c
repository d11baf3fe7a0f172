/* Sets: members under one key.  Several sets at once: set_algebra.c. */
#include "command/families.h"
#include "command/scan.h"
#include "store/sample.h"
#include "store/set_value.h"

/* --- finding and storing ------------------------------------------------------ */

/* Puts back a set that has changed and tells of it; one that has become empty
 * goes. */
static void store_rest(struct call *c, struct entry *e, struct value v, const char *event, uint64_t changes)
{
    entry_put_value(e, v);
    call_changed(c, EVENT_SET, event, c->argv[1]);
    keyspace_count_changes(c->ks, changes - 1);
    if (set_size(&v) == 0)
        call_delete_empty(c, c->argv[1]);
}

static void reply_members(struct reply *reply, const struct value *v)
{
    struct set_iterator i;
    struct slice member;
    set_iterate(&i, v);
    while (set_next(&i, &member))
        reply_bulk(reply, member);
}

/* --- members --------------------------------------------------------------------- */

/* Adds arguments from first on to the set at key, which e holds if it is there.
 * Returns how many are new. */
static uint64_t add_members(struct call *c, struct slice key, struct entry *e, int first, int count)
{
    struct value v = e ? entry_value(e) : set_create();
    uint64_t added = 0;
    for (int i = first; i < first + count; i++)
        added += set_add(&v, keyspace_env(c->ks), c->argv[i]);
    if (e)
        entry_put_value(e, v);
    else
        call_set_value(c, key, VALUE_SET, v);
    if (added) {
        call_changed(c, EVENT_SET, "sadd", key);
        keyspace_count_changes(c->ks, added - 1);
    }
    return added;
}

static void sadd_command(struct call *c)
{
    struct entry *e;
    if (call_find_type_for_write(c, 1, VALUE_SET, &e))
        reply_int(c->reply, (int64_t)add_members(c, c->argv[1], e, 2, c->argc - 2));
}

static void srem_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_SET, &e))
        return;
    uint64_t removed = 0;
    if (e) {
        struct value v = entry_value(e);
        for (int i = 2; i < c->argc && set_size(&v) > 0; i++)
            removed += set_remove(&v, c->argv[i]);
        if (removed)
            store_rest(c, e, v, "srem", removed);
    }
    reply_int(c->reply, (int64_t)removed);
}

static void sismember_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_SET, &v, &is_there))
        reply_int(c->reply, is_there && set_has(&v, c->argv[2]));
}

static void smismember_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (!call_find_value(c, 1, VALUE_SET, &v, &is_there))
        return;
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_int(c->reply, is_there && set_has(&v, c->argv[i]));
}

static void scard_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_SET, &v, &is_there))
        reply_int(c->reply, is_there ? (int64_t)set_size(&v) : 0);
}

static void smembers_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (!call_find_value(c, 1, VALUE_SET, &v, &is_there))
        return;
    reply_set(c->reply, is_there ? set_size(&v) : 0);
    if (is_there)
        reply_members(c->reply, &v);
}

/* --- SMOVE ------------------------------------------------------------------------- */

static bool holds_set(const struct entry *e)
{
    return !e || entry_type(e) == VALUE_SET;
}

/* Entries are looked up again after each change of the keyspace. */
static void move_member(struct call *c, struct entry *from)
{
    struct value v = entry_value(from);
    bool is_moved = set_remove(&v, c->argv[3]);
    if (is_moved) {
        store_rest(c, from, v, "srem", 1);
        add_members(c, c->argv[2], keyspace_find_for_write(c->ks, c->db, c->argv[2]), 3, 1);
    }
    reply_int(c->reply, is_moved);
}

static void smove_command(struct call *c)
{
    keyspace_find_for_write(c->ks, c->db, c->argv[1]);
    struct entry *to = keyspace_find_for_write(c->ks, c->db, c->argv[2]);
    bool is_target_good = holds_set(to);
    struct entry *from = keyspace_find_for_write(c->ks, c->db, c->argv[1]);
    if (!from) {
        reply_int(c->reply, 0);
    } else if (!holds_set(from) || !is_target_good) {
        reply_error(c->reply, ERROR_WRONG_TYPE);
    } else if (slice_equal(c->argv[1], c->argv[2])) {
        struct value v = entry_value(from);
        reply_int(c->reply, set_has(&v, c->argv[3]));
    } else {
        move_member(c, from);
    }
}

/* --- SPOP: the seed says which, so that all replicas take the same ------------------ */

/* Takes a member and replies with it. */
static void pop_member(struct call *c, struct value *v, struct random *random)
{
    char scratch[INT64_TEXT_MAX];
    struct slice member = set_at(v, random_below(random, set_size(v)), scratch);
    reply_bulk(c->reply, member);
    set_remove(v, member);
}

static void pop_one(struct call *c)
{
    struct entry *e;
    struct random random;
    if (!call_find_type_for_write(c, 1, VALUE_SET, &e))
        return;
    if (!e) {
        reply_null(c->reply);
        return;
    }
    struct value v = entry_value(e);
    random_init(&random, c->seed);
    pop_member(c, &v, &random);
    store_rest(c, e, v, "spop", 1);
}

static void pop_all(struct call *c, struct value v)
{
    reply_set(c->reply, set_size(&v));
    reply_members(c->reply, &v);
    call_changed(c, EVENT_SET, "spop", c->argv[1]);
    keyspace_count_changes(c->ks, set_size(&v) - 1);
    call_delete_empty(c, c->argv[1]);
}

/* Where only a fifth or less remains, Redis builds a new set of it, which may be
 * an intset again. */
static void pop_some(struct call *c, struct entry *e, size_t count)
{
    enum { REBUILD_RATIO = 5 };
    struct value v = entry_value(e);
    struct random random;
    random_init(&random, c->seed);
    reply_set(c->reply, count);
    for (size_t i = 0; i < count; i++)
        pop_member(c, &v, &random);
    if (set_size(&v) <= count / REBUILD_RATIO)
        set_settle(&v, keyspace_env(c->ks));
    store_rest(c, e, v, "spop", count);
}

static bool read_pop_count(struct call *c, size_t *count)
{
    const char *const error = "ERR value is out of range, must be positive";
    int64_t value;
    if (!call_int64_or(c, 2, &value, error))
        return false;
    if (value < 0) {
        reply_error(c->reply, error);
        return false;
    }
    *count = (size_t)value;
    return true;
}

static void pop_many(struct call *c)
{
    struct entry *e;
    size_t count;
    if (!read_pop_count(c, &count) || !call_find_type_for_write(c, 1, VALUE_SET, &e))
        return;
    if (!e || count == 0) {
        reply_set(c->reply, 0);
        return;
    }
    struct value v = entry_value(e);
    if (count >= set_size(&v))
        pop_all(c, v);
    else
        pop_some(c, e, count);
}

static void spop_command(struct call *c)
{
    if (c->argc == 2)
        pop_one(c);
    else if (c->argc == 3)
        pop_many(c);
    else
        reply_error(c->reply, ERROR_SYNTAX);
}

/* --- SRANDMEMBER --------------------------------------------------------------------- */

static void reply_random(struct call *c, const struct value *v, struct random *random)
{
    char scratch[INT64_TEXT_MAX];
    reply_bulk(c->reply, set_at(v, random_below(random, set_size(v)), scratch));
}

static void random_member(struct call *c)
{
    struct value v;
    bool is_there;
    struct random random;
    if (!call_find_value(c, 1, VALUE_SET, &v, &is_there))
        return;
    random_init(&random, c->seed);
    if (is_there)
        reply_random(c, &v, &random);
    else
        reply_null(c->reply);
}

static void random_with_repeats(struct call *c, const struct value *v, int64_t count)
{
    struct random random;
    if (count > SAMPLE_REPEATS_MAX) {
        reply_error(c->reply, "ERR value is out of range");
        return;
    }
    random_init(&random, c->seed);
    reply_array(c->reply, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        reply_random(c, v, &random);
}

static void random_different(struct call *c, const struct value *v, size_t count)
{
    char scratch[INT64_TEXT_MAX];
    struct random random;
    struct sample sample;
    random_init(&random, c->seed);
    reply_array(c->reply, count);
    sample_init(&sample, &random, set_size(v), count);
    for (size_t i = 0; i < count; i++)
        reply_bulk(c->reply, set_at(v, sample_next(&sample), scratch));
    sample_deinit(&sample);
}

static void random_members(struct call *c)
{
    struct value v;
    bool is_there;
    int64_t count;
    if (!call_random_count(c, 2, &count) || !call_find_value(c, 1, VALUE_SET, &v, &is_there))
        return;
    if (!is_there || count == 0) {
        reply_array(c->reply, 0);
    } else if (count < 0) {
        random_with_repeats(c, &v, -count);
    } else if ((size_t)count < set_size(&v)) {
        random_different(c, &v, (size_t)count);
    } else {
        reply_array(c->reply, set_size(&v));
        reply_members(c->reply, &v);
    }
}

static void srandmember_command(struct call *c)
{
    if (c->argc == 2)
        random_member(c);
    else if (c->argc == 3)
        random_members(c);
    else
        reply_error(c->reply, ERROR_SYNTAX);
}

/* --- SSCAN ------------------------------------------------------------------------------ */

static void visit_found(void *context, struct slice member)
{
    struct scan_found *found = context;
    if (!scan_lets_through(found->options, member))
        return;
    reply_bulk(&found->reply, member);
    found->count++;
}

static void sscan_command(struct call *c)
{
    struct scan_options options;
    struct scan_found found;
    struct entry *e;
    uint64_t cursor;
    if (!scan_open(c, VALUE_SET, &e, &cursor, &options))
        return;
    struct value v = entry_value(e);
    scan_found_init(&found, c, &options);
    cursor = set_scan(&v, cursor, (size_t)options.count, visit_found, &found);
    scan_finish(c, &found, cursor);
}

/* --- the table ------------------------------------------------------------------------------ */

#define SET_ROW(name_, arity_, route_, flags_)                                                               \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_SET, .group = "set"
#define FAST_WRITE (COMMAND_WRITE | COMMAND_FAST)
#define FAST_STORE (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define FAST_READ  (COMMAND_READONLY | COMMAND_FAST)

#define KEY_ARGUMENT     ARGUMENT("key", KEY)
#define MEMBER_ARGUMENT  ARGUMENT("member", STRING)
#define MEMBERS_ARGUMENT ARGUMENT("member", STRING, .flags = ARGUMENT_MULTIPLE)

const struct command command_set_rows[] = {
    {SET_ROW(sadd, -3, WRITE, FAST_STORE),
     COMMAND_HISTORY({"2.4.0", "Takes several members."}), .since = "1.0.0", .complexity = "O(members given)",
     .summary = "Adds members to a set.", COMMAND_ONE_KEY(KEY_RW | KEY_INSERT),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
    {SET_ROW(srem, -3, WRITE, FAST_WRITE),
     COMMAND_HISTORY({"2.4.0", "Takes several members."}), .since = "1.0.0", .complexity = "O(members given)",
     .summary = "Removes members of a set, and the set with its last one.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
    {SET_ROW(smove, 4, WRITE, FAST_WRITE), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Moves a member from one set to another.", COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, 0, 1),
                   KEY_RANGE(2, KEY_RW | KEY_INSERT, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("source", KEY), ARGUMENT("destination", KEY, .key_spec_index = 1),
                       MEMBER_ARGUMENT)},
    {SET_ROW(sismember, 3, READ, FAST_READ), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Tells whether a set has a member.", COMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBER_ARGUMENT)},
    {SET_ROW(smismember, -3, READ, FAST_READ), .since = "6.2.0", .complexity = "O(members given)",
     .summary = "Tells of each member given whether a set has it.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
    {SET_ROW(scard, 2, READ, FAST_READ), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Counts the members of a set.", COMMAND_ONE_KEY(KEY_RO), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {SET_ROW(spop, -2, WRITE, FAST_WRITE),
     COMMAND_HISTORY({"3.2.0", "A count."}), .since = "1.0.0", .complexity = "O(members answered)",
     .summary = "Takes members out of a set at random.", COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_DELETE),
     COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(KEY_ARGUMENT,
                       ARGUMENT("count", INTEGER, .flags = ARGUMENT_OPTIONAL, .since = "3.2.0"))},
    {SET_ROW(srandmember, -2, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"2.6.0", "A count."}), .since = "1.0.0", .complexity = "O(members answered)",
     .summary = "Names members of a set at random.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(KEY_ARGUMENT,
                       ARGUMENT("count", INTEGER, .flags = ARGUMENT_OPTIONAL, .since = "2.6.0"))},
    {SET_ROW(smembers, 2, READ, COMMAND_READONLY), .since = "1.0.0", .complexity = "O(members)",
     .summary = "Lists the members of a set.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_TIPS("nondeterministic_output_order"), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {SET_ROW(sscan, -3, READ, COMMAND_READONLY), .since = "2.8.0",
     .complexity = "O(COUNT) for a call, O(members) from the first cursor to the last",
     .summary = "Lists the members of a set piece by piece, going on from a cursor.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("cursor", INTEGER),
                       ARGUMENT("pattern", PATTERN, .token = "MATCH", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL))},
};
COMMAND_FAMILY_COUNT(set);
