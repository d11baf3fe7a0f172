/* Lists: elements moved from one to another, popped from the first of several,
 * and waited for. */
#include "base/alloc.h"
#include "command/families.h"
#include "command/list_call.h"

/* --- LMOVE and its kin ------------------------------------------------------------- */

struct move {
    bool from_front, to_front;
};

/* The element that moves, copied: where it lay changes while it is pushed. */
struct moved {
    char *bytes;
    size_t size;
    char here[256];
};

static void take_element(struct moved *m, struct value *v, bool is_front)
{
    char scratch[INT64_TEXT_MAX];
    struct slice text = listpack_text(list_end(v, is_front).at, scratch);
    m->size = text.len;
    m->bytes = text.len <= sizeof m->here ? m->here : mem_alloc(text.len);
    if (text.len)
        memcpy(m->bytes, text.ptr, text.len);
    list_pop(v, is_front);
}

static void free_element(struct moved *m)
{
    if (m->bytes != m->here)
        mem_free(m->bytes);
}

/* Source and target are one list. */
static void turn(struct call *c, struct entry *e, struct move move)
{
    struct value v = entry_value(e);
    struct moved m;
    take_element(&m, &v, move.from_front);
    list_push(&v, keyspace_env(c->ks), move.to_front, slice_make(m.bytes, m.size));
    entry_put_value(e, v);
    list_changed(c, list_push_event(move.to_front), c->argv[2], 0);
    list_changed(c, list_pop_event(move.from_front), c->argv[1], 1);
    reply_bulk(c->reply, slice_make(m.bytes, m.size));
    free_element(&m);
}

static void push_to(struct call *c, struct entry *target, bool is_front, struct slice bytes)
{
    struct value v = target ? entry_value(target) : list_create();
    list_push(&v, keyspace_env(c->ks), is_front, bytes);
    if (target)
        entry_put_value(target, v);
    else
        call_set_value(c, c->argv[2], VALUE_LIST, v);
    list_changed(c, list_push_event(is_front), c->argv[2], 0);
}

static void transfer(struct call *c, struct entry *source, struct entry *target, struct move move)
{
    struct value v = entry_value(source);
    struct moved m;
    take_element(&m, &v, move.from_front);
    entry_put_value(source, v);
    push_to(c, target, move.to_front, slice_make(m.bytes, m.size));
    /* A new target's entry may have moved the source's. */
    list_settle(c, target ? source : keyspace_peek(c->ks, c->db, c->argv[1]), v, c->argv[1],
                list_pop_event(move.from_front), 1);
    reply_bulk(c->reply, slice_make(m.bytes, m.size));
    free_element(&m);
}

/* Moves an element of the list at argument 1 to the one at argument 2; false,
 * without a reply, if there is none to move. */
static bool move_element(struct call *c, struct move move)
{
    struct entry *source, *target;
    if (!call_find_type_for_write(c, 1, VALUE_LIST, &source))
        return true;
    if (!source)
        return false;
    if (!call_find_type_for_write(c, 2, VALUE_LIST, &target))
        return true;
    if (source == target)
        turn(c, source, move);
    else
        transfer(c, source, target, move);
    return true;
}

static void lmove_command(struct call *c)
{
    struct move move;
    if (!list_read_side(c, 3, &move.from_front) || !list_read_side(c, 4, &move.to_front))
        return;
    if (!move_element(c, move))
        reply_null(c->reply);
}

static void rpoplpush_command(struct call *c)
{
    if (!move_element(c, (struct move){.from_front = false, .to_front = true}))
        reply_null(c->reply);
}

/* Waits for keys first to last if it may. */
static bool wait_for(struct call *c, int first, int last, int64_t timeout_ms)
{
    const struct call_wait wait = {.type = VALUE_LIST, .first_key = first, .last_key = last, .key_step = 1,
                                   .timeout_ms = timeout_ms, .is_null_array = true};
    return call_block(c, &wait);
}

static void move_or_wait(struct call *c, struct move move, int timeout_index)
{
    int64_t timeout_ms;
    if (!call_timeout(c, timeout_index, &timeout_ms))
        return;
    if (!move_element(c, move) && !wait_for(c, 1, 1, timeout_ms))
        reply_null(c->reply);
}

static void blmove_command(struct call *c)
{
    struct move move;
    if (list_read_side(c, 3, &move.from_front) && list_read_side(c, 4, &move.to_front))
        move_or_wait(c, move, 5);
}

static void brpoplpush_command(struct call *c)
{
    move_or_wait(c, (struct move){.from_front = false, .to_front = true}, 3);
}

/* --- the first of several keys ----------------------------------------------------- */

enum first { FIRST_FOUND, FIRST_ABSENT, FIRST_ERROR };

