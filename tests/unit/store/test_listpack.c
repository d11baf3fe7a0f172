/* Goal: a listpack holds what it was given, its bytes are Redis's, and bytes of
 * strangers are either refused or harmless.
 *
 * Method: random edits beside an array of texts, everything compared after
 * every step from both ends; the bytes of every encoding and of its limits as
 * redis-server 7.0.15 dumped them; damaged and cut listpacks in blocks of their
 * exact size, walked where they pass for valid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/listpack.h"

enum { MODEL_MAX = 300, TEXT_MAX = 300 };

struct model {
    size_t count;
    struct text {
        size_t len;
        char bytes[TEXT_MAX];
    } texts[MODEL_MAX];
};

static struct slice text_of(const struct text *t)
{
    return slice_make(t->bytes, t->len);
}

static void random_text(struct random *random, struct text *t)
{
    uint64_t kind = random_below(random, 10);
    if (kind < 4) {
        uint64_t bits = random_below(random, 64);
        t->len = int64_to_text((int64_t)(random_next(random) >> bits) * (random_below(random, 2) ? 1 : -1), t->bytes);
    } else if (kind < 5) {
        t->len = (size_t)snprintf(t->bytes, TEXT_MAX, "%s%d", random_below(random, 2) ? "0" : "-0",
                                  (int)random_below(random, 10));
    } else {
        t->len = random_below(random, random_below(random, 8) ? 20 : TEXT_MAX);
        for (size_t i = 0; i < t->len; i++)
            t->bytes[i] = (char)('a' + random_below(random, 3));
    }
}

static void model_insert(struct model *m, size_t index, const struct text *t)
{
    memmove(m->texts + index + 1, m->texts + index, (m->count - index) * sizeof *m->texts);
    m->texts[index] = *t;
    m->count++;
}

static void model_remove(struct model *m, size_t index, size_t count)
{
    memmove(m->texts + index, m->texts + index + count, (m->count - index - count) * sizeof *m->texts);
    m->count -= count;
}

static void assert_element(const char *at, const struct text *t)
{
    char scratch[INT64_TEXT_MAX];
    int64_t value, expected;
    assert_non_null(at);
    assert_true(slice_equal(listpack_text(at, scratch), text_of(t)));
    assert_true(listpack_equals(at, text_of(t)));
    bool is_int = slice_to_int64(text_of(t), &expected);
    assert_int_equal(listpack_int(at, &value), is_int);
    assert_int_equal(listpack_get(at).is_int, is_int);
    if (is_int)
        assert_int_equal(value, expected);
}

static void assert_is_model(const char *lp, const struct model *m)
{
    listpack_check(lp);
    assert_int_equal(listpack_count(lp), m->count);
    size_t bytes = LISTPACK_EMPTY_BYTES, i = 0;
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at), i++) {
        assert_element(at, &m->texts[i]);
        bytes += listpack_element_bytes(text_of(&m->texts[i]));
    }
    assert_int_equal(i, m->count);
    for (const char *at = listpack_last(lp); at; at = listpack_prev(lp, at))
        assert_element(at, &m->texts[--i]);
    assert_int_equal(i, 0);
    assert_int_equal(listpack_bytes(lp), bytes);
}

static void assert_found(const char *lp, const struct model *m, size_t from, const struct text *t, unsigned step)
{
    const char *found = listpack_find(lp, listpack_at(lp, (int64_t)from), text_of(t), step);
    for (size_t i = from; i < m->count; i += step)
        if (slice_equal(text_of(&m->texts[i]), text_of(t))) {
            assert_ptr_equal(found, listpack_at(lp, (int64_t)i));
            assert_ptr_equal(found, listpack_at(lp, (int64_t)i - (int64_t)m->count));
            return;
        }
    assert_null(found);
}

static char *edit(char *lp, struct model *m, struct random *random)
{
    struct text t;
    random_text(random, &t);
    size_t index = random_below(random, m->count + 1);
    const char *at = listpack_at(lp, (int64_t)index);
    int64_t number;
    switch (random_below(random, 8)) {
    case 0:
        model_insert(m, m->count, &t);
        return slice_to_int64(text_of(&t), &number) ? listpack_append_int(lp, number)
                                                    : listpack_append(lp, text_of(&t));
    case 1:
        model_insert(m, 0, &t);
        return listpack_prepend(lp, text_of(&t));
    case 2:
    case 3:
        model_insert(m, index, &t);
        lp = listpack_insert(lp, &at, text_of(&t));
        assert_element(at, &t);
        return lp;
    case 4:
        model_insert(m, m->count, &t);
        model_insert(m, m->count, &t);
        return listpack_append_pair(lp, text_of(&t), text_of(&t));
    case 5:
        if (!at)
            return lp;
        m->texts[index] = t;
        lp = slice_to_int64(text_of(&t), &number) && random_below(random, 2)
                 ? listpack_replace_int(lp, &at, number)
                 : listpack_replace(lp, &at, text_of(&t));
        assert_element(at, &t);
        return lp;
    case 6:
        assert_found(lp, m, index, m->count ? &m->texts[random_below(random, m->count)] : &t,
                     1 + (unsigned)random_below(random, 3));
        return random_below(random, 2) ? lp : listpack_shrink(lp);
    default:
        if (!at)
            return lp;
        size_t wanted = 1 + random_below(random, 4), there = m->count - index;
        lp = listpack_remove(lp, &at, wanted);
        model_remove(m, index, wanted < there ? wanted : there);
        assert_ptr_equal(at, listpack_at(lp, (int64_t)index));
        return lp;
    }
}

static void test_random_edits(void **state)
{
    (void)state;
    struct model *m = calloc(1, sizeof *m);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct random random;
        random_init(&random, seed);
        char *lp = listpack_create();
        m->count = 0;
        for (int step = 0; step < 400; step++) {
            lp = edit(lp, m, &random);
            assert_is_model(lp, m);
            if (m->count > MODEL_MAX - 5 || random_below(&random, 150) == 0) {
                const char *at = listpack_first(lp);
                if (at)
                    lp = listpack_remove(lp, &at, SIZE_MAX);
                m->count = 0;
            }
        }
        char *copy = listpack_copy(lp);
        assert_is_model(copy, m);
        mem_free(copy);
        mem_free(lp);
    }
    free(m);
}

/* The listpack begins in the middle of a block and moves in both directions. */
static void test_in_place(void **state)
{
    (void)state;
    enum { ROOM = 64 * 1024 };
    struct model *m = calloc(1, sizeof *m);
    char *block = malloc(2 * ROOM);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct random random;
        random_init(&random, seed);
        char *lp = block + ROOM;
        listpack_init(lp);
        m->count = 0;
        for (int step = 0; step < 200; step++) {
            struct text t;
            random_text(&random, &t);
            struct listpack_form form = listpack_form_of(text_of(&t));
            uint64_t kind = random_below(&random, 5);
            if (kind < 2) {
                lp = listpack_push_front(lp, &form);
                model_insert(m, 0, &t);
            } else if (kind < 3) {
                assert_ptr_equal(listpack_push_back(lp, &form), lp);
                model_insert(m, m->count, &t);
            } else if (m->count > 0 && kind == 3) {
                lp = listpack_pop_front(lp);
                model_remove(m, 0, 1);
            } else if (m->count > 0) {
                assert_ptr_equal(listpack_pop_back(lp), lp);
                model_remove(m, m->count - 1, 1);
            }
            assert_is_model(lp, m);
        }
    }
    free(block);
    free(m);
}

