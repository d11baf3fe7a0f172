#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/loop.h"
#include "persist/file.h"
#include "replica/memory_private.h"

#define SPOOL_NAME "transfer.tmp" /* for the moment between its making and the removal of its name */

/* --- loading -------------------------------------------------------------- */

bool memory_has_other_snapshot(const struct memory *m, const char *path)
{
    struct stat own, other;
    if (stat(m->snapshot_path, &own) != 0)
        return false;
    return stat(path, &other) != 0 || own.st_dev != other.st_dev || own.st_ino != other.st_ino;
}

const char *memory_snapshot_path(const struct memory *m)
{
    return m->snapshot_path;
}

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

/* --- saving --------------------------------------------------------------- */

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
        (void)memory_fail(m, journal_forget(m->journal, m->cut_seq));
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

void memory_reap_save(struct memory *m)
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

/* --- for peers ------------------------------------------------------------ */

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
    char *path = memory_path_in(m->dir, SPOOL_NAME);
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
