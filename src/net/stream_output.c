/* The sending half of a stream: what is queued, in which order it goes, and
 * when it is written. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/check.h"
#include "net/stream_private.h"

enum {
    WRITE_PIECES_MAX = 64,
    WRITE_BYTES_MAX = 1024 * 1024, /* gathered for one write */
    WRITES_PER_PASS = 4,
};

/* --- buffers of idle streams ---------------------------------------------------- */

/* An idle stream holds no reply buffer: the emptied one goes to the stream that
 * replies next, which finds it in the processor's cache. */
static void give_buffer_back(struct stream *stream)
{
    struct loop *loop = stream->loop;
    struct buf *out = &stream->out;
    if (!out->data || buf_size(out) > 0)
        return;
    bool fits = out->capacity >= LOOP_SPARE_BYTES && out->capacity <= LOOP_SPARE_BYTES_MAX;
    if (fits && loop->spare_count < LOOP_SPARES_MAX) {
        loop->spares[loop->spare_count++] = *out;
        buf_init(out);
    } else {
        buf_deinit(out);
    }
}

struct buf *stream_out(struct stream *stream)
{
    if (!stream->out.data) {
        struct loop *loop = stream->loop;
        if (loop->spare_count > 0)
            stream->out = loop->spares[--loop->spare_count];
        else
            buf_reserve(&stream->out, LOOP_SPARE_BYTES);
    }
    return &stream->out;
}

void stream_output_deinit(struct stream *stream)
{
    buf_clear(&stream->out);
    give_buffer_back(stream);
    chunk_queue_clear(&stream->chunks);
    chunk_queue_clear(&stream->later);
}

/* --- the order of bytes ---------------------------------------------------------- */

size_t stream_output_bytes(const struct stream *stream)
{
    return buf_size(&stream->out) + stream->chunks.bytes + stream->later.bytes;
}

size_t stream_later_bytes(const struct stream *stream)
{
    return stream->later.bytes;
}

struct gathering {
    struct iovec pieces[WRITE_PIECES_MAX];
    int count;
    size_t bytes;
};

