/* watch: who watches which keys, and whether one of them was changed.
 *
 * Part of the replicated state: WATCH registers its keys at a place in the
 * order, EXEC asks at another, and in between every replica sees the same
 * changes, so all of them decide alike.  Watchers are clients anywhere in the
 * cluster, known by a number that is never used twice.
 *
 * What counts as a change is Redis's.  Every change of a key counts, to the
 * same value too; so does its expiry, even if it is noticed only when asked.
 * A key that had expired before it was watched may go without being counted:
 * that changes nothing anybody could see.
 *
 * While nothing is watched the keyspace does not call this module.  A watcher
 * that was touched keeps none of its keys.
 *
 * I1: every place is in one watcher's list and in one key's.
 * I2: a watched key has at least one place; a watcher at most one for a key.
 * I3: a touched watcher has no places.
 *
 * Limits: WATCH_PLACES_MAX and WATCH_BYTES_MAX in all, the same on every
 * replica; a watcher more is refused. */
#ifndef STORE_WATCH_H
#define STORE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "store/keyspace.h"

enum {
    WATCH_PLACES_MAX = 1 << 20,
    WATCH_BYTES_MAX = 256 << 20, /* of keys, each counted once per watcher */
    WATCHER_ID_BYTES = 18,
};

struct watcher_id {
    uint16_t member;  /* whose client it is */
    uint64_t life;    /* of that member's process, drawn at its start */
    uint64_t number;  /* never used twice in a life, ascending */
};
void watcher_id_put(const struct watcher_id *id, char bytes[static WATCHER_ID_BYTES]);
bool watcher_id_get(struct slice bytes, struct watcher_id *id);

/* The keyspace's own (keyspace_watches). */
struct watches *watches_create(struct keyspace *ks);
void watches_free(struct watches *w);

/* Registers a key with a watcher, which comes to be with its first.  False,
 * with nothing changed, beyond the limits. */
bool watch_add(struct watches *w, const struct watcher_id *id, int db, struct slice key);
/* WATCH_UNKNOWN: it never watched anything, or was dropped. */
enum watch_verdict { WATCH_CLEAN, WATCH_TOUCHED, WATCH_UNKNOWN };
enum watch_verdict watch_verdict(const struct watches *w, const struct watcher_id *id);
/* Unknown ones are passed over. */
void watch_drop(struct watches *w, const struct watcher_id *id);
/* Drops all watchers of a member but those of this life with numbers above
 * upto. */
void watch_drop_others(struct watches *w, uint16_t member, uint64_t life, uint64_t upto);
void watch_drop_all(struct watches *w);
/* visit must not change the table. */
void watch_each(const struct watches *w, void (*visit)(void *context, const struct watcher_id *id), void *context);

size_t watch_watcher_count(const struct watches *w);
size_t watch_key_count(const struct watches *w);

/* Appends what watches_read makes the same table of.  The order of bytes is
 * this replica's own.
 *
 *   watches := watchers(varint) watcher*
 *   watcher := id(18) touched(1) places(varint) place*
 *   place   := db(varint) expired(1) length(varint) key */
void watches_write(const struct watches *w, struct buf *out);
/* Replaces the table.  Advances *at.  False, with an empty table, if the bytes
 * are malformed; they may be hostile. */
bool watches_read(struct watches *w, const char **at, const char *end);
void watches_check(const struct watches *w);

#endif
