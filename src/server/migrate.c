#include "server/migrate.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/run.h"
#include "net/dial.h"
#include "server/dispatch.h"
#include "server/server.h"
#include "store/digest.h"

enum { TIMEOUT_DEFAULT_MS = 1000, READS_PER_KEY = 3, LINE_MAX_BYTES = 64 * 1024 };

struct moved_key {
    struct slice name;
    struct buf payload; /* empty: there is no such key */
    char digest[DIGEST_TEXT_BYTES];
    int64_t expire_at;  /* -1: never */
    bool is_accepted;
};

struct migration {
    struct session *session;
    struct slice *argv; /* a copy; names are in it */
    int argc;
    struct moved_key *keys;
    size_t key_count, reads_done, sent, replies;
    struct slice host, port, db, username, password; /* ptr NULL: none */
    int64_t timeout_us;
    bool is_copy, may_replace, is_deleting;
    bool has_failed; /* a read did */
    struct buf captured;
    struct reply reply;
    struct dial *dial;
    struct stream *stream;
    struct timer timer;
    char refusal[256]; /* of the target: the first one; empty: none */
    char dial_refusal[256];
};

/* --- the end ------------------------------------------------------------------ */

void migrate_abandon(struct session *s)
{
    struct migration *m = s->migration;
    if (!m)
        return;
    if (m->dial)
        dial_cancel(m->dial);
    if (m->stream)
        stream_free(m->stream);
    m->dial = NULL;
    m->stream = NULL;
    timer_cancel(&m->timer);
}

void migrate_free(struct session *s)
{
    struct migration *m = s->migration;
    if (!m)
        return;
    migrate_abandon(s);
    for (size_t i = 0; i < m->key_count; i++)
        buf_deinit(&m->keys[i].payload);
    buf_deinit(&m->captured);
    mem_free(m->keys);
    mem_free(m->argv);
    mem_free(m);
    s->migration = NULL;
}

/* text begins with its kind: "+OK", "-ERR ...". */
static void answer(struct session *s, const char *text)
{
    migrate_free(s);
    session_unblock(s);
    struct reply *reply = session_reply_begin(s);
    if (*text == '+')
        reply_simple(reply, text + 1);
    else
        reply_error(reply, text + 1);
    session_reply_end(s); /* may end the session */
}

/* --- handing commands to the order ----------------------------------------------- */

static void submit(struct migration *m, const struct command *row, int argc, const struct slice *argv)
{
    struct session *s = m->session;
    if (!replica_is_lone(s->server->replica)) {
        s->pending++;
        replica_submit(s->server->replica, &s->order, row, s->db, argc, argv);
        return;
    }
    replica_begin(s->server->replica);
    struct call call = {
        .ks = s->server->keyspace,
        .reply = migrate_reply(s),
        .command = row,
        .argc = argc,
        .argv = argv,
        .db = s->db,
        .now_ms = keyspace_now(s->server->keyspace),
        .position = replica_position(s->server->replica),
        .table = s->server->commands,
    };
    command_run(&call);
}

struct reply *migrate_reply(struct session *s)
{
    struct migration *m = s->migration;
    buf_clear(&m->captured);
    m->reply = (struct reply){.out = &m->captured, .protocol = 2};
    return &m->reply;
}

/* --- reading -------------------------------------------------------------------- */

static int64_t captured_integer(const struct buf *captured)
{
    struct slice all = buf_slice(captured);
    int64_t value = -1;
    const char *end = all.len ? memchr(all.ptr, '\r', all.len) : NULL;
    if (end && all.ptr[0] == ':')
        slice_to_int64(slice_make(all.ptr + 1, (size_t)(end - all.ptr) - 1), &value);
    return value;
}

/* What a bulk reply holds; nothing of a null. */
static struct slice captured_bulk(const struct buf *captured)
{
    struct slice all = buf_slice(captured);
    const char *end = all.len ? memchr(all.ptr, '\n', all.len) : NULL;
    if (!end || all.ptr[0] != '$' || all.ptr[1] == '-')
        return (struct slice){0};
    size_t head = (size_t)(end + 1 - all.ptr);
    CHECK(all.len >= head + 2);
    return slice_make(end + 1, all.len - head - 2);
}

