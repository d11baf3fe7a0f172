#include "replica/frame.h"

#include <xxhash.h>

#include "base/alloc.h"
#include "base/varint.h"
#include "consensus/message_code.h"

enum { CHECKSUM_OFFSET = 8 };

static void put_u16(char *at, uint16_t value)
{
    for (int i = 0; i < 2; i++)
        at[i] = (char)(value >> (8 * i));
}

static void put_u32(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

static void put_u64(char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (char)(value >> (8 * i));
}

static uint64_t get_uint(const char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | (unsigned char)at[i];
    return value;
}

static uint64_t checksum(const char *frame, size_t size)
{
    return XXH3_64bits_withSeed(frame + 16, size - 16, get_uint(frame, 8));
}

/* --- writing -------------------------------------------------------------- */

size_t frame_begin(struct buf *out, enum frame_kind kind, const struct frame_identity *identity)
{
    size_t begin = buf_size(out);
    char *at = buf_reserve(out, FRAME_HEADER_BYTES + 8u * identity->member_count);
    put_u32(at, 0);
    at[4] = (char)kind;
    at[5] = (char)identity->member_count;
    put_u16(at + 6, identity->sender);
    put_u64(at + CHECKSUM_OFFSET, 0);
    put_u64(at + 16, identity->cluster);
    for (int i = 0; i < identity->member_count; i++)
        put_u64(at + FRAME_HEADER_BYTES + 8 * i, identity->incarnations[i]);
    buf_extend(out, FRAME_HEADER_BYTES + 8u * identity->member_count);
    return begin;
}

void frame_end(struct buf *out, size_t begin)
{
    size_t size = frame_size(out, begin);
    CHECK(size <= FRAME_BYTES_MAX);
    char *frame = buf_head(out) + begin;
    put_u32(frame, (uint32_t)(size - FRAME_HEADER_BYTES));
    put_u64(frame + CHECKSUM_OFFSET, checksum(frame, size));
}

void frame_add_message(struct buf *out, const struct rabia_message *message)
{
    size_t contents = message->batch ? message->batch->size : 0;
    char *begin = buf_reserve(out, MESSAGE_HEAD_MAX + contents);
    char *at = message_write_head(begin, message);
    if (contents)
        memcpy(at, message->batch->bytes, contents);
    buf_extend(out, (size_t)(at - begin) + contents);
}

size_t frame_add_chunk(struct buf *out, const struct rabia_message *message, size_t offset)
{
    size_t total = message->batch->size;
    CHECK(offset < total);
    size_t size = total - offset < FRAME_CHUNK_BYTES ? total - offset : FRAME_CHUNK_BYTES;
    char *begin = buf_reserve(out, 2 * VARINT_MAX + MESSAGE_HEAD_MAX + size);
    char *at = varint_write(begin, total);
    at = varint_write(at, offset);
    if (offset == 0)
        at = message_write_head(at, message);
    memcpy(at, message->batch->bytes + offset, size);
    buf_extend(out, (size_t)(at - begin) + size);
    return size;
}

void frame_add_word(struct buf *out, uint64_t word)
{
    put_u64(buf_reserve(out, 8), word);
    buf_extend(out, 8);
}

void frame_add_byte(struct buf *out, uint8_t byte)
{
    buf_append(out, &byte, 1);
}

void frame_add_digest(struct buf *out, const struct frame_digest *digest)
{
    char *begin = buf_reserve(out, 3 * VARINT_MAX);
    char *at = varint_write(begin, digest->boundary);
    at = varint_write(at, digest->part);
    at = varint_write(at, digest->part_count);
    buf_extend(out, (size_t)(at - begin));
    frame_add_word(out, digest->digest.low);
    frame_add_word(out, digest->digest.high);
}

void frame_add_ask(struct buf *out, const struct frame_ask *ask)
{
    frame_add_word(out, ask->number);
    frame_add_word(out, ask->lap);
    frame_add_word(out, ask->position);
    frame_add_byte(out, ask->is_former_bad);
}

void frame_add_snapshot_end(struct buf *out, uint64_t number, enum frame_snapshot_end end)
{
    frame_add_word(out, number);
    frame_add_byte(out, (uint8_t)end);
}

/* --- reading -------------------------------------------------------------- */

enum status frame_parse(const char *bytes, size_t len, struct frame *frame)
{
    if (len < FRAME_HEADER_BYTES)
        return STATUS_AGAIN;
    uint64_t length = get_uint(bytes, 4);
    uint8_t kind = (uint8_t)bytes[4], members = (uint8_t)bytes[5];
    if (length > FRAME_BYTES_MAX)
        return STATUS_TOO_LARGE;
    if (kind == 0 || kind >= FRAME_KIND_END || members > RABIA_MEMBERS_MAX || length < 8u * members)
        return STATUS_MALFORMED;
    size_t size = FRAME_HEADER_BYTES + length;
    if (len < size)
        return STATUS_AGAIN;
    if (checksum(bytes, size) != get_uint(bytes + CHECKSUM_OFFSET, 8))
        return STATUS_MALFORMED;
    frame->kind = kind;
    frame->identity.member_count = members;
    frame->identity.sender = (uint16_t)get_uint(bytes + 6, 2);
    frame->identity.cluster = get_uint(bytes + 16, 8);
    for (int i = 0; i < members; i++)
        frame->identity.incarnations[i] = get_uint(bytes + FRAME_HEADER_BYTES + 8 * i, 8);
    frame->payload = bytes + FRAME_HEADER_BYTES + 8 * members;
    frame->end = bytes + size;
    frame->size = size;
    return STATUS_OK;
}

static struct rabia_message *next_message(struct frame_messages *messages)
{
    if (messages->count == messages->capacity) {
        messages->capacity = messages->capacity ? messages->capacity * 2 : 32;
        messages->messages =
            mem_realloc(messages->messages, messages->capacity * sizeof *messages->messages);
    }
    return &messages->messages[messages->count];
}

enum status frame_read_messages(const struct frame *frame, struct frame_messages *messages)
{
    const char *at = frame->payload;
    while (at < frame->end) {
        struct rabia_message *message = next_message(messages);
        at = message_read_head(at, frame->end, message, (size_t)(frame->end - at));
        if (!at)
            return STATUS_MALFORMED;
        messages->count++;
        if (message->batch) {
            if (message->batch->size > (size_t)(frame->end - at))
                return STATUS_MALFORMED;
            if (message->batch->size)
                memcpy(message->batch->bytes, at, message->batch->size);
            at += message->batch->size;
        }
    }
    return STATUS_OK;
}

void frame_messages_clear(struct frame_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++)
        batch_release(messages->messages[i].batch);
    messages->count = 0;
}

