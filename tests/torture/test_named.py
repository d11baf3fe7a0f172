"""Failures other systems are known for, each with real replicas.

Method: three replicas on disks of disk.py, in a network that breaks; the situation is
brought about step by step, then what was acknowledged must be there, and nobody
may have answered what it could not know.
"""
import random
import threading
import time

import pytest

import history
import resp
import servers
from appenders import finish_and_check, start_appenders
from changes import Change
from clients import Clients
from cluster import Cluster
from disk import ERRORS
from plan import Episode


def power_cut_of_all(cluster, seed=1):
    rng = random.Random(seed)
    for replica in cluster:
        replica.kill()
    for replica in cluster:
        replica.disk.cut_power(rng)


def start_all(cluster):
    for replica in cluster:
        replica.start()
    cluster.wait_up()


# --- the disk ----------------------------------------------------------------------


def cut_under_load(cluster, seed):
    appenders = start_appenders(cluster)
    time.sleep(0.7)
    power_cut_of_all(cluster, seed)
    for appender in appenders:
        appender.finish()
    return appenders


def nobody_serves(cluster, numbers, seconds):
    """Whoever of them answers in that time refuses, and each does answer."""
    refused = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number in numbers:
            try:
                for words in (("SET", "other", "x"), ("GET", "k")):
                    reply = cluster[number].connect(3).call(*words)
                    assert reply[0] == "-", (number, words, reply)
                    refused.add(number)
            except OSError:
                pass
        time.sleep(0.2)
    assert refused == set(numbers), "refusals were heard of %s only" % sorted(refused)


@pytest.mark.parametrize("seed", range(4))
def test_votes_are_on_disk_before_they_are_sent(make_cluster, seed):
    """Power goes everywhere at once: with appendfsync always nothing that was
    acknowledged is lost, and replicas agree."""
    cluster = make_cluster()
    appenders = cut_under_load(cluster, seed)
    start_all(cluster)
    assert sum(a.acknowledged() for a in appenders) > 20
    finish_and_check(cluster, appenders)


def test_a_disk_that_lies_is_noticed():
    """The test of the test above: if flushes do nothing, it must fail."""
    for seed in range(5):
        cluster = Cluster(3, ["--appendfsync", "always", "--journal-segment-size", "1mb"])
        try:
            cluster.start()
            for replica in cluster:
                replica.disk.set_lies(True)
            appenders = cut_under_load(cluster, seed)
            for replica in cluster:
                replica.disk.set_lies(False)
            try:
                start_all(cluster)
                finish_and_check(cluster, appenders)
            except AssertionError:
                return
            if cluster.complaints():
                return
        finally:
            cluster.remove()
    raise AssertionError("flushes that do nothing were not noticed")


@pytest.mark.parametrize("seed", range(3))
def test_everysec_loses_an_end_of_the_last_seconds(make_cluster, seed):
    """Never a piece from the middle, and nobody's more than another's; see history.py."""
    cluster = make_cluster(mode="everysec")
    clients = Clients(cluster, 3, "everysec %d" % seed).start()
    time.sleep(2.2 + seed * 0.3)
    start = time.monotonic()
    power_cut_of_all(cluster, seed)
    cut = history.Cut(start, time.monotonic())
    start_all(cluster)
    time.sleep(0.5)
    clients.finish()
    cluster.wait_equal()
    with cluster[1].connect(30) as c:
        wrong, objects, hard = history.check_all(clients, c, [cut])
    assert not wrong, "\n".join(wrong)
    assert not clients.unexpected() and objects > 20 and hard < objects / 10


@pytest.mark.parametrize("mode", ["always", "everysec", "no"])
def test_a_kill_of_all_loses_nothing(make_cluster, mode):
    cluster = make_cluster(mode=mode)
    appenders = start_appenders(cluster)
    time.sleep(0.7)
    for replica in cluster:
        replica.kill()
    for appender in appenders:
        appender.finish()
    start_all(cluster)
    finish_and_check(cluster, appenders)


@pytest.mark.parametrize("seed", range(4))
def test_always_from_now_on(make_cluster, seed):
    """CONFIG SET appendfsync always is a promise from then on."""
    cluster = make_cluster(mode="everysec")
    for replica in cluster:
        assert replica.ask("CONFIG", "SET", "appendfsync", "always") == b"OK"
    appenders = cut_under_load(cluster, seed)
    start_all(cluster)
    finish_and_check(cluster, appenders)


