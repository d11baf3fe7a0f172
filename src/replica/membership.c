/* Who belongs to the cluster, put into effect (roster.h says how it changes):
 * which links there are, who counts, who may only listen, who is to be given a
 * voice, and what becomes of those that were removed.
 *
 * A change is applied at its place in the order (membership_change): the roster
 * and the core's lists follow at once, links and counts when the pass ends
 * (membership_settle), outside the core's step. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "replica/replica_private.h"

enum {
    VOICE_AGAIN_US = 1000 * 1000,   /* a voice that was not given is proposed again after this */
    NOTE_FRONTIER_US = 100 * 1000,
    LEAVING_US = 5 * 1000 * 1000,   /* a removed member is told for this long */
};

/* --- the state in a snapshot ------------------------------------------------ *
 *
 *   epoch u64, seed u64, core length u32, export of the core, roster length u32, roster (roster.h)
 *
 * little-endian. */

static unsigned char *put(unsigned char *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (unsigned char)(value >> (8 * i));
    return at + size;
}

size_t membership_write_state(const struct replica *r, unsigned char bytes[static REPLICA_STATE_BYTES_MAX])
{
    unsigned char *at = put(put(bytes, r->formation.own.epoch, 8), r->order_seed, 8), *core = at + 4;
    size_t core_size = rabia_export(r->order, core);
    put(at, core_size, 4);
    at = core + core_size;
    size_t roster_size = roster_encode(&r->roster, at + 4);
    put(at, roster_size, 4);
    return (size_t)(at - bytes) + 4 + roster_size;
}

static bool take(struct slice *from, uint64_t *value, size_t size)
{
    *value = 0;
    if (from->len < size)
        return false;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)(unsigned char)from->ptr[i] << (8 * i);
    *from = slice_make(from->ptr + size, from->len - size);
    return true;
}

static bool take_part(struct slice *from, struct slice *part)
{
    uint64_t length;
    if (!take(from, &length, 4) || length > from->len)
        return false;
    *part = slice_make(from->ptr, length);
    *from = slice_make(from->ptr + length, from->len - length);
    return true;
}

bool membership_read_state(struct slice bytes, struct snapshot_state *state)
{
    struct slice roster;
    return take(&bytes, &state->epoch, 8) && take(&bytes, &state->seed, 8) && state->seed != 0 &&
           take_part(&bytes, &state->core) && take_part(&bytes, &roster) && bytes.len == 0 &&
           roster_decode(roster, &state->roster);
}

/* --- the first list ----------------------------------------------------------- */

void membership_begin(struct replica *r, const struct replica_member *members, int count, uint16_t self_id)
{
    CHECK(count <= RABIA_MEMBERS_MAX);
    r->roster = (struct roster){0};
    for (int i = 0; i < count; i++) {
        struct roster_entry *entry = &r->roster.entries[i];
        *entry = (struct roster_entry){.state = ROSTER_MEMBER, .id = members[i].id, .port = members[i].port};
        CHECK(strlen(members[i].host) < sizeof entry->host);
        memcpy(entry->host, members[i].host, strlen(members[i].host) + 1);
        if (i > 0)
            CHECK(members[i].id > members[i - 1].id);
    }
    r->self_id = self_id;
    r->is_joining = count == 0;
    membership_renumber(r);
}

static char *text_of_members(const struct replica *r)
{
    struct buf text;
    buf_init(&text);
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++) {
        const struct roster_entry *entry = &r->roster.entries[i];
        char address[ROSTER_ADDRESS_MAX];
        roster_print_address(entry->host, entry->port, address);
        if (entry->state == ROSTER_MEMBER)
            buf_printf(&text, "%s%u@%s", buf_size(&text) ? " " : "", entry->id, address);
    }
    buf_append(&text, "", 1);
    char *copy = mem_strdup(buf_head(&text));
    buf_deinit(&text);
    return copy;
}

void membership_renumber(struct replica *r)
{
    int self = roster_find(&r->roster, r->self_id);
    CHECK(self >= 0 || r->is_joining);
    r->self = self >= 0 ? (uint8_t)self : 0;
    uint8_t width = roster_width(&r->roster);
    r->member_count = width > r->self ? width : (uint8_t)(r->self + 1);
    for (int i = 0; i < r->member_count; i++) {
        const struct roster_entry *entry = &r->roster.entries[i];
        r->members[i] = (struct replica_member){.id = entry->id, .host = entry->host, .port = entry->port};
    }
    if (r->is_joining)
        r->members[r->self].id = r->self_id;
    r->order_options.self = r->self;
    r->order_options.members = roster_mask(&r->roster, ROSTER_MEMBER);
    r->order_options.learners = roster_mask(&r->roster, ROSTER_LEARNER) & (uint16_t)~(1u << r->self);
    r->identity.sender = r->self_id;
    r->identity.member_count = r->member_count;
    mem_free(r->members_text);
    r->members_text = text_of_members(r);
}

