"""MULTI, EXEC, DISCARD, WATCH and UNWATCH, compared with the oracle; what the
oracle has not (conditions of EXEC) by hand.

In a group of three, watcher and writer are clients of different replicas."""
import pytest

import resp
from compare import Pair, same_shape
from servers import wait_for


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def single(request, oracle_server, group):
    """One session: a transaction belongs to its connection."""
    both = Pair(oracle_server, group[:1], protocol=request.param)
    yield both
    both.close()


def test_queueing(single):
    single.script(r"""
        MULTI
        SET a 1
        INCR a
        GET a
        EXEC
        GET a
        EXEC
        DISCARD
        MULTI
        MULTI
        WATCH a
        SET a 2
        EXEC
        MULTI
        SET a 3
        DISCARD
        GET a
        DISCARD
        MULTI
        EXEC
        MULTI
        NOSUCH a b
        SET a 4
        EXEC
        GET a
        MULTI
        GET
        GET a b
        EXEC
        MULTI
        SAVE
        EXEC
        MULTI
        SHUTDOWN NOSAVE
        PING
        EXEC
        MULTI
        EXEC x
        EXEC
        EXEC x
        MULTI x
        DISCARD x
        MULTI
        DISCARD x
        EXEC
        MULTI
        MULTI x
        EXEC
        WATCH
        UNWATCH x
        UNWATCH
        MULTI
        UNWATCH
        UNWATCH x
        EXEC
        MULTI
        UNWATCH
        PING
        EXEC
        MULTI
        CLIENT NOSUCH
        CLIENT
        EXEC
    """)


def test_errors_inside_stop_nothing(single):
    single.script(r"""
        SET s text
        MULTI
        INCR s
        SET a 1
        GETRANGE s x y
        APPEND s more
        SELECT 99
        EXEC
        GET a
        GET s
    """)


def test_selecting_inside(single):
    single.script(r"""
        SET a zero
        MULTI
        SELECT 1
        SET a one
        SELECT nowhere
        GET a
        SELECT 2
        SELECT 1000
        SET a two
        EXEC
        GET a
        SELECT 0
        GET a
        MULTI
        SELECT 1
        GET a
        DISCARD
        GET a
        WATCH a
        SELECT 1
        MULTI
        GET a
        EXEC
        SELECT 0
        MULTI
        MOVE a 3
        SELECT 3
        GET a
        SWAPDB 3 4
        EXISTS a
        SELECT 4
        EXISTS a
        EXEC
        SELECT 0
        DBSIZE
    """)


def test_selecting_inside_and_what_follows_in_the_pipeline(single):
    single.check_all([resp.split_line(line) for line in """
        MULTI
        SET a 1
        SELECT 5
        EXEC
        SET a 2
        MULTI
        GET a
        SELECT 0
        EXEC
        GET a
        MULTI
        INCR a
        EXEC
        MULTI
        INCR a
        GET a
        EXEC
        GET a""".strip().splitlines()], batch=100)


def test_connection_commands_inside(single):
    single.script(r"""
        MULTI
        PING
        PING hello
        ECHO x
        CLIENT SETNAME inside
        CLIENT GETNAME
        AUTH nobody nothing
        COMMAND COUNT x
        WAIT 0 0
        WAIT 0 0 0
        OBJECT HELP x
        TIME x
        EXEC
        CLIENT GETNAME
        MULTI
        RESET
        EXEC
        MULTI
        BGSAVE NOSUCH
        EXEC
    """)


def test_a_new_protocol_inside(single):
    words = [resp.split_line(line) for line in ("MULTI", "GET missing", "HELLO 3", "GET missing", "HELLO 2",
                                                "GET missing", "HELLO 3", "EXEC", "GET missing")]
    for (theirs, _), (ours, _) in zip(single.oracle.run(words), single.ours.run(words)):
        assert same_shape(theirs, ours), (theirs, ours)


def test_quit_and_reset_run_at_once(single):
    single.script(r"""
        SET a 1
        WATCH a
        MULTI
        SET a 2
        RESET
        GET a
        SET a 3
        MULTI
        GET a
        EXEC
    """)


