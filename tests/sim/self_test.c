/* Method: each case makes fresh checkers for three replicas, tells them a
 * story that is right up to its last sentence, and names the complaint that
 * sentence must raise ("" for none).  The stories use the same small verbs as
 * the simulator's calls. */
#include "self_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster.h"
#include "disk.h"
#include "linear_checker.h"
#include "order_checker.h"
#include "owner.h"
#include "wire_checker.h"

enum { WALL_MS = 1000000 };

struct stage {
    struct verdict verdict;
    struct wire_checker wire;
    struct order_checker order;
    uint64_t seq[RABIA_MEMBERS_MAX];
    struct batch *batch; /* lane 0, lap 0 */
};

static unsigned failures, cases;

static void expect(const char *story, const struct verdict *verdict, const char *complaint)
{
    size_t length = strlen(complaint);
    cases++;
    if (verdict->has_failed == (length > 0) && strncmp(verdict->text, complaint, length) == 0)
        return;
    failures++;
    printf("self-test: %s: expected \"%s\", got \"%s\"\n", story, complaint, verdict->has_failed ? verdict->text : "");
}

static struct batch *make_batch(uint64_t command, uint32_t number, uint64_t previous_lap)
{
    struct data_write write = {.command = command, .argument = command, .session = 1, .number = number,
                               .operation = DATA_SET, .key = 0};
    struct batch *batch = data_batch_create(&write, 1, 0);
    batch->clock_ms = WALL_MS;
    batch->previous_lap = previous_lap;
    return batch;
}

static void stage_open(struct stage *stage, bool flush_before_send)
{
    memset(stage, 0, sizeof *stage);
    struct rabia_options options = {.member_count = 3, .cluster_seed = 1, .flush_before_send = flush_before_send,
                                    .clock_tolerance_ms = 100};
    wire_init(&stage->wire, &stage->verdict, &options);
    order_init(&stage->order, &stage->verdict, 3);
    stage->batch = make_batch(0, 1, RABIA_NO_LAP);
}

static void stage_close(struct stage *stage, const char *story, const char *complaint)
{
    expect(story, &stage->verdict, complaint);
    wire_deinit(&stage->wire);
    order_deinit(&stage->order);
    batch_release(stage->batch);
}

/* --- verbs ---------------------------------------------------------------- */

static void write_record(struct stage *s, uint8_t replica, enum rabia_record_kind kind, struct rabia_message message,
                         bool needs_flush)
{
    struct rabia_record record = {.seq = ++s->seq[replica], .kind = kind, .needs_flush = needs_flush, .message = message};
    wire_recorded(&s->wire, replica, &record, 1, WALL_MS);
}

static void say(struct stage *s, uint8_t replica, struct rabia_message message)
{
    write_record(s, replica, RABIA_RECORD_SAID, message, true);
}

static void transmit(struct stage *s, uint8_t replica, struct rabia_message message)
{
    struct rabia_outgoing outgoing = {.to = (uint16_t)(7u & ~(1u << replica)), .message = message};
    wire_sent(&s->wire, replica, &outgoing, 0);
}

static struct rabia_message proposal(uint8_t value, struct batch *batch)
{
    return (struct rabia_message){.kind = RABIA_PROPOSAL, .value = value, .count = 1, .batch = batch};
}

static struct rabia_message phased(uint8_t kind, uint32_t phase, uint8_t value)
{
    return (struct rabia_message){.kind = kind, .phase = phase, .value = value, .count = 1};
}

static struct rabia_message slots(uint8_t kind, uint8_t lane, uint64_t lap, uint64_t count)
{
    return (struct rabia_message){.kind = kind, .lane = lane, .lap = lap, .count = count};
}

/* The owner, replica 0, proposes the batch of lap 0, and its contents reach
 * everybody. */
static void propose(struct stage *s)
{
    wire_proposed(&s->wire, 0, 0, s->batch);
    say(s, 0, proposal(RABIA_BATCH, s->batch));
    struct rabia_message contents = proposal(RABIA_BATCH, s->batch);
    wire_received(&s->wire, 1, &contents);
    wire_received(&s->wire, 2, &contents);
}

