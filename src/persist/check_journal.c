/* kvstore-check: journals.  A record's bytes are what replica/memory.h makes of the
 * order's records: a message of consensus/message_code.h, or a lap alone. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "consensus/message_code.h"
#include "persist/check_tool.h"
#include "persist/journal_scan.h"

enum {
    KINDS = 256,
    LOOKS_MAX = 10, /* at a journal that is being written */
    PROGRESS_RECORDS = 256,
};

struct kind_figures {
    uint64_t records, bytes, slots, batches, first_lap, last_lap;
    bool has_laps;
};

struct report {
    const char *path;
    struct journal_files files;
    struct journal_verdict verdict;
    struct kind_figures kinds[KINDS];
    uint64_t newest_position; /* of what was decided not to be empty */
    uint64_t newest_clock_ms, malformed, malformed_seq, seen;
    int64_t last_mark_ms;
    bool is_in_use;
};

/* --- records ----------------------------------------------------------------------- */

static void note_laps(struct kind_figures *figures, uint64_t first, uint64_t last)
{
    figures->first_lap = figures->has_laps && figures->first_lap < first ? figures->first_lap : first;
    figures->last_lap = figures->has_laps && figures->last_lap > last ? figures->last_lap : last;
    figures->has_laps = true;
}

static void note_message(struct report *report, int kind, const struct rabia_message *message)
{
    struct kind_figures *figures = &report->kinds[kind];
    uint64_t count = message->count ? message->count : 1, last = message->lap + count - 1;
    figures->slots += count;
    note_laps(figures, message->lap, last);
    if (message->batch) {
        figures->batches++;
        if (message->batch->clock_ms > report->newest_clock_ms)
            report->newest_clock_ms = message->batch->clock_ms;
    }
    if (kind == RABIA_RECORD_DECIDED && message->value == RABIA_BATCH && last * 16 + message->lane > report->newest_position)
        report->newest_position = last * 16 + message->lane;
}

/* False: the bytes are no record of the order. */
static bool read_record(struct report *report, int kind, struct slice payload)
{
    const char *at = payload.ptr, *end = at + payload.len;
    struct rabia_message message = {0};
    if (kind == SEED_RECORD)
        return payload.len == sizeof(uint64_t);
    if (kind == RABIA_RECORD_LAP_MARK || kind == RABIA_RECORD_REJOIN) {
        if (varint_read(at, end, &message.lap) != end)
            return false;
        note_laps(&report->kinds[kind], message.lap, message.lap);
        return true;
    }
    at = message_read_head(at, end, &message, payload.len);
    if (!at)
        return false;
    bool is_whole = (size_t)(end - at) == (message.batch ? message.batch->size : 0);
    if (is_whole)
        note_message(report, kind, &message);
    batch_release(message.batch);
    return is_whole;
}

static void show_progress(struct report *report, const struct journal_file *file, uint64_t offset)
{
    uint64_t done = offset, total = 0;
    for (size_t i = 0; i < report->files.count; i++) {
        total += report->files.items[i].size;
        done += report->files.items[i].number < file->number ? report->files.items[i].size : 0;
    }
    check_progress(report->path, done, total);
}

static enum status note_record(void *context, const struct journal_file *file, uint64_t offset,
                               const struct journal_record_head *head, struct slice payload)
{
    struct report *report = context;
    report->kinds[head->kind].records++;
    report->kinds[head->kind].bytes += payload.len;
    if (report->seen++ % PROGRESS_RECORDS == 0)
        show_progress(report, file, offset);
    if (head->kind == 0)
        (void)journal_mark_decode(payload, &report->last_mark_ms);
    else if (!read_record(report, head->kind, payload) && report->malformed++ == 0)
        report->malformed_seq = head->seq;
    return STATUS_OK;
}

/* --- printing ---------------------------------------------------------------------- */

static const char *const mode_names[] = {"always", "everysec", "no"};

static const char *kind_name(int kind)
{
    switch (kind) {
    case 0: return "marks";
    case RABIA_RECORD_SAID: return "said";
    case RABIA_RECORD_DECIDED: return "decided";
    case RABIA_RECORD_LAP_MARK: return "lap marks";
    case RABIA_RECORD_REJOIN: return "rejoins";
    case SEED_RECORD: return "epochs";
    default: return "unknown";
    }
}

static void print_segment_json(const struct journal_file *file, uint64_t used, const char *made)
{
    printf("{\"number\": %" PRIu64 ", \"path\": ", file->number);
    check_print_text(slice_from(file->path));
    printf(", \"first_seq\": %" PRIu64 ", \"last_seq\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"used_bytes\": %" PRIu64
           ", \"begun\": \"%s\", \"header_copies\": %d}",
           file->first_seq, file->last_seq, file->size, used, made, file->is_one_copy ? 1 : 2);
}

