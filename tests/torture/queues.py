"""Clients that hand things on: elements are put and taken, and money moves.

Queue, set and sorted set: whatever was put and acknowledged is taken once or is still there
at the end; nothing is taken twice, nothing that was refused is ever seen.  A pop of
unknown outcome (no reply) may have taken one element with it, not more: so
many may be missing.  Taken are: from a list by LPOP, RPOP and the blocking pops,
from a set by SPOP, from a sorted set by ZPOPMIN and BZPOPMAX.  BRPOPLPUSH and
LMOVE carry elements to a second list, where they stay.

Accounts: transfers between a few counters, by MULTI alone, and by WATCH, GET, MULTI, SET;
every MGET of all, and the one at the end, must add up to nothing.

After a power cut of all with appendfsync everysec pops may be undone, and only the accounts
are judged.
"""
import collections
import time

from clients import Client

LIST, MOVED, SET, SORTED = "queue:list", "queue:moved", "queue:set", "queue:zset"
ACCOUNTS = ["account:%d" % number for number in range(5)]
WAIT_S = "0.2"


class QueueClient(Client):
    """put: [(place, token, outcome)]; taken, moved: [(place, token)] as replies said."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.put, self.taken, self.moved = [], [], []
        self.unknown_pops = collections.Counter()

    def one(self, connection):
        dice = self.random.random()
        if dice < 0.4:
            return self.add(connection)
        if dice < 0.75:
            return self.take(connection)
        return self.transfer(connection) if dice < 0.9 else self.audit(connection)

    def tell(self, connection, *words):
        """call() with the books kept."""
        outcome, reply, is_usable = self.call(connection, words)
        self.counts[outcome] += 1
        if outcome == "ok":
            self.served.append(time.monotonic())
        return outcome, reply, is_usable

    def add(self, connection):
        self.number += 1
        token = "%s.%d" % (self.list_key[5:], self.number)
        place = self.random.choice([LIST, LIST, SET, SORTED])
        words = {LIST: [self.random.choice(["RPUSH", "LPUSH"]), LIST, token], SET: ["SADD", SET, token],
                 SORTED: ["ZADD", SORTED, "%d" % self.random.randrange(100), token]}[place]
        outcome, _, is_usable = self.tell(connection, *words)
        self.put.append((place, token, outcome))
        return is_usable

    def take(self, connection):
        place, words = self.random.choice([
            (LIST, ["LPOP", LIST]), (LIST, ["RPOP", LIST]), (LIST, ["BLPOP", LIST, WAIT_S]), (LIST, ["BRPOP", "none", LIST, WAIT_S]),
            (LIST, ["BLMPOP", WAIT_S, "1", LIST, "LEFT"]), (MOVED, ["BRPOPLPUSH", LIST, MOVED, WAIT_S]),
            (MOVED, ["LMOVE", LIST, MOVED, "LEFT", "RIGHT"]), (SET, ["SPOP", SET]), (SET, ["SPOP", SET]),
            (SORTED, ["ZPOPMIN", SORTED]), (SORTED, ["BZPOPMAX", SORTED, WAIT_S])])
        outcome, reply, is_usable = self.tell(connection, *words)
        if outcome == "unknown":
            self.unknown_pops[place] += 1
        elif outcome == "ok" and reply:
            token = token_of(words[0], reply).decode()
            (self.moved if place == MOVED else self.taken).append((place, token))
        return is_usable

    def transfer(self, connection):
        """A connection in the middle of one is of no more use."""
        source, target = self.random.sample(ACCOUNTS, 2)
        amount = self.random.randrange(1, 100)
        if self.random.random() < 0.5:
            steps = [["MULTI"], ["DECRBY", source, amount], ["INCRBY", target, amount]]
        else:
            before = []
            for words in (["WATCH", source, target], ["GET", source], ["GET", target]):
                outcome, reply, _ = self.tell(connection, *words)
                if outcome != "ok":
                    return False
                before.append(int(reply or 0) if words[0] == "GET" else 0)
            steps = [["MULTI"], ["SET", source, before[1] - amount], ["SET", target, before[2] + amount]]
        for words in steps:
            if self.tell(connection, *words)[0] != "ok":
                return False
        return self.tell(connection, "EXEC")[0] == "ok"

    def audit(self, connection):
        outcome, reply, is_usable = self.tell(connection, "MGET", *ACCOUNTS)
        if outcome == "ok" and sum(int(value or 0) for value in reply):
            self.unexpected.append("accounts do not add up: %s" % reply)
        return is_usable


def token_of(name, reply):
    """The element in the reply of a pop."""
    if name in ("BLPOP", "BRPOP", "BZPOPMAX"):
        return reply[1]
    if name == "BLMPOP":
        return reply[1][0]
    return reply[0] if name == "ZPOPMIN" else reply


# --- checking ---------------------------------------------------------------------


def judge(put, taken, moved, unknown_pops, left):
    """Sentences.  put, taken, moved: as a client's, of all clients; unknown_pops: {place: how many};
    left: {place: tokens there at the end}."""
    wrong = []
    outcomes = {token: outcome for _, token, outcome in put}
    seen = collections.Counter(token for _, token in taken)
    seen.update(token for tokens in left.values() for token in tokens)
    for token, times in sorted(seen.items()):
        if token not in outcomes:
            wrong.append("nobody put %s" % token)
        elif outcomes[token] == "failed":
            wrong.append("%s was refused, and was there" % token)
        if times > 1:
            wrong.append("%s was there %d times: taken %s, left %s" % (
                token, times, [place for place, other in taken if other == token],
                [place for place, tokens in left.items() if token in tokens]))
    there = set(left[MOVED])
    wrong += ["%s was moved and is not there" % token for _, token in moved if token not in there]
    for place in (LIST, SET, SORTED):
        missing = [token for where, token, outcome in put if where == place and outcome == "ok" and token not in seen]
        if len(missing) > unknown_pops.get(place, 0):
            wrong.append("%s: %d acknowledged are lost, and only %d pops have no known outcome: %s" % (
                place, len(missing), unknown_pops.get(place, 0), " ".join(missing[:10])))
    return wrong


def read_left(connection):
    replies = {LIST: connection.ask("LRANGE", LIST, "0", "-1"), MOVED: connection.ask("LRANGE", MOVED, "0", "-1"),
               SET: connection.ask("SMEMBERS", SET), SORTED: connection.ask("ZRANGE", SORTED, "0", "-1")}
    return {place: [token.decode() for token in tokens] for place, tokens in replies.items()}


def check(clients, connection, cuts=()):
    """After they have ended; sentences."""
    mine = [client for client in clients if isinstance(client, QueueClient)]
    accounts = connection.ask("MGET", *ACCOUNTS)
    wrong = []
    if sum(int(value or 0) for value in accounts):
        wrong.append("accounts do not add up at the end: %s" % accounts)
    if cuts:
        return wrong
    unknown = collections.Counter()
    for client in mine:
        unknown += client.unknown_pops
    return wrong + judge(sum((client.put for client in mine), []), sum((client.taken for client in mine), []),
                         sum((client.moved for client in mine), []), unknown, read_left(connection))
