/* Commands inside a batch, byte by byte.
 *
 *   batch   := command*
 *   command := size(varint, of what follows) db(varint) argc(varint) argument*
 *   argument:= length(varint) bytes
 *
 * varint as in base/varint.h.  The same form holds a read's text in the proposer's own queue.
 *
 * Decoding trusts nothing: every length is checked against what is there. */
#ifndef REPLICA_BATCH_CODE_H
#define REPLICA_BATCH_CODE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/varint.h"

enum { BATCH_ARGUMENTS_MAX = 1024 * 1024 + 1 };

void batch_encode(struct buf *out, int db, int argc, const struct slice *argv);
/* Bytes batch_encode will write. */
size_t batch_encoded_size(int db, int argc, const struct slice *argv);

/* Arguments of decoded commands, reused from command to command. */
struct batch_arguments {
    struct slice *argv;
    int capacity;
};
void batch_arguments_deinit(struct batch_arguments *arguments);

/* One command at *at; advances it.  Appends argc slices at arguments->argv +
 * used (growing it: earlier slices keep their index, not their address) that
 * point into the bytes.  STATUS_MALFORMED leaves everything as it was. */
enum status batch_decode(const char **at, const char *end, struct batch_arguments *arguments, int used, int *db,
                         int *argc) MUST_CHECK;

#endif
