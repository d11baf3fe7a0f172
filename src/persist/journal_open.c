/* Opening: lock, replay, judge, cut, flush, and a segment of our own.
 *
 * What was replayed must be on disk before anything relies on it.  A flush of the
 * files is not quite enough when the machine did not stop: if a flush of the former
 * process failed, the kernel may hold pages that it calls clean and the disk never
 * got.  So what no witness covers is written again, in place, before the flush. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "persist/file.h"
#include "persist/journal_private.h"
#include "persist/journal_scan.h"

struct opening {
    struct journal *j;
    struct journal_files files;
    struct journal_verdict verdict;
    struct journal_segment *replayed; /* the one being replayed */
    journal_replay_fn *replay;
    void *replay_context;
    char *error;
};

static enum status fail(struct opening *o, const char *path, const char *what)
{
    int saved = errno;
    snprintf(o->error, JOURNAL_ERROR_MAX, "%s: %s: %s", path, what, strerror(saved));
    errno = saved;
    return STATUS_IO;
}

static enum status lock_dir(struct opening *o)
{
    struct journal *j = o->j;
    if (file_make_dir(j->dir) != STATUS_OK)
        return fail(o, j->dir, "cannot make the directory");
    if (file_open(&j->dir_fd, j->dir, O_RDONLY | O_DIRECTORY) != STATUS_OK)
        return fail(o, j->dir, "cannot open");
    enum status status = file_lock(j->dir_fd);
    if (status == STATUS_IO)
        return fail(o, j->dir, "cannot lock");
    if (status == STATUS_AGAIN)
        snprintf(o->error, JOURNAL_ERROR_MAX, "%s: another server (or kvstore-check --cut) uses this directory",
                 j->dir);
    return status;
}

static enum status check_identity(struct opening *o)
{
    const struct journal_identity *ours = &o->j->identity;
    for (size_t i = 0; i < o->files.count; i++) {
        const struct journal_file *file = &o->files.items[i];
        if (file->header.cluster != ours->cluster || file->header.member != ours->member) {
            snprintf(o->error, JOURNAL_ERROR_MAX,
                     "%s: the journal of member %u of cluster %016" PRIx64 ", not of member %u of cluster %016" PRIx64
                     ": is this the right directory?",
                     file->path, (unsigned)file->header.member, file->header.cluster, (unsigned)ours->member,
                     ours->cluster);
            return STATUS_MISMATCH;
        }
        if (file->is_one_copy)
            log_warning("persist", "%s: one copy of the header is damaged, the other is good", file->path);
    }
    return STATUS_OK;
}

static void begin_segment(struct opening *o, const struct journal_file *file)
{
    struct journal_segment *segment = mem_calloc(1, sizeof *segment);
    segment->number = file->number;
    segment->nonce = file->header.nonce;
    segment->capacity = segment->zeroed = file->size;
    segment->fd = -1; /* the scan's, until it is over */
    segment->first_seq = file->first_seq;
    journal_add_segment(o->j, segment);
    o->replayed = segment;
}

static void measure(const struct opening *o, const struct journal_file *file, uint64_t offset,
                    struct journal_record *record)
{
    record->bytes_done = offset;
    for (size_t i = 0; i < o->files.count; i++) {
        const struct journal_file *each = &o->files.items[i];
        record->bytes_total += each->size;
        record->bytes_done += each->number < file->number ? each->size : 0;
    }
}

static enum status replay_record(void *context, const struct journal_file *file, uint64_t offset,
                                 const struct journal_record_head *head, struct slice payload)
{
    struct opening *o = context;
    if (!o->replayed || o->replayed->number != file->number)
        begin_segment(o, file);
    o->replayed->last_seq = head->seq;
    o->replayed->end = file->end;
    journal_index_add(o->replayed, head->seq, offset);
    if (head->kind == 0)
        return STATUS_OK;
    struct journal_record record = {.seq = head->seq, .kind = head->kind, .bytes = payload};
    measure(o, file, offset, &record);
    enum status status = o->replay(o->replay_context, &record);
    if (status != STATUS_OK && o->error[0] == 0)
        snprintf(o->error, JOURNAL_ERROR_MAX, "%s: offset %" PRIu64 ": record %" PRIu64 " cannot be replayed: %s",
                 file->path, offset, head->seq, status_text(status));
    return status;
}

