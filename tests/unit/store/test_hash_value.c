/* Goal: a hash holds what it was given in both forms, leaves the compact one
 * where Redis's hash does, and survives being copied, saved, loaded, damaged
 * and freed; HSCAN and random choice keep their promises.
 *
 * Method: random operations beside an array of fields with their values, all
 * compared and checked after every step, lengths around every limit of the
 * blocks among them. */
#include <stdio.h>

#include "store/hash_value.h"
#include "value_parts.h"

enum { FIELDS = 60, TEXT_MAX = 600 };

struct text {
    char bytes[TEXT_MAX];
    size_t len;
};

struct model {
    struct field {
        struct text name, value;
        bool is_there;
    } fields[FIELDS];
    size_t count;
    enum value_encoding encoding;
};

static const struct object_type *const type = &hash_object_type;

static struct slice slice_of(const struct text *t)
{
    return slice_make(t->bytes, t->len);
}

/* --- the model -------------------------------------------------------------------- */

static void model_init(struct model *m, size_t longest)
{
    *m = (struct model){.encoding = ENCODING_LISTPACK};
    for (size_t i = 0; i < FIELDS; i++) {
        struct text *t = &m->fields[i].name;
        if (i % 3 == 0) {
            t->len = (size_t)snprintf(t->bytes, TEXT_MAX, "%lld", (long long)(i * i * i * 1000003) - 500);
            continue;
        }
        t->len = i % 7 == 0 ? longest - i % 5 : i % 40;
        memset(t->bytes, 'a' + (int)i % 26, t->len);
        if (t->len > 2)
            t->bytes[1] = (char)i;
    }
}

static void random_value(struct random *random, struct text *t, size_t longest)
{
    static const size_t lengths[] = {0, 1, 15, 63, 64, 65, 253, 254, 255, 256, 500};
    uint64_t kind = random_below(random, 3);
    if (kind == 0) {
        t->len = int64_to_text((int64_t)random_next(random) >> random_below(random, 63), t->bytes);
        return;
    }
    t->len = kind == 1 ? lengths[random_below(random, 11)] : random_below(random, 50);
    t->len = t->len > longest ? longest : t->len;
    memset(t->bytes, 'a' + (int)random_below(random, 26), t->len);
}

static void note_form(struct model *m, const struct value_env *env, const struct field *f, bool is_set)
{
    size_t longest = (size_t)setting_value(&env->settings, SETTING_HASH_MAX_LISTPACK_VALUE);
    size_t entries = (size_t)setting_value(&env->settings, SETTING_HASH_MAX_LISTPACK_ENTRIES);
    if (is_set && (f->name.len > longest || f->value.len > longest || m->count > entries))
        m->encoding = ENCODING_HASHTABLE;
}

struct seen {
    const struct model *model;
    size_t counts[FIELDS];
    size_t total;
};

static void see(void *context, struct slice field, struct slice value)
{
    struct seen *s = context;
    s->total++;
    for (size_t i = 0; i < FIELDS; i++)
        if (slice_equal(slice_of(&s->model->fields[i].name), field)) {
            assert_true(slice_equal(slice_of(&s->model->fields[i].value), value));
            s->counts[i]++;
            return;
        }
    fail();
}

static void compare(const struct model *m, const struct value *v)
{
    struct seen s = {.model = m};
    type->check(v);
    assert_int_equal(v->encoding, m->encoding);
    assert_int_equal(hash_size(v), m->count);
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *f = &m->fields[i];
        char scratch[INT64_TEXT_MAX];
        struct slice value;
        assert_int_equal(hash_has(v, slice_of(&f->name)), f->is_there);
        assert_int_equal(hash_get(v, slice_of(&f->name), scratch, &value), f->is_there);
        assert_true(!f->is_there || slice_equal(value, slice_of(&f->value)));
    }
    hash_each(v, see, &s);
    assert_int_equal(s.total, m->count);
    for (size_t i = 0; i < FIELDS; i++)
        assert_int_equal(s.counts[i], m->fields[i].is_there);
}

/* --- random operations --------------------------------------------------------------- */

static void set_random(struct model *m, struct value *v, const struct value_env *env, struct random *random,
                       size_t longest)
{
    struct field *f = &m->fields[random_below(random, FIELDS)];
    random_value(random, &f->value, longest);
    assert_int_equal(hash_set(v, env, slice_of(&f->name), slice_of(&f->value)), !f->is_there);
    m->count += !f->is_there;
    f->is_there = true;
    note_form(m, env, f, true);
}

static void remove_random(struct model *m, struct value *v, struct random *random)
{
    struct field *f = &m->fields[random_below(random, FIELDS)];
    assert_int_equal(hash_remove(v, slice_of(&f->name)), f->is_there);
    m->count -= f->is_there;
    f->is_there = false;
}

