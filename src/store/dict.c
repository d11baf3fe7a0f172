#include "store/dict.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/check.h"

static_assert(sizeof(struct dict_bucket) == 64, "a bucket is a cache line");
static_assert(64 - DICT_EXPONENT_MAX - 1 >= DICT_CURSOR_SHIFT, "ends of ranges are exact cursors");

/* Items per bucket above which the table grows, 4.75; chosen for memory: at
 * this load a key costs 13.5 bytes of buckets and about 1.5 of children. */
enum { LOAD_NUMERATOR = 19, LOAD_DENOMINATOR = 4 };
/* Deleting shrinks the table below a quarter of that load, housekeeping below
 * half of it. */
enum { SPARSE_ON_REMOVE = 4, SPARSE_WHEN_IDLE = 2, MERGES_PER_REMOVE = 2 };

enum {
    BUCKET_BYTES = sizeof(struct dict_bucket),
    MAP_BYTES_MIN = 128 << 10,
    WHOLE_BYTES_MAX = 64 << 10, /* a table up to this grows to twice its size in one go */
    HUGE_PAGE_BYTES = 2 << 20,
    SMALL_PIECE_BYTES = 64 << 10, /* what a table below a huge page gives back at a time */
    PICK_SLOTS = 2 * DICT_SLOTS,
    WALK_EMPTY_FACTOR = 10,
};

/* --- tables ---------------------------------------------------------------- */

static size_t table_bytes(unsigned exponent)
{
    return (size_t)BUCKET_BYTES << exponent;
}

static bool table_is_mapped(unsigned exponent)
{
    return table_bytes(exponent) >= MAP_BYTES_MIN;
}

/* Zeroed address space; pages appear when touched.  Large tables begin on a
 * huge-page boundary. */
