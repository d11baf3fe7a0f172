/* Goal: every arrow of the diagram in proposer.h, its rules I1 to I5 and its deadlines
 * hold, and together they do what they are for: each command takes effect at most once,
 * in the order of its client, and is answered exactly once.
 *
 * Method: cases by hand, then a random run against a model of the order: slots come out
 * as NULL or as the batch, and void is what protocol.md says it is, computed from the
 * laps the batches name.  proposer_check after every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "replica/batch_code.h"
#include "replica/proposer.h"

enum { CLIENTS = 6, OPS_MAX = 4096, LAPS_MAX = 4096, WAIT_US = 1000000 };

enum answer { UNANSWERED, APPLIED, NO_QUORUM, IN_DOUBT };
enum slot { SLOT_OPEN, SLOT_NULL, SLOT_VOID, SLOT_APPLIED };

struct op {
    int client, number; /* number: among the client's */
    bool is_write;
    enum answer answer;
    int effects;
};

struct model {
    struct proposer p;
    struct proposer_client clients[CLIENTS];
    struct op ops[OPS_MAX];
    size_t op_count;
    int added[CLIENTS], answered[CLIENTS];
    int newest_effect[CLIENTS]; /* number of the newest write that took effect */
    struct batch *batches[LAPS_MAX];
    enum slot slots[LAPS_MAX];
    uint64_t next_lap, next_out, now_us;
    struct batch_arguments arguments;
};

static struct op *op_of(struct model *m, const void *row)
{
    (void)m;
    return (struct op *)(uintptr_t)row;
}

static void note_answer(struct model *m, const void *row, enum answer answer)
{
    struct op *op = op_of(m, row);
    assert_int_equal(op->answer, UNANSWERED);
    assert_int_equal(op->number, m->answered[op->client]);
    m->answered[op->client]++;
    op->answer = answer;
}

static void on_fail(void *context, struct proposer_client *client, const void *row, enum proposer_failure failure)
{
    struct model *m = context;
    assert_int_equal(client - m->clients, op_of(m, row)->client);
    note_answer(m, row, failure == PROPOSER_IN_DOUBT ? IN_DOUBT : NO_QUORUM);
}

static void start(struct model *m)
{
    memset(m, 0, sizeof *m);
    m->next_lap = m->next_out = 1;
    m->now_us = 1;
    for (int i = 0; i < CLIENTS; i++)
        m->newest_effect[i] = -1;
    struct proposer_options options = {
        .batch_bytes_max = 200, .batch_ops_max = 8, .wait_us = WAIT_US, .fail = on_fail, .context = m};
    proposer_init(&m->p, &options);
}

static void stop(struct model *m)
{
    proposer_deinit(&m->p);
    for (uint64_t lap = 1; lap < m->next_lap; lap++)
        batch_release(m->batches[lap]);
    batch_arguments_deinit(&m->arguments);
}

/* The command's text is its place in ops. */
static struct op *add(struct model *m, int client, bool is_write, bool needs_clock)
{
    struct op *op = &m->ops[m->op_count++];
    assert_true(m->op_count <= OPS_MAX);
    *op = (struct op){.client = client, .number = m->added[client]++, .is_write = is_write};
    char text[16];
    struct slice argv = slice_make(text, (size_t)sprintf(text, "%d", (int)(op - m->ops)));
    proposer_add(&m->p, &m->clients[client], op, is_write, needs_clock, 0, 1, &argv, m->now_us);
    proposer_check(&m->p);
    return op;
}

static struct op *write_of(struct model *m, int client)
{
    return add(m, client, true, false);
}
static struct op *read_of(struct model *m, int client)
{
    return add(m, client, false, false);
}

/* Proposes if the proposer wants to; its lap, or 0. */
static uint64_t propose(struct model *m)
{
    struct batch *batch = proposer_take(&m->p, 1000 + m->now_us, m->now_us);
    if (!batch)
        return 0;
    uint64_t lap = m->next_lap++;
    assert_true(lap < LAPS_MAX);
    m->batches[lap] = batch;
    proposer_sent(&m->p, lap, m->now_us);
    proposer_check(&m->p);
    return lap;
}

static void take_effect(struct model *m, struct op *op)
{
    assert_true(op->is_write);
    assert_int_equal(op->effects, 0);
    assert_int_not_equal(op->answer, NO_QUORUM);
    assert_true(op->number > m->newest_effect[op->client]);
    op->effects++;
    m->newest_effect[op->client] = op->number;
}

