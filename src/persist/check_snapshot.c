/* kvstore-check: snapshots, and replica.state. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "persist/check_tool.h"
#include "persist/snapshot.h"
#include "persist/state_file.h"

/* --- snapshots ------------------------------------------------------------------- */

struct report {
    const char *path;
    struct snapshot_head head;
    uint32_t version; /* 0: the head was not reached */
    struct snapshot_database_figures *databases;
    size_t count, room;
};

static void note_head(void *context, const struct snapshot_head *head, uint32_t version)
{
    struct report *report = context;
    report->head = *head;
    report->version = version;
}

static void note_database(void *context, const struct snapshot_database_figures *figures)
{
    struct report *report = context;
    if (report->count == report->room) {
        report->room = report->room ? 2 * report->room : 16;
        report->databases = mem_realloc(report->databases, report->room * sizeof *report->databases);
    }
    report->databases[report->count++] = *figures;
}

static void note_progress(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    const struct report *report = context;
    check_progress(report->path, bytes_done, bytes_total);
}

static const char *const type_names[SNAPSHOT_TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};

static void print_types(const struct snapshot_database_figures *database)
{
    bool is_first = true;
    for (int i = 0; i < SNAPSHOT_TYPE_COUNT; i++) {
        const struct snapshot_type_figures *type = &database->types[i];
        if (type->keys == 0)
            continue;
        const char *format = check_tool.is_json
            ? "%s\"%s\": {\"keys\": %" PRIu64 ", \"expiring\": %" PRIu64 ", \"key_bytes\": %" PRIu64
              ", \"value_bytes\": %" PRIu64 "}"
            : "%s    %s: %" PRIu64 " keys, %" PRIu64 " of them expire, %" PRIu64 " bytes of names, %" PRIu64
              " of values\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        printf(format, is_first || !check_tool.is_json ? "" : ", ", type_names[i], type->keys, type->expiring,
               type->key_bytes, type->value_bytes);
#pragma GCC diagnostic pop
        is_first = false;
    }
}

static void print_databases(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct snapshot_database_figures *database = &report->databases[i];
        if (check_tool.is_json) {
            printf("%s{\"db\": %d, \"keys\": %" PRIu64 ", \"expiring\": %" PRIu64 ", \"expired\": %" PRIu64
                   ", \"types\": {", i ? ", " : "", database->db, database->keys, database->expiring,
                   database->expired);
            print_types(database);
            printf("}}");
        } else {
            printf("  db%d: %" PRIu64 " keys, %" PRIu64 " expire, %" PRIu64 " of them have expired\n", database->db,
                   database->keys, database->expiring, database->expired);
            print_types(database);
        }
    }
}

/* Without a journal a lone store merely counts its writes. */
static bool has_order(const struct snapshot_head *head)
{
    return head->state.len > 0;
}

static void print_json(const struct report *report, const struct snapshot_file_figures *figures)
{
    const struct snapshot_head *head = &report->head;
    char created[CHECK_TIME_MAX], logical[CHECK_TIME_MAX];
    printf(", \"status\": \"ok\", \"format\": %" PRIu32 ", \"cluster\": \"%016" PRIx64 "\", \"position\": %" PRIu64,
           report->version, head->cluster, head->position);
    if (has_order(head))
        printf(", \"lap\": %" PRIu64 ", \"lane\": %u", check_lap_of(head->position), check_lane_of(head->position));
    printf(", \"created\": \"%s\", \"logical_time\": \"%s\", \"logical_time_ms\": %" PRId64,
           check_time_text(head->created_ms, created), check_time_text(head->logical_time_ms, logical),
           head->logical_time_ms);
    printf(", \"keys\": %" PRIu64 ", \"databases\": [", figures->keys);
    print_databases(report);
    printf("], \"file_bytes\": %" PRIu64 ", \"content_bytes\": %" PRIu64 ", \"order_state_bytes\": %zu, "
           "\"compression\": \"%s\", \"digest\": \"%016" PRIx64 "%016" PRIx64 "\"}",
           figures->file_bytes, figures->content_bytes, head->state.len, figures->is_compressed ? "lz4" : "no",
           figures->digest.high, figures->digest.low);
}

static void print_words(const struct report *report, const struct snapshot_file_figures *figures)
{
    const struct snapshot_head *head = &report->head;
    char created[CHECK_TIME_MAX], logical[CHECK_TIME_MAX];
    printf("  format %" PRIu32 ", cluster %016" PRIx64 ", created %s\n", report->version, head->cluster,
           check_time_text(head->created_ms, created));
    printf("  data as of position %" PRIu64, head->position);
    if (has_order(head))
        printf(" (lap %" PRIu64 ", lane %u)", check_lap_of(head->position), check_lane_of(head->position));
    printf(", logical time %s\n", check_time_text(head->logical_time_ms, logical));
    print_databases(report);
    printf("  %" PRIu64 " keys, %" PRIu64 " bytes, %" PRIu64 " unpacked, compression %s\n", figures->keys,
           figures->file_bytes, figures->content_bytes, figures->is_compressed ? "lz4" : "no");
    printf("  digest %016" PRIx64 "%016" PRIx64 "\n  good\n", figures->digest.high, figures->digest.low);
}

void check_snapshot(const char *path)
{
    struct report report = {.path = path};
    struct snapshot_visitor visitor = {.context = &report,
                                       .on_head = note_head,
                                       .on_database = note_database,
                                       .on_progress = note_progress};
    struct snapshot_file_figures figures;
    char error[SNAPSHOT_ERROR_MAX] = "";
    enum status status = snapshot_check_file(path, &visitor, &figures, error);
    /* Behind the head a mismatch is not of versions but of the digest. */
    if (status == STATUS_MISMATCH && report.version != 0)
        status = STATUS_MALFORMED;
    if (status != STATUS_OK) {
        check_report_error("snapshot", path, status, error);
    } else {
        check_begin("snapshot", path);
        (check_tool.is_json ? print_json : print_words)(&report, &figures);
    }
    mem_free(report.databases);
}

/* --- replica.state ------------------------------------------------------------------ */

static const char *const state_names[] = {"self", "incarnation", "epoch", "rejoining", "member"};
enum { STATE_NAMES = sizeof state_names / sizeof *state_names };

static void print_state(const struct state_file *file)
{
    printf(check_tool.is_json ? ", \"status\": \"ok\"" : " ");
    for (int i = 0; i < STATE_NAMES; i++) {
        struct slice value = state_file_get(file, state_names[i]);
        if (!value.ptr)
            continue;
        if (check_tool.is_json) {
            printf(", \"%s\": ", state_names[i]);
            check_print_text(value);
        } else {
            printf(" %s %.*s%s", state_names[i], (int)value.len, value.ptr, i + 1 < STATE_NAMES ? "," : "");
        }
    }
    printf(check_tool.is_json ? "}" : "\n  good\n");
}

void check_state(const char *path)
{
    struct state_file file;
    state_file_init(&file);
    enum status status = state_file_read(&file, path);
    if (status == STATUS_OK) {
        check_begin("identity", path);
        print_state(&file);
    } else {
        check_report_error("identity", path, status == STATUS_NOT_FOUND ? STATUS_IO : status,
                           status == STATUS_MALFORMED ? "damaged: without it a replica does not know what it is"
                                                      : strerror(errno));
    }
    state_file_deinit(&file);
}
