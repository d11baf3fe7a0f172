#include "base/slice.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

static unsigned char lower(unsigned char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower((unsigned char)a.ptr[i]) != lower((unsigned char)b.ptr[i]))
            return false;
    return true;
}

bool slice_is(struct slice a, const char *text)
{
    return slice_equal_nocase(a, slice_from(text));
}

int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* Digits without a leading zero, at most 20 of them, into an unsigned value. */
static bool parse_digits(const char *digits, size_t count, uint64_t *value)
{
    if (count == 0 || count > 20)
        return false;
    if (digits[0] == '0') {
        if (count != 1)
            return false;
        *value = 0;
        return true;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned digit = (unsigned)(unsigned char)digits[i] - '0';
        if (digit > 9)
            return false;
        if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool slice_to_uint64(struct slice text, uint64_t *value)
{
    return parse_digits(text.ptr, text.len, value);
}

bool slice_to_int64(struct slice text, int64_t *value)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t magnitude;
    if (!parse_digits(text.ptr + is_negative, text.len - is_negative, &magnitude))
        return false;
    if (!is_negative) {
        if (magnitude > INT64_MAX)
            return false;
        *value = (int64_t)magnitude;
        return true;
    }
    if (magnitude == 0 || magnitude > (uint64_t)INT64_MAX + 1)
        return false;
    *value = (int64_t)(0 - magnitude);
    return true;
}

/* The longest text INCRBYFLOAT writes and must read back has 4933 digits. */
enum { FLOAT_TEXT_MAX = 5 * 1024 };

/* strtold wants a terminated string and skips leading spaces. */
static bool copy_number(struct slice text, char copy[static FLOAT_TEXT_MAX])
{
    if (text.len == 0 || text.len >= FLOAT_TEXT_MAX)
        return false;
    unsigned char first = (unsigned char)text.ptr[0];
    if (first == ' ' || (first >= '\t' && first <= '\r'))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return true;
}

bool slice_to_long_double(struct slice text, long double *value)
{
    char copy[FLOAT_TEXT_MAX], *end;
    if (!copy_number(text, copy))
        return false;
    errno = 0;
    long double parsed = strtold(copy, &end);
    if (end != copy + text.len || isnan(parsed))
        return false;
    if (errno == ERANGE && (parsed == HUGE_VALL || parsed == -HUGE_VALL || parsed == 0))
        return false;
    *value = parsed;
    return true;
}

/* Up to 15 digits, a point among them perhaps, as most numbers are: they and the
 * power of ten are exact, so a single division rounds as it should (Clinger,
 * "How to read floating point numbers accurately", 1990). */
static bool short_decimal(struct slice text, double *value)
{
    enum { DIGITS_MAX = 15 };
    static const double powers[DIGITS_MAX + 1] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    int64_t digits = 0;
    size_t count = 0, behind_point = 0;
    bool has_point = false;
    for (size_t i = is_negative; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (text.ptr[i] == '.' && !has_point && count > 0) {
            has_point = true;
            continue;
        }
        if (digit > 9 || ++count > DIGITS_MAX)
            return false;
        digits = digits * 10 + (int64_t)digit;
        behind_point += has_point;
    }
    if (count == 0)
        return false;
    double magnitude = (double)digits / powers[behind_point];
    *value = is_negative ? -magnitude : magnitude;
    return true;
}

bool slice_to_double(struct slice text, double *value)
{
    if (short_decimal(text, value))
        return true;
    char copy[FLOAT_TEXT_MAX], *end;
    if (!copy_number(text, copy))
        return false;
    errno = 0;
    double parsed = strtod(copy, &end);
    if (end != copy + text.len || isnan(parsed))
        return false;
    if (errno == ERANGE && (parsed == HUGE_VAL || parsed == -HUGE_VAL || fpclassify(parsed) == FP_ZERO))
        return false;
    *value = parsed;
    return true;
}

size_t int64_to_text(int64_t value, char text[static INT64_TEXT_MAX])
{
    char reversed[INT64_TEXT_MAX];
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t digits = 0;
    do {
        reversed[digits++] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude);
    size_t length = 0;
    if (value < 0)
        text[length++] = '-';
    while (digits)
        text[length++] = reversed[--digits];
    return length;
}

static unsigned char fold(char c, bool nocase)
{
    return nocase ? lower((unsigned char)c) : (unsigned char)c;
}

/* Matches one bracket expression that begins behind '['.  Advances *at behind
 * the closing bracket, or to the end of an unclosed one. */
static bool class_matches(struct slice pattern, size_t *at, unsigned char c, bool nocase)
{
    size_t i = *at;
    bool is_negated = i < pattern.len && pattern.ptr[i] == '^';
    if (is_negated)
        i++;
    bool found = false;
    while (i < pattern.len && pattern.ptr[i] != ']') {
        if (pattern.ptr[i] == '\\' && i + 1 < pattern.len) {
            i++;
            found |= fold(pattern.ptr[i], nocase) == c;
            i++;
        } else if (i + 2 < pattern.len && pattern.ptr[i + 1] == '-') {
            unsigned char low = fold(pattern.ptr[i], nocase), high = fold(pattern.ptr[i + 2], nocase);
            if (low > high) {
                unsigned char swapped = low;
                low = high;
                high = swapped;
            }
            found |= c >= low && c <= high;
            i += 3;
        } else {
            found |= fold(pattern.ptr[i], nocase) == c;
            i++;
        }
    }
    *at = i < pattern.len ? i + 1 : i;
    return found != is_negated;
}

/* Matches the element of pattern at *at (not a star) against c. */
static bool element_matches(struct slice pattern, size_t *at, unsigned char c, bool nocase)
{
    char element = pattern.ptr[(*at)++];
    if (element == '?')
        return true;
    if (element == '[')
        return class_matches(pattern, at, c, nocase);
    if (element == '\\' && *at < pattern.len)
        element = pattern.ptr[(*at)++];
    return fold(element, nocase) == c;
}

bool slice_glob(struct slice pattern, struct slice text, bool nocase)
{
    size_t p = 0, t = 0;
    size_t star = SIZE_MAX, star_text = 0;
    for (;;) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            star_text = t;
            continue;
        }
        if (t == text.len)
            break;
        if (p < pattern.len) {
            size_t next = p;
            if (element_matches(pattern, &next, fold(text.ptr[t], nocase), nocase)) {
                p = next;
                t++;
                continue;
            }
        }
        /* Only the last star needs another try: an earlier one could at best
         * reproduce the position this one already reached. */
        if (star == SIZE_MAX)
            return false;
        p = star;
        t = ++star_text;
    }
    return p == pattern.len;
}

struct slice *slices_copy(int count, const struct slice *slices, size_t *bytes)
{
    size_t size = (size_t)count * sizeof *slices;
    for (int i = 0; i < count; i++)
        size += slices[i].len;
    struct slice *copy = mem_alloc(size);
    char *at = (char *)(copy + count);
    for (int i = 0; i < count; i++) {
        if (slices[i].len)
            memcpy(at, slices[i].ptr, slices[i].len);
        copy[i] = slice_make(at, slices[i].len);
        at += slices[i].len;
    }
    if (bytes)
        *bytes = size;
    return copy;
}
