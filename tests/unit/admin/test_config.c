/* Goal: options mean what the table says, from files, command lines and CONFIG
 * SET alike; kvstore.conf documents exactly the table.
 * Method: each way in with good and bad input, comparing values and messages;
 * files live in a fresh temporary directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/config.h"
#include "admin/words.h"
#include "base/buf.h"

static char directory[] = "/tmp/kvstore-test-config-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static char *read_file(const char *path)
{
    static char text[64 * 1024];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

/* The value CONFIG GET shows. */
static const char *value_of(const struct config *c, const char *name)
{
    static char text[4096];
    struct buf out;
    buf_init(&out);
    const struct config_row *row = config_find_row(slice_from(name));
    assert_non_null(row);
    config_print_row(c, row, &out);
    snprintf(text, sizeof text, "%.*s", (int)buf_size(&out), buf_size(&out) ? buf_head(&out) : "");
    buf_deinit(&out);
    return text;
}

static bool set_one(struct config *c, const char *name, const char *value, char *error)
{
    struct slice pair[2] = {slice_from(name), slice_from(value)};
    return config_set(c, pair, 1, error);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *c = config_create();
    assert_int_equal(c->port, 6379);
    assert_int_equal(c->bind_count, 2);
    assert_string_equal(c->bind[1], "-::1");
    assert_int_equal(c->databases, 16);
    assert_int_equal(c->loglevel, LOG_LEVEL_NOTICE);
    assert_int_equal(c->proto_max_bulk_bytes, 512 << 20);
    assert_int_equal(c->output_limits[OUTPUT_PUBSUB].soft_bytes, 8 << 20);
    assert_int_equal(c->peer_backlog_bytes, 256 << 20);
    assert_string_equal(c->requirepass, "");
    assert_string_equal(value_of(c, "client-output-buffer-limit"),
                        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    assert_null(config_conflict(c));
    config_free(c);
}

static void test_file(void **state)
{
    (void)state;
    const char *path = path_of("good.conf");
    write_file(path, "# a comment\n\n  port 7001\nrequirepass \"a b\\x21\"\nbind 10.0.0.1 ::1\n"
                     "maxmemory 1gb\nLOGLEVEL Debug\nclient-output-buffer-limit normal 1mb 1kb 5\nport 7002");
    struct config *c = config_create();
    char error[CONFIG_ERROR_MAX];
    assert_true(config_load_file(c, path, error));
    assert_int_equal(c->port, 7002);
    assert_string_equal(c->requirepass, "a b!");
    assert_string_equal(value_of(c, "bind"), "10.0.0.1 ::1");
    assert_int_equal(c->maxmemory_bytes, 1 << 30);
    assert_int_equal(c->loglevel, LOG_LEVEL_DEBUG);
    assert_int_equal(c->output_limits[OUTPUT_NORMAL].hard_bytes, 1 << 20);
    assert_int_equal(c->output_limits[OUTPUT_REPLICA].soft_s, 60);
    assert_string_equal(c->path, path);
    config_free(c);
}

static void test_file_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"# it's\n \t# \"\nprot 2\n", "bad.conf:3: 'prot 2': there"},
        {"port 1\nprot 2\n", "bad.conf:2: 'prot 2': there is no such option"},
        {"port\n", "bad.conf:1: 'port': wrong number of arguments"},
        {"port 1 2\n", "bad.conf:1: 'port 1 2': wrong number of arguments"},
        {"port x\n", "bad.conf:1: 'port x': argument couldn't be parsed into an integer"},
        {"port 65536\n", "bad.conf:1: 'port 65536': argument must be between 0 and 65535 inclusive"},
        {"port 99999999999999999999\n", "argument couldn't be parsed into an integer"},
        {"daemonize maybe\n", "argument must be 'yes' or 'no'"},
        {"requirepass \"x\n", "unbalanced quotes"},
        {"maxmemory 1tb\n", "argument must be a memory value"},
        {"maxmemory 9999999999gb\n", "argument must be a memory value"},
        {"unixsocketperm 888\n", "couldn't be parsed as an octal number"},
        {"unixsocketperm 1000\n", "argument must be between 0 and 777 inclusive"},
        {"loglevel loud\n", "argument(s) must be one of the following: debug, verbose, notice, warning"},
        {"save 900\n", "Invalid save parameters"},
        {"save 0 1\n", "Invalid save parameters"},
        {"save 900 x\n", "Invalid save parameters"},
        {"appendonly maybe\n", "argument must be"},
        {"appendfsync sometimes\n", "argument(s) must be one of the following"},
        {"bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", "Too many bind addresses"},
        {"cluster-members 1@a:1 1@b:2\n", "two members have the same id"},
        {"cluster-members 1@a:1 2@a:1\n", "two members have the same address"},
        {"cluster-members a:1\n", "'a:1' is not id@host:port"},
        {"cluster-members 0@a:1\n", "is not id@host:port"},
        {"cluster-members 65536@a:1\n", "is not id@host:port"},
        {"cluster-members 1@a:0\n", "is not id@host:port"},
        {"cluster-members 1@:5\n", "is not id@host:port"},
        {"cluster-members 1@a:1 2@a:2 3@a:3 4@a:4 5@a:5 6@a:6 7@a:7 8@a:8 9@a:9 10@a:10\n", "at most 9"},
        {"client-output-buffer-limit normal 0 0\n", "Wrong number of arguments in buffer limit"},
        {"client-output-buffer-limit master 0 0 0\n", "Invalid client class"},
    };
    const char *path = path_of("bad.conf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(path, cases[i].text);
        struct config *c = config_create();
        char error[CONFIG_ERROR_MAX] = "";
        assert_false(config_load_file(c, path, error));
        if (!strstr(error, cases[i].message))
            fail_msg("for %s: %s", cases[i].text, error);
        config_free(c);
    }
    struct config *c = config_create();
    char error[CONFIG_ERROR_MAX];
    assert_false(config_load_file(c, path_of("absent.conf"), error));
    assert_non_null(strstr(error, "No such file"));
    assert_false(config_load_file(c, directory, error));
    assert_non_null(strstr(error, "cannot read"));
    config_free(c);
}

