/* How a new cluster comes to be: all members present once, all empty
 * (protocol.md, Restart, "A new cluster").
 *
 * Every process draws an incarnation at start.  A member that knows the
 * incarnations of all says READY for exactly that vector; a member that hears
 * READY for the same vector from all others is FORMED, and never again says
 * READY for another.  So two members that are formed have the same vector: each
 * needed the other's READY for it.  A member that was too late to hear all
 * READYs adopts the vector of a formed one, if its own incarnation is in it; if
 * it is not, this process is a restart without memory.
 *
 *   GATHERING --all known--> READY --READY of all for the same vector--> FORMED
 *       ^                      |                                           ^
 *       +--an incarnation changed                a formed peer knows us ---+
 *
 * Pure logic; link.c and replica.c carry the words. */
#ifndef REPLICA_FORMATION_H
#define REPLICA_FORMATION_H

#include <stdbool.h>
#include <stdint.h>

#include "consensus/rabia.h"

enum formation_stage { FORMATION_GATHERING, FORMATION_READY, FORMATION_FORMED, FORMATION_STAGE_END };

struct formation {
    uint8_t member_count, self;
    enum formation_stage stage;
    uint64_t incarnations[RABIA_MEMBERS_MAX]; /* 0: unknown; fixed once formed */
    bool is_ready[RABIA_MEMBERS_MAX];         /* said READY for our vector */
    bool is_forgotten; /* a formed peer knows another incarnation of us */
};

void formation_init(struct formation *f, uint8_t member_count, uint8_t self, uint64_t incarnation);

/* A new incarnation of peer introduced itself.  False if the cluster is formed
 * with another: the peer must be refused. */
bool formation_meet(struct formation *f, uint8_t peer, uint64_t incarnation);

/* A peer said its stage and its view.  Returns true if our own stage or view
 * changed, so that it must be told to all. */
bool formation_hear(struct formation *f, uint8_t peer, enum formation_stage stage,
                    const uint64_t incarnations[static RABIA_MEMBERS_MAX]);

/* Seed of the formed cluster: coin, hash secret. */
uint64_t formation_seed(const struct formation *f, const char *cluster_name);

#endif
