/* The large form of a hash: a dict of pairs.
 *
 * A pair is a block:  field length 1 or 5, value length 1 or 5 (length.h),
 *                     field, value
 *
 * Its size follows from the lengths: it was allocated in the class of that size. */
#ifndef STORE_HASH_TABLE_H
#define STORE_HASH_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "store/dict.h"
#include "store/key_hash.h"

struct hash_table {
    struct dict dict;  /* hash_context is the secret */
    uint64_t expected; /* pairs, while it is loaded */
};

struct hash_pair {
    struct slice field, value;
};

/* secret is borrowed for the table's life. */
struct hash_table *hash_table_create(const struct key_hash_secret *secret);
/* NULL if the field is not there. */
const char *hash_table_find(const struct hash_table *t, struct slice field);
/* True if the field is new. */
bool hash_table_set(struct hash_table *t, struct slice field, struct slice value);
/* The field must be new, and this its hash. */
void hash_table_add(struct hash_table *t, uint64_t hash, struct slice field, struct slice value);
/* True if it was there. */
bool hash_table_remove(struct hash_table *t, struct slice field);
bool hash_table_free_some(struct hash_table *t, size_t *budget);
struct hash_pair hash_block_pair(const char *block);
void hash_table_check(const struct hash_table *t);

#endif
