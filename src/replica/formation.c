#include "replica/formation.h"

#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/random.h"

void formation_init(struct formation *f, uint8_t member_count, uint8_t self, uint64_t incarnation,
                    const struct formation_claim *own)
{
    CHECK(member_count > 0);
    CHECK(member_count <= RABIA_MEMBERS_MAX);
    CHECK(self < member_count);
    CHECK(incarnation != 0);
    CHECK(own->stage == FORMATION_GATHERING || (own->stage == FORMATION_FORMED && own->has_memory));
    *f = (struct formation){.member_count = member_count, .self = self, .own = *own};
    f->voters = f->lists[0] = (uint16_t)((1u << member_count) - 1);
    f->members[self].incarnation = incarnation;
    f->members[self].is_heard = true;
}

void formation_set_members(struct formation *f, uint8_t member_count, uint16_t members, uint16_t pending,
                           uint64_t roster)
{
    CHECK(member_count > f->self);
    CHECK(member_count <= RABIA_MEMBERS_MAX);
    f->member_count = member_count;
    f->lists[0] = members;
    f->lists[1] = pending;
    f->voters = members | pending;
    f->own.roster = roster;
}

/* --- what is known of the members ----------------------------------------- */

static const struct formation_claim *claim_of(const struct formation *f, uint8_t member)
{
    return member == f->self ? &f->own : &f->members[member].claim;
}

static uint16_t forced_to(uint64_t forced)
{
    return (uint16_t)forced;
}

static uint16_t voters_of(const struct formation *f)
{
    return f->own.forced ? f->voters & forced_to(f->own.forced) : f->voters;
}

static bool is_voter(const struct formation *f, uint8_t member)
{
    return voters_of(f) >> member & 1;
}

/* Its future is named by a newer list of members than ours. */
static bool knows_better(const struct formation *f, uint8_t member)
{
    const struct formation_claim *claim = claim_of(f, member);
    return member != f->self && f->members[member].is_heard && !f->own.forced && !claim->forced &&
           claim->stage == FORMATION_READY && claim->roster > f->own.roster;
}

static bool all_heard(const struct formation *f)
{
    for (uint8_t i = 0; i < f->member_count; i++)
        if (is_voter(f, i) && (!f->members[i].is_heard || f->members[i].incarnation == 0))
            return false;
    return voters_of(f) != 0;
}

static uint64_t newest_epoch(const struct formation *f)
{
    uint64_t epoch = 0;
    for (uint8_t i = 0; i < f->member_count; i++)
        if (is_voter(f, i) && f->members[i].is_heard && claim_of(f, i)->epoch > epoch)
            epoch = claim_of(f, i)->epoch;
    return epoch;
}

static uint64_t newest_seed(const struct formation *f)
{
    uint64_t epoch = newest_epoch(f);
    for (uint8_t i = 0; i < f->member_count; i++)
        if (is_voter(f, i) && f->members[i].is_heard && claim_of(f, i)->epoch == epoch)
            return claim_of(f, i)->seed;
    return 0;
}

/* Memory of an earlier epoch is none; who is READY for the newest epoch, which
 * somebody has formed already, is about to form it too. */
static bool remembers(const struct formation *f, uint8_t member)
{
    const struct formation_claim *claim = claim_of(f, member);
    if (!f->members[member].is_heard)
        return false;
    bool will_form = claim->stage == FORMATION_READY && claim->future == newest_seed(f);
    return will_form || (claim->has_memory && claim->epoch == newest_epoch(f));
}

/* Of each list there is. */
static bool is_quorum(const struct formation *f, unsigned members)
{
    for (int i = 0; i < 2; i++)
        if (__builtin_popcount(f->lists[i] & members) <= __builtin_popcount(f->lists[i]) / 2 && f->lists[i] != 0)
            return false;
    return f->voters != 0;
}

static bool quorum_remembers(const struct formation *f)
{
    unsigned members = 0;
    for (uint8_t i = 0; i < f->member_count; i++)
        members |= (unsigned)remembers(f, i) << i;
    return is_quorum(f, members);
}

static bool is_ahead(const struct formation_claim *a, const struct formation_claim *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->position > b->position;
}

static uint8_t find_base(const struct formation *f)
{
    uint8_t base = (uint8_t)__builtin_ctz(voters_of(f));
    for (uint8_t i = 0; i < f->member_count; i++)
        if ((is_voter(f, i) || knows_better(f, i)) && is_ahead(claim_of(f, i), claim_of(f, base)))
            base = i;
    return base;
}

