/* Words of a configuration line, with Redis's quoting: blanks part words;
 * "double quotes" know \n \r \t \b \a \xHH and \ before any other byte;
 * 'single quotes' know \' alone.  A closing quote ends its word. */
#ifndef ADMIN_WORDS_H
#define ADMIN_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

/* words[0..count) point into bytes, which the struct owns. */
struct words {
    struct slice *words;
    size_t count;
    char *bytes;
};

/* STATUS_MALFORMED if a quote is not closed, or closed before the word ends. */
enum status words_split(struct words *w, struct slice line) MUST_CHECK;
void words_deinit(struct words *w);

/* The words from first on, parted by one space, into out. */
void words_join(const struct words *w, size_t first, struct buf *out);

/* Appends text as one word: as it is where that reads back the same, in double
 * quotes otherwise. */
void words_quote(struct slice text, struct buf *out);

#endif
