/* One replica of the data: it puts its clients' commands into the agreed order
 * and applies what was agreed.
 *
 *   proposer.h   the owner's side: commands on their way into batches
 *   batch_code.h how commands are written into a batch
 *   frame.h      how messages between replicas are written
 *   link.h       the connection to one peer
 *   replica.c    ties these to the ordering core (consensus/rabia.h), the
 *                keyspace and the reactor
 *
 * A lone replica (no peers) has no batches and no queue: the server runs
 * commands where it parses them, between replica_begin and its reply.
 *
 * Callbacks go to the server through struct replica_clients; they run inside
 * replica_step functions called from the reactor, never inside
 * replica_submit. */
#ifndef REPLICA_REPLICA_H
#define REPLICA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "command/table.h"
#include "consensus/rabia.h"
#include "net/loop.h"
#include "net/stream.h"
#include "persist/journal.h"
#include "replica/memory.h"
#include "replica/proposer.h"
#include "replica/roster.h"
#include "store/keyspace.h"

/* Version of what replicas say to each other; peers with another are refused. */
enum { REPLICA_PROTOCOL_VERSION = 2 };

struct replica;

struct replica_member {
    uint16_t id; /* 1..65535, never reused */
    const char *host;
    int port;
};

/* How the replica answers a client command handed to replica_submit. */
struct replica_clients {
    /* The command's turn has come: where its reply goes (never NULL; a sink
     * without a buffer when the client is gone). */
    struct reply *(*begin)(struct proposer_client *client, const struct command *row);
    /* Its reply is complete. */
    void (*end)(struct proposer_client *client, const struct command *row, uint64_t position);
    /* It was not or may not have been executed. */
    void (*fail)(struct proposer_client *client, const struct command *row, enum proposer_failure failure);
    /* Instead of end: a COMMAND_BLOCKING row found nothing and waits (call_block).  wait->argv passes to the
     * callee, the call's own argv lives for the call.  NULL: nothing waits. */
    void (*wait)(struct proposer_client *client, const struct call *call, const struct call_wait *wait);
    /* For internal rows: the session that runs what concerns it alone, NULL if it is gone; and what is told of
     * a transaction's commands (struct call). */
    void *(*host)(struct proposer_client *client);
    void (*on_nested)(void *host, const struct command *row, bool is_over);
};

struct replica_options {
    struct loop *loop;
    struct keyspace *keyspace; /* borrowed; empty */
    const struct command_table *commands;
    struct replica_clients clients;
    const struct replica_member *members; /* the first list, in ascending order of id; copied.  NULL for a lone
                                             replica, and for one that joins.  What is remembered overrides it */
    int member_count;
    const struct replica_member *join; /* whom to ask for the list, ids are not read; copied */
    int join_count;
    uint16_t self_id;
    const char *cluster_name; /* copied; peers with another name are refused */
    const char *password;     /* for peers' AUTH; may be NULL or empty */
    uint64_t cluster_timeout_us; /* grace before FAILURE_NO_QUORUM, wait before FAILURE_IN_DOUBT */
    uint64_t forfeit_floor_us, forfeit_ceiling_us;
    uint64_t clock_tolerance_ms;
    size_t peer_backlog_bytes; /* decided batches kept for peers behind */
    uint32_t skip_ahead_max;

    const char *dir;   /* for what must not be forgotten; exists */
    bool is_journaled; /* appendonly */
    enum journal_mode journal_mode;
    size_t journal_segment_bytes;
    size_t journal_rewrite_bytes; /* a journal larger than this asks for a snapshot */
    bool is_snapshot_compressed;
    struct replica_save_rule {
        int64_t seconds;
        uint64_t changes;
    } save_rules[16];
    int save_rule_count;
};

enum { REPLICA_ERROR_MAX = 512 };
/* On failure error is one line for the operator. */
enum status replica_create(struct replica **replica, const struct replica_options *options,
                           char error[static REPLICA_ERROR_MAX]) MUST_CHECK;
/* Loads snapshot and journal; until it has returned commands are refused with
 * LOADING.  pump is called every now and then so that connections are served; it
 * stops the loading by returning false.  restore_path: a snapshot to begin a new
 * store with, or NULL. */
enum status replica_load(struct replica *r, const char *restore_path, bool (*pump)(void *context), void *context,
                         char error[static REPLICA_ERROR_MAX]) MUST_CHECK;
