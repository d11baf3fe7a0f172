/* Goal: SPOP and its kin take the same members on every replica, whatever its
 * hash secret, also on one that was filled from saved values in the middle; they
 * take what was there, and every member has its chance.
 *
 * Method: the same random commands with the same seeds on keyspaces with
 * different secrets; half-way a third is made from the saved values of the
 * first.  Replies, events and digests must be equal. */
#include "fixture.h"

#include "base/alloc.h"
#include "base/random.h"
#include "store/set_value.h"

enum { KEYS = 4, STEPS = 3000 };

struct replica {
    struct keyspace *ks;
    struct buf out, events;
    struct reply reply;
};

static void note(void *context, enum keyspace_event_class event_class, const char *name, int db, struct slice key)
{
    buf_printf(context, "%d %s %d %.*s\n", (int)event_class, name, db, (int)key.len, key.ptr);
}

static void open_replica(struct replica *r, unsigned char secret)
{
    *r = (struct replica){0};
    struct keyspace_options options = {
        .database_count = 1, .hash_secret = {secret}, .on_event = note, .event_context = &r->events};
    r->ks = keyspace_create(&options);
    r->reply = (struct reply){.out = &r->out, .protocol = 2};
}

static void close_replica(struct replica *r)
{
    keyspace_check(r->ks);
    keyspace_free(r->ks);
    buf_deinit(&r->out);
    buf_deinit(&r->events);
}

static void run(struct replica *r, const struct command_table *table, const char *line, uint64_t seed)
{
    struct slice argv[FIXTURE_ARGUMENTS_MAX];
    char error[COMMAND_ERROR_MAX];
    int argc = 0;
    for (const char *at = line; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        argv[argc++] = slice_make(at, length);
        at += length;
    }
    buf_clear(&r->out);
    buf_clear(&r->events);
    struct call c = {.ks = r->ks, .reply = &r->reply, .argc = argc, .argv = argv, .seed = seed, .table = table};
    c.command = command_resolve(table, argc, argv, error);
    assert_non_null(c.command);
    command_run(&c);
}

/* Members that are integers, short and long, so that sets pass through all
 * their forms. */
static void random_line(struct random *random, char *line, size_t size)
{
    static const char *const shapes[] = {"SADD k%d %d %d %d", "SADD k%d m%d n%d m%d", "SADD k%d %070d %d m%d",
                                         "SREM k%d %d m%d %d", "SPOP k%d", "SPOP k%d %d", "SMOVE k%d k%d m%d",
                                         "SSCAN k%d 0 COUNT %d", "SRANDMEMBER k%d %d", "SUNIONSTORE k%d k%d k%d",
                                         "SDIFFSTORE k%d k%d k%d", "SINTERSTORE k%d k%d k%d", "SADD k%d m%d m%d"};
    int key = (int)random_below(random, KEYS), n[3];
    size_t shape = random_below(random, sizeof shapes / sizeof *shapes + 6);
    if (shape >= sizeof shapes / sizeof *shapes)
        shape %= 3;
    bool names_keys = strstr(shapes[shape], "STORE") || strstr(shapes[shape], "SMOVE");
    for (int i = 0; i < 3; i++)
        n[i] = (int)random_below(random, names_keys && i < 2 ? KEYS : 400);
    if (strstr(shapes[shape], "SPOP"))
        n[0] %= 12;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, size, shapes[shape], key, n[0], n[1], n[2]);
#pragma GCC diagnostic pop
}

/* What a snapshot does with each set. */
static void transfer(struct replica *from, struct replica *to)
{
    for (int k = 0; k < KEYS; k++) {
        char name[8];
        struct slice key = slice_make(name, (size_t)snprintf(name, sizeof name, "k%d", k));
        struct entry *e = keyspace_peek(from->ks, 0, key);
        if (!e)
            continue;
        struct value v = entry_value(e), loaded = {NULL, v.encoding};
        struct value_cursor cursor = {0};
        while (!cursor.is_done) {
            struct buf part;
            buf_init(&part);
            set_object_type.save(&v, &cursor, &part, 100);
            assert_true(set_object_type.load(&loaded, keyspace_env(to->ks), buf_slice(&part), cursor.is_done));
            buf_deinit(&part);
        }
        keyspace_set_value(to->ks, 0, key, VALUE_SET, loaded, EXPIRE_NONE);
    }
}

static void assert_same(const struct replica *a, const struct replica *b)
{
    assert_true(slice_equal(buf_slice(&a->out), buf_slice(&b->out)));
    assert_true(slice_equal(buf_slice(&a->events), buf_slice(&b->events)));
    struct digest x = keyspace_digest(a->ks), y = keyspace_digest(b->ks);
    assert_true(x.low == y.low);
    assert_true(x.high == y.high);
}

