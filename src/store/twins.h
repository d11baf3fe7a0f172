/* Are there two equal among the elements of a listpack that came from outside?
 * A set or a hash with a member twice would answer wrongly ever after. */
#ifndef STORE_TWINS_H
#define STORE_TWINS_H

#include <stdbool.h>

#include "store/key_hash.h"

/* Looks at elements 0, step, 2 step ...; O(elements), whoever chose them, as
 * long as the secret is one. */
bool listpack_has_twins(const char *lp, unsigned step, const struct key_hash_secret *secret);

#endif
