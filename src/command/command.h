/* Commands: the table that describes them and the call that runs one.
 *
 * A handler sees its arguments, the keyspace, a reply sink, and the time and
 * random seed of the decided batch; never a socket, file, clock or global.  It
 * runs on every replica (writes) or on the client's replica (reads), at a
 * place in the agreed order.
 *
 * Rows live beside the handlers, one table per type file; dispatch, ACL,
 * COMMAND and the documentation read them.  A special case is a flag in the
 * row, never a comparison with a handler's address. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "resp/reply.h"
#include "store/keyspace.h"

struct call;
typedef void command_fn(struct call *c);

/* Where a command runs. */
enum command_route {
    ROUTE_LOCAL, /* on this replica, outside the order, by the server room: connection, admin */
    ROUTE_READ,  /* rides in this replica's next batch; its text is not sent */
    ROUTE_WRITE, /* its text is sent in a batch; every replica runs it */
};

enum command_flag {
    /* Shown by COMMAND INFO, Redis's names in lower case. */
    COMMAND_WRITE = 1 << 0,
    COMMAND_READONLY = 1 << 1,
    COMMAND_DENYOOM = 1 << 2,
    COMMAND_ADMIN = 1 << 3,
    COMMAND_PUBSUB = 1 << 4,
    COMMAND_NOSCRIPT = 1 << 5,
    COMMAND_BLOCKING = 1 << 6,
    COMMAND_LOADING = 1 << 7,
    COMMAND_STALE = 1 << 8,
    COMMAND_SKIP_MONITOR = 1 << 9,
    COMMAND_SKIP_SLOWLOG = 1 << 10,
    COMMAND_ASKING = 1 << 11,
    COMMAND_FAST = 1 << 12,
    COMMAND_NO_AUTH = 1 << 13,
    COMMAND_MAY_REPLICATE = 1 << 14,
    COMMAND_NO_ASYNC_LOADING = 1 << 15,
    COMMAND_NO_MULTI = 1 << 16,
    COMMAND_ALLOW_BUSY = 1 << 17,
    COMMAND_MOVABLEKEYS = 1 << 18,
    COMMAND_NO_MANDATORY_KEYS = 1 << 19, /* may have no keys even where it can have some */
    /* Ours, not shown. */
    COMMAND_READS_TIME = 1 << 24, /* the answer depends on time: its batch carries the clock */
    COMMAND_DEBUG_ONLY = 1 << 25, /* refused unless enable-debug-command allows it */
    COMMAND_PLAIN = 1 << 26, /* a container that Redis knows as one command: COMMAND shows no subcommands, and
                                whatever is wrong with one is the same error (DEBUG) */
    COMMAND_PEER = 1 << 28, /* how a peer introduces itself: taken beyond maxclients */
    COMMAND_ROSTER = 1 << 27, /* changes who belongs to the cluster: run by the replica at its place in the order */
    COMMAND_INTERNAL = 1 << 29, /* proposed by a server, never sent by a client (internal.h) */
    COMMAND_SILENT = 1 << 30,   /* of those, one that nobody is answered */
    COMMAND_DECIDES = 1 << 20, /* MULTI and its kin: the session acts on it, whatever the order has to do with it */
    COMMAND_UNQUEUED = 1 << 22,    /* runs at once inside MULTI, too */
    COMMAND_RUNS_QUEUED = 1 << 23, /* asks for what was queued asks for (EXEC) */
    COMMAND_CHOOSES_DB = 1 << 21,  /* argument 1 becomes the database of what follows (SELECT) */
};

/* ACL categories a row adds to those its flags imply (write, read, admin,
 * dangerous, fast/slow, pubsub, blocking). */
enum command_category {
    CATEGORY_KEYSPACE = 1 << 0,
    CATEGORY_STRING = 1 << 1,
    CATEGORY_LIST = 1 << 2,
    CATEGORY_SET = 1 << 3,
    CATEGORY_HASH = 1 << 4,
    CATEGORY_SORTEDSET = 1 << 5,
    CATEGORY_STREAM = 1 << 6,
    CATEGORY_BITMAP = 1 << 7,
    CATEGORY_HYPERLOGLOG = 1 << 8,
    CATEGORY_GEO = 1 << 9,
    CATEGORY_CONNECTION = 1 << 10,
    CATEGORY_TRANSACTION = 1 << 11,
    CATEGORY_SCRIPTING = 1 << 12,
    CATEGORY_DANGEROUS = 1 << 13,
    CATEGORY_ADMIN = 1 << 14,
    CATEGORY_PUBSUB = 1 << 15,
    CATEGORY_BLOCKING = 1 << 16,
    /* Only ever implied; command_categories fills them in. */
    CATEGORY_READ = 1 << 17,
    CATEGORY_WRITE = 1 << 18,
    CATEGORY_FAST = 1 << 19,
    CATEGORY_SLOW = 1 << 20,
};

struct command; /* a row; fields in table.h */
struct command_table;

/* What a command that found nothing waits for. */
struct call_wait {
    bool is_wanted;        /* the handler wrote no reply */
    enum value_type type;  /* that can serve it */
    int first_key, last_key, key_step; /* arguments that name the keys */
    int64_t timeout_ms;    /* from now; 0: none */
    bool is_null_array;    /* what it answers when the time is up: a null array, or a null */
    /* Tried again, the command reads so (XREAD's $ has become an id): to be
     * freed with mem_free, arguments and array being one block.  NULL: as it
     * was sent. */
    struct slice *argv;
    int argc; /* of argv */
};

