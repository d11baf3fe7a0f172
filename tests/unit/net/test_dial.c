/* Goal: a dial ends exactly once, with a working stream or a reason, and leaves nothing
 * behind however it ends.
 * Method: a stub peer in the same loop answers each command with scripted bytes; loop_free
 * checks that no dial or stream is left, and the open descriptors are counted. */
#include "drive.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dial.h"

/* The stub answers the n-th input with the n-th script, NULL closing the connection, and
 * "" not answering. */
struct stub {
    struct end end;
    const char *const *script;
    struct buf heard;
    int closes;
};

static void stub_on_input(void *context, struct stream *stream)
{
    struct stub *stub = context;
    struct buf *in = stream_in(stream);
    buf_append(&stub->heard, buf_head(in), buf_size(in));
    buf_consume(in, buf_size(in));
    const char *answer = *stub->script++;
    if (!answer) {
        stub->end.stream = NULL;
        stream_free(stream);
        return;
    }
    buf_append(stream_out(stream), answer, strlen(answer));
    stream_mark_dirty(stream);
}

static void stub_on_close(void *context, struct stream *stream, enum stream_end reason)
{
    (void)reason;
    struct stub *stub = context;
    stub->end.stream = NULL;
    stub->closes++;
    stream_free(stream);
}

static const struct stream_handler stub_handler = {stub_on_input, NULL, stub_on_close, NULL};

static void stub_accept(void *context, struct stream *stream)
{
    struct stub *stub = context;
    stub->end.stream = stream;
    stream_start(stream, &stub_handler, stub);
}

struct caller {
    struct dial *dial;
    struct stream *stream;
    char error[256];
    int dones;
    size_t replies;
    struct buf seen;
    bool cancels;
    bool is_picky;
};

static bool on_reply(void *context, size_t index, const struct dial_reply *reply)
{
    struct caller *caller = context;
    assert_int_equal(index, caller->replies);
    caller->replies++;
    char head[32];
    snprintf(head, sizeof head, "%d:", (int)reply->kind);
    buf_append(&caller->seen, head, strlen(head));
    buf_append_slice(&caller->seen, reply->text);
    for (size_t i = 0; i < reply->element_count; i++) {
        buf_append(&caller->seen, ",", 1);
        buf_append_slice(&caller->seen, reply->elements[i]);
    }
    buf_append(&caller->seen, ";", 1);
    if (caller->cancels) {
        dial_cancel(caller->dial);
        caller->dial = NULL;
    }
    return reply->kind != DIAL_REPLY_ERROR && !caller->is_picky;
}

static void on_done(void *context, struct stream *stream, const char *error)
{
    struct caller *caller = context;
    caller->dones++;
    caller->dial = NULL;
    caller->stream = stream;
    assert_true(!stream == !!error);
    snprintf(caller->error, sizeof caller->error, "%s", error ? error : "");
}

static size_t open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

struct scene {
    struct loop *loop;
    struct listener *listener;
    struct stub stub;
    struct caller caller;
    size_t descriptors;
};

static void scene_init(struct scene *scene, const char *const *script)
{
    *scene = (struct scene){.descriptors = open_descriptors()};
    scene->loop = loop_create();
    scene->stub.script = script;
    scene->listener = listen_local(scene->loop, stub_accept, &scene->stub);
}

static void scene_dial(struct scene *scene, const char *host, uint16_t port, int64_t timeout_us, int64_t connect_us)
{
    struct slice hello[] = {SLICE_LITERAL("AUTH"), SLICE_LITERAL("a b\r\n")};
    struct slice join[] = {SLICE_LITERAL("JOIN"), SLICE_LITERAL("")};
    struct dial_command commands[] = {{hello, 2}, {join, 2}};
    struct dial_options options = {.host = host,
                                   .port = port,
                                   .timeout_us = timeout_us,
                                   .connect_timeout_us = connect_us,
                                   .commands = commands,
                                   .command_count = 2,
                                   .on_reply = on_reply,
                                   .on_done = on_done,
                                   .context = &scene->caller};
    scene->caller.dial = dial_start(scene->loop, &options);
    memset(hello, 0, sizeof hello); /* all of it was copied */
    memset(commands, 0, sizeof commands);
}

static void scene_deinit(struct scene *scene)
{
    for (int i = 0; i < 3; i++)
        loop_pass(scene->loop, false);
    stream_free(scene->caller.stream);
    stream_free(scene->stub.end.stream);
    buf_deinit(&scene->stub.heard);
    buf_deinit(&scene->caller.seen);
    listener_free(scene->listener);
    loop_free(scene->loop);
    assert_int_equal(open_descriptors(), scene->descriptors);
}

static void dial_stub(struct scene *scene)
{
    scene_dial(scene, "127.0.0.1", listener_port(scene->listener), 10000000, 0);
}

