/* Ids, entries and groups as the commands on streams read and show them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "command/xstream.h"

enum { ID_TEXT_MAX = 128 }; /* of an argument */

/* --- ids -------------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t *value)
{
    int64_t number;
    if (slice_to_int64(slice_from(text), &number)) {
        *value = (uint64_t)number;
        return number >= 0;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *text != '\0' && *end == '\0';
}

bool xstream_id_of(struct slice text, const struct xstream_id_form *form, struct xstream_id *id)
{
    char copy[ID_TEXT_MAX];
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (form->is_seq_given)
        *form->is_seq_given = true;
    bool is_least = strcmp(copy, "-") == 0;
    if (is_least || strcmp(copy, "+") == 0) {
        *id = is_least ? XSTREAM_ID_ZERO : XSTREAM_ID_MAX;
        return !form->is_strict;
    }
    struct xstream_id read = {0, form->missing_seq};
    char *seq = strchr(copy, '-');
    if (seq)
        *seq++ = '\0';
    if (!read_number(copy, &read.ms))
        return false;
    if (seq && form->is_seq_given && strcmp(seq, "*") == 0) {
        read.seq = 0;
        *form->is_seq_given = false;
    } else if (seq && !read_number(seq, &read.seq)) {
        return false;
    }
    *id = read;
    return true;
}

bool xstream_read_id(struct call *c, int index, const struct xstream_id_form *form, struct xstream_id *id)
{
    if (xstream_id_of(c->argv[index], form, id))
        return true;
    reply_error(c->reply, ERROR_XSTREAM_ID);
    return false;
}

bool xstream_read_strict_id(struct call *c, int index, struct xstream_id *id)
{
    return xstream_read_id(c, index, &(struct xstream_id_form){.is_strict = true}, id);
}

/* *is_open: the id itself is left out. */
static bool read_bound(struct call *c, int index, uint64_t missing_seq, struct xstream_id *id, bool *is_open)
{
    struct slice text = c->argv[index];
    *is_open = text.len > 1 && text.ptr[0] == '(';
    struct xstream_id_form form = {.missing_seq = missing_seq, .is_strict = *is_open};
    if (*is_open)
        text = slice_make(text.ptr + 1, text.len - 1);
    if (xstream_id_of(text, &form, id))
        return true;
    reply_error(c->reply, ERROR_XSTREAM_ID);
    return false;
}

bool xstream_read_start(struct call *c, int index, struct xstream_id *id)
{
    bool is_open;
    if (!read_bound(c, index, 0, id, &is_open))
        return false;
    if (!is_open || xstream_id_increment(id))
        return true;
    reply_error(c->reply, "ERR invalid start ID for the interval");
    return false;
}

bool xstream_read_end(struct call *c, int index, struct xstream_id *id)
{
    bool is_open;
    if (!read_bound(c, index, UINT64_MAX, id, &is_open))
        return false;
    if (!is_open || xstream_id_decrement(id))
        return true;
    reply_error(c->reply, "ERR invalid end ID for the interval");
    return false;
}

struct xstream_id *xstream_read_ids(struct call *c, int first, int count)
{
    struct xstream_id *ids = mem_alloc((size_t)count * sizeof *ids);
    for (int i = 0; i < count; i++) {
        if (xstream_read_strict_id(c, first + i, &ids[i]))
            continue;
        mem_free(ids);
        return NULL;
    }
    return ids;
}

/* --- replies ------------------------------------------------------------------------------ */

/* The usual ids are spared a printf. */
static size_t number_text(uint64_t number, char text[static INT64_TEXT_MAX + 1])
{
    if (number <= INT64_MAX)
        return int64_to_text((int64_t)number, text);
    return (size_t)snprintf(text, INT64_TEXT_MAX + 1, "%llu", (unsigned long long)number);
}

struct slice xstream_id_text(struct xstream_id id, char text[static XSTREAM_ID_TEXT_MAX])
{
    size_t length = number_text(id.ms, text);
    text[length++] = '-';
    return slice_make(text, length + number_text(id.seq, text + length));
}

void xstream_reply_id(struct reply *r, struct xstream_id id)
{
    char text[XSTREAM_ID_TEXT_MAX];
    if (r->out)
        reply_bulk(r, xstream_id_text(id, text));
}

void xstream_reply_entry(struct reply *r, struct xstream_iterator *i)
{
    if (!r->out)
        return;
    struct slice field, value;
    reply_array(r, 2);
    xstream_reply_id(r, i->entry.id);
    reply_array(r, i->entry.field_count * 2);
    while (xstream_next_field(i, &field, &value)) {
        reply_bulk(r, field);
        reply_bulk(r, value);
    }
}

bool xstream_reply_one(struct reply *r, const struct xstream *s, struct xstream_id id)
{
    struct xstream_iterator i;
    xstream_iterate(&i, s, id, id, false);
    if (!xstream_next(&i))
        return false;
    xstream_reply_entry(r, &i);
    return true;
}

void xstream_reply_range(struct reply *r, const struct xstream *s, struct xstream_id start, struct xstream_id end,
                        uint64_t count, bool is_reverse)
{
    if (!r->out)
        return;
    struct xstream_iterator i;
    size_t replied = 0;
    struct reply_deferred begin = reply_begin(r);
    xstream_iterate(&i, s, start, end, is_reverse);
    while ((count == 0 || replied < count) && xstream_next(&i)) {
        xstream_reply_entry(r, &i);
        replied++;
    }
    reply_end_array(r, begin, replied);
}

/* --- groups ------------------------------------------------------------------------------- */

bool xstream_find_group(struct call *c, struct xstream **s, struct xstream_group **g)
{
    return xstream_group_in(c, call_find(c, 1), s, g);
}

bool xstream_group_in(struct call *c, const struct entry *e, struct xstream **s, struct xstream_group **g)
{
    if (e && entry_type(e) != VALUE_STREAM) {
        reply_error(c->reply, ERROR_WRONG_TYPE);
        return false;
    }
    struct value v = e ? entry_value(e) : (struct value){0};
    *s = xstream_of(&v);
    *g = e ? xstream_group_find(*s, c->argv[2]) : NULL;
    if (*g)
        return true;
    reply_error_format(c->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'", (int)c->argv[1].len,
                       c->argv[1].ptr, (int)c->argv[2].len, c->argv[2].ptr);
    return false;
}

struct xstream_consumer *xstream_meet_consumer(struct call *c, struct xstream_group *g, struct slice name,
                                             struct slice key)
{
    struct xstream_consumer *consumer = xstream_consumer_find(g, name);
    if (!consumer) {
        consumer = xstream_consumer_create(g, name, c->now_ms);
        call_notify(c, EVENT_STREAM, "xgroup-createconsumer", key);
        xstream_count_changes(c, 1);
    }
    consumer->seen_ms = c->now_ms;
    return consumer;
}
