#!/usr/bin/env python3
"""Compares this room's handlers with redis-server 7.0, without our server.

    oracle_compare.py SHELL [--seed N] [--count N]

SHELL is test_oracle.c, built: our side.  Three parts: COMMAND INFO of every command of
our table, byte for byte; scripts of edge cases; random calls.  Compared are
replies in RESP2 and RESP3, keyspace events in their order, and how many
changes were counted.  Prints the seed; exits 1 at the first difference.

Each family_*.py beside this file adds commands:

    SCRIPT    lines of calls, separated by |; a word "%65" is 65 times v
    PATTERNS  calls for the random part; words that WORDS or fill() know are
              filled in
    WORDS     {"%word": choices}
    RULES     {NAME: rule(arguments, theirs, ours)}: which replies count as equal
              (replies.py); without one, the same bytes
    AFTER     {NAME: after(pair, db, arguments, theirs, ours)}: makes both sides
              hold the same again after a random choice
"""
import argparse
import glob
import importlib
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

import dump_compare
from replies import parse

HERE = os.path.dirname(os.path.abspath(__file__))
FAMILIES = [importlib.import_module(os.path.basename(path)[:-3])
            for path in sorted(glob.glob(os.path.join(HERE, "family_*.py")))]


def merged(attribute):
    return {name: value for family in FAMILIES for name, value in getattr(family, attribute, {}).items()}


RULES, AFTER, WORDS = merged("RULES"), merged("AFTER"), merged("WORDS")