static void assert_failed(const struct scene *scene, const char *error)
{
    assert_int_equal(scene->caller.dones, 1);
    assert_null(scene->caller.stream);
    assert_string_equal(scene->caller.error, error);
}

/* Commands go one by one; the stream handed over is the same connection, and carries
 * bytes both ways. */
static void success(void **state)
{
    (void)state;
    const char *script[] = {"+OK\r\n", "*4\r\n$3\r\nyes\r\n:42\r\n$-1\r\n+st\r\n", "frames back", NULL};
    struct scene scene;
    scene_init(&scene, script);
    dial_stub(&scene);
    assert_int_equal(scene.caller.dones, 0);
    DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
    assert_string_equal(scene.caller.error, "");
    const char *seen = "0:OK;3:,yes,42,,st;";
    assert_int_equal(buf_size(&scene.caller.seen), strlen(seen));
    assert_memory_equal(buf_head(&scene.caller.seen), seen, strlen(seen));
    const char *heard = "*2\r\n$4\r\nAUTH\r\n$5\r\na b\r\n\r\n*2\r\n$4\r\nJOIN\r\n$0\r\n\r\n";
    assert_int_equal(buf_size(&scene.stub.heard), strlen(heard));
    assert_memory_equal(buf_head(&scene.stub.heard), heard, strlen(heard));
    struct end end = {.stream = scene.caller.stream};
    scene.caller.stream = NULL;
    stream_start(end.stream, &end_handler, &end);
    buf_append(stream_out(end.stream), "frame", 5);
    stream_mark_dirty(end.stream);
    DRIVE_UNTIL(scene.loop, buf_size(&end.received) == 11);
    assert_memory_equal(buf_head(&end.received), "frames back", 11);
    assert_memory_equal(buf_head(&scene.stub.heard) + strlen(heard), "frame", 5);
    /* hiredis's descriptor is really closed: no event of it stirs the loop. */
    uint64_t reads = loop_figures(scene.loop).reads;
    for (int i = 0; i < 10; i++)
        loop_pass(scene.loop, false);
    assert_int_equal(loop_figures(scene.loop).reads, reads);
    end_deinit(&end);
    DRIVE_UNTIL(scene.loop, scene.stub.closes == 1);
    scene_deinit(&scene);
}

static void refused_connection(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, NULL);
    uint16_t port = listener_port(scene.listener);
    listener_free(scene.listener);
    scene.listener = NULL;
    scene_dial(&scene, "127.0.0.1", port, 10000000, 0);
    assert_int_equal(scene.caller.dones, 0); /* never inside dial_start */
    DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
    assert_failed(&scene, "cannot connect: Connection refused");
    scene_deinit(&scene);
}

static void unknown_host(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, NULL);
    scene_dial(&scene, "300.300.300.300", 1, 10000000, 0);
    assert_int_equal(scene.caller.dones, 0);
    DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
    assert_null(scene.caller.stream);
    assert_non_null(strstr(scene.caller.error, "cannot connect: "));
    scene_deinit(&scene);
}

static void refused_command(void **state)
{
    (void)state;
    const char *script[] = {"-WRONGPASS no\r\n", NULL};
    struct scene scene;
    scene_init(&scene, script);
    dial_stub(&scene);
    DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
    assert_failed(&scene, "refused: WRONGPASS no");
    assert_int_equal(scene.caller.replies, 1);
    DRIVE_UNTIL(scene.loop, scene.stub.closes == 1);
    scene_deinit(&scene);
}

static void unwanted_reply(void **state)
{
    (void)state;
    const char *script[] = {":1\r\n", NULL};
    struct scene scene;
    scene_init(&scene, script);
    scene.caller.is_picky = true;
    dial_stub(&scene);
    DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
    assert_failed(&scene, "unexpected reply to command 0");
    scene_deinit(&scene);
}

static void peer_closes(void **state)
{
    (void)state;
    const char *at_first[] = {NULL}, *at_second[] = {"+OK\r\n", NULL}, *garbage[] = {"?what\r\n", NULL};
    const char *const *scripts[] = {at_first, at_second, garbage};
    for (int i = 0; i < 3; i++) {
        struct scene scene;
        scene_init(&scene, scripts[i]);
        dial_stub(&scene);
        DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
        assert_null(scene.caller.stream);
        assert_memory_equal(scene.caller.error, "connection lost: ", 17);
        scene_deinit(&scene);
    }
}

/* Bytes behind the last reply would be lost: that is a failure, said aloud. */
static void bytes_behind_the_last_reply(void **state)
{
    (void)state;
    const char *script[] = {"+OK\r\n", "+OK\r\nXYZ", NULL};
    struct scene scene;
    scene_init(&scene, script);
    dial_stub(&scene);
    DRIVE_UNTIL(scene.loop, scene.caller.dones == 1);
    assert_failed(&scene, "3 bytes behind the last reply");
    scene_deinit(&scene);
}

