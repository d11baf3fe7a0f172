"""What tests of torture share: clusters of three on disks and networks that break."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import namespaces  # noqa: E402
from cluster import Cluster, LIBRARY  # noqa: E402


def pytest_terminal_summary(terminalreporter):
    """What the network was; a proxy is less than namespaces."""
    terminalreporter.write_line("torture: %s" % (
        "%s; a proxy played the network" % namespaces.refusal if namespaces.refusal else
        "replicas in network namespaces"))


@pytest.fixture
def make_cluster():
    assert os.path.exists(LIBRARY), "make torture-build first"
    made = []

    def make(*options, mode="always", count=3):
        cluster = Cluster(count, ["--appendfsync", mode, "--journal-segment-size", "1mb", "--cluster-timeout", "1000",
                              "--save", "", *options])
        made.append(cluster)
        for replica in cluster:
            replica.disk.set_flush_delay(0.002)
        return cluster.start()
    yield make
    wrong = []
    for cluster in made:
        wrong += cluster.complaints()
        cluster.remove()
    assert not wrong, "\n".join(wrong)
