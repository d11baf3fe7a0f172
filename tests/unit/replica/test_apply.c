/* Goal: a batch does the same to the data of its owner, where reads of its clients ride
 * along and replies are written, and of every other replica, where they do not: equal
 * digests, and equal time, place and random seed for each write.
 *
 * Method: two keyspaces with different hash secrets.  Random batches made by the
 * proposer itself are applied to one as own, to the other as a stranger's; a probe
 * command shows what handlers are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "command/command.h"
#include "replica/apply.h"

enum { CLIENTS = 4, PROBES_MAX = 4096 };

static struct reply sink;
static struct buf replies;
static int begun, ended;

static struct reply *on_begin(struct proposer_client *client, const struct command *row)
{
    (void)client, (void)row;
    begun++;
    sink = (struct reply){.out = &replies, .protocol = 2};
    return &sink;
}

static void on_end(struct proposer_client *client, const struct command *row, uint64_t position)
{
    (void)client, (void)row, (void)position;
    ended++;
}

static void on_fail(struct proposer_client *client, const struct command *row, enum proposer_failure failure)
{
    (void)client, (void)row, (void)failure;
    fail();
}

/* --- probes ------------------------------------------------------------------ */

struct probe {
    uint64_t seed, position;
    int64_t now_ms;
};
struct probes {
    struct probe items[PROBES_MAX];
    size_t count;
};
static struct probes probes_of_owner, probes_of_other, *probes;

static void probe_command(struct call *c)
{
    assert_true(probes->count < PROBES_MAX);
    probes->items[probes->count++] = (struct probe){c->seed, c->position, c->now_ms};
    reply_ok(c->reply);
}

static const struct command probe_rows[] = {
    {.name = "probe", .handler = probe_command, .arity = 1, .route = ROUTE_WRITE, .flags = COMMAND_WRITE},
};

/* --- two replicas --------------------------------------------------------------- */

struct site {
    struct keyspace *keyspace;
    struct apply apply;
};
static struct command_table *table;
static struct site owner, other;
static struct proposer proposer;
static struct proposer_client clients[CLIENTS];

static void init_site(struct site *site, unsigned char secret)
{
    static const struct replica_clients callbacks = {.begin = on_begin, .end = on_end, .fail = on_fail};
    struct keyspace_options options = {.database_count = 4, .hash_secret = {secret}};
    site->keyspace = keyspace_create(&options);
    apply_init(&site->apply, site->keyspace, table, &callbacks);
    site->apply.seed = 77;
}

static void start(void)
{
    table = command_table_create();
    command_table_add_data_types(table);
    command_table_add(table, probe_rows, 1);
    init_site(&owner, 1);
    init_site(&other, 200);
    struct proposer_options options = {.batch_bytes_max = 1 << 20, .batch_ops_max = 1000, .wait_us = 1};
    proposer_init(&proposer, &options);
    memset(clients, 0, sizeof clients);
    probes_of_owner.count = probes_of_other.count = 0;
    begun = ended = 0;
    buf_clear(&replies);
}

static void stop(void)
{
    proposer_deinit(&proposer);
    apply_deinit(&owner.apply);
    apply_deinit(&other.apply);
    keyspace_free(owner.keyspace);
    keyspace_free(other.keyspace);
    command_table_free(table);
    buf_deinit(&replies);
}

/* "SET a 1", blanks between. */
static void add(int client, int db, const char *line)
{
    char text[256], *at = text, *word, error[COMMAND_ERROR_MAX];
    struct slice argv[16];
    int argc = 0;
    snprintf(text, sizeof text, "%s", line);
    while ((word = strtok_r(at, " ", &at)) != NULL)
        argv[argc++] = slice_from(word);
    const struct command *row = command_resolve(table, argc, argv, error);
    assert_non_null(row);
    bool is_write = row->route == ROUTE_WRITE;
    proposer_add(&proposer, &clients[client], row, is_write, !is_write && (row->flags & COMMAND_READS_TIME), db, argc,
                 argv, 0);
}

static void assert_same_data(void)
{
    struct digest a = keyspace_digest(owner.keyspace), b = keyspace_digest(other.keyspace);
    assert_int_equal(a.low, b.low);
    assert_int_equal(a.high, b.high);
    assert_int_equal(keyspace_now(owner.keyspace), keyspace_now(other.keyspace));
    assert_int_equal(owner.apply.position, other.apply.position);
}

/* What was added, as one batch in this lap, on both. */
static void run_batch(uint64_t lap, uint64_t clock_ms)
{
    struct batch *batch = proposer_take(&proposer, clock_ms, 0);
    assert_non_null(batch);
    proposer_sent(&proposer, lap, 0);
    struct rabia_decided decided = {.lap = lap, .lane = 2, .batch = batch};
    struct own_batch *own = proposer_decided(&proposer, &decided);
    assert_non_null(own);
    int waiting = (int)own->op_count;
    begun = ended = 0;
    probes = &probes_of_owner;
    apply_own(&owner.apply, own, lap, 2);
    proposer_applied(&proposer, own);
    probes = &probes_of_other;
    apply_batch(&other.apply, batch, lap, 2);
    assert_int_equal(begun, waiting);
    assert_int_equal(ended, waiting);
    assert_same_data();
    batch_release(batch);
}

