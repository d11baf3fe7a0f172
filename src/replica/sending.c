/* Snapshots to peers that are behind, and what was decided since.
 *
 * Who is asked forks a child that writes a snapshot into a file (spool.h) and sends what is
 * there, in frames behind everything else, no faster than the link takes it.  Whoever
 * asks meanwhile, or soon after, is sent the same file: one child at a time, and none for an
 * ask that a spool at hand can answer.  From the fork on what is decided goes into the spool
 * too; ASKs for slots that the core's memory no longer has are answered from there.
 *
 * The spool goes when SPOOL_LINGER_US have passed since anybody took anything from it.
 *
 * Bounds: SENDING_QUEUE_BYTES queued per link; those of spool.h. */
#include <inttypes.h>

#include "base/log.h"
#include "replica/replica_private.h"

enum {
    SENDING_QUEUE_BYTES = 2 << 20,
    SENDING_BYTES_PER_PASS = 1 << 20,
    SENDING_POLL_US = 5 * 1000,          /* how often the child's progress is looked at */
    SPOOL_LINGER_US = 10 * 1000 * 1000,
    SPOOL_AGAIN_US = 1000 * 1000,        /* no two children within this: an asker who finds fault with all costs little */
};

/* --- a spool ------------------------------------------------------------------ */

