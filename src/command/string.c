/* Strings: SET and its kin, ranges.  Counters are counter.c's. */
#include "command/families.h"

/* --- SET and GETEX: their options ------------------------------------------ */

enum option {
    OPTION_NX = 1 << 0,
    OPTION_XX = 1 << 1,
    OPTION_GET = 1 << 2,
    OPTION_KEEPTTL = 1 << 3,
    OPTION_PERSIST = 1 << 4,
    OPTION_EX = 1 << 5,
    OPTION_PX = 1 << 6,
    OPTION_EXAT = 1 << 7,
    OPTION_PXAT = 1 << 8,
    OPTION_IFEQ = 1 << 9, /* Redis 8.4's */
    OPTION_IFNE = 1 << 10,
    OPTION_COMPARES = OPTION_IFEQ | OPTION_IFNE,
    OPTION_CONDITIONS = OPTION_NX | OPTION_XX | OPTION_COMPARES,
    OPTION_TIMES = OPTION_EX | OPTION_PX | OPTION_EXAT | OPTION_PXAT,
    OPTIONS_OF_SET = OPTION_CONDITIONS | OPTION_GET | OPTION_KEEPTTL | OPTION_TIMES,
    OPTIONS_OF_GETEX = OPTION_PERSIST | OPTION_TIMES,
};

/* A time may be given twice in the same form; the last one counts. */
static const struct {
    const char *name;
    unsigned bit, excludes;
} options[] = {
    {"ex", OPTION_EX, OPTION_KEEPTTL | OPTION_PERSIST | (OPTION_TIMES & ~OPTION_EX)},
    {"px", OPTION_PX, OPTION_KEEPTTL | OPTION_PERSIST | (OPTION_TIMES & ~OPTION_PX)},
    {"nx", OPTION_NX, OPTION_CONDITIONS & ~OPTION_NX},
    {"xx", OPTION_XX, OPTION_CONDITIONS & ~OPTION_XX},
    {"ifeq", OPTION_IFEQ, OPTION_CONDITIONS},
    {"ifne", OPTION_IFNE, OPTION_CONDITIONS},
    {"get", OPTION_GET, 0},
    {"keepttl", OPTION_KEEPTTL, OPTION_PERSIST | OPTION_TIMES},
    {"persist", OPTION_PERSIST, OPTION_KEEPTTL | OPTION_TIMES},
    {"exat", OPTION_EXAT, OPTION_KEEPTTL | OPTION_PERSIST | (OPTION_TIMES & ~OPTION_EXAT)},
    {"pxat", OPTION_PXAT, OPTION_KEEPTTL | OPTION_PERSIST | (OPTION_TIMES & ~OPTION_PXAT)},
};
enum { OPTION_COUNT = sizeof options / sizeof *options };

struct given {
    unsigned bits;
    int time_index; /* argument that holds the time, 0 if none */
    int compare_index; /* the same for what the value is compared with */
};

/* The option argument index spells, 0 if it is none that may stand here. */
static unsigned option_at(const struct call *c, int index, unsigned allowed, unsigned before)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (options[i].bit & allowed && call_option(c, index, options[i].name))
            return options[i].excludes & before ? 0 : options[i].bit;
    return 0;
}

static bool parse_options(struct call *c, int first, unsigned allowed, struct given *given)
{
    for (int i = first; i < c->argc; i++) {
        unsigned bit = option_at(c, i, allowed, given->bits);
        bool takes_time = bit & OPTION_TIMES, compares = bit & OPTION_COMPARES;
        if (!bit || ((takes_time || compares) && i + 1 == c->argc)) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        given->bits |= bit;
        if (takes_time)
            given->time_index = ++i;
        if (compares)
            given->compare_index = ++i;
    }
    return true;
}

/* Leaves *expire_at alone if no time was given. */
static bool read_time(struct call *c, const struct given *given, int64_t *expire_at)
{
    if (!given->time_index)
        return true;
    struct call_time form = {.is_seconds = given->bits & (OPTION_EX | OPTION_EXAT),
                             .is_absolute = given->bits & (OPTION_EXAT | OPTION_PXAT)};
    return call_expire_at(c, given->time_index, form, expire_at);
}

/* --- setting --------------------------------------------------------------- */

/* A key that is set to expire in the past is there for as long as it takes to
 * expire it; waiting for the next batch would let DBSIZE count it. */
static void store_expiring(struct call *c, struct slice key, struct slice value, int64_t expire_at)
{
    call_set_string(c, key, value, expire_at);
    call_changed(c, EVENT_STRING, "set", key);
    call_notify(c, EVENT_GENERIC, "expire", key);
    if (expire_at <= c->now_ms)
        keyspace_find_for_write(c->ks, c->db, key);
}

