/* Goal: a link comes up, carries frames, and comes back, whatever breaks it; and what
 * it may hold is bounded: link.h.
 *
 * Method: a dialling and an accepting link in one loop, over loopback, driven by passes
 * until something is true.  Deadlines are made to pass by setting back the moment they
 * count from. */
#include "../net/drive.h"

#include <stdlib.h>
#include <string.h>

#include "replica/link.h"

struct side {
    struct link link;
    struct frame_identity identity;
    int ups, downs, frames, messages, refusals;
    uint64_t laps; /* sum of lap * count over messages heard */
    enum frame_kind newest_kind;
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct replica_member members[2];
    struct side dialler, acceptor;
    struct stream *introducing; /* accepted, and its RABIA LINK has not come */
    const char *answer;
    bool accepts;
};

static struct pair pair;

static struct side *side_of(void *context)
{
    return context;
}

static size_t introduce(void *context, uint8_t peer, struct dial_command commands[static 2])
{
    (void)context, (void)peer;
    static const struct slice auth[] = {SLICE_LITERAL("AUTH"), SLICE_LITERAL("secret")};
    static const struct slice hello[] = {SLICE_LITERAL("RABIA"), SLICE_LITERAL("LINK")};
    commands[0] = (struct dial_command){auth, 2};
    commands[1] = (struct dial_command){hello, 2};
    return 2;
}

static bool accepted(void *context, uint8_t peer, struct slice answer)
{
    (void)context, (void)peer;
    return pair.accepts && slice_equal(answer, SLICE_LITERAL("OK 7"));
}

static void on_up(void *context, uint8_t peer)
{
    (void)peer;
    struct side *side = side_of(context);
    side->ups++;
    link_send_claim(&side->link, &(struct formation_claim){.epoch = 1}); /* ends the acceptor's silence */
}

static void on_down(void *context, uint8_t peer)
{
    (void)peer;
    side_of(context)->downs++;
}

static void on_frame(void *context, uint8_t peer, const struct frame *frame)
{
    (void)peer;
    struct side *side = side_of(context);
    side->frames++;
    side->newest_kind = frame->kind;
    uint64_t word;
    if (frame->kind == FRAME_PING && frame_read_word(frame, &word) == STATUS_OK)
        link_answer_ping(&side->link, word);
    if (frame->kind == FRAME_PONG && frame_read_word(frame, &word) == STATUS_OK)
        link_note_pong(&side->link, word);
    if (frame->kind != FRAME_MESSAGES)
        return;
    struct frame_messages messages = {0};
    assert_int_equal(frame_read_messages(frame, &messages), STATUS_OK);
    side->messages += (int)messages.count;
    for (size_t i = 0; i < messages.count; i++)
        side->laps += messages.messages[i].lap * messages.messages[i].count;
    frame_messages_deinit(&messages);
}

static const struct link_events events = {
    .introduce = introduce, .accepted = accepted, .up = on_up, .down = on_down, .frame = on_frame};

/* --- the accepting side's session ------------------------------------------- */

static void hello_on_input(void *context, struct stream *stream)
{
    (void)context;
    struct buf *in = stream_in(stream);
    char text[512] = {0};
    memcpy(text, buf_head(in), buf_size(in) < 511 ? buf_size(in) : 511);
    buf_consume(in, buf_size(in));
    bool is_auth = strstr(text, "AUTH") != NULL;
    const char *answer = is_auth ? "+OK\r\n" : pair.answer;
    buf_append(stream_out(stream), answer, strlen(answer));
    stream_mark_dirty(stream);
    if (is_auth || *answer == '-')
        return;
    pair.introducing = NULL;
    link_accept(&pair.acceptor.link, stream);
}

static void hello_on_close(void *context, struct stream *stream, enum stream_end end)
{
    (void)context, (void)end;
    pair.introducing = NULL;
    pair.acceptor.refusals++;
    stream_free(stream);
}

