/* Streams: groups and consumers made and unmade, entries acknowledged. */
#include "base/alloc.h"
#include "command/families.h"
#include "command/xstream.h"

/* --- XGROUP --------------------------------------------------------------------------------- */

struct group_call {
    bool may_make_stream;
    int64_t entries_read;
    struct xstream *s;
    struct xstream_group *g;
};

static void reply_subcommand_error(struct call *c)
{
    reply_error_format(c->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XGROUP HELP.",
                       c->argv[1].len < 128 ? (int)c->argv[1].len : 128, c->argv[1].ptr);
}

/* Options of CREATE and SETID. */
static bool read_options(struct call *c, bool is_create, struct group_call *g)
{
    for (int i = 5; i < c->argc; i++) {
        if (is_create && call_option(c, i, "mkstream")) {
            g->may_make_stream = true;
        } else if (call_option(c, i, "entriesread") && i + 1 < c->argc) {
            if (!call_int64(c, ++i, &g->entries_read))
                return false;
            if (g->entries_read < 0 && g->entries_read != XSTREAM_READ_UNKNOWN) {
                reply_error(c->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_subcommand_error(c);
            return false;
        }
    }
    return true;
}

/* The stream of argument 2, the group of argument 3. */
static bool find_group(struct call *c, bool must_exist, struct group_call *g)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 2, VALUE_STREAM, &e))
        return false;
    struct value v = e ? entry_value(e) : (struct value){0};
    g->s = xstream_of(&v);
    g->g = e ? xstream_group_find(g->s, c->argv[3]) : NULL;
    if (!e && !g->may_make_stream) {
        reply_error(c->reply, "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to "
                              "use the MKSTREAM option to create an empty stream automatically.");
        return false;
    }
    if (g->g || !must_exist)
        return true;
    reply_error_format(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)c->argv[3].len,
                       c->argv[3].ptr, (int)c->argv[2].len, c->argv[2].ptr);
    return false;
}

static void changed(struct call *c, const char *event)
{
    xstream_count_changes(c, 1);
    call_notify(c, EVENT_STREAM, event, c->argv[2]);
}

static void xgroup_create(struct call *c)
{
    struct group_call g = {.entries_read = XSTREAM_READ_UNKNOWN};
    struct xstream_id id;
    enum { ARGUMENTS_MAX = 8 };
    if (!read_options(c, true, &g) || !find_group(c, false, &g))
        return;
    if (c->argc > ARGUMENTS_MAX) {
        reply_subcommand_error(c);
        return;
    }
    if (xstream_is_word(c, 4, "$"))
        id = g.s ? g.s->last_id : XSTREAM_ID_ZERO;
    else if (!xstream_read_strict_id(c, 4, &id))
        return;
    if (!g.s) {
        struct value v = xstream_create();
        g.s = xstream_of(&v);
        call_set_value(c, c->argv[2], VALUE_STREAM, v);
    }
    if (!xstream_group_create(g.s, c->argv[3], id, g.entries_read)) {
        reply_error(c->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    reply_ok(c->reply);
    changed(c, "xgroup-create");
}

static void xgroup_setid(struct call *c)
{
    struct group_call g = {.entries_read = XSTREAM_READ_UNKNOWN};
    struct xstream_id id;
    if (!read_options(c, false, &g) || !find_group(c, true, &g))
        return;
    if (c->argc != 5 && c->argc != 7) {
        reply_subcommand_error(c);
        return;
    }
    if (xstream_is_word(c, 4, "$"))
        id = g.s->last_id;
    else if (!xstream_read_id(c, 4, &(struct xstream_id_form){0}, &id))
        return;
    g.g->last_id = id;
    g.g->entries_read = g.entries_read;
    reply_ok(c->reply);
    changed(c, "xgroup-setid");
}

static void xgroup_destroy(struct call *c)
{
    struct group_call g = {0};
    if (!find_group(c, false, &g))
        return;
    if (g.g) {
        xstream_group_remove(g.s, g.g);
        changed(c, "xgroup-destroy");
        keyspace_wake(c->ks, c->db, c->argv[2]); /* those who wait for the group must learn of it */
    }
    reply_int(c->reply, g.g != NULL);
}

static void xgroup_createconsumer(struct call *c)
{
    struct group_call g = {0};
    if (!find_group(c, true, &g))
        return;
    const struct xstream_consumer *created = xstream_consumer_create(g.g, c->argv[4], c->now_ms);
    if (created)
        changed(c, "xgroup-createconsumer");
    reply_int(c->reply, created != NULL);
}

static void xgroup_delconsumer(struct call *c)
{
    struct group_call g = {0};
    if (!find_group(c, true, &g))
        return;
    struct xstream_consumer *consumer = xstream_consumer_find(g.g, c->argv[4]);
    size_t pending = consumer ? tree_size(&consumer->pending) : 0;
    if (consumer) {
        xstream_consumer_remove(g.s, g.g, consumer);
        changed(c, "xgroup-delconsumer");
    }
    reply_int(c->reply, (int64_t)pending);
}

static void xgroup_help(struct call *c)
{
    static const char *const lines[] = {
        "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <n>]",
        "    Make a group that reads on from an id.",
        "CREATECONSUMER <key> <group> <consumer>",
        "    Make a consumer of a group.",
        "DELCONSUMER <key> <group> <consumer>",
        "    Remove a consumer and forget what is pending of it.",
        "DESTROY <key> <group>",
        "    Remove a group.",
        "SETID <key> <group> <id|$> [ENTRIESREAD <n>]",
        "    Let a group read on from another id.",
        NULL};
    call_help(c, lines);
}

/* --- XACK ------------------------------------------------------------------------------------ */

static void xack_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type(c, 1, VALUE_STREAM, &e))
        return;
    struct value v = e ? entry_value(e) : (struct value){0};
    struct xstream_group *g = e ? xstream_group_find(xstream_of(&v), c->argv[2]) : NULL;
    if (!g) {
        reply_int(c->reply, 0);
        return;
    }
    int count = c->argc - 3;
    struct xstream_id *ids = xstream_read_ids(c, 3, count);
    if (!ids)
        return;
    int64_t acknowledged = 0;
    for (int i = 0; i < count; i++) {
        struct xstream_pending *p = xstream_pending_find(g, ids[i]);
        if (!p)
            continue;
        xstream_pending_remove(xstream_of(&v), g, p);
        acknowledged++;
    }
    mem_free(ids);
    xstream_count_changes(c, (uint64_t)acknowledged);
    reply_int(c->reply, acknowledged);
}

