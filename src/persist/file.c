#include "persist/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int system_fallocate(int fd, off_t offset, off_t size)
{
    return fallocate(fd, 0, offset, size);
}

static off_t system_size(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 ? about.st_size : -1;
}

static int system_list(const char *dir, void (*visit)(void *context, const char *name), void *context)
{
    DIR *stream = opendir(dir);
    if (!stream)
        return -1;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(stream));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
    int error = errno;
    closedir(stream);
    errno = error;
    return error ? -1 : 0;
}

static const struct file_ops system_ops = {
    .open = system_open,
    .close = close,
    .pread = pread,
    .pwrite = pwrite,
    .fdatasync = fdatasync,
    .fsync = fsync,
    .fallocate = system_fallocate,
    .ftruncate = ftruncate,
    .size = system_size,
    .rename = rename,
    .unlink = unlink,
    .mkdir = mkdir,
    .flock = flock,
    .list = system_list,
};

static const struct file_ops *file_ops = &system_ops;

void file_set_ops(const struct file_ops *ops)
{
    file_ops = ops ? ops : &system_ops;
}

static enum status status_of(int result)
{
    return result < 0 ? STATUS_IO : STATUS_OK;
}

enum status file_open(int *fd, const char *path, int flags)
{
    int opened;
    do
        opened = file_ops->open(path, flags | O_CLOEXEC, 0644);
    while (opened < 0 && errno == EINTR);
    if (opened < 0)
        return STATUS_IO;
    *fd = opened;
    return STATUS_OK;
}

void file_close(int fd)
{
    int error = errno;
    (void)file_ops->close(fd);
    errno = error;
}

enum status file_read(int fd, void *bytes, size_t size, uint64_t offset)
{
    char *to = bytes;
    while (size > 0) {
        ssize_t got = file_ops->pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return STATUS_IO;
        if (got == 0)
            return STATUS_NOT_FOUND;
        to += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return STATUS_OK;
}

enum status file_write(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t put = file_ops->pwrite(fd, from, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return STATUS_IO;
        if (put == 0) { /* not of a regular file; never turn for ever */
            errno = EIO;
            return STATUS_IO;
        }
        from += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return STATUS_OK;
}

/* An interrupted flush has promised nothing and reported no error: again. */
enum status file_flush(int fd)
{
    int result;
    do
        result = file_ops->fdatasync(fd);
    while (result < 0 && errno == EINTR);
    return status_of(result);
}

enum status file_flush_dir(int dir_fd)
{
    int result;
    do
        result = file_ops->fsync(dir_fd);
    while (result < 0 && errno == EINTR);
    return status_of(result);
}

enum status file_flush_dir_path(const char *dir)
{
    int fd;
    enum status status = file_open(&fd, dir, O_RDONLY | O_DIRECTORY);
    if (status != STATUS_OK)
        return status;
    status = file_flush_dir(fd);
    file_close(fd);
    return status;
}

enum status file_reserve(int fd, uint64_t size)
{
    int result;
    do
        result = file_ops->fallocate(fd, 0, (off_t)size);
    while (result < 0 && errno == EINTR);
    if (result < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return file_resize(fd, size);
    return status_of(result);
}

enum status file_resize(int fd, uint64_t size)
{
    int result;
    do
        result = file_ops->ftruncate(fd, (off_t)size);
    while (result < 0 && errno == EINTR);
    return status_of(result);
}

enum status file_size(int fd, uint64_t *size)
{
    off_t found = file_ops->size(fd);
    if (found < 0)
        return STATUS_IO;
    *size = (uint64_t)found;
    return STATUS_OK;
}

enum status file_rename(const char *from, const char *to)
{
    return status_of(file_ops->rename(from, to));
}

enum status file_remove(const char *path)
{
    return status_of(file_ops->unlink(path));
}

enum status file_make_dir(const char *dir)
{
    if (file_ops->mkdir(dir, 0755) < 0)
        return errno == EEXIST ? STATUS_OK : STATUS_IO;
    char *parent = mem_strdup(dir);
    size_t length = strlen(parent);
    while (length > 1 && parent[length - 1] == '/')
        parent[--length] = 0;
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = 0;
    enum status status = file_flush_dir_path(slash ? parent : ".");
    mem_free(parent);
    return status;
}

enum status file_lock(int fd)
{
    int result;
    do
        result = file_ops->flock(fd, LOCK_EX | LOCK_NB);
    while (result < 0 && errno == EINTR);
    if (result < 0 && errno == EWOULDBLOCK)
        return STATUS_AGAIN;
    return status_of(result);
}

void file_unlock(int fd)
{
    (void)file_ops->flock(fd, LOCK_UN);
}

enum status file_list(const char *dir, void (*visit)(void *context, const char *name), void *context)
{
    return status_of(file_ops->list(dir, visit, context));
}
