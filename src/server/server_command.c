/* Commands about the server as a whole: INFO, CONFIG, SHUTDOWN, DEBUG. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/info.h"
#include "admin/version.h"
#include "base/buf.h"
#include "base/log.h"
#include "command/command.h"
#include "server/agreed.h"
#include "server/migrate.h"
#include "server/server.h"
#include "server/session.h"

/* --- INFO ---------------------------------------------------------------- */

static void look_at_sessions(const struct server *server, struct info_sources *sources)
{
    sources->sessions = server->session_count;
    LIST_FOR_EACH (&server->sessions, struct session, link, s) {
        if (!s->stream)
            continue;
        size_t input = buf_size(stream_in(s->stream)), output = session_output_bytes(s);
        sources->session_bytes += session_memory(s);
        sources->blocked_sessions += s->is_blocked;
        if (input > sources->session_input_max)
            sources->session_input_max = input;
        if (output > sources->session_output_max)
            sources->session_output_max = output;
    }
    LIST_FOR_EACH (&server->paused, struct session, paused_link, s)
        sources->paused_sessions += s->stream != NULL;
}

void server_count_traffic(struct server *server)
{
    struct loop_figures figures = loop_figures(server->loop);
    server->stats.traffic = (struct stats_traffic){
        .bytes_in = figures.bytes_in,
        .bytes_out = figures.bytes_out,
        .reads = figures.reads,
        .writes = figures.writes,
    };
}

static void info_command(struct call *c)
{
    struct server *server = call_session(c)->server;
    server_count_traffic(server);
    struct replica_status status;
    replica_get_status(server->replica, &status);
    struct info_sources sources = {
        .config = server->config,
        .stats = &server->stats,
        .commands = server->commands,
        .keyspace = server->keyspace,
        .replica = &status,
        .run_id = server->run_id,
        .now_wall_us = loop_wall_ms(server->loop) * 1000,
        .started_wall_us = server->started_wall_us,
        .port = server->config->port,
    };
    look_at_sessions(server, &sources);
    struct buf text;
    buf_init(&text);
    info_print(&sources, c->argv + 1, c->argc - 1, &text);
    reply_verbatim(c->reply, "txt", buf_slice(&text));
    buf_deinit(&text);
}

/* --- CONFIG -------------------------------------------------------------- */

static void config_resetstat_command(struct call *c)
{
    struct server *server = call_session(c)->server;
    server_count_traffic(server);
    stats_reset(&server->stats);
    keyspace_reset_figures(server->keyspace);
    reply_ok(c->reply);
}

static void config_rewrite_command(struct call *c)
{
    const struct config *config = call_session(c)->server->config;
    agreed_read(call_session(c)->server);
    enum status status = config_rewrite(config);
    if (status == STATUS_NOT_FOUND) {
        reply_error(c->reply, "ERR The server is running without a config file");
    } else if (status != STATUS_OK) {
        int reason = errno;
        log_warning("server", "cannot rewrite %s: %s", config->path, strerror(reason));
        reply_error_format(c->reply, "ERR Rewriting config file: %s", strerror(reason));
    } else {
        log_notice("server", "rewrote %s", config->path);
        reply_ok(c->reply);
    }
}

static void config_help_command(struct call *c)
{
    static const char *const lines[] = {
        "GET <pattern> [<pattern> ...]",
        "    Options that match one of the patterns, and their values.",
        "SET <option> <value> [<option> <value> ...]",
        "    Change options: all of them, or none.",
        "RESETSTAT",
        "    Start the counters of INFO anew.",
        "REWRITE",
        "    Write the options in force into the configuration file.",
        NULL};
    call_help(c, lines);
}

/* --- SHUTDOWN ------------------------------------------------------------ */

struct shutdown_options {
    bool is_save, is_nosave, is_now, is_force, is_abort;
};

static bool read_shutdown(struct call *c, struct shutdown_options *o)
{
    *o = (struct shutdown_options){0};
    bool is_known = true;
    for (int i = 1; i < c->argc && is_known; i++) {
        bool *option = call_option(c, i, "SAVE")     ? &o->is_save
                       : call_option(c, i, "NOSAVE") ? &o->is_nosave
                       : call_option(c, i, "NOW")    ? &o->is_now
                       : call_option(c, i, "FORCE")  ? &o->is_force
                       : call_option(c, i, "ABORT")  ? &o->is_abort
                                                     : NULL;
        is_known = option != NULL;
        if (option)
            *option = true;
    }
    bool is_abort_alone = !(o->is_save || o->is_nosave || o->is_now || o->is_force);
    if (is_known && !(o->is_save && o->is_nosave) && (!o->is_abort || is_abort_alone))
        return true;
    reply_error(c->reply, ERROR_SYNTAX);
    return false;
}

