/* entry: a key with its value, access clock and expiry, in one block.
 *
 * One block, because the cost of a command is its cache misses: key, header
 * and a small value lie next to each other and arrive together.
 *
 *   [expiry 12] header 8 [key length 4] key  value
 *               ^ struct entry * points here
 *
 *   expiry      position in the expiry index (4), unix ms (8).  In front, so
 *               that an entry without one pays nothing and the offsets behind
 *               the header stay what they are.
 *   header      access clock 3, key length 1, flags 2, value length 2
 *   key length  4 bytes, only for keys of more than 255 bytes
 *   value       an integer: 8 bytes
 *               a string held here: its bytes, their number in the header
 *               a string held apart: pointer 8, length 8
 *               any other type: a pointer 8 to it (value.h)
 *
 * A 16-byte key with a 16-byte value takes 40 bytes, with expiry 52; with an
 * integer 32 and 44.  Nothing is aligned; fields are read with memcpy.
 *
 * A string is held here while header, key and value fit ENTRY_EMBED_BYTES.
 * Beyond, the one allocation more is small change compared with the value, and
 * growing a string no longer copies the key nor changes the entry's address.
 * The limit is that of the allocator's small classes: above it a block is
 * whole pages, and a string of 2^n bytes behind a header would waste a fourth.
 *
 * A block's size is not stored: it follows from the lengths (I2), so freeing
 * and reuse need no look into the allocator's tables.  Only a string grown in
 * place (APPEND, SETRANGE) breaks that rule; it carries ENTRY_SLACK and its
 * block is measured.  Growth reserves as much again as the new length, at most
 * 1 MiB, as Redis does.
 *
 * What OBJECT ENCODING says is kept apart from where bytes are: a string of 10
 * bytes that was once edited is "raw", and lies in the block all the same.
 *
 * Functions that return an entry may have moved it: the caller puts the new
 * address where the old one was (dict slot, expiry index).  Bytes passed in
 * may be bytes of that same entry.
 *
 * I1: the flags tell which parts exist; an entry in the expiry index has an
 *     expiry part.  The part may outlive the expiry (time EXPIRE_NONE).
 * I2: without ENTRY_SLACK, the block was allocated with a size of the same
 *     allocator class as entry_bytes().
 * I3: a string held here keeps header, key and value within
 *     ENTRY_EMBED_BYTES.
 * I4: the encoding is one the type has (value_encoding_fits);
 *     ENCODING_EMBSTR strings have at most 44 bytes. */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"
#include "store/keyspace.h"

enum {
    ENTRY_TYPE_MASK = 0x000f,     /* enum value_type */
    ENTRY_ENCODING_MASK = 0x00f0, /* enum value_encoding */
    ENTRY_ENCODING_SHIFT = 4,
    ENTRY_EXPIRY = 0x0100,   /* the expiry part is there */
    ENTRY_KEY_LONG = 0x0200, /* the key length takes 4 bytes */
    ENTRY_APART = 0x0400,    /* a string held apart */
    ENTRY_SLACK = 0x0800,    /* the block is larger than its contents tell */

    ENTRY_EXPIRY_BYTES = 12,
    ENTRY_HEADER_BYTES = 8,
    ENTRY_KEY_SHORT_MAX = 255,
    ENTRY_EMBED_BYTES = 14 * 1024,
    ENTRY_EMBSTR_MAX = 44,
    ENTRY_GROWTH_MAX = 1 << 20,
};

struct entry {
    uint8_t access[3];
    uint8_t key_size;
    uint16_t flags;
    uint16_t value_size;
    char bytes[];
};

/* --- reading --------------------------------------------------------------- */

