"""kvstore-check over journals and snapshots that a real server wrote: what it says
is compared with what the server said, damage is made by hand, byte by byte."""
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import threading

import pytest

import servers

TOOL = os.path.join(os.path.dirname(servers.binary_path()), "kvstore-check")
GOOD, TORN, DAMAGED, FOREIGN, REFUSED, USAGE = 0, 1, 2, 3, 4, 64
HEADER_BYTES = 4096


def check(*words, status=GOOD):
    done = subprocess.run([TOOL, *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == status, "%s: %d\n%s%s" % (words, done.returncode, done.stdout, done.stderr)
    assert "\x1b" not in done.stderr, "a progress bar where no terminal is"
    return done.stdout


def check_json(*words, status=GOOD):
    """By type, the last of each."""
    found = json.loads(check("--json", *words, status=status))
    return {item["type"]: item for item in found}


@pytest.fixture
def store(make_server):
    """A server that keeps a journal, with some data."""
    server = make_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    fill(server, "k", 200)
    return server


def fill(server, prefix, count):
    with server.connect() as c:
        for i in range(count):
            assert c.ask("SET", "%s%d" % (prefix, i), "value-%d" % i) == b"OK"


def info(server, section):
    return servers.info_fields(server.ask("INFO", section))


def save(server):
    with server.connect() as c:
        assert c.ask("SAVE") == b"OK"
    return os.path.join(server.folder, "snapshot.kvs")


def journal_of(server):
    return os.path.join(server.folder, "journal")


def end_hard(server):
    """As after a crash; the fixture then finds nothing to stop."""
    server.kill()


def revive(server):
    """So that the fixture sees a clean end."""
    server.start()


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x55]))


def contents(folder):
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                found[os.path.join(root, name)] = file.read()
    return found


def used_segment(report):
    """Of those with records the one with the most."""
    return max(report["segments"], key=lambda s: s["used_bytes"])


# --- sound files -------------------------------------------------------------------


def test_snapshot_agrees_with_the_server(store):
    with store.connect() as c:
        c.ask("SELECT", "3")
        for i in range(30):
            c.ask("SET", "e%d" % i, str(i), "PX", "10000000")
        c.ask("SET", "text", "x" * 1000)
        position, digest = c.ask("RABIA", "DIGEST")
    path = save(store)
    report = check_json(path)["snapshot"]
    rabia = info(store, "rabia")
    assert report["status"] == "ok" and report["keys"] == 231
    assert report["position"] == position == int(rabia["position"])
    assert report["lap"] * 16 + report["lane"] == position
    assert report["digest"].encode() == digest
    assert report["file_bytes"] == os.path.getsize(path)
    assert abs(report["logical_time_ms"] - int(rabia["logical_time_ms"])) <= 1000
    low, high = report["databases"]
    assert (low["db"], low["keys"], low["expiring"]) == (0, 200, 0)
    assert (high["db"], high["keys"], high["expiring"], high["expired"]) == (3, 31, 30, 0)
    names = sum(len("k%d" % i) for i in range(200))
    values = sum(len("value-%d" % i) for i in range(200))
    assert low["types"] == {"string": {"keys": 200, "expiring": 0, "key_bytes": names, "value_bytes": values}}
    # An integer counts eight bytes.
    assert high["types"]["string"]["value_bytes"] == 30 * 8 + 1000
    text = check(path)
    assert "231 keys" in text and "position %d (lap " % position in text and "digest " + digest.decode() in text
    assert text.rstrip().endswith("good")


def test_journal_agrees_with_the_server(store):
    before = info(store, "rabia")
    flushed = int(info(store, "persistence")["journal_flushed_seq"])
    assert store.stop() == 0
    report = check_json(journal_of(store))["journal"]
    assert report["status"] == "ok" and report["closed"] is True and report["mode"] == "always"
    assert report["last_seq"] >= flushed and report["torn_bytes"] == 0 and report["damage"] is None
    assert report["in_use"] is False and report["malformed_records"] == 0
    kinds = {kind["name"]: kind for kind in report["kinds"]}
    # Every write was waited for, so each was a batch of its own.
    assert kinds["said"]["batches"] >= 200
    assert kinds["decided"]["slots"] >= 200
    assert report["position"] == int(before["position"])
    assert abs(report["newest_clock_ms"] - int(before["logical_time_ms"])) <= 1000
    for segment in report["segments"]:
        assert os.path.getsize(segment["path"]) == segment["bytes"] >= segment["used_bytes"]
    text = check(journal_of(store))
    assert "cleanly closed" in text and text.rstrip().endswith("good")
    assert "position %s" % before["position"] in text
    revive(store)


