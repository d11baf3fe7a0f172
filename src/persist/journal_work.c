/* The journal's two threads.
 *
 * The flusher waits for a seq to be wanted on disk, flushes every segment written
 * since, and raises flushed_seq to what had been written when it began.
 *
 * The preparer keeps a next segment ready.  A file that is new, not recycled, gets
 * zeros written, so that later flushes find its blocks in place and move data alone;
 * they are written while the segment before it fills, twice as fast as that, so the
 * disk sees no burst.  A segment is never zeroed while records are written to it: of
 * two flushes of one file at a time only one is told of an error. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/random.h"
#include "persist/file.h"
#include "persist/journal_private.h"

int64_t journal_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t steady_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void journal_fail_locked(struct journal *j, int error)
{
    CHECK(error != 0);
    int none = 0;
    atomic_compare_exchange_strong(&j->error, &none, error);
    pthread_cond_broadcast(&j->flusher_wake);
    pthread_cond_broadcast(&j->preparer_wake);
    pthread_cond_broadcast(&j->owner_wake);
}

bool journal_has_failed(const struct journal *j)
{
    return atomic_load(&((struct journal *)(uintptr_t)j)->error) != 0;
}

/* --- the flusher ------------------------------------------------------------ */

static struct journal_segment *find_dirty(struct journal *j, uint64_t after_number)
{
    for (size_t i = 0; i < j->segment_count; i++)
        if (j->segments[i]->is_dirty && j->segments[i]->number > after_number)
            return j->segments[i];
    return NULL;
}

/* Each segment once, oldest first: one that is written meanwhile stays dirty for
 * the next round. */
static enum status flush_segments(struct journal *j)
{
    uint64_t done = 0;
    for (struct journal_segment *segment; (segment = find_dirty(j, done));) {
        done = segment->number;
        segment->is_dirty = false;
        int fd = segment->fd;
        pthread_mutex_unlock(&j->lock);
        enum status status = file_flush(fd);
        int error = errno;
        pthread_mutex_lock(&j->lock);
        if (status != STATUS_OK) {
            journal_fail_locked(j, error);
            return status;
        }
    }
    return STATUS_OK;
}

static void tell(struct journal *j)
{
    pthread_mutex_unlock(&j->lock);
    if (j->on_flushed)
        j->on_flushed(j->context);
    pthread_mutex_lock(&j->lock);
}

static void flush_round(struct journal *j)
{
    uint64_t target = j->written_seq, began_us = steady_us();
    if (flush_segments(j) == STATUS_OK) {
        uint64_t took_us = steady_us() - began_us;
        j->flushes++;
        j->flush_us_last = took_us;
        j->flush_us_total += took_us;
        j->flush_us_max = took_us > j->flush_us_max ? took_us : j->flush_us_max;
        atomic_store(&j->flushed_seq, target);
        pthread_cond_broadcast(&j->owner_wake);
    }
    if (!journal_has_failed(j))
        tell(j);
}

