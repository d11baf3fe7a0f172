/* What was popped for a client that is gone goes back where it came from.
 *
 * When a pop is applied, every replica takes the element; only the waiter's
 * knows that nobody is there.  It reads from the reply what was taken, and
 * proposes the command that undoes it (INTERNAL_GIVEBACK), exactly once: the
 * caretaker numbers it.  Meanwhile others find the element gone, as if the
 * client had taken it and put it back. */
#include <stdio.h>

#include "base/alloc.h"
#include "server/server.h"
#include "server/session.h"
#include "server/waiting.h"

enum way { FROM_LEFT, FROM_RIGHT, FROM_ARGUMENT, FROM_SORTED_SET };

static const struct {
    const char *name;
    enum way way;
} pops[] = {
    {"blpop", FROM_LEFT},         {"brpop", FROM_RIGHT},         {"blmpop", FROM_ARGUMENT},
    {"bzpopmin", FROM_SORTED_SET}, {"bzpopmax", FROM_SORTED_SET}, {"bzmpop", FROM_SORTED_SET},
};
enum { POP_COUNT = sizeof pops / sizeof *pops };

static int pop_of(const struct command *row)
{
    int i = 0;
    while (i < POP_COUNT && !slice_is(slice_from(row->name), pops[i].name))
        i++;
    return i;
}

bool giveback_concerns(const struct command *row)
{
    return pop_of(row) < POP_COUNT;
}

/* --- reading the reply --------------------------------------------------------------- */

/* All bulk strings of a RESP2 reply, whatever arrays they stand in: the key,
 * then what was taken from it.  Returns how many; bulks NULL only counts. */
static int read_bulks(struct slice reply, struct slice *bulks)
{
    const char *at = reply.ptr, *end = reply.ptr + reply.len;
    int count = 0;
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        int64_t size;
        CHECK(line_end);
        bool is_bulk = *at == '$' && slice_to_int64(slice_make(at + 1, (size_t)(line_end - at - 1)), &size) && size >= 0;
        at = line_end + 2;
        if (!is_bulk)
            continue;
        CHECK(size + 2 <= end - at);
        if (bulks)
            bulks[count] = slice_make(at, (size_t)size);
        count++;
        at += size + 2;
    }
    return count;
}

/* --- the command that undoes it -------------------------------------------------------- */

static enum way way_of(const struct waiter *waiter)
{
    enum way way = pops[pop_of(waiter->row)].way;
    int64_t keys;
    if (way != FROM_ARGUMENT)
        return way;
    CHECK(slice_to_int64(waiter->argv[2], &keys)); /* it has run, so it was sound */
    return slice_is(waiter->argv[3 + keys], "LEFT") ? FROM_LEFT : FROM_RIGHT;
}

/* What was taken first goes back last. */
static int write_push(struct slice *argv, enum way way, const struct slice *bulks, int count)
{
    int at = 0;
    argv[at++] = way == FROM_LEFT ? SLICE_LITERAL("lpush") : SLICE_LITERAL("rpush");
    argv[at++] = bulks[0];
    for (int i = count - 1; i > 0; i--)
        argv[at++] = bulks[i];
    return at;
}

/* A member that somebody has added since keeps its new score. */
static int write_add(struct slice *argv, const struct slice *bulks, int count)
{
    int at = 0;
    argv[at++] = SLICE_LITERAL("zadd");
    argv[at++] = bulks[0];
    argv[at++] = SLICE_LITERAL("nx");
    for (int i = 1; i + 1 < count; i += 2) {
        argv[at++] = bulks[i + 1];
        argv[at++] = bulks[i];
    }
    return at;
}

void giveback_take(struct waiter *waiter, struct slice reply)
{
    if (reply.len == 0 || reply.ptr[0] != '*')
        return;
    int count = read_bulks(reply, NULL);
    if (count < 2)
        return; /* nothing was there */
    struct slice *bulks = mem_alloc((size_t)count * sizeof *bulks);
    struct slice *argv = mem_alloc((size_t)(count + 3) * sizeof *argv);
    read_bulks(reply, bulks);
    enum way way = way_of(waiter);
    int argc = way == FROM_SORTED_SET ? write_add(argv, bulks, count) : write_push(argv, way, bulks, count);
    caretaker_give_back(&waiter->session->server->caretaker, waiter->db, argc, argv);
    mem_free(argv);
    mem_free(bulks);
}
