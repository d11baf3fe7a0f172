/* The subcommands of DEBUG that look at or change the data, at their place in
 * the agreed order.  The container, and what concerns one process alone, are
 * the server room's. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"
#include "command/type_names.h"
#include "store/digest.h"
#include "store/hash_value.h"
#include "store/list_value.h"
#include "store/rdb_value.h"
#include "store/set_value.h"
#include "store/zset_value.h"

/* --- OBJECT ---------------------------------------------------------------- */

/* What a list adds: its nodes. */
struct nodes {
    uint64_t count, bytes;
};

static void add_node(void *context, struct slice listpack, bool is_plain)
{
    struct nodes *nodes = context;
    (void)is_plain;
    nodes->count++;
    nodes->bytes += listpack.len;
}

static void describe_list(struct call *c, const struct entry *e, char *text, size_t room)
{
    struct value v = entry_value(e);
    struct nodes nodes = {0};
    list_each_node(&v, add_node, &nodes);
    snprintf(text, room,
             " ql_nodes:%llu ql_avg_node:%.2f ql_listpack_max:%lld ql_compressed:%d ql_uncompressed_size:%llu",
             (unsigned long long)nodes.count, (double)list_length(&v) / (double)nodes.count,
             (long long)setting_value(keyspace_settings(c->ks), SETTING_LIST_MAX_LISTPACK_SIZE),
             setting_value(keyspace_settings(c->ks), SETTING_LIST_COMPRESS_DEPTH) != 0,
             (unsigned long long)nodes.bytes);
}

/* Entries are not shared and have no address worth telling. */
static void debug_object(struct call *c)
{
    struct entry *e = keyspace_peek(c->ks, c->db, c->argv[2]);
    if (!e) {
        reply_error(c->reply, ERROR_NO_SUCH_KEY);
        return;
    }
    char text[320];
    int length = snprintf(text, sizeof text,
             "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:0 lru_seconds_idle:%lld",
             value_encoding_name(entry_encoding(e)), rdb_value_size(e),
             (long long)entry_idle_seconds(c->ks, e));
    if (entry_type(e) == VALUE_LIST)
        describe_list(c, e, text + length, sizeof text - (size_t)length);
    reply_simple(c->reply, text);
}

/* --- digests --------------------------------------------------------------- */

static void reply_digest(struct call *c, struct digest digest)
{
    char text[DIGEST_TEXT_BYTES + 1] = "";
    digest_text(digest, text);
    reply_simple(c->reply, text);
}

static void debug_digest(struct call *c)
{
    reply_digest(c, keyspace_digest(c->ks));
}

static void debug_digest_value(struct call *c)
{
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct entry *e = keyspace_peek(c->ks, c->db, c->argv[i]);
        reply_digest(c, e ? keyspace_value_digest(e) : (struct digest){0});
    }
}

/* --- hash tables --------------------------------------------------------------- */

/* Our table has no chains and is never rehashed as a whole: its figures, under
 * the headings test suites look for. */
static void debug_htstats(struct call *c)
{
    char text[320];
    int64_t db;
    if (!call_int64(c, 2, &db))
        return;
    if (db < 0 || db >= keyspace_database_count(c->ks)) {
        reply_error(c->reply, "ERR Out of range database");
        return;
    }
    struct keyspace_figures figures;
    keyspace_get_figures(c->ks, &figures);
    int length = snprintf(text, sizeof text,
                          "[Dictionary HT]\nHash table 0 stats (main hash table):\n number of elements: %zu\n"
                          " bytes of buckets, all databases: %zu\n[Expires HT]\nHash table 0 stats (main hash table):\n"
                          " number of elements: %zu\n bytes of indexes, all databases: %zu\n",
                          keyspace_size(c->ks, (int)db), figures.bucket_bytes, keyspace_expiring(c->ks, (int)db),
                          figures.expiry_bytes);
    reply_verbatim(c->reply, "txt", slice_make(text, (size_t)length));
}

static void debug_htstats_key(struct call *c)
{
    char text[128];
    struct entry *e = keyspace_peek(c->ks, c->db, c->argv[2]);
    if (!e) {
        reply_error(c->reply, ERROR_NO_SUCH_KEY);
        return;
    }
    enum value_encoding encoding = entry_encoding(e);
    if (encoding != ENCODING_HASHTABLE && encoding != ENCODING_SMALL_SET && encoding != ENCODING_SKIPLIST) {
        reply_error(c->reply, "ERR The value stored at the specified key is not represented using an hash table");
        return;
    }
    struct value v = entry_value(e);
    size_t size = entry_type(e) == VALUE_HASH ? hash_size(&v) : entry_type(e) == VALUE_SET ? set_size(&v) : zset_size(&v);
    int length =
        snprintf(text, sizeof text, "Hash table 0 stats (main hash table):\n number of elements: %zu\n", size);
    reply_verbatim(c->reply, "txt", slice_make(text, (size_t)length));
}

/* --- changes --------------------------------------------------------------- */

/* Any number but 0 means on; what is no number is 0. */
static void debug_set_active_expire(struct call *c)
{
    int64_t value = 0;
    slice_to_int64(c->argv[2], &value);
    keyspace_set_active_expire(c->ks, value != 0);
    reply_ok(c->reply);
}

