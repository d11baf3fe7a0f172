#include "cluster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "cluster_inside.h"
#include "lives.h"

enum {
    WARM_UP_US = 250000,
    CLOCK_WAIT_MAX_US = 3000000,
    TRACE_SHOWN = 400
};

enum repair { REPAIR_UNBLOCK = 1, REPAIR_SLOW_NODE, REPAIR_SLOW_LINK, REPAIR_LOSS, REPAIR_FLAP, REPAIR_HEAL, REPAIR_WARM };

/* --- load ------------------------------------------------------------------- */

static void schedule_client(struct cluster *cluster, const struct session *session)
{
    struct world *world = &cluster->world;
    uint64_t think = world->plan.think_us / 2 + random_below(&cluster->load_random, world->plan.think_us + 1);
    agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us + think, .kind = AGENDA_CLIENT,
                                                    .node = session->node, .stamp = session->number});
}

struct session *cluster_open_session(struct cluster *cluster, uint8_t node, uint32_t limit)
{
    struct session *session = clients_open(&cluster->world.clients, node, limit);
    schedule_client(cluster, session);
    return session;
}

static uint8_t draw_write(struct cluster *cluster, uint8_t key, uint64_t *argument)
{
    *argument = ++cluster->marker;
    if (key % 3 == 1) {
        *argument = 1 + random_below(&cluster->load_random, 3);
        return DATA_INCREMENT;
    }
    if (key % 3 == 2)
        return DATA_APPEND;
    return (uint8_t)(DATA_SET + random_below(&cluster->load_random, 3));
}

static void issue(struct cluster *cluster, struct session *session)
{
    struct world *world = &cluster->world;
    struct random *random = &cluster->load_random;
    uint8_t key = (uint8_t)random_below(random, DATA_KEYS), operation = DATA_GET;
    uint64_t argument = 0;
    if (random_unit(random) >= world->plan.read_share)
        operation = draw_write(cluster, key, &argument);
    struct command *command = clients_call(&world->clients, session, operation, key, argument, session->known_value[key]);
    trace_add(&world->trace, &(struct trace_entry){.now_us = world->now_us, .kind = TRACE_COMMAND,
                                                   .node = session->node, .detail = operation,
                                                   .extra = command->number});
    node_take(&cluster->nodes[session->node],
              (struct agenda_item){.kind = AGENDA_COMMAND, .payload = command, .node = session->node});
}

static void run_client(struct cluster *cluster, uint64_t number)
{
    struct session *session = cluster->world.clients.sessions[number];
    if (session->is_gone || session->issued >= session->limit)
        return;
    if (session->outstanding < cluster->world.plan.pipeline)
        issue(cluster, session);
    schedule_client(cluster, session);
}

static void abandon_session(struct cluster *cluster, struct session *session)
{
    trace_add(&cluster->world.trace, &(struct trace_entry){.now_us = cluster->world.now_us, .kind = TRACE_FAULT,
                                                           .node = session->node, .detail = TRACE_FAULT_ABANDON,
                                                           .extra = session->number});
    clients_gone(&cluster->world.clients, session);
}

/* --- faults ----------------------------------------------------------------- */

void cluster_trace_fault(struct cluster *cluster, enum trace_fault fault, uint8_t node, uint8_t peer, uint64_t extra)
{
    trace_add(&cluster->world.trace, &(struct trace_entry){.now_us = cluster->world.now_us, .kind = TRACE_FAULT,
                                                           .node = node, .peer = peer, .detail = (uint8_t)fault,
                                                           .extra = extra});
}

static void schedule_repair(struct cluster *cluster, uint64_t at_us, enum repair repair, uint8_t node, uint8_t peer)
{
    agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = at_us, .kind = AGENDA_REPAIR, .node = node,
                                                            .peer = peer, .stamp = repair});
}

static void tell_link(struct cluster *cluster, enum agenda_kind kind, uint8_t a, uint8_t b)
{
    uint64_t now_us = cluster->world.now_us;
    uint64_t late = random_below(&cluster->fault_random, 2000);
    agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = now_us, .kind = (uint8_t)kind, .node = a, .peer = b});
    agenda_add(&cluster->world.agenda,
               (struct agenda_item){.at_us = now_us + late, .kind = (uint8_t)kind, .node = b, .peer = a});
}

