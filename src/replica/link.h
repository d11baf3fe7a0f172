/* The connection to one peer.
 *
 * Of each pair the member with the higher index dials, over RESP: AUTH when a
 * password is set, then RABIA LINK with who we are.  When the other side has
 * answered, both speak frames (frame.h) over the same connection.  The
 * acceptor stays quiet until the dialler's first frame (net/dial.h).
 *
 *   down --dial, backoff--> dialing --accepted--> up --closed, silent, malformed--> down
 *   down -----------------peer dialled us-------> up --peer dials again-----------> up (new)
 *   up --silent or stuck, we dial beside it------> up (new)
 *
 * After a partition the kernel sends again when its timer says so, and that has grown with
 * the partition: a link may stay mute as long as there was no way.  So the dialler
 * does not wait: when it has heard nothing for LINK_RENEW_US, or the kernel has sent the same bytes
 * again in vain LINK_STUCK_REPEATS times, it dials anew, and keeps the old connection until the new one
 * has been accepted.  If the old one was alive all the while (a peer that was busy or stopped), the
 * silence it takes next time is twice as long, for LINK_PATIENT_US.
 * Where the round trip is known, a dial does not wait for the kernel to repeat a lost SYN
 * after a second; one of LINK_PATIENT_DIALS does, should the way have grown longer.  Backoff is
 * for those who refuse: a dial that took its time was pause enough.
 *
 * A link promises nothing: what is queued when it breaks, or beyond its
 * bounds, is lost, and the core repeats it when the link comes up again.
 *
 * Limits: LINK_QUEUE_MAX bytes of frames and LINK_BULK_MAX bytes of chunks
 * queued; beyond the first the link drops messages until it has drained, and
 * is then reported up again; beyond the second it drops that message, unless
 * nothing else is queued: one batch may be longer than the bound.  Contents
 * that are under way are not queued again: the core repeats what is not
 * answered within milliseconds, and megabytes take longer.
 * LINK_LAZY_MAX lazy messages wait at most LINK_LAZY_US. */
#ifndef REPLICA_LINK_H
#define REPLICA_LINK_H

#include "net/dial.h"
#include "net/loop.h"
#include "net/stream.h"
#include "replica/frame.h"
#include "replica/replica.h"

enum {
    LINK_QUEUE_MAX = 32 << 20,
    LINK_BULK_MAX = 64 << 20,
    LINK_BULKS_MAX = 32,             /* contents remembered as under way */
    LINK_BULK_AGAIN_US = 1000 * 1000, /* contents that have left are not sent again before */
    LINK_LAZY_MAX = 256,
    LINK_LAZY_US = 1000,
    LINK_RENEW_US = 2400 * 1000, /* of silence, though what we say arrives: then the dialler dials beside it */
    LINK_STUCK_REPEATS = 3,      /* 1.4 s on a short way */
    LINK_PATIENT_US = 30 * 1000 * 1000,
    LINK_SILENT_US = 5 * 1000 * 1000, /* then the link is closed and made anew */
    LINK_PING_US = 200 * 1000,            /* and our wall clock is told */
    LINK_DIAL_TIMEOUT_US = 2 * 1000 * 1000,
    LINK_CONNECT_MIN_US = 250 * 1000, /* and four round trips at least */
    LINK_PATIENT_DIALS = 32,
    LINK_BACKOFF_MIN_US = 20 * 1000,
    LINK_BACKOFF_MAX_US = 1000 * 1000,
    LINK_FRAME_BYTES = 1 << 20,      /* a frame that is longer is closed at once */
    LINK_FRAME_KEEP = 2 << 20,
    LINK_UNSENT_BYTES = 128 * 1024, /* what the kernel may hold before it has sent it */
};

struct link;

struct link_events {
    /* What a dialler introduces itself with: commands[0] is AUTH if there is a
     * password.  Fills argv storage that lives until the next call. */
    size_t (*introduce)(void *context, uint8_t peer, struct dial_command commands[static 2]);
    /* The peer accepted us; answer is its reply.  False refuses the link. */
    bool (*accepted)(void *context, uint8_t peer, struct slice answer);
    /* It refused us with this error; NULL: nobody wants to know. */
    void (*refused)(void *context, uint8_t peer, struct slice error);
    void (*up)(void *context, uint8_t peer);
    void (*down)(void *context, uint8_t peer);
    void (*frame)(void *context, uint8_t peer, const struct frame *frame);
};

