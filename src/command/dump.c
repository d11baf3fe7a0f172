/* DUMP and RESTORE: a value as bytes that Redis understands, and back. */
#include "base/buf.h"
#include "command/families.h"
#include "store/rdb_value.h"

static void dump_command(struct call *c)
{
    struct entry *e = call_find(c, 1);
    if (!e) {
        reply_null(c->reply);
        return;
    }
    struct buf payload;
    buf_init(&payload);
    rdb_value_dump(e, &payload);
    reply_bulk(c->reply, buf_slice(&payload));
    buf_deinit(&payload);
}

/* --- RESTORE --------------------------------------------------------------- */

enum { FREQUENCY_MAX = 255 };

struct restore {
    bool may_replace, is_absolute;
    int64_t idle_seconds, frequency; /* -1: not told */
    int64_t ttl_ms;                  /* 0: none */
};

static bool read_access(struct call *c, int index, int64_t max, const char *error, int64_t *value)
{
    int64_t read;
    if (!call_int64(c, index, &read))
        return false;
    if (read < 0 || read > max) {
        reply_error(c->reply, error);
        return false;
    }
    *value = read;
    return true;
}

/* Returns how many arguments the option at index takes, 0 with an error written. */
static int parse_option(struct call *c, struct restore *r, int index)
{
    bool has_more = index + 1 < c->argc;
    if (call_option(c, index, "replace")) {
        r->may_replace = true;
        return 1;
    }
    if (call_option(c, index, "absttl")) {
        r->is_absolute = true;
        return 1;
    }
    if (call_option(c, index, "idletime") && has_more && r->frequency < 0)
        return read_access(c, index + 1, INT64_MAX, "ERR Invalid IDLETIME value, must be >= 0", &r->idle_seconds) ? 2
                                                                                                                  : 0;
    if (call_option(c, index, "freq") && has_more && r->idle_seconds < 0)
        return read_access(c, index + 1, FREQUENCY_MAX, "ERR Invalid FREQ value, must be >= 0 and <= 255",
                           &r->frequency)
                   ? 2
                   : 0;
    reply_error(c->reply, ERROR_SYNTAX);
    return 0;
}

static bool parse_options(struct call *c, struct restore *r)
{
    *r = (struct restore){.idle_seconds = -1, .frequency = -1};
    for (int i = 4, taken; i < c->argc; i += taken) {
        taken = parse_option(c, r, i);
        if (taken == 0)
            return false;
    }
    return true;
}

static bool check_target(struct call *c, const struct restore *r)
{
    if (r->may_replace || !keyspace_find_for_write(c->ks, c->db, c->argv[1]))
        return true;
    reply_error(c->reply, "BUSYKEY Target key name already exists.");
    return false;
}

