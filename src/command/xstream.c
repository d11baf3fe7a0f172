/* Streams: entries added, counted, shown and removed. */
#include "command/xstream.h"

#include "base/alloc.h"
#include "command/families.h"

static struct xstream *xstream_in(const struct entry *e)
{
    struct value v = entry_value(e);
    return xstream_of(&v);
}

/* --- XADD and XTRIM: what they read alike --------------------------------------------- */

struct addition {
    bool is_addition; /* XADD, not XTRIM */
    bool needs_stream; /* NOMKSTREAM */
    bool is_id_given, is_seq_given;
    struct xstream_id id;
    struct xstream_trim trim;
    bool is_limit_given;
    int id_index; /* argument */
};

static bool read_not_negative(struct call *c, int index, const char *error, uint64_t *value)
{
    int64_t number;
    if (!call_int64(c, index, &number))
        return false;
    if (number < 0) {
        reply_error(c->reply, error);
        return false;
    }
    *value = (uint64_t)number;
    return true;
}

/* MAXLEN or MINID, the operator and the threshold; *index becomes the last of
 * them. */
static bool read_threshold(struct call *c, int *index, struct xstream_trim *trim)
{
    bool is_length = call_option(c, *index, "maxlen");
    if (trim->kind != XSTREAM_TRIM_NONE) {
        reply_error(c->reply, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
        return false;
    }
    int at = *index + 1;
    trim->is_rough = at + 1 < c->argc && xstream_is_word(c, at, "~");
    if (trim->is_rough || (at + 1 < c->argc && xstream_is_word(c, at, "=")))
        at++;
    *index = at;
    trim->kind = is_length ? XSTREAM_TRIM_LENGTH : XSTREAM_TRIM_ID;
    if (is_length)
        return read_not_negative(c, at, "ERR The MAXLEN argument must be >= 0.", &trim->length);
    return xstream_read_strict_id(c, at, &trim->id);
}

static bool read_words(struct call *c, struct addition *a)
{
    for (int i = 2; i < c->argc; i++) {
        bool has_more = i + 1 < c->argc;
        if (a->is_addition && xstream_is_word(c, i, "*")) {
            a->id_index = i;
            return true;
        }
        if (has_more && (call_option(c, i, "maxlen") || call_option(c, i, "minid"))) {
            if (!read_threshold(c, &i, &a->trim))
                return false;
        } else if (has_more && call_option(c, i, "limit")) {
            if (!read_not_negative(c, ++i, "ERR The LIMIT argument must be >= 0.", &a->trim.limit))
                return false;
            a->is_limit_given = true;
        } else if (a->is_addition && call_option(c, i, "nomkstream")) {
            a->needs_stream = true;
        } else if (a->is_addition) {
            struct xstream_id_form form = {.is_strict = true, .is_seq_given = &a->is_seq_given};
            a->is_id_given = true;
            a->id_index = i;
            return xstream_read_id(c, i, &form, &a->id);
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    a->id_index = c->argc;
    return true;
}

/* Rough trimming without a limit of its own stops after 100 nodes or so. */
static uint64_t usual_limit(const struct call *c)
{
    enum { NODES = 100, LEAST = 10000, MOST = 1000000 };
    int64_t entries = setting_value(keyspace_settings(c->ks), SETTING_STREAM_NODE_MAX_ENTRIES), limit;
    if (__builtin_mul_overflow(entries, (int64_t)NODES, &limit) || limit <= 0)
        limit = LEAST;
    return limit > MOST ? MOST : (uint64_t)limit;
}

static bool read_addition(struct call *c, struct addition *a)
{
    if (!read_words(c, a))
        return false;
    const char *error = NULL;
    if (a->trim.limit > 0 && a->trim.kind == XSTREAM_TRIM_NONE)
        error = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
    else if (!a->is_addition && a->trim.kind == XSTREAM_TRIM_NONE)
        error = "ERR syntax error, XTRIM must be called with either MAXLEN or MINID";
    else if (a->is_limit_given && !a->trim.is_rough)
        error = "ERR syntax error, LIMIT cannot be used without the special ~ option";
    if (error)
        reply_error(c->reply, error);
    else if (a->trim.is_rough && !a->is_limit_given)
        a->trim.limit = usual_limit(c);
    return !error;
}

/* --- XADD -------------------------------------------------------------------------------- */

static struct xstream_id zero_or(const struct xstream *s)
{
    return s ? s->last_id : XSTREAM_ID_ZERO;
}

/* The entry's id; false, with an error written, if there is none above the last
 * one. */
static bool choose_id(struct call *c, const struct addition *a, struct xstream_id last, struct xstream_id *id)
{
    const char *error = NULL;
    *id = a->id;
    if (xstream_id_compare(last, XSTREAM_ID_MAX) == 0) {
        error = "ERR The stream has exhausted the last possible ID, unable to add more items";
    } else if (!a->is_id_given) {
        *id = (struct xstream_id){(uint64_t)c->now_ms, 0};
        if (id->ms <= last.ms) {
            *id = last;
            xstream_id_increment(id);
        }
    } else if (!a->is_seq_given && id->ms == last.ms) {
        id->seq = last.seq + 1;
        if (last.seq == UINT64_MAX) /* Redis finds no better words */
            error = "ERR Elements are too large to be stored";
    }
    if (!error && xstream_id_compare(*id, last) <= 0)
        error = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    if (error)
        reply_error(c->reply, error);
    return !error;
}

/* The trimming that comes with an addition. */
static void trim_added(struct call *c, const struct addition *a, struct xstream *s)
{
    if (a->trim.kind != XSTREAM_TRIM_NONE && xstream_trim(s, &a->trim) > 0)
        call_notify(c, EVENT_STREAM, "xtrim", c->argv[1]);
}

static void add(struct call *c, const struct addition *a, struct entry *e, struct xstream_id id)
{
    const struct slice *words = &c->argv[a->id_index + 1];
    size_t count = (size_t)(c->argc - a->id_index - 1) / 2;
    struct value v = e ? entry_value(e) : xstream_create();
    struct xstream *s = xstream_of(&v);
    int outcome = xstream_append(s, keyspace_env(c->ks), id, words, count);
    if (outcome != XSTREAM_APPENDED) {
        if (!e)
            xstream_free(v);
        reply_error(c->reply, "ERR Elements are too large to be stored");
        return;
    }
    if (!e)
        call_set_value(c, c->argv[1], VALUE_STREAM, v);
    xstream_reply_id(c->reply, id);
    call_changed(c, EVENT_STREAM, "xadd", c->argv[1]);
    trim_added(c, a, s);
}

static void xadd_command(struct call *c)
{
    struct addition a = {.is_addition = true};
    if (!read_addition(c, &a))
        return;
    int words = c->argc - a.id_index - 1;
    if (words < 2 || words % 2) {
        call_arity_error(c);
        return;
    }
    if (a.is_id_given && a.is_seq_given && xstream_id_is_zero(a.id)) {
        reply_error(c->reply, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    struct entry *e;
    struct xstream_id id;
    if (!call_find_type_for_write(c, 1, VALUE_STREAM, &e))
        return;
    if (!e && a.needs_stream)
        reply_null(c->reply);
    else if (choose_id(c, &a, zero_or(e ? xstream_in(e) : NULL), &id))
        add(c, &a, e, id);
}

/* --- XTRIM, XDEL, XSETID ------------------------------------------------------------------ */

static void count_more(struct call *c, uint64_t count)
{
    keyspace_count_changes(c->ks, count - 1);
}

static void xtrim_command(struct call *c)
{
    struct addition a = {0};
    struct entry *e;
    if (!read_addition(c, &a) || !call_find_type_for_write(c, 1, VALUE_STREAM, &e))
        return;
    uint64_t removed = e ? xstream_trim(xstream_in(e), &a.trim) : 0;
    if (removed > 0) {
        call_changed(c, EVENT_STREAM, "xtrim", c->argv[1]);
        count_more(c, removed);
    }
    reply_int(c->reply, (int64_t)removed);
}

static uint64_t remove_ids(struct xstream *s, const struct xstream_id *ids, int count)
{
    uint64_t removed = 0;
    for (int i = 0; i < count; i++) {
        if (!xstream_remove(s, ids[i]))
            continue;
        if (xstream_id_compare(ids[i], s->max_deleted_id) > 0)
            s->max_deleted_id = ids[i];
        removed++;
    }
    if (removed > 0)
        xstream_settle(s);
    return removed;
}

static void xdel_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_STREAM, &e))
        return;
    if (!e) {
        reply_int(c->reply, 0);
        return;
    }
    int count = c->argc - 2;
    struct xstream_id *ids = xstream_read_ids(c, 2, count);
    if (!ids)
        return;
    uint64_t removed = remove_ids(xstream_in(e), ids, count);
    mem_free(ids);
    if (removed > 0) {
        call_changed(c, EVENT_STREAM, "xdel", c->argv[1]);
        count_more(c, removed);
    }
    reply_int(c->reply, (int64_t)removed);
}

struct position {
    struct xstream_id id, max_deleted_id;
    int64_t entries_added; /* -1: not given */
};

static bool read_position(struct call *c, struct position *p)
{
    if (!xstream_read_strict_id(c, 2, &p->id))
        return false;
    for (int i = 3; i < c->argc; i += 2) {
        const char *error = NULL;
        bool has_more = i + 1 < c->argc;
        if (has_more && call_option(c, i, "entriesadded")) {
            if (!call_int64(c, i + 1, &p->entries_added))
                return false;
            error = p->entries_added < 0 ? "ERR entries_added must be positive" : NULL;
        } else if (has_more && call_option(c, i, "maxdeletedid")) {
            if (!xstream_read_strict_id(c, i + 1, &p->max_deleted_id))
                return false;
            if (xstream_id_compare(p->id, p->max_deleted_id) < 0)
                error = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
        } else {
            error = ERROR_SYNTAX;
        }
        if (error) {
            reply_error(c->reply, error);
            return false;
        }
    }
    return true;
}

static const char *position_error(const struct xstream *s, const struct position *p)
{
    if (s->length > 0 && xstream_id_compare(p->id, xstream_top_id(s)) < 0)
        return "ERR The ID specified in XSETID is smaller than the target stream top item";
    if (s->length > 0 && p->entries_added != -1 && s->length > (uint64_t)p->entries_added)
        return "ERR The entries_added specified in XSETID is smaller than the target stream length";
    return NULL;
}

static void xsetid_command(struct call *c)
{
    struct position p = {.entries_added = -1};
    if (!read_position(c, &p))
        return;
    struct entry *e = keyspace_find_for_write(c->ks, c->db, c->argv[1]);
    const char *error = !e ? ERROR_NO_SUCH_KEY : entry_type(e) != VALUE_STREAM ? ERROR_WRONG_TYPE : NULL;
    struct xstream *s = error ? NULL : xstream_in(e);
    error = error ? error : position_error(s, &p);
    if (error) {
        reply_error(c->reply, error);
        return;
    }
    s->last_id = p.id;
    if (p.entries_added != -1)
        s->entries_added = (uint64_t)p.entries_added;
    if (!xstream_id_is_zero(p.max_deleted_id))
        s->max_deleted_id = p.max_deleted_id;
    reply_ok(c->reply);
    xstream_count_changes(c, 1);
    call_notify(c, EVENT_STREAM, "xsetid", c->argv[1]);
}

/* --- looking ------------------------------------------------------------------------------ */

static void xlen_command(struct call *c)
{
    struct entry *e;
    if (call_find_type(c, 1, VALUE_STREAM, &e))
        reply_int(c->reply, e ? (int64_t)xstream_in(e)->length : 0);
}

/* COUNT, behind the interval; -1: not given. */
static bool read_count(struct call *c, int64_t *count)
{
    *count = -1;
    for (int i = 4; i < c->argc; i += 2) {
        if (!call_option(c, i, "count") || i + 1 >= c->argc) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        if (!call_int64(c, i + 1, count))
            return false;
        if (*count < 0)
            *count = 0;
    }
    return true;
}

static void range(struct call *c, bool is_reverse)
{
    struct xstream_id start, end;
    int64_t count;
    struct entry *e;
    if (!xstream_read_start(c, is_reverse ? 3 : 2, &start) || !xstream_read_end(c, is_reverse ? 2 : 3, &end) ||
        !read_count(c, &count) || !call_find_type(c, 1, VALUE_STREAM, &e))
        return;
    if (!e)
        reply_array(c->reply, 0);
    else if (count == 0)
        reply_null_array(c->reply);
    else
        xstream_reply_range(c->reply, xstream_in(e), start, end, count < 0 ? 0 : (uint64_t)count, is_reverse);
}

static void xrange_command(struct call *c)
{
    range(c, false);
}

static void xrevrange_command(struct call *c)
{
    range(c, true);
}

/* --- the table ---------------------------------------------------------------------------- */
#define TRIM_ARGUMENTS                                                                                       \
    COMMAND_ARGUMENTS(                                                                                       \
        ARGUMENT("strategy", ONEOF,                                                                          \
                 COMMAND_ARGUMENTS(ARGUMENT_WORD("maxlen", "MAXLEN"),                                        \
                                   ARGUMENT("minid", PURE_TOKEN, .token = "MINID", .since = "6.2.0"))),      \
        ARGUMENT("operator", ONEOF, .flags = ARGUMENT_OPTIONAL,                                              \
                 COMMAND_ARGUMENTS(ARGUMENT_WORD("equal", "="), ARGUMENT_WORD("approximately", "~"))),       \
        ARGUMENT("threshold", STRING),                                                                       \
        ARGUMENT("count", INTEGER, .token = "LIMIT", .flags = ARGUMENT_OPTIONAL, .since = "6.2.0"))

const struct command command_xstream_rows[] = {
    {XSTREAM_ROW(xadd, -5, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST | COMMAND_READS_TIME),
     COMMAND_HISTORY({"6.2.0", "NOMKSTREAM, MINID and LIMIT."}, {"7.0.0", "Ids of which only the milliseconds are given."}),
     .since = "5.0.0", .complexity = "O(log n) for the entry, O(1) for each one trimmed",
     .summary = "Adds an entry at the end of a stream, and trims it if asked to.",
     COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE_NOTED(1, KEY_RW | KEY_UPDATE, 0, 1,
                                   "UPDATE instead of INSERT because of the optional trimming feature")),
     COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT,
                       ARGUMENT("nomkstream", PURE_TOKEN, .token = "NOMKSTREAM", .flags = ARGUMENT_OPTIONAL,
                                .since = "6.2.0"),
                       ARGUMENT("trim", BLOCK, .flags = ARGUMENT_OPTIONAL, TRIM_ARGUMENTS),
                       ARGUMENT("id_or_auto", ONEOF,
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("auto_id", "*"), ARGUMENT("id", STRING))),
                       ARGUMENT("field_value", BLOCK, .flags = ARGUMENT_MULTIPLE,
                                COMMAND_ARGUMENTS(ARGUMENT("field", STRING), ARGUMENT("value", STRING))))},
    {XSTREAM_ROW(xtrim, -4, WRITE, COMMAND_WRITE),
     COMMAND_HISTORY({"6.2.0", "MINID and LIMIT."}), .since = "5.0.0",
     .complexity = "O(1) for each entry removed",
     .summary = "Removes the oldest entries of a stream, down to a length or up to an id.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("trim", BLOCK, TRIM_ARGUMENTS))},
    {XSTREAM_ROW(xdel, -3, WRITE, COMMAND_WRITE | COMMAND_FAST), .since = "5.0.0",
     .complexity = "O(log n) for each entry", .summary = "Removes entries of a stream by their ids.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, XSTREAM_ID_ARGUMENTS)},
    {XSTREAM_ROW(xsetid, -3, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST),
     COMMAND_HISTORY({"7.0.0", "ENTRIESADDED and MAXDELETEDID."}), .since = "5.0.0",
     .complexity = "O(log n)", .summary = "Sets the last id of a stream, and what it counts of the past.",
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("last-id", STRING),
                       ARGUMENT("entries_added", INTEGER, .token = "ENTRIESADDED", .flags = ARGUMENT_OPTIONAL,
                                .since = "7.0.0"),
                       ARGUMENT("max_deleted_entry_id", STRING, .token = "MAXDELETEDID",
                                .flags = ARGUMENT_OPTIONAL, .since = "7.0.0"))},
    {XSTREAM_ROW(xlen, 2, READ, COMMAND_READONLY | COMMAND_FAST), .since = "5.0.0", .complexity = "O(1)",
     .summary = "Counts the entries of a stream.", COMMAND_ONE_KEY(KEY_RO),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT)},
    {XSTREAM_ROW(xrange, -4, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"6.2.0", "Ranges without their ends."}), .since = "5.0.0",
     .complexity = "O(log n) and the entries shown", .summary = "Shows the entries between two ids.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("start", STRING), ARGUMENT("end", STRING),
                       XSTREAM_COUNT_ARGUMENT)},
    {XSTREAM_ROW(xrevrange, -4, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"6.2.0", "Ranges without their ends."}), .since = "5.0.0",
     .complexity = "O(log n) and the entries shown",
     .summary = "Shows the entries between two ids, the last one first.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("end", STRING), ARGUMENT("start", STRING),
                       XSTREAM_COUNT_ARGUMENT)},
};
COMMAND_FAMILY_COUNT(xstream);
