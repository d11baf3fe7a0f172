"""Keys and expiry, compared with the oracle."""


def test_del_exists_type_touch(pair):
    pair.script(r"""
        MSET a 1 b 2 c 3
        EXISTS a
        EXISTS a a b missing
        TYPE a
        TYPE missing
        TOUCH a b missing a
        DEL a missing b
        UNLINK c c
        DBSIZE
        DEL
        UNLINK
        EXISTS
        TOUCH
        TYPE
        TYPE a b
        DBSIZE x
    """)


def test_keys_patterns(pair):
    pair.script(r"""
        MSET hello 1 hallo 2 hxllo 3 hllo 4 heeello 5 h[]llo 6 "h*llo" 7 "h\\llo" 8 "" 9 abc 10 "\xff\x00" 11
        KEYS *
        KEYS h?llo
        KEYS h*llo
        KEYS h[ae]llo
        KEYS h[^e]llo
        KEYS h[a-b]llo
        KEYS h[b-a]llo
        KEYS h\\*llo
        KEYS h\\?llo
        KEYS h[\\]]*
        KEYS "h\\[\\]llo"
        KEYS "h\\\\llo"
        KEYS ""
        KEYS a
        KEYS abc
        KEYS a*c
        KEYS *b*
        KEYS [
        KEYS [a
        KEYS h[
        KEYS "*\\"
        KEYS "\xff*"
        KEYS a***c
        KEYS HELLO
        KEYS
        KEYS a b
    """)


def test_scan_arguments(pair):
    pair.script(r"""
        SCAN 0 COUNT 1000
        MSET a 1 b 2 ab 3
        SCAN 0 COUNT 1000
        SCAN 0 COUNT 1000 MATCH a*
        SCAN 0 MATCH a* COUNT 1000 TYPE string
        SCAN 0 COUNT 1000 TYPE list
        SCAN 0 COUNT 1000 TYPE nosuchtype
        SCAN 0 COUNT 1000 TYPE STRING
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 COUNT
        SCAN 0 MATCH
        SCAN 0 BOGUS x
        SCAN x
        SCAN ""
        SCAN " 0"
        SCAN 0x
        SCAN 18446744073709551616
        SCAN
    """)


def test_scan_finds_every_key(pair):
    """SCAN's guarantee: a key that is there all along is returned, while others
    come and go and the table resizes."""
    keys = [b"stay:%d" % i for i in range(3000)]
    commands = [[b"SET", key, b"x"] for key in keys]
    pair.ours.run(commands, 100)
    for connection in pair.ours.connections:
        found, cursor, step = set(), b"0", 0
        while True:
            reply = connection.ask("SCAN", cursor, "COUNT", "50", "MATCH", "stay:*")
            cursor = reply[0]
            found.update(reply[1])
            step += 1
            if step % 2:
                connection.pipeline([[b"SET", b"come:%d:%d" % (step, i), b"x"] for i in range(100)])
            else:
                connection.pipeline([[b"DEL"] + [b"come:%d:%d" % (step - 1, i) for i in range(100)]])
            if cursor == b"0":
                break
            assert step < 5000
        assert found >= set(keys)
        keys_left = keys[:200]
        connection.pipeline([[b"DEL", key] for key in keys[200:]])
        keys = keys_left


def test_randomkey(pair):
    pair.script("RANDOMKEY\nSET a 1\nRANDOMKEY\nRANDOMKEY x")
    commands = [[b"SET", b"k%d" % i, b"x"] for i in range(50)]
    pair.ours.run(commands, 50)
    seen = {reply[1] for reply, _ in pair.ours.run([[b"RANDOMKEY"]] * 300, 10)}
    assert len(seen) > 10
    assert seen <= {b"a"} | {b"k%d" % i for i in range(50)}


def test_rename_copy_move(pair):
    pair.script(r"""
        SET a 1
        RENAME a b
        GET a
        GET b
        RENAME missing x
        RENAME b b
        RENAME missing missing
        SET c 3 EX 1000
        RENAME c b
        TTL b
        GET b
        RENAMENX b d
        SET e 5
        RENAMENX d e
        RENAMENX missing e
        RENAMENX missing missing
        RENAMENX d d
        RENAME a
        RENAMENX a
        COPY d f
        TTL f
        GET f
        COPY d f
        COPY d f REPLACE
        COPY d d
        COPY d d REPLACE
        COPY missing x
        COPY d f DB 1
        COPY d f DB 1
        COPY d f DB 1 REPLACE
        COPY d d DB 1
        COPY d d DB 0
        COPY d f DB 16
        COPY d f DB -1
        COPY d f DB x
        COPY d f DB
        COPY d f BOGUS
        COPY d
        SELECT 1
        KEYS *
        TTL f
        SELECT 0
        MOVE e 1
        MOVE e 1
        SET e again
        MOVE e 1
        MOVE e 0
        MOVE e 16
        MOVE e -1
        MOVE e x
        MOVE e
        SET t v EX 1000
        MOVE t 2
        SELECT 2
        TTL t
        SELECT 15
        SELECT 16
        SELECT -1
        SELECT x
        SELECT
        SELECT 0 1
        SELECT 0
    """)