/* --- the table -------------------------------------------------------------------------------- */
#define GROUP_ARGUMENTS ARGUMENT("key", KEY), ARGUMENT("groupname", STRING)
#define GROUP_ID_ARGUMENT                                                                                    \
    ARGUMENT("id", ONEOF, COMMAND_ARGUMENTS(ARGUMENT("id", STRING), ARGUMENT_WORD("new_id", "$")))
#define ENTRIES_READ_ARGUMENT                                                                                \
    ARGUMENT("entries_read", INTEGER, .token = "ENTRIESREAD", .flags = ARGUMENT_OPTIONAL)

static const struct command xgroup_subcommands[] = {
    {XSTREAM_SUBROW(create, xgroup_create, -5, WRITE, COMMAND_WRITE | COMMAND_DENYOOM),
     COMMAND_HISTORY({"7.0.0", "ENTRIESREAD."}), .since = "5.0.0",
     .complexity = "O(log n)", .summary = "Makes a group of consumers.", SUBCOMMAND_ONE_KEY(KEY_RW | KEY_INSERT),
     COMMAND_ARGUMENTS(GROUP_ARGUMENTS, GROUP_ID_ARGUMENT,
                       ARGUMENT("mkstream", PURE_TOKEN, .token = "MKSTREAM", .flags = ARGUMENT_OPTIONAL),
                       ENTRIES_READ_ARGUMENT)},
    {XSTREAM_SUBROW(setid, xgroup_setid, -5, WRITE, COMMAND_WRITE),
     COMMAND_HISTORY({"7.0.0", "ENTRIESREAD."}), .since = "5.0.0", .complexity = "O(log n)",
     .summary = "Sets the id a group reads on from.", SUBCOMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(GROUP_ARGUMENTS, GROUP_ID_ARGUMENT, ENTRIES_READ_ARGUMENT)},
    {XSTREAM_SUBROW(destroy, xgroup_destroy, 4, WRITE, COMMAND_WRITE), .since = "5.0.0",
     .complexity = "O(n) in what is pending", .summary = "Removes a group.",
     SUBCOMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_ARGUMENTS(GROUP_ARGUMENTS)},
    {XSTREAM_SUBROW(createconsumer, xgroup_createconsumer, 5, WRITE,
                   COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_READS_TIME),
     .since = "6.2.0", .complexity = "O(log n)", .summary = "Makes a consumer of a group.",
     SUBCOMMAND_ONE_KEY(KEY_RW | KEY_INSERT), COMMAND_ARGUMENTS(GROUP_ARGUMENTS, ARGUMENT("consumername", STRING))},
    {XSTREAM_SUBROW(delconsumer, xgroup_delconsumer, 5, WRITE, COMMAND_WRITE), .since = "5.0.0",
     .complexity = "O(n log n) in what is pending of it", .summary = "Removes a consumer of a group.",
     SUBCOMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_ARGUMENTS(GROUP_ARGUMENTS, ARGUMENT("consumername", STRING))},
    {XSTREAM_SUBROW(help, xgroup_help, 2, LOCAL, COMMAND_LOADING | COMMAND_STALE), .since = "5.0.0",
     .complexity = "O(1)", .summary = "Lists the subcommands."},
};

const struct command command_xstream_consume_rows[] = {
    {.name = "xgroup", .arity = -2, .route = ROUTE_WRITE, .group = "stream", .since = "5.0.0",
     .complexity = "Depends on subcommand.", .summary = "Manages groups of consumers.",
     COMMAND_SUBCOMMANDS(xgroup_subcommands)},
    {XSTREAM_ROW(xack, -4, WRITE, COMMAND_WRITE | COMMAND_FAST), .since = "5.0.0",
     .complexity = "O(log n) for each entry", .summary = "Acknowledges entries delivered to a group.",
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("group", STRING), XSTREAM_ID_ARGUMENTS)},
};
COMMAND_FAMILY_COUNT(xstream_consume);
