/* Streams: XINFO. */
#include "command/families.h"
#include "command/xstream.h"

static void reply_subcommand_error(struct call *c)
{
    reply_error_format(c->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XINFO HELP.",
                       c->argv[1].len < 128 ? (int)c->argv[1].len : 128, c->argv[1].ptr);
}

/* The stream of argument 2; NULL, with an error written, if there is none. */
static struct xstream *find_stream(struct call *c)
{
    struct entry *e;
    if (!call_find_type(c, 2, VALUE_STREAM, &e))
        return NULL;
    if (!e) {
        reply_error(c->reply, ERROR_NO_SUCH_KEY);
        return NULL;
    }
    struct value v = entry_value(e);
    return xstream_of(&v);
}

static void reply_named_int(struct call *c, const char *name, int64_t value)
{
    reply_bulk_text(c->reply, name);
    reply_int(c->reply, value);
}

static void reply_named_id(struct call *c, const char *name, struct xstream_id id)
{
    reply_bulk_text(c->reply, name);
    xstream_reply_id(c->reply, id);
}

static void reply_name(struct call *c, struct slice name)
{
    reply_bulk_text(c->reply, "name");
    reply_bulk(c->reply, name);
}

/* How far the group has read, and how far that is from the end. */
static void reply_progress(struct call *c, const struct xstream *s, const struct xstream_group *g)
{
    int64_t lag;
    reply_bulk_text(c->reply, "entries-read");
    if (g->entries_read == XSTREAM_READ_UNKNOWN)
        reply_null(c->reply);
    else
        reply_int(c->reply, g->entries_read);
    reply_bulk_text(c->reply, "lag");
    if (xstream_group_lag(s, g, &lag))
        reply_int(c->reply, lag);
    else
        reply_null(c->reply);
}

/* --- STREAM --------------------------------------------------------------------------------- */

/* With its consumer's name, unless that is clear. */
static void reply_pending(struct call *c, const struct tree *pending, uint64_t count, bool names_consumer)
{
    size_t replied = 0;
    reply_bulk_text(c->reply, "pending");
    struct reply_deferred begin = reply_begin(c->reply);
    struct tree_place i = tree_first(pending);
    for (; !tree_is_end(i) && (count == 0 || replied < count); i = tree_next(i), replied++) {
        const struct xstream_pending *p = xstream_pending_at(i);
        reply_array(c->reply, names_consumer ? 4 : 3);
        xstream_reply_id(c->reply, p->id);
        if (names_consumer)
            reply_bulk(c->reply, p->consumer->name);
        reply_int(c->reply, p->delivered_ms);
        reply_int(c->reply, (int64_t)p->deliveries);
    }
    reply_end_array(c->reply, begin, replied);
}

static void reply_full_consumer(struct call *c, const struct xstream_consumer *consumer, uint64_t count)
{
    reply_map(c->reply, 4);
    reply_name(c, consumer->name);
    reply_named_int(c, "seen-time", consumer->seen_ms);
    reply_named_int(c, "pel-count", (int64_t)tree_size(&consumer->pending));
    reply_pending(c, &consumer->pending, count, false);
}

static void reply_full_group(struct call *c, const struct xstream *s, const struct xstream_group *g, uint64_t count)
{
    reply_map(c->reply, 7);
    reply_name(c, g->name);
    reply_named_id(c, "last-delivered-id", g->last_id);
    reply_progress(c, s, g);
    reply_named_int(c, "pel-count", (int64_t)tree_size(&g->pending));
    reply_pending(c, &g->pending, count, true);
    reply_bulk_text(c->reply, "consumers");
    reply_array(c->reply, tree_size(&g->consumers));
    for (struct tree_place i = tree_first(&g->consumers); !tree_is_end(i); i = tree_next(i))
        reply_full_consumer(c, xstream_consumer_at(i), count);
}

static void reply_full(struct call *c, const struct xstream *s, uint64_t count)
{
    reply_bulk_text(c->reply, "entries");
    xstream_reply_range(c->reply, s, XSTREAM_ID_ZERO, XSTREAM_ID_MAX, count, false);
    reply_bulk_text(c->reply, "groups");
    reply_array(c->reply, tree_size(&s->groups));
    for (struct tree_place i = tree_first(&s->groups); !tree_is_end(i); i = tree_next(i))
        reply_full_group(c, s, xstream_group_at(i), count);
}

static void reply_end_entry(struct call *c, const char *name, const struct xstream *s, bool is_last)
{
    struct xstream_iterator i;
    reply_bulk_text(c->reply, name);
    xstream_iterate(&i, s, XSTREAM_ID_ZERO, XSTREAM_ID_MAX, is_last);
    if (xstream_next(&i))
        xstream_reply_entry(c->reply, &i);
    else
        reply_null(c->reply);
}

static void reply_stream(struct call *c, const struct xstream *s)
{
    reply_named_int(c, "length", (int64_t)s->length);
    reply_named_int(c, "radix-tree-keys", (int64_t)tree_size(&s->nodes));
    reply_named_int(c, "radix-tree-nodes", (int64_t)s->radix_nodes);
    reply_named_id(c, "last-generated-id", s->last_id);
    reply_named_id(c, "max-deleted-entry-id", s->max_deleted_id);
    reply_named_int(c, "entries-added", (int64_t)s->entries_added);
    reply_named_id(c, "recorded-first-entry-id", s->first_id);
}

