/* kvstore-server: start-up, in the order things depend on each other, and the
 * way back.
 *
 *   configuration -> log -> loop -> keyspace -> commands -> replica -> listeners */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/version.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/random.h"
#include "server/agreed.h"
#include "server/server.h"
#include "server/session.h"

enum {
    RESERVED_DESCRIPTORS = 64, /* listeners, peers, log, the loop's own */
};

static void usage(void)
{
    puts("kvstore-server [path to kvstore.conf] [-] [--option value ...]\n"
         "  -                 read further options from standard input\n"
         "  --option value    any option of kvstore.conf; later ones win\n"
         "  -v, --version     print the version\n"
         "  -h, --help        print this\n"
         "Examples:\n"
         "  kvstore-server                      a lone server on port 6379\n"
         "  kvstore-server --port 7777\n"
         "  kvstore-server kvstore.conf --loglevel verbose\n"
         "  kvstore-server --cluster-self 1 --cluster-members \"1@10.0.0.1:7001 2@10.0.0.2:7001 3@10.0.0.3:7001\"\n"
         "  kvstore-server --cluster-self 4 --cluster-join 10.0.0.1:7001 --port 7004");
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "kvstore-server: %s: %s\n", what, why);
    exit(1);
}

static void load_config(struct server *server, int argc, char **argv)
{
    char error[CONFIG_ERROR_MAX];
    server->config = config_create();
    if (!config_load_arguments(server->config, argc, argv, error)) {
        fprintf(stderr, "kvstore-server: %s\n", error);
        config_free(server->config);
        exit(1);
    }
}

static void open_log(const struct config *config)
{
    log_set_level((enum log_level)config->loglevel);
    if (config->dir[0] && chdir(config->dir) != 0)
        die(config->dir, strerror(errno));
    if (log_open(config->logfile) != STATUS_OK)
        die(config->logfile, strerror(errno));
}

/* As many descriptors as maxclients needs; fewer clients where the system
 * refuses. */
static void raise_descriptor_limit(struct config *config)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)config->maxclients + RESERVED_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= wanted ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= wanted)
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    int possible = (int)limit.rlim_cur - RESERVED_DESCRIPTORS;
    log_warning("server", "the system allows %d open files: maxclients is %d instead of %d", (int)limit.rlim_cur,
                possible > 1 ? possible : 1, config->maxclients);
    config->maxclients = possible > 1 ? possible : 1;
}

