#include "node.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

/* Unix time at the start of a run, milliseconds. */
static const uint64_t WALL_START_MS = 1700000000000u;
enum {
    TICKS_AT_ONCE_MAX = 300, /* at one instant: more is a core that asks for ticks without end */
    PROPOSALS_AT_ONCE_MAX = 64
};

void node_init(struct node *node, struct world *world, uint8_t self)
{
    memset(node, 0, sizeof *node);
    node->world = world;
    node->self = self;
    struct rabia_options options = world->plan.options;
    options.self = self;
    node->rabia = rabia_create(&options, world->now_us);
    rabia_out_init(&node->out);
    owner_init(&node->owner, &world->plan, &world->verdict);
    node->wall_offset_ms = world->plan.wall_skew_ms[self];
    node->wake_us = node->tick_us = node->deadline_us = UINT64_MAX;
}

static void dispose(struct agenda_item *item)
{
    if (item->kind == AGENDA_FRAME)
        frame_free(item->payload);
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
    for (size_t i = 0; i < node->journal_count; i++)
        batch_release(node->journal[i].message.batch);
    mem_free(node->journal);
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
    if (!world->plan.gives_flushed || node->is_flushing || node->needed_seq <= node->flushed_seq)
        return;
    node->is_flushing = true;
    uint64_t spread = world->plan.flush_max_us - world->plan.flush_min_us + 1;
    uint64_t at = world->now_us + world->plan.flush_min_us + random_below(&world->process_random, spread);
    agenda_add(&world->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_FLUSH, .node = node->self,
                                                    .stamp = node->journal[node->journal_count - 1].seq});
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

