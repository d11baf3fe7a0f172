#include "persist/journal_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/check.h"
#include "persist/file.h"

enum { WINDOW_BYTES = 1 << 20 };

/* --- one segment ---------------------------------------------------------- */

void journal_reader_init(struct journal_reader *reader, int fd, uint64_t nonce, uint64_t size, uint64_t offset)
{
    CHECK(offset % JOURNAL_RECORD_ALIGN == 0);
    *reader = (struct journal_reader){.fd = fd, .nonce = nonce, .size = size, .offset = offset};
}

void journal_reader_deinit(struct journal_reader *reader)
{
    mem_free(reader->window);
    reader->window = NULL;
}

/* Brings [offset, offset + size), which the file has, into the window. */
static enum status load(struct journal_reader *reader, uint64_t offset, size_t size)
{
    if (offset >= reader->window_at && offset + size <= reader->window_at + reader->window_size)
        return STATUS_OK;
    size_t want = size > WINDOW_BYTES ? size : WINDOW_BYTES;
    if (want > reader->size - offset)
        want = (size_t)(reader->size - offset);
    if (want > reader->window_capacity) {
        mem_free(reader->window);
        reader->window = mem_alloc(want);
        reader->window_capacity = want;
    }
    reader->window_size = 0;
    enum status status = file_read(reader->fd, reader->window, want, offset);
    if (status == STATUS_NOT_FOUND) { /* shorter than a moment ago */
        errno = EIO;
        status = STATUS_IO;
    }
    if (status != STATUS_OK)
        return status;
    reader->window_at = offset;
    reader->window_size = want;
    return STATUS_OK;
}

static unsigned char *at(const struct journal_reader *reader, uint64_t offset)
{
    return reader->window + (offset - reader->window_at);
}

static bool has(const struct journal_reader *reader, uint64_t size)
{
    return reader->offset <= reader->size && size <= reader->size - reader->offset;
}

/* The head at offset, if one may stand there. */
static enum status peek(struct journal_reader *reader, struct journal_record_head *head)
{
    if (!has(reader, JOURNAL_RECORD_HEAD))
        return STATUS_NOT_FOUND;
    enum status status = load(reader, reader->offset, JOURNAL_RECORD_HEAD);
    if (status != STATUS_OK)
        return status;
    if (!journal_record_peek(at(reader, reader->offset), reader->nonce, head))
        return STATUS_NOT_FOUND;
    return STATUS_OK;
}

enum status journal_reader_get(struct journal_reader *reader, struct journal_record_head *head,
                               struct slice *payload)
{
    struct journal_record_head found;
    enum status status = peek(reader, &found);
    if (status != STATUS_OK)
        return status;
    uint64_t size = journal_record_size(found.length);
    if (!has(reader, size))
        return STATUS_NOT_FOUND;
    status = load(reader, reader->offset, (size_t)size);
    if (status != STATUS_OK)
        return status;
    const unsigned char *record = at(reader, reader->offset);
    if (!journal_record_is_good(record, &found, reader->nonce))
        return STATUS_NOT_FOUND;
    *head = found;
    *payload = slice_make(record + JOURNAL_RECORD_HEAD, found.length);
    return STATUS_OK;
}

/* --- a directory ---------------------------------------------------------- */

static enum status fail(char error[static JOURNAL_ERROR_MAX], const char *path, const char *what)
{
    int saved = errno;
    snprintf(error, JOURNAL_ERROR_MAX, "%s: %s: %s", path, what, strerror(saved));
    errno = saved;
    return STATUS_IO;
}

static struct journal_file *add_file(struct journal_files *files, char *path, uint64_t number)
{
    if (files->count == files->capacity) {
        files->capacity = files->capacity ? 2 * files->capacity : 16;
        files->items = mem_realloc(files->items, files->capacity * sizeof *files->items);
    }
    struct journal_file *file = &files->items[files->count++];
    *file = (struct journal_file){.number = number, .path = path, .fd = -1};
    return file;
}

static void add_spare(struct journal_files *files, uint64_t number)
{
    if (files->spare_count == files->spare_capacity) {
        files->spare_capacity = files->spare_capacity ? 2 * files->spare_capacity : 4;
        files->spares = mem_realloc(files->spares, files->spare_capacity * sizeof *files->spares);
    }
    files->spares[files->spare_count++] = number;
}

struct listing {
    struct journal_files *files;
    const char *dir;
};

