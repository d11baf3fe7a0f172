/* Pace (protocol.md): nothing waits for an idle replica, nothing waits long
 * for a dead one. */
#include "consensus/machine.h"

#include "base/check.h"
#include "consensus/mutant.h"

/* --- what is wanted ------------------------------------------------------ */

void pace_want(struct rabia *r, uint64_t end_place)
{
    CHECK(end_place <= place_of(LAP_MAX + RANGE_MAX, 0));
    r->wanted_end = lap_max(r->wanted_end, end_place);
}

static uint64_t skip_end(const struct rabia *r)
{
    return lap_min(lap_min(r->skip_lap, window_end(r)), r->frontier + ahead_of(r));
}

/* (Catch up by skipping) The slot can be ordered once our lane is skipped up
 * to it.  While we are idle we skip further, twice as far each time, and again
 * when half of that is used up: then a lone proposer finds the way free. */
void pace_follow(struct rabia *r, uint64_t lap, uint8_t lane)
{
    CHECK(lane != r->options.self);
    pace_want(r, place_of(lap, lane) + 1);
    uint64_t need = lap + (r->options.self < lane ? 1 : 0);
    if (MUTANT(MUTANT_NO_CATCH_UP_SKIP) || r->own_next >= need + r->skip_ahead / 2 + (r->skip_ahead ? 1 : 0))
        return;
    if (r->own_next < need || r->skip_ahead > 1) {
        r->skip_lap = lap_max(r->skip_lap, need + r->skip_ahead);
        r->skip_to |= bit_of(lane);
        uint32_t doubled = r->skip_ahead ? r->skip_ahead * 2 : 1;
        r->skip_ahead = (uint32_t)lap_min(doubled, r->options.skip_ahead_max);
    }
}

/* Our batch there would only meet forfeits; a SKIP settles those slots at
 * once, and shows that we live. */
void pace_own_lane_forfeited(struct rabia *r, uint8_t peer, uint64_t lap)
{
    CHECK(peer != r->options.self);
    if (lap <= r->own_next)
        return;
    r->skip_lap = lap_max(r->skip_lap, lap);
    r->skip_to |= bit_of(peer);
}

bool pace_can_speak(const struct rabia *r)
{
    if (MUTANT(MUTANT_NO_WINDOW))
        return r->own_next < r->frontier + 2 * r->window;
    if (r->is_rejoining || !r->has_begun || (r->own_next < r->unsure_below && !MUTANT(MUTANT_OWN_BELOW_MARK)))
        return false;
    uint64_t end = lap_min(r->frontier + ahead_of(r), window_end(r));
    return r->own_next < end && may_speak(r, r->own_next);
}

/* Our lane says nothing below J: what we could say begins there. */
static uint64_t first_own_lap(const struct rabia *r)
{
    bool is_known = r->silent_below != RABIA_NO_LAP;
    return is_known ? lap_max(r->frontier, lap_min(r->silent_below, window_end(r))) : r->frontier;
}

void pace_pass_decided(struct rabia *r)
{
    r->own_next = lap_max(r->own_next, first_own_lap(r));
    if (r->options.self >= r->lane_count)
        r->own_next = window_end(r);
    while (r->own_next < window_end(r) && slot_is_decided(rabia_slot(r, r->own_next, r->options.self)))
        r->own_next++;
}

/* (On disk before sent) Where an earlier life may have spoken, unrecorded, only
 * a forfeit is safe. */
static void give_up_own_slot(struct rabia *r, uint64_t lap)
{
    if (rabia_slot(r, lap, r->options.self)->said != SLOT_SAID_NOTHING)
        return;
    if (lap < r->unsure_below && !MUTANT(MUTANT_OWN_BELOW_MARK))
        voice_forfeit_own(r, lap);
    else
        voice_skip(r, lap);
}

