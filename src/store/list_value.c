#include "store/list_value.h"

#include "base/alloc.h"
#include "store/list_form.h"

/* --- forms --------------------------------------------------------------------- */

struct list_limits list_limits_of(const struct value_env *env)
{
    size_t threshold = env->list_packed_threshold;
    return (struct list_limits){.fill = setting_value(&env->settings, SETTING_LIST_MAX_LISTPACK_SIZE),
                                .packed_max = threshold ? threshold - 1 : SIZE_MAX};
}

struct value list_create(void)
{
    return (struct value){.at = listpack_create(), .encoding = ENCODING_SMALL_LIST};
}

struct list_chain *list_chain_create(void)
{
    return mem_calloc(1, sizeof(struct list_chain));
}

/* The listpack becomes the only node; one without elements goes. */
static void make_large(struct value *v)
{
    char *lp = list_small(v);
    struct list_chain *chain = list_chain_create();
    if (listpack_first(lp))
        list_chain_insert(chain, NULL, list_node_adopt(lp));
    else
        mem_free(lp);
    *v = (struct value){.at = chain, .encoding = ENCODING_QUICKLIST};
}

/* True if a small list may take an element of so many bytes and stay small. */
static bool stays_small(const struct value *v, const struct list_limits *limits, size_t element)
{
    size_t bytes = listpack_bytes(list_small(v));
    return bytes + element <= LIST_SMALL_BYTES &&
           list_limits_allow(limits, bytes, listpack_count(list_small(v)), element);
}

uint64_t list_length(const struct value *v)
{
    return list_is_small(v) ? listpack_count(list_small(v)) : list_large(v)->length;
}

/* --- at the ends ------------------------------------------------------------------ */

static void push_large(struct list_chain *chain, const struct list_limits *limits, bool is_front,
                       struct slice bytes)
{
    struct list_node *end = is_front ? chain->head : chain->tail;
    if (end && list_node_takes(end, limits, bytes.len)) {
        list_node_push(end, is_front, bytes);
        list_chain_grew(chain, end, 1);
    } else {
        list_chain_insert(chain, is_front ? NULL : end, list_node_create(bytes, limits));
    }
}

void list_push(struct value *v, const struct value_env *env, bool is_front, struct slice bytes)
{
    struct list_limits limits = list_limits_of(env);
    if (list_is_small(v)) {
        if (stays_small(v, &limits, bytes.len)) {
            v->at = is_front ? listpack_prepend(v->at, bytes) : listpack_append(v->at, bytes);
            return;
        }
        make_large(v);
    }
    push_large(list_large(v), &limits, is_front, bytes);
}

static const char *end_of(const char *lp, bool is_front)
{
    return is_front ? listpack_first(lp) : listpack_last(lp);
}

static struct list_place place_in(struct list_node *node, bool is_front)
{
    if (!node)
        return (struct list_place){0};
    return (struct list_place){node, end_of(list_node_listpack(node), is_front)};
}

struct list_place list_end(const struct value *v, bool is_front)
{
    if (list_is_small(v))
        return (struct list_place){.at = end_of(list_small(v), is_front)};
    return place_in(is_front ? list_large(v)->head : list_large(v)->tail, is_front);
}

static void drop_node(struct list_chain *chain, struct list_node *node)
{
    list_chain_remove(chain, node);
    list_node_free(node);
}

void list_pop(struct value *v, bool is_front)
{
    if (list_is_small(v)) {
        const char *at = end_of(list_small(v), is_front);
        CHECK(at);
        v->at = listpack_remove(v->at, &at, 1);
        return;
    }
    struct list_chain *chain = list_large(v);
    struct list_node *end = is_front ? chain->head : chain->tail;
    CHECK(end);
    if (end->count == 1) {
        drop_node(chain, end);
        return;
    }
    list_node_pop(end, is_front);
    list_chain_grew(chain, end, -1);
}

/* --- walking ------------------------------------------------------------------------ */

struct list_place list_at(const struct value *v, int64_t index)
{
    if (list_is_small(v))
        return (struct list_place){.at = listpack_at(list_small(v), index)};
    struct list_chain *chain = list_large(v);
    uint64_t rank = index < 0 ? (uint64_t)index + chain->length : (uint64_t)index;
    if (rank >= chain->length)
        return (struct list_place){0};
    struct list_node *node = list_chain_find(chain, &rank);
    int64_t from = rank < node->count / 2 ? (int64_t)rank : (int64_t)rank - node->count;
    return (struct list_place){node, listpack_at(list_node_listpack(node), from)};
}

struct list_place list_next(const struct value *v, struct list_place place)
{
    if (!place.node)
        return (struct list_place){.at = listpack_next(list_small(v), place.at)};
    const char *next = listpack_next(list_node_listpack(place.node), place.at);
    return next ? (struct list_place){place.node, next} : place_in(place.node->next, true);
}

struct list_place list_prev(const struct value *v, struct list_place place)
{
    if (!place.node)
        return (struct list_place){.at = listpack_prev(list_small(v), place.at)};
    const char *prev = listpack_prev(list_node_listpack(place.node), place.at);
    return prev ? (struct list_place){place.node, prev} : place_in(place.node->prev, false);
}