class Stream:
    """A connection that returns replies as the bytes they are."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def call(self, *arguments):
        parts = [b"*%d\r\n" % len(arguments)]
        for argument in map(as_bytes, arguments):
            parts.append(b"$%d\r\n%s\r\n" % (len(argument), argument))
        self.socket.sendall(b"".join(parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        kind, count = line[:1], line[1:-2]
        if kind in b"$=" and int(count) >= 0:
            return line + self.file.read(int(count) + 2)
        if kind in b"*~>%":
            factor = 2 if kind == b"%" else 1
            return line + b"".join(self.read() for _ in range(factor * max(int(count), 0)))
        return line


def as_bytes(value):
    return value if isinstance(value, bytes) else str(value).encode("latin1")


class Oracle:
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--dir", self.directory.name,
             "--notify-keyspace-events", "EAmn", "--enable-debug-command", "yes"],
            stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                self.streams = {protocol: Stream(port) for protocol in (2, 3)}
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        self.streams[3].call("HELLO", "3")
        self.events = Stream(port)
        self.events.call("PSUBSCRIBE", "__keyevent@*")

    def changes(self):
        text = self.streams[2].call("INFO", "persistence").decode()
        return int(re.search(r"rdb_changes_since_last_save:(\d+)", text).group(1))

    def call(self, db, protocol, arguments):
        stream = self.streams[protocol]
        stream.call("SELECT", db)
        before = self.changes()
        reply = stream.call(*arguments)
        return reply, self.read_events(), self.changes() - before

    def read_events(self):
        self.events.socket.sendall(b"*1\r\n$4\r\nPING\r\n")
        events = []
        while True:
            message = self.events.read()
            if message.startswith(b"*2\r\n$4\r\npong"):
                return events
            channel = re.search(rb"__keyevent@(\d+)__:([\w-]+)\r\n\$\d+\r\n(.*)\r\n$", message, re.S)
            events.append((int(channel.group(1)), channel.group(2).decode(), channel.group(3)))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


class Shell:
    def __init__(self, path):
        self.process = subprocess.Popen([path, "--shell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.changes = 0

    def call(self, db, protocol, arguments, now_ms=None):
        now_ms = now_ms or int(time.time() * 1000)
        parts = [b"%d %d %d %d\n" % (db, now_ms, protocol, len(arguments))]
        for argument in map(as_bytes, arguments):
            parts.append(b"%d\n%s\n" % (len(argument), argument))
        self.process.stdin.write(b"".join(parts))
        self.process.stdin.flush()
        return self.read()

    def read(self):
        events = []
        while True:
            line = self.process.stdout.readline().split()
            if not line:
                sys.exit("the shell has died")
            if line[0] == b"r":
                reply = self.process.stdout.read(int(line[2]) + 1)[:-1]
                changes, self.changes = int(line[1]) - self.changes, int(line[1])
                return reply, events, changes
            key = self.process.stdout.read(int(line[4]) + 1)[:-1]
            events.append((int(line[3]), line[2].decode(), key))


CLOCK_COMMANDS = {"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"}


def near(a, b):
    numbers = [re.fullmatch(rb":(-?\d+)\r\n", reply) for reply in (a, b)]
    return all(numbers) and abs(int(numbers[0].group(1)) - int(numbers[1].group(1))) < 3000


class Pair:
    def __init__(self, oracle, shell):
        self.oracle, self.shell, self.history = oracle, shell, []

    def call(self, *arguments, db=0, protocol=2):
        self.history.append((db, protocol, arguments))
        theirs = self.oracle.call(db, protocol, arguments)
        ours = self.shell.call(db, protocol, arguments)
        name = str(arguments[0]).upper()
        is_same = theirs == ours
        tells_time = name in CLOCK_COMMANDS or [str(word).upper() for word in arguments[:2]] == ["OBJECT", "IDLETIME"]
        if tells_time and not is_same and theirs[1:] == ours[1:]:
            is_same = near(theirs[0], ours[0])
        if name in RULES:
            is_same = theirs[1:] == ours[1:] and RULES[name](arguments, theirs[0], ours[0])
        if name in ("KEYS", "SCAN"):
            is_same = sorted(theirs[0].split(b"\r\n")) == sorted(ours[0].split(b"\r\n"))
        if not is_same:
            for line in self.history[-12:]:
                print("   ", line)
            print("oracle:", theirs)
            print("ours:  ", ours)
            sys.exit(1)
        if name in AFTER:
            AFTER[name](self, db, arguments, theirs[0], ours[0])

    def clear(self):
        self.call("FLUSHALL")


# --- COMMAND INFO -------------------------------------------------------------

NEWER = ("delex", "delifeq")  # than the oracle


def known_commands(shell):
    names = parse(shell.call(0, 2, ["COMMAND", "LIST"])[0])[1:]
    return [name[:-2].decode() for name in names]


def compare_info(oracle, shell):
    """Subcommands come in no order, and MEMORY's are not all ours."""
    for name in known_commands(shell):
        for protocol in (2, 3):
            line = ["COMMAND", "INFO", name]
            theirs, ours = (parse(side.call(0, protocol, line)[0])[1] for side in (oracle, shell))
            if len(theirs) < 11:
                assert name in NEWER, "COMMAND INFO %s: the oracle has no such command" % name
                continue
            names = {entry[1] for entry in ours[10][1:]}
            theirs[10][1:] = [entry for entry in theirs[10][1:] if name != "memory" or entry[1] in names]
            for side in (theirs, ours):
                side[10][1:] = sorted(side[10][1:], key=lambda entry: entry[1])
            if theirs != ours:
                print("COMMAND INFO", name, "\noracle:", theirs, "\nours:  ", ours)
                sys.exit(1)


def docs_of(side, protocol, name):
    """Without what we word ourselves."""
    skipped = (b"summary\r\n", b"complexity\r\n", b"history\r\n", b"subcommands\r\n")
    fields = parse(side.call(0, protocol, ["COMMAND", "DOCS", name])[0])[2][1:]
    return [pair for pair in zip(fields[::2], fields[1::2]) if pair[0] not in skipped]


def compare_docs(oracle, shell):
    for name in known_commands(shell):
        if name in NEWER:
            continue
        for protocol in (2, 3):
            theirs, ours = docs_of(oracle, protocol, name), docs_of(shell, protocol, name)
            if theirs != ours:
                print("COMMAND DOCS", name, "\noracle:", theirs, "\nours:  ", ours)
                sys.exit(1)


# --- scripts and random calls -------------------------------------------------

