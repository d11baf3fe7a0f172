/* A run's state, for the files that make it: cluster.c and lives.c. */
#ifndef SIM_CLUSTER_INSIDE_H
#define SIM_CLUSTER_INSIDE_H

#include "node.h"

enum { COMMANDS_AFTER_HEAL = 6 /* per client */, LIVES_MASKS_MAX = 128 };

struct cluster {
    struct world world;
    struct node nodes[RABIA_MEMBERS_MAX];
    struct random fault_random, load_random, life_random;
    uint64_t healed_us; /* 0: not yet */
    uint8_t crashed;
    uint16_t dead; /* for good; bit per node */
    struct wire_figures warm_figures;
    uint64_t progress_us; /* the plan's bound, and the time clocks have run ahead */
    int64_t wall_high_ms; /* furthest any clock was ahead so far */
    uint64_t marker; /* unique arguments */

    /* lives.c */
    uint8_t doom[RABIA_MEMBERS_MAX]; /* how the doomed die */
    uint16_t opened_after_heal;
    uint16_t ever_members;
    uint16_t masks[LIVES_MASKS_MAX]; /* changes that were asked for and may still come */
    size_t mask_count;
    bool is_exceeded; /* more than f lost their memory: safety alone is asserted */
};

struct session *cluster_open_session(struct cluster *cluster, uint8_t node, uint32_t limit);
/* Their commands will have no answer. */
void cluster_drop_sessions(struct cluster *cluster, uint8_t node);
void cluster_end_process(struct cluster *cluster, uint8_t node);
void cluster_trace_fault(struct cluster *cluster, enum trace_fault fault, uint8_t node, uint8_t peer, uint64_t extra);

#endif
