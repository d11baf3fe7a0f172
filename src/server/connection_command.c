/* Commands about the connection they come in on: who it is, which database and
 * protocol it uses, whether it is alive; and WAIT, TIME, ROLE. */
#include <string.h>
#include <time.h>

#include "admin/version.h"
#include "base/alloc.h"
#include "base/check.h"
#include "command/command.h"
#include "server/multi.h"
#include "server/server.h"
#include "server/session.h"

static void ping_command(struct call *c)
{
    if (c->argc > 2)
        reply_error(c->reply, "ERR wrong number of arguments for 'ping' command");
    else if (c->argc == 2)
        reply_bulk(c->reply, c->argv[1]);
    else
        reply_simple(c->reply, "PONG");
}

static void echo_command(struct call *c)
{
    reply_bulk(c->reply, c->argv[1]);
}

static void select_command(struct call *c)
{
    int db;
    if (!call_db_index(c, 1, &db, NULL))
        return;
    call_session(c)->db = db;
    reply_ok(c->reply);
}

/* --- AUTH and HELLO ------------------------------------------------------ */

/* Takes the same time wherever the first difference lies. */
static bool is_password(struct slice given, const char *password)
{
    size_t length = strlen(password);
    unsigned difference = given.len != length;
    for (size_t i = 0; i < given.len; i++)
        difference |= (unsigned)(given.ptr[i] ^ password[length ? i % length : 0]);
    return difference == 0;
}

/* The one user is "default"; without a password any will do. */
static bool authenticate(struct call *c, struct slice user, struct slice password)
{
    struct session *s = call_session(c);
    const char *expected = s->server->config->requirepass;
    bool is_accepted = slice_equal(user, SLICE_LITERAL("default")) &&
                       (*expected == '\0' || is_password(password, expected));
    if (is_accepted)
        s->is_authenticated = true;
    else
        reply_error(c->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return is_accepted;
}

static void auth_command(struct call *c)
{
    if (c->argc > 3) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 2 && *call_session(c)->server->config->requirepass == '\0') {
        reply_error(c->reply, "ERR AUTH <password> called without any password configured for the default user. "
                              "Are you sure your configuration is correct?");
        return;
    }
    struct slice user = c->argc == 3 ? c->argv[1] : SLICE_LITERAL("default");
    if (authenticate(c, user, c->argv[c->argc - 1]))
        reply_ok(c->reply);
}

struct hello_options {
    int64_t protocol; /* 0: not given */
    bool is_auth_given, is_name_given;
    struct slice user, password, name;
};

static bool read_hello_options(struct call *c, struct hello_options *o)
{
    for (int i = 2; i < c->argc; i++) {
        int more = c->argc - 1 - i;
        if (call_option(c, i, "AUTH") && more >= 2) {
            o->is_auth_given = true;
            o->user = c->argv[i + 1];
            o->password = c->argv[i + 2];
            i += 2;
        } else if (call_option(c, i, "SETNAME") && more >= 1) {
            o->is_name_given = true;
            o->name = c->argv[++i];
            if (!session_name_is_valid(o->name)) {
                reply_error(c->reply, ERROR_CLIENT_NAME);
                return false;
            }
        } else {
            reply_error_format(c->reply, "ERR Syntax error in HELLO option '%.*s'", slice_shown(c->argv[i]),
                               c->argv[i].ptr);
            return false;
        }
    }
    return true;
}

