/* The large form of a set: a dict of members and the members in a sequence
 * (set_value.h says why).
 *
 * A member is a block:  place 5, length 1 or 5 (length.h), bytes
 *
 * I1: dict and sequence hold the same blocks; a block's place is where it lies
 *     in the sequence.  Places have 40 bits. */
#ifndef STORE_SET_TABLE_H
#define STORE_SET_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "store/dict.h"
#include "store/key_hash.h"
#include "store/sequence.h"

struct set_table {
    struct dict dict;       /* hash_context is the secret */
    struct sequence places; /* of blocks */
};

/* secret is borrowed for the table's life. */
struct set_table *set_table_create(const struct key_hash_secret *secret);
bool set_table_has(const struct set_table *t, struct slice member);
/* True if it was not there. */
bool set_table_add(struct set_table *t, struct slice member);
/* True if it was there; the last member takes its place.  member may be the
 * block's own text. */
bool set_table_remove(struct set_table *t, struct slice member);
/* True when the table and all its blocks are gone, else *budget is 0. */
bool set_table_free_some(struct set_table *t, size_t *budget);
struct slice set_block_text(const char *block);
/* Aborts unless I1 and the invariants of dict and sequence hold. */
void set_table_check(struct set_table *t);

#endif
