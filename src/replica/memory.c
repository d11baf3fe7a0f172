/* replica.state, line by line:
 *
 *   self <id>
 *   incarnation <number>
 *   epoch <number>
 *   seed <number>
 *   rejoining <0 or 1>
 *   member <id>:<incarnation> ...        all members of the cluster, "-" for a lone server
 *   secret <32 hexadecimal digits>       of the keyspace's hash
 *
 * A journal record is a SEED_RECORD (consensus/message_code.h) or one rabia_record: its kind is the journal's, its bytes a
 * message of consensus/message_code.h with its contents; of a lap mark and of J,
 * which are no messages, the lap alone, a varint. */
#include "replica/memory.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "base/varint.h"
#include "consensus/message_code.h"
#include "net/loop.h"
#include "persist/file.h"
#include "persist/state_file.h"
#include "replica/saving.h"

#define STATE_NAME "replica.state"
#define SPOOL_NAME "transfer.tmp" /* for the moment between its making and the removal of its name */
#define SNAPSHOT_NAME "snapshot.kvs"
#define JOURNAL_NAME "journal"

enum {
    MARKS_MAX = 1024,  /* passes whose records are not flushed yet */
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

/* --- life ----------------------------------------------------------------- */

static char *path_in(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/%s", dir, name);
    return path;
}

static bool read_members(struct slice text, struct memory_identity *identity)
{
    char copy[1024];
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strcmp(copy, "-") == 0)
        return true;
    const char *at = copy;
    while (*at) {
        unsigned id;
        uint64_t incarnation;
        int used = 0;
        if (identity->member_count == RABIA_MEMBERS_MAX ||
            sscanf(at, "%u:%" SCNu64 "%n", &id, &incarnation, &used) != 2 || id > UINT16_MAX)
            return false;
        identity->ids[identity->member_count] = (uint16_t)id;
        identity->incarnations[identity->member_count++] = incarnation;
        at += used;
        while (*at == ' ')
            at++;
    }
    return true;
}

static bool read_secret(struct slice text, unsigned char secret[16])
{
    if (text.len != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        char digits[3] = {text.ptr[2 * i], text.ptr[2 * i + 1], '\0'}, *end;
        secret[i] = (unsigned char)strtoul(digits, &end, 16);
        if (*end)
            return false;
    }
    return true;
}

static bool read_identity(const struct state_file *file, struct memory_identity *identity)
{
    uint64_t self, rejoining;
    struct slice members = state_file_get(file, "member"), secret = state_file_get(file, "secret");
    *identity = (struct memory_identity){0};
    if (!members.ptr || !secret.ptr || !state_file_get_uint(file, "self", &self) || self > UINT16_MAX ||
        !state_file_get_uint(file, "incarnation", &identity->incarnation) ||
        !state_file_get_uint(file, "epoch", &identity->epoch) ||
        !state_file_get_uint(file, "seed", &identity->seed) ||
        !state_file_get_uint(file, "rejoining", &rejoining) || rejoining > 1)
        return false;
    identity->self_id = (uint16_t)self;
    identity->is_rejoining = rejoining == 1;
    return read_members(members, identity) && read_secret(secret, identity->hash_secret);
}

static enum status load_identity(struct memory *m, char error[static MEMORY_ERROR_MAX])
{
    struct state_file file;
    state_file_init(&file);
    enum status status = state_file_read(&file, m->state_path);
    m->is_new = status == STATUS_NOT_FOUND;
    if (m->is_new)
        status = STATUS_OK;
    else if (status == STATUS_OK && !read_identity(&file, &m->identity))
        status = STATUS_MALFORMED;
    state_file_deinit(&file);
    if (status != STATUS_OK)
        snprintf(error, MEMORY_ERROR_MAX, "%s: %s", m->state_path,
                 status == STATUS_IO ? strerror(errno)
                                     : "damaged; without it this replica does not know what it is. Restore the file, "
                                       "or move the whole directory away to start it anew");
    if (status == STATUS_OK && !m->is_new && m->identity.self_id != m->self_id) {
        snprintf(error, MEMORY_ERROR_MAX, "%s belongs to member %u, this is member %u: another dir is needed",
                 m->state_path, m->identity.self_id, m->self_id);
        return STATUS_MISMATCH;
    }
    return status;
}