/* NOW and FORCE change nothing: there is no lagging replica to wait for, and a
 * save that fails is logged. */
static void shutdown_command(struct call *c)
{
    struct server *server = call_session(c)->server;
    struct shutdown_options o;
    if (!read_shutdown(c, &o))
        return;
    if (o.is_abort) {
        /* An end that is under way takes no commands any more. */
        reply_error(c->reply, "ERR No shutdown in progress.");
    } else {
        log_notice("server", "SHUTDOWN by the client at %s", stream_peer_address(call_session(c)->stream));
        server->saves_at_end = o.is_save || (!o.is_nosave && server_saves_by_default(server));
        server_shutdown(server);
    }
}

static void lolwut_command(struct call *c)
{
    struct slice text = SLICE_LITERAL("Ping, and every replica answers as one. kvstore ver. " KVSTORE_VERSION "\n");
    reply_verbatim(c->reply, "txt", text);
}

/* --- DEBUG ---------------------------------------------------------------- */

/* Stops the whole server, which is its purpose. */
static void debug_sleep_command(struct call *c)
{
    enum { SECONDS_MAX = 1000000 };
    double seconds = 0;
    if (!slice_to_double(c->argv[2], &seconds) || seconds < 0)
        seconds = 0;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    double whole = floor(seconds);
    struct timespec span = {.tv_sec = (time_t)whole, .tv_nsec = (long)((seconds - whole) * 1e9)};
    ppoll(NULL, 0, &span, NULL);
    reply_ok(c->reply);
}

static void debug_error_command(struct call *c)
{
    reply_error_format(c->reply, "%.*s", (int)(c->argv[2].len < 1024 ? c->argv[2].len : 1024), c->argv[2].ptr);
}

static void debug_log_command(struct call *c)
{
    log_warning("server", "DEBUG LOG: %.*s", (int)(c->argv[2].len < 1024 ? c->argv[2].len : 1024), c->argv[2].ptr);
    reply_ok(c->reply);
}

static void reply_three(struct reply *r)
{
    for (int i = 0; i < 3; i++)
        reply_int(r, i);
}

static void reply_sample_map(struct reply *r)
{
    reply_map(r, 3);
    for (int i = 0; i < 3; i++) {
        reply_int(r, i);
        reply_bool(r, i == 1);
    }
}

static void reply_sample_attribute(struct reply *r)
{
    if (r->protocol > 2) {
        reply_attribute(r, 1);
        reply_bulk_text(r, "key-popularity");
        reply_array(r, 2);
        reply_bulk_text(r, "key:123");
        reply_int(r, 90);
    }
    reply_bulk_text(r, "Some real reply following the attribute");
}

