/* Full names, "object|encoding": how COMMAND and ACL speak of subcommands. */
#ifndef COMMAND_NAMES_H
#define COMMAND_NAMES_H

#include <stdio.h>

#include "command/table.h"

enum { COMMAND_NAME_MAX = 64 };

/* container is NULL for a row of the top level. */
static inline struct slice command_full_name(const struct command *container, const struct command *row,
                                             char text[static COMMAND_NAME_MAX])
{
    int length = snprintf(text, COMMAND_NAME_MAX, "%s%s%s", container ? container->name : "",
                          container ? "|" : "", row->name);
    return slice_make(text, (size_t)length);
}

/* Subcommands a client may see. */
static inline int command_shown_subcommands(const struct command *row)
{
    return row->flags & COMMAND_PLAIN ? 0 : row->subcommand_count;
}

/* COMMAND DOCS. */
void command_docs(struct call *c);

#endif
