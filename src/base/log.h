/* Diagnostic lines for operators, one format:
 *
 *   2026-01-31T12:00:00.123Z 4711 warning replica: peer 2 lost: connection reset
 *
 * One line per event an operator must know; never one per command.  Lines go
 * to the file set with log_open, or to standard output. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/status.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_VERBOSE, LOG_LEVEL_NOTICE, LOG_LEVEL_WARNING };

/* path "" means standard output.  The file is appended to and can be rotated:
 * log_open again with the same path.  STATUS_IO with errno when it cannot be
 * opened; the former destination then stays. */
enum status log_open(const char *path) MUST_CHECK;
void log_set_level(enum log_level level);
bool log_is_enabled(enum log_level level);

/* room is the name of the src folder that speaks. */
void log_line(enum log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(room, ...) \
    do { if (log_is_enabled(LOG_LEVEL_DEBUG)) log_line(LOG_LEVEL_DEBUG, room, __VA_ARGS__); } while (0)
#define log_verbose(room, ...) \
    do { if (log_is_enabled(LOG_LEVEL_VERBOSE)) log_line(LOG_LEVEL_VERBOSE, room, __VA_ARGS__); } while (0)
#define log_notice(room, ...) log_line(LOG_LEVEL_NOTICE, room, __VA_ARGS__)
#define log_warning(room, ...) log_line(LOG_LEVEL_WARNING, room, __VA_ARGS__)

#endif
