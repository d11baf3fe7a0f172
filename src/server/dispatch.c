/* From bytes to the place where a command runs.
 *
 * Whole commands are taken from the input in runs of up to RUN_MAX: parsed and
 * looked up together, their keys prefetched together, then handled one by one.
 *
 *   ROUTE_LOCAL           here and now, once nothing of the session is pending
 *   ROUTE_READ, _WRITE    lone: here and now
 *                         cluster: handed to the replica; answered later
 *   ROUTE_READ, READONLY  cluster: here and now, from local data */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/random.h"
#include "command/run.h"
#include "server/dispatch.h"
#include "server/multi.h"
#include "server/server.h"
#include "server/session.h"

enum {
    RUN_MAX = 16,
    RUN_ARGUMENTS_MAX = 4096, /* a run ends when it holds this many */
};

struct request_run {
    struct call calls[RUN_MAX]; /* command: the row, or NULL if there is none */
    uint64_t hashes[RUN_MAX];   /* of first keys, if is_prefetched */
    size_t first_argument[RUN_MAX];
    size_t ends[RUN_MAX]; /* offsets behind the commands */
    int count;
    bool is_prefetched;
    size_t arguments_used;
    size_t handled_bytes; /* of empty lines, too */
    const char *protocol_error;
};

/* --- parsing a run -------------------------------------------------------- */

static void keep_arguments(struct server *server, struct request_run *run, const struct resp_parser *parser)
{
    size_t needed = run->arguments_used + parser->argc;
    if (needed > server->argument_capacity) {
        server->argument_capacity = needed < RUN_ARGUMENTS_MAX ? RUN_ARGUMENTS_MAX : needed;
        server->arguments = mem_realloc(server->arguments, server->argument_capacity * sizeof *server->arguments);
    }
    memcpy(server->arguments + run->arguments_used, parser->argv, parser->argc * sizeof *parser->argv);
}

static void add_request(struct session *s, struct request_run *run, size_t end)
{
    keep_arguments(s->server, run, &s->parser);
    run->first_argument[run->count] = run->arguments_used;
    run->ends[run->count] = end;
    run->calls[run->count].argc = (int)s->parser.argc;
    run->arguments_used += s->parser.argc;
    run->count++;
}

/* How far ahead commands may be parsed: not at all while a command may change
 * the limits (AUTH), and not behind an inline command, whose arguments the
 * parser itself holds. */
static bool may_parse_on(const struct session *s, const struct request_run *run, const char *command)
{
    return run->count < RUN_MAX && run->arguments_used < RUN_ARGUMENTS_MAX && s->is_authenticated && *command == '*';
}

static struct resp_limits limits_of(const struct session *s)
{
    struct resp_limits limits = {
        .argument_count_max = RESP_ARGUMENTS_MAX,
        .bulk_bytes_max = s->server->config->proto_max_bulk_bytes,
        .inline_bytes_max = RESP_INLINE_BYTES_MAX,
        .is_authenticated = s->is_authenticated,
    };
    if (!s->is_authenticated) {
        limits.argument_count_max = 10;
        limits.bulk_bytes_max = 16384;
    }
    return limits;
}

static void parse_run(struct session *s, const char *bytes, size_t len, struct request_run *run)
{
    struct resp_limits limits = limits_of(s);
    size_t at = 0;
    while (at < len) {
        switch (resp_parse(&s->parser, bytes + at, len - at, &limits)) {
        case RESP_COMMAND:
            add_request(s, run, at + s->parser.consumed);
            if (!may_parse_on(s, run, bytes + at))
                return;
            at += s->parser.consumed;
            break;
        case RESP_EMPTY:
            at += s->parser.consumed;
            if (run->count == 0)
                run->handled_bytes = at;
            else
                run->ends[run->count - 1] = at;
            break;
        case RESP_MORE:
            if (s->parser.bytes_needed > len - at && run->count == 0)
                stream_expect(s->stream, s->parser.bytes_needed);
            return;
        case RESP_ERROR:
            run->protocol_error = s->parser.error;
            return;
        }
    }
}

/* --- looking commands up -------------------------------------------------- */

static void complete_call(struct session *s, struct request_run *run, int index)
{
    struct call *call = &run->calls[index];
    char error[COMMAND_ERROR_MAX];
    call->argv = s->server->arguments + run->first_argument[index];
    call->command = command_resolve(s->server->commands, call->argc, call->argv, error);
    call->ks = s->server->keyspace;
    call->reply = &s->reply;
    call->db = s->db;
    call->seed = call->position = 0;
    call->table = s->server->commands;
    call->host = s;
    call->on_nested = session_on_nested;
    call->is_in_transaction = false;
    call->wait = NULL;
}

