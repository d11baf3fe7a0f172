/* A stream: one connected, non-blocking TCP or unix socket.
 *
 *                 bytes arrive                     the other side ends
 *   (adopted) --stream_start--> reading --------------------------> half-closed
 *                                 |  ^                                   |
 *                     stream_pause|  |stream_resume                      |
 *                                 v  |                                   |
 *                                paused                                  |
 *      any of these --stream_close_after_flush--> draining --all sent--> ended
 *      any of these --error, or end without on_end---------------------> ended
 *
 * An error ends the stream at once; input not read by then is lost.
 * Ended means: on_close is called once, from the loop, with the descriptor
 * already closed.  stream_free is what gives the memory back; it may be called
 * at any time, in any callback, and no callback follows it.
 *
 * Input.  Bytes are read into a buf the consumer takes them from.  A stream
 * with nothing left over holds no input memory: it borrows the loop's buffer
 * for the length of the callback.  So bytes left unconsumed move when the
 * callback returns.  One pass reads at most STREAM_READ_BYTES_PER_PASS
 * from one stream (four times that towards a large expected command), so that
 * none starves the others.
 *
 * Output.  Replies are built in place in stream_out, and leave at the end of
 * the pass in one write.  Large payloads go beside it as chunks, shared and
 * never copied; they keep their place among the bytes of stream_out.  A second
 * queue of chunks yields to everything else: it moves only when nothing
 * else waits, but a chunk once begun is finished.  The stream bounds neither:
 * whoever fills it watches stream_output_bytes. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct loop;
struct stream;

enum { STREAM_READ_BYTES_PER_PASS = 64 * 1024 };
enum { STREAM_ADDRESS_MAX = 128 };

enum stream_end {
    STREAM_END_PEER,    /* the other side closed */
    STREAM_END_ERROR,   /* stream_error says why */
    STREAM_END_FLUSHED, /* stream_close_after_flush is complete */
};

struct stream_handler {
    /* New bytes are in stream_in, or reading was resumed with bytes left.  Who
     * stops with whole commands unconsumed pauses, and resumes later. */
    void (*on_input)(void *context, struct stream *stream);
    /* The other side will send nothing more, but may still read.  NULL: that ends the
     * stream (STREAM_END_PEER). */
    void (*on_end)(void *context, struct stream *stream);
    void (*on_close)(void *context, struct stream *stream, enum stream_end end);
    /* Everything queued has been sent, after some of it had to wait.  May be NULL. */
    void (*on_drained)(void *context, struct stream *stream);
};

/* Shared immutable bytes.  Embedded or allocated by its maker, who holds the
 * first reference.  release is called when the last one goes, possibly
 * during a flush: it frees, and touches no stream. */
struct chunk {
    const char *bytes;
    size_t size; /* greater than 0 */
    uint32_t references;
    void (*release)(struct chunk *chunk);
};
void chunk_hold(struct chunk *chunk);
void chunk_drop(struct chunk *chunk);
/* A chunk of its own copy of the bytes, with one reference. */
struct chunk *chunk_copy(const void *bytes, size_t size);

/* Takes a connected descriptor over (also when it was made elsewhere); sets it
 * non-blocking, without Nagle's delay.  Nothing is read before stream_start. */
struct stream *stream_adopt(struct loop *loop, int fd);
/* handler is borrowed for the stream's life.  May be called again: the new
 * handler takes over what is left of the input, delivered in the next pass. */
void stream_start(struct stream *stream, const struct stream_handler *handler, void *context);
void stream_free(struct stream *stream);

struct buf *stream_in(struct stream *stream);
/* on_input is not called before stream_in holds this many bytes; room for them is
 * made as they arrive.  Cleared when reached. */
void stream_expect(struct stream *stream, size_t bytes_total);
/* Back-pressure: reads nothing, calls no on_input.  Pausing twice is pausing once. */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);
bool stream_is_paused(const struct stream *stream);

/* The reply buffer: append to it, then mark dirty.  The pointer lives as
 * long as the stream. */
struct buf *stream_out(struct stream *stream);
/* Flushes at the end of this pass.  Ignored once the stream has ended. */
void stream_mark_dirty(struct stream *stream);
/* Writes now what the socket takes.  Never calls back. */
void stream_flush(struct stream *stream);
/* Queues behind what stream_out holds now; the stream takes a reference of its
 * own.  Marks dirty.  Below about a kilobyte copying into stream_out is cheaper. */
void stream_send_chunk(struct stream *stream, struct chunk *chunk);
/* Queues behind everything, present and future, except other such chunks. */
void stream_send_chunk_later(struct stream *stream, struct chunk *chunk);
/* Bytes that wait to be sent; the second counts the low-priority queue alone. */
size_t stream_output_bytes(const struct stream *stream);
size_t stream_later_bytes(const struct stream *stream);
/* Reads nothing more, sends what is queued, then ends.  A reader that never reads
 * is the caller's to time out. */
void stream_close_after_flush(struct stream *stream);

/* errno of STREAM_END_ERROR. */
int stream_error(const struct stream *stream);
/* "127.0.0.1:6379", "[::1]:6379", "/path/of/socket:0". */
const char *stream_peer_address(const struct stream *stream);
const char *stream_local_address(const struct stream *stream);
bool stream_is_unix(const struct stream *stream);
int stream_fd(const struct stream *stream);
/* 0 turns keepalive off. */
void stream_set_keepalive(struct stream *stream, int seconds);
uint64_t stream_bytes_in(const struct stream *stream);
uint64_t stream_bytes_out(const struct stream *stream);
/* Memory it holds, shared chunks not counted. */
size_t stream_memory(const struct stream *stream);
/* Walks the stream against its invariants. */
void stream_check(const struct stream *stream);

#endif
