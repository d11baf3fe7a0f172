/* Goal: what a cluster acknowledged is there after any of its members, or all of them, were
 * killed, lost their memory, or came back as somebody's stale copy; and in the end all
 * members are up and agree.
 *
 * Method: three whole servers in one process with directories of their own (sites.h).  To be
 * killed is to end without the journal's clean mark; memory is lost by marking
 * replica.state, data by removing the directory. */
#include "sites.h"

#include <ftw.h>

#include "failing_disk.h"
#include "persist/state_file.h"

enum { VALUE_BYTES = 20000 };

/* --- directories ----------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

static void wipe(int site)
{
    char dir[96];
    directory_of_site(site, dir);
    assert_int_equal(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void move_directory(int site, const char *from, const char *to)
{
    char dir[96], source[112], target[112];
    directory_of_site(site, dir);
    snprintf(source, sizeof source, "%s%s", dir, from);
    snprintf(target, sizeof target, "%s%s", dir, to);
    assert_int_equal(rename(source, target), 0);
}

/* As a restart finds it that died while rejoining. */
static void forget(int site)
{
    char dir[96], path[128];
    directory_of_site(site, dir);
    snprintf(path, sizeof path, "%s/replica.state", dir);
    struct state_file file;
    state_file_init(&file);
    assert_int_equal(state_file_read(&file, path), STATUS_OK);
    state_file_set(&file, "rejoining", "1");
    assert_int_equal(state_file_write(&file, path), STATUS_OK);
    state_file_deinit(&file);
}

/* --- clusters ---------------------------------------------------------------------- */

static int start(void **state)
{
    (void)state;
    strcpy(how.directory, "/tmp/kvstore-recovery-XXXXXX");
    assert_non_null(mkdtemp(how.directory));
    how.mode = JOURNAL_ALWAYS;
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
        if (is_up[i])
            end_site(i, true);
    return nftw(how.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void kill_site(int site)
{
    end_site(site, false);
}

static void write_at(int site, const char *key, const char *value)
{
    char text[256];
    struct client c = client_of(site);
    snprintf(text, sizeof text, "SET %s \"%s\"\r\n", key, value);
    send_text(&c, text);
    expect(&c, "+OK\r\n");
    client_close(&c);
}

static void expect_at(int site, const char *key, const char *value)
{
    char text[256];
    struct client c = client_of(site);
    snprintf(text, sizeof text, "GET %s\r\n", key);
    send_text(&c, text);
    if (value)
        snprintf(text, sizeof text, "$%zu\r\n%s\r\n", strlen(value), value);
    else
        strcpy(text, "$-1\r\n");
    expect(&c, text);
    client_close(&c);
}

static void expect_everywhere(const char *key, const char *value)
{
    for (int i = 0; i < SITES; i++)
        expect_at(i, key, value);
}

static void fill(int site, int keys)
{
    struct client c = client_of(site);
    for (int i = 0; i < keys; i++) {
        char text[64];
        snprintf(text, sizeof text, "SETRANGE fill:%d %d x\r\n", i, VALUE_BYTES - 1);
        send_text(&c, text);
        snprintf(text, sizeof text, ":%d\r\n", VALUE_BYTES);
        expect(&c, text);
    }
    client_close(&c);
}

static struct replica_status status_of_site(int site)
{
    struct replica_status status;
    replica_get_status(sites[site].replica, &status);
    return status;
}

/* --- tests --------------------------------------------------------------------------- */

static void test_a_member_that_was_killed_goes_on(void **state)
{
    (void)state;
    uint64_t incarnation = replica_incarnation(sites[1].replica);
    write_at(1, "a", "1");
    kill_site(1);
    write_at(0, "b", "2");
    start_site(1);
    PASS_UNTIL(all_up());
    assert_true(replica_incarnation(sites[1].replica) == incarnation);
    expect_everywhere("a", "1");
    expect_everywhere("b", "2");
    assert_true(status_of_site(1).epoch == 1);
}

static void test_all_killed_at_once_lose_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < SITES; i++)
        write_at(i, "k", "v");
    for (int i = 0; i < SITES; i++)
        kill_site(i);
    for (int i = 0; i < SITES; i++)
        start_site(i);
    PASS_UNTIL(all_up());
    expect_everywhere("k", "v");
    assert_true(status_of_site(0).epoch == 1);
}

