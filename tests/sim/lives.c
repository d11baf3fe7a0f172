#include "lives.h"

#include "base/alloc.h"
#include "base/check.h"

enum { TEND_EVERY_US = 20000 };

static uint16_t bit_of(uint8_t node)
{
    return (uint16_t)(1u << node);
}

static bool is_up(const struct cluster *cluster, uint8_t node)
{
    return !cluster->nodes[node].is_crashed;
}

/* --- the bound ---------------------------------------------------------------- */

static uint16_t without_memory(const struct cluster *cluster)
{
    uint16_t mask = cluster->dead;
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++)
        if (cluster->nodes[i].disk.has_mark)
            mask |= bit_of(i);
    return mask;
}

static bool is_within(uint16_t list, uint16_t lost)
{
    int n = __builtin_popcount(list);
    return __builtin_popcount(list & lost) <= n - (n / 2 + 1);
}

static bool is_within_all(const struct cluster *cluster, uint16_t lost)
{
    const struct wire_checker *wire = &cluster->world.wire;
    for (size_t i = wire->list_count > 2 ? wire->list_count - 2 : 0; i < wire->list_count; i++)
        if (!is_within(wire->lists[i].mask, lost))
            return false;
    for (size_t i = 0; i < cluster->mask_count; i++)
        if (!is_within(cluster->masks[i], lost))
            return false;
    return true;
}

bool lives_may_lose(const struct cluster *cluster, uint8_t node)
{
    return is_within_all(cluster, without_memory(cluster) | bit_of(node));
}

/* --- deaths ------------------------------------------------------------------- */

static bool loses_memory(const struct cluster *cluster, enum plan_life_fault how)
{
    return how == PLAN_LIFE_WIPE || (how != PLAN_LIFE_KILL && !cluster->world.plan.options.flush_before_send);
}

static void lose(struct cluster *cluster, uint8_t node, enum plan_life_fault how)
{
    struct random *random = &cluster->life_random;
    if (how == PLAN_LIFE_WIPE)
        node_lose_all(&cluster->nodes[node], random_unit(random) < cluster->world.plan.loses_data);
    else if (loses_memory(cluster, how))
        node_lose_all(&cluster->nodes[node], false);
    else if (how != PLAN_LIFE_KILL)
        node_lose_tail(&cluster->nodes[node], random);
}

static void rise_at(struct cluster *cluster, uint8_t node, uint64_t in_us)
{
    agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us + in_us, .kind = AGENDA_RISE,
                                                            .node = node});
}

static void end_life(struct cluster *cluster, uint8_t node, enum plan_life_fault how)
{
    cluster_end_process(cluster, node);
    lose(cluster, node, how);
    rise_at(cluster, node, 1 + random_below(&cluster->life_random, 2 * cluster->world.plan.down_us));
}

static void doom(struct cluster *cluster, uint8_t node, enum plan_life_fault how)
{
    struct node *n = &cluster->nodes[node];
    if (n->is_crashed)
        return;
    if (loses_memory(cluster, how) && !lives_may_lose(cluster, node) && !n->disk.has_mark) {
        if (!cluster->world.plan.exceeds)
            return;
        cluster->is_exceeded = true;
    }
    cluster_trace_fault(cluster, TRACE_FAULT_DIES, node, 0, how);
    cluster->doom[node] = (uint8_t)how;
    if (random_unit(&cluster->life_random) < cluster->world.plan.mid_out)
        n->is_doomed = true;
    else
        end_life(cluster, node, how);
}

void lives_tend(struct cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        struct node *node = &cluster->nodes[i];
        enum plan_life_fault how = (enum plan_life_fault)cluster->doom[i];
        if (node->has_died && loses_memory(cluster, how) && !node->disk.has_mark && !lives_may_lose(cluster, i)) {
            if (cluster->world.plan.exceeds)
                cluster->is_exceeded = true;
            else
                how = PLAN_LIFE_KILL; /* the bound has moved since it was doomed */
        }
        if (node->has_died)
            end_life(cluster, i, how);
        if (node->has_lost_track || (node->was_removed && !node->is_crashed))
            cluster_drop_sessions(cluster, i);
        node->has_lost_track = false;
    }
}

static void connect(struct cluster *cluster, uint8_t node)
{
    for (uint8_t peer = 0; peer < cluster->world.plan.nodes; peer++) {
        if (peer == node || !is_up(cluster, peer))
            continue;
        uint64_t at = cluster->world.now_us + random_below(&cluster->life_random, 2000);
        agenda_add(&cluster->world.agenda,
                   (struct agenda_item){.at_us = at, .kind = AGENDA_LINK_UP, .node = node, .peer = peer});
        agenda_add(&cluster->world.agenda,
                   (struct agenda_item){.at_us = at, .kind = AGENDA_LINK_UP, .node = peer, .peer = node});
    }
}