static bool gather(struct gathering *g, const char *bytes, size_t size)
{
    if (size > 0) {
        g->pieces[g->count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
        g->bytes += size;
    }
    return g->count < WRITE_PIECES_MAX && g->bytes < WRITE_BYTES_MAX;
}

static bool gather_chunk(struct gathering *g, const struct chunk_queue *queue, size_t index)
{
    const struct chunk *chunk = chunk_queue_at(queue, index)->chunk;
    size_t sent = index == 0 ? queue->front_sent : 0;
    return gather(g, chunk->bytes + sent, chunk->size - sent);
}

/* The begun chunk of the later queue; out with its chunks; the later queue.
 * consume below follows the same order. */
static void gather_all(const struct stream *stream, struct gathering *g)
{
    g->count = 0;
    g->bytes = 0;
    bool is_later_begun = stream->later.front_sent > 0;
    if (is_later_begun && !gather_chunk(g, &stream->later, 0))
        return;
    const char *out = buf_size(&stream->out) > 0 ? buf_head(&stream->out) : "";
    size_t at = 0;
    for (size_t i = 0; i < stream->chunks.count; i++) {
        size_t before = (size_t)(chunk_queue_at(&stream->chunks, i)->position - stream->out_sent) - at;
        if (!gather(g, out + at, before))
            return;
        at += before;
        if (!gather_chunk(g, &stream->chunks, i))
            return;
    }
    if (!gather(g, out + at, buf_size(&stream->out) - at))
        return;
    for (size_t i = is_later_begun; i < stream->later.count; i++)
        if (!gather_chunk(g, &stream->later, i))
            return;
}

static size_t consume_out(struct stream *stream, size_t size, size_t limit)
{
    size_t taken = size < limit ? size : limit;
    buf_consume(&stream->out, taken);
    stream->out_sent += taken;
    return taken;
}

static void consume(struct stream *stream, size_t size)
{
    if (stream->later.front_sent > 0)
        size -= chunk_queue_consume_front(&stream->later, size);
    while (size > 0 && stream->chunks.count > 0) {
        uint64_t position = chunk_queue_at(&stream->chunks, 0)->position;
        size -= consume_out(stream, size, (size_t)(position - stream->out_sent));
        if (size > 0)
            size -= chunk_queue_consume_front(&stream->chunks, size);
    }
    if (size > 0)
        size -= consume_out(stream, size, buf_size(&stream->out));
    while (size > 0)
        size -= chunk_queue_consume_front(&stream->later, size);
}

/* --- writing --------------------------------------------------------------------- */

enum progress { PROGRESS_DONE, PROGRESS_BLOCKED, PROGRESS_MORE, PROGRESS_FAILED };

static ssize_t send_once(struct stream *stream, size_t *asked)
{
    if (stream->chunks.count == 0 && stream->later.count == 0) {
        *asked = buf_size(&stream->out);
        return send(stream->fd, buf_head(&stream->out), *asked, MSG_NOSIGNAL);
    }
    struct gathering g;
    gather_all(stream, &g);
    *asked = g.bytes;
    struct msghdr message = {.msg_iov = g.pieces, .msg_iovlen = (size_t)g.count};
    return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

static enum progress write_share(struct stream *stream)
{
    for (int i = 0; i < WRITES_PER_PASS; i++) {
        if (stream_output_bytes(stream) == 0)
            return PROGRESS_DONE;
        size_t asked;
        ssize_t sent = send_once(stream, &asked);
        stream->loop->figures.writes++;
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN ? PROGRESS_BLOCKED : PROGRESS_FAILED;
        stream->loop->figures.bytes_out += (uint64_t)sent;
        stream->bytes_out += (uint64_t)sent;
        consume(stream, (size_t)sent);
        if ((size_t)sent < asked)
            return PROGRESS_BLOCKED; /* the kernel's buffer is full: asking again costs a call */
    }
    return stream_output_bytes(stream) ? PROGRESS_MORE : PROGRESS_DONE;
}

static void watch_output(struct stream *stream, bool should)
{
    if (should == stream->is_writing)
        return;
    int failed = should ? event_add(&stream->write_event, NULL) : event_del(&stream->write_event);
    CHECK(!failed);
    stream->is_writing = should;
}

static void write_out(struct stream *stream)
{
    enum progress progress = write_share(stream);
    if (progress == PROGRESS_FAILED) {
        stream_end(stream, STREAM_END_ERROR, errno);
        return;
    }
    watch_output(stream, progress != PROGRESS_DONE);
    if (progress != PROGRESS_DONE)
        return;
    give_buffer_back(stream);
    if (stream->is_draining)
        stream_end(stream, STREAM_END_FLUSHED, 0);
}

void stream_on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct stream *stream = context;
    loop_enter(stream->loop);
    write_out(stream);
    bool is_drained = !stream->is_ended && !stream->is_writing;
    if (is_drained && stream->handler && stream->handler->on_drained)
        stream_call_and_free(stream, stream->handler->on_drained);
}

void stream_flush(struct stream *stream)
{
    if (list_is_linked(&stream->dirty_link))
        list_remove(&stream->dirty_link);
    if (!stream->is_ended && !stream->is_writing)
        write_out(stream);
}

void stream_mark_dirty(struct stream *stream)
{
    if (!stream->is_ended && !stream->is_writing && !list_is_linked(&stream->dirty_link))
        list_append(&stream->loop->dirty, &stream->dirty_link);
}

void streams_flush_dirty(struct loop *loop)
{
    while (!list_is_empty(&loop->dirty))
        stream_flush(LIST_ENTRY(list_first(&loop->dirty), struct stream, dirty_link));
}

void stream_send_chunk(struct stream *stream, struct chunk *chunk)
{
    if (stream->is_ended)
        return;
    chunk_queue_push(&stream->chunks, chunk, stream->out_sent + buf_size(&stream->out));
    stream_mark_dirty(stream);
}

void stream_send_chunk_later(struct stream *stream, struct chunk *chunk)
{
    if (stream->is_ended)
        return;
    chunk_queue_push(&stream->later, chunk, 0);
    stream_mark_dirty(stream);
}

void stream_close_after_flush(struct stream *stream)
{
    if (stream->is_ended)
        return;
    stream->is_draining = true;
    stream_watch_input(stream);
    stream_mark_dirty(stream);
}
