/* CHECK: assertions that stay alive in release builds.
 *
 * A failed CHECK means we erred.  It prints the condition and the place, asks
 * the registered reporters for the state they know, and aborts: a replica that
 * stops is safer than one that guesses.  One condition per CHECK. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#define CHECK(condition)                                             \
    do {                                                             \
        if (__builtin_expect(!(condition), 0))                       \
            check_failed(#condition, __FILE__, __LINE__, __func__);  \
    } while (0)

/* For a switch arm or state that the invariants exclude. */
#define CHECK_UNREACHABLE() check_failed("unreachable", __FILE__, __LINE__, __func__)

_Noreturn void check_failed(const char *condition, const char *file, int line, const char *function);

/* A reporter writes what it knows of the process's state to standard error; it
 * must not allocate.  At most CHECK_REPORTERS_MAX are kept. */
enum { CHECK_REPORTERS_MAX = 8 };
typedef void check_reporter_fn(void *context);
void check_add_reporter(check_reporter_fn *reporter, void *context);

#endif
