/* The format, version 1.  All numbers are little-endian.
 *
 * A segment is a file journal-<number, 20 digits>.kvj:
 *
 *      0  header       the 88 bytes below, then zeros up to 2048
 *   2048  header again, then zeros up to 4096 (one torn or rotten sector does
 *                      not cost the segment)
 *   4096  records      one behind the other, each at a multiple of 8
 *         the rest     zeros, or what the file held in a former life
 *
 * Header:
 *
 *   0   8  magic "KVJOURNL"
 *   8   4  format version (1)
 *  12   4  bytes of the header block (4096)
 *  16   8  segment number, as in the name
 *  24   8  nonce: random, drawn anew each time the file is put to use
 *  32   8  first seq; 0 if the segment was prepared before that was known
 *  40   8  bytes the file was made with
 *  48   8  wall clock, milliseconds since 1970, for people
 *  56   8  cluster     identity: hash of the cluster's name,
 *  64   2  member          the member's id,
 *  66   6  zero
 *  72  16  boot            the machine's boot
 *  88   8  XXH3-64 of bytes 0 to 87
 *
 * Record:
 *
 *   0   8  XXH3-64, seeded with the nonce, of everything behind this field,
 *          padding included
 *   8   4  length of the payload
 *  12   1  kind: 0 a mark, else the caller's
 *  13   1  mode in force: 0 always, 1 everysec, 2 no
 *  14   2  tag: the low 16 bits of nonce mixed; makes the search for records
 *          behind a bad one cheap
 *  16   8  seq: one more than the record before, across segments
 *  24   8  flushed seq: the newest record known to be on disk when this one was
 *          appended; less than seq
 *  32   .  payload, then zeros up to a multiple of 8
 *
 * Mark (kind 0): payload of 16 bytes
 *
 *   0   8  wall clock, milliseconds since 1970
 *   8   4  1 start of a segment, 2 change of mode, 3 clean end, 4 cut by an operator
 *  12   4  zero
 *
 * A segment opens with a start mark.  The header of one made while the journal
 * was opened carries its first seq, and was flushed together with that mark
 * before the file got its name; the header of one prepared ahead was flushed
 * before it got its name, and carries 0. */
#include "persist/journal_format.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "base/check.h"
#include "base/random.h"

enum { HEADER_SUMMED = 88, HEADER_USED = 96 };
static const uint64_t SEQ_MAX = UINT64_MAX / 4; /* nobody gets there; sums with it do not overflow */
static const char magic[8] = {'K', 'V', 'J', 'O', 'U', 'R', 'N', 'L'};

static_assert(HEADER_USED <= 512, "a header copy fits one sector");
static_assert(JOURNAL_HEADER_COPY_AT * 2 == JOURNAL_HEADER_BYTES, "two copies fill the header block");
static_assert(JOURNAL_HEADER_BYTES % JOURNAL_RECORD_ALIGN == 0, "records are aligned");

static void put16(unsigned char *to, uint16_t value)
{
    value = htole16(value);
    memcpy(to, &value, sizeof value);
}

static void put32(unsigned char *to, uint32_t value)
{
    value = htole32(value);
    memcpy(to, &value, sizeof value);
}

static void put64(unsigned char *to, uint64_t value)
{
    value = htole64(value);
    memcpy(to, &value, sizeof value);
}

static uint16_t get16(const unsigned char *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return le16toh(value);
}

static uint32_t get32(const unsigned char *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return le32toh(value);
}

static uint64_t get64(const unsigned char *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return le64toh(value);
}

void journal_header_encode(const struct journal_header *header, unsigned char bytes[static JOURNAL_HEADER_BYTES])
{
    memset(bytes, 0, JOURNAL_HEADER_BYTES);
    memcpy(bytes, magic, sizeof magic);
    put32(bytes + 8, JOURNAL_FORMAT_VERSION);
    put32(bytes + 12, JOURNAL_HEADER_BYTES);
    put64(bytes + 16, header->number);
    put64(bytes + 24, header->nonce);
    put64(bytes + 32, header->first_seq);
    put64(bytes + 40, header->capacity);
    put64(bytes + 48, (uint64_t)header->created_ms);
    put64(bytes + 56, header->cluster);
    put16(bytes + 64, header->member);
    memcpy(bytes + 72, header->boot, sizeof header->boot);
    put64(bytes + HEADER_SUMMED, XXH3_64bits(bytes, HEADER_SUMMED));
    memcpy(bytes + JOURNAL_HEADER_COPY_AT, bytes, HEADER_USED);
}

static enum journal_header_verdict decode_copy(const unsigned char *bytes, struct journal_header *header,
                                               uint32_t *version)
{
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return JOURNAL_HEADER_FOREIGN;
    *version = get32(bytes + 8);
    if (*version > JOURNAL_FORMAT_VERSION)
        return JOURNAL_HEADER_NEWER;
    if (get64(bytes + HEADER_SUMMED) != XXH3_64bits(bytes, HEADER_SUMMED) || *version != JOURNAL_FORMAT_VERSION ||
        get32(bytes + 12) != JOURNAL_HEADER_BYTES)
        return JOURNAL_HEADER_BAD;
    *header = (struct journal_header){
        .number = get64(bytes + 16),
        .nonce = get64(bytes + 24),
        .first_seq = get64(bytes + 32),
        .capacity = get64(bytes + 40),
        .created_ms = (int64_t)get64(bytes + 48),
        .cluster = get64(bytes + 56),
        .member = get16(bytes + 64),
    };
    memcpy(header->boot, bytes + 72, sizeof header->boot);
    return JOURNAL_HEADER_GOOD;
}