void frame_messages_deinit(struct frame_messages *messages)
{
    frame_messages_clear(messages);
    mem_free(messages->messages);
    *messages = (struct frame_messages){0};
}

void frame_assembly_reset(struct frame_assembly *assembly)
{
    batch_release(assembly->message.batch);
    *assembly = (struct frame_assembly){0};
}

static const char *begin_assembly(const char *at, const char *end, uint64_t total,
                                  struct frame_assembly *assembly)
{
    frame_assembly_reset(assembly);
    /* A batch this long was agreed to be legal by its owner's limits; what is
     * refused here is only what no owner may send. */
    at = message_read_head(at, end, &assembly->message, BATCH_BYTES_MAX);
    if (!at || !assembly->message.batch || assembly->message.batch->size != total) {
        frame_assembly_reset(assembly);
        return NULL;
    }
    return at;
}

enum status frame_read_chunk(const struct frame *frame, struct frame_assembly *assembly)
{
    uint64_t total, offset;
    const char *at = varint_read(frame->payload, frame->end, &total);
    if (!at || !(at = varint_read(at, frame->end, &offset)))
        return STATUS_MALFORMED;
    if (offset == 0 && !(at = begin_assembly(at, frame->end, total, assembly)))
        return STATUS_MALFORMED;
    size_t size = (size_t)(frame->end - at);
    struct batch *batch = assembly->message.batch;
    if (!batch || batch->size != total || offset != assembly->received || size == 0 || size > total - offset)
        return STATUS_MALFORMED;
    memcpy(batch->bytes + offset, at, size);
    assembly->received += size;
    if (assembly->received < total)
        return STATUS_AGAIN;
    assembly->received = 0;
    return STATUS_OK;
}

