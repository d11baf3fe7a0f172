/* Internal commands: what servers propose on their own account, in argument
 * lists of their own making.  Their names begin with '+'; no client finds them
 * and COMMAND does not show them.
 *
 * In a batch they look like any command, so replicas must agree on them as on
 * the table (REPLICA_PROTOCOL_VERSION).  Handlers trust their arguments: what
 * was agreed was written by a server. */
#ifndef COMMAND_INTERNAL_H
#define COMMAND_INTERNAL_H

#include "command/table.h"

enum internal_command {
    INTERNAL_EXEC,           /* a transaction (transaction.h) */
    INTERNAL_EXEC_READ,      /* one that only reads, and watches nothing */
    INTERNAL_EXEC_READ_TIME, /* the same, where time matters */
    INTERNAL_WATCH,          /* watcher key... */
    INTERNAL_FORGET,         /* watcher... */
    INTERNAL_FORGET_OTHERS,  /* member life upto: watchers of a member that are no more */
    INTERNAL_GIVEBACK,       /* mark command...: undoes a pop, once */
    INTERNAL_MIGRATED,       /* key digest...: deletes those that are still what was sent elsewhere */
    INTERNAL_SETTINGS,       /* name value...: CONFIG SET of what all replicas share */
    INTERNAL_OVERRIDES,      /* the same when nobody waits for it */
    INTERNAL_DEFAULTS,       /* the same for settings that nobody has set yet */
    INTERNAL_OK,             /* answers OK in its turn: what needs no order but must not overtake */
    INTERNAL_QUEUED,         /* the same, QUEUED */
    INTERNAL_COUNT,
};

const struct command *command_internal(enum internal_command which);
static inline bool command_is_internal_name(struct slice name)
{
    return name.len > 0 && name.ptr[0] == '+';
}
/* NULL if there is none of this name. */
const struct command *command_find_internal(struct slice name);

#endif
