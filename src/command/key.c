/* Keys as such: removing, renaming, copying, asking for them.  Their expiry is
 * expire.c's, walking over them scan.c's. */
#include "command/families.h"
#include "command/type_names.h"

/* --- presence -------------------------------------------------------------- */

static void del_command(struct call *c)
{
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++)
        if (keyspace_delete(c->ks, c->db, c->argv[i])) {
            call_changed(c, EVENT_GENERIC, "del", c->argv[i]);
            count++;
        }
    reply_int(c->reply, count);
}

static void exists_command(struct call *c)
{
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++)
        count += call_look(c, i) != NULL;
    reply_int(c->reply, count);
}

static void touch_command(struct call *c)
{
    int64_t count = 0;
    for (int i = 1; i < c->argc; i++)
        count += call_touch(c, i) != NULL;
    reply_int(c->reply, count);
}

static void type_command(struct call *c)
{
    struct entry *e = call_look(c, 1);
    reply_simple(c->reply, e ? value_type_name(entry_type(e)) : "none");
}

/* --- moving ---------------------------------------------------------------- */

/* A key and the database it lives in. */
struct place {
    int db;
    struct slice key;
};

static void notify_at(struct call *c, enum keyspace_event_class event_class, const char *name,
                      const struct place *at)
{
    keyspace_notify(c->ks, event_class, name, at->db, at->key);
}

static bool is_taken(struct call *c, const struct place *at)
{
    return keyspace_find_for_write(c->ks, at->db, at->key) != NULL;
}

static void move_value(struct call *c, const struct place *from, const struct place *to,
                       const char *event_from, const char *event_to)
{
    keyspace_rename(c->ks, from->db, from->key, to->db, to->key);
    notify_at(c, EVENT_NEW, "new", to);
    notify_at(c, EVENT_GENERIC, event_from, from);
    notify_at(c, EVENT_GENERIC, event_to, to);
    keyspace_count_changes(c->ks, 1);
}

/* True if the rename has taken place, or had nothing to do; false if something
 * is in its way or an error was written. */
static bool rename_key(struct call *c, bool may_replace, bool *is_done)
{
    struct place from = {c->db, c->argv[1]}, to = {c->db, c->argv[2]};
    *is_done = false;
    if (!is_taken(c, &from)) {
        reply_error(c->reply, ERROR_NO_SUCH_KEY);
        return false;
    }
    if (slice_equal(from.key, to.key)) {
        *is_done = may_replace;
        return true;
    }
    if (!may_replace && is_taken(c, &to))
        return true;
    move_value(c, &from, &to, "rename_from", "rename_to");
    *is_done = true;
    return true;
}

static void rename_command(struct call *c)
{
    bool is_done;
    if (rename_key(c, true, &is_done))
        reply_ok(c->reply);
}

static void renamenx_command(struct call *c)
{
    bool is_done;
    if (rename_key(c, false, &is_done))
        reply_int(c->reply, is_done);
}

#define ERROR_SAME_OBJECT "ERR source and destination objects are the same"

static void move_command(struct call *c)
{
    struct place from = {c->db, c->argv[1]}, to = {0, c->argv[1]};
    if (!call_db_index(c, 2, &to.db, NULL))
        return;
    if (from.db == to.db) {
        reply_error(c->reply, ERROR_SAME_OBJECT);
        return;
    }
    bool moves = is_taken(c, &from) && !is_taken(c, &to);
    if (moves)
        move_value(c, &from, &to, "move_from", "move_to");
    reply_int(c->reply, moves);
}

