/* COMMAND: what the table says of itself.  DOCS is docs.c's. */
#include "base/alloc.h"
#include "base/check.h"
#include "command/names.h"

/* --- INFO ------------------------------------------------------------------ */

struct bit_name {
    uint32_t bit;
    const char *name;
};

static const struct bit_name flag_names[] = {
    {COMMAND_WRITE, "write"},
    {COMMAND_READONLY, "readonly"},
    {COMMAND_DENYOOM, "denyoom"},
    {COMMAND_ADMIN, "admin"},
    {COMMAND_PUBSUB, "pubsub"},
    {COMMAND_NOSCRIPT, "noscript"},
    {COMMAND_BLOCKING, "blocking"},
    {COMMAND_LOADING, "loading"},
    {COMMAND_STALE, "stale"},
    {COMMAND_SKIP_MONITOR, "skip_monitor"},
    {COMMAND_SKIP_SLOWLOG, "skip_slowlog"},
    {COMMAND_ASKING, "asking"},
    {COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},
    {COMMAND_MAY_REPLICATE, "may_replicate"},
    {COMMAND_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {COMMAND_NO_ASYNC_LOADING, "no_async_loading"},
    {COMMAND_NO_MULTI, "no_multi"},
    {COMMAND_MOVABLEKEYS, "movablekeys"},
    {COMMAND_ALLOW_BUSY, "allow_busy"},
};

static const struct bit_name key_flag_names[] = {
    {KEY_RO, "RO"},
    {KEY_RW, "RW"},
    {KEY_OW, "OW"},
    {KEY_RM, "RM"},
    {KEY_ACCESS, "access"},
    {KEY_UPDATE, "update"},
    {KEY_INSERT, "insert"},
    {KEY_DELETE, "delete"},
    {KEY_NOT_KEY, "not_key"},
    {KEY_INCOMPLETE, "incomplete"},
    {KEY_VARIABLE_FLAGS, "variable_flags"},
};

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static void reply_bits(struct reply *r, uint32_t bits, const struct bit_name *names, size_t name_count)
{
    size_t count = 0;
    for (size_t i = 0; i < name_count; i++)
        count += (bits & names[i].bit) != 0;
    reply_set(r, count);
    for (size_t i = 0; i < name_count; i++)
        if (bits & names[i].bit)
            reply_simple(r, names[i].name);
}

static void reply_key_flags(struct reply *r, uint32_t flags)
{
    reply_bits(r, flags, key_flag_names, COUNT_OF(key_flag_names));
}

static void reply_categories(struct reply *r, uint32_t categories)
{
    const char *name;
    uint32_t bit;
    char text[32];
    reply_set(r, (size_t)__builtin_popcount(categories));
    for (size_t i = 0; (name = command_category_name(i, &bit)); i++)
        if (categories & bit) {
            snprintf(text, sizeof text, "@%s", name);
            reply_simple(r, text);
        }
}

static void reply_tips(struct reply *r, const char *const *tips)
{
    size_t count = 0;
    while (tips && tips[count])
        count++;
    reply_set(r, count);
    for (size_t i = 0; i < count; i++)
        reply_bulk_text(r, tips[i]);
}

static void reply_field(struct reply *r, const char *name, int value)
{
    reply_bulk_text(r, name);
    reply_int(r, value);
}

/* The head of {"type": type, "spec": {...}}. */
static void reply_spec_type(struct reply *r, const char *type, size_t fields)
{
    reply_map(r, 2);
    reply_bulk_text(r, "type");
    reply_bulk_text(r, type);
    reply_bulk_text(r, "spec");
    reply_map(r, fields);
}

static void reply_begin_search(struct reply *r, const struct key_spec *spec)
{
    reply_bulk_text(r, "begin_search");
    if (spec->begin == KEY_BEGIN_INDEX) {
        reply_spec_type(r, "index", 1);
        reply_field(r, "index", spec->index);
    } else if (spec->begin == KEY_BEGIN_KEYWORD) {
        reply_spec_type(r, "keyword", 2);
        reply_bulk_text(r, "keyword");
        reply_bulk_text(r, spec->keyword);
        reply_field(r, "startfrom", spec->index);
    } else {
        reply_spec_type(r, "unknown", 0);
    }
}

static void reply_find_keys(struct reply *r, const struct key_spec *spec)
{
    reply_bulk_text(r, "find_keys");
    if (spec->find == KEY_FIND_RANGE) {
        reply_spec_type(r, "range", 3);
        reply_field(r, "lastkey", spec->last);
        reply_field(r, "keystep", spec->step);
        reply_field(r, "limit", spec->limit);
    } else if (spec->find == KEY_FIND_NUMKEYS) {
        reply_spec_type(r, "keynum", 3);
        reply_field(r, "keynumidx", spec->count_index);
        reply_field(r, "firstkey", spec->first_offset);
        reply_field(r, "keystep", spec->step);
    } else {
        reply_spec_type(r, "unknown", 0);
    }
}

static void reply_key_specs(struct reply *r, const struct command *row)
{
    reply_set(r, (size_t)row->key_spec_count);
    for (int i = 0; i < row->key_spec_count; i++) {
        const struct key_spec *spec = &row->key_specs[i];
        reply_map(r, spec->notes ? 4 : 3);
        if (spec->notes) {
            reply_bulk_text(r, "notes");
            reply_bulk_text(r, spec->notes);
        }
        reply_bulk_text(r, "flags");
        reply_key_flags(r, spec->flags);
        reply_begin_search(r, spec);
        reply_find_keys(r, spec);
    }
}

static void reply_row(struct reply *r, const struct command *container, const struct command *row);

static void reply_subcommands(struct reply *r, const struct command *row)
{
    int count = command_shown_subcommands(row);
    if (count)
        reply_array(r, (size_t)count);
    else
        reply_set(r, 0); /* sic: Redis has it so */
    for (int i = 0; i < count; i++)
        reply_row(r, row, &row->subcommands[i]);
}

static void reply_row(struct reply *r, const struct command *container, const struct command *row)
{
    char name[COMMAND_NAME_MAX];
    reply_array(r, 10);
    reply_bulk(r, command_full_name(container, row, name));
    reply_int(r, row->arity);
    reply_bits(r, row->flags, flag_names, COUNT_OF(flag_names));
    reply_int(r, row->first_key);
    reply_int(r, row->last_key);
    reply_int(r, row->key_step);
    reply_categories(r, command_categories(row));
    reply_tips(r, row->tips);
    reply_key_specs(r, row);
    reply_subcommands(r, row);
}

static void reply_all_rows(struct call *c)
{
    reply_array(c->reply, command_count(c->table));
    for (size_t i = 0; i < command_count(c->table); i++)
        reply_row(c->reply, NULL, command_at(c->table, i));
}

static void command_info(struct call *c)
{
    if (c->argc == 2) {
        reply_all_rows(c);
        return;
    }
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        const struct command *container, *row = command_find_full(c->table, c->argv[i], &container);
        if (row)
            reply_row(c->reply, container, row);
        else
            reply_null(c->reply);
    }
}