static inline struct slice entry_key_slice(const struct entry *e)
{
    if (!(e->flags & ENTRY_KEY_LONG))
        return (struct slice){e->bytes, e->key_size};
    uint32_t size;
    memcpy(&size, e->bytes, sizeof size);
    return (struct slice){e->bytes + sizeof size, size};
}
static inline bool entry_has_key(const struct entry *e, struct slice key)
{
    struct slice own = entry_key_slice(e);
    return own.len == key.len && memcmp(own.ptr, key.ptr, key.len) == 0;
}
static inline bool entry_has_expiry(const struct entry *e)
{
    return e->flags & ENTRY_EXPIRY;
}
static inline int64_t entry_expiry_time(const struct entry *e)
{
    if (!entry_has_expiry(e))
        return EXPIRE_NONE;
    int64_t at;
    memcpy(&at, (const char *)e - sizeof at, sizeof at);
    return at;
}
static inline uint32_t entry_expiry_position(const struct entry *e)
{
    uint32_t position;
    memcpy(&position, (const char *)e - ENTRY_EXPIRY_BYTES, sizeof position);
    return position;
}
static inline uint32_t entry_access(const struct entry *e)
{
    return (uint32_t)e->access[0] | (uint32_t)e->access[1] << 8 | (uint32_t)e->access[2] << 16;
}
/* The bytes the parts of the block need. */
size_t entry_bytes(const struct entry *e);
/* What was asked of the allocator for it, a string held apart included; other
 * values change in place and are not. */
size_t entry_allocated(const struct entry *e);
/* The blocks to free; above some tens it is worth doing later. */
size_t entry_free_effort(const struct entry *e);

/* --- making and changing --------------------------------------------------- */

/* A string value about to be stored. */
struct string_form {
    enum value_encoding encoding;
    int64_t integer;    /* for ENCODING_INT */
    struct slice bytes; /* otherwise */
};
/* The smallest form of value, see keyspace_set. */
struct string_form string_form_of(struct slice value);
/* The smallest but for an integer. */
static inline struct string_form string_form_text(struct slice value)
{
    return (struct string_form){.encoding = value.len <= ENTRY_EMBSTR_MAX ? ENCODING_EMBSTR : ENCODING_RAW,
                                .bytes = value};
}
static inline struct string_form string_form_int(int64_t value)
{
    return (struct string_form){.encoding = ENCODING_INT, .integer = value};
}

/* with_expiry: make the expiry part, its time EXPIRE_NONE.  access is copied
 * into the header. */
struct entry *entry_create(struct slice key, const struct string_form *form, bool with_expiry, uint32_t access);
/* Takes v. */
struct entry *entry_create_value(struct slice key, enum value_type type, struct value v, bool with_expiry,
                                 uint32_t access);
/* A raw string of size zero bytes. */
struct entry *entry_create_zero(struct slice key, size_t size, bool with_expiry, uint32_t access);
/* Replaces the value, of whatever type; with_expiry false leaves an expiry
 * part that is there. */
struct entry *entry_overwrite(struct entry *e, const struct string_form *form, bool with_expiry);
/* keyspace_edit_string for a string entry. */
struct entry *entry_edit(struct entry *e, size_t size);
/* The bytes of a string that is not an integer, for writing. */
char *entry_edit_bytes(struct entry *e);
/* Adds an expiry part if there is none. */
struct entry *entry_add_expiry(struct entry *e);
/* The value under another key, in a new entry with the expiry part (time
 * EXPIRE_NONE) if asked for.  copy leaves e as it is; move takes what is held
 * apart and leaves in e the integer 0, to be freed by the caller. */
struct entry *entry_copy(const struct entry *e, struct slice key, bool with_expiry, uint32_t access);
struct entry *entry_move(struct entry *e, struct slice key, bool with_expiry);
void entry_free(struct entry *e);
/* Frees up to *budget blocks; true when the entry is gone. */
bool entry_free_some(struct entry *e, size_t *budget);

static inline void entry_set_access(struct entry *e, uint32_t access)
{
    e->access[0] = (uint8_t)access;
    e->access[1] = (uint8_t)(access >> 8);
    e->access[2] = (uint8_t)(access >> 16);
}
/* The expiry part must be there. */
static inline void entry_set_expiry_time(struct entry *e, int64_t at)
{
    memcpy((char *)e - sizeof at, &at, sizeof at);
}
static inline void entry_set_expiry_position(struct entry *e, uint32_t position)
{
    memcpy((char *)e - ENTRY_EXPIRY_BYTES, &position, sizeof position);
}

/* Aborts unless I1 to I4 hold. */
void entry_check(const struct entry *e);

#endif
