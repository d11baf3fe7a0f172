/* The configuration: one struct of plain fields, described by one table.
 *
 * Every option is a row of the table in config.c: name, type, default, limits,
 * unit, effect.  Loading, CONFIG GET, SET and REWRITE and the check of
 * kvstore.conf read that row; nothing else knows an option's name.  The shape
 * is that of valkey's static_configs.
 *
 *   config.c        the table; CONFIG GET and SET
 *   config_value.c  from text to field and back, per type
 *   config_file.c   files, command lines, CONFIG REWRITE
 *   words.h         quoting
 *
 * I1  every field holds a value its row allows, from config_create on.
 * I2  the fields together satisfy config_conflict after config_load_arguments
 *     and after every config_set.
 * I3  what an immutable option points to stays where it is for the life of
 *     the struct; what a runtime option points to lives until it is set.
 *
 * Limits: CONFIG_LINE_BYTES_MAX per line, CONFIG_FILE_BYTES_MAX per file,
 * CONFIG_BINDS_MAX addresses, RABIA_MEMBERS_MAX members. */
#ifndef ADMIN_CONFIG_H
#define ADMIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/slice.h"
#include "base/status.h"
#include "replica/replica.h"
#include "store/settings.h"

enum {
    CONFIG_BINDS_MAX = 16,
    CONFIG_SAVE_RULES_MAX = 16,
    CONFIG_ERROR_MAX = 512,
    CONFIG_LINE_BYTES_MAX = 64 * 1024,
    CONFIG_FILE_BYTES_MAX = 16 * 1024 * 1024
};

enum debug_command_mode { DEBUG_COMMAND_NO, DEBUG_COMMAND_YES, DEBUG_COMMAND_LOCAL };

/* The values name what a key's access is recorded for; deciding by them which
 * keys to evict is not built, see config_conflict. */
enum memory_policy {
    MEMORY_VOLATILE_LRU,
    MEMORY_VOLATILE_LFU,
    MEMORY_VOLATILE_RANDOM,
    MEMORY_VOLATILE_TTL,
    MEMORY_ALLKEYS_LRU,
    MEMORY_ALLKEYS_LFU,
    MEMORY_ALLKEYS_RANDOM,
    MEMORY_NOEVICTION
};

enum output_class { OUTPUT_NORMAL, OUTPUT_REPLICA, OUTPUT_PUBSUB, OUTPUT_CLASSES };

/* A session whose unsent output reaches hard_bytes, or stays above soft_bytes
 * for soft_s seconds, is closed.  0: no limit. */
struct output_limit {
    uint64_t hard_bytes, soft_bytes;
    int soft_s;
};

typedef void config_apply_fn(void *context);

/* Texts are never NULL: "" stands for unset. */
struct config {
    /* network */
    char *bind[CONFIG_BINDS_MAX]; /* a leading '-': no error if the address is not there */
    int bind_count;
    int port; /* 0: no TCP port */
    char *unixsocket;
    int unixsocketperm; /* 0: as the umask leaves it */
    int tcp_backlog;
    int tcp_keepalive_s; /* 0: off */
    int timeout_s;       /* 0: idle sessions stay */
    int maxclients;
    uint64_t proto_max_bulk_bytes;
    uint64_t client_query_buffer_bytes;
    struct output_limit output_limits[OUTPUT_CLASSES];
    char *requirepass;

    /* process */
    bool is_daemon;
    char *pidfile, *logfile, *dir;
    int loglevel; /* enum log_level */
    int hz;       /* cron passes per second */
    int enable_debug_command; /* enum debug_command_mode */

    /* data */
    int databases;
    bool is_journaled;
    int journal_mode; /* enum journal_mode */
    uint64_t journal_segment_bytes, journal_snapshot_bytes;
    struct replica_save_rule save_rules[CONFIG_SAVE_RULES_MAX];
    int save_rule_count;
    int snapshot_compression; /* 0: none, 1: lz4 */
    char *restore;
    uint64_t maxmemory_bytes; /* 0: no limit */
    int maxmemory_policy;     /* enum memory_policy */

    /* What a new store or cluster begins with; by then a mirror of what is agreed (agreed.h). */
    int64_t settings[SETTING_COUNT];

    /* cluster; no members: a lone server */
    struct replica_member members[RABIA_MEMBERS_MAX]; /* in ascending order of id */
    int member_count;
    int cluster_self; /* id, 0 for a lone server */
    struct replica_member join[RABIA_MEMBERS_MAX]; /* whom to ask for the list of members; ids are 0 */
    int join_count;
    char *cluster_name;
    uint64_t cluster_timeout_ms;
    uint64_t forfeit_floor_us, forfeit_ceiling_us;
    uint64_t clock_tolerance_ms;
    uint64_t peer_backlog_bytes;
    int skip_ahead_max;

    /* Called after each successful config_set. */
    config_apply_fn *apply;
    void *apply_context;
    char *path; /* absolute; of the file loaded, NULL if there is none */

    /* private */
    uint64_t given; /* bit per row: set by a file or the command line */
};

