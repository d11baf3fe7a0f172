"""The checkers know right from wrong."""
import time

import history
import linear
import queues
from clients import Clients


def operation(client, words, result, invoked, returned):
    return history.Operation(client, "m:1", words, result, invoked, returned)


def test_the_checker_of_groups_knows_right_from_wrong():
    both = ("mset", ((0, b"1"), (1, b"1")))
    right = [operation("a", both, b"OK", 0, 3), operation("b", ("mget",), [b"1", b"1", None], 1, 2)]
    torn = [operation("a", both, b"OK", 0, 3), operation("b", ("mget",), [b"1", None, None], 1, 2)]
    lost = [operation("a", both, b"OK", 0, 1), operation("b", ("mget",), [None, None, None], 2, 3)]
    maybe = [operation("a", both, history.UNKNOWN, 0, None), operation("b", ("mget",), [None, None, None], 2, 3),
             operation("b", ("mget",), [b"1", b"1", None], 4, 5)]
    back = maybe + [operation("b", ("mget",), [None, None, None], 6, 7)]
    assert linear.check_key(right) is None
    assert linear.check_key(maybe) is None
    assert linear.check_key(torn) and linear.check_key(lost) and linear.check_key(back)


def test_the_checker_of_lists_knows_right_from_wrong():
    sent = [("1", "ok"), ("2", "failed"), ("3", "unknown"), ("4", "ok")]
    assert not history.check_list("l", b"1,4,", sent)
    assert not history.check_list("l", b"1,3,4,", sent)
    assert not history.check_list("l", b"1,4,3,", sent)
    for text in (b"1,", b"4,1,", b"1,1,4,", b"1,2,4,", b"1,3,3,4,", b"1,4,5,"):
        assert history.check_list("l", text, sent), text


def judged(put, taken=(), moved=(), left=(), unknown=0):
    places = {place: [] for place in (queues.LIST, queues.MOVED, queues.SET, queues.SORTED)}
    for place, token in left:
        places[place].append(token)
    return queues.judge([(queues.LIST, token, outcome) for token, outcome in put], list(taken), list(moved),
                        {queues.LIST: unknown}, places)


def test_the_checker_of_queues_knows_right_from_wrong():
    put = [("1", "ok"), ("2", "failed"), ("3", "unknown"), ("4", "ok")]
    taken, left = [(queues.LIST, "1")], [(queues.LIST, "4")]
    moved, there = [(queues.MOVED, "4")], [(queues.MOVED, "4")]
    assert not judged(put, taken, left=left)
    assert not judged(put, taken, left=left + [(queues.LIST, "3")])
    assert not judged(put, taken, moved, there)
    assert not judged(put, taken, unknown=1), "the reply of a pop was lost"
    assert judged(put, taken), "one is lost"
    assert judged(put, unknown=1), "two are lost"
    assert judged(put, taken + taken, left=left), "given twice"
    assert judged(put, taken + [(queues.LIST, "4")], left=left), "given, and still there"
    assert judged(put, taken + [(queues.LIST, "2")], left=left), "refused"
    assert judged(put, taken + [(queues.LIST, "5")], left=left), "invented"
    assert judged(put, taken, moved, left), "moved, and not there"


def test_queues_work(make_cluster):
    """All that is put by clients at three replicas comes to its end, through faults of their own."""
    cluster = make_cluster()
    clients = Clients(cluster, 0, "queues", also=[queues.QueueClient] * 4).start()
    time.sleep(1)
    cluster[2].kill()
    time.sleep(0.5)
    cluster[2].start()
    cluster.wait_up()
    cluster.network.isolate(3)
    time.sleep(1.5)
    cluster.network.heal()
    cluster.wait_up()
    time.sleep(0.5)
    clients.finish()
    assert not clients.unexpected()
    with cluster[1].connect() as c:
        assert not queues.check(clients.all, c)
        assert sum(len(client.taken) for client in clients.all) > 100
        # An element that is gone, and money that is, are noticed.
        c.ask("RPUSH", queues.LIST, "end")
        assert queues.check(clients.all, c)
        c.ask("LREM", queues.LIST, "1", "end")
        c.ask("INCR", queues.ACCOUNTS[0])
        assert queues.check(clients.all, c)