static bool read_hello(struct call *c, struct hello_options *o)
{
    *o = (struct hello_options){0};
    if (c->argc == 1)
        return true;
    if (!call_int64_or(c, 1, &o->protocol, "ERR Protocol version is not an integer or out of range"))
        return false;
    if (o->protocol < 2 || o->protocol > 3) {
        reply_error(c->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    return read_hello_options(c, o);
}

static void reply_hello(struct call *c)
{
    const struct session *s = call_session(c);
    reply_map(c->reply, 7);
    reply_bulk_text(c->reply, "server");
    reply_bulk_text(c->reply, "redis");
    reply_bulk_text(c->reply, "version");
    reply_bulk_text(c->reply, REDIS_VERSION);
    reply_bulk_text(c->reply, "proto");
    reply_int(c->reply, s->protocol);
    reply_bulk_text(c->reply, "id");
    reply_int(c->reply, (int64_t)s->id);
    reply_bulk_text(c->reply, "mode");
    reply_bulk_text(c->reply, "standalone");
    reply_bulk_text(c->reply, "role");
    reply_bulk_text(c->reply, "master");
    reply_bulk_text(c->reply, "modules");
    reply_array(c->reply, 0);
}

static void hello_command(struct call *c)
{
    struct session *s = call_session(c);
    struct hello_options o;
    if (!read_hello(c, &o) || (o.is_auth_given && !authenticate(c, o.user, o.password)))
        return;
    if (!s->is_authenticated) {
        reply_error(c->reply, "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                              "HELLO AUTH <user> <pass> option can be used to authenticate the client and select "
                              "the RESP protocol version at the same time");
        return;
    }
    if (o.is_name_given)
        session_set_text(&s->name, o.name);
    if (o.protocol)
        session_set_protocol(s, (uint8_t)o.protocol);
    reply_hello(c);
}

/* --- RESET, QUIT, READONLY ----------------------------------------------- */

static void reset_command(struct call *c)
{
    struct session *s = call_session(c);
    session_set_reply_mode(s, REPLY_ON);
    session_set_protocol(s, 2);
    session_set_text(&s->name, SLICE_LITERAL(""));
    s->db = 0;
    s->is_readonly = false;
    multi_end(s);
    s->is_authenticated = *s->server->config->requirepass == '\0';
    reply_simple(c->reply, "RESET");
}

static void quit_command(struct call *c)
{
    reply_ok(c->reply);
    session_close_after_reply(call_session(c));
}

/* Redis refuses both unless cluster mode is on.  Here a lone server accepts
 * them too: its data is never stale, so there is nothing to refuse. */
static void readonly_command(struct call *c)
{
    call_session(c)->is_readonly = true;
    reply_ok(c->reply);
}

static void readwrite_command(struct call *c)
{
    call_session(c)->is_readonly = false;
    reply_ok(c->reply);
}

/* --- TIME and ROLE ------------------------------------------------------- */

static void time_command(struct call *c)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    reply_array(c->reply, 2);
    reply_bulk_int(c->reply, now.tv_sec);
    reply_bulk_int(c->reply, now.tv_nsec / 1000);
}

/* Laps every lane of which a peer has decided, as positions count. */
static uint64_t peer_position(const struct replica_status *status, int index)
{
    return status->order.lanes[status->peers[index].index].frontier_lap * 16;
}

static void role_command(struct call *c)
{
    struct replica_status status;
    replica_get_status(call_session(c)->server->replica, &status);
    bool is_lone = status.state == REPLICA_LONE;
    reply_array(c->reply, 3);
    reply_bulk_text(c->reply, "master");
    reply_int(c->reply, is_lone ? 0 : (int64_t)status.position);
    int linked = 0;
    for (int i = 0; i < status.member_count; i++)
        linked += status.peers[i].link == LINK_UP;
    reply_array(c->reply, (size_t)linked);
    for (int i = 0; i < status.member_count; i++) {
        if (status.peers[i].link != LINK_UP)
            continue;
        reply_array(c->reply, 3);
        reply_bulk_text(c->reply, status.peers[i].host);
        reply_bulk_int(c->reply, status.peers[i].port);
        reply_bulk_int(c->reply, (int64_t)peer_position(&status, i));
    }
}

/* --- WAIT ---------------------------------------------------------------- */

/* How many peers hold this session's writes.  What was acknowledged to it is
 * held by a quorum (protocol.md), so never fewer than the rest of a quorum;
 * more, once their frontiers have passed its newest write. */
static int64_t count_holders(const struct session *s)
{
    struct replica_status status;
    replica_get_status(s->server->replica, &status);
    if (status.state == REPLICA_LONE)
        return 0;
    int64_t holders = 0, rest_of_quorum = status.voter_count / 2;
    for (int i = 0; i < status.member_count; i++)
        if (status.peers[i].link == LINK_UP && peer_position(&status, i) > s->last_write_position)
            holders++;
    return holders > rest_of_quorum ? holders : rest_of_quorum;
}

/* The same for who has them on disk, too: known only if nothing is acknowledged
 * before it is there. */
static int64_t count_wanted(const struct session *s)
{
    bool flushes_first = s->server->config->is_journaled && s->server->config->journal_mode == JOURNAL_ALWAYS;
    return s->waits_for_flush && !flushes_first ? 0 : count_holders(s);
}

static void reply_wait(struct session *s, struct reply *r, int64_t count)
{
    if (s->waits_for_flush) {
        reply_array(r, 2);
        reply_int(r, s->has_flushed);
    }
    reply_int(r, count);
}

void session_end_wait(struct session *s)
{
    int64_t holders = count_wanted(s);
    session_unblock(s);
    reply_wait(s, session_reply_begin(s), holders);
    session_reply_end(s); /* may end the session */
}

/* Peers tell how far they have come only now and then: look again meanwhile. */
static int64_t next_look_us(const struct session *s)
{
    enum { LOOK_AGAIN_US = 5000 };
    int64_t look_us = loop_now_us(s->server->loop) + LOOK_AGAIN_US;
    return s->wait_deadline_us && s->wait_deadline_us < look_us ? s->wait_deadline_us : look_us;
}

static void on_wait_timer(struct session *s)
{
    bool is_over = s->wait_deadline_us && loop_now_us(s->server->loop) >= s->wait_deadline_us;
    if (session_is_abandoned(s)) { /* its stream is not read, so it cannot tell */
        session_kill(s, "gone while it waited");
    } else if (is_over || count_wanted(s) >= s->wait_replicas) {
        session_end_wait(s);
    } else {
        timer_set(&s->block_timer, next_look_us(s));
        if (!s->has_nudged)
            replica_nudge(s->server->replica, s->last_write_position);
        s->has_nudged = true;
    }
}

static bool read_wait_timeout(struct call *c, int index, int64_t *timeout_ms)
{
    if (!call_int64_or(c, index, timeout_ms, "ERR timeout is not an integer or out of range"))
        return false;
    if (*timeout_ms >= 0)
        return true;
    reply_error(c->reply, "ERR timeout is negative");
    return false;
}

/* Answers now, or blocks. */
static void wait_for_replicas(struct call *c, int64_t replicas, int64_t timeout_ms)
{
    struct session *s = call_session(c);
    const struct loop *loop = s->server->loop;
    int64_t span_us, deadline_us;
    if (__builtin_mul_overflow(timeout_ms, 1000, &span_us) ||
        __builtin_add_overflow(loop_now_us(loop), span_us, &deadline_us))
        deadline_us = INT64_MAX;
    int64_t holders = count_wanted(s);
    if (holders >= replicas || c->is_in_transaction) {
        reply_wait(s, c->reply, holders);
        return;
    }
    s->wait_replicas = replicas;
    s->has_nudged = false;
    s->wait_deadline_us = timeout_ms ? deadline_us : 0;
    session_block(s, (uint64_t)next_look_us(s), on_wait_timer);
}

static void wait_command(struct call *c)
{
    int64_t replicas, timeout_ms;
    if (!call_int64(c, 1, &replicas) || !read_wait_timeout(c, 2, &timeout_ms))
        return;
    call_session(c)->waits_for_flush = false;
    wait_for_replicas(c, replicas, timeout_ms);
}

static bool read_waitaof(struct call *c, int64_t *local, int64_t *replicas, int64_t *timeout_ms)
{
    if (!call_int64(c, 1, local) || !call_int64(c, 2, replicas) || !read_wait_timeout(c, 3, timeout_ms))
        return false;
    const char *error = *local < 0 || *local > 1 ? "ERR value is out of range, value must between 0 and 1"
                        : *replicas < 0          ? "ERR value is out of range, must be positive"
                        : *local && !call_session(c)->server->config->is_journaled
                            ? "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."
                            : NULL;
    if (error)
        reply_error(c->reply, error);
    return !error;
}

/* Here the flush is made at once, for those who ask for it; elsewhere only what
 * the members do anyway counts. */
static void waitaof_command(struct call *c)
{
    struct session *s = call_session(c);
    int64_t local, replicas, timeout_ms;
    if (!read_waitaof(c, &local, &replicas, &timeout_ms))
        return;
    s->waits_for_flush = true;
    s->has_flushed = local && !c->is_in_transaction && replica_flush(s->server->replica) == STATUS_OK;
    wait_for_replicas(c, replicas, timeout_ms);
}

/* --- the table ----------------------------------------------------------- */

#define EVERYWHERE (COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST)
#define BEFORE_AUTH (EVERYWHERE | COMMAND_NOSCRIPT | COMMAND_NO_AUTH | COMMAND_ALLOW_BUSY)

const struct command connection_command_rows[] = {
    {.name = "ping", .handler = ping_command, .arity = -1, .flags = COMMAND_FAST, .categories = CATEGORY_CONNECTION,
     .group = "connection", .since = "1.0.0", .complexity = "O(1)",
     .summary = "Answers PONG, or with the message it was given.",
     COMMAND_TIPS("request_policy:all_shards", "response_policy:all_succeeded"),
     COMMAND_ARGUMENTS({.name = "message", .type = ARGUMENT_STRING, .flags = ARGUMENT_OPTIONAL})},
    {.name = "echo", .handler = echo_command, .arity = 2, .flags = EVERYWHERE, .categories = CATEGORY_CONNECTION,
     .group = "connection", .since = "1.0.0", .complexity = "O(1)", .summary = "Answers with the message it was given.",
     COMMAND_ARGUMENTS({.name = "message", .type = ARGUMENT_STRING})},
    {.name = "select", .handler = select_command, .arity = 2, .flags = EVERYWHERE | COMMAND_CHOOSES_DB,
     .categories = CATEGORY_CONNECTION, .group = "connection", .since = "1.0.0", .complexity = "O(1)",
     .summary = "Chooses the database that later commands of this connection use.",
     COMMAND_ARGUMENTS({.name = "index", .type = ARGUMENT_INTEGER})},
    {.name = "auth", .handler = auth_command, .arity = -2, .flags = BEFORE_AUTH, .categories = CATEGORY_CONNECTION,
     .group = "connection", .since = "1.0.0",
     .complexity = "O(N) where N is the length of the password",
     .summary = "Proves with a password who this connection is.",
     COMMAND_HISTORY({"6.0.0", "May be given a user's name before the password."}),
     COMMAND_ARGUMENTS({.name = "username", .type = ARGUMENT_STRING, .since = "6.0.0", .flags = ARGUMENT_OPTIONAL},
                       {.name = "password", .type = ARGUMENT_STRING})},
    {.name = "hello", .handler = hello_command, .arity = -1, .flags = BEFORE_AUTH,
     .categories = CATEGORY_CONNECTION, .group = "connection", .since = "6.0.0", .complexity = "O(1)",
     .summary = "Chooses the protocol version and tells about the server; may authenticate and name the connection.",
     COMMAND_HISTORY({"6.2.0", "Without a version it only tells about the server and the connection."}),
     COMMAND_ARGUMENTS({.name = "arguments", .type = ARGUMENT_BLOCK, .flags = ARGUMENT_OPTIONAL,
                        COMMAND_ARGUMENTS(
                            {.name = "protover", .type = ARGUMENT_INTEGER},
                            {.name = "username_password", .type = ARGUMENT_BLOCK, .token = "AUTH",
                             .flags = ARGUMENT_OPTIONAL,
                             COMMAND_ARGUMENTS({.name = "username", .type = ARGUMENT_STRING},
                                               {.name = "password", .type = ARGUMENT_STRING})},
                            {.name = "clientname", .type = ARGUMENT_STRING, .token = "SETNAME",
                             .flags = ARGUMENT_OPTIONAL})})},
    {.name = "quit", .handler = quit_command, .arity = -1, .flags = BEFORE_AUTH | COMMAND_UNQUEUED, .categories = CATEGORY_CONNECTION,
     .group = "connection", .since = "1.0.0", .complexity = "O(1)",
     .summary = "Closes the connection once its replies have been sent."},
    {.name = "reset", .handler = reset_command, .arity = 1, .flags = BEFORE_AUTH | COMMAND_UNQUEUED,
     .categories = CATEGORY_CONNECTION, .group = "connection", .since = "6.2.0", .complexity = "O(1)",
     .summary = "Brings the connection back to the state of a new one."},
    {.name = "readonly", .handler = readonly_command, .arity = 1, .flags = EVERYWHERE,
     .categories = CATEGORY_CONNECTION, .group = "cluster", .since = "3.0.0", .complexity = "O(1)",
     .summary = "Has reads of this connection answered at once from this replica's data, which may be stale."},
    {.name = "readwrite", .handler = readwrite_command, .arity = 1, .flags = EVERYWHERE,
     .categories = CATEGORY_CONNECTION, .group = "cluster", .since = "3.0.0", .complexity = "O(1)",
     .summary = "Has reads of this connection answered in the agreed order again."},
    {.name = "time", .handler = time_command, .arity = 1, .flags = EVERYWHERE, .group = "server", .since = "2.6.0",
     .complexity = "O(1)", .summary = "Tells this replica's wall clock in seconds and microseconds.",
     COMMAND_TIPS("nondeterministic_output")},
    {.name = "role", .handler = role_command, .arity = 1, .flags = EVERYWHERE | COMMAND_NOSCRIPT,
     .categories = CATEGORY_ADMIN | CATEGORY_DANGEROUS, .group = "server", .since = "2.8.12",
     .complexity = "O(1)", .summary = "Tells the replication role, always master here, and the linked peers."},
    {.name = "waitaof", .handler = waitaof_command, .arity = 4, .flags = COMMAND_NOSCRIPT,
     .categories = CATEGORY_CONNECTION, .group = "generic", .since = "7.2.0", .complexity = "O(1)",
     .summary = "Waits until this connection's writes are on disk here and at so many other replicas, or the time is up.",
     COMMAND_TIPS("request_policy:all_shards", "response_policy:agg_min"),
     COMMAND_ARGUMENTS({.name = "numlocal", .type = ARGUMENT_INTEGER}, {.name = "numreplicas", .type = ARGUMENT_INTEGER},
                       {.name = "timeout", .type = ARGUMENT_INTEGER})},
    {.name = "wait", .handler = wait_command, .arity = 3, .flags = COMMAND_NOSCRIPT,
     .categories = CATEGORY_CONNECTION, .group = "generic", .since = "3.0.0", .complexity = "O(1)",
     .summary = "Waits until this connection's writes are held by so many other replicas, or the time is up.",
     COMMAND_TIPS("request_policy:all_shards", "response_policy:agg_min"),
     COMMAND_ARGUMENTS({.name = "numreplicas", .type = ARGUMENT_INTEGER},
                       {.name = "timeout", .type = ARGUMENT_INTEGER})},
};
const size_t connection_command_count = sizeof connection_command_rows / sizeof *connection_command_rows;
