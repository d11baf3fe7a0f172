#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "persist/snapshot_reader_private.h"

static const unsigned char frame_magic[] = {0x04, 0x22, 0x4d, 0x18};
static_assert(sizeof frame_magic == MAGIC_SNIFF, "the form shows in the magic of a frame");

enum {
    KEY_MEMORY_MIN = 32, /* of a key in a keyspace, its share of the table included, at the least */
    GROWTH_STEP_MIN = 1 << 20,
};

enum status snapshot_fail(struct snapshot_reader *r, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error, sizeof r->error, format, arguments);
    va_end(arguments);
    r->status = status;
    return status;
}

enum status snapshot_malformed(struct snapshot_reader *r, const char *what)
{
    return snapshot_fail(r, STATUS_MALFORMED,
                         "not a sound snapshot: %s (record %llu, ending at byte %llu of the content)", what,
                         (unsigned long long)r->ordinal, (unsigned long long)r->content_bytes);
}

/* --- content --------------------------------------------------------------- */

/* What is wanted is complete: acts on it and says what is wanted next. */
static enum status take_wanted(struct snapshot_reader *r)
{
    if (r->place != PLACE_PREFIX && !r->is_record_head_known) {
        r->record = record_head_get(r->content);
        r->is_record_head_known = true;
        enum status status = snapshot_check_record_head(r);
        r->wanted = RECORD_HEAD_BYTES + (status == STATUS_AGAIN ? record_body_bytes(&r->record) : 0);
        return status == STATUS_AGAIN && r->wanted == r->got ? take_wanted(r) : status;
    }
    enum status status = r->place == PLACE_PREFIX ? snapshot_take_prefix(r) : snapshot_take_record(r);
    r->got = 0;
    r->wanted = r->place == PLACE_END ? 0 : RECORD_HEAD_BYTES;
    return status;
}

/* Room for more of what is wanted.  It grows as bytes come, so a length that is
 * a lie takes no memory; a large buffer does not stay for small records. */
static size_t make_room(struct snapshot_reader *r)
{
    bool is_needed = r->got == r->room, is_idle = r->got == 0 && r->room > GROWTH_STEP_MIN;
    if (is_needed || is_idle) {
        size_t room = r->room < GROWTH_STEP_MIN || is_idle ? GROWTH_STEP_MIN : 2 * r->room;
        if (room > r->wanted && r->wanted > GROWTH_STEP_MIN)
            room = r->wanted;
        r->content = mem_realloc(r->content, room);
        r->room = room;
    }
    size_t end = r->wanted < r->room ? r->wanted : r->room;
    return end - r->got;
}

static enum status note_content(struct snapshot_reader *r, size_t size)
{
    r->got += size;
    r->content_bytes += size;
    return r->got == r->wanted ? take_wanted(r) : STATUS_AGAIN;
}

static enum status feed_plain(struct snapshot_reader *r, const char *bytes, size_t size)
{
    enum status status = STATUS_AGAIN;
    while (size > 0 && status == STATUS_AGAIN) {
        if (r->place == PLACE_END)
            return snapshot_malformed(r, "bytes behind the end");
        size_t room = make_room(r), piece = size < room ? size : room;
        memcpy(r->content + r->got, bytes, piece);
        bytes += piece;
        size -= piece;
        status = note_content(r, piece);
    }
    return status;
}

/* Unpacks straight into the record.  Behind the end record the frame may only
 * end: one byte of room shows whether it does. */
static enum status feed_lz4(struct snapshot_reader *r, const char *bytes, size_t size)
{
    for (bool is_full = true; size > 0 || is_full;) {
        if (r->is_frame_done)
            return size > 0 ? snapshot_malformed(r, "bytes behind the end of the LZ4 frame") : STATUS_AGAIN;
        char extra;
        bool is_end = r->place == PLACE_END;
        size_t room = is_end ? sizeof extra : make_room(r), taken = size, unpacked = room;
        size_t hint = LZ4F_decompress(r->lz4, is_end ? &extra : r->content + r->got, &unpacked, bytes, &taken, NULL);
        if (LZ4F_isError(hint))
            return snapshot_fail(r, STATUS_MALFORMED, "the LZ4 frame is damaged: %s (near byte %llu of the content)",
                                 LZ4F_getErrorName(hint), (unsigned long long)r->content_bytes);
        bytes += taken;
        size -= taken;
        is_full = unpacked == room;
        r->is_frame_done = hint == 0;
        if (is_end && unpacked > 0)
            return snapshot_malformed(r, "bytes behind the end");
        if (!is_end && unpacked > 0) {
            enum status status = note_content(r, unpacked);
            if (status != STATUS_AGAIN)
                return status;
        }
        if (!is_full && taken == 0 && size > 0 && !r->is_frame_done)
            return snapshot_malformed(r, "the LZ4 frame does not go on");
    }
    return STATUS_AGAIN;
}

