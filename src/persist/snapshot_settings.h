/* The settings members have agreed on (store/settings.h) as the body of a
 * snapshot's record, and back.  The bytes are documented in snapshot.c. */
#ifndef PERSIST_SNAPSHOT_SETTINGS_H
#define PERSIST_SNAPSHOT_SETTINGS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"
#include "store/settings.h"

/* Appends those that are agreed; nothing when none is. */
void snapshot_settings_put(struct buf *out, const struct settings *settings);
/* into is all initial and then as the body says; false, with into undefined,
 * if the bytes are not what snapshot_settings_put writes. */
bool snapshot_settings_take(struct slice body, struct settings *into);

#endif
