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
        .skip_ahead_max = 64,
    };
}

static void check_options(const struct rabia_options *options)
{
    CHECK(options->member_count > 0);
    CHECK(options->member_count <= RABIA_MEMBERS_MAX);
    CHECK(options->self < options->member_count);
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

struct rabia *rabia_create_with_window(const struct rabia_options *options, uint64_t now_us, uint64_t window)
{
    check_options(options);
    CHECK(window > 0);
    CHECK((window & (window - 1)) == 0);
    struct rabia *r = mem_calloc(1, sizeof *r);
    r->options = *options;
    r->quorum = (uint8_t)(options->member_count / 2 + 1);
    r->window = window;
    r->now_us = now_us;
    r->slots = mem_calloc(window * options->member_count, sizeof *r->slots);
    r->frontier = r->own_next = r->touched_end = options->first_lap;
    r->heartbeat_due_us = now_us + options->heartbeat_us;
    for (uint8_t lane = 0; lane < options->member_count; lane++)
        init_lane(&r->lanes[lane], options->first_lap);
    history_init(&r->history, options->first_lap, options->history_bytes_max);
    return r;
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
    for (size_t i = 0; i < r->window * r->options.member_count; i++)
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
    CHECK(lane < r->options.member_count);
    return &r->slots[(lap & (r->window - 1)) * r->options.member_count + lane];
}

static void tell_decided(struct rabia *r, uint8_t lane, bool is_void, struct batch *batch)
{
    struct rabia_out *out = r->out;
    CHECK(out);
    if (out->decided_count == out->decided_capacity) {
        out->decided_capacity = out->decided_capacity ? out->decided_capacity * 2 : 16;
        out->decided = mem_realloc(out->decided, out->decided_capacity * sizeof *out->decided);
    }
    out->decided[out->decided_count++] = (struct rabia_decided){
        .lap = r->frontier, .lane = lane, .is_void = is_void, .batch = batch ? batch_hold(batch) : NULL};
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
    tell_decided(r, lane, voided, batch);
    history_add(&r->history, r->frontier, lane, batch);
}

static void pass_slot(struct rabia *r, const struct slot *slot, uint8_t lane)
{
    bool was_proposed_by_us = lane == r->options.self && slot->said == SLOT_SAID_BATCH;
    CHECK(slot_is_decided(slot));
    if (slot->decision == SLOT_BATCH)
        pass_batch(r, lane, slot->batch);
    else if (was_proposed_by_us)
        tell_decided(r, lane, false, NULL);
    r->own_in_flight -= was_proposed_by_us;
}

/* The lap's slots become those of lap + window. */
static void end_lap(struct rabia *r)
{
    for (uint8_t lane = 0; lane < r->options.member_count; lane++)
        slot_reset(rabia_slot(r, r->frontier, lane));
    r->frontier++;
    r->cursor_lane = 0;
    for (uint8_t lane = 0; lane < r->options.member_count; lane++)
        CHECK(r->lanes[lane].first_undecided >= r->frontier);
}

void rabia_order(struct rabia *r)
{
    for (;;) {
        const struct slot *slot = rabia_slot(r, r->frontier, r->cursor_lane);
        if (!slot_is_decided(slot))
            return;
        pass_slot(r, slot, r->cursor_lane);
        if (++r->cursor_lane == r->options.member_count)
            end_lap(r);
    }
}

/* --- a step -------------------------------------------------------------- */

static void begin(struct rabia *r, const struct rabia_event *event, struct rabia_out *out)
{
    CHECK(event->now_us >= r->now_us);
    CHECK(!r->out);
    CHECK(out->record_count + out->message_count + out->decided_count == 0);
    uint64_t gap_us = event->now_us - r->now_us;
    r->out = out;
    r->now_us = event->now_us;
    r->wall_ms = event->wall_ms;
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
    CHECK(peer < r->options.member_count);
    r->lanes[peer].is_link_down = false;
    r->lanes[peer].too_old_lap = 0;
    repeat_range(r, peer, r->frontier, window_end(r));
    outbox_send(r, bit_of(peer), false,
                &(struct rabia_message){.kind = RABIA_FRONTIER, .lap = r->frontier, .count = 1});
}

static void nudge(struct rabia *r, uint64_t lap)
{
    CHECK(lap <= LAP_MAX);
    r->nudge_lap = lap_max(r->nudge_lap, lap);
    pace_nudge(r, lap);
    outbox_send(r, everyone_else(r), false, &(struct rabia_message){.kind = RABIA_NUDGE, .lap = lap, .count = 1});
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
        CHECK(event->peer < r->options.member_count);
        r->lanes[event->peer].is_link_down = true;
        break;
    case RABIA_EVENT_FLUSHED:
        durability_flushed(r, event->flushed_seq);
        break;
    case RABIA_EVENT_NUDGE:
        nudge(r, event->lap);
        break;
    }
}

void rabia_step(struct rabia *r, const struct rabia_event *event, struct rabia_out *out)
{
    begin(r, event, out);
    dispatch(r, event);
    rabia_order(r);
    pace_run(r);
    rabia_order(r);
    catchup_run(r);
    durability_raise_mark(r);
    pace_pass_decided(r);
    out->deadline_us = lap_min(pace_deadline_us(r), catchup_deadline_us(r));
    r->out = NULL;
}

bool rabia_can_propose(const struct rabia *r)
{
    return pace_can_speak(r);
}

uint64_t rabia_frontier(const struct rabia *r)
{
    return r->frontier;
}
