#include "node.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "consensus/mutant.h"
#include "consensus/probe.h"

/* Unix time at the start of a run, milliseconds. */
static const uint64_t WALL_START_MS = 1700000000000u;
enum {
    TICKS_AT_ONCE_MAX = 300, /* at one instant: more is a core that asks for ticks without end */
    PROPOSALS_AT_ONCE_MAX = 64
};

static struct rabia_options options_of(const struct node *node)
{
    struct rabia_options options = node->world->plan.options;
    options.self = node->self;
    options.learners = node->world->learners;
    return options;
}

static void begin_life(struct node *node)
{
    owner_init(&node->owner, &node->world->plan, &node->world->verdict);
    node->wake_us = node->tick_us = node->deadline_us = UINT64_MAX;
    node->own_base = UINT64_MAX;
    node->life++;
    node->known[node->self] = node->incarnation;
}

void node_init_down(struct node *node, struct world *world, uint8_t self)
{
    memset(node, 0, sizeof *node);
    node->world = world;
    node->self = self;
    rabia_out_init(&node->out);
    node->wall_offset_ms = world->plan.wall_skew_ms[self];
    node->is_crashed = true;
    begin_life(node);
}

void node_init(struct node *node, struct world *world, uint8_t self)
{
    node_init_down(node, world, self);
    node->is_crashed = false;
    struct rabia_options options = options_of(node);
    node->rabia = world->plan.has_lives ? probe_create(&options, world->plan.window)
                                        : rabia_create(&options, world->now_us);
}

static void dispose(struct agenda_item *item)
{
    if (item->kind == AGENDA_FRAME)
        frame_free(item->payload);
    if (item->kind == AGENDA_INSTALL)
        mem_free(item->payload);
}

static void drop_inbox(struct node *node)
{
    while (node->inbox_head < node->inbox_end)
        dispose(&node->inbox[node->inbox_head++]);
    node->inbox_head = node->inbox_end = 0;
}

static void clear_outbox(struct node_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++)
        batch_release(outbox->messages[i].batch);
    outbox->count = 0;
    outbox->has_urgent = false;
}

void node_deinit(struct node *node)
{
    drop_inbox(node);
    mem_free(node->inbox);
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++) {
        clear_outbox(&node->outboxes[i]);
        mem_free(node->outboxes[i].messages);
    }
    disk_deinit(&node->disk);
    owner_deinit(&node->owner);
    rabia_out_deinit(&node->out);
    rabia_free(node->rabia);
}

uint64_t node_wall_ms(const struct node *node)
{
    return (uint64_t)((int64_t)(WALL_START_MS + node->world->now_us / 1000) + node->wall_offset_ms);
}

static void trace_simple(struct node *node, enum trace_kind kind, uint8_t peer, uint8_t detail, uint64_t lap,
                         uint64_t extra)
{
    trace_add(&node->world->trace, &(struct trace_entry){.now_us = node->world->now_us, .kind = (uint8_t)kind,
                                                         .node = node->self, .peer = peer, .detail = detail, .lap = lap,
                                                         .extra = extra});
}

/* --- out: journal and disk -------------------------------------------------- */

static void start_flush(struct node *node)
{
    struct world *world = node->world;
    if (node->is_flushing || node->needed_seq <= node->flushed_seq)
        return;
    node->is_flushing = true;
    uint64_t spread = world->plan.flush_max_us - world->plan.flush_min_us + 1;
    uint64_t at = world->now_us + world->plan.flush_min_us + random_below(&world->process_random, spread);
    agenda_add(&world->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_FLUSH, .node = node->self,
                                                    .life = node->life, .stamp = disk_last_seq(&node->disk)});
}

static void note_own_decision(struct node *node, const struct rabia_message *m)
{
    struct world *world = node->world;
    if (!world->is_measuring || m->lane != node->self || m->value != RABIA_BATCH)
        return;
    const struct owner *owner = &node->owner;
    for (size_t i = owner->in_flight_head; i < owner->in_flight_end; i++) {
        uint64_t took_us = world->now_us - owner->in_flight[i].proposed_us;
        if (owner->in_flight[i].lap == m->lap && took_us > world->decide_max_us)
            world->decide_max_us = took_us;
    }
}

