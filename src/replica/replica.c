#include "replica/replica.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "replica/replica_private.h"

enum {
    CLAIM_REPEAT_US = 200 * 1000,     /* stage and position are repeated this often */
    WAIT_LOG_US = 5 * 1000 * 1000,    /* a state of waiting says so this often */
    IDLE_EXPIRE_MS = 50,              /* what is due this long, and nobody writes: propose the clock */
    QUEUED_BYTES_MAX = 256 << 20,
    LONE_EXPIRE_MAX = 128,
    PAUSE_US = 250 * 1000,            /* passes further apart than this: the process stood still */
    RECLAIM_US = 500,
    LOW_DISK_SAVE_S = 5, /* between snapshots that are to make room */
    BATCH_BYTES = 1 << 20,
    BATCH_OPS = 32768,
    SPREAD_US = 1000, /* measured with 50 clients on three replicas, pipeline 1: a fifth less CPU than 300 */
    SPREAD_BYTES = 64 * 1024,
    PUMP_US = 20 * 1000,              /* while loading, connections are looked at this often */
    LOADING_LOG_US = 5 * 1000 * 1000, /* and so often it is said how far it is */
    PUMP_RECORDS = 16,                /* or the clock is, in the journal: a record may be a megabyte */
};

bool replica_is_lone(const struct replica *r)
{
    return r->is_lone;
}

bool replica_is_loading(const struct replica *r)
{
    return r->is_loading;
}

/* --- life ----------------------------------------------------------------- */

static void fail_client(void *context, struct proposer_client *client, const void *row,
                        enum proposer_failure failure)
{
    struct replica *r = context;
    if (client != &r->silent)
        r->clients.fail(client, row, failure);
}

/* Passing time is looked at when a pass ends; the timer only sees that one
 * begins. */
static void on_wake(void *context)
{
    (void)context;
}

static void copy_join(struct replica *r, const struct replica_options *options)
{
    CHECK(options->join_count <= RABIA_MEMBERS_MAX);
    r->join_count = options->join_count;
    for (int i = 0; i < r->join_count; i++)
        r->join[i] = (struct replica_member){.host = mem_strdup(options->join[i].host), .port = options->join[i].port};
}

static void init_order_options(struct replica *r, const struct replica_options *options)
{
    rabia_options_default(&r->order_options);
    r->order_options.first_lap = FIRST_LAP;
    r->order_options.forfeit_floor_us = options->forfeit_floor_us;
    r->order_options.forfeit_ceiling_us = options->forfeit_ceiling_us;
    r->order_options.clock_tolerance_ms = options->clock_tolerance_ms;
    r->order_options.history_bytes_max = options->peer_backlog_bytes;
    r->order_options.skip_ahead_max = options->skip_ahead_max;
    r->order_options.flush_before_send = memory_flushes_first(r->memory);
}

static void init_proposer(struct replica *r, const struct replica_options *options)
{
    struct proposer_options proposer = {
        .batch_bytes_max = BATCH_BYTES,
        .batch_ops_max = BATCH_OPS,
        .wait_us = options->cluster_timeout_us,
        .spread_us = SPREAD_US,
        .spread_bytes = SPREAD_BYTES,
        .fail = fail_client,
        .context = r,
    };
    proposer_init(&r->proposer, &proposer);
}

static void init_cluster(struct replica *r, const struct replica_options *options)
{
    copy_join(r, options);
    r->cluster_name = mem_strdup(options->cluster_name);
    r->password = options->password ? mem_strdup(options->password) : NULL;
    r->cluster_timeout_us = options->cluster_timeout_us;
    rabia_out_init(&r->out);
    init_order_options(r, options);
    membership_begin(r, options->members, options->member_count, options->self_id);
    r->apply.roster = membership_change;
    r->apply.roster_context = r;
    r->apply.silent = &r->silent;
    init_proposer(r, options);
    divergence_init(&r->divergence, r->member_count, r->self);
    timer_init(&r->wake_timer, r->loop, on_wake, r);
    r->wait_logged_us = replica_now(r);
}