enum status memory_open(struct memory **memory, const struct memory_options *options,
                        char error[static MEMORY_ERROR_MAX])
{
    struct memory *m = mem_calloc(1, sizeof *m);
    m->loop = options->loop;
    m->keyspace = options->keyspace;
    m->dir = mem_strdup(options->dir);
    m->cluster_name = mem_strdup(options->cluster_name);
    m->cluster = *options->cluster_name ? XXH3_64bits(options->cluster_name, strlen(options->cluster_name)) : 0;
    m->state_path = path_in(options->dir, STATE_NAME);
    m->snapshot_path = path_in(options->dir, SNAPSHOT_NAME);
    m->journal_path = path_in(options->dir, JOURNAL_NAME);
    m->self_id = options->self_id;
    m->is_journaled = options->is_journaled;
    m->is_compressed = options->is_compressed;
    m->mode = options->mode;
    m->segment_bytes = options->segment_bytes;
    m->last_save_duration_s = -1;
    m->is_last_save_ok = true;
    m->child = -1;
    m->last_save_ms = loop_wall_ms(m->loop);
    saving_init(&m->saving);
    enum status status = load_identity(m, error);
    if (status != STATUS_OK) {
        memory_free(m);
        return status;
    }
    *memory = m;
    return STATUS_OK;
}

void memory_free(struct memory *m)
{
    if (m->journal)
        journal_free(m->journal);
    if (m->reader)
        snapshot_reader_free(m->reader);
    saving_deinit(&m->saving);
    mem_free(m->dir);
    mem_free(m->cluster_name);
    mem_free(m->state_path);
    mem_free(m->snapshot_path);
    mem_free(m->journal_path);
    mem_free(m);
}

bool memory_has_other_snapshot(const struct memory *m, const char *path)
{
    struct stat own, other;
    if (stat(m->snapshot_path, &own) != 0)
        return false;
    return stat(path, &other) != 0 || own.st_dev != other.st_dev || own.st_ino != other.st_ino;
}

bool memory_is_new(const struct memory *m)
{
    return m->is_new;
}

const struct memory_identity *memory_identity(const struct memory *m)
{
    return &m->identity;
}

const char *memory_snapshot_path(const struct memory *m)
{
    return m->snapshot_path;
}

bool memory_is_journaled(const struct memory *m)
{
    return m->is_journaled;
}

bool memory_flushes_first(const struct memory *m)
{
    return m->is_journaled && m->mode == JOURNAL_ALWAYS;
}

int memory_error(const struct memory *m)
{
    return m->error;
}

/* --- identity ------------------------------------------------------------- */

static void write_members(struct state_file *file, const struct memory_identity *identity)
{
    char text[512] = "-";
    size_t used = 0;
    for (int i = 0; i < identity->member_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u:%" PRIu64, i ? " " : "", identity->ids[i],
                                 identity->incarnations[i]);
    state_file_set(file, "member", "%s", text);
}

static enum status write_identity(const struct memory *m, const struct memory_identity *identity)
{
    struct state_file file;
    state_file_init(&file);
    state_file_set(&file, "self", "%u", identity->self_id);
    state_file_set(&file, "incarnation", "%" PRIu64, identity->incarnation);
    state_file_set(&file, "epoch", "%" PRIu64, identity->epoch);
    state_file_set(&file, "seed", "%" PRIu64, identity->seed);
    state_file_set(&file, "rejoining", "%d", identity->is_rejoining);
    write_members(&file, identity);
    char secret[33];
    for (int i = 0; i < 16; i++)
        snprintf(secret + 2 * i, 3, "%02x", identity->hash_secret[i]);
    state_file_set(&file, "secret", "%s", secret);
    enum status status = state_file_write(&file, m->state_path);
    state_file_deinit(&file);
    return status;
}

/* After a failed flush the system calls clean what the disk never got.  Where
 * flushes do not come first, a restart must not take what it finds for all that
 * was said: as far as the disk still takes it, that is noted. */
static void note_failure(struct memory *m)
{
    struct memory_identity identity = m->identity;
    identity.is_rejoining = true;
    if (m->is_journaled && m->mode != JOURNAL_ALWAYS && identity.seed && write_identity(m, &identity) != STATUS_OK)
        log_warning("replica", "nor could the failure be noted in %s", m->state_path);
}

static enum status fail(struct memory *m, enum status status)
{
    if (status == STATUS_OK || m->error != 0)
        return status;
    m->error = errno ? errno : EIO;
    log_warning("replica",
                "the disk failed: %s. What was said can no longer be remembered: this replica falls silent and "
                "answers clients with an error; restart it once the cause is gone",
                strerror(m->error));
    note_failure(m);
    return status;
}

