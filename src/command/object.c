/* What a value looks like inside: OBJECT, MEMORY USAGE. */
#include "command/families.h"
#include "command/type_names.h"

/* --- OBJECT ---------------------------------------------------------------- */

/* The entry of a subcommand's key; answers null and returns NULL if absent. */
static struct entry *subject(struct call *c)
{
    struct entry *e = keyspace_look(c->ks, c->db, c->argv[2]);
    if (!e)
        reply_null(c->reply);
    return e;
}

static void object_encoding(struct call *c)
{
    struct entry *e = subject(c);
    if (e)
        reply_bulk_text(c->reply, value_encoding_name(entry_encoding(e)));
}

/* Redis shares small integers between keys and shows that so. */
enum { SHARED_INTEGERS = 10000 };

static void object_refcount(struct call *c)
{
    struct entry *e = subject(c);
    int64_t value;
    if (!e)
        return;
    bool is_shared = entry_int(e, &value) && value >= 0 && value < SHARED_INTEGERS;
    reply_int(c->reply, is_shared ? INT32_MAX : 1);
}

#define POLICY_ADVICE                                                                                        \
    " Please note that when switching between policies at runtime LRU and LFU data will take some time to "  \
    "adjust."

static void object_idletime(struct call *c)
{
    struct entry *e = subject(c);
    if (!e)
        return;
    if (keyspace_is_lfu(c->ks))
        reply_error(c->reply,
                    "ERR An LFU maxmemory policy is selected, idle time not tracked." POLICY_ADVICE);
    else
        reply_int(c->reply, entry_idle_seconds(c->ks, e));
}

static void object_freq(struct call *c)
{
    struct entry *e = subject(c);
    if (!e)
        return;
    if (keyspace_is_lfu(c->ks))
        reply_int(c->reply, entry_frequency(c->ks, e));
    else
        reply_error(
            c->reply,
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked." POLICY_ADVICE);
}

static void object_help(struct call *c)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    How the value of <key> is held in memory.",
        "FREQ <key>",
        "    How often <key> was used lately, on a logarithmic scale.",
        "IDLETIME <key>",
        "    Seconds since <key> was last used.",
        "REFCOUNT <key>",
        "    How many places share the value of <key>.",
        NULL,
    };
    call_help(c, lines);
}

/* --- MEMORY ---------------------------------------------------------------- */

enum { SAMPLES_DEFAULT = 5 };

/* 0: all. */
static bool parse_samples(struct call *c, int64_t *samples)
{
    for (int i = 3; i < c->argc; i += 2) {
        if (!call_option(c, i, "samples") || i + 1 == c->argc) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!call_int64(c, i + 1, samples))
            return false;
        if (*samples < 0) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

static void memory_usage(struct call *c)
{
    int64_t samples = SAMPLES_DEFAULT;
    if (!parse_samples(c, &samples))
        return;
    struct entry *e = subject(c);
    if (e)
        reply_int(c->reply, (int64_t)entry_memory(e, (size_t)samples));
}

/* --- the table ------------------------------------------------------------- */

#define OBJECT_ROW(name_, since_, summary_)                                                                  \
    {                                                                                                        \
        .name = #name_, .handler = object_##name_, .arity = 3, .route = ROUTE_READ,                          \
        .flags = COMMAND_READONLY, .categories = CATEGORY_KEYSPACE, .group = "generic", .since = (since_),   \
        .complexity = "O(1)", .summary = (summary_), SUBCOMMAND_ONE_KEY(KEY_RO),                             \
        COMMAND_TIPS("nondeterministic_output"), COMMAND_ARGUMENTS(ARGUMENT("key", KEY))                     \
    }

static const struct command object_subcommands[] = {
    OBJECT_ROW(encoding, "2.2.3", "Tells how a value is held in memory."),
    OBJECT_ROW(freq, "4.0.0", "Tells how often a key was used lately, on a logarithmic scale."),
    OBJECT_ROW(idletime, "2.2.3", "Tells how long a key has not been used."),
    OBJECT_ROW(refcount, "2.2.3", "Tells how many places share a value."),
    {.name = "help",
     .handler = object_help,
     .arity = 2,
     .route = ROUTE_LOCAL,
     .flags = COMMAND_LOADING | COMMAND_STALE,
     .categories = CATEGORY_KEYSPACE,
     .group = "generic",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands."},
};

static const struct command memory_subcommands[] = {
    {.name = "usage",
     .handler = memory_usage,
     .arity = -3,
     .route = ROUTE_READ,
     .flags = COMMAND_READONLY,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Estimates the bytes a key and its value occupy.",
     SUBCOMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY),
                       ARGUMENT("count", INTEGER, .token = "SAMPLES", .flags = ARGUMENT_OPTIONAL))},
};

const struct command command_object_rows[] = {
    {.name = "object",
     .arity = -2,
     .route = ROUTE_READ,
     .group = "generic",
     .since = "2.2.3",
     .complexity = "Depends on subcommand.",
     .summary = "Looks at how values are held.",
     COMMAND_SUBCOMMANDS(object_subcommands)},
    {.name = "memory",
     .arity = -2,
     .route = ROUTE_READ,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on subcommand.",
     .summary = "Tells how memory is used.",
     COMMAND_SUBCOMMANDS(memory_subcommands)},
};
COMMAND_FAMILY_COUNT(object);
