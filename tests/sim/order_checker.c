#include "order_checker.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "data_model.h"

#define SLOT "lap %" PRIu64 " lane %u"

void order_init(struct order_checker *order, struct verdict *verdict, uint8_t members)
{
    memset(order, 0, sizeof *order);
    order->verdict = verdict;
    order->members = members;
    order->window = RABIA_WINDOW;
}

void order_deinit(struct order_checker *order)
{
    mem_free(order->log);
    mem_free(order->times_in_order);
    mem_free(order->last_number);
}

static bool is_slot_before(uint64_t lap_a, uint8_t lane_a, uint64_t lap_b, uint8_t lane_b)
{
    return lap_a != lap_b ? lap_a < lap_b : lane_a < lane_b;
}

/* Entries rise by slot, so the one named is found by halving.  end: the entry
 * that names it. */
static const struct order_entry *find(const struct order_checker *order, size_t end, uint64_t lap, uint8_t lane)
{
    size_t low = 0, high = end;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (is_slot_before(order->log[middle].lap, order->log[middle].lane, lap, lane))
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && order->log[low].lap == lap && order->log[low].lane == lane ? &order->log[low] : NULL;
}

/* O2, computed from the order alone. */
static void check_void(struct order_checker *order, uint8_t replica, const struct rabia_decided *decided)
{
    uint64_t previous_lap = decided->batch->previous_lap;
    bool is_void = false;
    if (previous_lap != RABIA_NO_LAP) {
        const struct order_entry *previous = find(order, order->position[replica], previous_lap, decided->lane);
        is_void = !previous || previous->is_void;
    }
    if (is_void != decided->is_void)
        verdict_fail(order->verdict, "O2: replica %u takes " SLOT " as %svoid; its previous lap %" PRIu64 " says otherwise",
                     replica, decided->lap, decided->lane, decided->is_void ? "" : "not ", previous_lap);
}

static void count_command(struct order_checker *order, const struct data_write *write)
{
    if (write->command >= order->command_capacity) {
        size_t capacity = (size_t)(write->command + 1) * 2;
        order->times_in_order = mem_realloc(order->times_in_order, capacity);
        memset(order->times_in_order + order->command_capacity, 0, capacity - order->command_capacity);
        order->command_capacity = capacity;
    }
    if (order->times_in_order[write->command]++)
        verdict_fail(order->verdict, "O4: command %" PRIu64 " is in the order twice", write->command);
    if (write->session >= order->session_capacity) {
        size_t capacity = (write->session + 1u) * 2;
        order->last_number = mem_realloc(order->last_number, capacity * sizeof *order->last_number);
        memset(order->last_number + order->session_capacity, 0,
               (capacity - order->session_capacity) * sizeof *order->last_number);
        order->session_capacity = capacity;
    }
    if (write->number <= order->last_number[write->session])
        verdict_fail(order->verdict, "O5: session %u: its command %u is in the order after its %u", write->session,
                     write->number, order->last_number[write->session]);
    order->last_number[write->session] = write->number;
}

static void extend(struct order_checker *order, uint8_t replica, const struct rabia_decided *decided, uint64_t digest)
{
    for (uint8_t i = 0; i < order->members; i++)
        if (decided->lap < order->frontier[i])
            verdict_fail(order->verdict, "O6: replica %u decides " SLOT " as a batch; %u passed it as NULL", replica,
                         decided->lap, decided->lane, i);
    if (order->count == order->capacity) {
        order->capacity = order->capacity ? order->capacity * 2 : 256;
        order->log = mem_realloc(order->log, order->capacity * sizeof *order->log);
    }
    order->log[order->count++] = (struct order_entry){.lap = decided->lap, .lane = decided->lane,
                                                      .is_void = decided->is_void, .digest = digest,
                                                      .hash = data_batch_hash(decided->batch)};
    struct data_cursor cursor = data_writes(decided->batch);
    struct data_write write;
    while (!decided->is_void && data_next_write(&cursor, &write))
        count_command(order, &write);
}

