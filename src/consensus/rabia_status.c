#include "consensus/machine.h"

#include "base/check.h"

static void lane_status(const struct rabia *r, uint8_t lane, uint64_t now_us, struct rabia_lane_status *status)
{
    const struct lane *l = &r->lanes[lane];
    bool is_own = lane == r->options.self;
    *status = (struct rabia_lane_status){
        .next_lap = is_own ? r->own_next : l->heard_lap,
        .frontier_lap = is_own ? r->frontier : l->frontier_lap,
        .decided_batches = l->decided_batches,
        .decided_nulls = l->decided_nulls,
        .forfeits = l->forfeits,
        .wrongful_forfeits = l->wrongful_forfeits,
        .phi = suspicion_phi(&l->suspicion, now_us),
        .usual_delay_us = (uint64_t)l->suspicion.mean_us,
        .forfeit_after_us = pace_limit_us(r, lane),
        .is_suspect = l->is_suspect,
    };
}

void rabia_get_status(const struct rabia *r, uint64_t now_us, struct rabia_status *status)
{
    CHECK(now_us >= r->now_us);
    *status = (struct rabia_status){
        .frontier = r->frontier,
        .own_next_lap = r->own_next,
        .history_first_lap = r->history.first_lap,
        .history_bytes = r->history.bytes,
        .own_in_flight = r->own_in_flight,
        .decided_by_exchange = r->decided_by_exchange,
        .waiting_for_disk = r->gate.count,
        .invalid_messages = r->invalid_messages,
        .conflicting_decisions = r->conflicting_decisions,
        .members = r->members.mask,
        .members_from = r->members.from,
        .pending_members = r->pending.mask,
        .pending_from = r->pending.from,
        .learners = r->learners,
        .is_rejoining = r->is_rejoining,
        .rejoin_lap = r->rejoin_lap,
    };
    for (int i = 0; i < RABIA_PHASE_COUNTERS; i++)
        status->decided_in_phase[i] = r->decided_in_phase[i];
    uint8_t known = r->lane_count > r->peer_count ? r->lane_count : r->peer_count; /* learners, too */
    for (uint8_t lane = 0; lane < known; lane++)
        lane_status(r, lane, now_us, &status->lanes[lane]);
}

struct rabia_lists rabia_lists(const struct rabia *r)
{
    return (struct rabia_lists){r->members.mask, r->pending.mask, r->members.from, r->pending.from};
}

void rabia_cursor(const struct rabia *r, uint64_t *lap, uint8_t *lane)
{
    *lap = r->frontier;
    *lane = r->cursor_lane;
}

uint64_t rabia_kept_from(const struct rabia *r)
{
    CHECK(r->history.first_lap <= r->frontier);
    return lap_max(r->history.first_lap, (r->base_place + 15) >> 4);
}

uint64_t rabia_frontier_of(const struct rabia *r, uint8_t peer)
{
    CHECK(peer < RABIA_MEMBERS_MAX);
    return r->lanes[peer].frontier_lap;
}
