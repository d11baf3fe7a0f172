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
    SNAPSHOT_FORMAT_VERSION = 2, /* 1, which had strings alone, is read, too */
    SNAPSHOT_STATE_MAX = 1 << 20,
    SNAPSHOT_ERROR_MAX = 256,
    SNAPSHOT_STRING_MAX = 512 << 20, /* bytes of a key, of a value */
};

/* When writing, what lies in the data (logical time, key count, whether keys
 * are expired actively) is taken from there and these fields are not read. */
struct snapshot_head {
    uint64_t cluster;       /* as journal_identity */
    uint64_t position;      /* of the newest batch applied */
    int64_t logical_time_ms;
    int64_t created_ms;     /* wall clock, for people */
    unsigned char hash_secret[16];
    uint64_t key_count;     /* of all databases, expired but stored ones included */
    bool is_active_expire;
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

/* To be called as soon as the head has been read, before any key goes in; may
 * call keyspace_set_hash_secret.  With the secret of the head keys come in the
 * order of their hashes, which is the fastest.  A status other than OK ends the
 * reading with it. */
typedef enum status snapshot_head_fn(void *context, const struct snapshot_head *head);
void snapshot_reader_on_head(struct snapshot_reader *reader, snapshot_head_fn *on_head, void *context);

/* STATUS_AGAIN: all bytes were taken, more are needed.  STATUS_OK: complete,
 * the digest agrees.  STATUS_MALFORMED, STATUS_MISMATCH (digest, a newer
 * version, or a database this keyspace has not): see snapshot_reader_error; the
 * keyspace holds garbage.  The same status then answers every later call.
 * Memory: one record, that is 256 KiB or one member of a value; lengths are
 * checked, and memory taken only as bytes arrive. */
enum status snapshot_feed(struct snapshot_reader *reader, const void *bytes, size_t size) MUST_CHECK;
/* Known as soon as the head has been read; NULL before. */
const struct snapshot_head *snapshot_reader_head(const struct snapshot_reader *reader);
uint64_t snapshot_reader_keys(const struct snapshot_reader *reader);
const char *snapshot_reader_error(const struct snapshot_reader *reader);

/* The whole file into a reader just created; STATUS_IO with errno.  with
 * bytes read and file size; may be NULL. */
enum status snapshot_read_file(struct snapshot_reader *reader, const char *path,
                               void (*progress)(void *context, uint64_t bytes_done, uint64_t bytes_total),
                               void *context) MUST_CHECK;

/* --- checking ------------------------------------------------------------- */

enum { SNAPSHOT_TYPE_COUNT = 6 }; /* enum value_type */

struct snapshot_type_figures {
    uint64_t keys, expiring, key_bytes, value_bytes; /* an integer counts 8 */
};
struct snapshot_database_figures {
    int db;
    uint64_t keys, expiring; /* all types */
    uint64_t expired;        /* of them, at logical time */
    struct snapshot_type_figures types[SNAPSHOT_TYPE_COUNT];
};
struct snapshot_file_figures {
    uint64_t file_bytes, content_bytes; /* as stored, as unpacked */
    uint64_t records, keys;
    bool is_compressed;
    struct digest digest;
};

/* Each may be NULL.  on_database comes after the last key of a database that
 * has keys. */
struct snapshot_visitor {
    void *context;
    void (*on_head)(void *context, const struct snapshot_head *head, uint32_t version);
    void (*on_database)(void *context, const struct snapshot_database_figures *figures);
    void (*on_progress)(void *context, uint64_t bytes_done, uint64_t bytes_total);
};
/* Reads the whole file and verifies all but that no key comes twice, without a
 * keyspace, in memory for one record and one collection.  The statuses of snapshot_feed and
 * STATUS_IO; error is one line that says what and where. */
enum status snapshot_check_file(const char *path, const struct snapshot_visitor *visitor,
                                struct snapshot_file_figures *figures,
                                char error[static SNAPSHOT_ERROR_MAX]) MUST_CHECK;

#endif
