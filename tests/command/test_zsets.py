"""Sorted sets and places, compared with the oracle; and what they leave to
chance."""
import math
import random

from scripts import commands_of


def test_script(pair):
    pair.check_all([words for words in commands_of("family_zsets") if not words[0].startswith(b"B")])


def test_geo_script(pair):
    pair.check_all(commands_of("family_geo"))


def test_becomes_large(pair):
    """Around the thresholds, and deep enough for several levels."""
    for first, last in ((0, 128), (127, 128), (128, 129), (100, 3000)):
        pair.check_all([[b"ZADD", b"z", b"%d" % (i * 7919 % 1000), b"m%d" % i] for i in range(first, last)], batch=50)
        pair.check("OBJECT", "ENCODING", "z")
        pair.check("ZRANGE", "z", 0, -1, "WITHSCORES")
    pair.check("ZRANGE", "z", 300, 700, "BYSCORE", "LIMIT", 100, 50)
    pair.check_all([[b"ZRANK", b"z", b"m%d" % i] for i in range(0, 3000, 37)], batch=20)
    pair.check("ZREMRANGEBYSCORE", "z", 100, 800)
    pair.check("ZREMRANGEBYRANK", "z", 50, -50)
    pair.check("ZRANGE", "z", 0, -1, "WITHSCORES")
    pair.check("ZADD", "z", 1, b"x" * 100000, 2, b"y" * (1 << 20))
    pair.check("ZPOPMIN", "z", 3)
    pair.check("ZPOPMAX", "z", 1000)
    pair.check("EXISTS", "z")


def test_scan_lists_all(pair2):
    for size in (10, 600, 5000):
        members = {b"member%d" % i: b"%d" % (i % 50) for i in range(size)}
        words = [word for member, score in sorted(members.items()) for word in (score, member)]
        for side in (pair2.oracle, pair2.ours):
            side.run([[b"DEL", b"z"], [b"ZADD", b"z"] + words])
            found, cursor = {}, b"0"
            while True:
                reply = side.run([[b"ZSCAN", b"z", cursor, b"COUNT", b"50"]])[0][0][1]
                flat = [item[1] for item in reply[1][1]]
                found.update(zip(flat[::2], flat[1::2]))
                cursor = reply[0][1]
                if cursor == b"0":
                    break
            assert found == members


def test_scan_keeps_its_promise_while_the_set_changes(pair2):
    ours = pair2.ours
    lasting = {b"lasting%d" % i for i in range(400)}
    ours.run([[b"ZADD", b"z"] + [word for member in sorted(lasting) for word in (b"1", member)]])
    found, cursor, step = set(), b"0", 0
    while True:
        reply = ours.run([[b"ZSCAN", b"z", cursor, b"COUNT", b"20"]])[0][0][1]
        found |= {item[1] for item in reply[1][1][::2]}
        cursor = reply[0][1]
        if cursor == b"0":
            break
        names = [b"passing%d" % i for i in range(step * 100, step * 100 + 100)]
        if step < 8:
            ours.run([[b"ZADD", b"z"] + [word for name in names for word in (b"2", name)]])
        else:
            ours.run([[b"ZREMRANGEBYSCORE", b"z", b"2", b"2"]])
        step += 1
    assert step > 3 and lasting <= found


def test_random_members_are_there(pair2):
    ours = pair2.ours
    for size in (10, 600):
        members = [b"member%d" % i for i in range(size)]
        ours.run([[b"ZADD", b"z"] + [word for i, member in enumerate(members) for word in (b"%d" % i, member)]])
        for count in (1, 3, 9, 10, 300, 599, 1000, -5, -1000):
            flat = [item[1] for item in ours.run([[b"ZRANDMEMBER", b"z", b"%d" % count, b"WITHSCORES"]])[0][0][1]]
            names = flat[::2]
            assert all(members[int(score)] == name for name, score in zip(names, flat[1::2]))
            assert len(names) == (-count if count < 0 else min(count, size))
            assert count < 0 or len(set(names)) == len(names)
        names = {ours.run([[b"ZRANDMEMBER", b"z"]])[0][0][1] for _ in range(60)}
        assert len(names) > 5 and names <= set(members)


def test_distances_to_the_last_digit(pair2):
    rng = random.Random(11)
    places = [(rng.uniform(-180, 180), math.degrees(math.asin(rng.uniform(-0.996, 0.996)))) for _ in range(400)]
    places += [(rng.gauss(2.35, 0.01), rng.gauss(48.85, 0.01)) for _ in range(400)]
    pair2.check("GEOADD", "g", *[word for i, (lon, lat) in enumerate(places) for word in (repr(lon), repr(lat), "p%d" % i)])
    pair2.check("GEOPOS", "g", *["p%d" % i for i in range(len(places))])
    pair2.check("GEOHASH", "g", *["p%d" % i for i in range(len(places))])
    for unit in ("m", "km", "ft", "mi"):
        calls = [[b"GEODIST", b"g", b"p%d" % rng.randrange(800), b"p%d" % rng.randrange(800), unit.encode()] for _ in range(200)]
        pair2.check_all(calls, batch=50)
    for radius in (10, 1000, 50000, 2000000, 9000000, 30000000):
        for _ in range(20):
            lon, lat = map(repr, places[rng.randrange(800)])
            pair2.check("GEOSEARCH", "g", "FROMLONLAT", lon, lat, "BYRADIUS", radius, "m", "WITHDIST", "WITHCOORD", "WITHHASH")
            pair2.check("GEOSEARCH", "g", "FROMLONLAT", lon, lat, "BYBOX", radius, radius / 3, "m", "ASC", "WITHDIST")