static void renew_link(struct cluster *cluster, uint8_t a, uint8_t b)
{
    cluster_trace_fault(cluster, TRACE_FAULT_RENEW, a, b, 0);
    network_renew(&cluster->world.network, a, b);
    tell_link(cluster, AGENDA_LINK_DOWN, a, b);
    tell_link(cluster, AGENDA_LINK_UP, a, b);
}

static void block(struct cluster *cluster, uint8_t from, uint8_t to, enum network_block how, uint64_t until_us)
{
    if (from == to || cluster->world.network.links[from][to].block)
        return;
    cluster_trace_fault(cluster, TRACE_FAULT_BLOCK, from, to, how);
    network_block(&cluster->world.network, from, to, how);
    if (cluster->world.plan.tells_links && how == NETWORK_DROPS)
        agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us, .kind = AGENDA_LINK_DOWN,
                                                                .node = to, .peer = from});
    schedule_repair(cluster, until_us, REPAIR_UNBLOCK, from, to);
}

static void unblock(struct cluster *cluster, uint8_t from, uint8_t to)
{
    struct network *network = &cluster->world.network;
    if (network->links[from][to].block == NETWORK_OPEN)
        return;
    bool was_lost = network->links[from][to].block == NETWORK_DROPS;
    cluster_trace_fault(cluster, TRACE_FAULT_UNBLOCK, from, to, 0);
    network_unblock(network, cluster->world.now_us, from, to);
    if (was_lost && cluster->world.plan.tells_links)
        tell_link(cluster, AGENDA_LINK_UP, from, to);
}

static void split(struct cluster *cluster, enum network_block how, uint64_t until_us, bool one_way)
{
    uint8_t members = cluster->world.plan.nodes;
    uint64_t sides = random_next(&cluster->fault_random);
    for (uint8_t a = 0; a < members; a++)
        for (uint8_t b = 0; b < members; b++)
            if ((sides >> a & 1) != (sides >> b & 1) && (!one_way || (sides >> a & 1)))
                block(cluster, a, b, how, until_us);
}

void cluster_end_process(struct cluster *cluster, uint8_t node)
{
    cluster_trace_fault(cluster, TRACE_FAULT_CRASH, node, 0, 0);
    node_crash(&cluster->nodes[node]);
    cluster_drop_sessions(cluster, node);
    for (uint8_t peer = 0; peer < cluster->world.plan.nodes && cluster->world.plan.tells_links; peer++)
        if (peer != node)
            agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us,
                                                                    .kind = AGENDA_LINK_DOWN, .node = peer,
                                                                    .peer = node});
}

void cluster_drop_sessions(struct cluster *cluster, uint8_t node)
{
    struct clients *clients = &cluster->world.clients;
    for (size_t i = 0; i < clients->session_count; i++)
        if (clients->sessions[i]->node == node)
            clients_gone(clients, clients->sessions[i]);
}

static void crash(struct cluster *cluster, uint8_t node)
{
    unsigned spare = cluster->world.plan.members - (cluster->world.plan.members / 2u + 1u);
    if (cluster->nodes[node].is_crashed)
        return;
    if (cluster->world.plan.has_lives ? !lives_may_lose(cluster, node) : cluster->crashed >= spare)
        return;
    cluster->crashed++;
    cluster->dead |= (uint16_t)(1u << node);
    cluster_end_process(cluster, node);
}

static void note_clock(struct cluster *cluster, uint8_t node)
{
    if (cluster->nodes[node].wall_offset_ms > cluster->wall_high_ms)
        cluster->wall_high_ms = cluster->nodes[node].wall_offset_ms;
}

/* A batch whose clock is refused may have to wait until its time has come or, with
 * f replicas down, until those that refused it yield. */
static uint64_t clocks_apart_us(const struct cluster *cluster)
{
    int64_t low_ms = INT64_MAX;
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++)
        if (cluster->nodes[i].wall_offset_ms < low_ms)
            low_ms = cluster->nodes[i].wall_offset_ms;
    uint64_t apart_us = (uint64_t)(cluster->wall_high_ms - low_ms) * 1000;
    return apart_us < CLOCK_WAIT_MAX_US ? apart_us : CLOCK_WAIT_MAX_US;
}

