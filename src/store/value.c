#include "store/value.h"

#include "base/check.h"

/* Indexed by enum value_type. */
static const struct object_type *const object_types[] = {
    [VALUE_STRING] = NULL,
    [VALUE_LIST] = &list_object_type,
    [VALUE_SET] = &set_object_type,
    [VALUE_ZSET] = &zset_object_type,
    [VALUE_HASH] = &hash_object_type,
    [VALUE_STREAM] = &stream_object_type,
};

const struct object_type *object_type_of(enum value_type type)
{
    return object_types[type];
}

void value_free(enum value_type type, struct value v)
{
    size_t budget = SIZE_MAX;
    bool is_gone = !v.at || object_type_of(type)->free_some(&v, &budget);
    CHECK(is_gone);
}

bool value_encoding_fits(enum value_type type, enum value_encoding encoding)
{
    switch (encoding) {
    case ENCODING_INT:
    case ENCODING_EMBSTR:
    case ENCODING_RAW: return type == VALUE_STRING;
    case ENCODING_LISTPACK: return type == VALUE_HASH || type == VALUE_ZSET;
    case ENCODING_HASHTABLE: return type == VALUE_HASH || type == VALUE_SET;
    case ENCODING_INTSET:
    case ENCODING_SMALL_SET: return type == VALUE_SET;
    case ENCODING_SKIPLIST: return type == VALUE_ZSET;
    case ENCODING_SMALL_LIST:
    case ENCODING_QUICKLIST: return type == VALUE_LIST;
    case ENCODING_STREAM: return type == VALUE_STREAM;
    }
    return false;
}
