"""SORT, compared with the oracle; and what is stored is the same on all replicas."""
from scripts import commands_of


def test_script(pair):
    pair.check_all(commands_of("family_sorts"))


def test_store_everywhere_alike(pair2):
    """A set's order is chance until it is stored."""
    members = ["m%d" % (i * 7919 % 1000) for i in range(300)]
    for i in range(0, 300, 50):
        pair2.check("SADD", "s", *members[i:i + 50])
    for how in ([], ["DESC"], ["LIMIT", 10, 20], ["GET", "#", "GET", "w_*"]):
        pair2.check("SORT", "s", "BY", "nosort", *how, "STORE", "d")
        pair2.check("LRANGE", "d", 0, -1)
    lists = [connection.pipeline([[b"LRANGE", b"d", b"0", b"-1"]])[0][0] for connection in pair2.ours.connections]
    assert lists == lists[:1] * len(lists)