static const struct stream_handler hello_handler = {.on_input = hello_on_input, .on_close = hello_on_close};

static void on_accept(void *context, struct stream *stream)
{
    (void)context;
    pair.introducing = stream;
    stream_start(stream, &hello_handler, NULL);
}

static void on_pass_end(void *context)
{
    (void)context;
    for (int i = 0; i < 2; i++) {
        struct link *l = i ? &pair.acceptor.link : &pair.dialler.link;
        link_pass_end(l);
        link_flush(l);
    }
}

/* --- a pair ------------------------------------------------------------------- */

static void init_side(struct side *side, uint8_t peer, bool is_dialler)
{
    side->identity = (struct frame_identity){.sender = (uint16_t)(is_dialler ? 2 : 1), .member_count = 2, .cluster = 1};
    link_init(&side->link, pair.loop, &side->identity, &events, side, peer, &pair.members[peer], is_dialler);
}

static void start(void)
{
    memset(&pair, 0, sizeof pair);
    pair.loop = loop_create();
    pair.listener = listen_local(pair.loop, on_accept, NULL);
    pair.answer = "$4\r\nOK 7\r\n";
    pair.accepts = true;
    for (int i = 0; i < 2; i++)
        pair.members[i] = (struct replica_member){(uint16_t)(i + 1), "127.0.0.1", listener_port(pair.listener)};
    init_side(&pair.dialler, 0, true);
    init_side(&pair.acceptor, 1, false);
    loop_set_pass_end(pair.loop, on_pass_end, NULL);
}

static void stop(void)
{
    loop_set_pass_end(pair.loop, NULL, NULL);
    link_deinit(&pair.dialler.link);
    link_deinit(&pair.acceptor.link);
    if (pair.introducing)
        stream_free(pair.introducing);
    listener_free(pair.listener);
    loop_pass(pair.loop, false);
    loop_free(pair.loop);
}

static bool both_up(void)
{
    const struct link *a = &pair.dialler.link, *b = &pair.acceptor.link;
    return a->state == LINK_UP && b->state == LINK_UP && !a->is_quiet && !b->is_quiet;
}

static void bring_up(void)
{
    start();
    DRIVE_UNTIL(pair.loop, both_up() && pair.dialler.frames > 0);
}

static struct rabia_message skip_of(uint64_t lap, uint64_t count)
{
    return (struct rabia_message){.kind = RABIA_SKIP, .lane = 1, .lap = lap, .count = count};
}

static void send_skip(struct side *side, uint64_t lap, uint64_t count, bool is_lazy)
{
    struct rabia_message message = skip_of(lap, count);
    link_send(&side->link, &message, is_lazy);
}

/* --- tests ---------------------------------------------------------------------- */

static void test_a_link_comes_up_and_carries_frames(void **state)
{
    (void)state;
    bring_up();
    assert_int_equal(pair.dialler.ups, 1);
    assert_int_equal(pair.acceptor.ups, 1);
    send_skip(&pair.dialler, 5, 1, false);
    send_skip(&pair.dialler, 6, 1, false);
    send_skip(&pair.acceptor, 9, 1, false);
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages == 2 && pair.dialler.messages == 1);
    assert_int_equal(pair.acceptor.laps, 11);
    /* All messages of a pass are one frame. */
    assert_int_equal(pair.acceptor.frames, 2);
    stop();
}

static void test_the_acceptor_is_quiet_until_it_hears(void **state)
{
    (void)state;
    start();
    DRIVE_UNTIL(pair.loop, pair.acceptor.link.stream != NULL);
    struct link *l = &pair.acceptor.link;
    if (l->is_quiet) {
        send_skip(&pair.acceptor, 1, 1, false);
        assert_int_equal(l->messages_dropped, 1);
        assert_false(link_takes_bulk(l, 1));
        assert_int_equal(stream_output_bytes(l->stream), 0);
    }
    DRIVE_UNTIL(pair.loop, both_up());
    stop();
}

