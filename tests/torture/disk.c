/* A disk that can lose power: preloaded into a replica, it stands between the
 * server and the files of its data directory.
 *
 * What it does
 *   remembers, per file, what every write since the last flush replaced, and,
 *     per directory, the names made, moved and removed since its last flush
 *     (disk.py undoes all or some of it: a power cut)
 *   fails the n-th call of a kind with an errno, once or from then on; or ends
 *     the whole process group there, which puts a crash between any two calls
 *   lies: fdatasync returns 0 and has flushed nothing
 *   takes its time over flushes
 *   moves the wall clock, and gives the machine another boot id
 *
 * Environment: TORTURE_DATA, the data directory; TORTURE_DISK, a directory on
 * the same file system for
 *   control      struct control below, mapped by us and by disk.py
 *   boot         what to read instead of the machine's boot id
 *   names        struct name_record, one after another
 *   <inode>.undo 4096 bytes that begin with the offset up to which records are
 *                flushed, then records: struct undo_record and the bytes replaced
 *   <inode>.kept a removed file that a power cut may bring back
 *
 * Threads and children of the server write different files; a mutex of this
 * process is enough (and is held across fork). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum call { CALL_OPEN, CALL_READ, CALL_WRITE, CALL_FLUSH, CALL_FLUSH_DIR, CALL_RESERVE, CALL_RESIZE, CALL_RENAME,
            CALL_UNLINK, CALL_MKDIR, CALL_END };
enum { PLACE_JOURNAL = 1, PLACE_SNAPSHOT, PLACE_STATE, PLACE_OTHER };
enum { FDS = 65536, HEAD = 4096, PUNCH = 1 << 20, CRASH = 0xffff };

struct control {
    _Atomic int64_t clock_offset_ns;
    _Atomic uint32_t lies, flush_delay_us;
    _Atomic uint32_t fail_calls; /* bit per call; 0: nothing fails */
    _Atomic uint32_t fail_error; /* errno, or CRASH */
    _Atomic int64_t fail_after;  /* so many such calls go well before */
    _Atomic uint32_t fail_sticks, fail_place; /* place 0: any */
    _Atomic uint64_t failed;
    _Atomic uint64_t calls[16];
};

struct undo_record {
    uint64_t offset, length, size_before, has_resized;
};

enum { NAME_CREATE = 1, NAME_RENAME, NAME_UNLINK, NAME_MKDIR, NAME_FLUSH };
struct name_record {
    uint64_t kind, dir, inode; /* inode: of what was removed or replaced, 0 for none; FLUSH: records flushed */
    char from[484], to[484];
    uint64_t reserved[2];
};

static struct control *control;
static char data[512], disk[512];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    uint64_t inode; /* 0: not a file of ours */
    int log, place;
    bool is_dir;
} files[FDS];

#define REAL(name) ((__typeof__(&name))(uintptr_t)real(#name))
static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

/* --- beginnings --------------------------------------------------------------- */

static void take(void) { pthread_mutex_lock(&lock); }
static void give(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void begin(void)
{
    const char *d = getenv("TORTURE_DATA"), *k = getenv("TORTURE_DISK");
    if (!d || !k)
        return;
    snprintf(data, sizeof data, "%s", d);
    snprintf(disk, sizeof disk, "%s", k);
    char path[600];
    snprintf(path, sizeof path, "%s/control", disk);
    int fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    REAL(close)(fd);
    pthread_atfork(take, give, give);
    control = mapped;
}

/* A child that closed everything finds its way again. */
static void write_name(const struct name_record *record)
{
    char path[600];
    snprintf(path, sizeof path, "%s/names", disk);
    int fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, record, sizeof *record) != sizeof *record)
        abort();
    REAL(close)(fd);
}

static uint64_t count_names(void)
{
    char path[600];
    struct stat about;
    snprintf(path, sizeof path, "%s/names", disk);
    return stat(path, &about) == 0 ? (uint64_t)about.st_size / sizeof(struct name_record) : 0;
}

