/* Comparing replicas' data in the background.
 *
 * Whenever the order passes a lap that is a multiple of DIVERGENCE_LAPS, each
 * replica digests one part of its keys as of that boundary, and tells the
 * others.  Which part follows from the boundary and the number of keys, which
 * are the same everywhere; so over many boundaries everything is compared, a
 * thousand keys or so at a time.
 *
 * A replica whose digest differs from one that a quorum of the others agree on
 * is the one that is wrong.  Pure logic. */
#ifndef REPLICA_DIVERGENCE_H
#define REPLICA_DIVERGENCE_H

#include <stdbool.h>

#include "consensus/rabia.h"
#include "replica/frame.h"

enum {
    DIVERGENCE_LAPS = 1024,
    DIVERGENCE_KEYS = 1024, /* about how many keys a part holds */
    DIVERGENCE_KEPT = 64,   /* boundaries remembered */
    DIVERGENCE_PARTS_MAX = 65536,
};

struct divergence {
    uint8_t self;
    uint16_t voters; /* whose digests make a quorum, bit per index */
    uint64_t newest_boundary;
    struct divergence_entry {
        uint64_t boundary; /* 0: unused */
        uint16_t known;    /* bit per member */
        struct frame_digest digests[RABIA_MEMBERS_MAX];
    } entries[DIVERGENCE_KEPT];
    uint64_t compared, differing;
};

/* Members 0 to member_count - 1 are the voters, until told otherwise. */
void divergence_init(struct divergence *d, uint8_t member_count, uint8_t self);
void divergence_set_voters(struct divergence *d, uint16_t voters);

/* The data holds what was decided up to this lap, and began elsewhere (a journal, a
 * snapshot): boundaries up to here cannot be digested any more. */
void divergence_pass(struct divergence *d, uint64_t lap);

/* The data is about to change by a batch of this lap: true if a boundary was
 * passed since the last one, and then what to digest (all but the digest). */
bool divergence_is_due(struct divergence *d, uint64_t lap, size_t key_count, struct frame_digest *due);

enum divergence_verdict { DIVERGENCE_NONE, DIVERGENCE_UNDECIDED, DIVERGENCE_SELF, DIVERGENCE_OTHER };
/* Notes a digest, our own or a peer's.  UNDECIDED: digests differ, and it is not
 * known who is wrong. */
enum divergence_verdict divergence_note(struct divergence *d, uint8_t member, const struct frame_digest *digest);

#endif
