/* What a replica's memory consists of, for the files that implement it.
 *
 *   memory.c            life, figures, what happens when the disk fails
 *   memory_identity.c   replica.state
 *   memory_journal.c    what was said and decided: replayed, recorded, flushed
 *   memory_snapshot.c   loading, saving, spooling for peers */
#ifndef REPLICA_MEMORY_PRIVATE_H
#define REPLICA_MEMORY_PRIVATE_H

#include <sys/types.h>

#include "replica/memory.h"
#include "replica/saving.h"

#define STATE_NAME "replica.state"
#define SNAPSHOT_NAME "snapshot.kvs"
#define JOURNAL_NAME "journal"

enum {
    MARKS_MAX = 1024, /* passes whose records are not flushed yet */
};

/* Up to this journal seq lie the core's records up to that seq. */
struct mark {
    uint64_t journal_seq, core_seq;
};

struct memory {
    struct loop *loop;
    struct keyspace *keyspace;
    char *dir, *state_path, *snapshot_path, *journal_path;
    char *cluster_name;
    uint64_t cluster;
    uint16_t self_id;
    bool is_journaled, is_compressed, is_new;
    enum journal_mode mode;
    size_t segment_bytes;
    struct memory_identity identity;

    struct journal *journal;
    struct journal_found found;
    bool was_whole, may_lack_tail;
    struct mark marks[MARKS_MAX]; /* ring */
    size_t mark_head, mark_count;
    uint64_t recorded_core_seq, flushed_core_seq;
    uint64_t seed; /* the journal's end is of this cluster */
    bool wants_flush;
    int error;

    struct snapshot_reader *reader;

    pid_t child;
    uint64_t cut_seq; /* what lies before it is useless once the save under way is durable */
    int64_t saving_since_ms, last_save_ms, last_save_duration_s;
    bool is_last_save_ok;
    uint64_t saves, changes_at_fork, changes_at_last_save, last_fork_us, forks;
    struct saving saving;
    uint64_t last_cow_bytes, replay_done, replay_total;
};

/* dir/name, the caller's to free. */
char *memory_path_in(const char *dir, const char *name);
/* Passes status on.  Any but STATUS_OK, told by errno, makes the memory fail for good. */
enum status memory_fail(struct memory *m, enum status status);

/* Sets is_new and identity. */
enum status memory_load_identity(struct memory *m, char error[static MEMORY_ERROR_MAX]) MUST_CHECK;
/* Only on disk: m->identity stays what it is. */
enum status memory_write_identity(const struct memory *m, const struct memory_identity *identity) MUST_CHECK;

/* Names the cluster of the records that follow. */
void memory_record_seed(struct memory *m);

/* If the process that saves has ended: what came of it. */
void memory_reap_save(struct memory *m);

#endif
