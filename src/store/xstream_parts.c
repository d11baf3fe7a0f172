/* What the keyspace needs to do with a stream.
 *
 * A part, saved, is a run of records; numbers are little-endian.  First all nodes, then
 * the groups, each with its consumers and then what is pending in it, last the
 * stream's own fields, all ascending:
 *
 *   'n'  id 16, length 4, listpack                          (xstream_node.h)
 *   'g'  length 4, name, last id 16, entries read 8
 *   'c'  length 4, name, seen 8                              of the group before
 *   'p'  id 16, delivered 8, deliveries 8, consumer 8        of the group before; the consumer by its rank
 *   's'  last id 16, max deleted id 16, entries added 8 */
#include "base/alloc.h"
#include "base/check.h"
#include "store/digest.h"
#include "store/xstream_group.h"
#include "store/xstream_radix.h"
#include "store/xstream_value.h"

/* --- freeing, copying, measuring ------------------------------------------------------ */

static void free_node(void *context, void *item)
{
    (void)context;
    xstream_node_free(item);
}

static bool xstream_free_some(struct value *v, size_t *budget)
{
    struct xstream *s = xstream_of(v);
    if (!tree_drain(&s->nodes, budget, free_node, NULL) || !xstream_groups_free_some(s, budget))
        return false;
    mem_free_sized(s, sizeof *s);
    v->at = NULL;
    return true;
}

void xstream_free(struct value v)
{
    value_free(VALUE_STREAM, v);
}

static size_t xstream_free_effort(const struct value *v)
{
    const struct xstream *s = xstream_of(v);
    return 1 + tree_size(&s->nodes) + tree_size(&s->groups) + s->pending_count;
}

static size_t xstream_count(const struct value *v)
{
    return xstream_of(v)->length;
}

static void copy_group(struct xstream *copy, const struct xstream_group *from)
{
    struct xstream_group *g = xstream_group_create(copy, from->name, from->last_id, from->entries_read);
    CHECK(g);
    for (struct tree_place i = tree_first(&from->consumers); !tree_is_end(i); i = tree_next(i))
        xstream_consumer_create(g, xstream_consumer_at(i)->name, xstream_consumer_at(i)->seen_ms);
    for (struct tree_place i = tree_first(&from->pending); !tree_is_end(i); i = tree_next(i)) {
        const struct xstream_pending *p = xstream_pending_at(i);
        struct xstream_consumer *consumer = xstream_consumer_find(g, p->consumer->name);
        xstream_pending_create(copy, g, consumer, p->id, p->delivered_ms)->deliveries = p->deliveries;
    }
}

static struct value xstream_copy(const struct value *v)
{
    const struct xstream *s = xstream_of(v);
    struct value v2 = xstream_create();
    struct xstream *copy = xstream_of(&v2);
    for (struct tree_place i = tree_first(&s->nodes); !tree_is_end(i); i = tree_next(i)) {
        bool is_above = tree_append(&copy->nodes, (struct tree_item){tree_get(i).key, xstream_node_copy(tree_get(i).item)});
        CHECK(is_above);
    }
    for (struct tree_place i = tree_first(&s->groups); !tree_is_end(i); i = tree_next(i))
        copy_group(copy, xstream_group_at(i));
    copy->length = s->length;
    copy->entries_added = s->entries_added;
    copy->radix_nodes = s->radix_nodes;
    copy->last_id = s->last_id;
    copy->first_id = s->first_id;
    copy->max_deleted_id = s->max_deleted_id;
    return v2;
}

static size_t nodes_memory(const struct xstream *s, size_t samples)
{
    size_t size = tree_size(&s->nodes), looked = 0, bytes = 0;
    if (samples == 0 || samples > size)
        samples = size;
    for (struct tree_place i = tree_first(&s->nodes); looked < samples; looked++, i = tree_next(i)) {
        const struct xstream_node *n = tree_get(i).item;
        bytes += mem_usable_size(n) + mem_usable_size(n->lp);
    }
    return tree_bytes(&s->nodes) + (looked > 0 ? (size_t)((double)bytes / (double)looked * (double)size) : 0);
}

static size_t consumers_memory(const struct xstream_group *g, size_t samples)
{
    size_t size = tree_size(&g->consumers), looked = 0, bytes = 0;
    if (samples == 0 || samples > size)
        samples = size;
    for (struct tree_place i = tree_first(&g->consumers); looked < samples; looked++, i = tree_next(i)) {
        const struct xstream_consumer *consumer = xstream_consumer_at(i);
        bytes += mem_usable_size(consumer) + tree_bytes(&consumer->pending);
    }
    return tree_bytes(&g->consumers) + (looked > 0 ? (size_t)((double)bytes / (double)looked * (double)size) : 0);
}

