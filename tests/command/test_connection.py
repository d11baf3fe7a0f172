"""Connection and server commands, compared with the oracle where the answer
does not name the server itself."""
import pytest

import resp
import servers
from compare import Pair


def test_ping_echo(pair):
    pair.script(r"""
        PING
        ping
        PING hello
        PING ""
        PING a b
        ECHO hello
        ECHO ""
        ECHO
        ECHO a b
        NOSUCH
        NOSUCH a b
        nosuch "with \"quotes\"" "\x00\xff" "line\r\nbreak"
        nosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuchnosuch aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
        "" a
    """)


def test_hello(pair2):
    pair2.script(r"""
        HELLO
        HELLO 2
        HELLO 3
        GET missing
        HELLO 2
        GET missing
        HELLO 1
        HELLO 4
        HELLO x
        HELLO ""
        HELLO 3 BOGUS
        HELLO 3 SETNAME
        HELLO 3 SETNAME "bad name"
        HELLO 3 SETNAME good
        CLIENT GETNAME
        HELLO 3 AUTH
        HELLO 3 AUTH default
        HELLO 3 AUTH default wrong
        HELLO 2 AUTH nobody pass SETNAME x
        CLIENT GETNAME
        RESET
        CLIENT GETNAME
        GET missing
    """)


def test_auth_without_password(pair2):
    pair2.script(r"""
        AUTH x
        AUTH default x
        AUTH nobody x
        AUTH
        AUTH a b c
    """)


def one_session_each(pair):
    """Only the first replica: for state that belongs to one connection."""
    pair.ours.connections[1:], rest = [], pair.ours.connections[1:]
    for connection in rest:
        connection.close()


def test_client(pair):
    one_session_each(pair)
    pair.script(r"""
        CLIENT GETNAME
        CLIENT SETNAME bob
        CLIENT GETNAME
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT SETNAME "a b"
        CLIENT SETNAME "a\nb"
        CLIENT SETNAME
        CLIENT ID
        CLIENT ID x
        CLIENT INFO
        CLIENT LIST
        CLIENT LIST TYPE normal
        CLIENT LIST TYPE bogus
        CLIENT LIST TYPE
        CLIENT LIST ID 999999999
        CLIENT LIST ID x
        CLIENT LIST ID
        CLIENT LIST BOGUS
        CLIENT KILL ID 999999999
        CLIENT KILL ID x
        CLIENT KILL ID 0
        CLIENT KILL TYPE bogus
        CLIENT KILL USER nobody
        CLIENT KILL ADDR 1.2.3.4:5
        CLIENT KILL LADDR 1.2.3.4:5
        CLIENT KILL SKIPME maybe
        CLIENT KILL BOGUS x
        CLIENT KILL 1.2.3.4:5
        CLIENT KILL
        CLIENT KILL ID
        CLIENT NO-EVICT on
        CLIENT NO-EVICT off
        CLIENT NO-EVICT maybe
        CLIENT NO-EVICT
        CLIENT UNBLOCK 999999999
        CLIENT UNBLOCK x
        CLIENT UNBLOCK 1 BOGUS
        CLIENT UNBLOCK
        CLIENT PAUSE
        CLIENT PAUSE x
        CLIENT PAUSE -1
        CLIENT PAUSE 0
        CLIENT PAUSE 0 WRITE
        CLIENT PAUSE 0 BOGUS
        CLIENT UNPAUSE
        CLIENT UNPAUSE x
        CLIENT REPLY
        CLIENT REPLY BOGUS
        CLIENT REPLY ON
        CLIENT BOGUS
        CLIENT
    """)


def replies_of(connection, commands, end=b"+done"):
    connection.send_raw(b"".join(resp.encode(words) for words in commands) + resp.encode(["ECHO", "the end"]))
    replies = []
    while not replies or replies[-1] != b"$7\r\nthe end\r\n":
        replies.append(connection.read_exact()[1])
    return replies


