/* Goal: every byte arrives once and in order, however the sockets behave; ends are
 * reported once; nothing is held for idle streams; the reader can push back.
 * Method: real sockets over loopback, both ends in one loop, driven pass by pass. */
#include "drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"

struct pair {
    struct loop *loop;
    struct end a, b;
};

/* Two connected ends; small kernel buffers make partial writes common. */
static void pair_init(struct pair *pair, bool has_small_buffers)
{
    *pair = (struct pair){.loop = loop_create()};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    int size = 4096;
    for (int i = 0; has_small_buffers && i < 2; i++) {
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    pair->a.stream = stream_adopt(pair->loop, fds[0]);
    pair->b.stream = stream_adopt(pair->loop, fds[1]);
    stream_start(pair->a.stream, &end_handler, &pair->a);
    stream_start(pair->b.stream, &end_handler, &pair->b);
}

static void pair_deinit(struct pair *pair)
{
    end_deinit(&pair->a);
    end_deinit(&pair->b);
    loop_free(pair->loop);
}

static void say(struct end *end, const char *text)
{
    buf_append(stream_out(end->stream), text, strlen(text));
    stream_mark_dirty(end->stream);
}

static void assert_received(const struct end *end, const char *text)
{
    assert_int_equal(buf_size(&end->received), strlen(text));
    assert_memory_equal(buf_head(&end->received), text, strlen(text));
}

static void echo_over_tcp(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    struct end server = {.echoes = true}, client = {0};
    struct listener *listener = listen_local(loop, accept_into, &server);
    int fd = connect_local(listener_port(listener));
    client.stream = stream_adopt(loop, fd);
    stream_start(client.stream, &end_handler, &client);
    say(&client, "hello");
    DRIVE_UNTIL(loop, buf_size(&client.received) == 5);
    assert_received(&client, "hello");
    char expected[64];
    snprintf(expected, sizeof expected, "127.0.0.1:%u", listener_port(listener));
    assert_string_equal(stream_local_address(server.stream), expected);
    assert_string_equal(stream_peer_address(client.stream), expected);
    assert_string_equal(stream_peer_address(server.stream), stream_local_address(client.stream));
    assert_int_equal(stream_bytes_in(server.stream), 5);
    assert_int_equal(stream_bytes_out(server.stream), 5);
    stream_set_keepalive(server.stream, 60);
    int is_on = 0;
    socklen_t length = sizeof is_on;
    getsockopt(stream_fd(server.stream), SOL_SOCKET, SO_KEEPALIVE, &is_on, &length);
    assert_int_equal(is_on, 1);
    end_deinit(&client);
    server.frees_on_close = true;
    DRIVE_UNTIL(loop, server.closes == 1);
    assert_int_equal(server.reason, STREAM_END_PEER);
    end_deinit(&server);
    listener_free(listener);
    loop_free(loop);
}

/* An idle stream holds no buffers, whatever went through it. */
static void idle_streams_hold_nothing(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, false);
    size_t idle = stream_memory(pair.a.stream);
    char *large = malloc(1 << 20);
    memset(large, 'x', 1 << 20);
    buf_append(stream_out(pair.a.stream), large, 1 << 20);
    free(large);
    stream_mark_dirty(pair.a.stream);
    DRIVE_UNTIL(pair.loop, buf_size(&pair.b.received) == 1 << 20);
    loop_pass(pair.loop, false);
    assert_int_equal(stream_memory(pair.a.stream), idle);
    assert_int_equal(stream_memory(pair.b.stream), idle);
    pair_deinit(&pair);
}

