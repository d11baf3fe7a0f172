/* Whether a history of one key could have come from one copy of the data that
 * does one operation at a time.
 *
 * Search after Wing and Gong (1993) with Lowe's memory of configurations
 * (2017): a configuration is the set of operations taken so far and the value
 * they left; one that was reached before is not searched again.  Configurations
 * are remembered by a 64-bit hash, whose collisions could at worst show as a
 * false alarm.
 *
 * An operation without an answer may have happened at any time after its call,
 * or never; one without an answer that changes nothing should be left out. */
#ifndef SIM_LINEAR_CHECKER_H
#define SIM_LINEAR_CHECKER_H

#include <stddef.h>
#include <stdint.h>

#include "data_model.h"

#define LINEAR_UNKNOWN UINT64_MAX

struct linear_operation {
    uint64_t called, answered; /* points of one global sequence; answered may be LINEAR_UNKNOWN */
    uint64_t argument, expected;
    struct data_value answer;
    uint64_t command; /* for the report */
    uint8_t operation;
};

enum linear_result { LINEAR_YES = 0, LINEAR_NO, LINEAR_GAVE_UP };

/* operations are sorted by called on return.  Gives up after
 * configurations_max.  *stuck: with LINEAR_NO, the command at the first answer
 * that the longest try could not explain. */
enum linear_result linear_check(struct linear_operation *operations, size_t count, size_t configurations_max,
                                uint64_t *stuck);

#endif