#define ARGUMENTS(...) ((char *[]){(char *)"kvstore-server", __VA_ARGS__})
#define LOAD(c, error, ...) \
    config_load_arguments(c, (int)(sizeof ARGUMENTS(__VA_ARGS__) / sizeof(char *)), ARGUMENTS(__VA_ARGS__), error)

static void test_arguments(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_of("arguments.conf"));
    write_file(path, "port 7001\nhz 20\n");
    char error[CONFIG_ERROR_MAX] = "";
    struct config *c = config_create();
    assert_true(LOAD(c, error, path, "--port", "7002", "--bind", "10.0.0.1", "-::1", "--save", "", "--requirepass",
                     "--x", "--maxclients 5"));
    assert_int_equal(c->port, 7002);
    assert_int_equal(c->hz, 20);
    assert_int_equal(c->bind_count, 2);
    assert_string_equal(c->requirepass, "--x");
    assert_int_equal(c->maxclients, 5);
    config_free(c);

    c = config_create();
    assert_true(LOAD(c, error, "--save", "--port", "7003"));
    assert_int_equal(c->port, 7003);
    config_free(c);
    c = config_create();
    assert_true(LOAD(c, error, "--save"));
    config_free(c);
}

static void test_argument_errors(void **state)
{
    (void)state;
    char error[CONFIG_ERROR_MAX] = "";
    struct config *c = config_create();
    assert_false(LOAD(c, error, "--prt", "1"));
    assert_string_equal(error, "--prt: there is no such option");
    assert_false(LOAD(c, error, "--port"));
    assert_string_equal(error, "--port: wrong number of arguments");
    assert_false(LOAD(c, error, "--port", "x"));
    assert_non_null(strstr(error, "--port: argument couldn't"));
    assert_false(LOAD(c, error, "/nowhere/k.conf"));
    assert_non_null(strstr(error, "/nowhere/k.conf"));
    assert_false(LOAD(c, error, "--forfeit-floor", "2000", "--forfeit-ceiling", "1000"));
    assert_string_equal(error, "forfeit-floor is above forfeit-ceiling");
    config_free(c);
}

static void test_members(void **state)
{
    (void)state;
    char error[CONFIG_ERROR_MAX] = "";
    struct config *c = config_create();
    assert_true(LOAD(c, error, "--cluster-members", "3@[::1]:7003", "1@127.0.0.1:7001", "2@host:7002",
                     "--cluster-self", "2"));
    assert_int_equal(c->member_count, 3);
    assert_int_equal(c->members[0].id, 1);
    assert_string_equal(c->members[2].host, "::1");
    assert_int_equal(c->port, 7002);
    assert_string_equal(value_of(c, "cluster-members"), "1@127.0.0.1:7001 2@host:7002 3@[::1]:7003");
    config_free(c);

    c = config_create();
    assert_true(LOAD(c, error, "--cluster-members", "1@a:1 2@b:2", "--cluster-self", "1", "--port", "9"));
    assert_int_equal(c->port, 9);
    config_free(c);

    c = config_create();
    assert_false(LOAD(c, error, "--cluster-members", "1@a:1 2@b:2"));
    assert_non_null(strstr(error, "cluster-self"));
    assert_false(LOAD(c, error, "--cluster-members", "1@a:1 2@b:2", "--cluster-self", "3"));
    assert_string_equal(error, "cluster-self is not the id of one of cluster-members");
    config_free(c);
}

