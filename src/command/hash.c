/* Hashes: fields and values under one key. */
#include <math.h>

#include "command/families.h"
#include "command/scan.h"
#include "store/hash_value.h"
#include "store/sample.h"

/* --- finding and storing ------------------------------------------------------ */

/* The hash at argument 1 for writing, *e NULL and *v an empty one if there is
 * none: then the caller stores or frees it. */
static bool open_hash(struct call *c, struct entry **e, struct value *v)
{
    if (!call_find_type_for_write(c, 1, VALUE_HASH, e))
        return false;
    *v = *e ? entry_value(*e) : hash_create();
    return true;
}

/* Puts back what open_hash gave and tells of changes to it. */
static void store(struct call *c, struct entry *e, struct value v, const char *event, uint64_t changes)
{
    if (e)
        entry_put_value(e, v);
    else
        call_set_value(c, c->argv[1], VALUE_HASH, v);
    call_changed(c, EVENT_HASH, event, c->argv[1]);
    keyspace_count_changes(c->ks, changes - 1);
}

/* --- HSET and its kin ------------------------------------------------------------ */

/* Sets the pairs from argument 2 on; false for an error.  *created: new fields. */
static bool set_pairs(struct call *c, int64_t *created)
{
    const struct value_env *env = keyspace_env(c->ks);
    struct entry *e;
    struct value v;
    if (c->argc % 2) {
        call_arity_error(c);
        return false;
    }
    if (!open_hash(c, &e, &v))
        return false;
    for (int i = 2; i < c->argc; i += 2)
        *created += hash_set(&v, env, c->argv[i], c->argv[i + 1]);
    store(c, e, v, "hset", (uint64_t)(c->argc - 2) / 2);
    return true;
}

static void hset_command(struct call *c)
{
    int64_t created = 0;
    if (set_pairs(c, &created))
        reply_int(c->reply, created);
}

static void hmset_command(struct call *c)
{
    int64_t created = 0;
    if (set_pairs(c, &created))
        reply_ok(c->reply);
}

static void hsetnx_command(struct call *c)
{
    struct entry *e;
    struct value v;
    if (!open_hash(c, &e, &v))
        return;
    bool is_set = !hash_has(&v, c->argv[2]);
    if (is_set) {
        hash_set(&v, keyspace_env(c->ks), c->argv[2], c->argv[3]);
        store(c, e, v, "hset", 1);
    }
    reply_int(c->reply, is_set);
}

/* --- counters --------------------------------------------------------------------- */

/* The value of the field at argument 2, 0 if there is none. */
static bool read_counter(struct call *c, const struct entry *e, int64_t *value)
{
    char scratch[INT64_TEXT_MAX];
    struct slice text;
    *value = 0;
    struct value v = e ? entry_value(e) : (struct value){0};
    if (!e || !hash_get(&v, c->argv[2], scratch, &text) || slice_to_int64(text, value))
        return true;
    reply_error(c->reply, "ERR hash value is not an integer");
    return false;
}

/* Stores the field at argument 2 in the hash of e, or a new one. */
static void store_field(struct call *c, struct entry *e, struct slice text, const char *event)
{
    struct value v = e ? entry_value(e) : hash_create();
    hash_set(&v, keyspace_env(c->ks), c->argv[2], text);
    store(c, e, v, event, 1);
}

