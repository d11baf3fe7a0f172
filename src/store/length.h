/* Lengths inside packed blocks: one byte up to 254, else 255 and four bytes of
 * the machine's order.  For blocks in memory, which no other machine reads. */
#ifndef STORE_LENGTH_H
#define STORE_LENGTH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"

enum { LENGTH_SHORT_MAX = 254, LENGTH_LONG_BYTES = 5 };

static inline size_t length_bytes(size_t length)
{
    return length <= LENGTH_SHORT_MAX ? 1 : LENGTH_LONG_BYTES;
}

/* Returns the byte behind it. */
static inline char *length_write(char *at, size_t length)
{
    if (length <= LENGTH_SHORT_MAX) {
        *at = (char)(unsigned char)length;
        return at + 1;
    }
    CHECK(length <= UINT32_MAX);
    uint32_t wide = (uint32_t)length;
    *at = (char)(unsigned char)(LENGTH_SHORT_MAX + 1);
    memcpy(at + 1, &wide, sizeof wide);
    return at + LENGTH_LONG_BYTES;
}

static inline const char *length_read(const char *at, size_t *length)
{
    *length = (unsigned char)*at;
    if (*length <= LENGTH_SHORT_MAX)
        return at + 1;
    uint32_t wide;
    memcpy(&wide, at + 1, sizeof wide);
    *length = wide;
    return at + LENGTH_LONG_BYTES;
}

#endif
