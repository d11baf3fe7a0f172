/* Goal: what replicas send each other is read as it was written, and nothing a
 * broken or hostile peer sends is read otherwise, read beyond its end, or makes
 * memory grow: frame.h byte by byte.
 *
 * Method: round trips of every kind; every prefix, and every flipped bit, of each,
 * against an unreadable page; payloads that lie about their lengths under a valid
 * checksum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../resp/guarded.h"
#include "replica/batch_code.h"
#include "replica/frame.h"

static const struct frame_identity identity = {
    .sender = 513, .member_count = 3, .cluster = 77, .incarnations = {11, 0, UINT64_MAX}};

static struct batch *batch_of(const char *bytes, size_t size)
{
    struct batch *batch = batch_create(size);
    memcpy(batch->bytes, bytes, size);
    batch->clock_ms = 1700000000123;
    batch->previous_lap = 41;
    return batch;
}

/* One of every kind, at the edges of their numbers. */
enum { MESSAGES = RABIA_KIND_END };
static void fill_messages(struct rabia_message messages[MESSAGES])
{
    for (uint8_t kind = 1; kind < RABIA_KIND_END; kind++)
        messages[kind - 1] = (struct rabia_message){
            .kind = kind, .lane = (uint8_t)(kind % 9), .value = (uint8_t)(kind % 3), .lap = (uint64_t)kind << 50, .count = kind};
    messages[RABIA_PROPOSAL - 1].batch = batch_of("SET a 1", 7);
    messages[RABIA_CONTENTS - 1].batch = batch_create(0);
    messages[RABIA_STATE - 1].phase = UINT32_MAX;
    messages[RABIA_VOTE - 1].phase = 1;
    messages[RABIA_CLOCK_REFUSED - 1].clock_ms = UINT64_MAX;
    messages[RABIA_KIND_END - 1] = (struct rabia_message){
        .kind = RABIA_DECIDED, .value = RABIA_BATCH, .lap = UINT64_MAX, .count = 1, .batch = batch_of("", 0)};
}

static void release(struct rabia_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        batch_release(messages[i].batch);
}

static void assert_same_batch(const struct batch *a, const struct batch *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (!a)
        return;
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->bytes, b->bytes, a->size);
    assert_int_equal(a->clock_ms, b->clock_ms);
    assert_int_equal(a->previous_lap, b->previous_lap);
}

static void assert_same_message(const struct rabia_message *a, const struct rabia_message *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->lane, b->lane);
    assert_int_equal(a->value, b->value);
    assert_int_equal(a->phase, b->phase);
    assert_int_equal(a->lap, b->lap);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->clock_ms, b->clock_ms);
    assert_same_batch(a->batch, b->batch);
}

/* A frame of this kind with this payload and a checksum that is right. */
static void seal(struct buf *out, enum frame_kind kind, const void *payload, size_t size)
{
    size_t begin = frame_begin(out, kind, &identity);
    buf_append(out, payload, size);
    frame_end(out, begin);
}

static void write_all_messages(struct buf *out, const struct rabia_message messages[MESSAGES])
{
    size_t begin = frame_begin(out, FRAME_MESSAGES, &identity);
    for (int i = 0; i < MESSAGES; i++)
        frame_add_message(out, &messages[i]);
    frame_end(out, begin);
}

/* --- round trips ------------------------------------------------------------ */

static void assert_identity(const struct frame *frame, enum frame_kind kind)
{
    assert_int_equal(frame->kind, kind);
    assert_int_equal(frame->identity.sender, identity.sender);
    assert_int_equal(frame->identity.member_count, 3);
    assert_int_equal(frame->identity.cluster, 77);
    assert_memory_equal(frame->identity.incarnations, identity.incarnations, 24);
}

static void test_messages_come_back(void **state)
{
    (void)state;
    struct rabia_message messages[MESSAGES];
    fill_messages(messages);
    struct buf out = {0};
    write_all_messages(&out, messages);
    struct frame frame;
    assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
    assert_int_equal(frame.size, buf_size(&out));
    assert_identity(&frame, FRAME_MESSAGES);
    struct frame_messages read = {0};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(frame_read_messages(&frame, &read), STATUS_OK);
        assert_int_equal(read.count, MESSAGES);
        for (int i = 0; i < MESSAGES; i++)
            assert_same_message(&read.messages[i], &messages[i]);
        frame_messages_clear(&read);
    }
    frame_messages_deinit(&read);
    release(messages, MESSAGES);
    buf_deinit(&out);
}

