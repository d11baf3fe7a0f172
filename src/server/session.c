#include "server/session.h"

#include <inttypes.h>
#include <poll.h>

#include "base/alloc.h"
#include "base/log.h"
#include "server/migrate.h"
#include "server/multi.h"
#include "server/server.h"
#include "server/waiting.h"

static const struct stream_handler session_stream_handler;

static void on_block_timer(void *context)
{
    struct session *s = context;
    s->on_block_timeout(s);
}

/* --- life ----------------------------------------------------------------- */

struct session *session_create(struct server *server, struct stream *stream)
{
    struct session *s = mem_calloc(1, sizeof *s);
    s->server = server;
    s->stream = stream;
    s->id = server->next_session_id++;
    s->protocol = 2;
    s->is_authenticated = server->config->requirepass[0] == '\0';
    s->is_unix = stream_is_unix(stream);
    s->created_ms = s->last_active_ms = loop_wall_ms(server->loop);
    resp_parser_init(&s->parser);
    timer_init(&s->block_timer, server->loop, on_block_timer, s);
    list_append(&server->sessions, &s->link);
    server->session_count++;
    if (server->session_count > server->session_count_max_seen)
        server->session_count_max_seen = server->session_count;
    stream_set_keepalive(stream, server->config->tcp_keepalive_s);
    stream_start(stream, &session_stream_handler, s);
    return s;
}

static void session_free(struct session *s)
{
    CHECK(!s->stream);
    CHECK(s->pending == 0);
    blocking_free(s->waiter);
    migrate_free(s);
    list_remove(&s->link);
    resp_parser_deinit(&s->parser);
    mem_free(s->name);
    mem_free(s->library_name);
    mem_free(s->library_version);
    mem_free(s);
}

static void free_if_done(struct session *s)
{
    if (!s->stream && s->pending == 0 && !s->is_busy)
        session_free(s);
}

/* From here on nobody is told anything; what was handed to the replica still
 * comes back (I1). */
static void leave(struct session *s)
{
    timer_cancel(&s->block_timer);
    multi_end(s);
    blocking_abandon(s);
    migrate_abandon(s);
    if (list_is_linked(&s->paused_link))
        list_remove(&s->paused_link);
    if (list_is_linked(&s->throttled_link))
        list_remove(&s->throttled_link);
    list_remove(&s->link);
    list_append(&s->server->zombies, &s->link);
    s->server->session_count--;
    s->stream = NULL;
    s->is_closing = true;
}

static void end_session(struct session *s)
{
    stream_free(s->stream);
    leave(s);
    free_if_done(s);
}

void session_kill(struct session *s, const char *reason)
{
    if (!s->stream)
        return;
    if (reason)
        log_verbose("server", "closing session %" PRIu64 " of %s: %s", s->id, stream_peer_address(s->stream), reason);
    end_session(s);
}

void session_abandon(struct session *s)
{
    s->pending = 0;
    free_if_done(s);
}

void session_close_after_reply(struct session *s)
{
    s->is_closing = true;
}

static void on_close(void *context, struct stream *stream, enum stream_end end)
{
    (void)end;
    struct session *s = context;
    CHECK(s->stream == stream);
    end_session(s);
}

/* --- input ---------------------------------------------------------------- */

bool session_may_take(const struct session *s)
{
    return s->stream && !s->is_closing && !s->is_stalled && !s->is_blocked && !s->is_throttled && !s->becomes_link &&
           !list_is_linked(&s->paused_link);
}

void session_resume(struct session *s)
{
    if (session_may_take(s))
        stream_resume(s->stream);
}

/* What a client may send while it waits for a key: its end shows only to who
 * reads. */
enum { BLOCKED_INPUT_MAX = 64 * 1024 };

/* Input that may not be handled now stays where it is, unread by us. */
static void hold_back(struct session *s)
{
    if (s->waiter && !s->is_closing && buf_size(stream_in(s->stream)) < BLOCKED_INPUT_MAX)
        return;
    if (s->is_closing && s->pending == 0)
        stream_close_after_flush(s->stream);
    else
        stream_pause(s->stream);
}

static void become_link(struct session *s)
{
    struct replica_hello hello = {.from_id = s->link_from_id, .incarnation = s->link_incarnation};
    struct stream *stream = s->stream;
    leave(s);
    replica_accept(s->server->replica, &hello, stream);
}

/* A lone server answers at once: its replies are cheapest while the socket is
 * warm (measured.md).  In a cluster replies leave at the end of the pass, with
 * the frames. */
static void flush_if_lone(struct session *s)
{
    if (s->stream && replica_is_lone(s->server->replica))
        stream_flush(s->stream);
}

