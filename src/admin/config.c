#include "admin/config.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/words.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"

char *config_copy_text(struct slice text)
{
    char *copy = mem_alloc(text.len + 1);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return copy;
}

static bool refuse(char *error, const char *reason)
{
    snprintf(error, CONFIG_ERROR_MAX, "%s", reason);
    return false;
}

/* --- bind ---------------------------------------------------------------- */

static void free_binds(struct config *c)
{
    for (int i = 0; i < c->bind_count; i++)
        mem_free(c->bind[i]);
    c->bind_count = 0;
}

static bool set_bind(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    struct words w;
    if (words_split(&w, text) != STATUS_OK)
        return refuse(error, "unbalanced quotes");
    bool is_accepted = w.count <= CONFIG_BINDS_MAX;
    if (is_accepted) {
        free_binds(c);
        for (size_t i = 0; i < w.count; i++)
            if (w.words[i].len)
                c->bind[c->bind_count++] = config_copy_text(w.words[i]);
    } else {
        refuse(error, "Too many bind addresses specified.");
    }
    words_deinit(&w);
    return is_accepted;
}

static void print_bind(const struct config *c, struct buf *out)
{
    for (int i = 0; i < c->bind_count; i++)
        buf_printf(out, "%s%s", i ? " " : "", c->bind[i]);
}

/* --- client-output-buffer-limit ------------------------------------------ */

static const char *const output_class_names[OUTPUT_CLASSES] = {"normal", "slave", "pubsub"};

static int find_output_class(struct slice name)
{
    for (int i = 0; i < OUTPUT_CLASSES; i++)
        if (slice_is(name, output_class_names[i]))
            return i;
    return slice_is(name, "replica") ? OUTPUT_REPLICA : -1;
}

