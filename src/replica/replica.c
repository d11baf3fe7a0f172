#include "replica/replica.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "net/timer.h"
#include "replica/apply.h"
#include "replica/divergence.h"
#include "replica/formation.h"
#include "replica/link.h"
#include "replica/proposer.h"

enum {
    FIRST_LAP = 1,                    /* so that position 0 means: nothing yet */
    FIRST_EPOCH = 1,
    HEARD_US = 1000 * 1000,           /* a peer that spoke within this is there */
    STATE_REPEAT_US = 200 * 1000,     /* stage and view are repeated until formed */
    WAIT_LOG_US = 5 * 1000 * 1000,    /* a state of waiting says so this often */
    REFUSAL_LOG_US = 60 * 1000 * 1000, /* and a refusal for the same reason */
    CLOCK_OFFSET_US = 60 * 1000 * 1000, /* how long a refused clock is held back before it is tried again */
    IDLE_EXPIRE_MS = 50,              /* what is due this long, and nobody writes: propose the clock */
    QUEUED_BYTES_MAX = 256 << 20,
    LONE_EXPIRE_MAX = 128,
    RECLAIM_US = 500,
    BATCH_BYTES = 1 << 20,
    BATCH_OPS = 32768,
    SPREAD_US = 300,
    SPREAD_BYTES = 64 * 1024,
};

struct replica {
    struct loop *loop;
    struct keyspace *keyspace;
    struct apply apply;
    struct replica_clients clients;
    enum replica_state state;
    uint64_t commands_begun; /* lone: the position */
    int64_t begun_wall_ms;   /* lone: logical time was brought to this */

    /* Everything below: cluster only. */
    char *cluster_name, *password, *members_text;
    struct replica_member members[RABIA_MEMBERS_MAX];
    uint8_t member_count, self;
    uint64_t incarnation;
    struct rabia_options order_options;
    struct rabia *order; /* NULL until formed */
    struct rabia_out out;
    uint64_t order_deadline_us;
    struct proposer proposer;
    struct formation formation;
    struct divergence divergence;
    struct frame_identity identity;
    struct link links[RABIA_MEMBERS_MAX];
    struct frame_messages messages;
    struct frame_assembly assemblies[RABIA_MEMBERS_MAX];
    struct buf chunk_scratch;
    struct timer wake_timer;
    uint64_t cluster_timeout_us, quorum_lost_us, waits_since_us, wait_logged_us, state_said_us;
    struct refused_clock {
        uint64_t behind_ms, refused_us; /* how far behind ours that peer's is, and when it said so */
    } refused_clocks[RABIA_MEMBERS_MAX];
    uint8_t hearing; /* the peer whose messages the step under way is about */
    uint64_t batches_applied, batches_void, clock_refusals;
    char refusal[256], hello_error[256], introduction[4][24];
    /* Per member, and one for all strangers: what is refused comes again and again. */
    struct refusal_logged {
        const char *why; /* static text of the last line in the log */
        uint64_t logged_us;
    } refusals_logged[RABIA_MEMBERS_MAX + 1];
    struct slice introduction_argv[8], auth_argv[2];
};

static uint64_t now_of(const struct replica *r)
{
    return (uint64_t)loop_now_us(r->loop);
}

bool replica_is_lone(const struct replica *r)
{
    return r->state == REPLICA_LONE;
}

static bool is_heard(const struct replica *r, int member)
{
    return member == r->self || (r->links[member].state == LINK_UP && !r->links[member].is_quiet &&
                                 now_of(r) < r->links[member].heard_us + HEARD_US);
}

/* Whether a refusal is worth a line; why is static text, member an index, -1
 * for a stranger. */
static bool is_news(struct replica *r, int member, const char *why)
{
    struct refusal_logged *last = &r->refusals_logged[member < 0 ? RABIA_MEMBERS_MAX : member];
    if (last->why == why && now_of(r) < last->logged_us + REFUSAL_LOG_US)
        return false;
    *last = (struct refusal_logged){why, now_of(r)};
    return true;
}

/* --- steps of the order --------------------------------------------------- */

