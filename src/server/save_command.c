/* SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF: snapshots on request. */
#include "server/server.h"
#include "server/session.h"

/* Why there is no snapshot now. */
static void refuse_save(struct call *c, enum status status)
{
    struct replica *replica = call_session(c)->server->replica;
    struct replica_status now;
    replica_get_status(replica, &now);
    const char *refusal = status == STATUS_AGAIN && !now.memory.is_saving ? replica_refusal(replica) : NULL;
    if (refusal)
        reply_error(c->reply, refusal);
    else if (status == STATUS_AGAIN)
        reply_error(c->reply, "ERR Background save already in progress");
    else
        reply_error(c->reply, "ERR the snapshot could not be saved: see the log");
}

static void save_command(struct call *c)
{
    enum status status = replica_save(call_session(c)->server->replica, false);
    if (status == STATUS_OK)
        reply_ok(c->reply);
    else
        refuse_save(c, status);
}

static void bgsave_command(struct call *c)
{
    bool is_schedule = c->argc == 2 && call_option(c, 1, "SCHEDULE");
    if (c->argc > 2 || (c->argc == 2 && !is_schedule)) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    struct replica *replica = call_session(c)->server->replica;
    if (c->is_in_transaction) {
        replica_want_save(replica); /* not in the middle of a batch */
        reply_simple(c->reply, "Background saving scheduled");
        return;
    }
    enum status status = replica_save(replica, true);
    if (status == STATUS_OK)
        reply_simple(c->reply, "Background saving started");
    else
        refuse_save(c, status);
}

/* There is one journal and it is not rewritten: a snapshot lets it forget. */
static void bgrewriteaof_command(struct call *c)
{
    struct replica *replica = call_session(c)->server->replica;
    if (c->is_in_transaction) {
        replica_want_save(replica);
        reply_simple(c->reply, "Background append only file rewriting scheduled");
        return;
    }
    enum status status = replica_save(replica, true);
    if (status == STATUS_OK)
        reply_simple(c->reply, "Background append only file rewriting started");
    else if (status == STATUS_AGAIN)
        reply_error(c->reply, "ERR Background append only file rewriting already in progress");
    else
        refuse_save(c, status);
}

static void lastsave_command(struct call *c)
{
    struct replica_status status;
    replica_get_status(call_session(c)->server->replica, &status);
    reply_int(c->reply, status.memory.last_save_wall_s);
}

#define SAVE_FLAGS (COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_NO_ASYNC_LOADING)
static const char *const lastsave_tips[] = {"nondeterministic_output", NULL};

const struct command save_command_rows[] = {
    {.name = "save", .handler = save_command, .arity = 1, .flags = SAVE_FLAGS | COMMAND_NO_MULTI, .group = "server",
     .since = "1.0.0", .complexity = "O(N) with N keys",
     .summary = "Writes a snapshot of all data while everything waits."},
    {.name = "bgsave", .handler = bgsave_command, .arity = -1, .flags = SAVE_FLAGS, .group = "server",
     .since = "1.0.0", .complexity = "O(1)", COMMAND_HISTORY({"3.2.2", "SCHEDULE."}),
     .summary = "Writes a snapshot of all data in the background."},
    {.name = "bgrewriteaof", .handler = bgrewriteaof_command, .arity = 1, .flags = SAVE_FLAGS, .group = "server",
     .since = "1.0.0", .complexity = "O(1)", .summary = "Saves a snapshot, so that the journal can forget what it covers."},
    {.name = "lastsave", .handler = lastsave_command, .arity = 1,
     .flags = COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST, .categories = CATEGORY_ADMIN | CATEGORY_DANGEROUS,
     .group = "server", .since = "1.0.0", .complexity = "O(1)", .tips = lastsave_tips,
     .summary = "When the newest snapshot was completed, in Unix seconds."},
};
const size_t save_command_count = sizeof save_command_rows / sizeof *save_command_rows;
