/* A small world for formation.h: members with disks, links with claims under way, and
 * everything that may befall them.  The world does for each member what forming.c does,
 * in miniature: the order is a number per epoch that a quorum may raise, and data are the
 * part of it a member has applied.
 *
 * What must hold is in world_check; that everything comes to a good end in world_finish. */
#ifndef TESTS_FORMATION_WORLD_H
#define TESTS_FORMATION_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "replica/formation.h"

enum { WORLD_MAX = 5, WORLD_QUEUE = 2, WORLD_EPOCHS = 16 };

struct world_word {
    struct formation_claim claim;
    uint64_t incarnations[WORLD_MAX];
};

struct world_data {
    uint64_t epoch, position; /* of that epoch's order, up to there */
};

struct world_member {
    struct formation f;
    bool is_up;
    uint64_t order_seed; /* of the epoch the order runs in */
    bool is_order_rejoining, is_void;
    uint16_t answers; /* to REJOIN, by member */
    struct world_data data;
    uint64_t newest_incarnation; /* ever drawn for this member */
    struct world_disk {
        bool has_memory, exists;
        uint64_t epoch, seed, incarnation;
        uint64_t incarnations[WORLD_MAX];
    } disk;
};

enum world_event {
    WORLD_CONNECT, /* i, j */
    WORLD_DELIVER, /* i to j */
    WORLD_START,   /* i */
    WORLD_REJOIN_ANSWER, /* i answers j */
    WORLD_REJOINED,      /* i */
    WORLD_LEARN,   /* i applies what is decided, or gets a snapshot */
    /* These are limited by budgets, in this order. */
    WORLD_BREAK,   /* the link i-j */
    WORLD_DECIDE,  /* one more slot, in i's epoch */
    WORLD_KILL,    /* i is killed: it keeps its memory, if it has one */
    WORLD_FORGET,  /* i dies, and comes back without memory, with its data */
    WORLD_WIPE,    /* i dies, and comes back with nothing */
    WORLD_WIPE_BACK, /* and with a clock that was set back */
    WORLD_EVENTS,
    WORLD_BUDGETS = WORLD_EVENTS - WORLD_BREAK
};

struct world {
    uint8_t n, budgets[WORLD_BUDGETS];
    struct world_member members[WORLD_MAX];
    bool is_linked[WORLD_MAX][WORLD_MAX];
    uint8_t queued[WORLD_MAX][WORLD_MAX];
    struct world_word queues[WORLD_MAX][WORLD_MAX][WORLD_QUEUE]; /* from i to j: the oldest and the newest */
    struct world_epoch {
        uint64_t seed, decided, begin;
    } epochs[WORLD_EPOCHS];
    struct world_data best; /* that any member ever had */
    bool was_wiped;         /* a disk with all its data: whoever forms a new epoch drops its own for the base's
                               at once, so there may be no other copy for a while */
};

static inline uint64_t world_own_incarnation(const struct world *w, int i)
{
    return w->members[i].f.members[i].incarnation;
}

static inline void world_print(const struct world *w);
static inline void world_require(const struct world *w, bool holds, const char *what)
{
    if (holds)
        return;
    world_print(w);
    fail_msg("%s", what);
}

/* --- links -------------------------------------------------------------------- */

static inline void world_break(struct world *w, int i, int j)
{
    if (!w->is_linked[i][j])
        return;
    w->is_linked[i][j] = w->is_linked[j][i] = false;
    w->queued[i][j] = w->queued[j][i] = 0;
    (void)formation_lose(&w->members[i].f, (uint8_t)j);
    (void)formation_lose(&w->members[j].f, (uint8_t)i);
}