/* Only where commands run here: in a cluster the batch does it. */
static void prefetch_run(const struct session *s, struct request_run *run)
{
    if (run->count < 2 || !replica_is_lone(s->server->replica))
        return;
    for (int i = 0; i < run->count; i++)
        if (!run->calls[i].command)
            return;
    command_prefetch(run->calls, (size_t)run->count, run->hashes);
    run->is_prefetched = true;
}

/* --- handling one --------------------------------------------------------- */

/* Replies leave in the order of the commands: what is answered here waits until
 * nothing is pending. */
static bool must_stall(struct session *s)
{
    if (s->pending == 0)
        return false;
    s->is_stalled = true;
    return true;
}

enum outcome dispatch_error(struct session *s, const struct command *row, const char *text)
{
    if (must_stall(s))
        return MUST_WAIT;
    struct reply *reply = session_reply_begin(s);
    s->reply_start = reply->out ? buf_size(reply->out) : 0;
    reply_error(reply, text);
    if (row)
        stats_count_rejection(&s->server->stats, row);
    if (reply->out)
        session_count_error(s, s->reply_start);
    session_reply_end(s);
    return HANDLED;
}

static bool debug_is_allowed(const struct session *s)
{
    switch (s->server->config->enable_debug_command) {
    case DEBUG_COMMAND_YES: return true;
    case DEBUG_COMMAND_LOCAL: return s->is_unix || strncmp(stream_peer_address(s->stream), "127.", 4) == 0 ||
                                     strncmp(stream_peer_address(s->stream), "[::1]", 5) == 0;
    default: return false;
    }
}

/* What a command asks for: EXEC for all that was queued, a WATCH for a place in the order. */
struct demand {
    enum command_route route;
    uint32_t flags;
};

static struct demand demand_of(const struct session *s, const struct call *call)
{
    const struct command *row = call->command;
    struct demand demand = {row->route, row->flags};
    if (!(row->flags & COMMAND_DECIDES))
        return demand;
    demand.flags |= multi_flags(s) & COMMAND_DENYOOM;
    if (row->flags & COMMAND_RUNS_QUEUED)
        demand.route = multi_route(s, call->argc);
    else if (command_first_key(call) && !s->multi)
        demand.route = ROUTE_WRITE;
    return demand;
}

/* A queue takes memory, whatever the command. */
static bool needs_memory(const struct session *s, const struct command *row, const struct demand *demand)
{
    return demand->flags & COMMAND_DENYOOM || (s->multi && !(row->flags & COMMAND_UNQUEUED));
}

/* Why this session may not run this command now, or NULL. */
static const char *refusal_of(const struct session *s, const struct command *row, const struct demand *demand)
{
    if (s->multi && row->flags & (COMMAND_NO_MULTI | COMMAND_ROSTER | COMMAND_PEER))
        return "ERR Command not allowed inside a transaction";
    if (!s->is_authenticated && !(row->flags & COMMAND_NO_AUTH))
        return "NOAUTH Authentication required.";
    if ((row->flags & COMMAND_DEBUG_ONLY) && !debug_is_allowed(s))
        return ERROR_DEBUG_REFUSED;
    if (s->server->is_over_memory && needs_memory(s, row, demand))
        return "OOM command not allowed when used memory > 'maxmemory'.";
    struct replica *replica = s->server->replica;
    if (demand->route == ROUTE_LOCAL)
        return replica_is_loading(replica) && !(row->flags & COMMAND_LOADING) ? replica_refusal(replica) : NULL;
    if (demand->route == ROUTE_WRITE && replica_is_disk_low(replica))
        return "MISCONF the disk of this replica has no room for its journal: writes are refused, reads go on";
    bool is_stale_read = s->is_readonly && demand->route == ROUTE_READ;
    return is_stale_read ? replica_refusal_of_stale(replica) : replica_refusal(replica);
}

/* The same for the one that is told: EXEC ends the transaction it is refused. */
static enum outcome refuse(struct session *s, const struct command *row, const char *refusal)
{
    char text[COMMAND_ERROR_MAX];
    bool is_exec = s->multi && row->flags & COMMAND_RUNS_QUEUED;
    snprintf(text, sizeof text, "%s%s", is_exec ? "EXECABORT Transaction discarded because of: " : "", refusal);
    enum outcome outcome = dispatch_error(s, row, text);
    if (outcome == HANDLED && is_exec)
        multi_end(s);
    else
        multi_flaw(s);
    return outcome;
}

static bool must_pause(struct session *s, enum command_route route)
{
    struct server *server = s->server;
    if (server->paused_until_ms == 0 || (server->is_pause_for_writes_only && route != ROUTE_WRITE))
        return false;
    /* A client could not end the pause otherwise. */
    if (route == ROUTE_LOCAL)
        return false;
    list_append(&server->paused, &s->paused_link);
    return true;
}

