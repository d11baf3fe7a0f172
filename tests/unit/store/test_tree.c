/* Goal: a tree holds what a sorted array would, in that order and with those
 * ranks, whatever came and went, and nodes stay as full as the header says.
 *
 * Method: items are numbers; the key is some bits of the number and compare
 * sees the rest, so many keys are equal.  Random insertion, removal and
 * replacement beside a sorted array, tree_check after every step and all
 * answers compared from time to time; then the special ways of growing
 * (ascending, descending, appending) and draining in small budgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "store/tree.h"

enum { NUMBERS = 4000, KEY_SHIFT = 3 };

struct number {
    uint64_t value;
    bool is_present;
};

struct model {
    struct tree tree;
    struct number *numbers; /* by value */
    struct number *others;  /* equal ones at other addresses */
    size_t count;
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = ((const struct number *)a)->value, y = ((const struct number *)b)->value;
    return x < y ? -1 : x > y;
}

static struct tree_item item_of(struct number *n)
{
    return (struct tree_item){n->value >> KEY_SHIFT, n};
}

static struct number *numbers_create(void)
{
    struct number *numbers = calloc(NUMBERS, sizeof *numbers);
    for (size_t i = 0; i < NUMBERS; i++)
        numbers[i].value = i;
    return numbers;
}

static void model_init(struct model *m)
{
    *m = (struct model){.numbers = numbers_create(), .others = numbers_create()};
    tree_init(&m->tree, compare_numbers);
}

static void model_deinit(struct model *m)
{
    free(m->numbers);
    free(m->others);
}

static void ignore(void *context, void *item)
{
    (void)context, (void)item;
}

static void empty(struct model *m)
{
    size_t budget = SIZE_MAX;
    assert_true(tree_drain(&m->tree, &budget, ignore, NULL));
    model_deinit(m);
}

static void toggle(struct model *m, size_t i)
{
    struct number *n = &m->numbers[i];
    struct tree_item removed;
    if (n->is_present) {
        assert_false(tree_insert(&m->tree, item_of(&m->others[i])));
        assert_true(tree_remove(&m->tree, item_of(&m->others[i]), &removed));
        assert_int_equal(removed.key, i >> KEY_SHIFT);
        assert_int_equal(((struct number *)removed.item)->value, i);
        m->count--;
    } else {
        assert_false(tree_remove(&m->tree, item_of(n), NULL));
        assert_true(tree_insert(&m->tree, item_of(n)));
        m->count++;
    }
    n->is_present = !n->is_present;
    tree_check(&m->tree);
    assert_int_equal(tree_size(&m->tree), m->count);
}

static int seek_value(const void *sought, struct tree_item item)
{
    uint64_t value = *(const uint64_t *)sought;
    assert_int_equal(item.key, ((struct number *)item.item)->value >> KEY_SHIFT);
    return ((struct number *)item.item)->value < value ? -1 : ((struct number *)item.item)->value > value;
}

static uint64_t value_at(struct tree_place place)
{
    return ((struct number *)tree_get(place).item)->value;
}

/* Every question, for every number. */
static void compare_all(struct model *m)
{
    size_t rank = 0, found_rank;
    struct tree_place place = tree_first(&m->tree), last = tree_first(&m->tree);
    for (uint64_t i = 0; i < NUMBERS; i++) {
        struct tree_place sought = tree_seek(&m->tree, seek_value, &i, &found_rank);
        assert_int_equal(found_rank, rank);
        assert_true(sought.node == place.node && sought.index == place.index);
        struct tree_place found = tree_find(&m->tree, item_of(&m->others[i]), &found_rank);
        assert_int_equal(tree_is_end(found), !m->numbers[i].is_present);
        if (!m->numbers[i].is_present)
            continue;
        assert_int_equal(found_rank, rank);
        assert_int_equal(value_at(place), i);
        struct tree_place ranked = tree_at(&m->tree, rank);
        assert_true(ranked.node == place.node && ranked.index == place.index);
        last = place;
        place = tree_next(place);
        rank++;
    }
    assert_true(tree_is_end(place));
    assert_true(tree_is_end(tree_at(&m->tree, rank)));
    assert_int_equal(rank, m->count);
    struct tree_place end = tree_last(&m->tree);
    assert_true(end.node == last.node && end.index == last.index);
    for (; !tree_is_end(end); end = tree_previous(end))
        assert_int_equal(value_at(end), value_at(tree_at(&m->tree, --rank)));
    assert_int_equal(rank, 0);
}

