/* Goal: what waiting for keys promises in a cluster: first come first served among the
 * clients of one member, an element to exactly one client anywhere, none lost to one that is
 * gone, no proposal without an element to be had, an answer for each waiter; and what
 * transactions promise: one unit, whatever the members' clients do at the same time.
 *
 * Method: three whole servers in one process.  POPBYTE key... timeout, a blocking row of the
 * test's own, takes the first byte of a string.  Random runs count bytes pushed and taken. */
#include "sites.h"

#include "base/random.h"

static void popbyte_command(struct call *c)
{
    int64_t timeout_ms;
    if (!call_timeout(c, c->argc - 1, &timeout_ms))
        return;
    for (int i = 1; i < c->argc - 1; i++) {
        struct entry *e;
        char scratch[INT64_TEXT_MAX];
        if (!call_find_string_for_write(c, i, &e))
            return;
        if (!e)
            continue;
        struct slice text = entry_string(e, scratch);
        reply_array(c->reply, 2);
        reply_bulk(c->reply, c->argv[i]);
        reply_bulk(c->reply, slice_make(text.ptr, 1));
        if (text.len == 1) {
            keyspace_delete(c->ks, c->db, c->argv[i]);
        } else {
            struct slice rest = slice_make(text.ptr + 1, text.len - 1);
            keyspace_set_text(c->ks, c->db, c->argv[i], rest, EXPIRE_KEEP);
        }
        call_changed(c, EVENT_STRING, "popbyte", c->argv[i]);
        return;
    }
    struct call_wait wait = {.type = VALUE_STRING, .first_key = 1, .last_key = c->argc - 2, .key_step = 1,
                             .timeout_ms = timeout_ms, .is_null_array = true};
    if (!call_block(c, &wait))
        reply_null_array(c->reply);
}

/* Answers with the value once there is one: reads alone. */
static void readbyte_command(struct call *c)
{
    struct entry *e;
    char scratch[INT64_TEXT_MAX];
    if (!call_find_string(c, 1, &e))
        return;
    struct call_wait wait = {.type = VALUE_STRING, .first_key = 1, .last_key = 1, .key_step = 1};
    if (e)
        reply_bulk(c->reply, entry_string(e, scratch));
    else if (!call_block(c, &wait))
        reply_null(c->reply);
}

static const struct command rows[] = {
    {.name = "popbyte", .handler = popbyte_command, .arity = -3, .route = ROUTE_WRITE,
     .flags = COMMAND_WRITE | COMMAND_BLOCKING, COMMAND_KEYS(1, -2, 1)},
    {.name = "readbyte", .handler = readbyte_command, .arity = 2, .route = ROUTE_READ,
     .flags = COMMAND_READONLY | COMMAND_BLOCKING, COMMAND_KEYS(1, 1, 1)},
};

static int start(void **state)
{
    (void)state;
    how.rows = rows;
    how.row_count = sizeof rows / sizeof *rows;
    choose_ports();
    for (int i = 0; i < SITES; i++)
        start_site(i);
    PASS_UNTIL(all_up());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < SITES; i++)
        stop_site(i);
    return 0;
}

static int blocked_at(int site)
{
    int count = 0;
    LIST_FOR_EACH(&sites[site].sessions, struct session, link, s) {
        count += s->is_blocked;
    }
    return count;
}

static void run(int site, const char *command, const char *reply)
{
    struct client c = client_of(site);
    send_text(&c, command);
    expect(&c, reply);
    client_close(&c);
}

static struct client waiting_client(int site, const char *command)
{
    int before = blocked_at(site);
    struct client c = client_of(site);
    send_text(&c, command);
    PASS_UNTIL(blocked_at(site) == before + 1);
    waiting_check(&sites[site].waiting);
    return c;
}

static void assert_idle(void)
{
    for (int i = 0; i < SITES; i++) {
        PASS_UNTIL(blocked_at(i) == 0 && sites[i].session_count == 0 && list_is_empty(&sites[i].zombies));
        assert_int_equal(dict_size(&sites[i].waiting.keys), 0);
        assert_false(waiting_has_ready(&sites[i].waiting));
    }
}