static void on_input(void *context, struct stream *stream)
{
    struct session *s = context;
    struct buf *in = stream_in(stream);
    s->is_busy = true;
    s->last_active_ms = loop_wall_ms(s->server->loop);
    while (session_may_take(s) && buf_size(in) > 0) {
        size_t handled = dispatch_input(s, buf_head(in), buf_size(in));
        if (s->stream)
            buf_consume(in, handled);
        if (handled == 0)
            break;
    }
    if (s->becomes_link)
        become_link(s);
    else if (s->stream && !session_may_take(s))
        hold_back(s);
    flush_if_lone(s);
    s->is_busy = false;
    free_if_done(s);
}

static const struct stream_handler session_stream_handler = {.on_input = on_input, .on_close = on_close};

/* --- output --------------------------------------------------------------- */

struct reply *session_reply_begin(struct session *s)
{
    bool is_silent = !s->stream || s->reply_mode == REPLY_OFF || s->reply_mode == REPLY_SKIP;
    s->reply.out = is_silent ? NULL : stream_out(s->stream);
    s->reply.protocol = s->protocol;
    s->reply.is_error = false;
    return &s->reply;
}

/* Why the output is over its limit, or NULL. */
static const char *over_output_limit(struct session *s)
{
    const struct output_limit *limit = &s->server->config->output_limits[OUTPUT_NORMAL];
    size_t bytes = session_output_bytes(s);
    if (limit->hard_bytes && bytes >= limit->hard_bytes)
        return "its unsent output reached the hard limit";
    if (!limit->soft_bytes || bytes < limit->soft_bytes) {
        s->soft_limit_since_ms = 0;
        return NULL;
    }
    int64_t now_ms = loop_wall_ms(s->server->loop);
    if (s->soft_limit_since_ms == 0)
        s->soft_limit_since_ms = now_ms;
    bool is_too_long = now_ms - s->soft_limit_since_ms > (int64_t)limit->soft_s * 1000;
    return is_too_long ? "its unsent output stayed above the soft limit" : NULL;
}

void session_reply_end(struct session *s)
{
    if (s->reply_mode == REPLY_SKIP)
        s->reply_mode = REPLY_ON;
    else if (s->reply_mode == REPLY_SKIP_NEXT)
        s->reply_mode = REPLY_SKIP;
    if (!s->stream)
        return;
    stream_mark_dirty(s->stream);
    const char *over = over_output_limit(s);
    if (!over)
        return;
    log_warning("server", "closing session %" PRIu64 " of %s: %s (%zu bytes)", s->id,
                stream_peer_address(s->stream), over, session_output_bytes(s));
    s->server->stats.sessions_over_limit++;
    end_session(s);
}

size_t session_output_bytes(const struct session *s)
{
    return s->stream ? stream_output_bytes(s->stream) : 0;
}

size_t session_memory(const struct session *s)
{
    return sizeof *s + multi_memory(s) + resp_parser_memory(&s->parser) + (s->stream ? stream_memory(s->stream) : 0);
}

/* --- around a command ----------------------------------------------------- */

struct reply *session_command_begin(struct session *s, const struct command *row)
{
    struct reply *reply = session_reply_begin(s);
    s->reply_start = reply->out ? buf_size(reply->out) : 0;
    keyspace_set_unnoticed(s->server->keyspace, s->is_no_touch);
    s->began_us = 0;
    if (!(row->flags & COMMAND_INTERNAL))
        s->began_us = stats_is_measured(stats_of(&s->server->stats, row)) ? loop_clock_us() : 0;
    return reply;
}

void session_command_end(struct session *s, const struct command *row)
{
    struct stats *stats = &s->server->stats;
    keyspace_set_unnoticed(s->server->keyspace, false);
    if (row->flags & COMMAND_INTERNAL)
        return; /* it stands for commands that were counted */
    if (s->began_us)
        stats_count_usec(stats_of(stats, row), (uint64_t)(loop_clock_us() - s->began_us));
    stats_count_run(stats, row, s->reply.is_error);
    if (s->reply.is_error && s->reply.out)
        session_count_error(s, s->reply_start);
}

void session_on_nested(void *session, const struct command *row, bool is_over)
{
    if (is_over)
        session_command_end(session, row);
    else
        session_command_begin(session, row);
}