static void jump_clock(struct cluster *cluster, uint8_t node)
{
    int64_t by = (int64_t)random_below(&cluster->fault_random, 4000) - 2000;
    cluster_trace_fault(cluster, TRACE_FAULT_CLOCK, node, 0, (uint64_t)by);
    cluster->nodes[node].wall_offset_ms += by;
    note_clock(cluster, node);
}

static void abandon_some(struct cluster *cluster)
{
    struct clients *clients = &cluster->world.clients;
    if (clients->session_count == 0)
        return;
    struct session *session = clients->sessions[random_below(&cluster->fault_random, clients->session_count)];
    if (session->is_gone || session->issued >= session->limit)
        return;
    abandon_session(cluster, session);
    cluster_open_session(cluster, session->node, session->limit - session->issued);
}

static void slow_link(struct cluster *cluster, uint8_t a, uint8_t b, uint64_t until_us)
{
    uint32_t times = (uint32_t)(2 + random_below(&cluster->fault_random, 100));
    cluster_trace_fault(cluster, TRACE_FAULT_SLOW_LINK, a, b, times);
    cluster->world.network.links[a][b].slowness = times;
    schedule_repair(cluster, until_us, REPAIR_SLOW_LINK, a, b);
}

static void slow_node(struct cluster *cluster, uint8_t node, uint64_t until_us)
{
    uint32_t slow_us = (uint32_t)(10 + random_below(&cluster->fault_random, 1000));
    cluster_trace_fault(cluster, TRACE_FAULT_SLOW_NODE, node, 0, slow_us);
    cluster->nodes[node].slow_us = slow_us;
    schedule_repair(cluster, until_us, REPAIR_SLOW_NODE, node, 0);
}

static void nudge(struct cluster *cluster, uint8_t node)
{
    uint64_t far = random_below(&cluster->fault_random, 4) ? 300 : 2 * RABIA_WINDOW;
    agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us, .kind = AGENDA_NUDGE,
                                                            .node = node,
                                                            .stamp = 1 + random_below(&cluster->fault_random, far)});
}

static void lose_much(struct cluster *cluster, uint64_t until_us)
{
    cluster->world.network.loss = random_unit(&cluster->fault_random) * 0.6;
    cluster_trace_fault(cluster, TRACE_FAULT_LOSS, 0, 0, (uint64_t)(cluster->world.network.loss * 1000));
    schedule_repair(cluster, until_us, REPAIR_LOSS, 0, 0);
}

static void commit_fault(struct cluster *cluster, enum plan_fault fault)
{
    struct random *random = &cluster->fault_random;
    uint8_t members = cluster->world.plan.nodes;
    uint8_t a = (uint8_t)random_below(random, members), b = (uint8_t)random_below(random, members);
    uint64_t until_us = cluster->world.now_us + 1 + random_below(random, 2 * cluster->world.plan.fault_length_us);
    enum network_block how = random_below(random, 2) ? NETWORK_DROPS : NETWORK_HOLDS;
    switch (fault) {
    case PLAN_FAULT_STOP:
        cluster_trace_fault(cluster, TRACE_FAULT_STOP, a, 0, until_us - cluster->world.now_us);
        node_stop_until(&cluster->nodes[a], until_us);
        break;
    case PLAN_FAULT_CRASH:
        if (random_below(random, 3) == 0)
            crash(cluster, a);
        break;
    case PLAN_FAULT_SLOW_NODE:
        slow_node(cluster, a, until_us);
        break;
    case PLAN_FAULT_SLOW_LINK:
        slow_link(cluster, a, b, until_us);
        break;
    case PLAN_FAULT_SPLIT:
        split(cluster, how, until_us, false);
        break;
    case PLAN_FAULT_ONE_WAY:
        split(cluster, how, until_us, true);
        break;
    case PLAN_FAULT_ONE_LINK:
        block(cluster, a, b, how, until_us);
        break;
    case PLAN_FAULT_FLAP:
        if (a != b)
            schedule_repair(cluster, cluster->world.now_us, REPAIR_FLAP, a, b);
        break;
    case PLAN_FAULT_RENEW:
        if (a != b)
            renew_link(cluster, a, b);
        break;
    case PLAN_FAULT_CLOCK:
        jump_clock(cluster, a);
        break;
    case PLAN_FAULT_LOSS:
        lose_much(cluster, until_us);
        break;
    case PLAN_FAULT_ABANDON:
        abandon_some(cluster);
        break;
    case PLAN_FAULT_NUDGE:
        nudge(cluster, a);
        break;
    case PLAN_FAULTS:
        CHECK_UNREACHABLE();
    }
}

