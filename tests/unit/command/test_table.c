/* Goal: rows are found by name in any case, and only then; wrong command lines
 * get the oracle's words.
 * Method: every row looked up in three spellings and with a byte more or less;
 * texts captured from redis-server 7.0.15. */
#include "fixture.h"

#include "base/alloc.h"
#include "command/table.h"

static void spell(char *to, const char *name, int style)
{
    for (; *name; name++, to++) {
        bool is_upper = style == 1 || (style == 2 && (name[0] & 1));
        *to = (char)(is_upper && *name >= 'a' && *name <= 'z' ? *name - 32 : *name);
    }
    *to = '\0';
}

static void rows_are_found_in_any_case(void **state)
{
    struct fixture *f = *state;
    assert_true(command_count(f->table) > 50);
    for (size_t i = 0; i < command_count(f->table); i++) {
        const struct command *row = command_at(f->table, i);
        char text[64];
        for (int style = 0; style < 3; style++) {
            spell(text, row->name, style);
            assert_ptr_equal(command_find(f->table, slice_from(text)), row);
        }
        size_t length = strlen(text);
        const struct command *shorter = command_find(f->table, slice_make(text, length - 1));
        assert_true(!shorter || strlen(shorter->name) == length - 1);
        text[length] = '!';
        assert_null(command_find(f->table, slice_make(text, length + 1)));
    }
}

/* Letters have neighbours that differ in the same bit as their case. */
static void only_letters_are_folded(void **state)
{
    struct fixture *f = *state;
    assert_null(command_find(f->table, SLICE_LITERAL("")));
    assert_null(command_find(f->table, SLICE_LITERAL("GE\x14")));
    assert_null(command_find(f->table, SLICE_LITERAL("bitfield\x7fro")));
    assert_null(command_find(f->table, SLICE_LITERAL("s\xe5t")));
    assert_non_null(command_find(f->table, SLICE_LITERAL("BITFIELD_RO")));
}

static void nothing(struct call *c)
{
    (void)c;
}

static void a_large_table_grows(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct command_table *t = command_table_create();
    struct command *rows = mem_calloc(COUNT, sizeof *rows);
    char(*names)[40] = mem_calloc(COUNT, sizeof *names);
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], i % 2 ? "x%d" : "longer-than-16-%d-bytes", i);
        rows[i] = (struct command){.name = names[i], .handler = nothing, .arity = 1};
    }
    command_table_add(t, rows, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_ptr_equal(command_find(t, slice_from(names[i])), &rows[i]);
        assert_ptr_equal(command_at(t, (size_t)i), &rows[i]);
    }
    assert_null(command_find(t, SLICE_LITERAL("longer-than-16-3-bytes")));
    command_table_free(t);
    mem_free(names);
    mem_free(rows);
}

static void containers_are_extended(void **state)
{
    struct fixture *f = *state;
    static const struct command more[] = {{.name = "stats", .handler = nothing, .arity = 2},
                                          {.name = "purge", .handler = nothing, .arity = 2}};
    const struct command *container;
    assert_null(command_find_full(f->table, SLICE_LITERAL("memory|stats"), &container));
    command_table_extend(f->table, "memory", more, 1);
    command_table_extend(f->table, "MEMORY", more + 1, 1);
    assert_string_equal(command_find_full(f->table, SLICE_LITERAL("MEMORY|stats"), &container)->name,
                        "stats");
    assert_string_equal(container->name, "memory");
    assert_non_null(command_find_full(f->table, SLICE_LITERAL("memory|Purge"), &container));
    assert_non_null(command_find_full(f->table, SLICE_LITERAL("memory|usage"), &container));
    EXPECT("memory stats x", "-ERR wrong number of arguments for 'memory|stats' command\r\n");
}

