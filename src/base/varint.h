/* Integers of variable length, LEB128: seven bits per byte, low first, the top
 * bit set in all but the last; at most ten bytes.  What batches, frames,
 * journals and snapshots count with. */
#ifndef BASE_VARINT_H
#define BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum { VARINT_MAX = 10 };
static inline char *varint_write(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}
static inline size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}
/* NULL if the bytes end or the number does not fit 64 bits. */
static inline const char *varint_read(const char *at, const char *end, uint64_t *value)
{
    uint64_t sum = 0;
    for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
        uint64_t part = (unsigned char)*at++;
        if (shift == 63 && part > 1)
            return NULL;
        sum |= (part & 0x7f) << shift;
        if (part < 0x80) {
            *value = sum;
            return at;
        }
    }
    return NULL;
}

#endif