static void test_words_and_digests_come_back(void **state)
{
    (void)state;
    struct buf out = {0};
    struct frame_digest digest = {.boundary = 1 << 20, .part = 6, .part_count = 8, .digest = {1, UINT64_MAX}}, read;
    frame_begin(&out, FRAME_DIGEST, &identity);
    frame_add_digest(&out, &digest);
    frame_end(&out, 0);
    size_t begin = frame_begin(&out, FRAME_PING, &identity);
    frame_add_word(&out, 0x1122334455667788);
    frame_end(&out, begin);

    struct frame frame;
    uint64_t word;
    assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
    assert_identity(&frame, FRAME_DIGEST);
    assert_int_equal(frame_read_digest(&frame, &read), STATUS_OK);
    assert_int_equal(read.boundary, digest.boundary);
    assert_int_equal(read.part, 6);
    assert_int_equal(read.part_count, 8);
    assert_int_equal(read.digest.low, 1);
    assert_int_equal(read.digest.high, UINT64_MAX);
    assert_int_equal(frame_read_word(&frame, &word), STATUS_MALFORMED);
    buf_consume(&out, frame.size);
    assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
    assert_int_equal(frame_read_word(&frame, &word), STATUS_OK);
    assert_int_equal(word, 0x1122334455667788);
    assert_int_equal(frame_read_digest(&frame, &read), STATUS_MALFORMED);
    buf_deinit(&out);
}

/* A frame of one kind with this payload, parsed; it lives in out. */
static struct frame frame_of(struct buf *out, enum frame_kind kind, const struct buf *payload)
{
    struct frame frame;
    buf_clear(out);
    frame_begin(out, kind, &identity);
    buf_append_slice(out, buf_slice(payload));
    frame_end(out, 0);
    assert_int_equal(frame_parse(buf_head(out), buf_size(out), &frame), STATUS_OK);
    return frame;
}

static void test_snapshot_frames(void **state)
{
    (void)state;
    struct buf out = {0}, payload = {0};
    struct frame_ask ask = {.number = UINT64_MAX, .lap = 7, .position = 9, .is_former_bad = true}, asked;
    frame_add_ask(&payload, &ask);
    struct frame frame = frame_of(&out, FRAME_SNAPSHOT_ASK, &payload);
    assert_int_equal(frame_read_ask(&frame, &asked), STATUS_OK);
    assert_true(asked.number == ask.number && asked.lap == 7 && asked.position == 9 && asked.is_former_bad);
    frame.end--;
    assert_int_equal(frame_read_ask(&frame, &asked), STATUS_MALFORMED);
    buf_head(&payload)[24] = 2;
    frame = frame_of(&out, FRAME_SNAPSHOT_ASK, &payload);
    assert_int_equal(frame_read_ask(&frame, &asked), STATUS_MALFORMED);

    uint64_t number;
    struct slice bytes;
    buf_clear(&payload);
    frame_add_word(&payload, 5);
    buf_append(&payload, "abc", 3);
    frame = frame_of(&out, FRAME_SNAPSHOT_DATA, &payload);
    assert_int_equal(frame_read_piece(&frame, &number, &bytes), STATUS_OK);
    assert_int_equal(number, 5);
    assert_true(slice_is(bytes, "abc"));
    frame.end = frame.payload + 7;
    assert_int_equal(frame_read_piece(&frame, &number, &bytes), STATUS_MALFORMED);

    enum frame_snapshot_end end;
    buf_clear(&payload);
    frame_add_snapshot_end(&payload, 6, FRAME_SNAPSHOT_REFUSED);
    frame = frame_of(&out, FRAME_SNAPSHOT_END, &payload);
    assert_int_equal(frame_read_snapshot_end(&frame, &number, &end), STATUS_OK);
    assert_true(number == 6 && end == FRAME_SNAPSHOT_REFUSED);
    buf_head(&payload)[8] = FRAME_SNAPSHOT_END_END;
    frame = frame_of(&out, FRAME_SNAPSHOT_END, &payload);
    assert_int_equal(frame_read_snapshot_end(&frame, &number, &end), STATUS_MALFORMED);
    buf_deinit(&out);
    buf_deinit(&payload);
}