static void echo(struct stage *s, uint8_t replica)
{
    say(s, replica, proposal(RABIA_BATCH, s->batch));
}

static void forfeit(struct stage *s, uint8_t replica)
{
    say(s, replica, proposal(RABIA_NULL, NULL));
}

static void decide(struct stage *s, uint8_t replica, struct batch *batch)
{
    struct rabia_decided decided = {.batch = batch};
    wire_decided(&s->wire, replica, &decided);
}

/* --- the wire checker -------------------------------------------------------- */

static void story_good(void)
{
    struct stage s;
    stage_open(&s, false);
    propose(&s);
    transmit(&s, 0, proposal(RABIA_BATCH, s.batch));
    echo(&s, 1);
    transmit(&s, 1, proposal(RABIA_BATCH, NULL));
    decide(&s, 0, s.batch);
    decide(&s, 1, s.batch);
    say(&s, 1, slots(RABIA_SKIP, 1, 0, 10));
    say(&s, 2, slots(RABIA_SKIP, 2, 0, 10));
    wire_frontier(&s.wire, 0, 1);
    stage_close(&s, "two proposals decide", "");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    struct rabia_message state = phased(RABIA_STATE, 1, RABIA_BATCH);
    state.batch = s.batch;
    say(&s, 1, state);
    say(&s, 0, phased(RABIA_VOTE, 1, RABIA_BATCH));
    say(&s, 1, phased(RABIA_VOTE, 1, RABIA_BATCH));
    decide(&s, 0, s.batch);
    stage_close(&s, "a mixed exchange decides in phase 1", "");
}

static void story_malformed(void)
{
    struct stage s;
    stage_open(&s, false);
    transmit(&s, 0, slots(RABIA_SKIP, 7, 0, 1));
    stage_close(&s, "a lane that is not there", "W1");

    stage_open(&s, false);
    struct rabia_outgoing to_self = {.to = 1, .message = slots(RABIA_FRONTIER, 0, 0, 1)};
    wire_sent(&s.wire, 0, &to_self, 0);
    stage_close(&s, "a message to oneself", "W1");

    stage_open(&s, false);
    say(&s, 0, slots(RABIA_SKIP, 0, 0, 1));
    s.seq[0] += 3;
    say(&s, 0, slots(RABIA_SKIP, 0, 1, 1));
    stage_close(&s, "a gap in the record numbers", "W1");
}

static void story_two_voices(void)
{
    struct stage s;
    stage_open(&s, false);
    propose(&s);
    echo(&s, 1);
    forfeit(&s, 1);
    stage_close(&s, "echo and forfeit", "W2");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    forfeit(&s, 2);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_NULL));
    stage_close(&s, "two states", "W2");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    forfeit(&s, 2);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    say(&s, 1, phased(RABIA_STATE, 1, RABIA_NULL));
    say(&s, 2, phased(RABIA_STATE, 1, RABIA_NULL));
    say(&s, 0, phased(RABIA_VOTE, 1, RABIA_NULL));
    say(&s, 0, phased(RABIA_VOTE, 1, RABIA_UNSURE));
    stage_close(&s, "two votes", "W2");

    stage_open(&s, false);
    say(&s, 0, slots(RABIA_SKIP, 0, 0, 5));
    wire_proposed(&s.wire, 0, 4, s.batch);
    stage_close(&s, "a batch where one skipped", "W2");

    stage_open(&s, false);
    propose(&s);
    say(&s, 0, slots(RABIA_SKIP, 0, 0, 5));
    stage_close(&s, "a skip where one has a batch", "W2");

    stage_open(&s, false);
    say(&s, 1, slots(RABIA_SKIP, 0, 0, 5));
    stage_close(&s, "a skip of another's lane", "W2");
}

static void story_window(void)
{
    struct stage s;
    stage_open(&s, false);
    say(&s, 0, slots(RABIA_SKIP, 0, RABIA_WINDOW - 1, 1));
    transmit(&s, 0, slots(RABIA_SKIP, 0, RABIA_WINDOW - 1, 1));
    stage_close(&s, "the last lap of the window", "");

    stage_open(&s, false);
    say(&s, 0, slots(RABIA_SKIP, 0, RABIA_WINDOW - 1, 2));
    transmit(&s, 0, slots(RABIA_SKIP, 0, RABIA_WINDOW - 1, 2));
    stage_close(&s, "a lap beyond the window", "W3");
}