static void test_a_wiped_member_rejoins(void **state)
{
    (void)state;
    for (int site = 0; site < SITES; site++) {
        uint64_t incarnation = replica_incarnation(sites[site].replica);
        write_at(site, "before", "1");
        kill_site(site);
        wipe(site);
        start_site(site);
        assert_non_null(replica_refusal(sites[site].replica));
        PASS_UNTIL(all_up());
        assert_true(replica_incarnation(sites[site].replica) > incarnation);
        expect_everywhere("before", "1");
        write_at(site, "after", "2");
        expect_everywhere("after", "2");
    }
    /* And what it remembers now counts. */
    for (int i = 0; i < SITES; i++)
        kill_site(i);
    for (int i = 0; i < SITES; i++)
        start_site(i);
    PASS_UNTIL(all_up());
    assert_true(status_of_site(0).epoch == 1);
    expect_everywhere("after", "2");
}

/* None remembers what it said, and one has more than the others: its data are taken. */
static void test_all_without_memory_take_the_most_advanced(void **state)
{
    (void)state;
    write_at(0, "old", "1");
    expect_everywhere("old", "1");
    kill_site(0);
    write_at(1, "new", "2");
    kill_site(1);
    kill_site(2);
    for (int i = 0; i < SITES; i++)
        forget(i);
    start_site(0);
    start_site(1);
    for (int i = 0; i < 2000; i++)
        pass_all();
    assert_non_null(replica_refusal(sites[0].replica)); /* not without the third */
    start_site(2);
    PASS_UNTIL(all_up());
    expect_everywhere("old", "1");
    expect_everywhere("new", "2");
    for (int i = 0; i < SITES; i++)
        assert_true(status_of_site(i).epoch == 2);
    write_at(0, "more", "3");
    for (int i = 0; i < SITES; i++)
        kill_site(i);
    for (int i = 0; i < SITES; i++)
        start_site(i);
    PASS_UNTIL(all_up());
    expect_everywhere("new", "2");
    expect_everywhere("more", "3");
    assert_true(status_of_site(0).epoch == 2);
}

/* A directory that was put back: whoever dials, it finds out, and comes back anew. */
static void test_a_stale_copy_goes_on_without_memory(void **state)
{
    (void)state;
    for (int site = 0; site < SITES; site += 2) {
        write_at(1, "before", "1");
        kill_site(site);
        move_directory(site, "", ".old");
        start_site(site);
        PASS_UNTIL(all_up());
        uint64_t successor = replica_incarnation(sites[site].replica);
        write_at(1, "since", "2");
        kill_site(site);
        wipe(site);
        move_directory(site, ".old", "");
        start_site(site);
        assert_true(replica_incarnation(sites[site].replica) < successor);
        PASS_UNTIL(replica_incarnation(sites[site].replica) > successor && all_up());
        expect_everywhere("since", "2");
    }
}

/* The peers restart behind a snapshot, so that it alone helps one that has nothing; the one
 * that sends it dies on the way, and clients write all the while. */
static void test_a_transfer_broken_off_is_taken_from_another(void **state)
{
    (void)state;
    fill(0, 300);
    expect_everywhere("none", NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(replica_save(sites[i].replica, false), STATUS_OK);
        end_site(i, true);
        start_site(i);
        PASS_UNTIL(all_up());
    }
    kill_site(2);
    wipe(2);
    write_at(0, "count", "0");
    start_site(2);
    PASS_UNTIL(status_of_site(0).snapshots_sent || status_of_site(1).snapshots_sent);
    int sender = status_of_site(0).snapshots_sent ? 0 : 1;
    kill_site(sender);
    start_site(sender);
    for (int i = 0; i < 50; i++) {
        write_at(1 - sender, "during", "3");
        fill(1 - sender, 1);
    }
    PASS_UNTIL(all_up());
    assert_true(status_of_site(2).snapshots_received > 0);
    expect_everywhere("count", "0");
    expect_everywhere("during", "3");
    struct client last = client_of(2);
    send_text(&last, "DBSIZE\r\n");
    expect(&last, ":302\r\n");
    client_close(&last);
}

/* Nothing is kept: who dies rejoins; when all do, a new cluster begins. */
static void test_without_journals_members_rejoin(void **state)
{
    (void)state;
    for (int i = 0; i < SITES; i++)
        kill_site(i);
    char directory[64];
    strcpy(directory, how.directory);
    how.directory[0] = '\0';
    for (int i = 0; i < SITES; i++)
        start_site(i);
    PASS_UNTIL(all_up());
    write_at(0, "kept", "by the others");
    for (int site = 0; site < SITES; site++) {
        kill_site(site);
        start_site(site);
        PASS_UNTIL(all_up());
        expect_everywhere("kept", "by the others");
    }
    strcpy(how.directory, directory);
}