SCRIPT = """
GET
FOO
FOO a b
OBJECT
OBJECT foo
OBJECT encoding
SET k v EX 0|SET k v EX x|SET k v EX|SET k v EX 1 PX 1|SET k v NX XX|SET k v PX 9223372036854775807
SET k v EXAT 9223372036854775807|SET k v KEEPTTL EX 5|SET k v PERSIST|SET k v XX GET|SET k v NX GET|SET k w NX GET
SET k v EX 100|SET k w KEEPTTL|TTL k|SET k x|TTL k|GETEX k EX 100|TTL k|GETEX k PERSIST|TTL k|GETEX k PERSIST
GETEX k PXAT 1|GET k|GETEX k EX x|GETEX nokey foo|SET k v|GETEX k EX 0|GETEX k KEEPTTL
SETEX k 0 v|PSETEX k -1 v|SETEX k x v|SETEX k 10 v|TTL k|PSETEX k 10000 v|PTTL k
MSET a|MSET a 1 b|MSETNX a 1 b 2|MSETNX b 3 c 4|MGET a b c|MSET a 1 a 2|GET a
APPEND n 12|INCR n|OBJECT ENCODING n|APPEND n x|INCR n|OBJECT ENCODING n
SETRANGE k -1 x|SETRANGE k 536870912 |SETRANGE k 536870911 ab|SETRANGE k x ab|SETRANGE z 536870912 x|SETRANGE k 3 abc
INCRBY n 9223372036854775807|SET n 9223372036854775807|INCR n|DECRBY n -1|DECRBY n -9223372036854775808
SET n " 1"|INCR n|SET n 01|INCR n|SET n -0|INCR n|SET n 9223372036854775808|INCR n|DECR n
SET f 3.0|INCRBYFLOAT f 2|OBJECT ENCODING f|INCRBYFLOAT f 1e4000|INCRBYFLOAT f nan|INCRBYFLOAT f inf|INCRBYFLOAT f -inf
SET f 0|INCRBYFLOAT f 0.1|INCRBYFLOAT f 0.2|INCRBYFLOAT f -0.3|INCRBYFLOAT f 1e17|INCRBYFLOAT f 0x10|INCRBYFLOAT new 5.0e3
LCS a b IDX LEN|LCS a b MINMATCHLEN|LCS a b MINMATCHLEN x|LCS a b foo|LCS none nope IDX
SETBIT k 4294967296 1|SETBIT k 1 2|SETBIT k x 2|SETBIT k 1 1|SETBIT k 1 1|SETBIT k 100 0|GETBIT k -1|GETBIT k 4294967295
BITCOUNT k 0|BITCOUNT k 0 x|BITCOUNT k 0 1 foo|BITCOUNT none x y z|BITCOUNT k 0 1 BIT x|BITCOUNT k x 1 foo
BITPOS k 2|BITPOS k x|BITPOS none 1 x|BITPOS none 0 0 0 q|BITPOS k 1 0 1 q|BITPOS k 1 x y q|BITPOS k 1 0 y bit|BITPOS k 1 0 1 bit q
BITOP FOO d k|BITOP NOT d k k|BITOP NOT d k|OBJECT ENCODING d|BITOP AND d none|EXISTS d|BITOP OR d none|BITOP OR d k k
BITFIELD k GET u64 0|BITFIELD k GET i65 0|BITFIELD k GET u0 0|BITFIELD k GET x8 0|BITFIELD k OVERFLOW x|BITFIELD k GET u8 #
BITFIELD k GET u8 -1|BITFIELD k SET u8 0 x|BITFIELD_RO k SET u8 0 1|BITFIELD k GET|BITFIELD k|BITFIELD k foo u8 0
BITFIELD_RO none GET u8 0|BITFIELD_RO k OVERFLOW FAIL GET u8 #1|BITFIELD k OVERFLOW|BITFIELD none GET u8 0|EXISTS none
BITFIELD new SET u8 0 300|BITFIELD new2 OVERFLOW FAIL INCRBY u8 0 300|EXISTS new2|BITFIELD new2 SET u8 0 0
BITFIELD s OVERFLOW SAT SET i8 0 300 INCRBY i8 0 -500 SET u8 8 -1 INCRBY u8 8 -300|BITFIELD s INCRBY i64 0 9223372036854775807 INCRBY i64 0 1
MOVE k x|MOVE k 99|MOVE k 0|MOVE k 99999999999|MOVE k 1|MOVE k 1|COPY k k|COPY k z DB 99|COPY k z DB x|COPY k z DB 99999999999|COPY k z foo
SWAPDB x 0|SWAPDB 0 x|SWAPDB 0 99|SWAPDB 99 x|SWAPDB 0 0|SWAPDB 0 1|SWAPDB 99999999999 0
SET k v|EXPIRE k 1 foo|EXPIRE k 1 NX GT|EXPIRE k 1 GT LT|EXPIRE k x foo|EXPIRE none x|EXPIRE none 9223372036854775807|PEXPIRE none 9223372036854775807
PEXPIREAT k 9223372036854775807|EXPIRETIME k|PEXPIRETIME k|PERSIST k|PERSIST k|EXPIRE k 100 XX|EXPIRE k 100 GT|EXPIRE k 100 LT|EXPIRE k 50 GT
EXPIRE k 200 GT|EXPIRE k 300 LT|EXPIRE k 100 NX|EXPIRE k 100 XX|EXPIRE k -1|EXISTS k|SET k v|EXPIREAT k -9223372036854775807|PEXPIREAT k 0|EXISTS k
SCAN x|SCAN -|SCAN 18446744073709551616|SCAN 0 COUNT 0|SCAN 0 COUNT x|SCAN 0 MATCH|SCAN 0 TYPE nope|SCAN 0 TYPE STRING COUNT 1000|SCAN 0 MATCH ?
FLUSHDB x|FLUSHDB ASYNC SYNC|FLUSHDB SYNC|FLUSHDB ASYNC|RENAME none none|RENAMENX none x|SET a 1|RENAME a a|RENAMENX a a|SET b 2|RENAMENX a b|RENAME a b
OBJECT FREQ b|OBJECT FREQ none|OBJECT REFCOUNT b|OBJECT IDLETIME b|OBJECT ENCODING none|OBJECT REFCOUNT none|TOUCH b none|TYPE b|TYPE none|EXISTS b b none
MEMORY USAGE none|MEMORY USAGE b SAMPLES|MEMORY USAGE b SAMPLES x|MEMORY USAGE b SAMPLES -1|MEMORY USAGE b foo 1
COMMAND GETKEYS nope x|COMMAND GETKEYS dbsize x|COMMAND GETKEYS get a b|COMMAND GETKEYS mset a 1 b 2 c|COMMAND GETKEYS object encoding k|COMMAND GETKEYS lcs a b
COMMAND GETKEYSANDFLAGS set k v|COMMAND GETKEYSANDFLAGS set k v GET|COMMAND GETKEYSANDFLAGS bitfield k get u8 0|COMMAND GETKEYSANDFLAGS bitop and d a b
COMMAND LIST foo|COMMAND LIST FILTERBY x y|COMMAND LIST FILTERBY MODULE x|COMMAND LIST FILTERBY ACLCAT nope|COMMAND INFO nope|COMMAND DOCS nope
SET "" x|KEYS ""|KEYS *|KEYS **|KEYS ?|KEYS *?|SCAN 0 MATCH ** COUNT 1000|SCAN 0 MATCH * COUNT 1000|GET ""|DEL ""
RANDOMKEY|FLUSHALL|RANDOMKEY|DBSIZE|KEYS *|SUBSTR none 0 -1|GETDEL none|STRLEN none|GETRANGE none x 0|GETSET new v|GETSET new w|SETNX new x|SETNX new3 x
"""


