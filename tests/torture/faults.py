"""The faults a plan is made of; changes of the members are in changes.py."""
import time

import history
from disk import CALLS, ERRORS
from plan import ask_quietly, fault, is_memory_lost_by_power_cut, lasting, mend

SETTLE_S = 30


# --- processes --------------------------------------------------------------------


@fault(2)
def kill_one(e, rng):
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    e.say("kill -9 of %d" % victim.number)
    victim.kill()
    e.during("kill -9", e.others(victim.number), lasting(rng))
    victim.start()


@fault(1)
def kill_two(e, rng):
    victims = rng.sample(e.cluster.numbers(), 2)
    e.say("kill -9 of %s" % victims)
    for number in victims:
        e.cluster[number].kill()
    time.sleep(lasting(rng, 0.05, 1.5))
    for number in victims:
        e.cluster[number].start()
        time.sleep(rng.random() * 0.3)


@fault(1)
def kill_all(e, rng):
    e.say("kill -9 of all")
    for replica in e.cluster:
        replica.kill()
    for number in rng.sample(e.cluster.numbers(), len(e.cluster.numbers())):
        e.cluster[number].start()
        time.sleep(rng.random() * rng.choice([0, 0.1, 1]))


@fault(1)
def kill_again_and_again(e, rng):
    """While it loads, catches up, takes a snapshot, rejoins."""
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    times = rng.randint(3, 8)
    e.say("kill -9 of %d, %d times in a row" % (victim.number, times))
    start = time.monotonic()
    for _ in range(times):
        victim.kill()
        victim.start()
        time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
    e.note_stall("kill -9 again and again", e.others(victim.number), start)


@fault(1)
def rolling_restart(e, rng):
    e.say("rolling restart")
    for number in e.cluster.numbers():
        replica = e.cluster[number]
        replica.excused = True
        start = time.monotonic()
        status = replica.stop(20)
        e.note_stall("SIGTERM", e.others(number), start)
        if status != 0:
            e.wrong.append("replica %d: exit status %s at SIGTERM:\n%s" % (number, status, replica.output(2000)))
        replica.start()
        replica.wait_up()


@fault(2)
def stop_and_continue(e, rng):
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    seconds = rng.choice([0.05, 0.3, 1, 2.5]) * (0.5 + rng.random())
    e.say("SIGSTOP of %d for %.1f s" % (victim.number, seconds))
    victim.pause()
    e.during("SIGSTOP", e.others(victim.number), seconds)
    victim.proceed()


@fault(0.7)
def stop_all(e, rng):
    e.say("SIGSTOP of all")
    for replica in e.cluster:
        replica.pause()
    time.sleep(lasting(rng, 0.1, 2))
    for number in rng.sample(e.cluster.numbers(), len(e.cluster.numbers())):
        e.cluster[number].proceed()
        time.sleep(rng.random() * 0.5)


# --- power --------------------------------------------------------------------------


@fault(2)
def power_cut_of_one(e, rng):
    if is_memory_lost_by_power_cut(e):
        e.wait_all_up()
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    is_silent = rng.random() < 0.5  # a machine that is gone ends no connection
    if is_silent:
        e.cluster.network.isolate(victim.number)
    victim.kill()
    e.say("power cut of %d%s: %s" % (victim.number, ", silent" if is_silent else "", victim.disk.cut_power(rng)))
    e.during("power cut", e.others(victim.number), lasting(rng))
    e.cluster.network.heal()
    victim.start()
    if is_memory_lost_by_power_cut(e):
        e.wait_up(victim.number)


@fault(1.5)
def power_cut_of_all(e, rng):
    if is_memory_lost_by_power_cut(e):
        e.wait_all_up()
    start = time.monotonic()
    for number in rng.sample(e.cluster.numbers(), len(e.cluster.numbers())):
        e.cluster[number].kill()
    if is_memory_lost_by_power_cut(e):
        e.cuts.append(history.Cut(start, time.monotonic()))
    e.say("power cut of all: " + "; ".join(replica.disk.cut_power(rng) for replica in e.cluster))
    for number in rng.sample(e.cluster.numbers(), len(e.cluster.numbers())):
        e.cluster[number].start()
        time.sleep(rng.random() * rng.choice([0, 0.1, 1]))
    if is_memory_lost_by_power_cut(e):
        e.wait_all_up()


