/* What the store costs: nanoseconds per operation and bytes per key.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O2 -DKV_JEMALLOC -Isrc -o /tmp/store_bench tests/bench/store_bench.c \
 *      build/release/libstore.a build/release/libbase.a -ljemalloc -lxxhash -lm && /tmp/store_bench
 *
 * Keys are drawn at random from a million (argument 1 changes that), every run
 * in its own order, so the caches do not help.  "in runs of 16" hashes and
 * prefetches 16 keys before running them, as a pipelined connection does.
 * Times are CPU time, the least of several rounds, since machines are shared.
 * MALLOC_CONF=thp:always,metadata_thp:auto shows what huge pages give. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/random.h"
#include "store/keyspace.h"

enum { KEY_BYTES = 16, VALUE_BYTES = 64, RUN = 16 };

/* Without the time other processes had. */
static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct slice key_of(char text[static KEY_BYTES + 1], uint64_t number)
{
    snprintf(text, KEY_BYTES + 1, "key:%012llu", (unsigned long long)(number % 1000000000000));
    return slice_make(text, KEY_BYTES);
}

static struct keyspace *make(void)
{
    struct keyspace_options options = {.database_count = 16, .hash_secret = "benchmark secret"};
    return keyspace_create(&options);
}

static char (*make_keys(size_t count, uint64_t seed))[KEY_BYTES + 1]
{
    char(*keys)[KEY_BYTES + 1] = malloc(count * sizeof *keys);
    struct random random;
    random_init(&random, seed);
    for (size_t i = 0; i < count; i++)
        key_of(keys[i], random_below(&random, count));
    return keys;
}

static void fill(struct keyspace *ks, size_t count, size_t value_bytes)
{
    char value[VALUE_BYTES], text[KEY_BYTES + 1];
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < count; i++)
        keyspace_set(ks, 0, key_of(text, i), slice_make(value, value_bytes), EXPIRE_NONE);
}

typedef void run_fn(struct keyspace *ks, struct slice key, struct slice value);
static void run_set(struct keyspace *ks, struct slice key, struct slice value)
{
    keyspace_set(ks, 0, key, value, EXPIRE_NONE);
}
static void run_get(struct keyspace *ks, struct slice key, struct slice value)
{
    (void)value;
    struct entry *e = keyspace_find(ks, 0, key);
    char scratch[INT64_TEXT_MAX];
    if (e && entry_string(e, scratch).ptr[0] == 0)
        abort();
}

static double one_by_one(struct keyspace *ks, char (*keys)[KEY_BYTES + 1], size_t count, run_fn *run)
{
    char value[VALUE_BYTES];
    memset(value, 'w', sizeof value);
    double begin = cpu_ns();
    for (size_t i = 0; i < count; i++)
        run(ks, slice_make(keys[i], KEY_BYTES), slice_make(value, sizeof value));
    return (cpu_ns() - begin) / (double)count;
}

static double in_runs(struct keyspace *ks, char (*keys)[KEY_BYTES + 1], size_t count, run_fn *run)
{
    char value[VALUE_BYTES];
    memset(value, 'x', sizeof value);
    uint64_t hashes[RUN];
    double begin = cpu_ns();
    for (size_t i = 0; i + RUN <= count; i += RUN) {
        for (size_t k = 0; k < RUN; k++) {
            hashes[k] = keyspace_hash(ks, slice_make(keys[i + k], KEY_BYTES));
            keyspace_prefetch_bucket(ks, 0, hashes[k]);
        }
        for (size_t k = 0; k < RUN; k++)
            keyspace_prefetch_entry(ks, 0, hashes[k]);
        for (size_t k = 0; k < RUN; k++) {
            struct slice key = slice_make(keys[i + k], KEY_BYTES);
            keyspace_hint(ks, key, hashes[k]);
            run(ks, key, slice_make(value, sizeof value));
        }
    }
    return (cpu_ns() - begin) / (double)count;
}

static void lower(double *least, double value)
{
    if (*least == 0 || value < *least)
        *least = value;
}

