#include "net/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "net/loop_private.h"
#include "net/stream.h"

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t loop_clock_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static void read_clocks(struct loop *loop)
{
    loop->now_us = clock_us(CLOCK_MONOTONIC);
    loop->wall_ms = clock_us(CLOCK_REALTIME) / 1000;
    loop->is_now_fresh = true;
}

void loop_enter(struct loop *loop)
{
    if (!loop->is_now_fresh)
        read_clocks(loop);
}

/* --- life --------------------------------------------------------------------- */

static void on_timer_fd(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct loop *loop = context;
    loop_enter(loop);
    uint64_t expirations;
    ssize_t got = read(fd, &expirations, sizeof expirations);
    (void)got; /* EAGAIN: it was set anew since */
    loop->armed_us = 0;
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    loop_enter(context);
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got; /* an empty one woke us for nothing */
}

static void watch(struct loop *loop, struct event *event, int fd, event_callback_fn fn)
{
    CHECK(fd >= 0);
    int failed = event_assign(event, loop->base, fd, EV_READ | EV_PERSIST, fn, loop) || event_add(event, NULL);
    CHECK(!failed);
}

/* No EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: it forbids descriptors made by dup,
 * which is how a dialled connection is handed over, and interests hardly ever
 * change within a pass here. */
static struct event_base *create_base(void)
{
    struct event_config *config = event_config_new();
    CHECK(config);
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_require_features(config, EV_FEATURE_O1);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    CHECK(base);
    return base;
}

struct loop *loop_create(void)
{
    struct loop *loop = mem_calloc(1, sizeof *loop);
    signal(SIGPIPE, SIG_IGN);
    loop->base = create_base();
    list_init(&loop->deferred);
    list_init(&loop->dirty);
    buf_reserve(&loop->input, STREAM_READ_BYTES_PER_PASS);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    watch(loop, &loop->timer_event, loop->timer_fd, on_timer_fd);
    watch(loop, &loop->wake_event, loop->wake_fd, on_wake);
    read_clocks(loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    CHECK(!loop->is_in_pass);
    CHECK(loop->figures.objects == 0);
    CHECK(list_is_empty(&loop->deferred));
    for (int i = 0; i < loop->signal_count; i++)
        event_del(&loop->signals[i].event);
    event_del(&loop->timer_event);
    event_del(&loop->wake_event);
    event_base_free(loop->base);
    close(loop->timer_fd);
    close(loop->wake_fd);
    for (int i = 0; i < loop->spare_count; i++)
        buf_deinit(&loop->spares[i]);
    buf_deinit(&loop->input);
    mem_free(loop->heap);
    mem_free(loop);
}

void loop_object_added(struct loop *loop)
{
    loop->figures.objects++;
}

void loop_object_removed(struct loop *loop)
{
    CHECK(loop->figures.objects > 0);
    loop->figures.objects--;
}

/* --- passes ------------------------------------------------------------------- */

void loop_defer(struct loop *loop, struct deferred *deferred)
{
    if (!list_is_linked(&deferred->link))
        list_append(&loop->deferred, &deferred->link);
}

void loop_defer_cancel(struct deferred *deferred)
{
    if (list_is_linked(&deferred->link))
        list_remove(&deferred->link);
}

/* What is put off meanwhile waits for the next pass, or this one might never end.
 * Any of them may be cancelled by a call before it, so the list is taken over
 * whole and emptied from its front. */
static void run_deferred(struct loop *loop)
{
    struct list due;
    list_init(&due);
    while (!list_is_empty(&loop->deferred)) {
        struct list_link *link = list_first(&loop->deferred);
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_is_empty(&due)) {
        struct deferred *deferred = LIST_ENTRY(list_first(&due), struct deferred, link);
        list_remove(&deferred->link);
        deferred->fn(deferred->context);
    }
}

void loop_pass(struct loop *loop, bool may_wait)
{
    CHECK(!loop->is_in_pass);
    loop->is_in_pass = true;
    loop->figures.passes++;
    bool has_work = loop->is_again || !list_is_empty(&loop->deferred) || !list_is_empty(&loop->dirty);
    if (timers_arm(loop) || has_work)
        may_wait = false;
    loop->is_again = false;
    loop->is_now_fresh = false;
    int failed = event_base_loop(loop->base, may_wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    CHECK(failed >= 0);
    loop_enter(loop);
    timers_run(loop);
    run_deferred(loop);
    if (loop->pass_end)
        loop->pass_end(loop->pass_end_context);
    streams_flush_dirty(loop);
    loop->is_in_pass = false;
}

void loop_run(struct loop *loop)
{
    loop->is_stopped = false;
    while (!loop->is_stopped)
        loop_pass(loop, true);
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}

void loop_set_pass_end(struct loop *loop, loop_hook_fn *hook, void *context)
{
    loop->pass_end = hook;
    loop->pass_end_context = context;
}

void loop_again(struct loop *loop)
{
    loop->is_again = true;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t written = write(loop->wake_fd, &one, sizeof one);
    (void)written; /* EAGAIN: it is awake 2^64 times over */
}

int64_t loop_now_us(const struct loop *loop)
{
    return loop->now_us;
}

int64_t loop_wall_ms(const struct loop *loop)
{
    return loop->wall_ms;
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    (void)what;
    struct signal_handler *handler = context;
    loop_enter(handler->loop);
    handler->fn(handler->context, (int)number);
}

void loop_on_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *context)
{
    CHECK(loop->signal_count < LOOP_SIGNALS_MAX);
    struct signal_handler *handler = &loop->signals[loop->signal_count++];
    handler->loop = loop;
    handler->fn = fn;
    handler->context = context;
    int failed = event_assign(&handler->event, loop->base, signal_number, EV_SIGNAL | EV_PERSIST, on_signal, handler) ||
                 event_add(&handler->event, NULL);
    CHECK(!failed);
}

struct loop_figures loop_figures(const struct loop *loop)
{
    return loop->figures;
}
