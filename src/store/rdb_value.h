/* rdb_value: one value in the form Redis gives it in RDB files, and in DUMP.
 *
 *   1 byte    what follows:
 *             written and read: 0 string, 2 set, 4 hash, 5 sorted set, 11 intset,
 *             16 hash and 17 sorted set in a listpack, 18 list of listpacks, 19 stream
 *             read only, from older servers: 1 list, 3 sorted set with scores in
 *             text, 9 hash in a zipmap, 10 list, 12 sorted set and 13 hash in a
 *             ziplist, 14 list of ziplists, 15 stream without what 7.0 added
 *             the value (rdb_save.c, rdb_load.c)
 *   2 bytes   version of the format, little-endian: 10
 *   8 bytes   checksum of all before it, little-endian
 *
 * What is read may be hostile: it becomes a sound value, built element by
 * element, or is refused. */
#ifndef STORE_RDB_VALUE_H
#define STORE_RDB_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"
#include "store/value.h"

enum { RDB_VERSION = 10 };

/* Appends a whole payload.  O(bytes held). */
void rdb_value_dump(const struct entry *e, struct buf *out);
/* Bytes of the value in a payload, without what lies around it. */
size_t rdb_value_size(const struct entry *e);

/* True if the version is one we know and the checksum is right. */
bool rdb_payload_is_intact(struct slice payload);

struct rdb_value {
    enum value_type type;
    struct value value;  /* unless the type is VALUE_STRING */
    struct slice string; /* in the payload, in owned or in scratch */
    char *owned;
    char scratch[INT64_TEXT_MAX];
};
/* Reads an intact payload.  On success the value is the caller's, to be stored
 * or given to rdb_value_free. */
bool rdb_value_load(struct rdb_value *loaded, const struct value_env *env, struct slice payload);
/* What of it was not stored: is_stored says whether value was. */
void rdb_value_free(struct rdb_value *loaded, bool is_stored);

#endif
