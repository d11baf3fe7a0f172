/* Goal: whatever bytes claim to be a DUMP payload are refused, or become a sound value that
 * can be dumped, restored again with the same contents, and freed.
 * Method: libFuzzer.  The first byte chooses thresholds; the rest is the payload without its
 * version and checksum, which are added, so that inputs get past them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"
#include "store/rdb_code.h"
#include "store/rdb_value.h"

static struct keyspace *keyspace_for(uint8_t choice)
{
    struct keyspace_options options = {.database_count = 1};
    struct keyspace *ks = keyspace_create(&options);
    for (int setting = 0; choice & 1 && setting < SETTING_COUNT; setting++)
        if (setting != SETTING_KEY_METADATA && setting != SETTING_LIST_COMPRESS_DEPTH)
            keyspace_set_setting(ks, setting, 4);
    return ks;
}

static struct entry *restore(struct keyspace *ks, const char *name, struct slice payload)
{
    struct rdb_value loaded;
    struct slice key = slice_from(name);
    CHECK(rdb_payload_is_intact(payload));
    if (!rdb_value_load(&loaded, keyspace_env(ks), payload))
        return NULL;
    struct entry *e = loaded.type == VALUE_STRING
                          ? keyspace_set(ks, 0, key, loaded.string, EXPIRE_NONE)
                          : keyspace_set_value(ks, 0, key, loaded.type, loaded.value, EXPIRE_NONE);
    rdb_value_free(&loaded, true);
    return e;
}

static struct digest digest_of(struct keyspace *ks, const char *name)
{
    return keyspace_value_digest(keyspace_peek(ks, 0, slice_from(name)));
}

static void dump_and_compare(struct keyspace *ks, const struct entry *e)
{
    struct buf again;
    buf_init(&again);
    rdb_value_dump(e, &again);
    CHECK(restore(ks, "again", buf_slice(&again)));
    struct digest a = digest_of(ks, "once"), b = digest_of(ks, "again");
    CHECK(a.low == b.low);
    CHECK(a.high == b.high);
    buf_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct buf payload;
    buf_init(&payload);
    buf_append(&payload, data + 1, size - 1);
    buf_append(&payload, (const char[]){RDB_VERSION, 0}, 2);
    rdb_write_word(&payload, rdb_checksum(buf_slice(&payload)));
    char *exact = mem_alloc(buf_size(&payload)); /* a read beyond it is seen by the sanitizer */
    memcpy(exact, buf_head(&payload), buf_size(&payload));
    struct keyspace *ks = keyspace_for(data[0]);
    struct entry *e = restore(ks, "once", slice_make(exact, buf_size(&payload)));
    if (e) {
        keyspace_check(ks);
        dump_and_compare(ks, e);
        keyspace_check(ks);
    }
    keyspace_free(ks);
    mem_free(exact);
    buf_deinit(&payload);
    return 0;
}