static void wrong_lines_are_explained(void **state)
{
    struct fixture *f = *state;
    EXPECT("foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
    EXPECT("foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n");
    EXPECT("GET", "-ERR wrong number of arguments for 'get' command\r\n");
    EXPECT("oBject", "-ERR wrong number of arguments for 'object' command\r\n");
    EXPECT("object ENCODING", "-ERR wrong number of arguments for 'object|encoding' command\r\n");
    EXPECT("object x\ny", "-ERR unknown subcommand 'x y'. Try OBJECT HELP.\r\n");
    EXPECT("command foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP.\r\n");
}

static void long_words_are_cut(void **state)
{
    struct fixture *f = *state;
    char word[201], text[COMMAND_ERROR_MAX], expected[COMMAND_ERROR_MAX];
    memset(word, 'x', 200);
    word[200] = '\0';
    struct slice argv[] = {slice_from(word), slice_make(word, 120), slice_from(word), slice_from(word)};
    assert_null(command_resolve(f->table, 4, argv, text));
    snprintf(expected, sizeof expected,
             "ERR unknown command '%.128s', with args beginning with: '%.120s' '%.5s' ", word, word, word);
    assert_string_equal(text, expected);
    struct slice zero[] = {SLICE_LITERAL("foo"), SLICE_LITERAL("a\0b")};
    assert_null(command_resolve(f->table, 2, zero, text));
    assert_string_equal(text, "ERR unknown command 'foo', with args beginning with: 'a' ");
}

/* What Redis knows as one command, ours routes by subcommand. */
static void plain_containers_hide_their_subcommands(void **state)
{
    struct fixture *f = *state;
    static const struct command debug = {
        .name = "debug", .handler = nothing, .arity = -2, .flags = COMMAND_PLAIN};
    command_table_add(f->table, &debug, 1);
    command_table_extend(f->table, "debug", command_debug_rows, command_debug_count);
    EXPECT("debug foo",
           "-ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.\r\n");
    EXPECT("debug digest x",
           "-ERR unknown subcommand or wrong number of arguments for 'digest'. Try DEBUG HELP.\r\n");
    EXPECT("debug", "-ERR wrong number of arguments for 'debug' command\r\n");
    EXPECT("debug digest", "+0000000000000000000000000000000000000000\r\n");
    EXPECT("debug populate 3 p 2", OK);
    EXPECT("mget p:0 p:2 p:3", "*3\r\n$2\r\nva\r\n$2\r\nva\r\n$-1\r\n");
    EXPECT("command list filterby pattern debug*", "*1\r\n$5\r\ndebug\r\n");
}

static void categories_follow_from_flags(void **state)
{
    struct fixture *f = *state;
    uint32_t get = command_categories(command_find(f->table, SLICE_LITERAL("get")));
    assert_int_equal(get, CATEGORY_READ | CATEGORY_STRING | CATEGORY_FAST);
    uint32_t flushall = command_categories(command_find(f->table, SLICE_LITERAL("flushall")));
    assert_int_equal(flushall, CATEGORY_KEYSPACE | CATEGORY_WRITE | CATEGORY_SLOW | CATEGORY_DANGEROUS);
    assert_int_equal(command_category(SLICE_LITERAL("STRING")), CATEGORY_STRING);
    assert_int_equal(command_category(SLICE_LITERAL("@string")), 0);
}

/* Rows are what dispatch relies on. */
static void rows_are_complete(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < command_count(f->table); i++) {
        const struct command *row = command_at(f->table, i);
        assert_true(row->handler || row->subcommand_count);
        assert_true(row->arity != 0);
        assert_non_null(row->group);
        assert_non_null(row->since);
        assert_non_null(row->summary);
        assert_non_null(row->complexity);
        assert_true(!(row->flags & COMMAND_WRITE) || row->route == ROUTE_WRITE);
        bool keeps_what_it_finds = strcmp(row->name, "pfcount") == 0; /* Redis says that it only reads */
        assert_true(!(row->flags & COMMAND_READONLY) || row->route == ROUTE_READ || keeps_what_it_finds);
        assert_true(row->first_key == 0 || command_has_keys(row));
        /* Keys that first_key does not tell of are where numkeys says. */
        assert_true(row->first_key != 0 || !command_has_keys(row) || row->flags & COMMAND_MOVABLEKEYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(rows_are_found_in_any_case),
        FIXTURE_TEST(only_letters_are_folded),
        FIXTURE_TEST(a_large_table_grows),
        FIXTURE_TEST(containers_are_extended),
        FIXTURE_TEST(wrong_lines_are_explained),
        FIXTURE_TEST(long_words_are_cut),
        FIXTURE_TEST(plain_containers_hide_their_subcommands),
        FIXTURE_TEST(categories_follow_from_flags),
        FIXTURE_TEST(rows_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
