"""Broken input, slow and greedy clients: the server neither crashes nor wedges
nor grows past its bounds.  Also run with the sanitized build."""
import os
import random
import socket
import time

import pytest

import resp
import servers
from resp import Connection, encode

pytestmark = pytest.mark.robustness
SEED = int(os.environ.get("SEED", "1"))
# Sanitizers keep freed memory for a while.
SLACK = 600 << 20 if "asan" in servers.binary() else 40 << 20


def is_well(server):
    server.check_alive()
    return server.ask("PING", timeout=20) == b"PONG"


COMMANDS = [encode(words) for words in (
    ["SET", "k", "v"], ["GET", "k"], ["MSET", "a", "1", "b", "2"], ["BITFIELD", "b", "SET", "u8", "0", "1"],
    ["SETRANGE", "r", "10", "x"], ["EXPIRE", "k", "100"], ["SCAN", "0"], ["CLIENT", "LIST"], ["COMMAND"], ["INFO"],
    ["HELLO", "3"], ["LCS", "a", "b", "IDX"], ["COPY", "a", "b"], ["OBJECT", "ENCODING", "a"], ["CONFIG", "GET", "*"],
    ["RABIA", "STATUS"], ["RABIA", "HELP"], ["RABIA", "PEERS"])] + [b"PING\r\n", b"SET k 'v'\r\n"]


def mutated(chance):
    """Some commands with bytes changed, lost, repeated or cut."""
    data = bytearray(b"".join(chance.choice(COMMANDS) for _ in range(chance.randint(1, 6))))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data)) if data else 0
        dice = chance.randrange(6)
        if dice == 0:
            data[at:at + 1] = bytes([chance.randrange(256)])
        elif dice == 1:
            del data[at:at + chance.randint(1, 8)]
        elif dice == 2:
            data[at:at] = data[at:at + chance.randint(1, 20)]
        elif dice == 3:
            data[at:at] = chance.choice([b"\r\n", b"$-1\r\n", b"*1000000\r\n", b"$536870912\r\n", b"*0\r\n", b"-1", b"9" * 25,
                                         b"\x00", b'"'])
        elif dice == 4:
            del data[at:]
        else:
            data[at:at + 1] = chance.choice([b"*", b"$", b"1", b"9", b"-", b"\n", b"\r"])
    return bytes(data)


def attack(server, chance, rounds):
    for _ in range(rounds):
        with server.connect() as c:
            data = mutated(chance) if chance.random() < 0.8 else chance.randbytes(chance.randint(1, 3000))
            if b"shutdown" in data.lower() or b"debug" in data.lower():
                continue
            try:
                at = 0
                while at < len(data):
                    size = chance.choice([1, 3, 100, 10000])
                    c.send_raw(data[at:at + size])
                    at += size
                c.socket.settimeout(0.001)
                c.fill()
            except OSError:
                pass


def test_broken_input(make_server):
    server = make_server()
    chance = random.Random(SEED)
    for _ in range(10):
        attack(server, chance, 60)
        assert is_well(server)


def test_broken_input_to_a_cluster(make_cluster):
    """Rubbish on the port that peers use too, also after a peer's greeting."""
    cluster = make_cluster(3)
    chance = random.Random(SEED)
    for server in cluster:
        attack(server, chance, 120)
        for start in (encode(["RABIA", "PEER"]), encode(["RABIA", "LINK", "1"]), encode(["AUTH", "x"])):
            with server.connect() as c:
                try:
                    c.send_raw(start + chance.randbytes(2000))
                    c.socket.settimeout(0.01)
                    c.fill()
                except OSError:
                    pass
        assert is_well(server)
    cluster.wait_up()
    cluster.wait_equal()


@pytest.mark.parametrize("data", [
    b"*1048576\r\n" + b"$1\r\nx\r\n" * 1000, b"*2\r\n$536870912\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870911\r\nabc",
    b"*1\r\n$512000000\r\n" + b"x" * 1000, b"*" + b"9" * 1000, b"A" * 60000], ids=range(6))
def test_promised_lengths_cost_nothing(make_server, data):
    """A hundred clients announce much and send little."""
    server = make_server()
    before = server.resident_bytes()
    clients = []
    for _ in range(100):
        c = server.connect()
        try:
            c.send_raw(data)
        except OSError:
            pass
        clients.append(c)
    assert is_well(server)
    assert server.resident_bytes() - before < SLACK
    for c in clients:
        c.close()
    assert is_well(server)