enum journal_header_verdict journal_header_decode(const unsigned char bytes[static JOURNAL_HEADER_BYTES],
                                                  struct journal_header *header, uint32_t *version)
{
    uint32_t versions[2] = {0, 0};
    enum journal_header_verdict first = decode_copy(bytes, header, &versions[0]);
    if (first == JOURNAL_HEADER_GOOD) {
        struct journal_header copy;
        *version = versions[0];
        return decode_copy(bytes + JOURNAL_HEADER_COPY_AT, &copy, &versions[1]) == JOURNAL_HEADER_GOOD
                   ? JOURNAL_HEADER_GOOD
                   : JOURNAL_HEADER_ONE_COPY;
    }
    enum journal_header_verdict second = decode_copy(bytes + JOURNAL_HEADER_COPY_AT, header, &versions[1]);
    if (second == JOURNAL_HEADER_GOOD) {
        *version = versions[1];
        return JOURNAL_HEADER_ONE_COPY;
    }
    *version = versions[0];
    if (first == JOURNAL_HEADER_FOREIGN && second != JOURNAL_HEADER_FOREIGN)
        return JOURNAL_HEADER_BAD;
    return first;
}

static uint16_t tag_of(uint64_t nonce)
{
    return (uint16_t)random_mix(nonce);
}

void journal_record_seal(unsigned char *record, const struct journal_record_head *head, uint64_t nonce)
{
    CHECK(head->seq > head->flushed_seq);
    CHECK(head->length <= JOURNAL_RECORD_MAX);
    put32(record + 8, head->length);
    record[12] = head->kind;
    record[13] = (unsigned char)head->mode;
    put16(record + 14, tag_of(nonce));
    put64(record + 16, head->seq);
    put64(record + 24, head->flushed_seq);
    put64(record, XXH3_64bits_withSeed(record + 8, journal_record_size(head->length) - 8, nonce));
}

bool journal_record_peek(const unsigned char *record, uint64_t nonce, struct journal_record_head *head)
{
    uint32_t length = get32(record + 8);
    uint64_t seq = get64(record + 16), flushed_seq = get64(record + 24);
    if (get16(record + 14) != tag_of(nonce) || record[13] > JOURNAL_NO || length > JOURNAL_RECORD_MAX ||
        flushed_seq >= seq || seq > SEQ_MAX)
        return false;
    *head = (struct journal_record_head){
        .length = length,
        .kind = record[12],
        .mode = (enum journal_mode)record[13],
        .seq = seq,
        .flushed_seq = flushed_seq,
    };
    return true;
}

bool journal_record_is_good(const unsigned char *record, const struct journal_record_head *head, uint64_t nonce)
{
    return get64(record) == XXH3_64bits_withSeed(record + 8, journal_record_size(head->length) - 8, nonce);
}

void journal_mark_encode(enum journal_mark mark, int64_t now_ms, unsigned char bytes[static JOURNAL_MARK_BYTES])
{
    put64(bytes, (uint64_t)now_ms);
    put32(bytes + 8, mark);
    put32(bytes + 12, 0);
}

enum journal_mark journal_mark_decode(struct slice payload, int64_t *when_ms)
{
    if (payload.len != JOURNAL_MARK_BYTES)
        return 0;
    const unsigned char *bytes = (const unsigned char *)payload.ptr;
    uint32_t mark = get32(bytes + 8);
    if (mark < JOURNAL_MARK_START || mark > JOURNAL_MARK_CUT)
        return 0;
    *when_ms = (int64_t)get64(bytes);
    return (enum journal_mark)mark;
}

void journal_segment_name(uint64_t number, char name[static JOURNAL_NAME_MAX])
{
    snprintf(name, JOURNAL_NAME_MAX, "journal-%020" PRIu64 ".kvj", number);
}

void journal_spare_name(uint64_t number, char name[static JOURNAL_NAME_MAX])
{
    snprintf(name, JOURNAL_NAME_MAX, "spare-%020" PRIu64 ".kvj", number);
}

static bool parse_name(const char *name, const char *start, uint64_t *number)
{
    size_t length = strlen(start);
    if (strncmp(name, start, length) != 0 || strlen(name) != length + 24 || strcmp(name + length + 20, ".kvj") != 0)
        return false;
    uint64_t value = 0;
    for (size_t i = length; i < length + 20; i++) {
        if (name[i] < '0' || name[i] > '9' || value > UINT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    *number = value;
    return true;
}

bool journal_segment_name_parse(const char *name, uint64_t *number)
{
    return parse_name(name, "journal-", number);
}

bool journal_spare_name_parse(const char *name, uint64_t *number)
{
    return parse_name(name, "spare-", number);
}