static bool parse_copy(struct call *c, int *db, bool *may_replace)
{
    for (int i = 3; i < c->argc; i++) {
        if (call_option(c, i, "replace")) {
            *may_replace = true;
        } else if (call_option(c, i, "db") && i + 1 < c->argc) {
            if (!call_db_index(c, ++i, db, NULL))
                return false;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void copy_command(struct call *c)
{
    struct place from = {c->db, c->argv[1]}, to = {c->db, c->argv[2]};
    bool may_replace = false;
    if (!parse_copy(c, &to.db, &may_replace))
        return;
    if (from.db == to.db && slice_equal(from.key, to.key)) {
        reply_error(c->reply, ERROR_SAME_OBJECT);
        return;
    }
    bool copies = call_find(c, 1) && (!is_taken(c, &to) || may_replace) &&
                  keyspace_copy(c->ks, from.db, from.key, to.db, to.key);
    if (copies) {
        notify_at(c, EVENT_NEW, "new", &to);
        notify_at(c, EVENT_GENERIC, "copy_to", &to);
        keyspace_count_changes(c->ks, 1);
    }
    reply_int(c->reply, copies);
}

/* --- the table ------------------------------------------------------------- */

#define KEY_ROW(name_, arity_, route_, flags_)                                                               \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_KEYSPACE, .group = "generic"
#define FAST_READ          (COMMAND_READONLY | COMMAND_FAST)
#define MANY_KEYS_ARGUMENT COMMAND_ARGUMENTS(ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE))
#define SUMMED_TIPS        COMMAND_TIPS("request_policy:multi_shard", "response_policy:agg_sum")

const struct command command_key_rows[] = {
    {KEY_ROW(del, -2, WRITE, COMMAND_WRITE), .since = "1.0.0", .complexity = "O(keys), plus their members",
     .summary = "Removes keys.", COMMAND_MANY_KEYS(KEY_RM | KEY_DELETE, 1), SUMMED_TIPS, MANY_KEYS_ARGUMENT},
    {.name = "unlink",
     .handler = del_command,
     .arity = -2,
     .route = ROUTE_WRITE,
     .flags = COMMAND_WRITE | COMMAND_FAST,
     .categories = CATEGORY_KEYSPACE,
     .group = "generic",
     .since = "4.0.0",
     .complexity = "O(keys)",
     .summary = "Removes keys; memory may be given back later.",
     COMMAND_MANY_KEYS(KEY_RM | KEY_DELETE, 1),
     SUMMED_TIPS,
     MANY_KEYS_ARGUMENT},
    {KEY_ROW(exists, -2, READ, FAST_READ), .since = "1.0.0", .complexity = "O(keys)",
     .summary = "Counts which of the keys named are there; repeated names count again.",
     COMMAND_HISTORY({"3.0.3", "Any number of keys."}),
     COMMAND_MANY_KEYS(KEY_RO, 1), SUMMED_TIPS, MANY_KEYS_ARGUMENT},
    {KEY_ROW(touch, -2, READ, FAST_READ), .since = "3.2.1", .complexity = "O(keys)",
     .summary = "Marks keys as just used and counts those that are there.", COMMAND_MANY_KEYS(KEY_RO, 1),
     SUMMED_TIPS, MANY_KEYS_ARGUMENT},
    {KEY_ROW(type, 2, READ, FAST_READ), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Tells what kind of value a key holds.", COMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY))},
    {KEY_ROW(rename, 3, WRITE, COMMAND_WRITE), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Gives a key another name, in place of any key that has it.", COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, 0, 1),
                   KEY_RANGE(2, KEY_OW | KEY_UPDATE, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("newkey", KEY, .key_spec_index = 1))},
    {KEY_ROW(renamenx, 3, WRITE, COMMAND_WRITE | COMMAND_FAST), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Gives a key another name unless a key has it.", COMMAND_HISTORY({"3.2.0", "Both names may be the same."}),
     COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, 0, 1),
                   KEY_RANGE(2, KEY_OW | KEY_INSERT, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("newkey", KEY, .key_spec_index = 1))},
    {KEY_ROW(copy, -3, WRITE, COMMAND_WRITE | COMMAND_DENYOOM), .since = "6.2.0",
     .complexity = "O(size of the value)", .summary = "Copies a value and its expiry to another key.",
     COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RO | KEY_ACCESS, 0, 1), KEY_RANGE(2, KEY_OW | KEY_UPDATE, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("source", KEY), ARGUMENT("destination", KEY, .key_spec_index = 1),
                       ARGUMENT("destination-db", INTEGER, .token = "DB", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("replace", PURE_TOKEN, .token = "REPLACE", .flags = ARGUMENT_OPTIONAL))},
    {KEY_ROW(move, 3, WRITE, COMMAND_WRITE | COMMAND_FAST), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Moves a key to another database unless one there has its name.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("db", INTEGER))},
};
COMMAND_FAMILY_COUNT(key);
