/* Goal: a sparse counter and a dense one that saw the same hold the same
 * registers, whatever the order; a stranger's bytes are valid exactly if their
 * runs cover the registers; valid ones can be added to without leaving their
 * room.
 * Method: random registers against an array; random runs, some broken, in
 * blocks of their exact size. */
#include "store/hll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

static struct slice bytes_of(const struct hll *h)
{
    return slice_make(h->bytes, h->size);
}

static void check_registers(const struct hll *h, const uint8_t *expected)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    assert_true(hll_is_valid(bytes_of(h)));
    hll_merge(registers, bytes_of(h));
    assert_memory_equal(registers, expected, HLL_REGISTERS);
    assert_int_equal(hll_estimate(bytes_of(h)), hll_estimate_registers(expected));
}

static void test_registers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct random random = {0};
        random_init(&random, seed);
        size_t limit = seed % 3 == 0 ? HLL_BYTES_MAX : random_below(&random, 4000);
        struct hll h = {.bytes = mem_alloc(HLL_ROOM)};
        uint8_t expected[HLL_REGISTERS] = {0};
        hll_init(&h);
        for (unsigned i = 0; i < 3000; i++) {
            unsigned span = seed % 2 ? 64 : HLL_REGISTERS;
            unsigned index = (unsigned)random_below(&random, span);
            unsigned rank = 1 + (unsigned)random_below(&random, seed % 5 == 0 ? 51 : seed % 2 ? 4 : 32);
            assert_int_equal(hll_raise(&h, index, rank, limit), rank > expected[index]);
            if (rank > expected[index])
                expected[index] = (uint8_t)rank;
            if (i % 50 == 0)
                check_registers(&h, expected);
        }
        check_registers(&h, expected);
        hll_make_dense(&h);
        assert_true(hll_is_dense(bytes_of(&h)));
        check_registers(&h, expected);
        mem_free(h.bytes);
    }
}

/* Every register in a run of its own, then every second one raised. */
static void test_fullest(void **state)
{
    (void)state;
    struct hll h = {.bytes = mem_alloc(HLL_ROOM)};
    uint8_t expected[HLL_REGISTERS];
    hll_init(&h);
    for (unsigned i = 0; i < HLL_REGISTERS; i++) {
        expected[i] = (uint8_t)(1 + i % 2);
        assert_true(hll_raise(&h, i, expected[i], HLL_BYTES_MAX));
    }
    check_registers(&h, expected);
    assert_false(hll_is_dense(bytes_of(&h)));
    mem_free(h.bytes);
}

static void test_estimate_is_kept(void **state)
{
    (void)state;
    struct hll h = {.bytes = mem_alloc(HLL_ROOM)};
    uint64_t estimate = 1;
    hll_init(&h);
    assert_true(hll_cached(bytes_of(&h), &estimate));
    assert_int_equal(estimate, 0);
    assert_true(hll_add(&h, SLICE_LITERAL("a"), 3000));
    assert_false(hll_cached(bytes_of(&h), &estimate));
    hll_cache(h.bytes, UINT64_C(0x123456789abcdef));
    assert_true(hll_cached(bytes_of(&h), &estimate));
    assert_int_equal(estimate, UINT64_C(0x123456789abcdef));
    assert_false(hll_add(&h, SLICE_LITERAL("a"), 3000));
    assert_true(hll_cached(bytes_of(&h), &estimate));
    mem_free(h.bytes);
}

static void add_to_copy(struct slice bytes, struct random *random)
{
    struct hll h = {.bytes = mem_alloc(HLL_ROOM), .size = bytes.len};
    memcpy(h.bytes, bytes.ptr, bytes.len);
    for (int i = 0; i < 50; i++) {
        uint64_t element = random_next(random);
        hll_add(&h, slice_make(&element, sizeof element), HLL_BYTES_MAX);
        assert_true(hll_is_valid(bytes_of(&h)));
    }
    mem_free(h.bytes);
}

static void test_strangers(void **state)
{
    (void)state;
    struct random random = {0};
    random_init(&random, 7);
    unsigned valid = 0;
    for (unsigned round = 0; round < 4000; round++) {
        char bytes[HLL_BYTES_MAX + 8] = "HYLL\x01";
        size_t size = HLL_HEADER_BYTES, covered = 0;
        while (covered < HLL_REGISTERS && size < HLL_BYTES_MAX) {
            unsigned room = (unsigned)(HLL_REGISTERS - covered);
            unsigned count = 1 + (unsigned)random_below(&random, room < 3000 ? room : 3000);
            switch (random_below(&random, 3)) {
            case 0:
                count = count > 64 ? 64 : count;
                bytes[size++] = (char)(count - 1);
                break;
            case 1:
                bytes[size++] = (char)(0x40 | (count - 1) >> 8);
                bytes[size++] = (char)((count - 1) & 0xff);
                break;
            default:
                count = count > 4 ? 4 : count;
                bytes[size++] = (char)(0x80 | random_below(&random, 32) << 2 | (count - 1));
            }
            covered += count;
        }
        if (random_below(&random, 2) == 0)
            bytes[HLL_HEADER_BYTES + random_below(&random, size - HLL_HEADER_BYTES)] ^= (char)(1 << random_below(&random, 8));
        if (random_below(&random, 4) == 0)
            size -= random_below(&random, 4);
        char *exact = mem_alloc(size); /* a read beyond it is seen by the sanitizer */
        memcpy(exact, bytes, size);
        if (hll_is_valid(slice_make(exact, size))) {
            valid++;
            add_to_copy(slice_make(exact, size), &random);
            hll_estimate(slice_make(exact, size));
        }
        mem_free(exact);
    }
    assert_in_range(valid, 1000, 3000);
    char dense[HLL_DENSE_BYTES] = "HYLL";
    assert_true(hll_is_valid(slice_make(dense, sizeof dense)));
    assert_false(hll_is_valid(slice_make(dense, sizeof dense - 1)));
    dense[4] = 2;
    assert_false(hll_is_valid(slice_make(dense, sizeof dense)));
    assert_false(hll_is_valid(slice_make(dense, 15)));
    assert_false(hll_is_valid(SLICE_LITERAL("")));
    memset(dense + HLL_HEADER_BYTES, 0xff, sizeof dense - HLL_HEADER_BYTES); /* ranks no hash can have */
    dense[4] = 0;
    hll_estimate(slice_make(dense, sizeof dense));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_registers), cmocka_unit_test(test_fullest),
                                       cmocka_unit_test(test_estimate_is_kept), cmocka_unit_test(test_strangers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
