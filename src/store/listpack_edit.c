#include "store/listpack_code.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

/* --- forms ----------------------------------------------------------------------- */

static struct listpack_form finish_form(struct listpack_form form)
{
    size_t body = form.head_bytes + form.text.len;
    form.bytes = body + back_bytes(body);
    return form;
}

static inline bool fits_bits(int64_t value, unsigned bits)
{
    int64_t limit = INT64_C(1) << (bits - 1);
    return value >= -limit && value < limit;
}

struct listpack_form listpack_form_of_int(int64_t value)
{
    struct listpack_form form = {.head_bytes = 1};
    if (value >= 0 && value < STRING_SHORT) {
        form.head[0] = (unsigned char)value;
        return finish_form(form);
    }
    if (fits_bits(value, 13)) {
        form.head[0] = (unsigned char)(INT_13 | ((uint64_t)value >> 8 & 0x1f));
        form.head[1] = (unsigned char)value;
        form.head_bytes = 2;
        return finish_form(form);
    }
    form.head[0] = fits_bits(value, 16)   ? INT_16
                   : fits_bits(value, 24) ? INT_24
                   : fits_bits(value, 32) ? INT_32
                                          : INT_64;
    unsigned bytes = int_bytes(form.head[0]);
    store(form.head + 1, (uint64_t)value, bytes);
    form.head_bytes = (uint8_t)(1 + bytes);
    return finish_form(form);
}

static struct listpack_form form_of_string(struct slice bytes)
{
    struct listpack_form form = {.text = bytes};
    if (bytes.len < STRING_SHORT_LIMIT) {
        form.head[0] = (unsigned char)(STRING_SHORT | bytes.len);
        form.head_bytes = 1;
    } else if (bytes.len < STRING_MEDIUM_LIMIT) {
        form.head[0] = (unsigned char)(STRING_MEDIUM | bytes.len >> 8);
        form.head[1] = (unsigned char)bytes.len;
        form.head_bytes = 2;
    } else {
        form.head[0] = STRING_LONG;
        store(form.head + 1, bytes.len, 4);
        form.head_bytes = STRING_LONG_HEAD;
    }
    return finish_form(form);
}

struct listpack_form listpack_form_of(struct slice bytes)
{
    int64_t value;
    CHECK(bytes.len < LISTPACK_BYTES_MAX);
    return text_as_int(bytes, &value) ? listpack_form_of_int(value) : form_of_string(bytes);
}

size_t listpack_element_bytes(struct slice bytes)
{
    return listpack_form_of(bytes).bytes;
}

static void write_back(char *at, size_t body)
{
    size_t bytes = back_bytes(body);
    for (size_t i = bytes; i-- > 0; body >>= 7)
        at[i] = (char)((body & 0x7f) | (i ? 0x80 : 0));
}

static void write_form(char *at, const struct listpack_form *form)
{
    memcpy(at, form->head, form->head_bytes);
    if (form->text.len)
        memcpy(at + form->head_bytes, form->text.ptr, form->text.len);
    size_t body = form->head_bytes + form->text.len;
    write_back(at + body, body);
}

/* --- the whole -------------------------------------------------------------------- */

void listpack_init(char *lp)
{
    set_header(lp, LISTPACK_EMPTY_BYTES, 0);
    bytes_of(lp)[LISTPACK_HEADER_BYTES] = END;
}

void listpack_write_header(char *lp, size_t element_bytes, size_t count)
{
    set_header(lp, LISTPACK_EMPTY_BYTES + element_bytes, count);
}

char *listpack_create(void)
{
    char *lp = mem_alloc(LISTPACK_EMPTY_BYTES);
    listpack_init(lp);
    return lp;
}

char *listpack_copy(const char *lp)
{
    size_t bytes = listpack_bytes(lp);
    return memcpy(mem_alloc(bytes), lp, bytes);
}

char *listpack_shrink(char *lp)
{
    return mem_realloc(lp, listpack_bytes(lp));
}

/* --- changing ------------------------------------------------------------------------- */

/* Room for new bytes where old are used.  An allocator's classes are a fixed
 * ratio apart, so growing from one to the next is amortised O(1) a byte. */
static char *grow(char *lp, size_t old, size_t new)
{
    return mem_good_size(new) > mem_good_size(old) ? mem_realloc(lp, new) : lp;
}

/* Not at every class boundary: pushing and popping across one would copy each
 * time. */
static char *give_back(char *lp, size_t old, size_t new)
{
    if (mem_good_size(new) < mem_good_size(old) && mem_usable_size(lp) > 2 * mem_good_size(new))
        return mem_realloc(lp, new);
    return lp;
}

/* Makes the removed bytes at offset added ones, and their elements so many
 * more, or fewer. */
static char *splice(char *lp, size_t offset, size_t removed, size_t added, int64_t elements)
{
    size_t old = listpack_bytes(lp), new = old - removed + added;
    CHECK(new <= LISTPACK_BYTES_MAX);
    size_t count = told_count(lp);
    if (new > old)
        lp = grow(lp, old, new);
    if (new != old)
        memmove(lp + offset + added, lp + offset + removed, old - offset - removed);
    set_header(lp, new, count == LISTPACK_COUNT_UNKNOWN ? count : (size_t)((int64_t)count + elements));
    return new < old ? give_back(lp, old, new) : lp;
}