/* The first of the keys that is there; it must be a list. */
static enum first find_first(struct call *c, int first, int last, int *index, struct entry **e)
{
    for (*index = first; *index <= last; ++*index) {
        if (!call_find_type_for_write(c, *index, VALUE_LIST, e))
            return FIRST_ERROR;
        if (*e)
            return FIRST_FOUND;
    }
    return FIRST_ABSENT;
}

/* BLPOP's answer: the key and an element. */
static void reply_one(struct call *c, int index, struct entry *e, bool is_front)
{
    struct value v = entry_value(e);
    reply_array(c->reply, 2);
    reply_bulk(c->reply, c->argv[index]);
    list_reply_pop(c, &v, is_front, 1);
    list_settle(c, e, v, c->argv[index], list_pop_event(is_front), 1);
}

static void pop_or_wait(struct call *c, bool is_front)
{
    struct entry *e;
    int64_t timeout_ms;
    int last = c->argc - 2, index;
    if (!call_timeout(c, c->argc - 1, &timeout_ms))
        return;
    switch (find_first(c, 1, last, &index, &e)) {
    case FIRST_FOUND: reply_one(c, index, e, is_front); return;
    case FIRST_ERROR: return;
    case FIRST_ABSENT:
        if (!wait_for(c, 1, last, timeout_ms))
            reply_null_array(c->reply);
    }
}

static void blpop_command(struct call *c)
{
    pop_or_wait(c, true);
}

static void brpop_command(struct call *c)
{
    pop_or_wait(c, false);
}

/* --- LMPOP ------------------------------------------------------------------------------ */

struct pops {
    int first, last; /* keys */
    bool is_front;
    int64_t count;
};

/* COUNT and a number from index on, if anything is there.  A number that is
 * none is told of before anything behind it. */
static bool parse_count(struct call *c, int index, int64_t *count)
{
    *count = 1;
    if (index == c->argc)
        return true;
    bool is_count = call_option(c, index, "count") && index + 1 < c->argc;
    if (is_count && !list_read_at_least(c, index + 1, 1, "ERR count should be greater than 0", count))
        return false;
    if (!is_count || index + 2 < c->argc)
        reply_error(c->reply, ERROR_SYNTAX);
    return is_count && index + 2 == c->argc;
}

static bool parse_pops(struct call *c, int numkeys_index, struct pops *p)
{
    int64_t numkeys;
    if (!list_read_at_least(c, numkeys_index, 1, "ERR numkeys should be greater than 0", &numkeys))
        return false;
    if (numkeys >= c->argc - 1 - numkeys_index) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    p->first = numkeys_index + 1;
    p->last = numkeys_index + (int)numkeys;
    if (!list_read_side(c, p->last + 1, &p->is_front))
        return false;
    return parse_count(c, p->last + 2, &p->count);
}

static void reply_several(struct call *c, int index, struct entry *e, const struct pops *p)
{
    struct value v = entry_value(e);
    uint64_t length = list_length(&v), count = (uint64_t)p->count < length ? (uint64_t)p->count : length;
    reply_array(c->reply, 2);
    reply_bulk(c->reply, c->argv[index]);
    reply_array(c->reply, count);
    list_reply_pop(c, &v, p->is_front, count);
    list_settle(c, e, v, c->argv[index], list_pop_event(p->is_front), count);
}

static void lmpop_command(struct call *c)
{
    struct pops p;
    struct entry *e;
    int index;
    if (!parse_pops(c, 1, &p))
        return;
    enum first first = find_first(c, p.first, p.last, &index, &e);
    if (first == FIRST_FOUND)
        reply_several(c, index, e, &p);
    else if (first == FIRST_ABSENT)
        reply_null_array(c->reply);
}

static void blmpop_command(struct call *c)
{
    struct pops p;
    struct entry *e;
    int64_t timeout_ms;
    int index;
    if (!parse_pops(c, 2, &p) || !call_timeout(c, 1, &timeout_ms))
        return;
    enum first first = find_first(c, p.first, p.last, &index, &e);
    if (first == FIRST_FOUND)
        reply_several(c, index, e, &p);
    else if (first == FIRST_ABSENT && !wait_for(c, p.first, p.last, timeout_ms))
        reply_null_array(c->reply);
}

/* --- the table ------------------------------------------------------------------------- */

#define LIST_ROW(name_, arity_, flags_, since_, complexity_)                                                  \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_WRITE,                      \
    .flags = (flags_), .categories = CATEGORY_LIST, .group = "list", .since = (since_),                       \
    .complexity = (complexity_)
#define STORE (COMMAND_WRITE | COMMAND_DENYOOM)
#define WAIT  (COMMAND_BLOCKING | COMMAND_NOSCRIPT)