static enum status open_memory(struct replica *r, const struct replica_options *options,
                               char error[static REPLICA_ERROR_MAX])
{
    struct memory_options memory = {
        .loop = r->loop,
        .keyspace = r->keyspace,
        .dir = options->dir,
        .cluster_name = options->members || options->join_count ? options->cluster_name : "",
        .self_id = options->members || options->join_count ? options->self_id : 0,
        .is_journaled = options->is_journaled,
        .mode = options->journal_mode,
        .segment_bytes = options->journal_segment_bytes,
        .is_compressed = options->is_snapshot_compressed,
    };
    return memory_open(&r->memory, &memory, error);
}

/* A server without peers that keeps a journal is a cluster of one. */
static const struct replica_member only_member = {.id = 0, .host = "", .port = 0};

enum status replica_create(struct replica **replica, const struct replica_options *options,
                           char error[static REPLICA_ERROR_MAX])
{
    struct replica *r = mem_calloc(1, sizeof *r);
    r->loop = options->loop;
    r->keyspace = options->keyspace;
    r->clients = options->clients;
    r->is_lone = !options->members && options->join_count == 0 && !options->is_journaled;
    r->is_loading = true;
    r->save_rule_count = options->save_rule_count;
    memcpy(r->save_rules, options->save_rules, (size_t)options->save_rule_count * sizeof *r->save_rules);
    r->journal_rewrite_bytes = options->journal_rewrite_bytes;
    enum status status = open_memory(r, options, error);
    if (status != STATUS_OK) {
        mem_free(r);
        return status;
    }
    apply_init(&r->apply, options->keyspace, options->commands, &options->clients);
    if (!r->is_lone) {
        struct replica_options whole = *options;
        if (!whole.members && whole.join_count == 0) {
            whole.members = &only_member;
            whole.member_count = 1;
            whole.self_id = 0;
        }
        init_cluster(r, &whole);
    }
    *replica = r;
    return STATUS_OK;
}

static void deinit_cluster(struct replica *r)
{
    timer_cancel(&r->wake_timer);
    transfer_free(r);
    sending_drop(r);
    joining_stop(r);
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++) {
        frame_assembly_reset(&r->assemblies[i]);
        if (r->links[i].loop)
            link_deinit(&r->links[i]);
        mem_free((char *)(uintptr_t)r->join[i].host);
    }
    proposer_deinit(&r->proposer);
    if (r->order)
        rabia_free(r->order);
    rabia_out_deinit(&r->out);
    frame_messages_deinit(&r->messages);
    buf_deinit(&r->chunk_scratch);
    mem_free(r->cluster_name);
    mem_free(r->password);
    mem_free(r->members_text);
}

void replica_free(struct replica *r)
{
    if (!r->is_lone)
        deinit_cluster(r);
    memory_free(r->memory);
    apply_deinit(&r->apply);
    mem_free(r);
}

enum status replica_close(struct replica *r)
{
    return memory_close(r->memory);
}

void replica_set_timeouts(struct replica *r, uint64_t cluster_timeout_us)
{
    r->cluster_timeout_us = cluster_timeout_us;
    r->proposer.options.wait_us = cluster_timeout_us;
}

void replica_set_password(struct replica *r, const char *password)
{
    mem_free(r->password);
    r->password = password ? mem_strdup(password) : NULL;
}

void replica_set_save_rules(struct replica *r, const struct replica_save_rule *rules, int count,
                            size_t journal_rewrite_bytes)
{
    CHECK(count <= SAVE_RULES_MAX);
    memcpy(r->save_rules, rules, (size_t)count * sizeof *rules);
    r->save_rule_count = count;
    r->journal_rewrite_bytes = journal_rewrite_bytes;
}

void replica_set_journal_mode(struct replica *r, enum journal_mode mode)
{
    memory_set_mode(r->memory, mode); /* what was said so far is on disk when this returns */
    r->order_options.flush_before_send = memory_flushes_first(r->memory);
    if (r->order)
        rabia_set_flush_before_send(r->order, r->order_options.flush_before_send);
}

/* --- loading -------------------------------------------------------------- */

