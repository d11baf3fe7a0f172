#include "store/xstream_node.h"

#include "base/alloc.h"
#include "base/check.h"

enum {
    ELEMENT_OVERHEAD = 10, /* of an element's bytes, at most */
    ENTRY_INTEGERS = 12,   /* those of a node's head and an entry, generously */
    ENTRY_FIXED = 3,       /* elements of an entry before its fields: flags, ms, seq */
};

bool xstream_id_increment(struct xstream_id *id)
{
    if (id->ms == UINT64_MAX && id->seq == UINT64_MAX)
        return false;
    if (++id->seq == 0)
        id->ms++;
    return true;
}

bool xstream_id_decrement(struct xstream_id *id)
{
    if (xstream_id_is_zero(*id))
        return false;
    if (id->seq-- == 0)
        id->ms--;
    return true;
}

/* --- reading ---------------------------------------------------------------------- */

static int64_t int_at(const char *at)
{
    int64_t value;
    CHECK(at);
    bool is_int = listpack_int(at, &value);
    CHECK(is_int);
    return value;
}

/* The number at *at, which goes on. */
static int64_t take_int(const char *lp, const char **at)
{
    int64_t value = int_at(*at);
    *at = listpack_next(lp, *at);
    return value;
}

static const char *skip(const char *lp, const char *at, size_t elements)
{
    for (; elements > 0; elements--)
        at = listpack_next(lp, at);
    return at;
}

struct xstream_head xstream_node_head(const struct xstream_node *n)
{
    struct xstream_head head = {.id = n->id, .lp = n->lp};
    const char *at = listpack_first(n->lp);
    head.count = (uint64_t)take_int(n->lp, &at);
    head.deleted = (uint64_t)take_int(n->lp, &at);
    head.field_count = (size_t)take_int(n->lp, &at);
    head.fields = at;
    head.first = skip(n->lp, at, head.field_count + 1);
    return head;
}

uint64_t xstream_node_count(const struct xstream_node *n)
{
    return (uint64_t)int_at(listpack_first(n->lp));
}

uint64_t xstream_node_total(const struct xstream_node *n)
{
    const char *at = listpack_first(n->lp);
    uint64_t count = (uint64_t)take_int(n->lp, &at);
    return count + (uint64_t)int_at(at);
}

void xstream_entry_read(struct xstream_entry *e, const struct xstream_head *head, const char *at)
{
    e->at = at;
    int64_t flags = take_int(head->lp, &at);
    e->is_deleted = flags & XSTREAM_DELETED;
    e->has_own_fields = !(flags & XSTREAM_SAME_FIELDS);
    e->id.ms = head->id.ms + (uint64_t)take_int(head->lp, &at);
    e->id.seq = head->id.seq + (uint64_t)take_int(head->lp, &at);
    e->field_count = e->has_own_fields ? (size_t)take_int(head->lp, &at) : head->field_count;
    e->fields_left = e->field_count;
    e->field_at = e->has_own_fields ? at : head->fields;
    e->value_at = e->has_own_fields ? listpack_next(head->lp, at) : at;
}

bool xstream_entry_next(struct xstream_entry *e, const char *lp, struct slice *field, struct slice *value)
{
    if (e->fields_left == 0)
        return false;
    *field = listpack_text(e->field_at, e->field_text);
    *value = listpack_text(e->value_at, e->value_text);
    e->fields_left--;
    const char *next = listpack_next(lp, e->value_at);
    e->field_at = e->has_own_fields ? next : listpack_next(lp, e->field_at);
    /* Behind the last value stands lp-count. */
    e->value_at = e->has_own_fields && e->fields_left > 0 ? listpack_next(lp, next) : next;
    return true;
}

const char *xstream_entry_end(struct xstream_entry *e, const char *lp)
{
    if (e->fields_left > 0) {
        e->value_at = skip(lp, e->value_at, e->has_own_fields ? e->fields_left * 2 - 1 : e->fields_left);
        e->fields_left = 0;
    }
    return listpack_next(lp, e->value_at);
}

