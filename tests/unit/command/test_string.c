/* Goal: string commands at their edges: numbers at both ends of their range,
 * lengths at the limit, every conflict of options.
 * Method: command lines on one keyspace; replies and events as captured from
 * redis-server 7.0.15.  Logical time stands at 1000000 ms unless moved. */
#include "fixture.h"

#define SYNTAX   "-ERR syntax error\r\n"
#define BAD_INT  "-ERR value is not an integer or out of range\r\n"
#define BAD_TIME "-ERR invalid expire time in 'set' command\r\n"

static void set_stores_in_smallest_form(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k v", OK);
    EVENTS("new:k set:k ");
    EXPECT("set k w", OK);
    EVENTS("set:k ");
    EXPECT("object encoding k", "$6\r\nembstr\r\n");
    EXPECT("set k 12", OK);
    EXPECT("object encoding k", "$3\r\nint\r\n");
    EXPECT("set k 012", OK);
    EXPECT("object encoding k", "$6\r\nembstr\r\n");
    EXPECT("set k 123456789012345678901234567890123456789012345", OK);
    EXPECT("object encoding k", "$3\r\nraw\r\n");
}

static void set_options_exclude_each_other(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k v nx xx", SYNTAX);
    EXPECT("set k v ex 1 px 1", SYNTAX);
    EXPECT("set k v ex 1 keepttl", SYNTAX);
    EXPECT("set k v keepttl exat 1", SYNTAX);
    EXPECT("set k v persist", SYNTAX);
    EXPECT("set k v ex", SYNTAX);
    EXPECT("set k v foo", SYNTAX);
    EXPECT("set k v ex 5 ex 10", OK);
    EXPECT("ttl k", ":10\r\n");
    EXPECT("getex k keepttl", SYNTAX);
    EXPECT("getex k nx", SYNTAX);
    EXPECT("getex k persist ex 1", SYNTAX);
}

static void set_conditions(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k v xx", NONE);
    EVENTS("");
    EXPECT("set k v xx get", NONE);
    EVENTS("keymiss:k ");
    EXPECT("set k v nx get", NONE);
    EXPECT("set k w nx", NONE);
    EXPECT("set k w nx get", "$1\r\nv\r\n");
    EXPECT("set k w xx get", "$1\r\nv\r\n");
    EXPECT("get k", "$1\r\nw\r\n");
    EXPECT("setnx k x", ":0\r\n");
    EXPECT("getset k 1", "$1\r\nw\r\n");
}

static void set_times(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k v ex 0", BAD_TIME);
    EXPECT("set k v px -1", BAD_TIME);
    EXPECT("set k v ex x", BAD_INT);
    EXPECT("set k v ex 9223372036854776", BAD_TIME);
    EXPECT("set k v px 9223372036854775807", BAD_TIME);
    EXPECT("set k v px 9223372036853775807", OK);
    EXPECT("pexpiretime k", ":9223372036854775807\r\n");
    EXPECT("set k v pxat 9223372036854775807", OK);
    EXPECT("set k v pxat 1000001", OK);
    EVENTS("set:k expire:k ");
    EXPECT("set k w keepttl", OK);
    EXPECT("pttl k", ":1\r\n");
    EXPECT("set k v pxat 1000000", OK);
    EVENTS("set:k expire:k expired:k ");
    EXPECT("dbsize", ":0\r\n");
    EXPECT("get k", NONE);
    EXPECT("set k v ex 10", OK);
    EXPECT("set k v", OK);
    EXPECT("ttl k", ":-1\r\n");
    EXPECT("setex k 0 v", "-ERR invalid expire time in 'setex' command\r\n");
    EXPECT("psetex k 5 v", OK);
    EVENTS("set:k expire:k ");
}

static void getex_changes_the_expiry(void **state)
{
    struct fixture *f = *state;
    EXPECT("getex k ex x", NONE);
    EXPECT("set k v", OK);
    EXPECT("getex k", "$1\r\nv\r\n");
    EVENTS("");
    EXPECT("getex k persist", "$1\r\nv\r\n");
    EVENTS("");
    EXPECT("getex k px 5", "$1\r\nv\r\n");
    EVENTS("expire:k ");
    EXPECT("getex k persist", "$1\r\nv\r\n");
    EVENTS("persist:k ");
    EXPECT("getex k exat 1000", "$1\r\nv\r\n");
    EVENTS("del:k ");
    EXPECT("exists k", ":0\r\n");
    EXPECT("set k v", OK);
    EXPECT("getdel k", "$1\r\nv\r\n");
    EVENTS("del:k ");
}

