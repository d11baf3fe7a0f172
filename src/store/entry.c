#include "store/entry.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/check.h"
#include "store/digest.h"
#include "store/value.h"

static_assert(sizeof(struct entry) == ENTRY_HEADER_BYTES, "the header is 8 bytes");
static_assert(ENTRY_EMBED_BYTES <= UINT16_MAX, "lengths of strings held here take 16 bits");
static_assert(sizeof(void *) == 8, "pointers are stored as 8 bytes");

enum { INT_BYTES = 8, VALUE_BYTES = 8, APART_BYTES = 16, KEY_LENGTH_BYTES = 4, WORTH_SHRINKING = 64 };

/* --- parts of the block ---------------------------------------------------- */

/* A string held apart; its block's capacity is what the allocator says. */
struct apart {
    char *ptr;
    uint64_t size;
};

static size_t expiry_bytes(bool with_expiry)
{
    return with_expiry ? ENTRY_EXPIRY_BYTES : 0;
}

static size_t key_bytes(size_t key_size)
{
    return key_size > ENTRY_KEY_SHORT_MAX ? KEY_LENGTH_BYTES + key_size : key_size;
}

static bool is_string(const struct entry *e)
{
    return (e->flags & ENTRY_TYPE_MASK) == VALUE_STRING;
}

static bool is_apart(const struct entry *e)
{
    return e->flags & ENTRY_APART;
}

static char *value_area(const struct entry *e)
{
    struct slice key = entry_key_slice(e);
    return (char *)(uintptr_t)(key.ptr + key.len);
}

static struct apart get_apart(const struct entry *e)
{
    struct apart apart;
    memcpy(&apart, value_area(e), sizeof apart);
    return apart;
}

static const struct object_type *object_type(const struct entry *e)
{
    const struct object_type *type = object_type_of((enum value_type)(e->flags & ENTRY_TYPE_MASK));
    CHECK(type != NULL);
    return type;
}

static char *block_of(const struct entry *e)
{
    return (char *)(uintptr_t)e - expiry_bytes(entry_has_expiry(e));
}

static size_t area_bytes(const struct entry *e)
{
    if (!is_string(e))
        return VALUE_BYTES;
    if (is_apart(e))
        return APART_BYTES;
    return entry_encoding(e) == ENCODING_INT ? INT_BYTES : e->value_size;
}

size_t entry_bytes(const struct entry *e)
{
    return (size_t)(value_area(e) - block_of(e)) + area_bytes(e);
}

static size_t block_capacity(const struct entry *e)
{
    return e->flags & ENTRY_SLACK ? mem_usable_size(block_of(e)) : mem_good_size(entry_bytes(e));
}

size_t entry_allocated(const struct entry *e)
{
    size_t block = e->flags & ENTRY_SLACK ? mem_usable_size(block_of(e)) : entry_bytes(e);
    if (is_apart(e))
        return block + mem_usable_size(get_apart(e).ptr);
    return block;
}

/* --- reading --------------------------------------------------------------- */

enum value_type entry_type(const struct entry *e)
{
    return (enum value_type)(e->flags & ENTRY_TYPE_MASK);
}

enum value_encoding entry_encoding(const struct entry *e)
{
    return (enum value_encoding)((e->flags & ENTRY_ENCODING_MASK) >> ENTRY_ENCODING_SHIFT);
}

struct slice entry_key(const struct entry *e)
{
    return entry_key_slice(e);
}

int64_t entry_expire_at(const struct entry *e)
{
    return entry_expiry_time(e);
}

bool entry_int(const struct entry *e, int64_t *value)
{
    if (!is_string(e) || entry_encoding(e) != ENCODING_INT)
        return false;
    memcpy(value, value_area(e), sizeof *value);
    return true;
}

struct value entry_value(const struct entry *e)
{
    CHECK(!is_string(e));
    struct value v = {.encoding = entry_encoding(e)};
    memcpy(&v.at, value_area(e), sizeof v.at);
    return v;
}

struct slice entry_string(const struct entry *e, char scratch[static INT64_TEXT_MAX])
{
    CHECK(is_string(e));
    int64_t integer;
    if (entry_int(e, &integer))
        return slice_make(scratch, int64_to_text(integer, scratch));
    if (!is_apart(e))
        return slice_make(value_area(e), e->value_size);
    struct apart apart = get_apart(e);
    return slice_make(apart.ptr, apart.size);
}

