/* A replica without memory (protocol.md, Restart): it must not speak in any lap
 * in which it may have spoken.
 *
 * Why J := max(H) + A + 1 suffices.  Let X be the rejoiner, l the last lap of
 * which it knew all slots decided; it took part only in laps <= l + A.  So it is
 * enough that some H >= l.  Answers come from quorums, X left out, of the list
 * in force and of the pending one, as the newest answer has them.
 *   (1) l was governed by one of these two.  Each slot of l was decided by a
 *       quorum of that list, or skipped by its owner when all owners spoke in l;
 *       with X left out it meets the answers in some Y that took part in l.  If
 *       Y still knows, H_Y >= l.  If Y lost its memory since, it has rejoined
 *       (a rejoining replica does not answer), above all it had taken part in.
 *       What Y said and did not flush lies below its lap mark M: H_Y >= M - 1.
 *   (2) l was governed by an older list.  Who reports the newer one as in force
 *       has a frontier beyond l.
 *   (3) l was governed by a newer list, decided in lap L, in force from
 *       L + A + 1.  Lap L + A was governed by a list we have, and a quorum of it
 *       took part there, hence had applied lap L; one of them answered, and
 *       would have told us of the newer list.
 * So both quorums, and "+ 1" in "L + A + 1", are needed.
 *
 * Why others need not uncount what X said before (RABIA_EVENT_FORGET): X said it
 * once, and in those slots X is silent from now on, as if it had crashed.  What
 * it held it no longer holds; until it is up it counts against f.
 *
 *   rabia_rejoin --answers--> J fixed --flushed--> speaks from J on --frontier at J--> up */
#include "consensus/machine.h"

#include "base/check.h"
#include "consensus/mutant.h"

/* --- answering ------------------------------------------------------------- */

static uint64_t highest_lap(const struct rabia *r)
{
    uint64_t end = lap_max(lap_max(r->spoke_end, r->mark), r->rejoin_lap);
    return lap_max(end > 0 ? end - 1 : 0, r->frontier);
}

void rejoin_answer(struct rabia *r, uint8_t peer)
{
    CHECK(peer != r->options.self);
    if (r->is_rejoining && !MUTANT(MUTANT_ANSWER_WHILE_REJOINING))
        return;
    struct batch *batch = batch_create(RABIA_EXPORT_BYTES);
    rabia_export(r, (unsigned char *)batch->bytes);
    outbox_send(r, bit_of(peer), false,
                &(struct rabia_message){
                    .kind = RABIA_REJOIN_ANSWER, .lap = highest_lap(r), .count = 1, .batch = batch});
    batch_release(batch);
}

/* --- J --------------------------------------------------------------------- */

void rejoin_hear_answer(struct rabia *r, uint8_t peer, const struct rabia_message *message)
{
    struct memory memory;
    CHECK(message->batch);
    if (!r->is_rejoining || !memory_read(&memory, slice_make(message->batch->bytes, message->batch->size))) {
        r->invalid_messages += r->is_rejoining;
        return;
    }
    r->lanes[peer].frontier_lap = lap_max(r->lanes[peer].frontier_lap, memory.lap);
    r->answers[peer] = (struct rejoin_answer){
        .is_there = true, .lap = message->lap, .members = memory.members, .pending = memory.pending};
}

static uint64_t newest_from(const struct rejoin_answer *a)
{
    return a->pending.mask ? a->pending.from : a->members.from;
}

static bool is_newer(const struct rejoin_answer *a, const struct rejoin_answer *b)
{
    if (newest_from(a) != newest_from(b))
        return newest_from(a) > newest_from(b);
    return a->members.from > b->members.from;
}

static const struct rejoin_answer *newest_answer(const struct rabia *r)
{
    const struct rejoin_answer *newest = NULL;
    for (uint8_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (r->answers[i].is_there && (!newest || is_newer(&r->answers[i], newest)))
            newest = &r->answers[i];
    return newest;
}

static bool is_quorum(const struct members *members, unsigned answered)
{
    unsigned counted = MUTANT(MUTANT_LEARNER_COUNTS) ? answered : answered & members->mask;
    return members->mask == 0 || (unsigned)__builtin_popcount(counted) >= members->quorum;
}

static bool is_answered(const struct rabia *r)
{
    const struct rejoin_answer *newest = newest_answer(r);
    unsigned answered = 0;
    for (uint8_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (i != r->options.self && r->answers[i].is_there)
            answered |= bit_of(i);
    return newest && is_quorum(&newest->members, answered) && is_quorum(&newest->pending, answered);
}

static void fix_lap(struct rabia *r)
{
    uint64_t highest = r->frontier;
    for (uint8_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (r->answers[i].is_there)
            highest = lap_max(highest, r->answers[i].lap);
    r->rejoin_lap = highest + (MUTANT(MUTANT_REJOIN_WITHOUT_WINDOW) ? 0 : r->window) + 1;
    r->unsure_below = r->rejoin_lap;
    outbox_record(r, RABIA_RECORD_REJOIN, &(struct rabia_message){.lap = r->rejoin_lap}, true);
    r->rejoin_seq = r->last_seq;
    r->out->rejoined_lap = r->rejoin_lap;
    r->nudge_lap = lap_max(r->nudge_lap, r->rejoin_lap);
    pace_nudge(r, r->rejoin_lap);
    rejoin_repeat(r);
}

/* What was heard about laps from J on has waited for us. */
static void open_mouth(struct rabia *r)
{
    r->silent_below = r->rejoin_lap;
    for (uint64_t lap = lap_max(r->frontier, r->rejoin_lap); lap < lap_min(r->touched_end, window_end(r)); lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++)
            voice_evaluate(r, lap, lane);
}

void rejoin_run(struct rabia *r)
{
    if (!r->is_rejoining)
        return;
    if (r->rejoin_lap == 0 && is_answered(r))
        fix_lap(r);
    if (r->rejoin_lap == 0 || r->rejoin_seq != 0)
        return;
    if (r->silent_below == RABIA_NO_LAP)
        open_mouth(r);
    if (r->frontier < r->rejoin_lap)
        return;
    r->is_rejoining = false;
    r->out->has_rejoined = true;
}

/* --- asking ---------------------------------------------------------------- */

void rejoin_repeat(struct rabia *r)
{
    if (!r->is_rejoining)
        return;
    if (r->rejoin_lap == 0) {
        outbox_send(r, everyone_else(r), false, &(struct rabia_message){.kind = RABIA_REJOIN, .count = 1});
        return;
    }
    outbox_send(r, everyone_else(r), false,
                &(struct rabia_message){.kind = RABIA_NUDGE, .lap = r->rejoin_lap, .count = 1});
    outbox_send(r, everyone_else(r), false,
                &(struct rabia_message){
                    .kind = RABIA_RESUME, .lane = r->options.self, .lap = r->rejoin_lap, .count = 1});
}

void rabia_rejoin(struct rabia *r, uint64_t now_us, uint64_t wall_ms, struct rabia_out *out)
{
    CHECK(!r->has_begun);
    CHECK(r->spoke_end == r->base_place >> 4);
    rabia_begin(r, now_us, wall_ms, out);
    r->has_begun = true;
    r->is_rejoining = true;
    r->rejoin_lap = 0;
    r->unsure_below = RABIA_NO_LAP;
    members_nudge(r);
    rejoin_repeat(r);
    rabia_end(r);
}