/* --- while loading, and when the disk fails --------------------------------------------- */

static struct client loading_client;
static int pumps;

static bool pump_and_look(void *site)
{
    struct server *s = site;
    loop_pass(s->loop, false);
    if (pumps++ == 0) {
        loading_client = client_of((int)(s - sites));
        send_text(&loading_client, "PING\r\nGET fill:1\r\n");
    }
    for (int i = 0; i < 10 && buf_size(&loading_client.received) == 0; i++) {
        loop_pass(s->loop, false);
        receive(&loading_client);
    }
    return true;
}

static void test_clients_are_told_of_loading(void **state)
{
    (void)state;
    fill(0, 1200); /* more records than are replayed at one go */
    expect_everywhere("none", NULL);
    kill_site(1);
    pumps = 0;
    how.pump = pump_and_look;
    start_site(1);
    how.pump = NULL;
    assert_true(pumps > 0);
    assert_true(receive(&loading_client) > 0);
    assert_memory_equal(buf_head(&loading_client.received), "-LOADING ", 9);
    client_close(&loading_client);
    PASS_UNTIL(all_up());
}

static int start_on_failing_disk(void **state)
{
    failing_disk_begin();
    return start(state);
}

static int stop_on_failing_disk(void **state)
{
    failing_disk_mend();
    int result = stop(state);
    file_set_ops(NULL);
    return result;
}

static void test_a_member_whose_disk_fails_falls_silent(void **state)
{
    (void)state;
    write_at(1, "before", "1");
    end_site(1, true);
    failing_disk_under(1);
    start_site(1);
    PASS_UNTIL(all_up());
    failing_disk_fail_after(0);
    struct client c = client_of(1);
    send_text(&c, "SET lost 1\r\n");
    PASS_UNTIL(status_of_site(1).state == REPLICA_FAILED);
    struct client other = client_of(1);
    send_text(&other, "SET lost 2\r\n");
    PASS_UNTIL(receive(&other) > 0);
    assert_memory_equal(buf_head(&other.received), "-MISCONF the disk of this replica ", 34);
    client_close(&other);
    client_close(&c);
    /* The others go on without it, and hear nothing of the order from it. */
    write_at(0, "others", "2");
    expect_at(2, "others", "2");
    failing_disk_mend();
    write_at(2, "others", "3");
    assert_int_equal(status_of_site(1).state, REPLICA_FAILED);
    kill_site(1);
    start_site(1);
    PASS_UNTIL(all_up());
    expect_everywhere("before", "1");
    expect_everywhere("others", "3");
}

/* --- ends on the way into a new epoch ------------------------------------------------------ */

/* Site 1 alone has all. */
static void lose_all_memory(void)
{
    write_at(0, "old", "1");
    expect_everywhere("old", "1");
    kill_site(0);
    write_at(1, "new", "2");
    expect_at(2, "new", "2");
    kill_site(1);
    kill_site(2);
    forget(0);
    forget(1);
    wipe(2);
}

static void expect_all_is_there(void)
{
    for (int turn = 0; turn < 2; turn++) {
        PASS_UNTIL(all_up());
        expect_everywhere("old", "1");
        expect_everywhere("new", "2");
        if (turn == 1)
            break;
        for (int i = 0; i < SITES; i++)
            kill_site(i);
        for (int i = 0; i < SITES; i++)
            start_site(i);
    }
}

/* The recovery of all, in which the disk under site takes so many changes and then none.  False:
 * it took them all. */
static bool recover_with_an_end(int site, long changes)
{
    lose_all_memory();
    failing_disk_under(site);
    start_site(site);
    failing_disk_fail_after(changes);
    for (int i = 0; i < SITES; i++)
        if (i != site)
            start_site(i);
    PASS_UNTIL(failing_disk_has_failed() || all_up());
    bool has_ended = failing_disk_has_failed();
    failing_disk_mend();
    if (has_ended) {
        kill_site(site);
        start_site(site);
    }
    expect_all_is_there();
    return has_ended;
}

/* Site 1 is the base of the recovery, site 0 lacks something and fetches it.  (CRASH_POINTS=1:
 * every change of the disk is the last one once; else some, spread over all.) */
static void test_a_recovery_may_end_anywhere(void **state)
{
    long step = getenv("CRASH_POINTS") ? 1 : 11;
    for (int site = 0; site < 2; site++)
        for (long changes = site; recover_with_an_end(site, changes); changes += step) {
            assert_true(changes < 500);
            stop_on_failing_disk(state);
            start_on_failing_disk(state);
        }
}

