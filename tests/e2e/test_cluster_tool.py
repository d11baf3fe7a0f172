"""utils/cluster and the server's command line, as an operator meets them."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import redis

import servers
from resp import Connection

TOOL = os.path.join(servers.ROOT, "utils", "cluster")


class Tool:
    def __init__(self, folder):
        self.folder = folder
        self.ports = consecutive_ports(5)

    def words(self, *words):
        at = words.index("--") if "--" in words else len(words)
        return [TOOL, *words[:at], "--dir", self.folder, "--port", str(self.ports), "--binary",
                servers.binary_path(), *words[at:]]

    def __call__(self, *words, status=0):
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == status, "%s: %d\n%s%s" % (words, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr


def consecutive_ports(count):
    while True:
        first = servers.free_ports(1)[0]
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        servers.handed_out.update(range(first, first + count))
        return first


@pytest.fixture
def tool():
    with tempfile.TemporaryDirectory() as folder:
        made = Tool(os.path.join(folder, "data"))
        yield made
        subprocess.run(made.words("stop"), capture_output=True, timeout=120)


def port(tool, number):
    return tool.ports + number - 1


def test_start_write_anywhere_read_anywhere(tool):
    shown = tool("start")
    assert len(re.findall(r" up +yes ", shown)) == 3, shown
    for number in (1, 2, 3):
        with Connection(port(tool, number)) as c:
            assert c.ask("SET", "from%d" % number, "x%d" % number) == b"OK"
        for reader in (1, 2, 3):
            with Connection(port(tool, reader)) as c:
                assert c.ask("GET", "from%d" % number) == b"x%d" % number
    assert "already running" in tool("start", status=1)
    tool("pause", "2")
    assert "paused" in tool("status", status=1)
    tool("continue", "2")
    servers.wait_for(lambda: subprocess.run(tool.words("status"), capture_output=True).returncode == 0, "all up")
    tool("kill", "3")
    assert "down" in tool("status", status=1)
    assert "not running" in tool("kill", "3", status=1)
    with Connection(port(tool, 1)) as c:
        assert c.ask("GET", "from3") == b"x3"
    assert "no replica 7" in tool("kill", "7", status=1)
    tool("stop")
    tool("stop")
    assert os.path.exists(os.path.join(tool.folder, "1", "kvstore.log"))
    tool("clean")
    assert not os.path.exists(tool.folder)


def test_foreign_process_on_the_port(tool):
    with socket.socket() as other:
        other.bind(("127.0.0.1", port(tool, 2)))
        other.listen()
        assert "port %d is in use" % port(tool, 2) in tool("start", status=1)


def test_stale_pid_file(tool):
    tool("start", "-n", "1")
    path = os.path.join(tool.folder, "1", "kvstore.pid")
    with open(path) as file:
        pid, began = file.read().split()
    tool("stop")
    with open(path, "w") as file:
        file.write("%d %s\n" % (os.getpid(), began))  # a pid that now is someone else's
    assert "down" in tool("status", status=1)
    tool("stop")
    tool("start")
    tool("clean")


@pytest.mark.parametrize("count", [1, 3, 5])
def test_run_until_interrupted(tool, count):
    process = subprocess.Popen(tool.words("run", "-n", str(count)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        text = ""
        for line in process.stdout:
            text += line
            if "Ctrl-C" in line:
                break
        assert "redis-cli -p %d" % tool.ports in text, text
        assert text.count("127.0.0.1:") == count
        client = redis.Redis(port=port(tool, count))
        assert client.set("k", "v") and redis.Redis(port=port(tool, 1)).get("k") == b"v"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        for number in range(1, count + 1):
            with pytest.raises(OSError):
                Connection(port(tool, number))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def run_server(*words, status=1):
    done = subprocess.run([servers.binary_path(), *words], capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stderr.strip()


def test_refusals_to_start(tmp_path):
    """One clear line on standard error, exit status 1."""
    free = str(servers.free_ports(1)[0])
    config = tmp_path / "bad.conf"
    config.write_text("port %s\nnosuchoption yes\n" % free)
    hidden = tmp_path / "none.conf"
    cases = [
        (["--nosuchoption", "1"], "nosuchoption"),
        (["--port", "abc"], "port"),
        (["--port", "70000"], "port"),
        (["--maxclients"], "maxclients"),
        (["--maxclients", "0"], "maxclients"),
        (["--databases", "0"], "databases"),
        ([str(config)], "nosuchoption"),
        ([str(hidden)], "none.conf"),
        (["--port", free, "--dir", str(tmp_path / "missing")], "missing"),
        (["--port", free, "--logfile", str(tmp_path / "missing" / "log")], "missing"),
        (["--port", free, "--bind", "300.1.2.3"], "300.1.2.3"),
        (["--port", free, "--cluster-members", "rubbish", "--cluster-self", "1"], "cluster-members"),
        (["--port", free, "--cluster-members", "1@127.0.0.1:%s 2@127.0.0.1:1" % free, "--cluster-self", "9"],
         "cluster-self"),
    ]
    for words, named in cases:
        line = run_server(*words)
        assert named in line, (words, line)
        assert line.count("\n") == 0 and line, (words, line)


def test_port_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        line = run_server("--port", str(other.getsockname()[1]), "--bind", "127.0.0.1")
        assert str(other.getsockname()[1]) in line and "in use" in line.lower(), line


def test_configuration_file_and_options(tmp_path):
    """Options on the command line come after the file's."""
    number = servers.free_ports(1)[0]
    config = tmp_path / "kvstore.conf"
    config.write_text('# a comment\n\nport 1\nmaxclients 123\ndir "%s"\nrequirepass "a b"\n' % tmp_path)
    server = servers.Server(servers.binary_path(), number, folder=str(tmp_path))
    server.process = subprocess.Popen([server.path, str(config), "--port", str(number), "--timeout", "7"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        server.wait_ready()
        with server.connect() as c:
            assert c.ask("AUTH", "a b") == b"OK"
            assert c.ask("CONFIG", "GET", "maxclients") == [b"maxclients", b"123"]
            assert c.ask("CONFIG", "GET", "timeout") == [b"timeout", b"7"]
            assert c.ask("CONFIG", "SET", "timeout", "9") == b"OK"
            assert c.ask("CONFIG", "REWRITE") == b"OK"
        assert re.search(r"(?m)^timeout 9$", config.read_text()), config.read_text()
        assert "# a comment" in config.read_text()
    finally:
        assert server.stop() == 0


def test_example_configuration_starts(tmp_path):
    """kvstore.conf as shipped."""
    path = os.path.join(servers.ROOT, "kvstore.conf")
    number = servers.free_ports(1)[0]
    server = servers.Server(servers.binary_path(), number, folder=str(tmp_path))
    server.process = subprocess.Popen([server.path, path, "--port", str(number), "--dir", str(tmp_path)],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        server.wait_ready()
        with server.connect() as c:
            names = c.ask("CONFIG", "GET", "*")[::2]
        with open(path) as file:
            text = file.read()
        missing = [name.decode() for name in names if not re.search(r"(?m)^(# ?)?%s( |$)" % re.escape(name.decode()), text)]
        assert not missing, "kvstore.conf does not mention %s" % ", ".join(sorted(missing))
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("words", [["SHUTDOWN"], ["SHUTDOWN", "NOSAVE"], ["shutdown", "nosave", "now", "force"]])
def test_shutdown(make_server, words):
    server = make_server()
    with server.connect() as c:
        c.send(*words)
        assert c.read_until_closed() == b""
    assert server.process.wait(20) == 0


def test_sigterm_and_sigint(make_server):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = make_server()
        server.signal(number)
        assert server.process.wait(20) == 0


def redis_cli(server, *words, stdin=None):
    done = subprocess.run(["redis-cli", "-p", str(server.port), *words], capture_output=True, text=True, timeout=60,
                          input=stdin if stdin is not None else "")
    return done.stdout


def test_redis_cli(make_cluster):
    cluster = make_cluster(3)
    assert redis_cli(cluster[1], "SET", "a", "hello") == "OK\n"
    assert redis_cli(cluster[2], "GET", "a") == "hello\n"
    assert redis_cli(cluster[3], "-3", "GET", "none") == "\n"
    assert redis_cli(cluster[1], stdin="INCR n\nINCR n\nSTRLEN a\n") == "1\n2\n5\n"
    assert "redis_version:7." in redis_cli(cluster[1], "INFO")
    assert "up" in redis_cli(cluster[1], "RABIA", "STATUS")
    assert redis_cli(cluster[1], "--scan", "--pattern", "a*") == "a\n"
    assert "replies: 3" in redis_cli(cluster[1], "--pipe", stdin="SET p 1\r\nSET q 2\r\nGET p\r\n")
    assert "RABIA" in redis_cli(cluster[1], "RABIA", "HELP").upper()


def test_redis_py(make_cluster):
    cluster = make_cluster(3)
    clients = [redis.Redis(port=server.port, client_name="tester") for server in cluster]
    assert all(client.ping() for client in clients)
    assert clients[0].set("k", "v", ex=1000, nx=True)
    assert clients[1].get("k") == b"v" and 990 < clients[2].ttl("k") <= 1000
    pipe = clients[1].pipeline(transaction=False)
    for number in range(1000):
        pipe.set("p%d" % number, number)
        pipe.incr("count")
    results = pipe.execute()
    assert len(results) == 2000 and results[-1] == 1000
    assert clients[2].mget(["p%d" % number for number in range(1000)]) == [b"%d" % n for n in range(1000)]
    assert sorted(clients[0].scan_iter(match="p99*")) == sorted(key for key in clients[1].keys("p99*"))
    assert clients[0].info()["redis_version"].startswith("7.")
    assert clients[0].client_getname() == "tester"
    assert clients[0].config_get("maxclients")["maxclients"]
    with pytest.raises(redis.ResponseError):
        clients[0].incr("k")
    for client in clients:
        client.close()


def test_redis_benchmark(make_cluster):
    cluster = make_cluster(3)
    for server in cluster:
        done = subprocess.run(["redis-benchmark", "-p", str(server.port), "-n", "20000", "-P", "16", "-c", "20", "-q",
                               "-t", "ping,set,get,incr,mset", "--csv"], capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0 and done.stdout.count("\n") >= 5, done.stdout + done.stderr
    cluster.wait_equal()


def test_wrong_cluster_is_refused(make_cluster, make_server):
    """A process with another cluster's name does not get in, and both say so."""
    first = servers.free_ports(2)
    members = "1@127.0.0.1:%d 2@127.0.0.1:%d" % tuple(first)
    pair = [servers.Server(servers.binary_path(), port, ["--cluster-members", members, "--cluster-self", str(at + 1),
                                                         "--cluster-name", name])
            for at, (port, name) in enumerate(zip(first, ("one", "other")))]
    try:
        for server in pair:
            server.start(wait=False)
        for server in pair:
            server.wait_ready()
        servers.wait_for(lambda: all(re.search(r"(?i)cluster", server.output()) for server in pair), "a line in both logs")
        assert not any(map(servers.is_up, pair))
    finally:
        for server in pair:
            assert server.stop() == 0
            server.remove()


def test_add_and_remove(tool):
    tool("start", "-n", "3")
    assert re.search(r"(?m)^4 .*up", tool("add", "4"))
    with Connection(port(tool, 4)) as c:
        assert c.ask("SET", "k", "v") == b"OK"
    shown = tool("remove", "1")
    assert not re.search(r"(?m)^1 ", shown)
    assert "never used again" in tool("add", "1", status=1)
    assert "no replica 9" in tool("remove", "9", status=1)
    tool("stop")
    tool("start")
    with Connection(port(tool, 2)) as c:
        assert c.ask("GET", "k") == b"v"
