"""Compare and set, compare and delete: what the oracle has not, by hand; and fencing tokens."""
import resp


def ask(c, line):
    return c.ask(*resp.split_line(line))


def test_set_ifeq_and_ifne(group):
    with group[0].connect() as c:
        c.ask("FLUSHALL")
        for line, expected in [
                ("SET k v IFEQ v", None), ("EXISTS k", 0), ("SET k v IFNE v", b"OK"), ("SET k w IFEQ x", None), ("GET k", b"v"),
                ("SET k w IFEQ v", b"OK"), ("SET k x IFNE w", None), ("SET k 12 IFNE y GET", b"w"), ("GET k", b"12"),
                ("SET k 13 ifeq 12 EX 100 GET", b"12"), ("TTL k", 100), ("SET k 14 IFEQ 13 KEEPTTL", b"OK"), ("TTL k", 100),
                ("SET k 15 GET IFEQ 13", b"14"), ("GET k", b"14"), ("SET k 15 IFEQ 014", None), ("SET k 15 IFEQ 14", b"OK"),
                ("TTL k", -1), ("SET none 1 GET IFEQ x", None), ("EXISTS none", 0), ("SET k z IFEQ 15 PX 100000", b"OK"),
                ("SADD s a", 1)]:
            assert ask(c, line) == expected, line
        for line in ("SET k v IFEQ", "SET k v IFEQ a IFNE b", "SET k v NX IFEQ a", "SET k v IFEQ a XX", "SET k v IFNE a NX",
                     "SET k v IFEQ a IFEQ b", "SET k v IFEQ a NX", "GETEX k IFEQ a"):
            assert ask(c, line) == ("-", b"ERR syntax error"), line
        for line in ("SET s v IFEQ a", "SET s v IFNE a", "SET s v IFEQ a GET"):
            assert resp.is_error(c.call(*resp.split_line(line)), "WRONGTYPE"), line


def test_delex_and_delifeq(group):
    with group[0].connect() as c:
        c.ask("FLUSHALL")
        for line, expected in [
                ("DELEX k", 0), ("SET k v", b"OK"), ("DELEX k IFEQ w", 0), ("DELEX k IFNE v", 0), ("DELEX k IFNE w", 1), ("EXISTS k", 0),
                ("DELEX k IFNE w", 0), ("DELEX k IFEQ w", 0), ("SET k 5", b"OK"), ("DELEX k ifeq 5", 1), ("SADD s a", 1), ("DELEX s", 1),
                ("SADD s a", 1), ("DELIFEQ k v", 0), ("SET k v", b"OK"), ("DELIFEQ k w", 0), ("DELIFEQ k v", 1), ("EXISTS k", 0)]:
            assert ask(c, line) == expected, line
        for line in ("DELEX k IFEQ", "DELEX k x y", "DELEX k IFEQ a b"):
            assert ask(c, line) == ("-", b"ERR syntax error"), line
        for line in ("DELEX s IFEQ a", "DELEX s IFNE a", "DELIFEQ s a"):
            assert resp.is_error(c.call(*resp.split_line(line)), "WRONGTYPE"), line


def test_fencing_tokens(group):
    """Writes one after the other, anywhere, have ascending positions."""
    connections = [server.connect() for server in group] * 3
    tokens = []
    for i, c in enumerate(connections):
        assert c.ask("SET", "lock", str(i)) == b"OK"
        tokens.append(c.ask("RABIA", "LASTPOS"))
        c.ask("GET", "lock")
        assert c.ask("RABIA", "LASTPOS") == tokens[-1]
    assert tokens == sorted(set(tokens))
    for c in connections[:len(group)]:
        c.close()


def test_waitaof(group):
    with group[0].connect() as c:
        assert c.ask("SET", "k", "v") == b"OK"
        journaled = c.ask("CONFIG", "GET", "appendonly")[1] == b"yes"
        if journaled:
            assert c.ask("WAITAOF", "1", "1", "10000") == [1, 1] or c.ask("WAITAOF", "1", "1", "10000")[1] >= 1
        else:
            assert resp.is_error(c.call("WAITAOF", "1", "0", "0"), "ERR WAITAOF cannot be used")
        assert c.ask("WAITAOF", "0", "0", "0")[0] == 0
        assert c.ask("WAITAOF", "0", "8", "10")[0] == 0
        for line in ("WAITAOF 2 0 0", "WAITAOF -1 0 0", "WAITAOF 0 -1 0", "WAITAOF 0 0 -1", "WAITAOF x 0 0", "WAITAOF 0 0 x"):
            assert resp.is_error(c.call(*resp.split_line(line))), line
        assert c.ask("PING") == b"PONG"
