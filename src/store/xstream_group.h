/* Groups of consumers of a stream: what was delivered last, and what is pending,
 * that is delivered and not acknowledged.
 *
 *   group      pending: tree by id       consumers: tree by name
 *   consumer   pending: tree by id, of the same blocks
 *
 * Groups and consumers are in the byte order of their names.
 *
 * I1: a pending entry is in its group's tree and in its consumer's, in no other.
 *
 * Costs: O(log n) for one; removing a group or a consumer, what is pending in it
 * times that.  Names passed in are copied. */
#ifndef STORE_XSTREAM_GROUP_H
#define STORE_XSTREAM_GROUP_H

#include "store/xstream_value.h"

enum { XSTREAM_READ_UNKNOWN = -1 };

struct xstream_group {
    struct slice name; /* in this block */
    struct xstream_id last_id; /* delivered */
    int64_t entries_read;     /* of all ever added, up to last_id; XSTREAM_READ_UNKNOWN */
    struct tree pending, consumers;
    char bytes[];
};

struct xstream_consumer {
    struct slice name; /* in this block */
    int64_t seen_ms;   /* unix time of its last call */
    struct tree pending;
    char bytes[];
};

struct xstream_pending {
    struct xstream_id id;
    int64_t delivered_ms; /* unix time */
    uint64_t deliveries;
    struct xstream_consumer *consumer;
};

/* NULL if there is none. */
struct xstream_group *xstream_group_find(const struct xstream *s, struct slice name);
/* NULL if there is one of that name. */
struct xstream_group *xstream_group_create(struct xstream *s, struct slice name, struct xstream_id last_id,
                                         int64_t entries_read);
void xstream_group_remove(struct xstream *s, struct xstream_group *g);

/* As the group's tree holds it. */
struct tree_item xstream_consumer_item(struct xstream_consumer *consumer);
struct xstream_consumer *xstream_consumer_find(const struct xstream_group *g, struct slice name);
struct xstream_consumer *xstream_consumer_create(struct xstream_group *g, struct slice name, int64_t seen_ms);
/* With what is pending of it. */
void xstream_consumer_remove(struct xstream *s, struct xstream_group *g, struct xstream_consumer *consumer);

struct xstream_pending *xstream_pending_find(const struct xstream_group *g, struct xstream_id id);
/* The id must not be pending in the group. */
struct xstream_pending *xstream_pending_create(struct xstream *s, struct xstream_group *g, struct xstream_consumer *consumer,
                                             struct xstream_id id, int64_t delivered_ms);
/* From here on another consumer's. */
void xstream_pending_give(struct xstream_pending *p, struct xstream_consumer *consumer);
void xstream_pending_remove(struct xstream *s, struct xstream_group *g, struct xstream_pending *p);
/* The first one of a group's or consumer's tree not below id, or the end. */
struct tree_place xstream_pending_seek(const struct tree *pending, struct xstream_id id);
static inline struct xstream_pending *xstream_pending_at(struct tree_place place)
{
    return tree_get(place).item;
}
static inline struct xstream_group *xstream_group_at(struct tree_place place)
{
    return tree_get(place).item;
}
static inline struct xstream_consumer *xstream_consumer_at(struct tree_place place)
{
    return tree_get(place).item;
}

/* --- how far a group has read --------------------------------------------------- */

/* Entries ever added up to and with id, as far as that can be told without
 * counting: XSTREAM_READ_UNKNOWN. */
int64_t xstream_added_until(const struct xstream *s, struct xstream_id id);
/* An entry above last_id was delivered to the group. */
void xstream_group_deliver(const struct xstream *s, struct xstream_group *g, struct xstream_id id);
/* Entries the group has not read; false if that cannot be told. */
bool xstream_group_lag(const struct xstream *s, const struct xstream_group *g, int64_t *lag);

/* --- all of it --------------------------------------------------------------------- */

/* Frees groups and what is in them; true when none is left, else *budget is 0. */
bool xstream_groups_free_some(struct xstream *s, size_t *budget);
/* Aborts unless I1 holds and the trees are sound; returns how many are pending. */
uint64_t xstream_group_check(const struct xstream_group *g);

#endif