/* Several ends in a row: soon, in one of its next outs. */
static void rise_and_fall(struct cluster *cluster, uint8_t node)
{
    unsigned faults = cluster->world.plan.life_faults;
    bool is_power = faults & (1u << PLAN_LIFE_POWER | 1u << PLAN_LIFE_POWER_ALL) && random_below(&cluster->life_random, 2);
    enum plan_life_fault how = is_power && cluster->world.plan.options.flush_before_send ? PLAN_LIFE_POWER : PLAN_LIFE_KILL;
    cluster->doom[node] = (uint8_t)how;
    cluster->nodes[node].is_doomed = true;
}

void lives_rise(struct cluster *cluster, uint8_t node)
{
    struct node *n = &cluster->nodes[node];
    if (!n->is_crashed || cluster->dead & bit_of(node))
        return;
    node_rise(n);
    connect(cluster, node);
    bool is_again = !cluster->healed_us && random_unit(&cluster->life_random) < cluster->world.plan.again;
    if (is_again && !n->has_died)
        rise_and_fall(cluster, node);
}

/* --- the operator ------------------------------------------------------------- */

static void tell_learners(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    cluster_trace_fault(cluster, TRACE_FAULT_LEARNERS, 0, 0, world->learners);
    for (uint8_t i = 0; i < world->plan.nodes; i++)
        agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us, .kind = AGENDA_LEARNERS, .node = i,
                                                        .stamp = world->learners});
}

static void start_learner(struct cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        if (cluster->nodes[i].rabia)
            continue;
        cluster->world.learners |= bit_of(i);
        tell_learners(cluster);
        lives_rise(cluster, i);
        return;
    }
}

/* Near enough to be given a voice, and with its memory. */
static bool is_ready(const struct cluster *cluster, uint8_t node, uint64_t frontier)
{
    const struct node *n = &cluster->nodes[node];
    return n->rabia && !n->is_crashed && !n->disk.has_mark && !(cluster->ever_members & bit_of(node)) &&
           rabia_frontier(n->rabia) + cluster->world.plan.window / 2 > frontier;
}

static uint16_t draw_one(struct cluster *cluster, uint16_t mask)
{
    if (mask == 0)
        return 0;
    uint64_t skip = random_below(&cluster->life_random, (uint64_t)__builtin_popcount(mask));
    while (skip-- > 0)
        mask &= (uint16_t)(mask - 1u);
    return (uint16_t)(mask & -mask);
}

/* One or two more, or less, or one for another; the dead go first. */
static uint16_t draw_list(struct cluster *cluster, uint16_t mask, uint64_t frontier)
{
    uint16_t ready = 0;
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++)
        if (is_ready(cluster, i, frontier))
            ready |= bit_of(i);
    uint64_t choice = random_below(&cluster->life_random, 3), times = 1 + random_below(&cluster->life_random, 2);
    for (uint64_t i = 0; i < times; i++) {
        uint16_t in = choice < 2 ? draw_one(cluster, ready) : 0, lost = without_memory(cluster) & mask, out = 0;
        if (choice > 0)
            out = draw_one(cluster, lost && random_below(&cluster->life_random, 4) ? lost : mask);
        mask = (uint16_t)((mask | in) & ~(unsigned)out);
        ready &= (uint16_t)~in;
    }
    return mask;
}

static void change_members(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    uint8_t node = (uint8_t)random_below(&cluster->life_random, world->plan.nodes);
    const struct wire_list *newest = &world->wire.lists[world->wire.list_count - 1];
    if (!node_is_serving(&cluster->nodes[node]) || cluster->mask_count == LIVES_MASKS_MAX)
        return;
    uint64_t frontier = rabia_frontier(cluster->nodes[node].rabia);
    uint16_t mask = draw_list(cluster, newest->mask, frontier);
    bool is_early = newest->from > frontier && random_below(&cluster->life_random, 4); /* would be refused */
    if (mask == 0 || mask == newest->mask || is_early || !is_within(mask, without_memory(cluster)))
        return;
    cluster->masks[cluster->mask_count++] = mask;
    cluster->ever_members |= mask;
    world->plan.proposers |= mask;
    struct session *session = clients_open(&world->clients, node, 1);
    struct command *command = clients_call(&world->clients, session, DATA_MEMBERS, DATA_KEYS, mask, newest->mask);
    cluster_trace_fault(cluster, TRACE_FAULT_MEMBERS, node, (uint8_t)mask, 0);
    node_take(&cluster->nodes[node], (struct agenda_item){.kind = AGENDA_COMMAND, .payload = command, .node = node});
}

/* --- catching up, clients ------------------------------------------------------ */

static void fetch_snapshot(struct cluster *cluster, uint8_t node)
{
    struct world *world = &cluster->world;
    uint8_t first = (uint8_t)random_below(&cluster->life_random, world->plan.nodes);
    for (uint8_t i = 0; i < world->plan.nodes; i++) {
        uint8_t peer = (uint8_t)((first + i) % world->plan.nodes);
        if (peer == node || !is_up(cluster, peer) ||
            rabia_frontier(cluster->nodes[peer].rabia) <= rabia_frontier(cluster->nodes[node].rabia))
            continue;
        cluster->nodes[node].needs_snapshot = false;
        uint64_t at = world->now_us + random_below(&cluster->life_random, world->plan.snapshot_us + 1);
        agenda_add(&world->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_INSTALL, .node = node, .peer = peer,
                                                        .life = cluster->nodes[node].life,
                                                        .payload = node_copy_data(&cluster->nodes[peer])});
        return;
    }
}

