/* What the files of this room share.  Includes libevent: no other room includes this. */
#ifndef NET_LOOP_PRIVATE_H
#define NET_LOOP_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "net/timer.h"

/* A call put off to the end of the pass, so that it does not happen inside a call
 * of the owner (I1 of loop.h).  Embedded; pending while linked. */
struct deferred {
    struct list_link link;
    void (*fn)(void *context);
    void *context;
};

enum {
    LOOP_SPARES_MAX = 32, /* empty output buffers kept for the next stream that replies */
    LOOP_SPARE_BYTES = 16 * 1024,
    LOOP_SPARE_BYTES_MAX = 64 * 1024, /* a larger one is given back to the allocator */
};

struct loop {
    struct event_base *base;
    bool is_stopped, is_again, is_in_pass, is_now_fresh;
    int64_t now_us, wall_ms;
    loop_hook_fn *pass_end;
    void *pass_end_context;

    /* Timers: heap[1 .. timer_count], a binary heap by deadline. */
    struct timer **heap;
    size_t timer_count, heap_capacity;
    int timer_fd;
    int64_t armed_us; /* deadline the timerfd is set to, 0: none */
    struct event timer_event;

    int wake_fd;
    struct event wake_event;

    struct signal_handler {
        struct event event;
        struct loop *loop;
        loop_signal_fn *fn;
        void *context;
    } signals[LOOP_SIGNALS_MAX];
    int signal_count;

    struct list deferred; /* struct deferred */
    struct list dirty;    /* struct stream */
    struct buf input;     /* lent to the stream whose callback runs */
    struct buf spares[LOOP_SPARES_MAX];
    int spare_count;
    struct loop_figures figures;
};

/* Every callback of libevent begins with this: the first of a pass reads the clocks. */
void loop_enter(struct loop *loop);
void loop_defer(struct loop *loop, struct deferred *deferred);
void loop_defer_cancel(struct deferred *deferred);
void loop_object_added(struct loop *loop);
void loop_object_removed(struct loop *loop);

/* timer.c */
void timers_run(struct loop *loop);
/* Arms the timerfd before a wait; true if a timer is due already. */
bool timers_arm(struct loop *loop);

/* stream.c */
void streams_flush_dirty(struct loop *loop);

#endif
