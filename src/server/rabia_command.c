/* RABIA: the replica's view of the cluster. */
#include <inttypes.h>
#include <stdio.h>

#include "admin/info.h"
#include "admin/version.h"
#include "base/buf.h"
#include "command/command.h"
#include "server/server.h"
#include "server/session.h"

/* rabia_link.c: the handshake of peers. */
void rabia_link_command(struct call *c);

static void reply_field(struct reply *r, const char *name, uint64_t value)
{
    reply_bulk_text(r, name);
    reply_int(r, (int64_t)value);
}

static void reply_text_field(struct reply *r, const char *name, const char *value)
{
    reply_bulk_text(r, name);
    reply_bulk_text(r, value ? value : "");
}

/* --- STATUS -------------------------------------------------------------- */

static size_t reply_standing(struct reply *r, const struct replica_status *s)
{
    reply_text_field(r, "state", s->state_text);
    reply_text_field(r, "waiting-for", s->waiting_for);
    reply_bulk_text(r, "quorum");
    reply_bool(r, s->has_quorum);
    reply_field(r, "self", s->self_id);
    reply_field(r, "members", (uint64_t)s->voter_count);
    char incarnation[24]; /* too large for a RESP integer */
    snprintf(incarnation, sizeof incarnation, "%" PRIu64, s->incarnation);
    reply_text_field(r, "incarnation", incarnation);
    reply_field(r, "position", s->position);
    reply_field(r, "logical-time-ms", (uint64_t)s->logical_time_ms);
    return 8;
}

static size_t reply_work(struct reply *r, const struct replica_status *s)
{
    reply_field(r, "batches-proposed", s->batches_proposed);
    reply_field(r, "batches-applied", s->batches_applied);
    reply_field(r, "batches-void", s->batches_void);
    reply_field(r, "batches-reproposed", s->batches_reproposed);
    reply_field(r, "batches-in-flight", s->batches_in_flight);
    reply_field(r, "commands-proposed", s->commands_proposed);
    reply_field(r, "commands-applied", s->commands_applied);
    reply_field(r, "reads-ridden", s->reads_ridden);
    reply_field(r, "queued-bytes", s->queued_bytes);
    reply_field(r, "failures-no-quorum", s->failures_no_quorum);
    reply_field(r, "failures-in-doubt", s->failures_in_doubt);
    reply_field(r, "clock-refusals", s->clock_refusals);
    reply_field(r, "digests-compared", s->digests_compared);
    reply_field(r, "digests-differing", s->digests_differing);
    return 14;
}

static size_t reply_order(struct reply *r, const struct rabia_status *o)
{
    reply_field(r, "frontier", o->frontier);
    reply_field(r, "own-next-lap", o->own_next_lap);
    reply_field(r, "own-in-flight", o->own_in_flight);
    reply_field(r, "history-first-lap", o->history_first_lap);
    reply_field(r, "history-bytes", o->history_bytes);
    reply_field(r, "decided-by-exchange", o->decided_by_exchange);
    reply_bulk_text(r, "decided-in-phase");
    reply_array(r, RABIA_PHASE_COUNTERS);
    for (int i = 0; i < RABIA_PHASE_COUNTERS; i++)
        reply_int(r, (int64_t)o->decided_in_phase[i]);
    return 7;
}

static void reply_status_text(struct call *c, const struct replica_status *status)
{
    struct buf text;
    buf_init(&text);
    info_print_rabia(status, &text);
    reply_verbatim(c->reply, "txt", buf_slice(&text));
    buf_deinit(&text);
}

static void status_command(struct call *c)
{
    bool is_text = c->argc == 3 && call_option(c, 2, "TEXT");
    if (c->argc > 2 && !is_text) {
        reply_error(c->reply, ERROR_SYNTAX);
        return;
    }
    struct replica_status status;
    replica_get_status(call_session(c)->server->replica, &status);
    if (is_text) {
        reply_status_text(c, &status);
        return;
    }
    struct reply_deferred begin = reply_begin(c->reply);
    size_t pairs = reply_standing(c->reply, &status);
    pairs += reply_work(c->reply, &status);
    pairs += reply_order(c->reply, &status.order);
    reply_end_map(c->reply, begin, pairs);
}

/* --- LASTPOS ------------------------------------------------------------- */

/* A fencing token: of two writes acknowledged one after the other, anywhere,
 * the later has the greater position. */
static void lastpos_command(struct call *c)
{
    reply_int(c->reply, (int64_t)call_session(c)->last_write_position);
}

/* --- PEERS --------------------------------------------------------------- */

