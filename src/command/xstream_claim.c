/* Streams: what is pending in a group, shown and given to other consumers. */
#include "base/alloc.h"
#include "command/families.h"
#include "command/xstream.h"

/* --- XPENDING -------------------------------------------------------------------------------- */

static void reply_summary(struct call *c, const struct xstream_group *g)
{
    size_t size = tree_size(&g->pending), consumers = 0;
    reply_array(c->reply, 4);
    reply_int(c->reply, (int64_t)size);
    if (size == 0) {
        reply_null(c->reply);
        reply_null(c->reply);
        reply_null_array(c->reply);
        return;
    }
    xstream_reply_id(c->reply, xstream_pending_at(tree_first(&g->pending))->id);
    xstream_reply_id(c->reply, xstream_pending_at(tree_last(&g->pending))->id);
    struct reply_deferred begin = reply_begin(c->reply);
    for (struct tree_place i = tree_first(&g->consumers); !tree_is_end(i); i = tree_next(i)) {
        const struct xstream_consumer *consumer = xstream_consumer_at(i);
        if (tree_size(&consumer->pending) == 0)
            continue;
        reply_array(c->reply, 2);
        reply_bulk(c->reply, consumer->name);
        reply_bulk_int(c->reply, (int64_t)tree_size(&consumer->pending));
        consumers++;
    }
    reply_end_array(c->reply, begin, consumers);
}

struct pending_range {
    struct xstream_id start, end;
    int64_t count, idle_min_ms;
    int consumer_index; /* argument; 0: all */
};

static int64_t idle_ms(const struct call *c, int64_t since_ms)
{
    int64_t idle;
    if (__builtin_sub_overflow(c->now_ms, since_ms, &idle))
        return INT64_MAX;
    return idle;
}

static void reply_pending(struct call *c, const struct xstream_pending *p)
{
    int64_t idle = idle_ms(c, p->delivered_ms);
    reply_array(c->reply, 4);
    xstream_reply_id(c->reply, p->id);
    reply_bulk(c->reply, p->consumer->name);
    reply_int(c->reply, idle < 0 ? 0 : idle);
    reply_int(c->reply, (int64_t)p->deliveries);
}

static void reply_range(struct call *c, const struct pending_range *r, const struct tree *pending)
{
    size_t replied = 0;
    struct reply_deferred begin = reply_begin(c->reply);
    struct tree_place i = xstream_pending_seek(pending, r->start);
    for (; !tree_is_end(i) && (int64_t)replied < r->count; i = tree_next(i)) {
        const struct xstream_pending *p = xstream_pending_at(i);
        if (xstream_id_compare(p->id, r->end) > 0)
            break;
        if (r->idle_min_ms != 0 && idle_ms(c, p->delivered_ms) < r->idle_min_ms)
            continue;
        reply_pending(c, p);
        replied++;
    }
    reply_end_array(c->reply, begin, replied);
}

