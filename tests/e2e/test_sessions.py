"""Transactions, watched keys and waiting clients on a cluster whose replicas die.

Method: clients of all replicas count by WATCH, and pass items through a list with
BLPOP, while a replica is killed and comes back.  What was acknowledged holds: each
transaction once, each item to one client."""
import os
import shutil
import threading
import time

from servers import wait_for


class Client(threading.Thread):
    """Does step() against its replica until the end, connecting anew after every failure."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.connection, self.ended = server, None, threading.Event()

    def run(self):
        while not self.ended.is_set():
            try:
                if self.connection is None:
                    self.connection = self.server.connect(3)
                self.step(self.connection)
            except OSError:
                self.lost()
                if self.connection:
                    self.connection.close()
                self.connection = None
                time.sleep(0.02)

    def lost(self):
        pass

    def finish(self):
        self.ended.set()
        self.join(30)
        assert not self.is_alive()


class Counter(Client):
    """GET under WATCH, SET one more under EXEC."""
    done = attempted = 0

    def step(self, c):
        if c.call("WATCH", "counter") != ("+", b"OK"):
            return
        value = c.ask("GET", "counter")
        if isinstance(value, tuple):
            return
        assert c.ask("MULTI") == b"OK"
        c.ask("SET", "counter", str(int(value or 0) + 1))
        c.ask("RPUSH", "history", str(int(value or 0) + 1))
        self.attempted += 1
        reply = c.ask("EXEC")
        if isinstance(reply, list):
            self.done += 1
        elif reply is None:
            self.attempted -= 1


def kill_and_restart(cluster, number):
    time.sleep(1)
    cluster[number].kill()
    time.sleep(1)
    cluster[number].start()
    cluster.wait_up([cluster[number]])
    time.sleep(1)


def test_counting_by_watch(make_cluster, say):
    cluster = make_cluster(3)
    counters = [Counter(server) for server in cluster for _ in range(2)]
    for counter in counters:
        counter.start()
    kill_and_restart(cluster, 2)
    for counter in counters:
        counter.finish()
    done, attempted = sum(c.done for c in counters), sum(c.attempted for c in counters)
    value = int(cluster[1].ask("GET", "counter"))
    say("%d transactions, %d in doubt" % (done, attempted - done))
    assert done <= value <= attempted
    # One unit: the list tells the same story, without a gap.
    assert cluster[3].ask("LRANGE", "history", "0", "-1") == [b"%d" % (i + 1) for i in range(value)]
    for server in cluster:
        wait_for(lambda: b"watching_clients:0" in server.ask("INFO", "clients"), "no watchers at port %d" % server.port)
    cluster.wait_equal()


class Producer(Client):
    def __init__(self, server, number):
        super().__init__(server)
        self.number, self.next, self.sure, self.doubtful = number, 0, set(), set()

    def step(self, c):
        item = b"%d-%d" % (self.number, self.next)
        self.next += 1
        self.doubtful.add(item)
        if isinstance(c.ask("RPUSH", "queue", item), int):
            self.sure.add(item)
        time.sleep(0.002)


class Consumer(Client):
    """Some leave while they wait."""

    def __init__(self, server):
        super().__init__(server)
        self.items, self.failures, self.turn, self.is_asking = [], 0, 0, False

    def step(self, c):
        self.turn += 1
        if self.turn % 7 == 0:
            with self.server.connect(3) as other:
                other.send("BLPOP", "queue", "0")
            return
        self.is_asking = True
        reply = c.ask("BLPOP", "none", "queue", "0.5")
        self.is_asking = False
        if isinstance(reply, list):
            self.items.append(reply[1])
        elif reply is not None:
            self.failures += 1

    def lost(self):
        self.failures += self.is_asking
        self.is_asking = False


def test_a_queue(make_cluster, say):
    cluster = make_cluster(3)
    producers = [Producer(server, i) for i, server in enumerate(cluster)]
    consumers = [Consumer(server) for server in cluster for _ in range(3)]
    for client in producers + consumers:
        client.start()
    kill_and_restart(cluster, 3)
    for client in producers:
        client.finish()
    wait_for(lambda: cluster[1].ask("LLEN", "queue") == 0, "the queue to run empty")
    for client in consumers:
        client.finish()
    received = [item for consumer in consumers for item in consumer.items]
    sure = set().union(*(p.sure for p in producers))
    failures = sum(consumer.failures for consumer in consumers)
    missing = sure - set(received)
    say("%d items, %d received, %d missing, %d failures of consumers" % (len(sure), len(received), len(missing), failures))
    assert len(received) == len(set(received)), "given twice"
    assert set(received) <= set().union(*(p.doubtful for p in producers))
    # Popped for a client whose replica died, or whose answer is in doubt.
    left = set(cluster[1].ask("LRANGE", "queue", "0", "-1"))
    assert len(missing - left) <= failures
    cluster.wait_equal()


def test_a_newcomer_decides_alike(make_cluster):
    """Watched keys and settings come with the snapshot."""
    cluster = make_cluster(3)
    watcher, touched = cluster[1].connect(), cluster[1].connect()
    assert cluster[2].ask("CONFIG", "SET", "hash-max-listpack-entries", "3") == b"OK"
    for c in (watcher, touched):
        assert c.ask("WATCH", "quiet") == b"OK"
    assert touched.ask("WATCH", "loud") == b"OK"
    for i in range(100):
        cluster[1].ask("SET", "k%d" % i, "v")
    cluster[3].kill()
    shutil.rmtree(cluster[3].folder)
    os.makedirs(cluster[3].folder)
    cluster[3].start()
    cluster.wait_up([cluster[3]])
    assert cluster[3].ask("CONFIG", "GET", "hash-max-listpack-entries")[1] == b"3"
    wait_for(lambda: b"watching_clients:2" in cluster[3].ask("INFO", "clients"), "the watchers")
    cluster[2].ask("SET", "loud", "1")
    for c, outcome in ((watcher, [b"OK"]), (touched, None)):
        assert c.ask("MULTI") == b"OK"
        c.ask("SET", "by", "exec")
        assert c.ask("EXEC") == outcome
        c.close()
    cluster[3].ask("HSET", "h", "a", "1", "b", "2", "c", "3", "d", "4")
    for server in cluster:
        assert server.ask("OBJECT", "ENCODING", "h") == b"hashtable"
    cluster.wait_equal()


def test_watchers_of_a_member_that_restarts_are_dropped(make_cluster):
    cluster = make_cluster(3)
    watcher = cluster[2].connect()
    assert watcher.ask("WATCH", "k") == b"OK"
    wait_for(lambda: b"watching_clients:1" in cluster[1].ask("INFO", "clients"), "a watcher")
    cluster[2].kill()
    cluster[2].start()
    cluster.wait_up([cluster[2]])
    for server in cluster:
        wait_for(lambda: b"watching_clients:0" in server.ask("INFO", "clients"), "no watchers at port %d" % server.port)