/* count: the process dies behind so many. */
static void write_records(struct node *node, size_t count)
{
    struct world *world = node->world;
    wire_recorded(&world->wire, node->self, node->out.records, count, node_wall_ms(node));
    for (size_t i = 0; i < count; i++) {
        const struct rabia_record *record = &node->out.records[i];
        trace_add_message(&world->trace, world->now_us, TRACE_RECORD, node->self, 0, (uint8_t)record->kind, record->seq,
                          &record->message);
        if (record->kind == RABIA_RECORD_DECIDED)
            note_own_decision(node, &record->message);
        disk_append(&node->disk, record, false);
        if (record->needs_flush || (world->plan.gives_flushed && !world->plan.options.flush_before_send))
            node->needed_seq = record->seq;
    }
    start_flush(node);
}

/* --- out: messages ----------------------------------------------------------- */

static void post(struct node *node, uint8_t to, const struct rabia_outgoing *outgoing)
{
    struct node_outbox *outbox = &node->outboxes[to];
    if (outbox->count == outbox->capacity) {
        outbox->capacity = outbox->capacity ? outbox->capacity * 2 : 32;
        outbox->messages = mem_realloc(outbox->messages, outbox->capacity * sizeof *outbox->messages);
    }
    outbox->messages[outbox->count++] = outgoing->message;
    if (outgoing->message.batch)
        batch_hold(outgoing->message.batch);
    outbox->has_urgent |= !outgoing->is_lazy;
}

static void post_messages(struct node *node, size_t count)
{
    struct world *world = node->world;
    uint64_t frontier = rabia_frontier(node->rabia);
    for (size_t i = 0; i < count; i++) {
        const struct rabia_outgoing *outgoing = &node->out.messages[i];
        wire_sent(&world->wire, node->self, outgoing, frontier);
        for (uint8_t to = 0; to < world->plan.nodes; to++)
            if (outgoing->to >> to & 1) {
                trace_add_message(&world->trace, world->now_us, TRACE_SEND, node->self, to, 0, outgoing->is_lazy,
                                  &outgoing->message);
                post(node, to, outgoing);
            }
    }
}

static void send_frame(struct node *node, uint8_t to)
{
    struct node_outbox *outbox = &node->outboxes[to];
    if (outbox->count == 0)
        return;
    memcpy(node->world->network.known[node->self], node->known, sizeof node->known);
    if (!network_send(&node->world->network, node->world->now_us, node->self, to, outbox->messages, outbox->count))
        trace_add(&node->world->trace, &(struct trace_entry){.now_us = node->world->now_us, .kind = TRACE_DROP,
                                                             .node = node->self, .peer = to, .count = outbox->count});
    clear_outbox(outbox);
}

/* All messages to one peer in one pass travel as one frame; lazy ones alone
 * wait, for a bounded time. */
static void send_frames(struct node *node)
{
    struct world *world = node->world;
    for (uint8_t to = 0; to < world->plan.nodes; to++) {
        struct node_outbox *outbox = &node->outboxes[to];
        if (outbox->has_urgent || world->plan.lazy_us == 0) {
            send_frame(node, to);
        } else if (outbox->count && !outbox->has_lazy_timer) {
            outbox->has_lazy_timer = true;
            agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us + world->plan.lazy_us,
                                                            .kind = AGENDA_LAZY, .life = node->life,
                                                            .node = node->self, .peer = to});
        }
    }
}

/* --- out: the order ---------------------------------------------------------- */

static void change_members(struct node *node, uint64_t lap, const struct data_write *write)
{
    struct world *world = node->world;
    uint16_t mask = (uint16_t)write->argument;
    uint16_t list = node->store.list ? node->store.list : world->wire.lists[0].mask;
    if (list != write->expected)
        return;
    uint64_t from = rabia_change_members(node->rabia, lap, mask);
    trace_simple(node, TRACE_FAULT, (uint8_t)mask, TRACE_FAULT_MEMBERS, 0, from);
    uint16_t before = world->wire.lists[world->wire.list_count - 1].mask;
    if (order_changed(&world->order, node->self, write->command, lap, from) && from != RABIA_NO_LAP) {
        world->learners |= (uint16_t)(before & ~(unsigned)mask); /* they have to learn of it */
        wire_members(&world->wire, from, mask);
    }
    node->store.list = from == RABIA_NO_LAP ? list : mask;
    node->store.changes = random_mix(node->store.changes ^ mask ^ from);
    node->deadline_us = 0;
}

