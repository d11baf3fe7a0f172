/* A journal record is a SEED_RECORD (consensus/message_code.h) or one rabia_record: its kind is the journal's, its bytes a
 * message of consensus/message_code.h with its contents; of a lap mark and of J,
 * which are no messages, the lap alone, a varint. */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/log.h"
#include "base/varint.h"
#include "consensus/message_code.h"
#include "net/loop.h"
#include "replica/memory_private.h"

static bool is_lap_alone(int kind)
{
    return kind == RABIA_RECORD_LAP_MARK || kind == RABIA_RECORD_REJOIN;
}

/* --- replaying ------------------------------------------------------------ */

struct replay {
    struct memory *memory;
    memory_replay_fn *fn;
    void *context;
    uint64_t core_seq, wanted_seed, seed; /* seed: of the records being read */
};

static enum status read_seed(struct replay *replay, struct slice bytes)
{
    if (bytes.len != sizeof replay->seed)
        return STATUS_MALFORMED;
    memcpy(&replay->seed, bytes.ptr, sizeof replay->seed);
    replay->seed = le64toh(replay->seed);
    return STATUS_OK;
}

static enum status replay_record(void *context, const struct journal_record *record)
{
    struct replay *replay = context;
    replay->memory->replay_done = record->bytes_done;
    replay->memory->replay_total = record->bytes_total;
    if (record->kind == SEED_RECORD)
        return read_seed(replay, record->bytes);
    if (replay->seed != replay->wanted_seed)
        return STATUS_OK;
    struct rabia_record decoded = {.seq = ++replay->core_seq, .kind = record->kind, .needs_flush = false};
    const char *at = record->bytes.ptr, *end = at + record->bytes.len;
    at = is_lap_alone(record->kind) ? varint_read(at, end, &decoded.message.lap)
                                    : message_read_head(at, end, &decoded.message, record->bytes.len);
    if (!at)
        return STATUS_MALFORMED;
    struct batch *batch = decoded.message.batch;
    enum status status = STATUS_OK;
    if ((size_t)(end - at) != (batch ? batch->size : 0))
        status = STATUS_MALFORMED;
    else if (batch && batch->size)
        memcpy(batch->bytes, at, batch->size);
    if (status == STATUS_OK)
        replay->fn(replay->context, &decoded);
    batch_release(batch);
    return status;
}

