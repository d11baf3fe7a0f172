/* Goal: bit commands at their edges: the last bit of the longest string,
 * ranges inside a byte, fields of every width across byte borders.
 * Method: replies as captured from redis-server 7.0.15; counting, searching
 * and fields against a plain loop over bits, over random strings. */
#include "fixture.h"

#include "base/random.h"

static void single_bits(void **state)
{
    struct fixture *f = *state;
    EXPECT("setbit k 7 1", ":0\r\n");
    EVENTS("new:k setbit:k ");
    EXPECT("setbit k 7 1", ":1\r\n");
    EVENTS("");
    EXPECT("setbit k 15 0", ":0\r\n");
    EVENTS("setbit:k ");
    EXPECT("strlen k", ":2\r\n");
    EXPECT("getbit k 7", ":1\r\n");
    EXPECT("getbit k 4294967295", ":0\r\n");
    EXPECT("getbit k 4294967296", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT("setbit k -1 1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT("setbit k 0 2", "-ERR bit is not an integer or out of range\r\n");
    EXPECT("set n 10", OK);
    EXPECT("setbit n 6 0", ":0\r\n");
    EXPECT("get n", "$2\r\n10\r\n");
    EXPECT("object encoding n", "$3\r\nraw\r\n");
}

static void searches_beyond_the_end(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k \xff\xff", OK);
    EXPECT("bitpos k 0", ":16\r\n");
    EXPECT("bitpos k 0 1", ":16\r\n");
    EXPECT("bitpos k 0 0 -1", ":-1\r\n");
    EXPECT("bitpos k 0 2", ":-1\r\n");
    EXPECT("bitpos none 0", ":0\r\n");
    EXPECT("bitpos none 1", ":-1\r\n");
    EXPECT("bitpos k 1 3 5 bit", ":3\r\n");
    EXPECT("bitcount k 3 9 bit", ":7\r\n");
    EXPECT("bitcount k 0", "-ERR syntax error\r\n");
    EXPECT("bitcount k -1 -2 foo", ":0\r\n");
    EXPECT("bitpos k 2", "-ERR The bit argument must be 1 or 0.\r\n");
}

enum { RANDOM_BYTES = 24, BITS = RANDOM_BYTES * 8 };

static bool plain_bit(const char *bytes, int64_t at)
{
    return (unsigned char)bytes[at / 8] >> (7 - at % 8) & 1;
}

static int64_t number_of(struct slice reply)
{
    int64_t value;
    assert_true(reply.ptr[0] == ':');
    assert_true(slice_to_int64(slice_make(reply.ptr + 1, reply.len - 3), &value));
    return value;
}

static void store_random(struct fixture *f, struct random *random, char bytes[static RANDOM_BYTES])
{
    static const unsigned char extremes[] = {0x00, 0xff};
    for (int i = 0; i < RANDOM_BYTES; i++) {
        uint64_t roll = random_below(random, 6);
        bytes[i] = (char)(roll < 2 ? extremes[roll] : random_next(random));
    }
    struct slice argv[] = {SLICE_LITERAL("set"), SLICE_LITERAL("k"), slice_make(bytes, RANDOM_BYTES)};
    fixture_run(f, 3, argv);
}

static void ranges_match_a_plain_loop(void **state)
{
    struct fixture *f = *state;
    struct random random;
    random_init(&random, 7);
    for (int round = 0; round < 300; round++) {
        char bytes[RANDOM_BYTES], line[64];
        store_random(f, &random, bytes);
        int64_t first = (int64_t)random_below(&random, BITS), last = (int64_t)random_below(&random, BITS);
        int64_t ones = 0, found = -1;
        for (int64_t at = last; at >= first; at--) {
            ones += plain_bit(bytes, at);
            found = plain_bit(bytes, at) ? at : found;
        }
        snprintf(line, sizeof line, "bitcount k %d %d bit", (int)first, (int)last);
        assert_int_equal(number_of(fixture_run_line(f, line)), ones);
        snprintf(line, sizeof line, "bitpos k 1 %d %d bit", (int)first, (int)last);
        assert_int_equal(number_of(fixture_run_line(f, line)), found);
    }
}

static void fields_of_every_width(void **state)
{
    struct fixture *f = *state;
    struct random random;
    random_init(&random, 8);
    for (int round = 0; round < 500; round++) {
        char bytes[RANDOM_BYTES], line[64];
        store_random(f, &random, bytes);
        int width = 1 + (int)random_below(&random, 63), offset = (int)random_below(&random, BITS - 64);
        uint64_t expected = 0;
        for (int i = 0; i < width; i++)
            expected = expected << 1 | plain_bit(bytes, offset + i);
        snprintf(line, sizeof line, "bitfield_ro k get u%d %d", width, offset);
        struct slice reply = fixture_run_line(f, line);
        assert_int_equal(number_of(slice_make(reply.ptr + 4, reply.len - 4)), expected);
        int64_t as_signed = (int64_t)(expected << (64 - width)) >> (64 - width);
        snprintf(line, sizeof line, "bitfield_ro k get i%d %d", width, offset);
        reply = fixture_run_line(f, line);
        assert_int_equal(number_of(slice_make(reply.ptr + 4, reply.len - 4)), as_signed);
    }
}

static void fields_overflow(void **state)
{
    struct fixture *f = *state;
    EXPECT("bitfield k set u8 0 300", "*1\r\n:0\r\n");
    EVENTS("new:k setbit:k ");
    EXPECT("bitfield k get u8 0 overflow sat incrby u8 0 300 overflow fail incrby u8 0 1",
           "*3\r\n:44\r\n:255\r\n$-1\r\n");
    EXPECT("bitfield k overflow sat set i8 0 -1000 get i8 0", "*2\r\n:-1\r\n:-128\r\n");
    EXPECT("bitfield k incrby i8 0 -1", "*1\r\n:127\r\n");
    EXPECT("bitfield w set i64 0 9223372036854775807 incrby i64 0 1",
           "*2\r\n:0\r\n:-9223372036854775808\r\n");
    EXPECT("bitfield w overflow sat incrby i64 0 -1", "*1\r\n:-9223372036854775808\r\n");
    EXPECT("bitfield w overflow fail set u63 1 -1", "*1\r\n$-1\r\n");
    EXPECT("bitfield w set u63 #0 -1", "*1\r\n:4611686018427387904\r\n");
    EXPECT("bitfield none overflow fail incrby u2 0 4", "*1\r\n$-1\r\n");
    EVENTS("new:none ");
    EXPECT("bitfield nothing get u2 0", "*1\r\n:0\r\n");
    EXPECT("exists nothing", ":0\r\n");
}

static void fields_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *type =
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
        "i64 is.\r\n";
    EXPECT("bitfield k get u64 0", type);
    EXPECT("bitfield k get i65 0", type);
    EXPECT("bitfield k get i0 0", type);
    EXPECT("bitfield k get I8 0", type);
    EXPECT("bitfield k get u8 -1", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT("bitfield k get u8 #9223372036854775807", "-ERR bit offset is not an integer or out of range\r\n");
    EXPECT("bitfield k overflow x", "-ERR Invalid OVERFLOW type specified\r\n");
    EXPECT("bitfield k set u8 0 1 get", "-ERR syntax error\r\n");
    EXPECT("bitfield_ro k set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
    EXPECT("exists k", ":0\r\n");
}

static void combining(void **state)
{
    struct fixture *f = *state;
    EXPECT("mset a abc b a", OK);
    EXPECT("bitop and d a b", ":3\r\n");
    EVENTS("new:d set:d ");
    EXPECT("bitcount d", ":3\r\n");
    EXPECT("bitop or a a b", ":3\r\n");
    EXPECT("get a", "$3\r\nabc\r\n");
    EXPECT("bitop xor a a a", ":3\r\n");
    EXPECT("bitcount a", ":0\r\n");
    EXPECT("bitop not b b", ":1\r\n");
    EXPECT("bitcount b", ":5\r\n");
    EXPECT("bitop not b a b", "-ERR BITOP NOT must be called with a single source key.\r\n");
    EXPECT("bitop or d none none2", ":0\r\n");
    EVENTS("keymiss:none keymiss:none2 del:d ");
    EXPECT("expire a 100", ":1\r\n");
    EXPECT("bitop or a b b", ":1\r\n");
    EXPECT("ttl a", ":-1\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(single_bits),
        FIXTURE_TEST(searches_beyond_the_end),
        FIXTURE_TEST(ranges_match_a_plain_loop),
        FIXTURE_TEST(fields_of_every_width),
        FIXTURE_TEST(fields_overflow),
        FIXTURE_TEST(fields_are_refused),
        FIXTURE_TEST(combining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
