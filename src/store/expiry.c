#include "store/expiry.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/check.h"
#include "store/entry.h"

enum {
    SEGMENT_ITEMS = 4096,
    FIRST_ROOM_MIN = 16,
    SEGMENTS_ROOM_MIN = 8,
    ARITY = 4,
    /* Item i lies at place i + 3, so that siblings (4i+1 .. 4i+4) begin at a
     * place divisible by 4: one cache line. */
    PLACE_SHIFT = ARITY - 1,
    CACHE_LINE = 64,
};
static_assert(sizeof(struct expiry_item) * ARITY == CACHE_LINE, "siblings fill a cache line");

/* --- the array ------------------------------------------------------------- */

static struct expiry_item *item_at(const struct expiry *x, size_t index)
{
    size_t place = index + PLACE_SHIFT;
    return &x->segments[place / SEGMENT_ITEMS][place % SEGMENT_ITEMS];
}

static struct expiry_item *make_items(size_t count)
{
    return mem_alloc_aligned(CACHE_LINE, count * sizeof(struct expiry_item));
}

static void grow_first(struct expiry *x, size_t room)
{
    struct expiry_item *items = make_items(room);
    if (x->first_room) {
        memcpy(items, x->segments[0], x->first_room * sizeof *items);
        mem_free(x->segments[0]);
    }
    x->segments[0] = items;
    x->first_room = room;
}

static void add_segment(struct expiry *x)
{
    if (x->segment_count == x->segments_room) {
        x->segments_room = x->segments_room ? 2 * x->segments_room : SEGMENTS_ROOM_MIN;
        x->segments = mem_realloc(x->segments, x->segments_room * sizeof *x->segments);
    }
    if (x->segment_count == 0) {
        grow_first(x, FIRST_ROOM_MIN);
        x->segment_count = 1;
    } else {
        x->segments[x->segment_count++] = make_items(SEGMENT_ITEMS);
    }
}

/* Makes place for one more item. */
static void reserve_one(struct expiry *x)
{
    size_t place = x->count + PLACE_SHIFT;
    if (place / SEGMENT_ITEMS >= x->segment_count)
        add_segment(x);
    if (place < SEGMENT_ITEMS && place >= x->first_room)
        grow_first(x, 2 * x->first_room);
}

/* Keeps one free segment against flapping. */
static void release_spare(struct expiry *x)
{
    if (x->count == 0) {
        expiry_deinit(x);
        return;
    }
    size_t last_place = x->count - 1 + PLACE_SHIFT;
    size_t needed = last_place / SEGMENT_ITEMS + 1;
    if (x->segment_count > needed + 1)
        mem_free(x->segments[--x->segment_count]);
}

void expiry_init(struct expiry *x)
{
    *x = (struct expiry){0};
}

bool expiry_drain(struct expiry *x)
{
    if (x->segment_count > 0)
        mem_free(x->segments[--x->segment_count]);
    if (x->segment_count > 0)
        return false;
    mem_free(x->segments);
    expiry_init(x);
    return true;
}

void expiry_deinit(struct expiry *x)
{
    while (!expiry_drain(x)) {
    }
}

/* --- the heap -------------------------------------------------------------- */

static bool is_before(const struct expiry_item *a, const struct expiry_item *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return slice_compare(entry_key_slice(a->entry), entry_key_slice(b->entry)) < 0;
}

static void put(struct expiry *x, size_t index, struct expiry_item item)
{
    *item_at(x, index) = item;
    entry_set_expiry_position(item.entry, (uint32_t)index);
}

static void sift_up(struct expiry *x, size_t index, struct expiry_item item)
{
    while (index > 0) {
        size_t parent = (index - 1) / ARITY;
        if (!is_before(&item, item_at(x, parent)))
            break;
        put(x, index, *item_at(x, parent));
        index = parent;
    }
    put(x, index, item);
}

static size_t earliest_child(const struct expiry *x, size_t index)
{
    size_t child = index * ARITY + 1;
    size_t end = child + ARITY < x->count ? child + ARITY : x->count;
    size_t earliest = child;
    for (child++; child < end; child++)
        if (is_before(item_at(x, child), item_at(x, earliest)))
            earliest = child;
    return earliest;
}

static void sift_down(struct expiry *x, size_t index, struct expiry_item item)
{
    while (index * ARITY + 1 < x->count) {
        size_t child = earliest_child(x, index);
        if (!is_before(item_at(x, child), &item))
            break;
        put(x, index, *item_at(x, child));
        index = child;
    }
    put(x, index, item);
}

/* Puts item where its time wants it, beginning at the free place index. */
static void settle(struct expiry *x, size_t index, struct expiry_item item)
{
    if (index > 0 && is_before(&item, item_at(x, (index - 1) / ARITY)))
        sift_up(x, index, item);
    else
        sift_down(x, index, item);
}

static size_t position_of(const struct expiry *x, const struct entry *e)
{
    size_t index = entry_expiry_position(e);
    CHECK(index < x->count);
    return index;
}

void expiry_add(struct expiry *x, struct entry *e, int64_t at)
{
    CHECK(x->count < UINT32_MAX);
    CHECK(entry_has_expiry(e));
    reserve_one(x);
    entry_set_expiry_time(e, at);
    sift_up(x, x->count++, (struct expiry_item){at, e});
}

void expiry_update(struct expiry *x, struct entry *e, int64_t at)
{
    size_t index = position_of(x, e);
    CHECK(item_at(x, index)->entry == e);
    entry_set_expiry_time(e, at);
    settle(x, index, (struct expiry_item){at, e});
}

void expiry_remove(struct expiry *x, struct entry *e)
{
    size_t index = position_of(x, e);
    CHECK(item_at(x, index)->entry == e);
    entry_set_expiry_time(e, EXPIRE_NONE);
    x->count--;
    if (index < x->count)
        settle(x, index, *item_at(x, x->count));
    release_spare(x);
}

void expiry_moved(struct expiry *x, struct entry *e)
{
    item_at(x, position_of(x, e))->entry = e;
}

struct entry *expiry_first(const struct expiry *x)
{
    return x->count ? item_at(x, 0)->entry : NULL;
}

int64_t expiry_next_due(const struct expiry *x)
{
    return x->count ? item_at(x, 0)->at : INT64_MAX;
}

bool expiry_holds(const struct expiry *x, const struct entry *e)
{
    return entry_has_expiry(e) && entry_expiry_position(e) < x->count &&
           item_at(x, entry_expiry_position(e))->entry == e;
}

size_t expiry_bytes(const struct expiry *x)
{
    size_t places = x->segment_count ? x->first_room + (x->segment_count - 1) * SEGMENT_ITEMS : 0;
    return places * sizeof(struct expiry_item) + x->segments_room * sizeof *x->segments;
}

void expiry_check(const struct expiry *x)
{
    size_t places = x->segment_count ? x->first_room + (x->segment_count - 1) * SEGMENT_ITEMS : 0;
    CHECK(x->count == 0 || x->count + PLACE_SHIFT <= places);
    CHECK(x->segment_count <= x->segments_room);
    if (x->count)
        CHECK(x->segment_count <= (x->count - 1 + PLACE_SHIFT) / SEGMENT_ITEMS + 2);
    for (size_t i = 0; i < x->count; i++) {
        const struct expiry_item *item = item_at(x, i);
        CHECK(entry_has_expiry(item->entry));
        CHECK(entry_expiry_position(item->entry) == i);
        CHECK(entry_expiry_time(item->entry) == item->at);
        if (i)
            CHECK(!is_before(item, item_at(x, (i - 1) / ARITY)));
    }
}
