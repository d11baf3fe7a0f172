#include "net/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/log.h"
#include "net/loop_private.h"
#include "net/stream.h"

enum { BACKLOG_DEFAULT = 511 };

struct listener {
    struct loop *loop;
    listener_fn *on_accept;
    void *context;
    struct timer resume_timer;
    uint64_t pauses;
    uint16_t port;
    char *unix_path;
    bool is_in_callback, is_freed;
    size_t socket_count;
    struct {
        int fd;
        struct event event;
    } sockets[LISTENER_SOCKETS_MAX];
};

/* --- accepting ------------------------------------------------------------------ */

static void watch_sockets(struct listener *listener, bool should)
{
    for (size_t i = 0; i < listener->socket_count; i++) {
        struct event *event = &listener->sockets[i].event;
        int failed = should ? event_add(event, NULL) : event_del(event);
        CHECK(!failed);
    }
}

static void pause_accepting(struct listener *listener, int error)
{
    listener->pauses++;
    log_warning("net", "cannot accept connections: %s; trying again in %d ms", strerror(error),
                LISTENER_PAUSE_US / 1000);
    watch_sockets(listener, false);
    timer_set(&listener->resume_timer, loop_now_us(listener->loop) + LISTENER_PAUSE_US);
}

static void on_resume(void *context)
{
    watch_sockets(context, true);
}

/* The system lacks something that may come back; other errors belong to the one
 * connection, which was gone before it was accepted. */
static bool is_exhausted(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_connections(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct listener *listener = context;
    loop_enter(listener->loop);
    listener->is_in_callback = true;
    for (int i = 0; i < LISTENER_ACCEPTS_PER_PASS && !listener->is_freed; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            listener->on_accept(listener->context, stream_adopt(listener->loop, accepted));
            continue;
        }
        if (is_exhausted(errno))
            pause_accepting(listener, errno);
        if (errno == EAGAIN || is_exhausted(errno))
            break;
    }
    listener->is_in_callback = false;
    if (listener->is_freed)
        mem_free(listener);
}

/* --- binding -------------------------------------------------------------------- */

static enum status add_socket(struct listener *listener, int fd)
{
    if (listener->socket_count == LISTENER_SOCKETS_MAX)
        return STATUS_TOO_LARGE;
    size_t i = listener->socket_count++;
    listener->sockets[i].fd = fd;
    int failed = event_assign(&listener->sockets[i].event, listener->loop->base, fd, EV_READ | EV_PERSIST,
                              on_connections, listener) ||
                 event_add(&listener->sockets[i].event, NULL);
    CHECK(!failed);
    return STATUS_OK;
}

/* errno of a failure is kept over close. */
static int close_failed(int fd)
{
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A bound and listening socket, or -1 with errno and the name of the call that failed. */
static int open_tcp(const struct addrinfo *info, int backlog, const char **call)
{
    *call = "socket";
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int yes = 1;
    *call = "setsockopt";
    if (info->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) < 0)
        return close_failed(fd);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0)
        return close_failed(fd);
    *call = "bind";
    if (bind(fd, info->ai_addr, info->ai_addrlen) < 0)
        return close_failed(fd);
    *call = "listen";
    if (listen(fd, backlog) < 0)
        return close_failed(fd);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static bool is_family_missing(int error)
{
    return error == EAFNOSUPPORT || error == EPFNOSUPPORT || error == EPROTONOSUPPORT || error == ESOCKTNOSUPPORT ||
           error == ENOPROTOOPT;
}

