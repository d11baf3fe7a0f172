/* What dispatch offers commands that decide for themselves what becomes of
 * them: MULTI and its kin, and those that block. */
#ifndef SERVER_DISPATCH_H
#define SERVER_DISPATCH_H

#include "command/internal.h"
#include "server/session.h"

enum {
    /* Of one write in a cluster: with what waits in the open batch (up to
     * 1 MiB, replica.c) it must fit into one. */
    DISPATCH_WRITE_BYTES_MAX = BATCH_BYTES_MAX - 2 * 1024 * 1024,
};

/* Answers in the order of the session's commands.  row: refused; or NULL. */
enum outcome dispatch_error(struct session *s, const struct command *row, const char *text);
/* INTERNAL_OK or INTERNAL_QUEUED, without waiting for what is pending. */
enum outcome dispatch_answer(struct session *s, enum internal_command which);
/* Runs a command of the session where its route says: its reply comes now or
 * later.  argv is copied if it is needed for longer. */
enum outcome dispatch_run(struct session *s, const struct command *row, int argc, const struct slice *argv);
/* The same, here in any case: once nothing is pending. */
enum outcome dispatch_run_here(struct session *s, const struct command *row, int argc, const struct slice *argv);

#endif
