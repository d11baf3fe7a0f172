/* A run: one seed, one cluster, one virtual clock.
 *
 *   load and faults --(heal)--> load without faults --> nothing left to do
 *
 * Until the heal only safety is asserted.  From then on every command must end
 * and all frontiers must meet within the plan's bound:
 *   C1  every command of a live replica ends
 *   C2  all live replicas reach the same position and the same frontier
 *   C3  an economy run makes no forfeit, phase or ASK once it is warm, and
 *       decides within one round trip
 * In runs without lives, replicas that need a snapshot are held to safety alone;
 * so is everybody, if they leave less than a quorum.  In runs with lives
 * (lives.h) all processes come back, and C1 and C2 include rejoining, catching up
 * by snapshots and pending changes of members. */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "plan.h"
#include "verdict.h"

struct run_result {
    struct verdict verdict;
    uint64_t trace_hash, trace_count;
    uint64_t virtual_us, healed_for_us; /* length of the run; and from the heal to the end */
    uint64_t progress_us; /* what healed_for_us was allowed to be */
    uint64_t steps, commands, answered, slots;
    uint64_t forfeits, states, votes, asks;
    uint64_t decide_max_us, order_max_us, gave_up;
    bool needed_snapshot;
    uint64_t lives, rejoins, installs, changes, cuts; /* runs with lives: lives begun, journals forgotten */
    bool was_exceeded;
};

/* A failure's plan and trace go to failures (NULL: to nobody). */
void cluster_run(const struct plan_options *options, FILE *failures, struct run_result *result);

#endif