@fault(1.5)
def crash_at_a_call(e, rng):
    """The power goes in the middle of a write, between a rename and its flush..."""
    if is_memory_lost_by_power_cut(e):
        e.wait_all_up()
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    call = rng.choice(["write", "flush", "flush", "flush_dir", "rename", "reserve", "open", "unlink"])
    place = rng.choice(["any", "journal", "snapshot", "state"]) if call != "flush_dir" else "any"
    victim.disk.crash([call], rng.randint(0, 20) if call in ("write", "flush") else rng.randint(0, 3), place)
    e.say("power cut of %d at a call of %s (%s)" % (victim.number, call, place))
    if rng.random() < 0.6:
        ask_quietly(victim, "BGSAVE")
    victim.excused = True
    e.during("power cut", e.others(victim.number), lasting(rng, 0.3, 1.5))
    victim.kill()
    victim.disk.heal()
    e.say("  " + victim.disk.cut_power(rng))
    victim.start()
    if is_memory_lost_by_power_cut(e):
        e.wait_up(victim.number)


# --- disks ----------------------------------------------------------------------------


@fault(1.5)
def failing_disk(e, rng):
    """EIO, once or from then on; the replica falls silent until it is restarted.
    What was written and not flushed may be gone although the machine runs on."""
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    calls = rng.choice([["flush"], ["write"], ["write", "flush"], ["flush_dir", "rename", "open", "reserve"],
                        [rng.choice(CALLS)], [rng.choice(CALLS)]])
    is_dropped = rng.random() < 0.5
    if is_memory_lost_by_power_cut(e) and is_dropped:
        e.wait_all_up()
    victim.disk.fail(calls, ERRORS["EIO"], rng.randint(0, 40), rng.random() < 0.5)
    e.say("EIO at %s of %d%s" % ("/".join(calls), victim.number, ", pages dropped" if is_dropped else ""))
    if rng.random() < 0.4:
        ask_quietly(victim, "BGSAVE")
    e.during("EIO", e.others(victim.number), lasting(rng, 0.5, 2))
    happened = victim.disk.failures()
    victim.kill()
    victim.disk.heal()
    if is_dropped and happened:
        victim.disk.drop_unflushed(rng)
        victim.disk.forget()
    victim.start()
    if is_memory_lost_by_power_cut(e) and is_dropped:
        e.wait_up(victim.number)


@fault(1)
def full_disk(e, rng):
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    calls = rng.choice([["write", "reserve"], ["reserve"], ["reserve"], ["write", "reserve", "open", "rename", "mkdir"]])
    victim.disk.fail(calls, ERRORS["ENOSPC"], rng.randint(0, 20))
    e.say("ENOSPC on %d" % victim.number)
    if rng.random() < 0.5:
        ask_quietly(victim, "BGSAVE")
    e.during("ENOSPC", e.others(victim.number), lasting(rng, 0.5, 2.5))
    victim.disk.heal()
    if victim.state() == "failed" or rng.random() < 0.5:
        victim.kill()
        victim.start()


@fault(0.7)
def slow_disk(e, rng):
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    e.say("slow disk of %d" % victim.number)
    victim.disk.set_flush_delay(rng.choice([0.02, 0.2, 0.8]))
    e.during("slow disk", e.others(victim.number), lasting(rng, 0.5, 2.5))
    victim.disk.set_flush_delay(0.002)


@fault(1.5)
def wiped_disk(e, rng):
    e.wait_all_up()
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    victim.kill()
    victim.disk.wipe()
    e.cluster.forget_beginning(victim.number)
    e.say("wiped disk of %d" % victim.number)
    e.during("wiped disk", e.others(victim.number), lasting(rng, 0.1, 1))
    victim.start()
    kills = rng.choice([0, 0, 1, 3])
    for _ in range(kills):  # in the middle of rejoining
        time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
        victim.kill()
        if rng.random() < 0.5 and e.mode == "always":
            e.say("  and a power cut while it rejoins: " + victim.disk.cut_power(rng))
        victim.start()
    e.wait_up(victim.number)


