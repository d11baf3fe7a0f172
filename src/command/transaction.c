#include "command/transaction.h"

#include "base/check.h"
#include "command/internal.h"
#include "command/table.h"
#include "store/watch.h"

/* --- as it travels ------------------------------------------------------------ */

size_t transaction_head_put(char head[static TRANSACTION_HEAD_MAX], int db, int argc)
{
    char *at = varint_write(head, (uint64_t)db);
    return (size_t)(varint_write(at, (uint64_t)argc) - head);
}

static void head_get(struct slice head, int *db, int *argc)
{
    uint64_t numbers[2];
    const char *at = head.ptr, *end = head.ptr + head.len;
    for (int i = 0; i < 2; i++) {
        at = varint_read(at, end, &numbers[i]);
        CHECK(at != NULL);
    }
    CHECK(at == end);
    CHECK(numbers[0] <= INT32_MAX);
    CHECK(numbers[1] <= INT32_MAX);
    *db = (int)numbers[0];
    *argc = (int)numbers[1];
}

/* --- conditions --------------------------------------------------------------- */

enum condition { CONDITION_IFEQ, CONDITION_IFNE, CONDITION_NX, CONDITION_XX, CONDITION_NONE };

static enum condition condition_of(struct slice word)
{
    static const char *const words[] = {"IFEQ", "IFNE", "NX", "XX"};
    enum condition is = CONDITION_IFEQ;
    while (is < CONDITION_NONE && !slice_is(word, words[is]))
        is++;
    return is;
}

static int condition_arguments(enum condition condition)
{
    return condition == CONDITION_IFEQ || condition == CONDITION_IFNE ? 3 : 2;
}

bool transaction_is_condition(struct slice word)
{
    return condition_of(word) != CONDITION_NONE;
}

bool transaction_conditions_are_sound(int argc, const struct slice *argv)
{
    int at = 0;
    while (at < argc && transaction_is_condition(argv[at]))
        at += condition_arguments(condition_of(argv[at]));
    return at == argc;
}

enum holding { HOLDS, HOLDS_NOT, IS_WRONG_TYPE };

static enum holding condition_holds(struct call *c, enum condition condition, const struct slice *argv)
{
    const struct entry *e = keyspace_peek(c->ks, c->db, argv[0]);
    bool is_equal;
    char scratch[INT64_TEXT_MAX];
    switch (condition) {
    case CONDITION_NX: return e ? HOLDS_NOT : HOLDS;
    case CONDITION_XX: return e ? HOLDS : HOLDS_NOT;
    default: break;
    }
    if (e && entry_type(e) != VALUE_STRING)
        return IS_WRONG_TYPE;
    is_equal = e && slice_equal(entry_string(e, scratch), argv[1]);
    return is_equal == (condition == CONDITION_IFEQ) ? HOLDS : HOLDS_NOT;
}

/* False, with the reply written: nothing is to be run. */
static bool conditions_hold(struct call *c, int count)
{
    const struct slice *argv = c->argv + TRANSACTION_FIRST_CONDITION;
    for (int at = 0; at < count; at += condition_arguments(condition_of(argv[at]))) {
        switch (condition_holds(c, condition_of(argv[at]), argv + at + 1)) {
        case HOLDS: break;
        case HOLDS_NOT: reply_null_array(c->reply); return false;
        case IS_WRONG_TYPE: reply_error(c->reply, ERROR_WRONG_TYPE); return false;
        }
    }
    return true;
}

/* The watcher has served its purpose, whatever comes of it. */
static bool is_untouched(struct call *c, struct slice watcher)
{
    struct watcher_id id;
    if (watcher.len == 0)
        return true;
    CHECK(watcher_id_get(watcher, &id));
    struct watches *watches = keyspace_watches(c->ks);
    enum watch_verdict verdict = watch_verdict(watches, &id);
    watch_drop(watches, &id);
    return verdict == WATCH_CLEAN;
}

/* --- running ------------------------------------------------------------------ */

static int count_commands(const struct call *c, int at)
{
    int count = 0;
    for (int db, argc; at < c->argc; at += 1 + argc, count++)
        head_get(c->argv[at], &db, &argc);
    CHECK(at == c->argc);
    return count;
}

static const struct command *row_of(const struct call *c, const struct call *nested)
{
    if (command_is_internal_name(nested->argv[0]))
        return command_find_internal(nested->argv[0]);
    char error[COMMAND_ERROR_MAX];
    return command_resolve(c->table, nested->argc, nested->argv, error);
}

static void run_nested(struct call *c, struct call *nested)
{
    const struct command *row = nested->command = row_of(c, nested);
    CHECK(row); /* the session resolved it with the same table */
    if (row->route != ROUTE_WRITE && !c->host)
        return;
    nested->host = row->route == ROUTE_LOCAL ? c->host : NULL;
    if (c->host)
        c->on_nested(c->host, row, false);
    row->handler(nested);
    if (c->host)
        c->on_nested(c->host, row, true);
}

static void run_commands(struct call *c, int at)
{
    uint64_t place = 0;
    while (at < c->argc) {
        struct call nested = *c;
        head_get(c->argv[at++], &nested.db, &nested.argc);
        nested.argv = c->argv + at;
        nested.is_in_transaction = true;
        nested.wait = NULL;
        nested.seed = random_mix(c->seed + ++place);
        run_nested(c, &nested);
        at += nested.argc;
    }
}

void transaction_exec(struct call *c)
{
    int64_t condition_count;
    CHECK(slice_to_int64(c->argv[2], &condition_count));
    int first = TRANSACTION_FIRST_CONDITION + (int)condition_count;
    if (!is_untouched(c, c->argv[1])) {
        reply_null_array(c->reply);
    } else if (conditions_hold(c, (int)condition_count)) {
        reply_array(c->reply, (size_t)count_commands(c, first));
        run_commands(c, first);
    }
}

/* --- watching ----------------------------------------------------------------- */

/* All keys, or none that were not watched before. */
void transaction_watch(struct call *c)
{
    struct watcher_id id;
    struct watches *watches = keyspace_watches(c->ks);
    CHECK(watcher_id_get(c->argv[1], &id));
    for (int i = 2; i < c->argc; i++) {
        if (watch_add(watches, &id, c->db, c->argv[i]))
            continue;
        /* The server knows of no watcher then, so none may be left. */
        watch_drop(watches, &id);
        reply_error(c->reply, ERROR_WATCH_LIMIT);
        return;
    }
    reply_ok(c->reply);
}

void transaction_forget(struct call *c)
{
    for (int i = 1; i < c->argc; i++) {
        struct watcher_id id;
        CHECK(watcher_id_get(c->argv[i], &id));
        watch_drop(keyspace_watches(c->ks), &id);
    }
    reply_ok(c->reply);
}

void transaction_forget_others(struct call *c)
{
    struct watcher_id upto;
    CHECK(watcher_id_get(c->argv[1], &upto));
    watch_drop_others(keyspace_watches(c->ks), upto.member, upto.life, upto.number);
    reply_ok(c->reply);
}
