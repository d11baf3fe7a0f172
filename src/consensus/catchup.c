/* Asking for what we lack, and the heartbeat.
 *
 * One timer: while something is wanted and the order stands still, it asks;
 * twice as long later each time.  When peers are known to be ahead one of them
 * is asked, in turn, and again as soon as its answer helped; otherwise all are
 * asked to repeat what they said. */
#include "consensus/machine.h"

#include "base/check.h"

enum { CLOCK_PATIENCE_US = 1000 * 1000 }; /* well beyond the time NULLs take to win */

static uint64_t known_place(const struct rabia *r, uint8_t peer)
{
    return place_of(r->lanes[peer].frontier_lap, r->lanes[peer].frontier_lane);
}

bool catchup_is_behind(const struct rabia *r)
{
    for (uint8_t peer = 0; peer < r->peer_count; peer++)
        if (known_place(r, peer) > cursor_place(r))
            return true;
    return false;
}

static bool is_needed(const struct rabia *r)
{
    return r->wanted_end > cursor_place(r) || r->is_rejoining || catchup_is_behind(r);
}

static bool can_help(const struct rabia *r, uint8_t peer)
{
    const struct lane *l = &r->lanes[peer];
    return (everyone_else(r) & bit_of(peer)) && !l->is_link_down && known_place(r, peer) > cursor_place(r) &&
           l->too_old_place <= cursor_place(r);
}

/* The next peer in turn that is ahead of us, or all if none is or the one
 * asked before did not help: it may be dead. */
static uint16_t choose_peers(struct rabia *r)
{
    uint8_t n = r->peer_count;
    if (r->ask_wait_us > r->options.ask_interval_us)
        return everyone_else(r);
    for (uint8_t i = 0; i < n; i++) {
        uint8_t peer = (uint8_t)((r->next_peer + i) % n);
        if (can_help(r, peer)) {
            r->next_peer = (uint8_t)((peer + 1) % n);
            return bit_of(peer);
        }
    }
    return everyone_else(r);
}

static void send_ask(struct rabia *r)
{
    r->asked_peers = choose_peers(r);
    struct rabia_message m = {
        .kind = RABIA_ASK, .lane = r->cursor_lane, .lap = r->frontier, .count = r->window};
    outbox_send(r, r->asked_peers, false, &m);
}

/* (Time) A batch whose clock we refuse is not echoed, and its slot is forfeited: where others
 * refuse it too, NULL wins at once.  Where too few are there for that, nobody could ever end the
 * slot; so after a while we hold what we have forfeited, and say what the words of others force. */
static bool is_held_up_by_clock(struct rabia *r)
{
    bool is_out_of_window = r->frontier >= window_end(r); /* all of it came to its end in this step */
    return !is_out_of_window && rabia_slot(r, r->frontier, r->cursor_lane)->is_refused &&
           r->now_us - r->stood_us >= CLOCK_PATIENCE_US;
}

/* Contents that nobody answered for are fetched from another holder; refused
 * ones are looked at again, for time went by (Time). */
static void retry_contents(struct rabia *r)
{
    unsigned fetched = 0;
    bool yields_to_clock = is_held_up_by_clock(r);
    uint64_t end = lap_min(r->touched_end, window_end(r));
    CHECK(end >= r->frontier || r->touched_end <= r->frontier);
    for (uint64_t lap = r->frontier; lap < end && fetched < FETCHES_MAX; lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++) {
            struct slot *slot = rabia_slot(r, lap, lane);
            if (slot->is_refused) {
                if (yields_to_clock && slot->said != SLOT_SAID_NOTHING)
                    slot->is_refused = false;
                voice_evaluate(r, lap, lane);
            } else if (!slot_is_decided(slot) && !slot->batch && slot->holders) {
                voice_fetch(r, lap, lane);
                fetched++;
            }
        }
}

/* Whoever lost what we said may not know that there is anything to ask for. */
static void repeat_unasked(struct rabia *r)
{
    for (uint8_t peer = 0; peer < r->peer_count; peer++)
        if (r->asked_peers & bit_of(peer))
            repeat_undecided(r, peer);
}

