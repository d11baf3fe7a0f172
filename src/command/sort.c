/* SORT, SORT_RO: the elements of a list, a set or a sorted set, in an order of
 * their own or of values found through them.
 *
 * Elements stay where they lie in their value while the command runs; what is
 * sorted is pointers to items.  Equal weights leave elements in the order of their
 * bytes, so that what is stored is the same on every replica. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"
#include "store/hash_value.h"
#include "store/list_value.h"
#include "store/set_value.h"
#include "store/zset_value.h"

struct sort {
    bool is_descending, is_alpha;
    bool is_as_it_is; /* BY something without a star: no sorting */
    struct slice by, store; /* ptr NULL: not asked for */
    int64_t offset, count;
    size_t get_count;
};

struct item {
    struct slice element;
    double score;
    struct slice weight; /* ptr NULL: none */
    char scratch[INT64_TEXT_MAX], weight_scratch[INT64_TEXT_MAX];
};

struct items {
    struct item *all;
    struct item **order;
    size_t count;
    size_t first, end; /* what is asked for, in order */
};

/* --- the command line ------------------------------------------------------ */

static bool has_star(struct slice pattern)
{
    return pattern.len > 0 && memchr(pattern.ptr, '*', pattern.len) != NULL;
}

/* Reads the option at index; returns how many arguments it takes, 0 with an
 * error written. */
static int parse_option(struct call *c, struct sort *s, int index, bool may_store)
{
    int left = c->argc - 1 - index;
    if (call_option(c, index, "asc") || call_option(c, index, "desc")) {
        s->is_descending = call_option(c, index, "desc");
        return 1;
    }
    if (call_option(c, index, "alpha")) {
        s->is_alpha = true;
        return 1;
    }
    if (call_option(c, index, "limit") && left >= 2)
        return call_int64(c, index + 1, &s->offset) && call_int64(c, index + 2, &s->count) ? 3 : 0;
    if (may_store && call_option(c, index, "store") && left >= 1) {
        s->store = c->argv[index + 1];
        return 2;
    }
    if (call_option(c, index, "by") && left >= 1) {
        s->by = c->argv[index + 1];
        s->is_as_it_is = s->is_as_it_is || !has_star(s->by);
        return 2;
    }
    if (call_option(c, index, "get") && left >= 1) {
        s->get_count++;
        return 2;
    }
    reply_error(c->reply, ERROR_SYNTAX);
    return 0;
}

static bool parse(struct call *c, struct sort *s, bool may_store)
{
    *s = (struct sort){.count = -1};
    for (int i = 2, taken; i < c->argc; i += taken) {
        taken = parse_option(c, s, i, may_store);
        if (taken == 0)
            return false;
    }
    return true;
}

/* The pattern of the next GET at *index or behind it, which is moved there. */
static struct slice next_get(const struct call *c, int *index)
{
    for (;; *index += 1) {
        int i = *index;
        if (call_option(c, i, "limit")) {
            *index += 2;
        } else if (call_option(c, i, "store") || call_option(c, i, "by")) {
            *index += 1;
        } else if (call_option(c, i, "get")) {
            *index += 2;
            return c->argv[i + 1];
        }
    }
}

/* --- values found through an element ------------------------------------------ */

/* Where in a pattern the element goes, and which field of a hash is meant. */
struct pattern {
    struct slice before, behind, field; /* field.len 0: none */
};

static struct pattern split(struct slice text)
{
    const char *star = memchr(text.ptr, '*', text.len);
    struct pattern p = {.before = slice_make(text.ptr, (size_t)(star - text.ptr))};
    p.behind = slice_make(star + 1, text.len - p.before.len - 1);
    const char *arrow = memmem(p.behind.ptr, p.behind.len, "->", 2);
    if (arrow && arrow + 2 < text.ptr + text.len) {
        p.field = slice_make(arrow + 2, (size_t)(text.ptr + text.len - arrow) - 2);
        p.behind.len = (size_t)(arrow - p.behind.ptr);
    }
    return p;
}

static struct entry *find_through(struct call *c, const struct pattern *p, struct slice element)
{
    size_t size = p->before.len + element.len + p->behind.len;
    char local[256], *name = size <= sizeof local ? local : mem_alloc(size), *end = name;
    const struct slice parts[] = {p->before, element, p->behind};
    for (int i = 0; i < 3; i++)
        if (parts[i].len > 0) {
            memcpy(end, parts[i].ptr, parts[i].len);
            end += parts[i].len;
        }
    struct entry *e = keyspace_find(c->ks, c->db, slice_make(name, size));
    if (!e)
        call_notify(c, EVENT_KEY_MISS, "keymiss", slice_make(name, size));
    if (name != local)
        mem_free_sized(name, size);
    return e;
}

