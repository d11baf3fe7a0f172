/* What the files on places share. */
#ifndef COMMAND_GEO_H
#define COMMAND_GEO_H

#include "command/geohash.h"
#include "command/zset.h"

/* Longitude and latitude at two arguments; writes Redis's error. */
bool geo_read_point(struct call *c, int index, struct geo_point *p);
/* Metres of a unit's name; writes Redis's error. */
bool geo_read_unit(struct call *c, int index, double *metres);
/* Four digits behind the point, a bulk string. */
void geo_reply_distance(struct reply *r, double distance);
void geo_reply_point(struct reply *r, struct geo_point p);

#define GEO_ROW(name_, arity_, route_, flags_)                                                               \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_GEO, .group = "geo"
#define UNIT_ARGUMENT                                                                                        \
    ARGUMENT("unit", ONEOF,                                                                                  \
             COMMAND_ARGUMENTS(ARGUMENT_WORD("m", "M"), ARGUMENT_WORD("km", "KM"), ARGUMENT_WORD("ft", "FT"), \
                               ARGUMENT_WORD("mi", "MI")))

#endif