static enum status feed(struct snapshot_reader *r, const char *bytes, size_t size)
{
    enum status status = r->form == FORM_LZ4 ? feed_lz4(r, bytes, size) : feed_plain(r, bytes, size);
    if (status != STATUS_AGAIN)
        return status;
    if (r->is_frame_done && r->place != PLACE_END)
        return snapshot_malformed(r, "the LZ4 frame ends early");
    bool is_complete = r->place == PLACE_END && (r->form == FORM_PLAIN || r->is_frame_done);
    return is_complete ? STATUS_OK : STATUS_AGAIN;
}

/* Which form it is shows in the first bytes; they are fed when they are there. */
static enum status sniff(struct snapshot_reader *r, const char **bytes, size_t *size)
{
    while (*size > 0 && r->sniffed_bytes < MAGIC_SNIFF) {
        r->sniffed[r->sniffed_bytes++] = *(*bytes)++;
        --*size;
    }
    if (r->sniffed_bytes < MAGIC_SNIFF)
        return STATUS_AGAIN;
    r->form = FORM_PLAIN;
    if (memcmp(r->sniffed, frame_magic, sizeof frame_magic) == 0) {
        r->form = FORM_LZ4;
        LZ4F_errorCode_t failed = LZ4F_createDecompressionContext(&r->lz4, LZ4F_VERSION);
        CHECK(!LZ4F_isError(failed)); /* out of memory */
    }
    return feed(r, r->sniffed, MAGIC_SNIFF);
}

enum status snapshot_feed(struct snapshot_reader *r, const void *bytes, size_t size)
{
    const char *at = bytes;
    if (r->status == STATUS_OK && size > 0)
        return snapshot_malformed(r, "bytes behind the end");
    if (r->status != STATUS_AGAIN)
        return r->status;
    if (r->form == FORM_UNKNOWN)
        r->status = sniff(r, &at, &size);
    if (r->form != FORM_UNKNOWN && r->status == STATUS_AGAIN && size > 0)
        r->status = feed(r, at, size);
    return r->status;
}

/* --- life ------------------------------------------------------------------ */

static struct snapshot_reader *create(struct keyspace *ks, const struct snapshot_visitor *visitor)
{
    struct snapshot_reader *r = mem_calloc(1, sizeof *r);
    r->ks = ks;
    r->visitor = visitor;
    r->status = STATUS_AGAIN;
    r->wanted = PREFIX_BYTES;
    r->database.db = -1;
    /* More keys than fit into memory are not prepared for, whatever a head says. */
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    r->presize_max = memory / KEY_MEMORY_MIN;
    return r;
}

struct snapshot_reader *snapshot_reader_create(struct keyspace *ks)
{
    for (int db = 0; db < keyspace_database_count(ks); db++)
        CHECK(keyspace_size(ks, db) == 0);
    return create(ks, NULL);
}

struct snapshot_reader *snapshot_reader_create_checker(const struct snapshot_visitor *visitor)
{
    return create(NULL, visitor);
}

void snapshot_reader_free(struct snapshot_reader *r)
{
    if (!r)
        return;
    LZ4F_freeDecompressionContext(r->lz4);
    if (r->is_pending)
        value_free(r->pending.type, r->pending_value);
    mem_free(r->pending_key);
    mem_free(r->env);
    mem_free(r->state);
    mem_free(r->content);
    mem_free(r);
}

void snapshot_reader_on_head(struct snapshot_reader *r, snapshot_head_fn *on_head, void *context)
{
    r->on_head = on_head;
    r->head_context = context;
}

void snapshot_reader_expect_bytes(struct snapshot_reader *r, uint64_t bytes)
{
    enum { LZ4_RATIO_MAX = 255 };
    uint64_t keys_max = bytes > UINT64_MAX / LZ4_RATIO_MAX ? UINT64_MAX : bytes * LZ4_RATIO_MAX;
    if (keys_max < r->presize_max)
        r->presize_max = keys_max;
}

const struct snapshot_head *snapshot_reader_head(const struct snapshot_reader *r)
{
    return r->place >= PLACE_RECORDS ? &r->head : NULL;
}

uint64_t snapshot_reader_keys(const struct snapshot_reader *r)
{
    return r->keys;
}

const char *snapshot_reader_error(const struct snapshot_reader *r)
{
    return r->error;
}

enum status snapshot_reader_fail_io(struct snapshot_reader *r, const char *path, const char *reason)
{
    return snapshot_fail(r, STATUS_IO, "%s: %s", path, reason);
}

enum status snapshot_reader_end_of_file(struct snapshot_reader *r)
{
    if (r->status != STATUS_AGAIN)
        return r->status;
    return snapshot_malformed(r, "the file ends early");
}

void snapshot_reader_get_figures(const struct snapshot_reader *r, struct snapshot_file_figures *figures)
{
    *figures = (struct snapshot_file_figures){.content_bytes = r->content_bytes,
                                              .records = r->ordinal,
                                              .keys = r->keys,
                                              .is_compressed = r->form == FORM_LZ4,
                                              .digest = r->digest};
}
