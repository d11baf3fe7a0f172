/* A disk in memory under persist's file layer: it remembers what was flushed, and
 * can lose the rest as a power cut does; it fails a chosen call.
 *
 * One directory, "/disk".  Each file has the bytes the programs see and the bytes
 * that would survive, by sectors of 512; of what was not flushed each sector
 * survives or not by chance, in any order.  Names survive up to some point in the
 * order of their changes.  A flush that fails loses what it should have saved while
 * the programs still see it, as Linux does. */
#ifndef TESTS_PERSIST_DISK_H
#define TESTS_PERSIST_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>

#include "base/check.h"
#include "base/random.h"
#include "persist/file.h"

enum { DISK_SECTOR = 512, DISK_FILES = 4096, DISK_FDS = 8192, DISK_NAMES = 256, DISK_CHANGES = 512 };

enum disk_call { DISK_CREATE, DISK_WRITE, DISK_FLUSH, DISK_FLUSH_DIR, DISK_RESERVE, DISK_RESIZE, DISK_RENAME,
                 DISK_REMOVE, DISK_MKDIR, DISK_READ, DISK_CALLS };

struct disk_bytes {
    unsigned char *bytes;
    size_t size, capacity;
};
struct disk_file {
    struct disk_bytes now, safe;
    unsigned char *dirty; /* by sector of now: 1 may survive, 2 is lost for certain */
    size_t dirty_capacity;
};
struct disk_name {
    char name[64];
    int file;
};
struct disk_names {
    struct disk_name items[DISK_NAMES];
    int count;
};
/* from "" makes, to "" removes. */
struct disk_change {
    char from[64], to[64];
    int file;
};

static struct disk {
    pthread_mutex_t lock;
    struct disk_file *files[DISK_FILES];
    int file_count;
    struct disk_names now, safe;
    struct disk_change changes[DISK_CHANGES];
    int change_count;
    int fds[DISK_FDS]; /* file + 1; -1 the directory */
    int fd_count;
    int lock_fd;
    bool is_made, is_dead;
    long calls, fail_at, fail_until; /* the calls numbered so fail; 0: none */
    int fail_errno;
    unsigned fail_calls; /* bits of enum disk_call */
    long failed, flushes;
    bool is_held; /* flushes do not return, though their work is done */
    pthread_cond_t wake;
    bool is_short; /* writes take less than asked */
    uint64_t bytes_max; /* of all files: ENOSPC beyond; 0: no limit */
    struct random random;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void disk_bytes_resize(struct disk_bytes *b, size_t size)
{
    if (size > b->capacity) {
        b->capacity = size * 2;
        b->bytes = realloc(b->bytes, b->capacity);
        CHECK(b->bytes != NULL);
    }
    if (size > b->size)
        memset(b->bytes + b->size, 0, size - b->size);
    b->size = size;
}

static void disk_mark(struct disk_file *f, size_t from, size_t to, unsigned char mark)
{
    size_t sectors = (to + DISK_SECTOR - 1) / DISK_SECTOR;
    if (sectors > f->dirty_capacity) {
        f->dirty = realloc(f->dirty, sectors * 2);
        CHECK(f->dirty != NULL);
        memset(f->dirty + f->dirty_capacity, 0, sectors * 2 - f->dirty_capacity);
        f->dirty_capacity = sectors * 2;
    }
    for (size_t i = from / DISK_SECTOR; i < sectors; i++)
        f->dirty[i] = mark;
}

static bool disk_fails(enum disk_call call)
{
    if (disk.is_dead) {
        errno = EIO;
        return true;
    }
    if (!(disk.fail_calls & 1u << call))
        return false;
    disk.calls++;
    if (disk.fail_at == 0 || disk.calls < disk.fail_at || disk.calls > disk.fail_until)
        return false;
    disk.failed++;
    errno = disk.fail_errno;
    return true;
}

static uint64_t disk_used(void)
{
    uint64_t used = 0;
    for (int i = 0; i < disk.now.count; i++)
        used += disk.files[disk.now.items[i].file]->now.size;
    return used;
}

static int disk_find(const struct disk_names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->items[i].name, name) == 0)
            return i;
    return -1;
}

