/* Goal: passes happen in the stated order, timers fire when due and only then, signals and
 * wakes arrive in the loop.
 * Method: a loop driven pass by pass; the only waiting is the kernel's, for timers a few
 * milliseconds away. */
#include "drive.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"

struct firing {
    struct timer timer;
    struct firing **order;
    int *count;
    int64_t fired_us;
    int times;
    int64_t set_again_us;
    struct timer *victim;
};

static void on_fire(void *context)
{
    struct firing *f = context;
    f->times++;
    f->fired_us = loop_now_us(f->timer.loop);
    if (f->order)
        f->order[(*f->count)++] = f;
    if (f->victim)
        timer_cancel(f->victim);
    if (f->set_again_us)
        timer_set(&f->timer, f->set_again_us);
}

/* A thousand timers, set, moved and cancelled at random, fire in the order of their
 * deadlines; the cancelled do not. */
static void timers_fire_in_order(void **state)
{
    (void)state;
    enum { TIMERS = 1000 };
    struct loop *loop = loop_create();
    struct random random;
    random_init(&random, 42);
    struct firing *firings = calloc(TIMERS, sizeof *firings), *order[TIMERS];
    int count = 0, expected = 0;
    for (int i = 0; i < TIMERS; i++) {
        firings[i].order = order;
        firings[i].count = &count;
        timer_init(&firings[i].timer, loop, on_fire, &firings[i]);
    }
    for (int i = 0; i < 10 * TIMERS; i++) {
        struct timer *timer = &firings[random_below(&random, TIMERS)].timer;
        if (random_below(&random, 4) == 0)
            timer_cancel(timer);
        else
            timer_set(timer, loop_now_us(loop) - 1000 + (int64_t)random_below(&random, 1000));
    }
    for (int i = 0; i < TIMERS; i++)
        expected += timer_is_set(&firings[i].timer);
    loop_pass(loop, true);
    assert_int_equal(count, expected);
    for (int i = 1; i < count; i++)
        assert_true(order[i - 1]->timer.deadline_us <= order[i]->timer.deadline_us);
    for (int i = 0; i < TIMERS; i++)
        assert_false(timer_is_set(&firings[i].timer));
    free(firings);
    loop_free(loop);
}

/* Not before the deadline; and a waiting pass ends because of it.  Setting it nearer
 * and farther while the kernel's timer is armed keeps both true. */
static void timers_are_punctual(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    struct firing near = {0}, far = {0};
    timer_init(&near.timer, loop, on_fire, &near);
    timer_init(&far.timer, loop, on_fire, &far);
    loop_pass(loop, false);
    timer_set(&far.timer, loop_now_us(loop) + 3600 * INT64_C(1000000));
    loop_pass(loop, false);
    timer_set(&near.timer, loop_now_us(loop) + 1000);
    while (!near.times)
        loop_pass(loop, true);
    assert_true(near.fired_us >= near.timer.deadline_us);
    assert_int_equal(far.times, 0);
    timer_cancel(&far.timer);
    timer_set(&near.timer, loop_now_us(loop) + 1000);
    loop_pass(loop, false);
    int times = near.times; /* on a busy machine the millisecond may be over already */
    timer_set(&near.timer, loop_now_us(loop) + 4000); /* the armed timer wakes too early: one idle pass */
    uint64_t passes = loop_figures(loop).passes;
    while (near.times == times)
        loop_pass(loop, true);
    assert_int_equal(near.times, times + 1);
    assert_true(near.fired_us >= near.timer.deadline_us);
    assert_true(loop_figures(loop).passes - passes <= 3);
    loop_free(loop);
}

/* A timer that always sets itself to the past fires once per pass, and one may
 * cancel another that is due. */
static void timers_do_not_trap_the_pass(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    struct firing first = {.set_again_us = 1}, second = {0};
    first.victim = &second.timer;
    timer_init(&first.timer, loop, on_fire, &first);
    timer_init(&second.timer, loop, on_fire, &second);
    timer_set(&first.timer, 1);
    timer_set(&second.timer, 2);
    loop_pass(loop, true);
    assert_true(first.times >= 1 && first.times <= 2);
    int times = first.times;
    loop_pass(loop, true);
    assert_int_equal(first.times, times + 1);
    assert_int_equal(second.times, 0);
    timer_cancel(&first.timer);
    loop_free(loop);
}

static int hooks;
static void on_pass_end(void *context)
{
    hooks++;
    if (context) {
        struct end *end = context;
        buf_append(stream_out(end->stream), "hook", 4);
        stream_mark_dirty(end->stream);
    }
}

/* What the hook writes leaves in the same pass, in one write with what came before. */
static void hook_then_flush(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct end end = {.stream = stream_adopt(loop, pair[0]), .echoes = true};
    stream_start(end.stream, &end_handler, &end);
    loop_set_pass_end(loop, on_pass_end, &end);
    assert_int_equal(write(pair[1], "in,", 3), 3);
    uint64_t writes = loop_figures(loop).writes;
    loop_pass(loop, true);
    assert_int_equal(loop_figures(loop).writes, writes + 1);
    char got[16];
    assert_int_equal(recv(pair[1], got, sizeof got, MSG_DONTWAIT), 7);
    assert_memory_equal(got, "in,hook", 7);
    assert_true(hooks > 0);
    loop_set_pass_end(loop, NULL, NULL);
    end_deinit(&end);
    close(pair[1]);
    loop_free(loop);
}

static void on_signal_once(void *context, int number)
{
    *(int *)context = number;
}

static void signals_arrive_in_the_loop(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    int seen = 0;
    loop_on_signal(loop, SIGUSR1, on_signal_once, &seen);
    raise(SIGUSR1);
    assert_int_equal(seen, 0);
    DRIVE_UNTIL(loop, seen == SIGUSR1);
    loop_free(loop);
}

static void *wake_from_thread(void *loop)
{
    loop_wake(loop);
    return NULL;
}

static void stop_after_three(void *context)
{
    if (++hooks == 3)
        loop_stop(context);
    else
        loop_again(context);
}

/* A wake from another thread ends a wait; loop_again keeps the next pass from waiting;
 * loop_stop ends loop_run behind its pass. */
static void waking_and_stopping(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake_from_thread, loop), 0);
    loop_pass(loop, true);
    pthread_join(thread, NULL);
    hooks = 0;
    loop_set_pass_end(loop, stop_after_three, loop);
    loop_again(loop);
    loop_run(loop);
    assert_int_equal(hooks, 3);
    loop_free(loop);
}

/* Time stands still within a pass and does not go back. */
static void time_passes_between_passes(void **state)
{
    (void)state;
    struct loop *loop = loop_create();
    int64_t before = loop_now_us(loop);
    while (loop_clock_us() == before)
        ;
    assert_int_equal(loop_now_us(loop), before);
    loop_pass(loop, false);
    assert_true(loop_now_us(loop) > before);
    assert_true(loop_wall_ms(loop) > 1600000000000);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order),       cmocka_unit_test(timers_are_punctual),
        cmocka_unit_test(timers_do_not_trap_the_pass), cmocka_unit_test(hook_then_flush),
        cmocka_unit_test(signals_arrive_in_the_loop), cmocka_unit_test(waking_and_stopping),
        cmocka_unit_test(time_passes_between_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
