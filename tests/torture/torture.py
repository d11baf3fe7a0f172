#!/usr/bin/python3
"""Tortures a cluster for some minutes; see README.md.

    torture.py [--minutes N] [--seed N] [--episode N] [--only FAULT,...] [--mode always|everysec]

An episode starts a cluster, runs a plan of faults under load, mends everything
and asks the checkers.  The seed of an episode is printed with what it did; --seed
S --episode N repeats the plan of one.
"""
import argparse
import collections
import os
import random
import shutil
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]

import changes  # noqa: E402
import faults  # noqa: E402, F401  (the faults of plan.FAULTS)
import history  # noqa: E402
import plan  # noqa: E402
import queues  # noqa: E402
import servers  # noqa: E402
from clients import Clients  # noqa: E402
from cluster import Cluster  # noqa: E402

STALL_MAX_S = 15  # longer without an answer, where a quorum is healthy, is a hang
STEPS = 7
KEPT = os.path.join(servers.ROOT, "build", "torture")


def options_of(rng, mode):
    segment = rng.choice(["1mb", "1mb", "4mb"])
    return ["--appendfsync", mode, "--journal-segment-size", segment, "--cluster-timeout", rng.choice(["400", "1000", "2000"]),
            "--journal-snapshot-size", rng.choice(["1mb", "3mb", "8mb", "1gb"]), "--save", "",
            "--peer-backlog-size", rng.choice(["1mb", "1mb", "256mb"]),
            "--skip-ahead-max", rng.choice(["1", "64", "64"])]


class Result:
    def __init__(self):
        self.wrong, self.stalls, self.counts = [], [], {}
        self.names = collections.Counter()
        self.hard = self.objects = 0
        self.mode = ""


def run_plan(e, steps, say, result):
    for name, seed, wait in steps:
        result.names[name] += 1
        say("%s" % name, at=True)
        e.look()
        plan.FAULTS[name][0](e, random.Random(seed))
        plan.excuse_damage(e)
        e.wrong += [sentence for sentence in (replica.notice_death() for replica in e.cluster.all.values()) if sentence]
        if e.wrong:
            return
        time.sleep(wait)


def check(cluster, clients, e, result):
    cluster.heal()
    cluster.wait_up()
    time.sleep(0.3)
    clients.finish()
    result.counts = clients.counts()
    wrong = result.wrong
    wrong += ["unexpected reply: %s" % text for text in clients.unexpected()[:5]]
    cluster.wait_equal()
    reader = cluster[e.rng.choice(cluster.numbers())]
    with reader.connect(30) as connection:
        bad, result.objects, result.hard = history.check_all(clients, connection, e.cuts)
        bad += queues.check(clients.all, connection, e.cuts)
    wrong += bad
    for cut in e.cuts:
        e.say("power cut of all at %.2f: %d acknowledged appends lost, all sent less than %.0f ms before it" % (
            cut.start - clients.began, len(cut.lost), 1000 * (cut.end - cut.earliest)))
    for kind, pauses in e.stalls:
        result.stalls.append((kind, max(pauses)))
        if min(pauses) > STALL_MAX_S:
            wrong.append("%s: nobody was served for %.1f s" % (kind, min(pauses)))


