/* The format of the files: journal_format.c.  Who may touch what: journal_private.h. */
#include "persist/journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "persist/file.h"
#include "persist/journal_private.h"
#include "persist/journal_scan.h"

static enum status failed(struct journal *j)
{
    errno = atomic_load(&j->error);
    return STATUS_IO;
}

static void fail(struct journal *j, int error)
{
    pthread_mutex_lock(&j->lock);
    journal_fail_locked(j, error);
    pthread_mutex_unlock(&j->lock);
}

/* --- segments ----------------------------------------------------------------- */

void journal_add_segment(struct journal *j, struct journal_segment *segment)
{
    if (j->segment_count == j->segment_capacity) {
        j->segment_capacity = j->segment_capacity ? 2 * j->segment_capacity : 16;
        j->segments = mem_realloc(j->segments, j->segment_capacity * sizeof *j->segments);
    }
    j->segments[j->segment_count++] = segment;
}

void journal_index_add(struct journal_segment *segment, uint64_t seq, uint64_t offset)
{
    if (segment->index_count > 0 &&
        offset - segment->index[segment->index_count - 1].offset < JOURNAL_INDEX_STEP)
        return;
    if (segment->index_count == segment->index_capacity) {
        segment->index_capacity = segment->index_capacity ? 2 * segment->index_capacity : 16;
        segment->index = mem_realloc(segment->index, segment->index_capacity * sizeof *segment->index);
    }
    segment->index[segment->index_count++] = (struct journal_place){seq, offset};
}

void journal_mark_seal(const struct journal *j, enum journal_mark mark, uint64_t seq, uint64_t nonce,
                       unsigned char *record)
{
    journal_mark_encode(mark, journal_wall_ms(), record + JOURNAL_RECORD_HEAD);
    struct journal_record_head head = {
        .length = JOURNAL_MARK_BYTES,
        .mode = j->mode,
        .seq = seq,
        .flushed_seq = atomic_load(&((struct journal *)(uintptr_t)j)->flushed_seq),
    };
    journal_record_seal(record, &head, nonce);
}

/* Waits until there is a next segment.  One more attempt is worth it when the last
 * one found no room. */
static enum status await_next_locked(struct journal *j)
{
    bool is_asked = false;
    j->is_next_wanted = true;
    while (!journal_has_failed(j) && (!j->next || j->next->is_being_zeroed)) {
        if (!j->next && j->room_error != 0 && !j->is_room_wanted) {
            if (is_asked) {
                journal_fail_locked(j, j->room_error);
                break;
            }
            j->is_room_wanted = is_asked = true;
        }
        pthread_cond_signal(&j->preparer_wake);
        pthread_cond_wait(&j->owner_wake, &j->lock);
    }
    j->is_next_wanted = false;
    return journal_has_failed(j) ? STATUS_IO : STATUS_OK;
}

static uint64_t put_record(struct journal *j, uint8_t kind, const struct slice *parts, int part_count,
                           size_t length)
{
    uint64_t seq = ++j->appended_seq;
    if (journal_has_failed(j))
        return seq;
    struct journal_segment *active = j->active;
    uint64_t offset = active->end + buf_size(&j->pending);
    size_t size = (size_t)journal_record_size(length);
    char *record = buf_reserve(&j->pending, size), *to = record + JOURNAL_RECORD_HEAD;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].len)
            memcpy(to, parts[i].ptr, parts[i].len);
        to += parts[i].len;
    }
    memset(to, 0, (size_t)(record + size - to));
    struct journal_record_head head = {
        .length = (uint32_t)length,
        .kind = kind,
        .mode = j->mode,
        .seq = seq,
        .flushed_seq = atomic_load(&j->flushed_seq),
    };
    journal_record_seal((unsigned char *)record, &head, active->nonce);
    buf_extend(&j->pending, size);
    journal_index_add(active, seq, offset);
    return seq;
}

static uint64_t put_mark(struct journal *j, enum journal_mark mark)
{
    unsigned char bytes[JOURNAL_MARK_BYTES];
    journal_mark_encode(mark, journal_wall_ms(), bytes);
    struct slice part = slice_make(bytes, sizeof bytes);
    return put_record(j, 0, &part, 1, sizeof bytes);
}

