/* Goal: no bytes that claim to be the saved parts of a value, of whatever type and form and
 * however cut, make its loading crash, read beyond them, or answer differently from the same
 * bytes elsewhere in memory; what is loaded is sound, is saved to parts that load to the same
 * again, copies alike, and can be freed in steps.
 * Method: libFuzzer, below snapshots, whose digest would refuse what was made up.  The first
 * byte chooses type and form, the second how large the parts are that it is saved in; then
 * come parts, each behind its length, two bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "store/digest.h"
#include "store/value.h"

static const struct {
    enum value_type type;
    enum value_encoding encoding;
} forms[] = {
    {VALUE_LIST, ENCODING_SMALL_LIST}, {VALUE_LIST, ENCODING_QUICKLIST}, {VALUE_SET, ENCODING_INTSET},
    {VALUE_SET, ENCODING_SMALL_SET},   {VALUE_SET, ENCODING_HASHTABLE},  {VALUE_ZSET, ENCODING_LISTPACK},
    {VALUE_ZSET, ENCODING_SKIPLIST},   {VALUE_HASH, ENCODING_LISTPACK},  {VALUE_HASH, ENCODING_HASHTABLE},
    {VALUE_STREAM, ENCODING_STREAM},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* One part, against an unreadable page. */
static bool load_part(const struct object_type *type, struct value *v, const struct value_env *env,
                      struct slice part, bool is_last)
{
    char *exact = malloc(part.len);
    if (part.len)
        memcpy(exact, part.ptr, part.len);
    bool is_loaded = type->load(v, env, slice_make(exact, part.len), is_last);
    free(exact);
    return is_loaded;
}

static bool load_all(const struct object_type *type, struct value *v, const struct value_env *env,
                     const uint8_t *data, size_t size)
{
    for (;;) {
        if (size < 2)
            return false;
        size_t length = (size_t)(data[0] | data[1] << 8);
        data += 2;
        size -= 2;
        bool is_last = length >= size;
        length = is_last ? size : length;
        if (!load_part(type, v, env, slice_make((const char *)data, length), is_last))
            return false;
        if (is_last)
            return true;
        data += length;
        size -= length;
    }
}

static bool is_same(const struct object_type *type, const struct value *a, const struct value *b)
{
    struct digest one = type->digest(a), other = type->digest(b);
    return a->encoding == b->encoding && one.low == other.low && one.high == other.high;
}

static void free_in_steps(const struct object_type *type, struct value *v, size_t step)
{
    for (;;) {
        size_t budget = step;
        if (type->free_some(v, &budget))
            return;
    }
}

static void save_and_load(const struct object_type *type, const struct value *v, const struct value_env *env,
                          size_t limit)
{
    struct value again = {NULL, v->encoding};
    struct value_cursor cursor = {0};
    struct buf part;
    buf_init(&part);
    while (!cursor.is_done) {
        buf_clear(&part);
        type->save(v, &cursor, &part, limit);
        CHECK(cursor.is_done || buf_size(&part) > 0);
        bool is_loaded = load_part(type, &again, env, buf_slice(&part), cursor.is_done);
        CHECK(is_loaded);
    }
    buf_deinit(&part);
    type->check(&again);
    CHECK(is_same(type, v, &again));
    free_in_steps(type, &again, 1 + limit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct value_env env;
    if (size < 2)
        return 0;
    settings_init(&env.settings);
    unsigned form = data[0] % FORMS;
    size_t limit = data[1];
    const struct object_type *type = object_type_of(forms[form].type);
    struct value v = {NULL, forms[form].encoding};
    if (!type)
        return 0;
    bool is_loaded = load_all(type, &v, &env, data + 2, size - 2);
    if (is_loaded) {
        type->check(&v);
        CHECK(type->memory(&v, 0) > 0);
        CHECK(type->free_effort(&v) > 0);
        save_and_load(type, &v, &env, limit);
        struct value copy = type->copy(&v);
        type->check(&copy);
        CHECK(is_same(type, &v, &copy));
        free_in_steps(type, &copy, 1 + limit);
    }
    if (v.at)
        free_in_steps(type, &v, 1 + limit);
    return 0;
}
