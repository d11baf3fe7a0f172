/* Goal: key commands: moving between names and databases, expiry by logical
 * time, walking over keys.
 * Method: replies and events as captured from redis-server 7.0.15; logical
 * time begins at 1000000 ms and is moved by hand. */
#include "fixture.h"

#define SAME_OBJECT "-ERR source and destination objects are the same\r\n"
#define DB_RANGE    "-ERR DB index is out of range\r\n"

static void removing(void **state)
{
    struct fixture *f = *state;
    EXPECT("mset a 1 b 2 c 3", OK);
    EXPECT("exists a a x", ":2\r\n");
    EXPECT("del a x a", ":1\r\n");
    EVENTS("del:a ");
    EXPECT("unlink b c", ":2\r\n");
    EVENTS("del:b del:c ");
    EXPECT("dbsize", ":0\r\n");
    EXPECT("type a", "+none\r\n");
}

static void renaming(void **state)
{
    struct fixture *f = *state;
    EXPECT("rename a b", "-ERR no such key\r\n");
    EXPECT("renamenx a a", "-ERR no such key\r\n");
    EXPECT("set a 1 ex 100", OK);
    EXPECT("rename a a", OK);
    EXPECT("renamenx a a", ":0\r\n");
    EXPECT("set b 2", OK);
    EXPECT("renamenx a b", ":0\r\n");
    EXPECT("rename a b", OK);
    EVENTS("new:b rename_from:a rename_to:b ");
    EXPECT("get b", "$1\r\n1\r\n");
    EXPECT("ttl b", ":100\r\n");
    EXPECT("renamenx b c", ":1\r\n");
}

