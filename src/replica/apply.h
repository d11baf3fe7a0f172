/* Running agreed batches against the keyspace.
 *
 * Every replica runs the writes of every batch; the owner also runs the reads
 * that rode in it and writes the replies.  Commands run in runs of
 * APPLY_RUN_MAX, whose keys are prefetched together. */
#ifndef REPLICA_APPLY_H
#define REPLICA_APPLY_H

#include "base/buf.h"
#include "command/table.h"
#include "consensus/batch.h"
#include "replica/batch_code.h"
#include "replica/proposer.h"
#include "replica/replica.h"

enum {
    APPLY_RUN_MAX = 16,
    /* Keys removed because their time has come, at most, per batch that
     * carries a clock: part of what replicas must do alike. */
    APPLY_EXPIRE_MAX = 128,
};

/* A change of the roster, at its place in the order: edits it and writes the reply, alike on all
 * replicas. */
typedef void apply_roster_fn(void *context, struct call *call, uint64_t lap);

struct apply {
    struct keyspace *keyspace;
    const struct command_table *commands;
    struct replica_clients clients;
    struct batch_arguments arguments;
    struct reply discard;
    uint64_t seed;          /* of the cluster: random choices derive from it and the slot */
    uint64_t commands_applied;
    uint64_t position;      /* of the newest batch that changed data */
    apply_roster_fn *roster; /* runs what is flagged COMMAND_ROSTER; NULL: its handler does */
    void *roster_context;
    const struct proposer_client *silent; /* the replica's own commands: nobody is answered */
};

void apply_init(struct apply *a, struct keyspace *ks, const struct command_table *commands,
                const struct replica_clients *clients);
void apply_deinit(struct apply *a);

static inline uint64_t position_of(uint64_t lap, uint8_t lane)
{
    return lap * 16 + lane;
}

/* A batch of another member, or an own one nobody waits for. */
void apply_batch(struct apply *a, const struct batch *batch, uint64_t lap, uint8_t lane);
/* An own batch: answers its clients. */
void apply_own(struct apply *a, const struct own_batch *own, uint64_t lap, uint8_t lane);

#endif
