#include "replica/proposer.h"

#include "base/alloc.h"
#include "base/check.h"
#include "replica/batch_code.h"

enum {
    SPARE_MAX = 16,                /* own_batch structs kept for reuse */
    SPARE_BUF_BYTES = 256 * 1024,  /* memory each may keep */
    SPARE_OPS = 8192,
};

static struct own_batch *entry_of(struct list_link *link)
{
    return LIST_ENTRY(link, struct own_batch, link);
}

static struct own_batch *newest(const struct list *list)
{
    return list_is_empty(list) ? NULL : entry_of(list->head.prev);
}

/* --- life of an own_batch ------------------------------------------------- */

static struct own_batch *own_batch_create(struct proposer *p, uint64_t now_us)
{
    struct own_batch *own;
    struct list_link *link = list_first(&p->spare);
    if (link) {
        list_remove(link);
        p->spare_count--;
        own = entry_of(link);
    } else {
        own = mem_calloc(1, sizeof *own);
    }
    own->sequence = p->next_sequence++;
    own->since_us = now_us;
    own->lap = RABIA_NO_LAP;
    return own;
}

static void own_batch_free(struct own_batch *own)
{
    mem_free(own->ops);
    buf_deinit(&own->writes);
    buf_deinit(&own->reads);
    batch_release(own->batch);
    mem_free(own);
}

static void own_batch_recycle(struct proposer *p, struct own_batch *own)
{
    CHECK(!list_is_linked(&own->link));
    if (p->spare_count == SPARE_MAX || own->op_capacity > SPARE_OPS) {
        own_batch_free(own);
        return;
    }
    batch_release(own->batch);
    own->batch = NULL;
    own->op_count = 0;
    own->hold_until = 0;
    own->needs_clock = false;
    own->has_live_ops = false;
    buf_clear(&own->writes);
    buf_clear(&own->reads);
    buf_shrink(&own->writes, SPARE_BUF_BYTES);
    buf_shrink(&own->reads, SPARE_BUF_BYTES);
    list_append(&p->spare, &own->link);
    p->spare_count++;
}

static size_t own_batch_bytes(const struct own_batch *own)
{
    size_t written = own->batch ? own->batch->size : buf_size(&own->writes);
    return written + buf_size(&own->reads);
}

void proposer_init(struct proposer *p, const struct proposer_options *options)
{
    *p = (struct proposer){.options = *options, .next_sequence = 1};
    list_init(&p->waiting);
    list_init(&p->in_flight);
    list_init(&p->retry);
    list_init(&p->spare);
}

void proposer_deinit(struct proposer *p)
{
    struct list *const lists[] = {&p->waiting, &p->in_flight, &p->retry, &p->spare};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        LIST_FOR_EACH(lists[i], struct own_batch, link, own) {
            list_remove(&own->link);
            own_batch_free(own);
        }
    }
    p->open = NULL;
}

/* --- taking commands ------------------------------------------------------ */

static bool is_full(const struct proposer *p, const struct own_batch *own)
{
    return buf_size(&own->writes) + buf_size(&own->reads) >= p->options.batch_bytes_max ||
           own->op_count >= p->options.batch_ops_max;
}

static struct own_batch *open_batch(struct proposer *p, uint64_t now_us)
{
    if (p->open && is_full(p, p->open))
        p->open = NULL;
    if (!p->open) {
        p->open = own_batch_create(p, now_us);
        list_append(&p->waiting, &p->open->link);
        p->waiting_count++;
    }
    return p->open;
}

static struct proposer_op *add_op(struct own_batch *own)
{
    if (own->op_count == own->op_capacity) {
        own->op_capacity = own->op_capacity ? own->op_capacity * 2 : 64;
        own->ops = mem_realloc(own->ops, own->op_capacity * sizeof *own->ops);
    }
    return &own->ops[own->op_count++];
}

static bool has_writes(const struct own_batch *own)
{
    return own->batch ? own->batch->size > 0 : buf_size(&own->writes) > 0;
}

static bool is_empty(const struct own_batch *own)
{
    return !has_writes(own) && !own->needs_clock;
}

static struct own_batch *find_in(const struct list *list, uint64_t sequence)
{
    LIST_FOR_EACH(list, struct own_batch, link, own) {
        if (own->sequence == sequence)
            return own;
    }
    return NULL;
}

/* (I4) The sequence of the client's newest batch if that one is still to be
 * decided, is not own and is empty; else 0. */
