/* Goal: listening where it was asked for or saying why not; running out of descriptors
 * neither spins nor loses the listener.
 * Method: real sockets on ports the system chooses; descriptors are made scarce with
 * setrlimit. */
#include "drive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

struct crowd {
    struct stream *streams[256];
    int count;
};

static void accept_crowd(void *context, struct stream *stream)
{
    struct crowd *crowd = context;
    assert_true(crowd->count < 256);
    crowd->streams[crowd->count++] = stream;
}

static void crowd_leave(struct crowd *crowd)
{
    while (crowd->count > 0)
        stream_free(crowd->streams[--crowd->count]);
}

static enum status try_listen(struct loop *loop, struct listener **listener, const char *const *addresses,
                              size_t count, uint16_t port, struct crowd *crowd, char *error)
{
    struct listener_options options = {
        .addresses = addresses, .address_count = count, .port = port, .on_accept = accept_crowd, .context = crowd};
    return listener_create(listener, loop, &options, error);
}

static void several_addresses_one_port(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    struct crowd crowd = {0};
    struct listener *listener;
    char error[LISTENER_ERROR_MAX] = "";
    const char *addresses[] = {"127.0.0.1", "127.0.0.2", "-::1", "-192.0.2.1", "-no.such.name.invalid"};
    assert_int_equal(try_listen(loop, &listener, addresses, 5, 0, &crowd, error), STATUS_OK);
    assert_true(listener_port(listener) > 0);
    int fd = connect_local(listener_port(listener));
    DRIVE_UNTIL(loop, crowd.count == 1);
    close(fd);
    crowd_leave(&crowd);
    listener_free(listener);
    const char *any[] = {"*", "-::*"};
    assert_int_equal(try_listen(loop, &listener, any, 2, 0, &crowd, error), STATUS_OK);
    listener_free(listener);
    loop_free(loop);
}

static void failures_are_told(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    struct crowd crowd = {0};
    struct listener *listener, *second = NULL;
    char error[LISTENER_ERROR_MAX] = "", expected[LISTENER_ERROR_MAX];
    const char *here[] = {"127.0.0.1"}, *elsewhere[] = {"192.0.2.1"}, *maybe[] = {"-192.0.2.1"};
    assert_int_equal(try_listen(loop, &listener, here, 1, 0, &crowd, error), STATUS_OK);
    assert_int_equal(try_listen(loop, &second, here, 1, listener_port(listener), &crowd, error), STATUS_IO);
    assert_int_equal(errno, EADDRINUSE);
    snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1:%u: bind: Address already in use",
             listener_port(listener));
    assert_string_equal(error, expected);
    assert_int_equal(try_listen(loop, &second, elsewhere, 1, 0, &crowd, error), STATUS_IO);
    assert_int_equal(errno, EADDRNOTAVAIL);
    assert_int_equal(try_listen(loop, &second, maybe, 1, 6379, &crowd, error), STATUS_IO);
    assert_string_equal(error, "cannot listen on port 6379: none of the addresses is available");
    const char *many[LISTENER_SOCKETS_MAX + 1];
    char texts[LISTENER_SOCKETS_MAX + 1][24];
    for (int i = 0; i <= LISTENER_SOCKETS_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], "127.0.1.%d", i + 1);
        many[i] = texts[i];
    }
    assert_int_equal(try_listen(loop, &second, many, LISTENER_SOCKETS_MAX + 1, 0, &crowd, error), STATUS_TOO_LARGE);
    assert_null(second);
    listener_free(listener);
    loop_free(loop);
}

static void unix_sockets(void **state)
{
    (void)state;
    char path[64], error[LISTENER_ERROR_MAX];
    snprintf(path, sizeof path, "/tmp/test_listener.%d.sock", (int)getpid());
    struct loop *loop = loop_create();
    struct crowd crowd = {0};
    struct listener_options options = {
        .unix_path = path, .unix_mode = 0600, .on_accept = accept_crowd, .context = &crowd};
    struct listener *listener;
    assert_int_equal(listener_create(&listener, loop, &options, error), STATUS_OK);
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    DRIVE_UNTIL(loop, crowd.count == 1);
    char expected[80];
    snprintf(expected, sizeof expected, "%s:0", path);
    assert_string_equal(stream_peer_address(crowd.streams[0]), expected);
    assert_true(stream_is_unix(crowd.streams[0]));
    crowd_leave(&crowd);
    close(fd);
    listener_free(listener);
    assert_int_equal(stat(path, &found), -1);
    /* A file that is no socket is not removed. */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(listener_create(&listener, loop, &options, error), STATUS_IO);
    assert_non_null(strstr(error, "Address already in use"));
    assert_int_equal(stat(path, &found), 0);
    unlink(path);
    char long_path[200];
    memset(long_path, 'p', sizeof long_path);
    long_path[199] = '\0';
    options.unix_path = long_path;
    assert_int_equal(listener_create(&listener, loop, &options, error), STATUS_TOO_LARGE);
    loop_free(loop);
}

/* Accepting is bounded per pass. */
static void accepts_are_bounded(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    struct crowd crowd = {0};
    struct listener *listener = listen_local(loop, accept_crowd, &crowd);
    int fds[100];
    for (int i = 0; i < 100; i++)
        fds[i] = connect_local(listener_port(listener));
    loop_pass(loop, true);
    assert_in_range(crowd.count, 1, LISTENER_ACCEPTS_PER_PASS);
    DRIVE_UNTIL(loop, crowd.count == 100);
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    crowd_leave(&crowd);
    listener_free(listener);
    loop_free(loop);
}

/* Without a free descriptor the listener pauses: a few passes, not thousands, until the
 * timer; then the waiting connection is taken. */
static void out_of_descriptors(void **state)
{
    (void)state;
    assert_int_equal(log_open("/dev/null"), STATUS_OK);
    struct loop *loop = loop_create();
    struct crowd crowd = {0};
    struct listener *listener = listen_local(loop, accept_crowd, &crowd);
    int fd = connect_local(listener_port(listener));
    struct rlimit before, scarce;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(fd);
    close(highest);
    scarce = before;
    scarce.rlim_cur = (rlim_t)highest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &scarce), 0);
    DRIVE_UNTIL(loop, listener_pauses(listener) == 1);
    uint64_t passes = loop_figures(loop).passes;
    int64_t since = loop_now_us(loop);
    while (listener_pauses(listener) < 2) /* each waits for the timer */
        loop_pass(loop, true);
    assert_true(loop_now_us(loop) - since >= LISTENER_PAUSE_US);
    assert_true(loop_figures(loop).passes - passes <= 5);
    assert_int_equal(crowd.count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (crowd.count < 1)
        loop_pass(loop, true);
    crowd_leave(&crowd);
    close(fd);
    listener_free(listener);
    loop_free(loop);
}

static struct listener *doomed;
static void accept_and_close_shop(void *context, struct stream *stream)
{
    (void)context;
    stream_free(stream);
    listener_free(doomed);
    doomed = NULL;
}

static void freed_in_its_callback(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    doomed = listen_local(loop, accept_and_close_shop, NULL);
    int fds[2] = {connect_local(listener_port(doomed)), connect_local(listener_port(doomed))};
    DRIVE_UNTIL(loop, !doomed);
    close(fds[0]);
    close(fds[1]);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_addresses_one_port), cmocka_unit_test(failures_are_told),
        cmocka_unit_test(unix_sockets),               cmocka_unit_test(accepts_are_bounded),
        cmocka_unit_test(out_of_descriptors),         cmocka_unit_test(freed_in_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
