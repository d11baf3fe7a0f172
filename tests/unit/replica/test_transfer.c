/* Goal: what is left of an earlier answer is not taken for a snapshot that was asked for; a
 * refusal is said and heard at once; one process writes one snapshot, however often it is
 * asked for: transfer.c, sending.c.
 *
 * Method: a replica of two members put together by hand, its link to the other one a pair of
 * sockets whose far end the test reads and parses. */
#include "../net/drive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replica/replica_private.h"

enum { OTHER = 1, KEYS = 20000 };

static struct replica r;
static int far_end;
static struct buf wire; /* what the other member has heard */
static size_t heard;    /* of it, what the last call of hear handed out */
static char dir[] = "/tmp/test-transfer-XXXXXX";

static size_t nothing(void *context, uint8_t peer, struct dial_command commands[static 2])
{
    (void)context, (void)peer, (void)commands;
    return 0;
}

static void on_event(void *context, uint8_t peer)
{
    (void)context, (void)peer;
}

static const struct link_events events = {.introduce = nothing, .up = on_event, .down = on_event};

static void put_key(int number)
{
    char key[32], value[80];
    snprintf(key, sizeof key, "key:%d", number);
    snprintf(value, sizeof value, "%064d", number % 977);
    keyspace_set(r.keyspace, 0, slice_from(key), slice_from(value), EXPIRE_NONE);
}

static void on_pass_end(void *context)
{
    (void)context;
    sending_pass_end(&r);
    link_pass_end(&r.links[OTHER]);
    link_flush(&r.links[OTHER]);
}

static int begin(void **state)
{
    (void)state;
    int ends[2];
    memset(&r, 0, sizeof r);
    strcpy(dir, "/tmp/test-transfer-XXXXXX");
    assert_non_null(mkdtemp(dir));
    r.loop = loop_create();
    loop_set_pass_end(r.loop, on_pass_end, NULL);
    r.keyspace = keyspace_create(&(struct keyspace_options){.database_count = 1});
    r.member_count = 2;
    r.members[0].id = 1;
    r.members[OTHER] = (struct replica_member){.id = 2, .host = "there", .port = 2};
    r.roster.entries[OTHER] = (struct roster_entry){.state = ROSTER_MEMBER, .id = 2, .host = "there", .port = 2};
    r.formation.member_count = 2;
    r.formation.own.stage = r.formation.members[OTHER].claim.stage = FORMATION_FORMED;
    r.identity = (struct frame_identity){.sender = 1, .member_count = 2, .cluster = 1, .incarnations = {1, 2}};
    char error[MEMORY_ERROR_MAX];
    struct memory_options memory = {.loop = r.loop, .keyspace = r.keyspace, .dir = dir, .cluster_name = "test",
                                    .self_id = 1};
    assert_int_equal(memory_open(&r.memory, &memory, error), STATUS_OK);
    rabia_options_default(&r.order_options);
    r.order_options.member_count = 2;
    r.order_options.first_lap = FIRST_LAP;
    r.order = rabia_create(&r.order_options, replica_now(&r));
    link_init(&r.links[OTHER], r.loop, &r.identity, &events, &r, OTHER, &r.members[OTHER], false);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    far_end = ends[1];
    fcntl(far_end, F_SETFL, O_NONBLOCK);
    link_accept(&r.links[OTHER], stream_adopt(r.loop, ends[0]));
    r.links[OTHER].is_quiet = false;
    for (int i = 0; i < KEYS; i++)
        put_key(i);
    return 0;
}

static int end(void **state)
{
    (void)state;
    transfer_free(&r);
    sending_drop(&r);
    link_deinit(&r.links[OTHER]);
    rabia_free(r.order);
    memory_free(r.memory);
    keyspace_free(r.keyspace);
    buf_deinit(&r.chunk_scratch);
    buf_deinit(&wire);
    heard = 0;
    loop_free(r.loop);
    close(far_end);
    rmdir(dir);
    return 0;
}

/* The next frame the other member hears, pings and clocks aside; it lives until the next call. */
static bool hear(struct frame *frame)
{
    char bytes[65536];
    buf_consume(&wire, heard);
    heard = 0;
    for (int i = 0; i < 20; i++) {
        loop_pass(r.loop, false);
        r.links[OTHER].heard_us = replica_now(&r);
        ssize_t got = read(far_end, bytes, sizeof bytes);
        if (got > 0)
            buf_append(&wire, bytes, (size_t)got);
        while (frame_parse(buf_head(&wire), buf_size(&wire), frame) == STATUS_OK) {
            if (frame->kind != FRAME_PING && frame->kind != FRAME_CLOCK) {
                heard = frame->size;
                return true;
            }
            buf_consume(&wire, frame->size);
        }
    }
    return false;
}

/* --- receiving --------------------------------------------------------------- */

static struct frame_ask heard_ask(void)
{
    struct frame frame;
    struct frame_ask ask;
    assert_true(hear(&frame));
    assert_int_equal(frame.kind, FRAME_SNAPSHOT_ASK);
    assert_int_equal(frame_read_ask(&frame, &ask), STATUS_OK);
    return ask;
}

static void want(void)
{
    r.is_installing = true;
    transfer_lost(&r, r.receiving_from);
    transfer_pass_end(&r);
}

static const char junk[256] = "this is no snapshot";

