"""Rows of the API server on etcd. Server, etcd and load share the CPUs, as does the raw load they are compared with; for
reads the server has one, as on SQLite, and etcd shares the other with the load."""
import contextlib
import http.client
import json
import statistics
import subprocess

from bench.harness import ALL_CPUS, CLIENTS, LOAD_CPU, SECONDS, Api, Broken, Server, application, cpu_seconds, kept_port, pinned, post_script, running, wait, wrk

ETCD = "/usr/bin/etcd"
CONCURRENCY = [16, 64, 128]
OBJECTS = 100_000
TURNS = 16
VALUE_BYTES = 1_300  # about what an application of the load is in the store


class Etcd:
    def __init__(self, bench, process, port):
        self.process, self.port = process, port
        self.store = f"{{type: etcd}}\netcd: {{host: 127.0.0.1, port: {port}}}"
        self.bench = bench

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def raw(self, in_flight):
        """Puts per second straight into etcd, CPU us of the client and of etcd for each."""
        before = self.cpu()
        command = [self.bench.program("krake_bench_etcd"), "--endpoint", f"127.0.0.1:{self.port}", "--in-flight", in_flight, "--seconds", SECONDS, "--bytes", VALUE_BYTES]
        out = json.loads(subprocess.run(pinned(ALL_CPUS, *command), capture_output=True, text=True, check=True).stdout)
        return out["puts"] / out["seconds"], out["cpu_seconds"] / out["puts"] * 1e6, (self.cpu() - before) / out["puts"] * 1e6


@contextlib.contextmanager
def etcd(bench, cpu=ALL_CPUS):
    folder, client, peer = bench.new_folder("etcd"), kept_port(), kept_port()
    command = [ETCD, f"--data-dir={folder}/data", f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
               f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
               "--quota-backend-bytes=8000000000", "--log-level=error"]

    def healthy():
        try:
            connection = http.client.HTTPConnection("127.0.0.1", client, timeout=5)
            connection.request("GET", "/health")
            return b"true" in connection.getresponse().read()
        except OSError:
            return False

    with open(folder / "log", "w") as log, running(pinned(cpu, *command), stdout=log, stderr=log) as process:
        wait("etcd to be healthy", healthy, process)
        yield Etcd(bench, process, client)


def creates(bench):
    for connections in CONCURRENCY:
        with etcd(bench) as store:
            raw, raw_client_us, raw_etcd_us = store.raw(connections)
        with etcd(bench) as store, Server(bench, store.store, cpu=ALL_CPUS) as server:
            before, etcd_before = server.cpu(), store.cpu()
            requests, rate, _ = wrk(server.url, connections, post_script(bench, "etcd"), cpu=ALL_CPUS)
            cpu_us, etcd_us = (server.cpu() - before) / requests * 1e6, (store.cpu() - etcd_before) / requests * 1e6
        bench.table.add(f"durable create on etcd, {connections} connections", f"{rate:,.0f}/s, {cpu_us:.0f} us CPU (etcd {etcd_us:.0f})",
                        f"raw put {raw:,.0f}/s, {raw_client_us:.0f} us (etcd {raw_etcd_us:.0f})", rate / raw, ">= 0.45, <= 100 us", rate >= 0.45 * raw and cpu_us <= 100)


def reads(bench):
    path = "/kubernetes/namespaces/bench/applications"
    embedded_store = f'{{type: sqlite, path: "{bench.new_path("get.db")}"}}'
    with Server(bench, embedded_store) as embedded, etcd(bench, LOAD_CPU) as store, Server(bench, store.store) as replicated:
        # By turns: a machine that is slow for some seconds is slow for both.
        taken = {server: [] for server in (embedded, replicated)}
        for server in taken:
            Api("127.0.0.1", server.port).call("POST", path, application("web"))
        for _ in range(TURNS):
            for server, runs in taken.items():
                before = server.cpu()
                requests, rate, _ = wrk(f"{server.url}{path}/web", CLIENTS, seconds=1)
                runs.append((rate, (server.cpu() - before) / requests * 1e6))
    (local, local_us), (rate, cpu_us) = (tuple(statistics.median(column) for column in zip(*runs)) for runs in taken.values())
    ratio = statistics.median(theirs[0] / ours[0] for ours, theirs in zip(*taken.values()))
    bench.table.add(f"linearizable GET on etcd, {CLIENTS} connections", f"{rate:,.0f}/s, {cpu_us:.1f} us CPU", f"on SQLite {local:,.0f}/s, {local_us:.1f} us", ratio, ">= 0.7", ratio >= 0.7)


def start(bench):
    with etcd(bench) as store:
        script = bench.new_path("fill.lua")
        script.write_text(post_script(bench, "fill").read_text())
        with Server(bench, store.store, cpu=ALL_CPUS) as server:
            command = pinned(ALL_CPUS, "wrk", "-t1", f"-c{CLIENTS}", "-d300s", "-s", script, server.url)
            with running(command, stdout=subprocess.DEVNULL) as load:
                wait("the objects to be written", lambda: json.loads(server.page("/debug/cache")[1])["kinds"]["applications"]["objects"] >= OBJECTS, load, 120, 0.1)
        with Server(bench, store.store, cpu=ALL_CPUS, wait_until_ready=False) as server:
            seconds = server.wait_ready()
            kinds = json.loads(server.page("/debug/cache")[1])
    if not kinds:
        raise Broken("no cache")
    bench.table.add(f"start of an API server on etcd, {OBJECTS:,} objects", f"{seconds:.2f} s", bar="< 5 s", met=seconds < 5)


def rows(bench):
    creates(bench)
    reads(bench)
    start(bench)
