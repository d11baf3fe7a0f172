/* Answers: what we said, what is decided, contents (R7, R8; Catching up).
 *
 * Who may be told what is decided, without storms: an ASK is answered in full;
 * a forfeit, STATE or VOTE shows a sender who does not know, and gets DECIDED;
 * an echo or contents only if the slot was decided otherwise (a late echo of
 * what was decided is the normal case: its sender will decide by itself, or
 * ask).  DECIDED itself is never answered. */
#include "consensus/machine.h"

#include "base/check.h"
#include "consensus/mutant.h"

static void send_to(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    CHECK(peer != r->options.self);
    outbox_send(r, bit_of(peer), false, m);
}

static void send_decided(struct rabia *r, uint8_t peer, uint8_t lane, uint64_t from, uint64_t to,
                         struct batch *batch, uint8_t value)
{
    if (from >= to)
        return;
    CHECK(!batch || to - from == 1);
    send_to(r, peer, &(struct rabia_message){.kind = RABIA_DECIDED, .lane = lane, .value = value, .lap = from,
                                             .count = to - from, .batch = batch});
}

void repeat_frontier(struct rabia *r, uint16_t to, bool is_lazy)
{
    struct rabia_message m = {.kind = RABIA_FRONTIER, .lane = r->cursor_lane, .lap = r->frontier, .count = 1};
    outbox_send(r, to, is_lazy, &m);
}

/* The first place of which we know the value, not only the effect. */
static uint64_t kept_place(const struct rabia *r)
{
    return lap_max(r->base_place, place_of(r->history.first_lap, 0));
}

/* --- ASK ----------------------------------------------------------------- */

static size_t cost_of(const struct batch *batch)
{
    return batch->size + (size_t)HISTORY_ENTRY_COST;
}

/* Decided laps [from, to) below the frontier; ends early, after a whole lap,
 * when the answer is large enough.  Returns where it ended. */
static uint64_t repeat_history(struct rabia *r, uint8_t peer, uint64_t from, uint64_t to, size_t *bytes)
{
    uint64_t null_from[RABIA_MEMBERS_MAX], lap = from;
    CHECK(to <= r->frontier);
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        null_from[lane] = place_of(from, lane) < kept_place(r) ? from + 1 : from;
    for (size_t i = history_find(&r->history, from, 0); i < r->history.count; i++) {
        const struct history_entry *e = history_at(&r->history, i);
        if (e->lap >= to)
            break;
        if (*bytes >= r->options.answer_bytes_max && e->lap > lap) {
            to = e->lap;
            break;
        }
        lap = e->lap;
        send_decided(r, peer, e->lane, null_from[e->lane], lap, NULL, RABIA_NULL);
        send_decided(r, peer, e->lane, lap, lap + 1, e->batch, RABIA_BATCH);
        null_from[e->lane] = lap + 1;
        *bytes += cost_of(e->batch);
    }
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        send_decided(r, peer, lane, null_from[lane], to, NULL, RABIA_NULL);
    return to;
}

/* (R7) A torn journal may know what we said, and not the contents. */
static bool may_repeat(const struct slot *slot, uint8_t value)
{
    return value != RABIA_BATCH || slot->batch;
}

static void repeat_phases(struct rabia *r, uint8_t peer, const struct slot *slot, struct rabia_message m)
{
    unsigned own = bit_of(r->options.self);
    for (m.phase = 1; m.phase <= slot->contest->own_phase; m.phase++) {
        const struct phase *phase = slot_phase(slot, m.phase);
        m.kind = RABIA_STATE;
        m.value = phase->said_state;
        if (phase->is_state_said && phase->state[m.value] & own && may_repeat(slot, m.value))
            send_to(r, peer, &m);
        m.kind = RABIA_VOTE;
        m.value = phase->said_vote;
        if (phase->is_vote_said && phase->vote[m.value] & own && may_repeat(slot, m.value))
            send_to(r, peer, &m);
    }
}

/* What we said and counted; what still waits for the disk goes when it is
 * there.  An owner's contents may go at any time. */