static uint64_t empty_batch_ahead(const struct proposer *p, const struct proposer_client *client,
                                  const struct own_batch *own)
{
    uint64_t sequence = client->newest_batch;
    if (sequence == 0 || sequence == own->sequence)
        return 0;
    const struct own_batch *ahead = find_in(&p->in_flight, sequence);
    if (!ahead)
        ahead = find_in(&p->waiting, sequence);
    if (!ahead)
        ahead = find_in(&p->retry, sequence);
    return ahead && is_empty(ahead) ? sequence : 0;
}

void proposer_add(struct proposer *p, struct proposer_client *client, const void *row, bool is_write,
                  bool needs_clock, int db, int argc, const struct slice *argv, uint64_t now_us)
{
    CHECK(client);
    struct own_batch *own = open_batch(p, now_us);
    uint64_t ahead = empty_batch_ahead(p, client, own);
    if (ahead > own->hold_until)
        own->hold_until = ahead;
    if (!own->has_live_ops)
        own->since_us = now_us; /* it was opened for a clock alone */
    struct buf *text = is_write ? &own->writes : &own->reads;
    size_t before = buf_size(text);
    batch_encode(text, db, argc, argv);
    p->queued_bytes += buf_size(text) - before;
    *add_op(own) = (struct proposer_op){.client = client, .row = row, .is_write = is_write};
    own->needs_clock |= needs_clock;
    own->has_live_ops = true;
    client->newest_batch = own->sequence;
}

/* Bytes of the command at this place of encoded ones. */
static size_t encoded_size(const char *at, const char *end)
{
    uint64_t body;
    const char *begin = varint_read(at, end, &body);
    CHECK(begin != NULL);
    return (size_t)(begin - at) + body;
}

/* Cuts the text of the op at index out of those of its kind. */
static size_t cut_text(struct own_batch *own, size_t index)
{
    struct buf *text = own->ops[index].is_write ? &own->writes : &own->reads;
    char *at = buf_head(text), *end = at + buf_size(text);
    for (size_t i = 0; i < index; i++)
        if (own->ops[i].is_write == own->ops[index].is_write)
            at += encoded_size(at, end);
    size_t size = encoded_size(at, end);
    memmove(at, at + size, (size_t)(end - at) - size);
    text->tail -= size;
    return size;
}

/* It has nothing left to say, and was not proposed. */
static void drop_waiting(struct proposer *p, struct own_batch *own)
{
    if (own == p->open)
        p->open = NULL;
    list_remove(&own->link);
    p->waiting_count--;
    own_batch_recycle(p, own);
}

static void withdraw_op(struct proposer *p, struct own_batch *own, size_t index)
{
    p->queued_bytes -= cut_text(own, index);
    own->op_count--;
    memmove(own->ops + index, own->ops + index + 1, (own->op_count - index) * sizeof *own->ops);
    if (own->op_count == 0 && !own->needs_clock)
        drop_waiting(p, own);
    else if (own->op_count == 0)
        own->has_live_ops = false;
}

bool proposer_withdraw(struct proposer *p, struct proposer_client *client)
{
    struct own_batch *own = client->newest_batch ? find_in(&p->waiting, client->newest_batch) : NULL;
    size_t index = own ? own->op_count : 0;
    while (index > 0 && own->ops[index - 1].client != client)
        index--;
    if (index == 0 || own->batch)
        return false;
    withdraw_op(p, own, index - 1);
    return true;
}

void proposer_add_clock(struct proposer *p, uint64_t now_us)
{
    LIST_FOR_EACH(&p->in_flight, struct own_batch, link, own) {
        if (own->batch->clock_ms)
            return;
    }
    open_batch(p, now_us)->needs_clock = true;
}

/* --- proposing ------------------------------------------------------------ */

/* A small batch had better grow while another is on its way: fewer, larger
 * batches cost less on every replica.  One in flight is always allowed. */
static bool should_grow(const struct proposer *p, const struct own_batch *own, uint64_t now_us)
{
    return own == p->open && p->in_flight_count > 0 && own_batch_bytes(own) < p->options.spread_bytes &&
           now_us < p->newest_sent_us + p->options.spread_us;
}

static struct own_batch *next_to_propose(const struct proposer *p)
{
    if (p->is_draining || p->in_flight_count == PROPOSER_IN_FLIGHT_MAX)
        return NULL;
    struct list_link *link = list_first(&p->waiting);
    struct own_batch *own = link ? entry_of(link) : NULL;
    if (own && own->hold_until && !is_empty(own) && find_in(&p->in_flight, own->hold_until))
        return NULL;
    return own;
}