static void *run_flusher(void *context)
{
    struct journal *j = context;
    pthread_mutex_lock(&j->lock);
    bool is_failure_told = false;
    while (!j->is_stopping) {
        if (!journal_has_failed(j) && j->flush_wanted_seq > atomic_load(&j->flushed_seq)) {
            flush_round(j);
        } else if (journal_has_failed(j) && !is_failure_told) {
            is_failure_told = true;
            tell(j);
        } else {
            pthread_cond_wait(&j->flusher_wake, &j->lock);
        }
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* --- making segments ---------------------------------------------------------- */

struct paths {
    char spare[4096], segment[4096];
};

static void name_paths(const struct journal *j, uint64_t spare, uint64_t number, struct paths *paths)
{
    char name[JOURNAL_NAME_MAX];
    journal_spare_name(spare, name);
    snprintf(paths->spare, sizeof paths->spare, "%s/%s", j->dir, name);
    journal_segment_name(number, name);
    snprintf(paths->segment, sizeof paths->segment, "%s/%s", j->dir, name);
}

static bool take_spare(struct journal *j, uint64_t *number)
{
    pthread_mutex_lock(&j->lock);
    bool is_there = j->spare_count > 0;
    if (is_there)
        *number = j->spares[--j->spare_count];
    pthread_mutex_unlock(&j->lock);
    return is_there;
}

/* A spare of another size (the configuration changed) is of no use. */
static enum status open_spare(const struct journal_segment *segment, const char *path, int *fd)
{
    enum status status = file_open(fd, path, O_RDWR);
    uint64_t size = 0;
    if (status != STATUS_OK)
        return status;
    status = file_size(*fd, &size);
    if (status == STATUS_OK && size == segment->capacity)
        return STATUS_OK;
    file_close(*fd);
    *fd = -1;
    if (status == STATUS_OK)
        status = file_remove(path);
    return status == STATUS_OK ? STATUS_NOT_FOUND : status;
}

static enum status open_file(struct journal *j, struct journal_segment *segment, struct paths *paths)
{
    uint64_t spare;
    while (take_spare(j, &spare)) {
        name_paths(j, spare, segment->number, paths);
        enum status status = open_spare(segment, paths->spare, &segment->fd);
        segment->zeroed = segment->capacity;
        if (status != STATUS_NOT_FOUND)
            return status;
    }
    name_paths(j, segment->number, segment->number, paths);
    segment->zeroed = JOURNAL_HEADER_BYTES;
    enum status status = file_open(&segment->fd, paths->spare, O_RDWR | O_CREAT | O_TRUNC);
    return status == STATUS_OK ? file_reserve(segment->fd, segment->capacity) : status;
}

static enum status write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const unsigned char zeros[JOURNAL_ZERO_STEP];
    enum status status = STATUS_OK;
    while (from < to && status == STATUS_OK) {
        size_t size = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        status = file_write(fd, zeros, size, from);
        from += size;
    }
    return status;
}

/* What a first segment gets at once; the rest of it stays as it was reserved. */
static enum status zero_first(struct journal_segment *segment)
{
    uint64_t to = segment->capacity < JOURNAL_ZERO_FIRST ? segment->capacity : JOURNAL_ZERO_FIRST;
    if (segment->zeroed >= to)
        return STATUS_OK;
    enum status status = write_zeros(segment->fd, segment->zeroed, to);
    segment->zeroed = to;
    return status;
}

static enum status write_head(struct journal *j, struct journal_segment *segment)
{
    struct journal_header header = {
        .number = segment->number,
        .nonce = segment->nonce,
        .first_seq = segment->first_seq,
        .capacity = segment->capacity,
        .created_ms = journal_wall_ms(),
        .cluster = j->identity.cluster,
        .member = j->identity.member,
    };
    memcpy(header.boot, j->identity.boot, sizeof header.boot);
    unsigned char bytes[JOURNAL_HEADER_BYTES + JOURNAL_RECORD_HEAD + JOURNAL_MARK_BYTES];
    journal_header_encode(&header, bytes);
    size_t size = JOURNAL_HEADER_BYTES;
    if (segment->first_seq != 0) {
        journal_mark_seal(j, JOURNAL_MARK_START, segment->first_seq, segment->nonce, bytes + size);
        size = sizeof bytes;
        segment->last_seq = segment->first_seq;
    }
    segment->end = size;
    return file_write(segment->fd, bytes, size, 0);
}

void journal_segment_free(struct journal_segment *segment)
{
    if (segment->fd >= 0)
        file_close(segment->fd);
    mem_free(segment->index);
    mem_free(segment);
}

/* If that fails too, the opener finds a segment without records and makes it a spare. */
static void remove_unused(const struct journal *j, uint64_t number)
{
    char name[JOURNAL_NAME_MAX], path[4096];
    journal_segment_name(number, name);
    snprintf(path, sizeof path, "%s/%s", j->dir, name);
    (void)!file_remove(path);
}

enum status journal_segment_make(struct journal *j, uint64_t number, uint64_t first_seq,
                                 struct journal_segment **segment)
{
    struct journal_segment *made = mem_calloc(1, sizeof *made);
    made->fd = -1;
    made->number = number;
    made->first_seq = first_seq;
    made->capacity = j->segment_bytes;
    random_from_system(&made->nonce, sizeof made->nonce);
    struct paths *paths = mem_alloc(sizeof *paths);
    enum status status = open_file(j, made, paths);
    if (status == STATUS_OK && first_seq != 0)
        status = zero_first(made);
    if (status == STATUS_OK)
        status = write_head(j, made);
    if (status == STATUS_OK)
        status = file_flush(made->fd);
    if (status == STATUS_OK)
        status = file_rename(paths->spare, paths->segment);
    if (status == STATUS_OK)
        status = file_flush_dir(j->dir_fd);
    int error = errno;
    if (status != STATUS_OK && made->fd >= 0) {
        (void)!file_remove(paths->spare);
        remove_unused(j, number); /* it may have got its name before a flush failed */
    }
    mem_free(paths);
    if (status != STATUS_OK) {
        journal_segment_free(made);
        errno = error;
        return STATUS_IO;
    }
    if (first_seq != 0)
        journal_index_add(made, first_seq, JOURNAL_HEADER_BYTES);
    *segment = made;
    return STATUS_OK;
}

/* --- the preparer -------------------------------------------------------------- */

static void make_next(struct journal *j)
{
    uint64_t number = ++j->number_last;
    j->is_room_wanted = false;
    pthread_mutex_unlock(&j->lock);
    struct journal_segment *made = NULL;
    enum status status = journal_segment_make(j, number, 0, &made);
    int error = errno;
    pthread_mutex_lock(&j->lock);
    j->next = made;
    j->room_error = status == STATUS_OK ? 0 : error;
    pthread_cond_broadcast(&j->owner_wake);
}

static bool needs_zeros(const struct journal *j)
{
    const struct journal_segment *next = j->next;
    return next && !j->is_next_wanted && next->zeroed < next->capacity && next->zeroed < 2 * j->active->end;
}

/* A next segment that cannot be zeroed is none. */
static void zero_next(struct journal *j)
{
    struct journal_segment *next = j->next;
    uint64_t from = next->zeroed, to = from + JOURNAL_ZERO_STEP;
    to = to < next->capacity ? to : next->capacity;
    next->is_being_zeroed = true;
    pthread_mutex_unlock(&j->lock);
    enum status status = write_zeros(next->fd, from, to);
    if (status == STATUS_OK)
        status = file_flush(next->fd);
    int error = errno;
    if (status != STATUS_OK)
        remove_unused(j, next->number);
    pthread_mutex_lock(&j->lock);
    next->is_being_zeroed = false;
    next->zeroed = to;
    if (status != STATUS_OK) {
        j->room_error = error;
        j->next = NULL;
        journal_segment_free(next);
    }
    pthread_cond_broadcast(&j->owner_wake);
}

static void *run_preparer(void *context)
{
    struct journal *j = context;
    pthread_mutex_lock(&j->lock);
    while (!j->is_stopping) {
        bool has_failed = journal_has_failed(j);
        if (!has_failed && !j->next && (j->room_error == 0 || j->is_room_wanted))
            make_next(j);
        else if (!has_failed && needs_zeros(j))
            zero_next(j);
        else
            pthread_cond_wait(&j->preparer_wake, &j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* --- life ------------------------------------------------------------------------ */

void journal_work_start(struct journal *j)
{
    /* Signals are the reactor's business. */
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    CHECK(pthread_create(&j->flusher, NULL, run_flusher, j) == 0);
    CHECK(pthread_create(&j->preparer, NULL, run_preparer, j) == 0);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    j->has_threads = true;
}

void journal_work_stop(struct journal *j)
{
    if (!j->has_threads)
        return;
    pthread_mutex_lock(&j->lock);
    j->is_stopping = true;
    pthread_cond_broadcast(&j->flusher_wake);
    pthread_cond_broadcast(&j->preparer_wake);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->flusher, NULL);
    pthread_join(j->preparer, NULL);
    j->has_threads = false;
}