size_t entry_string_length(const struct entry *e)
{
    char scratch[INT64_TEXT_MAX];
    return entry_string(e, scratch).len;
}

size_t entry_memory(const struct entry *e, size_t samples)
{
    enum { INDEX_BYTES = 15, EXPIRY_INDEX_BYTES = 16 };
    size_t bytes = INDEX_BYTES + block_capacity(e);
    if (entry_expiry_time(e) != EXPIRE_NONE)
        bytes += EXPIRY_INDEX_BYTES;
    if (is_apart(e))
        return bytes + mem_usable_size(get_apart(e).ptr);
    if (is_string(e))
        return bytes;
    struct value v = entry_value(e);
    return bytes + object_type(e)->memory(&v, samples);
}

/* --- making ---------------------------------------------------------------- */

static void set_encoding(struct entry *e, enum value_encoding encoding)
{
    unsigned others = e->flags & ~(unsigned)ENTRY_ENCODING_MASK;
    e->flags = (uint16_t)(others | (unsigned)encoding << ENTRY_ENCODING_SHIFT);
}

static void set_flag(struct entry *e, unsigned flag, bool is_on)
{
    e->flags = (uint16_t)(is_on ? e->flags | flag : e->flags & ~flag);
}

/* Header, expiry part and key are set; the value is for the caller. */
static struct entry *make_block(struct slice key, bool with_expiry, uint32_t access, size_t block_bytes)
{
    CHECK(key.len <= UINT32_MAX);
    char *block = mem_alloc(block_bytes);
    struct entry *e = (struct entry *)(void *)(block + expiry_bytes(with_expiry));
    *e = (struct entry){.flags = VALUE_STRING};
    entry_set_access(e, access);
    set_flag(e, ENTRY_EXPIRY, with_expiry);
    if (with_expiry) {
        entry_set_expiry_time(e, EXPIRE_NONE);
        entry_set_expiry_position(e, 0);
    }
    char *at = e->bytes;
    if (key.len > ENTRY_KEY_SHORT_MAX) {
        uint32_t size = (uint32_t)key.len;
        memcpy(at, &size, sizeof size);
        at += sizeof size;
        set_flag(e, ENTRY_KEY_LONG, true);
    } else {
        e->key_size = (uint8_t)key.len;
    }
    if (key.len)
        memcpy(at, key.ptr, key.len);
    return e;
}

static void put_apart(struct entry *e, char *ptr, size_t size)
{
    struct apart apart = {ptr, size};
    memcpy(value_area(e), &apart, sizeof apart);
    set_flag(e, ENTRY_APART, true);
    e->value_size = 0;
}

static char *duplicate(struct slice bytes)
{
    char *copy = mem_alloc(bytes.len);
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return copy;
}

static bool is_embeddable(size_t key_size, size_t value_size)
{
    return value_size <= ENTRY_EMBED_BYTES &&
           ENTRY_HEADER_BYTES + key_bytes(key_size) + value_size <= ENTRY_EMBED_BYTES;
}

static size_t form_area_bytes(const struct string_form *form, size_t key_size)
{
    if (form->encoding == ENCODING_INT)
        return INT_BYTES;
    return is_embeddable(key_size, form->bytes.len) ? form->bytes.len : APART_BYTES;
}

static size_t form_bytes(const struct string_form *form, size_t key_size, bool with_expiry)
{
    return expiry_bytes(with_expiry) + ENTRY_HEADER_BYTES + key_bytes(key_size) +
           form_area_bytes(form, key_size);
}

/* The block has room for the form, and holds nothing apart any more. */
static void write_here(struct entry *e, const struct string_form *form)
{
    set_flag(e, ENTRY_APART, false);
    set_encoding(e, form->encoding);
    if (form->encoding == ENCODING_INT) {
        memcpy(value_area(e), &form->integer, sizeof form->integer);
        e->value_size = 0;
    } else {
        if (form->bytes.len)
            memmove(value_area(e), form->bytes.ptr, form->bytes.len);
        e->value_size = (uint16_t)form->bytes.len;
    }
}

static bool form_is_apart(const struct string_form *form, size_t key_size)
{
    return form->encoding != ENCODING_INT && !is_embeddable(key_size, form->bytes.len);
}

struct string_form string_form_of(struct slice value)
{
    struct string_form form = string_form_text(value);
    if (value.len <= INT64_TEXT_MAX && slice_to_int64(value, &form.integer))
        form.encoding = ENCODING_INT;
    return form;
}