/* --- who counts ---------------------------------------------------------------- */

uint16_t membership_voters(const struct replica *r)
{
    return r->order ? rabia_lists(r->order).members : roster_mask(&r->roster, ROSTER_MEMBER);
}

bool membership_has_voice(const struct replica *r)
{
    return membership_voters(r) >> r->self & 1;
}

static int heard_of(const struct replica *r, uint16_t mask)
{
    int count = 0;
    for (int i = 0; i < r->member_count; i++)
        count += (mask >> i & 1) && peers_is_heard(r, i);
    return count;
}

bool membership_hears_quorum(const struct replica *r, uint16_t mask)
{
    return heard_of(r, mask) > __builtin_popcount(mask) / 2;
}

/* In force nowhere here: neither in the list of the frontier nor in the one to come. */
static bool is_out_of_force(const struct replica *r, int index)
{
    if (r->roster.entries[index].state != ROSTER_REMOVED)
        return false;
    if (!r->order)
        return true;
    struct rabia_lists lists = rabia_lists(r->order);
    return !((lists.members | lists.pending) >> index & 1);
}

bool membership_is_gone(const struct replica *r, uint64_t id)
{
    int index = roster_find(&r->roster, id);
    return index >= 0 && is_out_of_force(r, index);
}

/* --- a change, at its place in the order ----------------------------------------- */

static void log_change(const struct replica *r, const struct roster_change *change)
{
    static const char *const verbs[] = {
        [ROSTER_ADD] = "learns, to become a member",
        [ROSTER_REMOVE] = "is removed",
        [ROSTER_REPLACE] = "learns, to take the place of another",
        [ROSTER_MOVE] = "has a new address",
        [ROSTER_VOICE] = "is given its voice",
    };
    if (!r->is_loading)
        log_notice("replica", "membership: %u %s (change %" PRIu64 ")", change->id, verbs[change->verb],
                   r->roster.version);
}

void membership_change(void *context, struct call *call, uint64_t lap)
{
    struct replica *r = context;
    struct roster_change change;
    struct roster next;
    char reason[ROSTER_REASON_MAX];
    if (!roster_read_change(call->argc, call->argv, &change, reason) ||
        !roster_apply(&r->roster, &change, call->position, &next, reason)) {
        reply_error(call->reply, reason);
        return;
    }
    uint16_t voters = roster_mask(&next, ROSTER_MEMBER);
    if (voters != roster_mask(&r->roster, ROSTER_MEMBER) &&
        rabia_change_members(r->order, lap, voters) == RABIA_NO_LAP) {
        reply_error(call->reply, "ERR a change of the members is under way; try again in a moment");
        return;
    }
    r->roster = next;
    r->is_roster_dirty = true;
    log_change(r, &change);
    reply_simple(call->reply, "OK");
}

/* Before it is proposed: what only this replica can know. */
const char *replica_refusal_of_change(struct replica *r, int argc, const struct slice *argv)
{
    struct roster_change change;
    if (r->is_lone || r->self_id == 0)
        return "ERR this server has no place in a cluster: start it with cluster-self and cluster-members, be it a "
               "cluster of one (--restore brings its data along)";
    if (!roster_read_change(argc, argv, &change, r->change_refusal))
        return r->change_refusal;
    if (change.verb == ROSTER_VOICE)
        return "ERR the cluster gives a learner its voice when it has caught up";
    int index = roster_find(&r->roster, change.id);
    if (change.verb != ROSTER_REMOVE || index < 0 || r->roster.entries[index].state != ROSTER_MEMBER)
        return NULL;
    uint16_t rest = roster_mask(&r->roster, ROSTER_MEMBER) & (uint16_t)~(1u << index);
    if (rest == 0 || membership_hears_quorum(r, rest))
        return NULL;
    snprintf(r->change_refusal, sizeof r->change_refusal,
             "ERR without %u the quorum would be lost: of the other %d members %d are heard of, need %d", change.id,
             __builtin_popcount(rest), heard_of(r, rest), __builtin_popcount(rest) / 2 + 1);
    return r->change_refusal;
}

/* --- links ------------------------------------------------------------------------ */

static bool has_link(const struct replica *r, int i)
{
    return r->links[i].loop != NULL;
}

static void open_link(struct replica *r, uint8_t i)
{
    struct roster_entry *linked = &r->linked[i];
    *linked = r->roster.entries[i];
    struct replica_member member = {.id = linked->id, .host = linked->host, .port = linked->port};
    link_init(&r->links[i], r->loop, &r->identity, &peers_link_events, r, i, &member, r->self > i);
}

