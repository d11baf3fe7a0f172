"""Clients that record every operation with its outcome, and when they were
served.  A client stays with one replica, until that is removed from the cluster;
it reconnects and goes on."""
import bisect
import random
import threading
import time

import resp
from history import UNKNOWN, Operation

GENERATION_S = 0.5
OBJECTS = 4
# Replies that promise that nothing happened and nothing will.
REFUSALS = (b"CLUSTERDOWN", b"LOADING", b"MISCONF", b"OOM", b"DIVERGED", b"ERR max number of clients", b"NOREPLICAS",
            b"REMOVED", b"EXECABORT Transaction discarded because of: ")


class Client(threading.Thread):
    def __init__(self, number, server, member, began, rng, think_s, timeout_s):
        super().__init__(daemon=True)
        self.name, self.server, self.member = "c%d@%d" % (number, member), server, member
        self.list_key = "list:%d" % number
        self.began, self.random, self.think_s, self.timeout_s = began, rng, think_s, timeout_s
        self.operations, self.served, self.sent = [], [], []
        self.acknowledged_at = {}  # token: (when sent, when answered)
        self.counts = {"ok": 0, "failed": 0, "unknown": 0}
        self.unexpected, self.refusals = [], {}
        self.ended = threading.Event()
        self.number = 0

    def choose(self):
        self.number += 1
        generation = int((time.monotonic() - self.began) / GENERATION_S)
        kind = self.random.choice("rrrcam")
        name = "%s:%d:%d" % (kind, generation, self.random.randrange(OBJECTS))
        unique = b"%d.%d" % (int(self.list_key[5:]), self.number)
        if kind == "r":
            verb = self.random.choice(["get", "get", "set", "set", "getset", "del", "setnx", "setxx"])
            words = (verb,) if verb in ("get", "del") else (verb, unique)
        elif kind == "c":
            words = self.random.choice([("get",), ("incr",), ("incr",)])
        elif kind == "a":
            words = self.random.choice([("get",), ("append", unique + b",")])
        elif self.random.random() < 0.5:
            words = ("mget",)
        else:
            places = self.random.sample(range(3), self.random.choice([1, 2, 3, 3]))
            words = ("mset", tuple((place, unique) for place in sorted(places)))
        return name, words

    def run(self):
        connection = server = None
        while not self.ended.is_set():
            if server is not self.server and connection:
                connection.close()
                connection = None
            try:
                if connection is None:
                    server = self.server
                    connection = server.connect(self.timeout_s)
            except OSError:
                self.ended.wait(0.03)
                continue
            if not self.one(connection):
                connection.close()
                connection = None
            if self.think_s:
                time.sleep(self.think_s * 2 * self.random.random())
        if connection:
            connection.close()

    def call(self, connection, words):
        """(outcome, plain reply, whether the connection is still of use)."""
        try:
            reply = connection.call(*words)
        except resp.Malformed as error:
            self.unexpected.append(repr(error))
            return "unknown", None, False
        except OSError:
            return "unknown", None, False
        if reply[0] != "-":
            return "ok", resp.plain(reply), True
        code = reply[1].split()[0]
        self.refusals[code] = self.refusals.get(code, 0) + 1
        if code == b"INDOUBT":
            return "unknown", None, True
        if not reply[1].startswith(REFUSALS):
            self.unexpected.append("%s: %s" % (words, reply[1]))
            return "unknown", None, True
        # Nothing is served here for now: do not turn in circles.
        self.ended.wait(0.01)
        return "failed", None, True

    def one(self, connection):
        if self.random.random() < 0.15:
            return self.append_to_list(connection)
        name, words = self.choose()
        invoked = time.monotonic()
        outcome, reply, is_usable = self.call(connection, command(name, words))
        returned = time.monotonic()
        self.counts[outcome] += 1
        if outcome == "ok":
            self.served.append(returned)
            self.operations.append(Operation(self.name, name, words, reply, invoked, returned))
        elif outcome == "unknown":
            self.operations.append(Operation(self.name, name, words, UNKNOWN, invoked, None))
        return is_usable

    def append_to_list(self, connection):
        self.number += 1
        token = "%d" % self.number
        invoked = time.monotonic()
        outcome, _, is_usable = self.call(connection, ["APPEND", self.list_key, token + ","])
        now = time.monotonic()
        self.counts[outcome] += 1
        self.sent.append((token, outcome))
        if outcome == "ok":
            self.served.append(now)
            self.acknowledged_at[token] = (invoked, now)
        return is_usable

    def longest_pause(self, start, end):
        """Seconds without an answer between start and end."""
        longest, last = 0.0, start
        for moment in self.served[bisect.bisect_left(self.served, start):]:
            if moment > end:
                break
            if moment > last:
                longest = max(longest, moment - last)
                last = moment
        return max(longest, end - last)