/* Whoever drops its data for those of the new epoch relies on the base to have them on disk. */
static void test_a_save_under_way_does_not_stand_in_for_the_new_epoch_s(void **state)
{
    (void)state;
    lose_all_memory();
    for (int i = 0; i < SITES; i++)
        start_site(i);
    while (status_of_site(0).epoch != 2) {
        (void)!replica_save(sites[1].replica, true);
        pass_all();
    }
    kill_site(1);
    start_site(1);
    expect_all_is_there();
}

/* --- by force ------------------------------------------------------------------------------- */

static void force(int site, const char *reply)
{
    struct client c = client_of(site);
    send_text(&c, "RABIA RECOVER FORCE\r\n");
    PASS_UNTIL(receive(&c) >= strlen(reply) + 8);
    buf_append(&c.received, "", 1);
    assert_non_null(strstr(buf_head(&c.received), reply));
    client_close(&c);
}

static bool is_serving(int site)
{
    return replica_refusal(sites[site].replica) == NULL;
}

static void test_a_lost_majority_is_given_up_by_force(void **state)
{
    (void)state;
    write_at(0, "kept", "1");
    expect_everywhere("kept", "1");
    force(0, "ERR all members are here");
    kill_site(1);
    PASS_UNTIL(!status_of_site(0).peers[1].is_heard);
    force(0, "ERR a quorum of the members is here");
    kill_site(2);
    PASS_UNTIL(!status_of_site(0).has_quorum);
    force(0, "Given up for good: 2@127.0.0.1");
    PASS_UNTIL(status_of_site(0).epoch == 2 && is_serving(0) && status_of_site(0).has_quorum);
    expect_at(0, "kept", "1");
    write_at(0, "since", "2");
    kill_site(0);
    start_site(0);
    PASS_UNTIL(is_serving(0) && status_of_site(0).has_quorum);
    expect_at(0, "since", "2");
    /* Who was given up is told so. */
    start_site(1);
    PASS_UNTIL(status_of_site(1).state == REPLICA_REMOVED);
}

/* Two remember nothing, and the third, which is gone, is waited for in vain. */
static void test_force_recovers_those_without_memory(void **state)
{
    (void)state;
    write_at(0, "kept", "1");
    expect_everywhere("kept", "1");
    for (int i = 0; i < SITES; i++)
        kill_site(i);
    forget(0);
    forget(1);
    start_site(0);
    start_site(1);
    PASS_UNTIL(status_of_site(0).peers[1].is_heard && status_of_site(1).peers[0].is_heard);
    assert_false(is_serving(0));
    PASS_UNTIL(strstr(status_of_site(0).waiting_for, "RABIA RECOVER FORCE") != NULL);
    force(1, "Given up for good: 3@127.0.0.1");
    PASS_UNTIL(is_serving(0) && is_serving(1) && status_of_site(0).has_quorum);
    expect_at(0, "kept", "1");
    write_at(1, "since", "2");
    expect_at(0, "since", "2");
    assert_int_equal(status_of_site(0).voter_count, 2);
    start_site(2);
    PASS_UNTIL(status_of_site(2).state == REPLICA_REMOVED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_member_that_was_killed_goes_on, start, stop),
        cmocka_unit_test_setup_teardown(test_all_killed_at_once_lose_nothing, start, stop),
        cmocka_unit_test_setup_teardown(test_a_wiped_member_rejoins, start, stop),
        cmocka_unit_test_setup_teardown(test_all_without_memory_take_the_most_advanced, start, stop),
        cmocka_unit_test_setup_teardown(test_a_stale_copy_goes_on_without_memory, start, stop),
        cmocka_unit_test_setup_teardown(test_a_transfer_broken_off_is_taken_from_another, start, stop),
        cmocka_unit_test_setup_teardown(test_without_journals_members_rejoin, start, stop),
        cmocka_unit_test_setup_teardown(test_clients_are_told_of_loading, start, stop),
        cmocka_unit_test_setup_teardown(test_a_member_whose_disk_fails_falls_silent, start_on_failing_disk,
                                        stop_on_failing_disk),
        cmocka_unit_test_setup_teardown(test_a_lost_majority_is_given_up_by_force, start, stop),
        cmocka_unit_test_setup_teardown(test_force_recovers_those_without_memory, start, stop),
        cmocka_unit_test_setup_teardown(test_a_recovery_may_end_anywhere, start_on_failing_disk, stop_on_failing_disk),
        cmocka_unit_test_setup_teardown(test_a_save_under_way_does_not_stand_in_for_the_new_epoch_s, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