static void test_claims_come_back(void **state)
{
    (void)state;
    struct formation_claim read, claim = {.stage = FORMATION_REJOINING, .has_memory = true, .epoch = 3,
                                          .seed = UINT64_MAX, .position = 1 << 20, .future = 5, .secret = {6, 7},
                                          .roster = 8, .forced = 9};
    struct buf payload = {0};
    frame_add_claim(&payload, &claim);
    for (size_t size = 0; size <= buf_size(&payload); size++) {
        struct buf out = {0};
        struct frame frame;
        seal(&out, FRAME_STATE, buf_head(&payload), size);
        assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
        assert_int_equal(frame_read_claim(&frame, &read), size < buf_size(&payload) ? STATUS_MALFORMED : STATUS_OK);
        buf_deinit(&out);
    }
    assert_int_equal(read.stage, claim.stage);
    assert_int_equal(read.has_memory, claim.has_memory);
    assert_true(read.epoch == claim.epoch && read.seed == claim.seed && read.position == claim.position);
    assert_true(read.future == claim.future && read.roster == claim.roster && read.forced == claim.forced);
    assert_true(read.secret[0] == claim.secret[0] && read.secret[1] == claim.secret[1]);
    for (int at = 0; at < 2; at++) { /* stage, memory */
        struct buf out = {0};
        struct frame frame;
        unsigned char saved = (unsigned char)buf_head(&payload)[at];
        buf_head(&payload)[at] = FORMATION_STAGE_END;
        seal(&out, FRAME_STATE, buf_head(&payload), buf_size(&payload));
        assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
        assert_int_equal(frame_read_claim(&frame, &read), STATUS_MALFORMED);
        buf_head(&payload)[at] = (char)saved;
        buf_deinit(&out);
    }
    buf_deinit(&payload);
}

/* --- damage ------------------------------------------------------------------- */

static void test_every_prefix_asks_for_more(void **state)
{
    (void)state;
    struct rabia_message messages[MESSAGES];
    fill_messages(messages);
    struct buf out = {0};
    write_all_messages(&out, messages);
    struct guarded g = guarded_create(buf_size(&out));
    struct frame frame;
    for (size_t len = 0; len < buf_size(&out); len++)
        assert_int_equal(frame_parse(guarded_place(&g, buf_head(&out), len), len, &frame), STATUS_AGAIN);
    guarded_free(&g);
    release(messages, MESSAGES);
    buf_deinit(&out);
}

static void test_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct rabia_message messages[MESSAGES];
    fill_messages(messages);
    struct buf out = {0};
    write_all_messages(&out, messages);
    struct guarded g = guarded_create(buf_size(&out));
    struct frame frame;
    for (size_t bit = 0; bit < 8 * buf_size(&out); bit++) {
        char *bytes = guarded_place(&g, buf_head(&out), buf_size(&out));
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        assert_int_not_equal(frame_parse(bytes, buf_size(&out), &frame), STATUS_OK);
    }
    guarded_free(&g);
    release(messages, MESSAGES);
    buf_deinit(&out);
}

static void test_lengths_beyond_the_limit_are_refused_at_once(void **state)
{
    (void)state;
    struct buf out = {0};
    seal(&out, FRAME_MESSAGES, "", 0);
    struct frame frame;
    uint32_t length = FRAME_BYTES_MAX + 1;
    memcpy(buf_head(&out), &length, 4);
    assert_int_equal(frame_parse(buf_head(&out), FRAME_HEADER_BYTES, &frame), STATUS_TOO_LARGE);
    length = 8 * 3 - 1; /* less than its incarnations take */
    memcpy(buf_head(&out), &length, 4);
    assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_MALFORMED);
    buf_deinit(&out);
}

/* Whatever follows a valid checksum: cut at every byte of the payload. */
static void test_payloads_cut_short_are_malformed(void **state)
{
    (void)state;
    struct rabia_message m = {.kind = RABIA_PROPOSAL, .lane = 1, .value = RABIA_BATCH, .lap = 300, .count = 1};
    m.batch = batch_of("0123456789", 10);
    struct buf whole = {0};
    frame_begin(&whole, FRAME_MESSAGES, &identity);
    size_t head = buf_size(&whole);
    frame_add_message(&whole, &m);
    size_t size = buf_size(&whole) - head;
    struct guarded g = guarded_create(4096);
    for (size_t len = 1; len < size; len++) {
        struct buf cut = {0};
        seal(&cut, FRAME_MESSAGES, buf_head(&whole) + head, len);
        struct frame frame;
        struct frame_messages read = {0};
        char *bytes = guarded_place(&g, buf_head(&cut), buf_size(&cut));
        assert_int_equal(frame_parse(bytes, buf_size(&cut), &frame), STATUS_OK);
        assert_int_equal(frame_read_messages(&frame, &read), STATUS_MALFORMED);
        frame_messages_deinit(&read);
        buf_deinit(&cut);
    }
    guarded_free(&g);
    batch_release(m.batch);
    buf_deinit(&whole);
}

static size_t put(char *at, const uint64_t *numbers, size_t count)
{
    char *begin = at;
    for (size_t i = 0; i < count; i++)
        at = varint_write(at, numbers[i]);
    return (size_t)(at - begin);
}