/* Contents too long for a frame go out in chunks, made once for all peers. */
static void send_in_chunks(struct replica *r, const struct rabia_outgoing *outgoing)
{
    const struct rabia_message *message = &outgoing->message;
    uint16_t to = 0;
    for (int i = 0; i < r->member_count; i++) {
        if (!(outgoing->to >> i & 1) || link_has_bulk(&r->links[i], message->lap, message->lane))
            continue;
        if (link_takes_bulk(&r->links[i], message->batch->size))
            to |= (uint16_t)(1u << i);
        else
            r->links[i].messages_dropped++;
    }
    for (size_t offset = 0; to && offset < message->batch->size;) {
        buf_clear(&r->chunk_scratch);
        size_t begin = frame_begin(&r->chunk_scratch, FRAME_CHUNK, &r->identity);
        offset += frame_add_chunk(&r->chunk_scratch, message, offset);
        frame_end(&r->chunk_scratch, begin);
        struct chunk *chunk = chunk_copy(buf_head(&r->chunk_scratch), buf_size(&r->chunk_scratch));
        for (int i = 0; i < r->member_count; i++)
            if (to >> i & 1)
                link_send_chunk(&r->links[i], chunk);
        chunk_drop(chunk);
    }
    for (int i = 0; i < r->member_count; i++)
        if (to >> i & 1)
            link_note_bulk(&r->links[i], message->lap, message->lane);
}

static void send_messages(struct replica *r)
{
    for (size_t m = 0; m < r->out.message_count; m++) {
        const struct rabia_outgoing *outgoing = &r->out.messages[m];
        if (outgoing->message.batch && outgoing->message.batch->size > FRAME_INLINE_MAX) {
            send_in_chunks(r, outgoing);
            continue;
        }
        for (int i = 0; i < r->member_count; i++)
            if (outgoing->to >> i & 1)
                link_send(&r->links[i], &outgoing->message, outgoing->is_lazy);
    }
}

static void diverged(struct replica *r, const struct frame_digest *digest)
{
    if (r->state == REPLICA_DIVERGED)
        return;
    r->state = REPLICA_DIVERGED;
    log_warning("replica",
                "DIVERGED: the data here differs from what a quorum agrees on at lap %" PRIu64
                ", part %u of %u. This replica stops serving. Nothing was deleted; compare RABIA DIGEST "
                "of the members, then replace this one",
                digest->boundary, digest->part, digest->part_count);
}

static void note_digest(struct replica *r, uint8_t member, const struct frame_digest *digest)
{
    switch (divergence_note(&r->divergence, member, digest)) {
    case DIVERGENCE_NONE: break;
    case DIVERGENCE_SELF: diverged(r, digest); break;
    case DIVERGENCE_OTHER:
        log_warning("replica", "a member's data differs from what a quorum agrees on at lap %" PRIu64,
                    digest->boundary);
        break;
    case DIVERGENCE_UNDECIDED:
        log_warning("replica", "members' data differ at lap %" PRIu64 ", and no quorum says who is wrong",
                    digest->boundary);
        break;
    }
}

static size_t key_count(const struct replica *r)
{
    size_t keys = 0;
    for (int db = 0; db < keyspace_database_count(r->keyspace); db++)
        keys += keyspace_size(r->keyspace, db);
    return keys;
}

static void digest_if_due(struct replica *r, uint64_t lap)
{
    struct frame_digest due;
    if (lap / DIVERGENCE_LAPS * DIVERGENCE_LAPS <= r->divergence.newest_boundary)
        return;
    if (!divergence_is_due(&r->divergence, lap, key_count(r), &due))
        return;
    due.digest = keyspace_digest_part(r->keyspace, due.part, due.part_count);
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self)
            link_send_digest(&r->links[i], &due);
    note_digest(r, r->self, &due);
}

static void apply_one(struct replica *r, const struct rabia_decided *decided)
{
    struct own_batch *own = decided->lane == r->self ? proposer_decided(&r->proposer, decided) : NULL;
    if (!decided->batch)
        return;
    if (decided->is_void) {
        r->batches_void++;
        return;
    }
    if (!batch_is_empty(decided->batch))
        digest_if_due(r, decided->lap);
    if (own) {
        apply_own(&r->apply, own, decided->lap, decided->lane);
        proposer_applied(&r->proposer, own);
    } else {
        apply_batch(&r->apply, decided->batch, decided->lap, decided->lane);
    }
    r->batches_applied++;
}

static void note_refused_clock(struct replica *r, uint8_t peer, uint64_t clock_ms)
{
    uint64_t wall_ms = (uint64_t)loop_wall_ms(r->loop);
    uint64_t behind_ms = wall_ms > clock_ms ? wall_ms - clock_ms : 0;
    r->refused_clocks[peer] = (struct refused_clock){behind_ms, now_of(r)};
    r->clock_refusals++;
    static const char why[] = "the clock of this machine or of that member is wrong";
    if (is_news(r, peer, why))
        log_warning("replica", "member %u refused a batch, its clock is %" PRIu64 " ms behind ours: %s",
                    r->members[peer].id, behind_ms, why);
}

/* In the order rabia.h prescribes.  There is no journal in this version, so
 * nothing needs to be written before it is sent. */