const char *xstream_entry_before(const struct xstream_head *head, const char *at)
{
    at = at ? listpack_prev(head->lp, at) : listpack_last(head->lp);
    /* The head ends with a zero. */
    int64_t elements = int_at(at);
    if (elements == 0)
        return NULL;
    for (; elements > 0; elements--)
        at = listpack_prev(head->lp, at);
    return at;
}

struct xstream_id xstream_node_last_id(const struct xstream_node *n)
{
    struct xstream_head head = xstream_node_head(n);
    struct xstream_entry e;
    xstream_entry_read(&e, &head, xstream_entry_before(&head, NULL));
    return e.id;
}

/* --- writing ---------------------------------------------------------------------- */

/* A listpack at whose end elements are put. */
struct writer {
    char *lp;
    size_t room; /* bytes of the block, at least */
};

static void put_form(struct writer *w, const struct listpack_form *form)
{
    size_t bytes = listpack_bytes(w->lp) + form->bytes;
    if (bytes > w->room) {
        w->room = mem_good_size(bytes);
        w->lp = mem_realloc(w->lp, w->room);
    }
    w->lp = listpack_push_back(w->lp, form);
}

static void put_int(struct writer *w, int64_t value)
{
    struct listpack_form form = listpack_form_of_int(value);
    put_form(w, &form);
}

static void put_text(struct writer *w, struct slice text)
{
    struct listpack_form form = listpack_form_of(text);
    put_form(w, &form);
}

static void put_entry(struct writer *w, struct xstream_id node_id, struct xstream_id id, const struct slice *words,
                      size_t count, bool has_same_fields)
{
    put_int(w, has_same_fields ? XSTREAM_SAME_FIELDS : 0);
    put_int(w, (int64_t)(id.ms - node_id.ms));
    put_int(w, (int64_t)(id.seq - node_id.seq));
    if (!has_same_fields)
        put_int(w, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        if (!has_same_fields)
            put_text(w, words[2 * i]);
        put_text(w, words[2 * i + 1]);
    }
    put_int(w, (int64_t)(ENTRY_FIXED + (has_same_fields ? count : 2 * count + 1)));
}

size_t xstream_words_bytes(const struct slice *words, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < 2 * count; i++)
        bytes += words[i].len;
    return bytes;
}

static size_t entry_bytes_max(size_t bytes, size_t count)
{
    return bytes + (2 * count + ENTRY_INTEGERS) * ELEMENT_OVERHEAD;
}

bool xstream_words_fit(size_t bytes, size_t count)
{
    return entry_bytes_max(bytes, count) <= LISTPACK_BYTES_MAX - LISTPACK_EMPTY_BYTES;
}

bool xstream_node_has_room(const struct xstream_node *n, size_t bytes, size_t count)
{
    return listpack_has_room(n->lp, entry_bytes_max(bytes, count));
}

