#include "command/geohash.h"

#include <math.h>

#define EARTH_RADIUS 6372797.560856  /* metres */
#define WORLD_HALF_WIDTH 20037726.37 /* metres: half of the projected world's width */
#define DEGREE (M_PI / 180.0)

/* --- numbers ------------------------------------------------------------------------ */

/* Bit i of the word goes to bit 2i. */
static uint64_t spread(uint64_t word)
{
    word = (word | word << 16) & UINT64_C(0x0000ffff0000ffff);
    word = (word | word << 8) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word | word << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    word = (word | word << 2) & UINT64_C(0x3333333333333333);
    return (word | word << 1) & UINT64_C(0x5555555555555555);
}

static uint64_t gather(uint64_t word)
{
    word &= UINT64_C(0x5555555555555555);
    word = (word | word >> 1) & UINT64_C(0x3333333333333333);
    word = (word | word >> 2) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    word = (word | word >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word | word >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (word | word >> 16) & UINT64_C(0x00000000ffffffff);
}

static struct geo_cell cell_at(uint64_t column, uint64_t row, unsigned steps)
{
    return (struct geo_cell){spread(row) | spread(column) << 1, steps};
}

/* Which of 2^steps parts of [-max, max] a value lies in. */
static uint64_t part_of(double value, double max, unsigned steps)
{
    return (uint64_t)((value - -max) / (max - -max) * (double)(UINT64_C(1) << steps));
}

struct geo_cell geo_cell_of(struct geo_point p, double latitude_max, unsigned steps)
{
    return cell_at(part_of(p.longitude, GEO_LONGITUDE_MAX, steps), part_of(p.latitude, latitude_max, steps), steps);
}

/* Where a part begins. */
static double part_start(uint64_t part, double max, unsigned steps)
{
    return -max + (double)part / (double)(UINT64_C(1) << steps) * (max - -max);
}

struct geo_box geo_cell_box(struct geo_cell cell)
{
    uint64_t row = gather(cell.bits), column = gather(cell.bits >> 1);
    return (struct geo_box){
        .min = {part_start(column, GEO_LONGITUDE_MAX, cell.steps), part_start(row, GEO_LATITUDE_MAX, cell.steps)},
        .max = {part_start(column + 1, GEO_LONGITUDE_MAX, cell.steps),
                part_start(row + 1, GEO_LATITUDE_MAX, cell.steps)},
    };
}

/* A coordinate that does not move keeps what lies beyond the grid. */
static uint64_t moved(uint64_t coordinate, int by, unsigned steps)
{
    uint64_t mask = (UINT64_C(1) << steps) - 1;
    return by == 0 ? coordinate : (coordinate + (uint64_t)(int64_t)by) & mask;
}

struct geo_cell geo_cell_move(struct geo_cell cell, int east, int north)
{
    return cell_at(moved(gather(cell.bits >> 1), east, cell.steps), moved(gather(cell.bits), north, cell.steps),
                   cell.steps);
}

void geo_cell_scores(struct geo_cell cell, double *first, double *end)
{
    unsigned shift = 2 * (GEO_STEPS_MAX - cell.steps);
    *first = (double)(cell.bits << shift);
    *end = (double)((cell.bits + 1) << shift);
}

double geo_score(struct geo_point p)
{
    return (double)geo_cell_of(p, GEO_LATITUDE_MAX, GEO_STEPS_MAX).bits;
}

/* A score that is no cell's number is taken as Redis takes it, which leaves that
 * to its compiler and machine: modulo 2^64 as far as that goes. */
static uint64_t bits_of(double score)
{
    const double half = 9223372036854775808.0;
    const uint64_t top = UINT64_C(1) << 63;
    if (score < half)
        return score >= -half ? (uint64_t)(int64_t)score : top;
    return score - half < half ? (uint64_t)(int64_t)(score - half) ^ top : 0;
}

static double clamp(double value, double max)
{
    return value > max ? max : value < -max ? -max : value;
}

struct geo_point geo_point_of(double score)
{
    struct geo_box box = geo_cell_box((struct geo_cell){bits_of(score), GEO_STEPS_MAX});
    return (struct geo_point){clamp((box.min.longitude + box.max.longitude) / 2, GEO_LONGITUDE_MAX),
                              clamp((box.min.latitude + box.max.latitude) / 2, GEO_LATITUDE_MAX)};
}

/* --- distances ----------------------------------------------------------------------- */

double geo_latitude_distance(double a, double b)
{
    return EARTH_RADIUS * fabs(b * DEGREE - a * DEGREE);
}

double geo_distance(struct geo_point a, struct geo_point b)
{
    double v = sin((b.longitude * DEGREE - a.longitude * DEGREE) / 2);
    if (v == 0)
        return geo_latitude_distance(a.latitude, b.latitude);
    double latitude_a = a.latitude * DEGREE, latitude_b = b.latitude * DEGREE;
    double u = sin((latitude_b - latitude_a) / 2);
    return 2.0 * EARTH_RADIUS * asin(sqrt(u * u + cos(latitude_a) * cos(latitude_b) * v * v));
}

/* --- areas ---------------------------------------------------------------------------- */

/* A box is as wide as says, measured along the point's own parallel. */
bool geo_area_holds(const struct geo_area *area, struct geo_point p, double *distance)
{
    if (area->is_box) {
        struct geo_point beside = {area->center.longitude, p.latitude};
        if (geo_latitude_distance(p.latitude, area->center.latitude) > area->height / 2 ||
            geo_distance(p, beside) > area->width / 2)
            return false;
    }
    double d = geo_distance(area->center, p);
    if (!area->is_box && d > area->radius)
        return false;
    *distance = d;
    return true;
}

/* Degrees around the area, wide enough at its end nearer to the pole. */
static struct geo_box bounds_of(const struct geo_area *area)
{
    double height = area->is_box ? area->height / 2 : area->radius;
    double width = area->is_box ? area->width / 2 : area->radius;
    struct geo_point c = area->center;
    double rows = height / EARTH_RADIUS / DEGREE;
    double pole_side = c.latitude < 0 ? c.latitude - rows : c.latitude + rows;
    double columns = width / EARTH_RADIUS / cos(pole_side * DEGREE) / DEGREE;
    return (struct geo_box){{c.longitude - columns, c.latitude - rows}, {c.longitude + columns, c.latitude + rows}};
}

/* Steps at which nine cells should do: a cell is then about as large as the
 * radius; cells narrow towards the poles. */
static unsigned steps_for(double radius, double latitude)
{
    int steps = GEO_STEPS_MAX;
    if (radius > 0) {
        steps = -1;
        for (double reach = radius; reach < WORLD_HALF_WIDTH; reach *= 2)
            steps++;
        steps -= (fabs(latitude) > 66) + (fabs(latitude) > 80);
    }
    return steps < 1 ? 1 : steps > GEO_STEPS_MAX ? GEO_STEPS_MAX : (unsigned)steps;
}

/* True if the cells around this one do not reach as far as the area does. */
static bool is_too_small(struct geo_cell cell, const struct geo_box *bounds)
{
    return geo_cell_box(geo_cell_move(cell, 0, 1)).max.latitude < bounds->max.latitude ||
           geo_cell_box(geo_cell_move(cell, 0, -1)).min.latitude > bounds->min.latitude ||
           geo_cell_box(geo_cell_move(cell, 1, 0)).max.longitude < bounds->max.longitude ||
           geo_cell_box(geo_cell_move(cell, -1, 0)).min.longitude > bounds->min.longitude;
}

unsigned geo_cover(const struct geo_area *area, struct geo_cell cells[static GEO_COVER_MAX])
{
    static const struct {
        int east, north;
    } order[GEO_COVER_MAX] = {{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    double radius = area->is_box ? sqrt(area->width / 2 * (area->width / 2) + area->height / 2 * (area->height / 2))
                                 : area->radius;
    unsigned steps = steps_for(radius, area->center.latitude);
    struct geo_cell middle = geo_cell_of(area->center, GEO_LATITUDE_MAX, steps);
    struct geo_box bounds = bounds_of(area);
    if (steps > 1 && is_too_small(middle, &bounds))
        middle = geo_cell_of(area->center, GEO_LATITUDE_MAX, --steps);
    struct geo_box box = geo_cell_box(middle);
    unsigned count = 0;
    for (unsigned i = 0; i < GEO_COVER_MAX; i++) {
        int east = order[i].east, north = order[i].north;
        /* What the middle reaches over already needs no neighbour on that side. */
        if (steps >= 2 && ((north < 0 && box.min.latitude < bounds.min.latitude) ||
                           (north > 0 && box.max.latitude > bounds.max.latitude) ||
                           (east < 0 && box.min.longitude < bounds.min.longitude) ||
                           (east > 0 && box.max.longitude > bounds.max.longitude)))
            continue;
        struct geo_cell cell = geo_cell_move(middle, east, north);
        /* Around the world a cell may come twice, in succession. */
        if (count < 2 || cell.bits != cells[count - 1].bits)
            cells[count++] = cell;
    }
    return count;
}
