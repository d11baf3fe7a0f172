#include "command/table.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/families.h"

/* A name reduced to two words: its first and its last eight bytes, which
 * overlap where it is shorter than 16, in lower case. */
struct folded {
    uint64_t head, tail;
    size_t len;
};

struct slot {
    struct folded name;
    const struct command *row; /* NULL: free */
};

struct command_table {
    struct slot *slots; /* at most half of them in use */
    size_t slot_count;  /* a power of two */
    const struct command **rows;
    size_t row_count, row_capacity;
    void **owned; /* rows merged by command_table_extend */
    size_t owned_count;
};

/* Lower-cases the ASCII letters among eight bytes at once. */
static uint64_t fold_word(uint64_t word)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t low_bits = word & (each * 0x7f);
    uint64_t above_z = low_bits + each * (0x7f - 'Z');
    uint64_t from_a = low_bits + each * (0x80 - 'A');
    uint64_t is_upper = (from_a ^ above_z) & ~word & (each * 0x80);
    return word | (is_upper >> 2);
}

static uint64_t load(const char *bytes, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, bytes, len);
    return word;
}

static struct folded fold(struct slice name)
{
    struct folded f = {.len = name.len};
    if (name.len >= 8) {
        f.head = load(name.ptr, 8);
        f.tail = load(name.ptr + name.len - 8, 8);
    } else if (name.len >= 4) {
        f.head = load(name.ptr, 4);
        f.tail = load(name.ptr + name.len - 4, 4);
    } else if (name.len > 0) {
        f.head = load(name.ptr, 1);
        f.tail = load(name.ptr + name.len / 2, 1) | load(name.ptr + name.len - 1, 1) << 8;
    }
    f.head = fold_word(f.head);
    f.tail = fold_word(f.tail);
    return f;
}

static size_t home_of(const struct command_table *t, const struct folded *f)
{
    uint64_t mixed = (f->head + f->tail * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (size_t)(mixed >> 32) & (t->slot_count - 1);
}

static bool folded_equal(const struct folded *a, const struct folded *b)
{
    return a->head == b->head && a->tail == b->tail && a->len == b->len;
}

/* The slot that holds name, or the free one where it would go. */
static struct slot *find_slot(const struct command_table *t, struct slice name, const struct folded *f)
{
    for (size_t at = home_of(t, f);; at = (at + 1) & (t->slot_count - 1)) {
        struct slot *slot = &t->slots[at];
        if (!slot->row)
            return slot;
        /* Up to 16 bytes the two words are the whole name. */
        if (folded_equal(&slot->name, f) && (name.len <= 16 || slice_is(name, slot->row->name)))
            return slot;
    }
}

enum { SLOTS_AT_FIRST = 512 };

struct command_table *command_table_create(void)
{
    struct command_table *t = mem_calloc(1, sizeof *t);
    t->slot_count = SLOTS_AT_FIRST;
    t->slots = mem_calloc(t->slot_count, sizeof *t->slots);
    return t;
}

void command_table_free(struct command_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->owned_count; i++)
        mem_free(t->owned[i]);
    mem_free(t->owned);
    mem_free(t->rows);
    mem_free(t->slots);
    mem_free(t);
}

static void put(struct command_table *t, const struct command *row)
{
    struct slice name = slice_from(row->name);
    struct folded f = fold(name);
    struct slot *slot = find_slot(t, name, &f);
    CHECK(!slot->row);
    *slot = (struct slot){.name = f, .row = row};
}

static void grow_slots(struct command_table *t)
{
    mem_free(t->slots);
    t->slot_count *= 2;
    t->slots = mem_calloc(t->slot_count, sizeof *t->slots);
    for (size_t i = 0; i < t->row_count; i++)
        put(t, t->rows[i]);
}

static void add_row(struct command_table *t, const struct command *row)
{
    if (t->row_count == t->row_capacity) {
        t->row_capacity = t->row_capacity ? t->row_capacity * 2 : 256;
        t->rows = mem_realloc(t->rows, t->row_capacity * sizeof *t->rows);
    }
    if ((t->row_count + 1) * 2 > t->slot_count)
        grow_slots(t);
    put(t, row);
    t->rows[t->row_count++] = row;
}