static bool on_loading(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    struct replica *r = context;
    r->loading_done = bytes_done;
    r->loading_total = bytes_total;
    int64_t now_us = loop_clock_us();
    if (now_us < r->loading_pumped_us + PUMP_US)
        return true;
    r->loading_pumped_us = now_us;
    if (now_us >= r->loading_logged_us + LOADING_LOG_US) {
        r->loading_logged_us = now_us;
        log_notice("replica", "loading: %" PRIu64 " of %" PRIu64 " MB", bytes_done >> 20, bytes_total >> 20);
    }
    return r->loading_pump(r->loading_context);
}

/* The snapshot's data, and its place in the order. */
static enum status load_snapshot(struct replica *r, const char *path, struct snapshot_head *head, bool *is_there,
                                 char error[static REPLICA_ERROR_MAX])
{
    enum status status = memory_load_snapshot(r->memory, path, head, on_loading, r, error);
    *is_there = status == STATUS_OK;
    /* Nobody named the one in the directory, which need not be there. */
    if (status == STATUS_NOT_FOUND && path != r->restore_path)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    r->snapshot_bytes = r->loading_total;
    r->loaded_keys = head->key_count;
    r->apply.position = r->commands_begun = head->position;
    log_notice("replica", "loaded %" PRIu64 " keys as of position %" PRIu64 " from %s", head->key_count,
               head->position, path);
    return STATUS_OK;
}

static void on_replayed(void *context, const struct rabia_record *record)
{
    struct replica *r = context;
    if (!r->order || r->is_journal_damaged)
        return;
    if (!rabia_replay(r->order, record, &r->out))
        r->is_journal_damaged = true;
    for (size_t i = 0; i < r->out.decided_count; i++) {
        const struct rabia_decided *decided = &r->out.decided[i];
        if (decided->batch && !decided->is_void)
            apply_batch(&r->apply, decided->batch, decided->lap, decided->lane);
    }
    rabia_out_clear(&r->out);
    if (++r->records_replayed % PUMP_RECORDS == 0) {
        uint64_t done, total;
        memory_replay_progress(r->memory, &done, &total);
        on_loading(r, r->snapshot_bytes + done, r->snapshot_bytes + total);
    }
}

/* The list of members is data: what is remembered of it overrides the first one. */
static void restore_roster(struct replica *r, const struct roster *roster)
{
    char *first = r->members_text;
    r->members_text = NULL;
    r->roster = *roster;
    bool was_given = !r->is_joining;
    r->is_joining = false;
    membership_renumber(r);
    if (was_given && strcmp(first, r->members_text) != 0)
        log_notice("replica", "cluster-members is \"%s\", but by now the members are \"%s\"", first, r->members_text);
    mem_free(first);
}

/* Whose data is here the snapshot says; without one, what there is is of the epoch this member
 * knew last. */
static bool restore_order(struct replica *r, struct slice bytes)
{
    const struct memory_identity *identity = memory_identity(r->memory);
    struct snapshot_state state = {.epoch = identity->epoch, .seed = identity->seed};
    if (bytes.len > 0 && (!membership_read_state(bytes, &state) || roster_find(&state.roster, r->self_id) < 0))
        return false;
    r->loaded_epoch = state.epoch;
    r->loaded_seed = state.seed;
    if (state.seed == 0 || (r->is_joining && bytes.len == 0))
        return true;
    if (bytes.len > 0)
        restore_roster(r, &state.roster);
    r->order_options.cluster_seed = r->apply.seed = state.seed;
    r->order = rabia_restore(&r->order_options, state.core, replica_now(r));
    r->order_seed = state.seed;
    r->order_deadline_us = replica_now(r);
    return r->order != NULL;
}

/* What this process may claim: with memory it goes on as what it was. */
static void make_claim(struct replica *r)
{
    const struct memory_identity *identity = memory_identity(r->memory);
    membership_renumber(r);
    bool is_whole = memory_is_whole(r->memory) && r->order;
    struct formation_claim own = {
        .stage = is_whole ? FORMATION_FORMED : FORMATION_GATHERING,
        .has_memory = is_whole,
        .epoch = r->loaded_epoch,
        .seed = r->loaded_seed,
        .position = r->apply.position,
    };
    memcpy(own.secret, identity->hash_secret, sizeof own.secret);
    uint64_t incarnation =
        is_whole ? identity->incarnation : forming_draw_incarnation(r, identity->incarnation);
    formation_init(&r->formation, r->member_count, r->self, incarnation, &own);
    for (int i = 0; i < identity->member_count; i++)
        for (uint8_t m = 0; m < r->member_count; m++)
            if (m != r->self && r->members[m].id == identity->ids[i] && identity->incarnations[i])
                (void)formation_meet(&r->formation, m, identity->incarnations[i]);
}

