"""Runs the same commands against the oracle and against us and compares replies.

Replies are compared byte by byte, except where rules below say what may
differ; tests/README.md lists and explains those.
"""
import resp
from resp import line_of
from servers import wait_for

# Commands about the connection itself: in a group they go to every replica's
# connection, so that all stay in the same state.
CONNECTION_STATE = {b"SELECT", b"HELLO", b"RESET", b"AUTH", b"READONLY", b"READWRITE"}

TRANSACTION_BEGINS, TRANSACTION_ENDS = {b"WATCH", b"MULTI"}, {b"EXEC", b"DISCARD", b"UNWATCH"}
APART = CONNECTION_STATE | TRANSACTION_BEGINS

SECONDS_TOLERANCE = 20  # a busy machine; relative times in tests are chosen far apart


def name_of(words):
    return words[0].upper() if words else b""


def end_of_transaction(commands, at):
    """The place after the transaction that begins there."""
    while at < len(commands) and name_of(commands[at]) not in TRANSACTION_ENDS:
        at += 1
    return min(at + 1, len(commands))


class Subject:
    """A session with one or several replicas: each command (or batch of
    commands) goes to the next one, after the replies of the last came."""

    def __init__(self, servers, timeout=30):
        self.servers, self.timeout = list(servers), timeout
        self.connections = [server.connect(timeout) for server in self.servers]
        self.turn = 0

    def close(self):
        for connection in self.connections:
            connection.close()

    def reconnect(self):
        self.close()
        self.connections = [server.connect(self.timeout) for server in self.servers]

    def next(self):
        self.turn = (self.turn + 1) % len(self.connections)
        return self.connections[self.turn]

    def run(self, commands, batch=1):
        """[(reply, bytes)].  batch may be a function that gives the next size.  A
        transaction, from its WATCH or MULTI on, stays with one replica."""
        results, at = [], 0
        size_of = batch if callable(batch) else lambda: batch
        while at < len(commands):
            if name_of(commands[at]) in TRANSACTION_BEGINS:
                end = end_of_transaction(commands, at)
                results += self.next().pipeline(commands[at:end])
                at = end
                continue
            if name_of(commands[at]) in CONNECTION_STATE:
                replies = [c.pipeline([commands[at]])[0] for c in self.connections]
                results.append(replies[0])
                at += 1
                continue
            end = at + 1
            limit = at + max(1, size_of())
            while end < min(limit, len(commands)) and name_of(commands[end]) not in APART:
                end += 1
            results += self.next().pipeline(commands[at:end])
            at = end
        return results


# --- what may differ ---------------------------------------------------------

def integer(reply):
    return int(reply[1]) if reply[0] == ":" else None


def close_numbers(tolerance):
    def same(a, b):
        x, y = integer(a), integer(b)
        if x is None or y is None or x <= 0 or y <= 0:
            return a == b
        return abs(x - y) <= tolerance
    return same


def sorted_items(a, b):
    if a[0] != b[0] or a[0] not in "*~" or a[1] is None or b[1] is None:
        return a == b
    return sorted(map(repr, a[1])) == sorted(map(repr, b[1]))


def sorted_pairs(a, b):
    """A flat list of pairs, or a map."""
    if a[0] != b[0] or a[0] not in "*%" or a[1] is None or b[1] is None or len(a[1]) != len(b[1]):
        return a == b

    def pairs(items):
        return sorted(map(repr, zip(items[::2], items[1::2])))
    return pairs(a[1]) == pairs(b[1])


def drawn(a, b):
    """A random choice: as many of the same kind."""
    if a[0] != b[0] or a[0] in "-:":
        return a == b
    if isinstance(a[1], list) and isinstance(b[1], list):
        return len(a[1]) == len(b[1])
    return (a[1] is None) == (b[1] is None)


def ends_at_once(words, cursor_at):
    """Of a command of the SCAN family: it surely visits all in one step."""
    upper = [word.upper() for word in words]
    at = upper.index(b"COUNT") + 1 if b"COUNT" in upper else len(words)
    return words[cursor_at:cursor_at + 1] == [b"0"] and at < len(words) and words[at].isdigit() and int(words[at]) >= 1000


def collection_scan(items):
    """Cursors are each server's own: compared is what is visited in one step."""
    def rule(words):
        def same(a, b):
            if a[0] != "*" or b[0] != "*":
                return a == b
            return not ends_at_once(words, 2) or a[1][0] == b[1][0] and items(a[1][1], b[1][1])
        return same
    return rule


def pop(words):
    """All of a set comes in any order, some of it is random."""
    takes_all = len(words) == 3 and words[2].isdigit() and int(words[2]) >= 1000
    return sorted_items if takes_all else drawn


COLLECTION_RULES = {
    b"HKEYS": sorted_items, b"HVALS": sorted_items, b"HGETALL": sorted_pairs, b"HRANDFIELD": drawn,
    b"SMEMBERS": sorted_items, b"SINTER": sorted_items, b"SUNION": sorted_items,
    b"SDIFF": sorted_items, b"SRANDMEMBER": drawn, b"ZRANDMEMBER": drawn,
}
SCAN_RULES = {b"HSCAN": collection_scan(sorted_pairs), b"SSCAN": collection_scan(sorted_items),
              b"ZSCAN": collection_scan(sorted_pairs)}


