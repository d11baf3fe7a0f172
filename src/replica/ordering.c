#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "replica/replica_private.h"

/* Contents too long for a frame go out in chunks, made once for all peers. */
static void send_in_chunks(struct replica *r, const struct rabia_outgoing *outgoing)
{
    const struct rabia_message *message = &outgoing->message;
    uint16_t to = 0;
    /* Chunks do not wait for the end of the pass. */
    if (memory_write(r->memory) != STATUS_OK)
        return;
    for (int i = 0; i < r->member_count; i++) {
        if (!(outgoing->to >> i & 1) || link_has_bulk(&r->links[i], message->lap, message->lane))
            continue;
        if (link_takes_bulk(&r->links[i], message->batch->size))
            to |= (uint16_t)(1u << i);
        else
            r->links[i].messages_dropped++;
    }
    for (size_t offset = 0; to && offset < message->batch->size;) {
        buf_clear(&r->chunk_scratch);
        size_t begin = frame_begin(&r->chunk_scratch, FRAME_CHUNK, &r->identity);
        offset += frame_add_chunk(&r->chunk_scratch, message, offset);
        frame_end(&r->chunk_scratch, begin);
        struct chunk *chunk = chunk_copy(buf_head(&r->chunk_scratch), buf_size(&r->chunk_scratch));
        for (int i = 0; i < r->member_count; i++)
            if (to >> i & 1)
                link_send_chunk(&r->links[i], chunk);
        chunk_drop(chunk);
    }
    for (int i = 0; i < r->member_count; i++)
        if (to >> i & 1)
            link_note_bulk(&r->links[i], message->lap, message->lane);
}

void ordering_send(struct replica *r, const struct rabia_outgoing *outgoing)
{
    if (outgoing->message.batch && outgoing->message.batch->size > FRAME_INLINE_MAX) {
        send_in_chunks(r, outgoing);
        return;
    }
    for (int i = 0; i < r->member_count; i++)
        if (outgoing->to >> i & 1)
            link_send(&r->links[i], &outgoing->message, outgoing->is_lazy);
}

static void send_messages(struct replica *r)
{
    for (size_t m = 0; m < r->out.message_count; m++)
        ordering_send(r, &r->out.messages[m]);
}

static void diverged(struct replica *r, const struct frame_digest *digest)
{
    if (r->is_diverged)
        return;
    r->is_diverged = true;
    log_warning("replica",
                "DIVERGED: the data here differs from what a quorum agrees on at lap %" PRIu64
                ", part %u of %u. This replica stops serving. Nothing was deleted; compare RABIA DIGEST "
                "of the members, then replace this one",
                digest->boundary, digest->part, digest->part_count);
}

void ordering_note_digest(struct replica *r, uint8_t member, const struct frame_digest *digest)
{
    switch (divergence_note(&r->divergence, member, digest)) {
    case DIVERGENCE_NONE: break;
    case DIVERGENCE_SELF: diverged(r, digest); break;
    case DIVERGENCE_OTHER:
        log_warning("replica", "a member's data differs from what a quorum agrees on at lap %" PRIu64,
                    digest->boundary);
        break;
    case DIVERGENCE_UNDECIDED:
        log_warning("replica", "members' data differ at lap %" PRIu64 ", and no quorum says who is wrong",
                    digest->boundary);
        break;
    }
}

static size_t key_count(const struct replica *r)
{
    size_t keys = 0;
    for (int db = 0; db < keyspace_database_count(r->keyspace); db++)
        keys += keyspace_size(r->keyspace, db);
    return keys;
}

static void digest_if_due(struct replica *r, uint64_t lap)
{
    struct frame_digest due;
    if (lap / DIVERGENCE_LAPS * DIVERGENCE_LAPS <= r->divergence.newest_boundary)
        return;
    if (!divergence_is_due(&r->divergence, lap, key_count(r), &due))
        return;
    due.digest = keyspace_digest_part(r->keyspace, due.part, due.part_count);
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self)
            link_send_digest(&r->links[i], &due);
    ordering_note_digest(r, r->self, &due);
}

static void apply_one(struct replica *r, const struct rabia_decided *decided)
{
    struct own_batch *own = decided->lane == r->self ? proposer_decided(&r->proposer, decided) : NULL;
    if (!decided->batch)
        return;
    sending_note(r, decided);
    if (decided->is_void) {
        r->batches_void++;
        return;
    }
    if (!batch_is_empty(decided->batch))
        digest_if_due(r, decided->lap);
    if (own) {
        apply_own(&r->apply, own, decided->lap, decided->lane);
        proposer_applied(&r->proposer, own);
    } else {
        apply_batch(&r->apply, decided->batch, decided->lap, decided->lane);
    }
    r->batches_applied++;
}

void ordering_note_clock(struct replica *r, uint8_t peer, uint64_t wall_ms)
{
    r->peer_clocks[peer] = (struct peer_clock){wall_ms, replica_now(r)};
}

/* How far ahead of that peer's our wall clock is.  Both are taken to run evenly since it
 * told, so that a jump of ours shows at once. */