static void skip_own_lane(struct rabia *r)
{
    pace_pass_decided(r);
    while (r->own_next < skip_end(r) && may_speak(r, r->own_next)) {
        give_up_own_slot(r, r->own_next);
        r->own_next++;
        pace_pass_decided(r);
    }
    r->skip_to = 0;
}

/* --- suspicion ----------------------------------------------------------- */

uint64_t pace_limit_us(const struct rabia *r, uint8_t lane)
{
    CHECK(lane < RABIA_MEMBERS_MAX);
    const struct lane *l = &r->lanes[lane];
    return suspicion_limit_us(&l->suspicion, r->options.forfeit_floor_us, r->options.forfeit_ceiling_us,
                              l->is_link_down);
}

void pace_heard_owner(struct rabia *r, uint8_t lane, uint64_t lap_end)
{
    CHECK(lane != r->options.self);
    struct lane *l = &r->lanes[lane];
    l->heard_lap = lap_max(l->heard_lap, lap_end);
    if (l->is_suspect) {
        l->is_suspect = false;
        l->forfeit_ahead = 0;
        suspicion_restart(&l->suspicion, r->now_us);
    }
}

/* Once per bout of forfeits: a range forfeited wrongly is one mistake. */
void pace_forfeit_was_wrong(struct rabia *r, uint8_t lane)
{
    struct lane *l = &r->lanes[lane];
    CHECK(lane != r->options.self);
    if (l->may_be_penalised)
        suspicion_double(&l->suspicion, r->now_us);
    l->may_be_penalised = false;
}

void pace_slot_decided(struct rabia *r, uint64_t lap, uint8_t lane, bool by_owner)
{
    struct lane *l = &r->lanes[lane];
    CHECK(lap >= l->first_undecided);
    if (by_owner)
        suspicion_settled(&l->suspicion, lap, r->now_us, r->options.forfeit_floor_us);
    while (l->first_undecided < window_end(r) && slot_is_decided(rabia_slot(r, l->first_undecided, lane)))
        l->first_undecided++;
    if (lane == r->options.self && lap >= r->own_next && rabia_slot(r, lap, lane)->said == SLOT_SAID_NOTHING)
        r->was_forfeited = true;
}

static void forfeit(struct rabia *r, uint8_t lane, uint64_t from, uint64_t to)
{
    struct lane *l = &r->lanes[lane];
    if (from >= window_end(r) || !may_speak(r, lap_max(from, r->frontier)))
        return;
    to = lap_min(lap_min(to, window_end(r)), r->frontier + forfeits_ahead_of(r));
    uint64_t before = l->forfeits;
    voice_forfeit(r, lane, from, to);
    if (from <= lap_max(l->forfeited_to, l->first_undecided))
        l->forfeited_to = lap_max(l->forfeited_to, to);
    if (l->forfeits != before)
        l->may_be_penalised = true;
}

void pace_join_forfeit(struct rabia *r, uint8_t lane, uint64_t from, uint64_t to)
{
    CHECK(lane != r->options.self);
    const struct lane *l = &r->lanes[lane];
    bool suspected_too = suspicion_waited_us(&l->suspicion, r->now_us) * 2 >= pace_limit_us(r, lane);
    if (l->is_suspect || l->is_link_down || suspected_too)
        forfeit(r, lane, from, to);
}

void pace_resume(struct rabia *r, uint8_t lane, uint64_t lap)
{
    CHECK(lane != r->options.self);
    r->lanes[lane].resume_lap = lap_max(r->lanes[lane].resume_lap, lap);
    pace_heard_owner(r, lane, lap);
}

void pace_was_paused(struct rabia *r)
{
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        suspicion_restart(&r->lanes[lane].suspicion, r->now_us);
}

/* A slot that we echoed waits for other replicas, not for its owner. */
static bool holds_up(const struct rabia *r, uint8_t lane)
{
    uint64_t lap = r->lanes[lane].first_undecided;
    if (lap >= window_end(r) || place_of(lap, lane) >= r->wanted_end)
        return false;
    return rabia_slot(r, lap, lane)->said != SLOT_SAID_BATCH;
}

