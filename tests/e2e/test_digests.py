"""Replicas compare their data in parts; which keys a part holds follows from the
hash secret they share.

Goal: members that restart from their snapshot still share it.  Method: more keys
than one part holds, two of three members killed and started again, then writes
until all have compared digests: none differs, though there are several parts."""
import servers


def figure(server, name):
    return int(servers.info_fields(server.ask("INFO", "rabia"))[name])


def test_restarted_members_compare_the_same_parts():
    cluster = servers.Cluster(3, ["--enable-debug-command", "yes"]).start()
    try:
        first, *others = list(cluster)
        first.ask("DEBUG", "POPULATE", "5000")
        for server in others:
            server.kill()
        for server in others:
            server.start()
        servers.wait_for(lambda: all(servers.info_fields(s.ask("INFO", "rabia")).get("rabia_state") == "up"
                                     for s in cluster), "members that restarted")
        compared = figure(first, "digests_compared")

        def write_and_look():
            for number in range(200):
                first.ask("SET", "key:%d" % number, "x")
            return figure(first, "digests_compared") >= compared + 6
        servers.wait_for(write_and_look, "six compared digests", 60)
        assert all(figure(server, "digests_differing") == 0 for server in cluster)
        assert servers.info_fields(first.ask("INFO", "rabia"))["rabia_state"] == "up"
    finally:
        for server in cluster:
            server.kill()
            server.remove()