enum { CLAIM_BYTES = 2 + 8 * 8 };

void frame_add_claim(struct buf *out, const struct formation_claim *claim)
{
    frame_add_byte(out, (uint8_t)claim->stage);
    frame_add_byte(out, claim->has_memory);
    frame_add_word(out, claim->epoch);
    frame_add_word(out, claim->seed);
    frame_add_word(out, claim->position);
    frame_add_word(out, claim->future);
    frame_add_word(out, claim->secret[0]);
    frame_add_word(out, claim->secret[1]);
    frame_add_word(out, claim->roster);
    frame_add_word(out, claim->forced);
}

enum status frame_read_claim(const struct frame *frame, struct formation_claim *claim)
{
    const char *at = frame->payload;
    if (frame->end - at != CLAIM_BYTES || (uint8_t)at[0] >= FORMATION_STAGE_END || (uint8_t)at[1] > 1)
        return STATUS_MALFORMED;
    claim->stage = (uint8_t)at[0];
    claim->has_memory = at[1] != 0;
    claim->epoch = get_uint(at + 2, 8);
    claim->seed = get_uint(at + 10, 8);
    claim->position = get_uint(at + 18, 8);
    claim->future = get_uint(at + 26, 8);
    claim->secret[0] = get_uint(at + 34, 8);
    claim->secret[1] = get_uint(at + 42, 8);
    claim->roster = get_uint(at + 50, 8);
    claim->forced = get_uint(at + 58, 8);
    return STATUS_OK;
}

enum status frame_read_ask(const struct frame *frame, struct frame_ask *ask)
{
    const char *at = frame->payload;
    if (frame->end - at != 3 * 8 + 1 || (uint8_t)at[24] > 1)
        return STATUS_MALFORMED;
    *ask = (struct frame_ask){get_uint(at, 8), get_uint(at + 8, 8), get_uint(at + 16, 8), at[24] != 0};
    return STATUS_OK;
}

enum status frame_read_piece(const struct frame *frame, uint64_t *number, struct slice *bytes)
{
    if (frame->end - frame->payload < 8)
        return STATUS_MALFORMED;
    *number = get_uint(frame->payload, 8);
    *bytes = slice_make(frame->payload + 8, (size_t)(frame->end - frame->payload) - 8);
    return STATUS_OK;
}

enum status frame_read_snapshot_end(const struct frame *frame, uint64_t *number, enum frame_snapshot_end *end)
{
    const char *at = frame->payload;
    if (frame->end - at != 9 || (uint8_t)at[8] >= FRAME_SNAPSHOT_END_END)
        return STATUS_MALFORMED;
    *number = get_uint(at, 8);
    *end = (uint8_t)at[8];
    return STATUS_OK;
}

enum status frame_read_word(const struct frame *frame, uint64_t *word)
{
    if (frame->end - frame->payload != 8)
        return STATUS_MALFORMED;
    *word = get_uint(frame->payload, 8);
    return STATUS_OK;
}

enum status frame_read_digest(const struct frame *frame, struct frame_digest *digest)
{
    uint64_t boundary, part, part_count;
    const char *at = frame->payload;
    if (!(at = varint_read(at, frame->end, &boundary)) || !(at = varint_read(at, frame->end, &part)) ||
        !(at = varint_read(at, frame->end, &part_count)) || frame->end - at != 16)
        return STATUS_MALFORMED;
    if (part_count == 0 || part_count > UINT32_MAX || part >= part_count)
        return STATUS_MALFORMED;
    digest->boundary = boundary;
    digest->part = (uint32_t)part;
    digest->part_count = (uint32_t)part_count;
    digest->digest.low = get_uint(at, 8);
    digest->digest.high = get_uint(at + 8, 8);
    return STATUS_OK;
}
