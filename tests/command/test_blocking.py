"""Clients that wait for keys, compared with the oracle event by event, on one
replica and on three, where waiters and pushers are clients of different ones.

Alone, everything is Redis's: who is served, with what, in what order.  On three
replicas the order among clients of different replicas is open, so there the
stories keep to one waiter at a time, or to waiters of one replica."""
import pytest

import resp
from servers import info_fields, wait_for


class Side:
    """Named connections to one group of servers."""

    def __init__(self, servers):
        self.servers, self.connections, self.ids = list(servers), {}, {}

    def of(self, name):
        """Waiters (w...) at the first replica, everybody else at the last."""
        if name not in self.connections:
            server = self.servers[0 if name.startswith("w") else -1]
            connection = server.connect(30)
            self.connections[name], self.ids[name] = connection, connection.ask("CLIENT", "ID")
        return self.connections[name]

    def blocked(self):
        return sum(int(info_fields(server.ask("INFO", "clients"))["blocked_clients"]) for server in set(self.servers))

    def close(self, name):
        self.connections.pop(name).close()

    def close_all(self):
        for name in list(self.connections):
            self.close(name)


def play(side, story):
    """Lines "name: command" (sent and answered), "name> command" (sent; it has to block), "name<" (its answer),
    "name: UNBLOCK other [how]", "name!" (goes away).  Returns all answers."""
    answers = []
    for line in story.strip().splitlines():
        line = line.strip()
        name, mark, rest = next((line[:i], line[i], line[i + 1:].strip()) for i, c in enumerate(line) if c in ":><!")
        if mark == "!":
            before = side.blocked()
            side.close(name)
            wait_for(lambda: side.blocked() < before, "%s to be gone" % name)
            continue
        connection = side.of(name)
        words = resp.split_line(rest)
        if words[:1] == [b"UNBLOCK"]:
            words = [b"CLIENT", b"UNBLOCK", side.ids[words[1].decode()], *words[2:]]
        if mark == ":":
            answers.append((line, connection.call(*words)))
        elif mark == ">":
            before = side.blocked()
            connection.send(*words)
            wait_for(lambda: side.blocked() > before, "%s to block" % line)
        else:
            answers.append((line, connection.read()))
    return answers


class Both:
    def __init__(self, oracle, group):
        self.oracle, self.ours = Side([oracle]), Side(group)

    def check(self, story):
        self.oracle.of("pusher").call("FLUSHALL")
        self.ours.of("pusher").call("FLUSHALL")
        theirs, ours = play(self.oracle, story), play(self.ours, story)
        assert theirs == ours, "\n".join("%s\n  oracle %r\n  ours   %r" % (a[0], a[1], b[1])
                                         for a, b in zip(theirs, ours) if a != b)

    def close(self):
        self.oracle.close_all()
        self.ours.close_all()


@pytest.fixture
def both(oracle_server, group):
    pair = Both(oracle_server, group)
    yield pair
    pair.close()


@pytest.fixture
def alone(oracle_server, lone_server):
    pair = Both(oracle_server, [lone_server])
    yield pair
    pair.close()


@pytest.mark.parametrize("pop, push", [
    ("BLPOP k 0", "RPUSH k a"), ("BRPOP k 0", "RPUSH k a b c"), ("BLPOP k 0", "LPUSH k a b c"), ("BLMOVE k l LEFT RIGHT 0", "RPUSH k a"),
    ("BLMOVE k k LEFT RIGHT 0", "RPUSH k a b"), ("BRPOPLPUSH k l 0", "RPUSH k a b"), ("BLMPOP 0 1 k LEFT COUNT 5", "RPUSH k a b c"),
    ("BLMPOP 0 2 j k RIGHT COUNT 2", "RPUSH k a b c"), ("BLPOP a b k 0", "RPUSH k x"), ("BZPOPMIN k 0", "ZADD k 1.5 a 2 b"),
    ("BZPOPMAX j k 0", "ZADD k 1.5 a 2 b"), ("BZMPOP 0 2 j k MIN", "ZADD k 1 a 2 b"), ("BZMPOP 0 1 k MAX COUNT 9", "ZADD k 1 a 2 b"),
])
def test_served(both, pop, push):
    both.check("w> %s\np: %s\nw<\np: TYPE k\np: EXISTS k j l a b" % (pop, push))
    both.check("w: MULTI\nw: %s\nw: EXEC" % pop)


