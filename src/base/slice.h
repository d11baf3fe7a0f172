/* A borrowed run of bytes: not terminated, not owned.  Whoever hands one out
 * says how long it lives. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

static inline struct slice slice_make(const void *ptr, size_t len)
{
    return (struct slice){(const char *)ptr, len};
}

static inline struct slice slice_from(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case is ignored, whatever the locale. */
bool slice_equal_nocase(struct slice a, struct slice b);
/* The same against a C string; the form option parsing uses. */
bool slice_is(struct slice a, const char *text);

/* Byte order, shorter first when one is a prefix: <0, 0, >0. */
int slice_compare(struct slice a, struct slice b);

/* Whole-slice conversions with the strictness Redis has for integers: an
 * optional minus, no leading zeros, no plus, no spaces.  False leaves *value
 * untouched. */
bool slice_to_int64(struct slice text, int64_t *value);
bool slice_to_uint64(struct slice text, uint64_t *value);
/* Decimal or exponent notation, "inf", "-inf"; refuses NaN, spaces at either
 * end, trailing bytes and values out of range.  long double, as Redis uses for
 * INCRBYFLOAT. */
bool slice_to_long_double(struct slice text, long double *value);
bool slice_to_double(struct slice text, double *value);

/* Writes the decimal form and returns its length; no terminator. */
enum { INT64_TEXT_MAX = 20 };
size_t int64_to_text(int64_t value, char text[static INT64_TEXT_MAX]);

/* Redis's glob: * ? [a-z] [^a] and backslash.  Cost: bounded by the product
 * of the lengths; a pattern's stars never backtrack exponentially. */
bool slice_glob(struct slice pattern, struct slice text, bool nocase);

/* A copy in one block for mem_free: the array, then the bytes.  bytes: its
 * size; may be NULL. */
struct slice *slices_copy(int count, const struct slice *slices, size_t *bytes);

#endif