static void assert_messages_refused(const char *payload, size_t size)
{
    struct buf out = {0};
    seal(&out, FRAME_MESSAGES, payload, size);
    struct frame frame;
    struct frame_messages read = {0};
    assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
    assert_int_equal(frame_read_messages(&frame, &read), STATUS_MALFORMED);
    assert_int_equal(read.count, 0);
    assert_null(read.messages[0].batch);
    frame_messages_deinit(&read);
    buf_deinit(&out);
}

static void test_a_message_that_claims_more_than_follows_allocates_nothing(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {100, 1 << 20, (uint64_t)1 << 30, (uint64_t)1 << 31, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char payload[128] = {RABIA_PROPOSAL, 1, (char)(0x80 | RABIA_BATCH)};
        uint64_t numbers[] = {5, 1, 1000, 0, sizes[i]};
        assert_messages_refused(payload, 3 + put(payload + 3, numbers, 5));
    }
}

static void test_values_outside_their_enums_are_refused(void **state)
{
    (void)state;
    static const unsigned char heads[][3] = {
        {0, 0, 0}, {RABIA_KIND_END, 0, 0}, {255, 0, 0}, {RABIA_VOTE, 0, 3}, {RABIA_SKIP, 0, 127}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char payload[64];
        memcpy(payload, heads[i], 3);
        uint64_t numbers[] = {5, 1, 1};
        assert_messages_refused(payload, 3 + put(payload + 3, numbers, 3));
    }
    char long_phase[64] = {RABIA_STATE, 0, 0};
    uint64_t numbers[] = {5, 1, (uint64_t)UINT32_MAX + 1};
    assert_messages_refused(long_phase, 3 + put(long_phase + 3, numbers, 3));
    char eleven[16] = {RABIA_SKIP, 0, 0};
    memset(eleven + 3, 0xff, 11); /* a number that does not fit 64 bits */
    assert_messages_refused(eleven, 14);
}

static void test_digests_outside_their_bounds_are_refused(void **state)
{
    (void)state;
    static const uint64_t heads[][3] = {{1, 0, 0}, {1, 8, 8}, {1, 0, (uint64_t)UINT32_MAX + 1}, {1, UINT64_MAX, 8}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char payload[64] = {0};
        size_t size = put(payload, heads[i], 3) + 16;
        struct buf out = {0};
        seal(&out, FRAME_DIGEST, payload, size);
        struct frame frame;
        struct frame_digest read = {.boundary = 9};
        assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
        assert_int_equal(frame_read_digest(&frame, &read), STATUS_MALFORMED);
        assert_int_equal(read.boundary, 9);
        buf_deinit(&out);
    }
}

/* --- chunks ---------------------------------------------------------------------- */

enum { LARGE = 3 * FRAME_CHUNK_BYTES + 17, CHUNKS = 4 };

struct chunks {
    struct rabia_message message;
    struct buf frames[CHUNKS];
};

static void cut(struct chunks *c)
{
    memset(c, 0, sizeof *c);
    c->message = (struct rabia_message){.kind = RABIA_PROPOSAL, .lane = 2, .value = RABIA_BATCH, .lap = 1234, .count = 1};
    c->message.batch = batch_create(LARGE);
    c->message.batch->clock_ms = 99;
    for (size_t i = 0; i < LARGE; i++)
        c->message.batch->bytes[i] = (char)(i * 7 + i / 251);
    size_t offset = 0;
    for (int i = 0; i < CHUNKS; i++) {
        frame_begin(&c->frames[i], FRAME_CHUNK, &identity);
        offset += frame_add_chunk(&c->frames[i], &c->message, offset);
        frame_end(&c->frames[i], 0);
    }
    assert_int_equal(offset, LARGE);
}

static void cut_free(struct chunks *c)
{
    batch_release(c->message.batch);
    for (int i = 0; i < CHUNKS; i++)
        buf_deinit(&c->frames[i]);
}

static enum status hear(struct chunks *c, int index, struct frame_assembly *assembly)
{
    struct frame frame;
    assert_int_equal(frame_parse(buf_head(&c->frames[index]), buf_size(&c->frames[index]), &frame), STATUS_OK);
    return frame_read_chunk(&frame, assembly);
}