/* Who shut down its sending half still gets its answers, then the end. */
static void half_close(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct end server = {.echoes = true, .frees_on_close = true};
    server.stream = stream_adopt(loop, fds[0]);
    stream_start(server.stream, &half_close_handler, &server);
    assert_int_equal(write(fds[1], "last words", 10), 10);
    shutdown(fds[1], SHUT_WR);
    DRIVE_UNTIL(loop, server.closes == 1);
    assert_int_equal(server.ends, 1);
    assert_int_equal(server.reason, STREAM_END_FLUSHED);
    char got[32];
    assert_int_equal(recv(fds[1], got, sizeof got, 0), 10);
    assert_memory_equal(got, "last words", 10);
    assert_int_equal(recv(fds[1], got, sizeof got, 0), 0);
    close(fds[1]);
    end_deinit(&server);
    loop_free(loop);
}

/* The end is reported once, with the bytes before it; no callback follows a free. */
static void ends(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, false);
    say(&pair.a, "bye");
    stream_close_after_flush(pair.a.stream);
    DRIVE_UNTIL(pair.loop, pair.a.closes && pair.b.closes);
    for (int i = 0; i < 5; i++)
        loop_pass(pair.loop, false);
    assert_received(&pair.b, "bye");
    assert_int_equal(pair.a.closes, 1);
    assert_int_equal(pair.a.reason, STREAM_END_FLUSHED);
    assert_int_equal(pair.b.closes, 1);
    say(&pair.a, "into the void");
    stream_flush(pair.a.stream);
    pair_deinit(&pair);

    pair_init(&pair, false);
    pair.b.frees_on_input = true;
    say(&pair.a, "x");
    DRIVE_UNTIL(pair.loop, pair.b.inputs == 1 && pair.a.closes == 1);
    assert_int_equal(pair.b.closes, 0);
    pair_deinit(&pair);
}

/* A broken connection is reported from the loop, not from inside the flush. */
static void write_errors_are_reported_later(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, false);
    stream_pause(pair.a.stream);
    stream_free(pair.b.stream);
    pair.b.stream = NULL;
    say(&pair.a, "anyone?");
    stream_flush(pair.a.stream);
    assert_int_equal(pair.a.closes, 0);
    loop_pass(pair.loop, true);
    assert_int_equal(pair.a.closes, 1);
    assert_int_equal(pair.a.reason, STREAM_END_ERROR);
    assert_int_equal(stream_error(pair.a.stream), EPIPE);
    pair_deinit(&pair);
}

/* A paused reader costs the writer, not memory: the kernel's buffers fill, and the
 * reader's process holds nothing. */
static void back_pressure(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, true);
    stream_pause(pair.b.stream);
    char block[1000];
    memset(block, 'p', sizeof block);
    for (int i = 0; i < 1000; i++)
        buf_append(stream_out(pair.a.stream), block, sizeof block);
    stream_mark_dirty(pair.a.stream);
    for (int i = 0; i < 50; i++)
        loop_pass(pair.loop, false);
    assert_int_equal(pair.b.inputs, 0);
    assert_true(stream_output_bytes(pair.a.stream) > 900000);
    uint64_t writes = loop_figures(pair.loop).writes;
    stream_mark_dirty(pair.a.stream);
    stream_flush(pair.a.stream);
    loop_pass(pair.loop, false);
    assert_int_equal(loop_figures(pair.loop).writes, writes); /* a full socket is not tried again */
    stream_resume(pair.b.stream);
    DRIVE_UNTIL(pair.loop, buf_size(&pair.b.received) == 1000000);
    DRIVE_UNTIL(pair.loop, pair.a.drains == 1);
    assert_int_equal(stream_output_bytes(pair.a.stream), 0);
    pair_deinit(&pair);
}

/* A consumer that pauses with bytes unconsumed gets them again on resuming, and
 * bytes left in the borrowed buffer stay intact. */