/* --- waiting -------------------------------------------------------------------- */

static void test_first_come_first_served(void **state)
{
    (void)state;
    struct client first = waiting_client(0, "POPBYTE q 0\r\n"), second = waiting_client(0, "POPBYTE other q 0\r\n"),
                  third = waiting_client(0, "POPBYTE q q 0\r\n");
    run(1, "APPEND q ab\r\n", ":2\r\n");
    expect(&first, "*2\r\n$1\r\nq\r\n$1\r\na\r\n");
    expect(&second, "*2\r\n$1\r\nq\r\n$1\r\nb\r\n");
    assert_int_equal(receive(&third), 0);
    run(2, "SET q c\r\n", "+OK\r\n");
    expect(&third, "*2\r\n$1\r\nq\r\n$1\r\nc\r\n");
    run(0, "EXISTS q other\r\n", ":0\r\n");
    client_close(&first);
    client_close(&second);
    client_close(&third);
    assert_idle();
}

static void test_what_follows_waits_too(void **state)
{
    (void)state;
    struct client c = waiting_client(0, "SET a 1\r\nPOPBYTE q 0\r\nINCR a\r\nPING\r\n");
    expect(&c, "+OK\r\n");
    run(1, "GET a\r\n", "$1\r\n1\r\n");
    run(1, "APPEND q x\r\n", ":1\r\n");
    expect(&c, "*2\r\n$1\r\nq\r\n$1\r\nx\r\n:2\r\n+PONG\r\n");
    client_close(&c);
    assert_idle();
}

static void test_a_time_that_is_up(void **state)
{
    (void)state;
    struct client c = client_of(2);
    send_text(&c, "POPBYTE q 0.02\r\nPING\r\n");
    expect(&c, "*-1\r\n+PONG\r\n");
    client_close(&c);
    assert_idle();
}

static void test_a_reader_is_answered_where_it_is(void **state)
{
    (void)state;
    struct client one = waiting_client(0, "READBYTE r\r\n"), other = waiting_client(0, "READBYTE r\r\n");
    run(1, "SET r seen\r\n", "+OK\r\n");
    expect(&one, "$4\r\nseen\r\n");
    expect(&other, "$4\r\nseen\r\n");
    run(1, "DEL r\r\n", ":1\r\n");
    client_close(&one);
    client_close(&other);
    assert_idle();
}

static void test_a_client_that_leaves_takes_nothing(void **state)
{
    (void)state;
    struct client gone = waiting_client(0, "POPBYTE q 0\r\n"), stays = waiting_client(0, "POPBYTE q 0\r\n");
    client_close(&gone);
    PASS_UNTIL(blocked_at(0) == 1);
    run(1, "SET q z\r\n", "+OK\r\n");
    expect(&stays, "*2\r\n$1\r\nq\r\n$1\r\nz\r\n");
    client_close(&stays);
    assert_idle();
}

static void test_other_types_and_deletion(void **state)
{
    (void)state;
    struct client c = waiting_client(0, "POPBYTE q 0\r\n");
    run(1, "SADD q member\r\n", ":1\r\n");
    run(0, "DEL q\r\n", ":1\r\n");
    run(1, "FLUSHALL\r\n", "+OK\r\n");
    assert_int_equal(receive(&c), 0);
    run(1, "MULTI\r\nSET q x\r\nDEL q\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n");
    run(0, "PING\r\n", "+PONG\r\n");
    assert_int_equal(receive(&c), 0);
    run(1, "MULTI\r\nSELECT 1\r\nSET q y\r\nSWAPDB 0 1\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n+OK\r\n");
    expect(&c, "*2\r\n$1\r\nq\r\n$1\r\ny\r\n");
    client_close(&c);
    assert_idle();
}

static void test_inside_a_transaction_nothing_waits(void **state)
{
    (void)state;
    run(1, "MULTI\r\nPOPBYTE q 0\r\nREADBYTE q\r\nPING\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n*-1\r\n$-1\r\n+PONG\r\n");
    assert_idle();
}