@pytest.mark.parametrize("call", ["write", "flush"])
def test_no_snapshot_of_a_replica_whose_disk_failed(make_cluster, call):
    """What it could not write it did not apply, though the order went on: its
    snapshot would hold the place without the data."""
    cluster = make_cluster()
    appenders = start_appenders(cluster)
    time.sleep(0.3)
    cluster[2].disk.fail([call], ERRORS["EIO"], 5, sticks=False)
    servers.wait_for(lambda: cluster[2].state() == "failed", "replica 2 to notice")
    with cluster[2].connect() as c:
        c.call("BGSAVE")
        c.call("SAVE")
    time.sleep(0.5)
    cluster[2].kill()
    cluster[2].disk.heal()
    cluster[2].disk.drop_unflushed(random.Random(1))
    cluster[2].disk.forget()
    cluster[2].start()
    cluster[2].wait_up()
    time.sleep(1.5)
    finish_and_check(cluster, appenders)


def test_own_snapshot_is_loaded(make_cluster):
    """The journal before it is gone: what it holds must come back from it."""
    cluster = make_cluster()
    with cluster[1].connect() as c:
        for number in range(300):
            assert c.ask("SET", "k%d" % number, "v" * 5000) == b"OK"
    cluster.wait_equal()
    for replica in cluster:
        assert replica.ask("SAVE", timeout=30) == b"OK"
    power_cut_of_all(cluster)
    start_all(cluster)
    for replica in cluster:
        assert replica.ask("DBSIZE") >= 300
        assert "loaded 30" in replica.output(3000)


def test_a_snapshot_without_data_keeps_its_position(make_cluster):
    cluster = make_cluster()
    for number in range(50):
        cluster[1].ask("SET", "k%d" % number, "v")
    assert cluster[1].ask("FLUSHALL") == b"OK"
    before, _ = cluster.wait_equal()
    for replica in cluster:
        assert replica.ask("SAVE") == b"OK"
    power_cut_of_all(cluster)
    for replica in cluster:
        replica.start()
    for replica in cluster:
        servers.wait_for(lambda: replica.state() == "up", "replica %d" % replica.number)
        assert replica.ask("RABIA", "DIGEST")[0] >= before
        assert replica.ask("DBSIZE") == 0
    cluster.wait_up()


# --- memory ------------------------------------------------------------------------


def test_a_wiped_replica_is_no_witness(make_cluster):
    """3 never heard of the write, 2 has forgotten it: together they must not
    serve as if there had been none."""
    cluster = make_cluster()
    cluster[3].kill()
    servers.wait_for(lambda: cluster[1].ask("SET", "k", "v", timeout=5) == b"OK", "a write without 3")
    cluster[1].kill()
    cluster[2].kill()
    cluster[2].disk.wipe()
    cluster[2].start()
    cluster[3].start()
    nobody_serves(cluster, (2, 3), 4)
    cluster[1].start()
    cluster.wait_up()
    assert cluster[2].ask("GET", "k") == b"v"
    assert cluster[3].ask("GET", "k") == b"v"


def test_killed_while_rejoining(make_cluster):
    cluster = make_cluster()
    appenders = start_appenders(cluster, 200)
    time.sleep(0.5)
    rng = random.Random(5)
    cluster[2].kill()
    cluster[2].disk.wipe()
    for _ in range(12):
        cluster[2].start()
        time.sleep(rng.random() * 0.4)
        cluster[2].kill()
        if rng.random() < 0.5:
            cluster[2].disk.cut_power(rng)
    cluster[2].start()
    cluster[2].wait_up()
    time.sleep(0.3)
    finish_and_check(cluster, appenders)


# --- time and the network -------------------------------------------------------------


def test_no_stale_read_after_a_pause(make_cluster):
    """A replica wakes and has a read in its hand: it must not answer from what it
    knew when it fell asleep."""
    cluster = make_cluster()
    for number in range(8):
        assert cluster[2].ask("SET", "k", "old%d" % number) == b"OK"
        with cluster[1].connect(10) as c:
            assert c.ask("GET", "k") == b"old%d" % number
            cluster[1].pause()
            c.send("GET", "k")
            servers.wait_for(lambda: cluster[2].ask("SET", "k", "new%d" % number, timeout=5) == b"OK", "a write")
            c.send("GET", "k")
            cluster[1].proceed()
            c.read()  # sent before the write was: either
            assert resp.plain(c.read()) in (b"new%d" % number,), "a stale read"


