#include "consensus/mutant.h"
#include "consensus/rabia.h"

#include "base/check.h"
#include "base/random.h"

/* (R6) Rabia, Algorithm 2, line 18: CommonCoinFlip(p).  Each input is mixed
 * in turn, so that slots and phases next to each other share nothing. */
bool rabia_coin(uint64_t cluster_seed, uint64_t lap, uint8_t lane, uint32_t phase)
{
    CHECK(phase > 0);
    uint64_t word = random_mix(cluster_seed);
    word = random_mix(word ^ lap);
    word = random_mix(word ^ ((uint64_t)lane << 32 | phase));
    return word >> 63;
}
