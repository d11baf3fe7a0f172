/* Goal: what was flushed is there after whatever happens; what is there is a run of
 * what was appended, in order; anything else is refused and named.
 * Method: a disk in memory that loses what was not flushed, fails chosen calls and
 * hands out its bytes for cutting and flipping; random histories beside a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "disk.h"
#include "persist/journal.h"
#include "persist/journal_format.h"
#include "persist/journal_scan.h"

enum { SEQS_MAX = 1 << 16, SEGMENT = 16 << 10 };

/* What was appended under a seq: its bytes follow from this. */
struct made {
    uint32_t salt, length;
    uint8_t kind; /* 0: a mark, or nothing of ours */
};
static struct made model[SEQS_MAX];

static uint64_t world_seed; /* JOURNAL_SEED=n repeats what failed */
static struct {
    struct journal *j;
    struct journal_options options;
    struct journal_found found;
    char error[JOURNAL_ERROR_MAX];
    uint64_t replayed_first, replayed_last, replayed;
    bool is_wrong;
} world;

static unsigned char byte_of(const struct made *made, size_t i)
{
    return (unsigned char)(made->salt + i * 7 + (i >> 8));
}

static uint64_t append(uint32_t salt, uint32_t length, uint8_t kind)
{
    struct made made = {salt, length, kind};
    char *bytes = mem_alloc(length + 1);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)byte_of(&made, i);
    size_t half = length / 2;
    struct slice parts[2] = {{bytes, half}, {bytes + half, length - half}};
    uint64_t seq = journal_append(world.j, kind, parts, 2);
    mem_free(bytes);
    assert_true(seq < SEQS_MAX);
    model[seq] = made;
    return seq;
}

static bool is_as_made(const struct journal_record *record)
{
    if (record->seq >= SEQS_MAX)
        return false;
    const struct made *made = &model[record->seq];
    if (made->kind != record->kind || made->length != record->bytes.len)
        return false;
    for (size_t i = 0; i < record->bytes.len; i++)
        if ((unsigned char)record->bytes.ptr[i] != byte_of(made, i))
            return false;
    return true;
}

/* Every record of ours between the last one and this must have been visited. */
static enum status replay(void *context, const struct journal_record *record)
{
    (void)context;
    if (!is_as_made(record))
        world.is_wrong = true;
    if (world.replayed == 0)
        world.replayed_first = record->seq;
    for (uint64_t seq = world.replayed_last + 1; world.replayed && seq < record->seq; seq++)
        if (model[seq].kind != 0)
            world.is_wrong = true;
    world.replayed_last = record->seq;
    world.replayed++;
    return STATUS_OK;
}

static void forget_what_was_replayed(void)
{
    world.replayed = world.replayed_first = world.replayed_last = 0;
    world.is_wrong = false;
}

static enum status try_open(void)
{
    forget_what_was_replayed();
    memset(&world.found, 0, sizeof world.found);
    enum status status =
        journal_open(&world.j, &world.options, replay, NULL, &world.found, world.error);
    if (status != STATUS_OK)
        world.j = NULL;
    return status;
}

static void open_it(void)
{
    enum status status = try_open();
    if (status != STATUS_OK)
        fail_msg("%s", world.error);
    assert_false(world.is_wrong);
}

static void start(uint64_t seed)
{
    disk_format(seed);
    memset(model, 0, sizeof model);
    memset(&world, 0, sizeof world);
    world.options = (struct journal_options){
        .dir = "/disk", .identity = {7, 1, "boot"}, .mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT};
    open_it();
    assert_true(world.found.is_new);
}

static void write_now(void)
{
    assert_int_equal(journal_write(world.j), STATUS_OK);
}

static void flush_now(void)
{
    write_now();
    assert_int_equal(journal_flush_now(world.j), STATUS_OK);
}

static void kill_it(void)
{
    journal_free(world.j);
    world.j = NULL;
}

static void cut_power(unsigned chance)
{
    disk_power_off();
    kill_it();
    disk_power_on(chance);
    world.options.identity.boot[0]++;
}

/* --- by hand ------------------------------------------------------------------- */

