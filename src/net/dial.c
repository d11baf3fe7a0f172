#include "net/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <hiredis/adapters/libevent.h>
#pragma GCC diagnostic pop

#include "base/alloc.h"
#include "base/check.h"
#include "net/loop_private.h"
#include "net/stream.h"

/* Who owns what: hiredis's context is freed by hiredis itself when the connection
 * fails, by us otherwise.  context->data leads back here as long as we want to hear
 * of it; context is NULL once hiredis has it, or will free it, on its own.
 *
 * I1: context == NULL or context->data == this.
 * I2: once is_over, the deferred call is pending, and nothing is reported before it. */
struct dial {
    struct loop *loop;
    redisAsyncContext *redis;
    struct timer timeout;
    int64_t timeout_at_us; /* of the whole; the timer may stand for the connection's */
    struct deferred finish;
    bool (*on_reply)(void *context, size_t index, const struct dial_reply *reply);
    void (*on_done)(void *context, struct stream *stream, const char *error);
    void *context;
    size_t next; /* the command whose reply is awaited */
    bool is_over;
    int fd; /* the duplicate, once the last reply was accepted; else -1 */
    char error[256];

    size_t command_count;
    struct {
        size_t argc;
        const char **argv;
        size_t *lengths;
    } commands[DIAL_COMMANDS_MAX];
    char *bytes; /* of all arguments */
};

/* --- life ----------------------------------------------------------------------- */

static void dial_free(struct dial *dial)
{
    timer_cancel(&dial->timeout);
    loop_defer_cancel(&dial->finish);
    if (dial->redis) {
        dial->redis->data = NULL;
        redisAsyncFree(dial->redis);
    }
    if (dial->fd >= 0)
        close(dial->fd);
    for (size_t i = 0; i < dial->command_count; i++) {
        mem_free(dial->commands[i].argv);
        mem_free(dial->commands[i].lengths);
    }
    loop_object_removed(dial->loop);
    mem_free(dial->bytes);
    mem_free(dial);
}

void dial_cancel(struct dial *dial)
{
    if (dial)
        dial_free(dial);
}

/* The end, outside of hiredis and of the owner's calls. */
static void on_finish(void *context)
{
    struct dial *dial = context;
    CHECK(dial->is_over);
    struct stream *stream = NULL;
    if (dial->fd >= 0) {
        stream = stream_adopt(dial->loop, dial->fd);
        dial->fd = -1;
    }
    void (*on_done)(void *, struct stream *, const char *) = dial->on_done;
    void *owner = dial->context;
    char error[sizeof dial->error];
    memcpy(error, dial->error, sizeof error);
    dial_free(dial);
    on_done(owner, stream, stream ? NULL : error);
}

static void finish(struct dial *dial)
{
    dial->is_over = true;
    timer_cancel(&dial->timeout);
    loop_defer(dial->loop, &dial->finish);
}

static void fail(struct dial *dial, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct dial *dial, const char *format, ...)
{
    if (dial->is_over)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(dial->error, sizeof dial->error, format, arguments);
    va_end(arguments);
    finish(dial);
}

/* hiredis frees the context behind this callback. */
static void forget_context(struct dial *dial)
{
    dial->redis->data = NULL;
    dial->redis = NULL;
}

static void on_timeout(void *context)
{
    struct dial *dial = context;
    fail(dial, "timed out");
}

/* --- conversation ---------------------------------------------------------------- */

static void on_redis_reply(redisAsyncContext *redis, void *reply, void *unused);

static void send_next(struct dial *dial)
{
    size_t i = dial->next;
    int failed = redisAsyncCommandArgv(dial->redis, on_redis_reply, NULL, (int)dial->commands[i].argc,
                                       dial->commands[i].argv, dial->commands[i].lengths);
    if (failed)
        fail(dial, "cannot send: %s", dial->redis->errstr ? dial->redis->errstr : "unknown error");
}

/* Takes the connection out of hiredis's hands. */
static void take_over(struct dial *dial)
{
    const redisReader *reader = dial->redis->c.reader;
    if (reader->pos != reader->len) {
        fail(dial, "%zu bytes behind the last reply", reader->len - reader->pos);
        return;
    }
    dial->fd = fcntl(dial->redis->c.fd, F_DUPFD_CLOEXEC, 0);
    if (dial->fd < 0) {
        fail(dial, "cannot keep the connection: %s", strerror(errno));
        return;
    }
    finish(dial);
}

/* Text of a reply that is not an array; digits is room for an integer. */
static struct slice reply_text(const redisReply *reply, char digits[static INT64_TEXT_MAX])
{
    switch (reply->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR: return slice_make(reply->str, (size_t)reply->len);
    case REDIS_REPLY_INTEGER: return slice_make(digits, int64_to_text(reply->integer, digits));
    default: return SLICE_LITERAL("");
    }
}

static bool judge(struct dial *dial, const struct dial_reply *reply)
{
    if (dial->on_reply)
        return dial->on_reply(dial->context, dial->next, reply);
    return reply->kind != DIAL_REPLY_ERROR;
}

static bool judge_array(struct dial *dial, const redisReply *reply)
{
    size_t count = reply->elements < DIAL_REPLY_ELEMENTS_MAX ? reply->elements : DIAL_REPLY_ELEMENTS_MAX;
    struct slice *elements = mem_alloc(count * sizeof *elements);
    char(*digits)[INT64_TEXT_MAX] = mem_alloc(count * sizeof *digits);
    for (size_t i = 0; i < count; i++)
        elements[i] = reply_text(reply->element[i], digits[i]);
    bool is_good = judge(dial, &(struct dial_reply){DIAL_REPLY_ARRAY, SLICE_LITERAL(""), elements, count});
    mem_free(digits);
    mem_free(elements);
    return is_good;
}