static void test_chunks_come_together(void **state)
{
    (void)state;
    struct chunks c;
    cut(&c);
    struct frame_assembly assembly = {0};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CHUNKS - 1; i++)
            assert_int_equal(hear(&c, i, &assembly), STATUS_AGAIN);
        assert_int_equal(hear(&c, CHUNKS - 1, &assembly), STATUS_OK);
        assert_same_message(&assembly.message, &c.message);
        if (round == 0)
            frame_assembly_reset(&assembly);
    }
    /* Once complete, nothing more belongs to it. */
    assert_int_equal(hear(&c, CHUNKS - 1, &assembly), STATUS_MALFORMED);
    frame_assembly_reset(&assembly);
    cut_free(&c);
}

static void test_chunks_out_of_order_are_refused(void **state)
{
    (void)state;
    struct chunks c;
    cut(&c);
    for (int first = -1; first < CHUNKS; first++) {
        for (int second = 1; second < CHUNKS; second++) {
            struct frame_assembly assembly = {0};
            enum status before = first < 0 ? STATUS_OK : hear(&c, first, &assembly);
            assert_int_equal(before, first < 0 ? STATUS_OK : first == 0 ? STATUS_AGAIN : STATUS_MALFORMED);
            enum status status = hear(&c, second, &assembly);
            assert_int_equal(status, first == 0 && second == 1 ? STATUS_AGAIN : STATUS_MALFORMED);
            frame_assembly_reset(&assembly);
        }
    }
    cut_free(&c);
}

static void test_a_new_first_chunk_begins_anew(void **state)
{
    (void)state;
    struct chunks c;
    cut(&c);
    struct frame_assembly assembly = {0};
    assert_int_equal(hear(&c, 0, &assembly), STATUS_AGAIN);
    assert_int_equal(hear(&c, 1, &assembly), STATUS_AGAIN);
    for (int i = 0; i < CHUNKS - 1; i++)
        assert_int_equal(hear(&c, i, &assembly), STATUS_AGAIN);
    assert_int_equal(hear(&c, CHUNKS - 1, &assembly), STATUS_OK);
    assert_same_message(&assembly.message, &c.message);
    frame_assembly_reset(&assembly);
    cut_free(&c);
}

static enum status hear_payload(struct frame_assembly *assembly, const char *payload, size_t size)
{
    struct buf out = {0};
    seal(&out, FRAME_CHUNK, payload, size);
    struct frame frame;
    assert_int_equal(frame_parse(buf_head(&out), buf_size(&out), &frame), STATUS_OK);
    enum status status = frame_read_chunk(&frame, assembly);
    buf_deinit(&out);
    return status;
}

static void test_chunks_that_lie_are_refused(void **state)
{
    (void)state;
    static const uint64_t cases[][2] = {/* total, size */
                                        {10, 11},
                                        {0, 0},
                                        {3, 3}, /* five bytes follow */
                                        {(uint64_t)BATCH_BYTES_MAX + 1, (uint64_t)BATCH_BYTES_MAX + 1},
                                        {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char payload[128];
        uint64_t outer[] = {cases[i][0], 0}, inner[] = {5, 1, 1000, 0, cases[i][1]};
        size_t size = put(payload, outer, 2);
        memcpy(payload + size, (char[]){RABIA_PROPOSAL, 1, (char)(0x80 | RABIA_BATCH)}, 3);
        size += 3;
        size += put(payload + size, inner, 5);
        memcpy(payload + size, "abcde", 5);
        struct frame_assembly assembly = {0};
        assert_int_equal(hear_payload(&assembly, payload, size + 5), STATUS_MALFORMED);
        frame_assembly_reset(&assembly);
    }
    struct frame_assembly assembly = {0};
    assert_int_equal(hear_payload(&assembly, "", 0), STATUS_MALFORMED);
    assert_int_equal(hear_payload(&assembly, "\x05", 1), STATUS_MALFORMED);
    assert_int_equal(hear_payload(&assembly, "\x05\x01z", 3), STATUS_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_back),
        cmocka_unit_test(test_words_and_digests_come_back),
        cmocka_unit_test(test_snapshot_frames),
        cmocka_unit_test(test_claims_come_back),
        cmocka_unit_test(test_every_prefix_asks_for_more),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_lengths_beyond_the_limit_are_refused_at_once),
        cmocka_unit_test(test_payloads_cut_short_are_malformed),
        cmocka_unit_test(test_a_message_that_claims_more_than_follows_allocates_nothing),
        cmocka_unit_test(test_values_outside_their_enums_are_refused),
        cmocka_unit_test(test_digests_outside_their_bounds_are_refused),
        cmocka_unit_test(test_chunks_come_together),
        cmocka_unit_test(test_chunks_out_of_order_are_refused),
        cmocka_unit_test(test_a_new_first_chunk_begins_anew),
        cmocka_unit_test(test_chunks_that_lie_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