/* words: class, hard, soft, soft seconds. */
static bool read_output_limit(const struct slice words[static 4], struct output_limit limits[static OUTPUT_CLASSES],
                              char *error)
{
    int class = find_output_class(words[0]);
    if (class < 0)
        return refuse(error, "Invalid client class specified in buffer limit configuration.");
    struct output_limit limit;
    int64_t seconds;
    if (!config_parse_bytes(words[1], &limit.hard_bytes) || !config_parse_bytes(words[2], &limit.soft_bytes) ||
        !slice_to_int64(words[3], &seconds) || seconds < 0 || seconds > INT_MAX)
        return refuse(error, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    limit.soft_s = (int)seconds;
    limits[class] = limit;
    return true;
}

static bool set_output_limits(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    struct words w;
    if (words_split(&w, text) != STATUS_OK)
        return refuse(error, "unbalanced quotes");
    struct output_limit limits[OUTPUT_CLASSES];
    memcpy(limits, c->output_limits, sizeof limits);
    bool is_accepted = w.count > 0 && w.count % 4 == 0;
    if (!is_accepted)
        refuse(error, "Wrong number of arguments in buffer limit configuration.");
    for (size_t i = 0; is_accepted && i < w.count; i += 4)
        is_accepted = read_output_limit(w.words + i, limits, error);
    if (is_accepted)
        memcpy(c->output_limits, limits, sizeof limits);
    words_deinit(&w);
    return is_accepted;
}

static void print_output_limits(const struct config *c, struct buf *out)
{
    for (int i = 0; i < OUTPUT_CLASSES; i++) {
        const struct output_limit *limit = &c->output_limits[i];
        buf_printf(out, "%s%s %" PRIu64 " %" PRIu64 " %d", i ? " " : "", output_class_names[i], limit->hard_bytes,
                   limit->soft_bytes, limit->soft_s);
    }
}

/* --- cluster-members ----------------------------------------------------- */

static void free_members(struct replica_member *members, int count)
{
    for (int i = 0; i < count; i++)
        mem_free((char *)(uintptr_t)members[i].host);
}

/* "7@host:6379"; an IPv6 host may stand in brackets. */
static bool read_member(struct slice word, struct replica_member *member)
{
    const char *at = memchr(word.ptr, '@', word.len);
    const char *colon = memrchr(word.ptr, ':', word.len);
    if (!at || !colon || colon < at)
        return false;
    struct slice host = slice_make(at + 1, (size_t)(colon - at - 1));
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_make(host.ptr + 1, host.len - 2);
    uint64_t id, port;
    enum { HOST_BYTES_MAX = 255 };
    if (!slice_to_uint64(slice_make(word.ptr, (size_t)(at - word.ptr)), &id) || id == 0 || id > UINT16_MAX ||
        !slice_to_uint64(slice_make(colon + 1, (size_t)(word.ptr + word.len - colon - 1)), &port) || port == 0 ||
        port > UINT16_MAX || host.len == 0 || host.len > HOST_BYTES_MAX)
        return false;
    *member = (struct replica_member){(uint16_t)id, config_copy_text(host), (int)port};
    return true;
}

static int compare_members(const void *a, const void *b)
{
    return ((const struct replica_member *)a)->id - ((const struct replica_member *)b)->id;
}

static bool is_same_address(const struct replica_member *a, const struct replica_member *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* members in ascending order of id. */
static bool are_distinct(const struct replica_member *members, int count, char *error)
{
    for (int i = 1; i < count; i++) {
        if (members[i].id == members[i - 1].id)
            return refuse(error, "two members have the same id");
        for (int j = 0; j < i; j++)
            if (is_same_address(&members[i], &members[j]))
                return refuse(error, "two members have the same address");
    }
    return true;
}

/* All words into members; those read before a failure are freed. */
static bool read_members(const struct words *w, struct replica_member *members, char *error)
{
    int count = 0;
    bool is_accepted = w->count <= RABIA_MEMBERS_MAX || refuse(error, "a cluster has at most 9 members");
    for (size_t i = 0; is_accepted && i < w->count; i++) {
        if (read_member(w->words[i], &members[count])) {
            count++;
        } else {
            snprintf(error, CONFIG_ERROR_MAX, "'%.*s' is not id@host:port with an id and a port from 1 to 65535",
                     (int)(w->words[i].len < 200 ? w->words[i].len : 200), w->words[i].ptr);
            is_accepted = false;
        }
    }
    if (is_accepted && count) {
        qsort(members, (size_t)count, sizeof *members, compare_members);
        is_accepted = are_distinct(members, count, error);
    }
    if (!is_accepted)
        free_members(members, count);
    return is_accepted;
}

static bool set_members(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    struct words w;
    if (words_split(&w, text) != STATUS_OK)
        return refuse(error, "unbalanced quotes");
    struct replica_member members[RABIA_MEMBERS_MAX];
    bool is_accepted = read_members(&w, members, error);
    if (is_accepted) {
        free_members(c->members, c->member_count);
        c->member_count = (int)w.count;
        memcpy(c->members, members, w.count * sizeof *members);
    }
    words_deinit(&w);
    return is_accepted;
}

static void print_members(const struct config *c, struct buf *out)
{
    for (int i = 0; i < c->member_count; i++) {
        const struct replica_member *m = &c->members[i];
        char address[ROSTER_ADDRESS_MAX];
        roster_print_address(m->host, m->port, address);
        buf_printf(out, "%s%u@%s", i ? " " : "", (unsigned)m->id, address);
    }
}

/* --- cluster-join -------------------------------------------------------- */

static bool set_join(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    struct words w;
    if (words_split(&w, text) != STATUS_OK)
        return refuse(error, "unbalanced quotes");
    struct replica_member join[RABIA_MEMBERS_MAX] = {0};
    bool is_accepted = w.count <= RABIA_MEMBERS_MAX || refuse(error, "at most 9 addresses");
    for (size_t i = 0; is_accepted && i < w.count; i++) {
        char host[ROSTER_HOST_MAX];
        is_accepted = roster_read_address(w.words[i], host, &join[i].port) ||
                      refuse(error, "an address is host:port with a port from 1 to 65535");
        join[i].host = is_accepted ? mem_strdup(host) : NULL;
    }
    if (is_accepted) {
        free_members(c->join, c->join_count);
        c->join_count = (int)w.count;
        memcpy(c->join, join, sizeof join);
    } else {
        free_members(join, RABIA_MEMBERS_MAX);
    }
    words_deinit(&w);
    return is_accepted;
}

static void print_join(const struct config *c, struct buf *out)
{
    for (int i = 0; i < c->join_count; i++) {
        char address[ROSTER_ADDRESS_MAX];
        roster_print_address(c->join[i].host, c->join[i].port, address);
        buf_printf(out, "%s%s", i ? " " : "", address);
    }
}

/* --- save ---------------------------------------------------------------- */

static bool read_save_rules(const struct words *w, struct config *c, char *error)
{
    static const char wrong[] = "Invalid save parameters";
    struct replica_save_rule rules[CONFIG_SAVE_RULES_MAX];
    if (w->count == 1 && w->words[0].len == 0) {
        c->save_rule_count = 0;
        return true;
    }
    if (w->count % 2 || w->count / 2 > CONFIG_SAVE_RULES_MAX)
        return refuse(error, wrong);
    for (size_t i = 0; i < w->count / 2; i++) {
        int64_t seconds, changes;
        if (!slice_to_int64(w->words[2 * i], &seconds) || !slice_to_int64(w->words[2 * i + 1], &changes) ||
            seconds < 1 || changes < 0)
            return refuse(error, wrong);
        rules[i] = (struct replica_save_rule){seconds, (uint64_t)changes};
    }
    c->save_rule_count = (int)(w->count / 2);
    memcpy(c->save_rules, rules, w->count / 2 * sizeof *rules);
    return true;
}

static bool set_save(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    struct words w;
    if (words_split(&w, text) != STATUS_OK)
        return refuse(error, "unbalanced quotes");
    bool is_accepted = read_save_rules(&w, c, error);
    words_deinit(&w);
    return is_accepted;
}

static void print_save(const struct config *c, struct buf *out)
{
    for (int i = 0; i < c->save_rule_count; i++)
        buf_printf(out, "%s%" PRId64 " %" PRIu64, i ? " " : "", c->save_rules[i].seconds, c->save_rules[i].changes);
}

/* --- the table ----------------------------------------------------------- */

static const char *const log_levels[] = {"debug", "verbose", "notice", "warning", NULL};
static const char *const debug_modes[] = {"no", "yes", "local", NULL};
static const char *const memory_policies[] = {"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
                                              "allkeys-lru",  "allkeys-lfu",  "allkeys-random",  "noeviction",
                                              NULL};

static const char *const journal_modes[] = {"always", "everysec", "no", NULL}; /* as enum journal_mode */
static const char *const compressions[] = {"no", "lz4", NULL};

static bool set_key_metadata(struct config *c, struct slice text, char error[static CONFIG_ERROR_MAX])
{
    if (!slice_is(text, "yes") && !slice_is(text, "no"))
        return refuse(error, "argument must be 'yes' or 'no'");
    if (slice_is(text, "yes"))
        return refuse(error, "key metadata is not in this version");
    c->settings[SETTING_KEY_METADATA] = 0;
    return true;
}

static void print_key_metadata(const struct config *c, struct buf *out)
{
    buf_printf(out, "%s", c->settings[SETTING_KEY_METADATA] ? "yes" : "no");
}

#define AGREED (CONFIG_RUNTIME | CONFIG_AGREED)
#define AT(field) .offset = offsetof(struct config, field)
#define LIMITS(low, high) .min = (low), .max = (high)
#define MIB (INT64_C(1) << 20)
#define TEXT_MAX 4096

const struct config_row config_rows[] = {
    {"bind", CONFIG_SPECIAL, CONFIG_MULTI, .default_text = "127.0.0.1 -::1", .set = set_bind, .print = print_bind,
     .unit = "up to 16 addresses",
     .effect = "The addresses to listen on; one with a leading '-' may be absent from the machine, and '*' means "
               "all."},
    {"port", CONFIG_INT, 0, AT(port), "6379", LIMITS(0, 65535), .unit = "0 to 65535",
     .effect = "The TCP port for clients and peers alike; 0 opens none; a cluster's member takes it from "
               "cluster-members unless it is given."},
    {"unixsocket", CONFIG_TEXT, 0, AT(unixsocket), "", LIMITS(0, 107), .unit = "path",
     .effect = "A Unix socket to listen on as well; empty opens none."},
    {"unixsocketperm", CONFIG_OCTAL, 0, AT(unixsocketperm), "0", LIMITS(0, 0777), .unit = "octal mode",
     .effect = "Permissions of the Unix socket; 0 leaves them to the umask."},
    {"tcp-backlog", CONFIG_INT, 0, AT(tcp_backlog), "511", LIMITS(0, INT_MAX), .unit = "connections",
     .effect = "How many connections the kernel queues before they are accepted."},
    {"tcp-keepalive", CONFIG_INT, CONFIG_RUNTIME, AT(tcp_keepalive_s), "300", LIMITS(0, INT_MAX), .unit = "seconds",
     .effect = "Silence after which the kernel probes whether a new connection's client still lives; 0 never "
               "asks."},
    {"timeout", CONFIG_INT, CONFIG_RUNTIME, AT(timeout_s), "0", LIMITS(0, INT_MAX), .unit = "seconds",
     .effect = "Idle clients are disconnected after this; 0 lets them stay."},
    {"maxclients", CONFIG_INT, CONFIG_RUNTIME, AT(maxclients), "10000", LIMITS(1, UINT32_MAX),
     .lowest = 1, .highest = INT_MAX, .unit = "clients",
     .effect = "Connections beyond this number are refused with an error."},
    {"requirepass", CONFIG_TEXT, CONFIG_RUNTIME, AT(requirepass), "", LIMITS(0, TEXT_MAX), .unit = "",
     .effect = "The password clients must give to AUTH or HELLO, and members of a cluster to each other; empty asks "
               "for none."},
    {"proto-max-bulk-len", CONFIG_BYTES, CONFIG_RUNTIME, AT(proto_max_bulk_bytes), "512mb",
     LIMITS(MIB, INT64_MAX), .unit = "bytes", .effect = "The longest single argument a client may send."},
    {"client-query-buffer-limit", CONFIG_BYTES, CONFIG_RUNTIME, AT(client_query_buffer_bytes), "1gb",
     LIMITS(MIB, INT64_MAX), .unit = "bytes",
     .effect = "A client whose unread input grows beyond this is disconnected."},
    {"client-output-buffer-limit", CONFIG_SPECIAL, CONFIG_RUNTIME | CONFIG_MULTI,
     .default_text = "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60", .set = set_output_limits,
     .print = print_output_limits, .unit = "class hard-bytes soft-bytes soft-seconds, several",
     .effect = "A client whose unsent replies reach the hard limit, or stay above the soft limit for the given "
               "seconds, is disconnected; 0 is no limit; classes slave and pubsub are kept for tools and concern "
               "nobody yet."},
    {"daemonize", CONFIG_BOOL, 0, AT(is_daemon), "no", .unit = "yes or no",
     .effect = "Whether the server leaves the terminal and runs in the background."},
    {"pidfile", CONFIG_TEXT, 0, AT(pidfile), "", LIMITS(0, TEXT_MAX), .unit = "path",
     .effect = "A file that holds the process id while the server runs; empty writes none."},
    {"loglevel", CONFIG_ENUM, CONFIG_RUNTIME, AT(loglevel), "notice", .choices = log_levels,
     .unit = "debug, verbose, notice or warning", .effect = "The least important lines that are logged."},
    {"logfile", CONFIG_TEXT, 0, AT(logfile), "", LIMITS(0, TEXT_MAX), .unit = "path",
     .effect = "The file log lines are appended to; empty means standard output."},
    {"dir", CONFIG_TEXT, 0, AT(dir), ".", LIMITS(1, TEXT_MAX), .unit = "path",
     .effect = "The working directory, which relative paths of the other options start from."},
    {"hz", CONFIG_INT, CONFIG_RUNTIME, AT(hz), "10", LIMITS(0, INT_MAX), .lowest = 1, .highest = 500,
     .unit = "times a second, from 1 to 500",
     .effect = "How often background work runs: timeouts, output limits, sampled rates."},
    {"enable-debug-command", CONFIG_ENUM, 0, AT(enable_debug_command), "no", .choices = debug_modes,
     .unit = "no, yes or local",
     .effect = "Who may use DEBUG: nobody, everybody, or clients on the same machine alone."},
    {"databases", CONFIG_INT, 0, AT(databases), "16", LIMITS(1, 10000), .unit = "databases",
     .effect = "How many numbered databases there are; the same on all members of a cluster."},
    {"maxmemory", CONFIG_BYTES, CONFIG_RUNTIME, AT(maxmemory_bytes), "0", LIMITS(0, INT64_MAX), .unit = "bytes",
     .effect = "Writes that may add data are refused while more memory than this is used; 0 is no limit."},
    {"maxmemory-policy", CONFIG_ENUM, CONFIG_RUNTIME, AT(maxmemory_policy), "noeviction",
     .choices = memory_policies, .unit = "noeviction, volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu or "
             "allkeys-random",
     .effect = "What is remembered of a key's use: with an lfu policy how often (OBJECT FREQ), otherwise when last "
               "(OBJECT IDLETIME); together with maxmemory only noeviction is accepted, as this version evicts "
               "nothing."},
    {"appendonly", CONFIG_BOOL, 0, AT(is_journaled), "no", .unit = "yes or no",
     .effect = "Whether what was said and done is written to a journal in dir, so that a restart remembers it; a "
               "cluster's member takes yes unless it is given."},
    {"appendfsync", CONFIG_ENUM, CONFIG_RUNTIME, AT(journal_mode), "everysec", .choices = journal_modes,
     .unit = "always, everysec or no",
     .effect = "When the journal reaches the disk: before anything that rests on it is said, within a second, or when "
               "the system likes; a cluster's member takes always unless it is given."},
    {"journal-segment-size", CONFIG_BYTES, 0, AT(journal_segment_bytes), "64mb", LIMITS(MIB, INT64_C(1) << 32),
     .unit = "bytes", .effect = "The journal is kept in files of this size, written ahead and used again."},
    {"journal-snapshot-size", CONFIG_BYTES, CONFIG_RUNTIME, AT(journal_snapshot_bytes), "1gb", LIMITS(MIB, INT64_MAX),
     .unit = "bytes", .effect = "A journal larger than this asks for a snapshot, after which old segments go."},
    {"save", CONFIG_SPECIAL, CONFIG_RUNTIME | CONFIG_MULTI, .default_text = "3600 1 300 100 60 10000", .set = set_save,
     .print = print_save, .unit = "seconds changes, several",
     .effect = "A snapshot is saved when at least that many changes were made and so many seconds have gone by since "
               "the last one; empty saves none by itself."},
    {"snapshot-compression", CONFIG_ENUM, 0, AT(snapshot_compression), "lz4", .choices = compressions,
     .unit = "lz4 or no", .effect = "How snapshots are compressed."},
    {"restore", CONFIG_TEXT, 0, AT(restore), "", LIMITS(0, TEXT_MAX), .unit = "path",
     .effect = "A snapshot file to begin a new store or cluster with; refused where dir holds one already."},
    {"hash-max-listpack-entries", CONFIG_SIGNED, AGREED, AT(settings[SETTING_HASH_MAX_LISTPACK_ENTRIES]), "512",
     LIMITS(0, INT64_MAX), .alias = "hash-max-ziplist-entries", .unit = "fields",
     .effect = "A hash of no more fields is held in one block; this and the options down to key-metadata are shared by "
               "all members: CONFIG SET changes them everywhere, and a file's value counts only in a new cluster, or "
               "alone."},
    {"hash-max-listpack-value", CONFIG_BYTES, AGREED, AT(settings[SETTING_HASH_MAX_LISTPACK_VALUE]), "64",
     LIMITS(0, INT64_MAX), .alias = "hash-max-ziplist-value", .unit = "bytes",
     .effect = "Unless one of its fields or values is longer."},
    {"list-max-listpack-size", CONFIG_SIGNED, AGREED, AT(settings[SETTING_LIST_MAX_LISTPACK_SIZE]), "-2",
     LIMITS(INT32_MIN, INT32_MAX), .alias = "list-max-ziplist-size", .unit = "elements, or -1 to -5",
     .effect = "How many elements of a list share a block, or, from -1 to -5, that a block takes 4, 8, 16, 32 or 64 KiB."},
    {"list-compress-depth", CONFIG_SIGNED, AGREED, AT(settings[SETTING_LIST_COMPRESS_DEPTH]), "0", LIMITS(0, INT32_MAX),
     .unit = "blocks", .effect = "Accepted for compatibility; lists are not compressed."},
    {"set-max-intset-entries", CONFIG_SIGNED, AGREED, AT(settings[SETTING_SET_MAX_INTSET_ENTRIES]), "512",
     LIMITS(0, INT64_MAX), .unit = "members", .effect = "A set of no more integers is held in one sorted block."},
    {"zset-max-listpack-entries", CONFIG_SIGNED, AGREED, AT(settings[SETTING_ZSET_MAX_LISTPACK_ENTRIES]), "128",
     LIMITS(0, INT64_MAX), .alias = "zset-max-ziplist-entries", .unit = "members",
     .effect = "A sorted set of no more members is held in one block."},
    {"zset-max-listpack-value", CONFIG_BYTES, AGREED, AT(settings[SETTING_ZSET_MAX_LISTPACK_VALUE]), "64",
     LIMITS(0, INT64_MAX), .alias = "zset-max-ziplist-value", .unit = "bytes",
     .effect = "Unless one of its members is longer."},
    {"hll-sparse-max-bytes", CONFIG_BYTES, AGREED, AT(settings[SETTING_HLL_SPARSE_MAX_BYTES]), "3000",
     LIMITS(0, INT64_MAX), .unit = "bytes", .effect = "Up to this size a HyperLogLog keeps its sparse form."},
    {"stream-node-max-bytes", CONFIG_BYTES, AGREED, AT(settings[SETTING_STREAM_NODE_MAX_BYTES]), "4096",
     LIMITS(0, INT64_MAX), .unit = "bytes", .effect = "A block of a stream is full at this size; 0: at any."},
    {"stream-node-max-entries", CONFIG_SIGNED, AGREED, AT(settings[SETTING_STREAM_NODE_MAX_ENTRIES]), "100",
     LIMITS(0, INT64_MAX), .unit = "entries", .effect = "A block of a stream is full with so many entries; 0: never."},
    {"key-metadata", CONFIG_SPECIAL, AGREED, .default_text = "no", .set = set_key_metadata,
     .print = print_key_metadata, .unit = "yes or no",
     .effect = "Whether keys that are written remember their version and times; not in this version, so yes is "
               "refused."},
    {"cluster-members", CONFIG_SPECIAL, CONFIG_MULTI, .default_text = "", .set = set_members,
     .print = print_members, .unit = "id@host:port, several",
     .effect = "The members a new cluster begins with, at most 9, the same list on each; what a member remembers of "
               "later changes (RABIA ADD and its kin) overrides it; empty, without cluster-join, makes a lone server, "
               "and a list of one begins a cluster that can grow."},
    {"cluster-join", CONFIG_SPECIAL, CONFIG_MULTI, .default_text = "", .set = set_join, .print = print_join,
     .unit = "host:port, several",
     .effect = "Instead of cluster-members, for a server that is to become a member of a cluster: members to ask for "
               "the list; it waits until RABIA ADD has put it there."},
    {"cluster-self", CONFIG_INT, 0, AT(cluster_self), "0", LIMITS(0, UINT16_MAX), .unit = "id",
     .effect = "The id of this server in the cluster, never used before in it; 0 without one."},
    {"cluster-name", CONFIG_TEXT, 0, AT(cluster_name), "kvstore", LIMITS(1, 64), .unit = "",
     .effect = "Members of clusters with different names refuse each other."},
    {"cluster-timeout", CONFIG_COUNT, CONFIG_RUNTIME, AT(cluster_timeout_ms), "2000", LIMITS(1, 3600000),
     .unit = "milliseconds",
     .effect = "How long a command waits for a quorum before CLUSTERDOWN, or for its outcome before INDOUBT."},
    {"forfeit-floor", CONFIG_COUNT, 0, AT(forfeit_floor_us), "5000", LIMITS(100, 60000000), .unit = "microseconds",
     .effect = "A silent member's slots are never forfeited sooner than this."},
    {"forfeit-ceiling", CONFIG_COUNT, 0, AT(forfeit_ceiling_us), "200000", LIMITS(100, 60000000), .unit = "microseconds",
     .effect = "A silent member's slots are forfeited after this at the latest, however slow it usually is; "
               "after four times this where it was forfeited wrongly a moment ago."},
    {"clock-tolerance", CONFIG_COUNT, 0, AT(clock_tolerance_ms), "500", LIMITS(1, 3600000), .unit = "milliseconds",
     .effect = "Writes of a member whose clock is further ahead of this one's are held back until it corrects "
               "itself."},
    {"peer-backlog-size", CONFIG_BYTES, 0, AT(peer_backlog_bytes), "256mb", LIMITS(MIB, INT64_MAX),
     .unit = "bytes", .effect = "Newest agreed commands kept in memory for members that fell behind."},
    {"skip-ahead-max", CONFIG_INT, 0, AT(skip_ahead_max), "64", LIMITS(1, RABIA_AHEAD), .unit = "laps",
     .effect = "How far ahead a member with nothing to write declares its slots empty."},
};
const size_t config_row_count = sizeof config_rows / sizeof *config_rows;
_Static_assert(sizeof config_rows / sizeof *config_rows <= CONFIG_ROWS_MAX, "config.given has a bit per row");

const struct config_row *config_find_row(struct slice name)
{
    for (size_t i = 0; i < config_row_count; i++)
        if (slice_is(name, config_rows[i].name) || (config_rows[i].alias && slice_is(name, config_rows[i].alias)))
            return &config_rows[i];
    return NULL;
}

/* --- life ---------------------------------------------------------------- */

struct config *config_create(void)
{
    struct config *c = mem_calloc(1, sizeof *c);
    char error[CONFIG_ERROR_MAX];
    for (size_t i = 0; i < config_row_count; i++)
        CHECK(config_set_row(c, &config_rows[i], slice_from(config_rows[i].default_text), error));
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < config_row_count; i++)
        if (config_rows[i].type == CONFIG_TEXT)
            mem_free(*(char **)(void *)((char *)c + config_rows[i].offset));
    free_binds(c);
    free_members(c->members, c->member_count);
    free_members(c->join, c->join_count);
    mem_free(c->path);
    mem_free(c);
}

static bool is_member(const struct config *c, int id)
{
    for (int i = 0; i < c->member_count; i++)
        if (c->members[i].id == id)
            return true;
    return false;
}

const char *config_conflict(const struct config *c)
{
    if (c->member_count && !c->cluster_self)
        return "cluster-members needs cluster-self, the id of this server among them";
    if (c->member_count && c->join_count)
        return "cluster-members and cluster-join exclude each other: a list to begin with, or whom to ask for it";
    if (c->join_count && !c->cluster_self)
        return "cluster-join needs cluster-self, the id this server is to have";
    if (c->cluster_self && !c->member_count && !c->join_count)
        return "cluster-self needs cluster-members";
    if (c->member_count && !is_member(c, c->cluster_self))
        return "cluster-self is not the id of one of cluster-members";
    if (c->forfeit_floor_us > c->forfeit_ceiling_us)
        return "forfeit-floor is above forfeit-ceiling";
    if (c->maxmemory_bytes && c->maxmemory_policy != MEMORY_NOEVICTION)
        return "eviction is not in this version: maxmemory needs maxmemory-policy noeviction";
    return NULL;
}

/* --- CONFIG GET and SET -------------------------------------------------- */

/* How a name or alias is shown: itself, or as a pattern without wildcards
 * spells it.  ptr NULL if no pattern matches. */
static struct slice shown_name(const char *own, const struct slice *patterns, int count)
{
    struct slice name = slice_from(own);
    for (int i = 0; i < count; i++)
        if (slice_glob(patterns[i], name, true))
            return slice_equal_nocase(patterns[i], name) ? patterns[i] : name;
    return (struct slice){NULL, 0};
}

void config_get(const struct config *c, const struct slice *patterns, int pattern_count, config_visit_fn *visit,
                void *context)
{
    struct buf value;
    buf_init(&value);
    for (size_t i = 0; i < config_row_count; i++) {
        const char *const names[] = {config_rows[i].name, config_rows[i].alias};
        for (int n = 0; n < 2 && names[n]; n++) {
            struct slice name = shown_name(names[n], patterns, pattern_count);
            if (!name.ptr)
                continue;
            buf_clear(&value);
            config_print_row(c, &config_rows[i], &value);
            visit(context, name, buf_slice(&value));
        }
    }
    buf_deinit(&value);
}

static bool refuse_option(char *error, struct slice name, const char *reason)
{
    snprintf(error, CONFIG_ERROR_MAX, "ERR CONFIG SET failed (possibly related to argument '%.*s') - %.300s",
             (int)(name.len < 128 ? name.len : 128), name.ptr, reason);
    return false;
}

/* The rows the pairs name, each one once and changeable. */
static bool find_rows(const struct slice *pairs, int count, const struct config_row **rows, char *error)
{
    for (int i = 0; i < count; i++) {
        struct slice name = pairs[2 * i];
        rows[i] = config_find_row(name);
        if (!rows[i]) {
            snprintf(error, CONFIG_ERROR_MAX, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                     (int)(name.len < 128 ? name.len : 128), name.ptr);
            return false;
        }
        if (!(rows[i]->flags & CONFIG_RUNTIME))
            return refuse_option(error, name, "can't set immutable config");
        for (int j = 0; j < i; j++)
            if (rows[j] == rows[i] && slice_equal_nocase(pairs[2 * j], name)) /* an alias is a name of its own */
                return refuse_option(error, name, "duplicate parameter");
    }
    return true;
}

/* Sets all, or none. */
static bool set_rows(struct config *c, const struct slice *pairs, int count, const struct config_row **rows,
                     char *error)
{
    struct buf former[CONFIG_ROWS_MAX];
    char reason[CONFIG_ERROR_MAX];
    bool is_set = true;
    int done = 0;
    for (int i = 0; i < count; i++) {
        buf_init(&former[i]);
        config_print_row(c, rows[i], &former[i]);
    }
    for (; is_set && done < count; done++)
        is_set = config_set_row(c, rows[done], pairs[2 * done + 1], reason) ||
                 refuse_option(error, pairs[2 * done], reason);
    if (is_set && config_conflict(c))
        is_set = refuse_option(error, pairs[0], config_conflict(c));
    for (int i = 0; i < count; i++) {
        if (!is_set)
            CHECK(config_set_row(c, rows[i], buf_slice(&former[i]), reason));
        buf_deinit(&former[i]);
    }
    return is_set;
}

bool config_set(struct config *c, const struct slice *pairs, int count, char error[static CONFIG_ERROR_MAX])
{
    /* More pairs than rows must name one twice or one that is not there. */
    const struct config_row *rows[CONFIG_ROWS_MAX + 1];
    int looked_at = count <= CONFIG_ROWS_MAX ? count : CONFIG_ROWS_MAX + 1;
    if (!find_rows(pairs, looked_at, rows, error) || !set_rows(c, pairs, count, rows, error))
        return false;
    if (c->apply)
        c->apply(c->apply_context);
    return true;
}