static enum status refuse_damage(struct opening *o)
{
    const struct journal_verdict *verdict = &o->verdict;
    snprintf(o->error, JOURNAL_ERROR_MAX,
             "%s: offset %" PRIu64 ": %s; %" PRIu64 " good records behind it. kvstore-check %s tells more; with --cut "
             "it gives up everything from there on",
             verdict->damaged_path, verdict->damaged_offset, verdict->damage, verdict->lost_records, o->j->dir);
    return STATUS_MALFORMED;
}

static enum status rewrite(int fd, uint64_t from, uint64_t to)
{
    enum { STEP = 1 << 20 };
    unsigned char *bytes = mem_alloc(STEP);
    enum status status = STATUS_OK;
    while (from < to && status == STATUS_OK) {
        size_t size = to - from < STEP ? (size_t)(to - from) : STEP;
        status = file_read(fd, bytes, size, from);
        if (status == STATUS_OK)
            status = file_write(fd, bytes, size, from);
        from += size;
    }
    mem_free(bytes);
    return status == STATUS_NOT_FOUND ? STATUS_IO : status;
}

/* The place in segment from which no witness covers it. */
static uint64_t uncovered_from(const struct journal_segment *segment, uint64_t flushed_seq)
{
    uint64_t offset = JOURNAL_HEADER_BYTES;
    for (size_t i = 0; i < segment->index_count && segment->index[i].seq <= flushed_seq + 1; i++)
        offset = segment->index[i].offset;
    return offset;
}

static enum status flush_replayed(struct opening *o, bool is_same_boot)
{
    struct journal *j = o->j;
    for (size_t i = 0; i < j->segment_count; i++) {
        struct journal_segment *segment = j->segments[i];
        enum status status = STATUS_OK;
        if (is_same_boot && segment->last_seq > o->verdict.flushed_seq)
            status = rewrite(segment->fd, uncovered_from(segment, o->verdict.flushed_seq), segment->end);
        if (status == STATUS_OK)
            status = file_flush(segment->fd);
        if (status != STATUS_OK)
            return fail(o, o->files.items[i].path, "cannot flush what was replayed");
    }
    return STATUS_OK;
}

/* The descriptors pass from the scan to the segments. */
static void take_descriptors(struct opening *o)
{
    struct journal *j = o->j;
    CHECK(j->segment_count == o->files.count);
    for (size_t i = 0; i < j->segment_count; i++) {
        CHECK(j->segments[i]->number == o->files.items[i].number);
        j->segments[i]->fd = o->files.items[i].fd;
        o->files.items[i].fd = -1;
    }
}

static enum status take_spares(struct opening *o)
{
    struct journal *j = o->j;
    for (size_t i = 0; i < o->files.spare_count; i++) {
        uint64_t number = o->files.spares[i];
        if (j->spare_count < JOURNAL_SPARES_MAX) {
            j->spares[j->spare_count++] = number;
            continue;
        }
        char name[JOURNAL_NAME_MAX], path[4096];
        journal_spare_name(number, name);
        snprintf(path, sizeof path, "%s/%s", j->dir, name);
        if (file_remove(path) != STATUS_OK)
            return fail(o, j->dir, "cannot remove a spare file");
    }
    return STATUS_OK;
}

