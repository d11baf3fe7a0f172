"""Random commands from a seed: mostly meaningful, some broken, few keys, many
boundary values, so that sequences meet each other's keys.

Relative expiry times are thousands of seconds and far apart, so that a reply
does not depend on when a command runs; times in the past are followed by a
look at the key, which removes it on both sides.

Each generator_*.py beside this file adds FAMILIES, a list of (weight, function
of the generator that returns a command).
"""
import functools
import glob
import importlib
import os
import random

MORE = [importlib.import_module(os.path.basename(path)[:-3])
        for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "generator_*.py")))]

KEYS = [b"a", b"b", b"c", b"d", b"key:1", b"key:2", b"", b"\x00\xff", b"with space", b"a\r\nb", b"*glob[a-z]?",
        b"l" * 300]
INTEGERS = [b"0", b"1", b"-1", b"2", b"7", b"8", b"10", b"63", b"64", b"100", b"255", b"256", b"4294967295",
            b"4294967296", b"-4294967296", b"9223372036854775807", b"-9223372036854775808",
            b"9223372036854775806", b"-9223372036854775807"]
BROKEN_INTEGERS = [b"", b" 1", b"1 ", b"+1", b"01", b"-0", b"--1", b"1.0", b"1e3", b"abc", b"0x10",
                   b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1\x00"]
FLOATS = [b"0", b"1", b"-1", b"0.1", b"0.2", b"3.0e3", b"1e-5", b"-2.5", b"1234567.891", b"1e17", b"5e-324",
          b"1e308", b"inf", b"-inf", b"nan", b"0x1p3", b" 1.5", b"1.5 ", b"1e", b".5", b"5.", b"1e5000"]
TEXTS = [b"", b"x", b"hello", b"Hello, world", b"\x00\x01\xfe\xff", b"line\r\n", b"v" * 44, b"v" * 45, b"w" * 100,
         b"foobar", b"ohmytext", b"mynewtext", b"\xff\xf0\x00", b"\x00\xff\xf0"]
OFFSETS = [b"0", b"1", b"2", b"3", b"5", b"7", b"8", b"15", b"31", b"44", b"100", b"-1", b"-2", b"-5", b"-100",
           b"999", b"-9223372036854775808", b"9223372036854775807"]
BIT_OFFSETS = [b"0", b"1", b"5", b"7", b"8", b"9", b"31", b"63", b"100", b"1000", b"4294967295", b"4294967296", b"-1",
               b"abc"]
FIELDS = [b"u1", b"u8", b"i8", b"u4", b"i5", b"u16", b"i16", b"u32", b"i32", b"u63", b"i64", b"u64", b"i65", b"i0",
          b"x8", b"u", b"i33"]
NAMES_OF_DATABASES = [b"0", b"1", b"2", b"0", b"1", b"15", b"16", b"-1", b"x"]
PAST = [b"1", b"1000", b"0", b"-1", b"1000000000"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.families = [
            (40, self.string_command), (20, self.bit_command), (20, self.key_command), (15, self.expiry_command),
            (4, self.database_command), (6, self.connection_command),
        ] + [(weight, functools.partial(command, self)) for module in MORE for weight, command in module.FAMILIES]
        self.weights = [weight for weight, _ in self.families]

    # --- arguments ---
    def pick(self, choices):
        return choices[self.random.randrange(len(choices))]

    def chance(self, share):
        return self.random.random() < share

    def key(self):
        return self.pick(KEYS[:6]) if self.chance(0.8) else self.pick(KEYS)

    def keys(self, most=4):
        return [self.key() for _ in range(self.random.randint(1, most))]

    def integer(self):
        if self.chance(0.08):
            return self.pick(BROKEN_INTEGERS)
        if self.chance(0.5):
            return b"%d" % self.random.randint(-300, 300)
        return self.pick(INTEGERS)

    def float(self):
        if self.chance(0.1):
            return self.pick(BROKEN_INTEGERS)
        if self.chance(0.4):
            return b"%.*f" % (self.random.randint(0, 6), self.random.uniform(-1000, 1000))
        return self.pick(FLOATS)

    def value(self):
        dice = self.random.random()
        if dice < 0.35:
            return self.pick(TEXTS)
        if dice < 0.7:
            return self.integer()
        if dice < 0.8:
            return self.float()
        return self.random.randbytes(self.random.choice([1, 2, 3, 8, 20, 44, 45, 64, 200]))

    def offset(self):
        return self.pick(OFFSETS) if self.chance(0.95) else self.pick(BROKEN_INTEGERS)

    def seconds(self):
        return b"%d" % self.random.randrange(10**4, 10**8)

    def milliseconds(self):
        return b"%d" % self.random.randrange(10**7, 10**11)

    def case(self, word):
        dice = self.random.random()
        if dice < 0.6:
            return word
        return word.lower() if dice < 0.9 else bytes(c ^ 32 if chr(c).isalpha() and self.chance(0.5) else c
                                                      for c in word)

    def expiry_option(self):
        """EX, PX, EXAT, PXAT with a time; sometimes broken or past."""
        dice = self.random.random()
        if dice < 0.35:
            return [b"EX", self.seconds()]
        if dice < 0.6:
            return [b"PX", self.milliseconds()]
        if dice < 0.7:
            return [b"EXAT", b"%d" % (4 * 10**9 + self.random.randrange(10**6))]
        if dice < 0.8:
            return [b"PXAT", b"%d" % (4 * 10**12 + self.random.randrange(10**9))]
        if dice < 0.9:
            return [self.pick([b"EXAT", b"PXAT"]), self.pick(PAST)]
        return [self.pick([b"EX", b"PX", b"EXAT", b"PXAT"]),
                self.pick([b"0", b"-1", b"abc", b"9223372036854775807", b"9223372036854775", b"", b"1.5"])]

    # --- families ---
    def string_command(self):
        k, v = self.key, self.value
        dice = self.random.randrange(24)
        if dice <= 3:
            words = [b"SET", k(), v()]
            if self.chance(0.5):
                options = []
                if self.chance(0.5):
                    options += self.expiry_option()
                for option in (b"NX", b"XX", b"GET", b"KEEPTTL"):
                    if self.chance(0.25):
                        options.append(option)
                if self.chance(0.2):
                    self.random.shuffle(options)
                words += [self.case(option) for option in options]
            return words
        if dice == 4:
            return [b"GETEX", k()] + (self.pick([self.expiry_option(), [b"PERSIST"], [],
                                                 self.expiry_option() + [b"PERSIST"]]))
        if dice == 5:
            return [self.pick([b"GET", b"GETDEL", b"STRLEN", b"INCR", b"DECR"]), k()]
        if dice == 6:
            return [self.pick([b"GETSET", b"SETNX", b"APPEND"]), k(), v()]
        if dice == 7:
            return [b"SETEX", k(), self.pick([self.seconds(), b"0", b"-5", b"x", b"9223372036854775807"]), v()]
        if dice == 8:
            return [b"PSETEX", k(), self.pick([self.milliseconds(), b"0", b"-5", b"x", b"9223372036854775807"]), v()]
        if dice == 9:
            words = [self.pick([b"MSET", b"MSETNX"])]
            for key in self.keys():
                words += [key, v()]
            return words
        if dice == 10:
            return [b"MGET"] + self.keys()
        if dice in (11, 12):
            return [self.pick([b"GETRANGE", b"SUBSTR"]), k(), self.offset(), self.offset()]
        if dice == 13:
            return [b"SETRANGE", k(), self.pick([b"0", b"1", b"5", b"50", b"-1", b"536870912", b"536870911x", b"9999"]),
                    v()]
        if dice in (14, 15, 16):
            return [self.pick([b"INCRBY", b"DECRBY"]), k(), self.integer()]
        if dice in (17, 18):
            return [b"INCRBYFLOAT", k(), self.float()]
        if dice == 19:
            words = [b"LCS", k(), k()]
            for option in ([b"LEN"], [b"IDX"], [b"MINMATCHLEN", self.pick([b"0", b"2", b"4", b"-1", b"x"])],
                           [b"WITHMATCHLEN"]):
                if self.chance(0.35):
                    words += [self.case(word) for word in option]
            return words
        if dice == 20:
            return [b"SET", k(), self.pick([b"ohmytext", b"mynewtext", b"foobar", b"12345", b"abcbdab", b"bdcaba"])]
        return [b"GET", k()]

    def bit_command(self):
        k = self.key
        dice = self.random.randrange(9)
        if dice == 0:
            return [b"GETBIT", k(), self.pick(BIT_OFFSETS)]
        if dice == 1:
            return [b"SETBIT", k(), self.pick(BIT_OFFSETS[:10]) if self.chance(0.9) else self.pick([b"-1", b"abc",
                    b"4294967296"]), self.pick([b"0", b"1", b"1", b"2", b"x"])]
        if dice in (2, 3):
            words = [b"BITCOUNT", k()]
            if self.chance(0.7):
                words += [self.offset(), self.offset()]
                if self.chance(0.5):
                    words.append(self.case(self.pick([b"BIT", b"BYTE", b"BITE"])))
            elif self.chance(0.2):
                words += [self.offset()]
            return words
        if dice in (4, 5):
            words = [b"BITPOS", k(), self.pick([b"0", b"1", b"1", b"2"])]
            for _ in range(self.random.randrange(3)):
                words.append(self.offset())
            if len(words) == 5 and self.chance(0.5):
                words.append(self.case(self.pick([b"BIT", b"BYTE"])))
            return words
        if dice == 6:
            return [b"BITOP", self.case(self.pick([b"AND", b"OR", b"XOR", b"NOT", b"NAND"])), k()] + self.keys(3)
        words = [self.pick([b"BITFIELD", b"BITFIELD", b"BITFIELD_RO"]), k()]
        for _ in range(self.random.randint(0, 4)):
            field = self.pick(FIELDS)
            at = self.pick([b"0", b"1", b"7", b"8", b"100", b"#0", b"#1", b"#7", b"-1", b"x"])
            words += self.pick([
                [b"GET", field, at], [b"SET", field, at, self.integer()], [b"INCRBY", field, at, self.integer()],
                [b"OVERFLOW", self.pick([b"WRAP", b"SAT", b"FAIL", b"NONE"])]])
        return words

    def key_command(self):
        k = self.key
        dice = self.random.randrange(16)
        if dice <= 1:
            return [self.pick([b"DEL", b"UNLINK"])] + self.keys()
        if dice <= 3:
            return [self.pick([b"EXISTS", b"TOUCH"])] + self.keys()
        if dice == 4:
            return [b"TYPE", k()]
        if dice == 5:
            return [b"KEYS", self.pick([b"*", b"a", b"key:*", b"?", b"[a-c]", b"[^a]", b"*[12]", b"\\*glob*", b"l*l",
                                        b"[", b"**", b"k*y*", b"[b-a]"])]
        if dice == 6:
            words = [b"SCAN", b"0", b"COUNT", b"1000000"]
            if self.chance(0.4):
                words += [b"MATCH", self.pick([b"*", b"key:*", b"?", b"zz"])]
            if self.chance(0.3):
                words += [b"TYPE", self.pick([b"string", b"list", b"String", b"nope"])]
            return words
        if dice == 7:
            return self.pick([[b"SCAN", b"x"], [b"SCAN", b"0", b"COUNT", b"0"], [b"SCAN", b"0", b"COUNT", b"x"],
                              [b"SCAN", b"0", b"MATCH"], [b"SCAN", b"0", b"NOPE", b"1"], [b"SCAN", b""],
                              [b"RANDOMKEY"]])
        if dice in (8, 9):
            return [self.pick([b"RENAME", b"RENAMENX"]), k(), k()]
        if dice in (10, 11):
            words = [b"COPY", k(), k()]
            if self.chance(0.3):
                words += [b"DB", self.pick(NAMES_OF_DATABASES)]
            if self.chance(0.4):
                words.append(b"REPLACE")
            return words
        if dice == 12:
            return [b"MOVE", k(), self.pick(NAMES_OF_DATABASES)]
        if dice == 13:
            return [b"DBSIZE"]
        if dice == 14:
            return [b"OBJECT", self.case(self.pick([b"ENCODING", b"IDLETIME", b"FREQ", b"NOPE"])), k()]
        return [b"OBJECT", b"ENCODING", k()]

    def expiry_command(self):
        k = self.key
        dice = self.random.randrange(9)
        if dice <= 3:
            name = self.pick([b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"])
            if self.chance(0.15):
                time = self.pick(PAST + [b"abc", b"", b"9223372036854775807", b"-9223372036854775808",
                                         b"9223372036854775"])
            elif name == b"EXPIRE":
                time = self.seconds()
            elif name == b"PEXPIRE":
                time = self.milliseconds()
            elif name == b"EXPIREAT":
                time = b"%d" % (4 * 10**9 + self.random.randrange(3) * 10**6)
            else:
                time = b"%d" % (4 * 10**12 + self.random.randrange(3) * 10**9)
            words = [name, k(), time]
            for option in (b"NX", b"XX", b"GT", b"LT", b"ZZ"):
                if self.chance(0.12 if option != b"ZZ" else 0.02):
                    words.append(self.case(option))
            return words
        if dice <= 6:
            return [self.pick([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), k()]
        return [b"PERSIST", k()]

    def database_command(self):
        dice = self.random.randrange(8)
        if dice <= 3:
            return [b"SELECT", self.pick(NAMES_OF_DATABASES)]
        if dice <= 5:
            return [b"SWAPDB", self.pick(NAMES_OF_DATABASES), self.pick(NAMES_OF_DATABASES)]
        if dice == 6:
            return [b"FLUSHDB"] + self.pick([[], [b"SYNC"], [b"ASYNC"], [b"NOPE"]])
        if self.chance(0.2):
            return [b"FLUSHALL"] + self.pick([[], [b"SYNC"], [b"ASYNC"], [b"NOPE"], [b"SYNC", b"ASYNC"]])
        return [b"DBSIZE"]

    def connection_command(self):
        return self.pick([
            [b"PING"], [b"PING", self.value()], [b"PING", b"a", b"b"], [b"ECHO", self.value()], [b"ECHO"],
            [b"NOSUCH", self.value(), self.value()], [b"nosuch" * 30, b"x" * 200], [b"get"], [b"CLIENT", b"NOPE"],
            [b"CLIENT"], [b"COMMAND", b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"],
            [b"COMMAND", b"GETKEYS", b"BITOP", b"AND", b"d", b"x", b"y"], [b"COMMAND", b"GETKEYS", b"PING"],
            [b"OBJECT"], [b"OBJECT", b"ENCODING"], [b"WAIT", b"0", b"x"], [b"HELLO", b"9"], [b"HELLO", b"x"],
            [b"SELECT"], [b"AUTH", b"x"], [b"TIME", b"x"], [b""], [b"\x00"],
        ])

    def broken(self, words):
        """The command with an argument too many, too few or exchanged."""
        words = list(words)
        dice = self.random.randrange(4)
        if dice == 0 and len(words) > 1:
            del words[self.random.randrange(1, len(words))]
        elif dice == 1:
            words.insert(self.random.randint(1, len(words)), self.value())
        elif dice == 2 and len(words) > 1:
            words[self.random.randrange(1, len(words))] = self.value()
        else:
            words = words[:1]
        return words

    def is_safe(self, words):
        """Not something whose effect depends on when it runs or hurts the run."""
        name = words[0].upper()
        if name == b"WAIT":
            return words[1:] == [b"0", b"x"]
        if name == b"COMMAND":
            return words[1:2] == [b"GETKEYS"]
        if name == b"SHUTDOWN" or name == b"HELLO" and words[1:2] not in ([b"9"], [b"x"]):
            return False
        if name == b"SPOP":
            # Some of a set are each server's own choice.
            return len(words) != 2 and not (len(words) == 3 and words[2].isdigit() and 0 < int(words[2]) < 1000)
        if name in (b"SORT", b"SORT_RO"):
            # Equal weights, compared as texts, leave the order free; replies are collated, to a zero byte.
            upper = [word.upper() for word in words]
            return b"ALPHA" not in upper or b"STORE" in upper and (b"BY" not in upper or b"NOSORT" in upper)
        if name in (b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER") and len(words) > 2:
            # Repeats without end.
            return not words[2].startswith(b"-") or len(words[2]) < 7 or words[2] == b"-9223372036854775808"
        if name in (b"SETRANGE", b"SETBIT", b"BITFIELD", b"BITFIELD_RO"):
            return all(len(word) < 7 or not word.strip(b"#").isdigit() or int(word.strip(b"#")) < 100000
                       for word in words[2:]) or name.startswith(b"BITFIELD") and not self.huge_offset(words)
        if name in (b"EXPIRE", b"PEXPIRE", b"SETEX", b"PSETEX", b"SET", b"GETEX"):
            return not self.short_time(words)
        return True

    @staticmethod
    def huge_offset(words):
        offsets = [word for at, word in enumerate(words[2:]) if words[2:][at - 1][:1] in (b"u", b"i") and at]
        return any(word.strip(b"#").isdigit() and int(word.strip(b"#")) > 100000 for word in offsets)

    @staticmethod
    def short_time(words):
        """A relative time that would run out while the test runs, or near it."""
        def number(word):
            try:
                return int(word)
            except ValueError:
                return None
        name = words[0].upper()
        candidates = []
        if name in (b"EXPIRE", b"SETEX") and len(words) > 2:
            candidates.append((words[2], 1000))
        if name in (b"PEXPIRE", b"PSETEX") and len(words) > 2:
            candidates.append((words[2], 1))
        for at, word in enumerate(words[:-1]):
            if word.upper() == b"EX":
                candidates.append((words[at + 1], 1000))
            if word.upper() == b"PX":
                candidates.append((words[at + 1], 1))
        for word, unit in candidates:
            value = number(word)
            if value is not None and 0 < value * unit < 10**6:
                return True
        return False

    def command(self):
        while True:
            words = self.random.choices(self.families, self.weights)[0][1]()
            if self.chance(0.04):
                words = self.broken(words)
            if self.is_safe(words):
                return words

    def episode(self, length):
        commands = []
        while len(commands) < length:
            words = self.command()
            commands.append(words)
            # A key set with a time that is over counts until somebody looks.
            if words[0].upper() in (b"SET", b"GETEX") and any(w.upper() in (b"EXAT", b"PXAT") for w in words[2:]):
                commands.append([b"EXISTS", words[1]])
        return commands
