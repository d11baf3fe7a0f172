#include "agenda.h"

#include "base/alloc.h"

void agenda_init(struct agenda *agenda)
{
    *agenda = (struct agenda){0};
}

void agenda_deinit(struct agenda *agenda)
{
    mem_free(agenda->heap);
    *agenda = (struct agenda){0};
}

static bool is_before(const struct agenda_item *a, const struct agenda_item *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void agenda_add(struct agenda *agenda, struct agenda_item item)
{
    if (agenda->count == agenda->capacity) {
        agenda->capacity = agenda->capacity ? agenda->capacity * 2 : 256;
        agenda->heap = mem_realloc(agenda->heap, agenda->capacity * sizeof *agenda->heap);
    }
    item.order = agenda->order++;
    size_t at = agenda->count++;
    while (at > 0 && is_before(&item, &agenda->heap[(at - 1) / 2])) {
        agenda->heap[at] = agenda->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    agenda->heap[at] = item;
}

bool agenda_pop(struct agenda *agenda, struct agenda_item *item)
{
    if (agenda->count == 0)
        return false;
    *item = agenda->heap[0];
    struct agenda_item last = agenda->heap[--agenda->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= agenda->count)
            break;
        if (child + 1 < agenda->count && is_before(&agenda->heap[child + 1], &agenda->heap[child]))
            child++;
        if (!is_before(&agenda->heap[child], &last))
            break;
        agenda->heap[at] = agenda->heap[child];
        at = child;
    }
    agenda->heap[at] = last;
    return true;
}
