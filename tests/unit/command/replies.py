"""Replies as bytes, taken apart."""
import io


def parse(reply):
    """Nested lists: aggregates begin with their kind, the rest is bytes."""
    return parse_from(io.BytesIO(reply))


def parse_from(stream):
    line = stream.readline()
    kind, count = line[:1], line[1:-2]
    if kind in b"$=" and int(count) >= 0:
        return stream.read(int(count) + 2)
    if kind in b"*~%>":
        factor = 2 if kind == b"%" else 1
        return [kind] + [parse_from(stream) for _ in range(factor * max(int(count), 0))]
    return line


def is_same_unordered(arguments, theirs, ours):
    """The same elements in any order."""
    a, b = parse(theirs), parse(ours)
    if not isinstance(a, list) or not isinstance(b, list):
        return theirs == ours
    return a[0] == b[0] and sorted(a[1:]) == sorted(b[1:])


def pairs_of(flat):
    return sorted(zip(flat[::2], flat[1::2]))


def is_same_pairs(arguments, theirs, ours):
    """The same pairs in any order, flat."""
    a, b = parse(theirs), parse(ours)
    if not isinstance(a, list) or not isinstance(b, list):
        return theirs == ours
    return a[0] == b[0] and len(a) == len(b) and pairs_of(a[1:]) == pairs_of(b[1:])


def is_same_scan(arguments, theirs, ours):
    """Cursors must be equal too: for scans that end at once."""
    a, b = parse(theirs), parse(ours)
    if not isinstance(a, list) or not isinstance(b, list):
        return theirs == ours
    return a[1] == b[1] and sorted(a[2][1:]) == sorted(b[2][1:])


def is_same_pair_scan(arguments, theirs, ours):
    a, b = parse(theirs), parse(ours)
    if not isinstance(a, list) or not isinstance(b, list):
        return theirs == ours
    return a[1] == b[1] and pairs_of(a[2][1:]) == pairs_of(b[2][1:])


def is_same_shape(arguments, theirs, ours):
    """As many of the same kind; errors and nulls equal."""
    a, b = parse(theirs), parse(ours)
    if isinstance(a, list) and isinstance(b, list):
        return a[0] == b[0] and len(a) == len(b)
    return not isinstance(a, list) and not isinstance(b, list) and \
        (theirs[:1] == ours[:1] == b"$" and b"$-1" not in (theirs[:3], ours[:3]) or theirs == ours)
