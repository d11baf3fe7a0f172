/* Reads a journal as it lies on disk, and judges where it ends.
 *
 * The opener (journal_open.c) and kvstore-check share this: one judgement.
 *
 * The records of all segments form one run of rising seqs.  Where the next one
 * is missing the journal ends, and the question is why:
 *
 *   clean end    nothing behind, or what the file held in a former life
 *   torn tail    what was not flushed when the machine stopped; its sectors may
 *                have come to disk in any order, so good records may follow
 *   damage       what had been flushed is gone
 *
 * Every record, and the header of every segment made at an opening, is a witness:
 * it names a seq that was on disk by then.  It is damage exactly if some witness
 * behind the gap names the missing seq or a later one. */
#ifndef PERSIST_JOURNAL_SCAN_H
#define PERSIST_JOURNAL_SCAN_H

#include "persist/journal_format.h"

/* --- one segment ---------------------------------------------------------- */

struct journal_reader {
    int fd;
    uint64_t nonce, size;
    uint64_t offset; /* of the next record */
    unsigned char *window;
    uint64_t window_at;
    size_t window_size, window_capacity;
};
void journal_reader_init(struct journal_reader *reader, int fd, uint64_t nonce, uint64_t size, uint64_t offset);
void journal_reader_deinit(struct journal_reader *reader);
/* The record at offset; *payload lives until the next call.  STATUS_NOT_FOUND: no
 * good record there.  STATUS_IO.  Does not move offset. */
enum status journal_reader_get(struct journal_reader *reader, struct journal_record_head *head,
                               struct slice *payload) MUST_CHECK;

/* --- a directory ---------------------------------------------------------- */

struct journal_file {
    uint64_t number;
    char *path;
    int fd;
    uint64_t size;
    struct journal_header header;
    bool is_one_copy;     /* of the header */
    uint64_t first_seq, last_seq; /* of what was replayed; 0: nothing */
    uint64_t end;         /* behind the last record replayed */
    int64_t begun_ms;     /* its start mark */
};

struct journal_files {
    struct journal_file *items; /* by number */
    size_t count, capacity;
    uint64_t *spares; /* their numbers */
    size_t spare_count, spare_capacity;
    uint64_t number_max; /* of segments and spares */
};

/* Opens the segments in dir.  STATUS_MISMATCH: a newer version;
 * STATUS_MALFORMED: a header that does not check; error says which. */
enum status journal_files_open(struct journal_files *files, const char *dir, bool is_writing,
                               char error[static JOURNAL_ERROR_MAX]) MUST_CHECK;
/* The same with one file alone. */
enum status journal_files_open_one(struct journal_files *files, const char *path, bool is_writing,
                                   char error[static JOURNAL_ERROR_MAX]) MUST_CHECK;
void journal_files_close(struct journal_files *files);

/* Of a good record, in order; marks too. */
typedef enum status journal_scan_visit(void *context, const struct journal_file *file, uint64_t offset,
                                       const struct journal_record_head *head, struct slice payload);

struct journal_verdict {
    uint64_t records; /* of the caller's, not marks */
    uint64_t last_seq;
    uint64_t flushed_seq; /* the best witness among the good records */
    enum journal_mode mode;
    bool is_closed;   /* the last record is the mark of a clean end */
    uint64_t cut_seq; /* of the newest mark that an operator cut; 0: none */
    /* Where it ends: nothing from here on is replayed. */
    size_t end_index;
    uint64_t end_offset;
    uint64_t torn_bytes; /* behind the end, as far as they can be told from an older life's */
    /* Good records found behind the end; their seqs. */
    uint64_t lost_records, lost_first_seq, lost_last_seq;
    bool is_damaged;
    const char *damaged_path;
    uint64_t damaged_offset;
    const char *damage; /* what is wrong there */
};

/* STATUS_OK with verdict, damaged or not; STATUS_IO with errno and error; or the
 * visitor's status. */
enum status journal_scan(struct journal_files *files, struct journal_verdict *verdict, journal_scan_visit *visit,
                         void *context, char error[static JOURNAL_ERROR_MAX]) MUST_CHECK;

/* Takes away, durably, everything behind the verdict's end, newest first, so that an
 * interrupted cut can be done again.  A segment without any record becomes a spare.
 * With is_mark a mark says that an operator gave something up. */
enum status journal_scan_cut(struct journal_files *files, const struct journal_verdict *verdict, const char *dir,
                             bool is_mark, char error[static JOURNAL_ERROR_MAX]) MUST_CHECK;

#endif
