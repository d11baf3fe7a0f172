#include "persist/check_tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct check_tool check_tool;

void check_worsen(int exit_status)
{
    check_tool.worst = exit_status > check_tool.worst ? exit_status : check_tool.worst;
}

static int exit_of(enum status status)
{
    switch (status) {
    case STATUS_OK: return 0;
    case STATUS_IO: return EXIT_SYSTEM;
    case STATUS_MALFORMED: return EXIT_DAMAGED;
    default: return EXIT_FOREIGN;
    }
}

/* --- words --------------------------------------------------------------------- */

/* Paths may hold any byte: what is not ASCII is written as it is. */
void check_print_text(struct slice text)
{
    putchar('"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

const char *check_time_text(int64_t ms, char text[static CHECK_TIME_MAX])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || strftime(text, CHECK_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        snprintf(text, CHECK_TIME_MAX, "?");
    return text;
}

void check_begin(const char *what, const char *path)
{
    check_progress_end();
    if (check_tool.is_json) {
        printf("%s\n  {\"type\": \"%s\", \"path\": ", check_tool.reported ? "," : "", what);
        check_print_text(slice_from(path));
    } else {
        printf("%s: %s\n", path, what);
    }
    check_tool.reported++;
}

void check_report_error(const char *what, const char *path, enum status status, const char *error)
{
    check_begin(what, path);
    if (check_tool.is_json) {
        printf(", \"status\": \"%s\", \"error\": ", status_text(status));
        check_print_text(slice_from(error));
        printf("}");
    } else {
        printf("  %s%s\n", status == STATUS_MALFORMED ? "DAMAGED: " : "", error);
    }
    check_worsen(exit_of(status));
}

/* --- progress -------------------------------------------------------------------- */

enum { DRAW_EVERY_MS = 100, COLUMNS_USUAL = 80, COLUMNS_MIN = 30, BAR_MAX = 40 };

static struct {
    bool is_drawn;
    int64_t drawn_ms;
} bar;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return COLUMNS_USUAL;
    return size.ws_col;
}

/* "snapshot.kvs  [####......]  41%  12 of 30 MB"; the name is cut from the left. */
static void draw(const char *path, uint64_t done, uint64_t total)
{
    int width = columns();
    if (width < COLUMNS_MIN)
        return;
    int percent = total ? (int)((double)done / (double)total * 100) : 100;
    int room = width - 1, bar_width = room / 3 < BAR_MAX ? room / 3 : BAR_MAX;
    int full = bar_width * percent / 100;
    char figures[64], cells[BAR_MAX + 1];
    int figures_len = snprintf(figures, sizeof figures, "%3d%%  %" PRIu64 " of %" PRIu64 " MB", percent, done >> 20,
                               total >> 20);
    for (int i = 0; i < bar_width; i++)
        cells[i] = i < full ? '#' : '.';
    cells[bar_width] = '\0';
    int name_room = room - bar_width - figures_len - 6, name_len = (int)slice_from(path).len;
    const char *name = name_len > name_room ? path + (name_room > 0 ? name_len - name_room : name_len) : path;
    fprintf(stderr, "\r\033[K%s  [%s]  %.*s", name, cells, room - bar_width > 20 ? figures_len : 4, figures);
    fflush(stderr);
    bar.is_drawn = true;
}

void check_progress(const char *path, uint64_t done, uint64_t total)
{
    if (!isatty(STDERR_FILENO))
        return;
    int64_t now = now_ms();
    if (bar.is_drawn && done < total && now - bar.drawn_ms < DRAW_EVERY_MS)
        return;
    bar.drawn_ms = now;
    draw(path, done < total ? done : total, total);
}

void check_progress_end(void)
{
    if (!bar.is_drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar.is_drawn = false;
}
