"""Hashes, compared with the oracle."""
from scripts import commands_of


def test_script(pair):
    pair.check_all(commands_of("family_hashes"))


def test_script_in_batches(pair):
    pair.check_all(commands_of("family_hashes"), batch=50)


def test_becomes_large(pair):
    """Past every threshold and back again, by one command and by many."""
    for first, last in ((0, 511), (511, 512), (512, 513), (400, 700)):
        pair.check("HSET", "h", *[word for i in range(first, last) for word in ("field%d" % i, i)])
        pair.check("OBJECT", "ENCODING", "h")
        pair.check("HLEN", "h")
        pair.check("HGETALL", "h")
    pair.check_all([[b"HINCRBY", b"h", b"field%d" % i, b"%d" % i] for i in range(0, 700, 3)], batch=40)
    pair.check_all([[b"HDEL", b"h", b"field%d" % i, b"field%d" % (i + 1)] for i in range(0, 700, 4)], batch=40)
    pair.check("HVALS", "h")
    pair.check("COPY", "h", "copy")
    pair.check("OBJECT", "ENCODING", "copy")
    pair.check("HDEL", "h", *["field%d" % i for i in range(700)])
    pair.check("EXISTS", "h")
    pair.check("HGETALL", "copy")


def test_large_values(pair):
    for size in (63, 64, 65, 253, 254, 255, 256, 16383, 16384, 100000, 1 << 20):
        text = bytes(i * 7 % 256 for i in range(size))
        pair.check("HSET", "h", "value", text)
        pair.check("HSET", "h", text, "value")
        pair.check("HGET", "h", "value")
        pair.check("HGET", "h", text)
        pair.check("HSTRLEN", "h", "value")
    pair.check("HSET", "h", "value", "short again")
    pair.check("HGETALL", "h")


def test_scan_lists_all(pair2):
    """Cursors are each server's own: all of the fields, each with its value."""
    for size in (10, 600, 5000):
        fields = {b"field%d" % i: b"%d" % i for i in range(size)}
        for side in (pair2.oracle, pair2.ours):
            side.run([[b"DEL", b"h"]] + [[b"HSET", b"h", name, value] for name, value in fields.items()], 100)
            found, cursor = {}, b"0"
            while True:
                reply = side.run([[b"HSCAN", b"h", cursor, b"COUNT", b"50"]])[0][0][1]
                items = [item[1] for item in reply[1][1]]
                found.update(zip(items[::2], items[1::2]))
                cursor = reply[0][1]
                if cursor == b"0":
                    break
            assert found == fields


def test_random_fields_are_there(pair2):
    ours = pair2.ours
    for size in (10, 600):
        fields = {b"field%d" % i: b"%d" % i for i in range(size)}
        ours.run([[b"HSET", b"h", name, value] for name, value in fields.items()], 100)
        for count in (1, 3, 9, 10, 300, 599, 1000, -5, -1000):
            flat = [item[1] for item in ours.run([[b"HRANDFIELD", b"h", b"%d" % count, b"WITHVALUES"]])[0][0][1]]
            names = flat[::2]
            assert all(fields[name] == value for name, value in zip(names, flat[1::2]))
            assert len(names) == (-count if count < 0 else min(count, size))
            assert count < 0 or len(set(names)) == len(names)
        names = {ours.run([[b"HRANDFIELD", b"h"]])[0][0][1] for _ in range(60)}
        assert len(names) > 5 and names <= set(fields)
