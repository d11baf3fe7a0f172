#include "consensus/rabia.h"

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/machine.h"
#include "consensus/mutant.h"

/* --- create and free ----------------------------------------------------- */

void rabia_options_default(struct rabia_options *options)
{
    *options = (struct rabia_options){
        .forfeit_floor_us = 5 * 1000,
        .forfeit_ceiling_us = 200 * 1000,
        .ask_interval_us = 20 * 1000,
        .heartbeat_us = 100 * 1000,
        .clock_tolerance_ms = 500,
        .history_bytes_max = (size_t)256 << 20,
        .answer_bytes_max = (size_t)1 << 20,
        .held_bytes_max = (size_t)64 << 20,
        .skip_ahead_max = 64,
    };
}

static void check_options(const struct rabia_options *options)
{
    CHECK(options->member_count > 0 || options->members != 0);
    CHECK(options->member_count <= RABIA_MEMBERS_MAX);
    CHECK(options->members < 1u << RABIA_MEMBERS_MAX);
    CHECK(options->self < RABIA_MEMBERS_MAX);
    CHECK(options->forfeit_floor_us <= options->forfeit_ceiling_us);
    CHECK(options->heartbeat_us > 0);
    CHECK(options->ask_interval_us > 0);
    CHECK(options->skip_ahead_max < FORFEIT_AHEAD);
}

static void init_lane(struct lane *lane, uint64_t first_lap)
{
    *lane = (struct lane){.first_undecided = first_lap,
                          .heard_lap = first_lap,
                          .last_valid_lap = RABIA_NO_LAP,
                          .frontier_lap = first_lap,
                          .forfeited_to = first_lap};
}

static struct rabia *make(const struct rabia_options *options, const struct memory *memory, uint64_t now_us,
                          uint64_t window)
{
    CHECK(window > 0);
    CHECK((window & (window - 1)) == 0);
    struct rabia *r = mem_calloc(1, sizeof *r);
    r->options = *options;
    r->window = window;
    r->now_us = now_us;
    r->frontier = r->window_base = r->own_next = r->touched_end = r->spoke_end = memory->lap;
    r->cursor_lane = memory->lane;
    r->base_place = cursor_place(r);
    r->heartbeat_due_us = now_us + options->heartbeat_us;
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++) {
        init_lane(&r->lanes[lane], memory->lap);
        r->lanes[lane].last_valid_lap = memory->last_valid_laps[lane];
    }
    history_init(&r->history, memory->lap, options->history_bytes_max);
    r->learners = options->learners;
    members_init(r, memory->members, memory->pending);
    memory_pass_lanes(r);
    return r;
}

/* What is known where nothing has happened yet. */
static struct memory blank_memory(const struct rabia_options *options)
{
    uint16_t first = (uint16_t)((1u << options->member_count) - 1);
    uint16_t mask = options->members != 0 ? options->members : first;
    struct memory memory = {.lap = options->first_lap,
                            .members = members_make(mask, options->first_lap),
                            .pending = members_make(0, RABIA_NO_LAP)};
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++)
        memory.last_valid_laps[lane] = RABIA_NO_LAP;
    return memory;
}

struct rabia *rabia_create_with_window(const struct rabia_options *options, uint64_t now_us, uint64_t window)
{
    check_options(options);
    struct memory memory = blank_memory(options);
    struct rabia *r = make(options, &memory, now_us, window);
    r->has_begun = true;
    return r;
}

struct rabia *rabia_restore_with_window(const struct rabia_options *options, struct slice exported, uint64_t now_us,
                                        uint64_t window)
{
    check_options(options);
    struct memory memory = blank_memory(options);
    if (exported.len > 0 && !memory_read(&memory, exported))
        return NULL;
    struct rabia *r = make(options, &memory, now_us, window);
    r->silent_below = RABIA_NO_LAP;
    r->answers[options->self] = (struct rejoin_answer){
        .is_there = exported.len > 0, .members = memory.members, .pending = memory.pending};
    return r;
}

struct rabia *rabia_restore(const struct rabia_options *options, struct slice exported, uint64_t now_us)
{
    return rabia_restore_with_window(options, exported, now_us, RABIA_WINDOW);
}

struct rabia *rabia_create(const struct rabia_options *options, uint64_t now_us)
{
    return rabia_create_with_window(options, now_us, RABIA_WINDOW);
}

