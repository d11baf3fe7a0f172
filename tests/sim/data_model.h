/* The data the simulated cluster replicates: a few registers, counters and
 * lists, with one sequential meaning that both the stores and the checker of
 * histories use.
 *
 * Key k is a register, a counter or a list by k % 3.  Every write is in a
 * batch's bytes as one command in the form of replica/batch_code.h, whose only
 * argument is a struct data_write; reads have no text.  A command with an
 * argument of another size is filler. */
#ifndef SIM_DATA_MODEL_H
#define SIM_DATA_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/batch.h"

enum { DATA_KEYS = 12 };

enum data_operation {
    DATA_GET = 0, /* register, counter or list: the whole value */
    DATA_SET,     /* register := argument */
    DATA_SWAP,    /* the same, and answers what was there */
    DATA_CAS,     /* register := argument if it is expected; answers 1 or 0 */
    DATA_INCREMENT, /* counter += argument; answers the sum */
    DATA_APPEND,  /* list gains argument at its tail; answers the length */
    DATA_MEMBERS  /* not of a key: the list of members := argument if it is expected */
};

struct data_value {
    uint64_t a, b; /* register or counter: a; list: length and a hash of its elements in order */
};

/* One write as it stands in a batch. */
struct data_write {
    uint64_t command; /* number of the command in the run */
    uint64_t argument, expected;
    uint32_t session, number; /* number within the session */
    uint8_t operation, key;
    uint8_t padding[6];
};

/* Carries out one operation and returns its answer. */
struct data_value data_apply(struct data_value *value, uint8_t operation, uint64_t argument, uint64_t expected);

struct data_store {
    struct data_value values[DATA_KEYS];
    uint64_t logical_ms;
    uint16_t list;    /* of members, the last one accepted; 0: the first */
    uint64_t changes; /* of members: a hash of all so far, and of what came of them */
};
uint64_t data_digest(const struct data_store *store);

/* Goes through a batch's writes in their order. */
struct data_cursor {
    const char *at, *end;
};
struct data_cursor data_writes(const struct batch *batch);
/* False at the end, or where the bytes make no sense. */
bool data_next_write(struct data_cursor *cursor, struct data_write *write);
/* A batch with the writes given and filler bytes behind them; empty if there
 * are none of either. */
struct batch *data_batch_create(const struct data_write *writes, size_t count, size_t filler);
/* Contents and header, previous_lap included; never 0. */
uint64_t data_batch_hash(const struct batch *batch);
struct batch *data_batch_copy(const struct batch *batch);

#endif