def test_directory(store):
    """Journal, snapshot and identity in one go; the same files by name."""
    save(store)
    store.stop()
    found = check_json(store.folder)
    assert set(found) == {"journal", "snapshot", "identity"}
    assert found["identity"]["rejoining"] == "0"
    before = contents(store.folder)
    check(store.folder)
    segment = used_segment(found["journal"])["path"]
    one = check_json(segment)["journal"]
    assert one["segments"][0]["path"] == segment
    assert contents(store.folder) == before, "looking changed something"
    revive(store)


def write_until(server, is_over, failures):
    try:
        with server.connect() as c:
            turn = 0
            while not is_over.is_set():
                for i in range(20):
                    c.send("SET", "k%d" % i, "v" * 300 + str(turn))
                for _ in range(20):
                    assert c.read() == ("+", b"OK")
                turn += 1
                if turn % 200 == 0:
                    c.ask("BGSAVE")
    except Exception as error:  # shown by the test's own thread
        failures.append(error)


def test_running_server(store):
    """Read while it is written, a journal is never called damaged; it cannot be cut."""
    is_over, failures = threading.Event(), []
    writer = threading.Thread(target=write_until, args=(store, is_over, failures))
    writer.start()
    try:
        for _ in range(12):
            report = check_json(store.folder)["journal"]
            assert report["in_use"] is True and report["damage"] is None
        assert "in use by a server" in check("--cut", journal_of(store), status=FOREIGN)
    finally:
        is_over.set()
        writer.join()
    assert not failures
    assert store.ask("SET", "still", "there") == b"OK"


# --- torn and damaged journals -------------------------------------------------------


def tear(store):
    """The last write came to disk in part: its segment."""
    assert store.ask("SET", "long", "x" * 5000) == b"OK"
    end_hard(store)
    segment = used_segment(check_json(journal_of(store))["journal"])
    with open(segment["path"], "r+b") as file:
        file.seek(segment["used_bytes"] - 2000)
        file.write(bytes(2000))
    return segment


def test_torn_tail(store):
    segment = tear(store)
    before = contents(journal_of(store))
    torn = check_json(journal_of(store), status=TORN)["journal"]
    assert torn["status"] == "torn" and torn["torn_bytes"] > 5000 and torn["damage"] is None
    assert torn["torn"]["path"] == segment["path"] and torn["torn"]["offset"] < segment["used_bytes"]
    text = check(journal_of(store), status=TORN)
    assert "torn tail: %s: offset %d" % (segment["path"], torn["torn"]["offset"]) in text
    assert contents(journal_of(store)) == before, "cut without being told to"
    cut = check_json("--cut", journal_of(store))["journal"]
    assert cut["cut"] is True
    after = check_json(journal_of(store))["journal"]
    assert after["torn_bytes"] == 0 and after["last_seq"] == torn["last_seq"] and after["cut_seq"] == 0
    revive(store)
    assert store.ask("GET", "k199") == b"value-199" and store.ask("EXISTS", "long") == 0


def test_server_cuts_a_torn_tail_itself(store):
    tear(store)
    revive(store)
    assert "torn tail" in store.output(1 << 20)
    assert store.ask("GET", "k150") == b"value-150"


def test_damage_in_the_middle(store):
    end_hard(store)
    segment = used_segment(check_json(journal_of(store))["journal"])
    place = (HEADER_BYTES + segment["used_bytes"]) // 2
    flip(segment["path"], place)
    before = contents(journal_of(store))
    report = check_json(journal_of(store), status=DAMAGED)["journal"]
    damage = report["damage"]
    assert report["status"] == "damaged" and damage["path"] == segment["path"]
    assert place - 4096 < damage["offset"] <= place
    assert damage["good_records_behind"] > 50 and damage["last_seq_behind"] > damage["first_seq_behind"]
    text = check(journal_of(store), status=DAMAGED)
    assert "DAMAGED: %s: offset %d" % (segment["path"], damage["offset"]) in text and "--cut" in text
    # The server will not start, says the same and changes nothing either.
    store.start(wait=False)
    assert store.process.wait(60) == 1
    said = store.output(1 << 20)
    assert segment["path"].rsplit("/", 1)[1] in said and "offset %d" % damage["offset"] in said
    assert "kvstore-check" in said
    assert {p: b for p, b in contents(journal_of(store)).items()} == before, "cut without being told to"
    # Cut: what lies before the place is there, what lies behind it is not.
    text = check("--cut", journal_of(store))
    assert "CUT: everything behind seq %d is gone" % report["last_seq"] in text
    after = check_json(journal_of(store))["journal"]
    assert after["damage"] is None and after["cut_seq"] > 0
    revive(store)
    assert store.ask("GET", "k0") == b"value-0" and store.ask("GET", "k199") is None