struct link {
    struct loop *loop;
    const struct frame_identity *identity; /* borrowed: ours, as of now */
    const struct link_events *events;
    void *context;
    const char *host;
    int port;
    uint8_t peer;
    uint16_t peer_id;
    bool is_dialer;

    enum replica_link_state state;
    bool is_quiet; /* accepted, and the dialler's first frame has not come */
    bool is_stuck;   /* by the kernel's count, as of the newest ping, and nothing was heard since */
    bool is_renewal; /* of the dial: a connection was there when it began, silent and not stuck */
    bool is_lossy; /* over LINK_QUEUE_MAX: dropping until drained */
    struct stream *stream;
    struct dial *dial; /* dialing, or up and being renewed */
    struct buf frame;  /* the FRAME_MESSAGES being built; empty if none is */
    struct buf outbox; /* frames of this pass, complete */
    struct rabia_message lazy[LINK_LAZY_MAX];
    size_t lazy_count;
    uint64_t lazy_since_us;
    struct link_bulk {
        uint64_t lap, end, gone_us; /* end: of its bytes among bulk_bytes; gone_us 0: not seen gone */
        uint8_t lane;
    } bulks[LINK_BULKS_MAX]; /* the newest, a ring */
    size_t bulk_count;
    uint64_t bulk_bytes; /* queued on this connection so far */
    uint64_t dialled_us, dial_again_us, backoff_us, heard_us, pinged_us;
    uint64_t stuck_us; /* when the kernel's count last said so */
    uint64_t renew_us, needless_us; /* silence it takes, if longer than usual; since when; 0: never */

    uint64_t dials_in_vain; /* since it was up */
    uint64_t round_trip_us, bytes_in_before, bytes_out_before;
    uint64_t frames_in, frames_out, links_made, messages_dropped;
    char last_error[128];
    bool is_password_wrong; /* said in this dialling */
};

void link_init(struct link *l, struct loop *loop, const struct frame_identity *identity,
               const struct link_events *events, void *context, uint8_t peer,
               const struct replica_member *member, bool is_dialer);
void link_deinit(struct link *l);

/* Takes the stream of a peer that dialled us. */
void link_accept(struct link *l, struct stream *stream);
/* Closes it, saying why in the log; it will be made again. */
void link_break(struct link *l, const char *why);

/* Puts a message on its way; contents up to FRAME_INLINE_MAX. */
void link_send(struct link *l, const struct rabia_message *message, bool is_lazy);
/* Contents beyond that go in chunks: first whether they are under way already,
 * then whether there is room for them, then each chunk frame, which yields to
 * everything else, then what they were. */
bool link_has_bulk(struct link *l, uint64_t lap, uint8_t lane);
bool link_takes_bulk(const struct link *l, size_t size);
void link_send_chunk(struct link *l, struct chunk *chunk);
void link_note_bulk(struct link *l, uint64_t lap, uint8_t lane);
void link_send_bytes(struct link *l, enum frame_kind kind, struct slice bytes);
void link_send_claim(struct link *l, const struct formation_claim *claim);
/* The two halves of measuring the round trip. */
void link_answer_ping(struct link *l, uint64_t word);
void link_note_pong(struct link *l, uint64_t word);
void link_send_digest(struct link *l, const struct frame_digest *digest);

/* End of a pass, in two halves, between which the caller sees that what is said
 * is remembered.  First: closes the open frame, pings, dials, times out; returns
 * when it must be called again at the latest. */
uint64_t link_pass_end(struct link *l);
/* Second: hands the frames to the socket. */
void link_flush(struct link *l);
/* Instead: drops them, since they could not be remembered. */
void link_forget_output(struct link *l);
bool link_has_output(const struct link *l);

uint64_t link_bytes_in(const struct link *l);
uint64_t link_bytes_out(const struct link *l);

#endif
