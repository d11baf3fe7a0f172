/* Goal: every rule of protocol.md told as a story that can be checked.
 *
 * Method: tests/scenario/<name>.txt holds comments, commands ("> ...") and,
 * indented below each command, what the machines did.  This runner performs the
 * commands on real machines and compares.  SCENARIO_REWRITE=1 writes the files
 * anew (read the difference before committing it).
 *
 *   > cluster 3 [flush] [history=BYTES] [ahead=LAPS] [seed=N] [members=N]
 *                              members=N: only the first N are, the others learn
 *   > propose R NAME [previous=LAP] [clock=MS] [empty]
 *   > deliver FROM TO [KIND]     all queued messages as one frame, or the first of KIND
 *   > drop FROM TO [KIND]
 *   > settle                     deliver and flush until quiet; shows what came out
 *   > wait MS [R]                time goes by, a TICK per millisecond (for R alone)
 *   > pause MS                   time goes by at once: the processes stood still
 *   > flush R | crash R | (wall clocks begin at 1000 ms)
 *   > restart R [lost]         with its journal; lost: without what was not flushed
 *   > rejoin R                 without its memory
 *   > snapshot R               what R would restart from, and its journal from there
 *   > install R FROM           a snapshot of FROM's state in R
 *   > link R PEER up|down | nudge R LAP | wall R MS
 *   > inject FROM TO KIND LAP.LANE [count=N] [phase=P] [value=V] [NAME]
 *   > status R                   frontier and next own lap
 *
 * A batch named "=012" changes the members to 0, 1, 2 where it is ordered.
 *
 * LAP.LANE names a slot, LAP-LAP.LANE a range.  Urgent messages come first in
 * "0 -> 1 2: ..."; lazy ones have "~>". */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "consensus/rabia.h"

enum { QUEUE_MAX = 4096, WORDS_MAX = 10, JOURNAL_MAX = 512 };

struct queue {
    struct rabia_message messages[QUEUE_MAX];
    size_t count;
};
struct replica {
    struct rabia *rabia;
    bool is_crashed;
    uint64_t last_seq, wall_ms;
    struct rabia_options options;
    struct rabia_record journal[JOURNAL_MAX];
    size_t journal_count, flushed_count;
    unsigned char snapshot[RABIA_EXPORT_BYTES];
    size_t snapshot_size;
};
struct story {
    uint8_t n;
    bool flush, is_quiet, is_replaying;
    uint64_t now_us;
    struct replica replicas[RABIA_MEMBERS_MAX];
    struct queue queues[RABIA_MEMBERS_MAX][RABIA_MEMBERS_MAX];
    struct buf trace;
};
static struct story story;

static const char *const kind_names[RABIA_KIND_END] = {
    [RABIA_PROPOSAL] = "PROPOSAL", [RABIA_CONTENTS] = "CONTENTS",
    [RABIA_SKIP] = "SKIP",         [RABIA_STATE] = "STATE",
    [RABIA_VOTE] = "VOTE",         [RABIA_DECIDED] = "DECIDED",
    [RABIA_ASK] = "ASK",           [RABIA_FETCH] = "FETCH",
    [RABIA_NUDGE] = "NUDGE",       [RABIA_RESUME] = "RESUME",
    [RABIA_CLOCK_REFUSED] = "CLOCK_REFUSED", [RABIA_FRONTIER] = "FRONTIER",
    [RABIA_TOO_OLD] = "TOO_OLD",   [RABIA_REJOIN] = "REJOIN",
    [RABIA_REJOIN_ANSWER] = "REJOIN_ANSWER",
};
static const char *const value_names[] = {"NULL", "batch", "?"};

/* --- the trace ----------------------------------------------------------- */

static void trace_batch(const struct batch *batch)
{
    if (batch && batch->size > 0)
        buf_printf(&story.trace, " \"%.*s\"", (int)batch->size, batch->bytes);
    else if (batch)
        buf_printf(&story.trace, " (empty)");
}

static bool has_value(uint8_t kind)
{
    return kind == RABIA_PROPOSAL || kind == RABIA_STATE || kind == RABIA_VOTE || kind == RABIA_DECIDED;
}

