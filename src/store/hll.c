#include "store/hll.h"

#include <math.h>
#include <string.h>

#include "base/check.h"

enum {
    INDEX_BITS = 14,
    RANK_MAX = 64 - INDEX_BITS + 1,
    REGISTER_BITS = 6,
    REGISTER_MASK = (1 << REGISTER_BITS) - 1,
    ENCODING_AT = 4,
    ESTIMATE_AT = 8,
    DENSE = 0,
    SPARSE = 1,
    SHORT_ZEROS_MAX = 64,
    LONG_ZEROS_MAX = 1 << 14,
    RANKED_MAX = 4,       /* registers in a run that is not at 0 */
    SPARSE_RANK_MAX = 32,
};

static const char magic[4] = {'H', 'Y', 'L', 'L'};

/* --- the hash: MurmurHash2, 64 bits, as Redis seeds it ----------------------- */

static uint64_t load_word(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static uint64_t hash_of(struct slice element)
{
    const uint64_t factor = UINT64_C(0xc6a4a7935bd1e995), seed = UINT64_C(0xadc83b19);
    uint64_t hash = seed ^ (element.len * factor);
    size_t whole = element.len / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word = load_word(element.ptr + i) * factor;
        word = (word ^ (word >> 47)) * factor;
        hash = (hash ^ word) * factor;
    }
    if (element.len > whole) {
        uint64_t rest = 0;
        memcpy(&rest, element.ptr + whole, element.len - whole);
        hash = (hash ^ rest) * factor;
    }
    hash = (hash ^ (hash >> 47)) * factor;
    return hash ^ (hash >> 47);
}

/* --- runs ------------------------------------------------------------------ */

struct run {
    unsigned rank, count;
    unsigned bytes; /* 1 or 2 */
};

/* False at bytes that end within a run. */
static bool run_read(const char *at, const char *end, struct run *run)
{
    if (at >= end)
        return false;
    unsigned first = (unsigned char)at[0];
    if (first & 0x80) {
        *run = (struct run){.rank = ((first >> 2) & 0x1f) + 1, .count = (first & 3) + 1, .bytes = 1};
    } else if (!(first & 0x40)) {
        *run = (struct run){.count = first + 1, .bytes = 1};
    } else {
        if (end - at < 2)
            return false;
        *run = (struct run){.count = ((first & 0x3f) << 8 | (unsigned char)at[1]) + 1, .bytes = 2};
    }
    return true;
}

/* Writes the shortest form of a run; returns its end.  Nothing for none. */
static char *run_write(char *at, unsigned rank, unsigned count)
{
    if (count == 0)
        return at;
    if (rank > 0) {
        CHECK(rank <= SPARSE_RANK_MAX);
        CHECK(count <= RANKED_MAX);
        *at++ = (char)(0x80 | (rank - 1) << 2 | (count - 1));
    } else if (count <= SHORT_ZEROS_MAX) {
        *at++ = (char)(count - 1);
    } else {
        CHECK(count <= LONG_ZEROS_MAX);
        *at++ = (char)(0x40 | (count - 1) >> 8);
        *at++ = (char)((count - 1) & 0xff);
    }
    return at;
}

/* --- strangers' bytes ------------------------------------------------------ */

bool hll_is_one(struct slice bytes)
{
    if (bytes.len < HLL_HEADER_BYTES || memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return false;
    unsigned char encoding = (unsigned char)bytes.ptr[ENCODING_AT];
    return encoding == SPARSE || (encoding == DENSE && bytes.len == HLL_DENSE_BYTES);
}

bool hll_is_valid(struct slice bytes)
{
    if (!hll_is_one(bytes))
        return false;
    if (hll_is_dense(bytes))
        return true;
    const char *at = bytes.ptr + HLL_HEADER_BYTES, *end = bytes.ptr + bytes.len;
    size_t covered = 0;
    struct run run;
    for (; covered < HLL_REGISTERS && run_read(at, end, &run); at += run.bytes)
        covered += run.count;
    return covered == HLL_REGISTERS && at == end;
}

/* --- reading --------------------------------------------------------------- */

bool hll_is_dense(struct slice bytes)
{
    return bytes.ptr[ENCODING_AT] == DENSE;
}

bool hll_cached(struct slice bytes, uint64_t *estimate)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)(unsigned char)bytes.ptr[ESTIMATE_AT + i] << (8 * i);
    if (value >> 63)
        return false;
    *estimate = value;
    return true;
}