static void command_count_all(struct call *c)
{
    reply_int(c->reply, (int64_t)command_count(c->table));
}

/* --- LIST ------------------------------------------------------------------ */

struct filter {
    enum { FILTER_NONE, FILTER_MODULE, FILTER_CATEGORY, FILTER_PATTERN } kind;
    struct slice pattern;
    uint32_t category;
};

static bool parse_filter(struct call *c, struct filter *f)
{
    if (c->argc == 2)
        return true;
    bool is_filter = c->argc == 5 && call_option(c, 2, "filterby");
    if (is_filter && call_option(c, 3, "module")) {
        f->kind = FILTER_MODULE;
    } else if (is_filter && call_option(c, 3, "aclcat")) {
        f->kind = FILTER_CATEGORY;
        f->category = command_category(c->argv[4]);
    } else if (is_filter && call_option(c, 3, "pattern")) {
        f->kind = FILTER_PATTERN;
        f->pattern = c->argv[4];
    } else {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    return true;
}

static bool passes(const struct filter *f, const struct command *row, struct slice full_name)
{
    switch (f->kind) {
    case FILTER_NONE: return true;
    case FILTER_MODULE: return false; /* there are none */
    case FILTER_CATEGORY: return command_categories(row) & f->category;
    case FILTER_PATTERN: return slice_glob(f->pattern, full_name, true);
    }
    CHECK_UNREACHABLE();
}

static size_t list_one(struct reply *r, const struct filter *f, const struct command *container,
                       const struct command *row)
{
    char text[COMMAND_NAME_MAX];
    struct slice name = command_full_name(container, row, text);
    if (!passes(f, row, name))
        return 0;
    reply_bulk(r, name);
    return 1;
}

static void command_list(struct call *c)
{
    struct filter f = {.kind = FILTER_NONE};
    if (!parse_filter(c, &f))
        return;
    size_t count = 0;
    struct reply_deferred begin = reply_begin(c->reply);
    for (size_t i = 0; i < command_count(c->table); i++) {
        const struct command *row = command_at(c->table, i);
        count += list_one(c->reply, &f, NULL, row);
        for (int j = 0; j < command_shown_subcommands(row); j++)
            count += list_one(c->reply, &f, row, &row->subcommands[j]);
    }
    reply_end_array(c->reply, begin, count);
}

/* --- GETKEYS --------------------------------------------------------------- */

/* Why the command line has no keys to look for; NULL if it may have. */
static const char *reason_for_no_keys(const struct command *row, int argc)
{
    if (!row)
        return "ERR Invalid command specified";
    if (!command_has_keys(row))
        return "ERR The command has no key arguments";
    if (!command_arity_fits(row, argc))
        return "ERR Invalid number of arguments specified for command";
    return NULL;
}

/* Finds the keys of the command line from argument 2 on, room for c->argc of
 * them; -1 after an error was written. */
static int keys_of_rest(struct call *c, struct command_key *keys)
{
    int argc = c->argc - 2;
    const struct slice *argv = c->argv + 2;
    const struct command *row = command_follow(c->table, argc, argv);
    const char *error = reason_for_no_keys(row, argc);
    if (!error) {
        int count = command_keys_and_flags(row, argc, argv, keys, argc);
        if (count > 0)
            return count;
        if (row->flags & COMMAND_NO_MANDATORY_KEYS)
            return 0;
        error = "ERR Invalid arguments specified for command";
    }
    reply_error(c->reply, error);
    return -1;
}

static void command_getkeys(struct call *c)
{
    struct command_key *keys = mem_alloc((size_t)c->argc * sizeof *keys);
    int count = keys_of_rest(c, keys);
    if (count >= 0)
        reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++)
        reply_bulk(c->reply, c->argv[2 + keys[i].position]);
    mem_free(keys);
}

