/* What snapshots cost: time to save and to load, size, the pause of fork() and
 * the memory that is copied while a child writes.
 *
 *   make archives && cc -std=c11 -D_GNU_SOURCE -O2 -DKV_JEMALLOC -Isrc -o build/snapshot_bench \
 *      tests/bench/snapshot_bench.c build/release/libpersist.a build/release/libstore.a \
 *      build/release/libbase.a -ljemalloc -lxxhash -llz4 -lm -lpthread
 *   build/snapshot_bench speed KEYS VALUE_BYTES RANDOM DIR [ROUNDS]
 *   build/snapshot_bench commands KEYS VALUE_BYTES RANDOM
 *   build/snapshot_bench fork KEYS VALUE_BYTES DIR [WRITES_PER_MS]
 *
 * speed: KEYS keys of 16 random letters; values are random bytes (RANDOM 1) or
 * text that compresses (0), the same that snapshot_bench.py gives to
 * redis-server.  Wall time, flushing included, each round printed; save_cpu_ms
 * is CPU time without a file.
 *
 * fork: the parent forks a child that writes a snapshot, and overwrites random
 * keys meanwhile, as fast as it can or at the given rate.  Printed: how long
 * fork() took in the parent, how long the child, the longest and the mean of
 * the parent's writes, and the memory that both together have more than before
 * (private pages of the child: what was copied, with what it allocated). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "persist/snapshot.h"
#include "store/keyspace.h"

enum { KEY_BYTES = 16, VALUE_MAX = 65536 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Without the time other processes had. */
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct slice key_of(char text[static KEY_BYTES + 1], uint64_t number)
{
    snprintf(text, KEY_BYTES + 1, "%016llx", (unsigned long long)random_mix(number));
    return slice_make(text, KEY_BYTES);
}

static struct slice value_of(char *room, size_t size, uint64_t number, int is_random)
{
    if (is_random) {
        for (size_t i = 0; i < size; i += 8) {
            uint64_t word = random_mix(number * 1000003 + i);
            memcpy(room + i, &word, size - i < 8 ? size - i : 8);
        }
    } else {
        char text[64];
        int length = snprintf(text, sizeof text, "{\"id\":%llu,\"state\":\"open\"}", (unsigned long long)number);
        for (size_t i = 0; i < size; i++)
            room[i] = text[i % (size_t)length];
    }
    return slice_make(room, size);
}

static struct keyspace *make(void)
{
    struct keyspace_options options = {.database_count = 16, .hash_secret = "benchmark secret"};
    return keyspace_create(&options);
}

static struct keyspace *make_full(size_t count, size_t value_bytes, int is_random)
{
    static char room[VALUE_MAX];
    char text[KEY_BYTES + 1];
    struct keyspace *ks = make();
    for (size_t i = 0; i < count; i++)
        keyspace_set(ks, 0, key_of(text, i), value_of(room, value_bytes, i, is_random), EXPIRE_NONE);
    return ks;
}

static struct snapshot_head head_of(void)
{
    return (struct snapshot_head){.hash_secret = "benchmark secret", .state = SLICE_LITERAL("")};
}

static void save(struct keyspace *ks, int is_compressed, const char *dir, const char *name)
{
    const struct snapshot_head head = head_of();
    char error[SNAPSHOT_ERROR_MAX];
    if (snapshot_write_file(ks, &head, is_compressed, dir, name, NULL, NULL, error) != STATUS_OK) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

static double load_ms(const char *path, const char *secret, double *cpu)
{
    double begin = now_ms(), cpu_begin = cpu_ms();
    struct keyspace_options options = {.database_count = 16};
    memcpy(options.hash_secret, secret, 16);
    struct keyspace *ks = keyspace_create(&options);
    struct snapshot_reader *reader = snapshot_reader_create(ks);
    if (snapshot_read_file(reader, path, NULL, NULL) != STATUS_OK) {
        fprintf(stderr, "%s\n", snapshot_reader_error(reader));
        exit(1);
    }
    snapshot_reader_free(reader);
    double took = now_ms() - begin;
    *cpu = cpu_ms() - cpu_begin;
    keyspace_free(ks);
    return took;
}

static double check_ms(const char *path)
{
    double begin = now_ms();
    struct snapshot_file_figures figures;
    char error[SNAPSHOT_ERROR_MAX];
    if (snapshot_check_file(path, &(struct snapshot_visitor){0}, &figures, error) != STATUS_OK)
        exit(1);
    return now_ms() - begin;
}

static long file_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

/* Into nowhere: what saving costs without a disk. */
static enum status drop(void *context, const void *bytes, size_t size)
{
    (void)context, (void)bytes, (void)size;
    return STATUS_OK;
}

static double save_cpu_ms(struct keyspace *ks, int is_compressed)
{
    const struct snapshot_head head = head_of();
    const struct snapshot_write_options options = {.is_compressed = is_compressed, .sink = drop};
    double begin = cpu_ms();
    if (snapshot_write(ks, &head, &options) != STATUS_OK)
        exit(1);
    return cpu_ms() - begin;
}

static void speed(size_t count, size_t value_bytes, int is_random, const char *dir, int rounds)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/bench.snapshot", dir);
    struct keyspace *ks = make_full(count, value_bytes, is_random);
    for (int round = 0; round < rounds; round++)
        for (int is_compressed = 0; is_compressed < 2; is_compressed++) {
            double cpu_save = save_cpu_ms(ks, is_compressed), cpu_load, cpu_other, begin = now_ms();
            save(ks, is_compressed, dir, "bench.snapshot");
            double took = now_ms() - begin, load = load_ms(path, "benchmark secret", &cpu_load);
            double other = load_ms(path, "a secret of other", &cpu_other);
            printf("%s save_ms %.0f save_cpu_ms %.0f bytes %ld load_ms %.0f load_cpu_ms %.0f "
                   "other_secret_ms %.0f other_secret_cpu_ms %.0f check_ms %.0f\n",
                   is_compressed ? "lz4" : "plain", took, cpu_save, file_bytes(path), load, cpu_load, other, cpu_other,
                   check_ms(path));
            fflush(stdout);
        }
    unlink(path);
    keyspace_free(ks);
}