/* One run of one command. */
struct call {
    struct keyspace *ks;
    struct reply *reply;
    const struct command *command; /* the row: for a subcommand, the subcommand's */
    int argc;
    const struct slice *argv; /* argv[0] is the name; for a subcommand argv[1] is its name.  Borrowed for
                                 the call; may point into a batch or an input buffer */
    int db;           /* the session's database when the command was sent */
    int64_t now_ms;   /* logical time of the batch (keyspace_now) */
    uint64_t seed;    /* of the slot and the command's place in it: for random choices that replicate */
    uint64_t position; /* of the slot, as RABIA DIGEST counts */
    const struct command_table *table; /* all rows (COMMAND and its kin) */
    bool is_in_transaction; /* one of a MULTI: must not wait */
    struct call_wait *wait; /* where a handler that may wait says so; NULL: nobody would, its reply goes nowhere */
    void *host;       /* ROUTE_LOCAL and internal rows: the session they serve; NULL: nobody waits for the reply */
    /* Told of each command of a transaction before and after its run; with host alone. */
    void (*on_nested)(void *host, const struct command *row, bool is_over);
};

/* Error texts several files need. */
#define ERROR_SYNTAX "ERR syntax error"
#define ERROR_WRONG_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define ERROR_NOT_INTEGER "ERR value is not an integer or out of range"
#define ERROR_NOT_FLOAT "ERR value is not a valid float"
#define ERROR_NO_SUCH_KEY "ERR no such key"
#define ERROR_DB_RANGE "ERR DB index is out of range"
#define ERROR_STRING_TOO_LONG "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

/* The longest string a command may build.  A constant, not the configured
 * proto-max-bulk-len: replicas must agree on it whatever their settings. */
#define COMMAND_STRING_MAX (INT64_C(512) * 1024 * 1024)

/* --- arguments: on failure these write Redis's error and return false ------ */

bool call_int64(struct call *c, int index, int64_t *value);
bool call_int64_or(struct call *c, int index, int64_t *value, const char *error);
/* The range check writes error too; NULL means Redis's text for a C int. */
bool call_int_or(struct call *c, int index, int *value, const char *error);
bool call_long_double(struct call *c, int index, long double *value);
/* How many members a random choice is to name: negative if it may name one
 * twice.  Not the smallest number there is. */
bool call_random_count(struct call *c, int index, int64_t *count);
/* A number that is no integer answers error (NULL: the usual text), one that
 * names no database ERROR_DB_RANGE. */
bool call_db_index(struct call *c, int index, int *db, const char *error);
/* True if the argument is text, in any case. */
static inline bool call_option(const struct call *c, int index, const char *text)
{
    return slice_is(c->argv[index], text);
}
/* For handlers that find their arity odd only while parsing. */
void call_arity_error(struct call *c);
void call_expire_time_error(struct call *c);

/* Unix milliseconds of an expiry given in seconds or milliseconds, as an
 * offset from logical time or absolute.  Refuses what overflows and, unless
 * may_be_past, what is not positive. */
struct call_time {
    bool is_seconds;
    bool is_absolute;
    bool may_be_past;
};
bool call_expire_at(struct call *c, int index, struct call_time form, int64_t *expire_at);

/* --- keys ------------------------------------------------------------------ *
 * Entries live until the next change of the keyspace. */

/* For reading: counts a hit or a miss and emits the event "keymiss". */
struct entry *call_find(struct call *c, int index);
/* The same for a client whose accesses go unnoticed, too (TOUCH). */
struct entry *call_touch(struct call *c, int index);
/* The same without noting an access: EXISTS, TTL and their kin. */
struct entry *call_look(struct call *c, int index);
/* Finds a string value, for reading or writing; *e is NULL if the key is
 * absent.  False, with WRONGTYPE written, if it holds another type. */
bool call_find_string(struct call *c, int index, struct entry **e);
bool call_find_string_for_write(struct call *c, int index, struct entry **e);
/* The same for any type. */
bool call_find_type(struct call *c, int index, enum value_type type, struct entry **e);
bool call_find_type_for_write(struct call *c, int index, enum value_type type, struct entry **e);
/* The value for reading, which lives until the next change; *is_there is false,
 * and *v untouched, if the key is absent. */
bool call_find_value(struct call *c, int index, enum value_type type, struct value *v, bool *is_there);
/* A collection has lost its last member: its key goes, with the event "del". */
void call_delete_empty(struct call *c, struct slice key);
/* keyspace_set_value without expiry, with the event "new" if the key was not
 * there. */
struct entry *call_set_value(struct call *c, struct slice key, enum value_type type, struct value v);
/* keyspace_set, with the event "new" if the key was not there. */
void call_set_string(struct call *c, struct slice key, struct slice value, int64_t expire_at);

/* --- blocking ------------------------------------------------------------------ *
 *
 * A command that found nothing to answer and may wait calls call_block and, if
 * that is true, returns without a reply.  Whoever runs it tries the whole
 * command again, at a later place in the order, when one of its keys has been
 * given a value of the type; so it must not have changed anything.  If it is
 * false (in a transaction, or on a replica where nobody waits) the command
 * answers as if its time were up. */
bool call_block(struct call *c, const struct call_wait *wait);
/* A timeout in seconds with a fraction, as BLPOP takes it; 0: none.  Writes
 * Redis's error. */
bool call_timeout(struct call *c, int index, int64_t *timeout_ms);

/* --- events ---------------------------------------------------------------- */

/* Emits a keyspace event for the call's database, counts one change and touches
 * the key (keyspace_touch). */
void call_changed(struct call *c, enum keyspace_event_class event_class, const char *name, struct slice key);
/* The event alone. */
void call_notify(struct call *c, enum keyspace_event_class event_class, const char *name, struct slice key);

/* --- replies ---------------------------------------------------------------- */

/* HELP of a container: the usage line, lines, and the line on HELP itself.
 * lines ends with NULL; a description is indented by four blanks. */
void call_help(struct call *c, const char *const *lines);

#endif
