/* What the commands of list.c and list_move.c share. */
#ifndef COMMAND_LIST_CALL_H
#define COMMAND_LIST_CALL_H

#include "command/command.h"
#include "store/list_value.h"

/* LEFT or RIGHT; anything else is a syntax error, and false. */
bool list_read_side(struct call *c, int index, bool *is_front);
/* An integer from min on; error otherwise. */
bool list_read_at_least(struct call *c, int index, int64_t min, const char *error, int64_t *value);

/* The event, count changes, and whoever listens. */
void list_changed(struct call *c, const char *event, struct slice key, uint64_t count);
/* Puts v back into e, tells of count changes; a list that has become empty
 * goes, which is told too. */
void list_settle(struct call *c, struct entry *e, struct value v, struct slice key, const char *event,
                 uint64_t count);
/* Pops count elements, which is at most the list's length, answering with each. */
void list_reply_pop(struct call *c, struct value *v, bool is_front, uint64_t count);
void list_reply_element(struct call *c, struct list_place place);

static inline const char *list_push_event(bool is_front)
{
    return is_front ? "lpush" : "rpush";
}
static inline const char *list_pop_event(bool is_front)
{
    return is_front ? "lpop" : "rpop";
}

#endif
