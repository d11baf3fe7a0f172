/* Sets: the value of a key of VALUE_SET.
 *
 * Three forms:
 *
 *   ENCODING_INTSET     all members are integers, at most set-max-intset-entries:
 *                       an intset (intset.h)
 *   ENCODING_SMALL_SET  at most SET_SMALL_ENTRIES members of at most
 *                       SET_SMALL_BYTES: a listpack of them; clients are told
 *                       "hashtable", which is what Redis 7.0 would have
 *   ENCODING_HASHTABLE  a dict of members, and the members in a sequence
 *
 * A set is an intset until a member comes that is no integer or is one too
 * many; it never becomes one again but through set_settle.  What OBJECT ENCODING
 * says is thus what Redis 7.0 says.
 *
 * Places.  Every member has a place from 0 to size - 1 that follows from the
 * calls alone: its rank in an intset; in the other forms new members come last,
 * a small set closes the gap of a member that goes, a large one moves its last
 * member into it.  A member drawn by its place is therefore drawn uniformly, in
 * O(1), and the same one on all replicas.
 *
 *   hashtable     dict: hash -> member            (finding)
 *                 sequence: place -> member       (drawing, walking)
 *                 member: place 5, length 1 or 5, bytes
 *
 * SSCAN.  A cursor c > 0 of a large set means: places c to size - 1 need no
 * visit any more.  A step visits the places below c from the top, and 0, at the
 * end, means there are none left (and, at the start, all).
 *   Claim: a member present from the first step to the last is visited.  While
 *   it has not been visited its place is below c: so at the start (c = size);
 *   a step lowers c only past places it visits; a member's place changes only
 *   when another is removed and it was the last, and then to the lower place of
 *   that one; new members, which have higher places, were not present
 *   throughout.  At the end c is 0, and no place is below it.
 * A small form is visited whole in one step, so the change from it to a large
 * one lies before the first step or after the last.
 *
 * Members given as slices may be bytes of the set itself where only removed. */
#ifndef STORE_SET_VALUE_H
#define STORE_SET_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/value.h"

enum { SET_SMALL_ENTRIES = 128, SET_SMALL_BYTES = 64 };

/* Empty: an intset. */
struct value set_create(void);
/* All at once, for values that are in no entry. */
void set_free(struct value v);

size_t set_size(const struct value *v);
bool set_has(const struct value *v, struct slice member);
/* True if it was not there. */
bool set_add(struct value *v, const struct value_env *env, struct slice member);
/* True if it was there.  The form stays. */
bool set_remove(struct value *v, struct slice member);
/* A set of integers becomes an intset if it fits one, whatever was in it
 * before: what SPOP does to the rest when it takes most of a set.  O(n). */
void set_settle(struct value *v, const struct value_env *env);

/* The member at a place below the size; it lives until the next change, or as
 * long as scratch.  O(1) but in small sets. */
struct slice set_at(const struct value *v, size_t place, char scratch[static INT64_TEXT_MAX]);

/* All members in the order of places. */
struct set_iterator {
    struct value value;
    size_t place, size;
    const char *at;
    char scratch[INT64_TEXT_MAX];
};
void set_iterate(struct set_iterator *i, const struct value *v);
/* False at the end.  The member lives until the next call or change. */
bool set_next(struct set_iterator *i, struct slice *member);

/* SSCAN, see above: visits about count members and returns the next cursor. */
typedef void set_visit_fn(void *context, struct slice member);
uint64_t set_scan(const struct value *v, uint64_t cursor, size_t count, set_visit_fn *visit, void *context);

#endif
