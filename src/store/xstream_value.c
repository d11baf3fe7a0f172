#include "store/xstream_value.h"

#include "base/alloc.h"
#include "base/check.h"
#include "store/xstream_radix.h"

static int compare_nodes(const void *a, const void *b)
{
    uint64_t x = ((const struct xstream_node *)a)->id.seq, y = ((const struct xstream_node *)b)->id.seq;
    return x < y ? -1 : x > y;
}

static int compare_names(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

struct value xstream_create(void)
{
    struct xstream *s = mem_calloc(1, sizeof *s);
    tree_init(&s->nodes, compare_nodes);
    tree_init(&s->groups, compare_names);
    s->radix_nodes = XSTREAM_RADIX_EMPTY;
    return (struct value){s, ENCODING_STREAM};
}

/* --- nodes -------------------------------------------------------------------------- */

static struct tree_item item_of(struct xstream_node *n)
{
    return (struct tree_item){n->id.ms, n};
}

static struct xstream_node *node_at(struct tree_place place)
{
    return tree_is_end(place) ? NULL : tree_get(place).item;
}

static bool add_node(struct xstream *s, struct xstream_node *n)
{
    uint64_t radix = xstream_radix_share(&s->nodes, n->id);
    if (!tree_append(&s->nodes, item_of(n)))
        return false;
    s->radix_nodes += radix;
    return true;
}

static void remove_node(struct xstream *s, struct xstream_node *n)
{
    bool was_there = tree_remove(&s->nodes, item_of(n), NULL);
    CHECK(was_there);
    s->radix_nodes -= xstream_radix_share(&s->nodes, n->id);
    xstream_node_free(n);
}

static int seek_above(const void *sought, struct tree_item item)
{
    const struct xstream_node *n = item.item;
    return xstream_id_compare(n->id, *(const struct xstream_id *)sought) <= 0 ? -1 : 1;
}

/* The node in which an entry of this id would be: the last one not above it. */
static struct tree_place place_of(const struct xstream *s, struct xstream_id id)
{
    struct tree_place place = tree_seek(&s->nodes, seek_above, &id, NULL);
    return tree_is_end(place) ? tree_last(&s->nodes) : tree_previous(place);
}

/* --- adding ------------------------------------------------------------------------- */

/* True if the last node takes no more. */
static bool is_full(const struct xstream_node *n, const struct settings *settings, size_t bytes, size_t count)
{
    int64_t bytes_max = setting_value(settings, SETTING_STREAM_NODE_MAX_BYTES);
    int64_t entries_max = setting_value(settings, SETTING_STREAM_NODE_MAX_ENTRIES);
    if (bytes_max == 0 || bytes_max > LISTPACK_BYTES_MAX)
        bytes_max = LISTPACK_BYTES_MAX;
    return listpack_bytes(n->lp) + bytes >= (uint64_t)bytes_max ||
           (entries_max > 0 && xstream_node_total(n) >= (uint64_t)entries_max) ||
           !xstream_node_has_room(n, bytes, count);
}

int xstream_append(struct xstream *s, const struct value_env *env, struct xstream_id id, const struct slice *words,
                  size_t count)
{
    if (xstream_id_compare(id, s->last_id) <= 0)
        return XSTREAM_ID_TOO_SMALL;
    size_t bytes = xstream_words_bytes(words, count);
    if (!xstream_words_fit(bytes, count))
        return XSTREAM_TOO_LARGE;
    struct xstream_node *tail = node_at(tree_last(&s->nodes));
    if (tail && !is_full(tail, &env->settings, bytes, count)) {
        xstream_node_append(tail, id, words, count);
    } else {
        if (tail)
            xstream_node_finish(tail);
        bool is_above = add_node(s, xstream_node_create(id, words, count));
        CHECK(is_above);
    }
    s->last_id = id;
    s->entries_added++;
    if (++s->length == 1)
        s->first_id = id;
    return XSTREAM_APPENDED;
}

bool xstream_load_node(struct xstream *s, struct xstream_id id, struct slice bytes)
{
    const struct xstream_node *tail = node_at(tree_last(&s->nodes));
    if (!xstream_node_is_valid(id, bytes) || (tail && xstream_id_compare(xstream_node_last_id(tail), id) >= 0))
        return false;
    struct xstream_node *n = mem_alloc(sizeof *n);
    *n = (struct xstream_node){id, listpack_copy(bytes.ptr)};
    bool is_above = add_node(s, n);
    CHECK(is_above);
    s->last_id = xstream_node_last_id(n);
    if (s->length == 0 && xstream_node_count(n) > 0) {
        s->length = xstream_node_count(n);
        xstream_settle(s);
    } else {
        s->length += xstream_node_count(n);
    }
    return true;
}

/* --- walking ------------------------------------------------------------------------ */

void xstream_iterate(struct xstream_iterator *i, const struct xstream *s, struct xstream_id start, struct xstream_id end,
                    bool is_reverse)
{
    *i = (struct xstream_iterator){.start = start, .end = end, .is_reverse = is_reverse};
    i->place = place_of(s, is_reverse ? end : start);
    if (tree_is_end(i->place) && !is_reverse)
        i->place = tree_first(&s->nodes);
}

/* Begins a node if none is; false if there is none. */
static bool enter_node(struct xstream_iterator *i)
{
    if (i->head.lp)
        return true;
    const struct xstream_node *n = node_at(i->place);
    if (!n)
        return false;
    i->head = xstream_node_head(n);
    i->next = i->is_reverse ? NULL : i->head.first;
    return true;
}

static void leave_node(struct xstream_iterator *i)
{
    i->head.lp = NULL;
    i->place = i->is_reverse ? tree_previous(i->place) : tree_next(i->place);
}

/* The next entry of the node, deleted or not; false if there is none. */
static bool next_in_node(struct xstream_iterator *i)
{
    const char *at;
    if (i->is_reverse)
        at = i->next = xstream_entry_before(&i->head, i->next);
    else
        at = i->next ? i->next : i->entry.at ? xstream_entry_end(&i->entry, i->head.lp) : NULL;
    if (!at)
        return false;
    xstream_entry_read(&i->entry, &i->head, at);
    if (!i->is_reverse)
        i->next = NULL; /* not known before the fields are passed over */
    return true;
}

bool xstream_next(struct xstream_iterator *i)
{
    while (enter_node(i)) {
        if (!next_in_node(i)) {
            leave_node(i);
            continue;
        }
        struct xstream_id id = i->entry.id;
        if (xstream_id_compare(id, i->is_reverse ? i->start : i->end) * (i->is_reverse ? -1 : 1) > 0)
            return false;
        bool is_before = i->is_reverse ? xstream_id_compare(id, i->end) > 0 : xstream_id_compare(id, i->start) < 0;
        if (!is_before && !i->entry.is_deleted)
            return true;
    }
    return false;
}

bool xstream_has(const struct xstream *s, struct xstream_id id)
{
    struct xstream_iterator i;
    xstream_iterate(&i, s, id, id, false);
    return xstream_next(&i);
}

struct xstream_id xstream_top_id(const struct xstream *s)
{
    struct xstream_iterator i;
    xstream_iterate(&i, s, XSTREAM_ID_ZERO, XSTREAM_ID_MAX, true);
    return xstream_next(&i) ? i.entry.id : XSTREAM_ID_ZERO;
}

/* --- removing ----------------------------------------------------------------------- */

void xstream_settle(struct xstream *s)
{
    struct xstream_iterator i;
    xstream_iterate(&i, s, XSTREAM_ID_ZERO, XSTREAM_ID_MAX, false);
    s->first_id = s->length > 0 && xstream_next(&i) ? i.entry.id : XSTREAM_ID_ZERO;
}

bool xstream_remove(struct xstream *s, struct xstream_id id)
{
    struct xstream_iterator i;
    xstream_iterate(&i, s, id, id, false);
    if (!xstream_next(&i))
        return false;
    struct xstream_node *n = node_at(i.place);
    if (i.head.count == 1) {
        remove_node(s, n);
    } else {
        const char *at = i.entry.at;
        xstream_node_mark(n, &at);
        xstream_node_count_marked(n, 1);
    }
    s->length--;
    return true;
}

/* True if all of the node's entries go. */
static bool trims_whole(const struct xstream *s, const struct xstream_trim *trim, const struct xstream_node *n)
{
    if (trim->kind == XSTREAM_TRIM_ID)
        return xstream_id_compare(xstream_node_last_id(n), trim->id) < 0;
    return s->length - xstream_node_count(n) >= trim->length;
}

/* Marks what goes of a node's entries; returns how many. */
static uint64_t trim_entries(struct xstream *s, const struct xstream_trim *trim, struct xstream_node *n)
{
    struct xstream_head head = xstream_node_head(n);
    struct xstream_entry e;
    uint64_t marked = 0;
    for (const char *at = head.first; at; at = xstream_entry_end(&e, head.lp)) {
        xstream_entry_read(&e, &head, at);
        bool goes = trim->kind == XSTREAM_TRIM_ID ? xstream_id_compare(e.id, trim->id) < 0 : s->length > trim->length;
        if (!goes)
            break;
        if (e.is_deleted)
            continue;
        xstream_node_mark(n, &at);
        marked++;
        s->length--;
        head = xstream_node_head(n);
        xstream_entry_read(&e, &head, at);
    }
    xstream_node_count_marked(n, marked);
    return marked;
}

uint64_t xstream_trim(struct xstream *s, const struct xstream_trim *trim)
{
    uint64_t removed = 0;
    for (struct xstream_node *n; (n = node_at(tree_first(&s->nodes))) != NULL;) {
        uint64_t count = xstream_node_count(n);
        if ((trim->kind == XSTREAM_TRIM_LENGTH && s->length <= trim->length) ||
            (trim->limit > 0 && removed + count > trim->limit))
            break;
        if (!trims_whole(s, trim, n)) {
            removed += trim->is_rough ? 0 : trim_entries(s, trim, n);
            break;
        }
        remove_node(s, n);
        s->length -= count;
        removed += count;
    }
    if (removed > 0)
        xstream_settle(s);
    return removed;
}
