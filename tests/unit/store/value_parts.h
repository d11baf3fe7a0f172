/* A value taken apart and put together again, damaged on the way, and freed in
 * small steps: what every type must stand. */
#ifndef TESTS_UNIT_STORE_VALUE_PARTS_H
#define TESTS_UNIT_STORE_VALUE_PARTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/digest.h"
#include "store/value.h"

enum { PARTS_MAX = 8192 };

struct parts {
    const struct object_type *type;
    enum value_encoding encoding;
    struct slice list[PARTS_MAX]; /* each a block of its exact size */
    size_t count;
};

static inline char *parts_block(struct slice bytes)
{
    char *block = malloc(bytes.len ? bytes.len : 1);
    if (bytes.len)
        memcpy(block, bytes.ptr, bytes.len);
    return block;
}

static inline struct parts *parts_save(const struct object_type *type, const struct value *v, size_t limit)
{
    struct parts *p = calloc(1, sizeof *p);
    struct value_cursor cursor = {0};
    struct buf out;
    p->type = type;
    p->encoding = v->encoding;
    while (!cursor.is_done) {
        buf_init(&out);
        type->save(v, &cursor, &out, limit);
        struct slice bytes = buf_slice(&out);
        assert_true(bytes.len > 0);
        assert_true(p->count < PARTS_MAX);
        p->list[p->count++] = slice_make(parts_block(bytes), bytes.len);
        buf_deinit(&out);
    }
    return p;
}

static inline void parts_free(struct parts *p)
{
    for (size_t i = 0; i < p->count; i++)
        free((char *)(uintptr_t)p->list[i].ptr);
    free(p);
}

/* Frees with a budget of so many blocks a time; returns the number of times. */
static inline size_t parts_discard(const struct object_type *type, struct value v, size_t step)
{
    for (size_t calls = 1;; calls++) {
        size_t budget = step;
        bool is_gone = type->free_some(&v, &budget);
        assert_true(budget <= step);
        if (is_gone)
            return calls;
        assert_int_equal(budget, 0);
    }
}

/* True, and *v is the value, if all parts are taken; nothing is left if not. */
static inline bool parts_load(const struct parts *p, const struct value_env *env, struct value *v)
{
    *v = (struct value){NULL, p->encoding};
    for (size_t i = 0; i < p->count; i++) {
        if (p->type->load(v, env, p->list[i], i + 1 == p->count))
            continue;
        if (v->at)
            parts_discard(p->type, *v, 3);
        return false;
    }
    p->type->check(v);
    return true;
}

/* Cut, lengthened and changed parts: refused, or a sound value. */
static inline void parts_damage(struct parts *p, const struct value_env *env, struct random *random, size_t rounds)
{
    for (size_t round = 0; round < rounds; round++) {
        struct slice *part = &p->list[random_below(random, p->count)], whole = *part;
        size_t length = whole.len, kind = random_below(random, 3), count = p->count;
        struct value v;
        if (kind == 0)
            length = random_below(random, whole.len);
        char *bytes = parts_block(slice_make(whole.ptr, length));
        for (size_t flips = random_below(random, 3) + (kind == 1); kind && length && flips > 0; flips--)
            bytes[random_below(random, length)] = (char)random_next(random);
        if (kind == 2)
            p->count = 1 + random_below(random, count);
        *part = slice_make(bytes, length);
        if (parts_load(p, env, &v))
            parts_discard(p->type, v, SIZE_MAX);
        *part = whole;
        p->count = count;
        free(bytes);
    }
}

static inline bool parts_same_digest(const struct object_type *type, const struct value *a, const struct value *b)
{
    struct digest x = type->digest(a), y = type->digest(b);
    return x.low == y.low && x.high == y.high;
}

/* An environment with a secret of its own. */
static inline void parts_env(struct value_env *env, unsigned char seed)
{
    unsigned char bytes[KEY_HASH_SEED_BYTES] = {seed};
    settings_init(&env->settings);
    key_hash_expand(&env->secret, bytes);
}

#endif
