/* Openings for the explorer and the random lives (tests/unit/consensus:
 * test_explore.c, test_lives.c); nothing else may use them. */
#ifndef CONSENSUS_PROBE_H
#define CONSENSUS_PROBE_H

#include "consensus/rabia.h"

/* A machine with a window of window laps (a power of two) that can be cloned
 * cheaply. */
struct rabia *probe_create(const struct rabia_options *options, uint64_t window);
struct rabia *probe_restore(const struct rabia_options *options, struct slice exported, uint64_t now_us,
                            uint64_t window);
struct rabia *probe_clone(const struct rabia *r);

/* What a replica knows about one slot, without padding or pointers: equal
 * bytes, equal future.  Returns the size, at most PROBE_BYTES_MAX. */
enum { PROBE_BYTES_MAX = 257 };
size_t probe_slot(const struct rabia *r, uint64_t lap, uint8_t lane, uint8_t bytes[static PROBE_BYTES_MAX]);

/* rabia_step with one decision more: the slot's lane is suspected now. */
void probe_forfeit(struct rabia *r, uint64_t lap, uint8_t lane, struct rabia_out *out);

/* Whether what message says waits for the disk. */
bool probe_is_gated(const struct rabia *r, const struct rabia_message *message);

struct probe_facts {
    bool is_decided;
    uint8_t value;   /* enum rabia_value, if decided */
    bool has_batch;
    uint32_t own_phase;
    bool has_voted; /* in own_phase */
    bool is_silent;
};
struct probe_facts probe_facts(const struct rabia *r, uint64_t lap, uint8_t lane);

#endif
