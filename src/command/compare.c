/* Compare and delete: DELEX (Redis 8.4) and DELIFEQ (Valkey).  SET's IFEQ and
 * IFNE are string.c's. */
#include "command/families.h"

static void delete_found(struct call *c)
{
    keyspace_delete(c->ks, c->db, c->argv[1]);
    call_changed(c, EVENT_GENERIC, "del", c->argv[1]);
    reply_int(c->reply, 1);
}

/* Deletes the string at argument 1 if its being equal to value is what is wanted. */
static void delete_if(struct call *c, struct slice value, bool wants_equal)
{
    struct entry *e;
    char scratch[INT64_TEXT_MAX];
    if (!call_find_string_for_write(c, 1, &e))
        return;
    if (e && slice_equal(entry_string(e, scratch), value) == wants_equal)
        delete_found(c);
    else
        reply_int(c->reply, 0);
}

static void delifeq_command(struct call *c)
{
    delete_if(c, c->argv[2], true);
}

static void delex_command(struct call *c)
{
    bool is_if_equal = c->argc == 4 && call_option(c, 2, "IFEQ");
    if (c->argc != 2 && !is_if_equal && !(c->argc == 4 && call_option(c, 2, "IFNE")))
        reply_error(c->reply, ERROR_SYNTAX);
    else if (c->argc == 4)
        delete_if(c, c->argv[3], is_if_equal);
    else if (keyspace_find_for_write(c->ks, c->db, c->argv[1]))
        delete_found(c);
    else
        reply_int(c->reply, 0);
}

const struct command command_compare_rows[] = {
    {.name = "delex", .handler = delex_command, .arity = -2, .route = ROUTE_WRITE, .flags = COMMAND_WRITE | COMMAND_FAST,
     .categories = CATEGORY_KEYSPACE, COMMAND_ONE_KEY(KEY_RM | KEY_DELETE), .group = "string", .since = "8.4.0",
     .complexity = "O(1) for strings", .summary = "Deletes a key, if its value is or is not what it is compared with.",
     COMMAND_ARGUMENTS({.name = "key", .type = ARGUMENT_KEY},
                       {.name = "condition", .type = ARGUMENT_ONEOF, .flags = ARGUMENT_OPTIONAL,
                        COMMAND_ARGUMENTS({.name = "ifeq-value", .type = ARGUMENT_STRING, .token = "IFEQ"},
                                          {.name = "ifne-value", .type = ARGUMENT_STRING, .token = "IFNE"})})},
    {.name = "delifeq", .handler = delifeq_command, .arity = 3, .route = ROUTE_WRITE,
     .flags = COMMAND_WRITE | COMMAND_FAST, .categories = CATEGORY_KEYSPACE, COMMAND_ONE_KEY(KEY_RM | KEY_DELETE),
     .group = "string", .since = "9.0.0", .complexity = "O(1)", .summary = "Deletes a key if its value is this one.",
     COMMAND_ARGUMENTS({.name = "key", .type = ARGUMENT_KEY}, {.name = "value", .type = ARGUMENT_STRING})},
};
COMMAND_FAMILY_COUNT(compare);