static void test_unblocking(void **state)
{
    (void)state;
    struct client c = client_of(0);
    send_text(&c, "CLIENT ID\r\n");
    PASS_UNTIL(receive(&c) > 0);
    buf_append(&c.received, "", 1);
    int id = atoi(buf_head(&c.received) + 1);
    buf_clear(&c.received);
    char text[64];
    snprintf(text, sizeof text, "CLIENT UNBLOCK %d ERROR\r\n", id);
    for (int i = 0; i < 2; i++) {
        send_text(&c, "POPBYTE q 0\r\n");
        PASS_UNTIL(blocked_at(0) == 1);
        run(0, text, ":1\r\n");
        expect(&c, i == 0 ? "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n" : "*-1\r\n");
        snprintf(text, sizeof text, "CLIENT UNBLOCK %d\r\n", id);
    }
    run(0, text, ":0\r\n");
    client_close(&c);
    assert_idle();
}

/* Pushes and pops at all members, clients that leave: every byte is taken once, or
 * is still there, or was taken for a client that left while its pop was under way. */
static void test_random_pushes_and_pops(void **state)
{
    (void)state;
    enum { CLIENTS = 12, ROUNDS = 1500, KEYS = 3 };
    struct random random;
    random_init(&random, 7);
    struct client clients[CLIENTS];
    bool is_waiting[CLIENTS] = {false};
    int pushed = 0, taken = 0, left = 0;
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_of(i % SITES);
    for (int round = 0; round < ROUNDS; round++) {
        int i = (int)random_below(&random, CLIENTS);
        struct client *c = &clients[i];
        char text[64];
        if (is_waiting[i] && receive(c) > 0) {
            assert_memory_equal(buf_head(&c->received), "*2\r\n", 4);
            PASS_UNTIL(receive(c) >= 18);
            buf_clear(&c->received);
            is_waiting[i] = false;
            taken++;
        } else if (is_waiting[i] && random_below(&random, 20) == 0) {
            client_close(c);
            *c = client_of(i % SITES);
            is_waiting[i] = false;
            left++;
        } else if (!is_waiting[i] && random_below(&random, 2)) {
            snprintf(text, sizeof text, "POPBYTE k%d k%d 0\r\n", (int)random_below(&random, KEYS),
                     (int)random_below(&random, KEYS));
            send_text(c, text);
            is_waiting[i] = true;
        } else if (!is_waiting[i]) {
            int count = 1 + (int)random_below(&random, 3);
            snprintf(text, sizeof text, "APPEND k%d %.*s\r\n", (int)random_below(&random, KEYS), count, "xyz");
            send_text(c, text);
            pushed += count;
            PASS_UNTIL(receive(c) >= 4);
            buf_clear(&c->received);
        }
        for (int passes = (int)random_below(&random, 4); passes > 0; passes--)
            pass_all();
        for (int site = 0; site < SITES; site++)
            waiting_check(&sites[site].waiting);
    }
    /* Enough for everybody who still waits. */
    run(0, "APPEND k0 aaaaaaaaaaaa\r\nAPPEND k1 aaaaaaaaaaaa\r\nAPPEND k2 aaaaaaaaaaaa\r\nSTRLEN none\r\n", "");
    PASS_UNTIL(blocked_at(0) + blocked_at(1) + blocked_at(2) == 0);
    pushed += 36;
    for (int i = 0; i < CLIENTS; i++) {
        if (is_waiting[i]) {
            PASS_UNTIL(receive(&clients[i]) >= 18);
            taken++;
        }
        client_close(&clients[i]);
    }
    assert_idle();
    struct client c = client_of(1);
    int rest = 0;
    for (int key = 0; key < KEYS; key++) {
        char text[32];
        snprintf(text, sizeof text, "STRLEN k%d\r\n", key);
        send_text(&c, text);
        PASS_UNTIL(receive(&c) >= 4);
        buf_append(&c.received, "", 1);
        rest += atoi(buf_head(&c.received) + 1);
        buf_clear(&c.received);
    }
    client_close(&c);
    assert_true(taken + rest <= pushed);
    assert_true(taken + rest >= pushed - left);
}