/* ptr NULL if there is none; else it lives as long as the data and scratch. */
static struct slice look_up(struct call *c, struct slice pattern, struct slice element,
                            char scratch[static INT64_TEXT_MAX])
{
    const struct slice none = {0};
    if (slice_equal(pattern, SLICE_LITERAL("#")))
        return element;
    if (!has_star(pattern))
        return none;
    struct pattern p = split(pattern);
    struct entry *e = find_through(c, &p, element);
    if (!e || entry_type(e) != (p.field.len ? VALUE_HASH : VALUE_STRING))
        return none;
    if (!p.field.len)
        return entry_string(e, scratch);
    struct value v = entry_value(e);
    struct slice value;
    return hash_get(&v, p.field, scratch, &value) ? value : none;
}

/* --- gathering ------------------------------------------------------------- */

static size_t size_of(const struct value *v, enum value_type type)
{
    if (type == VALUE_LIST)
        return list_length(v);
    return type == VALUE_SET ? set_size(v) : zset_size(v);
}

/* LIMIT, as Redis reads it: whatever it says, a part of what is there. */
static void choose_part(const struct sort *s, struct items *items, size_t size)
{
    uint64_t offset = s->offset < 0 ? 0 : (uint64_t)s->offset;
    items->first = offset < size ? (size_t)offset : size;
    size_t rest = size - items->first;
    items->end = items->first + (s->count < 0 || (uint64_t)s->count > rest ? rest : (size_t)s->count);
}

static void hold(struct item *item, struct slice element)
{
    /* An integer rendered by an iterator would not outlive its next step. */
    if (element.len <= INT64_TEXT_MAX) {
        if (element.len > 0)
            memcpy(item->scratch, element.ptr, element.len);
        element.ptr = item->scratch;
    }
    item->element = element;
}

static void gather_list(const struct value *v, struct items *items, size_t first, bool is_backward)
{
    char scratch[INT64_TEXT_MAX];
    if (items->count == 0)
        return;
    struct list_place place = list_at(v, is_backward ? -1 - (int64_t)first : (int64_t)first);
    for (size_t i = 0; i < items->count; i++) {
        CHECK(place.at);
        hold(&items->all[i], listpack_text(place.at, scratch));
        place = is_backward ? list_prev(v, place) : list_next(v, place);
    }
}

static void gather_set(const struct value *v, struct items *items)
{
    struct set_iterator iterator;
    struct slice member;
    set_iterate(&iterator, v);
    for (size_t i = 0; set_next(&iterator, &member); i++)
        hold(&items->all[i], member);
}

static void gather_zset(const struct value *v, struct items *items, size_t first, bool is_backward)
{
    struct zset_iterator iterator;
    struct zset_pair pair;
    size_t size = zset_size(v);
    if (items->count == 0)
        return;
    zset_iterate(&iterator, v, is_backward ? size - 1 - first : first, is_backward);
    for (size_t i = 0; i < items->count && zset_next(&iterator, &pair); i++)
        hold(&items->all[i], pair.member);
}

/* Of a list or a sorted set that is not sorted, only the part asked for. */
static void gather(const struct sort *s, const struct entry *e, struct items *items)
{
    *items = (struct items){0};
    if (!e)
        return;
    struct value v = entry_value(e);
    enum value_type type = entry_type(e);
    size_t size = size_of(&v, type), first = 0;
    bool is_backward = s->is_as_it_is && s->is_descending;
    choose_part(s, items, size);
    items->count = size;
    if (s->is_as_it_is && type != VALUE_SET) {
        first = items->first;
        items->count = items->end - items->first;
        items->first = 0;
        items->end = items->count;
    }
    items->all = mem_calloc(items->count + 1, sizeof *items->all);
    items->order = mem_alloc((items->count + 1) * sizeof(struct item *));
    for (size_t i = 0; i < items->count; i++)
        items->order[i] = &items->all[i];
    if (type == VALUE_LIST)
        gather_list(&v, items, first, is_backward);
    else if (type == VALUE_SET)
        gather_set(&v, items);
    else
        gather_zset(&v, items, first, is_backward);
}