static void close_link(struct replica *r, uint8_t i)
{
    if (!has_link(r, i))
        return;
    bool was_up = r->links[i].state == LINK_UP;
    sending_stop(r, i);
    transfer_lost(r, i);
    frame_assembly_reset(&r->assemblies[i]);
    link_deinit(&r->links[i]);
    r->links[i] = (struct link){.state = LINK_DOWN};
    r->leaving_since_us[i] = 0;
    (void)formation_lose(&r->formation, i);
    if (was_up && r->order) {
        struct rabia_event event = ordering_event(r, RABIA_EVENT_LINK_DOWN);
        event.peer = i;
        ordering_step(r, &event);
    }
}

static void follow_address(struct replica *r, uint8_t i)
{
    const struct roster_entry *entry = &r->roster.entries[i];
    struct roster_entry *linked = &r->linked[i];
    if (linked->port == entry->port && strcmp(linked->host, entry->host) == 0)
        return;
    *linked = *entry;
    r->links[i].port = linked->port;
    link_break(&r->links[i], "its address changed");
}

static void sync_links(struct replica *r)
{
    for (uint8_t i = 0; i < r->member_count; i++) {
        enum roster_state state = r->roster.entries[i].state;
        bool is_there = state == ROSTER_MEMBER || state == ROSTER_LEARNER;
        bool is_voting_still = state == ROSTER_REMOVED && !is_out_of_force(r, i);
        if (i == r->self || r->is_removed)
            continue;
        if (!has_link(r, i) && (is_there || is_voting_still))
            open_link(r, i);
        else if (has_link(r, i))
            follow_address(r, i);
    }
}

