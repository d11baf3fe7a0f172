/* The life of a waiter (waiting.h). */
#include "base/alloc.h"
#include "base/random.h"
#include "server/server.h"
#include "server/session.h"
#include "server/waiting.h"
#include "store/value.h"

static struct waiting *waiting_of(const struct session *s)
{
    return &s->server->waiting;
}

/* --- waiters ---------------------------------------------------------------------- */

static struct waiter *waiter_create(struct session *s, const struct command *row, int argc, const struct slice *argv)
{
    struct waiter *waiter = mem_calloc(1, sizeof *waiter);
    waiter->session = s;
    waiter->row = row;
    waiter->db = s->db;
    waiter->argc = argc;
    waiter->argv = slices_copy(argc, argv, NULL);
    return waiter;
}

void blocking_free(struct waiter *waiter)
{
    if (!waiter)
        return;
    mem_free(waiter->argv);
    mem_free(waiter);
}

void blocking_try(struct session *s, const struct command *row, int argc, const struct slice *argv)
{
    CHECK(!s->waiter);
    s->waiter = waiter_create(s, row, argc, argv);
}

/* Who stands behind it at its keys may have been held back for it. */
static void end_proposal(struct waiter *waiter)
{
    if (!waiter->proposed_for)
        return;
    waiter->proposed_for->proposed--;
    waiter->proposed_for = NULL;
    for (int i = 0; i < waiter->place_count; i++)
        waiting_make_ready(waiting_of(waiter->session), waiter->places[i].key);
}

/* The session waits no more; what it may take next is the caller's to look at. */
static void end_waiting(struct session *s)
{
    struct waiter *waiter = s->waiter;
    end_proposal(waiter);
    waiting_leave(waiting_of(s), waiter);
    s->waiter = NULL;
    bool was_waiting = waiter->is_waiting;
    blocking_free(waiter);
    if (was_waiting)
        session_unblock(s);
}

