#include "command/internal.h"

#include "base/check.h"
#include "command/transaction.h"
#include "store/marks.h"
#include "store/digest.h"
#include "store/settings.h"

static void ok_command(struct call *c)
{
    reply_ok(c->reply);
}

static void queued_command(struct call *c)
{
    reply_simple(c->reply, "QUEUED");
}

/* Sets the pairs of the call; those agreed upon already only if may_replace. */
static void set_settings(struct call *c, bool may_replace)
{
    for (int i = 1; i + 1 < c->argc; i += 2) {
        int64_t value;
        enum setting setting = setting_of(c->argv[i]);
        CHECK(setting < SETTING_COUNT);
        CHECK(slice_to_int64(c->argv[i + 1], &value));
        if (may_replace || !setting_is_agreed(keyspace_settings(c->ks), setting))
            keyspace_set_setting(c->ks, (int)setting, value);
    }
    reply_ok(c->reply);
}

static void settings_command(struct call *c)
{
    set_settings(c, true);
}

static void defaults_command(struct call *c)
{
    set_settings(c, false);
}

static void giveback_command(struct call *c)
{
    struct watcher_id mark;
    CHECK(watcher_id_get(c->argv[1], &mark));
    reply_ok(c->reply);
    if (!marks_take(keyspace_marks(c->ks), &mark))
        return;
    struct reply nowhere = {.out = NULL, .protocol = 2};
    struct call undo = *c;
    char error[COMMAND_ERROR_MAX];
    undo.reply = &nowhere; /* a key that holds another type by now stays as it is */
    undo.argc = c->argc - 2;
    undo.argv = c->argv + 2;
    undo.command = command_resolve(c->table, undo.argc, undo.argv, error);
    undo.is_in_transaction = true;
    CHECK(undo.command);
    undo.command->handler(&undo);
}

/* Answers how many were deleted. */
static void migrated_command(struct call *c)
{
    char text[DIGEST_TEXT_BYTES];
    int64_t deleted = 0;
    for (int i = 1; i + 1 < c->argc; i += 2) {
        struct entry *e = keyspace_find_for_write(c->ks, c->db, c->argv[i]);
        if (!e)
            continue;
        digest_text(keyspace_value_digest(e), text);
        if (!slice_equal(slice_make(text, sizeof text), c->argv[i + 1]))
            continue;
        keyspace_delete(c->ks, c->db, c->argv[i]);
        call_changed(c, EVENT_GENERIC, "del", c->argv[i]);
        deleted++;
    }
    reply_int(c->reply, deleted);
}

#define INTERNAL_ROW(name_, handler_, arity_, route_, flags_)                                 \
    {.name = (name_), .handler = (handler_), .arity = (arity_), .route = (route_),            \
     .flags = COMMAND_INTERNAL | (flags_), .group = "internal", .since = "7.0.0", .complexity = "", .summary = ""}

static const struct command rows[INTERNAL_COUNT] = {
    [INTERNAL_EXEC] = INTERNAL_ROW("+exec", transaction_exec, -3, ROUTE_WRITE, COMMAND_WRITE),
    [INTERNAL_EXEC_READ] = INTERNAL_ROW("+exec-read", transaction_exec, -3, ROUTE_READ, COMMAND_READONLY),
    [INTERNAL_EXEC_READ_TIME] =
        INTERNAL_ROW("+exec-read-time", transaction_exec, -3, ROUTE_READ, COMMAND_READONLY | COMMAND_READS_TIME),
    [INTERNAL_WATCH] = INTERNAL_ROW("+watch", transaction_watch, -3, ROUTE_WRITE, 0),
    [INTERNAL_FORGET] = INTERNAL_ROW("+forget", transaction_forget, -2, ROUTE_WRITE, COMMAND_SILENT),
    [INTERNAL_FORGET_OTHERS] =
        INTERNAL_ROW("+forget-others", transaction_forget_others, 2, ROUTE_WRITE, COMMAND_SILENT),
    [INTERNAL_GIVEBACK] = INTERNAL_ROW("+giveback", giveback_command, -4, ROUTE_WRITE, COMMAND_SILENT),
    [INTERNAL_MIGRATED] = INTERNAL_ROW("+migrated", migrated_command, -3, ROUTE_WRITE, COMMAND_WRITE),
    [INTERNAL_SETTINGS] = INTERNAL_ROW("+settings", settings_command, -3, ROUTE_WRITE, 0),
    [INTERNAL_OVERRIDES] = INTERNAL_ROW("+overrides", settings_command, -3, ROUTE_WRITE, COMMAND_SILENT),
    [INTERNAL_DEFAULTS] = INTERNAL_ROW("+defaults", defaults_command, -3, ROUTE_WRITE, COMMAND_SILENT),
    [INTERNAL_OK] = INTERNAL_ROW("+ok", ok_command, 1, ROUTE_READ, 0),
    [INTERNAL_QUEUED] = INTERNAL_ROW("+queued", queued_command, 1, ROUTE_READ, 0),
};

const struct command *command_internal(enum internal_command which)
{
    return &rows[which];
}

const struct command *command_find_internal(struct slice name)
{
    for (int i = 0; i < INTERNAL_COUNT; i++)
        if (slice_equal(name, slice_from(rows[i].name)))
            return &rows[i];
    return NULL;
}
