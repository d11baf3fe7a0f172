/* CLIENT: looking at sessions, naming, pausing and ending them. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "command/command.h"
#include "server/multi.h"
#include "server/server.h"
#include "server/session.h"

/* --- what a session calls itself ----------------------------------------- */

bool session_name_is_valid(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] < '!' || name.ptr[i] > '~')
            return false;
    return true;
}

void session_set_text(char **text, struct slice value)
{
    mem_free(*text);
    *text = value.len ? config_copy_text(value) : NULL;
}

void session_set_protocol(struct session *s, uint8_t protocol)
{
    s->protocol = protocol;
    s->reply.protocol = protocol;
}

static void id_command(struct call *c)
{
    reply_int(c->reply, (int64_t)call_session(c)->id);
}

static void getname_command(struct call *c)
{
    const char *name = call_session(c)->name;
    if (name)
        reply_bulk_text(c->reply, name);
    else
        reply_null(c->reply);
}

static void setname_command(struct call *c)
{
    if (!session_name_is_valid(c->argv[2])) {
        reply_error(c->reply, ERROR_CLIENT_NAME);
        return;
    }
    session_set_text(&call_session(c)->name, c->argv[2]);
    reply_ok(c->reply);
}

static void setinfo_command(struct call *c)
{
    struct session *s = call_session(c);
    bool is_name = call_option(c, 2, "lib-name");
    if (!is_name && !call_option(c, 2, "lib-ver")) {
        reply_error_format(c->reply, "ERR Unrecognized option '%.*s'", slice_shown(c->argv[2]), c->argv[2].ptr);
        return;
    }
    if (!session_name_is_valid(c->argv[3])) {
        reply_error_format(c->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                           is_name ? "lib-name" : "lib-ver");
        return;
    }
    session_set_text(is_name ? &s->library_name : &s->library_version, c->argv[3]);
    reply_ok(c->reply);
}

/* --- LIST and INFO ------------------------------------------------------- */

static void print_flags(const struct session *s, struct buf *out)
{
    size_t begin = buf_size(out);
    if (s->is_blocked)
        buf_append(out, "b", 1);
    if (s->multi)
        buf_append(out, "x", 1);
    if (s->is_closing)
        buf_append(out, "c", 1);
    if (s->is_unix)
        buf_append(out, "U", 1);
    if (s->is_readonly)
        buf_append(out, "r", 1);
    if (s->is_no_evict)
        buf_append(out, "e", 1);
    if (buf_size(out) == begin)
        buf_append(out, "N", 1);
    if (s->is_no_touch)
        buf_append(out, "T", 1);
}

/* "get", "client|list", "NULL" before the first command. */
static void print_last_command(const struct session *s, struct buf *out)
{
    const struct command_table *t = s->server->commands;
    const struct command *row = s->last_command;
    for (size_t i = 0; row && i < command_count(t); i++) {
        const struct command *top = command_at(t, i);
        if (top->subcommands && row >= top->subcommands && row < top->subcommands + top->subcommand_count) {
            buf_printf(out, "%s|", top->name);
            break;
        }
    }
    buf_printf(out, "%s", row ? row->name : "NULL");
}

static void print_buffers(const struct session *s, struct buf *out)
{
    const struct buf *input = stream_in(s->stream), *output = stream_out(s->stream);
    size_t in_buffer = buf_size(output), in_all = session_output_bytes(s);
    buf_printf(out, " qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=%zu rbs=%zu rbp=%zu obl=%zu oll=0 omem=%zu",
               buf_size(input), buf_room(input), resp_parser_memory(&s->parser), multi_memory(s), output->capacity, output->capacity,
               in_buffer, in_all > in_buffer ? in_all - in_buffer : 0);
    buf_printf(out, " tot-mem=%zu events=%s", session_memory(s), in_all ? "rw" : "r");
}

