#include "command/command.h"

#include <math.h>
#include <stdio.h>

#include "command/table.h"

/* --- arguments ------------------------------------------------------------- */

bool call_int64_or(struct call *c, int index, int64_t *value, const char *error)
{
    if (slice_to_int64(c->argv[index], value))
        return true;
    reply_error(c->reply, error ? error : ERROR_NOT_INTEGER);
    return false;
}

bool call_int64(struct call *c, int index, int64_t *value)
{
    return call_int64_or(c, index, value, ERROR_NOT_INTEGER);
}

bool call_int_or(struct call *c, int index, int *value, const char *error)
{
    int64_t wide;
    if (!call_int64_or(c, index, &wide, error))
        return false;
    if (wide < INT32_MIN || wide > INT32_MAX) {
        if (error)
            reply_error(c->reply, error);
        else
            reply_error_format(c->reply, "ERR value is out of range, value must between %d and %d", INT32_MIN,
                               INT32_MAX);
        return false;
    }
    *value = (int)wide;
    return true;
}

bool call_long_double(struct call *c, int index, long double *value)
{
    if (slice_to_long_double(c->argv[index], value))
        return true;
    reply_error(c->reply, ERROR_NOT_FLOAT);
    return false;
}

bool call_random_count(struct call *c, int index, int64_t *count)
{
    int64_t value;
    if (!call_int64(c, index, &value))
        return false;
    if (value == INT64_MIN) {
        reply_error_format(c->reply, "ERR value is out of range, value must between %lld and %lld",
                           (long long)-INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    *count = value;
    return true;
}

bool call_db_index(struct call *c, int index, int *db, const char *error)
{
    int value;
    if (!call_int_or(c, index, &value, error))
        return false;
    if (value < 0 || value >= keyspace_database_count(c->ks)) {
        reply_error(c->reply, ERROR_DB_RANGE);
        return false;
    }
    *db = value;
    return true;
}

void call_arity_error(struct call *c)
{
    reply_error_format(c->reply, "ERR wrong number of arguments for '%s' command", c->command->name);
}

void call_expire_time_error(struct call *c)
{
    reply_error_format(c->reply, "ERR invalid expire time in '%s' command", c->command->name);
}

bool call_expire_at(struct call *c, int index, struct call_time form, int64_t *expire_at)
{
    int64_t when;
    if (!call_int64(c, index, &when))
        return false;
    bool is_valid = form.may_be_past || when > 0;
    if (form.is_seconds)
        is_valid = is_valid && !__builtin_mul_overflow(when, INT64_C(1000), &when);
    if (!form.is_absolute)
        is_valid = is_valid && !__builtin_add_overflow(when, c->now_ms, &when);
    if (!is_valid) {
        call_expire_time_error(c);
        return false;
    }
    *expire_at = when;
    return true;
}

/* --- keys ------------------------------------------------------------------ */

static struct entry *note_miss(struct call *c, int index, struct entry *e)
{
    if (!e)
        call_notify(c, EVENT_KEY_MISS, "keymiss", c->argv[index]);
    return e;
}

struct entry *call_find(struct call *c, int index)
{
    return note_miss(c, index, keyspace_find(c->ks, c->db, c->argv[index]));
}

struct entry *call_touch(struct call *c, int index)
{
    return note_miss(c, index, keyspace_access(c->ks, c->db, c->argv[index]));
}

struct entry *call_look(struct call *c, int index)
{
    return note_miss(c, index, keyspace_look(c->ks, c->db, c->argv[index]));
}

static bool check_type(struct call *c, const struct entry *e, enum value_type type)
{
    if (!e || entry_type(e) == type)
        return true;
    reply_error(c->reply, ERROR_WRONG_TYPE);
    return false;
}

bool call_find_type(struct call *c, int index, enum value_type type, struct entry **e)
{
    *e = call_find(c, index);
    return check_type(c, *e, type);
}

bool call_find_type_for_write(struct call *c, int index, enum value_type type, struct entry **e)
{
    *e = keyspace_find_for_write(c->ks, c->db, c->argv[index]);
    return check_type(c, *e, type);
}

bool call_find_string(struct call *c, int index, struct entry **e)
{
    return call_find_type(c, index, VALUE_STRING, e);
}

bool call_find_string_for_write(struct call *c, int index, struct entry **e)
{
    return call_find_type_for_write(c, index, VALUE_STRING, e);
}

bool call_find_value(struct call *c, int index, enum value_type type, struct value *v, bool *is_there)
{
    struct entry *e;
    if (!call_find_type(c, index, type, &e))
        return false;
    *is_there = e != NULL;
    if (e)
        *v = entry_value(e);
    return true;
}

void call_delete_empty(struct call *c, struct slice key)
{
    keyspace_delete(c->ks, c->db, key);
    call_notify(c, EVENT_GENERIC, "del", key);
}

struct entry *call_set_value(struct call *c, struct slice key, enum value_type type, struct value v)
{
    size_t size = keyspace_size(c->ks, c->db);
    struct entry *e = keyspace_set_value(c->ks, c->db, key, type, v, EXPIRE_NONE);
    if (keyspace_size(c->ks, c->db) > size)
        call_notify(c, EVENT_NEW, "new", key);
    return e;
}

/* Whether the key is new shows in the size: that spares the hot path a lookup. */
void call_set_string(struct call *c, struct slice key, struct slice value, int64_t expire_at)
{
    size_t size = keyspace_size(c->ks, c->db);
    keyspace_set(c->ks, c->db, key, value, expire_at);
    if (keyspace_size(c->ks, c->db) > size)
        call_notify(c, EVENT_NEW, "new", key);
}

/* --- blocking ------------------------------------------------------------------ */

bool call_block(struct call *c, const struct call_wait *wait)
{
    if (!c->wait || c->is_in_transaction)
        return false;
    *c->wait = *wait;
    c->wait->is_wanted = true;
    return true;
}

bool call_timeout(struct call *c, int index, int64_t *timeout_ms)
{
    long double seconds;
    if (!slice_to_long_double(c->argv[index], &seconds)) {
        reply_error(c->reply, "ERR timeout is not a float or out of range");
        return false;
    }
    long double ms = ceill(seconds * 1000);
    /* What no 64-bit integer can hold is negative to Redis, too. */
    if (ms < 0 || ms > (long double)INT64_MAX) {
        reply_error(c->reply, "ERR timeout is negative");
        return false;
    }
    if (ms > (long double)(INT64_MAX - c->now_ms)) {
        reply_error(c->reply, "ERR timeout is out of range");
        return false;
    }
    *timeout_ms = (int64_t)ms;
    return true;
}

/* --- events ---------------------------------------------------------------- */

void call_notify(struct call *c, enum keyspace_event_class event_class, const char *name, struct slice key)
{
    keyspace_notify(c->ks, event_class, name, c->db, key);
}

void call_changed(struct call *c, enum keyspace_event_class event_class, const char *name, struct slice key)
{
    keyspace_notify(c->ks, event_class, name, c->db, key);
    keyspace_touch(c->ks, c->db, key);
    keyspace_count_changes(c->ks, 1);
}

/* --- replies ---------------------------------------------------------------- */

static void reply_help_usage(struct call *c)
{
    char upper[32];
    size_t length = 0;
    for (; length < c->argv[0].len && length < sizeof upper - 1; length++) {
        char letter = c->argv[0].ptr[length];
        upper[length] = (char)(letter >= 'a' && letter <= 'z' ? letter - ('a' - 'A') : letter);
    }
    upper[length] = '\0';
    char line[96] = "";
    snprintf(line, sizeof line, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", upper);
    reply_simple(c->reply, line);
}

void call_help(struct call *c, const char *const *lines)
{
    size_t count = 0;
    while (lines[count])
        count++;
    reply_array(c->reply, count + 3);
    reply_help_usage(c);
    for (size_t i = 0; i < count; i++)
        reply_simple(c->reply, lines[i]);
    reply_simple(c->reply, "HELP");
    reply_simple(c->reply, "    Print this help.");
}
