#include "store/xstream_group.h"

#include "base/alloc.h"
#include "base/check.h"

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static int compare_pending(const void *a, const void *b)
{
    return xstream_id_compare(((const struct xstream_pending *)a)->id, ((const struct xstream_pending *)b)->id);
}

/* --- by name ---------------------------------------------------------------------- */

/* The first bytes as a number that ascends as names do. */
static uint64_t name_key(struct slice name)
{
    uint64_t key = 0;
    for (size_t i = 0; i < sizeof key; i++)
        key = key << 8 | (i < name.len ? (unsigned char)name.ptr[i] : 0);
    return key;
}

/* Of a group or a consumer: their blocks begin with the name. */
static struct tree_item named_item(void *block)
{
    return (struct tree_item){name_key(*(const struct slice *)block), block};
}

static void *find_named(const struct tree *t, struct slice name)
{
    struct tree_place place = tree_find(t, named_item(&name), NULL);
    return tree_is_end(place) ? NULL : tree_get(place).item;
}

struct tree_item xstream_consumer_item(struct xstream_consumer *consumer)
{
    return named_item(consumer);
}

struct xstream_group *xstream_group_find(const struct xstream *s, struct slice name)
{
    return find_named(&s->groups, name);
}

struct xstream_consumer *xstream_consumer_find(const struct xstream_group *g, struct slice name)
{
    return find_named(&g->consumers, name);
}

static struct slice copy_name(char *bytes, struct slice name)
{
    memcpy(bytes, name.ptr, name.len);
    return slice_make(bytes, name.len);
}

struct xstream_group *xstream_group_create(struct xstream *s, struct slice name, struct xstream_id last_id,
                                         int64_t entries_read)
{
    if (xstream_group_find(s, name))
        return NULL;
    struct xstream_group *g = mem_alloc(sizeof *g + name.len);
    g->name = copy_name(g->bytes, name);
    g->last_id = last_id;
    g->entries_read = entries_read;
    tree_init(&g->pending, compare_pending);
    tree_init(&g->consumers, compare_names);
    bool is_new = tree_insert(&s->groups, named_item(g));
    CHECK(is_new);
    return g;
}

struct xstream_consumer *xstream_consumer_create(struct xstream_group *g, struct slice name, int64_t seen_ms)
{
    if (xstream_consumer_find(g, name))
        return NULL;
    struct xstream_consumer *consumer = mem_alloc(sizeof *consumer + name.len);
    consumer->name = copy_name(consumer->bytes, name);
    consumer->seen_ms = seen_ms;
    tree_init(&consumer->pending, compare_pending);
    bool is_new = tree_insert(&g->consumers, named_item(consumer));
    CHECK(is_new);
    return consumer;
}

static void take_out(struct tree *t, struct tree_item item)
{
    bool was_there = tree_remove(t, item, NULL);
    CHECK(was_there);
}

/* --- freeing ------------------------------------------------------------------------ */

static void free_pending(void *context, void *item)
{
    (void)context;
    mem_free_sized(item, sizeof(struct xstream_pending));
}

static void forget_pending(void *context, void *item)
{
    (void)context, (void)item;
}

static void free_consumer(struct xstream_group *g, struct xstream_consumer *consumer)
{
    take_out(&g->consumers, named_item(consumer));
    mem_free_sized(consumer, sizeof *consumer + consumer->name.len);
}

/* All that is in the group; true when nothing is left. */
static bool drain_group(struct xstream_group *g, size_t *budget)
{
    if (!tree_drain(&g->pending, budget, free_pending, NULL))
        return false;
    while (tree_size(&g->consumers) > 0 && *budget > 0) {
        struct xstream_consumer *consumer = xstream_consumer_at(tree_first(&g->consumers));
        if (!tree_drain(&consumer->pending, budget, forget_pending, NULL))
            return false;
        free_consumer(g, consumer);
        *budget -= *budget > 0;
    }
    return tree_size(&g->consumers) == 0;
}

static void free_group(struct xstream *s, struct xstream_group *g)
{
    take_out(&s->groups, named_item(g));
    mem_free_sized(g, sizeof *g + g->name.len);
}

bool xstream_groups_free_some(struct xstream *s, size_t *budget)
{
    while (tree_size(&s->groups) > 0 && *budget > 0) {
        struct xstream_group *g = xstream_group_at(tree_first(&s->groups));
        if (!drain_group(g, budget))
            return false;
        free_group(s, g);
        *budget -= *budget > 0;
    }
    return tree_size(&s->groups) == 0;
}

void xstream_group_remove(struct xstream *s, struct xstream_group *g)
{
    size_t budget = SIZE_MAX;
    s->pending_count -= tree_size(&g->pending);
    bool is_empty = drain_group(g, &budget);
    CHECK(is_empty);
    free_group(s, g);
}

void xstream_consumer_remove(struct xstream *s, struct xstream_group *g, struct xstream_consumer *consumer)
{
    while (tree_size(&consumer->pending) > 0)
        xstream_pending_remove(s, g, xstream_pending_at(tree_last(&consumer->pending)));
    free_consumer(g, consumer);
}

/* --- pending ------------------------------------------------------------------------ */

static struct tree_item pending_item(struct xstream_pending *p)
{
    return (struct tree_item){p->id.ms, p};
}

