"""Rows of leadership: two schedulers, one leads; it is killed, or asked to stop, and the other one takes over and does what there is to do."""
import contextlib
import random
import signal
import time

from bench.cluster_rows import APPS, NAMESPACE, Stream
from bench.etcd_rows import etcd
from bench.harness import ALL_CPUS, Api, Broken, Controller, Server, application, p90, stop, wait

ROUNDS = 10
TTL = 6  # seconds, the default
LEASES = "/core/leases"
CLUSTERS = f"/kubernetes/namespaces/{NAMESPACE}/clusters"


def cluster(name):
    """One that nobody ever asks: placing needs no more than what is known of it."""
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "current-context": name, "clusters": [{"name": name, "cluster": {"server": "https://127.0.0.1:1"}}],
                  "users": [{"name": name, "user": {"token": "none"}}], "contexts": [{"name": name, "context": {"cluster": name, "user": name}}]}
    return {"metadata": {"name": name}, "spec": {"kubeconfig": kubeconfig, "constraints": {"cloud": {}}}}


class World:
    """An API server on etcd, two schedulers, a place for every application, and the events of applications and leases."""

    def __init__(self, bench):
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(etcd(bench))
            server = stack.enter_context(Server(bench, store.store, cpu=ALL_CPUS))
            self.api = Api("127.0.0.1", server.port)
            self.api.call("POST", CLUSTERS, cluster("de"))
            self.api.call("PATCH", f"{CLUSTERS}/de/status", {"status": {"state": "ONLINE"}})
            self.leases = Stream(self.api, f"{LEASES}?watch&heartbeat=0")
            self.events = Stream(self.api, f"{APPS}?watch&heartbeat=0")
            self.leader = stack.enter_context(Controller(bench, ["scheduler"], server.url))
            self.standby = stack.enter_context(Controller(bench, ["scheduler"], server.url))
            wait("one scheduler to lead, the other to stand by", lambda: (self.leader.mode(), self.standby.mode()) == ("leading", "standby"))
            self.number = 0
            self.processes = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.processes.__exit__(*exception)

    def bound(self):
        """Creates an application; (when it was bound, at which revision)."""
        self.number += 1
        name = f"app-{self.number}"
        self.api.call("POST", APPS, application(name))
        while True:
            at, event = self.events.next()
            if event["object"]["metadata"]["name"] == name and event["object"]["status"]["scheduled_to"]:
                return at, int(event["revision"])

    def succeed(self, end):
        """Ends the leader; seconds until another has the lease, and until that one has bound an application of afterwards."""
        self.leases.drain()
        begin = time.perf_counter()
        end(self.leader.process)
        at, revision = self.bound()
        taken = None
        while taken is None:
            when, event = self.leases.next()
            if event["type"] == "ADDED":
                taken, epoch = when, int(event["revision"])
        while revision < epoch:  # the old leader's last act
            at, revision = self.bound()
        stop(self.leader.process)
        self.leader.start()
        self.leader, self.standby = self.standby, self.leader
        if self.leader.mode() != "leading":
            raise Broken(f"the scheduler that bound an application says of itself: {self.leader.mode()}")
        return taken - begin, at - begin


def steady(world, samples=50):
    """What binding one takes when nothing else happens."""
    times = []
    for _ in range(samples):
        begin = time.perf_counter()
        times.append(world.bound()[0] - begin)
    return p90(times)


def rows(bench):
    chance = random.Random(1)
    with World(bench) as world:
        reference = steady(world)
        handed = [world.succeed(lambda process: process.send_signal(signal.SIGTERM)) for _ in range(ROUNDS)]
        killed = []
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0, TTL / 3))  # anywhere between two renewals
            killed.append(world.succeed(lambda process: process.kill()))
    lease, work = (p90(times) for times in zip(*killed))
    bench.table.add(f"kill -9 of the leader -> another one binds, p90 of {ROUNDS}", f"{work:.2f} s (lease {lease:.2f} s)", f"its ttl {TTL} s", work / TTL, "<= ttl + 1 s", work <= TTL + 1)
    lease, work = (p90(times) * 1e3 for times in zip(*handed))
    bench.table.add(f"SIGTERM of the leader -> another one binds, p90 of {ROUNDS}", f"{work:.0f} ms (lease {lease:.0f} ms)", f"a leader binds in {reference * 1e3:.1f} ms",
                    work / reference / 1e3, "< 200 ms", work < 200)
