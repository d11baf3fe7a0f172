/* Shared by the tests of net: a loop driven until something is true, without
 * sleeping.  Passes do not wait, except in the kernel for a timer that is set; a
 * condition that does not come true within PASSES_MAX passes fails the test. */
#ifndef TESTS_DRIVE_H
#define TESTS_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/timer.h"

enum { PASSES_MAX = 200000 };

#define DRIVE_UNTIL(loop, condition)                         \
    do {                                                     \
        int passes_left = PASSES_MAX;                        \
        while (!(condition) && passes_left-- > 0)            \
            loop_pass(loop, false);                          \
        assert_true(passes_left > 0);                        \
    } while (0)

/* One end of a connection and what befell it. */
struct end {
    struct stream *stream;
    struct buf received;
    int inputs, ends, closes, drains;
    enum stream_end reason;
    bool echoes, frees_on_input, frees_on_close, consumes_nothing, takes_end;
};

static void end_on_input(void *context, struct stream *stream)
{
    struct end *end = context;
    end->inputs++;
    struct buf *in = stream_in(stream);
    if (end->echoes) {
        buf_append(stream_out(stream), buf_head(in), buf_size(in));
        stream_mark_dirty(stream);
    }
    if (end->consumes_nothing)
        return;
    buf_append(&end->received, buf_head(in), buf_size(in));
    buf_consume(in, buf_size(in));
    if (end->frees_on_input) {
        end->stream = NULL;
        stream_free(stream);
    }
}

static void end_on_end(void *context, struct stream *stream)
{
    struct end *end = context;
    end->ends++;
    stream_close_after_flush(stream);
}

static void end_on_close(void *context, struct stream *stream, enum stream_end reason)
{
    struct end *end = context;
    end->closes++;
    end->reason = reason;
    stream_check(stream);
    if (end->frees_on_close) {
        end->stream = NULL;
        stream_free(stream);
    }
}

static void end_on_drained(void *context, struct stream *stream)
{
    struct end *end = context;
    (void)stream;
    end->drains++;
}

static const struct stream_handler end_handler = {end_on_input, NULL, end_on_close, end_on_drained};
static const struct stream_handler half_close_handler = {end_on_input, end_on_end, end_on_close, end_on_drained};

static inline void end_deinit(struct end *end)
{
    stream_free(end->stream);
    buf_deinit(&end->received);
    *end = (struct end){0};
}

static inline void accept_into(void *context, struct stream *stream)
{
    struct end *end = context;
    assert_null(end->stream);
    end->stream = stream;
    stream_start(stream, end->takes_end ? &half_close_handler : &end_handler, end);
}

static inline struct listener *listen_local(struct loop *loop, listener_fn *on_accept, void *context)
{
    const char *addresses[] = {"127.0.0.1"};
    struct listener_options options = {
        .addresses = addresses, .address_count = 1, .on_accept = on_accept, .context = context};
    struct listener *listener;
    char error[LISTENER_ERROR_MAX];
    assert_int_equal(listener_create(&listener, loop, &options, error), STATUS_OK);
    return listener;
}

static inline int connect_local(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

#endif