struct list_place list_find(const struct value *v, struct slice bytes)
{
    if (list_is_small(v))
        return (struct list_place){.at = listpack_find(v->at, listpack_first(v->at), bytes, 1)};
    for (struct list_node *n = list_large(v)->head; n; n = n->next) {
        const char *lp = list_node_listpack(n), *at = listpack_find(lp, listpack_first(lp), bytes, 1);
        if (at)
            return (struct list_place){n, at};
    }
    return (struct list_place){0};
}

/* --- changing in the middle ------------------------------------------------------------ */

/* The same place once the list is large: its listpack has become the first
 * node's. */
static struct list_place place_in_large(const struct value *v, struct list_place place)
{
    return (struct list_place){list_large(v)->head, place.at};
}

/* The rest of a node from at on becomes a node behind it. */
static void split(struct list_chain *chain, struct list_node *node, const char *at)
{
    struct list_node *rest = list_node_split(node, at);
    list_chain_grew(chain, node, -(int64_t)rest->count);
    list_chain_insert(chain, node, rest);
}

/* Before place.at; the node does not take it. */
static void insert_by_splitting(struct list_chain *chain, const struct list_limits *limits,
                                struct list_place place, struct slice bytes)
{
    struct list_node *before = place.node;
    if (place.at == listpack_first(list_node_listpack(place.node)))
        before = place.node->prev;
    else
        split(chain, place.node, place.at);
    struct list_node *after = before ? before->next : chain->head;
    if (before && list_node_takes(before, limits, bytes.len)) {
        list_node_push(before, false, bytes);
        list_chain_grew(chain, before, 1);
    } else if (list_node_takes(after, limits, bytes.len)) {
        list_node_push(after, true, bytes);
        list_chain_grew(chain, after, 1);
    } else {
        list_chain_insert(chain, before, list_node_create(bytes, limits));
    }
}

static void insert_before(struct value *v, const struct list_limits *limits, struct list_place place,
                          struct slice bytes)
{
    struct list_chain *chain = list_large(v);
    if (!list_node_takes(place.node, limits, bytes.len)) {
        insert_by_splitting(chain, limits, place, bytes);
        return;
    }
    list_node_insert(place.node, &place.at, bytes);
    list_chain_grew(chain, place.node, 1);
}

void list_insert(struct value *v, const struct value_env *env, struct list_place place, bool is_after,
                 struct slice bytes)
{
    struct list_limits limits = list_limits_of(env);
    struct list_place next = is_after ? list_next(v, place) : place;
    if (!next.at) {
        list_push(v, env, false, bytes);
        return;
    }
    if (list_is_small(v)) {
        if (stays_small(v, &limits, bytes.len)) {
            v->at = listpack_insert(v->at, &next.at, bytes);
            return;
        }
        make_large(v);
        next = place_in_large(v, next);
    }
    insert_before(v, &limits, next, bytes);
}

/* Another element at place that does not fit its node. */
static void set_by_splitting(struct list_chain *chain, const struct list_limits *limits,
                             struct list_place place, struct slice bytes)
{
    struct list_node *node = place.node, *before = node;
    list_node_remove(node, &place.at, 1);
    list_chain_grew(chain, node, -1);
    if (place.at && place.at == listpack_first(list_node_listpack(node)))
        before = node->prev;
    else if (place.at)
        split(chain, node, place.at);
    list_chain_insert(chain, before, list_node_create(bytes, limits));
    if (node->count == 0)
        drop_node(chain, node);
}

/* True if another element may take the place of the one at, in a listpack. */
static bool may_replace(const struct list_limits *limits, const char *lp, const char *at, size_t element)
{
    char scratch[INT64_TEXT_MAX];
    size_t others = listpack_bytes(lp) - listpack_element_bytes(listpack_text(at, scratch));
    return list_limits_allow(limits, others, 0, element);
}

void list_set(struct value *v, const struct value_env *env, struct list_place place, struct slice bytes)
{
    struct list_limits limits = list_limits_of(env);
    if (list_is_small(v)) {
        bool is_short = listpack_bytes(list_small(v)) + bytes.len <= LIST_SMALL_BYTES;
        if (is_short && may_replace(&limits, list_small(v), place.at, bytes.len)) {
            v->at = listpack_replace(v->at, &place.at, bytes);
            return;
        }
        make_large(v);
        place = place_in_large(v, place);
    }
    struct list_node *node = place.node;
    if (!node->is_plain && may_replace(&limits, list_node_listpack(node), place.at, bytes.len))
        list_node_replace(node, &place.at, bytes);
    else
        set_by_splitting(list_large(v), &limits, place, bytes);
}

/* --- removing ---------------------------------------------------------------------------- */

/* Joins node and the one behind it if both are small. */
static void join_next(struct list_chain *chain, const struct list_limits *limits, struct list_node *node)
{
    struct list_node *next = node ? node->next : NULL;
    if (!next || !list_node_may_join(node, next, limits))
        return;
    list_node_join(node, list_node_listpack(next));
    list_chain_grew(chain, node, next->count);
    drop_node(chain, next);
}