/* Every option at its default. */
struct config *config_create(void);
void config_free(struct config *c);

/* --- at start ------------------------------------------------------------ *
 * On failure error holds one line, "file:line: 'text': reason" or "--option:
 * reason", and the struct is good only for config_free. */

/* path "-" reads standard input.  Does not look at how options go together. */
bool config_load_file(struct config *c, const char *path, char error[static CONFIG_ERROR_MAX]) MUST_CHECK;

/* "[path] [-] [--option value ...]", argv[0] being the program: the file
 * first, then "-" (standard input, first or last), then the options; later
 * wins.  The value right behind an option may begin with dashes.  Takes port
 * from the own member if members are given and port is not, and checks
 * config_conflict. */
bool config_load_arguments(struct config *c, int argc, char *const *argv,
                           char error[static CONFIG_ERROR_MAX]) MUST_CHECK;

/* --- at run time --------------------------------------------------------- */

/* Both live for the call. */
typedef void config_visit_fn(void *context, struct slice name, struct slice value);

/* Each option that matches one of the patterns (case ignored), once, in the
 * table's order, and once more by its alias if that matches; one named outright is shown as it was spelled.  Cost: options times patterns. */
void config_get(const struct config *c, const struct slice *patterns, int pattern_count, config_visit_fn *visit,
                void *context);

/* count names and values in turn; all are set, or none.  On failure error is
 * the text for the client, "ERR ..." in Redis's words.  Calls apply. */
bool config_set(struct config *c, const struct slice *pairs, int count,
                char error[static CONFIG_ERROR_MAX]) MUST_CHECK;

/* Writes what is in force back into the file at c->path: an option's line is
 * replaced where it stands, further lines of the same option go, comments and
 * order stay, options without a line that differ from their default are
 * appended.  A temporary file beside it is flushed and renamed over it; one
 * that is gone is written anew.  STATUS_NOT_FOUND without a path, STATUS_IO
 * with errno.  Cost: the file. */
enum status config_rewrite(const struct config *c) MUST_CHECK;

/* Why the options do not go together, or NULL: an unfinished cluster, floor
 * above ceiling, a memory limit with a policy that would have to evict. */
const char *config_conflict(const struct config *c);

/* --- the table, for its own files and the test of kvstore.conf ------------ */

enum config_type {
    CONFIG_BOOL,  /* bool; yes or no */
    CONFIG_INT,   /* int */
    CONFIG_OCTAL, /* int */
    CONFIG_COUNT, /* uint64_t */
    CONFIG_SIGNED, /* int64_t */
    CONFIG_BYTES, /* uint64_t; "64mb": b, k, kb, m, mb, g, gb; k is 1000, kb is 1024 */
    CONFIG_ENUM,  /* int, index into choices */
    CONFIG_TEXT,  /* char * */
    CONFIG_SPECIAL
};
enum config_flag {
    CONFIG_RUNTIME = 1 << 0, /* CONFIG SET may change it */
    CONFIG_MULTI = 1 << 1,   /* takes several words */
    CONFIG_AGREED = 1 << 2,  /* all replicas share it: config_set changes the mirror, and the caller the agreed value */
};

struct buf;
struct config_row {
    const char *name;
    enum config_type type;
    unsigned flags; /* enum config_flag */
    size_t offset;  /* of the field in struct config */
    const char *default_text;
    int64_t min, max;     /* what is accepted; CONFIG_TEXT: bytes */
    int64_t lowest, highest; /* CONFIG_INT: what is accepted beyond these counts as these; 0, 0: no such */
    const char *const *choices; /* CONFIG_ENUM: NULL-terminated */
    /* CONFIG_SPECIAL: on failure nothing has changed and error says why. */
    bool (*set)(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX]);
    void (*print)(const struct config *c, struct buf *out);
    const char *alias;  /* a former name; or NULL */
    const char *unit;   /* for people: "bytes", "seconds"; "" if there is none */
    const char *effect; /* one sentence */
};
enum { CONFIG_ROWS_MAX = 64 }; /* bits of given */
extern const struct config_row config_rows[];
extern const size_t config_row_count;

/* By name or alias. */
const struct config_row *config_find_row(struct slice name);
/* Set by a file or the command line. */
bool config_is_given(const struct config *c, const struct config_row *row);
/* text is one value, or several words parted by blanks for a CONFIG_MULTI row. */
bool config_set_row(struct config *c, const struct config_row *row, struct slice text,
                    char error[static CONFIG_ERROR_MAX]) MUST_CHECK;
/* Appends the value as CONFIG GET shows it; config_print_row_for_file with
 * units, as a file has it. */
void config_print_row(const struct config *c, const struct config_row *row, struct buf *out);
void config_print_row_for_file(const struct config *c, const struct config_row *row, struct buf *out);

/* Parts that the rows' own functions share. */
bool config_parse_bytes(struct slice text, uint64_t *bytes);
void config_print_bytes(uint64_t bytes, struct buf *out); /* in the largest unit that divides it */
char *config_copy_text(struct slice text);                /* terminated, for mem_free */

#endif
