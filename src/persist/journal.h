/* The journal: what a replica must not forget, on disk.
 *
 * Append-only segments in a directory of their own.  The journal knows how
 * bytes reach the disk, not why: a record is a kind and bytes; what they mean
 * is the replica's business (replica/memory.h).
 *
 *   journal_append   into memory, any number of times in a pass
 *   journal_write    one write(2) of what was appended: survives a killed process
 *   journal_flush    asks the flusher thread for fdatasync: survives a power cut
 *   on_flushed       called by that thread; journal_flushed_seq has risen
 *
 * The reactor appends, writes and goes on; a thread of the journal's own waits
 * for the disk.  One flush serves everything written before it began.
 *
 * Segments are written ahead: a new or recycled one has its full length on
 * disk before it is used, so that a flush moves data alone (measured: 79 to
 * 110 us against 180).
 *
 * I1  seq rises by one per record and never repeats within a journal.  The
 *     journal's own marks (start of a segment, change of mode, clean end) are
 *     records too: a caller sees gaps where they stand.
 * I2  journal_flushed_seq <= written seq <= appended seq.
 * I3  after an error of write or fdatasync the journal takes nothing more:
 *     every later call returns the same status (the kernel may have dropped
 *     the dirty pages, so trying again could lie).
 * I4  a segment is removed only by journal_forget, after its caller made
 *     durable what replaces it.
 *
 * Opening.  Records are replayed in order.  Behind the last good one there may
 * be a torn tail: what was written after the last flush known to have ended.
 * It is cut, and reported.  Anything else that does not check is damage:
 * opening fails and names file and offset, and kvstore-check can tell more.
 *
 * Room.  The next segment is reserved on disk long before it is needed.  When it
 * cannot be had journal_is_low says so: the caller refuses writes while one
 * segment's worth of room for what must still be said is left.
 *
 * Threads: one calls everything here; two of the journal's own flush, and prepare
 * segments.  A child made by fork must not touch it, and holds the directory's
 * lock while it lives: let it die with its parent (PR_SET_PDEATHSIG).
 *
 * Limits: record bytes JOURNAL_RECORD_MAX; segment_bytes from the options (a
 * longer record gets a segment of its own). */
#ifndef PERSIST_JOURNAL_H
#define PERSIST_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct journal;

enum {
    JOURNAL_FORMAT_VERSION = 1,
    JOURNAL_RECORD_MAX = (1 << 30) + 4096, /* a batch and its head */
    JOURNAL_SEGMENT_MIN = 16 << 10,
    JOURNAL_SEGMENT_DEFAULT = 64 << 20,
    JOURNAL_ERROR_MAX = 512,
};

enum journal_mode { JOURNAL_ALWAYS, JOURNAL_EVERYSEC, JOURNAL_NO };

/* Whose journal it is; a directory of another identity is refused. */
struct journal_identity {
    uint64_t cluster; /* hash of the cluster's name; 0 for a lone server */
    uint16_t member;  /* id; 0 for a lone server */
    unsigned char boot[16]; /* of the machine (/proc/sys/kernel/random/boot_id): the same boot means that
                               what was written was not lost, flushed or not */
};

struct journal_options {
    const char *dir; /* made if absent; copied */
    struct journal_identity identity;
    enum journal_mode mode;
    size_t segment_bytes; /* at least JOURNAL_SEGMENT_MIN; rounded up to 4096 */
    void (*on_flushed)(void *context); /* from the flusher thread: only wakes the reactor */
    void *context;
};

struct journal_record {
    uint64_t seq;
    uint8_t kind; /* the caller's, 1..255 */
    struct slice bytes; /* borrowed for the call */
    /* When opening: how far into the files this is, and how long they are (the last one
     * usually is not full). */
    uint64_t bytes_done, bytes_total;
};
/* A status other than OK ends the opening with it. */
typedef enum status journal_replay_fn(void *context, const struct journal_record *record);

