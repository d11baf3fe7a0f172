/* Walking over keys: KEYS, SCAN, RANDOMKEY.  Their answers follow bucket order
 * and are for this client alone; nothing here may change the data. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"
#include "command/scan.h"
#include "command/type_names.h"

/* Redis gives the empty name to no pattern but the empty one, and to "*"
 * alone, which it takes for no pattern at all. */
static bool key_matches(struct slice pattern, struct slice key)
{
    if (key.len == 0)
        return pattern.len == 0 || slice_equal(pattern, SLICE_LITERAL("*"));
    return slice_glob(pattern, key, false);
}

/* --- KEYS ------------------------------------------------------------------ */

struct listing {
    struct reply *reply;
    struct slice pattern;
    bool matches_all;
    size_t count;
};

static void list_key(void *context, struct entry *e)
{
    struct listing *l = context;
    if (!l->matches_all && !key_matches(l->pattern, entry_key(e)))
        return;
    reply_bulk(l->reply, entry_key(e));
    l->count++;
}

static void keys_command(struct call *c)
{
    struct listing l = {.reply = c->reply, .pattern = c->argv[1]};
    l.matches_all = slice_equal(l.pattern, SLICE_LITERAL("*"));
    struct reply_deferred begin = reply_begin(c->reply);
    keyspace_each(c->ks, c->db, list_key, &l);
    reply_end_array(c->reply, begin, l.count);
}

/* --- SCAN and its kin -------------------------------------------------------- */

/* As strtoul reads a C string: a sign is allowed, a zero byte is the end, and
 * nothing at all means 0. */
