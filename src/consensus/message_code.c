#include "consensus/message_code.h"

#include "base/varint.h"

enum { CONTENTS_BIT = 0x80 };

static bool has_phase(uint8_t kind)
{
    return kind == RABIA_STATE || kind == RABIA_VOTE;
}

char *message_write_head(char *at, const struct rabia_message *message)
{
    *at++ = (char)message->kind;
    *at++ = (char)message->lane;
    *at++ = (char)(message->value | (message->batch ? CONTENTS_BIT : 0));
    at = varint_write(at, message->lap);
    at = varint_write(at, message->count);
    if (has_phase(message->kind))
        at = varint_write(at, message->phase);
    if (message->kind == RABIA_CLOCK_REFUSED)
        at = varint_write(at, message->clock_ms);
    if (message->batch) {
        uint64_t previous = message->batch->previous_lap;
        at = varint_write(at, message->batch->clock_ms);
        at = varint_write(at, previous == RABIA_NO_LAP ? 0 : previous + 1);
        at = varint_write(at, message->batch->size);
    }
    return at;
}

static const char *read_contents_head(const char *at, const char *end, struct rabia_message *message)
{
    uint64_t clock, previous, size;
    if (!(at = varint_read(at, end, &clock)) || !(at = varint_read(at, end, &previous)) ||
        !(at = varint_read(at, end, &size)) || size > BATCH_BYTES_MAX)
        return NULL;
    message->batch = batch_create(size);
    message->batch->clock_ms = clock;
    message->batch->previous_lap = previous == 0 ? RABIA_NO_LAP : previous - 1;
    return at;
}

const char *message_read_head(const char *at, const char *end, struct rabia_message *message,
                              size_t contents_at_hand)
{
    if (end - at < 3)
        return NULL;
    *message = (struct rabia_message){.kind = (uint8_t)at[0], .lane = (uint8_t)at[1]};
    uint8_t value = (uint8_t)at[2];
    message->value = value & (uint8_t)~CONTENTS_BIT;
    at += 3;
    if (message->kind == 0 || message->kind >= RABIA_KIND_END || message->value > RABIA_UNSURE)
        return NULL;
    if (!(at = varint_read(at, end, &message->lap)) || !(at = varint_read(at, end, &message->count)))
        return NULL;
    if (has_phase(message->kind)) {
        uint64_t phase;
        if (!(at = varint_read(at, end, &phase)) || phase > UINT32_MAX)
            return NULL;
        message->phase = (uint32_t)phase;
    }
    if (message->kind == RABIA_CLOCK_REFUSED && !(at = varint_read(at, end, &message->clock_ms)))
        return NULL;
    if (!(value & CONTENTS_BIT))
        return at;
    /* The size is the third number from here: look before allocating. */
    uint64_t skipped, size;
    const char *look = varint_read(at, end, &skipped);
    if (!look || !(look = varint_read(look, end, &skipped)) || !varint_read(look, end, &size) ||
        size > contents_at_hand)
        return NULL;
    return read_contents_head(at, end, message);
}