static void apply_write(struct node *node, uint64_t lap, const struct data_write *write, struct command *command)
{
    if (write->operation == DATA_MEMBERS)
        change_members(node, lap, write);
    struct data_value answer = data_apply(&node->store.values[write->key % DATA_KEYS], write->operation, write->argument,
                                          write->expected);
    if (!command || command->session->is_gone)
        return;
    struct world *world = node->world;
    trace_simple(node, TRACE_REPLY, 0, 0, 0, command->number);
    clients_answer(&world->clients, command, answer);
}

static void answer_read(struct node *node, struct command *command)
{
    if (command->session->is_gone)
        return;
    trace_simple(node, TRACE_REPLY, 0, 0, 0, command->number);
    clients_answer(&node->world->clients, command, node->store.values[command->key]);
}

/* The batch's writes come from its bytes; an owner weaves its own commands'
 * reads in where they stood. */
static void apply_batch(struct node *node, uint64_t lap, const struct batch *batch, const struct own_slot *own)
{
    if (batch->clock_ms > node->store.logical_ms)
        node->store.logical_ms = batch->clock_ms;
    size_t next = 0;
    struct data_cursor cursor = data_writes(batch);
    struct data_write write;
    while (data_next_write(&cursor, &write)) {
        struct command *command = NULL;
        for (; own && next < own->count && !command; next++) {
            if (command_is_read(own->commands[next]))
                answer_read(node, own->commands[next]);
            else
                command = own->commands[next];
        }
        apply_write(node, lap, &write, command);
    }
    for (; own && next < own->count; next++)
        answer_read(node, own->commands[next]);
}

static void acknowledge(struct node *node, const struct own_slot *own)
{
    for (size_t i = 0; i < own->count; i++)
        if (!command_is_read(own->commands[i]) && own->commands[i]->answered != UINT64_MAX)
            order_acknowledged(&node->world->order, own->commands[i]->number);
}

/* A snapshot covers own slots: what became of them is unknown.  All clients are
 * told so and go. */
static void lose_track(struct node *node)
{
    owner_deinit(&node->owner);
    owner_init(&node->owner, &node->world->plan, &node->world->verdict);
    node->own_base = UINT64_MAX;
    node->has_lost_track = true;
}

static void apply_one(struct node *node, const struct rabia_decided *decided)
{
    struct world *world = node->world;
    trace_add(&world->trace, &(struct trace_entry){.now_us = world->now_us, .kind = TRACE_DECIDED, .node = node->self,
                                                   .lap = decided->lap, .lane = decided->lane,
                                                   .value = decided->batch != NULL, .detail = decided->is_void});
    wire_decided(&world->wire, node->self, decided);
    struct own_slot own = {0};
    bool is_own = decided->lane == node->self && decided->lap >= node->own_base;
    if (is_own && decided->is_unknown) {
        lose_track(node);
        return;
    }
    if (is_own && !owner_out(&node->owner, decided, &own))
        return;
    if (is_own && world->is_measuring && world->now_us - own.proposed_us > world->order_max_us)
        world->order_max_us = world->now_us - own.proposed_us;
    if (decided->batch && !decided->is_void)
        apply_batch(node, decided->lap, decided->batch, is_own ? &own : NULL);
    order_applied(&world->order, node->self, decided, data_digest(&node->store));
    if (is_own && decided->batch && !decided->is_void)
        acknowledge(node, &own);
    mem_free(own.commands);
}

static void note_frontier(struct node *node)
{
    struct world *world = node->world;
    uint64_t frontier = rabia_frontier(node->rabia);
    if (frontier != world->wire.replicas[node->self].frontier)
        trace_simple(node, TRACE_FRONTIER, 0, 0, frontier, 0);
    wire_frontier(&world->wire, node->self, frontier);
    order_frontier(&world->order, node->self, frontier);
}

