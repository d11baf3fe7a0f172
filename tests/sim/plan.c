#include "plan.h"

#include <inttypes.h>
#include <string.h>

#include "base/random.h"

enum { COMMANDS_MAX = 800 };

static bool chance(struct random *random, double share)
{
    return random_unit(random) < share;
}

static uint64_t between(struct random *random, uint64_t low, uint64_t high)
{
    return low + random_below(random, high - low + 1);
}

static uint64_t pick(struct random *random, const uint64_t *values, size_t count)
{
    return values[random_below(random, count)];
}
#define PICK(random, ...) \
    pick(random, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void draw_core(struct plan *plan, struct random *random)
{
    struct rabia_options *o = &plan->options;
    rabia_options_default(o);
    o->member_count = plan->members;
    o->cluster_seed = random_next(random);
    o->first_lap = PICK(random, 0, 0, 0, 1, 4095, 1000000007);
    if (plan->profile != PLAN_CHAOS)
        return;
    o->forfeit_floor_us = PICK(random, 500, 2000, 5000, 5000, 20000);
    o->forfeit_ceiling_us = o->forfeit_floor_us * PICK(random, 2, 10, 40);
    o->ask_interval_us = PICK(random, 2000, 5000, 20000, 20000, 50000);
    o->heartbeat_us = PICK(random, 5000, 20000, 100000, 100000);
    o->clock_tolerance_ms = PICK(random, 20, 500, 500);
    o->history_bytes_max = (size_t)PICK(random, 4 << 10, 64 << 10, 256 << 20, 256 << 20, 256 << 20);
    o->answer_bytes_max = (size_t)PICK(random, 1, 512, 4096, 1 << 20, 1 << 20);
    o->held_bytes_max = o->answer_bytes_max <= 512 ? 300 : (size_t)64 << 20; /* no draw of its own: seeds keep their plans */
    o->skip_ahead_max = (uint32_t)PICK(random, 1, 2, 8, 64, 64, RABIA_AHEAD / 2 - 1);
}

static void draw_network(struct plan *plan, struct random *random)
{
    plan->delay_us = PICK(random, 20, 100, 100, 300, 1000, 10000);
    plan->jitter_us = plan->delay_us * PICK(random, 0, 1, 1, 4) / PICK(random, 1, 4);
    plan->tail = chance(random, 0.4) ? random_unit(random) * 0.02 : 0;
    plan->is_fifo = chance(random, 0.5);
    plan->tells_links = chance(random, 0.7);
    plan->shares_batches = chance(random, 0.2);
    plan->loss = chance(random, 0.3) ? random_unit(random) * 0.1 : 0;
    plan->loss_after_heal = chance(random, 0.3) ? plan->loss / 4 : 0;
    plan->duplicate = chance(random, 0.3) ? random_unit(random) * 0.1 : 0;
    plan->lazy_us = PICK(random, 0, 200, 1000, 1000, 5000);
    plan->service_us = PICK(random, 0, 0, 1, 5, 20);
    plan->tick_late_us = PICK(random, 0, 0, 50, 1000);
}

static void draw_disk(struct plan *plan, struct random *random, int flush)
{
    plan->options.flush_before_send = flush < 0 ? chance(random, 0.5) : flush > 0;
    plan->gives_flushed = plan->options.flush_before_send || chance(random, 0.3);
    plan->flush_min_us = PICK(random, 10, 100, 1000);
    plan->flush_max_us = plan->flush_min_us * PICK(random, 1, 3, 20);
}

static void draw_load(struct plan *plan, struct random *random)
{
    plan->proposers = (uint16_t)((1u << plan->members) - 1);
    if (chance(random, 0.25))
        plan->proposers = (uint16_t)(1u << random_below(random, plan->members));
    plan->clients = (uint32_t)between(random, 1, 4);
    plan->pipeline = (uint32_t)PICK(random, 1, 1, 2, 4, 8);
    plan->batch_commands_max = (uint32_t)PICK(random, 1, 4, 64);
    plan->in_flight_max = (uint32_t)PICK(random, 1, 2, 4, 16, 64);
    plan->think_us = PICK(random, 200, 1000, 5000, 20000, 100000) + plan->delay_us;
    plan->read_share = (double)PICK(random, 10, 50, 50, 90) / 100.0;
    plan->clock_only_share = chance(random, 0.5) ? 0.02 : 0;
    plan->filler_share = chance(random, 0.3) ? 0.2 : 0;
    plan->filler_max = (uint32_t)PICK(random, 16, 1000, 20000);
    for (uint8_t i = 0; i < plan->members && chance(random, 0.5); i++)
        plan->wall_skew_ms[i] = (int64_t)random_below(random, 1200) - 600;
}

static void draw_faults(struct plan *plan, struct random *random)
{
    unsigned kinds = (unsigned)between(random, 0, 5);
    for (unsigned i = 0; i < kinds; i++)
        plan->faults |= 1u << random_below(random, PLAN_FAULTS);
    plan->fault_every_us = PICK(random, 10000, 50000, 200000);
    plan->fault_length_us = PICK(random, 2000, 20000, 100000, 400000);
    plan->load_us = PICK(random, 300000, 800000, 1500000);
}

/* Busy enough to be interesting, and no more: runs are many. */
static void limit_load(struct plan *plan)
{
    uint64_t clients = plan->clients * (uint64_t)__builtin_popcount(plan->proposers);
    uint64_t think_min = clients * plan->load_us / COMMANDS_MAX;
    if (plan->think_us < think_min)
        plan->think_us = think_min;
}

/* The same cost every time: equal delays, nothing lost, nothing late. */
static void draw_economy(struct plan *plan, struct random *random)
{
    plan->tail = plan->loss = plan->loss_after_heal = plan->duplicate = 0;
    plan->is_fifo = plan->tells_links = true;
    plan->service_us = plan->tick_late_us = 0;
    if (plan->delay_us > 1000)
        plan->delay_us = 1000; /* round trips stay far below the forfeit floor */
    plan->jitter_us = plan->delay_us / 20;
    if (plan->lazy_us > 1000)
        plan->lazy_us = 1000;
    plan->flush_max_us = plan->flush_min_us = 200;
    plan->proposers = (uint16_t)((1u << plan->members) - 1);
    if (plan->profile == PLAN_ECONOMY_ONE)
        plan->proposers = (uint16_t)(1u << random_below(random, plan->members));
    plan->faults = 0;
    plan->filler_share = 0;
    memset(plan->wall_skew_ms, 0, sizeof plan->wall_skew_ms);
    plan->load_us = 600000;
}

/* What a command may take at worst once all is well: a lane's time after all
 * the doublings there may be (suspicion.h), a few of the longest intervals
 * between repeats, some round trips. */
static uint64_t progress_bound(const struct plan *plan)
{
    const struct rabia_options *o = &plan->options;
    uint64_t round = 2 * (plan->delay_us + plan->jitter_us) * 20 + 4 * plan->flush_max_us + 2 * plan->lazy_us;
    return 300 * o->forfeit_ceiling_us + 4 * 32 * o->ask_interval_us + 4 * o->heartbeat_us + 64 * round + 2000000;
}

static void draw_lives(struct plan *plan, int lives)
{
    struct random r, *random = &r;
    random_init(random, random_mix(plan->seed ^ 0x6c69766573));
    plan->nodes = plan->members;
    plan->window = RABIA_WINDOW;
    bool is_drawn = chance(random, 0.6);
    plan->has_lives = plan->profile == PLAN_CHAOS && (lives < 0 ? is_drawn : lives > 0);
    if (!plan->has_lives)
        return;
    plan->window = (uint32_t)PICK(random, 64, 64, 256, 1024, RABIA_WINDOW);
    unsigned kinds = (unsigned)between(random, 1, 5);
    for (unsigned i = 0; i < kinds; i++)
        plan->life_faults |= 1u << random_below(random, PLAN_LIFE_FAULTS);
    plan->life_every_us = PICK(random, 20000, 60000, 200000);
    plan->down_us = PICK(random, 1000, 20000, 150000);
    plan->snapshot_us = PICK(random, 100, 5000, 50000);
    plan->mid_out = (double)PICK(random, 0, 3, 8) / 10;
    plan->again = (double)PICK(random, 0, 1, 5) / 10;
    plan->loses_data = (double)PICK(random, 0, 5, 10) / 10;
    plan->exceeds = chance(random, 0.1);
    plan->drops_unaware = chance(random, 0.5);
    plan->starts_learners = chance(random, 0.5);
    if (plan->life_faults >> PLAN_LIFE_MEMBERS & 1)
        plan->nodes = (uint8_t)between(random, plan->members + 1u, plan->members < 5 ? plan->members + 4u : RABIA_MEMBERS_MAX);
    struct rabia_options *o = &plan->options;
    if (chance(random, 0.5))
        o->history_bytes_max = (size_t)PICK(random, 500, 4000);
    if (o->skip_ahead_max >= plan->window / 4)
        o->skip_ahead_max = plan->window / 4 - 1;
    plan->progress_us *= 3;
}

void plan_draw(struct plan *plan, const struct plan_options *options)
{
    static const uint8_t sizes[] = {1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 7};
    struct random random;
    random_init(&random, random_mix(options->seed));
    memset(plan, 0, sizeof *plan);
    plan->seed = options->seed;
    plan->members = options->members ? (uint8_t)options->members : sizes[random_below(&random, sizeof sizes)];
    uint64_t profile = random_below(&random, 20);
    plan->profile = profile > 1 ? PLAN_CHAOS : profile ? PLAN_ECONOMY_ONE : PLAN_ECONOMY_ALL;
    if (options->profile >= 0)
        plan->profile = (enum plan_profile)options->profile;
    draw_core(plan, &random);
    draw_network(plan, &random);
    draw_disk(plan, &random, options->flush);
    draw_load(plan, &random);
    draw_faults(plan, &random);
    if (plan->profile != PLAN_CHAOS)
        draw_economy(plan, &random);
    limit_load(plan);
    plan->progress_us = progress_bound(plan);
    plan->uses_proposer = options->owner < 0 ? chance(&random, 0.5) : options->owner > 0;
    plan->batch_bytes_max = (size_t)PICK(&random, 1, 200, 1 << 20);
    plan->spread_us = plan->profile == PLAN_CHAOS ? PICK(&random, 0, 0, 200, 1000) : 0;
    draw_lives(plan, options->lives);
    plan->check_every = options->checks_every_step ? 1 : (uint32_t)PICK(&random, 499, 997, 1999);
}

void plan_print(const struct plan *plan, FILE *file)
{
    static const char *const profiles[] = {"chaos", "economy-one", "economy-all"};
    static const char *const faults[PLAN_FAULTS] = {"stop",    "crash",    "slow-node", "slow-link", "split",
                                                    "one-way", "one-link", "flap",      "renew",     "clock",
                                                    "loss",    "abandon",  "nudge"};
    const struct rabia_options *o = &plan->options;
    fprintf(file, "seed %" PRIu64 ": %u members, %s, proposers %#x, flush %s\n", plan->seed, plan->members,
            profiles[plan->profile], plan->proposers, o->flush_before_send ? "before send" : "in background");
    fprintf(file, "  faults:");
    for (unsigned i = 0; i < PLAN_FAULTS; i++)
        if (plan->faults >> i & 1)
            fprintf(file, " %s", faults[i]);
    fprintf(file, " every %" PRIu64 " us for %" PRIu64 " us; load for %" PRIu64 " us\n", plan->fault_every_us,
            plan->fault_length_us, plan->load_us);
    fprintf(file, "  network: delay %" PRIu64 "+%" PRIu64 " us, tail %.3f, loss %.3f then %.3f, twice %.3f%s%s%s, lazy %"
            PRIu64 " us\n", plan->delay_us, plan->jitter_us, plan->tail, plan->loss, plan->loss_after_heal,
            plan->duplicate, plan->is_fifo ? ", fifo" : "", plan->tells_links ? ", tells links" : "",
            plan->shares_batches ? ", shares batches" : "", plan->lazy_us);
    fprintf(file, "  load: %u clients, pipeline %u, think %" PRIu64 " us, reads %.2f, batch %u, in flight %u, made by the %s\n",
            plan->clients, plan->pipeline, plan->think_us, plan->read_share, plan->batch_commands_max,
            plan->in_flight_max, plan->uses_proposer ? "proposer" : "model");
    fprintf(file, "  core: forfeit %" PRIu64 "..%" PRIu64 " us, ask %" PRIu64 " us, heartbeat %" PRIu64
            " us, skip ahead %u, history %zu, answer %zu, first lap %" PRIu64 "\n", o->forfeit_floor_us,
            o->forfeit_ceiling_us, o->ask_interval_us, o->heartbeat_us, o->skip_ahead_max, o->history_bytes_max,
            o->answer_bytes_max, o->first_lap);
    static const char *const lives[PLAN_LIFE_FAULTS] = {"kill", "power", "power-all", "wipe", "snapshot", "members"};
    if (!plan->has_lives)
        return;
    fprintf(file, "  lives: window %u, %u processes,", plan->window, plan->nodes);
    for (unsigned i = 0; i < PLAN_LIFE_FAULTS; i++)
        if (plan->life_faults >> i & 1)
            fprintf(file, " %s", lives[i]);
    fprintf(file, " every %" PRIu64 " us, down %" PRIu64 " us, snapshots take %" PRIu64 " us, inside an out %.1f, again %.1f, data lost %.1f%s%s%s\n",
            plan->life_every_us, plan->down_us, plan->snapshot_us, plan->mid_out, plan->again, plan->loses_data,
            plan->exceeds ? ", may exceed f" : "", plan->drops_unaware ? ", drops unaware" : "",
            plan->starts_learners ? ", starts with learners" : "");
}