void rabia_free(struct rabia *r)
{
    if (!r)
        return;
    CHECK(!r->out);
    for (size_t i = 0; i < r->window * r->lane_count; i++)
        slot_reset(&r->slots[i]);
    history_deinit(&r->history);
    mem_free(r->gate.entries);
    mem_free(r->slots);
    mem_free(r);
}

/* --- the decided order --------------------------------------------------- */

struct slot *rabia_slot(const struct rabia *r, uint64_t lap, uint8_t lane)
{
    CHECK(lap >= r->frontier);
    CHECK(lap < window_end(r));
    CHECK(lane < r->lane_count);
    return &r->slots[(lap & (r->window - 1)) * r->lane_count + lane];
}

void rabia_tell(struct rabia *r, const struct rabia_decided *decided)
{
    struct rabia_out *out = r->out;
    CHECK(out);
    if (out->decided_count == out->decided_capacity) {
        out->decided_capacity = out->decided_capacity ? out->decided_capacity * 2 : 16;
        out->decided = mem_realloc(out->decided, out->decided_capacity * sizeof *out->decided);
    }
    out->decided[out->decided_count++] = *decided;
    if (decided->batch)
        batch_hold(decided->batch);
}

/* (Proposing again) A batch that names its owner's previous one is void unless
 * that is the lane's last valid batch. */
static bool is_void(const struct lane *lane, const struct batch *batch)
{
    if (MUTANT(MUTANT_NO_VOID))
        return false;
    return batch->previous_lap != RABIA_NO_LAP && batch->previous_lap != lane->last_valid_lap;
}

static void pass_batch(struct rabia *r, uint8_t lane, struct batch *batch)
{
    struct lane *l = &r->lanes[lane];
    CHECK(batch);
    bool voided = is_void(l, batch);
    if (!voided && !batch_is_empty(batch))
        l->last_valid_lap = r->frontier;
    rabia_tell(r, &(struct rabia_decided){.lap = r->frontier, .lane = lane, .is_void = voided, .batch = batch});
    history_add(&r->history, r->frontier, lane, batch);
}

static void pass_slot(struct rabia *r, const struct slot *slot, uint8_t lane)
{
    bool was_proposed_by_us = lane == r->options.self && slot->said == SLOT_SAID_BATCH;
    CHECK(slot_is_decided(slot));
    if (slot->decision == SLOT_BATCH)
        pass_batch(r, lane, slot->batch);
    else if (was_proposed_by_us)
        rabia_tell(r, &(struct rabia_decided){.lap = r->frontier, .lane = lane});
    r->own_in_flight -= was_proposed_by_us;
}

static void uncount(struct rabia *r, const struct slot *slot)
{
    if (!slot->batch)
        return;
    CHECK(r->held_bytes >= slot->batch->size);
    r->held_bytes -= slot->batch->size;
}

void rabia_hold(struct rabia *r, struct slot *slot, struct batch *batch)
{
    CHECK(!slot->batch);
    slot->batch = batch_hold(batch);
    r->held_bytes += batch->size;
}

void rabia_decide_slot(struct rabia *r, struct slot *slot, uint8_t value)
{
    if (value == RABIA_NULL)
        uncount(r, slot);
    slot_decide(slot, value);
}

void rabia_reset_slot(struct rabia *r, struct slot *slot)
{
    uncount(r, slot);
    slot_reset(slot);
}

/* The lap's slots become those of lap + window. */
static void end_lap(struct rabia *r)
{
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        rabia_reset_slot(r, rabia_slot(r, r->frontier, lane));
    r->frontier++;
    r->cursor_lane = 0;
    if (r->frontier == r->pending.from)
        members_promote(r);
    for (uint8_t lane = 0; lane < r->lane_count; lane++)
        CHECK(r->lanes[lane].first_undecided >= r->frontier);
}

void rabia_order(struct rabia *r)
{
    while (r->frontier < window_end(r)) {
        const struct slot *slot = rabia_slot(r, r->frontier, r->cursor_lane);
        if (!slot_is_decided(slot))
            return;
        pass_slot(r, slot, r->cursor_lane);
        if (++r->cursor_lane == r->lane_count)
            end_lap(r);
    }
}

/* --- a step -------------------------------------------------------------- */

