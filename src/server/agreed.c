#include "server/agreed.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"
#include "server/dispatch.h"
#include "server/server.h"

static const struct settings *settings_of(const struct server *server)
{
    return keyspace_settings(server->keyspace);
}

void agreed_read(struct server *server)
{
    memcpy(server->config->settings, settings_of(server)->values, sizeof server->config->settings);
}

static bool is_given(const struct server *server, enum setting setting)
{
    return config_is_given(server->config, config_find_row(slice_from(setting_bounds[setting].name)));
}

/* --- at start --------------------------------------------------------------------- */

void agreed_begin(struct server *server)
{
    bool is_of_cluster = server->config->member_count || server->config->join_count;
    memcpy(server->given_settings, server->config->settings, sizeof server->given_settings);
    if (replica_is_lone(server->replica)) {
        for (enum setting i = 0; i < SETTING_COUNT; i++)
            if (is_given(server, i))
                keyspace_set_setting(server->keyspace, (int)i, server->given_settings[i]);
    } else {
        server->caretaker.must_settle = true;
    }
    server->caretaker.settles_alone = !is_of_cluster;
}

static bool is_wanted(const struct server *server, enum setting i)
{
    const struct settings *settings = settings_of(server);
    if (!is_given(server, i) || (setting_is_agreed(settings, i) && settings->values[i] == server->given_settings[i]))
        return false;
    return server->caretaker.settles_alone || !setting_is_agreed(settings, i);
}

int agreed_defaults(struct server *server, struct slice argv[static AGREED_ARGUMENTS_MAX],
                    char texts[static SETTING_COUNT][INT64_TEXT_MAX])
{
    int at = 0;
    for (enum setting i = 0; i < SETTING_COUNT; i++) {
        if (!is_wanted(server, i))
            continue;
        argv[at++] = slice_from(setting_bounds[i].name);
        argv[at++] = slice_make(texts[i], int64_to_text(server->given_settings[i], texts[i]));
    }
    return at;
}

void agreed_warn(struct server *server)
{
    for (enum setting i = 0; i < SETTING_COUNT; i++) {
        int64_t value = settings_of(server)->values[i];
        if (is_given(server, i) && value != server->given_settings[i])
            log_warning("server", "%s is %" PRIi64 " here, but the members have agreed on %" PRIi64
                        ", which holds: CONFIG SET changes it for all",
                        setting_bounds[i].name, server->given_settings[i], value);
    }
}

/* --- CONFIG SET -------------------------------------------------------------------- */

/* The settings among the pairs, as the order has them: their values are in the
 * mirror now.  Returns how many slices. */
static int list_settings(struct server *server, int count, const struct slice *pairs, struct slice *argv,
                         char (*texts)[INT64_TEXT_MAX])
{
    int at = 0;
    uint32_t seen = 0;
    for (int i = 0; i < count; i++) {
        const struct config_row *row = config_find_row(pairs[2 * i]);
        if (!(row->flags & CONFIG_AGREED))
            continue;
        enum setting setting = setting_of(slice_from(row->name));
        if (seen >> setting & 1)
            continue; /* by its other name, too */
        seen |= UINT32_C(1) << setting;
        int64_t value = server->config->settings[setting];
        argv[at++] = slice_from(setting_bounds[setting].name);
        argv[at++] = slice_make(texts[setting], int64_to_text(value, texts[setting]));
    }
    return at;
}

static bool names_setting(int count, const struct slice *pairs)
{
    for (int i = 0; i < count; i++) {
        const struct config_row *row = config_find_row(pairs[2 * i]);
        if (row && row->flags & CONFIG_AGREED)
            return true;
    }
    return false;
}

