/* Goal: a set holds what it was given in every form, changes form where Redis
 * changes what it says, keeps its members in the places set_value.h promises,
 * and survives being copied, saved, loaded, damaged and freed.
 *
 * Method: random operations beside an array of members in the order of places,
 * compared and checked after every step, under settings that make forms small;
 * two sets with different secrets do the same and must agree on every place. */
#include <stdio.h>

#include "store/intset.h"
#include "store/sample.h"
#include "store/set_value.h"
#include "value_parts.h"

enum { MODEL_MAX = 1000 };

struct member {
    char bytes[80];
    size_t len;
    bool is_int;
    int64_t value;
};

struct model {
    struct member order[MODEL_MAX];
    size_t count;
    enum value_encoding encoding;
};

static const struct object_type *const type = &set_object_type;

static struct slice text_of(const struct member *m)
{
    return slice_make(m->bytes, m->len);
}

static struct member member_of(const char *text)
{
    struct member m = {.len = strlen(text)};
    memcpy(m.bytes, text, m.len);
    m.is_int = slice_to_int64(text_of(&m), &m.value);
    return m;
}

/* kinds: 1 integers, 2 short strings, 4 strings too long for a small set. */
static struct member random_member(struct random *random, unsigned kinds, size_t variety)
{
    static const int64_t bases[] = {0, 32760, -32770, 2147483640, -2147483650, INT64_MAX - 200, INT64_MIN};
    char text[80];
    unsigned kind;
    do
        kind = 1u << random_below(random, 3);
    while (!(kind & kinds));
    int n = (int)random_below(random, variety);
    if (kind == 1)
        snprintf(text, sizeof text, "%lld", (long long)(bases[random_below(random, 7)] + n));
    else
        snprintf(text, sizeof text, kind == 2 ? "%s%d" : "%s%065d", n % 3 ? "m" : "0", n);
    return member_of(text);
}

/* --- the model -------------------------------------------------------------------- */

static size_t model_find(const struct model *m, const struct member *wanted)
{
    size_t i = 0;
    while (i < m->count && !slice_equal(text_of(&m->order[i]), text_of(wanted)))
        i++;
    return i;
}

static void model_leave_intset(struct model *m, const struct member *next)
{
    bool is_small = m->count + 1 <= SET_SMALL_ENTRIES && next->len <= SET_SMALL_BYTES;
    m->encoding = is_small ? ENCODING_SMALL_SET : ENCODING_HASHTABLE;
}

static void model_add(struct model *m, const struct value_env *env, const struct member *next)
{
    int64_t ints_max = setting_value(&env->settings, SETTING_SET_MAX_INTSET_ENTRIES);
    if (model_find(m, next) < m->count)
        return;
    if (m->encoding == ENCODING_INTSET && (!next->is_int || (int64_t)m->count >= ints_max))
        model_leave_intset(m, next);
    if (m->encoding == ENCODING_SMALL_SET && (m->count >= SET_SMALL_ENTRIES || next->len > SET_SMALL_BYTES))
        m->encoding = ENCODING_HASHTABLE;
    size_t place = m->count;
    if (m->encoding == ENCODING_INTSET)
        while (place > 0 && m->order[place - 1].value > next->value)
            place--;
    assert_true(m->count < MODEL_MAX);
    memmove(m->order + place + 1, m->order + place, (m->count - place) * sizeof *m->order);
    m->order[place] = *next;
    m->count++;
}

static void model_remove(struct model *m, const struct member *gone)
{
    size_t place = model_find(m, gone);
    if (place == m->count)
        return;
    m->count--;
    if (m->encoding == ENCODING_HASHTABLE)
        m->order[place] = m->order[m->count];
    else
        memmove(m->order + place, m->order + place + 1, (m->count - place) * sizeof *m->order);
}

