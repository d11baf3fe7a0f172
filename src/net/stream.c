#include "net/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "net/stream_private.h"

enum {
    READ_BYTES_MIN = 16 * 1024,                             /* room made for a read of no known size */
    READ_BYTES_EXPECTED = 4 * STREAM_READ_BYTES_PER_PASS, /* per pass, towards a large command */
};

/* --- addresses ------------------------------------------------------------------ */

static void describe(const struct sockaddr_storage *address, socklen_t size, char text[static STREAM_ADDRESS_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(text, STREAM_ADDRESS_MAX, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(text, STREAM_ADDRESS_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else if (address->ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)address;
        size_t path = size > offsetof(struct sockaddr_un, sun_path) ? size - offsetof(struct sockaddr_un, sun_path) : 0;
        snprintf(text, STREAM_ADDRESS_MAX, "%.*s:0", (int)strnlen(un->sun_path, path), un->sun_path);
    } else {
        snprintf(text, STREAM_ADDRESS_MAX, "?:0");
    }
}

static void describe_ends(struct stream *stream)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(stream->fd, (struct sockaddr *)&address, &size) < 0)
        address.ss_family = AF_UNSPEC;
    describe(&address, size, stream->local_address);
    stream->is_unix = address.ss_family == AF_UNIX;
    address = (struct sockaddr_storage){0};
    size = sizeof address;
    if (getpeername(stream->fd, (struct sockaddr *)&address, &size) < 0)
        address.ss_family = AF_UNSPEC;
    describe(&address, size, stream->peer_address);
    /* The connecting end of a unix socket has no name: show the one it came to. */
    if (stream->is_unix && stream->peer_address[0] == ':')
        memcpy(stream->peer_address, stream->local_address, STREAM_ADDRESS_MAX);
    else if (stream->is_unix && stream->local_address[0] == ':')
        memcpy(stream->local_address, stream->peer_address, STREAM_ADDRESS_MAX);
}