/* A queue that is full keeps its oldest word and the newest. */
static inline void world_say(struct world *w, int i)
{
    struct world_word word;
    memset(&word, 0, sizeof word);
    word.claim = w->members[i].f.own;
    for (int k = 0; k < w->n; k++)
        word.incarnations[k] = w->members[i].f.members[k].incarnation;
    for (int j = 0; j < w->n; j++) {
        if (j == i || !w->is_linked[i][j])
            continue;
        uint8_t *count = &w->queued[i][j];
        if (*count == WORLD_QUEUE)
            (*count)--;
        w->queues[i][j][(*count)++] = word;
    }
}

/* --- what forming.c does -------------------------------------------------------- */

static inline void world_save(struct world *w, int i, bool has_memory)
{
    struct world_member *m = &w->members[i];
    m->disk.exists = true;
    m->disk.has_memory = has_memory;
    m->disk.epoch = m->f.own.epoch;
    m->disk.seed = m->f.own.seed;
    for (int k = 0; k < w->n; k++)
        m->disk.incarnations[k] = m->f.members[k].incarnation;
    m->disk.incarnation = m->f.members[i].incarnation;
}

static inline void world_drop_data(struct world_member *m)
{
    if (!m->f.is_data_void)
        return;
    m->f.is_data_void = false;
    m->data = (struct world_data){0, 0};
    formation_at(&m->f, 0);
}

static inline void world_become_new(struct world *w, int i)
{
    struct world_member *m = &w->members[i];
    for (int j = 0; j < w->n; j++)
        if (j != i)
            world_break(w, i, j);
    m->is_order_rejoining = false;
    m->answers = 0;
    m->newest_incarnation += 10;
    formation_reincarnate(&m->f, m->newest_incarnation);
}

static inline void world_note_epoch(struct world *w, int i)
{
    const struct formation *f = &w->members[i].f;
    assert_true(f->own.epoch < WORLD_EPOCHS);
    struct world_epoch *e = &w->epochs[f->own.epoch];
    if (e->seed == f->own.seed)
        return;
    *e = (struct world_epoch){f->own.seed, f->future_position, f->future_position};
}

static inline void world_begin_epoch(struct world *w, int i)
{
    struct world_member *m = &w->members[i];
    bool is_void = m->f.is_data_void;
    world_note_epoch(w, i);
    world_drop_data(m);
    if (!is_void) {
        assert_int_equal(m->data.position, m->f.future_position);
        m->data.epoch = m->f.own.epoch;
    }
    m->is_void = is_void;
    m->order_seed = m->f.own.seed;
    m->is_order_rejoining = false;
    world_save(w, i, !is_void);
}

static inline void world_begin_rejoin(struct world *w, int i)
{
    struct world_member *m = &w->members[i];
    world_drop_data(m);
    m->is_void = m->data.epoch != m->f.own.epoch;
    m->order_seed = m->f.own.seed;
    m->is_order_rejoining = true;
    m->answers = 0;
    world_save(w, i, false);
}

static inline void world_act(struct world *w, int i)
{
    struct world_member *m = &w->members[i];
    if (m->f.is_superseded)
        world_become_new(w, i);
    if (m->f.own.stage == FORMATION_REJOINING && !m->is_order_rejoining)
        world_begin_rejoin(w, i);
    else if (m->f.own.stage == FORMATION_FORMED && m->f.own.seed != m->order_seed)
        world_begin_epoch(w, i);
    world_say(w, i);
}

static inline void world_start(struct world *w, int i)
{
    struct world_member *m = &w->members[i];
    uint64_t newest = m->newest_incarnation;
    const struct world_disk disk = m->disk;
    struct formation_claim own = {.stage = disk.has_memory ? FORMATION_FORMED : FORMATION_GATHERING,
                                  .has_memory = disk.has_memory, .epoch = disk.epoch, .seed = disk.seed,
                                  .position = m->data.position};
    m->is_up = true;
    m->is_void = m->data.epoch != disk.epoch;
    m->is_order_rejoining = false;
    m->answers = 0;
    m->order_seed = disk.seed;
    formation_init(&m->f, w->n, (uint8_t)i, disk.has_memory ? disk.incarnation : newest, &own);
    for (int k = 0; k < w->n; k++)
        if (k != i && disk.incarnations[k])
            (void)formation_meet(&m->f, (uint8_t)k, disk.incarnations[k]);
    (void)formation_begin(&m->f);
    world_act(w, i);
}