/* Never 0. */
static uint64_t name_of_future(const struct formation *f, uint64_t epoch, uint8_t base)
{
    uint64_t words[RABIA_MEMBERS_MAX + 6] = {0};
    for (uint8_t i = 0; i < f->member_count; i++)
        words[i] = is_voter(f, i) ? f->members[i].incarnation : 0;
    words[RABIA_MEMBERS_MAX] = epoch;
    words[RABIA_MEMBERS_MAX + 1] = base;
    words[RABIA_MEMBERS_MAX + 2] = claim_of(f, base)->epoch;
    words[RABIA_MEMBERS_MAX + 3] = claim_of(f, base)->position;
    words[RABIA_MEMBERS_MAX + 4] = claim_of(f, base)->roster;
    words[RABIA_MEMBERS_MAX + 5] = f->own.forced;
    uint64_t name = XXH3_64bits(words, sizeof words);
    return name ? name : 1;
}

/* --- transitions ---------------------------------------------------------- */

static void become_ready(struct formation *f)
{
    if (f->own.stage != FORMATION_READY) {
        f->was_formed = f->own.stage == FORMATION_FORMED;
        f->was_rejoining = f->own.stage == FORMATION_REJOINING;
    }
    f->base = find_base(f);
    f->future_epoch = newest_epoch(f) + 1;
    f->base_epoch = claim_of(f, f->base)->epoch;
    f->future_position = claim_of(f, f->base)->position;
    f->own.stage = FORMATION_READY;
    f->own.future = knows_better(f, f->base) ? claim_of(f, f->base)->future
                                             : name_of_future(f, f->future_epoch, f->base);
}

static void go_back(struct formation *f)
{
    f->own.future = 0;
    f->own.stage = f->was_formed ? FORMATION_FORMED : f->was_rejoining ? FORMATION_REJOINING : FORMATION_GATHERING;
}

static void form(struct formation *f)
{
    CHECK(f->own.stage == FORMATION_READY);
    bool has_base_data = f->own.epoch == f->base_epoch && f->own.position == f->future_position;
    f->is_data_void |= f->base != f->self && !has_base_data;
    f->own.stage = FORMATION_FORMED;
    f->own.has_memory = true;
    /* What a new cluster hashes with is nobody's before; later it stays. */
    if (f->base_epoch == 0) {
        f->own.secret[0] = random_mix(f->own.future ^ 1);
        f->own.secret[1] = random_mix(f->own.future ^ 2);
    } else {
        memcpy(f->own.secret, claim_of(f, f->base)->secret, sizeof f->own.secret);
    }
    f->own.epoch = f->future_epoch;
    f->own.seed = f->own.future;
    f->own.future = 0;
    f->forced_mask = forced_to(f->own.forced);
    f->forced_done = f->own.forced > f->forced_done ? f->own.forced : f->forced_done;
    f->own.forced = 0;
}

static bool is_formed_by_another(const struct formation *f, uint64_t future)
{
    for (uint8_t i = 0; i < f->member_count; i++) {
        const struct formation_claim *claim = claim_of(f, i);
        if (i != f->self && claim->stage == FORMATION_FORMED && claim->seed == future)
            return true;
    }
    return false;
}

/* Whether everybody has said READY for our future, and by those very words fewer
 * than a quorum have memory: on the way there some may have come to know more than
 * they knew of each other. */
static bool all_are_ready(const struct formation *f)
{
    unsigned with_memory = 0;
    for (uint8_t i = 0; i < f->member_count; i++) {
        const struct formation_claim *claim = claim_of(f, i);
        if (!is_voter(f, i))
            continue;
        if (claim->stage != FORMATION_READY || claim->future != f->own.future)
            return false;
        with_memory |= (unsigned)(claim->has_memory && claim->epoch + 1 == f->future_epoch) << i;
    }
    return f->own.forced || !is_quorum(f, with_memory);
}

/* The base is the first to form: whoever else has, knows that the data are safe in
 * the new epoch. */
static bool future_has_come(const struct formation *f)
{
    bool is_from_nothing = f->base_epoch == 0 && f->future_position == 0;
    return is_formed_by_another(f, f->own.future) ||
           (f->base == f->self && all_are_ready(f) && !(is_from_nothing && f->is_new_held));
}

/* The formed member with the newest epoch, or NULL. */
static const struct formation_claim *formed_peer(const struct formation *f)
{
    const struct formation_claim *found = NULL;
    for (uint8_t i = 0; i < f->member_count; i++) {
        const struct formation_claim *claim = claim_of(f, i);
        if (i != f->self && is_voter(f, i) && f->members[i].is_heard && claim->stage == FORMATION_FORMED &&
            (!found || claim->epoch > found->epoch))
            found = claim;
    }
    return found;
}

static void rejoin(struct formation *f, const struct formation_claim *peer)
{
    if (f->own.epoch != peer->epoch || f->own.seed != peer->seed) {
        f->is_data_void |= f->own.position > 0;
        f->own.position = 0;
    }
    f->own.stage = FORMATION_REJOINING;
    f->own.has_memory = false;
    f->own.epoch = peer->epoch;
    f->own.seed = peer->seed;
    memcpy(f->own.secret, peer->secret, sizeof f->own.secret);
}

