/* replica.state, line by line:
 *
 *   self <id>
 *   incarnation <number>
 *   epoch <number>
 *   seed <number>
 *   rejoining <0 or 1>
 *   member <id>:<incarnation> ...        all members of the cluster, "-" for a lone server
 *   secret <32 hexadecimal digits>       of the keyspace's hash */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "persist/state_file.h"
#include "replica/memory_private.h"

/* --- reading -------------------------------------------------------------- */

static bool read_members(struct slice text, struct memory_identity *identity)
{
    char copy[1024];
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strcmp(copy, "-") == 0)
        return true;
    const char *at = copy;
    while (*at) {
        unsigned id;
        uint64_t incarnation;
        int used = 0;
        if (identity->member_count == RABIA_MEMBERS_MAX ||
            sscanf(at, "%u:%" SCNu64 "%n", &id, &incarnation, &used) != 2 || id > UINT16_MAX)
            return false;
        identity->ids[identity->member_count] = (uint16_t)id;
        identity->incarnations[identity->member_count++] = incarnation;
        at += used;
        while (*at == ' ')
            at++;
    }
    return true;
}

static bool read_secret(struct slice text, unsigned char secret[16])
{
    if (text.len != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        char digits[3] = {text.ptr[2 * i], text.ptr[2 * i + 1], '\0'}, *end;
        secret[i] = (unsigned char)strtoul(digits, &end, 16);
        if (*end)
            return false;
    }
    return true;
}

static bool read_identity(const struct state_file *file, struct memory_identity *identity)
{
    uint64_t self, rejoining;
    struct slice members = state_file_get(file, "member"), secret = state_file_get(file, "secret");
    *identity = (struct memory_identity){0};
    if (!members.ptr || !secret.ptr || !state_file_get_uint(file, "self", &self) || self > UINT16_MAX ||
        !state_file_get_uint(file, "incarnation", &identity->incarnation) ||
        !state_file_get_uint(file, "epoch", &identity->epoch) ||
        !state_file_get_uint(file, "seed", &identity->seed) ||
        !state_file_get_uint(file, "rejoining", &rejoining) || rejoining > 1)
        return false;
    identity->self_id = (uint16_t)self;
    identity->is_rejoining = rejoining == 1;
    return read_members(members, identity) && read_secret(secret, identity->hash_secret);
}

enum status memory_load_identity(struct memory *m, char error[static MEMORY_ERROR_MAX])
{
    struct state_file file;
    state_file_init(&file);
    enum status status = state_file_read(&file, m->state_path);
    m->is_new = status == STATUS_NOT_FOUND;
    if (m->is_new)
        status = STATUS_OK;
    else if (status == STATUS_OK && !read_identity(&file, &m->identity))
        status = STATUS_MALFORMED;
    state_file_deinit(&file);
    if (status != STATUS_OK)
        snprintf(error, MEMORY_ERROR_MAX, "%s: %s", m->state_path,
                 status == STATUS_IO ? strerror(errno)
                                     : "damaged; without it this replica does not know what it is. Restore the file, "
                                       "or move the whole directory away to start it anew");
    if (status == STATUS_OK && !m->is_new && m->identity.self_id != m->self_id) {
        snprintf(error, MEMORY_ERROR_MAX, "%s belongs to member %u, this is member %u: another dir is needed",
                 m->state_path, m->identity.self_id, m->self_id);
        return STATUS_MISMATCH;
    }
    return status;
}

/* --- writing -------------------------------------------------------------- */

static void write_members(struct state_file *file, const struct memory_identity *identity)
{
    char text[512] = "-";
    size_t used = 0;
    for (int i = 0; i < identity->member_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u:%" PRIu64, i ? " " : "", identity->ids[i],
                                 identity->incarnations[i]);
    state_file_set(file, "member", "%s", text);
}

enum status memory_write_identity(const struct memory *m, const struct memory_identity *identity)
{
    struct state_file file;
    state_file_init(&file);
    state_file_set(&file, "self", "%u", identity->self_id);
    state_file_set(&file, "incarnation", "%" PRIu64, identity->incarnation);
    state_file_set(&file, "epoch", "%" PRIu64, identity->epoch);
    state_file_set(&file, "seed", "%" PRIu64, identity->seed);
    state_file_set(&file, "rejoining", "%d", identity->is_rejoining);
    write_members(&file, identity);
    char secret[33];
    for (int i = 0; i < 16; i++)
        snprintf(secret + 2 * i, 3, "%02x", identity->hash_secret[i]);
    state_file_set(&file, "secret", "%s", secret);
    enum status status = state_file_write(&file, m->state_path);
    state_file_deinit(&file);
    return status;
}

enum status memory_set_identity(struct memory *m, const struct memory_identity *identity)
{
    CHECK(identity->self_id == m->self_id);
    enum status status = memory_fail(m, memory_write_identity(m, identity));
    if (status == STATUS_OK)
        m->identity = *identity;
    return status;
}

enum status memory_mark_rejoining(struct memory *m)
{
    struct memory_identity identity = m->identity;
    identity.self_id = m->self_id;
    identity.is_rejoining = true;
    return m->is_journaled ? memory_set_identity(m, &identity) : STATUS_OK;
}