/* expire_at: unix ms, EXPIRE_NONE or EXPIRE_KEEP. */
static void store(struct call *c, struct slice key, struct slice value, int64_t expire_at)
{
    if (expire_at >= 0) {
        store_expiring(c, key, value, expire_at);
        return;
    }
    call_set_string(c, key, value, expire_at);
    call_changed(c, EVENT_STRING, "set", key);
}

static void reply_string(struct call *c, const struct entry *e)
{
    char scratch[INT64_TEXT_MAX];
    if (e)
        reply_bulk(c->reply, entry_string(e, scratch));
    else
        reply_null(c->reply);
}

/* Replies with the value at argument 1; false if it is no string. */
static bool reply_old(struct call *c)
{
    struct entry *e;
    if (!call_find_string(c, 1, &e))
        return false;
    reply_string(c, e);
    return true;
}

/* A key that is not there equals nothing. */
static bool comparison_holds(struct call *c, const struct entry *e, const struct given *given)
{
    char scratch[INT64_TEXT_MAX];
    bool is_equal = e && slice_equal(entry_string(e, scratch), c->argv[given->compare_index]);
    return is_equal == ((given->bits & OPTION_IFEQ) != 0);
}

static bool condition_holds(struct call *c, const struct given *given)
{
    if (!(given->bits & OPTION_CONDITIONS))
        return true;
    const struct entry *e = keyspace_find_for_write(c->ks, c->db, c->argv[1]);
    if (given->bits & OPTION_COMPARES)
        return comparison_holds(c, e, given);
    return (e != NULL) == ((given->bits & OPTION_XX) != 0);
}

/* Only strings can be compared. */
static bool check_comparison(struct call *c, const struct given *given)
{
    struct entry *e;
    return !(given->bits & OPTION_COMPARES) || call_find_string_for_write(c, 1, &e);
}

static void set_with_options(struct call *c)
{
    struct given given = {0};
    int64_t expire_at = EXPIRE_NONE;
    if (!parse_options(c, 3, OPTIONS_OF_SET, &given) || !read_time(c, &given, &expire_at))
        return;
    if (given.bits & OPTION_KEEPTTL)
        expire_at = EXPIRE_KEEP;
    bool replies_old = given.bits & OPTION_GET;
    if (!check_comparison(c, &given) || (replies_old && !reply_old(c)))
        return;
    bool is_set = condition_holds(c, &given);
    if (is_set)
        store(c, c->argv[1], c->argv[2], expire_at);
    if (replies_old)
        return;
    if (is_set)
        reply_ok(c->reply);
    else
        reply_null(c->reply);
}

static void set_command(struct call *c)
{
    if (c->argc > 3) {
        set_with_options(c);
        return;
    }
    store(c, c->argv[1], c->argv[2], EXPIRE_NONE);
    reply_ok(c->reply);
}

/* Without GET the key is only written; with it, it is read too. */
static uint16_t set_key_flags(int argc, const struct slice *argv)
{
    for (int i = 3; i < argc; i++)
        if (slice_is(argv[i], "get"))
            return KEY_RW | KEY_ACCESS | KEY_UPDATE;
    return KEY_OW | KEY_UPDATE;
}

static void setnx_command(struct call *c)
{
    bool is_set = condition_holds(c, &(struct given){.bits = OPTION_NX});
    if (is_set)
        store(c, c->argv[1], c->argv[2], EXPIRE_NONE);
    reply_int(c->reply, is_set);
}

static void set_with_time(struct call *c, bool is_seconds)
{
    int64_t expire_at;
    if (!call_expire_at(c, 2, (struct call_time){.is_seconds = is_seconds}, &expire_at))
        return;
    store(c, c->argv[1], c->argv[3], expire_at);
    reply_ok(c->reply);
}

static void setex_command(struct call *c)
{
    set_with_time(c, true);
}

static void psetex_command(struct call *c)
{
    set_with_time(c, false);
}

static void getset_command(struct call *c)
{
    if (reply_old(c))
        store(c, c->argv[1], c->argv[2], EXPIRE_NONE);
}

static bool pairs_are_whole(struct call *c)
{
    if (c->argc % 2 == 1)
        return true;
    call_arity_error(c);
    return false;
}

static void store_pairs(struct call *c)
{
    for (int i = 1; i < c->argc; i += 2)
        store(c, c->argv[i], c->argv[i + 1], EXPIRE_NONE);
}