/* --- transactions ------------------------------------------------------------------ */

static void test_watchers_everywhere(void **state)
{
    (void)state;
    struct client watchers[SITES];
    for (int i = 0; i < SITES; i++) {
        watchers[i] = client_of(i);
        send_text(&watchers[i], "WATCH w\r\nMULTI\r\nINCR w\r\n");
        expect(&watchers[i], "+OK\r\n+OK\r\n+QUEUED\r\n");
    }
    for (int i = 0; i < SITES; i++)
        PASS_UNTIL(watch_watcher_count(keyspace_watches(sites[i].keyspace)) == SITES);
    for (int i = 0; i < SITES; i++)
        send_text(&watchers[i], "EXEC\r\n");
    int done = 0;
    for (int i = 0; i < SITES; i++) {
        PASS_UNTIL(receive(&watchers[i]) >= 5);
        done += memcmp(buf_head(&watchers[i].received), "*1\r\n", 4) == 0;
        client_close(&watchers[i]);
    }
    assert_int_equal(done, 1);
    run(2, "GET w\r\n", "$1\r\n1\r\n");
    for (int i = 0; i < SITES; i++) {
        PASS_UNTIL(watch_watcher_count(keyspace_watches(sites[i].keyspace)) == 0);
        watches_check(keyspace_watches(sites[i].keyspace));
    }
    assert_idle();
}

static void test_a_session_that_leaves_is_forgotten(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct client c = client_of(i % SITES);
        send_text(&c, "WATCH a b c\r\nMULTI\r\nSET a 1\r\nEXEC\r\nWATCH d\r\n");
        for (int passes = 0; passes < i; passes++)
            pass_all();
        client_close(&c);
    }
    assert_idle();
    for (int i = 0; i < SITES; i++)
        PASS_UNTIL(watch_watcher_count(keyspace_watches(sites[i].keyspace)) == 0);
}

static void test_transactions_in_a_pipeline(void **state)
{
    (void)state;
    struct client c = client_of(0);
    send_text(&c, "SET p 1\r\nMULTI\r\nINCR p\r\nGET p\r\nEXEC\r\nMULTI\r\nSELECT 3\r\nSET p three\r\nEXEC\r\nGET p\r\n"
                  "MULTI\r\nBOGUS\r\nEXEC\r\nGET p\r\nMULTI\r\nGET p\r\nEXEC\r\nPING\r\n");
    expect(&c, "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n$1\r\n2\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"
               "$5\r\nthree\r\n+OK\r\n-ERR unknown command 'BOGUS', with args beginning with: \r\n"
               "-EXECABORT Transaction discarded because of previous errors.\r\n$5\r\nthree\r\n+OK\r\n+QUEUED\r\n*1\r\n"
               "$5\r\nthree\r\n+PONG\r\n");
    client_close(&c);
    assert_idle();
}

static void test_members_hold_the_same(void **state)
{
    (void)state;
    struct digest first = keyspace_digest(sites[0].keyspace);
    for (int i = 1; i < SITES; i++)
        PASS_UNTIL(keyspace_digest(sites[i].keyspace).low == first.low &&
                   keyspace_digest(sites[i].keyspace).high == first.high);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_what_follows_waits_too),
        cmocka_unit_test(test_a_time_that_is_up),
        cmocka_unit_test(test_a_reader_is_answered_where_it_is),
        cmocka_unit_test(test_a_client_that_leaves_takes_nothing),
        cmocka_unit_test(test_other_types_and_deletion),
        cmocka_unit_test(test_inside_a_transaction_nothing_waits),
        cmocka_unit_test(test_unblocking),
        cmocka_unit_test(test_random_pushes_and_pops),
        cmocka_unit_test(test_watchers_everywhere),
        cmocka_unit_test(test_a_session_that_leaves_is_forgotten),
        cmocka_unit_test(test_transactions_in_a_pipeline),
        cmocka_unit_test(test_members_hold_the_same),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
