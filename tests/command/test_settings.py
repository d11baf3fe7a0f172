"""CONFIG GET and SET of what all replicas share: names, aliases, limits and error
texts as the oracle has them; in effect on every replica once it is answered."""
import pytest

import resp
import servers
from servers import wait_for

NAMES = ("hash-max-listpack-entries hash-max-listpack-value list-max-listpack-size list-compress-depth "
         "set-max-intset-entries zset-max-listpack-entries zset-max-listpack-value hll-sparse-max-bytes "
         "stream-node-max-bytes stream-node-max-entries").split()


@pytest.fixture
def restored(group, oracle_server):
    """The values in force before come back, on both sides."""
    both = [server.connect() for server in (group[0], oracle_server)]
    before = [[(name, c.ask("CONFIG", "GET", name)[1]) for name in NAMES] for c in both]
    yield
    for c, values in zip(both, before):
        for name, value in values:
            c.ask("CONFIG", "SET", name, value)
        c.close()


def test_names_and_texts(pair2, restored):
    pair2.script("\n".join("CONFIG GET %s" % name for name in NAMES) + r"""
        CONFIG GET hash-max-ziplist-entries
        CONFIG GET HASH-MAX-ziplist-VALUE
        CONFIG GET list-max-ziplist-size
        CONFIG SET hash-max-ziplist-entries 5 hash-max-listpack-entries 6
        CONFIG GET hash-max-ziplist-entries
        CONFIG SET hash-max-listpack-entries 7 hash-max-listpack-entries 8
        CONFIG GET hash-max-listpack-entries
        CONFIG SET hash-max-ziplist-entries -1
        CONFIG SET hash-max-listpack-value 1kb
        CONFIG GET hash-max-listpack-value
        CONFIG SET hash-max-listpack-value x
        CONFIG SET hash-max-listpack-entries 1kb
        CONFIG SET list-max-listpack-size -6
        CONFIG GET list-max-listpack-size
        CONFIG SET list-max-listpack-size 99999999999
        CONFIG SET list-compress-depth -1
        CONFIG SET stream-node-max-entries -1
        CONFIG SET stream-node-max-bytes 0
        CONFIG SET hll-sparse-max-bytes 4kb
        CONFIG GET hll-sparse-max-bytes
        CONFIG SET timeout 100 hash-max-listpack-entries x
        CONFIG GET timeout
        CONFIG SET hash-max-listpack-entries 9 timeout x
        CONFIG GET hash-max-listpack-entries
        CONFIG SET zset-max-ziplist-value 5 set-max-intset-entries 7 timeout 0
        CONFIG GET zset-max-listpack-value
        CONFIG SET set-max-intset-entries
        CONFIG SET set-max-intset-entries 1 nosuch
    """)


def test_in_effect_at_once(pair2, restored):
    """The next replica's client sees the new threshold."""
    pair2.script(r"""
        CONFIG SET set-max-intset-entries 3
        SADD s 1 2 3
        OBJECT ENCODING s
        SADD s 4
        OBJECT ENCODING s
        CONFIG SET set-max-intset-entries 4
        SADD t 1 2 3 4
        OBJECT ENCODING t
        OBJECT ENCODING s
        CONFIG SET hash-max-listpack-entries 1
        HSET h a 1
        OBJECT ENCODING h
        HSET h b 1
        OBJECT ENCODING h
    """)


def test_inside_a_transaction(group, restored):
    with group[0].connect() as c:
        c.ask("MULTI")
        c.ask("CONFIG", "SET", "timeout", "0")
        c.ask("CONFIG", "SET", "set-max-intset-entries", "5")
        replies = c.ask("EXEC")
        assert replies[0] == b"OK"
        if len(set(server.port for server in group)) == 1:
            assert replies[1] == b"OK"
        else:
            assert resp.is_error(replies[1], "ERR CONFIG SET of what the members share")


def test_a_value_given_at_start():
    """Alone it holds, over what a snapshot says."""
    server = servers.lone(["--set-max-intset-entries", "2", "--zset-max-ziplist-entries", "3"]).start()
    try:
        server.ask("SADD", "s", "1", "2", "3")
        assert server.ask("OBJECT", "ENCODING", "s") == b"hashtable"
        assert server.ask("CONFIG", "GET", "zset-max-listpack-entries") == [b"zset-max-listpack-entries", b"3"]
        assert server.ask("CONFIG", "SET", "set-max-intset-entries", "9", "hash-max-listpack-entries", "77") == b"OK"
        server.ask("DEL", "s")
        assert server.ask("SAVE") == b"OK"
        assert server.stop() == 0
        server.start()
        assert server.ask("CONFIG", "GET", "set-max-intset-entries")[1] == b"2"
        assert server.ask("CONFIG", "GET", "hash-max-listpack-entries")[1] == b"77"
    finally:
        server.stop()
        server.remove()


def test_values_given_to_members():
    """The first is agreed on; who was given another says so and follows."""
    cluster = servers.Cluster(3)
    try:
        cluster[1].options += ["--set-max-intset-entries", "5"]
        cluster[2].options += ["--set-max-intset-entries", "6"]
        cluster.start()

        def agreed():
            values = {server.ask("CONFIG", "GET", "set-max-intset-entries")[1] for server in cluster}
            return values.pop() if len(values) == 1 and values != {b"512"} else None
        value = wait_for(agreed, "an agreed value")
        assert value in (b"5", b"6")
        loser = cluster[2 if value == b"5" else 1]
        wait_for(lambda: "the members have agreed on" in loser.output(), "a warning")
        assert cluster[3].ask("CONFIG", "SET", "set-max-intset-entries", "7") == b"OK"
        assert agreed() == b"7"
        for server in cluster:
            server.kill()
        cluster.start()
        wait_for(lambda: agreed() == b"7", "what was set to last")
    finally:
        for server in cluster:
            server.stop()
        cluster.remove()