static size_t reply_link(struct reply *r, const struct replica_peer_status *p)
{
    char address[STREAM_ADDRESS_MAX];
    snprintf(address, sizeof address, "%.100s:%d", p->host, p->port);
    reply_field(r, "id", p->id);
    reply_text_field(r, "address", address);
    reply_text_field(r, "link", info_link_text(p->link));
    reply_bulk_text(r, "heard");
    reply_bool(r, p->is_heard);
    reply_field(r, "silent-ms", p->silent_ms);
    reply_field(r, "round-trip-us", p->round_trip_us);
    reply_text_field(r, "last-error", p->last_error);
    return 7;
}

static size_t reply_traffic(struct reply *r, const struct replica_peer_status *p)
{
    reply_field(r, "bytes-in", p->bytes_in);
    reply_field(r, "bytes-out", p->bytes_out);
    reply_field(r, "frames-in", p->frames_in);
    reply_field(r, "frames-out", p->frames_out);
    reply_field(r, "frames-dropped", p->frames_dropped);
    reply_field(r, "links-made", p->links_made);
    reply_field(r, "queued-bytes", p->queued_bytes);
    return 7;
}

static size_t reply_lane(struct reply *r, const struct rabia_lane_status *lane)
{
    reply_field(r, "frontier", lane->frontier_lap);
    reply_field(r, "next-lap", lane->next_lap);
    reply_field(r, "decided-batches", lane->decided_batches);
    reply_field(r, "decided-nulls", lane->decided_nulls);
    reply_bulk_text(r, "phi");
    reply_double(r, lane->phi);
    reply_bulk_text(r, "suspect");
    reply_bool(r, lane->is_suspect);
    reply_field(r, "forfeits", lane->forfeits);
    reply_field(r, "wrongful-forfeits", lane->wrongful_forfeits);
    reply_field(r, "usual-delay-us", lane->usual_delay_us);
    reply_field(r, "forfeit-after-us", lane->forfeit_after_us);
    return 10;
}

static void peers_command(struct call *c)
{
    struct replica_status status;
    replica_get_status(call_session(c)->server->replica, &status);
    int count = status.state == REPLICA_LONE ? 0 : status.member_count;
    reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++) {
        struct reply_deferred begin = reply_begin(c->reply);
        size_t pairs = reply_link(c->reply, &status.peers[i]);
        pairs += reply_traffic(c->reply, &status.peers[i]);
        pairs += reply_lane(c->reply, &status.order.lanes[status.peers[i].index]);
        reply_end_map(c->reply, begin, pairs);
    }
}

/* --- members ------------------------------------------------------------- */

static const char *member_state_text(const struct replica_peer_status *p)
{
    switch (p->member_state) {
    case ROSTER_MEMBER: return "member";
    case ROSTER_LEARNER: return "learner";
    case ROSTER_REMOVED: return "removed";
    default: return "unknown";
    }
}

/* What is still to come. */
static void describe_progress(const struct replica_peer_status *p, char *text, size_t size)
{
    bool is_there = p->link == LINK_SELF || p->is_heard;
    text[0] = '\0';
    if (p->voice_from != RABIA_NO_LAP)
        snprintf(text, size, "its voice %s from lap %" PRIu64, p->has_voice ? "ends" : "begins", p->voice_from);
    else if (p->member_state == ROSTER_LEARNER && is_there)
        snprintf(text, size, "learning, %" PRIu64 " laps behind", p->behind_laps);
    else if (p->member_state != ROSTER_REMOVED && !is_there)
        snprintf(text, size, "not heard of%s%s", *p->last_error ? ": " : "", p->last_error);
}

static void reply_member(struct reply *r, const struct replica_peer_status *p)
{
    char address[ROSTER_ADDRESS_MAX], progress[192];
    roster_print_address(p->host, p->port, address);
    describe_progress(p, progress, sizeof progress);
    struct reply_deferred begin = reply_begin(r);
    reply_field(r, "id", p->id);
    reply_text_field(r, "address", address);
    reply_text_field(r, "state", member_state_text(p));
    reply_field(r, "lane", p->index);
    reply_bulk_text(r, "voice");
    reply_bool(r, p->has_voice);
    reply_bulk_text(r, "heard");
    reply_bool(r, p->is_heard);
    reply_field(r, "behind-laps", p->behind_laps);
    reply_field(r, "replaces", p->replaces);
    reply_text_field(r, "progress", progress);
    reply_end_map(r, begin, 9);
}

