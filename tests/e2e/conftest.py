"""Clusters of real processes; each test has its own."""
import pytest

import servers


@pytest.fixture
def make_cluster():
    """make_cluster(count, options) starts one; it is ended with the test, and
    no replica may have crashed by itself."""
    made = []

    def make(count=3, options=()):
        cluster = servers.Cluster(count, options)
        made.append(cluster)
        return cluster.start()
    yield make
    problems = []
    for cluster in made:
        cluster.stop()
        for server in cluster:
            # -9: killed by the test.
            if server.process.returncode not in (0, -9):
                problems.append("port %d: exit status %s\n%s" % (server.port, server.process.returncode,
                                                                 server.output(8000)))
        cluster.remove()
    assert not problems, "\n".join(problems)


@pytest.fixture
def make_server():
    """make_server(options) starts a lone replica."""
    made = []

    def make(*options):
        server = servers.lone(options)
        made.append(server)
        return server.start()
    yield make
    for server in made:
        status = server.stop()
        output = server.output(8000)
        server.remove()
        assert status == 0, "exit status %s\n%s" % (status, output)


@pytest.fixture
def say(capsys):
    """Prints figures past pytest's capture."""
    def say(text):
        with capsys.disabled():
            print("\n  " + text, end=" ", flush=True)
    return say
