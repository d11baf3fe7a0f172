/* From bytes to the place where a command runs.
 *
 * Whole commands are taken from the input in runs of up to RUN_MAX: parsed and
 * looked up together, their keys prefetched together, then handled one by one.
 *
 *   ROUTE_LOCAL           here and now, once nothing of the session is pending
 *   ROUTE_READ, _WRITE    lone: here and now
 *                         cluster: handed to the replica; answered later
 *   ROUTE_READ, READONLY  cluster: here and now, from local data */
#include "base/alloc.h"
#include "base/log.h"
#include "base/random.h"
#include "command/run.h"
#include "server/server.h"
#include "server/session.h"

enum {
    RUN_MAX = 16,
    RUN_ARGUMENTS_MAX = 4096, /* a run ends when it holds this many */
    /* Of one write in a cluster: with what waits in the open batch (up to
     * 1 MiB, replica.c) it must fit into one. */
    WRITE_BYTES_MAX = BATCH_BYTES_MAX - 2 * 1024 * 1024,
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

enum outcome {
    HANDLED,
    MUST_WAIT, /* nothing happened; the session is held back */
};

/* Replies leave in the order of the commands: what is answered here waits until
 * nothing is pending. */
static bool must_stall(struct session *s)
{
    if (s->pending == 0)
        return false;
    s->is_stalled = true;
    return true;
}

static enum outcome answer_error(struct session *s, const struct command *row, const char *text)
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

/* Why this session may not run this command now, or NULL. */
static const char *refusal_of(const struct session *s, const struct command *row)
{
    if (!s->is_authenticated && !(row->flags & COMMAND_NO_AUTH))
        return "NOAUTH Authentication required.";
    if ((row->flags & COMMAND_DEBUG_ONLY) && !debug_is_allowed(s))
        return ERROR_DEBUG_REFUSED;
    if ((row->flags & COMMAND_DENYOOM) && s->server->is_over_memory)
        return "OOM command not allowed when used memory > 'maxmemory'.";
    struct replica *replica = s->server->replica;
    if (row->route == ROUTE_LOCAL)
        return replica_is_loading(replica) && !(row->flags & COMMAND_LOADING) ? replica_refusal(replica) : NULL;
    if (row->route == ROUTE_WRITE && replica_is_disk_low(replica))
        return "MISCONF the disk of this replica has no room for its journal: writes are refused, reads go on";
    bool is_stale_read = s->is_readonly && row->route == ROUTE_READ;
    return is_stale_read ? replica_refusal_of_stale(replica) : replica_refusal(replica);
}

static bool must_pause(struct session *s, const struct command *row)
{
    struct server *server = s->server;
    if (server->paused_until_ms == 0 || (server->is_pause_for_writes_only && row->route != ROUTE_WRITE))
        return false;
    /* A client could not end the pause otherwise. */
    if (row->route == ROUTE_LOCAL)
        return false;
    list_append(&server->paused, &s->paused_link);
    return true;
}

static enum outcome run_here(struct session *s, struct request_run *run, int index)
{
    if (must_stall(s))
        return MUST_WAIT;
    struct call *call = &run->calls[index];
    const struct command *row = call->command;
    call->reply = session_command_begin(s, row);
    call->db = s->db;
    if (row->route != ROUTE_LOCAL && replica_is_lone(s->server->replica)) {
        replica_begin(s->server->replica);
        call->position = s->last_write_position = replica_position(s->server->replica);
        call->seed = random_mix(call->position);
    }
    call->now_ms = keyspace_now(call->ks);
    if (run->is_prefetched)
        command_run_hinted(call, run->hashes[index]);
    else
        command_run(call);
    session_command_end(s, row);
    session_reply_end(s);
    return HANDLED;
}

/* A batch puts fewer bytes around an argument than the input has there. */
static bool is_too_long(const struct request_run *run, int index)
{
    size_t begin = index > 0 ? run->ends[index - 1] : 0;
    return run->calls[index].command->route == ROUTE_WRITE && run->ends[index] - begin > WRITE_BYTES_MAX;
}

static enum outcome hand_over(struct session *s, const struct request_run *run, int index)
{
    struct replica *replica = s->server->replica;
    const struct call *call = &run->calls[index];
    if (is_too_long(run, index))
        return answer_error(s, call->command, "ERR command is longer than a cluster's batch may be (1 GiB)");
    if (s->pending >= SESSION_PENDING_MAX || replica_is_full(replica)) {
        s->is_throttled = true;
        list_append(&s->server->throttled, &s->throttled_link);
        return MUST_WAIT;
    }
    s->pending++;
    replica_submit(replica, &s->order, call->command, s->db, call->argc, call->argv);
    return HANDLED;
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
    return answer_error(s, NULL, error);
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
    return answer_error(s, row, ERROR_MAX_CLIENTS);
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
    const char *refusal = refusal_of(s, row);
    if (refusal) {
        note_stranger(s, call);
        return answer_error(s, row, refusal);
    }
    if ((row->flags & COMMAND_ROSTER) &&
        (refusal = replica_refusal_of_change(s->server->replica, call->argc, call->argv)) != NULL)
        return answer_error(s, row, refusal);
    if (must_pause(s, row))
        return MUST_WAIT;
    bool is_here = row->route == ROUTE_LOCAL || replica_is_lone(s->server->replica) ||
                   (s->is_readonly && row->route == ROUTE_READ && s->pending == 0);
    enum outcome outcome = is_here ? run_here(s, run, index) : hand_over(s, run, index);
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