void rabia_begin(struct rabia *r, uint64_t now_us, uint64_t wall_ms, struct rabia_out *out)
{
    CHECK(now_us >= r->now_us);
    CHECK(!r->out);
    CHECK(out->record_count + out->message_count + out->decided_count == 0);
    uint64_t gap_us = now_us - r->now_us;
    r->out = out;
    r->now_us = now_us;
    r->wall_ms = wall_ms;
    r->window_base = r->frontier;
    members_open(r);
    if (gap_us > lap_max(r->options.forfeit_ceiling_us, 2 * r->options.heartbeat_us))
        pace_was_paused(r);
}

static void propose(struct rabia *r, struct batch *batch)
{
    pace_pass_decided(r);
    r->out->proposed_lap = r->own_next;
    r->skip_ahead /= 2;
    voice_propose(r, batch);
}

static void link_up(struct rabia *r, uint8_t peer)
{
    r->lanes[peer].is_link_down = false;
    r->lanes[peer].too_old_place = 0;
    repeat_range(r, peer, r->cursor_lane, r->frontier, window_end(r));
    repeat_frontier(r, bit_of(peer), false);
}

static void nudge(struct rabia *r, uint64_t lap)
{
    CHECK(lap <= LAP_MAX);
    r->nudge_lap = lap_max(r->nudge_lap, lap);
    pace_nudge(r, lap);
    outbox_send(r, everyone_else(r), false, &(struct rabia_message){.kind = RABIA_NUDGE, .lap = lap, .count = 1});
}

/* The peer lost its memory.  What it said before stays counted: it was said
 * once, and the peer will be silent wherever it may have spoken (rejoin.c says
 * why).  But it holds nothing and knows nothing any more. */
static void forget(struct rabia *r, uint8_t peer)
{
    struct lane *l = &r->lanes[peer];
    l->frontier_lap = l->too_old_place = 0;
    l->frontier_lane = 0;
    uint64_t end = lap_min(r->touched_end, window_end(r));
    for (uint64_t lap = r->frontier; lap < end; lap++)
        for (uint8_t lane = 0; lane < r->lane_count; lane++) {
            struct slot *slot = rabia_slot(r, lap, lane);
            slot->holders &= (uint16_t)~bit_of(peer);
            slot->fetched &= (uint16_t)~bit_of(peer);
        }
}

static void dispatch(struct rabia *r, const struct rabia_event *event)
{
    switch (event->kind) {
    case RABIA_EVENT_TICK:
        break;
    case RABIA_EVENT_PROPOSE:
        propose(r, event->batch);
        break;
    case RABIA_EVENT_MESSAGES:
        receive_messages(r, event);
        break;
    case RABIA_EVENT_LINK_UP:
        link_up(r, event->peer);
        break;
    case RABIA_EVENT_LINK_DOWN:
        r->lanes[event->peer].is_link_down = true;
        break;
    case RABIA_EVENT_FLUSHED:
        durability_flushed(r, event->flushed_seq);
        break;
    case RABIA_EVENT_NUDGE:
        nudge(r, event->lap);
        break;
    case RABIA_EVENT_FORGET:
        forget(r, event->peer);
        break;
    case RABIA_EVENT_LEARNERS:
        r->learners = event->members;
        members_settle(r);
        break;
    }
}

void rabia_end(struct rabia *r)
{
    rabia_order(r);
    rejoin_run(r);
    pace_run(r);
    rabia_order(r);
    catchup_run(r);
    rabia_order(r); /* a batch refused for its clock may have come of age while we asked */
    durability_raise_mark(r);
    members_leave(r);
    pace_pass_decided(r);
    r->out->deadline_us = lap_min(pace_deadline_us(r), catchup_deadline_us(r));
    r->out = NULL;
}

void rabia_step(struct rabia *r, const struct rabia_event *event, struct rabia_out *out)
{
    CHECK(r->has_begun);
    CHECK(event->peer < RABIA_MEMBERS_MAX);
    rabia_begin(r, event->now_us, event->wall_ms, out);
    dispatch(r, event);
    rabia_end(r);
}

bool rabia_can_propose(const struct rabia *r)
{
    return pace_can_speak(r);
}

uint64_t rabia_frontier(const struct rabia *r)
{
    return r->frontier;
}
