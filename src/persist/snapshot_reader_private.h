/* A snapshot reader's state, for the files that implement it.
 *
 *   snapshot_reader.c    bytes to whole records: plain or LZ4, fed in any pieces; life
 *   snapshot_records.c   what the records say: checked, counted, put into the keyspace */
#ifndef PERSIST_SNAPSHOT_READER_PRIVATE_H
#define PERSIST_SNAPSHOT_READER_PRIVATE_H

#include <lz4frame.h>

#include "persist/snapshot_format.h"
#include "persist/snapshot_reader.h"
#include "store/digest.h"
#include "store/value.h"

enum { MAGIC_SNIFF = 4 };

/*            prefix         head record      record              end record
 *   PREFIX ---------> HEAD -------------> RECORDS --+----------------------> END
 *                                            ^------+ extras, database,
 *                                                     keys, more, last
 *
 * Content goes into one buffer until what is wanted next is complete: the
 * prefix, a record's head, the record. */
enum place { PLACE_PREFIX, PLACE_HEAD, PLACE_RECORDS, PLACE_END };

enum form { FORM_UNKNOWN, FORM_PLAIN, FORM_LZ4 };

struct snapshot_reader {
    struct keyspace *ks; /* NULL: only checks */
    snapshot_head_fn *on_head;
    void *head_context;
    const struct snapshot_visitor *visitor; /* NULL unless checking */

    enum form form;
    LZ4F_dctx *lz4;
    bool is_frame_done;
    char sniffed[MAGIC_SNIFF];
    size_t sniffed_bytes;

    enum place place;
    char *content; /* wanted > 0: of them, got are there */
    size_t room, got, wanted;
    bool is_record_head_known;
    struct record_head record;
    uint64_t ordinal, content_bytes;

    uint32_t version;
    bool has_extras;
    struct snapshot_head head;
    char *state;
    int database_count; /* of the writer */
    uint64_t presize_max;

    /* A collection whose value goes on; pending.key is an own copy. */
    bool is_pending;
    struct keyspace_item pending;
    char *pending_key;
    struct value pending_value;
    struct value_env *env; /* of collections, when there is no keyspace */

    struct snapshot_database_figures database;
    uint64_t database_keys, database_expiring; /* announced */
    uint64_t keys;
    struct digest digest;

    enum status status; /* AGAIN: under way */
    char error[SNAPSHOT_ERROR_MAX];
};

/* Says why for people; the status is final. */
__attribute__((format(printf, 3, 4))) enum status snapshot_fail(struct snapshot_reader *r, enum status status,
                                                                const char *format, ...);
enum status snapshot_malformed(struct snapshot_reader *r, const char *what);

/* content is a whole prefix; a record's head, in r->record, of which no byte
 * of the body has been taken in; a whole record.  STATUS_AGAIN: go on. */
enum status snapshot_take_prefix(struct snapshot_reader *r);
enum status snapshot_check_record_head(struct snapshot_reader *r);
enum status snapshot_take_record(struct snapshot_reader *r);

#endif
