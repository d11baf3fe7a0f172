/* Streams: XREAD and XREADGROUP, what came after an id, at once or waited for. */
#include "base/alloc.h"
#include "command/families.h"
#include "command/xstream.h"

enum { WAITING_COUNT = 1000 }; /* entries at most for who waited and named no count */

struct reading {
    bool is_of_group; /* XREADGROUP */
    bool may_wait, is_unacknowledged;
    int64_t timeout_ms;
    uint64_t count; /* 0: all */
    int group_index, first_key, xstream_count;
};

/* One of the streams read. */
struct source {
    struct xstream_id after;
    bool is_new; /* ">" */
    struct xstream_group *group;
};

/* --- reading the call -------------------------------------------------------------------- */

static bool read_timeout(struct call *c, int index, int64_t *timeout_ms)
{
    if (!call_int64_or(c, index, timeout_ms, "ERR timeout is not an integer or out of range"))
        return false;
    if (*timeout_ms < 0)
        reply_error(c->reply, "ERR timeout is negative");
    return *timeout_ms >= 0;
}

static bool read_streams(struct call *c, int index, struct reading *r)
{
    int arguments = c->argc - index;
    r->first_key = index;
    r->xstream_count = arguments / 2;
    if (arguments % 2 == 0)
        return true;
    reply_error(c->reply, "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.");
    return false;
}

/* For XREAD, the error that this option is. */
static bool is_for_groups(struct call *c, const struct reading *r, const char *option)
{
    if (!r->is_of_group)
        reply_error_format(c->reply, "ERR The %s option is only supported by XREADGROUP. You called XREAD instead.",
                           option);
    return r->is_of_group;
}

/* The option at *index, which becomes its last argument. */
static bool read_option(struct call *c, int *index, struct reading *r)
{
    int i = *index, left = c->argc - i - 1;
    if (call_option(c, i, "block") && left >= 1) {
        r->may_wait = true;
        *index = i + 1;
        return read_timeout(c, i + 1, &r->timeout_ms);
    }
    if (call_option(c, i, "count") && left >= 1) {
        int64_t count;
        *index = i + 1;
        if (!call_int64(c, i + 1, &count))
            return false;
        r->count = count < 0 ? 0 : (uint64_t)count;
        return true;
    }
    if (call_option(c, i, "group") && left >= 2) {
        r->group_index = i + 1;
        *index = i + 2;
        return is_for_groups(c, r, "GROUP");
    }
    if (call_option(c, i, "noack")) {
        r->is_unacknowledged = true;
        return is_for_groups(c, r, "NOACK");
    }
    reply_error(c->reply, ERROR_SYNTAX);
    return false;
}

static bool read_call(struct call *c, struct reading *r)
{
    for (int i = 1; i < c->argc && r->first_key == 0; i++) {
        if (call_option(c, i, "streams") && i + 1 < c->argc) {
            if (!read_streams(c, i + 1, r))
                return false;
        } else if (!read_option(c, &i, r)) {
            return false;
        }
    }
    const char *error = NULL;
    if (r->first_key == 0)
        error = ERROR_SYNTAX;
    else if (r->is_of_group && r->group_index == 0)
        error = "ERR Missing GROUP option for XREADGROUP";
    if (error)
        reply_error(c->reply, error);
    return !error;
}

/* --- where to read from -------------------------------------------------------------------- */

static bool find_group(struct call *c, const struct reading *r, int key, const struct xstream *s, struct source *source)
{
    struct slice name = c->argv[r->group_index];
    source->group = s ? xstream_group_find(s, name) : NULL;
    if (!source->group)
        reply_error_format(c->reply,
                           "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP option",
                           (int)c->argv[key].len, c->argv[key].ptr, (int)name.len, name.ptr);
    return source->group;
}