static void honour(struct replica *r)
{
    send_messages(r);
    for (size_t i = 0; i < r->out.decided_count; i++)
        apply_one(r, &r->out.decided[i]);
    r->order_deadline_us = r->out.deadline_us;
    if (r->out.clock_refused_ms)
        note_refused_clock(r, r->hearing, r->out.clock_refused_ms);
    if (r->out.snapshot_from_lap != RABIA_NO_LAP && r->state == REPLICA_UP) {
        r->state = REPLICA_BEHIND;
        log_warning("replica",
                    "fell behind: the peers no longer keep what follows lap %" PRIu64
                    " (they begin at %" PRIu64 "). This replica cannot follow and stops serving; see peer-backlog-size",
                    rabia_frontier(r->order), r->out.snapshot_from_lap);
    }
    rabia_out_clear(&r->out);
}

static struct rabia_event event_of(const struct replica *r, enum rabia_event_kind kind)
{
    return (struct rabia_event){.kind = kind, .now_us = now_of(r), .wall_ms = (uint64_t)loop_wall_ms(r->loop)};
}

static void step(struct replica *r, const struct rabia_event *event)
{
    rabia_step(r->order, event, &r->out);
    honour(r);
}

static uint64_t behind_ms_of(const struct replica *r, int peer)
{
    const struct refused_clock *clock = &r->refused_clocks[peer];
    return now_of(r) > clock->refused_us + CLOCK_OFFSET_US ? 0 : clock->behind_ms;
}

/* A batch needs the echo of some peers, not of all: our clock yields to theirs
 * only as far as a quorum asks, or a single clock that is behind would hold
 * back everybody's. */
static uint64_t proposal_clock_ms(const struct replica *r)
{
    uint64_t behind[RABIA_MEMBERS_MAX]; /* of the peers that are there, ascending */
    int count = 0, needed = r->member_count / 2;
    for (int i = 0; i < r->member_count; i++) {
        if (i == r->self || !is_heard(r, i))
            continue;
        uint64_t ms = behind_ms_of(r, i);
        int at = count++;
        for (; at > 0 && behind[at - 1] > ms; at--)
            behind[at] = behind[at - 1];
        behind[at] = ms;
    }
    uint64_t wall_ms = (uint64_t)loop_wall_ms(r->loop);
    return needed > 0 && count >= needed ? wall_ms - behind[needed - 1] : wall_ms;
}

static void propose(struct replica *r)
{
    struct batch *batch;
    while (rabia_can_propose(r->order) &&
           (batch = proposer_take(&r->proposer, proposal_clock_ms(r), now_of(r))) != NULL) {
        struct rabia_event event = event_of(r, RABIA_EVENT_PROPOSE);
        event.batch = batch;
        rabia_step(r->order, &event, &r->out);
        CHECK(r->out.proposed_lap != RABIA_NO_LAP);
        proposer_sent(&r->proposer, r->out.proposed_lap, now_of(r));
        honour(r);
        batch_release(batch);
    }
}

/* --- forming -------------------------------------------------------------- */

static void say_stage(struct replica *r)
{
    memcpy(r->identity.incarnations, r->formation.incarnations, sizeof r->identity.incarnations);
    r->state_said_us = now_of(r);
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self)
            link_send_byte(&r->links[i], FRAME_STATE, (uint8_t)r->formation.stage);
}

static void start_order(struct replica *r)
{
    r->order_options.cluster_seed = formation_seed(&r->formation, r->cluster_name);
    r->apply.seed = r->order_options.cluster_seed;
    unsigned char secret[16];
    uint64_t halves[2] = {random_mix(r->apply.seed ^ 1), random_mix(r->apply.seed ^ 2)};
    memcpy(secret, halves, sizeof secret);
    keyspace_set_hash_secret(r->keyspace, secret);
    r->order = rabia_create(&r->order_options, now_of(r));
    r->order_deadline_us = now_of(r);
    r->state = REPLICA_UP;
    log_notice("replica", "all %u members are there: the cluster is formed, this is member %u",
               r->member_count, r->members[r->self].id);
    for (int i = 0; i < r->member_count; i++) {
        if (r->links[i].state != LINK_UP)
            continue;
        struct rabia_event event = event_of(r, RABIA_EVENT_LINK_UP);
        event.peer = (uint8_t)i;
        step(r, &event);
    }
}

static void formation_changed(struct replica *r)
{
    if (r->formation.stage == FORMATION_FORMED && !r->order)
        start_order(r);
    say_stage(r);
}

static bool meet(struct replica *r, uint8_t peer, uint64_t incarnation)
{
    enum formation_stage before = r->formation.stage;
    uint64_t known = r->formation.incarnations[peer];
    if (!formation_meet(&r->formation, peer, incarnation))
        return false;
    if (known != incarnation || before != r->formation.stage)
        formation_changed(r);
    return true;
}

