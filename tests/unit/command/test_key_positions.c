/* Goal: key positions follow the specifications of a row, of every form.
 * Method: rows made up for each form, expected positions by hand; the shapes
 * are those of MSET, BITOP, ZUNIONSTORE, XREAD, MIGRATE and SORT. */
#include "fixture.h"

#include "command/table.h"

enum { WORDS_MAX = 16, KEYS_MAX = 16 };

static int split(const char *line, struct slice *argv)
{
    int argc = 0;
    while (argc < WORDS_MAX) {
        size_t length = strcspn(line, " ");
        argv[argc++] = slice_make(line, length);
        if (!line[length])
            break;
        line += length + 1;
    }
    return argc;
}

/* expected: positions as digits, "-" for nonsense. */
static void expect(const struct command *row, const char *line, const char *expected)
{
    struct slice argv[WORDS_MAX];
    int positions[KEYS_MAX], argc = split(line, argv);
    char text[KEYS_MAX + 1] = "-";
    int count = command_keys(row, argc, argv, positions, KEYS_MAX);
    for (int i = 0; i < count; i++)
        text[i] = (char)('0' + positions[i]);
    if (count >= 0)
        text[count] = '\0';
    assert_string_equal(text, expected);
}

static void ranges(void **state)
{
    (void)state;
    const struct command one = {.name = "one", COMMAND_ONE_KEY(KEY_RO)};
    expect(&one, "one k v", "1");
    expect(&one, "one", "-");
    const struct command pairs = {.name = "mset", COMMAND_MANY_KEYS(KEY_OW, 2)};
    expect(&pairs, "mset a 1 b 2 c 3", "135");
    const struct command two = {.name = "bitop",
                                COMMAND_SPECS(KEY_RANGE(2, KEY_OW, 0, 1), KEY_RANGE(3, KEY_RO, -1, 1))};
    expect(&two, "bitop and d a b c", "2345");
    expect(&two, "bitop and d", "-");
    const struct command timeout = {.name = "blpop", COMMAND_SPECS(KEY_RANGE(1, KEY_RW, -2, 1))};
    expect(&timeout, "blpop a b 0", "12");
    expect(&timeout, "blpop a", "-");
}

static void counted(void **state)
{
    (void)state;
    const struct command row = {.name = "zunionstore",
                                COMMAND_SPECS(KEY_RANGE(1, KEY_OW, 0, 1), KEY_COUNTED(2, KEY_RO))};
    expect(&row, "zunionstore d 2 a b", "134");
    expect(&row, "zunionstore d 2 a b weights 1 2", "134");
    expect(&row, "zunionstore d 3 a b", "-");
    expect(&row, "zunionstore d x a b", "-");
    expect(&row, "zunionstore d -1 a b", "-");
    expect(&row, "zunionstore d 99999999999999 a", "-");
    expect(&row, "zunionstore d", "-");
    const struct command eval = {.name = "eval", COMMAND_SPECS(KEY_COUNTED(2, KEY_RW))};
    expect(&eval, "eval s 0 a", "");
}

static void behind_keywords(void **state)
{
    (void)state;
    const struct command xread = {.name = "xread",
                                  COMMAND_SPECS(KEY_KEYWORD_RANGE("STREAMS", 1, KEY_RO, -1, 1, 2))};
    expect(&xread, "xread count 2 streams a b 0 0", "45");
    expect(&xread, "xread count 2", "");
    expect(&xread, "xread streams", "-");
    const struct command migrate = {.name = "migrate",
                                    COMMAND_SPECS(KEY_KEYWORD_RANGE("KEYS", -2, KEY_RW, -1, 1, 0))};
    expect(&migrate, "migrate h p x 0 9 copy KEYS a b", "89");
    expect(&migrate, "migrate h p k 0 9", "");
}

static void unknown_specs_are_passed_over(void **state)
{
    (void)state;
    const struct command sort = {.name = "sort",
                                 COMMAND_SPECS(KEY_RANGE(1, KEY_RO, 0, 1), KEY_UNKNOWN(KEY_OW, "somewhere"))};
    expect(&sort, "sort k store d", "1");
    const struct command shard = {.name = "spublish", COMMAND_SPECS(KEY_RANGE(1, KEY_NOT_KEY, 0, 1))};
    expect(&shard, "spublish c m", "");
    assert_false(command_has_keys(&shard));
}

static void capacity_bounds_what_is_written(void **state)
{
    (void)state;
    const struct command row = {.name = "del", COMMAND_MANY_KEYS(KEY_RM, 1)};
    struct slice argv[WORDS_MAX];
    int positions[3] = {0, 0, 77}, argc = split("del a b c d", argv);
    assert_int_equal(command_keys(&row, argc, argv, positions, 2), 4);
    assert_int_equal(positions[1], 2);
    assert_int_equal(positions[2], 77);
}

static void flags_depend_on_the_arguments(void **state)
{
    struct fixture *f = *state;
    EXPECT("command getkeysandflags set k v", "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+OW\r\n+update\r\n");
    EXPECT("command getkeysandflags set k v GET",
           "*1\r\n*2\r\n$1\r\nk\r\n*3\r\n+RW\r\n+access\r\n+update\r\n");
    EXPECT("command getkeysandflags bitfield k get u8 0", "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+RO\r\n+access\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(counted),
        cmocka_unit_test(behind_keywords),
        cmocka_unit_test(unknown_specs_are_passed_over),
        cmocka_unit_test(capacity_bounds_what_is_written),
        FIXTURE_TEST(flags_depend_on_the_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
