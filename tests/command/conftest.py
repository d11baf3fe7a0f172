"""Servers for the command tests: the oracle, one replica, three replicas.

Started once; every test begins with both sides empty.  A test that takes the
fixture pair runs four times: one or three replicas, RESP2 or RESP3.
"""
import pytest

import servers
from compare import Pair


@pytest.fixture(scope="session")
def oracle_server():
    server = servers.oracle().start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="session")
def lone_server():
    server = servers.lone().start()
    yield server
    server.check_alive()
    status = server.stop()
    output = server.output()
    server.remove()
    assert status == 0, "exit status %s:\n%s" % (status, output)


@pytest.fixture(scope="session")
def three_servers():
    if servers.is_oracle():
        server = servers.lone().start()
        yield [server, server, server]
        server.stop()
        server.remove()
        return
    cluster = servers.Cluster(3).start()
    yield list(cluster)
    for server in cluster:
        server.check_alive()
    cluster.wait_equal()
    statuses = cluster.stop()
    output = "\n".join(server.output() for server in cluster)
    cluster.remove()
    assert statuses == [0, 0, 0], "exit statuses %s:\n%s" % (statuses, output)


@pytest.fixture(params=["one", "three"])
def group(request):
    """The servers under test."""
    if request.param == "one":
        return [request.getfixturevalue("lone_server")]
    return request.getfixturevalue("three_servers")


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def pair(request, oracle_server, group):
    both = Pair(oracle_server, group, protocol=request.param)
    yield both
    both.close()


@pytest.fixture
def pair2(oracle_server, group):
    """RESP2 alone, where the protocol does not matter."""
    both = Pair(oracle_server, group)
    yield both
    both.close()