@pytest.mark.parametrize("commands", [
    [["CLIENT", "REPLY", "OFF"], ["SET", "a", "1"], ["GET", "a"], ["CLIENT", "REPLY", "ON"], ["GET", "a"]],
    [["CLIENT", "REPLY", "SKIP"], ["SET", "a", "2"], ["GET", "a"]],
    [["CLIENT", "REPLY", "SKIP"], ["NOSUCH"], ["GET", "a"]],
    [["CLIENT", "REPLY", "OFF"], ["CLIENT", "REPLY", "SKIP"], ["PING"], ["CLIENT", "REPLY", "ON"], ["PING"]],
    [["CLIENT", "REPLY", "OFF"], ["RESET"], ["PING"]],
    [["SELECT", "3"], ["SET", "a", "1"], ["RESET"], ["GET", "a"]],
    [["HELLO", "3", "SETNAME", "x"], ["RESET"], ["CLIENT", "GETNAME"], ["GET", "none"]],
], ids=["off-on", "skip", "skip-error", "off-skip", "reset", "reset-db", "reset-hello"])
def test_reply_modes(pair2, commands):
    outcomes = []
    for side in (pair2.oracle, pair2.ours):
        side.reconnect()
        replies = replies_of(side.connections[0], commands)
        if commands[0][0] == "HELLO":
            replies = replies[1:]
        outcomes.append(replies)
    assert outcomes[0] == outcomes[1], "oracle %r\nours   %r" % tuple(text[:200] for text in outcomes)


def test_quit_and_what_follows(pair2):
    outcomes = []
    for side in (pair2.oracle, pair2.ours):
        side.reconnect()
        side.connections[0].send_raw(resp.encode(["SET", "a", "1"]) + resp.encode(["QUIT"]) + resp.encode(["GET", "a"]))
        outcomes.append(side.connections[0].read_until_closed())
        side.reconnect()
    assert outcomes[0] == outcomes[1] == b"+OK\r\n+OK\r\n"


PROTOCOL = [
    b"*1\r\n$4\r\nPING\r\n", b"PING\r\n", b"PING\n", b"ping hello\r\n", b'ECHO "a b"\r\n', b"ECHO 'a b'\r\n",
    b'ECHO "\\x41\\n\\"q"\r\n', b"ECHO 'it\\'s'\r\n", b"\r\n\r\nPING\r\n", b"   \r\nPING\r\n", b'ECHO "open\r\n',
    b'ECHO "a"b\r\n', b"*0\r\nPING\r\n", b"*-1\r\nPING\r\n", b"*-10\r\nPING\r\n", b"*x\r\n", b"*\r\n", b"*1x\r\n", b"* 1\r\n",
    b"*1048577\r\n", b"*2147483648\r\n", b"*1\r\nx", b"*1\r\n+PING\r\n", b"*1\r\n$x\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$\r\n",
    b"*1\r\n$536870913\r\n", b"*1\r\n$99999999999999999999\r\n", b"*2\r\n$4\r\nECHO\r\n$5\r\nab\r\nc\r\n",
    b"*1\r\n$0\r\n\r\n", b"*1\n$4\nPING\n", b"*1\r\n$4\r\nPINGxx", b"*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n",
    b"SET k v\r\nGET k\r\n*x\r\n", b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000, b"G" * 70000, b"\xff\xfe\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"Host: x\r\n", b"post x\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n", b"+PING\r\n", b"$4\r\nPING\r\n", b"*1\r\n*1\r\n$4\r\nPING\r\n",
]


@pytest.mark.parametrize("data", PROTOCOL, ids=range(len(PROTOCOL)))
@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytewise"])
def test_protocol_on_the_wire(oracle_server, lone_server, data, split):
    """The same bytes, whole or in pieces; then half of the connection is closed
    by us, and everything that comes back is compared."""
    outcomes = []
    for server in (oracle_server, lone_server):
        with server.connect() as c:
            try:
                if split and len(data) < 200:
                    for at in range(len(data)):
                        c.send_raw(data[at:at + 1])
                else:
                    c.send_raw(data)
                c.send_raw(b"")
                c.socket.shutdown(1)
            except OSError:
                pass
            outcomes.append(c.read_until_closed())
    assert outcomes[0] == outcomes[1], "oracle %r\nours   %r" % tuple(text[:200] for text in outcomes)