/* Absolute, without "./"; false: not in the data directory. */
static bool full_path(const char *path, char full[512])
{
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (path[0] != '/') {
        char cwd[400];
        if (!getcwd(cwd, sizeof cwd))
            return false;
        if (strcmp(path, ".") == 0)
            snprintf(full, 512, "%s", cwd);
        else
            snprintf(full, 512, "%.250s/%.250s", cwd, path);
    } else {
        snprintf(full, 512, "%.500s", path);
    }
    for (char *dot; (dot = strstr(full, "/./"));)
        memmove(dot, dot + 2, strlen(dot + 2) + 1);
    size_t len = strlen(full);
    if (len > 2 && strcmp(full + len - 2, "/.") == 0)
        full[len - 2] = 0;
    len = strlen(data);
    return control && strncmp(full, data, len) == 0 && (full[len] == '/' || full[len] == 0);
}

static int place_of(const char *full)
{
    const char *rest = full + strlen(data);
    if (strstr(rest, "journal"))
        return PLACE_JOURNAL;
    if (strstr(rest, "snapshot"))
        return PLACE_SNAPSHOT;
    return strstr(rest, "replica.state") ? PLACE_STATE : PLACE_OTHER;
}

static uint64_t dir_of(const char *full)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s", full);
    char *slash = strrchr(dir, '/');
    *slash = 0;
    struct stat about;
    return stat(dir, &about) == 0 ? about.st_ino : 0;
}

/* --- failing -------------------------------------------------------------------- */

/* True: the call fails, errno is set. */
static bool fails(enum call call, int place)
{
    atomic_fetch_add(&control->calls[call], 1);
    uint32_t calls = atomic_load(&control->fail_calls), where = atomic_load(&control->fail_place);
    if (!(calls & 1u << call) || (where && where != (uint32_t)place))
        return false;
    int64_t left = atomic_fetch_sub(&control->fail_after, 1);
    if (left > 0 || (left < 0 && !atomic_load(&control->fail_sticks)))
        return false;
    atomic_fetch_add(&control->failed, 1);
    uint32_t error = atomic_load(&control->fail_error);
    if (error == CRASH) {
        kill(0, SIGKILL);
        pause();
    }
    errno = (int)error;
    return true;
}

/* --- remembering what a write replaced -------------------------------------------- */

static int open_log(uint64_t inode, bool is_new)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%llu.undo", disk, (unsigned long long)inode);
    int fd = REAL(open)(path, O_RDWR | O_CREAT | O_CLOEXEC | (is_new ? O_TRUNC : 0), 0644);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0)
        abort();
    uint64_t flushed = HEAD;
    if (about.st_size < HEAD && (pwrite(fd, &flushed, sizeof flushed, 0) != sizeof flushed ||
                                 REAL(ftruncate)(fd, HEAD) != 0))
        abort();
    return fd;
}

static void log_undo(int log, int fd, uint64_t offset, uint64_t length, bool has_resized)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        abort();
    struct undo_record record = {offset, length, (uint64_t)about.st_size, has_resized};
    char *bytes = mmap(NULL, sizeof record + length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        abort();
    memcpy(bytes, &record, sizeof record);
    for (uint64_t done = 0; done < length;) {
        ssize_t got = REAL(pread)(fd, bytes + sizeof record + done, length - done, (off_t)(offset + done));
        if (got <= 0)
            break; /* behind the end: zeros */
        done += (uint64_t)got;
    }
    off_t end = lseek(log, 0, SEEK_END);
    for (uint64_t done = 0; done < sizeof record + length;) {
        ssize_t put = REAL(pwrite)(log, bytes + done, sizeof record + length - done, end + (off_t)done);
        if (put <= 0)
            abort();
        done += (uint64_t)put;
    }
    munmap(bytes, sizeof record + length);
}

static void note_flushed(int log, off_t end)
{
    take();
    uint64_t flushed = (uint64_t)end, before = HEAD;
    if (lseek(log, 0, SEEK_END) == end) {
        flushed = HEAD;
        if (REAL(pwrite)(log, &flushed, sizeof flushed, 0) != sizeof flushed || REAL(ftruncate)(log, HEAD) != 0)
            abort();
    } else {
        if (REAL(pread)(log, &before, sizeof before, 0) != sizeof before)
            abort();
        if (flushed > before && REAL(pwrite)(log, &flushed, sizeof flushed, 0) != sizeof flushed)
            abort();
        if (flushed > before + PUNCH)
            (void)!REAL(fallocate)(log, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HEAD, end - HEAD);
    }
    give();
}

