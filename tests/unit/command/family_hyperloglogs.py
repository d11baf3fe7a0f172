"""HyperLogLogs: the strings must be the same bytes."""
TWENTY = " ".join("e%d" % i for i in range(20))
EMPTY = "HYLL\x01\x00\x00\x00" + "\x00" * 8


def many(first, count):
    return " ".join("m%d" % i for i in range(first, first + count))


# Until well after it has become dense, looked at on the way.
GROWING = "|".join("PFADD grow %s|GET grow" % many(first, 60) for first in range(0, 3000, 60))

SCRIPT = """
FLUSHALL|SET s x|LPUSH l a|PFADD|PFADD s a|PFADD l a|PFADD h|GET h|PFADD h|OBJECT ENCODING h|PFADD g a b c|GET g|PFADD g a b c|PFCOUNT g|GET g
PFCOUNT g|PFADD g d|GET g|PFCOUNT g h|PFCOUNT none|PFCOUNT none none|PFCOUNT g none h|PFCOUNT g s|PFCOUNT l|PFCOUNT s|PFCOUNT g l|PFCOUNT
PFMERGE m|GET m|PFMERGE m g h|GET m|PFCOUNT m|PFMERGE m s|PFMERGE s m|PFMERGE l g|PFMERGE m l|PFMERGE m none|GET m|PFMERGE m m g|PFMERGE
PFDEBUG|PFDEBUG x|PFDEBUG encoding none|PFDEBUG x g|PFDEBUG encoding g|PFDEBUG decode g|PFDEBUG decode s|PFDEBUG decode l|PFDEBUG encoding l|PFDEBUG todense g
PFDEBUG todense g|PFDEBUG decode g|PFDEBUG encoding g|GET g|PFCOUNT g|PFADD g a|PFADD g x y|GET g|PFCOUNT g|PFDEBUG getreg g|PFDEBUG getreg h|PFDEBUG encoding h
PFADD t TWENTY|PFDEBUG decode t|PFCOUNT t|PFMERGE u t g|PFDEBUG encoding u|GET u|PFCOUNT u t g|PFSELFTEST|PFSELFTEST x|EXPIRE t 1000|PFADD t zz|PERSIST t
SET b EMPTY|PFADD b|PFCOUNT b|PFADD b a|PFMERGE q b|PFDEBUG encoding b|SET b "HYLL"|PFADD b x|SET b "EMPTYx"|PFCOUNT b|PFMERGE q b|PFADD q x
PFADD f ""|GET f|PFCOUNT f|APPEND f x|PFCOUNT f|PFMERGE m f|COPY t t2|PFADD t2 y|PFCOUNT t2|SETRANGE t2 4 x|PFCOUNT t2|PFDEBUG encoding t2
GROWING|PFDEBUG encoding grow|PFCOUNT grow|PFADD g2 1 2 3|PFMERGE g2 grow|GET g2|PFCOUNT g2 grow h
""".replace("GROWING", GROWING).replace("TWENTY", TWENTY).replace("EMPTY", EMPTY)

PATTERNS = """
PFADD %hll %thing|PFADD %hll %thing %thing %thing|PFADD %hll %thing %thing %thing %thing %thing %thing|PFADD %hll %thing %thing %thing %thing %thing %thing %thing %thing %thing %thing %thing %thing|PFADD %hll|PFCOUNT %hll|PFCOUNT %hll %hll
PFMERGE %hll %hll|PFMERGE %hll %hll %hll|PFMERGE %hll|GET %hll|GET %hll|PFDEBUG decode %hll|PFDEBUG encoding %hll|DEL %hll
"""

WORDS = {
    "%hll": ["h1", "h2", "h3", "h4", "h5"],
    "%thing": ["t%d" % i for i in range(300)] + ["", "x" * 7, "x" * 8, "x" * 9, "\xff" * 17],
}
