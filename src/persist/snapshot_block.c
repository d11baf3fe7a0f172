#include "persist/snapshot_block.h"

#include "base/check.h"
#include "persist/snapshot_format.h"

enum {
    KIND_TYPE_MASK = 0x07,
    KIND_GOES_ON = 0x08,
    KIND_ENCODING_MASK = 0x30,
    KIND_ENCODING_SHIFT = 4,
    KIND_EXPIRES = 0x40,
    TOKEN_REPEAT = 0x80, /* the low bits: how often, less one */
    REPEATS_MAX = 128,
    VARINT_BYTES_MAX = 10,
    SHAPE_BYTES_MAX = 1 + 5 + 5,
    INT_BYTES_MAX = 8,
};

static_assert(SNAPSHOT_STRING_MAX < (uint64_t)1 << 35, "a length takes 5 bytes");

/* The encodings of each type, by the number they have in a token. */
enum { FORMS_MAX = 4, NO_FORM = -1 };
static const int forms[SNAPSHOT_TYPE_COUNT][FORMS_MAX] = {
    [VALUE_STRING] = {ENCODING_INT, ENCODING_EMBSTR, ENCODING_RAW, NO_FORM},
    [VALUE_LIST] = {ENCODING_SMALL_LIST, ENCODING_QUICKLIST, NO_FORM, NO_FORM},
    [VALUE_SET] = {ENCODING_INTSET, ENCODING_SMALL_SET, ENCODING_HASHTABLE, NO_FORM},
    [VALUE_ZSET] = {ENCODING_LISTPACK, ENCODING_SKIPLIST, NO_FORM, NO_FORM},
    [VALUE_HASH] = {ENCODING_LISTPACK, ENCODING_HASHTABLE, NO_FORM, NO_FORM},
    [VALUE_STREAM] = {ENCODING_STREAM, NO_FORM, NO_FORM, NO_FORM},
};

static unsigned form_of(const struct keyspace_item *item)
{
    unsigned form = 0;
    while (forms[item->type][form] != (int)item->encoding) {
        form++;
        CHECK(form < FORMS_MAX);
    }
    return form;
}

/* --- numbers --------------------------------------------------------------- */

/* Seven bits per byte, the lowest first; the high bit says that more follow. */
static void put_varint(struct buf *to, uint64_t word)
{
    char *begin = buf_reserve(to, VARINT_BYTES_MAX), *at = begin;
    for (; word >= 0x80; word >>= 7)
        *at++ = (char)(unsigned char)(word | 0x80);
    *at++ = (char)(unsigned char)word;
    buf_extend(to, (size_t)(at - begin));
}

static bool get_varint(const char **at, const char *end, uint64_t *word)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint64_t byte = (unsigned char)*(*at)++;
        if (shift == 63 && byte > 1)
            return false;
        value |= (byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *word = value;
            return true;
        }
    }
    return false;
}

/* Small for numbers near zero on either side; exact modulo 2^64. */
static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (0 - (difference >> 63));
}

static uint64_t unzigzag(uint64_t word)
{
    return word >> 1 ^ (0 - (word & 1));
}

/* Bytes of the two's complement, sign included; 0 takes none. */
static unsigned int_bytes(int64_t value)
{
    uint64_t magnitude = value < 0 ? ~(uint64_t)value : (uint64_t)value;
    if (value == 0)
        return 0;
    return magnitude == 0 ? 1 : (unsigned)(64 - __builtin_clzll(magnitude)) / 8 + 1;
}

static int64_t get_int(const char *at, unsigned bytes)
{
    if (bytes == 0)
        return 0;
    unsigned unused = 64 - 8 * bytes;
    return (int64_t)(get_le(at, bytes) << unused) >> unused;
}

/* --- writing --------------------------------------------------------------- */

void snapshot_block_init(struct snapshot_block *block, int64_t base_ms)
{
    *block = (struct snapshot_block){.base_ms = base_ms};
}

void snapshot_block_deinit(struct snapshot_block *block)
{
    buf_deinit(&block->data);
    buf_deinit(&block->shapes);
    buf_deinit(&block->expiries);
}

void snapshot_block_clear(struct snapshot_block *block)
{
    buf_clear(&block->data);
    buf_clear(&block->shapes);
    buf_clear(&block->expiries);
    block->keys = 0;
    block->repeats = 0;
}

size_t snapshot_block_bound(const struct snapshot_block *block, const struct keyspace_item *item)
{
    size_t held = buf_size(&block->data) + buf_size(&block->shapes) + buf_size(&block->expiries);
    size_t value = item->encoding == ENCODING_INT ? INT_BYTES_MAX : item->bytes.len;
    return held + item->key.len + value + SHAPE_BYTES_MAX + VARINT_BYTES_MAX + 1 /* repeats pending */;
}

static struct snapshot_shape shape_of(const struct keyspace_item *item)
{
    bool is_int = item->encoding == ENCODING_INT;
    CHECK(item->key.len <= SNAPSHOT_STRING_MAX);
    CHECK(is_int || item->bytes.len <= SNAPSHOT_STRING_MAX);
    unsigned kind = (unsigned)item->type | form_of(item) << KIND_ENCODING_SHIFT;
    if (item->goes_on)
        kind |= KIND_GOES_ON;
    if (item->expire_at != EXPIRE_NONE)
        kind |= KIND_EXPIRES;
    return (struct snapshot_shape){(uint8_t)kind, (uint32_t)item->key.len,
                                   is_int ? int_bytes(item->integer) : (uint32_t)item->bytes.len};
}