/* --- events of links ------------------------------------------------------ */

static int index_of(const struct replica *r, uint64_t id)
{
    for (int i = 0; i < r->member_count; i++)
        if (r->members[i].id == id)
            return i;
    return -1;
}

static size_t on_introduce(void *context, uint8_t peer, struct dial_command commands[static 2])
{
    struct replica *r = context;
    snprintf(r->introduction[0], sizeof r->introduction[0], "%d", REPLICA_PROTOCOL_VERSION);
    snprintf(r->introduction[1], sizeof r->introduction[1], "%u", r->members[r->self].id);
    snprintf(r->introduction[2], sizeof r->introduction[2], "%u", r->members[peer].id);
    snprintf(r->introduction[3], sizeof r->introduction[3], "%" PRIu64, r->incarnation);
    struct slice argv[] = {SLICE_LITERAL("RABIA"),          SLICE_LITERAL("LINK"),
                           slice_from(r->introduction[0]),  slice_from(r->cluster_name),
                           slice_from(r->members_text),     slice_from(r->introduction[1]),
                           slice_from(r->introduction[2]),  slice_from(r->introduction[3])};
    static_assert(sizeof argv == sizeof r->introduction_argv, "the introduction's words");
    memcpy(r->introduction_argv, argv, sizeof argv);
    size_t count = 0;
    if (r->password && *r->password) {
        r->auth_argv[0] = SLICE_LITERAL("AUTH");
        r->auth_argv[1] = slice_from(r->password);
        commands[count++] = (struct dial_command){r->auth_argv, 2};
    }
    commands[count++] = (struct dial_command){r->introduction_argv, sizeof argv / sizeof *argv};
    return count;
}

static bool on_accepted(void *context, uint8_t peer, struct slice answer)
{
    struct replica *r = context;
    uint64_t incarnation;
    if (answer.len < 4 || memcmp(answer.ptr, "OK ", 3) != 0 ||
        !slice_to_uint64(slice_make(answer.ptr + 3, answer.len - 3), &incarnation) || incarnation == 0)
        return false;
    if (meet(r, peer, incarnation))
        return true;
    static const char why[] = "came back without its memory";
    if (is_news(r, peer, why))
        log_warning("replica", "member %u %s: rejoining is not in this version, it stays out",
                    r->members[peer].id, why);
    return false;
}

static void on_up(void *context, uint8_t peer)
{
    struct replica *r = context;
    frame_assembly_reset(&r->assemblies[peer]);
    link_send_byte(&r->links[peer], FRAME_STATE, (uint8_t)r->formation.stage);
    if (!r->order)
        return;
    struct rabia_event event = event_of(r, RABIA_EVENT_LINK_UP);
    event.peer = peer;
    step(r, &event);
}

static void on_down(void *context, uint8_t peer)
{
    struct replica *r = context;
    frame_assembly_reset(&r->assemblies[peer]);
    if (!r->order)
        return;
    struct rabia_event event = event_of(r, RABIA_EVENT_LINK_DOWN);
    event.peer = peer;
    step(r, &event);
}

static void hand_messages(struct replica *r, uint8_t peer, const struct rabia_message *messages, size_t count)
{
    struct rabia_event event = event_of(r, RABIA_EVENT_MESSAGES);
    event.peer = r->hearing = peer;
    event.messages = messages;
    event.message_count = count;
    step(r, &event);
}

static enum status hear_messages(struct replica *r, uint8_t peer, const struct frame *frame)
{
    frame_messages_clear(&r->messages);
    enum status status = frame_read_messages(frame, &r->messages);
    if (status == STATUS_OK && r->messages.count)
        hand_messages(r, peer, r->messages.messages, r->messages.count);
    frame_messages_clear(&r->messages);
    return status;
}

