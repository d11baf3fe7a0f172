/* Lists: pushing and popping, elements by index, ranges.  What moves elements
 * between keys, or waits for them, is list_move.c's. */
#include "command/families.h"
#include "command/list_call.h"

/* --- shared --------------------------------------------------------------------- */

bool list_read_side(struct call *c, int index, bool *is_front)
{
    *is_front = call_option(c, index, "left");
    if (*is_front || call_option(c, index, "right"))
        return true;
    reply_error(c->reply, ERROR_SYNTAX);
    return false;
}

bool list_read_at_least(struct call *c, int index, int64_t min, const char *error, int64_t *value)
{
    if (slice_to_int64(c->argv[index], value) && *value >= min)
        return true;
    reply_error(c->reply, error);
    return false;
}

void list_changed(struct call *c, const char *event, struct slice key, uint64_t count)
{
    call_notify(c, EVENT_LIST, event, key);
    keyspace_touch(c->ks, c->db, key);
    keyspace_count_changes(c->ks, count);
}

void list_settle(struct call *c, struct entry *e, struct value v, struct slice key, const char *event,
                 uint64_t count)
{
    entry_put_value(e, v);
    list_changed(c, event, key, count);
    if (list_length(&v) == 0)
        call_delete_empty(c, key);
}

void list_reply_element(struct call *c, struct list_place place)
{
    char scratch[INT64_TEXT_MAX];
    reply_bulk(c->reply, listpack_text(place.at, scratch));
}

void list_reply_pop(struct call *c, struct value *v, bool is_front, uint64_t count)
{
    for (; count > 0; count--) {
        list_reply_element(c, list_end(v, is_front));
        list_pop(v, is_front);
    }
}

/* --- pushing and popping ----------------------------------------------------------- */

static void push(struct call *c, bool is_front, bool wants_key)
{
    struct slice key = c->argv[1];
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    if (!e && wants_key) {
        reply_int(c->reply, 0);
        return;
    }
    struct value v = e ? entry_value(e) : list_create();
    for (int i = 2; i < c->argc; i++)
        list_push(&v, keyspace_env(c->ks), is_front, c->argv[i]);
    if (e)
        entry_put_value(e, v);
    else
        call_set_value(c, key, VALUE_LIST, v);
    list_changed(c, list_push_event(is_front), key, (uint64_t)c->argc - 2);
    reply_int(c->reply, (int64_t)list_length(&v));
}

static void lpush_command(struct call *c)
{
    push(c, true, false);
}

static void rpush_command(struct call *c)
{
    push(c, false, false);
}

static void lpushx_command(struct call *c)
{
    push(c, true, true);
}

static void rpushx_command(struct call *c)
{
    push(c, false, true);
}