def test_at_once_and_wrong(both):
    both.check("""
        p: RPUSH k a b
        w: BLPOP j k 0
        w: BLPOP k 0
        w: BLPOP k x
        w: BLPOP k -1
        w: BLPOP k 0.01
        w: BLPOP k 1e400
        w: BLPOP k
        p: SET s x
        w: BLPOP s 0
        w: BLPOP none s 0
        w: BRPOPLPUSH none none 0.01
        w: BLMOVE none none LEFT UP 0
        w: BLMPOP 0.01 1 none LEFT
        w: BLMPOP 0 0 none LEFT
        w: BZPOPMIN s 0
        w: BZPOPMIN none 0.01
        w: BZMPOP 0.01 1 none MIN
    """)


def test_first_come_first_served(both):
    both.check("""
        w1> BLPOP k 0
        w2> BLPOP k 0
        w3> BRPOP other k 0
        p: RPUSH k a
        w1<
        p: RPUSH k b
        w2<
        p: RPUSH k c
        w3<
        p: EXISTS k
    """)


def test_as_many_as_can_be_served(both):
    both.check("""
        w1> BLPOP k 0
        w2> BLPOP k 0
        w3> BLPOP k 0
        p: RPUSH k a b
        w1<
        w2<
        p: RPUSH k c d
        w3<
        p: LRANGE k 0 -1
    """)


def test_types_that_change_and_keys_that_go(both):
    both.check("""
        w> BLPOP k 0
        p: SET k x
        p: DEL k
        p: ZADD k 1 a
        p: DEL k
        p: HSET k f v
        p: FLUSHALL
        p: MULTI
        p: RPUSH k a
        p: DEL k
        p: EXEC
        p: MULTI
        p: DEL k
        p: RPUSH k b
        p: EXEC
        w<
        w> BZPOPMIN k 0
        p: RPUSH k a
        p: MULTI
        p: DEL k
        p: ZADD k 1 m
        p: EXEC
        w<
    """)


@pytest.mark.parametrize("way", [
    "RENAME other k", "COPY other k", "p2: SWAPDB 0 1", "p2: MOVE k 0", "SORT other ALPHA STORE k", "LMOVE other k LEFT LEFT",
    "RPOPLPUSH other k", "MULTI\np: RENAME other x\np: RENAME x k\np: EXEC",
])
def test_other_ways_to_come(both, way):
    if way.startswith("p2:"):
        both.check("p2: SELECT 1\np2: RPUSH k a\nw> BLPOP k 0\n%s\nw<\np2: FLUSHALL" % way)
    else:
        both.check("p: RPUSH other a\nw> BLPOP k 0\np: %s\nw<\np: EXISTS k other" % way)


def test_restored(both):
    payload = None
    for side in (both.oracle, both.ours):
        side.of("pusher").call("FLUSHALL")
        side.of("pusher").call("RPUSH", "other", "a", "b")
        payload = side.of("pusher").ask("DUMP", "other")
        if isinstance(payload, tuple):
            pytest.skip("no DUMP yet")
        side.of("w").send("BLPOP", "k", "0")
        wait_for(lambda: side.blocked() == 1, "a waiter")
        assert side.of("pusher").call("RESTORE", "k", "0", payload) == ("+", b"OK")
        assert side.of("w").read() == ("*", [("$", b"k"), ("$", b"a")])


def test_unblock_and_timeouts(both):
    both.check("""
        w> BLPOP k 0
        p: PING
        w2: PING
        w3: UNBLOCK w
        w<
        w3: UNBLOCK w
        w> BLMOVE k l LEFT LEFT 0
        w3: UNBLOCK w ERROR
        w<
        w> BLPOP k 0
        w3: UNBLOCK w TIMEOUT
        w<
        w: BLPOP k 0.02
        w: BRPOPLPUSH k l 0.02
        w: PING
    """)


def test_the_gone_take_nothing(both):
    both.check("""
        w1> BLPOP k 0
        w2> BLPOP k 0
        w1!
        p: RPUSH k a
        w2<
        w3> BLPOP k 0
        w3!
        p: RPUSH k b
        p: LRANGE k 0 -1
    """)


