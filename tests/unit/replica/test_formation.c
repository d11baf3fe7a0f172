/* Goal: two members that are formed never differ in the incarnations they formed
 * with, whatever the order of words, though one process is replaced meanwhile; and a
 * process that the formed cluster does not know finds out.
 *
 * Method: every interleaving of three members' words, explored to the end with the
 * states seen remembered: links are queues that keep their order, a restart empties
 * those of the process, and one member restarts at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "replica/formation.h"

enum { N = 3, QUEUE_MAX = 3, SEEN_MAX = 1 << 22 };

struct word {
    uint8_t stage;
    uint8_t vector[N];
};

/* Bytes only, so that equal worlds have equal bytes. */
struct world {
    struct {
        uint8_t stage, incarnation, is_forgotten, vector[N], is_ready[N];
    } members[N];
    uint8_t knows[N][N]; /* link i-j is up for these incarnations: what i met */
    uint8_t queued[N][N];
    struct word queues[N][N][QUEUE_MAX]; /* from i to j */
    uint8_t restarts_left, restarting;
};

static struct formation formation_from(const struct world *w, int i)
{
    struct formation f;
    formation_init(&f, N, (uint8_t)i, w->members[i].incarnation);
    f.stage = w->members[i].stage;
    f.is_forgotten = w->members[i].is_forgotten;
    for (int k = 0; k < N; k++) {
        f.incarnations[k] = w->members[i].vector[k];
        f.is_ready[k] = w->members[i].is_ready[k];
    }
    return f;
}

static void formation_into(struct world *w, int i, const struct formation *f)
{
    w->members[i].stage = (uint8_t)f->stage;
    w->members[i].is_forgotten = f->is_forgotten;
    for (int k = 0; k < N; k++) {
        w->members[i].vector[k] = (uint8_t)f->incarnations[k];
        w->members[i].is_ready[k] = f->is_ready[k];
    }
}

static bool is_linked(const struct world *w, int i, int j)
{
    return w->knows[i][j] && w->knows[i][j] == w->members[j].incarnation && w->knows[j][i] == w->members[i].incarnation;
}

/* A full queue drops its oldest word: words are repeated until all are formed. */
static void say(struct world *w, int from)
{
    struct word word = {.stage = w->members[from].stage};
    memcpy(word.vector, w->members[from].vector, N);
    for (int to = 0; to < N; to++) {
        if (to == from || !is_linked(w, from, to))
            continue;
        uint8_t *count = &w->queued[from][to];
        struct word *queue = w->queues[from][to];
        if (*count > 0 && memcmp(&queue[*count - 1], &word, sizeof word) == 0)
            continue;
        if (*count == QUEUE_MAX)
            memmove(queue, queue + 1, (size_t)--*count * sizeof *queue);
        queue[(*count)++] = word;
    }
}

/* i and j shake hands, as they are now; false if one refuses. */
static bool shake(struct world *w, int i, int j)
{
    struct formation a = formation_from(w, i), b = formation_from(w, j);
    bool met = formation_meet(&a, (uint8_t)j, w->members[j].incarnation) &&
               formation_meet(&b, (uint8_t)i, w->members[i].incarnation);
    if (!met)
        return false;
    formation_into(w, i, &a);
    formation_into(w, j, &b);
    w->knows[i][j] = w->members[j].incarnation;
    w->knows[j][i] = w->members[i].incarnation;
    say(w, i);
    say(w, j);
    return true;
}

static void hear(struct world *w, int from, int to)
{
    struct word word = w->queues[from][to][0];
    struct word *queue = w->queues[from][to];
    memmove(queue, queue + 1, (QUEUE_MAX - 1) * sizeof *queue);
    w->queued[from][to]--;
    memset(&queue[w->queued[from][to]], 0, (size_t)(QUEUE_MAX - w->queued[from][to]) * sizeof *queue);
    struct formation f = formation_from(w, to);
    /* replica.c closes a link whose frames name another process than it was made with. */
    if (word.vector[from] != f.incarnations[from])
        return;
    uint64_t vector[RABIA_MEMBERS_MAX] = {0};
    for (int k = 0; k < N; k++)
        vector[k] = word.vector[k];
    bool changed = formation_hear(&f, (uint8_t)from, word.stage, vector);
    formation_into(w, to, &f);
    if (changed)
        say(w, to);
}

static void restart(struct world *w, int i)
{
    uint8_t incarnation = (uint8_t)(w->members[i].incarnation + N);
    memset(&w->members[i], 0, sizeof w->members[i]);
    w->members[i].incarnation = w->members[i].vector[i] = incarnation;
    w->members[i].is_ready[i] = 1;
    for (int k = 0; k < N; k++) {
        w->knows[i][k] = 0;
        w->queued[i][k] = w->queued[k][i] = 0;
        memset(w->queues[i][k], 0, sizeof w->queues[i][k]);
        memset(w->queues[k][i], 0, sizeof w->queues[k][i]);
    }
    w->restarts_left--;
}

static void assert_formed_agree(const struct world *w)
{
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++)
            if (w->members[i].stage == FORMATION_FORMED && w->members[j].stage == FORMATION_FORMED)
                assert_memory_equal(w->members[i].vector, w->members[j].vector, N);
}

static uint64_t *seen;
static size_t seen_count, formed_ends, lonely_ends;

static bool is_new(const struct world *w)
{
    uint64_t hash = XXH3_64bits(w, sizeof *w) | 1;
    for (size_t at = hash % SEEN_MAX;; at = (at + 1) % SEEN_MAX) {
        if (seen[at] == hash)
            return false;
        if (seen[at] == 0) {
            seen[at] = hash;
            assert_true(++seen_count < SEEN_MAX / 2);
            return true;
        }
    }
}

