/* What a simulated process leaves behind when it ends: a journal, of which a
 * prefix has reached the disk, a snapshot, and the rejoining mark.
 *
 *   process killed    everything written stays
 *   power cut         the flushed part stays, and of the rest as much as chance will
 *   wiped             nothing stays, at best an old snapshot; the next life is without memory
 *
 * A snapshot begins with an export, a copy of the store, and the core's
 * restatement at the journal's end.  Once all that is on disk, what was written
 * before the restatement is forgotten; until then the old snapshot is valid.
 *
 *   N3  what is forgotten with the journal is restated: no contents go missing */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/random.h"
#include "consensus/rabia.h"
#include "data_model.h"
#include "verdict.h"

struct snapshot {
    unsigned char bytes[RABIA_EXPORT_BYTES];
    size_t size; /* 0: nothing has happened */
    size_t position; /* in the order */
    struct data_store store;
};

struct disk_entry {
    struct rabia_record record;
    bool is_restated;
};

struct disk {
    struct disk_entry *journal;
    size_t count, capacity;
    size_t flushed;     /* entries on disk */
    int64_t life_start; /* record seq of this life is entry life_start + seq - 1; negative once forgotten */
    struct snapshot snapshot, next;
    size_t cut, cut_end; /* next: forget before cut when cut_end entries are on disk */
    bool has_next;
    bool has_mark;      /* of rejoining */
    bool has_lost_tail; /* the last life ended with a power cut */
};

void disk_deinit(struct disk *disk);
void disk_append(struct disk *disk, const struct rabia_record *record, bool is_restated);
uint64_t disk_last_seq(const struct disk *disk);
void disk_flushed(struct disk *disk, uint64_t seq);
/* Keeps so many entries. */
void disk_truncate(struct disk *disk, size_t count);
/* next has been filled, and its restatement appended from entry cut on. */
void disk_begin_snapshot(struct disk *disk, size_t cut);
/* False if it is not all on disk yet. */
bool disk_end_snapshot(struct disk *disk, struct verdict *verdict, uint8_t replica);

/* The cursor in an export; size 0: first_lap. */
uint64_t snapshot_lap(const struct snapshot *snapshot, uint64_t first_lap);
uint8_t snapshot_lane(const struct snapshot *snapshot);

#endif