static void pop_one(struct call *c, bool is_front)
{
    struct entry *e;
    if (!call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    if (!e) {
        reply_null(c->reply);
        return;
    }
    struct value v = entry_value(e);
    list_reply_pop(c, &v, is_front, 1);
    list_settle(c, e, v, c->argv[1], list_pop_event(is_front), 1);
}

static void pop_many(struct call *c, bool is_front)
{
    struct entry *e;
    int64_t limit;
    if (!list_read_at_least(c, 2, 0, "ERR value is out of range, must be positive", &limit) ||
        !call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    if (!e) {
        reply_null_array(c->reply);
        return;
    }
    struct value v = entry_value(e);
    uint64_t length = list_length(&v), count = (uint64_t)limit < length ? (uint64_t)limit : length;
    reply_array(c->reply, count);
    if (count == 0)
        return;
    list_reply_pop(c, &v, is_front, count);
    list_settle(c, e, v, c->argv[1], list_pop_event(is_front), count);
}

static void pop(struct call *c, bool is_front)
{
    if (c->argc > 3)
        call_arity_error(c);
    else if (c->argc == 3)
        pop_many(c, is_front);
    else
        pop_one(c, is_front);
}

static void lpop_command(struct call *c)
{
    pop(c, true);
}

static void rpop_command(struct call *c)
{
    pop(c, false);
}

/* --- elements --------------------------------------------------------------------- */

static void llen_command(struct call *c)
{
    struct value v;
    bool is_there;
    if (call_find_value(c, 1, VALUE_LIST, &v, &is_there))
        reply_int(c->reply, is_there ? (int64_t)list_length(&v) : 0);
}

static void lindex_command(struct call *c)
{
    struct entry *e;
    int64_t index;
    if (!call_find_type(c, 1, VALUE_LIST, &e))
        return;
    if (!e) {
        reply_null(c->reply);
        return;
    }
    if (!call_int64(c, 2, &index))
        return;
    struct value v = entry_value(e);
    struct list_place place = list_at(&v, index);
    if (place.at)
        list_reply_element(c, place);
    else
        reply_null(c->reply);
}

static void lset_command(struct call *c)
{
    struct entry *e;
    int64_t index;
    if (!call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    if (!e) {
        reply_error(c->reply, ERROR_NO_SUCH_KEY);
        return;
    }
    if (!call_int64(c, 2, &index))
        return;
    struct value v = entry_value(e);
    struct list_place place = list_at(&v, index);
    if (!place.at) {
        reply_error(c->reply, "ERR index out of range");
        return;
    }
    list_set(&v, keyspace_env(c->ks), place, c->argv[3]);
    list_settle(c, e, v, c->argv[1], "lset", 1);
    reply_ok(c->reply);
}

static void linsert_command(struct call *c)
{
    struct entry *e;
    bool is_after = call_option(c, 2, "after");
    if (!is_after && !call_option(c, 2, "before")) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (!call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    if (!e) {
        reply_int(c->reply, 0);
        return;
    }
    struct value v = entry_value(e);
    struct list_place place = list_find(&v, c->argv[3]);
    if (!place.at) {
        reply_int(c->reply, -1);
        return;
    }
    list_insert(&v, keyspace_env(c->ks), place, is_after, c->argv[4]);
    list_settle(c, e, v, c->argv[1], "linsert", 1);
    reply_int(c->reply, (int64_t)list_length(&v));
}

static void lrem_command(struct call *c)
{
    struct entry *e;
    int64_t count;
    if (!call_int64(c, 2, &count) || !call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    uint64_t removed = 0;
    if (e) {
        struct value v = entry_value(e);
        uint64_t limit = count == 0 ? UINT64_MAX : count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
        removed = list_remove_equal(&v, keyspace_env(c->ks), c->argv[3], limit, count < 0);
        if (removed)
            list_settle(c, e, v, c->argv[1], "lrem", removed);
    }
    reply_int(c->reply, (int64_t)removed);
}

/* --- ranges ------------------------------------------------------------------------ */

/* The elements from start to stop, both included and counted from the end where
 * negative, as index and count. */
struct range {
    uint64_t index, count;
};

static bool read_ends(struct call *c, int64_t *start, int64_t *stop)
{
    return call_int64(c, 2, start) && call_int64(c, 3, stop);
}

static struct range range_of(uint64_t length, int64_t start, int64_t stop)
{
    int64_t size = (int64_t)length;
    start = start < 0 ? start + size : start;
    stop = stop < 0 ? stop + size : stop;
    start = start < 0 ? 0 : start;
    stop = stop >= size ? size - 1 : stop;
    if (start > stop)
        return (struct range){0};
    return (struct range){(uint64_t)start, (uint64_t)(stop - start) + 1};
}

static void lrange_command(struct call *c)
{
    struct entry *e;
    int64_t start, stop;
    if (!read_ends(c, &start, &stop) || !call_find_type(c, 1, VALUE_LIST, &e))
        return;
    struct value v = e ? entry_value(e) : (struct value){0};
    struct range range = e ? range_of(list_length(&v), start, stop) : (struct range){0};
    reply_array(c->reply, range.count);
    if (range.count == 0)
        return;
    struct list_place place = list_at(&v, (int64_t)range.index);
    for (;;) {
        list_reply_element(c, place);
        if (--range.count == 0)
            return;
        place = list_next(&v, place);
    }
}

static void ltrim_command(struct call *c)
{
    struct entry *e;
    int64_t start, stop;
    if (!read_ends(c, &start, &stop) || !call_find_type_for_write(c, 1, VALUE_LIST, &e))
        return;
    if (e) {
        struct value v = entry_value(e);
        uint64_t length = list_length(&v);
        struct range kept = range_of(length, start, stop);
        uint64_t end = kept.index + kept.count;
        list_remove_range(&v, keyspace_env(c->ks), end, length - end);
        list_remove_range(&v, keyspace_env(c->ks), 0, kept.index);
        list_settle(c, e, v, c->argv[1], "ltrim", length - kept.count);
    }
    reply_ok(c->reply);
}

/* --- LPOS ----------------------------------------------------------------------------- */

struct search {
    int64_t rank;      /* which match is the first to tell; negative: from the end */
    int64_t count;     /* matches to tell, 0: all */
    int64_t max;       /* elements to look at, 0: all */
    bool has_count;
};

#define ERROR_RANK                                                                                             \
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to "   \
    "start from the end of the list"

static bool read_rank(struct call *c, int index, struct search *s)
{
    if (!call_int64(c, index, &s->rank))
        return false;
    if (s->rank == 0)
        reply_error(c->reply, ERROR_RANK);
    return s->rank != 0;
}

static bool parse_search(struct call *c, struct search *s)
{
    for (int i = 3; i < c->argc; i += 2) {
        bool is_last = i + 1 == c->argc;
        if (!is_last && call_option(c, i, "rank")) {
            if (!read_rank(c, i + 1, s))
                return false;
        } else if (!is_last && call_option(c, i, "count")) {
            if (!list_read_at_least(c, i + 1, 0, "ERR COUNT can't be negative", &s->count))
                return false;
            s->has_count = true;
        } else if (!is_last && call_option(c, i, "maxlen")) {
            if (!list_read_at_least(c, i + 1, 0, "ERR MAXLEN can't be negative", &s->max))
                return false;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    /* The one number whose negative is none; Redis takes it so. */
    if (s->rank == INT64_MIN) {
        s->rank = -1;
        s->count = s->has_count ? 0 : s->count;
    }
    return true;
}

/* Answers with the matches, or leaves in *first the first of them; returns how
 * many there were. */
static size_t search(struct call *c, const struct value *v, const struct search *s, int64_t *first)
{
    bool is_backward = s->rank < 0;
    int64_t passed = is_backward ? -s->rank - 1 : s->rank - 1, length = (int64_t)list_length(v);
    int64_t seen = 0;
    size_t found = 0;
    for (struct list_place place = list_end(v, !is_backward); place.at && (s->max == 0 || seen < s->max);
         place = is_backward ? list_prev(v, place) : list_next(v, place), seen++) {
        if (!listpack_equals(place.at, c->argv[2]) || passed-- > 0)
            continue;
        int64_t index = is_backward ? length - 1 - seen : seen;
        found++;
        if (s->has_count)
            reply_int(c->reply, index);
        else
            *first = index;
        if (!s->has_count || (s->count && found == (uint64_t)s->count))
            break;
    }
    return found;
}

static void lpos_command(struct call *c)
{
    struct search s = {.rank = 1};
    struct entry *e;
    int64_t first = 0;
    if (!parse_search(c, &s) || !call_find_type(c, 1, VALUE_LIST, &e))
        return;
    struct value v = e ? entry_value(e) : (struct value){0};
    struct reply_deferred begin = s.has_count ? reply_begin(c->reply) : (struct reply_deferred){0};
    size_t found = e ? search(c, &v, &s, &first) : 0;
    if (s.has_count)
        reply_end_array(c->reply, begin, found);
    else if (found)
        reply_int(c->reply, first);
    else
        reply_null(c->reply);
}

/* --- the table ------------------------------------------------------------------------- */

#define LIST_ROW(name_, arity_, route_, flags_, since_)                                                       \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                   \
    .flags = (flags_), .categories = CATEGORY_LIST, .group = "list", .since = (since_)
#define FAST_STORE (COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST)
#define SLOW_STORE (COMMAND_WRITE | COMMAND_DENYOOM)

#define KEY_ARGUMENT      ARGUMENT("key", KEY)
#define ELEMENT_ARGUMENT  ARGUMENT("element", STRING)
#define ELEMENTS_ARGUMENT ARGUMENT("element", STRING, .flags = ARGUMENT_MULTIPLE)
#define COUNT_ARGUMENT    ARGUMENT("count", INTEGER, .flags = ARGUMENT_OPTIONAL, .since = "6.2.0")
#define SEARCH_ARGUMENT(name_, token_) ARGUMENT(name_, INTEGER, .token = (token_), .flags = ARGUMENT_OPTIONAL)

#define PUSH_ROW(name_, since_, many_since_, summary_)                                                        \
    {                                                                                                         \
        LIST_ROW(name_, -3, WRITE, FAST_STORE, since_), .complexity = "O(elements)", .summary = (summary_),   \
        COMMAND_HISTORY({(many_since_), "Takes several elements."}), COMMAND_ONE_KEY(KEY_RW | KEY_INSERT),    \
        COMMAND_ARGUMENTS(KEY_ARGUMENT, ELEMENTS_ARGUMENT)                                                    \
    }
#define POP_ROW(name_, summary_)                                                                              \
    {                                                                                                         \
        LIST_ROW(name_, -2, WRITE, COMMAND_WRITE | COMMAND_FAST, "1.0.0"), .complexity = "O(count)",          \
        .summary = (summary_), COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_DELETE),                             \
        COMMAND_HISTORY({"6.2.0", "A count."}), COMMAND_ARGUMENTS(KEY_ARGUMENT, COUNT_ARGUMENT)               \
    }

const struct command command_list_rows[] = {
    PUSH_ROW(lpush, "1.0.0", "2.4.0", "Adds elements in front of a list, which is made if it is not there."),
    PUSH_ROW(rpush, "1.0.0", "2.4.0", "Adds elements at the end of a list, which is made if it is not there."),
    PUSH_ROW(lpushx, "2.2.0", "4.0.0", "Adds elements in front of a list if there is one."),
    PUSH_ROW(rpushx, "2.2.0", "4.0.0", "Adds elements at the end of a list if there is one."),
    POP_ROW(lpop, "Takes elements from the front of a list."),
    POP_ROW(rpop, "Takes elements from the end of a list."),
    {LIST_ROW(llen, 2, READ, COMMAND_READONLY | COMMAND_FAST, "1.0.0"), .complexity = "O(1)",
     .summary = "Counts the elements of a list.", COMMAND_ONE_KEY(KEY_RO), COMMAND_ARGUMENTS(KEY_ARGUMENT)},
    {LIST_ROW(lindex, 3, READ, COMMAND_READONLY, "1.0.0"),
     .complexity = "O(log elements), and the elements of a node", .summary = "Reads an element by its index.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS), COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("index", INTEGER))},
    {LIST_ROW(lset, 4, WRITE, SLOW_STORE, "1.0.0"),
     .complexity = "O(log elements), and the elements of a node",
     .summary = "Puts another element in the place of one.", COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("index", INTEGER), ELEMENT_ARGUMENT)},
    {LIST_ROW(linsert, 5, WRITE, SLOW_STORE, "2.2.0"), .complexity = "O(elements before the one it looks for)",
     .summary = "Adds an element before or behind another one.", COMMAND_ONE_KEY(KEY_RW | KEY_INSERT),
     COMMAND_ARGUMENTS(KEY_ARGUMENT,
                       ARGUMENT("where", ONEOF,
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("before", "BEFORE"),
                                                  ARGUMENT_WORD("after", "AFTER"))),
                       ARGUMENT("pivot", STRING), ELEMENT_ARGUMENT)},
    {LIST_ROW(lrange, 4, READ, COMMAND_READONLY, "1.0.0"), .complexity = "O(log elements + elements answered)",
     .summary = "Reads the elements from one index to another.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", INTEGER), ARGUMENT("stop", INTEGER))},
    {LIST_ROW(lrem, 4, WRITE, COMMAND_WRITE, "1.0.0"), .complexity = "O(elements)",
     .summary = "Removes elements equal to a given one.", COMMAND_ONE_KEY(KEY_RW | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("count", INTEGER), ELEMENT_ARGUMENT)},
    {LIST_ROW(ltrim, 4, WRITE, COMMAND_WRITE, "1.0.0"), .complexity = "O(elements removed)",
     .summary = "Removes all but the elements from one index to another.", COMMAND_ONE_KEY(KEY_RW | KEY_DELETE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("start", INTEGER), ARGUMENT("stop", INTEGER))},
    {LIST_ROW(lpos, -3, READ, COMMAND_READONLY, "6.0.6"), .complexity = "O(elements looked at)",
     .summary = "Tells where in a list an element stands.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ELEMENT_ARGUMENT, SEARCH_ARGUMENT("rank", "RANK"),
                       SEARCH_ARGUMENT("num-matches", "COUNT"), SEARCH_ARGUMENT("len", "MAXLEN"))},
};
COMMAND_FAMILY_COUNT(list);