static uint64_t fold(const char *bytes, size_t count) /* FNV-1a */
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void test_bytes_are_redis_s(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0", "1", "127", "128", "-1", "4095", "4096", "-4096", "-4097", "32767", "32768", "-32768", "-32769",
        "8388607", "8388608", "-8388608", "-8388609", "2147483647", "2147483648", "-2147483648", "-2147483649",
        "9223372036854775807", "-9223372036854775808", "9223372036854775808", "", "-", "-0", "007", "1.5", "+1",
        " 1", "a",
    };
    static const char expected[] =
        "b00000002000000101017f01c08002dfff02cfff02f1001003d00002f1ffef03f1ff7f03f200800004f1008003f2ff7fff04f2"
        "ffff7f04f30000800005f200008004f3ffff7fff05f3ffffff7f05f4000000800000000009f30000008005f4ffffff7fffffff"
        "ff09f4ffffffffffffff7f09f40000000000000080099339323233333732303336383534373735383038148001812d02822d30"
        "03833030370483312e3504822b310382203103816102ff";
    char *lp = listpack_create();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        lp = listpack_append(lp, slice_from(texts[i]));
    assert_int_equal(listpack_bytes(lp), (sizeof expected - 1) / 2);
    for (size_t i = 0; i < listpack_bytes(lp); i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", (unsigned char)lp[i]);
        assert_memory_equal(hex, expected + 2 * i, 2);
    }
    mem_free(lp);
}

