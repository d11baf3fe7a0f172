"""DEBUG: what test suites of Redis look at."""
import re

VALUES = [
    ["SET", "k", 12345], ["SET", "k", b"short"], ["SET", "k", b"x" * 5000], ["RPUSH", "k", "a", "b", 1], ["SADD", "k", 1, 2, 3],
    ["SADD", "k", "a", "b"], ["ZADD", "k", 1, "a", 2.5, "b"], ["HSET", "k", "f", "v"], ["HSET", "k", "f", b"v" * 70],
    ["RPUSH", "k"] + ["e%d" % i for i in range(3000)], ["ZADD", "k"] + [word for i in range(500) for word in (i, "m%d" % i)],
    ["XADD", "k", "1-1", "f", "v"],
]


def described(reply):
    assert reply[0] == "+"
    fields = dict(word.split(b":") for word in reply[1].split()[1:])
    return {name: value for name, value in fields.items() if name not in (b"at", b"lru", b"lru_seconds_idle")}


def test_object(pair2):
    for command in VALUES:
        pair2.check("DEL", "k")
        pair2.check(*command)
        sides = [described(side.run([[b"DEBUG", b"OBJECT", b"k"]])[0][0]) for side in (pair2.oracle, pair2.ours)]
        assert sides[0] == sides[1], command


def test_errors(pair2):
    for words in (["HTSTATS"], ["HTSTATS", "x"], ["HTSTATS", 99], ["HTSTATS-KEY", "none"], ["HTSTATS-KEY"], ["RELOAD", "foo"],
                  ["PAUSE-CRON"], ["REPLYBUFFER"], ["REPLYBUFFER", "x"], ["REPLYBUFFER", "x", "y"], ["OBJECT", "none"],
                  ["REPLYBUFFER", "RESIZING", 1], ["PAUSE-CRON", 1], ["PAUSE-CRON", 0]):
        pair2.check("DEBUG", *words)
    pair2.check("SET", "k", "v")
    pair2.check("DEBUG", "HTSTATS-KEY", "k")


def test_htstats(pair2):
    for command in (["SADD", "s"] + ["m%d" % i for i in range(300)], ["SET", "k", "v", "EX", 1000]):
        pair2.check(*command)
    for arguments in (["HTSTATS", 0], ["HTSTATS-KEY", "s"]):
        words = [b"DEBUG"] + [str(word).encode() for word in arguments]
        texts = [side.run([words])[0][0][1] for side in (pair2.oracle, pair2.ours)]
        counts = [sum(map(int, re.findall(rb"number of elements: (\d+)", text))) for text in texts]
        assert counts[0] == counts[1]


def test_reload(pair2):
    """Data of every type goes through a snapshot."""
    for number, command in enumerate(VALUES):
        pair2.check(command[0], "k%d" % number, *command[2:])
    assert pair2.ours.run([[b"DEBUG", b"RELOAD"]])[0][0] == ("+", b"OK")
    pair2.check("DBSIZE")
