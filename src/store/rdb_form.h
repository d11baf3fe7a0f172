/* The bytes that say what a value in an RDB file is, and the loaders by form. */
#ifndef STORE_RDB_FORM_H
#define STORE_RDB_FORM_H

#include "store/rdb_code.h"
#include "store/value.h"

enum rdb_form {
    RDB_STRING = 0,
    RDB_LIST = 1,
    RDB_SET = 2,
    RDB_ZSET_TEXT = 3,
    RDB_HASH = 4,
    RDB_ZSET = 5,
    RDB_HASH_ZIPMAP = 9,
    RDB_LIST_ZIPLIST = 10,
    RDB_SET_INTSET = 11,
    RDB_ZSET_ZIPLIST = 12,
    RDB_HASH_ZIPLIST = 13,
    RDB_LIST_ZIPLISTS = 14,
    RDB_STREAM_OLD = 15,
    RDB_HASH_LISTPACK = 16,
    RDB_ZSET_LISTPACK = 17,
    RDB_LIST_LISTPACKS = 18,
    RDB_STREAM = 19,
};
enum { RDB_NODE_PLAIN = 1, RDB_NODE_PACKED = 2 };

/* Makes a listpack of the elements of a ziplist, or of the fields and values of a
 * zipmap; NULL if the bytes are none.  To be freed with mem_free. */
char *rdb_ziplist_to_listpack(struct slice bytes);
char *rdb_zipmap_to_listpack(struct slice bytes);

/* A stream, without the byte that says so. */
void rdb_stream_save(const struct value *v, struct buf *out);
/* False: *v holds what was read so far, to be freed. */
bool rdb_stream_load(struct value *v, struct rdb_reader *r, bool is_old);

#endif
