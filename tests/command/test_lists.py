"""Lists, compared with the oracle."""
from scripts import commands_of, family

WAITING = {b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP"}


def script():
    """Without the commands that wait: what they do is compared where waiting is."""
    return [call for call in commands_of("family_lists") if call[0].upper() not in WAITING]


def test_script(pair):
    pair.check_all(script())


def test_script_in_batches(pair):
    pair.check_all(script(), batch=50)


def check_list(pair, key):
    pair.check("LLEN", key)
    pair.check("LRANGE", key, 0, -1)
    pair.check("OBJECT", "ENCODING", key)


def test_becomes_large(pair):
    """Pushed from both ends far beyond a node, read and changed everywhere."""
    pair.check_all([[b"LPUSH" if i % 3 else b"RPUSH", b"l", b"element %d" % i] for i in range(3000)], batch=100)
    check_list(pair, "l")
    pair.check_all([[b"LINDEX", b"l", b"%d" % i] for i in range(-3001, 3001, 7)], batch=100)
    pair.check_all([[b"LSET", b"l", b"%d" % i, b"%d" % i] for i in range(0, 3000, 5)], batch=100)
    pair.check_all([[b"LINSERT", b"l", b"BEFORE", b"%d" % i, b"x" * (i % 200)] for i in range(0, 3000, 50)], batch=10)
    check_list(pair, "l")
    pair.check_all([[b"LREM", b"l", b"%d" % (i % 3 - 1), b"%d" % i] for i in range(0, 3000, 10)], batch=10)
    pair.check("LRANGE", "l", 1000, 1100)
    pair.check("COPY", "l", "copy")
    pair.check("LTRIM", "l", 500, -500)
    check_list(pair, "l")
    pair.check_all([[b"LPOP" if i % 2 else b"RPOP", b"l", b"13"] for i in range(200)], batch=20)
    pair.check("EXISTS", "l")
    check_list(pair, "copy")


def test_large_elements(pair):
    for size in (63, 64, 4095, 4096, 8180, 8190, 100000, 1 << 20):
        text = bytes(i * 7 % 256 for i in range(size))
        pair.check("RPUSH", "l", "short", text, "short")
        pair.check("LPOS", "l", text)
        pair.check("LSET", "l", -3, text)
        pair.check("LINSERT", "l", "AFTER", text, text)
        pair.check("LMOVE", "l", "m", "LEFT", "RIGHT")
    check_list(pair, "l")
    pair.check("LREM", "l", 0, "short")
    check_list(pair, "l")
    check_list(pair, "m")


def test_node_limits(pair):
    """Other limits make other nodes and change no answer."""
    for limit in (1, 3, 128, -1, -5, -2):
        pair.check("CONFIG", "SET", "list-max-listpack-size", limit)
        pair.check("RPUSH", "l", *["element %d" % i for i in range(200)])
        pair.check("LINSERT", "l", "BEFORE", "element 100", "between")
        pair.check("LSET", "l", 50, "y" * 9000)
        pair.check("LREM", "l", -2, "element 7")
        check_list(pair, "l")
        pair.check("LMPOP", 2, "none", "l", "RIGHT", "COUNT", 50)


def test_elements_apart(pair):
    for threshold in ("1", "10b", "1kb", "0", "x", "4gb", ""):
        pair.check("DEBUG", "QUICKLIST-PACKED-THRESHOLD", threshold)
        pair.check("RPUSH", "l", "a", "b" * 20, "c" * 2000, "d")
        pair.check("LSET", "l", 0, "e" * 11)
        pair.check("LINSERT", "l", "AFTER", "d", "f" * 1500)
        check_list(pair, "l")


def test_random_in_order(pair):
    """Elements pushed and moved between a few lists keep their order."""
    words = family("family_lists").WORDS
    elements = [element.encode("latin1") for element in words["%element"]]
    calls = []
    for i in range(600):
        source, target = b"l%d" % (i % 3), b"l%d" % (i * 7 % 4)
        calls.append([b"RPUSH", source, elements[i % len(elements)], b"%d" % i])
        calls.append([b"LMOVE", source, target, b"LEFT" if i % 2 else b"RIGHT", b"LEFT" if i % 5 else b"RIGHT"])
    pair.check_all(calls, batch=30)
    for key in ("l0", "l1", "l2", "l3"):
        check_list(pair, key)
