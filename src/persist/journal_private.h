/* The journal's state, for the files that implement it.
 *
 *   journal.c        append, write, switch segments, forget, read back
 *   journal_open.c   replay, the cut of a torn tail, the first segment
 *   journal_work.c   the two threads: flusher and preparer
 *   journal_scan.c   reading and judging;  journal_format.c  the bytes
 *
 * Who may touch what.  "Owner" is the one thread that calls journal.h.
 *   owner alone        pending, appended_seq, mode, the index of a segment
 *   under lock         all the rest that changes; segments, active and next are
 *                      changed by the owner (next also by the preparer), so the
 *                      owner may read segments and active without it
 *   atomic             flushed_seq, error */
#ifndef PERSIST_JOURNAL_PRIVATE_H
#define PERSIST_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "persist/journal_format.h"

enum {
    JOURNAL_INDEX_STEP = 256 << 10, /* bytes between two entries */
    JOURNAL_ZERO_STEP = 1 << 20,
    JOURNAL_ZERO_FIRST = 4 << 20, /* of a new journal's first segment */
    JOURNAL_SPARES_MAX = 2,
    JOURNAL_PENDING_KEPT = 1 << 20,
};

struct journal_place {
    uint64_t seq, offset;
};

struct journal_segment {
    uint64_t number, nonce, capacity;
    int fd;
    uint64_t first_seq, last_seq; /* 0: none yet */
    uint64_t end;    /* behind what was written */
    uint64_t zeroed; /* the file has its bytes on disk up to here */
    bool is_dirty, is_being_zeroed;
    struct journal_place *index;
    size_t index_count, index_capacity;
};

struct journal {
    char *dir;
    int dir_fd; /* holds the lock */
    struct journal_identity identity;
    size_t segment_bytes;
    void (*on_flushed)(void *context);
    void *context;

    struct buf pending; /* sealed records for active, at its end */
    uint64_t appended_seq;
    enum journal_mode mode;
    uint64_t flush_asked_us, room_asked_us;

    pthread_mutex_t lock;
    pthread_cond_t flusher_wake, preparer_wake, owner_wake;
    pthread_t flusher, preparer;
    bool has_threads, is_stopping;
    struct journal_segment **segments; /* by number; the last one is active */
    size_t segment_count, segment_capacity;
    struct journal_segment *active, *next;
    bool is_next_wanted;  /* the owner waits for it */
    bool is_room_wanted;  /* a failed attempt to make next is to be repeated */
    int room_error;
    uint64_t number_last; /* handed out */
    uint64_t spares[JOURNAL_SPARES_MAX];
    size_t spare_count;
    uint64_t written_seq, flush_wanted_seq;
    uint64_t writes, flushes, flush_us_total, flush_us_max, flush_us_last;
    atomic_uint_fast64_t flushed_seq;
    atomic_int error;
};

/* First error wins; with the lock held.  Wakes everybody. */
void journal_fail_locked(struct journal *j, int error);
bool journal_has_failed(const struct journal *j);

/* --- journal_work.c --------------------------------------------------------- */

void journal_work_start(struct journal *j);
void journal_work_stop(struct journal *j);
/* Makes the file of a segment and gives it its name, durably: from a spare if there is
 * one.  With a first_seq its start mark is written with the header; 0: none yet.
 * STATUS_IO with errno. */
enum status journal_segment_make(struct journal *j, uint64_t number, uint64_t first_seq,
                                 struct journal_segment **segment) MUST_CHECK;
void journal_segment_free(struct journal_segment *segment);
int64_t journal_wall_ms(void);

/* --- journal.c --------------------------------------------------------------- */

void journal_add_segment(struct journal *j, struct journal_segment *segment);
/* Every JOURNAL_INDEX_STEP bytes a record's place is remembered. */
void journal_index_add(struct journal_segment *segment, uint64_t seq, uint64_t offset);
/* A sealed mark; size JOURNAL_RECORD_HEAD + JOURNAL_MARK_BYTES. */
void journal_mark_seal(const struct journal *j, enum journal_mark mark, uint64_t seq, uint64_t nonce,
                       unsigned char *record);

#endif