static void test_random(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    struct random random;
    random_init(&random, 7);
    compare_all(&m);
    /* Tides: mostly inserting, then mostly removing. */
    for (unsigned step = 0; step < 24000; step++) {
        bool is_rising = step / 4000 % 2 == 0;
        size_t i = random_below(&random, NUMBERS);
        if (m.numbers[i].is_present != is_rising || random_below(&random, 8) == 0)
            toggle(&m, i);
        if (step % 1500 == 0)
            compare_all(&m);
    }
    compare_all(&m);
    empty(&m);
}

static void test_from_the_ends(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) {
        struct model m;
        model_init(&m);
        for (size_t i = 0; i < NUMBERS; i++)
            toggle(&m, way & 1 ? NUMBERS - 1 - i : i);
        /* Nodes are full, whichever the end. */
        assert_true(m.tree.leaf_count <= NUMBERS / 62 + 2);
        compare_all(&m);
        for (size_t i = 0; i < NUMBERS; i++) {
            toggle(&m, way & 2 ? NUMBERS - 1 - i : i);
            if (i % 500 == 0)
                compare_all(&m);
        }
        assert_null(m.tree.root);
        assert_int_equal(tree_bytes(&m.tree), 0);
        model_deinit(&m);
    }
}

/* Both ends outwards, then inwards: edges with little in them. */
static void test_outwards(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    for (size_t i = 0; i < NUMBERS / 2; i++) {
        toggle(&m, NUMBERS / 2 + i);
        toggle(&m, NUMBERS / 2 - 1 - i);
    }
    compare_all(&m);
    for (size_t i = 0; i < NUMBERS / 2; i++) {
        toggle(&m, i);
        toggle(&m, NUMBERS - 1 - i);
    }
    assert_null(m.tree.root);
    model_deinit(&m);
}

static void test_middle_out(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    for (size_t i = 0; i < NUMBERS; i++)
        toggle(&m, i);
    for (size_t i = 0; i < NUMBERS; i++) {
        toggle(&m, (i + NUMBERS / 3) % NUMBERS);
        if (i % 500 == 0)
            compare_all(&m);
    }
    model_deinit(&m);
}

static void test_random_fill(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    struct random random;
    random_init(&random, 3);
    while (m.count < NUMBERS) {
        size_t i = random_below(&random, NUMBERS);
        if (!m.numbers[i].is_present)
            toggle(&m, i);
    }
    assert_true(tree_bytes(&m.tree) <= NUMBERS * 23);
    empty(&m);
}

static void test_append(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    for (size_t i = 0; i < NUMBERS; i++) {
        assert_true(tree_append(&m.tree, item_of(&m.numbers[i])));
        assert_false(tree_append(&m.tree, item_of(&m.others[i])));
        assert_false(i > 0 && tree_append(&m.tree, item_of(&m.others[i - 1])));
        m.numbers[i].is_present = true;
        m.count++;
        tree_check(&m.tree);
    }
    assert_true(m.tree.leaf_count <= NUMBERS / 62 + 2);
    compare_all(&m);
    empty(&m);
}

static void mark(void *context, void *item)
{
    struct number *n = item;
    assert_true(n->is_present);
    n->is_present = false;
    ++*(size_t *)context;
}

static void test_drain(void **state)
{
    (void)state;
    for (size_t part = 1; part < 200; part += 37) {
        struct model m;
        model_init(&m);
        for (size_t i = 0; i < NUMBERS; i++)
            toggle(&m, i);
        size_t visited = 0, calls = 0;
        for (bool is_done = false; !is_done; calls++) {
            size_t budget = part, before = visited;
            is_done = tree_drain(&m.tree, &budget, mark, &visited);
            assert_int_equal(visited - before, part - budget);
        }
        assert_int_equal(visited, NUMBERS);
        assert_in_range(calls, NUMBERS / part, NUMBERS / part + 1);
        assert_null(m.tree.root);
        tree_check(&m.tree);
        model_deinit(&m);
    }
}

/* A tree without compare: keys alone. */
static void test_keys_alone(void **state)
{
    (void)state;
    struct tree t;
    tree_init(&t, NULL);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(tree_insert(&t, (struct tree_item){i * 7919 % 1009, NULL}));
    assert_false(tree_insert(&t, (struct tree_item){7919 % 1009, NULL}));
    tree_check(&t);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(tree_remove(&t, (struct tree_item){i * 7919 % 1009, NULL}, NULL));
    assert_int_equal(tree_size(&t), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),        cmocka_unit_test(test_from_the_ends),
        cmocka_unit_test(test_outwards),      cmocka_unit_test(test_middle_out),
        cmocka_unit_test(test_random_fill),   cmocka_unit_test(test_append),
        cmocka_unit_test(test_drain),         cmocka_unit_test(test_keys_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
