#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "replica/replica_private.h"

/* --- quorum --------------------------------------------------------------- */

/* Who is waited for: those that count at the frontier, and those that soon will. */
static uint16_t needed_members(const struct replica *r)
{
    if (r->formation.own.forced)
        return r->formation.voters & (uint16_t)r->formation.own.forced;
    if (!r->order)
        return r->formation.voters;
    struct rabia_lists lists = rabia_lists(r->order);
    return lists.members | lists.pending;
}

static int voter_count(const struct replica *r)
{
    return __builtin_popcount(needed_members(r));
}

static int heard_count(const struct replica *r)
{
    int count = 0;
    uint16_t needed = needed_members(r);
    for (int i = 0; i < r->member_count; i++)
        count += (needed >> i & 1) && peers_is_heard(r, i);
    return count;
}

bool status_has_quorum(const struct replica *r)
{
    if (!r->order)
        return membership_hears_quorum(r, r->formation.voters);
    struct rabia_lists lists = rabia_lists(r->order);
    return membership_hears_quorum(r, lists.members) &&
           (lists.pending == 0 || membership_hears_quorum(r, lists.pending));
}

/* "2@host:port, 3@host:port": the members not heard of. */
static void list_absent(const struct replica *r, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < r->member_count && used < size; i++)
        if ((needed_members(r) >> i & 1) && !peers_is_heard(r, i))
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
    if (r->is_removed)
        return REPLICA_REMOVED;
    if (r->is_joining)
        return REPLICA_JOINING;
    if (r->formation.own.stage == FORMATION_REJOINING)
        return REPLICA_REJOINING;
    if (r->formation.own.stage != FORMATION_FORMED)
        return REPLICA_FORMING;
    if (r->is_installing)
        return REPLICA_BEHIND;
    return membership_has_voice(r) ? REPLICA_UP : REPLICA_LEARNER;
}

static void describe_forming(const struct replica *r, const char *absent, char *text, size_t size)
{
    int with_memory = 0;
    bool is_new = true;
    for (int i = 0; i < r->member_count; i++) {
        const struct formation_claim *claim = i == r->self ? &r->formation.own : &r->formation.members[i].claim;
        if (!(needed_members(r) >> i & 1))
            continue;
        with_memory += claim->has_memory;
        is_new &= claim->epoch == 0;
    }
    if (r->formation.own.forced)
        snprintf(text, size, "recovering by force: %d of %d members are here, waiting for %s", heard_count(r),
                 voter_count(r), absent);
    else if (is_new && forming_knows_elder(r))
        snprintf(text, size, "member %u of a cluster with this name takes this server for one of its own: no new one is "
                 "begun beside it; name an address of it in cluster-join", r->elder_id);
    else if (is_new)
        snprintf(text, size, "a new cluster needs all members once: %d of %d are here, waiting for %s",
                 heard_count(r), voter_count(r), absent);
    else
        snprintf(text, size,
                 "%d of %d members have their memory, need %d; or all once, to recover: %d are here, waiting for %s (if they are lost for good: RABIA RECOVER FORCE)",
                 with_memory, voter_count(r), voter_count(r) / 2 + 1, heard_count(r), absent);
}

/* A founder of the same name was here before: two clusters must not serve. */
static bool is_usurper(const struct replica *r)
{
    return forming_is_founder(r) && forming_knows_elder(r);
}