static void speak(struct replica *r)
{
    struct rabia_speak_options how = {.may_have_lost_tail = memory_may_lack_tail(r->memory)};
    rabia_speak(r->order, &how, replica_now(r), (uint64_t)loop_wall_ms(r->loop), &r->out);
    ordering_honour(r);
    log_notice("replica", "restarted with memory at position %" PRIu64 ", lap %" PRIu64, r->apply.position,
               rabia_frontier(r->order));
}

/* It was killed between a snapshot from a peer and its own: the journal has a gap.  It is
 * without memory anyway, so the data may come from the peers once more. */
static void forget_replayed(struct replica *r, const struct roster *given)
{
    log_warning("replica", "the journal has a gap, as this member had not come back whole when it ended: its data is "
                           "fetched from the peers anew");
    rabia_free(r->order);
    r->order = NULL;
    r->order_seed = 0;
    keyspace_flush(r->keyspace, -1, false);
    r->apply.position = 0;
    r->roster = *given;
    r->is_journal_damaged = false;
}

static enum status load_cluster(struct replica *r, char error[static REPLICA_ERROR_MAX])
{
    struct snapshot_head head = {0};
    bool is_there = false;
    enum status status = STATUS_OK;
    if (r->restore_path)
        status = load_snapshot(r, r->restore_path, &head, &is_there, error);
    else if (memory_is_journaled(r->memory) && !memory_is_new(r->memory))
        status = load_snapshot(r, memory_snapshot_path(r->memory), &head, &is_there, error);
    if (status != STATUS_OK)
        return status;
    if (!is_there && memory_identity(r->memory)->seed)
        keyspace_set_hash_secret(r->keyspace, memory_identity(r->memory)->hash_secret);
    /* A restored snapshot begins a cluster of its own. */
    if (!restore_order(r, is_there && !r->restore_path ? head.state : slice_make(NULL, 0))) {
        snprintf(error, REPLICA_ERROR_MAX, "%s: its place in the order is malformed", memory_snapshot_path(r->memory));
        return STATUS_MALFORMED;
    }
    struct roster given = r->roster;
    status = memory_replay(r->memory, r->loaded_seed, on_replayed, r, error);
    if (status == STATUS_OK && r->is_journal_damaged && memory_identity(r->memory)->is_rejoining)
        forget_replayed(r, &given);
    if (status == STATUS_OK && r->is_journal_damaged) {
        snprintf(error, REPLICA_ERROR_MAX, "the journal contradicts itself or the snapshot: kvstore-check can tell more");
        status = STATUS_MALFORMED;
    }
    if (status != STATUS_OK)
        return status;
    make_claim(r);
    divergence_pass(&r->divergence, r->apply.position / 16);
    r->is_roster_dirty = true;
    membership_settle(r); /* still loading: the order has not begun to speak */
    r->is_loading = false;
    if (r->formation.own.stage == FORMATION_FORMED)
        speak(r);
    r->begun_us = replica_now(r);
    r->formation.is_new_held = r->self_id != 0;
    (void)formation_begin(&r->formation);
    forming_act(r);
    loop_again(r->loop);
    return STATUS_OK;
}

static enum status load_lone(struct replica *r, char error[static REPLICA_ERROR_MAX])
{
    struct snapshot_head head;
    bool is_there;
    const char *path = r->restore_path ? r->restore_path : memory_snapshot_path(r->memory);
    enum status status = load_snapshot(r, path, &head, &is_there, error);
    r->is_loading = false;
    return status;
}

