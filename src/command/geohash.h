/* Places as numbers: a cell of a grid over the earth, and distances on it.
 *
 * The grid halves longitudes and latitudes so many times (steps); a cell's number
 * interleaves its column and row, latitude in the even bits, so cells close
 * to each other mostly have numbers close to each other, and a cell of few
 * steps is a run of the numbers of many.  A place's score is its cell's number at
 * 26 steps, 52 bits: a double holds it.
 *
 * Latitudes end where the Web Mercator projection does.  A place on the northern
 * or eastern border is given the number behind the last one, as Redis does.
 *
 * After G. M. Morton, "A computer oriented geodetic data base", 1966, and G.
 * Niemeyer's geohash, 2008.  Distances are great circles by the haversine
 * formula on a sphere with Redis's radius. */
#ifndef COMMAND_GEOHASH_H
#define COMMAND_GEOHASH_H

#include <stdbool.h>
#include <stdint.h>

#define GEO_LONGITUDE_MAX 180.0
#define GEO_LATITUDE_MAX 85.05112878
enum { GEO_STEPS_MAX = 26 };

struct geo_point {
    double longitude, latitude; /* degrees */
};
struct geo_cell {
    uint64_t bits;
    unsigned steps; /* 0: no cell */
};
struct geo_box {
    struct geo_point min, max;
};

/* The cell a point lies in; latitude_max is 90 in the geohashes people write,
 * GEO_LATITUDE_MAX otherwise.  The point must lie within. */
struct geo_cell geo_cell_of(struct geo_point p, double latitude_max, unsigned steps);
struct geo_box geo_cell_box(struct geo_cell cell);
/* So many columns to the east and rows to the north, around the world. */
struct geo_cell geo_cell_move(struct geo_cell cell, int east, int north);
/* The numbers at 26 steps that lie in a cell: [first, end). */
void geo_cell_scores(struct geo_cell cell, double *first, double *end);

double geo_score(struct geo_point p);
/* The middle of the cell. */
struct geo_point geo_point_of(double score);

/* Metres. */
double geo_distance(struct geo_point a, struct geo_point b);
double geo_latitude_distance(double a, double b);

/* A circle, or a box whose sides run along parallels and meridians. */
struct geo_area {
    struct geo_point center;
    double radius;        /* metres */
    double width, height; /* metres, if it is a box */
    bool is_box;
};
/* True if the area holds the point; *distance from the center is then told. */
bool geo_area_holds(const struct geo_area *area, struct geo_point p, double *distance);

/* The cells that together cover an area, in the order in which Redis looks at
 * them: nine at most, their number returned. */
enum { GEO_COVER_MAX = 9 };
unsigned geo_cover(const struct geo_area *area, struct geo_cell cells[static GEO_COVER_MAX]);

#endif
