/* Encodings, the first byte of an element:
 *
 *   0xxxxxxx                 integer 0..127
 *   10llllll                 string of l < 64 bytes
 *   110xxxxx x               integer of 13 bits, two's complement, high bits first
 *   1110llll l               string of l < 4096 bytes, high bits first
 *   11110000 l l l l         string of l bytes, low byte first
 *   11110001 x x             integer of 16 bits, low byte first
 *   11110010 x x x           of 24
 *   11110011 x x x x         of 32
 *   11110100 x x x x x x x x of 64
 *   11111111                 the end
 *
 * Behind it the bytes of a string, then the size of all that, seven bits a
 * byte, high bits first; all bytes but the first have the top bit set, so that
 * it is read from its end. */
#include "store/listpack.h"

#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum {
    END = 0xff,
    STRING_SHORT = 0x80,
    INT_13 = 0xc0,
    STRING_MEDIUM = 0xe0,
    STRING_LONG = 0xf0,
    INT_16 = 0xf1,
    INT_24 = 0xf2,
    INT_32 = 0xf3,
    INT_64 = 0xf4,
    STRING_SHORT_LIMIT = 1 << 6,
    STRING_MEDIUM_LIMIT = 1 << 12,
    STRING_LONG_HEAD = 5,
    INT_13_LIMIT = 1 << 12,
    BACK_BYTES_MAX = 5,
};

/* --- numbers ------------------------------------------------------------------ */