def test_what_follows_waits(both):
    for side in (both.oracle, both.ours):
        side.of("pusher").call("FLUSHALL")
        waiter = side.of("w")
        waiter.send("BLPOP", "k", "0")
        waiter.send("SET", "after", "1")
        waiter.send("PING")
        wait_for(lambda: side.blocked() == 1, "a waiter")
        assert side.of("pusher").ask("EXISTS", "after") == 0
        side.of("pusher").call("RPUSH", "k", "a")
        assert waiter.read() == ("*", [("$", b"k"), ("$", b"a")])
        assert waiter.read() == ("+", b"OK")
        assert waiter.read() == ("+", b"PONG")


# --- alone: exactly Redis's -----------------------------------------------------

def test_served_before_the_next_command(alone):
    for side in (alone.oracle, alone.ours):
        side.of("pusher").call("FLUSHALL")
        side.of("w").send("BLPOP", "k", "0")
        wait_for(lambda: side.blocked() == 1, "a waiter")
        replies = side.of("pusher").pipeline([[b"RPUSH", b"k", b"a"], [b"LLEN", b"k"], [b"RPUSH", b"k", b"b"], [b"LRANGE", b"k", b"0", b"-1"]])
        assert [reply[0] for reply in replies] == [(":", b"1"), (":", b"0"), (":", b"1"), ("*", [("$", b"b")])]
        assert side.of("w").read() == ("*", [("$", b"k"), ("$", b"a")])


def test_the_key_that_was_touched_first(alone):
    alone.check("""
        w> BLPOP k1 k2 0
        p: MULTI
        p: RPUSH k2 two
        p: RPUSH k1 one
        p: EXEC
        w<
        p: EXISTS k1 k2
        w> BLMPOP 0 3 a b c LEFT COUNT 2
        p: MULTI
        p: RPUSH c 3 4
        p: RPUSH a 1 2
        p: RPUSH b 5
        p: EXEC
        w<
        p: EXISTS a b c
        w1> BZPOPMIN x y 0
        w2> BZMPOP 0 2 y x MAX
        p: MULTI
        p: ZADD y 1 a
        p: ZADD x 2 b
        p: EXEC
        w1<
        w2<
    """)


def test_chains(alone):
    alone.check("""
        w1> BLMOVE a b LEFT RIGHT 0
        w2> BLMOVE b c LEFT RIGHT 0
        w3> BLPOP c 0
        p: RPUSH a x
        w1<
        w2<
        w3<
        p: EXISTS a b c
        w1> BRPOPLPUSH self self 0
        p: RPUSH self x
        w1<
        p: SET dst string
        w1> BLMOVE src dst LEFT LEFT 0
        w2> BLPOP src 0
        p: RPUSH src x
        w1<
        w2<
        p: EXISTS src
    """)


def test_many_waiters(alone):
    """A thousand on one key: each is served once."""
    waiters = []
    with alone.ours.servers[0].connect() as pusher:
        pusher.ask("FLUSHALL")
        for _ in range(1000):
            connection = alone.ours.servers[0].connect(30)
            connection.send("BLPOP", "k", "0")
            waiters.append(connection)
        wait_for(lambda: alone.ours.blocked() == 1000, "a thousand waiters")
        for i in range(1000):
            pusher.ask("RPUSH", "k", str(i))
        for connection in waiters:
            reply = connection.read()
            assert reply[0] == "*" and reply[1][0] == ("$", b"k")
            connection.close()
        assert pusher.ask("EXISTS", "k") == 0


def test_what_follows_in_one_go_is_answered(pair):
    """A command that could wait and need not, and more behind it in the same segment."""
    pair.check_all([[b"SET", b"s", b"x"], [b"RPUSH", b"l", b"a", b"b"]])
    for words in ([b"BLPOP", b"s", b"1"], [b"BLPOP", b"l", b"1"], [b"XREADGROUP", b"GROUP", b"g", b"c", b"STREAMS", b"x", b">"]):
        pair.check_all([words, [b"PING"], [b"SET", b"a", b"1"], [b"GET", b"a"]], batch=4)
