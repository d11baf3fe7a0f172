#include "admin/info.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "admin/version.h"
#include "base/alloc.h"
#include "store/watch.h"

void info_human_bytes(uint64_t bytes, char text[static INFO_HUMAN_MAX])
{
    static const char units[] = "KMGTP";
    if (bytes < 1024) {
        snprintf(text, INFO_HUMAN_MAX, "%" PRIu64 "B", bytes);
        return;
    }
    double shortened = (double)bytes / 1024;
    int unit = 0;
    while (shortened >= 1024 && unit < 4) {
        shortened /= 1024;
        unit++;
    }
    snprintf(text, INFO_HUMAN_MAX, "%.2f%c", shortened, units[unit]);
}

static void print_human(struct buf *out, const char *name, uint64_t bytes)
{
    char text[INFO_HUMAN_MAX];
    info_human_bytes(bytes, text);
    buf_printf(out, "%s:%" PRIu64 "\r\n%s_human:%s\r\n", name, bytes, name, text);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

/* --- sections ------------------------------------------------------------ */

static void print_server(const struct info_sources *from, struct buf *out)
{
    struct utsname name;
    if (uname(&name) != 0)
        name = (struct utsname){.sysname = "unknown"};
    int64_t uptime_s = (from->now_wall_us - from->started_wall_us) / 1000000;
    buf_printf(out, "redis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nkvstore_version:%s\r\n"
                    "redis_mode:standalone\r\nos:%s %s %s\r\n",
               REDIS_VERSION, KVSTORE_VERSION, name.sysname, name.release, name.machine);
    buf_printf(out, "arch_bits:%zu\r\nmonotonic_clock:POSIX clock_gettime\r\nmultiplexing_api:epoll\r\n",
               sizeof(void *) * 8);
    buf_printf(out, "process_id:%ld\r\nprocess_supervised:no\r\nrun_id:%s\r\ntcp_port:%d\r\n", (long)getpid(),
               from->run_id, from->port);
    buf_printf(out, "server_time_usec:%" PRId64 "\r\nuptime_in_seconds:%" PRId64 "\r\nuptime_in_days:%" PRId64 "\r\n",
               from->now_wall_us, uptime_s, uptime_s / 86400);
    char executable[4096];
    ssize_t length = readlink("/proc/self/exe", executable, sizeof executable);
    buf_printf(out, "hz:%d\r\nconfigured_hz:%d\r\nexecutable:%.*s\r\nconfig_file:%s\r\n", from->config->hz,
               from->config->hz, (int)(length > 0 ? length : 0), executable,
               from->config->path ? from->config->path : "");
}

static void print_clients(const struct info_sources *from, struct buf *out)
{
    buf_printf(out, "connected_clients:%zu\r\ncluster_connections:0\r\nmaxclients:%d\r\n", from->sessions,
               from->config->maxclients);
    buf_printf(out, "client_recent_max_input_buffer:%zu\r\nclient_recent_max_output_buffer:%zu\r\n",
               from->session_input_max, from->session_output_max);
    const struct watches *watches = keyspace_watches(from->keyspace);
    buf_printf(out, "watching_clients:%zu\r\ntotal_watched_keys:%zu\r\n", watch_watcher_count(watches),
               watch_key_count(watches));
    buf_printf(out, "blocked_clients:%zu\r\npaused_clients:%zu\r\ntracking_clients:0\r\n", from->blocked_sessions,
               from->paused_sessions);
}

static void print_allocator(const struct mem_figures *m, struct buf *out)
{
    buf_printf(out, "allocator_allocated:%zu\r\nallocator_active:%zu\r\nallocator_resident:%zu\r\n", m->allocated,
               m->active, m->resident);
    buf_printf(out, "allocator_frag_ratio:%.2f\r\nallocator_frag_bytes:%zu\r\n", ratio(m->active, m->allocated),
               m->active > m->allocated ? m->active - m->allocated : 0);
    buf_printf(out, "allocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%zu\r\n", ratio(m->resident, m->active),
               m->resident > m->active ? m->resident - m->active : 0);
    buf_printf(out, "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%" PRId64 "\r\n",
               ratio(m->resident_process, m->allocated), (int64_t)m->resident_process - (int64_t)m->allocated);
    buf_printf(out, "mem_allocator:%s\r\n", mem_allocator_name());
}

static void print_memory(const struct info_sources *from, struct buf *out)
{
    struct mem_figures m;
    mem_figures(&m);
    struct keyspace_figures figures;
    keyspace_get_figures(from->keyspace, &figures);
    size_t dataset = figures.bucket_bytes + figures.entry_bytes;
    size_t overhead = m.allocated > dataset ? m.allocated - dataset : 0;
    size_t peak = from->stats->memory_peak_bytes > m.allocated ? from->stats->memory_peak_bytes : m.allocated;
    print_human(out, "used_memory", m.allocated);
    print_human(out, "used_memory_rss", m.resident_process);
    print_human(out, "used_memory_peak", peak);
    buf_printf(out, "used_memory_peak_perc:%.2f%%\r\nused_memory_overhead:%zu\r\nused_memory_dataset:%zu\r\n",
               100 * ratio(m.allocated, peak), overhead, dataset);
    buf_printf(out, "used_memory_dataset_perc:%.2f%%\r\n", 100 * ratio(dataset, m.allocated));
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    print_human(out, "total_system_memory", total);
    print_human(out, "maxmemory", from->config->maxmemory_bytes);
    struct slice policy = SLICE_LITERAL("maxmemory-policy");
    buf_printf(out, "maxmemory_policy:");
    config_print_row(from->config, config_find_row(policy), out);
    buf_printf(out, "\r\nmem_keyspace_buckets:%zu\r\nmem_keyspace_entries:%zu\r\n", figures.bucket_bytes,
               figures.entry_bytes);
    buf_printf(out, "mem_clients_normal:%zu\r\nmem_clients_slaves:0\r\nmem_replication_backlog:%zu\r\n",
               from->session_bytes, from->replica->order.history_bytes);
    print_allocator(&m, out);
}

static void print_loading(const struct info_sources *from, struct buf *out)
{
    const struct replica_status *replica = from->replica;
    bool is_loading = replica->state == REPLICA_LOADING;
    buf_printf(out, "loading:%d\r\nasync_loading:0\r\n", is_loading);
    if (!is_loading)
        return;
    uint64_t done = replica->loading_done, total = replica->loading_total;
    int64_t spent_s = from->now_wall_us / 1000000 - replica->loading_since_s;
    double eta_s = done ? (double)spent_s * (double)(total - done) / (double)done : 1;
    buf_printf(out, "loading_start_time:%" PRId64 "\r\nloading_total_bytes:%" PRIu64 "\r\n", replica->loading_since_s,
               total);
    buf_printf(out, "loading_loaded_bytes:%" PRIu64 "\r\nloading_loaded_perc:%.2f\r\nloading_eta_seconds:%.0f\r\n",
               done, 100 * ratio(done, total), eta_s);
}

static void print_journal(const struct memory_figures *m, struct buf *out)
{
    static const char *const modes[] = {"always", "everysec", "no"};
    const struct journal_figures *j = &m->journal;
    buf_printf(out, "aof_enabled:%d\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n"
                    "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n"
                    "aof_last_bgrewrite_status:ok\r\naof_rewrites:0\r\naof_last_write_status:%s\r\n"
                    "aof_last_cow_size:0\r\n",
               m->is_journaled, j->is_failed ? "err" : "ok");
    if (!m->is_journaled)
        return;
    buf_printf(out, "aof_current_size:%" PRIu64 "\r\naof_pending_bio_fsync:%d\r\njournal_fsync:%s\r\n"
                    "journal_segments:%" PRIu64 "\r\njournal_bytes_used:%" PRIu64 "\r\njournal_low_on_disk:%d\r\n",
               j->bytes_on_disk, j->flushed_seq < j->written_seq, modes[m->mode], j->segments, j->bytes_used, j->is_low);
    buf_printf(out, "journal_first_seq:%" PRIu64 "\r\njournal_written_seq:%" PRIu64 "\r\njournal_flushed_seq:%" PRIu64
                    "\r\n", j->first_seq, j->written_seq, j->flushed_seq);
    buf_printf(out, "journal_writes:%" PRIu64 "\r\njournal_flushes:%" PRIu64 "\r\njournal_flush_usec_last:%" PRIu64
                    "\r\njournal_flush_usec_max:%" PRIu64 "\r\n", j->writes, j->flushes, j->flush_us_last,
               j->flush_us_max);
    if (j->is_failed)
        buf_printf(out, "journal_error:%s\r\n", strerror(j->error));
}

/* What a save is doing; zeros while there is none. */
static void print_saving(const struct memory_figures *m, struct buf *out)
{
    uint64_t done = m->is_saving ? m->save_keys_done : 0, total = m->is_saving ? m->save_keys_total : 0;
    buf_printf(out, "current_cow_peak:%" PRIu64 "\r\ncurrent_cow_size:%" PRIu64 "\r\ncurrent_fork_perc:%.2f\r\n",
               m->is_saving ? m->cow_peak_bytes : 0, m->is_saving ? m->cow_bytes : 0, 100 * ratio(done, total));
    buf_printf(out, "current_save_keys_processed:%" PRIu64 "\r\ncurrent_save_keys_total:%" PRIu64 "\r\n", done, total);
}

static void print_persistence(const struct info_sources *from, struct buf *out)
{
    const struct memory_figures *m = &from->replica->memory;
    int64_t now_s = from->now_wall_us / 1000000;
    print_loading(from, out);
    print_saving(m, out);
    buf_printf(out, "rdb_changes_since_last_save:%" PRIu64 "\r\nrdb_bgsave_in_progress:%d\r\n",
               keyspace_changes(from->keyspace) - m->changes_at_last_save, m->is_saving);
    buf_printf(out, "rdb_last_save_time:%" PRId64 "\r\nrdb_last_bgsave_status:%s\r\n", m->last_save_wall_s,
               m->is_last_save_ok ? "ok" : "err");
    buf_printf(out, "rdb_last_bgsave_time_sec:%" PRId64 "\r\nrdb_current_bgsave_time_sec:%" PRId64 "\r\n"
                    "rdb_saves:%" PRIu64 "\r\nrdb_last_cow_size:%" PRIu64 "\r\n",
               m->last_save_duration_s, m->is_saving ? now_s - m->saving_since_wall_s : -1, m->saves, m->last_cow_bytes);
    buf_printf(out, "rdb_last_load_keys_expired:0\r\nrdb_last_load_keys_loaded:%" PRIu64 "\r\n",
               from->replica->loaded_keys);
    print_journal(m, out);
}

static void print_rates(const struct stats *s, struct buf *out)
{
    buf_printf(out, "instantaneous_ops_per_sec:%" PRIu64 "\r\n", stats_rate_per_second(&s->commands_rate));
    buf_printf(out, "instantaneous_input_kbps:%.2f\r\ninstantaneous_output_kbps:%.2f\r\n",
               (double)stats_rate_per_second(&s->bytes_in_rate) / 1024,
               (double)stats_rate_per_second(&s->bytes_out_rate) / 1024);
}

static void print_stats(const struct info_sources *from, struct buf *out)
{
    const struct stats *s = from->stats;
    struct keyspace_figures figures;
    keyspace_get_figures(from->keyspace, &figures);
    buf_printf(out, "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64 "\r\n",
               s->connections_received, s->commands_processed);
    const struct stats_traffic *now = &s->traffic, *then = &s->traffic_at_reset;
    buf_printf(out, "total_net_input_bytes:%" PRIu64 "\r\ntotal_net_output_bytes:%" PRIu64 "\r\n",
               now->bytes_in - then->bytes_in, now->bytes_out - then->bytes_out);
    print_rates(s, out);
    buf_printf(out, "rejected_connections:%" PRIu64 "\r\nexpired_keys:%" PRIu64 "\r\nevicted_keys:0\r\n",
               s->connections_rejected, figures.expired);
    buf_printf(out, "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\n");
    buf_printf(out, "keyspace_hits:%" PRIu64 "\r\nkeyspace_misses:%" PRIu64 "\r\npubsub_channels:0\r\n"
                    "pubsub_patterns:0\r\nlatest_fork_usec:%" PRIu64 "\r\ntotal_forks:%" PRIu64 "\r\n",
               figures.hits, figures.misses, from->replica->memory.last_fork_us, from->replica->memory.forks);
    buf_printf(out, "total_error_replies:%" PRIu64 "\r\ntotal_reads_processed:%" PRIu64
                    "\r\ntotal_writes_processed:%" PRIu64 "\r\n",
               s->error_replies, now->reads - then->reads, now->writes - then->writes);
    buf_printf(out, "protocol_errors:%" PRIu64 "\r\nclients_over_limit:%" PRIu64 "\r\nclients_timed_out:%" PRIu64
                    "\r\nlongest_pass_usec:%" PRIu64 "\r\n",
               s->protocol_errors, s->sessions_over_limit, s->sessions_timed_out, s->longest_pass_us);
}

/* Every member takes writes, so every one calls itself master. */
static void print_replication(const struct info_sources *from, struct buf *out)
{
    const struct replica_status *r = from->replica;
    int connected = 0;
    for (int i = 0; i < r->member_count; i++)
        connected += r->peers[i].link == LINK_UP;
    buf_printf(out, "role:master\r\nconnected_slaves:%d\r\n", connected);
    for (int i = 0, n = 0; i < r->member_count; i++) {
        const struct replica_peer_status *p = &r->peers[i];
        if (p->link == LINK_UP)
            buf_printf(out, "slave%d:ip=%s,port=%d,state=online,offset=%" PRIu64 ",lag=%" PRIu64 "\r\n", n++, p->host,
                       p->port, r->order.lanes[p->index].frontier_lap * 16, p->silent_ms / 1000);
    }
    buf_printf(out, "master_failover_state:no-failover\r\nmaster_replid:%s\r\nmaster_repl_offset:%" PRIu64 "\r\n",
               from->run_id, r->state == REPLICA_LONE ? 0 : r->position);
}

static void print_usage(const char *name, const struct timeval *t, struct buf *out)
{
    buf_printf(out, "used_cpu_%s:%ld.%06ld\r\n", name, (long)t->tv_sec, (long)t->tv_usec);
}

static void print_cpu(const struct info_sources *from, struct buf *out)
{
    (void)from;
    struct rusage self, children;
    if (getrusage(RUSAGE_SELF, &self) != 0 || getrusage(RUSAGE_CHILDREN, &children) != 0)
        return;
    print_usage("sys", &self.ru_stime, out);
    print_usage("user", &self.ru_utime, out);
    print_usage("sys_children", &children.ru_stime, out);
    print_usage("user_children", &children.ru_utime, out);
}

static void print_nothing(const struct info_sources *from, struct buf *out)
{
    (void)from;
    (void)out;
}

static void print_command(const struct stats *stats, const struct command *container, const struct command *row,
                          struct buf *out)
{
    const struct command_stats *c = stats_find(stats, row);
    if (!c)
        return;
    buf_printf(out, "cmdstat_%s%s%s:calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f,rejected_calls=%" PRIu64,
               container ? container->name : "", container ? "|" : "", row->name, c->calls, stats_usec(c),
               ratio(stats_usec(c), c->calls), c->rejected);
    buf_printf(out, ",failed_calls=%" PRIu64 "\r\n", c->failed);
}

static void print_commandstats(const struct info_sources *from, struct buf *out)
{
    for (size_t i = 0; i < command_count(from->commands); i++) {
        const struct command *row = command_at(from->commands, i);
        print_command(from->stats, NULL, row, out);
        for (int j = 0; j < row->subcommand_count; j++)
            print_command(from->stats, row, &row->subcommands[j], out);
    }
}

static void print_errorstats(const struct info_sources *from, struct buf *out)
{
    for (size_t i = 0; i < from->stats->error_count; i++)
        buf_printf(out, "errorstat_%s:count=%" PRIu64 "\r\n", from->stats->errors[i].prefix,
                   from->stats->errors[i].count);
}

static void print_cluster(const struct info_sources *from, struct buf *out)
{
    (void)from;
    buf_printf(out, "cluster_enabled:0\r\n"); /* Redis Cluster: hash slots, redirections */
}

static void print_rabia(const struct info_sources *from, struct buf *out)
{
    info_print_rabia(from->replica, out);
}

static void print_keyspace(const struct info_sources *from, struct buf *out)
{
    for (int db = 0; db < keyspace_database_count(from->keyspace); db++) {
        size_t keys = keyspace_size(from->keyspace, db);
        if (keys)
            buf_printf(out, "db%d:keys=%zu,expires=%zu,avg_ttl=0\r\n", db, keys, keyspace_expiring(from->keyspace, db));
    }
}

/* --- the rabia section --------------------------------------------------- */

const char *info_link_text(enum replica_link_state state)
{
    switch (state) {
    case LINK_SELF: return "self";
    case LINK_DOWN: return "down";
    case LINK_DIALING: return "dialing";
    case LINK_UP: return "up";
    }
    return "?";
}

static void print_own_work(const struct replica_status *s, struct buf *out)
{
    buf_printf(out, "batches_proposed:%" PRIu64 "\r\nbatches_applied:%" PRIu64 "\r\nbatches_void:%" PRIu64
                    "\r\nbatches_reproposed:%" PRIu64 "\r\nbatches_in_flight:%zu\r\n",
               s->batches_proposed, s->batches_applied, s->batches_void, s->batches_reproposed,
               s->batches_in_flight);
    buf_printf(out, "commands_proposed:%" PRIu64 "\r\ncommands_applied:%" PRIu64 "\r\nreads_ridden:%" PRIu64
                    "\r\nqueued_bytes:%zu\r\n",
               s->commands_proposed, s->commands_applied, s->reads_ridden, s->queued_bytes);
    buf_printf(out, "failures_no_quorum:%" PRIu64 "\r\nfailures_in_doubt:%" PRIu64 "\r\nclock_refusals:%" PRIu64
                    "\r\ndigests_compared:%" PRIu64 "\r\ndigests_differing:%" PRIu64 "\r\n",
               s->failures_no_quorum, s->failures_in_doubt, s->clock_refusals, s->digests_compared,
               s->digests_differing);
    buf_printf(out, "snapshots_sent:%" PRIu64 "\r\nsnapshots_received:%" PRIu64 "\r\n", s->snapshots_sent,
               s->snapshots_received);
}

static void print_order(const struct rabia_status *o, struct buf *out)
{
    buf_printf(out, "frontier:%" PRIu64 "\r\nown_next_lap:%" PRIu64 "\r\nown_in_flight:%" PRIu64
                    "\r\nhistory_first_lap:%" PRIu64 "\r\nhistory_bytes:%zu\r\n",
               o->frontier, o->own_next_lap, o->own_in_flight, o->history_first_lap, o->history_bytes);
    buf_printf(out, "decided_by_exchange:%" PRIu64 "\r\n", o->decided_by_exchange);
    for (int i = 0; i < RABIA_PHASE_COUNTERS; i++)
        buf_printf(out, "decided_in_phase_%d%s:%" PRIu64 "\r\n", i + 1, i + 1 == RABIA_PHASE_COUNTERS ? "_up" : "",
                   o->decided_in_phase[i]);
}

static void print_peer(const struct replica_peer_status *p, const struct rabia_lane_status *lane, struct buf *out)
{
    buf_printf(out, "peer%u:address=%s:%d,link=%s,heard=%d,silent_ms=%" PRIu64 ",round_trip_us=%" PRIu64
                    ",frontier=%" PRIu64 ",next_lap=%" PRIu64,
               (unsigned)p->id, p->host, p->port, info_link_text(p->link), p->is_heard, p->silent_ms,
               p->round_trip_us, lane->frontier_lap, lane->next_lap);
    buf_printf(out, ",phi=%.2f,suspect=%d,forfeits=%" PRIu64 ",wrongful_forfeits=%" PRIu64 ",usual_delay_us=%" PRIu64
                    ",forfeit_after_us=%" PRIu64 ",queued_bytes=%zu\r\n",
               lane->phi, lane->is_suspect, lane->forfeits, lane->wrongful_forfeits, lane->usual_delay_us,
               lane->forfeit_after_us, p->queued_bytes);
}

void info_print_rabia(const struct replica_status *s, struct buf *out)
{
    buf_printf(out, "rabia_state:%s\r\nrabia_waiting_for:%s\r\nrabia_quorum:%d\r\nrabia_self:%u\r\n"
                    "rabia_members:%d\r\n",
               s->state_text ? s->state_text : "", s->waiting_for, s->has_quorum, (unsigned)s->self_id,
               s->voter_count);
    buf_printf(out, "position:%" PRIu64 "\r\nlogical_time_ms:%" PRId64 "\r\nincarnation:%" PRIu64 "\r\n", s->position,
               s->logical_time_ms, s->incarnation);
    print_own_work(s, out);
    print_order(&s->order, out);
    for (int i = 0; s->state != REPLICA_LONE && i < s->member_count; i++)
        print_peer(&s->peers[i], &s->order.lanes[s->peers[i].index], out);
}

/* --- choosing sections --------------------------------------------------- */

enum { IN_DEFAULT = 1, IN_ALL = 2 };
static const struct section {
    const char *name, *title;
    unsigned sets;
    void (*print)(const struct info_sources *from, struct buf *out);
} table[] = {
    {"server", "Server", IN_DEFAULT | IN_ALL, print_server},
    {"clients", "Clients", IN_DEFAULT | IN_ALL, print_clients},
    {"memory", "Memory", IN_DEFAULT | IN_ALL, print_memory},
    {"persistence", "Persistence", IN_DEFAULT | IN_ALL, print_persistence},
    {"stats", "Stats", IN_DEFAULT | IN_ALL, print_stats},
    {"replication", "Replication", IN_DEFAULT | IN_ALL, print_replication},
    {"cpu", "CPU", IN_DEFAULT | IN_ALL, print_cpu},
    {"modules", "Modules", IN_DEFAULT | IN_ALL, print_nothing},
    {"commandstats", "Commandstats", IN_ALL, print_commandstats},
    {"errorstats", "Errorstats", IN_DEFAULT | IN_ALL, print_errorstats},
    {"cluster", "Cluster", IN_DEFAULT | IN_ALL, print_cluster},
    {"rabia", "Rabia", IN_DEFAULT | IN_ALL, print_rabia},
    {"keyspace", "Keyspace", IN_DEFAULT | IN_ALL, print_keyspace},
};
enum { SECTION_COUNT = sizeof table / sizeof *table };

static bool names(struct slice word, const struct section *section)
{
    if (slice_is(word, "everything"))
        return true;
    if (slice_is(word, "all"))
        return section->sets & IN_ALL;
    if (slice_is(word, "default"))
        return section->sets & IN_DEFAULT;
    return slice_is(word, section->name);
}

static bool is_wanted(const struct section *section, const struct slice *words, int count)
{
    for (int i = 0; i < count; i++)
        if (names(words[i], section))
            return true;
    return count == 0 && section->sets & IN_DEFAULT;
}

void info_print(const struct info_sources *from, const struct slice *sections, int section_count, struct buf *out)
{
    size_t begin = buf_size(out);
    for (int i = 0; i < SECTION_COUNT; i++) {
        if (!is_wanted(&table[i], sections, section_count))
            continue;
        buf_printf(out, "%s# %s\r\n", buf_size(out) > begin ? "\r\n" : "", table[i].title);
        table[i].print(from, out);
    }
}
