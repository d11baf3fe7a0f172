/* Who waits for which key: the sessions that BLPOP and its kin have blocked.
 *
 *   waiting.c    keys and the waiters at each, told by the keyspace what was
 *                touched
 *   blocking.c   the life of a waiter
 *   giveback.c   what was popped for a client that is gone
 *
 *                 found nothing              key touched, can serve it
 *   (trying) ---------------------> waiting ---------------------------+
 *      |                              |  ^                             |
 *      | answered     timeout, UNBLOCK|  | found nothing         trying again
 *      v                              v  +------------------------- (cluster: proposed)
 *    (none) <-------------------------+                                |
 *      ^                          answered                             |
 *      +---------------------------------------------------------------+
 *
 * Alone, the commands of waiters are tried again when the command that touched
 * their keys is over, before the next one: keys in the order they were touched,
 * waiters at a key in the order they came, as many as can be served; a command
 * with several keys for the one that was touched alone, as Redis does.
 *
 * In a cluster a waiter whose command only reads is served here, right behind
 * the batch that touched its key.  One that writes is proposed, as many as the
 * key's value can serve and one at a time per waiter, and keeps its place until
 * it is answered.  Other members' waiters may have been quicker: then it goes
 * on waiting.
 *
 * An element never goes to a client that is gone.  A proposal that is not yet
 * in a batch on its way is taken back; of one that is, what it popped is given
 * back through the order.
 *
 * I1: every place is at one key and of one waiter; a waiter has at most one
 *     place at a key.
 * I2: a key has at least one place, unless it is being served.
 * I3: the keyspace tells of touches exactly while there are keys.
 *
 * Cost: nothing while nothing is touched; a touch is one lookup.  Waiters of a
 * type the key does not have are not looked at. */
#ifndef SERVER_WAITING_H
#define SERVER_WAITING_H

#include "base/list.h"
#include "command/table.h"
#include "store/dict.h"
#include "store/key_hash.h"
#include "store/keyspace.h"

struct server;
struct session;

enum { WAITING_TYPES = 6 }; /* enum value_type */

struct waiting_key {
    struct list places; /* first come first */
    struct list_link ready_link;
    size_t waiters[WAITING_TYPES]; /* by the type they wait for */
    size_t group_readers;          /* of the stream waiters, those that a group's end concerns */
    size_t proposed;
    uint64_t touches;
    bool is_served; /* now: the struct must last */
    int db;
    size_t size;
    char bytes[];
};

struct waiter;
struct waiter_place {
    struct list_link of_key;
    struct waiting_key *key;
    struct waiter *waiter;
    int argument; /* of the command: the key */
    uint64_t tried; /* how often the key had been touched when the command was last proposed for it */
};

enum waiter_ending { ENDING_NONE, ENDING_TIMEOUT, ENDING_ERROR };

struct waiter {
    struct session *session;
    const struct command *row;
    int db, argc;
    struct slice *argv; /* one block with the bytes */
    struct call_wait wait; /* argv NULL: it replaced the waiter's */
    struct waiter_place *places;
    int place_count;
    bool is_waiting; /* else it is being tried for the first time */
    struct waiting_key *proposed_for; /* the key its proposal is under way for; NULL: none is */
    enum waiter_ending ending; /* how to answer if the proposal finds nothing */
    struct list_link failed_link; /* in waiting.failed */
};

struct waiting {
    struct server *server;
    struct keyspace_listener listener;
    struct key_hash_secret secret;
    struct dict keys;
    struct list ready;  /* keys touched, in that order */
    struct list failed; /* waiters whose proposal came to nothing, to be looked at by the cron */
    uint64_t snapshots_seen;
};

void waiting_init(struct waiting *w, struct server *server);
/* No waiter is left. */
void waiting_deinit(struct waiting *w);
static inline bool waiting_has_ready(const struct waiting *w)
{
    return !list_is_empty(&w->ready);
}
/* Puts a waiter at its keys, or takes it away. */
void waiting_enter(struct waiting *w, struct waiter *waiter);
void waiting_leave(struct waiting *w, struct waiter *waiter);
/* Frees a key nobody waits for any more, unless it is being served. */
void waiting_release(struct waiting *w, struct waiting_key *key);
/* To be looked at, though it was not touched. */
void waiting_make_ready(struct waiting *w, struct waiting_key *key);
/* As if all keys of the waiter, or all keys, had been touched. */
void waiting_touch(struct waiting *w, const struct waiter *waiter);
void waiting_touch_all(struct waiting *w);
void waiting_check(const struct waiting *w);

/* --- blocking.c ----------------------------------------------------------------- */

/* A COMMAND_BLOCKING row is handed to the replica: remembers it, should it
 * wait. */
void blocking_try(struct session *s, const struct command *row, int argc, const struct slice *argv);
/* It found nothing: the session waits.  Takes wait->argv. */
void blocking_begin(struct session *s, const struct call *call, const struct call_wait *wait);
/* Its proposal was applied and answered. */
void blocking_answered(struct session *s);
/* Its proposal was applied and found nothing.  Takes wait->argv. */
void blocking_again(struct session *s, const struct call_wait *wait);
/* Its proposal has failed without effect and is to be made again; false: the
 * session is to be told. */
bool blocking_failed(struct session *s, bool may_have_happened);
/* CLIENT UNBLOCK. */
void blocking_end(struct session *s, enum waiter_ending ending);
/* The session ends. */
void blocking_abandon(struct session *s);
void blocking_free(struct waiter *waiter);
/* Serves what is ready: after a command alone, at the end of a pass. */
void blocking_serve(struct server *server);
/* From the cron. */
void blocking_cron(struct server *server);

/* --- giveback.c ----------------------------------------------------------------- */

/* Whether what the row takes out of a key goes to the client. */
bool giveback_concerns(const struct command *row);
/* From the reply the waiter would have had, in RESP2, to a proposal. */
void giveback_take(struct waiter *waiter, struct slice reply);

#endif
