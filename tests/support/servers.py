"""Starts the servers tests talk to, ours and the oracle, and ends them.

KVSTORE_SERVER names our binary (default build/release/kvstore-server).  With
KVSTORE_SERVER=oracle the oracle stands in for us: a check of the tests.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Connection, is_error, plain

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORACLE = "redis-server"
DEADLINE_S = 60  # for things that take a second; generous, for busy machines


def binary():
    return os.environ.get("KVSTORE_SERVER", "build/release/kvstore-server")


def is_oracle():
    return binary() == "oracle"


def binary_path():
    path = ORACLE if is_oracle() else os.path.join(ROOT, binary())
    if not is_oracle() and not os.access(path, os.X_OK):
        raise FileNotFoundError("%s is not there: make first" % binary())
    return path


handed_out = set()


def free_ports(count):
    """Ports nobody listens on, below the range the kernel gives to clients."""
    found = []
    start = 10000 + (os.getpid() * 37) % 15000
    for offset in range(22000):
        port = 10000 + (start - 10000 + offset) % 22000
        if port in handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        handed_out.add(port)
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


def wait_for(condition, what, limit_s=DEADLINE_S, every_s=0.02):
    """Polls until condition() is true; its value is returned."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %d s for %s" % (limit_s, what))
        time.sleep(every_s)


libc = ctypes.CDLL(None)


def end_with_parent():
    """Runs in the child: it is killed when the tests end, however they end."""
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """One process."""

    def __init__(self, path, port, options=(), folder=None):
        self.path, self.port, self.options = path, port, list(options)
        self.folder = folder or tempfile.mkdtemp(prefix="kvstore-test-")
        self.own_folder = folder is None
        self.process = None
        self.is_paused = False
        os.makedirs(self.folder, exist_ok=True)
        self.log_path = os.path.join(self.folder, "stdout")

    def start(self, wait=True):
        words = [self.path, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, *self.options]
        self.log = open(self.log_path, "ab")
        self.is_paused = False
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.folder, preexec_fn=end_with_parent)
        self.log.close()
        if wait:
            self.wait_ready()
        return self

    def output(self, size=4000):
        text = b""
        for name in sorted(os.listdir(self.folder)):
            if name == "stdout" or name.endswith(".log"):
                with open(os.path.join(self.folder, name), "rb") as file:
                    text += file.read()
        return text[-size:].decode(errors="replace")

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError("server on port %d ended with %d:\n%s" % (self.port, self.process.returncode,
                                                                           self.output(8000)))

    def ping(self):
        self.check_alive()
        try:
            with Connection(self.port, timeout=5) as c:
                reply = c.call("PING")
                return reply == ("+", b"PONG") or is_error(reply, "NOAUTH")
        except OSError:
            return False

    def wait_ready(self):
        wait_for(self.ping, "a PONG on port %d" % self.port)

    def connect(self, timeout=10):
        return Connection(self.port, timeout=timeout)

    def ask(self, *words, timeout=10):
        with self.connect(timeout) as c:
            return c.ask(*words)

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        self.is_paused = True
        self.signal(signal.SIGSTOP)

    def proceed(self):
        """Only who was paused gets the signal: it would take back the stop that
        the leak checker of a sanitized server puts on it at its end, and which
        the checker then waits for without end."""
        if self.is_paused:
            self.is_paused = False
            self.signal(signal.SIGCONT)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def stop(self, limit_s=30):
        """SIGTERM; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.proceed()
            self.process.terminate()
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return -9
        return self.process.returncode

    def remove(self):
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def resident_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0


def oracle(options=()):
    return Server(ORACLE, free_ports(1)[0], ["--save", "", "--enable-debug-command", "yes", *options])


def lone(options=()):
    """One replica of ours, without peers."""
    extra = ["--save", ""] if is_oracle() else []
    return Server(binary_path(), free_ports(1)[0], extra + ["--enable-debug-command", "yes", *options])


def wait_digests_equal(servers, limit_s=DEADLINE_S):
    """The (position, digest) all servers have come to; digests that differ at one
    position are an error at once, as is a replica that noticed by itself."""
    def equal():
        pairs = [tuple(server.ask("RABIA", "DIGEST")) for server in servers]
        positions = {pair[0] for pair in pairs}
        digests = {pair[1] for pair in pairs}
        assert not any(pair[0] == "-" and pair[1].startswith(b"DIVERGED") for pair in pairs), pairs
        if len(positions) == 1:
            assert len(digests) == 1, "replicas differ at position %s: %s" % (pairs[0][0], pairs)
            return pairs[0]
        # Quiet replicas may stand at different laps with equal data.
        seen.append(pairs)
        return None

    seen = []
    try:
        return wait_for(equal, "equal positions", limit_s, 0.05)
    except AssertionError as error:
        raise AssertionError("%s; last seen %s" % (error, seen[-1:])) from None


class Cluster:
    """Replicas 1..n of ours; self[i] is replica i."""

    def __init__(self, count=3, options=(), folder=None):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="kvstore-cluster-")
        ports = free_ports(count)
        members = " ".join("%d@127.0.0.1:%d" % (i + 1, port) for i, port in enumerate(ports))
        self.servers = []
        for i, port in enumerate(ports):
            self.servers.append(Server(
                binary_path(), port,
                ["--enable-debug-command", "yes", "--cluster-members", members, "--cluster-self", str(i + 1),
                 *options], os.path.join(self.folder, str(i + 1))))

    def __getitem__(self, number):
        return self.servers[number - 1]

    def __iter__(self):
        return iter(self.servers)

    def running(self):
        return [server for server in self.servers if server.is_running()]

    def start(self, wait=True):
        for server in self.servers:
            server.start(wait=False)
        if wait:
            self.wait_up()
        return self

    def wait_up(self, servers=None, limit_s=DEADLINE_S):
        for server in servers or self.servers:
            server.wait_ready()
            wait_for(lambda: is_up(server), "replica on port %d to be up:\n%s" % (server.port, server.output()),
                     limit_s)

    def wait_equal(self, servers=None, limit_s=DEADLINE_S):
        """Digests of all running replicas at one position; the pair."""
        return wait_digests_equal(servers or self.running(), limit_s)

    def stop(self):
        for server in self.servers:
            if server.is_running():
                server.proceed()
                server.process.terminate()
        return [server.stop() for server in self.servers]

    def remove(self):
        for server in self.servers:
            server.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def info_fields(text):
    """A dict of the lines of INFO."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    fields = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value
    return fields


def rabia(server):
    """INFO rabia as a dict; empty when the server does not answer."""
    try:
        text = server.ask("INFO", "rabia", timeout=5)
    except OSError:
        return {}
    return info_fields(text) if isinstance(text, bytes) else {}


def is_up(server):
    server.check_alive()
    return is_oracle() or rabia(server).get("rabia_state") in ("up", "lone")