struct entry *entry_create(struct slice key, const struct string_form *form, bool with_expiry, uint32_t access)
{
    struct entry *e = make_block(key, with_expiry, access, form_bytes(form, key.len, with_expiry));
    if (form_is_apart(form, key.len)) {
        set_encoding(e, form->encoding);
        put_apart(e, duplicate(form->bytes), form->bytes.len);
    } else {
        write_here(e, form);
    }
    return e;
}

void entry_put_value(struct entry *e, struct value v)
{
    CHECK(!is_string(e));
    memcpy(value_area(e), &v.at, sizeof v.at);
    set_encoding(e, v.encoding);
}

struct entry *entry_create_value(struct slice key, enum value_type type, struct value v, bool with_expiry,
                                 uint32_t access)
{
    CHECK(type != VALUE_STRING);
    size_t bytes = expiry_bytes(with_expiry) + ENTRY_HEADER_BYTES + key_bytes(key.len) + VALUE_BYTES;
    struct entry *e = make_block(key, with_expiry, access, bytes);
    set_flag(e, type, true);
    entry_put_value(e, v);
    return e;
}

struct entry *entry_create_zero(struct slice key, size_t size, bool with_expiry, uint32_t access)
{
    const struct string_form form = {.encoding = ENCODING_RAW, .bytes = {NULL, size}};
    struct entry *e = make_block(key, with_expiry, access, form_bytes(&form, key.len, with_expiry));
    set_encoding(e, ENCODING_RAW);
    if (form_is_apart(&form, key.len)) {
        put_apart(e, mem_calloc(1, size), size);
    } else {
        memset(value_area(e), 0, size);
        e->value_size = (uint16_t)size;
    }
    return e;
}

/* --- overwriting ----------------------------------------------------------- */

/* The block can hold needed bytes without wasting more than half of itself. */
static bool block_fits(const struct entry *e, size_t needed)
{
    size_t held = entry_bytes(e);
    if (e->flags & ENTRY_SLACK) {
        size_t usable = mem_usable_size(block_of(e));
        return needed <= usable && usable <= 2 * needed;
    }
    return needed == held || mem_good_size(needed) == mem_good_size(held);
}

static void free_value(struct entry *e)
{
    if (is_apart(e)) {
        mem_free(get_apart(e).ptr);
    } else if (!is_string(e)) {
        size_t budget = SIZE_MAX;
        struct value v = entry_value(e);
        bool is_gone = object_type(e)->free_some(&v, &budget);
        CHECK(is_gone);
    }
}

static void free_block(struct entry *e)
{
    if (e->flags & ENTRY_SLACK)
        mem_free(block_of(e));
    else
        mem_free_sized(block_of(e), entry_bytes(e));
}

void entry_free(struct entry *e)
{
    free_value(e);
    free_block(e);
}

static void overwrite_apart(struct entry *e, struct slice bytes)
{
    if (is_apart(e)) {
        char *old = get_apart(e).ptr;
        size_t usable = mem_usable_size(old);
        if (bytes.len <= usable && usable / 2 <= bytes.len) {
            memmove(old, bytes.ptr, bytes.len);
            put_apart(e, old, bytes.len);
            return;
        }
    }
    char *copy = duplicate(bytes);
    free_value(e);
    put_apart(e, copy, bytes.len);
}

/* The bytes to write may lie in what is held apart: freed last. */
static void overwrite_here(struct entry *e, const struct string_form *form)
{
    char *apart = is_apart(e) ? get_apart(e).ptr : NULL;
    if (!is_string(e))
        free_value(e);
    write_here(e, form);
    mem_free(apart);
}

static void carry_expiry(struct entry *to, const struct entry *from)
{
    if (!entry_has_expiry(from))
        return;
    entry_set_expiry_time(to, entry_expiry_time(from));
    entry_set_expiry_position(to, entry_expiry_position(from));
}

struct entry *entry_overwrite(struct entry *e, const struct string_form *form, bool with_expiry)
{
    struct slice key = entry_key_slice(e);
    with_expiry |= entry_has_expiry(e);
    if (with_expiry == entry_has_expiry(e) && block_fits(e, form_bytes(form, key.len, with_expiry))) {
        if (form_is_apart(form, key.len)) {
            overwrite_apart(e, form->bytes);
            set_encoding(e, form->encoding);
        } else {
            overwrite_here(e, form);
        }
        set_flag(e, ENTRY_TYPE_MASK, false); /* VALUE_STRING */
        return e;
    }
    struct entry *fresh = entry_create(key, form, with_expiry, entry_access(e));
    carry_expiry(fresh, e);
    entry_free(e);
    return fresh;
}