static void what_is_written_survives_a_kill(void **state)
{
    (void)state;
    start(1);
    uint64_t first = append(1, 100, 5), last = append(2, 0, 6);
    write_now();
    uint64_t lost = append(3, 10, 7); /* never written */
    kill_it();
    model[lost].kind = 0;
    open_it();
    assert_int_equal(world.found.records, 2);
    assert_int_equal(world.replayed_first, first);
    assert_int_equal(world.found.last_seq, last);
    assert_true(world.found.is_same_boot);
    assert_false(world.found.is_closed);
    assert_int_equal(world.found.torn_bytes, 0);
    uint64_t next = append(4, 3, 1);
    assert_true(next > last);
    assert_int_equal(journal_close(world.j), STATUS_OK);
    open_it();
    assert_true(world.found.is_closed);
    assert_int_equal(world.found.records, 3);
    kill_it();
}

static void what_is_flushed_survives_a_power_cut(void **state)
{
    (void)state;
    start(2);
    uint64_t last = append(1, 3000, 5);
    flush_now();
    append(2, 3000, 5);
    write_now();
    cut_power(0);
    open_it();
    assert_int_equal(world.found.records, 1);
    assert_int_equal(world.found.last_seq, last);
    assert_false(world.found.is_same_boot);
    assert_false(world.found.is_unflushed_tail_possible);
    kill_it();
}

static void two_openers(void **state)
{
    (void)state;
    start(3);
    struct journal *first = world.j;
    assert_int_equal(try_open(), STATUS_AGAIN);
    assert_non_null(strstr(world.error, "another server"));
    journal_free(first);
    open_it();
    kill_it();
}

static void another_identity_is_refused(void **state)
{
    (void)state;
    start(4);
    append(1, 10, 1);
    flush_now();
    kill_it();
    world.options.identity.member = 2;
    assert_int_equal(try_open(), STATUS_MISMATCH);
    world.options.identity.member = 1;
    world.options.identity.cluster = 8;
    assert_int_equal(try_open(), STATUS_MISMATCH);
    assert_non_null(strstr(world.error, "right directory"));
    world.options.identity.cluster = 7;
    open_it();
    kill_it();
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    start(5);
    flush_now();
    kill_it();
    struct disk_bytes *file = disk_get("journal-00000000000000000001.kvj");
    assert_non_null(file);
    file->bytes[8] = file->bytes[JOURNAL_HEADER_COPY_AT + 8] = JOURNAL_FORMAT_VERSION + 1;
    assert_int_equal(try_open(), STATUS_MISMATCH);
    assert_non_null(strstr(world.error, "newer"));
}

static void a_huge_record_has_a_segment_of_its_own(void **state)
{
    (void)state;
    start(6);
    append(1, 10, 1);
    uint64_t huge = append(2, 10 * SEGMENT, 2), last = append(3, 10, 1);
    flush_now();
    struct journal_figures figures;
    journal_get_figures(world.j, &figures);
    assert_int_equal(figures.segments, 3);
    assert_true(figures.bytes_on_disk > 10 * SEGMENT);
    cut_power(0);
    open_it();
    assert_int_equal(world.replayed, 3);
    /* It is not recycled: the next spare has the size of a segment. */
    uint64_t seq = journal_cut(world.j);
    assert_true(seq > last);
    assert_true(huge < last);
    assert_int_equal(journal_forget(world.j, seq), STATUS_OK);
    for (int i = 0; i < disk.now.count; i++)
        assert_true(disk.files[disk.now.items[i].file]->now.size <= SEGMENT);
    kill_it();
}

static void a_mode_is_in_force_when_it_is_on_disk(void **state)
{
    (void)state;
    start(7);
    append(1, 10, 1);
    flush_now();
    journal_set_mode(world.j, JOURNAL_EVERYSEC);
    append(2, 10, 1);
    write_now();
    cut_power(0);
    open_it();
    assert_int_equal(world.found.mode, JOURNAL_EVERYSEC);
    assert_true(world.found.is_unflushed_tail_possible);
    kill_it();
    open_it(); /* opened in mode always now, and nothing appended */
    assert_int_equal(world.found.mode, JOURNAL_ALWAYS);
    kill_it();
}

static void every_second(void **state)
{
    (void)state;
    start(8);
    world.options.mode = JOURNAL_EVERYSEC;
    kill_it();
    open_it();
    uint64_t seq = append(1, 10, 1), flushed;
    write_now();
    journal_cron(world.j, 1000000);
    assert_int_equal(journal_flush_now(world.j), STATUS_OK);
    assert_int_equal(journal_flushed_seq(world.j, &flushed), STATUS_OK);
    assert_int_equal(flushed, seq);
    kill_it();
}

