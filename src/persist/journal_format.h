/* The bytes of a journal: what a segment and a record look like.
 *
 * Pure functions over memory; who reads and writes the files is journal_scan and
 * journal.  The layout is drawn in journal_format.c.
 *
 * A record proves three things by its checksum, which is seeded with a number
 * the segment drew at random when its file was put to use: that its bytes are
 * whole, that they were written in this life of the file (segments are
 * recycled), and that they are no payload that merely looks like a record. */
#ifndef PERSIST_JOURNAL_FORMAT_H
#define PERSIST_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "persist/journal.h"

enum {
    JOURNAL_HEADER_BYTES = 4096,
    JOURNAL_HEADER_COPY_AT = 2048,
    JOURNAL_RECORD_HEAD = 32,
    JOURNAL_RECORD_ALIGN = 8,
    JOURNAL_MARK_BYTES = 16,
    JOURNAL_NAME_MAX = 40,
};

struct journal_header {
    uint64_t number, nonce;
    uint64_t first_seq; /* 0: prepared ahead, unknown; else its first record was flushed with it */
    uint64_t capacity;
    int64_t created_ms; /* wall clock, for people */
    uint64_t cluster;
    uint16_t member;
    unsigned char boot[16];
};

void journal_header_encode(const struct journal_header *header, unsigned char bytes[static JOURNAL_HEADER_BYTES]);

enum journal_header_verdict {
    JOURNAL_HEADER_GOOD,
    JOURNAL_HEADER_ONE_COPY, /* the other one does not check */
    JOURNAL_HEADER_NEWER,    /* *version says which format */
    JOURNAL_HEADER_BAD,
    JOURNAL_HEADER_FOREIGN,  /* no journal at all */
};
enum journal_header_verdict journal_header_decode(const unsigned char bytes[static JOURNAL_HEADER_BYTES],
                                                  struct journal_header *header, uint32_t *version);

struct journal_record_head {
    uint32_t length; /* of the payload */
    uint8_t kind;    /* 0: a mark of the journal's own */
    enum journal_mode mode; /* in force when it was appended */
    uint64_t seq;
    uint64_t flushed_seq; /* a witness: up to here was known to be on disk */
};

/* Marks: kind 0. */
enum journal_mark {
    JOURNAL_MARK_START = 1, /* opens every segment */
    JOURNAL_MARK_MODE = 2,  /* the mode changed */
    JOURNAL_MARK_CLOSE = 3, /* a clean end; everything before is on disk */
    JOURNAL_MARK_CUT = 4,   /* an operator gave up what followed */
};

/* Of the whole record, padding included. */
static inline uint64_t journal_record_size(uint64_t length)
{
    return (JOURNAL_RECORD_HEAD + length + JOURNAL_RECORD_ALIGN - 1) / JOURNAL_RECORD_ALIGN * JOURNAL_RECORD_ALIGN;
}

/* The payload, and zeros up to the record's size, lie already behind the head. */
void journal_record_seal(unsigned char *record, const struct journal_record_head *head, uint64_t nonce);
/* False if these cannot be the first bytes of a record of this life. */
bool journal_record_peek(const unsigned char *record, uint64_t nonce, struct journal_record_head *head);
/* The whole record lies at record. */
bool journal_record_is_good(const unsigned char *record, const struct journal_record_head *head, uint64_t nonce);

void journal_mark_encode(enum journal_mark mark, int64_t now_ms, unsigned char bytes[static JOURNAL_MARK_BYTES]);
/* 0 for what is no mark we know. */
enum journal_mark journal_mark_decode(struct slice payload, int64_t *when_ms);

/* "journal-<20 digits>.kvj" and "spare-<20 digits>.kvj". */
void journal_segment_name(uint64_t number, char name[static JOURNAL_NAME_MAX]);
void journal_spare_name(uint64_t number, char name[static JOURNAL_NAME_MAX]);
bool journal_segment_name_parse(const char *name, uint64_t *number);
bool journal_spare_name_parse(const char *name, uint64_t *number);

#endif