void status_describe_wait(const struct replica *r, char *text, size_t size)
{
    char absent[160];
    list_absent(r, absent, sizeof absent);
    text[0] = '\0';
    if (!*absent)
        snprintf(absent, sizeof absent, "their word");
    switch (status_of(r)) {
    case REPLICA_JOINING: joining_describe(r, text, size); break;
    case REPLICA_LEARNER:
        snprintf(text, size, "a learner: waiting for its voice%s", status_has_quorum(r) ? "" : ", and for a quorum");
        break;
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
        if (is_usurper(r))
            snprintf(text, size, "member %u of an older cluster takes this server for one of its own, begun anew without its "
                     "data: empty --dir and name an address of it in cluster-join, or stop it", r->elder_id);
        else if (!status_has_quorum(r))
            snprintf(text, size, "no quorum: %d of %d members are here, need %d; waiting for %s", heard_count(r),
                     voter_count(r), voter_count(r) / 2 + 1, absent);
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
    case REPLICA_REMOVED:
        snprintf(r->refusal, sizeof r->refusal,
                 "REMOVED this replica (member %u) was removed from the cluster and has stopped; the members are %.200s",
                 r->self_id, r->members_text);
        return r->refusal;
    case REPLICA_FAILED:
        snprintf(r->refusal, sizeof r->refusal, "MISCONF the disk of this replica failed (%s); it has stopped",
                 strerror(memory_error(r->memory)));
        return r->refusal;
    case REPLICA_UP: {
        if (is_usurper(r))
            break;
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
    return state == REPLICA_LOADING || state == REPLICA_DIVERGED || state == REPLICA_REMOVED ||
                   state == REPLICA_JOINING || r->is_installing
               ? replica_refusal(r) : NULL;
}

/* --- looking -------------------------------------------------------------- */

static const char *state_name(enum replica_state state)
{
    switch (state) {
    case REPLICA_LONE: return "lone";
    case REPLICA_LOADING: return "loading";
    case REPLICA_JOINING: return "joining";
    case REPLICA_FORMING: return "forming";
    case REPLICA_REJOINING: return "rejoining";
    case REPLICA_UP: return "up";
    case REPLICA_LEARNER: return "learner";
    case REPLICA_REMOVED: return "removed";
    case REPLICA_BEHIND: return "behind";
    case REPLICA_DIVERGED: return "diverged";
    case REPLICA_FAILED: return "failed";
    }
    return "unknown";
}

static void fill_standing(const struct replica *r, int i, struct replica_peer_status *peer)
{
    struct rabia_lists lists = rabia_lists(r->order);
    uint64_t frontier = rabia_frontier(r->order);
    uint64_t theirs = i == r->self ? frontier : rabia_frontier_of(r->order, (uint8_t)i);
    peer->behind_laps = frontier > theirs ? frontier - theirs : 0;
    if (lists.pending != 0 && ((lists.pending ^ lists.members) >> i & 1))
        peer->voice_from = lists.pending_from;
}

static void fill_peer(const struct replica *r, int i, struct replica_peer_status *peer)
{
    const struct link *l = &r->links[i];
    *peer = (struct replica_peer_status){
        .id = r->members[i].id, .host = r->members[i].host, .port = r->members[i].port, .link = LINK_SELF};
    const struct roster_entry *entry = &r->roster.entries[i];
    peer->index = (uint8_t)i;
    peer->member_state = entry->state;
    peer->replaces = entry->replaces;
    peer->is_heard = peers_is_heard(r, i);
    peer->has_voice = membership_voters(r) >> i & 1;
    peer->voice_from = RABIA_NO_LAP;
    if (r->order)
        fill_standing(r, i, peer);
    if (i == r->self)
        return;
    peer->link = l->loop ? l->state : LINK_DOWN;
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

/* Members and learners first, the removed behind them. */
static void fill_peers(const struct replica *r, struct replica_status *status)
{
    struct replica_peer_status *next = status->peers;
    for (int i = 0; i < r->member_count; i++)
        if (i == r->self ? !r->is_removed : r->roster.entries[i].state == ROSTER_MEMBER ||
                                                r->roster.entries[i].state == ROSTER_LEARNER)
            fill_peer(r, i, next++);
    status->member_count = (int)(next - status->peers);
    for (int i = 0; i < r->member_count; i++)
        if (i == r->self ? r->is_removed : r->roster.entries[i].state == ROSTER_REMOVED)
            fill_peer(r, i, next++);
    status->removed_count = (int)(next - status->peers) - status->member_count;
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
    status->loaded_keys = r->loaded_keys;
    if (r->is_lone) {
        status->member_count = status->voter_count = 1;
        return;
    }
    status_describe_wait(r, status->waiting_for, sizeof status->waiting_for);
    status->has_quorum = status_of(r) == REPLICA_UP && status_has_quorum(r);
    status->voter_count = __builtin_popcount(membership_voters(r));
    status->roster_version = r->roster.version;
    status->self_id = r->self_id;
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
    fill_peers(r, status);
    if (r->order)
        rabia_get_status(r->order, replica_now(r), &status->order);
}
