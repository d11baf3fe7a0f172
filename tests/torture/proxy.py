"""The network between replicas: a process that stands in front of each and
holds up, delays or breaks what they say to each other.

    proxy.py LISTEN:TARGET:ID ...      orders come as lines of JSON on stdin

Peers dial LISTEN (what cluster-members says), the server with that ID listens on
TARGET.  Who dials is read from its RABIA LINK or RABIA ROSTER; from then on every
direction of the connection is the way from one member to another.  An order names ways:

    {"ways": [[1, 2], ...], "mode": {"hold": true}}         nothing passes; TCP would go on trying
    {"ways": ..., "mode": {"delay": 0.02, "jitter": 0.05}}  seconds
    {"ways": ..., "mode": {"loss": 0.1}}                    a chunk in ten comes a retransmission late
    {"ways": ..., "mode": {}}                               as it should be
    {"reset": [[1, 2], ...]}                                connections between these end at once
    {"seed": 7}                                             of its chances

Each order is answered with a line.  A connection dialled while its way is held
is taken (a listener's kernel would) and then nothing happens.
"""
import collections
import contextlib
import heapq
import json
import os
import random
import re
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "support")]

import servers  # noqa: E402
import wire  # noqa: E402

IDS = 9  # as many as a cluster ever has; see replica/roster.h
RETRANSMISSION_S = 0.2
CHUNK = 65536
QUEUED_MAX = 4 << 20
# Who dials says who it is: RABIA LINK version cluster seed id, RABIA ROSTER version cluster id.
WORD = rb"\$\d+\r\n[^\r]*\r\n"
HELLO = re.compile(rb"(?:LINK\r\n" + WORD * 3 + rb"|ROSTER\r\n" + WORD * 2 + rb")\$\d+\r\n(\d+)\r\n")


class Side:
    """One socket of a connection; what it sends goes to other.queue."""

    def __init__(self, sock, pair):
        self.socket, self.pair = sock, pair
        self.queue = collections.deque()  # (due, bytes) to be written to this socket
        self.queued = 0
        self.way = None  # of what is written here
        self.last_due = 0.0
        self.timer = None  # when the proxy looks here again
        self.events = 0
        self.is_blocked = False


