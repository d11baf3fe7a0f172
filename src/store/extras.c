#include "store/extras.h"

#include "base/varint.h"
#include "store/marks.h"
#include "store/settings.h"
#include "store/watch.h"

static void write_number(struct buf *out, uint64_t number)
{
    char *at = buf_reserve(out, VARINT_MAX);
    buf_extend(out, (size_t)(varint_write(at, number) - at));
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t word)
{
    return (int64_t)(word >> 1 ^ (word & 1 ? UINT64_MAX : 0));
}

void extras_write(struct keyspace *ks, struct buf *out)
{
    const struct settings *settings = keyspace_settings(ks);
    write_number(out, SETTING_COUNT);
    for (enum setting i = 0; i < SETTING_COUNT; i++)
        write_number(out, zigzag(settings->values[i]));
    write_number(out, settings->agreed);
    marks_write(keyspace_marks(ks), out);
    watches_write(keyspace_watches(ks), out);
}

static bool read_settings(struct settings *settings, const char **at, const char *end)
{
    uint64_t count, word;
    settings_init(settings);
    if (!(*at = varint_read(*at, end, &count)) || count > SETTING_COUNT)
        return false;
    for (enum setting i = 0; i < count; i++) {
        if (!(*at = varint_read(*at, end, &word)))
            return false;
        settings->values[i] = unzigzag(word);
        if (settings->values[i] < setting_bounds[i].min || settings->values[i] > setting_bounds[i].max)
            return false;
    }
    if (!(*at = varint_read(*at, end, &word)) || word >> count)
        return false;
    settings->agreed = (uint32_t)word;
    return true;
}

bool extras_read(struct keyspace *ks, struct slice bytes)
{
    const char *at = bytes.ptr, *end = bytes.ptr + bytes.len;
    struct settings settings;
    watch_drop_all(keyspace_watches(ks));
    if (!read_settings(&settings, &at, end))
        return false;
    keyspace_replace_settings(ks, &settings);
    return marks_read(keyspace_marks(ks), &at, end) && watches_read(keyspace_watches(ks), &at, end) && at == end;
}