/* How far the removal of the elements equal to bytes has come. */
struct removal {
    struct slice bytes;
    uint64_t limit, removed;
    bool is_backward;
};

static const char *first_match(const char *lp, const char *from, const struct removal *r)
{
    if (!r->is_backward)
        return listpack_find(lp, from, r->bytes, 1);
    while (from && !listpack_equals(from, r->bytes))
        from = listpack_prev(lp, from);
    return from;
}

/* Where to go on in lp, at being what lies behind a removed element. */
static const char *go_on(const char *lp, const char *at, const struct removal *r)
{
    if (!r->is_backward)
        return at;
    return at ? listpack_prev(lp, at) : listpack_last(lp);
}

static void remove_from_small(struct value *v, struct removal *r)
{
    const char *at = first_match(v->at, end_of(v->at, !r->is_backward), r);
    while (at && r->removed < r->limit) {
        v->at = listpack_remove(v->at, &at, 1);
        r->removed++;
        at = first_match(v->at, go_on(v->at, at, r), r);
    }
}

static void remove_from_node(struct list_chain *chain, struct list_node *n, struct removal *r)
{
    const char *lp = list_node_listpack(n);
    const char *at = first_match(lp, end_of(lp, !r->is_backward), r);
    while (at && r->removed < r->limit) {
        list_node_remove(n, &at, 1);
        list_chain_grew(chain, n, -1);
        r->removed++;
        lp = list_node_listpack(n);
        at = first_match(lp, go_on(lp, at, r), r);
    }
}

static void remove_from_chain(struct list_chain *chain, const struct list_limits *limits, struct removal *r)
{
    struct list_node *next;
    for (struct list_node *n = r->is_backward ? chain->tail : chain->head; n && r->removed < r->limit; n = next) {
        uint64_t before = r->removed;
        next = r->is_backward ? n->prev : n->next;
        remove_from_node(chain, n, r);
        if (n->count == 0)
            drop_node(chain, n);
        else if (r->removed > before)
            join_next(chain, limits, r->is_backward ? n : n->prev);
    }
}

uint64_t list_remove_equal(struct value *v, const struct value_env *env, struct slice bytes, uint64_t limit,
                           bool is_backward)
{
    struct list_limits limits = list_limits_of(env);
    struct removal r = {.bytes = bytes, .limit = limit, .is_backward = is_backward};
    if (list_is_small(v))
        remove_from_small(v, &r);
    else
        remove_from_chain(list_large(v), &limits, &r);
    return r.removed;
}

static void remove_chain_range(struct list_chain *chain, const struct list_limits *limits, uint64_t index,
                               uint64_t count)
{
    CHECK(index < chain->length);
    struct list_node *n = list_chain_find(chain, &index), *before = index ? n : n->prev, *next;
    for (; count > 0; n = next, index = 0) {
        CHECK(n);
        next = n->next;
        uint64_t here = n->count - index < count ? n->count - index : count;
        count -= here;
        if (here == n->count) {
            drop_node(chain, n);
            continue;
        }
        const char *at = listpack_at(list_node_listpack(n), (int64_t)index);
        list_node_remove(n, &at, here);
        list_chain_grew(chain, n, -(int64_t)here);
    }
    join_next(chain, limits, before);
}

void list_remove_range(struct value *v, const struct value_env *env, uint64_t index, uint64_t count)
{
    if (count == 0)
        return;
    if (list_is_small(v)) {
        const char *at = listpack_at(v->at, (int64_t)index);
        CHECK(at);
        v->at = listpack_remove(v->at, &at, count);
        return;
    }
    struct list_limits limits = list_limits_of(env);
    remove_chain_range(list_large(v), &limits, index, count);
}

/* --- Redis's form --------------------------------------------------------------------------- */

void list_each_node(const struct value *v, list_node_visit_fn *visit, void *context)
{
    if (list_is_small(v)) {
        visit(context, slice_make(v->at, listpack_bytes(v->at)), false);
        return;
    }
    for (const struct list_node *n = list_large(v)->head; n; n = n->next)
        visit(context, slice_make(list_node_listpack(n), list_node_bytes(n)), n->is_plain);
}

void list_add_node(struct value *v, struct slice listpack)
{
    if (!listpack_first(listpack.ptr))
        return;
    char *lp = listpack_copy(listpack.ptr);
    if (list_is_small(v) && list_length(v) == 0 && listpack.len <= LIST_SMALL_BYTES) {
        mem_free(v->at);
        v->at = lp;
        return;
    }
    if (list_is_small(v))
        make_large(v);
    list_chain_insert(list_large(v), list_large(v)->tail, list_node_adopt(lp));
}

void list_add_plain_node(struct value *v, struct slice bytes)
{
    struct list_limits no_room = {.packed_max = 0};
    if (list_is_small(v))
        make_large(v);
    struct list_node *node = list_node_create(bytes, &no_room);
    node->is_plain = true;
    list_chain_insert(list_large(v), list_large(v)->tail, node);
}