static bool parse_cursor(struct slice text, uint64_t *cursor)
{
    text.len = strnlen(text.ptr, text.len);
    bool has_sign = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+');
    uint64_t value = 0;
    for (size_t i = has_sign; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (has_sign && text.len == 1)
        return false;
    *cursor = has_sign && text.ptr[0] == '-' ? 0 - value : value;
    return true;
}

bool scan_cursor(struct call *c, int index, uint64_t *cursor)
{
    if (parse_cursor(c->argv[index], cursor))
        return true;
    reply_error(c->reply, "ERR invalid cursor");
    return false;
}

static bool read_scan_count(struct call *c, int index, int64_t *count)
{
    if (!call_int64(c, index, count))
        return false;
    if (*count >= 1)
        return true;
    reply_error(c->reply, ERROR_SYNTAX);
    return false;
}

bool scan_parse(struct call *c, int first, bool may_have_type, struct scan_options *o)
{
    *o = (struct scan_options){.count = 10};
    for (int i = first; i < c->argc; i += 2) {
        bool has_value = i + 1 < c->argc;
        if (has_value && call_option(c, i, "count")) {
            if (!read_scan_count(c, i + 1, &o->count))
                return false;
        } else if (has_value && call_option(c, i, "match")) {
            o->pattern = c->argv[i + 1];
        } else if (has_value && may_have_type && call_option(c, i, "type")) {
            o->type = c->argv[i + 1];
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    return true;
}

bool scan_lets_through(const struct scan_options *o, struct slice name)
{
    return !o->pattern.ptr || key_matches(o->pattern, name);
}

void scan_reply_cursor(struct call *c, uint64_t cursor)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
    reply_bulk(c->reply, slice_make(text, (size_t)length));
}

bool scan_open(struct call *c, enum value_type type, struct entry **e, uint64_t *cursor, struct scan_options *o)
{
    *e = NULL;
    if (!scan_cursor(c, 2, cursor) || !call_find_type(c, 1, type, e))
        return false;
    if (!*e) {
        reply_array(c->reply, 2);
        scan_reply_cursor(c, 0);
        reply_array(c->reply, 0);
        return false;
    }
    return scan_parse(c, 3, false, o);
}

void scan_found_init(struct scan_found *found, const struct call *c, const struct scan_options *o)
{
    *found = (struct scan_found){.options = o, .reply = {.protocol = c->reply->protocol}};
    buf_init(&found->out);
    found->reply.out = &found->out;
}

void scan_finish(struct call *c, struct scan_found *found, uint64_t cursor)
{
    struct slice bytes = buf_slice(&found->out);
    reply_array(c->reply, 2);
    scan_reply_cursor(c, cursor);
    reply_array(c->reply, found->count);
    reply_raw(c->reply, bytes.ptr, bytes.len);
    buf_deinit(&found->out);
}

/* --- SCAN -------------------------------------------------------------------- */

struct scan {
    struct scan_options options;
    struct entry **found; /* the keys that match: the cursor is written before them */
    size_t found_count, found_capacity;
};

static bool scan_matches(const struct scan *s, const struct entry *e)
{
    return scan_lets_through(&s->options, entry_key(e)) &&
           (!s->options.type.ptr || slice_is(s->options.type, value_type_name(entry_type(e))));
}

static void scan_visit(void *context, struct entry *e)
{
    struct scan *s = context;
    if (!scan_matches(s, e))
        return;
    if (s->found_count == s->found_capacity) {
        s->found_capacity = s->found_capacity ? s->found_capacity * 2 : 32;
        s->found = mem_realloc(s->found, s->found_capacity * sizeof *s->found);
    }
    s->found[s->found_count++] = e;
}

static void scan_command(struct call *c)
{
    struct scan s = {0};
    uint64_t cursor;
    if (!scan_cursor(c, 1, &cursor) || !scan_parse(c, 2, true, &s.options))
        return;
    cursor = keyspace_scan(c->ks, c->db, cursor, (size_t)s.options.count, scan_visit, &s);
    reply_array(c->reply, 2);
    scan_reply_cursor(c, cursor);
    reply_array(c->reply, s.found_count);
    for (size_t i = 0; i < s.found_count; i++)
        reply_bulk(c->reply, entry_key(s.found[i]));
    mem_free(s.found);
}

/* --- RANDOMKEY ------------------------------------------------------------- */

static void randomkey_command(struct call *c)
{
    struct random random;
    random_init(&random, c->seed);
    struct entry *e = keyspace_random(c->ks, c->db, &random);
    if (e)
        reply_bulk(c->reply, entry_key(e));
    else
        reply_null(c->reply);
}

/* --- the table ------------------------------------------------------------- */

#define SCAN_ROW(name_, arity_, categories_)                                                                 \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_READ,                      \
    .flags = COMMAND_READONLY, .categories = CATEGORY_KEYSPACE | (categories_), .group = "generic"

const struct command command_scan_rows[] = {
    {SCAN_ROW(keys, 2, CATEGORY_DANGEROUS), .since = "1.0.0", .complexity = "O(keys in the database)",
     .summary = "Lists all keys whose names match a pattern.",
     COMMAND_TIPS("request_policy:all_shards", "nondeterministic_output_order"),
     COMMAND_ARGUMENTS(ARGUMENT("pattern", PATTERN))},
    {SCAN_ROW(scan, -2, 0), .since = "2.8.0",
     .complexity = "O(COUNT) for a call, O(keys in the database) from the first cursor to the last",
     .summary = "Lists keys piece by piece, going on from a cursor.",
     COMMAND_TIPS("nondeterministic_output", "request_policy:special"),
     COMMAND_HISTORY({"6.0.0", "TYPE."}),
     COMMAND_ARGUMENTS(
         ARGUMENT("cursor", INTEGER),
         ARGUMENT("pattern", PATTERN, .token = "MATCH", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("count", INTEGER, .token = "COUNT", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("type", STRING, .token = "TYPE", .flags = ARGUMENT_OPTIONAL, .since = "6.0.0"))},
    {SCAN_ROW(randomkey, 1, 0), .since = "1.0.0", .complexity = "O(1)",
     .summary = "Names some key of the database.",
     COMMAND_TIPS("request_policy:all_shards", "nondeterministic_output")},
};
COMMAND_FAMILY_COUNT(scan);
