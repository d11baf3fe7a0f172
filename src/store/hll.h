/* hll: HyperLogLog, how many different elements were seen, to within 0.81 %, in
 * at most 12 KiB.
 *
 * An element's 64-bit hash names one of 16384 registers with its low 14 bits;
 * the others, read as a coin thrown again and again, give the register's rank:
 * the place of the first 1, up to 51.  A register keeps the greatest rank it saw.
 * The estimate from the registers is that of O. Ertl, "New cardinality estimation
 * algorithms for HyperLogLog sketches" (arXiv:1702.01284), algorithm 6.
 *
 * A counter is a string, and its bytes are those Redis gives it, so that
 * counters move between the two as strings do:
 *
 *   4 bytes   "HYLL"
 *   1 byte    0 dense, 1 sparse
 *   3 bytes   zero
 *   8 bytes   the last estimate, little-endian; top bit set: out of date
 *
 * Dense: 16384 registers of 6 bits, the first in the lowest bits of the first
 * byte.  Sparse: runs of equal registers, in order, covering all of them:
 *
 *   00nnnnnn            n + 1 registers at 0
 *   01nnnnnn nnnnnnnn   n + 1 registers at 0
 *   1vvvvvnn            n + 1 registers at v + 1
 *
 * A counter is sparse until a rank above 32 comes or its string would grow
 * beyond a limit; where runs are split and joined is Redis's choice too, so that
 * both convert at the same element.
 *
 * Costs: adding to a dense counter O(1), to a sparse one a walk of its runs;
 * estimating and merging O(registers). */
#ifndef STORE_HLL_H
#define STORE_HLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    HLL_REGISTERS = 1 << 14,
    HLL_HEADER_BYTES = 16,
    HLL_DENSE_BYTES = HLL_HEADER_BYTES + HLL_REGISTERS * 6 / 8,
    /* No valid counter is longer: a run takes at most two bytes and holds at least
     * one register.  Adding may pass by six more. */
    HLL_BYTES_MAX = HLL_HEADER_BYTES + HLL_REGISTERS * 2,
    HLL_ROOM = HLL_BYTES_MAX + 6,
};

/* A counter being changed: bytes has HLL_ROOM, or, where it is dense, at least
 * HLL_DENSE_BYTES. */
struct hll {
    char *bytes;
    size_t size;
};

/* --- strangers' bytes ------------------------------------------------------ */

/* True if the header is one, and the size fits where it is dense. */
bool hll_is_one(struct slice bytes);
/* The same, and the runs cover the registers exactly.  All below want this. */
bool hll_is_valid(struct slice bytes);

/* --- reading --------------------------------------------------------------- */

bool hll_is_dense(struct slice bytes);
/* False if the last estimate is out of date. */
bool hll_cached(struct slice bytes, uint64_t *estimate);
uint64_t hll_estimate(struct slice bytes);
/* Raises each of the registers to the counter's. */
void hll_merge(uint8_t registers[static HLL_REGISTERS], struct slice bytes);
uint64_t hll_estimate_registers(const uint8_t registers[static HLL_REGISTERS]);
/* The runs of a sparse counter, for people. */
typedef void hll_run_fn(void *context, unsigned rank, unsigned count, bool is_long);
void hll_each_run(struct slice bytes, hll_run_fn *visit, void *context);

/* --- changing -------------------------------------------------------------- */

/* Writes an empty, sparse counter, whose estimate of 0 is valid. */
void hll_init(struct hll *h);
/* True if a register was raised; the estimate is then out of date.  sparse_max:
 * bytes beyond which a sparse counter becomes dense. */
bool hll_add(struct hll *h, struct slice element, size_t sparse_max);
/* The same for a register and a rank, 1 to 51. */
bool hll_raise(struct hll *h, unsigned index, unsigned rank, size_t sparse_max);
/* The estimate stays as it is. */
void hll_make_dense(struct hll *h);
void hll_cache(char *bytes, uint64_t estimate);
void hll_forget_estimate(char *bytes);

#endif
