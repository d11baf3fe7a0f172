/* A session: one client connection, from accept to close.
 *
 * Files: session.c (life, input, output), dispatch.c (from parsed request to
 * the place where it runs), connection_command.c, client_command.c,
 * server_command.c, rabia_command.c (rows and handlers that need a session).
 *
 * Order of replies.  Commands that need the agreed order (ROUTE_READ,
 * ROUTE_WRITE) are handed to the replica and answered when their batch is
 * applied; several may be pending.  A local command that arrives meanwhile
 * stalls the session's input until they are answered, so replies always leave
 * in the order of the commands.
 *
 * I1  pending counts the commands handed to the replica and not yet answered;
 *     a closed session is freed when it reaches zero.
 * I2  while is_stalled, input is neither parsed nor read beyond its bound.
 *
 * Limits: pending SESSION_PENDING_MAX; input bounded by the parser's limits;
 * output by client-output-buffer-limit. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "command/table.h"
#include "net/stream.h"
#include "net/timer.h"
#include "replica/proposer.h"
#include "resp/parser.h"
#include "resp/reply.h"

struct server;

enum { SESSION_PENDING_MAX = 16384 };

enum session_reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

struct session {
    struct server *server;
    struct list_link link;        /* in server->sessions */
    struct list_link resume_link; /* in server->resumable: input to look at again this pass */
    uint64_t id;
    struct stream *stream;        /* NULL once closed */
    struct resp_parser parser;
    struct reply reply;           /* writes to the stream's out buffer, or nowhere */

    int db;
    uint8_t protocol; /* 2 or 3 */
    bool is_authenticated;
    bool is_readonly;         /* READONLY: reads from local data at once */
    bool is_no_evict, is_no_touch;
    bool is_closing;          /* close when everything written has left; no more input is looked at */
    bool is_stalled;
    bool is_unix;
    enum session_reply_mode reply_mode;
    uint32_t pending;
    struct proposer_client order; /* its place in the replica's batches */

    /* WAIT and its kin: blocked until the server answers or the timer fires. */
    bool is_blocked;
    struct timer block_timer;
    int64_t wait_replicas;
    uint64_t last_write_position; /* of this session's newest applied write */

    char *name, *library_name, *library_version; /* NULL when unset */
    const struct command *last_command;
    int64_t created_ms, last_active_ms; /* wall clock */
    uint64_t commands, bytes_in_seen;
    int64_t soft_limit_since_ms; /* 0: output is below the soft limit */
};

/* Takes the stream. */
struct session *session_create(struct server *server, struct stream *stream);
/* Now, dropping unsent output; the struct lives on until pending is zero. */
void session_kill(struct session *s, const char *reason);
/* When what was written has left. */
void session_close_after_reply(struct session *s);
/* Looks at the input again (a stall or block ended). */
void session_resume(struct session *s);
/* Blocks the session's input until session_unblock; the handler has written
 * nothing yet.  deadline_us 0: no timer. */
void session_block(struct session *s, uint64_t deadline_us);
void session_unblock(struct session *s);
/* CLIENT REPLY.  Takes effect at once: with REPLY_ON what the running handler
 * writes next is sent. */
void session_set_reply_mode(struct session *s, enum session_reply_mode mode);
/* Bytes held for this session: input, output, parser, itself. */
size_t session_memory(const struct session *s);
size_t session_output_bytes(const struct session *s);

/* --- connection_command.c, client_command.c ------------------------------- */

/* For a session blocked by WAIT: answers and unblocks it if enough replicas
 * hold its writes, or if is_over (its timer fired, or CLIENT UNBLOCK).  To be
 * called from the timer and, while there are such sessions, from the cron. */
bool session_check_wait(struct session *s, bool is_over);
/* Names of connections and libraries hold visible ASCII without blanks. */
#define ERROR_CLIENT_NAME "ERR Client names cannot contain spaces, newlines or special characters."
bool session_name_is_valid(struct slice name);
/* Replaces one of the session's texts; empty unsets it. */
void session_set_text(char **text, struct slice value);
void session_set_protocol(struct session *s, uint8_t protocol);
/* For "%.*s": how much of a stranger's argument an error text quotes. */
static inline int slice_shown(struct slice text)
{
    return (int)strnlen(text.ptr, text.len < 128 ? text.len : 128);
}

/* The session behind a local call. */
static inline struct session *call_session(const struct call *c)
{
    return c->host;
}

#endif
