/* MIGRATE: moves keys to another server, one that speaks Redis's protocol.
 *
 *   reading --all read--> dialling --connected--> sending --all answered--> deleting --> answered
 *      | none is there                    any of these, failing: answered with an error
 *      +--> answered NOKEY
 *
 * The session is blocked meanwhile; the loop is not.  Redis holds everything
 * still while it moves a key.  Here other clients go on, so values are read in the
 * agreed order, each with its digest, and deleted in the order, each only if
 * it is still what was sent: what was changed meanwhile stays, and the client is
 * told.
 *
 * Limits: the payloads of one call are held in memory until they are sent. */
#ifndef SERVER_MIGRATE_H
#define SERVER_MIGRATE_H

#include "command/command.h"
#include "server/session.h"

void migrate_command(struct call *c);

/* --- for session.c: what a migrating session has handed to the replica -------- */

/* Where the answer goes. */
struct reply *migrate_reply(struct session *s);
/* One was answered, or will not be; s->pending has been lowered.  May end the
 * session. */
void migrate_answered(struct session *s);
void migrate_failed(struct session *s);
/* The session ends: nothing follows.  Its answers may still come. */
void migrate_abandon(struct session *s);
/* With the session. */
void migrate_free(struct session *s);

#endif
