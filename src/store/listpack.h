/* listpack: a sequence of strings and integers in one block, to be searched
 * from either end.
 *
 * The bytes are those of Redis's format of the same name, so that DUMP and
 * RESTORE move values as they are:
 *
 *   4 bytes   size of the whole, little-endian, at most LISTPACK_BYTES_MAX
 *   2 bytes   number of elements, or 65535: count them
 *             elements
 *   1 byte    0xff
 *
 * An element: encoding byte with the beginning of an integer or a length, the
 * rest of it, the bytes of a string, and the element's size once more, readable
 * from behind.  A string that is the decimal form of a 64-bit integer is held
 * as one.  (Encodings byte by byte: listpack_code.h.)
 *
 * Ownership: a listpack is a block of mem_alloc, freed with mem_free; functions
 * that change it take it and return where it is now.  An element is known by
 * its address, which lives until the next change; those that take const char
 * **at leave in it the element concerned, at its new address.
 *
 * Costs: reading an element O(1); inserting and removing, a memmove of what lies
 * behind; listpack_at and finding, a walk. */
#ifndef STORE_LISTPACK_H
#define STORE_LISTPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum {
    LISTPACK_HEADER_BYTES = 6,
    LISTPACK_EMPTY_BYTES = LISTPACK_HEADER_BYTES + 1,
    LISTPACK_BYTES_MAX = 1 << 30,
    LISTPACK_COUNT_UNKNOWN = 65535,
};

/* An element as it is held. */
struct listpack_element {
    bool is_int;
    int64_t integer;
    struct slice bytes; /* if it is no integer; lives as long as the element */
};

char *listpack_create(void);
char *listpack_copy(const char *lp);
/* The block made to measure (removals may leave room at its end). */
char *listpack_shrink(char *lp);
size_t listpack_bytes(const char *lp);
/* O(1) below 65535 elements. */
size_t listpack_count(const char *lp);
/* True if elements of that many bytes (listpack_element_bytes) may be added
 * without passing LISTPACK_BYTES_MAX.  Asked before adding; adding only CHECKs. */
bool listpack_has_room(const char *lp, size_t bytes);
/* Bytes an element takes in a listpack. */
size_t listpack_element_bytes(struct slice bytes);

/* --- reading; NULL beyond the ends ----------------------------------------- */

const char *listpack_first(const char *lp);
const char *listpack_last(const char *lp);
const char *listpack_next(const char *lp, const char *at);
const char *listpack_prev(const char *lp, const char *at);
/* Negative: from the end, -1 the last.  Walks from the nearer end. */
const char *listpack_at(const char *lp, int64_t index);
struct listpack_element listpack_get(const char *at);
/* The element as bytes; an integer is rendered into scratch. */
struct slice listpack_text(const char *at, char scratch[static INT64_TEXT_MAX]);
/* The element as an integer, if it is held as one. */
bool listpack_int(const char *at, int64_t *value);
bool listpack_equals(const char *at, struct slice bytes);
/* The first of the elements from on, from + step, from + 2 step ... that equals
 * bytes.  from may be NULL. */
const char *listpack_find(const char *lp, const char *from, struct slice bytes, unsigned step);

/* --- changing; bytes must not lie in lp -------------------------------------- */

char *listpack_append(char *lp, struct slice bytes);
char *listpack_append_int(char *lp, int64_t value);
/* Two elements in one step of the block. */
char *listpack_append_pair(char *lp, struct slice first, struct slice second);
char *listpack_prepend(char *lp, struct slice bytes);
/* Before *at, or at the end if *at is NULL. */
char *listpack_insert(char *lp, const char **at, struct slice bytes);
char *listpack_replace(char *lp, const char **at, struct slice bytes);
char *listpack_replace_int(char *lp, const char **at, int64_t value);
/* Removes count elements from *at on; *at becomes the one behind them, or NULL.
 * Fewer are there: those.  The block is made smaller once less than half of it is used. */
char *listpack_remove(char *lp, const char **at, size_t count);
/* Adds all elements of other, another listpack, at the end. */
char *listpack_join(char *lp, const char *other);

/* --- in place ------------------------------------------------------------------ *
 * For a listpack that lies inside a larger block of its owner's, with room in
 * front of it or behind it: the owner knows where it begins and how much room
 * there is; nothing is allocated and nothing but the header moves, O(1). */

/* An element about to be added: what it will look like. */
struct listpack_form {
    size_t bytes; /* what it takes, all told */
    struct slice text; /* behind the head; borrowed */
    unsigned char head[9];
    uint8_t head_bytes;
};
struct listpack_form listpack_form_of(struct slice bytes);
struct listpack_form listpack_form_of_int(int64_t value);
/* form->bytes before lp become the first element's, or those behind it the
 * last one's.  Return where the listpack begins now. */
char *listpack_push_front(char *lp, const struct listpack_form *form);
char *listpack_push_back(char *lp, const struct listpack_form *form);
/* The listpack must not be empty. */
char *listpack_pop_front(char *lp);
char *listpack_pop_back(char *lp);
/* Writes an empty listpack, LISTPACK_EMPTY_BYTES. */
void listpack_init(char *lp);
/* Writes the header, LISTPACK_HEADER_BYTES, for elements to be put behind it,
 * which the caller does, and the end, 0xff. */
void listpack_write_header(char *lp, size_t element_bytes, size_t count);
/* What lies behind an element: the next one or the end. */
const char *listpack_behind(const char *at);

/* --- strangers' bytes -------------------------------------------------------- */

/* True if these bytes are a whole listpack of well-formed elements, the number
 * in its header (if told) right.  O(elements). */
bool listpack_is_valid(struct slice bytes);
/* Aborts unless listpack_is_valid. */
void listpack_check(const char *lp);

#endif
