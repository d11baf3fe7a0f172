/* Strings as arrays of bits. */
#include "base/alloc.h"
#include "base/check.h"
#include "command/bits.h"
#include "command/families.h"

bool call_bit_offset(struct call *c, int index, int width, uint64_t *offset)
{
    struct slice text = c->argv[index];
    bool is_multiple = width > 0 && text.len > 0 && text.ptr[0] == '#';
    int64_t at;
    if (is_multiple)
        text = slice_make(text.ptr + 1, text.len - 1);
    bool is_valid = slice_to_int64(text, &at) && (!is_multiple || !__builtin_mul_overflow(at, width, &at));
    if (!is_valid || at < 0 || at / 8 >= COMMAND_STRING_MAX) {
        reply_error(c->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    *offset = (uint64_t)at;
    return true;
}

struct slice call_bits(const struct entry *e, char scratch[static INT64_TEXT_MAX])
{
    return e ? entry_string(e, scratch) : slice_make("", 0);
}

/* --- one bit --------------------------------------------------------------- */

static void getbit_command(struct call *c)
{
    char scratch[INT64_TEXT_MAX];
    uint64_t at;
    struct entry *e;
    if (call_bit_offset(c, 2, 0, &at) && call_find_string(c, 1, &e))
        reply_int(c->reply, bit_at(call_bits(e, scratch), at));
}

static bool read_bit(struct call *c, int index, bool *bit)
{
    static const char error[] = "ERR bit is not an integer or out of range";
    int64_t value;
    if (!call_int64_or(c, index, &value, error))
        return false;
    if (value != 0 && value != 1) {
        reply_error(c->reply, error);
        return false;
    }
    *bit = value;
    return true;
}

/* Writes the bit and returns the old one; *is_changed tells whether the string
 * differs. */
static bool write_bit(struct call *c, const struct entry *e, uint64_t at, bool bit, bool *is_changed)
{
    size_t had = e ? entry_string_length(e) : 0, needed = (size_t)(at / 8 + 1);
    size_t size = had > needed ? had : needed;
    char *bytes = keyspace_edit_string(c->ks, c->db, c->argv[1], size);
    bool old = bit_at(slice_make(bytes, size), at);
    bit_set(bytes, at, bit);
    *is_changed = size > had || old != bit;
    return old;
}

static void setbit_command(struct call *c)
{
    struct slice key = c->argv[1];
    uint64_t at;
    bool bit, is_changed;
    struct entry *e;
    if (!call_bit_offset(c, 2, 0, &at) || !read_bit(c, 3, &bit) || !call_find_string_for_write(c, 1, &e))
        return;
    bool old = write_bit(c, e, at, bit, &is_changed);
    if (!e)
        call_notify(c, EVENT_NEW, "new", key);
    if (is_changed)
        call_changed(c, EVENT_STRING, "setbit", key);
    reply_int(c->reply, old);
}

/* --- ranges ---------------------------------------------------------------- */

/* Bits from first up to, not including, end. */
struct bit_range {
    uint64_t first, end;
};

static bool read_unit(struct call *c, int index, bool *is_bits)
{
    *is_bits = call_option(c, index, "bit");
    if (*is_bits || call_option(c, index, "byte"))
        return true;
    reply_error(c->reply, ERROR_SYNTAX);
    return false;
}

/* start and end, both included and counted from the end of the string where
 * negative, as bits of it. */
static struct bit_range clamp(int64_t start, int64_t end, bool is_bits, size_t len)
{
    int64_t total = (int64_t)(is_bits ? len * 8 : len);
    int64_t bits_each = is_bits ? 1 : 8;
    start = start < 0 ? start + total : start;
    end = end < 0 ? end + total : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= total ? total - 1 : end;
    if (start > end)
        return (struct bit_range){0, 0};
    return (struct bit_range){(uint64_t)(start * bits_each), (uint64_t)((end + 1) * bits_each)};
}

static uint64_t count_bytes(const char *bytes, size_t size)
{
    uint64_t count = 0;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; i < size; i++)
        count += (uint64_t)__builtin_popcount((unsigned char)bytes[i]);
    return count;
}

static uint64_t count_bits(struct slice bytes, struct bit_range range)
{
    uint64_t count = 0;
    for (; range.first < range.end && range.first % 8; range.first++)
        count += bit_at(bytes, range.first);
    for (; range.end > range.first && range.end % 8; range.end--)
        count += bit_at(bytes, range.end - 1);
    return count + count_bytes(bytes.ptr + range.first / 8, (size_t)(range.end - range.first) / 8);
}

/* The range of BITCOUNT, in the oracle's order: one that is empty whatever the
 * unit has its unit unread. */
static bool read_count_range(struct call *c, size_t len, struct bit_range *range)
{
    int64_t start = 0, end = -1;
    bool is_bits = false;
    if (c->argc == 3 || c->argc > 5) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (c->argc > 3 && (!call_int64(c, 2, &start) || !call_int64(c, 3, &end)))
        return false;
    bool is_empty = start < 0 && end < 0 && start > end;
    if (!is_empty && c->argc == 5 && !read_unit(c, 4, &is_bits))
        return false;
    *range = is_empty ? (struct bit_range){0, 0} : clamp(start, end, is_bits, len);
    return true;
}

static void bitcount_command(struct call *c)
{
    char scratch[INT64_TEXT_MAX];
    struct bit_range range;
    struct entry *e;
    if (!call_find_string(c, 1, &e))
        return;
    struct slice bytes = call_bits(e, scratch);
    if (!e)
        reply_int(c->reply, 0);
    else if (read_count_range(c, bytes.len, &range))
        reply_int(c->reply, (int64_t)count_bits(bytes, range));
}

/* First bit of range that equals bit, range.end if none does. */
static uint64_t find_bit(struct slice bytes, struct bit_range range, bool bit)
{
    unsigned char skipped = bit ? 0x00 : 0xff;
    uint64_t at = range.first;
    while (at < range.end) {
        if (at % 8 == 0 && at + 8 <= range.end && (unsigned char)bytes.ptr[at / 8] == skipped)
            at += 8;
        else if (bit_at(bytes, at) == bit)
            return at;
        else
            at++;
    }
    return range.end;
}

/* A string without an end given continues with zeros for ever. */
static int64_t find_position(struct slice bytes, struct bit_range range, bool bit, bool has_end)
{
    if (range.first >= range.end)
        return -1;
    uint64_t at = find_bit(bytes, range, bit);
    if (at == range.end && (bit || has_end))
        return -1;
    return (int64_t)at;
}

static bool read_searched_bit(struct call *c, bool *bit)
{
    int64_t value;
    if (!call_int64(c, 2, &value))
        return false;
    if (value != 0 && value != 1) {
        reply_error(c->reply, "ERR The bit argument must be 1 or 0.");
        return false;
    }
    *bit = value;
    return true;
}

static bool read_search_range(struct call *c, size_t len, struct bit_range *range)
{
    int64_t start = 0, end = -1;
    bool is_bits = false;
    if (c->argc > 6) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    if (c->argc > 3 && !call_int64(c, 3, &start))
        return false;
    if (c->argc == 6 && !read_unit(c, 5, &is_bits))
        return false;
    if (c->argc > 4 && !call_int64(c, 4, &end))
        return false;
    *range = clamp(start, end, is_bits, len);
    return true;
}

static void bitpos_command(struct call *c)
{
    char scratch[INT64_TEXT_MAX];
    struct bit_range range;
    bool bit, has_end = c->argc > 4;
    struct entry *e;
    if (!read_searched_bit(c, &bit) || !call_find_string(c, 1, &e))
        return;
    struct slice bytes = call_bits(e, scratch);
    if (!e)
        reply_int(c->reply, bit ? -1 : 0);
    else if (read_search_range(c, bytes.len, &range))
        reply_int(c->reply, find_position(bytes, range, bit, has_end));
}

/* --- BITOP ----------------------------------------------------------------- */

enum operation { BITOP_AND, BITOP_OR, BITOP_XOR, BITOP_NOT };

static bool read_operation(struct call *c, enum operation *operation)
{
    static const char *const names[] = {"and", "or", "xor", "not"};
    int i = 0;
    while (i < 4 && !call_option(c, 1, names[i]))
        i++;
    if (i == 4) {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    *operation = (enum operation)i;
    if (*operation != BITOP_NOT || c->argc == 4)
        return true;
    reply_error(c->reply, "ERR BITOP NOT must be called with a single source key.");
    return false;
}

/* The longest of the sources, those at argument 3 and behind. */
static bool measure_sources(struct call *c, size_t *longest)
{
    *longest = 0;
    for (int i = 3; i < c->argc; i++) {
        struct entry *e;
        if (!call_find_string(c, i, &e))
            return false;
        size_t length = e ? entry_string_length(e) : 0;
        *longest = length > *longest ? length : *longest;
    }
    return true;
}

/* source counts as zeros beyond its end. */
static void combine(enum operation operation, char *restrict result, size_t size, struct slice source)
{
    const char *restrict bytes = source.ptr;
    CHECK(source.len <= size);
    if (operation == BITOP_AND) {
        for (size_t i = 0; i < source.len; i++)
            result[i] &= bytes[i];
        memset(result + source.len, 0, size - source.len);
    } else if (operation == BITOP_OR) {
        for (size_t i = 0; i < source.len; i++)
            result[i] |= bytes[i];
    } else {
        for (size_t i = 0; i < source.len; i++)
            result[i] ^= bytes[i];
    }
}

static struct slice source_at(struct call *c, int index, char scratch[static INT64_TEXT_MAX])
{
    return call_bits(keyspace_peek(c->ks, c->db, c->argv[index]), scratch);
}

static void compute(struct call *c, enum operation operation, char *result, size_t size)
{
    char scratch[INT64_TEXT_MAX];
    struct slice first = source_at(c, 3, scratch);
    memset(result, 0, size);
    if (first.len)
        memcpy(result, first.ptr, first.len);
    if (operation == BITOP_NOT) {
        for (size_t i = 0; i < size; i++)
            result[i] = (char)~result[i];
        return;
    }
    for (int i = 4; i < c->argc; i++)
        combine(operation, result, size, source_at(c, i, scratch));
}

/* Plain bytes whatever they spell, and no expiry. */
static void store_result(struct call *c, const char *result, size_t size)
{
    struct slice target = c->argv[2];
    bool was_there = keyspace_delete(c->ks, c->db, target);
    memcpy(keyspace_edit_string(c->ks, c->db, target, size), result, size);
    if (!was_there)
        call_notify(c, EVENT_NEW, "new", target);
    call_changed(c, EVENT_STRING, "set", target);
}

static void bitop_command(struct call *c)
{
    enum operation operation;
    size_t size;
    if (!read_operation(c, &operation) || !measure_sources(c, &size))
        return;
    if (size > 0) {
        char *result = mem_alloc(size);
        compute(c, operation, result, size);
        store_result(c, result, size);
        mem_free_sized(result, size);
    } else if (keyspace_delete(c->ks, c->db, c->argv[2])) {
        call_changed(c, EVENT_GENERIC, "del", c->argv[2]);
    }
    reply_int(c->reply, (int64_t)size);
}

/* --- the table ------------------------------------------------------------- */

#define BITMAP_ROW(name_, arity_, route_, flags_)                                                            \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_BITMAP, .group = "bitmap"
#define UNIT_ARGUMENT                                                                                        \
    ARGUMENT("index_unit", ONEOF, .flags = ARGUMENT_OPTIONAL, .since = "7.0.0",                              \
             COMMAND_ARGUMENTS(ARGUMENT_WORD("byte", "BYTE"), ARGUMENT_WORD("bit", "BIT")))

const struct command command_bitmap_rows[] = {
    {BITMAP_ROW(getbit, 3, READ, COMMAND_READONLY | COMMAND_FAST), .since = "2.2.0", .complexity = "O(1)",
     .summary = "Reads one bit of a string; bits beyond its end are 0.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("offset", INTEGER))},
    {BITMAP_ROW(setbit, 4, WRITE, COMMAND_WRITE | COMMAND_DENYOOM), .since = "2.2.0", .complexity = "O(1)",
     .summary = "Writes one bit of a string, which grows as needed, and answers with the old bit.",
     COMMAND_ONE_KEY(KEY_RW | KEY_ACCESS | KEY_UPDATE),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY), ARGUMENT("offset", INTEGER), ARGUMENT("value", INTEGER))},
    {BITMAP_ROW(bitcount, -2, READ, COMMAND_READONLY), .since = "2.6.0", .complexity = "O(bytes looked at)",
     .summary = "Counts the bits that are 1 in a string or part of it.", COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_HISTORY({"7.0.0", "BYTE and BIT say what the range counts."}),
     COMMAND_ARGUMENTS(
         ARGUMENT("key", KEY),
         ARGUMENT("index", BLOCK, .flags = ARGUMENT_OPTIONAL,
                  COMMAND_ARGUMENTS(ARGUMENT("start", INTEGER), ARGUMENT("end", INTEGER), UNIT_ARGUMENT)))},
    {BITMAP_ROW(bitpos, -3, READ, COMMAND_READONLY), .since = "2.8.7", .complexity = "O(bytes looked at)",
     .summary = "Finds the first bit that is 0, or 1, in a string or part of it.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_HISTORY({"7.0.0", "BYTE and BIT say what the range counts."}),
     COMMAND_ARGUMENTS(
         ARGUMENT("key", KEY), ARGUMENT("bit", INTEGER),
         ARGUMENT("index", BLOCK, .flags = ARGUMENT_OPTIONAL,
                  COMMAND_ARGUMENTS(ARGUMENT("start", INTEGER),
                                    ARGUMENT("end_index", BLOCK, .flags = ARGUMENT_OPTIONAL,
                                             COMMAND_ARGUMENTS(ARGUMENT("end", INTEGER), UNIT_ARGUMENT)))))},
    {BITMAP_ROW(bitop, -4, WRITE, COMMAND_WRITE | COMMAND_DENYOOM), .since = "2.6.0",
     .complexity = "O(bytes of all sources)",
     .summary = "Combines strings bit by bit (AND, OR, XOR, NOT) and stores the result.",
     COMMAND_KEYS(2, -1, 1),
     COMMAND_SPECS(KEY_RANGE(2, KEY_OW | KEY_UPDATE, 0, 1), KEY_RANGE(3, KEY_RO | KEY_ACCESS, -1, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("operation", STRING), ARGUMENT("destkey", KEY),
                       ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE, .key_spec_index = 1))},
};
COMMAND_FAMILY_COUNT(bitmap);
