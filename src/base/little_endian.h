/* Numbers as little-endian bytes, at any address: what files, replicas and
 * payloads of Redis's share, whatever the machine. */
#ifndef BASE_LITTLE_ENDIAN_H
#define BASE_LITTLE_ENDIAN_H

#include <stdint.h>

/* Writes the low bytes of word, up to 8; returns the byte behind them. */
static inline char *put_le(char *at, uint64_t word, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *at++ = (char)(unsigned char)(word >> 8 * i);
    return at;
}
static inline uint64_t get_le(const char *at, unsigned bytes)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < bytes; i++)
        word |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return word;
}

#endif