static void become_daemon(void)
{
    pid_t pid = fork();
    if (pid < 0)
        die("cannot become a daemon", strerror(errno));
    if (pid > 0)
        _exit(0);
    setsid();
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

static void write_pidfile(const struct config *config)
{
    if (!config->pidfile[0])
        return;
    FILE *file = fopen(config->pidfile, "w");
    if (!file)
        die(config->pidfile, strerror(errno));
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
}

static void create_keyspace(struct server *server)
{
    struct keyspace_options options = {.database_count = server->config->databases};
    random_from_system(options.hash_secret, sizeof options.hash_secret);
    server->keyspace = keyspace_create(&options);
    keyspace_set_access_clock(server->keyspace, loop_wall_ms(server->loop));
}

static void create_replica(struct server *server)
{
    const struct config *config = server->config;
    struct replica_options options = {
        .loop = server->loop,
        .keyspace = server->keyspace,
        .commands = server->commands,
        .clients = session_replica_clients,
        .members = config->member_count ? config->members : NULL,
        .member_count = config->member_count,
        .join = config->join,
        .join_count = config->join_count,
        .self_id = (uint16_t)config->cluster_self,
        .cluster_name = config->cluster_name,
        .password = config->requirepass,
        .cluster_timeout_us = config->cluster_timeout_ms * 1000,
        .forfeit_floor_us = config->forfeit_floor_us,
        .forfeit_ceiling_us = config->forfeit_ceiling_us,
        .clock_tolerance_ms = config->clock_tolerance_ms,
        .peer_backlog_bytes = config->peer_backlog_bytes,
        .skip_ahead_max = (uint32_t)config->skip_ahead_max,
        .dir = ".",
        .is_journaled = config->is_journaled,
        .journal_mode = (enum journal_mode)config->journal_mode,
        .journal_segment_bytes = config->journal_segment_bytes,
        .journal_rewrite_bytes = config->journal_snapshot_bytes,
        .is_snapshot_compressed = config->snapshot_compression,
        .save_rule_count = config->save_rule_count,
    };
    memcpy(options.save_rules, config->save_rules, sizeof config->save_rules);
    char error[REPLICA_ERROR_MAX];
    if (replica_create(&server->replica, &options, error) != STATUS_OK) {
        log_warning("server", "%s", error);
        die("cannot start", error);
    }
}

/* While data is loaded, connections are accepted and told so. */
static bool serve_while_loading(void *context)
{
    struct server *server = context;
    loop_pass(server->loop, false);
    return !server->is_shutting_down;
}

static bool load_data(struct server *server)
{
    char error[REPLICA_ERROR_MAX];
    const char *restore = server->config->restore[0] ? server->config->restore : NULL;
    enum status status = replica_load(server->replica, restore, serve_while_loading, server, error);
    if (status == STATUS_CLOSED)
        return false;
    if (status != STATUS_OK) {
        log_warning("server", "%s", error);
        die("cannot load the data", error);
    }
    return true;
}

static void listen_to(struct server *server)
{
    const struct config *config = server->config;
    struct listener_options options = {
        .addresses = (const char *const *)config->bind,
        .address_count = config->port ? (size_t)config->bind_count : 0,
        .port = (uint16_t)config->port,
        .unix_path = config->unixsocket[0] ? config->unixsocket : NULL,
        .unix_mode = (mode_t)config->unixsocketperm,
        .backlog = config->tcp_backlog,
        .on_accept = server_on_accept,
        .context = server,
    };
    char error[LISTENER_ERROR_MAX];
    if (listener_create(&server->listeners[0], server->loop, &options, error) != STATUS_OK) {
        log_warning("server", "%s", error);
        die("cannot listen", error);
    }
    server->listener_count = 1;
}

static void make_run_id(struct server *server)
{
    unsigned char bytes[20];
    random_from_system(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(server->run_id + 2 * i, 3, "%02x", bytes[i]);
}

static void on_end_signal(void *context, int signal_number)
{
    struct server *server = context;
    if (server->is_shutting_down)
        return; /* it may come when half of everything is gone */
    log_notice("server", "received signal %d", signal_number);
    server->saves_at_end = server_saves_by_default(server);
    server_shutdown(server);
}

static void on_config_change(void *context)
{
    server_apply_config(context);
}

static void start(struct server *server)
{
    struct config *config = server->config;
    list_init(&server->sessions);
    list_init(&server->zombies);
    list_init(&server->throttled);
    list_init(&server->paused);
    server->next_session_id = 1;
    make_run_id(server);
    stats_init(&server->stats);
    raise_descriptor_limit(config);
    server->loop = loop_create();
    server->started_wall_us = loop_wall_ms(server->loop) * 1000;
    create_keyspace(server);
    server_create_commands(server);
    listen_to(server);
    create_replica(server);
    config->apply = on_config_change;
    config->apply_context = server;
    server_apply_config(server);
    loop_on_signal(server->loop, SIGTERM, on_end_signal, server);
    loop_on_signal(server->loop, SIGINT, on_end_signal, server);
    server_start(server);
    write_pidfile(config);
    log_notice("server", "kvstore " KVSTORE_VERSION " is ready for connections on port %d, %s", config->port,
               config->cluster_self ? "as a member of a cluster" : "alone");
}

static void stop(struct server *server)
{
    /* The end is under way: a second request must not cut it short. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    server_stop(server);
    if (server->saves_at_end && replica_save(server->replica, false) != STATUS_OK)
        log_warning("server", "the snapshot at the end could not be saved");
    for (int i = 0; i < server->listener_count; i++)
        listener_free(server->listeners[i]);
    if (replica_close(server->replica) != STATUS_OK)
        log_warning("server", "the journal could not be closed cleanly");
    replica_free(server->replica);
    loop_pass(server->loop, false); /* streams that were freed above let go of the loop */
    command_table_free(server->commands);
    keyspace_free(server->keyspace);
    loop_free(server->loop);
    if (server->config->pidfile[0])
        unlink(server->config->pidfile);
    config_free(server->config);
    mem_free(server->arguments);
    log_notice("server", "bye");
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "--version") == 0)) {
        printf("kvstore-server %s (%s, speaks Redis %s)\n", KVSTORE_VERSION, mem_allocator_name(), REDIS_VERSION);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        usage();
        return 0;
    }
    static struct server server;
    load_config(&server, argc, argv);
    open_log(server.config);
    if (server.config->is_daemon)
        become_daemon();
    start(&server);
    if (load_data(&server)) {
        agreed_begin(&server);
        loop_run(server.loop);
    }
    stop(&server);
    return 0;
}
