"""Every command in README.md's sh blocks works as written, from a copy of the
tree (built files included) where ports are free for it.

`make run` goes to the background until its screen is there, and is ended with
Ctrl-C after the last block.  Commands that run tests or measurements are made
short through the environment; what they are told on their own line stays.
"""
import os
import re
import shutil
import signal
import subprocess

import pytest

import servers

SHORT = {"STAGES": "harness", "CI": "true"}


def blocks():
    with open(os.path.join(servers.ROOT, "README.md")) as file:
        return re.findall(r"(?ms)^```sh\n(.*?)^```", file.read())


def own_network():
    """Words that give a command a network of its own, where ports 7001 on are free."""
    words = ["unshare", "--user", "--map-root-user", "--net"] if os.getuid() else ["unshare", "--net"]
    works = subprocess.run(words + ["ip", "link", "set", "lo", "up"], capture_output=True)
    return words if works.returncode == 0 else []


@pytest.fixture
def copy(tmp_path):
    """The tracked files and what is built, times kept, so that make has little to do."""
    tree = tmp_path / "kvstore"
    shutil.copytree(servers.ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(
        ".git", "data", "__pycache__", "test", "bench", "*.profraw", "found"))
    for name in ("test", "bench"):  # of tests/, not of build/
        source = os.path.join(servers.ROOT, "tests", name)
        if os.path.isdir(source):
            shutil.copytree(source, tree / "tests" / name, dirs_exist_ok=True)
    return tree


def test_commands_of_the_readme(copy):
    lines = [line for block in blocks() for line in block.splitlines() if line.strip() and not line.startswith("#")]
    assert any(line.startswith("make run") for line in lines)
    script = ["set -e", "ip link set lo up 2>/dev/null || true",
              'end() { [ -z "$cluster" ] || { kill -INT "$cluster"; wait "$cluster"; }; }', "cluster=", "trap end EXIT"]
    for line in lines:
        script.append("echo '$' %s" % ("'" + line.replace("'", "'\\''") + "'"))
        if line.startswith("make run"):
            script += [line.replace("make run", "setsid make run") + " > run.log 2>&1 & maker=$!",
                       "for i in $(seq 600); do grep -q Ctrl-C run.log && break; sleep 0.2; done",
                       "cat run.log; grep -q Ctrl-C run.log",
                       # The cluster tool is what a terminal's Ctrl-C reaches.
                       "tool=$(pgrep -g $maker -f 'utils/cluster run' | head -n 1); [ -n \"$tool\" ]",
                       "end() { kill -INT $tool; wait $maker; echo 'ended: '$?; }"]
        else:
            script.append(line)
    env = dict(os.environ, **SHORT)
    for name in ("MAKEFLAGS", "MAKELEVEL", "KVSTORE_SERVER"):
        env.pop(name, None)
    process = subprocess.Popen(own_network() + ["bash", "-c", "\n".join(script)], cwd=copy, env=env, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=400)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    assert process.returncode == 0, output[-6000:]
    assert "ended: 0" in output, output[-3000:]
    assert "\nhello\n" in output and "\n1\n" in output, output[-6000:]