static void test_what_is_left_of_an_earlier_answer_is_passed_by(void **state)
{
    (void)state;
    struct frame frame;
    want();
    struct frame_ask first = heard_ask();
    assert_false(first.is_former_bad);
    transfer_data(&r, OTHER, first.number - 1, slice_make(junk, sizeof junk));
    transfer_ended(&r, OTHER, first.number - 1, FRAME_SNAPSHOT_FAILED);
    assert_false(hear(&frame));
    /* Of this answer: no good, so it asks again, once. */
    transfer_data(&r, OTHER, first.number, slice_make(junk, sizeof junk));
    struct frame_ask second = heard_ask();
    assert_true(second.number > first.number);
    assert_true(second.is_former_bad);
    for (int i = 0; i < 5; i++)
        transfer_data(&r, OTHER, first.number, slice_make(junk, sizeof junk));
    transfer_ended(&r, OTHER, first.number, FRAME_SNAPSHOT_COMPLETE);
    assert_false(hear(&frame));
    /* Broken off: again. */
    transfer_ended(&r, OTHER, second.number, FRAME_SNAPSHOT_FAILED);
    struct frame_ask third = heard_ask();
    assert_true(third.number > second.number);
    assert_false(third.is_former_bad);
}

static void test_a_refusal_is_heard_at_once(void **state)
{
    (void)state;
    struct frame frame;
    want();
    struct frame_ask ask = heard_ask();
    uint64_t patient_us = transfer_pass_end(&r);
    assert_true(patient_us > replica_now(&r) + 4 * 1000 * 1000);
    transfer_ended(&r, OTHER, ask.number, FRAME_SNAPSHOT_REFUSED);
    /* Nobody else is there: not at once, but soon. */
    assert_false(hear(&frame));
    uint64_t soon_us = transfer_pass_end(&r);
    assert_true(soon_us > replica_now(&r));
    assert_true(soon_us <= replica_now(&r) + 250 * 1000);
    r.received_us = 0;
    transfer_pass_end(&r);
    assert_true(heard_ask().number > ask.number);
}

/* --- sending ------------------------------------------------------------------- */

/* All of the answer to this ask; how it ended. */
static enum frame_snapshot_end hear_answer(uint64_t expected, struct snapshot_reader *reader, bool *is_whole)
{
    struct frame frame;
    uint64_t number;
    struct slice bytes;
    enum frame_snapshot_end how;
    for (int i = 0; i < 200000; i++) {
        if (!hear(&frame))
            continue;
        if (frame.kind == FRAME_SNAPSHOT_END) {
            assert_int_equal(frame_read_snapshot_end(&frame, &number, &how), STATUS_OK);
            assert_int_equal(number, expected);
            return how;
        }
        assert_int_equal(frame.kind, FRAME_SNAPSHOT_DATA);
        assert_int_equal(frame_read_piece(&frame, &number, &bytes), STATUS_OK);
        assert_int_equal(number, expected);
        enum status status = snapshot_feed(reader, bytes.ptr, bytes.len);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
        *is_whole = status == STATUS_OK;
    }
    fail_msg("no end of the answer");
    return FRAME_SNAPSHOT_FAILED;
}

static void ask(uint64_t number, bool is_former_bad, enum frame_snapshot_end expected)
{
    struct frame_ask asked = {.number = number, .is_former_bad = is_former_bad};
    struct keyspace *copy = keyspace_create(&(struct keyspace_options){.database_count = 1});
    struct snapshot_reader *reader = snapshot_reader_create(copy);
    bool is_whole = false;
    sending_asked(&r, OTHER, &asked);
    assert_int_equal(hear_answer(number, reader, &is_whole), expected);
    assert_int_equal(is_whole, expected == FRAME_SNAPSHOT_COMPLETE);
    if (is_whole)
        assert_int_equal(keyspace_size(copy, 0), KEYS);
    snapshot_reader_free(reader);
    keyspace_free(copy);
}

static void test_one_process_for_all_who_ask(void **state)
{
    (void)state;
    ask(7, false, FRAME_SNAPSHOT_COMPLETE);
    struct spool *spool = r.spool;
    uint64_t made_us;
    assert_non_null(spool);
    ask(8, false, FRAME_SNAPSHOT_COMPLETE);
    /* Asked again while the answer is under way: the new number alone goes on. */
    sending_asked(&r, OTHER, &(struct frame_ask){.number = 9});
    ask(10, false, FRAME_SNAPSHOT_COMPLETE);
    assert_ptr_equal(r.spool, spool);
    /* Who finds fault with it gets another, but not process after process. */
    made_us = r.spool_made_us = replica_now(&r);
    ask(11, true, FRAME_SNAPSHOT_REFUSED);
    assert_int_equal(r.spool_made_us, made_us);
    r.spool_made_us -= 10 * 1000 * 1000;
    ask(12, true, FRAME_SNAPSHOT_COMPLETE);
    assert_true(r.spool_made_us >= made_us);
    /* One who is as far already has no use for it. */
    made_us = r.spool_made_us -= 10 * 1000 * 1000;
    struct frame_ask ahead = {.number = 13, .lap = FIRST_LAP};
    sending_asked(&r, OTHER, &ahead);
    assert_true(r.spool_made_us > made_us);
    assert_int_equal(r.transfers_out, 6);
}

static void test_who_cannot_send_says_so(void **state)
{
    (void)state;
    r.formation.own.stage = FORMATION_REJOINING;
    ask(1, false, FRAME_SNAPSHOT_REFUSED);
    r.formation.own.stage = FORMATION_FORMED;
    r.is_installing = true;
    ask(2, false, FRAME_SNAPSHOT_REFUSED);
    assert_null(r.spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_left_of_an_earlier_answer_is_passed_by, begin, end),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_heard_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_one_process_for_all_who_ask, begin, end),
        cmocka_unit_test_setup_teardown(test_who_cannot_send_says_so, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
