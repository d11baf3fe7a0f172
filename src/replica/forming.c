#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "replica/replica_private.h"

/* Members dial each other no less often than LINK_BACKOFF_MAX_US.  So whoever belongs to a cluster already, though
 * its disk and its list of members say nothing of it, has heard of it by then. */
enum {
    NEW_AFTER_US = LINK_BACKOFF_MAX_US + 200 * 1000,
    ELDER_US = 10 * 1000 * 1000, /* an elder that is not heard again is gone */
};

/* --- saying --------------------------------------------------------------- */

static void refresh_identity(struct replica *r)
{
    r->identity.cluster = r->formation.own.seed;
    for (int i = 0; i < r->member_count; i++)
        r->identity.incarnations[i] = r->formation.members[i].incarnation;
}

void forming_say_claim(struct replica *r)
{
    refresh_identity(r);
    r->claim_said_us = replica_now(r);
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self && !r->is_joining)
            link_send_claim(&r->links[i], &r->formation.own);
}

/* --- remembering ---------------------------------------------------------- */

uint64_t forming_draw_incarnation(const struct replica *r, uint64_t above)
{
    uint16_t chance;
    random_from_system(&chance, sizeof chance);
    uint64_t drawn = (uint64_t)loop_wall_ms(r->loop) << 16 | chance;
    return drawn > above ? drawn : above + 1 + chance;
}

bool forming_save_identity(struct replica *r, bool is_rejoining)
{
    if (!memory_is_journaled(r->memory))
        return true;
    const struct formation_claim *own = &r->formation.own;
    struct memory_identity identity = {
        .self_id = r->self_id,
        .incarnation = own_incarnation(r),
        .epoch = own->epoch,
        .seed = own->seed,
        .is_rejoining = is_rejoining,
        .member_count = r->member_count,
    };
    for (int i = 0; i < r->member_count; i++) {
        identity.ids[i] = r->members[i].id;
        identity.incarnations[i] = r->formation.members[i].incarnation;
    }
    memcpy(identity.hash_secret, own->secret, sizeof identity.hash_secret);
    return memory_set_identity(r->memory, &identity) == STATUS_OK;
}

/* --- the order's beginnings ----------------------------------------------- */

static void adopt_secret(struct replica *r)
{
    for (int db = 0; db < keyspace_database_count(r->keyspace); db++)
        if (keyspace_size(r->keyspace, db) > 0)
            return;
    keyspace_set_hash_secret(r->keyspace, (const unsigned char *)r->formation.own.secret);
}

static void drop_data(struct replica *r)
{
    if (!r->formation.is_data_void)
        return;
    log_warning("replica", "the data here (up to position %" PRIu64 ") is not of the epoch in force: it is dropped, "
                           "the peers' is fetched", r->apply.position);
    keyspace_flush(r->keyspace, -1, false);
    r->apply.position = 0;
    formation_at(&r->formation, 0);
    r->formation.is_data_void = false;
}

static void drop_order(struct replica *r)
{
    proposer_abandon(&r->proposer);
    if (r->order)
        rabia_free(r->order);
    r->order = NULL;
    memory_save_stop(r->memory);
    divergence_init(&r->divergence, r->member_count, r->self);
    divergence_pass(&r->divergence, r->apply.position / 16);
}

/* At cursor, an export; or, if that is empty, at the options' first lap. */
static void create_order(struct replica *r, struct slice cursor)
{
    r->order_options.cluster_seed = r->apply.seed = r->formation.own.seed;
    r->order = rabia_restore(&r->order_options, cursor, replica_now(r));
    CHECK(r->order);
    r->order_seed = r->formation.own.seed;
    r->order_deadline_us = replica_now(r);
    r->newest_seq = r->told_seq = 0;
    memory_new_core(r->memory, r->order_seed);
}

/* Links that are up already came up before there was an order. */
static void tell_links(struct replica *r)
{
    for (int i = 0; i < r->member_count; i++) {
        if (i == r->self || r->links[i].state != LINK_UP)
            continue;
        struct rabia_event event = ordering_event(r, RABIA_EVENT_LINK_UP);
        event.peer = (uint8_t)i;
        ordering_step(r, &event);
    }
}

/* The others drop what they have on hearing that this member has formed the epoch: by then its data
 * is on disk as the epoch's, or it falls silent. */
static bool keep_epoch(struct replica *r)
{
    if (!memory_is_journaled(r->memory))
        return true;
    if (replica_save(r, false) == STATUS_OK)
        return forming_save_identity(r, false);
    memory_give_up(r->memory);
    return false;
}

/* Who was given up is told so when it comes back. */
static void keep_forced_members(struct replica *r)
{
    uint16_t mask = r->formation.forced_mask;
    r->formation.forced_mask = 0;
    if (!mask)
        return;
    roster_keep(&r->roster, mask);
    membership_renumber(r);
    r->is_roster_dirty = true;
    log_warning("replica", "by RABIA RECOVER FORCE the members are \"%s\" from now on; the others were given up",
                r->members_text);
}

