/* Whole databases: their size, emptying them, swapping them. */
#include "command/families.h"

static void dbsize_command(struct call *c)
{
    reply_int(c->reply, (int64_t)keyspace_size(c->ks, c->db));
}

static void flush(struct call *c, int db)
{
    bool is_async = c->argc == 2 && call_option(c, 1, "async");
    bool is_sync = c->argc == 2 && call_option(c, 1, "sync");
    if (c->argc > 1 && !is_async && !is_sync) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    keyspace_count_changes(c->ks, keyspace_flush(c->ks, db, is_async));
    reply_ok(c->reply);
}

static void flushdb_command(struct call *c)
{
    flush(c, c->db);
}

static void flushall_command(struct call *c)
{
    flush(c, -1);
}

/* Both must be numbers before either must name a database. */
static void swapdb_command(struct call *c)
{
    int a, b, count = keyspace_database_count(c->ks);
    if (!call_int_or(c, 1, &a, "ERR invalid first DB index") ||
        !call_int_or(c, 2, &b, "ERR invalid second DB index"))
        return;
    if (a < 0 || a >= count || b < 0 || b >= count) {
        reply_error(c->reply, ERROR_DB_RANGE);
        return;
    }
    keyspace_swap(c->ks, a, b);
    keyspace_count_changes(c->ks, 1);
    reply_ok(c->reply);
}

/* --- the table ------------------------------------------------------------- */

#define DATABASE_ROW(name_, arity_, route_, flags_, categories_)                                             \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_KEYSPACE | (categories_), .group = "server"
#define FLUSH_ARGUMENTS                                                                                      \
    COMMAND_ARGUMENTS(                                                                                       \
        ARGUMENT("async", ONEOF, .flags = ARGUMENT_OPTIONAL,                                                 \
                 COMMAND_ARGUMENTS(ARGUMENT("async", PURE_TOKEN, .token = "ASYNC", .since = "4.0.0"),        \
                                   ARGUMENT("sync", PURE_TOKEN, .token = "SYNC", .since = "6.2.0"))))

const struct command command_database_rows[] = {
    {DATABASE_ROW(dbsize, 1, READ, COMMAND_READONLY | COMMAND_FAST, 0), .since = "1.0.0",
     .complexity = "O(1)", .summary = "Counts the keys of the database.",
     COMMAND_TIPS("request_policy:all_shards", "response_policy:agg_sum")},
    {DATABASE_ROW(flushdb, -1, WRITE, COMMAND_WRITE, CATEGORY_DANGEROUS), .since = "1.0.0",
     .complexity = "O(keys in the database)", .summary = "Removes every key of the database.",
     COMMAND_HISTORY({"4.0.0", "ASYNC."},
                     {"6.2.0", "SYNC."}),
     COMMAND_TIPS("request_policy:all_shards", "response_policy:all_succeeded"), FLUSH_ARGUMENTS},
    {DATABASE_ROW(flushall, -1, WRITE, COMMAND_WRITE, CATEGORY_DANGEROUS), .since = "1.0.0",
     .complexity = "O(keys in all databases)", .summary = "Removes every key of every database.",
     COMMAND_HISTORY({"4.0.0", "ASYNC."},
                     {"6.2.0", "SYNC."}),
     COMMAND_TIPS("request_policy:all_shards", "response_policy:all_succeeded"), FLUSH_ARGUMENTS},
    {DATABASE_ROW(swapdb, 3, WRITE, COMMAND_WRITE | COMMAND_FAST, CATEGORY_DANGEROUS), .since = "4.0.0",
     .complexity = "O(1)", .summary = "Exchanges the contents of two databases.",
     COMMAND_ARGUMENTS(ARGUMENT("index1", INTEGER), ARGUMENT("index2", INTEGER))},
};
COMMAND_FAMILY_COUNT(database);
