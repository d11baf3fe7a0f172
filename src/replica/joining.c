/* Asking others who belongs to the cluster.
 *
 * A replica that has no list of members, or one that may be out of date and no
 * data to go with it, asks those it knows of (cluster-join, cluster-members) with
 * RABIA ROSTER until a cluster has it on its list; so does one that is cut off, which
 * may have been removed meanwhile.  What it adopts says who to talk to and by
 * which index; the list that counts comes with the data. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "replica/replica_private.h"

enum {
    ASK_US = 200 * 1000,
    ASK_CUT_OFF_US = 1000 * 1000,
    ASK_TIMEOUT_US = 2 * 1000 * 1000,
};

/* --- answering ------------------------------------------------------------- */

const char *replica_roster(struct replica *r, const struct replica_roster_question *question,
                           struct replica_roster_answer *answer)
{
    if (r->is_lone || r->self_id == 0)
        return "ERR this server has no cluster-members";
    if (question->version != REPLICA_PROTOCOL_VERSION)
        return "ERR it speaks another version of the replicas' protocol";
    if (!slice_equal(question->cluster_name, slice_from(r->cluster_name)))
        return "ERR its cluster-name differs";
    if (r->is_loading || r->is_joining || r->formation.own.epoch == 0)
        return "ERR this server knows of no cluster yet";
    *answer = (struct replica_roster_answer){.epoch = r->formation.own.epoch,
                                             .seed = r->formation.own.seed,
                                             .is_gone = membership_is_gone(r, question->id)};
    answer->size = roster_encode(&r->roster, answer->bytes);
    return NULL;
}

/* --- what was answered ------------------------------------------------------ */

static bool read_answer(struct roster_heard *heard, const struct dial_reply *reply)
{
    uint64_t is_gone;
    if (reply->kind != DIAL_REPLY_ARRAY || reply->element_count != 4 ||
        !slice_to_uint64(reply->elements[0], &heard->epoch) || !slice_to_uint64(reply->elements[1], &heard->seed) ||
        !slice_to_uint64(reply->elements[2], &is_gone) || !roster_decode(reply->elements[3], &heard->roster))
        return false;
    heard->is_gone = is_gone != 0;
    return true;
}

static bool on_reply(void *context, size_t index, const struct dial_reply *reply)
{
    struct replica *r = context;
    bool is_auth = index == 0 && r->password && *r->password;
    if (is_auth)
        return reply->kind == DIAL_REPLY_TEXT;
    r->heard.is_there = read_answer(&r->heard, reply);
    return false; /* that was all: the connection is not wanted */
}

/* Whether the data here lets the order itself tell of what changed. */
static bool follows_order(const struct replica *r, const struct roster_heard *heard)
{
    const struct formation_claim *own = &r->formation.own;
    bool is_gathering = own->stage == FORMATION_GATHERING || own->stage == FORMATION_READY;
    return !is_gathering || (own->position > 0 && own->epoch == heard->epoch && own->seed == heard->seed);
}

static void consider(struct replica *r, const struct roster_heard *heard)
{
    bool is_listed = roster_find(&heard->roster, r->self_id) >= 0;
    if (heard->is_gone) {
        membership_leave(r);
        return;
    }
    if (follows_order(r, heard))
        return;
    r->is_unlisted = !is_listed;
    if (is_listed && (r->is_joining || heard->roster.version > r->roster.version))
        membership_adopt(r, &heard->roster);
}

static void on_done(void *context, struct stream *stream, const char *error)
{
    struct replica *r = context;
    r->roster_dial = NULL;
    r->roster_asked_us = replica_now(r);
    if (stream)
        stream_free(stream);
    snprintf(r->roster_error, sizeof r->roster_error, "%s", r->heard.is_there ? "" : error ? error : "no answer");
    if (r->heard.is_there)
        consider(r, &r->heard);
    r->heard.is_there = false;
}

/* --- asking ---------------------------------------------------------------- */

/* The addresses in cluster-join, then those on the list. */
static bool choose_address(struct replica *r, char host[static ROSTER_HOST_MAX], int *port)
{
    int count = r->join_count + RABIA_MEMBERS_MAX;
    for (int tries = 0; tries < count; tries++) {
        int i = r->roster_turn++ % count;
        const struct roster_entry *entry = i < r->join_count ? NULL : &r->roster.entries[i - r->join_count];
        if (entry && (entry->state == ROSTER_UNUSED || entry->state == ROSTER_REMOVED || entry->id == r->self_id))
            continue;
        const struct replica_member *join = &r->join[i < r->join_count ? i : 0];
        snprintf(host, ROSTER_HOST_MAX, "%s", entry ? entry->host : join->host);
        *port = entry ? entry->port : join->port;
        return true;
    }
    return false;
}

static void ask(struct replica *r)
{
    char host[ROSTER_HOST_MAX], version[16], id[16];
    int port;
    if (!choose_address(r, host, &port))
        return;
    snprintf(version, sizeof version, "%d", REPLICA_PROTOCOL_VERSION);
    snprintf(id, sizeof id, "%u", r->self_id);
    struct slice auth[] = {SLICE_LITERAL("AUTH"), slice_from(r->password ? r->password : "")};
    struct slice words[] = {SLICE_LITERAL("RABIA"), SLICE_LITERAL("ROSTER"), slice_from(version),
                            slice_from(r->cluster_name), slice_from(id)};
    struct dial_command commands[2];
    size_t count = 0;
    if (auth[1].len)
        commands[count++] = (struct dial_command){auth, 2};
    commands[count++] = (struct dial_command){words, 5};
    struct dial_options options = {.host = host, .port = (uint16_t)port, .timeout_us = ASK_TIMEOUT_US,
                                   .commands = commands, .command_count = count, .on_reply = on_reply,
                                   .on_done = on_done, .context = r};
    r->heard.is_there = false;
    r->roster_dial = dial_start(r->loop, &options);
}

static bool is_cut_off(const struct replica *r)
{
    enum replica_state state = status_of(r);
    return (state == REPLICA_UP || state == REPLICA_LEARNER || state == REPLICA_REJOINING) && !status_has_quorum(r);
}

void joining_cron(struct replica *r)
{
    if (r->roster_dial || r->is_removed || r->self_id == 0)
        return;
    bool is_gathering = r->formation.own.stage == FORMATION_GATHERING || r->formation.own.stage == FORMATION_READY;
    uint64_t every = is_gathering ? ASK_US : ASK_CUT_OFF_US;
    if ((is_gathering || is_cut_off(r)) && replica_now(r) >= r->roster_asked_us + every)
        ask(r);
}

void joining_describe(const struct replica *r, char *text, size_t size)
{
    char address[ROSTER_ADDRESS_MAX] = "";
    if (r->join_count)
        roster_print_address(r->join[0].host, r->join[0].port, address);
    if (r->is_unlisted)
        snprintf(text, size, "the cluster does not have %u on its list: waiting for RABIA ADD %u host:port on a member",
                 r->self_id, r->self_id);
    else
        snprintf(text, size, "asking %s%s for the list of members%s%s", address, r->join_count > 1 ? " and others" : "",
                 *r->roster_error ? ": " : "", r->roster_error);
}

void joining_stop(struct replica *r)
{
    if (r->roster_dial)
        dial_cancel(r->roster_dial);
    r->roster_dial = NULL;
}