static void list_name(void *context, const char *name)
{
    struct listing *listing = context;
    struct journal_files *files = listing->files;
    uint64_t number;
    if (journal_segment_name_parse(name, &number)) {
        size_t size = strlen(listing->dir) + strlen(name) + 2;
        char *path = mem_alloc(size);
        snprintf(path, size, "%s/%s", listing->dir, name);
        add_file(files, path, number);
    } else if (journal_spare_name_parse(name, &number)) {
        add_spare(files, number);
    } else {
        return;
    }
    if (number > files->number_max)
        files->number_max = number;
}

static int compare_files(const void *a, const void *b)
{
    uint64_t left = ((const struct journal_file *)a)->number, right = ((const struct journal_file *)b)->number;
    return (left > right) - (left < right);
}

static enum status refuse(char error[static JOURNAL_ERROR_MAX], const char *path, uint32_t version,
                          enum journal_header_verdict verdict)
{
    switch (verdict) {
    case JOURNAL_HEADER_GOOD:
    case JOURNAL_HEADER_ONE_COPY: return STATUS_OK;
    case JOURNAL_HEADER_NEWER:
        snprintf(error, JOURNAL_ERROR_MAX, "%s: journal format %" PRIu32 ", this program knows up to %d: use the "
                 "newer kvstore that wrote it", path, version, JOURNAL_FORMAT_VERSION);
        return STATUS_MISMATCH;
    case JOURNAL_HEADER_FOREIGN:
        snprintf(error, JOURNAL_ERROR_MAX, "%s: offset 0: not the header of a journal segment", path);
        return STATUS_MALFORMED;
    case JOURNAL_HEADER_BAD:
        snprintf(error, JOURNAL_ERROR_MAX, "%s: offset 0: the header of the segment is damaged, both copies of it",
                 path);
        return STATUS_MALFORMED;
    }
    CHECK_UNREACHABLE();
}

static enum status open_file(struct journal_file *file, bool is_writing, char error[static JOURNAL_ERROR_MAX])
{
    enum status status = file_open(&file->fd, file->path, is_writing ? O_RDWR : O_RDONLY);
    if (status != STATUS_OK)
        return fail(error, file->path, "cannot open");
    status = file_size(file->fd, &file->size);
    if (status != STATUS_OK)
        return fail(error, file->path, "cannot tell its size");
    unsigned char bytes[JOURNAL_HEADER_BYTES] = {0};
    size_t size = file->size < sizeof bytes ? (size_t)file->size : sizeof bytes;
    status = file_read(file->fd, bytes, size, 0);
    if (status != STATUS_OK)
        return fail(error, file->path, "cannot read");
    uint32_t version = 0;
    enum journal_header_verdict verdict = journal_header_decode(bytes, &file->header, &version);
    file->is_one_copy = verdict == JOURNAL_HEADER_ONE_COPY;
    status = refuse(error, file->path, version, verdict);
    if (status == STATUS_OK && file->header.number != file->number) {
        snprintf(error, JOURNAL_ERROR_MAX, "%s: its header says it is segment %" PRIu64, file->path,
                 file->header.number);
        status = STATUS_MALFORMED;
    }
    return status;
}

enum status journal_files_open(struct journal_files *files, const char *dir, bool is_writing,
                               char error[static JOURNAL_ERROR_MAX])
{
    *files = (struct journal_files){0};
    struct listing listing = {files, dir};
    enum status status = file_list(dir, list_name, &listing);
    if (status != STATUS_OK)
        return fail(error, dir, "cannot list");
    if (files->count > 1)
        qsort(files->items, files->count, sizeof *files->items, compare_files);
    for (size_t i = 0; i < files->count && status == STATUS_OK; i++)
        status = open_file(&files->items[i], is_writing, error);
    return status;
}

enum status journal_files_open_one(struct journal_files *files, const char *path, bool is_writing,
                                   char error[static JOURNAL_ERROR_MAX])
{
    *files = (struct journal_files){0};
    struct journal_file *file = add_file(files, mem_strdup(path), 0);
    enum status status = file_open(&file->fd, path, O_RDONLY);
    if (status != STATUS_OK)
        return fail(error, path, "cannot open");
    /* Its name may have been changed: the header alone says its number. */
    unsigned char bytes[JOURNAL_HEADER_BYTES];
    status = file_read(file->fd, bytes, sizeof bytes, 0);
    struct journal_header header = {0};
    uint32_t version;
    if (status == STATUS_OK && journal_header_decode(bytes, &header, &version) <= JOURNAL_HEADER_ONE_COPY)
        file->number = header.number;
    file_close(file->fd);
    file->fd = -1;
    return open_file(file, is_writing, error);
}