static void print_segments(const struct report *report)
{
    char time[CHECK_TIME_MAX];
    for (size_t i = 0; i < report->files.count; i++) {
        const struct journal_file *file = &report->files.items[i];
        const char *made = check_time_text(file->begun_ms ? file->begun_ms : file->header.created_ms, time);
        uint64_t used = file->end > JOURNAL_HEADER_BYTES ? file->end : JOURNAL_HEADER_BYTES;
        const char *note = file->is_one_copy ? ", one copy of its header is damaged" : "";
        if (check_tool.is_json) {
            printf("%s", i ? ", " : "");
            print_segment_json(file, used, made);
        } else if (file->last_seq == 0) {
            printf("  segment %" PRIu64 ": not used%s\n", file->number, note);
        } else {
            printf("  segment %" PRIu64 ": seq %" PRIu64 " to %" PRIu64 ", %" PRIu64 " of %" PRIu64
                   " bytes used, begun %s%s\n", file->number, file->first_seq, file->last_seq, used, file->size, made,
                   note);
        }
    }
}

static void print_kind_json(int kind, const struct kind_figures *figures)
{
    printf("{\"kind\": %d, \"name\": \"%s\", \"records\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"slots\": %" PRIu64
           ", \"batches\": %" PRIu64, kind, kind_name(kind), figures->records, figures->bytes, figures->slots,
           figures->batches);
    if (figures->has_laps)
        printf(", \"first_lap\": %" PRIu64 ", \"last_lap\": %" PRIu64, figures->first_lap, figures->last_lap);
    printf("}");
}

static void print_kind_words(int kind, const struct kind_figures *figures)
{
    printf("  %s: %" PRIu64 " records, %" PRIu64 " bytes", kind_name(kind), figures->records, figures->bytes);
    if (figures->slots)
        printf(", %" PRIu64 " slots, %" PRIu64 " batches with their contents", figures->slots, figures->batches);
    if (figures->has_laps)
        printf(", laps %" PRIu64 " to %" PRIu64, figures->first_lap, figures->last_lap);
    printf("\n");
}

static void print_kinds(const struct report *report)
{
    bool is_first = true;
    for (int kind = 0; kind < KINDS; kind++) {
        const struct kind_figures *figures = &report->kinds[kind];
        if (figures->records == 0)
            continue;
        if (check_tool.is_json && !is_first)
            printf(", ");
        (check_tool.is_json ? print_kind_json : print_kind_words)(kind, figures);
        is_first = false;
    }
}

static void print_end_json(const struct report *report)
{
    const struct journal_verdict *verdict = &report->verdict;
    bool is_torn = !verdict->is_damaged && verdict->torn_bytes > 0;
    printf(", \"status\": \"%s\", \"records\": %" PRIu64 ", \"last_seq\": %" PRIu64 ", \"flushed_seq\": %" PRIu64
           ", \"mode\": \"%s\", \"closed\": %s, \"cut_seq\": %" PRIu64 ", \"in_use\": %s",
           verdict->is_damaged || report->malformed ? "damaged" : is_torn ? "torn" : "ok", verdict->records,
           verdict->last_seq, verdict->flushed_seq, mode_names[verdict->mode], verdict->is_closed ? "true" : "false",
           verdict->cut_seq, report->is_in_use ? "true" : "false");
    printf(", \"position\": %" PRIu64 ", \"newest_clock_ms\": %" PRIu64 ", \"malformed_records\": %" PRIu64
           ", \"torn_bytes\": %" PRIu64 ", \"torn\": ", report->newest_position, report->newest_clock_ms,
           report->malformed, verdict->torn_bytes);
    if (is_torn) {
        printf("{\"path\": ");
        check_print_text(slice_from(report->files.items[verdict->end_index].path));
        printf(", \"offset\": %" PRIu64 "}", verdict->end_offset);
    } else {
        printf("null");
    }
    printf(", \"damage\": ");
    if (verdict->is_damaged) {
        printf("{\"path\": ");
        check_print_text(slice_from(verdict->damaged_path));
        printf(", \"offset\": %" PRIu64 ", \"what\": ", verdict->damaged_offset);
        check_print_text(slice_from(verdict->damage));
        printf(", \"good_records_behind\": %" PRIu64 ", \"first_seq_behind\": %" PRIu64 ", \"last_seq_behind\": %" PRIu64
               "}", verdict->lost_records, verdict->lost_first_seq, verdict->lost_last_seq);
    } else {
        printf("null");
    }
}

static void print_damage(const struct journal_verdict *verdict)
{
    printf("  DAMAGED: %s: offset %" PRIu64 ": %s\n", verdict->damaged_path, verdict->damaged_offset, verdict->damage);
    printf("  good records behind it: %" PRIu64, verdict->lost_records);
    if (verdict->lost_records)
        printf(", seq %" PRIu64 " to %" PRIu64, verdict->lost_first_seq, verdict->lost_last_seq);
    printf("\n");
    if (!check_tool.is_cut)
        printf("  the server will not start on it; --cut gives up everything from there on\n");
}