static void test_lazy_messages_wait_and_merge(void **state)
{
    (void)state;
    bring_up();
    int before = pair.acceptor.frames;
    send_skip(&pair.dialler, 10, 2, true);
    send_skip(&pair.dialler, 12, 3, true);
    send_skip(&pair.dialler, 99, 1, true);
    assert_int_equal(pair.dialler.link.lazy_count, 2);
    pair.dialler.link.lazy_since_us = (uint64_t)loop_now_us(pair.loop) + LINK_LAZY_US;
    loop_pass(pair.loop, false);
    assert_int_equal(pair.dialler.link.lazy_count, 2);
    send_skip(&pair.dialler, 50, 1, false); /* what is not lazy takes them along */
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages == 3);
    assert_int_equal(pair.acceptor.frames, before + 1);
    assert_int_equal(pair.acceptor.laps, 10 * 5 + 99 + 50);
    send_skip(&pair.dialler, 7, 1, true);
    pair.dialler.link.lazy_since_us = 0;
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages == 4);
    for (uint64_t i = 0; i < LINK_LAZY_MAX; i++)
        send_skip(&pair.dialler, 1000 + 2 * i, 1, true);
    assert_int_equal(pair.dialler.link.lazy_count, 0);
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages == 4 + LINK_LAZY_MAX);
    stop();
}

static void test_pings_measure_the_round_trip(void **state)
{
    (void)state;
    bring_up();
    pair.dialler.link.pinged_us = 0;
    DRIVE_UNTIL(pair.loop, pair.dialler.newest_kind == FRAME_PONG);
    uint64_t now = (uint64_t)loop_now_us(pair.loop);
    pair.dialler.link.round_trip_us = 0;
    link_note_pong(&pair.dialler.link, now - 800);
    assert_int_equal(pair.dialler.link.round_trip_us, 800);
    link_note_pong(&pair.dialler.link, now + 1); /* not a time we sent */
    link_note_pong(&pair.dialler.link, 0);
    assert_int_equal(pair.dialler.link.round_trip_us, 800);
    stop();
}

static void test_a_refused_dial_is_repeated_later_and_later(void **state)
{
    (void)state;
    start();
    pair.answer = "-ERR link refused: no\r\n";
    struct link *l = &pair.dialler.link;
    uint64_t backoff_us = LINK_BACKOFF_MIN_US;
    for (int i = 1; i <= 8; i++) {
        DRIVE_UNTIL(pair.loop, pair.acceptor.refusals == i && l->state == LINK_DOWN);
        backoff_us = backoff_us * 2 < LINK_BACKOFF_MAX_US ? backoff_us * 2 : LINK_BACKOFF_MAX_US;
        assert_int_equal(l->backoff_us, backoff_us);
        assert_non_null(strstr(l->last_error, "link refused: no"));
        assert_true(l->dial_again_us > (uint64_t)loop_now_us(pair.loop) - LINK_BACKOFF_MAX_US);
        l->dial_again_us = 0;
    }
    assert_int_equal(pair.dialler.downs, 0); /* it never was up */
    pair.answer = "$4\r\nOK 7\r\n";
    l->dial_again_us = 0;
    DRIVE_UNTIL(pair.loop, both_up());
    assert_int_equal(l->backoff_us, LINK_BACKOFF_MIN_US);
    assert_string_equal(l->last_error, "");
    stop();
}

static void test_an_answer_that_is_not_accepted_ends_the_dial(void **state)
{
    (void)state;
    start();
    pair.accepts = false;
    DRIVE_UNTIL(pair.loop, pair.dialler.link.state == LINK_DOWN && pair.dialler.link.last_error[0]);
    assert_int_equal(pair.dialler.ups, 0);
    DRIVE_UNTIL(pair.loop, pair.acceptor.link.state == LINK_DOWN);
    assert_int_equal(pair.acceptor.ups, 0);
    pair.accepts = true;
    pair.dialler.link.dial_again_us = 0;
    DRIVE_UNTIL(pair.loop, both_up());
    stop();
}