static void hincrby_command(struct call *c)
{
    char text[INT64_TEXT_MAX];
    int64_t increment, value;
    struct entry *e;
    if (!call_int64(c, 3, &increment) || !call_find_type_for_write(c, 1, VALUE_HASH, &e) ||
        !read_counter(c, e, &value))
        return;
    if (__builtin_add_overflow(value, increment, &value)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    store_field(c, e, slice_make(text, int64_to_text(value, text)), "hincrby");
    reply_int(c->reply, value);
}

static bool read_float(struct call *c, const struct entry *e, long double *value)
{
    char scratch[INT64_TEXT_MAX];
    struct slice text;
    *value = 0;
    struct value v = e ? entry_value(e) : (struct value){0};
    if (!e || !hash_get(&v, c->argv[2], scratch, &text) || slice_to_long_double(text, value))
        return true;
    reply_error(c->reply, "ERR hash value is not a float");
    return false;
}

static bool read_float_increment(struct call *c, long double *increment)
{
    if (!call_long_double(c, 3, increment))
        return false;
    if (isfinite(*increment))
        return true;
    reply_error(c->reply, "ERR value is NaN or Infinity");
    return false;
}

static void hincrbyfloat_command(struct call *c)
{
    char text[LONG_DOUBLE_TEXT_MAX];
    long double increment, value;
    struct entry *e;
    if (!read_float_increment(c, &increment) || !call_find_type_for_write(c, 1, VALUE_HASH, &e) ||
        !read_float(c, e, &value))
        return;
    value += increment;
    if (!isfinite(value)) {
        reply_error(c->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct slice rendered = slice_make(text, long_double_to_text(value, text));
    store_field(c, e, rendered, "hincrbyfloat");
    reply_bulk(c->reply, rendered);
}

/* --- reading fields ------------------------------------------------------------------ */

static void reply_field(struct call *c, const struct value *v, struct slice field)
{
    char scratch[INT64_TEXT_MAX];
    struct slice text;
    if (v && hash_get(v, field, scratch, &text))
        reply_bulk(c->reply, text);
    else
        reply_null(c->reply);
}

static void hget_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        reply_field(c, is_there ? &v : NULL, c->argv[2]);
}

static void hmget_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (!call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        return;
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_field(c, is_there ? &v : NULL, c->argv[i]);
}

static void hlen_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        reply_int(c->reply, is_there ? (int64_t)hash_size(&v) : 0);
}

static void hexists_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        reply_int(c->reply, is_there && hash_has(&v, c->argv[2]));
}

static void hstrlen_command(struct call *c)
{
    char scratch[INT64_TEXT_MAX];
    struct slice text = {0};
    struct value v;
    bool is_there;
    if (!call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        return;
    if (is_there && hash_get(&v, c->argv[2], scratch, &text))
        reply_int(c->reply, (int64_t)text.len);
    else
        reply_int(c->reply, 0);
}

/* --- removing -------------------------------------------------------------------------- */

static void hdel_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_HASH, &e))
        return;
    uint64_t removed = 0;
    struct value v = e ? entry_value(e) : (struct value){0};
    bool is_empty = false;
    for (int i = 2; e && !is_empty && i < c->argc; i++)
        if (hash_remove(&v, c->argv[i])) {
            removed++;
            is_empty = hash_size(&v) == 0;
        }
    if (removed)
        store(c, e, v, "hdel", removed);
    if (is_empty)
        call_delete_empty(c, c->argv[1]);
    reply_int(c->reply, (int64_t)removed);
}

/* --- all of it ---------------------------------------------------------------------------- */

static void visit_field(void *context, struct slice field, struct slice value)
{
    (void)value;
    reply_bulk(context, field);
}

static void visit_value(void *context, struct slice field, struct slice value)
{
    (void)field;
    reply_bulk(context, value);
}

static void visit_both(void *context, struct slice field, struct slice value)
{
    reply_bulk(context, field);
    reply_bulk(context, value);
}

