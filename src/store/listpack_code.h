/* An element of a listpack, byte by byte, for the files that implement listpack.h:
 * listpack.c reads, listpack_edit.c changes, listpack_valid.c judges a stranger's bytes.
 *
 * Encodings, the first byte of an element:
 *
 *   0xxxxxxx                 integer 0..127
 *   10llllll                 string of l < 64 bytes
 *   110xxxxx x               integer of 13 bits, two's complement, high bits first
 *   1110llll l               string of l < 4096 bytes, high bits first
 *   11110000 l l l l         string of l bytes, low byte first
 *   11110001 x x             integer of 16 bits, low byte first
 *   11110010 x x x           of 24
 *   11110011 x x x x         of 32
 *   11110100 x x x x x x x x of 64
 *   11111111                 the end
 *
 * Behind it the bytes of a string, then the size of all that, seven bits a
 * byte, high bits first; all bytes but the first have the top bit set, so that
 * it is read from its end. */
#ifndef STORE_LISTPACK_CODE_H
#define STORE_LISTPACK_CODE_H

#include "store/listpack.h"

enum {
    END = 0xff,
    STRING_SHORT = 0x80,
    INT_13 = 0xc0,
    STRING_MEDIUM = 0xe0,
    STRING_LONG = 0xf0,
    INT_16 = 0xf1,
    INT_24 = 0xf2,
    INT_32 = 0xf3,
    INT_64 = 0xf4,
    STRING_SHORT_LIMIT = 1 << 6,
    STRING_MEDIUM_LIMIT = 1 << 12,
    STRING_LONG_HEAD = 5,
    INT_13_LIMIT = 1 << 12,
    BACK_BYTES_MAX = 5,
};

/* --- numbers ------------------------------------------------------------------ */

static inline uint64_t load(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline void store(unsigned char *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static inline int64_t load_signed(const unsigned char *at, unsigned bytes)
{
    unsigned spare = 64 - 8 * bytes;
    return (int64_t)(load(at, bytes) << spare) >> spare;
}

static inline unsigned char *bytes_of(char *at)
{
    return (unsigned char *)at;
}

static inline const unsigned char *peek(const char *at)
{
    return (const unsigned char *)at;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Spares most strings the attempt to read a number. */
static inline bool may_be_int(struct slice bytes)
{
    return bytes.len > 0 && bytes.len <= INT64_TEXT_MAX && is_digit(bytes.ptr[bytes.len - 1]) &&
           (bytes.ptr[0] == '-' || is_digit(bytes.ptr[0]));
}

static inline bool text_as_int(struct slice bytes, int64_t *value)
{
    return may_be_int(bytes) && slice_to_int64(bytes, value);
}

/* --- the header --------------------------------------------------------------- */

static inline unsigned told_count(const char *lp)
{
    return (unsigned)load(peek(lp) + 4, 2);
}

static inline void set_header(char *lp, size_t bytes, size_t count)
{
    store(bytes_of(lp), bytes, 4);
    store(bytes_of(lp) + 4, count < LISTPACK_COUNT_UNKNOWN ? count : LISTPACK_COUNT_UNKNOWN, 2);
}

/* --- elements ------------------------------------------------------------------ */

/* Head of an integer behind its first byte. */
static inline unsigned int_bytes(unsigned char first)
{
    switch (first) {
    case INT_16: return 2;
    case INT_24: return 3;
    case INT_32: return 4;
    default: return 8;
    }
}

static inline bool is_string(unsigned char first)
{
    return (first & 0xc0) == STRING_SHORT || (first & 0xf0) == STRING_MEDIUM || first == STRING_LONG;
}

/* The text of a string element. */
static inline struct slice string_at(const char *at)
{
    const unsigned char *p = peek(at);
    if ((p[0] & 0xc0) == STRING_SHORT)
        return slice_make(at + 1, p[0] & 0x3f);
    if (p[0] != STRING_LONG)
        return slice_make(at + 2, (size_t)(p[0] & 0x0f) << 8 | p[1]);
    return slice_make(at + STRING_LONG_HEAD, load(p + 1, 4));
}

static inline int64_t int_at(const char *at)
{
    const unsigned char *p = peek(at);
    if (p[0] < STRING_SHORT)
        return p[0];
    if (p[0] < STRING_MEDIUM) {
        int64_t value = (int64_t)(p[0] & 0x1f) << 8 | p[1];
        return value < INT_13_LIMIT ? value : value - 2 * INT_13_LIMIT;
    }
    return load_signed(p + 1, int_bytes(p[0]));
}

/* Bytes of head and text. */
static inline size_t body_bytes(const char *at)
{
    unsigned char first = *peek(at);
    if (first < STRING_SHORT)
        return 1;
    if (is_string(first)) {
        struct slice text = string_at(at);
        return (size_t)(text.ptr - at) + text.len;
    }
    return first < STRING_MEDIUM ? 2 : 1 + int_bytes(first);
}

/* Bytes of the size behind a body.  The largest that would fit two bytes, or
 * three, or four, takes one more: so Redis counts. */
static inline size_t back_bytes(size_t body)
{
    if (__builtin_expect(body < 1 << 7, 1))
        return 1;
    size_t bytes = 2;
    while (body >= ((size_t)1 << 7 * bytes) - 1)
        bytes++;
    return bytes;
}

static inline size_t whole_bytes(const char *at)
{
    size_t body = body_bytes(at);
    return body + back_bytes(body);
}

/* The body size written before end, SIZE_MAX if that is none; not looking below
 * start. */
static inline size_t read_back(const char *end, const char *start)
{
    size_t body = 0;
    for (unsigned shift = 0; shift < 7 * BACK_BYTES_MAX && end > start; shift += 7) {
        unsigned char part = *peek(--end);
        body |= (size_t)(part & 0x7f) << shift;
        if (part < 0x80)
            return body;
    }
    return SIZE_MAX;
}

static inline const char *or_end(const char *at)
{
    return *peek(at) == END ? NULL : at;
}

#endif
