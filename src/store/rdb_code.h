/* rdb_code: the words of Redis's RDB format, of which a DUMP payload is made.
 *
 *   length   00nnnnnn                        6 bits
 *            01nnnnnn nnnnnnnn               14 bits
 *            10000000 and 4 bytes            big-endian
 *            10000001 and 8 bytes            big-endian
 *   string   a length and so many bytes, or
 *            11000000 and 1 byte             an integer, its decimal text being meant
 *            11000001 and 2 bytes            little-endian
 *            11000010 and 4 bytes
 *            11000011, two lengths, bytes    as many bytes as the first length says, compressed
 *                                            with LZF from as many as the second says
 *   double   8 bytes, little-endian
 *
 * Reading: bytes are a stranger's.  A function that returns false leaves the
 * reader anywhere; nothing is read beyond its end, and nothing is allocated that
 * the bytes at hand could not fill. */
#ifndef STORE_RDB_CODE_H
#define STORE_RDB_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { RDB_STRING_MAX = 512 * 1024 * 1024 };

/* --- writing ----------------------------------------------------------------- */

void rdb_write_length(struct buf *out, uint64_t length);
/* In the shortest form Redis would choose. */
void rdb_write_string(struct buf *out, struct slice bytes);
void rdb_write_double(struct buf *out, double value);
/* 8 bytes, little-endian: times. */
void rdb_write_word(struct buf *out, uint64_t value);

/* --- reading ----------------------------------------------------------------- */

struct rdb_reader {
    const char *at, *end;
};

/* A string read: bytes lies in the payload, in scratch or in owned. */
struct rdb_text {
    struct slice bytes;
    char *owned; /* NULL: none; freed by rdb_text_free */
    char scratch[INT64_TEXT_MAX];
};

bool rdb_read_length(struct rdb_reader *r, uint64_t *length);
/* t stays where it is while its bytes are used.  On failure there is nothing to
 * free. */
bool rdb_read_string(struct rdb_reader *r, struct rdb_text *t);
void rdb_text_free(struct rdb_text *t);
/* Refuses NaN. */
bool rdb_read_double(struct rdb_reader *r, double *value);
bool rdb_read_word(struct rdb_reader *r, uint64_t *value);
/* Borrows count bytes. */
bool rdb_read_bytes(struct rdb_reader *r, size_t count, struct slice *bytes);

/* CRC-64 of the polynomial ad93d23594c935a9, reflected, beginning with 0. */
uint64_t rdb_checksum(struct slice bytes);

#endif
