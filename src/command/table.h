/* The command table: rows, lookup, key positions, and what every run needs
 * checked before it (arity). */
#ifndef COMMAND_TABLE_H
#define COMMAND_TABLE_H

#include "command/command.h"

/* One key specification of COMMAND INFO / GETKEYS. */
enum key_spec_flag {
    KEY_RO = 1 << 0, KEY_RW = 1 << 1, KEY_OW = 1 << 2, KEY_RM = 1 << 3,
    KEY_ACCESS = 1 << 4, KEY_UPDATE = 1 << 5, KEY_INSERT = 1 << 6, KEY_DELETE = 1 << 7,
    KEY_NOT_KEY = 1 << 8, KEY_INCOMPLETE = 1 << 9, KEY_VARIABLE_FLAGS = 1 << 10,
};
struct key_spec {
    uint16_t flags;
    enum { KEY_BEGIN_NONE, KEY_BEGIN_INDEX, KEY_BEGIN_KEYWORD, KEY_BEGIN_UNKNOWN } begin;
    int index;           /* begin by index, or where the search for keyword starts */
    const char *keyword;
    enum { KEY_FIND_RANGE, KEY_FIND_NUMKEYS, KEY_FIND_UNKNOWN } find;
    int last, step, limit;    /* range: last relative to the first key, negative from the end */
    int count_index, first_offset; /* numkeys */
};

struct command {
    const char *name; /* lower case */
    command_fn *handler;
    int arity;        /* Redis's: negative means at least */
    enum command_route route;
    uint32_t flags;      /* enum command_flag */
    uint32_t categories; /* enum command_category */
    int first_key, last_key, key_step; /* 0: no keys */
    const struct key_spec *key_specs;
    int key_spec_count;
    const char *group;   /* "string", "generic", "connection", "server", ... */
    const char *since;
    const char *complexity;
    const char *summary; /* our own words */
    const char *const *tips; /* NULL-terminated, or NULL */
    const struct command *subcommands; /* for containers: rows named by subcommand alone */
    int subcommand_count;
    const struct command_argument *arguments; /* COMMAND DOCS; may be NULL */
    int argument_count;
};

struct command_table;
struct command_table *command_table_create(void);
void command_table_free(struct command_table *t);
/* rows live as long as the table.  Names must be new. */
void command_table_add(struct command_table *t, const struct command *rows, size_t count);
/* The rows of this room: every data type file's table. */
void command_table_add_data_types(struct command_table *t);

/* NULL if unknown.  Case is ignored.  Hot: one hash of the name, one compare. */
const struct command *command_find(const struct command_table *t, struct slice name);
/* Top-level rows in a fixed order, for COMMAND. */
size_t command_count(const struct command_table *t);
const struct command *command_at(const struct command_table *t, size_t index);

/* Row for a whole command line: follows subcommands.  On failure writes
 * nothing and sets *error to the text of the oracle for it (unknown command
 * with its arguments quoted, unknown subcommand, wrong number of arguments);
 * the text lives in text. */
enum { COMMAND_ERROR_MAX = 256 };
const struct command *command_resolve(const struct command_table *t, int argc, const struct slice *argv,
                                      char text[static COMMAND_ERROR_MAX]);

/* Positions of the keys among argv, at most capacity of them; returns how many
 * there are, or -1 if the arguments make no sense. */
int command_keys(const struct command *row, int argc, const struct slice *argv, int *positions, int capacity);

/* ROUTE_LOCAL rows served by this room itself: COMMAND and its subcommands. */
extern const struct command command_introspection_rows[];
extern const size_t command_introspection_count;

#endif