/* --- tests ------------------------------------------------------------------------ */

static void test_replies_come_in_the_order_of_commands(void **state)
{
    (void)state;
    start();
    add(0, 0, "SET a 1");
    add(1, 0, "GET a");
    add(0, 0, "INCR a");
    add(1, 1, "GET a");
    add(0, 0, "GET a");
    run_batch(1, 1000);
    static const char expected[] = "+OK\r\n$1\r\n1\r\n:2\r\n$-1\r\n$1\r\n2\r\n";
    assert_int_equal(buf_size(&replies), sizeof expected - 1);
    assert_memory_equal(buf_head(&replies), expected, sizeof expected - 1);
    stop();
}

static void test_reads_beside_writes_change_no_seed(void **state)
{
    (void)state;
    start();
    for (int i = 0; i < 50; i++) {
        add(i % CLIENTS, 0, "PROBE");
        for (int reads = 0; reads < i % 5; reads++)
            add(1, 0, "GET nothing");
    }
    run_batch(3, 5000);
    add(0, 0, "PROBE");
    run_batch(4, 4000); /* a clock that went back */
    assert_int_equal(probes_of_owner.count, 51);
    assert_int_equal(probes_of_other.count, 51);
    assert_memory_equal(probes_of_owner.items, probes_of_other.items, 51 * sizeof(struct probe));
    for (size_t i = 0; i < 51; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(probes_of_owner.items[i].seed, probes_of_owner.items[j].seed);
    assert_int_equal(probes_of_owner.items[0].position, position_of(3, 2));
    assert_int_equal(probes_of_owner.items[50].now_ms, 5000);
    stop();
}

static void test_an_empty_batch_leaves_no_trace(void **state)
{
    (void)state;
    start();
    add(0, 0, "SET a 1");
    run_batch(1, 1000);
    add(0, 0, "GET a");
    run_batch(2, 9000);
    assert_int_equal(owner.apply.position, position_of(1, 2));
    assert_int_equal(keyspace_now(owner.keyspace), 1000);
    stop();
}

/* More is due than one batch removes, and reads look at what is left of it. */
static void test_expiry_is_the_same_beside_reads(void **state)
{
    (void)state;
    start();
    enum { KEYS = 5 * APPLY_EXPIRE_MAX };
    char line[64];
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "SET k%d v PX %d", i, 100 + i % 7);
        add(0, i % 2, line);
    }
    run_batch(1, 1000);
    for (uint64_t lap = 2; lap < 9; lap++) {
        for (int i = 0; i < KEYS; i += 3) {
            snprintf(line, sizeof line, "%s k%d", i % 2 ? "GET" : "TTL", i);
            add(1, i % 2, line);
        }
        add(2, 0, "RANDOMKEY");
        snprintf(line, sizeof line, "APPEND k%d x", (int)lap);
        add(3, 0, line);
        run_batch(lap, 5000);
        assert_int_equal(keyspace_size(owner.keyspace, 0), keyspace_size(other.keyspace, 0));
        assert_int_equal(keyspace_size(owner.keyspace, 1), keyspace_size(other.keyspace, 1));
    }
    stop();
}

static void add_random(struct random *random)
{
    static const char *const forms[] = {"SET k%d v%d",  "INCR n%d",        "APPEND k%d x%d",    "DEL k%d",
                                        "GET k%d",      "EXISTS n%d",      "SETRANGE k%d %d y", "RENAME k%d k%d",
                                        "TTL k%d",      "PEXPIRE k%d %d",  "GETEX k%d PERSIST", "COPY k%d n%d",
                                        "STRLEN k%d",   "SETBIT b%d %d 1", "RANDOMKEY",         "INCRBYFLOAT f%d 0.1",
                                        "PTTL k%d",     "SET k%d v PX %d", "GETDEL k%d",        "MOVE k%d 1",
                                        "FLUSHDB ASYNC", "SWAPDB 2 3",     "INCR k%d",          "BITCOUNT b%d"};
    char line[128];
    size_t choice = random_below(random, sizeof forms / sizeof *forms);
    if (choice == 20 && random_below(random, 20) != 0)
        choice = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, sizeof line, forms[choice], (int)random_below(random, 40), 1 + (int)random_below(random, 90));
#pragma GCC diagnostic pop
    add((int)random_below(random, CLIENTS), (int)random_below(random, 4), line);
}

static void test_random_batches_do_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random random;
        random_init(&random, seed);
        start();
        uint64_t clock_ms = 1000;
        for (uint64_t lap = 1; lap <= 100; lap++) {
            clock_ms += random_below(&random, 60);
            for (uint64_t count = 1 + random_below(&random, 40); count > 0; count--)
                add_random(&random);
            run_batch(lap, clock_ms);
        }
        keyspace_check(owner.keyspace);
        keyspace_check(other.keyspace);
        stop();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_come_in_the_order_of_commands),
        cmocka_unit_test(test_reads_beside_writes_change_no_seed),
        cmocka_unit_test(test_an_empty_batch_leaves_no_trace),
        cmocka_unit_test(test_expiry_is_the_same_beside_reads),
        cmocka_unit_test(test_random_batches_do_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
