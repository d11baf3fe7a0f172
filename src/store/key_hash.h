/* The hash of keys: XXH3, 64 bits, under a secret of 192 bytes that is drawn
 * from the 16 bytes of the configuration.  The same secret gives the same
 * hashes on every machine.  What it does and does not protect from: dict.h. */
#ifndef STORE_KEY_HASH_H
#define STORE_KEY_HASH_H

#include <stdint.h>

#include "base/slice.h"

enum { KEY_HASH_SEED_BYTES = 16, KEY_HASH_SECRET_BYTES = 192 };

struct key_hash_secret {
    unsigned char bytes[KEY_HASH_SECRET_BYTES];
};

void key_hash_expand(struct key_hash_secret *secret, const unsigned char seed[static KEY_HASH_SEED_BYTES]);
uint64_t key_hash(const struct key_hash_secret *secret, struct slice key);

#endif
