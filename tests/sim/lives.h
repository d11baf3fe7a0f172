/* The faults that end lives, and the operator: who dies and how, when the next
 * life begins, who takes a snapshot, who learns, who becomes a member and who
 * is removed.
 *
 * The bound: of every list that is or may come to be in force, at most f members
 * are dead or without memory at once; a run whose plan says so may exceed it and is
 * held to safety alone then.  How many are down with their memory is not
 * bounded, before the heal. */
#ifndef SIM_LIVES_H
#define SIM_LIVES_H

#include "cluster_inside.h"

void lives_begin(struct cluster *cluster);
/* The next fault; also what the operator sees to now and then. */
void lives_next(struct cluster *cluster);
void lives_rise(struct cluster *cluster, uint8_t node);
/* After every event: buries who died in it. */
void lives_tend(struct cluster *cluster);
void lives_heal(struct cluster *cluster);
/* Whether the bound allows this node to die for good, or to lose its memory. */
bool lives_may_lose(const struct cluster *cluster, uint8_t node);
/* Every member serves its clients again. */
bool lives_are_settled(const struct cluster *cluster);

#endif