static void story_contents(void)
{
    struct stage s;
    struct batch *other = make_batch(9, 1, RABIA_NO_LAP);
    stage_open(&s, false);
    propose(&s);
    say(&s, 1, proposal(RABIA_BATCH, other));
    stage_close(&s, "other contents", "W4");

    stage_open(&s, false);
    propose(&s);
    echo(&s, 1);
    decide(&s, 0, other);
    stage_close(&s, "other contents decided", "W4");
    batch_release(other);

    stage_open(&s, false);
    propose(&s);
    say(&s, 1, proposal(RABIA_BATCH, NULL));
    stage_close(&s, "an echo without the contents", "W5");

    stage_open(&s, false);
    wire_proposed(&s.wire, 0, 0, s.batch);
    say(&s, 0, proposal(RABIA_BATCH, s.batch));
    echo(&s, 1);
    stage_close(&s, "an echo of what never came", "W5");
}

static void story_disk(void)
{
    struct stage s;
    stage_open(&s, false);
    propose(&s);
    transmit(&s, 1, proposal(RABIA_BATCH, NULL));
    stage_close(&s, "sent before it is written", "W6");

    stage_open(&s, true);
    propose(&s);
    transmit(&s, 0, proposal(RABIA_BATCH, s.batch));
    stage_close(&s, "sent before it is flushed", "W6");

    stage_open(&s, true);
    propose(&s);
    wire_flushed(&s.wire, 0, s.seq[0]);
    transmit(&s, 0, proposal(RABIA_BATCH, s.batch));
    stage_close(&s, "sent once it is flushed", "");

    stage_open(&s, true);
    propose(&s);
    write_record(&s, 1, RABIA_RECORD_SAID, proposal(RABIA_BATCH, s.batch), false);
    stage_close(&s, "an echo of a batch that is not empty, not flushed", "W7");

    stage_open(&s, true);
    write_record(&s, 1, RABIA_RECORD_SAID, slots(RABIA_SKIP, 1, 0, 1), false);
    transmit(&s, 1, slots(RABIA_SKIP, 1, 0, 1));
    stage_close(&s, "an unflushed skip beyond the lap mark", "W7");

    stage_open(&s, true);
    write_record(&s, 1, RABIA_RECORD_LAP_MARK, slots(0, 0, 5, 1), true);
    wire_flushed(&s.wire, 1, s.seq[1]);
    write_record(&s, 1, RABIA_RECORD_SAID, slots(RABIA_SKIP, 1, 0, 5), false);
    transmit(&s, 1, slots(RABIA_SKIP, 1, 0, 5));
    stage_close(&s, "an unflushed skip below the lap mark", "");

    stage_open(&s, true);
    write_record(&s, 1, RABIA_RECORD_SAID, proposal(RABIA_NULL, NULL), false);
    stage_close(&s, "a forfeit that is not flushed", "W7");
}

static void story_follows(void)
{
    struct stage s;
    stage_open(&s, false);
    propose(&s);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    stage_close(&s, "a state before the exchange is mixed", "W8");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    say(&s, 1, phased(RABIA_STATE, 1, RABIA_NULL));
    stage_close(&s, "state 0 with one forfeit", "W8");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    say(&s, 0, phased(RABIA_VOTE, 1, RABIA_BATCH));
    stage_close(&s, "a vote on one state", "W8");

    stage_open(&s, false);
    propose(&s);
    decide(&s, 0, s.batch);
    stage_close(&s, "a batch decided by one proposal", "W8");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    forfeit(&s, 2);
    decide(&s, 1, NULL);
    stage_close(&s, "NULL decided by forfeits alone", "W8");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    forfeit(&s, 2);
    uint8_t coin = rabia_coin(1, 0, 0, 1) ? RABIA_BATCH : RABIA_NULL;
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    say(&s, 1, phased(RABIA_STATE, 1, RABIA_NULL));
    say(&s, 0, phased(RABIA_VOTE, 1, RABIA_UNSURE));
    say(&s, 1, phased(RABIA_VOTE, 1, RABIA_UNSURE));
    say(&s, 0, phased(RABIA_STATE, 2, (uint8_t)(1 - coin)));
    stage_close(&s, "a state against the coin", "W8");
}

