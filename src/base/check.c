#include "base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    check_reporter_fn *reporter;
    void *context;
} reporters[CHECK_REPORTERS_MAX];
static int reporter_count;

void check_add_reporter(check_reporter_fn *reporter, void *context)
{
    CHECK(reporter_count < CHECK_REPORTERS_MAX);
    reporters[reporter_count].reporter = reporter;
    reporters[reporter_count].context = context;
    reporter_count++;
}

_Noreturn void check_failed(const char *condition, const char *file, int line, const char *function)
{
    fprintf(stderr, "\nkvstore: check failed: %s (%s:%d, %s)\n", condition, file, line, function);
    /* A reporter that fails a check itself must not bring us back here. */
    int count = reporter_count;
    reporter_count = 0;
    for (int i = 0; i < count; i++)
        reporters[i].reporter(reporters[i].context);
    void *frames[64];
    int frame_count = backtrace(frames, 64);
    backtrace_symbols_fd(frames, frame_count, STDERR_FILENO);
    abort();
}