static enum status hear_chunk(struct replica *r, uint8_t peer, const struct frame *frame)
{
    struct frame_assembly *assembly = &r->assemblies[peer];
    enum status status = frame_read_chunk(frame, assembly);
    if (status == STATUS_OK) {
        hand_messages(r, peer, &assembly->message, 1);
        frame_assembly_reset(assembly);
    }
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

static enum status hear_stage(struct replica *r, uint8_t peer, const struct frame *frame)
{
    uint8_t stage;
    enum status status = frame_read_byte(frame, &stage);
    if (status != STATUS_OK || stage >= FORMATION_STAGE_END)
        return STATUS_MALFORMED;
    if (formation_hear(&r->formation, peer, stage, frame->identity.incarnations))
        formation_changed(r);
    return STATUS_OK;
}

static enum status hear_digest(struct replica *r, uint8_t peer, const struct frame *frame)
{
    struct frame_digest digest;
    enum status status = frame_read_digest(frame, &digest);
    if (status == STATUS_OK)
        note_digest(r, peer, &digest);
    return status;
}

static enum status hear_ping(struct replica *r, uint8_t peer, const struct frame *frame)
{
    uint64_t word;
    enum status status = frame_read_word(frame, &word);
    if (status != STATUS_OK)
        return status;
    if (frame->kind == FRAME_PING)
        link_answer_ping(&r->links[peer], word);
    else
        link_note_pong(&r->links[peer], word);
    return STATUS_OK;
}

/* Whether what a frame says of the order may be counted: its sender must mean
 * the same processes as we do. */
static bool is_same_cluster(const struct replica *r, const struct frame *frame)
{
    return r->order && memcmp(frame->identity.incarnations, r->identity.incarnations,
                              r->member_count * sizeof(uint64_t)) == 0;
}

static void on_frame(void *context, uint8_t peer, const struct frame *frame)
{
    struct replica *r = context;
    const struct frame_identity *identity = &frame->identity;
    enum status status = STATUS_OK;
    if (identity->sender != r->members[peer].id || identity->member_count != r->member_count ||
        identity->epoch != FIRST_EPOCH || identity->incarnations[peer] != r->formation.incarnations[peer])
        status = STATUS_MISMATCH;
    else if (frame->kind == FRAME_STATE)
        status = hear_stage(r, peer, frame);
    else if (frame->kind == FRAME_PING || frame->kind == FRAME_PONG)
        status = hear_ping(r, peer, frame);
    else if (!is_same_cluster(r, frame))
        status = STATUS_OK;
    else if (frame->kind == FRAME_MESSAGES)
        status = hear_messages(r, peer, frame);
    else if (frame->kind == FRAME_CHUNK)
        status = hear_chunk(r, peer, frame);
    else
        status = hear_digest(r, peer, frame);
    if (status == STATUS_OK)
        return;
    char why[96];
    snprintf(why, sizeof why, "it sent a frame that is a %s", status_text(status));
    link_break(&r->links[peer], why);
}

static const struct link_events replica_link_events = {
    .introduce = on_introduce,
    .accepted = on_accepted,
    .up = on_up,
    .down = on_down,
    .frame = on_frame,
};

/* --- hello: a peer dials us ----------------------------------------------- */

static const char *refuse(struct replica *r, const struct replica_hello *hello, const char *why)
{
    snprintf(r->hello_error, sizeof r->hello_error, "ERR link refused: %s", why);
    if (is_news(r, index_of(r, hello->from_id), why))
        log_warning("replica", "refused a link from member %" PRIu64 ": %s", hello->from_id, why);
    return r->hello_error;
}

const char *replica_check_hello(struct replica *r, const struct replica_hello *hello)
{
    if (r->state == REPLICA_LONE)
        return refuse(r, hello, "this server has no cluster-members");
    if (hello->version != REPLICA_PROTOCOL_VERSION)
        return refuse(r, hello, "it speaks another version of the replicas' protocol");
    if (!slice_equal(hello->cluster_name, slice_from(r->cluster_name)))
        return refuse(r, hello, "its cluster-name differs");
    if (!slice_equal(hello->members, slice_from(r->members_text)))
        return refuse(r, hello, "its cluster-members differ");
    if (hello->to_id != r->members[r->self].id)
        return refuse(r, hello, "it takes this server for another member");
    int from = index_of(r, hello->from_id);
    if (from < 0 || from == r->self || hello->incarnation == 0)
        return refuse(r, hello, "it is not a member");
    if (!meet(r, (uint8_t)from, hello->incarnation))
        return refuse(r, hello, "it was restarted without its memory, and rejoining is not in this version");
    return NULL;
}

void replica_accept(struct replica *r, const struct replica_hello *hello, struct stream *stream)
{
    int from = index_of(r, hello->from_id);
    CHECK(from >= 0);
    link_accept(&r->links[from], stream);
}

const char *replica_members_text(const struct replica *r)
{
    return r->members_text;
}

uint64_t replica_incarnation(const struct replica *r)
{
    return r->incarnation;
}

/* --- life ----------------------------------------------------------------- */

static char *text_of_members(const struct replica *r)
{
    struct buf text;
    buf_init(&text);
    for (int i = 0; i < r->member_count; i++)
        buf_printf(&text, "%s%u@%s:%d", i ? " " : "", r->members[i].id, r->members[i].host, r->members[i].port);
    buf_append(&text, "", 1);
    char *copy = mem_strdup(buf_head(&text));
    buf_deinit(&text);
    return copy;
}

static void fail_client(void *context, struct proposer_client *client, const void *row,
                        enum proposer_failure failure)
{
    struct replica *r = context;
    r->clients.fail(client, row, failure);
}

/* Passing time is looked at when a pass ends; the timer only sees that one
 * begins. */
static void on_wake(void *context)
{
    (void)context;
}

static void copy_members(struct replica *r, const struct replica_options *options)
{
    CHECK(options->member_count >= 1);
    CHECK(options->member_count <= RABIA_MEMBERS_MAX);
    r->member_count = (uint8_t)options->member_count;
    int self = -1;
    for (int i = 0; i < r->member_count; i++) {
        r->members[i] = options->members[i];
        r->members[i].host = mem_strdup(options->members[i].host);
        if (r->members[i].id == options->self_id)
            self = i;
        if (i > 0)
            CHECK(r->members[i].id > r->members[i - 1].id);
    }
    CHECK(self >= 0);
    r->self = (uint8_t)self;
    r->members_text = text_of_members(r);
}

static void init_order_options(struct replica *r, const struct replica_options *options)
{
    rabia_options_default(&r->order_options);
    r->order_options.member_count = r->member_count;
    r->order_options.self = r->self;
    r->order_options.first_lap = FIRST_LAP;
    r->order_options.forfeit_floor_us = options->forfeit_floor_us;
    r->order_options.forfeit_ceiling_us = options->forfeit_ceiling_us;
    r->order_options.clock_tolerance_ms = options->clock_tolerance_ms;
    r->order_options.history_bytes_max = options->peer_backlog_bytes;
    r->order_options.skip_ahead_max = options->skip_ahead_max;
}

static void init_cluster(struct replica *r, const struct replica_options *options)
{
    copy_members(r, options);
    r->cluster_name = mem_strdup(options->cluster_name);
    r->password = options->password ? mem_strdup(options->password) : NULL;
    r->cluster_timeout_us = options->cluster_timeout_us;
    while (r->incarnation == 0)
        random_from_system(&r->incarnation, sizeof r->incarnation);
    rabia_out_init(&r->out);
    init_order_options(r, options);
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
    formation_init(&r->formation, r->member_count, r->self, r->incarnation);
    divergence_init(&r->divergence, r->member_count, r->self);
    r->identity.sender = r->members[r->self].id;
    r->identity.member_count = r->member_count;
    r->identity.epoch = FIRST_EPOCH;
    memcpy(r->identity.incarnations, r->formation.incarnations, sizeof r->identity.incarnations);
    timer_init(&r->wake_timer, r->loop, on_wake, r);
    r->waits_since_us = r->wait_logged_us = now_of(r);
    for (uint8_t i = 0; i < r->member_count; i++)
        if (i != r->self)
            link_init(&r->links[i], r->loop, &r->identity, &replica_link_events, r, i, &r->members[i],
                      r->self > i);
    r->state = REPLICA_FORMING;
    loop_again(r->loop);
}

struct replica *replica_create(const struct replica_options *options)
{
    struct replica *r = mem_calloc(1, sizeof *r);
    r->loop = options->loop;
    r->keyspace = options->keyspace;
    r->clients = options->clients;
    apply_init(&r->apply, options->keyspace, options->commands, &options->clients);
    if (options->members)
        init_cluster(r, options);
    else
        r->state = REPLICA_LONE;
    return r;
}

static void deinit_cluster(struct replica *r)
{
    timer_cancel(&r->wake_timer);
    for (int i = 0; i < r->member_count; i++) {
        frame_assembly_reset(&r->assemblies[i]);
        if (i != r->self)
            link_deinit(&r->links[i]);
        mem_free((char *)(uintptr_t)r->members[i].host);
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
    if (r->state != REPLICA_LONE)
        deinit_cluster(r);
    apply_deinit(&r->apply);
    mem_free(r);
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
    CHECK(r->state != REPLICA_LONE);
    bool is_write = row->route == ROUTE_WRITE;
    proposer_add(&r->proposer, client, row, is_write, !is_write && needs_clock(r, row), db, argc, argv, now_of(r));
}

bool replica_is_full(const struct replica *r)
{
    return r->proposer.queued_bytes > QUEUED_BYTES_MAX;
}

uint64_t replica_position(const struct replica *r)
{
    return r->state == REPLICA_LONE ? r->commands_begun : r->apply.position;
}

void replica_nudge(struct replica *r, uint64_t position)
{
    if (r->state != REPLICA_UP)
        return;
    struct rabia_event event = event_of(r, RABIA_EVENT_NUDGE);
    event.lap = position / 16 + 1;
    step(r, &event);
}

bool replica_is_drained(const struct replica *r)
{
    return r->state == REPLICA_LONE || proposer_is_idle(&r->proposer);
}

/* --- quorum --------------------------------------------------------------- */

static int heard_count(const struct replica *r)
{
    int count = 0;
    for (int i = 0; i < r->member_count; i++)
        count += is_heard(r, i);
    return count;
}

static bool has_quorum(const struct replica *r)
{
    return heard_count(r) > r->member_count / 2;
}

/* "2@host:port, 3@host:port": the members not heard of. */
static void list_absent(const struct replica *r, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < r->member_count && used < size; i++)
        if (!is_heard(r, i))
            used += (size_t)snprintf(text + used, size - used, "%s%u@%s:%d", used ? ", " : "", r->members[i].id,
                                     r->members[i].host, r->members[i].port);
}

/* What this replica waits for, "" if nothing. */
static void describe_wait(const struct replica *r, char *text, size_t size)
{
    char absent[160];
    list_absent(r, absent, sizeof absent);
    text[0] = '\0';
    if (r->state == REPLICA_FORMING && r->formation.is_forgotten)
        snprintf(text, size, "the cluster knows an earlier process of member %u; rejoining is not in this version",
                 r->members[r->self].id);
    else if (r->state == REPLICA_FORMING)
        snprintf(text, size, "a new cluster needs all members once: %d of %u are here, waiting for %s",
                 heard_count(r), r->member_count, *absent ? absent : "their word");
    else if (r->state == REPLICA_UP && !has_quorum(r))
        snprintf(text, size, "no quorum: %d of %u members are here, need %d; waiting for %s", heard_count(r),
                 r->member_count, r->member_count / 2 + 1, absent);
}

const char *replica_refusal(struct replica *r)
{
    if (r->state == REPLICA_LONE)
        return NULL;
    char wait[224];
    if (r->state == REPLICA_UP) {
        bool is_late = r->quorum_lost_us && now_of(r) >= r->quorum_lost_us + r->cluster_timeout_us;
        if (!is_late || has_quorum(r))
            return NULL;
    }
    describe_wait(r, wait, sizeof wait);
    if (r->state == REPLICA_DIVERGED)
        return "DIVERGED the data of this replica differs from what a quorum agrees on; it has stopped serving";
    if (r->state == REPLICA_BEHIND)
        return "CLUSTERDOWN this replica fell behind what its peers keep and cannot follow";
    snprintf(r->refusal, sizeof r->refusal, "CLUSTERDOWN %s", wait);
    return r->refusal;
}

static void watch_quorum(struct replica *r, uint64_t now)
{
    if (r->state != REPLICA_UP)
        return;
    if (has_quorum(r)) {
        if (r->quorum_lost_us)
            log_notice("replica", "the quorum is back after %" PRIu64 " ms", (now - r->quorum_lost_us) / 1000);
        r->quorum_lost_us = 0;
    } else if (r->quorum_lost_us == 0) {
        r->quorum_lost_us = now;
        char wait[224];
        describe_wait(r, wait, sizeof wait);
        log_warning("replica", "%s", wait);
        r->wait_logged_us = now;
    }
}

static void log_waiting(struct replica *r, uint64_t now)
{
    char wait[224];
    if (now < r->wait_logged_us + WAIT_LOG_US)
        return;
    describe_wait(r, wait, sizeof wait);
    if (!*wait)
        return;
    r->wait_logged_us = now;
    log_notice("replica", "%s", wait);
}

/* --- time ----------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t order_pass_end(struct replica *r, uint64_t now)
{
    if (now >= r->order_deadline_us) {
        struct rabia_event event = event_of(r, RABIA_EVENT_TICK);
        step(r, &event);
    }
    propose(r);
    if (now >= proposer_expire_deadline(&r->proposer))
        proposer_expire(&r->proposer, now);
    uint64_t next = earlier(r->order_deadline_us, proposer_deadline(&r->proposer, now));
    return earlier(next, proposer_expire_deadline(&r->proposer));
}

static uint64_t links_pass_end(struct replica *r)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self)
            next = earlier(next, link_pass_end(&r->links[i]));
    /* A link that broke just now may have made the order speak to one whose
     * frame was closed already. */
    for (int i = 0; i < r->member_count; i++)
        if (buf_size(&r->links[i].frame))
            loop_again(r->loop);
    return next;
}