/* Full segments are flushed in every mode: so the witnesses rise, and an old
 * segment's damage can be told from a torn tail. */
static void switch_segment(struct journal *j)
{
    if (journal_write(j) != STATUS_OK)
        return;
    pthread_mutex_lock(&j->lock);
    j->flush_wanted_seq = j->written_seq;
    pthread_cond_signal(&j->flusher_wake);
    if (await_next_locked(j) != STATUS_OK) {
        pthread_mutex_unlock(&j->lock);
        return;
    }
    journal_add_segment(j, j->next);
    j->active = j->next;
    j->next = NULL;
    j->active->first_seq = j->appended_seq + 1;
    pthread_cond_signal(&j->preparer_wake);
    pthread_mutex_unlock(&j->lock);
    put_mark(j, JOURNAL_MARK_START);
}

/* Nothing in it but its start mark. */
static bool is_active_fresh(const struct journal *j)
{
    return j->appended_seq == j->active->first_seq;
}

static void make_room(struct journal *j, uint64_t size)
{
    if (j->active->end + buf_size(&j->pending) + size > j->active->capacity && !is_active_fresh(j) &&
        !journal_has_failed(j))
        switch_segment(j);
}

/* --- appending and writing ------------------------------------------------------ */

uint64_t journal_append(struct journal *j, uint8_t kind, const struct slice *parts, int part_count)
{
    CHECK(kind != 0);
    size_t length = 0;
    for (int i = 0; i < part_count; i++) {
        CHECK(parts[i].len <= JOURNAL_RECORD_MAX - length);
        length += parts[i].len;
    }
    make_room(j, journal_record_size(length));
    return put_record(j, kind, parts, part_count, length);
}

enum status journal_write(struct journal *j)
{
    size_t size = buf_size(&j->pending);
    if (journal_has_failed(j)) {
        buf_clear(&j->pending);
        return failed(j);
    }
    if (size == 0)
        return STATUS_OK;
    struct journal_segment *active = j->active;
    enum status status = file_write(active->fd, buf_head(&j->pending), size, active->end);
    int error = errno;
    buf_clear(&j->pending);
    buf_shrink(&j->pending, JOURNAL_PENDING_KEPT);
    if (status != STATUS_OK) {
        fail(j, error);
        return failed(j);
    }
    pthread_mutex_lock(&j->lock);
    active->end += size;
    active->last_seq = j->written_seq = j->appended_seq;
    active->is_dirty = true;
    j->writes++;
    if (j->next && j->next->zeroed < j->next->capacity && j->next->zeroed < 2 * active->end)
        pthread_cond_signal(&j->preparer_wake);
    pthread_mutex_unlock(&j->lock);
    return STATUS_OK;
}

void journal_flush(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    if (j->flush_wanted_seq < j->written_seq) {
        j->flush_wanted_seq = j->written_seq;
        pthread_cond_signal(&j->flusher_wake);
    }
    pthread_mutex_unlock(&j->lock);
}

enum status journal_flush_now(struct journal *j)
{
    journal_flush(j);
    pthread_mutex_lock(&j->lock);
    while (!journal_has_failed(j) && atomic_load(&j->flushed_seq) < j->written_seq)
        pthread_cond_wait(&j->owner_wake, &j->lock);
    pthread_mutex_unlock(&j->lock);
    return journal_has_failed(j) ? failed(j) : STATUS_OK;
}

static enum status write_and_flush(struct journal *j)
{
    enum status status = journal_write(j);
    return status == STATUS_OK ? journal_flush_now(j) : status;
}

enum status journal_flushed_seq(struct journal *j, uint64_t *seq)
{
    if (journal_has_failed(j))
        return failed(j);
    *seq = atomic_load(&j->flushed_seq);
    return STATUS_OK;
}

uint64_t journal_written_seq(const struct journal *j)
{
    return j->written_seq;
}

/* --- time and modes -------------------------------------------------------------- */

enum { FLUSH_EVERY_US = 1000000, ROOM_EVERY_US = 1000000 };

void journal_cron(struct journal *j, uint64_t now_us)
{
    if (j->mode == JOURNAL_EVERYSEC && now_us - j->flush_asked_us >= FLUSH_EVERY_US) {
        j->flush_asked_us = now_us;
        journal_flush(j);
    }
    if (now_us - j->room_asked_us < ROOM_EVERY_US)
        return;
    j->room_asked_us = now_us;
    pthread_mutex_lock(&j->lock);
    j->is_room_wanted = j->room_error != 0;
    pthread_cond_signal(&j->preparer_wake);
    pthread_mutex_unlock(&j->lock);
}

