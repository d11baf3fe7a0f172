"""HyperLogLogs, compared with the oracle: replies, and the very bytes."""
from scripts import commands_of


def test_script(pair):
    pair.check_all(commands_of("family_hyperloglogs"))


def test_count_is_kept_everywhere(pair2):
    """PFCOUNT writes its estimate into the string: on every replica."""
    for i in range(40):
        pair2.check("PFADD", "h", *["%d-%d" % (i, j) for j in range(i * 3 + 1)])
        pair2.check("PFCOUNT", "h")
        pair2.check("GET", "h")
    strings = [connection.pipeline([[b"GET", b"h"]])[0][0][1] for connection in pair2.ours.connections]
    assert strings == strings[:1] * len(strings)
