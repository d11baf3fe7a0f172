/* Running commands whose rows and arguments are at hand.
 *
 * One command: command_run.  A batch of them: command_prefetch on as many as
 * are ready, COMMAND_RUN_MAX at a time, then command_run_hinted on each in
 * order.  Memory is the cost of a command, and its misses depend on each other
 * (bucket, then entry); prefetching all buckets, then all entries, lets those
 * of different commands overlap.
 *
 *     uint64_t hashes[COMMAND_RUN_MAX];
 *     command_prefetch(calls, count, hashes);
 *     for (size_t i = 0; i < count; i++)
 *         command_run_hinted(&calls[i], hashes[i]);
 *
 * Prefetching changes nothing: a hash stays good whatever the commands before
 * do to the key.  Only the first key of a call is looked at.
 *
 * The caller has resolved the row (so the arity fits), advanced the keyspace
 * to the batch's time and removed what was due; now_ms equals keyspace_now. */
#ifndef COMMAND_RUN_H
#define COMMAND_RUN_H

#include "command/table.h"

/* Calls worth prefetching together: more would push the first out of the
 * nearest cache, fewer would not hide a miss to memory. */
enum { COMMAND_RUN_MAX = 32 };

/* Position of the first key, 0 if the call has none where the row says. */
static inline int command_first_key(const struct call *c)
{
    return c->command->first_key < c->argc ? c->command->first_key : 0;
}

/* Runs the row's handler.  The reply is written into c->reply. */
static inline void command_run(struct call *c)
{
    c->command->handler(c);
}

/* Hashes the first keys and brings their buckets and entries towards the
 * cache.  count at most COMMAND_RUN_MAX; calls may differ in keyspace.
 * hashes[i] is meaningless where calls[i] has no key. */
void command_prefetch(const struct call *calls, size_t count, uint64_t *hashes);

/* command_run for a call that command_prefetch has hashed.  argv must be what
 * it was then.  A handler that ends in an error may leave the hint unused; it
 * is taken back, for other bytes may come to lie where the key was. */
static inline void command_run_hinted(struct call *c, uint64_t hash)
{
    int key = command_first_key(c);
    if (key)
        keyspace_hint(c->ks, c->argv[key], hash);
    c->command->handler(c);
    keyspace_hint(c->ks, (struct slice){0}, 0);
}

#endif