class Watching:
    """Watcher and writer on both sides; ours at different replicas."""

    def __init__(self, oracle, group, protocol):
        self.sides = [(oracle.connect(), oracle.connect()), (group[0].connect(), group[-1].connect())]
        for watcher, writer in self.sides:
            writer.ask("FLUSHALL")
            if protocol == 3:
                watcher.ask("HELLO", "3")

    def check(self, story):
        """Lines of the writer begin with a bar."""
        results = []
        for watcher, writer in self.sides:
            replies = []
            for line in story.strip().splitlines():
                line = line.strip()
                who = writer if line.startswith("|") else watcher
                replies.append((line, who.call(*resp.split_line(line.lstrip("| ")))))
            results.append(replies)
        assert results[0] == results[1], "\n".join("%s\n  %r\n  %r" % (a[0], a[1], b[1])
                                                   for a, b in zip(*results) if a != b)
        return results[1][-1][1]


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def watching(request, oracle_server, group):
    story = Watching(oracle_server, group, request.param)
    yield story
    for side in story.sides:
        for connection in side:
            connection.close()


@pytest.mark.parametrize("change", [
    "| SET k other", "| SET k old", "| DEL k", "| UNLINK k", "| APPEND k x", "| FLUSHDB", "| FLUSHALL ASYNC", "| RENAME k l",
    "| RENAME other k", "| COPY other k REPLACE", "| MOVE k 1", "| SWAPDB 0 1", "| EXPIRE k 100", "| PEXPIRE k -1", "| GETEX k EX 10",
    "| GETDEL k", "| SETBIT k 0 1", "| BITFIELD k SET u8 0 1", "| SETRANGE k 0 o", "| MULTI\n| SET k x\n| EXEC", "SET k mine", "| SETEX k 10 old",
    "| MSET a 1 k old", "| SET k x\n| SET k old", "| DEL k\n| SET k old",
])
def test_a_change_aborts(watching, change):
    story = "SET k old\nSET other value\nWATCH unrelated k\n%s\nMULTI\nSET result done\nEXEC" % change
    assert watching.check(story)[1] is None
    watching.check("EXISTS result\nMULTI\nPING\nEXEC")


@pytest.mark.parametrize("change", [
    "", "| SET l x", "| GET k", "| EXISTS k", "| SETNX k new", "| SET k x NX", "| SET k x GET NX", "| DEL missing", "| PERSIST k",
    "| SELECT 1\n| SET k x\n| DEL k\n| FLUSHDB", "| INCR k", "| LCS k k", "| RENAMENX other k", "| SWAPDB 1 2", "| TOUCH k",
    "| OBJECT ENCODING k", "| COPY other k", "| EXPIRE missing 10", "| GETEX k", "| MSETNX k 1 m 2", "| EXPIRE k 100 XX", "| SETBIT k 0 0", "| BITFIELD k GET u8 0", "| SETRANGE k 0 \"\"",
])
def test_what_changes_nothing_does_not(watching, change):
    story = "SET k old\nSET other value\nWATCH missing k\n%s\nMULTI\nSET result done\nEXEC" % change
    assert watching.check(story.replace("\n\n", "\n"))[1] is not None


def test_watching_ends(watching):
    for end in ("UNWATCH", "MULTI\nDISCARD", "MULTI\nEXEC", "MULTI\nNOSUCH\nEXEC", "MULTI\nEXEC x", "RESET"):
        watching.check("SET k old\nWATCH k\n%s\n| SET k new\nMULTI\nGET k\nEXEC" % end)


def test_a_missing_key_and_other_databases(watching):
    watching.check("WATCH k\n| SET k 1\nMULTI\nEXEC")
    watching.check("SELECT 1\nWATCH k\nSELECT 0\n| SELECT 0\n| SET k 2\nMULTI\nGET k\nEXEC")
    watching.check("SELECT 1\nWATCH k\nSELECT 0\n| SELECT 1\n| SET k 2\nMULTI\nGET k\nEXEC\n| SELECT 0")
    watching.check("WATCH a a b a\nWATCH b c\n| SET c 1\nMULTI\nEXEC")
    watching.check("WATCH k\n| FLUSHALL\nMULTI\nPING\nEXEC")
    watching.check("WATCH k\n| FLUSHALL\nMULTI\nPING\nEXEC")
    watching.check("| SELECT 1\n| SET k 1\n| SELECT 0\nWATCH k\n| SWAPDB 0 1\nMULTI\nPING\nEXEC")