#define TWO_KEYS                                                                                              \
    COMMAND_KEYS(1, 2, 1), COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, 0, 1),                \
                                         KEY_RANGE(2, KEY_RW | KEY_INSERT, 0, 1))
#define KEYS_AND_TIMEOUT                                                                                      \
    COMMAND_KEYS(1, -2, 1), COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_DELETE, -2, 1)),             \
        COMMAND_ARGUMENTS(KEYS_ARGUMENT, TIMEOUT_ARGUMENT)
#define COUNTED_KEYS(at) COMMAND_SPECS(KEY_COUNTED(at, KEY_RW | KEY_ACCESS | KEY_DELETE))

#define KEYS_ARGUMENT    ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE)
#define TIMEOUT_ARGUMENT ARGUMENT("timeout", DOUBLE)
#define SIDE_ARGUMENT(name_)                                                                                  \
    ARGUMENT(name_, ONEOF,                                                                                    \
             COMMAND_ARGUMENTS(ARGUMENT_WORD("left", "LEFT"), ARGUMENT_WORD("right", "RIGHT")))
#define FROM_TO_ARGUMENTS ARGUMENT("source", KEY), ARGUMENT("destination", KEY, .key_spec_index = 1)
#define SIDES_ARGUMENTS   SIDE_ARGUMENT("wherefrom"), SIDE_ARGUMENT("whereto")
#define POPS_ARGUMENTS                                                                                        \
    ARGUMENT("numkeys", INTEGER), KEYS_ARGUMENT, SIDE_ARGUMENT("where"),                                      \
        ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL)

const struct command command_list_move_rows[] = {
    {LIST_ROW(lmove, 5, STORE, "6.2.0", "O(1)"),
     .summary = "Takes an element from an end of one list and adds it at an end of another.", TWO_KEYS,
     COMMAND_ARGUMENTS(FROM_TO_ARGUMENTS, SIDES_ARGUMENTS)},
    {LIST_ROW(rpoplpush, 3, STORE, "1.2.0", "O(1)"),
     .summary = "Takes the last element of one list and adds it in front of another.",
     .deprecated_since = "6.2.0", .replaced_by = "`LMOVE` with the `RIGHT` and `LEFT` arguments", TWO_KEYS,
     COMMAND_ARGUMENTS(FROM_TO_ARGUMENTS)},
    {LIST_ROW(lmpop, -4, COMMAND_WRITE | COMMAND_MOVABLEKEYS, "7.0.0", "O(keys + count)"),
     .summary = "Takes elements from the first of several lists that is there.", COUNTED_KEYS(1),
     COMMAND_ARGUMENTS(POPS_ARGUMENTS)},
    {LIST_ROW(blpop, -3, COMMAND_WRITE | WAIT, "2.0.0", "O(keys)"),
     COMMAND_HISTORY({"6.0.0", "A timeout may have a fraction."}),
     .summary = "Takes the first element of the first of several lists that is there; waits for one.",
     KEYS_AND_TIMEOUT},
    {LIST_ROW(brpop, -3, COMMAND_WRITE | WAIT, "2.0.0", "O(keys)"),
     COMMAND_HISTORY({"6.0.0", "A timeout may have a fraction."}),
     .summary = "Takes the last element of the first of several lists that is there; waits for one.",
     KEYS_AND_TIMEOUT},
    {LIST_ROW(blmove, 6, STORE | WAIT, "6.2.0", "O(1)"),
     .summary = "Moves an element from one list to another; waits for one.", TWO_KEYS,
     COMMAND_ARGUMENTS(FROM_TO_ARGUMENTS, SIDES_ARGUMENTS, TIMEOUT_ARGUMENT)},
    {LIST_ROW(brpoplpush, 4, STORE | WAIT, "2.2.0", "O(1)"),
     COMMAND_HISTORY({"6.0.0", "A timeout may have a fraction."}),
     .summary = "Moves the last element of one list in front of another; waits for one.",
     .deprecated_since = "6.2.0", .replaced_by = "`BLMOVE` with the `RIGHT` and `LEFT` arguments", TWO_KEYS,
     COMMAND_ARGUMENTS(FROM_TO_ARGUMENTS, TIMEOUT_ARGUMENT)},
    {LIST_ROW(blmpop, -5, COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLEKEYS, "7.0.0", "O(keys + count)"),
     .summary = "Takes elements from the first of several lists that is there; waits for some.",
     COUNTED_KEYS(2), COMMAND_ARGUMENTS(TIMEOUT_ARGUMENT, POPS_ARGUMENTS)},
};
COMMAND_FAMILY_COUNT(list_move);
