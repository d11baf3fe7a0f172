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
    return (struct formation_claim){stage, has_memory, 1, 77, 50, future, {1, 2}, 0, 0};
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
    formation_set_members(&f, 4, 0x7, 0, 0);
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

/* --- while the members change, and by force ------------------------------------------------- */

/* Everybody hears everybody's claim, again and again, until nothing changes any more. */
static void talk(struct formation *members, int count, uint16_t present)
{
    for (int turn = 0; turn < 20; turn++)
        for (uint8_t i = 0; i < count; i++)
            for (uint8_t j = 0; j < count; j++)
                if (i != j && (present >> i & 1) && (present >> j & 1)) {
                    (void)formation_meet(&members[j], i, 10);
                    (void)formation_hear(&members[j], i, &members[i].own);
                }
}

static void init_member(struct formation *f, uint8_t count, uint8_t self, bool has_memory, uint64_t position,
                        uint64_t roster)
{
    struct formation_claim own = {.stage = has_memory ? FORMATION_FORMED : FORMATION_GATHERING,
                                  .has_memory = has_memory, .epoch = 1, .seed = 77, .position = position};
    formation_init(f, count, self, 10, &own);
    f->own.roster = roster;
}

/* Two members have heard of a fourth, and one of them has most; none remembers.  Who is the
 * base is no voter by the others' lists, in one case. */
static void test_a_change_under_way_does_not_stop_a_recovery(void **state)
{
    (void)state;
    for (uint8_t base = 0; base < 4; base += 3) {
        struct formation m[4];
        for (uint8_t i = 0; i < 4; i++) {
            bool knows = i == 0 || i == 3;
            init_member(&m[i], 4, i, false, i == base ? 60 : 50, knows ? 5 : 4);
            formation_set_members(&m[i], 4, 0x7, knows ? 0xf : 0, knows ? 5 : 4);
        }
        talk(m, 4, 0x7);
        assert_int_not_equal(m[1].own.stage, FORMATION_FORMED); /* not without the fourth */
        talk(m, 4, 0xf);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(m[i].own.stage, FORMATION_FORMED);
            assert_int_equal(m[i].own.epoch, 2);
            assert_true(m[i].own.seed == m[base].own.seed);
            assert_int_equal(m[i].is_data_void, i != base);
        }
    }
}

/* Of three, one is being removed, and one of the two that stay has lost its memory: the former
 * list has its quorum and goes on, so the two do not recover behind the third one's back. */
static void test_the_former_list_counts_while_it_is_in_force(void **state)
{
    (void)state;
    struct formation m[3];
    for (uint8_t i = 0; i < 3; i++) {
        init_member(&m[i], 3, i, i != 0, 50, 5);
        formation_set_members(&m[i], 3, 0x7, 0x3, 5);
    }
    talk(m, 3, 0x3);
    assert_int_equal(m[1].own.stage, FORMATION_FORMED);
    assert_int_equal(m[1].own.epoch, 1);
    /* With all of both lists it can: by two alone the one without memory could not rejoin. */
    talk(m, 3, 0x7);
    for (int i = 0; i < 3; i++)
        assert_int_equal(m[i].own.epoch, 2);
}

static void test_force_gives_up_who_is_not_there(void **state)
{
    (void)state;
    for (int with_memory = 0; with_memory < 2; with_memory++) {
        struct formation m[5];
        for (uint8_t i = 0; i < 5; i++)
            init_member(&m[i], 5, i, with_memory, i == 1 ? 60 : 50, 0);
        talk(m, 5, 0x3);
        assert_true(formation_force(&m[0], 0x3, 1000));
        talk(m, 5, 0x3);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(m[i].own.stage, FORMATION_FORMED);
            assert_int_equal(m[i].own.epoch, 2);
            assert_int_equal(m[i].forced_mask, 0x3);
            assert_true(m[i].own.seed == m[1].own.seed && m[i].own.forced == 0);
        }
        assert_true(m[0].is_data_void && !m[1].is_data_void);
        /* Said again by one that still says it, it changes nothing. */
        struct formation_claim late = m[1].own;
        late.forced = 1000 << 16 | 0x3;
        (void)formation_hear(&m[0], 1, &late);
        assert_int_equal(m[0].own.epoch, 2);
        assert_true(m[0].own.forced == 0);
    }
}

/* Whoever hears a quorum that remembers does not heed it, nor can it be said there. */
static void test_force_is_refused_where_a_quorum_is(void **state)
{
    (void)state;
    struct formation m[3];
    for (uint8_t i = 0; i < 3; i++)
        init_member(&m[i], 3, i, true, 50, 0);
    talk(m, 3, 0x6);
    assert_false(formation_force(&m[1], 0x2, 1000));
    assert_true(formation_force(&m[0], 0x3, 1000)); /* cut off, it believed to hear 1 */
    struct formation_claim claim = m[0].own;
    (void)formation_meet(&m[1], 0, 10);
    (void)formation_hear(&m[1], 0, &claim);
    assert_int_equal(m[1].own.stage, FORMATION_FORMED);
    assert_true(m[1].own.forced == 0);
}

/* One of those that were to go on is lost as well: the second word overrides the first. */
static void test_force_can_be_said_again_with_fewer(void **state)
{
    (void)state;
    struct formation m[5];
    for (uint8_t i = 0; i < 5; i++)
        init_member(&m[i], 5, i, true, 50, 0);
    talk(m, 5, 0x1);
    assert_true(formation_force(&m[0], 0x3, 1000));
    talk(m, 5, 0x1);
    assert_int_equal(m[0].own.epoch, 1);
    assert_true(formation_force(&m[0], 0x1, 900)); /* by a clock that was set back */
    assert_int_equal(m[0].own.epoch, 2);
    assert_int_equal(m[0].forced_mask, 0x1);
}

static void test_a_new_cluster_can_be_held(void **state)
{
    (void)state;
    struct formation m[3];
    struct formation_claim own = {.stage = FORMATION_GATHERING};
    for (uint8_t i = 0; i < 3; i++) {
        formation_init(&m[i], 3, i, 10, &own);
        (void)formation_hold_new(&m[i], true);
    }
    talk(m, 3, 0x7);
    assert_int_equal(m[0].own.stage, FORMATION_READY);
    assert_true(formation_hold_new(&m[0], false));
    talk(m, 3, 0x7);
    for (int i = 0; i < 3; i++)
        assert_int_equal(m[i].own.epoch, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_of_a_new_cluster),
        cmocka_unit_test(test_every_order_of_losing_memory),
        cmocka_unit_test(test_every_order_of_recovering),
        cmocka_unit_test(test_that_memory_gained_meanwhile_counts),
        cmocka_unit_test(test_a_learner_counts_for_nothing),
        cmocka_unit_test(test_a_change_under_way_does_not_stop_a_recovery),
        cmocka_unit_test(test_the_former_list_counts_while_it_is_in_force),
        cmocka_unit_test(test_force_gives_up_who_is_not_there),
        cmocka_unit_test(test_force_is_refused_where_a_quorum_is),
        cmocka_unit_test(test_force_can_be_said_again_with_fewer),
        cmocka_unit_test(test_a_new_cluster_can_be_held),
        cmocka_unit_test(test_random_walks_of_three),
        cmocka_unit_test(test_random_walks_of_five),
        cmocka_unit_test(test_random_walks_with_wiped_disks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