/* What is on disk is what the member had: everything is written before it is said. */
static inline void world_stop(struct world *w, int i)
{
    for (int j = 0; j < w->n; j++)
        if (j != i)
            world_break(w, i, j);
    w->members[i].is_up = false;
    memset(&w->members[i].f, 0, sizeof w->members[i].f);
}

static inline void world_lose_memory(struct world *w, int i, enum world_event how)
{
    struct world_member *m = &w->members[i];
    m->disk.has_memory = false;
    if (how == WORLD_WIPE_BACK) {
        m->newest_incarnation -= 3;
    } else {
        m->newest_incarnation += 10;
    }
    if (how == WORLD_FORGET)
        return;
    memset(&m->disk, 0, sizeof m->disk);
    m->data = (struct world_data){0, 0};
    w->was_wiped = true;
}

/* --- meeting and hearing -------------------------------------------------------- */

static inline void world_meet(struct world *w, int i, int j, uint64_t incarnation)
{
    if (formation_meet(&w->members[i].f, (uint8_t)j, incarnation) == MEETING_SUCCESSOR)
        world_break(w, i, j);
}

static inline void world_outdated(struct world *w, int i, uint64_t incarnation)
{
    if (w->members[i].newest_incarnation < incarnation)
        w->members[i].newest_incarnation = incarnation;
    formation_supersede(&w->members[i].f);
    world_act(w, i);
}

static inline void world_connect(struct world *w, int i, int j)
{
    uint64_t of_i = world_own_incarnation(w, i), of_j = world_own_incarnation(w, j);
    uint64_t i_knows = w->members[i].f.members[j].incarnation, j_knows = w->members[j].f.members[i].incarnation;
    if (of_j < i_knows)
        world_outdated(w, j, i_knows);
    else if (of_i < j_knows)
        world_outdated(w, i, j_knows);
    else {
        world_meet(w, i, j, of_j);
        world_meet(w, j, i, of_i);
        w->is_linked[i][j] = w->is_linked[j][i] = true;
        world_say(w, i);
        world_say(w, j);
    }
}

/* False: the link did not survive it. */
static inline bool world_learn_names(struct world *w, int from, int to, const struct world_word *word)
{
    for (int k = 0; k < w->n; k++) {
        if (k == from || word->incarnations[k] <= w->members[to].f.members[k].incarnation)
            continue;
        if (k == to)
            world_outdated(w, to, word->incarnations[k]);
        else
            world_meet(w, to, k, word->incarnations[k]);
    }
    return w->is_linked[from][to];
}

static inline void world_deliver(struct world *w, int from, int to)
{
    struct world_word word = w->queues[from][to][0];
    w->queues[from][to][0] = w->queues[from][to][1];
    w->queued[from][to]--;
    if (word.incarnations[from] != w->members[to].f.members[from].incarnation) {
        world_break(w, from, to);
        return;
    }
    if (world_learn_names(w, from, to, &word) && formation_hear(&w->members[to].f, (uint8_t)from, &word.claim))
        world_act(w, to);
}

/* --- the order -------------------------------------------------------------------- */

static inline bool world_takes_part(const struct world_member *m)
{
    return m->is_up && m->f.own.stage == FORMATION_FORMED && m->f.own.has_memory;
}

/* Voices: members with memory, and those that rejoin and know where they may speak again. */
static inline int world_voices(const struct world *w, uint64_t seed)
{
    int voices = 0;
    for (int k = 0; k < w->n; k++) {
        const struct world_member *m = &w->members[k];
        bool is_rejoining = m->is_up && m->f.own.stage == FORMATION_REJOINING &&
                            __builtin_popcount(m->answers) > w->n / 2;
        voices += (world_takes_part(m) || is_rejoining) && m->f.own.seed == seed;
    }
    return voices;
}

