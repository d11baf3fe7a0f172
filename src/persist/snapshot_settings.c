#include "persist/snapshot_settings.h"

#include "persist/snapshot_format.h"

enum { NUMBER_BYTES = 4, VALUE_BYTES = 8, ROW_BYTES = NUMBER_BYTES + VALUE_BYTES };

void snapshot_settings_put(struct buf *out, const struct settings *settings)
{
    for (enum setting i = 0; i < SETTING_COUNT; i++) {
        if (!setting_is_agreed(settings, i))
            continue;
        char *at = put_le(buf_reserve(out, ROW_BYTES), (uint64_t)i, NUMBER_BYTES);
        put_le(at, (uint64_t)setting_value(settings, i), VALUE_BYTES);
        buf_extend(out, ROW_BYTES);
    }
}

bool snapshot_settings_take(struct slice body, struct settings *into)
{
    settings_init(into);
    if (body.len == 0 || body.len % ROW_BYTES != 0)
        return false;
    uint64_t next = 0; /* they ascend */
    for (const char *at = body.ptr; at < body.ptr + body.len; at += ROW_BYTES) {
        uint64_t number = get_le(at, NUMBER_BYTES);
        int64_t value = (int64_t)get_le(at + NUMBER_BYTES, VALUE_BYTES);
        if (number < next || number >= SETTING_COUNT)
            return false;
        if (value < setting_bounds[number].min || value > setting_bounds[number].max)
            return false;
        into->values[number] = value;
        into->agreed |= UINT32_C(1) << number;
        next = number + 1;
    }
    return true;
}