static struct value build(struct model *m, const struct value_env *env, size_t steps, size_t longest, uint64_t seed)
{
    struct random random;
    struct value v = hash_create();
    random_init(&random, seed);
    model_init(m, longest);
    for (size_t step = 0; step < steps; step++) {
        if (random_below(&random, 100) < (step / 200 % 2 ? 35 : 75))
            set_random(m, &v, env, &random, longest);
        else
            remove_random(m, &v, &random);
        compare(m, &v);
    }
    return v;
}

static void test_random(void **state)
{
    (void)state;
    static struct value_env env;
    static struct model m;
    static const struct plan {
        int64_t entries, value;
        size_t longest;
    } plans[] = {{512, 64, 64}, {20, 64, 64}, {512, 64, 66}, {512, 1000, 590}, {0, 0, 590}};
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        parts_env(&env, (unsigned char)i);
        env.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = plans[i].entries;
        env.settings.values[SETTING_HASH_MAX_LISTPACK_VALUE] = plans[i].value;
        value_free(VALUE_HASH, build(&m, &env, 1500, plans[i].longest, i + 1));
    }
}

/* --- forms ------------------------------------------------------------------------------ */

static void set_number(struct value *v, const struct value_env *env, int n)
{
    char field[24], value[24];
    size_t length = (size_t)snprintf(field, sizeof field, "field%d", n);
    size_t value_length = (size_t)snprintf(value, sizeof value, "%d", n);
    hash_set(v, env, slice_make(field, length), slice_make(value, value_length));
}

static struct value numbered(const struct value_env *env, int count)
{
    struct value v = hash_create();
    for (int i = 0; i < count; i++)
        set_number(&v, env, i);
    return v;
}

static void test_thresholds(void **state)
{
    (void)state;
    static struct value_env env;
    char text[65];
    memset(text, 'x', sizeof text);
    parts_env(&env, 1);
    struct value v = numbered(&env, 512);
    assert_int_equal(v.encoding, ENCODING_LISTPACK);
    set_number(&v, &env, 500);
    assert_int_equal(v.encoding, ENCODING_LISTPACK);
    set_number(&v, &env, 512);
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    hash_remove(&v, SLICE_LITERAL("field1"));
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    assert_int_equal(hash_size(&v), 512);
    value_free(VALUE_HASH, v);

    v = numbered(&env, 3);
    hash_set(&v, &env, slice_make(text, 64), slice_make(text, 64));
    assert_int_equal(v.encoding, ENCODING_LISTPACK);
    hash_set(&v, &env, SLICE_LITERAL("f"), slice_make(text, 65));
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    value_free(VALUE_HASH, v);

    v = numbered(&env, 3);
    hash_set(&v, &env, slice_make(text, 65), SLICE_LITERAL("v"));
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    assert_int_equal(hash_size(&v), 4);
    value_free(VALUE_HASH, v);

    /* A lower setting shows at the next change. */
    v = numbered(&env, 3);
    env.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = 2;
    assert_int_equal(v.encoding, ENCODING_LISTPACK);
    set_number(&v, &env, 1);
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    value_free(VALUE_HASH, v);
}

/* --- drawing ----------------------------------------------------------------------------- */

static void see_number(void *context, struct slice field, struct slice value)
{
    size_t *seen = context;
    int64_t n;
    assert_true(slice_to_int64(value, &n));
    assert_int_equal(field.len, 5 + value.len);
    seen[n]++;
}

static void test_draws(void **state)
{
    (void)state;
    enum { SIZE = 40, ROUNDS = 40000 };
    static struct value_env env;
    struct random random;
    parts_env(&env, 1);
    random_init(&random, 1);
    for (int form = 0; form < 2; form++) {
        env.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = form ? 0 : 512;
        struct value v = numbered(&env, SIZE);
        size_t seen[SIZE] = {0};
        for (int i = 0; i < ROUNDS; i++)
            hash_pick(&v, &random, see_number, seen);
        for (int i = 0; i < SIZE; i++)
            assert_in_range(seen[i], ROUNDS / SIZE * 8 / 10, ROUNDS / SIZE * 12 / 10);
        value_free(VALUE_HASH, v);
    }
}

