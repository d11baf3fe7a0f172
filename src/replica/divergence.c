#include "replica/divergence.h"

#include "base/check.h"

void divergence_init(struct divergence *d, uint8_t member_count, uint8_t self)
{
    *d = (struct divergence){.voters = (uint16_t)((1u << member_count) - 1), .self = self};
}

void divergence_set_voters(struct divergence *d, uint16_t voters)
{
    d->voters = voters;
}

static uint32_t part_count_for(size_t key_count)
{
    uint32_t parts = 1;
    while (parts < DIVERGENCE_PARTS_MAX && (size_t)parts * DIVERGENCE_KEYS < key_count)
        parts *= 2;
    return parts;
}

void divergence_pass(struct divergence *d, uint64_t lap)
{
    d->newest_boundary = lap / DIVERGENCE_LAPS * DIVERGENCE_LAPS;
}

bool divergence_is_due(struct divergence *d, uint64_t lap, size_t key_count, struct frame_digest *due)
{
    uint64_t boundary = lap / DIVERGENCE_LAPS * DIVERGENCE_LAPS;
    if (boundary <= d->newest_boundary)
        return false;
    d->newest_boundary = boundary;
    due->boundary = boundary;
    due->part_count = part_count_for(key_count);
    due->part = (uint32_t)(boundary / DIVERGENCE_LAPS) & (due->part_count - 1);
    return true;
}

static bool same_digest(const struct frame_digest *a, const struct frame_digest *b)
{
    return a->part == b->part && a->part_count == b->part_count && a->digest.low == b->digest.low &&
           a->digest.high == b->digest.high;
}

static int members_that_agree_with(const struct divergence *d, const struct divergence_entry *entry, int member)
{
    int count = 0;
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++)
        count += ((entry->known & d->voters) >> i & 1) && same_digest(&entry->digests[i], &entry->digests[member]);
    return count;
}

static enum divergence_verdict verdict_on(const struct divergence *d, const struct divergence_entry *entry,
                                          int member)
{
    int quorum = __builtin_popcount(d->voters) / 2 + 1;
    if (members_that_agree_with(d, entry, d->self) >= quorum)
        return DIVERGENCE_OTHER;
    if (members_that_agree_with(d, entry, member) >= quorum)
        return DIVERGENCE_SELF;
    return DIVERGENCE_UNDECIDED;
}

/* Compares our digest with every other known one. */
static enum divergence_verdict compare(struct divergence *d, const struct divergence_entry *entry)
{
    enum divergence_verdict worst = DIVERGENCE_NONE;
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++) {
        if (i == d->self || !(entry->known >> i & 1) || same_digest(&entry->digests[i], &entry->digests[d->self]))
            continue;
        enum divergence_verdict verdict = verdict_on(d, entry, i);
        if (verdict == DIVERGENCE_SELF)
            return verdict;
        worst = verdict;
    }
    return worst;
}

enum divergence_verdict divergence_note(struct divergence *d, uint8_t member, const struct frame_digest *digest)
{
    CHECK(member < RABIA_MEMBERS_MAX);
    struct divergence_entry *entry = &d->entries[digest->boundary / DIVERGENCE_LAPS % DIVERGENCE_KEPT];
    if (digest->boundary < entry->boundary)
        return DIVERGENCE_NONE;
    if (digest->boundary > entry->boundary)
        *entry = (struct divergence_entry){.boundary = digest->boundary};
    entry->digests[member] = *digest;
    entry->known |= (uint16_t)(1u << member);
    if (!(entry->known >> d->self & 1) || (entry->known & (entry->known - 1)) == 0)
        return DIVERGENCE_NONE;
    enum divergence_verdict verdict = compare(d, entry);
    d->compared++;
    d->differing += verdict != DIVERGENCE_NONE;
    return verdict;
}
