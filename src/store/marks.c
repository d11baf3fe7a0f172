#include "store/marks.h"

#include <string.h>

/* The place of a member, made at the end if it has none. */
static int place_of(struct marks *m, uint16_t member)
{
    int at = 0;
    while (at < m->count && m->items[at].member != member)
        at++;
    if (at < m->count)
        return at;
    if (m->count < MARKS_MAX)
        m->count++;
    m->items[m->count - 1] = (struct watcher_id){.member = member};
    return m->count - 1;
}

bool marks_take(struct marks *m, const struct watcher_id *id)
{
    int at = place_of(m, id->member);
    if (m->items[at].life == id->life && m->items[at].number >= id->number)
        return false;
    memmove(m->items + 1, m->items, (size_t)at * sizeof *m->items);
    m->items[0] = *id;
    return true;
}

void marks_write(const struct marks *m, struct buf *out)
{
    char count = (char)m->count;
    buf_append(out, &count, 1);
    for (int i = 0; i < m->count; i++) {
        watcher_id_put(&m->items[i], buf_reserve(out, WATCHER_ID_BYTES));
        buf_extend(out, WATCHER_ID_BYTES);
    }
}

bool marks_read(struct marks *m, const char **at, const char *end)
{
    m->count = 0;
    if (*at == end || (unsigned char)**at > MARKS_MAX)
        return false;
    int count = (unsigned char)*(*at)++;
    if (end - *at < (ptrdiff_t)count * WATCHER_ID_BYTES)
        return false;
    for (; m->count < count; m->count++, *at += WATCHER_ID_BYTES)
        if (!watcher_id_get(slice_make(*at, WATCHER_ID_BYTES), &m->items[m->count]))
            return false;
    return true;
}
