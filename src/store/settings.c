#include "store/settings.h"

enum { KIB = 1024 };

const struct setting_bounds setting_bounds[SETTING_COUNT] = {
    [SETTING_HASH_MAX_LISTPACK_ENTRIES] = {"hash-max-listpack-entries", 512, 0, INT64_MAX},
    [SETTING_HASH_MAX_LISTPACK_VALUE] = {"hash-max-listpack-value", 64, 0, INT64_MAX},
    [SETTING_LIST_MAX_LISTPACK_SIZE] = {"list-max-listpack-size", -2, INT32_MIN, INT32_MAX},
    [SETTING_LIST_COMPRESS_DEPTH] = {"list-compress-depth", 0, 0, INT32_MAX},
    [SETTING_SET_MAX_INTSET_ENTRIES] = {"set-max-intset-entries", 512, 0, INT64_MAX},
    [SETTING_ZSET_MAX_LISTPACK_ENTRIES] = {"zset-max-listpack-entries", 128, 0, INT64_MAX},
    [SETTING_ZSET_MAX_LISTPACK_VALUE] = {"zset-max-listpack-value", 64, 0, INT64_MAX},
    [SETTING_HLL_SPARSE_MAX_BYTES] = {"hll-sparse-max-bytes", 3000, 0, INT64_MAX},
    [SETTING_STREAM_NODE_MAX_BYTES] = {"stream-node-max-bytes", 4 * KIB, 0, INT64_MAX},
    [SETTING_STREAM_NODE_MAX_ENTRIES] = {"stream-node-max-entries", 100, 0, INT64_MAX},
    [SETTING_KEY_METADATA] = {"key-metadata", 0, 0, 1},
};

void settings_init(struct settings *s)
{
    for (enum setting i = 0; i < SETTING_COUNT; i++)
        s->values[i] = setting_bounds[i].initial;
    s->agreed = 0;
}

enum setting setting_of(struct slice name)
{
    enum setting i = 0;
    while (i < SETTING_COUNT && !slice_is(name, setting_bounds[i].name))
        i++;
    return i;
}
