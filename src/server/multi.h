/* MULTI, EXEC, DISCARD, WATCH and UNWATCH: a session's side.
 *
 *            MULTI                        EXEC
 *   (none) --------> open ------------------------------> one internal command
 *      ^              | command: checked, kept, QUEUED      (command/transaction.h)
 *      |              | command refused: flawed, EXEC answers EXECABORT
 *      +--------------+ DISCARD, RESET, the end
 *
 * WATCH registers keys in the replicated table (store/watch.h) under a number of
 * the session's; EXEC names it and every replica decides alike.  The number ends
 * with the EXEC, or with DISCARD, UNWATCH, RESET or the session; these do not
 * wait for the table, from which the caretaker has it removed.
 *
 * Limits: what one batch holds. */
#ifndef SERVER_MULTI_H
#define SERVER_MULTI_H

#include "server/session.h"

struct multi; /* what is queued; session.multi, NULL outside */

/* Why there is no room for it, or NULL. */
const char *multi_refusal(const struct session *s, int argc, const struct slice *argv);
/* Keeps a command, which has been found sound. */
void multi_keep(struct session *s, const struct command *row, int argc, const struct slice *argv);
/* A command was refused while queueing.  Nothing outside of MULTI. */
void multi_flaw(struct session *s);
/* Ends transaction and watching without an answer. */
void multi_end(struct session *s);
/* Flags of all that is queued, and where EXEC will have to run. */
uint32_t multi_flags(const struct session *s);
enum command_route multi_route(const struct session *s, int exec_argc);
size_t multi_memory(const struct session *s);
/* Commands queued; -1 outside of MULTI. */
int multi_count(const struct session *s);

extern const struct command multi_command_rows[];
extern const size_t multi_command_count;

#endif
