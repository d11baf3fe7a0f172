#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_fd = STDOUT_FILENO;
static enum log_level log_level = LOG_LEVEL_NOTICE;

enum status log_open(const char *path)
{
    int fd = STDOUT_FILENO;
    if (*path) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd < 0)
            return STATUS_IO;
    }
    if (log_fd != STDOUT_FILENO)
        close(log_fd);
    log_fd = fd;
    return STATUS_OK;
}

void log_set_level(enum log_level level)
{
    log_level = level;
}

bool log_is_enabled(enum log_level level)
{
    return level >= log_level;
}

void log_line(enum log_level level, const char *room, const char *format, ...)
{
    static const char *const names[] = {"debug", "verbose", "notice", "warning"};
    if (!log_is_enabled(level))
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char line[2048];
    size_t room_left = sizeof line - 1;
    size_t used = strftime(line, room_left, "%Y-%m-%dT%H:%M:%S", &utc);
    int head = snprintf(line + used, room_left - used, ".%03dZ %d %s %s: ", (int)(now.tv_nsec / 1000000),
                        (int)getpid(), names[level], room);
    used += (size_t)head;
    va_list arguments;
    va_start(arguments, format);
    int body = vsnprintf(line + used, room_left - used, format, arguments);
    va_end(arguments);
    used = body < 0 ? used : used + (size_t)body;
    if (used > room_left - 1)
        used = room_left - 1;
    /* What a stranger sent may be quoted in a line; it must not forge another. */
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
    line[used++] = '\n';
    ssize_t written = write(log_fd, line, used);
    (void)written; /* there is nowhere left to complain to */
}
