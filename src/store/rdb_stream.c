/* Streams in RDB files, form 19; form 15 lacks what is marked 7.0:
 *
 *   length     number of nodes; each: id (16 bytes, big-endian) and listpack, as strings
 *   lengths    number of entries; last id: ms, seq
 *   lengths    7.0: first id; the greatest id deleted; entries ever added
 *   length     number of groups; each:
 *       string     name
 *       lengths    id delivered last; 7.0: entries read, -1 as 64 bits: unknown
 *       length     number pending; each: id (16 bytes), time delivered (8 bytes), length: deliveries
 *       length     number of consumers; each:
 *           string     name
 *           8 bytes    time seen
 *           length     number pending; each: id (16 bytes), of those of the group */
#include "store/rdb_form.h"
#include "store/xstream_group.h"
#include "store/xstream_value.h"

enum { ID_BYTES = 16 };

/* --- writing ----------------------------------------------------------------- */

static void write_raw_id(struct buf *out, struct xstream_id id)
{
    rdb_write_word(out, __builtin_bswap64(id.ms));
    rdb_write_word(out, __builtin_bswap64(id.seq));
}

static void write_id(struct buf *out, struct xstream_id id)
{
    rdb_write_length(out, id.ms);
    rdb_write_length(out, id.seq);
}

static void save_nodes(const struct xstream *s, struct buf *out)
{
    rdb_write_length(out, tree_size(&s->nodes));
    for (struct tree_place i = tree_first(&s->nodes); !tree_is_end(i); i = tree_next(i)) {
        const struct xstream_node *n = tree_get(i).item;
        rdb_write_length(out, ID_BYTES);
        write_raw_id(out, n->id);
        rdb_write_string(out, xstream_node_bytes(n));
    }
}

static void save_consumer(const struct xstream_consumer *consumer, struct buf *out)
{
    rdb_write_string(out, consumer->name);
    rdb_write_word(out, (uint64_t)consumer->seen_ms);
    rdb_write_length(out, tree_size(&consumer->pending));
    for (struct tree_place i = tree_first(&consumer->pending); !tree_is_end(i); i = tree_next(i))
        write_raw_id(out, xstream_pending_at(i)->id);
}

static void save_group(const struct xstream_group *g, struct buf *out)
{
    rdb_write_string(out, g->name);
    write_id(out, g->last_id);
    rdb_write_length(out, (uint64_t)g->entries_read);
    rdb_write_length(out, tree_size(&g->pending));
    for (struct tree_place i = tree_first(&g->pending); !tree_is_end(i); i = tree_next(i)) {
        const struct xstream_pending *p = xstream_pending_at(i);
        write_raw_id(out, p->id);
        rdb_write_word(out, (uint64_t)p->delivered_ms);
        rdb_write_length(out, p->deliveries);
    }
    rdb_write_length(out, tree_size(&g->consumers));
    for (struct tree_place i = tree_first(&g->consumers); !tree_is_end(i); i = tree_next(i))
        save_consumer(xstream_consumer_at(i), out);
}

void rdb_stream_save(const struct value *v, struct buf *out)
{
    const struct xstream *s = xstream_of(v);
    save_nodes(s, out);
    rdb_write_length(out, s->length);
    write_id(out, s->last_id);
    write_id(out, s->first_id);
    write_id(out, s->max_deleted_id);
    rdb_write_length(out, s->entries_added);
    rdb_write_length(out, tree_size(&s->groups));
    for (struct tree_place i = tree_first(&s->groups); !tree_is_end(i); i = tree_next(i))
        save_group(xstream_group_at(i), out);
}

/* --- reading ----------------------------------------------------------------- */

struct loading {
    struct rdb_reader r;
    struct xstream *s;
    bool is_old;
};

static bool read_raw_id(struct rdb_reader *r, struct xstream_id *id)
{
    uint64_t ms, seq;
    if (!rdb_read_word(r, &ms) || !rdb_read_word(r, &seq))
        return false;
    *id = (struct xstream_id){__builtin_bswap64(ms), __builtin_bswap64(seq)};
    return true;
}

static bool read_id(struct rdb_reader *r, struct xstream_id *id)
{
    return rdb_read_length(r, &id->ms) && rdb_read_length(r, &id->seq);
}

/* Any number of items, each taking a byte at least. */
static bool each(struct loading *l, void *context, bool (*load)(struct loading *l, void *context))
{
    uint64_t count;
    if (!rdb_read_length(&l->r, &count))
        return false;
    for (; count > 0; count--)
        if (!load(l, context))
            return false;
    return true;
}

