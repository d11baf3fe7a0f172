/* Feeds the checkers deliberately wrong histories and sees each one speak: a
 * checker that cannot fail is worth nothing. */
#ifndef SIM_SELF_TEST_H
#define SIM_SELF_TEST_H

#include <stdbool.h>

/* Prints what did not behave; true if all did. */
bool self_test_run(void);

#endif