static void trace_message(const struct rabia_message *m)
{
    buf_printf(&story.trace, " %s", kind_names[m->kind]);
    if (m->kind == RABIA_REJOIN)
        return;
    buf_printf(&story.trace, " %llu", (unsigned long long)m->lap);
    if (m->count > 1)
        buf_printf(&story.trace, "-%llu", (unsigned long long)(m->lap + m->count - 1));
    if (m->kind != RABIA_ASK && m->kind != RABIA_NUDGE && m->kind < RABIA_FRONTIER)
        buf_printf(&story.trace, ".%u", m->lane);
    if (m->phase)
        buf_printf(&story.trace, " phase %u", m->phase);
    if (has_value(m->kind))
        buf_printf(&story.trace, " %s", value_names[m->value]);
    if (m->clock_ms)
        buf_printf(&story.trace, " at %llu", (unsigned long long)m->clock_ms);
    if (m->kind != RABIA_REJOIN_ANSWER)
        trace_batch(m->batch);
}

static void trace_sent(uint8_t self, const struct rabia_outgoing *o)
{
    buf_printf(&story.trace, "  %u %s", self, o->is_lazy ? "~>" : "->");
    for (uint8_t to = 0; to < story.n; to++)
        if (o->to >> to & 1)
            buf_printf(&story.trace, " %u", to);
    buf_printf(&story.trace, ":");
    trace_message(&o->message);
    buf_printf(&story.trace, "\n");
}

static void trace_record(uint8_t self, const struct rabia_record *record)
{
    static const char *const names[] = {"", "said", "decided", "lap mark", "rejoin from"};
    buf_printf(&story.trace, "  %u writes: %s", self, names[record->kind]);
    if (record->kind == RABIA_RECORD_LAP_MARK || record->kind == RABIA_RECORD_REJOIN)
        buf_printf(&story.trace, " %llu", (unsigned long long)record->message.lap);
    else
        trace_message(&record->message);
    buf_printf(&story.trace, "%s\n", record->needs_flush ? ", to be flushed" : "");
}

static void trace_decided(uint8_t self, const struct rabia_decided *d)
{
    buf_printf(&story.trace, "  %u %s %llu.%u", self, story.is_replaying ? "replays" : "orders",
               (unsigned long long)d->lap, d->lane);
    if (d->batch)
        trace_batch(d->batch);
    else if (d->is_unknown)
        buf_printf(&story.trace, " unknown: a snapshot jumped over its own batch");
    else
        buf_printf(&story.trace, " NULL, its own batch is lost");
    buf_printf(&story.trace, "%s\n", d->is_void ? " void" : "");
}

static void change_members(uint8_t self, const struct rabia_decided *d)
{
    uint16_t mask = 0;
    if (!d->batch || d->is_void || d->batch->size < 2 || d->batch->bytes[0] != '=')
        return;
    for (uint32_t i = 1; i < d->batch->size; i++)
        mask |= (uint16_t)(1u << (d->batch->bytes[i] - '0'));
    uint64_t from = rabia_change_members(story.replicas[self].rabia, d->lap, mask);
    if (from == RABIA_NO_LAP)
        buf_printf(&story.trace, "  %u refuses the change\n", self);
    else
        buf_printf(&story.trace, "  %u: members %.*s from lap %llu\n", self, (int)d->batch->size - 1,
                   d->batch->bytes + 1, (unsigned long long)from);
}

static void trace_lives(uint8_t self, const struct rabia_out *out)
{
    if (out->rejoined_lap != RABIA_NO_LAP)
        buf_printf(&story.trace, "  %u will speak from lap %llu on\n", self, (unsigned long long)out->rejoined_lap);
    if (out->has_rejoined)
        buf_printf(&story.trace, "  %u has rejoined\n", self);
    if (out->was_removed)
        buf_printf(&story.trace, "  %u is no longer a member\n", self);
}

static void trace_out(uint8_t self, const struct rabia_out *out)
{
    for (size_t i = 0; !story.is_quiet && story.flush && i < out->record_count; i++)
        trace_record(self, &out->records[i]);
    for (int lazy = 0; !story.is_quiet && lazy < 2; lazy++)
        for (size_t i = 0; i < out->message_count; i++)
            if (out->messages[i].is_lazy == lazy)
                trace_sent(self, &out->messages[i]);
    for (size_t i = 0; i < out->decided_count; i++) {
        trace_decided(self, &out->decided[i]);
        change_members(self, &out->decided[i]);
    }
    trace_lives(self, out);
    if (out->clock_refused_ms)
        buf_printf(&story.trace, "  %u is told that its clock is ahead of %llu\n", self,
                   (unsigned long long)out->clock_refused_ms);
    if (out->snapshot_from_lap != RABIA_NO_LAP)
        buf_printf(&story.trace, "  %u needs a snapshot from lap %llu\n", self,
                   (unsigned long long)out->snapshot_from_lap);
}

