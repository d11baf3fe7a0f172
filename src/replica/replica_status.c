#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "replica/replica_private.h"

/* --- quorum --------------------------------------------------------------- */

static int heard_count(const struct replica *r)
{
    int count = 0;
    for (int i = 0; i < r->member_count; i++)
        count += peers_is_heard(r, i);
    return count;
}

bool status_has_quorum(const struct replica *r)
{
    return heard_count(r) > r->member_count / 2;
}

/* "2@host:port, 3@host:port": the members not heard of. */
static void list_absent(const struct replica *r, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < r->member_count && used < size; i++)
        if (!peers_is_heard(r, i))
            used += (size_t)snprintf(text + used, size - used, "%s%u@%s:%d", used ? ", " : "", r->members[i].id,
                                     r->members[i].host, r->members[i].port);
}

enum replica_state status_of(const struct replica *r)
{
    if (r->is_loading)
        return REPLICA_LOADING;
    if (r->is_lone)
        return REPLICA_LONE;
    if (memory_error(r->memory))
        return REPLICA_FAILED;
    if (r->is_diverged)
        return REPLICA_DIVERGED;
    if (r->formation.own.stage == FORMATION_REJOINING)
        return REPLICA_REJOINING;
    if (r->formation.own.stage != FORMATION_FORMED)
        return REPLICA_FORMING;
    return r->is_installing ? REPLICA_BEHIND : REPLICA_UP;
}

static void describe_forming(const struct replica *r, const char *absent, char *text, size_t size)
{
    int with_memory = 0;
    bool is_new = true;
    for (int i = 0; i < r->member_count; i++) {
        const struct formation_claim *claim = i == r->self ? &r->formation.own : &r->formation.members[i].claim;
        with_memory += claim->has_memory;
        is_new &= claim->epoch == 0;
    }
    if (is_new)
        snprintf(text, size, "a new cluster needs all members once: %d of %u are here, waiting for %s",
                 heard_count(r), r->member_count, absent);
    else
        snprintf(text, size,
                 "%d of %u members have their memory, need %d; or all once, to recover: %d are here, waiting for %s",
                 with_memory, r->member_count, r->member_count / 2 + 1, heard_count(r), absent);
}

void status_describe_wait(const struct replica *r, char *text, size_t size)
{
    char absent[160];
    list_absent(r, absent, sizeof absent);
    text[0] = '\0';
    if (!*absent)
        snprintf(absent, sizeof absent, "their word");
    switch (status_of(r)) {
    case REPLICA_FORMING: describe_forming(r, absent, text, size); break;
    case REPLICA_REJOINING:
        snprintf(text, size, r->is_installing ? "rejoining: fetching a snapshot, %" PRIu64 " MiB so far"
                                              : "rejoining: %" PRIu64 " MiB of snapshot in, catching up",
                 r->received_bytes >> 20);
        break;
    case REPLICA_BEHIND:
        snprintf(text, size, "fell behind what the peers keep: fetching a snapshot, %" PRIu64 " MiB so far",
                 r->received_bytes >> 20);
        break;
    case REPLICA_UP:
        if (!status_has_quorum(r))
            snprintf(text, size, "no quorum: %d of %u members are here, need %d; waiting for %s", heard_count(r),
                     r->member_count, r->member_count / 2 + 1, absent);
        break;
    default: break;
    }
}

const char *replica_refusal(struct replica *r)
{
    char wait[224];
    switch (status_of(r)) {
    case REPLICA_LONE: return NULL;
    case REPLICA_LOADING: return "LOADING Redis is loading the dataset in memory";
    case REPLICA_DIVERGED:
        return "DIVERGED the data of this replica differs from what a quorum agrees on; it has stopped serving";
    case REPLICA_FAILED:
        snprintf(r->refusal, sizeof r->refusal, "MISCONF the disk of this replica failed (%s); it has stopped",
                 strerror(memory_error(r->memory)));
        return r->refusal;
    case REPLICA_UP: {
        bool is_late = r->quorum_lost_us && replica_now(r) >= r->quorum_lost_us + r->cluster_timeout_us;
        if (!is_late || status_has_quorum(r))
            return NULL;
        break;
    }
    default: break;
    }
    status_describe_wait(r, wait, sizeof wait);
    snprintf(r->refusal, sizeof r->refusal, "CLUSTERDOWN %s", wait);
    return r->refusal;
}