/* Whoever changes how a store is kept must not find it empty, or old, without a word. */
static bool may_load(const struct replica *r, char error[static REPLICA_ERROR_MAX])
{
    const char *own = memory_snapshot_path(r->memory), *restore = r->restore_path;
    bool is_new = memory_is_new(r->memory);
    if (restore && (!is_new || memory_has_other_snapshot(r->memory, restore)))
        snprintf(error, REPLICA_ERROR_MAX,
                 "%s is to be restored into a new store, but the directory holds one already: start without restore to "
                 "go on with that, or give an empty dir", restore);
    else if (r->is_lone && !is_new)
        snprintf(error, REPLICA_ERROR_MAX,
                 "the directory holds a journal, and appendonly is no: what was written since %s would be missing. "
                 "Start with appendonly yes; or restore a snapshot of it, from there, into an empty dir", own);
    else if (!r->is_lone && is_new && !restore && memory_is_journaled(r->memory) &&
             memory_has_other_snapshot(r->memory, ""))
        snprintf(error, REPLICA_ERROR_MAX,
                 "the directory holds %s, but nothing that says whose it is: --restore %s begins with its data; or move "
                 "it away", own, own);
    else
        return true;
    return false;
}

enum status replica_load(struct replica *r, const char *restore_path, bool (*pump)(void *context), void *context,
                         char error[static REPLICA_ERROR_MAX])
{
    r->restore_path = restore_path;
    r->loading_pump = pump;
    r->loading_context = context;
    r->loading_since_s = loop_wall_ms(r->loop) / 1000;
    r->loading_logged_us = loop_clock_us();
    if (!may_load(r, error))
        return STATUS_MISMATCH;
    return r->is_lone ? load_lone(r, error) : load_cluster(r, error);
}

/* --- commands ------------------------------------------------------------- */

void replica_begin(struct replica *r)
{
    r->commands_begun++;
    int64_t wall_ms = loop_wall_ms(r->loop);
    if (wall_ms == r->begun_wall_ms)
        return;
    r->begun_wall_ms = wall_ms;
    keyspace_advance(r->keyspace, wall_ms);
    keyspace_expire_due(r->keyspace, LONE_EXPIRE_MAX);
}

/* A read concerns time if its answer depends on it, or if a key may be due by
 * the clock that the order has not heard of yet. */
static bool needs_clock(const struct replica *r, const struct command *row)
{
    return (row->flags & COMMAND_READS_TIME) || keyspace_next_due(r->keyspace) <= loop_wall_ms(r->loop);
}

void replica_submit(struct replica *r, struct proposer_client *client, const struct command *row, int db, int argc,
                    const struct slice *argv)
{
    CHECK(!r->is_lone);
    bool is_write = row->route == ROUTE_WRITE;
    proposer_add(&r->proposer, client, row, is_write, !is_write && needs_clock(r, row), db, argc, argv, replica_now(r));
}

bool replica_withdraw(struct replica *r, struct proposer_client *client)
{
    return proposer_withdraw(&r->proposer, client);
}

bool replica_is_full(const struct replica *r)
{
    return r->proposer.queued_bytes > QUEUED_BYTES_MAX;
}

uint64_t replica_position(const struct replica *r)
{
    return r->is_lone ? r->commands_begun : r->apply.position;
}

void replica_nudge(struct replica *r, uint64_t position)
{
    if (r->is_lone)
        return;
    struct rabia_event event = ordering_event(r, RABIA_EVENT_NUDGE);
    event.lap = position / 16 + 1;
    ordering_step(r, &event);
}

bool replica_is_drained(const struct replica *r)
{
    return r->is_lone || proposer_is_idle(&r->proposer);
}


/* --- snapshots ------------------------------------------------------------ */

struct memory_save replica_save_of_now(struct replica *r, unsigned char bytes[static REPLICA_STATE_BYTES_MAX])
{
    struct memory_save save = {.position = replica_position(r)};
    if (r->order)
        save.state = slice_make(bytes, membership_write_state(r, bytes));
    if (!r->is_lone)
        memcpy(save.hash_secret, r->formation.own.secret, sizeof save.hash_secret);
    return save;
}

enum status replica_flush(struct replica *r)
{
    return memory_flush(r->memory);
}

void replica_want_save(struct replica *r)
{
    r->wants_save = true;
}

/* A save that ended may be what a rejoin or a transfer waits for. */
static void watch_saves(struct replica *r)
{
    struct memory_figures figures;
    memory_get_figures(r->memory, &figures);
    if (figures.saves == r->saves_seen)
        return;
    r->saves_seen = figures.saves;
    if (!r->is_lone && !r->wants_save)
        forming_saved(r);
}

