/* Places: members of a sorted set whose scores are cells of a grid (geohash.h). */
#include "command/geo.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"

/* --- shared ------------------------------------------------------------------------- */

bool geo_read_point(struct call *c, int index, struct geo_point *p)
{
    if (!slice_to_double(c->argv[index], &p->longitude) || !slice_to_double(c->argv[index + 1], &p->latitude)) {
        reply_error(c->reply, ERROR_NOT_FLOAT);
        return false;
    }
    if (p->longitude >= -GEO_LONGITUDE_MAX && p->longitude <= GEO_LONGITUDE_MAX &&
        p->latitude >= -GEO_LATITUDE_MAX && p->latitude <= GEO_LATITUDE_MAX)
        return true;
    reply_error_format(c->reply, "ERR invalid longitude,latitude pair %f,%f", p->longitude, p->latitude);
    return false;
}

bool geo_read_unit(struct call *c, int index, double *metres)
{
    static const struct {
        const char *name;
        double metres;
    } units[] = {{"m", 1}, {"km", 1000}, {"ft", 0.3048}, {"mi", 1609.34}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (call_option(c, index, units[i].name)) {
            *metres = units[i].metres;
            return true;
        }
    reply_error(c->reply, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

void geo_reply_distance(struct reply *r, double distance)
{
    char text[384]; /* the largest double has 309 digits */
    int length = snprintf(text, sizeof text, "%.4f", distance);
    CHECK(length > 0);
    CHECK((size_t)length < sizeof text);
    reply_bulk(r, slice_make(text, (size_t)length));
}

void geo_reply_point(struct reply *r, struct geo_point p)
{
    reply_array(r, 2);
    reply_coordinate(r, (long double)p.longitude);
    reply_coordinate(r, (long double)p.latitude);
}

/* --- GEOADD ------------------------------------------------------------------------- */

static int read_options(struct call *c, struct zset_addition *a)
{
    int i = 2;
    for (; i < c->argc; i++) {
        if (call_option(c, i, "nx"))
            a->is_new_only = true;
        else if (call_option(c, i, "xx"))
            a->is_old_only = true;
        else if (call_option(c, i, "ch"))
            a->counts_changed = true;
        else
            break;
    }
    return i;
}

static bool read_places(struct call *c, int first, struct zset_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int at = first + (int)i * 3;
        struct geo_point p;
        if (!geo_read_point(c, at, &p))
            return false;
        pairs[i] = (struct zset_pair){c->argv[at + 2], geo_score(p)};
    }
    return true;
}

static void geoadd_command(struct call *c)
{
    struct zset_addition a = {0};
    int first = read_options(c, &a), rest = c->argc - first;
    if (rest == 0 || rest % 3 || (a.is_new_only && a.is_old_only)) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    a.count = (size_t)rest / 3;
    struct zset_pair *pairs = mem_alloc(a.count * sizeof *pairs);
    a.pairs = pairs;
    if (read_places(c, first, pairs, a.count))
        zset_add_pairs(c, &a);
    mem_free(pairs);
}

/* --- looking ------------------------------------------------------------------------ */

static bool find_place(const struct entry *e, struct slice member, struct geo_point *p)
{
    if (!e)
        return false;
    struct value v = entry_value(e);
    struct zset_found found = zset_find(&v, member);
    if (!found.is_present)
        return false;
    *p = geo_point_of(found.score);
    return true;
}

static void geopos_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct geo_point p;
        if (find_place(e, c->argv[i], &p))
            geo_reply_point(c->reply, p);
        else
            reply_null_array(c->reply);
    }
}

static void geodist_command(struct call *c)
{
    double metres = 1;
    struct entry *e;
    struct geo_point a, b;
    if (c->argc == 5 && !geo_read_unit(c, 4, &metres))
        return;
    if (c->argc > 5) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    if (!call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    if (find_place(e, c->argv[2], &a) && find_place(e, c->argv[3], &b))
        geo_reply_distance(c->reply, geo_distance(a, b) / metres);
    else
        reply_null(c->reply);
}

/* Eleven letters of five bits; there are 52, so the last letter is always the
 * first of the alphabet. */
static void reply_geohash(struct call *c, struct geo_point p)
{
    enum { LETTERS = 11, BITS = 2 * GEO_STEPS_MAX };
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    char text[LETTERS];
    uint64_t bits = geo_cell_of(p, 90, GEO_STEPS_MAX).bits;
    for (unsigned i = 0; i < LETTERS - 1; i++)
        text[i] = alphabet[bits >> (BITS - 5 * (i + 1)) & 31];
    text[LETTERS - 1] = alphabet[0];
    reply_bulk(c->reply, slice_make(text, LETTERS));
}

static void geohash_command(struct call *c)
{
    struct entry *e;
    if (!call_find_type(c, 1, VALUE_ZSET, &e))
        return;
    reply_array(c->reply, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct geo_point p;
        if (find_place(e, c->argv[i], &p))
            reply_geohash(c, p);
        else
            reply_null(c->reply);
    }
}

/* --- the table ---------------------------------------------------------------------- */

const struct command command_geo_rows[] = {
    {GEO_ROW(geoadd, -5, WRITE, COMMAND_WRITE | COMMAND_DENYOOM),
     COMMAND_HISTORY({"6.2.0", "NX, XX and CH."}), .since = "3.2.0",
     .complexity = "O(log n) for each place", .summary = "Adds places to a sorted set, or moves them.",
     COMMAND_ONE_KEY(KEY_RW | KEY_UPDATE),
     COMMAND_ARGUMENTS(KEY_ARGUMENT,
                       ARGUMENT("condition", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "6.2.0",
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("nx", "NX"), ARGUMENT_WORD("xx", "XX"))),
                       ARGUMENT("change", PURE_TOKEN, .token = "CH", .flags = ARGUMENT_OPTIONAL,
                                .since = "6.2.0"),
                       ARGUMENT("longitude_latitude_member", BLOCK, .flags = ARGUMENT_MULTIPLE,
                                COMMAND_ARGUMENTS(ARGUMENT("longitude", DOUBLE),
                                                  ARGUMENT("latitude", DOUBLE), MEMBER_ARGUMENT)))},
    {GEO_ROW(geopos, -2, READ, COMMAND_READONLY), .since = "3.2.0", .complexity = "O(places)",
     .summary = "Reads the coordinates of places.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
    {GEO_ROW(geodist, -4, READ, COMMAND_READONLY), .since = "3.2.0", .complexity = "O(1)",
     .summary = "Measures how far two places are apart.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, ARGUMENT("member1", STRING), ARGUMENT("member2", STRING),
                       ARGUMENT("unit", ONEOF, .flags = ARGUMENT_OPTIONAL,
                                COMMAND_ARGUMENTS(ARGUMENT_WORD("m", "M"), ARGUMENT_WORD("km", "KM"),
                                                  ARGUMENT_WORD("ft", "FT"), ARGUMENT_WORD("mi", "MI"))))},
    {GEO_ROW(geohash, -2, READ, COMMAND_READONLY), .since = "3.2.0", .complexity = "O(places)",
     .summary = "Reads the geohashes of places, 11 letters each.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(KEY_ARGUMENT, MEMBERS_ARGUMENT)},
};
COMMAND_FAMILY_COUNT(geo);