static void compare(const struct model *m, const struct value *v)
{
    char scratch[INT64_TEXT_MAX];
    type->check(v);
    assert_int_equal(v->encoding, m->encoding);
    assert_int_equal(set_size(v), m->count);
    for (size_t i = 0; i < m->count; i++) {
        assert_true(slice_equal(set_at(v, i, scratch), text_of(&m->order[i])));
        assert_true(set_has(v, text_of(&m->order[i])));
    }
}

static void compare_walk(const struct model *m, const struct value *v)
{
    struct set_iterator i;
    struct slice member;
    size_t place = 0;
    set_iterate(&i, v);
    for (; set_next(&i, &member); place++)
        assert_true(slice_equal(member, text_of(&m->order[place])));
    assert_int_equal(place, m->count);
}

/* --- random operations --------------------------------------------------------------- */

struct plan {
    unsigned kinds;
    size_t variety, steps;
    int64_t ints_max;
};

static void run_plan(const struct plan *plan, uint64_t seed)
{
    static struct value_env env[2];
    static struct model m;
    struct random random;
    struct value v[2];
    random_init(&random, seed);
    m = (struct model){.encoding = ENCODING_INTSET};
    for (unsigned char i = 0; i < 2; i++) {
        parts_env(&env[i], i);
        env[i].settings.values[SETTING_SET_MAX_INTSET_ENTRIES] = plan->ints_max;
        v[i] = set_create();
    }
    for (size_t step = 0; step < plan->steps; step++) {
        struct member member = random_member(&random, plan->kinds, plan->variety);
        bool is_there = model_find(&m, &member) < m.count;
        bool grows = random_below(&random, 100) < (step / 400 % 2 ? 30 : 70);
        assert_int_equal(set_has(&v[0], text_of(&member)), is_there);
        for (int i = 0; i < 2; i++) {
            if (grows)
                assert_int_equal(set_add(&v[i], &env[i], text_of(&member)), !is_there);
            else
                assert_int_equal(set_remove(&v[i], text_of(&member)), is_there);
        }
        if (grows)
            model_add(&m, &env[0], &member);
        else
            model_remove(&m, &member);
        compare(&m, &v[0]);
        compare(&m, &v[1]);
        if (step % 50 == 0)
            compare_walk(&m, &v[0]);
    }
    assert_true(parts_same_digest(type, &v[0], &v[1]));
    set_free(v[0]);
    set_free(v[1]);
}

static void test_random(void **state)
{
    (void)state;
    static const struct plan plans[] = {
        {1, 40, 1500, 512},  /* stays an intset, of all widths */
        {1, 40, 1200, 20},   /* outgrows it */
        {3, 20, 1500, 512},  /* a small set of integers and strings */
        {3, 150, 1500, 512}, /* outgrows that too */
        {7, 100, 1500, 512}, /* a long string comes early */
        {4, 300, 1200, 512},
        {2, 200, 1200, 0},
        {1, 30, 600, 0},
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
        run_plan(&plans[i], i + 1);
}

/* --- forms ------------------------------------------------------------------------------ */

static void add_text(struct value *v, const struct value_env *env, const char *text)
{
    set_add(v, env, slice_from(text));
}

static void add_numbers(struct value *v, const struct value_env *env, int from, int to)
{
    char text[24];
    for (int i = from; i < to; i++) {
        snprintf(text, sizeof text, "%d", i);
        add_text(v, env, text);
    }
}

static void add_long(struct value *v, const struct value_env *env, size_t length)
{
    char text[300];
    memset(text, 'x', sizeof text);
    set_add(v, env, slice_make(text, length));
}

static void test_thresholds(void **state)
{
    (void)state;
    static struct value_env env;
    parts_env(&env, 1);
    struct value v = set_create();
    add_numbers(&v, &env, 0, 512);
    assert_int_equal(v.encoding, ENCODING_INTSET);
    add_numbers(&v, &env, 511, 512);
    assert_int_equal(v.encoding, ENCODING_INTSET);
    add_numbers(&v, &env, 512, 513);
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    set_free(v);

    v = set_create();
    add_numbers(&v, &env, 0, SET_SMALL_ENTRIES - 1);
    add_long(&v, &env, SET_SMALL_BYTES);
    assert_int_equal(v.encoding, ENCODING_SMALL_SET);
    add_text(&v, &env, "5");
    assert_int_equal(v.encoding, ENCODING_SMALL_SET);
    add_text(&v, &env, "one more");
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    set_free(v);

    v = set_create();
    add_numbers(&v, &env, 0, SET_SMALL_ENTRIES);
    add_text(&v, &env, "x");
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    set_free(v);

    v = set_create();
    add_long(&v, &env, SET_SMALL_BYTES + 1);
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    assert_int_equal(set_size(&v), 1);
    set_free(v);
}

/* Lengths on both sides of what one byte tells. */
static void test_long_members(void **state)
{
    (void)state;
    static struct value_env env;
    static const size_t lengths[] = {0, 1, 64, 65, 253, 254, 255, 256, 299};
    char text[300], scratch[INT64_TEXT_MAX];
    memset(text, 'x', sizeof text);
    parts_env(&env, 1);
    struct value v = set_create();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_true(set_add(&v, &env, slice_make(text, lengths[i])));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_false(set_add(&v, &env, slice_make(text, lengths[i])));
        assert_true(slice_equal(set_at(&v, i, scratch), slice_make(text, lengths[i])));
    }
    type->check(&v);
    set_free(v);
}