static uint64_t ahead_ms_of(const struct replica *r, int peer)
{
    const struct peer_clock *clock = &r->peer_clocks[peer];
    uint64_t wall_ms = (uint64_t)loop_wall_ms(r->loop);
    uint64_t peer_ms = clock->wall_ms + (replica_now(r) - clock->heard_us) / 1000;
    bool is_apart = clock->wall_ms && wall_ms > peer_ms + r->order_options.clock_tolerance_ms / 2;
    return is_apart ? wall_ms - peer_ms : 0;
}

static void note_refused_clock(struct replica *r, uint8_t peer, uint64_t clock_ms)
{
    ordering_note_clock(r, peer, clock_ms);
    r->clock_refusals++;
    static const char why[] = "the clock of this machine or of that member is wrong";
    if (peers_is_news(r, peer, why))
        log_warning("replica", "member %u refused a batch, its clock is %" PRIu64 " ms behind ours: %s",
                    r->members[peer].id, ahead_ms_of(r, peer), why);
}

/* A batch needs the echo of some peers, not of all: our clock yields to theirs
 * only as far as a quorum asks, or a single clock that is behind would hold
 * back everybody's. */
uint64_t ordering_clock_ms(const struct replica *r)
{
    uint64_t ahead[RABIA_MEMBERS_MAX]; /* of the peers that are there, ascending */
    uint16_t voters = membership_voters(r);
    int count = 0, needed = __builtin_popcount(voters) / 2;
    for (int i = 0; i < r->member_count; i++) {
        if (i == r->self || !(voters >> i & 1) || !peers_is_heard(r, i))
            continue;
        uint64_t ms = ahead_ms_of(r, i);
        int at = count++;
        for (; at > 0 && ahead[at - 1] > ms; at--)
            ahead[at] = ahead[at - 1];
        ahead[at] = ms;
    }
    uint64_t wall_ms = (uint64_t)loop_wall_ms(r->loop);
    return needed > 0 && count >= needed ? wall_ms - ahead[needed - 1] : wall_ms;
}

/* --- steps ---------------------------------------------------------------- */

bool ordering_may_step(const struct replica *r)
{
    enum formation_stage stage = r->formation.own.stage;
    return r->order && !r->is_loading && !r->is_installing && !r->is_removed && memory_error(r->memory) == 0 &&
           (stage == FORMATION_FORMED || stage == FORMATION_REJOINING);
}

struct rabia_event ordering_event(const struct replica *r, enum rabia_event_kind kind)
{
    return (struct rabia_event){
        .kind = kind, .now_us = replica_now(r), .wall_ms = (uint64_t)loop_wall_ms(r->loop)};
}

void ordering_honour(struct replica *r)
{
    for (size_t i = 0; i < r->out.record_count; i++) {
        memory_record(r->memory, &r->out.records[i]);
        if (r->out.records[i].needs_flush)
            r->newest_seq = r->out.records[i].seq;
    }
    /* Replies may leave before the pass ends: what they rest on is written first. */
    bool is_written = r->out.record_count == 0 || r->out.decided_count == 0 ||
                      memory_write(r->memory) == STATUS_OK;
    if (is_written) {
        send_messages(r);
        for (size_t i = 0; i < r->out.decided_count; i++)
            apply_one(r, &r->out.decided[i]);
        formation_at(&r->formation, r->apply.position);
        forming_honour(r);
    }
    r->order_deadline_us = r->out.deadline_us;
    if (r->out.clock_refused_ms)
        note_refused_clock(r, r->hearing, r->out.clock_refused_ms);
    rabia_out_clear(&r->out);
}

/* Before anything of their new life is heard. */
static void forget_predecessors(struct replica *r)
{
    for (uint8_t i = 0; r->to_forget; i++) {
        if (!(r->to_forget >> i & 1))
            continue;
        r->to_forget &= (uint16_t) ~(1u << i);
        struct rabia_event event = ordering_event(r, RABIA_EVENT_FORGET);
        event.peer = i;
        rabia_step(r->order, &event, &r->out);
        ordering_honour(r);
    }
}

void ordering_step(struct replica *r, const struct rabia_event *event)
{
    if (!ordering_may_step(r))
        return;
    forget_predecessors(r);
    rabia_step(r->order, event, &r->out);
    ordering_honour(r);
}

void ordering_propose(struct replica *r)
{
    struct batch *batch;
    if (r->is_disk_low)
        return;
    while (ordering_may_step(r) && r->formation.own.stage == FORMATION_FORMED && rabia_can_propose(r->order) &&
           (batch = proposer_take(&r->proposer, ordering_clock_ms(r), replica_now(r))) != NULL) {
        struct rabia_event event = ordering_event(r, RABIA_EVENT_PROPOSE);
        event.batch = batch;
        rabia_step(r->order, &event, &r->out);
        CHECK(r->out.proposed_lap != RABIA_NO_LAP);
        proposer_sent(&r->proposer, r->out.proposed_lap, replica_now(r));
        ordering_honour(r);
        batch_release(batch);
    }
}
