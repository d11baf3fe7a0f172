/* Goal: nothing a peer sends crashes the decoder of frames, makes it read beyond the
 * bytes, or come to other messages than what they say: what is read, written again and
 * read again is the same.
 * Method: libFuzzer.  The first byte chooses the kind; the rest is the payload of one
 * frame, sealed with a valid checksum, or (kind 0) raw bytes.  Bytes lie in blocks of
 * exactly their size.  A second half of the payload, if it is a chunk, follows the first
 * into the same assembly. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replica/frame.h"

static const struct frame_identity identity = {.sender = 2, .member_count = 3, .cluster = 1, .incarnations = {7, 8, 9}};

static bool is_same(const struct rabia_message *a, const struct rabia_message *b)
{
    if (a->kind != b->kind || a->lane != b->lane || a->value != b->value || a->phase != b->phase || a->lap != b->lap ||
        a->count != b->count || a->clock_ms != b->clock_ms || !a->batch != !b->batch)
        return false;
    return !a->batch || (a->batch->size == b->batch->size && a->batch->clock_ms == b->batch->clock_ms &&
                         a->batch->previous_lap == b->batch->previous_lap &&
                         memcmp(a->batch->bytes, b->batch->bytes, a->batch->size) == 0);
}

static void check_again(const struct frame_messages *read)
{
    struct buf out = {0};
    struct frame frame;
    struct frame_messages again = {0};
    frame_begin(&out, FRAME_MESSAGES, &identity);
    for (size_t i = 0; i < read->count; i++)
        frame_add_message(&out, &read->messages[i]);
    frame_end(&out, 0);
    CHECK(frame_parse(buf_head(&out), buf_size(&out), &frame) == STATUS_OK);
    CHECK(frame_read_messages(&frame, &again) == STATUS_OK);
    CHECK(again.count == read->count);
    for (size_t i = 0; i < read->count; i++)
        CHECK(is_same(&read->messages[i], &again.messages[i]));
    frame_messages_deinit(&again);
    buf_deinit(&out);
}

static void check_claim(const struct frame *read)
{
    struct formation_claim claim;
    if (frame_read_claim(read, &claim) != STATUS_OK)
        return;
    CHECK(claim.stage < FORMATION_STAGE_END);
    struct buf out = {0};
    frame_add_claim(&out, &claim);
    CHECK(buf_size(&out) == (size_t)(read->end - read->payload));
    CHECK(memcmp(buf_head(&out), read->payload, buf_size(&out)) == 0);
    buf_deinit(&out);
}

static void check_snapshot_frames(const struct frame *frame)
{
    struct frame_ask ask;
    struct slice bytes;
    uint64_t number;
    enum frame_snapshot_end end;
    struct buf out = {0};
    if (frame_read_ask(frame, &ask) == STATUS_OK) {
        frame_add_ask(&out, &ask);
        CHECK(slice_equal(buf_slice(&out), slice_make(frame->payload, (size_t)(frame->end - frame->payload))));
    }
    if (frame_read_piece(frame, &number, &bytes) == STATUS_OK)
        CHECK(bytes.ptr + bytes.len == frame->end);
    if (frame_read_snapshot_end(frame, &number, &end) == STATUS_OK)
        CHECK(end < FRAME_SNAPSHOT_END_END);
    buf_deinit(&out);
}

static void read_frame(const struct frame *frame, struct frame_assembly *assembly)
{
    struct frame_messages messages = {0};
    struct frame_digest digest;
    uint64_t word;
    enum status status = frame_read_messages(frame, &messages);
    CHECK(messages.count <= (size_t)(frame->end - frame->payload));
    if (status == STATUS_OK)
        check_again(&messages);
    frame_messages_deinit(&messages);
    if (frame_read_digest(frame, &digest) == STATUS_OK)
        CHECK(digest.part < digest.part_count);
    check_claim(frame);
    (void)!frame_read_word(frame, &word);
    check_snapshot_frames(frame);
    switch (frame_read_chunk(frame, assembly)) {
    case STATUS_OK:
        CHECK(assembly->message.batch);
        frame_assembly_reset(assembly);
        break;
    case STATUS_AGAIN:
        CHECK(assembly->received < assembly->message.batch->size);
        break;
    default:
        frame_assembly_reset(assembly); /* the link is closed */
    }
}

/* The bytes, in a block of their own size, so that what is read beyond them is seen. */
static void parse(const void *bytes, size_t size, struct frame_assembly *assembly)
{
    char *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    struct frame frame;
    if (frame_parse(exact, size, &frame) == STATUS_OK) {
        CHECK(frame.size <= size);
        CHECK(frame.payload <= frame.end);
        read_frame(&frame, assembly);
    }
    free(exact);
}

static void seal_and_parse(enum frame_kind kind, const uint8_t *payload, size_t size, struct frame_assembly *assembly)
{
    struct buf out = {0};
    frame_begin(&out, kind, &identity);
    buf_append(&out, payload, size);
    frame_end(&out, 0);
    parse(buf_head(&out), buf_size(&out), assembly);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t kind = data[0] % FRAME_KIND_END;
    struct frame_assembly assembly = {0};
    data++, size--;
    if (kind == 0) {
        parse(data, size, &assembly);
    } else {
        size_t first = kind == FRAME_CHUNK ? size / 2 : size;
        seal_and_parse(kind, data, first, &assembly);
        seal_and_parse(kind, data + first, size - first, &assembly);
    }
    frame_assembly_reset(&assembly);
    return 0;
}