static void test_replicas_agree(void **state)
{
    (void)state;
    struct command_table *table = command_table_create();
    command_table_add_data_types(table);
    size_t forms[ENCODING_STREAM + 1] = {0};
    for (uint64_t round = 0; round < 4; round++) {
        struct replica replicas[3];
        struct random random;
        char line[128];
        int count = 2;
        random_init(&random, round);
        for (unsigned char i = 0; i < 3; i++)
            open_replica(&replicas[i], i);
        for (int step = 0; step < STEPS; step++) {
            random_line(&random, line, sizeof line);
            uint64_t seed = random_next(&random);
            for (int i = 0; i < count; i++)
                run(&replicas[i], table, line, seed);
            for (int i = 1; i < count; i++)
                assert_same(&replicas[0], &replicas[i]);
            struct entry *e = keyspace_peek(replicas[0].ks, 0, SLICE_LITERAL("k0"));
            if (e)
                forms[entry_encoding(e)]++;
            if (step == STEPS / 2) {
                transfer(&replicas[0], &replicas[2]);
                count = 3;
            }
        }
        for (int i = 0; i < 3; i++)
            close_replica(&replicas[i]);
    }
    command_table_free(table);
    assert_true(forms[ENCODING_INTSET] > 50);
    assert_true(forms[ENCODING_SMALL_SET] > 50);
    assert_true(forms[ENCODING_HASHTABLE] > 50);
}

/* What is popped was there, and is gone; over many seeds each member comes up
 * about as often, in every form. */
static void test_pops_uniformly(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 8, ROUNDS = 4000 };
    static const char *const extra[] = {"", " x", " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
    for (int form = 0; form < 3; form++) {
        size_t seen[SIZE] = {0};
        char line[160];
        snprintf(line, sizeof line, "SADD all 0 1 2 3 4 5 6 7%s", extra[form]);
        fixture_run_line(f, line);
        if (form) {
            snprintf(line, sizeof line, "SREM all%s", extra[form]);
            EXPECT(line, ":1\r\n");
        }
        for (uint64_t seed = 0; seed < ROUNDS; seed++) {
            f->seed = random_mix(seed);
            EXPECT("COPY all k REPLACE", ":1\r\n");
            struct slice reply = fixture_run_line(f, "SPOP k");
            assert_int_equal(reply.len, 7);
            int member = reply.ptr[4] - '0';
            assert_in_range(member, 0, SIZE - 1);
            seen[member]++;
            snprintf(line, sizeof line, "SISMEMBER k %d", member);
            EXPECT(line, ":0\r\n");
            EXPECT("SCARD k", ":7\r\n");
        }
        for (int i = 0; i < SIZE; i++)
            assert_in_range(seen[i], ROUNDS / SIZE * 8 / 10, ROUNDS / SIZE * 12 / 10);
        EXPECT("DEL all k", ":2\r\n");
    }
}

static void test_pops_many(void **state)
{
    struct fixture *f = *state;
    char line[64];
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "SADD k m%d", i);
        EXPECT(line, ":1\r\n");
    }
    for (int left = 300; left > 0; left -= 7) {
        f->seed++;
        int count = left < 7 ? left : 7;
        char gone[16][8];
        struct slice reply = fixture_run_line(f, "SPOP k 7");
        assert_int_equal(reply.ptr[1] - '0', count);
        const char *at = reply.ptr + 4;
        for (int i = 0; i < count; i++) {
            const char *text = strstr(at, "\r\n") + 2;
            size_t length = strcspn(text, "\r");
            assert_true(length < 8);
            memcpy(gone[i], text, length);
            gone[i][length] = '\0';
            at = text + length + 2;
        }
        for (int i = 0; i < count; i++) {
            snprintf(line, sizeof line, "SISMEMBER k %.8s", gone[i]);
            EXPECT(line, ":0\r\n");
        }
        snprintf(line, sizeof line, ":%d\r\n", left - count);
        EXPECT("SCARD k", line);
    }
    EXPECT("EXISTS k", ":0\r\n");
}

/* A stranger's number does not make a reply without end. */
static void test_repeats_are_bounded(void **state)
{
    struct fixture *f = *state;
    EXPECT("SADD k 1", ":1\r\n");
    EXPECT("HSET h f 1", ":1\r\n");
    EXPECT("SRANDMEMBER k -9223372036854775807", "-ERR value is out of range\r\n");
    EXPECT("SRANDMEMBER k -16777217", "-ERR value is out of range\r\n");
    EXPECT("HRANDFIELD h -9223372036854775807", "-ERR value is out of range\r\n");
    EXPECT("HRANDFIELD h -16777217 WITHVALUES", "-ERR value is out of range\r\n");
    EXPECT("SRANDMEMBER k -3", "*3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replicas_agree),
        FIXTURE_TEST(test_pops_uniformly),
        FIXTURE_TEST(test_pops_many),
        FIXTURE_TEST(test_repeats_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
