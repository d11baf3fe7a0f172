/* Goal: no request, however malformed and however split, makes the parser crash, read
 * beyond its bytes, or answer differently from the same bytes in one piece.
 * Method: libFuzzer.  The first byte seeds the splits and chooses the limits; the rest is
 * parsed whole and in pieces, each piece copied to a block of exactly its size. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/random.h"
#include "resp/parser.h"

static const struct resp_limits limits[] = {
    {RESP_ARGUMENTS_MAX, RESP_BULK_BYTES_MAX, RESP_INLINE_BYTES_MAX, true},
    {RESP_ARGUMENTS_UNAUTHENTICATED_MAX, RESP_BULK_BYTES_UNAUTHENTICATED_MAX, RESP_INLINE_BYTES_MAX, false},
    {4, 16, 16, true},
};

static void note(struct buf *outcome, enum resp_result result, const struct resp_parser *p)
{
    buf_append(outcome, &result, sizeof result);
    if (result == RESP_ERROR)
        buf_append(outcome, p->error, strlen(p->error));
    if (result != RESP_COMMAND)
        return;
    for (size_t i = 0; i < p->argc; i++) {
        buf_append(outcome, &p->argv[i].len, sizeof p->argv[i].len);
        buf_append_slice(outcome, p->argv[i]);
    }
}

/* Parses what lies in [start, end) as far as it goes; returns the new start, SIZE_MAX
 * behind an error. */
static size_t parse(struct resp_parser *p, const uint8_t *data, size_t start, size_t end,
                    const struct resp_limits *allowed, struct buf *outcome)
{
    for (;;) {
        char *exact = malloc(end - start);
        if (end > start)
            memcpy(exact, data + start, end - start);
        enum resp_result result = resp_parse(p, exact, end - start, allowed);
        if (result != RESP_MORE)
            note(outcome, result, p);
        CHECK(resp_parser_memory(p) <= 64 * (end - start) + 4096 || start > 0);
        free(exact);
        if (result == RESP_MORE)
            return start;
        if (result == RESP_ERROR)
            return SIZE_MAX;
        CHECK(p->consumed > 0);
        CHECK(p->consumed <= end - start);
        start += p->consumed;
    }
}

static void parse_split(const uint8_t *data, size_t size, const struct resp_limits *allowed, uint64_t seed,
                        struct buf *outcome)
{
    struct resp_parser p;
    resp_parser_init(&p);
    struct random random;
    random_init(&random, seed);
    size_t start = 0, end = 0;
    while (start != SIZE_MAX && end < size) {
        size_t piece = seed ? 1 + random_below(&random, seed % 2 ? 3 : 40) : size;
        end = piece < size - end ? end + piece : size;
        start = parse(&p, data, start, end, allowed, outcome);
    }
    resp_parser_deinit(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct resp_limits *allowed = &limits[data[0] % 3];
    struct buf whole, split;
    buf_init(&whole);
    buf_init(&split);
    parse_split(data + 1, size - 1, allowed, 0, &whole);
    parse_split(data + 1, size - 1, allowed, data[0] / 3 + 1u, &split);
    CHECK(buf_size(&whole) == buf_size(&split));
    if (buf_size(&whole) > 0)
        CHECK(memcmp(buf_head(&whole), buf_head(&split), buf_size(&whole)) == 0);
    buf_deinit(&whole);
    buf_deinit(&split);
    return 0;
}