/* The clean mark; nothing may be said after it. */
enum status replica_close(struct replica *r) MUST_CHECK;
void replica_free(struct replica *r);

/* No peers and no journal: the server runs commands where it parses them. */
bool replica_is_lone(const struct replica *r);
bool replica_is_loading(const struct replica *r);
/* Changes that may come at run time. */
void replica_set_timeouts(struct replica *r, uint64_t cluster_timeout_us);
void replica_set_save_rules(struct replica *r, const struct replica_save_rule *rules, int count,
                            size_t journal_rewrite_bytes);
void replica_set_journal_mode(struct replica *r, enum journal_mode mode);
void replica_set_password(struct replica *r, const char *password);

/* --- commands ------------------------------------------------------------ */

/* Lone: call before running a command of this pass; brings logical time to
 * the wall clock and, once per pass, removes what is due. */
void replica_begin(struct replica *r);

/* Cluster: takes one command of client (route READ or WRITE); argv is copied.
 * Answered through the clients' callbacks, in the order of submission per
 * client. */
void replica_submit(struct replica *r, struct proposer_client *client, const struct command *row, int db, int argc,
                    const struct slice *argv);
/* Takes back the newest command of a client, which will not be answered then.
 * False if it may be on its way. */
bool replica_withdraw(struct replica *r, struct proposer_client *client);
/* Whether replica_submit would go beyond the bound of queued bytes; the caller
 * then stops reading from clients until replica_is_full is false again. */
bool replica_is_full(const struct replica *r);

/* At the end of a pass of the reactor: proposes what was submitted, sends the
 * frames of this pass.  Call after all input of the pass was handled and
 * before streams are flushed. */
void replica_pass_end(struct replica *r);

/* Data of the order so far: what RABIA DIGEST and fencing tokens count.  Lap
 * times 16 plus lane of the newest applied batch; a lone replica counts
 * commands. */
uint64_t replica_position(const struct replica *r);

/* Asks all members to bring their frontiers past the slot at position, which in
 * an idle cluster would stay where they are; WAIT counts by them.  Like all that
 * steps the order it may answer clients: to be called from a timer. */
void replica_nudge(struct replica *r, uint64_t position);

/* NULL while commands that need order are taken; else the error reply that
 * says why not ("CLUSTERDOWN ...", "DIVERGED ..."), valid until the next call. */
const char *replica_refusal(struct replica *r);
/* The journal's next segment cannot be had: what must still be said has room,
 * new writes have not. */
bool replica_is_disk_low(const struct replica *r);
/* The same for what is answered from data that may be stale, or from none. */
const char *replica_refusal_of_stale(struct replica *r);

/* For the server's cron, about ten times a second: expiry of a lone or idle
 * store, reclaiming memory, noticing what became of peers. */
void replica_cron(struct replica *r);

/* Orderly end: no new proposals are accepted by the server any more; true when
 * nothing of our clients is under way. */
bool replica_is_drained(const struct replica *r);

/* BGSAVE and SAVE.  STATUS_AGAIN: one is under way, or nothing to save yet. */
enum status replica_save(struct replica *r, bool is_in_background) MUST_CHECK;

/* Everything said and applied so far is on disk when this returns OK; the whole
 * loop waits for it.  STATUS_NOT_FOUND without a journal. */
enum status replica_flush(struct replica *r) MUST_CHECK;
/* One in the background, soon: for those who run inside a batch. */
void replica_want_save(struct replica *r);

/* --- peers --------------------------------------------------------------- */

/* The handshake a peer sends: RABIA LINK version cluster members from-id
 * to-id incarnation.  On success takes the stream (the acceptor's answer has
 * been written to it) and returns NULL; on failure returns the error text for
 * the peer, valid until the next call, and logs it. */
struct replica_hello {
    uint64_t version;
    struct slice cluster_name, members; /* members as replica_members_text prints them; "-" from one that is
                                           not about to form its first cluster */
    uint64_t from_id, to_id, incarnation;
};
const char *replica_check_hello(struct replica *r, const struct replica_hello *hello);
void replica_accept(struct replica *r, const struct replica_hello *hello, struct stream *stream);
/* One that calls itself from_id introduced itself without the password: logged now and then. */
void replica_note_unauthenticated(struct replica *r, struct slice from_id, const char *address);
/* "1@127.0.0.1:7001 2@..." in ascending order of id; lives as long as r. */
const char *replica_members_text(const struct replica *r);
uint64_t replica_incarnation(const struct replica *r);