/* A flush vouches for what was written before it began, not before it ended. */
static void a_write_during_a_flush_waits_for_the_next(void **state)
{
    (void)state;
    start(18);
    struct journal_figures figures;
    do /* the preparer has flushed all it will: the file of the next segment */
        journal_get_figures(world.j, &figures);
    while (figures.bytes_on_disk < 2 * SEGMENT);
    uint64_t first = append(1, 100, 1), flushed;
    write_now();
    disk_hold(true);
    journal_flush(world.j);
    disk_await_flush();
    uint64_t second = append(2, 1000, 1);
    write_now();
    disk_hold(false);
    do
        assert_int_equal(journal_flushed_seq(world.j, &flushed), STATUS_OK);
    while (flushed < first);
    assert_int_equal(flushed, first);
    journal_flush(world.j);
    do
        assert_int_equal(journal_flushed_seq(world.j, &flushed), STATUS_OK);
    while (flushed < second);
    kill_it();
}

/* --- reading back ----------------------------------------------------------------- */

static void windows_of_records(void **state)
{
    (void)state;
    start(9);
    uint64_t last = 0;
    for (uint32_t i = 0; i < 300; i++)
        last = append(i, i * 3, (uint8_t)(1 + i % 200));
    write_now();
    append(1000, 10, 1); /* not written: not read */
    for (uint64_t from = 1; from <= last; from += 7) {
        for (size_t window = 1; window < 40000; window = window * 5) {
            forget_what_was_replayed();
            assert_int_equal(journal_read(world.j, from, window, replay, NULL), STATUS_OK);
            assert_false(world.is_wrong);
            uint64_t first = from;
            while (model[first].kind == 0)
                first++;
            assert_int_equal(world.replayed_first, first);
            uint64_t bytes = 0;
            for (uint64_t seq = first; seq <= world.replayed_last; seq++)
                bytes += model[seq].length;
            assert_true(bytes <= window || world.replayed_last == first ||
                        bytes - model[first].length == 0);
            assert_true(world.replayed_last <= last);
        }
    }
    forget_what_was_replayed();
    assert_int_equal(journal_read(world.j, 1, SIZE_MAX, replay, NULL), STATUS_OK);
    assert_int_equal(world.replayed, 300);
    forget_what_was_replayed();
    assert_int_equal(journal_read(world.j, last + 1, SIZE_MAX, replay, NULL), STATUS_OK);
    assert_int_equal(world.replayed, 0);
    assert_int_equal(journal_forget(world.j, last), STATUS_OK);
    assert_int_equal(journal_read(world.j, 1, SIZE_MAX, replay, NULL), STATUS_NOT_FOUND);
    struct journal_figures figures;
    journal_get_figures(world.j, &figures);
    assert_int_equal(journal_read(world.j, figures.first_seq, SIZE_MAX, replay, NULL), STATUS_OK);
    assert_int_equal(world.replayed_last, last + 1);
    kill_it();
}

/* --- images ------------------------------------------------------------------------- */

struct image {
    char names[16][64];
    unsigned char *bytes[16];
    size_t sizes[16];
    int count;
};

static void take_image(struct image *image)
{
    image->count = 0;
    for (int i = 0; i < disk.now.count; i++) {
        struct disk_bytes *b = &disk.files[disk.now.items[i].file]->now;
        strcpy(image->names[image->count], disk.now.items[i].name);
        image->bytes[image->count] = malloc(b->size);
        memcpy(image->bytes[image->count], b->bytes, b->size);
        image->sizes[image->count++] = b->size;
        assert_true(image->count < 16);
    }
}

static void put_image(const struct image *image)
{
    disk_format(1);
    for (int i = 0; i < image->count; i++)
        disk_put(image->names[i], image->bytes[i], image->sizes[i]);
}

static void free_image(struct image *image)
{
    for (int i = 0; i < image->count; i++)
        free(image->bytes[i]);
}

static size_t used_of(const struct image *image, int i)
{
    size_t used = image->sizes[i];
    while (used > 0 && image->bytes[i][used - 1] == 0)
        used--;
    return used;
}