void sending_drop(struct replica *r)
{
    for (uint8_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        sending_stop(r, i);
    spool_free(r->spool);
    r->spool = NULL;
}

static bool is_anybody_served(const struct replica *r)
{
    for (uint8_t i = 0; i < r->member_count; i++)
        if (r->sending[i].is_under_way)
            return true;
    return false;
}

/* Whether what came behind the spool's snapshot is still to be had, here or in memory. */
static bool is_followed(const struct replica *r)
{
    return !spool_is_tail_cut(r->spool) || spool_tail_end(r->spool) >= rabia_kept_from(r->order);
}

static bool is_of_use(const struct replica *r, const struct frame_ask *ask)
{
    return r->spool && !spool_has_failed(r->spool) && is_followed(r) && !ask->is_former_bad &&
           spool_from(r->spool).lap > ask->lap && spool_position(r->spool) >= ask->position;
}

static bool make_spool(struct replica *r)
{
    unsigned char bytes[REPLICA_STATE_BYTES_MAX];
    struct memory_save save = replica_save_of_now(r, bytes);
    struct memory_spool files;
    struct spool_place from;
    rabia_cursor(r->order, &from.lap, &from.lane);
    if (memory_spool_begin(r->memory, &save, &files) != STATUS_OK) {
        log_warning("replica", "cannot start a process to write a snapshot for a peer");
        return false;
    }
    r->spool = spool_create(files.snapshot_fd, files.child, files.tail_fd, from, save.position);
    r->spool_made_us = replica_now(r);
    return true;
}

/* One that is of use to the asker is there, or could be made. */
static bool find_spool(struct replica *r, const struct frame_ask *ask)
{
    if (is_of_use(r, ask))
        return true;
    bool is_too_soon = r->spool_made_us && replica_now(r) < r->spool_made_us + SPOOL_AGAIN_US;
    if (is_anybody_served(r) || is_too_soon)
        return false;
    sending_drop(r);
    return make_spool(r);
}

void sending_note(struct replica *r, const struct rabia_decided *decided)
{
    if (!r->spool || spool_is_tail_cut(r->spool))
        return;
    spool_note(r->spool, decided->lap, decided->lane, decided->batch);
    if (spool_is_tail_cut(r->spool))
        log_warning("replica", "there is no room for what peers that are behind will need: they may have to begin again");
}

/* --- asked for ------------------------------------------------------------------ */

/* Behind the data, so it goes the same way. */
static void send_frame(struct replica *r, uint8_t peer, size_t begin)
{
    frame_end(&r->chunk_scratch, begin);
    struct chunk *chunk = chunk_copy(buf_head(&r->chunk_scratch), buf_size(&r->chunk_scratch));
    link_send_chunk(&r->links[peer], chunk);
    chunk_drop(chunk);
}

static void send_end(struct replica *r, uint8_t peer, uint64_t number, enum frame_snapshot_end end)
{
    if (r->links[peer].state != LINK_UP)
        return;
    buf_clear(&r->chunk_scratch);
    size_t begin = frame_begin(&r->chunk_scratch, FRAME_SNAPSHOT_END, &r->identity);
    frame_add_snapshot_end(&r->chunk_scratch, number, end);
    send_frame(r, peer, begin);
}

static bool may_send(const struct replica *r)
{
    return r->formation.own.stage == FORMATION_FORMED && r->order && !r->is_installing && !r->is_diverged &&
           memory_error(r->memory) == 0;
}

void sending_asked(struct replica *r, uint8_t peer, const struct frame_ask *ask)
{
    sending_stop(r, peer);
    if (!may_send(r) || !find_spool(r, ask)) {
        send_end(r, peer, ask->number, FRAME_SNAPSHOT_REFUSED);
        return;
    }
    log_notice("replica", "sending member %u a snapshot as of position %" PRIu64, r->members[peer].id,
               spool_position(r->spool));
    r->transfers_out++;
    r->spool_used_us = replica_now(r);
    r->sending[peer] = (struct sending){.is_under_way = true, .number = ask->number};
}

void sending_stop(struct replica *r, uint8_t peer)
{
    r->sending[peer] = (struct sending){0};
}

/* --- the snapshot ----------------------------------------------------------------- */

static void end_sending(struct replica *r, uint8_t peer, bool is_complete)
{
    log_notice("replica", "the snapshot for member %u is %s", r->members[peer].id, is_complete ? "sent" : "broken off");
    send_end(r, peer, r->sending[peer].number, is_complete ? FRAME_SNAPSHOT_COMPLETE : FRAME_SNAPSHOT_FAILED);
    sending_stop(r, peer);
}

/* False: nothing more to send for now. */
static bool send_piece(struct replica *r, uint8_t peer)
{
    struct sending *sending = &r->sending[peer];
    char bytes[FRAME_CHUNK_BYTES];
    size_t size;
    switch (spool_read(r->spool, sending->offset, bytes, sizeof bytes, &size)) {
    case STATUS_OK: break;
    case STATUS_AGAIN: return false;
    case STATUS_NOT_FOUND: end_sending(r, peer, true); return false;
    default: end_sending(r, peer, false); return false;
    }
    buf_clear(&r->chunk_scratch);
    size_t begin = frame_begin(&r->chunk_scratch, FRAME_SNAPSHOT_DATA, &r->identity);
    frame_add_word(&r->chunk_scratch, sending->number);
    buf_append(&r->chunk_scratch, bytes, size);
    send_frame(r, peer, begin);
    sending->offset += size;
    r->spool_used_us = replica_now(r);
    return true;
}

static bool is_congested(const struct link *l)
{
    return l->state != LINK_UP || l->is_quiet || stream_later_bytes(l->stream) >= SENDING_QUEUE_BYTES;
}

static void go_on(struct replica *r, uint8_t peer)
{
    size_t left = SENDING_BYTES_PER_PASS / FRAME_CHUNK_BYTES;
    while (left-- > 0 && r->sending[peer].is_under_way && !is_congested(&r->links[peer]) && send_piece(r, peer))
        ;
}

uint64_t sending_pass_end(struct replica *r)
{
    if (!r->spool)
        return UINT64_MAX;
    uint64_t now = replica_now(r);
    for (uint8_t i = 0; i < r->member_count; i++)
        if (r->sending[i].is_under_way)
            go_on(r, i);
    if (is_anybody_served(r) || spool_is_writing(r->spool))
        return now + SENDING_POLL_US;
    if (now >= r->spool_used_us + SPOOL_LINGER_US) {
        sending_drop(r);
        return UINT64_MAX;
    }
    return r->spool_used_us + SPOOL_LINGER_US;
}

/* --- what was decided since ---------------------------------------------------------- */

static bool is_for_spool(const struct replica *r, const struct rabia_message *m)
{
    struct spool_place from = spool_from(r->spool);
    bool is_behind = m->lap > from.lap || (m->lap == from.lap && m->lane >= from.lane);
    return m->kind == RABIA_ASK && is_behind && m->lap < rabia_kept_from(r->order) && m->lap < spool_tail_end(r->spool);
}

/* One block: the asker asks on when it has it. */
static bool answer(struct replica *r, uint8_t peer, uint64_t lap)
{
    struct frame_messages found = {0};
    bool is_found = spool_tail(r->spool, lap, &found) == STATUS_OK;
    for (size_t i = 0; is_found && i < found.count; i++)
        ordering_send(r, &(struct rabia_outgoing){.to = (uint16_t)(1u << peer), .message = found.messages[i]});
    frame_messages_deinit(&found);
    r->spool_used_us = replica_now(r);
    return is_found;
}

void sending_answer_asks(struct replica *r, uint8_t peer, struct frame_messages *messages)
{
    size_t kept = 0;
    if (!r->spool || !may_send(r))
        return;
    for (size_t i = 0; i < messages->count; i++) {
        struct rabia_message *m = &messages->messages[i];
        if (!is_for_spool(r, m) || !answer(r, peer, m->lap))
            messages->messages[kept++] = *m;
        else
            batch_release(m->batch); /* a stranger may send an ASK with one */
    }
    messages->count = kept;
}
