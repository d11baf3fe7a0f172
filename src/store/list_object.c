/* Lists as the keyspace sees them: freed, copied, digested, measured, saved and
 * loaded in parts, checked.
 *
 * Parts: runs, one behind another.  A run is a byte and a listpack (with its own
 * header and end).  The byte is
 *
 *     0   the elements follow those of the run before in the same node
 *     1   they begin a node
 *     2   they are one element, a plain node
 *
 * A node no longer than what is left of a part is one run; a longer one is cut
 * between elements.  A small list is saved as a node. */
#include "base/alloc.h"
#include "store/digest.h"
#include "store/list_form.h"
#include "store/list_value.h"

/* --- freeing, copying, measuring --------------------------------------------------- */

static bool list_free_some(struct value *v, size_t *budget)
{
    if (*budget == 0)
        return false;
    if (list_is_small(v)) {
        mem_free(v->at);
        --*budget;
        return true;
    }
    struct list_chain *chain = list_large(v);
    for (; chain->head && *budget > 0; --*budget) {
        struct list_node *node = chain->head;
        list_chain_remove(chain, node);
        list_node_free(node);
    }
    if (*budget == 0)
        return false;
    --*budget;
    mem_free_sized(chain, sizeof *chain);
    return true;
}

static size_t list_free_effort(const struct value *v)
{
    return list_is_small(v) ? 1 : list_large(v)->node_count + 1;
}

static struct value list_copy(const struct value *v)
{
    if (list_is_small(v))
        return (struct value){listpack_copy(list_small(v)), ENCODING_SMALL_LIST};
    struct list_chain *copy = list_chain_create();
    for (const struct list_node *n = list_large(v)->head; n; n = n->next)
        list_chain_insert(copy, copy->tail, list_node_copy(n));
    return (struct value){copy, ENCODING_QUICKLIST};
}

static size_t list_memory(const struct value *v, size_t samples)
{
    if (list_is_small(v))
        return mem_usable_size(v->at);
    const struct list_chain *chain = list_large(v);
    size_t seen = 0, bytes = 0;
    for (const struct list_node *n = chain->head; n && (samples == 0 || seen < samples); n = n->next, seen++)
        bytes += list_node_memory(n);
    return mem_usable_size(chain) + list_chain_span_bytes(chain) + value_memory_of_all(bytes, seen, chain->node_count);
}

/* --- digest ---------------------------------------------------------------------------- */

/* Each element's digest is digested behind what the elements before it gave. */
static struct digest list_digest(const struct value *v)
{
    struct {
        struct digest before, element;
    } chained = {0};
    char scratch[INT64_TEXT_MAX];
    for (struct list_place place = list_end(v, true); place.at; place = list_next(v, place)) {
        chained.element = digest_bytes(listpack_text(place.at, scratch));
        chained.before = digest_bytes(slice_make(&chained, sizeof chained));
    }
    return chained.before;
}

/* --- saving ------------------------------------------------------------------------------ */

enum run { RUN_CONTINUES, RUN_NODE, RUN_PLAIN };

/* The cursor: the address of the node to go on with (the value does not change
 * meanwhile), and how many of its bytes are saved. */
enum { AT_NODE, AT_BYTE };

static void save_run(struct buf *out, enum run run, struct slice elements, size_t count)
{
    char *at = buf_reserve(out, 1 + LISTPACK_HEADER_BYTES);
    *at = (char)run;
    listpack_write_header(at + 1, elements.len, count);
    buf_extend(out, 1 + LISTPACK_HEADER_BYTES);
    buf_append_slice(out, elements);
    buf_append(out, "\xff", 1);
}

/* Saves elements of lp from the cursor's byte on, at least one, until out holds
 * limit; true when that were the last. */
static bool save_listpack(const char *lp, bool is_plain, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    const char *start = cursor->at[AT_BYTE] ? lp + cursor->at[AT_BYTE] : listpack_first(lp), *end = start;
    size_t room = limit > buf_size(out) ? limit - buf_size(out) : 0, count = 0;
    enum run run = is_plain ? RUN_PLAIN : cursor->at[AT_BYTE] ? RUN_CONTINUES : RUN_NODE;
    do {
        end = listpack_behind(end);
        count++;
    } while ((size_t)(end - start) < room && end < lp + listpack_bytes(lp) - 1);
    save_run(out, run, slice_make(start, (size_t)(end - start)), count);
    bool is_last = end == lp + listpack_bytes(lp) - 1;
    cursor->at[AT_BYTE] = is_last ? 0 : (uint64_t)(end - lp);
    return is_last;
}

