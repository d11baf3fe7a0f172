/* Blocks of servers before 7.0, made into listpacks.
 *
 * ziplist
 *   4 bytes   size of the whole, little-endian
 *   4 bytes   where the last element is
 *   2 bytes   number of elements, or 65535: count them
 *             elements
 *   1 byte    0xff
 *
 * An element begins with the size of the one before it, 1 byte, or 0xfe and 4
 * bytes; then
 *
 *   00nnnnnn                         a string of n bytes
 *   01nnnnnn nnnnnnnn                the same, big-endian
 *   10------ and 4 bytes             the same
 *   11000000, 11010000, 11100000     an integer of 2, 4, 8 bytes, little-endian
 *   11110000, 11111110               of 3, of 1
 *   1111nnnn, n from 1 to 13         n - 1
 *
 * zipmap
 *   1 byte    number of pairs, or 254 and more: count them
 *             pairs: length, field, length, 1 byte: number of unused bytes, value, unused bytes
 *   1 byte    0xff
 *
 * where a length is 1 byte up to 253, or 254 and 4 bytes, little-endian. */
#include "base/alloc.h"
#include "store/listpack.h"
#include "store/rdb_form.h"

enum {
    END = 0xff,
    LONG = 0xfe, /* a length of 4 bytes follows */
    COUNT_UNKNOWN = 0xffff,
    ZIPLIST_HEADER_BYTES = 10,
    ZIPLIST_TAIL_AT = 4,
    ZIPLIST_COUNT_AT = 8,
    ZIPMAP_COUNT_MAX = 253,
};

static uint64_t little_endian(const char *at, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | (unsigned char)at[bytes];
    return value;
}

static bool add(char **lp, struct slice bytes)
{
    if (!listpack_has_room(*lp, listpack_element_bytes(bytes)))
        return false;
    *lp = listpack_append(*lp, bytes);
    return true;
}

/* --- ziplist --------------------------------------------------------------------- */

static bool add_integer(struct rdb_reader *r, unsigned code, char **lp)
{
    struct slice raw = {0};
    char text[INT64_TEXT_MAX];
    unsigned bytes = code == 0xc0 ? 2 : code == 0xd0 ? 4 : code == 0xe0 ? 8 : code == 0xf0 ? 3 : code == 0xfe ? 1 : 0;
    int64_t value = (int64_t)(code & 0xf) - 1;
    if (bytes == 0 && (code < 0xf1 || code > 0xfd))
        return false;
    if (!rdb_read_bytes(r, bytes, &raw))
        return false;
    if (bytes > 0) {
        unsigned unused = 64 - 8 * bytes;
        value = (int64_t)(little_endian(raw.ptr, bytes) << unused) >> unused;
    }
    return add(lp, slice_make(text, int64_to_text(value, text)));
}

static bool add_string(struct rdb_reader *r, unsigned code, char **lp)
{
    struct slice rest, bytes;
    unsigned count = code < 0x40 ? 0 : code < 0x80 ? 1 : 4;
    if (!rdb_read_bytes(r, count, &rest))
        return false;
    uint64_t length = code < 0x80 ? code & 0x3f : 0;
    for (unsigned i = 0; i < count; i++)
        length = length << 8 | (unsigned char)rest.ptr[i];
    return length <= RDB_STRING_MAX && rdb_read_bytes(r, (size_t)length, &bytes) && add(lp, bytes);
}

/* *size: of the element before, then of this one. */
static bool add_element(struct rdb_reader *r, size_t *size, char **lp)
{
    const char *start = r->at;
    struct slice byte, wide;
    if (!rdb_read_bytes(r, 1, &byte))
        return false;
    uint64_t told = (unsigned char)*byte.ptr;
    if (told == LONG) {
        if (!rdb_read_bytes(r, 4, &wide))
            return false;
        told = little_endian(wide.ptr, 4);
    }
    if (told != *size || !rdb_read_bytes(r, 1, &byte))
        return false;
    unsigned code = (unsigned char)*byte.ptr;
    if (!(code < 0xc0 ? add_string(r, code, lp) : add_integer(r, code, lp)))
        return false;
    *size = (size_t)(r->at - start);
    return true;
}

static bool add_ziplist(struct slice bytes, char **lp)
{
    if (bytes.len < ZIPLIST_HEADER_BYTES + 1 || little_endian(bytes.ptr, 4) != bytes.len ||
        (unsigned char)bytes.ptr[bytes.len - 1] != END)
        return false;
    struct rdb_reader r = {bytes.ptr + ZIPLIST_HEADER_BYTES, bytes.ptr + bytes.len - 1};
    uint64_t count = 0, tail = ZIPLIST_HEADER_BYTES, told = little_endian(bytes.ptr + ZIPLIST_COUNT_AT, 2);
    for (size_t size = 0; r.at < r.end; count++) {
        tail = (uint64_t)(r.at - bytes.ptr);
        if (!add_element(&r, &size, lp))
            return false;
    }
    return (told == COUNT_UNKNOWN || told == count) && little_endian(bytes.ptr + ZIPLIST_TAIL_AT, 4) == tail;
}

/* --- zipmap ---------------------------------------------------------------------- */

static bool read_zipmap_length(struct rdb_reader *r, size_t *length)
{
    struct slice byte, wide;
    if (!rdb_read_bytes(r, 1, &byte))
        return false;
    *length = (unsigned char)*byte.ptr;
    if (*length < LONG)
        return true;
    if (*length == END || !rdb_read_bytes(r, 4, &wide))
        return false;
    *length = (size_t)little_endian(wide.ptr, 4);
    return true;
}

static bool add_pair(struct rdb_reader *r, char **lp)
{
    size_t length;
    struct slice field, value, unused;
    if (!read_zipmap_length(r, &length) || !rdb_read_bytes(r, length, &field) || !read_zipmap_length(r, &length) ||
        !rdb_read_bytes(r, 1, &unused))
        return false;
    size_t unused_bytes = (unsigned char)*unused.ptr;
    return rdb_read_bytes(r, length, &value) && rdb_read_bytes(r, unused_bytes, &unused) && add(lp, field) &&
           add(lp, value);
}

static bool add_zipmap(struct slice bytes, char **lp)
{
    if (bytes.len < 2 || (unsigned char)bytes.ptr[bytes.len - 1] != END)
        return false;
    struct rdb_reader r = {bytes.ptr + 1, bytes.ptr + bytes.len - 1};
    size_t count = 0, told = (unsigned char)bytes.ptr[0];
    for (; r.at < r.end; count++)
        if (!add_pair(&r, lp))
            return false;
    return told > ZIPMAP_COUNT_MAX || told == count;
}

/* --- both ------------------------------------------------------------------------ */

static char *convert(struct slice bytes, bool (*add_all)(struct slice bytes, char **lp))
{
    char *lp = listpack_create();
    if (add_all(bytes, &lp))
        return lp;
    mem_free(lp);
    return NULL;
}

char *rdb_ziplist_to_listpack(struct slice bytes)
{
    return convert(bytes, add_ziplist);
}

char *rdb_zipmap_to_listpack(struct slice bytes)
{
    return convert(bytes, add_zipmap);
}