static void keep_removed(const char *full, uint64_t *inode)
{
    struct stat about;
    *inode = 0;
    if (stat(full, &about) != 0)
        return;
    char kept[600];
    snprintf(kept, sizeof kept, "%s/%llu.kept", disk, (unsigned long long)about.st_ino);
    REAL(unlink)(kept);
    if (link(full, kept) == 0)
        *inode = about.st_ino;
}

/* --- calls ------------------------------------------------------------------------ */

static void forget_fd(int fd)
{
    if (fd < 0 || fd >= FDS || !files[fd].inode)
        return;
    if (files[fd].log > 0)
        REAL(close)(files[fd].log);
    memset(&files[fd], 0, sizeof files[fd]);
}

static void watch(int fd, const char *full, bool is_new, int log)
{
    struct stat about;
    if (fd >= FDS || fstat(fd, &about) != 0)
        abort();
    files[fd].log = log;
    files[fd].is_dir = S_ISDIR(about.st_mode);
    files[fd].place = place_of(full);
    if (!files[fd].is_dir && log < 0)
        files[fd].log = open_log(about.st_ino, is_new);
    files[fd].inode = about.st_ino;
    if (is_new) {
        struct name_record record = {.kind = NAME_CREATE, .dir = dir_of(full)};
        snprintf(record.from, sizeof record.from, "%.480s", full);
        write_name(&record);
    }
}

static int open_of_ours(const char *path, const char *full, int flags, mode_t mode)
{
    if (fails(CALL_OPEN, place_of(full)))
        return -1;
    struct stat about;
    take();
    bool is_there = stat(full, &about) == 0;
    int log = -1;
    if (is_there && (flags & O_TRUNC)) {
        int before = REAL(open)(full, O_RDONLY | O_CLOEXEC);
        if (before >= 0) {
            log = open_log(about.st_ino, false);
            log_undo(log, before, 0, (uint64_t)about.st_size, true);
            REAL(close)(before);
        }
    }
    int fd = REAL(open)(path, flags, mode);
    if (fd >= 0) {
        /* close_range told us nothing */
        memset(&files[fd], 0, sizeof files[fd]);
        if (!(flags & O_PATH))
            watch(fd, full, !is_there, log);
    }
    give();
    return fd;
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    char full[512];
    if (full_path(path, full))
        return open_of_ours(path, full, flags, mode);
    int fd = REAL(open)(path, flags, mode);
    if (fd >= 0 && fd < FDS && files[fd].inode)
        memset(&files[fd], 0, sizeof files[fd]);
    return fd;
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

FILE *fopen(const char *path, const char *mode)
{
    char boot[600];
    if (control && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        snprintf(boot, sizeof boot, "%s/boot", disk);
        path = boot;
    }
    return REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));

int close(int fd)
{
    if (control && fd >= 0 && fd < FDS && files[fd].inode) {
        take();
        forget_fd(fd);
        give();
    }
    return REAL(close)(fd);
}

/* Whoever closes everything but one file (a child that writes a snapshot for a peer, into a file
 * without a name) closes that one's log: from then on it is not watched. */
int close_range(unsigned first, unsigned last, int flags)
{
    for (unsigned fd = 0; control && fd < FDS; fd++) {
        bool is_log_closed = files[fd].log >= 0 && (unsigned)files[fd].log >= first && (unsigned)files[fd].log <= last;
        if ((fd >= first && fd <= last) || is_log_closed)
            memset(&files[fd], 0, sizeof files[fd]);
    }
    return REAL(close_range)(first, last, flags);
}

static bool is_ours(int fd)
{
    return control && fd >= 0 && fd < FDS && files[fd].inode;
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (is_ours(fd) && fails(CALL_READ, files[fd].place))
        return -1;
    return REAL(pread)(fd, bytes, size, offset);
}

ssize_t pread64(int fd, void *bytes, size_t size, off_t offset) __attribute__((alias("pread")));

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (!is_ours(fd))
        return REAL(pwrite)(fd, bytes, size, offset);
    bool has_failed = fails(CALL_WRITE, files[fd].place);
    if (has_failed && (size < 2 || errno != ENOSPC))
        return -1;
    if (has_failed)
        size /= 2; /* a full disk takes what there is room for */
    take();
    log_undo(files[fd].log, fd, (uint64_t)offset, size, false);
    ssize_t put = REAL(pwrite)(fd, bytes, size, offset);
    give();
    return put;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset) __attribute__((alias("pwrite")));

