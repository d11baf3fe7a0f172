#include "server/multi.h"

#include <stdio.h>

#include "base/alloc.h"
#include "command/transaction.h"
#include "replica/batch_code.h"
#include "server/caretaker.h"
#include "server/dispatch.h"
#include "server/server.h"
#include "store/watch.h"

enum { ARGUMENTS_MAX = BATCH_ARGUMENTS_MAX - 1024 };

struct kept {
    const struct command *row;
    int argc;
    struct slice *argv; /* one block with the bytes */
};

struct multi {
    struct kept *commands;
    int count, capacity;
    int arguments; /* as the internal command will have them */
    size_t bytes;
    uint32_t flags; /* of all rows */
    bool is_flawed, has_write, has_read, has_local;
};

/* --- queueing ------------------------------------------------------------------ */

static struct kept *add_kept(struct multi *m)
{
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? m->capacity * 2 : 8;
        m->commands = mem_realloc(m->commands, (size_t)m->capacity * sizeof *m->commands);
    }
    return &m->commands[m->count++];
}

const char *multi_refusal(const struct session *s, int argc, const struct slice *argv)
{
    const struct multi *m = s->multi;
    size_t bytes = m->bytes;
    for (int i = 0; i < argc; i++)
        bytes += argv[i].len + sizeof *argv;
    bool is_too_long = m->arguments + argc >= ARGUMENTS_MAX || bytes > DISPATCH_WRITE_BYTES_MAX;
    return is_too_long ? "ERR transaction is longer than a batch may be (1 GiB, a million arguments)" : NULL;
}

void multi_keep(struct session *s, const struct command *row, int argc, const struct slice *argv)
{
    struct multi *m = s->multi;
    size_t bytes;
    struct kept *kept = add_kept(m);
    *kept = (struct kept){.row = row, .argc = argc, .argv = slices_copy(argc, argv, &bytes)};
    m->bytes += bytes;
    m->arguments += 1 + argc;
    m->flags |= row->flags;
    m->has_write |= row->route == ROUTE_WRITE;
    m->has_read |= row->route == ROUTE_READ;
    m->has_local |= row->route == ROUTE_LOCAL;
}

static void free_multi(struct multi *m)
{
    for (int i = 0; i < m->count; i++)
        mem_free(m->commands[i].argv);
    mem_free(m->commands);
    mem_free(m);
}

void multi_flaw(struct session *s)
{
    if (s->multi)
        s->multi->is_flawed = true;
}

uint32_t multi_flags(const struct session *s)
{
    return s->multi ? s->multi->flags : 0;
}

size_t multi_memory(const struct session *s)
{
    return s->multi ? sizeof *s->multi + (size_t)s->multi->capacity * sizeof *s->multi->commands + s->multi->bytes : 0;
}

int multi_count(const struct session *s)
{
    return s->multi ? s->multi->count : -1;
}

/* --- watching ------------------------------------------------------------------ */

static struct watcher_id own_watcher(const struct session *s)
{
    return (struct watcher_id){
        .member = (uint16_t)s->server->config->cluster_self, .life = s->server->life, .number = s->watcher};
}

static struct slice put_watcher(const struct session *s, char bytes[static WATCHER_ID_BYTES])
{
    struct watcher_id id = own_watcher(s);
    watcher_id_put(&id, bytes);
    return slice_make(bytes, WATCHER_ID_BYTES);
}

/* Nobody waits for it: no later command of the session speaks of this number. */
static void forget_watcher(struct session *s)
{
    struct watcher_id id = own_watcher(s);
    if (s->watcher && replica_is_lone(s->server->replica))
        watch_drop(keyspace_watches(s->server->keyspace), &id);
    else if (s->watcher)
        caretaker_forget(&s->server->caretaker, &id);
    s->watcher = 0;
}

void multi_end(struct session *s)
{
    if (s->multi)
        free_multi(s->multi);
    s->multi = NULL;
    forget_watcher(s);
}

