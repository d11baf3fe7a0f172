/* Snapshots: all data as of one place in the order, as one stream.
 *
 * The stream is an LZ4 frame with content checksum (the lz4 tool verifies and
 * unpacks it), or plain, around a documented format (snapshot.c).  It carries
 * what the data alone does not say: the place in the order, logical time, the
 * consensus state that goes with that place (opaque bytes of the caller), and a
 * digest of the data that is verified when it is loaded.
 *
 * Writing goes to any sink, so the same code fills a file (in a child process,
 * while the parent serves) and a link to a peer.  Reading is incremental: feed
 * it what has come, and it puts keys into the keyspace as it goes.
 *
 * Limits: keys and values as the keyspace's; caller's state
 * SNAPSHOT_STATE_MAX. */
#ifndef PERSIST_SNAPSHOT_H
#define PERSIST_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "store/keyspace.h"

enum {
    SNAPSHOT_FORMAT_VERSION = 1,
    SNAPSHOT_STATE_MAX = 1 << 20,
    SNAPSHOT_ERROR_MAX = 256,
};

struct snapshot_head {
    uint64_t cluster;       /* as journal_identity */
    uint64_t position;      /* of the newest batch applied */
    int64_t logical_time_ms;
    int64_t created_ms;     /* wall clock, for people */
    unsigned char hash_secret[16];
    uint64_t key_count;
    struct slice state; /* the caller's; when read, borrowed until the reader is freed */
};

/* --- writing -------------------------------------------------------------- */

/* Returns a status other than OK to stop the writing, which passes it up. */
typedef enum status snapshot_sink_fn(void *context, const void *bytes, size_t size);
struct snapshot_write_options {
    bool is_compressed;
    snapshot_sink_fn *sink;
    void *context;
    /* Called now and then with the keys done so far; may be NULL. */
    void (*progress)(void *context, uint64_t keys_done);
};
/* Cost: O(bytes held); the digest is computed on the way. */
enum status snapshot_write(struct keyspace *ks, const struct snapshot_head *head,
                           const struct snapshot_write_options *options) MUST_CHECK;

/* Into dir/name through a temporary file, flushed, renamed, the directory
 * flushed.  error is one line for the log. */
enum status snapshot_write_file(struct keyspace *ks, const struct snapshot_head *head, bool is_compressed,
                                const char *dir, const char *name,
                                void (*progress)(void *context, uint64_t keys_done), void *context,
                                char error[static SNAPSHOT_ERROR_MAX]) MUST_CHECK;

/* --- reading -------------------------------------------------------------- */

struct snapshot_reader;
/* Keys go into ks, which must be empty. */
struct snapshot_reader *snapshot_reader_create(struct keyspace *ks);
void snapshot_reader_free(struct snapshot_reader *reader);

/* STATUS_AGAIN: all bytes were taken, more are needed.  STATUS_OK: complete,
 * the digest agrees.  STATUS_MALFORMED, STATUS_MISMATCH (digest, or a newer
 * version): see snapshot_reader_error; the keyspace holds garbage. */
enum status snapshot_feed(struct snapshot_reader *reader, const void *bytes, size_t size) MUST_CHECK;
/* Known as soon as the head has been read; NULL before. */
const struct snapshot_head *snapshot_reader_head(const struct snapshot_reader *reader);
uint64_t snapshot_reader_keys(const struct snapshot_reader *reader);
const char *snapshot_reader_error(const struct snapshot_reader *reader);

/* The whole file; progress with bytes read and file size. */
enum status snapshot_read_file(struct snapshot_reader *reader, const char *path,
                               void (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_total),
                               void *context) MUST_CHECK;

#endif
