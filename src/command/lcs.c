/* LCS: the longest common subsequence of two strings, by the textbook table
 * of prefix lengths (Wagner and Fischer, 1974). */
#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"

struct lcs_options {
    bool wants_length, wants_matches, wants_match_length;
    int64_t match_length_min;
};

static bool parse_options(struct call *c, struct lcs_options *o)
{
    for (int i = 3; i < c->argc; i++) {
        if (call_option(c, i, "idx")) {
            o->wants_matches = true;
        } else if (call_option(c, i, "len")) {
            o->wants_length = true;
        } else if (call_option(c, i, "withmatchlen")) {
            o->wants_match_length = true;
        } else if (call_option(c, i, "minmatchlen") && i + 1 < c->argc) {
            if (!call_int64(c, ++i, &o->match_length_min))
                return false;
        } else {
            reply_error(c->reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (!o->wants_matches || !o->wants_length)
        return true;
    reply_error(c->reply, "ERR If you want both the length and indexes, please just use IDX.");
    return false;
}

/* lengths[i * (b.len + 1) + j] is the answer for the first i bytes of a and
 * the first j of b. */
struct lcs {
    struct slice a, b;
    uint32_t *lengths;
};

static uint32_t *length_at(const struct lcs *l, size_t i, size_t j)
{
    return &l->lengths[i * (l->b.len + 1) + j];
}

static size_t table_bytes(struct slice a, struct slice b)
{
    return (a.len + 1) * (b.len + 1) * sizeof(uint32_t);
}

static void fill(struct lcs *l)
{
    memset(l->lengths, 0, (l->b.len + 1) * sizeof *l->lengths);
    for (size_t i = 1; i <= l->a.len; i++) {
        *length_at(l, i, 0) = 0;
        for (size_t j = 1; j <= l->b.len; j++) {
            uint32_t above = *length_at(l, i - 1, j), left = *length_at(l, i, j - 1);
            uint32_t longer = above > left ? above : left;
            bool is_same = l->a.ptr[i - 1] == l->b.ptr[j - 1];
            *length_at(l, i, j) = is_same ? *length_at(l, i - 1, j - 1) + 1 : longer;
        }
    }
}

/* One step of the way back from (i, j) to the origin; true if the bytes there
 * are part of the subsequence. */
static bool step_back(const struct lcs *l, size_t *i, size_t *j)
{
    if (l->a.ptr[*i - 1] == l->b.ptr[*j - 1]) {
        --*i;
        --*j;
        return true;
    }
    if (*length_at(l, *i - 1, *j) > *length_at(l, *i, *j - 1))
        --*i;
    else
        --*j;
    return false;
}

static void reply_subsequence(struct call *c, const struct lcs *l)
{
    size_t i = l->a.len, j = l->b.len, left = *length_at(l, i, j);
    size_t size = left;
    char *bytes = mem_alloc(size + 1);
    while (left > 0)
        if (step_back(l, &i, &j))
            bytes[--left] = l->a.ptr[i];
    reply_bulk(c->reply, slice_make(bytes, size));
    mem_free_sized(bytes, size + 1);
}

/* A run of equal bytes that begins at a and b. */
struct match {
    size_t a, b, length;
};

/* False if the run is shorter than asked for. */
static bool reply_match(struct call *c, const struct match *m, const struct lcs_options *o)
{
    if (m->length == 0 || (int64_t)m->length < o->match_length_min)
        return false;
    reply_array(c->reply, o->wants_match_length ? 3 : 2);
    reply_array(c->reply, 2);
    reply_int(c->reply, (int64_t)m->a);
    reply_int(c->reply, (int64_t)(m->a + m->length - 1));
    reply_array(c->reply, 2);
    reply_int(c->reply, (int64_t)m->b);
    reply_int(c->reply, (int64_t)(m->b + m->length - 1));
    if (o->wants_match_length)
        reply_int(c->reply, (int64_t)m->length);
    return true;
}

/* Runs are met from the end of the strings to their beginning. */
static void reply_matches(struct call *c, const struct lcs *l, const struct lcs_options *o)
{
    size_t i = l->a.len, j = l->b.len, count = 0;
    struct match run = {0};
    reply_map(c->reply, 2);
    reply_bulk_text(c->reply, "matches");
    struct reply_deferred begin = reply_begin(c->reply);
    while (i > 0 && j > 0) {
        bool is_member = step_back(l, &i, &j);
        if (is_member) {
            run = (struct match){.a = i, .b = j, .length = run.length + 1};
        } else {
            count += reply_match(c, &run, o);
            run.length = 0;
        }
    }
    count += reply_match(c, &run, o);
    reply_end_array(c->reply, begin, count);
    reply_bulk_text(c->reply, "len");
    reply_int(c->reply, *length_at(l, l->a.len, l->b.len));
}

static void reply_lcs(struct call *c, struct slice a, struct slice b, const struct lcs_options *o)
{
    if (a.len >= UINT32_MAX / 2 || b.len >= UINT32_MAX / 2) {
        reply_error(c->reply, "ERR String too long for LCS");
        return;
    }
    if (table_bytes(a, b) > (size_t)COMMAND_STRING_MAX) {
        reply_error(c->reply, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    struct lcs l = {.a = a, .b = b, .lengths = mem_alloc(table_bytes(a, b))};
    fill(&l);
    if (o->wants_matches)
        reply_matches(c, &l, o);
    else if (o->wants_length)
        reply_int(c->reply, *length_at(&l, a.len, b.len));
    else
        reply_subsequence(c, &l);
    mem_free(l.lengths);
}

static bool is_string_or_absent(const struct entry *e)
{
    return !e || entry_type(e) == VALUE_STRING;
}

static void lcs_command(struct call *c)
{
    char scratch_a[INT64_TEXT_MAX], scratch_b[INT64_TEXT_MAX];
    struct lcs_options o = {0};
    struct entry *a = call_find(c, 1), *b = call_find(c, 2);
    if (!is_string_or_absent(a) || !is_string_or_absent(b)) {
        reply_error(c->reply, "ERR The specified keys must contain string values");
        return;
    }
    if (!parse_options(c, &o))
        return;
    struct slice empty = slice_make("", 0);
    reply_lcs(c, a ? entry_string(a, scratch_a) : empty, b ? entry_string(b, scratch_b) : empty, &o);
}

const struct command command_lcs_rows[] = {
    {.name = "lcs",
     .handler = lcs_command,
     .arity = -3,
     .route = ROUTE_READ,
     .flags = COMMAND_READONLY,
     .categories = CATEGORY_STRING,
     .group = "string",
     .since = "7.0.0",
     .complexity = "O(N*M), N and M the lengths of the strings",
     .summary = "Finds the longest run of bytes, gaps allowed, that two strings share.",
     COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RO | KEY_ACCESS, 1, 1)),
     COMMAND_ARGUMENTS(
         ARGUMENT("key1", KEY), ARGUMENT("key2", KEY),
         ARGUMENT("len", PURE_TOKEN, .token = "LEN", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("idx", PURE_TOKEN, .token = "IDX", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("len", INTEGER, .token = "MINMATCHLEN", .flags = ARGUMENT_OPTIONAL),
         ARGUMENT("withmatchlen", PURE_TOKEN, .token = "WITHMATCHLEN", .flags = ARGUMENT_OPTIONAL))},
};
COMMAND_FAMILY_COUNT(lcs);