/* All numbers of pairs, in both forms; every pair about as often as the others. */
static void test_samples(void **state)
{
    (void)state;
    enum { SIZE = 40, ROUNDS = 60 };
    static struct value_env env;
    struct random random;
    parts_env(&env, 1);
    random_init(&random, 1);
    for (int form = 0; form < 2; form++) {
        env.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = form ? 0 : 512;
        struct value v = numbered(&env, SIZE);
        size_t all[SIZE] = {0}, drawn = 0;
        for (int round = 0; round < ROUNDS; round++)
            for (size_t count = 0; count <= SIZE; count++) {
                size_t seen[SIZE] = {0}, total = 0;
                hash_sample(&v, &random, count, see_number, seen);
                for (int i = 0; i < SIZE; i++) {
                    assert_true(seen[i] <= 1);
                    total += seen[i];
                    all[i] += seen[i];
                }
                assert_int_equal(total, count);
                drawn += count;
            }
        for (int i = 0; i < SIZE; i++)
            assert_in_range(all[i], drawn / SIZE * 9 / 10, drawn / SIZE * 11 / 10);
        value_free(VALUE_HASH, v);
    }
}

/* Fields come and go between the steps; those that stay are seen. */
static void test_scan_sees_all_that_stay(void **state)
{
    (void)state;
    enum { SIZE = 600 };
    static struct value_env env;
    struct random random;
    parts_env(&env, 1);
    random_init(&random, 3);
    for (int round = 0; round < 40; round++) {
        struct value v = numbered(&env, SIZE);
        size_t seen[3 * SIZE] = {0}, steps = 0;
        bool is_through[SIZE];
        memset(is_through, true, sizeof is_through);
        uint64_t cursor = 0;
        do {
            cursor = hash_scan(&v, cursor, 1 + random_below(&random, 20), see_number, seen);
            for (size_t changes = random_below(&random, 30); changes > 0; changes--) {
                size_t n = random_below(&random, 3 * SIZE);
                char field[24];
                size_t length = (size_t)snprintf(field, sizeof field, "field%zu", n);
                if (n >= SIZE)
                    set_number(&v, &env, (int)n);
                else if (hash_remove(&v, slice_make(field, length)))
                    is_through[n] = false;
            }
            assert_true(++steps < 10000);
        } while (cursor);
        for (int i = 0; i < SIZE; i++)
            assert_true(!is_through[i] || seen[i]);
        value_free(VALUE_HASH, v);
    }
}

static void test_scan_with_made_up_cursors(void **state)
{
    (void)state;
    static struct value_env env;
    size_t seen[1000] = {0};
    parts_env(&env, 1);
    struct value v = numbered(&env, 600);
    assert_int_equal(hash_scan(&v, UINT64_MAX, 5, see_number, seen), 0);
    assert_int_equal(hash_scan(&v, UINT64_MAX, SIZE_MAX, see_number, seen), 0);
    assert_int_equal(hash_scan(&v, UINT64_C(1) << 52, SIZE_MAX, see_number, seen), 0);
    for (int i = 0; i < 600; i++)
        assert_int_equal(seen[i], 0);
    hash_scan(&v, (UINT64_C(1) << 52) - 1, SIZE_MAX, see_number, seen);
    value_free(VALUE_HASH, v);
}

/* --- the type's row ------------------------------------------------------------------------- */

static void test_copy_and_digest(void **state)
{
    (void)state;
    static struct value_env env;
    static struct model m;
    struct value forms[2];
    for (int form = 0; form < 2; form++) {
        parts_env(&env, 1);
        env.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = form ? 0 : 512;
        forms[form] = build(&m, &env, 300, 64, 7);
        struct value copy = type->copy(&forms[form]);
        assert_true(parts_same_digest(type, &forms[form], &copy));
        compare(&m, &copy);
        hash_set(&copy, &env, SLICE_LITERAL("field"), SLICE_LITERAL("value"));
        assert_false(parts_same_digest(type, &forms[form], &copy));
        compare(&m, &forms[form]);
        value_free(VALUE_HASH, copy);
    }
    assert_true(forms[0].encoding != forms[1].encoding);
    assert_true(parts_same_digest(type, &forms[0], &forms[1]));
    value_free(VALUE_HASH, forms[0]);
    value_free(VALUE_HASH, forms[1]);
}

/* Values that change places, and bytes that move from field to value. */
static void test_digest_tells_apart(void **state)
{
    (void)state;
    static struct value_env env;
    static const char *const hashes[][4] = {
        {"a", "1", "b", "2"}, {"a", "2", "b", "1"}, {"a1", "", "b", "2"}, {"1", "a", "2", "b"}, {"a", "b", "1", "2"}};
    struct digest digests[5];
    parts_env(&env, 1);
    for (int i = 0; i < 5; i++) {
        struct value v = hash_create();
        hash_set(&v, &env, slice_from(hashes[i][0]), slice_from(hashes[i][1]));
        hash_set(&v, &env, slice_from(hashes[i][2]), slice_from(hashes[i][3]));
        digests[i] = type->digest(&v);
        value_free(VALUE_HASH, v);
        for (int k = 0; k < i; k++)
            assert_true(digests[i].low != digests[k].low && digests[i].high != digests[k].high);
    }
}