/* What the export does not hold goes into the segment that will be kept. */
static void restate(struct replica *r)
{
    memory_begin_segment(r->memory);
    if (!r->order)
        return;
    rabia_restate(r->order, &r->out);
    for (size_t i = 0; i < r->out.record_count; i++)
        memory_record(r->memory, &r->out.records[i]);
    rabia_out_clear(&r->out);
}

enum status replica_save(struct replica *r, bool is_in_background)
{
    unsigned char bytes[REPLICA_STATE_BYTES_MAX];
    if (r->is_loading || r->is_installing || memory_is_saving(r->memory))
        return STATUS_AGAIN;
    /* Nothing is its own yet: a snapshot of that would belong to no cluster, and no start would take it. */
    if (!r->is_lone && !r->order)
        return STATUS_AGAIN;
    /* What could not be written was not applied, but the order has passed it. */
    if (memory_error(r->memory))
        return STATUS_IO;
    struct memory_save save = replica_save_of_now(r, bytes);
    restate(r);
    enum status status = is_in_background ? memory_save_begin(r->memory, &save) : memory_save_now(r->memory, &save);
    if (status == STATUS_OK && !is_in_background)
        watch_saves(r);
    return status;
}

static bool is_save_due(struct replica *r, const struct memory_figures *figures)
{
    uint64_t changes = keyspace_changes(r->keyspace) - figures->changes_at_last_save;
    int64_t age_s = loop_wall_ms(r->loop) / 1000 - figures->last_save_wall_s;
    if (r->wants_save || (r->is_disk_low && changes > 0 && age_s >= LOW_DISK_SAVE_S))
        return true;
    for (int i = 0; i < r->save_rule_count; i++)
        if (changes >= r->save_rules[i].changes && age_s >= r->save_rules[i].seconds)
            return true;
    return figures->is_journaled && figures->journal.bytes_used > r->journal_rewrite_bytes && changes > 0;
}

static void save_if_due(struct replica *r)
{
    struct memory_figures figures;
    memory_get_figures(r->memory, &figures);
    bool was_just_tried = figures.last_save_duration_s >= 0 && !figures.is_last_save_ok &&
                          loop_wall_ms(r->loop) / 1000 < figures.saving_since_wall_s + 5;
    if (figures.is_saving || was_just_tried || r->is_loading || r->is_installing || !is_save_due(r, &figures))
        return;
    if (replica_save(r, true) == STATUS_OK)
        r->wants_save = false;
}

/* --- quorum --------------------------------------------------------------- */

static void watch_quorum(struct replica *r, uint64_t now)
{
    if (status_of(r) != REPLICA_UP)
        return;
    if (status_has_quorum(r)) {
        if (r->quorum_lost_us)
            log_notice("replica", "the quorum is back after %" PRIu64 " ms", (now - r->quorum_lost_us) / 1000);
        r->quorum_lost_us = 0;
    } else if (r->quorum_lost_us == 0) {
        r->quorum_lost_us = now;
        char wait[224];
        status_describe_wait(r, wait, sizeof wait);
        log_warning("replica", "%s", wait);
        r->wait_logged_us = now;
    }
}

static void log_waiting(struct replica *r, uint64_t now)
{
    char wait[224];
    if (now < r->wait_logged_us + WAIT_LOG_US)
        return;
    status_describe_wait(r, wait, sizeof wait);
    if (!*wait)
        return;
    r->wait_logged_us = now;
    log_notice("replica", "%s", wait);
}

/* --- the passing of time -------------------------------------------------- */

static void hear_flushes(struct replica *r)
{
    bool has_risen;
    uint64_t seq;
    if (!memory_is_journaled(r->memory)) {
        has_risen = r->told_seq < r->newest_seq;
        seq = r->told_seq = r->newest_seq;
    } else if (memory_flushed(r->memory, &has_risen, &seq) != STATUS_OK) {
        return;
    }
    if (!has_risen || !r->order)
        return;
    struct rabia_event event = ordering_event(r, RABIA_EVENT_FLUSHED);
    event.flushed_seq = seq;
    ordering_step(r, &event);
}