static bool shapes_equal(struct snapshot_shape a, struct snapshot_shape b)
{
    return a.kind == b.kind && a.key_bytes == b.key_bytes && a.value_bytes == b.value_bytes;
}

void snapshot_block_finish(struct snapshot_block *block)
{
    if (block->repeats == 0)
        return;
    char token = (char)(unsigned char)(TOKEN_REPEAT | (block->repeats - 1));
    buf_append(&block->shapes, &token, 1);
    block->repeats = 0;
}

static void put_shape(struct snapshot_block *block, struct snapshot_shape shape)
{
    if (block->keys > 0 && shapes_equal(shape, block->last)) {
        if (++block->repeats == REPEATS_MAX)
            snapshot_block_finish(block);
        return;
    }
    snapshot_block_finish(block);
    buf_append(&block->shapes, &shape.kind, 1);
    put_varint(&block->shapes, shape.key_bytes);
    put_varint(&block->shapes, shape.value_bytes);
    block->last = shape;
}

void snapshot_block_put_shape(struct snapshot_block *block, const struct keyspace_item *item)
{
    put_shape(block, shape_of(item));
    if (item->expire_at != EXPIRE_NONE)
        put_varint(&block->expiries, zigzag((uint64_t)item->expire_at - (uint64_t)block->base_ms));
    block->keys++;
}

void snapshot_block_put(struct snapshot_block *block, const struct keyspace_item *item)
{
    snapshot_block_put_shape(block, item);
    buf_append_slice(&block->data, item->key);
    if (item->encoding == ENCODING_INT) {
        char *at = buf_reserve(&block->data, INT_BYTES_MAX);
        put_le(at, (uint64_t)item->integer, INT_BYTES_MAX);
        buf_extend(&block->data, block->last.value_bytes);
    } else {
        buf_append_slice(&block->data, item->bytes);
    }
}

/* --- reading --------------------------------------------------------------- */

static bool next_shape(struct snapshot_block_reader *r)
{
    if (r->repeats > 0) {
        r->repeats--;
        return true;
    }
    if (r->shape == r->shape_end)
        return false;
    unsigned token = (unsigned char)*r->shape++;
    if (token & TOKEN_REPEAT) {
        r->repeats = token & (REPEATS_MAX - 1);
        return r->has_shape;
    }
    uint64_t key_bytes, value_bytes;
    if (!get_varint(&r->shape, r->shape_end, &key_bytes) || !get_varint(&r->shape, r->shape_end, &value_bytes))
        return false;
    if (key_bytes > SNAPSHOT_STRING_MAX || value_bytes > SNAPSHOT_STRING_MAX)
        return false;
    r->last = (struct snapshot_shape){(uint8_t)token, (uint32_t)key_bytes, (uint32_t)value_bytes};
    r->has_shape = true;
    return true;
}

static bool next_bytes(struct snapshot_block_reader *r, size_t size, struct slice *bytes)
{
    if ((size_t)(r->data_end - r->data) < size)
        return false;
    *bytes = slice_make(r->data, size);
    r->data += size;
    return true;
}

static bool next_expiry(struct snapshot_block_reader *r, int64_t *expire_at)
{
    uint64_t word;
    if (!get_varint(&r->expiry, r->expiry_end, &word))
        return false;
    *expire_at = (int64_t)((uint64_t)r->base_ms + unzigzag(word));
    return *expire_at >= 0;
}

bool snapshot_block_next(struct snapshot_block_reader *r, struct keyspace_item *item)
{
    struct slice value;
    if (!next_shape(r) || !next_bytes(r, r->last.key_bytes, &item->key) ||
        !next_bytes(r, r->last.value_bytes, &value))
        return false;
    unsigned type = r->last.kind & KIND_TYPE_MASK;
    int encoding = type < SNAPSHOT_TYPE_COUNT
                       ? forms[type][(r->last.kind & KIND_ENCODING_MASK) >> KIND_ENCODING_SHIFT]
                       : NO_FORM;
    if (encoding == NO_FORM)
        return false;
    item->type = (enum value_type)type;
    item->encoding = (enum value_encoding)encoding;
    item->goes_on = r->last.kind & KIND_GOES_ON;
    item->expire_at = EXPIRE_NONE;
    item->integer = 0;
    item->bytes = value;
    if (r->last.kind & KIND_EXPIRES && !next_expiry(r, &item->expire_at))
        return false;
    if (item->encoding == ENCODING_INT) {
        if (value.len > INT_BYTES_MAX)
            return false;
        item->integer = get_int(value.ptr, (unsigned)value.len);
        if (int_bytes(item->integer) != value.len)
            return false;
        item->bytes = slice_make(NULL, 0);
    }
    return keyspace_item_is_valid(item);
}

bool snapshot_block_is_done(const struct snapshot_block_reader *r)
{
    return r->repeats == 0 && r->data == r->data_end && r->shape == r->shape_end && r->expiry == r->expiry_end;
}
