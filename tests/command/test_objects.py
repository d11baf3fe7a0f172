"""OBJECT, MEMORY USAGE and COPY over all types and forms."""
import pytest

FORMS = {
    "int": ["SET", "k", 12345],
    "embstr": ["SET", "k", "short"],
    "raw": ["SET", "k", "x" * 5000],
    "list": ["RPUSH", "k", "a", "b"],
    "long list": ["RPUSH", "k"] + ["element%d" % i for i in range(3000)],
    "intset": ["SADD", "k", 1, 2, 3],
    "small set": ["SADD", "k", "a", "b"],
    "set": ["SADD", "k"] + ["m%d" % i for i in range(1000)],
    "zset": ["ZADD", "k", 1, "a", 2, "b"],
    "large zset": ["ZADD", "k"] + [word for i in range(1000) for word in (i, "m%d" % i)],
    "hash": ["HSET", "k", "f", "v"],
    "large hash": ["HSET", "k"] + [word for i in range(1000) for word in ("f%d" % i, "v")],
    "stream": ["XADD", "k", "1-1", "f", "v"],
    "hyperloglog": ["PFADD", "k", "a", "b"],
    "geo": ["GEOADD", "k", 13.361389, 38.115556, "Palermo"],
}
LOOKS = [["GET"], ["LRANGE", 0, -1], ["SMEMBERS"], ["ZRANGE", 0, -1, "WITHSCORES"], ["HGETALL"], ["XRANGE", "-", "+"]]


def look(pair, key):
    for name, *arguments in LOOKS:
        pair.check(name, key, *arguments)
    for words in (["TYPE", key], ["OBJECT", "ENCODING", key], ["TTL", key]):
        pair.check(*words)


@pytest.mark.parametrize("form", FORMS)
def test_object(pair2, form):
    pair2.check(*FORMS[form])
    for subcommand in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"):
        pair2.check("OBJECT", subcommand, "k")


@pytest.mark.parametrize("form", FORMS)
def test_copy(pair2, form):
    pair2.check(*FORMS[form])
    pair2.check("EXPIRE", "k", 5000)
    for words in (["c"], ["c"], ["c", "REPLACE"], ["c", "DB", 1], ["k", "DB", 1], ["k", "DB", 1], ["k", "DB", 1, "REPLACE"]):
        pair2.check("COPY", "k", *words)
    look(pair2, "c")
    pair2.check("SELECT", 1)
    look(pair2, "k")
    # The copy is one of its own.
    for words in (["APPEND", "k", "x"], ["RPUSH", "k", "x"], ["SADD", "k", "x"], ["ZADD", "k", 7, "x"], ["HSET", "k", "x", "y"],
                  ["XADD", "k", "9-9", "x", "y"]):
        pair2.check(*words)
    look(pair2, "k")
    pair2.check("SELECT", 0)
    look(pair2, "k")
    look(pair2, "c")


@pytest.mark.parametrize("form", FORMS)
def test_memory_usage(group, form):
    """More where more is held, and near enough from a sample where members are
    alike."""
    with group[0].connect() as c:
        c.ask("SET", "empty", "")
        c.ask("DEL", "k")
        c.ask(*map(str, FORMS[form]))
        whole = c.ask("MEMORY", "USAGE", "k", "SAMPLES", "0")
        payload = sum(len(str(word)) for word in FORMS[form][2:])
        assert whole >= min(payload, 12) and whole < 2000 + payload * 40
        for samples in ("1", "5", "1000000"):
            usage = c.ask("MEMORY", "USAGE", "k", "SAMPLES", samples)
            assert whole * 0.5 <= usage <= whole * 1.5, (samples, usage, whole)
        assert c.ask("MEMORY", "USAGE", "k", "SAMPLES", "1000000") == whole
        c.ask("DEL", "k", "empty")