static enum status begin(struct opening *o)
{
    struct journal *j = o->j;
    uint64_t last_seq = o->verdict.last_seq;
    atomic_store(&j->flushed_seq, last_seq);
    j->number_last = o->files.number_max + 1;
    if (journal_segment_make(j, j->number_last, last_seq + 1, &j->active) != STATUS_OK)
        return fail(o, j->dir, "cannot make a segment");
    journal_add_segment(j, j->active);
    j->appended_seq = j->written_seq = j->flush_wanted_seq = last_seq + 1;
    atomic_store(&j->flushed_seq, last_seq + 1);
    return STATUS_OK;
}

static void describe(struct opening *o, struct journal_found *found, bool is_new, bool is_same_boot)
{
    const struct journal_verdict *verdict = &o->verdict;
    *found = (struct journal_found){
        .is_new = is_new,
        .is_same_boot = is_same_boot,
        .mode = is_new ? o->j->mode : verdict->mode,
        .records = verdict->records,
        .last_seq = verdict->last_seq,
        .torn_bytes = verdict->torn_bytes,
        .is_closed = verdict->is_closed,
        .cut_seq = verdict->cut_seq,
    };
    found->is_unflushed_tail_possible =
        !is_new && !is_same_boot && found->mode != JOURNAL_ALWAYS && !found->is_closed;
}

static enum status open_all(struct opening *o, struct journal_found *found)
{
    struct journal *j = o->j;
    enum status status = lock_dir(o);
    if (status == STATUS_OK)
        status = journal_files_open(&o->files, j->dir, true, o->error);
    if (status == STATUS_OK)
        status = check_identity(o);
    if (status == STATUS_OK)
        status = journal_scan(&o->files, &o->verdict, replay_record, o, o->error);
    if (status != STATUS_OK)
        return status;
    if (o->verdict.is_damaged)
        return refuse_damage(o);
    bool is_new = o->files.count == 0;
    bool is_same_boot = !is_new && memcmp(o->files.items[o->files.count - 1].header.boot, j->identity.boot,
                                          sizeof j->identity.boot) == 0;
    if (!is_new)
        status = journal_scan_cut(&o->files, &o->verdict, j->dir, false, o->error);
    if (status != STATUS_OK)
        return status;
    take_descriptors(o);
    status = flush_replayed(o, is_same_boot);
    if (status == STATUS_OK)
        status = take_spares(o);
    if (status == STATUS_OK)
        status = begin(o);
    if (status == STATUS_OK)
        describe(o, found, is_new, is_same_boot);
    return status;
}

static struct journal *create(const struct journal_options *options)
{
    struct journal *j = mem_calloc(1, sizeof *j);
    size_t bytes = options->segment_bytes > JOURNAL_SEGMENT_MIN ? options->segment_bytes : JOURNAL_SEGMENT_MIN;
    j->dir = mem_strdup(options->dir);
    j->dir_fd = -1;
    j->identity = options->identity;
    j->segment_bytes = (bytes + 4095) / 4096 * 4096;
    j->on_flushed = options->on_flushed;
    j->context = options->context;
    j->mode = options->mode;
    buf_init(&j->pending);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->flusher_wake, NULL);
    pthread_cond_init(&j->preparer_wake, NULL);
    pthread_cond_init(&j->owner_wake, NULL);
    atomic_init(&j->flushed_seq, 0);
    atomic_init(&j->error, 0);
    return j;
}

enum status journal_open(struct journal **journal, const struct journal_options *options,
                         journal_replay_fn *replay, void *replay_context, struct journal_found *found,
                         char error[static JOURNAL_ERROR_MAX])
{
    error[0] = 0;
    struct opening o = {.j = create(options), .replay = replay, .replay_context = replay_context, .error = error};
    enum status status = open_all(&o, found);
    int saved = errno;
    journal_files_close(&o.files);
    if (status != STATUS_OK) {
        journal_free(o.j);
        errno = saved;
        return status;
    }
    journal_work_start(o.j);
    *journal = o.j;
    return STATUS_OK;
}