static void next_fault(struct cluster *cluster)
{
    const struct plan *plan = &cluster->world.plan;
    if (cluster->healed_us || !plan->faults)
        return;
    unsigned kind;
    do
        kind = (unsigned)random_below(&cluster->fault_random, PLAN_FAULTS);
    while (!(plan->faults >> kind & 1));
    commit_fault(cluster, (enum plan_fault)kind);
    uint64_t wait = 1 + random_below(&cluster->fault_random, 2 * plan->fault_every_us);
    agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us + wait,
                                                            .kind = AGENDA_FAULT});
}

/* A flapping link goes up and down a few times in short order. */
static void flap(struct cluster *cluster, uint8_t a, uint8_t b)
{
    if (cluster->healed_us)
        return;
    renew_link(cluster, a, b);
    if (random_below(&cluster->fault_random, 4))
        schedule_repair(cluster, cluster->world.now_us + random_below(&cluster->fault_random, 5000), REPAIR_FLAP, a, b);
}

static void reopen_clients(struct cluster *cluster)
{
    struct clients *clients = &cluster->world.clients;
    size_t count = clients->session_count;
    for (size_t i = 0; i < count; i++) {
        struct session *session = clients->sessions[i];
        session->limit = session->issued; /* it issues no more; a new one does */
    }
    for (uint8_t node = 0; node < cluster->world.plan.members && !cluster->world.plan.has_lives; node++)
        for (uint32_t i = 0; i < cluster->world.plan.clients && (cluster->world.plan.proposers >> node & 1); i++)
            if (!cluster->nodes[node].is_crashed)
                cluster_open_session(cluster, node, COMMANDS_AFTER_HEAL);
}

static void heal(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    cluster->healed_us = world->now_us;
    cluster->progress_us = world->plan.progress_us + clocks_apart_us(cluster);
    cluster_trace_fault(cluster, TRACE_FAULT_HEAL, 0, 0, 0);
    world->network.loss = world->plan.loss_after_heal;
    for (uint8_t a = 0; a < world->plan.nodes; a++) {
        cluster->nodes[a].slow_us = 0;
        node_resume(&cluster->nodes[a]);
        for (uint8_t b = 0; b < world->plan.nodes; b++) {
            world->network.links[a][b].slowness = 1;
            unblock(cluster, a, b);
        }
    }
    reopen_clients(cluster);
    if (world->plan.has_lives)
        lives_heal(cluster);
}

static void repair(struct cluster *cluster, const struct agenda_item *item)
{
    struct network *network = &cluster->world.network;
    switch ((enum repair)item->stamp) {
    case REPAIR_UNBLOCK:
        unblock(cluster, item->node, item->peer);
        break;
    case REPAIR_SLOW_NODE:
        cluster->nodes[item->node].slow_us = 0;
        break;
    case REPAIR_SLOW_LINK:
        network->links[item->node][item->peer].slowness = 1;
        break;
    case REPAIR_LOSS:
        network->loss = cluster->healed_us ? cluster->world.plan.loss_after_heal : cluster->world.plan.loss;
        break;
    case REPAIR_FLAP:
        flap(cluster, item->node, item->peer);
        break;
    case REPAIR_HEAL:
        heal(cluster);
        break;
    case REPAIR_WARM:
        cluster->world.is_measuring = true;
        cluster->warm_figures = cluster->world.wire.figures;
        break;
    }
}

/* --- the run ------------------------------------------------------------------ */

static void connect_all(struct cluster *cluster)
{
    for (uint8_t a = 0; a < cluster->world.plan.nodes; a++)
        for (uint8_t b = 0; b < cluster->world.plan.nodes; b++)
            if (a != b)
                agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us,
                                                                        .kind = AGENDA_LINK_UP, .node = a, .peer = b});
}

/* Who is not a member at first is a learner, or not started yet. */
static void begin_nodes(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    unsigned others = ((1u << world->plan.nodes) - 1) & ~((1u << world->plan.members) - 1);
    world->learners = (uint16_t)(world->plan.starts_learners ? others : 0);
    for (uint8_t i = 0; i < world->plan.nodes; i++)
        if (i < world->plan.members || world->learners >> i & 1)
            node_init(&cluster->nodes[i], world, i);
        else
            node_init_down(&cluster->nodes[i], world, i);
}