static void speed(size_t count)
{
    enum { ROUNDS = 7 };
    struct keyspace *ks = make();
    double begin = cpu_ns();
    fill(ks, count, VALUE_BYTES);
    printf("SET of new keys                  %6.0f ns\n", (cpu_ns() - begin) / (double)count);
    double set_one = 0, set_runs = 0, get_one = 0, get_runs = 0;
    for (int round = 0; round < ROUNDS; round++) {
        char(*keys)[KEY_BYTES + 1] = make_keys(count, 1 + (uint64_t)round);
        lower(&set_one, one_by_one(ks, keys, count, run_set));
        lower(&set_runs, in_runs(ks, keys, count, run_set));
        lower(&get_one, one_by_one(ks, keys, count, run_get));
        lower(&get_runs, in_runs(ks, keys, count, run_get));
        free(keys);
    }
    printf("SET over existing, one by one    %6.0f ns\n", set_one);
    printf("SET over existing, in runs of 16 %6.0f ns\n", set_runs);
    printf("GET, one by one                  %6.0f ns\n", get_one);
    printf("GET, in runs of 16               %6.0f ns\n", get_runs);
    begin = cpu_ns();
    keyspace_flush(ks, 0, true);
    printf("FLUSHDB ASYNC                    %6.0f us\n", (cpu_ns() - begin) / 1e3);
    double worst = 0, total = 0;
    for (bool more = true; more;) {
        begin = cpu_ns();
        more = keyspace_reclaim(ks, 100);
        double took = cpu_ns() - begin;
        total += took;
        worst = took > worst ? took : worst;
    }
    printf("  reclaimed in steps of 100 us   %6.0f us longest, %.0f ms in all\n", worst / 1e3, total / 1e6);
    keyspace_free(ks);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report_pauses(const char *what, double *took, size_t count)
{
    qsort(took, count, sizeof *took, compare_doubles);
    printf("%s %zu keys: median %.0f ns, 99.99%% %.0f us, longest %.0f us of CPU\n", what, count,
           took[count / 2], took[count - count / 10000 - 1] / 1e3, took[count - 1] / 1e3);
}

static void pauses(size_t count)
{
    struct keyspace *ks = make();
    double *took = malloc(count * sizeof *took);
    char text[KEY_BYTES + 1];
    for (size_t i = 0; i < count; i++) {
        struct slice key = key_of(text, i);
        double begin = cpu_ns();
        keyspace_set(ks, 0, key, SLICE_LITERAL("sixteen byte val"), EXPIRE_NONE);
        took[i] = cpu_ns() - begin;
    }
    report_pauses("filling to", took, count);
    for (size_t i = 0; i < count; i++) {
        struct slice key = key_of(text, i);
        double begin = cpu_ns();
        keyspace_delete(ks, 0, key);
        took[i] = cpu_ns() - begin;
    }
    report_pauses("deleting from", took, count);
    free(took);
    keyspace_free(ks);
}

static void memory(size_t count)
{
    struct mem_figures before, after;
    struct keyspace_figures figures;
    mem_purge();
    mem_figures(&before);
    struct keyspace *ks = make();
    fill(ks, count, 16);
    mem_figures(&after);
    keyspace_get_figures(ks, &figures);
    double keys = (double)count;
    printf("%zu keys of 16 + 16 bytes: allocated %.1f, mapped %.1f, resident %.1f (process %.1f) bytes per key\n",
           count, (double)((after.allocated - after.mapped) - (before.allocated - before.mapped)) / keys,
           (double)(after.mapped - before.mapped) / keys, (double)(after.resident - before.resident) / keys,
           (double)(after.resident_process - before.resident_process) / keys);
    printf("  entries %.1f, buckets %.1f\n", (double)figures.entry_bytes / keys,
           (double)figures.bucket_bytes / keys);
    keyspace_free(ks);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    printf("%s, %zu keys, %d-byte keys\n", mem_allocator_name(), count, KEY_BYTES);
    memory(count);
    memory(count * 5 / 4);
    memory(count * 7 / 4);
    speed(count);
    pauses(count);
    return 0;
}
