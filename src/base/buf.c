#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

enum { BUF_CAPACITY_MIN = 512 };

void buf_deinit(struct buf *b)
{
    mem_free(b->data);
    buf_init(b);
}

void buf_make_room(struct buf *b, size_t size)
{
    size_t used = buf_size(b);
    CHECK(size <= SIZE_MAX / 4 - used);
    /* Moving down is worth it only while it is cheaper than what was consumed. */
    if (b->capacity - used >= size && b->head >= used) {
        memmove(b->data, b->data + b->head, used);
    } else {
        size_t capacity = b->capacity * 2;
        if (capacity < BUF_CAPACITY_MIN)
            capacity = BUF_CAPACITY_MIN;
        if (capacity < used + size)
            capacity = used + size;
        capacity = mem_good_size(capacity);
        char *data = mem_alloc(capacity);
        if (used)
            memcpy(data, b->data + b->head, used);
        mem_free(b->data);
        b->data = data;
        b->capacity = capacity;
    }
    b->head = 0;
    b->tail = used;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    char *at = buf_reserve(b, 128);
    int length = vsnprintf(at, buf_room(b), format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    if ((size_t)length >= buf_room(b)) {
        size_t needed = (size_t)length + 1;
        vsnprintf(buf_reserve(b, needed), needed, format, again);
    }
    va_end(again);
    b->tail += (size_t)length;
}

void buf_shrink(struct buf *b, size_t keep)
{
    size_t used = buf_size(b);
    if (b->capacity <= keep || used > keep / 2)
        return;
    char *data = NULL;
    if (used) {
        data = mem_alloc(keep);
        memcpy(data, b->data + b->head, used);
    }
    mem_free(b->data);
    b->data = data;
    b->capacity = used ? keep : 0;
    b->head = 0;
    b->tail = used;
}
