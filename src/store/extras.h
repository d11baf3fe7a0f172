/* Extras: what is replicated beside the keys, as bytes for snapshots: the
 * settings that all members share, marks, watched keys.
 *
 *   extras   := settings marks watches
 *   settings := count(varint) value(zigzag varint)* agreed(varint, bit per setting)
 *
 * marks and watches as in marks.h and watch.h.  A reader takes the settings it
 * knows from a writer that knew fewer; one that knew more is refused. */
#ifndef STORE_EXTRAS_H
#define STORE_EXTRAS_H

#include <stdbool.h>

#include "base/buf.h"
#include "store/keyspace.h"

enum { EXTRAS_BYTES_MAX = 512 << 20 }; /* more than limits of watched keys allow */

void extras_write(struct keyspace *ks, struct buf *out);
/* Replaces what the keyspace has.  False if the bytes, which may be hostile,
 * are malformed; what was there is gone then. */
bool extras_read(struct keyspace *ks, struct slice bytes);

#endif
