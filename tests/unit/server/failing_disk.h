/* The disk under one site fails: after so many changes it takes no more, as if the process
 * had ended there.  Other sites, and reads, go on.  Changes come from the site's threads, too. */
#ifndef TESTS_FAILING_DISK_H
#define TESTS_FAILING_DISK_H

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>

#include "persist/file.h"
#include "sites.h"

static char failing_prefix[96];
static bool failing_fds[4096];
static atomic_long failing_changes_left; /* negative: it has failed */
static atomic_bool is_failing_armed;

static bool takes_change(bool is_of_site)
{
    if (!is_of_site || !is_failing_armed || atomic_fetch_sub(&failing_changes_left, 1) > 0)
        return true;
    errno = EIO;
    return false;
}
static bool is_path_of_site(const char *path)
{
    return strncmp(path, failing_prefix, strlen(failing_prefix)) == 0;
}
static bool is_fd_of_site(int fd)
{
    return fd >= 0 && fd < 4096 && failing_fds[fd];
}

static int failing_open(const char *path, int flags, mode_t mode)
{
    if ((flags & O_CREAT) && !takes_change(is_path_of_site(path)))
        return -1;
    int fd = open(path, flags | O_CLOEXEC, mode);
    if (fd >= 0 && fd < 4096)
        failing_fds[fd] = is_path_of_site(path);
    return fd;
}
static int failing_close(int fd)
{
    return close(fd);
}
static ssize_t failing_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return takes_change(is_fd_of_site(fd)) ? pwrite(fd, bytes, size, offset) : -1;
}
static int failing_fdatasync(int fd)
{
    return takes_change(is_fd_of_site(fd)) ? fdatasync(fd) : -1;
}
static int failing_fsync(int fd)
{
    return takes_change(is_fd_of_site(fd)) ? fsync(fd) : -1;
}
static int failing_fallocate(int fd, off_t offset, off_t size)
{
    return takes_change(is_fd_of_site(fd)) ? fallocate(fd, 0, offset, size) : -1;
}
static int failing_ftruncate(int fd, off_t size)
{
    return takes_change(is_fd_of_site(fd)) ? ftruncate(fd, size) : -1;
}
static off_t size_of_fd(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 ? about.st_size : -1;
}
static int failing_rename(const char *from, const char *to)
{
    return takes_change(is_path_of_site(from)) ? rename(from, to) : -1;
}
static int failing_unlink(const char *path)
{
    return takes_change(is_path_of_site(path)) ? unlink(path) : -1;
}
static int list_names(const char *dir, void (*visit)(void *context, const char *name), void *context)
{
    DIR *d = opendir(dir);
    if (!d)
        return -1;
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
    return closedir(d);
}

static void failing_disk_mend(void)
{
    is_failing_armed = false;
}

/* Before any site is started. */
static void failing_disk_begin(void)
{
    static const struct file_ops ops = {failing_open, failing_close, pread, failing_pwrite, failing_fdatasync,
                                        failing_fsync, failing_fallocate, failing_ftruncate, size_of_fd,
                                        failing_rename, failing_unlink, mkdir, flock, list_names};
    failing_disk_mend();
    strcpy(failing_prefix, "none yet");
    file_set_ops(&ops);
}

/* Of a site that is down. */
static void failing_disk_under(int site)
{
    directory_of_site(site, failing_prefix);
}

static void failing_disk_fail_after(long changes)
{
    failing_changes_left = changes;
    is_failing_armed = true;
}

static bool failing_disk_has_failed(void)
{
    return is_failing_armed && failing_changes_left < 0;
}

#endif