/* Somebody here that has more of i's epoch, or NULL. */
static inline const struct world_member *world_source(const struct world *w, int i)
{
    const struct world_member *m = &w->members[i];
    for (int k = 0; k < w->n; k++) {
        const struct world_member *other = &w->members[k];
        if (k != i && w->is_linked[i][k] && other->f.own.stage == FORMATION_FORMED &&
            other->f.own.seed == m->f.own.seed && !other->is_void &&
            (m->is_void || other->data.position > m->data.position))
            return other;
    }
    return NULL;
}

static inline bool world_steps(const struct world_member *m)
{
    return m->is_up && (m->f.own.stage == FORMATION_FORMED || m->f.own.stage == FORMATION_REJOINING);
}

static inline void world_set_data(struct world *w, int i, uint64_t position)
{
    struct world_member *m = &w->members[i];
    m->data = (struct world_data){m->f.own.epoch, position};
    m->is_void = false;
    formation_at(&m->f, position);
    if (m->f.own.stage == FORMATION_FORMED)
        world_save(w, i, true);
}

/* --- events ---------------------------------------------------------------------------- */

static inline bool world_may(const struct world *w, enum world_event event, int i, int j)
{
    const struct world_member *m = &w->members[i];
    if (event >= WORLD_BREAK && w->budgets[event - WORLD_BREAK] == 0)
        return false;
    switch (event) {
    case WORLD_CONNECT: return i < j && m->is_up && w->members[j].is_up && !w->is_linked[i][j];
    case WORLD_DELIVER: return w->queued[i][j] > 0;
    case WORLD_START: return i == j && !m->is_up;
    case WORLD_REJOIN_ANSWER:
        return i != j && w->is_linked[i][j] && world_takes_part(m) &&
               w->members[j].f.own.stage == FORMATION_REJOINING && w->members[j].f.own.seed == m->f.own.seed &&
               m->f.members[j].incarnation == world_own_incarnation(w, j) && !(w->members[j].answers >> i & 1);
    case WORLD_REJOINED:
        return i == j && m->is_up && m->f.own.stage == FORMATION_REJOINING &&
               __builtin_popcount(m->answers) > w->n / 2 && !m->is_void;
    case WORLD_LEARN: return i == j && world_steps(m) && world_source(w, i);
    case WORLD_BREAK: return i < j && w->is_linked[i][j];
    case WORLD_DECIDE:
        return i == j && world_takes_part(m) && !m->is_void && world_voices(w, m->f.own.seed) > w->n / 2;
    default: return i == j && m->is_up;
    }
}

static inline void world_do(struct world *w, enum world_event event, int i, int j)
{
    struct world_member *m = &w->members[i];
    if (event >= WORLD_BREAK)
        w->budgets[event - WORLD_BREAK]--;
    switch (event) {
    case WORLD_CONNECT: world_connect(w, i, j); break;
    case WORLD_DELIVER: world_deliver(w, i, j); break;
    case WORLD_START: world_start(w, i); break;
    case WORLD_REJOIN_ANSWER: w->members[j].answers |= (uint16_t)(1u << i); break;
    case WORLD_REJOINED:
        if (formation_rejoined(&m->f)) {
            m->is_order_rejoining = false;
            world_save(w, i, true);
            world_say(w, i);
        }
        break;
    case WORLD_LEARN: world_set_data(w, i, world_source(w, i)->data.position); break;
    case WORLD_BREAK: world_break(w, i, j); break;
    case WORLD_DECIDE: {
        /* Not once a later epoch was formed. */
        for (uint64_t e = m->f.own.epoch + 1; e < WORLD_EPOCHS; e++)
            world_require(w, w->epochs[e].seed == 0, "decided in an epoch that was left");
        uint64_t decided = ++w->epochs[m->f.own.epoch].decided;
        world_set_data(w, i, decided);
        world_say(w, i);
        break;
    }
    default:
        world_stop(w, i);
        if (event != WORLD_KILL)
            world_lose_memory(w, i, event);
    }
}

