/* Inside of list_value.h: the two forms, for list_value.c and list_object.c. */
#ifndef STORE_LIST_FORM_H
#define STORE_LIST_FORM_H

#include "base/check.h"
#include "store/list_chain.h"
#include "store/value.h"

/* A small list never has more bytes, whatever the limits were when it was made. */
enum { LIST_SMALL_BYTES_MAX = 64 * 1024 };

static inline bool list_is_small(const struct value *v)
{
    return v->encoding == ENCODING_SMALL_LIST;
}
static inline char *list_small(const struct value *v)
{
    return v->at;
}
static inline struct list_chain *list_large(const struct value *v)
{
    return v->at;
}
struct list_chain *list_chain_create(void);
struct list_limits list_limits_of(const struct value_env *env);

#endif
