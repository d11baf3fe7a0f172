/* How Redis spells types and encodings. */
#ifndef COMMAND_TYPE_NAMES_H
#define COMMAND_TYPE_NAMES_H

#include "store/keyspace.h"

static inline const char *value_type_name(enum value_type type)
{
    static const char *const names[] = {
        [VALUE_STRING] = "string", [VALUE_LIST] = "list", [VALUE_SET] = "set",
        [VALUE_ZSET] = "zset",     [VALUE_HASH] = "hash", [VALUE_STREAM] = "stream",
    };
    return names[type];
}

static inline const char *value_encoding_name(enum value_encoding encoding)
{
    static const char *const names[] = {
        [ENCODING_INT] = "int",
        [ENCODING_EMBSTR] = "embstr",
        [ENCODING_RAW] = "raw",
        [ENCODING_LISTPACK] = "listpack",
        [ENCODING_HASHTABLE] = "hashtable",
        [ENCODING_INTSET] = "intset",
        [ENCODING_SMALL_SET] = "hashtable",
        [ENCODING_SKIPLIST] = "skiplist",
        [ENCODING_SMALL_LIST] = "quicklist",
        [ENCODING_QUICKLIST] = "quicklist",
        [ENCODING_STREAM] = "stream",
    };
    return names[encoding];
}

#endif
