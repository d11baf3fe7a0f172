"""A member whose requirepass differs: both ends of the link say so, the one that
is dialled too, and say it once however often it is tried again."""
import servers
from servers import wait_for


def lines(server, text):
    return [line for line in server.output(1 << 20).splitlines() if text in line]


def wrong_passwords(server, password):
    with server.connect() as c:
        c.ask("AUTH", password)
        stats = servers.info_fields(c.ask("INFO", "errorstats"))
    return int(stats.get("errorstat_WRONGPASS", "count=0").split("=")[1])


def test_both_ends_log_a_wrong_password(make_cluster):
    cluster = make_cluster(3)
    cluster[3].stop()
    passwords = {cluster[1]: "right", cluster[2]: "right", cluster[3]: "wrong"}
    for server in (cluster[1], cluster[2]):
        server.ask("CONFIG", "SET", "requirepass", "right")
    cluster[3].options += ["--requirepass", "wrong"]
    cluster[3].start()

    def ends(text):
        return [server for server in cluster if lines(server, text)]
    wait_for(lambda: ends("refused a link from") and ends("WRONGPASS"), "both ends to log the refusal")
    for acceptor in ends("refused a link from"):
        tried = wrong_passwords(acceptor, passwords[acceptor])
        wait_for(lambda: wrong_passwords(acceptor, passwords[acceptor]) >= tried + 6, "more attempts")
        told = lines(acceptor, "refused a link from")
        assert all("its requirepass is not ours" in line for line in told), told
        names = [line.split("calls itself ")[1].split(":")[0] for line in told]
        assert len(names) == len(set(names)), told
