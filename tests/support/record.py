"""Clients that record what they do, for the linearizability checker, and when
they were last served, for the length of pauses.

A client thread works on one replica.  Keys change generation every half second,
so that operations of unknown outcome stay few for each key.
"""
import random
import threading
import time

import resp
from linear import UNKNOWN, Operation

GENERATION_S = 0.5
KEYS = 6
# Replies that promise that nothing happened.
REFUSALS = (b"CLUSTERDOWN", b"LOADING", b"NOAUTH", b"OOM", b"ERR max number of clients")


class Recorder(threading.Thread):
    def __init__(self, number, server, began, think_s=0.001, timeout_s=2.0, seed=0):
        super().__init__(daemon=True)
        self.name = "c%d@%d" % (number, server.port)
        self.server, self.began, self.think_s, self.timeout_s = server, began, think_s, timeout_s
        self.random = random.Random("%d %d" % (seed, number))
        self.operations, self.served = [], []  # served: moments of answers
        self.refused = self.unknown = 0
        self.unexpected = []
        self.ended = threading.Event()
        self.count = 0

    def finish(self):
        self.ended.set()
        self.join(30)
        assert not self.is_alive(), self.name

    def choose(self):
        self.count += 1
        generation = int((time.monotonic() - self.began) / GENERATION_S)
        kind = self.random.choice("rrrca")
        key = "%s:%d:%d" % (kind, generation, self.random.randrange(KEYS))
        unique = ("%s/%d," % (self.name, self.count)).encode()
        if kind == "r":
            words = self.random.choice([("get",), ("get",), ("set", unique), ("set", unique), ("getset", unique),
                                        ("del",)])
        elif kind == "c":
            words = self.random.choice([("get",), ("incr",), ("incr",)])
        else:
            words = self.random.choice([("get",), ("append", unique)])
        return key, words

    def run(self):
        connection = None
        while not self.ended.is_set():
            if connection is None:
                try:
                    connection = self.server.connect(self.timeout_s)
                except OSError:
                    self.ended.wait(0.02)
                    continue
            if not self.one(connection):
                connection.close()
                connection = None
            if self.think_s:
                time.sleep(self.think_s)
        if connection:
            connection.close()

    def one(self, connection):
        """One operation; False when the connection is of no more use."""
        key, words = self.choose()
        invoked = time.monotonic()
        try:
            reply = connection.call(words[0].upper(), key, *words[1:])
        except (OSError, resp.Malformed) as error:
            if isinstance(error, resp.Malformed):
                self.unexpected.append(repr(error))
            self.note(key, words, UNKNOWN, invoked, None)
            return False
        returned = time.monotonic()
        if reply[0] == "-":
            if reply[1].startswith(b"INDOUBT"):
                self.note(key, words, UNKNOWN, invoked, None)
            elif reply[1].startswith(REFUSALS):
                self.refused += 1
            else:
                self.unexpected.append("%s %s: %s" % (words, key, reply[1]))
            return True
        self.served.append(returned)
        self.note(key, words, resp.plain(reply), invoked, returned)
        return True

    def note(self, key, words, result, invoked, returned):
        self.unknown += result is UNKNOWN
        self.operations.append(Operation(self.name, key, words, result, invoked, returned))

    def longest_pause(self, start, end):
        """Seconds without an answer, at most, for gaps that touch [start, end]; what
        lies after end is another event's."""
        longest, last = 0.0, start
        for moment in self.served:
            if moment >= start and last <= end:
                longest = max(longest, min(moment, end) - last)
            last = moment
        if last < end:
            longest = max(longest, end - last)
        return longest


class Recording:
    """Some recorders on every server."""

    def __init__(self, servers, clients_each=3, think_s=0.001, timeout_s=2.0, seed=0):
        self.began = time.monotonic()
        self.recorders = []
        for server in servers:
            for _ in range(clients_each):
                self.recorders.append(Recorder(len(self.recorders), server, self.began, think_s, timeout_s, seed))

    def start(self):
        for recorder in self.recorders:
            recorder.start()
        return self

    def finish(self):
        for recorder in self.recorders:
            recorder.ended.set()
        for recorder in self.recorders:
            recorder.finish()
        unexpected = [text for recorder in self.recorders for text in recorder.unexpected]
        assert not unexpected, unexpected[:5]

    def of(self, server):
        return [recorder for recorder in self.recorders if recorder.server is server]

    def operations(self):
        return [operation for recorder in self.recorders for operation in recorder.operations]

    def pause(self, servers, start, end):
        """Longest pause any client of these servers saw."""
        return max(recorder.longest_pause(start, end) for server in servers for recorder in self.of(server))

    def summary(self):
        operations = self.operations()
        return "%d operations, %d unknown, %d refused" % (
            len(operations), sum(r.unknown for r in self.recorders), sum(r.refused for r in self.recorders))