static void items_free(struct items *items)
{
    mem_free(items->all);
    mem_free(items->order);
}

/* --- sorting --------------------------------------------------------------- */

/* As strtod reads it, all of it; what ends with a zero byte ends there. */
static bool read_score(struct slice text, double *score)
{
    char local[64], *copy = text.len < sizeof local ? local : mem_alloc(text.len + 1), *end;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    errno = 0;
    *score = strtod(copy, &end);
    bool is_number = *end == '\0' && errno != ERANGE && !isnan(*score);
    if (copy != local)
        mem_free_sized(copy, text.len + 1);
    return is_number;
}

/* Finds every item's weight.  False if one that should be a number is none. */
static bool weigh(struct call *c, const struct sort *s, struct items *items)
{
    bool are_numbers = true;
    for (size_t i = 0; i < items->count; i++) {
        struct item *item = &items->all[i];
        item->weight = s->by.ptr ? look_up(c, s->by, item->element, item->weight_scratch) : item->element;
        if (!s->is_alpha && item->weight.ptr)
            are_numbers = read_score(item->weight, &item->score) && are_numbers;
    }
    return are_numbers;
}

static int compare_weights(struct slice a, struct slice b)
{
    if (!a.ptr || !b.ptr)
        return (a.ptr != NULL) - (b.ptr != NULL);
    return slice_compare(a, b);
}

static int compare_items(const void *left, const void *right, void *context)
{
    const struct sort *s = context;
    const struct item *a = *(const struct item *const *)left, *b = *(const struct item *const *)right;
    int order = s->is_alpha ? compare_weights(a->weight, b->weight) : (a->score > b->score) - (a->score < b->score);
    if (order == 0)
        order = slice_compare(a->element, b->element);
    return s->is_descending ? -order : order;
}

static bool put_in_order(struct call *c, struct sort *s, struct items *items)
{
    if (s->is_as_it_is)
        return true;
    if (!weigh(c, s, items)) {
        reply_error(c->reply, "ERR One or more scores can't be converted into double");
        return false;
    }
    if (items->count > 1)
        qsort_r(items->order, items->count, sizeof(struct item *), compare_items, s);
    return true;
}

/* --- answering ------------------------------------------------------------- */

/* A value that goes with an element: ptr NULL if there is none. */
typedef void take_fn(void *context, struct slice value);

static void each_result(struct call *c, const struct sort *s, const struct items *items, take_fn *take,
                        void *context)
{
    char scratch[INT64_TEXT_MAX];
    for (size_t i = items->first; i < items->end; i++) {
        struct slice element = items->order[i]->element;
        if (s->get_count == 0)
            take(context, element);
        int at = 2;
        for (size_t j = 0; j < s->get_count; j++)
            take(context, look_up(c, next_get(c, &at), element, scratch));
    }
}

static void take_into_reply(void *context, struct slice value)
{
    if (value.ptr)
        reply_bulk(context, value);
    else
        reply_null(context);
}

struct stored {
    struct value list;
    const struct value_env *env;
};

static void take_into_list(void *context, struct slice value)
{
    struct stored *stored = context;
    list_push(&stored->list, stored->env, false, value.ptr ? value : SLICE_LITERAL(""));
}

static void store(struct call *c, const struct sort *s, const struct items *items, size_t count)
{
    if (count > 0) {
        struct stored stored = {.list = list_create(), .env = keyspace_env(c->ks)};
        each_result(c, s, items, take_into_list, &stored);
        call_set_value(c, s->store, VALUE_LIST, stored.list);
        call_changed(c, EVENT_LIST, "sortstore", s->store);
        keyspace_count_changes(c->ks, count - 1);
    } else if (keyspace_delete(c->ks, c->db, s->store)) {
        call_changed(c, EVENT_GENERIC, "del", s->store);
    }
    reply_int(c->reply, (int64_t)count);
}

static void answer(struct call *c, const struct sort *s, const struct items *items)
{
    size_t count = (items->end - items->first) * (s->get_count ? s->get_count : 1);
    if (s->store.ptr) {
        store(c, s, items, count);
        return;
    }
    reply_array(c->reply, count);
    each_result(c, s, items, take_into_reply, c->reply);
}

