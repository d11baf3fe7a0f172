#include "store/intset.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers lie here as the format has them");

/* --- the block -------------------------------------------------------------------- */

static uint32_t load32(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static void set_header(char *set, unsigned width, size_t count)
{
    uint32_t words[2] = {width, (uint32_t)count};
    memcpy(set, words, sizeof words);
}

unsigned intset_width(const char *set)
{
    return load32(set);
}

size_t intset_count(const char *set)
{
    return load32(set + 4);
}

static size_t block_bytes(unsigned width, size_t count)
{
    return INTSET_HEADER_BYTES + width * count;
}

size_t intset_bytes(const char *set)
{
    return block_bytes(intset_width(set), intset_count(set));
}

static int64_t load_int(const char *set, unsigned width, size_t index)
{
    const char *at = set + INTSET_HEADER_BYTES + index * width;
    if (width == 2) {
        int16_t value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    if (width == 4) {
        int32_t value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The low bytes of the value come first. */
static void store_int(char *set, unsigned width, size_t index, int64_t value)
{
    memcpy(set + INTSET_HEADER_BYTES + index * width, &value, width);
}

static unsigned width_of(int64_t value)
{
    if (value >= INT16_MIN && value <= INT16_MAX)
        return 2;
    return value >= INT32_MIN && value <= INT32_MAX ? 4 : 8;
}

/* --- reading ----------------------------------------------------------------------- */

int64_t intset_at(const char *set, size_t index)
{
    CHECK(index < intset_count(set));
    return load_int(set, intset_width(set), index);
}

bool intset_find(const char *set, int64_t value, size_t *index)
{
    unsigned width = intset_width(set);
    size_t low = 0, high = intset_count(set);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (load_int(set, width, middle) < value)
            low = middle + 1;
        else
            high = middle;
    }
    *index = low;
    return low < intset_count(set) && load_int(set, width, low) == value;
}

/* --- changing ------------------------------------------------------------------------ */

char *intset_create(void)
{
    char *set = mem_alloc(INTSET_HEADER_BYTES);
    set_header(set, 2, 0);
    return set;
}

char *intset_copy(const char *set)
{
    size_t bytes = intset_bytes(set);
    return memcpy(mem_alloc(bytes), set, bytes);
}

/* From the last on: an integer moves to where none is that has yet to move. */
char *intset_widen(char *set, unsigned width)
{
    unsigned old = intset_width(set);
    size_t count = intset_count(set);
    if (old >= width)
        return set;
    set = mem_realloc(set, block_bytes(width, count));
    for (size_t i = count; i-- > 0;)
        store_int(set, width, i, load_int(set, old, i));
    set_header(set, width, count);
    return set;
}

char *intset_insert(char *set, size_t index, int64_t value)
{
    size_t count = intset_count(set);
    CHECK(index <= count);
    CHECK(count < UINT32_MAX);
    set = intset_widen(set, width_of(value));
    unsigned width = intset_width(set);
    set = mem_realloc(set, block_bytes(width, count + 1));
    char *at = set + block_bytes(width, index);
    memmove(at + width, at, (count - index) * width);
    store_int(set, width, index, value);
    set_header(set, width, count + 1);
    return set;
}

char *intset_remove(char *set, size_t index)
{
    size_t count = intset_count(set);
    CHECK(index < count);
    unsigned width = intset_width(set);
    char *at = set + block_bytes(width, index);
    memmove(at, at + width, (count - index - 1) * width);
    set_header(set, width, count - 1);
    return mem_realloc(set, block_bytes(width, count - 1));
}

bool intset_append(char **set, int64_t value)
{
    size_t count = intset_count(*set);
    if (count && intset_at(*set, count - 1) >= value)
        return false;
    *set = intset_insert(*set, count, value);
    return true;
}

/* --- strangers' bytes ----------------------------------------------------------------- */

bool intset_is_valid(struct slice bytes)
{
    if (bytes.len < INTSET_HEADER_BYTES)
        return false;
    unsigned width = load32(bytes.ptr);
    size_t count = load32(bytes.ptr + 4);
    if ((width != 2 && width != 4 && width != 8) || bytes.len != block_bytes(width, count))
        return false;
    for (size_t i = 1; i < count; i++)
        if (load_int(bytes.ptr, width, i - 1) >= load_int(bytes.ptr, width, i))
            return false;
    return true;
}

void intset_check(const char *set)
{
    CHECK(intset_is_valid(slice_make(set, intset_bytes(set))));
}
