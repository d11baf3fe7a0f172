/* Parsing what a client sends: RESP arrays of bulk strings, or inline lines.
 *
 * A pure function of (state, bytes, limits): no I/O, no global.  It may be
 * called again with the same bytes and more; it never reads beyond len and
 * never rescans what it has seen, so a command that arrives in a thousand
 * pieces costs what it costs in one.
 *
 * Error texts and limits are Redis's. */
#ifndef RESP_PARSER_H
#define RESP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct resp_limits {
    size_t argument_count_max; /* 1024 * 1024; 10 before authentication */
    size_t bulk_bytes_max;     /* proto-max-bulk-len, 512 MiB; 16384 before authentication */
    size_t inline_bytes_max;   /* 64 KiB, also for the header lines */
    bool is_authenticated;     /* chooses between Redis's two sets of error texts */
};

enum resp_result {
    RESP_COMMAND, /* a command is complete: argc, argv, consumed are set */
    RESP_EMPTY,   /* an empty line or *0 or *-1 was passed over: consumed is set, go on */
    RESP_MORE,    /* need more bytes; bytes_needed is a hint */
    RESP_ERROR,   /* error is the text for "-ERR ..."; the connection must be closed behind it */
};

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
    size_t position, arguments_expected, arguments_read;
    int64_t bulk_length; /* -1: its header is not read yet */
    struct { size_t offset, length; } *spans;
    char *inline_bytes;
    bool is_multibulk;
};

void resp_parser_init(struct resp_parser *p);
void resp_parser_deinit(struct resp_parser *p);
/* bytes begin at the command's first byte on every call until it completed;
 * after RESP_COMMAND or RESP_EMPTY the next call begins behind consumed. */
enum resp_result resp_parse(struct resp_parser *p, const char *bytes, size_t len, const struct resp_limits *limits);
/* Memory the parser itself holds. */
size_t resp_parser_memory(const struct resp_parser *p);
/* Forgets a half-read command and gives large memory back. */
void resp_parser_reset(struct resp_parser *p);

#endif