static void disk_apply(struct disk_names *names, const struct disk_change *change)
{
    int old = change->to[0] ? disk_find(names, change->to) : -1;
    if (old >= 0)
        names->items[old] = names->items[--names->count];
    int from = change->from[0] ? disk_find(names, change->from) : -1;
    if (from >= 0)
        names->items[from] = names->items[--names->count];
    if (change->to[0]) {
        CHECK(names->count < DISK_NAMES);
        struct disk_name *made = &names->items[names->count++];
        strcpy(made->name, change->to);
        made->file = change->file;
    }
}

static void disk_change(const char *from, const char *to, int file)
{
    CHECK(disk.change_count < DISK_CHANGES);
    struct disk_change *change = &disk.changes[disk.change_count++];
    strcpy(change->from, from);
    strcpy(change->to, to);
    change->file = file;
    disk_apply(&disk.now, change);
}

static const char *disk_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int disk_new_file(void)
{
    CHECK(disk.file_count < DISK_FILES);
    disk.files[disk.file_count] = calloc(1, sizeof(struct disk_file));
    CHECK(disk.files[disk.file_count] != NULL);
    return disk.file_count++;
}

static int disk_open_locked(const char *path, int flags)
{
    CHECK(disk.fd_count < DISK_FDS);
    if (flags & O_DIRECTORY) {
        if (disk.is_dead || (strcmp(path, "/disk") == 0 && !disk.is_made)) {
            errno = disk.is_dead ? EIO : ENOENT;
            return -1;
        }
        disk.fds[disk.fd_count] = -1;
        return disk.fd_count++;
    }
    int found = disk_find(&disk.now, disk_base(path));
    int file = found >= 0 ? disk.now.items[found].file : -1;
    if (file < 0 && !(flags & O_CREAT)) {
        errno = ENOENT;
        return -1;
    }
    if (disk_fails(DISK_CREATE))
        return -1;
    if (file < 0) {
        file = disk_new_file();
        disk_change("", disk_base(path), file);
    }
    if (flags & O_TRUNC)
        disk_bytes_resize(&disk.files[file]->now, 0);
    disk.fds[disk.fd_count] = file + 1;
    return disk.fd_count++;
}

static struct disk_file *disk_file_of(int fd)
{
    CHECK(fd >= 0 && fd < disk.fd_count && disk.fds[fd] > 0);
    return disk.files[disk.fds[fd] - 1];
}

static int disk_open(const char *path, int flags, mode_t mode)
{
    (void)mode;
    pthread_mutex_lock(&disk.lock);
    int fd = disk_open_locked(path, flags);
    pthread_mutex_unlock(&disk.lock);
    return fd;
}

static int disk_close(int fd)
{
    pthread_mutex_lock(&disk.lock);
    CHECK(disk.fds[fd] != 0);
    disk.fds[fd] = 0;
    if (disk.lock_fd == fd + 1)
        disk.lock_fd = 0;
    pthread_mutex_unlock(&disk.lock);
    return 0;
}

static ssize_t disk_pread(int fd, void *bytes, size_t size, off_t offset)
{
    pthread_mutex_lock(&disk.lock);
    struct disk_file *f = disk_file_of(fd);
    ssize_t got = 0;
    if (disk_fails(DISK_READ)) {
        got = -1;
    } else if ((size_t)offset < f->now.size) {
        size = size < f->now.size - (size_t)offset ? size : f->now.size - (size_t)offset;
        memcpy(bytes, f->now.bytes + offset, size);
        got = (ssize_t)size;
    }
    pthread_mutex_unlock(&disk.lock);
    return got;
}

static ssize_t disk_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    pthread_mutex_lock(&disk.lock);
    struct disk_file *f = disk_file_of(fd);
    ssize_t put = -1;
    if (!disk_fails(DISK_WRITE)) {
        if (disk.is_short && size > 1)
            size = 1 + random_below(&disk.random, size);
        size_t end = (size_t)offset + size;
        if (end > f->now.size)
            disk_bytes_resize(&f->now, end);
        memcpy(f->now.bytes + offset, bytes, size);
        disk_mark(f, (size_t)offset, end, 1);
        put = (ssize_t)size;
    }
    pthread_mutex_unlock(&disk.lock);
    return put;
}