static unsigned dense_get(const char *bytes, unsigned index)
{
    const unsigned char *registers = (const unsigned char *)bytes + HLL_HEADER_BYTES;
    unsigned bit = index * REGISTER_BITS;
    unsigned pair = registers[bit / 8];
    if (bit % 8 > 8 - REGISTER_BITS)
        pair |= (unsigned)registers[bit / 8 + 1] << 8;
    return (pair >> (bit % 8)) & REGISTER_MASK;
}

static void dense_set(char *bytes, unsigned index, unsigned rank)
{
    unsigned char *registers = (unsigned char *)bytes + HLL_HEADER_BYTES;
    unsigned bit = index * REGISTER_BITS, shift = bit % 8, mask = REGISTER_MASK;
    unsigned char *low = &registers[bit / 8];
    low[0] = (unsigned char)((low[0] & ~(mask << shift)) | (rank << shift));
    if (shift > 8 - REGISTER_BITS)
        low[1] = (unsigned char)((low[1] & ~(mask >> (8 - shift))) | (rank >> (8 - shift)));
}

void hll_merge(uint8_t registers[static HLL_REGISTERS], struct slice bytes)
{
    if (hll_is_dense(bytes)) {
        for (unsigned i = 0; i < HLL_REGISTERS; i++) {
            uint8_t rank = (uint8_t)dense_get(bytes.ptr, i);
            registers[i] = rank > registers[i] ? rank : registers[i];
        }
        return;
    }
    const char *at = bytes.ptr + HLL_HEADER_BYTES, *end = bytes.ptr + bytes.len;
    unsigned index = 0;
    struct run run;
    for (; run_read(at, end, &run); at += run.bytes) {
        CHECK(run.count <= HLL_REGISTERS - index);
        for (unsigned i = 0; i < run.count && run.rank > 0; i++)
            if (run.rank > registers[index + i])
                registers[index + i] = (uint8_t)run.rank;
        index += run.count;
    }
}

/* --- estimating -------------------------------------------------------------- */

/* Ertl's sigma: x + sum of x^(2^k) * 2^(k-1). */
static double sigma(double x)
{
    if (x == 1)
        return INFINITY;
    double sum = x, last, factor = 1;
    do {
        last = sum;
        x *= x;
        sum += x * factor;
        factor += factor;
    } while (sum != last);
    return sum;
}

/* Ertl's tau: (1 - x - sum of (1 - x^(2^-k))^2 * 2^-k) / 3. */
static double tau(double x)
{
    if (x == 0 || x == 1)
        return 0;
    double sum = 1 - x, last, factor = 1;
    do {
        last = sum;
        x = sqrt(x);
        factor *= 0.5;
        sum -= pow(1 - x, 2) * factor;
    } while (sum != last);
    return sum / 3;
}

/* counts: how many registers hold each rank. */
static uint64_t estimate_from(const int counts[static REGISTER_MASK + 1])
{
    const double alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    const double m = HLL_REGISTERS;
    double z = m * tau((m - counts[RANK_MAX]) / m);
    for (int rank = RANK_MAX - 1; rank >= 1; rank--)
        z = (z + counts[rank]) * 0.5;
    z += m * sigma(counts[0] / m);
    return (uint64_t)llroundl(alpha * m * m / z);
}

uint64_t hll_estimate_registers(const uint8_t registers[static HLL_REGISTERS])
{
    int counts[REGISTER_MASK + 1] = {0};
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        counts[registers[i] & REGISTER_MASK]++;
    return estimate_from(counts);
}

uint64_t hll_estimate(struct slice bytes)
{
    int counts[REGISTER_MASK + 1] = {0};
    if (hll_is_dense(bytes)) {
        for (unsigned i = 0; i < HLL_REGISTERS; i++)
            counts[dense_get(bytes.ptr, i)]++;
        return estimate_from(counts);
    }
    const char *at = bytes.ptr + HLL_HEADER_BYTES, *end = bytes.ptr + bytes.len;
    struct run run;
    for (; run_read(at, end, &run); at += run.bytes)
        counts[run.rank] += (int)run.count;
    return estimate_from(counts);
}

void hll_each_run(struct slice bytes, hll_run_fn *visit, void *context)
{
    const char *at = bytes.ptr + HLL_HEADER_BYTES, *end = bytes.ptr + bytes.len;
    struct run run;
    for (; run_read(at, end, &run); at += run.bytes)
        visit(context, run.rank, run.count, run.bytes == 2);
}

/* --- changing -------------------------------------------------------------- */

void hll_cache(char *bytes, uint64_t estimate)
{
    for (unsigned i = 0; i < 8; i++)
        bytes[ESTIMATE_AT + i] = (char)(estimate >> (8 * i));
}

void hll_forget_estimate(char *bytes)
{
    bytes[ESTIMATE_AT + 7] = (char)(bytes[ESTIMATE_AT + 7] | 0x80);
}