/* A new epoch: a fresh order behind everything the base has applied.  Who does not hold the base's
 * data begins before it, and so fetches it.
 *
 * Wherever this process ends, the next one finds itself without memory, with whole data of one epoch or
 * the other: snapshot and journal say whose they are, and what is of another epoch than the snapshot is
 * passed by.  Who fetches keeps what it has on disk until that has come. */
static void begin_epoch(struct replica *r)
{
    uint64_t first_lap = r->formation.future_position / 16 + 1;
    bool is_new = r->formation.future_position == 0;
    /* Until the new epoch's snapshot is there, what lies on disk is the old one's. */
    if (memory_mark_rejoining(r->memory) != STATUS_OK)
        return;
    if (transfer_give_up(r) && r->formation.base != r->self)
        r->formation.is_data_void = true;
    bool is_void = r->formation.is_data_void;
    drop_data(r);
    drop_order(r);
    keep_forced_members(r);
    adopt_secret(r);
    r->order_options.first_lap = is_void ? FIRST_LAP : first_lap;
    create_order(r, slice_make(NULL, 0));
    r->order_options.first_lap = FIRST_LAP;
    struct rabia_speak_options how = {.may_have_lost_tail = false};
    rabia_speak(r->order, &how, replica_now(r), (uint64_t)loop_wall_ms(r->loop), &r->out);
    ordering_honour(r);
    if (!is_void && !keep_epoch(r))
        return;
    if (is_new)
        log_notice("replica", "all %d members are there: the cluster is formed, this is member %u",
                   __builtin_popcount(r->formation.voters), r->self_id);
    else if (r->formation.base_epoch == 0)
        log_notice("replica", "the cluster is formed with the restored data of member %u, position %" PRIu64,
                   r->members[r->formation.base].id, r->formation.future_position);
    else
        log_warning("replica",
                    "recovered in epoch %" PRIu64 " with the data of member %u, position %" PRIu64
                    ": too few members had their memory, so what was written in the last moments may be lost",
                    r->formation.own.epoch, r->members[r->formation.base].id, r->formation.future_position);
    tell_links(r);
    /* Until it has the base's data it serves nobody. */
    if (is_void)
        transfer_want(r);
}

/* Without memory: silent until everything this member may have said lies
 * behind. */
static void begin_rejoin(struct replica *r)
{
    log_notice("replica", "member %u is without memory of what it said: rejoining", r->self_id);
    if (!forming_save_identity(r, true))
        return;
    if (transfer_give_up(r))
        r->formation.is_data_void = true;
    /* What was applied is agreed and stays; what was said is not known whole. */
    unsigned char bytes[RABIA_EXPORT_BYTES];
    struct slice cursor = {NULL, 0};
    if (r->order && r->order_seed == r->formation.own.seed && !r->formation.is_data_void)
        cursor = slice_make(bytes, rabia_export(r->order, bytes));
    else
        drop_data(r);
    drop_order(r);
    adopt_secret(r);
    create_order(r, cursor);
    r->is_order_rejoining = true;
    rabia_rejoin(r->order, replica_now(r), (uint64_t)loop_wall_ms(r->loop), &r->out);
    ordering_honour(r);
    tell_links(r);
    /* By a list that changed since the first lap the old laps cannot be judged: the data comes whole. */
    if (cursor.len == 0 && r->roster.version > 0)
        transfer_want(r);
}

static void become_new(struct replica *r)
{
    uint64_t greatest = own_incarnation(r) > r->superseded_by ? own_incarnation(r) : r->superseded_by;
    log_warning("replica", greatest == own_incarnation(r)
                               ? "a later epoch is in force than this member's: it goes on without memory"
                               : "a later process of this member has run: what is here is a stale copy, and it goes "
                                 "on without memory");
    for (int i = 0; i < r->member_count; i++)
        if (i != r->self && r->links[i].state == LINK_UP)
            link_break(&r->links[i], "to introduce itself anew");
    proposer_abandon(&r->proposer);
    r->is_order_rejoining = false;
    formation_reincarnate(&r->formation, forming_draw_incarnation(r, greatest));
}

void forming_act(struct replica *r)
{
    const struct formation_claim *own = &r->formation.own;
    if (r->formation.is_superseded)
        become_new(r);
    refresh_identity(r);
    if (own->stage == FORMATION_REJOINING && !r->is_order_rejoining)
        begin_rejoin(r);
    else if (own->stage == FORMATION_FORMED && own->seed != r->order_seed)
        begin_epoch(r);
    forming_say_claim(r);
}