void journal_files_close(struct journal_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->items[i].fd >= 0)
            file_close(files->items[i].fd);
        mem_free(files->items[i].path);
    }
    mem_free(files->items);
    mem_free(files->spares);
    *files = (struct journal_files){0};
}

/* --- judging --------------------------------------------------------------- */

/* The first seq every one of these proves to have been on disk, at least. */
struct witness {
    uint64_t flushed_seq;
    uint64_t last_end; /* behind the last good record found */
    bool is_found;
};

struct scan {
    struct journal_files *files;
    struct journal_verdict *verdict;
    journal_scan_visit *visit;
    void *context;
    char *error;
    uint64_t expected; /* seq of the next record; 0 before the first */
};

static void note_mark(struct scan *scan, struct journal_file *file, const struct journal_record_head *head,
                      struct slice payload)
{
    int64_t when_ms = 0;
    enum journal_mark mark = journal_mark_decode(payload, &when_ms);
    if (mark == JOURNAL_MARK_START)
        file->begun_ms = when_ms;
    if (mark == JOURNAL_MARK_CUT)
        scan->verdict->cut_seq = head->seq;
    scan->verdict->is_closed = mark == JOURNAL_MARK_CLOSE;
}

static enum status take(struct scan *scan, struct journal_file *file, uint64_t offset,
                        const struct journal_record_head *head, struct slice payload)
{
    struct journal_verdict *verdict = scan->verdict;
    verdict->last_seq = head->seq;
    verdict->mode = head->mode;
    if (head->flushed_seq > verdict->flushed_seq)
        verdict->flushed_seq = head->flushed_seq;
    verdict->is_closed = false;
    if (head->kind == 0)
        note_mark(scan, file, head, payload);
    else
        verdict->records++;
    if (file->first_seq == 0)
        file->first_seq = head->seq;
    file->last_seq = head->seq;
    file->end = offset + journal_record_size(head->length);
    scan->expected = head->seq + 1;
    return scan->visit(scan->context, file, offset, head, payload);
}

static bool is_start(const struct journal_record_head *head, struct slice payload)
{
    int64_t when_ms;
    return head->kind == 0 && journal_mark_decode(payload, &when_ms) == JOURNAL_MARK_START;
}

/* Takes the records of one segment that continue the run.  STATUS_NOT_FOUND: its
 * start mark does not, so nothing was taken. */
static enum status take_segment(struct scan *scan, struct journal_file *file)
{
    struct journal_reader reader;
    journal_reader_init(&reader, file->fd, file->header.nonce, file->size, JOURNAL_HEADER_BYTES);
    file->end = JOURNAL_HEADER_BYTES;
    enum status status;
    for (;;) {
        struct journal_record_head head;
        struct slice payload;
        status = journal_reader_get(&reader, &head, &payload);
        if (status == STATUS_IO)
            fail(scan->error, file->path, "cannot read");
        if (status != STATUS_OK)
            break;
        status = STATUS_NOT_FOUND;
        if (scan->expected != 0 && head.seq != scan->expected)
            break;
        if (reader.offset == JOURNAL_HEADER_BYTES && !is_start(&head, payload))
            break;
        status = take(scan, file, reader.offset, &head, payload);
        if (status != STATUS_OK)
            break;
        reader.offset = file->end;
    }
    journal_reader_deinit(&reader);
    return status == STATUS_NOT_FOUND && file->last_seq != 0 ? STATUS_OK : status;
}

/* Looks for good records from offset on: they are witnesses. */
static enum status search(struct scan *scan, struct journal_file *file, uint64_t offset, struct witness *witness)
{
    struct journal_reader reader;
    journal_reader_init(&reader, file->fd, file->header.nonce, file->size, offset);
    enum status status = STATUS_OK;
    while (has(&reader, JOURNAL_RECORD_HEAD)) {
        struct journal_record_head head;
        status = peek(&reader, &head);
        struct slice payload;
        /* A seq out of all reason would only cost time. */
        if (status == STATUS_OK && (head.seq < scan->expected || head.seq - scan->expected > UINT64_C(1) << 40))
            status = STATUS_NOT_FOUND;
        if (status == STATUS_OK)
            status = journal_reader_get(&reader, &head, &payload);
        if (status == STATUS_IO) {
            fail(scan->error, file->path, "cannot read");
            break;
        }
        if (status == STATUS_NOT_FOUND) {
            reader.offset += JOURNAL_RECORD_ALIGN;
            continue;
        }
        struct journal_verdict *verdict = scan->verdict;
        if (verdict->lost_records++ == 0)
            verdict->lost_first_seq = head.seq;
        verdict->lost_last_seq = head.seq;
        if (head.flushed_seq > witness->flushed_seq)
            witness->flushed_seq = head.flushed_seq;
        reader.offset += journal_record_size(head.length);
        witness->last_end = reader.offset;
        witness->is_found = true;
    }
    journal_reader_deinit(&reader);
    return status == STATUS_IO ? status : STATUS_OK;
}

