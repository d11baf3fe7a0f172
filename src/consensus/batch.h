/* A batch: the commands one owner puts in one slot.
 *
 * Immutable once made, shared by reference: the owner's queue, the slot, the
 * history kept for peers that are behind and the frames on their way out all
 * hold the same bytes.  Single-threaded, so the count is a plain integer.
 * consensus/ never looks into bytes. */
#ifndef CONSENSUS_BATCH_H
#define CONSENSUS_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RABIA_NO_LAP UINT64_MAX

enum { BATCH_BYTES_MAX = 1 << 30 }; /* what a decoder accepts; owners stay far below */

struct batch {
    uint32_t references;
    uint32_t size;         /* bytes behind the header */
    uint64_t clock_ms;     /* owner's wall clock, unix milliseconds; 0: carries none */
    uint64_t previous_lap; /* protocol.md, Proposing again: the owner's previous batch that is not
                              empty, if it was undecided when this one was sent; else RABIA_NO_LAP */
    char bytes[];
};

/* One reference, the caller's; bytes are uninitialised. */
struct batch *batch_create(size_t size);
struct batch *batch_hold(struct batch *batch);
/* NULL is allowed. */
void batch_release(struct batch *batch);

/* A batch of reads alone: it changes nothing, needs no flush, and counts as
 * NULL for the data, the digest and the checkers. */
static inline bool batch_is_empty(const struct batch *batch)
{
    return batch->size == 0 && batch->clock_ms == 0;
}

#endif