/* --- life ----------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *context);
static void on_deferred(void *context);

struct stream *stream_adopt(struct loop *loop, int fd)
{
    CHECK(fd >= 0);
    struct stream *stream = mem_calloc(1, sizeof *stream);
    stream->loop = loop;
    stream->fd = fd;
    stream->deferred = (struct deferred){.fn = on_deferred, .context = stream};
    int flags = fcntl(fd, F_GETFL);
    int failed = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0;
    CHECK(!failed);
    describe_ends(stream);
    if (!stream->is_unix) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    failed = event_assign(&stream->read_event, loop->base, fd, EV_READ | EV_PERSIST, on_readable, stream) ||
             event_assign(&stream->write_event, loop->base, fd, EV_WRITE | EV_PERSIST, stream_on_writable, stream);
    CHECK(!failed);
    loop_object_added(loop);
    return stream;
}

void stream_start(struct stream *stream, const struct stream_handler *handler, void *context)
{
    CHECK(handler->on_input);
    CHECK(handler->on_close);
    stream->handler = handler;
    stream->context = context;
    stream_watch_input(stream);
    stream->is_delivery_due = !stream->is_ended && buf_size(&stream->in) > 0;
    if (stream->is_delivery_due || stream->is_close_due)
        loop_defer(stream->loop, &stream->deferred);
}

/* Everything but the memory of the stream itself. */
static void detach(struct stream *stream)
{
    if (stream->is_reading)
        event_del(&stream->read_event);
    if (stream->is_writing)
        event_del(&stream->write_event);
    stream->is_reading = stream->is_writing = false;
    if (list_is_linked(&stream->dirty_link))
        list_remove(&stream->dirty_link);
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

void stream_free(struct stream *stream)
{
    if (!stream)
        return;
    CHECK(!stream->is_freed);
    stream->is_ended = true;
    detach(stream);
    loop_defer_cancel(&stream->deferred);
    stream_output_deinit(stream);
    loop_object_removed(stream->loop);
    if (stream->is_in_callback) {
        stream->is_freed = true; /* free_rest follows: the caller still looks */
        return;
    }
    buf_deinit(&stream->in);
    mem_free(stream);
}

/* Calls back with protection against being freed within.  False: it was, and
 * free_rest is due. */
static bool call(struct stream *stream, void (*fn)(void *context, struct stream *stream))
{
    CHECK(!stream->is_in_callback);
    stream->is_in_callback = true;
    fn(stream->context, stream);
    stream->is_in_callback = false;
    return !stream->is_freed;
}

static void free_rest(struct stream *stream)
{
    buf_deinit(&stream->in);
    mem_free(stream);
}

void stream_call_and_free(struct stream *stream, void (*fn)(void *context, struct stream *stream))
{
    if (!call(stream, fn))
        free_rest(stream);
}

void stream_end(struct stream *stream, enum stream_end end, int error)
{
    if (stream->is_ended)
        return;
    stream->is_ended = true;
    stream->end = end;
    stream->error = error;
    stream->is_delivery_due = false;
    stream->is_close_due = true;
    detach(stream);
    loop_defer(stream->loop, &stream->deferred);
}

static void report_end(struct stream *stream)
{
    if (!stream->handler || !stream->is_close_due)
        return; /* not started: stream_start will report it */
    stream->is_close_due = false;
    stream->is_in_callback = true;
    stream->handler->on_close(stream->context, stream, stream->end);
    stream->is_in_callback = false;
    if (stream->is_freed)
        free_rest(stream);
}

/* --- input ---------------------------------------------------------------------- */

void stream_watch_input(struct stream *stream)
{
    bool should = stream->handler && !stream->is_paused && !stream->is_input_ended && !stream->is_draining &&
                  !stream->is_ended;
    if (should == stream->is_reading)
        return;
    int failed = should ? event_add(&stream->read_event, NULL) : event_del(&stream->read_event);
    CHECK(!failed);
    stream->is_reading = should;
}

/* A stream with nothing left over reads into the loop's buffer. */
static bool borrow_buffer(struct stream *stream)
{
    if (buf_size(&stream->in) > 0 || stream->expected > STREAM_READ_BYTES_PER_PASS || !stream->loop->input.data)
        return false;
    buf_deinit(&stream->in);
    stream->in = stream->loop->input;
    buf_init(&stream->loop->input);
    return true;
}

/* What the consumer left moves to memory of the stream's own. */
static void return_buffer(struct stream *stream)
{
    struct buf lent = stream->in;
    buf_init(&stream->in);
    if (buf_size(&lent) > 0 && !stream->is_freed)
        buf_append(&stream->in, buf_head(&lent), buf_size(&lent));
    buf_clear(&lent);
    stream->loop->input = lent;
}

/* How much room to make: doubling what has arrived, so that a claimed length alone
 * allocates nothing to speak of. */
static size_t room_wanted(const struct stream *stream)
{
    size_t have = buf_size(&stream->in);
    size_t missing = stream->expected > have ? stream->expected - have : 0;
    size_t bound = have + STREAM_READ_BYTES_PER_PASS;
    size_t wanted = missing < bound ? missing : bound;
    return wanted > READ_BYTES_MIN ? wanted : READ_BYTES_MIN;
}

/* Reads until the socket is empty or the pass's share is used up.  Returns false at the
 * input's end or on an error, which is then in *error (0: end). */
static bool read_share(struct stream *stream, int *error)
{
    size_t budget =
        stream->expected > STREAM_READ_BYTES_PER_PASS ? READ_BYTES_EXPECTED : STREAM_READ_BYTES_PER_PASS;
    while (budget > 0) {
        char *room = buf_reserve(&stream->in, room_wanted(stream));
        size_t asked = buf_room(&stream->in) < budget ? buf_room(&stream->in) : budget;
        ssize_t got = recv(stream->fd, room, asked, 0);
        stream->loop->figures.reads++;
        if (got < 0) {
            *error = errno;
            return errno == EAGAIN || errno == EINTR;
        }
        if (got == 0) {
            *error = 0;
            return false;
        }
        stream->loop->figures.bytes_in += (uint64_t)got;
        stream->bytes_in += (uint64_t)got;
        buf_extend(&stream->in, (size_t)got);
        budget -= (size_t)got;
        if ((size_t)got < asked)
            break;
    }
    return true;
}

/* Calls on_input if there is what it waits for.  False: the stream was freed. */
static bool deliver(struct stream *stream)
{
    size_t have = buf_size(&stream->in);
    if (have == 0 || have < stream->expected || stream->is_paused || stream->is_draining || stream->is_ended)
        return true;
    stream->expected = 0;
    return call(stream, stream->handler->on_input);
}

static void end_input(struct stream *stream)
{
    stream->is_input_ended = true;
    stream_watch_input(stream);
    if (!stream->handler->on_end)
        stream_end(stream, STREAM_END_PEER, 0);
    else
        stream_call_and_free(stream, stream->handler->on_end);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct stream *stream = context;
    loop_enter(stream->loop);
    bool is_lent = borrow_buffer(stream);
    size_t had = buf_size(&stream->in);
    int error = 0;
    bool is_open = read_share(stream, &error);
    bool is_alive = buf_size(&stream->in) > had ? deliver(stream) : true;
    if (is_lent)
        return_buffer(stream);
    else if (buf_size(&stream->in) == 0)
        buf_deinit(&stream->in);
    if (!is_alive)
        free_rest(stream);
    else if (is_open || stream->is_ended)
        return;
    else if (error)
        stream_end(stream, STREAM_END_ERROR, error);
    else if (!stream->is_draining)
        end_input(stream);
}

static void on_deferred(void *context)
{
    struct stream *stream = context;
    if (stream->is_ended) {
        report_end(stream);
        return;
    }
    if (!stream->is_delivery_due)
        return;
    stream->is_delivery_due = false;
    if (!deliver(stream))
        free_rest(stream);
    else if (buf_size(&stream->in) == 0)
        buf_deinit(&stream->in);
}

struct buf *stream_in(struct stream *stream)
{
    return &stream->in;
}

void stream_expect(struct stream *stream, size_t bytes_total)
{
    stream->expected = bytes_total;
}

void stream_pause(struct stream *stream)
{
    stream->is_paused = true;
    stream_watch_input(stream);
}

void stream_resume(struct stream *stream)
{
    if (!stream->is_paused)
        return;
    stream->is_paused = false;
    stream_watch_input(stream);
    if (stream->is_ended)
        return;
    stream->is_delivery_due = true;
    loop_defer(stream->loop, &stream->deferred);
}

bool stream_is_paused(const struct stream *stream)
{
    return stream->is_paused;
}

/* --- facts ---------------------------------------------------------------------- */

int stream_error(const struct stream *stream)
{
    return stream->error;
}

const char *stream_peer_address(const struct stream *stream)
{
    return stream->peer_address;
}

const char *stream_local_address(const struct stream *stream)
{
    return stream->local_address;
}

bool stream_is_unix(const struct stream *stream)
{
    return stream->is_unix;
}

int stream_fd(const struct stream *stream)
{
    return stream->fd;
}

/* Probes after seconds of silence, then three probes a third as long apart. */
void stream_set_keepalive(struct stream *stream, int seconds)
{
    if (stream->is_unix || stream->fd < 0)
        return;
    int is_on = seconds > 0, interval = seconds / 3 > 0 ? seconds / 3 : 1, count = 3;
    setsockopt(stream->fd, SOL_SOCKET, SO_KEEPALIVE, &is_on, sizeof is_on);
    if (!is_on)
        return;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(stream->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(stream->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

uint64_t stream_bytes_in(const struct stream *stream)
{
    return stream->bytes_in;
}

uint64_t stream_bytes_out(const struct stream *stream)
{
    return stream->bytes_out;
}

size_t stream_memory(const struct stream *stream)
{
    return sizeof *stream + stream->in.capacity + stream->out.capacity +
           (stream->chunks.capacity + stream->later.capacity) * sizeof *stream->chunks.entries;
}

static void check_queue(const struct chunk_queue *queue)
{
    size_t bytes = 0;
    for (size_t i = 0; i < queue->count; i++)
        bytes += chunk_queue_at(queue, i)->chunk->size;
    CHECK(queue->bytes == bytes - queue->front_sent);
    CHECK(queue->count == 0 ? queue->front_sent == 0 : queue->front_sent < chunk_queue_at(queue, 0)->chunk->size);
}

void stream_check(const struct stream *stream)
{
    if (stream->is_reading) {
        CHECK(stream->handler);
        CHECK(!stream->is_paused);
        CHECK(!stream->is_input_ended);
        CHECK(!stream->is_draining);
    }
    if (stream->is_ended) {
        CHECK(!stream->is_reading);
        CHECK(!stream->is_writing);
        CHECK(stream->fd == -1);
        CHECK(!list_is_linked(&stream->dirty_link));
    }
    uint64_t position = stream->out_sent;
    for (size_t i = 0; i < stream->chunks.count; i++) {
        CHECK(chunk_queue_at(&stream->chunks, i)->position >= position);
        position = chunk_queue_at(&stream->chunks, i)->position;
    }
    CHECK(position <= stream->out_sent + buf_size(&stream->out));
    check_queue(&stream->chunks);
    check_queue(&stream->later);
}
