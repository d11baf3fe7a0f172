#include "server/caretaker.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "command/internal.h"
#include "server/agreed.h"
#include "server/server.h"
#include "server/session.h"

enum {
    FORGETS_AT_ONCE = 1024,
    LOOK_MS = 1000,
};

void caretaker_init(struct caretaker *k, struct server *server)
{
    *k = (struct caretaker){.server = server};
    list_init(&k->givebacks);
}

struct giveback {
    struct list_link link;
    uint64_t mark;
    int db, argc;
    struct slice *argv; /* one block */
};

void caretaker_give_back(struct caretaker *k, int db, int argc, const struct slice *argv)
{
    struct giveback *giveback = mem_calloc(1, sizeof *giveback);
    giveback->mark = ++k->newest_mark;
    giveback->db = db;
    giveback->argc = argc;
    giveback->argv = slices_copy(argc, argv, NULL);
    list_append(&k->givebacks, &giveback->link);
    loop_again(k->server->loop);
}

static void free_giveback(struct giveback *giveback)
{
    list_remove(&giveback->link);
    mem_free(giveback->argv);
    mem_free(giveback);
}

static struct giveback *first_giveback(const struct caretaker *k)
{
    struct list_link *first = list_first(&k->givebacks);
    return first ? LIST_ENTRY(first, struct giveback, link) : NULL;
}

void caretaker_deinit(struct caretaker *k)
{
    LIST_FOR_EACH(&k->givebacks, struct giveback, link, giveback) {
        free_giveback(giveback);
    }
    buf_deinit(&k->forgets);
}

void caretaker_forget(struct caretaker *k, const struct watcher_id *id)
{
    char *at = buf_reserve(&k->forgets, WATCHER_ID_BYTES);
    watcher_id_put(id, at);
    buf_extend(&k->forgets, WATCHER_ID_BYTES);
}

/* --- proposing ----------------------------------------------------------------- */

static void propose(struct caretaker *k, enum internal_command which, int db, int argc, struct slice *argv)
{
    k->under_way = command_internal(which);
    argv[0] = slice_from(k->under_way->name);
    replica_submit(k->server->replica, &k->order, k->under_way, db, argc, argv);
}

static void propose_forgets(struct caretaker *k)
{
    struct slice argv[1 + FORGETS_AT_ONCE];
    int argc = 1;
    k->forgets_under_way = 0;
    while (k->forgets_under_way < buf_size(&k->forgets) && argc <= FORGETS_AT_ONCE) {
        argv[argc++] = slice_make(buf_head(&k->forgets) + k->forgets_under_way, WATCHER_ID_BYTES);
        k->forgets_under_way += WATCHER_ID_BYTES;
    }
    propose(k, INTERNAL_FORGET, 0, argc, argv);
}

static void propose_sweep(struct caretaker *k)
{
    char id[WATCHER_ID_BYTES];
    watcher_id_put(&k->sweep, id);
    struct slice argv[] = {{0}, slice_make(id, sizeof id)};
    propose(k, INTERNAL_FORGET_OTHERS, 0, 2, argv);
}

static void propose_giveback(struct caretaker *k, const struct giveback *giveback)
{
    char mark[WATCHER_ID_BYTES];
    struct watcher_id id = {(uint16_t)k->server->config->cluster_self, k->server->life, giveback->mark};
    watcher_id_put(&id, mark);
    struct slice *argv = mem_alloc((size_t)(2 + giveback->argc) * sizeof *argv);
    argv[1] = slice_make(mark, sizeof mark);
    memcpy(argv + 2, giveback->argv, (size_t)giveback->argc * sizeof *argv);
    propose(k, INTERNAL_GIVEBACK, giveback->db, 2 + giveback->argc, argv);
    mem_free(argv);
}

/* Nothing is proposed if nothing is left to be set. */
static void propose_settings(struct caretaker *k)
{
    char texts[SETTING_COUNT][INT64_TEXT_MAX];
    struct slice argv[1 + AGREED_ARGUMENTS_MAX];
    int count = agreed_defaults(k->server, argv + 1, texts);
    if (count > 0) {
        propose(k, k->settles_alone ? INTERNAL_OVERRIDES : INTERNAL_DEFAULTS, 0, 1 + count, argv);
        return;
    }
    k->must_settle = false;
    agreed_warn(k->server);
}

void caretaker_act(struct caretaker *k)
{
    struct giveback *giveback = first_giveback(k);
    bool is_due = giveback || k->must_settle || k->sweep.life || buf_size(&k->forgets) > 0;
    if (k->under_way || !is_due || replica_is_lone(k->server->replica) || replica_refusal(k->server->replica))
        return;
    if (k->must_settle)
        propose_settings(k);
    else if (giveback)
        propose_giveback(k, giveback);
    else if (k->sweep.life)
        propose_sweep(k);
    else
        propose_forgets(k);
}

void caretaker_done(struct caretaker *k)
{
    if (k->under_way == command_internal(INTERNAL_GIVEBACK)) {
        free_giveback(first_giveback(k));
    } else if (k->under_way == command_internal(INTERNAL_FORGET)) {
        buf_consume(&k->forgets, k->forgets_under_way);
    } else if (k->under_way == command_internal(INTERNAL_FORGET_OTHERS)) {
        k->sweep.life = 0;
    }
    k->under_way = NULL;
}

void caretaker_failed(struct caretaker *k)
{
    k->under_way = NULL;
}

/* --- looking for what is left over ---------------------------------------------- */

struct look {
    struct caretaker *k;
    const struct replica_status *status;
    uint64_t *numbers; /* of sessions that watch, ascending; NULL: no audit */
    size_t count;
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

static void list_watching(const struct server *server, struct look *look)
{
    look->numbers = mem_alloc((server->session_count + 1) * sizeof *look->numbers);
    LIST_FOR_EACH (&server->sessions, struct session, link, s) {
        if (s->watcher)
            look->numbers[look->count++] = s->watcher;
    }
    qsort(look->numbers, look->count, sizeof *look->numbers, compare_numbers);
}

static bool is_of_cluster(const struct replica_status *status, uint16_t member)
{
    for (int i = 0; i < status->member_count; i++)
        if (status->peers[i].id == member)
            return true;
    return false;
}

static void look_at_watcher(void *context, const struct watcher_id *id)
{
    struct look *look = context;
    struct caretaker *k = look->k;
    if (id->member == k->server->config->cluster_self && id->life != k->server->life)
        k->sweep = (struct watcher_id){id->member, k->server->life, 0};
    else if (id->member == k->server->config->cluster_self && look->numbers &&
             !bsearch(&id->number, look->numbers, look->count, sizeof id->number, compare_numbers))
        caretaker_forget(k, id);
    else if (!is_of_cluster(look->status, id->member))
        k->sweep = (struct watcher_id){id->member, UINT64_MAX, 0}; /* nobody's life */
}

void caretaker_look(struct caretaker *k)
{
    const struct watches *watches = keyspace_watches(k->server->keyspace);
    int64_t now_ms = loop_wall_ms(k->server->loop);
    if (watch_watcher_count(watches) == 0 || k->under_way || k->sweep.life || now_ms < k->looked_ms + LOOK_MS)
        return;
    k->looked_ms = now_ms;
    struct replica_status status;
    replica_get_status(k->server->replica, &status);
    if (status.state != REPLICA_UP)
        return;
    struct look look = {.k = k, .status = &status};
    if (k->must_audit)
        list_watching(k->server, &look);
    k->must_audit = false;
    watch_each(watches, look_at_watcher, &look);
    mem_free(look.numbers);
}
