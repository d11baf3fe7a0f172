"""Clients that append to lists of one writer each, for tests that break one thing."""
import threading

import history
import resp


class Appender(threading.Thread):
    """One writer's list at one replica; notes what became of each token."""

    def __init__(self, server, key, size=0):
        super().__init__(daemon=True)
        self.server, self.key, self.size = server, key, size
        self.sent, self.ended = [], threading.Event()

    def run(self):
        connection, number = None, 0
        while not self.ended.is_set():
            number += 1
            token = "%d%s" % (number, "x" * self.size)
            outcome = "unknown"
            try:
                connection = connection or self.server.connect(3)
                reply = connection.call("APPEND", self.key, token + ",")
                if reply[0] == ":":
                    outcome = "ok"
                elif not resp.is_error(reply, "INDOUBT"):
                    outcome = "failed"
                    self.ended.wait(0.01)
            except OSError:
                if connection:
                    connection.close()
                connection = None
                self.ended.wait(0.02)
            self.sent.append((token, outcome))

    def finish(self):
        self.ended.set()
        self.join(30)
        assert not self.is_alive()

    def acknowledged(self):
        return sum(outcome == "ok" for _, outcome in self.sent)

    def check(self, reader):
        return history.check_list(self.key, reader.ask("GET", self.key, timeout=30) or b"", self.sent)


def start_appenders(cluster, size=0):
    appenders = [Appender(replica, "list:%d" % replica.number, size) for replica in cluster]
    for appender in appenders:
        appender.start()
    return appenders


def finish_and_check(cluster, appenders):
    for appender in appenders:
        appender.finish()
    cluster.wait_up()
    cluster.wait_equal()
    wrong = [sentence for appender in appenders for sentence in appender.check(cluster[1])]
    assert not wrong, "\n".join(wrong)
