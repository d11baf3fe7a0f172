"""A cluster grows and shrinks while it serves.

Method: real servers, begun with cluster-members (the first ones) or
cluster-join (who comes later); RABIA ADD, REMOVE, REPLACE and MOVE from a client.
Counting clients on all members; faults at the worst moments.  At the end nothing
acknowledged is lost, digests are equal, and who was removed says so.
"""
import os
import shutil
import threading
import time

import pytest

import servers
from resp import Connection, is_error
from servers import wait_for

LIMIT_S = 30


class Member(servers.Server):
    def __init__(self, number, port, options, folder):
        super().__init__(servers.binary_path(), port, ["--enable-debug-command", "yes", *options],
                         os.path.join(folder, str(number)))
        self.number = number

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def members(self):
        """id -> fields, as this one sees them."""
        found = {}
        for flat in self.ask("RABIA", "MEMBERS"):
            fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
            found[fields["id"]] = fields
        return found

    def state_of(self, number):
        fields = self.members().get(number)
        return fields and fields["state"].decode()

    def voters(self):
        return sorted(number for number, fields in self.members().items() if fields["voice"])

    def state(self):
        flat = self.ask("RABIA", "STATUS")
        return flat[flat.index(b"state") + 1].decode()


class Group:
    def __init__(self, folder, count):
        self.folder, self.servers = folder, {}
        ports = servers.free_ports(count)
        first = " ".join("%d@127.0.0.1:%d" % (i + 1, port) for i, port in enumerate(ports))
        for i, port in enumerate(ports):
            self.make(i + 1, ["--cluster-members", first, "--cluster-self", str(i + 1)], port).start()
        for server in self.servers.values():
            wait_for(lambda: server.state() == "up", "a cluster")

    def make(self, number, options, port=None):
        server = Member(number, port or servers.free_ports(1)[0], options, self.folder)
        self.servers[number] = server
        return server

    def joiner(self, number, via, options=()):
        return self.make(number, ["--cluster-join", self[via].address, "--cluster-self", str(number),
                                  *options]).start()

    def __getitem__(self, number):
        return self.servers[number]

    def wait_voice(self, number, via):
        wait_for(lambda: self[via].state_of(number) == "member" and number in self[via].voters() and
                 self[number].state() == "up", "member %d's voice" % number, LIMIT_S)

    def add(self, number, via, options=()):
        self.joiner(number, via, options)
        self[via].ask_ok("RABIA", "ADD", str(number), self[number].address)
        self.wait_voice(number, via)

    def remove(self, number, via):
        wait_for(lambda: self[via].ask("RABIA", "REMOVE", str(number)) == b"OK", "a removal", LIMIT_S)
        wait_for(lambda: number not in self[via].voters(), "member %d gone" % number, LIMIT_S)

    def wait_equal(self, *numbers):
        def same():
            return len({tuple(self[n].ask("RABIA", "DIGEST")) for n in numbers}) == 1
        wait_for(same, "equal digests of %s" % (numbers,), LIMIT_S)

    def end(self):
        problems = []
        for server in self.servers.values():
            status = server.stop()
            if status not in (0, -9, None):
                problems.append("member %d: exit status %s\n%s" % (server.number, status, server.output(6000)))
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not problems, "\n".join(problems)


def ask_ok(self, *words):
    reply = self.ask(*words)
    assert reply == b"OK", reply


Member.ask_ok = ask_ok


@pytest.fixture
def group(tmp_path):
    made = []

    def make(count):
        made.append(Group(str(tmp_path / ("group%d" % len(made))), count))
        return made[-1]
    yield make
    for one in made:
        one.end()