static void apply_decided(struct node *node, size_t count)
{
    for (size_t i = 0; i < count; i++)
        apply_one(node, &node->out.decided[i]);
    if (!node->has_died)
        note_frontier(node);
}

/* --- the step ----------------------------------------------------------------- */

static void ask_for_tick(struct node *node)
{
    struct world *world = node->world;
    node->deadline_us = node->deadline_us == 0 ? 0 : node->out.deadline_us; /* 0: at once */
    if (node->deadline_us >= node->tick_us || node->deadline_us > world->now_us + 3600000000u)
        return;
    uint64_t at = node->deadline_us > world->now_us ? node->deadline_us : world->now_us;
    if (world->plan.tick_late_us)
        at += random_below(&world->process_random, world->plan.tick_late_us);
    node->tick_us = at;
    agenda_add(&world->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_TICK, .node = node->self, .life = node->life,
                                                    .stamp = ++node->tick_stamp});
}

static void note_snapshot_need(struct node *node)
{
    if (node->out.snapshot_from_lap == RABIA_NO_LAP || node->needs_snapshot)
        return;
    node->needs_snapshot = true;
    trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_SNAPSHOT, 0, node->out.snapshot_from_lap);
    if (node->world->plan.options.history_bytes_max > 64u << 20 && !node->world->plan.has_lives)
        verdict_fail(&node->world->verdict, "N1: replica %u wants a snapshot although peers keep everything", node->self);
}

/* How much of an out is honoured; less than all of it where the process is
 * doomed. */
struct share {
    size_t records, messages, decided;
    bool sends_frames;
};

static struct share draw_share(struct node *node)
{
    const struct rabia_out *out = &node->out;
    struct share share = {out->record_count, out->message_count, out->decided_count, false};
    struct random *random = &node->world->process_random;
    size_t total = share.records + share.messages + share.decided;
    if (!node->is_doomed || total == 0)
        return share;
    node->has_died = true;
    share.sends_frames = random_below(random, 2);
    size_t left = random_below(random, total + 1);
    if (left <= share.records)
        return (struct share){left, 0, 0, false};
    left -= share.records;
    if (left <= share.messages)
        return (struct share){share.records, left, 0, share.sends_frames};
    share.decided = left - share.messages;
    return share;
}

/* The rejoining mark goes once all that was written until then is on disk. */
static void clear_mark(struct node *node)
{
    if (node->clear_mark_seq == 0 || node->clear_mark_seq > node->flushed_seq)
        return;
    node->disk.has_mark = false;
    node->clear_mark_seq = 0;
}

static void note_lives(struct node *node)
{
    struct world *world = node->world;
    const struct rabia_out *out = &node->out;
    if (out->rejoined_lap != RABIA_NO_LAP)
        trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_REJOIN, 0, out->rejoined_lap);
    if (out->has_rejoined) {
        trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_JOINED, 0, 0);
        wire_rejoined(&world->wire, node->self);
        node->is_rejoining = false;
        node->clear_mark_seq = node->needed_seq = disk_last_seq(&node->disk);
        world->rejoins++;
        start_flush(node);
        clear_mark(node);
    }
    if (out->was_removed && !node->was_removed) {
        trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_REMOVED, 0, 0);
        node->was_removed = true;
    }
}

static void honour(struct node *node, const struct rabia_event *event)
{
    struct world *world = node->world;
    struct share share = draw_share(node);
    if (event && event->kind == RABIA_EVENT_PROPOSE) {
        wire_proposed(&world->wire, node->self, node->out.proposed_lap, event->batch);
        owner_proposed(&node->owner, node->out.proposed_lap, world->now_us);
        if (node->own_base == UINT64_MAX)
            node->own_base = node->out.proposed_lap;
    }
    if (node->out.clock_refused_ms)
        owner_clock_refused(&node->owner, node_wall_ms(node), node->out.clock_refused_ms);
    write_records(node, share.records);
    post_messages(node, share.messages);
    apply_decided(node, share.decided);
    if (node->has_died) {
        if (share.sends_frames)
            send_frames(node);
    } else {
        note_lives(node);
        note_snapshot_need(node);
        ask_for_tick(node);
    }
    rabia_out_clear(&node->out);
}