static void watch(struct rabia *r, uint8_t lane)
{
    struct lane *l = &r->lanes[lane];
    suspicion_forget(&l->suspicion, r->now_us);
    if (!holds_up(r, lane))
        suspicion_rest(&l->suspicion);
    else
        suspicion_wait(&l->suspicion, l->first_undecided, r->now_us);
    if (suspicion_waited_us(&l->suspicion, r->now_us) >= pace_limit_us(r, lane) && !MUTANT(MUTANT_NEVER_SUSPECTS))
        l->is_suspect = true;
}

/* A dead lane is forfeited ahead of need, and again when half of that is used
 * up.  What is wanted already is forfeited in one go. */
static void forfeit_ahead(struct rabia *r, uint8_t lane)
{
    struct lane *l = &r->lanes[lane];
    uint64_t limit = r->frontier + forfeits_ahead_of(r);
    uint64_t need = lap_min(lap_max(r->frontier, r->wanted_end >> 4) + 1, limit);
    if (l->forfeit_ahead > 0 && l->forfeited_to >= lap_min(need + l->forfeit_ahead / 2, limit))
        return;
    l->forfeit_ahead = l->forfeit_ahead ? lap_min(l->forfeit_ahead * 2, forfeits_ahead_of(r)) : 1;
    forfeit(r, lane, l->first_undecided, need + l->forfeit_ahead);
}

static void run_lane(struct rabia *r, uint8_t lane)
{
    struct lane *l = &r->lanes[lane];
    watch(r, lane);
    if (l->is_suspect)
        forfeit_ahead(r, lane);
    if (l->resume_lap > l->first_undecided && l->first_undecided < window_end(r))
        forfeit(r, lane, l->first_undecided, l->resume_lap);
}

/* --- nudges and the whole ------------------------------------------------ */

void pace_nudge(struct rabia *r, uint64_t lap)
{
    CHECK(lap <= LAP_MAX);
    r->skip_lap = lap_max(r->skip_lap, lap);
    r->skip_to = everyone_else(r);
    if (lap > r->frontier)
        pace_want(r, place_of(lap, 0));
}

/* Whoever skips its lane that far can propose no sooner than all are there, and whoever
 * asked for it may be dead: the nudge becomes ours as well. */
void pace_hear_nudge(struct rabia *r, uint64_t lap)
{
    pace_nudge(r, lap);
    if (!MUTANT(MUTANT_NUDGE_NOT_PASSED_ON))
        r->nudge_lap = lap_max(r->nudge_lap, lap);
}

/* Told once we are no longer behind: before, we would only be suspected anew. */
static void announce_resume(struct rabia *r)
{
    if (!r->was_forfeited || r->is_rejoining || catchup_is_behind(r))
        return;
    r->was_forfeited = false;
    struct rabia_message m = {.kind = RABIA_RESUME, .lane = r->options.self, .lap = r->own_next, .count = 1};
    if (r->options.flush_before_send && r->own_next >= r->mark_on_disk)
        durability_gate(r, 0, everyone_else(r), false, &m);
    else
        outbox_send(r, everyone_else(r), true, &m);
}

void pace_run(struct rabia *r)
{
    skip_own_lane(r);
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        if (lane != r->options.self)
            run_lane(r, lane);
    announce_resume(r);
}

uint64_t pace_deadline_us(const struct rabia *r)
{
    uint64_t deadline = UINT64_MAX;
    if (r->own_next < skip_end(r) && may_speak(r, r->own_next))
        return r->now_us;
    if (r->frontier - r->window_base > r->window / 4)
        return r->now_us; /* the next step opens the window again */
    for (uint8_t lane = 0; lane < r->lane_count; lane++) {
        const struct suspicion *s = &r->lanes[lane].suspicion;
        if (s->is_waiting && !r->lanes[lane].is_suspect)
            deadline = lap_min(deadline, s->waiting_since_us + pace_limit_us(r, lane));
    }
    return deadline;
}