void command_table_add(struct command_table *t, const struct command *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_row(t, &rows[i]);
}

/* One block: the container's row, then all its subcommands. */
static const struct command *merge(const struct command *container, const struct command *rows, size_t count)
{
    size_t had = (size_t)container->subcommand_count;
    struct command *merged = mem_alloc((1 + had + count) * sizeof *merged);
    merged[0] = *container;
    if (had)
        memcpy(merged + 1, container->subcommands, had * sizeof *merged);
    memcpy(merged + 1 + had, rows, count * sizeof *merged);
    merged[0].subcommands = merged + 1;
    merged[0].subcommand_count = (int)(had + count);
    return merged;
}

void command_table_extend(struct command_table *t, const char *container, const struct command *rows,
                          size_t count)
{
    struct slice name = slice_from(container);
    struct folded f = fold(name);
    struct slot *slot = find_slot(t, name, &f);
    CHECK(slot->row);
    for (size_t i = 0; i < count; i++)
        CHECK(!command_find_subcommand(slot->row, slice_from(rows[i].name))); /* I2 */
    const struct command *merged = merge(slot->row, rows, count);
    for (size_t i = 0; i < t->row_count; i++)
        if (t->rows[i] == slot->row)
            t->rows[i] = merged;
    slot->row = merged;
    t->owned = mem_realloc(t->owned, (t->owned_count + 1) * sizeof *t->owned);
    t->owned[t->owned_count++] = (void *)merged;
}

void command_table_add_data_types(struct command_table *t)
{
    command_table_add(t, command_string_rows, command_string_count);
    command_table_add(t, command_counter_rows, command_counter_count);
    command_table_add(t, command_compare_rows, command_compare_count);
    command_table_add(t, command_lcs_rows, command_lcs_count);
    command_table_add(t, command_bitmap_rows, command_bitmap_count);
    command_table_add(t, command_bitfield_rows, command_bitfield_count);
    command_table_add(t, command_list_rows, command_list_count);
    command_table_add(t, command_list_move_rows, command_list_move_count);
    command_table_add(t, command_hash_rows, command_hash_count);
    command_table_add(t, command_set_rows, command_set_count);
    command_table_add(t, command_set_algebra_rows, command_set_algebra_count);
    command_table_add(t, command_zset_rows, command_zset_count);
    command_table_add(t, command_zset_range_rows, command_zset_range_count);
    command_table_add(t, command_zset_pop_rows, command_zset_pop_count);
    command_table_add(t, command_zset_combine_rows, command_zset_combine_count);
    command_table_add(t, command_geo_rows, command_geo_count);
    command_table_add(t, command_geo_search_rows, command_geo_search_count);
    command_table_add(t, command_xstream_rows, command_xstream_count);
    command_table_add(t, command_xstream_read_rows, command_xstream_read_count);
    command_table_add(t, command_xstream_consume_rows, command_xstream_consume_count);
    command_table_add(t, command_xstream_claim_rows, command_xstream_claim_count);
    command_table_add(t, command_xstream_info_rows, command_xstream_info_count);
    command_table_add(t, command_hyperloglog_rows, command_hyperloglog_count);
    command_table_add(t, command_sort_rows, command_sort_count);
    command_table_add(t, command_dump_rows, command_dump_count);
    command_table_add(t, command_key_rows, command_key_count);
    command_table_add(t, command_expire_rows, command_expire_count);
    command_table_add(t, command_scan_rows, command_scan_count);
    command_table_add(t, command_object_rows, command_object_count);
    command_table_add(t, command_database_rows, command_database_count);
}

const struct command *command_find(const struct command_table *t, struct slice name)
{
    struct folded f = fold(name);
    return find_slot(t, name, &f)->row;
}

const struct command *command_find_subcommand(const struct command *container, struct slice name)
{
    for (int i = 0; i < container->subcommand_count; i++)
        if (slice_is(name, container->subcommands[i].name))
            return &container->subcommands[i];
    return NULL;
}

