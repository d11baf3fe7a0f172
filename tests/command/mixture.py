"""Every type in one sequence: the commands of all generators, their keys exchanged
with those of others, whole keys copied, renamed, moved and swapped across types,
thresholds changed in the middle, transactions.

Some outcomes are free (tests/README.md): what a sorted set answers by lex when
scores differ, which of equally distant places is left out, in which order SORT
stores a set it does not sort.  The keys on which generators make such calls, FRAGILE, are
therefore only ever a source for the others.
"""
import compare
import generator_patterns
from generator import Generator

HASHES = [b"hash:1", b"hash:2", b"hash:3"]
SETS = [b"set:1", b"set:2", b"set:3", b"set:4"]
ZSETS = [b"z1", b"z2", b"z3"]
LISTS = [b"l1", b"l2", b"l3"]
COUNTS_OF_THINGS = [b"h1", b"h2", b"h3"]
STRINGS = [b"a", b"b", b"c", b"d", b"key:1", b"key:2"]
SHARED = HASHES + SETS + ZSETS + LISTS + COUNTS_OF_THINGS + STRINGS
FRAGILE = [b"zl", b"zm", b"g1", b"g2", b"geostore", b"so1", b"so2", b"so3", b"si1", b"si2"]
DEFAULTS = {
    b"hash-max-listpack-entries": b"512", b"hash-max-listpack-value": b"64", b"list-max-listpack-size": b"-2",
    b"list-compress-depth": b"0", b"set-max-intset-entries": b"512", b"zset-max-listpack-entries": b"128",
    b"zset-max-listpack-value": b"64", b"hll-sparse-max-bytes": b"3000",
}
CHOICES = {
    b"list-max-listpack-size": [b"-1", b"-2", b"-5", b"1", b"3", b"128"], b"list-compress-depth": [b"0", b"1", b"3"],
    b"hll-sparse-max-bytes": [b"0", b"100", b"3000", b"16000"],
}
SMALL_NUMBERS = [b"0", b"1", b"5", b"20", b"64", b"128", b"512", b"1000"]
NEVER_IN_TRANSACTION = compare.CONNECTION_STATE | {b"WATCH", b"MULTI", b"EXEC", b"DISCARD", b"UNWATCH", b"CONFIG"}


def prologue():
    """The thresholds a sequence begins with."""
    return [[b"CONFIG", b"SET", name, value] for name, value in DEFAULTS.items()]