void replica_pass_end(struct replica *r)
{
    if (r->state == REPLICA_LONE)
        return;
    uint64_t now = now_of(r), next = UINT64_MAX;
    watch_quorum(r, now);
    if (!r->order && now >= r->state_said_us + STATE_REPEAT_US)
        say_stage(r);
    if (r->order)
        next = order_pass_end(r, now);
    else
        next = r->state_said_us + STATE_REPEAT_US;
    next = earlier(next, links_pass_end(r));
    if (next <= now)
        loop_again(r->loop);
    else if (next != UINT64_MAX &&
             (!timer_is_set(&r->wake_timer) || r->wake_timer.deadline_us > (int64_t)next))
        timer_set(&r->wake_timer, (int64_t)next);
}

static void expire_idle(struct replica *r)
{
    int64_t due = keyspace_next_due(r->keyspace), wall_ms = loop_wall_ms(r->loop);
    if (r->state == REPLICA_LONE) {
        keyspace_advance(r->keyspace, wall_ms);
        while (keyspace_expire_due(r->keyspace, LONE_EXPIRE_MAX) == LONE_EXPIRE_MAX &&
               loop_clock_us() < loop_now_us(r->loop) + 4 * RECLAIM_US)
            ;
    } else if (r->state == REPLICA_UP && due < (int64_t)proposal_clock_ms(r) - IDLE_EXPIRE_MS * (1 + r->self)) {
        /* Members in turn: who comes first saves the others the trouble. */
        proposer_add_clock(&r->proposer, now_of(r));
    }
}

