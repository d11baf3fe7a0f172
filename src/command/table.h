/* The command table: rows, lookup, key positions, and what every run needs
 * checked before it (arity).
 *
 * Rows are constants beside their handlers; the table only indexes them.  It is
 * filled once at start, by this room and by the rooms above, and read-only
 * afterwards.
 *
 * Lookup is open addressing, at most half full, on the name itself: the first
 * and the last eight bytes of it, lower-cased, hash it, and together with its
 * length compare it (names up to 16 bytes are those words).
 *
 * Invariants:
 *   I1  every row is found under its name in any case
 *   I2  a container's subcommands have distinct names
 *   I3  command_at lists rows in the order they were added */
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
    int index;           /* begin by index, or where the search for keyword starts; negative: from the
                            end, searching backwards */
    const char *keyword;
    enum { KEY_FIND_RANGE, KEY_FIND_NUMKEYS, KEY_FIND_UNKNOWN } find;
    int last, step, limit;    /* range: last relative to the first key, negative from the end; limit 2
                                 takes the first half of what is left, and so on */
    int count_index, first_offset; /* numkeys, both relative to where the search began */
    const char *notes;   /* shown by COMMAND INFO; or NULL */
};

enum argument_type {
    ARGUMENT_STRING, ARGUMENT_INTEGER, ARGUMENT_DOUBLE, ARGUMENT_KEY, ARGUMENT_PATTERN,
    ARGUMENT_UNIX_TIME, ARGUMENT_PURE_TOKEN, ARGUMENT_ONEOF, ARGUMENT_BLOCK,
};
enum argument_flag {
    ARGUMENT_OPTIONAL = 1 << 0,
    ARGUMENT_MULTIPLE = 1 << 1,
    ARGUMENT_MULTIPLE_TOKEN = 1 << 2, /* the token is repeated too */
};
/* COMMAND DOCS's description of an argument. */
struct command_argument {
    const char *name;
    enum argument_type type;
    const char *token;  /* the literal word in front of it; or NULL */
    uint32_t flags;     /* enum argument_flag */
    const char *since;  /* or NULL */
    int key_spec_index; /* ARGUMENT_KEY; of other types, if it is not 0 */
    const struct command_argument *arguments; /* of a ONEOF or BLOCK */
    int argument_count;
};

/* What a version of Redis added to a command, in our own words. */
struct command_change {
    const char *version, *what;
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
    /* What this very call does to the keys of a KEY_VARIABLE_FLAGS spec; or NULL. */
    uint16_t (*key_flags)(int argc, const struct slice *argv);
    /* The position of a key that no spec can find (SORT's STORE), and what is
     * done to it; 0 if this call names none.  Or NULL. */
    int (*extra_key)(int argc, const struct slice *argv, uint16_t *flags);
    const char *group;   /* "string", "generic", "connection", "server", ... */
    const char *since;
    const char *complexity;
    const char *summary; /* our own words */
    const char *deprecated_since, *replaced_by; /* both or neither */
    bool is_system; /* COMMAND DOCS says that it is none for users */
    const char *const *tips; /* NULL-terminated, or NULL */
    const struct command *subcommands; /* for containers: rows named by subcommand alone */
    int subcommand_count;
    const struct command_argument *arguments; /* COMMAND DOCS; may be NULL */
    int argument_count;
    const struct command_change *history; /* oldest first; may be NULL */
    int history_count;
};

/* --- writing rows ---------------------------------------------------------- *
 *
 *     {.name = "rename", ..., COMMAND_KEYS(1, 2, 1),
 *      COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, 0, 1),
 *                    KEY_RANGE(2, KEY_OW | KEY_UPDATE, 0, 1)),
 *      COMMAND_TIPS("nondeterministic_output")},
 */
#define COMMAND_KEYS(first, last, step) .first_key = (first), .last_key = (last), .key_step = (step)
#define COMMAND_LISTED(type, list, count, ...)            \
    .list = (const type[]){__VA_ARGS__},                  \
    .count = (int)(sizeof((const type[]){__VA_ARGS__}) / sizeof(type))
#define COMMAND_SPECS(...)     COMMAND_LISTED(struct key_spec, key_specs, key_spec_count, __VA_ARGS__)
#define COMMAND_ARGUMENTS(...) COMMAND_LISTED(struct command_argument, arguments, argument_count, __VA_ARGS__)
#define COMMAND_HISTORY(...)   COMMAND_LISTED(struct command_change, history, history_count, __VA_ARGS__)
#define COMMAND_TIPS(...)      .tips = (const char *const[]){__VA_ARGS__, NULL}
#define COMMAND_SUBCOMMANDS(rows) \
    .subcommands = (rows), .subcommand_count = (int)(sizeof(rows) / sizeof *(rows))

/* ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL) */
#define ARGUMENT(name_, type_, ...) {.name = (name_), .type = ARGUMENT_##type_, __VA_ARGS__}
#define ARGUMENT_WORD(name_, token_) ARGUMENT(name_, PURE_TOKEN, .token = (token_))