bool session_is_abandoned(const struct session *s)
{
    if (!s->stream)
        return true;
    struct pollfd socket = {.fd = stream_fd(s->stream), .events = POLLRDHUP};
    return poll(&socket, 1, 0) > 0 && socket.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* --- blocking ------------------------------------------------------------- */

void session_block(struct session *s, uint64_t deadline_us, void (*on_timeout)(struct session *s))
{
    CHECK(!s->is_blocked);
    s->is_blocked = true;
    s->on_block_timeout = on_timeout;
    if (deadline_us)
        timer_set(&s->block_timer, (int64_t)deadline_us);
}

void session_unblock(struct session *s)
{
    CHECK(s->is_blocked);
    s->is_blocked = false;
    timer_cancel(&s->block_timer);
    stream_pause(s->stream); /* so that what has come meanwhile is given again */
    session_resume(s);
}

/* --- what the replica tells ------------------------------------------------ */

static struct session *session_of(struct proposer_client *client)
{
    return LIST_ENTRY(client, struct session, order);
}

static struct caretaker *caretaker_of(struct proposer_client *client)
{
    return LIST_ENTRY(client, struct caretaker, order);
}

static struct reply *on_replica_begin(struct proposer_client *client, const struct command *row)
{
    static struct reply nowhere = {.out = NULL, .protocol = 2};
    if (row->flags & COMMAND_SILENT)
        return &nowhere;
    struct session *s = session_of(client);
    if (s->migration)
        return migrate_reply(s);
    if (s->waiter && giveback_concerns(row) && session_is_abandoned(s))
        session_kill(s, "gone while it waited"); /* what is pending keeps it */
    struct reply *reply = session_command_begin(s, row);
    if (!s->stream && s->waiter && giveback_concerns(row)) {
        buf_clear(&s->server->popped);
        *reply = (struct reply){.out = &s->server->popped, .protocol = 2};
    }
    return reply;
}

static void settle_unanswered(struct session *s)
{
    CHECK(s->pending > 0);
    s->pending--;
    if (s->pending == 0 && s->is_stalled) {
        s->is_stalled = false;
        if (s->stream && buf_size(stream_in(s->stream)) > 0)
            stream_pause(s->stream); /* hold_back left it open: what has come meanwhile is given again */
        session_resume(s);
    }
    if (s->pending == 0 && s->is_closing && s->stream)
        stream_close_after_flush(s->stream);
    free_if_done(s);
}

static void settle(struct session *s)
{
    /* May close the session, over its output limit: what is pending keeps it. */
    session_reply_end(s);
    settle_unanswered(s);
}

static void on_replica_wait(struct proposer_client *client, const struct call *call, const struct call_wait *wait)
{
    struct session *s = session_of(client);
    session_command_end(s, call->command);
    if (s->waiter->is_waiting || !s->stream)
        blocking_again(s, wait);
    else
        blocking_begin(s, call, wait);
    settle_unanswered(s);
}

/* What MIGRATE handed over has come back; the client is told when all of it
 * has. */
static void settle_migration(struct session *s, void (*tell)(struct session *s))
{
    CHECK(s->pending > 0);
    s->pending--;
    if (s->stream)
        tell(s); /* may end the session */
    else
        free_if_done(s);
}

static void on_replica_end(struct proposer_client *client, const struct command *row, uint64_t position)
{
    if (row->flags & COMMAND_SILENT) {
        caretaker_done(caretaker_of(client));
        return;
    }
    struct session *s = session_of(client);
    if (row->route == ROUTE_WRITE)
        s->last_write_position = position;
    if (s->migration) {
        settle_migration(s, migrate_answered);
        return;
    }
    if (!s->stream && s->waiter && giveback_concerns(row))
        giveback_take(s->waiter, buf_slice(&s->server->popped));
    session_command_end(s, row);
    if (s->waiter && row->flags & COMMAND_BLOCKING)
        blocking_answered(s);
    settle(s);
}

static void on_replica_fail(struct proposer_client *client, const struct command *row, enum proposer_failure failure)
{
    if (row->flags & COMMAND_SILENT) {
        caretaker_failed(caretaker_of(client));
        return;
    }
    struct session *s = session_of(client);
    s->server->caretaker.must_audit |= (row->flags & COMMAND_INTERNAL) != 0;
    if (s->migration) {
        settle_migration(s, migrate_failed);
        return;
    }
    if (s->waiter && row->flags & COMMAND_BLOCKING && blocking_failed(s, failure == PROPOSER_IN_DOUBT)) {
        settle_unanswered(s);
        return;
    }
    struct reply *reply = session_reply_begin(s);
    if (failure == PROPOSER_IN_DOUBT) {
        reply_error(reply, "INDOUBT the write was proposed, and no quorum answered in time: it may or may not take effect");
    } else {
        const char *refusal = replica_refusal(s->server->replica);
        reply_error(reply, refusal ? refusal : "CLUSTERDOWN no quorum answered in time; the command had no effect");
    }
    settle(s);
}

void session_count_error(struct session *s, size_t reply_start)
{
    const struct buf *out = s->reply.out;
    const char *text = buf_head(out) + reply_start;
    size_t len = buf_size(out) - reply_start;
    if (len > 1 && text[0] == '-')
        stats_count_error(&s->server->stats, slice_make(text + 1, len - 1));
}

static void *session_behind(struct proposer_client *client)
{
    struct session *s = session_of(client);
    return s->stream ? s : NULL;
}

const struct replica_clients session_replica_clients = {
    .wait = on_replica_wait,
    .host = session_behind,
    .on_nested = session_on_nested,
    .begin = on_replica_begin,
    .end = on_replica_end,
    .fail = on_replica_fail,
};