/* --- fork ------------------------------------------------------------------ */

/* Kilobytes, from /proc/PID/smaps_rollup. */
static long memory_kb(pid_t pid, const char *field)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    long value = -1;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), "%ld", &value);
    if (file)
        fclose(file);
    return value;
}

static void fork_once(struct keyspace *ks, size_t count, size_t value_bytes, const char *dir, double per_ms)
{
    static char room[VALUE_MAX];
    char text[KEY_BYTES + 1];
    long before = memory_kb(getpid(), "Pss:"), copied = 0;
    double begin = now_ms();
    pid_t child = fork();
    double paused = now_ms() - begin;
    if (child == 0) {
        save(ks, 1, dir, "fork.snapshot");
        _exit(0);
    }
    struct random random;
    random_init(&random, (uint64_t)child);
    double longest = 0, busy = 0, looked = begin;
    uint64_t writes = 0;
    while (waitpid(child, NULL, WNOHANG) == 0) {
        double now = now_ms();
        if (now - looked > 20) {
            /* Pages shared by both count half in each Pss. */
            long together = memory_kb(getpid(), "Pss:") + memory_kb(child, "Pss:");
            copied = together - before > copied ? together - before : copied;
            looked = now_ms();
        }
        if (per_ms >= 0 && (double)writes > (now - begin) * per_ms)
            continue;
        for (int i = 0; i < 8; i++) {
            uint64_t number = random_below(&random, count);
            double start = now_ms();
            keyspace_set(ks, 0, key_of(text, number), value_of(room, value_bytes, number + 1, 1), EXPIRE_NONE);
            double took = now_ms() - start;
            longest = took > longest ? took : longest;
            busy += took;
            writes++;
        }
    }
    printf("keys %zu fork_ms %.2f child_ms %.0f before_mb %ld copied_mb %ld writes %llu write_us %.2f longest_ms %.2f\n",
           count, paused, now_ms() - begin, before / 1024, copied / 1024, (unsigned long long)writes,
           writes ? busy / (double)writes * 1e3 : 0, longest);
    fflush(stdout);
}

/* The same data as commands, for redis-cli --pipe. */
static void commands(size_t count, size_t value_bytes, int is_random)
{
    static char room[VALUE_MAX];
    char text[KEY_BYTES + 1];
    for (size_t i = 0; i < count; i++) {
        struct slice value = value_of(room, value_bytes, i, is_random);
        printf("*3\r\n$3\r\nSET\r\n$%d\r\n%.*s\r\n$%zu\r\n", KEY_BYTES, KEY_BYTES, key_of(text, i).ptr, value.len);
        fwrite(value.ptr, 1, value.len, stdout);
        fputs("\r\n", stdout);
    }
}

int main(int argc, char **argv)
{
    if (argc >= 6 && strcmp(argv[1], "speed") == 0) {
        speed(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), atoi(argv[4]), argv[5],
              argc > 6 ? atoi(argv[6]) : 3);
        return 0;
    }
    if (argc >= 5 && strcmp(argv[1], "commands") == 0) {
        commands(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), atoi(argv[4]));
        return 0;
    }
    if (argc >= 5 && strcmp(argv[1], "fork") == 0) {
        size_t count = strtoul(argv[2], NULL, 10), value_bytes = strtoul(argv[3], NULL, 10);
        struct keyspace *ks = make_full(count, value_bytes, 1);
        for (int i = 0; i < 3; i++)
            fork_once(ks, count, value_bytes, argv[4], argc > 5 ? atof(argv[5]) : -1);
        return 0;
    }
    fprintf(stderr, "usage: %s speed KEYS VALUE_BYTES RANDOM DIR [ROUNDS] | fork KEYS VALUE_BYTES DIR [PER_MS]\n", argv[0]);
    return 2;
}