def test_pipeline_without_limit(pair):
    commands = [[b"SET", b"k%d" % (i % 100), b"v%d" % i] if i % 3 else [b"GET", b"k%d" % (i % 100)]
                for i in range(20000)]
    pair.check_all(commands, batch=20000)


def test_command_introspection(pair):
    names = """
        set get getex getdel getset setnx setex psetex mset msetnx mget append strlen getrange setrange substr incr
        decr incrby decrby incrbyfloat lcs getbit setbit bitcount bitpos bitop bitfield bitfield_ro del unlink exists
        type keys scan randomkey rename renamenx copy move touch expire pexpire expireat pexpireat ttl pttl persist
        expiretime pexpiretime dbsize flushdb flushall swapdb select ping echo hello auth quit reset time debug
        readonly readwrite role wait shutdown info""".split()

    def row(reply):
        """Name, arity, flags, keys, categories, tips, key specs; lists without
        an order of their own sorted; subcommands apart."""
        items = reply[1]

        def unordered(item):
            return (item[0], sorted(map(repr, item[1]))) if isinstance(item[1], list) else item
        return [items[0], items[1], unordered(items[2]), *items[3:6], unordered(items[6]), unordered(items[7]), items[8]]

    differences = []
    for name in names:
        expected = pair.oracle.run([[b"COMMAND", b"INFO", name.encode()]])[0][0]
        actual = pair.ours.run([[b"COMMAND", b"INFO", name.encode()]])[0][0]
        if expected[1] is None or actual[1] is None or not expected[1][0][1] or not actual[1][0][1]:
            differences.append("%s: %s, %s" % (name, expected, actual))
            continue
        for what, a, b in zip("name arity flags first last step categories tips specs".split(),
                              row(expected[1][0]), row(actual[1][0])):
            if a != b:
                differences.append("%s: %s\n  oracle: %s\n  ours:   %s" % (name, what, a, b))
    assert not differences, "\n".join(differences)
    pair.script(r"""
        COMMAND INFO nosuch
        COMMAND INFO nosuch nosuch2
        COMMAND GETKEYS SET a 1
        COMMAND GETKEYS GET a
        COMMAND GETKEYS MSET a 1 b 2 c 3
        COMMAND GETKEYS MGET a b c
        COMMAND GETKEYS BITOP AND dest a b
        COMMAND GETKEYS COPY a b
        COMMAND GETKEYS OBJECT ENCODING k
        COMMAND GETKEYS PING
        COMMAND GETKEYS DBSIZE
        COMMAND GETKEYS NOSUCH
        COMMAND GETKEYS SET
        COMMAND GETKEYS GET
        COMMAND GETKEYS
        COMMAND GETKEYSANDFLAGS SET a 1
        COMMAND GETKEYSANDFLAGS COPY a b
        COMMAND LIST FILTERBY BOGUS x
        COMMAND LIST FILTERBY
        COMMAND LIST BOGUS
        COMMAND LIST FILTERBY PATTERN nosuch*
        COMMAND LIST FILTERBY PATTERN "incr*"
        COMMAND LIST FILTERBY ACLCAT nosuch
        COMMAND LIST FILTERBY MODULE nosuch
        COMMAND COUNT x
        COMMAND BOGUS
        COMMAND DOCS nosuch
    """)


def test_command_lists_agree(group):
    with group[0].connect() as c:
        count = c.ask("COMMAND", "COUNT")
        assert len([name for name in c.ask("COMMAND", "LIST") if b"|" not in name]) == count == len(c.ask("COMMAND"))
        docs = c.ask("COMMAND", "DOCS", "get")
        assert docs[0] == b"get"
        assert b"summary" in docs[1] and b"since" in docs[1] and b"group" in docs[1]
        c.ask("HELLO", "3")
        assert c.ask("COMMAND", "DOCS", "get")[b"get"][b"since"] == b"1.0.0"


def docs_by_name(reply):
    """Rows and subcommands by full name, from COMMAND DOCS of RESP2."""
    found = {}
    for name, pairs in zip(reply[::2], reply[1::2]):
        row = dict(zip(pairs[::2], pairs[1::2]))
        found[name] = row
        found.update(docs_by_name(row.get(b"subcommands", [])))
    return found


