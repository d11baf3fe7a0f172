/* The clients: sessions, their commands, and what became of each.
 *
 * At the end the history of every key must be linearizable (linear_checker.h).
 * A command whose session went away, or whose replica crashed, has an unknown
 * outcome. */
#ifndef SIM_CLIENTS_H
#define SIM_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data_model.h"
#include "replica/proposer.h"
#include "verdict.h"

struct session {
    uint32_t number;
    uint32_t issued, outstanding, limit;
    uint32_t last_answered; /* number within the session */
    uint32_t in_empty_batch; /* commands in own batches without writes, not out yet */
    uint64_t known_value[DATA_KEYS]; /* what it last saw, to make some CAS succeed */
    uint64_t held_stamp; /* owner's mark: nothing more of this session in the batch being made */
    struct proposer_client client;
    uint8_t node;
    bool is_gone;
};

struct command {
    struct session *session;
    uint64_t number; /* in the run */
    uint64_t called, answered; /* LINEAR_UNKNOWN while not answered */
    uint64_t argument, expected;
    struct data_value answer;
    uint32_t session_number;
    uint8_t operation, key;
};

struct clients {
    struct verdict *verdict;
    struct session **sessions;
    size_t session_count, session_capacity;
    struct command **commands;
    size_t command_count, command_capacity;
    uint64_t sequence; /* the points of linear_operation */
    size_t outstanding;
    size_t gave_up; /* keys whose search was too long */
};

static inline bool command_is_read(const struct command *command)
{
    return command->operation == DATA_GET;
}

void clients_init(struct clients *clients, struct verdict *verdict);
void clients_deinit(struct clients *clients);
struct session *clients_open(struct clients *clients, uint8_t node, uint32_t limit);
struct command *clients_call(struct clients *clients, struct session *session, uint8_t operation, uint8_t key,
                             uint64_t argument, uint64_t expected);
/* L2: once per command.  L3: in the order of the session. */
void clients_answer(struct clients *clients, struct command *command, struct data_value answer);
/* Its commands will have no answer. */
void clients_gone(struct clients *clients, struct session *session);
/* L1: fails the verdict with the key that is not linearizable. */
void clients_check(struct clients *clients);

#endif