static void print_session(const struct session *s, struct buf *out)
{
    int64_t now_ms = loop_wall_ms(s->server->loop);
    buf_printf(out, "id=%" PRIu64 " addr=%s laddr=%s fd=%d name=%s age=%" PRId64 " idle=%" PRId64 " flags=", s->id,
               stream_peer_address(s->stream), stream_local_address(s->stream), stream_fd(s->stream),
               s->name ? s->name : "", (now_ms - s->created_ms) / 1000, (now_ms - s->last_active_ms) / 1000);
    print_flags(s, out);
    buf_printf(out, " db=%d sub=0 psub=0 ssub=0 multi=%d", s->db, multi_count(s));
    print_buffers(s, out);
    buf_printf(out, " cmd=");
    print_last_command(s, out);
    buf_printf(out, " user=default redir=-1 resp=%d", s->protocol);
    if (s->library_name || s->library_version)
        buf_printf(out, " lib-name=%s lib-ver=%s", s->library_name ? s->library_name : "",
                   s->library_version ? s->library_version : "");
    buf_append(out, "\n", 1);
}

static void info_command(struct call *c)
{
    struct buf text;
    buf_init(&text);
    print_session(call_session(c), &text);
    reply_verbatim(c->reply, "txt", buf_slice(&text));
    buf_deinit(&text);
}

enum client_type { CLIENT_ANY, CLIENT_NORMAL, CLIENT_OTHER };

/* Sessions are all of type normal; the others exist by name. */
static bool read_type(struct call *c, int index, enum client_type *type)
{
    static const char *const others[] = {"master", "replica", "slave", "pubsub"};
    if (call_option(c, index, "normal")) {
        *type = CLIENT_NORMAL;
        return true;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (call_option(c, index, others[i])) {
            *type = CLIENT_OTHER;
            return true;
        }
    }
    reply_error_format(c->reply, "ERR Unknown client type '%.*s'", slice_shown(c->argv[index]), c->argv[index].ptr);
    return false;
}

static struct session *find_session(struct server *server, uint64_t id)
{
    LIST_FOR_EACH (&server->sessions, struct session, link, s)
        if (s->id == id && s->stream)
            return s;
    return NULL;
}

/* Sessions named by the ids from argv[3] on. */
static bool print_by_id(struct call *c, struct buf *out)
{
    for (int i = 3; i < c->argc; i++) {
        int64_t id;
        if (!call_int64_or(c, i, &id, "ERR Invalid client ID"))
            return false;
        const struct session *s = find_session(call_session(c)->server, (uint64_t)id);
        if (s)
            print_session(s, out);
    }
    return true;
}

static void print_all(struct call *c, struct buf *out)
{
    LIST_FOR_EACH (&call_session(c)->server->sessions, struct session, link, s)
        if (s->stream)
            print_session(s, out);
}

static void list_command(struct call *c)
{
    enum client_type type = CLIENT_ANY;
    bool is_by_id = c->argc > 3 && call_option(c, 2, "ID");
    bool is_by_type = c->argc == 4 && call_option(c, 2, "TYPE");
    if (c->argc != 2 && !is_by_id && !is_by_type) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (is_by_type && !read_type(c, 3, &type))
        return;
    struct buf text;
    buf_init(&text);
    bool is_good = true;
    if (is_by_id)
        is_good = print_by_id(c, &text);
    else if (type != CLIENT_OTHER)
        print_all(c, &text);
    if (is_good)
        reply_verbatim(c->reply, "txt", buf_slice(&text));
    buf_deinit(&text);
}

/* --- KILL ---------------------------------------------------------------- */

struct kill_filter {
    uint64_t id; /* 0: any */
    enum client_type type;
    struct slice address, local_address; /* ptr NULL: any */
    bool skips_self;
};

static bool read_kill_option(struct call *c, int i, struct kill_filter *f)
{
    int64_t id;
    struct slice value = c->argv[i + 1];
    if (call_option(c, i, "ID")) {
        if (!slice_to_int64(value, &id) || id < 1) {
            reply_error(c->reply, "ERR client-id should be greater than 0");
            return false;
        }
        f->id = (uint64_t)id;
    } else if (call_option(c, i, "TYPE")) {
        return read_type(c, i + 1, &f->type);
    } else if (call_option(c, i, "ADDR")) {
        f->address = value;
    } else if (call_option(c, i, "LADDR")) {
        f->local_address = value;
    } else if (call_option(c, i, "USER")) {
        if (!slice_equal(value, SLICE_LITERAL("default"))) {
            reply_error_format(c->reply, "ERR No such user '%.*s'", slice_shown(value), value.ptr);
            return false;
        }
    } else if (call_option(c, i, "SKIPME") && (slice_is(value, "yes") || slice_is(value, "no"))) {
        f->skips_self = slice_is(value, "yes");
    } else {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    return true;
}

static bool read_kill_filter(struct call *c, struct kill_filter *f)
{
    *f = (struct kill_filter){.skips_self = c->argc > 3};
    if (c->argc == 3) {
        f->address = c->argv[2];
        return true;
    }
    for (int i = 2; i < c->argc; i += 2) {
        if (i + 1 == c->argc) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!read_kill_option(c, i, f))
            return false;
    }
    return true;
}