/* hash: of the first key, if it was prefetched. */
static enum outcome run_here(struct session *s, struct call *call, const uint64_t *hash)
{
    if (must_stall(s))
        return MUST_WAIT;
    const struct command *row = call->command;
    call->reply = session_command_begin(s, row);
    call->db = s->db;
    if (row->route != ROUTE_LOCAL && replica_is_lone(s->server->replica)) {
        replica_begin(s->server->replica);
        call->position = replica_position(s->server->replica);
        if (row->route == ROUTE_WRITE)
            s->last_write_position = call->position;
        call->seed = random_mix(call->position);
    }
    call->now_ms = keyspace_now(call->ks);
    struct call_wait wait = {.is_wanted = false};
    if (row->flags & COMMAND_BLOCKING)
        call->wait = &wait;
    if (hash)
        command_run_hinted(call, *hash);
    else
        command_run(call);
    session_command_end(s, row);
    if (wait.is_wanted)
        blocking_begin(s, call, &wait);
    else
        session_reply_end(s);
    if (waiting_has_ready(&s->server->waiting))
        blocking_serve(s->server);
    return HANDLED;
}

/* A batch puts fewer bytes around an argument than the input has there. */
static bool is_too_long(const struct request_run *run, int index)
{
    size_t begin = index > 0 ? run->ends[index - 1] : 0;
    return run->calls[index].command->route == ROUTE_WRITE && run->ends[index] - begin > DISPATCH_WRITE_BYTES_MAX;
}

static enum outcome hand_over(struct session *s, const struct command *row, int argc, const struct slice *argv)
{
    struct replica *replica = s->server->replica;
    if (s->pending >= SESSION_PENDING_MAX || replica_is_full(replica)) {
        s->is_throttled = true;
        list_append(&s->server->throttled, &s->throttled_link);
        return MUST_WAIT;
    }
    s->pending++;
    replica_submit(replica, &s->order, row, s->db, argc, argv);
    if (row->flags & COMMAND_BLOCKING) {
        blocking_try(s, row, argc, argv);
        s->is_stalled = true; /* what follows comes after its answer */
    }
    return HANDLED;
}

static bool runs_here(const struct session *s, const struct command *row)
{
    return row->route == ROUTE_LOCAL || replica_is_lone(s->server->replica) ||
           (s->is_readonly && row->route == ROUTE_READ && s->pending == 0);
}

/* --- for commands that decide for themselves -------------------------------- */

enum outcome dispatch_run_here(struct session *s, const struct command *row, int argc, const struct slice *argv)
{
    struct call call = {
        .ks = s->server->keyspace,
        .command = row,
        .argc = argc,
        .argv = argv,
        .table = s->server->commands,
        .host = s,
        .on_nested = session_on_nested,
    };
    return run_here(s, &call, NULL);
}

enum outcome dispatch_run(struct session *s, const struct command *row, int argc, const struct slice *argv)
{
    return runs_here(s, row) ? dispatch_run_here(s, row, argc, argv) : hand_over(s, row, argc, argv);
}

enum outcome dispatch_answer(struct session *s, enum internal_command which)
{
    const struct command *row = command_internal(which);
    const struct slice argv[] = {slice_from(row->name)};
    return s->pending == 0 ? dispatch_run_here(s, row, 1, argv) : hand_over(s, row, 1, argv);
}

static enum outcome handle_transaction(struct session *s, struct call *call)
{
    call->command->handler(call);
    if (s->outcome == HANDLED)
        stats_count_run(&s->server->stats, call->command, false);
    return s->outcome;
}

/* Between MULTI and EXEC. */
static enum outcome keep(struct session *s, const struct call *call)
{
    enum outcome outcome = dispatch_answer(s, INTERNAL_QUEUED);
    if (outcome == HANDLED && s->multi) /* the answer may have ended the session */
        multi_keep(s, call->command, call->argc, call->argv);
    return outcome;
}

/* A browser made to send its request here must not get its body run: the
 * connection ends at the first line, without an answer. */
static enum outcome refuse_http(struct session *s)
{
    if (must_stall(s))
        return MUST_WAIT;
    log_warning("server", "closing the connection from %s: it speaks HTTP, perhaps against its user's will",
                stream_peer_address(s->stream));
    session_kill(s, NULL);
    return HANDLED;
}

static enum outcome answer_unknown(struct session *s, const struct call *call)
{
    if (slice_is(call->argv[0], "POST") || slice_is(call->argv[0], "Host:"))
        return refuse_http(s);
    char error[COMMAND_ERROR_MAX];
    const struct command *row = command_resolve(s->server->commands, call->argc, call->argv, error);
    CHECK(!row);
    multi_flaw(s);
    return dispatch_error(s, NULL, error);
}