class Mixture(Generator):
    def __init__(self, seed):
        super().__init__(seed)
        # How often a command meets another type's key: some sequences rarely, so that keys live long.
        self.share = self.pick([0.02, 0.1, 0.1, 0.3])
        self.has_thresholds = self.chance(0.6)
        # redis-server's SORT turns a sorted set large, ours changes nothing: either sort them or ask for encodings.
        self.sorts = self.chance(0.25)
        # A HyperLogLog with foreign bytes in it is refused sooner here.
        self.left_out = (b"PF",) if self.chance(0.4) else (b"SETRANGE", b"SETBIT", b"BITFIELD", b"BITOP", b"APPEND")
        self.families += [(30, self.across_types), (10, self.look)]
        if self.sorts:
            self.families.append((20, self.sort_anything))
        if self.has_thresholds:
            self.families.append((4, self.threshold))
        self.weights = [weight for weight, _ in self.families]

    def any_key(self):
        return self.pick(SHARED)

    def source_key(self):
        return self.pick(FRAGILE) if self.chance(0.1) else self.any_key()

    def across_types(self):
        dice = self.random.randrange(14)
        if dice <= 3:
            words = [b"COPY", self.source_key(), self.any_key()]
            if self.chance(0.2):
                words += [b"DB", self.pick([b"0", b"1", b"2"])]
            return words + ([b"REPLACE"] if self.chance(0.6) else [])
        if dice <= 5:
            return [self.pick([b"RENAME", b"RENAME", b"RENAMENX"]), self.source_key(), self.any_key()]
        if dice == 6:
            return [b"MOVE", self.source_key(), self.pick([b"0", b"1", b"2"])]
        if dice == 7:
            return [self.pick([b"DEL", b"UNLINK"])] + [self.any_key() for _ in range(self.random.randint(1, 3))]
        if dice <= 9:
            return [b"EXPIRE", self.any_key(), self.pick([self.seconds(), self.seconds(), b"-1", b"0"])]
        if dice == 10:
            return [self.pick([b"PERSIST", b"TTL"]), self.any_key()]
        if dice == 11:
            return [b"SET", self.any_key(), self.value()] + self.pick([[], [], [b"KEEPTTL"], [b"NX"], [b"XX"], [b"GET"]])
        if dice == 12:
            return [self.pick([b"GETDEL", b"GETSET", b"INCR", b"APPEND", b"STRLEN"]), self.any_key()] + (
                [self.value()] if self.chance(0.5) else [])
        return self.pick([[b"SWAPDB", b"0", b"1"], [b"SWAPDB", b"0", b"2"], [b"SELECT", b"0"], [b"FLUSHDB"], [b"SELECT", b"0"],
                          [b"DBSIZE"]])

    def sort_anything(self):
        """Into an order that is whole, whatever the type."""
        words = [b"SORT", self.source_key()]
        for option, share in (([b"DESC"], 0.3), ([b"LIMIT", b"1", self.pick([b"0", b"5", b"-1"])], 0.2),
                              ([b"STORE", self.any_key()], 0.2), ([b"ALPHA", b"STORE", self.any_key()], 0.7)):
            if self.chance(share):
                words += option
        return words

    def look(self):
        key = self.any_key()
        return self.pick([[b"OBJECT", b"ENCODING", key], [b"TYPE", key], [b"OBJECT", b"ENCODING", key], [b"LRANGE", key, b"0", b"-1"],
                          [b"HGETALL", key], [b"SMEMBERS", key], [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"], [b"GET", key],
                          [b"PFCOUNT", key], [b"SCAN", b"0", b"COUNT", b"1000000", b"TYPE",
                                              self.pick([b"list", b"hash", b"set", b"zset", b"string", b"stream"])]])

    def threshold(self):
        name = self.pick(list(DEFAULTS))
        return [b"CONFIG", b"SET", name, self.pick(CHOICES.get(name, SMALL_NUMBERS))]

    def exchanged(self, words):
        """The command with keys of other types."""
        if any(word in FRAGILE for word in words):
            return words
        return words[:1] + [self.any_key() if word in SHARED and self.chance(self.share) else word for word in words[1:]]

    def is_decided(self, words):
        """Not one of those whose outcome is free, now that keys are of any type."""
        if self.sorts and is_encoding(words) or words[0].upper().startswith(self.left_out):
            return False
        if b"nosort" in words and words[1].startswith(b"si"):
            return False  # in order only while it is compact, and thresholds change
        if any(word in FRAGILE for word in words):
            return True
        upper = [word.upper() for word in words]
        if upper[0] in (b"SORT", b"SORT_RO"):
            return self.sorts and b"NOSORT" not in upper
        return not (b"LEX" in upper[0] or b"BYLEX" in upper or upper[0].startswith(b"GEO") and b"COUNT" in upper)

    def command(self):
        while True:
            words = self.exchanged(super().command())
            if self.is_decided(words) and self.is_safe(words):
                return words

    def inner(self):
        """One for a transaction: those that would wait, too."""
        while True:
            words = self.exchanged(self.pick(generator_patterns.WAITING)(self)) if self.chance(0.15) else self.command()
            if words[0].upper() not in NEVER_IN_TRANSACTION and words[:1] != [b""]:
                return words

    def transaction(self):
        watched = []
        if self.chance(0.4):
            watched.append([b"WATCH"] + [self.any_key() for _ in range(self.random.randint(1, 3))])
            if self.chance(0.5):
                watched.append(self.inner_outside())
        end = [b"EXEC"] if self.chance(0.85) else [b"DISCARD"]
        return watched + [[b"MULTI"]] + [self.inner() for _ in range(self.random.randrange(8))] + [end]

    def inner_outside(self):
        """Between WATCH and MULTI, by the same session."""
        while True:
            words = self.command()
            if words[0].upper() not in NEVER_IN_TRANSACTION and words[:1] != [b""]:
                return words

    def episode(self, length):
        commands = []
        while len(commands) < length:
            commands += self.transaction() if self.chance(0.03) else super().episode(1)
        return commands + [words for words in everything() if not self.sorts or not is_encoding(words)]


def is_encoding(words):
    return [word.upper() for word in words[:2]] == [b"OBJECT", b"ENCODING"]


def everything():
    """All there is, at the end."""
    commands = []
    for database in (b"0", b"1", b"2"):
        commands += [[b"SELECT", database], [b"KEYS", b"*"]]
        for key in SHARED + FRAGILE:
            commands += [[b"TYPE", key], [b"OBJECT", b"ENCODING", key], [b"PTTL", key], [b"GET", key],
                         [b"LRANGE", key, b"0", b"-1"], [b"HGETALL", key], [b"SMEMBERS", key],
                         [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]]
    return commands
