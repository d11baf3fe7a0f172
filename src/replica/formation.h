/* Who takes part, and with what past: how a cluster forms, how a member without
 * memory finds its way back, how all of them recover together (protocol.md,
 * Restart).
 *
 * Every member tells every other its claim: its stage, the epoch and cluster
 * seed it knows, how far its data has come, whether it remembers what it said.
 * Incarnations name processes: a restart with memory keeps its own, one
 * without draws a greater one.
 *
 *                      a formed peer is heard
 *   GATHERING -----------------------------------> REJOINING --rejoined--> FORMED
 *       |                                              |                     |
 *       | all are heard, and fewer than a quorum       |                     |
 *       | of them have memory                          |                     |
 *       +------------------> READY <-------------------+---------------------+
 *                              |
 *                              | the base: all are READY for the same future;
 *                              | the others: somebody has FORMED it
 *                              v
 *                            FORMED (a new epoch)
 *
 * A future is: these incarnations, the epoch after the greatest one known, and
 * a base: the member with the greatest (epoch, position), the lowest index
 * among equals.  A new cluster is the case where all are at (0, 0).
 *
 * The base is the first to form, on hearing all say READY for its future; the
 * others form once they hear of somebody who has.  So the data a new epoch begins
 * with are durable in it before anybody drops his own.
 *
 * Why there are never two futures of one epoch: the base forms as it is, READY
 * for that very future; incarnations only rise, so of two futures that name
 * different processes no member says the older one after the newer; and
 * whoever has formed an epoch says READY only for later ones.
 *
 * Why no quorum is left in the epoch before: the base forms only if, by their
 * words of READY themselves, fewer than a quorum remember that epoch.  Memory
 * is gained by rejoining alone, which needs a quorum that remembers and speaks;
 * who is READY does neither.  So it never becomes a quorum again, and for the
 * same reason a member may go back from READY when a quorum does remember.
 *
 * While a member is READY its data must stand still: the driver neither speaks
 * nor applies unless the stage is REJOINING or FORMED.
 *
 * Members are those with a voice.  While a change of them is under way, those of both lists: all of them
 * must be there to recover together, and that is what is left unless a quorum of either remembers, for a
 * member without memory rejoins by both.  Not everybody knows of the change then.  Whoever knows less says READY
 * for the future that the base names by the newer list; the base alone judges whether all are READY.
 *
 * Forced: an operator gave up all members but some (formation_force).  These recover together whatever they
 * remember, and the new epoch has no other members: forced_mask tells the driver.  The word goes around with the
 * claims; a later one overrides.  Nobody heeds it who hears a quorum that remembers.
 *
 * A learner's claim is heard and counts for nothing; a learner itself only rejoins.  Who holds no data of
 * the epoch in force rejoins only by a list of members at least as new as the formed peer's: the driver
 * fetches it (joining.c).
 *
 * Pure logic: link.c and replica.c carry the words. */
#ifndef REPLICA_FORMATION_H
#define REPLICA_FORMATION_H

#include <stdbool.h>
#include <stdint.h>

#include "consensus/rabia.h"

enum formation_stage {
    FORMATION_GATHERING,
    FORMATION_READY,
    FORMATION_REJOINING,
    FORMATION_FORMED,
    FORMATION_STAGE_END
};

/* What a member says of itself. */
struct formation_claim {
    enum formation_stage stage;
    bool has_memory;
    uint64_t epoch;    /* in force; 0: it knows none */
    uint64_t seed;     /* of the cluster in force; 0: none */
    uint64_t position; /* its data includes everything up to here */
    uint64_t future;   /* READY: for which future; else 0 */
    uint64_t secret[2]; /* of the keyspace's hash, the same on all members */
    uint64_t roster;    /* version of the list of members it knows */
    uint64_t forced;    /* recover with these alone, a bit per index; behind when it was said, milliseconds << 16; 0: no */
};

struct formation {
    uint8_t member_count, self;
    uint16_t voters;   /* members that count, a bit per index: "all" is about these */
    uint16_t lists[2]; /* "quorum" is about these: the list in force, and the one to come (0: none) */
    struct formation_claim own;
    struct formation_member {
        uint64_t incarnation; /* 0: unknown */
        bool is_heard;        /* its claim is current: its link is up */
        struct formation_claim claim;
    } members[RABIA_MEMBERS_MAX];
    /* Of the future we are READY for, or formed last. */
    uint64_t future_epoch, base_epoch, future_position;
    uint8_t base;
    bool was_formed; /* before READY: where to go back to */
    bool was_rejoining;
    bool is_new_held; /* a cluster is not begun from nothing now */
    uint64_t forced_done; /* what was formed by force last */
    /* For the driver, which clears them once it has done so: */
    uint16_t forced_mask; /* the epoch just formed has these members alone; 0: it was not forced */
    bool is_data_void;  /* what this member holds is not of the epoch in force: drop it, fetch a snapshot */
    bool is_superseded; /* a greater epoch or a later process of ours is known: go on without memory, under
                           a greater incarnation (formation_reincarnate) */
};

/* own: stage GATHERING or, with memory, FORMED. */
void formation_init(struct formation *f, uint8_t member_count, uint8_t self, uint64_t incarnation,
                    const struct formation_claim *own);

/* The lists of members, a bit per index: in force, and to come (0: none).  Indices below member_count
 * may be heard of.  Without members nothing is ever formed. */
void formation_set_members(struct formation *f, uint8_t member_count, uint16_t members, uint16_t pending,
                           uint64_t roster);

/* An operator gives up all members but those in mask (self among them), at now_ms by the wall clock.  False: a
 * quorum that remembers is there, so nothing has changed.  Else our own claim may have. */
bool formation_force(struct formation *f, uint16_t mask, uint64_t now_ms);

/* Looks at what is known at the start; later formation_hear does. */
bool formation_begin(struct formation *f);

enum formation_meeting {
    MEETING_KNOWN,     /* the same process as before, or the first one */
    MEETING_SUCCESSOR, /* a later process: what the earlier one said counts no more */
    MEETING_OUTDATED,  /* a process that has a successor: it must draw a greater incarnation */
};
/* A process of peer introduced itself, or was named by another member. */
enum formation_meeting formation_meet(struct formation *f, uint8_t peer, uint64_t incarnation);

/* While is_held this member begins no cluster from nothing: there may be one already.  Returns as those below. */
bool formation_hold_new(struct formation *f, bool is_held);

/* Each returns true if our own claim changed, so that it must be told to all, or if we
 * are superseded. */
bool formation_hear(struct formation *f, uint8_t peer, const struct formation_claim *claim);
bool formation_lose(struct formation *f, uint8_t peer);
/* The core has rejoined. */
bool formation_rejoined(struct formation *f);

/* This process goes on as a new one without memory. */
void formation_reincarnate(struct formation *f, uint64_t incarnation);
/* Another member knows a later process of ours. */
void formation_supersede(struct formation *f);

/* Our data has come this far; only while the stage lets it move. */
void formation_at(struct formation *f, uint64_t position);

#endif
