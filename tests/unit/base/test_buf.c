/* Goal: a buf is a queue of bytes whatever the order of appending, consuming, reserving and
 * shrinking; a list is a ring.
 * Method: random operations beside a naive model, and the edges by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/random.h"

static void behaves_like_a_queue(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 3);
    struct buf b;
    buf_init(&b);
    uint8_t appended = 0, consumed = 0; /* the n-th byte appended is n modulo 256 */
    size_t size = 0;
    for (int i = 0; i < 20000; i++) {
        size_t count = random_below(&random, random_below(&random, 50) ? 40 : 3000);
        switch (random_below(&random, 5)) {
        case 0:
        case 1: {
            uint8_t bytes[3000];
            for (size_t j = 0; j < count; j++)
                bytes[j] = appended++;
            buf_append(&b, bytes, count);
            size += count;
            break;
        }
        case 2:
        case 3:
            count = count < size ? count : size;
            for (size_t j = 0; j < count; j++)
                assert_int_equal((uint8_t)buf_head(&b)[j], consumed++);
            buf_consume(&b, count);
            size -= count;
            break;
        default: buf_shrink(&b, 64 + count); break;
        }
        assert_int_equal(buf_size(&b), size);
        assert_true(b.head <= b.tail);
        assert_true(b.tail <= b.capacity);
    }
    buf_deinit(&b);
    assert_null(b.data);
}

static void reserving(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    char *room = buf_reserve(&b, 100);
    assert_true(buf_room(&b) >= 100);
    memcpy(room, "abc", 3);
    assert_int_equal(buf_size(&b), 0);
    buf_extend(&b, 3);
    assert_true(slice_equal(buf_slice(&b), SLICE_LITERAL("abc")));
    buf_append(&b, NULL, 0);
    buf_append_slice(&b, SLICE_LITERAL("def"));
    assert_int_equal(buf_size(&b), 6);
    buf_shrink(&b, 16);
    assert_true(b.capacity <= 16);
    assert_true(slice_equal(buf_slice(&b), SLICE_LITERAL("abcdef")));
    buf_clear(&b);
    buf_shrink(&b, 4);
    assert_null(b.data);
    buf_deinit(&b);
}

/* Growing is amortised: a queue that is filled and emptied in step does not grow. */
static void steady_flow_does_not_grow(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    char bytes[100] = {0};
    buf_append(&b, bytes, 50);
    for (int i = 0; i < 100000; i++) {
        buf_append(&b, bytes, sizeof bytes);
        buf_consume(&b, sizeof bytes);
    }
    assert_true(b.capacity <= 2048);
    buf_deinit(&b);
}

/* Into an empty buf, into one with too little room, and far beyond the first guess. */
static void printing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%d,%s", 42, "x");
    assert_true(slice_equal(buf_slice(&b), SLICE_LITERAL("42,x")));
    char long_text[2000];
    memset(long_text, 'y', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    buf_printf(&b, "%s", long_text);
    assert_int_equal(buf_size(&b), 4 + sizeof long_text - 1);
    assert_memory_equal(buf_head(&b) + 4, long_text, sizeof long_text - 1);
    buf_deinit(&b);
    for (size_t filled = 500; filled < 530; filled++) {
        buf_init(&b);
        buf_append(&b, long_text, filled);
        buf_printf(&b, "%0*d|", 20, 7);
        assert_int_equal(buf_size(&b), filled + 21);
        assert_memory_equal(buf_head(&b) + filled, "00000000000000000007|", 21);
        buf_deinit(&b);
    }
}

struct item {
    int number;
    struct list_link link;
};

static void lists(void **state)
{
    (void)state;
    struct list list;
    list_init(&list);
    assert_true(list_is_empty(&list));
    assert_null(list_first(&list));
    struct item items[5];
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_link_init(&items[i].link);
        assert_false(list_is_linked(&items[i].link));
        if (i % 2)
            list_prepend(&list, &items[i].link);
        else
            list_append(&list, &items[i].link);
        assert_true(list_is_linked(&items[i].link));
    }
    int order[5], count = 0;
    LIST_FOR_EACH(&list, struct item, link, item)
        order[count++] = item->number;
    assert_int_equal(count, 5);
    assert_memory_equal(order, ((int[]){3, 1, 0, 2, 4}), sizeof order);
    LIST_FOR_EACH(&list, struct item, link, item) {
        if (item->number % 2 == 0)
            list_remove(&item->link);
    }
    assert_ptr_equal(list_first(&list), &items[3].link);
    list_remove(&items[3].link);
    list_remove(&items[1].link);
    assert_true(list_is_empty(&list));
    for (int i = 0; i < 5; i++)
        assert_false(list_is_linked(&items[i].link));
}

static void allocating(void **state)
{
    (void)state;
    mem_free(mem_alloc(0));
    char *zeros = mem_calloc(10, 10);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    zeros = mem_realloc(zeros, 1000);
    assert_true(mem_usable_size(zeros) >= 1000);
    mem_free_sized(zeros, 1000);
    char *aligned = mem_alloc_aligned(4096, 10);
    assert_int_equal((uintptr_t)aligned % 4096, 0);
    mem_free(aligned);
    assert_true(mem_good_size(1000) >= 1000);
    char *copy = mem_strdup("text");
    assert_string_equal(copy, "text");
    mem_free(copy);
    mem_free(NULL);
    struct mem_figures figures;
    mem_figures(&figures);
    assert_true(figures.resident_process > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_a_queue), cmocka_unit_test(reserving),
        cmocka_unit_test(steady_flow_does_not_grow), cmocka_unit_test(printing),
        cmocka_unit_test(lists), cmocka_unit_test(allocating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