static char *insert_form(char *lp, const char **at, const struct listpack_form *form)
{
    size_t offset = *at ? (size_t)(*at - lp) : listpack_bytes(lp) - 1;
    lp = splice(lp, offset, 0, form->bytes, 1);
    write_form(lp + offset, form);
    *at = lp + offset;
    return lp;
}

static char *replace_form(char *lp, const char **at, const struct listpack_form *form)
{
    size_t offset = (size_t)(*at - lp);
    lp = splice(lp, offset, whole_bytes(*at), form->bytes, 0);
    write_form(lp + offset, form);
    *at = lp + offset;
    return lp;
}

char *listpack_insert(char *lp, const char **at, struct slice bytes)
{
    struct listpack_form form = listpack_form_of(bytes);
    return insert_form(lp, at, &form);
}

char *listpack_append(char *lp, struct slice bytes)
{
    const char *at = NULL;
    return listpack_insert(lp, &at, bytes);
}

char *listpack_append_int(char *lp, int64_t value)
{
    const char *at = NULL;
    struct listpack_form form = listpack_form_of_int(value);
    return insert_form(lp, &at, &form);
}

char *listpack_append_pair(char *lp, struct slice first, struct slice second)
{
    struct listpack_form forms[2] = {listpack_form_of(first), listpack_form_of(second)};
    size_t old = listpack_bytes(lp);
    lp = grow(lp, old, old + forms[0].bytes + forms[1].bytes);
    return listpack_push_back(listpack_push_back(lp, &forms[0]), &forms[1]);
}

char *listpack_prepend(char *lp, struct slice bytes)
{
    const char *at = listpack_first(lp);
    return listpack_insert(lp, &at, bytes);
}

char *listpack_replace(char *lp, const char **at, struct slice bytes)
{
    struct listpack_form form = listpack_form_of(bytes);
    return replace_form(lp, at, &form);
}

char *listpack_replace_int(char *lp, const char **at, int64_t value)
{
    struct listpack_form form = listpack_form_of_int(value);
    return replace_form(lp, at, &form);
}

/* A number of elements that was too large to tell, once it no longer can be:
 * an element takes two bytes at least. */
static void tell_count_again(char *lp)
{
    if (told_count(lp) == LISTPACK_COUNT_UNKNOWN &&
        listpack_bytes(lp) < LISTPACK_EMPTY_BYTES + 2 * LISTPACK_COUNT_UNKNOWN)
        set_header(lp, listpack_bytes(lp), listpack_count(lp));
}

char *listpack_remove(char *lp, const char **at, size_t count)
{
    const char *end = *at;
    size_t removed = 0;
    for (; removed < count && *peek(end) != END; removed++)
        end += whole_bytes(end);
    size_t offset = (size_t)(*at - lp);
    lp = splice(lp, offset, (size_t)(end - *at), 0, -(int64_t)removed);
    tell_count_again(lp);
    *at = or_end(lp + offset);
    return lp;
}

char *listpack_join(char *lp, const char *other)
{
    size_t old = listpack_bytes(lp), added = listpack_bytes(other) - LISTPACK_EMPTY_BYTES, new = old + added;
    CHECK(added <= LISTPACK_BYTES_MAX - old);
    size_t count = listpack_count(lp) + listpack_count(other);
    lp = grow(lp, old, new);
    memcpy(lp + old - 1, other + LISTPACK_HEADER_BYTES, added + 1);
    set_header(lp, new, count);
    return lp;
}

/* --- in place ---------------------------------------------------------------------------- */

static void count_in_place(char *lp, size_t bytes, size_t count, int change)
{
    set_header(lp, bytes, count == LISTPACK_COUNT_UNKNOWN ? count : (size_t)((int64_t)count + change));
    tell_count_again(lp);
}

char *listpack_push_front(char *lp, const struct listpack_form *form)
{
    size_t bytes = listpack_bytes(lp) + form->bytes;
    CHECK(bytes <= LISTPACK_BYTES_MAX);
    unsigned count = told_count(lp);
    lp -= form->bytes;
    write_form(lp + LISTPACK_HEADER_BYTES, form);
    count_in_place(lp, bytes, count, 1);
    return lp;
}

char *listpack_push_back(char *lp, const struct listpack_form *form)
{
    size_t old = listpack_bytes(lp), bytes = old + form->bytes;
    CHECK(bytes <= LISTPACK_BYTES_MAX);
    write_form(lp + old - 1, form);
    bytes_of(lp)[bytes - 1] = END;
    count_in_place(lp, bytes, told_count(lp), 1);
    return lp;
}

char *listpack_pop_front(char *lp)
{
    const char *first = listpack_first(lp);
    CHECK(first);
    size_t removed = whole_bytes(first), bytes = listpack_bytes(lp) - removed;
    unsigned count = told_count(lp);
    lp += removed;
    count_in_place(lp, bytes, count, -1);
    return lp;
}

char *listpack_pop_back(char *lp)
{
    const char *last = listpack_last(lp);
    CHECK(last);
    bytes_of(lp)[last - lp] = END;
    count_in_place(lp, (size_t)(last - lp) + 1, told_count(lp), -1);
    return lp;
}
