/* kvstore-check: verifies journals and snapshots, says what they hold, and cuts a
 * journal where it is damaged when told to.
 *
 * It judges as the server does when it starts (journal_scan.h), and changes nothing
 * without --cut.  Exit status:
 *
 *   0  all good
 *   1  the journal has a torn tail, which the server cuts by itself when it starts
 *   2  something is damaged
 *   3  no journal or snapshot of ours, a newer version, or in use (with --cut)
 *   4  the system refused to read or write
 *  64  wrong arguments */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "persist/file.h"
#include "persist/journal_scan.h"
#include "persist/snapshot.h"

enum { EXIT_TORN = 1, EXIT_DAMAGED = 2, EXIT_FOREIGN = 3, EXIT_SYSTEM = 4, EXIT_ARGUMENTS = 64 };

static struct {
    bool is_json, is_cut;
    bool is_first; /* of the list of files; in JSON commas stand between */
    int worst;
} check = {.is_first = true};

static void worsen(int status)
{
    check.worst = status > check.worst ? status : check.worst;
}

static int exit_of(enum status status)
{
    switch (status) {
    case STATUS_OK: return 0;
    case STATUS_IO: return EXIT_SYSTEM;
    case STATUS_MALFORMED: return EXIT_DAMAGED;
    default: return EXIT_FOREIGN;
    }
}