static void mset_command(struct call *c)
{
    if (!pairs_are_whole(c))
        return;
    store_pairs(c);
    reply_ok(c->reply);
}

static void msetnx_command(struct call *c)
{
    if (!pairs_are_whole(c))
        return;
    for (int i = 1; i < c->argc; i += 2)
        if (keyspace_find_for_write(c->ks, c->db, c->argv[i])) {
            reply_int(c->reply, 0);
            return;
        }
    store_pairs(c);
    reply_int(c->reply, 1);
}

/* --- getting --------------------------------------------------------------- */

static void get_command(struct call *c)
{
    reply_old(c);
}

static void mget_command(struct call *c)
{
    reply_array(c->reply, (size_t)c->argc - 1);
    for (int i = 1; i < c->argc; i++) {
        struct entry *e = call_find(c, i);
        reply_string(c, e && entry_type(e) == VALUE_STRING ? e : NULL);
    }
}

static void getdel_command(struct call *c)
{
    struct entry *e;
    if (!call_find_string(c, 1, &e))
        return;
    reply_string(c, e);
    if (e && keyspace_delete(c->ks, c->db, c->argv[1]))
        call_changed(c, EVENT_GENERIC, "del", c->argv[1]);
}

static void change_expiry(struct call *c, int64_t expire_at)
{
    struct slice key = c->argv[1];
    if (expire_at <= c->now_ms) {
        keyspace_delete(c->ks, c->db, key);
        call_changed(c, EVENT_GENERIC, "del", key);
    } else {
        keyspace_set_expire(c->ks, c->db, key, expire_at);
        call_changed(c, EVENT_GENERIC, "expire", key);
    }
}

static void persist(struct call *c, const struct entry *e)
{
    if (entry_expire_at(e) == EXPIRE_NONE)
        return;
    keyspace_set_expire(c->ks, c->db, c->argv[1], EXPIRE_NONE);
    call_changed(c, EVENT_GENERIC, "persist", c->argv[1]);
}

static void getex_command(struct call *c)
{
    struct given given = {0};
    int64_t expire_at = EXPIRE_NONE;
    struct entry *e;
    if (!parse_options(c, 2, OPTIONS_OF_GETEX, &given) || !call_find_string(c, 1, &e))
        return;
    if (e && !read_time(c, &given, &expire_at))
        return;
    reply_string(c, e);
    if (e && given.time_index)
        change_expiry(c, expire_at);
    else if (e && given.bits & OPTION_PERSIST)
        persist(c, e);
}

/* --- parts ----------------------------------------------------------------- */

static void strlen_command(struct call *c)
{
    struct entry *e;
    if (call_find_string(c, 1, &e))
        reply_int(c->reply, e ? (int64_t)entry_string_length(e) : 0);
}

/* True if length bytes at offset keep the string within its limit; else writes
 * Redis's error. */
static bool check_length(struct call *c, int64_t offset, size_t length)
{
    if (offset <= COMMAND_STRING_MAX && (int64_t)length <= COMMAND_STRING_MAX - offset)
        return true;
    reply_error(c->reply, ERROR_STRING_TOO_LONG);
    return false;
}

static void append_command(struct call *c)
{
    struct slice key = c->argv[1], tail = c->argv[2];
    struct entry *e;
    if (!call_find_string_for_write(c, 1, &e))
        return;
    size_t length = e ? entry_string_length(e) : 0;
    if (!e) {
        call_set_string(c, key, tail, EXPIRE_NONE);
    } else {
        if (!check_length(c, (int64_t)length, tail.len))
            return;
        char *bytes = keyspace_edit_string(c->ks, c->db, key, length + tail.len);
        if (tail.len)
            memcpy(bytes + length, tail.ptr, tail.len);
    }
    call_changed(c, EVENT_STRING, "append", key);
    reply_int(c->reply, (int64_t)(length + tail.len));
}

static bool read_offset(struct call *c, int index, int64_t *offset)
{
    if (!call_int64(c, index, offset))
        return false;
    if (*offset >= 0)
        return true;
    reply_error(c->reply, "ERR offset is out of range");
    return false;
}

/* Returns the length of the string, which was length bytes, 0 if absent. */
static size_t write_part(struct call *c, size_t length, size_t offset, struct slice part)
{
    size_t end = offset + part.len, size = end > length ? end : length;
    char *bytes = keyspace_edit_string(c->ks, c->db, c->argv[1], size);
    memcpy(bytes + offset, part.ptr, part.len);
    return size;
}

