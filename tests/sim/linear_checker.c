#include "linear_checker.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/random.h"

/* The history as a list of calls and answers in their order; an operation that
 * is taken has both its entries lifted out. */
struct entry {
    struct entry *next, *previous, *answer; /* answer: NULL in an entry that is itself an answer */
    size_t index;
};

struct taken {
    struct entry *call;
    struct data_value before;
};

struct seen {
    uint64_t *hashes;
    size_t count, capacity; /* capacity: a power of two */
};

static bool seen_add(struct seen *seen, uint64_t hash)
{
    if (seen->count * 2 >= seen->capacity) {
        struct seen larger = {.capacity = seen->capacity ? seen->capacity * 4 : 256};
        larger.hashes = mem_calloc(larger.capacity, sizeof *larger.hashes);
        for (size_t i = 0; i < seen->capacity; i++)
            if (seen->hashes[i])
                seen_add(&larger, seen->hashes[i]);
        mem_free(seen->hashes);
        *seen = larger;
    }
    hash = hash ? hash : 1;
    for (size_t at = hash & (seen->capacity - 1);; at = (at + 1) & (seen->capacity - 1)) {
        if (seen->hashes[at] == hash)
            return false;
        if (seen->hashes[at] == 0) {
            seen->hashes[at] = hash;
            seen->count++;
            return true;
        }
    }
}

static void lift(struct entry *entry)
{
    entry->previous->next = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
}

static void unlift(struct entry *entry)
{
    entry->previous->next = entry;
    if (entry->next)
        entry->next->previous = entry;
}

static int by_call(const void *a, const void *b)
{
    const struct linear_operation *x = a, *y = b;
    return x->called < y->called ? -1 : x->called > y->called;
}

struct moment {
    uint64_t at;
    size_t index;
    bool is_answer;
};

static int by_moment(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (int)x->is_answer - (int)y->is_answer; /* at one point, calls first: more may overlap */
}

/* Links head to all calls and to the answers there are. */
static void build(struct entry *head, struct entry *entries, const struct linear_operation *operations, size_t count)
{
    struct moment *moments = mem_alloc((2 * count + 1) * sizeof *moments);
    size_t moment_count = 0;
    for (size_t i = 0; i < count; i++) {
        moments[moment_count++] = (struct moment){operations[i].called, i, false};
        if (operations[i].answered != LINEAR_UNKNOWN)
            moments[moment_count++] = (struct moment){operations[i].answered, i, true};
    }
    qsort(moments, moment_count, sizeof *moments, by_moment);
    struct entry *last = head;
    for (size_t i = 0; i < moment_count; i++) {
        struct entry *entry = &entries[2 * moments[i].index + moments[i].is_answer];
        *entry = (struct entry){.previous = last, .index = moments[i].index};
        last->next = entry;
        last = entry;
    }
    last->next = NULL;
    for (size_t i = 0; i < count; i++) {
        bool has_answer = operations[i].answered != LINEAR_UNKNOWN;
        entries[2 * i].answer = has_answer ? &entries[2 * i + 1] : &entries[2 * i]; /* itself: none */
    }
    mem_free(moments);
}

static bool fits(const struct linear_operation *operation, struct data_value answer)
{
    return operation->answered == LINEAR_UNKNOWN || (operation->answer.a == answer.a && operation->answer.b == answer.b);
}

static uint64_t configuration_hash(uint64_t set, struct data_value value)
{
    return random_mix(set ^ random_mix(value.a ^ random_mix(value.b)));
}

static void take(struct entry *call)
{
    lift(call);
    if (call->answer != call)
        lift(call->answer);
}

static void give_back(struct entry *call)
{
    if (call->answer != call)
        unlift(call->answer);
    unlift(call);
}

static enum linear_result search(struct entry *head, const struct linear_operation *operations, size_t known,
                                 struct taken *stack, size_t configurations_max, uint64_t *stuck)
{
    struct seen seen = {0};
    struct data_value value = {0, 0};
    uint64_t set = 0;
    size_t depth = 0, known_taken = 0, best = 0;
    enum linear_result result = LINEAR_YES;
    struct entry *entry = head->next;
    while (known_taken < known) {
        if (entry && entry->answer) {
            const struct linear_operation *operation = &operations[entry->index];
            struct data_value after = value;
            struct data_value answer = data_apply(&after, operation->operation, operation->argument, operation->expected);
            uint64_t set_after = set ^ random_mix(entry->index + 1);
            if (fits(operation, answer) && seen_add(&seen, configuration_hash(set_after, after))) {
                stack[depth++] = (struct taken){entry, value};
                known_taken += entry->answer != entry;
                take(entry);
                value = after;
                set = set_after;
                entry = head->next;
            } else {
                entry = entry->next;
            }
            continue;
        }
        /* An answer whose call was not taken, or the end: go back. */
        if (entry && known_taken >= best) {
            best = known_taken;
            *stuck = operations[entry->index].command;
        }
        if (depth == 0 || seen.count > configurations_max) {
            result = depth == 0 ? LINEAR_NO : LINEAR_GAVE_UP;
            break;
        }
        struct taken *last = &stack[--depth];
        known_taken -= last->call->answer != last->call;
        value = last->before;
        set ^= random_mix(last->call->index + 1);
        give_back(last->call);
        entry = last->call->next;
    }
    mem_free(seen.hashes);
    return result;
}

enum linear_result linear_check(struct linear_operation *operations, size_t count, size_t configurations_max,
                                uint64_t *stuck)
{
    *stuck = 0;
    if (count == 0)
        return LINEAR_YES;
    qsort(operations, count, sizeof *operations, by_call);
    struct entry head = {0};
    struct entry *entries = mem_calloc(2 * count, sizeof *entries);
    struct taken *stack = mem_alloc(count * sizeof *stack);
    size_t known = 0;
    for (size_t i = 0; i < count; i++)
        known += operations[i].answered != LINEAR_UNKNOWN;
    build(&head, entries, operations, count);
    enum linear_result result = search(&head, operations, known, stack, configurations_max, stuck);
    mem_free(stack);
    mem_free(entries);
    return result;
}
