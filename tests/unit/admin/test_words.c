/* Goal: words are parted and quoted as Redis does it, and quoting reads back.
 * Method: a table of lines; every string of up to three bytes from a nasty
 * alphabet quoted and split again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "admin/words.h"

/* Words are shown as "[a][b]", a malformed line as "!". */
static const struct {
    const char *line, *words;
} lines[] = {
    {"", ""},
    {"  \t ", ""},
    {"a", "[a]"},
    {" a  b\tc ", "[a][b][c]"},
    {"\"\"", "[]"},
    {"''", "[]"},
    {"a \"b c\" d", "[a][b c][d]"},
    {"\"a\\n\\t\\x41\\\"\\q\"", "[a\n\tA\"q]"},
    {"\"\\x4\"", "[x4]"},
    {"\"\\xzz\"", "[xzz]"},
    {"'a\\'b\\n'", "[a'b\\n]"},
    {"a\"b\"", "[ab]"},
    {"\"a\"b", "!"},
    {"'a'b", "!"},
    {"\"a", "!"},
    {"'a", "!"},
    {"\"a\\", "!"},
    {"\"a\\\"", "!"},
    {"a\\nb", "[a\\nb]"},
};

static void test_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct buf shown;
        buf_init(&shown);
        struct words w;
        if (words_split(&w, slice_from(lines[i].line)) == STATUS_OK) {
            for (size_t j = 0; j < w.count; j++)
                buf_printf(&shown, "[%.*s]", (int)w.words[j].len, w.words[j].ptr);
            words_deinit(&w);
        } else {
            buf_append(&shown, "!", 1);
        }
        buf_append(&shown, "", 1);
        assert_string_equal(buf_head(&shown), lines[i].words);
        buf_deinit(&shown);
    }
}

static void check_quoting(struct slice text)
{
    struct buf quoted;
    buf_init(&quoted);
    words_quote(text, &quoted);
    struct words w;
    assert_int_equal(words_split(&w, buf_slice(&quoted)), STATUS_OK);
    assert_int_equal(w.count, 1);
    assert_true(slice_equal(w.words[0], text));
    words_deinit(&w);
    buf_deinit(&quoted);
}

static void test_quote(void **state)
{
    (void)state;
    static const char alphabet[] = {'a', 'x', '4', ' ', '"', '\'', '\\', '\n', '#', '\0', '\x7f', '\xff', 'n'};
    enum { LETTERS = sizeof alphabet };
    check_quoting(SLICE_LITERAL(""));
    for (int i = 0; i < LETTERS * LETTERS * LETTERS; i++) {
        char text[3] = {alphabet[i % LETTERS], alphabet[i / LETTERS % LETTERS], alphabet[i / LETTERS / LETTERS]};
        for (size_t length = 1; length <= sizeof text; length++)
            check_quoting(slice_make(text, length));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_split), cmocka_unit_test(test_quote)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
