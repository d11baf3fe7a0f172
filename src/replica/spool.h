/* What a peer that is far behind needs, on disk: a snapshot, and everything decided since.
 *
 * Why: under full load the memory of decided batches (peer-backlog-size) may be written
 * through while a snapshot travels; its receiver would need another one, for ever.  So
 * from the moment of the snapshot on, decided batches also go to a file here, and the
 * receiver's questions for slots that memory no longer has are answered from it.
 *
 *   snapshot   one file; a child process writes it while any number of receivers read
 *              what is there, each at its own pace: the child, and the pages it makes
 *              its parent copy, do not live as long as the slowest receiver
 *   tail       another: blocks of decided slots, each some laps of all lanes, as messages
 *              DECIDED in the form of frame.h's FRAME_MESSAGES
 *
 * Both files have no name: they go with the process.
 *
 *   I1  The tail has every slot from the snapshot's place up to the newest slot noted,
 *       unless is_tail_cut: then up to the end of the last block.
 *   I2  Blocks begin and end with laps, and follow each other without a gap.
 *
 * Limits: SPOOL_TAIL_BYTES_MAX on disk, then, as when the disk is full, the tail ends
 * there and is_tail_cut; SPOOL_BLOCK_BYTES in memory, or one batch; an index entry (32
 * bytes) per block. */
#ifndef REPLICA_SPOOL_H
#define REPLICA_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "replica/frame.h"

enum {
    SPOOL_BLOCK_BYTES = 512 * 1024,
    SPOOL_BLOCK_LAPS = RABIA_WINDOW / 2, /* what a receiver takes in one go */
};
#define SPOOL_TAIL_BYTES_MAX ((uint64_t)16 << 30)

/* The snapshot is as of this cursor: the next slot of the order. */
struct spool_place {
    uint64_t lap;
    uint8_t lane;
};

struct spool;

/* Takes both descriptors and the child over.  child: the process that writes
 * snapshot_fd from its beginning, and exits with 0 when all of it is there. */
struct spool *spool_create(int snapshot_fd, int child, int tail_fd, struct spool_place from, uint64_t position);
/* Ends the child if it still runs.  NULL is allowed. */
void spool_free(struct spool *s);

struct spool_place spool_from(const struct spool *s);
uint64_t spool_position(const struct spool *s);

/* Looks at the child.  True while it runs. */
bool spool_is_writing(struct spool *s);
/* It failed: what is in the file is no snapshot, and never will be. */
bool spool_has_failed(const struct spool *s);

/* Up to size bytes of the snapshot at offset; *got of them.  STATUS_AGAIN: the child has
 * not written so far; STATUS_NOT_FOUND: offset is the end; STATUS_IO: it failed. */
enum status spool_read(struct spool *s, uint64_t offset, void *bytes, size_t size, size_t *got) MUST_CHECK;

/* The next batch of the order came out; NULL slots in between are understood. */
void spool_note(struct spool *s, uint64_t lap, uint8_t lane, struct batch *batch);
/* Appends to messages what the block with this lap says; messages hold batches of their
 * own.  STATUS_NOT_FOUND: the lap lies before the snapshot or behind the tail's end. */
enum status spool_tail(struct spool *s, uint64_t lap, struct frame_messages *messages) MUST_CHECK;
/* The lap behind the last one the tail has whole. */
uint64_t spool_tail_end(const struct spool *s);
bool spool_is_tail_cut(const struct spool *s);

#endif