static void test_a_silent_peer_is_dropped_and_dialled_again(void **state)
{
    (void)state;
    bring_up();
    pair.dialler.link.heard_us = (uint64_t)loop_now_us(pair.loop) - LINK_SILENT_US;
    link_pass_end(&pair.dialler.link);
    assert_int_equal(pair.dialler.link.state, LINK_DOWN);
    assert_int_equal(pair.dialler.downs, 1);
    pair.dialler.link.dial_again_us = 0;
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 2 && pair.acceptor.ups == 2 && both_up());
    assert_int_equal(pair.dialler.link.links_made, 2);
    send_skip(&pair.acceptor, 3, 1, false);
    DRIVE_UNTIL(pair.loop, pair.dialler.messages == 1);
    stop();
}

/* Makes the dialler take its peer for silent. */
static void make_silent(uint64_t silent_us)
{
    pair.dialler.link.heard_us = (uint64_t)loop_now_us(pair.loop) - silent_us;
    pair.dialler.link.dial_again_us = 0;
    link_pass_end(&pair.dialler.link);
}

static void test_a_silent_connection_is_kept_until_another_is_there(void **state)
{
    (void)state;
    bring_up();
    struct link *l = &pair.dialler.link;
    make_silent(LINK_RENEW_US - 200 * 1000);
    assert_null(l->dial);
    make_silent(LINK_RENEW_US);
    assert_non_null(l->dial);
    assert_int_equal(l->state, LINK_UP);
    send_skip(&pair.dialler, 3, 1, false);
    assert_int_equal(l->messages_dropped, 0);
    assert_int_equal(pair.dialler.downs, 0);
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 2 && pair.acceptor.ups == 2 && both_up());
    assert_int_equal(pair.dialler.downs, 1);
    assert_int_equal(pair.acceptor.downs, 1);
    assert_int_equal(l->links_made, 2);
    int heard = pair.acceptor.messages;
    send_skip(&pair.dialler, 4, 1, false);
    send_skip(&pair.acceptor, 5, 1, false);
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages == heard + 1 && pair.dialler.messages == 1);
    stop();
}

static void test_an_acceptor_does_not_renew(void **state)
{
    (void)state;
    bring_up();
    pair.acceptor.link.heard_us = (uint64_t)loop_now_us(pair.loop) - LINK_RENEW_US;
    link_pass_end(&pair.acceptor.link);
    assert_null(pair.acceptor.link.dial);
    stop();
}

static void test_a_refused_renewal_leaves_the_link_as_it_is(void **state)
{
    (void)state;
    bring_up();
    struct link *l = &pair.dialler.link;
    pair.answer = "-ERR link refused: no\r\n";
    make_silent(LINK_RENEW_US);
    DRIVE_UNTIL(pair.loop, pair.acceptor.refusals == 1 && !l->dial);
    assert_int_equal(l->state, LINK_UP);
    assert_int_equal(pair.dialler.downs + pair.acceptor.downs, 0);
    assert_true(l->dial_again_us > l->dialled_us);
    send_skip(&pair.dialler, 4, 1, false);
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages == 1);
    stop();
}

/* A busy peer is not dialled again and again. */
static void test_a_needless_renewal_makes_patient(void **state)
{
    (void)state;
    bring_up();
    struct link *l = &pair.dialler.link;
    make_silent(LINK_RENEW_US);
    l->heard_us = l->dialled_us + 1; /* the old one speaks again */
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 2 && pair.acceptor.ups == 2 && both_up());
    make_silent(LINK_RENEW_US);
    assert_null(l->dial);
    make_silent(2 * LINK_RENEW_US);
    assert_non_null(l->dial);
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 3 && pair.acceptor.ups == 3 && both_up());
    l->needless_us = (uint64_t)loop_now_us(pair.loop) - LINK_PATIENT_US;
    make_silent(LINK_RENEW_US);
    assert_non_null(l->dial);
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 4 && pair.acceptor.ups == 4 && both_up());
    stop();
}