/* What SPOP leaves of a large set becomes an intset only if it fits one. */
static void test_settles(void **state)
{
    (void)state;
    static struct value_env env;
    parts_env(&env, 1);
    env.settings.values[SETTING_SET_MAX_INTSET_ENTRIES] = 10;
    struct value v = set_create();
    add_numbers(&v, &env, 0, 11);
    set_settle(&v, &env);
    assert_int_equal(v.encoding, ENCODING_SMALL_SET);
    set_remove(&v, SLICE_LITERAL("3"));
    set_settle(&v, &env);
    assert_int_equal(v.encoding, ENCODING_INTSET);
    assert_int_equal(set_size(&v), 10);
    add_text(&v, &env, "x");
    set_settle(&v, &env);
    assert_int_equal(v.encoding, ENCODING_SMALL_SET);
    add_long(&v, &env, 200);
    set_remove(&v, SLICE_LITERAL("x"));
    set_settle(&v, &env);
    assert_int_equal(v.encoding, ENCODING_HASHTABLE);
    type->check(&v);
    set_free(v);
}

/* Ten integers in each form. */
static struct value in_form(const struct value_env *env, enum value_encoding encoding)
{
    struct value v = set_create();
    if (encoding == ENCODING_SMALL_SET)
        add_text(&v, env, "x");
    if (encoding == ENCODING_HASHTABLE)
        add_long(&v, env, 100);
    add_numbers(&v, env, -5, 5);
    char text[100];
    memset(text, 'x', sizeof text);
    set_remove(&v, SLICE_LITERAL("x"));
    set_remove(&v, slice_make(text, sizeof text));
    assert_int_equal(v.encoding, encoding);
    assert_int_equal(set_size(&v), 10);
    return v;
}

static const enum value_encoding forms[] = {ENCODING_INTSET, ENCODING_SMALL_SET, ENCODING_HASHTABLE};

static void test_digest_forgets_form(void **state)
{
    (void)state;
    static struct value_env env;
    parts_env(&env, 1);
    struct value first = in_form(&env, ENCODING_INTSET);
    for (int i = 1; i < 3; i++) {
        struct value v = in_form(&env, forms[i]);
        assert_true(parts_same_digest(type, &first, &v));
        add_text(&v, &env, "7");
        assert_false(parts_same_digest(type, &first, &v));
        set_free(v);
    }
    set_free(first);
}