static void watch_command(struct call *c)
{
    struct session *s = call_session(c);
    if (s->multi) {
        s->outcome = dispatch_error(s, c->command, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    uint64_t before = s->watcher;
    if (!s->watcher)
        s->watcher = ++s->server->newest_watcher;
    char id[WATCHER_ID_BYTES];
    struct slice *argv = mem_alloc((size_t)(c->argc + 1) * sizeof *argv);
    argv[0] = slice_from(command_internal(INTERNAL_WATCH)->name);
    argv[1] = put_watcher(s, id);
    memcpy(argv + 2, c->argv + 1, (size_t)(c->argc - 1) * sizeof *argv);
    s->outcome = dispatch_run(s, command_internal(INTERNAL_WATCH), c->argc + 1, argv);
    if (s->outcome != HANDLED)
        s->watcher = before;
    mem_free(argv);
}

static void unwatch_command(struct call *c)
{
    struct session *s = call_session(c);
    if (c->is_in_transaction) {
        reply_ok(c->reply); /* EXEC has ended the watching already */
        return;
    }
    s->outcome = dispatch_answer(s, INTERNAL_OK);
    if (s->outcome == HANDLED)
        forget_watcher(s);
}

/* --- MULTI and DISCARD --------------------------------------------------------- */

static void multi_command(struct call *c)
{
    struct session *s = call_session(c);
    if (s->multi) {
        s->outcome = dispatch_error(s, c->command, "ERR MULTI calls can not be nested");
        return;
    }
    s->outcome = dispatch_answer(s, INTERNAL_OK);
    if (s->outcome == HANDLED)
        s->multi = mem_calloc(1, sizeof *s->multi);
}

static void discard_command(struct call *c)
{
    struct session *s = call_session(c);
    if (!s->multi) {
        s->outcome = dispatch_error(s, c->command, "ERR DISCARD without MULTI");
        return;
    }
    s->outcome = dispatch_answer(s, INTERNAL_OK);
    if (s->outcome == HANDLED)
        multi_end(s);
}

/* --- EXEC ---------------------------------------------------------------------- */

/* Where it runs: only writes and watchers need every replica, only data the
 * order. */
enum command_route multi_route(const struct session *s, int exec_argc)
{
    const struct multi *m = s->multi;
    if (!m)
        return ROUTE_LOCAL;
    if (m->has_write || s->watcher)
        return ROUTE_WRITE;
    return m->has_read || exec_argc > 1 ? ROUTE_READ : ROUTE_LOCAL;
}

static const struct command *row_for(enum command_route route, uint32_t flags)
{
    if (route == ROUTE_WRITE)
        return command_internal(INTERNAL_EXEC);
    return command_internal(flags & COMMAND_READS_TIME ? INTERNAL_EXEC_READ_TIME : INTERNAL_EXEC_READ);
}

/* SELECT changes the database of what follows it, if it succeeds. */
static int db_after(const struct session *s, const struct kept *kept, int db)
{
    int64_t chosen;
    bool is_choice = (kept->row->flags & COMMAND_CHOOSES_DB) && kept->argc == 2 &&
                     slice_to_int64(kept->argv[1], &chosen) && chosen >= 0 &&
                     chosen < keyspace_database_count(s->server->keyspace);
    return is_choice ? (int)chosen : db;
}

/* Appends head and arguments of each command; returns how many slices. */
static int append_commands(const struct session *s, const struct multi *m, char *heads, struct slice *argv)
{
    int at = 0, db = s->db;
    for (int i = 0; i < m->count; i++) {
        const struct kept *kept = &m->commands[i];
        argv[at++] = slice_make(heads, transaction_head_put(heads, db, kept->argc));
        heads += TRANSACTION_HEAD_MAX;
        memcpy(argv + at, kept->argv, (size_t)kept->argc * sizeof *argv);
        at += kept->argc;
        db = db_after(s, kept, db);
    }
    return at;
}

/* What was queued is the caller's meanwhile. */
static enum outcome run_transaction(struct session *s, const struct multi *m, const struct call *c,
                                    enum command_route route)
{
    char id[WATCHER_ID_BYTES], count[INT64_TEXT_MAX];
    int conditions = c->argc - 1, argc = TRANSACTION_FIRST_CONDITION + conditions;
    const struct command *row = row_for(route, m->flags);
    char *heads = mem_alloc((size_t)m->count * TRANSACTION_HEAD_MAX + 1);
    struct slice *argv = mem_alloc((size_t)(argc + m->arguments) * sizeof *argv);
    argv[0] = slice_from(row->name);
    argv[1] = s->watcher ? put_watcher(s, id) : slice_make("", 0);
    argv[2] = slice_make(count, int64_to_text(conditions, count));
    if (conditions)
        memcpy(argv + TRANSACTION_FIRST_CONDITION, c->argv + 1, (size_t)conditions * sizeof *argv);
    argc += append_commands(s, m, heads, argv + argc);
    enum outcome outcome = route == ROUTE_LOCAL ? dispatch_run_here(s, row, argc, argv)
                                                : dispatch_run(s, row, argc, argv);
    mem_free(argv);
    mem_free(heads);
    return outcome;
}

/* The error ends the transaction. */
static enum outcome abort_exec(struct session *s, const struct command *row, const char *text)
{
    enum outcome outcome = dispatch_error(s, row, text);
    if (outcome == HANDLED)
        multi_end(s);
    return outcome;
}

/* m is NULL outside of MULTI. */
static const char *flaw_of(const struct call *c, const struct multi *m)
{
    int conditions = c->argc - 1;
    if (conditions && !transaction_is_condition(c->argv[1]))
        return "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    if (!m)
        return "ERR EXEC without MULTI";
    if (!transaction_conditions_are_sound(conditions, c->argv + 1))
        return "EXECABORT Transaction discarded because of: invalid condition syntax";
    if (m->is_flawed)
        return "EXECABORT Transaction discarded because of previous errors.";
    if (m->arguments + conditions >= ARGUMENTS_MAX)
        return "EXECABORT Transaction discarded because of: too many arguments";
    return NULL;
}

static void exec_command(struct call *c)
{
    struct session *s = call_session(c);
    struct multi *m = s->multi;
    const char *flaw = flaw_of(c, m);
    if (flaw) {
        s->outcome = m ? abort_exec(s, c->command, flaw) : dispatch_error(s, c->command, flaw);
        return;
    }
    enum command_route route = multi_route(s, c->argc);
    s->multi = NULL; /* commands of it may look */
    s->outcome = run_transaction(s, m, c, route);
    if (s->outcome != HANDLED) {
        s->multi = m;
        return;
    }
    s->watcher = 0;
    /* What it does to the connection comes before what follows. */
    s->is_stalled |= m->has_local && s->pending > 0;
    free_multi(m);
}

/* --- the table ----------------------------------------------------------------- */

#define TRANSACTION_FLAGS (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_DECIDES)
#define TRANSACTION_ROW(name_, handler_, arity_, flags_, since_, complexity_, summary_)           \
    .name = (name_), .handler = (handler_), .arity = (arity_), .flags = TRANSACTION_FLAGS | (flags_), \
    .categories = CATEGORY_TRANSACTION, .group = "transactions", .since = (since_),               \
    .complexity = (complexity_), .summary = (summary_)

const struct command multi_command_rows[] = {
    {TRANSACTION_ROW("multi", multi_command, 1, COMMAND_FAST | COMMAND_ALLOW_BUSY | COMMAND_UNQUEUED, "1.2.0", "O(1)",
                     "Begins a transaction: what follows is queued until EXEC.")},
    {TRANSACTION_ROW("exec", exec_command, -1, COMMAND_SKIP_SLOWLOG | COMMAND_UNQUEUED | COMMAND_RUNS_QUEUED, "1.2.0",
                     "Depends on commands in the transaction",
                     "Runs what was queued as one unit, unless a watched key was changed or a condition fails."),
     COMMAND_ARGUMENTS({.name = "condition", .type = ARGUMENT_ONEOF, .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE,
                        COMMAND_ARGUMENTS({.name = "ifeq", .type = ARGUMENT_BLOCK, .token = "IFEQ",
                                           COMMAND_ARGUMENTS({.name = "key", .type = ARGUMENT_STRING},
                                                             {.name = "value", .type = ARGUMENT_STRING})},
                                          {.name = "ifne", .type = ARGUMENT_BLOCK, .token = "IFNE",
                                           COMMAND_ARGUMENTS({.name = "key", .type = ARGUMENT_STRING},
                                                             {.name = "value", .type = ARGUMENT_STRING})},
                                          {.name = "nx", .type = ARGUMENT_STRING, .token = "NX"},
                                          {.name = "xx", .type = ARGUMENT_STRING, .token = "XX"})})},
    {TRANSACTION_ROW("discard", discard_command, 1, COMMAND_FAST | COMMAND_ALLOW_BUSY | COMMAND_UNQUEUED, "2.0.0",
                     "O(N), when N is the number of queued commands", "Ends the transaction without running it.")},
    {TRANSACTION_ROW("watch", watch_command, -2, COMMAND_FAST | COMMAND_ALLOW_BUSY | COMMAND_UNQUEUED, "2.2.0",
                     "O(1) for every key.", "Makes the next EXEC depend on these keys not being changed before it."),
     COMMAND_MANY_KEYS(KEY_RO, 1),
     COMMAND_ARGUMENTS({.name = "key", .type = ARGUMENT_KEY, .flags = ARGUMENT_MULTIPLE})},
    {TRANSACTION_ROW("unwatch", unwatch_command, 1, COMMAND_FAST | COMMAND_ALLOW_BUSY, "2.2.0", "O(1)",
                     "Watches nothing any more.")},
};
const size_t multi_command_count = sizeof multi_command_rows / sizeof *multi_command_rows;
