/* The parts of kvstore-check: one per kind of file, and what they share.
 *
 * Each prints what it found to stdout, as text or as one element of a JSON list,
 * and worsens the exit status.  While a file is read a bar on stderr says how far
 * it is, if stderr is a terminal; it is wiped before anything is printed.
 *
 * One process, one thread, one run: the state is global. */
#ifndef PERSIST_CHECK_TOOL_H
#define PERSIST_CHECK_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

/* Exit status: the worst, that is the greatest, of what was found. */
enum check_exit { EXIT_TORN = 1, EXIT_DAMAGED = 2, EXIT_FOREIGN = 3, EXIT_SYSTEM = 4, EXIT_ARGUMENTS = 64 };

struct check_tool {
    bool is_json, is_cut;
    unsigned reported; /* files, and errors in place of one */
    int worst;
};
extern struct check_tool check_tool;

void check_worsen(int exit_status);
/* Opens an element: its type and path. */
void check_begin(const char *what, const char *path);
/* A whole element, of a file that could not be read or is not sound. */
void check_report_error(const char *what, const char *path, enum status status, const char *error);
/* As a JSON string. */
void check_print_text(struct slice text);
/* "2026-01-31T12:00:00Z" */
enum { CHECK_TIME_MAX = 32 };
const char *check_time_text(int64_t ms, char text[static CHECK_TIME_MAX]);
/* A position in the order, as batches are counted: sixteen lanes to a lap. */
static inline uint64_t check_lap_of(uint64_t position)
{
    return position / 16;
}
static inline unsigned check_lane_of(uint64_t position)
{
    return (unsigned)(position % 16);
}

/* Draws the bar, ten times a second at most; done of total bytes of path. */
void check_progress(const char *path, uint64_t done, uint64_t total);
/* Wipes it. */
void check_progress_end(void);

/* --- kinds of files --------------------------------------------------------- */

/* One segment, or, is_dir, all of a directory; is_in_use: a server writes there,
 * so what is being written may look torn.  Reports nothing where there is no
 * segment. */
void check_journal(const char *path, bool is_dir, bool is_in_use);
void check_snapshot(const char *path);
/* A replica.state. */
void check_state(const char *path);

#endif