/* (I3) */
static uint64_t previous_lap(const struct proposer *p)
{
    for (struct list_link *link = p->in_flight.head.prev; link != &p->in_flight.head; link = link->prev)
        if (!batch_is_empty(entry_of(link)->batch))
            return entry_of(link)->lap;
    return RABIA_NO_LAP;
}

/* What was proposed becomes text again: a batch is immutable, and the next one
 * carries another clock and another previous lap. */
static void take_back_writes(struct own_batch *own)
{
    buf_append(&own->writes, own->batch->bytes, own->batch->size);
    batch_release(own->batch);
    own->batch = NULL;
}

struct batch *proposer_take(struct proposer *p, uint64_t clock_ms, uint64_t now_us)
{
    CHECK(clock_ms > 0);
    struct own_batch *own = next_to_propose(p);
    if (!own || should_grow(p, own, now_us))
        return NULL;
    CHECK(!own->batch);
    struct batch *batch = batch_create(buf_size(&own->writes));
    if (batch->size)
        memcpy(batch->bytes, buf_head(&own->writes), batch->size);
    batch->clock_ms = is_empty(own) ? 0 : clock_ms;
    batch->previous_lap = previous_lap(p);
    buf_clear(&own->writes);
    buf_shrink(&own->writes, SPARE_BUF_BYTES);
    own->batch = batch;
    return batch_hold(batch);
}

void proposer_sent(struct proposer *p, uint64_t lap, uint64_t now_us)
{
    struct own_batch *own = entry_of(list_first(&p->waiting));
    CHECK(own->batch);
    CHECK(own->lap == RABIA_NO_LAP);
    list_remove(&own->link);
    p->waiting_count--;
    if (own == p->open)
        p->open = NULL;
    own->lap = lap;
    list_append(&p->in_flight, &own->link);
    p->in_flight_count++;
    p->newest_sent_us = now_us;
    p->figures.batches_proposed++;
    for (size_t i = 0; i < own->op_count; i++) {
        p->figures.commands_proposed += own->ops[i].is_write;
        p->figures.reads_ridden += !own->ops[i].is_write;
    }
}

uint64_t proposer_deadline(const struct proposer *p, uint64_t now_us)
{
    struct own_batch *own = next_to_propose(p);
    return own && should_grow(p, own, now_us) ? p->newest_sent_us + p->options.spread_us : UINT64_MAX;
}

/* --- outcomes ------------------------------------------------------------- */

static void back_to_waiting(struct proposer *p)
{
    CHECK(p->in_flight_count == 0);
    p->is_draining = false;
    while (!list_is_empty(&p->retry)) {
        struct own_batch *own = newest(&p->retry);
        list_remove(&own->link);
        if (!own->has_live_ops) {
            p->queued_bytes -= own_batch_bytes(own);
            own_batch_recycle(p, own);
            continue;
        }
        take_back_writes(own);
        p->figures.batches_reproposed++;
        list_prepend(&p->waiting, &own->link);
        p->waiting_count++;
    }
}

struct own_batch *proposer_decided(struct proposer *p, const struct rabia_decided *decided)
{
    struct list_link *first = list_first(&p->in_flight);
    /* Slots we proposed in before a process change are not ours to answer. */
    if (!first || entry_of(first)->lap != decided->lap)
        return NULL;
    struct own_batch *own = entry_of(first);
    list_remove(&own->link);
    p->in_flight_count--;
    bool is_applied = decided->batch && !decided->is_void;
    if (p->is_draining && is_empty(own))
        is_applied = false; /* (I4) nothing happened in it, and earlier reads may ride again */
    if (is_applied) {
        CHECK(decided->batch->size == own->batch->size);
        p->queued_bytes -= own_batch_bytes(own);
    } else {
        own->lap = RABIA_NO_LAP;
        list_append(&p->retry, &own->link);
        p->is_draining = true;
    }
    if (p->is_draining && p->in_flight_count == 0)
        back_to_waiting(p);
    return is_applied ? own : NULL;
}

void proposer_applied(struct proposer *p, struct own_batch *own)
{
    own_batch_recycle(p, own);
}

/* --- giving up ------------------------------------------------------------ */