def test_cut_takes_a_directory(store):
    end_hard(store)
    segment = used_segment(check_json(journal_of(store))["journal"])["path"]
    before = contents(journal_of(store))
    assert "--cut takes the directory" in check("--cut", segment, status=FOREIGN)
    assert contents(journal_of(store)) == before
    check("--cut", journal_of(store))  # nothing to cut
    assert contents(journal_of(store)) == before
    revive(store)


def with_version(header, version):
    """A header block of another version, its checksums right."""
    one = bytearray(header[:96])
    one[8:12] = struct.pack("<I", version)
    one[88:96] = struct.pack("<Q", xxh3_64(bytes(one[:88]), 0))
    return (bytes(one) + bytes(2048 - 96)) * 2


def test_header_of_a_segment(store):
    end_hard(store)
    segment = used_segment(check_json(journal_of(store))["journal"])["path"]
    with open(segment, "rb") as file:
        header = file.read(HEADER_BYTES)

    def put(block):
        with open(segment, "r+b") as file:
            file.write(block)
    put(bytes(16) + header[16:])
    assert "one copy of its header is damaged" in check(journal_of(store))
    put(bytes(16) + header[16:2048] + bytes(16) + header[2064:])
    text = check(journal_of(store), status=DAMAGED)
    assert segment in text and "offset 0" in text
    put(with_version(header, 2))
    text = check(journal_of(store), status=FOREIGN)
    assert "journal format 2" in text and "newer" in text
    put(header)
    revive(store)


# --- damaged snapshots, foreign files -------------------------------------------------