/* --- what must hold ------------------------------------------------------------------------ */

static inline uint64_t world_memory(const struct world *w, int i, uint64_t *seed)
{
    const struct world_member *m = &w->members[i];
    bool has_memory = m->is_up ? m->f.own.has_memory : m->disk.has_memory;
    *seed = m->is_up ? m->f.own.seed : m->disk.seed;
    return !has_memory ? 0 : m->is_up ? m->f.own.epoch : m->disk.epoch;
}

static inline bool world_is_ahead(const struct world_data *a, const struct world_data *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->position > b->position;
}

static inline void world_check(struct world *w)
{
    struct world_data best = {0, 0};
    uint64_t newest = 0, seeds[WORLD_MAX], epochs[WORLD_MAX];
    for (int i = 0; i < w->n; i++) {
        epochs[i] = world_memory(w, i, &seeds[i]);
        newest = epochs[i] > newest ? epochs[i] : newest;
    }
    for (int i = 0; i < w->n; i++) {
        const struct world_member *m = &w->members[i];
        /* One future per epoch, and not a quorum left in an older one. */
        for (int k = 0; k < i; k++)
            if (epochs[i] && epochs[i] == epochs[k])
                world_require(w, seeds[i] == seeds[k], "two futures of one epoch");
        int old = 0;
        for (int k = 0; k < w->n && epochs[i] < newest; k++)
            old += epochs[i] && epochs[k] == epochs[i];
        world_require(w, old <= w->n / 2, "a quorum remembers an epoch that was left");
        if (world_is_ahead(&m->data, &best))
            best = m->data;
        /* What a member says of its data is so. */
        if (m->is_up && m->f.own.position > 0) {
            world_require(w, m->f.own.epoch == m->data.epoch, "data are said to be of another epoch");
            world_require(w, m->f.own.position == m->data.position, "data are said to have come elsewhere");
        }
    }
    world_require(w, w->was_wiped || !world_is_ahead(&w->best, &best), "the data are gone");
    w->best = best;
}

static inline bool world_is_good(const struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        const struct world_member *m = &w->members[i];
        if (!m->is_up || m->f.own.stage != FORMATION_FORMED || m->f.own.seed != w->members[0].f.own.seed)
            return false;
        if (m->is_void && m->f.own.position == 0 && w->epochs[m->f.own.epoch].begin > 0)
            return false;
    }
    return true;
}

static inline void world_print(const struct world *w)
{
    for (int i = 0; i < w->n; i++) {
        const struct world_member *m = &w->members[i];
        static const char *const stages[] = {"gathering", "ready", "rejoining", "formed"};
        fprintf(stderr, "%d: %s %s inc %d epoch %d seed %04x future %04x memory %d pos %d data %d/%d void %d answers %x knows",
                i, m->is_up ? "up" : "down", stages[m->f.own.stage], (int)m->f.members[i].incarnation,
                (int)m->f.own.epoch, (unsigned)(m->f.own.seed & 0xffff), (unsigned)(m->f.own.future & 0xffff),
                m->f.own.has_memory, (int)m->f.own.position, (int)m->data.epoch, (int)m->data.position, m->is_void,
                m->answers);
        for (int k = 0; k < w->n; k++)
            fprintf(stderr, " %d%s", (int)m->f.members[k].incarnation, m->f.members[k].is_heard ? "" : "?");
        fprintf(stderr, "\n");
    }
}