static void reply_sample_push(struct reply *r)
{
    if (r->protocol == 2) {
        reply_error(r, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(r, 2);
    reply_bulk_text(r, "server-cpu-usage");
    reply_int(r, 42);
    reply_bulk_text(r, "Some real reply following the push reply");
}

/* The values are Redis's, which client libraries test against. */
static bool reply_sample_scalar(struct reply *r, struct slice type)
{
    if (slice_is(type, "string"))
        reply_bulk_text(r, "Hello World");
    else if (slice_is(type, "integer"))
        reply_int(r, 12345);
    else if (slice_is(type, "double"))
        reply_double(r, 3.141);
    else if (slice_is(type, "bignum"))
        reply_big_number(r, SLICE_LITERAL("1234567999999999999999999999999999999"));
    else if (slice_is(type, "null"))
        reply_null(r);
    else if (slice_is(type, "verbatim"))
        reply_verbatim(r, "txt", SLICE_LITERAL("This is a verbatim\nstring"));
    else if (slice_is(type, "true") || slice_is(type, "false"))
        reply_bool(r, slice_is(type, "true"));
    else
        return false;
    return true;
}

static bool reply_sample_aggregate(struct reply *r, struct slice type)
{
    if (slice_is(type, "array")) {
        reply_array(r, 3);
        reply_three(r);
    } else if (slice_is(type, "set")) {
        reply_set(r, 3);
        reply_three(r);
    } else if (slice_is(type, "map")) {
        reply_sample_map(r);
    } else if (slice_is(type, "attrib")) {
        reply_sample_attribute(r);
    } else if (slice_is(type, "push")) {
        reply_sample_push(r);
    } else {
        return false;
    }
    return true;
}

static void debug_protocol_command(struct call *c)
{
    if (!reply_sample_scalar(c->reply, c->argv[2]) && !reply_sample_aggregate(c->reply, c->argv[2]))
        reply_error(c->reply, "ERR Wrong protocol type name. Please use one of the following: string|integer|double|"
                              "bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

static void debug_help_command(struct call *c)
{
    static const char *const lines[] = {
        "DIGEST",
        "    Digest of all data, in hexadecimal.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Digest of each key's value.",
        "ERROR <text>",
        "    Answer with this error.",
        "HTSTATS <database>",
        "    Figures of a database's hash tables.",
        "HTSTATS-KEY <key>",
        "    Figures of a key's hash table.",
        "LOG <text>",
        "    Write a line to the log.",
        "OBJECT <key>",
        "    How a key's value is stored.",
        "PAUSE-CRON (0|1)",
        "    Stop what is done now and then, but for what the cluster needs.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Create keys <prefix>:0, <prefix>:1, ...; the prefix is key unless given.",
        "PROTOCOL <type>",
        "    Answer with a sample of a type: string, integer, double, bignum, null, array,",
        "    set, map, attrib, push, verbatim, true or false.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    From how many bytes on an element of a list has a node of its own.",
        "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
        "    Write a snapshot, read it, and compare it with the data.",
        "REPLYBUFFER (PEAK-RESET-TIME|RESIZING) <value>",
        "    Accepted; there is nothing to tune.",
        "SET-ACTIVE-EXPIRE (0|1)",
        "    Whether keys whose time is up are removed before somebody looks at them.",
        "SLEEP <seconds>",
        "    Stop the server for so long; decimals are allowed.",
        NULL};
    call_help(c, lines);
}

/* --- the table ----------------------------------------------------------- */

#define ADMIN_FLAGS (COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)
#define SERVER_GROUP(since_, complexity_, summary_) \
    .group = "server", .since = (since_), .complexity = (complexity_), .summary = (summary_)
#define DEBUG_ROW(name_, handler_, arity_, summary_)                                        \
    {.name = (name_), .handler = (handler_), .arity = (arity_),                             \
     .flags = ADMIN_FLAGS | COMMAND_DEBUG_ONLY, SERVER_GROUP("1.0.0", "O(1)", summary_)}

static const struct command config_subcommands[] = {
    {.name = "get", .handler = agreed_config_get, .arity = -3, .flags = ADMIN_FLAGS | COMMAND_DECIDES,
     SERVER_GROUP("2.0.0", "O(N) where N is the number of options times the patterns", "Reads options."),
     COMMAND_HISTORY({"7.0.0", "Any number of patterns."}),
     COMMAND_ARGUMENTS({.name = "parameter", .type = ARGUMENT_BLOCK, .flags = ARGUMENT_MULTIPLE,
                        COMMAND_ARGUMENTS({.name = "parameter", .type = ARGUMENT_STRING})})},
    {.name = "help", .handler = config_help_command, .arity = 2, .flags = COMMAND_LOADING | COMMAND_STALE,
     SERVER_GROUP("5.0.0", "O(1)", "Lists the subcommands.")},
    {.name = "resetstat", .handler = config_resetstat_command, .arity = 2, .flags = ADMIN_FLAGS,
     SERVER_GROUP("2.0.0", "O(1)", "Starts the counters of INFO anew.")},
    {.name = "rewrite", .handler = config_rewrite_command, .arity = 2, .flags = ADMIN_FLAGS,
     SERVER_GROUP("2.8.0", "O(N) where N is the size of the file",
                  "Writes the options in force into the configuration file.")},
    {.name = "set", .handler = agreed_config_set, .arity = -4, .flags = ADMIN_FLAGS | COMMAND_DECIDES,
     SERVER_GROUP("2.0.0", "O(N) where N is the number of options given", "Changes options, all or none."),
     COMMAND_TIPS("request_policy:all_nodes", "response_policy:all_succeeded"),
     COMMAND_HISTORY({"7.0.0", "Any number of options, changed together."}),
     COMMAND_ARGUMENTS({.name = "parameter_value", .type = ARGUMENT_BLOCK, .flags = ARGUMENT_MULTIPLE,
                        COMMAND_ARGUMENTS({.name = "parameter", .type = ARGUMENT_STRING},
                                          {.name = "value", .type = ARGUMENT_STRING})})},
};

/* Redis's DEBUG has no subcommand rows; ours does, so that each is routed by
 * its own.  The command room adds those that look at the data. */
static const struct command debug_subcommands[] = {
    DEBUG_ROW("error", debug_error_command, 3, "Answers with an error."),
    DEBUG_ROW("help", debug_help_command, 2, "Lists the subcommands."),
    DEBUG_ROW("log", debug_log_command, 3, "Writes a line to the log."),
    DEBUG_ROW("protocol", debug_protocol_command, 3, "Answers with a sample of a reply type."),
    DEBUG_ROW("sleep", debug_sleep_command, 3, "Stops the server for a while."),
};

const struct command server_command_rows[] = {
    {.name = "info", .handler = info_command, .arity = -1, .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = CATEGORY_DANGEROUS,
     SERVER_GROUP("1.0.0", "O(N) where N is the number of connections", "Reports figures about the server."),
     COMMAND_TIPS("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
     COMMAND_HISTORY({"7.0.0", "Any number of sections."}),
     COMMAND_ARGUMENTS({.name = "section", .type = ARGUMENT_STRING,
                        .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE})},
    {.name = "config", .arity = -2, SERVER_GROUP("2.0.0", "Depends on subcommand.", "Reads and changes options."),
     COMMAND_SUBCOMMANDS(config_subcommands)},
    {.name = "shutdown", .handler = shutdown_command, .arity = -1,
     .flags = ADMIN_FLAGS | COMMAND_NO_MULTI | COMMAND_ALLOW_BUSY,
     SERVER_GROUP("1.0.0", "O(1)", "Ends the server once the commands under way are answered."),
     COMMAND_HISTORY({"7.0.0", "NOW, FORCE and ABORT."}),
     COMMAND_ARGUMENTS(
         {.name = "nosave_save", .type = ARGUMENT_ONEOF, .flags = ARGUMENT_OPTIONAL,
          COMMAND_ARGUMENTS({.name = "nosave", .type = ARGUMENT_PURE_TOKEN, .token = "NOSAVE"},
                            {.name = "save", .type = ARGUMENT_PURE_TOKEN, .token = "SAVE"})},
         {.name = "now", .type = ARGUMENT_PURE_TOKEN, .token = "NOW", .since = "7.0.0", .flags = ARGUMENT_OPTIONAL},
         {.name = "force", .type = ARGUMENT_PURE_TOKEN, .token = "FORCE", .since = "7.0.0",
          .flags = ARGUMENT_OPTIONAL},
         {.name = "abort", .type = ARGUMENT_PURE_TOKEN, .token = "ABORT", .since = "7.0.0",
          .flags = ARGUMENT_OPTIONAL})},
    {.name = "lolwut", .handler = lolwut_command, .arity = -1, .flags = COMMAND_READONLY | COMMAND_FAST,
     SERVER_GROUP("5.0.0", "O(1)", "Tells the version, with a smile."),
     COMMAND_ARGUMENTS({.name = "version", .type = ARGUMENT_INTEGER, .token = "VERSION",
                        .flags = ARGUMENT_OPTIONAL})},
    {.name = "migrate", .handler = migrate_command, .arity = -6, .flags = COMMAND_WRITE | COMMAND_MOVABLEKEYS,
     .categories = CATEGORY_KEYSPACE | CATEGORY_DANGEROUS, .group = "generic", .since = "2.6.0",
     .complexity = "O(bytes)", .summary = "Moves keys to another server, which must take them before they go here.",
     COMMAND_HISTORY({"3.0.0", "COPY and REPLACE."}, {"3.0.6", "KEYS."}, {"4.0.7", "AUTH."}, {"6.0.0", "AUTH2."}),
     COMMAND_TIPS("nondeterministic_output"), COMMAND_KEYS(3, 3, 1),
     COMMAND_SPECS(KEY_RANGE(3, KEY_RW | KEY_ACCESS | KEY_DELETE, 0, 1),
                   KEY_KEYWORD_RANGE("KEYS", -2, KEY_RW | KEY_ACCESS | KEY_DELETE | KEY_INCOMPLETE, -1, 1, 0)),
     COMMAND_ARGUMENTS(
         ARGUMENT("host", STRING), ARGUMENT("port", STRING),
         ARGUMENT("key_or_empty_string", ONEOF,
                  COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT_WORD("empty_string", "\"\""))),
         ARGUMENT("destination-db", INTEGER), ARGUMENT("timeout", INTEGER),
         ARGUMENT("copy", PURE_TOKEN, .token = "COPY", .since = "3.0.0", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("replace", PURE_TOKEN, .token = "REPLACE", .since = "3.0.0", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("authentication", ONEOF, .flags = ARGUMENT_OPTIONAL,
                  COMMAND_ARGUMENTS(ARGUMENT("password", STRING, .token = "AUTH", .since = "4.0.7"),
                                    ARGUMENT("username_password", BLOCK, .token = "AUTH2", .since = "6.0.0",
                                             COMMAND_ARGUMENTS(ARGUMENT("username", STRING),
                                                               ARGUMENT("password", STRING))))),
         ARGUMENT("key", KEY, .token = "KEYS", .key_spec_index = 1, .since = "3.0.6",
                  .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE))},
    {.name = "debug", .arity = -2, .flags = ADMIN_FLAGS | COMMAND_DEBUG_ONLY | COMMAND_PLAIN,
     SERVER_GROUP("1.0.0", "Depends on subcommand.", "Looks into the server and disturbs it, for tests."),
     COMMAND_SUBCOMMANDS(debug_subcommands)},
};
const size_t server_command_count = sizeof server_command_rows / sizeof *server_command_rows;