static void command_getkeysandflags(struct call *c)
{
    struct command_key *keys = mem_alloc((size_t)c->argc * sizeof *keys);
    int count = keys_of_rest(c, keys);
    if (count >= 0)
        reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++) {
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[2 + keys[i].position]);
        reply_key_flags(c->reply, keys[i].flags);
    }
    mem_free(keys);
}

/* --- HELP ------------------------------------------------------------------ */

static void command_help(struct call *c)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Describe every command.",
        "COUNT",
        "    How many commands there are.",
        "LIST [FILTERBY MODULE <name>|ACLCAT <category>|PATTERN <pattern>]",
        "    Names of commands, all or some.",
        "INFO [<command-name> ...]",
        "    Arity, flags, keys and categories of commands, all without names.",
        "DOCS [<command-name> ...]",
        "    What commands are for and which arguments they take.",
        "GETKEYS <full-command>",
        "    The keys among the arguments of a command.",
        "GETKEYSANDFLAGS <full-command>",
        "    The same, with what the command does to each.",
        NULL,
    };
    call_help(c, lines);
}

/* --- the table ------------------------------------------------------------- */

#define COMMAND_ROW(name_, handler_, arity_, since_, complexity_, summary_)                                  \
    .name = (name_), .handler = (handler_), .arity = (arity_), .route = ROUTE_LOCAL,                         \
    .flags = COMMAND_LOADING | COMMAND_STALE, .categories = CATEGORY_CONNECTION, .group = "server",          \
    .since = (since_), .complexity = (complexity_), .summary = (summary_)
#define UNORDERED_TIP COMMAND_TIPS("nondeterministic_output_order")
#define NAMES_ARGUMENT                                                                                       \
    COMMAND_ARGUMENTS(ARGUMENT("command-name", STRING, .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE))

static const struct command command_subcommands[] = {
    {COMMAND_ROW("count", command_count_all, 2, "2.8.13", "O(1)", "Counts the commands.")},
    {COMMAND_ROW("docs", command_docs, -2, "7.0.0", "O(commands named)",
                 "Tells what commands are for and which arguments they take."),
     UNORDERED_TIP, NAMES_ARGUMENT},
    {COMMAND_ROW("getkeys", command_getkeys, -4, "2.8.13", "O(arguments)",
                 "Finds the keys in a command line.")},
    {COMMAND_ROW("getkeysandflags", command_getkeysandflags, -4, "7.0.0", "O(arguments)",
                 "Finds the keys in a command line and what is done to each.")},
    {COMMAND_ROW("help", command_help, 2, "5.0.0", "O(1)", "Lists the subcommands.")},
    {COMMAND_ROW("info", command_info, -2, "2.8.13", "O(commands named)",
                 "Tells arity, flags, keys and categories of commands."),
     COMMAND_HISTORY({"7.0.0", "Without a name it tells about all commands."}),
     UNORDERED_TIP, NAMES_ARGUMENT},
    {COMMAND_ROW("list", command_list, -2, "7.0.0", "O(commands)", "Names commands, all or some."),
     UNORDERED_TIP,
     COMMAND_ARGUMENTS(ARGUMENT("filterby", ONEOF, .token = "FILTERBY", .flags = ARGUMENT_OPTIONAL,
                                COMMAND_ARGUMENTS(ARGUMENT("module-name", STRING, .token = "MODULE"),
                                                  ARGUMENT("category", STRING, .token = "ACLCAT"),
                                                  ARGUMENT("pattern", PATTERN, .token = "PATTERN"))))},
};

const struct command command_introspection_rows[] = {
    {COMMAND_ROW("command", reply_all_rows, -1, "2.8.13", "O(commands)", "Describes every command."),
     UNORDERED_TIP, COMMAND_SUBCOMMANDS(command_subcommands)},
};
const size_t command_introspection_count = COUNT_OF(command_introspection_rows);