static bool load_node(struct loading *l, void *context)
{
    (void)context;
    struct rdb_text key, bytes;
    struct xstream_id id;
    if (!rdb_read_string(&l->r, &key))
        return false;
    struct rdb_reader of_key = {key.bytes.ptr, key.bytes.ptr + key.bytes.len};
    bool is_sound = key.bytes.len == ID_BYTES && read_raw_id(&of_key, &id);
    rdb_text_free(&key);
    if (!is_sound || !rdb_read_string(&l->r, &bytes))
        return false;
    is_sound = xstream_load_node(l->s, id, bytes.bytes);
    rdb_text_free(&bytes);
    return is_sound;
}

static bool load_fields(struct loading *l)
{
    uint64_t length;
    struct xstream_id last_id, first_id;
    struct xstream *s = l->s;
    if (!rdb_read_length(&l->r, &length) || length != s->length || !read_id(&l->r, &last_id) ||
        xstream_id_compare(last_id, s->last_id) < 0)
        return false;
    s->last_id = last_id;
    s->entries_added = s->length;
    return l->is_old || (read_id(&l->r, &first_id) && read_id(&l->r, &s->max_deleted_id) &&
                         rdb_read_length(&l->r, &s->entries_added));
}

/* What is pending in a group is told before its consumers: until one of them
 * claims it, it waits in another group, of a stream beside this one. */
struct group_loading {
    struct xstream_group *g;
    struct xstream_consumer *consumer; /* that is being read */
    struct xstream *beside;
    struct xstream_group *waiting;
    struct xstream_consumer *nobody;
};

static bool load_delivery(struct loading *l, void *context)
{
    struct group_loading *loading = context;
    struct xstream_id id;
    uint64_t delivered_ms, deliveries;
    if (!read_raw_id(&l->r, &id) || !rdb_read_word(&l->r, &delivered_ms) || !rdb_read_length(&l->r, &deliveries) ||
        xstream_pending_find(loading->waiting, id))
        return false;
    xstream_pending_create(loading->beside, loading->waiting, loading->nobody, id, (int64_t)delivered_ms)->deliveries =
        deliveries;
    return true;
}

static bool claim_delivery(struct loading *l, void *context)
{
    struct group_loading *loading = context;
    struct xstream_id id;
    if (!read_raw_id(&l->r, &id))
        return false;
    struct xstream_pending *p = xstream_pending_find(loading->waiting, id);
    if (!p)
        return false;
    xstream_pending_create(l->s, loading->g, loading->consumer, id, p->delivered_ms)->deliveries = p->deliveries;
    xstream_pending_remove(loading->beside, loading->waiting, p);
    return true;
}

static bool load_consumer(struct loading *l, void *context)
{
    struct group_loading *loading = context;
    struct rdb_text name;
    uint64_t seen_ms;
    if (!rdb_read_string(&l->r, &name))
        return false;
    bool is_sound = rdb_read_word(&l->r, &seen_ms) && !xstream_consumer_find(loading->g, name.bytes);
    if (is_sound)
        loading->consumer = xstream_consumer_create(loading->g, name.bytes, (int64_t)seen_ms);
    rdb_text_free(&name);
    return is_sound && each(l, loading, claim_delivery);
}

static bool load_members(struct loading *l, struct xstream_group *g)
{
    struct value beside = xstream_create();
    struct group_loading loading = {.g = g, .beside = xstream_of(&beside)};
    loading.waiting = xstream_group_create(loading.beside, SLICE_LITERAL(""), XSTREAM_ID_ZERO, 0);
    loading.nobody = xstream_consumer_create(loading.waiting, SLICE_LITERAL(""), 0);
    bool is_sound = each(l, &loading, load_delivery) && each(l, &loading, load_consumer) &&
                    tree_size(&loading.waiting->pending) == 0;
    xstream_free(beside);
    return is_sound;
}

static bool load_group(struct loading *l, void *context)
{
    (void)context;
    struct rdb_text name;
    struct xstream_id last_id;
    uint64_t entries_read = 0;
    if (!rdb_read_string(&l->r, &name))
        return false;
    struct xstream_group *g = NULL;
    if (read_id(&l->r, &last_id) && (l->is_old || rdb_read_length(&l->r, &entries_read)))
        g = xstream_group_create(l->s, name.bytes, last_id,
                                 l->is_old ? xstream_added_until(l->s, last_id) : (int64_t)entries_read);
    rdb_text_free(&name);
    return g && load_members(l, g);
}

bool rdb_stream_load(struct value *v, struct rdb_reader *r, bool is_old)
{
    *v = xstream_create();
    struct loading l = {.r = *r, .s = xstream_of(v), .is_old = is_old};
    bool is_sound = each(&l, NULL, load_node) && load_fields(&l) && each(&l, NULL, load_group);
    *r = l.r;
    return is_sound;
}
