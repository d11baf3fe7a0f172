/* COMMAND DOCS: summaries and arguments. */
#include "command/names.h"

static const char *const type_names[] = {
    [ARGUMENT_STRING] = "string",         [ARGUMENT_INTEGER] = "integer",
    [ARGUMENT_DOUBLE] = "double",         [ARGUMENT_KEY] = "key",
    [ARGUMENT_PATTERN] = "pattern",       [ARGUMENT_UNIX_TIME] = "unix-time",
    [ARGUMENT_PURE_TOKEN] = "pure-token", [ARGUMENT_ONEOF] = "oneof",
    [ARGUMENT_BLOCK] = "block",
};

/* Writes a pair and counts it; a NULL text is left out. */
static size_t reply_text(struct reply *r, const char *name, const char *text)
{
    if (!text)
        return 0;
    reply_bulk_text(r, name);
    reply_bulk_text(r, text);
    return 1;
}

static size_t reply_argument_flags(struct reply *r, uint32_t flags)
{
    static const char *const names[] = {"optional", "multiple", "multiple_token"};
    if (!flags)
        return 0;
    reply_bulk_text(r, "flags");
    reply_set(r, (size_t)__builtin_popcount(flags));
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (flags >> i & 1)
            reply_simple(r, names[i]);
    return 1;
}

static size_t reply_arguments(struct reply *r, const struct command_argument *arguments, int count);

static void reply_argument(struct reply *r, const struct command_argument *a)
{
    size_t pairs = 0;
    struct reply_deferred begin = reply_begin(r);
    pairs += reply_text(r, "name", a->name);
    pairs += reply_text(r, "type", type_names[a->type]);
    if (a->type == ARGUMENT_KEY || a->key_spec_index > 0) {
        reply_bulk_text(r, "key_spec_index");
        reply_int(r, a->key_spec_index);
        pairs++;
    }
    pairs += reply_text(r, "token", a->token);
    pairs += reply_text(r, "since", a->since);
    pairs += reply_argument_flags(r, a->flags);
    pairs += reply_arguments(r, a->arguments, a->argument_count);
    reply_end_map(r, begin, pairs);
}

static size_t reply_arguments(struct reply *r, const struct command_argument *arguments, int count)
{
    if (count == 0)
        return 0;
    reply_bulk_text(r, "arguments");
    reply_array(r, (size_t)count);
    for (int i = 0; i < count; i++)
        reply_argument(r, &arguments[i]);
    return 1;
}

static size_t reply_system(struct reply *r, const struct command *row)
{
    if (!row->is_system)
        return 0;
    reply_bulk_text(r, "doc_flags");
    reply_set(r, 1);
    reply_simple(r, "syscmd");
    return 1;
}

static size_t reply_deprecation(struct reply *r, const struct command *row)
{
    if (!row->deprecated_since)
        return 0;
    reply_bulk_text(r, "doc_flags");
    reply_set(r, 1);
    reply_simple(r, "deprecated");
    return 1 + reply_text(r, "deprecated_since", row->deprecated_since) +
           reply_text(r, "replaced_by", row->replaced_by);
}

static size_t reply_history(struct reply *r, const struct command *row)
{
    if (row->history_count == 0)
        return 0;
    reply_bulk_text(r, "history");
    reply_set(r, (size_t)row->history_count);
    for (int i = 0; i < row->history_count; i++) {
        reply_array(r, 2);
        reply_bulk_text(r, row->history[i].version);
        reply_bulk_text(r, row->history[i].what);
    }
    return 1;
}

static void reply_docs(struct reply *r, const struct command *container, const struct command *row);

static size_t reply_subcommand_docs(struct reply *r, const struct command *row)
{
    int count = command_shown_subcommands(row);
    if (count == 0)
        return 0;
    reply_bulk_text(r, "subcommands");
    reply_map(r, (size_t)count);
    for (int i = 0; i < count; i++)
        reply_docs(r, row, &row->subcommands[i]);
    return 1;
}

/* A pair: the full name and what is said of it. */
static void reply_docs(struct reply *r, const struct command *container, const struct command *row)
{
    char name[COMMAND_NAME_MAX];
    size_t pairs = 0;
    reply_bulk(r, command_full_name(container, row, name));
    struct reply_deferred begin = reply_begin(r);
    pairs += reply_text(r, "summary", row->summary);
    pairs += reply_text(r, "since", row->since);
    pairs += reply_text(r, "group", row->group);
    pairs += reply_text(r, "complexity", row->complexity);
    pairs += reply_system(r, row);
    pairs += reply_deprecation(r, row);
    pairs += reply_history(r, row);
    pairs += reply_arguments(r, row->arguments, row->argument_count);
    pairs += reply_subcommand_docs(r, row);
    reply_end_map(r, begin, pairs);
}

static void reply_all_docs(struct call *c)
{
    reply_map(c->reply, command_count(c->table));
    for (size_t i = 0; i < command_count(c->table); i++)
        reply_docs(c->reply, NULL, command_at(c->table, i));
}

void command_docs(struct call *c)
{
    if (c->argc == 2) {
        reply_all_docs(c);
        return;
    }
    size_t count = 0;
    struct reply_deferred begin = reply_begin(c->reply);
    for (int i = 2; i < c->argc; i++) {
        const struct command *container, *row = command_find_full(c->table, c->argv[i], &container);
        if (row) {
            reply_docs(c->reply, container, row);
            count++;
        }
    }
    reply_end_map(c->reply, begin, count);
}
