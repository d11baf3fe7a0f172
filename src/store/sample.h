/* Different places drawn at random: SRANDMEMBER, HRANDFIELD and ZRANDMEMBER
 * with a positive count.
 *
 * Floyd's method (Bentley and Floyd, "A sample of brilliance", 1987): for n from
 * size - count to size - 1, draw a place up to n; if it was drawn before, take n
 * itself.  Every set of places is equally likely; their order is not. */
#ifndef STORE_SAMPLE_H
#define STORE_SAMPLE_H

#include <stddef.h>

#include "base/random.h"
#include "store/dict.h"

struct sample {
    struct dict drawn;
    struct random *random; /* borrowed */
    size_t next, size;
};

/* count at most size. */
void sample_init(struct sample *s, struct random *random, size_t size, size_t count);
/* Called count times.  O(1). */
size_t sample_next(struct sample *s);
void sample_deinit(struct sample *s);

/* How often a command may name the same members again (a negative count): a
 * stranger's number, where Redis would go on until memory ends. */
enum { SAMPLE_REPEATS_MAX = 1 << 24 };

#endif