static void list_save(const struct value *v, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    size_t end = limit > SIZE_MAX - buf_size(out) ? SIZE_MAX : buf_size(out) + limit;
    if (list_is_small(v)) {
        cursor->is_done = save_listpack(list_small(v), false, cursor, out, end);
        return;
    }
    const struct list_node *node = cursor->at[AT_NODE] ? (const struct list_node *)(uintptr_t)cursor->at[AT_NODE]
                                                       : list_large(v)->head;
    do {
        if (save_listpack(list_node_listpack(node), node->is_plain, cursor, out, end))
            node = node->next;
    } while (node && buf_size(out) < end);
    cursor->at[AT_NODE] = (uint64_t)(uintptr_t)node;
    cursor->is_done = !node;
}

/* --- loading -------------------------------------------------------------------------------- */

/* Takes the run at the head of *part; false if it is none. */
static bool take_run(struct slice *part, enum run *run, struct slice *elements)
{
    if (part->len < 1 + LISTPACK_EMPTY_BYTES || (unsigned char)part->ptr[0] > RUN_PLAIN)
        return false;
    *run = (enum run)part->ptr[0];
    size_t bytes = listpack_bytes(part->ptr + 1);
    if (bytes > part->len - 1)
        return false;
    *elements = slice_make(part->ptr + 1, bytes);
    *part = slice_make(part->ptr + 1 + bytes, part->len - 1 - bytes);
    return listpack_is_valid(*elements) && listpack_first(elements->ptr);
}

static bool load_small(struct value *v, enum run run, struct slice elements)
{
    if (run != (v->at ? RUN_CONTINUES : RUN_NODE))
        return false;
    if (elements.len + (v->at ? listpack_bytes(v->at) : 0) > LIST_SMALL_BYTES_MAX)
        return false;
    v->at = v->at ? listpack_join(v->at, elements.ptr) : listpack_copy(elements.ptr);
    return true;
}

static bool load_large(struct value *v, enum run run, struct slice elements)
{
    struct list_chain *chain = list_large(v);
    if (run == RUN_CONTINUES) {
        struct list_node *tail = chain->tail;
        if (!tail || tail->is_plain || !listpack_has_room(list_node_listpack(tail), elements.len))
            return false;
        uint32_t before = tail->count;
        list_node_join(tail, elements.ptr);
        list_chain_grew(chain, tail, (int64_t)tail->count - before);
        return true;
    }
    if (run == RUN_PLAIN && listpack_count(elements.ptr) != 1)
        return false;
    list_chain_insert(chain, chain->tail, list_node_adopt(listpack_copy(elements.ptr)));
    chain->tail->is_plain = run == RUN_PLAIN;
    return true;
}

static bool list_load(struct value *v, const struct value_env *env, struct slice part, bool is_last)
{
    (void)env;
    if (!v->at && !list_is_small(v))
        v->at = list_chain_create();
    while (part.len > 0) {
        enum run run;
        struct slice elements;
        if (!take_run(&part, &run, &elements))
            return false;
        if (!(list_is_small(v) ? load_small(v, run, elements) : load_large(v, run, elements)))
            return false;
    }
    return !is_last || (v->at && list_length(v) > 0);
}

static void list_check(const struct value *v)
{
    if (list_is_small(v)) {
        listpack_check(list_small(v));
        CHECK(listpack_bytes(list_small(v)) <= LIST_SMALL_BYTES_MAX);
    } else {
        list_chain_check(list_large(v));
    }
}

static size_t list_count(const struct value *v)
{
    return list_length(v);
}

const struct object_type list_object_type = {
    .free_some = list_free_some,
    .free_effort = list_free_effort,
    .count = list_count,
    .copy = list_copy,
    .digest = list_digest,
    .memory = list_memory,
    .save = list_save,
    .load = list_load,
    .check = list_check,
};