def test_slow_senders_hold_nobody_up(make_server):
    server = make_server()
    slow = [server.connect() for _ in range(100)]
    data = encode(["SET", "slow", "x" * 50])
    worst = 0.0
    with server.connect() as quick:
        for at in range(len(data)):
            for c in slow:
                c.send_raw(data[at:at + 1])
            start = time.monotonic()
            assert quick.ask("PING") == b"PONG"
            worst = max(worst, time.monotonic() - start)
    assert worst < 10
    for c in slow:
        assert c.read() == ("+", b"OK")
        c.close()


def test_slow_reader_is_cut_off(make_server):
    """A client that asks and does not read meets client-output-buffer-limit."""
    server = make_server("--client-output-buffer-limit", "normal 8mb 4mb 1")
    with server.connect() as c:
        c.ask("SET", "big", "x" * 1000000)
        before = server.resident_bytes()
        try:
            for _ in range(2000):
                c.send("GET", "big")
        except OSError:
            pass
        # The server takes no notice of us for a moment; then it has closed.
        servers.wait_for(lambda: b"cmd=get" not in server.ask("CLIENT", "LIST"), "the slow reader to be gone")
        assert server.resident_bytes() - before < SLACK + (64 << 20)
    assert is_well(server)


def test_slow_readers_in_a_cluster_keep_memory_bounded(make_cluster):
    cluster = make_cluster(3, ["--client-output-buffer-limit", "normal 4mb 0 0"])
    server = cluster[1]
    server.ask("SET", "big", "x" * 500000)
    before = server.resident_bytes()
    readers = [server.connect() for _ in range(20)]
    for c in readers:
        try:
            for _ in range(100):
                c.send("GET", "big")
        except OSError:
            pass
    assert is_well(server)
    assert server.resident_bytes() - before < SLACK + (160 << 20)
    for c in readers:
        c.close()
    cluster.wait_up()


def test_maxclients(make_server):
    server = make_server("--maxclients", "20")
    clients = []
    refused = 0
    for _ in range(40):
        c = server.connect()
        try:
            reply = c.call("PING")
        except OSError:
            reply = ("-", b"ERR max number of clients reached")
        if reply[0] == "-":
            assert reply[1] == b"ERR max number of clients reached"
            refused += 1
            c.close()
        else:
            clients.append(c)
    assert len(clients) == 20 and refused == 20
    clients.pop().close()
    servers.wait_for(lambda: can_ping(server), "a free place")
    for c in clients:
        assert c.ask("PING") == b"PONG"
        c.close()


def can_ping(server):
    try:
        return server.ask("PING") == b"PONG"
    except OSError:
        return False


def test_idle_clients_are_closed(make_server):
    server = make_server("--timeout", "1")
    with server.connect(timeout=30) as c:
        assert c.ask("PING") == b"PONG"
        assert c.read_until_closed(30) == b""
    assert is_well(server)


def test_many_connections_come_and_go(make_server):
    server = make_server()
    before = None
    for turn in range(6):
        clients = [server.connect() for _ in range(300)]
        for c in clients:
            c.send("PING")
        for c in clients:
            assert c.read() == ("+", b"PONG")
        for c in clients:
            if turn % 2:
                c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            c.close()
        assert is_well(server)
        if turn == 1:
            before = server.resident_bytes()
    assert server.resident_bytes() - before < SLACK
    servers.wait_for(lambda: server.ask("CLIENT", "LIST").count(b"\n") <= 2, "closed clients to be forgotten")


def test_pipeline_into_a_closed_connection(make_server):
    server = make_server()
    for size in (1, 1000, 30000):
        c = Connection(server.port)
        c.send_raw(b"".join(encode(["SET", "k%d" % (i % 10), "v" * 100]) for i in range(size)))
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        c.close()
    assert is_well(server)


def test_huge_but_legal(make_server):
    """The largest values that fit, and one byte more."""
    server = make_server("--proto-max-bulk-len", "4mb")
    with server.connect(60) as c:
        assert c.ask("SET", "k", b"x" * (4 << 20)) == b"OK"
        assert c.ask("STRLEN", "k") == 4 << 20
        c.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4194305\r\n")
        assert resp.is_error(c.read(), "ERR Protocol error: invalid bulk length")
        c.read_until_closed()
    assert is_well(server)