/* The same boot of the machine: what was written was not lost, flushed or not. */
static void read_boot(unsigned char boot[16])
{
    char text[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (file && !fgets(text, sizeof text, file))
        text[0] = '\0';
    if (file)
        fclose(file);
    XXH128_hash_t hash = XXH3_128bits(text, strlen(text));
    memcpy(boot, &hash, 16);
}

static void judge(struct memory *m, bool is_seed_right)
{
    const struct journal_found *found = &m->found;
    bool is_trusted = found->is_closed || found->is_same_boot || found->mode == JOURNAL_ALWAYS;
    m->was_whole = !m->is_new && m->is_journaled && !found->is_new && is_trusted && found->cut_seq == 0 &&
                   !m->identity.is_rejoining && is_seed_right;
    /* In the same boot as well: a disk that reported an error may have dropped what it had taken. */
    m->may_lack_tail = m->was_whole && !found->is_closed;
}

enum status memory_replay(struct memory *m, uint64_t seed, memory_replay_fn *fn, void *context,
                          char error[static MEMORY_ERROR_MAX])
{
    if (!m->is_journaled)
        return STATUS_OK;
    struct journal_options options = {
        .dir = m->journal_path,
        .identity = {.cluster = m->cluster, .member = m->self_id},
        .mode = m->mode,
        .segment_bytes = m->segment_bytes,
        .on_flushed = (void (*)(void *))loop_wake,
        .context = m->loop,
    };
    read_boot(options.identity.boot);
    struct replay replay = {.memory = m, .fn = fn, .context = context, .wanted_seed = seed};
    enum status status = journal_open(&m->journal, &options, replay_record, &replay, &m->found, error);
    if (status != STATUS_OK)
        return status;
    if (m->found.torn_bytes)
        log_warning("replica", "the journal had a torn tail: %" PRIu64 " bytes were cut", m->found.torn_bytes);
    m->seed = replay.seed;
    judge(m, replay.seed == seed && seed == m->identity.seed);
    return STATUS_OK;
}

void memory_replay_progress(const struct memory *m, uint64_t *done, uint64_t *total)
{
    *done = m->replay_done;
    *total = m->replay_total;
}

bool memory_is_whole(const struct memory *m)
{
    return m->was_whole;
}

bool memory_may_lack_tail(const struct memory *m)
{
    return m->may_lack_tail;
}

void memory_set_mode(struct memory *m, enum journal_mode mode)
{
    m->mode = mode;
    if (m->journal)
        journal_set_mode(m->journal, mode);
}

/* --- a pass --------------------------------------------------------------- */

void memory_record_seed(struct memory *m)
{
    uint64_t seed = htole64(m->seed);
    struct slice part = slice_make((const char *)&seed, sizeof seed);
    if (m->journal)
        journal_append(m->journal, SEED_RECORD, &part, 1);
}

void memory_new_core(struct memory *m, uint64_t seed)
{
    m->mark_head = m->mark_count = 0;
    m->recorded_core_seq = m->flushed_core_seq = 0;
    m->seed = seed;
    memory_record_seed(m);
}

void memory_record(struct memory *m, const struct rabia_record *record)
{
    if (!m->journal)
        return;
    char head[MESSAGE_HEAD_MAX];
    const struct rabia_message *message = &record->message;
    char *end = is_lap_alone((int)record->kind) ? varint_write(head, message->lap) : message_write_head(head, message);
    struct slice parts[2] = {slice_make(head, (size_t)(end - head)), {NULL, 0}};
    if (message->batch)
        parts[1] = slice_make(message->batch->bytes, message->batch->size);
    journal_append(m->journal, (uint8_t)record->kind, parts, message->batch ? 2 : 1);
    m->recorded_core_seq = record->seq;
    m->wants_flush |= record->needs_flush;
}

static struct mark *mark_at(struct memory *m, size_t index)
{
    return &m->marks[(m->mark_head + index) % MARKS_MAX];
}

static void add_mark(struct memory *m)
{
    if (m->mark_count == MARKS_MAX)
        m->mark_count--; /* the newest two become one: it is reached a little later */
    m->mark_count++;
    *mark_at(m, m->mark_count - 1) = (struct mark){journal_written_seq(m->journal), m->recorded_core_seq};
}

enum status memory_write(struct memory *m)
{
    if (!m->journal || m->error)
        return m->error ? STATUS_IO : STATUS_OK;
    enum status status = memory_fail(m, journal_write(m->journal));
    if (status != STATUS_OK)
        return status;
    if (m->mark_count == 0 || mark_at(m, m->mark_count - 1)->core_seq != m->recorded_core_seq)
        add_mark(m);
    if (m->wants_flush)
        journal_flush(m->journal);
    m->wants_flush = false;
    return STATUS_OK;
}

enum status memory_flush(struct memory *m)
{
    if (!m->journal)
        return STATUS_NOT_FOUND;
    enum status status = memory_write(m);
    return status == STATUS_OK ? memory_fail(m, journal_flush_now(m->journal)) : status;
}

enum status memory_flushed(struct memory *m, bool *has_risen, uint64_t *seq)
{
    *has_risen = false;
    if (!m->journal || m->error)
        return m->error ? STATUS_IO : STATUS_OK;
    uint64_t flushed;
    enum status status = memory_fail(m, journal_flushed_seq(m->journal, &flushed));
    while (status == STATUS_OK && m->mark_count > 0 && mark_at(m, 0)->journal_seq <= flushed) {
        *has_risen = *has_risen || mark_at(m, 0)->core_seq > m->flushed_core_seq;
        m->flushed_core_seq = mark_at(m, 0)->core_seq;
        m->mark_head = (m->mark_head + 1) % MARKS_MAX;
        m->mark_count--;
    }
    *seq = m->flushed_core_seq;
    return status;
}

bool memory_is_low(struct memory *m)
{
    return m->journal && journal_is_low(m->journal);
}

/* Without room for another segment the full ones before this one can still go. */
void memory_begin_segment(struct memory *m)
{
    if (!m->journal || m->error)
        return;
    m->cut_seq = journal_is_low(m->journal) ? journal_written_seq(m->journal) + 1 : journal_cut(m->journal);
    memory_record_seed(m);
}
