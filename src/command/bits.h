/* Single bits of byte strings: bit 0 is the highest of the first byte. */
#ifndef COMMAND_BITS_H
#define COMMAND_BITS_H

#include "command/command.h"

static inline bool bit_at(struct slice bytes, uint64_t at)
{
    return at / 8 < bytes.len && ((unsigned char)bytes.ptr[at / 8] >> (7 - at % 8) & 1);
}

static inline void bit_set(char *bytes, uint64_t at, bool is_one)
{
    unsigned char mask = (unsigned char)(0x80 >> at % 8), byte = (unsigned char)bytes[at / 8];
    bytes[at / 8] = (char)(is_one ? byte | mask : byte & ~mask);
}

/* Reads the bit offset at argument index, "#n" meaning n times width where
 * width is not 0; writes Redis's error and returns false if it lies beyond the
 * longest string. */
bool call_bit_offset(struct call *c, int index, int width, uint64_t *offset);

/* The bytes of a string value for bit commands, empty if absent. */
struct slice call_bits(const struct entry *e, char scratch[static INT64_TEXT_MAX]);

#endif