static void reply_all(struct call *c, void (*reply_header)(struct reply *, size_t), hash_visit_fn *visit)
{
    struct value v;
    bool is_there;
    if (!call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        return;
    reply_header(c->reply, is_there ? hash_size(&v) : 0);
    if (is_there)
        hash_each(&v, visit, c->reply);
}

static void hkeys_command(struct call *c)
{
    reply_all(c, reply_array, visit_field);
}

static void hvals_command(struct call *c)
{
    reply_all(c, reply_array, visit_value);
}

static void hgetall_command(struct call *c)
{
    reply_all(c, reply_map, visit_both);
}

static void visit_found(void *context, struct slice field, struct slice value)
{
    struct scan_found *found = context;
    if (!scan_lets_through(found->options, field))
        return;
    visit_both(&found->reply, field, value);
    found->count += 2;
}

static void hscan_command(struct call *c)
{
    struct scan_options options;
    struct scan_found found;
    struct entry *e;
    uint64_t cursor;
    if (!scan_open(c, VALUE_HASH, &e, &cursor, &options))
        return;
    struct value v = entry_value(e);
    scan_found_init(&found, c, &options);
    cursor = hash_scan(&v, cursor, (size_t)options.count, visit_found, &found);
    scan_finish(c, &found, cursor);
}

/* --- HRANDFIELD ------------------------------------------------------------------------------ */

/* In RESP3 each pair is an array of its own. */
static void visit_pair(void *context, struct slice field, struct slice value)
{
    struct reply *reply = context;
    if (reply->protocol > 2)
        reply_array(reply, 2);
    visit_both(reply, field, value);
}

static void random_fields(struct call *c, const struct value *v, int64_t count, bool with_values)
{
    size_t size = hash_size(v), wanted = count < 0 ? (size_t)-count : (size_t)count;
    hash_visit_fn *visit = with_values ? visit_pair : visit_field;
    struct random random;
    random_init(&random, c->seed);
    if (count < -SAMPLE_REPEATS_MAX) {
        reply_error(c->reply, "ERR value is out of range");
        return;
    }
    if (count > 0 && wanted > size)
        wanted = size;
    reply_array(c->reply, with_values && c->reply->protocol == 2 ? 2 * wanted : wanted);
    if (count > 0)
        hash_sample(v, &random, wanted, visit, c->reply);
    for (; count < 0; count++)
        hash_pick(v, &random, visit, c->reply);
}

static void random_field(struct call *c)
{
    struct value v;
    bool is_there;
    struct random random;
    if (!call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        return;
    if (!is_there) {
        reply_null(c->reply);
        return;
    }
    random_init(&random, c->seed);
    hash_pick(&v, &random, visit_field, c->reply);
}

static bool parse_random(struct call *c, int64_t *count, bool *with_values)
{
    if (!call_random_count(c, 2, count))
        return false;
    *with_values = c->argc == 4 && call_option(c, 3, "withvalues");
    if (c->argc > 3 && !*with_values) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (*with_values && (*count < -(INT64_MAX / 2) || *count > INT64_MAX / 2)) {
        reply_error(c->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void hrandfield_command(struct call *c)
{
    int64_t count;
    bool with_values, is_there;
    struct value v;
    if (c->argc == 2) {
        random_field(c);
        return;
    }
    if (!parse_random(c, &count, &with_values) || !call_find_value(c, 1, VALUE_HASH, &v, &is_there))
        return;
    if (is_there && count)
        random_fields(c, &v, count, with_values);
    else
        reply_array(c->reply, 0);
}

/* --- the table -------------------------------------------------------------------------------- */

#define HASH_ROW(name_, arity_, route_, flags_)                                                              \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_HASH, .group = "hash"
#define FAST_WRITE (COMMAND_WRITE | COMMAND_FAST)
#define FAST_STORE (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define FAST_READ  (COMMAND_READONLY | COMMAND_FAST)

#define KEY_ARGUMENT   ARGUMENT("key", KEY)
#define FIELD_ARGUMENT ARGUMENT("field", STRING)
#define VALUE_ARGUMENT ARGUMENT("value", STRING)
#define PAIRS_ARGUMENT                                                                                       \
    ARGUMENT("field_value", BLOCK, .flags = ARGUMENT_MULTIPLE,                                               \
             COMMAND_ARGUMENTS(FIELD_ARGUMENT, VALUE_ARGUMENT))
#define FIELDS_ARGUMENT ARGUMENT("field", STRING, .flags = ARGUMENT_MULTIPLE)

const struct command command_hash_rows[] = {
    {HASH_ROW(hset, -4, WRITE, FAST_STORE),
     COMMAND_HISTORY({"4.0.0", "Takes several pairs."}), .since = "2.0.0", .complexity = "O(fields)",
     .summary = "Sets fields of a hash and answers how many are new.", COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, PAIRS_ARGUMENT)},
    {HASH_ROW(hsetnx, 4, WRITE, FAST_STORE), .since = "2.0.0", .complexity = "O(1)",
     .summary = "Sets a field of a hash unless it is there.", COMMAND_ONE_KEY(KEY_RW | KEY_INSERT),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELD_ARGUMENT, VALUE_ARGUMENT)},
    {HASH_ROW(hmset, -4, WRITE, FAST_STORE), .since = "2.0.0", .complexity = "O(fields)",
     .summary = "Sets fields of a hash.", .deprecated_since = "4.0.0",
     .replaced_by = "`HSET` with multiple field-value pairs", COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, PAIRS_ARGUMENT)},
    {HASH_ROW(hget, 3, READ, FAST_READ), .since = "2.0.0", .complexity = "O(1)",
     .summary = "Reads a field of a hash.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELD_ARGUMENT)},
    {HASH_ROW(hmget, -3, READ, FAST_READ), .since = "2.0.0", .complexity = "O(fields)",
     .summary = "Reads several fields of a hash; null stands for those it lacks.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELDS_ARGUMENT)},
    {HASH_ROW(hdel, -3, WRITE, FAST_WRITE),
     COMMAND_HISTORY({"2.4.0", "Takes several fields."}), .since = "2.0.0", .complexity = "O(fields)",
     .summary = "Removes fields of a hash, and the hash with its last one.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELDS_ARGUMENT)},
    {HASH_ROW(hlen, 2, READ, FAST_READ), .since = "2.0.0", .complexity = "O(1)",
     .summary = "Counts the fields of a hash.", COMMAND_ONE_KEY(KEY_RO), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {HASH_ROW(hstrlen, 3, READ, FAST_READ), .since = "3.2.0", .complexity = "O(1)",
     .summary = "Counts the bytes of a field's value.", COMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELD_ARGUMENT)},
    {HASH_ROW(hexists, 3, READ, FAST_READ), .since = "2.0.0", .complexity = "O(1)",
     .summary = "Tells whether a hash has a field.", COMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELD_ARGUMENT)},
    {HASH_ROW(hkeys, 2, READ, COMMAND_READONLY), .since = "2.0.0", .complexity = "O(fields of the hash)",
     .summary = "Lists the fields of a hash.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_TIPS("nondeterministic_output_order"), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {HASH_ROW(hvals, 2, READ, COMMAND_READONLY), .since = "2.0.0", .complexity = "O(fields of the hash)",
     .summary = "Lists the values of a hash.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_TIPS("nondeterministic_output_order"), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {HASH_ROW(hgetall, 2, READ, COMMAND_READONLY), .since = "2.0.0", .complexity = "O(fields of the hash)",
     .summary = "Lists the fields of a hash with their values.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_TIPS("nondeterministic_output_order"), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {HASH_ROW(hincrby, 4, WRITE, FAST_STORE), .since = "2.0.0", .complexity = "O(1)",
     .summary = "Adds to the integer a field spells; a missing field counts as 0.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELD_ARGUMENT, ARGUMENT("increment", INTEGER))},
    {HASH_ROW(hincrbyfloat, 4, WRITE, FAST_STORE), .since = "2.6.0", .complexity = "O(1)",
     .summary = "Adds to the number a field spells; a missing field counts as 0.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FIELD_ARGUMENT, ARGUMENT("increment", DOUBLE))},
    {HASH_ROW(hrandfield, -2, READ, COMMAND_READONLY), .since = "6.2.0", .complexity = "O(fields answered)",
     .summary = "Names fields of a hash at random.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(
         KEY_ARGUMENT,
         ARGUMENT("options", BLOCK, .flags = ARGUMENT_OPTIONAL,
                  COMMAND_ARGUMENTS(ARGUMENT("count", INTEGER),
                                    ARGUMENT("withvalues", PURE_TOKEN, .token = "WITHVALUES",
                                             .flags = ARGUMENT_OPTIONAL))))},
    {HASH_ROW(hscan, -3, READ, COMMAND_READONLY), .since = "2.8.0",
     .complexity = "O(COUNT) for a call, O(fields of the hash) from the first cursor to the last",
     .summary = "Lists fields and values of a hash piece by piece, going on from a cursor.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("cursor", INTEGER),
                       ARGUMENT("pattern", PATTERN, .token = "MATCH", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL))},
};
COMMAND_FAMILY_COUNT(hash);