static void begin(struct cluster *cluster, const struct plan_options *options)
{
    struct world *world = &cluster->world;
    plan_draw(&world->plan, options);
    world->now_us = 1000000;
    trace_init(&world->trace, options->is_verbose);
    agenda_init(&world->agenda);
    network_init(&world->network, &world->plan, &world->agenda);
    wire_init(&world->wire, &world->verdict, &world->plan.options);
    order_init(&world->order, &world->verdict, world->plan.nodes);
    world->wire.nodes = world->plan.nodes;
    world->wire.window = world->order.window = world->plan.window;
    world->order.newest_from = world->plan.options.first_lap;
    clients_init(&world->clients, &world->verdict);
    random_init(&world->process_random, random_mix(world->plan.seed ^ 0x70726f63));
    random_init(&cluster->fault_random, random_mix(world->plan.seed ^ 0x6661756c));
    random_init(&cluster->load_random, random_mix(world->plan.seed ^ 0x6c6f6164));
    begin_nodes(cluster);
    cluster->wall_high_ms = INT64_MIN;
    for (uint8_t i = 0; i < world->plan.nodes; i++)
        note_clock(cluster, i);
    connect_all(cluster);
    for (uint8_t node = 0; node < world->plan.members; node++)
        for (uint32_t i = 0; i < world->plan.clients && (world->plan.proposers >> node & 1); i++)
            cluster_open_session(cluster, node, UINT32_MAX);
    agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us + 1, .kind = AGENDA_FAULT});
    schedule_repair(cluster, world->now_us + world->plan.load_us, REPAIR_HEAL, 0, 0);
    if (world->plan.has_lives)
        lives_begin(cluster);
    if (world->plan.profile != PLAN_CHAOS)
        schedule_repair(cluster, world->now_us + WARM_UP_US, REPAIR_WARM, 0, 0);
}

static void end(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    struct agenda_item item;
    while (agenda_pop(&world->agenda, &item))
        if (item.kind == AGENDA_FRAME)
            frame_free(item.payload);
        else if (item.kind == AGENDA_INSTALL)
            mem_free(item.payload);
    for (uint8_t i = 0; i < world->plan.nodes; i++)
        node_deinit(&cluster->nodes[i]);
    clients_deinit(&world->clients);
    order_deinit(&world->order);
    wire_deinit(&world->wire);
    network_deinit(&world->network);
    agenda_deinit(&world->agenda);
}

/* In a run with lives only who is dead for good, or was never started. */
static bool is_excused(const struct cluster *cluster, uint8_t node)
{
    const struct node *n = &cluster->nodes[node];
    if (cluster->world.plan.has_lives)
        return cluster->dead >> node & 1 || !n->rabia;
    return n->is_crashed || n->needs_snapshot;
}

static bool is_held_to_progress(const struct cluster *cluster)
{
    unsigned able = 0;
    if (cluster->world.plan.has_lives)
        return !cluster->is_exceeded;
    for (uint8_t i = 0; i < cluster->world.plan.members; i++)
        able += !is_excused(cluster, i);
    return able >= cluster->world.plan.members / 2u + 1u;
}

/* Commands on replicas that can still be expected to finish. */
static size_t count_waiting(const struct cluster *cluster, uint64_t *command, uint8_t *node)
{
    const struct clients *clients = &cluster->world.clients;
    size_t waiting = 0;
    for (size_t i = 0; i < clients->session_count; i++) {
        const struct session *session = clients->sessions[i];
        if (session->is_gone || is_excused(cluster, session->node))
            continue;
        if (session->outstanding || session->issued < session->limit) {
            waiting += session->outstanding + (session->limit - session->issued);
            *command = session->number;
            *node = session->node;
        }
    }
    return waiting;
}

static bool have_met(const struct cluster *cluster)
{
    const struct node *first = NULL;
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        const struct node *node = &cluster->nodes[i];
        if (is_excused(cluster, i))
            continue;
        if (node->is_crashed || node->is_rejoining || node->disk.has_mark)
            return false;
        if (cluster->world.order.position[i] != cluster->world.order.count)
            return false;
        if (first && rabia_frontier(first->rabia) != rabia_frontier(node->rabia))
            return false;
        first = node;
    }
    return true;
}

