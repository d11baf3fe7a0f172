/* Goal: INFO gives the sections asked for, in Redis's form, with the figures it
 * was given.
 * Method: a small store, a made-up cluster status, every section by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/info.h"

static struct info_sources sources;
static struct stats stats;
static struct replica_status status;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    sources = (struct info_sources){
        .config = config_create(),
        .stats = &stats,
        .commands = command_table_create(),
        .keyspace = keyspace_create(&(struct keyspace_options){.database_count = 16}),
        .replica = &status,
        .run_id = "0123456789012345678901234567890123456789",
        .started_wall_us = 1000000,
        .now_wall_us = 91000000 + INT64_C(86400000000),
        .port = 7001,
        .sessions = 3,
    };
    command_table_add_data_types((struct command_table *)(uintptr_t)sources.commands);
    keyspace_set(sources.keyspace, 3, SLICE_LITERAL("k"), SLICE_LITERAL("v"), EXPIRE_NONE);
    stats_init(&stats);
    stats_count_usec(stats_of(&stats, command_find(sources.commands, SLICE_LITERAL("get"))), 5);
    stats_count_run(&stats, command_find(sources.commands, SLICE_LITERAL("get")), false);
    stats_count_error(&stats, SLICE_LITERAL("ERR no"));
    status = (struct replica_status){.state = REPLICA_UP, .state_text = "up", .member_count = 2, .self_id = 1};
    status.peers[0] = (struct replica_peer_status){.id = 1, .host = "a", .port = 7001, .link = LINK_SELF};
    status.peers[1] = (struct replica_peer_status){.id = 2, .host = "b", .port = 7002, .link = LINK_UP};
    buf_init(&out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    config_free((struct config *)(uintptr_t)sources.config);
    command_table_free((struct command_table *)(uintptr_t)sources.commands);
    keyspace_free(sources.keyspace);
    buf_deinit(&out);
    return 0;
}

/* sections are parted by blanks. */
static const char *info(const char *sections)
{
    struct slice words[16];
    int count = 0;
    for (const char *p = sections; *p;) {
        size_t length = strcspn(p, " ");
        words[count++] = slice_make(p, length);
        p += length + (p[length] == ' ');
    }
    buf_clear(&out);
    info_print(&sources, words, count, &out);
    buf_append(&out, "", 1);
    return buf_head(&out);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("%s lacks %s", text, part);
}

static void test_figures(void **state)
{
    (void)state;
    const char *text = info("everything");
    static const char *const parts[] = {
        "# Server\r\nredis_version:7.0.15\r\n", "kvstore_version:0.1.0\r\n", "tcp_port:7001\r\n",
        "uptime_in_seconds:86490\r\nuptime_in_days:1\r\n", "\r\n\r\n# Clients\r\nconnected_clients:3\r\n",
        "maxmemory_policy:noeviction\r\n", "cmdstat_get:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,failed_calls=0",
        "errorstat_ERR:count=1\r\n", "role:master\r\nconnected_slaves:1\r\nslave0:ip=b,port=7002,state=online",
        "peer2:address=b:7002,link=up", "cluster_enabled:0\r\n", "# Keyspace\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_has(text, parts[i]);
}

/* Each line is a title, empty, or name:value. */
static void test_form(void **state)
{
    (void)state;
    const char *text = info("all");
    while (*text) {
        const char *end = strstr(text, "\r\n");
        assert_non_null(end);
        bool is_field = memchr(text, ':', (size_t)(end - text)) != NULL;
        assert_true(text[0] == '#' || end == text || is_field);
        assert_null(memchr(text, '\n', (size_t)(end - text)));
        text = end + 2;
    }
}

static void test_sections(void **state)
{
    (void)state;
    assert_string_equal(info("nosuch"), "");
    assert_string_equal(info("Cluster"), "# Cluster\r\ncluster_enabled:0\r\n");
    assert_string_equal(info("keyspace cluster KEYSPACE"),
                        "# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n");
    assert_null(strstr(info(""), "# Commandstats"));
    assert_non_null(strstr(info("default"), "# Errorstats"));
    assert_non_null(strstr(info("all"), "# Commandstats"));
}

static void test_lone(void **state)
{
    (void)state;
    status = (struct replica_status){.state = REPLICA_LONE, .state_text = "lone", .member_count = 1};
    assert_null(strstr(info("rabia"), "peer"));
    assert_has(info("replication"), "connected_slaves:0\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_figures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
