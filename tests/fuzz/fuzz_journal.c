/* Goal: no directory, however its files were made, makes the opener crash, read beyond
 * its bytes or hand out records out of order; what it opened can be written, closed and
 * opened again with all of it there.
 * Method: libFuzzer over a script that builds segments: headers and records with good
 * checksums and any contents, raw bytes, flipped bytes; on a disk in memory. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/persist/disk.h"
#include "base/check.h"
#include "base/log.h"
#include "persist/journal.h"
#include "persist/journal_format.h"

enum { NONCE = 77, FILE_MAX = 24 << 10 };

struct script {
    const uint8_t *data;
    size_t size;
};

static uint8_t next_byte(struct script *s)
{
    if (s->size == 0)
        return 0;
    s->size--;
    return *s->data++;
}

struct builder {
    unsigned char bytes[FILE_MAX];
    size_t size;
    uint64_t number, seq;
};

static void put_header(struct builder *b, struct script *s)
{
    uint8_t flags = next_byte(s);
    struct journal_header header = {
        .number = b->number + (flags & 1 ? 0u : flags >> 7),
        .nonce = NONCE,
        .first_seq = flags & 2 ? b->seq + 1 : flags & 4 ? next_byte(s) : 0,
        .capacity = FILE_MAX,
        .cluster = flags & 8 ? 0 : 7,
        .member = 1,
    };
    journal_header_encode(&header, b->bytes);
    if (flags & 16)
        b->bytes[next_byte(s)] ^= next_byte(s);
    if (flags & 32)
        b->bytes[JOURNAL_HEADER_COPY_AT + next_byte(s)] ^= next_byte(s);
    b->size = JOURNAL_HEADER_BYTES;
}

/* A record with a good checksum. */
static void put_record(struct builder *b, struct script *s, bool is_start)
{
    uint8_t flags = next_byte(s);
    uint32_t length = is_start ? JOURNAL_MARK_BYTES : next_byte(s);
    uint64_t size = journal_record_size(length);
    if (b->size + size > FILE_MAX)
        return;
    unsigned char *record = b->bytes + b->size;
    memset(record, 0, size);
    if (is_start)
        journal_mark_encode(flags & 1 ? JOURNAL_MARK_CLOSE : JOURNAL_MARK_START, 5, record + JOURNAL_RECORD_HEAD);
    else
        for (uint32_t i = 0; i < length; i++)
            record[JOURNAL_RECORD_HEAD + i] = (unsigned char)(flags + i);
    b->seq += flags & 2 ? (uint64_t)(int64_t)(int8_t)next_byte(s) : 1;
    if (b->seq == 0)
        b->seq = 1;
    uint64_t behind = flags & 4 ? next_byte(s) % 16 : 1;
    struct journal_record_head head = {
        .length = length,
        .kind = is_start ? 0 : flags & 8 ? next_byte(s) : 3,
        .mode = (enum journal_mode)(flags >> 6 == 3 ? 0 : flags >> 6),
        .seq = b->seq,
        .flushed_seq = b->seq > behind + 1 ? b->seq - 1 - behind : 0,
    };
    journal_record_seal(record, &head, flags & 16 ? NONCE + 1 : NONCE);
    if (flags & 32)
        record[next_byte(s) % size] ^= next_byte(s);
    b->size += size;
}

static void finish(struct builder *b)
{
    char name[JOURNAL_NAME_MAX];
    journal_segment_name(b->number, name);
    disk_put(name, b->bytes, b->size);
    b->number++;
    b->size = 0;
    memset(b->bytes, 0, sizeof b->bytes);
}

static void build(struct script *s)
{
    static struct builder b;
    memset(&b, 0, sizeof b);
    b.number = 1;
    while (s->size > 0 && b.number < 12) {
        switch (next_byte(s) % 8) {
        case 0:
            if (b.size)
                finish(&b);
            put_header(&b, s);
            put_record(&b, s, true);
            break;
        case 1:
            if (b.size < FILE_MAX)
                b.bytes[b.size++] = next_byte(s);
            break;
        case 2: b.size += 8 * (size_t)next_byte(s) < FILE_MAX - b.size ? 8 * (size_t)next_byte(s) : 0; break;
        case 3: b.size -= b.size > 200 ? next_byte(s) % 64 : 0; break;
        default: b.size = (b.size + 7) / 8 * 8; put_record(&b, s, false);
        }
        if (b.size > FILE_MAX)
            b.size = FILE_MAX;
    }
    finish(&b);
}

static struct {
    uint64_t last, count;
} seen;

static enum status visit(void *context, const struct journal_record *record)
{
    (void)context;
    CHECK(record->kind != 0);
    CHECK(record->seq > seen.last);
    unsigned sum = 0; /* touches every byte */
    for (size_t i = 0; i < record->bytes.len; i++)
        sum += (unsigned char)record->bytes.ptr[i];
    seen.last = record->seq + (sum & 0);
    seen.count++;
    return STATUS_OK;
}

static enum status open_it(struct journal **j, struct journal_found *found)
{
    static char error[JOURNAL_ERROR_MAX];
    struct journal_options options = {.dir = "/disk", .identity = {7, 1, "boot"}, .segment_bytes = JOURNAL_SEGMENT_MIN};
    seen.last = seen.count = 0;
    enum status status = journal_open(j, &options, visit, NULL, found, error);
    CHECK((status == STATUS_OK) == (error[0] == 0));
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_set_level(LOG_LEVEL_WARNING + 1);
    disk_format(1);
    struct script script = {data, size};
    build(&script);
    struct journal *j;
    struct journal_found found;
    if (open_it(&j, &found) != STATUS_OK)
        return 0;
    CHECK(found.records == seen.count);
    uint64_t count = seen.count;
    struct slice part = SLICE_LITERAL("more");
    uint64_t seq = journal_append(j, 1, &part, 1);
    CHECK(seq > found.last_seq);
    seen.last = seen.count = 0;
    CHECK(journal_write(j) == STATUS_OK);
    struct journal_figures figures;
    journal_get_figures(j, &figures);
    CHECK(journal_read(j, figures.first_seq, SIZE_MAX, visit, NULL) == STATUS_OK);
    CHECK(seen.count == count + 1);
    CHECK(journal_close(j) == STATUS_OK);
    CHECK(open_it(&j, &found) == STATUS_OK);
    CHECK(found.is_closed);
    CHECK(seen.count == count + 1);
    CHECK(seen.last == seq);
    journal_free(j);
    return 0;
}