static void disk_save(struct disk_file *f)
{
    size_t sectors = (f->now.size + DISK_SECTOR - 1) / DISK_SECTOR;
    disk_bytes_resize(&f->safe, f->now.size);
    for (size_t i = 0; i < sectors && i < f->dirty_capacity; i++) {
        size_t at = i * DISK_SECTOR, size = f->now.size - at < DISK_SECTOR ? f->now.size - at : DISK_SECTOR;
        if (f->dirty[i] == 1)
            memcpy(f->safe.bytes + at, f->now.bytes + at, size);
        if (f->dirty[i] == 1)
            f->dirty[i] = 0;
    }
}

static int disk_fdatasync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    struct disk_file *f = disk_file_of(fd);
    int result = 0;
    if (disk_fails(DISK_FLUSH)) {
        for (size_t i = 0; i < f->dirty_capacity; i++)
            if (f->dirty[i])
                f->dirty[i] = 2;
        result = -1;
    } else {
        disk_save(f);
    }
    disk.flushes++;
    pthread_cond_broadcast(&disk.wake);
    while (disk.is_held)
        pthread_cond_wait(&disk.wake, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_fsync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    CHECK(disk.fds[fd] == -1);
    int result = disk_fails(DISK_FLUSH_DIR) ? -1 : 0;
    for (int i = 0; result == 0 && i < disk.change_count; i++)
        disk_apply(&disk.safe, &disk.changes[i]);
    if (result == 0)
        disk.change_count = 0;
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_resize(int fd, size_t size, enum disk_call call, bool is_shrinking)
{
    pthread_mutex_lock(&disk.lock);
    struct disk_file *f = disk_file_of(fd);
    int result = disk_fails(call) ? -1 : 0;
    if (result == 0 && disk.bytes_max && size > f->now.size && disk_used() + size - f->now.size > disk.bytes_max) {
        errno = ENOSPC;
        result = -1;
    }
    if (result == 0 && (is_shrinking || size > f->now.size))
        disk_bytes_resize(&f->now, size);
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_fallocate(int fd, off_t offset, off_t size)
{
    return disk_resize(fd, (size_t)(offset + size), DISK_RESERVE, false);
}

static int disk_ftruncate(int fd, off_t size)
{
    return disk_resize(fd, (size_t)size, DISK_RESIZE, true);
}

static off_t disk_size(int fd)
{
    pthread_mutex_lock(&disk.lock);
    off_t size = (off_t)disk_file_of(fd)->now.size;
    pthread_mutex_unlock(&disk.lock);
    return size;
}

static int disk_move(const char *from, const char *to, enum disk_call call)
{
    pthread_mutex_lock(&disk.lock);
    int found = disk_find(&disk.now, from), result = -1;
    if (found < 0)
        errno = ENOENT;
    else if (!disk_fails(call))
        result = 0;
    if (result == 0)
        disk_change(from, to, disk.now.items[found].file);
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_rename(const char *from, const char *to)
{
    return disk_move(disk_base(from), disk_base(to), DISK_RENAME);
}

static int disk_unlink(const char *path)
{
    return disk_move(disk_base(path), "", DISK_REMOVE);
}

static int disk_mkdir(const char *path, mode_t mode)
{
    (void)path, (void)mode;
    pthread_mutex_lock(&disk.lock);
    int result = -1;
    if (disk.is_made)
        errno = EEXIST;
    else if (!disk_fails(DISK_MKDIR))
        result = 0;
    if (result == 0)
        disk.is_made = true;
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_flock(int fd, int operation)
{
    (void)operation;
    pthread_mutex_lock(&disk.lock);
    int result = disk.lock_fd == 0 ? 0 : -1;
    if (result == 0)
        disk.lock_fd = fd + 1;
    else
        errno = EWOULDBLOCK;
    pthread_mutex_unlock(&disk.lock);
    return result;
}

static int disk_list(const char *dir, void (*visit)(void *context, const char *name), void *context)
{
    (void)dir;
    pthread_mutex_lock(&disk.lock);
    struct disk_names names = disk.now;
    bool is_dead = disk.is_dead;
    pthread_mutex_unlock(&disk.lock);
    if (is_dead) {
        errno = EIO;
        return -1;
    }
    for (int i = 0; i < names.count; i++)
        visit(context, names.items[i].name);
    return 0;
}

static const struct file_ops disk_ops = {
    disk_open, disk_close, disk_pread, disk_pwrite, disk_fdatasync, disk_fsync, disk_fallocate,
    disk_ftruncate, disk_size, disk_rename, disk_unlink, disk_mkdir, disk_flock, disk_list,
};

/* An empty disk, without its directory. */
static void disk_format(uint64_t seed)
{
    for (int i = 0; i < disk.file_count; i++) {
        free(disk.files[i]->now.bytes);
        free(disk.files[i]->safe.bytes);
        free(disk.files[i]->dirty);
        free(disk.files[i]);
    }
    disk = (struct disk){.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .fail_calls = ~(1u << DISK_READ)};
    random_init(&disk.random, seed);
    file_set_ops(&disk_ops);
}

static inline void disk_fail(long at, long count, int error)
{
    pthread_mutex_lock(&disk.lock);
    disk.calls = 0;
    disk.fail_at = at;
    disk.fail_until = at + count - 1;
    disk.fail_errno = error;
    pthread_mutex_unlock(&disk.lock);
}

static inline void disk_hold(bool is_held)
{
    pthread_mutex_lock(&disk.lock);
    disk.is_held = is_held;
    disk.flushes = 0;
    pthread_cond_broadcast(&disk.wake);
    pthread_mutex_unlock(&disk.lock);
}

/* Until a held flush has done its work. */
static inline void disk_await_flush(void)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.flushes == 0)
        pthread_cond_wait(&disk.wake, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

static inline long disk_failed(void)
{
    pthread_mutex_lock(&disk.lock);
    long failed = disk.failed;
    pthread_mutex_unlock(&disk.lock);
    return failed;
}

static inline void disk_set(bool is_short, uint64_t bytes_max)
{
    pthread_mutex_lock(&disk.lock);
    disk.is_short = is_short;
    disk.bytes_max = bytes_max;
    pthread_mutex_unlock(&disk.lock);
}

/* The power goes: from now on every call fails, until disk_power_on. */
static inline void disk_power_off(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.is_dead = true;
    pthread_mutex_unlock(&disk.lock);
}

/* Each unflushed sector survives with chance in percent. */
static inline void disk_power_on(unsigned chance)
{
    int survivors = disk.change_count ? (int)random_below(&disk.random, (uint64_t)disk.change_count + 1) : 0;
    for (int i = 0; i < survivors; i++)
        disk_apply(&disk.safe, &disk.changes[i]);
    disk.change_count = 0;
    disk.now = disk.safe;
    for (int i = 0; i < disk.file_count; i++) {
        struct disk_file *f = disk.files[i];
        if (f->now.size != f->safe.size && random_below(&disk.random, 100) < chance)
            disk_bytes_resize(&f->safe, f->now.size);
        for (size_t s = 0; s * DISK_SECTOR < f->safe.size && s < f->dirty_capacity; s++) {
            size_t at = s * DISK_SECTOR, size = f->safe.size - at < DISK_SECTOR ? f->safe.size - at : DISK_SECTOR;
            if (f->dirty[s] == 1 && at + size <= f->now.size && random_below(&disk.random, 100) < chance)
                memcpy(f->safe.bytes + at, f->now.bytes + at, size);
        }
        if (f->dirty_capacity)
            memset(f->dirty, 0, f->dirty_capacity);
        disk_bytes_resize(&f->now, f->safe.size);
        if (f->safe.size)
            memcpy(f->now.bytes, f->safe.bytes, f->safe.size);
    }
    disk.is_dead = false;
}

/* Makes a file as if it had always been there. */
static void disk_put(const char *name, const void *bytes, size_t size)
{
    int found = disk_find(&disk.now, name);
    int file = found >= 0 ? disk.now.items[found].file : disk_new_file();
    struct disk_change change = {.file = file};
    strcpy(change.to, name);
    disk.is_made = true;
    disk_apply(&disk.now, &change);
    disk_apply(&disk.safe, &change);
    struct disk_file *f = disk.files[file];
    disk_bytes_resize(&f->now, size);
    disk_bytes_resize(&f->safe, size);
    if (size) {
        memcpy(f->now.bytes, bytes, size);
        memcpy(f->safe.bytes, bytes, size);
    }
}

static inline struct disk_bytes *disk_get(const char *name)
{
    int found = disk_find(&disk.now, name);
    return found >= 0 ? &disk.files[disk.now.items[found].file]->now : NULL;
}

#endif
