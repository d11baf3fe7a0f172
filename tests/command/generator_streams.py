"""Random commands on streams: the patterns of tests/unit/command, on keys of
their own.  None waits."""
import resp
import scripts

SOURCE = scripts.family("family_streams")
PATTERNS = [pattern.split(" ") for pattern in SOURCE.PATTERNS.replace("\n", "|").strip("|").split("|")]


def stream_command(g):
    words = [resp.as_bytes(g.pick(SOURCE.WORDS[word]) if word in SOURCE.WORDS else word) for word in g.pick(PATTERNS)]
    return [g.case(words[0])] + words[1:]


FAMILIES = [(30, stream_command)]
