#include "network.h"

#include <string.h>

#include "base/alloc.h"
#include "data_model.h"

void network_init(struct network *network, const struct plan *plan, struct agenda *agenda)
{
    memset(network, 0, sizeof *network);
    network->plan = plan;
    network->agenda = agenda;
    network->loss = plan->loss;
    random_init(&network->random, random_mix(plan->seed ^ 0x6e6574));
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        for (size_t j = 0; j < RABIA_MEMBERS_MAX; j++) {
            network->links[i][j].slowness = 1;
            network->links[i][j].held_end = &network->links[i][j].held_first;
        }
}

static void drop_held(struct network_link *link)
{
    for (struct frame *frame = link->held_first, *next; frame; frame = next) {
        next = frame->next;
        frame_free(frame);
    }
    link->held_first = NULL;
    link->held_end = &link->held_first;
}

void network_deinit(struct network *network)
{
    for (size_t i = 0; i < RABIA_MEMBERS_MAX; i++)
        for (size_t j = 0; j < RABIA_MEMBERS_MAX; j++)
            drop_held(&network->links[i][j]);
}

void frame_free(struct frame *frame)
{
    for (size_t i = 0; i < frame->count; i++)
        batch_release(frame->messages[i].batch);
    mem_free(frame->messages);
    mem_free(frame);
}

static struct frame *frame_create(const struct network *network, uint8_t from, uint8_t to,
                                  const struct rabia_message *messages, size_t count)
{
    struct frame *frame = mem_calloc(1, sizeof *frame);
    frame->from = from;
    frame->to = to;
    frame->generation = network->links[from][to].generation;
    memcpy(frame->known, network->known[from], sizeof frame->known);
    frame->count = count;
    frame->messages = mem_alloc(count * sizeof *messages);
    memcpy(frame->messages, messages, count * sizeof *messages);
    for (size_t i = 0; i < count; i++)
        if (messages[i].batch)
            frame->messages[i].batch = network->plan->shares_batches ? batch_hold(messages[i].batch)
                                                                     : data_batch_copy(messages[i].batch);
    return frame;
}

static uint64_t draw_delay(struct network *network, const struct network_link *link)
{
    const struct plan *plan = network->plan;
    uint64_t delay = plan->delay_us + (plan->jitter_us ? random_below(&network->random, plan->jitter_us) : 0);
    if (plan->tail > 0 && random_unit(&network->random) < plan->tail)
        delay *= 1 + random_below(&network->random, 20);
    return delay * link->slowness;
}

static void depart(struct network *network, uint64_t now_us, struct frame *frame)
{
    struct network_link *link = &network->links[frame->from][frame->to];
    uint64_t at = now_us + draw_delay(network, link);
    if (network->plan->is_fifo && at < link->last_arrival_us)
        at = link->last_arrival_us;
    if (at > link->last_arrival_us)
        link->last_arrival_us = at;
    agenda_add(network->agenda, (struct agenda_item){.at_us = at, .kind = AGENDA_FRAME, .node = frame->to,
                                                     .peer = frame->from, .payload = frame});
}

bool network_send(struct network *network, uint64_t now_us, uint8_t from, uint8_t to,
                  const struct rabia_message *messages, size_t count)
{
    struct network_link *link = &network->links[from][to];
    if (link->block == NETWORK_DROPS || (network->loss > 0 && random_unit(&network->random) < network->loss))
        return false;
    struct frame *frame = frame_create(network, from, to, messages, count);
    if (link->block == NETWORK_HOLDS) {
        *link->held_end = frame;
        link->held_end = &frame->next;
        return true;
    }
    depart(network, now_us, frame);
    if (network->plan->duplicate > 0 && random_unit(&network->random) < network->plan->duplicate)
        depart(network, now_us, frame_create(network, from, to, messages, count));
    return true;
}

bool network_arrives(const struct network *network, const struct frame *frame)
{
    const struct network_link *link = &network->links[frame->from][frame->to];
    return frame->generation == link->generation && link->block != NETWORK_DROPS;
}

void network_block(struct network *network, uint8_t from, uint8_t to, enum network_block block)
{
    network->links[from][to].block = block;
}

void network_unblock(struct network *network, uint64_t now_us, uint8_t from, uint8_t to)
{
    struct network_link *link = &network->links[from][to];
    link->block = NETWORK_OPEN;
    struct frame *first = link->held_first;
    link->held_first = NULL;
    link->held_end = &link->held_first;
    for (struct frame *frame = first, *next; frame; frame = next) {
        next = frame->next;
        frame->next = NULL;
        depart(network, now_us, frame);
    }
}

void network_renew(struct network *network, uint8_t a, uint8_t b)
{
    network->links[a][b].generation++;
    network->links[b][a].generation++;
    drop_held(&network->links[a][b]);
    drop_held(&network->links[b][a]);
}

void network_end(struct network *network, uint8_t node)
{
    for (size_t from = 0; from < RABIA_MEMBERS_MAX; from++) {
        network->links[from][node].generation++;
        drop_held(&network->links[from][node]);
    }
}
