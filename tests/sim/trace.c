#include "trace.h"

#include <inttypes.h>
#include <string.h>

void trace_init(struct trace *trace, bool is_verbose)
{
    memset(trace, 0, sizeof *trace);
    trace->is_verbose = is_verbose;
    trace->hash = 0x9e3779b97f4a7c15u;
}

static uint64_t fold(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 32);
}

static uint64_t entry_hash(uint64_t hash, const struct trace_entry *e)
{
    hash = fold(hash, e->now_us);
    hash = fold(hash, e->lap);
    hash = fold(hash, e->count);
    hash = fold(hash, e->extra);
    hash = fold(hash, (uint64_t)e->phase << 32 | (uint64_t)e->kind << 24 | (uint64_t)e->node << 16 |
                          (uint64_t)e->peer << 8 | e->detail);
    return fold(hash, (uint64_t)e->message_kind << 32 | (uint64_t)e->lane << 24 | (uint64_t)e->value << 16 |
                          (uint64_t)e->has_contents << 8 | e->is_lazy);
}

const char *trace_message_name(uint8_t kind)
{
    static const char *const names[RABIA_KIND_END] = {
        "?",   "PROPOSAL", "CONTENTS", "SKIP",   "STATE",         "VOTE",     "DECIDED",
        "ASK", "FETCH",    "NUDGE",    "RESUME", "CLOCK_REFUSED", "FRONTIER", "TOO_OLD",
        "REJOIN", "REJOIN_ANSWER",
    };
    return kind < RABIA_KIND_END && names[kind] ? names[kind] : "?";
}

static void print_message(FILE *file, const struct trace_entry *e)
{
    static const char values[] = "01?";
    fprintf(file, " %s lane %u lap %" PRIu64, trace_message_name(e->message_kind), e->lane, e->lap);
    if (e->count != 1)
        fprintf(file, "+%" PRIu64, e->count);
    if (e->message_kind == RABIA_PROPOSAL || e->message_kind == RABIA_DECIDED)
        fprintf(file, " %s", e->value == RABIA_BATCH ? "batch" : "NULL");
    if (e->message_kind == RABIA_STATE || e->message_kind == RABIA_VOTE)
        fprintf(file, " phase %u: %c", e->phase, e->value <= 2 ? values[e->value] : '!');
    if (e->has_contents)
        fprintf(file, " with contents");
    if (e->is_lazy)
        fprintf(file, " (lazy)");
}

static void print_fault(FILE *file, const struct trace_entry *e)
{
    static const char *const names[] = {"?",         "stopped for us", "crashed",      "slow, us per event",
                                        "slow link", "blocked, way",   "unblocked",    "link renewed",
                                        "clock by ms", "loss per mille", "session gone", "all faults healed",
                                        "needs a snapshot", "dies", "rises at", "loses records to a power cut:",
                                        "is wiped", "rejoins, J", "has rejoined", "forgets its journal, to lap",
                                        "installs a snapshot at", "changes members to, from lap", "is removed",
                                        "learners are"};
    fprintf(file, "fault: node %u peer %u %s %" PRId64, e->node, e->peer, names[e->detail], (int64_t)e->extra);
}

static void print_entry(FILE *file, const struct trace_entry *e)
{
    static const char *const events[] = {"?", "tick", "propose", "messages", "link up", "link down", "flushed", "nudge", "forget", "learners"};
    static const char *const records[] = {"?", "said", "decided", "lap mark", "rejoin"};
    fprintf(file, "%10" PRIu64 " us  %u ", e->now_us, e->node);
    switch ((enum trace_kind)e->kind) {
    case TRACE_EVENT:
        fprintf(file, "[%s] peer %u lap %" PRIu64, events[e->detail], e->peer, e->lap);
        break;
    case TRACE_SEND:
        fprintf(file, "  -> %u", e->peer);
        print_message(file, e);
        break;
    case TRACE_RECEIVE:
        fprintf(file, "<- %u", e->peer);
        print_message(file, e);
        break;
    case TRACE_DROP:
        fprintf(file, "  -x %u frame of %" PRIu64 " lost", e->peer, e->count);
        break;
    case TRACE_RECORD:
        fprintf(file, "  record %" PRIu64 " %s", e->extra, records[e->detail]);
        print_message(file, e);
        break;
    case TRACE_DECIDED:
        fprintf(file, "  out: lap %" PRIu64 " lane %u %s%s", e->lap, e->lane, e->value ? "batch" : "NULL",
                e->detail ? " void" : "");
        break;
    case TRACE_FLUSHED:
        fprintf(file, "flushed to %" PRIu64, e->extra);
        break;
    case TRACE_COMMAND:
        fprintf(file, "command %" PRIu64 " op %u", e->extra, e->detail);
        break;
    case TRACE_REPLY:
        fprintf(file, "  reply to %" PRIu64, e->extra);
        break;
    case TRACE_FAULT:
        print_fault(file, e);
        break;
    case TRACE_FRONTIER:
        fprintf(file, "  frontier %" PRIu64, e->lap);
        break;
    }
    fputc('\n', file);
}

void trace_add(struct trace *trace, const struct trace_entry *entry)
{
    trace->hash = entry_hash(trace->hash, entry);
    trace->ring[trace->total++ % TRACE_RING] = *entry;
    if (trace->is_verbose)
        print_entry(stdout, entry);
}

void trace_add_message(struct trace *trace, uint64_t now_us, enum trace_kind kind, uint8_t node, uint8_t peer,
                       uint8_t detail, uint64_t extra, const struct rabia_message *message)
{
    struct trace_entry entry = {.now_us = now_us, .kind = (uint8_t)kind, .node = node, .peer = peer, .detail = detail,
                                .extra = extra, .message_kind = message->kind, .lane = message->lane,
                                .value = message->value, .phase = message->phase, .lap = message->lap,
                                .count = message->count, .has_contents = message->batch != NULL};
    trace_add(trace, &entry);
}

void trace_print(const struct trace *trace, FILE *file, uint64_t count)
{
    if (count > TRACE_RING)
        count = TRACE_RING;
    uint64_t first = trace->total > count ? trace->total - count : 0;
    for (uint64_t i = first; i < trace->total; i++)
        print_entry(file, &trace->ring[i % TRACE_RING]);
}