def but_times(is_time):
    """Equal all the way down, but for numbers that is_time(list, index) takes for times."""
    def same(a, b):
        if a[0] != b[0] or not isinstance(a[1], list) or not isinstance(b[1], list):
            return a == b
        return len(a[1]) == len(b[1]) and all(
            same(x, y) or is_time(a[1], at) and x[0] == y[0] == ":" and
            abs(int(x[1]) - int(y[1])) <= SECONDS_TOLERANCE * 1000 for at, (x, y) in enumerate(zip(a[1], b[1])))
    return same


def is_stream_time(row, at):
    """Idle and seen times go by their names, times of deliveries by their size."""
    return row[at][0] == ":" and (row[at - 1][1] in (b"idle", b"seen-time") or int(row[at][1]) > 10**12)


STREAM_RULES = {b"XPENDING": but_times(lambda row, at: len(row) == 4 and at == 2), b"XINFO": but_times(is_stream_time)}


def scan(words):
    """Cursors are each server's own: only a scan that surely ends at once has a
    result to compare, whatever its order."""
    def same(a, b):
        if a[0] != "*" or b[0] != "*":
            return a == b
        return not ends_at_once(words, 1) or a[1][0] == b[1][0] and sorted_items(a[1][1], b[1][1])
    return same


def nullness(a, b):
    return a[0] == b[0] and (a[1] is None) == (b[1] is None)


def same_shape(a, b):
    """Same types all the way down; errors equal."""
    if a[0] != b[0]:
        return False
    if a[0] == "-":
        return a == b
    if isinstance(a[1], list):
        return len(a[1]) == len(b[1]) and all(map(same_shape, a[1], b[1]))
    return (a[1] is None) == (b[1] is None)


def hello(a, b):
    """Names in order; values equal but for version and id."""
    if a[0] == "-" or b[0] == "-" or a[0] != b[0]:
        return a == b
    if len(a[1]) != len(b[1]):
        return False
    for at in range(0, len(a[1]), 2):
        if a[1][at] != b[1][at]:
            return False
        if a[1][at][1] in (b"version", b"id"):
            if a[1][at + 1][0] != b[1][at + 1][0]:
                return False
        elif a[1][at + 1] != b[1][at + 1]:
            return False
    return True


def help_text(a, b):
    """HELP: each server's own words after the same first line."""
    return a[0] == b[0] and a[0] in "*~" and a[1][0] == b[1][0] and {kind for kind, _ in a[1] + b[1]} == {"+"}


def client_line(a, b):
    """CLIENT INFO and LIST: one line per client with the same fields."""
    if a[0] == "-" or b[0] == "-" or a[0] != b[0]:
        return a == b

    def fields(reply):
        return [word.partition(b"=")[0] for word in reply[1].splitlines()[0].split()]
    return fields(a) == fields(b)


def rule_for(words):
    name = name_of(words)
    if name in (b"TTL", b"EXPIRETIME"):
        return close_numbers(SECONDS_TOLERANCE)
    if name in (b"PTTL", b"PEXPIRETIME"):
        return close_numbers(SECONDS_TOLERANCE * 1000)
    if name == b"KEYS":
        return sorted_items
    if name == b"SCAN":
        return scan(words)
    if name in (b"SORT", b"SORT_RO") and b"nosort" in words:
        return sorted_items  # of a set; tests/unit/command knows which
    if name in SCAN_RULES:
        return SCAN_RULES[name](words)
    if name in COLLECTION_RULES:
        return COLLECTION_RULES[name]
    if name in STREAM_RULES and (len(words) < 2 or words[1].upper() != b"HELP"):
        return STREAM_RULES[name]
    if name == b"SPOP":
        return pop(words)
    if name == b"RANDOMKEY":
        return nullness
    if name in (b"TIME", b"INFO", b"ROLE"):
        return same_shape
    if name == b"HELLO":
        return hello
    if name == b"WAIT":
        return same_shape
    if len(words) > 1:
        sub = words[1].upper()
        if sub == b"HELP":
            return help_text
        if name == b"OBJECT" and sub == b"IDLETIME":
            return same_shape  # small integers are one object there, as old as the server
        if name == b"COMMAND" and sub == b"LIST":
            return sorted_items
        if name == b"CLIENT" and sub in (b"INFO", b"LIST"):
            return client_line
        if name == b"CLIENT" and sub in (b"ID", b"GETREDIR"):
            return same_shape
    return None


def is_same(words, expected, actual):
    """expected and actual are (reply, bytes)."""
    if expected[1] == actual[1]:
        return True
    rule = rule_for(words)
    return rule is not None and rule(expected[0], actual[0])


