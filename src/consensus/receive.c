/* Messages from peers: strangers' numbers, so all of them are checked first;
 * what does not pass is ignored and counted.  Ranges are clamped to the window:
 * a replica takes no part beyond it, and below it everything is decided. */
#include "consensus/machine.h"

#include "base/check.h"
#include "consensus/mutant.h"

/* --- is it well-formed? -------------------------------------------------- */

static bool names_lane(const struct rabia_message *m)
{
    return m->kind < RABIA_ASK || m->kind == RABIA_FETCH;
}

static bool is_range_valid(const struct rabia *r, const struct rabia_message *m)
{
    bool is_truism = m->kind == RABIA_DECIDED && m->value == RABIA_NULL; /* of lanes without a member */
    bool is_in_window = m->lap >= r->frontier && m->lap < window_end(r);  /* we know who has a lane there */
    bool is_in_reach = names_lane(m) && is_in_window && !is_truism;
    return m->lane < (is_in_reach ? r->lane_count : RABIA_MEMBERS_MAX) && m->lap <= LAP_MAX && m->count > 0 &&
           m->count <= RANGE_MAX && (!m->batch || m->count == 1);
}

static bool is_value_valid(const struct rabia_message *m)
{
    switch (m->kind) {
    case RABIA_VOTE:
        return m->value <= RABIA_UNSURE && m->phase > 0 && m->phase <= PHASE_MAX;
    case RABIA_STATE:
        return m->value <= RABIA_BATCH && m->phase > 0 && m->phase <= PHASE_MAX;
    case RABIA_PROPOSAL:
    case RABIA_DECIDED:
        return m->value <= RABIA_BATCH && (m->value == RABIA_BATCH || !m->batch);
    case RABIA_CONTENTS:
    case RABIA_REJOIN_ANSWER:
        return m->batch != NULL;
    default:
        return true;
    }
}

static bool is_sender_valid(const struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    if (m->kind == RABIA_SKIP || m->kind == RABIA_RESUME)
        return m->lane == peer;
    if (m->kind == RABIA_CLOCK_REFUSED)
        return m->lane == r->options.self;
    return true;
}

static bool is_valid(const struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    if (m->kind == 0 || m->kind >= RABIA_KIND_END)
        return false;
    return is_range_valid(r, m) && is_value_valid(m) && is_sender_valid(r, peer, m);
}

/* --- PROPOSAL, STATE, VOTE, CONTENTS ------------------------------------- */

/* A SKIP is final and we alone could have proposed: such a sender errs, unless
 * an earlier life of ours may have proposed there. */
static bool is_about_own_unsaid_slot(const struct rabia *r, const struct rabia_message *m, uint64_t lap)
{
    return m->lane == r->options.self && m->value == RABIA_BATCH && lap >= r->own_next && lap >= r->unsure_below;
}

static void receive_claim_for_slot(struct rabia *r, uint8_t peer, const struct rabia_message *m, uint64_t lap)
{
    struct slot *slot = rabia_slot(r, lap, m->lane);
    if (slot_is_decided(slot))
        return;
    if (m->kind == RABIA_CONTENTS)
        slot->holders |= bit_of(peer);
    else if (is_member_at(r, peer, lap) || MUTANT(MUTANT_LEARNER_COUNTS))
        slot_count(slot, peer, m);
    if (m->batch)
        voice_hold(r, lap, m->lane, m->batch);
    voice_evaluate(r, lap, m->lane);
}

/* What the sender's PROPOSAL means for the pace of lanes. */
static void pace_after_proposal(struct rabia *r, uint8_t peer, const struct rabia_message *m, uint64_t from,
                                uint64_t to)
{
    bool is_own = m->lane == r->options.self;
    if (m->value == RABIA_BATCH && !is_own)
        pace_follow(r, to - 1, m->lane);
    else if (m->value == RABIA_NULL && is_own)
        pace_own_lane_forfeited(r, peer, to);
    else if (m->value == RABIA_NULL && peer != m->lane)
        pace_join_forfeit(r, m->lane, from, to);
}

static bool is_settled(const struct rabia *r, const struct rabia_message *m, uint64_t from, uint64_t to)
{
    for (uint64_t lap = from; lap < to; lap++)
        if (!slot_is_decided(rabia_slot(r, lap, m->lane)))
            return false;
    return true;
}

static void receive_claim(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    uint64_t from = lap_max(m->lap, r->frontier), to = lap_min(m->lap + m->count, window_end(r));
    if (from < to && is_about_own_unsaid_slot(r, m, to - 1)) {
        r->invalid_messages++;
        return;
    }
    repeat_decided(r, peer, m);
    if (peer == m->lane && (m->kind == RABIA_PROPOSAL || m->kind == RABIA_CONTENTS))
        pace_heard_owner(r, peer, m->lap + m->count); /* too late a word is a word */
    if (from >= to || is_settled(r, m, from, to))
        return;
    for (uint64_t lap = from; lap < to; lap++)
        receive_claim_for_slot(r, peer, m, lap);
    if (!is_member_at(r, peer, to - 1))
        return;
    if (m->kind == RABIA_PROPOSAL || m->kind == RABIA_CONTENTS)
        pace_after_proposal(r, peer, m, from, to);
    else if (m->value == RABIA_BATCH)
        pace_want(r, place_of(to - 1, m->lane) + 1);
}