/* The mark carries the new mode, and nothing is said under it before the mark is on
 * disk: a power cut finds either the old mode with all it promised, or the new. */
void journal_set_mode(struct journal *j, enum journal_mode mode)
{
    if (j->mode == mode || write_and_flush(j) != STATUS_OK)
        return;
    make_room(j, journal_record_size(JOURNAL_MARK_BYTES));
    j->mode = mode;
    put_mark(j, JOURNAL_MARK_MODE);
    (void)!write_and_flush(j); /* sticky: the next call says so */
}

bool journal_is_low(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool is_low = !j->next && j->room_error != 0;
    pthread_mutex_unlock(&j->lock);
    return is_low;
}

/* --- forgetting -------------------------------------------------------------------- */

uint64_t journal_cut(struct journal *j)
{
    if (!is_active_fresh(j) && !journal_has_failed(j))
        switch_segment(j);
    return j->active->first_seq;
}

/* Renames it to a spare, or removes it. */
static enum status retire(struct journal *j, const struct journal_segment *segment, bool *is_spare)
{
    char name[JOURNAL_NAME_MAX], spare_name[JOURNAL_NAME_MAX];
    char path[4096], spare_path[4096];
    journal_segment_name(segment->number, name);
    journal_spare_name(segment->number, spare_name);
    snprintf(path, sizeof path, "%s/%s", j->dir, name);
    snprintf(spare_path, sizeof spare_path, "%s/%s", j->dir, spare_name);
    pthread_mutex_lock(&j->lock);
    *is_spare = j->spare_count < JOURNAL_SPARES_MAX && segment->end <= j->segment_bytes &&
                segment->capacity == j->segment_bytes;
    pthread_mutex_unlock(&j->lock);
    enum status status = *is_spare ? file_rename(path, spare_path) : file_remove(path);
    /* On disk before the file is used again: else its records could come back under
     * their old name, overwritten in part. */
    return status == STATUS_OK ? file_flush_dir(j->dir_fd) : status;
}

static enum status forget_first(struct journal *j)
{
    struct journal_segment *first = j->segments[0];
    bool is_spare;
    enum status status = retire(j, first, &is_spare);
    if (status != STATUS_OK)
        return status;
    pthread_mutex_lock(&j->lock);
    if (is_spare)
        j->spares[j->spare_count++] = first->number;
    j->segment_count--;
    memmove(j->segments, j->segments + 1, j->segment_count * sizeof *j->segments);
    j->is_room_wanted = j->room_error != 0;
    pthread_cond_signal(&j->preparer_wake);
    pthread_mutex_unlock(&j->lock);
    journal_segment_free(first);
    return STATUS_OK;
}

static bool is_forgettable(const struct journal *j, uint64_t seq)
{
    return j->segment_count > 1 && j->segments[1]->first_seq <= seq;
}

enum status journal_forget(struct journal *j, uint64_t seq)
{
    if (!is_forgettable(j, seq))
        return journal_has_failed(j) ? failed(j) : STATUS_OK;
    /* What is left must begin with a start mark that is on disk. */
    enum status status = write_and_flush(j);
    while (status == STATUS_OK && is_forgettable(j, seq))
        status = forget_first(j);
    return status;
}

/* --- reading back --------------------------------------------------------------------- */

static size_t find_segment(const struct journal *j, uint64_t seq)
{
    size_t low = 0, high = j->segment_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (j->segments[middle]->first_seq <= seq)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static uint64_t find_offset(const struct journal_segment *segment, uint64_t seq)
{
    size_t low = 0, high = segment->index_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (segment->index[middle].seq <= seq)
            low = middle;
        else
            high = middle;
    }
    return segment->index_count ? segment->index[low].offset : JOURNAL_HEADER_BYTES;
}

struct reading {
    uint64_t next_seq;
    size_t max_bytes, visited_bytes;
    journal_replay_fn *visit;
    void *context;
    bool is_full;
};

