#include "replica/batch_code.h"

#include "base/alloc.h"

static size_t body_size(int db, int argc, const struct slice *argv)
{
    size_t size = varint_size((uint64_t)db) + varint_size((uint64_t)argc);
    for (int i = 0; i < argc; i++)
        size += varint_size(argv[i].len) + argv[i].len;
    return size;
}

size_t batch_encoded_size(int db, int argc, const struct slice *argv)
{
    size_t body = body_size(db, argc, argv);
    return varint_size(body) + body;
}

void batch_encode(struct buf *out, int db, int argc, const struct slice *argv)
{
    CHECK(argc > 0);
    CHECK(db >= 0);
    size_t body = body_size(db, argc, argv);
    char *begin = buf_reserve(out, VARINT_MAX + body);
    char *at = varint_write(begin, body);
    at = varint_write(at, (uint64_t)db);
    at = varint_write(at, (uint64_t)argc);
    for (int i = 0; i < argc; i++) {
        at = varint_write(at, argv[i].len);
        if (argv[i].len)
            memcpy(at, argv[i].ptr, argv[i].len);
        at += argv[i].len;
    }
    buf_extend(out, (size_t)(at - begin));
}

void batch_arguments_deinit(struct batch_arguments *arguments)
{
    mem_free(arguments->argv);
    *arguments = (struct batch_arguments){0};
}

static void make_room(struct batch_arguments *arguments, int needed)
{
    if (needed <= arguments->capacity)
        return;
    int capacity = arguments->capacity ? arguments->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    arguments->argv = mem_realloc(arguments->argv, (size_t)capacity * sizeof *arguments->argv);
    arguments->capacity = capacity;
}

enum status batch_decode(const char **at, const char *end, struct batch_arguments *arguments, int used, int *db,
                         int *argc)
{
    uint64_t body, database, count;
    const char *p = varint_read(*at, end, &body);
    if (!p || body > (uint64_t)(end - p))
        return STATUS_MALFORMED;
    end = p + body;
    if (!(p = varint_read(p, end, &database)) || database > INT32_MAX)
        return STATUS_MALFORMED;
    /* Each argument takes at least a byte, so count is bounded by what is there. */
    if (!(p = varint_read(p, end, &count)) || count == 0 || count > (uint64_t)(end - p) ||
        count > BATCH_ARGUMENTS_MAX)
        return STATUS_MALFORMED;
    make_room(arguments, used + (int)count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length;
        if (!(p = varint_read(p, end, &length)) || length > (uint64_t)(end - p))
            return STATUS_MALFORMED;
        arguments->argv[used + (int)i] = slice_make(p, length);
        p += length;
    }
    if (p != end)
        return STATUS_MALFORMED;
    *at = end;
    *db = (int)database;
    *argc = (int)count;
    return STATUS_OK;
}