class Counter(threading.Thread):
    """Counts one key up on one member; errors are kept, unknown outcomes counted."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.key = server, "count:%d" % server.number
        self.acknowledged = self.attempted = 0
        self.longest_s = 0
        self.errors = []
        self.ended = threading.Event()
        self.start()

    def run(self):
        connection = Connection(self.server.port, timeout=20)
        while not self.ended.is_set():
            self.attempted += 1
            began = time.monotonic()
            try:
                reply = connection.ask("INCR", self.key)
            except OSError as error:
                self.errors.append(str(error))
                return
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            if isinstance(reply, int):
                self.acknowledged += 1
            else:
                self.errors.append(reply)
                return
            time.sleep(0.001)

    def finish(self):
        self.ended.set()
        self.join(30)
        assert not self.is_alive()
        return self

    def check(self, server):
        value = int(server.ask("GET", self.key) or 0)
        assert self.acknowledged <= value <= self.attempted, (self.key, self.acknowledged, value, self.attempted)


def refused(server, why, *words):
    with server.connect() as c:
        reply = c.call(*words)
    assert is_error(reply, "ERR") and why.encode() in reply[1], (words, reply)


def test_one_three_five_and_back_under_load(group, say):
    g = group(1)
    counters = {1: Counter(g[1])}
    for number in (2, 3, 4, 5):
        g.add(number, via=1)
        counters[number] = Counter(g[number])
    assert g[5].voters() == [1, 2, 3, 4, 5]
    time.sleep(0.5)
    gone = []
    for number in (1, 3):  # the first member too
        g.remove(number, via=5)
        gone.append(counters.pop(number).finish())
        wait_for(lambda: g[number].state() == "removed", "member %d to know" % number, LIMIT_S)
        with g[number].connect() as c:
            for words in (("GET", "x"), ("SET", "x", "1")):
                assert is_error(c.call(*words), "REMOVED this replica (member %d)" % number)
    time.sleep(0.5)
    for counter in counters.values():
        counter.finish()
        assert not counter.errors, counter.errors
        counter.check(g[5])
    for counter in gone:
        assert len(counter.errors) <= 1
        counter.check(g[5])
    say("longest answer on members that stayed %.0f ms" % (1000 * max(c.longest_s for c in counters.values())))
    g.wait_equal(2, 4, 5)
    assert g[2].voters() == [2, 4, 5]
    g.remove(2, via=5)
    g.remove(4, via=5)
    g[5].ask_ok("SET", "last", "one")
    assert g[5].voters() == [5]
    refused(g[5], "the last member", "RABIA", "REMOVE", "5")


def test_restart_of_all_after_changes(group):
    g = group(1)
    g.add(2, via=1)
    g.add(3, via=2)
    g.remove(1, via=3)
    g.add(4, via=3)
    g[4].ask_ok("SET", "k", "v")
    for number in (2, 3, 4, 1):
        g[number].stop()
    for number in (2, 3, 4, 1):
        g[number].start()
    for number in (2, 3, 4):
        wait_for(lambda: g[number].state() == "up", "member %d" % number, LIMIT_S)
        assert g[number].ask("GET", "k") == b"v"
        assert g[number].voters() == [2, 3, 4]
    wait_for(lambda: g[1].state() == "removed", "member 1 to know it again", LIMIT_S)
    g.wait_equal(2, 3, 4)
    for number in (2, 3, 4):
        g[number].kill()
    for number in (2, 3, 4):
        g[number].start()
    for number in (2, 3, 4):
        wait_for(lambda: g[number].ask("GET", "k") == b"v", "member %d" % number, LIMIT_S)


def test_replace_of_a_dead_member(group):
    g = group(3)
    g[1].ask_ok("SET", "k", "v")
    g[2].kill()
    g.joiner(4, via=3)
    g[3].ask_ok("RABIA", "REPLACE", "2", "4", g[4].address)
    g.wait_voice(4, via=1)
    wait_for(lambda: g[1].voters() == [1, 3, 4], "the change", LIMIT_S)
    assert g[1].state_of(2) == "removed"
    assert g[4].ask("GET", "k") == b"v"
    g[3].pause()  # 1 and 4 are a quorum
    g[4].ask_ok("SET", "k", "w")
    g[3].proceed()
    # The dead one was not told; when it comes back it is.
    g[2].start()
    wait_for(lambda: g[2].state() == "removed", "member 2 to know", LIMIT_S)
    g.wait_equal(1, 3, 4)


def test_refusals(group, make_server):
    g = group(3)
    refused(g[1], "3 is a member already", "RABIA", "ADD", "3", "127.0.0.1:1")
    refused(g[1], "the address of 2", "RABIA", "ADD", "4", g[2].address)
    refused(g[1], "host:port", "RABIA", "ADD", "4", "nowhere")
    refused(g[1], "from 1 to 65535", "RABIA", "ADD", "x", "127.0.0.1:1")
    refused(g[1], "7 is no member", "RABIA", "REMOVE", "7")
    refused(g[1], "gives a learner its voice", "RABIA", "VOICE", "3")
    g[3].kill()
    wait_for(lambda: not g[1].members()[3]["heard"], "silence", LIMIT_S)
    refused(g[1], "without 2 the quorum would be lost: of the other 2 members 1 are heard of, need 2",
            "RABIA", "REMOVE", "2")
    g.remove(3, via=1)
    refused(g[1], "never used again", "RABIA", "ADD", "3", "127.0.0.1:1")
    refused(g[1], "was removed from this cluster already", "RABIA", "REMOVE", "3")
    refused(make_server(), "no place in a cluster", "RABIA", "ADD", "2", "127.0.0.1:1")
    refused(make_server("--appendonly", "yes"), "no place in a cluster", "RABIA", "ADD", "2", "127.0.0.1:1")


def test_one_change_at_a_time(group):
    """Two removals in one batch: the second finds the first under way."""
    g = group(5)
    with g[1].connect() as c:
        replies = [reply for reply, _ in c.pipeline([("RABIA", "REMOVE", "5"), ("RABIA", "REMOVE", "4")])]
    assert replies[0] == ("+", b"OK")
    assert is_error(replies[1], "ERR a change of the members is under way")
    wait_for(lambda: g[1].voters() == [1, 2, 3, 4], "the change", LIMIT_S)


def test_address_change(group):
    g = group(3)
    g[1].ask_ok("SET", "k", "v")
    g[3].stop()
    g[3].port = servers.free_ports(1)[0]
    g[3].start(wait=False)
    g[1].ask_ok("RABIA", "MOVE", "3", g[3].address)
    g[1].kill()
    wait_for(lambda: g[3].ask("GET", "k") == b"v", "member 3 at its new place", LIMIT_S)
    g[1].start()
    g.wait_equal(1, 2, 3)
    assert g[1].members()[3]["address"].decode() == g[3].address


@pytest.mark.parametrize("victim", ["proposer", "learner", "other"])
def test_killed_during_a_change(group, victim):
    g = group(3)
    for i in range(200):
        g[1].ask_ok("SET", "key:%d" % i, "v" * 1000)
    g.joiner(4, via=1)
    g[1].ask_ok("RABIA", "ADD", "4", g[4].address)
    number = {"proposer": 1, "learner": 4, "other": 2}[victim]
    time.sleep(0.15)
    g[number].kill()
    time.sleep(0.5)
    g[number].start()
    g.wait_voice(4, via=3)
    wait_for(lambda: all(g[n].state() == "up" for n in (1, 2, 3, 4)), "all", LIMIT_S)
    g[number].ask_ok("SET", "after", "all")
    g.wait_equal(1, 2, 3, 4)
    assert g[4].ask("GET", "key:199") == b"v" * 1000


def test_wiped_member_of_a_changed_cluster(group):
    """Its cluster-members are those of the beginning; the list in force is another."""
    g = group(3)
    g.add(4, via=1)
    g.add(5, via=1)
    g.remove(1, via=4)
    g[4].ask_ok("SET", "k", "v")
    g[2].kill()
    shutil.rmtree(g[2].folder)
    os.makedirs(g[2].folder)
    g[2].start()
    wait_for(lambda: g[2].ask("GET", "k") == b"v", "member 2 back", LIMIT_S)
    assert g[2].voters() == [2, 3, 4, 5]
    g.wait_equal(2, 3, 4, 5)


def wipe(server):
    server.kill()
    shutil.rmtree(server.folder)
    os.makedirs(server.folder)


def waits_for(server):
    flat = server.ask("RABIA", "STATUS")
    return flat[flat.index(b"waiting-for") + 1].decode()


def join_instead(server, via):
    """What the operator is told to do."""
    at = server.options.index("--cluster-members")
    server.options[at:at + 2] = ["--cluster-join", via.address]
    server.kill()
    server.start()


@pytest.mark.parametrize("first, added", [(3, (4, 5)), (1, (2, 3))])
def test_no_new_cluster_beside_living_data(group, first, added):
    """The members of the beginning lose their disks and know the list of the beginning alone: they
    begin nothing beside those that still have the data, and say why."""
    g = group(first)
    for number in added:
        g.add(number, via=1)
    g[added[0]].ask_ok("SET", "k", "v")
    wiped = [g[number] for number in range(1, first + 1)]
    for server in wiped:
        wipe(server)
    for server in wiped:
        server.start()
    for server in wiped:
        wait_for(lambda: "no new one is begun beside it" in waits_for(server), "the reason", LIMIT_S)
    assert [server.state() for server in wiped] == ["forming"] * first
    for server in wiped:
        join_instead(server, g[added[0]])
    for server in g.servers.values():
        wait_for(lambda: server.state() == "up" and server.ask("GET", "k") == b"v", "all with the data", LIMIT_S)
    g.wait_equal(*g.servers)
