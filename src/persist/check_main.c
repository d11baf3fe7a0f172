/* kvstore-check: verifies journals and snapshots, says what they hold, and cuts a
 * journal where it is damaged when told to.
 *
 * It judges as the server does when it starts (journal_scan.h), and changes nothing
 * without --cut.  Exit status, the greatest of all files':
 *
 *   0  all good, or cut and good now
 *   1  the journal has a torn tail, which the server cuts by itself when it starts
 *   2  something is damaged
 *   3  no journal or snapshot of ours, a newer version, or in use (with --cut)
 *   4  the system refused to read or write
 *  64  wrong arguments */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "persist/check_tool.h"
#include "persist/file.h"
#include "persist/journal_format.h"

enum file_type { TYPE_OTHER, TYPE_JOURNAL, TYPE_SNAPSHOT, TYPE_STATE };

static enum file_type type_of_bytes(const char bytes[static 8])
{
    static const unsigned char lz4_magic[] = {0x04, 0x22, 0x4d, 0x18};
    if (memcmp(bytes, "KVJOURNL", 8) == 0)
        return TYPE_JOURNAL;
    if (memcmp(bytes, "kvsnap\r\n", 8) == 0 || memcmp(bytes, lz4_magic, sizeof lz4_magic) == 0)
        return TYPE_SNAPSHOT;
    return memcmp(bytes, "kvstore-", 8) == 0 ? TYPE_STATE : TYPE_OTHER;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), ending_len = strlen(ending);
    return len >= ending_len && strcmp(text + len - ending_len, ending) == 0;
}

/* What bears the name of one is one, however its first bytes look now. */
static enum file_type type_of_name(const char *path)
{
    return ends_with(path, ".kvs") ? TYPE_SNAPSHOT : ends_with(path, "/replica.state") ? TYPE_STATE : TYPE_OTHER;
}

/* STATUS_IO with errno.  A file shorter than any of ours is none of ours. */
static enum status type_of(const char *path, enum file_type *type)
{
    char bytes[8] = {0};
    int fd;
    enum status status = file_open(&fd, path, O_RDONLY);
    if (status != STATUS_OK)
        return status;
    status = file_read(fd, bytes, sizeof bytes, 0);
    file_close(fd);
    *type = status == STATUS_OK ? type_of_bytes(bytes) : TYPE_OTHER;
    if (*type == TYPE_OTHER)
        *type = type_of_name(path);
    return status == STATUS_IO ? STATUS_IO : STATUS_OK;
}

struct entries {
    char (*names)[256];
    size_t count, capacity;
};

static void note_entry(void *context, const char *name)
{
    struct entries *entries = context;
    uint64_t number;
    if (journal_segment_name_parse(name, &number) || journal_spare_name_parse(name, &number) || strlen(name) > 255)
        return;
    if (ends_with(name, ".tmp"))
        return; /* half a file by its nature: under way, or left behind and written over next time */
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity ? 2 * entries->capacity : 16;
        entries->names = mem_realloc(entries->names, entries->capacity * sizeof *entries->names);
    }
    memcpy(entries->names[entries->count++], name, strlen(name) + 1);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void check_path(const char *path, bool is_named);

/* A directory's journal and snapshots; those of its folders too, one level down. */
static void check_entries(const char *dir)
{
    struct entries entries = {0};
    if (file_list(dir, note_entry, &entries) != STATUS_OK)
        check_report_error("directory", dir, STATUS_IO, strerror(errno));
    if (entries.count > 1)
        qsort(entries.names, entries.count, sizeof *entries.names, compare_names);
    for (size_t i = 0; i < entries.count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, entries.names[i]);
        check_path(path, false);
    }
    mem_free(entries.names);
}

/* With --cut the lock is held until the journal is cut. */
static void check_locked(const char *path, int lock_fd)
{
    enum status locked = file_lock(lock_fd);
    bool is_in_use = locked == STATUS_AGAIN;
    if (is_in_use && check_tool.is_cut) {
        check_report_error("journal", path, STATUS_AGAIN, "in use by a server: stop it before cutting");
        return;
    }
    if (!check_tool.is_cut && !is_in_use)
        file_unlock(lock_fd); /* only looked: a server may start meanwhile */
    check_journal(path, true, is_in_use);
}

static void check_dir(const char *path, bool is_named)
{
    unsigned reported = check_tool.reported;
    int lock_fd;
    if (file_open(&lock_fd, path, O_RDONLY | O_DIRECTORY) != STATUS_OK) {
        check_report_error("directory", path, STATUS_IO, strerror(errno));
        return;
    }
    check_locked(path, lock_fd);
    file_close(lock_fd);
    if (!is_named)
        return;
    check_entries(path);
    if (check_tool.reported == reported)
        check_report_error("directory", path, STATUS_MISMATCH, "holds neither a journal nor a snapshot");
}

static void check_file(const char *path, bool is_regular, bool is_named)
{
    enum file_type type = TYPE_OTHER;
    if (is_regular && type_of(path, &type) != STATUS_OK)
        check_report_error("file", path, STATUS_IO, strerror(errno));
    else if (type == TYPE_SNAPSHOT)
        check_snapshot(path);
    else if (type == TYPE_STATE)
        check_state(path);
    else if (type == TYPE_JOURNAL && check_tool.is_cut)
        check_report_error("journal", path, STATUS_MISMATCH,
                           "--cut takes the directory: a segment alone cannot be judged");
    else if (type == TYPE_JOURNAL)
        check_journal(path, false, false);
    else if (is_named)
        check_report_error("file", path, STATUS_MISMATCH,
                           is_regular ? "neither a journal's segment nor a snapshot" : "not a regular file");
}

/* Of what a directory lists, a temporary file may be gone by now. */
static void check_path(const char *path, bool is_named)
{
    struct stat about;
    if (stat(path, &about) != 0) {
        if (is_named || errno != ENOENT)
            check_report_error("file", path, STATUS_IO, strerror(errno));
    } else if (S_ISDIR(about.st_mode)) {
        check_dir(path, is_named);
    } else {
        check_file(path, S_ISREG(about.st_mode), is_named);
    }
}

static int usage(void)
{
    fputs("kvstore-check [--json] [--cut] FILE|DIR ...\n"
          "  FILE     a snapshot, or one segment of a journal\n"
          "  DIR      a server's directory: its journal and its snapshots\n"
          "  --json   for programs\n"
          "  --cut    where a journal is damaged, give up everything from there on\n"
          "Exit status: 0 good, 1 torn tail (the server cuts it), 2 damage, 3 not ours or in use,\n"
          "4 the system refused, 64 wrong arguments\n", stderr);
    return EXIT_ARGUMENTS;
}

int main(int argc, char **argv)
{
    int paths = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            check_tool.is_json = true;
        else if (strcmp(argv[i], "--cut") == 0)
            check_tool.is_cut = true;
        else if (argv[i][0] == '-')
            return usage();
        else
            argv[++paths] = argv[i];
    }
    if (paths == 0)
        return usage();
    if (check_tool.is_json)
        printf("[");
    for (int i = 1; i <= paths; i++)
        check_path(argv[i], true);
    check_progress_end();
    if (check_tool.is_json)
        printf("\n]\n");
    return check_tool.worst;
}
