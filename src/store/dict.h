/* dict: a hash table of pointers to items, in cache-line buckets, that grows
 * and shrinks one bucket at a time and is walked in hash order.
 *
 * Knows nothing of what an item is: callers give it 64-bit hashes, a function
 * that tells whether an item is the wanted one, and (for splitting a bucket) a
 * function that hashes an item again.
 *
 * A bucket is 64 bytes, so a search costs one cache miss for the bucket and
 * one for the item:
 *
 *   byte 0     bits 0-6: slot in use; bit 7: chained, slot 6 is a child bucket
 *   bytes 1-7  a tag per slot: the low byte of the item's hash
 *   bytes 8-63 seven pointers
 *
 * An item is compared only if its tag equals, so 255 of 256 strangers in a
 * bucket are never touched.
 *
 * The index of a bucket is the top bits of the hash.  The table is a linear
 * hash table (Litwin 1980, Larson 1988) whose split pointer runs in hash order:
 *
 *   hash space  0 ................. boundary ...................... 2^64
 *               fine: 2^(e+1) wide  | coarse: 2^e wide
 *
 * Coarse buckets below split have been split into the fine buckets 2i and
 * 2i+1; the others have not.  Growing splits the coarse bucket at the
 * boundary, shrinking merges the two fine buckets before it; when the boundary
 * reaches an end, e changes and the table that has become empty goes.  So
 *
 *   - a hash belongs to exactly one bucket of one table at any time: a search
 *     never looks into two tables;
 *   - the work of resizing is one bucket per few insertions and deletions,
 *     with nothing left to catch up with, and direction may change at any time;
 *   - the load is the same at every size.  (A table that doubles at once has
 *     twice the memory per key after doubling as before.)  Tables of up to 1024
 *     buckets are the exception: they do double at once, since two small tables
 *     side by side would take more than one that is half empty.
 *
 * The price: unsplit buckets are twice as full as split ones, so up to about a
 * tenth of the items sit in child buckets and cost a third miss.
 *
 * SCAN.  A cursor c stands for the hash c * 2^12 and means: every item whose
 * hash lies below has been visited.  A step takes the bucket that h = c * 2^12
 * belongs to, visits all of it, and moves to the end of its range of hashes.
 *   Claim: an item present from the first step to the last is visited.  The
 *   steps' intervals [h, end) lie end to end from 0 to 2^64, so the hash x of
 *   the item lies in one of them.  At that step the table was in some state,
 *   and in every state exactly one bucket's range contains x (I1).  The bucket
 *   visited has a range that contains [h, end), thus x; so it is that bucket,
 *   and the item was in it (I2).  Nothing was assumed about what happened
 *   between steps: any number of splits and merges is allowed.
 *   A step repeats items only if h lies inside the bucket (merges happened
 *   since).  Ends of ranges are multiples of 2^12 while e < 52, so cursors are
 *   exact; they are below 2^52, which a double holds too.  0 is both the start
 *   and the end, since no range but the last ends at 2^64.
 *
 * Flooding.  Who can choose keys that share a bucket makes every access to it
 * linear.  Hashes therefore come from a keyed function (key_hash.h) whose
 * secret clients never see.  Limits: that function is quick, not a proven
 * pseudo-random function, and SCAN cursors and answer times show which keys
 * are neighbours under the present secret; a client allowed to SCAN can collect
 * colliding keys at the cost of about one probe per bucket and key.  A set
 * collected under one secret is worth nothing under another.
 *
 * Memory: tables below 128 KiB come from the allocator.  Larger ones are
 * mapped, so that they need no clearing and only what the boundary has reached
 * is present; what it has passed is given back in pieces of 64 KiB, or of
 * 2 MiB in tables of that size and more, which are advised to use huge pages.
 * So no step has more than one such piece to clear or to release.
 *
 * I1: the ranges of the buckets in use partition the hash space: fine[0 ..
 *     2*split), coarse[split .. 2^e); all other buckets have presence 0.
 * I2: an item is in the chain of the bucket its hash belongs to, its tag is
 *     the low byte of its hash.
 * I3: in a chain, only the last bucket may have free slots; a child has at
 *     least two items.
 * I4: fine is NULL exactly if split is 0; split < 2^e.  coarse is NULL only
 *     before the first insertion and after dict_deinit.
 * I5: size and children count the items and the child buckets. */
#ifndef STORE_DICT_H
#define STORE_DICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/random.h"

enum {
    DICT_SLOTS = 7,
    DICT_CHILD_SLOT = 6,
    DICT_CHAINED = 0x80,
    DICT_EXPONENT_MAX = 48,
    DICT_CURSOR_SHIFT = 12,
};

struct dict_bucket {
    uint8_t presence;
    uint8_t tags[DICT_SLOTS];
    void *slots[DICT_SLOTS];
};

/* The hash of an item, the same one that was given to dict_insert. */
typedef uint64_t dict_hash_fn(const void *context, const void *item);
/* True if item is what wanted describes. */
typedef bool dict_match_fn(const void *item, const void *wanted);
/* Returns false to stop the walk.  Must not change the dict. */
typedef bool dict_visit_fn(void *context, void *item);

