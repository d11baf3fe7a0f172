/* Places around a point, or around one of them. */
#include <stdlib.h>

#include "base/alloc.h"
#include "command/families.h"
#include "command/geo.h"

enum sorting { SORT_NONE, SORT_NEAR, SORT_FAR };
enum search_kind { AROUND_POINT, AROUND_MEMBER, SEARCH, SEARCH_STORE };

struct search {
    enum search_kind kind;
    bool may_store;  /* STORE and STOREDIST are options */
    int key, target; /* arguments; target 0: replies */
    struct entry *source; /* NULL: no such key */
    struct geo_area area;
    double metres; /* of the unit */
    bool has_center_member, has_center_point, has_radius, has_box;
    bool with_distance, with_hash, with_point, stores_distance, is_any;
    enum sorting sorting;
    int64_t count; /* 0: all */
};

/* --- reading the command -------------------------------------------------------------- */

static bool refuse(struct call *c, const char *error)
{
    reply_error(c->reply, error);
    return false;
}

static bool read_radius(struct call *c, int index, struct search *s)
{
    if (!slice_to_double(c->argv[index], &s->area.radius))
        return refuse(c, "ERR need numeric radius");
    if (s->area.radius < 0)
        return refuse(c, "ERR radius cannot be negative");
    if (!geo_read_unit(c, index + 1, &s->metres))
        return false;
    s->area.radius *= s->metres;
    return true;
}

static bool read_box(struct call *c, int index, struct search *s)
{
    struct geo_area *area = &s->area;
    area->is_box = true;
    if (!slice_to_double(c->argv[index], &area->width))
        return refuse(c, "ERR need numeric width");
    if (!slice_to_double(c->argv[index + 1], &area->height))
        return refuse(c, "ERR need numeric height");
    if (area->width < 0 || area->height < 0)
        return refuse(c, "ERR height or width cannot be negative");
    if (!geo_read_unit(c, index + 2, &s->metres))
        return false;
    area->width *= s->metres;
    area->height *= s->metres;
    return true;
}

/* Without a key the question is whether the rest of the command makes sense. */
static bool read_member(struct call *c, int index, struct search *s)
{
    if (!s->source)
        return true;
    struct value v = entry_value(s->source);
    struct zset_found found = zset_find(&v, c->argv[index]);
    if (!found.is_present)
        return refuse(c, "ERR could not decode requested zset member");
    s->area.center = geo_point_of(found.score);
    return true;
}

static bool read_search_count(struct call *c, int index, int64_t *count)
{
    if (!call_int64(c, index, count))
        return false;
    return *count > 0 || refuse(c, "ERR COUNT must be > 0");
}

/* Words without arguments of their own. */
static bool read_word(struct call *c, int i, struct search *s)
{
    if (call_option(c, i, "withdist"))
        s->with_distance = true;
    else if (call_option(c, i, "withhash"))
        s->with_hash = true;
    else if (call_option(c, i, "withcoord"))
        s->with_point = true;
    else if (call_option(c, i, "any"))
        s->is_any = true;
    else if (call_option(c, i, "asc"))
        s->sorting = SORT_NEAR;
    else if (call_option(c, i, "desc"))
        s->sorting = SORT_FAR;
    else if (s->kind == SEARCH_STORE && call_option(c, i, "storedist"))
        s->stores_distance = true;
    else
        return false;
    return true;
}

/* An option with its arguments; returns how many arguments that were, 0 if it is
 * none, -1 if it was refused. */