/* FULL, or FULL COUNT n. */
static bool read_full(struct call *c, int64_t *count)
{
    enum { USUAL_COUNT = 10, FULL = 4, FULL_COUNT = 6 };
    *count = USUAL_COUNT;
    if ((c->argc != FULL && c->argc != FULL_COUNT) || !call_option(c, 3, "full") ||
        (c->argc == FULL_COUNT && !call_option(c, 4, "count"))) {
        reply_subcommand_error(c);
        return false;
    }
    if (c->argc == FULL_COUNT && !call_int64(c, 5, count))
        return false;
    if (*count < 0)
        *count = USUAL_COUNT;
    return true;
}

static void xinfo_stream(struct call *c)
{
    int64_t count;
    const struct xstream *s = find_stream(c);
    bool is_full = c->argc > 3;
    if (!s || (is_full && !read_full(c, &count)))
        return;
    reply_map(c->reply, is_full ? 9 : 10);
    reply_stream(c, s);
    if (is_full) {
        reply_full(c, s, (uint64_t)count);
        return;
    }
    reply_named_int(c, "groups", (int64_t)tree_size(&s->groups));
    reply_end_entry(c, "first-entry", s, false);
    reply_end_entry(c, "last-entry", s, true);
}

/* --- GROUPS, CONSUMERS ------------------------------------------------------------------------ */

static void xinfo_groups(struct call *c)
{
    const struct xstream *s = find_stream(c);
    if (!s)
        return;
    reply_array(c->reply, tree_size(&s->groups));
    for (struct tree_place i = tree_first(&s->groups); !tree_is_end(i); i = tree_next(i)) {
        const struct xstream_group *g = xstream_group_at(i);
        reply_map(c->reply, 6);
        reply_name(c, g->name);
        reply_named_int(c, "consumers", (int64_t)tree_size(&g->consumers));
        reply_named_int(c, "pending", (int64_t)tree_size(&g->pending));
        reply_named_id(c, "last-delivered-id", g->last_id);
        reply_progress(c, s, g);
    }
}

static void xinfo_consumers(struct call *c)
{
    const struct xstream *s = find_stream(c);
    if (!s)
        return;
    const struct xstream_group *g = xstream_group_find(s, c->argv[3]);
    if (!g) {
        reply_error_format(c->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'", (int)c->argv[3].len,
                           c->argv[3].ptr, (int)c->argv[2].len, c->argv[2].ptr);
        return;
    }
    reply_array(c->reply, tree_size(&g->consumers));
    for (struct tree_place i = tree_first(&g->consumers); !tree_is_end(i); i = tree_next(i)) {
        const struct xstream_consumer *consumer = xstream_consumer_at(i);
        reply_map(c->reply, 3);
        reply_name(c, consumer->name);
        reply_named_int(c, "pending", (int64_t)tree_size(&consumer->pending));
        reply_named_int(c, "idle", consumer->seen_ms < c->now_ms ? c->now_ms - consumer->seen_ms : 0);
    }
}

static void xinfo_help(struct call *c)
{
    static const char *const lines[] = {
        "CONSUMERS <key> <group>",
        "    Tell of the consumers of a group.",
        "GROUPS <key>",
        "    Tell of the groups of a stream.",
        "STREAM <key> [FULL [COUNT <n>]]",
        "    Tell of a stream; FULL: with entries, groups and consumers.",
        NULL};
    call_help(c, lines);
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct command xinfo_subcommands[] = {
    {XSTREAM_SUBROW(stream, xinfo_stream, -3, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"6.0.0", "FULL."},
                     {"7.0.0", "How many entries were ever added, what was deleted, and how far groups are behind."}), .since = "5.0.0",
     .complexity = "O(log n), and what FULL shows", .summary = "Tells of a stream.",
     SUBCOMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT,
                       ARGUMENT("full", BLOCK, .token = "FULL", .flags = ARGUMENT_OPTIONAL,
                                COMMAND_ARGUMENTS(XSTREAM_COUNT_ARGUMENT)))},
    {XSTREAM_SUBROW(groups, xinfo_groups, 3, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"7.0.0", "How many entries a group has read, and how far it is behind."}), .since = "5.0.0",
     .complexity = "O(groups)", .summary = "Tells of the groups of a stream.",
     SUBCOMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT)},
    {XSTREAM_SUBROW(consumers, xinfo_consumers, 4, READ, COMMAND_READONLY | COMMAND_READS_TIME), .since = "5.0.0",
     .complexity = "O(consumers)", .summary = "Tells of the consumers of a group.",
     SUBCOMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("groupname", STRING))},
    {XSTREAM_SUBROW(help, xinfo_help, 2, LOCAL, COMMAND_LOADING | COMMAND_STALE), .since = "5.0.0",
     .complexity = "O(1)", .summary = "Lists the subcommands."},
};

const struct command command_xstream_info_rows[] = {
    {.name = "xinfo", .arity = -2, .route = ROUTE_READ, .group = "stream", .since = "5.0.0",
     .complexity = "Depends on subcommand.", .summary = "Tells of streams, their groups and consumers.",
     COMMAND_SUBCOMMANDS(xinfo_subcommands)},
};
COMMAND_FAMILY_COUNT(xstream_info);