class Proxy:
    def __init__(self, routes):
        self.selector = selectors.DefaultSelector()
        self.modes = {}
        self.pairs = set()
        self.timers, self.timer_count = [], 0
        self.random = random.Random(1)
        for listen, target, number in routes:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", listen))
            sock.listen(64)
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ, ("accept", sock, target, number))
        os.set_blocking(0, False)
        self.orders = b""
        self.selector.register(0, selectors.EVENT_READ, ("orders",))

    # --- orders -----------------------------------------------------------------

    def take_orders(self):
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            return
        if not data:
            sys.exit(0)
        self.orders += data
        while b"\n" in self.orders:
            line, _, self.orders = self.orders.partition(b"\n")
            order = json.loads(line)
            if "seed" in order:
                self.random.seed(order["seed"])
            for way in order.get("ways", []):
                self.modes[tuple(way)] = order["mode"]
            for way in order.get("reset", []):
                for pair in list(self.pairs):
                    if pair.members and set(pair.members) == set(way):
                        self.drop(pair, is_reset=True)
            for pair in list(self.pairs):
                self.refresh(pair)
            os.write(1, b"done\n")

    # --- connections --------------------------------------------------------------

    def accept(self, sock, target, number):
        try:
            near, _ = sock.accept()
        except OSError:
            return
        pair = Pair(target, number)
        pair.near = Side(near, pair)
        near.setblocking(False)
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs.add(pair)
        self.watch(pair.near)

    def mode(self, way):
        return self.modes.get(way) or {}

    def is_held(self, way):
        return bool(self.mode(way).get("hold"))

    def dial(self, pair):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(("127.0.0.1", pair.target))
        except OSError:
            sock.close()
            self.drop(pair)
            return
        sock.setblocking(False)
        pair.far = Side(sock, pair)
        dialer, member = pair.members
        pair.far.way, pair.near.way = (dialer, member), (member, dialer)
        self.put(pair.far, pair.hello)
        self.watch(pair.far)

    def drop(self, pair, is_reset=False):
        self.pairs.discard(pair)
        for side in (pair.near, pair.far):
            if side is None:
                continue
            if side.events:
                self.selector.unregister(side.socket)
                side.events = 0
            if is_reset:
                side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.socket.close()
        pair.is_gone = True

    def refresh(self, pair):
        if pair.is_gone:
            return
        if pair.members and pair.far is None and not self.is_held(pair.members):
            self.dial(pair)
        for side in (pair.near, pair.far):
            if side and not pair.is_gone:
                self.write(side)

    def put(self, side, data):
        mode, now = self.mode(side.way), time.monotonic()
        due = now + mode.get("delay", 0) + self.random.random() * mode.get("jitter", 0)
        if self.random.random() < mode.get("loss", 0):
            due += RETRANSMISSION_S
        side.last_due = max(side.last_due, due)
        side.queue.append((side.last_due, data))
        side.queued += len(data)
        self.write(side)

    def write(self, side):
        now, is_blocked = time.monotonic(), False
        if side.way is None or not self.is_held(side.way):
            while side.queue and not is_blocked and side.queue[0][0] <= now:
                due, data = side.queue[0]
                try:
                    sent = side.socket.send(data)
                except BlockingIOError:
                    is_blocked, sent = True, 0
                except OSError:
                    self.drop(side.pair)
                    return
                side.queued -= sent
                if sent == len(data):
                    side.queue.popleft()
                else:
                    side.queue[0] = (due, data[sent:])
            if side.queue and not is_blocked:
                due = side.queue[0][0]
                if side.timer is None or due < side.timer:
                    side.timer = due
                    self.timer_count += 1
                    heapq.heappush(self.timers, (due, self.timer_count, side))
        side.is_blocked = is_blocked
        self.watch(side)
        other = side.pair.far if side is side.pair.near else side.pair.near
        if other:
            self.watch(other)

    def watch(self, side):
        """Reads while what it says still finds room, writes when it was blocked."""
        if side.pair.is_gone:
            return
        other = side.pair.far if side is side.pair.near else side.pair.near
        may_read = side.pair.far is None and not side.pair.members or \
            other is not None and other.queued < QUEUED_MAX and not self.is_held(other.way)
        events = (selectors.EVENT_READ if may_read else 0) | (
            selectors.EVENT_WRITE if side.is_blocked else 0)
        if events == side.events:
            return
        if not events:
            self.selector.unregister(side.socket)
        elif side.events:
            self.selector.modify(side.socket, events, ("side", side))
        else:
            self.selector.register(side.socket, events, ("side", side))
        side.events = events

    def read(self, side):
        pair = side.pair
        try:
            data = side.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(pair)
        elif pair.far is None:
            pair.hello += data
            found = HELLO.search(pair.hello)
            if found:
                pair.members = (int(found[1]), pair.number)
                self.watch(side)
                if not self.is_held(pair.members):
                    self.dial(pair)
        else:
            self.put(pair.far if side is pair.near else pair.near, data)

    def run(self):
        while True:
            wait = None
            if self.timers:
                wait = max(0.0, self.timers[0][0] - time.monotonic())
            for key, events in self.selector.select(wait):
                kind = key.data[0]
                if kind == "accept":
                    self.accept(*key.data[1:])
                elif kind == "orders":
                    self.take_orders()
                else:
                    side = key.data[1]
                    if events & selectors.EVENT_WRITE and not side.pair.is_gone:
                        self.write(side)
                    if events & selectors.EVENT_READ and not side.pair.is_gone:
                        self.read(side)
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                side = heapq.heappop(self.timers)[2]
                side.timer = None
                if not side.pair.is_gone:
                    self.write(side)


class Pair:
    def __init__(self, target, number):
        self.target, self.number = target, number
        self.near = self.far = self.members = None
        self.hello = b""
        self.is_gone = False


class Network(wire.Wire):
    """The proxy's owner; the same calls as namespaces.Network."""
    name = "proxy"
    has_packets = False  # what is late or lost is whole chunks, in order

    def __init__(self, numbers, seed=1):
        self.ids = list(numbers)
        ports = servers.free_ports(2 * IDS)
        self.listens = dict(zip(range(1, IDS + 1), ports))
        self.targets = dict(zip(range(1, IDS + 1), ports[IDS:]))
        self.counts = {}
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__)] +
            ["%d:%d:%d" % (self.listens[number], self.targets[number], number) for number in self.listens],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lock = threading.Lock()
        self.order({"seed": seed})

    def add(self, number):
        if number not in self.ids:
            self.ids.append(number)

    def address(self, number):
        return "127.0.0.1:%d" % self.listens[number]

    def port(self, number):
        return self.targets[number]

    def bind(self, number):
        return "127.0.0.1"

    def inside(self, number):
        return contextlib.nullcontext()

    def enter(self, number):
        pass

    def order(self, order):
        with self.lock:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == b"done\n", "the proxy is gone"

    def set(self, ways, **mode):
        self.order({"ways": [list(way) for way in ways], "mode": mode})

    def reset(self, pairs):
        self.order({"reset": [list(pair) for pair in pairs]})

    def unplug(self, number):
        self.isolate(number)  # there is no cable

    def heal(self):
        self.set(self.ways())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


if __name__ == "__main__":
    Proxy([tuple(map(int, word.split(":"))) for word in sys.argv[1:]]).run()
