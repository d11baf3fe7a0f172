"""Replicas that come back after a long time, or read nothing for one.

Goal: they catch up while the others go on under load; nobody's memory grows by more
than the bounds that are stated; a snapshot is sent once, not again and again.

Method: peer-backlog-size is as small as it may be, so that the load writes it through
within milliseconds; memory is what /proc says was resident at most (VmHWM).
"""
import subprocess

import pytest

import servers

MIB = 1 << 20
BACKLOG_MIB = 1
LINK_QUEUE_MIB = 32  # LINK_QUEUE_MAX
LINK_BULK_MIB = 64  # LINK_BULK_MAX: batches too long for a frame
SLACK_MIB = 48  # buffers, blocks of the spool, what the allocator keeps, pages of a fork


def reset_high_water(server):
    with open("/proc/%d/clear_refs" % server.process.pid, "w") as file:
        file.write("5")


def high_water_mib(server):
    with open("/proc/%d/status" % server.process.pid) as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def resident_mib(server):
    return server.resident_bytes() / MIB


class Writers:
    """redis-benchmark on these replicas until the end."""

    def __init__(self, some, size, keys=20000):
        self.processes = [subprocess.Popen(
            ["redis-benchmark", "-p", str(server.port), "-c", "8", "-P", "32", "-n", "1000000000", "-r", str(keys), "-d",
             str(size), "-t", "set", "-q"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for server in some]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def figure(server, name):
    return int(servers.rabia(server)[name])


def bytes_applied(server):
    """What the replicas' clients have sent, about: from it, how often the memory of batches was written through."""
    return int(servers.info_fields(server.ask("INFO", "stats"))["total_net_input_bytes"])


def load_keys(cluster, keys):
    """Data that take longer to send than the backlog lasts under load."""
    with cluster[1].connect(120) as c:
        for start in range(0, keys, 5000):
            words = ["MSET"]
            for number in range(start, start + 5000):
                words += ["fill:%d" % number, "%0100d" % number]
            assert c.ask(*words) == b"OK"


def is_close(behind, ahead):
    """Up, and where the other was just now."""
    lap = figure(ahead, "frontier")
    return servers.is_up(behind) and figure(behind, "frontier") >= lap


def snapshots_sent(some):
    return sum(figure(server, "snapshots_sent") for server in some)


def test_back_after_a_long_outage_under_full_load(make_cluster, say):
    """While its snapshot travels the others write their memory through many times: it
    needs one snapshot all the same, and what was decided since, from disk."""
    cluster = make_cluster(3, ["--save", "", "--appendfsync", "everysec", "--peer-backlog-size", "%dmb" % BACKLOG_MIB])
    others = [cluster[1], cluster[2]]
    load_keys(cluster, 500000)
    with Writers(others, 1000):
        cluster[3].kill()
        start = bytes_applied(cluster[1])
        servers.wait_for(lambda: bytes_applied(cluster[1]) > start + 50 * BACKLOG_MIB * MIB, "50 times the memory")
        resident = max(resident_mib(server) for server in others)
        for server in others:
            reset_high_water(server)
        sent = snapshots_sent(others)
        cluster[3].start()
        servers.wait_for(lambda: is_close(cluster[3], cluster[1]), "catch-up under load", 120)
        grown = max(high_water_mib(server) for server in others) - resident
        own = high_water_mib(cluster[3])
        missed = (bytes_applied(cluster[1]) - start) / MIB
        sent = snapshots_sent(others) - sent
    say("%d MiB written to each of two meanwhile; others' memory %+.0f MiB, its own %.0f MiB, theirs %.0f MiB; %d snapshots" % (
        missed, grown, own, resident, sent))
    assert sent <= 2, cluster[3].output()
    assert grown < BACKLOG_MIB + LINK_QUEUE_MIB + LINK_BULK_MIB + SLACK_MIB
    # The data are there once, whatever was there before.
    assert own < resident + LINK_BULK_MIB + SLACK_MIB
    cluster.wait_equal()


@pytest.mark.parametrize("size", [20, 1000])
def test_a_peer_that_reads_nothing_costs_a_fixed_amount(make_cluster, say, size):
    """Stopped while hundreds of times the backlog is written: the others' queues, of short
    batches and of long ones, are bounded; it gets along with a snapshot when it goes on."""
    cluster = make_cluster(3, ["--save", "", "--appendfsync", "everysec", "--peer-backlog-size", "%dmb" % BACKLOG_MIB])
    others = [cluster[1], cluster[2]]
    amount = 300 if size > 100 else 150
    with Writers(others, size):
        start = bytes_applied(cluster[1])
        servers.wait_for(lambda: bytes_applied(cluster[1]) > start + 40 * MIB, "all keys to be there")
        resident = max(resident_mib(server) for server in others)
        for server in others:
            reset_high_water(server)
        cluster[3].pause()
        start = bytes_applied(cluster[1])
        servers.wait_for(lambda: bytes_applied(cluster[1]) > start + amount * MIB, "much to be written", 120)
        grown = max(high_water_mib(server) for server in others) - resident
        cluster[3].proceed()
        servers.wait_for(lambda: is_close(cluster[3], cluster[1]), "catch-up under load", 120)
    say("others' memory %+.0f MiB" % grown)
    assert grown < BACKLOG_MIB + LINK_QUEUE_MIB + LINK_BULK_MIB + SLACK_MIB
    cluster.wait_equal()


def test_memory_of_a_stopped_peers_link_is_given_back(make_cluster):
    """Once its link is given up, nothing is queued for it."""
    cluster = make_cluster(3, ["--save", "", "--peer-backlog-size", "%dmb" % BACKLOG_MIB, "--appendonly", "no"])
    cluster[3].pause()
    with Writers([cluster[1]], 1000):
        servers.wait_for(lambda: "link=down" in servers.rabia(cluster[1])["peer3"] or
                         "link=dialing" in servers.rabia(cluster[1])["peer3"], "the link to be given up")
        start = bytes_applied(cluster[1])
        servers.wait_for(lambda: bytes_applied(cluster[1]) > start + 50 * MIB, "50 MiB more")
        assert "queued_bytes=0" in servers.rabia(cluster[1])["peer3"]
    cluster[3].proceed()
    servers.wait_for(lambda: servers.is_up(cluster[3]), "the stopped one to be up")
    cluster.wait_equal()
