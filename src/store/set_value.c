#include "store/set_value.h"

#include "base/alloc.h"
#include "base/check.h"
#include "store/digest.h"
#include "store/intset.h"
#include "store/listpack.h"
#include "store/part_text.h"
#include "store/set_table.h"
#include "store/twins.h"

static struct set_table *table_of(const struct value *v)
{
    return v->at;
}

/* --- the small form ---------------------------------------------------------------------- */

static bool fits_small(size_t count, struct slice member)
{
    return count <= SET_SMALL_ENTRIES && member.len <= SET_SMALL_BYTES;
}

static const char *small_find(const char *lp, struct slice member)
{
    return listpack_find(lp, listpack_first(lp), member, 1);
}

/* --- changes of form ---------------------------------------------------------------------- */

/* The members of an intset, in one of the other forms; room for one more like
 * member must be in it. */
static void leave_intset(struct value *v, const struct value_env *env, struct slice member)
{
    char *set = v->at, scratch[INT64_TEXT_MAX];
    size_t count = intset_count(set);
    bool is_small = fits_small(count + 1, member);
    *v = is_small ? (struct value){listpack_create(), ENCODING_SMALL_SET}
                  : (struct value){set_table_create(&env->secret), ENCODING_HASHTABLE};
    for (size_t i = 0; i < count; i++) {
        int64_t value = intset_at(set, i);
        if (is_small)
            v->at = listpack_append_int(v->at, value);
        else
            set_table_add(v->at, slice_make(scratch, int64_to_text(value, scratch)));
    }
    mem_free(set);
}

static void leave_small(struct value *v, const struct value_env *env)
{
    char *lp = v->at, scratch[INT64_TEXT_MAX];
    struct set_table *t = set_table_create(&env->secret);
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at))
        set_table_add(t, listpack_text(at, scratch));
    mem_free(lp);
    *v = (struct value){t, ENCODING_HASHTABLE};
}

/* Redis has the same upper bound whatever the setting says. */
static size_t intset_entries_max(const struct value_env *env)
{
    int64_t setting = setting_value(&env->settings, SETTING_SET_MAX_INTSET_ENTRIES);
    return setting < INTSET_COUNT_MAX ? (size_t)setting : INTSET_COUNT_MAX;
}

void set_settle(struct value *v, const struct value_env *env)
{
    if (v->encoding == ENCODING_INTSET || set_size(v) > intset_entries_max(env))
        return;
    char *set = intset_create();
    struct set_iterator i;
    struct slice member;
    int64_t value;
    bool is_int = true;
    set_iterate(&i, v);
    while (is_int && set_next(&i, &member)) {
        size_t index = 0;
        is_int = slice_to_int64(member, &value);
        if (is_int && !intset_find(set, value, &index))
            set = intset_insert(set, index, value);
    }
    if (!is_int) {
        mem_free(set);
        return;
    }
    set_free(*v);
    *v = (struct value){set, ENCODING_INTSET};
}

/* --- members ------------------------------------------------------------------------------- */

struct value set_create(void)
{
    return (struct value){intset_create(), ENCODING_INTSET};
}

void set_free(struct value v)
{
    value_free(VALUE_SET, v);
}

size_t set_size(const struct value *v)
{
    switch (v->encoding) {
    case ENCODING_INTSET: return intset_count(v->at);
    case ENCODING_SMALL_SET: return listpack_count(v->at);
    default: return sequence_size(&table_of(v)->places);
    }
}

bool set_has(const struct value *v, struct slice member)
{
    int64_t value;
    size_t index;
    switch (v->encoding) {
    case ENCODING_INTSET: return slice_to_int64(member, &value) && intset_find(v->at, value, &index);
    case ENCODING_SMALL_SET: return member.len <= SET_SMALL_BYTES && small_find(v->at, member);
    default: return set_table_has(v->at, member);
    }
}

static bool intset_add(struct value *v, const struct value_env *env, struct slice member)
{
    int64_t value;
    size_t index;
    if (!slice_to_int64(member, &value)) {
        leave_intset(v, env, member);
        return set_add(v, env, member);
    }
    if (intset_find(v->at, value, &index))
        return false;
    if (intset_count(v->at) >= intset_entries_max(env)) {
        leave_intset(v, env, member);
        return set_add(v, env, member);
    }
    v->at = intset_insert(v->at, index, value);
    return true;
}

static bool small_add(struct value *v, const struct value_env *env, struct slice member)
{
    if (member.len <= SET_SMALL_BYTES && small_find(v->at, member))
        return false;
    if (!fits_small(listpack_count(v->at) + 1, member)) {
        leave_small(v, env);
        return set_table_add(v->at, member);
    }
    v->at = listpack_append(v->at, member);
    return true;
}

