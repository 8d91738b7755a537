"""Rows of a client of two API servers on one etcd: the one it talks to is killed, or stopped; how long until it reads, writes and hears of changes again."""
import contextlib
import http.client
import itertools
import os
import signal
import subprocess
import threading
import time

from bench.etcd_rows import etcd
from bench.harness import ALL_CPUS, Api, Broken, Server, p90, pinned, running, wait

ROUNDS = 10
BUDGET = 60  # seconds for the rounds of one fault: when each takes long, fewer are begun
QUIET = 2.5  # seconds between them: a server that was silent is not asked in place of another one for 2 s
PATIENCE = 60  # seconds until a client that goes on nowhere is given up
ROLES = "/core/roles"
WHAT = ("read", "write", "event")
# Milliseconds. One that is stopped must leave a probe unanswered before its watches and writes are given up.
BARS = {"kill -9": {"read": 500, "write": 500, "event": 500}, "SIGSTOP": {"read": 500, "write": 3000, "event": 3000}}


class Client:
    """krake_bench_failover, and when what succeeded."""

    def __init__(self, bench, servers):
        self.lines = {what: [] for what in WHAT}
        self.command = pinned(ALL_CPUS, bench.program("krake_bench_failover"), ",".join(server.url for server in servers))

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            # What failed is told on standard error: the faults are ours.
            self.process = stack.enter_context(running(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()
            stack.callback(self.end)
            wait("the client to read and write", lambda: self.lines["read"] and self.lines["write"], self.process)
            self.processes = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self.processes.__exit__(*exception)

    def end(self):
        self.process.kill()
        self.reader.join()

    def read(self):
        for line in self.process.stdout:
            what, *rest = line.split()
            self.lines[what].append(tuple(rest))

    def first_since(self, begin, probes):
        """Seconds from `begin` until the first success of each kind that was begun afterwards; None for those that are not there yet. `probes`: what the
        watch may tell of."""
        out = {}
        for what in "read", "write":
            out[what] = next((float(end) - begin for start, end in self.lines[what] if float(start) >= begin), None)
        out["event"] = next((float(at) - begin for name, at in self.lines["event"] if name in probes), None)
        return out


def create(server, name):
    Api("127.0.0.1", server.port).call("POST", ROLES, {"metadata": {"name": name}, "rules": []})


def asked(servers):
    """The server that has the client's watch, and the others."""

    watches = []

    def look():
        watches[:] = [server.metric('krake_api_taken{priority="user",what="watches"}') for server in servers]
        having = [server for server, count in zip(servers, watches) if count > 0]
        return having if len(having) == 1 else None

    try:
        (here,) = wait("one server to have the watch of the client", look, interval=0.05)
    except Broken as error:
        raise Broken(f"{error}; they have {watches}") from None
    return here, [server for server in servers if server is not here]


def go_on(client, servers, fault, undo, numbers):
    """Seconds from `fault` at the server the client talks to until it goes on, by kind. Meanwhile roles are created at the other one, for the watch to tell of."""
    here, (other,) = asked(servers)
    probes = set()
    begin = time.monotonic()
    fault(here)

    def gone_on():
        name = f"probe-{next(numbers)}"
        probes.add(name)
        with contextlib.suppress(Broken):  # a slow disk: the next one will do
            create(other, name)
        seen = client.first_since(begin, probes)
        return None not in seen.values() and seen

    try:
        seconds = wait("the client to go on at the other server", gone_on, client.process, PATIENCE, 0.01)
    finally:
        undo(here)
    here.wait_ready()
    return seconds


def kill(server):
    server.process.kill()
    server.process.wait()


def rounds(client, servers, fault, undo, numbers):
    out = []
    end = time.monotonic() + BUDGET
    while len(out) < ROUNDS and time.monotonic() < end:
        for lines in client.lines.values():
            lines.clear()
        out.append(go_on(client, servers, fault, undo, numbers))
        time.sleep(QUIET)
    return out


def reconnect(server, samples=100):
    """What the least client takes: a connection, and one GET."""
    create(server, "reference")
    times = []
    for _ in range(samples):
        begin = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", f"{ROLES}/reference")
        if connection.getresponse().read() == b"":
            raise Broken("an empty answer")
        connection.close()
        times.append(time.perf_counter() - begin)
    return p90(times)


def rows(bench):
    def server():
        return Server(bench, store.store, cpu=ALL_CPUS, stderr=subprocess.DEVNULL)  # it would complain of its pauses

    with etcd(bench) as store, server() as first, server() as second:
        servers, numbers = [first, second], itertools.count()
        reference = reconnect(first) * 1e3
        faults = {"kill -9": (kill, lambda server: server.start()),
                  "SIGSTOP": (lambda server: os.kill(server.pid, signal.SIGSTOP), lambda server: os.kill(server.pid, signal.SIGCONT))}
        for name, (fault, undo) in faults.items():
            with Client(bench, servers) as client:
                seen = rounds(client, servers, fault, undo, numbers)
            each = {what: p90([times[what] for times in seen]) * 1e3 for what in WHAT}
            slowest, bars = max(each.values()), BARS[name]
            bench.table.add(f"{name} of the API server asked -> the client goes on, p90 of {len(seen)}", ", ".join(f"{what} {ms:,.0f} ms" for what, ms in each.items()),
                            f"connect + GET {reference:.1f} ms", slowest / reference,
                            ", ".join(f"{what} < {ms:,} ms" for what, ms in bars.items()), all(each[what] < bars[what] for what in WHAT))
