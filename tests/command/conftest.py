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


class Group:
    """Servers that live as long as the tests; started anew after a crash, which
    the test that met it reports."""

    def __init__(self, count):
        self.count, self.cluster, self.servers = count, None, []

    def start(self):
        if self.count == 1 or servers.is_oracle():
            self.servers = [servers.lone().start()] * self.count
            return
        self.cluster = servers.Cluster(self.count)
        self.servers = list(self.cluster)
        try:
            self.cluster.start()
        except AssertionError:
            self.remove()
            raise

    def check(self):
        try:
            for server in self.servers:
                server.check_alive()
        except AssertionError:
            self.remove()
            raise

    def ready(self):
        if not self.servers:
            self.start()
        return self.servers

    def remove(self):
        for server in self.servers:
            server.kill()
            server.remove()
        if self.cluster:
            self.cluster.remove()
        self.servers, self.cluster = [], None

    def finish(self):
        """The end of all tests: equal data, exit status 0."""
        if not self.servers:
            return
        if self.cluster:
            self.cluster.wait_equal()
            statuses = self.cluster.stop()
        else:
            statuses = [self.servers[0].stop()]
        output = "\n".join(server.output() for server in self.servers)
        self.remove()
        assert not any(statuses), "exit statuses %s:\n%s" % (statuses, output)


def group_for_session(count):
    group = Group(count)
    yield group
    group.finish()


@pytest.fixture(scope="session")
def group_of_one():
    yield from group_for_session(1)


@pytest.fixture(scope="session")
def group_of_three():
    yield from group_for_session(3)


@pytest.fixture(params=["one", "three"])
def group(request):
    """The servers under test."""
    chosen = request.getfixturevalue("group_of_" + request.param)
    yield chosen.ready()
    chosen.check()


@pytest.fixture
def lone_server(group_of_one):
    yield group_of_one.ready()[0]
    group_of_one.check()


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