static void reply_members(struct call *c, bool is_about_learners)
{
    struct replica_status status;
    replica_get_status(call_session(c)->server->replica, &status);
    int count = status.state == REPLICA_LONE ? 0 : status.member_count + status.removed_count;
    struct reply_deferred begin = reply_begin(c->reply);
    size_t shown = 0;
    for (int i = 0; i < count; i++) {
        if (is_about_learners && status.peers[i].member_state != ROSTER_LEARNER)
            continue;
        reply_member(c->reply, &status.peers[i]);
        shown++;
    }
    reply_end_array(c->reply, begin, shown);
}

static void members_command(struct call *c)
{
    reply_members(c, false);
}

static void learners_command(struct call *c)
{
    reply_members(c, true);
}

/* Where there is an order, the replica runs what these rows name (COMMAND_ROSTER). */
static void change_command(struct call *c)
{
    reply_error(c->reply, replica_refusal_of_change(call_session(c)->server->replica, c->argc, c->argv));
}

/* RABIA ROSTER version cluster id */
static void roster_command(struct call *c)
{
    struct replica_roster_question question = {.cluster_name = c->argv[3]};
    struct replica_roster_answer answer;
    if (!slice_to_uint64(c->argv[2], &question.version) || !slice_to_uint64(c->argv[4], &question.id)) {
        reply_error(c->reply, ERROR_NOT_INTEGER);
        return;
    }
    const char *error = replica_roster(call_session(c)->server->replica, &question, &answer);
    if (error) {
        reply_error(c->reply, error);
        return;
    }
    char number[24];
    reply_array(c->reply, 4);
    snprintf(number, sizeof number, "%" PRIu64, answer.epoch);
    reply_bulk_text(c->reply, number);
    snprintf(number, sizeof number, "%" PRIu64, answer.seed);
    reply_bulk_text(c->reply, number);
    reply_bulk_text(c->reply, answer.is_gone ? "1" : "0");
    reply_bulk(c->reply, slice_make((const char *)answer.bytes, answer.size));
}

/* --- DIGEST -------------------------------------------------------------- */

/* Runs at its place in the order, so replicas asked at one position compare. */
static void digest_command(struct call *c)
{
    struct digest digest = keyspace_digest(c->ks);
    char text[33];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, digest.high, digest.low);
    reply_array(c->reply, 2);
    reply_int(c->reply, (int64_t)c->position);
    reply_bulk_text(c->reply, text);
}

static void help_command(struct call *c)
{
    static const char *const lines[] = {
        "ADD <id> <host>:<port>",
        "    Takes in a server that waits with cluster-join: it learns, then has a voice.",
        "DIGEST",
        "    Position in the order and a digest of all data there; equal positions have equal digests.",
        "LEARNERS",
        "    Those that learn and have no voice yet.",
        "LINK <version> <cluster> <members> <from-id> <to-id> <incarnation>",
        "    Handshake of a peer; not for clients.",
        "MEMBERS",
        "    All members, learners and removed members, and how far a change has come.",
        "MOVE <id> <host>:<port>",
        "    A member has a new address.",
        "PEERS",
        "    Each member: its link, traffic and lane.",
        "RECOVER FORCE",
        "    Goes on with the members that are here, for good; what the others alone have is lost.",
        "REMOVE <id>",
        "    Takes a member or learner out of the cluster, for good.",
        "REPLACE <old-id> <new-id> <host>:<port>",
        "    Adds the new one, and removes the old one when the new one has learnt.",
        "ROSTER <version> <cluster> <id>",
        "    The list of members, for a server that joins; not for clients.",
        "STATUS [TEXT]",
        "    This replica's standing, its work and the order; TEXT for people.",
        "VOICE <id>",
        "    Gives a learner its voice; the cluster does so itself.",
        NULL};
    call_help(c, lines);
}

/* --- the table ----------------------------------------------------------- */

#define SUBCOMMAND(name_, handler_, arity_, complexity_, summary_)                                                \
    .name = (name_), .handler = (handler_), .arity = (arity_), .group = "cluster", .since = KVSTORE_VERSION,               \
    .complexity = (complexity_), .summary = (summary_)
#define CHANGE .route = ROUTE_WRITE, .flags = COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_ROSTER
#define MEMBER_ID {.name = "id", .type = ARGUMENT_INTEGER}
#define MEMBER_ADDRESS {.name = "address", .type = ARGUMENT_STRING}
#define LOCAL_FLAGS (COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE)

/* --- RECOVER ------------------------------------------------------------- */

static void recover_command(struct call *c)
{
    char text[1024];
    if (!call_option(c, 2, "FORCE"))
        reply_error(c->reply, "ERR say RABIA RECOVER FORCE: it gives up for good every member that is not here, and "
                              "whatever they alone have");
    else if (replica_recover_force(call_session(c)->server->replica, text, sizeof text))
        reply_bulk_text(c->reply, text);
    else
        reply_error(c->reply, text);
}