static size_t groups_memory(const struct xstream *s, size_t samples)
{
    size_t size = tree_size(&s->groups), looked = 0, bytes = 0;
    if (samples == 0 || samples > size)
        samples = size;
    for (struct tree_place i = tree_first(&s->groups); looked < samples; looked++, i = tree_next(i)) {
        const struct xstream_group *g = xstream_group_at(i);
        bytes += mem_usable_size(g) + tree_bytes(&g->pending) + consumers_memory(g, samples);
    }
    return tree_bytes(&s->groups) + (looked > 0 ? (size_t)((double)bytes / (double)looked * (double)size) : 0);
}

static size_t xstream_memory(const struct value *v, size_t samples)
{
    const struct xstream *s = xstream_of(v);
    return mem_usable_size(s) + nodes_memory(s, samples) + groups_memory(s, samples) +
           s->pending_count * mem_good_size(sizeof(struct xstream_pending));
}

/* --- records ---------------------------------------------------------------------------- */

static void put_number(struct buf *out, uint64_t word, unsigned bytes)
{
    char text[sizeof word];
    for (unsigned i = 0; i < bytes; i++)
        text[i] = (char)(unsigned char)(word >> 8 * i);
    buf_append(out, text, bytes);
}

static void put_id(struct buf *out, struct xstream_id id)
{
    put_number(out, id.ms, 8);
    put_number(out, id.seq, 8);
}

static void put_bytes(struct buf *out, struct slice bytes)
{
    put_number(out, bytes.len, 4);
    buf_append_slice(out, bytes);
}

static void put_kind(struct buf *out, char kind)
{
    buf_append(out, &kind, 1);
}

static void put_node(struct buf *out, const struct xstream_node *n)
{
    put_kind(out, 'n');
    put_id(out, n->id);
    put_bytes(out, xstream_node_bytes(n));
}

static void put_group(struct buf *out, const struct xstream_group *g)
{
    put_kind(out, 'g');
    put_bytes(out, g->name);
    put_id(out, g->last_id);
    put_number(out, (uint64_t)g->entries_read, 8);
}

static void put_consumer(struct buf *out, const struct xstream_consumer *consumer)
{
    put_kind(out, 'c');
    put_bytes(out, consumer->name);
    put_number(out, (uint64_t)consumer->seen_ms, 8);
}

static void put_pending(struct buf *out, const struct xstream_pending *p, uint64_t consumer)
{
    put_kind(out, 'p');
    put_id(out, p->id);
    put_number(out, (uint64_t)p->delivered_ms, 8);
    put_number(out, p->deliveries, 8);
    put_number(out, consumer, 8);
}

static void put_fields(struct buf *out, const struct xstream *s)
{
    put_kind(out, 's');
    put_id(out, s->last_id);
    put_id(out, s->max_deleted_id);
    put_number(out, s->entries_added, 8);
}

/* --- digest ------------------------------------------------------------------------------- *
 * A sum over records, each saying where it belongs: what is pending names its
 * group and consumer, entries lie in no nodes. */

static void digest_record(struct digest *sum, struct buf *record)
{
    digest_add(sum, digest_bytes(buf_slice(record)));
    buf_clear(record);
}

static void digest_entries(struct digest *sum, const struct xstream *s, struct buf *record)
{
    struct xstream_iterator i;
    struct slice field, value;
    xstream_iterate(&i, s, XSTREAM_ID_ZERO, XSTREAM_ID_MAX, false);
    while (xstream_next(&i)) {
        put_kind(record, 'e');
        put_id(record, i.entry.id);
        while (xstream_next_field(&i, &field, &value)) {
            put_bytes(record, field);
            put_bytes(record, value);
        }
        digest_record(sum, record);
    }
}

static void digest_group(struct digest *sum, const struct xstream_group *g, struct buf *record)
{
    put_group(record, g);
    digest_record(sum, record);
    for (struct tree_place i = tree_first(&g->consumers); !tree_is_end(i); i = tree_next(i)) {
        put_consumer(record, xstream_consumer_at(i));
        put_bytes(record, g->name);
        digest_record(sum, record);
    }
    for (struct tree_place i = tree_first(&g->pending); !tree_is_end(i); i = tree_next(i)) {
        put_pending(record, xstream_pending_at(i), 0);
        put_bytes(record, xstream_pending_at(i)->consumer->name);
        put_bytes(record, g->name);
        digest_record(sum, record);
    }
}

