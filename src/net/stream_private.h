/* The stream as its two halves see it: stream.c (life and input) and
 * stream_output.c. */
#ifndef NET_STREAM_PRIVATE_H
#define NET_STREAM_PRIVATE_H

#include "net/chunk_queue.h"
#include "net/loop_private.h"
#include "net/stream.h"

/* I1: read_event is added only while the stream is started, neither paused, at its
 *     input's end, draining nor ended.
 * I2: write_event is added only after the socket refused bytes, and then no flush is
 *     tried before it fires.
 * I3: positions in chunks do not decrease, and lie in [out_sent, out_sent + size of out].
 * I4: an ended stream is in no list but the deferred, and has no event added. */
struct stream {
    struct loop *loop;
    int fd; /* -1 once ended */
    const struct stream_handler *handler;
    void *context;
    struct event read_event, write_event;
    struct deferred deferred;
    struct list_link dirty_link;

    bool is_reading, is_writing; /* the events are added */
    bool is_paused, is_input_ended, is_draining, is_ended;
    bool is_delivery_due; /* the deferred call is to deliver input, */
    bool is_close_due;    /* or to report the end */
    bool is_in_callback, is_freed;
    bool is_unix;
    enum stream_end end;
    int error;

    struct buf in;
    size_t expected;

    struct buf out;
    uint64_t out_sent;         /* bytes of out sent since birth */
    struct chunk_queue chunks; /* among the bytes of out, by position */
    struct chunk_queue later;  /* behind everything */

    uint64_t bytes_in, bytes_out;
    char peer_address[STREAM_ADDRESS_MAX], local_address[STREAM_ADDRESS_MAX];
};

/* The stream is over; on_close follows from the loop. */
void stream_end(struct stream *stream, enum stream_end end, int error);
/* Adds or removes the read event as I1 says. */
void stream_watch_input(struct stream *stream);
/* Calls back; the stream may be freed within, and is then gone. */
void stream_call_and_free(struct stream *stream, void (*fn)(void *context, struct stream *stream));
/* libevent's callback for a socket that takes bytes again. */
void stream_on_writable(evutil_socket_t fd, short what, void *context);
/* Everything the output half holds. */
void stream_output_deinit(struct stream *stream);

#endif