def test_databases(pair):
    pair.script(r"""
        SET a 0
        SELECT 3
        SET a 3
        SET b 3
        SWAPDB 0 3
        GET a
        DBSIZE
        SELECT 0
        GET a
        KEYS *
        SWAPDB 0 0
        SWAPDB 0 16
        SWAPDB 16 0
        SWAPDB x 0
        SWAPDB 0 x
        SWAPDB 0
        FLUSHDB
        DBSIZE
        SELECT 3
        DBSIZE
        FLUSHDB SYNC
        SET a 1
        FLUSHDB ASYNC
        FLUSHDB BOGUS
        FLUSHDB SYNC ASYNC
        SET a 1
        FLUSHALL sync
        DBSIZE
        FLUSHALL BOGUS
        FLUSHALL ASYNC
        FLUSHALL
        SELECT 0
        DBSIZE
    """)


def test_expire(pair):
    pair.script(r"""
        SET k v
        TTL k
        PTTL k
        TTL missing
        PTTL missing
        EXPIRETIME k
        PEXPIRETIME k
        EXPIRETIME missing
        PEXPIRETIME missing
        EXPIRE k 1000
        TTL k
        PTTL k
        EXPIRE missing 1000
        PERSIST k
        PERSIST k
        PERSIST missing
        PEXPIRE k 1000000
        PTTL k
        EXPIREAT k 4102444800
        EXPIRETIME k
        PEXPIRETIME k
        PEXPIREAT k 4102444800999
        EXPIRETIME k
        PEXPIRETIME k
        EXPIRE k 5000 NX
        PERSIST k
        EXPIRE k 5000 XX
        EXPIRE k 5000 GT
        EXPIRE k 5000 LT
        EXPIRE k 1000 GT
        EXPIRE k 9000 GT
        EXPIRE k 20000 LT
        EXPIRE k 2000 LT
        EXPIRE k 2000 NX XX
        EXPIRE k 2000 NX GT
        EXPIRE k 2000 GT LT
        EXPIRE k 9000 XX GT
        EXPIRE k 500 xx lt
        EXPIRE k 500 NX NX
        EXPIRE k 500 BOGUS
        EXPIRE k 500 NX BOGUS
        EXPIRE k x
        EXPIRE k ""
        EXPIRE k 1.5
        EXPIRE k 9223372036854775807
        EXPIRE k -9223372036854775808
        EXPIRE k 9223372036854775
        EXPIRE k 9223370400000000
        PEXPIRE k 9223372036854775807
        EXPIREAT k 9223372036854775807
        EXPIREAT k 9223372036854775
        PEXPIREAT k 9223372036854775807
        PEXPIRETIME k
        EXPIRE k
        EXPIRE
        TTL
        PTTL a b
        PERSIST
        EXPIRETIME
        PEXPIRETIME a b
        EXPIRE k 0
        EXISTS k
        SET k v
        EXPIRE k -1
        EXISTS k
        SET k v
        EXPIREAT k 1
        EXISTS k
        SET k v
        PEXPIREAT k 0
        EXISTS k
        SET k v
        EXPIRE k -1 GT
        EXISTS k
        SET k v EX 1000
        EXPIRE k 0 LT
        EXISTS k
        DBSIZE
    """)


def test_expiry_follows_the_key(pair):
    pair.script(r"""
        SET a 1 EX 1000
        RENAME a b
        TTL b
        COPY b c
        TTL c
        SET c 1
        TTL c
        SET d 1 EX 5000
        RENAME c d
        TTL d
        DEL b
        SET b 1
        TTL b
        SET x 1 EX 1000
        DEL x
        SETNX x 1
        TTL x
        SET y 1 EX 1000
        FLUSHDB
        SET y 1
        TTL y
    """)


def test_object(pair):
    pair.script(r"""
        SET k v
        OBJECT ENCODING k
        OBJECT ENCODING missing
        OBJECT REFCOUNT k
        OBJECT REFCOUNT missing
        OBJECT IDLETIME k
        OBJECT IDLETIME missing
        OBJECT FREQ k
        OBJECT FREQ missing
        OBJECT HELP
        OBJECT help
        OBJECT BOGUS k
        OBJECT
        OBJECT ENCODING
        OBJECT ENCODING k k
        OBJECT HELP x
    """)
