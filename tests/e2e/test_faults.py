"""A cluster under load while replicas stop, continue and die.

Method: recording clients, redis-py clients and redis-benchmark on all three
replicas at once; faults in turn, a quorum always left unless that is the point.
Then: recorded histories are linearizable, replicas at equal positions have
equal digests, nothing acknowledged is lost.  Pauses are printed, not judged.
"""
import subprocess
import threading
import time

import pytest
import redis

import linear
import resp
import servers
from record import Recording

DEADLOCK_S = 20  # a pause this long is a hang, on however slow a machine


class Benchmarks:
    """redis-benchmark on every replica until the end."""

    def __init__(self, cluster):
        self.processes = [subprocess.Popen(
            ["redis-benchmark", "-p", str(server.port), "-c", "4", "-P", "4", "-n", "1000000000", "-r", "20000", "-d",
             "64", "-t", "set", "-q"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for server in cluster]

    def finish(self):
        for process in self.processes:
            process.kill()
            process.wait()


class PyClient(threading.Thread):
    """redis-py: counts with INCR and with a pipeline; what was acknowledged must
    be there at the end."""

    def __init__(self, number, server):
        super().__init__(daemon=True)
        self.key, self.port = "py:%d" % number, server.port
        self.acknowledged = self.attempted = self.last = 0
        self.ended = threading.Event()

    def run(self):
        client = redis.Redis(port=self.port, socket_timeout=2)
        while not self.ended.is_set():
            self.attempted += 3
            try:
                self.last = max(self.last, client.incr(self.key))
                self.acknowledged += 1
                pipe = client.pipeline(transaction=False)
                pipe.incr(self.key)
                pipe.incr(self.key)
                results = pipe.execute(raise_on_error=False)
                self.acknowledged += sum(isinstance(result, int) for result in results)
            except redis.RedisError:
                client.connection_pool.disconnect()
                time.sleep(0.02)
            time.sleep(0.002)

    def finish(self):
        self.ended.set()
        self.join(30)
        assert not self.is_alive()


def test_stop_continue_and_kill_under_load(make_cluster, say):
    cluster = make_cluster(3)
    recording = Recording(cluster, clients_each=3, think_s=0.002, timeout_s=3).start()
    clients = [PyClient(number, server) for number, server in enumerate(cluster)]
    for client in clients:
        client.start()
    load = Benchmarks(cluster)
    try:
        time.sleep(1.5)
        events = []

        def event(what, survivors):
            """Begins now and lasts until the next."""
            events.append((what, [cluster[number] for number in survivors], time.monotonic()))

        cluster[3].pause()
        event("replica 3 stopped", (1, 2))
        time.sleep(2)
        cluster[3].proceed()
        event("replica 3 continued", (1, 2))
        # It takes part again: its own clients are served.
        wait_served(recording.of(cluster[3]))
        time.sleep(1)
        cluster[1].pause()
        event("replica 1 stopped", (2, 3))
        time.sleep(1.5)
        cluster[1].proceed()
        event("replica 1 continued", (2, 3))
        wait_served(recording.of(cluster[1]))
        time.sleep(1)
        cluster[2].kill()
        event("replica 2 killed", (1, 3))
        time.sleep(2.5)
        event("the end", ())
    finally:
        load.finish()
        for client in clients:
            client.finish()
        recording.finish()

    steady = recording.pause(list(cluster), recording.began + 0.5, recording.began + 1.5)
    say("%s; longest pause in quiet %.0f ms" % (recording.summary(), steady * 1000))
    for (what, survivors, moment), (_, _, end) in zip(events, events[1:]):
        pause = recording.pause(survivors, moment, end)
        say("%s: longest pause of the others' clients %.0f ms" % (what, pause * 1000))
        assert pause < DEADLOCK_S, what
    wrong = linear.check(recording.operations())
    assert not wrong, "\n".join(wrong)
    cluster.wait_equal([cluster[1], cluster[3]])
    for server in (cluster[1], cluster[3]):
        for client in clients:
            count = int(server.ask("GET", client.key) or 0)
            assert max(client.acknowledged, client.last) <= count <= client.attempted, client.key


def wait_served(recorders):
    start = time.monotonic()
    servers.wait_for(lambda: any(r.served and r.served[-1] > start for r in recorders), "clients to be served again",
                     DEADLOCK_S)


def test_killed_first(make_cluster, say):
    """Killed rather than stopped first: connections are refused at once, and two
    replicas go on without the third."""
    cluster = make_cluster(3)
    recording = Recording(cluster, clients_each=2, think_s=0.001).start()
    try:
        time.sleep(0.7)
        cluster[1].kill()
        moment = time.monotonic()
        time.sleep(2)
    finally:
        recording.finish()
    pause = recording.pause([cluster[2], cluster[3]], moment, moment + 2)
    say("%s; replica 1 killed: longest pause %.0f ms" % (recording.summary(), pause * 1000))
    assert pause < DEADLOCK_S
    wrong = linear.check(recording.operations())
    assert not wrong, "\n".join(wrong)
    cluster.wait_equal([cluster[2], cluster[3]])


def test_five_replicas_lose_two(make_cluster, say):
    cluster = make_cluster(5)
    recording = Recording(cluster, clients_each=1, think_s=0.002).start()
    try:
        time.sleep(0.7)
        moment = time.monotonic()
        cluster[5].kill()
        cluster[2].pause()
        time.sleep(2)
        cluster[2].proceed()
        wait_served(recording.of(cluster[2]))
    finally:
        recording.finish()
    pause = recording.pause([cluster[1], cluster[3], cluster[4]], moment, moment + 2)
    say("%s; two of five gone: longest pause %.0f ms" % (recording.summary(), pause * 1000))
    assert pause < DEADLOCK_S
    wrong = linear.check(recording.operations())
    assert not wrong, "\n".join(wrong)
    cluster.wait_equal([cluster[number] for number in (1, 2, 3, 4)])


def refused_at_once(server):
    with server.connect(DEADLOCK_S) as c:
        start = time.monotonic()
        return resp.is_error(c.call("SET", "x", "1"), "CLUSTERDOWN") and time.monotonic() - start < 0.15


def test_no_quorum(make_cluster, say):
    """Two of three stopped: -CLUSTERDOWN after the grace, READONLY connections
    still read, all is back with the quorum, nothing acknowledged lost."""
    cluster = make_cluster(3, ["--cluster-timeout", "300"])
    one = cluster[1]
    one.ask("SET", "before", "kept")
    recording = Recording(cluster, clients_each=2, think_s=0.002, timeout_s=10).start()
    try:
        time.sleep(0.5)
        stale = one.connect()
        assert stale.ask("READONLY") == b"OK"
        cluster[2].pause()
        cluster[3].pause()
        moment = time.monotonic()
        # Until the grace is over, a command may still be proposed, and ends INDOUBT;
        # from then on it is refused at once.
        servers.wait_for(lambda: servers.rabia(one).get("rabia_quorum") in ("0", "no"), "the loss to be known")
        servers.wait_for(lambda: refused_at_once(one), "CLUSTERDOWN")
        say("refused for certain %.0f ms after the quorum was gone" % ((time.monotonic() - moment) * 1000))
        with one.connect(DEADLOCK_S) as c:
            for words in (["SET", "x", "2"], ["GET", "before"], ["INCR", "n"], ["DBSIZE"]):
                start = time.monotonic()
                reply = c.call(*words)
                took = time.monotonic() - start
                assert resp.is_error(reply, "CLUSTERDOWN"), (words, reply)
                assert took < DEADLOCK_S
            # What needs no order is answered.
            assert c.call("PING") == ("+", b"PONG")
            assert c.call("ECHO", "x") == ("$", b"x")
        assert stale.ask("GET", "before") == b"kept"
        assert stale.ask("MGET", "before", "nothing") == [b"kept", None]
        assert resp.is_error(stale.call("SET", "before", "x"), "CLUSTERDOWN")
        stale.close()
        cluster[2].proceed()
        moment = time.monotonic()
        servers.wait_for(lambda: one.ask("SET", "after", "1", timeout=DEADLOCK_S) == b"OK", "service with two of three")
        say("back %.0f ms after the second replica continued" % ((time.monotonic() - moment) * 1000))
        assert one.ask("GET", "before") == b"kept"
        cluster[3].proceed()
        wait_served(recording.of(cluster[3]))
        time.sleep(0.3)
    finally:
        recording.finish()
    say(recording.summary())
    wrong = linear.check(recording.operations())
    assert not wrong, "\n".join(wrong)
    cluster.wait_equal()


def test_two_killed_of_three(make_cluster):
    """Without a quorum for good: refused, and the last replica still ends
    politely when told to."""
    cluster = make_cluster(3, ["--cluster-timeout", "200"])
    cluster[1].ask("SET", "k", "v")
    cluster.wait_equal()
    cluster[2].kill()
    cluster[3].kill()
    servers.wait_for(lambda: resp.is_error(cluster[1].connect(DEADLOCK_S).call("SET", "k", "w"), "CLUSTERDOWN"),
                     "CLUSTERDOWN")
    with cluster[1].connect() as c:
        c.ask("READONLY")
        assert c.ask("GET", "k") == b"v"
    assert cluster[1].stop() == 0


@pytest.mark.parametrize("size", [100, 3000000])
def test_paused_replica_catches_up(make_cluster, size):
    """Writes, large ones too, while a replica is stopped; it catches up from its
    peers' memory."""
    cluster = make_cluster(3)
    cluster[2].pause()
    with cluster[1].connect(30) as c:
        for number in range(2000 if size == 100 else 10):
            assert c.ask("SET", "k%d" % number, b"x" * size) == b"OK"
    cluster[2].proceed()
    servers.wait_for(lambda: cluster[2].ask("DBSIZE", timeout=DEADLOCK_S) == (2000 if size == 100 else 10), "catch-up")
    cluster.wait_equal()