def unpack(path, to):
    """With the tool of the format's own people."""
    subprocess.run(["lz4", "-t", "-q", path], check=True, timeout=60)
    subprocess.run(["lz4", "-d", "-f", "-q", path, to], check=True, timeout=60)
    with open(to, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return str(path)


def test_lz4_tool(store, tmp_path):
    """The lz4 tool verifies and unpacks; the plain form is as good a snapshot."""
    path = save(store)
    plain = tmp_path / "plain.kvs"
    unpack(path, str(plain))
    packed, unpacked = check_json(path)["snapshot"], check_json(str(plain))["snapshot"]
    assert (packed["compression"], unpacked["compression"]) == ("lz4", "no")
    for name in ("digest", "keys", "position", "content_bytes", "databases"):
        assert packed[name] == unpacked[name], name
    flip(path, os.path.getsize(path) // 2)
    assert subprocess.run(["lz4", "-t", "-q", path], capture_output=True, timeout=60).returncode != 0
    save(store)


def test_damaged_snapshot(store, tmp_path):
    """Any byte anywhere, and any end that is missing."""
    with open(save(store), "rb") as file:
        good = file.read()
    path = str(tmp_path / "copy.kvs")
    for offset in [0, 3, 4, 5, 6] + list(range(7, len(good), max(1, len(good) // 40))) + [len(good) - 1]:
        write(path, good)
        flip(path, offset)
        found = json.loads(check("--json", path, status=DAMAGED))[0]
        assert found["type"] == "snapshot" and found["error"], offset
    for size in (0, 1, 4, 11, 100, len(good) // 2, len(good) - 1):
        write(path, good[:size])
        check(path, status=DAMAGED)
    assert "DAMAGED" in check(path, status=DAMAGED)
    write(path, good + b"x")
    check(path, status=DAMAGED)


def xxh3_64(data, seed):
    """By the library itself: Debian has no Python module of it among our packages."""
    import ctypes
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    library.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return library.XXH3_64bits_withSeed(data, len(data), seed)


def with_other_digest(plain):
    """The same content, its end record saying another digest under a right checksum."""
    at, ordinal, last = 12, 0, None
    while at < len(plain):
        kind, _, data, shapes, expiries = struct.unpack_from("<5I", plain, at + 8)
        last = (at, ordinal, kind)
        at += 28 + data + shapes + expiries
        ordinal += 1
    at, ordinal, kind = last
    assert kind == 4
    end = bytearray(plain[at:])
    end[-1] ^= 1
    end[:8] = struct.pack("<Q", xxh3_64(bytes(end[8:]), ordinal))
    return plain[:at] + bytes(end)


def test_wrong_digest(store, tmp_path):
    plain = unpack(save(store), str(tmp_path / "plain"))
    path = write(tmp_path / "forged.kvs", with_other_digest(plain))
    text = check(path, status=DAMAGED)
    assert "the data has digest" in text and "the snapshot says" in text


def test_newer_version(store, tmp_path):
    plain = unpack(save(store), str(tmp_path / "plain"))
    path = write(tmp_path / "newer.kvs", plain[:8] + struct.pack("<I", 3) + plain[12:])
    text = check(path, status=FOREIGN)
    assert "version 3" in text and "newer" in text


def test_foreign_files(tmp_path):
    assert "neither" in check(write(tmp_path / "text", b"hello, this is a text"), status=FOREIGN)
    check(write(tmp_path / "nothing", b""), status=FOREIGN)
    assert "not a regular file" in check("/dev/null", status=FOREIGN)
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in check(str(tmp_path / "fifo"), status=FOREIGN)
    assert "No such file" in check(str(tmp_path / "absent"), status=REFUSED)
    os.mkdir(tmp_path / "empty")
    assert "neither a journal nor a snapshot" in check(str(tmp_path / "empty"), status=FOREIGN)
    check(status=USAGE)
    check("--bogus", str(tmp_path), status=USAGE)
    # The worst of several counts, and all are told of.
    found = json.loads(check("--json", str(tmp_path / "text"), str(tmp_path / "absent"), status=REFUSED))
    assert len(found) == 2 and all(item["error"] for item in found)


def test_damaged_identity(store):
    save(store)
    store.stop()
    path = os.path.join(store.folder, "replica.state")
    with open(path, "rb") as file:
        good = file.read()
    flip(path, len(good) // 2)
    assert "replica.state: identity" in check(store.folder, status=DAMAGED)
    write(path, good)
    revive(store)


def test_names_count_however_a_file_begins(store):
    """A snapshot whose first bytes are gone is not passed over in its directory; half a one is."""
    path = save(store)
    shutil.copy(path, path + ".tmp")
    with open(path + ".tmp", "r+b") as file:
        file.truncate(50)
    store.stop()
    check(store.folder)
    with open(path, "r+b") as file:
        good = file.read()
        file.seek(0)
        file.write(b"\0" * 16)
    assert "snapshot.kvs: snapshot" in check(store.folder, status=DAMAGED)
    write(path, good)
    revive(store)


# --- progress -------------------------------------------------------------------------


def run_on_terminal(*words):
    """(exit status, stdout, what the terminal got)."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([TOOL, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    screen, out, open_fds = b"", b"", [ours, process.stdout.fileno()]
    while open_fds:
        for fd in select.select(open_fds, [], [])[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the terminal's other end is closed
                data = b""
            if not data:
                open_fds.remove(fd)
            elif fd == ours:
                screen += data
            else:
                out += data
    status = process.wait()
    process.stdout.close()
    os.close(ours)
    return status, out.decode(), screen.decode()


def percents(screen):
    return [int(text) for text in re.findall(r"(\d+)%", screen)]


def test_progress_bar(store):
    path = save(store)
    for words in ([path], [journal_of(store)], ["--json", path]):
        status, out, screen = run_on_terminal(*words)
        assert status == GOOD
        seen = percents(screen)
        assert seen and seen == sorted(seen) and all(0 <= p <= 100 for p in seen), screen
        assert "[" in screen and screen.endswith("\r\x1b[K"), "the bar is wiped"
        assert "\x1b" not in out and out == check(*words) or words == [journal_of(store)]
    # Errors too come on a clean line.
    flip(path, os.path.getsize(path) // 2)
    status, out, screen = run_on_terminal(path)
    assert status == DAMAGED and "DAMAGED" in out and screen.endswith("\r\x1b[K")
    save(store)
