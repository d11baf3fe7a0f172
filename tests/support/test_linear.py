"""The checker itself: histories known to be right or wrong, and random ones made
by a real (simulated) register, whole and then spoiled."""
import random

import pytest

from linear import UNKNOWN, Operation, check


def history(*rows):
    return [Operation("c%d" % at, "k", words, result, invoked, returned)
            for at, (words, result, invoked, returned) in enumerate(rows)]


SET1, SET2, GET, INCR, DEL = ("set", b"1"), ("set", b"2"), ("get",), ("incr",), ("del",)

RIGHT = {
    "one after the other": [(SET1, b"OK", 0, 1), (GET, b"1", 2, 3)],
    "a read beside a write sees either": [(SET1, b"OK", 0, 5), (GET, None, 1, 2), (GET, b"1", 3, 4)],
    "an unknown write that happened": [(SET1, UNKNOWN, 0, None), (GET, None, 1, 2), (GET, b"1", 3, 4)],
    "an unknown write that never happened": [(SET1, UNKNOWN, 0, None), (GET, None, 1, 2), (GET, None, 3, 4)],
    "an unknown write late": [(SET1, UNKNOWN, 0, None), (SET2, b"OK", 1, 2), (GET, b"2", 3, 4), (GET, b"1", 5, 6)],
    "counts": [(INCR, 1, 0, 3), (INCR, 2, 0, 3), (INCR, 3, 1, 4), (GET, b"3", 5, 6)],
    "appends": [(("append", b"x"), 1, 0, 5), (("append", b"yy"), 3, 0, 5), (GET, b"xyy", 6, 7)],
    "delete": [(SET1, b"OK", 0, 1), (DEL, 1, 2, 3), (DEL, 0, 4, 5), (GET, None, 6, 7)],
    "an unknown count taken": [(INCR, UNKNOWN, 0, None), (INCR, 2, 1, 2)],
}
WRONG = {
    "a stale read": [(SET1, b"OK", 0, 1), (SET2, b"OK", 2, 3), (GET, b"1", 4, 5)],
    "a lost write": [(SET1, b"OK", 0, 1), (GET, None, 2, 3)],
    "a read of what nobody wrote": [(SET1, b"OK", 0, 1), (GET, b"7", 2, 3)],
    "reads go back in time": [(SET1, b"OK", 0, 9), (GET, b"1", 1, 2), (GET, None, 3, 4)],
    "an unknown write undone": [(SET1, UNKNOWN, 0, None), (GET, b"1", 1, 2), (GET, None, 3, 4)],
    "a count given twice": [(INCR, 1, 0, 3), (INCR, 1, 0, 3)],
    "a count skipped": [(INCR, 1, 0, 1), (INCR, 3, 2, 3)],
    "an append lost": [(("append", b"x"), 1, 0, 1), (("append", b"y"), 1, 2, 3)],
    "one unknown write seen twice": [(SET1, UNKNOWN, 0, None), (GET, b"1", 1, 2), (SET2, b"OK", 3, 4),
                                     (GET, b"2", 5, 6), (GET, b"1", 7, 8)],
    "an unknown write before its time": [(GET, b"1", 0, 1), (SET1, UNKNOWN, 2, None)],
    "two orders": [(SET1, b"OK", 0, 9), (SET2, b"OK", 0, 9), (GET, b"1", 10, 11), (GET, b"2", 12, 13)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right(name):
    assert check(history(*RIGHT[name])) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name):
    assert len(check(history(*WRONG[name]))) == 1


def made(seed, clients=8, operations=600, lost=0.005):
    """A history of clients that share one key whose operations really happen at
    one moment between invocation and return."""
    chance = random.Random(seed)
    state, now, result = None, 0.0, []
    from linear import step
    waiting = {}
    count = 0
    while count < operations or waiting:
        now += chance.random()
        client = chance.randrange(clients)
        if client not in waiting:
            if count < operations:
                count += 1
                words = chance.choice([("get",), ("get",), ("set", b"%d" % count), ("append", b"."), ("del",)])
                waiting[client] = [words, now, None]
            continue
        entry = waiting[client]
        if entry[2] is None:
            if chance.random() < lost:
                happens = chance.random() < 0.5
                if happens:
                    state, _ = step(state, entry[0])
                result.append(Operation("c%d" % client, "k", entry[0], UNKNOWN, entry[1], None))
                del waiting[client]
                continue
            state, answer = step(state, entry[0])
            entry[2] = (answer,)
        else:
            result.append(Operation("c%d" % client, "k", entry[0], entry[2][0], entry[1], now))
            del waiting[client]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_made_histories(seed):
    operations = made(seed)
    assert check(operations) == []
    chance = random.Random(seed)
    reads = [at for at, o in enumerate(operations) if o.words == ("get",) and o.result is not UNKNOWN and at > 50]
    operations[chance.choice(reads)].result = b"never written"
    assert len(check(operations)) == 1


def test_made_history_with_a_stale_read():
    caught = 0
    for seed in range(30):
        operations = made(seed, clients=4, operations=300, lost=0)
        reads = [o for o in operations if o.words == ("get",)]
        early, late = reads[10], reads[-1]
        if early.result != late.result:
            late.result = early.result
            caught += len(check(operations))
    assert caught > 10