void replica_cron(struct replica *r)
{
    expire_idle(r);
    keyspace_reclaim(r->keyspace, RECLAIM_US);
    if (r->state != REPLICA_LONE)
        log_waiting(r, now_of(r));
}

/* --- looking -------------------------------------------------------------- */

static const char *state_name(enum replica_state state)
{
    switch (state) {
    case REPLICA_LONE: return "lone";
    case REPLICA_FORMING: return "forming";
    case REPLICA_UP: return "up";
    case REPLICA_BEHIND: return "behind";
    case REPLICA_DIVERGED: return "diverged";
    }
    return "unknown";
}

static void fill_peer(const struct replica *r, int i, struct replica_peer_status *peer)
{
    const struct link *l = &r->links[i];
    *peer = (struct replica_peer_status){
        .id = r->members[i].id, .host = r->members[i].host, .port = r->members[i].port, .link = LINK_SELF};
    peer->is_heard = is_heard(r, i);
    if (i == r->self)
        return;
    peer->link = l->state;
    peer->silent_ms = l->heard_us ? (now_of(r) - l->heard_us) / 1000 : 0;
    peer->round_trip_us = l->round_trip_us;
    peer->bytes_in = link_bytes_in(l);
    peer->bytes_out = link_bytes_out(l);
    peer->frames_in = l->frames_in;
    peer->frames_out = l->frames_out;
    peer->links_made = l->links_made;
    peer->frames_dropped = l->messages_dropped;
    peer->queued_bytes = l->stream ? stream_output_bytes(l->stream) : 0;
    snprintf(peer->last_error, sizeof peer->last_error, "%s", l->state == LINK_UP ? "" : l->last_error);
}

