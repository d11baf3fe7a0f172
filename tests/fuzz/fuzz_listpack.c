/* Goal: whatever bytes claim to be a listpack are refused, or can be walked both ways,
 * searched and edited without reading beyond them or breaking the listpack.
 * Method: libFuzzer.  The first byte chooses an edit; the rest is the listpack, in a block
 * of exactly its size, its first four bytes corrected so that most inputs get past them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "store/listpack.h"

static void walk(const char *lp)
{
    char scratch[INT64_TEXT_MAX];
    size_t count = 0;
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at), count++) {
        struct slice text = listpack_text(at, scratch);
        CHECK(listpack_equals(at, text));
        CHECK(listpack_find(lp, at, text, 1) == at);
        CHECK(listpack_element_bytes(text) <= listpack_bytes(lp));
    }
    CHECK(count == listpack_count(lp));
    for (const char *at = listpack_last(lp); at; at = listpack_prev(lp, at))
        count--;
    CHECK(count == 0);
}

static char *edit(char *lp, unsigned choice)
{
    const char *at = listpack_at(lp, (int64_t)(choice >> 3) - 16);
    switch (choice & 7) {
    case 0: return listpack_append(lp, SLICE_LITERAL("text"));
    case 1: return listpack_prepend(lp, SLICE_LITERAL("-70000"));
    case 2: return listpack_insert(lp, &at, SLICE_LITERAL("9000000000"));
    case 3: return at ? listpack_replace(lp, &at, SLICE_LITERAL("")) : lp;
    case 4: return at ? listpack_remove(lp, &at, 2) : lp;
    case 5: return listpack_append_pair(lp, SLICE_LITERAL("field"), SLICE_LITERAL("1"));
    case 6: return at ? listpack_replace_int(lp, &at, INT64_MIN) : lp;
    default: return listpack_shrink(lp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 + 4)
        return 0;
    size_t bytes = size - 1;
    char *lp = mem_alloc(bytes);
    memcpy(lp, data + 1, bytes);
    for (unsigned i = 0; i < 4; i++)
        lp[i] = (char)(bytes >> (8 * i));
    if (listpack_is_valid(slice_make(lp, bytes))) {
        walk(lp);
        lp = edit(lp, data[0]);
        listpack_check(lp);
        walk(lp);
    }
    mem_free(lp);
    return 0;
}
