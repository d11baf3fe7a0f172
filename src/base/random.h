/* Two kinds of randomness, never to be mixed up: a seeded generator, the same
 * everywhere for the same seed (anything replicated, anything simulated), and
 * bytes from the operating system (identities, secrets). */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* xoshiro256** seeded through splitmix64 (Blackman and Vigna, 2018). */
struct random {
    uint64_t state[4];
};

void random_init(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);
/* Uniform in [0, bound), without modulo bias; bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* Uniform in [0, 1). */
double random_unit(struct random *random);

/* A well-mixed 64-bit function of one word (splitmix64's finaliser). */
uint64_t random_mix(uint64_t word);

/* size bytes from the kernel; aborts if it has none to give. */
void random_from_system(void *bytes, size_t size);

#endif