const char *replica_refusal_of_stale(struct replica *r)
{
    enum replica_state state = status_of(r);
    return state == REPLICA_LOADING || state == REPLICA_DIVERGED || r->is_installing ? replica_refusal(r) : NULL;
}

/* --- looking -------------------------------------------------------------- */

static const char *state_name(enum replica_state state)
{
    switch (state) {
    case REPLICA_LONE: return "lone";
    case REPLICA_LOADING: return "loading";
    case REPLICA_FORMING: return "forming";
    case REPLICA_REJOINING: return "rejoining";
    case REPLICA_UP: return "up";
    case REPLICA_BEHIND: return "behind";
    case REPLICA_DIVERGED: return "diverged";
    case REPLICA_FAILED: return "failed";
    }
    return "unknown";
}

static void fill_peer(const struct replica *r, int i, struct replica_peer_status *peer)
{
    const struct link *l = &r->links[i];
    *peer = (struct replica_peer_status){
        .id = r->members[i].id, .host = r->members[i].host, .port = r->members[i].port, .link = LINK_SELF};
    peer->is_heard = peers_is_heard(r, i);
    if (i == r->self)
        return;
    peer->link = l->state;
    peer->silent_ms = l->heard_us ? (replica_now(r) - l->heard_us) / 1000 : 0;
    peer->round_trip_us = l->round_trip_us;
    peer->bytes_in = link_bytes_in(l);
    peer->bytes_out = link_bytes_out(l);
    peer->frames_in = l->frames_in;
    peer->frames_out = l->frames_out;
    peer->links_made = l->links_made;
    peer->frames_dropped = l->messages_dropped;
    peer->queued_bytes = l->stream ? stream_output_bytes(l->stream) : 0;
    snprintf(peer->last_error, sizeof peer->last_error, "%s", l->state == LINK_UP ? "" : l->last_error);
}

void replica_get_status(struct replica *r, struct replica_status *status)
{
    *status = (struct replica_status){.state = status_of(r), .state_text = state_name(status_of(r))};
    status->position = replica_position(r);
    status->logical_time_ms = keyspace_now(r->keyspace);
    status->has_quorum = true;
    memory_get_figures(r->memory, &status->memory);
    status->loading_done = r->loading_done;
    status->loading_total = r->loading_total;
    status->loading_since_s = r->loading_since_s;
    if (r->is_lone) {
        status->member_count = 1;
        return;
    }
    status_describe_wait(r, status->waiting_for, sizeof status->waiting_for);
    status->has_quorum = status_of(r) == REPLICA_UP && status_has_quorum(r);
    status->member_count = r->member_count;
    status->self_index = r->self;
    status->self_id = r->members[r->self].id;
    status->incarnation = own_incarnation(r);
    status->epoch = r->formation.own.epoch;
    status->snapshots_sent = r->transfers_out;
    status->snapshots_received = r->transfers_in;
    const struct proposer_figures *figures = &r->proposer.figures;
    status->batches_proposed = figures->batches_proposed;
    status->batches_reproposed = figures->batches_reproposed;
    status->commands_proposed = figures->commands_proposed;
    status->reads_ridden = figures->reads_ridden;
    status->failures_no_quorum = figures->failures_no_quorum;
    status->failures_in_doubt = figures->failures_in_doubt;
    status->batches_applied = r->batches_applied;
    status->batches_void = r->batches_void;
    status->commands_applied = r->apply.commands_applied;
    status->clock_refusals = r->clock_refusals;
    status->digests_compared = r->divergence.compared;
    status->digests_differing = r->divergence.differing;
    status->queued_bytes = r->proposer.queued_bytes;
    status->batches_in_flight = r->proposer.in_flight_count;
    for (int i = 0; i < r->member_count; i++)
        fill_peer(r, i, &status->peers[i]);
    if (r->order)
        rabia_get_status(r->order, replica_now(r), &status->order);
}