def gone(connection, key):
    return lambda: connection.ask("EXISTS", key) == 0


def test_expiry(watching):
    """Expired between WATCH and EXEC, and before WATCH, with and without the removal that time brings."""
    for watcher, writer in watching.sides:
        writer.ask("SET", "k", "v", "PX", "30")
        watcher.ask("WATCH", "k")
        wait_for(gone(writer, "k"), "expiry")
        watcher.ask("MULTI")
        watcher.ask("PING")
        assert watcher.ask("EXEC") is None
        writer.ask("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        writer.ask("SET", "k", "v", "PX", "30")
        wait_for(gone(writer, "k"), "expiry")
        watcher.ask("WATCH", "k")
        watcher.ask("MULTI")
        watcher.ask("PING")
        assert watcher.ask("EXEC") == [b"PONG"]
        writer.ask("SET", "k", "v", "PX", "30")
        wait_for(gone(writer, "k"), "expiry")
        watcher.ask("WATCH", "k")
        writer.ask("DEL", "k")  # removes what nobody could see
        watcher.ask("MULTI")
        watcher.ask("PING")
        assert watcher.ask("EXEC") == [b"PONG"]
        writer.ask("SET", "k", "v", "PX", "30")
        wait_for(gone(writer, "k"), "expiry")
        watcher.ask("WATCH", "k")
        writer.ask("SET", "k", "again")
        watcher.ask("MULTI")
        assert watcher.ask("EXEC") is None
        writer.ask("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def test_conditions(group):
    """EXEC IFEQ | IFNE | NX | XX: all must hold, or nothing is run."""
    with group[0].connect() as c:
        c.ask("FLUSHALL")
        c.ask("SET", "k", "v")
        c.ask("SET", "n", "12")
        c.ask("SETBIT", "bits", "0", "1")

        def run(*conditions):
            c.ask("MULTI")
            c.ask("INCR", "runs")
            return c.ask("EXEC", *conditions)
        runs = 0
        for holds, line in [(True, "IFEQ k v"), (False, "IFEQ k w"), (False, "IFEQ missing v"), (True, "IFNE k w"),
                            (False, "IFNE k v"), (True, "IFNE missing v"), (True, "XX k"), (False, "XX missing"), (True, "NX missing"),
                            (False, "NX k"), (True, "ifeq k v nx missing xx n ifeq n 12"), (False, "IFEQ k v IFEQ n 13"),
                            (True, "IFEQ n 12"), (False, "IFEQ n 012"), (False, "NX missing XX missing"), (True, "IFEQ IFEQ x NX XX")]:
            if line.startswith("IFEQ IFEQ"):
                c.ask("SET", "IFEQ", "x")
            runs += holds
            assert run(*line.split()) == ([runs] if holds else None), line
        for line in ("IFEQ", "IFEQ k", "NX", "XX k NX", "IFEQ k v w", "NX k y"):
            reply = run(*line.split())
            assert resp.is_error(reply, "EXECABORT"), (line, reply)
        assert c.ask("GET", "runs") == b"%d" % runs
        assert resp.is_error(c.call("EXEC", "NX", "k"), "ERR EXEC without MULTI")
        # In the database of the moment, and with a watch.
        c.ask("SELECT", "1")
        assert run("NX", "k") == [1]
        c.ask("WATCH", "z")
        c.ask("SET", "z", "1")
        assert run("NX", "k") is None
        c.ask("SELECT", "0")


def test_a_session_that_ends_leaves_nothing(group):
    """The table of watched keys is empty when sessions are gone."""
    watchers = [group[i % len(group)].connect() for i in range(6)]
    for i, c in enumerate(watchers):
        assert c.ask("WATCH", "w%d" % i, "shared") == b"OK"
        if i % 2:
            c.ask("MULTI")
            c.ask("SET", "x", "y")
    for server in group:
        wait_for(lambda: b"watching_clients:6" in server.ask("INFO", "clients"), "six watchers everywhere")
    for c in watchers:
        c.close()
    for server in group:
        wait_for(lambda: b"watching_clients:0" in server.ask("INFO", "clients"), "no watchers at port %d" % server.port)