static void story_decisions(void)
{
    struct stage s;
    stage_open(&s, false);
    propose(&s);
    echo(&s, 1);
    decide(&s, 0, s.batch);
    decide(&s, 1, NULL);
    stage_close(&s, "batch here, NULL there", "W9");

    stage_open(&s, false);
    say(&s, 0, slots(RABIA_SKIP, 0, 0, 1));
    say(&s, 1, slots(RABIA_SKIP, 1, 0, 1));
    wire_frontier(&s.wire, 1, 1);
    stage_close(&s, "a frontier over an open slot", "W8");

    stage_open(&s, false);
    propose(&s);
    echo(&s, 1);
    decide(&s, 0, s.batch);
    say(&s, 1, slots(RABIA_SKIP, 1, 0, 1));
    say(&s, 2, slots(RABIA_SKIP, 2, 0, 1));
    wire_frontier(&s.wire, 2, 1);
    stage_close(&s, "a decided batch passed as NULL", "W9");

    stage_open(&s, false);
    wire_frontier(&s.wire, 2, 0);
    s.wire.replicas[2].frontier = 5;
    wire_frontier(&s.wire, 2, 4);
    stage_close(&s, "a frontier that goes back", "W9");

    stage_open(&s, false);
    s.batch->clock_ms = WALL_MS + 5000;
    propose(&s);
    echo(&s, 1);
    stage_close(&s, "an echo of a clock too far ahead", "W10");

    stage_open(&s, false);
    propose(&s);
    forfeit(&s, 1);
    forfeit(&s, 2);
    say(&s, 0, phased(RABIA_STATE, 1, RABIA_BATCH));
    say(&s, 1, phased(RABIA_STATE, 1, RABIA_NULL));
    say(&s, 2, phased(RABIA_STATE, 1, RABIA_NULL));
    say(&s, 1, phased(RABIA_VOTE, 1, RABIA_NULL));
    say(&s, 0, phased(RABIA_VOTE, 1, RABIA_BATCH));
    stage_close(&s, "votes for both values", "W11");
}

/* --- lives ------------------------------------------------------------------------ */

static void restart(struct stage *s, uint8_t replica, bool has_memory)
{
    wire_restarted(&s->wire, replica, 0, 0, has_memory);
    wire_speaks(&s->wire, replica);
    s->seq[replica] = 0;
}

static struct rabia_record record_of(enum rabia_record_kind kind, struct rabia_message message, bool needs_flush)
{
    return (struct rabia_record){.seq = 1, .kind = kind, .needs_flush = needs_flush, .message = message};
}

static void answer(struct stage *s, uint8_t replica, uint8_t from)
{
    unsigned char export[RABIA_EXPORT_BYTES] = {1, [10] = 7};
    wire_answered(&s->wire, replica, from, export);
}

static void rejoin(struct stage *s, uint8_t replica, uint64_t lap)
{
    write_record(s, replica, RABIA_RECORD_REJOIN, (struct rabia_message){.lap = lap}, true);
    wire_flushed(&s->wire, replica, s->seq[replica]);
}

