#include "store/xstream_radix.h"

#include "base/check.h"

enum { KEY_BYTES = 16, WORD_BYTES = 8 };

static int seek_not_below(const void *sought, struct tree_item item)
{
    const struct xstream_node *n = item.item;
    return xstream_id_compare(n->id, *(const struct xstream_id *)sought) < 0 ? -1 : 1;
}

/* The first node not below id, or the end. */
static struct tree_place at_or_above(const struct tree *nodes, struct xstream_id id)
{
    return tree_seek(nodes, seek_not_below, &id, NULL);
}

static struct tree_place below(const struct tree *nodes, struct xstream_id id)
{
    struct tree_place place = at_or_above(nodes, id);
    if (tree_is_end(place))
        return tree_last(nodes);
    return tree_previous(place);
}

static struct xstream_id id_at(struct tree_place place)
{
    return ((const struct xstream_node *)tree_get(place).item)->id;
}

/* Bytes two different ids share at their beginning. */
static unsigned shared_bytes(struct xstream_id a, struct xstream_id b)
{
    if (a.ms != b.ms)
        return (unsigned)__builtin_clzll(a.ms ^ b.ms) / 8;
    CHECK(a.seq != b.seq);
    return WORD_BYTES + (unsigned)__builtin_clzll(a.seq ^ b.seq) / 8;
}

/* The word's first bytes, and behind them zeros or ones. */
static uint64_t fill_word(uint64_t word, unsigned bytes, uint64_t filler)
{
    if (bytes >= WORD_BYTES)
        return word;
    uint64_t rest = UINT64_MAX >> 8 * bytes;
    return (word & ~rest) | (filler & rest);
}

static struct xstream_id fill_id(struct xstream_id id, unsigned bytes, uint64_t filler)
{
    unsigned seq_bytes = bytes > WORD_BYTES ? bytes - WORD_BYTES : 0;
    return (struct xstream_id){fill_word(id.ms, bytes, filler), fill_word(id.seq, seq_bytes, filler)};
}

/* All ids that share some bytes with one of them. */
struct family {
    struct xstream_id first, last;
    unsigned above; /* bytes it shares with whoever shares most with it from outside, plus one; 0: there is nobody */
};

static struct family family_of(const struct tree *nodes, struct xstream_id id, unsigned bytes)
{
    struct family f = {.first = id_at(at_or_above(nodes, fill_id(id, bytes, 0)))};
    struct xstream_id bound = fill_id(id, bytes, UINT64_MAX);
    struct tree_place next = at_or_above(nodes, bound), previous = below(nodes, f.first);
    bool has_bound = !tree_is_end(next) && xstream_id_compare(id_at(next), bound) == 0;
    f.last = has_bound ? bound : id_at(below(nodes, bound));
    if (has_bound)
        next = tree_next(next);
    if (!tree_is_end(next))
        f.above = shared_bytes(id_at(next), f.last) + 1;
    if (!tree_is_end(previous)) {
        unsigned above = shared_bytes(id_at(previous), f.first) + 1;
        f.above = above > f.above ? above : f.above;
    }
    return f;
}

/* The new key leaves the others at byte depth, next to neighbour.  Either there
 * is a branch already, or a run of bytes is cut there. */
uint64_t xstream_radix_share(const struct tree *nodes, struct xstream_id id)
{
    if (tree_size(nodes) == 0)
        return 1;
    struct tree_place next = at_or_above(nodes, id), previous = below(nodes, id);
    struct xstream_id neighbour = id_at(tree_is_end(next) ? previous : next);
    if (!tree_is_end(next) && !tree_is_end(previous) &&
        shared_bytes(id_at(previous), id) > shared_bytes(neighbour, id))
        neighbour = id_at(previous);
    unsigned depth = shared_bytes(neighbour, id);
    uint64_t own = 1 + (depth + 1 < KEY_BYTES); /* its end, and the run before */
    struct family f = family_of(nodes, neighbour, depth + 1);
    if (f.above == depth + 1)
        return own;
    unsigned run_end = xstream_id_compare(f.first, f.last) == 0 ? KEY_BYTES : shared_bytes(f.first, f.last);
    /* The run from f.above to run_end becomes a branch and what is left of it. */
    return own + 1 + (depth > f.above) + (run_end > depth + 1) - 1;
}
