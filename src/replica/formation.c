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
    f->voters = (uint16_t)((1u << member_count) - 1);
    f->members[self].incarnation = incarnation;
    f->members[self].is_heard = true;
}

void formation_set_members(struct formation *f, uint8_t member_count, uint16_t voters, uint64_t roster)
{
    CHECK(member_count > f->self);
    CHECK(member_count <= RABIA_MEMBERS_MAX);
    f->member_count = member_count;
    f->voters = voters;
    f->own.roster = roster;
}

/* --- what is known of the members ----------------------------------------- */

static const struct formation_claim *claim_of(const struct formation *f, uint8_t member)
{
    return member == f->self ? &f->own : &f->members[member].claim;
}

static bool is_voter(const struct formation *f, uint8_t member)
{
    return f->voters >> member & 1;
}

static bool all_heard(const struct formation *f)
{
    for (uint8_t i = 0; i < f->member_count; i++)
        if (is_voter(f, i) && (!f->members[i].is_heard || f->members[i].incarnation == 0))
            return false;
    return f->voters != 0;
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

static bool quorum_remembers(const struct formation *f)
{
    int count = 0;
    for (uint8_t i = 0; i < f->member_count; i++)
        count += is_voter(f, i) && remembers(f, i);
    return count > __builtin_popcount(f->voters) / 2;
}

static bool is_ahead(const struct formation_claim *a, const struct formation_claim *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->position > b->position;
}

static uint8_t find_base(const struct formation *f)
{
    uint8_t base = (uint8_t)__builtin_ctz(f->voters);
    for (uint8_t i = base; i < f->member_count; i++)
        if (is_voter(f, i) && is_ahead(claim_of(f, i), claim_of(f, base)))
            base = i;
    return base;
}

/* Never 0. */
static uint64_t name_of_future(const struct formation *f, uint64_t epoch, uint8_t base)
{
    uint64_t words[RABIA_MEMBERS_MAX + 5] = {0};
    for (uint8_t i = 0; i < f->member_count; i++)
        words[i] = is_voter(f, i) ? f->members[i].incarnation : 0;
    words[RABIA_MEMBERS_MAX] = epoch;
    words[RABIA_MEMBERS_MAX + 1] = base;
    words[RABIA_MEMBERS_MAX + 2] = claim_of(f, base)->epoch;
    words[RABIA_MEMBERS_MAX + 3] = claim_of(f, base)->position;
    words[RABIA_MEMBERS_MAX + 4] = f->own.roster;
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
    f->own.future = name_of_future(f, f->future_epoch, f->base);
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
    int with_memory = 0;
    for (uint8_t i = 0; i < f->member_count; i++) {
        const struct formation_claim *claim = claim_of(f, i);
        if (!is_voter(f, i))
            continue;
        if (claim->stage != FORMATION_READY || claim->future != f->own.future)
            return false;
        with_memory += claim->has_memory && claim->epoch + 1 == f->future_epoch;
    }
    return with_memory <= __builtin_popcount(f->voters) / 2;
}

/* The base is the first to form: whoever else has, knows that the data are safe in
 * the new epoch. */
static bool future_has_come(const struct formation *f)
{
    return is_formed_by_another(f, f->own.future) || (f->base == f->self && all_are_ready(f));
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
           a->secret[1] == b->secret[1] && a->roster == b->roster;
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
    else if (is_voter(f, f->self) && all_heard(f) && !quorum_remembers(f))
        become_ready(f);
    else if (f->own.stage == FORMATION_READY && quorum_remembers(f))
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

bool formation_hear(struct formation *f, uint8_t peer, const struct formation_claim *claim)
{
    CHECK(peer < f->member_count);
    CHECK(peer != f->self);
    f->members[peer].claim = *claim;
    f->members[peer].is_heard = true;
    return advance(f);
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
    f->own.future = 0;
    f->was_formed = f->was_rejoining = false;
    f->is_superseded = false;
    advance(f);
}

void formation_at(struct formation *f, uint64_t position)
{
    CHECK(f->own.stage != FORMATION_READY);
    f->own.position = position;
}
