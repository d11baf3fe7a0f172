#include "replica/roster.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

enum { ROSTER_FORMAT = 1 };

/* --- looking --------------------------------------------------------------- */

int roster_find(const struct roster *roster, uint64_t id)
{
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (roster->entries[i].state != ROSTER_UNUSED && roster->entries[i].id == id)
            return i;
    return -1;
}

uint8_t roster_width(const struct roster *roster)
{
    uint8_t width = RABIA_MEMBERS_MAX;
    while (width > 0 && roster->entries[width - 1].state == ROSTER_UNUSED)
        width--;
    return width;
}

uint16_t roster_mask(const struct roster *roster, enum roster_state state)
{
    uint16_t mask = 0;
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (roster->entries[i].state == state)
            mask |= (uint16_t)(1u << i);
    return mask;
}

void roster_print_address(const char *host, int port, char text[static ROSTER_ADDRESS_MAX])
{
    snprintf(text, ROSTER_ADDRESS_MAX, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

bool roster_read_address(struct slice text, char host[static ROSTER_HOST_MAX], int *port)
{
    const char *colon = memrchr(text.ptr, ':', text.len);
    uint64_t number;
    if (!colon || !slice_to_uint64(slice_make(colon + 1, (size_t)(text.ptr + text.len - colon - 1)), &number) ||
        number == 0 || number > UINT16_MAX)
        return false;
    struct slice name = slice_make(text.ptr, (size_t)(colon - text.ptr));
    if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = slice_make(name.ptr + 1, name.len - 2);
    if (name.len == 0 || name.len >= ROSTER_HOST_MAX || memchr(name.ptr, '\0', name.len) ||
        memchr(name.ptr, ' ', name.len) || memchr(name.ptr, '@', name.len))
        return false;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    *port = (int)number;
    return true;
}

/* --- reading a command ------------------------------------------------------ */

static bool read_id(struct slice text, uint16_t *id, char *reason)
{
    uint64_t number;
    if (!slice_to_uint64(text, &number) || number == 0 || number > UINT16_MAX) {
        snprintf(reason, ROSTER_REASON_MAX, "ERR a member's id is a number from 1 to 65535");
        return false;
    }
    *id = (uint16_t)number;
    return true;
}

static bool read_address(struct slice text, struct roster_change *change, char *reason)
{
    if (roster_read_address(text, change->host, &change->port))
        return true;
    snprintf(reason, ROSTER_REASON_MAX, "ERR a member's address is host:port");
    return false;
}

bool roster_read_change(int argc, const struct slice *argv, struct roster_change *change,
                        char reason[static ROSTER_REASON_MAX])
{
    *change = (struct roster_change){0};
    if (argc == 4 && slice_is(argv[1], "add"))
        change->verb = ROSTER_ADD;
    else if (argc == 4 && slice_is(argv[1], "move"))
        change->verb = ROSTER_MOVE;
    else if (argc == 3 && slice_is(argv[1], "remove"))
        change->verb = ROSTER_REMOVE;
    else if (argc == 3 && slice_is(argv[1], "voice"))
        change->verb = ROSTER_VOICE;
    else if (argc == 5 && slice_is(argv[1], "replace"))
        change->verb = ROSTER_REPLACE;
    else {
        snprintf(reason, ROSTER_REASON_MAX, "ERR syntax error");
        return false;
    }
    if (change->verb == ROSTER_REPLACE)
        return read_id(argv[2], &change->old, reason) && read_id(argv[3], &change->id, reason) &&
               read_address(argv[4], change, reason);
    return read_id(argv[2], &change->id, reason) && (argc == 3 || read_address(argv[3], change, reason));
}

/* --- changing -------------------------------------------------------------- */

static bool refuse(char *reason, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char *reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, ROSTER_REASON_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static const char *state_text(enum roster_state state)
{
    return state == ROSTER_LEARNER ? "a learner" : state == ROSTER_MEMBER ? "a member" : "removed";
}

static bool is_address_free(const struct roster *roster, const struct roster_change *change, char *reason)
{
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++) {
        const struct roster_entry *entry = &roster->entries[i];
        bool is_there = entry->state == ROSTER_LEARNER || entry->state == ROSTER_MEMBER;
        if (is_there && entry->id != change->id && entry->port == change->port && strcmp(entry->host, change->host) == 0)
            return refuse(reason, "ERR that is the address of %u, which is %s", entry->id, state_text(entry->state));
    }
    return true;
}

static bool is_id_new(const struct roster *roster, uint16_t id, char *reason)
{
    int index = roster_find(roster, id);
    if (index < 0)
        return true;
    const struct roster_entry *entry = &roster->entries[index];
    if (entry->state == ROSTER_REMOVED)
        return refuse(reason, "ERR %u was removed from this cluster; an id is never used again, take a new one", id);
    char address[ROSTER_ADDRESS_MAX];
    roster_print_address(entry->host, entry->port, address);
    return refuse(reason, "ERR %u is %s already, at %s; RABIA MOVE changes its address", id, state_text(entry->state),
                  address);
}

static bool add(struct roster *next, const struct roster_change *change, char *reason)
{
    if (!is_id_new(next, change->id, reason) || !is_address_free(next, change, reason))
        return false;
    uint8_t index = roster_width(next);
    if (index == RABIA_MEMBERS_MAX)
        return refuse(reason,
                      "ERR all %d places of this cluster were given, and the place of a removed member is not given "
                      "again; a snapshot restored into a new cluster begins anew",
                      RABIA_MEMBERS_MAX);
    struct roster_entry *entry = &next->entries[index];
    *entry = (struct roster_entry){
        .state = ROSTER_LEARNER, .id = change->id, .replaces = change->old, .port = change->port};
    memcpy(entry->host, change->host, sizeof entry->host);
    return true;
}

/* The entry of id if it is there still, or NULL. */
static struct roster_entry *find_there(struct roster *roster, uint16_t id, char *reason)
{
    int index = roster_find(roster, id);
    if (index < 0) {
        refuse(reason, "ERR %u is no member of this cluster", id);
        return NULL;
    }
    if (roster->entries[index].state == ROSTER_REMOVED) {
        refuse(reason, "ERR %u was removed from this cluster already", id);
        return NULL;
    }
    return &roster->entries[index];
}

static bool replace(struct roster *next, const struct roster_change *change, char *reason)
{
    const struct roster_entry *old = find_there(next, change->old, reason);
    if (!old)
        return false;
    if (old->state != ROSTER_MEMBER)
        return refuse(reason, "ERR %u is a learner: remove it, then add %u", change->old, change->id);
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++)
        if (next->entries[i].state == ROSTER_LEARNER && next->entries[i].replaces == change->old)
            return refuse(reason, "ERR %u is being replaced already, by %u", change->old, next->entries[i].id);
    return add(next, change, reason);
}

static bool remove_entry(struct roster *next, const struct roster_change *change, char *reason)
{
    struct roster_entry *entry = find_there(next, change->id, reason);
    if (!entry)
        return false;
    bool is_last = entry->state == ROSTER_MEMBER && __builtin_popcount(roster_mask(next, ROSTER_MEMBER)) == 1;
    if (is_last)
        return refuse(reason, "ERR %u is the last member", change->id);
    entry->state = ROSTER_REMOVED;
    return true;
}

static bool move(struct roster *next, const struct roster_change *change, char *reason)
{
    struct roster_entry *entry = find_there(next, change->id, reason);
    if (!entry || !is_address_free(next, change, reason))
        return false;
    entry->port = change->port;
    memcpy(entry->host, change->host, sizeof entry->host);
    return true;
}

static bool give_voice(struct roster *next, const struct roster_change *change, char *reason)
{
    struct roster_entry *entry = find_there(next, change->id, reason);
    if (!entry)
        return false;
    if (entry->state != ROSTER_LEARNER)
        return refuse(reason, "ERR %u is a member already", change->id);
    int old = entry->replaces ? roster_find(next, entry->replaces) : -1;
    if (old >= 0)
        next->entries[old].state = ROSTER_REMOVED;
    entry->state = ROSTER_MEMBER;
    entry->replaces = 0;
    return true;
}

bool roster_apply(const struct roster *now, const struct roster_change *change, uint64_t position, struct roster *next,
                  char reason[static ROSTER_REASON_MAX])
{
    *next = *now;
    next->version++;
    next->position = position;
    switch (change->verb) {
    case ROSTER_ADD: return add(next, change, reason);
    case ROSTER_REMOVE: return remove_entry(next, change, reason);
    case ROSTER_REPLACE: return replace(next, change, reason);
    case ROSTER_MOVE: return move(next, change, reason);
    case ROSTER_VOICE: return give_voice(next, change, reason);
    }
    CHECK_UNREACHABLE();
}

void roster_keep(struct roster *roster, uint16_t mask)
{
    CHECK(roster_mask(roster, ROSTER_MEMBER) & mask);
    for (int i = 0; i < RABIA_MEMBERS_MAX; i++) {
        struct roster_entry *entry = &roster->entries[i];
        if (entry->state == ROSTER_MEMBER && !(mask >> i & 1))
            entry->state = ROSTER_REMOVED;
    }
    roster->version++;
}

/* --- writing it down ------------------------------------------------------- */

static unsigned char *put(unsigned char *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *at++ = (unsigned char)(value >> (8 * i));
    return at;
}

size_t roster_encode(const struct roster *roster, unsigned char bytes[static ROSTER_BYTES_MAX])
{
    uint8_t count = roster_width(roster);
    unsigned char *at = put(bytes, ROSTER_FORMAT, 1);
    at = put(at, roster->version, 8);
    at = put(at, roster->position, 8);
    at = put(at, count, 1);
    for (uint8_t i = 0; i < count; i++) {
        const struct roster_entry *entry = &roster->entries[i];
        size_t length = strlen(entry->host);
        at = put(at, (uint64_t)entry->state, 1);
        at = put(at, entry->id, 2);
        at = put(at, entry->replaces, 2);
        at = put(at, (uint64_t)entry->port, 2);
        at = put(at, length, 1);
        memcpy(at, entry->host, length);
        at += length;
    }
    CHECK(at <= bytes + ROSTER_BYTES_MAX);
    return (size_t)(at - bytes);
}

/* Takes size bytes; after a failure nothing more, and value 0. */
static uint64_t take(struct slice *from, size_t size, bool *is_good)
{
    uint64_t value = 0;
    *is_good = *is_good && from->len >= size;
    for (size_t i = 0; *is_good && i < size; i++)
        value |= (uint64_t)(unsigned char)from->ptr[i] << (8 * i);
    if (*is_good)
        *from = slice_make(from->ptr + size, from->len - size);
    return value;
}

static bool decode_entry(struct slice *from, struct roster_entry *entry)
{
    bool is_good = true;
    uint64_t state = take(from, 1, &is_good);
    entry->state = state < ROSTER_STATE_END ? (enum roster_state)state : ROSTER_UNUSED;
    entry->id = (uint16_t)take(from, 2, &is_good);
    entry->replaces = (uint16_t)take(from, 2, &is_good);
    entry->port = (int)take(from, 2, &is_good);
    size_t length = take(from, 1, &is_good);
    if (!is_good || entry->state == ROSTER_UNUSED || from->len < length || memchr(from->ptr, '\0', length))
        return false;
    memcpy(entry->host, from->ptr, length);
    *from = slice_make(from->ptr + length, from->len - length);
    return true;
}

bool roster_decode(struct slice bytes, struct roster *roster)
{
    bool is_good = true;
    struct roster read = {0};
    if (take(&bytes, 1, &is_good) != ROSTER_FORMAT)
        return false;
    read.version = take(&bytes, 8, &is_good);
    read.position = take(&bytes, 8, &is_good);
    uint64_t count = take(&bytes, 1, &is_good);
    if (!is_good || count > RABIA_MEMBERS_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!decode_entry(&bytes, &read.entries[i]))
            return false;
        if (roster_find(&read, read.entries[i].id) != (int)i)
            return false;
    }
    if (bytes.len > 0 || roster_mask(&read, ROSTER_MEMBER) == 0)
        return false;
    *roster = read;
    return true;
}