/* The time the key expires at, EXPIRE_NONE if never. */
static bool read_expiry(struct call *c, const struct restore *r, int64_t *expire_at)
{
    int64_t ttl_ms;
    if (!call_int64(c, 2, &ttl_ms))
        return false;
    if (ttl_ms < 0) {
        reply_error(c->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    *expire_at = ttl_ms == 0 ? EXPIRE_NONE : ttl_ms;
    /* What is too far away to be told is over, as in Redis. */
    if (ttl_ms > 0 && !r->is_absolute && __builtin_add_overflow(ttl_ms, c->now_ms, expire_at))
        *expire_at = 0;
    return true;
}

/* The key would be gone at once: only what it replaces goes. */
static void replace_by_nothing(struct call *c, const struct restore *r)
{
    if (r->may_replace && keyspace_delete(c->ks, c->db, c->argv[1]))
        call_changed(c, EVENT_GENERIC, "del", c->argv[1]);
}

static void put(struct call *c, const struct restore *r, const struct rdb_value *loaded, int64_t expire_at)
{
    struct slice key = c->argv[1];
    keyspace_delete(c->ks, c->db, key);
    struct entry *e = loaded->type == VALUE_STRING
                          ? keyspace_set(c->ks, c->db, key, loaded->string, expire_at)
                          : keyspace_set_value(c->ks, c->db, key, loaded->type, loaded->value, expire_at);
    if (r->idle_seconds >= 0)
        keyspace_set_idle(c->ks, e, r->idle_seconds);
    if (r->frequency >= 0)
        keyspace_set_frequency(c->ks, e, (unsigned)r->frequency);
    call_notify(c, EVENT_NEW, "new", key);
    call_changed(c, EVENT_GENERIC, "restore", key);
}

static void restore_command(struct call *c)
{
    struct restore r;
    int64_t expire_at;
    struct rdb_value loaded;
    if (!parse_options(c, &r) || !check_target(c, &r) || !read_expiry(c, &r, &expire_at))
        return;
    if (!rdb_payload_is_intact(c->argv[3])) {
        reply_error(c->reply, "ERR DUMP payload version or checksum are wrong");
        return;
    }
    if (!rdb_value_load(&loaded, keyspace_env(c->ks), c->argv[3])) {
        reply_error(c->reply, "ERR Bad data format");
        return;
    }
    bool is_over = expire_at != EXPIRE_NONE && expire_at <= c->now_ms;
    if (is_over)
        replace_by_nothing(c, &r);
    else
        put(c, &r, &loaded, expire_at);
    rdb_value_free(&loaded, !is_over);
    reply_ok(c->reply);
}

/* --- the table ------------------------------------------------------------- */

#define RESTORE_ROW(name_, flags_, group_, since_)                                                                   \
    .name = (name_), .handler = restore_command, .arity = -4, .route = ROUTE_WRITE,                          \
    .flags = COMMAND_WRITE | COMMAND_DENYOOM | (flags_), .categories = CATEGORY_KEYSPACE | CATEGORY_DANGEROUS, \
    .group = (group_), .since = (since_), .complexity = "O(bytes), O(n log n) for a sorted set",            \
    COMMAND_ONE_KEY(KEY_OW | KEY_UPDATE),                                                                    \
    COMMAND_HISTORY({"3.0.0", "REPLACE."}, {"5.0.0", "ABSTTL."}, {"5.0.0", "IDLETIME and FREQ."}),           \
    COMMAND_ARGUMENTS(                                                                                       \
        ARGUMENT("key", KEY), ARGUMENT("ttl", INTEGER), ARGUMENT("serialized-value", STRING),                \
        ARGUMENT("replace", PURE_TOKEN, .token = "REPLACE", .flags = ARGUMENT_OPTIONAL, .since = "3.0.0"),   \
        ARGUMENT("absttl", PURE_TOKEN, .token = "ABSTTL", .flags = ARGUMENT_OPTIONAL, .since = "5.0.0"),     \
        ARGUMENT("seconds", INTEGER, .token = "IDLETIME", .flags = ARGUMENT_OPTIONAL, .since = "5.0.0"),     \
        ARGUMENT("frequency", INTEGER, .token = "FREQ", .flags = ARGUMENT_OPTIONAL, .since = "5.0.0"))

const struct command command_dump_rows[] = {
    {.name = "dump", .handler = dump_command, .arity = 2, .route = ROUTE_READ, .flags = COMMAND_READONLY,
     .categories = CATEGORY_KEYSPACE, .group = "generic", .since = "2.6.0", .complexity = "O(bytes)",
     .summary = "A value as bytes that RESTORE makes a value of again, here or in Redis.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY))},
    {RESTORE_ROW("restore", 0, "generic", "2.6.0"), .summary = "Makes a key of the bytes DUMP gave."},
    {RESTORE_ROW("restore-asking", COMMAND_ASKING, "server", "3.0.0"), .is_system = true,
     .summary = "RESTORE, as MIGRATE sends it to a cluster of Redis."},
};
COMMAND_FAMILY_COUNT(dump);