static const struct command subcommands[] = {
    {SUBCOMMAND("add", change_command, 4, "O(1)", "Takes a server into the cluster."), CHANGE,
     COMMAND_ARGUMENTS(MEMBER_ID, MEMBER_ADDRESS)},
    {SUBCOMMAND("digest", digest_command, 2, "O(N) where N is the bytes held",
                "Tells a position of the order and a digest of all data there."),
     .route = ROUTE_READ, .flags = COMMAND_READONLY | COMMAND_ADMIN | COMMAND_NOSCRIPT},
    {SUBCOMMAND("help", help_command, 2, "O(1)", "Lists the subcommands."),
     .flags = COMMAND_LOADING | COMMAND_STALE},
    {SUBCOMMAND("learners", learners_command, 2, "O(N) where N is the number of members",
                "Lists those that learn and have no voice yet."),
     .flags = LOCAL_FLAGS},
    {SUBCOMMAND("link", rabia_link_command, 8, "O(1)", "Makes this connection a peer's link."),
     .flags = LOCAL_FLAGS | COMMAND_PEER,
     COMMAND_ARGUMENTS({.name = "version", .type = ARGUMENT_INTEGER}, {.name = "cluster", .type = ARGUMENT_STRING},
                       {.name = "members", .type = ARGUMENT_STRING}, {.name = "from-id", .type = ARGUMENT_INTEGER},
                       {.name = "to-id", .type = ARGUMENT_INTEGER},
                       {.name = "incarnation", .type = ARGUMENT_INTEGER})},
    {SUBCOMMAND("members", members_command, 2, "O(N) where N is the number of members",
                "Lists members, learners and removed members."),
     .flags = LOCAL_FLAGS},
    {SUBCOMMAND("move", change_command, 4, "O(1)", "Changes a member's address."), CHANGE,
     COMMAND_ARGUMENTS(MEMBER_ID, MEMBER_ADDRESS)},
    {SUBCOMMAND("peers", peers_command, 2, "O(N) where N is the number of members",
                "Describes each member as this replica sees it."),
     .flags = LOCAL_FLAGS},
    {SUBCOMMAND("recover", recover_command, 3, "O(1)", "Goes on without the members that are lost for good."),
     .flags = LOCAL_FLAGS,
     COMMAND_ARGUMENTS({.name = "force", .type = ARGUMENT_PURE_TOKEN, .token = "FORCE"})},
    {SUBCOMMAND("remove", change_command, 3, "O(1)", "Takes a member out of the cluster."), CHANGE,
     COMMAND_ARGUMENTS(MEMBER_ID)},
    {SUBCOMMAND("replace", change_command, 5, "O(1)", "Puts a new member in the place of another."), CHANGE,
     COMMAND_ARGUMENTS({.name = "old-id", .type = ARGUMENT_INTEGER}, {.name = "new-id", .type = ARGUMENT_INTEGER},
                       MEMBER_ADDRESS)},
    {SUBCOMMAND("roster", roster_command, 5, "O(1)", "Tells a server that joins who belongs to the cluster."),
     .flags = LOCAL_FLAGS,
     COMMAND_ARGUMENTS({.name = "version", .type = ARGUMENT_INTEGER}, {.name = "cluster", .type = ARGUMENT_STRING},
                       MEMBER_ID)},
    {SUBCOMMAND("lastpos", lastpos_command, 2, "O(1)",
                "Tells the position of this connection's newest write, which later writes anywhere exceed."),
     .flags = LOCAL_FLAGS},
    {SUBCOMMAND("status", status_command, -2, "O(N) where N is the number of members",
                "Tells how this replica and the order stand."),
     .flags = LOCAL_FLAGS,
     COMMAND_ARGUMENTS({.name = "text", .type = ARGUMENT_PURE_TOKEN, .token = "TEXT",
                        .flags = ARGUMENT_OPTIONAL})},
    {SUBCOMMAND("voice", change_command, 3, "O(1)", "Gives a learner its voice; not for clients."), CHANGE,
     COMMAND_ARGUMENTS(MEMBER_ID)},
};

const struct command rabia_command_rows[] = {
    {.name = "rabia", .arity = -2, .group = "cluster", .since = KVSTORE_VERSION, .complexity = "Depends on subcommand.",
     .summary = "Looks at the cluster as this replica sees it.", COMMAND_SUBCOMMANDS(subcommands)},
};
const size_t rabia_command_count = sizeof rabia_command_rows / sizeof *rabia_command_rows;
