#include "command/run.h"

#include "base/check.h"

void command_prefetch(const struct call *calls, size_t count, uint64_t *hashes)
{
    CHECK(count <= COMMAND_RUN_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct call *c = &calls[i];
        int key = command_first_key(c);
        hashes[i] = 0;
        if (key) {
            hashes[i] = keyspace_hash(c->ks, c->argv[key]);
            keyspace_prefetch_bucket(c->ks, c->db, hashes[i]);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (command_first_key(&calls[i]))
            keyspace_prefetch_entry(calls[i].ks, calls[i].db, hashes[i]);
}