static void other_databases(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k 1", OK);
    EXPECT("move k x", "-ERR value is not an integer or out of range\r\n");
    EXPECT("move k 99999999999",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    EXPECT("move k 16", DB_RANGE);
    EXPECT("move k -1", DB_RANGE);
    EXPECT("move k 0", SAME_OBJECT);
    EXPECT("move k 1", ":1\r\n");
    EVENTS("new:k@1 move_from:k move_to:k@1 ");
    EXPECT("move k 1", ":0\r\n");
    EXPECT("set k 2", OK);
    EXPECT("move k 1", ":0\r\n");
    EXPECT("copy k k", SAME_OBJECT);
    EXPECT("copy k k db 1", ":0\r\n");
    EXPECT("copy k k replace db 1", ":1\r\n");
    EVENTS("new:k@1 copy_to:k@1 ");
    EXPECT("swapdb 99 x", "-ERR invalid second DB index\r\n");
    EXPECT("swapdb 99 0", DB_RANGE);
    EXPECT("set k 3", OK);
    EXPECT("swapdb 0 1", OK);
    EXPECT("get k", "$1\r\n2\r\n");
    f->db = 1;
    EXPECT("get k", "$1\r\n3\r\n");
    EXPECT("flushdb foo", "-ERR syntax error\r\n");
    EXPECT("flushdb async", OK);
    f->db = 0;
    EXPECT("dbsize", ":1\r\n");
    EXPECT("flushall sync", OK);
    EXPECT("dbsize", ":0\r\n");
}

static void expiring(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k v", OK);
    EXPECT("ttl none", ":-2\r\n");
    EXPECT("ttl k", ":-1\r\n");
    EXPECT("pexpire k 1499", ":1\r\n");
    EVENTS("expire:k ");
    EXPECT("ttl k", ":1\r\n");
    EXPECT("pexpire k 1500", ":1\r\n");
    EXPECT("ttl k", ":2\r\n");
    EXPECT("pexpiretime k", ":1001500\r\n");
    EXPECT("expiretime k", ":1002\r\n");
    keyspace_advance(f->ks, 1001499);
    EXPECT("pttl k", ":1\r\n");
    keyspace_advance(f->ks, 1001500);
    EXPECT("pttl k", ":-2\r\n");
    EXPECT("persist k", ":0\r\n");
    EVENTS("expired:k ");
    EXPECT("set k v", OK);
    EXPECT("expireat k 1001", ":1\r\n");
    EVENTS("del:k ");
    EXPECT("set k v", OK);
    EXPECT("pexpire k 0", ":1\r\n");
    EVENTS("del:k ");
}

static void expiry_conditions(void **state)
{
    struct fixture *f = *state;
    EXPECT("set k v", OK);
    EXPECT("expire k 100 xx", ":0\r\n");
    EXPECT("expire k 100 gt", ":0\r\n");
    EXPECT("expire k 100 lt", ":1\r\n");
    EXPECT("expire k 200 nx", ":0\r\n");
    EXPECT("expire k 100 gt", ":0\r\n");
    EXPECT("expire k 100 lt", ":0\r\n");
    EXPECT("expire k 200 xx gt", ":1\r\n");
    EXPECT("expire k 50 xx lt", ":1\r\n");
    EXPECT("persist k", ":1\r\n");
    EXPECT("expire k 100 nx", ":1\r\n");
    EXPECT("expire k 1 foo", "-ERR Unsupported option foo\r\n");
    EXPECT("expire k 1 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
    EXPECT("expire k 1 gt lt", "-ERR GT and LT options at the same time are not compatible\r\n");
}

static void expiry_far_away(void **state)
{
    struct fixture *f = *state;
    EXPECT("expire none 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT("pexpire none 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
    EXPECT("set k v", OK);
    EXPECT("pexpireat k 9223372036854775807", ":1\r\n");
    EXPECT("pttl k", ":9223372036853775807\r\n");
    EXPECT("expiretime k", ":9223372036854776\r\n");
    EXPECT("expire k -9223372036854776", "-ERR invalid expire time in 'expire' command\r\n");
    EXPECT("expire k -9223372036854775", ":1\r\n");
    EXPECT("exists k", ":0\r\n");
}

static void walking(void **state)
{
    struct fixture *f = *state;
    EXPECT("scan x", "-ERR invalid cursor\r\n");
    EXPECT("scan -", "-ERR invalid cursor\r\n");
    EXPECT("scan 18446744073709551616", "-ERR invalid cursor\r\n");
    struct slice with_zero[] = {SLICE_LITERAL("scan"), SLICE_LITERAL("0\0x")};
    assert_true(fixture_run(f, 2, with_zero).ptr[0] == '*');
    EXPECT("scan 0 count 0", "-ERR syntax error\r\n");
    EXPECT("scan 0 match", "-ERR syntax error\r\n");
    EXPECT("randomkey", NONE);
    EXPECT("keys *", "*0\r\n");
    EXPECT("mset key:1 a other b", OK);
    EXPECT("keys key:*", "*1\r\n$5\r\nkey:1\r\n");
    EXPECT("scan 0 match k* count 100", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nkey:1\r\n");
    EXPECT("scan 0 type list count 100", "*2\r\n$1\r\n0\r\n*0\r\n");
    EXPECT("scan 0 type STRING match other count 100", "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nother\r\n");
    EXPECT("expireat other 1001", ":1\r\n");
    keyspace_advance(f->ks, 1001000);
    EXPECT("keys *", "*1\r\n$5\r\nkey:1\r\n");
    EXPECT("randomkey", "$5\r\nkey:1\r\n");
}

/* Every key is met, whatever the count. */
static void scanning_in_steps(void **state)
{
    struct fixture *f = *state;
    char line[64];
    enum { KEYS = 500 };
    bool met[KEYS] = {0};
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "set %d x", i);
        EXPECT(line, OK);
    }
    unsigned long long cursor = 0;
    do {
        snprintf(line, sizeof line, "scan %llu count 7", cursor);
        struct slice reply = fixture_run_line(f, line);
        char text[4096] = "";
        assert_true(reply.len < sizeof text);
        memcpy(text, reply.ptr, reply.len);
        char *at = strtok(text, "\r\n"); /* *2, $n, cursor, *n, then $n and key each */
        for (int word = 0; at; word++, at = strtok(NULL, "\r\n"))
            if (word == 2)
                cursor = strtoull(at, NULL, 10);
            else if (word > 3 && *at != '$')
                met[atoi(at)] = true;
    } while (cursor);
    for (int i = 0; i < KEYS; i++)
        assert_true(met[i]);
}

static void values_inside(void **state)
{
    struct fixture *f = *state;
    EXPECT("mset n 9999 m 10000 t x", OK);
    EXPECT("object refcount n", ":2147483647\r\n");
    EXPECT("object refcount m", ":1\r\n");
    EXPECT("object refcount none", NONE);
    EXPECT("object idletime t", ":0\r\n");
    keyspace_set_access_clock(f->ks, 5000);
    EXPECT("touch t none", ":1\r\n");
    keyspace_set_access_clock(f->ks, 12000);
    EXPECT("exists t", ":1\r\n");
    EXPECT("object idletime t", ":7\r\n");
    assert_true(fixture_run_line(f, "object freq t").ptr[0] == '-');
    keyspace_set_lfu(f->ks, true);
    assert_true(fixture_run_line(f, "object freq t").ptr[0] == ':');
    assert_true(fixture_run_line(f, "object idletime t").ptr[0] == '-');
    assert_true(fixture_run_line(f, "memory usage t samples 0").ptr[0] == ':');
    EXPECT("memory usage none", NONE);
    EXPECT("memory usage t samples -1", "-ERR syntax error\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(removing), FIXTURE_TEST(renaming),          FIXTURE_TEST(other_databases),
        FIXTURE_TEST(expiring), FIXTURE_TEST(expiry_conditions), FIXTURE_TEST(expiry_far_away),
        FIXTURE_TEST(walking),  FIXTURE_TEST(scanning_in_steps), FIXTURE_TEST(values_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
