/* simulate: runs whole clusters from seeds and judges them.
 *
 *   simulate [--seed first] [--seeds count] [--members n] [--profile p]
 *            [--flush 0|1] [--lives 0|1] [--owner model|proposer] [--check-every-step] [--verbose] [--stats]
 *            [--keep-going] [--file seeds.txt] [--self-test]
 *
 * Exit status: 0 all is well, 1 a run failed (its seed, plan and last events
 * are printed), 2 wrong usage. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "self_test.h"

struct arguments {
    struct plan_options run;
    uint64_t seeds;
    bool shows_stats, keeps_going, self_tests;
    const char *file;
};

struct totals {
    uint64_t runs, failed, commands, answered, slots, steps, virtual_us, healed_max_us, healed_max_seed, healed_max_share, gave_up, snapshots,
        forfeits, states, with_lives, lives, rejoins, installs, changes, cuts, exceeded;
};

static uint64_t running_seed;

/* A CHECK of the core has said what it knows; what is left is to exit as for
 * any other failure. */
static void on_abort(int signal_number)
{
    char text[64];
    int length = snprintf(text, sizeof text, "FAILED seed %" PRIu64 ": signal %d\n", running_seed, signal_number);
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(3);
    _exit(1);
}

static void add(struct totals *totals, const struct run_result *result, uint64_t seed)
{
    totals->runs++;
    totals->failed += result->verdict.has_failed;
    totals->commands += result->commands;
    totals->answered += result->answered;
    totals->slots += result->slots;
    totals->steps += result->steps;
    totals->virtual_us += result->virtual_us;
    totals->gave_up += result->gave_up;
    totals->snapshots += result->needed_snapshot;
    totals->forfeits += result->forfeits;
    totals->states += result->states;
    totals->with_lives += result->lives + result->cuts + result->changes > 0;
    totals->lives += result->lives;
    totals->rejoins += result->rejoins;
    totals->installs += result->installs;
    totals->changes += result->changes;
    totals->cuts += result->cuts;
    totals->exceeded += result->was_exceeded;
    if (result->progress_us && result->healed_for_us * 1000 / result->progress_us > totals->healed_max_share)
        totals->healed_max_share = result->healed_for_us * 1000 / result->progress_us;
    if (result->healed_for_us > totals->healed_max_us) {
        totals->healed_max_us = result->healed_for_us;
        totals->healed_max_seed = seed;
    }
}

static void run_one(const struct arguments *arguments, const struct plan_options *options, struct totals *totals)
{
    struct run_result result;
    running_seed = options->seed;
    cluster_run(options, stdout, &result);
    add(totals, &result, options->seed);
    if (arguments->shows_stats)
        printf("seed %" PRIu64 ": %" PRIu64 " steps, %.3f s, healed in %.3f s, %" PRIu64 "/%" PRIu64 " commands, %" PRIu64
               " batches, %" PRIu64 " forfeits, %" PRIu64 " states, %" PRIu64 " asks, decide %" PRIu64 " us, order %"
               PRIu64 " us, hash %016" PRIx64 "%s\n", options->seed, result.steps, (double)result.virtual_us / 1e6,
               (double)result.healed_for_us / 1e6, result.answered, result.commands, result.slots, result.forfeits,
               result.states, result.asks, result.decide_max_us, result.order_max_us, result.trace_hash,
               result.needed_snapshot ? ", needed a snapshot" : "");
    if (arguments->shows_stats && result.lives)
        printf("  %" PRIu64 " lives, %" PRIu64 " rejoined, %" PRIu64 " installs, %" PRIu64 " journals forgotten, %" PRIu64
               " changes%s\n", result.lives, result.rejoins, result.installs, result.cuts, result.changes,
               result.was_exceeded ? ", beyond the bound" : "");
    if (result.verdict.has_failed)
        printf("again: simulate --seed %" PRIu64 "%s --verbose\n", options->seed,
               options->members || options->profile >= 0 || options->flush >= 0 || options->owner >= 0 || options->lives >= 0 ? " (and the same options)" : "");
}

static bool parse(int count, char **words, struct arguments *arguments);

/* One line: a seed, options as on the command line, and after # a comment. */
static bool run_line(const struct arguments *arguments, char *line, struct totals *totals)
{
    char *words[16] = {"simulate", "--seed"};
    int count = 2;
    line[strcspn(line, "#\n")] = 0;
    for (char *word = strtok(line, " \t"); word && count < 16; word = strtok(NULL, " \t"))
        words[count++] = word;
    if (count == 2)
        return true;
    struct arguments one = *arguments;
    if (!parse(count, words, &one))
        return false;
    run_one(arguments, &one.run, totals);
    return true;
}

static bool run_file(const struct arguments *arguments, struct totals *totals)
{
    FILE *file = fopen(arguments->file, "r");
    if (!file) {
        perror(arguments->file);
        return false;
    }
    char line[512];
    bool is_good = true;
    while (is_good && fgets(line, sizeof line, file) && (arguments->keeps_going || totals->failed == 0))
        is_good = run_line(arguments, line, totals);
    fclose(file);
    return is_good;
}