def test_cut_off_it_acknowledges_nothing(make_cluster):
    """A quorum is counted among all members, not among those in reach."""
    cluster = make_cluster()
    cluster.network.isolate(1)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        with cluster[1].connect(5) as c:
            reply = c.call("SET", "k", "1")
            assert reply[0] == "-" and reply[1].startswith((b"CLUSTERDOWN", b"INDOUBT")), reply
    assert cluster[2].ask("SET", "k", "2") == b"OK"
    cluster.network.heal()
    cluster.wait_up()
    assert cluster[2].ask("GET", "k") in (b"1", b"2")
    cluster.wait_equal()


def test_a_missed_batch_is_fetched(make_cluster):
    """1 cannot reach 2, and hears of everything; large batches too.  2 gets their
    contents from 3, and no slot becomes NULL for want of them."""
    cluster = make_cluster()
    cluster.network.set([(1, 2)], hold=True)
    with cluster[1].connect(20) as c:
        for size in (10, 1000, 300000, 3000000):
            assert c.ask("SET", "k%d" % size, b"x" * size) == b"OK"
    assert len(cluster[2].ask("GET", "k3000000", timeout=20)) == 3000000
    cluster.network.heal()
    cluster.wait_equal()


def test_decisions_during_catch_up_stay_in_order(make_cluster):
    """3 is far behind, fetches a snapshot, and hears of new slots all the while."""
    cluster = make_cluster("--peer-backlog-size", "1mb", "--journal-snapshot-size", "2mb")
    appenders = start_appenders(cluster)
    for _ in range(2):
        cluster[3].pause()
        with cluster[1].connect(30) as c:
            for number in range(400):
                assert c.ask("SET", "bulk%d" % number, b"y" * 10000) == b"OK"
        cluster[3].proceed()
        cluster[3].wait_up()
        time.sleep(0.5)
    finish_and_check(cluster, appenders)


def test_proposed_again_neither_lost_nor_doubled(make_cluster):
    """1 comes and goes, its slots are forfeited, its batches proposed again."""
    cluster = make_cluster()
    appenders = start_appenders(cluster)
    rng = random.Random(7)
    for _ in range(25):
        if rng.random() < 0.5:
            cluster.network.set([(1, 2), (1, 3)], delay=0.05 + rng.random() * 0.1)
        else:
            cluster.network.isolate(1)
        time.sleep(0.05 + rng.random() * 0.15)
        cluster.network.heal()
        time.sleep(rng.random() * 0.1)
    finish_and_check(cluster, appenders)


def test_a_sleeper_opens_no_slot_twice(make_cluster):
    cluster = make_cluster()
    appenders = start_appenders(cluster)
    rng = random.Random(9)
    for _ in range(15):
        cluster[1].pause()
        time.sleep(rng.random() * 0.4)
        cluster[1].proceed()
        time.sleep(rng.random() * 0.15)
    finish_and_check(cluster, appenders)


def test_one_clock_gone_wrong_expires_nothing(make_cluster):
    cluster = make_cluster()
    assert cluster[1].ask("SET", "k", "v", "EX", "100") == b"OK"
    cluster[1].disk.set_clock(1000000)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        with cluster[1].connect(5) as c:
            c.call("SET", "other", "x")
    assert cluster[2].ask("GET", "k") == b"v"
    cluster[1].disk.set_clock(0)
    cluster.wait_equal()


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_two_of_three_go_on_though_their_clocks_differ(make_cluster, seconds):
    """3 is down; 1's clock jumps.  Neither waits until that time has come, and no key
    expires that should not."""
    cluster = make_cluster()
    assert cluster[1].ask("SET", "k", "v", "EX", "100") == b"OK"
    appenders = start_appenders(cluster)
    time.sleep(0.3)
    cluster[3].kill()
    for _ in range(3):
        cluster[1].disk.set_clock(seconds)
        time.sleep(0.7)
        for number in (1, 2):
            cluster[number].wait_writable(10)
            assert cluster[number].ask("GET", "k") == b"v"
        cluster[1].disk.set_clock(0)
        time.sleep(0.7)
        for number in (1, 2):
            cluster[number].wait_writable(10)
            assert cluster[number].ask("GET", "k") == b"v"
    cluster[3].start()
    finish_and_check(cluster, appenders)


def test_a_refused_clock_does_not_stop_the_last_quorum(make_cluster):
    """Batches of 2 are on their way when 3, whose clock agrees with them, dies: 1, an
    hour behind, is asked alone."""
    cluster = make_cluster()
    appenders = start_appenders(cluster)
    cluster[1].disk.set_clock(-3600)
    for _ in range(5):
        time.sleep(0.3)
        cluster[3].kill()
        for number in (1, 2):
            cluster[number].wait_writable(10)
        cluster[3].start()
        cluster[3].wait_up()
    cluster[1].disk.set_clock(0)
    finish_and_check(cluster, appenders)


