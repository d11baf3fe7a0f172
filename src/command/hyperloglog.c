/* HyperLogLog: strings that count different elements (hll.h). */
#include <stdio.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "command/families.h"
#include "store/hll.h"
#include "store/settings.h"

/* A counter at hand, copied or new, for as long as a command runs. */
struct work {
    struct hll hll;
    bool is_new;
};

static size_t sparse_max(struct call *c)
{
    return (size_t)setting_value(keyspace_settings(c->ks), SETTING_HLL_SPARSE_MAX_BYTES);
}

/* The bytes of the counter in a key, of which only the header was looked at; empty if it is absent.  False, with the
 * error written, if it is none. */
static bool check_header(struct call *c, struct entry *e, struct slice *bytes)
{
    char scratch[INT64_TEXT_MAX];
    *bytes = (struct slice){0};
    if (!e)
        return true;
    struct slice held = entry_string(e, scratch);
    if (!hll_is_one(held)) {
        reply_error(c->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
        return false;
    }
    *bytes = held;
    return true;
}

static bool check_registers(struct call *c, struct slice bytes)
{
    if (bytes.len == 0 || hll_is_valid(bytes))
        return true;
    reply_error(c->reply, "INVALIDOBJ Corrupted HLL object detected");
    return false;
}

static bool check_counter(struct call *c, struct entry *e, struct slice *bytes)
{
    return check_header(c, e, bytes) && check_registers(c, *bytes);
}

static bool find_counter(struct call *c, int index, struct slice *bytes)
{
    struct entry *e;
    return call_find_string(c, index, &e) && check_counter(c, e, bytes);
}

static void work_begin(struct work *w, struct slice bytes)
{
    w->hll.bytes = mem_alloc(HLL_ROOM);
    w->is_new = bytes.len == 0;
    if (w->is_new) {
        hll_init(&w->hll);
        return;
    }
    w->hll.size = bytes.len;
    memcpy(w->hll.bytes, bytes.ptr, bytes.len);
}

static void work_store(struct call *c, struct work *w, struct slice key)
{
    memcpy(keyspace_edit_string(c->ks, c->db, key, w->hll.size), w->hll.bytes, w->hll.size);
    if (w->is_new)
        call_notify(c, EVENT_NEW, "new", key);
}

static void work_end(struct work *w)
{
    mem_free_sized(w->hll.bytes, HLL_ROOM);
}

/* A string that is asked to be one to write to is held so from then on. */
static char *unshare(struct call *c, int index, size_t size)
{
    return keyspace_edit_string(c->ks, c->db, c->argv[index], size);
}

/* --- PFADD ----------------------------------------------------------------- */

static unsigned add_elements(struct call *c, struct hll *h)
{
    unsigned changes = 0;
    size_t limit = sparse_max(c);
    for (int i = 2; i < c->argc; i++)
        changes += hll_add(h, c->argv[i], limit);
    return changes;
}

static void note_adding(struct call *c, uint64_t changes)
{
    call_changed(c, EVENT_STRING, "pfadd", c->argv[1]);
    keyspace_count_changes(c->ks, changes - 1);
}

/* A dense counter never changes its size: it is changed where it is. */
static unsigned add_in_place(struct call *c, size_t size)
{
    struct hll h = {.bytes = unshare(c, 1, size), .size = size};
    return add_elements(c, &h);
}

static unsigned add_to_copy(struct call *c, struct slice bytes)
{
    struct work w;
    if (bytes.len > HLL_BYTES_MAX) /* not valid, nor changed: no element was given */
        return 0;
    work_begin(&w, bytes);
    unsigned changes = add_elements(c, &w.hll) + w.is_new;
    if (w.is_new)
        hll_forget_estimate(w.hll.bytes);
    work_store(c, &w, c->argv[1]);
    work_end(&w);
    return changes;
}

static void pfadd_command(struct call *c)
{
    struct entry *e;
    struct slice bytes;
    if (!call_find_string_for_write(c, 1, &e) || !check_header(c, e, &bytes) ||
        (c->argc > 2 && !check_registers(c, bytes)))
        return;
    bool is_dense = e && hll_is_dense(bytes);
    unsigned changes = is_dense ? add_in_place(c, bytes.len) : add_to_copy(c, bytes);
    if (changes > 0)
        note_adding(c, changes);
    reply_int(c->reply, changes > 0);
}

/* --- PFCOUNT --------------------------------------------------------------- */

/* The keys' registers together; false with the error written. */
static bool unite(struct call *c, int first, uint8_t *registers, bool *is_any_dense)
{
    *is_any_dense = false;
    for (int i = first; i < c->argc; i++) {
        struct slice bytes;
        if (!find_counter(c, i, &bytes))
            return false;
        if (bytes.len == 0)
            continue;
        *is_any_dense = *is_any_dense || hll_is_dense(bytes);
        hll_merge(registers, bytes);
    }
    return true;
}

static void count_union(struct call *c)
{
    uint8_t *registers = mem_calloc(1, HLL_REGISTERS);
    bool is_any_dense;
    if (unite(c, 1, registers, &is_any_dense))
        reply_int(c->reply, (int64_t)hll_estimate_registers(registers));
    mem_free_sized(registers, HLL_REGISTERS);
}

/* Writes the estimate into the string, for the next time: that is why PFCOUNT
 * runs on every replica. */
static void count_one(struct call *c)
{
    struct entry *e;
    struct slice bytes;
    uint64_t estimate;
    if (!call_find_string(c, 1, &e) || !check_header(c, e, &bytes))
        return;
    if (bytes.len == 0) {
        reply_int(c->reply, 0);
        return;
    }
    if (!hll_cached(bytes, &estimate)) {
        if (!check_registers(c, bytes))
            return;
        estimate = hll_estimate(bytes);
        hll_cache(unshare(c, 1, bytes.len), estimate);
        keyspace_touch(c->ks, c->db, c->argv[1]);
        keyspace_count_changes(c->ks, 1);
    } else {
        unshare(c, 1, bytes.len);
    }
    reply_int(c->reply, (int64_t)estimate);
}

static void pfcount_command(struct call *c)
{
    if (c->argc > 2)
        count_union(c);
    else
        count_one(c);
}

/* --- PFMERGE --------------------------------------------------------------- */

static void store_union(struct call *c, const uint8_t *registers, bool is_dense)
{
    struct entry *e;
    struct slice bytes;
    struct work w;
    if (!call_find_string_for_write(c, 1, &e) || !check_counter(c, e, &bytes))
        return;
    work_begin(&w, bytes);
    if (is_dense)
        hll_make_dense(&w.hll);
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        if (registers[i] > 0)
            hll_raise(&w.hll, i, registers[i], sparse_max(c));
    hll_forget_estimate(w.hll.bytes);
    work_store(c, &w, c->argv[1]);
    work_end(&w);
    note_adding(c, 1);
    reply_ok(c->reply);
}

static void pfmerge_command(struct call *c)
{
    uint8_t *registers = mem_calloc(1, HLL_REGISTERS);
    bool is_any_dense;
    if (unite(c, 1, registers, &is_any_dense))
        store_union(c, registers, is_any_dense);
    mem_free_sized(registers, HLL_REGISTERS);
}

/* --- PFDEBUG, PFSELFTEST ------------------------------------------------------ */

/* True if it was sparse. */
static bool convert(struct call *c, struct slice bytes)
{
    if (hll_is_dense(bytes))
        return false;
    struct work w;
    work_begin(&w, bytes);
    hll_make_dense(&w.hll);
    work_store(c, &w, c->argv[2]);
    work_end(&w);
    keyspace_touch(c->ks, c->db, c->argv[2]);
    keyspace_count_changes(c->ks, 1);
    return true;
}

static void debug_todense(struct call *c, struct slice bytes)
{
    reply_int(c->reply, convert(c, bytes));
}

static void debug_getreg(struct call *c, struct slice bytes)
{
    uint8_t *registers = mem_calloc(1, HLL_REGISTERS);
    hll_merge(registers, bytes);
    reply_array(c->reply, HLL_REGISTERS);
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        reply_int(c->reply, registers[i]);
    mem_free_sized(registers, HLL_REGISTERS);
    convert(c, bytes);
}

static void debug_encoding(struct call *c, struct slice bytes)
{
    reply_simple(c->reply, hll_is_dense(bytes) ? "dense" : "sparse");
}

static void print_run(void *context, unsigned rank, unsigned count, bool is_long)
{
    struct buf *out = context;
    char text[32];
    int length = rank > 0 ? snprintf(text, sizeof text, "v:%u,%u ", rank, count)
                          : snprintf(text, sizeof text, "%c:%u ", is_long ? 'Z' : 'z', count);
    buf_append(out, text, (size_t)length);
}

static void debug_decode(struct call *c, struct slice bytes)
{
    if (hll_is_dense(bytes)) {
        reply_error(c->reply, "ERR HLL encoding is not sparse");
        return;
    }
    struct buf text;
    buf_init(&text);
    hll_each_run(bytes, print_run, &text);
    struct slice all = buf_slice(&text);
    reply_bulk(c->reply, slice_make(all.ptr, all.len - 1));
    buf_deinit(&text);
}

static void pfdebug_command(struct call *c)
{
    static const struct {
        const char *name;
        void (*run)(struct call *c, struct slice bytes);
    } subcommands[] = {
        {"getreg", debug_getreg}, {"decode", debug_decode}, {"encoding", debug_encoding}, {"todense", debug_todense}};
    struct slice bytes;
    struct entry *e;
    if (!call_find_string_for_write(c, 2, &e))
        return;
    if (!e) {
        reply_error(c->reply, "ERR The specified key does not exist");
        return;
    }
    if (!check_header(c, e, &bytes) || (!call_option(c, 1, "encoding") && !check_registers(c, bytes)))
        return;
    for (size_t i = 0; i < sizeof subcommands / sizeof *subcommands; i++)
        if (call_option(c, 1, subcommands[i].name)) {
            subcommands[i].run(c, bytes);
            return;
        }
    reply_error_format(c->reply, "ERR Unknown PFDEBUG subcommand '%.*s'",
                       (int)(c->argv[1].len < 128 ? c->argv[1].len : 128), c->argv[1].ptr);
}

/* Counts what is known: the same elements sparse and dense, and that the
 * estimate keeps its promise (five times the standard error). */
static bool passes_test(struct hll *sparse, struct hll *dense)
{
    enum { ELEMENTS = 20000, CHECK_EVERY = 1000 };
    hll_init(sparse);
    hll_init(dense);
    hll_make_dense(dense);
    for (int64_t i = 1; i <= ELEMENTS; i++) {
        struct slice element = slice_make(&i, sizeof i);
        if (hll_add(sparse, element, HLL_BYTES_MAX) != hll_add(dense, element, 0))
            return false;
        if (i % CHECK_EVERY != 0)
            continue;
        int64_t estimate = (int64_t)hll_estimate(slice_make(dense->bytes, dense->size));
        int64_t error = estimate > i ? estimate - i : i - estimate;
        if (error > i * 4 / 100 || (uint64_t)estimate != hll_estimate(slice_make(sparse->bytes, sparse->size)))
            return false;
    }
    return true;
}

static void pfselftest_command(struct call *c)
{
    struct hll sparse = {.bytes = mem_alloc(HLL_ROOM)}, dense = {.bytes = mem_alloc(HLL_ROOM)};
    if (passes_test(&sparse, &dense))
        reply_ok(c->reply);
    else
        reply_error(c->reply, "ERR TESTFAILED sparse and dense counters disagree, or the estimate is off");
    mem_free_sized(sparse.bytes, HLL_ROOM);
    mem_free_sized(dense.bytes, HLL_ROOM);
}

/* --- the table ------------------------------------------------------------- */

#define HLL_ROW(name_, arity_, route_, flags_)                                                               \
    .name = #name_, .handler = name_##_command, .arity = (arity_), .route = ROUTE_##route_,                  \
    .flags = (flags_), .categories = CATEGORY_HYPERLOGLOG, .group = "hyperloglog", .since = "2.8.9"

const struct command command_hyperloglog_rows[] = {
    {HLL_ROW(pfadd, -2, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST), .complexity = "O(elements)",
     .summary = "Adds elements to a HyperLogLog, which is created if absent.", COMMAND_ONE_KEY(KEY_RW | KEY_INSERT),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY),
                       ARGUMENT("element", STRING, .flags = ARGUMENT_OPTIONAL | ARGUMENT_MULTIPLE))},
    {HLL_ROW(pfcount, -2, WRITE, COMMAND_READONLY),
     .complexity = "O(1) for one key whose estimate is known; else O(keys), 16384 registers each",
     .summary = "Estimates how many different elements were added to HyperLogLogs, together.",
     COMMAND_KEYS(1, -1, 1),
     COMMAND_SPECS(KEY_RANGE_NOTED(1, KEY_RW | KEY_ACCESS, -1, 1,
                                   "RW because it may change the internal representation of the key, and "
                                   "propagate to replicas")),
     COMMAND_ARGUMENTS(ARGUMENT("key", KEY, .flags = ARGUMENT_MULTIPLE))},
    {HLL_ROW(pfmerge, -2, WRITE, COMMAND_WRITE | COMMAND_DENYOOM), .complexity = "O(keys), 16384 registers each",
     .summary = "Makes a HyperLogLog of all elements of others.", COMMAND_KEYS(1, -1, 1),
     COMMAND_SPECS(KEY_RANGE(1, KEY_RW | KEY_ACCESS | KEY_INSERT, 0, 1), KEY_RANGE(2, KEY_RO | KEY_ACCESS, -1, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("destkey", KEY),
                       ARGUMENT("sourcekey", KEY, .flags = ARGUMENT_MULTIPLE, .key_spec_index = 1))},
    {HLL_ROW(pfdebug, 3, WRITE, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_ADMIN), .complexity = "O(1)",
     .is_system = true, .summary = "Looks into a HyperLogLog.", COMMAND_KEYS(2, 2, 1),
     COMMAND_SPECS(KEY_RANGE(2, KEY_RW | KEY_ACCESS, 0, 1)),
     COMMAND_ARGUMENTS(ARGUMENT("subcommand", STRING), ARGUMENT("key", KEY))},
    {HLL_ROW(pfselftest, 1, LOCAL, COMMAND_ADMIN), .complexity = "O(1)",
     .is_system = true, .summary = "Tests how HyperLogLogs count."},
};
COMMAND_FAMILY_COUNT(hyperloglog);