static void fail_ops(struct proposer *p, struct own_batch *own, bool may_have_happened)
{
    for (size_t i = 0; i < own->op_count; i++) {
        struct proposer_op *op = &own->ops[i];
        struct proposer_client *client = op->client;
        if (!client)
            continue;
        op->client = NULL;
        bool is_in_doubt = may_have_happened && op->is_write;
        p->figures.failures_in_doubt += is_in_doubt;
        p->figures.failures_no_quorum += !is_in_doubt;
        p->options.fail(p->options.context, client, op->row,
                        is_in_doubt ? PROPOSER_IN_DOUBT : PROPOSER_NO_QUORUM);
    }
    own->has_live_ops = false;
}

static bool has_expired(const struct proposer *p, const struct own_batch *own, uint64_t now_us)
{
    return own->has_live_ops && now_us >= own->since_us + p->options.wait_us;
}

/* Nothing of a waiting batch was ever heard of, or its slot came to nothing:
 * once its clients know, it is gone. */
static void expire_waiting(struct proposer *p, uint64_t now_us)
{
    LIST_FOR_EACH(&p->waiting, struct own_batch, link, own) {
        if (!has_expired(p, own, now_us))
            continue;
        if (own == p->open)
            p->open = NULL;
        list_remove(&own->link);
        p->waiting_count--;
        p->queued_bytes -= own_batch_bytes(own);
        fail_ops(p, own, false);
        own_batch_recycle(p, own);
    }
}

void proposer_expire(struct proposer *p, uint64_t now_us)
{
    /* Oldest first, so that each client hears in the order of its commands. */
    LIST_FOR_EACH(&p->retry, struct own_batch, link, own) {
        if (has_expired(p, own, now_us))
            fail_ops(p, own, false);
    }
    LIST_FOR_EACH(&p->in_flight, struct own_batch, link, own) {
        if (has_expired(p, own, now_us))
            fail_ops(p, own, true);
    }
    expire_waiting(p, now_us);
}

void proposer_forgive(struct proposer *p, uint64_t gap_us)
{
    struct list *const lists[] = {&p->retry, &p->in_flight, &p->waiting};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        LIST_FOR_EACH(lists[i], struct own_batch, link, own) {
            own->since_us += gap_us;
        }
    }
}

static void abandon_list(struct proposer *p, struct list *list, bool may_have_happened)
{
    LIST_FOR_EACH(list, struct own_batch, link, own) {
        list_remove(&own->link);
        p->queued_bytes -= own_batch_bytes(own);
        fail_ops(p, own, may_have_happened);
        own->lap = RABIA_NO_LAP;
        own_batch_recycle(p, own);
    }
}

void proposer_abandon(struct proposer *p)
{
    abandon_list(p, &p->retry, false);
    abandon_list(p, &p->in_flight, true);
    p->in_flight_count = 0;
    p->is_draining = false;
}

static uint64_t oldest_since(const struct list *list)
{
    LIST_FOR_EACH(list, struct own_batch, link, own) {
        if (own->has_live_ops)
            return own->since_us;
    }
    return UINT64_MAX;
}

uint64_t proposer_expire_deadline(const struct proposer *p)
{
    uint64_t oldest = oldest_since(&p->retry);
    uint64_t in_flight = oldest_since(&p->in_flight), waiting = oldest_since(&p->waiting);
    oldest = in_flight < oldest ? in_flight : oldest;
    oldest = waiting < oldest ? waiting : oldest;
    return oldest == UINT64_MAX ? UINT64_MAX : oldest + p->options.wait_us;
}

/* --- checking ------------------------------------------------------------- */

static size_t check_list(const struct list *list, bool must_be_proposed, uint64_t *sequence, size_t *bytes)
{
    size_t count = 0;
    LIST_FOR_EACH(list, struct own_batch, link, own) {
        CHECK(own->sequence > *sequence);
        CHECK((own->batch != NULL) == must_be_proposed);
        *sequence = own->sequence;
        *bytes += own_batch_bytes(own);
        count++;
    }
    return count;
}

void proposer_check(const struct proposer *p)
{
    uint64_t sequence = 0;
    size_t bytes = 0;
    check_list(&p->retry, true, &sequence, &bytes);
    /* A batch in flight may have been decided well between two that were not. */
    sequence = 0;
    CHECK(check_list(&p->in_flight, true, &sequence, &bytes) == p->in_flight_count);
    sequence = 0;
    CHECK(check_list(&p->waiting, false, &sequence, &bytes) == p->waiting_count);
    CHECK(bytes == p->queued_bytes);
    CHECK(p->in_flight_count <= PROPOSER_IN_FLIGHT_MAX);
    CHECK(list_is_empty(&p->retry) || p->is_draining);
    if (p->open)
        CHECK(p->open == newest(&p->waiting));
}
