/* Where a command line holds keys, by the key specifications of its row. */
#include "command/table.h"

#include "base/check.h"

/* Receives the keys of a walk; keys beyond capacity are counted only. */
struct sink {
    int *positions;           /* or NULL */
    struct command_key *keys; /* or NULL */
    int capacity, count;
};

static void sink_add(struct sink *s, int position, uint16_t flags)
{
    if (s->count < s->capacity) {
        if (s->positions)
            s->positions[s->count] = position;
        if (s->keys)
            s->keys[s->count] = (struct command_key){.position = position, .flags = flags};
    }
    s->count++;
}

/* Position behind the keyword, 0 if it is not there. */
static int behind_keyword(const struct key_spec *spec, int argc, const struct slice *argv)
{
    bool is_forward = spec->index > 0;
    int at = is_forward ? spec->index : argc + spec->index;
    int step = is_forward ? 1 : -1;
    for (; at > 0 && at < argc; at += step)
        if (slice_is(argv[at], spec->keyword))
            return at + 1;
    return 0;
}

static int last_of_range(const struct key_spec *spec, int argc, int first)
{
    if (spec->last >= 0)
        return first + spec->last;
    if (spec->limit == 0)
        return argc + spec->last;
    return first + (argc - first) / spec->limit + spec->last;
}

/* Reads the count and moves *first behind it; false if there is no count. */
static bool last_of_counted(const struct key_spec *spec, int argc, const struct slice *argv, int *first,
                            int *last)
{
    int count_at = *first + spec->count_index;
    int64_t count;
    if (count_at >= argc || !slice_to_int64(argv[count_at], &count) || count < 0 || count > argc)
        return false;
    *first += spec->first_offset;
    *last = *first + ((int)count - 1) * spec->step;
    return true;
}

/* True if the specification could be followed; it may then yield no key. */
static bool walk_spec(const struct key_spec *spec, uint16_t flags, int argc, const struct slice *argv,
                      struct sink *sink)
{
    if (spec->begin == KEY_BEGIN_UNKNOWN || spec->find == KEY_FIND_UNKNOWN)
        return false;
    int first = spec->begin == KEY_BEGIN_INDEX ? spec->index : behind_keyword(spec, argc, argv);
    if (first == 0)
        return true;
    int last = first;
    if (spec->find == KEY_FIND_RANGE)
        last = last_of_range(spec, argc, first);
    else if (!last_of_counted(spec, argc, argv, &first, &last))
        return false;
    else if (last < first)
        return true;
    if (first >= argc || last >= argc || last < first)
        return false;
    CHECK(spec->step > 0);
    for (int at = first; at <= last; at += spec->step)
        sink_add(sink, at, flags);
    return true;
}

/* Specs that cannot be followed are passed over where the row says that keys
 * move: the others still tell which keys there are. */
static bool walk(const struct command *row, int argc, const struct slice *argv, struct sink *sink)
{
    for (int i = 0; i < row->key_spec_count; i++) {
        const struct key_spec *spec = &row->key_specs[i];
        uint16_t flags = spec->flags;
        if (flags & KEY_NOT_KEY)
            continue;
        if (flags & KEY_VARIABLE_FLAGS && row->key_flags)
            flags = row->key_flags(argc, argv);
        if (!walk_spec(spec, flags, argc, argv, sink) && spec->begin != KEY_BEGIN_UNKNOWN)
            return false;
    }
    uint16_t flags = 0;
    int extra = row->extra_key ? row->extra_key(argc, argv, &flags) : 0;
    if (extra > 0)
        sink_add(sink, extra, flags);
    return true;
}

int command_keys(const struct command *row, int argc, const struct slice *argv, int *positions, int capacity)
{
    struct sink sink = {.positions = positions, .capacity = capacity};
    return walk(row, argc, argv, &sink) ? sink.count : -1;
}

int command_keys_and_flags(const struct command *row, int argc, const struct slice *argv,
                           struct command_key *keys, int capacity)
{
    struct sink sink = {.keys = keys, .capacity = capacity};
    return walk(row, argc, argv, &sink) ? sink.count : -1;
}

bool command_has_keys(const struct command *row)
{
    for (int i = 0; i < row->key_spec_count; i++)
        if (!(row->key_specs[i].flags & KEY_NOT_KEY))
            return true;
    return false;
}
