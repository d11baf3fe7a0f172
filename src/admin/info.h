/* INFO: what operators, exporters and clients read about the server.
 *
 * Sections and field names are Redis 7's, so that exporters understand them;
 * fields about what this server does not have (forks, replication streams,
 * scripts) are left out unless clients are known to look for them.  Section
 * "rabia" is ours: the replica's view of members, links and order.
 *
 * A pure function of struct info_sources and a few figures of the process
 * itself (resource usage, allocator, system name). */
#ifndef ADMIN_INFO_H
#define ADMIN_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/config.h"
#include "admin/stats.h"
#include "base/buf.h"
#include "base/slice.h"
#include "command/table.h"
#include "replica/replica.h"
#include "store/keyspace.h"

/* Everything is borrowed for the call. */
struct info_sources {
    const struct config *config;
    const struct stats *stats;
    const struct command_table *commands;
    struct keyspace *keyspace;
    const struct replica_status *replica;
    const char *run_id; /* 40 hexadecimal digits */
    int64_t now_wall_us, started_wall_us;
    int port; /* really open */

    size_t sessions, blocked_sessions, paused_sessions;
    size_t session_bytes;                            /* memory of all sessions */
    size_t session_input_max, session_output_max; /* of any one session now */
};

/* Appends the sections named (case ignored; none: the default ones; "default",
 * "all", "everything"), each once, in Redis's order, an empty line between.
 * Unknown names add nothing. */
void info_print(const struct info_sources *from, const struct slice *sections, int section_count, struct buf *out);

/* "918.95K", as Redis shortens byte counts. */
enum { INFO_HUMAN_MAX = 32 };
void info_human_bytes(uint64_t bytes, char text[static INFO_HUMAN_MAX]);

/* The rabia section's lines "name:value", also the text form of RABIA STATUS. */
void info_print_rabia(const struct replica_status *status, struct buf *out);
const char *info_link_text(enum replica_link_state state);

#endif
