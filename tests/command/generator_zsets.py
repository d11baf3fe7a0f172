"""Random commands on sorted sets and places: the patterns of tests/unit/command,
on keys of their own.  Not those that wait: they would cost time."""
import scripts
import resp

SOURCES = [scripts.family("family_zsets"), scripts.family("family_geo")]
WORDS = {name: choices for source in SOURCES for name, choices in source.WORDS.items()}


def patterns_of(source):
    patterns = source.PATTERNS.replace("\n", "|").strip("|").split("|")
    return [pattern.split(" ") for pattern in patterns if not pattern.startswith(("B", "EXPIRE"))]


def fill(g, word):
    return resp.as_bytes(g.pick(WORDS[word]) if word in WORDS else word)


def zset_command(g):
    words = [fill(g, word) for word in g.pick(PATTERNS[0])]
    return [g.case(words[0])] + words[1:]


def geo_command(g):
    return [fill(g, word) for word in g.pick(PATTERNS[1])]


PATTERNS = [patterns_of(source) for source in SOURCES]
FAMILIES = [(25, zset_command), (8, geo_command)]