static void run_seeds(const struct arguments *arguments, struct totals *totals)
{
    struct plan_options options = arguments->run;
    for (uint64_t i = 0; i < arguments->seeds && (arguments->keeps_going || totals->failed == 0); i++) {
        run_one(arguments, &options, totals);
        options.seed++;
    }
}

static int profile_of(const char *name)
{
    static const char *const names[] = {"chaos", "economy-one", "economy-all"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -2;
}

static bool parse(int count, char **words, struct arguments *arguments)
{
    enum { SEED = 256, SEEDS, MEMBERS, PROFILE, FLUSH, OWNER, LIVES, EVERY, VERBOSE, STATS, KEEP, FROM_FILE, SELF_TEST };
    static const struct option options[] = {
        {"seed", required_argument, NULL, SEED},       {"seeds", required_argument, NULL, SEEDS},
        {"members", required_argument, NULL, MEMBERS}, {"profile", required_argument, NULL, PROFILE},
        {"flush", required_argument, NULL, FLUSH},     {"owner", required_argument, NULL, OWNER},
        {"lives", required_argument, NULL, LIVES},
        {"check-every-step", no_argument, NULL, EVERY},
        {"verbose", no_argument, NULL, VERBOSE},       {"stats", no_argument, NULL, STATS},
        {"keep-going", no_argument, NULL, KEEP},       {"file", required_argument, NULL, FROM_FILE},
        {"self-test", no_argument, NULL, SELF_TEST},   {NULL, 0, NULL, 0},
    };
    optind = 0;
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;)
        switch (option) {
        case SEED: arguments->run.seed = strtoull(optarg, NULL, 10); break;
        case SEEDS: arguments->seeds = strtoull(optarg, NULL, 10); break;
        case MEMBERS: arguments->run.members = atoi(optarg); break;
        case PROFILE: arguments->run.profile = profile_of(optarg); break;
        case FLUSH: arguments->run.flush = atoi(optarg); break;
        case OWNER: arguments->run.owner = strcmp(optarg, "proposer") == 0; break;
        case LIVES: arguments->run.lives = atoi(optarg); break;
        case EVERY: arguments->run.checks_every_step = true; break;
        case VERBOSE: arguments->run.is_verbose = true; break;
        case STATS: arguments->shows_stats = true; break;
        case KEEP: arguments->keeps_going = true; break;
        case FROM_FILE: arguments->file = optarg; break;
        case SELF_TEST: arguments->self_tests = true; break;
        default: return false;
        }
    return optind == count && arguments->run.members >= 0 && arguments->run.members <= RABIA_MEMBERS_MAX &&
           arguments->run.profile > -2;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.run = {.seed = 1, .profile = -1, .flush = -1, .owner = -1, .lives = -1}, .seeds = 1};
    if (!parse(argc, argv, &arguments)) {
        fprintf(stderr, "usage: simulate [--seed first] [--seeds count] [--members n] [--flush 0|1] [--lives 0|1] [--owner model|proposer]\n"
                        "                [--profile chaos|economy-one|economy-all] [--check-every-step] [--verbose]\n"
                        "                [--stats] [--keep-going] [--file seeds.txt] [--self-test]\n");
        return 2;
    }
    signal(SIGABRT, on_abort);
    if (arguments.self_tests)
        return self_test_run() ? 0 : 1;
    struct totals totals = {0};
    if (arguments.file) {
        if (!run_file(&arguments, &totals))
            return 2;
    } else {
        run_seeds(&arguments, &totals);
    }
    printf("%" PRIu64 " runs, %" PRIu64 " failed: %.0f virtual seconds, %" PRIu64 " steps, %" PRIu64 " batches in order, %"
           PRIu64 " of %" PRIu64 " commands answered, %" PRIu64 " forfeits, %" PRIu64 " states, longest recovery %.3f s (seed %"
           PRIu64 "; %.1f%% of a bound), %" PRIu64 " searches given up, %" PRIu64 " runs needed a snapshot\n", totals.runs, totals.failed,
           (double)totals.virtual_us / 1e6, totals.steps, totals.slots, totals.answered, totals.commands, totals.forfeits,
           totals.states, (double)totals.healed_max_us / 1e6, totals.healed_max_seed,
           (double)totals.healed_max_share / 10, totals.gave_up, totals.snapshots);
    printf("%" PRIu64 " runs with lives: %" PRIu64 " begun, %" PRIu64 " rejoined, %" PRIu64 " snapshots installed, %" PRIu64
           " journals forgotten, %" PRIu64 " changes of members, %" PRIu64 " runs beyond the bound\n", totals.with_lives, totals.lives,
           totals.rejoins, totals.installs, totals.cuts, totals.changes, totals.exceeded);
    return totals.failed ? 1 : 0;
}