/* Places beyond maxclients are for peers, who authenticate and introduce
 * themselves. */
static bool is_turned_away(const struct session *s, const struct command *row)
{
    if (!s->is_surplus || s->server->session_count <= (size_t)s->server->config->maxclients)
        return false;
    return !row || !(row->flags & (COMMAND_NO_AUTH | COMMAND_PEER));
}

static enum outcome turn_away(struct session *s, const struct command *row)
{
    s->server->stats.connections_rejected++;
    session_close_after_reply(s);
    return dispatch_error(s, row, ERROR_MAX_CLIENTS);
}

static enum outcome take(struct session *s, struct request_run *run, int index)
{
    struct call *call = &run->calls[index];
    const struct command *row = call->command;
    if (s->multi && !(row->flags & COMMAND_UNQUEUED))
        return keep(s, call);
    if (row->flags & COMMAND_DECIDES)
        return handle_transaction(s, call);
    if (runs_here(s, row))
        return run_here(s, call, run->is_prefetched ? &run->hashes[index] : NULL);
    return hand_over(s, row, call->argc, call->argv);
}

/* A peer that could not authenticate: the operators of both ends want to know. */
static void note_stranger(struct session *s, const struct call *call)
{
    if (!s->is_authenticated && (call->command->flags & COMMAND_PEER))
        replica_note_unauthenticated(s->server->replica, call->argc > 5 ? call->argv[5] : SLICE_LITERAL("?"),
                                     stream_peer_address(s->stream));
}

static enum outcome handle(struct session *s, struct request_run *run, int index)
{
    struct call *call = &run->calls[index];
    const struct command *row = call->command;
    if (is_turned_away(s, row))
        return turn_away(s, row);
    if (!row)
        return answer_unknown(s, call);
    s->last_command = row;
    struct demand demand = demand_of(s, call);
    const char *refusal = refusal_of(s, row, &demand);
    if (!refusal && (row->flags & COMMAND_ROSTER))
        refusal = replica_refusal_of_change(s->server->replica, call->argc, call->argv);
    bool is_kept = s->multi && !(row->flags & COMMAND_UNQUEUED);
    if (!refusal && is_kept)
        refusal = multi_refusal(s, call->argc, call->argv);
    if (!refusal && !replica_is_lone(s->server->replica) && is_too_long(run, index))
        refusal = "ERR command is longer than a cluster's batch may be (1 GiB)";
    if (refusal) {
        note_stranger(s, call);
        return refuse(s, row, refusal);
    }
    if (must_pause(s, demand.route))
        return MUST_WAIT;
    enum outcome outcome = take(s, run, index);
    if (outcome == HANDLED)
        s->commands++;
    return outcome;
}

/* --- handling a run ------------------------------------------------------- */

static void answer_protocol_error(struct session *s, const char *error)
{
    if (must_stall(s))
        return;
    struct reply *reply = session_reply_begin(s);
    reply_error_format(reply, "ERR %s", error);
    s->server->stats.protocol_errors++;
    session_reply_end(s);
    session_close_after_reply(s);
}

/* Too many unparsed bytes: a client that sends faster than it may. */
static bool is_over_query_limit(struct session *s, size_t len)
{
    if (len <= s->server->config->client_query_buffer_bytes)
        return false;
    s->server->stats.sessions_over_limit++;
    session_kill(s, "its query buffer reached client-query-buffer-limit");
    return true;
}

static void begin_run(struct request_run *run)
{
    run->count = 0;
    run->is_prefetched = false;
    run->arguments_used = 0;
    run->handled_bytes = 0;
    run->protocol_error = NULL;
}

size_t dispatch_input(struct session *s, const char *bytes, size_t len)
{
    struct request_run run;
    begin_run(&run);
    parse_run(s, bytes, len, &run);
    if (run.count == 0 && !run.protocol_error) {
        is_over_query_limit(s, len);
        return run.handled_bytes;
    }
    for (int i = 0; i < run.count; i++)
        complete_call(s, &run, i);
    prefetch_run(s, &run);
    int done = 0;
    while (done < run.count && session_may_take(s) && handle(s, &run, done) == HANDLED)
        run.handled_bytes = run.ends[done++];
    if (done < run.count) {
        /* The parser is ahead of what was handled: it begins again there. */
        resp_parser_reset(&s->parser);
    } else if (run.protocol_error && session_may_take(s)) {
        answer_protocol_error(s, run.protocol_error);
        resp_parser_reset(&s->parser);
    }
    return run.handled_bytes;
}