struct xstream_pending *xstream_pending_find(const struct xstream_group *g, struct xstream_id id)
{
    struct xstream_pending sought = {.id = id};
    struct tree_place place = tree_find(&g->pending, pending_item(&sought), NULL);
    return tree_is_end(place) ? NULL : xstream_pending_at(place);
}

/* What is delivered is mostly above all that was. */
static void put_in(struct tree *t, struct xstream_pending *p)
{
    if (tree_append(t, pending_item(p)))
        return;
    bool is_new = tree_insert(t, pending_item(p));
    CHECK(is_new);
}

struct xstream_pending *xstream_pending_create(struct xstream *s, struct xstream_group *g, struct xstream_consumer *consumer,
                                             struct xstream_id id, int64_t delivered_ms)
{
    struct xstream_pending *p = mem_alloc(sizeof *p);
    *p = (struct xstream_pending){id, delivered_ms, 1, consumer};
    put_in(&g->pending, p);
    put_in(&consumer->pending, p);
    s->pending_count++;
    return p;
}

void xstream_pending_give(struct xstream_pending *p, struct xstream_consumer *consumer)
{
    if (p->consumer == consumer)
        return;
    take_out(&p->consumer->pending, pending_item(p));
    p->consumer = consumer;
    put_in(&consumer->pending, p);
}

void xstream_pending_remove(struct xstream *s, struct xstream_group *g, struct xstream_pending *p)
{
    take_out(&g->pending, pending_item(p));
    take_out(&p->consumer->pending, pending_item(p));
    mem_free_sized(p, sizeof *p);
    s->pending_count--;
}

static int seek_pending(const void *sought, struct tree_item item)
{
    const struct xstream_pending *p = item.item;
    return xstream_id_compare(p->id, *(const struct xstream_id *)sought) < 0 ? -1 : 1;
}

struct tree_place xstream_pending_seek(const struct tree *pending, struct xstream_id id)
{
    return tree_seek(pending, seek_pending, &id, NULL);
}

/* --- how far a group has read --------------------------------------------------------- */

/* True if an entry above or at id may have been deleted singly: then counting
 * on from there is wrong. */
static bool has_gap_from(const struct xstream *s, struct xstream_id id)
{
    if (s->length == 0 || xstream_id_is_zero(s->max_deleted_id))
        return false;
    return xstream_id_compare(s->first_id, s->max_deleted_id) <= 0 && xstream_id_compare(id, s->max_deleted_id) <= 0;
}

int64_t xstream_added_until(const struct xstream *s, struct xstream_id id)
{
    if (s->entries_added == 0)
        return 0;
    int against_last = xstream_id_compare(id, s->last_id);
    if (against_last == 0 || (s->length == 0 && against_last < 0))
        return (int64_t)s->entries_added;
    if (against_last > 0)
        return XSTREAM_READ_UNKNOWN;
    bool has_gaps = !xstream_id_is_zero(s->max_deleted_id) && xstream_id_compare(s->max_deleted_id, s->first_id) >= 0;
    int against_first = xstream_id_compare(id, s->first_id);
    if (has_gaps || against_first > 0)
        return XSTREAM_READ_UNKNOWN;
    return (int64_t)(s->entries_added - s->length) + (against_first == 0);
}

void xstream_group_deliver(const struct xstream *s, struct xstream_group *g, struct xstream_id id)
{
    if (g->entries_read != XSTREAM_READ_UNKNOWN && !has_gap_from(s, id))
        g->entries_read = (int64_t)((uint64_t)g->entries_read + 1); /* it may be anything a client has set */
    else if (s->entries_added > 0)
        g->entries_read = xstream_added_until(s, id);
    g->last_id = id;
}

bool xstream_group_lag(const struct xstream *s, const struct xstream_group *g, int64_t *lag)
{
    int64_t read = g->entries_read;
    if (s->entries_added == 0)
        read = 0;
    else if (read == XSTREAM_READ_UNKNOWN || has_gap_from(s, g->last_id))
        read = xstream_added_until(s, g->last_id);
    if (read == XSTREAM_READ_UNKNOWN)
        return false;
    *lag = (int64_t)(s->entries_added - (uint64_t)read);
    return true;
}

/* --- checking --------------------------------------------------------------------------- */

static void check_consumer(const struct xstream_group *g, const struct xstream_consumer *consumer)
{
    tree_check(&consumer->pending);
    for (struct tree_place p = tree_first(&consumer->pending); !tree_is_end(p); p = tree_next(p)) {
        const struct xstream_pending *pending = xstream_pending_at(p);
        CHECK(tree_get(p).key == pending->id.ms);
        CHECK(pending->consumer == consumer);
        CHECK(xstream_pending_find(g, pending->id) == pending);
    }
}

uint64_t xstream_group_check(const struct xstream_group *g)
{
    size_t of_consumers = 0;
    tree_check(&g->pending);
    tree_check(&g->consumers);
    for (struct tree_place p = tree_first(&g->consumers); !tree_is_end(p); p = tree_next(p)) {
        const struct xstream_consumer *consumer = xstream_consumer_at(p);
        CHECK(tree_get(p).key == name_key(consumer->name));
        check_consumer(g, consumer);
        of_consumers += tree_size(&consumer->pending);
    }
    CHECK(of_consumers == tree_size(&g->pending));
    return of_consumers;
}
