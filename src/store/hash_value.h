/* Hashes: the value of a key of VALUE_HASH.
 *
 *   ENCODING_LISTPACK   field, value, field, value ...: a listpack of at most
 *                       hash-max-listpack-entries pairs whose texts have at most
 *                       hash-max-listpack-value bytes; new fields come last
 *   ENCODING_HASHTABLE  a dict of blocks, each a field with its value:
 *
 *                       field length 1 or 5, value length 1 or 5, field, value
 *
 * A hash leaves the first form when Redis's would and does not come back.
 *
 * Overwriting a value costs its new length and the field's: the block is reused
 * where the allocator's class stays the same, else another one is made.
 *
 * Cursors of HSCAN are those of the dict (dict.h); the compact form is visited
 * whole. */
#ifndef STORE_HASH_VALUE_H
#define STORE_HASH_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/slice.h"
#include "store/value.h"

/* Empty, in the compact form. */
struct value hash_create(void);

size_t hash_size(const struct value *v);
bool hash_has(const struct value *v, struct slice field);
/* False if the field is not there.  The value lives until the next change, or
 * as long as scratch. */
bool hash_get(const struct value *v, struct slice field, char scratch[static INT64_TEXT_MAX], struct slice *value);
/* True if the field is new. */
bool hash_set(struct value *v, const struct value_env *env, struct slice field, struct slice value);
/* True if it was there. */
bool hash_remove(struct value *v, struct slice field);

/* Slices live until the visit returns. */
typedef void hash_visit_fn(void *context, struct slice field, struct slice value);
/* Every pair, in no certain order. */
void hash_each(const struct value *v, hash_visit_fn *visit, void *context);
/* About count pairs from cursor on (0 at first); returns the next cursor, 0 at
 * the end. */
uint64_t hash_scan(const struct value *v, uint64_t cursor, size_t count, hash_visit_fn *visit, void *context);

/* A pair drawn uniformly (as dict_pick is).  Follows bucket order: for local
 * reads only.  The hash must not be empty. */
void hash_pick(const struct value *v, struct random *random, hash_visit_fn *visit, void *context);
/* count different pairs, count at most the size, likewise.  O(count), or O(size)
 * where count is more than a third of it. */
void hash_sample(const struct value *v, struct random *random, size_t count, hash_visit_fn *visit, void *context);

#endif