static void take_read(struct migration *m)
{
    struct moved_key *key = &m->keys[m->reads_done / READS_PER_KEY];
    struct slice all = buf_slice(&m->captured);
    switch (m->reads_done++ % READS_PER_KEY) {
    case 0: /* *1, +digest */
        if (all.len >= DIGEST_TEXT_BYTES + 2)
            memcpy(key->digest, all.ptr + all.len - DIGEST_TEXT_BYTES - 2, DIGEST_TEXT_BYTES);
        break;
    case 1: buf_append_slice(&key->payload, captured_bulk(&m->captured)); break;
    default: key->expire_at = captured_integer(&m->captured);
    }
}

/* The digest first: what changes behind it does not fit it any more. */
static void read_key(struct migration *m, struct slice name)
{
    const struct slice digest[] = {SLICE_LITERAL("debug"), SLICE_LITERAL("digest-value"), name};
    const struct slice dump[] = {SLICE_LITERAL("dump"), name};
    const struct slice expiry[] = {SLICE_LITERAL("pexpiretime"), name};
    const struct {
        int argc;
        const struct slice *argv;
    } reads[READS_PER_KEY] = {{3, digest}, {2, dump}, {2, expiry}};
    bool is_lone = replica_is_lone(m->session->server->replica);
    for (int i = 0; i < READS_PER_KEY; i++) {
        submit(m, command_follow(m->session->server->commands, reads[i].argc, reads[i].argv), reads[i].argc,
               reads[i].argv);
        if (is_lone)
            take_read(m);
    }
}

static size_t count_present(const struct migration *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->key_count; i++)
        count += buf_size(&m->keys[i].payload) > 0;
    return count;
}

/* --- deleting ------------------------------------------------------------------- */

static void answer_outcome(struct migration *m, size_t deleted, size_t accepted)
{
    char text[512] = "+OK";
    if (m->refusal[0])
        snprintf(text, sizeof text, "-ERR Target instance replied with error: %s", m->refusal);
    else if (deleted < accepted)
        snprintf(text, sizeof text,
                 "-ERR %zu of %zu keys were changed here while the target took them: they stay here, too",
                 accepted - deleted, accepted);
    answer(m->session, text);
}

static size_t count_accepted(const struct migration *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->key_count; i++)
        count += m->keys[i].is_accepted;
    return count;
}

static void delete_accepted(struct migration *m)
{
    size_t count = count_accepted(m);
    const struct command *row = command_internal(INTERNAL_MIGRATED);
    if (m->is_copy || count == 0) {
        answer_outcome(m, count, count);
        return;
    }
    struct slice *argv = mem_alloc((1 + 2 * count) * sizeof *argv);
    int argc = 0;
    argv[argc++] = slice_from(row->name);
    for (size_t i = 0; i < m->key_count; i++)
        if (m->keys[i].is_accepted) {
            argv[argc++] = m->keys[i].name;
            argv[argc++] = slice_make(m->keys[i].digest, DIGEST_TEXT_BYTES);
        }
    m->is_deleting = true;
    submit(m, row, argc, argv);
    mem_free(argv);
    if (replica_is_lone(m->session->server->replica))
        answer_outcome(m, (size_t)captured_integer(&m->captured), count);
}

/* --- the target ------------------------------------------------------------------ */

static void fail_io(struct migration *m, const char *doing)
{
    char text[128];
    /* What the target has accepted already, it has: that is deleted here as far
     * as we know of it. */
    if (count_accepted(m) > 0 && !m->is_copy) {
        if (!m->refusal[0])
            snprintf(m->refusal, sizeof m->refusal, "the connection ended after %zu of %zu keys", m->replies, m->sent);
        migrate_abandon(m->session);
        delete_accepted(m);
        return;
    }
    snprintf(text, sizeof text, "-IOERR error or timeout %s", doing);
    answer(m->session, text);
}

static void on_timer(void *context)
{
    fail_io(context, "reading from target instance");
}

static void expect_progress(struct migration *m)
{
    timer_set(&m->timer, loop_now_us(m->session->server->loop) + m->timeout_us);
}

/* The key the next reply is about. */
static struct moved_key *next_key(struct migration *m)
{
    size_t number = 0;
    for (size_t i = 0;; i++) {
        CHECK(i < m->key_count);
        if (buf_size(&m->keys[i].payload) > 0 && number++ == m->replies)
            return &m->keys[i];
    }
}

