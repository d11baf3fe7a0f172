"""DUMP and RESTORE against redis-server: random values of every type and form go
both ways and are the same there, in the same encoding; payloads of older
servers, written here byte by byte, become the same value on both sides;
payloads cut short or with a byte changed, the checksum being right, are
refused or become a sound value (the shell checks its keyspace after every
call).
"""
import struct
import sys

from replies import parse

POLYNOMIAL = 0x95AC9329AC4BC9B5


def remainder(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


REMAINDERS = [remainder(byte) for byte in range(256)]


def sealed(body, version=10):
    body += struct.pack("<H", version)
    crc = 0
    for byte in body:
        crc = REMAINDERS[(crc ^ byte) & 255] ^ crc >> 8
    return body + struct.pack("<Q", crc)


def bulk(reply):
    """What a bulk reply holds."""
    return parse(reply)[:-2]


# --- values -------------------------------------------------------------------------

def text(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return b"%d" % rng.choice([0, 1, -1, 127, 128, -129, 32768, 70000, 2**31, -2**31, 2**40, -2**63, 2**63 - 1])
    if kind == 1:
        return rng.randbytes(rng.randrange(100))
    if kind == 2:
        return b"ab" * rng.randrange(200)
    if kind == 3:
        return rng.choice([b"", b"01", b"-0", b"9223372036854775808", b" 1", b"x" * 64, b"y" * 65])
    return b"%d" % rng.randrange(-1000, 1000) if kind == 4 else b"word%d" % rng.randrange(1000)


def count(rng):
    return rng.choice([1, 2, 5, 20, 130, 600])


def score(rng):
    return rng.choice([b"0", b"-0", b"1", b"-1.5", b"inf", b"-inf", b"3.0", b"1e300", b"0.1", b"%d" % rng.randrange(100),
                       b"4611686018427387905", b"%.6f" % rng.uniform(-5, 5)])


def string_value(rng):
    size = rng.choice([0, 0, 0, 30000])
    return [["SET", "k", text(rng) + b"long" * size]] if rng.randrange(4) else [["APPEND", "k", text(rng) or "x"]]


def list_value(rng):
    calls = [["RPUSH", "k"] + [text(rng) for _ in range(count(rng))]]
    return calls + [["LPUSH", "k", b"z" * rng.choice([10, 5000, 9000])] for _ in range(rng.choice([0, 0, 1, 3]))]


def set_value(rng):
    number = rng.randrange(3)
    members = [b"%d" % rng.randrange(10**rng.randrange(1, 18)) if number else text(rng) for _ in range(count(rng))]
    return [["SADD", "k"] + members]


def zset_value(rng):
    short = rng.randrange(2)
    return [["ZADD", "k"] + sum(([score(rng), text(rng)[:60 if short else None]] for _ in range(count(rng))), [])]


def hash_value(rng):
    short = rng.randrange(2)
    return [["HSET", "k"] + [text(rng)[:60 if short else None] for _ in range(count(rng) * 2)]]


def stream_value(rng):
    """Groups are made and read at times that both sides know; when they were last
    seen is not compared."""
    calls = []
    for i in range(1, rng.choice([2, 5, 150])):
        fields = [word for j in range(rng.choice([1, 2, 3])) for word in (b"f%d" % (j + rng.randrange(2)), text(rng)[:50])]
        calls.append(["XADD", "k", b"%d-%d" % (i, rng.randrange(5))] + fields)
    calls += [["XDEL", "k", call[2]] for call in calls if rng.randrange(6) == 0]
    if rng.randrange(3) == 0:
        calls.append(["XTRIM", "k", "MAXLEN", rng.randrange(60)])
    if rng.randrange(3) == 0:
        calls.append(["XSETID", "k", "1000-0", "ENTRIESADDED", 5000, "MAXDELETEDID", "3-0"])
    for group in (b"g", b"", b"1")[:rng.randrange(4)]:
        calls.append(["XGROUP", "CREATE", "k", group, rng.choice(["0", "$", "3-0"])] +
                     rng.choice([[], ["ENTRIESREAD", 3]]))
        calls.append(["XGROUP", "CREATECONSUMER", "k", group, b"idle"])
        for consumer in (b"c", b"d")[:rng.randrange(3)]:
            calls.append(["XREADGROUP", "GROUP", group, consumer, "COUNT", rng.randrange(1, 9), "STREAMS", "k", ">"])
            calls.append(["XCLAIM", "k", group, consumer, 0, "1-0", "2-0", "TIME", 123456789, "RETRYCOUNT", 7])
            calls.append(["XACK", "k", group, "2-1"])
    return calls


VALUES = [string_value, list_value, set_value, zset_value, hash_value, stream_value]
LOOKS = {
    b"string": [["GET"]],
    b"list": [["LRANGE", 0, -1]],
    b"set": [["SMEMBERS"]],
    b"zset": [["ZRANGE", 0, -1, "WITHSCORES"]],
    b"hash": [["HGETALL"]],
    b"stream": [["XRANGE", "-", "+"], ["XINFO", "STREAM", "FULL", "COUNT", 0], ["XLEN"]],
}


def look(side, key):
    """All there is to see of a key."""
    kind = parse(side.call(0, 2, ["TYPE", key])[0])[1:-2]
    seen = [kind, parse(side.call(0, 2, ["OBJECT", "ENCODING", key])[0])]
    for name, *arguments in LOOKS.get(kind, []):
        place = 2 if name == "XINFO" else 1
        words = [name] + arguments
        reply = parse(side.call(0, 2, words[:place] + [key] + words[place:])[0])
        if kind == b"set":
            reply = sorted(reply[1:])
        if kind == b"hash":
            reply = sorted(zip(reply[1::2], reply[2::2]))
        seen.append(reply)
    return seen


def timeless(seen):
    """A stream's clocks: within a minute, which is the first digits."""
    if isinstance(seen, list):
        return [timeless(item) for item in seen]
    return b":now" if isinstance(seen, bytes) and seen[:3] == b":17" and len(seen) == 16 else seen


class Difference(Exception):
    pass


def expect(is_true, *what):
    if not is_true:
        raise Difference(what)


def both(pair, call):
    return [side.call(0, 2, call)[0] for side in (pair.oracle, pair.shell)]


def goes_both_ways(pair, calls):
    both(pair, ["DEL", "k", "j"])
    for call in calls:
        theirs, ours = both(pair, call)
        expect(theirs == ours, call, theirs, ours)
    payloads = [bulk(reply) for reply in both(pair, ["DUMP", "k"])]
    form = payloads[0][0]
    expect(form == payloads[1][0], "form", payloads)
    is_free = form in (2, 4) or any(call[0] == "XGROUP" for call in calls)  # in its order, in its times
    expect(is_free or payloads[0] == payloads[1], "bytes", payloads)
    replies = [pair.shell.call(0, 2, ["RESTORE", "j", 0, payloads[0]])[0],
               pair.oracle.call(0, 2, ["RESTORE", "j", 0, payloads[1]])[0]]
    expect(replies == [b"+OK\r\n"] * 2, replies, payloads)
    seen = [look(side, key) for side in (pair.oracle, pair.shell) for key in ("k", "j")]
    expect(timeless(seen[0]) == timeless(seen[2]), "made", seen)
    expect(timeless(seen[1]) == timeless(seen[3]), "restored", seen)
    expect(seen[0] == seen[3] and seen[1] == seen[2], "not as it was", [seen[0], seen[3]] if seen[0] != seen[3] else [seen[1], seen[2]])
    return payloads[1]


# --- older servers ------------------------------------------------------------------

def length(number):
    if number < 64:
        return bytes([number])
    return struct.pack(">H", 0x4000 | number) if number < 16384 else b"\x80" + struct.pack(">I", number)


def string(data):
    return length(len(data)) + data


def ziplist(elements):
    body, before, tail = b"", 0, 10
    for element in elements:
        tail = 10 + len(body)
        start = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
        if isinstance(element, int):
            for code, form in ((0xFE, "<b"), (0xC0, "<h"), (0xD0, "<i"), (0xE0, "<q")):
                try:
                    rest = bytes([code]) + struct.pack(form, element)
                    break
                except struct.error:
                    continue
            if 0 <= element <= 12:
                rest = bytes([0xF1 + element])
            elif -2**23 <= element < 2**23 and not -2**15 <= element < 2**15:
                rest = b"\xf0" + struct.pack("<i", element)[:3]
        else:
            size = len(element)
            rest = (bytes([size]) if size < 64 else struct.pack(">H", 0x4000 | size) if size < 16384
                    else b"\x80" + struct.pack(">I", size)) + element
        before = len(start + rest)
        body += start + rest
    return struct.pack("<IIH", 11 + len(body), tail, len(elements)) + body + b"\xff"


def zipmap(pairs):
    def short(size):
        return bytes([size]) if size < 254 else b"\xfe" + struct.pack("<I", size)
    body = b"".join(short(len(field)) + field + short(len(value)) + b"\x02" + value + b"??" for field, value in pairs)
    return bytes([min(len(pairs), 254)]) + body + b"\xff"


ELEMENTS = [0, 12, 13, -1, 127, -128, 128, 32767, -32769, 8388607, -8388608, 8388608, 2**31, -2**63, b"", b"a", b"b" * 63,
            b"c" * 64, b"d" * 300, b"e" * 17000, b"word"]
PAIRS = [(b"f%d" % i, b"v" * size) for i, size in enumerate((0, 1, 20, 253, 254, 300))]


def old_payloads(rng):
    many = [b"m%d" % i for i in range(700)]
    yield sealed(b"\x01" + length(3) + string(b"a") + string(b"b") + b"\xc0\x05")
    yield sealed(b"\x01" + length(len(many)) + b"".join(map(string, many)), version=1)
    yield sealed(b"\x02" + length(600) + b"".join(b"\xc1" + struct.pack("<h", i) for i in range(600)))
    yield sealed(b"\x02" + length(3) + b"".join(b"\xc1" + struct.pack("<h", i) for i in range(3)))
    yield sealed(b"\x03" + length(4) + b"".join(string(b"m%d" % i) + score for i, score in
                                                enumerate((b"\x031.5", b"\xfe", b"\xff", b"\x02-7"))))
    yield sealed(b"\x09" + string(zipmap(PAIRS[:3])))
    yield sealed(b"\x09" + string(zipmap(PAIRS)))
    yield sealed(b"\x09" + string(zipmap([(name, b"") for name in many])))
    yield sealed(b"\x0a" + string(ziplist(ELEMENTS)))
    yield sealed(b"\x0e" + length(3) + string(ziplist(ELEMENTS[:5])) + string(ziplist([])) + string(ziplist([b"z"])))
    yield sealed(b"\x0c" + string(ziplist([b"a", 1, b"b", b"1.5", b"c", 70000, 5, b"inf"])))
    yield sealed(b"\x0c" + string(ziplist(sum(([b"m%d" % i, i] for i in range(200)), []))))
    yield sealed(b"\x0d" + string(ziplist([b"a", 1, 2, b"1.5", b"c", 70000])))
    yield sealed(b"\x0d" + string(ziplist(sum(([b"m%d" % i, i] for i in range(600)), []))))
    yield sealed(b"\x12" + length(2) + length(1) + string(b"p" * 9000) + length(2) +
                 string(bytes.fromhex("0a00000002000101" "0201ff")))
    for form in (1, 2, 3, 4, 5, 14, 18):
        yield sealed(bytes([form]) + length(0))
    for form, block in ((10, ziplist([])), (12, ziplist([])), (13, ziplist([])), (9, zipmap([])), (12, ziplist([b"a"])),
                        (13, ziplist([b"a", b"b", b"a", b"c"])), (11, struct.pack("<II", 2, 0)),
                        (11, struct.pack("<IIhh", 2, 2, 2, 1)), (11, struct.pack("<IIhh", 2, 2, 1, 1)), (9, zipmap(PAIRS[:1] * 2))):
        yield sealed(bytes([form]) + string(block))
    yield sealed(b"\x02" + length(2) + string(b"a") * 2)
    yield sealed(b"\x04" + length(2) + (string(b"a") + string(b"b")) * 2)
    yield sealed(b"\x05" + length(2) + (string(b"a") + struct.pack("<d", 1)) * 2)
    yield sealed(b"\x05" + length(1) + string(b"a") + struct.pack("<d", float("nan")))
    yield sealed(b"\x03" + length(1) + string(b"a") + b"\xfd")
    yield sealed(b"\x00" + string(b"v"), version=11)
    yield sealed(b"\x00" + string(b"v"))[:-1] + b"\x00"
    yield sealed(b"")
    yield b""
    yield b"short"
    for form in (6, 7, 8, 20, 255):
        yield sealed(bytes([form]) + string(b"v"))


def becomes_the_same(pair, payload):
    both(pair, ["DEL", "k"])
    theirs, ours = both(pair, ["RESTORE", "k", 0, payload])
    expect(theirs == ours, "old", payload[:200], theirs, ours)
    seen = [look(side, "k") for side in (pair.oracle, pair.shell)]
    expect(seen[0] == seen[1], "old", payload[:200], seen)


# --- hostile ------------------------------------------------------------------------

USES = [["RPUSH", "h", "x"], ["LPOP", "h"], ["LSET", "h", 0, "y"], ["LINSERT", "h", "BEFORE", "x", "w"], ["LREM", "h", 0, "x"],
        ["SADD", "h", "7", "x"], ["SREM", "h", "7"], ["ZADD", "h", 7, "x"], ["ZRANGE", "h", 0, -1], ["ZPOPMIN", "h"],
        ["HSET", "h", "x", "y"], ["XADD", "h", "*", "f", "v"], ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "h", ">"],
        ["XINFO", "STREAM", "h", "FULL"], ["XREVRANGE", "h", "+", "-"], ["XTRIM", "h", "MAXLEN", "2"], ["XACK", "h", "g", "1-0"], ["XPENDING", "h", "g"], ["HGETALL", "h"], ["HDEL", "h", "x"], ["APPEND", "h", "x"]]


def is_refused_or_sound(pair, payload, is_used):
    reply = pair.shell.call(0, 2, ["RESTORE", "h", 0, payload, "REPLACE"])[0]
    if reply != b"+OK\r\n":
        expect(reply in (b"-ERR Bad data format\r\n", b"-ERR DUMP payload version or checksum are wrong\r\n"), reply)
        return False
    if is_used:
        again = bulk(pair.shell.call(0, 2, ["DUMP", "h"])[0])
        expect(pair.shell.call(0, 2, ["RESTORE", "h", 0, again, "REPLACE"])[0] == b"+OK\r\n", "again", payload, again)
        for use in USES:
            pair.shell.call(0, 2, use)
    return True


def hostile(pair, rng, payload):
    body = payload[:-10]
    expect(is_refused_or_sound(pair, payload, False), "not even as it was", payload)
    for cut in range(len(body)):
        expect(not is_refused_or_sound(pair, sealed(body[:cut]), False), "a prefix was taken", payload, cut)
    for at in range(len(body)):
        for change in {1 << rng.randrange(8), 0xFF, rng.randrange(1, 256)}:
            changed = bytearray(body)
            changed[at] ^= change
            is_refused_or_sound(pair, sealed(bytes(changed)), True)


def run(pair, rng, rounds):
    try:
        pair.clear()
        # Ours always looks at every element.
        pair.oracle.call(0, 2, ["CONFIG", "SET", "sanitize-dump-payload", "yes"])
        for payload in old_payloads(rng):
            becomes_the_same(pair, payload)
        for turn in range(rounds):
            payload = goes_both_ways(pair, rng.choice(VALUES)(rng))
            if len(payload) < 120:
                hostile(pair, rng, payload)
        for payload in old_payloads(rng):
            if 10 < len(payload) < 200 and pair.shell.call(0, 2, ["RESTORE", "h", 0, payload, "REPLACE"])[0][:1] == b"+":
                hostile(pair, rng, payload)
    except Difference as difference:
        print("DUMP", *difference.args[0], sep="\n   ")
        sys.exit(1)
