"""Each replica in a network namespace of its own; between them, switch.c.

A namespace has a loopback, by which clients and tests reach its replica (a
socket belongs to the namespace it was made in: inside()), and a TUN device with
the address 10.99.0.<id>, whose other end the switch holds.  Nothing is named,
and nothing of it is seen outside: it ends with the processes that hold it.

Wants root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and /dev/net/tun, no module and no tool;
why_not() says what is missing.
"""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

import servers
import wire

SWITCH = os.path.join(servers.ROOT, "build", "torture", "switch")
IDS = 9  # as many as a cluster ever has; see replica/roster.h
PORT = 21000
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_UP = 0x400454ca, 1, 0x1000, 1
SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFMTU, SIOCSIFTXQLEN = 0x8914, 0x8916, 0x891c, 0x8922, 0x8943
MTU = 9000
libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter(fd):
    """This thread makes its sockets there from now on."""
    check(libc.setns(fd, CLONE_NEWNET))


def configure(name, request, form, *values):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, request, struct.pack("16s" + form, name, *values).ljust(40, b"\0"))


def set_address(name, request, text):
    configure(name, request, "HH4s", socket.AF_INET, 0, socket.inet_aton(text))


class Namespace:
    def __init__(self, number):
        self.address = "10.99.0.%d" % number
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            check(libc.unshare(CLONE_NEWNET))
            try:
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
                self.device = os.open("/dev/net/tun", os.O_RDWR)
                fcntl.ioctl(self.device, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
                configure(b"lo", SIOCSIFFLAGS, "H", IFF_UP)
                set_address(b"wire", SIOCSIFADDR, self.address)
                set_address(b"wire", SIOCSIFNETMASK, "255.255.255.0")
                configure(b"wire", SIOCSIFMTU, "i", MTU)
                configure(b"wire", SIOCSIFTXQLEN, "i", 5000)
                configure(b"wire", SIOCSIFFLAGS, "H", IFF_UP)
            finally:
                enter(home)
        finally:
            os.close(home)

    def set_cable(self, is_in):
        """Pulled out, connect and send fail at once: the other way to be cut off."""
        with self.inside():
            configure(b"wire", SIOCSIFFLAGS, "H", IFF_UP if is_in else 0)

    @contextlib.contextmanager
    def inside(self):
        enter(self.fd)
        try:
            yield
        finally:
            enter(home_namespace())


made, home_fd, refusal = {}, None, None


def home_namespace():
    return home_fd


def why_not():
    """None if namespaces can be made here, else a sentence.  Makes them, once."""
    global home_fd, refusal
    if made or refusal:
        return refusal
    if os.environ.get("TORTURE_NETWORK") == "proxy":
        refusal = "TORTURE_NETWORK=proxy asks for it"
        return refusal
    try:
        home_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        for number in range(1, IDS + 1):
            made[number] = Namespace(number)
    except OSError as error:
        made.clear()
        refusal = "no network namespaces here: %s" % error
    return refusal


class Network(wire.Wire):
    """The owner of a switch; the same calls as proxy.Network."""
    name = "namespaces"
    has_packets = True  # loss is loss, and packets overtake each other

    def __init__(self, numbers, seed=1):
        assert why_not() is None
        self.ids = list(numbers)
        fds = {number: namespace.device for number, namespace in made.items()}
        self.process = subprocess.Popen(
            [SWITCH] + ["%d:%d" % pair for pair in fds.items()], pass_fds=list(fds.values()),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=servers.end_with_parent)
        self.lock = threading.Lock()
        self.unplugged = set()
        self.counts = {}
        self.order(["seed %d" % seed])

    # --- where replicas are -----------------------------------------------------

    def add(self, number):
        assert number in made, "no namespace for %d" % number
        if number not in self.ids:
            self.ids.append(number)

    def address(self, number):
        """Where the others find it."""
        return "%s:%d" % (made[number].address, PORT)

    def port(self, number):
        """Where clients find it, inside()."""
        return PORT

    def bind(self, number):
        return "127.0.0.1 %s" % made[number].address

    def inside(self, number):
        return made[number].inside()

    def enter(self, number):
        """For a child before it becomes a replica."""
        enter(made[number].fd)

    # --- what becomes of packets --------------------------------------------------

    def order(self, lines):
        with self.lock:
            self.process.stdin.write("".join(line + "\n" for line in lines + ["done"]).encode())
            self.process.stdin.flush()
            words = self.process.stdout.readline().split()
        assert words[:1] == [b"done"], "the switch is gone"
        self.counts = dict(zip(("dropped", "overtaken", "doubled"), map(int, words[1:])))

    def set(self, ways, hold=False, delay=0, jitter=0, loss=0, reorder=0, double=0):
        self.order(["way %d %d %d %d %d %d %d %d" % (
            a, b, hold, delay * 1e6, jitter * 1e6, loss * 1e6, reorder * 1e6, double * 1e6) for a, b in ways])

    def reset(self, pairs):
        self.order(["reset %d %d" % tuple(pair) for pair in pairs])

    def unplug(self, number):
        self.unplugged.add(number)
        made[number].set_cable(False)

    def heal(self):
        for number in self.unplugged:
            made[number].set_cable(True)
        self.unplugged.clear()
        self.set(self.ways())

    def close(self):
        self.heal()
        self.process.stdin.close()
        self.process.wait()
