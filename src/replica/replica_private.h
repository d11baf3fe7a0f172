/* The replica's state, and what its files offer one another.  Internal to
 * replica/; everyone else includes replica.h.
 *
 *   replica.c        life, clients' commands, the end of a pass, cron
 *   ordering.c       steps of the ordering core, and honouring what comes out
 *   forming.c        from stages of formation.h to what must be done for them
 *   peers.c          events of links, frames, introductions
 *   transfer.c       a snapshot from a peer
 *   sending.c        snapshots to peers, and what was decided since
 *   membership.c     who belongs to the cluster (roster.h), put into effect
 *   joining.c        asking others for the list of members
 *   replica_status.c what it waits for, what it refuses, RABIA STATUS
 *
 * Who may do what, by stage:
 *
 *                   steps the order   serves   state shown
 *   (loading)             no            no      loading
 *   (joining)             no            no      joining
 *   GATHERING, READY      no            no      forming
 *   REJOINING             yes           no      rejoining
 *   FORMED                yes           yes     up
 *     without a voice     yes           no      learner
 *   is_removed            no            no      removed
 *   is_installing         no            no      behind
 *   is_diverged           yes           no      diverged
 *   memory has failed     no            no      failed */
#ifndef REPLICA_REPLICA_PRIVATE_H
#define REPLICA_REPLICA_PRIVATE_H

#include "net/timer.h"
#include "replica/apply.h"
#include "replica/divergence.h"
#include "replica/formation.h"
#include "replica/link.h"
#include "replica/memory.h"
#include "replica/proposer.h"
#include "replica/replica.h"
#include "replica/roster.h"
#include "replica/spool.h"

enum {
    FIRST_LAP = 1,           /* so that position 0 means: nothing yet */
    HEARD_US = 1000 * 1000,  /* a peer that spoke within this is there */
    SAVE_RULES_MAX = 16,
    /* Of a snapshot's state: epoch, seed, two lengths, the core's export, the roster. */
    REPLICA_STATE_BYTES_MAX = 24 + RABIA_EXPORT_BYTES + ROSTER_BYTES_MAX,
};

/* What a snapshot holds besides the data. */
struct snapshot_state {
    uint64_t epoch, seed; /* whose data it is */
    struct slice core;    /* its export; points into the bytes that were read */
    struct roster roster;
};

/* An answer to RABIA ROSTER. */
struct roster_heard {
    bool is_there, is_gone; /* is_gone: we were removed, and that is in force */
    uint64_t epoch, seed;
    struct roster roster;
};

/* A snapshot on its way to a peer. */
struct sending {
    bool is_under_way;
    uint64_t number; /* of its ask */
    uint64_t offset; /* in the spool's snapshot: what comes next */
};

struct replica {
    struct loop *loop;
    struct keyspace *keyspace;
    struct apply apply;
    struct replica_clients clients;
    bool is_lone; /* no peers, no journal: commands run where they are parsed */
    bool is_loading, is_diverged, is_installing, is_disk_low;
    bool is_order_rejoining;
    bool must_save_to_end_rejoin; /* the core has rejoined; what it learnt must be durable first */
    bool wants_save;              /* a snapshot is due whatever the rules say */
    uint64_t saves_seen, records_replayed;
    bool is_journal_damaged;
    const char *restore_path;
    uint64_t commands_begun; /* lone: the position */
    int64_t begun_wall_ms;   /* lone: logical time was brought to this */
    struct memory *memory;
    struct replica_save_rule save_rules[SAVE_RULES_MAX];
    int save_rule_count;
    size_t journal_rewrite_bytes;
    uint64_t loading_done, loading_total;
    int64_t loading_since_s, loading_pumped_us, loading_logged_us;
    uint64_t snapshot_bytes, loaded_keys; /* of the snapshot this process began with */
    bool (*loading_pump)(void *context);
    void *loading_context;

