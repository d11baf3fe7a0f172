/* Judges what comes out of the replicas' orders: one order, one void decision,
 * one store for all, and every command in its place.
 *
 *   O1  the logs of all replicas are prefixes of one (empty batches left out:
 *       they count as NULL)
 *   O2  the same decisions are void everywhere, and they are those whose owner
 *       named a batch that was NULL or void
 *   O3  stores are equal at equal positions
 *   O4  no command is in the order twice; an acknowledged write is there once
 *   O5  one session's writes are there in its order
 *   O7  a change of members has the same outcome everywhere: refused while the
 *       one before is not in force, else from A + 1 laps on
 *   O6  a replica's frontier does not leave out what others decided */
#ifndef SIM_ORDER_CHECKER_H
#define SIM_ORDER_CHECKER_H

#include <stddef.h>
#include <stdint.h>

#include "consensus/rabia.h"
#include "verdict.h"

struct order_entry {
    uint64_t lap, hash, digest;
    uint8_t lane;
    bool is_void;
};

struct order_change {
    uint64_t command, from; /* from: RABIA_NO_LAP if it was refused */
};
enum { ORDER_CHANGES_MAX = 256 };

struct order_checker {
    struct verdict *verdict;
    uint8_t members;
    uint32_t window;
    uint64_t newest_from; /* the last change holds from there */
    struct order_change changes[ORDER_CHANGES_MAX];
    size_t change_count;
    struct order_entry *log; /* the longest known */
    size_t count, capacity;
    size_t position[RABIA_MEMBERS_MAX];
    uint64_t frontier[RABIA_MEMBERS_MAX];
    uint64_t last_lap[RABIA_MEMBERS_MAX];
    uint8_t last_lane[RABIA_MEMBERS_MAX];
    bool has_last[RABIA_MEMBERS_MAX];
    uint8_t *times_in_order; /* by command */
    size_t command_capacity;
    uint32_t *last_number;   /* by session */
    size_t session_capacity;
};

void order_init(struct order_checker *order, struct verdict *verdict, uint8_t members);
void order_deinit(struct order_checker *order);
/* A decided entry with a batch; digest: of the replica's store once applied. */
void order_applied(struct order_checker *order, uint8_t replica, const struct rabia_decided *decided, uint64_t digest);
/* After the step that gave the entries out. */
void order_frontier(struct order_checker *order, uint8_t replica, uint64_t frontier);
/* The replica's life goes on from a snapshot. */
void order_restarted(struct order_checker *order, uint8_t replica, size_t position);
/* What the replica made of a change in lap; true when it is the first to come
 * to it. */
bool order_changed(struct order_checker *order, uint8_t replica, uint64_t command, uint64_t lap, uint64_t from);
void order_acknowledged(struct order_checker *order, uint64_t command);

#endif
