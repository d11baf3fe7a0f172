#include "net/timer.h"

#include <sys/timerfd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "net/loop_private.h"

static void put(struct loop *loop, size_t place, struct timer *timer)
{
    loop->heap[place] = timer;
    timer->place = place;
}

/* Moves timer from a hole at place to where its deadline belongs. */
static void sift(struct loop *loop, size_t place, struct timer *timer)
{
    while (place > 1 && loop->heap[place / 2]->deadline_us > timer->deadline_us) {
        put(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        size_t child = place * 2;
        if (child < loop->timer_count && loop->heap[child + 1]->deadline_us < loop->heap[child]->deadline_us)
            child++;
        if (child > loop->timer_count || loop->heap[child]->deadline_us >= timer->deadline_us)
            break;
        put(loop, place, loop->heap[child]);
        place = child;
    }
    put(loop, place, timer);
}

void timer_init(struct timer *timer, struct loop *loop, timer_fn *fn, void *context)
{
    *timer = (struct timer){.loop = loop, .fn = fn, .context = context};
}

void timer_set(struct timer *timer, int64_t deadline_us)
{
    struct loop *loop = timer->loop;
    timer->deadline_us = deadline_us;
    if (!timer->place) {
        if (loop->timer_count + 1 >= loop->heap_capacity) {
            loop->heap_capacity = loop->heap_capacity ? loop->heap_capacity * 2 : 64;
            loop->heap = mem_realloc(loop->heap, loop->heap_capacity * sizeof *loop->heap);
        }
        put(loop, ++loop->timer_count, timer);
    }
    sift(loop, timer->place, timer);
}

void timer_cancel(struct timer *timer)
{
    struct loop *loop = timer->loop;
    size_t hole = timer->place;
    if (!hole)
        return;
    CHECK(loop->heap[hole] == timer);
    timer->place = 0;
    struct timer *last = loop->heap[loop->timer_count--];
    if (last != timer)
        sift(loop, hole, last);
}

/* A timer that sets itself to the past must not keep the pass from ending: as
 * many fire as were set when the pass came here, the rest in the next. */
void timers_run(struct loop *loop)
{
    for (size_t left = loop->timer_count; left > 0 && loop->timer_count > 0; left--) {
        struct timer *first = loop->heap[1];
        if (first->deadline_us > loop->now_us)
            break;
        timer_cancel(first);
        first->fn(first->context);
    }
}

bool timers_arm(struct loop *loop)
{
    if (loop->timer_count == 0)
        return false;
    int64_t deadline_us = loop->heap[1]->deadline_us;
    if (deadline_us <= loop->now_us)
        return true;
    if (loop->armed_us && loop->armed_us <= deadline_us)
        return false; /* it will wake us in time; too early costs one pass */
    struct itimerspec spec = {.it_value = {deadline_us / 1000000, deadline_us % 1000000 * 1000}};
    int failed = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    CHECK(!failed);
    loop->armed_us = deadline_us;
    return false;
}
