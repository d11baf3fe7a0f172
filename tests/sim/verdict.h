/* What a checker says: nothing while all is well, and the first thing that
 * was wrong.  Checkers never abort, so that the self-test can feed them wrong
 * histories and see each one speak. */
#ifndef SIM_VERDICT_H
#define SIM_VERDICT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

struct verdict {
    bool has_failed;
    char text[480];
};

/* Keeps the first failure only: what follows it is mostly its echo. */
__attribute__((format(printf, 2, 3)))
static inline void verdict_fail(struct verdict *verdict, const char *format, ...)
{
    if (verdict->has_failed)
        return;
    verdict->has_failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(verdict->text, sizeof verdict->text, format, arguments);
    va_end(arguments);
}

#endif