static void take_line(struct migration *m, struct slice line)
{
    struct moved_key *key = next_key(m);
    m->replies++;
    key->is_accepted = line.len > 0 && line.ptr[0] == '+';
    if (!key->is_accepted && !m->refusal[0])
        snprintf(m->refusal, sizeof m->refusal, "%.*s", line.len > 1 ? (int)(line.len < 240 ? line.len : 240) - 1 : 0,
                 line.len > 1 ? line.ptr + 1 : "");
}

static void on_input(void *context, struct stream *stream)
{
    struct migration *m = context;
    struct buf *in = stream_in(stream);
    for (;;) {
        struct slice all = buf_slice(in);
        const char *end = all.len ? memchr(all.ptr, '\n', all.len) : NULL;
        if (!end)
            break;
        size_t length = (size_t)(end - all.ptr);
        take_line(m, slice_make(all.ptr, length > 0 ? length - 1 : 0));
        buf_consume(in, length + 1);
        if (m->replies == m->sent) {
            migrate_abandon(m->session);
            delete_accepted(m);
            return;
        }
    }
    if (buf_size(in) > LINE_MAX_BYTES)
        fail_io(m, "reading from target instance");
    else
        expect_progress(m);
}

static void on_close(void *context, struct stream *stream, enum stream_end end)
{
    (void)stream;
    (void)end;
    fail_io(context, "reading from target instance");
}

static const struct stream_handler target_handler = {.on_input = on_input, .on_close = on_close};

static void write_bulk(struct buf *out, struct slice bytes)
{
    buf_printf(out, "$%zu\r\n", bytes.len);
    buf_append_slice(out, bytes);
    buf_append(out, "\r\n", 2);
}

/* What is left of the key's life; at least a millisecond. */
static int64_t ttl_of(const struct migration *m, const struct moved_key *key)
{
    int64_t left_ms = key->expire_at - loop_wall_ms(m->session->server->loop);
    if (key->expire_at < 0)
        return 0;
    return left_ms > 0 ? left_ms : 1;
}

static void write_restore(struct migration *m, const struct moved_key *key, struct buf *out)
{
    char text[INT64_TEXT_MAX];
    buf_printf(out, "*%d\r\n", m->may_replace ? 5 : 4);
    write_bulk(out, SLICE_LITERAL("RESTORE"));
    write_bulk(out, key->name);
    write_bulk(out, slice_make(text, int64_to_text(ttl_of(m, key), text)));
    write_bulk(out, buf_slice(&key->payload));
    if (m->may_replace)
        write_bulk(out, SLICE_LITERAL("REPLACE"));
}

static void send_keys(struct migration *m)
{
    struct buf *out = stream_out(m->stream);
    for (size_t i = 0; i < m->key_count; i++)
        if (buf_size(&m->keys[i].payload) > 0) {
            write_restore(m, &m->keys[i], out);
            m->sent++;
        }
    stream_mark_dirty(m->stream);
    expect_progress(m);
}

static bool on_dial_reply(void *context, size_t index, const struct dial_reply *reply)
{
    struct migration *m = context;
    (void)index;
    if (reply->kind != DIAL_REPLY_ERROR)
        return true;
    snprintf(m->dial_refusal, sizeof m->dial_refusal, "-ERR Target instance replied with error: %.*s",
             (int)(reply->text.len < 160 ? reply->text.len : 160), reply->text.ptr);
    return false;
}

static void on_dialled(void *context, struct stream *stream, const char *error)
{
    struct migration *m = context;
    (void)error;
    char text[sizeof m->dial_refusal];
    m->dial = NULL;
    if (!stream) {
        memcpy(text, m->dial_refusal, sizeof text);
        answer(m->session, text[0] ? text : "-IOERR error or timeout writing to target instance");
        return;
    }
    m->stream = stream;
    stream_start(stream, &target_handler, m);
    send_keys(m);
}

static void dial_target(struct migration *m)
{
    char host[256];
    int64_t port = 0;
    struct dial_command commands[2];
    const struct slice auth[] = {SLICE_LITERAL("AUTH"), m->username.ptr ? m->username : m->password, m->password};
    const struct slice select[] = {SLICE_LITERAL("SELECT"), m->db};
    size_t count = 0;
    if (m->password.ptr)
        commands[count++] = (struct dial_command){auth, m->username.ptr ? 3 : 2};
    commands[count++] = (struct dial_command){select, 2};
    snprintf(host, sizeof host, "%.*s", (int)(m->host.len < 255 ? m->host.len : 255), m->host.ptr);
    slice_to_int64(m->port, &port);
    const struct dial_options options = {
        .host = host,
        .port = (uint16_t)(port > 0 && port <= UINT16_MAX ? port : 0),
        .timeout_us = m->timeout_us,
        .commands = commands,
        .command_count = count,
        .on_reply = on_dial_reply,
        .on_done = on_dialled,
        .context = m,
    };
    m->dial = dial_start(m->session->server->loop, &options);
}

