/* What happened in a run: a ring of the last entries, a hash of all of them.
 *
 * Entries are kept as numbers and put into words only when somebody reads
 * them, since thousands of runs are made for each one that is read.  The hash
 * covers every entry of the run: two runs of one seed must agree on it. */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "consensus/rabia.h"

enum trace_kind {
    TRACE_EVENT = 1, /* detail: rabia_event_kind; peer, lap */
    TRACE_SEND,      /* node to peer, a message */
    TRACE_RECEIVE,   /* node from peer, a message */
    TRACE_DROP,      /* a frame from node to peer is lost; detail: why */
    TRACE_RECORD,    /* detail: rabia_record_kind; extra: seq */
    TRACE_DECIDED,   /* a slot came out of node's order; value 1 batch, 0 NULL; detail 1: void */
    TRACE_FLUSHED,   /* extra: seq */
    TRACE_COMMAND,   /* a client's command reached node; extra: its number, detail: operation */
    TRACE_REPLY,     /* extra: its number */
    TRACE_FAULT,     /* detail: enum trace_fault; node, peer, extra as it says */
    TRACE_FRONTIER   /* node's frontier is lap */
};

enum trace_fault {
    TRACE_FAULT_STOP = 1, TRACE_FAULT_CRASH, TRACE_FAULT_SLOW_NODE, TRACE_FAULT_SLOW_LINK, TRACE_FAULT_BLOCK,
    TRACE_FAULT_UNBLOCK, TRACE_FAULT_RENEW, TRACE_FAULT_CLOCK, TRACE_FAULT_LOSS, TRACE_FAULT_ABANDON,
    TRACE_FAULT_HEAL, TRACE_FAULT_SNAPSHOT, TRACE_FAULT_DIES, TRACE_FAULT_RISES, TRACE_FAULT_POWER, TRACE_FAULT_WIPE,
    TRACE_FAULT_REJOIN, TRACE_FAULT_JOINED, TRACE_FAULT_CUT, TRACE_FAULT_INSTALL, TRACE_FAULT_MEMBERS,
    TRACE_FAULT_REMOVED, TRACE_FAULT_LEARNERS
};

struct trace_entry {
    uint64_t now_us, lap, count, extra;
    uint32_t phase;
    uint8_t kind, node, peer, detail;
    uint8_t message_kind, lane, value, has_contents, is_lazy;
};

enum { TRACE_RING = 512 };
struct trace {
    bool is_verbose; /* every entry is also printed at once */
    uint64_t hash, total;
    struct trace_entry ring[TRACE_RING];
};

void trace_init(struct trace *trace, bool is_verbose);
void trace_add(struct trace *trace, const struct trace_entry *entry);
/* The message's part of an entry. */
void trace_add_message(struct trace *trace, uint64_t now_us, enum trace_kind kind, uint8_t node, uint8_t peer,
                       uint8_t detail, uint64_t extra, const struct rabia_message *message);
/* The last count entries (at most TRACE_RING). */
void trace_print(const struct trace *trace, FILE *file, uint64_t count);

const char *trace_message_name(uint8_t message_kind);

#endif
