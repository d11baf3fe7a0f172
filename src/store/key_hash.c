#include "store/key_hash.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/random.h"

static_assert(KEY_HASH_SECRET_BYTES >= XXH3_SECRET_SIZE_MIN, "XXH3 wants a longer secret");
static_assert(KEY_HASH_SECRET_BYTES % 8 == 0, "the secret is made of words");

static uint64_t load_le64(const unsigned char *bytes)
{
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

/* Two generators, one per half of the seed, so that all 128 bits count. */
void key_hash_expand(struct key_hash_secret *secret, const unsigned char seed[static KEY_HASH_SEED_BYTES])
{
    struct random low, high;
    random_init(&low, load_le64(seed));
    random_init(&high, random_mix(load_le64(seed + 8) ^ UINT64_C(0x6b7673746f7265)));
    for (unsigned i = 0; i < KEY_HASH_SECRET_BYTES; i += 8) {
        uint64_t word = random_mix(random_next(&low) ^ random_mix(random_next(&high)));
        for (unsigned k = 0; k < 8; k++)
            secret->bytes[i + k] = (unsigned char)(word >> 8 * k);
    }
}

uint64_t key_hash(const struct key_hash_secret *secret, struct slice key)
{
    return XXH3_64bits_withSecret(key.ptr, key.len, secret->bytes, KEY_HASH_SECRET_BYTES);
}
