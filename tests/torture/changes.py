"""Changes of the members, and what goes wrong meanwhile.

A change is asked for by RABIA ADD, REMOVE or REPLACE, and then a trouble comes: a
partition, kill -9, a power cut, a restart while the new one loads, catches up or
rejoins.  Then all is mended, and the change must come to its end: it is asked
for again, as an operator would, until it is seen to have happened or was refused
with a reason that is true.  Clusters go from one to three members, from three to
five and back, by members that are there and by members that are dead.

A cluster has nine ids in its life (replica/roster.h); when they are used up,
members are removed only.
"""
import time

from disk import CALLS, ERRORS
from plan import ask_quietly, fault, is_memory_lost_by_power_cut, lasting, mend

IDS = 9
CHANGE_S = 60
# What a change may be answered; all else is wrong.
REASONS = (b"ERR a change of the members is under way", b"ERR without ", b"is a member already", b"learner already",
           b"learns already", b"the address of", b"was removed from this cluster already", b"is no member",
           b"is being replaced already", b"CLUSTERDOWN", b"INDOUBT", b"LOADING", b"MISCONF", b"REMOVED", b"never used again", b"takes the place of")


class Change:
    """One that is under way: who comes, who goes."""

    def __init__(self, e, comes=None, goes=None):
        self.e, self.comes, self.goes = e, comes, goes
        self.answers = set()
        cluster = e.cluster
        if comes:
            cluster.join(comes)
            address = cluster.network.address(comes)
            self.words = ["RABIA", "REPLACE", goes, comes, address] if goes else ["RABIA", "ADD", comes, address]
        else:
            self.words = ["RABIA", "REMOVE", goes]

    def stay(self):
        """Numbers of those that are members before and after."""
        return [number for number in self.e.cluster.numbers() if number != self.goes]

    def ask(self, number):
        try:
            reply = self.e.cluster[number].connect(5).call(*self.words)
        except OSError:
            return
        if reply[0] != "-":
            return
        self.answers.add(reply[1])
        if not any(reason in reply[1] for reason in REASONS):
            self.e.wrong.append("%s at %d: %s" % (self.words, number, reply[1]))

    def is_done(self):
        """As every one that stays sees it."""
        for number in self.stay() + ([self.comes] if self.comes else []):
            replica = self.e.cluster[number]
            try:
                members = replica.members() if replica.is_up() else {}
            except OSError:
                return False
            voices = {id_ for id_, fields in members.items() if fields["voice"]}
            if not voices or (self.comes and self.comes not in voices) or self.goes in voices:
                return False
        return True

    def trouble(self, rng):
        """What goes wrong, and is mended; the names are printed."""
        e = self.e
        everybody = e.cluster.numbers() + ([self.comes] if self.comes else [])
        troubles = [nothing, kill_new if self.comes else kill_any, kill_any, part_any, part_new if self.comes else part_any,
                    pause_any, snapshot_and_kill, flap]
        troubles += [fail_any, clock_any]
        if not is_memory_lost_by_power_cut(e):
            troubles += [cut_any, cut_any, cut_all]
        if len(self.stay()) + len([self.goes] if self.goes else []) >= 3:
            troubles += [wipe_any]
        rng.choice(troubles)(self, rng, everybody)
        e.cluster.network.heal()
        for number in everybody:
            replica = e.cluster[number]
            replica.disk.heal()
            if replica.is_stopped:
                replica.proceed()
            if replica.is_running() and replica.state() == "failed":
                replica.kill()
            if not replica.is_running():
                replica.start()

    def finish(self, rng):
        e, cluster = self.e, self.e.cluster
        end = time.monotonic() + CHANGE_S
        while not self.is_done():
            if time.monotonic() > end:
                e.wrong.append("%s has not come to an end in %d s; answers %s" % (self.words, CHANGE_S, self.answers))
                return
            self.ask(rng.choice(self.stay()))
            time.sleep(0.1)
        if self.comes:
            cluster.gone.discard(self.comes)
            e.clients.come(cluster[self.comes])
        if self.goes:
            cluster.gone.add(self.goes)
            self.dismiss(rng)

    def dismiss(self, rng):
        """Who was removed is told, serves nobody, and says why."""
        e, gone = self.e, self.e.cluster[self.goes]
        if not gone.is_running():
            gone.start()
        end = time.monotonic() + CHANGE_S
        while gone.is_running() and gone.state() != "removed":
            if time.monotonic() > end:
                e.wrong.append("%d does not know that it was removed; it is %r" % (self.goes, gone.state()))
                return
            time.sleep(0.05)
        if gone.is_running():
            reply = gone.connect(5).call("GET", "x")
            if reply[0] != "-" or not reply[1].startswith(b"REMOVED"):
                e.wrong.append("%d was removed and answers %s" % (self.goes, reply))
        e.clients.move(self.goes, e.cluster[rng.choice(e.cluster.numbers())])
        gone.kill()


# --- troubles ---------------------------------------------------------------------


def nothing(change, rng, everybody):
    change.e.say("  undisturbed")


def kill_any(change, rng, everybody):
    kill_times(change, rng, rng.choice(everybody), rng.randint(1, 3))


def kill_new(change, rng, everybody):
    """While it loads, catches up and rejoins."""
    kill_times(change, rng, change.comes, rng.randint(1, 6))


def kill_times(change, rng, number, times):
    change.e.say("  kill -9 of %d, %d times" % (number, times))
    replica = change.e.cluster[number]
    if not replica.is_running():
        replica.start()
    for _ in range(times):
        time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
        replica.kill()
        replica.start()


