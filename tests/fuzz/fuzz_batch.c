/* Goal: no bytes make the decoding of a batch crash, read beyond them or reserve memory
 * for what is not there; what is decoded, encoded and decoded again is the same.
 * Method: libFuzzer; the bytes lie in a block of exactly their size. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replica/batch_code.h"

static void check_again(int db, int argc, const struct slice *argv)
{
    struct buf out = {0};
    struct batch_arguments arguments = {0};
    int db_again, argc_again;
    batch_encode(&out, db, argc, argv);
    CHECK(buf_size(&out) == batch_encoded_size(db, argc, argv));
    const char *at = buf_head(&out), *end = at + buf_size(&out);
    CHECK(batch_decode(&at, end, &arguments, 0, &db_again, &argc_again) == STATUS_OK);
    CHECK(at == end);
    CHECK(db_again == db);
    CHECK(argc_again == argc);
    for (int i = 0; i < argc; i++)
        CHECK(slice_equal(argv[i], arguments.argv[i]));
    batch_arguments_deinit(&arguments);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size ? size : 1);
    if (size)
        memcpy(exact, data, size);
    struct batch_arguments arguments = {0};
    const char *at = exact, *end = exact + size;
    int used = 0, db, argc;
    while (at < end && batch_decode(&at, end, &arguments, used, &db, &argc) == STATUS_OK) {
        CHECK(argc > 0);
        CHECK(at <= end);
        check_again(db, argc, arguments.argv + used);
        used += argc;
    }
    CHECK((size_t)arguments.capacity <= 4 * size + 128);
    batch_arguments_deinit(&arguments);
    free(exact);
    return 0;
}
