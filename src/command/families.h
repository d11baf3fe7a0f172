/* The tables of this room's type files, for command_table_add_data_types. */
#ifndef COMMAND_FAMILIES_H
#define COMMAND_FAMILIES_H

#include "command/table.h"

#define COMMAND_FAMILY(name)                                                                                 \
    extern const struct command command_##name##_rows[];                                                     \
    extern const size_t command_##name##_count

COMMAND_FAMILY(string);
COMMAND_FAMILY(counter);
COMMAND_FAMILY(compare);
COMMAND_FAMILY(lcs);
COMMAND_FAMILY(bitmap);
COMMAND_FAMILY(bitfield);
COMMAND_FAMILY(list);
COMMAND_FAMILY(list_move);
COMMAND_FAMILY(hash);
COMMAND_FAMILY(set);
COMMAND_FAMILY(set_algebra);
COMMAND_FAMILY(zset);
COMMAND_FAMILY(zset_range);
COMMAND_FAMILY(zset_pop);
COMMAND_FAMILY(zset_combine);
COMMAND_FAMILY(geo);
COMMAND_FAMILY(geo_search);
COMMAND_FAMILY(xstream);
COMMAND_FAMILY(xstream_read);
COMMAND_FAMILY(xstream_consume);
COMMAND_FAMILY(xstream_claim);
COMMAND_FAMILY(xstream_info);
COMMAND_FAMILY(hyperloglog);
COMMAND_FAMILY(sort);
COMMAND_FAMILY(dump);
COMMAND_FAMILY(key);
COMMAND_FAMILY(expire);
COMMAND_FAMILY(scan);
COMMAND_FAMILY(object);
COMMAND_FAMILY(database);

#undef COMMAND_FAMILY
/* Closes a type file: its rows under the family's name. */
#define COMMAND_FAMILY_COUNT(name)                                                                           \
    const size_t command_##name##_count = sizeof command_##name##_rows / sizeof *command_##name##_rows

#endif
