"""Saving, loading and restoring as an operator watches them: INFO, the log, -LOADING,
--restore into a store and into a cluster, and what is refused."""
import os
import shutil
import signal
import struct
import subprocess

import pytest

import servers
from servers import wait_for

KEYS = 400000
LONE = ["--save", "", "--appendonly", "no"]


def persistence(server):
    return servers.info_fields(server.ask("INFO", "persistence"))


def populate(server, keys, prefix="key", size=30):
    assert server.ask("DEBUG", "POPULATE", str(keys), prefix, str(size), timeout=120) == b"OK"


def children(process):
    with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as file:
        return [int(pid) for pid in file.read().split()]


def digest(server):
    return server.ask("RABIA", "DIGEST", timeout=60)


def save(server):
    assert server.ask("SAVE", timeout=120) == b"OK"
    return os.path.join(server.folder, "snapshot.kvs")


# --- saving ------------------------------------------------------------------------


def test_save_progress(make_server):
    """The saving process is stopped half-way, so that INFO can be looked at in peace."""
    server = make_server(*LONE)
    populate(server, KEYS - 1)
    server.ask("SET", "one", "change")
    quiet = persistence(server)
    assert quiet["rdb_bgsave_in_progress"] == "0" and quiet["rdb_current_bgsave_time_sec"] == "-1"
    assert quiet["current_save_keys_processed"] == quiet["current_save_keys_total"] == "0"
    assert quiet["rdb_changes_since_last_save"] == "1"
    with server.connect() as c:
        assert c.ask("BGSAVE") == b"Background saving started"
        writer = children(server.process)[0]
        os.kill(writer, signal.SIGSTOP)
        assert c.call("BGSAVE") == ("-", b"ERR Background save already in progress")
    first = persistence(server)
    assert first["rdb_bgsave_in_progress"] == "1" and int(first["rdb_current_bgsave_time_sec"]) >= 0
    done, total = int(first["current_save_keys_processed"]), int(first["current_save_keys_total"])
    assert total == KEYS and done < KEYS
    assert abs(float(first["current_fork_perc"]) - 100 * done / total) < 0.01
    # It comes further while the writer runs.  (What the log says when it takes long: test_saving.c.)
    os.kill(writer, signal.SIGCONT)
    seen = [done]

    def is_saved():
        fields = persistence(server)
        if fields["rdb_bgsave_in_progress"] == "1":
            seen.append(int(fields["current_save_keys_processed"]))
            return None
        return fields
    last = wait_for(is_saved, "the save to end")
    assert seen == sorted(seen)
    assert last["rdb_last_bgsave_status"] == "ok" and last["rdb_saves"] == "1"
    assert int(last["rdb_last_cow_size"]) > 0 and last["rdb_changes_since_last_save"] == "0"
    assert "the snapshot is saved after" in server.output(1 << 20) and "%d keys" % KEYS in server.output(1 << 20)
    stats = servers.info_fields(server.ask("INFO", "stats"))
    assert int(stats["total_forks"]) == 1 and int(stats["latest_fork_usec"]) > 0


def test_save_fails_with_a_reason(make_server):
    """The child says why in the server's log, and the former snapshot stays."""
    server = make_server(*LONE)
    server.ask("SET", "a", "1")
    path = save(server)
    with open(path, "rb") as file:
        before = file.read()
    os.mkdir(path + ".tmp")
    try:
        server.ask("SET", "a", "2")
        assert server.ask("BGSAVE") == b"Background saving started"
        wait_for(lambda: persistence(server)["rdb_last_bgsave_status"] == "err", "the save to fail")
        said = server.output(1 << 20)
        assert "saving the snapshot failed: cannot create" in said and "Is a directory" in said
        with server.connect() as c:
            assert c.call("SAVE")[0] == "-"
        with open(path, "rb") as file:
            assert file.read() == before
    finally:
        os.rmdir(path + ".tmp")
    save(server)
    assert persistence(server)["rdb_last_bgsave_status"] == "ok"


def test_killed_writer(make_server):
    server = make_server(*LONE)
    populate(server, KEYS)
    with server.connect() as c:
        c.ask("BGSAVE")
        os.kill(children(server.process)[0], signal.SIGKILL)
    wait_for(lambda: persistence(server)["rdb_last_bgsave_status"] == "err", "the save to fail")
    assert "ended by signal 9" in server.output(1 << 20)


# --- loading -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [LONE, ["--save", "", "--appendonly", "yes", "--appendfsync", "no"]],
                         ids=["snapshot", "journal"])
def test_loading_says_how_far(make_server, options):
    """Until the data is there, clients hear -LOADING and INFO tells how far it is."""
    server = make_server(*options)
    with server.connect(120) as c:
        if options is LONE:
            populate(server, 2 * KEYS, size=200)
            save(server)
        else:
            for i in range(400):
                assert c.ask("SET", "long%d" % (i % 40), str(i) * 200000) == b"OK"
    before = digest(server)[1]
    server.stop()
    server.start(wait=False)
    seen, errors = [], []

    def is_loaded():
        server.check_alive()
        try:
            with server.connect() as c:
                while True:
                    kind, text = c.call("GET", "nothing")
                    if kind != "-":
                        return True
                    errors.append(text)
                    fields = servers.info_fields(c.ask("INFO", "persistence"))
                    if fields["loading"] == "1":
                        seen.append(fields)
                    assert c.ask("PING") if fields["loading"] == "0" else True
        except ConnectionRefusedError:
            return False
    wait_for(is_loaded, "the data", every_s=0.001)
    assert errors and all(text.startswith(b"LOADING ") for text in errors)
    assert seen
    for fields in seen:
        assert 0 <= float(fields["loading_loaded_perc"]) <= 100 and int(fields["loading_eta_seconds"]) >= 0
        assert int(fields["loading_start_time"]) > 1600000000
    loaded = [int(fields["loading_loaded_bytes"]) for fields in seen]
    assert loaded == sorted(loaded) and loaded[-1] > loaded[0]
    assert all(int(f["loading_total_bytes"]) >= int(f["loading_loaded_bytes"]) for f in seen)
    assert digest(server)[1] == before
    after = persistence(server)
    assert after["loading"] == "0" and "loading_total_bytes" not in after
    if options is LONE:
        assert after["rdb_last_load_keys_loaded"] == str(2 * KEYS)
        assert "loaded %d keys" % (2 * KEYS) in server.output(1 << 20)