/* --- membership ----------------------------------------------------------- */

/* Why RABIA ADD, REMOVE, REPLACE or MOVE is not even to be proposed here, or NULL; valid until
 * the next call.  Most refusals come out of the order instead. */
const char *replica_refusal_of_change(struct replica *r, int argc, const struct slice *argv);

/* RABIA RECOVER FORCE: the members that are here go on without the others, for good, in a new epoch with the newest
 * data among them.  text tells what is kept, given up and perhaps lost; or, with false, why not. */
bool replica_recover_force(struct replica *r, char *text, size_t size);

/* RABIA ROSTER version cluster id: the list of members, for one that joins.  An error
 * text, or NULL and *answer is filled. */
struct replica_roster_question {
    uint64_t version, id;
    struct slice cluster_name;
};
struct replica_roster_answer {
    uint64_t epoch, seed;
    bool is_gone; /* who asked was removed, and that is in force */
    size_t size;
    unsigned char bytes[ROSTER_BYTES_MAX];
};
const char *replica_roster(struct replica *r, const struct replica_roster_question *question,
                           struct replica_roster_answer *answer);

/* --- looking ------------------------------------------------------------- */

enum replica_state {
    REPLICA_LONE,
    REPLICA_LOADING,
    REPLICA_JOINING,   /* waits to be put on the list of members */
    REPLICA_FORMING,   /* waits for the other members: a new cluster, or a recovery */
    REPLICA_REJOINING, /* without memory: learns, silent until it may speak again */
    REPLICA_UP,
    REPLICA_LEARNER,   /* caught up or about to, without a voice yet */
    REPLICA_REMOVED,   /* no longer of the cluster: stopped serving */
    REPLICA_BEHIND,    /* fell behind what peers keep: fetches a snapshot */
    REPLICA_DIVERGED,  /* its data differs from what a quorum agrees on: stopped serving */
    REPLICA_FAILED     /* its disk failed: silent until restarted */
};
enum replica_link_state { LINK_SELF, LINK_DOWN, LINK_DIALING, LINK_UP };

struct replica_peer_status {
    uint16_t id;
    uint8_t index; /* its lane */
    enum roster_state member_state;
    bool has_voice;       /* counts at the frontier */
    uint64_t voice_from;  /* lap from which that will change; RABIA_NO_LAP: no change is under way */
    uint16_t replaces;
    uint64_t behind_laps;
    const char *host; /* lives as long as the replica */
    int port;
    enum replica_link_state link;
    bool is_heard;           /* spoke within the last second */
    uint64_t silent_ms;      /* since its last frame */
    uint64_t round_trip_us;  /* smoothed; 0: unknown */
    uint64_t bytes_in, bytes_out, frames_in, frames_out, links_made, frames_dropped;
    size_t queued_bytes;
    char last_error[128];    /* why the link is down, "" if it is not */
};
struct replica_status {
    enum replica_state state;
    const char *state_text;
    char waiting_for[256]; /* what a replica that is not up waits for, "" otherwise */
    bool has_quorum;
    int member_count;  /* members and learners */
    int removed_count; /* peers behind those */
    int voter_count;
    uint64_t roster_version;
    uint16_t self_id;
    uint64_t incarnation, position;
    int64_t logical_time_ms;
    uint64_t batches_proposed, batches_applied, batches_void, batches_reproposed;
    uint64_t commands_applied, commands_proposed, reads_ridden;
    uint64_t failures_no_quorum, failures_in_doubt, clock_refusals;
    uint64_t digests_compared, digests_differing;
    size_t queued_bytes, batches_in_flight;
    uint64_t epoch, snapshots_sent, snapshots_received;
    uint64_t loading_done, loading_total;
    int64_t loading_since_s;
    uint64_t loaded_keys; /* of the snapshot this process began with */
    struct memory_figures memory;
    struct replica_peer_status peers[RABIA_MEMBERS_MAX];
    struct rabia_status order; /* zero for a lone replica */
};
void replica_get_status(struct replica *r, struct replica_status *status);

#endif