static unsigned count_sessions(const struct cluster *cluster, uint8_t node)
{
    const struct clients *clients = &cluster->world.clients;
    unsigned count = 0;
    for (size_t i = 0; i < clients->session_count; i++)
        count += clients->sessions[i]->node == node && !clients->sessions[i]->is_gone &&
                 clients->sessions[i]->issued < clients->sessions[i]->limit;
    return count;
}

static void open_sessions(struct cluster *cluster, uint8_t node)
{
    const struct plan *plan = &cluster->world.plan;
    bool is_healed = cluster->healed_us > 0;
    if (!(plan->proposers & bit_of(node)) || !node_is_serving(&cluster->nodes[node]) ||
        (is_healed && cluster->opened_after_heal & bit_of(node)))
        return;
    for (unsigned i = is_healed ? 0 : count_sessions(cluster, node); i < plan->clients; i++)
        cluster_open_session(cluster, node, is_healed ? COMMANDS_AFTER_HEAL : UINT32_MAX);
    if (is_healed)
        cluster->opened_after_heal |= bit_of(node);
}

static void see_to(struct cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        if (!is_up(cluster, i))
            continue;
        open_sessions(cluster, i);
        if (cluster->nodes[i].needs_snapshot)
            fetch_snapshot(cluster, i);
    }
}

/* --- the whole ------------------------------------------------------------------ */

static void commit(struct cluster *cluster, enum plan_life_fault fault)
{
    uint8_t node = (uint8_t)random_below(&cluster->life_random, cluster->world.plan.nodes);
    switch (fault) {
    case PLAN_LIFE_KILL:
    case PLAN_LIFE_POWER:
    case PLAN_LIFE_WIPE:
        doom(cluster, node, fault);
        break;
    case PLAN_LIFE_POWER_ALL:
        for (uint8_t i = 0; i < cluster->world.plan.nodes; i++)
            if (random_below(&cluster->life_random, 8))
                doom(cluster, i, cluster->world.plan.options.flush_before_send ? fault : PLAN_LIFE_KILL);
        break;
    case PLAN_LIFE_SNAPSHOT:
        if (is_up(cluster, node) && !cluster->nodes[node].disk.has_mark)
            node_begin_snapshot(&cluster->nodes[node]);
        break;
    case PLAN_LIFE_MEMBERS:
        if (random_below(&cluster->life_random, 3) == 0)
            start_learner(cluster);
        else
            change_members(cluster);
        break;
    case PLAN_LIFE_FAULTS:
        CHECK_UNREACHABLE();
    }
}

void lives_begin(struct cluster *cluster)
{
    random_init(&cluster->life_random, random_mix(cluster->world.plan.seed ^ 0x6c697665));
    cluster->ever_members = cluster->world.wire.lists[0].mask;
    agenda_add(&cluster->world.agenda, (struct agenda_item){.at_us = cluster->world.now_us + 2, .kind = AGENDA_LIFE});
}

void lives_next(struct cluster *cluster)
{
    struct world *world = &cluster->world;
    uint64_t wait = TEND_EVERY_US;
    if (!cluster->healed_us) {
        unsigned fault;
        do
            fault = (unsigned)random_below(&cluster->life_random, PLAN_LIFE_FAULTS);
        while (!(world->plan.life_faults >> fault & 1));
        commit(cluster, (enum plan_life_fault)fault);
        lives_tend(cluster);
        wait = 1 + random_below(&cluster->life_random, 2 * world->plan.life_every_us);
    }
    see_to(cluster);
    agenda_add(&world->agenda, (struct agenda_item){.at_us = world->now_us + wait, .kind = AGENDA_LIFE});
}

void lives_heal(struct cluster *cluster)
{
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        cluster->nodes[i].is_doomed = false;
        if (!is_up(cluster, i) && cluster->nodes[i].rabia)
            rise_at(cluster, i, random_below(&cluster->life_random, 100000));
    }
    cluster->opened_after_heal = 0;
}

bool lives_are_settled(const struct cluster *cluster)
{
    const struct wire_checker *wire = &cluster->world.wire;
    unsigned members = wire->lists[wire->list_count - 1].mask & ~(unsigned)cluster->dead;
    for (uint8_t i = 0; i < cluster->world.plan.nodes; i++) {
        bool should_serve = members >> i & 1 && cluster->world.plan.proposers >> i & 1;
        if (should_serve && !(cluster->opened_after_heal & bit_of(i)))
            return false;
        if (cluster->nodes[i].rabia && !(cluster->dead & bit_of(i)) && !is_up(cluster, i))
            return false;
    }
    return true;
}
