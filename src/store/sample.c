#include "store/sample.h"

#include "base/check.h"

/* The items are the places themselves. */
static void *item_of(size_t place)
{
    return (void *)(uintptr_t)place;
}

static uint64_t hash_of(size_t place)
{
    return random_mix(place);
}

static uint64_t hash_item(const void *context, const void *item)
{
    (void)context;
    return hash_of((size_t)(uintptr_t)item);
}

static bool is_item(const void *item, const void *wanted)
{
    return item == wanted;
}

void sample_init(struct sample *s, struct random *random, size_t size, size_t count)
{
    CHECK(count <= size);
    *s = (struct sample){.random = random, .next = size - count, .size = size};
    dict_init(&s->drawn, hash_item, NULL);
}

size_t sample_next(struct sample *s)
{
    CHECK(s->next < s->size);
    size_t place = random_below(s->random, s->next + 1);
    if (dict_find(&s->drawn, hash_of(place), is_item, item_of(place)))
        place = s->next;
    dict_insert(&s->drawn, hash_of(place), item_of(place));
    s->next++;
    return place;
}

void sample_deinit(struct sample *s)
{
    dict_deinit(&s->drawn);
}