static void take_time(void)
{
    uint32_t most = atomic_load(&control->flush_delay_us);
    if (most == 0)
        return;
    struct timespec now;
    REAL(clock_gettime)(CLOCK_MONOTONIC, &now);
    uint64_t us = (uint64_t)now.tv_nsec * 2654435761u % most;
    struct timespec wait = {0, (long)us * 1000};
    nanosleep(&wait, NULL);
}

static int flush(int fd, int (*call)(int))
{
    if (!is_ours(fd))
        return call(fd);
    bool is_dir = files[fd].is_dir;
    uint64_t dir = files[fd].inode, count = count_names();
    int log = files[fd].log;
    off_t end = is_dir ? 0 : lseek(log, 0, SEEK_END);
    take_time();
    if (fails(is_dir ? CALL_FLUSH_DIR : CALL_FLUSH, files[fd].place))
        return -1;
    if (atomic_load(&control->lies))
        return 0;
    if (is_dir) {
        struct name_record record = {.kind = NAME_FLUSH, .dir = dir, .inode = count};
        take();
        write_name(&record);
        give();
    } else {
        note_flushed(log, end);
    }
    return 0;
}

int fdatasync(int fd)
{
    return flush(fd, REAL(fdatasync));
}

int fsync(int fd)
{
    return flush(fd, REAL(fsync));
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (!is_ours(fd))
        return REAL(fallocate)(fd, mode, offset, size);
    if (fails(CALL_RESERVE, files[fd].place))
        return -1;
    take();
    log_undo(files[fd].log, fd, 0, 0, true);
    int result = REAL(fallocate)(fd, mode, offset, size);
    give();
    return result;
}

int fallocate64(int fd, int mode, off_t offset, off_t size) __attribute__((alias("fallocate")));

int ftruncate(int fd, off_t size)
{
    if (!is_ours(fd))
        return REAL(ftruncate)(fd, size);
    if (fails(CALL_RESIZE, files[fd].place))
        return -1;
    struct stat about;
    if (fstat(fd, &about) != 0)
        return -1;
    take();
    log_undo(files[fd].log, fd, (uint64_t)size, about.st_size > size ? (uint64_t)(about.st_size - size) : 0, true);
    int result = REAL(ftruncate)(fd, size);
    give();
    return result;
}

int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));

int rename(const char *from, const char *to)
{
    char full_from[512], full_to[512];
    if (!full_path(from, full_from) || !full_path(to, full_to))
        return REAL(rename)(from, to);
    if (fails(CALL_RENAME, place_of(full_from)))
        return -1;
    struct name_record record = {.kind = NAME_RENAME, .dir = dir_of(full_to)};
    snprintf(record.from, sizeof record.from, "%.480s", full_from);
    snprintf(record.to, sizeof record.to, "%.480s", full_to);
    take();
    keep_removed(full_to, &record.inode);
    int result = REAL(rename)(from, to);
    if (result == 0)
        write_name(&record);
    give();
    return result;
}

int unlink(const char *path)
{
    char full[512];
    if (!full_path(path, full))
        return REAL(unlink)(path);
    if (fails(CALL_UNLINK, place_of(full)))
        return -1;
    struct name_record record = {.kind = NAME_UNLINK, .dir = dir_of(full)};
    snprintf(record.from, sizeof record.from, "%.480s", full);
    take();
    keep_removed(full, &record.inode);
    int result = REAL(unlink)(path);
    if (result == 0)
        write_name(&record);
    give();
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    char full[512];
    if (!full_path(path, full))
        return REAL(mkdir)(path, mode);
    if (fails(CALL_MKDIR, place_of(full)))
        return -1;
    int result = REAL(mkdir)(path, mode);
    if (result == 0) {
        struct name_record record = {.kind = NAME_MKDIR, .dir = dir_of(full)};
        snprintf(record.from, sizeof record.from, "%.480s", full);
        take();
        write_name(&record);
        give();
    }
    return result;
}

/* --- the wall clock ----------------------------------------------------------------- */

static void shift(struct timespec *now)
{
    int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + atomic_load(&control->clock_offset_ns);
    now->tv_sec = ns / 1000000000;
    now->tv_nsec = ns % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*next)(clockid_t, struct timespec *);
    if (!next)
        next = REAL(clock_gettime);
    int result = next(clock, now);
    if (result == 0 && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(now);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec fine;
    if (clock_gettime(CLOCK_REALTIME, &fine) != 0)
        return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}