/* With data of that epoch the order itself tells of later changes. */
static bool knows_members(const struct formation *f, const struct formation_claim *peer)
{
    bool has_data = f->own.position > 0 && f->own.epoch == peer->epoch && f->own.seed == peer->seed;
    return has_data || f->own.roster >= peer->roster;
}

static bool is_same_claim(const struct formation_claim *a, const struct formation_claim *b)
{
    return a->stage == b->stage && a->has_memory == b->has_memory && a->epoch == b->epoch && a->seed == b->seed &&
           a->position == b->position && a->future == b->future && a->secret[0] == b->secret[0] &&
           a->secret[1] == b->secret[1] && a->roster == b->roster && a->forced == b->forced;
}

/* Where it forms nothing else changes: the driver begins the epoch first. */
static void look_around(struct formation *f)
{
    if (f->own.stage == FORMATION_READY && future_has_come(f)) {
        form(f);
        return;
    }
    const struct formation_claim *peer = formed_peer(f);
    bool is_in_order = f->own.stage == FORMATION_FORMED || f->own.stage == FORMATION_REJOINING;
    if (is_in_order && peer && peer->epoch > f->own.epoch)
        f->is_superseded = true;
    else if (is_voter(f, f->self) && all_heard(f) && (f->own.forced || !quorum_remembers(f)))
        become_ready(f);
    else if (f->own.stage == FORMATION_READY && !f->own.forced && quorum_remembers(f))
        go_back(f);
    if (f->own.stage == FORMATION_READY && future_has_come(f))
        form(f);
    /* Not back into an epoch older than that of our data. */
    if (f->own.stage == FORMATION_GATHERING && peer && peer->epoch >= f->own.epoch && knows_members(f, peer))
        rejoin(f, peer);
}

static bool advance(struct formation *f)
{
    struct formation_claim before = f->own;
    look_around(f);
    return f->is_superseded || !is_same_claim(&before, &f->own);
}

bool formation_hold_new(struct formation *f, bool is_held)
{
    f->is_new_held = is_held;
    return advance(f);
}

bool formation_begin(struct formation *f)
{
    return advance(f);
}

enum formation_meeting formation_meet(struct formation *f, uint8_t peer, uint64_t incarnation)
{
    CHECK(peer < f->member_count);
    CHECK(peer != f->self);
    CHECK(incarnation != 0);
    struct formation_member *member = &f->members[peer];
    if (incarnation < member->incarnation)
        return MEETING_OUTDATED;
    bool is_successor = member->incarnation != 0 && incarnation > member->incarnation;
    if (incarnation != member->incarnation)
        *member = (struct formation_member){.incarnation = incarnation};
    return is_successor ? MEETING_SUCCESSOR : MEETING_KNOWN;
}

/* The former force is what our claim may still be about; what was formed by it is over. */
static bool heed_force(struct formation *f, uint64_t forced)
{
    bool is_for_us = (f->voters & forced_to(forced)) >> f->self & 1;
    if (forced <= f->own.forced || forced <= f->forced_done || !is_for_us || quorum_remembers(f))
        return false;
    f->own.forced = forced;
    return true;
}

bool formation_hear(struct formation *f, uint8_t peer, const struct formation_claim *claim)
{
    CHECK(peer < f->member_count);
    CHECK(peer != f->self);
    f->members[peer].claim = *claim;
    f->members[peer].is_heard = true;
    bool has_heeded = heed_force(f, claim->forced);
    return advance(f) || has_heeded;
}

bool formation_force(struct formation *f, uint16_t mask, uint64_t now_ms)
{
    CHECK(mask >> f->self & 1);
    uint64_t forced = now_ms << 16, former = f->own.forced > f->forced_done ? f->own.forced : f->forced_done;
    if (forced <= former) /* a clock that was set back */
        forced = ((former >> 16) + 1) << 16;
    if (!heed_force(f, forced | mask))
        return false;
    (void)advance(f);
    return true;
}

/* What is READY stays so: its future may have been formed by somebody. */
bool formation_lose(struct formation *f, uint8_t peer)
{
    CHECK(peer != f->self);
    f->members[peer].is_heard = false;
    return false;
}

bool formation_rejoined(struct formation *f)
{
    if (f->own.stage != FORMATION_REJOINING)
        return false;
    f->own.stage = FORMATION_FORMED;
    f->own.has_memory = true;
    return true;
}

void formation_supersede(struct formation *f)
{
    f->is_superseded = true;
}

void formation_reincarnate(struct formation *f, uint64_t incarnation)
{
    CHECK(incarnation > f->members[f->self].incarnation);
    f->members[f->self].incarnation = incarnation;
    f->own.stage = FORMATION_GATHERING;
    f->own.has_memory = false;
    f->own.future = f->own.forced = 0;
    f->was_formed = f->was_rejoining = false;
    f->is_superseded = false;
    advance(f);
}

void formation_at(struct formation *f, uint64_t position)
{
    CHECK(f->own.stage != FORMATION_READY);
    f->own.position = position;
}
