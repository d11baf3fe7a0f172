/* The reactor: waits for sockets, timers and signals, and says what time it is.
 *
 * One thread, one loop.  A pass is: wait; handle the sockets that are ready;
 * run the timers that are due; run what was put off (closings, resumed
 * streams, finished dials); call the pass-end hook; flush dirty streams.  So
 * everything one pass caused leaves in as few writes as there are streams, and
 * the hook is where a batch is closed or a journal flushed before any reply
 * that depends on it is sent.
 *
 * I1: the owner's callbacks are called from loop_pass alone, never from inside
 *     a call the owner made.
 * I2: no callback runs between the pass-end hook and the flush.
 * I3: time does not move within a pass: every callback of a pass sees one now.
 *
 * Built on libevent (epoll), which no other room sees.  Timers are our own heap
 * over one timerfd, re-armed only when the earliest deadline comes nearer: they
 * are as precise as the kernel's, and a pass costs no system call for them.
 * Creating a loop makes the process ignore SIGPIPE. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

typedef void loop_hook_fn(void *context);
typedef void loop_signal_fn(void *context, int signal_number);

/* Aborts if the system refuses descriptors: nothing can run without it. */
struct loop *loop_create(void);
/* Every stream, listener and dial of the loop must be gone. */
void loop_free(struct loop *loop);

/* Passes until loop_stop is called. */
void loop_run(struct loop *loop);
/* The pass under way is completed first.  May be called from any callback. */
void loop_stop(struct loop *loop);
/* One pass.  With may_wait it waits until there is something to do. */
void loop_pass(struct loop *loop, bool may_wait);

/* The one pass-end hook; NULL for none. */
void loop_set_pass_end(struct loop *loop, loop_hook_fn *hook, void *context);
/* The next pass will not wait: the owner has work left. */
void loop_again(struct loop *loop);
/* The same from another thread or a signal handler; wakes a waiting loop. */
void loop_wake(struct loop *loop);

/* Monotonic microseconds, the scale of all deadlines, as of this pass. */
int64_t loop_now_us(const struct loop *loop);
/* Milliseconds since 1970 by the wall clock, as of this pass. */
int64_t loop_wall_ms(const struct loop *loop);
/* The monotonic clock itself, for measuring within a pass. */
int64_t loop_clock_us(void);

/* Calls fn from the loop, not in signal context.  One handler per signal; at most
 * LOOP_SIGNALS_MAX signals. */
enum { LOOP_SIGNALS_MAX = 8 };
void loop_on_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *context);

struct loop_figures {
    uint64_t passes;
    uint64_t bytes_in, bytes_out; /* over all streams, ever */
    uint64_t reads, writes;       /* system calls on streams */
    size_t objects;               /* live streams, listeners and dials */
};
struct loop_figures loop_figures(const struct loop *loop);

#endif
