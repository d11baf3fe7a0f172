/* A snapshot from a peer.
 *
 * It goes straight into the keyspace as it comes; until it is complete the order stands still,
 * so a transfer that fails loses nothing but time: another peer is asked.
 *
 *   idle --transfer_want--> asked --first piece--> receiving --complete--> idle
 *             asked, receiving --failed, no good, silent, link lost--> asked (another peer)
 *             asked --refused--> asked (another peer; all refused: after TRANSFER_CHOOSE_US)
 *
 * Every ask has a number, which comes back with each piece: what is still under way of an
 * earlier answer is told from what is wanted now.
 *
 * Bounds: a receiver that hears nothing for TRANSFER_SILENT_US asks anew. */
#include <inttypes.h>

#include "base/log.h"
#include "replica/replica_private.h"

enum {
    TRANSFER_SILENT_US = 5 * 1000 * 1000,
    TRANSFER_CHOOSE_US = 200 * 1000, /* nobody to ask: looks again after this */
};

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

/* Asks nobody now, but soon. */
static void ask_later(struct replica *r)
{
    r->received_us = replica_now(r) - (TRANSFER_SILENT_US - TRANSFER_CHOOSE_US);
    r->refusals = 0;
}

static void ask(struct replica *r)
{
    drop_received(r);
    r->asked_us = r->received_us = replica_now(r);
    r->received_bytes = 0;
    r->ask_number++; /* whatever still comes belongs to an earlier one */
    if (!choose_peer(r)) {
        ask_later(r);
        return;
    }
    uint16_t bit = (uint16_t)(1u << r->receiving_from);
    struct frame_ask asked = {.number = r->ask_number, .lap = r->order ? rabia_frontier(r->order) : 0,
                              .position = r->apply.position > r->roster.position ? r->apply.position : r->roster.position,
                              .is_former_bad = r->bad_from & bit};
    r->bad_from &= (uint16_t)~bit;
    log_notice("replica", "asking member %u for a snapshot", r->members[r->receiving_from].id);
    buf_clear(&r->chunk_scratch);
    frame_add_ask(&r->chunk_scratch, &asked);
    link_send_bytes(&r->links[r->receiving_from], FRAME_SNAPSHOT_ASK, buf_slice(&r->chunk_scratch));
}

static void ask_another(struct replica *r)
{
    r->bad_from |= (uint16_t)(1u << r->receiving_from);
    ask(r);
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
        ask_another(r);
        return;
    }
    proposer_abandon(&r->proposer);
    if (!rabia_install(r->order, state.core, replica_now(r), (uint64_t)loop_wall_ms(r->loop), &r->out)) {
        log_warning("replica", "the snapshot from member %u is not ahead of what is here", r->members[r->receiving_from].id);
        ask_another(r);
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
    r->bad_from = 0;
    r->refusals = 0;
    sending_drop(r);
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

static bool is_awaited(const struct replica *r, uint8_t peer, uint64_t number)
{
    return r->is_installing && peer == r->receiving_from && number == r->ask_number;
}

void transfer_data(struct replica *r, uint8_t peer, uint64_t number, struct slice bytes)
{
    if (!is_awaited(r, peer, number) || (!r->receiving && r->received_bytes > 0))
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
    r->refusals = 0;
    switch (snapshot_feed(r->receiving, bytes.ptr, bytes.len)) {
    case STATUS_AGAIN: break;
    case STATUS_OK: install(r); break;
    default:
        log_warning("replica", "the snapshot from member %u is no good: %s", r->members[peer].id,
                    snapshot_reader_error(r->receiving));
        ask_another(r);
    }
}

static int count_of_others(const struct replica *r)
{
    int count = 0;
    for (uint8_t i = 0; i < r->member_count; i++)
        count += i != r->self && peers_is_heard(r, i);
    return count;
}

void transfer_ended(struct replica *r, uint8_t peer, uint64_t number, enum frame_snapshot_end end)
{
    if (!is_awaited(r, peer, number))
        return;
    if (end == FRAME_SNAPSHOT_REFUSED) {
        log_notice("replica", "member %u cannot send a snapshot now", r->members[peer].id);
        if (++r->refusals >= count_of_others(r)) {
            r->ask_number++;
            ask_later(r);
            return;
        }
    } else {
        log_warning("replica", "the snapshot from member %u %s", r->members[peer].id,
                    end == FRAME_SNAPSHOT_COMPLETE ? "ended too early" : "was broken off");
    }
    ask(r);
}

void transfer_lost(struct replica *r, uint8_t peer)
{
    if (r->is_installing && peer == r->receiving_from)
        r->received_us = 0; /* ask another at the end of this pass */
}

/* --- the passing of time -------------------------------------------------- */

uint64_t transfer_pass_end(struct replica *r)
{
    if (!r->is_installing || !may_receive(r))
        return UINT64_MAX;
    if (replica_now(r) > r->received_us + TRANSFER_SILENT_US)
        ask(r);
    return r->received_us + TRANSFER_SILENT_US + 1;
}

bool transfer_give_up(struct replica *r)
{
    bool is_data_gone = r->is_installing && r->apply.position == 0;
    drop_received(r);
    sending_drop(r);
    r->is_installing = false;
    return is_data_gone;
}

void transfer_free(struct replica *r)
{
    if (r->receiving)
        snapshot_reader_free(r->receiving);
    r->receiving = NULL;
}