static void test_copies(void **state)
{
    (void)state;
    static struct value_env env;
    static struct model m;
    parts_env(&env, 1);
    for (int i = 0; i < 3; i++) {
        struct value v = in_form(&env, forms[i]), copy = type->copy(&v);
        struct set_iterator at;
        struct slice member;
        m = (struct model){.encoding = forms[i]};
        set_iterate(&at, &v);
        while (set_next(&at, &member)) {
            m.order[m.count].len = member.len;
            memcpy(m.order[m.count++].bytes, member.ptr, member.len);
        }
        set_remove(&v, SLICE_LITERAL("1"));
        compare(&m, &copy);
        set_free(v);
        set_free(copy);
    }
}

/* --- parts --------------------------------------------------------------------------------- */

static struct value large(const struct value_env *env, int count)
{
    struct value v = set_create();
    add_long(&v, env, 280);
    add_numbers(&v, env, 0, count);
    set_remove(&v, SLICE_LITERAL("17"));
    return v;
}

static void assert_same_places(const struct value *a, const struct value *b)
{
    char x[INT64_TEXT_MAX], y[INT64_TEXT_MAX];
    assert_int_equal(a->encoding, b->encoding);
    assert_int_equal(set_size(a), set_size(b));
    for (size_t i = 0; i < set_size(a); i++)
        assert_true(slice_equal(set_at(a, i, x), set_at(b, i, y)));
}

/* Under another secret, in parts of every size, the places are the same; and
 * they stay so through what comes after. */
static void test_saves_places(void **state)
{
    (void)state;
    static struct value_env here, there;
    static const size_t limits[] = {1, 7, 50, 1000, 1 << 20};
    parts_env(&here, 1);
    parts_env(&there, 2);
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) {
            struct value v = i < 3 ? in_form(&here, forms[i]) : large(&here, 1500), loaded;
            struct parts *p = parts_save(type, &v, limits[k]);
            assert_true(p->count == 1 || limits[k] < 1 << 20);
            assert_true(limits[k] > 1 || p->count == set_size(&v));
            assert_true(parts_load(p, &there, &loaded));
            assert_same_places(&v, &loaded);
            set_remove(&v, SLICE_LITERAL("3"));
            set_remove(&loaded, SLICE_LITERAL("3"));
            add_text(&v, &here, "new");
            add_text(&loaded, &there, "new");
            assert_same_places(&v, &loaded);
            parts_free(p);
            set_free(v);
            set_free(loaded);
        }
}

static bool is_taken(enum value_encoding encoding, struct slice part)
{
    static struct value_env env;
    parts_env(&env, 1);
    struct parts p = {.type = type, .encoding = encoding, .list = {part}, .count = 1};
    struct value v;
    if (!parts_load(&p, &env, &v))
        return false;
    set_free(v);
    return true;
}

