/* Marks: how far each member has come with proposals that must be applied
 * once.
 *
 * A member that does not know what became of such a proposal makes it again
 * under the same number.  Numbers ascend within a life of a process, and one is
 * proposed at a time, so one word per member tells those that were done. */
#ifndef STORE_MARKS_H
#define STORE_MARKS_H

#include <stdbool.h>

#include "base/buf.h"
#include "store/watch.h"

enum { MARKS_MAX = 32 }; /* members; the one that was marked longest ago is forgotten for another */

struct marks {
    struct watcher_id items[MARKS_MAX]; /* the newest first */
    int count;
};

/* False if it was marked before: what it stands for has been done. */
bool marks_take(struct marks *m, const struct watcher_id *id);
/* marks := count(1) id(18)* */
void marks_write(const struct marks *m, struct buf *out);
/* Advances *at; false, with no marks, if the bytes are malformed. */
bool marks_read(struct marks *m, const char **at, const char *end);

#endif
