/* Goal: what a replica is to remember comes back after a restart as it was said, damage is
 * refused by name, and what cannot be remembered is noticed for good: memory.h.
 *
 * Method: memories on the disk of tests/unit/persist/disk.h, opened, closed and opened
 * again; failed calls and power cuts there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "../persist/disk.h"
#include "net/loop.h"
#include "replica/memory.h"

static struct loop *loop;
static struct keyspace *keyspace;
static struct memory *memory;

/* --- a life ------------------------------------------------------------------------ */

enum { HEARD_MAX = 64 };
static struct rabia_record heard[HEARD_MAX];
static size_t heard_count;

static void hear(void *context, const struct rabia_record *record)
{
    (void)context;
    assert_true(heard_count < HEARD_MAX);
    heard[heard_count] = *record;
    if (record->message.batch)
        heard[heard_count].message.batch = batch_hold(record->message.batch);
    heard_count++;
}

static void forget_heard(void)
{
    for (size_t i = 0; i < heard_count; i++)
        batch_release(heard[i].message.batch);
    heard_count = 0;
}

static enum status try_open(char error[MEMORY_ERROR_MAX], uint16_t self_id)
{
    struct memory_options options = {.loop = loop, .keyspace = keyspace, .dir = "/disk", .cluster_name = "test",
                                     .self_id = self_id, .is_journaled = true, .mode = JOURNAL_ALWAYS,
                                     .segment_bytes = JOURNAL_SEGMENT_MIN, .is_compressed = true};
    return memory_open(&memory, &options, error);
}

static void open_memory(void)
{
    char error[MEMORY_ERROR_MAX] = "";
    forget_heard();
    if (try_open(error, 3) != STATUS_OK || memory_replay(memory, UINT64_MAX, hear, NULL, error) != STATUS_OK)
        fail_msg("%s", error);
    memory_new_core(memory, UINT64_MAX);
}

static void set_identity(uint64_t incarnation, bool is_rejoining)
{
    struct memory_identity identity = {.self_id = 3, .incarnation = incarnation, .epoch = 5, .seed = UINT64_MAX,
                                       .is_rejoining = is_rejoining, .member_count = 2, .ids = {3, 65535},
                                       .incarnations = {incarnation, 0}};
    memcpy(identity.hash_secret, "\x00\xff 0123456789ab", 16);
    assert_int_equal(memory_set_identity(memory, &identity), STATUS_OK);
}

static void end_life(bool is_clean)
{
    if (is_clean)
        assert_int_equal(memory_close(memory), STATUS_OK);
    memory_free(memory);
}

static int begin(void **state)
{
    (void)state;
    disk_format(7);
    disk_put("other", "", 0);
    loop = loop_create();
    keyspace = keyspace_create(&(struct keyspace_options){.database_count = 1});
    return 0;
}

static int finish(void **state)
{
    (void)state;
    forget_heard();
    file_set_ops(NULL);
    keyspace_free(keyspace);
    loop_free(loop);
    return 0;
}

/* --- identity ---------------------------------------------------------------------- */

static void test_the_identity_comes_back(void **state)
{
    (void)state;
    open_memory();
    assert_true(memory_is_new(memory));
    assert_false(memory_is_whole(memory));
    set_identity(UINT64_MAX - 1, false);
    end_life(true);
    open_memory();
    const struct memory_identity *identity = memory_identity(memory);
    assert_false(memory_is_new(memory));
    assert_true(memory_is_whole(memory));
    assert_false(memory_may_lack_tail(memory));
    assert_int_equal(identity->self_id, 3);
    assert_true(identity->incarnation == UINT64_MAX - 1);
    assert_int_equal(identity->epoch, 5);
    assert_true(identity->seed == UINT64_MAX);
    assert_false(identity->is_rejoining);
    assert_int_equal(identity->member_count, 2);
    assert_int_equal(identity->ids[1], 65535);
    assert_true(identity->incarnations[0] == UINT64_MAX - 1);
    assert_memory_equal(identity->hash_secret, "\x00\xff 0123456789ab", 16);
    set_identity(9, true);
    end_life(true);
    open_memory();
    assert_false(memory_is_whole(memory)); /* it was rejoining */
    end_life(true);
}

static void test_a_damaged_identity_is_refused(void **state)
{
    (void)state;
    char error[MEMORY_ERROR_MAX];
    open_memory();
    set_identity(9, false);
    end_life(true);
    assert_int_equal(try_open(error, 4), STATUS_MISMATCH);
    assert_non_null(strstr(error, "belongs to member 3"));
    disk_get("replica.state")->bytes[30] ^= 1;
    assert_int_equal(try_open(error, 3), STATUS_MALFORMED);
    assert_non_null(strstr(error, "replica.state: damaged"));
}