static void count_call(void *context)
{
    ++*(int *)context;
}

static void test_set(void **state)
{
    (void)state;
    struct config *c = config_create();
    int applied = 0;
    c->apply = count_call;
    c->apply_context = &applied;
    char error[CONFIG_ERROR_MAX] = "";
    assert_true(set_one(c, "MaxClients", "50", error));
    assert_int_equal(c->maxclients, 50);
    assert_int_equal(applied, 1);

    struct slice pairs[] = {SLICE_LITERAL("timeout"), SLICE_LITERAL("9"), SLICE_LITERAL("hz"), SLICE_LITERAL("-1")};
    assert_false(config_set(c, pairs, 2, error));
    assert_string_equal(error, "ERR CONFIG SET failed (possibly related to argument 'hz') - argument must be between 0 "
                               "and 2147483647 inclusive");
    assert_true(set_one(c, "hz", "0", error) && c->hz == 1);
    assert_true(set_one(c, "hz", "9999", error) && c->hz == 500);
    assert_true(set_one(c, "maxclients", "4294967295", error) && c->maxclients > 0);
    assert_true(set_one(c, "hz", "10", error));
    applied = 1;
    assert_int_equal(c->timeout_s, 0);
    assert_int_equal(applied, 1);
    assert_false(set_one(c, "nonsense", "1", error));
    assert_string_equal(error, "ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'");
    assert_false(set_one(c, "port", "1", error));
    assert_string_equal(error,
                        "ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config");
    struct slice twice[] = {SLICE_LITERAL("hz"), SLICE_LITERAL("9"), SLICE_LITERAL("HZ"), SLICE_LITERAL("8")};
    assert_false(config_set(c, twice, 2, error));
    assert_non_null(strstr(error, "duplicate parameter"));
    struct slice zero[] = {SLICE_LITERAL("requirepass"), SLICE_LITERAL("a\0b")};
    assert_false(config_set(c, zero, 1, error));
    config_free(c);
}

/* Options that fit alone but not together are refused, and nothing changes. */
static void test_set_conflict(void **state)
{
    (void)state;
    struct config *c = config_create();
    char error[CONFIG_ERROR_MAX] = "";
    assert_true(set_one(c, "maxmemory-policy", "allkeys-lfu", error));
    assert_false(set_one(c, "maxmemory", "1gb", error));
    assert_non_null(strstr(error, "eviction is not in this version"));
    assert_int_equal(c->maxmemory_bytes, 0);
    assert_true(set_one(c, "maxmemory-policy", "noeviction", error));
    assert_true(set_one(c, "maxmemory", "1gb", error));
    assert_true(set_one(c, "save", "", error));
    assert_int_equal(c->save_rule_count, 0);
    assert_true(set_one(c, "save", "900 1 60 1000", error));
    assert_int_equal(c->save_rule_count, 2);
    assert_int_equal(c->save_rules[1].seconds, 60);
    assert_int_equal(c->save_rules[1].changes, 1000);
    assert_false(set_one(c, "save", "900", error));
    assert_int_equal(c->save_rule_count, 2);
    assert_true(set_one(c, "client-output-buffer-limit", "normal 1kb 2kb 3 pubsub 0 0 0", error));
    assert_int_equal(c->output_limits[OUTPUT_NORMAL].soft_bytes, 2048);
    config_free(c);
}

/* As many pairs as there are rows, and more. */
static void test_set_many(void **state)
{
    (void)state;
    struct config *c = config_create();
    char error[CONFIG_ERROR_MAX] = "";
    struct slice pairs[2 * 200];
    for (int i = 0; i < 400; i += 2) {
        pairs[i] = SLICE_LITERAL("hz");
        pairs[i + 1] = SLICE_LITERAL("11");
    }
    for (int count = 2; count <= 200; count++)
        assert_false(config_set(c, pairs, count, error));
    assert_int_equal(c->hz, 10);
    config_free(c);
}

static void collect(void *context, struct slice name, struct slice value)
{
    buf_printf(context, "%.*s=%.*s;", (int)name.len, name.ptr, (int)value.len, value.ptr ? value.ptr : "");
}

