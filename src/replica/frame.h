/* What replicas send each other once their link is up, byte by byte.
 * Integers are little-endian; varint as in base/varint.h.
 *
 *   frame    := header incarnations payload
 *   header   := length u32       bytes behind the header
 *               kind u8          enum frame_kind
 *               members u8       how many incarnations follow; the sender's list of members may be
 *                                older or newer than the receiver's
 *               sender u16       id of the member that speaks
 *               checksum u64     XXH3-64 of what follows, seeded with the eight bytes before it
 *               cluster u64      seed of the epoch in force (formation.h); 0: none
 *   incarnations := u64 * members, by index (roster.h); 0: unknown.
 *               The sender's own is among them.
 *
 *   payload of FRAME_MESSAGES := message*
 *   message  := head and contents as in consensus/message_code.h
 *
 *   payload of FRAME_CHUNK := total varint, offset varint,
 *               [message without the bytes of its contents]   offset 0 only
 *               bytes
 *   payload of FRAME_STATE := stage u8 memory u8 epoch u64 seed u64 position u64 future u64
 *               secret u64 u64 roster u64 forced u64 (a claim, formation.h)
 *   payload of FRAME_SNAPSHOT_ASK := number u64 lap u64 position u64 flags u8 (bit 0: the former one
 *               from you was no good)
 *   payload of FRAME_SNAPSHOT_DATA := number u64 (of the ask), bytes of the stream of persist/snapshot.h,
 *               in order
 *   payload of FRAME_SNAPSHOT_END := number u64, end u8 (enum frame_snapshot_end)
 *   payload of FRAME_PING, FRAME_PONG := time u64 (the pinger's, opaque to others)
 *   payload of FRAME_CLOCK := time u64 (the sender's wall clock, ms)
 *   payload of FRAME_DIGEST := boundary varint, part varint, part_count varint, low u64, high u64
 *
 * Contents beyond FRAME_INLINE_MAX travel in chunks between other frames, so
 * that a large value does not hold up the votes behind it.
 *
 * The decoder trusts nothing: lengths are checked against what is there and
 * against the limits below, values against their enums. */
#ifndef REPLICA_FRAME_H
#define REPLICA_FRAME_H

#include "base/buf.h"
#include "base/status.h"
#include "consensus/rabia.h"
#include "replica/formation.h"
#include "store/keyspace.h"

enum {
    FRAME_HEADER_BYTES = 24,
    FRAME_BYTES_MAX = 64 << 20,     /* length field; a frame is cut long before */
    FRAME_INLINE_MAX = 64 * 1024,   /* contents beyond this travel in chunks */
    FRAME_CHUNK_BYTES = 64 * 1024,
};

enum frame_kind {
    FRAME_MESSAGES = 1,
    FRAME_CHUNK,
    FRAME_STATE,
    FRAME_PING,
    FRAME_PONG,
    FRAME_DIGEST,
    FRAME_SNAPSHOT_ASK,
    FRAME_SNAPSHOT_DATA,
    FRAME_SNAPSHOT_END,
    FRAME_CLOCK,
    FRAME_KIND_END
};

/* Who speaks, written into every frame. */
struct frame_identity {
    uint16_t sender;
    uint8_t member_count;
    uint64_t cluster;
    uint64_t incarnations[RABIA_MEMBERS_MAX];
};

/* --- writing -------------------------------------------------------------- *
 * begin, add payload, end.  The offset counts from buf_head; nothing may be
 * consumed in between. */
size_t frame_begin(struct buf *out, enum frame_kind kind, const struct frame_identity *identity);
void frame_end(struct buf *out, size_t begin);
/* Bytes since begin, header included. */
static inline size_t frame_size(const struct buf *out, size_t begin)
{
    return buf_size(out) - begin;
}

void frame_add_message(struct buf *out, const struct rabia_message *message);
/* The chunk of message's contents that begins at offset; returns its bytes. */
size_t frame_add_chunk(struct buf *out, const struct rabia_message *message, size_t offset);
void frame_add_word(struct buf *out, uint64_t word);
void frame_add_byte(struct buf *out, uint8_t byte);

struct frame_digest {
    uint64_t boundary;
    uint32_t part, part_count;
    struct digest digest;
};

/* Only a snapshot whose cursor's lap is greater than lap, and with this position at least,
 * is of use to the asker.  The number comes back with everything sent in answer, so that what is
 * left of an earlier answer is not taken for this one's. */
struct frame_ask {
    uint64_t number, lap, position;
    bool is_former_bad;
};
enum frame_snapshot_end {
    FRAME_SNAPSHOT_COMPLETE,
    FRAME_SNAPSHOT_FAILED,  /* it broke off */
    FRAME_SNAPSHOT_REFUSED, /* none has begun: not possible here, or not now */
    FRAME_SNAPSHOT_END_END
};
void frame_add_ask(struct buf *out, const struct frame_ask *ask);
void frame_add_snapshot_end(struct buf *out, uint64_t number, enum frame_snapshot_end end);

void frame_add_digest(struct buf *out, const struct frame_digest *digest);

/* --- reading -------------------------------------------------------------- */

struct frame {
    enum frame_kind kind;
    struct frame_identity identity;
    const char *payload, *end; /* borrowed from the input */
    size_t size;               /* of the whole frame, for buf_consume */
};

/* One frame at the head of bytes.  STATUS_AGAIN: more bytes are needed;
 * STATUS_MALFORMED, STATUS_TOO_LARGE: the link must be closed. */
enum status frame_parse(const char *bytes, size_t len, struct frame *frame) MUST_CHECK;

/* Messages of a frame, reused from frame to frame.  Each holds a reference to
 * its batch until frame_messages_clear. */
struct frame_messages {
    struct rabia_message *messages;
    size_t count, capacity;
};
enum status frame_read_messages(const struct frame *frame, struct frame_messages *messages) MUST_CHECK;
void frame_messages_clear(struct frame_messages *messages);
void frame_messages_deinit(struct frame_messages *messages);

/* Puts chunks together, one message at a time. */
struct frame_assembly {
    struct rabia_message message; /* its batch is being filled; NULL: none under way */
    size_t received;
};
/* STATUS_OK: assembly->message is complete, the caller takes its batch
 * reference (and sets it NULL).  STATUS_AGAIN: more chunks to come. */
enum status frame_read_chunk(const struct frame *frame, struct frame_assembly *assembly) MUST_CHECK;
void frame_assembly_reset(struct frame_assembly *assembly);

void frame_add_claim(struct buf *out, const struct formation_claim *claim);
enum status frame_read_claim(const struct frame *frame, struct formation_claim *claim) MUST_CHECK;
enum status frame_read_ask(const struct frame *frame, struct frame_ask *ask) MUST_CHECK;
/* bytes points into the frame. */
enum status frame_read_piece(const struct frame *frame, uint64_t *number, struct slice *bytes) MUST_CHECK;
enum status frame_read_snapshot_end(const struct frame *frame, uint64_t *number, enum frame_snapshot_end *end) MUST_CHECK;
enum status frame_read_word(const struct frame *frame, uint64_t *word) MUST_CHECK;
enum status frame_read_digest(const struct frame *frame, struct frame_digest *digest) MUST_CHECK;

#endif
