/* What will happen, by virtual time; a binary heap.
 *
 * I1: items with equal times come out in the order they were added, so that a
 *     run never depends on the heap's shape. */
#ifndef SIM_AGENDA_H
#define SIM_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum agenda_kind {
    AGENDA_FRAME = 1, /* payload: struct frame, owned by the item */
    AGENDA_TICK,      /* stamp: only the newest tick of a node counts */
    AGENDA_FLUSH,     /* stamp: the record sequence number reached */
    AGENDA_LAZY,      /* peer: what was held back for it must go now */
    AGENDA_CLIENT,    /* stamp: session */
    AGENDA_COMMAND,   /* payload: struct command, borrowed */
    AGENDA_LINK_UP,   /* peer */
    AGENDA_LINK_DOWN, /* peer */
    AGENDA_NUDGE,
    AGENDA_WAKE,      /* the node has time for its inbox again */
    AGENDA_FAULT,
    AGENDA_REPAIR,    /* stamp: which repair; node, peer */
    AGENDA_LIFE,      /* ends a life, begins one, or changes who is a member */
    AGENDA_RISE,      /* node begins its next life */
    AGENDA_CUT,       /* node's snapshot may be complete */
    AGENDA_LEARNERS,  /* stamp: who */
    AGENDA_INSTALL    /* payload: a struct snapshot from peer, owned by the item */
};

struct agenda_item {
    uint64_t at_us, order, stamp;
    void *payload;
    uint32_t life; /* of the node that it is meant for; 0: whichever */
    uint8_t kind, node, peer;
};

struct agenda {
    struct agenda_item *heap;
    size_t count, capacity;
    uint64_t order;
};

void agenda_init(struct agenda *agenda);
/* Payloads still inside are the caller's to free first (agenda_pop). */
void agenda_deinit(struct agenda *agenda);
void agenda_add(struct agenda *agenda, struct agenda_item item);
/* False when there is nothing left. */
bool agenda_pop(struct agenda *agenda, struct agenda_item *item);

#endif