static void leftovers(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, false);
    pair.b.consumes_nothing = true;
    say(&pair.a, "left");
    DRIVE_UNTIL(pair.loop, pair.b.inputs == 1);
    say(&pair.a, "over");
    DRIVE_UNTIL(pair.loop, pair.b.inputs == 2);
    assert_int_equal(buf_size(stream_in(pair.b.stream)), 8);
    stream_pause(pair.b.stream);
    stream_pause(pair.b.stream);
    pair.b.consumes_nothing = false;
    loop_pass(pair.loop, false);
    assert_int_equal(pair.b.inputs, 2);
    stream_resume(pair.b.stream);
    assert_int_equal(pair.b.inputs, 2); /* not inside the call */
    loop_pass(pair.loop, true);
    assert_received(&pair.b, "leftover");
    pair_deinit(&pair);
}

/* on_input keeps quiet until what was expected is there, and memory follows the bytes, not
 * the claim. */
static void expectations(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, true);
    enum { LARGE = 3 * 1000 * 1000 };
    size_t idle = stream_memory(pair.b.stream);
    stream_expect(pair.b.stream, (size_t)1 << 29);
    say(&pair.a, "x");
    for (int i = 0; i < 10; i++)
        loop_pass(pair.loop, false);
    assert_int_equal(pair.b.inputs, 0);
    assert_true(stream_memory(pair.b.stream) < 256 * 1024);
    stream_expect(pair.b.stream, LARGE);
    char *large = malloc(LARGE);
    memset(large, 'y', LARGE);
    buf_append(stream_out(pair.a.stream), large, LARGE - 1);
    free(large);
    stream_mark_dirty(pair.a.stream);
    DRIVE_UNTIL(pair.loop, buf_size(&pair.b.received) == LARGE);
    assert_int_equal(pair.b.inputs, 1);
    assert_int_equal(stream_memory(pair.b.stream), idle);
    say(&pair.a, "z");
    DRIVE_UNTIL(pair.loop, pair.b.inputs == 2);
    pair_deinit(&pair);
}

/* One pass reads a bounded share of one stream. */
static void one_stream_does_not_starve_others(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, false);
    char *large = malloc(1 << 20);
    memset(large, 'y', 1 << 20);
    buf_append(stream_out(pair.a.stream), large, 1 << 20);
    free(large);
    stream_flush(pair.a.stream);
    size_t before = 0;
    while (buf_size(&pair.b.received) < 1 << 20) {
        loop_pass(pair.loop, false);
        assert_true(buf_size(&pair.b.received) - before <= STREAM_READ_BYTES_PER_PASS);
        before = buf_size(&pair.b.received);
    }
    pair_deinit(&pair);
}

static int released;
static void count_release(struct chunk *chunk)
{
    released++;
    free((void *)(uintptr_t)chunk->bytes);
    free(chunk);
}

static struct chunk *make_chunk(char fill, size_t size)
{
    struct chunk *chunk = malloc(sizeof *chunk);
    char *bytes = malloc(size);
    memset(bytes, fill, size);
    *chunk = (struct chunk){.bytes = bytes, .size = size, .references = 1, .release = count_release};
    return chunk;
}

/* Bytes and chunks keep the order in which they were queued, through any number of partial
 * writes: 3000 random pieces, the expected bytes noted beside. */
static void chunks_keep_their_place(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, true);
    struct random random;
    random_init(&random, 7);
    struct buf expected;
    buf_init(&expected);
    int made = 0;
    released = 0;
    for (int i = 0; i < 3000; i++) {
        size_t size = 1 + random_below(&random, random_below(&random, 10) ? 200 : 20000);
        char fill = (char)('a' + i % 26);
        char *at = buf_reserve(&expected, size);
        memset(at, fill, size);
        buf_extend(&expected, size);
        if (random_below(&random, 2)) {
            struct chunk *chunk = make_chunk(fill, size);
            made++;
            stream_send_chunk(pair.a.stream, chunk);
            chunk_drop(chunk);
        } else {
            struct buf *out = stream_out(pair.a.stream);
            memset(buf_reserve(out, size), fill, size);
            buf_extend(out, size);
            stream_mark_dirty(pair.a.stream);
        }
        if (random_below(&random, 8) == 0)
            loop_pass(pair.loop, false);
        stream_check(pair.a.stream);
    }
    DRIVE_UNTIL(pair.loop, buf_size(&pair.b.received) == buf_size(&expected));
    assert_memory_equal(buf_head(&pair.b.received), buf_head(&expected), buf_size(&expected));
    assert_int_equal(released, made);
    assert_int_equal(stream_output_bytes(pair.a.stream), 0);
    buf_deinit(&expected);
    pair_deinit(&pair);
}