/* --- words --------------------------------------------------------------------- */

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static const char *time_text(int64_t ms, char text[static 32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        snprintf(text, 32, "?");
    return text;
}

static void begin_file(const char *what, const char *path)
{
    if (check.is_json) {
        printf("%s\n  {\"type\": \"%s\", \"path\": ", check.is_first ? "" : ",", what);
        print_text(path);
    } else {
        printf("%s: %s\n", path, what);
    }
    check.is_first = false;
}

static void report_error(const char *what, const char *path, enum status status, const char *error)
{
    begin_file(what, path);
    if (check.is_json) {
        printf(", \"status\": \"%s\", \"error\": ", status_text(status));
        print_text(error);
        printf("}");
    } else {
        printf("  %s\n", error);
    }
    worsen(exit_of(status));
}

/* --- journals ------------------------------------------------------------------- */

struct kind_figures {
    uint64_t records, bytes;
};

struct journal_report {
    const char *path;
    struct journal_files files;
    struct journal_verdict verdict;
    struct kind_figures kinds[256];
    int64_t last_mark_ms;
    bool is_in_use;
};

static enum status note_record(void *context, const struct journal_file *file, uint64_t offset,
                               const struct journal_record_head *head, struct slice payload)
{
    struct journal_report *report = context;
    (void)file, (void)offset;
    report->kinds[head->kind].records++;
    report->kinds[head->kind].bytes += payload.len;
    if (head->kind == 0)
        (void)journal_mark_decode(payload, &report->last_mark_ms);
    return STATUS_OK;
}

static const char *const mode_names[] = {"always", "everysec", "no"};

static void print_segments(const struct journal_report *report)
{
    char time[32];
    for (size_t i = 0; i < report->files.count; i++) {
        const struct journal_file *file = &report->files.items[i];
        const char *made = time_text(file->begun_ms ? file->begun_ms : file->header.created_ms, time);
        uint64_t used = file->end > JOURNAL_HEADER_BYTES ? file->end : JOURNAL_HEADER_BYTES;
        if (check.is_json) {
            printf("%s{\"number\": %" PRIu64 ", \"path\": ", i ? ", " : "", file->number);
            print_text(file->path);
            printf(", \"first_seq\": %" PRIu64 ", \"last_seq\": %" PRIu64 ", \"bytes\": %" PRIu64
                   ", \"used_bytes\": %" PRIu64 ", \"begun\": \"%s\", \"header_copies\": %d}",
                   file->first_seq, file->last_seq, file->size, used, made, file->is_one_copy ? 1 : 2);
        } else if (file->last_seq == 0) {
            printf("  segment %" PRIu64 ": not used%s\n", file->number, file->is_one_copy ? ", one copy of its header is damaged" : "");
        } else {
            printf("  segment %" PRIu64 ": seq %" PRIu64 " to %" PRIu64 ", %" PRIu64 " of %" PRIu64
                   " bytes used, begun %s%s\n", file->number, file->first_seq, file->last_seq, used, file->size, made,
                   file->is_one_copy ? ", one copy of its header is damaged" : "");
        }
    }
}

static void print_kinds(const struct journal_report *report)
{
    bool is_first = true;
    for (int kind = 0; kind < 256; kind++) {
        const struct kind_figures *figures = &report->kinds[kind];
        if (figures->records == 0)
            continue;
        if (check.is_json)
            printf("%s{\"kind\": %d, \"records\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", is_first ? "" : ", ", kind,
                   figures->records, figures->bytes);
        else
            printf("  kind %d%s: %" PRIu64 " records, %" PRIu64 " bytes\n", kind, kind ? "" : " (marks)",
                   figures->records, figures->bytes);
        is_first = false;
    }
}

static void print_end_json(const struct journal_report *report)
{
    const struct journal_verdict *verdict = &report->verdict;
    printf(", \"records\": %" PRIu64 ", \"last_seq\": %" PRIu64 ", \"flushed_seq\": %" PRIu64
           ", \"mode\": \"%s\", \"closed\": %s, \"cut_seq\": %" PRIu64 ", \"torn_bytes\": %" PRIu64
           ", \"in_use\": %s, \"damage\": ",
           verdict->records, verdict->last_seq, verdict->flushed_seq, mode_names[verdict->mode],
           verdict->is_closed ? "true" : "false", verdict->cut_seq, verdict->torn_bytes,
           report->is_in_use ? "true" : "false");
    if (verdict->is_damaged) {
        printf("{\"path\": ");
        print_text(verdict->damaged_path);
        printf(", \"offset\": %" PRIu64 ", \"what\": ", verdict->damaged_offset);
        print_text(verdict->damage);
        printf(", \"good_records_behind\": %" PRIu64 ", \"first_seq_behind\": %" PRIu64 ", \"last_seq_behind\": %" PRIu64
               "}", verdict->lost_records, verdict->lost_first_seq, verdict->lost_last_seq);
    } else {
        printf("null");
    }
}

static void print_end(const struct journal_report *report)
{
    const struct journal_verdict *verdict = &report->verdict;
    char time[32];
    if (verdict->last_seq)
        printf("  %" PRIu64 " records up to seq %" PRIu64 ", appendfsync %s, last mark %s%s\n", verdict->records,
               verdict->last_seq, mode_names[verdict->mode], time_text(report->last_mark_ms, time),
               verdict->is_closed ? ", cleanly closed" : "");
    if (verdict->cut_seq)
        printf("  cut by kvstore-check at seq %" PRIu64 "\n", verdict->cut_seq);
    if (report->is_in_use)
        printf("  in use by a server: what is being written now may look torn\n");
    if (verdict->is_damaged) {
        printf("  DAMAGED: %s: offset %" PRIu64 ": %s\n", verdict->damaged_path, verdict->damaged_offset,
               verdict->damage);
        printf("  good records behind it: %" PRIu64, verdict->lost_records);
        if (verdict->lost_records)
            printf(", seq %" PRIu64 " to %" PRIu64, verdict->lost_first_seq, verdict->lost_last_seq);
        printf("\n");
    } else if (verdict->torn_bytes) {
        printf("  torn tail: %s: offset %" PRIu64 ": %" PRIu64 " bytes that were not flushed when the machine stopped; "
               "the server cuts them when it starts\n", report->files.items[verdict->end_index].path,
               verdict->end_offset, verdict->torn_bytes);
    } else {
        printf("  good\n");
    }
}

static void print_journal(const struct journal_report *report)
{
    begin_file("journal", report->path);
    const struct journal_header *header = &report->files.items[0].header;
    if (check.is_json) {
        printf(", \"format\": %d, \"cluster\": \"%016" PRIx64 "\", \"member\": %u, \"segments\": [",
               JOURNAL_FORMAT_VERSION, header->cluster, (unsigned)header->member);
        print_segments(report);
        printf("], \"kinds\": [");
        print_kinds(report);
        printf("]");
        print_end_json(report);
    } else {
        printf("  format %d, member %u of cluster %016" PRIx64 "\n", JOURNAL_FORMAT_VERSION, (unsigned)header->member,
               header->cluster);
        print_segments(report);
        print_kinds(report);
        print_end(report);
    }
}

/* What is lost was said above; the mark in the journal tells the server. */
static void cut_journal(struct journal_report *report)
{
    char error[JOURNAL_ERROR_MAX] = "";
    enum status status = journal_scan_cut(&report->files, &report->verdict, report->path, report->verdict.is_damaged, error);
    if (status != STATUS_OK)
        worsen(EXIT_SYSTEM);
    if (check.is_json) {
        printf(", \"cut\": %s", status == STATUS_OK ? "true" : "false");
    } else if (status == STATUS_OK) {
        printf("  CUT: everything behind seq %" PRIu64 " is gone\n", report->verdict.last_seq);
        if (report->verdict.is_damaged)
            printf("  A member of a cluster has lost memory by this: it will rejoin before it speaks.\n");
    } else {
        printf("  %s\n", error);
    }
}

static void check_journal(struct journal_report *report, bool is_dir)
{
    char error[JOURNAL_ERROR_MAX] = "";
    enum status status = is_dir ? journal_files_open(&report->files, report->path, check.is_cut, error)
                                : journal_files_open_one(&report->files, report->path, false, error);
    if (status == STATUS_OK && report->files.count == 0)
        return;
    if (status == STATUS_OK)
        status = journal_scan(&report->files, &report->verdict, note_record, report, error);
    if (status != STATUS_OK) {
        report_error("journal", report->path, status, error);
        return;
    }
    print_journal(report);
    const struct journal_verdict *verdict = &report->verdict;
    if (check.is_cut && (verdict->is_damaged || verdict->torn_bytes > 0))
        cut_journal(report);
    else if (verdict->is_damaged)
        worsen(EXIT_DAMAGED);
    else if (verdict->torn_bytes > 0 && !report->is_in_use)
        worsen(EXIT_TORN);
    if (check.is_json)
        printf("}");
}

/* --- snapshots -------------------------------------------------------------------- */

struct snapshot_report {
    struct snapshot_head head;
    uint32_t version;
};

static void note_head(void *context, const struct snapshot_head *head, uint32_t version)
{
    struct snapshot_report *report = context;
    report->head = *head;
    report->version = version;
}

static void check_snapshot(const char *path)
{
    struct snapshot_report report = {0};
    struct snapshot_visitor visitor = {.context = &report, .on_head = note_head};
    struct snapshot_file_figures figures;
    char error[SNAPSHOT_ERROR_MAX] = "", time[32];
    enum status status = snapshot_check_file(path, &visitor, &figures, error);
    if (status != STATUS_OK) {
        report_error("snapshot", path, status, error);
        return;
    }
    begin_file("snapshot", path);
    const char *format = check.is_json
        ? ", \"format\": %" PRIu32 ", \"cluster\": \"%016" PRIx64 "\", \"position\": %" PRIu64 ", \"created\": \"%s\", "
          "\"keys\": %" PRIu64 ", \"file_bytes\": %" PRIu64 ", \"content_bytes\": %" PRIu64 ", \"compression\": \"%s\", "
          "\"digest\": \"%016" PRIx64 "%016" PRIx64 "\"}"
        : "  format %" PRIu32 ", cluster %016" PRIx64 ", position %" PRIu64 ", created %s\n"
          "  %" PRIu64 " keys, %" PRIu64 " bytes, %" PRIu64 " unpacked, compression %s\n"
          "  digest %016" PRIx64 "%016" PRIx64 "\n  good\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    printf(format, report.version, report.head.cluster, report.head.position,
           time_text(report.head.created_ms, time), figures.keys, figures.file_bytes, figures.content_bytes,
           figures.is_compressed ? "lz4" : "no", figures.digest.high, figures.digest.low);
#pragma GCC diagnostic pop
}

