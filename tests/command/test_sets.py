"""Sets, compared with the oracle; and what they leave to chance."""
from scripts import commands_of


def members_of(side, key):
    """What each replica holds."""
    answers = [connection.pipeline([[b"SMEMBERS", key]])[0][0] for connection in side.connections]
    return [sorted(item[1] for item in answer[1]) for answer in answers]


def test_script(pair):
    pair.check_all(commands_of("family_sets"))


def test_becomes_large(pair):
    for first, last in ((0, 512), (511, 512), (512, 513), (300, 900)):
        pair.check("SADD", "s", *range(first, last))
        pair.check("OBJECT", "ENCODING", "s")
        pair.check("SMEMBERS", "s")
    pair.check_all([[b"SREM", b"s", b"%d" % i] for i in range(0, 900, 2)], batch=40)
    pair.check("SCARD", "s")
    pair.check("SADD", "t", *["member%d" % i for i in range(127)])
    for i in range(125, 135):
        pair.check("SADD", "t", "member%d" % i)
        pair.check("SMEMBERS", "t")
    pair.check("SUNIONSTORE", "u", "s", "t")
    pair.check("SINTER", "u", "s")
    pair.check("SDIFF", "u", "s")
    pair.check("SDIFFSTORE", "u", "u", "t")
    pair.check("OBJECT", "ENCODING", "u")
    pair.check("SADD", "t", b"x" * 100000, b"y" * (1 << 20))
    pair.check("SMEMBERS", "t")


def test_pops_everywhere_alike(pair2):
    """Popped from any replica, a member is gone on all; none comes twice."""
    ours = pair2.ours
    for kind in ("%d", "m%d", "%070d"):
        members = sorted((kind % i).encode() for i in range(300))
        ours.run([[b"DEL", b"s"], [b"SADD", b"s"] + members])
        popped = []
        while True:
            replies = ours.run([[b"SPOP", b"s"], [b"SPOP", b"s", b"7"], [b"SPOP", b"s"]])
            one, many, other = [reply for reply, _ in replies]
            popped += [reply[1] for reply in (one, other) if reply[1] is not None] + [item[1] for item in many[1]]
            held = members_of(ours, b"s")
            assert all(replica == held[0] for replica in held)
            assert sorted(popped + held[0]) == members
            if not held[0]:
                break
        assert len(set(popped)) == 300


def test_scan_lists_all(pair2):
    for size in (10, 600, 5000):
        members = {b"member%d" % i for i in range(size)}
        for side in (pair2.oracle, pair2.ours):
            side.run([[b"DEL", b"s"], [b"SADD", b"s"] + sorted(members)])
            found, cursor = set(), b"0"
            while True:
                reply = side.run([[b"SSCAN", b"s", cursor, b"COUNT", b"50"]])[0][0][1]
                found |= {item[1] for item in reply[1][1]}
                cursor = reply[0][1]
                if cursor == b"0":
                    break
            assert found == members


def test_random_members_are_there(pair2):
    ours = pair2.ours
    for size in (10, 600):
        members = {b"member%d" % i for i in range(size)}
        ours.run([[b"SADD", b"s"] + sorted(members)])
        for count in (1, 3, 9, 10, 300, 599, 1000, -5, -1000):
            names = [item[1] for item in ours.run([[b"SRANDMEMBER", b"s", b"%d" % count]])[0][0][1]]
            assert set(names) <= members
            assert len(names) == (-count if count < 0 else min(count, size))
            assert count < 0 or len(set(names)) == len(names)
        names = {ours.run([[b"SRANDMEMBER", b"s"]])[0][0][1] for _ in range(60)}
        assert len(names) > 5 and names <= members
