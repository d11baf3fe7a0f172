#include "replica/spool.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/check.h"
#include "persist/file.h"

struct block {
    uint64_t from, to; /* laps [from, to) */
    uint64_t offset, size;
};

struct spool {
    int snapshot_fd, tail_fd;
    int child; /* 0: it has ended */
    bool has_failed, is_tail_cut;
    struct spool_place from;
    uint64_t position;

    /* Messages of laps [open_from, open_lap], not in the file yet; those of open_lap, of which
     * more may come, begin at newest_at, and null_before is what null_from was then. */
    struct buf open, nulls;
    uint64_t open_from, open_lap;
    size_t newest_at;
    uint64_t null_from[RABIA_MEMBERS_MAX]; /* lane's slots from here on are NULL unless noted */
    uint64_t null_before[RABIA_MEMBERS_MAX];
    struct block *blocks;
    size_t block_count, block_capacity;
    uint64_t tail_bytes;
};

struct spool *spool_create(int snapshot_fd, int child, int tail_fd, struct spool_place from, uint64_t position)
{
    CHECK(child > 0);
    CHECK(from.lane < RABIA_MEMBERS_MAX);
    struct spool *s = mem_calloc(1, sizeof *s);
    s->snapshot_fd = snapshot_fd;
    s->tail_fd = tail_fd;
    s->child = child;
    s->from = from;
    s->position = position;
    s->open_from = s->open_lap = from.lap;
    /* Of the slots before the snapshot's place nothing is known here. */
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++)
        s->null_from[lane] = s->null_before[lane] = lane < from.lane ? from.lap + 1 : from.lap;
    return s;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (s->child > 0) {
        kill(s->child, SIGKILL);
        waitpid(s->child, NULL, 0);
    }
    file_close(s->snapshot_fd);
    file_close(s->tail_fd);
    buf_deinit(&s->open);
    buf_deinit(&s->nulls);
    mem_free(s->blocks);
    mem_free(s);
}

struct spool_place spool_from(const struct spool *s)
{
    return s->from;
}

uint64_t spool_position(const struct spool *s)
{
    return s->position;
}

/* --- the snapshot ----------------------------------------------------------- */

bool spool_is_writing(struct spool *s)
{
    int result;
    if (s->child == 0)
        return false;
    pid_t ended = waitpid(s->child, &result, WNOHANG);
    if (ended == 0)
        return true;
    s->child = 0;
    s->has_failed = ended < 0 || !WIFEXITED(result) || WEXITSTATUS(result) != 0;
    return false;
}

bool spool_has_failed(const struct spool *s)
{
    return s->has_failed;
}

enum status spool_read(struct spool *s, uint64_t offset, void *bytes, size_t size, size_t *got)
{
    /* Asked first: what it wrote before it ended is there when it has ended. */
    bool is_writing = spool_is_writing(s);
    uint64_t there;
    if (s->has_failed || file_size(s->snapshot_fd, &there) != STATUS_OK)
        return STATUS_IO;
    if (offset >= there)
        return is_writing ? STATUS_AGAIN : STATUS_NOT_FOUND;
    size_t wanted = size < there - offset ? size : (size_t)(there - offset);
    if (file_read(s->snapshot_fd, bytes, wanted, offset) != STATUS_OK)
        return STATUS_IO;
    *got = wanted;
    return STATUS_OK;
}

/* --- the tail: writing -------------------------------------------------------- */

static void add_decided(struct buf *out, uint64_t from, uint64_t to, uint8_t lane, struct batch *batch)
{
    if (from >= to)
        return;
    CHECK(!batch || to - from == 1);
    frame_add_message(out, &(struct rabia_message){.kind = RABIA_DECIDED,
                                                   .lane = lane,
                                                   .value = batch ? RABIA_BATCH : RABIA_NULL,
                                                   .lap = from,
                                                   .count = to - from,
                                                   .batch = batch});
}

static void add_block(struct spool *s, uint64_t to, uint64_t size)
{
    if (s->block_count == s->block_capacity) {
        s->block_capacity = s->block_capacity ? s->block_capacity * 2 : 64;
        s->blocks = mem_realloc(s->blocks, s->block_capacity * sizeof *s->blocks);
    }
    s->blocks[s->block_count++] = (struct block){s->open_from, to, s->tail_bytes, size};
    s->tail_bytes += size;
    s->open_from = to;
}