static struct op *decode(struct model *m, const char **at, const char *end)
{
    int db, argc;
    assert_int_equal(batch_decode(at, end, &m->arguments, 0, &db, &argc), STATUS_OK);
    assert_int_equal(argc, 1);
    char text[16] = {0};
    memcpy(text, m->arguments.argv[0].ptr, m->arguments.argv[0].len);
    return &m->ops[atoi(text)];
}

/* Every replica runs the batch's text; the owner answers from own's list. */
static void apply(struct model *m, const struct own_batch *own)
{
    const char *at = own->batch->bytes, *end = at + own->batch->size;
    struct slice reads = buf_slice(&own->reads);
    const char *read_at = reads.ptr, *read_end = reads.ptr + reads.len;
    for (size_t i = 0; i < own->op_count; i++) {
        const struct proposer_op *told = &own->ops[i];
        struct op *op = told->is_write ? decode(m, &at, end) : decode(m, &read_at, read_end);
        assert_ptr_equal(op, told->row);
        if (op->is_write)
            take_effect(m, op);
        if (told->client)
            note_answer(m, told->row, APPLIED);
        else
            assert_int_not_equal(op->answer, UNANSWERED);
    }
    assert_ptr_equal(at, end);
    assert_ptr_equal(read_at, read_end);
}

/* The next own slot comes out of the order. */
static void decide(struct model *m, bool is_batch)
{
    uint64_t lap = m->next_out++;
    struct batch *batch = m->batches[lap];
    uint64_t previous = batch->previous_lap;
    bool is_void = is_batch && previous != RABIA_NO_LAP && m->slots[previous] != SLOT_APPLIED;
    m->slots[lap] = !is_batch ? SLOT_NULL : is_void ? SLOT_VOID : SLOT_APPLIED;
    struct rabia_decided decided = {.lap = lap, .is_void = is_void, .batch = is_batch ? batch : NULL};
    struct own_batch *own = proposer_decided(&m->p, &decided);
    if (!is_batch || is_void)
        assert_null(own);
    if (own) {
        apply(m, own);
        proposer_applied(&m->p, own);
    } else if (m->slots[lap] == SLOT_APPLIED) {
        assert_true(batch_is_empty(batch)); /* for everyone else it was nothing */
    }
    proposer_check(&m->p);
}

static void expire_at(struct model *m, uint64_t now_us)
{
    m->now_us = now_us;
    proposer_expire(&m->p, now_us);
    proposer_check(&m->p);
}

/* --- the diagram ----------------------------------------------------------- */

static void test_a_command_is_applied_and_answered(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    assert_true(proposer_is_idle(&m.p));
    assert_int_equal(propose(&m), 0);
    struct op *write = write_of(&m, 0), *read = read_of(&m, 0);
    assert_false(proposer_is_idle(&m.p));
    assert_int_equal(propose(&m), 1);
    assert_int_equal(m.batches[1]->clock_ms, 1001);
    assert_int_equal(propose(&m), 0);
    decide(&m, true);
    assert_int_equal(write->answer, APPLIED);
    assert_int_equal(read->answer, APPLIED);
    assert_true(proposer_is_idle(&m.p));
    assert_int_equal(m.p.queued_bytes, 0);
    stop(&m);
}

static void test_null_is_proposed_again_with_a_new_clock(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *write = write_of(&m, 0);
    propose(&m);
    m.now_us += 500;
    decide(&m, false);
    assert_int_equal(write->answer, UNANSWERED);
    assert_int_equal(propose(&m), 2);
    assert_int_equal(m.batches[2]->clock_ms, 1501);
    assert_int_equal(m.batches[2]->previous_lap, RABIA_NO_LAP);
    decide(&m, true);
    assert_int_equal(write->answer, APPLIED);
    assert_int_equal(m.p.figures.batches_reproposed, 1);
    stop(&m);
}

static void test_reads_alone_make_an_empty_batch(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    read_of(&m, 0);
    read_of(&m, 1);
    propose(&m);
    assert_true(batch_is_empty(m.batches[1]));
    decide(&m, true);
    add(&m, 0, false, true); /* concerns time */
    propose(&m);
    assert_int_equal(m.batches[2]->size, 0);
    assert_int_not_equal(m.batches[2]->clock_ms, 0);
    decide(&m, true);
    stop(&m);
}

