/* Who belongs to the cluster, as data: the list of members, learners and those
 * that were removed, and how the change commands edit it (protocol.md,
 * Membership).
 *
 *   unused --ADD, REPLACE--> learner --VOICE--> member --REMOVE, VOICE of its successor--> removed
 *                               +-------------REMOVE-----------------------------------------^
 *
 * An entry's index is its lane, given for ever, in the order of coming; an id is never
 * used twice.  The first list has its members in ascending order of id.
 *
 * Every replica holds the same roster at the same place of the order: changes
 * are commands decided there, and this file is pure.  Whether a change of the
 * voters may be made now (one at a time) is the ordering core's to say.
 *
 * Limits: RABIA_MEMBERS_MAX entries, removed ones included. */
#ifndef REPLICA_ROSTER_H
#define REPLICA_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "consensus/rabia.h"

enum {
    ROSTER_HOST_MAX = 256, /* with its terminator */
    ROSTER_REASON_MAX = 512,
    ROSTER_ADDRESS_MAX = ROSTER_HOST_MAX + 16,
    ROSTER_BYTES_MAX = 18 + RABIA_MEMBERS_MAX * (8 + ROSTER_HOST_MAX),
};

enum roster_state { ROSTER_UNUSED, ROSTER_LEARNER, ROSTER_MEMBER, ROSTER_REMOVED, ROSTER_STATE_END };

struct roster_entry {
    enum roster_state state;
    uint16_t id;
    uint16_t replaces; /* learner: the member whose place it takes with its voice; 0: nobody's */
    int port;
    char host[ROSTER_HOST_MAX];
};

struct roster {
    uint64_t version;  /* changes made so far; 0: the first list */
    uint64_t position; /* of the newest change */
    struct roster_entry entries[RABIA_MEMBERS_MAX]; /* by index */
};

/* --- looking --------------------------------------------------------------- */

/* The index of id, -1 if it was never used. */
int roster_find(const struct roster *roster, uint64_t id);
/* One more than the greatest index in use. */
uint8_t roster_width(const struct roster *roster);
/* Entries in that state, a bit per index. */
uint16_t roster_mask(const struct roster *roster, enum roster_state state);
/* "host:port", brackets around an IPv6 host. */
void roster_print_address(const char *host, int port, char text[static ROSTER_ADDRESS_MAX]);
/* "host:port", "[host]:port"; false if it is neither. */
bool roster_read_address(struct slice text, char host[static ROSTER_HOST_MAX], int *port);

/* --- changing -------------------------------------------------------------- */

enum roster_verb { ROSTER_ADD, ROSTER_REMOVE, ROSTER_REPLACE, ROSTER_MOVE, ROSTER_VOICE };
struct roster_change {
    enum roster_verb verb;
    uint16_t id;  /* ADD, REPLACE: of the new one; else of whom it is about */
    uint16_t old; /* REPLACE: who goes */
    int port;     /* ADD, REPLACE, MOVE */
    char host[ROSTER_HOST_MAX];
};

/* RABIA ADD id host:port | REMOVE id | REPLACE old new host:port | MOVE id host:port | VOICE
 * id, as a command's arguments.  False: reason is the error to reply. */
bool roster_read_change(int argc, const struct slice *argv, struct roster_change *change,
                        char reason[static ROSTER_REASON_MAX]);
/* *next becomes what now is after the change, at that position.  False: refused, reason is the
 * error to reply, *next is undefined. */
bool roster_apply(const struct roster *now, const struct roster_change *change, uint64_t position, struct roster *next,
                  char reason[static ROSTER_REASON_MAX]);

/* Every member that is not in mask (a bit per index) is removed: the list of an epoch that was forced. */
void roster_keep(struct roster *roster, uint16_t mask);

/* --- writing it down ------------------------------------------------------- *
 *
 * Byte by byte, integers little-endian:
 *   format u8 (1), version u64, position u64, count u8, then count entries:
 *   state u8, id u16, replaces u16, port u16, host length u8, host */
size_t roster_encode(const struct roster *roster, unsigned char bytes[static ROSTER_BYTES_MAX]);
/* False: malformed; *roster is untouched. */
bool roster_decode(struct slice bytes, struct roster *roster);

#endif