class Ballast(threading.Thread):
    """Fills journals, backlogs and snapshots; nothing is recorded."""

    def __init__(self, server, rng, size):
        super().__init__(daemon=True)
        self.server, self.random, self.size = server, rng, size
        self.ended = threading.Event()

    def run(self):
        connection = server = None
        while not self.ended.is_set():
            if server is not self.server and connection:
                connection.close()
                connection = None
            try:
                server = self.server
                connection = connection or server.connect(3)
                commands = [["SET", "ballast:%d" % self.random.randrange(max(50, 10 ** 7 // self.size // 3)),
                             self.random.randbytes(self.size // 2).hex()] for _ in range(max(1, 20000 // self.size))]
                connection.pipeline(commands)
            except (OSError, resp.Malformed):
                if connection:
                    connection.close()
                connection = None
            self.ended.wait(0.03)


def command(name, words):
    verb = words[0]
    if verb == "get":
        return ["GET", name]
    if verb == "set":
        return ["SET", name, words[1]]
    if verb == "getset":
        return ["SET", name, words[1], "GET"]
    if verb == "setnx":
        return ["SET", name, words[1], "NX", "GET"]
    if verb == "setxx":
        return ["SET", name, words[1], "XX", "GET"]
    if verb == "mget":
        return ["MGET"] + ["%s/%d" % (name, i) for i in range(3)]
    if verb == "mset":
        return ["MSET"] + [word for index, value in words[1] for word in ("%s/%d" % (name, index), value)]
    return [verb.upper(), name, *words[1:]]


class Clients:
    """each: how many a replica has; also: classes of clients of which it has one more each."""

    def __init__(self, cluster, each, seed, think_s=0.004, timeout_s=3.0, ballast_bytes=0, also=()):
        self.began, self.seed = time.monotonic(), seed
        self.kinds = [Client] * each + list(also)
        self.think_s, self.timeout_s = think_s, timeout_s
        self.all, self.threads = [], []
        for replica in cluster:
            self.make(replica)
        if ballast_bytes:
            self.threads += [Ballast(replica, random.Random("%s ballast" % seed), ballast_bytes) for replica in cluster]

    def make(self, replica):
        made = []
        for kind in self.kinds:
            number = len(self.all)
            rng = random.Random("%s client %d" % (self.seed, number))
            made.append(kind(number, replica, replica.number, self.began, rng, self.think_s, self.timeout_s))
            self.all.append(made[-1])
        self.threads += made
        return made

    def come(self, replica):
        """A new replica has clients from now on."""
        for client in self.make(replica):
            client.start()

    def move(self, number, replica):
        """Those of a replica that was removed go to another."""
        for client in self.of([number]):
            client.server, client.member = replica, replica.number
        for thread in self.threads:
            if isinstance(thread, Ballast) and thread.server.number == number:
                thread.server = replica

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def end(self):
        for thread in self.threads:
            thread.ended.set()

    def finish(self):
        self.end()
        for client in self.threads:
            client.join(30)
            assert not client.is_alive(), "client %s hangs" % client.name

    def of(self, members):
        return [client for client in self.all if client.member in members]

    def pauses(self, members, start, end):
        return [client.longest_pause(start, end) for client in self.of(members)]

    def operations(self):
        return [operation for client in self.all for operation in client.operations]

    def unexpected(self):
        return [text for client in self.all for text in client.unexpected]

    def objects(self):
        return sorted({operation.key for operation in self.operations()})

    def counts(self):
        return {kind: sum(client.counts[kind] for client in self.all) for kind in ("ok", "failed", "unknown")}

    def refusals(self):
        total = {}
        for client in self.all:
            for code, count in client.refusals.items():
                total[code.decode()] = total.get(code.decode(), 0) + count
        return total

    def read_all(self, connection):
        """Every object and list once more: operations, and {list: text}."""
        operations, names = [], self.objects()
        verbs = [("mget",) if name[0] == "m" else ("get",) for name in names]
        for start in range(0, len(names), 500):
            part = slice(start, start + 500)
            invoked = time.monotonic()
            replies = connection.pipeline([command(name, words) for name, words in zip(names[part], verbs[part])])
            returned = time.monotonic()
            for name, words, (reply, _) in zip(names[part], verbs[part], replies):
                assert reply[0] != "-", (name, reply)
                operations.append(Operation("the end", name, words, resp.plain(reply), invoked, returned))
        lists = {client: connection.ask("GET", client.list_key) or b"" for client in self.all}
        return operations, lists
