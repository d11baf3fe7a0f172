#include "clients.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "linear_checker.h"

enum { CONFIGURATIONS_MAX = 300000 };

void clients_init(struct clients *clients, struct verdict *verdict)
{
    memset(clients, 0, sizeof *clients);
    clients->verdict = verdict;
}

void clients_deinit(struct clients *clients)
{
    for (size_t i = 0; i < clients->session_count; i++)
        mem_free(clients->sessions[i]);
    for (size_t i = 0; i < clients->command_count; i++)
        mem_free(clients->commands[i]);
    mem_free(clients->sessions);
    mem_free(clients->commands);
}

struct session *clients_open(struct clients *clients, uint8_t node, uint32_t limit)
{
    if (clients->session_count == clients->session_capacity) {
        clients->session_capacity = clients->session_capacity ? clients->session_capacity * 2 : 16;
        clients->sessions = mem_realloc(clients->sessions, clients->session_capacity * sizeof *clients->sessions);
    }
    struct session *session = mem_calloc(1, sizeof *session);
    session->number = (uint32_t)clients->session_count;
    session->node = node;
    session->limit = limit;
    clients->sessions[clients->session_count++] = session;
    return session;
}

struct command *clients_call(struct clients *clients, struct session *session, uint8_t operation, uint8_t key,
                             uint64_t argument, uint64_t expected)
{
    if (clients->command_count == clients->command_capacity) {
        clients->command_capacity = clients->command_capacity ? clients->command_capacity * 2 : 256;
        clients->commands = mem_realloc(clients->commands, clients->command_capacity * sizeof *clients->commands);
    }
    struct command *command = mem_calloc(1, sizeof *command);
    *command = (struct command){.session = session, .number = clients->command_count, .called = clients->sequence++,
                                .answered = LINEAR_UNKNOWN, .argument = argument, .expected = expected,
                                .session_number = ++session->issued, .operation = operation, .key = key};
    session->outstanding++;
    clients->outstanding++;
    clients->commands[clients->command_count++] = command;
    return command;
}

void clients_answer(struct clients *clients, struct command *command, struct data_value answer)
{
    if (command->answered != LINEAR_UNKNOWN)
        verdict_fail(clients->verdict, "L2: command %" PRIu64 " is answered twice", command->number);
    if (command->session_number <= command->session->last_answered)
        verdict_fail(clients->verdict, "L3: session %u: its command %u is answered after its %u", command->session->number,
                     command->session_number, command->session->last_answered);
    command->session->last_answered = command->session_number;
    command->answered = clients->sequence++;
    command->answer = answer;
    command->session->outstanding--;
    clients->outstanding--;
    if (command->key < DATA_KEYS)
        command->session->known_value[command->key] = command_is_read(command) ? answer.a : command->argument;
}

void clients_gone(struct clients *clients, struct session *session)
{
    if (session->is_gone)
        return;
    session->is_gone = true;
    clients->outstanding -= session->outstanding;
    session->outstanding = 0;
}

void clients_check(struct clients *clients)
{
    struct linear_operation *operations = mem_alloc((clients->command_count + 1) * sizeof *operations);
    for (unsigned key = 0; key < DATA_KEYS; key++) {
        size_t count = 0;
        for (size_t i = 0; i < clients->command_count; i++) {
            const struct command *c = clients->commands[i];
            if (c->key == key && (c->answered != LINEAR_UNKNOWN || !command_is_read(c)))
                operations[count++] = (struct linear_operation){.called = c->called, .answered = c->answered,
                                                                .argument = c->argument, .expected = c->expected,
                                                                .answer = c->answer, .command = c->number,
                                                                .operation = c->operation};
        }
        uint64_t stuck;
        enum linear_result result = linear_check(operations, count, CONFIGURATIONS_MAX, &stuck);
        clients->gave_up += result == LINEAR_GAVE_UP;
        if (result == LINEAR_NO)
            verdict_fail(clients->verdict, "L1: the history of key %u is not linearizable, near command %" PRIu64, key,
                         stuck);
    }
    mem_free(operations);
}