static void test_a_full_batch_is_followed_by_another(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    for (int i = 0; i < 20; i++)
        write_of(&m, i % CLIENTS);
    int batches = 0;
    while (propose(&m))
        batches++;
    assert_int_equal(batches, 3);
    for (int i = 0; i < batches; i++)
        decide(&m, true);
    for (int i = 0; i < 20; i++)
        assert_int_equal(m.ops[i].answer, APPLIED);
    stop(&m);
}

static void test_in_flight_is_bounded(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    for (int i = 0; i < PROPOSER_IN_FLIGHT_MAX; i++) {
        write_of(&m, 0);
        assert_int_not_equal(propose(&m), 0);
    }
    write_of(&m, 0);
    assert_int_equal(propose(&m), 0);
    decide(&m, true);
    assert_int_not_equal(propose(&m), 0);
    stop(&m);
}

static void test_a_foreign_lap_is_not_ours(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    write_of(&m, 0);
    propose(&m);
    struct rabia_decided decided = {.lap = 77};
    assert_null(proposer_decided(&m.p, &decided));
    assert_int_equal(m.p.in_flight_count, 1);
    stop(&m);
}

/* --- I2, I3: previous, draining --------------------------------------------- */

static void test_previous_names_the_newest_not_empty(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    write_of(&m, 0);
    propose(&m);
    read_of(&m, 1);
    propose(&m);
    write_of(&m, 2);
    propose(&m);
    assert_int_equal(m.batches[1]->previous_lap, RABIA_NO_LAP);
    assert_int_equal(m.batches[2]->previous_lap, 1);
    assert_int_equal(m.batches[3]->previous_lap, 1);
    decide(&m, true);
    decide(&m, true);
    decide(&m, true);
    write_of(&m, 0);
    propose(&m);
    assert_int_equal(m.batches[4]->previous_lap, RABIA_NO_LAP);
    stop(&m);
}

static void test_nothing_is_proposed_while_draining(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    for (int i = 0; i < 3; i++) {
        write_of(&m, 0);
        propose(&m);
    }
    decide(&m, false);
    write_of(&m, 0);
    assert_int_equal(propose(&m), 0);
    decide(&m, true); /* void: it names the first */
    assert_int_equal(propose(&m), 0);
    decide(&m, true);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(propose(&m), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(m.ops[i].answer, UNANSWERED);
        decide(&m, true);
        assert_int_equal(m.ops[i].answer, APPLIED);
    }
    stop(&m);
}

/* --- I4 ---------------------------------------------------------------------- */

static void test_a_write_waits_for_reads_in_an_empty_batch(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    read_of(&m, 0);
    propose(&m);
    write_of(&m, 0);
    assert_int_equal(propose(&m), 0);
    decide(&m, false);
    assert_int_equal(propose(&m), 2);
    assert_true(batch_is_empty(m.batches[2]));
    assert_int_equal(propose(&m), 0);
    decide(&m, true);
    assert_int_equal(propose(&m), 3);
    decide(&m, true);
    stop(&m);
}

static void test_another_clients_write_does_not_wait(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    read_of(&m, 0);
    propose(&m);
    write_of(&m, 1);
    assert_int_equal(propose(&m), 2);
    stop(&m);
}

/* A batch with a write of someone else carries a later read of a client whose
 * earlier read rides in an empty batch: forfeited, that one would be answered last. */
static void test_a_later_read_does_not_overtake_beside_a_write(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *first = read_of(&m, 0);
    propose(&m);
    struct op *second = read_of(&m, 0);
    write_of(&m, 1);
    propose(&m);
    decide(&m, false);
    while (m.next_out < m.next_lap || propose(&m))
        decide(&m, true);
    assert_int_equal(first->answer, APPLIED);
    assert_int_equal(second->answer, APPLIED);
    stop(&m);
}

/* Two empty batches: the first comes to nothing, the second does not. */
static void test_a_later_empty_batch_does_not_overtake(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *first = read_of(&m, 0);
    propose(&m);
    struct op *second = read_of(&m, 0);
    assert_int_equal(propose(&m), 2); /* reads alone need not wait */
    decide(&m, false);
    decide(&m, true);
    assert_int_equal(second->answer, UNANSWERED);
    while (m.next_out < m.next_lap || propose(&m))
        decide(&m, true);
    assert_int_equal(first->answer, APPLIED);
    assert_int_equal(second->answer, APPLIED);
    stop(&m);
}