    /* Everything below: not when is_lone. */
    char *cluster_name, *password, *members_text;
    struct roster roster;
    uint16_t self_id;
    bool is_joining;      /* no list of members yet: it is asked for */
    bool is_unlisted;     /* who was asked has not got us on its list */
    bool was_told_removed; /* by a peer that refused us; membership_cron acts on it */
    bool is_removed;      /* no longer of the cluster: silent for good */
    bool is_roster_dirty; /* membership_settle has something to do */
    struct replica_member members[RABIA_MEMBERS_MAX]; /* by index, out of the roster: holes and the removed included */
    uint8_t member_count, self; /* indices in use lie below member_count */
    struct roster_entry linked[RABIA_MEMBERS_MAX]; /* as its link was opened */
    uint64_t leaving_since_us[RABIA_MEMBERS_MAX];  /* removed, and still told so; 0: no */
    uint16_t told_listeners;
    const struct rabia *told_order;
    struct proposer_client silent; /* of the replica's own commands */
    uint64_t voice_again_us;
    uint64_t frontiers_before[4], frontier_noted_us; /* ours, the newest first; 0: not known */
    struct replica_member join[RABIA_MEMBERS_MAX]; /* cluster-join; ids 0 */
    int join_count, roster_turn;
    struct dial *roster_dial; /* NULL: not asking */
    uint64_t roster_asked_us;
    struct roster_heard heard;
    char roster_error[128], change_refusal[ROSTER_REASON_MAX];
    struct rabia_options order_options;
    struct rabia *order; /* NULL while GATHERING or READY without memory */
    uint64_t order_seed; /* of the epoch it belongs to */
    uint64_t loaded_epoch, loaded_seed; /* of the data that was here at the start; 0: none, or of no epoch */
    uint64_t begun_us;      /* since when peers can find us */
    uint64_t elder_us;      /* when a member of a cluster we know nothing of took us for one of its own; 0: never */
    uint16_t elder_id;
    uint64_t superseded_by; /* an incarnation of ours that others know */
    struct rabia_out out;
    uint64_t order_deadline_us;
    uint64_t newest_seq, told_seq; /* without a journal: records that need a flush have it at once */
    uint16_t to_forget;            /* members whose successors the order must hear of, bit per index */
    struct proposer proposer;
    struct formation formation;
    struct divergence divergence;
    struct frame_identity identity;
    struct link links[RABIA_MEMBERS_MAX];
    struct frame_messages messages;
    struct frame_assembly assemblies[RABIA_MEMBERS_MAX];
    struct buf chunk_scratch;
    struct timer wake_timer;
    uint64_t pass_us; /* when the last pass ended */
    uint64_t cluster_timeout_us, quorum_lost_us, wait_logged_us, claim_said_us;
    struct peer_clock {
        uint64_t wall_ms, heard_us; /* that peer's wall clock, and when it told; 0: it has not */
    } peer_clocks[RABIA_MEMBERS_MAX];
    uint8_t hearing; /* the peer whose messages the step under way is about */
    uint64_t batches_applied, batches_void, clock_refusals;

    struct spool *spool; /* NULL: nobody needs one */
    uint64_t spool_used_us, spool_made_us; /* last; made_us 0: never */
    struct sending sending[RABIA_MEMBERS_MAX];
    struct snapshot_reader *receiving; /* NULL: none has begun */
    uint8_t receiving_from;
    uint64_t ask_number;      /* of the newest ask */
    uint16_t bad_from;        /* peers whose last snapshot was no good, a bit per index */
    int refusals;             /* in a row */
    uint64_t asked_us, received_us; /* when, last */
    uint64_t received_bytes, transfers_in, transfers_out;

    char refusal[320], hello_error[256], introduction[4][24];
    /* Per member, and one for all strangers: what is refused comes again and again. */
    struct refusal_logged {
        const char *why; /* static text of the last line in the log */
        uint64_t logged_us;
    } refusals_logged[RABIA_MEMBERS_MAX + 1];
    struct slice introduction_argv[8], auth_argv[2];
};

static inline uint64_t replica_now(const struct replica *r)
{
    return (uint64_t)loop_now_us(r->loop);
}
static inline uint64_t earlier_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t own_incarnation(const struct replica *r)
{
    return r->formation.members[r->self].incarnation;
}

/* --- replica.c ------------------------------------------------------------- */

/* What a snapshot of now holds; state lives in bytes. */
struct memory_save replica_save_of_now(struct replica *r, unsigned char bytes[static REPLICA_STATE_BYTES_MAX]);

/* --- ordering.c ------------------------------------------------------------ */

struct rabia_event ordering_event(const struct replica *r, enum rabia_event_kind kind);
/* Nothing happens while the stage forbids it. */
void ordering_step(struct replica *r, const struct rabia_event *event);
/* What the core put into r->out, in the order rabia.h prescribes. */
void ordering_honour(struct replica *r);
void ordering_propose(struct replica *r);
/* One message on its way, in chunks if it is long. */
void ordering_send(struct replica *r, const struct rabia_outgoing *outgoing);
/* The wall clock for a batch of ours. */
uint64_t ordering_clock_ms(const struct replica *r);
/* A peer tells its wall clock. */
void ordering_note_clock(struct replica *r, uint8_t peer, uint64_t wall_ms);
void ordering_note_digest(struct replica *r, uint8_t member, const struct frame_digest *digest);
/* Whether the stage and the disk let this replica take part. */
bool ordering_may_step(const struct replica *r);

/* --- forming.c ------------------------------------------------------------- */

