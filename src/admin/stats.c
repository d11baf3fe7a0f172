#include "admin/stats.h"

#include <stdio.h>

_Static_assert(STATS_COMMANDS_MAX == 1 << 10, "stats_of takes ten bits of the hash");

void stats_reset(struct stats *s)
{
    struct stats_rate commands = s->commands_rate, in = s->bytes_in_rate, out = s->bytes_out_rate;
    struct stats_traffic traffic = s->traffic;
    uint64_t sampled_us = s->sampled_us;
    stats_init(s);
    commands.last_value = 0;
    s->commands_rate = commands;
    s->bytes_in_rate = in;
    s->bytes_out_rate = out;
    s->traffic = s->traffic_at_reset = traffic;
    s->sampled_us = sampled_us;
}

static void sample(struct stats_rate *rate, uint64_t value, uint64_t elapsed_us)
{
    uint64_t change = value > rate->last_value ? value - rate->last_value : 0;
    rate->per_second[rate->next] = (uint64_t)((double)change * 1e6 / (double)elapsed_us);
    rate->next = (rate->next + 1) % STATS_SAMPLES;
    rate->last_value = value;
}

void stats_sample(struct stats *s, uint64_t now_us, size_t memory_bytes)
{
    if (memory_bytes > s->memory_peak_bytes)
        s->memory_peak_bytes = memory_bytes;
    uint64_t elapsed_us = now_us - s->sampled_us;
    bool is_first = s->sampled_us == 0;
    s->sampled_us = now_us;
    if (is_first || elapsed_us == 0)
        return;
    sample(&s->commands_rate, s->commands_processed, elapsed_us);
    sample(&s->bytes_in_rate, s->traffic.bytes_in, elapsed_us);
    sample(&s->bytes_out_rate, s->traffic.bytes_out, elapsed_us);
}

uint64_t stats_rate_per_second(const struct stats_rate *rate)
{
    uint64_t sum = 0;
    for (int i = 0; i < STATS_SAMPLES; i++)
        sum += rate->per_second[i];
    return sum / STATS_SAMPLES;
}

const struct command_stats *stats_find(const struct stats *s, const struct command *row)
{
    for (size_t i = 0; i < STATS_COMMANDS_MAX; i++)
        if (s->commands[i].row == row)
            return &s->commands[i];
    return NULL;
}

uint64_t stats_usec(const struct command_stats *c)
{
    if (c->short_calls == 0 || c->calls <= c->long_calls)
        return c->long_usec;
    double share = (double)(c->calls - c->long_calls) / (double)c->short_calls;
    return c->long_usec + (uint64_t)((double)c->short_usec * share);
}

void stats_count_error(struct stats *s, struct slice text)
{
    s->error_replies++;
    size_t length = 0;
    while (length < text.len && text.ptr[length] != ' ' && text.ptr[length] != '\r' &&
           length < STATS_ERROR_BYTES_MAX - 1)
        length++;
    struct slice prefix = slice_make(text.ptr, length);
    for (size_t i = 0; i < s->error_count; i++) {
        if (slice_equal(prefix, slice_from(s->errors[i].prefix))) {
            s->errors[i].count++;
            return;
        }
    }
    if (s->error_count == STATS_ERRORS_MAX)
        return;
    struct error_stats *error = &s->errors[s->error_count++];
    snprintf(error->prefix, sizeof error->prefix, "%.*s", (int)length, text.ptr);
    error->count = 1;
}
