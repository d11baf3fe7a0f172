/* Goal: no bytes that claim to be a snapshot, however malformed and however split, make the reader
 * crash, read beyond its bytes, hold more than they justify, or answer differently from the same
 * bytes in one piece; and what it takes in is a sound keyspace with the digest it says.
 * Method: libFuzzer.  The first byte seeds the splits and chooses: the rest is taken as it is, as
 * plain content whose checksums are put right first, so that what lies behind them is reached, or
 * packed into an LZ4 frame after that. */
#include <stdlib.h>
#include <string.h>

#include <lz4frame.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "persist/snapshot_format.h"
#include "persist/snapshot_reader.h"

/* Of every record that is there whole. */
static void reseal(char *bytes, size_t size)
{
    if (size < PREFIX_BYTES)
        return;
    memcpy(bytes, SNAPSHOT_MAGIC, MAGIC_BYTES);
    uint64_t ordinal = 0;
    for (size_t at = PREFIX_BYTES; size - at >= RECORD_HEAD_BYTES; ordinal++) {
        struct record_head head = record_head_get(bytes + at);
        uint64_t record_bytes = RECORD_HEAD_BYTES + record_body_bytes(&head);
        if (record_bytes > size - at)
            return;
        uint64_t sum = XXH3_64bits_withSeed(bytes + at + CHECKSUM_BYTES, record_bytes - CHECKSUM_BYTES, ordinal);
        put_le(bytes + at, sum, CHECKSUM_BYTES);
        at += record_bytes;
    }
}

static enum status feed(struct snapshot_reader *reader, const char *bytes, size_t size, uint64_t seed)
{
    struct random random;
    random_init(&random, seed);
    enum status status = STATUS_AGAIN;
    for (size_t at = 0; at < size && (status == STATUS_AGAIN || status == STATUS_OK);) {
        size_t piece = seed ? 1 + random_below(&random, seed % 2 ? 3 : 100) : size;
        piece = piece < size - at ? piece : size - at;
        char *exact = malloc(piece);
        memcpy(exact, bytes + at, piece);
        status = snapshot_feed(reader, exact, piece);
        free(exact);
        at += piece;
    }
    return status;
}

struct outcome {
    enum status status;
    uint64_t keys;
    struct digest digest;
};

static struct outcome read_into_keyspace(const char *bytes, size_t size, uint64_t seed)
{
    const struct keyspace_options options = {.database_count = 4, .hash_secret = "fifteen letters"};
    struct keyspace *ks = keyspace_create(&options);
    struct snapshot_reader *reader = snapshot_reader_create(ks);
    snapshot_reader_expect_bytes(reader, size);
    struct outcome outcome = {.status = feed(reader, bytes, size, seed), .keys = snapshot_reader_keys(reader)};
    keyspace_check(ks);
    struct snapshot_file_figures figures;
    snapshot_reader_get_figures(reader, &figures);
    if (outcome.status == STATUS_OK) {
        outcome.digest = keyspace_digest(ks);
        CHECK(outcome.digest.low == figures.digest.low);
        CHECK(outcome.digest.high == figures.digest.high);
    }
    bool is_sound = outcome.status == STATUS_OK || outcome.status == STATUS_AGAIN;
    CHECK(is_sound == (*snapshot_reader_error(reader) == 0));
    snapshot_reader_free(reader);
    keyspace_free(ks);
    return outcome;
}

static enum status check(const char *bytes, size_t size, uint64_t seed)
{
    const struct snapshot_visitor visitor = {0};
    struct snapshot_reader *reader = snapshot_reader_create_checker(&visitor);
    enum status status = feed(reader, bytes, size, seed);
    snapshot_reader_free(reader);
    return status;
}

static bool is_refusal(enum status status)
{
    return status != STATUS_OK && status != STATUS_AGAIN;
}

static void try(const char *bytes, size_t size, uint64_t seed)
{
    struct outcome whole = read_into_keyspace(bytes, size, 0), split = read_into_keyspace(bytes, size, seed);
    /* Of a damaged frame, more or less may have been taken before it shows. */
    if (is_refusal(whole.status)) {
        CHECK(is_refusal(split.status));
    } else {
        CHECK(whole.status == split.status);
        CHECK(whole.keys == split.keys);
    }
    CHECK(whole.digest.low == split.digest.low);
    enum status checked = check(bytes, size, seed);
    /* The checker knows no keyspace: keys that come twice, a database too many. */
    if (whole.status == STATUS_OK)
        CHECK(checked == STATUS_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *bytes = malloc(size);
    memcpy(bytes, data + 1, --size);
    unsigned form = data[0] % 3;
    uint64_t seed = data[0] / 3 + 1u;
    if (form > 0)
        reseal(bytes, size);
    if (form == 2) {
        size_t room = LZ4F_compressFrameBound(size, NULL);
        char *packed = malloc(room);
        try(packed, LZ4F_compressFrame(packed, room, bytes, size, NULL), seed);
        free(packed);
    } else {
        try(bytes, size, seed);
    }
    free(bytes);
    return 0;
}
