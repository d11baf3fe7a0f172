/* Transactions, as they travel and run.
 *
 * What a session has queued between MULTI and EXEC becomes one internal
 * command, so that it is one unit at one place in the order:
 *
 *     +exec watcher n condition... { head argument... }...
 *
 *   watcher    watcher_id bytes, or empty
 *   n          how many arguments the conditions take, in decimal
 *   condition  as the client sent it: IFEQ key value, IFNE key value, NX key,
 *              XX key; about the database of the +exec
 *   head       two varints: database, number of arguments of the command
 *
 * Every replica runs the writes.  What only reads, or concerns one connection,
 * runs where the client is, at its place among the writes.  A command that
 * fails stops none of the others; one that would wait answers as if its time
 * were up. */
#ifndef COMMAND_TRANSACTION_H
#define COMMAND_TRANSACTION_H

#include "base/varint.h"
#include "command/command.h"

enum { TRANSACTION_HEAD_MAX = 2 * VARINT_MAX, TRANSACTION_FIRST_CONDITION = 3 };

/* Returns the bytes written. */
size_t transaction_head_put(char head[static TRANSACTION_HEAD_MAX], int db, int argc);
/* Whether these are conditions of EXEC; the first alone: whether it is the word
 * of one. */
bool transaction_conditions_are_sound(int argc, const struct slice *argv);
bool transaction_is_condition(struct slice word);

/* The handlers of internal.h's rows. */
void transaction_exec(struct call *c);
void transaction_watch(struct call *c);
void transaction_forget(struct call *c);
void transaction_forget_others(struct call *c);

#define ERROR_WATCH_LIMIT "ERR too many watched keys"

#endif
