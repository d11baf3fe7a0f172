/* A rejoining replica asks until it is answered, however busy the order is.
 *
 * Method: one core that rejoins; a peer's decisions reach it every millisecond, its own
 * first REJOIN reaches nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consensus/rabia.h"

enum { MILLISECOND = 1000 };

static unsigned count_kind(const struct rabia_out *out, uint8_t kind)
{
    unsigned count = 0;
    for (size_t i = 0; i < out->message_count; i++)
        count += out->messages[i].message.kind == kind;
    return count;
}

/* Peer 0 says that all slots of that lap are NULL, and that it is beyond. */
static void hear_lap(struct rabia *r, uint64_t lap, uint64_t now_us, struct rabia_out *out)
{
    struct rabia_message messages[4] = {{.kind = RABIA_FRONTIER, .lap = lap + 1, .count = 1}};
    for (uint8_t lane = 0; lane < 3; lane++)
        messages[lane + 1] = (struct rabia_message){
            .kind = RABIA_DECIDED, .lane = lane, .value = RABIA_NULL, .lap = lap, .count = 1};
    struct rabia_event event = {.kind = RABIA_EVENT_MESSAGES, .now_us = now_us, .wall_ms = now_us / 1000, .peer = 0,
                                .messages = messages, .message_count = 4};
    rabia_step(r, &event, out);
}

static void asks_again_while_the_order_moves(void **state)
{
    (void)state;
    struct rabia_options options;
    struct rabia_out out;
    rabia_options_default(&options);
    options.member_count = 3;
    options.self = 2;
    rabia_out_init(&out);
    uint64_t now_us = MILLISECOND;
    struct rabia *r = rabia_restore(&options, slice_make(NULL, 0), now_us);
    rabia_rejoin(r, now_us, 1, &out);
    assert_true(count_kind(&out, RABIA_REJOIN) > 0); /* nobody hears it */
    rabia_out_clear(&out);
    unsigned asked = 0;
    for (uint64_t lap = 0; lap < 1000; lap++) {
        now_us += MILLISECOND;
        hear_lap(r, lap, now_us, &out);
        asked += count_kind(&out, RABIA_REJOIN);
        assert_int_equal(rabia_frontier(r), lap + 1);
        rabia_out_clear(&out);
    }
    assert_in_range(asked, 5, 50);
    rabia_free(r);
    rabia_out_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(asks_again_while_the_order_moves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
