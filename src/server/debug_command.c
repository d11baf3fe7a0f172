/* The subcommands of DEBUG that concern the server as a whole and its data. */
#include "persist/snapshot.h"
#include "server/server.h"
#include "server/session.h"

/* --- RELOAD ---------------------------------------------------------------- */

static enum status feed(void *context, const void *bytes, size_t size)
{
    enum status status = snapshot_feed(context, bytes, size);
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

/* Writes all data as a snapshot into the reader's keyspace; OK if what came
 * out there is the same. */
static enum status reload(struct keyspace *data, struct keyspace *copy, struct snapshot_reader *reader)
{
    const struct snapshot_head head = {.created_ms = keyspace_now(data)};
    const struct snapshot_write_options options = {.sink = feed, .context = reader};
    enum status status = snapshot_write(data, &head, &options);
    if (status != STATUS_OK)
        return status;
    if (!snapshot_reader_head(reader))
        return STATUS_MALFORMED;
    keyspace_check(copy);
    struct digest before = keyspace_digest(data), after = keyspace_digest(copy);
    return before.low == after.low && before.high == after.high ? STATUS_OK : STATUS_MISMATCH;
}

/* What Redis loads in place of the data is here compared with it: loading the
 * same again would change nothing, and the data that all replicas share are not
 * one replica's to replace. */
static void debug_reload_command(struct call *c)
{
    for (int i = 2; i < c->argc; i++)
        if (!call_option(c, i, "merge") && !call_option(c, i, "noflush") && !call_option(c, i, "nosave")) {
            reply_error(c->reply, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
            return;
        }
    struct keyspace_options options = {.database_count = keyspace_database_count(c->ks)};
    struct keyspace *copy = keyspace_create(&options);
    struct snapshot_reader *reader = snapshot_reader_create(copy);
    if (reload(c->ks, copy, reader) == STATUS_OK)
        reply_ok(c->reply);
    else
        reply_error_format(c->reply, "ERR Error trying to load the snapshot of the data: %s",
                           snapshot_reader_error(reader));
    snapshot_reader_free(reader);
    keyspace_free(copy);
}

/* --- the cron, reply buffers --------------------------------------------------- */

static bool read_switch(struct slice text)
{
    int64_t value = 0;
    slice_to_int64(text, &value);
    return value != 0;
}

static void debug_pause_cron_command(struct call *c)
{
    call_session(c)->server->is_cron_paused = read_switch(c->argv[2]);
    reply_ok(c->reply);
}

/* Replies are held in buffers that shrink by themselves. */
static void debug_replybuffer_command(struct call *c)
{
    if (call_option(c, 2, "peak-reset-time") || call_option(c, 2, "resizing"))
        reply_ok(c->reply);
    else
        reply_error_format(c->reply, ERROR_SUBCOMMAND_ARITY("DEBUG"), slice_shown(c->argv[1]), c->argv[1].ptr);
}

#define DEBUG_ROW(name_, handler_, arity_, summary_)                                                         \
    {                                                                                                        \
        .name = (name_), .handler = (handler_), .arity = (arity_),                                           \
        .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_DEBUG_ONLY,    \
        .group = "server", .since = "1.0.0", .complexity = "O(1)", .summary = (summary_)                     \
    }

const struct command server_debug_rows[] = {
    DEBUG_ROW("reload", debug_reload_command, -2, "Writes and reads a snapshot, and compares."),
    DEBUG_ROW("pause-cron", debug_pause_cron_command, 3, "Stops what is done now and then."),
    DEBUG_ROW("replybuffer", debug_replybuffer_command, 4, "Accepted; there is nothing to tune."),
};
const size_t server_debug_count = sizeof server_debug_rows / sizeof *server_debug_rows;
