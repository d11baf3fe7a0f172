"""Every type, on replicas that came to their data on different ways.

Goal: a replica that ran everything, one that came back from its snapshot and its
journal, one that was wiped and fetched a snapshot, and all of them after a restart hold
the same data, and go on to make the same choices.  Method: random commands of
all types (tests/command/mixture.py) and those whose outcome a table's layout or an order
could sway: SPOP, SORT of a set that is not sorted, thresholds that change which
form a value has.  Digests are compared after every step.
"""
import os
import shutil
import sys

import pytest

import resp
import servers

sys.path.insert(0, os.path.join(servers.ROOT, "tests", "command"))
from mixture import SETS, ZSETS, Mixture  # noqa: E402


class Choices(Mixture):
    """With commands that choose: no oracle looks on."""

    def __init__(self, seed):
        super().__init__(seed)
        self.sorts = True
        self.families += [(40, self.choose), (20, self.fill)]
        if not self.has_thresholds:
            self.families.append((4, self.threshold))
        self.weights = [weight for weight, _ in self.families]

    def fill(self):
        key = self.pick(SETS)
        return [b"SADD", key] + [b"m%d" % self.random.randrange(3000) for _ in range(self.random.choice([5, 50, 600]))]

    def choose(self):
        key = self.pick(SETS)
        return self.pick([
            [b"SPOP", key], [b"SPOP", key, b"%d" % self.random.randrange(20)], [b"SPOP", key, b"%d" % self.random.randrange(400)],
            [b"SORT", key, b"BY", b"nosort", b"LIMIT", b"2", b"50", b"STORE", self.any_key()],
            [b"SORT", key, b"BY", b"nosort", b"STORE", self.any_key()],
            [b"SUNIONSTORE", self.any_key(), key, self.pick(SETS)],
            [b"ZUNIONSTORE", self.pick(ZSETS), b"2", key, self.pick(ZSETS), b"WEIGHTS", b"0.1", b"3"],
            [b"COPY", key, self.any_key(), b"REPLACE"],
        ])

    def is_decided(self, words):
        return True

    def is_safe(self, words):
        return words[0].upper() == b"SPOP" or super().is_safe(words)


def feed(servers_up, commands):
    """In batches that go round; nothing is lost, nothing sent twice."""
    connections = [server.connect(30) for server in servers_up]
    at = turn = 0
    while at < len(commands):
        connection = connections[turn % len(connections)]
        for reply, _ in connection.pipeline(commands[at:at + 40]):
            assert not resp.is_error(reply, "CLUSTERDOWN") and not resp.is_error(reply, "INDOUBT"), reply
        at, turn = at + 40, turn + 1
    for connection in connections:
        connection.close()


def is_for_all(words):
    """Not the business of one session, which feed changes all the time."""
    return words[0].upper() not in (b"SELECT", b"HELLO", b"RESET", b"AUTH", b"FLUSHALL", b"WATCH", b"MULTI", b"EXEC", b"DISCARD")


def commands_from(generator, count):
    commands = []
    while len(commands) < count:
        commands.append(generator.command())
    return [words for words in commands if is_for_all(words)]


def types_there(server):
    with server.connect() as c:
        return {c.ask("TYPE", key) for key in c.ask("KEYS", "*")}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_however_a_replica_came_to_its_data(make_cluster, seed):
    cluster = make_cluster(3, ["--save", "", "--peer-backlog-size", "1mb"])
    one, two, three = cluster
    generator = Choices(seed)

    def run(count, *up):
        feed(up or cluster, commands_from(generator, count))
        return cluster.wait_equal()

    run(1500)
    assert types_there(one) >= {b"string", b"list", b"set", b"zset", b"hash"}
    assert two.ask("SAVE") == b"OK"
    run(700)
    two.kill()
    run(700, one, three)
    two.start()
    cluster.wait_up()
    run(700)
    three.kill()
    shutil.rmtree(three.folder)
    os.makedirs(three.folder)
    run(300, one, two)
    three.start()
    cluster.wait_up()
    run(700)
    _, digest = cluster.wait_equal()
    for server in cluster:
        assert server.ask("SAVE") == b"OK"
        server.kill()
    for server in cluster:
        server.start(wait=False)
    cluster.wait_up()
    assert cluster.wait_equal()[1] == digest
    run(700)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lone_store_comes_back_from_its_snapshot(make_server, seed):
    server = make_server("--save", "")
    generator = Choices(100 + seed)
    for _ in range(4):
        feed([server], commands_from(generator, 600))
        assert server.ask("SAVE") == b"OK"
        _, digest = server.ask("RABIA", "DIGEST")
        server.kill()
        server.start()
        servers.wait_for(lambda: servers.is_up(server), "the store")
        assert server.ask("RABIA", "DIGEST")[1] == digest
