/* When keys expire: setting, clearing and asking. */
#include "command/families.h"

/* --- setting --------------------------------------------------------------- */

enum condition { IF_NONE = 1 << 0, IF_ANY = 1 << 1, IF_GREATER = 1 << 2, IF_LESS = 1 << 3 };

static const struct {
    const char *name;
    unsigned bit;
} conditions[] = {{"nx", IF_NONE}, {"xx", IF_ANY}, {"gt", IF_GREATER}, {"lt", IF_LESS}};

static unsigned condition_at(const struct call *c, int index)
{
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        if (call_option(c, index, conditions[i].name))
            return conditions[i].bit;
    return 0;
}

static void reply_unsupported(struct call *c, struct slice option)
{
    reply_error_format(c->reply, "ERR Unsupported option %.*s", (int)(option.len < 1024 ? option.len : 1024),
                       option.ptr);
}

static bool parse_conditions(struct call *c, unsigned *given)
{
    for (int i = 3; i < c->argc; i++) {
        unsigned bit = condition_at(c, i);
        if (!bit) {
            reply_unsupported(c, c->argv[i]);
            return false;
        }
        *given |= bit;
    }
    if (*given & IF_NONE && *given != IF_NONE) {
        reply_error(c->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if (*given & IF_GREATER && *given & IF_LESS) {
        reply_error(c->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* A key without expiry counts as one that expires after every time. */
static bool conditions_hold(unsigned given, int64_t now, int64_t wanted)
{
    bool is_set = now != EXPIRE_NONE;
    if ((given & IF_NONE && is_set) || (given & IF_ANY && !is_set))
        return false;
    if (given & IF_GREATER && (!is_set || wanted <= now))
        return false;
    return !(given & IF_LESS && is_set && wanted >= now);
}

static void expire_key(struct call *c, struct slice key, int64_t expire_at)
{
    if (expire_at <= c->now_ms) {
        keyspace_delete(c->ks, c->db, key);
        call_changed(c, EVENT_GENERIC, "del", key);
    } else {
        keyspace_set_expire(c->ks, c->db, key, expire_at);
        call_changed(c, EVENT_GENERIC, "expire", key);
    }
}

static void expire_in_form(struct call *c, bool is_seconds, bool is_absolute)
{
    struct call_time form = {.is_seconds = is_seconds, .is_absolute = is_absolute, .may_be_past = true};
    unsigned given = 0;
    int64_t expire_at;
    if (!parse_conditions(c, &given) || !call_expire_at(c, 2, form, &expire_at))
        return;
    struct entry *e = keyspace_find_for_write(c->ks, c->db, c->argv[1]);
    bool is_applied = e && conditions_hold(given, entry_expire_at(e), expire_at);
    if (is_applied)
        expire_key(c, c->argv[1], expire_at);
    reply_int(c->reply, is_applied);
}

static void expire_command(struct call *c)
{
    expire_in_form(c, true, false);
}

static void pexpire_command(struct call *c)
{
    expire_in_form(c, false, false);
}

static void expireat_command(struct call *c)
{
    expire_in_form(c, true, true);
}

static void pexpireat_command(struct call *c)
{
    expire_in_form(c, false, true);
}

static void persist_command(struct call *c)
{
    struct slice key = c->argv[1];
    struct entry *e = keyspace_find_for_write(c->ks, c->db, key);
    bool is_changed =
        e && entry_expire_at(e) != EXPIRE_NONE && keyspace_set_expire(c->ks, c->db, key, EXPIRE_NONE);
    if (is_changed)
        call_changed(c, EVENT_GENERIC, "persist", key);
    reply_int(c->reply, is_changed);
}

/* --- asking ---------------------------------------------------------------- */

static int64_t to_seconds(int64_t ms)
{
    return ms / 1000 + (ms % 1000 >= 500);
}

static void reply_expiry(struct call *c, bool is_seconds, bool is_absolute)
{
    struct entry *e = call_look(c, 1);
    int64_t at = e ? entry_expire_at(e) : EXPIRE_NONE;
    if (!e || at == EXPIRE_NONE) {
        reply_int(c->reply, e ? -1 : -2);
        return;
    }
    int64_t answer = is_absolute ? at : at - c->now_ms;
    reply_int(c->reply, is_seconds ? to_seconds(answer) : answer);
}

static void ttl_command(struct call *c)
{
    reply_expiry(c, true, false);
}

static void pttl_command(struct call *c)
{
    reply_expiry(c, false, false);
}

static void expiretime_command(struct call *c)
{
    reply_expiry(c, true, true);
}

static void pexpiretime_command(struct call *c)
{
    reply_expiry(c, false, true);
}

/* --- the table ------------------------------------------------------------- */

#define EXPIRE_ROW(name_, arity_, route_, flags_, since_, summary_)                                          \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_) | COMMAND_FAST | COMMAND_READS_TIME, .categories = CATEGORY_KEYSPACE,                  \
    .group = "generic", .since = (since_), .complexity = "O(1)", .summary = (summary_)
#define SET_ROW(name_, since_, summary_, argument_)                                                          \
    {                                                                                                        \
        EXPIRE_ROW(name_, -3, WRITE, COMMAND_WRITE, since_, summary_), COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE), \
            COMMAND_HISTORY({"7.0.0", "NX, XX, GT and LT."}),                                                \
            COMMAND_ARGUMENTS(ARGUMENT("key", KEY), argument_,                                               \
                              ARGUMENT("condition", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "7.0.0",     \
                                       .arguments = condition_arguments, .argument_count = 4))               \
    }
#define ASK_ROW(name_, since_, summary_, ...)                                                                \
    {                                                                                                        \
        EXPIRE_ROW(name_, 2, READ, COMMAND_READONLY, since_, summary_),                                      \
            COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(ARGUMENT("key", KEY)), __VA_ARGS__       \
    }

static const struct command_argument condition_arguments[] = {
    ARGUMENT_WORD("nx", "NX"),
    ARGUMENT_WORD("xx", "XX"),
    ARGUMENT_WORD("gt", "GT"),
    ARGUMENT_WORD("lt", "LT"),
};

const struct command command_expire_rows[] = {
    SET_ROW(expire, "1.0.0", "Makes a key expire after a number of seconds.", ARGUMENT("seconds", INTEGER)),
    SET_ROW(pexpire, "2.6.0", "Makes a key expire after a number of milliseconds.",
            ARGUMENT("milliseconds", INTEGER)),
    SET_ROW(expireat, "1.2.0", "Makes a key expire at a unix time in seconds.",
            ARGUMENT("unix-time-seconds", UNIX_TIME)),
    SET_ROW(pexpireat, "2.6.0", "Makes a key expire at a unix time in milliseconds.",
            ARGUMENT("unix-time-milliseconds", UNIX_TIME)),
    {EXPIRE_ROW(persist, 2, WRITE, COMMAND_WRITE, "2.2.0", "Lets a key live for ever again."),
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE), COMMAND_ARGUMENTS(ARGUMENT("key", KEY))},
    ASK_ROW(ttl, "1.0.0", "Seconds a key has left.", COMMAND_HISTORY({"2.8.0", "-2 for a key that is not there."}),
            COMMAND_TIPS("nondeterministic_output")),
    ASK_ROW(pttl, "2.6.0", "Milliseconds a key has left.", COMMAND_HISTORY({"2.8.0", "-2 for a key that is not there."}),
            COMMAND_TIPS("nondeterministic_output")),
    ASK_ROW(expiretime, "7.0.0", "Unix time in seconds at which a key expires."),
    ASK_ROW(pexpiretime, "7.0.0", "Unix time in milliseconds at which a key expires."),
};
COMMAND_FAMILY_COUNT(expire);
