/* Commands inside a batch, byte by byte.
 *
 *   batch   := command*
 *   command := size(varint, of what follows) db(varint) argc(varint) argument*
 *   argument:= length(varint) bytes
 *
 * varint is LEB128: seven bits per byte, low first, at most ten bytes.  The
 * same form holds a read's text in the proposer's own queue.
 *
 * Decoding trusts nothing: every length is checked against what is there. */
#ifndef REPLICA_BATCH_CODE_H
#define REPLICA_BATCH_CODE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

enum { BATCH_ARGUMENTS_MAX = 1024 * 1024 + 1 };

void batch_encode(struct buf *out, int db, int argc, const struct slice *argv);
/* Bytes batch_encode will write. */
size_t batch_encoded_size(int db, int argc, const struct slice *argv);

/* Arguments of decoded commands, reused from command to command. */
struct batch_arguments {
    struct slice *argv;
    int capacity;
};
void batch_arguments_deinit(struct batch_arguments *arguments);

/* One command at *at; advances it.  Appends argc slices at arguments->argv +
 * used (growing it: earlier slices keep their index, not their address) that
 * point into the bytes.  STATUS_MALFORMED leaves everything as it was. */
enum status batch_decode(const char **at, const char *end, struct batch_arguments *arguments, int used, int *db,
                         int *argc) MUST_CHECK;

/* LEB128, shared with frame.c. */
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