static void test_refuses(void **state)
{
    (void)state;
    static const enum value_encoding strings[] = {ENCODING_SMALL_SET, ENCODING_HASHTABLE};
    for (int i = 0; i < 2; i++) {
        assert_true(is_taken(strings[i], SLICE_LITERAL("\1a\1b")));
        assert_false(is_taken(strings[i], SLICE_LITERAL("\1a\1b\1a")));
        assert_false(is_taken(strings[i], SLICE_LITERAL("\0015\1b\0015")));
        assert_false(is_taken(strings[i], SLICE_LITERAL("")));
        assert_false(is_taken(strings[i], SLICE_LITERAL("\2a")));
        assert_false(is_taken(strings[i], SLICE_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1")));
    }
    assert_true(is_taken(ENCODING_INTSET, SLICE_LITERAL("\2\xff\xff\1\0")));
    assert_false(is_taken(ENCODING_INTSET, SLICE_LITERAL("\2\1\0\xff\xff")));
    assert_false(is_taken(ENCODING_INTSET, SLICE_LITERAL("\2\1\0\1\0")));
    assert_false(is_taken(ENCODING_INTSET, SLICE_LITERAL("\2")));
    assert_false(is_taken(ENCODING_INTSET, SLICE_LITERAL("")));
    assert_false(is_taken(ENCODING_INTSET, SLICE_LITERAL("\3\1\0\0")));
    assert_false(is_taken(ENCODING_INTSET, SLICE_LITERAL("\2\1\0\2")));
    assert_true(is_taken(ENCODING_INTSET, SLICE_LITERAL("\4\1\0\0\0")));

    /* One width from the first part to the last. */
    static struct value_env env;
    static struct parts p = {.type = &set_object_type, .encoding = ENCODING_INTSET, .count = 2};
    struct value v;
    parts_env(&env, 1);
    p.list[0] = SLICE_LITERAL("\2\1\0");
    p.list[1] = SLICE_LITERAL("\4\2\0\0\0");
    assert_false(parts_load(&p, &env, &v));
    p.list[1] = SLICE_LITERAL("\2\2\0");
    assert_true(parts_load(&p, &env, &v));
    set_free(v);

    char part[200 * 2];
    for (int i = 0; i < 200; i++) {
        part[2 * i] = 1;
        part[2 * i + 1] = (char)i;
    }
    assert_true(is_taken(ENCODING_SMALL_SET, slice_make(part, 2 * SET_SMALL_ENTRIES)));
    assert_false(is_taken(ENCODING_SMALL_SET, slice_make(part, 2 * SET_SMALL_ENTRIES + 2)));
    assert_true(is_taken(ENCODING_HASHTABLE, slice_make(part, 2 * SET_SMALL_ENTRIES + 2)));
    char text[1 + SET_SMALL_BYTES + 1] = {SET_SMALL_BYTES + 1};
    assert_false(is_taken(ENCODING_SMALL_SET, slice_make(text, sizeof text)));
    assert_true(is_taken(ENCODING_HASHTABLE, slice_make(text, sizeof text)));
}

static void test_damaged_parts(void **state)
{
    (void)state;
    static struct value_env env;
    struct random random;
    parts_env(&env, 1);
    random_init(&random, 5);
    for (int i = 0; i < 4; i++) {
        struct value v = i < 3 ? in_form(&env, forms[i]) : large(&env, 200);
        struct parts *p = parts_save(type, &v, 20);
        parts_damage(p, &env, &random, 3000);
        parts_free(p);
        set_free(v);
    }
}

/* --- the rest -------------------------------------------------------------------------------- */

static void test_frees_in_steps(void **state)
{
    (void)state;
    static struct value_env env;
    parts_env(&env, 1);
    struct value v = large(&env, 5000);
    assert_true(type->free_effort(&v) >= 5000);
    assert_true(type->memory(&v, 5) > 5000 * 32);
    assert_true(type->memory(&v, 0) > 5000 * 32);
    assert_true(parts_discard(type, v, 10) >= 300); /* a bucket is emptied whole */
    v = in_form(&env, ENCODING_SMALL_SET);
    assert_int_equal(type->free_effort(&v), 1);
    assert_true(parts_discard(type, v, 1) == 1);
}

struct scanned {
    bool is_through[2000], seen[2000];
};

static void see(void *context, struct slice member)
{
    struct scanned *s = context;
    int64_t n;
    if (slice_to_int64(member, &n))
        s->seen[n] = true;
}

/* Members come and go between the steps; those that stay are seen. */
static void test_scan_sees_all_that_stay(void **state)
{
    (void)state;
    static struct value_env env;
    static struct scanned s;
    struct random random;
    char text[24];
    parts_env(&env, 1);
    random_init(&random, 3);
    for (int round = 0; round < 60; round++) {
        s = (struct scanned){0};
        struct value v = set_create();
        add_long(&v, &env, 100);
        add_numbers(&v, &env, 0, 300);
        for (int i = 0; i < 300; i++)
            s.is_through[i] = true;
        uint64_t cursor = 0;
        size_t steps = 0;
        do {
            cursor = set_scan(&v, cursor, 1 + random_below(&random, 10), see, &s);
            for (size_t changes = random_below(&random, 8); changes > 0; changes--) {
                size_t n = random_below(&random, 600);
                size_t length = (size_t)snprintf(text, sizeof text, "%zu", n);
                if (random_below(&random, 3)) {
                    s.is_through[n] = false;
                    set_remove(&v, slice_make(text, length));
                } else {
                    set_add(&v, &env, slice_make(text, length));
                }
            }
            assert_true(++steps < 2000);
        } while (cursor);
        for (int i = 0; i < 300; i++)
            assert_true(!s.is_through[i] || s.seen[i]);
        set_free(v);
    }
}

/* The cursor is bounded by the size, whatever a client makes up. */
static void test_scan_with_made_up_cursors(void **state)
{
    (void)state;
    static struct value_env env;
    static struct scanned s;
    parts_env(&env, 1);
    struct value v = large(&env, 100);
    assert_int_equal(set_scan(&v, 100000, 1, see, &s), set_size(&v) - 1);
    assert_int_equal(set_scan(&v, UINT64_MAX, SIZE_MAX, see, &s), 0);
    assert_int_equal(set_scan(&v, 1, 10, see, &s), 0);
    set_free(v);
}

/* Every set of places comes up, no place twice in one. */
static void test_samples(void **state)
{
    (void)state;
    enum { SIZE = 6, COUNT = 3, ROUNDS = 20000, SETS = 20 };
    size_t seen[1 << SIZE] = {0};
    struct random random;
    random_init(&random, 8);
    for (int round = 0; round < ROUNDS; round++) {
        struct sample sample;
        unsigned places = 0;
        sample_init(&sample, &random, SIZE, COUNT);
        for (int i = 0; i < COUNT; i++) {
            size_t place = sample_next(&sample);
            assert_true(place < SIZE);
            assert_false(places & 1u << place);
            places |= 1u << place;
        }
        sample_deinit(&sample);
        seen[places]++;
    }
    for (unsigned places = 0; places < 1 << SIZE; places++)
        if (__builtin_popcount(places) == COUNT)
            assert_in_range(seen[places], ROUNDS / SETS * 8 / 10, ROUNDS / SETS * 12 / 10);
}

/* The bytes are Redis's. */
static void test_intset_bytes(void **state)
{
    (void)state;
    static struct value_env env;
    parts_env(&env, 1);
    struct value v = set_create();
    add_numbers(&v, &env, -1, 2);
    assert_memory_equal(v.at, "\2\0\0\0\3\0\0\0\xff\xff\0\0\1\0", 14);
    add_text(&v, &env, "-32769");
    assert_memory_equal(v.at, "\4\0\0\0\4\0\0\0\xff\x7f\xff\xff\xff\xff\xff\xff\0\0\0\0\1\0\0\0", 24);
    set_remove(&v, SLICE_LITERAL("-32769"));
    assert_int_equal(intset_width(v.at), 4);
    assert_true(intset_is_valid(slice_make(v.at, intset_bytes(v.at))));
    for (size_t cut = 0; cut < intset_bytes(v.at); cut++)
        assert_false(intset_is_valid(slice_make(v.at, cut)));
    set_free(v);
    assert_true(intset_is_valid(SLICE_LITERAL("\2\0\0\0\2\0\0\0\1\0\2\0")));
    assert_false(intset_is_valid(SLICE_LITERAL("\2\0\0\0\2\0\0\0\2\0\2\0")));
    assert_false(intset_is_valid(SLICE_LITERAL("\2\0\0\0\2\0\0\0\2\0\1\0")));
    assert_false(intset_is_valid(SLICE_LITERAL("\3\0\0\0\1\0\0\0\1\0\0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_long_members),
        cmocka_unit_test(test_settles),
        cmocka_unit_test(test_digest_forgets_form),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_saves_places),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_damaged_parts),
        cmocka_unit_test(test_frees_in_steps),
        cmocka_unit_test(test_scan_sees_all_that_stay),
        cmocka_unit_test(test_scan_with_made_up_cursors),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_intset_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