static void test_get(void **state)
{
    (void)state;
    struct config *c = config_create();
    struct buf out;
    buf_init(&out);
    struct slice patterns[] = {SLICE_LITERAL("PORT"), SLICE_LITERAL("po?t"), SLICE_LITERAL("max*"), SLICE_LITERAL("no")};
    config_get(c, patterns, 4, collect, &out);
    buf_append(&out, "", 1);
    assert_string_equal(buf_head(&out), "PORT=6379;maxclients=10000;maxmemory=0;maxmemory-policy=noeviction;");
    buf_deinit(&out);
    config_free(c);
}

static void test_rewrite(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_of("rewrite.conf"));
    write_file(path, "# first\nport 7001\n\nhz 20\n# between\nhz 30\nmaxmemory 1gb\n#port 1\n");
    assert_int_equal(chmod(path, 0640), 0);
    struct config *c = config_create();
    char error[CONFIG_ERROR_MAX] = "";
    assert_true(config_load_file(c, path, error));
    assert_true(set_one(c, "hz", "40", error));
    assert_true(set_one(c, "requirepass", "a \"b\"", error));
    assert_true(set_one(c, "client-output-buffer-limit", "normal 1mb 0 0", error));
    assert_int_equal(config_rewrite(c), STATUS_OK);
    const char *expected = "# first\nport 7001\n\nhz 40\n# between\nmaxmemory 1gb\n#port 1\n"
                           "# Generated by CONFIG REWRITE\nrequirepass \"a \\\"b\\\"\"\nclient-output-buffer-limit "
                           "normal 1048576 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60\n";
    assert_string_equal(read_file(path), expected);
    assert_int_equal(config_rewrite(c), STATUS_OK);
    assert_string_equal(read_file(path), expected);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);

    struct config *again = config_create();
    assert_true(config_load_file(again, path, error));
    assert_int_equal(again->hz, 40);
    assert_string_equal(again->requirepass, "a \"b\"");
    config_free(again);
    unlink(path);
    assert_int_equal(config_rewrite(c), STATUS_OK);
    assert_non_null(strstr(read_file(path), "port 7001\n"));
    config_free(c);

    c = config_create();
    assert_int_equal(config_rewrite(c), STATUS_NOT_FOUND);
    config_free(c);
}

/* Each row has a line "#name value" with its default in kvstore.conf, the
 * effect in front of it, and there is no other such line. */
static void test_documented(void **state)
{
    (void)state;
    FILE *file = fopen("kvstore.conf", "r");
    assert_non_null(file);
    bool is_seen[CONFIG_ROWS_MAX] = {false};
    char line[1024];
    char error[CONFIG_ERROR_MAX] = "";
    struct config *c = config_create();
    while (fgets(line, sizeof line, file)) {
        if (line[0] != '#' || line[1] == ' ' || line[1] == '\n')
            continue;
        struct words w;
        assert_int_equal(words_split(&w, slice_from(line + 1)), STATUS_OK);
        const struct config_row *row = config_find_row(w.words[0]);
        if (!row)
            fail_msg("kvstore.conf has %s", line);
        struct buf value;
        buf_init(&value);
        words_join(&w, 1, &value);
        if (!slice_equal(buf_slice(&value), slice_from(row->default_text)))
            fail_msg("kvstore.conf has another default: %s", line);
        assert_true(config_set_row(c, row, buf_slice(&value), error));
        is_seen[row - config_rows] = true;
        buf_deinit(&value);
        words_deinit(&w);
    }
    fclose(file);
    for (size_t i = 0; i < config_row_count; i++)
        if (!is_seen[i])
            fail_msg("kvstore.conf lacks %s", config_rows[i].name);
    config_free(c);
    c = config_create();
    assert_true(config_load_file(c, "kvstore.conf", error));
    config_free(c);
}

/* Effects of kvstore.conf are the table's, whatever the line breaks. */
static void test_effects_documented(void **state)
{
    (void)state;
    char *text = read_file("kvstore.conf");
    char flat[64 * 1024];
    size_t used = 0;
    for (const char *p = text; *p; p++) {
        if (p[0] == '\n' && p[1] == '#' && p[2] == ' ') {
            flat[used++] = ' ';
            p += 2;
        } else {
            flat[used++] = *p;
        }
    }
    flat[used] = '\0';
    for (size_t i = 0; i < config_row_count; i++) {
        if (!strstr(flat, config_rows[i].effect) || !strstr(flat, config_rows[i].unit))
            fail_msg("kvstore.conf tells something else about %s", config_rows[i].name);
    }
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"good.conf", "bad.conf", "arguments.conf", "rewrite.conf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_errors),    cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_argument_errors), cmocka_unit_test(test_members),
        cmocka_unit_test(test_set),            cmocka_unit_test(test_set_conflict),
        cmocka_unit_test(test_set_many),       cmocka_unit_test(test_get),
        cmocka_unit_test(test_rewrite),        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_effects_documented),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
