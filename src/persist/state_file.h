/* A small file that is replaced whole: lines of "name value", for what must be
 * known before a journal can be read.  People may read it.
 *
 *   kvstore-state 1
 *   name value
 *   ...
 *   checksum <16 hexadecimal digits: XXH3-64 of all bytes before this line>
 *
 * Replacing is atomic and durable: a temporary file beside it is flushed and
 * renamed over it, then the directory is flushed.
 *
 * Limits: STATE_FILE_BYTES_MAX, STATE_FILE_LINES_MAX. */
#ifndef PERSIST_STATE_FILE_H
#define PERSIST_STATE_FILE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

enum { STATE_FILE_BYTES_MAX = 64 * 1024, STATE_FILE_LINES_MAX = 256 };

struct state_file {
    struct buf text; /* the lines between the first and the checksum */
};

void state_file_init(struct state_file *file);
void state_file_deinit(struct state_file *file);

/* value must hold no line break. */
void state_file_set(struct state_file *file, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* NULL bytes if there is no such line; borrowed until the file changes. */
struct slice state_file_get(const struct state_file *file, const char *name);
/* False if absent or not a number. */
bool state_file_get_uint(const struct state_file *file, const char *name, uint64_t *value);

/* STATUS_NOT_FOUND: no such file; STATUS_MALFORMED: damaged; STATUS_IO. */
enum status state_file_read(struct state_file *file, const char *path) MUST_CHECK;
/* Returns when it is on disk. */
enum status state_file_write(const struct state_file *file, const char *path) MUST_CHECK;

#endif