void replica_get_status(struct replica *r, struct replica_status *status)
{
    *status = (struct replica_status){.state = r->state, .state_text = state_name(r->state)};
    status->position = replica_position(r);
    status->logical_time_ms = keyspace_now(r->keyspace);
    status->has_quorum = true;
    if (r->state == REPLICA_LONE) {
        status->member_count = 1;
        return;
    }
    describe_wait(r, status->waiting_for, sizeof status->waiting_for);
    status->has_quorum = r->state == REPLICA_UP && has_quorum(r);
    status->member_count = r->member_count;
    status->self_index = r->self;
    status->self_id = r->members[r->self].id;
    status->incarnation = r->incarnation;
    const struct proposer_figures *figures = &r->proposer.figures;
    status->batches_proposed = figures->batches_proposed;
    status->batches_reproposed = figures->batches_reproposed;
    status->commands_proposed = figures->commands_proposed;
    status->reads_ridden = figures->reads_ridden;
    status->failures_no_quorum = figures->failures_no_quorum;
    status->failures_in_doubt = figures->failures_in_doubt;
    status->batches_applied = r->batches_applied;
    status->batches_void = r->batches_void;
    status->commands_applied = r->apply.commands_applied;
    status->clock_refusals = r->clock_refusals;
    status->digests_compared = r->divergence.compared;
    status->digests_differing = r->divergence.differing;
    status->queued_bytes = r->proposer.queued_bytes;
    status->batches_in_flight = r->proposer.in_flight_count;
    for (int i = 0; i < r->member_count; i++)
        fill_peer(r, i, &status->peers[i]);
    if (r->order)
        rabia_get_status(r->order, now_of(r), &status->order);
}
