#include "base/check.h"
#include "store/listpack_code.h"

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