class Queue:
    """Which commands an EXEC answers: each reply in it has its command's rule."""

    def __init__(self):
        self.queued = None

    def is_same(self, words, expected, actual):
        """As the function; commands come in order."""
        name, reply = name_of(words), expected[0]
        if name == b"EXEC" and self.queued is not None:
            queued, self.queued = self.queued, None
            if expected[1] == actual[1]:
                return True
            if reply[0] != "*" or actual[0][0] != "*" or reply[1] is None or actual[0][1] is None:
                return False
            # A reply without its bytes: equal replies have equal bytes.
            return len(reply[1]) == len(actual[0][1]) == len(queued) and all(
                is_same(command, (theirs, repr(theirs)), (ours, repr(ours)))
                for command, theirs, ours in zip(queued, reply[1], actual[0][1]))
        if name == b"MULTI" and reply == ("+", b"OK"):
            self.queued = []
        elif name in (b"DISCARD", b"RESET"):
            self.queued = None
        elif self.queued is not None and reply == ("+", b"QUEUED"):
            self.queued.append(words)
        return is_same(words, expected, actual)


class Difference(AssertionError):
    pass


def shown(result, limit=300):
    text = repr(result[1])[1:]
    return text if len(text) <= limit else text[:limit] + "... (%d bytes)" % len(result[1])


def report(commands, at, expected, actual, note=""):
    at %= len(commands)
    first = max(0, at - 40)
    lines = ["replies differ%s" % note]
    lines += ["    ..."] * (first > 0) + ["    " + line_of(words)[:1500] for words in commands[first:at + 1]]
    lines += ["  oracle: " + shown(expected), "  ours:   " + shown(actual)]
    return "\n".join(lines)


class Pair:
    """The oracle and us, with one session each."""

    def __init__(self, oracle_server, servers, protocol=2):
        self.oracle = Subject([oracle_server])
        self.ours = Subject(servers)
        self.protocol = protocol
        self.prologue = []  # commands both begin with, beside being empty
        self.clear()

    def close(self):
        self.oracle.close()
        self.ours.close()

    def clear(self):
        """Both empty, sessions in database 0."""
        for side in (self.oracle, self.ours):
            side.run([[b"FLUSHALL"], [b"SELECT", b"0"]] + self.prologue)
            if self.protocol == 3:
                side.run([[b"HELLO", b"3"]])

    def restart_sessions(self):
        self.oracle.reconnect()
        self.ours.reconnect()
        self.clear()

    def first_difference(self, commands, batch=1):
        """(index, expected, actual) or None."""
        expected = self.oracle.run(commands, 64)
        actual = self.ours.run(commands, batch)
        queue = Queue()
        for at, words in enumerate(commands):
            if not queue.is_same(words, expected[at], actual[at]):
                return at, expected[at], actual[at]
        return None

    def check(self, *words):
        words = [resp.as_bytes(word) for word in words]
        self.check_all([words])

    def check_all(self, commands, batch=1):
        found = self.first_difference(commands, batch)
        if found:
            raise Difference(report(commands, *found))

    def script(self, text):
        """Lines as in redis-cli.  "# ..." is a comment; "! gone KEY" waits on
        both sides until the key has expired."""
        commands = []
        differences = []

        def flush():
            if not commands:
                return
            expected, actual = self.oracle.run(commands, 1), self.ours.run(commands, 1)
            for at, words in enumerate(commands):
                if not is_same(words, expected[at], actual[at]):
                    differences.append(report(commands[max(0, at - 6):at + 1], -1, expected[at], actual[at]))
            commands.clear()

        for line in text.splitlines():
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("! gone "):
                flush()
                self.wait_gone(resp.split_line(line)[2])
                continue
            commands.append(resp.split_line(line))
        flush()
        if differences:
            raise Difference("%d replies differ\n" % len(differences) + "\n\n".join(differences[:12]))

    def wait_gone(self, key):
        for side in (self.oracle, self.ours):
            wait_for(lambda: side.run([[b"EXISTS", key]])[0][0] == (":", b"0"), "%r to expire" % key)

    def shrink(self, commands, runs=400):
        """A shorter sequence that still differs, from an empty store."""
        left = [runs]

        def fails(candidate):
            if left[0] <= 0:
                return None
            left[0] -= 1
            self.restart_sessions()
            return self.first_difference(candidate)

        found = fails(commands)
        if not found:
            return None  # it needs the batches as they were
        commands = commands[:found[0] + 1]
        size = max(1, len(commands) // 2)
        while size >= 1 and left[0] > 0:
            at = 0
            while at < len(commands) - 1 and left[0] > 0:
                candidate = commands[:at] + commands[min(at + size, len(commands) - 1):]
                now = fails(candidate)
                if now:
                    commands, found = candidate[:now[0] + 1], now
                else:
                    at += size
            size //= 2
        return commands, found

    def check_random(self, commands, batch, seed):
        """One episode from an empty store; a difference is shrunk."""
        found = self.first_difference(commands, batch)
        if not found:
            return
        smaller = self.shrink(commands)
        self.restart_sessions()
        if smaller:
            raise Difference(report(smaller[0], *smaller[1], note=" (seed %s, shrunk)" % seed))
        raise Difference(report(commands, *found, note=" (seed %s, not when repeated one by one)" % seed))
