/* RABIA LINK: a peer introduces itself, and its connection becomes a link. */
#include <inttypes.h>
#include <stdio.h>

#include "server/server.h"
#include "server/session.h"

void rabia_link_command(struct call *c);

static bool read_hello(const struct call *c, struct replica_hello *hello)
{
    hello->cluster_name = c->argv[3];
    hello->members = c->argv[4];
    return slice_to_uint64(c->argv[2], &hello->version) && slice_to_uint64(c->argv[5], &hello->from_id) &&
           slice_to_uint64(c->argv[6], &hello->to_id) && slice_to_uint64(c->argv[7], &hello->incarnation);
}

/* RABIA LINK version cluster-name members from-id to-id incarnation */
void rabia_link_command(struct call *c)
{
    struct session *s = call_session(c);
    struct replica *replica = s->server->replica;
    struct replica_hello hello;
    if (!read_hello(c, &hello)) {
        reply_error(c->reply, "ERR link refused: malformed introduction");
        return;
    }
    const char *refusal = replica_check_hello(replica, &hello);
    if (refusal) {
        reply_error(c->reply, refusal);
        session_close_after_reply(s);
        return;
    }
    char answer[32];
    int length = snprintf(answer, sizeof answer, "OK %" PRIu64, replica_incarnation(replica));
    reply_bulk(c->reply, slice_make(answer, (size_t)length));
    s->becomes_link = true;
    s->link_from_id = hello.from_id;
    s->link_incarnation = hello.incarnation;
}