static void step(struct node *node, struct rabia_event *event)
{
    struct world *world = node->world;
    event->now_us = world->now_us;
    event->wall_ms = node_wall_ms(node);
    trace_simple(node, TRACE_EVENT, event->peer, (uint8_t)event->kind, event->lap, event->flushed_seq);
    rabia_step(node->rabia, event, &node->out);
    honour(node, event);
    if (++world->steps % world->plan.check_every == 0)
        rabia_check(node->rabia);
}

/* What the sender knows of lost memories, before anything of the frame counts.
 * False: the frame is of an older life. */
static bool admit(struct node *node, struct frame *frame)
{
    for (uint8_t i = 0; i < node->world->plan.nodes && !node->has_died; i++)
        if (i != node->self && frame->known[i] > node->known[i]) {
            node->known[i] = frame->known[i];
            step(node, &(struct rabia_event){.kind = RABIA_EVENT_FORGET, .peer = i});
        }
    if (node->has_died || frame->known[frame->from] < node->known[frame->from])
        return false;
    if (frame->known[node->self] == node->incarnation)
        return true;
    size_t kept = 0;
    for (size_t i = 0; i < frame->count; i++) {
        if (frame->messages[i].kind != RABIA_REJOIN_ANSWER && !node->world->plan.drops_unaware)
            frame->messages[kept++] = frame->messages[i];
        else
            batch_release(frame->messages[i].batch);
    }
    frame->count = kept;
    return kept > 0;
}

static void receive(struct node *node, struct frame *frame)
{
    struct world *world = node->world;
    if (!admit(node, frame)) {
        frame_free(frame);
        return;
    }
    for (size_t i = 0; i < frame->count; i++) {
        trace_add_message(&world->trace, world->now_us, TRACE_RECEIVE, node->self, frame->from, 0, 0,
                          &frame->messages[i]);
        wire_received(&world->wire, node->self, &frame->messages[i]);
        if (frame->messages[i].kind == RABIA_REJOIN_ANSWER)
            wire_answered(&world->wire, node->self, frame->from, (const unsigned char *)frame->messages[i].batch->bytes);
    }
    step(node, &(struct rabia_event){.kind = RABIA_EVENT_MESSAGES, .peer = frame->from, .messages = frame->messages,
                                     .message_count = frame->count});
    frame_free(frame);
}

static void end_flush(struct node *node, uint64_t seq)
{
    struct world *world = node->world;
    node->is_flushing = false;
    node->flushed_seq = seq;
    disk_flushed(&node->disk, seq);
    wire_flushed(&world->wire, node->self, seq);
    clear_mark(node);
    if (world->plan.gives_flushed || world->plan.has_lives)
        step(node, &(struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = seq});
    if (!node->has_died)
        start_flush(node);
}

static void tick(struct node *node, uint64_t stamp)
{
    struct world *world = node->world;
    if (stamp != node->tick_stamp)
        return;
    node->tick_us = UINT64_MAX;
    if (node->deadline_us == 0)
        node->deadline_us = 1;
    if (world->now_us < node->deadline_us) {
        node->out.deadline_us = node->deadline_us;
        ask_for_tick(node);
        return;
    }
    node->ticks_at_once = world->now_us == node->last_tick_us ? node->ticks_at_once + 1 : 0;
    node->last_tick_us = world->now_us;
    if (node->ticks_at_once > TICKS_AT_ONCE_MAX)
        verdict_fail(&world->verdict, "N2: replica %u asks for ticks without end", node->self);
    step(node, &(struct rabia_event){.kind = RABIA_EVENT_TICK});
}