static void stories_of_members(void)
{
    struct stage s;
    stage_open(&s, false);
    wire_members(&s.wire, 10, 6);
    say(&s, 0, slots(RABIA_SKIP, 0, 9, 1));
    stage_close(&s, "the last lap of a member", "");

    stage_open(&s, false);
    wire_members(&s.wire, 10, 6);
    say(&s, 0, slots(RABIA_SKIP, 0, 9, 2));
    stage_close(&s, "a word of one who was removed", "W12");

    stage_open(&s, false);
    wire_members(&s.wire, 0, 1 | 2);
    propose(&s);
    s.wire.lanes[0].slots[0].counted_proposal[1] |= 4;
    s.wire.lanes[0].slots[0].counted_journaled |= 4;
    decide(&s, 0, s.batch);
    stage_close(&s, "a learner counts", "W8");

    stage_open(&s, false);
    order_changed(&s.order, 0, 5, 100, 100 + RABIA_WINDOW + 1);
    order_changed(&s.order, 1, 5, 100, 100 + RABIA_WINDOW + 1);
    order_changed(&s.order, 0, 6, 200, RABIA_NO_LAP);
    stage_close(&s, "a change, and one refused", "");

    stage_open(&s, false);
    order_changed(&s.order, 0, 5, 100, 101);
    stage_close(&s, "a change at once", "O7");

    stage_open(&s, false);
    order_changed(&s.order, 0, 5, 100, 100 + RABIA_WINDOW + 1);
    order_changed(&s.order, 0, 6, 200, 200 + RABIA_WINDOW + 1);
    stage_close(&s, "a change during a change", "O7");
}

static void stories_of_memory(void)
{
    struct stage s;
    struct rabia_message skip = slots(RABIA_SKIP, 1, 0, 5);
    stage_open(&s, false);
    forfeit(&s, 1);
    restart(&s, 1, true);
    propose(&s);
    echo(&s, 1);
    stage_close(&s, "an echo where a life before forfeited", "W2");

    stage_open(&s, true);
    propose(&s);
    struct rabia_record lost = record_of(RABIA_RECORD_SAID, proposal(RABIA_BATCH, s.batch), true);
    wire_lost(&s.wire, 0, &lost);
    restart(&s, 0, true);
    say(&s, 0, slots(RABIA_SKIP, 0, 0, 1));
    stage_close(&s, "an unsent batch that was lost", "");

    stage_open(&s, true);
    propose(&s);
    struct rabia_outgoing early = {.to = 6, .message = proposal(RABIA_BATCH, s.batch)};
    early.message.kind = RABIA_CONTENTS;
    wire_sent(&s.wire, 0, &early, 0);
    wire_lost(&s.wire, 0, &lost);
    restart(&s, 0, true);
    say(&s, 0, slots(RABIA_SKIP, 0, 0, 1));
    stage_close(&s, "a skip where lost contents had been sent", "W2");

    stage_open(&s, true);
    propose(&s);
    wire_flushed(&s.wire, 0, s.seq[0]);
    wire_lost(&s.wire, 0, &lost);
    stage_close(&s, "a power cut takes what was on disk", "W16");

    stage_open(&s, false);
    propose(&s);
    echo(&s, 1);
    restart(&s, 1, true); /* its journal was forgotten */
    decide(&s, 0, s.batch);
    stage_close(&s, "contents lost though the memory was not", "W9");

    stage_open(&s, false);
    propose(&s);
    echo(&s, 1);
    restart(&s, 1, false);
    decide(&s, 0, s.batch);
    stage_close(&s, "contents lost with the memory", "");

    stage_open(&s, false);
    restart(&s, 1, false);
    say(&s, 1, skip);
    stage_close(&s, "a word before J", "W13");

    stage_open(&s, false);
    restart(&s, 1, false);
    answer(&s, 1, 0);
    answer(&s, 1, 2);
    rejoin(&s, 1, 3);
    say(&s, 1, slots(RABIA_SKIP, 1, 3, 2));
    stage_close(&s, "words from J on", "");

    stage_open(&s, false);
    restart(&s, 1, false);
    answer(&s, 1, 0);
    answer(&s, 1, 2);
    rejoin(&s, 1, 3);
    say(&s, 1, skip);
    stage_close(&s, "a word below J", "W13");

    stage_open(&s, false);
    say(&s, 1, skip);
    restart(&s, 1, false);
    answer(&s, 1, 0);
    answer(&s, 1, 2);
    rejoin(&s, 1, 4);
    stage_close(&s, "J where it had spoken", "W13");

    stage_open(&s, false);
    restart(&s, 1, false);
    answer(&s, 1, 0);
    answer(&s, 1, 4);
    rejoin(&s, 1, 9);
    stage_close(&s, "J with a learner's answer", "W13");

    stage_open(&s, false);
    restart(&s, 1, false);
    transmit(&s, 1, slots(RABIA_REJOIN_ANSWER, 0, 9, 1));
    stage_close(&s, "an answer while rejoining", "W14");

    stage_open(&s, false);
    say(&s, 1, skip);
    wire_frontier(&s.wire, 1, 0);
    transmit(&s, 1, slots(RABIA_REJOIN_ANSWER, 0, 3, 1));
    stage_close(&s, "an answer below what was spoken", "W14");

    stage_open(&s, false);
    restart(&s, 1, false);
    answer(&s, 1, 0);
    answer(&s, 1, 2);
    rejoin(&s, 1, 9);
    wire_rejoined(&s.wire, 1);
    stage_close(&s, "up below J", "W15");
}