static int read_option(struct call *c, int i, struct search *s)
{
    bool is_search = s->kind == SEARCH || s->kind == SEARCH_STORE;
    int left = c->argc - i - 1;
    if (read_word(c, i, s))
        return 1;
    if (left >= 1 && call_option(c, i, "count"))
        return read_search_count(c, i + 1, &s->count) ? 2 : -1;
    if (left >= 1 && s->may_store && (call_option(c, i, "store") || call_option(c, i, "storedist"))) {
        s->stores_distance = call_option(c, i, "storedist");
        s->target = i + 1;
        return 2;
    }
    if (left >= 1 && is_search && !s->has_center_point && call_option(c, i, "frommember")) {
        s->has_center_member = true;
        return read_member(c, i + 1, s) ? 2 : -1;
    }
    if (left >= 2 && is_search && !s->has_center_member && call_option(c, i, "fromlonlat")) {
        s->has_center_point = true;
        return geo_read_point(c, i + 1, &s->area.center) ? 3 : -1;
    }
    if (left >= 2 && is_search && !s->has_box && call_option(c, i, "byradius")) {
        s->has_radius = true;
        return read_radius(c, i + 1, s) ? 3 : -1;
    }
    if (left >= 3 && is_search && !s->has_radius && call_option(c, i, "bybox")) {
        s->has_box = true;
        return read_box(c, i + 1, s) ? 4 : -1;
    }
    return 0;
}

static bool check_options(struct call *c, const struct search *s)
{
    bool is_search = s->kind == SEARCH || s->kind == SEARCH_STORE;
    int name_length = (int)c->argv[0].len;
    if (s->target && (s->with_distance || s->with_hash || s->with_point))
        reply_error_format(c->reply, "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                           s->kind == SEARCH_STORE ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
    else if (is_search && !s->has_center_member && !s->has_center_point)
        reply_error_format(c->reply, "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s",
                           name_length, c->argv[0].ptr);
    else if (is_search && !s->has_radius && !s->has_box)
        reply_error_format(c->reply, "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s", name_length,
                           c->argv[0].ptr);
    else if (s->is_any && s->count == 0)
        reply_error(c->reply, "ERR the ANY argument requires COUNT argument");
    else
        return true;
    return false;
}

/* The arguments that stand in front of the options; returns where those begin,
 * 0 if one was refused. */
static int read_head(struct call *c, struct search *s)
{
    switch (s->kind) {
    case AROUND_POINT: return geo_read_point(c, 2, &s->area.center) && read_radius(c, 4, s) ? 6 : 0;
    case AROUND_MEMBER:
        return !s->source || (read_member(c, 2, s) && read_radius(c, 3, s)) ? 5 : 0;
    case SEARCH: return 2;
    case SEARCH_STORE: return 3;
    }
    return 0;
}

static bool read_search(struct call *c, struct search *s)
{
    int i = read_head(c, s);
    if (i == 0)
        return false;
    while (i < c->argc) {
        int taken = read_option(c, i, s);
        if (taken == 0)
            return refuse(c, ERROR_SYNTAX);
        if (taken < 0)
            return false;
        i += taken;
    }
    return check_options(c, s);
}

/* --- finding -------------------------------------------------------------------------- */

struct hit {
    size_t rank, number; /* in the sorted set, in the order of finding */
    double score, distance; /* metres */
};
struct hits {
    struct hit *hits;
    size_t count, capacity;
};

static void add_hit(struct hits *h, struct hit hit)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 16;
        h->hits = mem_realloc(h->hits, h->capacity * sizeof *h->hits);
    }
    hit.number = h->count;
    h->hits[h->count++] = hit;
}

static bool has_enough(const struct search *s, const struct hits *h)
{
    return s->is_any && h->count >= (uint64_t)s->count;
}

static void look_in_cell(const struct search *s, const struct value *v, struct geo_cell cell, struct hits *h)
{
    struct zset_score_range range = {.is_max_open = true};
    struct zset_iterator i;
    struct zset_pair pair;
    geo_cell_scores(cell, &range.min, &range.max);
    struct zset_run run = zset_run_of_scores(v, &range);
    if (run.first == run.end)
        return;
    zset_iterate(&i, v, run.first, false);
    for (size_t rank = run.first; rank < run.end && !has_enough(s, h) && zset_next(&i, &pair); rank++) {
        struct hit hit = {.rank = rank, .score = pair.score};
        if (geo_area_holds(&s->area, geo_point_of(pair.score), &hit.distance))
            add_hit(h, hit);
    }
}