static bool read_range(struct call *c, struct pending_range *r)
{
    int start = 3;
    enum { ARGUMENTS_WITH_IDLE = 8 };
    if (call_option(c, 3, "idle")) {
        if (!call_int64(c, 4, &r->idle_min_ms))
            return false;
        if (c->argc < ARGUMENTS_WITH_IDLE) {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
        start += 2;
    }
    r->consumer_index = start + 3 < c->argc ? start + 3 : 0;
    return call_int64(c, start + 2, &r->count) && xstream_read_start(c, start, &r->start) &&
           xstream_read_end(c, start + 1, &r->end);
}

static void xpending_command(struct call *c)
{
    enum { SUMMARY = 3, LEAST = 6, MOST = 9 };
    struct pending_range r = {0};
    struct xstream *s;
    struct xstream_group *g;
    if (c->argc != SUMMARY && (c->argc < LEAST || c->argc > MOST)) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if ((c->argc > SUMMARY && !read_range(c, &r)) || !xstream_find_group(c, &s, &g))
        return;
    const struct xstream_consumer *consumer =
        r.consumer_index > 0 ? xstream_consumer_find(g, c->argv[r.consumer_index]) : NULL;
    if (c->argc == SUMMARY)
        reply_summary(c, g);
    else if (r.consumer_index > 0 && !consumer)
        reply_array(c->reply, 0);
    else
        reply_range(c, &r, consumer ? &consumer->pending : &g->pending);
}

/* --- XCLAIM ----------------------------------------------------------------------------------- */

struct claim {
    int64_t idle_min_ms, delivered_ms, deliveries; /* deliveries -1: not given */
    bool is_forced, is_id_only;
    struct xstream_id last_id;
    int id_count;
};

/* delivered_ms of a claim without IDLE and TIME; what either says may come down to the same. */
enum { TIME_NONE = -1 };

static bool read_claim_option(struct call *c, int *index, struct claim *claim)
{
    int i = *index;
    bool has_more = i + 1 < c->argc, is_good = true;
    *index = i + has_more;
    if (has_more && call_option(c, i, "idle")) {
        is_good = call_int64_or(c, i + 1, &claim->delivered_ms, "ERR Invalid IDLE option argument for XCLAIM");
        claim->delivered_ms = (int64_t)((uint64_t)c->now_ms - (uint64_t)claim->delivered_ms);
    } else if (has_more && call_option(c, i, "time")) {
        is_good = call_int64_or(c, i + 1, &claim->delivered_ms, "ERR Invalid TIME option argument for XCLAIM");
    } else if (has_more && call_option(c, i, "retrycount")) {
        is_good = call_int64_or(c, i + 1, &claim->deliveries, "ERR Invalid RETRYCOUNT option argument for XCLAIM");
    } else if (has_more && call_option(c, i, "lastid")) {
        is_good = xstream_read_strict_id(c, i + 1, &claim->last_id);
    } else {
        *index = i;
        if (call_option(c, i, "force")) {
            claim->is_forced = true;
        } else if (call_option(c, i, "justid")) {
            claim->is_id_only = true;
        } else {
            reply_error_format(c->reply, "ERR Unrecognized XCLAIM option '%.*s'", (int)c->argv[i].len, c->argv[i].ptr);
            is_good = false;
        }
    }
    return is_good;
}

static bool read_idle(struct call *c, int64_t *idle_min_ms, const char *error)
{
    if (!call_int64_or(c, 4, idle_min_ms, error))
        return false;
    if (*idle_min_ms < 0)
        *idle_min_ms = 0;
    return true;
}

static bool read_claim(struct call *c, struct claim *claim, struct xstream_id *ids)
{
    if (!read_idle(c, &claim->idle_min_ms, "ERR Invalid min-idle-time argument for XCLAIM"))
        return false;
    const struct xstream_id_form form = {.is_strict = true};
    int i = 5;
    while (i < c->argc && xstream_id_of(c->argv[i], &form, &ids[i - 5]))
        i++;
    claim->id_count = i - 5;
    for (; i < c->argc; i++)
        if (!read_claim_option(c, &i, claim))
            return false;
    if (claim->delivered_ms < 0 || claim->delivered_ms > c->now_ms)
        claim->delivered_ms = c->now_ms;
    return true;
}

/* The consumer who claims; made only when there is something for it. */
static struct xstream_consumer *claimer(struct call *c, struct xstream_group *g)
{
    return xstream_meet_consumer(c, g, c->argv[3], c->argv[1]);
}

/* True if it was claimed, and replied. */
static bool claim_one(struct call *c, const struct claim *claim, struct xstream *s, struct xstream_group *g,
                      struct xstream_id id)
{
    struct xstream_pending *p = xstream_pending_find(g, id);
    if (!xstream_has(s, id)) {
        if (p)
            xstream_pending_remove(s, g, p);
        xstream_count_changes(c, p != NULL);
        return false;
    }
    if (!p && !claim->is_forced)
        return false;
    if (p && claim->idle_min_ms > 0 && idle_ms(c, p->delivered_ms) < claim->idle_min_ms)
        return false;
    struct xstream_consumer *consumer = claimer(c, g);
    if (!p)
        p = xstream_pending_create(s, g, consumer, id, c->now_ms);
    p->delivered_ms = claim->delivered_ms;
    if (claim->deliveries >= 0)
        p->deliveries = (uint64_t)claim->deliveries;
    else if (!claim->is_id_only)
        p->deliveries++;
    xstream_pending_give(p, consumer);
    if (claim->is_id_only)
        xstream_reply_id(c->reply, id);
    else
        xstream_reply_one(c->reply, s, id);
    xstream_count_changes(c, 1);
    return true;
}

static void claim_all(struct call *c, const struct claim *claim, struct xstream *s, struct xstream_group *g,
                      const struct xstream_id *ids)
{
    bool has_moved = xstream_id_compare(claim->last_id, g->last_id) > 0;
    if (has_moved)
        g->last_id = claim->last_id;
    size_t claimed = 0;
    uint64_t before = keyspace_changes(c->ks);
    struct reply_deferred begin = reply_begin(c->reply);
    for (int i = 0; i < claim->id_count; i++)
        claimed += claim_one(c, claim, s, g, ids[i]);
    reply_end_array(c->reply, begin, claimed);
    xstream_count_changes(c, has_moved && keyspace_changes(c->ks) == before);
}

static void xclaim_command(struct call *c)
{
    struct claim claim = {.delivered_ms = TIME_NONE, .deliveries = -1};
    struct xstream *s;
    struct xstream_group *g;
    if (!xstream_find_group(c, &s, &g))
        return;
    struct xstream_id *ids = mem_alloc((size_t)c->argc * sizeof *ids);
    if (read_claim(c, &claim, ids))
        claim_all(c, &claim, s, g, ids);
    mem_free(ids);
}

/* --- XAUTOCLAIM ---------------------------------------------------------------------------------- */

struct sweep {
    struct xstream_id start;
    int64_t idle_min_ms, count;
    bool is_id_only;
};

static bool read_sweep(struct call *c, struct sweep *sweep)
{
    static const int64_t count_max = INT64_MAX / 16; /* so Redis has it */
    if (!read_idle(c, &sweep->idle_min_ms, "ERR Invalid min-idle-time argument for XAUTOCLAIM") ||
        !xstream_read_start(c, 5, &sweep->start))
        return false;
    for (int i = 6; i < c->argc; i++) {
        if (call_option(c, i, "count") && i + 1 < c->argc) {
            static const char error[] = "ERR COUNT must be > 0";
            if (!call_int64_or(c, ++i, &sweep->count, error))
                return false;
            if (sweep->count < 1 || sweep->count > count_max) {
                reply_error(c->reply, error);
                return false;
            }
        } else if (call_option(c, i, "justid")) {
            sweep->is_id_only = true;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

/* What a sweep has done so far. */
struct swept {
    struct reply claimed_reply, gone_reply; /* into buffers of their own */
    struct buf claimed_bytes, gone_bytes;
    size_t claimed, gone;
};

static void swept_init(struct swept *w, const struct reply *r)
{
    buf_init(&w->claimed_bytes);
    buf_init(&w->gone_bytes);
    w->claimed = w->gone = 0;
    w->claimed_reply = (struct reply){.out = r->out ? &w->claimed_bytes : NULL, .protocol = r->protocol};
    w->gone_reply = (struct reply){.out = r->out ? &w->gone_bytes : NULL, .protocol = r->protocol};
}

static void swept_deinit(struct swept *w)
{
    buf_deinit(&w->claimed_bytes);
    buf_deinit(&w->gone_bytes);
}

static void sweep_one(struct call *c, const struct sweep *sweep, struct xstream *s, struct xstream_group *g,
                      struct xstream_pending *p, struct swept *w)
{
    if (!xstream_has(s, p->id)) {
        xstream_reply_id(&w->gone_reply, p->id);
        xstream_pending_remove(s, g, p);
        w->gone++;
        xstream_count_changes(c, 1);
        return;
    }
    if (sweep->idle_min_ms > 0 && idle_ms(c, p->delivered_ms) < sweep->idle_min_ms)
        return;
    p->delivered_ms = c->now_ms;
    p->deliveries += !sweep->is_id_only;
    xstream_pending_give(p, claimer(c, g));
    if (sweep->is_id_only)
        xstream_reply_id(&w->claimed_reply, p->id);
    else
        xstream_reply_one(&w->claimed_reply, s, p->id);
    w->claimed++;
    xstream_count_changes(c, 1);
}

/* Returns where the next sweep goes on; zero at the end. */
static struct xstream_id sweep_all(struct call *c, const struct sweep *sweep, struct xstream *s,
                                   struct xstream_group *g, struct swept *w)
{
    enum { LOOKS = 10 }; /* at so many entries for each one wanted */
    int64_t looks = sweep->count <= INT64_MAX / LOOKS ? sweep->count * LOOKS : INT64_MAX;
    struct xstream_id next = sweep->start;
    while (true) {
        struct tree_place place = xstream_pending_seek(&g->pending, next);
        if (tree_is_end(place))
            return XSTREAM_ID_ZERO;
        struct xstream_pending *p = xstream_pending_at(place);
        struct xstream_id id = p->id;
        if (looks-- == 0 || (int64_t)(w->claimed + w->gone) == sweep->count)
            return id;
        sweep_one(c, sweep, s, g, p, w);
        next = id;
        if (!xstream_id_increment(&next))
            return XSTREAM_ID_ZERO;
    }
}

static void xautoclaim_command(struct call *c)
{
    struct sweep sweep = {.count = 100};
    struct xstream *s;
    struct xstream_group *g;
    struct swept w;
    struct slice bytes;
    const struct entry *e = call_find(c, 1);
    if (!read_sweep(c, &sweep) || !xstream_group_in(c, e, &s, &g))
        return;
    swept_init(&w, c->reply);
    struct xstream_id next = sweep_all(c, &sweep, s, g, &w);
    reply_array(c->reply, 3);
    xstream_reply_id(c->reply, next);
    reply_array(c->reply, w.claimed);
    bytes = buf_slice(&w.claimed_bytes);
    reply_raw(c->reply, bytes.ptr, bytes.len);
    reply_array(c->reply, w.gone);
    bytes = buf_slice(&w.gone_bytes);
    reply_raw(c->reply, bytes.ptr, bytes.len);
    swept_deinit(&w);
}

/* --- the table -------------------------------------------------------------------------------------- */
#define CLAIM_ARGUMENTS                                                                                      \
    XSTREAM_KEY_ARGUMENT, ARGUMENT("group", STRING), ARGUMENT("consumer", STRING), ARGUMENT("min-idle-time", STRING)
#define JUSTID_ARGUMENT ARGUMENT("justid", PURE_TOKEN, .token = "JUSTID", .flags = ARGUMENT_OPTIONAL)

const struct command command_xstream_claim_rows[] = {
    {XSTREAM_ROW(xpending, -3, READ, COMMAND_READONLY | COMMAND_READS_TIME),
     COMMAND_HISTORY({"6.2.0", "IDLE, and ranges without their ends."}), .since = "5.0.0",
     .complexity = "O(log n) and what is looked at", .summary = "Shows what is delivered and not acknowledged.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(XSTREAM_KEY_ARGUMENT, ARGUMENT("group", STRING),
                       ARGUMENT("filters", BLOCK, .flags = ARGUMENT_OPTIONAL,
                                COMMAND_ARGUMENTS(ARGUMENT("min-idle-time", INTEGER, .token = "IDLE",
                                                           .flags = ARGUMENT_OPTIONAL, .since = "6.2.0"),
                                                  ARGUMENT("start", STRING), ARGUMENT("end", STRING),
                                                  ARGUMENT("count", INTEGER),
                                                  ARGUMENT("consumer", STRING, .flags = ARGUMENT_OPTIONAL))))},
    {XSTREAM_ROW(xclaim, -6, WRITE, COMMAND_WRITE | COMMAND_FAST | COMMAND_READS_TIME), .since = "5.0.0",
     .complexity = "O(log n) for each entry", .summary = "Gives pending entries to another consumer.",
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(CLAIM_ARGUMENTS, XSTREAM_ID_ARGUMENTS,
                       ARGUMENT("ms", INTEGER, .token = "IDLE", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("unix-time-milliseconds", UNIX_TIME, .token = "TIME", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("count", INTEGER, .token = "RETRYCOUNT", .flags = ARGUMENT_OPTIONAL),
                       ARGUMENT("force", PURE_TOKEN, .token = "FORCE", .flags = ARGUMENT_OPTIONAL), JUSTID_ARGUMENT,
                       ARGUMENT("id", STRING, .token = "LASTID", .flags = ARGUMENT_OPTIONAL))},
    {XSTREAM_ROW(xautoclaim, -6, WRITE, COMMAND_WRITE | COMMAND_FAST | COMMAND_READS_TIME),
     COMMAND_HISTORY({"7.0.0", "Tells which of the entries are no longer there."}), .since = "6.2.0",
     .complexity = "O(log n) for each of COUNT entries",
     .summary = "Gives pending entries that have been idle for long to another consumer.",
     COMMAND_ONE_KEY(KEY_RW | KEY_DELETE), COMMAND_TIPS("nondeterministic_output"),
     COMMAND_ARGUMENTS(CLAIM_ARGUMENTS, ARGUMENT("start", STRING), XSTREAM_COUNT_ARGUMENT, JUSTID_ARGUMENT)},
};
COMMAND_FAMILY_COUNT(xstream_claim);