static bool is_meant(const struct kill_filter *f, const struct session *s, const struct session *self)
{
    if (!s->stream || (f->id && f->id != s->id) || f->type == CLIENT_OTHER || (f->skips_self && s == self))
        return false;
    if (f->address.ptr && !slice_equal(f->address, slice_from(stream_peer_address(s->stream))))
        return false;
    return !f->local_address.ptr || slice_equal(f->local_address, slice_from(stream_local_address(s->stream)));
}

static int64_t kill_sessions(struct session *self, const struct kill_filter *f)
{
    int64_t killed = 0;
    LIST_FOR_EACH (&self->server->sessions, struct session, link, s) {
        if (!is_meant(f, s, self))
            continue;
        killed++;
        if (s == self)
            session_close_after_reply(s);
        else
            session_kill(s, "killed by CLIENT KILL");
    }
    return killed;
}

static void kill_command(struct call *c)
{
    struct kill_filter f;
    if (!read_kill_filter(c, &f))
        return;
    int64_t killed = kill_sessions(call_session(c), &f);
    if (c->argc > 3)
        reply_int(c->reply, killed);
    else if (killed)
        reply_ok(c->reply);
    else
        reply_error(c->reply, "ERR No such client");
}

/* --- switches ------------------------------------------------------------ */

void session_set_reply_mode(struct session *s, enum session_reply_mode mode)
{
    s->reply_mode = mode;
    session_reply_begin(s);
}

static void reply_command(struct call *c)
{
    struct session *s = call_session(c);
    if (call_option(c, 2, "ON")) {
        session_set_reply_mode(s, REPLY_ON);
        reply_ok(c->reply);
    } else if (call_option(c, 2, "OFF")) {
        session_set_reply_mode(s, REPLY_OFF);
    } else if (call_option(c, 2, "SKIP")) {
        if (s->reply_mode != REPLY_OFF)
            session_set_reply_mode(s, REPLY_SKIP_NEXT);
    } else {
        reply_error(c->reply, ERROR_SYNTAX);
    }
}

static void read_switch(struct call *c, bool *is_on)
{
    if (!call_option(c, 2, "ON") && !call_option(c, 2, "OFF")) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    *is_on = call_option(c, 2, "ON");
    reply_ok(c->reply);
}

static void no_evict_command(struct call *c)
{
    read_switch(c, &call_session(c)->is_no_evict);
}

static void no_touch_command(struct call *c)
{
    read_switch(c, &call_session(c)->is_no_touch);
}

/* --- PAUSE and UNBLOCK --------------------------------------------------- */

/* Both take three or four arguments; more get Redis's text for that. */
static bool is_too_long(struct call *c)
{
    if (c->argc > 4)
        reply_error_format(c->reply, ERROR_SUBCOMMAND_ARITY("CLIENT"), slice_shown(c->argv[1]), c->argv[1].ptr);
    return c->argc > 4;
}

void server_pause(struct server *server, int64_t until_ms, bool is_for_writes_only)
{
    /* A pause of everything is not weakened, nor one shortened, by a second. */
    bool is_paused = server->paused_until_ms != 0;
    server->is_pause_for_writes_only = is_for_writes_only && (!is_paused || server->is_pause_for_writes_only);
    if (until_ms > server->paused_until_ms)
        server->paused_until_ms = until_ms;
}

void server_unpause(struct server *server)
{
    server->paused_until_ms = 0;
    server->is_pause_for_writes_only = false;
    LIST_FOR_EACH (&server->paused, struct session, paused_link, s) {
        list_remove(&s->paused_link);
        session_resume(s);
    }
}

