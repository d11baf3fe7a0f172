#include "server/server.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/random.h"
#include "server/multi.h"
#include "server/session.h"

enum {
    SHUTDOWN_WAIT_US = 5 * 1000 * 1000, /* for what was proposed to be decided */
};

/* --- commands ------------------------------------------------------------- */

void server_create_commands(struct server *server)
{
    server->commands = command_table_create();
    command_table_add_data_types(server->commands);
    command_table_add(server->commands, command_introspection_rows, command_introspection_count);
    command_table_add(server->commands, connection_command_rows, connection_command_count);
    command_table_add(server->commands, multi_command_rows, multi_command_count);
    command_table_add(server->commands, client_command_rows, client_command_count);
    command_table_add(server->commands, server_command_rows, server_command_count);
    command_table_add(server->commands, rabia_command_rows, rabia_command_count);
    command_table_add(server->commands, save_command_rows, save_command_count);
    command_table_extend(server->commands, "debug", command_debug_rows, command_debug_count);
    command_table_extend(server->commands, "debug", server_debug_rows, server_debug_count);
}

/* --- connections ---------------------------------------------------------- */

static bool has_place_for_peer(const struct server *server)
{
    return !replica_is_lone(server->replica) &&
           server->session_count < (size_t)server->config->maxclients + SERVER_SURPLUS_MAX;
}

static void say_full(struct stream *stream)
{
    static const char text[] = "-" ERROR_MAX_CLIENTS "\r\n";
    buf_append(stream_out(stream), text, sizeof text - 1);
    stream_flush(stream);
}

void server_on_accept(void *context, struct stream *stream)
{
    struct server *server = context;
    server->stats.connections_received++;
    bool is_full = server->session_count >= (size_t)server->config->maxclients;
    if (!is_full || has_place_for_peer(server)) {
        session_create(server, stream)->is_surplus = is_full;
        return;
    }
    server->stats.connections_rejected++;
    say_full(stream);
    stream_free(stream);
}

/* Clients that took a place kept for peers and said nothing. */
static void end_surplus_sessions(struct server *server)
{
    if (server->session_count <= (size_t)server->config->maxclients)
        return;
    int64_t now_ms = loop_wall_ms(server->loop);
    LIST_FOR_EACH(&server->sessions, struct session, link, s) {
        if (!s->is_surplus || now_ms - s->created_ms < SERVER_SURPLUS_MS)
            continue;
        server->stats.connections_rejected++;
        say_full(s->stream);
        session_kill(s, "maxclients is reached, and it is no peer");
    }
}

static void end_idle_sessions(struct server *server)
{
    int64_t now_ms = loop_wall_ms(server->loop), limit_ms = (int64_t)server->config->timeout_s * 1000;
    if (limit_ms == 0)
        return;
    LIST_FOR_EACH(&server->sessions, struct session, link, s) {
        if (s->pending || s->is_blocked || now_ms - s->last_active_ms < limit_ms)
            continue;
        server->stats.sessions_timed_out++;
        session_kill(s, "idle for longer than timeout");
    }
}

static void resume_throttled(struct server *server)
{
    if (list_is_empty(&server->throttled) || replica_is_full(server->replica))
        return;
    LIST_FOR_EACH(&server->throttled, struct session, throttled_link, s) {
        if (s->pending > SESSION_PENDING_MAX / 2)
            continue;
        list_remove(&s->throttled_link);
        s->is_throttled = false;
        session_resume(s);
    }
}

/* --- the passing of time -------------------------------------------------- */

static void watch_memory(struct server *server)
{
    struct mem_figures memory;
    mem_figures(&memory);
    size_t used = memory.allocated;
    uint64_t limit = server->config->maxmemory_bytes;
    server->is_over_memory = limit && used > limit;
    stats_sample(&server->stats, (uint64_t)loop_now_us(server->loop), used);
}

