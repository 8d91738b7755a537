"""Rows of an API server on etcd with far more to do than it can: clients without mercy ask for long lists and write, while controllers and others keep their
leases through the same server. Whether one was lost, and what the server does with the rest."""
import contextlib
import http.client
import json
import math
import re
import statistics
import subprocess
import threading
import time

from bench.etcd_rows import etcd
from bench.harness import ALL_CPUS, LOAD_CPU, Api, Broken, Controller, Server, pinned, running, wait

SECONDS = 20  # of load: more than three times what a lease lives
OBJECTS = 2_500  # in each list; no two writers write the same one
# Connections, each with a request under way all the time: what the server can well bear, and too many.
FINE, TOO_MANY = {"list": 16, "write": 64}, {"list": 512, "write": 2_048}
TTL = 6  # seconds, the default
HOLDERS = 64  # of one lease each
CONTROLLERS = {"scheduler": ["scheduler"], "kubernetes-application": ["controller", "kubernetes-application"],
               "kubernetes-cluster": ["controller", "kubernetes-cluster"], "gc": ["gc"]}
HOLDER_TOKEN = "token-of-holders"
ROLES, LEASES = "/core/roles", "/core/leases"


def role(number):
    """About 1.5 KB."""
    rules = [{"api": "kubernetes", "resources": ["applications", "clusters"], "namespaces": [f"namespace-{i}"], "verbs": ["get", "list", "update"]} for i in range(10)]
    return {"metadata": {"name": f"role-{number}"}, "rules": rules}


class Holder(threading.Thread):
    """Keeps a lease as a controller keeps its own: renewed every third of its ttl, and asked for again soon when there is no answer."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TTL * 2 / 3)
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {HOLDER_TOKEN}"}
        self.path = f"{LEASES}/lease-{number}"
        self.body = json.dumps({"holder": f"holder-{number}", "ttl_seconds": TTL})
        self.first = TTL / 3 * number / HOLDERS  # so that not all come at once
        self.taken = False
        self.times = []  # (due at, seconds) of each renewal
        self.stopping = threading.Event()
        self.error = None

    def run(self):
        try:
            due = time.monotonic() + self.first
            while not self.stopping.wait(max(0, due - time.monotonic())):
                self.renew(due)
                due = max(due + TTL / 3, time.monotonic())
        except Exception as error:  # must not look like a lease that is well
            self.error = error
        finally:
            self.connection.close()

    def renew(self, due):
        while not self.stopping.is_set():
            status = self.put()
            if status == 200:
                self.times.append((due, time.monotonic() - due))
                self.taken = True
                return
            if status is not None and status != 429 and status < 500:
                raise Broken(f"PUT {self.path}: {status}")
            self.stopping.wait(0.1)

    def put(self):
        """The status; None when there was no answer."""
        try:
            self.connection.request("PUT", self.path, self.body, self.headers)
            answer = self.connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            self.connection.close()  # opened again by the next request
            return None


class Holders:
    def __init__(self, server):
        self.each = [Holder(server, number) for number in range(HOLDERS)]

    def __enter__(self):
        for holder in self.each:
            holder.start()
        wait("all leases to be taken", lambda: all(holder.taken or holder.error for holder in self.each))
        self.check()
        return self

    def __exit__(self, *_):
        for holder in self.each:
            holder.stopping.set()
        for holder in self.each:
            holder.join()

    def check(self):
        for holder in self.each:
            if holder.error:
                raise Broken(f"{holder.path}: {holder.error!r}")

    def latencies(self, begin, end):
        """(p50, p99, max) in ms of the renewals that were due in that time."""
        self.check()
        times = sorted(seconds * 1e3 for holder in self.each for due, seconds in list(holder.times) if begin <= due < end)
        if len(times) < 100:
            raise Broken(f"{len(times)} renewals in {end - begin:.0f} s")
        return statistics.median(times), times[math.ceil(0.99 * len(times)) - 1], times[-1]


class Asker(threading.Thread):
    """A client like those of the load, but one that looks at what it is answered: every refusal must say when to come again."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.port = server.port
        self.refused = self.unclear = 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.wait(0.05):
            for method, path, body in (("GET", ROLES, None), ("PATCH", f"{ROLES}/role-0", {"metadata": {"labels": {"asker": "x"}}})):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                try:
                    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    self.refused += answer.status != 200
                    self.unclear += answer.status not in (200, 429) or (answer.status == 429 and "Retry-After" not in answer.headers)
                except (OSError, http.client.HTTPException):
                    self.unclear += 1
                finally:
                    connection.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()