static void end_snapshot(struct node *node)
{
    struct world *world = node->world;
    if (!node->disk.has_next)
        return;
    if (disk_end_snapshot(&node->disk, &world->verdict, node->self)) {
        world->cuts++;
        trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_CUT, 0, snapshot_lap(&node->disk.snapshot, 0));
    } else {
        agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us + 1 + world->plan.snapshot_us,
                                                        .kind = AGENDA_CUT, .node = node->self, .life = node->life});
    }
}

static void install(struct node *node, const struct snapshot *snapshot)
{
    struct world *world = node->world;
    struct slice bytes = slice_make((const char *)snapshot->bytes, snapshot->size);
    node->needs_snapshot = false;
    if (!rabia_install(node->rabia, bytes, world->now_us, node_wall_ms(node), &node->out)) {
        world->refused_installs++;
        return;
    }
    uint64_t lap = snapshot_lap(snapshot, 0);
    trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_INSTALL, 0, lap);
    world->installs++;
    node->disk.snapshot = *snapshot;
    node->disk.has_next = false;
    node->store = snapshot->store;
    wire_installed(&world->wire, node->self, lap, snapshot_lane(snapshot));
    order_restarted(&world->order, node->self, snapshot->position);
    honour(node, NULL);
    if (!node->has_died && random_below(&world->process_random, 2))
        node_begin_snapshot(node);
}

static void handle(struct node *node, struct agenda_item *item)
{
    switch ((enum agenda_kind)item->kind) {
    case AGENDA_FRAME:
        receive(node, item->payload);
        break;
    case AGENDA_TICK:
        tick(node, item->stamp);
        break;
    case AGENDA_FLUSH:
        end_flush(node, item->stamp);
        break;
    case AGENDA_LAZY:
        node->outboxes[item->peer].has_lazy_timer = false;
        send_frame(node, item->peer);
        break;
    case AGENDA_COMMAND:
        owner_add(&node->owner, item->payload, node->world->now_us);
        break;
    case AGENDA_LINK_UP:
        step(node, &(struct rabia_event){.kind = RABIA_EVENT_LINK_UP, .peer = item->peer});
        break;
    case AGENDA_LINK_DOWN:
        step(node, &(struct rabia_event){.kind = RABIA_EVENT_LINK_DOWN, .peer = item->peer});
        break;
    case AGENDA_NUDGE:
        step(node, &(struct rabia_event){.kind = RABIA_EVENT_NUDGE,
                                         .lap = rabia_frontier(node->rabia) + item->stamp});
        break;
    case AGENDA_CUT:
        end_snapshot(node);
        break;
    case AGENDA_INSTALL:
        install(node, item->payload);
        mem_free(item->payload);
        break;
    case AGENDA_LEARNERS:
        step(node, &(struct rabia_event){.kind = RABIA_EVENT_LEARNERS, .members = (uint16_t)item->stamp});
        break;
    default:
        CHECK_UNREACHABLE();
    }
}

static void wake_at(struct node *node, uint64_t at_us)
{
    if (at_us >= node->wake_us)
        return;
    if (at_us < node->world->now_us)
        at_us = node->world->now_us;
    node->wake_us = at_us;
    agenda_add(&node->world->agenda, (struct agenda_item){.at_us = at_us, .kind = AGENDA_WAKE, .node = node->self, .life = node->life,
                                                          .stamp = at_us});
}

static void propose(struct node *node)
{
    struct world *world = node->world;
    for (int i = 0; i < PROPOSALS_AT_ONCE_MAX && !node->has_died && rabia_can_propose(node->rabia); i++) {
        bool wants_clock = world->plan.clock_only_share > 0 && (world->plan.proposers >> node->self & 1) &&
                           random_unit(&world->process_random) < world->plan.clock_only_share / 10;
        if (!owner_has_work(&node->owner) && !wants_clock)
            return;
        struct batch *batch = owner_make(&node->owner, &world->process_random, node_wall_ms(node), wants_clock,
                                         world->now_us);
        if (!batch) {
            wake_at(node, owner_deadline_us(&node->owner, world->now_us));
            return;
        }
        step(node, &(struct rabia_event){.kind = RABIA_EVENT_PROPOSE, .batch = batch});
        batch_release(batch);
    }
}

