/* Texts in the parts of saved values: a varint length and the bytes. */
#ifndef STORE_PART_TEXT_H
#define STORE_PART_TEXT_H

#include "base/buf.h"
#include "base/varint.h"

static inline void part_put_number(struct buf *out, uint64_t number)
{
    char text[VARINT_MAX];
    buf_append(out, text, (size_t)(varint_write(text, number) - text));
}
static inline void part_put_text(struct buf *out, struct slice text)
{
    part_put_number(out, text.len);
    buf_append_slice(out, text);
}
/* Moves *at behind it; false if it does not end before end, or is longer than a
 * block's lengths can tell (length.h). */
static inline bool part_get_text(const char **at, const char *end, struct slice *text)
{
    uint64_t length;
    const char *begin = varint_read(*at, end, &length);
    if (!begin || length > (uint64_t)(end - begin) || length > UINT32_MAX)
        return false;
    *text = slice_make(begin, length);
    *at = begin + length;
    return true;
}

#endif
