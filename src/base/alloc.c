#include "base/alloc.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

#if defined(KV_JEMALLOC)
#include <jemalloc/jemalloc.h>
#endif

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "kvstore: out of memory allocating %zu bytes\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *block = malloc(size ? size : 1);
    if (!block)
        out_of_memory(size);
    return block;
}

void *mem_calloc(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block)
        out_of_memory(count * size);
    return block;
}

void *mem_realloc(void *block, size_t size)
{
    void *moved = realloc(block, size ? size : 1);
    if (!moved)
        out_of_memory(size);
    return moved;
}

void *mem_alloc_aligned(size_t alignment, size_t size)
{
    void *block = NULL;
    if (posix_memalign(&block, alignment, size ? size : 1) != 0 || !block)
        out_of_memory(size);
    return block;
}

void mem_free(void *block)
{
    free(block);
}

char *mem_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_alloc(size), text, size);
}

size_t mem_usable_size(const void *block)
{
    return malloc_usable_size((void *)block);
}

static size_t mapped_bytes;

void mem_note_mapped(int64_t change)
{
    mapped_bytes += (size_t)change;
}

static size_t resident_of_process(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm)
        return 0;
    unsigned long total_pages = 0, resident_pages = 0;
    int fields = fscanf(statm, "%lu %lu", &total_pages, &resident_pages);
    fclose(statm);
    return fields == 2 ? resident_pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

#if defined(KV_JEMALLOC)

void mem_free_sized(void *block, size_t size)
{
    if (block)
        sdallocx(block, size ? size : 1, 0);
}

size_t mem_good_size(size_t size)
{
    return nallocx(size ? size : 1, 0);
}

static size_t statistic(const char *name)
{
    size_t value = 0, value_size = sizeof value;
    return mallctl(name, &value, &value_size, NULL, 0) == 0 ? value : 0;
}

void mem_figures(struct mem_figures *figures)
{
    size_t epoch = 1, epoch_size = sizeof epoch;
    int failed = mallctl("epoch", &epoch, &epoch_size, &epoch, epoch_size);
    CHECK(!failed);
    figures->mapped = mapped_bytes;
    figures->allocated = statistic("stats.allocated") + mapped_bytes;
    figures->active = statistic("stats.active") + mapped_bytes;
    figures->resident = statistic("stats.resident") + mapped_bytes;
    figures->resident_process = resident_of_process();
}

const char *mem_allocator_name(void)
{
    static char name[64];
    const char *version = JEMALLOC_VERSION;
    snprintf(name, sizeof name, "jemalloc-%.*s", (int)strcspn(version, "-"), version);
    return name;
}

void mem_purge(void)
{
    char command[64];
    snprintf(command, sizeof command, "arena.%u.purge", (unsigned)MALLCTL_ARENAS_ALL);
    mallctl(command, NULL, NULL, NULL, 0);
}

#else

void mem_free_sized(void *block, size_t size)
{
    (void)size;
    free(block);
}

size_t mem_good_size(size_t size)
{
    return size ? size : 1;
}

void mem_figures(struct mem_figures *figures)
{
    struct mallinfo2 info = mallinfo2();
    figures->resident_process = resident_of_process();
    figures->mapped = mapped_bytes;
    figures->allocated = info.uordblks ? info.uordblks + mapped_bytes : figures->resident_process;
    figures->active = figures->resident_process;
    figures->resident = figures->resident_process;
}

const char *mem_allocator_name(void)
{
    return "libc";
}

void mem_purge(void)
{
    malloc_trim(0);
}

#endif
