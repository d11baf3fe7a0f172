/* What a flush costs: append a record, write, wait for the disk, as often as told,
 * into segments used for the first time and into recycled ones, beside a plain file
 * that grows.
 *
 *   make build/release/libpersist.a build/release/libbase.a
 *   gcc -O2 -std=c11 -D_GNU_SOURCE -Isrc -o build/journal_bench tests/bench/journal_bench.c \
 *       build/release/libpersist.a build/release/libbase.a -ljemalloc -lxxhash -lpthread -lm
 *   build/journal_bench DIR [records [bytes]] */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "persist/journal.h"

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *us, int count)
{
    qsort(us, (size_t)count, sizeof *us, compare);
    printf("%-34s median %6.0f us  p90 %6.0f  p99 %6.0f  max %7.0f\n", what, us[count / 2], us[count * 9 / 10],
           us[count * 99 / 100], us[count - 1]);
}

static enum status ignore(void *context, const struct journal_record *record)
{
    (void)context, (void)record;
    return STATUS_OK;
}

static void must(enum status status, const char *what)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, status_text(status), strerror(errno));
        exit(1);
    }
}

static void run(struct journal *j, const char *what, const char *bytes, size_t size, double *us, int count)
{
    struct slice part = {bytes, size};
    for (int i = 0; i < count; i++) {
        double began = now_us();
        journal_append(j, 1, &part, 1);
        must(journal_write(j), "write");
        must(journal_flush_now(j), "flush");
        us[i] = now_us() - began;
    }
    report(what, us, count);
}

static void run_growing(const char *path, const char *bytes, size_t size, double *us, int count)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    for (int i = 0; i < count; i++) {
        double began = now_us();
        if (write(fd, bytes, size) != (ssize_t)size || fdatasync(fd) != 0)
            exit(1);
        us[i] = now_us() - began;
    }
    report("a plain file that grows", us, count);
    close(fd);
    unlink(path);
}

static void run_appends(struct journal *j, const char *bytes, size_t size)
{
    enum { RECORDS = 200000 };
    struct slice part = {bytes, size};
    double began = now_us();
    for (int i = 0; i < RECORDS; i++) {
        journal_append(j, 1, &part, 1);
        if (i % 16 == 15)
            must(journal_write(j), "write");
        if (i % 4096 == 4095)
            must(journal_forget(j, journal_written_seq(j)), "forget");
    }
    printf("append of %zu bytes, 16 per write: %.0f ns each\n", size, (now_us() - began) * 1e3 / RECORDS);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 64;
    int count = argc > 2 ? atoi(argv[2]) : 3000;
    size_t size = argc > 3 ? (size_t)atol(argv[3]) : 4096;
    char error[JOURNAL_ERROR_MAX], path[4096];
    struct journal *j;
    struct journal_found found;
    struct journal_options options = {.dir = argv[1], .mode = JOURNAL_ALWAYS, .segment_bytes = 8 << 20};
    double *us = malloc((size_t)count * sizeof *us);
    char *bytes = malloc(size);
    memset(bytes, 'x', size);
    if (journal_open(&j, &options, ignore, NULL, &found, error) != STATUS_OK) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    snprintf(path, sizeof path, "%s/growing", argv[1]);
    for (int turn = 0; turn < 2; turn++) {
        run_growing(path, bytes, size, us, count);
        run(j, turn ? "journal, recycled segments" : "journal, segments of first use", bytes, size, us, count);
        must(journal_forget(j, journal_cut(j)), "forget");
    }
    run_appends(j, bytes, 100 < size ? 100 : size);
    must(journal_close(j), "close");
    free(us);
    free(bytes);
    return 0;
}