static enum status bind_tcp(struct listener *listener, const char *address, int backlog,
                            char error[static LISTENER_ERROR_MAX])
{
    bool is_optional = address[0] == '-';
    address += is_optional;
    bool is_any4 = strcmp(address, "*") == 0, is_any6 = strcmp(address, "::*") == 0;
    struct addrinfo hints = {.ai_family = is_any6   ? AF_INET6
                                          : is_any4 ? AF_INET
                                                    : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    char port[8];
    snprintf(port, sizeof port, "%u", listener->port);
    struct addrinfo *info;
    int failed = getaddrinfo(is_any4 || is_any6 ? NULL : address, port, &hints, &info);
    if (failed) {
        if (is_optional)
            return STATUS_OK;
        snprintf(error, LISTENER_ERROR_MAX, "cannot listen on %s: %s", address, gai_strerror(failed));
        errno = EADDRNOTAVAIL;
        return STATUS_IO;
    }
    const char *call;
    int fd = open_tcp(info, backlog, &call);
    int cause = errno;
    freeaddrinfo(info);
    if (fd < 0) {
        if (is_family_missing(cause) || (is_optional && cause == EADDRNOTAVAIL))
            return STATUS_OK;
        snprintf(error, LISTENER_ERROR_MAX, "cannot listen on %s:%s: %s: %s", address, port, call, strerror(cause));
        errno = cause;
        return STATUS_IO;
    }
    if (listener->port == 0)
        listener->port = port_of(fd);
    enum status status = add_socket(listener, fd);
    if (status) {
        close(fd);
        snprintf(error, LISTENER_ERROR_MAX, "cannot listen on more than %d addresses", LISTENER_SOCKETS_MAX);
    }
    return status;
}

static enum status bind_tcp_all(struct listener *listener, const struct listener_options *options, int backlog,
                                char error[static LISTENER_ERROR_MAX])
{
    listener->port = options->port;
    for (size_t i = 0; i < options->address_count; i++) {
        enum status status = bind_tcp(listener, options->addresses[i], backlog, error);
        if (status)
            return status;
    }
    if (options->address_count > 0 && listener->socket_count == 0) {
        snprintf(error, LISTENER_ERROR_MAX, "cannot listen on port %u: none of the addresses is available",
                 options->port);
        errno = EADDRNOTAVAIL;
        return STATUS_IO;
    }
    return STATUS_OK;
}

static enum status bind_unix(struct listener *listener, const struct listener_options *options, int backlog,
                             char error[static LISTENER_ERROR_MAX])
{
    const char *path = options->unix_path;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(error, LISTENER_ERROR_MAX, "unix socket path is longer than %zu bytes", sizeof address.sun_path - 1);
        return STATUS_TOO_LARGE;
    }
    memcpy(address.sun_path, path, strlen(path));
    struct stat found;
    if (lstat(path, &found) == 0 && S_ISSOCK(found.st_mode))
        unlink(path);
    const char *call = "socket";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        goto failed;
    call = "bind";
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        goto failed;
    listener->unix_path = mem_strdup(path);
    call = "chmod";
    if (options->unix_mode && chmod(path, options->unix_mode) < 0)
        goto failed;
    call = "listen";
    if (listen(fd, backlog) < 0)
        goto failed;
    if (add_socket(listener, fd) == STATUS_OK)
        return STATUS_OK;
    errno = ENOBUFS;
failed:;
    int cause = errno;
    snprintf(error, LISTENER_ERROR_MAX, "cannot listen on %.100s: %s: %s", path, call, strerror(cause));
    if (fd >= 0)
        close(fd);
    errno = cause;
    return STATUS_IO;
}

/* --- life ----------------------------------------------------------------------- */

enum status listener_create(struct listener **result, struct loop *loop, const struct listener_options *options,
                            char error[static LISTENER_ERROR_MAX])
{
    CHECK(options->on_accept);
    CHECK(options->address_count > 0 || options->unix_path);
    struct listener *listener = mem_calloc(1, sizeof *listener);
    listener->loop = loop;
    listener->on_accept = options->on_accept;
    listener->context = options->context;
    timer_init(&listener->resume_timer, loop, on_resume, listener);
    loop_object_added(loop);
    int backlog = options->backlog ? options->backlog : BACKLOG_DEFAULT;
    enum status status = bind_tcp_all(listener, options, backlog, error);
    if (!status && options->unix_path)
        status = bind_unix(listener, options, backlog, error);
    if (status) {
        int cause = errno;
        listener_free(listener);
        errno = cause;
        return status;
    }
    *result = listener;
    return STATUS_OK;
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    CHECK(!listener->is_freed);
    watch_sockets(listener, false);
    timer_cancel(&listener->resume_timer);
    for (size_t i = 0; i < listener->socket_count; i++)
        close(listener->sockets[i].fd);
    listener->socket_count = 0;
    if (listener->unix_path)
        unlink(listener->unix_path);
    mem_free(listener->unix_path);
    loop_object_removed(listener->loop);
    if (listener->is_in_callback)
        listener->is_freed = true;
    else
        mem_free(listener);
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

uint64_t listener_pauses(const struct listener *listener)
{
    return listener->pauses;
}