/* --- records ----------------------------------------------------------------------- */

static struct batch *batch_of(const char *bytes)
{
    struct batch *batch = batch_create(strlen(bytes));
    memcpy(batch->bytes, bytes, strlen(bytes));
    batch->clock_ms = 17;
    batch->previous_lap = 4;
    return batch;
}

static struct rabia_record record_of(uint64_t seq)
{
    struct rabia_record record = {.seq = seq, .kind = RABIA_RECORD_SAID, .needs_flush = true};
    record.message = (struct rabia_message){.kind = RABIA_VOTE, .lane = 2, .value = RABIA_UNSURE,
                                            .phase = (uint32_t)seq, .lap = 1000 + seq, .count = 1};
    return record;
}

static void test_records_of_every_kind_are_replayed(void **state)
{
    (void)state;
    struct rabia_record records[5] = {record_of(1), record_of(2), record_of(3), record_of(4), record_of(5)};
    records[1].message = (struct rabia_message){.kind = RABIA_PROPOSAL, .lane = 1, .value = RABIA_BATCH, .lap = 77,
                                                .count = 1, .batch = batch_of("SET a 1")};
    records[2].kind = RABIA_RECORD_DECIDED;
    records[2].message = (struct rabia_message){.kind = RABIA_DECIDED, .value = RABIA_BATCH, .lap = 78, .count = 1,
                                                .batch = batch_of("")};
    records[3].kind = RABIA_RECORD_LAP_MARK;
    records[3].message = (struct rabia_message){.lap = UINT64_MAX};
    records[4].kind = RABIA_RECORD_REJOIN;
    records[4].message = (struct rabia_message){.lap = 12345};
    open_memory();
    set_identity(9, false);
    for (int i = 0; i < 5; i++)
        memory_record(memory, &records[i]);
    assert_int_equal(memory_write(memory), STATUS_OK);
    end_life(false); /* killed */
    open_memory();
    assert_int_equal(heard_count, 5);
    for (int i = 0; i < 5; i++) {
        const struct rabia_message *said = &records[i].message, *read = &heard[i].message;
        assert_int_equal(heard[i].kind, records[i].kind);
        assert_true(read->lap == said->lap);
        if (records[i].kind == RABIA_RECORD_LAP_MARK || records[i].kind == RABIA_RECORD_REJOIN)
            continue;
        assert_int_equal(read->kind, said->kind);
        assert_int_equal(read->lane, said->lane);
        assert_int_equal(read->value, said->value);
        assert_int_equal(read->phase, said->phase);
        assert_true(read->count == said->count);
        assert_int_equal(read->batch != NULL, said->batch != NULL);
        if (said->batch) {
            assert_int_equal(read->batch->size, said->batch->size);
            assert_memory_equal(read->batch->bytes, said->batch->bytes, said->batch->size);
            assert_true(read->batch->clock_ms == said->batch->clock_ms);
            assert_true(read->batch->previous_lap == said->batch->previous_lap);
        }
        batch_release(said->batch);
    }
    end_life(true);
}

static void write_one(uint64_t seq)
{
    struct rabia_record record = record_of(seq);
    memory_record(memory, &record);
    assert_int_equal(memory_write(memory), STATUS_OK);
}

/* However many passes go by before the disk is asked, the newest is known in the end, and
 * never more than what was written. */
static void test_flushes_are_told_in_the_core_s_numbers(void **state)
{
    (void)state;
    open_memory();
    set_identity(9, false);
    uint64_t seq, newest = 0;
    bool has_risen;
    for (int core = 0; core < 2; core++) {
        for (uint64_t i = 1; i <= 3000; i++) {
            write_one(i);
            if (i % 1500 == 0)
                continue;
            assert_int_equal(memory_flushed(memory, &has_risen, &seq), STATUS_OK);
            assert_true(seq <= i);
            assert_true(seq >= newest);
            newest = seq;
        }
        while (newest < 3000) {
            assert_int_equal(memory_flushed(memory, &has_risen, &seq), STATUS_OK);
            assert_true(has_risen == (seq > newest));
            newest = seq;
        }
        memory_new_core(memory, UINT64_MAX); /* counts from 1 again */
        newest = 0;
    }
    end_life(true);
}

/* --- failing disks --------------------------------------------------------------------- */

