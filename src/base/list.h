/* An intrusive doubly linked list: the link lives in the element, so adding
 * and removing neither allocate nor fail.
 *
 *   struct session { struct list_link link; ... };
 *   list_append(&sessions, &s->link);
 *   LIST_FOR_EACH(&sessions, struct session, link, s) ...
 *
 * I1: links of a list form a ring through its head; an element outside any
 *     list has both pointers NULL (list_link_init). */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct list_link {
    struct list_link *next, *prev;
};

struct list {
    struct list_link head;
};

static inline void list_init(struct list *list)
{
    list->head.next = list->head.prev = &list->head;
}
static inline void list_link_init(struct list_link *link)
{
    link->next = link->prev = NULL;
}
static inline bool list_is_linked(const struct list_link *link)
{
    return link->next != NULL;
}
static inline bool list_is_empty(const struct list *list)
{
    return list->head.next == &list->head;
}
static inline void list_append(struct list *list, struct list_link *link)
{
    CHECK(!list_is_linked(link));
    link->prev = list->head.prev;
    link->next = &list->head;
    link->prev->next = link;
    list->head.prev = link;
}
static inline void list_prepend(struct list *list, struct list_link *link)
{
    CHECK(!list_is_linked(link));
    link->next = list->head.next;
    link->prev = &list->head;
    link->next->prev = link;
    list->head.next = link;
}
static inline void list_remove(struct list_link *link)
{
    CHECK(list_is_linked(link));
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_link_init(link);
}
static inline struct list_link *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

#define LIST_ENTRY(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* The body may remove the current element. */
#define LIST_FOR_EACH(list, type, member, name)                                              \
    for (struct list_link *name##_link = (list)->head.next, *name##_next = name##_link->next; \
         name##_link != &(list)->head; name##_link = name##_next, name##_next = name##_link->next) \
        for (type *name = LIST_ENTRY(name##_link, type, member); name; name = NULL)

#endif