def scripts(bench):
    """Those of wrk: lists, and writes to one role after the other."""
    lists, writes = bench.new_path("list.lua"), bench.new_path("write.lua")
    lists.write_text(f'request = function() return wrk.format("GET", "{ROLES}") end\n')
    writes.write_text(f"""
local count = 0
local headers = {{["Content-Type"] = "application/merge-patch+json"}}
request = function()
  count = count + 1
  return wrk.format("PATCH", "{ROLES}/role-" .. count % {OBJECTS}, headers, '{{"metadata": {{"labels": {{"count": "' .. count .. '"}}}}}}')
end
""")
    return {"list": lists, "write": writes}


def load(server, scripts, connections, seconds):
    """Answers per second, (good, refused) of each kind."""
    command = pinned(LOAD_CPU, "nice", "-n", "10", "wrk", "-t1", f"-d{seconds}s", "--timeout", "60s")
    with contextlib.ExitStack() as stack:
        loads = {what: stack.enter_context(running([*command, f"-c{connections[what]}", "-s", script, server.url], stdout=subprocess.PIPE, text=True))
                 for what, script in scripts.items()}
        texts = {what: process.communicate(timeout=seconds + 60)[0] for what, process in loads.items()}
    out = {}
    for what, text in texts.items():
        requests, took = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        refused = int(refused.group(1)) if refused else 0
        out[what] = (int(requests) - refused) / float(took), refused / float(took)
    return out


def fill(server):
    api = Api("127.0.0.1", server.port)
    for number in range(OBJECTS):
        api.call("POST", ROLES, role(number))


def rows(bench):
    tokens = {HOLDER_TOKEN: "holder"} | {f"token-of-{name}": f"system:{name}" for name in CONTROLLERS}
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(etcd(bench))
        server = stack.enter_context(Server(bench, store.store, cpu=ALL_CPUS, tokens=tokens))
        fill(server)
        for name, words in CONTROLLERS.items():
            controller = stack.enter_context(Controller(bench, words, server.url, f"token-of-{name}"))
            wait(f"{name} to lead", lambda: controller.mode() == "leading")
        holders = stack.enter_context(Holders(server))
        measure(bench, server, scripts(bench), holders)


def epochs(server):
    return {item["metadata"]["name"]: item["metadata"]["epoch"] for item in Api("127.0.0.1", server.port).call("GET", LEASES)["items"]}


def measure(bench, server, scripts, holders):
    begin = time.monotonic()
    time.sleep(SECONDS / 2)
    idle = holders.latencies(begin, time.monotonic())
    fine = load(server, scripts, FINE, 5)
    before = epochs(server)
    if len(before) != HOLDERS + len(CONTROLLERS):
        raise Broken(f"there are {len(before)} leases before the load, {HOLDERS + len(CONTROLLERS)} were taken")
    begin, cpu = time.monotonic(), server.cpu()
    with Asker(server) as asker:
        seen = load(server, scripts, TOO_MANY, SECONDS)
    end, cpu = time.monotonic(), server.cpu() - cpu
    wait("the server to be well again", lambda: server.page("/readyz")[0] == 200)
    time.sleep(TTL)  # what was lost at the very end is gone by then, and late renewals are done
    busy, after = holders.latencies(begin, end), epochs(server)
    lost = sum(after.get(name) != epoch for name, epoch in before.items())
    report(bench, f"{lost} of {len(before)} lost", lost == 0, (busy, idle), (seen, fine), cpu / SECONDS, asker)


def report(bench, lost, kept, renewals, served, cpu, asker):
    """`kept`: no lease was lost. `renewals`, `served`: under the load, and for comparison. `cpu`: of the server, per second."""
    def show(times):
        return "p50 {:.1f}, p99 {:.1f}, max {:.1f} ms".format(*times)

    def rates(served):
        return ", ".join(f"{what}s {ok:,.0f}/s" + (f" ({no:,.0f}/s refused)" if no else "") for what, (ok, no) in served.items())

    (busy, idle), (many, fine) = renewals, served
    good, refused = (sum(each) for each in zip(*many.values()))
    bench.table.add(f"leases under {TOO_MANY['list']:,} listers and {TOO_MANY['write']:,} writers, {SECONDS} s",
                    f"{lost}; renewed in {show(busy)}", f"idle: {show(idle)}", busy[1] / idle[1], "none lost", kept)
    clear = asker.refused > 0 and asker.unclear == 0 and refused > 0
    bench.table.add("what these are answered", f"{rates(many)}, {cpu / (good + refused) * 1e6:.0f} us CPU", f"{FINE['list']} + {FINE['write']} clients: {rates(fine)}",
                    good / sum(ok for ok, _ in fine.values()), "some refused: 429, Retry-After", clear)
