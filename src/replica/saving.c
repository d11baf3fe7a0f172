#include "replica/saving.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/log.h"
#include "net/loop.h"

enum { MEASURE_US = 1000 * 1000 /* reading what is not shared costs milliseconds with much memory */ };

struct saving_page {
    _Atomic uint64_t keys_done, cow_bytes, cow_peak_bytes;
    char error[SNAPSHOT_ERROR_MAX]; /* written before the child ends, read after it has ended */
};

void saving_init(struct saving *s)
{
    void *page = mmap(NULL, sizeof *s->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED); /* a page: out of memory */
    *s = (struct saving){.page = page};
}

void saving_deinit(struct saving *s)
{
    munmap(s->page, sizeof *s->page);
}

void saving_begin(struct saving *s, uint64_t keys_total, bool is_here, int64_t now_us)
{
    s->keys_total = keys_total;
    s->is_here = is_here;
    s->began_us = s->logged_us = s->measured_us = now_us;
    atomic_store(&s->page->keys_done, 0);
    atomic_store(&s->page->cow_bytes, 0);
    atomic_store(&s->page->cow_peak_bytes, 0);
    s->page->error[0] = '\0';
}

/* --- the writer ------------------------------------------------------------- */

/* Memory of this process that is no longer its parent's. */
static uint64_t private_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    if (!file)
        return 0;
    static const char name[] = "Private_Dirty:";
    char line[256];
    uint64_t kilobytes = 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, sizeof name - 1) == 0)
            kilobytes = strtoull(line + sizeof name - 1, NULL, 10);
    fclose(file);
    return kilobytes * 1024;
}

static void measure(struct saving *s)
{
    uint64_t bytes = private_bytes();
    atomic_store(&s->page->cow_bytes, bytes);
    if (bytes > atomic_load(&s->page->cow_peak_bytes))
        atomic_store(&s->page->cow_peak_bytes, bytes);
}

void saving_note(void *context, uint64_t keys_done)
{
    struct saving *s = context;
    atomic_store(&s->page->keys_done, keys_done);
    int64_t now_us = loop_clock_us();
    if (s->is_here) {
        saving_log(s, now_us);
    } else if (now_us >= s->measured_us + MEASURE_US) {
        s->measured_us = now_us;
        measure(s);
    }
}

void saving_fail(struct saving *s, const char *error)
{
    snprintf(s->page->error, sizeof s->page->error, "%s", error);
}

void saving_note_end(struct saving *s)
{
    if (!s->is_here)
        measure(s);
}

/* --- the server ------------------------------------------------------------- */

uint64_t saving_keys_done(const struct saving *s)
{
    return atomic_load(&s->page->keys_done);
}

uint64_t saving_cow_bytes(const struct saving *s)
{
    return atomic_load(&s->page->cow_bytes);
}

uint64_t saving_cow_peak_bytes(const struct saving *s)
{
    return atomic_load(&s->page->cow_peak_bytes);
}

const char *saving_error(const struct saving *s)
{
    return s->page->error;
}

void saving_log(struct saving *s, int64_t now_us)
{
    if (now_us < s->logged_us + SAVING_LOG_US)
        return;
    s->logged_us = now_us;
    uint64_t done = saving_keys_done(s);
    double percent = s->keys_total ? 100 * (double)done / (double)s->keys_total : 100;
    log_notice("replica", "saving a snapshot: %" PRIu64 " of %" PRIu64 " keys (%.0f%%) after %" PRId64 " s", done,
               s->keys_total, percent, (now_us - s->began_us) / 1000000);
}
