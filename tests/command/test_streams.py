"""Streams, compared with the oracle: the scripts of tests/unit/command, streams
of many nodes, and clients that wait."""
import pytest

from scripts import commands_of
from test_blocking import Both


def test_script(pair):
    pair.check_all(commands_of("family_streams"))


def test_many_nodes(pair):
    for i in range(0, 3000, 100):
        pair.check_all([[b"XADD", b"s", b"%d-%d" % (n // 9 + 1, n), b"field", b"%d" % (n * 37)] for n in range(i, i + 100)],
                       batch=100)
    pair.check("XGROUP", "CREATE", "s", "g", "0")
    for words in ("XINFO STREAM s", "XRANGE s 50 60", "XREVRANGE s 60 50 COUNT 7", "XTRIM s MAXLEN ~ 2500", "XINFO STREAM s",
                  "XREADGROUP GROUP g c COUNT 500 STREAMS s >", "XPENDING s g", "XTRIM s MINID ~ 100", "XTRIM s MINID 101",
                  "XINFO STREAM s", "XREADGROUP GROUP g c COUNT 50 STREAMS s 0", "XAUTOCLAIM s g d 0 0 COUNT 40",
                  "XINFO STREAM s FULL COUNT 5", "XGROUP DELCONSUMER s g c", "XTRIM s MAXLEN 3", "XINFO GROUPS s",
                  "XRANGE s - +", "XINFO STREAM s"):
        pair.check(*words.split())
    pair.check_all([[b"XDEL", b"s", b"%d-%d" % (n // 9 + 1, n)] for n in range(2990, 3000)])
    pair.check("XINFO", "STREAM", "s")


def test_limits_of_nodes(pair):
    pair.check("CONFIG", "SET", "stream-node-max-entries", "3")
    try:
        pair.check_all([[b"XADD", b"s", b"%d" % n, b"f", b"v"] for n in range(1, 40)])
        pair.check("XINFO", "STREAM", "s")
        pair.check("XTRIM", "s", "MAXLEN", "~", "10")
        pair.check("CONFIG", "SET", "stream-node-max-entries", "0", "stream-node-max-bytes", "60")
        pair.check_all([[b"XADD", b"s", b"%d" % n, b"f", b"v"] for n in range(40, 90)])
        pair.check("XINFO", "STREAM", "s")
        pair.check("XRANGE", "s", "-", "+")
    finally:
        pair.check("CONFIG", "SET", "stream-node-max-entries", "100", "stream-node-max-bytes", "4096")


def test_large_values(pair):
    pair.check("XADD", "s", "1", "small", "x" * 100000, "f", b"\x00\xff" * 40000)
    pair.check("XADD", "s", "2", "small", "1", "f", "-0007")
    pair.check("XADD", "s", "3", b"n" * 5000, "y" * (1 << 20))
    pair.check("XRANGE", "s", "-", "+")
    pair.check("XINFO", "STREAM", "s")


STORIES = {
    "read": """
        w> XREAD BLOCK 0 STREAMS s $
        pusher: XADD s 1-1 a 1
        w<
        w> XREAD BLOCK 0 COUNT 5 STREAMS s t $ 0
        pusher: XADD other 1 a 1
        pusher: XADD s 2 a 2
        w<
        w> XREAD BLOCK 0 STREAMS s t $ $
        pusher: XADD t 5 b 5
        w<
        w> XREAD BLOCK 0 STREAMS s 2
        pusher: XADD s 2-1 a 2
        w<
    """,
    "read after a time": """
        w: XREAD BLOCK 10 STREAMS s $
        w: XREAD BLOCK 10 STREAMS s t 0 0
        pusher: XADD s 1 a 1
        w: XREAD BLOCK 0 STREAMS s 0
        w> XREAD BLOCK 0 STREAMS s 1
        w2: UNBLOCK w
        w<
        w> XREAD BLOCK 0 STREAMS s 1
        w2: UNBLOCK w ERROR
        w<
    """,
    "from the beginning of a deleted stream": """
        pusher: XADD s 5 a 1
        w> XREAD BLOCK 0 STREAMS s $
        pusher: DEL s
        pusher: SET s x
        pusher: DEL s
        pusher: XADD s 9 a 2
        w<
    """,
    "groups": """
        pusher: XGROUP CREATE s g $ MKSTREAM
        w> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        pusher: XADD s 1 a 1
        w<
        w> XREADGROUP COUNT 1 GROUP g c BLOCK 0 STREAMS s >
        pusher: XADD s 2 a 2
        w<
        pusher: XPENDING s g
        pusher: XREADGROUP GROUP g c STREAMS s 0
        w> XREADGROUP BLOCK 0 NOACK GROUP g d STREAMS s >
        pusher: XADD s 3 a 3
        w<
        pusher: XPENDING s g
        pusher: XINFO GROUPS s
    """,
    "two of a group": """
        pusher: XGROUP CREATE s g $ MKSTREAM
        w1> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        w2> XREADGROUP GROUP g d BLOCK 0 STREAMS s >
        pusher: XADD s 1 a 1
        w1<
        pusher: XADD s 2 a 2
        w2<
        pusher: XPENDING s g
    """,
    "two groups": """
        pusher: XGROUP CREATE s g $ MKSTREAM
        pusher: XGROUP CREATE s h $
        w1> XREADGROUP COUNT 2 GROUP g c BLOCK 0 STREAMS s >
        w2> XREADGROUP COUNT 2 GROUP h c BLOCK 0 STREAMS s >
        w3> XREAD BLOCK 0 STREAMS s $
        pusher: XADD s 1 a 1
        w1<
        w2<
        w3<
    """,
    "a stream deleted": """
        pusher: XGROUP CREATE s g $ MKSTREAM
        w> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        pusher: DEL s
        w<
        pusher: XGROUP CREATE s g $ MKSTREAM
        w> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        pusher: SET s x
        w<
        pusher: DEL s
        pusher: XGROUP CREATE s g $ MKSTREAM
        w> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        pusher: FLUSHALL
        w<
    """,
    "a group destroyed": """
        pusher: XGROUP CREATE s g $ MKSTREAM
        pusher: XGROUP CREATE s h $
        w> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        pusher: XGROUP DESTROY s h
        pusher: XGROUP DESTROY s g
        w<
    """,
    "set back": """
        pusher: XGROUP CREATE s g $ MKSTREAM
        pusher: XADD s 1 a 1
        pusher: XGROUP SETID s g $
        w> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        pusher: XGROUP SETID s g 0
        pusher: XADD s 2 a 2
        w<
    """,
    "in a transaction": """
        w: MULTI
        w: XREAD BLOCK 0 STREAMS s $
        w: EXEC
        w> XREAD BLOCK 0 STREAMS s $
        pusher: MULTI
        pusher: XADD s 1 a 1
        pusher: XADD s 2 a 2
        pusher: EXEC
        w<
    """,
}


@pytest.fixture
def both(oracle_server, group):
    sides = Both(oracle_server, group)
    yield sides
    sides.close()


@pytest.mark.parametrize("story", STORIES.values(), ids=[name.replace(" ", "-") for name in STORIES])
def test_waiting(both, story):
    both.check(story)


def test_many_readers_of_a_group(pair2):
    """Each entry goes to one of them."""
    ours = pair2.ours
    ours.run([[b"XGROUP", b"CREATE", b"s", b"g", b"0", b"MKSTREAM"]])
    seen = []
    for n in range(100):
        ours.run([[b"XADD", b"s", b"%d" % (n + 1), b"f", b"v"]])
        if n % 3 == 2:
            for c in range(5):
                reply = ours.run([[b"XREADGROUP", b"GROUP", b"g", b"c%d" % c, b"COUNT", b"1", b"STREAMS", b"s", b">"]])[0][0]
                if reply[1]:
                    entries = reply[1][0][1][1] if reply[0] == "*" else reply[1][1]
                    seen += [entry[1][0][1] for entry in entries[1]]
    assert seen == [b"%d-0" % n for n in range(1, len(seen) + 1)] and len(seen) == 99