static void repeat_said(struct rabia *r, uint8_t peer, const struct slot *slot, uint64_t lap, uint8_t lane)
{
    unsigned own = bit_of(r->options.self);
    bool is_owner = lane == r->options.self;
    struct rabia_message m = {.kind = RABIA_PROPOSAL, .lane = lane, .lap = lap, .count = 1};
    CHECK(!slot_is_decided(slot));
    if (is_owner && slot->batch && slot->said == SLOT_SAID_BATCH) {
        bool is_counted = slot->proposed_batch & own;
        if (!is_counted && !durability_may_send_early(r, lap))
            return;
        m.kind = is_counted ? RABIA_PROPOSAL : RABIA_CONTENTS;
        m.value = RABIA_BATCH;
        m.batch = slot->batch;
        send_to(r, peer, &m);
        m.batch = NULL;
    } else if ((slot->proposed_batch | slot->proposed_null) & own) {
        m.value = slot->proposed_batch & own ? RABIA_BATCH : RABIA_NULL;
        if (may_repeat(slot, m.value))
            send_to(r, peer, &m);
    }
    if (slot->contest)
        repeat_phases(r, peer, slot, m);
}

static void repeat_slot(struct rabia *r, uint8_t peer, uint64_t lap, uint8_t lane, size_t *bytes)
{
    const struct slot *slot = rabia_slot(r, lap, lane);
    if (slot->decision == SLOT_NULL)
        send_decided(r, peer, lane, lap, lap + 1, NULL, RABIA_NULL);
    else if (slot->decision == SLOT_BATCH)
        send_decided(r, peer, lane, lap, lap + 1, slot->batch, RABIA_BATCH);
    else if (slot->decision == SLOT_UNDECIDED)
        repeat_said(r, peer, slot, lap, lane);
    if (slot->batch)
        *bytes += cost_of(slot->batch);
}

void repeat_range(struct rabia *r, uint8_t peer, uint8_t from_lane, uint64_t from, uint64_t to)
{
    size_t bytes = 0;
    uint64_t kept = kept_place(r);
    CHECK(from <= to);
    if (place_of(from, from_lane) < kept)
        send_to(r, peer, &(struct rabia_message){
                             .kind = RABIA_TOO_OLD, .lane = (uint8_t)(kept & 15), .lap = kept >> 4, .count = 1});
    from = lap_max(from, r->history.first_lap);
    uint64_t old_end = lap_min(to, r->frontier);
    if (from < old_end && repeat_history(r, peer, from, old_end, &bytes) < old_end)
        return;
    to = lap_min(to, lap_min(r->touched_end, window_end(r)));
    for (uint64_t lap = lap_max(from, r->frontier); lap < to && bytes < r->options.answer_bytes_max; lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++)
            repeat_slot(r, peer, lap, lane, &bytes);
}

/* --- unasked ------------------------------------------------------------- */

/* Nobody asks for a batch it never heard of: an owner repeats its own to those
 * who have not proposed for them, until they are decided. */
void repeat_own(struct rabia *r)
{
    uint8_t self = r->options.self;
    size_t bytes = 0;
    uint64_t end = self < r->lane_count ? lap_min(r->own_next, window_end(r)) : r->frontier;
    for (uint64_t lap = r->frontier; lap < end && bytes < r->options.answer_bytes_max; lap++) {
        const struct slot *slot = rabia_slot(r, lap, self);
        if (!slot->batch || slot_is_decided(slot) || slot->said != SLOT_SAID_BATCH)
            continue;
        unsigned heard = slot->proposed_batch | (unsigned)slot->proposed_null;
        for (uint8_t peer = 0; peer < r->peer_count; peer++)
            if (everyone_else(r) & ~heard & bit_of(peer))
                repeat_said(r, peer, slot, lap, self);
        bytes += cost_of(slot->batch);
    }
}