/* Inside EXEC the reply is due now, and this replica alone runs it. */
static void set_nested(struct call *c, int count, const struct slice *pairs)
{
    struct server *server = call_session(c)->server;
    char error[CONFIG_ERROR_MAX], texts[SETTING_COUNT][INT64_TEXT_MAX];
    struct slice argv[AGREED_ARGUMENTS_MAX];
    bool is_lone = replica_is_lone(server->replica);
    if (!is_lone && names_setting(count, pairs)) {
        reply_error(c->reply, "ERR CONFIG SET of what the members share is not possible inside a transaction");
        return;
    }
    agreed_read(server);
    if (!config_set(server->config, pairs, count, error)) {
        reply_error(c->reply, error);
        return;
    }
    int listed = list_settings(server, count, pairs, argv, texts);
    for (int i = 0; i < listed; i += 2) {
        enum setting setting = setting_of(argv[i]);
        keyspace_set_setting(server->keyspace, (int)setting, server->config->settings[setting]);
    }
    reply_ok(c->reply);
}

static enum outcome set_pairs(struct session *s, int count, const struct slice *pairs)
{
    struct server *server = s->server;
    char error[CONFIG_ERROR_MAX], texts[SETTING_COUNT][INT64_TEXT_MAX];
    struct slice argv[1 + AGREED_ARGUMENTS_MAX];
    const char *refusal = names_setting(count, pairs) ? replica_refusal(server->replica) : NULL;
    if (refusal)
        return dispatch_error(s, NULL, refusal);
    agreed_read(server);
    if (!config_set(server->config, pairs, count, error))
        return dispatch_error(s, NULL, error);
    int listed = list_settings(server, count, pairs, argv + 1, texts);
    agreed_read(server);
    if (listed == 0)
        return dispatch_answer(s, INTERNAL_OK);
    argv[0] = slice_from(command_internal(INTERNAL_SETTINGS)->name);
    return dispatch_run(s, command_internal(INTERNAL_SETTINGS), 1 + listed, argv);
}

void agreed_config_set(struct call *c)
{
    struct session *s = call_session(c);
    int count = (c->argc - 2) / 2;
    if (c->argc % 2 != 0 && c->is_in_transaction)
        reply_error(c->reply, ERROR_SYNTAX);
    else if (c->argc % 2 != 0)
        s->outcome = dispatch_error(s, NULL, ERROR_SYNTAX);
    else if (c->is_in_transaction)
        set_nested(c, count, c->argv + 2);
    else
        s->outcome = set_pairs(s, count, c->argv + 2);
}

/* --- CONFIG GET -------------------------------------------------------------------- */

struct listing {
    struct reply *reply;
    size_t count;
};

static void reply_option(void *context, struct slice name, struct slice value)
{
    struct listing *listing = context;
    reply_bulk(listing->reply, name);
    reply_bulk(listing->reply, value);
    listing->count++;
}

static void list_options(struct call *c)
{
    struct listing listing = {.reply = c->reply};
    struct reply_deferred begin = reply_begin(c->reply);
    agreed_read(call_session(c)->server);
    config_get(call_session(c)->server->config, c->argv + 2, c->argc - 2, reply_option, &listing);
    reply_end_map(c->reply, begin, listing.count);
}

static void config_get_command(struct call *c)
{
    if (c->host) /* else nobody waits for it */
        list_options(c);
}

/* It never leaves this replica, so it needs no place in the table of internal ones. */
static const struct command get_row = {
    .name = "+config-get", .handler = config_get_command, .arity = -3, .route = ROUTE_READ, .flags = COMMAND_INTERNAL};
static const struct command get_here_row = {
    .name = "+config-get", .handler = config_get_command, .arity = -3, .route = ROUTE_LOCAL, .flags = COMMAND_INTERNAL};

static bool asks_for_setting(const struct call *c)
{
    for (int pattern = 2; pattern < c->argc; pattern++)
        for (size_t i = 0; i < config_row_count; i++)
            if (config_rows[i].flags & CONFIG_AGREED &&
                (slice_glob(c->argv[pattern], slice_from(config_rows[i].name), true) ||
                 (config_rows[i].alias && slice_glob(c->argv[pattern], slice_from(config_rows[i].alias), true))))
                return true;
    return false;
}

void agreed_config_get(struct call *c)
{
    struct session *s = call_session(c);
    if (c->is_in_transaction) {
        list_options(c);
        return;
    }
    bool is_ordered = asks_for_setting(c) && !replica_refusal(s->server->replica);
    s->outcome = dispatch_run(s, is_ordered ? &get_row : &get_here_row, c->argc, c->argv);
}
