"""MIGRATE between the oracle and us, both ways.

What the oracle answers for the same words is what we answer; keys arrive, and
are gone where they came from.
"""
import socket
import threading

import pytest

import servers

KEYS = [["SET", "a", "1", "EX", 5000], ["RPUSH", "b"] + ["e%d" % i for i in range(2000)], ["SADD", "c", "x", "y"],
        ["ZADD", "d", 1, "x"], ["HSET", "e", "f", "v"], ["XADD", "g", "1-1", "f", "v"], ["SET", "big", "x" * 300000]]
NAMES = [command[1] for command in KEYS]


def ask(side, *words):
    return side.run([[str(word).encode() for word in words]])[0][0]


def port_of(side):
    return side.servers[0].port


@pytest.fixture(params=["from-us", "to-us"])
def way(request, pair2):
    sides = [pair2.ours, pair2.oracle]
    yield sides if request.param == "from-us" else sides[::-1]


def fill(side):
    for command in KEYS:
        ask(side, *command)


def test_one_by_one(way):
    source, target = way
    fill(source)
    for name in NAMES:
        assert ask(source, "MIGRATE", "127.0.0.1", port_of(target), name, 0, 5000) == ("+", b"OK")
        assert ask(source, "EXISTS", name) == (":", b"0")
    assert ask(target, "EXISTS", *NAMES) == (":", b"%d" % len(NAMES))
    assert ask(target, "LLEN", "b") == (":", b"2000")
    assert 4900 < int(ask(target, "TTL", "a")[1]) <= 5000
    assert ask(source, "MIGRATE", "127.0.0.1", port_of(target), "a", 0, 5000) == ("+", b"NOKEY")


def test_many_and_options(way):
    source, target = way
    fill(source)
    words = ["MIGRATE", "127.0.0.1", port_of(target), "", 0, 5000]
    assert ask(source, *words, "COPY", "KEYS", "none", *NAMES) == ("+", b"OK")
    assert ask(source, "EXISTS", *NAMES) == ask(target, "EXISTS", *NAMES) == (":", b"%d" % len(NAMES))
    busy = ask(source, *words, "KEYS", *NAMES)
    assert busy == ("-", b"ERR Target instance replied with error: BUSYKEY Target key name already exists.")
    assert ask(source, "EXISTS", *NAMES) == (":", b"%d" % len(NAMES))
    ask(target, "DEL", "c")
    assert ask(source, *words, "KEYS", "a", "c")[0] == "-"  # one is taken, one is not
    assert [ask(source, "EXISTS", name)[1] for name in "ac"] == [b"1", b"0"]
    assert ask(source, *words, "REPLACE", "KEYS", *NAMES) == ("+", b"OK")
    assert ask(source, "EXISTS", *NAMES) == (":", b"0")
    ask(source, "SET", "a", "new")
    assert ask(source, "MIGRATE", "127.0.0.1", port_of(target), "a", 3, 5000, "REPLACE") == ("+", b"OK")
    ask(target, "SELECT", 3)
    assert ask(target, "GET", "a") == ("$", b"new")


def test_errors(pair2):
    pair2.check("SET", "a", "1")
    nobody = servers.free_ports(1)[0]
    words = ["MIGRATE", "127.0.0.1", nobody]
    for more in ([], ["a"], ["a", 0], ["a", "x", 100], ["a", 0, "x"], ["a", 0, 100, "foo"], ["a", 0, 100, "AUTH"],
                 ["a", 0, 100, "AUTH2", "u"], ["a", 0, 100, "KEYS", "b"], ["", 0, 100, "KEYS"], ["none", 0, 100],
                 ["", 0, 100, "KEYS", "none"], ["a", 0, 100]):
        pair2.check(*words, *more)
    pair2.check("GET", "a")
    oracle = port_of(pair2.oracle)
    for more in (["a", 99, 1000], ["a", 0, 1000, "AUTH", "wrong"], ["a", 0, 1000, "AUTH2", "nobody", "wrong"]):
        reply = ask(pair2.ours, "MIGRATE", "127.0.0.1", oracle, *more)
        assert reply[0] == "-" and reply[1].startswith(b"ERR Target instance replied with error: "), reply
    pair2.check("GET", "a")


def silent_target(answers):
    """Accepts one connection, answers SELECT, then each RESTORE as long as there
    are answers."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        connection.recv(1 << 16)
        connection.sendall(b"+OK\r\n")
        for answer in answers:
            connection.recv(1 << 16)
            answer(connection)
        try:
            connection.recv(1 << 16)
        except ConnectionResetError:
            pass
        connection.close()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener.getsockname()[1]


def test_others_go_on_meanwhile(pair2):
    """The loop answers other clients while a target does not; what is changed
    while the target takes it stays."""
    ours = pair2.ours
    ask(ours, "SET", "k", "old")
    other = ours.servers[0].connect()

    def change(connection):
        assert other.ask("SET", "k", "new") == b"OK"
        connection.sendall(b"+OK\r\n")
    reply = ask(ours, "MIGRATE", "127.0.0.1", silent_target([change]), "k", 0, 5000)
    assert reply == ("-", b"ERR 1 of 1 keys were changed here while the target took them: they stay here, too")
    assert ask(ours, "GET", "k") == ("$", b"new")
    reply = ask(ours, "MIGRATE", "127.0.0.1", silent_target([]), "k", 0, 200)
    assert reply == ("-", b"IOERR error or timeout reading from target instance")
    assert ask(ours, "GET", "k") == ("$", b"new")
    other.close()


def test_client_leaves(group):
    """Nothing is left of a migration whose client is gone."""
    with group[0].connect() as c:
        c.ask("SET", "k", "v")
    leaving = group[0].connect()
    leaving.send("MIGRATE", "127.0.0.1", str(silent_target([])), "k", "0", "60000")
    with group[0].connect() as c:
        for line in c.ask("CLIENT", "LIST").splitlines():
            if b"cmd=migrate" in line:
                c.ask("CLIENT", "KILL", "ID", line.split()[0][3:])
        assert c.ask("GET", "k") == b"v"
    leaving.close()