@fault(1)
def restart_during_catch_up(e, rng):
    """One misses enough to need a snapshot, and is killed while it gets it."""
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    e.say("%d misses a lot" % victim.number)
    e.cluster.network.isolate(victim.number)
    start, source = time.monotonic(), e.cluster[rng.choice(e.others(victim.number) or [victim.number])]
    try:
        with source.connect(3) as c:
            for number in range(30):
                c.call("SET", "ballast:missed:%d" % number, "m" * 200000)
    except OSError:
        pass
    e.note_stall("partition", e.others(victim.number), start)
    e.cluster.network.heal()
    for _ in range(rng.randint(1, 4)):
        time.sleep(rng.choice([0.01, 0.05, 0.2, 0.6]) * rng.random())
        victim.kill()
        if rng.random() < 0.3 and not is_memory_lost_by_power_cut(e):
            e.say("  and a power cut: " + victim.disk.cut_power(rng))
        victim.start()


@fault(1)
def flipped_bit(e, rng):
    e.wait_all_up()
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    victim.kill()
    what = victim.disk.flip_bit(rng)
    e.say("flipped %s of %d" % (what, victim.number))
    time.sleep(lasting(rng, 0, 0.5))
    victim.start()
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end and victim.is_running() and not victim.is_up():
        time.sleep(0.05)
    if not victim.is_running():
        refused = victim.output(1500)
        victim.excused = True
        if victim.process.returncode != 1 or not any(
                name in refused.rpartition("--- start")[2] for name in ("journal", "snapshot", "replica.state")):
            e.wrong.append("replica %d does not say what is damaged (%s):\n%s" % (victim.number, what, refused))
        victim.disk.wipe()  # as its operator is told
        e.cluster.forget_beginning(victim.number)
        victim.start()
        e.say("  it refused, and was replaced")
    e.wait_up(victim.number)


# --- the network -------------------------------------------------------------------------


@fault(2)
def isolated(e, rng):
    numbers = e.minority(rng)
    is_cable = rng.random() < 0.3
    e.say("%s cut off%s" % (numbers, ", the cable out" if is_cable else ""))
    for number in numbers:
        if is_cable:
            e.cluster.network.unplug(number)
        else:
            e.cluster.network.isolate(number)
    if not is_cable and rng.random() < 0.5:  # together
        e.cluster.network.set([way for way in e.cluster.network.ways() if set(way) <= set(numbers)])
    e.during("partition", e.others(*numbers), lasting(rng, 0.5, 4))
    mend(e, rng)


@fault(1)
def everybody_alone(e, rng):
    e.say("everybody is alone")
    e.cluster.network.set(e.cluster.network.ways(), hold=True)
    time.sleep(lasting(rng, 0.3, 3))
    mend(e, rng)


@fault(1.5)
def one_way(e, rng):
    """One hears and is not heard, or speaks and does not hear."""
    number = rng.choice(e.cluster.numbers())
    is_deaf = rng.random() < 0.5
    ways = [(a, b) for a, b in e.cluster.network.ways() if (b if is_deaf else a) == number]
    e.say("%d is %s" % (number, "deaf" if is_deaf else "mute"))
    e.cluster.network.set(ways, hold=True)
    e.during("partition, one way", e.others(number), lasting(rng, 0.5, 3))
    mend(e, rng)


@fault(1.5)
def one_link(e, rng):
    pair = rng.sample(e.cluster.numbers(), 2)
    e.say("nothing between %d and %d" % tuple(pair))
    e.cluster.network.set(e.cluster.network.between(pair[:1], pair[1:]), hold=True)
    e.during("partition, one link", e.cluster.numbers(), lasting(rng, 0.5, 3))
    mend(e, rng)