/* --- I5: giving up ------------------------------------------------------------ */

static void test_expiry_tells_doubt_from_no_effect(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *write = write_of(&m, 0), *read = read_of(&m, 1);
    propose(&m);
    m.p.options.spread_us = 10 * WAIT_US; /* what follows stays here */
    m.p.options.spread_bytes = 1000;
    struct op *waiting = write_of(&m, 0);
    assert_int_equal(propose(&m), 0);
    assert_int_equal(proposer_expire_deadline(&m.p), 1 + WAIT_US);
    expire_at(&m, WAIT_US);
    assert_int_equal(write->answer, UNANSWERED);
    expire_at(&m, 1 + WAIT_US);
    assert_int_equal(write->answer, IN_DOUBT);
    assert_int_equal(read->answer, NO_QUORUM);
    assert_int_equal(waiting->answer, NO_QUORUM);
    assert_int_equal(proposer_expire_deadline(&m.p), UINT64_MAX);
    assert_int_equal(m.p.figures.failures_in_doubt, 1);
    assert_int_equal(m.p.figures.failures_no_quorum, 2);
    decide(&m, true); /* it did take effect, unanswered */
    assert_int_equal(write->effects, 1);
    assert_true(proposer_is_idle(&m.p));
    stop(&m);
}

/* Time in which this process stood still counts for nobody: neither for what is
 * in flight nor for what waits. */
static void test_a_pause_of_our_own_does_not_count(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *write = write_of(&m, 0);
    propose(&m);
    m.p.options.spread_us = 100 * WAIT_US;
    m.p.options.spread_bytes = 1000;
    struct op *waiting = write_of(&m, 1);
    proposer_forgive(&m.p, 7 * WAIT_US);
    expire_at(&m, 8 * WAIT_US);
    assert_int_equal(write->answer, UNANSWERED);
    assert_int_equal(waiting->answer, UNANSWERED);
    assert_int_equal(proposer_expire_deadline(&m.p), 1 + 8 * WAIT_US);
    expire_at(&m, 1 + 8 * WAIT_US);
    assert_int_equal(write->answer, IN_DOUBT);
    assert_int_equal(waiting->answer, NO_QUORUM);
    decide(&m, true);
    stop(&m);
}

static void test_what_failed_is_never_proposed_again(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *write = write_of(&m, 0);
    propose(&m);
    expire_at(&m, 1 + WAIT_US);
    decide(&m, false);
    assert_int_equal(propose(&m), 0);
    assert_int_equal(write->effects, 0);
    assert_true(proposer_is_idle(&m.p));
    stop(&m);
}

/* Null first, then expired: its slot came to nothing, so there is no doubt. */
static void test_a_retried_write_that_expires_had_no_effect(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    struct op *first = write_of(&m, 0);
    propose(&m);
    struct op *second = write_of(&m, 0);
    propose(&m);
    decide(&m, false);
    expire_at(&m, 1 + WAIT_US);
    assert_int_equal(first->answer, NO_QUORUM);
    assert_int_equal(second->answer, IN_DOUBT);
    decide(&m, true);
    assert_true(proposer_is_idle(&m.p));
    stop(&m);
}

/* A batch opened for a clock alone waits for nobody; who joins it later waits
 * from then on. */
static void test_a_command_waits_from_its_own_time(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    proposer_add_clock(&m.p, m.now_us);
    assert_int_equal(proposer_expire_deadline(&m.p), UINT64_MAX);
    m.now_us = 5 * WAIT_US;
    struct op *write = write_of(&m, 0);
    expire_at(&m, 5 * WAIT_US + 1);
    assert_int_equal(write->answer, UNANSWERED);
    expire_at(&m, 6 * WAIT_US);
    assert_int_equal(write->answer, NO_QUORUM);
    stop(&m);
}

static void test_one_clock_is_enough(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    proposer_add_clock(&m.p, m.now_us);
    proposer_add_clock(&m.p, m.now_us);
    assert_int_equal(propose(&m), 1);
    assert_int_equal(m.batches[1]->size, 0);
    assert_int_not_equal(m.batches[1]->clock_ms, 0);
    proposer_add_clock(&m.p, m.now_us);
    assert_int_equal(propose(&m), 0);
    decide(&m, true);
    assert_true(proposer_is_idle(&m.p));
    stop(&m);
}

/* --- growth -------------------------------------------------------------------- */

