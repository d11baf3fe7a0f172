"""What goes wrong, and when: a plan made from a seed.

A plan is a list of steps.  A step breaks something, lasts, mends it and waits a
little; some steps break two things at once.  The plan holds all random choices
that matter, so the seed repeats it; what the machine's own timing adds is not
repeated.

What is promised decides what may be combined.  With appendfsync always any
number of replicas may lose power at once; at most one may have lost its memory
(a wiped disk, a flipped bit) until it has rejoined.  With everysec a power cut of
a replica is a loss of memory too, and one of all of them may lose the last second.
"""
import random
import time


class Episode:
    """What faults are done to, and notes of what happened."""

    def __init__(self, cluster, rng, mode, say):
        self.cluster, self.rng, self.mode, self.say = cluster, rng, mode, say
        self.clients = None
        self.is_whole = True  # when the step began, all were up
        self.stalls = []  # (kind, longest waits of the clients that should have gone on)
        self.wrong = []
        self.cuts = []  # history.Cut; everysec

    def others(self, *numbers):
        return [number for number in self.cluster.numbers() if number not in numbers]

    def wait_up(self, *numbers):
        for number in numbers:
            self.cluster[number].wait_up()

    def wait_all_up(self):
        for replica in self.cluster:
            if not replica.is_running():
                replica.start()
        for replica in self.cluster:
            replica.wait_up()

    def during(self, kind, members, seconds):
        """Time passes; clients of these members should be served meanwhile."""
        start = time.monotonic()
        time.sleep(seconds)
        self.note_stall(kind, members, start)

    def note_stall(self, kind, members, start):
        """From start until now they should have been served, if they are a quorum."""
        if len(members) > len(self.cluster.numbers()) // 2:
            pauses = self.clients.pauses(members, start, time.monotonic())
            self.stalls.append((kind if self.is_whole else kind + " (not whole)", pauses))
            if max(pauses) > 1:
                self.say("  waits at %s: %s ms" % (members, " ".join("%.0f" % (1000 * pause) for pause in pauses)))

    def look(self):
        self.is_whole = all(replica.is_up() for replica in self.cluster)

    def minority(self, rng):
        """One of three, one or two of five."""
        numbers = self.cluster.numbers()
        return sorted(rng.sample(numbers, rng.randint(1, max(1, (len(numbers) - 1) // 2))))


FAULTS = {}


def fault(weight=1.0):
    def add(function):
        FAULTS[function.__name__] = (function, weight)
        return function
    return add


def lasting(rng, least=0.3, most=2.5):
    return least + (most - least) * rng.random() ** 2


def is_memory_lost_by_power_cut(e):
    return e.mode != "always"


def mend(e, rng):
    if rng.random() < 0.3:
        e.cluster.network.reset([(a, b) for a, b in e.cluster.network.ways() if a < b])
    e.cluster.network.heal()


def ask_quietly(replica, *words):
    try:
        return replica.ask(*words, timeout=5)
    except OSError:
        return None


def plan(seed, count, only=None):
    """[(name, seed of the step, wait after it)]"""
    rng = random.Random("plan %s" % seed)
    names = [name for name in FAULTS if only is None or name in only]
    weights = [FAULTS[name][1] for name in names]
    return [(rng.choices(names, weights)[0], rng.getrandbits(32), rng.choice([0, 0.2, 0.5, 1, 2])) for _ in range(count)]


def excuse_damage(e):
    """A disk that failed while the server started ends it politely."""
    for replica in e.cluster:
        if replica.process and replica.process.poll() == 1 and replica.disk.failures():
            replica.excused = True
