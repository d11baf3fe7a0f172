#include "consensus/history.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

void history_init(struct history *h, uint64_t first_lap, size_t bytes_max)
{
    *h = (struct history){.first_lap = first_lap, .bytes_max = bytes_max};
}

static struct history_entry *entry_at(const struct history *h, size_t index)
{
    CHECK(index < h->count);
    return &h->entries[(h->head + index) & (h->capacity - 1)];
}

const struct history_entry *history_at(const struct history *h, size_t index)
{
    return entry_at(h, index);
}

static void drop_oldest(struct history *h)
{
    struct history_entry *oldest = entry_at(h, 0);
    h->bytes -= oldest->batch->size + (size_t)HISTORY_ENTRY_COST;
    h->first_lap = oldest->lap + 1;
    batch_release(oldest->batch);
    h->head = (h->head + 1) & (h->capacity - 1);
    h->count--;
}

void history_deinit(struct history *h)
{
    while (h->count > 0)
        drop_oldest(h);
    mem_free(h->entries);
    *h = (struct history){0};
}

static void grow(struct history *h)
{
    size_t capacity = h->capacity ? h->capacity * 2 : 64;
    struct history_entry *entries = mem_alloc(capacity * sizeof *entries);
    for (size_t i = 0; i < h->count; i++)
        entries[i] = *entry_at(h, i);
    mem_free(h->entries);
    h->entries = entries;
    h->capacity = capacity;
    h->head = 0;
}

/* Whole laps go at once: a lap is kept complete or not at all. */
void history_trim(struct history *h, uint64_t lap)
{
    while (h->count > 0 && entry_at(h, 0)->lap < lap)
        drop_oldest(h);
}

void history_add(struct history *h, uint64_t lap, uint8_t lane, struct batch *batch)
{
    CHECK(lap >= h->first_lap);
    CHECK(batch);
    if (h->count == h->capacity)
        grow(h);
    h->count++;
    *entry_at(h, h->count - 1) = (struct history_entry){lap, lane, batch_hold(batch)};
    h->bytes += batch->size + (size_t)HISTORY_ENTRY_COST;
    while (h->bytes > h->bytes_max && entry_at(h, 0)->lap < lap)
        history_trim(h, entry_at(h, 0)->lap + 1);
}

size_t history_find(const struct history *h, uint64_t lap, uint8_t lane)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct history_entry *e = entry_at(h, middle);
        if (e->lap < lap || (e->lap == lap && e->lane < lane))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct batch *history_batch(const struct history *h, uint64_t lap, uint8_t lane)
{
    CHECK(lap >= h->first_lap);
    size_t index = history_find(h, lap, lane);
    if (index == h->count)
        return NULL;
    const struct history_entry *e = entry_at(h, index);
    return e->lap == lap && e->lane == lane ? e->batch : NULL;
}

void history_check(const struct history *h)
{
    size_t bytes = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct history_entry *e = entry_at(h, i);
        CHECK(e->lap >= h->first_lap);
        bytes += e->batch->size + (size_t)HISTORY_ENTRY_COST;
        if (i > 0)
            CHECK(history_find(h, e->lap, e->lane) == i);
    }
    CHECK(bytes == h->bytes);
}