static void every_prefix_recovers_a_prefix(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_WARNING + 1);
    start(10);
    for (uint32_t i = 0; i < 12; i++)
        append(i, i * 9, 3);
    flush_now();
    kill_it();
    struct image image;
    take_image(&image);
    int k = 0;
    while (strcmp(image.names[k], "journal-00000000000000000001.kvj") != 0)
        k++;
    size_t whole = image.sizes[k], used = used_of(&image, k);
    uint64_t before = 0;
    for (size_t size = 0; size <= used + 8; size += size < 4000 ? 97 : 1) {
        image.sizes[k] = size;
        put_image(&image);
        enum status status = try_open();
        if (size < JOURNAL_HEADER_BYTES + JOURNAL_RECORD_HEAD + JOURNAL_MARK_BYTES) {
            assert_int_equal(status, STATUS_MALFORMED);
            continue;
        }
        assert_int_equal(status, STATUS_OK);
        assert_false(world.is_wrong);
        assert_true(world.replayed >= before);
        assert_true(world.replayed <= before + 1);
        before = world.replayed;
        kill_it();
    }
    assert_int_equal(before, 12);
    image.sizes[k] = whole;
    free_image(&image);
    log_set_level(LOG_LEVEL_NOTICE);
}

/* Flips every bit that is in use; the journal may refuse, or keep everything, or lose
 * what no later record or segment vouches for: from_seq on. */
static void flip_every_bit(struct image *image, uint64_t records, uint64_t from_seq)
{
    uint64_t refused = 0, shortened = 0;
    for (int k = 0; k < image->count; k++) {
        size_t used = used_of(image, k);
        for (size_t i = 0; i < used; i++) {
            for (unsigned bit = 0; bit < 8; bit += i < JOURNAL_HEADER_BYTES ? 3 : 1) {
                image->bytes[k][i] ^= (unsigned char)(1u << bit);
                put_image(image);
                enum status status = try_open();
                image->bytes[k][i] ^= (unsigned char)(1u << bit);
                assert_false(world.is_wrong);
                if (status == STATUS_OK && world.replayed < records) {
                    shortened++;
                    assert_true(world.replayed_last + 1 >= from_seq);
                } else if (status != STATUS_OK) {
                    refused++;
                    assert_true(status == STATUS_MALFORMED || status == STATUS_MISMATCH);
                    assert_non_null(strstr(world.error, "/disk/journal-"));
                    assert_non_null(strstr(world.error, "offset"));
                }
                if (status == STATUS_OK)
                    kill_it();
                if (i >= 96 && i < JOURNAL_HEADER_BYTES)
                    i += 37;
            }
        }
    }
    assert_true(refused > 0);
    if (from_seq > records + 10)
        assert_int_equal(shortened, 0);
}

static void every_flipped_bit_is_damage(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_WARNING + 1);
    start(11);
    for (uint32_t i = 0; i < 4; i++) {
        append(i, 20 + i * 9, 3);
        flush_now();
    }
    journal_cut(world.j);
    uint64_t last = 0;
    for (uint32_t i = 4; i < 7; i++) {
        last = append(i, 20, 3);
        flush_now();
    }
    /* Killed: nothing vouches for the last record. */
    kill_it();
    struct image image;
    take_image(&image);
    flip_every_bit(&image, 7, last);
    /* Closed: the closing mark vouches for all. */
    put_image(&image);
    open_it();
    assert_int_equal(world.replayed, 7);
    assert_int_equal(journal_close(world.j), STATUS_OK);
    free_image(&image);
    take_image(&image);
    flip_every_bit(&image, 7, UINT64_MAX);
    free_image(&image);
    log_set_level(LOG_LEVEL_NOTICE);
}

/* Records of one write may come to disk in any order: a good one behind a bad one
 * is cut too, unless it vouches for what is missing. */
static void disorder_within_a_write_is_a_torn_tail(void **state)
{
    (void)state;
    start(12);
    append(1, 100, 1);
    flush_now();
    uint64_t bad = append(2, 100, 1);
    append(3, 100, 1);
    append(4, 100, 1);
    write_now();
    kill_it();
    struct disk_bytes *file = disk_get("journal-00000000000000000001.kvj");
    size_t at = 0;
    for (size_t i = JOURNAL_HEADER_BYTES; i + 24 <= file->size && !at; i += 8) {
        uint64_t seq;
        memcpy(&seq, file->bytes + i + 16, 8);
        at = seq == bad ? i : 0;
    }
    assert_true(at > 0);
    file->bytes[at + 40] ^= 1;
    open_it();
    assert_int_equal(world.replayed, 1);
    assert_int_equal(world.found.last_seq, bad - 1);
    assert_true(world.found.torn_bytes >= 3 * 132);
    /* What was cut stays away, though its seqs are used again. */
    memset(&model[bad], 0, 8 * sizeof model[0]);
    append(9, 50, 2);
    flush_now();
    kill_it();
    open_it();
    assert_int_equal(world.replayed, 2);
    kill_it();
}

