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

enum { SEEN_BITS = 20, SEEN_MAX = 1 << SEEN_BITS, FINISH_EVERY = 64 };

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

static void explore(struct world *w)
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

static void explore_all(struct world *w, const char *name)
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

/* A cluster that runs; so many of it die in these ways, in any order with the rest. */
static void test_every_order_of_losing_memory(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int kills, forgets;
    } cases[] = {{"one killed", 1, 0}, {"one without memory", 0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        world_init_formed(&w, 3);
        budget(&w, WORLD_KILL, cases[i].kills);
        budget(&w, WORLD_FORGET, cases[i].forgets);
        explore_all(&w, cases[i].name);
    }
}

/* Two without memory, from where all three are back and no link is up yet. */
static void test_every_order_of_recovering(void **state)
{
    (void)state;
    struct world w;
    world_init_formed(&w, 3);
    budget(&w, WORLD_FORGET, 2);
    for (int i = 1; i < 3; i++)
        world_do(&w, WORLD_FORGET, i, i);
    for (int i = 1; i < 3; i++)
        world_start(&w, i);
    explore_all(&w, "two came back without memory");
}

/* --- single stories --------------------------------------------------------------------- */

static struct formation_claim claim_of(enum formation_stage stage, bool has_memory, uint64_t future)
{
    return (struct formation_claim){stage, has_memory, 1, 77, 50, future, {1, 2}, 0};
}

/* Of five, two have lost their memory, and two more complete their rejoining while each
 * still takes the other for rejoining: all say READY, and yet three remember. */
static void test_that_memory_gained_meanwhile_counts(void **state)
{
    (void)state;
    for (int rejoined = 0; rejoined <= 2; rejoined++) {
        struct formation f;
        struct formation_claim own = claim_of(FORMATION_FORMED, true, 0);
        formation_init(&f, 5, 0, 10, &own);
        static const enum formation_stage stages[] = {FORMATION_FORMED, FORMATION_REJOINING, FORMATION_REJOINING,
                                                      FORMATION_GATHERING, FORMATION_GATHERING};
        for (uint8_t i = 1; i < 5; i++)
            assert_int_equal(formation_meet(&f, i, 10), MEETING_KNOWN);
        for (uint8_t i = 1; i < 5; i++) {
            struct formation_claim claim = claim_of(stages[i], false, 0);
            (void)formation_hear(&f, i, &claim);
        }
        assert_int_equal(f.own.stage, FORMATION_READY);
        assert_int_equal(f.base, 0);
        for (uint8_t i = 4; i > 0; i--) {
            struct formation_claim claim = claim_of(FORMATION_READY, i <= rejoined, f.own.future);
            (void)formation_hear(&f, i, &claim);
        }
        assert_int_equal(f.own.epoch, rejoined < 2 ? 2 : 1);
        assert_int_equal(f.own.stage, FORMATION_FORMED); /* of the new epoch, or back in the old one */
    }
}

static void test_a_learner_counts_for_nothing(void **state)
{
    (void)state;
    struct formation f;
    struct formation_claim own = {.stage = FORMATION_GATHERING};
    formation_init(&f, 4, 0, 10, &own);
    formation_set_members(&f, 4, 0x7, 0);
    for (uint8_t i = 1; i < 4; i++)
        assert_int_equal(formation_meet(&f, i, 10), MEETING_KNOWN);
    for (uint8_t i = 1; i < 3; i++)
        (void)formation_hear(&f, i, &own);
    assert_int_equal(f.own.stage, FORMATION_READY); /* without the learner's word */
    for (uint8_t i = 1; i < 3; i++) {
        struct formation_claim ready = {.stage = FORMATION_READY, .future = f.own.future};
        (void)formation_hear(&f, i, &ready);
    }
    assert_int_equal(f.own.stage, FORMATION_FORMED);
}

/* --- random walks ------------------------------------------------------------------------ */

static void walk(struct world *w, struct random *random, int steps)
{
    struct choice {
        enum world_event event;
        int i, j;
    } choices[WORLD_EVENTS * WORLD_MAX * WORLD_MAX];
    for (int step = 0; step < steps; step++) {
        size_t count = 0;
        bool is_misfortune = random_below(random, 12) == 0;
        for (int event = is_misfortune ? WORLD_BREAK : 0; event < (is_misfortune ? WORLD_EVENTS : WORLD_BREAK); event++)
            for (int i = 0; i < w->n; i++)
                for (int j = 0; j < w->n; j++)
                    if (world_may(w, (enum world_event)event, i, j))
                        choices[count++] = (struct choice){(enum world_event)event, i, j};
        if (count == 0)
            continue;
        struct choice c = choices[random_below(random, count)];
        world_do(w, c.event, c.i, c.j);
        world_check(w);
    }
    world_finish(w);
}

static void walk_many(int n, bool may_wipe, int walks, uint64_t seed)
{
    static struct world formed, fresh;
    world_init_formed(&formed, n);
    world_init(&fresh, n);
    for (int i = 0; i < walks; i++) {
        struct world w = i % 8 ? formed : fresh;
        struct random random;
        random_init(&random, seed + (uint64_t)i);
        budget(&w, WORLD_BREAK, (int)random_below(&random, 6));
        budget(&w, WORLD_DECIDE, 4);
        budget(&w, WORLD_KILL, (int)random_below(&random, 5));
        budget(&w, WORLD_FORGET, (int)random_below(&random, 5));
        budget(&w, WORLD_WIPE, may_wipe ? (int)random_below(&random, 2) : 0);
        budget(&w, WORLD_WIPE_BACK, may_wipe ? (int)random_below(&random, 2) : 0);
        walk(&w, &random, 40 + (int)random_below(&random, 100));
    }
}

static void test_random_walks_of_three(void **state)
{
    (void)state;
    walk_many(3, false, 20000, 1);
}

static void test_random_walks_of_five(void **state)
{
    (void)state;
    walk_many(5, false, 20000, 1000000);
}

static void test_random_walks_with_wiped_disks(void **state)
{
    (void)state;
    walk_many(3, true, 20000, 2000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_of_a_new_cluster),
        cmocka_unit_test(test_every_order_of_losing_memory),
        cmocka_unit_test(test_every_order_of_recovering),
        cmocka_unit_test(test_that_memory_gained_meanwhile_counts),
        cmocka_unit_test(test_a_learner_counts_for_nothing),
        cmocka_unit_test(test_random_walks_of_three),
        cmocka_unit_test(test_random_walks_of_five),
        cmocka_unit_test(test_random_walks_with_wiped_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