@fault(1)
def flapping(e, rng):
    number = rng.choice(e.cluster.numbers())
    e.say("%d comes and goes" % number)
    start = time.monotonic()
    for _ in range(rng.randint(3, 12)):
        e.cluster.network.isolate(number)
        time.sleep(rng.random() * 0.25)
        mend(e, rng)
        time.sleep(rng.random() * 0.25)
    e.note_stall("partition, flapping", e.others(number), start)


@fault(1)
def resets(e, rng):
    e.say("connections are reset")
    start = time.monotonic()
    for _ in range(rng.randint(1, 10)):
        e.cluster.network.reset([rng.sample(e.cluster.numbers(), 2)])
        time.sleep(rng.random() * 0.2)
    e.note_stall("resets", e.cluster.numbers(), start)


@fault(1.5)
def bad_network(e, rng):
    delay, jitter, loss = rng.choice([(0.02, 0.01, 0), (0, 0.05, 0.02), (0.001, 0.02, 0.1), (0.1, 0.2, 0)])
    reorder, double = rng.choice([(0, 0), (0.05, 0), (0.3, 0.02), (0.01, 0.1)])
    network = e.cluster.network
    ways = network.ways()
    if rng.random() < 0.5:
        ways = rng.sample(ways, min(2, len(ways)))
    how = {"delay": delay, "jitter": jitter, "loss": loss}
    if network.has_packets:
        how.update(reorder=reorder, double=double)
    e.say(", ".join("%s %g" % pair for pair in how.items()))
    network.set(ways, **how)
    e.during("delay, loss, reordering" if network.has_packets else "delay", e.cluster.numbers(), lasting(rng, 0.5, 3))
    mend(e, rng)


# --- clocks --------------------------------------------------------------------------------


@fault(1)
def clock_jump(e, rng):
    victim = e.cluster[rng.choice(e.cluster.numbers())]
    seconds = rng.choice([-1, 1]) * rng.choice([0.1, 0.6, 5, 3600, 90000])
    e.say("clock of %d jumps by %.1f s" % (victim.number, seconds))
    victim.disk.set_clock(victim.disk.clock() + seconds)
    e.during("clock jump", e.cluster.numbers(), lasting(rng, 0.3, 2))
    if rng.random() < 0.3:
        e.say("  and it is restarted")
        victim.kill()
        victim.start()
        e.wait_up(victim.number)
    if rng.random() < 0.7:
        victim.disk.set_clock(0)


# --- several at once ---------------------------------------------------------------------------


@fault(1)
def snapshot(e, rng):
    """With whatever comes next in the middle of it."""
    numbers = rng.sample(e.cluster.numbers(), rng.randint(1, 3))
    e.say("BGSAVE of %s" % numbers)
    for number in numbers:
        ask_quietly(e.cluster[number], "BGSAVE")


@fault(1)
def partition_and_power_cut(e, rng):
    if is_memory_lost_by_power_cut(e):
        return isolated(e, rng)
    number, other = rng.sample(e.cluster.numbers(), 2)
    e.say("%d is cut off, and then the power of %d" % (number, other))
    e.cluster.network.isolate(number)
    time.sleep(lasting(rng, 0.1, 1.5))
    e.cluster[other].kill()
    e.say("  " + e.cluster[other].disk.cut_power(rng))
    time.sleep(lasting(rng, 0, 1))
    e.cluster[other].start()
    time.sleep(lasting(rng, 0, 1))
    mend(e, rng)


@fault(1)
def stop_and_power_cut(e, rng):
    """One sleeps through what happens to the others."""
    if is_memory_lost_by_power_cut(e):
        return stop_and_continue(e, rng)
    number, other = rng.sample(e.cluster.numbers(), 2)
    e.say("%d sleeps while %d loses power" % (number, other))
    e.cluster[number].pause()
    time.sleep(lasting(rng, 0.1, 1))
    e.cluster[other].kill()
    e.say("  " + e.cluster[other].disk.cut_power(rng))
    e.cluster[other].start()
    time.sleep(lasting(rng, 0, 1))
    e.cluster[number].proceed()