static void a_lost_segment_is_damage(void **state)
{
    (void)state;
    start(13);
    for (int i = 0; i < 3; i++) {
        append(1, 100, 1);
        flush_now();
        journal_cut(world.j);
    }
    append(1, 100, 1);
    flush_now();
    append(1, 100, 1);
    flush_now();
    kill_it();
    struct image image;
    take_image(&image);
    for (int k = 2; k <= 3; k++) {
        put_image(&image);
        char name[64];
        snprintf(name, sizeof name, "journal-%020d.kvj", k);
        assert_int_equal(disk_unlink(name), 0);
        assert_int_equal(try_open(), STATUS_MALFORMED);
    }
    free_image(&image);
}

/* A segment made at an opening was on disk, start mark and all, before anything relied
 * on it: its header is the witness when nothing else is. */
static void a_lost_opening_is_damage(void **state)
{
    (void)state;
    start(19);
    append(1, 100, 1);
    flush_now();
    kill_it();
    open_it();
    struct journal_figures figures;
    journal_get_figures(world.j, &figures);
    char name[JOURNAL_NAME_MAX];
    journal_segment_name(figures.active_number, name);
    kill_it();
    struct disk_bytes *file = disk_get(name);
    assert_non_null(file);
    file->bytes[JOURNAL_HEADER_BYTES + 20] ^= 1;
    assert_int_equal(try_open(), STATUS_MALFORMED);
    assert_non_null(strstr(world.error, name));
    assert_non_null(strstr(world.error, "offset 4096"));
}

static uint64_t nonce_in(const struct disk_file *file)
{
    struct journal_header header = {0};
    uint32_t version;
    if (file->now.size >= JOURNAL_HEADER_BYTES)
        (void)journal_header_decode(file->now.bytes, &header, &version);
    return header.nonce;
}

static void every_use_of_a_file_has_its_nonce(void **state)
{
    (void)state;
    start(20);
    uint64_t seen[64] = {0};
    for (int turn = 0; turn < 20; turn++) {
        append(1, 9000, 1);
        assert_int_equal(journal_forget(world.j, journal_cut(world.j)), STATUS_OK);
        char name[JOURNAL_NAME_MAX];
        struct journal_figures figures;
        journal_get_figures(world.j, &figures);
        journal_segment_name(figures.active_number, name);
        pthread_mutex_lock(&disk.lock);
        int found = disk_find(&disk.now, name);
        seen[turn] = found >= 0 ? nonce_in(disk.files[disk.now.items[found].file]) : 0;
        pthread_mutex_unlock(&disk.lock);
        assert_true(seen[turn] != 0);
        for (int i = 0; i < turn; i++)
            assert_true(seen[i] != seen[turn]);
    }
    kill_it();
}

static void recycled_segments_resurrect_nothing(void **state)
{
    (void)state;
    start(14);
    for (uint32_t turn = 0; turn < 30; turn++) {
        uint64_t last = 0;
        for (uint32_t i = 0; i < 40; i++)
            last = append(turn * 100 + i, 200, 1);
        flush_now();
        uint64_t seq = journal_cut(world.j);
        assert_int_equal(journal_forget(world.j, seq), STATUS_OK);
        assert_true(seq > last);
        append(turn, 10, 2);
        write_now();
        turn % 2 ? kill_it() : cut_power(turn % 4 ? 100 : 0);
        open_it();
        assert_true(world.replayed <= 1);
        assert_true(world.replayed == 0 || world.replayed_first > seq);
        memset(&model[world.found.last_seq + 1], 0, 8 * sizeof model[0]);
    }
    int files = disk.file_count;
    for (uint32_t turn = 0; turn < 30; turn++) {
        append(turn, 9000, 1);
        assert_int_equal(journal_forget(world.j, journal_cut(world.j)), STATUS_OK);
    }
    assert_true(disk.file_count <= files + 3); /* files were used again */
    kill_it();
}

