/* One simulated process: a replica's core, its journal and disk, the frames it
 * is putting together, its clients' commands and its store.
 *
 *   agenda --item--> inbox --one at a time--> rabia_step --out-->
 *       records: journal (and checkers)     messages: outboxes, then network
 *       decided: store, answers             deadline: agenda
 *
 * A stopped or slow process does not take from its inbox; nothing in it is
 * lost.  A crashed one takes nothing any more.  The journal keeps every record
 * and how far it is flushed, which is what a restart will begin from. */
#ifndef SIM_NODE_H
#define SIM_NODE_H

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
    uint64_t now_us, steps;
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

    struct agenda_item *inbox;
    size_t inbox_head, inbox_end, inbox_capacity;
    uint64_t busy_until_us, wake_us;
    uint32_t slow_us; /* per event, on top of the plan's */

    uint64_t deadline_us, tick_us; /* what the core asked for; when the agenda will ask */
    uint64_t tick_stamp, last_tick_us;
    uint32_t ticks_at_once;

    struct rabia_record *journal;
    size_t journal_count, journal_capacity;
    uint64_t flushed_seq, needed_seq; /* on disk; must get there */
    bool is_flushing;

    struct node_outbox outboxes[RABIA_MEMBERS_MAX];
    int64_t wall_offset_ms;
};

void node_init(struct node *node, struct world *world, uint8_t self);
void node_deinit(struct node *node);
/* An item for this node came up; its payload is the node's from here on. */
void node_take(struct node *node, struct agenda_item item);
/* Nothing is taken from the inbox before then. */
void node_stop_until(struct node *node, uint64_t until_us);
void node_resume(struct node *node);
void node_crash(struct node *node);
uint64_t node_wall_ms(const struct node *node);

#endif
