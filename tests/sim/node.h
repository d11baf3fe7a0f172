/* One simulated process: a replica's core, its journal and disk, the frames it
 * is putting together, its clients' commands and its store.
 *
 *   agenda --item--> inbox --one at a time--> rabia_step --out-->
 *       records: journal (and checkers)     messages: outboxes, then network
 *       decided: store, answers             deadline: agenda
 *
 * A stopped or slow process does not take from its inbox; nothing in it is
 * lost.  A crashed one takes nothing any more; its disk is what its next life
 * begins from (disk.h).  A process may be doomed: then it dies while its next
 * out is honoured, at any point between two of its records, messages or
 * decided slots.
 *
 *   N1  nobody wants a snapshot of peers that keep everything
 *   N2  no replica asks for ticks without end
 *   N3  see disk.h
 *   N4  a journal that is not damaged is replayed to its end
 *   N5  after a process was killed, the journal leads at least to where it was */
#ifndef SIM_NODE_H
#define SIM_NODE_H

#include "disk.h"
#include "network.h"
#include "order_checker.h"
#include "owner.h"
#include "trace.h"
#include "wire_checker.h"

/* What all processes of a run share. */
struct world {
    struct plan plan;
    struct verdict verdict;
    struct trace trace;
    struct agenda agenda;
    struct network network;
    struct wire_checker wire;
    struct order_checker order;
    struct clients clients;
    struct random process_random;
    uint16_t learners; /* who is told everything besides the members */
    uint64_t now_us, steps;
    uint64_t lives, rejoins, installs, cuts, refused_installs;
    bool is_measuring; /* economy: past the warm-up */
    uint64_t decide_max_us; /* economy: longest from PROPOSE to the owner's own decision */
    uint64_t order_max_us;  /* and to its coming out of the order */
};

struct node_outbox {
    struct rabia_message *messages;
    size_t count, capacity;
    bool has_urgent, has_lazy_timer;
};

struct node {
    struct world *world;
    struct rabia *rabia;
    struct rabia_out out;
    struct owner owner;
    struct data_store store;
    uint8_t self;
    bool is_crashed, needs_snapshot;
    bool is_doomed, has_died; /* dies in its next out; did so, and the cluster has to see to it */
    bool was_killed;          /* the last life ended with all it wrote */
    bool is_rejoining;        /* without memory, and not up */
    bool was_removed;
    bool has_lost_track;      /* own slots are unknown: sessions have to go */
    uint32_t life, incarnation;
    uint32_t known[RABIA_MEMBERS_MAX]; /* incarnations */
    uint64_t own_base;        /* own slots below are of an earlier life, or nobody waits for them */
    uint64_t clear_mark_seq;  /* the rejoining mark goes when this is on disk; 0: not yet */
    size_t died_at;           /* position */
    struct disk disk;

    struct agenda_item *inbox;
    size_t inbox_head, inbox_end, inbox_capacity;
    uint64_t busy_until_us, wake_us;
    uint32_t slow_us; /* per event, on top of the plan's */

    uint64_t deadline_us, tick_us; /* what the core asked for; when the agenda will ask */
    uint64_t tick_stamp, last_tick_us;
    uint32_t ticks_at_once;

    uint64_t flushed_seq, needed_seq; /* on disk; must get there */
    bool is_flushing;

    struct node_outbox outboxes[RABIA_MEMBERS_MAX];
    int64_t wall_offset_ms;
};

/* A replica that begins where nothing has happened. */
void node_init(struct node *node, struct world *world, uint8_t self);
/* One that is not started yet. */
void node_init_down(struct node *node, struct world *world, uint8_t self);
void node_deinit(struct node *node);
/* An item for this node came up; its payload is the node's from here on. */
void node_take(struct node *node, struct agenda_item item);
/* Nothing is taken from the inbox before then. */
void node_stop_until(struct node *node, uint64_t until_us);
void node_resume(struct node *node);
void node_crash(struct node *node);
/* The next life: with memory, or without if the mark is on the disk. */
void node_rise(struct node *node);
/* Dead: the disk loses what it has not flushed, but for chance. */
void node_lose_tail(struct node *node, struct random *random);
void node_lose_all(struct node *node, bool loses_data);
void node_begin_snapshot(struct node *node);
struct snapshot *node_copy_data(const struct node *node);
/* Whether clients are served. */
bool node_is_serving(const struct node *node);
uint64_t node_wall_ms(const struct node *node);

#endif