static inline uint64_t load(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline void store(unsigned char *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

static inline int64_t load_signed(const unsigned char *at, unsigned bytes)
{
    unsigned spare = 64 - 8 * bytes;
    return (int64_t)(load(at, bytes) << spare) >> spare;
}

static inline unsigned char *bytes_of(char *at)
{
    return (unsigned char *)at;
}

static inline const unsigned char *peek(const char *at)
{
    return (const unsigned char *)at;
}

size_t listpack_bytes(const char *lp)
{
    return load(peek(lp), 4);
}

static unsigned told_count(const char *lp)
{
    return (unsigned)load(peek(lp) + 4, 2);
}

static void set_header(char *lp, size_t bytes, size_t count)
{
    store(bytes_of(lp), bytes, 4);
    store(bytes_of(lp) + 4, count < LISTPACK_COUNT_UNKNOWN ? count : LISTPACK_COUNT_UNKNOWN, 2);
}

/* --- elements ------------------------------------------------------------------ */

/* Head of an integer behind its first byte. */
static inline unsigned int_bytes(unsigned char first)
{
    switch (first) {
    case INT_16: return 2;
    case INT_24: return 3;
    case INT_32: return 4;
    default: return 8;
    }
}

static inline bool is_string(unsigned char first)
{
    return (first & 0xc0) == STRING_SHORT || (first & 0xf0) == STRING_MEDIUM || first == STRING_LONG;
}

/* The text of a string element. */
static inline struct slice string_at(const char *at)
{
    const unsigned char *p = peek(at);
    if ((p[0] & 0xc0) == STRING_SHORT)
        return slice_make(at + 1, p[0] & 0x3f);
    if (p[0] != STRING_LONG)
        return slice_make(at + 2, (size_t)(p[0] & 0x0f) << 8 | p[1]);
    return slice_make(at + STRING_LONG_HEAD, load(p + 1, 4));
}

static inline int64_t int_at(const char *at)
{
    const unsigned char *p = peek(at);
    if (p[0] < STRING_SHORT)
        return p[0];
    if (p[0] < STRING_MEDIUM) {
        int64_t value = (int64_t)(p[0] & 0x1f) << 8 | p[1];
        return value < INT_13_LIMIT ? value : value - 2 * INT_13_LIMIT;
    }
    return load_signed(p + 1, int_bytes(p[0]));
}

/* Bytes of head and text. */
static inline size_t body_bytes(const char *at)
{
    unsigned char first = *peek(at);
    if (first < STRING_SHORT)
        return 1;
    if (is_string(first)) {
        struct slice text = string_at(at);
        return (size_t)(text.ptr - at) + text.len;
    }
    return first < STRING_MEDIUM ? 2 : 1 + int_bytes(first);
}

/* Bytes of the size behind a body.  The largest that would fit two bytes, or
 * three, or four, takes one more: so Redis counts. */
static inline size_t back_bytes(size_t body)
{
    if (__builtin_expect(body < 1 << 7, 1))
        return 1;
    size_t bytes = 2;
    while (body >= ((size_t)1 << 7 * bytes) - 1)
        bytes++;
    return bytes;
}

static inline size_t whole_bytes(const char *at)
{
    size_t body = body_bytes(at);
    return body + back_bytes(body);
}

static void write_back(char *at, size_t body)
{
    size_t bytes = back_bytes(body);
    for (size_t i = bytes; i-- > 0; body >>= 7)
        at[i] = (char)((body & 0x7f) | (i ? 0x80 : 0));
}

/* The body size written before end, SIZE_MAX if that is none; not looking below
 * start. */
static inline size_t read_back(const char *end, const char *start)
{
    size_t body = 0;
    for (unsigned shift = 0; shift < 7 * BACK_BYTES_MAX && end > start; shift += 7) {
        unsigned char part = *peek(--end);
        body |= (size_t)(part & 0x7f) << shift;
        if (part < 0x80)
            return body;
    }
    return SIZE_MAX;
}

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

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Spares most strings the attempt to read a number. */
static inline bool may_be_int(struct slice bytes)
{
    return bytes.len > 0 && bytes.len <= INT64_TEXT_MAX && is_digit(bytes.ptr[bytes.len - 1]) &&
           (bytes.ptr[0] == '-' || is_digit(bytes.ptr[0]));
}

static inline bool text_as_int(struct slice bytes, int64_t *value)
{
    return may_be_int(bytes) && slice_to_int64(bytes, value);
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

size_t listpack_count(const char *lp)
{
    if (told_count(lp) != LISTPACK_COUNT_UNKNOWN)
        return told_count(lp);
    size_t count = 0;
    for (const char *at = listpack_first(lp); at; at = listpack_next(lp, at))
        count++;
    return count;
}

bool listpack_has_room(const char *lp, size_t bytes)
{
    return bytes <= LISTPACK_BYTES_MAX - listpack_bytes(lp);
}

/* --- reading ------------------------------------------------------------------------ */

static inline const char *or_end(const char *at)
{
    return *peek(at) == END ? NULL : at;
}

const char *listpack_first(const char *lp)
{
    return or_end(lp + LISTPACK_HEADER_BYTES);
}

const char *listpack_prev(const char *lp, const char *at)
{
    const char *start = lp + LISTPACK_HEADER_BYTES;
    if (at == start)
        return NULL;
    size_t body = read_back(at, start);
    return at - body - back_bytes(body);
}

const char *listpack_last(const char *lp)
{
    return listpack_prev(lp, lp + listpack_bytes(lp) - 1);
}

const char *listpack_next(const char *lp, const char *at)
{
    (void)lp;
    return or_end(at + whole_bytes(at));
}

const char *listpack_behind(const char *at)
{
    return at + whole_bytes(at);
}

const char *listpack_at(const char *lp, int64_t index)
{
    unsigned count = told_count(lp);
    if (count != LISTPACK_COUNT_UNKNOWN) {
        if (index < -(int64_t)count || index >= count)
            return NULL;
        if (index >= 0 && index > count / 2)
            index -= count;
        else if (index < 0 && -index > count / 2)
            index += count;
    }
    const char *at = index < 0 ? listpack_last(lp) : listpack_first(lp);
    for (; at && index > 0; index--)
        at = listpack_next(lp, at);
    for (; at && index < -1; index++)
        at = listpack_prev(lp, at);
    return at;
}

bool listpack_int(const char *at, int64_t *value)
{
    if (is_string(*peek(at)))
        return false;
    *value = int_at(at);
    return true;
}

struct listpack_element listpack_get(const char *at)
{
    if (is_string(*peek(at)))
        return (struct listpack_element){.bytes = string_at(at)};
    return (struct listpack_element){.is_int = true, .integer = int_at(at)};
}

struct slice listpack_text(const char *at, char scratch[static INT64_TEXT_MAX])
{
    if (is_string(*peek(at)))
        return string_at(at);
    return slice_make(scratch, int64_to_text(int_at(at), scratch));
}

bool listpack_equals(const char *at, struct slice bytes)
{
    int64_t value;
    if (is_string(*peek(at)))
        return slice_equal(string_at(at), bytes);
    return text_as_int(bytes, &value) && value == int_at(at);
}

/* Most elements that are walked over are short strings: their size follows from
 * the first byte. */
static inline const char *skip(const char *at)
{
    unsigned char first = *peek(at);
    if ((first & 0xc0) == STRING_SHORT)
        return or_end(at + 2 + (first & (STRING_SHORT_LIMIT - 1)));
    return or_end(at + whole_bytes(at));
}

static inline const char *skip_many(const char *at, unsigned step)
{
    for (; step > 0 && at; step--)
        at = skip(at);
    return at;
}

/* A short string, not empty, that spells no integer.  The first byte tells the length, and
 * names in one collection often differ in their last byte first. */
static const char *find_short(const char *from, struct slice bytes, unsigned step)
{
    unsigned char head = (unsigned char)(STRING_SHORT | bytes.len);
    char last = bytes.ptr[bytes.len - 1];
    for (const char *at = from; at; at = skip_many(at, step))
        if (*peek(at) == head && at[bytes.len] == last && memcmp(at + 1, bytes.ptr, bytes.len) == 0)
            return at;
    return NULL;
}

const char *listpack_find(const char *lp, const char *from, struct slice bytes, unsigned step)
{
    (void)lp;
    int64_t sought;
    bool is_int = text_as_int(bytes, &sought);
    if (!is_int && bytes.len && bytes.len < STRING_SHORT_LIMIT)
        return find_short(from, bytes, step);
    for (const char *at = from; at; at = skip_many(at, step))
        if (is_string(*peek(at)) ? slice_equal(string_at(at), bytes) : is_int && int_at(at) == sought)
            return at;
    return NULL;
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

/* --- strangers' bytes ---------------------------------------------------------------------- */

/* Bytes of the head of a known encoding, 0 for one that is unknown. */
static size_t head_bytes(unsigned char first)
{
    if (first < INT_13)
        return 1;
    if (first < STRING_LONG)
        return 2;
    if (first == STRING_LONG)
        return STRING_LONG_HEAD;
    return first <= INT_64 ? 1 + int_bytes(first) : 0;
}

/* The bytes of the element at the head of these, 0 if it is malformed or does
 * not end within them. */
static size_t valid_element(struct slice bytes)
{
    size_t head = head_bytes(*peek(bytes.ptr));
    if (head == 0 || head > bytes.len)
        return 0;
    size_t body = body_bytes(bytes.ptr);
    if (body > bytes.len || back_bytes(body) > bytes.len - body)
        return 0;
    size_t end = body + back_bytes(body);
    return read_back(bytes.ptr + end, bytes.ptr + body) == body ? end : 0;
}

bool listpack_is_valid(struct slice bytes)
{
    if (bytes.len < LISTPACK_EMPTY_BYTES || bytes.len > LISTPACK_BYTES_MAX ||
        listpack_bytes(bytes.ptr) != bytes.len || *peek(bytes.ptr + bytes.len - 1) != END)
        return false;
    size_t count = 0, at = LISTPACK_HEADER_BYTES, end = bytes.len - 1;
    for (; at < end; count++) {
        size_t element = valid_element(slice_make(bytes.ptr + at, end - at));
        if (element == 0)
            return false;
        at += element;
    }
    unsigned told = told_count(bytes.ptr);
    return told == LISTPACK_COUNT_UNKNOWN || told == count;
}

void listpack_check(const char *lp)
{
    CHECK(listpack_is_valid(slice_make(lp, listpack_bytes(lp))));
}
