/* A message as bytes, for frames between replicas and for journals.
 *
 *   head     := kind u8 lane u8 value u8 (bit 7: contents follow)
 *               lap varint count varint
 *               [phase varint]      STATE and VOTE
 *               [clock varint]      CLOCK_REFUSED
 *               [contents head]
 *   contents head := clock varint, previous varint (0: none, else lap + 1), size varint
 *   and behind the head the size bytes of the contents
 *
 * Reading trusts nothing but checks only form: whether the numbers make sense
 * is the core's to say. */
#ifndef CONSENSUS_MESSAGE_CODE_H
#define CONSENSUS_MESSAGE_CODE_H

#include <stddef.h>

#include "base/varint.h"
#include "consensus/rabia.h"

enum { MESSAGE_HEAD_MAX = 3 + 7 * VARINT_MAX };

/* A record of the journal beside those of enum rabia_record_kind: the records behind it, up to the
 * next one, are of the cluster with this seed, u64 little-endian. */
enum { SEED_RECORD = 128 };

/* Everything of a message but the bytes of its contents; returns the end. */
char *message_write_head(char *at, const struct rabia_message *message);

/* Returns the end of the head, or NULL if it is malformed.  With contents the
 * message gets a batch of its own, the caller's, whose bytes are still to be
 * filled in.  contents_at_hand: how many bytes of contents may follow; a
 * message that claims more is malformed before anything is allocated for it. */
const char *message_read_head(const char *at, const char *end, struct rabia_message *message,
                              size_t contents_at_hand);

#endif
