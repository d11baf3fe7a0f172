/* Shared by the tests of server: three whole servers in one process, each with its own loop
 * and, if they keep anything, its own directory, on loopback; their loops are driven in
 * turn until something is true. */
#ifndef TESTS_SITES_H
#define TESTS_SITES_H

#include "../net/drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "server/multi.h"
#include "server/server.h"
#include "server/session.h"

enum { SITES = 3 };

static struct server sites[SITES];
static int ports[SITES];
static bool is_up[SITES];

/* What those that start from now on are told; an empty directory means that nothing is kept. */
static struct {
    char directory[64];
    enum journal_mode mode;
    bool (*pump)(void *site); /* while loading */
    const struct command *rows; /* added to the table */
    size_t row_count;
} how = {.mode = JOURNAL_ALWAYS};

/* --- servers ------------------------------------------------------------------ */

static bool try_port(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_free;
}

/* Members must be named before they listen, and are down now and then: so not of those that the
 * system gives to whoever connects somewhere, nor of those that tests of other stages, which run
 * at the same time, choose from (servers.py). */
static void choose_ports(void)
{
    static int turn;
    for (int i = 0; i < SITES;) {
        int port = 7000 + (getpid() * 61 + turn++) % 3000;
        if (try_port(port))
            ports[i++] = port;
    }
}

static void configure(struct server *s, int index)
{
    char port[16], self[16], members[128], error[CONFIG_ERROR_MAX];
    snprintf(port, sizeof port, "%d", ports[index]);
    snprintf(self, sizeof self, "%d", index + 1);
    snprintf(members, sizeof members, "1@127.0.0.1:%d 2@127.0.0.1:%d 3@127.0.0.1:%d", ports[0], ports[1], ports[2]);
    char *argv[] = {(char[]){"kvstore-server"}, (char[]){"--port"},    port, (char[]){"--cluster-self"},
                    self, (char[]){"--cluster-members"}, members, (char[]){"--loglevel"}, (char[]){"warning"},
                    (char[]){"--bind"}, (char[]){"127.0.0.1"}, (char[]){"--cluster-timeout"}, (char[]){"60000"}};
    s->config = config_create();
    if (!config_load_arguments(s->config, (int)(sizeof argv / sizeof *argv), argv, error))
        fail_msg("%s", error);
}

static void add_commands(struct server *s)
{
    server_create_commands(s);
    if (how.rows)
        command_table_add(s->commands, how.rows, how.row_count);
}

static void open_door(struct server *s)
{
    char error[LISTENER_ERROR_MAX];
    struct listener_options options = {.addresses = (const char *const *)s->config->bind,
                                       .address_count = (size_t)s->config->bind_count,
                                       .port = (uint16_t)s->config->port,
                                       .on_accept = server_on_accept,
                                       .context = s};
    assert_int_equal(listener_create(&s->listeners[0], s->loop, &options, error), STATUS_OK);
    s->listener_count = 1;
}

static inline void directory_of_site(int index, char dir[static 96])
{
    snprintf(dir, 96, "%s/%d", how.directory, index + 1);
}

static bool go_on(void *site)
{
    (void)site;
    return true;
}

/* As main.c does it. */
static void start_site(int index)
{
    struct server *s = &sites[index];
    memset(s, 0, sizeof *s);
    configure(s, index);
    list_init(&s->sessions);
    list_init(&s->zombies);
    list_init(&s->throttled);
    list_init(&s->paused);
    s->next_session_id = 1;
    stats_init(&s->stats);
    s->loop = loop_create();
    s->keyspace = keyspace_create(&(struct keyspace_options){.database_count = 16});
    add_commands(s);
    open_door(s);
    const struct config *config = s->config;
    struct replica_options options = {
        .loop = s->loop,
        .keyspace = s->keyspace,
        .commands = s->commands,
        .clients = session_replica_clients,
        .members = config->members,
        .member_count = config->member_count,
        .self_id = (uint16_t)config->cluster_self,
        .cluster_name = config->cluster_name,
        .cluster_timeout_us = config->cluster_timeout_ms * 1000,
        .forfeit_floor_us = config->forfeit_floor_us,
        .forfeit_ceiling_us = config->forfeit_ceiling_us,
        .clock_tolerance_ms = config->clock_tolerance_ms,
        .peer_backlog_bytes = config->peer_backlog_bytes,
        .skip_ahead_max = (uint32_t)config->skip_ahead_max,
        .dir = "/nonexistent",
        .is_journaled = how.directory[0] != '\0',
        .journal_mode = how.mode,
        .journal_segment_bytes = 1 << 20,
        .journal_rewrite_bytes = (size_t)1 << 30,
        .is_snapshot_compressed = true,
    };
    char dir[96], error[REPLICA_ERROR_MAX] = "";
    if (how.directory[0]) {
        directory_of_site(index, dir);
        mkdir(dir, 0755);
        options.dir = dir;
    }
    if (replica_create(&s->replica, &options, error) != STATUS_OK)
        fail_msg("%s", error);
    server_apply_config(s);
    server_start(s);
    if (replica_load(s->replica, NULL, how.pump ? how.pump : go_on, s, error) != STATUS_OK)
        fail_msg("%s", error);
    is_up[index] = true;
}

/* is_clean: as SIGTERM does; else as if it were killed. */
static void end_site(int index, bool is_clean)
{
    struct server *s = &sites[index];
    is_up[index] = false;
    server_stop(s);
    for (int i = 0; i < s->listener_count; i++)
        listener_free(s->listeners[i]);
    if (is_clean)
        (void)!replica_close(s->replica);
    replica_free(s->replica);
    loop_set_pass_end(s->loop, NULL, NULL);
    loop_pass(s->loop, false);
    command_table_free(s->commands);
    keyspace_free(s->keyspace);
    loop_free(s->loop);
    config_free(s->config);
    mem_free(s->arguments);
}

static inline void stop_site(int index)
{
    end_site(index, true);
}

static void pass_all(void)
{
    for (int i = 0; i < SITES; i++)
        if (is_up[i])
            loop_pass(sites[i].loop, false);
}

/* Longer than links wait before they are dialled again. */
enum { PASS_MAX_US = 30 * 1000 * 1000 };

#define PASS_UNTIL(condition)                                   \
    do {                                                        \
        int64_t pass_end_us = loop_clock_us() + PASS_MAX_US;    \
        while (!(condition) && loop_clock_us() < pass_end_us)   \
            pass_all();                                         \
        assert_true(loop_clock_us() < pass_end_us);             \
    } while (0)

static bool all_up(void)
{
    for (int i = 0; i < SITES; i++)
        if (!is_up[i] || replica_refusal(sites[i].replica))
            return false;
    return true;
}

/* --- clients -------------------------------------------------------------------- */

struct client {
    int fd;
    struct buf received;
    bool is_closed;
};

static struct client client_of(int site)
{
    return (struct client){.fd = connect_local((uint16_t)ports[site])};
}

static void client_close(struct client *c)
{
    close(c->fd);
    buf_deinit(&c->received);
}

static void send_text(struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static size_t receive(struct client *c)
{
    char bytes[65536];
    ssize_t size = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size > 0)
        buf_append(&c->received, bytes, (size_t)size);
    else if (size == 0 || errno != EAGAIN)
        c->is_closed = true;
    return buf_size(&c->received);
}

static void expect(struct client *c, const char *text)
{
    PASS_UNTIL(receive(c) >= strlen(text) || c->is_closed);
    buf_append(&c->received, "", 1);
    assert_string_equal(buf_head(&c->received), text);
    buf_clear(&c->received);
}

#endif