def test_clients_and_final_reads_work(make_cluster):
    cluster = make_cluster()
    clients = Clients(cluster, 2, "test").start()
    time.sleep(1)
    clients.finish()
    with cluster[3].connect() as c:
        last, lists = clients.read_all(c)
    wrong, objects, hard = history.check(clients.operations() + last)
    assert not wrong and not hard and objects > 20
    # A read of the end that is made up is noticed.
    last[0].result = b"made up" if not isinstance(last[0].result, list) else [b"made up"] * 3
    wrong, _, _ = history.check(clients.operations() + last)
    assert wrong


# --- power cuts of all, everysec ------------------------------------------------------


def append(token, invoked, answered):
    return token, (invoked, answered)


def narrowed(text, *appends, start=10.0, end=10.1):
    cut = history.Cut(start, end)
    return history.narrow([cut], [("l", text, dict(appends))]), cut


def test_an_end_may_be_lost():
    wrong, cut = narrowed(b"1,2,", append("1", 8.0, 8.1), append("2", 9.0, 9.1), append("3", 9.2, 9.3),
                          append("4", 10.5, 10.6))
    assert not wrong and cut.lost == {("l", "3")} and (cut.earliest, cut.latest) == (9.0, 9.3)


def test_a_piece_of_the_middle_may_not_be_lost():
    wrong, _ = narrowed(b"1,3,", append("1", 8.0, 8.1), append("2", 9.0, 9.1), append("3", 9.2, 9.3))
    assert len(wrong) == 1 and "more than an end" in wrong[0]


def test_of_two_at_the_same_time_either_may_be_lost():
    wrong, _ = narrowed(b"2,", append("1", 9.0, 9.3), append("2", 9.1, 9.2))
    assert not wrong


def test_what_is_older_may_not_be_lost():
    early = 10 - history.LOSS_MAX_S - 1
    assert narrowed(b"", append("1", early, early + 0.1))[0]


def test_what_came_after_the_cut_may_not_be_lost():
    """It is not the cut's: an acknowledged token that is missing, as any other."""
    wrong, cut = narrowed(b"1,", append("1", 8.0, 8.1), append("2", 10.5, 10.6))
    assert not wrong and not cut.lost
    assert history.check_list("l", b"1,", [("1", "ok"), ("2", "ok")])


def rows(*given):
    return [history.Operation("c%d" % i, "r:1", words, result, invoked, returned)
            for i, (words, result, invoked, returned) in enumerate(given)]


SET1, SET2, SET3, GET = ("set", b"1"), ("set", b"2"), ("set", b"3"), ("get",)
BEFORE = [(SET1, b"OK", 8.0, 8.1), (SET2, b"OK", 9.0, 9.1), (GET, b"2", 9.2, 9.3), (SET3, b"OK", 9.5, 9.6),
          (GET, b"3", 9.7, 9.8)]


def with_cut(*after, earliest=8.5, latest=10.1):
    cut = history.Cut(10.0, 10.1)
    cut.earliest, cut.latest = earliest, latest
    return history.check(rows(*BEFORE, *after), [cut])[0]


def test_objects_go_back_to_one_moment():
    for value in (b"1", b"2", b"3"):
        assert not with_cut((GET, value, 11.0, 11.1))
    assert with_cut((GET, None, 11.0, 11.1)), "older than the bound"
    assert with_cut((GET, b"4", 11.0, 11.1)), "invented"
    assert with_cut((GET, b"1", 11.0, 11.1), (GET, b"2", 11.2, 11.3)), "two moments"
    assert with_cut((GET, b"1", 11.0, 11.1), earliest=9.2), "lists say that more survived"
    assert with_cut((GET, b"3", 11.0, 11.1), latest=9.4), "lists say that this is lost"
    assert not with_cut((GET, b"2", 11.0, 11.1), (("set", b"5"), b"OK", 11.2, 11.3), (GET, b"5", 11.4, 11.5))


def test_nothing_goes_back_without_a_cut():
    assert history.check(rows(*BEFORE, (GET, b"2", 11.0, 11.1)))[0]


def test_two_cuts():
    cuts = [history.Cut(10.0, 10.1), history.Cut(12.0, 12.1)]
    history.narrow(cuts, [])
    again = rows(*BEFORE, (GET, b"1", 11.0, 11.1), (SET3, b"OK", 11.2, 11.3))
    assert not history.check(again + rows((GET, b"1", 13.0, 13.1)), cuts)[0]
    assert history.check(again + rows((GET, b"2", 13.0, 13.1)), cuts)[0], "what the first took does not come back"
