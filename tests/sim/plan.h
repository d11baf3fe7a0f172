/* Everything a run is made of, drawn from its seed.
 *
 * Faults are drawn as a set first (swarm testing, Groce et al. 2012): a run
 * that has every fault at once rarely gets far enough to show a subtle one. */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "consensus/rabia.h"

enum plan_profile {
    PLAN_CHAOS = 0,
    PLAN_ECONOMY_ONE, /* no faults, one proposer: what a decision costs */
    PLAN_ECONOMY_ALL  /* no faults, all propose */
};

enum plan_fault {
    PLAN_FAULT_STOP, PLAN_FAULT_CRASH, PLAN_FAULT_SLOW_NODE, PLAN_FAULT_SLOW_LINK, PLAN_FAULT_SPLIT, PLAN_FAULT_ONE_WAY,
    PLAN_FAULT_ONE_LINK, PLAN_FAULT_FLAP, PLAN_FAULT_RENEW, PLAN_FAULT_CLOCK, PLAN_FAULT_LOSS, PLAN_FAULT_ABANDON,
    PLAN_FAULT_NUDGE,
    PLAN_FAULTS
};

/* Faults of lives, drawn apart from the others so that a seed's other faults
 * do not depend on them. */
enum plan_life_fault {
    PLAN_LIFE_KILL, PLAN_LIFE_POWER, PLAN_LIFE_POWER_ALL, PLAN_LIFE_WIPE, PLAN_LIFE_SNAPSHOT, PLAN_LIFE_MEMBERS,
    PLAN_LIFE_FAULTS
};

/* What the command line fixes; the rest is the seed's. */
struct plan_options {
    uint64_t seed;
    int members;        /* 0: by seed */
    int profile;        /* -1: by seed */
    int flush;          /* -1: by seed, else flush_before_send */
    int owner;          /* -1: by seed, 0 the model, 1 the proposer */
    int lives;          /* -1: by seed, 0 every process lives once, 1 it has several lives */
    bool checks_every_step;
    bool is_verbose;
};

struct plan {
    uint64_t seed;
    enum plan_profile profile;
    uint8_t members;
    uint16_t proposers; /* members with clients */

    uint32_t faults; /* bit per enum plan_fault */
    uint64_t fault_every_us, fault_length_us, load_us;

    uint64_t delay_us, jitter_us;
    double tail, loss, loss_after_heal, duplicate;
    bool is_fifo, tells_links, shares_batches;
    uint64_t lazy_us;
    uint64_t service_us, tick_late_us;

    bool gives_flushed; /* FLUSHED comes although nothing waits for it */
    uint64_t flush_min_us, flush_max_us;

    bool uses_proposer; /* replica/proposer.h makes the batches, else the model of owner.h */
    size_t batch_bytes_max;
    uint64_t spread_us;
    uint32_t clients, pipeline, batch_commands_max, in_flight_max;
    uint64_t think_us;
    double read_share, clock_only_share, filler_share;
    uint32_t filler_max;
    int64_t wall_skew_ms[RABIA_MEMBERS_MAX];

    bool has_lives;
    uint8_t nodes; /* processes: members, and those who may become one */
    uint32_t window;
    uint32_t life_faults; /* bit per enum plan_life_fault */
    uint64_t life_every_us, down_us, snapshot_us;
    double mid_out;       /* share of deaths that come while an out is honoured */
    double again;         /* share of lives that end soon after they began */
    double loses_data;    /* share of wipes that take the snapshot, too */
    bool exceeds;         /* more than f may lose their memory: safety alone is asserted */
    bool drops_unaware;   /* frames whose sender has not heard of our new life are dropped whole */
    bool starts_learners; /* else they are started when needed */

    struct rabia_options options; /* self is to be set */
    uint64_t progress_us;         /* after the heal, all must have ended by then */
    uint32_t check_every;         /* steps from one rabia_check to the next */
};

void plan_draw(struct plan *plan, const struct plan_options *options);
void plan_print(const struct plan *plan, FILE *file);

#endif
