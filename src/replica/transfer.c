/* Snapshots from and to peers.
 *
 * The sender forks a child that writes the snapshot into a socket; what comes
 * out of it goes to the peer in frames behind everything else, no faster than
 * the link takes it.  The receiver puts it straight into its keyspace; until it
 * is complete its order stands still, so a transfer that fails loses nothing
 * but time: another peer is asked.
 *
 * Bounds: TRANSFER_QUEUE_BYTES queued per link; a receiver that hears nothing
 * for TRANSFER_SILENT_US asks anew. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/log.h"
#include "replica/replica_private.h"

enum {
    TRANSFER_QUEUE_BYTES = 8 << 20,
    TRANSFER_SILENT_US = 5 * 1000 * 1000,
    TRANSFER_CHOOSE_US = 200 * 1000, /* nobody to ask: looks again after this */
};

/* --- sending -------------------------------------------------------------- */

static uint8_t peer_of_source(const struct replica *r, const struct stream *source)
{
    for (uint8_t i = 0; i < r->member_count; i++)
        if (r->sending[i].source == source)
            return i;
    CHECK_UNREACHABLE();
}

static void end_sending(struct replica *r, uint8_t peer)
{
    struct transfer_out *out = &r->sending[peer];
    if (!out->source)
        return;
    stream_free(out->source);
    out->source = NULL;
    /* It may be far from its next write, or from any. */
    kill(out->child, SIGKILL);
    waitpid(out->child, NULL, 0);
}

static bool is_congested(const struct link *l)
{
    return !l->stream || stream_later_bytes(l->stream) > TRANSFER_QUEUE_BYTES;
}

static void send_piece(struct replica *r, uint8_t peer, struct slice bytes)
{
    buf_clear(&r->chunk_scratch);
    size_t begin = frame_begin(&r->chunk_scratch, FRAME_SNAPSHOT_DATA, &r->identity);
    buf_append_slice(&r->chunk_scratch, bytes);
    frame_end(&r->chunk_scratch, begin);
    struct chunk *chunk = chunk_copy(buf_head(&r->chunk_scratch), buf_size(&r->chunk_scratch));
    link_send_chunk(&r->links[peer], chunk);
    chunk_drop(chunk);
}

static void on_source_input(void *context, struct stream *source)
{
    struct replica *r = context;
    uint8_t peer = peer_of_source(r, source);
    struct buf *in = stream_in(source);
    if (r->links[peer].state == LINK_UP)
        send_piece(r, peer, buf_slice(in));
    buf_consume(in, buf_size(in));
    if (is_congested(&r->links[peer]))
        stream_pause(source);
}

/* Behind the data, so it goes the same way. */
static void send_end(struct replica *r, uint8_t peer, bool is_complete)
{
    buf_clear(&r->chunk_scratch);
    size_t begin = frame_begin(&r->chunk_scratch, FRAME_SNAPSHOT_END, &r->identity);
    frame_add_byte(&r->chunk_scratch, is_complete);
    frame_end(&r->chunk_scratch, begin);
    struct chunk *chunk = chunk_copy(buf_head(&r->chunk_scratch), buf_size(&r->chunk_scratch));
    link_send_chunk(&r->links[peer], chunk);
    chunk_drop(chunk);
}

static void on_source_close(void *context, struct stream *source, enum stream_end end)
{
    struct replica *r = context;
    uint8_t peer = peer_of_source(r, source);
    (void)end;
    int result = 0;
    stream_free(source);
    r->sending[peer].source = NULL;
    bool is_complete = waitpid(r->sending[peer].child, &result, 0) > 0 && WIFEXITED(result) && WEXITSTATUS(result) == 0;
    log_notice("replica", "the snapshot for member %u is %s", r->members[peer].id, is_complete ? "sent" : "broken off");
    if (r->links[peer].state == LINK_UP)
        send_end(r, peer, is_complete);
}

static const struct stream_handler source_handler = {.on_input = on_source_input, .on_close = on_source_close};

void transfer_asked(struct replica *r, uint8_t peer)
{
    bool is_data_good = !r->is_installing && !r->is_diverged && memory_error(r->memory) == 0;
    if (r->formation.own.stage != FORMATION_FORMED || !is_data_good)
        return;
    end_sending(r, peer);
    int fd, child;
    unsigned char bytes[REPLICA_STATE_BYTES_MAX];
    struct memory_save save = replica_save_of_now(r, bytes);
    if (memory_stream_begin(r->memory, &save, &fd, &child) != STATUS_OK) {
        log_warning("replica", "cannot start a process to send a snapshot");
        return;
    }
    log_notice("replica", "sending member %u a snapshot as of position %" PRIu64, r->members[peer].id, save.position);
    r->transfers_out++;
    r->sending[peer] = (struct transfer_out){.source = stream_adopt(r->loop, fd), .child = child};
    stream_start(r->sending[peer].source, &source_handler, r);
}

/* --- receiving ------------------------------------------------------------ */

/* Someone who serves, another one each time.  With the same position it may be ahead all the
 * same, by slots that are NULL. */
static bool choose_peer(struct replica *r)
{
    for (int i = 1; i <= r->member_count; i++) {
        uint8_t peer = (uint8_t)((r->receiving_from + i) % r->member_count);
        if (peer != r->self && peers_is_heard(r, peer) && r->roster.entries[peer].state == ROSTER_MEMBER &&
            r->formation.members[peer].claim.stage == FORMATION_FORMED &&
            r->formation.members[peer].claim.position >= r->apply.position &&
            r->formation.members[peer].claim.position >= r->roster.position) {
            r->receiving_from = peer;
            return true;
        }
    }
    return false;
}