def script_calls():
    scripts = [SCRIPT] + [family.SCRIPT for family in FAMILIES]
    for line in "\n".join(script.strip() for script in scripts).split("\n"):
        for call in line.split("|"):
            words = [word.strip('"') for word in re.findall(r'"[^"]*"|[^ ]+|(?<= )$', call)]
            yield ["v" * int(word[1:]) if re.fullmatch(r"%\d+", word) else word for word in words]


def run_script(pair):
    for protocol in (2, 3):
        pair.clear()
        for call in script_calls():
            pair.call(*call, protocol=protocol)


KEYS = ["a", "b", "c", "d"]
NUMBERS = ["0", "1", "-1", "2", "7", "8", "-8", "10", "100", "-100", "x", "9223372036854775807", "-9223372036854775808"]
VALUES = ["", "v", "10", "-5", "3.14", "abcabc", "ohmytext", "mynewtext", "\x00\xff\x0f", "\xff\xff", "x" * 50, "007"]
TIMES = ["EX R", "PX R", "EXAT 99999999999", "PXAT 99999999999000", "KEEPTTL", "PERSIST", "NX", "XX", "GET"]
UNITS = ["", "BIT", "BYTE", "foo"]
PATTERNS = """
SET K V|SET K V T|SET K V T T|GET K|GETEX K|GETEX K T|GETEX K T T|GETDEL K|GETSET K V|SETNX K V|SETEX K M V|PSETEX K M V
MSET K V K V|MSETNX K V K V|MGET K K K|APPEND K V|STRLEN K|GETRANGE K N N|SETRANGE K S V|SUBSTR K N N|INCR K|DECR K
INCRBY K N|DECRBY K N|INCRBYFLOAT K F|LCS K K|LCS K K LEN|LCS K K IDX|LCS K K IDX MINMATCHLEN S WITHMATCHLEN
GETBIT K S|SETBIT K S B|BITCOUNT K|BITCOUNT K N N|BITCOUNT K N N U|BITPOS K B|BITPOS K B N|BITPOS K B N N|BITPOS K B N N U
BITOP O K K|BITOP O K K K|BITFIELD K Y|BITFIELD K Y Y|BITFIELD K W Y W Y Y|BITFIELD_RO K Y
DEL K|DEL K K|UNLINK K|EXISTS K K|TYPE K|RENAME K K|RENAMENX K K|COPY K K|COPY K K REPLACE|COPY K K DB 1|COPY K K DB 1 REPLACE
MOVE K 1|MOVE K 0|TOUCH K K|EXPIRE K M|EXPIRE K R C|EXPIRE K R C C|PEXPIRE K R C|EXPIREAT K 99999999999 C|PEXPIREAT K N
TTL K|PTTL K|EXPIRETIME K|PEXPIRETIME K|PERSIST K|OBJECT ENCODING K|DBSIZE|SWAPDB 0 1|KEYS *|KEYS [ab]
""".replace("\n", "|").strip("|").split("|")