static void do_chores(struct server *server)
{
    server_count_traffic(server);
    int64_t now_ms = loop_wall_ms(server->loop);
    keyspace_set_access_clock(server->keyspace, now_ms);
    watch_memory(server);
    end_idle_sessions(server);
    end_surplus_sessions(server);
    if (server->paused_until_ms && now_ms >= server->paused_until_ms)
        server_unpause(server);
    caretaker_look(&server->caretaker);
    blocking_cron(server);
}

/* What the cluster needs goes on, whatever DEBUG PAUSE-CRON says. */
static void on_cron(void *context)
{
    struct server *server = context;
    if (!server->is_cron_paused)
        do_chores(server);
    replica_cron(server->replica);
    timer_set(&server->cron_timer, loop_now_us(server->loop) + 1000 * 1000 / server->config->hz);
}

static void leave_when_drained(struct server *server)
{
    if (replica_is_drained(server->replica) || loop_now_us(server->loop) >= server->shutdown_deadline_us)
        loop_stop(server->loop);
}

static void on_pass_end(void *context)
{
    struct server *server = context;
    blocking_serve(server);
    caretaker_act(&server->caretaker);
    replica_pass_end(server->replica);
    if (waiting_has_ready(&server->waiting))
        loop_again(server->loop);
    resume_throttled(server);
    if (server->is_shutting_down)
        leave_when_drained(server);
    stats_count_pass(&server->stats, (uint64_t)(loop_clock_us() - loop_now_us(server->loop)));
}

void server_start(struct server *server)
{
    random_from_system(&server->life, sizeof server->life);
    server->life |= 1; /* never 0 */
    caretaker_init(&server->caretaker, server);
    waiting_init(&server->waiting, server);
    loop_set_pass_end(server->loop, on_pass_end, server);
    timer_init(&server->cron_timer, server->loop, on_cron, server);
    timer_set(&server->cron_timer, loop_now_us(server->loop));
}

/* --- the end -------------------------------------------------------------- */

bool server_saves_by_default(const struct server *server)
{
    return server->config->save_rule_count > 0 && replica_is_lone(server->replica);
}

void server_shutdown(struct server *server)
{
    if (server->is_shutting_down)
        return;
    log_notice("server", "shutting down: no new connections; what was proposed is finished first");
    server->is_shutting_down = true;
    server->shutdown_deadline_us = loop_now_us(server->loop) + SHUTDOWN_WAIT_US;
    for (int i = 0; i < server->listener_count; i++)
        listener_free(server->listeners[i]);
    server->listener_count = 0;
    LIST_FOR_EACH(&server->sessions, struct session, link, s) {
        session_close_after_reply(s);
        if (s->pending == 0)
            stream_close_after_flush(s->stream);
    }
    loop_again(server->loop);
}

void server_stop(struct server *server)
{
    timer_cancel(&server->cron_timer);
    loop_set_pass_end(server->loop, NULL, NULL); /* the last pass comes when the replica is gone */
    LIST_FOR_EACH(&server->sessions, struct session, link, s) {
        session_kill(s, NULL);
    }
    LIST_FOR_EACH(&server->zombies, struct session, link, s) {
        session_abandon(s);
    }
    caretaker_deinit(&server->caretaker);
    waiting_deinit(&server->waiting);
    buf_deinit(&server->popped);
}

void server_apply_config(struct server *server)
{
    const struct config *config = server->config;
    log_set_level((enum log_level)config->loglevel);
    keyspace_set_lfu(server->keyspace, config->maxmemory_policy == MEMORY_ALLKEYS_LFU ||
                                           config->maxmemory_policy == MEMORY_VOLATILE_LFU);
    replica_set_save_rules(server->replica, config->save_rules, config->save_rule_count,
                           config->journal_snapshot_bytes);
    replica_set_journal_mode(server->replica, (enum journal_mode)config->journal_mode);
    if (replica_is_lone(server->replica))
        return;
    replica_set_timeouts(server->replica, config->cluster_timeout_ms * 1000);
    replica_set_password(server->replica, config->requirepass);
}
