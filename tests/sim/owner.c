#include "owner.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"

enum { BATCH_COMMANDS_MAX = 64 };

void owner_init(struct owner *owner, const struct plan *plan, struct verdict *verdict)
{
    memset(owner, 0, sizeof *owner);
    owner->plan = plan;
    owner->verdict = verdict;
    struct proposer_options options = {.batch_bytes_max = plan->batch_bytes_max,
                                       .batch_ops_max = plan->batch_commands_max,
                                       .wait_us = (uint64_t)1 << 60,
                                       .spread_us = plan->spread_us,
                                       .spread_bytes = plan->spread_us ? 200 : 0};
    proposer_init(&owner->proposer, &options);
}

void owner_deinit(struct owner *owner)
{
    for (size_t i = owner->in_flight_head; i < owner->in_flight_end; i++)
        mem_free(owner->in_flight[i].commands);
    mem_free(owner->in_flight);
    mem_free(owner->pending.items);
    mem_free(owner->again.items);
    proposer_deinit(&owner->proposer);
}

static void queue_push(struct command_queue *queue, struct command *command)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity ? queue->capacity * 2 : 32;
        queue->items = mem_realloc(queue->items, queue->capacity * sizeof(struct command *));
    }
    queue->items[queue->count++] = command;
}

static struct data_write text_of(const struct command *c)
{
    return (struct data_write){.command = c->number, .argument = c->argument, .expected = c->expected,
                               .session = c->session->number, .number = c->session_number,
                               .operation = c->operation, .key = c->key};
}

void owner_add(struct owner *owner, struct command *command, uint64_t now_us)
{
    if (!owner->plan->uses_proposer) {
        queue_push(&owner->pending, command);
        return;
    }
    struct data_write write = text_of(command);
    struct slice text = slice_make(&write, sizeof write);
    proposer_add(&owner->proposer, &command->session->client, command, !command_is_read(command),
                 command->number % 16 == 0, 0, 1, &text, now_us);
}

bool owner_has_work(const struct owner *owner)
{
    if (owner->plan->uses_proposer)
        return owner->proposer.waiting_count > 0;
    return owner->pending.count > 0 || owner->again.count > 0;
}

/* Once all own batches are out, what failed stands before what is new. */
static void end_drain(struct owner *owner)
{
    if (!owner->is_draining || owner->in_flight_head != owner->in_flight_end)
        return;
    owner->is_draining = false;
    for (size_t i = 0; i < owner->pending.count; i++)
        queue_push(&owner->again, owner->pending.items[i]);
    struct command_queue empty = owner->pending;
    empty.count = 0;
    owner->pending = owner->again;
    owner->again = empty;
}

/* Takes the commands for one batch out of pending. */
static size_t take_commands(struct owner *owner, struct command **taken)
{
    size_t kept = 0, count = 0;
    uint64_t stamp = ++owner->stamp;
    for (size_t i = 0; i < owner->pending.count; i++) {
        struct command *command = owner->pending.items[i];
        struct session *session = command->session;
        if (session->is_gone)
            continue;
        if (count == owner->plan->batch_commands_max || count == BATCH_COMMANDS_MAX || session->in_empty_batch)
            session->held_stamp = stamp;
        if (session->held_stamp == stamp)
            owner->pending.items[kept++] = command;
        else
            taken[count++] = command;
    }
    owner->pending.count = kept;
    return count;
}

static uint64_t previous_lap(const struct owner *owner)
{
    for (size_t i = owner->in_flight_end; i > owner->in_flight_head; i--)
        if (!owner->in_flight[i - 1].is_empty)
            return owner->in_flight[i - 1].lap;
    return RABIA_NO_LAP;
}

static void push_in_flight(struct owner *owner, struct command **taken, size_t count, bool is_empty)
{
    if (owner->in_flight_head == owner->in_flight_end)
        owner->in_flight_head = owner->in_flight_end = 0;
    if (owner->in_flight_end == owner->in_flight_capacity) {
        owner->in_flight_capacity = owner->in_flight_capacity ? owner->in_flight_capacity * 2 : 16;
        owner->in_flight = mem_realloc(owner->in_flight, owner->in_flight_capacity * sizeof *owner->in_flight);
    }
    struct own_slot *own = &owner->in_flight[owner->in_flight_end++];
    *own = (struct own_slot){.lap = RABIA_NO_LAP, .count = count, .is_empty = is_empty};
    own->commands = mem_alloc((count + 1) * sizeof(struct command *));
    if (count)
        memcpy(own->commands, taken, count * sizeof(struct command *));
    for (size_t i = 0; i < count; i++)
        taken[i]->session->in_empty_batch += is_empty;
}