void repeat_undecided(struct rabia *r, uint8_t peer)
{
    size_t bytes = 0;
    uint64_t to = lap_min(r->frontier + REPEAT_LAPS, lap_min(r->touched_end, window_end(r)));
    CHECK(peer != r->options.self);
    for (uint64_t lap = r->frontier; lap < to && bytes < r->options.answer_bytes_max; lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++)
            if (!slot_is_decided(rabia_slot(r, lap, lane)))
                repeat_slot(r, peer, lap, lane, &bytes);
}

/* --- about decided slots ------------------------------------------------- */

static uint8_t decided_value(const struct rabia *r, uint64_t lap, uint8_t lane)
{
    if (place_of(lap, lane) < kept_place(r))
        return RABIA_UNSURE;
    if (lap < r->frontier)
        return history_batch(&r->history, lap, lane) ? RABIA_BATCH : RABIA_NULL;
    const struct slot *slot = rabia_slot(r, lap, lane);
    return slot->decision == SLOT_BATCH ? RABIA_BATCH : slot->decision == SLOT_NULL ? RABIA_NULL : RABIA_UNSURE;
}

static bool shows_contents(const struct rabia_message *m)
{
    return m->kind == RABIA_CONTENTS || (m->kind == RABIA_PROPOSAL && m->value == RABIA_BATCH);
}

static bool is_answer_due(const struct rabia_message *m, uint8_t decided)
{
    if (decided == RABIA_UNSURE || MUTANT(MUTANT_SILENT_WHEN_DECIDED))
        return false;
    return !shows_contents(m) || decided == RABIA_NULL;
}

/* An owner who did not know that its lane was forfeited learns how far, so
 * that its next batch lies beyond. */
static void tell_forfeited_ahead(struct rabia *r, uint8_t owner, uint64_t lap)
{
    uint64_t from = lap_max(lap, r->frontier), to = from;
    CHECK(owner != r->options.self);
    while (to < window_end(r) && rabia_slot(r, to, owner)->decision == SLOT_NULL)
        to++;
    send_decided(r, owner, owner, from, to, NULL, RABIA_NULL);
}

void repeat_decided(struct rabia *r, uint8_t peer, const struct rabia_message *m)
{
    CHECK(m->kind == RABIA_PROPOSAL || m->kind == RABIA_CONTENTS || m->kind == RABIA_STATE || m->kind == RABIA_VOTE);
    uint64_t end = lap_min(m->lap + m->count, window_end(r)), from = m->lap;
    if (from < r->history.first_lap) {
        if (!shows_contents(m))
            repeat_frontier(r, bit_of(peer), false);
        from = r->history.first_lap;
    }
    if (end > r->window)
        from = lap_max(from, end - r->window);
    bool is_answered = false;
    for (uint64_t lap = from; lap < end; lap++) {
        uint8_t decided = decided_value(r, lap, m->lane);
        if (!is_answer_due(m, decided))
            continue;
        send_decided(r, peer, m->lane, lap, lap + 1, NULL, decided);
        is_answered = true;
    }
    if (is_answered && peer == m->lane)
        tell_forfeited_ahead(r, peer, end);
}

static void send_contents(struct rabia *r, uint8_t peer, uint64_t lap, uint8_t lane, struct batch *batch)
{
    send_to(r, peer, &(struct rabia_message){
                         .kind = RABIA_CONTENTS, .lane = lane, .value = RABIA_BATCH, .lap = lap, .count = 1, .batch = batch});
}

void repeat_contents(struct rabia *r, uint8_t peer, uint64_t lap, uint8_t lane)
{
    CHECK(lane < r->lane_count);
    if (lap >= window_end(r))
        return;
    if (lap < r->history.first_lap) {
        repeat_frontier(r, bit_of(peer), false);
        return;
    }
    uint8_t decided = decided_value(r, lap, lane);
    struct batch *batch =
        lap < r->frontier ? history_batch(&r->history, lap, lane) : rabia_slot(r, lap, lane)->batch;
    if (decided != RABIA_UNSURE)
        send_decided(r, peer, lane, lap, lap + 1, batch, decided);
    else if (batch)
        send_contents(r, peer, lap, lane, batch);
}