/* Strings of so many x, then the integer 5 if there are two elements: where the
 * head or the size behind takes another byte. */
static void test_lengths_are_redis_s(void **state)
{
    (void)state;
    static const struct {
        size_t length, elements, bytes;
        uint64_t hash;
    } dumped[] = {
        {1, 2, 12, UINT64_C(0xf1c2129cd4a34317)},         {63, 2, 74, UINT64_C(0xebc11f0760fa5175)},
        {64, 2, 76, UINT64_C(0x499647f17304deca)},        {120, 2, 132, UINT64_C(0x41bb6bd797682702)},
        {126, 2, 139, UINT64_C(0x123717536ad3e48e)},      {127, 2, 140, UINT64_C(0x3b0a1026066cd3fb)},
        {4093, 2, 4106, UINT64_C(0xae8760d5b97665d8)},    {4095, 2, 4108, UINT64_C(0x3a62d6d0c9b2a887)},
        {4096, 2, 4112, UINT64_C(0xf61870eee27f2fc5)},    {5000, 2, 5016, UINT64_C(0x84c1607beec9294e)},
        {16378, 1, 16393, UINT64_C(0x7229f430e45afcdb)},  {16383, 1, 16398, UINT64_C(0xcdf4271bfc5275c)},
        {16384, 1, 16399, UINT64_C(0x2e733727f6fd6d88)},  {20000, 1, 20015, UINT64_C(0x693a7eecb47a4a60)},
        {2097146, 1, 2097162, UINT64_C(0x1a12bf3908bb6e42)}, {2097147, 1, 2097163, UINT64_C(0x1fafa17c63d3ecf2)},
    };
    char *text = malloc(2097147);
    memset(text, 'x', 2097147);
    for (size_t i = 0; i < sizeof dumped / sizeof *dumped; i++) {
        char *lp = listpack_append(listpack_create(), slice_make(text, dumped[i].length));
        if (dumped[i].elements == 2)
            lp = listpack_append_int(lp, 5);
        listpack_check(lp);
        assert_int_equal(listpack_bytes(lp), dumped[i].bytes);
        assert_true(fold(lp, listpack_bytes(lp)) == dumped[i].hash);
        assert_int_equal(listpack_text(listpack_first(lp), (char[INT64_TEXT_MAX]){0}).len, dumped[i].length);
        assert_ptr_equal(listpack_at(lp, -(int64_t)dumped[i].elements), listpack_first(lp));
        mem_free(lp);
    }
    free(text);
}

/* A number of elements beyond the header's. */
static void test_many_elements(void **state)
{
    (void)state;
    enum { COUNT = 70000 };
    char *lp = listpack_create();
    for (int i = 0; i < COUNT; i++) {
        lp = listpack_append_int(lp, i);
        if (i >= LISTPACK_COUNT_UNKNOWN - 3 && i <= LISTPACK_COUNT_UNKNOWN + 1)
            assert_int_equal(listpack_count(lp), i + 1);
    }
    listpack_check(lp);
    assert_int_equal(listpack_count(lp), COUNT);
    assert_true(listpack_equals(listpack_at(lp, 69999), SLICE_LITERAL("69999")));
    assert_true(listpack_equals(listpack_at(lp, -COUNT), SLICE_LITERAL("0")));
    assert_null(listpack_at(lp, COUNT));
    assert_null(listpack_at(lp, -COUNT - 1));
    const char *at = listpack_at(lp, 10);
    lp = listpack_remove(lp, &at, COUNT - 20);
    listpack_check(lp);
    assert_int_equal(listpack_count(lp), 20);
    assert_int_equal((unsigned char)lp[4], 20);
    assert_true(listpack_equals(at, SLICE_LITERAL("69990")));
    mem_free(lp);
}

static void test_room(void **state)
{
    (void)state;
    char *lp = listpack_create();
    assert_true(listpack_has_room(lp, LISTPACK_BYTES_MAX - LISTPACK_EMPTY_BYTES));
    assert_false(listpack_has_room(lp, LISTPACK_BYTES_MAX - LISTPACK_EMPTY_BYTES + 1));
    assert_false(listpack_has_room(lp, SIZE_MAX));
    mem_free(lp);
}

/* Pushing and popping across a boundary of the allocator does not copy each
 * time; removing most of it gives the block back. */