static void *map_zeroed(size_t bytes)
{
    size_t slop = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 0;
    char *region =
        mmap(NULL, bytes + slop, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(region != MAP_FAILED);
    if (!slop)
        return region;
    size_t before = (size_t)(-(uintptr_t)region) & (HUGE_PAGE_BYTES - 1);
    if (before)
        munmap(region, before);
    if (before < slop)
        munmap(region + before + bytes, slop - before);
    madvise(region + before, bytes, MADV_HUGEPAGE); /* advice: failure costs speed only */
    return region + before;
}

static struct dict_bucket *table_create(unsigned exponent)
{
    CHECK(exponent <= DICT_EXPONENT_MAX);
    size_t bytes = table_bytes(exponent);
    if (table_is_mapped(exponent))
        return map_zeroed(bytes);
    void *table = mem_alloc_aligned(BUCKET_BYTES, bytes);
    return memset(table, 0, bytes);
}

static void table_free(struct dict_bucket *table, unsigned exponent)
{
    if (!table)
        return;
    if (table_is_mapped(exponent))
        munmap(table, table_bytes(exponent));
    else
        mem_free(table);
}

static size_t piece_buckets(unsigned exponent)
{
    size_t bytes = table_bytes(exponent) < HUGE_PAGE_BYTES ? SMALL_PIECE_BYTES : HUGE_PAGE_BYTES;
    return bytes / BUCKET_BYTES;
}

/* Where a piece begins at the given bucket, its memory is given back.  It must
 * hold no item; it reads as zero afterwards. */
static void release_from(struct dict_bucket *table, unsigned exponent, size_t begin)
{
    size_t piece = piece_buckets(exponent);
    if (table_is_mapped(exponent) && begin % piece == 0)
        madvise(table + begin, piece * BUCKET_BYTES, MADV_DONTNEED);
}

/* The same for the piece that ends there. */
static void release_before(struct dict_bucket *table, unsigned exponent, size_t end)
{
    size_t piece = piece_buckets(exponent);
    if (end >= piece)
        release_from(table, exponent, end - piece);
}

static size_t coarse_bytes(const struct dict *d)
{
    size_t all = d->coarse ? table_bytes(d->exponent) : 0;
    return table_is_mapped(d->exponent) && all ? all - d->split * BUCKET_BYTES : all;
}

static size_t fine_bytes(const struct dict *d)
{
    if (!d->fine)
        return 0;
    return table_is_mapped(d->exponent + 1) ? 2 * d->split * BUCKET_BYTES : table_bytes(d->exponent + 1);
}

/* Of tables that are mapped only what lies on the used side of the boundary. */
static size_t mapped_bytes(const struct dict *d)
{
    return (table_is_mapped(d->exponent) ? coarse_bytes(d) : 0) +
           (table_is_mapped(d->exponent + 1) ? fine_bytes(d) : 0);
}

static void note_mapped(const struct dict *d, size_t before)
{
    mem_note_mapped((int64_t)mapped_bytes(d) - (int64_t)before);
}

/* --- chains ---------------------------------------------------------------- */

static bool is_chained(const struct dict_bucket *b)
{
    return b->presence & DICT_CHAINED;
}

static unsigned item_bits(const struct dict_bucket *b)
{
    return b->presence & (DICT_CHAINED - 1u);
}

static unsigned item_count(const struct dict_bucket *b)
{
    return (unsigned)__builtin_popcount(item_bits(b));
}

static void place(struct dict_bucket *b, unsigned i, uint8_t tag, void *item)
{
    b->tags[i] = tag;
    b->slots[i] = item;
    b->presence = (uint8_t)(b->presence | 1u << i);
}

static void chain_insert(struct dict *d, struct dict_bucket *b, uint8_t tag, void *item)
{
    while (is_chained(b))
        b = b->slots[DICT_CHILD_SLOT];
    unsigned free_bits = ~(unsigned)b->presence & (DICT_CHAINED - 1u);
    if (free_bits) {
        place(b, (unsigned)__builtin_ctz(free_bits), tag, item);
        return;
    }
    struct dict_bucket *child = mem_alloc_aligned(BUCKET_BYTES, BUCKET_BYTES);
    memset(child, 0, BUCKET_BYTES);
    d->children++;
    place(child, 0, b->tags[DICT_CHILD_SLOT], b->slots[DICT_CHILD_SLOT]);
    place(child, 1, tag, item);
    b->presence = (uint8_t)((b->presence & ~(1u << DICT_CHILD_SLOT)) | DICT_CHAINED);
    b->slots[DICT_CHILD_SLOT] = child;
}

static void free_child(struct dict *d, struct dict_bucket *child)
{
    mem_free_sized(child, BUCKET_BYTES);
    d->children--;
}

/* The last item of the chain fills the hole, and a child left with one item
 * is folded into its parent (I3). */
static void chain_remove(struct dict *d, struct dict_bucket *b, void **slot)
{
    struct dict_bucket *parent = NULL, *holder = NULL;
    for (;; parent = b, b = b->slots[DICT_CHILD_SLOT]) {
        if (slot >= b->slots && slot < b->slots + DICT_SLOTS)
            holder = b;
        if (!is_chained(b))
            break;
    }
    CHECK(holder != NULL);
    unsigned hole = (unsigned)(slot - holder->slots);
    CHECK(item_bits(holder) & 1u << hole);
    unsigned last = 31u - (unsigned)__builtin_clz(item_bits(b));
    holder->tags[hole] = b->tags[last];
    holder->slots[hole] = b->slots[last];
    b->presence = (uint8_t)(b->presence & ~(1u << last));
    if (parent && item_count(b) == 1) {
        unsigned left = (unsigned)__builtin_ctz(item_bits(b));
        parent->presence = (uint8_t)(parent->presence & ~DICT_CHAINED);
        place(parent, DICT_CHILD_SLOT, b->tags[left], b->slots[left]);
        free_child(d, b);
    }
}

/* Calls sink for every item of the chain and leaves the bucket empty, its
 * children freed. */
typedef void sink_fn(struct dict *d, uint8_t tag, void *item, void *target);
static size_t chain_empty(struct dict *d, struct dict_bucket *top, sink_fn *sink, void *target)
{
    size_t count = 0;
    for (struct dict_bucket *b = top; b;) {
        for (unsigned left = item_bits(b); left; left &= left - 1, count++) {
            unsigned i = (unsigned)__builtin_ctz(left);
            sink(d, b->tags[i], b->slots[i], target);
        }
        struct dict_bucket *child = is_chained(b) ? b->slots[DICT_CHILD_SLOT] : NULL;
        if (b != top)
            free_child(d, b);
        b = child;
    }
    top->presence = 0;
    return count;
}

static void chain_prefetch(const struct dict_bucket *b)
{
    for (unsigned left = item_bits(b); left; left &= left - 1)
        __builtin_prefetch(b->slots[__builtin_ctz(left)]);
}

static bool chain_visit(const struct dict_bucket *b, dict_visit_fn *visit, void *context, size_t *count)
{
    for (;;) {
        for (unsigned left = item_bits(b); left; left &= left - 1) {
            ++*count;
            if (!visit(context, b->slots[__builtin_ctz(left)]))
                return false;
        }
        if (!is_chained(b))
            return true;
        b = b->slots[DICT_CHILD_SLOT];
    }
}

/* --- growing and shrinking ------------------------------------------------- */

static void split_sink(struct dict *d, uint8_t tag, void *item, void *pair)
{
    uint64_t hash = d->hash(d->hash_context, item);
    struct dict_bucket *target = &d->fine[hash >> (63 - d->exponent)];
    CHECK(target == pair || target == (struct dict_bucket *)pair + 1);
    chain_insert(d, target, tag, item);
}

static void split_bucket(struct dict *d)
{
    if (!d->fine)
        d->fine = table_create(d->exponent + 1);
    size_t i = d->split++;
    chain_empty(d, &d->coarse[i], split_sink, &d->fine[2 * i]);
    size_t coarse_count = (size_t)1 << d->exponent;
    if (d->split < coarse_count) {
        chain_prefetch(&d->coarse[d->split]);
        release_before(d->coarse, d->exponent, d->split);
        return;
    }
    table_free(d->coarse, d->exponent);
    d->coarse = d->fine;
    d->fine = NULL;
    d->split = 0;
    d->exponent++;
}

static void split_one(struct dict *d)
{
    size_t mapped = mapped_bytes(d);
    split_bucket(d);
    note_mapped(d, mapped);
}

/* Two tables side by side, one emptying and one filling, take three times the
 * smaller one's bytes unless they are mapped.  So a small one is split at once:
 * at most 2400 items, below 0.1 ms. */
static bool grows_whole(unsigned exponent)
{
    return table_bytes(exponent + 1) <= WHOLE_BYTES_MAX;
}

static void grow(struct dict *d)
{
    do
        split_one(d);
    while (d->split > 0 && grows_whole(d->exponent));
}

static void merge_sink(struct dict *d, uint8_t tag, void *item, void *target)
{
    chain_insert(d, target, tag, item);
}

static void merge_buckets(struct dict *d)
{
    CHECK(dict_bucket_count(d) > 1);
    if (d->split == 0) {
        d->fine = d->coarse;
        d->exponent--;
        d->coarse = table_create(d->exponent);
        d->split = (size_t)1 << d->exponent;
    }
    size_t i = --d->split;
    chain_empty(d, &d->fine[2 * i], merge_sink, &d->coarse[i]);
    chain_empty(d, &d->fine[2 * i + 1], merge_sink, &d->coarse[i]);
    if (d->split == 0) {
        table_free(d->fine, d->exponent + 1);
        d->fine = NULL;
    } else {
        release_from(d->fine, d->exponent + 1, 2 * i);
    }
}

static void merge_one(struct dict *d)
{
    size_t mapped = mapped_bytes(d);
    merge_buckets(d);
    note_mapped(d, mapped);
}

static bool is_below_load(const struct dict *d, size_t fraction)
{
    size_t buckets = dict_bucket_count(d);
    return buckets > 1 && d->size * LOAD_DENOMINATOR * fraction < buckets * LOAD_NUMERATOR;
}

bool dict_is_sparse(const struct dict *d)
{
    return is_below_load(d, SPARSE_WHEN_IDLE);
}

bool dict_merge(struct dict *d)
{
    if (!dict_is_sparse(d))
        return false;
    merge_one(d);
    return true;
}

/* --- items ----------------------------------------------------------------- */

void dict_init(struct dict *d, dict_hash_fn *hash, const void *hash_context)
{
    *d = (struct dict){.hash = hash, .hash_context = hash_context};
}

static void ignore_sink(struct dict *d, uint8_t tag, void *item, void *target)
{
    (void)d, (void)tag, (void)item, (void)target;
}

/* Buckets in use are numbered in hash order. */
static struct dict_bucket *bucket_at(const struct dict *d, size_t ordinal)
{
    return ordinal < 2 * d->split ? &d->fine[ordinal] : &d->coarse[ordinal - d->split];
}

void dict_deinit(struct dict *d)
{
    for (size_t i = d->drained; d->children && i < dict_bucket_count(d); i++)
        chain_empty(d, bucket_at(d, i), ignore_sink, NULL);
    size_t mapped = mapped_bytes(d);
    table_free(d->coarse, d->exponent);
    table_free(d->fine, d->exponent + 1);
    dict_init(d, d->hash, d->hash_context);
    note_mapped(d, mapped);
}

void dict_reserve(struct dict *d, size_t count)
{
    CHECK(d->size == 0);
    CHECK(count <= SIZE_MAX / LOAD_DENOMINATOR);
    dict_deinit(d);
    size_t buckets = (count * LOAD_DENOMINATOR + LOAD_NUMERATOR - 1) / LOAD_NUMERATOR;
    if (buckets == 0)
        return;
    d->exponent = 63u - (unsigned)__builtin_clzll(buckets);
    d->split = buckets - ((size_t)1 << d->exponent);
    if (d->split > 0 && grows_whole(d->exponent)) {
        d->exponent++;
        d->split = 0;
    }
    d->coarse = table_create(d->exponent);
    if (d->split > 0)
        d->fine = table_create(d->exponent + 1);
    note_mapped(d, 0);
}

void dict_insert(struct dict *d, uint64_t hash, void *item)
{
    if (!d->coarse)
        d->coarse = table_create(0);
    chain_insert(d, dict_bucket_of(d, hash), (uint8_t)hash, item);
    d->size++;
    if (d->size * LOAD_DENOMINATOR > dict_bucket_count(d) * LOAD_NUMERATOR)
        grow(d);
}

void dict_remove(struct dict *d, uint64_t hash, void **slot)
{
    CHECK(d->size > 0);
    chain_remove(d, dict_bucket_of(d, hash), slot);
    d->size--;
    for (int i = 0; i < MERGES_PER_REMOVE && is_below_load(d, SPARSE_ON_REMOVE); i++)
        merge_one(d);
}

/* --- walks ----------------------------------------------------------------- */

/* The last hash of the range of the bucket that hash belongs to. */
static uint64_t range_end(const struct dict *d, uint64_t hash)
{
    size_t index = (size_t)((hash >> 1) >> (63 - d->exponent));
    unsigned bits = d->exponent + (index < d->split);
    return hash | UINT64_MAX >> bits;
}

uint64_t dict_scan(const struct dict *d, uint64_t cursor, size_t count, dict_visit_fn *visit, void *context)
{
    if (d->size == 0 || cursor >> (64 - DICT_CURSOR_SHIFT))
        return 0;
    uint64_t hash = cursor << DICT_CURSOR_SHIFT;
    size_t visited = 0;
    size_t buckets_left = count > SIZE_MAX / WALK_EMPTY_FACTOR ? SIZE_MAX : count * WALK_EMPTY_FACTOR;
    do {
        chain_visit(dict_bucket_of(d, hash), visit, context, &visited);
        hash = range_end(d, hash) + 1;
    } while (hash && visited < count && --buckets_left);
    return hash >> DICT_CURSOR_SHIFT;
}

bool dict_walk(const struct dict *d, uint64_t first, uint64_t last, dict_visit_fn *visit, void *context)
{
    if (d->size == 0)
        return true;
    size_t visited = 0;
    for (uint64_t hash = first;;) {
        uint64_t end = range_end(d, hash);
        if (end < last)
            chain_prefetch(dict_bucket_of(d, end + 1));
        if (!chain_visit(dict_bucket_of(d, hash), visit, context, &visited))
            return false;
        if (end >= last)
            return true;
        hash = end + 1;
    }
}

static unsigned chain_length(const struct dict_bucket *b)
{
    unsigned length = item_count(b);
    for (; is_chained(b); length += item_count(b))
        b = b->slots[DICT_CHILD_SLOT];
    return length;
}

static void *chain_item(const struct dict_bucket *b, unsigned index)
{
    for (; index >= item_count(b); b = b->slots[DICT_CHILD_SLOT])
        index -= item_count(b);
    unsigned left = item_bits(b);
    while (index--)
        left &= left - 1;
    return b->slots[__builtin_ctz(left)];
}

/* A bucket is kept with probability length / PICK_SLOTS, so that items of full
 * and of sparse buckets have equal chances. */
void *dict_pick(const struct dict *d, struct random *random)
{
    if (d->size == 0)
        return NULL;
    for (;;) {
        const struct dict_bucket *b = bucket_at(d, random_below(random, dict_bucket_count(d)));
        unsigned length = chain_length(b);
        uint64_t index = random_below(random, length > PICK_SLOTS ? length : PICK_SLOTS);
        if (index < length)
            return chain_item(b, (unsigned)index);
    }
}

struct drain_target {
    dict_visit_fn *visit;
    void *context;
};

static void drain_sink(struct dict *d, uint8_t tag, void *item, void *target)
{
    (void)tag;
    struct drain_target *t = target;
    d->size--;
    t->visit(t->context, item);
}

static void release_drained(struct dict *d)
{
    if (d->drained <= 2 * d->split)
        release_before(d->fine, d->exponent + 1, d->drained);
    else
        release_before(d->coarse, d->exponent, d->drained - d->split);
}

bool dict_drain(struct dict *d, size_t *budget, dict_visit_fn *visit, void *context)
{
    struct drain_target target = {visit, context};
    size_t count = dict_bucket_count(d);
    while (d->drained < count && *budget) {
        if (d->drained + 1 < count)
            chain_prefetch(bucket_at(d, d->drained + 1));
        size_t done = 1 + chain_empty(d, bucket_at(d, d->drained), drain_sink, &target);
        *budget -= done < *budget ? done : *budget;
        d->drained++;
        release_drained(d);
    }
    if (d->drained < count)
        return false;
    CHECK(d->size == 0);
    dict_deinit(d);
    return true;
}

/* --- figures and checks ---------------------------------------------------- */

size_t dict_bytes(const struct dict *d)
{
    return coarse_bytes(d) + fine_bytes(d) + d->children * BUCKET_BYTES;
}

static size_t check_chain(const struct dict *d, const struct dict_bucket *b, size_t *children)
{
    const struct dict_bucket *top = b;
    size_t items = 0;
    for (;; b = b->slots[DICT_CHILD_SLOT]) {
        for (unsigned left = item_bits(b); left; left &= left - 1) {
            unsigned i = (unsigned)__builtin_ctz(left);
            uint64_t hash = d->hash(d->hash_context, b->slots[i]);
            CHECK(dict_bucket_of(d, hash) == top);
            CHECK(b->tags[i] == (uint8_t)hash);
        }
        items += item_count(b);
        CHECK(b == top || item_count(b) >= 2);
        *children += b != top;
        if (!is_chained(b))
            return items;
        CHECK(item_bits(b) == (1u << DICT_CHILD_SLOT) - 1);
    }
}

void dict_check(const struct dict *d)
{
    CHECK(d->drained == 0);
    CHECK((d->fine == NULL) == (d->split == 0));
    if (!d->coarse) {
        CHECK(d->size == 0);
        CHECK(d->split == 0);
        return;
    }
    size_t coarse_count = (size_t)1 << d->exponent;
    CHECK(d->split < coarse_count);
    size_t items = 0, children = 0;
    for (size_t i = 0; i < dict_bucket_count(d); i++)
        items += check_chain(d, bucket_at(d, i), &children);
    for (size_t i = 0; i < d->split; i++)
        CHECK(d->coarse[i].presence == 0);
    for (size_t i = 2 * d->split; d->fine && i < 2 * coarse_count; i++)
        CHECK(d->fine[i].presence == 0);
    CHECK(items == d->size);
    CHECK(children == d->children);
}