static bool is_over(struct cluster *cluster)
{
    uint64_t command;
    uint8_t node;
    if (!cluster->healed_us)
        return false;
    if (!is_held_to_progress(cluster))
        return cluster->world.now_us > cluster->healed_us + 500000;
    return count_waiting(cluster, &command, &node) == 0 && have_met(cluster) &&
           (!cluster->world.plan.has_lives || lives_are_settled(cluster));
}

/* C1, C2 */
static void check_bound(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    if (!cluster->healed_us || !is_held_to_progress(cluster) ||
        world->now_us <= cluster->healed_us + cluster->progress_us)
        return;
    uint64_t session = 0;
    uint8_t node = 0;
    size_t waiting = count_waiting(cluster, &session, &node);
    if (waiting)
        verdict_fail(&world->verdict, "C1: %zu commands have not ended %" PRIu64 " us after the heal, as of session %" PRIu64
                     " at replica %u", waiting, cluster->progress_us, session, node);
    char text[256] = "";
    for (uint8_t i = 0; i < world->plan.nodes; i++) {
        const struct node *n = &cluster->nodes[i];
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, " %s%s%zu@%" PRIu64, n->is_crashed ? "x" : "",
                 n->disk.has_mark ? "r" : "", world->order.position[i], n->rabia ? rabia_frontier(n->rabia) : 0);
    }
    verdict_fail(&world->verdict, "C2: positions and frontiers have not met:%s", text);
}

static void dispatch(struct cluster *cluster, const struct agenda_item *item)
{
    switch ((enum agenda_kind)item->kind) {
    case AGENDA_CLIENT:
        run_client(cluster, item->stamp);
        break;
    case AGENDA_FAULT:
        next_fault(cluster);
        break;
    case AGENDA_REPAIR:
        repair(cluster, item);
        break;
    case AGENDA_LIFE:
        lives_next(cluster);
        break;
    case AGENDA_RISE:
        lives_rise(cluster, item->node);
        break;
    case AGENDA_FRAME:
        if (!network_arrives(&cluster->world.network, item->payload)) {
            frame_free(item->payload);
            break;
        }
        node_take(&cluster->nodes[item->node], *item);
        break;
    default:
        node_take(&cluster->nodes[item->node], *item);
        break;
    }
}

/* C3 */
static void check_economy(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    const struct plan *plan = &world->plan;
    if (plan->profile == PLAN_CHAOS)
        return;
    const struct wire_figures *now = &world->wire.figures, *warm = &cluster->warm_figures;
    if (now->forfeits > warm->forfeits || now->states > warm->states || now->asks > warm->asks ||
        now->fetches > warm->fetches)
        verdict_fail(&world->verdict, "C3: without faults: %" PRIu64 " forfeits, %" PRIu64 " states, %" PRIu64 " asks, %"
                     PRIu64 " fetches", now->forfeits - warm->forfeits, now->states - warm->states,
                     now->asks - warm->asks, now->fetches - warm->fetches);
    uint64_t bound = 2 * (plan->delay_us + plan->jitter_us) + 100;
    if (plan->options.flush_before_send)
        bound += 2 * plan->flush_max_us; /* one may be under way when ours is asked for */
    if (world->decide_max_us > bound)
        verdict_fail(&world->verdict, "C3: without faults: an owner took %" PRIu64 " us to decide, at most %" PRIu64
                     " were due", world->decide_max_us, bound);
    if (plan->profile == PLAN_ECONOMY_ONE && world->order_max_us > bound)
        verdict_fail(&world->verdict, "C3: without faults: a lone proposer waited %" PRIu64 " us for its order, at most %"
                     PRIu64 " were due", world->order_max_us, bound);
}