def run_episode(seed, number, only, mode, is_quiet, steps=STEPS, size=None):
    name = "%s/%d" % (seed, number)
    rng = random.Random(name)
    mode = mode or rng.choice(["always", "always", "always", "everysec"])
    options = options_of(rng, mode)
    result = Result()
    result.mode = mode
    began = time.monotonic()
    lines = []

    def say(text, at=False):
        line = "    %6.2f  %s" % (time.monotonic() - began, text)
        lines.append(line)
        if not is_quiet and not at:
            print(line, flush=True)

    size = size or rng.choice([1, 3, 3, 3, 3, 5])
    print("episode %s: %d members, %s" % (name, size, " ".join(options)), flush=True)
    cluster = Cluster(size, options, seed=rng.getrandbits(31))
    clients = None
    e = plan.Episode(cluster, rng, mode, say)
    try:
        for replica in cluster:
            replica.disk.set_flush_delay(0.002)
        cluster.start()
        clients = Clients(cluster, 3, name, ballast_bytes=rng.choice([0, 0, 500, 8000, 100000]),
                          also=[queues.QueueClient, queues.QueueClient]).start()
        e.clients = clients
        time.sleep(0.5)
        if size < 3:
            changes.grow_to_three(e, random.Random("growth of %s" % name))
        if not e.wrong:
            run_plan(e, plan.plan(name, steps, only), say, result)
        say("the end")
        if not e.wrong:
            check(cluster, clients, e, result)
    except Exception as error:
        result.wrong.append("%s\n%s" % (error, "".join(traceback.format_exc().splitlines(True)[-6:])))
    finally:
        if clients:
            clients.end()
        result.wrong += e.wrong
        result.wrong += cluster.complaints()
        cluster.remove(keep_in=os.path.join(KEPT, "failed-%s" % name.replace("/", "-")) if result.wrong else None)
    if result.wrong:
        print("episode %s FAILED; its files are in build/torture" % name)
        print("\n".join(lines))
        for sentence in result.wrong[:6]:
            print("  " + sentence[:3500].replace("\n", "\n  "))
    else:
        print("  %5.1f s, %s; %d objects%s" % (
            time.monotonic() - began, ", ".join("%d %s" % (n, kind) for kind, n in result.counts.items()), result.objects,
            ", %d too hard" % result.hard if result.hard else ""), flush=True)
    return result


def print_stalls(stalls):
    print("longest wait of a client whose replica the fault spares, per fault, ms (not whole: another was not up yet):")
    print("  %-38s %5s %7s %7s %7s %7s" % ("", "times", "median", "90 %", "99 %", "most"))
    kinds = collections.defaultdict(list)
    for kind, seconds in stalls:
        kinds[kind].append(seconds * 1000)
    for kind, found in sorted(kinds.items()):
        found.sort()

        def at(share):
            return found[min(len(found) - 1, int(share * len(found)))]
        print("  %-38s %5d %7.0f %7.0f %7.0f %7.0f" % (kind, len(found), at(0.5), at(0.9), at(0.99), found[-1]))


def main():
    parser = argparse.ArgumentParser(description="torture a cluster")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--episode", type=int, default=None, help="this one alone")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first episode")
    parser.add_argument("--only", default=None, help="faults, with commas")
    parser.add_argument("--mode", default=None, choices=["always", "everysec"])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--size", type=int, default=None, help="members at the beginning")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--go-on", action="store_true", help="after a failure as well")
    arguments = parser.parse_args()
    seed = arguments.seed or str(random.SystemRandom().randrange(10 ** 6))
    only = arguments.only.split(",") if arguments.only else None
    print("seed %s: repeat with make torture SEED=%s" % (seed, seed), flush=True)
    os.makedirs(KEPT, exist_ok=True)
    for name in os.listdir(KEPT):
        if name.startswith("failed-%s-" % seed):
            shutil.rmtree(os.path.join(KEPT, name))
    end = time.monotonic() + arguments.minutes * 60
    failed, names, stalls, total, done = [], collections.Counter(), [], collections.Counter(), 0
    number = arguments.episode or arguments.first
    while True:
        result = run_episode(seed, number, only, arguments.mode, arguments.quiet, arguments.steps,
                             arguments.size)
        done += 1
        names += result.names
        stalls += result.stalls
        total.update(result.counts)
        if result.wrong:
            failed.append(number)
        if arguments.episode or (failed and not arguments.go_on) or time.monotonic() > end:
            break
        number += 1
    print_stalls(stalls)
    print("faults: " + ", ".join("%d %s" % (count, name) for name, count in names.most_common()))
    print("%d episodes, %d faults, %s; seed %s" % (
        done, sum(names.values()), ", ".join("%d %s" % (n, kind) for kind, n in total.items()), seed))
    if failed:
        print("FAILED episodes: %s" % " ".join(map(str, failed)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
