/* Values by form:
 *
 *   0   string                                    the string
 *   2   set        length, members
 *   4   hash       length, fields and values in turn
 *   5   sorted set length, members with their scores (double), the greatest first
 *   11  set        the intset, as a string
 *   16  hash       the listpack, as a string
 *   17  sorted set the listpack, as a string
 *   18  list       number of nodes; each: 1 (length) and the element, or 2 and the listpack, as strings
 *   19  stream                                    rdb_stream.c */
#include "store/hash_value.h"
#include "store/intset.h"
#include "store/list_value.h"
#include "store/rdb_form.h"
#include "store/rdb_value.h"
#include "store/set_value.h"
#include "store/zset_value.h"

enum { FOOTER_BYTES = 10, VERSION_BYTES = 2 };

static void write_form(struct buf *out, enum rdb_form form)
{
    char byte = (char)form;
    buf_append(out, &byte, 1);
}

/* --- by type ----------------------------------------------------------------- */

struct nodes {
    struct buf *out;
    uint64_t count;
};

static void count_node(void *context, struct slice listpack, bool is_plain)
{
    (void)listpack;
    (void)is_plain;
    ((struct nodes *)context)->count++;
}

static void save_node(void *context, struct slice listpack, bool is_plain)
{
    struct nodes *nodes = context;
    char scratch[INT64_TEXT_MAX];
    rdb_write_length(nodes->out, is_plain ? RDB_NODE_PLAIN : RDB_NODE_PACKED);
    rdb_write_string(nodes->out, is_plain ? listpack_text(listpack_first(listpack.ptr), scratch) : listpack);
}

static void save_list(const struct value *v, struct buf *out)
{
    struct nodes nodes = {.out = out};
    write_form(out, RDB_LIST_LISTPACKS);
    list_each_node(v, count_node, &nodes);
    rdb_write_length(out, nodes.count);
    list_each_node(v, save_node, &nodes);
}

static void save_set(const struct value *v, struct buf *out)
{
    if (v->encoding == ENCODING_INTSET) {
        write_form(out, RDB_SET_INTSET);
        rdb_write_string(out, slice_make(v->at, intset_bytes(v->at)));
        return;
    }
    struct set_iterator i;
    struct slice member;
    write_form(out, RDB_SET);
    rdb_write_length(out, set_size(v));
    set_iterate(&i, v);
    while (set_next(&i, &member))
        rdb_write_string(out, member);
}

static void save_listpack(enum rdb_form form, const char *lp, struct buf *out)
{
    write_form(out, form);
    rdb_write_string(out, slice_make(lp, listpack_bytes(lp)));
}

static void save_zset(const struct value *v, struct buf *out)
{
    if (v->encoding == ENCODING_LISTPACK) {
        save_listpack(RDB_ZSET_LISTPACK, v->at, out);
        return;
    }
    struct zset_iterator i;
    struct zset_pair pair;
    size_t size = zset_size(v);
    write_form(out, RDB_ZSET);
    rdb_write_length(out, size);
    zset_iterate(&i, v, size - 1, true);
    while (zset_next(&i, &pair)) {
        rdb_write_string(out, pair.member);
        rdb_write_double(out, pair.score);
    }
}

static void save_pair(void *context, struct slice field, struct slice value)
{
    rdb_write_string(context, field);
    rdb_write_string(context, value);
}

static void save_hash(const struct value *v, struct buf *out)
{
    if (v->encoding == ENCODING_LISTPACK) {
        save_listpack(RDB_HASH_LISTPACK, v->at, out);
        return;
    }
    write_form(out, RDB_HASH);
    rdb_write_length(out, hash_size(v));
    hash_each(v, save_pair, out);
}

static void save_value(const struct entry *e, struct buf *out)
{
    char scratch[INT64_TEXT_MAX];
    struct value v = {0};
    if (entry_type(e) != VALUE_STRING)
        v = entry_value(e);
    switch (entry_type(e)) {
    case VALUE_STRING:
        write_form(out, RDB_STRING);
        rdb_write_string(out, entry_string(e, scratch));
        break;
    case VALUE_LIST: save_list(&v, out); break;
    case VALUE_SET: save_set(&v, out); break;
    case VALUE_ZSET: save_zset(&v, out); break;
    case VALUE_HASH: save_hash(&v, out); break;
    case VALUE_STREAM:
        write_form(out, RDB_STREAM);
        rdb_stream_save(&v, out);
        break;
    }
}

/* --- payloads ---------------------------------------------------------------- */

void rdb_value_dump(const struct entry *e, struct buf *out)
{
    size_t before = buf_size(out);
    const char version[VERSION_BYTES] = {RDB_VERSION & 0xff, RDB_VERSION >> 8};
    save_value(e, out);
    buf_append(out, version, sizeof version);
    rdb_write_word(out, rdb_checksum(slice_make(buf_head(out) + before, buf_size(out) - before)));
}

size_t rdb_value_size(const struct entry *e)
{
    struct buf out;
    buf_init(&out);
    save_value(e, &out);
    size_t size = buf_size(&out) - 1;
    buf_deinit(&out);
    return size;
}

bool rdb_payload_is_intact(struct slice payload)
{
    uint64_t checksum;
    if (payload.len < FOOTER_BYTES)
        return false;
    const unsigned char *version = (const unsigned char *)payload.ptr + payload.len - FOOTER_BYTES;
    struct rdb_reader r = {payload.ptr + payload.len - FOOTER_BYTES + VERSION_BYTES, payload.ptr + payload.len};
    return (version[0] | version[1] << 8) <= RDB_VERSION && rdb_read_word(&r, &checksum) &&
           checksum == rdb_checksum(slice_make(payload.ptr, payload.len - FOOTER_BYTES + VERSION_BYTES));
}