/* Who answers nothing is not called more rarely than who refuses. */
static void test_a_dial_that_took_its_time_was_pause_enough(void **state)
{
    (void)state;
    start();
    pair.answer = "-ERR link refused: no\r\n";
    struct link *l = &pair.dialler.link;
    DRIVE_UNTIL(pair.loop, l->state == LINK_DIALING);
    l->backoff_us = LINK_BACKOFF_MAX_US;
    l->dialled_us -= LINK_CONNECT_MIN_US;
    DRIVE_UNTIL(pair.loop, l->state == LINK_DOWN);
    assert_true(l->dial_again_us <= (uint64_t)loop_now_us(pair.loop) + LINK_BACKOFF_MIN_US);
    stop();
}

static void test_an_acceptor_waits_to_be_dialled(void **state)
{
    (void)state;
    bring_up();
    link_break(&pair.acceptor.link, "for the test");
    assert_int_equal(pair.acceptor.downs, 1);
    pair.acceptor.link.dial_again_us = 0;
    assert_int_equal(link_pass_end(&pair.acceptor.link), UINT64_MAX);
    assert_null(pair.acceptor.link.dial);
    DRIVE_UNTIL(pair.loop, pair.dialler.downs == 1);
    pair.dialler.link.dial_again_us = 0;
    DRIVE_UNTIL(pair.loop, both_up() && pair.acceptor.ups == 2);
    stop();
}

static void ignore_input(void *context, struct stream *stream)
{
    (void)context, (void)stream;
}
static void ignore_close(void *context, struct stream *stream, enum stream_end end)
{
    (void)context, (void)stream, (void)end;
}
static const struct stream_handler ignoring_handler = {.on_input = ignore_input, .on_close = ignore_close};

static void test_a_new_dial_replaces_the_link(void **state)
{
    (void)state;
    bring_up();
    /* The dialler was restarted: it knows nothing of the link. */
    struct stream *lost = pair.dialler.link.stream;
    stream_start(lost, &ignoring_handler, NULL);
    pair.dialler.link.stream = NULL;
    pair.dialler.link.state = LINK_DOWN;
    pair.dialler.link.dial_again_us = 0;
    DRIVE_UNTIL(pair.loop, pair.acceptor.ups == 2 && both_up());
    assert_int_equal(pair.acceptor.downs, 1);
    assert_int_equal(pair.acceptor.link.links_made, 2);
    stream_free(lost);
    stop();
}

static void test_broken_frames_break_the_link(void **state)
{
    (void)state;
    bring_up();
    static const char junk[FRAME_HEADER_BYTES] = "\x00\x00\x00\x00\xff";
    buf_append(stream_out(pair.dialler.link.stream), junk, sizeof junk);
    stream_mark_dirty(pair.dialler.link.stream);
    DRIVE_UNTIL(pair.loop, pair.acceptor.downs == 1);
    assert_non_null(strstr(pair.acceptor.link.last_error, "malformed"));
    pair.dialler.link.dial_again_us = 0;
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 2 && both_up());
    stop();
}

/* A peer that does not read: what waits for it stays within the bound, and once it
 * has read, it is told everything anew. */
static void test_a_slow_peer_loses_messages_within_bounds(void **state)
{
    (void)state;
    bring_up();
    stream_pause(pair.acceptor.link.stream);
    struct rabia_message large = skip_of(1, 1);
    large.kind = RABIA_CONTENTS;
    large.batch = batch_create(FRAME_INLINE_MAX);
    memset(large.batch->bytes, 0, large.batch->size);
    struct link *l = &pair.dialler.link;
    while (l->messages_dropped < 100) {
        for (int i = 0; i < 100; i++)
            link_send(l, &large, false);
        loop_pass(pair.loop, false);
        assert_true(stream_output_bytes(l->stream) <= LINK_QUEUE_MAX + (8u << 20));
        l->heard_us = pair.acceptor.link.heard_us = (uint64_t)loop_now_us(pair.loop);
    }
    assert_true(l->is_lossy);
    assert_int_equal(pair.dialler.ups, 1);
    stream_resume(pair.acceptor.link.stream);
    DRIVE_UNTIL(pair.loop, pair.dialler.ups == 2);
    assert_false(l->is_lossy);
    int heard = pair.acceptor.messages;
    send_skip(&pair.dialler, 4, 1, false);
    DRIVE_UNTIL(pair.loop, pair.acceptor.messages > heard);
    assert_int_equal(pair.acceptor.downs, 0);
    batch_release(large.batch);
    stop();
}