/* --- what to check ------------------------------------------------------------------ */

enum file_type { TYPE_OTHER, TYPE_JOURNAL, TYPE_SNAPSHOT };

static enum file_type type_of(const char *path)
{
    static const unsigned char lz4_magic[] = {0x04, 0x22, 0x4d, 0x18};
    char bytes[8] = {0};
    int fd;
    if (file_open(&fd, path, O_RDONLY) != STATUS_OK)
        return TYPE_OTHER;
    enum status status = file_read(fd, bytes, sizeof bytes, 0);
    file_close(fd);
    if (status != STATUS_OK)
        return TYPE_OTHER;
    if (memcmp(bytes, "KVJOURNL", 8) == 0)
        return TYPE_JOURNAL;
    if (memcmp(bytes, "kvsnap\r\n", 8) == 0 || memcmp(bytes, lz4_magic, sizeof lz4_magic) == 0)
        return TYPE_SNAPSHOT;
    return TYPE_OTHER;
}

struct entries {
    char (*names)[256];
    size_t count, capacity;
};

static void note_entry(void *context, const char *name)
{
    struct entries *entries = context;
    uint64_t number;
    if (journal_segment_name_parse(name, &number) || journal_spare_name_parse(name, &number) || strlen(name) > 255)
        return;
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity ? 2 * entries->capacity : 16;
        entries->names = mem_realloc(entries->names, entries->capacity * sizeof *entries->names);
    }
    memcpy(entries->names[entries->count++], name, strlen(name) + 1);
}

