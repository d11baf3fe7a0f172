#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "replica/replica_private.h"

enum { REFUSAL_LOG_US = 60 * 1000 * 1000 /* a refusal for the same reason is logged this often */ };

bool peers_is_heard(const struct replica *r, int member)
{
    return member == r->self || (r->links[member].state == LINK_UP && !r->links[member].is_quiet &&
                                 replica_now(r) < r->links[member].heard_us + HEARD_US);
}

/* Whether a refusal is worth a line; why is static text, member an index, -1
 * for a stranger. */
bool peers_is_news(struct replica *r, int member, const char *why)
{
    struct refusal_logged *last = &r->refusals_logged[member < 0 ? RABIA_MEMBERS_MAX : member];
    if (last->why == why && replica_now(r) < last->logged_us + REFUSAL_LOG_US)
        return false;
    *last = (struct refusal_logged){why, replica_now(r)};
    return true;
}

/* --- events of links ------------------------------------------------------ */

static int index_of(const struct replica *r, uint64_t id)
{
    for (int i = 0; i < r->member_count; i++)
        if (r->members[i].id == id && r->links[i].loop)
            return i;
    return -1;
}

static size_t on_introduce(void *context, uint8_t peer, struct dial_command commands[static 2])
{
    struct replica *r = context;
    snprintf(r->introduction[0], sizeof r->introduction[0], "%d", REPLICA_PROTOCOL_VERSION);
    snprintf(r->introduction[1], sizeof r->introduction[1], "%u", r->self_id);
    snprintf(r->introduction[2], sizeof r->introduction[2], "%u", r->members[peer].id);
    snprintf(r->introduction[3], sizeof r->introduction[3], "%" PRIu64, own_incarnation(r));
    bool is_first = r->formation.own.epoch == 0 && r->roster.version == 0;
    const char *text = is_first ? r->members_text : "-";
    struct slice argv[] = {SLICE_LITERAL("RABIA"),          SLICE_LITERAL("LINK"),
                           slice_from(r->introduction[0]),  slice_from(r->cluster_name),
                           slice_from(text),                slice_from(r->introduction[1]),
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
    /* One that has a successor hears of it from our first frame. */
    if (!forming_meet(r, peer, incarnation))
        log_warning("replica", "member %u came back as a process that has a successor", r->members[peer].id);
    return true;
}

/* Another member knows a later process of ours. */
static void superseded_by(struct replica *r, uint64_t incarnation)
{
    r->superseded_by = incarnation;
    formation_supersede(&r->formation);
    forming_act(r);
}

static void on_refused(void *context, uint8_t peer, struct slice error)
{
    (void)peer;
    struct replica *r = context;
    static const char outdated[] = "OUTDATED ";
    size_t len = sizeof outdated - 1;
    uint64_t successor;
    if (error.len > len && memcmp(error.ptr, outdated, len) == 0 &&
        slice_to_uint64(slice_make(error.ptr + len, error.len - len), &successor) && successor > own_incarnation(r))
        superseded_by(r, successor);
    if (error.len >= 8 && memcmp(error.ptr, "REMOVED ", 8) == 0)
        r->was_told_removed = true;
}

static void on_up(void *context, uint8_t peer)
{
    struct replica *r = context;
    frame_assembly_reset(&r->assemblies[peer]);
    link_send_claim(&r->links[peer], &r->formation.own);
    struct rabia_event event = ordering_event(r, RABIA_EVENT_LINK_UP);
    event.peer = peer;
    ordering_step(r, &event);
}

static void on_down(void *context, uint8_t peer)
{
    struct replica *r = context;
    frame_assembly_reset(&r->assemblies[peer]);
    sending_stop(r, peer);
    transfer_lost(r, peer);
    if (formation_lose(&r->formation, peer))
        forming_act(r);
    struct rabia_event event = ordering_event(r, RABIA_EVENT_LINK_DOWN);
    event.peer = peer;
    ordering_step(r, &event);
}

static void hand_messages(struct replica *r, uint8_t peer, const struct rabia_message *messages, size_t count)
{
    struct rabia_event event = ordering_event(r, RABIA_EVENT_MESSAGES);
    event.peer = r->hearing = peer;
    event.messages = messages;
    event.message_count = count;
    ordering_step(r, &event);
}

static enum status hear_messages(struct replica *r, uint8_t peer, const struct frame *frame)
{
    frame_messages_clear(&r->messages);
    enum status status = frame_read_messages(frame, &r->messages);
    if (status == STATUS_OK)
        sending_answer_asks(r, peer, &r->messages);
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

static enum status hear_claim(struct replica *r, uint8_t peer, const struct frame *frame)
{
    struct formation_claim claim;
    enum status status = frame_read_claim(frame, &claim);
    if (status != STATUS_OK)
        return status;
    if (formation_hear(&r->formation, peer, &claim))
        forming_act(r);
    return STATUS_OK;
}

static enum status hear_digest(struct replica *r, uint8_t peer, const struct frame *frame)
{
    struct frame_digest digest;
    enum status status = frame_read_digest(frame, &digest);
    if (status == STATUS_OK)
        ordering_note_digest(r, peer, &digest);
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

static enum status hear_clock(struct replica *r, uint8_t peer, const struct frame *frame)
{
    uint64_t wall_ms;
    enum status status = frame_read_word(frame, &wall_ms);
    if (status == STATUS_OK && wall_ms > INT64_MAX / 1000)
        status = STATUS_MALFORMED;
    if (status == STATUS_OK)
        ordering_note_clock(r, peer, wall_ms);
    return status;
}

static enum status hear_ask(struct replica *r, uint8_t peer, const struct frame *frame)
{
    struct frame_ask ask;
    enum status status = frame_read_ask(frame, &ask);
    if (status == STATUS_OK)
        sending_asked(r, peer, &ask);
    return status;
}

static enum status hear_piece(struct replica *r, uint8_t peer, const struct frame *frame)
{
    uint64_t number;
    struct slice bytes;
    enum status status = frame_read_piece(frame, &number, &bytes);
    if (status == STATUS_OK)
        transfer_data(r, peer, number, bytes);
    return status;
}

static enum status hear_end(struct replica *r, uint8_t peer, const struct frame *frame)
{
    uint64_t number;
    enum frame_snapshot_end end;
    enum status status = frame_read_snapshot_end(frame, &number, &end);
    if (status == STATUS_OK)
        transfer_ended(r, peer, number, end);
    return status;
}

/* What the sender knows of others' incarnations is applied before anything it
 * says is counted (protocol.md, epoch). */
static void learn_incarnations(struct replica *r, uint8_t peer, const struct frame_identity *identity)
{
    for (uint8_t i = 0; i < r->member_count && i < identity->member_count; i++) {
        uint64_t named = identity->incarnations[i], known = r->formation.members[i].incarnation;
        if (i == peer || named <= known)
            continue;
        if (i == r->self) {
            superseded_by(r, named);
        } else {
            forming_meet(r, i, named);
        }
    }
}

/* Of the order only what is said in the same epoch counts. */
static bool is_of_epoch(const struct replica *r, const struct frame *frame)
{
    return r->formation.own.seed != 0 && frame->identity.cluster == r->formation.own.seed;
}

static enum status hear(struct replica *r, uint8_t peer, const struct frame *frame)
{
    switch (frame->kind) {
    case FRAME_STATE: return hear_claim(r, peer, frame);
    case FRAME_PING:
    case FRAME_PONG: return hear_ping(r, peer, frame);
    case FRAME_CLOCK: return hear_clock(r, peer, frame);
    default: break;
    }
    if (!is_of_epoch(r, frame))
        return STATUS_OK;
    switch (frame->kind) {
    case FRAME_MESSAGES: return hear_messages(r, peer, frame);
    case FRAME_CHUNK: return hear_chunk(r, peer, frame);
    case FRAME_DIGEST: return hear_digest(r, peer, frame);
    case FRAME_SNAPSHOT_ASK: return hear_ask(r, peer, frame);
    case FRAME_SNAPSHOT_DATA: return hear_piece(r, peer, frame);
    case FRAME_SNAPSHOT_END: return hear_end(r, peer, frame);
    default: CHECK_UNREACHABLE(); /* frame_parse knows no other kind */
    }
}

static void on_frame(void *context, uint8_t peer, const struct frame *frame)
{
    struct replica *r = context;
    const struct frame_identity *identity = &frame->identity;
    enum status status = STATUS_MISMATCH;
    if (identity->sender == r->members[peer].id && identity->member_count > peer &&
        identity->incarnations[peer] == r->formation.members[peer].incarnation) {
        uint64_t links_made = r->links[peer].links_made;
        learn_incarnations(r, peer, identity);
        /* If that broke the link, the frame is gone with it. */
        if (r->links[peer].state != LINK_UP || r->links[peer].links_made != links_made)
            return;
        status = hear(r, peer, frame);
    }
    if (status == STATUS_OK)
        return;
    char why[96];
    snprintf(why, sizeof why, "it sent a frame that is a %s", status_text(status));
    link_break(&r->links[peer], why);
}

const struct link_events peers_link_events = {
    .introduce = on_introduce,
    .accepted = on_accepted,
    .up = on_up,
    .down = on_down,
    .frame = on_frame,
    .refused = on_refused,
};

/* --- hello: a peer dials us ----------------------------------------------- */

static const char *refuse(struct replica *r, const struct replica_hello *hello, const char *why)
{
    snprintf(r->hello_error, sizeof r->hello_error, "ERR link refused: %s", why);
    if (peers_is_news(r, index_of(r, hello->from_id), why))
        log_warning("replica", "refused a link from member %" PRIu64 ": %s", hello->from_id, why);
    return r->hello_error;
}

const char *replica_check_hello(struct replica *r, const struct replica_hello *hello)
{
    if (r->is_lone || r->self_id == 0)
        return refuse(r, hello, "this server has no cluster-members");
    if (hello->version != REPLICA_PROTOCOL_VERSION)
        return refuse(r, hello, "it speaks another version of the replicas' protocol");
    if (!slice_equal(hello->cluster_name, slice_from(r->cluster_name)))
        return refuse(r, hello, "its cluster-name differs");
    if (r->is_joining || r->is_removed)
        return refuse(r, hello, "this server is not a member now");
    if (membership_is_gone(r, hello->from_id)) {
        snprintf(r->hello_error, sizeof r->hello_error, "REMOVED member %" PRIu64 " was removed from the cluster",
                 hello->from_id);
        return r->hello_error;
    }
    /* About to form its first cluster: that needs the same list on all. */
    bool is_first = !slice_is(hello->members, "-");
    if (is_first && (r->roster.version > 0 || !slice_equal(hello->members, slice_from(r->members_text))))
        return refuse(r, hello, "its cluster-members differ");
    if (hello->to_id != r->self_id)
        return refuse(r, hello, "it takes this server for another member");
    if (r->is_loading)
        return refuse(r, hello, "this server is still loading and does not know yet who it is");
    int from = index_of(r, hello->from_id);
    if (from < 0 && !is_first && r->formation.own.epoch == 0) {
        forming_meet_elder(r, hello->from_id);
        return refuse(r, hello, "it belongs to a cluster that has this server for a member, but this server has lost its "
                                "data and its cluster-members do not name it: name it in cluster-join");
    }
    if (from < 0 && !is_first && forming_is_founder(r) && hello->incarnation < own_incarnation(r)) {
        forming_meet_elder(r, hello->from_id);
        return refuse(r, hello, "it belongs to an older cluster that has this server for a member; while it calls, this "
                                "server, which began a cluster of its own, serves nobody");
    }
    if (from < 0 || from == r->self || hello->incarnation == 0)
        return refuse(r, hello, "it is not a member");
    if (!forming_meet(r, (uint8_t)from, hello->incarnation)) {
        snprintf(r->hello_error, sizeof r->hello_error, "OUTDATED %" PRIu64,
                 r->formation.members[from].incarnation);
        return r->hello_error;
    }
    return NULL;
}

void replica_note_unauthenticated(struct replica *r, struct slice from_id, const char *address)
{
    static const char why[] = "its requirepass is not ours";
    uint64_t id = 0;
    if (r->is_lone || !slice_to_uint64(from_id, &id))
        id = 0; /* nobody's */
    if (peers_is_news(r, id ? index_of(r, id) : -1, why))
        log_warning("replica", "refused a link from %s, which calls itself member %" PRIu64 ": %s", address, id, why);
}

void replica_accept(struct replica *r, const struct replica_hello *hello, struct stream *stream)
{
    int from = index_of(r, hello->from_id);
    if (from < 0) {
        stream_free(stream);
        return;
    }
    link_accept(&r->links[from], stream);
}

const char *replica_members_text(const struct replica *r)
{
    return r->members_text;
}

uint64_t replica_incarnation(const struct replica *r)
{
    return own_incarnation(r);
}