/* --- SKIP, DECIDED ------------------------------------------------------- */

static void receive_skip(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    uint64_t to = lap_min(m->lap + m->count, window_end(r));
    CHECK(m->lane == peer);
    if (MUTANT(MUTANT_SKIP_NOT_FINAL))
        return;
    for (uint64_t lap = lap_max(m->lap, r->frontier); lap < to; lap++)
        if (!slot_is_decided(rabia_slot(r, lap, peer)))
            voice_decide(r, lap, peer, RABIA_NULL); /* (R3) */
    pace_heard_owner(r, peer, to);
}

/* An empty batch is the same as NULL: after a power cut one replica may have
 * the one, another the other. */
static bool is_conflict(const struct rabia *r, const struct slot *slot, const struct rabia_message *m)
{
    if (slot->decision == SLOT_PASSED || (slot->decision == SLOT_BATCH) == (m->value == RABIA_BATCH))
        return false;
    const struct batch *batch = slot->batch ? slot->batch : m->batch;
    return batch ? !batch_is_empty(batch) : !r->options.flush_before_send;
}

static void receive_decided_slot(struct rabia *r, uint8_t peer, const struct rabia_message *m, uint64_t lap)
{
    struct slot *slot = rabia_slot(r, lap, m->lane);
    if (slot_is_decided(slot)) {
        r->conflicting_decisions += is_conflict(r, slot, m);
        return;
    }
    if (m->value == RABIA_NULL) {
        voice_decide(r, lap, m->lane, RABIA_NULL);
        return;
    }
    slot->is_known_batch = true;
    slot->is_refused = false;
    slot->holders |= bit_of(peer);
    if (m->batch)
        voice_hold(r, lap, m->lane, m->batch);
    voice_evaluate(r, lap, m->lane);
}

static void receive_decided(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    uint64_t to = lap_min(m->lap + m->count, window_end(r));
    for (uint64_t lap = lap_max(m->lap, r->frontier); lap < to; lap++)
        receive_decided_slot(r, peer, m, lap);
    if (m->value == RABIA_BATCH && to > r->frontier)
        pace_want(r, place_of(to - 1, m->lane) + 1);
}

/* --- the rest ------------------------------------------------------------ */

static void receive_other(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    switch (m->kind) {
    case RABIA_ASK:
        repeat_range(r, peer, m->lane, m->lap, m->lap + m->count);
        break;
    case RABIA_FETCH:
        repeat_contents(r, peer, m->lap, m->lane);
        break;
    case RABIA_NUDGE:
        pace_hear_nudge(r, m->lap);
        break;
    case RABIA_RESUME:
        pace_resume(r, peer, m->lap);
        break;
    case RABIA_CLOCK_REFUSED:
        r->out->clock_refused_ms = m->clock_ms;
        break;
    case RABIA_FRONTIER:
        r->lanes[peer].frontier_lap = m->lap;
        r->lanes[peer].frontier_lane = m->lane;
        break;
    case RABIA_TOO_OLD:
        catchup_too_old(r, peer, m->lap, m->lane);
        break;
    case RABIA_REJOIN:
        rejoin_answer(r, peer);
        break;
    case RABIA_REJOIN_ANSWER:
        rejoin_hear_answer(r, peer, m);
        break;
    default:
        CHECK_UNREACHABLE();
    }
}

static void receive(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    switch (m->kind) {
    case RABIA_PROPOSAL:
    case RABIA_CONTENTS:
    case RABIA_STATE:
    case RABIA_VOTE:
        receive_claim(r, peer, m);
        break;
    case RABIA_SKIP:
        receive_skip(r, peer, m);
        break;
    case RABIA_DECIDED:
        receive_decided(r, peer, m);
        break;
    default:
        receive_other(r, peer, m);
        break;
    }
}

/* Everything between us and those who are ahead would be held at once, while we apply one lap after
 * the other: it is as if it had been lost on the way.  What is asked for comes in order. */
static bool is_too_much(const struct rabia *r, const struct rabia_message *m)
{
    return m->batch && (m->kind == RABIA_PROPOSAL || m->kind == RABIA_CONTENTS) && m->lap > r->frontier &&
           r->held_bytes > r->options.held_bytes_max && catchup_is_behind(r);
}

void receive_messages(struct rabia *r, const struct rabia_event *event)
{
    CHECK(event->peer < RABIA_MEMBERS_MAX);
    CHECK(event->peer != r->options.self);
    uint64_t frontier = r->frontier;
    for (size_t i = 0; i < event->message_count; i++) {
        if (!is_valid(r, event->peer, &event->messages[i])) {
            r->invalid_messages++;
            continue;
        }
        if (names_lane(&event->messages[i]) && event->messages[i].lane >= r->lane_count)
            continue; /* beyond the window: who is a member there we have yet to learn */
        if (is_too_much(r, &event->messages[i]))
            continue;
        receive(r, event->peer, &event->messages[i]);
        rabia_order(r);
    }
    catchup_answered(r, event->peer, frontier);
}