static void write_records(struct node *node)
{
    struct world *world = node->world;
    wire_recorded(&world->wire, node->self, node->out.records, node->out.record_count, node_wall_ms(node));
    for (size_t i = 0; i < node->out.record_count; i++) {
        const struct rabia_record *record = &node->out.records[i];
        trace_add_message(&world->trace, world->now_us, TRACE_RECORD, node->self, 0, (uint8_t)record->kind, record->seq,
                          &record->message);
        if (record->kind == RABIA_RECORD_DECIDED)
            note_own_decision(node, &record->message);
        if (node->journal_count == node->journal_capacity) {
            node->journal_capacity = node->journal_capacity ? node->journal_capacity * 2 : 256;
            node->journal = mem_realloc(node->journal, node->journal_capacity * sizeof *node->journal);
        }
        node->journal[node->journal_count++] = *record;
        if (record->message.batch)
            batch_hold(record->message.batch);
        if (record->needs_flush || !world->plan.options.flush_before_send)
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

static void post_messages(struct node *node)
{
    struct world *world = node->world;
    uint64_t frontier = rabia_frontier(node->rabia);
    for (size_t i = 0; i < node->out.message_count; i++) {
        const struct rabia_outgoing *outgoing = &node->out.messages[i];
        wire_sent(&world->wire, node->self, outgoing, frontier);
        for (uint8_t to = 0; to < world->plan.members; to++)
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
    for (uint8_t to = 0; to < world->plan.members; to++) {
        struct node_outbox *outbox = &node->outboxes[to];
        if (outbox->has_urgent || world->plan.lazy_us == 0) {
            send_frame(node, to);
        } else if (outbox->count && !outbox->has_lazy_timer) {
            outbox->has_lazy_timer = true;
            agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us + world->plan.lazy_us,
                                                            .kind = AGENDA_LAZY, .node = node->self, .peer = to});
        }
    }
}

/* --- out: the order ---------------------------------------------------------- */

static void apply_write(struct node *node, const struct data_write *write, struct command *command)
{
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
static void apply_batch(struct node *node, const struct batch *batch, const struct own_slot *own)
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
        apply_write(node, &write, command);
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

static void apply_one(struct node *node, const struct rabia_decided *decided)
{
    struct world *world = node->world;
    trace_add(&world->trace, &(struct trace_entry){.now_us = world->now_us, .kind = TRACE_DECIDED, .node = node->self,
                                                   .lap = decided->lap, .lane = decided->lane,
                                                   .value = decided->batch != NULL, .detail = decided->is_void});
    wire_decided(&world->wire, node->self, decided);
    struct own_slot own = {0};
    bool is_own = decided->lane == node->self;
    if (is_own && !owner_out(&node->owner, decided, &own))
        return;
    if (is_own && world->is_measuring && world->now_us - own.proposed_us > world->order_max_us)
        world->order_max_us = world->now_us - own.proposed_us;
    if (decided->batch && !decided->is_void)
        apply_batch(node, decided->batch, is_own ? &own : NULL);
    order_applied(&world->order, node->self, decided, data_digest(&node->store));
    if (is_own && decided->batch && !decided->is_void)
        acknowledge(node, &own);
    mem_free(own.commands);
}

static void apply_decided(struct node *node)
{
    for (size_t i = 0; i < node->out.decided_count; i++)
        apply_one(node, &node->out.decided[i]);
    struct world *world = node->world;
    uint64_t frontier = rabia_frontier(node->rabia);
    if (frontier != world->wire.replicas[node->self].frontier)
        trace_simple(node, TRACE_FRONTIER, 0, 0, frontier, 0);
    wire_frontier(&world->wire, node->self, frontier);
    order_frontier(&world->order, node->self, frontier);
}

/* --- the step ----------------------------------------------------------------- */

static void ask_for_tick(struct node *node)
{
    struct world *world = node->world;
    node->deadline_us = node->out.deadline_us;
    if (node->deadline_us >= node->tick_us || node->deadline_us > world->now_us + 3600000000u)
        return;
    uint64_t at = node->deadline_us > world->now_us ? node->deadline_us : world->now_us;
    if (world->plan.tick_late_us)
        at += random_below(&world->process_random, world->plan.tick_late_us);
    node->tick_us = at;
    agenda_add(&world->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_TICK, .node = node->self,
                                                    .stamp = ++node->tick_stamp});
}

static void note_snapshot_need(struct node *node)
{
    if (node->out.snapshot_from_lap == RABIA_NO_LAP || node->needs_snapshot)
        return;
    node->needs_snapshot = true;
    trace_simple(node, TRACE_FAULT, 0, TRACE_FAULT_SNAPSHOT, 0, node->out.snapshot_from_lap);
    if (node->world->plan.options.history_bytes_max > 64u << 20)
        verdict_fail(&node->world->verdict, "N1: replica %u wants a snapshot although peers keep everything", node->self);
}

static void honour(struct node *node, const struct rabia_event *event)
{
    struct world *world = node->world;
    if (event->kind == RABIA_EVENT_PROPOSE) {
        wire_proposed(&world->wire, node->self, node->out.proposed_lap, event->batch);
        owner_proposed(&node->owner, node->out.proposed_lap, world->now_us);
    }
    if (node->out.clock_refused_ms)
        owner_clock_refused(&node->owner, node_wall_ms(node), node->out.clock_refused_ms);
    write_records(node);
    post_messages(node);
    apply_decided(node);
    note_snapshot_need(node);
    ask_for_tick(node);
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

static void receive(struct node *node, struct frame *frame)
{
    struct world *world = node->world;
    for (size_t i = 0; i < frame->count; i++) {
        trace_add_message(&world->trace, world->now_us, TRACE_RECEIVE, node->self, frame->from, 0, 0,
                          &frame->messages[i]);
        wire_received(&world->wire, node->self, &frame->messages[i]);
    }
    step(node, &(struct rabia_event){.kind = RABIA_EVENT_MESSAGES, .peer = frame->from, .messages = frame->messages,
                                     .message_count = frame->count});
    frame_free(frame);
}

static void end_flush(struct node *node, uint64_t seq)
{
    node->is_flushing = false;
    node->flushed_seq = seq;
    wire_flushed(&node->world->wire, node->self, seq);
    step(node, &(struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = seq});
    start_flush(node);
}

static void tick(struct node *node, uint64_t stamp)
{
    struct world *world = node->world;
    if (stamp != node->tick_stamp)
        return;
    node->tick_us = UINT64_MAX;
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
    agenda_add(&node->world->agenda, (struct agenda_item){.at_us = at_us, .kind = AGENDA_WAKE, .node = node->self,
                                                          .stamp = at_us});
}

static void propose(struct node *node)
{
    struct world *world = node->world;
    for (int i = 0; i < PROPOSALS_AT_ONCE_MAX && rabia_can_propose(node->rabia); i++) {
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
    while (node->inbox_head < node->inbox_end && world->now_us >= node->busy_until_us && !world->verdict.has_failed) {
        struct agenda_item item = node->inbox[node->inbox_head++];
        node->busy_until_us = world->now_us + world->plan.service_us + node->slow_us;
        handle(node, &item);
    }
    propose(node);
    send_frames(node);
    if (node->inbox_head < node->inbox_end)
        wake_at(node, node->busy_until_us);
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
    if (node->is_crashed) {
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
    drop_inbox(node);
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        clear_outbox(&node->outboxes[i]);
}