static void test_small_batches_grow_while_one_is_on_its_way(void **state)
{
    (void)state;
    static struct model m;
    start(&m);
    m.p.options.spread_us = 300;
    m.p.options.spread_bytes = 40;
    write_of(&m, 0);
    assert_int_equal(propose(&m), 1); /* nothing in flight: at once */
    write_of(&m, 1);
    assert_int_equal(propose(&m), 0);
    assert_int_equal(proposer_deadline(&m.p, m.now_us), 301);
    m.now_us = 300;
    assert_int_equal(propose(&m), 0);
    m.now_us = 301;
    assert_int_equal(proposer_deadline(&m.p, m.now_us), UINT64_MAX);
    assert_int_equal(propose(&m), 2);
    for (int i = 0; i < 7; i++)
        write_of(&m, 2);
    assert_int_equal(propose(&m), 0);
    write_of(&m, 2); /* full: no reason to wait */
    write_of(&m, 2);
    assert_int_equal(propose(&m), 3);
    assert_int_equal(propose(&m), 0);
    decide(&m, true);
    decide(&m, true);
    decide(&m, true);
    assert_int_equal(propose(&m), 4);
    stop(&m);
}

/* --- random ---------------------------------------------------------------------- */

static void random_step(struct model *m, struct random *random)
{
    m->now_us += random_below(random, 3000);
    uint64_t choice = random_below(random, 100);
    int client = (int)random_below(random, CLIENTS);
    if (choice < 45 && m->op_count < OPS_MAX)
        add(m, client, random_below(random, 2) == 0, random_below(random, 12) == 0);
    else if (choice < 70)
        propose(m);
    else if (choice < 96 && m->next_out < m->next_lap)
        decide(m, random_below(random, 4) != 0);
    else if (choice < 98)
        expire_at(m, m->now_us + (random_below(random, 8) == 0 ? WAIT_US / 2 : 0));
    else
        proposer_add_clock(&m->p, m->now_us);
    proposer_check(&m->p);
}

static void settle_all(struct model *m)
{
    m->now_us += 1000;
    while (!proposer_is_idle(&m->p)) {
        if (m->next_out < m->next_lap)
            decide(m, true);
        else
            assert_int_not_equal(propose(m), 0);
    }
    for (size_t i = 0; i < m->op_count; i++) {
        assert_int_not_equal(m->ops[i].answer, UNANSWERED);
        if (m->ops[i].is_write && m->ops[i].answer == APPLIED)
            assert_int_equal(m->ops[i].effects, 1);
    }
    assert_int_equal(m->p.queued_bytes, 0);
}

static void test_random_runs_answer_once_and_in_order(void **state)
{
    (void)state;
    static struct model m;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct random random;
        random_init(&random, seed);
        start(&m);
        m.p.options.spread_us = seed % 3 * 1000;
        m.p.options.spread_bytes = 40;
        for (int i = 0; i < 2000; i++)
            random_step(&m, &random);
        settle_all(&m);
        stop(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_command_is_applied_and_answered),
        cmocka_unit_test(test_null_is_proposed_again_with_a_new_clock),
        cmocka_unit_test(test_reads_alone_make_an_empty_batch),
        cmocka_unit_test(test_a_full_batch_is_followed_by_another),
        cmocka_unit_test(test_in_flight_is_bounded),
        cmocka_unit_test(test_a_foreign_lap_is_not_ours),
        cmocka_unit_test(test_previous_names_the_newest_not_empty),
        cmocka_unit_test(test_nothing_is_proposed_while_draining),
        cmocka_unit_test(test_a_write_waits_for_reads_in_an_empty_batch),
        cmocka_unit_test(test_another_clients_write_does_not_wait),
        cmocka_unit_test(test_a_later_read_does_not_overtake_beside_a_write),
        cmocka_unit_test(test_a_later_empty_batch_does_not_overtake),
        cmocka_unit_test(test_expiry_tells_doubt_from_no_effect),
        cmocka_unit_test(test_a_pause_of_our_own_does_not_count),
        cmocka_unit_test(test_what_failed_is_never_proposed_again),
        cmocka_unit_test(test_a_retried_write_that_expires_had_no_effect),
        cmocka_unit_test(test_a_command_waits_from_its_own_time),
        cmocka_unit_test(test_one_clock_is_enough),
        cmocka_unit_test(test_small_batches_grow_while_one_is_on_its_way),
        cmocka_unit_test(test_random_runs_answer_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