static void send_bulk(struct link *l, uint64_t lap, size_t size)
{
    struct buf frame = {0};
    char *bytes = calloc(1, size);
    frame_begin(&frame, FRAME_CHUNK, l->identity);
    buf_append(&frame, bytes, size);
    frame_end(&frame, 0);
    struct chunk *chunk = chunk_copy(buf_head(&frame), buf_size(&frame));
    link_send_chunk(l, chunk);
    link_note_bulk(l, lap, 1);
    chunk_drop(chunk);
    buf_deinit(&frame);
    free(bytes);
}

static void test_contents_under_way_are_known_until_they_have_left(void **state)
{
    (void)state;
    bring_up();
    stream_pause(pair.acceptor.link.stream);
    struct link *l = &pair.dialler.link;
    assert_false(link_has_bulk(l, 8, 1));
    assert_true(link_takes_bulk(l, (size_t)LINK_BULK_MAX + 1)); /* nothing else is queued */
    send_bulk(l, 8, 32 << 20);
    assert_true(link_has_bulk(l, 8, 1));
    assert_false(link_has_bulk(l, 8, 0));
    assert_false(link_has_bulk(l, 9, 1));
    assert_true(link_takes_bulk(l, 1 << 20));
    assert_false(link_takes_bulk(l, LINK_BULK_MAX));
    stream_resume(pair.acceptor.link.stream);
    DRIVE_UNTIL(pair.loop, stream_later_bytes(l->stream) == 0);
    assert_true(link_has_bulk(l, 8, 1)); /* still on its way through the kernel */
    l->bulks[0].gone_us = (uint64_t)loop_now_us(pair.loop) - LINK_BULK_AGAIN_US;
    assert_false(link_has_bulk(l, 8, 1));
    send_bulk(l, 8, 100);
    assert_true(link_has_bulk(l, 8, 1));
    link_break(l, "for the test");
    assert_false(link_has_bulk(l, 8, 1)); /* lost with the connection */
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_link_comes_up_and_carries_frames),
        cmocka_unit_test(test_the_acceptor_is_quiet_until_it_hears),
        cmocka_unit_test(test_lazy_messages_wait_and_merge),
        cmocka_unit_test(test_pings_measure_the_round_trip),
        cmocka_unit_test(test_a_refused_dial_is_repeated_later_and_later),
        cmocka_unit_test(test_an_answer_that_is_not_accepted_ends_the_dial),
        cmocka_unit_test(test_a_silent_peer_is_dropped_and_dialled_again),
        cmocka_unit_test(test_a_silent_connection_is_kept_until_another_is_there),
        cmocka_unit_test(test_an_acceptor_does_not_renew),
        cmocka_unit_test(test_a_refused_renewal_leaves_the_link_as_it_is),
        cmocka_unit_test(test_a_needless_renewal_makes_patient),
        cmocka_unit_test(test_a_dial_that_took_its_time_was_pause_enough),
        cmocka_unit_test(test_an_acceptor_waits_to_be_dialled),
        cmocka_unit_test(test_a_new_dial_replaces_the_link),
        cmocka_unit_test(test_broken_frames_break_the_link),
        cmocka_unit_test(test_a_slow_peer_loses_messages_within_bounds),
        cmocka_unit_test(test_contents_under_way_are_known_until_they_have_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