const struct command *command_find_full(const struct command_table *t, struct slice name,
                                        const struct command **container)
{
    *container = NULL;
    const char *bar = name.len ? memchr(name.ptr, '|', name.len) : NULL;
    if (!bar)
        return command_find(t, name);
    size_t len = (size_t)(bar - name.ptr);
    *container = command_find(t, slice_make(name.ptr, len));
    if (!*container || (*container)->flags & COMMAND_PLAIN)
        return NULL;
    return command_find_subcommand(*container, slice_make(bar + 1, name.len - len - 1));
}

size_t command_count(const struct command_table *t)
{
    return t->row_count;
}

const struct command *command_at(const struct command_table *t, size_t index)
{
    CHECK(index < t->row_count);
    return t->rows[index];
}

const struct command *command_follow(const struct command_table *t, int argc, const struct slice *argv)
{
    const struct command *row = command_find(t, argv[0]);
    if (!row || argc == 1 || row->subcommand_count == 0)
        return row;
    return command_find_subcommand(row, argv[1]);
}

bool command_arity_fits(const struct command *row, int argc)
{
    return row->arity >= 0 ? argc == row->arity : argc >= -row->arity;
}

/* The oracle prints arguments as C strings: up to max bytes, or a zero byte. */
static int shown(struct slice bytes, size_t max)
{
    return (int)strnlen(bytes.ptr, bytes.len < max ? bytes.len : max);
}

enum { SHOWN_MAX = 128 };

static void explain_unknown(int argc, const struct slice *argv, char *text)
{
    int length = snprintf(text, COMMAND_ERROR_MAX,
                          "ERR unknown command '%.*s', with args beginning with: ", shown(argv[0], SHOWN_MAX),
                          argv[0].ptr);
    int begin = length;
    for (int i = 1; i < argc && length - begin < SHOWN_MAX; i++)
        length += snprintf(text + length, (size_t)(COMMAND_ERROR_MAX - length), "'%.*s' ",
                           shown(argv[i], (size_t)(SHOWN_MAX - (length - begin))), argv[i].ptr);
}

enum { CONTAINER_NAME_MAX = 32 };

static void upper_name(const struct command *container, char upper[static CONTAINER_NAME_MAX])
{
    size_t i = 0;
    for (; container->name[i] && i < CONTAINER_NAME_MAX - 1; i++) {
        char letter = container->name[i];
        upper[i] = (char)(letter >= 'a' && letter <= 'z' ? letter - ('a' - 'A') : letter);
    }
    upper[i] = '\0';
}

static void explain_unknown_subcommand(const struct command *container, struct slice name, char *text)
{
    char upper[CONTAINER_NAME_MAX];
    upper_name(container, upper);
    snprintf(text, COMMAND_ERROR_MAX, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(name, SHOWN_MAX),
             name.ptr, upper);
}

static void explain_plain(const struct command *container, struct slice name, char *text)
{
    char upper[CONTAINER_NAME_MAX];
    upper_name(container, upper);
    snprintf(text, COMMAND_ERROR_MAX,
             "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
             shown(name, SHOWN_MAX), name.ptr, upper);
}

static void explain_arity(const struct command *top, const struct command *row, char *text)
{
    bool is_subcommand = row != top;
    snprintf(text, COMMAND_ERROR_MAX, "ERR wrong number of arguments for '%s%s%s' command", top->name,
             is_subcommand ? "|" : "", is_subcommand ? row->name : "");
}

const struct command *command_resolve(const struct command_table *t, int argc, const struct slice *argv,
                                      char text[static COMMAND_ERROR_MAX])
{
    CHECK(argc >= 1);
    const struct command *top = command_find(t, argv[0]), *row = top;
    if (top && argc > 1 && top->subcommand_count > 0)
        row = command_find_subcommand(top, argv[1]);
    if (row && command_arity_fits(row, argc))
        return row;
    if (!top)
        explain_unknown(argc, argv, text);
    else if (argc > 1 && top->flags & COMMAND_PLAIN)
        explain_plain(top, argv[1], text);
    else if (!row)
        explain_unknown_subcommand(top, argv[1], text);
    else
        explain_arity(top, row, text);
    return NULL;
}
