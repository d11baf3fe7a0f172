/* What the files of this room, and nobody else, ask of a snapshot reader. */
#ifndef PERSIST_SNAPSHOT_READER_H
#define PERSIST_SNAPSHOT_READER_H

#include "persist/snapshot.h"

/* A reader that checks and counts, without a keyspace.  visitor is borrowed. */
struct snapshot_reader *snapshot_reader_create_checker(const struct snapshot_visitor *visitor);
/* No more bytes than that will be fed: bounds what a head can make it prepare. */
void snapshot_reader_expect_bytes(struct snapshot_reader *reader, uint64_t bytes);
/* The file cannot be read; returns STATUS_IO. */
enum status snapshot_reader_fail_io(struct snapshot_reader *reader, const char *path, const char *reason);
/* Nothing more comes: the status, STATUS_MALFORMED instead of STATUS_AGAIN. */
enum status snapshot_reader_end_of_file(struct snapshot_reader *reader);
/* All but file_bytes. */
void snapshot_reader_get_figures(const struct snapshot_reader *reader, struct snapshot_file_figures *figures);

#endif