static void timeouts(void **state)
{
    (void)state;
    const char *mute[] = {"", NULL};
    struct scene scene;
    scene_init(&scene, mute);
    scene_dial(&scene, "127.0.0.1", listener_port(scene.listener), 2000, 0);
    while (!scene.caller.dones)
        loop_pass(scene.loop, true);
    assert_failed(&scene, "timed out");
    scene_deinit(&scene);
}

/* Ports of a listener whose queue is full do not answer: the kernel would repeat the SYN after a second. */
static void connecting_has_its_own_time(void **state)
{
    (void)state;
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), queued[4];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_int_equal(bind(full, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(full, 0), 0);
    assert_int_equal(getsockname(full, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < 4; i++) {
        queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(queued[i], (struct sockaddr *)&address, length);
    }
    const char *none[] = {NULL};
    struct scene scene;
    scene_init(&scene, none);
    scene_dial(&scene, "127.0.0.1", ntohs(address.sin_port), INT64_C(3600000000), 2000);
    while (!scene.caller.dones)
        loop_pass(scene.loop, true);
    assert_failed(&scene, "timed out");
    scene_deinit(&scene);
    for (int i = 0; i < 4; i++)
        close(queued[i]);
    close(full);
}

/* Connected, the whole time is left for the answers. */
static void an_answer_may_take_longer_than_connecting(void **state)
{
    (void)state;
    const char *mute[] = {"", NULL};
    struct scene scene;
    scene_init(&scene, mute);
    int64_t begin_us = loop_now_us(scene.loop);
    scene_dial(&scene, "127.0.0.1", listener_port(scene.listener), 60000, 20000);
    while (!scene.caller.dones)
        loop_pass(scene.loop, true);
    assert_true(loop_now_us(scene.loop) >= begin_us + 60000);
    assert_failed(&scene, "timed out");
    scene_deinit(&scene);
}

/* Cancelled before the connection, between replies, inside on_reply, and when the end is
 * already decided: never a callback after. */
static void cancelling(void **state)
{
    (void)state;
    const char *script[] = {"+OK\r\n", "+OK\r\n", NULL};
    for (int passes = 0; passes < 12; passes++) {
        struct scene scene;
        scene_init(&scene, script);
        dial_stub(&scene);
        for (int i = 0; i < passes && !scene.caller.dones; i++)
            loop_pass(scene.loop, false);
        if (scene.caller.dial) {
            dial_cancel(scene.caller.dial);
            for (int i = 0; i < 5; i++)
                loop_pass(scene.loop, false);
            assert_int_equal(scene.caller.dones, 0);
        }
        scene_deinit(&scene);
    }
    struct scene scene;
    scene_init(&scene, script);
    scene.caller.cancels = true;
    dial_stub(&scene);
    DRIVE_UNTIL(scene.loop, scene.caller.replies == 1);
    DRIVE_UNTIL(scene.loop, scene.stub.closes == 1);
    assert_int_equal(scene.caller.dones, 0);
    scene_deinit(&scene);
}

static void cancel_when_answered(void *context)
{
    struct scene *scene = context;
    if (scene->caller.replies == 2 && scene->caller.dial) {
        dial_cancel(scene->caller.dial);
        scene->caller.dial = NULL;
    }
}

/* Cancelled in the pass of the last reply, by a timer that runs between the reply and the
 * report: the connection already taken over is closed. */
static void cancelling_at_the_last_moment(void **state)
{
    (void)state;
    const char *script[] = {"+OK\r\n", "+OK\r\n", NULL};
    struct scene scene;
    scene_init(&scene, script);
    dial_stub(&scene);
    struct timer timer;
    timer_init(&timer, scene.loop, cancel_when_answered, &scene);
    for (int i = 0; i < PASSES_MAX && !scene.stub.closes; i++) {
        timer_set(&timer, loop_now_us(scene.loop));
        loop_pass(scene.loop, false);
    }
    timer_cancel(&timer);
    assert_int_equal(scene.stub.closes, 1);
    assert_int_equal(scene.caller.replies, 2);
    assert_int_equal(scene.caller.dones, 0);
    scene_deinit(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success),         cmocka_unit_test(refused_connection),
        cmocka_unit_test(unknown_host),    cmocka_unit_test(refused_command),
        cmocka_unit_test(unwanted_reply),  cmocka_unit_test(peer_closes),
        cmocka_unit_test(bytes_behind_the_last_reply),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(connecting_has_its_own_time),
        cmocka_unit_test(an_answer_may_take_longer_than_connecting),
        cmocka_unit_test(cancelling),
        cmocka_unit_test(cancelling_at_the_last_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