static struct batch *take_from_proposer(struct owner *owner, uint64_t wall_ms, bool wants_clock_only, uint64_t now_us)
{
    if (wants_clock_only)
        proposer_add_clock(&owner->proposer, now_us);
    struct batch *batch = proposer_take(&owner->proposer, (uint64_t)((int64_t)wall_ms - owner->clock_correction_ms),
                                        now_us);
    if (batch)
        push_in_flight(owner, NULL, 0, batch_is_empty(batch));
    return batch;
}

uint64_t owner_deadline_us(const struct owner *owner, uint64_t now_us)
{
    return owner->plan->uses_proposer ? proposer_deadline(&owner->proposer, now_us) : UINT64_MAX;
}

struct batch *owner_make(struct owner *owner, struct random *random, uint64_t wall_ms, bool wants_clock_only,
                         uint64_t now_us)
{
    if (owner->plan->uses_proposer)
        return take_from_proposer(owner, wall_ms, wants_clock_only, now_us);
    end_drain(owner);
    if (owner->is_draining || owner->in_flight_end - owner->in_flight_head >= owner->plan->in_flight_max)
        return NULL;
    struct command *taken[BATCH_COMMANDS_MAX];
    struct data_write writes[BATCH_COMMANDS_MAX];
    size_t count = take_commands(owner, taken), write_count = 0;
    if (count == 0 && !wants_clock_only)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const struct command *c = taken[i];
        if (!command_is_read(c))
            writes[write_count++] = text_of(c);
    }
    size_t filler = write_count && random_unit(random) < owner->plan->filler_share
                        ? (size_t)random_below(random, owner->plan->filler_max) : 0;
    struct batch *batch = data_batch_create(writes, write_count, filler);
    if (write_count || count == 0 || random_unit(random) < 0.05)
        batch->clock_ms = (uint64_t)((int64_t)wall_ms - owner->clock_correction_ms);
    batch->previous_lap = previous_lap(owner);
    push_in_flight(owner, taken, count, batch_is_empty(batch));
    return batch;
}

void owner_proposed(struct owner *owner, uint64_t lap, uint64_t now_us)
{
    struct own_slot *own = &owner->in_flight[owner->in_flight_end - 1];
    own->lap = lap;
    own->proposed_us = now_us;
    if (owner->plan->uses_proposer)
        proposer_sent(&owner->proposer, lap, now_us);
}

/* What the proposer wants answered becomes the slot's commands. */
static void ask_proposer(struct owner *owner, const struct rabia_decided *decided, struct own_slot *own)
{
    struct own_batch *batch = proposer_decided(&owner->proposer, decided);
    bool has_failed = !decided->batch || decided->is_void;
    bool may_wait = decided->batch && batch_is_empty(decided->batch); /* nothing happened in it */
    if (batch ? has_failed : !has_failed && !may_wait)
        verdict_fail(owner->verdict, "P2: the proposer takes own lap %" PRIu64 " of lane %u for what it is not",
                     decided->lap, decided->lane);
    if (!batch)
        return;
    own->commands = mem_realloc(own->commands, (batch->op_count + 1) * sizeof(struct command *));
    for (size_t i = 0; i < batch->op_count; i++)
        if (batch->ops[i].row)
            own->commands[own->count++] = (struct command *)(uintptr_t)batch->ops[i].row;
    proposer_applied(&owner->proposer, batch);
    proposer_check(&owner->proposer);
}

bool owner_out(struct owner *owner, const struct rabia_decided *decided, struct own_slot *own)
{
    if (owner->in_flight_head == owner->in_flight_end || owner->in_flight[owner->in_flight_head].lap != decided->lap) {
        verdict_fail(owner->verdict, "P1: own lap %" PRIu64 " of lane %u comes out unasked or out of turn", decided->lap,
                     decided->lane);
        return false;
    }
    *own = owner->in_flight[owner->in_flight_head++];
    if (owner->plan->uses_proposer) {
        ask_proposer(owner, decided, own);
        return true;
    }
    bool has_failed = !decided->batch || decided->is_void;
    owner->is_draining |= has_failed;
    for (size_t i = 0; i < own->count; i++) {
        own->commands[i]->session->in_empty_batch -= own->is_empty;
        if (has_failed && !own->commands[i]->session->is_gone)
            queue_push(&owner->again, own->commands[i]);
    }
    return true;
}

void owner_clock_refused(struct owner *owner, uint64_t wall_ms, uint64_t peer_ms)
{
    if (wall_ms > peer_ms)
        owner->clock_correction_ms = (int64_t)(wall_ms - peer_ms);
}