static void drop_received(struct replica *r)
{
    if (!r->receiving)
        return;
    snapshot_reader_free(r->receiving);
    r->receiving = NULL;
    keyspace_flush(r->keyspace, -1, false);
}

static void ask(struct replica *r)
{
    drop_received(r);
    r->asked_us = r->received_us = replica_now(r);
    r->received_bytes = 0;
    if (!choose_peer(r)) {
        r->received_us -= TRANSFER_SILENT_US - TRANSFER_CHOOSE_US;
        return;
    }
    log_notice("replica", "asking member %u for a snapshot", r->members[r->receiving_from].id);
    link_send_bytes(&r->links[r->receiving_from], FRAME_SNAPSHOT_ASK, slice_make("", 0));
}

void transfer_want(struct replica *r)
{
    if (r->is_installing)
        return;
    /* From here until a snapshot of ours is durable, the journal has a gap; one that was begun before
     * does not count. */
    memory_save_stop(r->memory);
    if (!forming_save_identity(r, true))
        return;
    r->is_installing = true;
    ask(r);
}

static enum status on_head(void *context, const struct snapshot_head *head)
{
    struct replica *r = context;
    keyspace_set_hash_secret(r->keyspace, head->hash_secret);
    return STATUS_OK;
}

/* What was here is gone from now on, and nobody must take it for a base. */
static void begin_receiving(struct replica *r)
{
    r->apply.position = 0;
    formation_at(&r->formation, 0);
    keyspace_flush(r->keyspace, -1, false);
    r->receiving = snapshot_reader_create(r->keyspace);
    snapshot_reader_on_head(r->receiving, on_head, r);
}

static void install(struct replica *r)
{
    const struct snapshot_head *head = snapshot_reader_head(r->receiving);
    struct snapshot_state state;
    if (!membership_read_state(head->state, &state) || state.seed != r->order_seed ||
        roster_find(&state.roster, r->self_id) != r->self) {
        log_warning("replica", "the snapshot from member %u knows nothing of this one",
                    r->members[r->receiving_from].id);
        ask(r);
        return;
    }
    proposer_abandon(&r->proposer);
    if (!rabia_install(r->order, state.core, replica_now(r), (uint64_t)loop_wall_ms(r->loop), &r->out)) {
        log_warning("replica", "the snapshot from member %u is not ahead of what is here", r->members[r->receiving_from].id);
        ask(r);
        return;
    }
    r->roster = state.roster;
    r->is_roster_dirty = true;
    r->apply.position = head->position;
    keyspace_advance(r->keyspace, head->logical_time_ms);
    divergence_init(&r->divergence, r->member_count, r->self);
    divergence_pass(&r->divergence, head->position / 16);
    log_notice("replica", "a snapshot from member %u is in: %" PRIu64 " keys, position %" PRIu64,
               r->members[r->receiving_from].id, head->key_count, head->position);
    snapshot_reader_free(r->receiving);
    r->receiving = NULL;
    r->is_installing = false;
    r->transfers_in++;
    r->wants_save = true;
    ordering_honour(r);
    formation_at(&r->formation, r->apply.position);
    forming_say_claim(r);
    loop_again(r->loop);
}

static bool may_receive(const struct replica *r)
{
    return r->formation.own.stage == FORMATION_FORMED || r->formation.own.stage == FORMATION_REJOINING;
}

void transfer_data(struct replica *r, uint8_t peer, struct slice bytes)
{
    if (!r->is_installing || peer != r->receiving_from || (!r->receiving && r->received_bytes > 0))
        return;
    /* The data of one who is READY stands still; later it asks anew. */
    if (!may_receive(r)) {
        drop_received(r);
        return;
    }
    if (!r->receiving)
        begin_receiving(r);
    r->received_us = replica_now(r);
    r->received_bytes += bytes.len;
    switch (snapshot_feed(r->receiving, bytes.ptr, bytes.len)) {
    case STATUS_AGAIN: break;
    case STATUS_OK: install(r); break;
    default:
        log_warning("replica", "the snapshot from member %u is no good: %s", r->members[peer].id,
                    snapshot_reader_error(r->receiving));
        ask(r);
    }
}

void transfer_ended(struct replica *r, uint8_t peer, bool is_complete)
{
    if (!r->is_installing || peer != r->receiving_from)
        return;
    log_warning("replica", "the snapshot from member %u %s", r->members[peer].id,
                is_complete ? "ended too early" : "was broken off");
    ask(r);
}

void transfer_lost(struct replica *r, uint8_t peer)
{
    end_sending(r, peer);
    if (r->is_installing && peer == r->receiving_from)
        r->received_us = 0; /* ask another at the end of this pass */
}

/* --- the passing of time -------------------------------------------------- */

void transfer_pass_end(struct replica *r)
{
    for (uint8_t i = 0; i < r->member_count; i++)
        if (r->sending[i].source && stream_is_paused(r->sending[i].source) && !is_congested(&r->links[i]))
            stream_resume(r->sending[i].source);
    if (r->is_installing && may_receive(r) && replica_now(r) > r->received_us + TRANSFER_SILENT_US)
        ask(r);
}

bool transfer_give_up(struct replica *r)
{
    bool is_data_gone = r->is_installing && r->apply.position == 0;
    drop_received(r);
    r->is_installing = false;
    return is_data_gone;
}

void transfer_free(struct replica *r)
{
    for (uint8_t i = 0; i < r->member_count; i++)
        end_sending(r, i);
    if (r->receiving)
        snapshot_reader_free(r->receiving);
    r->receiving = NULL;
}
