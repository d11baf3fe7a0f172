#include "disk.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"

void disk_deinit(struct disk *disk)
{
    disk_truncate(disk, 0);
    mem_free(disk->journal);
}

void disk_append(struct disk *disk, const struct rabia_record *record, bool is_restated)
{
    if (disk->count == disk->capacity) {
        disk->capacity = disk->capacity ? disk->capacity * 2 : 256;
        disk->journal = mem_realloc(disk->journal, disk->capacity * sizeof *disk->journal);
    }
    disk->journal[disk->count++] = (struct disk_entry){*record, is_restated};
    if (record->message.batch)
        batch_hold(record->message.batch);
}

uint64_t disk_last_seq(const struct disk *disk)
{
    return (uint64_t)((int64_t)disk->count - disk->life_start);
}

void disk_flushed(struct disk *disk, uint64_t seq)
{
    int64_t flushed = disk->life_start + (int64_t)seq;
    if (flushed > (int64_t)disk->flushed)
        disk->flushed = (size_t)flushed;
}

void disk_truncate(struct disk *disk, size_t count)
{
    while (disk->count > count)
        batch_release(disk->journal[--disk->count].record.message.batch);
    if (disk->flushed > count)
        disk->flushed = count;
}

/* --- snapshots ---------------------------------------------------------------- */

uint64_t snapshot_lap(const struct snapshot *snapshot, uint64_t first_lap)
{
    uint64_t lap = 0;
    for (size_t i = 0; i < 8; i++)
        lap |= (uint64_t)snapshot->bytes[1 + i] << (8 * i);
    return snapshot->size ? lap : first_lap;
}

uint8_t snapshot_lane(const struct snapshot *snapshot)
{
    return snapshot->size ? snapshot->bytes[9] : 0;
}

void disk_begin_snapshot(struct disk *disk, size_t cut)
{
    disk->has_next = true;
    disk->cut = cut;
    disk->cut_end = disk->count;
}

static bool is_kept(const struct disk *disk, const struct rabia_message *m)
{
    for (size_t i = disk->cut; i < disk->count; i++) {
        const struct rabia_message *kept = &disk->journal[i].record.message;
        bool is_null = kept->kind == RABIA_SKIP || (kept->kind == RABIA_DECIDED && kept->value == RABIA_NULL);
        bool is_same = kept->lane == m->lane && kept->lap <= m->lap && m->lap < kept->lap + kept->count;
        if (is_same && (kept->batch || is_null)) /* NULL needs no contents */
            return true;
    }
    return false;
}

static void check_forgotten(const struct disk *disk, struct verdict *verdict, uint8_t replica)
{
    uint64_t lap = snapshot_lap(&disk->next, 0);
    uint8_t lane = snapshot_lane(&disk->next);
    for (size_t i = 0; i < disk->cut; i++) {
        const struct rabia_message *m = &disk->journal[i].record.message;
        bool is_covered = m->lap < lap || (m->lap == lap && m->lane < lane);
        if (m->batch && !is_covered && !is_kept(disk, m))
            verdict_fail(verdict, "N3: replica %u forgets the contents of lap %" PRIu64 " lane %u with its journal", replica,
                         m->lap, m->lane);
    }
}

bool disk_end_snapshot(struct disk *disk, struct verdict *verdict, uint8_t replica)
{
    if (!disk->has_next || disk->flushed < disk->cut_end)
        return false;
    check_forgotten(disk, verdict, replica);
    for (size_t i = 0; i < disk->cut; i++)
        batch_release(disk->journal[i].record.message.batch);
    disk->count -= disk->cut;
    if (disk->cut > 0)
        memmove(disk->journal, disk->journal + disk->cut, disk->count * sizeof *disk->journal);
    disk->flushed -= disk->cut;
    disk->life_start -= (int64_t)disk->cut;
    disk->snapshot = disk->next;
    disk->has_next = false;
    return true;
}
