/* A listener: the sockets clients or peers connect to.
 *
 * At most LISTENER_ACCEPTS_PER_PASS connections are taken per socket and pass.
 * When the process is out of descriptors or memory, accepting stops for
 * LISTENER_PAUSE_US, with one line in the log, instead of spinning. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

struct loop;
struct listener;
struct stream;

enum {
    LISTENER_ACCEPTS_PER_PASS = 64,
    LISTENER_PAUSE_US = 100 * 1000,
    LISTENER_SOCKETS_MAX = 16,
    LISTENER_ERROR_MAX = 256,
};

/* The stream is the callee's from here on: start it, or free it. */
typedef void listener_fn(void *context, struct stream *stream);

struct listener_options {
    /* IPv4 or IPv6 addresses or names; "*" and "::*" stand for all of either
     * family.  A leading '-' makes one optional: that it is not available is then no
     * error.  A family the system lacks is passed over; one must remain. */
    const char *const *addresses;
    size_t address_count;  /* 0: no TCP */
    uint16_t port;         /* 0: the system chooses, the same for all addresses */
    const char *unix_path; /* NULL: none.  A socket left there is replaced. */
    mode_t unix_mode;      /* 0: as the umask says */
    int backlog;           /* 0: 511 */
    listener_fn *on_accept;
    void *context;
};

/* Failing leaves a sentence for the operator in error and opens nothing:
 * STATUS_IO with errno, STATUS_TOO_LARGE for too many addresses or too long a
 * path.  The options are not kept. */
enum status listener_create(struct listener **listener, struct loop *loop, const struct listener_options *options,
                            char error[static LISTENER_ERROR_MAX]) MUST_CHECK;
/* Also removes the unix socket's path. */
void listener_free(struct listener *listener);
/* The TCP port in use; 0 without TCP. */
uint16_t listener_port(const struct listener *listener);
/* How often accepting had to stop for want of descriptors or memory. */
uint64_t listener_pauses(const struct listener *listener);

#endif