static bool find_source(struct call *c, const struct reading *r, int key, struct source *source)
{
    struct entry *e;
    int id = key + r->xstream_count;
    *source = (struct source){0};
    if (!call_find_type(c, key, VALUE_STREAM, &e))
        return false;
    struct value v = e ? entry_value(e) : (struct value){0};
    const struct xstream *s = xstream_of(&v);
    if (r->is_of_group && !find_group(c, r, key, s, source))
        return false;
    bool is_last = xstream_is_word(c, id, "$");
    source->is_new = xstream_is_word(c, id, ">");
    if (is_last && r->is_of_group) {
        reply_error(c->reply, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of "
                              "this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID "
                              "would just return an empty result set.");
        return false;
    }
    if (source->is_new && !r->is_of_group) {
        reply_error(c->reply, "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
                              "<consumer> option.");
        return false;
    }
    if (is_last)
        source->after = s ? s->last_id : XSTREAM_ID_ZERO;
    if (is_last || source->is_new)
        return true;
    if (!xstream_read_strict_id(c, id, &source->after))
        return false;
    source->is_new = r->is_of_group && xstream_id_compare(source->after, XSTREAM_ID_MAX) == 0; /* so Redis writes ">" */
    return true;
}

/* --- answering ------------------------------------------------------------------------------ */

static void deliver(struct call *c, const struct reading *r, struct xstream *s, struct xstream_group *g,
                    struct xstream_consumer *consumer, struct xstream_id id)
{
    if (xstream_id_compare(id, g->last_id) > 0)
        xstream_group_deliver(s, g, id);
    if (r->is_unacknowledged)
        return;
    struct xstream_pending *p = xstream_pending_find(g, id);
    if (!p) {
        xstream_pending_create(s, g, consumer, id, c->now_ms);
        return;
    }
    xstream_pending_give(p, consumer);
    p->delivered_ms = c->now_ms;
    p->deliveries = 1;
}

static void reply_new(struct call *c, const struct reading *r, struct xstream *s, struct xstream_group *g,
                      struct xstream_consumer *consumer)
{
    struct xstream_iterator i;
    struct xstream_id start = g->last_id;
    size_t replied = 0;
    struct reply_deferred begin = reply_begin(c->reply);
    xstream_id_increment(&start);
    xstream_iterate(&i, s, start, XSTREAM_ID_MAX, false);
    while ((r->count == 0 || replied < r->count) && xstream_next(&i)) {
        xstream_reply_entry(c->reply, &i);
        deliver(c, r, s, g, consumer, i.entry.id);
        replied++;
    }
    reply_end_array(c->reply, begin, replied);
}

static void reply_history(struct call *c, const struct reading *r, const struct xstream *s,
                          const struct xstream_consumer *consumer, struct xstream_id start)
{
    size_t replied = 0;
    struct reply_deferred begin = reply_begin(c->reply);
    struct tree_place place = xstream_pending_seek(&consumer->pending, start);
    for (; !tree_is_end(place) && (r->count == 0 || replied < r->count); place = tree_next(place), replied++) {
        struct xstream_pending *p = xstream_pending_at(place);
        if (xstream_reply_one(c->reply, s, p->id)) {
            p->delivered_ms = c->now_ms;
            p->deliveries++;
        } else {
            reply_array(c->reply, 2);
            xstream_reply_id(c->reply, p->id);
            reply_null_array(c->reply);
        }
    }
    reply_end_array(c->reply, begin, replied);
}

static bool has_answer(const struct source *source, const struct xstream *s)
{
    if (source->group && !source->is_new)
        return true;
    return s->length > 0 &&
           xstream_id_compare(xstream_top_id(s), source->is_new ? source->group->last_id : source->after) > 0;
}