/* The own claim may have changed: acts on it, tells all. */
void forming_act(struct replica *r);
void forming_say_claim(struct replica *r);
/* An incarnation greater than all known of this member; wall clock and chance. */
uint64_t forming_draw_incarnation(const struct replica *r, uint64_t above);
/* A process of peer introduced itself.  False: it has a successor. */
bool forming_meet(struct replica *r, uint8_t peer, uint64_t incarnation);
/* Gives the memory's identity file what is known now. */
bool forming_save_identity(struct replica *r, bool is_rejoining);
/* A snapshot became durable. */
void forming_saved(struct replica *r);
/* A member of a cluster with that name, who is not on our list, takes us for one of its own. */
void forming_meet_elder(struct replica *r, uint64_t id);
bool forming_knows_elder(const struct replica *r);
/* Began a cluster as its only member, and the members have never changed: then nobody but itself says
 * that this is the first one of that name. */
bool forming_is_founder(const struct replica *r);
void forming_cron(struct replica *r);
/* The core fell behind, or has rejoined: what its out says. */
void forming_honour(struct replica *r);

/* --- peers.c --------------------------------------------------------------- */

extern const struct link_events peers_link_events;
bool peers_is_heard(const struct replica *r, int member);
/* Whether a refusal is worth a line; why is static text, member an index, -1 for
 * a stranger. */
bool peers_is_news(struct replica *r, int member, const char *why);

/* --- transfer.c ------------------------------------------------------------ */

/* Asks a peer for its snapshot; the order stands still until it is in. */
void transfer_want(struct replica *r);
void transfer_data(struct replica *r, uint8_t peer, uint64_t number, struct slice bytes);
void transfer_ended(struct replica *r, uint8_t peer, uint64_t number, enum frame_snapshot_end end);
void transfer_lost(struct replica *r, uint8_t peer);
/* The order it was for is gone.  True: so are the data that were here. */
bool transfer_give_up(struct replica *r);
/* Asks again where nothing came; returns when it must be called again. */
uint64_t transfer_pass_end(struct replica *r);
void transfer_free(struct replica *r);

/* --- sending.c --------------------------------------------------------------- */

/* A peer wants a snapshot: it is sent one, or told at once that it will not be. */
void sending_asked(struct replica *r, uint8_t peer, const struct frame_ask *ask);
void sending_stop(struct replica *r, uint8_t peer);
/* A batch came out of the order. */
void sending_note(struct replica *r, const struct rabia_decided *decided);
/* Takes out of messages the ASKs for slots that only the spool has, and answers them. */
void sending_answer_asks(struct replica *r, uint8_t peer, struct frame_messages *messages);
/* The order jumped, or is another: what is kept does not belong to it. */
void sending_drop(struct replica *r);
/* Goes on where links have drained; returns when it must be called again. */
uint64_t sending_pass_end(struct replica *r);

/* --- membership.c ---------------------------------------------------------- */

/* The list to begin with, in ascending order of id; empty: to be asked for. */
void membership_begin(struct replica *r, const struct replica_member *members, int count, uint16_t self_id);
/* What follows from the roster at once: indices, addresses, the core's options. */
void membership_renumber(struct replica *r);
/* The rest: links, who counts, who listens.  Outside the core's steps; cheap if nothing changed. */
void membership_settle(struct replica *r);
/* apply.h's hook. */
void membership_change(void *context, struct call *call, uint64_t lap);
/* A list from elsewhere, with ourselves on it, for a replica that takes no part yet. */
bool membership_adopt(struct replica *r, const struct roster *roster);
/* We were removed, and that is in force. */
void membership_leave(struct replica *r);
void membership_cron(struct replica *r);
void membership_close_links(struct replica *r);
/* Members with a voice at the frontier, a bit per index. */
uint16_t membership_voters(const struct replica *r);
bool membership_has_voice(const struct replica *r);
bool membership_hears_quorum(const struct replica *r, uint16_t mask);
/* Removed, and out of force. */
bool membership_is_gone(const struct replica *r, uint64_t id);
size_t membership_write_state(const struct replica *r, unsigned char bytes[static REPLICA_STATE_BYTES_MAX]);
/* False: malformed. */
bool membership_read_state(struct slice bytes, struct snapshot_state *state);

/* --- joining.c -------------------------------------------------------------- */

void joining_cron(struct replica *r);
void joining_describe(const struct replica *r, char *text, size_t size);
void joining_stop(struct replica *r);

/* --- replica_status.c ------------------------------------------------------ */

bool status_has_quorum(const struct replica *r);
/* What this replica waits for, "" if nothing. */
void status_describe_wait(const struct replica *r, char *text, size_t size);
enum replica_state status_of(const struct replica *r);

#endif