static void fill(const struct cluster *cluster, struct run_result *result)
{
    const struct world *world = &cluster->world;
    *result = (struct run_result){.verdict = world->verdict, .trace_hash = world->trace.hash,
                                  .trace_count = world->trace.total, .virtual_us = world->now_us - 1000000,
                                  .healed_for_us = cluster->healed_us ? world->now_us - cluster->healed_us : 0,
                                  .progress_us = cluster->progress_us, .steps = world->steps, .commands = world->clients.command_count,
                                  .slots = world->order.count, .forfeits = world->wire.figures.forfeits,
                                  .states = world->wire.figures.states, .votes = world->wire.figures.votes,
                                  .asks = world->wire.figures.asks, .decide_max_us = world->decide_max_us,
                                  .order_max_us = world->order_max_us, .gave_up = world->clients.gave_up};
    for (size_t i = 0; i < world->clients.command_count; i++)
        result->answered += world->clients.commands[i]->answered != UINT64_MAX;
    for (uint8_t i = 0; i < world->plan.members; i++)
        result->needed_snapshot |= cluster->nodes[i].needs_snapshot;
    result->lives = world->lives;
    result->rejoins = world->rejoins;
    result->installs = world->installs;
    result->changes = world->wire.list_count - 1;
    result->cuts = world->cuts;
    result->was_exceeded = cluster->is_exceeded;
}

static void print_nodes(const struct cluster *cluster, FILE *file)
{
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        const struct node *node = &cluster->nodes[i];
        struct rabia_status status;
        if (!node->rabia)
            continue;
        rabia_get_status(node->rabia, cluster->world.now_us, &status);
        fprintf(file, "replica %u%s%s: position %zu, frontier %" PRIu64 ", own next %" PRIu64 ", %" PRIu64
                " own in flight, %s propose, history from %" PRIu64 ", inbox %zu\n", i,
                node->is_crashed ? ", crashed" : "", node->needs_snapshot ? ", needs a snapshot" : "",
                cluster->world.order.position[i], status.frontier, status.own_next_lap, status.own_in_flight,
                rabia_can_propose(node->rabia) ? "may" : "may not", status.history_first_lap,
                node->inbox_end - node->inbox_head);
        if (cluster->world.plan.has_lives)
            fprintf(file, "  life %u, incarnation %u%s%s%s, members %#x from %" PRIu64 ", then %#x from %" PRIu64
                    ", learners %#x, J %" PRIu64 ", journal %zu of %zu on disk\n", node->life, node->incarnation,
                    node->disk.has_mark ? ", without memory" : "", status.is_rejoining ? ", rejoining" : "",
                    node->was_removed ? ", removed" : "", status.members, status.members_from, status.pending_members,
                    status.pending_from, status.learners, status.rejoin_lap, node->disk.flushed, node->disk.count);
    }
}

static void report(void *context)
{
    const struct cluster *cluster = context;
    fprintf(stderr, "--- seed %" PRIu64 ", the last events\n", cluster->world.plan.seed);
    trace_print(&cluster->world.trace, stderr, TRACE_SHOWN);
    print_nodes(cluster, stderr);
    plan_print(&cluster->world.plan, stderr);
    fflush(stderr);
}

/* The run under way, for a CHECK of the core that fails inside it. */
static struct cluster *current;

static void report_current(void *context)
{
    (void)context;
    if (current)
        report(current);
}

void cluster_run(const struct plan_options *options, FILE *failures, struct run_result *result)
{
    static bool has_reporter;
    if (!has_reporter)
        check_add_reporter(report_current, NULL);
    has_reporter = true;
    struct cluster *cluster = current = mem_calloc(1, sizeof *cluster);
    struct world *world = &cluster->world;
    begin(cluster, options);
    struct agenda_item item;
    while (!world->verdict.has_failed && !is_over(cluster) && agenda_pop(&world->agenda, &item)) {
        world->now_us = item.at_us;
        dispatch(cluster, &item);
        if (world->plan.has_lives)
            lives_tend(cluster);
        check_bound(cluster);
    }
    for (uint8_t i = 0; i < world->plan.nodes; i++)
        if (cluster->nodes[i].rabia)
            rabia_check(cluster->nodes[i].rabia);
    check_economy(cluster);
    clients_check(&world->clients);
    if (world->verdict.has_failed && failures) {
        fprintf(failures, "--- the last events\n");
        trace_print(&world->trace, failures, TRACE_SHOWN);
        print_nodes(cluster, failures);
        plan_print(&world->plan, failures);
        fprintf(failures, "FAILED seed %" PRIu64 " (%u members): %s\n", world->plan.seed, world->plan.members,
                world->verdict.text);
    }
    fill(cluster, result);
    end(cluster);
    mem_free(cluster);
    current = NULL;
}