void membership_close_links(struct replica *r)
{
    for (uint8_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (i != r->self)
            close_link(r, i);
}

/* --- putting it into effect ----------------------------------------------------------- */

/* Who hears everything without a voice: learners, and the removed until they know. */
static void tell_listeners(struct replica *r)
{
    uint16_t listeners = roster_mask(&r->roster, ROSTER_LEARNER);
    for (int i = 0; i < r->member_count; i++)
        if (r->roster.entries[i].state == ROSTER_REMOVED && has_link(r, i))
            listeners |= (uint16_t)(1u << i);
    listeners &= (uint16_t)~(1u << r->self);
    if (!ordering_may_step(r) || (listeners == r->told_listeners && r->told_order == r->order))
        return;
    r->told_listeners = listeners;
    r->told_order = r->order;
    struct rabia_event event = ordering_event(r, RABIA_EVENT_LEARNERS);
    event.members = listeners;
    ordering_step(r, &event);
}

void membership_leave(struct replica *r)
{
    if (r->is_removed)
        return;
    r->is_removed = true;
    log_warning("replica",
                "member %u was REMOVED from the cluster: it stops serving. Its data is left as it is; end this server "
                "when its clients have moved", r->self_id);
    proposer_abandon(&r->proposer);
    membership_close_links(r);
}

/* The roster names a new list as soon as it is decided; until that is in force the former one counts. */
static void settle_formation(struct replica *r)
{
    uint16_t members = r->is_joining ? 0 : roster_mask(&r->roster, ROSTER_MEMBER), pending = 0;
    if (r->order && !r->is_joining) {
        struct rabia_lists lists = rabia_lists(r->order);
        members = lists.members;
        pending = lists.pending;
    }
    formation_set_members(&r->formation, r->member_count, members, pending, r->roster.version);
}

void membership_settle(struct replica *r)
{
    bool is_dirty = r->is_roster_dirty;
    if (is_dirty) {
        r->is_roster_dirty = false;
        membership_renumber(r);
    }
    settle_formation(r);
    if (is_dirty) {
        if (!r->is_joining)
            sync_links(r);
        forming_say_claim(r);
    }
    divergence_set_voters(&r->divergence, membership_voters(r));
    if (!r->is_removed)
        tell_listeners(r);
}

bool membership_adopt(struct replica *r, const struct roster *roster)
{
    int self = roster_find(roster, r->self_id);
    CHECK(self >= 0);
    CHECK(r->formation.own.stage == FORMATION_GATHERING || r->formation.own.stage == FORMATION_READY);
    uint64_t incarnation = own_incarnation(r);
    membership_close_links(r);
    log_notice("replica", "the list of members is known: this is %u, %s", r->self_id,
               roster->entries[self].state == ROSTER_LEARNER ? "a learner" : "a member");
    r->is_joining = false;
    r->roster = *roster;
    membership_renumber(r);
    struct formation_claim own = r->formation.own;
    own.stage = FORMATION_GATHERING;
    own.has_memory = false;
    own.future = 0;
    formation_init(&r->formation, r->member_count, r->self, incarnation, &own);
    divergence_init(&r->divergence, r->member_count, r->self);
    r->is_roster_dirty = true;
    membership_settle(r);
    loop_again(r->loop);
    return true;
}

/* --- the passing of time ---------------------------------------------------------------- */

/* Frontiers are announced ten times a second, and tens of thousands of laps may go by in one: who
 * has come where we were a moment ago keeps up, how many laps that moment may have. */
static void note_frontier(struct replica *r)
{
    enum { KEPT = sizeof r->frontiers_before / sizeof *r->frontiers_before };
    uint64_t now = replica_now(r);
    if (now < r->frontier_noted_us + NOTE_FRONTIER_US)
        return;
    r->frontier_noted_us = now;
    memmove(r->frontiers_before + 1, r->frontiers_before, (KEPT - 1) * sizeof *r->frontiers_before);
    r->frontiers_before[0] = rabia_frontier(r->order);
}

static bool is_near(const struct replica *r, uint8_t i)
{
    enum { KEPT = sizeof r->frontiers_before / sizeof *r->frontiers_before };
    uint64_t theirs = rabia_frontier_of(r->order, i), before = r->frontiers_before[KEPT - 1];
    bool keeps_up = theirs + RABIA_AHEAD >= rabia_frontier(r->order) || (before > 0 && theirs >= before);
    return keeps_up && peers_is_heard(r, i) && r->formation.members[i].claim.stage == FORMATION_FORMED;
}

/* One member speaks for all: the first that is heard of. */
static bool is_first_heard(const struct replica *r)
{
    uint16_t voters = membership_voters(r);
    for (int i = 0; i < r->self; i++)
        if ((voters >> i & 1) && peers_is_heard(r, i))
            return false;
    return true;
}

static void propose_voice(struct replica *r, const struct roster_change *change)
{
    char id[16];
    snprintf(id, sizeof id, "%u", change->id);
    struct slice argv[] = {SLICE_LITERAL("RABIA"), SLICE_LITERAL("VOICE"), slice_from(id)};
    r->voice_again_us = replica_now(r) + VOICE_AGAIN_US;
    proposer_add(&r->proposer, &r->silent, NULL, true, false, 0, 3, argv, replica_now(r));
    loop_again(r->loop);
}

/* A voice is given only if the quorum it makes is there. */
static bool may_have_voice(const struct replica *r, const struct roster_change *change)
{
    struct roster next;
    char reason[ROSTER_REASON_MAX];
    return roster_apply(&r->roster, change, 0, &next, reason) &&
           membership_hears_quorum(r, roster_mask(&next, ROSTER_MEMBER));
}

static void give_voices(struct replica *r)
{
    uint16_t learners = roster_mask(&r->roster, ROSTER_LEARNER);
    if (r->order)
        note_frontier(r);
    if (learners == 0 || status_of(r) != REPLICA_UP || replica_now(r) < r->voice_again_us || !is_first_heard(r))
        return;
    struct rabia_lists lists = rabia_lists(r->order);
    if (lists.pending != 0)
        return;
    for (uint8_t i = 0; i < r->member_count; i++) {
        struct roster_change change = {.verb = ROSTER_VOICE, .id = r->roster.entries[i].id};
        if ((learners >> i & 1) && i != r->self && is_near(r, i) && may_have_voice(r, &change)) {
            propose_voice(r, &change);
            return;
        }
    }
}

/* The removed are told as long as they may not know, then left alone. */
static void see_off(struct replica *r, uint8_t i)
{
    uint64_t now = replica_now(r);
    if (r->leaving_since_us[i] == 0)
        r->leaving_since_us[i] = now;
    bool knows = r->order && rabia_frontier_of(r->order, i) >= rabia_lists(r->order).members_from;
    if (!knows && r->links[i].state == LINK_UP && now < r->leaving_since_us[i] + LEAVING_US)
        return;
    log_notice("replica", "the link to the removed member %u is closed", r->members[i].id);
    close_link(r, i);
}

void membership_cron(struct replica *r)
{
    if (r->is_removed || r->is_joining || r->is_roster_dirty)
        return;
    if (r->was_told_removed) {
        membership_leave(r);
        return;
    }
    bool is_ours_to_say = r->formation.own.stage == FORMATION_FORMED && !r->is_installing;
    if (is_ours_to_say && is_out_of_force(r, r->self)) {
        membership_leave(r);
        return;
    }
    for (uint8_t i = 0; i < r->member_count; i++)
        if (i != r->self && has_link(r, i) && is_out_of_force(r, i))
            see_off(r, i);
    give_voices(r);
}