static void sort(struct call *c, bool may_store)
{
    struct sort s;
    struct items items;
    if (!parse(c, &s, may_store))
        return;
    struct entry *e = call_find(c, 1);
    enum value_type type = e ? entry_type(e) : VALUE_LIST;
    if (type != VALUE_LIST && type != VALUE_SET && type != VALUE_ZSET) {
        reply_error(c->reply, ERROR_WRONG_TYPE);
        return;
    }
    /* A set has no order of its own that could be stored. */
    if (s.is_as_it_is && type == VALUE_SET && s.store.ptr) {
        s.is_as_it_is = false;
        s.is_alpha = true;
        s.by = (struct slice){0};
    }
    gather(&s, e, &items);
    if (put_in_order(c, &s, &items))
        answer(c, &s, &items);
    items_free(&items);
}

static void sort_command(struct call *c)
{
    sort(c, true);
}

static void sort_ro_command(struct call *c)
{
    sort(c, false);
}

/* --- the table ------------------------------------------------------------- */

/* Where the last STORE says the result goes. */
static int find_store(int argc, const struct slice *argv, uint16_t *flags)
{
    int found = 0;
    for (int i = 2; i < argc; i++) {
        if (slice_is(argv[i], "limit"))
            i += 2;
        else if (slice_is(argv[i], "get") || slice_is(argv[i], "by"))
            i++;
        else if (slice_is(argv[i], "store") && i + 1 < argc)
            found = ++i;
    }
    *flags = KEY_OW | KEY_UPDATE;
    return found;
}

#define SORT_ROW(name_, route_, flags_, since_, summary_)                                                    \
    .name = #name_, .handler = name_##_command, .arity = -2, .route = ROUTE_##route_,                        \
    .flags = (flags_) | COMMAND_MOVABLEKEYS,                                                                 \
    .categories = CATEGORY_SET | CATEGORY_SORTEDSET | CATEGORY_LIST | CATEGORY_DANGEROUS,                    \
    .group = "generic", .since = (since_), .complexity = "O(n + m log m), m answered of n", .summary = (summary_), \
    COMMAND_KEYS(1, 1, 1)
#define FOUND_NOTE                                                                                           \
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content " \
    "of the key we sort"
#define STORE_NOTE                                                                                           \
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the " \
    "argument array"
#define SORT_ARGUMENTS                                                                                       \
    ARGUMENT("key", KEY), ARGUMENT("pattern", PATTERN, .token = "BY", .flags = ARGUMENT_OPTIONAL, .key_spec_index = 1), \
        ARGUMENT("offset_count", BLOCK, .token = "LIMIT", .flags = ARGUMENT_OPTIONAL,                        \
                 COMMAND_ARGUMENTS(ARGUMENT("offset", INTEGER), ARGUMENT("count", INTEGER))),                \
        ARGUMENT("pattern", PATTERN, .token = "GET", .key_spec_index = 1,                                    \
                 .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE | ARGUMENT_MULTIPLE_TOKEN),                  \
        ARGUMENT("order", ONEOF, .flags = ARGUMENT_OPTIONAL,                                                 \
                 COMMAND_ARGUMENTS(ARGUMENT_WORD("asc", "ASC"), ARGUMENT_WORD("desc", "DESC"))),             \
        ARGUMENT("sorting", PURE_TOKEN, .token = "ALPHA", .flags = ARGUMENT_OPTIONAL)

const struct command command_sort_rows[] = {
    {SORT_ROW(sort, WRITE, COMMAND_WRITE | COMMAND_DENYOOM, "1.0.0",
              "Sorts a list, set or sorted set, by its elements or by values found through them."),
     .extra_key = find_store,
     COMMAND_SPECS(KEY_RANGE(1, KEY_RO | KEY_ACCESS, 0, 1), KEY_UNKNOWN(KEY_RO | KEY_ACCESS, FOUND_NOTE),
                   KEY_UNKNOWN(KEY_OW | KEY_UPDATE, STORE_NOTE)),
     COMMAND_ARGUMENTS(SORT_ARGUMENTS,
                       ARGUMENT("destination", KEY, .token = "STORE", .flags = ARGUMENT_OPTIONAL, .key_spec_index = 2))},
    {SORT_ROW(sort_ro, READ, COMMAND_READONLY, "7.0.0", "The same, without STORE."),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RO | KEY_ACCESS, 0, 1), KEY_UNKNOWN(KEY_RO | KEY_ACCESS, FOUND_NOTE)),
     COMMAND_ARGUMENTS(SORT_ARGUMENTS)},
};
COMMAND_FAMILY_COUNT(sort);
