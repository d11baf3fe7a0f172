"""Is what clients saw possible?

Objects are checked one by one by support/linear.py: a register, a counter, a
string appended to, or a group of keys that are written and read together.  Keys
live for a short time, so that each history is short, and the last reads, of
every key there ever was, belong to it.

Power cuts of all replicas, with appendfsync everysec.  What may happen is that the order
loses its end: there is one moment F, at most LOSS_MAX_S before the cut, and from
the cut on the data are those of F.  What took effect before F is there, whoever
wrote it; what did after F is gone, all of it; nothing else changes.  This is checked
in two steps.
  1. The lists of single writers say of each acknowledged write whether it survived.
     F lies after the invocation of every one that did and before the answer to every
     one that did not: an interval, narrow because lists are written all the time.
     If it is empty, more or other than an end was lost.
  2. In the history of each object, F and the cut are operations of their own: the first
     keeps the state, at any moment of the interval; the second brings it back.  What
     clients were told before the cut must agree with the state before, what they were
     told since with the state brought back.
Not checked: that F is the same point for two objects within the interval.
"""
import collections

import linear
from linear import IMPOSSIBLE, UNKNOWN, Operation  # noqa: F401  (UNKNOWN for those who make histories)

STATES_MAX = 300000
# A flush begins every second and takes its time; the machine may be busy.
LOSS_MAX_S = 2.0


class Cut:
    """A power cut of all: when the first replica ended, when the last had; F lies
    within [earliest, latest]."""

    def __init__(self, start, end):
        self.start, self.end = start, end
        self.earliest, self.latest = start - LOSS_MAX_S, end

    def operations(self):
        return [Operation("the disk", "-", ("keep",), b"OK", self.earliest, self.latest),
                Operation("the power", "-", ("cut",), b"OK", self.start, self.end)]


NOTHING_KEPT = "nothing"


def step_with_cuts(state, words):
    """State: (the object's state, the state kept)."""
    now, kept = state
    if words[0] == "keep":
        return (now, ("kept", now)), b"OK"
    if words[0] == "cut":
        if kept == NOTHING_KEPT:
            return state, IMPOSSIBLE
        return (kept[1], NOTHING_KEPT), b"OK"
    after, result = linear.step(now, words)
    return (after, kept), result


def check(operations, cuts=()):
    """(sentences of what is wrong, how many objects, how many were too hard)."""
    if not cuts:
        return linear.check_each(operations, limit=STATES_MAX)
    marks = [mark for cut in cuts for mark in cut.operations()]
    return linear.check_each(operations, marks, (None, NOTHING_KEPT), STATES_MAX, step_with_cuts)


# --- one writer's list ----------------------------------------------------------

def check_list(name, text, sent, forgivable=()):
    """A key one client alone appends to, "token,token,...".  sent: [(token,
    outcome)] in order, outcome "ok", "failed" or "unknown".  forgivable: tokens
    acknowledged that may be lost all the same (a power cut of all, everysec).
    Acknowledged ones are there once, in order; refused ones are not there."""
    outcomes = dict(sent)
    order = {token: i for i, (token, _) in enumerate(sent)}
    found = tokens_of(text)
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


def tokens_of(text):
    return text.decode(errors="replace").split(",")[:-1] if text else []


def narrow(cuts, lists):
    """What lists say of the cuts' moments F.  lists: [(name, text, {acknowledged token:
    (invoked, answered)})].  Sentences; tokens lost are noted in cut.lost, as pairs
    (name, token)."""
    wrong = []
    for cut, before in zip(cuts, [None, *cuts]):
        # What a cut left is on disk before anything goes on.
        survived = (max(cut.start - LOSS_MAX_S, before.end if before else 0), "the bound")
        lost = (cut.end, "the cut")
        cut.lost = set()
        for name, text, acknowledged in lists:
            there = set(tokens_of(text))
            for token, (invoked, answered) in acknowledged.items():
                if answered > cut.end or (before and answered <= before.end):
                    continue
                if token in there:
                    survived = max(survived, (invoked, "%s %s, which survived" % (name, token)))
                else:
                    cut.lost.add((name, token))
                    lost = min(lost, (answered, "%s %s, which is lost" % (name, token)))
        cut.earliest, cut.latest = survived[0], lost[0]
        if cut.earliest > cut.latest:
            wrong.append("a power cut of all took more than an end: %s, answered %.3f s before the cut, and %s, "
                         "sent %.3f s before it" % (lost[1], cut.start - lost[0], survived[1], cut.start - survived[0]))
    return wrong


# --- all of it --------------------------------------------------------------------


def check_all(clients, connection, cuts=()):
    """After clients have ended: reads everything, and checks it.  (sentences, objects,
    how many were too hard)."""
    last, lists = clients.read_all(connection)
    wrong = narrow(cuts, [(client.list_key, text, client.acknowledged_at) for client, text in lists.items()])
    for client, text in lists.items():
        forgiven = {token for cut in cuts for name, token in cut.lost if name == client.list_key}
        wrong += check_list(client.list_key, text, client.sent, forgiven)
    if wrong:
        return wrong, 0, 0
    return check(clients.operations() + last, cuts)