/* --- the world ----------------------------------------------------------- */

static void queue_take(struct queue *q, size_t index, struct rabia_message *taken)
{
    *taken = q->messages[index];
    memmove(&q->messages[index], &q->messages[index + 1], (q->count - index - 1) * sizeof *q->messages);
    q->count--;
}

static void enqueue(uint8_t self, const struct rabia_out *out)
{
    for (size_t i = 0; i < out->message_count; i++)
        for (uint8_t to = 0; to < story.n; to++) {
            struct queue *q = &story.queues[self][to];
            if (!(out->messages[i].to >> to & 1) || story.replicas[to].is_crashed)
                continue;
            assert_true(q->count < QUEUE_MAX);
            q->messages[q->count++] = out->messages[i].message;
            if (out->messages[i].message.batch)
                batch_hold(out->messages[i].message.batch);
        }
}

static void keep_records(struct replica *replica, const struct rabia_out *out)
{
    for (size_t i = 0; i < out->record_count; i++) {
        assert_true(replica->journal_count < JOURNAL_MAX);
        replica->journal[replica->journal_count++] = out->records[i];
        replica->last_seq = out->records[i].seq;
        if (out->records[i].message.batch)
            batch_hold(out->records[i].message.batch);
    }
}

static void cut_journal(struct replica *replica, size_t count)
{
    while (replica->journal_count > count)
        batch_release(replica->journal[--replica->journal_count].message.batch);
}

static void honour(uint8_t self, struct rabia_out *out)
{
    rabia_check(story.replicas[self].rabia);
    keep_records(&story.replicas[self], out);
    trace_out(self, out);
    enqueue(self, out);
    rabia_out_deinit(out);
}

static void step(uint8_t self, struct rabia_event event)
{
    struct replica *replica = &story.replicas[self];
    struct rabia_out out;
    if (replica->is_crashed)
        return;
    rabia_out_init(&out);
    event.now_us = story.now_us;
    event.wall_ms = replica->wall_ms + story.now_us / 1000;
    rabia_step(replica->rabia, &event, &out);
    honour(self, &out);
}

static void deliver(uint8_t from, uint8_t to, const char *kind, bool is_lost)
{
    struct queue *q = &story.queues[from][to];
    struct rabia_message frame[QUEUE_MAX];
    size_t count = 0;
    for (size_t i = 0; i < q->count;) {
        if (kind && strcmp(kind_names[q->messages[i].kind], kind) != 0) {
            i++;
            continue;
        }
        queue_take(q, i, &frame[count++]);
        if (kind)
            break;
    }
    if (count == 0)
        buf_printf(&story.trace, "  (nothing)\n");
    else if (!is_lost)
        step(to, (struct rabia_event){
                     .kind = RABIA_EVENT_MESSAGES, .peer = from, .messages = frame, .message_count = count});
    for (size_t i = 0; i < count; i++)
        batch_release(frame[i].batch);
}

static void flush(uint8_t self)
{
    story.replicas[self].flushed_count = story.replicas[self].journal_count;
    step(self, (struct rabia_event){.kind = RABIA_EVENT_FLUSHED, .flushed_seq = story.replicas[self].last_seq});
}

static bool settle_round(void)
{
    bool is_busy = false;
    for (uint8_t from = 0; from < story.n; from++)
        for (uint8_t to = 0; to < story.n; to++)
            if (story.queues[from][to].count > 0) {
                deliver(from, to, NULL, false);
                is_busy = true;
            }
    for (uint8_t i = 0; i < story.n; i++)
        if (story.replicas[i].flushed_count < story.replicas[i].journal_count)
            flush(i);
    return is_busy;
}

static void settle(void)
{
    story.is_quiet = true;
    for (int round = 0; round < 100 && settle_round(); round++)
        ;
    story.is_quiet = false;
}

static void end_story(void)
{
    for (uint8_t from = 0; from < RABIA_MEMBERS_MAX; from++)
        for (uint8_t to = 0; to < RABIA_MEMBERS_MAX; to++)
            for (size_t i = 0; i < story.queues[from][to].count; i++)
                batch_release(story.queues[from][to].messages[i].batch);
    for (uint8_t i = 0; i < story.n; i++) {
        rabia_free(story.replicas[i].rabia);
        cut_journal(&story.replicas[i], 0);
    }
    struct buf trace = story.trace;
    memset(&story, 0, sizeof story);
    story.trace = trace;
}

