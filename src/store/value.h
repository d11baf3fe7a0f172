/* value: what a key holds when it is not a string.
 *
 * A value is one block (a compact form) or one structure (a large form), and
 * the encoding tells which; both lie in the entry, 8 bytes and 4 bits, so a
 * small collection costs one block beside its key.  Modules that change a value
 * take a struct value, work on it, and may leave another block and another
 * encoding in it; the caller puts it back (entry_put_value) before it looks at
 * the entry again.
 *
 *     struct value v = entry_value(e);
 *     hash_set(&v, keyspace_env(ks), field, value);
 *     entry_put_value(e, v);
 *
 * A value that has become empty is never left in an entry: its key is deleted.
 *
 * Deterministic: what a value holds, its encoding, and every order that a
 * command can turn into data (which member SPOP takes, for one) follow from
 * the calls alone: never from addresses, bucket order or configuration of one
 * replica.  Saving and loading keep them.
 *
 * Large values are freed, saved and loaded in parts, so that none of it stalls
 * the loop nor needs memory for a whole one. */
#ifndef STORE_VALUE_H
#define STORE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "store/key_hash.h"
#include "store/keyspace.h"
#include "store/settings.h"

/* What values of one keyspace have in common; it outlives them.  Large forms
 * keep its address. */
struct value_env {
    struct settings settings;
    struct key_hash_secret secret; /* for hash tables: the same on all replicas, so that the cursors of HSCAN and
                                      its kin are good everywhere */
    size_t list_packed_threshold;  /* a list's element of so many bytes has a node for itself; 0: none is that long */
};

/* How far the saving of a value has come; all zero at the beginning.  What the
 * words mean is the type's business. */
struct value_cursor {
    uint64_t at[4];
    bool is_done;
};

/* What the keyspace needs to know of a type.  One row per type, in value.c. */
struct object_type {
    /* Frees blocks until the value is gone or *budget of them are, lowering
     * it; true when nothing is left.  Called again with the same value, which
     * nothing else may use meanwhile; v->at may change. */
    bool (*free_some)(struct value *v, size_t *budget);
    /* Blocks to free, roughly.  O(1). */
    size_t (*free_effort)(const struct value *v);
    /* Members, elements, entries: how many clients a value can serve at the
     * most.  O(1).  NULL: taken for one. */
    size_t (*count)(const struct value *v);
    /* The same members in the same order, in the same encoding. */
    struct value (*copy)(const struct value *v);
    /* Of the contents, whatever the encoding, and whatever the order where
     * the type has none.  O(bytes held). */
    struct digest (*digest)(const struct value *v);
    /* Bytes of the allocator.  Looks at up to samples members and takes the
     * others to be alike; 0: at all. */
    size_t (*memory)(const struct value *v, size_t samples);
    /* Appends the next part to out: whole members, about limit bytes, at least
     * one member.  Sets cursor->is_done with the last.  The value must not
     * change between parts.  Every type documents its parts in its body. */
    void (*save)(const struct value *v, struct value_cursor *cursor, struct buf *out, size_t limit);
    /* Adds a part to a value that is {NULL, encoding of the saved one} at first.
     * False if the part is malformed or makes an impossible value (a member
     * twice, a compact form beyond its hard limits, is_last and empty): what
     * has been loaded is then freed by the caller through free_some, unless at
     * is NULL.  Bytes may be hostile. */
    bool (*load)(struct value *v, const struct value_env *env, struct slice part, bool is_last);
    /* Walks the whole value against its module's invariants and aborts where
     * one does not hold. */
    void (*check)(const struct value *v);
};

/* What all members take, if they are like those that were looked at. */
static inline size_t value_memory_of_all(size_t bytes, size_t looked, size_t all)
{
    return looked ? (size_t)((double)bytes / (double)looked * (double)all) : 0;
}

/* VALUE_LIST to VALUE_STREAM; NULL for VALUE_STRING. */
const struct object_type *object_type_of(enum value_type type);
/* Frees all of a value that is in no entry; at may be NULL. */
void value_free(enum value_type type, struct value v);
/* True if values of this type can have this encoding. */
bool value_encoding_fits(enum value_type type, enum value_encoding encoding);

extern const struct object_type list_object_type, set_object_type, zset_object_type, hash_object_type,
    stream_object_type;

#endif
