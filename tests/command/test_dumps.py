"""RESTORE, compared with the oracle, and values that move between it and us.

What a value looks like inside: tests/unit/command/dump_compare.py.
"""
from scripts import commands_of

VALUES = [
    [b"SET", b"k", b"x" * 5000], [b"SET", b"k", b"123"], [b"RPUSH", b"k"] + [b"element%d" % i for i in range(3000)],
    [b"SADD", b"k"] + [b"%d" % i for i in range(100)], [b"SADD", b"k"] + [b"m%d" % i for i in range(2000)],
    [b"ZADD", b"k"] + [word for i in range(2000) for word in (b"%d" % i, b"m%d" % i)], [b"ZADD", b"k", b"1.5", b"a"],
    [b"HSET", b"k", b"f", b"v"], [b"HSET", b"k"] + [word for i in range(2000) for word in (b"f%d" % i, b"%d" % i)],
]


def test_script(pair):
    pair.check_all(commands_of("family_dumps"))


def test_values_move(pair2):
    """From the oracle to us and back; all replicas hold the same."""
    for command in VALUES:
        pair2.check("DEL", "k", "back")
        pair2.check(*command)
        pair2.check("EXPIRE", "k", 5000)
        theirs = pair2.oracle.run([[b"DUMP", b"k"]])[0][0][1]
        assert pair2.ours.run([[b"RESTORE", b"k", b"9000000", theirs, b"REPLACE"]])[0][0] == ("+", b"OK")
        ours = pair2.ours.run([[b"DUMP", b"k"]])[0][0][1]
        assert pair2.oracle.run([[b"RESTORE", b"back", b"0", ours]])[0][0] == ("+", b"OK")
        pair2.ours.run([[b"RENAME", b"k", b"back"]])
        pair2.oracle.run([[b"DEL", b"k"]])
        for look in (["OBJECT", "ENCODING", "back"], ["GET", "back"], ["LRANGE", "back", 0, -1], ["SMEMBERS", "back"],
                     ["ZRANGE", "back", 0, -1, "WITHSCORES"], ["HGETALL", "back"]):
            pair2.check(*look)