/* --- commands ------------------------------------------------------------ */

static uint64_t option(char **words, const char *name, uint64_t otherwise)
{
    size_t length = strlen(name);
    for (size_t i = 0; words[i]; i++)
        if (strncmp(words[i], name, length) == 0 && words[i][length] == '=')
            return strtoull(words[i] + length + 1, NULL, 10);
    return otherwise;
}

static bool has_word(char **words, const char *word)
{
    for (size_t i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

static uint8_t member(const char *word)
{
    assert_non_null(word);
    uint64_t value = strtoull(word, NULL, 10);
    assert_true(value < RABIA_MEMBERS_MAX);
    return (uint8_t)value;
}

static void do_cluster(char **words)
{
    end_story();
    story.n = member(words[1]);
    story.flush = has_word(words, "flush");
    for (uint8_t i = 0; i < story.n; i++) {
        struct rabia_options options;
        rabia_options_default(&options);
        options.member_count = (uint8_t)option(words, "members", story.n);
        options.learners = (uint16_t)((1u << story.n) - 1);
        options.self = i;
        options.cluster_seed = option(words, "seed", 1);
        options.flush_before_send = story.flush;
        options.heartbeat_us = 10 * 1000 * 1000;
        options.history_bytes_max = option(words, "history", options.history_bytes_max);
        options.skip_ahead_max = (uint32_t)option(words, "ahead", 0);
        story.replicas[i].options = options;
        story.replicas[i].rabia = rabia_create(&options, 0);
        story.replicas[i].wall_ms = 1000;
    }
    for (uint8_t i = 0; story.flush && i < story.n; i++)
        step(i, (struct rabia_event){.kind = RABIA_EVENT_TICK});
}

static void do_propose(char **words)
{
    uint8_t self = member(words[1]);
    bool is_empty = has_word(words, "empty");
    struct batch *batch = batch_create(is_empty ? 0 : strlen(words[2]));
    if (!is_empty)
        memcpy(batch->bytes, words[2], batch->size);
    batch->previous_lap = option(words, "previous", RABIA_NO_LAP);
    batch->clock_ms = option(words, "clock", 0);
    if (rabia_can_propose(story.replicas[self].rabia))
        step(self, (struct rabia_event){.kind = RABIA_EVENT_PROPOSE, .batch = batch});
    else
        buf_printf(&story.trace, "  %u must wait: its next slot is too far ahead\n", self);
    batch_release(batch);
}

static void do_wait(char **words)
{
    uint64_t ms = strtoull(words[1], NULL, 10);
    for (uint64_t i = 0; i < ms; i++) {
        story.now_us += 1000;
        for (uint8_t r = 0; r < story.n; r++)
            if (!words[2] || member(words[2]) == r)
                step(r, (struct rabia_event){.kind = RABIA_EVENT_TICK});
    }
}

static void do_pause(char **words)
{
    story.now_us += 1000 * strtoull(words[1], NULL, 10);
    for (uint8_t r = 0; r < story.n; r++)
        step(r, (struct rabia_event){.kind = RABIA_EVENT_TICK});
}

static void do_link(char **words)
{
    bool is_up = strcmp(words[3], "up") == 0;
    step(member(words[1]), (struct rabia_event){.kind = is_up ? RABIA_EVENT_LINK_UP : RABIA_EVENT_LINK_DOWN,
                                                .peer = member(words[2])});
}

static uint8_t kind_of(const char *name)
{
    for (uint8_t kind = 1; kind < RABIA_KIND_END; kind++)
        if (strcmp(kind_names[kind], name) == 0)
            return kind;
    return RABIA_KIND_END;
}

static void do_inject(char **words)
{
    char *dot;
    struct rabia_message m = {.kind = kind_of(words[3]), .lap = strtoull(words[4], &dot, 10)};
    m.lane = (uint8_t)(*dot == '.' ? strtoull(dot + 1, NULL, 10) : 0);
    m.count = option(words, "count", 1);
    m.phase = (uint32_t)option(words, "phase", 0);
    m.value = (uint8_t)option(words, "value", 0);
    m.clock_ms = option(words, "clock", 0);
    step(member(words[2]), (struct rabia_event){.kind = RABIA_EVENT_MESSAGES, .peer = member(words[1]),
                                                .messages = &m, .message_count = 1});
}

static void do_status(char **words)
{
    struct rabia_status s;
    uint8_t self = member(words[1]);
    rabia_get_status(story.replicas[self].rabia, story.now_us, &s);
    buf_printf(&story.trace, "  %u: frontier %llu, next own lap %llu, in flight %llu, invalid messages %llu\n", self,
               (unsigned long long)s.frontier, (unsigned long long)s.own_next_lap,
               (unsigned long long)s.own_in_flight, (unsigned long long)s.invalid_messages);
    for (uint8_t lane = 0; lane < story.n; lane++)
        if (s.lanes[lane].is_suspect)
            buf_printf(&story.trace, "  %u: lane %u is suspect\n", self, lane);
    if (s.is_rejoining)
        buf_printf(&story.trace, "  %u: rejoining\n", self);
}

static void do_crash(char **words)
{
    uint8_t self = member(words[1]);
    story.replicas[self].is_crashed = true;
    for (uint8_t from = 0; from < story.n; from++)
        while (story.queues[from][self].count)
            deliver(from, self, NULL, true);
}

static void replay(uint8_t self)
{
    struct replica *replica = &story.replicas[self];
    story.is_replaying = true;
    for (size_t i = 0; i < replica->journal_count; i++) {
        struct rabia_out out;
        rabia_out_init(&out);
        assert_true(rabia_replay(replica->rabia, &replica->journal[i], &out));
        trace_out(self, &out);
        rabia_out_deinit(&out);
    }
    story.is_replaying = false;
}

static struct replica *begin_life(uint8_t self)
{
    struct replica *replica = &story.replicas[self];
    assert_true(replica->is_crashed);
    rabia_free(replica->rabia);
    replica->rabia = rabia_restore(&replica->options, slice_make(replica->snapshot, replica->snapshot_size),
                                   story.now_us);
    assert_non_null(replica->rabia);
    replica->is_crashed = false;
    replica->last_seq = 0;
    return replica;
}

static uint64_t wall_of(const struct replica *replica)
{
    return replica->wall_ms + story.now_us / 1000;
}

static void do_restart(char **words)
{
    uint8_t self = member(words[1]);
    struct replica *replica = begin_life(self);
    struct rabia_speak_options how = {.may_have_lost_tail = has_word(words, "lost")};
    struct rabia_out out;
    if (how.may_have_lost_tail)
        cut_journal(replica, replica->flushed_count);
    replay(self);
    replica->flushed_count = replica->journal_count;
    rabia_out_init(&out);
    rabia_speak(replica->rabia, &how, story.now_us, wall_of(replica), &out);
    honour(self, &out);
}

static void do_rejoin(char **words)
{
    uint8_t self = member(words[1]);
    struct rabia_out out;
    story.replicas[self].snapshot_size = 0;
    cut_journal(&story.replicas[self], 0);
    struct replica *replica = begin_life(self);
    replica->flushed_count = 0;
    for (uint8_t i = 0; i < story.n; i++)
        if (i != self)
            step(i, (struct rabia_event){.kind = RABIA_EVENT_FORGET, .peer = self});
    rabia_out_init(&out);
    rabia_rejoin(replica->rabia, story.now_us, wall_of(replica), &out);
    honour(self, &out);
}

static void do_snapshot(char **words)
{
    struct replica *replica = &story.replicas[member(words[1])];
    struct rabia_out out;
    replica->snapshot_size = rabia_export(replica->rabia, replica->snapshot);
    cut_journal(replica, 0);
    rabia_out_init(&out);
    rabia_restate(replica->rabia, &out);
    keep_records(replica, &out);
    for (size_t i = 0; i < out.record_count; i++)
        trace_record(member(words[1]), &out.records[i]);
    rabia_out_deinit(&out);
    replica->flushed_count = replica->journal_count;
}

static void do_install(char **words)
{
    uint8_t self = member(words[1]);
    struct replica *replica = &story.replicas[self];
    unsigned char bytes[RABIA_EXPORT_BYTES];
    struct rabia_out out;
    rabia_export(story.replicas[member(words[2])].rabia, bytes);
    rabia_out_init(&out);
    if (rabia_install(replica->rabia, slice_make(bytes, sizeof bytes), story.now_us, wall_of(replica), &out))
        honour(self, &out);
    else
        buf_printf(&story.trace, "  %u refuses: it is not behind that\n", self);
    rabia_out_deinit(&out);
}

static void perform(char **words)
{
    const char *verb = words[0];
    if (strcmp(verb, "cluster") == 0)
        do_cluster(words);
    else if (strcmp(verb, "propose") == 0)
        do_propose(words);
    else if (strcmp(verb, "deliver") == 0 || strcmp(verb, "drop") == 0)
        deliver(member(words[1]), member(words[2]), words[3], verb[1] == 'r');
    else if (strcmp(verb, "settle") == 0)
        settle();
    else if (strcmp(verb, "wait") == 0)
        do_wait(words);
    else if (strcmp(verb, "pause") == 0)
        do_pause(words);
    else if (strcmp(verb, "flush") == 0)
        flush(member(words[1]));
    else if (strcmp(verb, "crash") == 0)
        do_crash(words);
    else if (strcmp(verb, "restart") == 0)
        do_restart(words);
    else if (strcmp(verb, "rejoin") == 0)
        do_rejoin(words);
    else if (strcmp(verb, "snapshot") == 0)
        do_snapshot(words);
    else if (strcmp(verb, "install") == 0)
        do_install(words);
    else if (strcmp(verb, "link") == 0)
        do_link(words);
    else if (strcmp(verb, "wall") == 0)
        story.replicas[member(words[1])].wall_ms = strtoull(words[2], NULL, 10);
    else if (strcmp(verb, "nudge") == 0)
        step(member(words[1]), (struct rabia_event){.kind = RABIA_EVENT_NUDGE, .lap = strtoull(words[2], NULL, 10)});
    else if (strcmp(verb, "inject") == 0)
        do_inject(words);
    else if (strcmp(verb, "status") == 0)
        do_status(words);
    else
        fail_msg("unknown command %s", verb);
}

static void perform_line(const char *line, size_t length)
{
    char copy[256], *words[WORDS_MAX] = {NULL}, *rest;
    size_t count = 0;
    assert_true(length < sizeof copy);
    memcpy(copy, line, length);
    copy[length] = 0;
    for (char *word = strtok_r(copy, " ", &rest); word && count < WORDS_MAX - 1; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    assert_true(count > 0);
    perform(words);
}

/* --- files --------------------------------------------------------------- */

static struct buf read_whole(const char *path)
{
    struct buf text;
    char piece[4096];
    buf_init(&text);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (size_t size; (size = fread(piece, 1, sizeof piece, file)) > 0;)
        buf_append(&text, piece, size);
    fclose(file);
    return text;
}

static void print_first_difference(const char *path, struct slice expected, struct slice actual)
{
    size_t at = 0, line = 1, start = 0;
    while (at < expected.len && at < actual.len && expected.ptr[at] == actual.ptr[at])
        if (expected.ptr[at++] == '\n') {
            line++;
            start = at;
        }
    size_t e = start, a = start;
    while (e < expected.len && expected.ptr[e] != '\n')
        e++;
    while (a < actual.len && actual.ptr[a] != '\n')
        a++;
    printf("%s:%zu:\n  expected: %.*s\n  actual:   %.*s\n", path, line, (int)(e - start), expected.ptr + start,
           (int)(a - start), actual.ptr + start);
}

static bool run_file(const char *path)
{
    struct buf text = read_whole(path);
    const char *line = buf_head(&text), *end = line + buf_size(&text);
    buf_clear(&story.trace);
    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((stop ? stop : end) - line);
        if (length < 2 || memcmp(line, "  ", 2) != 0) {
            buf_append(&story.trace, line, length);
            buf_printf(&story.trace, "\n");
        }
        if (length > 2 && memcmp(line, "> ", 2) == 0)
            perform_line(line + 2, length - 2);
        line += length + 1;
    }
    bool is_equal = slice_equal(buf_slice(&text), buf_slice(&story.trace));
    if (!is_equal && getenv("SCENARIO_REWRITE")) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fwrite(buf_head(&story.trace), 1, buf_size(&story.trace), file);
        fclose(file);
        printf("%s: written anew\n", path);
        is_equal = true;
    } else if (!is_equal) {
        print_first_difference(path, buf_slice(&text), buf_slice(&story.trace));
    }
    end_story();
    buf_deinit(&text);
    return is_equal;
}

static int is_scenario(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

static void test_all(void **state)
{
    (void)state;
    const char *folder = getenv("SCENARIO_FOLDER") ? getenv("SCENARIO_FOLDER") : "tests/scenario";
    struct dirent **entries;
    unsigned wrong = 0;
    int count = scandir(folder, &entries, is_scenario, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        wrong += !run_file(path);
        free(entries[i]);
    }
    free(entries);
    buf_deinit(&story.trace);
    printf("%d scenarios\n", count);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