struct dict {
    struct dict_bucket *coarse, *fine;
    size_t split;
    unsigned exponent;
    size_t size;
    size_t children;
    size_t drained; /* buckets emptied by dict_drain */
    dict_hash_fn *hash;
    const void *hash_context;
};

/* Allocates nothing.  hash_context is borrowed for the dict's life. */
void dict_init(struct dict *d, dict_hash_fn *hash, const void *hash_context);
/* Frees the buckets, not the items. */
void dict_deinit(struct dict *d);

static inline size_t dict_size(const struct dict *d)
{
    return d->size;
}
static inline size_t dict_bucket_count(const struct dict *d)
{
    return d->coarse ? ((size_t)1 << d->exponent) + d->split : 0;
}

static inline struct dict_bucket *dict_bucket_of(const struct dict *d, uint64_t hash)
{
    size_t index = (size_t)((hash >> 1) >> (63 - d->exponent));
    if (index < d->split)
        return &d->fine[hash >> (63 - d->exponent)];
    return &d->coarse[index];
}

/* Bit i set: slot i is in use and has this tag. */
static inline unsigned dict_candidates(const struct dict_bucket *b, uint8_t tag)
{
    unsigned equal = 0;
#if defined(__SSE2__)
    __m128i line = _mm_loadl_epi64((const __m128i *)(const void *)b);
    equal = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(line, _mm_set1_epi8((char)tag))) >> 1;
#else
    for (unsigned i = 0; i < DICT_SLOTS; i++)
        equal |= (unsigned)(b->tags[i] == tag) << i;
#endif
    return equal & b->presence & (DICT_CHAINED - 1);
}

/* The slot that holds the wanted item, NULL if there is none.  The item in the
 * slot may be replaced by another with the same hash.  The slot is good until
 * the next dict_insert, dict_remove, dict_merge or dict_drain. */
__attribute__((always_inline)) static inline void **dict_find(const struct dict *d, uint64_t hash,
                                                              dict_match_fn *is_match, const void *wanted)
{
    if (!d->coarse)
        return NULL;
    struct dict_bucket *b = dict_bucket_of(d, hash);
    for (;;) {
        for (unsigned left = dict_candidates(b, (uint8_t)hash); left; left &= left - 1) {
            void **slot = &b->slots[__builtin_ctz(left)];
            if (is_match(*slot, wanted))
                return slot;
        }
        if (!(b->presence & DICT_CHAINED))
            return NULL;
        b = b->slots[DICT_CHILD_SLOT];
    }
}

static inline void dict_prefetch_bucket(const struct dict *d, uint64_t hash)
{
    if (d->coarse)
        __builtin_prefetch(dict_bucket_of(d, hash), 1);
}
/* The item most likely to have this hash; NULL if there is none.  Touches the
 * bucket only. */
static inline void *dict_guess(const struct dict *d, uint64_t hash)
{
    if (!d->coarse)
        return NULL;
    const struct dict_bucket *b = dict_bucket_of(d, hash);
    unsigned left = dict_candidates(b, (uint8_t)hash);
    if (left)
        return b->slots[__builtin_ctz(left)];
    return b->presence & DICT_CHAINED ? b->slots[DICT_CHILD_SLOT] : NULL;
}

/* Makes an empty dict as large as one that count items were inserted into.
 * Items inserted in the order of their hashes would otherwise all meet in the
 * buckets that are split last. */
void dict_reserve(struct dict *d, size_t count);
/* The dict must not hold an item equal to this one.  Splits at most one
 * bucket, in a small table all of them. */
void dict_insert(struct dict *d, uint64_t hash, void *item);
/* Empties the slot dict_find gave for hash.  Merges at most two pairs of
 * buckets. */
void dict_remove(struct dict *d, uint64_t hash, void **slot);

/* Merges one pair of buckets if the table could do with half of its buckets;
 * false if not. */
bool dict_merge(struct dict *d);
/* True if dict_merge would do something. */
bool dict_is_sparse(const struct dict *d);

/* Visits about count items from cursor on and returns the next cursor, see
 * above.  A cursor of 2^52 or more ends the walk. */
uint64_t dict_scan(const struct dict *d, uint64_t cursor, size_t count, dict_visit_fn *visit, void *context);
/* Visits, in hash order of buckets, all items of the buckets whose ranges meet
 * [first, last] (so also some items outside).  False if a visit stopped it. */
bool dict_walk(const struct dict *d, uint64_t first, uint64_t last, dict_visit_fn *visit, void *context);
/* An item, each with the same probability as long as chains hold at most 14;
 * NULL if the dict is empty.  Cost: expected 14 buckets / load. */
void *dict_pick(const struct dict *d, struct random *random);

/* Empties buckets, giving each item to visit (which may free it), until about
 * *budget items or empty buckets are done; lowers *budget by what it did.  True
 * when the dict is empty and its memory freed.  Between the first call and that
 * nothing else may be called but dict_deinit and the byte counts. */
bool dict_drain(struct dict *d, size_t *budget, dict_visit_fn *visit, void *context);

/* Bytes of buckets, those of mapped tables included. */
size_t dict_bytes(const struct dict *d);

/* Aborts unless I1 to I5 hold.  Cost: O(buckets + items). */
void dict_check(const struct dict *d);

#endif