bool set_add(struct value *v, const struct value_env *env, struct slice member)
{
    switch (v->encoding) {
    case ENCODING_INTSET: return intset_add(v, env, member);
    case ENCODING_SMALL_SET: return small_add(v, env, member);
    default: return set_table_add(v->at, member);
    }
}

static bool remove_int(struct value *v, struct slice member)
{
    int64_t value;
    size_t index;
    if (!slice_to_int64(member, &value) || !intset_find(v->at, value, &index))
        return false;
    v->at = intset_remove(v->at, index);
    return true;
}

static bool small_remove(struct value *v, struct slice member)
{
    const char *at = member.len <= SET_SMALL_BYTES ? small_find(v->at, member) : NULL;
    if (!at)
        return false;
    v->at = listpack_remove(v->at, &at, 1);
    return true;
}

bool set_remove(struct value *v, struct slice member)
{
    switch (v->encoding) {
    case ENCODING_INTSET: return remove_int(v, member);
    case ENCODING_SMALL_SET: return small_remove(v, member);
    default: return set_table_remove(v->at, member);
    }
}

/* --- places --------------------------------------------------------------------------------- */

static struct slice int_text(const char *set, size_t place, char scratch[static INT64_TEXT_MAX])
{
    return slice_make(scratch, int64_to_text(intset_at(set, place), scratch));
}

struct slice set_at(const struct value *v, size_t place, char scratch[static INT64_TEXT_MAX])
{
    CHECK(place < set_size(v));
    switch (v->encoding) {
    case ENCODING_INTSET: return int_text(v->at, place, scratch);
    case ENCODING_SMALL_SET: return listpack_text(listpack_at(v->at, (int64_t)place), scratch);
    default: return set_block_text(sequence_at(&table_of(v)->places, place));
    }
}

/* From a place below the size on. */
static void iterate_from(struct set_iterator *i, const struct value *v, size_t place)
{
    i->value = *v;
    i->place = place;
    i->size = set_size(v);
    i->at = v->encoding == ENCODING_SMALL_SET ? listpack_at(v->at, (int64_t)place) : NULL;
}

void set_iterate(struct set_iterator *i, const struct value *v)
{
    iterate_from(i, v, 0);
}

bool set_next(struct set_iterator *i, struct slice *member)
{
    if (i->place == i->size)
        return false;
    size_t place = i->place++;
    if (i->value.encoding == ENCODING_SMALL_SET) {
        *member = listpack_text(i->at, i->scratch);
        i->at = listpack_next(i->value.at, i->at);
    } else {
        *member = set_at(&i->value, place, i->scratch);
    }
    return true;
}

uint64_t set_scan(const struct value *v, uint64_t cursor, size_t count, set_visit_fn *visit, void *context)
{
    if (v->encoding != ENCODING_HASHTABLE) {
        struct set_iterator i;
        struct slice member;
        set_iterate(&i, v);
        while (set_next(&i, &member))
            visit(context, member);
        return 0;
    }
    const struct sequence *places = &table_of(v)->places;
    size_t left = sequence_size(places);
    if (cursor > 0 && cursor < left)
        left = cursor;
    for (; left > 0 && count > 0; count--)
        visit(context, set_block_text(sequence_at(places, --left)));
    return left;
}

/* --- what the keyspace asks ----------------------------------------------------------------- */

static bool free_some(struct value *v, size_t *budget)
{
    if (*budget == 0)
        return false;
    if (v->encoding == ENCODING_HASHTABLE)
        return set_table_free_some(v->at, budget);
    mem_free(v->at);
    --*budget;
    return true;
}

static size_t free_effort(const struct value *v)
{
    if (v->encoding != ENCODING_HASHTABLE)
        return 1;
    return set_size(v) + sequence_block_count(&table_of(v)->places) + 1;
}

static struct value copy(const struct value *v)
{
    if (v->encoding == ENCODING_INTSET)
        return (struct value){intset_copy(v->at), v->encoding};
    if (v->encoding == ENCODING_SMALL_SET)
        return (struct value){listpack_copy(v->at), v->encoding};
    struct set_table *t = set_table_create(table_of(v)->dict.hash_context);
    struct set_iterator i;
    struct slice member;
    set_iterate(&i, v);
    while (set_next(&i, &member))
        set_table_add(t, member);
    return (struct value){t, v->encoding};
}

/* The sum of the members' digests. */
static struct digest digest(const struct value *v)
{
    struct digest sum = {0, 0};
    struct set_iterator i;
    struct slice member;
    set_iterate(&i, v);
    while (set_next(&i, &member))
        digest_add(&sum, digest_bytes(member));
    return sum;
}

