/* Goal: keyspace_walk gives every stored key, entry_item and keyspace_add carry
 * one to another keyspace unchanged, and keyspace_reserve makes the room that
 * adding in the order of hashes needs.
 *
 * Method: random keyspaces copied item by item, with and without room made and
 * under another secret, checked against the invariants and by digest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "store/dict.h"
#include "store/keyspace.h"

static struct keyspace *make(const char *secret)
{
    struct keyspace_options options = {.database_count = 2};
    memcpy(options.hash_secret, secret, 16);
    return keyspace_create(&options);
}

static struct keyspace *make_full(size_t count)
{
    struct keyspace *ks = make("sixteen letters.");
    char key[32], value[100];
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < count; i++) {
        size_t size = (size_t)snprintf(key, sizeof key, "key %zu", i);
        int64_t expire_at = i % 3 == 0 ? (int64_t)(i * 7 % 1000) : EXPIRE_NONE;
        if (i % 5 == 0)
            keyspace_set_int(ks, 0, slice_make(key, size), (int64_t)i - 500);
        else
            keyspace_set(ks, 0, slice_make(key, size), slice_make(value, i % sizeof value), expire_at);
        if (i % 7 == 0)
            keyspace_edit_string(ks, 0, slice_make(key, size), 5);
    }
    keyspace_advance(ks, 500);
    return ks;
}

struct copy {
    struct keyspace *to;
    size_t left;
};

static bool copy_entry(void *context, const struct entry *e)
{
    struct copy *copy = context;
    if (copy->left-- == 0)
        return false;
    struct keyspace_item item = entry_item(e);
    assert_true(keyspace_item_is_valid(&item));
    const struct entry *same = keyspace_add(copy->to, 0, keyspace_hash(copy->to, item.key), &item);
    assert_non_null(same);
    assert_int_equal(entry_encoding(same), item.encoding);
    assert_null(keyspace_add(copy->to, 0, keyspace_hash(copy->to, item.key), &item));
    return true;
}

static void items_make_the_same_keyspace(void **state)
{
    (void)state;
    for (size_t count = 0; count < 30000; count = count * 2 + 1)
        for (int round = 0; round < 3; round++) {
            struct keyspace *ks = make_full(count), *to = make(round == 2 ? "another secret.." : "sixteen letters.");
            if (round > 0)
                keyspace_reserve(to, 0, count);
            keyspace_check(to);
            keyspace_advance(to, keyspace_now(ks));
            struct copy copy = {to, SIZE_MAX};
            assert_true(keyspace_walk(ks, 0, copy_entry, &copy));
            assert_int_equal(SIZE_MAX - copy.left, keyspace_size(ks, 0)); /* expired ones too */
            keyspace_check(to);
            struct digest one = keyspace_digest(ks), other = keyspace_digest(to);
            assert_true(one.low == other.low && one.high == other.high);
            assert_int_equal(keyspace_expiring(to, 0), keyspace_expiring(ks, 0));
            assert_int_equal(keyspace_next_due(to), keyspace_next_due(ks));
            struct keyspace_figures wanted, figures;
            keyspace_get_figures(ks, &wanted);
            keyspace_get_figures(to, &figures);
            if (round == 1) /* the table is what it would have grown to */
                assert_int_equal(figures.bucket_bytes, wanted.bucket_bytes);
            keyspace_free(ks);
            keyspace_free(to);
        }
}

static void a_walk_ends_when_told(void **state)
{
    (void)state;
    struct keyspace *ks = make_full(100), *to = make("sixteen letters.");
    struct copy copy = {to, 10};
    assert_false(keyspace_walk(ks, 0, copy_entry, &copy));
    assert_int_equal(keyspace_size(to, 0), 10);
    keyspace_free(ks);
    keyspace_free(to);
}

static void items_that_cannot_be_are_told(void **state)
{
    (void)state;
    char bytes[45] = "";
    struct keyspace_item item = {.encoding = ENCODING_EMBSTR, .expire_at = EXPIRE_NONE, .bytes = {bytes, 44}};
    assert_true(keyspace_item_is_valid(&item));
    item.bytes.len = 45;
    assert_false(keyspace_item_is_valid(&item));
    item.encoding = ENCODING_RAW;
    assert_true(keyspace_item_is_valid(&item));
    item.expire_at = -2;
    assert_false(keyspace_item_is_valid(&item));
    item.expire_at = 0;
    assert_true(keyspace_item_is_valid(&item));
    item.encoding = (enum value_encoding)3;
    assert_false(keyspace_item_is_valid(&item));
    item.encoding = ENCODING_INT;
    item.type = VALUE_LIST;
    assert_false(keyspace_item_is_valid(&item));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_make_the_same_keyspace),
        cmocka_unit_test(a_walk_ends_when_told),
        cmocka_unit_test(items_that_cannot_be_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