def cut_any(change, rng, everybody):
    number = rng.choice(everybody)
    replica = change.e.cluster[number]
    for _ in range(rng.randint(1, 2)):
        time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
        replica.kill()
        change.e.say("  power cut of %d: %s" % (number, replica.disk.cut_power(rng)))
        time.sleep(lasting(rng, 0, 0.6))
        replica.start()


def cut_all(change, rng, everybody):
    time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
    for number in rng.sample(everybody, len(everybody)):
        change.e.cluster[number].kill()
    change.e.say("  power cut of all: " + "; ".join(
        change.e.cluster[number].disk.cut_power(rng) for number in everybody))
    for number in rng.sample(everybody, len(everybody)):
        change.e.cluster[number].start()
        time.sleep(rng.random() * rng.choice([0, 0.1, 0.6]))


def part_any(change, rng, everybody):
    part(change, rng, rng.choice(everybody))


def part_new(change, rng, everybody):
    part(change, rng, change.comes)


def part(change, rng, number):
    e = change.e
    kind = rng.choice(["all", "deaf", "mute", "link"])
    ways = [(a, b) for a, b in e.cluster.network.ways() if number in (a, b)]
    if kind == "deaf":
        ways = [way for way in ways if way[1] == number]
    elif kind == "mute":
        ways = [way for way in ways if way[0] == number]
    elif kind == "link":
        other = rng.choice(ways)
        ways = [way for way in ways if set(way) == set(other)]
    e.say("  partition of %d: %s" % (number, kind))
    e.cluster.network.set(ways, hold=True)
    time.sleep(lasting(rng, 0.2, 3))
    mend(e, rng)


def flap(change, rng, everybody):
    number = rng.choice(everybody)
    change.e.say("  %d comes and goes" % number)
    for _ in range(rng.randint(2, 6)):
        change.e.cluster.network.isolate(number)
        time.sleep(rng.random() * 0.25)
        mend(change.e, rng)
        time.sleep(rng.random() * 0.25)


def pause_any(change, rng, everybody):
    number = rng.choice(everybody)
    change.e.say("  SIGSTOP of %d" % number)
    change.e.cluster[number].pause()
    time.sleep(lasting(rng, 0.1, 2.5))
    change.e.cluster[number].proceed()


def wipe_any(change, rng, everybody):
    """One forgets everything, and rejoins a cluster whose list is changing."""
    number = rng.choice(everybody)
    time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
    change.e.cluster[number].kill()
    change.e.cluster[number].disk.wipe()
    change.e.cluster.forget_beginning(number)
    change.e.say("  wiped disk of %d" % number)
    kill_times(change, rng, number, rng.choice([0, 1, 3]))


def fail_any(change, rng, everybody):
    number, call, error = rng.choice(everybody), rng.choice(CALLS), rng.choice(sorted(ERRORS))
    replica = change.e.cluster[number]
    change.e.say("  %s at %s of %d" % (error, call, number))
    replica.disk.fail([call], ERRORS[error], rng.randint(0, 10))
    if rng.random() < 0.5:
        ask_quietly(replica, "BGSAVE")
    time.sleep(lasting(rng, 0.1, 1.5))
    replica.kill()
    replica.disk.heal()


def clock_any(change, rng, everybody):
    number, seconds = rng.choice(everybody), rng.choice([-1, 1]) * rng.choice([0.6, 5, 3600, 90000])
    change.e.say("  clock of %d jumps by %.1f s" % (number, seconds))
    change.e.cluster[number].disk.set_clock(seconds)
    time.sleep(lasting(rng, 0.1, 1))
    if rng.random() < 0.5:
        change.e.cluster[number].disk.set_clock(0)


def snapshot_and_kill(change, rng, everybody):
    """Journals are cut while the members change."""
    for number in everybody:
        ask_quietly(change.e.cluster[number], "BGSAVE")
    kill_times(change, rng, rng.choice(everybody), 1)


# --- changes --------------------------------------------------------------------------


def next_id(e):
    return max(e.cluster.all) + 1 if max(e.cluster.all) < IDS else None


def run(e, rng, comes=None, goes=None):
    e.wait_all_up()
    e.say("%s%s" % ("%d comes" % comes if comes else "", (" in place of %d" if comes else "%d goes") % goes if goes else ""))
    change = Change(e, comes, goes)
    change.ask(rng.choice(change.stay()))
    change.trouble(rng)
    if not e.wrong:
        change.finish(rng)


@fault(2.5)
def change_of_members(e, rng):
    numbers, comes = e.cluster.numbers(), next_id(e)
    kinds = []
    if comes and len(numbers) < 5:
        kinds += ["add"] * (6 if len(numbers) < 3 else 2)
    if comes:
        kinds += ["replace"]
    if len(numbers) > 3:
        kinds += ["remove"] * 2
    if not kinds:
        return e.say("no id is left to add a member")
    kind = rng.choice(kinds)
    goes = None if kind == "add" else rng.choice(numbers)
    run(e, rng, comes if kind != "remove" else None, goes)


@fault(0.7)
def replace_of_a_dead_one(e, rng):
    """A machine is gone for ever, and another takes its place."""
    comes = next_id(e)
    if not comes or len(e.cluster.numbers()) < 3:
        return change_of_members(e, rng)
    e.wait_all_up()
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    victim.kill()
    time.sleep(lasting(rng, 0, 0.5))
    e.say("%d is dead; %d comes in its place" % (victim.number, comes))
    change = Change(e, comes, victim.number)
    change.ask(rng.choice(change.stay()))
    number = rng.choice([comes, comes, *change.stay()])
    if rng.random() < 0.5:
        kill_times(change, rng, number, rng.randint(1, 4))
    else:
        part(change, rng, number)
    change.finish(rng)


def grow_to_three(e, rng):
    while len(e.cluster.numbers()) < 3 and not e.wrong:
        run(e, rng, comes=next_id(e))
