/* Goal: argument readers accept what Redis accepts and word refusals as it
 * does; a run of commands gives the same with prefetched hashes as without.
 * Method: readers on made-up calls; two keyspaces fed the same commands. */
#include "fixture.h"

#include "base/random.h"

struct made_up {
    struct call call;
    struct slice argv[2];
    struct command row;
};

static struct call *call_with(struct fixture *f, struct made_up *m, const char *argument)
{
    buf_clear(&f->out);
    m->row = (struct command){.name = "test"};
    m->argv[0] = SLICE_LITERAL("test");
    m->argv[1] = slice_from(argument);
    m->call = (struct call){.ks = f->ks,
                            .reply = &f->reply,
                            .command = &m->row,
                            .argc = 2,
                            .argv = m->argv,
                            .now_ms = keyspace_now(f->ks)};
    return &m->call;
}

static void assert_reply(struct fixture *f, const char *bytes)
{
    assert_true(slice_equal(buf_slice(&f->out), slice_from(bytes)));
}

static void integers(void **state)
{
    struct fixture *f = *state;
    struct made_up m;
    int64_t value = 7;
    int small = 7;
    assert_true(call_int64(call_with(f, &m, "-9223372036854775808"), 1, &value));
    assert_true(value == INT64_MIN);
    assert_false(call_int64(call_with(f, &m, " 1"), 1, &value));
    assert_reply(f, "-ERR value is not an integer or out of range\r\n");
    assert_false(call_int64_or(call_with(f, &m, "+1"), 1, &value, "ERR mine"));
    assert_reply(f, "-ERR mine\r\n");
    assert_true(value == INT64_MIN);
    assert_true(call_int_or(call_with(f, &m, "2147483647"), 1, &small, NULL));
    assert_false(call_int_or(call_with(f, &m, "2147483648"), 1, &small, NULL));
    assert_reply(f, "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    assert_false(call_int_or(call_with(f, &m, "2147483648"), 1, &small, "ERR mine"));
    assert_reply(f, "-ERR mine\r\n");
    assert_int_equal(small, INT32_MAX);
}

static void databases(void **state)
{
    struct fixture *f = *state;
    struct made_up m;
    int db = 0;
    assert_true(call_db_index(call_with(f, &m, "15"), 1, &db, NULL));
    assert_int_equal(db, 15);
    assert_false(call_db_index(call_with(f, &m, "16"), 1, &db, NULL));
    assert_reply(f, "-ERR DB index is out of range\r\n");
    assert_false(call_db_index(call_with(f, &m, "x"), 1, &db, "ERR invalid DB index"));
    assert_reply(f, "-ERR invalid DB index\r\n");
}

static void floats(void **state)
{
    struct fixture *f = *state;
    struct made_up m;
    long double value = 7;
    assert_true(call_long_double(call_with(f, &m, "-2.5e1"), 1, &value));
    assert_true(value == -25);
    assert_false(call_long_double(call_with(f, &m, "1.5 "), 1, &value));
    assert_reply(f, "-ERR value is not a valid float\r\n");
}

static void times(void **state)
{
    struct fixture *f = *state;
    struct made_up m;
    const struct call_time after = {.is_seconds = true}, at = {.is_absolute = true};
    const struct call_time past = {.is_seconds = true, .is_absolute = true, .may_be_past = true};
    int64_t when = 7;
    assert_true(call_expire_at(call_with(f, &m, "10"), 1, after, &when));
    assert_int_equal(when, 1010000);
    assert_true(call_expire_at(call_with(f, &m, "10"), 1, at, &when));
    assert_int_equal(when, 10);
    assert_true(call_expire_at(call_with(f, &m, "-10"), 1, past, &when));
    assert_int_equal(when, -10000);
    assert_false(call_expire_at(call_with(f, &m, "0"), 1, at, &when));
    assert_reply(f, "-ERR invalid expire time in 'test' command\r\n");
    assert_false(call_expire_at(call_with(f, &m, "9223372036854775"), 1, after, &when));
    assert_int_equal(when, -10000);
}

enum { BYTES_MAX = 24, WORDS = 3 };
struct line {
    char bytes[WORDS][BYTES_MAX];
    struct slice argv[WORDS];
    int argc;
};

static void make_line(struct line *line, struct random *random)
{
    static const char *const names[] = {"get",   "incr",   "del",       "set",
                                        "setnx", "append", "randomkey", "dbsize"};
    uint64_t kind = random_below(random, 8);
    line->argc = kind < 3 ? 2 : kind < 6 ? 3 : 1;
    snprintf(line->bytes[0], BYTES_MAX, "%s", names[kind]);
    snprintf(line->bytes[1], BYTES_MAX, "key:%d", (int)random_below(random, 20));
    snprintf(line->bytes[2], BYTES_MAX, "%d", (int)random_below(random, 1000));
    for (int i = 0; i < WORDS; i++)
        line->argv[i] = slice_from(line->bytes[i]);
}

static void prefetching_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct keyspace_options options = {.database_count = 16};
    struct keyspace *other = keyspace_create(&options);
    struct random random;
    random_init(&random, 3);
    for (int round = 0; round < 200; round++) {
        static struct line lines[COMMAND_RUN_MAX];
        struct call calls[COMMAND_RUN_MAX];
        uint64_t hashes[COMMAND_RUN_MAX];
        struct buf hinted = {0};
        struct reply reply = {.out = &hinted, .protocol = 2};
        buf_clear(&f->out);
        for (int i = 0; i < COMMAND_RUN_MAX; i++) {
            make_line(&lines[i], &random);
            calls[i] = (struct call){.ks = other,
                                     .reply = &reply,
                                     .argc = lines[i].argc,
                                     .argv = lines[i].argv,
                                     .command = command_find(f->table, lines[i].argv[0])};
        }
        command_prefetch(calls, COMMAND_RUN_MAX, hashes);
        for (int i = 0; i < COMMAND_RUN_MAX; i++) {
            command_run_hinted(&calls[i], hashes[i]);
            calls[i].ks = f->ks;
            calls[i].reply = &f->reply;
            command_run(&calls[i]);
        }
        assert_true(slice_equal(buf_slice(&hinted), buf_slice(&f->out)));
        buf_deinit(&hinted);
    }
    struct digest a = keyspace_digest(f->ks), b = keyspace_digest(other);
    assert_true(a.low == b.low && a.high == b.high);
    keyspace_free(other);
}

/* Other bytes come to lie where a key was that a failed command never used. */
static void a_hint_does_not_outlive_its_call(void **state)
{
    struct fixture *f = *state;
    char key[] = "a";
    struct slice argv[] = {SLICE_LITERAL("set"), slice_make(key, 1), SLICE_LITERAL("v"),
                           SLICE_LITERAL("oops")};
    struct call c = {.ks = f->ks,
                     .reply = &f->reply,
                     .argc = 4,
                     .argv = argv,
                     .command = command_find(f->table, SLICE_LITERAL("set"))};
    uint64_t hash;
    command_prefetch(&c, 1, &hash);
    command_run_hinted(&c, hash);
    assert_true(f->reply.is_error);
    key[0] = 'b';
    fixture_run(f, 3, argv);
    EXPECT("get b", "$1\r\nv\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(integers),
        FIXTURE_TEST(databases),
        FIXTURE_TEST(floats),
        FIXTURE_TEST(times),
        FIXTURE_TEST(prefetching_changes_nothing),
        FIXTURE_TEST(a_hint_does_not_outlive_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