static bool judge_redis_reply(struct dial *dial, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY)
        return judge_array(dial, reply);
    char digits[INT64_TEXT_MAX];
    enum dial_reply_kind kind = reply->type == REDIS_REPLY_ERROR ? DIAL_REPLY_ERROR
                                : reply->type == REDIS_REPLY_NIL ? DIAL_REPLY_NULL
                                                                 : DIAL_REPLY_TEXT;
    return judge(dial, &(struct dial_reply){kind, reply_text(reply, digits), NULL, 0});
}

/* redis->data is NULL once the owner cancelled, and a NULL reply means that hiredis is
 * giving the context up. */
static void on_redis_reply(redisAsyncContext *redis, void *data, void *unused)
{
    (void)unused;
    struct dial *dial = redis->data;
    if (!dial)
        return;
    loop_enter(dial->loop);
    const redisReply *reply = data;
    if (!reply) {
        fail(dial, "connection lost: %s", redis->errstr && *redis->errstr ? redis->errstr : "closed by the other side");
        forget_context(dial);
        return;
    }
    if (dial->is_over)
        return;
    bool is_good = judge_redis_reply(dial, reply);
    if (redis->data != dial)
        return; /* cancelled within on_reply */
    if (!is_good && reply->type == REDIS_REPLY_ERROR)
        fail(dial, "refused: %.*s", (int)reply->len, reply->str);
    else if (!is_good)
        fail(dial, "unexpected reply to command %zu", dial->next);
    else if (++dial->next < dial->command_count)
        send_next(dial);
    else
        take_over(dial);
    if (dial->is_over)
        redis->ev.delRead(redis->ev.data); /* what comes now is not hiredis's to read */
}

static void on_connect(const redisAsyncContext *redis, int status)
{
    struct dial *dial = redis->data;
    if (!dial)
        return;
    loop_enter(dial->loop);
    if (status == REDIS_OK) {
        if (!dial->is_over)
            timer_set(&dial->timeout, dial->timeout_at_us);
        return;
    }
    fail(dial, "cannot connect: %s", redis->errstr ? redis->errstr : "unknown error");
    forget_context(dial);
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    (void)status;
    struct dial *dial = redis->data;
    if (!dial)
        return;
    fail(dial, "connection lost");
    forget_context(dial);
}

/* --- start ----------------------------------------------------------------------- */

static void copy_commands(struct dial *dial, const struct dial_options *options)
{
    size_t total = 0;
    for (size_t i = 0; i < options->command_count; i++)
        for (size_t j = 0; j < options->commands[i].argc; j++)
            total += options->commands[i].argv[j].len;
    char *at = dial->bytes = mem_alloc(total);
    dial->command_count = options->command_count;
    for (size_t i = 0; i < options->command_count; i++) {
        const struct dial_command *command = &options->commands[i];
        CHECK(command->argc > 0);
        CHECK(command->argc <= DIAL_ARGUMENTS_MAX);
        dial->commands[i].argc = command->argc;
        dial->commands[i].argv = mem_alloc(command->argc * sizeof(char *));
        dial->commands[i].lengths = mem_alloc(command->argc * sizeof(size_t));
        for (size_t j = 0; j < command->argc; j++) {
            if (command->argv[j].len)
                memcpy(at, command->argv[j].ptr, command->argv[j].len);
            dial->commands[i].argv[j] = at;
            dial->commands[i].lengths[j] = command->argv[j].len;
            at += command->argv[j].len;
        }
    }
}

static void connect_redis(struct dial *dial, const struct dial_options *options)
{
    redisAsyncContext *redis = redisAsyncConnect(options->host, options->port);
    CHECK(redis);
    dial->redis = redis;
    redis->data = dial;
    if (redis->err) {
        fail(dial, "cannot connect: %s", redis->errstr);
        return;
    }
    fcntl(redis->c.fd, F_SETFD, FD_CLOEXEC);
    int failed = redisLibeventAttach(redis, dial->loop->base) || redisAsyncSetConnectCallback(redis, on_connect) ||
                 redisAsyncSetDisconnectCallback(redis, on_disconnect);
    CHECK(!failed);
    send_next(dial);
}

struct dial *dial_start(struct loop *loop, const struct dial_options *options)
{
    CHECK(options->on_done);
    CHECK(options->command_count > 0);
    CHECK(options->command_count <= DIAL_COMMANDS_MAX);
    struct dial *dial = mem_calloc(1, sizeof *dial);
    dial->loop = loop;
    dial->fd = -1;
    dial->on_reply = options->on_reply;
    dial->on_done = options->on_done;
    dial->context = options->context;
    dial->finish = (struct deferred){.fn = on_finish, .context = dial};
    loop_object_added(loop);
    timer_init(&dial->timeout, loop, on_timeout, dial);
    dial->timeout_at_us = loop_now_us(loop) + options->timeout_us;
    bool is_shorter = options->connect_timeout_us > 0 && options->connect_timeout_us < options->timeout_us;
    timer_set(&dial->timeout, is_shorter ? loop_now_us(loop) + options->connect_timeout_us : dial->timeout_at_us);
    copy_commands(dial, options);
    connect_redis(dial, options);
    return dial;
}