/* --- what the replica answers -------------------------------------------------------- */

void migrate_answered(struct session *s)
{
    struct migration *m = s->migration;
    if (m->is_deleting) {
        answer_outcome(m, (size_t)captured_integer(&m->captured), count_accepted(m));
        return;
    }
    take_read(m);
    if (s->pending > 0)
        return;
    if (m->has_failed)
        answer(s, "-CLUSTERDOWN no quorum answered in time; nothing was sent to the target");
    else if (count_present(m) == 0)
        answer(s, "+NOKEY");
    else
        dial_target(m);
}

void migrate_failed(struct session *s)
{
    struct migration *m = s->migration;
    if (m->is_deleting) {
        answer(s, "-INDOUBT the target has the keys, and no quorum answered in time: they may still be here, too");
        return;
    }
    m->has_failed = true;
    buf_clear(&m->captured);
    migrate_answered(s);
}

/* --- the command line ------------------------------------------------------------ */

/* Reads the option at *index and moves it to its last argument; false with an
 * error written. */
static bool parse_option(struct call *c, struct migration *m, int *index)
{
    int left = c->argc - 1 - *index;
    if (call_option(c, *index, "copy")) {
        m->is_copy = true;
    } else if (call_option(c, *index, "replace")) {
        m->may_replace = true;
    } else if (call_option(c, *index, "auth") && left >= 1) {
        m->password = m->argv[++*index];
    } else if (call_option(c, *index, "auth2") && left >= 2) {
        m->username = m->argv[++*index];
        m->password = m->argv[++*index];
    } else {
        reply_error(c->reply, ERROR_SYNTAX);
        return false;
    }
    return true;
}

static void set_keys(struct migration *m, int first, int count)
{
    m->key_count = (size_t)count;
    m->keys = mem_calloc(m->key_count + 1, sizeof *m->keys);
    for (int i = 0; i < count; i++)
        m->keys[i].name = m->argv[first + i];
}

static bool parse(struct call *c, struct migration *m)
{
    int first = 3, count = 1;
    int64_t timeout_ms, db;
    for (int i = 6; i < c->argc; i++) {
        if (call_option(c, i, "keys")) {
            if (c->argv[3].len > 0) {
                reply_error(c->reply, "ERR When using MIGRATE KEYS option, the key argument must be set to the empty "
                                      "string");
                return false;
            }
            first = i + 1;
            count = c->argc - first;
            break;
        }
        if (!parse_option(c, m, &i))
            return false;
    }
    if (!call_int64(c, 5, &timeout_ms) || !call_int64(c, 4, &db))
        return false;
    if (timeout_ms <= 0 || timeout_ms > INT32_MAX)
        timeout_ms = TIMEOUT_DEFAULT_MS;
    m->timeout_us = timeout_ms * 1000;
    m->host = m->argv[1];
    m->port = m->argv[2];
    m->db = m->argv[4];
    set_keys(m, first, count);
    return true;
}

void migrate_command(struct call *c)
{
    struct session *s = call_session(c);
    if (c->is_in_transaction) {
        reply_error(c->reply, "ERR MIGRATE talks to another server, which a transaction cannot wait for");
        return;
    }
    struct migration *m = mem_calloc(1, sizeof *m);
    *m = (struct migration){.session = s, .argc = c->argc, .argv = slices_copy(c->argc, c->argv, NULL)};
    buf_init(&m->captured);
    timer_init(&m->timer, s->server->loop, on_timer, m);
    s->migration = m;
    if (!parse(c, m)) {
        migrate_free(s);
        return;
    }
    for (size_t i = 0; i < m->key_count; i++)
        read_key(m, m->keys[i].name);
    if (s->pending == 0 && count_present(m) == 0) {
        migrate_free(s);
        reply_simple(c->reply, "NOKEY");
        return;
    }
    session_block(s, 0, NULL);
    if (s->pending == 0)
        dial_target(m);
}