static void setrange_command(struct call *c)
{
    struct slice key = c->argv[1], part = c->argv[3];
    struct entry *e;
    int64_t offset;
    if (!read_offset(c, 2, &offset) || !call_find_string_for_write(c, 1, &e))
        return;
    size_t length = e ? entry_string_length(e) : 0;
    if (part.len > 0) {
        if (!check_length(c, offset, part.len))
            return;
        length = write_part(c, length, (size_t)offset, part);
        if (!e)
            call_notify(c, EVENT_NEW, "new", key);
        call_changed(c, EVENT_STRING, "setrange", key);
    }
    reply_int(c->reply, (int64_t)length);
}

/* The bytes from start to end, both included and counted from the end where
 * negative. */
static struct slice range_of(struct slice whole, int64_t start, int64_t end)
{
    int64_t length = (int64_t)whole.len;
    if (start < 0 && end < 0 && start > end)
        return slice_make("", 0);
    start = start < 0 ? start + length : start;
    end = end < 0 ? end + length : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= length ? length - 1 : end;
    if (start > end)
        return slice_make("", 0);
    return slice_make(whole.ptr + start, (size_t)(end - start + 1));
}

static void getrange_command(struct call *c)
{
    char scratch[INT64_TEXT_MAX];
    int64_t start, end;
    struct entry *e;
    if (!call_int64(c, 2, &start) || !call_int64(c, 3, &end) || !call_find_string(c, 1, &e))
        return;
    struct slice whole = e ? entry_string(e, scratch) : slice_make("", 0);
    reply_bulk(c->reply, range_of(whole, start, end));
}

/* --- the table ------------------------------------------------------------- */

#define STRING_ROW(name_, arity_, route_, flags_)                                                            \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_STRING, .group = "string"
#define FAST_WRITE (COMMAND_WRITE | COMMAND_FAST)
#define FAST_STORE (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define SLOW_STORE (COMMAND_WRITE | COMMAND_DENYOOM)
#define FAST_READ  (COMMAND_READONLY | COMMAND_FAST)

#define KEY_ARGUMENT ARGUMENT("key", KEY)
#define PAIRS_ARGUMENT                                                                                       \
    ARGUMENT("key_value", BLOCK, .flags = ARGUMENT_MULTIPLE,                                                 \
             COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("value", STRING)))
#define TIMES_ARGUMENTS(since_ex, since_exat)                                                                \
    ARGUMENT("seconds", INTEGER, .token = "EX", .since = since_ex),                                          \
        ARGUMENT("milliseconds", INTEGER, .token = "PX", .since = since_ex),                                 \
        ARGUMENT("unix-time-seconds", UNIX_TIME, .token = "EXAT", .since = since_exat),                      \
        ARGUMENT("unix-time-milliseconds", UNIX_TIME, .token = "PXAT", .since = since_exat)

