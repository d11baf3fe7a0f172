#include "store/listpack_code.h"

#include <string.h>

/* --- the whole -------------------------------------------------------------------- */

size_t listpack_bytes(const char *lp)
{
    return load(peek(lp), 4);
}

size_t listpack_count(const char *lp)
{
    if (told_count(lp) != LISTPACK_COUNT_UNKNOWN)
        return told_count(lp);
    size_t count = 0;
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at))
        count++;
    return count;
}

bool listpack_has_room(const char *lp, size_t bytes)
{
    return bytes <= LISTPACK_BYTES_MAX - listpack_bytes(lp);
}

/* --- elements --------------------------------------------------------------------- */

const char *listpack_first(const char *lp)
{
    return or_end(lp + LISTPACK_HEADER_BYTES);
}

const char *listpack_prev(const char *lp, const char *at)
{
    const char *start = lp + LISTPACK_HEADER_BYTES;
    if (at == start)
        return NULL;
    size_t body = read_back(at, start);
    return at - body - back_bytes(body);
}

const char *listpack_last(const char *lp)
{
    return listpack_prev(lp, lp + listpack_bytes(lp) - 1);
}

const char *listpack_next(const char *lp, const char *at)
{
    (void)lp;
    return or_end(at + whole_bytes(at));
}

const char *listpack_behind(const char *at)
{
    return at + whole_bytes(at);
}

const char *listpack_at(const char *lp, int64_t index)
{
    unsigned count = told_count(lp);
    if (count != LISTPACK_COUNT_UNKNOWN) {
        if (index < -(int64_t)count || index >= count)
            return NULL;
        if (index >= 0 && index > count / 2)
            index -= count;
        else if (index < 0 && -index > count / 2)
            index += count;
    }
    const char *at = index < 0 ? listpack_last(lp) : listpack_first(lp);
    for (; at && index > 0; index--)
        at = listpack_next(lp, at);
    for (; at && index < -1; index++)
        at = listpack_prev(lp, at);
    return at;
}

bool listpack_int(const char *at, int64_t *value)
{
    if (is_string(*peek(at)))
        return false;
    *value = int_at(at);
    return true;
}

struct listpack_element listpack_get(const char *at)
{
    if (is_string(*peek(at)))
        return (struct listpack_element){.bytes = string_at(at)};
    return (struct listpack_element){.is_int = true, .integer = int_at(at)};
}

struct slice listpack_text(const char *at, char scratch[static INT64_TEXT_MAX])
{
    if (is_string(*peek(at)))
        return string_at(at);
    return slice_make(scratch, int64_to_text(int_at(at), scratch));
}

bool listpack_equals(const char *at, struct slice bytes)
{
    int64_t value;
    if (is_string(*peek(at)))
        return slice_equal(string_at(at), bytes);
    return text_as_int(bytes, &value) && value == int_at(at);
}

/* Most elements that are walked over are short strings: their size follows from
 * the first byte. */
static inline const char *skip(const char *at)
{
    unsigned char first = *peek(at);
    if ((first & 0xc0) == STRING_SHORT)
        return or_end(at + 2 + (first & (STRING_SHORT_LIMIT - 1)));
    return or_end(at + whole_bytes(at));
}

static inline const char *skip_many(const char *at, unsigned step)
{
    for (; step > 0 && at; step--)
        at = skip(at);
    return at;
}

/* A short string, not empty, that spells no integer.  The first byte tells the length, and
 * names in one collection often differ in their last byte first. */
static const char *find_short(const char *from, struct slice bytes, unsigned step)
{
    unsigned char head = (unsigned char)(STRING_SHORT | bytes.len);
    char last = bytes.ptr[bytes.len - 1];
    for (const char *at = from; at; at = skip_many(at, step))
        if (*peek(at) == head && at[bytes.len] == last && memcmp(at + 1, bytes.ptr, bytes.len) == 0)
            return at;
    return NULL;
}

const char *listpack_find(const char *lp, const char *from, struct slice bytes, unsigned step)
{
    (void)lp;
    int64_t sought;
    bool is_int = text_as_int(bytes, &sought);
    if (!is_int && bytes.len && bytes.len < STRING_SHORT_LIMIT)
        return find_short(from, bytes, step);
    for (const char *at = from; at; at = skip_many(at, step))
        if (is_string(*peek(at)) ? slice_equal(string_at(at), bytes) : is_int && int_at(at) == sought)
            return at;
    return NULL;
}