static struct digest xstream_digest(const struct value *v)
{
    const struct xstream *s = xstream_of(v);
    struct digest sum = {0};
    struct buf record;
    buf_init(&record);
    digest_entries(&sum, s, &record);
    for (struct tree_place i = tree_first(&s->groups); !tree_is_end(i); i = tree_next(i))
        digest_group(&sum, xstream_group_at(i), &record);
    put_fields(&record, s);
    digest_record(&sum, &record);
    buf_deinit(&record);
    return sum;
}

/* --- saving --------------------------------------------------------------------------------- */

/* at[0]: nodes saved; at[1]: groups saved; at[2]: of the next group, records
 * saved: itself, its consumers, what is pending. */

static uint64_t rank_of(const struct xstream_group *g, struct xstream_consumer *consumer)
{
    size_t rank;
    struct tree_item item = xstream_consumer_item(consumer);
    struct tree_place place = tree_find(&g->consumers, item, &rank);
    CHECK(!tree_is_end(place));
    return rank;
}

/* The next record of a group; false if there is none. */
static bool save_of_group(const struct xstream_group *g, uint64_t index, struct buf *out)
{
    size_t consumers = tree_size(&g->consumers), pending = tree_size(&g->pending);
    if (index == 0) {
        put_group(out, g);
    } else if (index - 1 < consumers) {
        put_consumer(out, xstream_consumer_at(tree_at(&g->consumers, index - 1)));
    } else if (index - 1 - consumers < pending) {
        const struct xstream_pending *p = xstream_pending_at(tree_at(&g->pending, index - 1 - consumers));
        put_pending(out, p, rank_of(g, p->consumer));
    } else {
        return false;
    }
    return true;
}

static void save_next(const struct xstream *s, struct value_cursor *cursor, struct buf *out)
{
    if (cursor->at[0] < tree_size(&s->nodes)) {
        put_node(out, tree_get(tree_at(&s->nodes, cursor->at[0]++)).item);
    } else if (cursor->at[1] < tree_size(&s->groups)) {
        const struct xstream_group *g = xstream_group_at(tree_at(&s->groups, cursor->at[1]));
        if (save_of_group(g, cursor->at[2]++, out))
            return;
        cursor->at[1]++;
        cursor->at[2] = 0;
    } else {
        put_fields(out, s);
        cursor->is_done = true;
    }
}

static void xstream_save(const struct value *v, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    size_t start = buf_size(out);
    do
        save_next(xstream_of(v), cursor, out);
    while (!cursor->is_done && (buf_size(out) == start || buf_size(out) - start < limit));
}

/* --- loading -------------------------------------------------------------------------------- */

/* Numbers and bytes at the head of what is left; zeros, and is_bad, where it
 * ends. */
struct reader {
    struct slice left;
    bool is_bad;
};

static const char *take(struct reader *r, size_t bytes)
{
    if (bytes > r->left.len) {
        r->is_bad = true;
        return NULL;
    }
    const char *at = r->left.ptr;
    r->left = slice_make(at + bytes, r->left.len - bytes);
    return at;
}

static uint64_t take_number(struct reader *r, unsigned bytes)
{
    const char *at = take(r, bytes);
    uint64_t word = 0;
    for (unsigned i = 0; at && i < bytes; i++)
        word |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return word;
}

static struct xstream_id take_id(struct reader *r)
{
    uint64_t ms = take_number(r, 8);
    return (struct xstream_id){ms, take_number(r, 8)};
}

static struct slice take_bytes(struct reader *r)
{
    size_t length = (size_t)take_number(r, 4);
    const char *at = take(r, length);
    return at ? slice_make(at, length) : slice_make("", 0);
}

static struct xstream_group *last_group(const struct xstream *s)
{
    struct tree_place place = tree_last(&s->groups);
    return tree_is_end(place) ? NULL : xstream_group_at(place);
}

static bool load_node(struct xstream *s, struct reader *r)
{
    struct xstream_id id = take_id(r);
    struct slice bytes = take_bytes(r);
    return !r->is_bad && tree_size(&s->groups) == 0 && xstream_load_node(s, id, bytes);
}

static bool load_group(struct xstream *s, struct reader *r)
{
    struct slice name = take_bytes(r);
    struct xstream_id last_id = take_id(r);
    int64_t entries_read = (int64_t)take_number(r, 8);
    const struct xstream_group *last = last_group(s);
    return !r->is_bad && (!last || slice_compare(last->name, name) < 0) &&
           xstream_group_create(s, name, last_id, entries_read);
}

