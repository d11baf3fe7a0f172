/* Goal: every command answers as redis-server does, emits the same events and
 * counts the same changes; COMMAND INFO of every row is the same bytes.
 * Method: oracle_compare.py runs both sides.  Ours is this program, started by
 * it with "--shell": a shell around the command room that reads calls from
 * standard input, runs them on one keyspace, prints events, changes and reply.
 *
 * In:  <db> <now_ms> <protocol> <argc>\n, then for each argument <length>\n<bytes>\n
 * Out: for each event "e <class> <name> <db> <length>\n<key>\n", then
 *      "r <changes> <length>\n<reply>\n" */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/run.h"

enum { ARGUMENTS_MAX = 2048 };

static void print_event(void *context, enum keyspace_event_class event_class, const char *name, int db,
                        struct slice key)
{
    (void)context;
    printf("e %d %s %d %zu\n", (int)event_class, name, db, key.len);
    fwrite(key.ptr, 1, key.len, stdout);
    putchar('\n');
}

static struct slice read_argument(void)
{
    size_t length;
    CHECK(scanf("%zu", &length) == 1);
    CHECK(getchar() == '\n');
    char *bytes = mem_alloc(length + 1);
    CHECK(fread(bytes, 1, length, stdin) == length);
    CHECK(getchar() == '\n');
    return slice_make(bytes, length);
}

static bool read_call(struct call *c, struct slice *argv)
{
    int protocol;
    if (scanf("%d %" SCNd64 " %d %d", &c->db, &c->now_ms, &protocol, &c->argc) != 4)
        return false;
    CHECK(getchar() == '\n');
    CHECK(c->argc >= 1);
    CHECK(c->argc <= ARGUMENTS_MAX);
    for (int i = 0; i < c->argc; i++)
        argv[i] = read_argument();
    c->argv = argv;
    c->reply->protocol = (uint8_t)protocol;
    c->seed = (uint64_t)c->now_ms;
    return true;
}

/* A command that would wait answers as if its time were up. */
static void stop_waiting(struct call *c)
{
    if (!c->wait->is_wanted)
        return;
    c->wait->is_wanted = false;
    if (c->wait->is_null_array)
        reply_null_array(c->reply);
    else
        reply_null(c->reply);
}

static void run(struct call *c)
{
    char error[COMMAND_ERROR_MAX];
    keyspace_advance(c->ks, c->now_ms);
    c->now_ms = keyspace_now(c->ks);
    keyspace_expire_due(c->ks, SIZE_MAX);
    c->command = command_resolve(c->table, c->argc, c->argv, error);
    if (!c->command) {
        reply_error(c->reply, error);
        return;
    }
    uint64_t hash;
    command_prefetch(c, 1, &hash);
    command_run_hinted(c, hash);
    stop_waiting(c);
    keyspace_check(c->ks);
}

static void answer(const struct call *c)
{
    struct slice reply = buf_slice(c->reply->out);
    printf("r %" PRIu64 " %zu\n", keyspace_changes(c->ks), reply.len);
    fwrite(reply.ptr, 1, reply.len, stdout);
    putchar('\n');
    fflush(stdout);
    buf_clear(c->reply->out);
    for (int i = 0; i < c->argc; i++)
        mem_free((char *)c->argv[i].ptr);
}

static void serve(void)
{
    struct command_table *table = command_table_create();
    command_table_add_data_types(table);
    command_table_add(table, command_introspection_rows, command_introspection_count);
    struct keyspace_options options = {.database_count = 16, .on_event = print_event};
    struct buf out;
    buf_init(&out);
    struct reply reply = {.out = &out};
    struct call_wait wait = {0};
    struct call c = {.ks = keyspace_create(&options), .reply = &reply, .table = table, .wait = &wait};
    struct slice argv[ARGUMENTS_MAX];
    while (read_call(&c, argv)) {
        run(&c);
        answer(&c);
    }
    keyspace_free(c.ks);
    buf_deinit(&out);
    command_table_free(table);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--shell") == 0) {
        serve();
        return 0;
    }
    execl("/usr/bin/python3", "python3", "tests/unit/command/oracle_compare.py", argv[0], "--seed", "1",
          "--count", "3000", (char *)NULL);
    perror("python3");
    return 1;
}