def test_a_lost_proposal_is_said_again(make_cluster):
    """The proposal of 1 reaches 2 alone, which dies with its echo unheard; to 3 it is lost with
    the link.  Repeating votes would not help: 3 needs the proposal."""
    cluster = make_cluster()
    for number in range(4):
        cluster.network.set([(1, 3), (2, 1), (2, 3)], hold=True)
        outcome = []
        writer = threading.Thread(target=lambda: outcome.append(cluster[1].ask("APPEND", "list", "%d," % number, timeout=30)))
        writer.start()
        time.sleep(0.02 + 0.02 * number)
        cluster[2].kill()
        cluster.network.reset([(1, 3)])
        cluster.network.heal()
        writer.join(30)
        assert outcome and (isinstance(outcome[0], int) or outcome[0][1].startswith((b"INDOUBT", b"CLUSTERDOWN"))), outcome
        for alive in (1, 3):
            cluster[alive].wait_writable(10)
        text = cluster[3].ask("GET", "list") or b""
        is_there = b"%d," % number in text
        assert is_there or not isinstance(outcome[0], int), (outcome, text)
        assert text.count(b"%d," % number) <= 1
        cluster[2].start()
        cluster.wait_up()
    cluster.wait_equal()


# --- the members -----------------------------------------------------------------------


def test_a_change_with_partition_restart_and_truncation(make_cluster):
    """4 comes in place of 2 while 3 is cut off, 1 is killed after its journal was
    cut, and the new one, which learns from a snapshot, loses power."""
    cluster = make_cluster("--journal-snapshot-size", "1mb", "--peer-backlog-size", "1mb")
    appenders = start_appenders(cluster, 2000)
    time.sleep(0.7)
    rng = random.Random(11)
    e = Episode(cluster, rng, "always", print)
    e.clients = Clients([], 0, "none")
    change = Change(e, comes=4, goes=2)
    change.ask(1)
    cluster.network.isolate(3)
    time.sleep(0.3)
    assert cluster[1].ask("SAVE", timeout=30) == b"OK"
    cluster[1].kill()
    cluster[4].kill()
    cluster[4].disk.cut_power(rng)
    cluster[1].start()
    cluster[4].start()
    time.sleep(0.3)
    cluster.network.heal()
    appenders[1].server = cluster[3]
    change.finish(rng)
    assert not e.wrong, e.wrong
    assert cluster.numbers() == [1, 3, 4]
    power_cut_of_all(cluster)
    start_all(cluster)
    finish_and_check(cluster, appenders)


def test_a_removed_member_is_no_witness(make_cluster):
    """2 is replaced while it is dead; when it comes back with what it remembers, it and 3,
    which slept, must not serve as if 1 and 4 had not gone on."""
    cluster = make_cluster()
    e = Episode(cluster, random.Random(3), "always", print)
    assert cluster[1].ask("SET", "k", "old") == b"OK"
    cluster.wait_equal()
    cluster[2].kill()
    change = Change(e, comes=4, goes=2)
    change.ask(1)
    servers.wait_for(change.is_done, "4 in place of 2")
    cluster.gone.discard(4)
    cluster.gone.add(2)
    cluster[3].kill()
    assert cluster[4].ask("SET", "k", "new") == b"OK"
    cluster[1].kill()
    cluster[4].kill()
    cluster[2].start()
    cluster[3].start()
    nobody_serves(cluster, (2, 3), 4)
    cluster[1].start()
    cluster[4].start()
    cluster.wait_up()
    assert cluster[3].ask("GET", "k") == b"new"
    servers.wait_for(lambda: cluster[2].state() == "removed", "2 to know that it was replaced")


def test_a_new_one_saves_nothing_before_it_belongs(make_cluster):
    """A snapshot of nobody's data would lie in its way when it starts again."""
    cluster = make_cluster()
    cluster.join(4)
    servers.wait_for(lambda: cluster[4].state() == "joining", "4 to ask")
    for words in (("BGSAVE",), ("SAVE",)):
        reply = cluster[4].connect().call(*words)
        assert reply[0] == "-" and b"in progress" not in reply[1], reply
    cluster[4].kill()
    cluster[4].start()
    assert cluster[1].ask("RABIA", "ADD", 4, cluster.network.address(4)) == b"OK"
    cluster.gone.discard(4)
    cluster.wait_up()
    cluster.wait_equal()
