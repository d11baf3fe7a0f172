#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/loop.h"
#include "replica/memory_private.h"

/* --- life ----------------------------------------------------------------- */

char *memory_path_in(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = mem_alloc(size);
    snprintf(path, size, "%s/%s", dir, name);
    return path;
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
    m->state_path = memory_path_in(options->dir, STATE_NAME);
    m->snapshot_path = memory_path_in(options->dir, SNAPSHOT_NAME);
    m->journal_path = memory_path_in(options->dir, JOURNAL_NAME);
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
    enum status status = memory_load_identity(m, error);
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

bool memory_is_new(const struct memory *m)
{
    return m->is_new;
}

const struct memory_identity *memory_identity(const struct memory *m)
{
    return &m->identity;
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

/* --- failing -------------------------------------------------------------- */

/* After a failed flush the system calls clean what the disk never got.  Where
 * flushes do not come first, a restart must not take what it finds for all that
 * was said: as far as the disk still takes it, that is noted. */
static void note_failure(struct memory *m)
{
    struct memory_identity identity = m->identity;
    identity.is_rejoining = true;
    if (m->is_journaled && m->mode != JOURNAL_ALWAYS && identity.seed && memory_write_identity(m, &identity) != STATUS_OK)
        log_warning("replica", "nor could the failure be noted in %s", m->state_path);
}

enum status memory_fail(struct memory *m, enum status status)
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

void memory_give_up(struct memory *m)
{
    (void)memory_fail(m, STATUS_IO);
}

/* --- the passing of time -------------------------------------------------- */

void memory_cron(struct memory *m, uint64_t now_us)
{
    memory_reap_save(m);
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