static void check_path(const char *path, bool is_named);

/* A directory's journal and snapshots; those of its folders too, one level down. */
static void check_entries(const char *dir)
{
    struct entries entries = {0};
    if (file_list(dir, note_entry, &entries) != STATUS_OK)
        report_error("directory", dir, STATUS_IO, strerror(errno));
    for (size_t i = 0; i < entries.count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, entries.names[i]);
        check_path(path, false);
    }
    mem_free(entries.names);
}

static void check_dir(const char *path, bool is_named)
{
    struct journal_report *report = mem_calloc(1, sizeof *report);
    report->path = path;
    int lock_fd;
    if (file_open(&lock_fd, path, O_RDONLY | O_DIRECTORY) != STATUS_OK) {
        report_error("directory", path, STATUS_IO, strerror(errno));
        mem_free(report);
        return;
    }
    report->is_in_use = file_lock(lock_fd) == STATUS_AGAIN;
    if (report->is_in_use && check.is_cut)
        report_error("journal", path, STATUS_AGAIN, "in use by a server: stop it before cutting");
    else if (!check.is_cut)
        file_close(lock_fd); /* only looked: a server may start meanwhile */
    if (!report->is_in_use || !check.is_cut)
        check_journal(report, true);
    journal_files_close(&report->files);
    if (check.is_cut)
        file_close(lock_fd);
    mem_free(report);
    if (is_named)
        check_entries(path);
}

static void check_path(const char *path, bool is_named)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        report_error("file", path, STATUS_IO, strerror(errno));
        return;
    }
    if (S_ISDIR(about.st_mode)) {
        check_dir(path, is_named);
        return;
    }
    enum file_type type = S_ISREG(about.st_mode) ? type_of(path) : TYPE_OTHER;
    if (type == TYPE_SNAPSHOT) {
        check_snapshot(path);
    } else if (type == TYPE_JOURNAL && check.is_cut) {
        report_error("journal", path, STATUS_MISMATCH, "--cut takes the directory: a segment alone cannot be judged");
    } else if (type == TYPE_JOURNAL) {
        struct journal_report *report = mem_calloc(1, sizeof *report);
        report->path = path;
        check_journal(report, false);
        journal_files_close(&report->files);
        mem_free(report);
    } else if (is_named) {
        report_error("file", path, STATUS_MISMATCH, "neither a journal's segment nor a snapshot");
    }
}

static int usage(void)
{
    fputs("kvstore-check FILE|DIR ... [--json] [--cut]\n"
          "  FILE     a snapshot, or one segment of a journal\n"
          "  DIR      a server's directory: its journal and its snapshots\n"
          "  --json   for programs\n"
          "  --cut    where a journal is damaged, give up everything from there on\n"
          "Exit status: 0 good, 1 torn tail (the server cuts it), 2 damage, 3 not ours or in use,\n"
          "4 the system refused, 64 wrong arguments\n", stderr);
    return EXIT_ARGUMENTS;
}

int main(int argc, char **argv)
{
    int paths = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            check.is_json = true;
        else if (strcmp(argv[i], "--cut") == 0)
            check.is_cut = true;
        else if (argv[i][0] == '-')
            return usage();
        else
            argv[++paths] = argv[i];
    }
    if (paths == 0)
        return usage();
    if (check.is_json)
        printf("[");
    for (int i = 1; i <= paths; i++)
        check_path(argv[i], true);
    if (check.is_json)
        printf("\n]\n");
    return check.worst;
}