static bool write_block(struct spool *s, size_t noted)
{
    return s->tail_bytes + noted + buf_size(&s->nulls) <= SPOOL_TAIL_BYTES_MAX &&
           file_write(s->tail_fd, buf_head(&s->open), noted, s->tail_bytes) == STATUS_OK &&
           file_write(s->tail_fd, buf_head(&s->nulls), buf_size(&s->nulls), s->tail_bytes + noted) == STATUS_OK;
}

/* All slots of laps before to are known: what was not noted is NULL. */
static void close_block(struct spool *s, uint64_t to)
{
    CHECK(to > s->open_from);
    CHECK(to >= s->open_lap);
    bool is_newest_left = to == s->open_lap;
    uint64_t *null_from = is_newest_left ? s->null_before : s->null_from;
    size_t noted = is_newest_left ? s->newest_at : buf_size(&s->open);
    buf_clear(&s->nulls);
    for (uint8_t lane = 0; lane < RABIA_MEMBERS_MAX; lane++) {
        add_decided(&s->nulls, null_from[lane], to, lane, NULL);
        null_from[lane] = null_from[lane] > to ? null_from[lane] : to;
        s->null_from[lane] = s->null_from[lane] > to ? s->null_from[lane] : to;
    }
    if (write_block(s, noted))
        add_block(s, to, noted + buf_size(&s->nulls));
    else
        s->is_tail_cut = true;
    buf_consume(&s->open, noted);
    buf_shrink(&s->open, (size_t)2 * SPOOL_BLOCK_BYTES);
    s->newest_at = 0;
}

static void begin_lap(struct spool *s, uint64_t lap)
{
    /* An idle cluster's laps may go by by the thousand between two batches. */
    while (lap > s->open_from + SPOOL_BLOCK_LAPS && !s->is_tail_cut)
        close_block(s, s->open_from + SPOOL_BLOCK_LAPS);
    if (buf_size(&s->open) >= SPOOL_BLOCK_BYTES && !s->is_tail_cut)
        close_block(s, lap);
    s->open_lap = lap;
    s->newest_at = buf_size(&s->open);
    memcpy(s->null_before, s->null_from, sizeof s->null_before);
}

void spool_note(struct spool *s, uint64_t lap, uint8_t lane, struct batch *batch)
{
    if (s->is_tail_cut)
        return;
    CHECK(lane < RABIA_MEMBERS_MAX);
    CHECK(lap >= s->null_from[lane]);
    CHECK(lap >= s->open_lap);
    if (lap > s->open_lap)
        begin_lap(s, lap);
    if (s->is_tail_cut)
        return;
    add_decided(&s->open, s->null_from[lane], lap, lane, NULL);
    add_decided(&s->open, lap, lap + 1, lane, batch);
    s->null_from[lane] = lap + 1;
}

/* --- the tail: reading -------------------------------------------------------- */

static const struct block *find_block(const struct spool *s, uint64_t lap)
{
    size_t low = 0, high = s->block_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->blocks[middle].to <= lap)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->block_count && s->blocks[low].from <= lap ? &s->blocks[low] : NULL;
}

enum status spool_tail(struct spool *s, uint64_t lap, struct frame_messages *messages)
{
    /* The lap of the newest batch may not be whole yet. */
    if (lap >= s->open_from && lap < s->open_lap && !s->is_tail_cut)
        close_block(s, s->open_lap);
    const struct block *block = find_block(s, lap);
    if (!block)
        return STATUS_NOT_FOUND;
    char *bytes = mem_alloc((size_t)block->size);
    enum status status = file_read(s->tail_fd, bytes, (size_t)block->size, block->offset);
    if (status == STATUS_OK) {
        struct frame frame = {.kind = FRAME_MESSAGES, .payload = bytes, .end = bytes + block->size};
        status = frame_read_messages(&frame, messages);
    }
    mem_free(bytes);
    return status;
}

uint64_t spool_tail_end(const struct spool *s)
{
    return s->is_tail_cut ? s->open_from : s->open_lap;
}

bool spool_is_tail_cut(const struct spool *s)
{
    return s->is_tail_cut;
}
