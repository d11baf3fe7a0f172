"""Is a recorded history linearizable?  Written without a look at the server.

Keys are checked one by one (linearizability is local); a group of keys that are
written and read together counts as one.  The search is Wing and Gong's with memory
(Lowe 2017): linearize, as the next operation, any that was invoked before the
earliest return among those left; remember the pairs (set of linearized
operations, state) already met.

An operation whose outcome is unknown (timeout, INDOUBT, a lost connection) may
have taken effect at any time after its invocation, or never.  One refused for
certain is left out of the history by whoever records it.
"""

UNKNOWN = object()  # the outcome nobody can know
IMPOSSIBLE = object()  # a step's result that no operation has
READS = ("get", "mget")


class TooHard(Exception):
    """More states than one is willing to look at."""


class Operation:
    """words[0] is one of step()'s; result as recorded, or UNKNOWN."""
    __slots__ = ("client", "key", "words", "result", "invoked", "returned")

    def __init__(self, client, key, words, result, invoked, returned):
        self.client, self.key, self.words, self.result = client, key, words, result
        self.invoked, self.returned = invoked, returned

    def __repr__(self):
        result = "unknown" if self.result is UNKNOWN else repr(self.result)
        return "%-10s %s %s -> %s   [%.6f, %s]" % (
            self.client, " ".join(map(str, self.words)), self.key, result, self.invoked,
            "unknown" if self.returned is None else "%.6f" % self.returned)


def step(state, words):
    """(state, result) after one operation.  A key's state is its bytes, None for
    no key; a group's is a tuple of such, None while all are missing."""
    name = words[0]
    if name == "get":
        return state, state
    if name == "set":
        return words[1], b"OK"
    if name == "getset":
        return words[1], state
    if name == "setnx":  # SET NX GET: the old value
        return (words[1] if state is None else state), state
    if name == "setxx":  # SET XX GET
        return (state if state is None else words[1]), state
    if name == "del":
        return None, 0 if state is None else 1
    if name == "incr":
        number = int(state or 0) + 1
        return b"%d" % number, number
    if name == "append":
        text = (state or b"") + words[1]
        return text, len(text)
    state = state or (None, None, None)
    if name == "mget":
        return state, list(state)
    if name == "mset":  # words[1]: pairs of index and value
        values = list(state)
        for index, value in words[1]:
            values[index] = value
        return tuple(values), b"OK"
    raise ValueError(name)


def check_key(operations, initial=None, limit=2000000, step=step):
    """None if there is an order, else (state, operations) around the place where
    every order fails.  TooHard beyond limit states."""
    known = sorted((o for o in operations if o.result is not UNKNOWN), key=lambda o: o.invoked)
    # A read that nobody saw the result of says nothing.
    maybe = sorted((o for o in operations if o.result is UNKNOWN and o.words[0] not in READS), key=lambda o: o.invoked)
    count = len(known)
    if not count:
        return None

    def choices(first, done, used, state):
        """The operations that can come next and agree with state, as
        (is known, index, state after it); certain ones first."""
        earliest, found = float("inf"), []
        at = first
        while at < count and known[at].invoked <= earliest:
            if not done >> (at - first) & 1:
                earliest = min(earliest, known[at].returned)
                found.append(at)
            at += 1
        chosen = []
        for at in found:
            if known[at].invoked <= earliest:
                after, result = step(state, known[at].words)
                if result == known[at].result:
                    chosen.append((True, at, after))
        for at, operation in enumerate(maybe):
            if operation.invoked > earliest:
                break
            if not used >> at & 1:
                after, _ = step(state, operation.words)
                if after != state:
                    chosen.append((False, at, after))
        return chosen

    # first: all operations before it are linearized; done: bits from there on.
    seen = set()
    furthest, furthest_state = 0, initial
    stack, places = [iter([(None, 0, initial)])], [(0, 0, 0, initial)]
    while stack:
        choice = next(stack[-1], None)
        if choice is None:
            stack.pop()
            places.pop()
            continue
        is_known, at, state = choice
        first, done, used, _ = places[-1]
        if is_known:
            done |= 1 << (at - first)
            while done & 1:
                done >>= 1
                first += 1
        elif is_known is False:
            used |= 1 << at
        if first >= count:
            return None
        place = (first, done, used, state)
        if place in seen:
            continue
        seen.add(place)
        if len(seen) > limit:
            raise TooHard("%d operations, %d of unknown outcome" % (count, len(maybe)))
        if first > furthest:
            furthest, furthest_state = first, state
        stack.append(iter(choices(first, done, used, state)))
        places.append(place)
    return furthest_state, known[max(0, furthest - 12):furthest + 8] + maybe[:20]


def check_each(operations, also=(), initial=None, limit=2000000, step=step):
    """(sentences, one for each key whose history has no order; how many keys; how
    many were too hard).  also: operations that concern every key."""
    keys = {}
    for operation in operations:
        keys.setdefault(operation.key, []).append(operation)
    wrong, hard = [], 0
    for key, history in sorted(keys.items()):
        try:
            stuck = check_key(history + list(also), initial, limit, step)
        except TooHard:
            hard += 1
            continue
        if stuck:
            wrong.append("%s is not linearizable; stuck with %r near\n  %s" % (
                key, stuck[0], "\n  ".join(map(repr, stuck[1]))))
    return wrong, len(keys), hard


def check(operations):
    """The sentences; a history that is too hard raises TooHard."""
    wrong, _, hard = check_each(operations)
    if hard:
        raise TooHard("%d keys" % hard)
    return wrong
