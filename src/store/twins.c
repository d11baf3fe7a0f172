#include "store/twins.h"

#include "base/alloc.h"
#include "store/listpack.h"

/* A table at most half full of the elements seen, open addressing. */
struct seen {
    const char **slots;
    size_t mask;
};

static const char *next_of(const char *lp, const char *at, unsigned step)
{
    for (unsigned i = 0; i < step && at; i++)
        at = listpack_next(lp, at);
    return at;
}

/* False if an equal one was there. */
static bool add(struct seen *seen, const char *at, const struct key_hash_secret *secret)
{
    char scratch[INT64_TEXT_MAX];
    struct slice text = listpack_text(at, scratch);
    for (size_t i = key_hash(secret, text) & seen->mask;; i = (i + 1) & seen->mask) {
        if (!seen->slots[i]) {
            seen->slots[i] = at;
            return true;
        }
        if (listpack_equals(seen->slots[i], text))
            return false;
    }
}

bool listpack_has_twins(const char *lp, unsigned step, const struct key_hash_secret *secret)
{
    size_t slots = 8;
    while (slots < 2 * (listpack_count(lp) / step + 1))
        slots *= 2;
    struct seen seen = {.slots = mem_calloc(slots, sizeof *seen.slots), .mask = slots - 1};
    bool is_new = true;
    for (const char *at = listpack_first(lp); at && is_new; at = next_of(lp, at, step))
        is_new = add(&seen, at, secret);
    mem_free(seen.slots);
    return !is_new;
}