/* Digits, none meaning 0, and a unit. */
static bool read_memory(struct slice text, uint64_t *bytes)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"", 1},           {"b", 1},           {"k", 1000},           {"kb", 1 << 10},
                 {"m", 1000000},    {"mb", 1 << 20},    {"g", 1000000000},     {"gb", 1 << 30}};
    size_t digits = 0;
    uint64_t number = 0;
    for (; digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9'; digits++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (unsigned)(text.ptr[digits] - '0'), &number))
            return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (slice_is(slice_make(text.ptr + digits, text.len - digits), units[i].name))
            return !__builtin_mul_overflow(number, units[i].bytes, bytes);
    return false;
}

#define PACKED_THRESHOLD_LIMIT (UINT64_C(4) << 30)

static void debug_quicklist_packed_threshold(struct call *c)
{
    uint64_t bytes;
    if (!read_memory(c->argv[2], &bytes) || bytes >= PACKED_THRESHOLD_LIMIT) {
        reply_error(c->reply, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
        return;
    }
    keyspace_set_list_packed_threshold(c->ks, bytes);
    reply_ok(c->reply);
}

static bool read_positive(struct call *c, int index, int64_t *value)
{
    if (slice_to_int64(c->argv[index], value) && *value >= 0)
        return true;
    reply_error(c->reply, "ERR value is out of range, must be positive");
    return false;
}

enum { POPULATE_NUMBER_MAX = 32 };

struct population {
    char *key, *value; /* room for prefix and number; room for size bytes */
    size_t prefix_length, value_size;
    bool is_sized;
};

static void add_one(struct call *c, const struct population *p, int64_t number)
{
    char text[POPULATE_NUMBER_MAX];
    int digits = snprintf(p->key + p->prefix_length, POPULATE_NUMBER_MAX, ":%lld", (long long)number);
    struct slice key = slice_make(p->key, p->prefix_length + (size_t)digits);
    if (keyspace_find_for_write(c->ks, c->db, key))
        return;
    size_t length = (size_t)snprintf(text, sizeof text, "value:%lld", (long long)number);
    struct slice value = slice_make(text, length);
    if (p->is_sized) {
        memcpy(p->value, text, length < p->value_size ? length : p->value_size);
        value = slice_make(p->value, p->value_size);
    }
    call_set_string(c, key, value, EXPIRE_NONE);
}

static void populate(struct call *c, struct slice prefix, int64_t count, size_t size)
{
    struct population p = {.prefix_length = prefix.len, .value_size = size, .is_sized = size > 0};
    p.key = mem_alloc(prefix.len + POPULATE_NUMBER_MAX);
    p.value = mem_calloc(1, size + 1);
    if (prefix.len)
        memcpy(p.key, prefix.ptr, prefix.len);
    for (int64_t i = 0; i < count; i++)
        add_one(c, &p, i);
    mem_free(p.value);
    mem_free(p.key);
}

static void debug_populate(struct call *c)
{
    int64_t count, size = 0;
    struct slice prefix = c->argc > 3 ? c->argv[3] : SLICE_LITERAL("key");
    if (c->argc > 5) {
        reply_error(c->reply,
                    "ERR unknown subcommand or wrong number of arguments for 'populate'. Try DEBUG HELP.");
        return;
    }
    if (!read_positive(c, 2, &count) || (c->argc > 4 && !read_positive(c, 4, &size)))
        return;
    if (size > COMMAND_STRING_MAX) {
        reply_error(c->reply, ERROR_STRING_TOO_LONG);
        return;
    }
    populate(c, prefix, count, (size_t)size);
    reply_ok(c->reply);
}

/* --- the table ------------------------------------------------------------- */

#define DEBUG_ROW(name_, handler_, arity_, route_, summary_)                                                 \
    {                                                                                                        \
        .name = name_, .handler = handler_, .arity = (arity_), .route = ROUTE_##route_,                      \
        .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_DEBUG_ONLY,    \
        .group = "server", .since = "1.0.0", .complexity = "Depends on the data.", .summary = (summary_)     \
    }

const struct command command_debug_rows[] = {
    DEBUG_ROW("object", debug_object, 3, READ, "Describes how a value is held."),
    DEBUG_ROW("htstats", debug_htstats, 3, READ, "Figures of a database's hash tables."),
    DEBUG_ROW("htstats-key", debug_htstats_key, 3, READ, "Figures of a value's hash table."),
    DEBUG_ROW("digest", debug_digest, 2, READ, "A digest of all data, the same for the same data."),
    DEBUG_ROW("digest-value", debug_digest_value, -2, READ, "Digests of the values of keys."),
    DEBUG_ROW("set-active-expire", debug_set_active_expire, 3, WRITE,
              "Whether expired keys are removed unasked."),
    DEBUG_ROW("quicklist-packed-threshold", debug_quicklist_packed_threshold, 3, WRITE,
              "From which size on an element of a list has a node for itself."),
    {.name = "populate",
     .handler = debug_populate,
     .arity = -3,
     .route = ROUTE_WRITE,
     .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_DEBUG_ONLY,
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(count)",
     .summary = "Adds numbered keys."},
};
const size_t command_debug_count = sizeof command_debug_rows / sizeof *command_debug_rows;