static enum status read_segment(const struct journal_segment *segment, struct reading *reading)
{
    struct journal_reader reader;
    journal_reader_init(&reader, segment->fd, segment->nonce, segment->end, find_offset(segment, reading->next_seq));
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !reading->is_full && reading->next_seq <= segment->last_seq) {
        struct journal_record_head head;
        struct slice payload;
        status = journal_reader_get(&reader, &head, &payload);
        if (status != STATUS_OK)
            break;
        reader.offset += journal_record_size(head.length);
        if (head.seq < reading->next_seq)
            continue;
        if (head.kind != 0 && reading->visited_bytes > 0 &&
            payload.len > reading->max_bytes - reading->visited_bytes) {
            reading->is_full = true;
            break;
        }
        reading->next_seq = head.seq + 1;
        if (head.kind == 0)
            continue;
        reading->visited_bytes += payload.len ? payload.len : 1;
        struct journal_record record = {.seq = head.seq, .kind = head.kind, .bytes = payload};
        status = reading->visit(reading->context, &record);
        reading->is_full = reading->visited_bytes >= reading->max_bytes;
    }
    journal_reader_deinit(&reader);
    return status == STATUS_NOT_FOUND ? STATUS_MALFORMED : status;
}

enum status journal_read(struct journal *j, uint64_t from_seq, size_t max_bytes, journal_replay_fn *visit,
                         void *context)
{
    if (from_seq < j->segments[0]->first_seq)
        return STATUS_NOT_FOUND;
    struct reading reading = {from_seq, max_bytes, 0, visit, context, false};
    enum status status = STATUS_OK;
    for (size_t i = find_segment(j, from_seq); i < j->segment_count && status == STATUS_OK && !reading.is_full; i++)
        status = read_segment(j->segments[i], &reading);
    return status;
}

/* --- figures ---------------------------------------------------------------------------- */

void journal_get_figures(struct journal *j, struct journal_figures *figures)
{
    pthread_mutex_lock(&j->lock);
    *figures = (struct journal_figures){
        .segments = j->segment_count,
        .first_seq = j->segments[0]->first_seq,
        .appended_seq = j->appended_seq,
        .written_seq = j->written_seq,
        .flushed_seq = atomic_load(&j->flushed_seq),
        .active_number = j->active->number,
        .spares = j->spare_count,
        .writes = j->writes,
        .flushes = j->flushes,
        .flush_us_total = j->flush_us_total,
        .flush_us_max = j->flush_us_max,
        .flush_us_last = j->flush_us_last,
        .is_failed = journal_has_failed(j),
        .error = atomic_load(&j->error),
        .is_low = !j->next && j->room_error != 0,
        .low_error = j->room_error,
    };
    for (size_t i = 0; i < j->segment_count; i++) {
        const struct journal_segment *segment = j->segments[i];
        figures->bytes_on_disk += segment->end > segment->capacity ? segment->end : segment->capacity;
        figures->bytes_used += segment->end;
    }
    figures->bytes_on_disk += j->spare_count * j->segment_bytes + (j->next ? j->segment_bytes : 0);
    pthread_mutex_unlock(&j->lock);
}

/* --- the end ------------------------------------------------------------------------------ */

void journal_free(struct journal *j)
{
    if (!j)
        return;
    journal_work_stop(j);
    for (size_t i = 0; i < j->segment_count; i++)
        journal_segment_free(j->segments[i]);
    if (j->next)
        journal_segment_free(j->next);
    if (j->dir_fd >= 0)
        file_close(j->dir_fd); /* and with it the lock */
    pthread_cond_destroy(&j->owner_wake);
    pthread_cond_destroy(&j->preparer_wake);
    pthread_cond_destroy(&j->flusher_wake);
    pthread_mutex_destroy(&j->lock);
    buf_deinit(&j->pending);
    mem_free(j->segments);
    mem_free(j->dir);
    mem_free(j);
}

/* The closing mark is a witness of everything before it. */
enum status journal_close(struct journal *j)
{
    enum status status = write_and_flush(j);
    if (status == STATUS_OK) {
        make_room(j, journal_record_size(JOURNAL_MARK_BYTES));
        put_mark(j, JOURNAL_MARK_CLOSE);
        status = write_and_flush(j);
    }
    int error = errno;
    journal_free(j);
    errno = error;
    return status;
}