static void many_at_once(void **state)
{
    struct fixture *f = *state;
    EXPECT("mset a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    EXPECT("mset a 1 b 2 a 3", OK);
    EVENTS("new:a set:a new:b set:b set:a ");
    EXPECT("msetnx c 1 a 2", ":0\r\n");
    EVENTS("");
    EXPECT("msetnx c 1 c 2", ":1\r\n");
    EXPECT("mget a x c", "*3\r\n$1\r\n3\r\n$-1\r\n$1\r\n2\r\n");
    EVENTS("keymiss:x ");
}

static void counters_stop_at_the_ends(void **state)
{
    struct fixture *f = *state;
    EXPECT("incr n", ":1\r\n");
    EVENTS("new:n incrby:n ");
    EXPECT("set n 9223372036854775807", OK);
    EXPECT("incr n", "-ERR increment or decrement would overflow\r\n");
    EXPECT("decrby n 9223372036854775807", ":0\r\n");
    EXPECT("decrby n -9223372036854775808", "-ERR decrement would overflow\r\n");
    EXPECT("incrby n -9223372036854775808", ":-9223372036854775808\r\n");
    EXPECT("decr n", "-ERR increment or decrement would overflow\r\n");
    EXPECT("incrby n 9223372036854775808", BAD_INT);
    EXPECT("set n 01", OK);
    EXPECT("incr n", BAD_INT);
    EXPECT("append m 12", ":2\r\n");
    EXPECT("append m 3", ":3\r\n");
    EXPECT("incr m", ":124\r\n");
    EXPECT("object encoding m", "$3\r\nint\r\n");
}

static void counters_keep_the_expiry(void **state)
{
    struct fixture *f = *state;
    EXPECT("set n 1 px 500", OK);
    EXPECT("incr n", ":2\r\n");
    EXPECT("incrbyfloat n 1.5", "$3\r\n3.5\r\n");
    EXPECT("pttl n", ":500\r\n");
    keyspace_advance(f->ks, 1000500);
    EXPECT("incr n", ":1\r\n");
    EVENTS("expired:n new:n incrby:n ");
    EXPECT("pttl n", ":-1\r\n");
}

static void floats(void **state)
{
    struct fixture *f = *state;
    EXPECT("set f 3.0", OK);
    EXPECT("incrbyfloat f 2", "$1\r\n5\r\n");
    EVENTS("incrbyfloat:f ");
    EXPECT("object encoding f", "$6\r\nembstr\r\n");
    EXPECT("incrbyfloat f nan", "-ERR value is not a valid float\r\n");
    EXPECT("incrbyfloat f inf", "-ERR increment would produce NaN or Infinity\r\n");
    EXPECT("set f 5.0e3", OK);
    EXPECT("incrbyfloat f 2.0e2", "$4\r\n5200\r\n");
    EXPECT("set f x", OK);
    EXPECT("incrbyfloat f 1", "-ERR value is not a valid float\r\n");
}

static void ranges(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k hello", OK);
    EXPECT("getrange k 1 -2", "$3\r\nell\r\n");
    EXPECT("getrange k -100 100", "$5\r\nhello\r\n");
    EXPECT("getrange k -1 -3", "$0\r\n\r\n");
    EXPECT("getrange k 3 1", "$0\r\n\r\n");
    EXPECT("getrange k 5 9", "$0\r\n\r\n");
    EXPECT("getrange k -9223372036854775808 9223372036854775807", "$5\r\nhello\r\n");
    EXPECT("set n -123", OK);
    EXPECT("substr n 0 1", "$2\r\n-1\r\n");
    EXPECT("setrange k 7 x", ":8\r\n");
    struct slice padded = fixture_run_line(f, "get k");
    assert_memory_equal(padded.ptr, "$8\r\nhello\0\0x\r\n", 14);
}

static void setrange_limits(void **state)
{
    struct fixture *f = *state;
    EXPECT("setrange k -1 x", "-ERR offset is out of range\r\n");
    EXPECT("setrange k 536870912 ", ":0\r\n");
    EXPECT("setrange k 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT("setrange k 9223372036854775807 x",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    EXPECT("exists k", ":0\r\n");
    EXPECT("setrange k 2 x", ":3\r\n");
    EVENTS("new:k setrange:k ");
    EXPECT("setrange k 0 ab", ":3\r\n");
    EXPECT("get k", "$3\r\nabx\r\n");
    EXPECT("strlen k", ":3\r\n");
}

static void common_subsequences(void **state)
{
    struct fixture *f = *state;
    EXPECT("mset a ohmytext b mynewtext", OK);
    EXPECT("lcs a b", "$6\r\nmytext\r\n");
    EXPECT("lcs a b len", ":6\r\n");
    EXPECT(
        "lcs a b idx minmatchlen 4 withmatchlen",
        "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n");
    EXPECT("lcs a none", "$0\r\n\r\n");
    EXPECT("lcs a b idx len", "-ERR If you want both the length and indexes, please just use IDX.\r\n");
    EXPECT("setrange x 30000 x", ":30001\r\n");
    EXPECT("lcs x x len",
           "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(set_stores_in_smallest_form),
        FIXTURE_TEST(set_options_exclude_each_other),
        FIXTURE_TEST(set_conditions),
        FIXTURE_TEST(set_times),
        FIXTURE_TEST(getex_changes_the_expiry),
        FIXTURE_TEST(many_at_once),
        FIXTURE_TEST(counters_stop_at_the_ends),
        FIXTURE_TEST(counters_keep_the_expiry),
        FIXTURE_TEST(floats),
        FIXTURE_TEST(ranges),
        FIXTURE_TEST(setrange_limits),
        FIXTURE_TEST(common_subsequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