static uint64_t order_pass_end(struct replica *r, uint64_t now)
{
    hear_flushes(r);
    if (ordering_may_step(r) && now >= r->order_deadline_us) {
        struct rabia_event event = ordering_event(r, RABIA_EVENT_TICK);
        ordering_step(r, &event);
    }
    ordering_propose(r);
    if (now >= proposer_expire_deadline(&r->proposer))
        proposer_expire(&r->proposer, now);
    uint64_t next = proposer_expire_deadline(&r->proposer);
    if (!ordering_may_step(r))
        return next;
    next = earlier_of(next, proposer_deadline(&r->proposer, now));
    return earlier_of(next, r->order_deadline_us);
}

static void watch_disk(struct replica *r)
{
    bool is_low = memory_is_low(r->memory);
    if (is_low && !r->is_disk_low)
        log_warning("replica", "the disk has no room for the journal's next segment: writes are refused until it has");
    else if (!is_low && r->is_disk_low)
        log_notice("replica", "the disk has room again: writes are taken");
    r->is_disk_low = is_low;
}

/* What is said is remembered first; what cannot be remembered is not said. */
static void flush_links(struct replica *r)
{
    bool is_remembered = memory_write(r->memory) == STATUS_OK;
    watch_disk(r);
    for (int i = 0; i < r->member_count; i++) {
        if (i == r->self)
            continue;
        if (is_remembered)
            link_flush(&r->links[i]);
        else
            link_forget_output(&r->links[i]);
    }
}

static uint64_t links_pass_end(struct replica *r)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < r->member_count; i++)
        if (r->links[i].loop)
            next = earlier_of(next, link_pass_end(&r->links[i]));
    flush_links(r);
    /* A link that broke just now may have made the order speak to one whose
     * frame was closed already. */
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self && link_has_output(&r->links[i]))
            loop_again(r->loop);
    return next;
}

void replica_pass_end(struct replica *r)
{
    if (r->is_lone || r->is_loading)
        return;
    uint64_t now = replica_now(r);
    if (r->pass_us && now > r->pass_us + PAUSE_US)
        proposer_forgive(&r->proposer, now - r->pass_us);
    r->pass_us = now;
    membership_settle(r);
    watch_quorum(r, now);
    if (now >= r->claim_said_us + CLAIM_REPEAT_US)
        forming_say_claim(r);
    uint64_t next = order_pass_end(r, now);
    next = earlier_of(next, transfer_pass_end(r));
    next = earlier_of(next, sending_pass_end(r));
    next = earlier_of(next, links_pass_end(r));
    next = earlier_of(next, r->claim_said_us + CLAIM_REPEAT_US);
    if (next <= now)
        loop_again(r->loop);
    else if (!timer_is_set(&r->wake_timer) || r->wake_timer.deadline_us > (int64_t)next)
        timer_set(&r->wake_timer, (int64_t)next);
}

static void expire_idle(struct replica *r)
{
    int64_t due = keyspace_next_due(r->keyspace), wall_ms = loop_wall_ms(r->loop);
    if (r->is_lone) {
        keyspace_advance(r->keyspace, wall_ms);
        while (keyspace_expire_due(r->keyspace, LONE_EXPIRE_MAX) == LONE_EXPIRE_MAX &&
               loop_clock_us() < loop_now_us(r->loop) + 4 * RECLAIM_US)
            ;
    } else if (status_of(r) == REPLICA_UP && due < (int64_t)ordering_clock_ms(r) - IDLE_EXPIRE_MS * (1 + r->self)) {
        /* Members in turn: who comes first saves the others the trouble. */
        proposer_add_clock(&r->proposer, replica_now(r));
    }
}

bool replica_is_disk_low(const struct replica *r)
{
    return r->is_disk_low;
}

void replica_cron(struct replica *r)
{
    if (r->is_loading)
        return;
    expire_idle(r);
    keyspace_reclaim(r->keyspace, RECLAIM_US);
    memory_cron(r->memory, replica_now(r));
    watch_saves(r);
    save_if_due(r);
    if (r->is_lone)
        return;
    membership_cron(r);
    forming_cron(r);
    joining_cron(r);
    log_waiting(r, replica_now(r));
}