static void pause_command(struct call *c)
{
    if (is_too_long(c))
        return;
    struct server *server = call_session(c)->server;
    bool is_for_writes_only = c->argc == 4 && call_option(c, 3, "WRITE");
    if (c->argc == 4 && !is_for_writes_only && !call_option(c, 3, "ALL")) {
        reply_error(c->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return;
    }
    int64_t timeout_ms, until_ms;
    if (!call_int64_or(c, 2, &timeout_ms, "ERR timeout is not an integer or out of range"))
        return;
    if (timeout_ms < 0) {
        reply_error(c->reply, "ERR timeout is negative");
        return;
    }
    if (__builtin_add_overflow(loop_wall_ms(server->loop), timeout_ms, &until_ms))
        until_ms = INT64_MAX;
    server_pause(server, until_ms, is_for_writes_only);
    reply_ok(c->reply);
}

static void unpause_command(struct call *c)
{
    server_unpause(call_session(c)->server);
    reply_ok(c->reply);
}

static void unblock_command(struct call *c)
{
    if (is_too_long(c))
        return;
    bool is_error = c->argc == 4 && call_option(c, 3, "ERROR");
    if (c->argc == 4 && !is_error && !call_option(c, 3, "TIMEOUT")) {
        reply_error(c->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    int64_t id;
    if (!call_int64(c, 2, &id))
        return;
    struct session *s = find_session(call_session(c)->server, (uint64_t)id);
    bool is_blocked = s && s->is_blocked && !s->migration;
    if (is_blocked && s->waiter) {
        blocking_end(s, is_error ? ENDING_ERROR : ENDING_TIMEOUT);
    } else if (is_blocked && is_error) {
        session_unblock(s);
        reply_error(session_reply_begin(s), "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        session_reply_end(s);
    } else if (is_blocked) {
        session_end_wait(s);
    }
    reply_int(c->reply, is_blocked);
}

/* --- tracking: there is none, and these say so --------------------------- */

static void getredir_command(struct call *c)
{
    reply_int(c->reply, -1);
}

static void trackinginfo_command(struct call *c)
{
    reply_map(c->reply, 3);
    reply_bulk_text(c->reply, "flags");
    reply_set(c->reply, 1);
    reply_bulk_text(c->reply, "off");
    reply_bulk_text(c->reply, "redirect");
    reply_int(c->reply, -1);
    reply_bulk_text(c->reply, "prefixes");
    reply_array(c->reply, 0);
}

static void help_command(struct call *c)
{
    static const char *const lines[] = {
        "GETNAME",
        "    Name of this connection, or null.",
        "GETREDIR",
        "    Connection that invalidations are redirected to: -1, as there is no tracking.",
        "ID",
        "    Number of this connection, never used twice.",
        "INFO",
        "    Line of CLIENT LIST for this connection.",
        "KILL <address:port>",
        "    End the connection that comes from this address.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    End the connections that all options fit:",
        "    * ID <client-id>",
        "    * ADDR (<address:port>|<unixsocket>:0), where it comes from",
        "    * LADDR (<address:port>|<unixsocket>:0), where it arrived",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "    * USER <username>",
        "    * SKIPME (YES|NO), spare this connection; yes by default",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <client-id> [<client-id> ...]]",
        "    One line per connection.",
        "NO-EVICT (ON|OFF)",
        "    Whether this connection is spared when clients use too much memory.",
        "NO-TOUCH (ON|OFF)",
        "    Whether reads of this connection leave the access time of keys alone.",
        "PAUSE <milliseconds> [WRITE|ALL]",
        "    Let writes, or all commands, wait for so long.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether this connection gets replies.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Tell which client library uses this connection.",
        "SETNAME <name>",
        "    Name this connection.",
        "TRACKINGINFO",
        "    State of tracking for this connection: off.",
        "UNBLOCK <client-id> [TIMEOUT|ERROR]",
        "    End the wait of a blocked connection.",
        "UNPAUSE",
        "    End a pause.",
        NULL};
    call_help(c, lines);
}

/* --- the table ----------------------------------------------------------- */

#define USUAL_FLAGS (COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)
#define ADMIN_FLAGS (USUAL_FLAGS | COMMAND_ADMIN)
#define SUBCOMMAND(name_, handler_, arity_, flags_, since_, complexity_, summary_)                             \
    .name = (name_), .handler = (handler_), .arity = (arity_), .flags = (flags_),                              \
    .categories = CATEGORY_CONNECTION, .group = "connection", .since = (since_), .complexity = (complexity_), \
    .summary = (summary_)
#define TOKEN(name_, token_) {.name = (name_), .type = ARGUMENT_PURE_TOKEN, .token = (token_)}

static const struct command_argument kill_filter_arguments[] = {
    {.name = "client-id", .type = ARGUMENT_INTEGER, .token = "ID", .since = "2.8.12", .flags = ARGUMENT_OPTIONAL},
    {.name = "normal_master_slave_pubsub", .type = ARGUMENT_ONEOF, .token = "TYPE", .since = "2.8.12",
     .flags = ARGUMENT_OPTIONAL,
     COMMAND_ARGUMENTS(TOKEN("normal", "NORMAL"),
                       {.name = "master", .type = ARGUMENT_PURE_TOKEN, .token = "MASTER", .since = "3.2.0"},
                       TOKEN("slave", "SLAVE"),
                       {.name = "replica", .type = ARGUMENT_PURE_TOKEN, .token = "REPLICA", .since = "5.0.0"},
                       TOKEN("pubsub", "PUBSUB"))},
    {.name = "username", .type = ARGUMENT_STRING, .token = "USER", .flags = ARGUMENT_OPTIONAL},
    {.name = "ip:port", .type = ARGUMENT_STRING, .token = "ADDR", .flags = ARGUMENT_OPTIONAL},
    {.name = "ip:port", .type = ARGUMENT_STRING, .token = "LADDR", .since = "6.2.0", .flags = ARGUMENT_OPTIONAL},
    {.name = "yes/no", .type = ARGUMENT_STRING, .token = "SKIPME", .flags = ARGUMENT_OPTIONAL},
};

static const struct command subcommands[] = {
    {SUBCOMMAND("getname", getname_command, 2, USUAL_FLAGS, "2.6.9", "O(1)", "Tells this connection's name.")},
    {SUBCOMMAND("getredir", getredir_command, 2, USUAL_FLAGS, "6.0.0", "O(1)",
                "Tells where invalidations are redirected to: nowhere.")},
    {SUBCOMMAND("help", help_command, 2, COMMAND_LOADING | COMMAND_STALE, "5.0.0", "O(1)",
                "Lists the subcommands.")},
    {SUBCOMMAND("id", id_command, 2, USUAL_FLAGS, "5.0.0", "O(1)", "Tells this connection's number.")},
    {SUBCOMMAND("info", info_command, 2, USUAL_FLAGS, "6.2.0", "O(1)", "Describes this connection in a line."),
     COMMAND_TIPS("nondeterministic_output")},
    {SUBCOMMAND("kill", kill_command, -3, ADMIN_FLAGS, "2.4.0", "O(N) where N is the number of connections",
                "Ends connections."),
     COMMAND_HISTORY({"2.8.12", "Filters, each a word and a value."},
                     {"2.8.12", "The filter ID."},
                     {"3.2.0", "TYPE master."},
                     {"5.0.0", "TYPE replica; slave means the same."},
                     {"6.2.0", "The filter LADDR."}),
     COMMAND_ARGUMENTS(
         {.name = "filter", .type = ARGUMENT_ONEOF,
          COMMAND_ARGUMENTS({.name = "ip:port", .type = ARGUMENT_STRING},
                            {.name = "new-format", .type = ARGUMENT_ONEOF, .flags = ARGUMENT_MULTIPLE,
                             .arguments = kill_filter_arguments,
                             .argument_count = sizeof kill_filter_arguments / sizeof *kill_filter_arguments})})},
    {SUBCOMMAND("list", list_command, -2, ADMIN_FLAGS, "2.4.0", "O(N) where N is the number of connections",
                "Describes connections, a line for each."),
     COMMAND_HISTORY({"2.8.12", "The field id."},
                     {"5.0.0", "The filter TYPE."},
                     {"6.0.0", "The field user."},
                     {"6.2.0", "The fields argv-mem, tot-mem, laddr and redir, and the filter ID."},
                     {"7.0.0", "The fields resp, multi-mem, rbs and rbp."},
                     {"7.0.3", "The field ssub."}),
     COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS({.name = "normal_master_replica_pubsub", .type = ARGUMENT_ONEOF, .token = "TYPE",
                        .since = "5.0.0", .flags = ARGUMENT_OPTIONAL,
                        COMMAND_ARGUMENTS(TOKEN("normal", "NORMAL"), TOKEN("master", "MASTER"),
                                          TOKEN("replica", "REPLICA"), TOKEN("pubsub", "PUBSUB"))},
                       {.name = "id", .type = ARGUMENT_BLOCK, .token = "ID", .since = "6.2.0",
                        .flags = ARGUMENT_OPTIONAL,
                        COMMAND_ARGUMENTS({.name = "client-id", .type = ARGUMENT_INTEGER,
                                           .flags = ARGUMENT_MULTIPLE})})},
    {SUBCOMMAND("no-evict", no_evict_command, 3, ADMIN_FLAGS, "7.0.0", "O(1)",
                "Spares this connection when clients use too much memory."),
     COMMAND_ARGUMENTS({.name = "enabled", .type = ARGUMENT_ONEOF,
                        COMMAND_ARGUMENTS(TOKEN("on", "ON"), TOKEN("off", "OFF"))})},
    {SUBCOMMAND("no-touch", no_touch_command, 3, USUAL_FLAGS, "7.2.0", "O(1)",
                "Has reads of this connection leave the access time of keys alone."),
     COMMAND_ARGUMENTS({.name = "enabled", .type = ARGUMENT_ONEOF,
                        COMMAND_ARGUMENTS(TOKEN("on", "ON"), TOKEN("off", "OFF"))})},
    {SUBCOMMAND("pause", pause_command, -3, ADMIN_FLAGS, "2.9.50", "O(1)",
                "Lets commands of all connections wait for a while."),
     COMMAND_HISTORY({"6.2.0", "A mode: WRITE lets reads go on."}),
     COMMAND_ARGUMENTS({.name = "timeout", .type = ARGUMENT_INTEGER},
                       {.name = "mode", .type = ARGUMENT_ONEOF, .since = "6.2.0", .flags = ARGUMENT_OPTIONAL,
                        COMMAND_ARGUMENTS(TOKEN("write", "WRITE"), TOKEN("all", "ALL"))})},
    {SUBCOMMAND("reply", reply_command, 3, USUAL_FLAGS, "3.2.0", "O(1)", "Turns this connection's replies on or off."),
     COMMAND_ARGUMENTS({.name = "on_off_skip", .type = ARGUMENT_ONEOF,
                        COMMAND_ARGUMENTS(TOKEN("on", "ON"), TOKEN("off", "OFF"), TOKEN("skip", "SKIP"))})},
    {SUBCOMMAND("setinfo", setinfo_command, 4, USUAL_FLAGS, "7.2.0", "O(1)",
                "Records which client library uses this connection."),
     COMMAND_ARGUMENTS({.name = "attr", .type = ARGUMENT_ONEOF,
                        COMMAND_ARGUMENTS({.name = "libname", .type = ARGUMENT_STRING, .token = "LIB-NAME"},
                                          {.name = "libver", .type = ARGUMENT_STRING, .token = "LIB-VER"})})},
    {SUBCOMMAND("setname", setname_command, 3, USUAL_FLAGS, "2.6.9", "O(1)", "Names this connection."),
     COMMAND_ARGUMENTS({.name = "connection-name", .type = ARGUMENT_STRING})},
    {SUBCOMMAND("trackinginfo", trackinginfo_command, 2, USUAL_FLAGS, "6.2.0", "O(1)",
                "Tells the state of tracking: off.")},
    {SUBCOMMAND("unblock", unblock_command, -3, ADMIN_FLAGS, "5.0.0", "O(N) where N is the number of connections",
                "Ends the wait of a blocked connection."),
     COMMAND_ARGUMENTS({.name = "client-id", .type = ARGUMENT_INTEGER},
                       {.name = "timeout_error", .type = ARGUMENT_ONEOF, .flags = ARGUMENT_OPTIONAL,
                        COMMAND_ARGUMENTS(TOKEN("timeout", "TIMEOUT"), TOKEN("error", "ERROR"))})},
    {SUBCOMMAND("unpause", unpause_command, 2, ADMIN_FLAGS, "6.2.0", "O(N) where N is the number of paused clients",
                "Ends a pause.")},
};

const struct command client_command_rows[] = {
    {.name = "client", .arity = -2, .group = "connection", .since = "2.4.0",
     .complexity = "Depends on subcommand.", .summary = "Looks at connections and changes them.",
     COMMAND_SUBCOMMANDS(subcommands)},
};
const size_t client_command_count = sizeof client_command_rows / sizeof *client_command_rows;