# --- restoring ----------------------------------------------------------------------


@pytest.fixture
def backup(make_server, tmp_path):
    """A snapshot copied away; what it holds."""
    server = make_server("--appendonly", "yes", "--save", "")
    with server.connect() as c:
        for i in range(100):
            c.ask("SET", "k%d" % i, "v%d" % i)
        c.ask("SET", "expiring", "1", "EX", "100000")
        position, data = c.ask("RABIA", "DIGEST")
    copy = str(tmp_path / "backup.kvs")
    shutil.copy(save(server), copy)
    return copy, position, data


def refusal(server):
    """Starts what cannot start; what it said."""
    server.start(wait=False)
    assert server.process.wait(60) == 1, server.output()
    said = server.output(1 << 20)
    assert "cannot load the data" in said
    return said


@pytest.mark.parametrize("options", [LONE, ["--appendonly", "yes", "--save", ""]], ids=["snapshots", "journal"])
def test_restore_to_a_store(make_server, backup, options):
    path, position, data = backup
    server = make_server("--restore", path, *options)
    assert digest(server)[1] == data
    assert digest(server)[0] >= position
    assert server.ask("GET", "k7") == b"v7" and server.ask("TTL", "expiring") > 99000
    server.ask("SET", "new", "1")
    higher = digest(server)[0]
    assert higher > position
    # Once more with the option: refused, nothing is overwritten.
    if options is LONE:
        save(server)
    server.stop()
    assert "holds one already" in refusal(server)
    server.options = server.options[:2] + list(options)
    server.start()
    assert server.ask("GET", "new") == b"1" and server.ask("DBSIZE") == 102
    assert digest(server)[0] >= higher


def test_restore_to_a_new_cluster(backup):
    path, position, data = backup
    cluster = servers.Cluster(3)
    try:
        for server in cluster:
            server.options += ["--restore", path]
        cluster.start()
        now, same = cluster.wait_equal()
        assert same == data and now >= position
        for i, server in enumerate(cluster):
            assert server.ask("GET", "k7") == b"v7"
            assert server.ask("SET", "from%d" % i, "1") == b"OK"
        later, _ = cluster.wait_equal()
        assert later > now
        # From its own memory, without the option.
        cluster.stop()
        for server in cluster:
            server.options = server.options[:-2]
        cluster.start()
        assert cluster.wait_equal()[0] >= later
        assert cluster[1].ask("GET", "from2") == b"1"
    finally:
        cluster.remove()


def test_restore_to_one_member_of_a_new_cluster(backup):
    """The others are empty and get the data from it."""
    path, position, data = backup
    cluster = servers.Cluster(3)
    try:
        cluster[2].options += ["--restore", path]
        cluster.start()
        now, same = cluster.wait_equal()
        assert same == data and now >= position
        assert cluster[1].ask("GET", "k7") == b"v7"
    finally:
        cluster.remove()


def test_restore_refusals(backup, tmp_path):
    path, _, _ = backup
    with open(path, "rb") as file:
        good = file.read()
    plain = str(tmp_path / "plain")
    subprocess.run(["lz4", "-d", "-f", "-q", path, plain], check=True, timeout=60)
    with open(plain, "rb") as file:
        unpacked = file.read()
    bad = str(tmp_path / "bad.kvs")
    server = servers.lone(LONE + ["--restore", bad])
    try:
        assert bad in refusal(server) and "No such file" in server.output(1 << 20)
        for content, reason in ((good[:-30], "too early"), (unpacked[:8] + struct.pack("<I", 7) + unpacked[12:], "version 7"),
                                (b"not a snapshot at all", "not a snapshot"), (b"", "too early"),
                                (good[:len(good) // 2] + bytes(8) + good[len(good) // 2 + 8:], bad)):
            with open(bad, "wb") as file:
                file.write(content)
            os.unlink(server.log_path)
            said = refusal(server)
            assert reason in said and bad in said, said
            assert sorted(os.listdir(server.folder)) == ["stdout"], "a refusal leaves nothing behind"
        with open(bad, "wb") as file:
            file.write(unpacked)
        server.start()  # the plain form is as good
        assert server.ask("GET", "k7") == b"v7"
        assert server.stop() == 0
    finally:
        server.kill()
        server.remove()


# --- another way of keeping data ----------------------------------------------------


def test_change_of_keeping_is_never_silent(make_server):
    """A store kept by snapshots is not begun empty with a journal, nor one with a journal from its last snapshot."""
    server = make_server(*LONE)
    server.ask("SET", "a", "1")
    path = save(server)
    server.stop()
    server.options = server.options[:2] + ["--appendonly", "yes", "--save", ""]
    assert "--restore" in refusal(server)
    server.options += ["--restore", path]
    server.start()
    assert server.ask("GET", "a") == b"1"
    server.ask("SET", "a", "2")
    server.stop()
    server.options = server.options[:2] + LONE
    assert "appendonly is no" in refusal(server)
    server.options = server.options[:2] + ["--appendonly", "yes", "--save", ""]
    server.start()
    assert server.ask("GET", "a") == b"2"
