/* What a replica must not forget: its identity, its journal, its snapshots.
 *
 * In the server's dir:
 *   replica.state       identity (persist/state_file.h), replaced whole
 *   journal/            what was said and decided (persist/journal.h); not with
 *                       appendonly no
 *   snapshot.kvs        the newest snapshot (persist/snapshot.h)
 *
 * Order of a start: memory_open, memory_load_snapshot, memory_replay; then the
 * caller knows from memory_is_whole whether this process remembers all it may
 * have said.  Order of an end: memory_close.
 *
 * Order of a pass: memory_record any number of times, memory_write before
 * anything is sent, memory_flushed later.
 *
 * A save begins a new segment, into which the caller puts again what an export
 * does not hold (rabia_restate); when the snapshot is durable, everything before
 * that segment goes.
 */
#ifndef REPLICA_MEMORY_H
#define REPLICA_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "consensus/rabia.h"
#include "persist/journal.h"
#include "persist/snapshot.h"
#include "store/keyspace.h"

struct loop;
struct memory;

enum { MEMORY_ERROR_MAX = JOURNAL_ERROR_MAX };

/* What replica.state holds.  Incarnations are 0 where unknown. */
struct memory_identity {
    uint16_t self_id;
    uint64_t incarnation;
    uint64_t epoch, seed; /* in force; 0: none yet */
    bool is_rejoining;
    uint8_t member_count;
    uint16_t ids[RABIA_MEMBERS_MAX];
    uint64_t incarnations[RABIA_MEMBERS_MAX];
    unsigned char hash_secret[16];
};

struct memory_options {
    struct loop *loop;
    struct keyspace *keyspace;
    const char *dir; /* exists; "." for the working directory */
    const char *cluster_name; /* "" for a lone server */
    uint16_t self_id;         /* 0 for a lone server */
    bool is_journaled;
    enum journal_mode mode;
    size_t segment_bytes;
    bool is_compressed;
};

/* Reads the identity; STATUS_NOT_FOUND is not an error here but memory_is_new. */
enum status memory_open(struct memory **memory, const struct memory_options *options,
                        char error[static MEMORY_ERROR_MAX]) MUST_CHECK;
void memory_free(struct memory *m);

/* A snapshot is there, and it is not the file at path. */
bool memory_has_other_snapshot(const struct memory *m, const char *path);
bool memory_is_new(const struct memory *m);
const struct memory_identity *memory_identity(const struct memory *m);
/* Replaces it, durably. */
enum status memory_set_identity(struct memory *m, const struct memory_identity *identity) MUST_CHECK;

/* The identity as it is, durably marked: a restart from here is without memory. */
enum status memory_mark_rejoining(struct memory *m) MUST_CHECK;

/* Puts the newest snapshot into the keyspace, if there is one; STATUS_NOT_FOUND
 * if not.  head is borrowed until the next load.  progress is called now and
 * then, and stops the loading by returning false (STATUS_CLOSED). */
typedef bool memory_progress_fn(void *context, uint64_t bytes_done, uint64_t bytes_total);
enum status memory_load_snapshot(struct memory *m, const char *path, struct snapshot_head *head,
                                 memory_progress_fn *progress, void *context,
                                 char error[static MEMORY_ERROR_MAX]) MUST_CHECK;
/* The newest snapshot's path. */
const char *memory_snapshot_path(const struct memory *m);

/* Opens the journal and hands over every record of the cluster with that seed, in order: what an
 * earlier or later epoch left there is passed by.  Without journal: nothing. */
typedef void memory_replay_fn(void *context, const struct rabia_record *record);
enum status memory_replay(struct memory *m, uint64_t seed, memory_replay_fn *replay, void *context,
                          char error[static MEMORY_ERROR_MAX]) MUST_CHECK;
/* While replaying: bytes of the journal's files read, and in all. */
void memory_replay_progress(const struct memory *m, uint64_t *done, uint64_t *total);
/* Whether everything this member ever said is in what was replayed. */
bool memory_is_whole(const struct memory *m);
/* A tail of unflushed records may be missing though the memory is whole for
 * what was flushed (protocol.md, the last Must of the disk section). */
bool memory_may_lack_tail(const struct memory *m);

bool memory_is_journaled(const struct memory *m);
bool memory_flushes_first(const struct memory *m); /* appendfsync always */
void memory_set_mode(struct memory *m, enum journal_mode mode);

/* --- a pass --------------------------------------------------------------- */

/* A new core, of the cluster with that seed, begins to count its records from 1. */
void memory_new_core(struct memory *m, uint64_t seed);
void memory_record(struct memory *m, const struct rabia_record *record);
/* Writes; asks for a flush if a record of this pass needs one, in every mode.  A status other
 * than OK is final: nothing may be said any more. */
enum status memory_write(struct memory *m) MUST_CHECK;
/* Writes and flushes now.  STATUS_NOT_FOUND without a journal. */
enum status memory_flush(struct memory *m) MUST_CHECK;
/* True if more records are on disk than at the last call; *seq: up to which. */
enum status memory_flushed(struct memory *m, bool *has_risen, uint64_t *seq) MUST_CHECK;
/* errno of what made the memory fail; 0: it works. */
int memory_error(const struct memory *m);
/* Room on the disk is running out: refuse writes. */
bool memory_is_low(struct memory *m);

/* --- snapshots ------------------------------------------------------------ */

struct memory_save {
    uint64_t position;
    struct slice state; /* the core's export */
    unsigned char hash_secret[16]; /* the keyspace's; zero: a lone store draws its own at each start */
};
/* The journal's next record begins a segment: what a snapshot of this moment
 * does not hold is to be recorded again behind it, before the save. */
void memory_begin_segment(struct memory *m);
/* In a child process, as of now.  STATUS_AGAIN: a save is under way. */
enum status memory_save_begin(struct memory *m, const struct memory_save *save) MUST_CHECK;
/* Here and now, while everything waits. */
enum status memory_save_now(struct memory *m, const struct memory_save *save) MUST_CHECK;
bool memory_is_saving(const struct memory *m);
/* The save under way, if any, holds what is out of force: it comes to nothing. */
void memory_save_stop(struct memory *m);
/* What must be on disk cannot be put there, for errno: the memory fails for good. */
void memory_give_up(struct memory *m);
/* For peers (spool.h): a child that writes a snapshot of now into a file without a name, and
 * a second such file, empty.  Descriptors and child are the caller's. */
struct memory_spool {
    int snapshot_fd, tail_fd, child;
};
enum status memory_spool_begin(struct memory *m, const struct memory_save *save, struct memory_spool *spool) MUST_CHECK;
/* About ten times a second. */
void memory_cron(struct memory *m, uint64_t now_us);
/* The journal is closed with its clean mark. */
enum status memory_close(struct memory *m) MUST_CHECK;

struct memory_figures {
    bool is_journaled, is_saving, is_last_save_ok;
    enum journal_mode mode;
    int64_t last_save_wall_s, saving_since_wall_s;
    int64_t last_save_duration_s; /* -1: none */
    uint64_t saves, changes_at_last_save, last_fork_us, forks;
    uint64_t save_keys_done, save_keys_total; /* of the save under way, or the last one */
    uint64_t cow_bytes, cow_peak_bytes;       /* memory its process no longer shares with this one */
    uint64_t last_cow_bytes;
    struct journal_figures journal;
};
void memory_get_figures(struct memory *m, struct memory_figures *figures);

#endif
