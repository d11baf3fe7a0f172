#include "store/hash_table.h"

#include "base/alloc.h"
#include "base/check.h"
#include "store/length.h"

/* --- pairs ----------------------------------------------------------------------- */

static size_t block_bytes(struct hash_pair pair)
{
    return length_bytes(pair.field.len) + length_bytes(pair.value.len) + pair.field.len + pair.value.len;
}

struct hash_pair hash_block_pair(const char *block)
{
    struct hash_pair pair;
    const char *at = length_read(block, &pair.field.len);
    at = length_read(at, &pair.value.len);
    pair.field.ptr = at;
    pair.value.ptr = at + pair.field.len;
    return pair;
}

static struct slice block_field(const char *block)
{
    return hash_block_pair(block).field;
}

static void block_write(char *block, struct hash_pair pair)
{
    char *at = length_write(block, pair.field.len);
    at = length_write(at, pair.value.len);
    if (pair.field.len)
        memcpy(at, pair.field.ptr, pair.field.len);
    if (pair.value.len)
        memcpy(at + pair.field.len, pair.value.ptr, pair.value.len);
}

static char *block_create(struct hash_pair pair)
{
    char *block = mem_alloc(block_bytes(pair));
    block_write(block, pair);
    return block;
}

static void block_free(char *block)
{
    mem_free_sized(block, block_bytes(hash_block_pair(block)));
}

static uint64_t hash_block(const void *secret, const void *block)
{
    return key_hash(secret, block_field(block));
}

static bool is_block(const void *block, const void *wanted)
{
    return slice_equal(block_field(block), *(const struct slice *)wanted);
}

/* --- the table --------------------------------------------------------------------- */

static uint64_t table_hash(const struct hash_table *t, struct slice field)
{
    return key_hash(t->dict.hash_context, field);
}

struct hash_table *hash_table_create(const struct key_hash_secret *secret)
{
    struct hash_table *t = mem_alloc(sizeof *t);
    t->expected = 0;
    dict_init(&t->dict, hash_block, secret);
    return t;
}

const char *hash_table_find(const struct hash_table *t, struct slice field)
{
    void **slot = dict_find(&t->dict, table_hash(t, field), is_block, &field);
    return slot ? *slot : NULL;
}

void hash_table_add(struct hash_table *t, uint64_t hash, struct slice field, struct slice value)
{
    dict_insert(&t->dict, hash, block_create((struct hash_pair){field, value}));
}

/* Returns where the pair is now. */
static char *overwrite(char *block, struct hash_pair pair)
{
    size_t old = block_bytes(hash_block_pair(block)), new = block_bytes(pair);
    if (old == new || mem_good_size(old) == mem_good_size(new)) {
        block_write(block, pair);
        return block;
    }
    mem_free_sized(block, old);
    return block_create(pair);
}

bool hash_table_set(struct hash_table *t, struct slice field, struct slice value)
{
    uint64_t hash = table_hash(t, field);
    void **slot = dict_find(&t->dict, hash, is_block, &field);
    if (slot)
        *slot = overwrite(*slot, (struct hash_pair){field, value});
    else
        hash_table_add(t, hash, field, value);
    return !slot;
}

bool hash_table_remove(struct hash_table *t, struct slice field)
{
    uint64_t hash = table_hash(t, field);
    void **slot = dict_find(&t->dict, hash, is_block, &field);
    if (!slot)
        return false;
    char *block = *slot;
    dict_remove(&t->dict, hash, slot);
    block_free(block);
    return true;
}

static bool free_pair(void *context, void *block)
{
    (void)context;
    block_free(block);
    return true;
}

bool hash_table_free_some(struct hash_table *t, size_t *budget)
{
    if (!dict_drain(&t->dict, budget, free_pair, NULL))
        return false;
    mem_free(t);
    return true;
}

static bool check_block(void *context, void *block)
{
    (void)context;
    CHECK(mem_usable_size(block) == mem_good_size(block_bytes(hash_block_pair(block))));
    return true;
}

void hash_table_check(const struct hash_table *t)
{
    dict_check(&t->dict);
    dict_walk(&t->dict, 0, UINT64_MAX, check_block, NULL);
}
