"""Links after a partition: what was cut off is heard again soon, however long it lasted.

Method: replicas in network namespaces with real TCP between them; the kernel's timers are what
these tests are about, so a proxy will not do.  A way is cut for longer than the kernel needs to lose
its patience, then given back.
"""
import time

import pytest

import namespaces
import servers

pytestmark = pytest.mark.skipif(bool(namespaces.why_not()), reason="wants network namespaces")


def log_of(replica, since=0):
    with open(replica.log_path, "rb") as file:
        return file.read()[since:].decode(errors="replace")


def fields_of(replica, number):
    """Its link to another, as RABIA PEERS tells."""
    for flat in replica.ask("RABIA", "PEERS", timeout=5):
        fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
        if fields["id"] == number:
            return fields
    raise AssertionError("%d knows no %d" % (replica.number, number))


def wait_silent(replica, number, silent_ms):
    servers.wait_for(lambda: fields_of(replica, number)["silent-ms"] >= silent_ms,
                     "%d ms of silence between %d and %d" % (silent_ms, replica.number, number), 30, 0.02)


def wait_heard(cluster, *numbers):
    for a in numbers:
        for b in numbers:
            if a != b:
                servers.wait_for(lambda: fields_of(cluster[a], b)["link"] == b"up" and fields_of(cluster[a], b)["silent-ms"] < 400,
                                 "%d to hear %d" % (a, b), 30, 0.02)


def test_a_healed_link_does_not_wait_for_the_kernel(make_cluster):
    """After three seconds the kernel sends again only when another three are over.  By then the
    dialler has a new connection, and the silence never came to the five seconds that end a link."""
    cluster = make_cluster()
    for _ in range(3):
        before = [len(log_of(replica)) for replica in cluster]
        cluster.network.set([(1, 2), (2, 1)], hold=True)
        wait_silent(cluster[2], 1, 3200)
        cluster.network.heal()
        wait_heard(cluster, 1, 2)
        for replica, size in zip(cluster, before):
            assert "silent for" not in log_of(replica, size)
    assert "was silent and is made anew" in log_of(cluster[2]) or "dialled anew" in log_of(cluster[1])
    cluster.wait_up()


@pytest.mark.parametrize("silent_ms", [2700, 4000])
def test_who_was_stopped_costs_a_connection_at_most(make_cluster, silent_ms):
    """The connection beside the silent one ends with one of the two, not with a row of them."""
    cluster = make_cluster()
    for _ in range(3):
        before = len(log_of(cluster[3]))
        cluster[1].pause()
        wait_silent(cluster[3], 1, silent_ms)
        cluster[1].proceed()
        wait_heard(cluster, 1, 2, 3)
        cluster[1].wait_writable()
        assert log_of(cluster[3], before).count("link to member 1 at") <= 3
    cluster.wait_equal()


# --- a founder whose disk is gone -----------------------------------------------------


def grown_from_one(make_cluster):
    cluster = make_cluster(count=1)
    for number in (2, 3):
        cluster.join(number)
        servers.wait_for(lambda: b"OK" == cluster[1].ask("RABIA", "ADD", str(number), cluster.network.address(number)),
                         "%d to be added" % number)
        servers.wait_for(lambda: number in [id_ for id_, m in cluster[1].members().items() if m["voice"]],
                         "the voice of %d" % number)
        cluster.gone.discard(number)
    cluster.wait_up()
    assert cluster[2].ask("SET", "k", "v") == b"OK"
    return cluster


def waits_for(replica):
    try:
        flat = replica.ask("RABIA", "STATUS", timeout=5)
    except OSError:  # it is about to start
        return ""
    return flat[flat.index(b"waiting-for") + 1].decode()


@pytest.mark.parametrize("off_s", [0, 1.4, 2.8])
def test_a_founder_without_its_disk_begins_nothing(make_cluster, off_s):
    """The cluster began as 1 alone and has grown.  1 comes back without its disk, knowing the list of the
    beginning; for some time its machine had been off, so that the others' calls met nobody."""
    cluster = grown_from_one(make_cluster)
    cluster[1].kill()
    cluster.network.isolate(1)
    cluster[1].disk.wipe()
    time.sleep(off_s)
    cluster.network.heal()
    cluster[1].start()
    servers.wait_for(lambda: "no new one is begun beside it" in waits_for(cluster[1]), "the reason", 20)
    assert cluster[1].state() == "forming"
    reply = cluster[1].connect(5).call("SET", "k", "other")
    assert reply[0] == "-", reply
    cluster[1].kill()
    cluster.forget_beginning(1)
    cluster[1].start()
    cluster.wait_up()
    assert cluster[1].ask("GET", "k") == b"v"
    cluster.wait_equal()


def test_a_founder_without_its_disk_stops_when_it_is_called(make_cluster):
    """Cut off it cannot know, and begins a cluster of its own; it serves nobody as soon as the others
    reach it, and nothing of it gets into theirs."""
    cluster = grown_from_one(make_cluster)
    cluster[1].kill()
    cluster.network.isolate(1)
    cluster[1].disk.wipe()
    cluster[1].start()
    cluster[1].wait_up()
    cluster.network.heal()
    servers.wait_for(lambda: "takes this server for one of its own" in waits_for(cluster[1]), "the reason", 20)
    reply = cluster[1].connect(5).call("SET", "k", "other")
    assert reply[0] == "-" and reply[1].startswith(b"CLUSTERDOWN member "), reply
    assert cluster[2].ask("GET", "k") == b"v"
    cluster[1].kill()
    cluster[1].disk.wipe()
    cluster.forget_beginning(1)
    cluster[1].start()
    cluster.wait_up()
    assert cluster[1].ask("GET", "k") == b"v"
    cluster.wait_equal()
