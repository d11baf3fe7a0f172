/* Counters that the server increments and INFO reports.
 *
 * A plain struct without owner or lock: one thread counts.  What happens per
 * command is inline and allocates nothing.
 *
 * I1  a row of commands[] is in use from the first run of its command on and
 *     never moves until stats_reset.
 * I2  sum of errors[].count <= error_replies.
 *
 * Limits: STATS_COMMANDS_MAX commands with subcommands, STATS_ERRORS_MAX
 * kinds of error; further kinds count in error_replies alone. */
#ifndef ADMIN_STATS_H
#define ADMIN_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"
#include "command/table.h"

enum {
    STATS_COMMANDS_MAX = 1024, /* a power of two, well above the number of rows */
    STATS_ERRORS_MAX = 128,
    STATS_ERROR_BYTES_MAX = 32,
    STATS_SAMPLES = 16
};

struct command_stats {
    const struct command *row; /* NULL: free */
    uint64_t calls;
    uint64_t last_usec;              /* of the last measured run */
    uint64_t long_calls, long_usec;  /* runs of STATS_LONG_USEC or more that were measured */
    uint64_t short_calls, short_usec; /* shorter runs that were measured */
    uint64_t rejected; /* refused before it ran: arity, authentication, memory */
    uint64_t failed;   /* ran and answered with an error */
};

struct error_stats {
    char prefix[STATS_ERROR_BYTES_MAX]; /* "ERR", "WRONGTYPE", ... */
    uint64_t count;
};

/* A rate per second: the mean of the newest samples. */
struct stats_rate {
    uint64_t last_value;
    uint64_t per_second[STATS_SAMPLES];
    unsigned next;
};

struct stats {
    uint64_t connections_received, connections_rejected;
    uint64_t commands_processed;
    struct stats_traffic {
        uint64_t bytes_in, bytes_out, reads, writes; /* the latter two: system calls */
    } traffic, traffic_at_reset; /* traffic counts from the start of the process */
    uint64_t sessions_over_limit; /* closed by client-output-buffer-limit or client-query-buffer-limit */
    uint64_t sessions_timed_out;
    uint64_t error_replies;
    uint64_t protocol_errors;
    uint64_t longest_pass_us; /* of the reactor: the longest pause a client could notice */
    size_t memory_peak_bytes;
    struct stats_rate commands_rate, bytes_in_rate, bytes_out_rate;
    uint64_t sampled_us; /* monotonic, of the newest sample; 0: none yet */

    struct command_stats commands[STATS_COMMANDS_MAX];
    size_t command_count;
    struct error_stats errors[STATS_ERRORS_MAX];
    size_t error_count;
};

static inline void stats_init(struct stats *s)
{
    memset(s, 0, sizeof *s);
}

/* CONFIG RESETSTAT: everything but the rates' history. */
void stats_reset(struct stats *s);

/* From the cron, at any interval above zero; keeps the last STATS_SAMPLES.
 * memory_bytes: what is allocated now. */
void stats_sample(struct stats *s, uint64_t now_us, size_t memory_bytes);
uint64_t stats_rate_per_second(const struct stats_rate *rate);

/* The counters of a row; made on first use. */
static inline struct command_stats *stats_of(struct stats *s, const struct command *row)
{
    size_t at = ((uintptr_t)row >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 54;
    for (;; at = (at + 1) % STATS_COMMANDS_MAX) {
        struct command_stats *c = &s->commands[at];
        if (__builtin_expect(c->row == row, 1))
            return c;
        if (!c->row) {
            CHECK(s->command_count < STATS_COMMANDS_MAX / 2);
            s->command_count++;
            c->row = row;
            return c;
        }
    }
}
/* NULL if it was never counted. */
const struct command_stats *stats_find(const struct stats *s, const struct command *row);

/* Reading the clock costs as much as a short command, so of those one run in
 * STATS_SAMPLED is measured; a command whose last measured run was long is
 * always measured. */
enum { STATS_SAMPLED = 16, STATS_LONG_USEC = 50 };
static inline bool stats_is_measured(const struct command_stats *c)
{
    return c->calls % STATS_SAMPLED == 0 || c->last_usec >= STATS_LONG_USEC;
}
/* A measured run took usec. */
static inline void stats_count_usec(struct command_stats *c, uint64_t usec)
{
    bool is_long = usec >= STATS_LONG_USEC;
    c->last_usec = usec;
    c->long_calls += is_long;
    c->long_usec += is_long ? usec : 0;
    c->short_calls += !is_long;
    c->short_usec += is_long ? 0 : usec;
}
/* Time of all runs: what was measured, the short ones standing for those that
 * were not. */
uint64_t stats_usec(const struct command_stats *c);
static inline void stats_count_run(struct stats *s, const struct command *row, bool is_failed)
{
    struct command_stats *c = stats_of(s, row);
    c->calls++;
    c->failed += is_failed;
    s->commands_processed++;
}
static inline void stats_count_rejection(struct stats *s, const struct command *row)
{
    stats_of(s, row)->rejected++;
}
/* text: an error reply without its '-'; the first word is its kind. */
void stats_count_error(struct stats *s, struct slice text);

static inline void stats_count_pass(struct stats *s, uint64_t usec)
{
    if (usec > s->longest_pass_us)
        s->longest_pass_us = usec;
}

#endif
