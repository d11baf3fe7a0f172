#include "replica/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"

static uint64_t now_of(const struct link *l)
{
    return (uint64_t)loop_now_us(l->loop);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void link_init(struct link *l, struct loop *loop, const struct frame_identity *identity,
               const struct link_events *events, void *context, uint8_t peer,
               const struct replica_member *member, bool is_dialer)
{
    *l = (struct link){
        .loop = loop,
        .identity = identity,
        .events = events,
        .context = context,
        .host = member->host,
        .port = member->port,
        .peer = peer,
        .peer_id = member->id,
        .is_dialer = is_dialer,
        .state = LINK_DOWN,
        .backoff_us = LINK_BACKOFF_MIN_US,
    };
}

/* --- going down ----------------------------------------------------------- */

/* Forgets the connection without telling anybody. */
static void drop_connection(struct link *l)
{
    if (l->dial)
        dial_cancel(l->dial);
    l->dial = NULL;
    if (l->stream) {
        l->bytes_in_before += stream_bytes_in(l->stream);
        l->bytes_out_before += stream_bytes_out(l->stream);
        stream_free(l->stream);
    }
    l->stream = NULL;
    buf_clear(&l->frame);
    buf_clear(&l->outbox);
    l->is_quiet = l->is_lossy = l->is_stuck = false;
    l->lazy_count = 0;
    l->bulk_count = 0;
    l->bulk_bytes = 0;
}

void link_deinit(struct link *l)
{
    drop_connection(l);
    buf_deinit(&l->frame);
    buf_deinit(&l->outbox);
}

static void schedule_dial(struct link *l)
{
    uint64_t now = now_of(l), taken_us = now - l->dialled_us;
    if (taken_us >= LINK_CONNECT_MIN_US) {
        l->dial_again_us = now + LINK_BACKOFF_MIN_US;
        return;
    }
    l->dial_again_us = now + l->backoff_us;
    l->backoff_us = earlier(2 * l->backoff_us, LINK_BACKOFF_MAX_US);
}

void link_break(struct link *l, const char *why)
{
    bool was_up = l->state == LINK_UP && !l->is_quiet;
    /* A peer that stays away would fill the log: say each reason once. */
    bool is_news = was_up || strncmp(l->last_error, why, sizeof l->last_error - 1) != 0;
    snprintf(l->last_error, sizeof l->last_error, "%s", why);
    if (is_news)
        log_warning("replica", "link to member %u at %s:%d is down: %s", l->peer_id, l->host, l->port, why);
    drop_connection(l);
    l->state = LINK_DOWN;
    schedule_dial(l);
    if (was_up)
        l->events->down(l->context, l->peer);
}

/* The connection being renewed is gone, and its successor is on the way: the acceptor closes the
 * old one before its answer is read here. */
static void lose_silent(struct link *l)
{
    struct dial *dial = l->dial;
    l->dial = NULL;
    drop_connection(l);
    l->dial = dial; /* what was heard meanwhile still counts in judge_renewal */
    l->state = LINK_DIALING;
    l->events->down(l->context, l->peer);
}

/* --- coming up ------------------------------------------------------------ */

static void come_up(struct link *l)
{
    l->last_error[0] = '\0';
    l->backoff_us = LINK_BACKOFF_MIN_US;
    l->dials_in_vain = 0;
    log_notice("replica", "link to member %u at %s:%d is up", l->peer_id, l->host, l->port);
    l->events->up(l->context, l->peer);
}

static void on_input(void *context, struct stream *stream)
{
    struct link *l = context;
    struct buf *in = stream_in(stream);
    struct frame frame;
    enum status status = STATUS_AGAIN;
    l->heard_us = now_of(l); /* a long frame may take its time */
    while (l->stream == stream && (status = frame_parse(buf_head(in), buf_size(in), &frame)) == STATUS_OK) {
        l->frames_in++;
        if (l->is_quiet) {
            l->is_quiet = false;
            come_up(l);
        }
        l->events->frame(l->context, l->peer, &frame);
        if (l->stream == stream)
            buf_consume(in, frame.size);
    }
    if (l->stream == stream && status != STATUS_AGAIN) {
        char why[96];
        snprintf(why, sizeof why, "it sent a frame that is %s", status_text(status));
        link_break(l, why);
    }
}

static void on_close(void *context, struct stream *stream, enum stream_end end)
{
    struct link *l = context;
    CHECK(l->stream == stream);
    if (l->dial) {
        lose_silent(l);
        return;
    }
    link_break(l, end == STREAM_END_ERROR ? strerror(stream_error(stream)) : "closed by the other side");
}

static void on_drained(void *context, struct stream *stream)
{
    struct link *l = context;
    CHECK(l->stream == stream);
    if (!l->is_lossy)
        return;
    l->is_lossy = false;
    log_notice("replica", "link to member %u has drained, repeating what was dropped", l->peer_id);
    l->events->up(l->context, l->peer);
}

static const struct stream_handler link_stream_handler = {
    .on_input = on_input,
    .on_close = on_close,
    .on_drained = on_drained,
};

static void take_stream(struct link *l, struct stream *stream, bool is_quiet)
{
    /* Votes must not wait behind megabytes of contents in the kernel. */
    int unsent = LINK_UNSENT_BYTES;
    (void)setsockopt(stream_fd(stream), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    l->stream = stream;
    l->state = LINK_UP;
    l->is_quiet = is_quiet;
    l->heard_us = l->pinged_us = now_of(l);
    l->links_made++;
    stream_start(stream, &link_stream_handler, l);
}

void link_accept(struct link *l, struct stream *stream)
{
    if (l->state == LINK_UP && !l->is_quiet) {
        log_notice("replica", "member %u dialled anew, its former link is closed", l->peer_id);
        l->events->down(l->context, l->peer);
    }
    drop_connection(l);
    take_stream(l, stream, true);
}

static uint64_t renew_after_us(const struct link *l)
{
    bool is_patient = l->needless_us && now_of(l) < l->needless_us + LINK_PATIENT_US;
    return is_patient ? l->renew_us : LINK_RENEW_US;
}

static bool is_wrong_password(const struct dial_reply *reply)
{
    static const char code[] = "WRONGPASS ";
    return reply->kind == DIAL_REPLY_ERROR && reply->text.len >= sizeof code - 1 &&
           memcmp(reply->text.ptr, code, sizeof code - 1) == 0;
}

static bool on_reply(void *context, size_t index, const struct dial_reply *reply)
{
    struct link *l = context;
    if (reply->kind == DIAL_REPLY_ERROR && l->events->refused)
        l->events->refused(l->context, l->peer, reply->text);
    struct dial_command commands[2];
    bool is_last = index + 1 == l->events->introduce(l->context, l->peer, commands);
    /* It will refuse the introduction as well, but then its log can say who we are. */
    if (is_wrong_password(reply) && !is_last)
        return l->is_password_wrong = true;
    if (reply->kind != DIAL_REPLY_TEXT)
        return false;
    return !is_last || l->events->accepted(l->context, l->peer, reply->text);
}

/* Silent, but alive all the while the other one was dialled. */
static void judge_renewal(struct link *l)
{
    if (!l->is_renewal || l->heard_us <= l->dialled_us)
        return;
    l->renew_us = 2 * renew_after_us(l);
    l->needless_us = now_of(l);
}

static void on_done(void *context, struct stream *stream, const char *error)
{
    struct link *l = context;
    l->dial = NULL;
    judge_renewal(l);
    if (!stream && l->state == LINK_UP) {
        schedule_dial(l);
        return;
    }
    if (!stream) {
        link_break(l, l->is_password_wrong ? "refused: WRONGPASS its requirepass is not ours" : error);
        return;
    }
    if (l->state == LINK_UP) {
        log_notice("replica", "link to member %u was silent and is made anew", l->peer_id);
        l->events->down(l->context, l->peer);
        drop_connection(l);
    }
    take_stream(l, stream, false);
    come_up(l);
}

static int64_t connect_timeout_us(const struct link *l)
{
    if (l->round_trip_us == 0 || l->dials_in_vain % LINK_PATIENT_DIALS == LINK_PATIENT_DIALS - 1)
        return 0;
    return (int64_t)later(4 * l->round_trip_us, LINK_CONNECT_MIN_US);
}

static void start_dial(struct link *l)
{
    struct dial_command commands[2];
    struct dial_options options = {
        .host = l->host,
        .port = (uint16_t)l->port,
        .timeout_us = LINK_DIAL_TIMEOUT_US,
        .connect_timeout_us = connect_timeout_us(l),
        .commands = commands,
        .command_count = l->events->introduce(l->context, l->peer, commands),
        .on_reply = on_reply,
        .on_done = on_done,
        .context = l,
    };
    l->dialled_us = now_of(l);
    l->dials_in_vain++;
    l->is_renewal = l->state == LINK_UP && !l->is_stuck;
    l->is_password_wrong = false;
    l->dial = dial_start(l->loop, &options);
}

/* --- sending -------------------------------------------------------------- */

static bool can_send(struct link *l)
{
    if (l->state != LINK_UP || l->is_quiet)
        return false;
    if (!l->is_lossy && stream_output_bytes(l->stream) > LINK_QUEUE_MAX + stream_later_bytes(l->stream)) {
        l->is_lossy = true;
        log_warning("replica", "link to member %u is %d MiB behind, dropping until it has drained", l->peer_id,
                    LINK_QUEUE_MAX >> 20);
    }
    return !l->is_lossy;
}

/* Frames are kept apart from the stream's out buffer until the pass ends: the
 * socket may take from that one at any time, and must not be given what the
 * journal has not got yet. */
static struct buf *open_frame(struct link *l)
{
    if (buf_size(&l->frame) == 0)
        frame_begin(&l->frame, FRAME_MESSAGES, l->identity);
    return &l->frame;
}

static void close_frame(struct link *l)
{
    if (buf_size(&l->frame) == 0)
        return;
    for (size_t i = 0; i < l->lazy_count; i++)
        frame_add_message(&l->frame, &l->lazy[i]);
    l->lazy_count = 0;
    frame_end(&l->frame, 0);
    buf_append_slice(&l->outbox, buf_slice(&l->frame));
    buf_clear(&l->frame);
    buf_shrink(&l->frame, LINK_FRAME_KEEP);
    l->frames_out++;
}

static bool extends(const struct rabia_message *earlier, const struct rabia_message *message)
{
    return earlier->kind == message->kind && earlier->lane == message->lane &&
           earlier->value == message->value && earlier->phase == message->phase &&
           earlier->lap + earlier->count == message->lap;
}

static void add_lazy(struct link *l, const struct rabia_message *message)
{
    for (size_t i = 0; i < l->lazy_count; i++) {
        if (extends(&l->lazy[i], message)) {
            l->lazy[i].count += message->count;
            return;
        }
    }
    if (l->lazy_count == 0)
        l->lazy_since_us = now_of(l);
    l->lazy[l->lazy_count++] = *message;
    if (l->lazy_count == LINK_LAZY_MAX) {
        open_frame(l);
        close_frame(l);
    }
}

void link_send(struct link *l, const struct rabia_message *message, bool is_lazy)
{
    if (!can_send(l)) {
        l->messages_dropped++;
        return;
    }
    if (is_lazy && !message->batch) {
        add_lazy(l, message);
        return;
    }
    frame_add_message(open_frame(l), message);
    if (buf_size(&l->frame) > LINK_FRAME_BYTES)
        close_frame(l);
}

static bool is_under_way(struct link *l, struct link_bulk *bulk)
{
    if (bulk->gone_us == 0 && bulk->end + stream_later_bytes(l->stream) > l->bulk_bytes)
        return true;
    if (bulk->gone_us == 0)
        bulk->gone_us = now_of(l);
    return now_of(l) < bulk->gone_us + LINK_BULK_AGAIN_US;
}

bool link_has_bulk(struct link *l, uint64_t lap, uint8_t lane)
{
    size_t known = l->bulk_count < LINK_BULKS_MAX ? l->bulk_count : LINK_BULKS_MAX;
    for (size_t i = 0; i < known && l->stream; i++)
        if (l->bulks[i].lap == lap && l->bulks[i].lane == lane && is_under_way(l, &l->bulks[i]))
            return true;
    return false;
}

bool link_takes_bulk(const struct link *l, size_t size)
{
    if (l->state != LINK_UP || l->is_quiet)
        return false;
    size_t queued = stream_later_bytes(l->stream);
    return queued == 0 || queued + size <= LINK_BULK_MAX;
}

void link_send_chunk(struct link *l, struct chunk *chunk)
{
    l->frames_out++;
    l->bulk_bytes += chunk->size;
    stream_send_chunk_later(l->stream, chunk);
}

void link_note_bulk(struct link *l, uint64_t lap, uint8_t lane)
{
    l->bulks[l->bulk_count++ % LINK_BULKS_MAX] = (struct link_bulk){.lap = lap, .lane = lane, .end = l->bulk_bytes};
}

static struct buf *begin_other(struct link *l, enum frame_kind kind, size_t *begin)
{
    close_frame(l);
    *begin = frame_begin(&l->outbox, kind, l->identity);
    return &l->outbox;
}

static void end_other(struct link *l, struct buf *out, size_t begin)
{
    frame_end(out, begin);
    l->frames_out++;
}

void link_send_bytes(struct link *l, enum frame_kind kind, struct slice bytes)
{
    if (!can_send(l))
        return;
    size_t begin;
    struct buf *out = begin_other(l, kind, &begin);
    buf_append_slice(out, bytes);
    end_other(l, out, begin);
}

void link_send_claim(struct link *l, const struct formation_claim *claim)
{
    if (!can_send(l))
        return;
    size_t begin;
    struct buf *out = begin_other(l, FRAME_STATE, &begin);
    frame_add_claim(out, claim);
    end_other(l, out, begin);
}

void link_send_digest(struct link *l, const struct frame_digest *digest)
{
    if (!can_send(l))
        return;
    size_t begin;
    struct buf *out = begin_other(l, FRAME_DIGEST, &begin);
    frame_add_digest(out, digest);
    end_other(l, out, begin);
}

static void send_word(struct link *l, enum frame_kind kind, uint64_t word)
{
    if (!can_send(l))
        return;
    size_t begin;
    struct buf *out = begin_other(l, kind, &begin);
    frame_add_word(out, word);
    end_other(l, out, begin);
}

void link_answer_ping(struct link *l, uint64_t word)
{
    send_word(l, FRAME_PONG, word);
}

void link_note_pong(struct link *l, uint64_t word)
{
    uint64_t now = now_of(l);
    if (word > now || now - word > LINK_SILENT_US)
        return;
    uint64_t sample = now - word;
    l->round_trip_us = l->round_trip_us ? (7 * l->round_trip_us + sample) / 8 : sample;
}

/* --- the passing of time -------------------------------------------------- */

/* What we sent comes nowhere, and the kernel waits ever longer before it tries again.  A peer that
 * does not read is another matter: its kernel acknowledges. */
static bool is_stuck(const struct link *l)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    return getsockopt(stream_fd(l->stream), IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
           info.tcpi_unacked > 0 && info.tcpi_retransmits >= LINK_STUCK_REPEATS;
}

/* Once our way has recovered, the other's may still wait: until something is heard nothing is well. */
static void note_stuck(struct link *l, uint64_t now)
{
    if (is_stuck(l))
        l->stuck_us = now;
    l->is_stuck = l->stuck_us == now || (l->is_stuck && l->heard_us < l->stuck_us);
}

static uint64_t pass_end_up(struct link *l, uint64_t now)
{
    if (now >= l->heard_us + LINK_SILENT_US) {
        link_break(l, "silent for 5 seconds");
        return l->dial_again_us;
    }
    uint64_t renew_us = UINT64_MAX; /* the acceptor waits for it */
    if (now >= l->pinged_us + LINK_PING_US) {
        l->pinged_us = now;
        note_stuck(l, now);
        send_word(l, FRAME_CLOCK, (uint64_t)loop_wall_ms(l->loop));
        send_word(l, FRAME_PING, now);
    }
    if (l->is_dialer && !l->dial) {
        renew_us = later(l->is_stuck ? 0 : l->heard_us + renew_after_us(l), l->dial_again_us);
        if (now >= renew_us)
            start_dial(l);
    }
    if (l->lazy_count && (buf_size(&l->frame) || now >= l->lazy_since_us + LINK_LAZY_US))
        open_frame(l);
    close_frame(l);
    uint64_t next = earlier(earlier(l->heard_us + LINK_SILENT_US, l->pinged_us + LINK_PING_US), renew_us);
    return l->lazy_count ? earlier(next, l->lazy_since_us + LINK_LAZY_US) : next;
}

uint64_t link_pass_end(struct link *l)
{
    uint64_t now = now_of(l);
    if (l->state == LINK_UP)
        return pass_end_up(l, now);
    if (l->state == LINK_DOWN && l->is_dialer) {
        if (now < l->dial_again_us)
            return l->dial_again_us;
        l->state = LINK_DIALING;
        start_dial(l);
    }
    return UINT64_MAX;
}

void link_flush(struct link *l)
{
    if (buf_size(&l->outbox) == 0)
        return;
    CHECK(l->stream);
    /* One buffer for all that a slow peer leaves would be copied as it grows. */
    if (stream_output_bytes(l->stream) - stream_later_bytes(l->stream) > LINK_FRAME_BYTES) {
        struct chunk *chunk = chunk_copy(buf_head(&l->outbox), buf_size(&l->outbox));
        stream_send_chunk(l->stream, chunk);
        chunk_drop(chunk);
    } else {
        buf_append_slice(stream_out(l->stream), buf_slice(&l->outbox));
    }
    buf_clear(&l->outbox);
    buf_shrink(&l->outbox, LINK_FRAME_KEEP);
    stream_mark_dirty(l->stream);
}

void link_forget_output(struct link *l)
{
    buf_clear(&l->frame);
    buf_clear(&l->outbox);
    l->lazy_count = 0;
}

bool link_has_output(const struct link *l)
{
    return buf_size(&l->frame) || buf_size(&l->outbox);
}

uint64_t link_bytes_in(const struct link *l)
{
    return l->bytes_in_before + (l->stream ? stream_bytes_in(l->stream) : 0);
}

uint64_t link_bytes_out(const struct link *l)
{
    return l->bytes_out_before + (l->stream ? stream_bytes_out(l->stream) : 0);
}