static enum status ignore(void *context, const struct journal_file *file, uint64_t offset,
                          const struct journal_record_head *head, struct slice payload)
{
    (void)context, (void)file, (void)offset, (void)head, (void)payload;
    return STATUS_OK;
}

/* What kvstore-check --cut does: the journal opens again with what lies before the
 * damage, and says that something was given up until that is forgotten. */
static void an_operator_cuts(void **state)
{
    (void)state;
    start(17);
    for (uint32_t i = 0; i < 10; i++) {
        append(i, 100, 1);
        flush_now();
        if (i % 4 == 3)
            journal_cut(world.j);
    }
    assert_int_equal(journal_close(world.j), STATUS_OK);
    struct disk_bytes *file = disk_get("journal-00000000000000000002.kvj");
    file->bytes[JOURNAL_HEADER_BYTES + 48 + 136 + 50] ^= 4; /* in the second record behind the start mark */
    assert_int_equal(try_open(), STATUS_MALFORMED);
    assert_int_equal(world.replayed, 5);

    struct journal_files files;
    struct journal_verdict verdict;
    char error[JOURNAL_ERROR_MAX];
    assert_int_equal(journal_files_open(&files, "/disk", true, error), STATUS_OK);
    assert_int_equal(journal_scan(&files, &verdict, ignore, NULL, error), STATUS_OK);
    assert_true(verdict.is_damaged);
    assert_non_null(strstr(verdict.damaged_path, "002.kvj"));
    assert_int_equal(verdict.damaged_offset, JOURNAL_HEADER_BYTES + 48 + 136);
    assert_int_equal(verdict.records, 5);
    assert_int_equal(journal_scan_cut(&files, &verdict, "/disk", true, error), STATUS_OK);
    journal_files_close(&files);
    disk_power_off();
    disk_power_on(0);

    memset(&model[verdict.last_seq + 1], 0, 20 * sizeof model[0]);
    for (int i = 0; i < 2; i++) {
        open_it();
        assert_int_equal(world.replayed, 5);
        assert_int_equal(world.found.cut_seq, verdict.last_seq + 1);
        kill_it();
    }
    open_it();
    assert_int_equal(journal_forget(world.j, journal_written_seq(world.j)), STATUS_OK);
    kill_it();
    open_it();
    assert_int_equal(world.found.cut_seq, 0);
    kill_it();
}

/* --- faults ---------------------------------------------------------------------------- */

/* Appends, writes, flushes; stops at the first error, which must stay.  Returns what
 * was known to be flushed. */
static uint64_t work_until_error(int turns, uint64_t *written)
{
    uint64_t flushed = 0;
    bool is_data_lost = false;
    enum status status = STATUS_OK;
    for (int i = 0; i < turns && status == STATUS_OK; i++) {
        append((uint32_t)i, 700, 1);
        status = journal_write(world.j);
        if (status == STATUS_OK && i % 3 == 0)
            status = journal_flush_now(world.j);
        is_data_lost = status != STATUS_OK;
        if (status == STATUS_OK && i % 31 == 30)
            status = journal_forget(world.j, journal_cut(world.j));
        uint64_t seq;
        if (journal_flushed_seq(world.j, &seq) == STATUS_OK)
            flushed = seq;
    }
    struct journal_figures figures;
    journal_get_figures(world.j, &figures);
    *written = figures.written_seq;
    if (is_data_lost)
        assert_true(figures.is_failed);
    if (figures.is_failed) {
        uint64_t seq;
        append(1, 10, 1);
        assert_int_equal(journal_write(world.j), STATUS_IO);
        assert_int_equal(errno, figures.error);
        assert_int_equal(journal_flush_now(world.j), STATUS_IO);
        assert_int_equal(journal_flushed_seq(world.j, &seq), STATUS_IO);
        assert_int_equal(errno, figures.error);
        flushed = figures.flushed_seq > flushed ? figures.flushed_seq : flushed;
    }
    return flushed;
}

/* Fails the k-th call for every k, for once or for ever, then kills, opens, cuts the
 * power, opens: after the first opening nothing replayed may be lost, though a
 * failed flush left pages the kernel believes clean. */