static void story_of_disks(void)
{
    struct verdict verdict = {0};
    struct disk disk = {0};
    struct batch *batch = make_batch(0, 1, RABIA_NO_LAP);
    struct rabia_message m = proposal(RABIA_BATCH, batch);
    m.lap = 4;
    struct rabia_record record = record_of(RABIA_RECORD_SAID, m, true);
    disk_append(&disk, &record, false);
    disk.next.size = RABIA_EXPORT_BYTES;
    disk.next.bytes[1] = 4; /* the cursor is at the slot itself */
    disk_begin_snapshot(&disk, 1);
    disk_flushed(&disk, 1);
    disk_end_snapshot(&disk, &verdict, 0);
    expect("contents forgotten that no snapshot covers", &verdict, "N3");
    disk_deinit(&disk);
    batch_release(batch);
}

/* --- the order checker ---------------------------------------------------------- */

struct step {
    uint8_t replica;
    uint64_t lap;
    uint8_t lane;
    uint64_t command;
    uint32_t number;
    uint64_t previous_lap;
    bool is_void;
    uint64_t digest;
};

static void tell_order(const char *story, const char *complaint, const struct step *steps, size_t count,
                       const uint64_t *frontier_of_2, const uint64_t *acknowledged)
{
    struct stage s;
    stage_open(&s, false);
    for (size_t i = 0; i < count; i++) {
        struct batch *batch = make_batch(steps[i].command, steps[i].number, steps[i].previous_lap);
        struct rabia_decided decided = {.lap = steps[i].lap, .lane = steps[i].lane, .is_void = steps[i].is_void,
                                        .batch = batch};
        order_applied(&s.order, steps[i].replica, &decided, steps[i].digest);
        batch_release(batch);
    }
    if (frontier_of_2)
        order_frontier(&s.order, 2, *frontier_of_2);
    if (acknowledged)
        order_acknowledged(&s.order, *acknowledged);
    stage_close(&s, story, complaint);
}
#define TELL_ORDER(story, complaint, frontier, acknowledged, ...)                                             \
    tell_order(story, complaint, (const struct step[]){__VA_ARGS__},                                          \
               sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step), frontier, acknowledged)

static void stories_of_order(void)
{
    const uint64_t none = RABIA_NO_LAP, five = 5, zero = 0;
    TELL_ORDER("two equal logs", "", NULL, &zero, {0, 0, 0, 0, 1, none, false, 7}, {0, 1, 1, 1, 2, none, false, 8},
               {1, 0, 0, 0, 1, none, false, 7}, {1, 1, 1, 1, 2, none, false, 8});
    TELL_ORDER("another slot at a position", "O1", NULL, NULL, {0, 0, 0, 0, 1, none, false, 7},
               {1, 1, 0, 0, 1, none, false, 7});
    TELL_ORDER("other contents at a position", "O1", NULL, NULL, {0, 0, 0, 0, 1, none, false, 7},
               {1, 0, 0, 1, 1, none, false, 7});
    TELL_ORDER("slots that fall", "O1", NULL, NULL, {0, 3, 1, 0, 1, none, false, 7}, {0, 3, 0, 1, 2, none, false, 8});
    TELL_ORDER("void after NULL", "", NULL, NULL, {0, 3, 0, 0, 1, 2, true, 7});
    TELL_ORDER("not void after NULL", "O2", NULL, NULL, {0, 3, 0, 0, 1, 2, false, 7});
    TELL_ORDER("void for no reason", "O2", NULL, NULL, {0, 3, 0, 0, 1, none, false, 7}, {0, 4, 0, 1, 2, 3, true, 7});
    TELL_ORDER("not void after void", "O2", NULL, NULL, {0, 3, 0, 0, 1, 2, true, 7}, {0, 4, 0, 1, 2, 3, false, 7});
    TELL_ORDER("another store", "O3", NULL, NULL, {0, 0, 0, 0, 1, none, false, 7}, {1, 0, 0, 0, 1, none, false, 8});
    TELL_ORDER("a command twice", "O4", NULL, NULL, {0, 0, 0, 0, 1, none, false, 7}, {0, 1, 0, 0, 1, none, false, 8});
    TELL_ORDER("acknowledged and not there", "O4", NULL, &five, {0, 0, 0, 0, 1, none, false, 7});
    TELL_ORDER("a session out of its order", "O5", NULL, NULL, {0, 0, 0, 0, 2, none, false, 7},
               {0, 1, 0, 1, 1, none, false, 8});
    TELL_ORDER("a frontier that left something out", "O6", &five, NULL, {0, 0, 0, 0, 1, none, false, 7});
}

