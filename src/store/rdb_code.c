#include "store/rdb_code.h"

#include <liblzf/lzf.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum {
    LENGTH_6 = 0x00,
    LENGTH_14 = 0x40,
    LENGTH_32 = 0x80,
    LENGTH_64 = 0x81,
    CODED = 0xc0, /* what follows is no length */
    CODED_INT8 = 0xc0,
    CODED_INT16 = 0xc1,
    CODED_INT32 = 0xc2,
    CODED_LZF = 0xc3,
    INTEGER_TEXT_MAX = 11, /* longer ones are no 32-bit integers */
    COMPRESSED_FROM = 21,  /* bytes; Redis tries no shorter strings */
    COMPRESSED_GAIN = 4,   /* bytes that must be saved */
    LZF_RATIO_MAX = 264,   /* three bytes of LZF become at most so many */
};

/* --- writing ----------------------------------------------------------------- */

static void write_byte(struct buf *out, unsigned value)
{
    char byte = (char)(unsigned char)value;
    buf_append(out, &byte, 1);
}

static void write_big_endian(struct buf *out, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        write_byte(out, (unsigned)(value >> (8 * bytes)) & 0xff);
}

static void write_little_endian(struct buf *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        write_byte(out, (unsigned)(value >> (8 * i)) & 0xff);
}

void rdb_write_length(struct buf *out, uint64_t length)
{
    if (length < 1 << 6) {
        write_byte(out, LENGTH_6 | (unsigned)length);
    } else if (length < 1 << 14) {
        write_big_endian(out, LENGTH_14 << 8 | length, 2);
    } else if (length <= UINT32_MAX) {
        write_byte(out, LENGTH_32);
        write_big_endian(out, length, 4);
    } else {
        write_byte(out, LENGTH_64);
        write_big_endian(out, length, 8);
    }
}

static bool write_integer(struct buf *out, struct slice bytes)
{
    int64_t value;
    if (bytes.len > INTEGER_TEXT_MAX || !slice_to_int64(bytes, &value) || value < INT32_MIN || value > INT32_MAX)
        return false;
    unsigned code = value == (int8_t)value ? CODED_INT8 : value == (int16_t)value ? CODED_INT16 : CODED_INT32;
    write_byte(out, code);
    write_little_endian(out, (uint64_t)value, 1U << (code - CODED_INT8));
    return true;
}

static bool write_compressed(struct buf *out, struct slice bytes)
{
    if (bytes.len < COMPRESSED_FROM || bytes.len > RDB_STRING_MAX)
        return false;
    unsigned room = (unsigned)bytes.len - COMPRESSED_GAIN;
    char *shorter = mem_alloc(room);
    unsigned size = lzf_compress(bytes.ptr, (unsigned)bytes.len, shorter, room);
    if (size > 0) {
        write_byte(out, CODED_LZF);
        rdb_write_length(out, size);
        rdb_write_length(out, bytes.len);
        buf_append(out, shorter, size);
    }
    mem_free_sized(shorter, room);
    return size > 0;
}

void rdb_write_string(struct buf *out, struct slice bytes)
{
    if (write_integer(out, bytes) || write_compressed(out, bytes))
        return;
    rdb_write_length(out, bytes.len);
    buf_append_slice(out, bytes);
}

void rdb_write_word(struct buf *out, uint64_t value)
{
    write_little_endian(out, value, 8);
}

void rdb_write_double(struct buf *out, double value)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    rdb_write_word(out, word);
}

/* --- reading ----------------------------------------------------------------- */

bool rdb_read_bytes(struct rdb_reader *r, size_t count, struct slice *bytes)
{
    if (count > (size_t)(r->end - r->at))
        return false;
    *bytes = slice_make(r->at, count);
    r->at += count;
    return true;
}

static uint64_t big_endian(struct slice bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (unsigned char)bytes.ptr[i];
    return value;
}

static uint64_t little_endian(struct slice bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes.len; i-- > 0;)
        value = value << 8 | (unsigned char)bytes.ptr[i];
    return value;
}

/* A length of which first is the first byte, read already. */
static bool read_rest_of_length(struct rdb_reader *r, unsigned first, uint64_t *length)
{
    struct slice rest;
    if (first < LENGTH_14) {
        *length = first;
        return true;
    }
    size_t count = first < LENGTH_32 ? 1 : first == LENGTH_32 ? 4 : first == LENGTH_64 ? 8 : 0;
    if (count == 0 || !rdb_read_bytes(r, count, &rest))
        return false;
    *length = big_endian(rest);
    if (count == 1)
        *length |= (uint64_t)(first & 0x3f) << 8;
    return true;
}