static size_t memory(const struct value *v, size_t samples)
{
    if (v->encoding != ENCODING_HASHTABLE)
        return mem_usable_size(v->at);
    const struct set_table *t = table_of(v);
    size_t size = set_size(v), bytes = 0;
    if (samples == 0 || samples > size)
        samples = size;
    for (size_t i = 0; i < samples; i++)
        bytes += mem_usable_size(sequence_at(&t->places, i));
    return mem_usable_size(t) + dict_bytes(&t->dict) + sequence_bytes(&t->places) +
           value_memory_of_all(bytes, samples, size);
}

/* --- parts ------------------------------------------------------------------------------------ *
 *
 * Members in the order of places; cursor.at[0] is the next place.
 *
 *   INTSET    1 byte: 2, 4 or 8, the width of integers, the same in all parts;
 *             integers of that width, little-endian, ascending
 *   others    members, each a varint length and its bytes */

static void save_ints(const char *set, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    unsigned width = intset_width(set);
    size_t left = intset_count(set) - cursor->at[0], count = limit / width;
    count = count < left ? count + !count : left;
    char first = (char)width;
    buf_append(out, &first, 1);
    buf_append(out, set + INTSET_HEADER_BYTES + cursor->at[0] * width, count * width);
    cursor->at[0] += count;
    cursor->is_done = count == left;
}

static void save(const struct value *v, struct value_cursor *cursor, struct buf *out, size_t limit)
{
    if (v->encoding == ENCODING_INTSET) {
        save_ints(v->at, cursor, out, limit);
        return;
    }
    size_t begin = buf_size(out);
    struct set_iterator i;
    struct slice member;
    iterate_from(&i, v, cursor->at[0]);
    while ((i.place == cursor->at[0] || buf_size(out) - begin < limit) && set_next(&i, &member))
        part_put_text(out, member);
    cursor->at[0] = i.place;
    cursor->is_done = i.place == i.size;
}

static bool load_ints(struct value *v, struct slice part)
{
    if (!v->at)
        v->at = intset_create();
    unsigned width = part.len ? (unsigned char)part.ptr[0] : 0;
    if ((width != 2 && width != 4 && width != 8) || part.len == 1 || (part.len - 1) % width != 0 ||
        (intset_count(v->at) && intset_width(v->at) != width))
        return false;
    v->at = intset_widen(v->at, width);
    for (const char *at = part.ptr + 1; at < part.ptr + part.len; at += width) {
        uint64_t word = 0;
        memcpy(&word, at, width);
        unsigned spare = 64 - 8 * width;
        char *set = v->at;
        bool is_next = intset_count(set) < INTSET_COUNT_MAX && intset_append(&set, (int64_t)(word << spare) >> spare);
        v->at = set;
        if (!is_next)
            return false;
    }
    return true;
}

static bool load_member(struct value *v, struct slice member)
{
    if (v->encoding == ENCODING_HASHTABLE)
        return set_table_add(v->at, member);
    if (!fits_small(listpack_count(v->at) + 1, member))
        return false;
    v->at = listpack_append(v->at, member);
    return true;
}

static bool load_members(struct value *v, struct slice part)
{
    const char *at = part.ptr, *end = part.ptr + part.len;
    while (at < end) {
        struct slice member;
        if (!part_get_text(&at, end, &member) || !load_member(v, member))
            return false;
    }
    return part.len > 0;
}

static bool load(struct value *v, const struct value_env *env, struct slice part, bool is_last)
{
    if (v->encoding == ENCODING_INTSET)
        return load_ints(v, part);
    if (!v->at)
        v->at = v->encoding == ENCODING_SMALL_SET ? (void *)listpack_create() : set_table_create(&env->secret);
    if (!load_members(v, part))
        return false;
    /* A large one notices a twin when it comes. */
    return !is_last || v->encoding == ENCODING_HASHTABLE || !listpack_has_twins(v->at, 1, &env->secret);
}

/* --- invariants ---------------------------------------------------------------------------------- */

static void check(const struct value *v)
{
    if (v->encoding == ENCODING_INTSET) {
        intset_check(v->at);
        return;
    }
    if (v->encoding == ENCODING_SMALL_SET) {
        listpack_check(v->at);
        CHECK(listpack_count(v->at) <= SET_SMALL_ENTRIES);
        return;
    }
    CHECK(v->encoding == ENCODING_HASHTABLE);
    set_table_check(v->at);
}

const struct object_type set_object_type = {
    .free_some = free_some,
    .free_effort = free_effort,
    .copy = copy,
    .digest = digest,
    .memory = memory,
    .save = save,
    .load = load,
    .check = check,
};