static void reply_source(struct call *c, const struct reading *r, int key, const struct source *source, struct xstream *s)
{
    struct xstream_id start = source->after;
    xstream_id_increment(&start);
    if (c->reply->protocol == 2)
        reply_array(c->reply, 2);
    reply_bulk(c->reply, c->argv[key]);
    if (!source->group) {
        xstream_reply_range(c->reply, s, start, XSTREAM_ID_MAX, r->count, false);
        return;
    }
    struct slice name = c->argv[r->group_index + 1];
    struct xstream_consumer *consumer = xstream_meet_consumer(c, source->group, name, c->argv[key]);
    if (source->is_new)
        reply_new(c, r, s, source->group, consumer);
    else
        reply_history(c, r, s, consumer, start);
    xstream_count_changes(c, 1);
}

/* True if there was something to answer. */
static bool answer(struct call *c, const struct reading *r, const struct source *sources)
{
    struct reply_deferred begin = {0};
    size_t answered = 0;
    for (int i = 0; i < r->xstream_count; i++) {
        const struct entry *e = call_find(c, r->first_key + i);
        struct value v = e ? entry_value(e) : (struct value){0};
        if (!e || !has_answer(&sources[i], xstream_of(&v)))
            continue;
        if (answered++ == 0)
            begin = reply_begin(c->reply);
        reply_source(c, r, r->first_key + i, &sources[i], xstream_of(&v));
    }
    if (answered > 0 && c->reply->protocol == 2)
        reply_end_array(c->reply, begin, answered);
    else if (answered > 0)
        reply_end_map(c->reply, begin, answered);
    return answered > 0;
}

/* --- waiting ---------------------------------------------------------------------------------- */

enum { WORDS_MAX = 10 }; /* in front of the keys */

/* The words in front of the keys: the group first, where who waits for a group is
 * told apart by it. */
static int options_of(const struct call *c, const struct reading *r, struct slice words[static WORDS_MAX],
                      char numbers[static 2 * INT64_TEXT_MAX])
{
    int n = 0;
    words[n++] = c->argv[0];
    if (r->is_of_group) {
        words[n++] = SLICE_LITERAL("GROUP");
        words[n++] = c->argv[r->group_index];
        words[n++] = c->argv[r->group_index + 1];
    }
    int64_t count = r->count > 0 ? (int64_t)r->count : WAITING_COUNT;
    words[n++] = SLICE_LITERAL("COUNT");
    words[n++] = slice_make(numbers, int64_to_text(count, numbers));
    words[n++] = SLICE_LITERAL("BLOCK");
    words[n++] = slice_make(numbers + INT64_TEXT_MAX, int64_to_text(r->timeout_ms, numbers + INT64_TEXT_MAX));
    if (r->is_unacknowledged)
        words[n++] = SLICE_LITERAL("NOACK");
    return n;
}

static void copy_word(struct slice *to, char **at, struct slice word)
{
    memcpy(*at, word.ptr, word.len);
    *to = slice_make(*at, word.len);
    *at += word.len;
}

/* The call once more, with ids for what "$" means now. */
static struct slice *words_of(const struct call *c, const struct reading *r, const struct source *sources, int *argc,
                              int *first_key)
{
    struct slice words[WORDS_MAX];
    char numbers[2 * INT64_TEXT_MAX];
    int options = options_of(c, r, words, numbers);
    size_t bytes = 0;
    words[options++] = SLICE_LITERAL("STREAMS");
    for (int i = 0; i < options; i++)
        bytes += words[i].len;
    for (int i = 0; i < r->xstream_count; i++)
        bytes += c->argv[r->first_key + i].len + XSTREAM_ID_TEXT_MAX;
    *first_key = options;
    *argc = options + 2 * r->xstream_count;
    struct slice *argv = mem_alloc((size_t)*argc * sizeof *argv + bytes);
    char *at = (char *)&argv[*argc];
    for (int i = 0; i < options; i++)
        copy_word(&argv[i], &at, words[i]);
    for (int i = 0; i < r->xstream_count; i++)
        copy_word(&argv[options + i], &at, c->argv[r->first_key + i]);
    for (int i = 0; i < r->xstream_count; i++) {
        char id[XSTREAM_ID_TEXT_MAX];
        struct slice word = sources[i].is_new ? SLICE_LITERAL(">") : xstream_id_text(sources[i].after, id);
        copy_word(&argv[options + r->xstream_count + i], &at, word);
    }
    return argv;
}