static void test_an_error_is_for_good(void **state)
{
    (void)state;
    open_memory();
    set_identity(9, false);
    write_one(1);
    disk_fail(1, 1000, EIO);
    struct rabia_record record = record_of(2);
    memory_record(memory, &record);
    bool has_risen = true;
    uint64_t seq;
    while (memory_write(memory) == STATUS_OK && memory_flushed(memory, &has_risen, &seq) == STATUS_OK)
        ;
    assert_int_equal(memory_error(memory), EIO);
    disk_fail(0, 0, 0); /* it works again, but what was lost on the way is lost */
    assert_int_equal(memory_write(memory), STATUS_IO);
    assert_int_equal(memory_flushed(memory, &has_risen, &seq), STATUS_IO);
    assert_false(has_risen);
    assert_int_equal(memory_close(memory), STATUS_IO);
    memory_free(memory);
}

/* --- saving -------------------------------------------------------------------------------- */

static void save(uint64_t position, enum status expected)
{
    memory_begin_segment(memory);
    struct memory_save what = {.position = position, .state = slice_from("state")};
    assert_int_equal(memory_save_now(memory, &what), expected);
}

static uint64_t load_position(void)
{
    char error[MEMORY_ERROR_MAX] = "";
    struct snapshot_head head;
    struct keyspace *loaded = keyspace_create(&(struct keyspace_options){.database_count = 1});
    struct memory_options options = {.loop = loop, .keyspace = loaded, .dir = "/disk", .cluster_name = "test",
                                     .self_id = 3, .is_journaled = true, .mode = JOURNAL_ALWAYS,
                                     .segment_bytes = JOURNAL_SEGMENT_MIN};
    struct memory *reader;
    assert_int_equal(memory_open(&reader, &options, error), STATUS_OK);
    if (memory_load_snapshot(reader, memory_snapshot_path(reader), &head, NULL, NULL, error) != STATUS_OK)
        fail_msg("%s", error);
    assert_true(slice_equal(head.state, slice_from("state")));
    memory_free(reader);
    keyspace_free(loaded);
    return head.position;
}

static void test_what_a_snapshot_holds_is_forgotten(void **state)
{
    (void)state;
    open_memory();
    set_identity(9, false);
    for (uint64_t i = 1; i <= 10; i++)
        write_one(i);
    save(50, STATUS_OK);
    assert_int_equal(load_position(), 50);
    for (uint64_t i = 11; i <= 13; i++)
        write_one(i);
    end_life(true);
    open_memory();
    assert_int_equal(heard_count, 3);
    assert_int_equal(heard[0].message.lap, 1011);
    end_life(true);
}

/* Whichever call fails: the former snapshot, or the new one, and every record behind it. */
static void test_a_save_that_fails_leaves_the_former_one(void **state)
{
    (void)state;
    for (long at = 1; at <= 24; at++) {
        disk_format((uint64_t)at);
        disk_put("other", "", 0);
        open_memory();
        set_identity(9, false);
        write_one(1);
        save(50, STATUS_OK);
        write_one(2);
        memory_begin_segment(memory);
        struct memory_save what = {.position = 60, .state = slice_from("state")};
        disk_fail(at, 1000, EIO);
        bool is_saved = memory_save_now(memory, &what) == STATUS_OK;
        disk_fail(0, 0, 0);
        memory_free(memory);
        uint64_t position = load_position();
        assert_true(position == 60 || (position == 50 && !is_saved));
        open_memory();
        if (position == 50)
            assert_int_equal(heard_count, 1);
        end_life(true);
    }
}

/* A life that ends before it said anything leaves what the life before may have lost
 * as doubtful as it found it. */
static void test_a_lost_tail_is_doubted_until_somebody_spoke(void **state)
{
    (void)state;
    open_memory();
    set_identity(9, false);
    write_one(1);
    end_life(false); /* killed */
    for (int i = 0; i < 2; i++) {
        open_memory();
        assert_true(memory_is_whole(memory));
        assert_true(memory_may_lack_tail(memory));
        end_life(true);
    }
    open_memory();
    write_one(2);
    end_life(true);
    open_memory();
    assert_false(memory_may_lack_tail(memory));
    end_life(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_identity_comes_back, begin, finish),
        cmocka_unit_test_setup_teardown(test_a_damaged_identity_is_refused, begin, finish),
        cmocka_unit_test_setup_teardown(test_records_of_every_kind_are_replayed, begin, finish),
        cmocka_unit_test_setup_teardown(test_flushes_are_told_in_the_core_s_numbers, begin, finish),
        cmocka_unit_test_setup_teardown(test_an_error_is_for_good, begin, finish),
        cmocka_unit_test_setup_teardown(test_what_a_snapshot_holds_is_forgotten, begin, finish),
        cmocka_unit_test_setup_teardown(test_a_save_that_fails_leaves_the_former_one, begin, finish),
        cmocka_unit_test_setup_teardown(test_a_lost_tail_is_doubted_until_somebody_spoke, begin, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