/* Nothing is under way.  Words are repeated until all are formed; after that, a
 * process the others did not form with stays out. */
static void finish(struct world *w)
{
    for (int round = 0; round < 3 * N; round++) {
        for (int i = 0; i < N; i++)
            if (w->members[i].stage != FORMATION_FORMED)
                say(w, i);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                while (w->queued[i][j])
                    hear(w, i, j);
        assert_formed_agree(w);
    }
    int formed = 0;
    for (int i = 0; i < N; i++)
        formed += w->members[i].stage == FORMATION_FORMED;
    assert_true(formed >= N - 1);
    formed_ends += formed == N;
    lonely_ends += formed == N - 1;
}

static void explore(const struct world *w)
{
    if (!is_new(w))
        return;
    assert_formed_agree(w);
    bool is_quiet = true;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            struct world next = *w;
            if (i < j && !is_linked(w, i, j) && shake(&next, i, j)) {
                explore(&next);
                is_quiet = false;
            }
            if (w->queued[i][j]) {
                next = *w;
                hear(&next, i, j);
                explore(&next);
                is_quiet = false;
            }
        }
    }
    struct world next = *w;
    if (w->restarts_left) {
        restart(&next, w->restarting);
        explore(&next);
    } else if (is_quiet) {
        finish(&next);
    }
}

static void explore_with_restart_of(int member, uint8_t restarts)
{
    struct world w;
    memset(&w, 0, sizeof w);
    for (int i = 0; i < N; i++) {
        w.members[i].incarnation = w.members[i].vector[i] = (uint8_t)(1 + i);
        w.members[i].is_ready[i] = 1;
    }
    w.restarting = (uint8_t)member;
    w.restarts_left = restarts;
    memset(seen, 0, SEEN_MAX * sizeof *seen);
    seen_count = 0;
    explore(&w);
}


static void test_every_order_of_words_forms_one_cluster(void **state)
{
    (void)state;
    seen = malloc(SEEN_MAX * sizeof *seen);
    explore_with_restart_of(0, 0);
    assert_int_equal(lonely_ends, 0);
    assert_true(formed_ends > 0);
    for (int member = 0; member < N; member++)
        explore_with_restart_of(member, 1);
    assert_true(lonely_ends > 0);
    free(seen);
}

/* --- the words one by one ------------------------------------------------------ */

static void test_a_lone_member_is_formed_once_it_looks(void **state)
{
    (void)state;
    struct formation f;
    formation_init(&f, 2, 0, 5);
    assert_int_equal(f.stage, FORMATION_GATHERING);
    assert_true(formation_meet(&f, 1, 6));
    assert_int_equal(f.stage, FORMATION_READY);
    uint64_t other[RABIA_MEMBERS_MAX] = {5, 7}, same[RABIA_MEMBERS_MAX] = {5, 6};
    assert_false(formation_hear(&f, 1, FORMATION_READY, other));
    assert_int_equal(f.stage, FORMATION_READY);
    assert_true(formation_hear(&f, 1, FORMATION_READY, same));
    assert_int_equal(f.stage, FORMATION_FORMED);
    assert_true(formation_meet(&f, 1, 6));
    assert_false(formation_meet(&f, 1, 8));
    assert_int_equal(f.incarnations[1], 6);
}

static void test_a_late_member_adopts_or_learns_it_is_forgotten(void **state)
{
    (void)state;
    uint64_t formed[RABIA_MEMBERS_MAX] = {1, 2, 3};
    struct formation known, forgotten;
    formation_init(&known, 3, 2, 3);
    assert_true(formation_hear(&known, 0, FORMATION_FORMED, formed));
    assert_int_equal(known.stage, FORMATION_FORMED);
    assert_int_equal(known.incarnations[1], 2);
    formation_init(&forgotten, 3, 2, 4);
    assert_false(formation_hear(&forgotten, 0, FORMATION_FORMED, formed));
    assert_true(forgotten.is_forgotten);
    assert_int_equal(forgotten.stage, FORMATION_GATHERING);
}

static void test_a_new_process_voids_what_was_ready(void **state)
{
    (void)state;
    struct formation f;
    formation_init(&f, 3, 0, 1);
    assert_true(formation_meet(&f, 1, 2));
    assert_true(formation_meet(&f, 2, 3));
    uint64_t old[RABIA_MEMBERS_MAX] = {1, 2, 3};
    assert_false(formation_hear(&f, 1, FORMATION_READY, old));
    assert_true(formation_meet(&f, 2, 4));
    uint64_t new[RABIA_MEMBERS_MAX] = {1, 2, 4};
    assert_false(formation_hear(&f, 2, FORMATION_READY, new));
    assert_int_equal(f.stage, FORMATION_READY);
    assert_true(formation_hear(&f, 1, FORMATION_READY, new));
    assert_int_equal(f.stage, FORMATION_FORMED);
}

static void test_the_seed_is_the_vectors_and_the_names(void **state)
{
    (void)state;
    struct formation a, b;
    formation_init(&a, 2, 0, 1);
    formation_init(&b, 2, 1, 2);
    assert_true(formation_meet(&a, 1, 2));
    assert_true(formation_meet(&b, 0, 1));
    assert_int_equal(formation_seed(&a, "x"), formation_seed(&b, "x"));
    assert_int_not_equal(formation_seed(&a, "x"), formation_seed(&a, "y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order_of_words_forms_one_cluster),
        cmocka_unit_test(test_a_lone_member_is_formed_once_it_looks),
        cmocka_unit_test(test_a_late_member_adopts_or_learns_it_is_forgotten),
        cmocka_unit_test(test_a_new_process_voids_what_was_ready),
        cmocka_unit_test(test_the_seed_is_the_vectors_and_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