/* --- histories ------------------------------------------------------------------- */

static void tell_history(const char *story, enum linear_result expected, const struct linear_operation *operations,
                         size_t count)
{
    static const char *const names[] = {"yes", "no", "gave up"};
    struct linear_operation copy[16];
    uint64_t stuck;
    memcpy(copy, operations, count * sizeof *copy);
    enum linear_result result = linear_check(copy, count, 10000, &stuck);
    cases++;
    if (result == expected)
        return;
    failures++;
    printf("self-test: %s: linearizable: %s\n", story, names[result]);
}
#define TELL_HISTORY(story, expected, ...)                                        \
    tell_history(story, expected, (const struct linear_operation[]){__VA_ARGS__}, \
                 sizeof((const struct linear_operation[]){__VA_ARGS__}) / sizeof(struct linear_operation))
#define OPERATION(called_at, answered_at, what, given, expects, answer_a) \
    {.called = called_at, .answered = answered_at, .operation = what, .argument = given, .expected = expects, \
     .answer = {answer_a, 0}}

static void stories_of_histories(void)
{
    const uint64_t never = LINEAR_UNKNOWN;
    TELL_HISTORY("a read after a write", LINEAR_YES, OPERATION(1, 2, DATA_SET, 5, 0, 0), OPERATION(3, 4, DATA_GET, 0, 0, 5));
    TELL_HISTORY("a stale read", LINEAR_NO, OPERATION(1, 2, DATA_SET, 5, 0, 0), OPERATION(3, 4, DATA_GET, 0, 0, 0));
    TELL_HISTORY("reads beside a write", LINEAR_YES, OPERATION(1, 9, DATA_SET, 5, 0, 0), OPERATION(2, 3, DATA_GET, 0, 0, 0),
                 OPERATION(4, 5, DATA_GET, 0, 0, 5));
    TELL_HISTORY("a value seen, then gone", LINEAR_NO, OPERATION(1, 9, DATA_SET, 5, 0, 0),
                 OPERATION(2, 3, DATA_GET, 0, 0, 5), OPERATION(4, 5, DATA_GET, 0, 0, 0));
    TELL_HISTORY("an unknown write that happened", LINEAR_YES, OPERATION(1, never, DATA_SET, 5, 0, 0),
                 OPERATION(2, 3, DATA_GET, 0, 0, 0), OPERATION(4, 5, DATA_GET, 0, 0, 5));
    TELL_HISTORY("an unknown write that did not", LINEAR_YES, OPERATION(1, never, DATA_SET, 5, 0, 0),
                 OPERATION(2, 3, DATA_GET, 0, 0, 0));
    TELL_HISTORY("a value nobody wrote", LINEAR_NO, OPERATION(1, never, DATA_SET, 5, 0, 0),
                 OPERATION(2, 3, DATA_GET, 0, 0, 6));
    TELL_HISTORY("two winners of one CAS", LINEAR_NO, OPERATION(1, 5, DATA_CAS, 7, 0, 1), OPERATION(2, 6, DATA_CAS, 8, 0, 1));
    TELL_HISTORY("one winner", LINEAR_YES, OPERATION(1, 5, DATA_CAS, 7, 0, 1), OPERATION(2, 6, DATA_CAS, 8, 0, 0));
    TELL_HISTORY("a sum given twice", LINEAR_NO, OPERATION(1, 5, DATA_INCREMENT, 1, 0, 1),
                 OPERATION(2, 6, DATA_INCREMENT, 1, 0, 1));
    TELL_HISTORY("sums", LINEAR_YES, OPERATION(1, 5, DATA_INCREMENT, 1, 0, 2), OPERATION(2, 6, DATA_INCREMENT, 1, 0, 1));
    TELL_HISTORY("an element lost", LINEAR_NO, OPERATION(1, 2, DATA_APPEND, 1, 0, 1), OPERATION(3, 4, DATA_APPEND, 2, 0, 1));
}

