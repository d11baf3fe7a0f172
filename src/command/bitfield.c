/* BITFIELD: integers of any width at any bit of a string.
 *
 * A call is parsed whole before anything is done: an error leaves the data as
 * it was.  Numbers are computed in 128 bits, so that no sum can overflow before
 * the field's own limits are applied. */
#include "base/alloc.h"
#include "base/check.h"
#include "command/bits.h"
#include "command/families.h"

__extension__ typedef __int128 wide;

enum step_kind { STEP_GET, STEP_SET, STEP_INCRBY };
enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

/* One GET, SET or INCRBY of a call. */
struct step {
    enum step_kind kind;
    enum overflow overflow;
    bool is_signed;
    int width;       /* bits: 1..64 signed, 1..63 unsigned */
    uint64_t offset; /* of the first bit */
    int64_t value;
};

/* --- fields ---------------------------------------------------------------- */

static uint64_t read_raw(struct slice bytes, const struct step *s)
{
    uint64_t raw = 0;
    for (int i = 0; i < s->width; i++)
        raw = raw << 1 | bit_at(bytes, s->offset + (uint64_t)i);
    return raw;
}

static void write_raw(char *bytes, const struct step *s, uint64_t raw)
{
    for (int i = 0; i < s->width; i++)
        bit_set(bytes, s->offset + (uint64_t)i, raw >> (s->width - 1 - i) & 1);
}

/* The number that the low bits of raw spell. */
static int64_t interpret(const struct step *s, uint64_t raw)
{
    int unused = 64 - s->width;
    raw <<= unused;
    return s->is_signed ? (int64_t)raw >> unused : (int64_t)(raw >> unused);
}

static wide lowest(const struct step *s)
{
    return s->is_signed ? -((wide)1 << (s->width - 1)) : 0;
}

static wide highest(const struct step *s)
{
    return ((wide)1 << (s->is_signed ? s->width - 1 : s->width)) - 1;
}

/* Sic: SET of a number so low that the way from it to the highest is no int64
 * is to Redis a number too high, and saturates so. */
static bool is_beyond_highest(const struct step *s, wide value)
{
    bool is_odd = s->kind == STEP_SET && s->is_signed && s->width < 64 && highest(s) - value > INT64_MAX;
    return value > highest(s) || is_odd;
}

/* Fits value into the field; false where OVERFLOW FAIL forbids it. */
static bool fit(const struct step *s, wide value, int64_t *fitted)
{
    bool is_high = is_beyond_highest(s, value);
    bool is_low = !is_high && value < lowest(s);
    if (!is_low && !is_high)
        *fitted = (int64_t)value;
    else if (s->overflow == OVERFLOW_SAT)
        *fitted = (int64_t)(is_low ? lowest(s) : highest(s));
    else
        *fitted = interpret(s, (uint64_t)value);
    return (!is_low && !is_high) || s->overflow != OVERFLOW_FAIL;
}

/* --- parsing --------------------------------------------------------------- */

static bool read_type(struct call *c, int index, struct step *s)
{
    struct slice text = c->argv[index];
    int64_t width = 0;
    s->is_signed = text.len > 0 && text.ptr[0] == 'i';
    bool is_valid = s->is_signed || (text.len > 0 && text.ptr[0] == 'u');
    is_valid = is_valid && slice_to_int64(slice_make(text.ptr + 1, text.len - 1), &width);
    if (!is_valid || width < 1 || width > (s->is_signed ? 64 : 63)) {
        reply_error(c->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not "
                              "supported but i64 is.");
        return false;
    }
    s->width = (int)width;
    return true;
}

