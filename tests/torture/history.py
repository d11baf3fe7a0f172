"""Is what clients saw possible?  Written without a look at the server.

Objects are checked one by one (linearizability is local): a register, a counter,
a string appended to, or a group of keys that are written and read together.
The search is Wing and Gong's with memory (Lowe 2017), as in support/linear.py,
with a model per kind of object; keys live for a short time, so that each history
is short, and the last reads, of every key there ever was, belong to it.
"""
import collections

UNKNOWN = object()  # the outcome nobody can know
STATES_MAX = 300000


class TooHard(Exception):
    pass


class Operation:
    __slots__ = ("client", "object", "words", "result", "invoked", "returned")

    def __init__(self, client, object_, words, result, invoked, returned):
        self.client, self.object, self.words, self.result = client, object_, words, result
        self.invoked, self.returned = invoked, returned

    def __repr__(self):
        return "%-9s %-14s %s -> %s   [%.4f, %s]" % (
            self.client, self.object, " ".join(map(str, self.words)),
            "unknown" if self.result is UNKNOWN else repr(self.result), self.invoked,
            "-" if self.returned is None else "%.4f" % self.returned)


READS = ("get", "mget")


def step(state, words):
    """(state, result).  A register's state is its bytes or None; a group's a
    tuple of such, one per key."""
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
    if name == "mset":  # words[1]: {index: value} as pairs
        values = list(state)
        for index, value in words[1]:
            values[index] = value
        return tuple(values), b"OK"
    raise ValueError(name)


def check_object(operations):
    """None if there is an order, else a sentence."""
    known = sorted((o for o in operations if o.result is not UNKNOWN), key=lambda o: o.invoked)
    maybe = sorted((o for o in operations if o.result is UNKNOWN and o.words[0] not in READS), key=lambda o: o.invoked)
    count = len(known)
    if not count:
        return None

    def choices(first, done, used, state):
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

    seen = set()
    furthest, furthest_state = 0, None
    stack, places = [iter([(None, 0, None)])], [(0, 0, 0, None)]
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
        if len(seen) >= STATES_MAX:
            raise TooHard("%d operations, %d of unknown outcome" % (count, len(maybe)))
        seen.add(place)
        if first > furthest:
            furthest, furthest_state = first, state
        stack.append(iter(choices(first, done, used, state)))
        places.append(place)
    around = known[max(0, furthest - 12):furthest + 8] + maybe[:20]
    return "object %s has no possible order; stuck with %r near\n  %s" % (
        operations[0].object, furthest_state, "\n  ".join(map(repr, around)))


def check(operations):
    """(sentences of what is wrong, how many objects, how many were too hard)."""
    objects = collections.defaultdict(list)
    for operation in operations:
        objects[operation.object].append(operation)
    wrong, hard = [], 0
    for _, history in sorted(objects.items()):
        try:
            sentence = check_object(history)
        except TooHard:
            hard += 1
            continue
        if sentence:
            wrong.append(sentence)
    return wrong, len(objects), hard


# --- one writer's list ----------------------------------------------------------

def check_list(name, text, sent, forgivable=()):
    """A key one client alone appends to, "token,token,...".  sent: [(token,
    outcome)] in order, outcome "ok", "failed" or "unknown".  forgivable: tokens
    acknowledged that may be lost all the same (a power cut of all, everysec).
    Acknowledged ones are there once, in order; refused ones are not there."""
    outcomes = dict(sent)
    order = {token: i for i, (token, _) in enumerate(sent)}
    found = text.decode(errors="replace").split(",")[:-1] if text else []
    wrong, counts = [], collections.Counter(found)
    for token, times in counts.items():
        if token not in outcomes:
            wrong.append("%s: nobody appended %r" % (name, token))
        elif times > 1:
            wrong.append("%s: %s (%s) is there %d times" % (name, token, outcomes[token], times))
        elif outcomes[token] == "failed":
            wrong.append("%s: %s was refused and is there" % (name, token))
    lost = [token for token, outcome in sent if outcome == "ok" and token not in counts and token not in forgivable]
    if lost:
        wrong.append("%s: %d acknowledged are lost: %s" % (name, len(lost), " ".join(lost[:10])))
    acknowledged = [order[token] for token in found if outcomes.get(token) == "ok"]
    if acknowledged != sorted(acknowledged):
        wrong.append("%s: acknowledged tokens are out of order" % name)
    return wrong