def test_history_is_of_the_same_versions(group, oracle_server):
    """What a version changed is told in our own words, for the same versions in the same order."""
    rows = []
    for server in (group[0], oracle_server):
        with server.connect() as c:
            rows.append(docs_by_name(c.ask("COMMAND", "DOCS")))
    ours, theirs = rows

    def versions(row):
        return [version for version, _ in row.get(b"history", [])]
    common = set(ours) & set(theirs)
    assert len(common) > 100
    assert {n: versions(ours[n]) for n in common} == {n: versions(theirs[n]) for n in common}
    assert any(versions(ours[n]) for n in common)
    assert all(text for n in common for _, text in ours[n].get(b"history", []))


def test_no_touch(group):
    """Reads and writes of a client that asked for it leave the access frequency alone; TOUCH does not."""
    if servers.is_oracle():
        pytest.skip("the oracle does not know it yet")
    with group[0].connect() as c:
        c.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        c.ask("SET", "untouched", "1")
        start = c.ask("OBJECT", "FREQ", "untouched")
        assert c.ask("CLIENT", "NO-TOUCH", "ON") == b"OK"
        for words in (["GET", "untouched"], ["INCR", "untouched"], ["APPEND", "untouched", "1"]):
            c.ask(*words)
            assert c.ask("OBJECT", "FREQ", "untouched") == start, words
        assert c.ask("TOUCH", "untouched") == 1
        assert c.ask("OBJECT", "FREQ", "untouched") == start + 1  # the first access always counts
        # Another client's reads count again: the switch is the connection's.
        with group[0].connect() as other:
            for _ in range(1000):
                other.ask("GET", "untouched")
        assert c.ask("OBJECT", "FREQ", "untouched") > start + 1
        c.ask("CLIENT", "NO-TOUCH", "OFF")
        c.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_config(pair):
    pair.script(r"""
        CONFIG GET nosuch
        CONFIG GET maxclients
        CONFIG GET
        CONFIG SET
        CONFIG SET maxclients
        CONFIG SET nosuch 1
        CONFIG SET maxclients x
        CONFIG SET maxclients 0
        CONFIG SET timeout -1
        CONFIG SET timeout 0
        CONFIG GET timeout
        CONFIG SET timeout 0 timeout 0
        CONFIG SET databases 20
        CONFIG SET proto-max-bulk-len 512mb
        CONFIG GET proto-max-bulk-len
        CONFIG SET proto-max-bulk-len 1
        CONFIG SET loglevel bogus
        CONFIG SET loglevel notice
        CONFIG GET loglevel
        CONFIG SET hz 10
        CONFIG GET hz
        CONFIG RESETSTAT
        CONFIG RESETSTAT x
        CONFIG REWRITE x
        CONFIG BOGUS
        CONFIG
    """)


def test_config_get_patterns(group):
    with group[0].connect() as c:
        pairs = c.ask("CONFIG", "GET", "*")
        values = dict(zip(pairs[::2], pairs[1::2]))
        for name in (b"port", b"bind", b"dir", b"maxclients", b"timeout", b"databases", b"requirepass", b"logfile",
                     b"loglevel", b"proto-max-bulk-len", b"client-output-buffer-limit", b"hz"):
            assert name in values, name
        assert c.ask("CONFIG", "GET", "maxclient*", "timeout")[::2] in ([b"maxclients", b"timeout"],
                                                                        [b"timeout", b"maxclients"])
        c.ask("CONFIG", "SET", "timeout", "77", "maxclients", "9000")
        assert c.ask("CONFIG", "GET", "timeout") == [b"timeout", b"77"]
        c.ask("CONFIG", "SET", "timeout", "0", "maxclients", "10000")


def test_server_commands(pair):
    pair.script(r"""
        TIME
        TIME x
        INFO a b c
        READONLY x
        READWRITE x
        ROLE x
        WAIT
        WAIT x 0
        WAIT 0 x
        WAIT 0 -1
        WAIT -1 0
        WAIT 0 0
        SHUTDOWN BOGUS
        SHUTDOWN NOSAVE SAVE
        DEBUG
        DEBUG BOGUS
        DEBUG SLEEP 0
        DEBUG OBJECT missing
        DEBUG SET-ACTIVE-EXPIRE 1
        DEBUG SLEEP
    """)


