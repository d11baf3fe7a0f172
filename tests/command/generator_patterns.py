"""Random commands from the patterns of tests/unit/command: lists, sorted sets,
places, HyperLogLogs, SORT, each on keys of their own.

Those that wait come apart, in WAITING: outside of a transaction they cost time.
"""
import scripts
import resp

WEIGHTS = {"family_lists": 25, "family_zsets": 25, "family_geo": 8, "family_hyperloglogs": 10, "family_sorts": 8}
# Each has a choice that the servers may take differently, or a time of its own.
LEFT_OUT = ("EXPIRE",)
WAITING_NAMES = ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP")


def patterns_of(family):
    patterns = family.PATTERNS.replace("\n", "|").strip("|").split("|")
    return [pattern.split(" ") for pattern in patterns if not pattern.startswith(LEFT_OUT)]


def filled(g, words, choices):
    """The words of a pattern with the choices made."""
    made = []
    for word in words:
        if word == "%how":  # an option, sometimes with its arguments
            made += g.pick(choices[word]).split(" ")
        elif word in choices:
            made.append(g.pick(choices[word]))
        elif word == "V":
            made.append(g.value())
        elif word == "K":
            made.append(g.key())
        elif word == "N":
            made.append(g.integer())
        else:
            made.append(word)
    return [resp.as_bytes(word) if isinstance(word, bytes) else word.encode("latin1") for word in made]


def maker(patterns, choices):
    def command(g):
        words = filled(g, g.pick(patterns), choices)
        return [g.case(words[0])] + words[1:]
    return command


def undamaged(choices):
    """HyperLogLogs on keys that no other generator writes bytes into: damage is noticed sooner here."""
    return {word: [choice for choice in some if word != "%hll" or choice != "a"] for word, some in choices.items()}


def numbers_too(choices):
    """SORT's numbers, which its family takes from elsewhere."""
    return dict({"%number": ["0", "1", "-1", "2", "3", "10", "7", "100", "9223372036854775807"]}, **choices)


FAMILIES, WAITING = [], []
for name, weight in WEIGHTS.items():
    source = scripts.family(name)
    calm, waiting = [], []
    for pattern in patterns_of(source):
        (waiting if pattern[0] in WAITING_NAMES else calm).append(pattern)
    FAMILIES.append((weight, maker(calm, undamaged(numbers_too(source.WORDS)))))
    if waiting:
        WAITING.append(maker(waiting, source.WORDS))