static void wait_or_give_up(struct call *c, const struct reading *r, const struct source *sources)
{
    struct call_wait wait = {.type = VALUE_STREAM, .key_step = 1, .timeout_ms = r->timeout_ms, .is_null_array = true};
    if (r->may_wait && c->wait && !c->is_in_transaction) {
        wait.argv = words_of(c, r, sources, &wait.argc, &wait.first_key);
        wait.last_key = wait.first_key + r->xstream_count - 1;
    }
    if (!wait.argv || !call_block(c, &wait))
        reply_null_array(c->reply);
}

static void read_or_wait(struct call *c, bool is_of_group)
{
    enum { FEW = 8 };
    struct reading r = {.is_of_group = is_of_group};
    if (!read_call(c, &r))
        return;
    struct source few[FEW], *sources = r.xstream_count <= FEW ? few : mem_alloc((size_t)r.xstream_count * sizeof *sources);
    int found = 0;
    while (found < r.xstream_count && find_source(c, &r, r.first_key + found, &sources[found]))
        found++;
    if (found == r.xstream_count && !answer(c, &r, sources))
        wait_or_give_up(c, &r, sources);
    if (sources != few)
        mem_free(sources);
}

static void xread_command(struct call *c)
{
    read_or_wait(c, false);
}

static void xreadgroup_command(struct call *c)
{
    read_or_wait(c, true);
}

/* --- the table -------------------------------------------------------------------------------- */
#define BLOCK_ARGUMENT ARGUMENT("milliseconds", INTEGER, .token = "BLOCK", .flags = ARGUMENT_OPTIONAL)
#define STREAMS_ARGUMENT                                                                                     \
    ARGUMENT("streams", BLOCK, .token = "STREAMS",                                                           \
             COMMAND_ARGUMENTS(ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE), XSTREAM_ID_ARGUMENTS))

const struct command command_xstream_read_rows[] = {
    {XSTREAM_ROW(xread, -4, READ, COMMAND_READONLY | COMMAND_BLOCKING | COMMAND_MOVABLEKEYS | COMMAND_READS_TIME),
     .since = "5.0.0", .complexity = "O(log n) for each stream, and the entries shown",
     .summary = "Shows the entries of streams above given ids, and waits for some if asked to.",
     COMMAND_SPECS(KEY_KEYWORD_RANGE("STREAMS", 1, KEY_RO | KEY_ACCESS, -1, 1, 2)),
     COMMAND_ARGUMENTS(XSTREAM_COUNT_ARGUMENT, BLOCK_ARGUMENT, STREAMS_ARGUMENT)},
    {XSTREAM_ROW(xreadgroup, -7, WRITE, COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLEKEYS | COMMAND_READS_TIME),
     .since = "5.0.0", .complexity = "O(log n) for each stream and each entry shown",
     .summary = "Shows entries as a consumer of a group: new ones, or those delivered to it before.",
     COMMAND_SPECS(KEY_KEYWORD_RANGE("STREAMS", 4, KEY_RO | KEY_ACCESS, -1, 1, 2)),
     COMMAND_ARGUMENTS(ARGUMENT("group_consumer", BLOCK, .token = "GROUP",
                                COMMAND_ARGUMENTS(ARGUMENT("group", STRING), ARGUMENT("consumer", STRING))),
                       XSTREAM_COUNT_ARGUMENT, BLOCK_ARGUMENT,
                       ARGUMENT("noack", PURE_TOKEN, .token = "NOACK", .flags = ARGUMENT_OPTIONAL),
                       STREAMS_ARGUMENT)},
};
COMMAND_FAMILY_COUNT(xstream_read);
