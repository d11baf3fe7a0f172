/* A keyspace, a table and a reply: what the tests of this room run calls on. */
#ifndef TESTS_UNIT_COMMAND_FIXTURE_H
#define TESTS_UNIT_COMMAND_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "command/run.h"

enum { FIXTURE_ARGUMENTS_MAX = 32 };

struct fixture {
    struct keyspace *ks;
    struct command_table *table;
    struct buf out, events; /* events: "name:key " each */
    struct reply reply;
    int db;
    uint64_t seed;
};

static inline void fixture_note(void *context, enum keyspace_event_class event_class, const char *name,
                                int db, struct slice key)
{
    (void)event_class;
    struct fixture *f = context;
    buf_printf(&f->events, "%s:%.*s", name, (int)key.len, key.ptr);
    buf_printf(&f->events, db ? "@%d " : " ", db);
}

static inline int fixture_setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    struct keyspace_options options = {.database_count = 16, .on_event = fixture_note, .event_context = &f};
    f.ks = keyspace_create(&options);
    f.table = command_table_create();
    command_table_add_data_types(f.table);
    command_table_add(f.table, command_introspection_rows, command_introspection_count);
    f.reply = (struct reply){.out = &f.out, .protocol = 2};
    keyspace_advance(f.ks, 1000000);
    *state = &f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    keyspace_check(f->ks);
    keyspace_free(f->ks);
    command_table_free(f->table);
    buf_deinit(&f->out);
    buf_deinit(&f->events);
    return 0;
}

/* Runs one command line; the reply stays until the next. */
static inline struct slice fixture_run(struct fixture *f, int argc, const struct slice *argv)
{
    char error[COMMAND_ERROR_MAX];
    buf_clear(&f->out);
    buf_clear(&f->events);
    struct call c = {.ks = f->ks,
                     .reply = &f->reply,
                     .argc = argc,
                     .argv = argv,
                     .db = f->db,
                     .seed = f->seed,
                     .now_ms = keyspace_now(f->ks),
                     .table = f->table};
    c.command = command_resolve(f->table, argc, argv, error);
    if (c.command)
        command_run(&c);
    else
        reply_error(&f->reply, error);
    return buf_slice(&f->out);
}

/* Words are split at single blanks. */
static inline struct slice fixture_run_line(struct fixture *f, const char *line)
{
    struct slice argv[FIXTURE_ARGUMENTS_MAX];
    int argc = 0;
    for (const char *at = line;; at++) {
        size_t length = strcspn(at, " ");
        argv[argc++] = slice_make(at, length);
        at += length;
        if (!*at)
            break;
    }
    return fixture_run(f, argc, argv);
}

static inline void fixture_expect(struct fixture *f, const char *line, const char *reply, const char *file,
                                  int at)
{
    struct slice got = fixture_run_line(f, line);
    if (!slice_equal(got, slice_from(reply))) {
        print_error("%s: %.*s instead of %s\n", line, (int)got.len, got.ptr, reply);
        _fail(file, at);
    }
}

/* Expects these reply bytes for this command line. */
#define EXPECT(line, bytes) fixture_expect(f, line, bytes, __FILE__, __LINE__)
#define OK                  "+OK\r\n"
#define NONE                "$-1\r\n"

static inline void fixture_expect_events(struct fixture *f, const char *events, const char *file, int at)
{
    struct slice got = buf_slice(&f->events);
    if (!slice_equal(got, slice_from(events))) {
        print_error("events %.*s instead of %s\n", (int)got.len, got.ptr, events);
        _fail(file, at);
    }
}

/* Expects these events of the last command. */
#define EVENTS(text) fixture_expect_events(f, text, __FILE__, __LINE__)

#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