/* Low-priority chunks let everything else pass, except within a chunk once begun. */
static void later_chunks_yield(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, true);
    stream_pause(pair.b.stream);
    enum { BULK = 100000 };
    for (int i = 0; i < 3; i++) {
        struct chunk *chunk = make_chunk((char)('1' + i), BULK);
        stream_send_chunk_later(pair.a.stream, chunk);
        chunk_drop(chunk);
    }
    loop_pass(pair.loop, false); /* the first one is begun */
    assert_true(stream_later_bytes(pair.a.stream) > 2 * BULK);
    assert_true(stream_later_bytes(pair.a.stream) < 3 * BULK);
    say(&pair.a, "urgent");
    struct chunk *chunk = make_chunk('u', 5000);
    stream_send_chunk(pair.a.stream, chunk);
    chunk_drop(chunk);
    stream_resume(pair.b.stream);
    DRIVE_UNTIL(pair.loop, buf_size(&pair.b.received) == 3 * BULK + 6 + 5000);
    const char *got = buf_head(&pair.b.received);
    assert_int_equal(got[BULK - 1], '1');
    assert_memory_equal(got + BULK, "urgentuuu", 9);
    assert_int_equal(got[BULK + 6 + 5000], '2');
    assert_int_equal(got[2 * BULK + 6 + 5000], '3');
    pair_deinit(&pair);
}

/* One chunk in many streams; those that end early let go of it. */
static void chunks_are_shared(void **state)
{
    (void)state;
    struct pair one, two;
    pair_init(&one, false);
    pair_init(&two, true);
    released = 0;
    struct chunk *chunk = make_chunk('s', 300000);
    stream_send_chunk(one.a.stream, chunk);
    stream_send_chunk(two.a.stream, chunk);
    stream_send_chunk_later(two.a.stream, chunk);
    assert_int_equal(chunk->references, 4);
    chunk_drop(chunk);
    DRIVE_UNTIL(one.loop, buf_size(&one.b.received) == 300000);
    assert_int_equal(released, 0);
    loop_pass(two.loop, false);
    pair_deinit(&two);
    assert_int_equal(released, 1);
    struct chunk *copy = chunk_copy("copied", 6);
    stream_send_chunk(one.a.stream, copy);
    chunk_drop(copy);
    DRIVE_UNTIL(one.loop, buf_size(&one.b.received) == 300006);
    pair_deinit(&one);
}

/* The input left over goes to a new handler. */
static void handler_changes_hands(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair, false);
    struct end heir = {0};
    pair.b.consumes_nothing = true;
    say(&pair.a, "legacy");
    DRIVE_UNTIL(pair.loop, pair.b.inputs == 1);
    stream_start(pair.b.stream, &end_handler, &heir);
    assert_int_equal(heir.inputs, 0);
    loop_pass(pair.loop, true);
    assert_received(&heir, "legacy");
    buf_deinit(&heir.received);
    pair_deinit(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_over_tcp),
        cmocka_unit_test(idle_streams_hold_nothing),
        cmocka_unit_test(half_close),
        cmocka_unit_test(ends),
        cmocka_unit_test(write_errors_are_reported_later),
        cmocka_unit_test(back_pressure),
        cmocka_unit_test(leftovers),
        cmocka_unit_test(expectations),
        cmocka_unit_test(one_stream_does_not_starve_others),
        cmocka_unit_test(chunks_keep_their_place),
        cmocka_unit_test(later_chunks_yield),
        cmocka_unit_test(chunks_are_shared),
        cmocka_unit_test(handler_changes_hands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
