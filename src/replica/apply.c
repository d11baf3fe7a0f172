#include "replica/apply.h"

#include "base/check.h"
#include "base/random.h"
#include "command/internal.h"
#include "command/run.h"

void apply_init(struct apply *a, struct keyspace *ks, const struct command_table *commands,
                const struct replica_clients *clients)
{
    *a = (struct apply){.keyspace = ks, .commands = commands, .clients = *clients};
    a->discard = (struct reply){.out = NULL, .protocol = 2};
}

void apply_deinit(struct apply *a)
{
    batch_arguments_deinit(&a->arguments);
}

/* Commands decoded side by side, to be run together. */
struct run {
    struct call calls[APPLY_RUN_MAX];
    struct proposer_op ops[APPLY_RUN_MAX]; /* client NULL: nobody waits */
    int first_argument[APPLY_RUN_MAX];     /* the array of arguments moves as it grows */
    int count, arguments_used;
    uint64_t seed;        /* of the batch */
    uint64_t write_count; /* of the batch so far: the same on all replicas, whatever reads ride along */
};

/* One command of text into the run.  A batch that was agreed is well-formed:
 * its owner wrote it, and the frames that carried it were checked. */
static void decode_into(struct apply *a, struct run *run, const char **at, const char *end,
                        const struct proposer_op *op)
{
    struct call *call = &run->calls[run->count];
    enum status status = batch_decode(at, end, &a->arguments, run->arguments_used, &call->db, &call->argc);
    CHECK(status == STATUS_OK);
    run->first_argument[run->count] = run->arguments_used;
    run->arguments_used += call->argc;
    run->ops[run->count] = *op;
    run->count++;
}

static const struct command *row_of(const struct apply *a, const struct call *call, const struct proposer_op *op)
{
    if (op->row)
        return op->row;
    char error[COMMAND_ERROR_MAX];
    const struct command *row = command_is_internal_name(call->argv[0])
                                    ? command_find_internal(call->argv[0])
                                    : command_resolve(a->commands, call->argc, call->argv, error);
    /* Its owner resolved it with the same table (REPLICA_PROTOCOL_VERSION). */
    CHECK(row);
    return row;
}

static void complete_calls(struct apply *a, struct run *run)
{
    for (int i = 0; i < run->count; i++) {
        struct call *call = &run->calls[i];
        call->argv = a->arguments.argv + run->first_argument[i];
        call->command = row_of(a, call, &run->ops[i]);
        call->ks = a->keyspace;
        call->reply = &a->discard;
        call->now_ms = keyspace_now(a->keyspace);
        run->write_count += run->ops[i].is_write;
        call->seed = random_mix(run->seed + run->write_count);
        call->position = a->position;
        call->table = a->commands;
        call->is_in_transaction = false;
        call->wait = NULL;
        call->host = NULL;
        call->on_nested = NULL;
    }
}

/* What only the owner of a command has. */
static void attend(struct apply *a, struct call *call, struct proposer_client *client, struct call_wait *wait)
{
    call->reply = a->clients.begin(client, call->command);
    if ((call->command->flags & (COMMAND_INTERNAL | COMMAND_SILENT)) == COMMAND_INTERNAL && a->clients.host) {
        call->host = a->clients.host(client);
        call->on_nested = a->clients.on_nested;
    }
    if ((call->command->flags & COMMAND_BLOCKING) && a->clients.wait)
        call->wait = wait;
}

static void run_one(struct apply *a, struct call *call, const struct proposer_op *op, uint64_t hash)
{
    bool is_answered = op->client && op->client != a->silent;
    struct call_wait wait = {.is_wanted = false};
    if (is_answered)
        attend(a, call, op->client, &wait);
    if (a->roster && (call->command->flags & COMMAND_ROSTER))
        a->roster(a->roster_context, call, a->position / 16);
    else
        command_run_hinted(call, hash);
    if (wait.is_wanted)
        a->clients.wait(op->client, call, &wait);
    else if (is_answered)
        a->clients.end(op->client, call->command, a->position);
}

static void run_all(struct apply *a, struct run *run)
{
    complete_calls(a, run);
    uint64_t hashes[APPLY_RUN_MAX];
    command_prefetch(run->calls, (size_t)run->count, hashes);
    for (int i = 0; i < run->count; i++)
        run_one(a, &run->calls[i], &run->ops[i], hashes[i]);
    a->commands_applied += (uint64_t)run->count;
    run->count = 0;
    run->arguments_used = 0;
}

/* Time, position and random seed of a batch; expires what is due. */
static void begin_batch(struct apply *a, struct run *run, const struct batch *batch, uint64_t lap, uint8_t lane)
{
    if (!batch_is_empty(batch))
        a->position = position_of(lap, lane);
    if (batch->clock_ms) {
        keyspace_advance(a->keyspace, (int64_t)batch->clock_ms);
        keyspace_expire_due(a->keyspace, APPLY_EXPIRE_MAX);
    }
    run->count = 0;
    run->arguments_used = 0;
    run->write_count = 0;
    run->seed = random_mix(a->seed ^ random_mix(position_of(lap, lane)));
}

void apply_batch(struct apply *a, const struct batch *batch, uint64_t lap, uint8_t lane)
{
    static const struct proposer_op nobody = {.is_write = true};
    struct run run;
    begin_batch(a, &run, batch, lap, lane);
    const char *at = batch->bytes, *end = at + batch->size;
    while (at < end) {
        decode_into(a, &run, &at, end, &nobody);
        if (run.count == APPLY_RUN_MAX)
            run_all(a, &run);
    }
    if (run.count)
        run_all(a, &run);
}

void apply_own(struct apply *a, const struct own_batch *own, uint64_t lap, uint8_t lane)
{
    struct run run;
    begin_batch(a, &run, own->batch, lap, lane);
    const char *write_at = own->batch->bytes, *write_end = write_at + own->batch->size;
    struct slice reads = buf_slice(&own->reads);
    const char *read_at = reads.ptr, *read_end = reads.ptr + reads.len;
    for (size_t i = 0; i < own->op_count; i++) {
        const struct proposer_op *op = &own->ops[i];
        if (op->is_write)
            decode_into(a, &run, &write_at, write_end, op);
        else
            decode_into(a, &run, &read_at, read_end, op);
        if (run.count == APPLY_RUN_MAX)
            run_all(a, &run);
    }
    if (run.count)
        run_all(a, &run);
    CHECK(write_at == write_end);
    CHECK(read_at == read_end);
}