/* Changes no value: takes the value area over as it is. */
static struct entry *rebuild(struct entry *e, struct slice key, bool with_expiry)
{
    size_t area = area_bytes(e);
    size_t bytes = expiry_bytes(with_expiry) + ENTRY_HEADER_BYTES + key_bytes(key.len) + area;
    struct entry *fresh = make_block(key, with_expiry, entry_access(e), bytes);
    unsigned kept = ENTRY_TYPE_MASK | ENTRY_ENCODING_MASK | ENTRY_APART;
    fresh->flags = (uint16_t)(fresh->flags | (e->flags & kept));
    fresh->value_size = e->value_size;
    memcpy(value_area(fresh), value_area(e), area);
    return fresh;
}

struct entry *entry_add_expiry(struct entry *e)
{
    if (entry_has_expiry(e))
        return e;
    struct entry *fresh = rebuild(e, entry_key_slice(e), true);
    free_block(e);
    return fresh;
}

/* --- editing --------------------------------------------------------------- */

static bool is_wasteful(size_t capacity, size_t size)
{
    return capacity > WORTH_SHRINKING && size < capacity / 2;
}

static size_t grown(size_t old_size, size_t size)
{
    if (size <= old_size)
        return size;
    return size + (size < ENTRY_GROWTH_MAX ? size : ENTRY_GROWTH_MAX);
}

static void zero_tail(char *bytes, size_t old_size, size_t size)
{
    if (size > old_size)
        memset(bytes + old_size, 0, size - old_size);
}

static void edit_apart(struct entry *e, size_t size)
{
    struct apart apart = get_apart(e);
    size_t capacity = mem_usable_size(apart.ptr);
    if (size > capacity || is_wasteful(capacity, size))
        apart.ptr = mem_realloc(apart.ptr, grown(apart.size, size));
    zero_tail(apart.ptr, apart.size, size);
    put_apart(e, apart.ptr, size);
}

/* True if the value could take its new size within the block. */
static bool edit_here(struct entry *e, size_t size)
{
    size_t fixed = entry_bytes(e) - area_bytes(e);
    size_t capacity = block_capacity(e) - fixed;
    size_t key_size = entry_key_slice(e).len;
    if (size > capacity || is_wasteful(capacity, size) || !is_embeddable(key_size, size))
        return false;
    char scratch[INT64_TEXT_MAX];
    struct slice old = entry_string(e, scratch);
    if (old.ptr == scratch)
        memcpy(value_area(e), scratch, old.len < size ? old.len : size);
    zero_tail(value_area(e), old.len, size);
    if (mem_good_size(fixed + size) != mem_good_size(entry_bytes(e)))
        set_flag(e, ENTRY_SLACK, true);
    e->value_size = (uint16_t)size;
    return true;
}

/* A new entry with the first bytes of value, room for more. */
static struct entry *edit_moved(const struct entry *e, struct slice value, size_t size)
{
    struct slice key = entry_key_slice(e);
    size_t capacity = grown(value.len, size);
    size_t kept = value.len < size ? value.len : size;
    bool is_here = is_embeddable(key.len, capacity);
    bool with_expiry = entry_has_expiry(e);
    size_t bytes = expiry_bytes(with_expiry) + ENTRY_HEADER_BYTES + key_bytes(key.len);
    size_t block = is_here ? mem_good_size(bytes + capacity) : bytes + APART_BYTES;
    struct entry *fresh = make_block(key, with_expiry, entry_access(e), block);
    char *target = is_here ? value_area(fresh) : mem_alloc(capacity);
    if (kept)
        memcpy(target, value.ptr, kept);
    zero_tail(target, kept, size);
    if (is_here) {
        fresh->value_size = (uint16_t)size;
        set_flag(fresh, ENTRY_SLACK, true);
    } else {
        put_apart(fresh, target, size);
    }
    carry_expiry(fresh, e);
    return fresh;
}

struct entry *entry_edit(struct entry *e, size_t size)
{
    CHECK(is_string(e));
    if (is_apart(e)) {
        edit_apart(e, size);
    } else if (!edit_here(e, size)) {
        char scratch[INT64_TEXT_MAX];
        struct entry *fresh = edit_moved(e, entry_string(e, scratch), size);
        free_block(e);
        e = fresh;
    }
    set_encoding(e, ENCODING_RAW);
    return e;
}