enum status memory_set_identity(struct memory *m, const struct memory_identity *identity)
{
    CHECK(identity->self_id == m->self_id);
    enum status status = fail(m, write_identity(m, identity));
    if (status == STATUS_OK)
        m->identity = *identity;
    return status;
}

enum status memory_mark_rejoining(struct memory *m)
{
    struct memory_identity identity = m->identity;
    identity.self_id = m->self_id;
    identity.is_rejoining = true;
    return m->is_journaled ? memory_set_identity(m, &identity) : STATUS_OK;
}

/* --- loading -------------------------------------------------------------- */

/* Told how far it has come, snapshot_feed goes on with the next piece. */
static enum status feed_file(struct memory *m, int fd, uint64_t size, memory_progress_fn *progress, void *context)
{
    enum { PIECE = 256 * 1024 };
    char *piece = mem_alloc(PIECE);
    enum status status = STATUS_AGAIN;
    uint64_t done = 0;
    while (status == STATUS_AGAIN && done < size) {
        size_t wanted = size - done < PIECE ? (size_t)(size - done) : PIECE;
        status = file_read(fd, piece, wanted, done);
        if (status == STATUS_OK)
            status = snapshot_feed(m->reader, piece, wanted);
        done += wanted;
        if (status == STATUS_AGAIN && progress && !progress(context, done, size))
            status = STATUS_CLOSED;
    }
    mem_free(piece);
    return status == STATUS_AGAIN ? STATUS_MALFORMED : status;
}

/* With the secret of the snapshot keys come in the order of the table. */
static enum status on_head(void *context, const struct snapshot_head *head)
{
    static const unsigned char none[sizeof head->hash_secret];
    struct memory *m = context;
    if (memcmp(head->hash_secret, none, sizeof none) != 0)
        keyspace_set_hash_secret(m->keyspace, head->hash_secret);
    return STATUS_OK;
}

enum status memory_load_snapshot(struct memory *m, const char *path, struct snapshot_head *head,
                                 memory_progress_fn *progress, void *context, char error[static MEMORY_ERROR_MAX])
{
    int fd;
    if (file_open(&fd, path, O_RDONLY) != STATUS_OK) {
        snprintf(error, MEMORY_ERROR_MAX, "%s: %s", path, strerror(errno));
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    }
    if (m->reader)
        snapshot_reader_free(m->reader);
    m->reader = snapshot_reader_create(m->keyspace);
    snapshot_reader_on_head(m->reader, on_head, m);
    uint64_t size;
    enum status status = file_size(fd, &size);
    if (status == STATUS_OK)
        status = feed_file(m, fd, size, progress, context);
    file_close(fd);
    if (status == STATUS_OK)
        *head = *snapshot_reader_head(m->reader);
    else
        snprintf(error, MEMORY_ERROR_MAX, "%s: %s", path,
                 status == STATUS_IO ? strerror(errno)
                 : *snapshot_reader_error(m->reader) ? snapshot_reader_error(m->reader)
                                                     : "it ends too early");
    return status;
}

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

static bool is_lap_alone(int kind)
{
    return kind == RABIA_RECORD_LAP_MARK || kind == RABIA_RECORD_REJOIN;
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

enum status memory_flush(struct memory *m)
{
    if (!m->journal)
        return STATUS_NOT_FOUND;
    enum status status = memory_write(m);
    return status == STATUS_OK ? journal_flush_now(m->journal) : status;
}

/* --- a pass --------------------------------------------------------------- */

static void record_seed(struct memory *m)
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
    record_seed(m);
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
    enum status status = fail(m, journal_write(m->journal));
    if (status != STATUS_OK)
        return status;
    if (m->mark_count == 0 || mark_at(m, m->mark_count - 1)->core_seq != m->recorded_core_seq)
        add_mark(m);
    if (m->wants_flush)
        journal_flush(m->journal);
    m->wants_flush = false;
    return STATUS_OK;
}

