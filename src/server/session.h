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
struct multi;

/* What became of a command that was looked at (dispatch.h). */
enum outcome {
    HANDLED,
    MUST_WAIT, /* nothing happened; the session is held back, and the command comes again */
};
struct waiter;
struct migration;

enum { SESSION_PENDING_MAX = 16384 };

enum session_reply_mode { REPLY_ON, REPLY_OFF, REPLY_SKIP_NEXT, REPLY_SKIP };

struct session {
    struct server *server;
    struct list_link link;        /* in server->sessions */
    struct list_link paused_link; /* in server->paused */
    uint64_t id;
    struct stream *stream;        /* NULL once closed */
    struct resp_parser parser;
    struct reply reply;           /* writes to the stream's out buffer, or nowhere */
    size_t reply_start;           /* bytes in the out buffer when it began */
    int64_t began_us;             /* of the command that runs, if it is measured; else 0 */

    int db;
    uint8_t protocol; /* 2 or 3 */
    bool is_authenticated;
    bool is_readonly;         /* READONLY: reads from local data at once */
    bool is_no_evict, is_no_touch;
    bool is_closing;          /* close when everything written has left; no more input is looked at */
    bool is_stalled; /* a local command waits until pending is zero */
    bool is_throttled; /* the replica's queue is full, or too much of ours is pending */
    bool is_busy;    /* its input is being handled: the struct must outlive that */
    bool is_unix;
    bool is_surplus; /* came when maxclients was reached: may introduce itself as a peer, nothing else */
    /* RABIA LINK was accepted: the stream becomes a link once the command is consumed. */
    bool becomes_link;
    uint64_t link_from_id, link_incarnation;
    enum session_reply_mode reply_mode;
    uint32_t pending;
    struct proposer_client order; /* its place in the replica's batches */

    /* WAIT and its kin: blocked until the server answers or the timer fires. */
    bool is_blocked;
    struct timer block_timer;
    void (*on_block_timeout)(struct session *s);
    int64_t wait_replicas, wait_deadline_us; /* 0: no deadline */
    bool has_nudged;                         /* the peers, for this WAIT */
    bool waits_for_flush, has_flushed;       /* WAITAOF; what is to be on disk here is */
    uint64_t last_write_position; /* of this session's newest applied write */

    struct waiter *waiter; /* a command that may wait was handed over, or waits (waiting.h); else NULL */
    struct migration *migration; /* MIGRATE is at work (migrate.h); else NULL */
    struct multi *multi; /* between MULTI and EXEC (multi.h); else NULL */
    uint64_t watcher;    /* its number among this server's watchers; 0: it watches nothing */
    enum outcome outcome; /* of the COMMAND_DECIDES row that was just handled (dispatch.h) */

    char *name, *library_name, *library_version; /* NULL when unset */
    const struct command *last_command;
    int64_t created_ms, last_active_ms; /* wall clock */
    uint64_t commands;
    struct list_link throttled_link; /* in server->throttled */
    int64_t soft_limit_since_ms; /* 0: output is below the soft limit */
};

/* Takes the stream. */
struct session *session_create(struct server *server, struct stream *stream);
/* Now, dropping unsent output; the struct lives on until pending is zero. */
void session_kill(struct session *s, const char *reason);
/* At the end of the process: frees a closed session whose replies will not come. */
void session_abandon(struct session *s);
/* When what was written has left. */
void session_close_after_reply(struct session *s);
/* Looks at the input again, in this pass or the next, if nothing else holds it
 * back (a stall, block, pause or throttle ended). */
void session_resume(struct session *s);
/* Blocks the session's input until session_unblock; the handler has written
 * nothing yet.  deadline_us 0: no timer.  When the timer fires on_timeout is
 * called, which answers and unblocks. */
void session_block(struct session *s, uint64_t deadline_us, void (*on_timeout)(struct session *s));
void session_unblock(struct session *s);
/* Where a reply to this session goes now: its stream, or nowhere. */
struct reply *session_reply_begin(struct session *s);
/* A reply is complete: sends it with this pass, holds the output to its limits. */
void session_reply_end(struct session *s);
/* The other side has closed, whether or not that was read yet. */
bool session_is_abandoned(const struct session *s);
/* Around the run of one command: where its reply goes, and its statistics. */
struct reply *session_command_begin(struct session *s, const struct command *row);
void session_command_end(struct session *s, const struct command *row);
/* The same around each command of a transaction (struct call). */
void session_on_nested(void *session, const struct command *row, bool is_over);
/* Counts the error reply that begins at this offset of the out buffer. */
void session_count_error(struct session *s, size_t reply_start);
/* (dispatch.c) Handles whole commands from the head of the input; returns how
 * many bytes were handled.  More input may be there that has to wait. */
size_t dispatch_input(struct session *s, const char *bytes, size_t len);
bool session_may_take(const struct session *s);
/* CLIENT REPLY.  Takes effect at once: with REPLY_ON what the running handler
 * writes next is sent. */
void session_set_reply_mode(struct session *s, enum session_reply_mode mode);
/* Bytes held for this session: input, output, parser, itself. */
size_t session_memory(const struct session *s);
size_t session_output_bytes(const struct session *s);

/* --- connection_command.c, client_command.c ------------------------------- */

/* For a session blocked by WAIT: answers it with what was reached so far and
 * unblocks it. */
void session_end_wait(struct session *s);
/* Names of connections and libraries hold visible ASCII without blanks. */
#define ERROR_CLIENT_NAME "ERR Client names cannot contain spaces, newlines or special characters."
bool session_name_is_valid(struct slice name);
/* Replaces one of the session's texts; empty unsets it. */
void session_set_text(char **text, struct slice value);
void session_set_protocol(struct session *s, uint8_t protocol);
/* Formats: a subcommand's name follows. */
#define ERROR_SUBCOMMAND_ARITY(container) \
    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try " container " HELP."
/* What dispatch answers to rows with COMMAND_DEBUG_ONLY, unless
 * enable-debug-command allows them. */
#define ERROR_DEBUG_REFUSED                                                                                       \
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a " \
    "local connection, otherwise you need to set this option in the configuration file, and then restart the "     \
    "server."
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
