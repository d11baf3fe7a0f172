/* Settings that all replicas share (store/settings.h), as a server sees them.
 *
 * The keyspace has the values that hold; the configuration has a mirror of
 * them, which is what CONFIG GET and REWRITE print.  CONFIG SET checks all its
 * pairs against the mirror, as it does with every option, and has the shared
 * ones changed at one place in the order, where it is answered.
 *
 * A value in a file or on the command line holds from the start where the
 * server is alone.  In a cluster it is proposed for what nobody has set yet: the
 * first member's wins, and a member whose file says otherwise logs it. */
#ifndef SERVER_AGREED_H
#define SERVER_AGREED_H

#include "command/command.h"
#include "store/settings.h"

struct server;

/* After the data is loaded. */
void agreed_begin(struct server *server);
/* Brings the mirror up to date. */
void agreed_read(struct server *server);
/* The handlers of CONFIG GET and SET.  What is asked of shared options is asked
 * of the order, so that it shows what was acknowledged anywhere; where there is
 * no quorum, of the data at hand. */
void agreed_config_get(struct call *c);
void agreed_config_set(struct call *c);

/* --- for the caretaker ---------------------------------------------------------- */

/* Names and values that were given and that nobody has set, into argv from
 * index 1 on; returns how many slices.  texts holds the values. */
enum { AGREED_ARGUMENTS_MAX = 2 * SETTING_COUNT };
int agreed_defaults(struct server *server, struct slice argv[static AGREED_ARGUMENTS_MAX],
                    char texts[static SETTING_COUNT][INT64_TEXT_MAX]);
/* Logs what was given here and does not hold. */
void agreed_warn(struct server *server);

#endif
