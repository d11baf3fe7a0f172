/* One-shot timers, embedded in whatever they wake.
 *
 * A timer fires in the first pass that begins waiting or running timers at or
 * after its deadline; one that is set to the past fires in the next pass at the
 * latest.  Setting and cancelling cost O(log n) of the timers set. */
#ifndef NET_TIMER_H
#define NET_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

typedef void timer_fn(void *context);

struct timer {
    struct loop *loop;
    timer_fn *fn;
    void *context;
    int64_t deadline_us;
    size_t place; /* in the heap, from 1; 0: not set */
};

void timer_init(struct timer *timer, struct loop *loop, timer_fn *fn, void *context);
/* deadline_us is on the scale of loop_now_us.  Replaces an earlier deadline. */
void timer_set(struct timer *timer, int64_t deadline_us);
/* After this fn is not called.  Harmless when not set. */
void timer_cancel(struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

#endif