bool rdb_read_length(struct rdb_reader *r, uint64_t *length)
{
    struct slice first;
    return rdb_read_bytes(r, 1, &first) && read_rest_of_length(r, (unsigned char)*first.ptr, length);
}

static bool read_integer(struct rdb_reader *r, unsigned bytes, struct rdb_text *t)
{
    struct slice raw;
    if (!rdb_read_bytes(r, bytes, &raw))
        return false;
    unsigned unused = 64 - 8 * bytes;
    int64_t value = (int64_t)(little_endian(raw) << unused) >> unused;
    t->bytes = slice_make(t->scratch, int64_to_text(value, t->scratch));
    return true;
}

static bool read_compressed(struct rdb_reader *r, struct rdb_text *t)
{
    uint64_t packed, size;
    struct slice raw;
    if (!rdb_read_length(r, &packed) || !rdb_read_length(r, &size) || packed > (size_t)(r->end - r->at) ||
        !rdb_read_bytes(r, (size_t)packed, &raw))
        return false;
    if (size == 0 || size > RDB_STRING_MAX || packed > RDB_STRING_MAX || size > packed * LZF_RATIO_MAX)
        return false;
    char *bytes = mem_alloc((size_t)size);
    if (lzf_decompress(raw.ptr, (unsigned)packed, bytes, (unsigned)size) != size) {
        mem_free(bytes);
        return false;
    }
    t->owned = bytes;
    t->bytes = slice_make(bytes, (size_t)size);
    return true;
}

bool rdb_read_string(struct rdb_reader *r, struct rdb_text *t)
{
    struct slice first;
    uint64_t length;
    t->owned = NULL;
    if (!rdb_read_bytes(r, 1, &first))
        return false;
    unsigned code = (unsigned char)*first.ptr;
    if (code == CODED_LZF)
        return read_compressed(r, t);
    if (code >= CODED)
        return code <= CODED_INT32 && read_integer(r, 1U << (code - CODED_INT8), t);
    return read_rest_of_length(r, code, &length) && length <= RDB_STRING_MAX &&
           rdb_read_bytes(r, (size_t)length, &t->bytes);
}

void rdb_text_free(struct rdb_text *t)
{
    mem_free(t->owned);
    t->owned = NULL;
}

bool rdb_read_word(struct rdb_reader *r, uint64_t *value)
{
    struct slice raw;
    if (!rdb_read_bytes(r, 8, &raw))
        return false;
    *value = little_endian(raw);
    return true;
}

bool rdb_read_double(struct rdb_reader *r, double *value)
{
    uint64_t word;
    if (!rdb_read_word(r, &word))
        return false;
    memcpy(value, &word, sizeof *value);
    return !isnan(*value);
}

/* --- the checksum --------------------------------------------------------------- */

/* The remainder of a byte is the sum of those of its bits. */
#define BIT(byte, i, remainder) ((byte) >> (i) & 1 ? UINT64_C(remainder) : 0)
#define BYTE(b)                                                                                              \
    BIT(b, 0, 0x7ad870c830358979) ^ BIT(b, 1, 0xf5b0e190606b12f2) ^ BIT(b, 2, 0xc038e5739841b68f) ^          \
        BIT(b, 3, 0xab28ecb46814fe75) ^ BIT(b, 4, 0x7d08ff3b88be6f81) ^ BIT(b, 5, 0xfa11fe77117cdf02) ^      \
        BIT(b, 6, 0xdf7adabd7a6e2d6f) ^ BIT(b, 7, 0x95ac9329ac4bc9b5)
#define BYTES_4(b)  BYTE(b), BYTE((b) + 1), BYTE((b) + 2), BYTE((b) + 3)
#define BYTES_16(b) BYTES_4(b), BYTES_4((b) + 4), BYTES_4((b) + 8), BYTES_4((b) + 12)
#define BYTES_64(b) BYTES_16(b), BYTES_16((b) + 16), BYTES_16((b) + 32), BYTES_16((b) + 48)

static const uint64_t remainders[256] = {BYTES_64(0), BYTES_64(64), BYTES_64(128), BYTES_64(192)};

uint64_t rdb_checksum(struct slice bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.len; i++)
        sum = remainders[(sum ^ (unsigned char)bytes.ptr[i]) & 0xff] ^ sum >> 8;
    return sum;
}
