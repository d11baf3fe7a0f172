/* Decided batches kept for peers that are behind.
 *
 * A ring of (lap, lane, batch) in total order.  Slots that are not in it, at
 * or beyond first_lap and below the frontier, were NULL.
 *
 * I1: entries strictly rise by (lap, lane), all at or beyond first_lap.
 * I2: bytes is the sum over entries of size + HISTORY_ENTRY_COST, at most
 *     bytes_max unless a single entry is larger. */
#ifndef CONSENSUS_HISTORY_H
#define CONSENSUS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/batch.h"

enum { HISTORY_ENTRY_COST = 64 };

struct history_entry {
    uint64_t lap;
    uint8_t lane;
    struct batch *batch;
};

struct history {
    struct history_entry *entries; /* capacity is a power of two, or 0 */
    size_t head, count, capacity;
    size_t bytes, bytes_max;
    uint64_t first_lap; /* laps from here on are complete */
};

void history_init(struct history *h, uint64_t first_lap, size_t bytes_max);
void history_deinit(struct history *h);
/* Takes a hold of batch.  Old laps are dropped while bytes exceed the limit. */
void history_add(struct history *h, uint64_t lap, uint8_t lane, struct batch *batch);
/* Nobody needs laps below lap any more. */
void history_trim(struct history *h, uint64_t lap);
/* index < count; 0 is the oldest. */
const struct history_entry *history_at(const struct history *h, size_t index);
/* Index of the first entry at or beyond (lap, lane).  Cost: O(log count). */
size_t history_find(const struct history *h, uint64_t lap, uint8_t lane);
/* The slot's batch, borrowed; NULL if it was decided NULL. */
struct batch *history_batch(const struct history *h, uint64_t lap, uint8_t lane);
void history_check(const struct history *h);

#endif