static void print_end(const struct report *report)
{
    const struct journal_verdict *verdict = &report->verdict;
    char time[CHECK_TIME_MAX];
    if (verdict->last_seq)
        printf("  %" PRIu64 " records up to seq %" PRIu64 ", appendfsync %s, last mark %s%s\n", verdict->records,
               verdict->last_seq, mode_names[verdict->mode], check_time_text(report->last_mark_ms, time),
               verdict->is_closed ? ", cleanly closed" : "");
    if (report->newest_position)
        printf("  newest decision at position %" PRIu64 " (lap %" PRIu64 ", lane %u)\n", report->newest_position,
               check_lap_of(report->newest_position), check_lane_of(report->newest_position));
    if (report->newest_clock_ms)
        printf("  newest batch of %s\n", check_time_text((int64_t)report->newest_clock_ms, time));
    if (verdict->cut_seq)
        printf("  cut by kvstore-check at seq %" PRIu64 "\n", verdict->cut_seq);
    if (report->is_in_use)
        printf("  in use by a server: what is being written now may look torn\n");
    if (report->malformed)
        printf("  DAMAGED: %" PRIu64 " records whose checksums are right, but which this program cannot read, the first "
               "at seq %" PRIu64 ": perhaps a newer kvstore wrote them\n", report->malformed, report->malformed_seq);
    if (verdict->is_damaged)
        print_damage(verdict);
    else if (verdict->torn_bytes)
        printf("  torn tail: %s: offset %" PRIu64 ": %" PRIu64 " bytes that were not flushed when the machine stopped; "
               "the server cuts them when it starts\n", report->files.items[verdict->end_index].path,
               verdict->end_offset, verdict->torn_bytes);
    else if (!report->malformed)
        printf("  good\n");
}

static void print_report(const struct report *report)
{
    check_begin("journal", report->path);
    const struct journal_header *header = &report->files.items[0].header;
    if (check_tool.is_json) {
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

/* --- judging ----------------------------------------------------------------------- */

/* What is lost was said above; the mark in the journal tells the server. */
static void cut(struct report *report)
{
    char error[JOURNAL_ERROR_MAX] = "";
    enum status status = journal_scan_cut(&report->files, &report->verdict, report->path, report->verdict.is_damaged,
                                          error);
    if (status != STATUS_OK)
        check_worsen(EXIT_SYSTEM);
    if (check_tool.is_json) {
        printf(", \"cut\": %s", status == STATUS_OK ? "true" : "false");
        if (status != STATUS_OK) {
            printf(", \"error\": ");
            check_print_text(slice_from(error));
        }
    } else if (status == STATUS_OK) {
        printf("  CUT: everything behind seq %" PRIu64 " is gone\n", report->verdict.last_seq);
        if (report->verdict.is_damaged)
            printf("  A member of a cluster has lost memory by this: it will rejoin before it speaks.\n");
    } else {
        printf("  not cut: %s\n", error);
    }
}

static enum status look(struct report *report, bool is_dir, char error[static JOURNAL_ERROR_MAX])
{
    *report = (struct report){.path = report->path, .is_in_use = report->is_in_use};
    enum status status = is_dir ? journal_files_open(&report->files, report->path, check_tool.is_cut, error)
                                : journal_files_open_one(&report->files, report->path, false, error);
    if (status == STATUS_OK && report->files.count > 0)
        status = journal_scan(&report->files, &report->verdict, note_record, report, error);
    return status;
}

/* A server that writes meanwhile puts good records where none were a moment ago, and
 * removes segments: only what is seen at the same place twice is damage. */
static enum status look_until_sure(struct report *report, bool is_dir, char error[static JOURNAL_ERROR_MAX])
{
    enum status status = look(report, is_dir, error);
    for (int i = 1; report->is_in_use && i < LOOKS_MAX; i++) {
        const struct journal_verdict *verdict = &report->verdict;
        if (status == STATUS_OK && !verdict->is_damaged)
            break;
        uint64_t offset = verdict->damaged_offset, last_seq = verdict->last_seq;
        journal_files_close(&report->files);
        status = look(report, is_dir, error);
        if (status != STATUS_OK || !verdict->is_damaged)
            continue;
        if (offset == verdict->damaged_offset && last_seq == verdict->last_seq)
            return STATUS_OK;
        if (i + 1 == LOOKS_MAX) /* it is where the server writes, wherever that is */
            report->verdict.is_damaged = false;
    }
    return status;
}

static void conclude(struct report *report)
{
    const struct journal_verdict *verdict = &report->verdict;
    bool is_torn = verdict->torn_bytes > 0;
    print_report(report);
    if (check_tool.is_cut && (verdict->is_damaged || is_torn))
        cut(report);
    else if (verdict->is_damaged)
        check_worsen(EXIT_DAMAGED);
    else if (is_torn && !report->is_in_use)
        check_worsen(EXIT_TORN);
    if (report->malformed)
        check_worsen(EXIT_DAMAGED);
    if (check_tool.is_json)
        printf("}");
}

void check_journal(const char *path, bool is_dir, bool is_in_use)
{
    struct report *report = mem_calloc(1, sizeof *report);
    *report = (struct report){.path = path, .is_in_use = is_in_use};
    char error[JOURNAL_ERROR_MAX] = "";
    enum status status = look_until_sure(report, is_dir, error);
    if (status != STATUS_OK)
        check_report_error("journal", path, status, error);
    else if (report->files.count > 0)
        conclude(report);
    journal_files_close(&report->files);
    mem_free(report);
}