static bool read_overflow(struct call *c, int index, enum overflow *overflow)
{
    if (call_option(c, index, "wrap")) {
        *overflow = OVERFLOW_WRAP;
    } else if (call_option(c, index, "sat")) {
        *overflow = OVERFLOW_SAT;
    } else if (call_option(c, index, "fail")) {
        *overflow = OVERFLOW_FAIL;
    } else {
        reply_error(c->reply, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* The kind of step argument index begins, with the arguments behind it that it
 * needs; false for none. */
static bool step_kind_at(const struct call *c, int index, enum step_kind *kind)
{
    int behind = c->argc - index - 1;
    if (call_option(c, index, "get") && behind >= 2)
        *kind = STEP_GET;
    else if (call_option(c, index, "set") && behind >= 3)
        *kind = STEP_SET;
    else if (call_option(c, index, "incrby") && behind >= 3)
        *kind = STEP_INCRBY;
    else
        return false;
    return true;
}

static bool parse_step(struct call *c, int index, struct step *s)
{
    if (!read_type(c, index + 1, s) || !call_bit_offset(c, index + 2, s->width, &s->offset))
        return false;
    return s->kind == STEP_GET || call_int64(c, index + 3, &s->value);
}

/* Fills steps, room for argc of them, and counts them; -1 after an error. */
static int parse_steps(struct call *c, struct step *steps)
{
    enum overflow overflow = OVERFLOW_WRAP;
    int count = 0;
    for (int i = 2; i < c->argc;) {
        struct step *s = &steps[count];
        *s = (struct step){.overflow = overflow};
        if (call_option(c, i, "overflow") && i + 1 < c->argc) {
            if (!read_overflow(c, i + 1, &overflow))
                return -1;
            i += 2;
            continue;
        }
        if (!step_kind_at(c, i, &s->kind)) {
            reply_error(c->reply, ERROR_SYNTAX);
            return -1;
        }
        if (!parse_step(c, i, s))
            return -1;
        i += s->kind == STEP_GET ? 3 : 4;
        count++;
    }
    return count;
}

/* Bytes the string must have for every write, 0 if nothing is written. */
static size_t bytes_written(const struct step *steps, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size_t end = (size_t)(steps[i].offset + (uint64_t)steps[i].width + 7) / 8;
        if (steps[i].kind != STEP_GET && end > size)
            size = end;
    }
    return size;
}

/* --- running --------------------------------------------------------------- */

static void read_all(struct call *c, const struct step *steps, int count)
{
    char scratch[INT64_TEXT_MAX];
    struct entry *e;
    if (!call_find_string(c, 1, &e))
        return;
    struct slice bytes = call_bits(e, scratch);
    reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++)
        reply_int(c->reply, interpret(&steps[i], read_raw(bytes, &steps[i])));
}

/* True if the step has changed the string: its bits, or, with has_grown, its
 * length. */
static bool run_step(struct call *c, const struct step *s, char *bytes, size_t size, bool has_grown)
{
    uint64_t raw = read_raw(slice_make(bytes, size), s);
    int64_t old = interpret(s, raw), result;
    if (s->kind == STEP_GET) {
        reply_int(c->reply, old);
        return false;
    }
    wide given = s->is_signed ? (wide)s->value : (wide)(uint64_t)s->value;
    if (!fit(s, s->kind == STEP_SET ? given : (wide)old + s->value, &result)) {
        reply_null(c->reply);
        return false;
    }
    write_raw(bytes, s, (uint64_t)result);
    reply_int(c->reply, s->kind == STEP_SET ? old : result);
    return has_grown || old != result;
}

static void write_all(struct call *c, const struct step *steps, int count)
{
    struct entry *e;
    if (!call_find_string_for_write(c, 1, &e))
        return;
    bool is_new = !e;
    size_t had = e ? entry_string_length(e) : 0, size = bytes_written(steps, count);
    size = had > size ? had : size;
    char *bytes = keyspace_edit_string(c->ks, c->db, c->argv[1], size);
    uint64_t changes = 0;
    reply_array(c->reply, (size_t)count);
    for (int i = 0; i < count; i++)
        changes += run_step(c, &steps[i], bytes, size, size > had);
    if (is_new)
        call_notify(c, EVENT_NEW, "new", c->argv[1]);
    if (changes) {
        call_notify(c, EVENT_STRING, "setbit", c->argv[1]);
        keyspace_touch(c->ks, c->db, c->argv[1]);
    }
    keyspace_count_changes(c->ks, changes);
}

static void run(struct call *c, bool may_write)
{
    struct step *steps = mem_alloc((size_t)c->argc * sizeof *steps);
    int count = parse_steps(c, steps);
    if (count >= 0) {
        bool writes = bytes_written(steps, count) > 0;
        if (writes && !may_write)
            reply_error(c->reply, "ERR BITFIELD_RO only supports the GET subcommand");
        else if (writes)
            write_all(c, steps, count);
        else
            read_all(c, steps, count);
    }
    mem_free(steps);
}

static void bitfield_command(struct call *c)
{
    run(c, true);
}

static void bitfield_ro_command(struct call *c)
{
    run(c, false);
}

static uint16_t bitfield_key_flags(int argc, const struct slice *argv)
{
    for (int i = 2; i < argc; i++)
        if (slice_is(argv[i], "set") || slice_is(argv[i], "incrby"))
            return KEY_RW | KEY_ACCESS | KEY_UPDATE;
    return KEY_RO | KEY_ACCESS;
}

/* --- the table ------------------------------------------------------------- */

#define FIELD_ARGUMENTS ARGUMENT("encoding", STRING), ARGUMENT("offset", INTEGER)
#define OVERFLOW_ARGUMENT                                                                                    \
    ARGUMENT("wrap_sat_fail", ONEOF, .token = "OVERFLOW", .flags = ARGUMENT_OPTIONAL,                        \
             COMMAND_ARGUMENTS(ARGUMENT_WORD("wrap", "WRAP"), ARGUMENT_WORD("sat", "SAT"),                   \
                               ARGUMENT_WORD("fail", "FAIL")))

static const struct command_argument write_operations[] = {
    ARGUMENT("encoding_offset_value", BLOCK, .token = "SET",
             COMMAND_ARGUMENTS(FIELD_ARGUMENTS, ARGUMENT("value", INTEGER))),
    ARGUMENT("encoding_offset_increment", BLOCK, .token = "INCRBY",
             COMMAND_ARGUMENTS(FIELD_ARGUMENTS, ARGUMENT("increment", INTEGER))),
};
static const struct command_argument operations[] = {
    ARGUMENT("encoding_offset", BLOCK, .token = "GET", COMMAND_ARGUMENTS(FIELD_ARGUMENTS)),
    ARGUMENT(
        "write", BLOCK,
        COMMAND_ARGUMENTS(OVERFLOW_ARGUMENT, ARGUMENT("write_operation", ONEOF, .arguments = write_operations,
                                                      .argument_count = 2))),
};

const struct command command_bitfield_rows[] = {
    {.name = "bitfield",
     .handler = bitfield_command,
     .arity = -2,
     .route = ROUTE_WRITE,
     .flags = COMMAND_WRITE | COMMAND_DENYOOM,
     .categories = CATEGORY_BITMAP,
     .group = "bitmap",
     .since = "3.2.0",
     .complexity = "O(1) for each step",
     .summary = "Reads and changes integers of any width inside a string.",
     COMMAND_KEYS(1, 1, 1),
     COMMAND_SPECS(KEY_RANGE_NOTED(1, KEY_RW | KEY_ACCESS | KEY_UPDATE | KEY_VARIABLE_FLAGS, 0, 1,
                                   "This command allows both access and modification of the key")),
     .key_flags = bitfield_key_flags,
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY),
                       ARGUMENT("operation", ONEOF, .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE,
                                .arguments = operations, .argument_count = 2))},
    {.name = "bitfield_ro",
     .handler = bitfield_ro_command,
     .arity = -2,
     .route = ROUTE_READ,
     .flags = COMMAND_READONLY | COMMAND_FAST,
     .categories = CATEGORY_BITMAP,
     .group = "bitmap",
     .since = "6.0.0",
     .complexity = "O(1) for each step",
     .summary = "Reads integers of any width inside a string.",
     COMMAND_ONE_KEY(KEY_RO | KEY_ACCESS),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY),
                       ARGUMENT("encoding_offset", BLOCK, .token = "GET",
                                .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE | ARGUMENT_MULTIPLE_TOKEN,
                                COMMAND_ARGUMENTS(FIELD_ARGUMENTS)))},
};
COMMAND_FAMILY_COUNT(bitfield);
