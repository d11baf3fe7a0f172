/* ACL categories of rows. */
#include "command/table.h"

static const struct {
    const char *name;
    uint32_t bit;
} categories[] = {
    {"keyspace", CATEGORY_KEYSPACE},
    {"read", CATEGORY_READ},
    {"write", CATEGORY_WRITE},
    {"set", CATEGORY_SET},
    {"sortedset", CATEGORY_SORTEDSET},
    {"list", CATEGORY_LIST},
    {"hash", CATEGORY_HASH},
    {"string", CATEGORY_STRING},
    {"bitmap", CATEGORY_BITMAP},
    {"hyperloglog", CATEGORY_HYPERLOGLOG},
    {"geo", CATEGORY_GEO},
    {"stream", CATEGORY_STREAM},
    {"pubsub", CATEGORY_PUBSUB},
    {"admin", CATEGORY_ADMIN},
    {"fast", CATEGORY_FAST},
    {"slow", CATEGORY_SLOW},
    {"blocking", CATEGORY_BLOCKING},
    {"dangerous", CATEGORY_DANGEROUS},
    {"connection", CATEGORY_CONNECTION},
    {"transaction", CATEGORY_TRANSACTION},
    {"scripting", CATEGORY_SCRIPTING},
};
enum { CATEGORY_COUNT = sizeof categories / sizeof *categories };

uint32_t command_categories(const struct command *row)
{
    uint32_t all = row->categories;
    if (row->flags & COMMAND_WRITE)
        all |= CATEGORY_WRITE;
    if (row->flags & COMMAND_READONLY && !(all & CATEGORY_SCRIPTING))
        all |= CATEGORY_READ;
    if (row->flags & COMMAND_ADMIN)
        all |= CATEGORY_ADMIN | CATEGORY_DANGEROUS;
    if (row->flags & COMMAND_PUBSUB)
        all |= CATEGORY_PUBSUB;
    if (row->flags & COMMAND_BLOCKING)
        all |= CATEGORY_BLOCKING;
    return all | (row->flags & COMMAND_FAST ? CATEGORY_FAST : CATEGORY_SLOW);
}

uint32_t command_category(struct slice name)
{
    for (size_t i = 0; i < CATEGORY_COUNT; i++)
        if (slice_is(name, categories[i].name))
            return categories[i].bit;
    return 0;
}

const char *command_category_name(size_t index, uint32_t *bit)
{
    if (index >= CATEGORY_COUNT)
        return NULL;
    *bit = categories[index].bit;
    return categories[index].name;
}