const struct command command_string_rows[] = {
    {STRING_ROW(get, 2, READ, FAST_READ), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Reads the string held by a key.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {STRING_ROW(set, -3, WRITE, SLOW_STORE | COMMAND_READS_TIME), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Makes a key hold a string, whatever it held before; may also expire it or depend on its "
                "presence.",
     COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE_NOTED(1, KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, 0, 1,
                                   "RW and ACCESS due to the optional `GET` argument")),
     .key_flags = set_key_flags,
     COMMAND_HISTORY({"2.6.12", "EX, PX, NX and XX."},
                     {"6.0.0", "KEEPTTL."},
                     {"6.2.0", "GET, EXAT and PXAT."},
                     {"7.0.0", "NX and GET together."}),
     COMMAND_ARGUMENTS(
         KEY_ARGUMENT, ARGUMENT("value", STRING),
         ARGUMENT("condition", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "2.6.12",
                  COMMAND_ARGUMENTS(ARGUMENT_WORD("nx", "NX"), ARGUMENT_WORD("xx", "XX"))),
         ARGUMENT("get", PURE_TOKEN, .token = "GET", .flags = ARGUMENT_OPTIONAL, .since = "6.2.0"),
         ARGUMENT("expiration", ONEOF, .flags = ARGUMENT_OPTIONAL,
                  COMMAND_ARGUMENTS(TIMES_ARGUMENTS("2.6.12", "6.2.0"),
                                    ARGUMENT("keepttl", PURE_TOKEN, .token = "KEEPTTL", .since = "6.0.0"))))},
    {STRING_ROW(getex, -2, WRITE, FAST_WRITE | COMMAND_READS_TIME), .since = "6.2.0", .complexity = "O(1)",
     .summary = "Reads a string and sets or clears when its key expires.", COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE_NOTED(1, KEY_RW | KEY_ACCESS | KEY_UPDATE, 0, 1,
                                   "RW and UPDATE because it changes the TTL")),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("expiration", ONEOF, .flags = ARGUMENT_OPTIONAL,
                                              COMMAND_ARGUMENTS(TIMES_ARGUMENTS(NULL, NULL),
                                                                ARGUMENT_WORD("persist", "PERSIST"))))},
    {STRING_ROW(getdel, 2, WRITE, FAST_WRITE), .since = "6.2.0", .complexity = "O(1)",
     .summary = "Reads a string and removes its key.", COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {STRING_ROW(getset, 3, WRITE, FAST_STORE), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Stores a string and answers with the one it replaces.", .deprecated_since = "6.2.0",
     .replaced_by = "`SET` with the `!GET` argument", COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("value", STRING))},
    {STRING_ROW(setnx, 3, WRITE, FAST_STORE), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Stores a string unless the key is already there.", COMMAND_ONE_KEY(KEY_OW | KEY_INSERT),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("value", STRING))},
    {STRING_ROW(setex, 4, WRITE, SLOW_STORE | COMMAND_READS_TIME), .since = "2.0.0", .complexity = "O(1)",
     .summary = "Stores a string that lasts a number of seconds.", COMMAND_ONE_KEY(KEY_OW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("seconds", INTEGER), ARGUMENT("value", STRING))},
    {STRING_ROW(psetex, 4, WRITE, SLOW_STORE | COMMAND_READS_TIME), .since = "2.6.0", .complexity = "O(1)",
     .summary = "Stores a string that lasts a number of milliseconds.", COMMAND_ONE_KEY(KEY_OW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("milliseconds", INTEGER), ARGUMENT("value", STRING))},
    {STRING_ROW(mset, -3, WRITE, SLOW_STORE), .since = "1.0.1", .complexity = "O(keys)",
     .summary = "Stores several strings in one step.", COMMAND_MANY_KEYS(KEY_OW | KEY_UPDATE, 2),
     COMMAND_TIPS("request_policy:multi_shard", "response_policy:all_succeeded"),
     COMMAND_ARGUMENTS(PAIRS_ARGUMENT)},
    {STRING_ROW(msetnx, -3, WRITE, SLOW_STORE), .since = "1.0.1", .complexity = "O(keys)",
     .summary = "Stores several strings in one step, or none if any of the keys is there.",
     COMMAND_MANY_KEYS(KEY_OW | KEY_INSERT, 2),
     COMMAND_TIPS("request_policy:multi_shard", "response_policy:agg_min"),
     COMMAND_ARGUMENTS(PAIRS_ARGUMENT)},
    {STRING_ROW(mget, -2, READ, FAST_READ), .since = "1.0.0", .complexity = "O(keys)",
     .summary = "Reads several strings; null stands for what is no string.",
     COMMAND_MANY_KEYS(KEY_RO | KEY_ACCESS, 1), COMMAND_TIPS("request_policy:multi_shard"),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE))},
    {STRING_ROW(append, 3, WRITE, FAST_STORE), .since = "2.0.0",
     .complexity = "O(bytes added), amortised: room is doubled as the string grows",
     .summary = "Adds bytes at the end of a string.", COMMAND_ONE_KEY(KEY_RW | KEY_INSERT),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("value", STRING))},
    {STRING_ROW(strlen, 2, READ, FAST_READ), .since = "2.2.0", .complexity = "O(1)",
     .summary = "Counts the bytes of a string.", COMMAND_ONE_KEY(KEY_RO), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {STRING_ROW(getrange, 4, READ, COMMAND_READONLY), .since = "2.4.0", .complexity = "O(bytes answered)",
     .summary = "Reads part of a string.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", INTEGER), ARGUMENT("end", INTEGER))},
    {STRING_ROW(setrange, 4, WRITE, SLOW_STORE), .since = "2.2.0",
     .complexity = "O(bytes written), more where the string must grow",
     .summary = "Overwrites part of a string, with zero bytes before it where the string is too short.",
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("offset", INTEGER), ARGUMENT("value", STRING))},
    {.name = "substr",
     .handler = getrange_command,
     .arity = 4,
     .route = ROUTE_READ,
     .flags = COMMAND_READONLY,
     .categories = CATEGORY_STRING,
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(bytes answered)",
     .summary = "Reads part of a string, under an older name.",
     .deprecated_since = "2.0.0",
     .replaced_by = "`GETRANGE`",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", INTEGER), ARGUMENT("end", INTEGER))},
};
COMMAND_FAMILY_COUNT(string);