for family in FAMILIES:
    PATTERNS += family.PATTERNS.replace("\n", "|").strip("|").split("|")


def fill(word, rng):
    if word in WORDS:
        return rng.choice(WORDS[word])
    step = "%s%d %s%d" % (rng.choice("iu"), rng.choice([1, 5, 8, 16, 33, 62, 63]), rng.choice(["", "#"]), rng.choice([0, 1, 3, 9, 20]))
    number = rng.choice(["0", "1", "-1", "100", "-200", "300", "65536", "-9223372036854775808", "9223372036854775807",
                         "-9223372036854743041"])
    choices = {
        "K": KEYS, "N": NUMBERS, "V": VALUES, "T": TIMES, "U": UNITS, "S": ["0", "1", "2", "5", "13", "100", "-1"],
        "F": ["1", "-1", "0.1", "3.0", "1e10", "-2.5e-5", "x", "inf", "123456789.987654321"], "B": ["0", "1", "2"],
        # Times far enough away that both sides agree on what has expired.
        "M": ["0", "-1", "-100", "1000000", "2000000", "x", "9223372036854775807", "-9223372036854775808"],
        "O": ["AND", "OR", "XOR", "NOT"], "C": ["NX", "XX", "GT", "LT"],
        "W": ["OVERFLOW WRAP", "OVERFLOW SAT", "OVERFLOW FAIL"],
        "Y": ["GET " + step, "SET %s %s" % (step, number), "INCRBY %s %s" % (step, number)],
    }
    if word == "R":  # never the same twice: the clocks of both sides differ a little
        return str(rng.randrange(10**6, 10**9))
    return rng.choice(choices[word]) if word in choices else word


def random_call(rng):
    words = []
    for word in rng.choice(PATTERNS).split(" "):
        filled = fill(word, rng)
        words += [filled] if word in "VK" or word in WORDS else [fill(part, rng) for part in filled.split(" ")]
    return words


def run_random(pair, seed, count):
    rng = random.Random(seed)
    pair.clear()
    for _ in range(count):
        pair.call(*random_call(rng), db=rng.choice([0, 0, 0, 1]), protocol=rng.choice([2, 3]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shell")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--count", type=int, default=5000)
    options = parser.parse_args()
    print("seed", options.seed)
    oracle, shell = Oracle(), Shell(options.shell)
    try:
        compare_info(oracle, shell)
        compare_docs(oracle, shell)
        pair = Pair(oracle, shell)
        run_script(pair)
        run_random(pair, options.seed, options.count)
        dump_compare.run(pair, random.Random(options.seed), max(1, options.count // 30))
    finally:
        oracle.stop()
    print("equal")


if __name__ == "__main__":
    main()
