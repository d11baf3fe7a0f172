/* Strings that spell numbers: INCR and its kin. */
#include <math.h>

#include "command/families.h"

/* In place where an integer is held already: the hot path has one lookup. */
static void store_counter(struct call *c, struct entry *e, int64_t value)
{
    int64_t old;
    if (e && entry_int(e, &old))
        keyspace_edit_int(c->ks, e, value);
    else
        keyspace_set_int(c->ks, c->db, c->argv[1], value);
    if (!e)
        call_notify(c, EVENT_NEW, "new", c->argv[1]);
}

static bool read_counter(struct call *c, const struct entry *e, int64_t *value)
{
    char scratch[INT64_TEXT_MAX];
    *value = 0;
    if (!e || entry_int(e, value) || slice_to_int64(entry_string(e, scratch), value))
        return true;
    reply_error(c->reply, ERROR_NOT_INTEGER);
    return false;
}

static void count(struct call *c, int64_t increment)
{
    struct entry *e;
    int64_t value;
    if (!call_find_string_for_write(c, 1, &e) || !read_counter(c, e, &value))
        return;
    if (__builtin_add_overflow(value, increment, &value)) {
        reply_error(c->reply, "ERR increment or decrement would overflow");
        return;
    }
    store_counter(c, e, value);
    call_changed(c, EVENT_STRING, "incrby", c->argv[1]);
    reply_int(c->reply, value);
}

static void incr_command(struct call *c)
{
    count(c, 1);
}

static void decr_command(struct call *c)
{
    count(c, -1);
}

static void incrby_command(struct call *c)
{
    int64_t increment;
    if (call_int64(c, 2, &increment))
        count(c, increment);
}

static void decrby_command(struct call *c)
{
    int64_t decrement;
    if (!call_int64(c, 2, &decrement))
        return;
    if (decrement == INT64_MIN)
        reply_error(c->reply, "ERR decrement would overflow");
    else
        count(c, -decrement);
}

static bool read_float(struct call *c, const struct entry *e, long double *value)
{
    char scratch[INT64_TEXT_MAX];
    *value = 0;
    if (!e || slice_to_long_double(entry_string(e, scratch), value))
        return true;
    reply_error(c->reply, ERROR_NOT_FLOAT);
    return false;
}

static void incrbyfloat_command(struct call *c)
{
    struct slice key = c->argv[1];
    struct entry *e;
    long double value, increment;
    if (!call_find_string_for_write(c, 1, &e) || !read_float(c, e, &value) ||
        !call_long_double(c, 2, &increment))
        return;
    value += increment;
    if (isnan(value) || isinf(value)) {
        reply_error(c->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[LONG_DOUBLE_TEXT_MAX];
    struct slice written = slice_make(text, long_double_to_text(value, text));
    bool is_new = !e;
    keyspace_set_text(c->ks, c->db, key, written, EXPIRE_KEEP);
    if (is_new)
        call_notify(c, EVENT_NEW, "new", key);
    call_changed(c, EVENT_STRING, "incrbyfloat", key);
    reply_bulk(c->reply, written);
}

/* --- the table ------------------------------------------------------------- */

#define COUNTER_ROW(name_, arity_)                                                                           \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_WRITE,                     \
    .flags = COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, .categories = CATEGORY_STRING,                  \
    .group = "string", .complexity = "O(1)", COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE)

const struct command command_counter_rows[] = {
    {COUNTER_ROW(incr, 2), .since = "1.0.0", .summary = "Adds one to an integer; an absent key counts as 0.",
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY))},
    {COUNTER_ROW(decr, 2), .since = "1.0.0",
     .summary = "Takes one from an integer; an absent key counts as 0.",
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY))},
    {COUNTER_ROW(incrby, 3), .since = "1.0.0",
     .summary = "Adds a whole number to an integer; an absent key counts as 0.",
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("increment", INTEGER))},
    {COUNTER_ROW(decrby, 3), .since = "1.0.0",
     .summary = "Takes a whole number from an integer; an absent key counts as 0.",
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("decrement", INTEGER))},
    {COUNTER_ROW(incrbyfloat, 3), .since = "2.6.0",
     .summary = "Adds a fractional number to the number a string spells.",
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("increment", DOUBLE))},
};
COMMAND_FAMILY_COUNT(counter);