/* Keys at argument at and, by range, on to last by step. */
#define KEY_RANGE(at, key_flags_, last_, step_) KEY_RANGE_NOTED(at, key_flags_, last_, step_, NULL)
#define KEY_RANGE_NOTED(at, key_flags_, last_, step_, notes_)                                        \
    {.flags = (key_flags_), .begin = KEY_BEGIN_INDEX, .index = (at), .find = KEY_FIND_RANGE,         \
     .last = (last_), .step = (step_), .notes = (notes_)}
/* Keys behind the word keyword, searched from argument at. */
#define KEY_KEYWORD_RANGE(word, at, key_flags_, last_, step_, limit_)                                \
    {.flags = (key_flags_), .begin = KEY_BEGIN_KEYWORD, .index = (at), .keyword = (word),            \
     .find = KEY_FIND_RANGE, .last = (last_), .step = (step_), .limit = (limit_)}
/* A number of keys at argument at, the keys behind it. */
#define KEY_COUNTED(at, key_flags_)                                                                  \
    {.flags = (key_flags_), .begin = KEY_BEGIN_INDEX, .index = (at), .find = KEY_FIND_NUMKEYS,       \
     .count_index = 0, .first_offset = 1, .step = 1}
#define KEY_UNKNOWN(key_flags_, notes_)                                                              \
    {.flags = (key_flags_), .begin = KEY_BEGIN_UNKNOWN, .find = KEY_FIND_UNKNOWN, .notes = (notes_)}

/* The usual rows: one key in front, and keys to the end. */
#define COMMAND_ONE_KEY(key_flags_)  COMMAND_KEYS(1, 1, 1), COMMAND_SPECS(KEY_RANGE(1, key_flags_, 0, 1))
#define COMMAND_MANY_KEYS(key_flags_, step_) \
    COMMAND_KEYS(1, -1, step_), COMMAND_SPECS(KEY_RANGE(1, key_flags_, -1, step_))
/* The same for a subcommand. */
#define SUBCOMMAND_ONE_KEY(key_flags_) COMMAND_KEYS(2, 2, 1), COMMAND_SPECS(KEY_RANGE(2, key_flags_, 0, 1))

/* --- the table ------------------------------------------------------------- */

struct command_table;
struct command_table *command_table_create(void);
void command_table_free(struct command_table *t);
/* rows live as long as the table.  Names must be new. */
void command_table_add(struct command_table *t, const struct command *rows, size_t count);
/* Gives a container more subcommands, from another room: DEBUG and MEMORY are
 * shared.  Pointers to the container's row, and to its subcommands' rows, got
 * before the call stay valid but lack them. */
void command_table_extend(struct command_table *t, const char *container, const struct command *rows,
                          size_t count);
/* The rows of this room: every data type file's table. */
void command_table_add_data_types(struct command_table *t);

/* NULL if unknown.  Case is ignored.  Hot: one hash of the name, one compare. */
const struct command *command_find(const struct command_table *t, struct slice name);
/* A subcommand's row, NULL if there is none. */
const struct command *command_find_subcommand(const struct command *container, struct slice name);
/* "object|encoding" as well as "get"; *container is NULL for the latter.  The
 * subcommands of COMMAND_PLAIN containers are not found so. */
const struct command *command_find_full(const struct command_table *t, struct slice name,
                                        const struct command **container);
/* Top-level rows in a fixed order, for COMMAND. */
size_t command_count(const struct command_table *t);
const struct command *command_at(const struct command_table *t, size_t index);

/* Row for a whole command line: follows subcommands.  On failure returns NULL
 * and leaves in text the oracle's error for it (unknown command with its
 * arguments quoted, unknown subcommand, wrong number of arguments), to be
 * passed to reply_error; on success text is untouched. */
enum { COMMAND_ERROR_MAX = 384 };
const struct command *command_resolve(const struct command_table *t, int argc, const struct slice *argv,
                                      char text[static COMMAND_ERROR_MAX]);
/* The same without texts and without looking at the arity; NULL if unknown. */
const struct command *command_follow(const struct command_table *t, int argc, const struct slice *argv);
bool command_arity_fits(const struct command *row, int argc);

/* --- keys ------------------------------------------------------------------ */

/* Positions of the keys among argv, at most capacity of them; returns how many
 * there are, or -1 if the arguments make no sense. */
int command_keys(const struct command *row, int argc, const struct slice *argv, int *positions, int capacity);
struct command_key {
    int position;
    uint16_t flags; /* enum key_spec_flag */
};
/* The same, with what is done to each. */
int command_keys_and_flags(const struct command *row, int argc, const struct slice *argv,
                           struct command_key *keys, int capacity);
/* True if some argument list may hold keys. */
bool command_has_keys(const struct command *row);

/* --- categories ------------------------------------------------------------ */

/* All ACL categories of a row: its own and those its flags imply. */
uint32_t command_categories(const struct command *row);
/* The bit of a name without '@', 0 if unknown.  Case is ignored. */
uint32_t command_category(struct slice name);
/* Names in the order of ACL CAT; NULL beyond the last. */
const char *command_category_name(size_t index, uint32_t *bit);

/* --- rows for the rooms above ---------------------------------------------- */

/* ROUTE_LOCAL rows served by this room itself: COMMAND and its subcommands. */
extern const struct command command_introspection_rows[];
extern const size_t command_introspection_count;
/* Subcommands of DEBUG that look at or change the data. */
extern const struct command command_debug_rows[];
extern const size_t command_debug_count;

#endif