static void test_saves(void **state)
{
    (void)state;
    static struct value_env here, there;
    static struct model m;
    static const size_t limits[] = {1, 10, 300, 1 << 20};
    parts_env(&here, 1);
    parts_env(&there, 2);
    for (size_t i = 0; i < 8; i++) {
        here.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = i < 4 ? 0 : 512;
        there.settings = here.settings;
        struct value v = build(&m, &here, 150, 64, i), loaded;
        struct parts *p = parts_save(type, &v, limits[i % 4]);
        assert_true(p->count == 1 || i % 4 < 3);
        assert_true(i < 4 || limits[i % 4] > 1 || p->count == hash_size(&v));
        assert_true(parts_load(p, &there, &loaded));
        compare(&m, &loaded);
        assert_true(parts_same_digest(type, &v, &loaded));
        parts_free(p);
        value_free(VALUE_HASH, v);
        value_free(VALUE_HASH, loaded);
    }
}

/* The order a compact hash is listed in stays. */
static void test_saves_order(void **state)
{
    (void)state;
    static struct value_env env;
    parts_env(&env, 1);
    struct value v = numbered(&env, 100), loaded;
    struct parts *p = parts_save(type, &v, 40);
    assert_true(p->count > 10);
    assert_true(parts_load(p, &env, &loaded));
    assert_memory_equal(v.at, loaded.at, 700);
    parts_free(p);
    value_free(VALUE_HASH, v);
    value_free(VALUE_HASH, loaded);
}

static void test_large_hash(void **state)
{
    (void)state;
    enum { SIZE = 20000 };
    static struct value_env here, there;
    static size_t seen[SIZE];
    parts_env(&here, 1);
    parts_env(&there, 1);
    struct value v = numbered(&here, SIZE), loaded;
    struct parts *p = parts_save(type, &v, 500);
    assert_true(p->count > 400);
    assert_true(parts_load(p, &there, &loaded));
    hash_each(&loaded, see_number, seen);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(seen[i], 1);
    assert_true(type->memory(&v, 5) > SIZE * 16);
    assert_true(type->memory(&v, 0) > SIZE * 16);
    assert_true(type->free_effort(&v) >= SIZE);
    assert_true(parts_discard(type, v, 10) >= SIZE / 17);
    value_free(VALUE_HASH, loaded);
    parts_free(p);
}

static bool is_taken(enum value_encoding encoding, struct slice part)
{
    static struct value_env env;
    parts_env(&env, 1);
    struct parts p = {.type = type, .encoding = encoding, .list = {part}, .count = 1};
    struct value v;
    if (!parts_load(&p, &env, &v))
        return false;
    value_free(VALUE_HASH, v);
    return true;
}

static void test_refuses(void **state)
{
    (void)state;
    static const enum value_encoding forms[] = {ENCODING_LISTPACK, ENCODING_HASHTABLE};
    for (int i = 0; i < 2; i++) {
        assert_true(is_taken(forms[i], SLICE_LITERAL("\2\1a\1b\1b\1b")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("\2\1a\1b\1a\1c")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("\2\0017\1b\0017\1c")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("\1\1a")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("\1\1a\2b")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("\1")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("")));
        assert_false(is_taken(forms[i], SLICE_LITERAL("\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1")));
    }
    /* More or fewer than it said; a number nobody can mean. */
    assert_false(is_taken(ENCODING_HASHTABLE, SLICE_LITERAL("\1\1a\1b\1b\1b")));
    assert_false(is_taken(ENCODING_HASHTABLE, SLICE_LITERAL("\3\1a\1b\1b\1b")));
    assert_false(is_taken(ENCODING_HASHTABLE, SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1a\1b")));
}

static void test_damaged_parts(void **state)
{
    (void)state;
    static struct value_env env;
    struct random random;
    random_init(&random, 5);
    for (int form = 0; form < 2; form++) {
        parts_env(&env, 1);
        env.settings.values[SETTING_HASH_MAX_LISTPACK_ENTRIES] = form ? 0 : 512;
        struct value v = numbered(&env, 60);
        struct parts *p = parts_save(type, &v, 60);
        parts_damage(p, &env, &random, 1500);
        parts_free(p);
        value_free(VALUE_HASH, v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_scan_sees_all_that_stay),
        cmocka_unit_test(test_scan_with_made_up_cursors),
        cmocka_unit_test(test_copy_and_digest),
        cmocka_unit_test(test_digest_tells_apart),
        cmocka_unit_test(test_saves),
        cmocka_unit_test(test_saves_order),
        cmocka_unit_test(test_large_hash),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_damaged_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