enum status memory_flushed(struct memory *m, bool *has_risen, uint64_t *seq)
{
    *has_risen = false;
    if (!m->journal || m->error)
        return m->error ? STATUS_IO : STATUS_OK;
    uint64_t flushed;
    enum status status = fail(m, journal_flushed_seq(m->journal, &flushed));
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

/* --- snapshots ------------------------------------------------------------ */

static struct snapshot_head head_of(const struct memory *m, const struct memory_save *save)
{
    struct snapshot_head head = {
        .cluster = m->cluster,
        .position = save->position,
        .created_ms = loop_wall_ms(m->loop),
        .state = save->state,
    };
    memcpy(head.hash_secret, save->hash_secret, sizeof head.hash_secret);
    return head;
}

/* Everything the parent has open would stay open as long as the child lives:
 * connections could not end. */
static void become_writer(int keep_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    unsigned keep = keep_fd < 0 ? UINT_MAX : (unsigned)keep_fd;
    if (keep > 3)
        close_range(3, keep - 1, 0);
    if (keep < UINT_MAX)
        close_range(keep + 1, UINT_MAX, 0);
}

static enum status write_snapshot(struct memory *m, const struct snapshot_head *head)
{
    char error[SNAPSHOT_ERROR_MAX];
    enum status status = snapshot_write_file(m->keyspace, head, m->is_compressed, m->dir, SNAPSHOT_NAME, saving_note,
                                             &m->saving, error);
    if (status != STATUS_OK)
        saving_fail(&m->saving, error);
    saving_note_end(&m->saving);
    return status;
}

static int write_in_child(struct memory *m, const struct memory_save *save)
{
    struct snapshot_head head = head_of(m, save);
    become_writer(-1);
    return write_snapshot(m, &head) == STATUS_OK ? 0 : 1;
}

static void note_begin(struct memory *m, bool is_here)
{
    uint64_t keys = 0;
    for (int db = 0; db < keyspace_database_count(m->keyspace); db++)
        keys += keyspace_size(m->keyspace, db);
    saving_begin(&m->saving, keys, is_here, loop_clock_us());
    m->saving_since_ms = loop_wall_ms(m->loop);
    m->changes_at_fork = keyspace_changes(m->keyspace);
}

static pid_t timed_fork(struct memory *m)
{
    int64_t before_us = loop_clock_us();
    pid_t child = fork();
    if (child > 0)
        m->last_fork_us = (uint64_t)(loop_clock_us() - before_us);
    m->forks += child > 0;
    return child;
}

/* Without room for another segment the full ones before this one can still go. */
void memory_begin_segment(struct memory *m)
{
    if (!m->journal || m->error)
        return;
    m->cut_seq = journal_is_low(m->journal) ? journal_written_seq(m->journal) + 1 : journal_cut(m->journal);
    record_seed(m);
}

static void save_ended(struct memory *m, bool is_ok)
{
    int64_t now_ms = loop_wall_ms(m->loop);
    m->last_cow_bytes = saving_cow_bytes(&m->saving);
    m->is_last_save_ok = is_ok;
    m->last_save_duration_s = (now_ms - m->saving_since_ms) / 1000;
    if (!is_ok) {
        const char *error = saving_error(&m->saving);
        log_warning("replica", "saving the snapshot failed%s%s; the former one, if there is one, is untouched",
                    *error ? ": " : "", error);
        return;
    }
    m->saves++;
    m->last_save_ms = now_ms;
    m->changes_at_last_save = m->changes_at_fork;
    log_notice("replica", "the snapshot is saved after %" PRId64 " ms: %" PRIu64 " keys", now_ms - m->saving_since_ms,
               m->saving.keys_total);
    if (m->journal)
        (void)fail(m, journal_forget(m->journal, m->cut_seq));
}

enum status memory_save_begin(struct memory *m, const struct memory_save *save)
{
    if (m->child > 0)
        return STATUS_AGAIN;
    note_begin(m, false);
    pid_t child = timed_fork(m);
    if (child < 0) {
        char error[SNAPSHOT_ERROR_MAX];
        snprintf(error, sizeof error, "cannot fork: %s", strerror(errno));
        saving_fail(&m->saving, error);
        save_ended(m, false);
        return STATUS_IO;
    }
    if (child == 0)
        _exit(write_in_child(m, save));
    m->child = child;
    log_notice("replica", "saving a snapshot in process %d (fork took %" PRIu64 " us)", (int)child, m->last_fork_us);
    return STATUS_OK;
}

enum status memory_save_now(struct memory *m, const struct memory_save *save)
{
    if (m->child > 0)
        return STATUS_AGAIN;
    struct snapshot_head head = head_of(m, save);
    note_begin(m, true);
    enum status status = write_snapshot(m, &head);
    save_ended(m, status == STATUS_OK);
    return status;
}

bool memory_is_saving(const struct memory *m)
{
    return m->child > 0;
}

void memory_save_stop(struct memory *m)
{
    if (m->child <= 0)
        return;
    kill(m->child, SIGKILL);
    waitpid(m->child, NULL, 0);
    m->child = -1;
    log_notice("replica", "the snapshot under way is given up: the data it holds is out of force");
}

void memory_give_up(struct memory *m)
{
    (void)fail(m, STATUS_IO);
}

enum { SPOOL_NICE = 5 };

struct file_sink {
    int fd;
    uint64_t offset;
};

static enum status sink_into_file(void *context, const void *bytes, size_t size)
{
    struct file_sink *sink = context;
    enum status status = file_write(sink->fd, bytes, size, sink->offset);
    sink->offset += size;
    return status;
}

static int spool_in_child(struct memory *m, const struct memory_save *save, int fd)
{
    struct snapshot_head head = head_of(m, save);
    struct file_sink sink = {.fd = fd};
    become_writer(fd);
    /* Those who serve clients come first. */
    (void)setpriority(PRIO_PROCESS, 0, SPOOL_NICE);
    struct snapshot_write_options options = {.is_compressed = true, .sink = sink_into_file, .context = &sink};
    return snapshot_write(m->keyspace, &head, &options) == STATUS_OK ? 0 : 1;
}

static enum status open_nameless(struct memory *m, int *fd)
{
    char *path = path_in(m->dir, SPOOL_NAME);
    enum status status = file_open(fd, path, O_CREAT | O_TRUNC | O_RDWR);
    if (status == STATUS_OK)
        status = file_remove(path);
    mem_free(path);
    return status;
}

enum status memory_spool_begin(struct memory *m, const struct memory_save *save, struct memory_spool *spool)
{
    int snapshot_fd, tail_fd;
    if (open_nameless(m, &snapshot_fd) != STATUS_OK)
        return STATUS_IO;
    if (open_nameless(m, &tail_fd) != STATUS_OK) {
        file_close(snapshot_fd);
        return STATUS_IO;
    }
    pid_t child = timed_fork(m);
    if (child == 0)
        _exit(spool_in_child(m, save, snapshot_fd));
    if (child < 0) {
        file_close(snapshot_fd);
        file_close(tail_fd);
        return STATUS_IO;
    }
    *spool = (struct memory_spool){.snapshot_fd = snapshot_fd, .tail_fd = tail_fd, .child = (int)child};
    return STATUS_OK;
}

/* --- the passing of time -------------------------------------------------- */

static void reap_child(struct memory *m)
{
    int result;
    if (m->child <= 0)
        return;
    if (waitpid(m->child, &result, WNOHANG) != m->child) {
        saving_log(&m->saving, loop_clock_us());
        return;
    }
    m->child = -1;
    if (WIFSIGNALED(result))
        log_warning("replica", "the process that saved the snapshot was ended by signal %d (%s)", WTERMSIG(result),
                    strsignal(WTERMSIG(result)));
    save_ended(m, WIFEXITED(result) && WEXITSTATUS(result) == 0);
}

void memory_cron(struct memory *m, uint64_t now_us)
{
    reap_child(m);
    if (m->journal && !m->error)
        journal_cron(m->journal, now_us);
}

enum status memory_close(struct memory *m)
{
    memory_save_stop(m);
    if (!m->journal || m->error)
        return m->error ? STATUS_IO : STATUS_OK;
    /* A life that said nothing has not settled what the one before may have lost: its end
     * must not look as if nothing were missing. */
    bool is_unsettled = m->may_lack_tail && m->recorded_core_seq == 0;
    enum status status = is_unsettled ? STATUS_OK : journal_close(m->journal);
    if (is_unsettled)
        journal_free(m->journal);
    m->journal = NULL;
    return status;
}

void memory_get_figures(struct memory *m, struct memory_figures *figures)
{
    *figures = (struct memory_figures){
        .is_journaled = m->is_journaled,
        .is_saving = m->child > 0,
        .is_last_save_ok = m->is_last_save_ok,
        .mode = m->mode,
        .last_save_wall_s = m->last_save_ms / 1000,
        .saving_since_wall_s = m->saving_since_ms / 1000,
        .last_save_duration_s = m->last_save_duration_s,
        .saves = m->saves,
        .changes_at_last_save = m->changes_at_last_save,
        .last_fork_us = m->last_fork_us,
        .forks = m->forks,
        .save_keys_done = saving_keys_done(&m->saving),
        .save_keys_total = m->saving.keys_total,
        .cow_bytes = saving_cow_bytes(&m->saving),
        .cow_peak_bytes = saving_cow_peak_bytes(&m->saving),
        .last_cow_bytes = m->last_cow_bytes,
    };
    if (m->journal)
        journal_get_figures(m->journal, &figures->journal);
}