static void story_of_answers(void)
{
    struct verdict verdict = {0};
    struct clients clients;
    clients_init(&clients, &verdict);
    struct session *session = clients_open(&clients, 0, 10);
    struct command *write = clients_call(&clients, session, DATA_SET, 0, 5, 0);
    clients_answer(&clients, write, (struct data_value){0, 0});
    struct command *read = clients_call(&clients, session, DATA_GET, 0, 0, 0);
    clients_answer(&clients, read, (struct data_value){4, 0});
    clients_check(&clients);
    expect("a wrong read among a run's commands", &verdict, "L1");
    clients_deinit(&clients);
    verdict = (struct verdict){0};
    clients_init(&clients, &verdict);
    write = clients_call(&clients, clients_open(&clients, 0, 10), DATA_SET, 0, 5, 0);
    clients_answer(&clients, write, (struct data_value){0, 0});
    clients_answer(&clients, write, (struct data_value){0, 0});
    expect("two answers to one command", &verdict, "L2");
    clients_deinit(&clients);
    verdict = (struct verdict){0};
    clients_init(&clients, &verdict);
    session = clients_open(&clients, 0, 10);
    write = clients_call(&clients, session, DATA_SET, 0, 5, 0);
    read = clients_call(&clients, session, DATA_GET, 3, 0, 0);
    clients_answer(&clients, read, (struct data_value){0, 0});
    clients_answer(&clients, write, (struct data_value){0, 0});
    expect("a later command answered first", &verdict, "L3");
    clients_deinit(&clients);
}

static void story_of_turns(void)
{
    struct verdict verdict = {0};
    struct plan plan = {.batch_commands_max = 1, .in_flight_max = 4};
    struct owner owner;
    owner_init(&owner, &plan, &verdict);
    struct rabia_decided decided = {.lap = 3};
    struct own_slot own;
    owner_out(&owner, &decided, &own);
    expect("an own slot nobody proposed", &verdict, "P1");
    owner_deinit(&owner);
}

/* --- runs ---------------------------------------------------------------------------- */

/* One seed, two runs, one trace. */
static void story_of_repetition(void)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct plan_options options = {.seed = seed, .profile = -1, .flush = -1, .owner = -1, .lives = -1};
        struct run_result first, second;
        cluster_run(&options, NULL, &first);
        cluster_run(&options, NULL, &second);
        cases++;
        if (first.trace_hash == second.trace_hash && first.trace_count == second.trace_count && first.trace_count > 0)
            continue;
        failures++;
        printf("self-test: seed %" PRIu64 " does not repeat: %" PRIu64 " and %" PRIu64 " events\n", seed,
               first.trace_count, second.trace_count);
    }
}

bool self_test_run(void)
{
    failures = cases = 0;
    story_good();
    story_malformed();
    story_two_voices();
    story_window();
    story_contents();
    story_disk();
    story_follows();
    story_decisions();
    stories_of_members();
    stories_of_memory();
    story_of_disks();
    stories_of_order();
    stories_of_histories();
    story_of_answers();
    story_of_turns();
    story_of_repetition();
    printf("self-test: %u cases, %u failed\n", cases, failures);
    return failures == 0;
}
