"""Replicas on disks that lose power, behind a network that breaks.

Each is in a network namespace of its own (namespaces.py) or, where these cannot
be made, behind a proxy (proxy.py) whose port stands for it in cluster-members.
Clients talk to replicas themselves, past all faults of the network.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import namespaces
import proxy
import servers
from disk import Disk
from resp import Connection

LIBRARY = os.path.join(servers.ROOT, "build", "torture", "disk.so")
UP_S = 60
WRONG_IN_LOGS = (b"check failed", b"AddressSanitizer", b"runtime error:", b"LeakSanitizer", b"DIVERGED", b"differs from")


def shared_folder():
    """Memory for data: what a disk does to it is played, and it is quick."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def make_network(numbers, seed):
    """Namespaces, or what there is instead, and then says so."""
    first = not namespaces.made and not namespaces.refusal
    why = namespaces.why_not()
    if why and first:
        print("torture: %s; a proxy plays the network, without packets to lose or reorder" % why, file=sys.stderr,
              flush=True)
    return proxy.Network(numbers, seed) if why else namespaces.Network(numbers, seed)


class Replica(servers.Server):
    def __init__(self, number, network, options, folder):
        super().__init__(servers.binary_path(), network.port(number), options, os.path.join(folder, "%d" % number))
        self.number, self.network = number, network
        self.disk = Disk(self.folder, os.path.join(folder, "%d.disk" % number))
        # Out of the data directory: a wiped disk takes no log along.
        self.log_path = os.path.join(folder, "%d.log" % number)
        self.is_stopped = False
        self.excused = False  # its end is our doing
        self.deaths = []

    def start(self, wait=False):
        assert not self.is_running()
        os.makedirs(self.folder, exist_ok=True)
        environment = dict(os.environ, **self.disk.environment(LIBRARY))
        environment["ASAN_OPTIONS"] = "verify_asan_link_order=0:detect_leaks=0:abort_on_error=1"
        words = [self.path, "--port", str(self.port), "--bind", self.network.bind(self.number), "--dir", self.folder, *self.options]
        with open(self.log_path, "ab") as log:
            log.write(b"--- start\n")
            log.flush()
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                            env=environment, start_new_session=True, preexec_fn=self.begin)
        self.is_stopped = self.excused = False
        if wait:
            self.wait_up()
        return self

    def begin(self):
        """Runs in the child."""
        servers.end_with_parent()
        self.network.enter(self.number)

    def kill(self):
        """With everything it started."""
        if self.process is None:
            return
        self.excused = True
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.002)
        self.is_stopped = False

    def pause(self):
        super().pause()
        self.is_stopped = True

    def proceed(self):
        super().proceed()
        self.is_stopped = False

    def output(self, size=4000):
        with open(self.log_path, "rb") as file:
            return file.read()[-size:].decode(errors="replace")

    def notice_death(self):
        """A sentence if it ended and nobody told it to."""
        if self.process is None or self.process.poll() is None or self.excused:
            return None
        self.excused = True
        return "replica %d ended by itself with %d:\n%s" % (self.number, self.process.returncode, self.output(3000))

    def state(self):
        return servers.rabia(self).get("rabia_state", "")

    def is_up(self):
        return self.is_running() and not self.is_stopped and self.state() == "up"

    def wait_up(self, limit_s=UP_S):
        def is_up():
            self.check_alive()
            return self.is_up()
        servers.wait_for(is_up, "replica %d to be up; it is %r, INFO %s" % (
            self.number, self.state() if self.is_running() else "gone", servers.rabia(self)), limit_s, 0.05)

    def wait_writable(self, limit_s=UP_S):
        def writes():
            self.check_alive()
            try:
                return self.ask("SET", "alive", str(self.number), timeout=5) == b"OK"
            except OSError:
                return False
        servers.wait_for(writes, "replica %d to take a write" % self.number, limit_s, 0.05)

    def connect(self, timeout=10):
        with self.network.inside(self.number):
            return Connection(self.port, timeout=timeout)

    def members(self):
        """id: fields, as this one sees them."""
        found = {}
        for flat in self.ask("RABIA", "MEMBERS", timeout=5):
            fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
            found[fields["id"]] = fields
        return found


class Cluster:
    """cluster[i] is replica i; iteration is over the members, whoever was removed
    left out."""

    def __init__(self, count=3, options=(), name="torture", seed=1):
        self.folder = tempfile.mkdtemp(prefix="kvstore-%s-" % name, dir=shared_folder())
        self.network = make_network(range(1, count + 1), seed)
        self.options = list(options)
        self.all = {}  # by number; those removed too
        self.gone = set()
        members = " ".join("%d@%s" % (i, self.network.address(i)) for i in range(1, count + 1))
        for number in range(1, count + 1):
            self.make(number, "--cluster-members", members)
        self.beginning = self.numbers()

    def make(self, number, *where):
        self.all[number] = Replica(
            number, self.network,
            ["--enable-debug-command", "yes", "--cluster-self", str(number), *where, *self.options], self.folder)
        return self.all[number]

    def join(self, number):
        """A new one, started, that asks the members; nobody has been asked to add it."""
        self.network.add(number)
        addresses = " ".join(self.network.address(i) for i in self.numbers())
        self.gone.add(number)  # no member yet
        return self.make(number, "--cluster-join", addresses).start()

    def forget_beginning(self, number):
        """Before a wiped one starts: the addresses it was started with may all be of members
        long gone, or its own alone, and then it would begin a cluster of its own.  Of no matter while
        the members are those of the beginning."""
        if self.beginning == self.numbers():
            return
        replica = self.all[number]
        at = [i for i, word in enumerate(replica.options) if word in ("--cluster-members", "--cluster-join")][0]
        replica.options[at:at + 2] = ["--cluster-join", " ".join(
            self.network.address(i) for i in self.numbers() if i != number)]

    def __getitem__(self, number):
        return self.all[number]

    def __iter__(self):
        return iter([self.all[number] for number in self.numbers()])

    def numbers(self):
        return sorted(set(self.all) - self.gone)

    def start(self):
        for replica in self:
            replica.start()
        self.wait_up()
        return self

    def wait_up(self, limit_s=UP_S):
        for replica in self:
            replica.wait_up(limit_s)
        for replica in self:
            replica.wait_writable(limit_s)

    def up(self):
        return [replica for replica in self if replica.is_up()]

    def wait_equal(self, limit_s=30):
        return servers.Cluster.wait_equal(self, list(self), limit_s)

    def heal(self):
        """Nothing is broken any more; who is dead starts."""
        self.network.heal()
        for replica in self:
            replica.disk.heal()
            replica.disk.set_lies(False)
            if replica.is_stopped:
                replica.proceed()
            if not replica.is_running():
                replica.start()

    def complaints(self):
        wrong = [sentence for sentence in (replica.notice_death() for replica in self.all.values()) if sentence]
        for replica in self.all.values():
            if not os.path.exists(replica.log_path):
                continue
            with open(replica.log_path, "rb") as file:
                for line in file.read().splitlines():
                    if any(text in line for text in WRONG_IN_LOGS):
                        wrong.append("replica %d's log: %s" % (replica.number, line.decode(errors="replace")))
        return wrong

    def remove(self, keep_in=None):
        for replica in self.all.values():
            if replica.process:
                replica.kill()
        self.network.close()
        if keep_in:
            shutil.rmtree(keep_in, ignore_errors=True)
            shutil.copytree(self.folder, keep_in)
        shutil.rmtree(self.folder, ignore_errors=True)