static void compare(struct order_checker *order, uint8_t replica, const struct order_entry *entry,
                    const struct rabia_decided *decided, uint64_t digest)
{
    if (entry->lap != decided->lap || entry->lane != decided->lane || entry->hash != data_batch_hash(decided->batch))
        verdict_fail(order->verdict, "O1: replica %u has " SLOT " at position %zu, where others have " SLOT, replica,
                     decided->lap, decided->lane, order->position[replica], entry->lap, entry->lane);
    if (entry->is_void != decided->is_void)
        verdict_fail(order->verdict, "O2: replica %u differs from others on whether " SLOT " is void", replica,
                     decided->lap, decided->lane);
    if (entry->digest != digest)
        verdict_fail(order->verdict, "O3: the store of replica %u differs after " SLOT, replica, decided->lap,
                     decided->lane);
}

/* O1: within one replica, slots only rise. */
static void check_rises(struct order_checker *order, uint8_t replica, const struct rabia_decided *decided)
{
    if (order->has_last[replica] &&
        !is_slot_before(order->last_lap[replica], order->last_lane[replica], decided->lap, decided->lane))
        verdict_fail(order->verdict, "O1: replica %u gives out " SLOT " after " SLOT, replica, decided->lap, decided->lane,
                     order->last_lap[replica], order->last_lane[replica]);
    order->has_last[replica] = true;
    order->last_lap[replica] = decided->lap;
    order->last_lane[replica] = decided->lane;
}

void order_applied(struct order_checker *order, uint8_t replica, const struct rabia_decided *decided, uint64_t digest)
{
    check_rises(order, replica, decided);
    if (!decided->batch)
        return;
    check_void(order, replica, decided);
    if (batch_is_empty(decided->batch))
        return;
    if (order->position[replica] < order->count)
        compare(order, replica, &order->log[order->position[replica]], decided, digest);
    else
        extend(order, replica, decided, digest);
    order->position[replica]++;
}

void order_frontier(struct order_checker *order, uint8_t replica, uint64_t frontier)
{
    if (frontier > order->frontier[replica])
        order->frontier[replica] = frontier;
    size_t next = order->position[replica];
    if (next < order->count && order->log[next].lap < frontier)
        verdict_fail(order->verdict, "O6: replica %u has its frontier at %" PRIu64 " and left out " SLOT, replica, frontier,
                     order->log[next].lap, order->log[next].lane);
}

void order_restarted(struct order_checker *order, uint8_t replica, size_t position)
{
    order->position[replica] = position;
    order->has_last[replica] = false;
}

static const struct order_change *find_change(const struct order_checker *order, uint64_t command)
{
    for (size_t i = 0; i < order->change_count; i++)
        if (order->changes[i].command == command)
            return &order->changes[i];
    return NULL;
}

bool order_changed(struct order_checker *order, uint8_t replica, uint64_t command, uint64_t lap, uint64_t from)
{
    const struct order_change *known = find_change(order, command);
    uint64_t due = known ? known->from : lap < order->newest_from ? RABIA_NO_LAP : lap + order->window + 1;
    if (from != due)
        verdict_fail(order->verdict, "O7: replica %u has a change of lap %" PRIu64 " hold from %" PRIu64 ", due is %" PRIu64,
                     replica, lap, from, due);
    if (known || order->change_count == ORDER_CHANGES_MAX)
        return false;
    order->changes[order->change_count++] = (struct order_change){command, due};
    if (due != RABIA_NO_LAP)
        order->newest_from = due;
    return true;
}

void order_acknowledged(struct order_checker *order, uint64_t command)
{
    if (command >= order->command_capacity || order->times_in_order[command] != 1)
        verdict_fail(order->verdict, "O4: command %" PRIu64 " was acknowledged and is not in the order once", command);
}
