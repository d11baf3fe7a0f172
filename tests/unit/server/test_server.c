/* Goal: what clients of a cluster's member are promised about their replies, and what a
 * member does when they misbehave: order of replies across local and ordered commands,
 * sessions that end with commands pending, output limits, places kept for peers.
 *
 * Method: three whole servers in one process, each with its own loop, on loopback; their
 * loops are driven in turn until a client has what it expects. */
#include "sites.h"

static int start(void **state)
{
    (void)state;
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

/* --- tests ------------------------------------------------------------------------ */

static void test_replies_leave_in_the_order_of_commands(void **state)
{
    (void)state;
    struct client c = client_of(0);
    send_text(&c, "SET a 1\r\nPING\r\nINCR a\r\nECHO x\r\nGET a\r\nNOSUCH\r\nINCR a\r\nSELECT 1\r\nGET a\r\nSELECT 0\r\nGET a\r\n");
    expect(&c, "+OK\r\n+PONG\r\n:2\r\n$1\r\nx\r\n$1\r\n2\r\n"
               "-ERR unknown command 'NOSUCH', with args beginning with: \r\n:3\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\n3\r\n");
    client_close(&c);
}

static void test_a_protocol_error_waits_for_what_is_pending(void **state)
{
    (void)state;
    struct client c = client_of(1);
    send_text(&c, "*2\r\n$4\r\nINCR\r\n$1\r\np\r\n*2\r\n$4\r\nINCR\r\n$1\r\np\r\n*1\r\n!oops\r\n");
    expect(&c, ":1\r\n:2\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    PASS_UNTIL((receive(&c), c.is_closed));
    client_close(&c);
}

static void test_replies_can_be_switched_off(void **state)
{
    (void)state;
    struct client c = client_of(2);
    send_text(&c, "SET r 1\r\nCLIENT REPLY SKIP\r\nINCR r\r\nINCR r\r\nCLIENT REPLY OFF\r\nINCR r\r\nPING\r\n"
                  "CLIENT REPLY ON\r\nGET r\r\n");
    expect(&c, "+OK\r\n:3\r\n+OK\r\n$1\r\n4\r\n");
    client_close(&c);
}

/* Every member sees what any of them acknowledged. */
static void test_members_agree(void **state)
{
    (void)state;
    struct client writer = client_of(0);
    send_text(&writer, "SET everywhere yes\r\n");
    expect(&writer, "+OK\r\n");
    for (int i = 0; i < SITES; i++) {
        struct client reader = client_of(i);
        send_text(&reader, "GET everywhere\r\n");
        expect(&reader, "$3\r\nyes\r\n");
        client_close(&reader);
    }
    client_close(&writer);
}

static void test_a_client_may_leave_with_commands_pending(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct client c = client_of(i % SITES);
        send_text(&c, "INCR left\r\nINCR left\r\nGET left\r\nPING\r\nINCR left\r\n");
        for (int passes = 0; passes < i; passes++)
            pass_all();
        client_close(&c);
    }
    for (int i = 0; i < SITES; i++)
        PASS_UNTIL(sites[i].session_count == 0 && list_is_empty(&sites[i].zombies));
}

static void test_a_killed_session_answers_nobody(void **state)
{
    (void)state;
    struct client c = client_of(0), killer = client_of(0);
    send_text(&killer, "PING\r\n");
    expect(&killer, "+PONG\r\n");
    send_text(&c, "INCR killed\r\nINCR killed\r\n");
    PASS_UNTIL(replica_is_drained(sites[0].replica) == false);
    send_text(&killer, "CLIENT KILL TYPE normal\r\n");
    expect(&killer, ":1\r\n");
    PASS_UNTIL((receive(&c), c.is_closed));
    send_text(&killer, "GET killed\r\n");
    expect(&killer, "$1\r\n2\r\n");
    client_close(&c);
    client_close(&killer);
}

/* The reply that goes beyond the limit is the last one pending: the session ends
 * inside its own settling. */
static void test_the_last_reply_may_end_the_session(void **state)
{
    (void)state;
    struct client c = client_of(0);
    send_text(&c, "SETRANGE large 99999 x\r\nCONFIG SET client-output-buffer-limit \"normal 50000 0 0\"\r\n");
    expect(&c, ":100000\r\n+OK\r\n");
    send_text(&c, "GET large\r\n");
    PASS_UNTIL((receive(&c), c.is_closed));
    assert_int_equal(buf_size(&c.received), 0);
    assert_int_equal(sites[0].stats.sessions_over_limit, 1);
    assert_true(list_is_empty(&sites[0].zombies));
    sites[0].config->output_limits[OUTPUT_NORMAL].hard_bytes = 0;
    client_close(&c);
}

static void test_peers_get_in_when_maxclients_is_reached(void **state)
{
    (void)state;
    PASS_UNTIL(sites[0].session_count == 0);
    sites[0].config->maxclients = 2;
    struct client first = client_of(0), second = client_of(0);
    send_text(&first, "PING\r\n");
    send_text(&second, "PING\r\n");
    expect(&first, "+PONG\r\n");
    expect(&second, "+PONG\r\n");
    struct client third = client_of(0);
    send_text(&third, "SET refused 1\r\nPING\r\n");
    expect(&third, "-" ERROR_MAX_CLIENTS "\r\n");
    PASS_UNTIL((receive(&third), third.is_closed));
    /* A link breaks, and is made again all the same. */
    struct client peer = client_of(0);
    char hello[256];
    snprintf(hello, sizeof hello, "RABIA LINK %d \"%s\" \"%s\" 2 1 %llu\r\n", REPLICA_PROTOCOL_VERSION,
             sites[0].config->cluster_name, replica_members_text(sites[0].replica), (unsigned long long)replica_incarnation(sites[1].replica));
    send_text(&peer, hello);
    PASS_UNTIL(receive(&peer) > 0);
    assert_memory_equal(buf_head(&peer.received) + 4, "\nOK ", 4);
    client_close(&peer);
    sites[0].config->maxclients = 10000;
    client_close(&first);
    client_close(&second);
    client_close(&third);
    PASS_UNTIL(all_up());
}

/* Those who took such a place and say nothing leave it. */
static void test_places_for_peers_are_given_up(void **state)
{
    (void)state;
    PASS_UNTIL(sites[0].session_count == 0);
    sites[0].config->maxclients = 1;
    struct client first = client_of(0);
    send_text(&first, "PING\r\n");
    expect(&first, "+PONG\r\n");
    struct client silent = client_of(0);
    PASS_UNTIL(sites[0].session_count == 2);
    LIST_FOR_EACH(&sites[0].sessions, struct session, link, s) {
        s->created_ms -= SERVER_SURPLUS_MS;
    }
    expect(&silent, "-" ERROR_MAX_CLIENTS "\r\n");
    send_text(&first, "PING\r\n");
    expect(&first, "+PONG\r\n");
    sites[0].config->maxclients = 10000;
    client_close(&first);
    client_close(&silent);
}

static void refuse_hello(const char *version, const char *name, const char *members, const char *from, const char *to,
                         const char *why)
{
    struct client c = client_of(0);
    char text[512], answer[128];
    snprintf(text, sizeof text, "RABIA LINK %s %s \"%s\" %s %s 99\r\n", version, name, members, from, to);
    snprintf(answer, sizeof answer, "-ERR link refused: %s\r\n", why);
    send_text(&c, text);
    expect(&c, answer);
    client_close(&c);
}

/* A process that has a successor is told which. */
static void refuse_outdated(const char *name, const char *members)
{
    struct client c = client_of(0);
    char text[512], answer[128];
    snprintf(text, sizeof text, "RABIA LINK %d %s \"%s\" 2 1 99\r\n", REPLICA_PROTOCOL_VERSION, name, members);
    snprintf(answer, sizeof answer, "-OUTDATED %llu\r\n", (unsigned long long)replica_incarnation(sites[1].replica));
    send_text(&c, text);
    expect(&c, answer);
    client_close(&c);
}

static void test_strangers_are_refused_with_a_reason(void **state)
{
    (void)state;
    const char *name = sites[0].config->cluster_name, *members = replica_members_text(sites[0].replica);
    char ours[16];
    snprintf(ours, sizeof ours, "%d", REPLICA_PROTOCOL_VERSION);
    refuse_hello("99", name, members, "2", "1", "it speaks another version of the replicas' protocol");
    refuse_hello(ours, "elsewhere", members, "2", "1", "its cluster-name differs");
    refuse_hello(ours, name, "1@a:1", "2", "1", "its cluster-members differ");
    refuse_hello(ours, name, members, "2", "3", "it takes this server for another member");
    refuse_hello(ours, name, members, "7", "1", "it is not a member");
    refuse_hello(ours, name, members, "1", "1", "it is not a member");
    refuse_hello("one", name, members, "2", "1", "malformed introduction");
    refuse_outdated(name, members);
    assert_true(all_up());
}

static void test_a_pause_holds_commands_back_in_order(void **state)
{
    (void)state;
    struct client c = client_of(0), other = client_of(0);
    send_text(&other, "CLIENT PAUSE 60000 WRITE\r\n");
    expect(&other, "+OK\r\n");
    send_text(&c, "GET paused\r\nINCR paused\r\nPING\r\n");
    expect(&c, "$-1\r\n");
    for (int i = 0; i < 100; i++)
        pass_all();
    assert_int_equal(receive(&c), 0);
    send_text(&other, "CLIENT UNPAUSE\r\n");
    expect(&other, "+OK\r\n");
    expect(&c, ":1\r\n+PONG\r\n");
    client_close(&c);
    client_close(&other);
}

/* More than SESSION_PENDING_MAX at once: input is held back and taken up again. */
static void test_long_pipelines_are_answered_in_order(void **state)
{
    (void)state;
    enum { COMMANDS = 3 * SESSION_PENDING_MAX };
    static const char incr[] = "*2\r\n$4\r\nINCR\r\n$3\r\nctr\r\n";
    struct client c = client_of(1);
    char *all = malloc(COMMANDS * (sizeof incr - 1));
    size_t size = COMMANDS * (sizeof incr - 1), sent = 0, expected = 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        memcpy(all + i * (sizeof incr - 1), incr, sizeof incr - 1);
        expected += (size_t)snprintf(NULL, 0, ":%zu\r\n", i + 1);
    }
    while (receive(&c) < expected) {
        ssize_t now = sent < size ? send(c.fd, all + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        sent += now > 0 ? (size_t)now : 0;
        pass_all();
        assert_false(c.is_closed);
    }
    const char *at = buf_head(&c.received);
    for (size_t i = 0; i < COMMANDS; i++) {
        assert_int_equal(strtoul(at + 1, NULL, 10), i + 1);
        at = (const char *)memchr(at, '\n', 16) + 1;
    }
    assert_int_equal(buf_size(&c.received), expected);
    free(all);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_leave_in_the_order_of_commands),
        cmocka_unit_test(test_a_protocol_error_waits_for_what_is_pending),
        cmocka_unit_test(test_replies_can_be_switched_off),
        cmocka_unit_test(test_members_agree),
        cmocka_unit_test(test_a_client_may_leave_with_commands_pending),
        cmocka_unit_test(test_a_killed_session_answers_nobody),
        cmocka_unit_test(test_the_last_reply_may_end_the_session),
        cmocka_unit_test(test_peers_get_in_when_maxclients_is_reached),
        cmocka_unit_test(test_places_for_peers_are_given_up),
        cmocka_unit_test(test_strangers_are_refused_with_a_reason),
        cmocka_unit_test(test_a_pause_holds_commands_back_in_order),
        cmocka_unit_test(test_long_pipelines_are_answered_in_order),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
