#include "admin/words.h"

#include "base/alloc.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f' || c == '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char unescape(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* One escape of a double-quoted word at *at, which moves behind it. */
static char read_escape(struct slice line, size_t *at)
{
    const char *p = line.ptr + *at;
    size_t left = line.len - *at;
    if (left >= 4 && p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
        *at += 4;
        return (char)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
    }
    *at += 2;
    return unescape(p[1]);
}

/* The quoted part at *at (on the opening quote) to *out; both move behind. */
static enum status read_quoted(struct slice line, size_t *at, char **out)
{
    char quote = line.ptr[(*at)++];
    while (*at < line.len && line.ptr[*at] != quote) {
        bool is_pair = line.ptr[*at] == '\\' && *at + 1 < line.len;
        if (is_pair && quote == '"') {
            *(*out)++ = read_escape(line, at);
        } else if (is_pair && line.ptr[*at + 1] == '\'') {
            *(*out)++ = '\'';
            *at += 2;
        } else {
            *(*out)++ = line.ptr[(*at)++];
        }
    }
    if (*at == line.len)
        return STATUS_MALFORMED; /* never closed */
    (*at)++;
    return *at < line.len && !is_blank(line.ptr[*at]) ? STATUS_MALFORMED : STATUS_OK;
}

static enum status read_word(struct slice line, size_t *at, char **out)
{
    while (*at < line.len && !is_blank(line.ptr[*at])) {
        if (line.ptr[*at] == '"' || line.ptr[*at] == '\'')
            return read_quoted(line, at, out);
        *(*out)++ = line.ptr[(*at)++];
    }
    return STATUS_OK;
}

enum status words_split(struct words *w, struct slice line)
{
    /* A word takes a byte and a blank at least, and never grows by reading. */
    struct words split = {.words = mem_calloc(line.len / 2 + 1, sizeof *split.words),
                          .bytes = mem_alloc(line.len + 1)};
    char *out = split.bytes;
    size_t at = 0;
    for (;;) {
        while (at < line.len && is_blank(line.ptr[at]))
            at++;
        if (at == line.len)
            break;
        char *begin = out;
        enum status status = read_word(line, &at, &out);
        if (status != STATUS_OK) {
            words_deinit(&split);
            return status;
        }
        split.words[split.count++] = slice_make(begin, (size_t)(out - begin));
    }
    *w = split;
    return STATUS_OK;
}

void words_deinit(struct words *w)
{
    mem_free(w->words);
    mem_free(w->bytes);
    *w = (struct words){0};
}

void words_join(const struct words *w, size_t first, struct buf *out)
{
    for (size_t i = first; i < w->count; i++) {
        if (i > first)
            buf_append(out, " ", 1);
        buf_append_slice(out, w->words[i]);
    }
}

static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\')
            return false;
    }
    return text.len > 0 && text.ptr[0] != '#';
}

void words_quote(struct slice text, struct buf *out)
{
    if (is_plain(text)) {
        buf_append_slice(out, text);
        return;
    }
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c > '~')
            buf_printf(out, "\\x%02x", (unsigned)(unsigned char)c);
        else
            buf_append(out, &c, 1);
    }
    buf_append(out, "\"", 1);
}
