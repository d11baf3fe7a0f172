"""Programs and client libraries as people use them, on three replicas of which one
is killed midway.

Goal: they need no change and lose nothing that was acknowledged.  python3-rq and
python3-celery are Debian's; ioredis and node-redis come from npm, at the versions
of node/package-lock.json, and are installed into build/ once.  Celery's worker
ends a lock of its own with a script, which this server does not run: the test
holds that lock, as another worker would, so that the worker leaves it alone.
"""
import os
import shutil
import subprocess
import sys

import pytest

import servers

HERE = os.path.dirname(os.path.abspath(__file__))
INSTALLED = os.path.join(servers.ROOT, "build", "node")
OPTIONS = ["--save", ""]
JOBS = 60


# --- node ----------------------------------------------------------------------------


def installed():
    """The folder with node_modules; npm runs when what is there is not what the lock says."""
    def same(name):
        there = os.path.join(INSTALLED, name)
        return os.path.exists(there) and open(there).read() == open(os.path.join(HERE, "node", name)).read()

    os.makedirs(INSTALLED, exist_ok=True)
    names = ["package.json", "package-lock.json"]
    if not all(same(name) for name in names) or not os.path.exists(os.path.join(INSTALLED, "complete")):
        for name in names:
            shutil.copy(os.path.join(HERE, "node", name), INSTALLED)
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=INSTALLED,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240)
        assert done.returncode == 0, done.stdout.decode(errors="replace")
        open(os.path.join(INSTALLED, "complete"), "w").close()
    for name in os.listdir(os.path.join(HERE, "node")):
        if name.endswith(".js"):
            shutil.copy(os.path.join(HERE, "node", name), INSTALLED)
    return INSTALLED


@pytest.mark.parametrize("program", ["ioredis.js", "node_redis.js"])
def test_node(make_cluster, program):
    folder = installed()
    cluster = make_cluster(3, OPTIONS)
    process = subprocess.Popen(["node", program] + [str(server.port) for server in cluster], cwd=folder, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=servers.end_with_parent)
    line = process.stdout.readline()
    if line == "half\n":
        servers.wait_for(lambda: int(cluster[1].ask("GET", "counted") or 0) > 50, "the program to count")
        cluster[3].kill()
        before = int(cluster[1].ask("GET", "counted"))
        servers.wait_for(lambda: int(cluster[1].ask("GET", "counted")) > before + 50, "it to go on")
    out, err = process.communicate("on\n", timeout=60)
    assert (process.returncode, line + out) == (0, "half\nfine\n"), err
    cluster.wait_equal([cluster[1], cluster[2]])


# --- python ----------------------------------------------------------------------------


class Worker:
    """A process that works; what it says goes to a file."""

    def __init__(self, folder, name, words, environment=()):
        self.path = os.path.join(folder, name + ".log")
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, PYTHONPATH=folder, **dict(environment)),
                                            preexec_fn=servers.end_with_parent)

    def end(self):
        """SIGTERM; what it said."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        with open(self.path, errors="replace") as log:
            return log.read()


def url(server):
    return "redis://127.0.0.1:%d/0" % server.port


RQ_JOBS = """
def double(number):
    return 2 * number

def fail():
    raise ValueError("as planned")
"""


def test_rq(make_cluster, tmp_path):
    """Two workers, one on the replica that dies; that one is started anew elsewhere, as a supervisor would.  Each job is done, but
    at most the one the dead replica's worker had in its hands is still called started."""
    import redis
    import rq
    (tmp_path / "rq_jobs.py").write_text(RQ_JOBS)
    sys.path.insert(0, str(tmp_path))
    cluster = make_cluster(3, OPTIONS)

    def work(name, server):
        return Worker(str(tmp_path), name, ["/usr/bin/rq", "worker", "--url", url(server), "default"])

    queue = rq.Queue(connection=redis.Redis(port=cluster[2].port))
    workers = [work("first", cluster[1]), work("second", cluster[3])]
    try:
        jobs = [queue.enqueue("rq_jobs.double", number) for number in range(JOBS)]
        broken = queue.enqueue("rq_jobs.fail")
        servers.wait_for(lambda: queue.finished_job_registry.count >= 5, "some jobs to be done")
        cluster[3].kill()
        workers.append(work("third", cluster[2]))
        jobs += [queue.enqueue("rq_jobs.double", number) for number in range(JOBS, JOBS + 20)]
        servers.wait_for(lambda: queue.count == 0 and queue.finished_job_registry.count >= len(jobs) - 1,
                         "every job to be done: %s" % queue.finished_job_registry.count, 120)
        servers.wait_for(lambda: broken.get_status(refresh=True) == "failed", "the job that fails")
        states = [job.get_status(refresh=True) for job in jobs]
        left = [state for state in states if state != "finished"]
        assert len(left) <= 1 and set(left) <= {"started"}, states
        for number, job in enumerate(jobs):
            if states[number] == "finished":
                assert job.result == 2 * number
        assert "as planned" in broken.latest_result().exc_string
    finally:
        for worker in workers:
            worker.end()
        sys.path.remove(str(tmp_path))
    cluster.wait_equal([cluster[1], cluster[2]])


CELERY_TASKS = """
import os
import celery

app = celery.Celery("tasks", broker=os.environ["BROKER"])
app.conf.update(worker_enable_remote_control=False, broker_connection_retry_on_startup=True, task_ignore_result=True)

@app.task
def keep(number):
    import redis
    redis.Redis.from_url(os.environ["BROKER"]).sadd("kept", number)
"""


def test_celery(make_cluster, tmp_path):
    """Producer, worker and what tasks write, each on another replica; the producer's is killed."""
    import redis
    (tmp_path / "tasks.py").write_text(CELERY_TASKS)
    cluster = make_cluster(3, OPTIONS)
    kept = redis.Redis(port=cluster[2].port)
    kept.set("unacked_mutex", "another worker")
    send = "import sys, tasks\nfor number in range(*map(int, sys.argv[1:])): tasks.keep.delay(number)"

    def produce(server, start, end):
        subprocess.run(["/usr/bin/python3", "-c", send, str(start), str(end)], cwd=tmp_path, check=True, timeout=60,
                       env=dict(os.environ, BROKER=url(server)))
    produce(cluster[3], 0, JOBS)
    worker = Worker(str(tmp_path), "worker", [
        "/usr/bin/python3", "-m", "celery", "-A", "tasks", "worker", "-c", "1", "--without-gossip", "--without-mingle", "-l", "INFO"],
        {"BROKER": url(cluster[1])})
    try:
        servers.wait_for(lambda: kept.scard("kept") > 3, "some tasks to be done")
        cluster[3].kill()
        produce(cluster[2], JOBS, 2 * JOBS)
        servers.wait_for(lambda: kept.scard("kept") == 2 * JOBS, "every task to be done")
        servers.wait_for(lambda: kept.hlen("unacked") == 0 and kept.llen("celery") == 0, "every message to be taken")
    finally:
        said = worker.end()
    assert "Traceback" not in said, said
    cluster.wait_equal([cluster[1], cluster[2]])
