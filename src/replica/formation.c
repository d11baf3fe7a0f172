#include "replica/formation.h"

#include <string.h>
#include <xxhash.h>

#include "base/check.h"

void formation_init(struct formation *f, uint8_t member_count, uint8_t self, uint64_t incarnation)
{
    CHECK(member_count <= RABIA_MEMBERS_MAX);
    CHECK(self < member_count);
    CHECK(incarnation != 0);
    *f = (struct formation){.member_count = member_count, .self = self};
    f->incarnations[self] = incarnation;
    f->is_ready[self] = true;
}

static bool same_vector(const struct formation *f, const uint64_t *incarnations)
{
    return memcmp(f->incarnations, incarnations, f->member_count * sizeof *incarnations) == 0;
}

static bool is_complete(const struct formation *f, const uint64_t *incarnations)
{
    for (int i = 0; i < f->member_count; i++)
        if (incarnations[i] == 0)
            return false;
    return true;
}

static bool all_ready(const struct formation *f)
{
    for (int i = 0; i < f->member_count; i++)
        if (!f->is_ready[i])
            return false;
    return true;
}

/* Follows the arrows of the diagram as far as they go. */
static void advance(struct formation *f)
{
    if (f->stage == FORMATION_GATHERING && is_complete(f, f->incarnations))
        f->stage = FORMATION_READY;
    if (f->stage == FORMATION_READY && all_ready(f))
        f->stage = FORMATION_FORMED;
}

bool formation_meet(struct formation *f, uint8_t peer, uint64_t incarnation)
{
    CHECK(peer < f->member_count);
    CHECK(peer != f->self);
    if (f->incarnations[peer] == incarnation)
        return true;
    if (f->stage == FORMATION_FORMED)
        return false;
    f->incarnations[peer] = incarnation;
    f->stage = FORMATION_GATHERING;
    /* READY was said for another vector: all of it is void. */
    for (int i = 0; i < f->member_count; i++)
        f->is_ready[i] = i == f->self;
    advance(f);
    return true;
}

static void adopt(struct formation *f, const uint64_t *incarnations)
{
    memcpy(f->incarnations, incarnations, f->member_count * sizeof *incarnations);
    f->stage = FORMATION_FORMED;
}

bool formation_hear(struct formation *f, uint8_t peer, enum formation_stage stage,
                    const uint64_t incarnations[static RABIA_MEMBERS_MAX])
{
    CHECK(peer < f->member_count);
    enum formation_stage before = f->stage;
    if (f->stage == FORMATION_FORMED)
        return false;
    if (stage == FORMATION_FORMED && is_complete(f, incarnations)) {
        f->is_forgotten = incarnations[f->self] != f->incarnations[f->self];
        if (!f->is_forgotten)
            adopt(f, incarnations);
    } else if (stage == FORMATION_READY && same_vector(f, incarnations)) {
        f->is_ready[peer] = true;
        advance(f);
    }
    return f->stage != before;
}

uint64_t formation_seed(const struct formation *f, const char *cluster_name)
{
    uint64_t vector = XXH3_64bits(f->incarnations, f->member_count * sizeof *f->incarnations);
    return XXH3_64bits_withSeed(cluster_name, strlen(cluster_name), vector);
}
