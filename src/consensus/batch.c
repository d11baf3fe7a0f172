#include "consensus/batch.h"

#include "base/alloc.h"
#include "base/check.h"

struct batch *batch_create(size_t size)
{
    CHECK(size <= BATCH_BYTES_MAX);
    struct batch *batch = mem_alloc(sizeof *batch + size);
    batch->references = 1;
    batch->size = (uint32_t)size;
    batch->clock_ms = 0;
    batch->previous_lap = RABIA_NO_LAP;
    return batch;
}

struct batch *batch_hold(struct batch *batch)
{
    CHECK(batch->references > 0);
    batch->references++;
    return batch;
}

void batch_release(struct batch *batch)
{
    if (!batch)
        return;
    CHECK(batch->references > 0);
    if (--batch->references == 0)
        mem_free_sized(batch, sizeof *batch + batch->size);
}