/* One pass: as many events as there is time for, then proposals and frames. */
static void pass(struct node *node)
{
    struct world *world = node->world;
    while (node->inbox_head < node->inbox_end && world->now_us >= node->busy_until_us && !world->verdict.has_failed &&
           !node->has_died) {
        struct agenda_item item = node->inbox[node->inbox_head++];
        node->busy_until_us = world->now_us + world->plan.service_us + node->slow_us;
        handle(node, &item);
    }
    propose(node);
    if (node->has_died)
        return;
    send_frames(node);
    if (node->inbox_head < node->inbox_end)
        wake_at(node, node->busy_until_us);
}

bool node_is_serving(const struct node *node)
{
    struct rabia_status status;
    if (node->is_crashed || node->has_died || node->is_rejoining || node->disk.has_mark || node->was_removed)
        return false;
    rabia_get_status(node->rabia, node->world->now_us, &status);
    return status.members >> node->self & 1;
}

static void push_inbox(struct node *node, const struct agenda_item *item)
{
    if (node->inbox_head == node->inbox_end)
        node->inbox_head = node->inbox_end = 0;
    if (node->inbox_end == node->inbox_capacity) {
        node->inbox_capacity = node->inbox_capacity ? node->inbox_capacity * 2 : 64;
        node->inbox = mem_realloc(node->inbox, node->inbox_capacity * sizeof *node->inbox);
    }
    node->inbox[node->inbox_end++] = *item;
}

void node_take(struct node *node, struct agenda_item item)
{
    if (node->is_crashed || node->has_died || (item.life != 0 && item.life != node->life)) {
        dispose(&item);
        return;
    }
    if (item.kind == AGENDA_WAKE) {
        if (item.stamp != node->wake_us)
            return;
        node->wake_us = UINT64_MAX;
    } else {
        push_inbox(node, &item);
    }
    if (node->world->now_us < node->busy_until_us) {
        if (node->busy_until_us != UINT64_MAX)
            wake_at(node, node->busy_until_us);
        return;
    }
    pass(node);
}

void node_stop_until(struct node *node, uint64_t until_us)
{
    if (until_us > node->busy_until_us)
        node->busy_until_us = until_us;
}

void node_resume(struct node *node)
{
    if (node->is_crashed || node->busy_until_us <= node->world->now_us)
        return;
    node->busy_until_us = node->world->now_us;
    wake_at(node, node->busy_until_us);
}

void node_crash(struct node *node)
{
    node->is_crashed = true;
    node->has_died = node->is_doomed = false;
    node->was_killed = true;
    node->died_at = node->world->order.position[node->self];
    drop_inbox(node);
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        clear_outbox(&node->outboxes[i]);
    if (node->world->plan.has_lives)
        network_end(&node->world->network, node->self);
}

/* --- lives -------------------------------------------------------------------- */

void node_lose_tail(struct node *node, struct random *random)
{
    struct disk *disk = &node->disk;
    CHECK(node->is_crashed);
    size_t kept = disk->flushed + random_below(random, disk->count - disk->flushed + 1);
    trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_POWER, 0, disk->count - kept);
    for (size_t i = kept; i < disk->count; i++)
        if (!disk->journal[i].is_restated)
            wire_lost(&node->world->wire, node->self, &disk->journal[i].record);
    disk_truncate(disk, kept);
    disk->has_lost_tail = true;
    node->was_killed = false;
}

void node_lose_all(struct node *node, bool loses_data)
{
    struct disk *disk = &node->disk;
    CHECK(node->is_crashed);
    trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_WIPE, 0, loses_data);
    disk_truncate(disk, 0);
    if (loses_data)
        disk->snapshot = (struct snapshot){0};
    disk->has_mark = true;
    node->was_killed = false;
}