bool forming_meet(struct replica *r, uint8_t peer, uint64_t incarnation)
{
    switch (formation_meet(&r->formation, peer, incarnation)) {
    case MEETING_KNOWN: break;
    case MEETING_OUTDATED: return false;
    case MEETING_SUCCESSOR:
        log_notice("replica", "member %u came back as a new process without memory", r->members[peer].id);
        if (r->links[peer].state == LINK_UP)
            link_break(&r->links[peer], "its process was replaced");
        r->to_forget |= (uint16_t)(1u << peer);
        break;
    }
    refresh_identity(r);
    return true;
}

/* --- a cluster from nothing ---------------------------------------------------- */

void forming_meet_elder(struct replica *r, uint64_t id)
{
    r->elder_us = replica_now(r);
    r->elder_id = (uint16_t)id;
    if (r->formation.own.epoch == 0)
        (void)formation_hold_new(&r->formation, true);
}

bool forming_is_founder(const struct replica *r)
{
    return r->formation.own.stage == FORMATION_FORMED && r->roster.version == 0 && r->member_count == 1;
}

bool forming_knows_elder(const struct replica *r)
{
    return r->elder_us != 0 && replica_now(r) < r->elder_us + ELDER_US;
}

void forming_cron(struct replica *r)
{
    if (!r->formation.is_new_held || replica_now(r) < r->begun_us + NEW_AFTER_US || forming_knows_elder(r))
        return;
    if (formation_hold_new(&r->formation, false))
        forming_act(r);
}

/* --- by force ---------------------------------------------------------------- */

static const char *refusal_of_force(const struct replica *r)
{
    if (r->is_lone || r->self_id == 0)
        return "ERR this server has no place in a cluster: there is nothing to recover";
    if (r->is_loading || r->is_joining)
        return "ERR this server does not know its cluster yet";
    if (r->is_removed || r->is_diverged || memory_error(r->memory))
        return "ERR this server has stopped, no cluster may go on with it";
    if (!(r->formation.voters >> r->self & 1))
        return "ERR this server has no voice: say it to a member";
    return NULL;
}

/* "1@host:port 3@...": members in mask. */
static void list_members(const struct replica *r, uint16_t mask, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < r->member_count; i++) {
        char address[ROSTER_ADDRESS_MAX];
        roster_print_address(r->members[i].host, r->members[i].port, address);
        if ((mask >> i & 1) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%u@%s", used ? " " : "", r->members[i].id, address);
    }
}

bool replica_recover_force(struct replica *r, char *text, size_t size)
{
    const char *refusal = refusal_of_force(r);
    char kept[256], given_up[256];
    uint16_t here = 0;
    if (refusal) {
        snprintf(text, size, "%s", refusal);
        return false;
    }
    for (int i = 0; i < r->member_count; i++)
        if ((r->formation.voters >> i & 1) && (i == r->self || (r->formation.members[i].is_heard && peers_is_heard(r, i))))
            here |= (uint16_t)(1u << i);
    if (here == r->formation.voters) {
        snprintf(text, size, "ERR all members are here: they need no force");
        return false;
    }
    if (!formation_force(&r->formation, here, (uint64_t)loop_wall_ms(r->loop))) {
        snprintf(text, size, "ERR a quorum of the members is here with its memory: there is nothing to recover");
        return false;
    }
    list_members(r, here, kept, sizeof kept);
    list_members(r, r->formation.voters & (uint16_t)~here, given_up, sizeof given_up);
    snprintf(text, size,
             "recovering with %s alone, on the newest data among them. Given up for good: %s. Lost is whatever only "
             "those had: writes that were acknowledged, too. Should they still serve anywhere, stop them: there are two "
             "clusters from now on",
             kept, given_up);
    log_warning("replica", "RABIA RECOVER FORCE: %s", text);
    forming_act(r);
    loop_again(r->loop);
    return true;
}

/* --- what the order says of itself ---------------------------------------- */

static void end_rejoin(struct replica *r)
{
    if (!forming_save_identity(r, false))
        return;
    r->is_order_rejoining = false;
    r->must_save_to_end_rejoin = false;
    if (formation_rejoined(&r->formation)) {
        log_notice("replica", "member %u has rejoined at lap %" PRIu64, r->self_id,
                   rabia_frontier(r->order));
        forming_say_claim(r);
    }
}

void forming_saved(struct replica *r)
{
    if (r->must_save_to_end_rejoin)
        end_rejoin(r);
    else if (memory_identity(r->memory)->is_rejoining && r->formation.own.stage == FORMATION_FORMED)
        (void)forming_save_identity(r, false); /* the gap a transfer left in the journal is behind a snapshot */
}

void forming_honour(struct replica *r)
{
    if (r->out.snapshot_from_lap != RABIA_NO_LAP)
        transfer_want(r);
    if (r->out.was_removed)
        r->is_roster_dirty = true;
    if (!r->out.has_rejoined || r->must_save_to_end_rejoin)
        return;
    if (!memory_is_journaled(r->memory)) {
        end_rejoin(r);
        return;
    }
    /* The journal alone cannot restore what a snapshot from a peer brought. */
    r->must_save_to_end_rejoin = true;
    r->wants_save = true;
}
