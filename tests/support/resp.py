"""A small RESP2/RESP3 client that keeps exact bytes.

A reply is a pair (kind, value): kind is the type byte as a one-letter string,
value is bytes for + - $ : , ( = # !, a list of replies for * ~ > (for % and |
too, keys and values in turn), and None for null ($-1, *-1, _).  The type byte
stays, so that "$-1" and "_" differ.
"""
import socket


class Incomplete(Exception):
    """More bytes are needed."""


class Malformed(Exception):
    """These bytes are no RESP."""


def parse(data, at=0):
    """(reply, position after it) of the reply that starts at data[at]."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind = chr(data[at])
    line = bytes(data[at + 1:end])
    after = end + 2
    if kind in "+-:,(#_":
        return (kind, None if kind == "_" else line), after
    if kind in "$=!":
        size = int(line)
        if size < 0:
            return (kind, None), after
        if len(data) < after + size + 2:
            raise Incomplete
        if data[after + size:after + size + 2] != b"\r\n":
            raise Malformed(bytes(data[at:at + 80]))
        return (kind, bytes(data[after:after + size])), after + size + 2
    if kind in "*~>%|":
        count = int(line)
        if count < 0:
            return (kind, None), after
        items = []
        for _ in range(count * 2 if kind in "%|" else count):
            item, after = parse(data, after)
            items.append(item)
        return (kind, items), after
    raise Malformed(bytes(data[at:at + 80]))


def parse_all(data):
    """Every complete reply in data; the rest is returned too."""
    replies, at = [], 0
    while at < len(data):
        try:
            reply, at = parse(data, at)
        except Incomplete:
            break
        replies.append(reply)
    return replies, bytes(data[at:])


def as_bytes(word):
    if isinstance(word, bytes):
        return word
    return str(word).encode()


def encode(words):
    """A command as clients send it."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = as_bytes(word)
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def is_error(reply, start=b""):
    return reply[0] in "-!" and reply[1].startswith(as_bytes(start))


def plain(reply):
    """Python values without the types: bytes, int, list, None, dict for maps;
    errors stay pairs."""
    kind, value = reply
    if kind in "-!":
        return reply
    if value is None:
        return None
    if kind == ":":
        return int(value)
    if kind in "*~>":
        return [plain(item) for item in value]
    if kind in "%|":
        return {plain(key): plain(item) for key, item in zip(value[::2], value[1::2])}
    return value


class Closed(ConnectionError):
    """The server ended the connection."""


class Connection:
    """One connection.  call() sends and waits; send() and read() pipeline."""

    def __init__(self, port, host="127.0.0.1", timeout=10):
        self.address = (host, port)
        self.socket = socket.create_connection(self.address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.at = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, *words):
        self.socket.sendall(encode(words))

    def fill(self):
        data = self.socket.recv(262144)
        if not data:
            raise Closed("closed by the server; unread: %r" % bytes(self.buffer[self.at:][:200]))
        self.buffer += data

    def read_exact(self):
        """(reply, its bytes)."""
        while True:
            try:
                reply, after = parse(self.buffer, self.at)
            except (Incomplete, IndexError):
                self.fill()
                continue
            raw = bytes(self.buffer[self.at:after])
            self.at = after
            if self.at == len(self.buffer):
                self.buffer.clear()
                self.at = 0
            return reply, raw

    def read(self):
        return self.read_exact()[0]

    def call(self, *words):
        self.send(*words)
        return self.read()

    def ask(self, *words):
        """call() as a plain value."""
        return plain(self.call(*words))

    def pipeline(self, commands):
        """[(reply, bytes)] of many commands sent at once."""
        self.socket.sendall(b"".join(encode(words) for words in commands))
        return [self.read_exact() for _ in commands]

    def read_until_closed(self, timeout=10):
        """All bytes until the server closes (a reset counts)."""
        self.socket.settimeout(timeout)
        data = bytes(self.buffer[self.at:])
        try:
            while True:
                more = self.socket.recv(65536)
                if not more:
                    return data
                data += more
        except ConnectionError:
            return data


# --- redis-cli's way of quoting, for scripts and for printing ---------------

ESCAPES = {"n": 10, "r": 13, "t": 9, "a": 7, "b": 8, "\\": 92, '"': 34}


def split_line(line):
    """Words of a line as redis-cli and inline commands split it."""
    words, at = [], 0
    while True:
        while at < len(line) and line[at] in " \t":
            at += 1
        if at >= len(line):
            return words
        word = bytearray()
        while at < len(line) and line[at] not in " \t":
            if line[at] == '"':
                at += 1
                while line[at] != '"':
                    if line[at] == "\\" and line[at + 1] == "x":
                        word.append(int(line[at + 2:at + 4], 16))
                        at += 4
                    elif line[at] == "\\":
                        word.append(ESCAPES.get(line[at + 1], ord(line[at + 1])))
                        at += 2
                    else:
                        word += line[at].encode()
                        at += 1
                at += 1
            elif line[at] == "'":
                end = line.index("'", at + 1)
                word += line[at + 1:end].encode()
                at = end + 1
            else:
                word += line[at].encode()
                at += 1
        words.append(bytes(word))


def quote(word):
    word = as_bytes(word)
    if word and all(33 <= byte < 127 and byte not in b"\"'\\#" for byte in word):
        return word.decode()
    shown = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else "\\x%02x" % byte
                    for byte in word[:400])
    return '"%s"%s' % (shown, "..." if len(word) > 400 else "")


def line_of(words):
    return " ".join(quote(word) for word in words)