/* How much of the bytes at the end must be of this life: up to the last good
 * record found, or a head that carries the seq that should stand there. */
static enum status measure_tail(struct scan *scan, struct journal_file *file, const struct witness *witness)
{
    struct journal_verdict *verdict = scan->verdict;
    uint64_t end = verdict->end_offset;
    if (witness->is_found) {
        verdict->torn_bytes += witness->last_end - end;
        return STATUS_OK;
    }
    struct journal_reader reader;
    journal_reader_init(&reader, file->fd, file->header.nonce, file->size, end);
    struct journal_record_head head;
    enum status status = peek(&reader, &head);
    if (status == STATUS_OK && head.seq == scan->expected) {
        uint64_t size = journal_record_size(head.length);
        verdict->torn_bytes += has(&reader, size) ? size : file->size - end;
    }
    journal_reader_deinit(&reader);
    return status == STATUS_IO ? fail(scan->error, file->path, "cannot read") : STATUS_OK;
}

static void call_damaged(struct journal_verdict *verdict, const struct journal_file *file, uint64_t offset,
                         const char *damage)
{
    if (verdict->is_damaged)
        return;
    verdict->is_damaged = true;
    verdict->damaged_path = file->path;
    verdict->damaged_offset = offset;
    verdict->damage = damage;
}

/* The run ends in segment verdict->end_index: why? */
static enum status judge_end(struct scan *scan)
{
    struct journal_verdict *verdict = scan->verdict;
    struct journal_files *files = scan->files;
    struct journal_file *last = &files->items[verdict->end_index];
    struct witness own = {0};
    enum status status = search(scan, last, verdict->end_offset, &own);
    if (status == STATUS_OK)
        status = measure_tail(scan, last, &own);
    uint64_t flushed_seq = own.flushed_seq;
    for (size_t i = verdict->end_index + 1; i < files->count && status == STATUS_OK; i++) {
        struct witness later = {.flushed_seq = files->items[i].header.first_seq};
        status = search(scan, &files->items[i], JOURNAL_HEADER_BYTES, &later);
        if (later.is_found)
            verdict->torn_bytes += later.last_end - JOURNAL_HEADER_BYTES;
        if (later.flushed_seq > flushed_seq)
            flushed_seq = later.flushed_seq;
    }
    if (status != STATUS_OK || flushed_seq < scan->expected)
        return status;
    /* With nothing of this life behind the end, the run should go on in the next segment. */
    bool is_in_next = !own.is_found && verdict->torn_bytes == 0 && verdict->end_index + 1 < files->count;
    if (is_in_next || verdict->end_offset + JOURNAL_RECORD_HEAD > last->size)
        last = verdict->end_index + 1 < files->count ? last + 1 : last;
    call_damaged(verdict, last, last == &files->items[verdict->end_index] ? verdict->end_offset : JOURNAL_HEADER_BYTES,
                 "a record that had been flushed is missing or does not check");
    return STATUS_OK;
}

static enum status has_records(struct journal_file *file, bool *found)
{
    struct journal_reader reader;
    journal_reader_init(&reader, file->fd, file->header.nonce, file->size, JOURNAL_HEADER_BYTES);
    *found = false;
    enum status status = STATUS_OK;
    for (; status != STATUS_IO && !*found && has(&reader, JOURNAL_RECORD_HEAD); reader.offset += JOURNAL_RECORD_ALIGN) {
        struct journal_record_head head;
        struct slice payload;
        status = journal_reader_get(&reader, &head, &payload);
        *found = status == STATUS_OK;
    }
    journal_reader_deinit(&reader);
    return status == STATUS_IO ? status : STATUS_OK;
}

/* Nothing comes before it: where it should hold a start mark, that is damage.
 * STATUS_NOT_FOUND: it was never used. */