static void an_error_at_every_call(int error, long count)
{
    bool is_reached = true;
    for (long k = 1; is_reached && k < 2000; k++) {
        start((uint64_t)k);
        disk_fail(k, count, error);
        disk_set(k % 2, 0);
        uint64_t written, flushed = work_until_error(70, &written);
        is_reached = disk_failed() > 0;
        struct journal_figures figures;
        journal_get_figures(world.j, &figures);
        kill_it();
        disk_fail(0, 0, 0);
        if (k % 3 == 0)
            world.options.identity.boot[0]++, disk_power_off(), disk_power_on(50);
        open_it();
        assert_true(world.found.last_seq >= flushed);
        if (k % 3 != 0)
            assert_true(world.found.last_seq >= written);
        uint64_t last = world.found.last_seq, records = world.replayed;
        cut_power(0);
        open_it();
        assert_true(world.found.last_seq >= last);
        assert_int_equal(world.replayed, records);
        kill_it();
    }
    assert_false(is_reached);
}

static void errors_at_every_call(void **state)
{
    (void)state;
    an_error_at_every_call(EIO, 1);
    an_error_at_every_call(EIO, 1000000);
    an_error_at_every_call(ENOSPC, 1);
    an_error_at_every_call(ENOSPC, 1000000);
}

static void an_error_at_every_call_of_opening(void **state)
{
    (void)state;
    bool is_reached = true;
    for (long k = 1; is_reached && k < 2000; k++) {
        start((uint64_t)k);
        uint64_t written, flushed = work_until_error(40, &written);
        append(1, 3000, 2);
        append(2, 3000, 2);
        write_now();
        cut_power(50);
        disk.fail_calls = ~0u;
        disk_fail(k, 1, EIO);
        enum status status = try_open();
        is_reached = disk_failed() > 0;
        disk_fail(0, 0, 0);
        if (status == STATUS_OK) { /* the preparer met it, or nobody */
            kill_it();
        } else {
            assert_int_equal(status, STATUS_IO);
            assert_true(strlen(world.error) > 0);
        }
        open_it();
        assert_true(world.found.last_seq >= flushed);
        kill_it();
    }
    assert_false(is_reached);
}

/* Lack of room is known a segment before it hurts, and passes. */
static void lack_of_room_is_known_early(void **state)
{
    (void)state;
    start(15);
    flush_now();
    disk_set(false, 4 * SEGMENT);
    int taken = 0;
    while (!journal_is_low(world.j)) {
        append(1, 500, 1);
        flush_now();
        assert_true(++taken < 1000);
    }
    struct journal_figures figures;
    journal_get_figures(world.j, &figures);
    assert_int_equal(figures.low_error, ENOSPC);
    assert_false(figures.is_failed);
    for (int i = 0; i < 10; i++) { /* what must be said still can be */
        append(1, 500, 1);
        flush_now();
    }
    disk_set(false, 0);
    uint64_t now_us = 0;
    while (journal_is_low(world.j))
        journal_cron(world.j, now_us += 1000001);
    for (int i = 0; i < 100; i++)
        append(1, 500, 1);
    flush_now();
    kill_it();
    /* And where nobody listens it is an error that stays. */
    start(16);
    flush_now();
    disk_set(false, 4 * SEGMENT);
    uint64_t written;
    work_until_error(1000, &written);
    journal_get_figures(world.j, &figures);
    assert_true(figures.is_failed || disk.now.count <= 4);
    kill_it();
}

/* --- random histories -------------------------------------------------------------------- */

struct history {
    struct random random;
    uint64_t forgotten; /* below this nothing need be there */
    uint64_t written, flushed;
};

static void note(struct history *h)
{
    struct journal_figures figures;
    journal_get_figures(world.j, &figures);
    assert_true(figures.flushed_seq <= figures.written_seq);
    assert_true(figures.written_seq <= figures.appended_seq);
    h->written = figures.written_seq;
    h->flushed = figures.flushed_seq;
}

