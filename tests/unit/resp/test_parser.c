/* Goal: a request is understood as Redis 7.0.15 understands it, however its
 * bytes are split, and no byte beyond those given is read.
 * Method: a table of requests with the outcome observed on redis-server 7.0.15 by raw
 * socket; each is parsed whole, at every prefix, at every split in two, and byte by
 * byte, always placed so that it ends at an unreadable page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "guarded.h"
#include "resp/parser.h"

static const struct resp_limits authenticated = {RESP_ARGUMENTS_MAX, RESP_BULK_BYTES_MAX, RESP_INLINE_BYTES_MAX, true};
static const struct resp_limits stranger = {RESP_ARGUMENTS_UNAUTHENTICATED_MAX, RESP_BULK_BYTES_UNAUTHENTICATED_MAX,
                                            RESP_INLINE_BYTES_MAX, false};

#define BYTES(text) text, sizeof(text) - 1

/* Outcomes are written as a text: "[a][bc]" per command, "." for an empty one, "+" at the
 * end when more is needed, "!text" for an error. */
static const struct {
    const char *bytes;
    size_t len;
    const char *outcome;
} requests[] = {
    {BYTES("*1\r\n$4\r\nPING\r\n"), "[PING]"},
    {BYTES("*2\r\n$3\r\nGET\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n"), "[GET][x] [PING]"},
    {BYTES("*3\r\n$3\r\nSET\r\n$12\r\nkey\r\n$3\r\nabc\r\n$0\r\n\r\n"), "[SET][key\r\n$3\r\nabc][]"},
    {BYTES("*1\r\n$0\r\n\r\n"), "[]"},
    {BYTES("*1\r\n$4\r\nPINGxx"), "[PING]"},           /* the bytes behind a bulk are not looked at */
    {BYTES("*1\rx$4\rxPINGxx"), "[PING]"},             /* nor those behind a CR */
    {BYTES("*0\r\n*-1\r\n*-5\r\nPING\r\n"), "...[PING]"},
    {BYTES("*10\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\n"),
     "[a][b][c][d][e][f][g][h][i][j]"},
    {BYTES("*2147483647\r\nx\r\n"), "!Protocol error: expected '$', got 'x'"},
    {BYTES("*2147483648\r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*9223372036854775808\r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*\r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*01\r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*+1\r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*1 \r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*-0\r\n"), "!Protocol error: invalid multibulk length"},
    {BYTES("*3\0\r\n"), "!Protocol error: invalid multibulk length"}, /* Redis waits for more */
    {BYTES("*1\r\n$536870912\r\n"), "+"},
    {BYTES("*1\r\n$536870913\r\n"), "!Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$99999999999\r\n"), "!Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$-1\r\n"), "!Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$\r\n"), "!Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$04\r\nPING\r\n"), "!Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$00\r\n"), "!Protocol error: invalid bulk length"},
    {BYTES("*1\r\n\r\n"), "!Protocol error: expected '$', got ' '"},
    {BYTES("*1\r\n\nabc\r\n"), "!Protocol error: expected '$', got ' '"},
    {BYTES("*1\r\nx\r\n"), "!Protocol error: expected '$', got 'x'"},
    {BYTES("*1\r\nx\r"), "+"}, /* the type is judged only when the line is complete */
    {BYTES("*3\r\n$3\r\nfoo\r\n*1\r\n"), "!Protocol error: expected '$', got '*'"},
    {BYTES("*1\r\n$10\r\nabc"), "+"},
    {BYTES("PING\r\n"), "[PING]"},
    {BYTES("PING\nPING\r\n"), "[PING] [PING]"},
    {BYTES("\r\n\nPING\n"), "..[PING]"},
    {BYTES("   \r\n"), "."},
    {BYTES("  SET  key   value \r\n"), "[SET][key][value]"},
    {BYTES("\x0b\x0c" "ECHO x\r\n"), "[ECHO][x]"},
    {BYTES("ECHO a\rb\r\n"), "[ECHO][a][b]"},
    {BYTES("ECHO 'a\\'b'\r\n"), "[ECHO][a'b]"},
    {BYTES("ECHO 'a\\nb'\r\n"), "[ECHO][a\\nb]"},
    {BYTES("ECHO 'a\\\\'\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES("ECHO \"a\\x41\\n\\q\"\r\n"), "[ECHO][aA\nq]"},
    {BYTES("ECHO \"\\b\\a\\t\\r\"\n"), "[ECHO][\b\a\t\r]"},
    {BYTES("ECHO \"\\x4g\"\r\n"), "[ECHO][x4g]"},
    {BYTES("ECHO a\"b\" 'c' d\r\n"), "[ECHO][ab][c][d]"},
    {BYTES("ECHO \"\" ''\r\n"), "[ECHO][][]"},
    {BYTES("ECHO \"a b\" \"c\\\"d\"\r\n"), "[ECHO][a b][c\"d]"},
    {BYTES("\"a\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES("ECHO \"a\"b\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES("ECHO a\"b\"c\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES("ECHO ''a\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES("ECHO \"\\\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES("ECHO 'a\\'\r\n"), "!Protocol error: unbalanced quotes in request"},
    {BYTES(""), "+"},
    {BYTES("*"), "+"},
    {BYTES("*1"), "+"},
    {BYTES("*1\r"), "+"},
    {BYTES("PIN"), "+"},
};
enum { REQUESTS = sizeof requests / sizeof *requests };

static void append_command(struct buf *outcome, const struct resp_parser *p)
{
    for (size_t i = 0; i < p->argc; i++) {
        buf_append(outcome, "[", 1);
        buf_append_slice(outcome, p->argv[i]);
        buf_append(outcome, "]", 1);
    }
}

/* Parses bytes that arrive up to each of the given ends in turn. */
static void parse_pieces(const char *bytes, const size_t *ends, size_t end_count, const struct resp_limits *limits,
                         struct guarded *memory, struct buf *outcome)
{
    struct resp_parser p;
    resp_parser_init(&p);
    size_t start = 0;
    bool after_command = false, is_over = false;
    buf_clear(outcome);
    for (size_t i = 0; i < end_count && !is_over; i++) {
        for (;;) {
            char *placed = guarded_place(memory, bytes + start, ends[i] - start);
            enum resp_result result = resp_parse(&p, placed, ends[i] - start, limits);
            if (result == RESP_MORE) {
                if (i == end_count - 1 && ends[i] > start)
                    buf_append(outcome, "+", 1);
                if (end_count == 1 && ends[i] == 0)
                    buf_append(outcome, "+", 1);
                break;
            }
            if (result == RESP_ERROR) {
                buf_append(outcome, "!", 1);
                buf_append_slice(outcome, slice_from(p.error));
                is_over = true;
                break;
            }
            assert_true(p.consumed > 0);
            assert_true(p.consumed <= ends[i] - start);
            start += p.consumed;
            if (result == RESP_EMPTY) {
                buf_append(outcome, ".", 1);
                continue;
            }
            if (after_command)
                buf_append(outcome, " ", 1);
            after_command = true;
            append_command(outcome, &p);
        }
    }
    resp_parser_deinit(&p);
}

static void assert_outcome(const struct buf *outcome, const char *expected, size_t which)
{
    if (!slice_equal(buf_slice(outcome), slice_from(expected)))
        fail_msg("request %zu: %.*s instead of %s", which, (int)buf_size(outcome), buf_head(outcome), expected);
}

static void whole_requests(void **state)
{
    (void)state;
    struct guarded memory = guarded_create(4096);
    struct buf outcome;
    buf_init(&outcome);
    for (size_t i = 0; i < REQUESTS; i++) {
        parse_pieces(requests[i].bytes, &requests[i].len, 1, &authenticated, &memory, &outcome);
        assert_outcome(&outcome, requests[i].outcome, i);
    }
    buf_deinit(&outcome);
    guarded_free(&memory);
}

static void requests_in_pieces(void **state)
{
    (void)state;
    struct guarded memory = guarded_create(4096);
    struct buf outcome;
    buf_init(&outcome);
    for (size_t i = 0; i < REQUESTS; i++) {
        size_t len = requests[i].len;
        if (len == 0)
            continue;
        for (size_t first = 0; first <= len; first++) {
            size_t ends[] = {first, len};
            parse_pieces(requests[i].bytes, ends, 2, &authenticated, &memory, &outcome);
            assert_outcome(&outcome, requests[i].outcome, i);
            for (size_t second = first; second <= len; second += 3) {
                size_t three[] = {first, second, len};
                parse_pieces(requests[i].bytes, three, 3, &authenticated, &memory, &outcome);
                assert_outcome(&outcome, requests[i].outcome, i);
            }
        }
        size_t *each = malloc(len * sizeof *each);
        for (size_t j = 0; j < len; j++)
            each[j] = j + 1;
        parse_pieces(requests[i].bytes, each, len, &authenticated, &memory, &outcome);
        assert_outcome(&outcome, requests[i].outcome, i);
        free(each);
    }
    buf_deinit(&outcome);
    guarded_free(&memory);
}

/* No prefix of a request says anything but what the whole one says, or "more". */
static void every_prefix(void **state)
{
    (void)state;
    struct guarded memory = guarded_create(4096);
    struct buf outcome;
    buf_init(&outcome);
    for (size_t i = 0; i < REQUESTS; i++)
        for (size_t len = 1; len < requests[i].len; len++) {
            parse_pieces(requests[i].bytes, &len, 1, &authenticated, &memory, &outcome);
            struct slice got = buf_slice(&outcome);
            if (got.len && got.ptr[got.len - 1] == '+')
                got.len--;
            struct slice expected = slice_from(requests[i].outcome);
            assert_true(got.len <= expected.len);
            assert_memory_equal(got.ptr ? got.ptr : "", expected.ptr, got.len);
        }
    buf_deinit(&outcome);
    guarded_free(&memory);
}

static void expect(const char *bytes, size_t len, const struct resp_limits *limits, const char *expected)
{
    struct guarded memory = guarded_create(len);
    struct buf outcome;
    buf_init(&outcome);
    parse_pieces(bytes, &len, 1, limits, &memory, &outcome);
    assert_outcome(&outcome, expected, 0);
    size_t step = len > 64 ? len / 64 : 1, *ends = malloc((len / step + 2) * sizeof *ends), count = 0;
    for (size_t at = step; at < len; at += step)
        ends[count++] = at;
    ends[count++] = len;
    parse_pieces(bytes, ends, count, limits, &memory, &outcome);
    assert_outcome(&outcome, expected, 1);
    free(ends);
    buf_deinit(&outcome);
    guarded_free(&memory);
}

static void strangers_get_little(void **state)
{
    (void)state;
    expect(BYTES("*10\r\nx\r\n"), &stranger, "!Protocol error: expected '$', got 'x'");
    expect(BYTES("*11\r\n"), &stranger, "!Protocol error: unauthenticated multibulk length");
    expect(BYTES("*2147483648\r\n"), &stranger, "!Protocol error: invalid multibulk length");
    expect(BYTES("*1\r\n$16384\r\n"), &stranger, "+");
    expect(BYTES("*1\r\n$16385\r\n"), &stranger, "!Protocol error: unauthenticated bulk length");
    expect(BYTES("*1\r\n$536870913\r\n"), &stranger, "!Protocol error: invalid bulk length");
    expect(BYTES("*1\r\n$-1\r\n"), &stranger, "!Protocol error: invalid bulk length");
}

/* Lines may be 64 KiB long and not a byte longer. */
static void long_lines(void **state)
{
    (void)state;
    size_t len = RESP_INLINE_BYTES_MAX + 16;
    char *bytes = malloc(len);
    memset(bytes, 'a', len);
    expect(bytes, RESP_INLINE_BYTES_MAX, &authenticated, "+");
    expect(bytes, RESP_INLINE_BYTES_MAX + 1, &authenticated, "!Protocol error: too big inline request");
    bytes[RESP_INLINE_BYTES_MAX + 1] = '\n';
    expect(bytes, len, &authenticated, "!Protocol error: too big inline request");
    memset(bytes, ' ', len);
    bytes[RESP_INLINE_BYTES_MAX] = '\n';
    expect(bytes, RESP_INLINE_BYTES_MAX + 1, &authenticated, ".");
    memset(bytes, '1', len);
    bytes[0] = '*';
    expect(bytes, RESP_INLINE_BYTES_MAX, &authenticated, "+");
    expect(bytes, len, &authenticated, "!Protocol error: too big mbulk count string");
    memcpy(bytes, "*1\r\n$", 5);
    expect(bytes, RESP_INLINE_BYTES_MAX + 4, &authenticated, "+");
    expect(bytes, len, &authenticated, "!Protocol error: too big bulk count string");
    free(bytes);
}

/* A claimed count or length costs nothing before the bytes are there. */
static void claims_allocate_nothing(void **state)
{
    (void)state;
    struct resp_parser p;
    resp_parser_init(&p);
    const char *claim = "*2147483647\r\n$1\r\na\r\n$500000000\r\n";
    assert_int_equal(resp_parse(&p, claim, strlen(claim), &authenticated), RESP_MORE);
    assert_int_equal(p.bytes_needed, strlen(claim) + 500000002);
    assert_true(resp_parser_memory(&p) <= 1024);
    resp_parser_reset(&p);
    assert_int_equal(resp_parse(&p, "PING\r\n", 6, &authenticated), RESP_COMMAND);
    resp_parser_deinit(&p);
}

/* A large command leaves a large argv behind, which reset gives back. */
static void reset_gives_memory_back(void **state)
{
    (void)state;
    struct buf bytes;
    buf_init(&bytes);
    buf_reserve(&bytes, 64 * 1024);
    buf_printf(&bytes, "*%d\r\n", 5000);
    for (int i = 0; i < 5000; i++)
        buf_printf(&bytes, "$1\r\n%d\r\n", i % 10);
    struct resp_parser p;
    resp_parser_init(&p);
    assert_int_equal(resp_parse(&p, buf_head(&bytes), buf_size(&bytes), &authenticated), RESP_COMMAND);
    assert_int_equal(p.argc, 5000);
    assert_int_equal(p.consumed, buf_size(&bytes));
    assert_true(resp_parser_memory(&p) >= 5000 * sizeof(struct slice));
    resp_parser_reset(&p);
    assert_true(resp_parser_memory(&p) <= 4096);
    resp_parser_deinit(&p);
    buf_deinit(&bytes);
}

/* A megabyte that arrives byte by byte is not scanned a million times: were each
 * call to look at all bytes again, this would take minutes. */
static void byte_by_byte(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *bytes = malloc(SIZE + 64);
    int head = sprintf(bytes, "*2\r\n$3\r\nSET\r\n$%d\r\n", SIZE);
    memset(bytes + head, '\r', SIZE + 2);
    size_t len = (size_t)head + SIZE + 2;
    struct resp_parser p;
    resp_parser_init(&p);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(resp_parse(&p, bytes, i, &authenticated), RESP_MORE);
    assert_int_equal(p.bytes_needed, len);
    assert_int_equal(resp_parse(&p, bytes, len, &authenticated), RESP_COMMAND);
    assert_int_equal(p.argv[1].len, SIZE);
    /* The same for a line without end. */
    memset(bytes, 'a', RESP_INLINE_BYTES_MAX);
    for (size_t i = 0; i < RESP_INLINE_BYTES_MAX; i++)
        assert_int_equal(resp_parse(&p, bytes, i, &authenticated), RESP_MORE);
    resp_parser_deinit(&p);
    free(bytes);
}

/* What was looked at is not looked at again: the pages a long line has filled are made
 * unreadable while more of it arrives. */
static void scanned_bytes_are_left_alone(void **state)
{
    (void)state;
    enum { PAGE = 4096, PAGES = 15 };
    static const char *const beginnings[] = {"aaaaa", "*1111", "*1\r\n$"};
    for (size_t i = 0; i < 3; i++) {
        struct guarded memory = guarded_create(PAGE * PAGES);
        memset(memory.map, '1', PAGE * PAGES);
        memcpy(memory.map, beginnings[i], 5);
        struct resp_parser p;
        resp_parser_init(&p);
        for (size_t pages = 1; pages <= PAGES; pages++) {
            assert_int_equal(resp_parse(&p, memory.map, pages * PAGE, &authenticated), RESP_MORE);
            if (i < 2) /* a bulk's header is tried once more, at its first bytes */
                assert_int_equal(mprotect(memory.map, pages * PAGE, PROT_NONE), 0);
            else if (pages > 1)
                assert_int_equal(mprotect(memory.map + PAGE, (pages - 1) * PAGE, PROT_NONE), 0);
        }
        resp_parser_deinit(&p);
        guarded_free(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_requests),        cmocka_unit_test(requests_in_pieces),
        cmocka_unit_test(every_prefix),          cmocka_unit_test(strangers_get_little),
        cmocka_unit_test(long_lines),            cmocka_unit_test(claims_allocate_nothing),
        cmocka_unit_test(reset_gives_memory_back), cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(scanned_bytes_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