static void answer_ending(struct session *s, enum waiter_ending ending)
{
    struct reply *reply = session_reply_begin(s);
    bool is_null_array = s->waiter->wait.is_null_array;
    end_waiting(s);
    if (ending == ENDING_ERROR)
        reply_error(reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else if (is_null_array)
        reply_null_array(reply);
    else
        reply_null(reply);
    session_reply_end(s); /* may end the session */
}

/* The proposal is not on its way yet, and now never will be. */
static bool withdraw(struct session *s)
{
    if (!s->waiter->proposed_for || !replica_withdraw(s->server->replica, &s->order))
        return false;
    end_proposal(s->waiter);
    s->pending--;
    return true;
}

void blocking_end(struct session *s, enum waiter_ending ending)
{
    withdraw(s);
    if (s->waiter->proposed_for)
        s->waiter->ending = ending; /* unless it is answered */
    else
        answer_ending(s, ending);
}

static void on_timeout(struct session *s)
{
    blocking_end(s, ENDING_TIMEOUT);
}

void blocking_begin(struct session *s, const struct call *call, const struct call_wait *wait)
{
    if (!s->waiter)
        s->waiter = waiter_create(s, call->command, call->argc, call->argv);
    struct waiter *waiter = s->waiter;
    waiter->wait = *wait;
    if (wait->argv) {
        mem_free(waiter->argv);
        waiter->argv = wait->argv;
        waiter->argc = wait->argc;
        waiter->wait.argv = NULL;
    }
    waiter->is_waiting = true;
    waiting_enter(waiting_of(s), waiter);
    int64_t now_us = loop_now_us(s->server->loop), span_us, deadline_us;
    if (__builtin_mul_overflow(wait->timeout_ms, 1000, &span_us) || __builtin_add_overflow(now_us, span_us, &deadline_us))
        deadline_us = INT64_MAX;
    session_block(s, wait->timeout_ms ? (uint64_t)deadline_us : 0, on_timeout);
    stream_resume(s->stream); /* its end shows only to who reads */
}

void blocking_abandon(struct session *s)
{
    struct waiter *waiter = s->waiter;
    if (!waiter)
        return;
    withdraw(s);
    bool is_under_way = s->pending > 0; /* what it may yet pop is to be given back */
    end_proposal(waiter);
    waiting_leave(waiting_of(s), waiter);
    waiter->is_waiting = false;
    if (is_under_way)
        return;
    s->waiter = NULL;
    blocking_free(waiter);
}

/* XREADGROUP GROUP group consumer ...: what one reader of a group did not find
 * the others will not find either, unless the key was touched again. */
enum { GROUP_ARGUMENT = 2 };

static bool is_group_reader(const struct waiter *waiter)
{
    return waiter->wait.type == VALUE_STREAM && waiter->row->route == ROUTE_WRITE && waiter->argc > GROUP_ARGUMENT;
}

static void spare_group(struct waiter *waiter)
{
    const struct waiting_key *key = waiter->proposed_for;
    uint64_t tried = 0;
    for (int i = 0; i < waiter->place_count; i++)
        if (waiter->places[i].key == key)
            tried = waiter->places[i].tried;
    LIST_FOR_EACH(&key->places, struct waiter_place, of_key, place) {
        const struct waiter *other = place->waiter;
        if (is_group_reader(other) && slice_equal(other->argv[GROUP_ARGUMENT], waiter->argv[GROUP_ARGUMENT]) &&
            place->tried < tried)
            place->tried = tried;
    }
}

/* --- what became of proposals -------------------------------------------------------- */

/* A group that is gone while its readers wait has a text of its own. */
static void rewrite_error(struct session *s)
{
    static const char from[] = "-NOGROUP", to[] = "NOGROUP the consumer group this client was blocked on no longer exists";
    struct buf *out = s->reply.out;
    const struct waiter *waiter = s->waiter;
    if (!out || !s->reply.is_error || !is_group_reader(waiter))
        return;
    if (buf_size(out) - s->reply_start < sizeof from - 1 ||
        memcmp(buf_head(out) + s->reply_start, from, sizeof from - 1) != 0)
        return;
    out->tail = out->head + s->reply_start;
    reply_error(&s->reply, to);
}

void blocking_answered(struct session *s)
{
    if (!s->stream) {
        blocking_free(s->waiter);
        s->waiter = NULL;
        return;
    }
    if (s->waiter->is_waiting)
        rewrite_error(s);
    end_waiting(s);
}

void blocking_again(struct session *s, const struct call_wait *wait)
{
    mem_free(wait->argv);
    if (!s->stream) {
        blocking_free(s->waiter);
        s->waiter = NULL;
        return;
    }
    struct waiter *waiter = s->waiter;
    if (is_group_reader(waiter))
        spare_group(waiter);
    end_proposal(waiter);
    if (waiter->ending)
        answer_ending(s, waiter->ending);
}

bool blocking_failed(struct session *s, bool may_have_happened)
{
    struct waiter *waiter = s->waiter;
    if (!waiter || !waiter->is_waiting || may_have_happened) {
        if (waiter && s->stream)
            end_waiting(s);
        return false;
    }
    end_proposal(waiter);
    if (waiter->ending)
        answer_ending(s, waiter->ending);
    else
        list_append(&waiting_of(s)->failed, &waiter->failed_link);
    return true;
}

/* --- serving ------------------------------------------------------------------------- */

/* The command for the one key that was touched.  The array is the caller's to
 * free; the words are the waiter's. */
static struct slice *narrow(const struct waiter *waiter, const struct waiter_place *place, int *argc)
{
    static const char one[] = "1";
    const struct call_wait *wait = &waiter->wait;
    const struct command *row = waiter->row;
    int keys = (wait->last_key - wait->first_key) / wait->key_step + 1, at = 0;
    bool is_counted = row->key_spec_count > 0 && row->key_specs[0].find == KEY_FIND_NUMKEYS;
    bool is_paired = row->key_spec_count > 0 && row->key_specs[0].find == KEY_FIND_RANGE && row->key_specs[0].limit == 2;
    struct slice *argv = mem_alloc((size_t)waiter->argc * sizeof *argv);
    for (int i = 0; i < wait->first_key; i++)
        argv[at++] = waiter->argv[i];
    if (is_counted && keys > 1)
        argv[at - 1] = slice_make(one, 1);
    argv[at++] = waiter->argv[place->argument];
    if (is_paired) /* XREAD: an id for each key, behind them all */
        argv[at++] = waiter->argv[place->argument + keys * wait->key_step];
    for (int i = wait->last_key + 1 + (is_paired ? keys : 0); i < waiter->argc; i++)
        argv[at++] = waiter->argv[i];
    *argc = at;
    return argv;
}

/* It may go on waiting. */
static void serve_here(struct waiter_place *place)
{
    struct waiter *waiter = place->waiter;
    struct session *s = waiter->session;
    struct replica *replica = s->server->replica;
    if (session_is_abandoned(s)) {
        session_kill(s, "gone while it waited");
        return;
    }
    struct call_wait again = {.is_wanted = false};
    struct call call = {
        .ks = s->server->keyspace,
        .reply = session_reply_begin(s),
        .command = waiter->row,
        .db = waiter->db,
        .table = s->server->commands,
        .wait = &again,
    };
    s->reply_start = call.reply->out ? buf_size(call.reply->out) : 0;
    if (replica_is_lone(replica)) {
        replica_begin(replica);
        call.position = replica_position(replica);
        call.seed = random_mix(call.position);
    }
    call.now_ms = keyspace_now(call.ks);
    struct slice *argv = narrow(waiter, place, &call.argc);
    call.argv = argv;
    waiter->row->handler(&call);
    mem_free(argv);
    mem_free(again.argv);
    if (again.is_wanted)
        return;
    if (replica_is_lone(replica))
        s->last_write_position = call.position;
    rewrite_error(s);
    if (s->reply.is_error && s->reply.out)
        session_count_error(s, s->reply_start);
    end_waiting(s);
    session_reply_end(s);
}

static void propose(struct waiter_place *place)
{
    struct waiter *waiter = place->waiter;
    struct session *s = waiter->session;
    int argc;
    struct slice *argv = narrow(waiter, place, &argc);
    waiter->proposed_for = place->key;
    place->tried = place->key->touches;
    place->key->proposed++;
    s->pending++;
    replica_submit(s->server->replica, &s->order, waiter->row, waiter->db, argc, argv);
    mem_free(argv);
}

static void refuse_reader(struct waiter *waiter)
{
    struct session *s = waiter->session;
    struct reply *reply = session_reply_begin(s);
    s->reply_start = reply->out ? buf_size(reply->out) : 0;
    end_waiting(s);
    reply_error(reply, "UNBLOCKED the stream key no longer exists");
    if (reply->out)
        session_count_error(s, s->reply_start);
    session_reply_end(s);
}

/* Readers of groups do not wait for a stream that is gone. */
static void refuse_readers(struct waiting_key *key)
{
    LIST_FOR_EACH(&key->places, struct waiter_place, of_key, place) {
        struct waiter *waiter = place->waiter;
        if (!is_group_reader(waiter))
            continue;
        withdraw(waiter->session);
        if (!waiter->proposed_for)
            refuse_reader(waiter);
    }
}

static size_t count_of(const struct entry *e)
{
    const struct object_type *type = object_type_of(entry_type(e));
    if (!type || !type->count || entry_type(e) == VALUE_STREAM) /* what a group's readers can have is not known here */
        return 1;
    struct value v = entry_value(e);
    return type->count(&v);
}

static const struct entry *look_at(const struct waiting *w, const struct waiting_key *key)
{
    return keyspace_peek(w->server->keyspace, key->db, slice_make(key->bytes, key->size));
}

/* In order, as many as can be. */
static void serve_waiters(struct waiting *w, struct waiting_key *key)
{
    bool is_lone = replica_is_lone(w->server->replica);
    LIST_FOR_EACH(&key->places, struct waiter_place, of_key, place) {
        const struct entry *e = look_at(w, key);
        if (!e || key->waiters[entry_type(e)] == 0)
            return;
        struct waiter *waiter = place->waiter;
        if (waiter->wait.type != entry_type(e) || waiter->proposed_for || list_is_linked(&waiter->failed_link))
            continue;
        if (is_lone || waiter->row->route == ROUTE_READ)
            serve_here(place);
        else if (place->tried == key->touches)
            continue;
        else if (key->proposed < count_of(e))
            propose(place);
        else
            return;
    }
}

static void serve_key(struct waiting *w, struct waiting_key *key)
{
    list_remove(&key->ready_link);
    key->is_served = true;
    if (key->group_readers > 0) {
        const struct entry *e = look_at(w, key);
        if (!e || entry_type(e) != VALUE_STREAM)
            refuse_readers(key);
    }
    serve_waiters(w, key);
    key->is_served = false;
    waiting_release(w, key);
}

void blocking_serve(struct server *server)
{
    struct waiting *w = &server->waiting;
    while (waiting_has_ready(w) && !replica_is_full(server->replica))
        serve_key(w, LIST_ENTRY(list_first(&w->ready), struct waiting_key, ready_link));
}

void blocking_cron(struct server *server)
{
    struct waiting *w = &server->waiting;
    if (dict_size(&w->keys) == 0 || replica_is_lone(server->replica) || replica_refusal(server->replica))
        return;
    LIST_FOR_EACH(&w->failed, struct waiter, failed_link, waiter) {
        list_remove(&waiter->failed_link);
        for (int i = 0; i < waiter->place_count; i++)
            waiter->places[i].tried = 0;
        waiting_touch(w, waiter);
    }
    /* Data that came as a whole touched nothing. */
    struct replica_status status;
    replica_get_status(server->replica, &status);
    if (status.snapshots_received != w->snapshots_seen)
        waiting_touch_all(w);
    w->snapshots_seen = status.snapshots_received;
}