static void act(struct history *h)
{
    uint64_t low, seq;
    switch (random_below(&h->random, 24)) {
    case 0: flush_now(); break;
    case 1: journal_flush(world.j); break;
    case 2:
        if (random_below(&h->random, 4) == 0)
            journal_cut(world.j);
        break;
    case 3:
        seq = journal_written_seq(world.j);
        low = seq > 60 ? seq - 60 : 0;
        if (random_below(&h->random, 3) == 0) {
            assert_int_equal(journal_forget(world.j, low), STATUS_OK);
            h->forgotten = low > h->forgotten ? low : h->forgotten;
        }
        break;
    case 4:
        if (random_below(&h->random, 10) == 0)
            journal_set_mode(world.j, (enum journal_mode)random_below(&h->random, 3));
        break;
    case 5:
        forget_what_was_replayed();
        seq = journal_written_seq(world.j);
        low = h->forgotten + random_below(&h->random, seq - h->forgotten + 1);
        if (low > 0)
            assert_int_equal(journal_read(world.j, low, random_below(&h->random, 9000), replay, NULL), STATUS_OK);
        assert_false(world.is_wrong);
        break;
    case 6: append((uint32_t)random_next(&h->random), random_below(&h->random, 20) ? 5000 : 2 * SEGMENT, 9); break;
    case 7:
    case 8:
    case 9:
    case 10: write_now(); break;
    default:
        append((uint32_t)random_next(&h->random), (uint32_t)random_below(&h->random, 600),
               (uint8_t)(1 + random_below(&h->random, 255)));
    }
}

static void reopen(struct history *h, bool is_power_cut, uint64_t *last)
{
    if (is_power_cut)
        cut_power((unsigned)random_below(&h->random, 101));
    else
        kill_it();
    open_it();
    *last = world.found.last_seq;
    assert_true(*last >= (is_power_cut ? h->flushed : h->written));
    assert_true(*last <= h->written);
    for (uint64_t seq = h->forgotten; seq <= *last; seq++)
        if (model[seq].kind != 0 && (world.replayed == 0 || seq < world.replayed_first || seq > world.replayed_last))
            fail_msg("seed %llu: record %llu is not there", (unsigned long long)world_seed, (unsigned long long)seq);
}

static void live(uint64_t seed)
{
    start(seed);
    struct history h = {0};
    random_init(&h.random, seed);
    disk_set(seed % 3 == 0, 0);
    for (int life = 0; life < 12; life++) {
        uint64_t actions = random_below(&h.random, 150);
        for (uint64_t i = 0; i < actions; i++)
            act(&h);
        note(&h);
        uint64_t last = 0;
        unsigned end = (unsigned)random_below(&h.random, 10);
        if (end == 0) {
            assert_int_equal(journal_close(world.j), STATUS_OK);
            open_it();
            assert_true(world.found.is_closed);
            last = world.found.last_seq;
        } else {
            reopen(&h, end < 7, &last);
        }
        for (uint64_t seq = last + 1; seq < SEQS_MAX && seq < last + 400; seq++)
            model[seq].kind = 0;
    }
    kill_it();
}

static void random_histories(void **state)
{
    (void)state;
    const char *one = getenv("JOURNAL_SEED"), *many = getenv("JOURNAL_SEEDS");
    uint64_t from = one ? strtoull(one, NULL, 10) : 1;
    uint64_t count = many ? strtoull(many, NULL, 10) : one ? 1 : 150;
    for (uint64_t seed = from; seed < from + count; seed++) {
        world_seed = seed;
        live(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_survives_a_kill),
        cmocka_unit_test(what_is_flushed_survives_a_power_cut),
        cmocka_unit_test(two_openers),
        cmocka_unit_test(another_identity_is_refused),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_huge_record_has_a_segment_of_its_own),
        cmocka_unit_test(a_mode_is_in_force_when_it_is_on_disk),
        cmocka_unit_test(every_second),
        cmocka_unit_test(a_write_during_a_flush_waits_for_the_next),
        cmocka_unit_test(windows_of_records),
        cmocka_unit_test(every_prefix_recovers_a_prefix),
        cmocka_unit_test(every_flipped_bit_is_damage),
        cmocka_unit_test(disorder_within_a_write_is_a_torn_tail),
        cmocka_unit_test(a_lost_segment_is_damage),
        cmocka_unit_test(a_lost_opening_is_damage),
        cmocka_unit_test(every_use_of_a_file_has_its_nonce),
        cmocka_unit_test(recycled_segments_resurrect_nothing),
        cmocka_unit_test(an_operator_cuts),
        cmocka_unit_test(errors_at_every_call),
        cmocka_unit_test(an_error_at_every_call_of_opening),
        cmocka_unit_test(lack_of_room_is_known_early),
        cmocka_unit_test(random_histories),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    disk_format(0);
    return failed;
}
