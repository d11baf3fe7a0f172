/* From text to field and back, per type. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "admin/config.h"
#include "base/alloc.h"
#include "base/buf.h"

static const struct unit {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"", 1},        {"b", 1},           {"k", 1000},           {"kb", 1 << 10},
    {"m", 1000000}, {"mb", 1 << 20},    {"g", 1000000000},     {"gb", 1 << 30},
};
enum { UNIT_COUNT = sizeof units / sizeof *units };

/* What a row's field is, as its type says. */
#define FIELD(c, row, type) ((type *)(void *)((char *)(c) + (row)->offset))
#define CONST_FIELD(c, row, type) ((const type *)(const void *)((const char *)(c) + (row)->offset))

__attribute__((format(printf, 2, 3))) static bool refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, CONFIG_ERROR_MAX, format, arguments);
    va_end(arguments);
    return false;
}

bool config_parse_bytes(struct slice text, uint64_t *bytes)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    struct slice unit = slice_make(text.ptr + digits, text.len - digits);
    uint64_t number;
    if (!slice_to_uint64(slice_make(text.ptr, digits), &number))
        return false;
    for (size_t i = 0; i < UNIT_COUNT; i++)
        if (slice_is(unit, units[i].name))
            return !__builtin_mul_overflow(number, units[i].bytes, bytes) && *bytes <= INT64_MAX;
    return false;
}

static bool parse_octal(struct slice text, int64_t *value)
{
    enum { DIGITS_MAX = 20 };
    if (text.len == 0 || text.len > DIGITS_MAX)
        return false;
    int64_t sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '7')
            return false;
        sum = sum * 8 + (text.ptr[i] - '0');
    }
    *value = sum;
    return true;
}

static bool set_octal(int *field, const struct config_row *row, struct slice text, char *error)
{
    int64_t value;
    if (!parse_octal(text, &value))
        return refuse(error, "argument couldn't be parsed as an octal number");
    if (value < row->min || value > row->max)
        return refuse(error, "argument must be between %" PRIo64 " and %" PRIo64 " inclusive", (uint64_t)row->min,
                      (uint64_t)row->max);
    *field = (int)value;
    return true;
}

static bool is_within(const struct config_row *row, int64_t value, char *error)
{
    if (value >= row->min && value <= row->max)
        return true;
    return refuse(error, "argument must be between %" PRIi64 " and %" PRIi64 " inclusive", row->min, row->max);
}

static bool read_integer(const struct config_row *row, struct slice text, int64_t *value, char *error)
{
    if (!slice_to_int64(text, value))
        return refuse(error, "argument couldn't be parsed into an integer");
    return is_within(row, *value, error);
}

static bool set_bytes(uint64_t *field, const struct config_row *row, struct slice text, char *error)
{
    uint64_t bytes;
    if (!config_parse_bytes(text, &bytes))
        return refuse(error, "argument must be a memory value");
    if (!is_within(row, (int64_t)bytes, error))
        return false;
    *field = bytes;
    return true;
}

static bool set_bool(bool *field, struct slice text, char *error)
{
    if (!slice_is(text, "yes") && !slice_is(text, "no"))
        return refuse(error, "argument must be 'yes' or 'no'");
    *field = slice_is(text, "yes");
    return true;
}

static bool set_enum(int *field, const struct config_row *row, struct slice text, char *error)
{
    for (int i = 0; row->choices[i]; i++) {
        if (slice_is(text, row->choices[i])) {
            *field = i;
            return true;
        }
    }
    size_t used = (size_t)snprintf(error, CONFIG_ERROR_MAX, "argument(s) must be one of the following: ");
    for (int i = 0; row->choices[i] && used < CONFIG_ERROR_MAX; i++)
        used += (size_t)snprintf(error + used, CONFIG_ERROR_MAX - used, "%s%s", i ? ", " : "", row->choices[i]);
    return false;
}

static bool set_text(char **field, const struct config_row *row, struct slice text, char *error)
{
    if (text.len && memchr(text.ptr, '\0', text.len))
        return refuse(error, "argument must not hold a zero byte");
    if ((int64_t)text.len < row->min || (int64_t)text.len > row->max)
        return refuse(error, "argument must be %" PRIi64 " to %" PRIi64 " bytes long", row->min, row->max);
    mem_free(*field);
    *field = config_copy_text(text);
    return true;
}

static bool set_integer(struct config *c, const struct config_row *row, struct slice text, char *error)
{
    int64_t value;
    if (!read_integer(row, text, &value, error))
        return false;
    bool is_clamped = row->lowest || row->highest;
    if (is_clamped && value > row->highest)
        value = row->highest;
    if (is_clamped && value < row->lowest)
        value = row->lowest;
    if (row->type == CONFIG_INT)
        *FIELD(c, row, int) = (int)value;
    else if (row->type == CONFIG_SIGNED)
        *FIELD(c, row, int64_t) = value;
    else
        *FIELD(c, row, uint64_t) = (uint64_t)value;
    return true;
}

bool config_set_row(struct config *c, const struct config_row *row, struct slice text,
                    char error[static CONFIG_ERROR_MAX])
{
    switch (row->type) {
    case CONFIG_BOOL: return set_bool(FIELD(c, row, bool), text, error);
    case CONFIG_OCTAL: return set_octal(FIELD(c, row, int), row, text, error);
    case CONFIG_BYTES: return set_bytes(FIELD(c, row, uint64_t), row, text, error);
    case CONFIG_ENUM: return set_enum(FIELD(c, row, int), row, text, error);
    case CONFIG_TEXT: return set_text(FIELD(c, row, char *), row, text, error);
    case CONFIG_SPECIAL: return row->set(c, text, error);
    case CONFIG_INT:
    case CONFIG_SIGNED:
    case CONFIG_COUNT: break;
    }
    return set_integer(c, row, text, error);
}

void config_print_row(const struct config *c, const struct config_row *row, struct buf *out)
{
    switch (row->type) {
    case CONFIG_BOOL: buf_printf(out, "%s", *CONST_FIELD(c, row, bool) ? "yes" : "no"); break;
    case CONFIG_INT: buf_printf(out, "%d", *CONST_FIELD(c, row, int)); break;
    case CONFIG_OCTAL: buf_printf(out, "%o", (unsigned)*CONST_FIELD(c, row, int)); break;
    case CONFIG_SIGNED: buf_printf(out, "%" PRIi64, *CONST_FIELD(c, row, int64_t)); break;
    case CONFIG_COUNT:
    case CONFIG_BYTES: buf_printf(out, "%" PRIu64, *CONST_FIELD(c, row, uint64_t)); break;
    case CONFIG_ENUM: buf_printf(out, "%s", row->choices[*CONST_FIELD(c, row, int)]); break;
    case CONFIG_TEXT: buf_append_slice(out, slice_from(*CONST_FIELD(c, row, char *))); break;
    case CONFIG_SPECIAL: row->print(c, out); break;
    }
}

void config_print_bytes(uint64_t bytes, struct buf *out)
{
    static const char *const names[] = {"", "kb", "mb", "gb"};
    int unit = 0;
    while (unit < 3 && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_printf(out, "%" PRIu64 "%s", bytes, names[unit]);
}

void config_print_row_for_file(const struct config *c, const struct config_row *row, struct buf *out)
{
    if (row->type == CONFIG_BYTES)
        config_print_bytes(*CONST_FIELD(c, row, uint64_t), out);
    else
        config_print_row(c, row, out);
}