/* What opening found. */
struct journal_found {
    bool is_new;       /* there was no journal */
    bool is_same_boot; /* the newest segment was opened in this boot of the machine */
    enum journal_mode mode; /* in force when it was last written */
    uint64_t records, last_seq;
    uint64_t torn_bytes; /* cut from the tail, as far as they can be told from an older life's */
    bool is_closed;      /* it ended with journal_close: nothing was lost */
    /* Of the newest mark kvstore-check left when it gave records up (--cut); 0: none.
     * A replica that has not become whole again since (a record of its own behind
     * this seq) is without memory. */
    uint64_t cut_seq;
    bool is_unflushed_tail_possible; /* !is_same_boot, mode != JOURNAL_ALWAYS, !is_closed */
};

/* Replays, then opens a fresh segment for appending.  The replayed part is
 * flushed before anything is appended.  On failure error is one line for the
 * operator: file, offset, what is wrong, what kvstore-check can do.
 * Cost: reads everything. */
enum status journal_open(struct journal **journal, const struct journal_options *options,
                         journal_replay_fn *replay, void *replay_context, struct journal_found *found,
                         char error[static JOURNAL_ERROR_MAX]) MUST_CHECK;
/* Without flushing; join the flusher.  journal_close flushes first. */
void journal_free(struct journal *j);
enum status journal_close(struct journal *j) MUST_CHECK;

/* Appends one record made of the parts in order; returns its seq.  When the segment
 * is full, what was appended before is written; an error shows in the next call that
 * returns a status. */
uint64_t journal_append(struct journal *j, uint8_t kind, const struct slice *parts, int part_count);
/* Writes what was appended.  STATUS_IO with errno. */
enum status journal_write(struct journal *j) MUST_CHECK;
/* Asks for a flush of everything written; returns at once. */
void journal_flush(struct journal *j);
/* The same, and waits for it. */
enum status journal_flush_now(struct journal *j) MUST_CHECK;
/* Everything up to here is on disk.  STATUS_IO with errno once a flush failed. */
enum status journal_flushed_seq(struct journal *j, uint64_t *seq) MUST_CHECK;
uint64_t journal_written_seq(const struct journal *j);

/* everysec: to be called about ten times a second; asks for the flush that is due. */
void journal_cron(struct journal *j, uint64_t now_us);
/* Writes, and waits for a flush: the new mode is on disk before it is in force. */
void journal_set_mode(struct journal *j, enum journal_mode mode);
/* The next segment cannot be had for want of space.  Tried again by journal_cron. */
bool journal_is_low(struct journal *j);

/* Begins a new segment with the next record, so that what came before can be
 * forgotten as a whole.  Returns the first seq in it (its start mark's): pass it to
 * journal_forget.  May write, as journal_append. */
uint64_t journal_cut(struct journal *j);
/* Removes or recycles every segment all of whose records are below seq; what is kept
 * is written and flushed first.  Waits for the disk, if there is anything to remove. */
enum status journal_forget(struct journal *j, uint64_t seq) MUST_CHECK;

/* Reads back records [from_seq, ...) that were written, for peers that are
 * behind, at most max_bytes of them (at least one, if there is one).
 * STATUS_NOT_FOUND if they are no longer kept; STATUS_MALFORMED if the disk no
 * longer gives what was written.  Nothing at or behind written seq: STATUS_OK. */
enum status journal_read(struct journal *j, uint64_t from_seq, size_t max_bytes, journal_replay_fn *visit,
                         void *context) MUST_CHECK;

struct journal_figures {
    uint64_t bytes_used; /* of segments that hold records; what a snapshot can free is part of it */
    uint64_t segments, bytes_on_disk, first_seq, appended_seq, written_seq, flushed_seq;
    uint64_t active_number; /* of the segment being written */
    uint64_t spares;        /* recycled files that wait for use */
    uint64_t writes, flushes, flush_us_total, flush_us_max, flush_us_last;
    bool is_failed;
    int error; /* errno of the failure */
    bool is_low;
    int low_error; /* errno of the attempt to make the next segment */
};
void journal_get_figures(struct journal *j, struct journal_figures *figures);

#endif