struct xstream_node *xstream_node_create(struct xstream_id id, const struct slice *words, size_t count)
{
    struct xstream_node *n = mem_alloc(sizeof *n);
    struct writer w = {.room = mem_good_size(LISTPACK_EMPTY_BYTES + xstream_words_bytes(words, count))};
    w.lp = mem_alloc(w.room);
    listpack_init(w.lp);
    put_int(&w, 1);
    put_int(&w, 0);
    put_int(&w, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        put_text(&w, words[2 * i]);
    put_int(&w, 0);
    put_entry(&w, id, id, words, count, true);
    *n = (struct xstream_node){id, w.lp};
    return n;
}

struct xstream_node *xstream_node_copy(const struct xstream_node *n)
{
    struct xstream_node *copy = mem_alloc(sizeof *copy);
    *copy = (struct xstream_node){n->id, listpack_copy(n->lp)};
    return copy;
}

void xstream_node_free(struct xstream_node *n)
{
    mem_free(n->lp);
    mem_free_sized(n, sizeof *n);
}

static bool has_same_fields(const struct xstream_head *head, const struct slice *words, size_t count)
{
    const char *at = head->fields;
    size_t i = 0;
    for (; head->field_count == count && i < count && listpack_equals(at, words[2 * i]); i++)
        at = listpack_next(head->lp, at);
    return i == count;
}

void xstream_node_append(struct xstream_node *n, struct xstream_id id, const struct slice *words, size_t count)
{
    struct xstream_head head = xstream_node_head(n);
    bool is_same = has_same_fields(&head, words, count);
    const char *at = listpack_first(n->lp);
    n->lp = listpack_replace_int(n->lp, &at, (int64_t)head.count + 1);
    struct writer w = {n->lp, mem_good_size(listpack_bytes(n->lp))};
    put_entry(&w, n->id, id, words, count, is_same);
    n->lp = w.lp;
}

void xstream_node_finish(struct xstream_node *n)
{
    n->lp = listpack_shrink(n->lp);
}

void xstream_node_mark(struct xstream_node *n, const char **at)
{
    n->lp = listpack_replace_int(n->lp, at, int_at(*at) | XSTREAM_DELETED);
}

void xstream_node_count_marked(struct xstream_node *n, uint64_t marked)
{
    const char *at = listpack_first(n->lp);
    n->lp = listpack_replace_int(n->lp, &at, int_at(at) - (int64_t)marked);
    at = listpack_next(n->lp, at);
    n->lp = listpack_replace_int(n->lp, &at, int_at(at) + (int64_t)marked);
}

/* --- strangers' bytes ----------------------------------------------------------------- */

/* Takes an integer between bounds; false if it is none, or the elements end. */
static bool take_valid(const char *lp, const char **at, int64_t min, int64_t max, int64_t *value)
{
    if (!*at || !listpack_int(*at, value) || *value < min || *value > max)
        return false;
    *at = listpack_next(lp, *at);
    return true;
}

/* As many elements as there are bytes cannot be: bounds every loop. */
static bool skip_valid(const char *lp, const char **at, int64_t elements)
{
    for (; elements > 0 && *at; elements--)
        *at = listpack_next(lp, *at);
    return elements == 0;
}

struct check {
    const char *lp, *at;
    struct xstream_id node_id, last_id;
    int64_t field_count, fields_max, count, deleted;
};

static bool check_entry(struct check *c)
{
    int64_t flags, ms, seq, fields = c->field_count, elements, told;
    if (!take_valid(c->lp, &c->at, 0, XSTREAM_DELETED | XSTREAM_SAME_FIELDS, &flags) ||
        !take_valid(c->lp, &c->at, INT64_MIN, INT64_MAX, &ms) || !take_valid(c->lp, &c->at, INT64_MIN, INT64_MAX, &seq))
        return false;
    bool is_same = flags & XSTREAM_SAME_FIELDS;
    if (!is_same && !take_valid(c->lp, &c->at, 1, c->fields_max, &fields))
        return false;
    elements = is_same ? fields : 2 * fields;
    if (!skip_valid(c->lp, &c->at, elements))
        return false;
    elements += ENTRY_FIXED + !is_same;
    if (!take_valid(c->lp, &c->at, elements, elements, &told))
        return false;
    struct xstream_id id = {c->node_id.ms + (uint64_t)ms, c->node_id.seq + (uint64_t)seq};
    bool is_first = c->count + c->deleted == 0;
    int order = xstream_id_compare(id, is_first ? c->node_id : c->last_id);
    if (order < 0 || (order == 0 && (!is_first || xstream_id_is_zero(id))))
        return false;
    c->last_id = id;
    *(flags & XSTREAM_DELETED ? &c->deleted : &c->count) += 1;
    return true;
}

bool xstream_node_is_valid(struct xstream_id id, struct slice bytes)
{
    if (!listpack_is_valid(bytes))
        return false;
    const char *lp = bytes.ptr;
    struct check c = {.lp = lp, .at = listpack_first(lp), .node_id = id, .fields_max = (int64_t)bytes.len};
    int64_t count, deleted, zero;
    if (!take_valid(lp, &c.at, 0, c.fields_max, &count) || !take_valid(lp, &c.at, 0, c.fields_max, &deleted) ||
        !take_valid(lp, &c.at, 1, c.fields_max, &c.field_count) || !skip_valid(lp, &c.at, c.field_count) ||
        !take_valid(lp, &c.at, 0, 0, &zero))
        return false;
    while (c.at)
        if (!check_entry(&c))
            return false;
    return c.count == count && c.deleted == deleted && count + deleted > 0;
}