static int compare_near(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int compare_far(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance > y->distance ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void find_hits(const struct search *s, const struct value *v, struct hits *h)
{
    struct geo_cell cells[GEO_COVER_MAX];
    unsigned count = geo_cover(&s->area, cells);
    for (unsigned i = 0; i < count && !has_enough(s, h); i++)
        look_in_cell(s, v, cells[i], h);
    /* The nearest are meant unless any will do. */
    bool is_near = s->sorting == SORT_NEAR || (s->sorting == SORT_NONE && s->count > 0 && !s->is_any);
    if (h->count > 0 && (is_near || s->sorting == SORT_FAR))
        qsort(h->hits, h->count, sizeof *h->hits, is_near ? compare_near : compare_far);
    if (s->count > 0 && h->count > (uint64_t)s->count)
        h->count = (size_t)s->count;
}

/* --- answering ------------------------------------------------------------------------ */

static void reply_hits(struct call *c, const struct search *s, const struct value *v, const struct hits *h)
{
    size_t options = (size_t)s->with_distance + s->with_hash + s->with_point;
    reply_array(c->reply, h->count);
    for (size_t i = 0; i < h->count; i++) {
        char scratch[INT64_TEXT_MAX];
        const struct hit *hit = &h->hits[i];
        if (options > 0)
            reply_array(c->reply, options + 1);
        reply_bulk(c->reply, zset_at(v, hit->rank, scratch).member);
        if (s->with_distance)
            geo_reply_distance(c->reply, hit->distance / s->metres);
        if (s->with_hash)
            reply_int(c->reply, (int64_t)hit->score);
        if (s->with_point)
            geo_reply_point(c->reply, geo_point_of(hit->score));
    }
}

static void store_hits(struct call *c, const struct search *s, const struct value *v, const struct hits *h)
{
    const struct value_env *env = keyspace_env(c->ks);
    char scratch[INT64_TEXT_MAX];
    size_t longest = 0;
    for (size_t i = 0; i < h->count; i++) {
        size_t length = zset_at(v, h->hits[i].rank, scratch).member.len;
        longest = length > longest ? length : longest;
    }
    struct value stored = zset_create_for(env, h->count, longest);
    for (size_t i = 0; i < h->count; i++) {
        const struct hit *hit = &h->hits[i];
        struct slice member = zset_at(v, hit->rank, scratch).member;
        struct zset_found found = zset_find(&stored, member);
        zset_add(&stored, env, &found, member, s->stores_distance ? hit->distance / s->metres : hit->score);
    }
    zset_store(c, c->argv[s->target], stored, s->kind == SEARCH_STORE ? "geosearchstore" : "georadiusstore",
               h->count);
}

static void search(struct call *c, struct search s)
{
    struct hits h = {0};
    if (!call_find_type(c, s.key, VALUE_ZSET, &s.source) || !read_search(c, &s))
        return;
    struct value v = s.source ? entry_value(s.source) : (struct value){0};
    if (s.source)
        find_hits(&s, &v, &h);
    if (s.target)
        store_hits(c, &s, &v, &h);
    else
        reply_hits(c, &s, &v, &h);
    mem_free(h.hits);
}

static void georadius_command(struct call *c)
{
    search(c, (struct search){.kind = AROUND_POINT, .key = 1, .may_store = true});
}

static void georadius_ro_command(struct call *c)
{
    search(c, (struct search){.kind = AROUND_POINT, .key = 1});
}

static void georadiusbymember_command(struct call *c)
{
    search(c, (struct search){.kind = AROUND_MEMBER, .key = 1, .may_store = true});
}

static void georadiusbymember_ro_command(struct call *c)
{
    search(c, (struct search){.kind = AROUND_MEMBER, .key = 1});
}

static void geosearch_command(struct call *c)
{
    search(c, (struct search){.kind = SEARCH, .key = 1});
}

static void geosearchstore_command(struct call *c)
{
    search(c, (struct search){.kind = SEARCH_STORE, .key = 2, .target = 1});
}

/* --- the table ---------------------------------------------------------------------- */

#define ORDER_ARGUMENT                                                                                       \
    ARGUMENT("order", ONEOF, .flags = ARGUMENT_OPTIONAL,                                                     \
             COMMAND_ARGUMENTS(ARGUMENT_WORD("asc", "ASC"), ARGUMENT_WORD("desc", "DESC")))
#define WORD_ARGUMENT(name_, token_) \
    ARGUMENT(name_, PURE_TOKEN, .token = (token_), .flags = ARGUMENT_OPTIONAL)
#define POINT_ARGUMENTS ARGUMENT("longitude", DOUBLE), ARGUMENT("latitude", DOUBLE)
#define WITH_ARGUMENTS                                                                                       \
    WORD_ARGUMENT("withcoord", "WITHCOORD"), WORD_ARGUMENT("withdist", "WITHDIST"),                          \
        WORD_ARGUMENT("withhash", "WITHHASH")
#define COUNT_ARGUMENT_WITH(any_)                                                                            \
    ARGUMENT("count", BLOCK, .flags = ARGUMENT_OPTIONAL,                                                     \
             COMMAND_ARGUMENTS(ARGUMENT("count", INTEGER, .token = "COUNT"), any_))
#define COUNT_ARGUMENT COUNT_ARGUMENT_WITH(WORD_ARGUMENT("any", "ANY"))
/* The same in commands that are older than ANY. */
#define COUNT_ARGUMENT_62                                                                                    \
    COUNT_ARGUMENT_WITH(                                                                                     \
        ARGUMENT("any", PURE_TOKEN, .token = "ANY", .flags = ARGUMENT_OPTIONAL, .since = "6.2.0"))
#define FROM_ARGUMENT                                                                                        \
    ARGUMENT("from", ONEOF,                                                                                  \
             COMMAND_ARGUMENTS(ARGUMENT("member", STRING, .token = "FROMMEMBER"),                            \
                               ARGUMENT("longitude_latitude", BLOCK, .token = "FROMLONLAT",                  \
                                        COMMAND_ARGUMENTS(POINT_ARGUMENTS))))
#define BY_ARGUMENT                                                                                          \
    ARGUMENT("by", ONEOF,                                                                                    \
             COMMAND_ARGUMENTS(                                                                              \
                 ARGUMENT("circle", BLOCK,                                                                   \
                          COMMAND_ARGUMENTS(ARGUMENT("radius", DOUBLE, .token = "BYRADIUS"),                 \
                                            UNIT_ARGUMENT)),                                                 \
                 ARGUMENT("box", BLOCK,                                                                      \
                          COMMAND_ARGUMENTS(ARGUMENT("width", DOUBLE, .token = "BYBOX"),                     \
                                            ARGUMENT("height", DOUBLE), UNIT_ARGUMENT))))
#define STORE_ARGUMENTS                                                                                      \
    ARGUMENT("key", KEY, .token = "STORE", .flags = ARGUMENT_OPTIONAL, .key_spec_index = 1),                 \
        ARGUMENT("key", KEY, .token = "STOREDIST", .flags = ARGUMENT_OPTIONAL, .key_spec_index = 2)

const struct command command_geo_search_rows[] = {
    {GEO_ROW(georadius, -6, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLEKEYS),
     COMMAND_HISTORY({"6.2.0", "COUNT may be followed by ANY."}, {"7.0.0", "Units in capitals."}), .since = "3.2.0",
     .complexity = "O(log n + places in the area's cells)",
     .summary = "Lists or stores the places around a point.", .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument", COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RO | KEY_ACCESS, 0, 1),
                   KEY_KEYWORD_RANGE("STORE", 6, KEY_OW | KEY_UPDATE, 0, 1, 0),
                   KEY_KEYWORD_RANGE("STOREDIST", 6, KEY_OW | KEY_UPDATE, 0, 1, 0)),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, POINT_ARGUMENTS, ARGUMENT("radius", DOUBLE), UNIT_ARGUMENT,
                       WITH_ARGUMENTS, COUNT_ARGUMENT_62, ORDER_ARGUMENT, STORE_ARGUMENTS)},
    {GEO_ROW(georadius_ro, -6, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"6.2.0", "COUNT may be followed by ANY."}), .since = "3.2.10",
     .complexity = "O(log n + places in the area's cells)", .summary = "Lists the places around a point.",
     .deprecated_since = "6.2.0", .replaced_by = "`GEOSEARCH` with the `BYRADIUS` argument",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, POINT_ARGUMENTS, ARGUMENT("radius", DOUBLE), UNIT_ARGUMENT,
                       WITH_ARGUMENTS, COUNT_ARGUMENT_62, ORDER_ARGUMENT)},
    {GEO_ROW(georadiusbymember, -5, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_MOVABLEKEYS),
     COMMAND_HISTORY({"7.0.0", "Units in capitals."}),
     .since = "3.2.0", .complexity = "O(log n + places in the area's cells)",
     .summary = "Lists or stores the places around one of them.", .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
     COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RO | KEY_ACCESS, 0, 1),
                   KEY_KEYWORD_RANGE("STORE", 5, KEY_OW | KEY_UPDATE, 0, 1, 0),
                   KEY_KEYWORD_RANGE("STOREDIST", 5, KEY_OW | KEY_UPDATE, 0, 1, 0)),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBER_ARGUMENT, ARGUMENT("radius", DOUBLE), UNIT_ARGUMENT,
                       WITH_ARGUMENTS, COUNT_ARGUMENT, ORDER_ARGUMENT, STORE_ARGUMENTS)},
    {GEO_ROW(georadiusbymember_ro, -5, READ, COMMAND_READONLY), .since = "3.2.10",
     .complexity = "O(log n + places in the area's cells)",
     .summary = "Lists the places around one of them.", .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBER_ARGUMENT, ARGUMENT("radius", DOUBLE), UNIT_ARGUMENT,
                       WITH_ARGUMENTS, COUNT_ARGUMENT, ORDER_ARGUMENT)},
    {GEO_ROW(geosearch, -7, READ, COMMAND_READONLY),
     COMMAND_HISTORY({"7.0.0", "Units in capitals."}), .since = "6.2.0",
     .complexity = "O(log n + places in the area's cells)",
     .summary = "Lists the places within a circle or a box.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, FROM_ARGUMENT, BY_ARGUMENT, ORDER_ARGUMENT, COUNT_ARGUMENT,
                       WITH_ARGUMENTS)},
    {GEO_ROW(geosearchstore, -8, WRITE, COMMAND_WRITE | COMMAND_DENYOOM),
     COMMAND_HISTORY({"7.0.0", "Units in capitals."}), .since = "6.2.0",
     .complexity = "O(log n + places in the area's cells)",
     .summary = "Stores the places within a circle or a box.", COMMAND_KEYS(1, 2, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_OW | KEY_UPDATE, 0, 1), KEY_RANGE(2, KEY_RO | KEY_ACCESS, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("destination", KEY), ARGUMENT("source", KEY, .key_spec_index = 1),
                       FROM_ARGUMENT, BY_ARGUMENT, ORDER_ARGUMENT, COUNT_ARGUMENT,
                       WORD_ARGUMENT("storedist", "STOREDIST"))},
};
COMMAND_FAMILY_COUNT(geo_search);
