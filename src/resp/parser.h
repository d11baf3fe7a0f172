/* Parsing what a client sends: RESP arrays of bulk strings, or inline lines.
 *
 * A pure function of (state, bytes, limits): no I/O, no global.  It may be
 * called again with the same bytes and more; it never reads beyond len and
 * never rescans what it has seen, so a command that arrives in a thousand
 * pieces costs what it costs in one, and how it was split never changes the
 * result.
 *
 * Error texts and limits are those of Redis 7.0.15, with its leniency: the
 * byte behind a header's CR and the two behind a bulk are skipped unseen, and a
 * count of zero or less is an empty command.  Two deliberate differences: a NUL
 * in a header is an error at once and in an inline line an ordinary byte (Redis
 * waits for 64 KiB more), and a header or line longer than the limit is refused
 * even when it arrives whole (Redis depends on how it was split).
 *
 * I1: argv_capacity grows with the arguments that have arrived, never with the
 *     count a client claims.
 * I2: argv[0 .. arguments_read) are complete and lie in the bytes of the last
 *     call; position is the first byte not understood yet, and no line end lies
 *     in [position, scanned).
 *
 * Cost: a small complete command takes no allocation and one pass over its
 * headers.  When the bytes moved between two calls the arguments read so far
 * are moved along, which costs less than the move itself did. */
#ifndef RESP_PARSER_H
#define RESP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Redis's limits, for whoever fills struct resp_limits. */
enum {
    RESP_ARGUMENTS_MAX = INT32_MAX, /* the highest count that is not "invalid" */
    RESP_ARGUMENTS_UNAUTHENTICATED_MAX = 10,
    RESP_BULK_BYTES_MAX = 512 * 1024 * 1024,
    RESP_BULK_BYTES_UNAUTHENTICATED_MAX = 16384,
    RESP_INLINE_BYTES_MAX = 64 * 1024,
};

struct resp_limits {
    size_t argument_count_max; /* at most RESP_ARGUMENTS_MAX; 10 before authentication */
    size_t bulk_bytes_max;     /* proto-max-bulk-len, 512 MiB; 16384 before authentication */
    size_t inline_bytes_max;   /* 64 KiB, also for the header lines; at least 16 */
    bool is_authenticated;     /* chooses between Redis's two sets of error texts */
};

enum resp_result {
    RESP_COMMAND, /* a command is complete: argc, argv, consumed are set */
    RESP_EMPTY,   /* an empty line or *0 or *-1 was passed over: consumed is set, go on */
    RESP_MORE,    /* need more bytes; bytes_needed is a hint */
    RESP_ERROR,   /* error is the text for "-ERR ..."; the connection must be closed behind it */
};

enum resp_stage { RESP_STAGE_START, RESP_STAGE_COUNT, RESP_STAGE_ARGUMENTS, RESP_STAGE_INLINE };

/* State of one half-read command.  argv slices point into the bytes of the
 * last call (inline arguments with quotes point into the parser), and live
 * until the next call or until those bytes move. */
struct resp_parser {
    struct slice *argv;
    size_t argc, argv_capacity;
    size_t consumed;     /* bytes of this command, once complete */
    size_t bytes_needed; /* RESP_MORE: total bytes of the command known to be needed, 0 if unknown */
    char error[128];

    /* private */
    enum resp_stage stage;
    size_t position, scanned;
    size_t arguments_expected, arguments_read;
    int64_t bulk_length; /* -1: its header is not read yet */
    uintptr_t base;      /* where the bytes of the last call began */
    char *inline_bytes;  /* unescaped inline arguments */
    size_t inline_capacity;
};

void resp_parser_init(struct resp_parser *p);
void resp_parser_deinit(struct resp_parser *p);
/* bytes begin at the command's first byte on every call until it completed;
 * after RESP_COMMAND or RESP_EMPTY the next call begins behind consumed.
 * Limits may change between calls.  After RESP_ERROR only reset or deinit may
 * follow. */
enum resp_result resp_parse(struct resp_parser *p, const char *bytes, size_t len,
                            const struct resp_limits *limits);
/* Memory the parser itself holds. */
size_t resp_parser_memory(const struct resp_parser *p);
/* Forgets a half-read command and gives large memory back. */
void resp_parser_reset(struct resp_parser *p);

#endif