static enum status check_unused(struct scan *scan, struct journal_file *file)
{
    struct journal_verdict *verdict = scan->verdict;
    bool is_used;
    if (has_records(file, &is_used) != STATUS_OK)
        return fail(scan->error, file->path, "cannot read");
    if (is_used || file->header.first_seq != 0) {
        verdict->end_index = (size_t)(file - scan->files->items);
        verdict->end_offset = JOURNAL_HEADER_BYTES;
        call_damaged(verdict, file, JOURNAL_HEADER_BYTES, "the journal does not begin with a good start mark");
        struct witness witness = {0};
        enum status status = search(scan, file, JOURNAL_HEADER_BYTES, &witness);
        return status == STATUS_OK ? STATUS_NOT_FOUND : status;
    }
    return STATUS_NOT_FOUND;
}

enum status journal_scan(struct journal_files *files, struct journal_verdict *verdict, journal_scan_visit *visit,
                         void *context, char error[static JOURNAL_ERROR_MAX])
{
    *verdict = (struct journal_verdict){0};
    struct scan scan = {files, verdict, visit, context, error, 0};
    for (size_t i = 0; i < files->count; i++) {
        struct journal_file *file = &files->items[i];
        enum status status = take_segment(&scan, file);
        /* It may be one that was prepared and never used: go on where the run does. */
        if (status == STATUS_NOT_FOUND && scan.expected == 0)
            status = check_unused(&scan, file);
        if (verdict->is_damaged)
            break;
        if (status == STATUS_NOT_FOUND)
            continue;
        if (status != STATUS_OK)
            return status;
        verdict->end_index = i;
        verdict->end_offset = file->end;
    }
    return files->count == 0 || verdict->is_damaged ? STATUS_OK : judge_end(&scan);
}

/* --- cutting --------------------------------------------------------------- */

/* Removes it, or makes it a spare if nothing was ever in it. */
static enum status retire(struct journal_files *files, struct journal_file *file, const char *dir)
{
    bool is_used;
    enum status status = has_records(file, &is_used);
    if (status != STATUS_OK)
        return status;
    if (is_used)
        return file_remove(file->path);
    char name[JOURNAL_NAME_MAX], path[4096];
    journal_spare_name(file->number, name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    status = file_rename(file->path, path);
    if (status == STATUS_OK)
        add_spare(files, file->number);
    return status;
}

static enum status drop(struct journal_files *files, size_t index, const char *dir,
                        char error[static JOURNAL_ERROR_MAX])
{
    struct journal_file *file = &files->items[index];
    enum status status = retire(files, file, dir);
    if (status == STATUS_OK)
        status = file_flush_dir_path(dir);
    if (status != STATUS_OK)
        return fail(error, file->path, "cannot cut");
    file_close(file->fd);
    mem_free(file->path);
    files->count--;
    memmove(file, file + 1, (files->count - index) * sizeof *file);
    return STATUS_OK;
}

static enum status write_cut_mark(struct journal_file *file, const struct journal_verdict *verdict)
{
    unsigned char record[JOURNAL_RECORD_HEAD + JOURNAL_MARK_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    journal_mark_encode(JOURNAL_MARK_CUT, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                        record + JOURNAL_RECORD_HEAD);
    struct journal_record_head head = {
        .length = JOURNAL_MARK_BYTES,
        .mode = verdict->mode,
        .seq = verdict->last_seq + 1,
        .flushed_seq = verdict->last_seq,
    };
    journal_record_seal(record, &head, file->header.nonce);
    return file_write(file->fd, record, sizeof record, verdict->end_offset);
}

enum status journal_scan_cut(struct journal_files *files, const struct journal_verdict *verdict, const char *dir,
                             bool is_mark, char error[static JOURNAL_ERROR_MAX])
{
    CHECK(verdict->end_index < files->count);
    size_t keep = verdict->last_seq == 0 ? 0 : verdict->end_index + 1;
    for (size_t i = files->count; i-- > 0;) {
        if (i < keep && files->items[i].last_seq != 0)
            continue;
        enum status status = drop(files, i, dir, error);
        if (status != STATUS_OK)
            return status;
        keep -= i < keep;
    }
    if (keep == 0 || (verdict->torn_bytes == 0 && !is_mark))
        return STATUS_OK;
    struct journal_file *last = &files->items[keep - 1];
    enum status status = file_resize(last->fd, verdict->end_offset);
    if (status == STATUS_OK && is_mark)
        status = write_cut_mark(last, verdict);
    if (status == STATUS_OK)
        status = file_flush(last->fd);
    if (status == STATUS_OK)
        status = file_size(last->fd, &last->size);
    return status == STATUS_OK ? STATUS_OK : fail(error, last->path, "cannot cut");
}
