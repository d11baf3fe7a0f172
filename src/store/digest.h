/* 128-bit digests of data: XXH3, 128 bits, over a canonical form of each key,
 * added up modulo 2^128, so that order does not matter and parts of the data
 * can be summed apart.
 *
 * The canonical form of a key: database, type, expiry, and the digests of the
 * key's and the value's bytes (an integer as its decimal text), as 48 bytes,
 * little-endian.  It knows nothing of encodings, addresses, hash secrets or
 * access clocks.
 *
 * For comparing replicas, not for proof against forgery. */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include <stdint.h>

#include "base/slice.h"
#include "store/keyspace.h"

struct digest_parts {
    int32_t db;
    uint32_t type;
    int64_t expire_at;
    struct digest key, value;
};

struct digest digest_bytes(struct slice bytes);
struct digest digest_combine(const struct digest_parts *parts);
/* *sum += digest modulo 2^128. */
void digest_add(struct digest *sum, struct digest digest);

/* As clients see it: as long as the 160 bits they know from Redis.  No
 * terminator. */
enum { DIGEST_TEXT_BYTES = 40 };
void digest_text(struct digest digest, char text[static DIGEST_TEXT_BYTES]);

#endif