static void repeat_nudge(struct rabia *r)
{
    if (r->nudge_lap > r->frontier)
        outbox_send(r, everyone_else(r), false,
                    &(struct rabia_message){.kind = RABIA_NUDGE, .lap = r->nudge_lap, .count = 1});
}

static uint64_t known_frontier(const struct rabia *r)
{
    uint64_t lap = r->frontier;
    for (uint8_t peer = 0; peer < r->peer_count; peer++)
        lap = lap_max(lap, r->lanes[peer].frontier_lap);
    return lap;
}

static void arm(struct rabia *r)
{
    if (r->asked_place != cursor_place(r) || r->ask_us == 0)
        r->stood_us = r->now_us;
    r->asked_place = cursor_place(r);
    r->ask_goal = known_frontier(r);
    r->ask_wait_us = r->options.ask_interval_us;
    r->ask_us = r->now_us + r->ask_wait_us;
    r->asked_peers = 0;
}

/* The order moved, and has come to where others were when the timer was set:
 * less would be crawling after them. */
static bool keeps_up(const struct rabia *r)
{
    return r->asked_place != cursor_place(r) && r->frontier >= r->ask_goal;
}

static void run_ask_timer(struct rabia *r)
{
    if (!is_needed(r)) {
        r->ask_us = 0;
        r->asked_peers = 0;
    } else if (r->ask_us == 0 || keeps_up(r)) {
        arm(r);
    } else if (r->now_us >= r->ask_us) {
        if (r->asked_place != cursor_place(r))
            arm(r);
        retry_contents(r);
        repeat_nudge(r);
        rejoin_repeat(r);
        repeat_own(r);
        send_ask(r);
        repeat_unasked(r);
        r->ask_wait_us = lap_min(r->ask_wait_us * 2, r->options.ask_interval_us * BACKOFF_MAX);
        r->ask_us = r->now_us + r->ask_wait_us;
    }
}

/* What every member has passed nobody will ask for. */
static void trim_history(struct rabia *r)
{
    uint64_t passed = r->frontier;
    for (uint8_t peer = 0; peer < r->peer_count; peer++)
        if (everyone_else(r) & bit_of(peer))
            passed = lap_min(passed, r->lanes[peer].frontier_lap);
    history_trim(&r->history, passed);
}

static void run_heartbeat(struct rabia *r)
{
    if (r->now_us < r->heartbeat_due_us)
        return;
    r->heartbeat_due_us = r->now_us + r->options.heartbeat_us;
    /* The ask timer starts anew as long as the order moves. */
    repeat_nudge(r);
    rejoin_repeat(r);
    repeat_frontier(r, everyone_else(r), true);
    trim_history(r);
}

void catchup_run(struct rabia *r)
{
    CHECK(r->out);
    run_ask_timer(r);
    run_heartbeat(r);
}

/* Called after a frame: if it was the answer we waited for and there is more,
 * the next piece is asked for at once. */
void catchup_answered(struct rabia *r, uint8_t peer, uint64_t frontier_before)
{
    CHECK(peer != r->options.self);
    if (!(r->asked_peers & bit_of(peer)) || r->frontier == frontier_before || !catchup_is_behind(r))
        return;
    arm(r);
    send_ask(r);
}

/* Asked more than once, whoever lives has answered: who could help and did not
 * may be dead, and a hint of that need not have come. */
static bool is_worth_waiting(const struct rabia *r)
{
    if (r->ask_wait_us > WORTH_ASKS * r->options.ask_interval_us)
        return false;
    for (uint8_t other = 0; other < r->peer_count; other++)
        if (can_help(r, other))
            return true;
    return false;
}

/* If nobody within reach keeps what we need, only a snapshot helps. */
void catchup_too_old(struct rabia *r, uint8_t peer, uint64_t lap, uint8_t lane)
{
    CHECK(peer != r->options.self);
    r->lanes[peer].too_old_place = place_of(lap, lane);
    if (place_of(lap, lane) <= cursor_place(r))
        return;
    if (is_worth_waiting(r))
        return;
    r->out->snapshot_from_lap = lap;
}

uint64_t catchup_deadline_us(const struct rabia *r)
{
    return r->ask_us && r->ask_us < r->heartbeat_due_us ? r->ask_us : r->heartbeat_due_us;
}