void hll_init(struct hll *h)
{
    memset(h->bytes, 0, HLL_HEADER_BYTES);
    memcpy(h->bytes, magic, sizeof magic);
    h->bytes[ENCODING_AT] = SPARSE;
    char *end = run_write(h->bytes + HLL_HEADER_BYTES, 0, HLL_REGISTERS);
    h->size = (size_t)(end - h->bytes);
}

void hll_make_dense(struct hll *h)
{
    if (hll_is_dense(slice_make(h->bytes, h->size)))
        return;
    uint8_t registers[HLL_REGISTERS] = {0};
    hll_merge(registers, slice_make(h->bytes, h->size));
    h->bytes[ENCODING_AT] = DENSE;
    h->size = HLL_DENSE_BYTES;
    memset(h->bytes + HLL_HEADER_BYTES, 0, HLL_DENSE_BYTES - HLL_HEADER_BYTES);
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        if (registers[i] > 0)
            dense_set(h->bytes, i, registers[i]);
}

static bool raise_dense(struct hll *h, unsigned index, unsigned rank)
{
    if (dense_get(h->bytes, index) >= rank)
        return false;
    dense_set(h->bytes, index, rank);
    hll_forget_estimate(h->bytes);
    return true;
}

/* A sparse counter's run that holds a register. */
struct run_place {
    struct run run;
    char *at, *before; /* before: the run in front of it, or itself */
    unsigned first;    /* its first register */
};

static struct run_place find_run(struct hll *h, unsigned index)
{
    struct run_place p = {.at = h->bytes + HLL_HEADER_BYTES, .before = h->bytes + HLL_HEADER_BYTES};
    const char *end = h->bytes + h->size;
    for (;;) {
        CHECK(run_read(p.at, end, &p.run));
        if (index < p.first + p.run.count)
            return p;
        p.before = p.at;
        p.at += p.run.bytes;
        p.first += p.run.count;
    }
}

/* Joins neighbours of equal rank as far as a run reaches.  Five steps, of which
 * a joining is one, see all that one split can have made. */
static void join_runs(struct hll *h, char *at)
{
    struct run run, next;
    for (int steps = 5; steps > 0 && run_read(at, h->bytes + h->size, &run); steps--) {
        char *behind = at + run.bytes, *end = h->bytes + h->size;
        bool is_joined = run.rank > 0 && run_read(behind, end, &next) && next.rank == run.rank &&
                         run.count + next.count <= RANKED_MAX;
        if (!is_joined) {
            at = behind;
            continue;
        }
        run_write(at, run.rank, run.count + next.count);
        memmove(behind, behind + 1, (size_t)(end - behind) - 1);
        h->size--;
    }
}

/* The run's registers before the one concerned, that one, those behind it. */
static size_t split_run(const struct run_place *p, unsigned index, unsigned rank, char pieces[static 6])
{
    char *end = run_write(pieces, p->run.rank, index - p->first);
    end = run_write(end, rank, 1);
    end = run_write(end, p->run.rank, p->first + p->run.count - 1 - index);
    return (size_t)(end - pieces);
}

bool hll_raise(struct hll *h, unsigned index, unsigned rank, size_t sparse_max)
{
    CHECK(index < HLL_REGISTERS);
    if (hll_is_dense(slice_make(h->bytes, h->size)))
        return raise_dense(h, index, rank);
    if (rank > SPARSE_RANK_MAX) {
        hll_make_dense(h);
        return raise_dense(h, index, rank);
    }
    struct run_place p = find_run(h, index);
    if (p.run.rank >= rank)
        return false;
    char pieces[6];
    size_t size = split_run(&p, index, rank, pieces);
    if (size > p.run.bytes && h->size + size - p.run.bytes > sparse_max) {
        hll_make_dense(h);
        return raise_dense(h, index, rank);
    }
    char *behind = p.at + p.run.bytes;
    memmove(p.at + size, behind, (size_t)(h->bytes + h->size - behind));
    memcpy(p.at, pieces, size);
    h->size = h->size + size - p.run.bytes;
    join_runs(h, p.before);
    CHECK(h->size <= HLL_BYTES_MAX);
    hll_forget_estimate(h->bytes);
    return true;
}

bool hll_add(struct hll *h, struct slice element, size_t sparse_max)
{
    uint64_t hash = hash_of(element);
    unsigned index = (unsigned)(hash & (HLL_REGISTERS - 1));
    uint64_t coins = hash >> INDEX_BITS | UINT64_C(1) << (64 - INDEX_BITS);
    return hll_raise(h, index, (unsigned)__builtin_ctzll(coins) + 1, sparse_max);
}
