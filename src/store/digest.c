#include "store/digest.h"

#include <string.h>
#include <xxhash.h>

struct digest digest_bytes(struct slice bytes)
{
    XXH128_hash_t hash = XXH3_128bits(bytes.ptr, bytes.len);
    return (struct digest){.low = hash.low64, .high = hash.high64};
}

static char *put_le64(char *at, uint64_t word)
{
    for (unsigned i = 0; i < 8; i++)
        *at++ = (char)(unsigned char)(word >> 8 * i);
    return at;
}

struct digest digest_combine(const struct digest_parts *parts)
{
    const uint64_t words[] = {
        (uint64_t)(uint32_t)parts->db | (uint64_t)parts->type << 32,
        (uint64_t)parts->expire_at,
        parts->key.low,
        parts->key.high,
        parts->value.low,
        parts->value.high,
    };
    char canonical[sizeof words];
    char *at = canonical;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        at = put_le64(at, words[i]);
    return digest_bytes(slice_make(canonical, sizeof canonical));
}

void digest_add(struct digest *sum, struct digest digest)
{
    sum->low += digest.low;
    sum->high += digest.high + (sum->low < digest.low);
}

void digest_text(struct digest digest, char text[static DIGEST_TEXT_BYTES])
{
    const uint64_t words[] = {digest.high, digest.low};
    memset(text, '0', 8);
    for (unsigned i = 0; i < 32; i++)
        text[8 + i] = "0123456789abcdef"[words[i / 16] >> (60 - 4 * (i % 16)) & 0xf];
}
