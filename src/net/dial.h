/* Dialling a peer: connect, talk RESP for a few commands, hand the bare
 * connection over.
 *
 * Uses hiredis's asynchronous client on the loop's event base.  Commands are sent
 * one at a time, each when the one before it was accepted.  When the last was, the
 * connection becomes a stream: hiredis keeps its own descriptor and closes it, the
 * stream has a duplicate.
 *
 * The accepting side must send nothing behind its last reply before the dialler's
 * first bytes: what hiredis had read ahead would be lost.  If bytes are there
 * all the same, the dial fails and says so.
 *
 *   connecting --connected--> command 0 --accepted--> ... --accepted--> done
 *       any of these --refused, rejected, closed, timed out--> failed
 *
 * Host names are resolved with a blocking call when the dial starts; numeric
 * addresses and names in /etc/hosts cost nothing. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct dial;
struct loop;
struct stream;

enum { DIAL_COMMANDS_MAX = 8, DIAL_ARGUMENTS_MAX = 32, DIAL_REPLY_ELEMENTS_MAX = 1024 };

enum dial_reply_kind {
    DIAL_REPLY_TEXT,  /* a status, a bulk string, or an integer in decimal */
    DIAL_REPLY_ERROR, /* text without the '-' */
    DIAL_REPLY_NULL,
    DIAL_REPLY_ARRAY, /* elements, each as text; a null or nested one is empty */
};

/* Lives as long as the callback that gets it. */
struct dial_reply {
    enum dial_reply_kind kind;
    struct slice text;
    const struct slice *elements;
    size_t element_count;
};

struct dial_command {
    const struct slice *argv;
    size_t argc;
};

struct dial_options {
    const char *host;
    uint16_t port;
    int64_t timeout_us; /* for the whole of it */
    int64_t connect_timeout_us; /* for the connection alone: shorter than the kernel repeats a lost
                                   SYN; 0: no other than timeout_us */
    const struct dial_command *commands;
    size_t command_count; /* at least 1 */
    /* Whether this reply will do; false ends the dial as failed.  NULL: anything
     * but an error will. */
    bool (*on_reply)(void *context, size_t index, const struct dial_reply *reply);
    /* The end, exactly once unless cancelled, the dial is already gone.  stream
     * is the callee's; NULL means failure, and error says why (for the log; lives as
     * long as the call). */
    void (*on_done)(void *context, struct stream *stream, const char *error);
    void *context;
};

/* Everything in options is copied.  Never calls back before it has returned; also an
 * immediate failure is reported through on_done. */
struct dial *dial_start(struct loop *loop, const struct dial_options *options);
/* No callback follows.  May be called from on_reply. */
void dial_cancel(struct dial *dial);

#endif