char *entry_edit_bytes(struct entry *e)
{
    CHECK(entry_encoding(e) == ENCODING_RAW);
    return is_apart(e) ? get_apart(e).ptr : value_area(e);
}

/* --- copying and moving ---------------------------------------------------- */

static struct string_form present_form(const struct entry *e)
{
    struct string_form form = {.encoding = entry_encoding(e)};
    char scratch[INT64_TEXT_MAX];
    if (!entry_int(e, &form.integer))
        form.bytes = entry_string(e, scratch);
    return form;
}

struct entry *entry_copy(const struct entry *e, struct slice key, bool with_expiry, uint32_t access)
{
    if (is_string(e)) {
        struct string_form form = present_form(e);
        return entry_create(key, &form, with_expiry, access);
    }
    struct value v = entry_value(e);
    return entry_create_value(key, entry_type(e), object_type(e)->copy(&v), with_expiry, access);
}

struct entry *entry_move(struct entry *e, struct slice key, bool with_expiry)
{
    if (is_string(e) && !is_apart(e)) {
        struct string_form form = present_form(e);
        return entry_create(key, &form, with_expiry, entry_access(e));
    }
    struct entry *fresh = rebuild(e, key, with_expiry);
    const struct string_form zero = string_form_int(0);
    size_t bytes = entry_bytes(e);
    e->flags = (uint16_t)(e->flags & ~(ENTRY_TYPE_MASK | ENTRY_APART));
    write_here(e, &zero);
    /* The area of a string held apart is wider than an integer's. */
    if (bytes != entry_bytes(e))
        set_flag(e, ENTRY_SLACK, true);
    return fresh;
}

size_t entry_free_effort(const struct entry *e)
{
    if (is_string(e))
        return 1;
    struct value v = entry_value(e);
    return 1 + object_type(e)->free_effort(&v);
}

bool entry_free_some(struct entry *e, size_t *budget)
{
    if (is_string(e)) {
        entry_free(e);
        *budget -= *budget > 0;
        return true;
    }
    struct value v = entry_value(e);
    if (!object_type(e)->free_some(&v, budget)) {
        entry_put_value(e, v);
        return false;
    }
    free_block(e);
    return true;
}

/* --- digest and check ------------------------------------------------------ */

static struct digest value_digest(const struct entry *e)
{
    char scratch[INT64_TEXT_MAX];
    if (is_string(e))
        return digest_bytes(entry_string(e, scratch));
    struct value v = entry_value(e);
    return object_type(e)->digest(&v);
}

static struct digest_parts digest_parts_of(const struct entry *e)
{
    return (struct digest_parts){
        .type = (uint32_t)entry_type(e),
        .expire_at = entry_expiry_time(e),
        .value = value_digest(e),
    };
}

struct digest keyspace_entry_digest(int db, const struct entry *e)
{
    struct digest_parts parts = digest_parts_of(e);
    parts.db = db;
    parts.key = digest_bytes(entry_key_slice(e));
    return digest_combine(&parts);
}

struct digest keyspace_value_digest(const struct entry *e)
{
    struct digest_parts parts = digest_parts_of(e);
    return digest_combine(&parts);
}

static void check_string(const struct entry *e)
{
    size_t size = entry_string_length(e);
    enum value_encoding encoding = entry_encoding(e);
    CHECK(encoding != ENCODING_EMBSTR || size <= ENTRY_EMBSTR_MAX);
    if (is_apart(e)) {
        CHECK(encoding != ENCODING_INT);
        CHECK(mem_usable_size(get_apart(e).ptr) >= size);
    } else if (encoding != ENCODING_INT) {
        CHECK(is_embeddable(entry_key_slice(e).len, size));
    }
}

void entry_check(const struct entry *e)
{
    size_t usable = mem_usable_size(block_of(e));
    CHECK(usable >= entry_bytes(e));
    if (!(e->flags & ENTRY_SLACK))
        CHECK(usable == mem_good_size(entry_bytes(e)));
    if (e->flags & ENTRY_KEY_LONG)
        CHECK(entry_key_slice(e).len > ENTRY_KEY_SHORT_MAX);
    CHECK(value_encoding_fits(entry_type(e), entry_encoding(e)));
    if (is_string(e)) {
        check_string(e);
    } else {
        struct value v = entry_value(e);
        object_type(e)->check(&v);
    }
}
