/* The thin layer over the file system through which all of persist's file
 * operations go.
 *
 * Why a layer: tests put another struct file_ops under it, which fails a call,
 * writes less than asked, or remembers what was flushed and loses the rest.  In
 * production a call costs one indirection beside its system call.
 *
 * I1  EINTR is retried, short reads and writes are continued: callers see all or
 *     an error.
 * I2  an error leaves errno as the system set it. */
#ifndef PERSIST_FILE_H
#define PERSIST_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

/* Each as the system call of its name; -1 and errno on failure. */
struct file_ops {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *bytes, size_t size, off_t offset);
    ssize_t (*pwrite)(int fd, const void *bytes, size_t size, off_t offset);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*fallocate)(int fd, off_t offset, off_t size);
    int (*ftruncate)(int fd, off_t size);
    off_t (*size)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*flock)(int fd, int operation);
    /* Calls visit with every name but "." and ".."; visit's order is anybody's. */
    int (*list)(const char *dir, void (*visit)(void *context, const char *name), void *context);
};

/* For tests; NULL puts the system back.  Not while another thread uses files. */
void file_set_ops(const struct file_ops *ops);

/* All return STATUS_IO with errno. */
enum status file_open(int *fd, const char *path, int flags) MUST_CHECK; /* O_CLOEXEC, mode 0644 */
/* An error of close says nothing a flush has not said. */
void file_close(int fd);
/* All of size, or STATUS_NOT_FOUND when the file ends before. */
enum status file_read(int fd, void *bytes, size_t size, uint64_t offset) MUST_CHECK;
enum status file_write(int fd, const void *bytes, size_t size, uint64_t offset) MUST_CHECK;
/* Data and what is needed to read it back: a power cut does not lose it. */
enum status file_flush(int fd) MUST_CHECK;
/* The same for the entries of a directory: after create, rename, remove. */
enum status file_flush_dir(int dir_fd) MUST_CHECK;
enum status file_flush_dir_path(const char *dir) MUST_CHECK;
/* Room for size bytes.  A file system that cannot promise it is no error. */
enum status file_reserve(int fd, uint64_t size) MUST_CHECK;
enum status file_resize(int fd, uint64_t size) MUST_CHECK;
enum status file_size(int fd, uint64_t *size) MUST_CHECK;
enum status file_rename(const char *from, const char *to) MUST_CHECK;
enum status file_remove(const char *path) MUST_CHECK;
/* Makes dir, durably, unless it is there. */
enum status file_make_dir(const char *dir) MUST_CHECK;
/* Exclusive, for the life of fd.  STATUS_AGAIN: somebody has it. */
enum status file_lock(int fd) MUST_CHECK;
void file_unlock(int fd);
enum status file_list(const char *dir, void (*visit)(void *context, const char *name), void *context) MUST_CHECK;

#endif