def test_info(group):
    with group[0].connect() as c:
        text = c.ask("INFO")
        for field in (b"redis_version:7.", b"process_id:", b"uptime_in_seconds:", b"connected_clients:",
                      b"used_memory:", b"total_commands_processed:", b"role:", b"keyspace_hits:", b"tcp_port:",
                      b"used_memory_rss:", b"instantaneous_ops_per_sec:", b"expired_keys:", b"evicted_keys:"):
            assert field in text, field
        assert b"# Server" in text and b"# Clients" in text
        c.call("SET", "info", "1")
        assert b"db0:keys=" in c.ask("INFO", "keyspace")
        assert b"# Clients" not in c.ask("INFO", "server")
        assert b"redis_version" in c.ask("INFO", "server", "clients")
        assert c.ask("INFO", "nosuch") == b""
        c.ask("DEL", "info")


def test_client_list_and_kill(group):
    server = group[0]
    with server.connect() as a, server.connect() as b:
        a.ask("CLIENT", "SETNAME", "first")
        b.ask("CLIENT", "SETNAME", "second")
        ids = [c.ask("CLIENT", "ID") for c in (a, b)]
        assert ids[0] != ids[1]
        listed = a.ask("CLIENT", "LIST")
        assert b"name=first" in listed and b"name=second" in listed
        assert a.ask("CLIENT", "LIST", "ID", ids[1]).count(b"\n") == 1
        assert a.ask("CLIENT", "KILL", "ID", ids[1]) == 1
        assert b.read_until_closed() == b""
        assert b"name=second" not in a.ask("CLIENT", "LIST")
        assert a.ask("CLIENT", "KILL", "ID", ids[0], "SKIPME", "no") == 1
        assert a.read_until_closed() in (b"", b":1\r\n")


def test_client_pause(group):
    server = group[0]
    with server.connect() as a, server.connect(timeout=20) as b:
        assert a.ask("CLIENT", "PAUSE", "60000", "WRITE") == b"OK"
        b.send("SET", "paused", "1")
        assert a.ask("GET", "paused") is None
        assert a.ask("CLIENT", "UNPAUSE") == b"OK"
        assert b.read() == ("+", b"OK")
        b.ask("DEL", "paused")


def test_requirepass(group):
    """A password set while running: unauthenticated clients are refused with
    Redis's texts, by every way of authenticating."""
    server = group[0]
    with server.connect() as admin:
        assert admin.ask("CONFIG", "SET", "requirepass", "secret") == b"OK"
        try:
            with server.connect() as c:
                assert c.call("GET", "a") == ("-", b"NOAUTH Authentication required.")
                assert c.call("PING") == ("-", b"NOAUTH Authentication required.")
                assert c.call("NOSUCH")[1].startswith(b"NOAUTH") or c.call("NOSUCH")[1].startswith(b"ERR unknown")
                assert c.call("HELLO", "3") [1].startswith(b"NOAUTH HELLO must be called with the client already")
                assert c.call("AUTH", "wrong")[1] == b"WRONGPASS invalid username-password pair or user is disabled."
                assert c.call("AUTH", "default", "wrong")[1].startswith(b"WRONGPASS")
                assert c.call("AUTH", "secret") == ("+", b"OK")
                assert c.call("PING") == ("+", b"PONG")
                c.call("RESET")
                assert c.call("PING")[0] == "-"
                assert c.call("HELLO", "3", "AUTH", "default", "secret")[0] == "%"
                assert c.call("PING") == ("+", b"PONG")
        finally:
            admin.ask("CONFIG", "SET", "requirepass", "")


def test_debug_refused_by_default(group):
    import servers
    if servers.is_oracle():
        pytest.skip("ours alone")
    server = servers.Server(servers.binary_path(), servers.free_ports(1)[0])
    try:
        server.start()
        with server.connect() as c:
            assert c.call("DEBUG", "SLEEP", "0")[1].startswith(b"ERR DEBUG command not allowed.")
    finally:
        server.stop()
        server.remove()
