/* The caretaker: what a server has to propose though no client waits for it.
 *
 *   forgets    watchers whose session is gone or has done with them
 *   settings   what was given at start and all members share (agreed.h)
 *   givebacks  what was popped for a client that is gone (giveback.c)
 *   audits     the same after a failed EXEC or WATCH, found by comparing the table
 *              with the sessions
 *   sweeps     watchers of a former life of this process, or of a member that
 *              was removed: whoever finds them in the table proposes it
 *
 * One proposal at a time; what failed is proposed again once the replica takes
 * commands, so each of them must bear being done twice; a giveback carries a
 * mark for that (store/marks.h). */
#ifndef SERVER_CARETAKER_H
#define SERVER_CARETAKER_H

#include "base/buf.h"
#include "base/list.h"
#include "replica/proposer.h"
#include "store/watch.h"

struct server;

struct caretaker {
    struct server *server;
    struct proposer_client order;
    const struct command *under_way; /* NULL: nothing is */
    struct buf forgets;              /* watcher ids; the first of them are under way */
    size_t forgets_under_way;        /* bytes */
    struct list givebacks;           /* in order; the first may be under way */
    uint64_t newest_mark;
    struct watcher_id sweep;         /* life 0: none is due */
    int64_t looked_ms;               /* for what to sweep */
    bool must_settle;   /* options of the start that all members share are to be proposed (agreed.h) */
    bool settles_alone; /* whatever was agreed before: this is the only member */
    bool must_audit; /* an EXEC or WATCH failed: the table may hold what no session knows of */
};

void caretaker_init(struct caretaker *k, struct server *server);
void caretaker_deinit(struct caretaker *k);
void caretaker_forget(struct caretaker *k, const struct watcher_id *id);
/* argv is copied. */
void caretaker_give_back(struct caretaker *k, int db, int argc, const struct slice *argv);
/* At the end of a pass, before the replica's. */
void caretaker_act(struct caretaker *k);
/* From the cron. */
void caretaker_look(struct caretaker *k);
/* What the replica tells of it. */
void caretaker_done(struct caretaker *k);
void caretaker_failed(struct caretaker *k);

#endif