static void test_block_follows_contents(void **state)
{
    (void)state;
    char text[100] = {0};
    char *lp = listpack_create();
    for (int i = 0; i < 100; i++)
        lp = listpack_append(lp, slice_make(text, sizeof text));
    const char *at = listpack_at(lp, 5);
    lp = listpack_remove(lp, &at, SIZE_MAX);
    assert_true(mem_usable_size(lp) <= 2 * mem_good_size(listpack_bytes(lp)));
    mem_free(lp);
}

/* Walks both ways if valid; the sanitizer watches the ends of the block. */
static bool survive(const char *bytes, size_t size)
{
    char *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    bool is_valid = listpack_is_valid(slice_make(exact, size));
    if (is_valid) {
        char scratch[INT64_TEXT_MAX];
        size_t count = 0, total = 0, behind = 0;
        for (const char *at = listpack_first(exact); at; at = listpack_next(exact, at), count++)
            total += listpack_text(at, scratch).len;
        for (const char *at = listpack_last(exact); at; at = listpack_prev(exact, at), count--)
            behind += listpack_text(at, scratch).len;
        assert_int_equal(count, 0);
        assert_int_equal(total, behind);
    }
    free(exact);
    return is_valid;
}

static void test_hostile(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 7);
    int refused = 0, taken = 0;
    for (int round = 0; round < 300; round++) {
        char *lp = listpack_create();
        for (uint64_t i = random_below(&random, 12); i > 0; i--) {
            struct text t;
            random_text(&random, &t);
            lp = listpack_append(lp, text_of(&t));
        }
        size_t size = listpack_bytes(lp);
        assert_true(survive(lp, size));
        for (size_t cut = 0; cut < size; cut++)
            assert_false(survive(lp, cut));
        for (int damage = 0; damage < 100; damage++) {
            size_t at = random_below(&random, size);
            char was = lp[at];
            lp[at] = (char)random_next(&random);
            survive(lp, size) ? taken++ : refused++;
            lp[at] = was;
        }
        mem_free(lp);
    }
    assert_true(refused > 1000);
    assert_true(taken > 100);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        bool is_valid;
    } cases[] = {
#define BYTES(text) text, sizeof(text) - 1
        {BYTES("\x07\0\0\0\0\0\xff"), true},
        {BYTES("\x07\0\0\0\xff\xff\xff"), true},              /* count them */
        {BYTES("\x07\0\0\0\1\0\xff"), false},                 /* one told, none there */
        {BYTES("\x08\0\0\0\0\0\xff"), false},                 /* size */
        {BYTES("\x07\0\0\0\0\0\xfe"), false},                 /* no end */
        {BYTES("\x09\0\0\0\1\0\x05\1\xff"), true},
        {BYTES("\x09\0\0\0\1\0\x05\2\xff"), false},           /* size behind it */
        {BYTES("\x09\0\0\0\2\0\x05\1\xff"), false},           /* two told */
        {BYTES("\x09\0\0\0\1\0\xf5\1\xff"), false},           /* no such encoding */
        {BYTES("\x09\0\0\0\1\0\xff\1\xff"), false},           /* an end within */
        {BYTES("\x08\0\0\0\1\0\x05\xff"), false},             /* no size behind it */
        {BYTES("\x0a\0\0\0\1\0\x82\1\1\xff"), false},         /* a string beyond the end */
        {BYTES("\x0d\0\0\0\1\0\xf0\xff\xff\xff\xff\5\xff"), false},
        {BYTES("\x0a\0\0\0\1\0\x05\0\x81\xff"), false},       /* a longer size than it takes */
        {BYTES("\x0b\0\0\0\1\0\xf1\5\0\3\xff"), true},        /* a longer form than it takes */
        {BYTES("\x0a\0\0\0\1\0\x81" "7\2\xff"), true},        /* a number as text */
#undef BYTES
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(survive(cases[i].bytes, cases[i].size), cases[i].is_valid);
    /* Another form than ours is equal all the same. */
    const char *five = cases[14].bytes, *seven = cases[15].bytes;
    assert_non_null(listpack_find(five, listpack_first(five), SLICE_LITERAL("5"), 1));
    assert_non_null(listpack_find(seven, listpack_first(seven), SLICE_LITERAL("7"), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_edits),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_bytes_are_redis_s),
        cmocka_unit_test(test_lengths_are_redis_s),
        cmocka_unit_test(test_many_elements),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_block_follows_contents),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
