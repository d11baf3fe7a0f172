/* The server: everything the process holds, tied together.  Visible in this
 * room alone.  Start-up order and shutdown are in main.c. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/config.h"
#include "admin/stats.h"
#include "base/list.h"
#include "command/table.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/timer.h"
#include "replica/replica.h"
#include "server/caretaker.h"
#include "server/waiting.h"
#include "store/keyspace.h"

enum {
    SERVER_LISTENERS_MAX = 17, /* 16 bind addresses and a unix socket */
    /* Places beyond maxclients in a cluster: whoever connects may be a peer,
     * and has SERVER_SURPLUS_MS to say so. */
    SERVER_SURPLUS_MAX = 16,
    SERVER_SURPLUS_MS = 1000,
};
#define ERROR_MAX_CLIENTS "ERR max number of clients reached"

struct server {
    struct loop *loop;
    struct config *config;
    struct command_table *commands;
    struct keyspace *keyspace;
    struct replica *replica;
    struct listener *listeners[SERVER_LISTENERS_MAX];
    int listener_count;

    struct list sessions, zombies; /* zombies: closed, replies still pending */
    struct list throttled;         /* sessions whose input waits for the replica's queue */
    size_t session_count, session_count_max_seen;
    uint64_t next_session_id;
    uint64_t life; /* of this process: no other has the same */
    uint64_t newest_watcher;
    struct caretaker caretaker;
    int64_t given_settings[SETTING_COUNT]; /* by file or command line, where config_is_given says so */
    struct waiting waiting;
    struct buf popped; /* the reply of a pop whose client is gone */
    struct timer cron_timer;
    struct stats stats;

    /* CLIENT PAUSE: until then (wall ms); 0: not paused. */
    int64_t paused_until_ms;
    bool is_pause_for_writes_only;
    struct list paused; /* sessions whose input waits for the end of the pause */

    bool is_shutting_down;
    bool saves_at_end; /* SHUTDOWN SAVE, or save rules and no journal */
    int64_t shutdown_deadline_us;
    bool is_cron_paused; /* DEBUG PAUSE-CRON */
    bool is_over_memory; /* as of the last cron: writes that need memory are refused */
    int64_t started_wall_us;
    struct slice *arguments; /* of the run of commands being handled (dispatch.c) */
    size_t argument_capacity;
    char run_id[41];
};

/* Rows of this room, added to the table at start. */
extern const struct command connection_command_rows[], client_command_rows[], server_command_rows[],
    rabia_command_rows[], save_command_rows[];
extern const size_t connection_command_count, client_command_count, server_command_count, rabia_command_count,
    save_command_count;

/* Subcommands of DEBUG. */
extern const struct command server_debug_rows[];
extern const size_t server_debug_count;

/* (server.c) Sets cron and the end of passes going; ends all sessions. */
/* The table of all rooms' rows, into server->commands. */
void server_create_commands(struct server *server);
void server_start(struct server *server);
void server_stop(struct server *server);
/* A client or peer has connected. */
void server_on_accept(void *server, struct stream *stream);
/* (session.c) What the replica calls for commands handed to it. */
extern const struct replica_clients session_replica_clients;
/* Begins an orderly end: stop accepting, finish what was proposed, leave the
 * loop. */
void server_shutdown(struct server *server);
/* What SHUTDOWN does without SAVE or NOSAVE: a store that lives by snapshots saves one. */
bool server_saves_by_default(const struct server *server);
/* CLIENT PAUSE and UNPAUSE (client_command.c).  While paused, sessions with a
 * command to run (a write, or any) stall and wait in paused; the cron calls
 * server_unpause when the time is up. */
void server_pause(struct server *server, int64_t until_ms, bool is_for_writes_only);
void server_unpause(struct server *server);
/* (server_command.c) Brings the counters of bytes and system calls up to date. */
void server_count_traffic(struct server *server);
/* Makes a changed option effective where it must be pushed somewhere (maxclients,
 * loglevel, ...); a hook of the config table. */
void server_apply_config(struct server *server);

#endif
