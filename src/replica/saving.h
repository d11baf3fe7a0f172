/* How far a snapshot being saved has come, told across processes.
 *
 * The data is written by a child process (memory.h); this is the page of memory it
 * shares with the one that serves: keys written, memory the two no longer share, and
 * at the end what went wrong.  A save in the foreground notes the same.
 *
 * The writer calls saving_note and saving_fail, the server the rest.  Numbers are read
 * while they are written: each is right by itself, a moment old. */
#ifndef REPLICA_SAVING_H
#define REPLICA_SAVING_H

#include <stdbool.h>
#include <stdint.h>

#include "persist/snapshot.h"

enum { SAVING_LOG_US = 5 * 1000 * 1000 /* a long save says this often how far it is */ };

struct saving_page;
struct saving {
    struct saving_page *page;
    uint64_t keys_total;
    int64_t began_us, logged_us, measured_us; /* as each process sees it */
    bool is_here;                             /* in the foreground: there is no cron to log it */
};

void saving_init(struct saving *s);
void saving_deinit(struct saving *s);
/* Before the fork. */
void saving_begin(struct saving *s, uint64_t keys_total, bool is_here, int64_t now_us);

/* A snapshot_write_options.progress; context is a struct saving. */
void saving_note(void *context, uint64_t keys_done);
void saving_fail(struct saving *s, const char *error);
/* The child's last word about its memory. */
void saving_note_end(struct saving *s);

/* Of the save under way, or the last one. */
uint64_t saving_keys_done(const struct saving *s);
uint64_t saving_cow_bytes(const struct saving *s);
uint64_t saving_cow_peak_bytes(const struct saving *s);
/* "" if the writer said nothing. */
const char *saving_error(const struct saving *s);
/* A line now and then while it takes long. */
void saving_log(struct saving *s, int64_t now_us);

#endif
