#include "store/set_table.h"

#include "base/alloc.h"
#include "base/check.h"
#include "store/length.h"

/* --- members ------------------------------------------------------------------------ */

enum { PLACE_BYTES = 5 };

static size_t block_bytes(struct slice member)
{
    return PLACE_BYTES + length_bytes(member.len) + member.len;
}

struct slice set_block_text(const char *block)
{
    struct slice text;
    text.ptr = length_read(block + PLACE_BYTES, &text.len);
    return text;
}

static size_t block_place(const char *block)
{
    uint64_t place = 0;
    memcpy(&place, block, PLACE_BYTES);
    return place;
}

static void block_set_place(char *block, size_t place)
{
    CHECK(place >> 8 * PLACE_BYTES == 0);
    uint64_t word = place;
    memcpy(block, &word, PLACE_BYTES);
}

static char *block_create(struct slice member, size_t place)
{
    char *block = mem_alloc(block_bytes(member));
    block_set_place(block, place);
    char *at = length_write(block + PLACE_BYTES, member.len);
    if (member.len)
        memcpy(at, member.ptr, member.len);
    return block;
}

static void block_free(char *block)
{
    mem_free_sized(block, block_bytes(set_block_text(block)));
}

static uint64_t hash_block(const void *secret, const void *block)
{
    return key_hash(secret, set_block_text(block));
}

static bool is_block(const void *block, const void *wanted)
{
    return slice_equal(set_block_text(block), *(const struct slice *)wanted);
}

/* --- the table ------------------------------------------------------------------------ */

static uint64_t table_hash(const struct set_table *t, struct slice member)
{
    return key_hash(t->dict.hash_context, member);
}

static void **table_find(const struct set_table *t, uint64_t hash, struct slice member)
{
    return dict_find(&t->dict, hash, is_block, &member);
}

struct set_table *set_table_create(const struct key_hash_secret *secret)
{
    struct set_table *t = mem_alloc(sizeof *t);
    dict_init(&t->dict, hash_block, secret);
    sequence_init(&t->places);
    return t;
}

bool set_table_has(const struct set_table *t, struct slice member)
{
    return table_find(t, table_hash(t, member), member) != NULL;
}

bool set_table_add(struct set_table *t, struct slice member)
{
    uint64_t hash = table_hash(t, member);
    if (table_find(t, hash, member))
        return false;
    char *block = block_create(member, sequence_size(&t->places));
    dict_insert(&t->dict, hash, block);
    sequence_append(&t->places, block);
    return true;
}

bool set_table_remove(struct set_table *t, struct slice member)
{
    uint64_t hash = table_hash(t, member);
    void **slot = table_find(t, hash, member);
    if (!slot)
        return false;
    char *block = *slot;
    dict_remove(&t->dict, hash, slot);
    char *last = sequence_pop(&t->places);
    if (last != block) {
        block_set_place(last, block_place(block));
        sequence_put(&t->places, block_place(block), last);
    }
    block_free(block);
    return true;
}

static bool free_member(void *context, void *block)
{
    (void)context;
    block_free(block);
    return true;
}

bool set_table_free_some(struct set_table *t, size_t *budget)
{
    if (!dict_drain(&t->dict, budget, free_member, NULL) || !sequence_free_some(&t->places, budget))
        return false;
    mem_free(t);
    return true;
}

static bool check_member(void *context, void *block)
{
    const struct set_table *t = context;
    CHECK(sequence_at(&t->places, block_place(block)) == block);
    return true;
}

void set_table_check(struct set_table *t)
{
    dict_check(&t->dict);
    sequence_check(&t->places);
    CHECK(dict_size(&t->dict) == sequence_size(&t->places));
    dict_walk(&t->dict, 0, UINT64_MAX, check_member, t);
}