/* Nothing bad happens any more, and everything that may happen does, in turn. */
static inline void world_finish(struct world *w)
{
    for (int round = 0; round < 60 && !world_is_good(w); round++) {
        for (int event = 0; event < WORLD_BREAK; event++)
            for (int i = 0; i < w->n; i++)
                for (int j = 0; j < w->n; j++)
                    while (world_may(w, (enum world_event)event, i, j)) {
                        world_do(w, (enum world_event)event, i, j);
                        world_check(w);
                        if (event != WORLD_DELIVER)
                            break;
                    }
        for (int i = 0; i < w->n; i++)
            if (w->members[i].is_up)
                world_say(w, i);
    }
    world_require(w, world_is_good(w), "it does not come to a good end");
}

/* --- beginnings ------------------------------------------------------------------------------- */

static inline void world_init(struct world *w, int n)
{
    memset(w, 0, sizeof *w);
    w->n = (uint8_t)n;
    for (int i = 0; i < n; i++) {
        w->members[i].newest_incarnation = (uint64_t)(10 + i);
        world_start(w, i);
    }
}

/* A cluster that runs, all links up; members are ahead of one another. */
static inline void world_init_formed(struct world *w, int n)
{
    world_init(w, n);
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            world_connect(w, i, j);
    world_finish(w);
    for (int i = 0; i < n; i++) {
        uint64_t position = (uint64_t)(20 + i % 3);
        world_set_data(w, i, position);
        if (position > w->epochs[1].decided)
            w->epochs[1].decided = position;
    }
    for (int i = 0; i < n; i++)
        world_say(w, i);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            while (w->queued[i][j])
                world_deliver(w, i, j);
}

/* --- telling worlds apart ------------------------------------------------------------------------ */

static inline void world_put(uint64_t words[], size_t *count, uint64_t word)
{
    words[(*count)++] = word;
}

static inline void world_put_claim(uint64_t words[], size_t *count, const struct formation_claim *c)
{
    world_put(words, count, (uint64_t)c->stage << 1 | c->has_memory);
    world_put(words, count, c->epoch << 32 | c->position);
    world_put(words, count, c->seed);
    world_put(words, count, c->future);
}

static inline uint64_t world_hash(const struct world *w)
{
    static uint64_t words[8192];
    size_t count = 0;
    for (int i = 0; i < WORLD_BUDGETS; i++)
        world_put(words, &count, w->budgets[i]);
    for (int i = 0; i < w->n; i++) {
        const struct world_member *m = &w->members[i];
        const struct formation *f = &m->f;
        world_put_claim(words, &count, &f->own);
        world_put(words, &count, (uint64_t)(m->is_up | m->is_order_rejoining << 1 | m->is_void << 2 | m->answers << 8) |
                                     (uint64_t)(f->was_formed | f->was_rejoining << 1 | f->base << 2) << 32);
        world_put(words, &count, f->future_epoch << 32 | f->future_position);
        world_put(words, &count, m->order_seed);
        world_put(words, &count, m->data.epoch << 32 | m->data.position);
        world_put(words, &count, m->newest_incarnation << 32 | m->disk.incarnation << 1 | m->disk.has_memory);
        world_put(words, &count, m->disk.epoch);
        world_put(words, &count, m->disk.seed);
        for (int k = 0; k < w->n; k++) {
            world_put(words, &count, f->members[k].incarnation << 32 | m->disk.incarnations[k] << 1 | f->members[k].is_heard);
            if (k != i)
                world_put_claim(words, &count, &f->members[k].claim);
            world_put(words, &count, (uint64_t)(w->is_linked[i][k] | w->queued[i][k] << 1));
            for (int q = 0; q < w->queued[i][k]; q++) {
                world_put_claim(words, &count, &w->queues[i][k][q].claim);
                for (int v = 0; v < w->n; v++)
                    world_put(words, &count, w->queues[i][k][q].incarnations[v]);
            }
        }
    }
    world_put(words, &count, (uint64_t)w->was_wiped << 63 | w->best.epoch << 32 | w->best.position);
    for (int e = 0; e < WORLD_EPOCHS; e++)
        world_put(words, &count, w->epochs[e].seed ^ w->epochs[e].decided);
    return XXH3_64bits(words, count * sizeof *words) | 1;
}

#endif