void node_begin_snapshot(struct node *node)
{
    struct world *world = node->world;
    struct disk *disk = &node->disk;
    CHECK(!node->out.record_count);
    if (disk->has_next)
        return;
    disk->next.size = rabia_export(node->rabia, disk->next.bytes);
    disk->next.position = world->order.position[node->self];
    disk->next.store = node->store;
    size_t cut = disk->count;
    rabia_restate(node->rabia, &node->out);
    wire_restated(&world->wire, node->self, node->out.records, node->out.record_count);
    for (size_t i = 0; i < node->out.record_count; i++)
        disk_append(disk, &node->out.records[i], true);
    rabia_out_clear(&node->out);
    disk_begin_snapshot(disk, cut);
    node->needed_seq = disk_last_seq(disk);
    start_flush(node);
    uint64_t at = world->now_us + random_below(&world->process_random, world->plan.snapshot_us + 1);
    agenda_add(&world->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_CUT, .node = node->self, .life = node->life});
}

struct snapshot *node_copy_data(const struct node *node)
{
    struct snapshot *snapshot = mem_calloc(1, sizeof *snapshot);
    snapshot->size = rabia_export(node->rabia, snapshot->bytes);
    snapshot->position = node->world->order.position[node->self];
    snapshot->store = node->store;
    return snapshot;
}

static void replay(struct node *node)
{
    struct world *world = node->world;
    for (size_t i = 0; i < node->disk.count && !world->verdict.has_failed; i++) {
        const struct rabia_record *record = &node->disk.journal[i].record;
        wire_replayed(&world->wire, node->self, record);
        if (!rabia_replay(node->rabia, record, &node->out))
            verdict_fail(&world->verdict, "N4: replica %u refuses record %zu of its journal: kind %u of lap %" PRIu64
                         " lane %u", node->self, i, record->message.kind, record->message.lap, record->message.lane);
        apply_decided(node, node->out.decided_count);
        node->was_removed |= node->out.was_removed;
        rabia_out_clear(&node->out);
    }
    if (node->was_killed && world->order.position[node->self] < node->died_at)
        verdict_fail(&world->verdict, "N5: replica %u was killed at position %zu, its journal leads to %zu", node->self,
                     node->died_at, world->order.position[node->self]);
}

static void reset(struct node *node)
{
    owner_deinit(&node->owner);
    rabia_free(node->rabia);
    begin_life(node);
    node->is_crashed = node->needs_snapshot = node->is_flushing = node->has_lost_track = false;
    node->busy_until_us = node->flushed_seq = node->needed_seq = node->clear_mark_seq = 0;
    node->slow_us = 0;
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        node->outboxes[i].has_lazy_timer = false;
    node->disk.has_next = false;
    node->store = node->disk.snapshot.store;
}

void node_rise(struct node *node)
{
    struct world *world = node->world;
    struct disk *disk = &node->disk;
    const struct snapshot *snapshot = &disk->snapshot;
    CHECK(node->is_crashed);
    trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_RISES, 0, snapshot_lap(snapshot, world->plan.options.first_lap));
    world->lives++;
    if (disk->has_mark) {
        disk_truncate(disk, 0);
        node->incarnation++;
        node->was_killed = false;
        memset(node->known, 0, sizeof node->known);
    }
    reset(node);
    struct rabia_options options = options_of(node);
    node->rabia = probe_restore(&options, slice_make((const char *)snapshot->bytes, snapshot->size), world->now_us,
                                world->plan.window);
    CHECK(node->rabia);
    wire_restarted(&world->wire, node->self, rabia_frontier(node->rabia), snapshot_lane(snapshot), !disk->has_mark);
    order_restarted(&world->order, node->self, snapshot->position);
    if (snapshot->size)
        wire_answered(&world->wire, node->self, node->self, snapshot->bytes);
    node->is_rejoining = disk->has_mark;
    replay(node);
    wire_speaks(&world->wire, node->self);
    if (!MUTANT(MUTANT_USE_UNFLUSHED))
        disk->flushed = disk->count;
    disk->life_start = (int64_t)disk->count;
    struct rabia_speak_options how = {.may_have_lost_tail = disk->has_lost_tail};
    disk->has_lost_tail = false;
    if (disk->has_mark)
        rabia_rejoin(node->rabia, world->now_us, node_wall_ms(node), &node->out);
    else
        rabia_speak(node->rabia, &how, world->now_us, node_wall_ms(node), &node->out);
    honour(node, NULL);
    if (!node->has_died)
        send_frames(node);
}
