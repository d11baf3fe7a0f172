/* Settings that shape data, the same on all replicas.
 *
 * Where a collection leaves its compact form decides what OBJECT ENCODING says
 * and which member a random choice takes, so these are part of the replicated
 * state: changed at a place in the order, kept in snapshots, never read from
 * one replica's configuration file while commands run.  Names, defaults and
 * meaning are Redis's. */
#ifndef STORE_SETTINGS_H
#define STORE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum setting {
    SETTING_HASH_MAX_LISTPACK_ENTRIES,
    SETTING_HASH_MAX_LISTPACK_VALUE,   /* bytes */
    SETTING_LIST_MAX_LISTPACK_SIZE,    /* entries, or -1..-5: 4, 8, 16, 32, 64 KiB */
    SETTING_LIST_COMPRESS_DEPTH,       /* accepted, has no effect */
    SETTING_SET_MAX_INTSET_ENTRIES,
    SETTING_ZSET_MAX_LISTPACK_ENTRIES,
    SETTING_ZSET_MAX_LISTPACK_VALUE,   /* bytes */
    SETTING_HLL_SPARSE_MAX_BYTES,
    SETTING_STREAM_NODE_MAX_BYTES,     /* 0: no limit */
    SETTING_STREAM_NODE_MAX_ENTRIES,   /* 0: no limit */
    SETTING_KEY_METADATA,              /* 0 or 1 */
    SETTING_COUNT, /* new ones go in front of it: the order is that of snapshots */
};

struct settings {
    int64_t values[SETTING_COUNT];
    uint32_t agreed; /* bit per setting: somebody has set it */
};

struct setting_bounds {
    const char *name; /* of CONFIG */
    int64_t initial, min, max;
};

extern const struct setting_bounds setting_bounds[SETTING_COUNT];

/* All at their initial values. */
void settings_init(struct settings *s);
/* SETTING_COUNT if there is none of this name; case is ignored. */
enum setting setting_of(struct slice name);

static inline int64_t setting_value(const struct settings *s, enum setting setting)
{
    return s->values[setting];
}

static inline bool setting_is_agreed(const struct settings *s, enum setting setting)
{
    return s->agreed >> setting & 1;
}

#endif