static bool load_consumer(struct xstream *s, struct reader *r)
{
    struct slice name = take_bytes(r);
    int64_t seen_ms = (int64_t)take_number(r, 8);
    struct xstream_group *g = last_group(s);
    if (r->is_bad || !g || tree_size(&g->pending) > 0)
        return false;
    struct tree_place last = tree_last(&g->consumers);
    return (tree_is_end(last) || slice_compare(xstream_consumer_at(last)->name, name) < 0) &&
           xstream_consumer_create(g, name, seen_ms);
}

static bool load_pending(struct xstream *s, struct reader *r)
{
    struct xstream_id id = take_id(r);
    int64_t delivered_ms = (int64_t)take_number(r, 8);
    uint64_t deliveries = take_number(r, 8), rank = take_number(r, 8);
    struct xstream_group *g = last_group(s);
    if (r->is_bad || !g || rank >= tree_size(&g->consumers))
        return false;
    struct tree_place last = tree_last(&g->pending);
    if (!tree_is_end(last) && xstream_id_compare(xstream_pending_at(last)->id, id) >= 0)
        return false;
    struct xstream_consumer *consumer = xstream_consumer_at(tree_at(&g->consumers, rank));
    xstream_pending_create(s, g, consumer, id, delivered_ms)->deliveries = deliveries;
    return true;
}

static bool load_fields(struct xstream *s, struct reader *r)
{
    struct xstream_id last_id = take_id(r);
    s->max_deleted_id = take_id(r);
    s->entries_added = take_number(r, 8);
    if (r->is_bad || xstream_id_compare(last_id, s->last_id) < 0)
        return false;
    s->last_id = last_id;
    return true;
}

static bool xstream_load(struct value *v, const struct value_env *env, struct slice part, bool is_last)
{
    (void)env;
    if (!v->at)
        *v = xstream_create();
    struct xstream *s = xstream_of(v);
    struct reader r = {part, false};
    bool is_over = false, is_good = true;
    while (is_good && r.left.len > 0 && !is_over) {
        switch (*take(&r, 1)) {
        case 'n': is_good = load_node(s, &r); break;
        case 'g': is_good = load_group(s, &r); break;
        case 'c': is_good = load_consumer(s, &r); break;
        case 'p': is_good = load_pending(s, &r); break;
        case 's':
            is_good = load_fields(s, &r);
            is_over = true;
            break;
        default: is_good = false;
        }
    }
    return is_good && r.left.len == 0 && is_over == is_last;
}

/* --- checking ---------------------------------------------------------------------------------- */

static void check_nodes(const struct xstream *s)
{
    struct tree shorter;
    struct xstream_id last = XSTREAM_ID_ZERO, first = XSTREAM_ID_ZERO;
    uint64_t length = 0, radix = XSTREAM_RADIX_EMPTY;
    tree_init(&shorter, s->nodes.compare);
    tree_check(&s->nodes);
    for (struct tree_place i = tree_first(&s->nodes); !tree_is_end(i); i = tree_next(i)) {
        struct xstream_node *n = tree_get(i).item;
        CHECK(tree_get(i).key == n->id.ms);
        CHECK(xstream_node_is_valid(n->id, xstream_node_bytes(n)));
        CHECK(tree_size(&shorter) == 0 || xstream_id_compare(last, n->id) < 0);
        radix += xstream_radix_share(&shorter, n->id);
        bool is_above = tree_append(&shorter, tree_get(i));
        CHECK(is_above);
        length += xstream_node_count(n);
        last = xstream_node_last_id(n);
    }
    struct xstream_iterator i;
    xstream_iterate(&i, s, XSTREAM_ID_ZERO, XSTREAM_ID_MAX, false);
    if (xstream_next(&i))
        first = i.entry.id;
    CHECK(s->length == length);
    CHECK(xstream_id_compare(s->first_id, first) == 0);
    CHECK(xstream_id_compare(last, s->last_id) <= 0);
    CHECK(s->radix_nodes == radix);
    while (tree_size(&shorter) > 0)
        tree_remove(&shorter, tree_get(tree_last(&shorter)), NULL);
}

static void xstream_check(const struct value *v)
{
    const struct xstream *s = xstream_of(v);
    uint64_t pending = 0;
    check_nodes(s);
    tree_check(&s->groups);
    for (struct tree_place i = tree_first(&s->groups); !tree_is_end(i); i = tree_next(i))
        pending += xstream_group_check(xstream_group_at(i));
    CHECK(pending == s->pending_count);
}

const struct object_type stream_object_type = {
    .free_some = xstream_free_some,
    .free_effort = xstream_free_effort,
    .count = xstream_count,
    .copy = xstream_copy,
    .digest = xstream_digest,
    .memory = xstream_memory,
    .save = xstream_save,
    .load = xstream_load,
    .check = xstream_check,
};
