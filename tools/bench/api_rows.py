"""Rows of the API server alone: reads, creates, what they cost the disk, watches."""
import http.client
import json
import re
import shutil
import subprocess

from bench.harness import (CLIENTS, LOAD_CPU, SECONDS, SERVER_CPU, Broken, Server, application, kept_port, pinned, post_script, running, status_script, wait,
                           wrk)

WATCHERS = 1000
MEMORY = "{type: memory}"


def get_rate(bench):
    """Our own GETs per second, the yardstick of the creates; measured once."""
    if not hasattr(bench, "measured_get_rate"):
        reads(bench, rows=False)
    return bench.measured_get_rate


def reads(bench, rows=True):
    path = "/kubernetes/namespaces/bench/applications"
    with Server(bench, MEMORY) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", path, json.dumps(application("web")))
        body = connection.getresponse().read()
        before = server.cpu()
        requests, ours, _ = wrk(f"{server.url}{path}/web", CLIENTS)
        cpu_us = (server.cpu() - before) / requests * 1e6
    bench.measured_get_rate = ours
    if not rows:
        return
    reference = nginx_rate(bench, body)
    name = f"GET of an application ({len(body)} bytes), {CLIENTS} connections, 1 CPU"
    bench.table.add(name, f"{ours:,.0f}/s", f"nginx {reference:,.0f}/s", ours / reference, ">= 0.5", ours >= 0.5 * reference)
    bench.table.add("CPU per GET", f"{cpu_us:.1f} us", bar="<= 25 us", met=cpu_us <= 25)


def authenticated(bench):
    """The same GET by somebody whom a token names and roles allow, and by one whose signed token is remembered, as shares of an anonymous one."""
    path = "/kubernetes/namespaces/bench/applications"
    key = bench.new_path("signing.pem")
    krake = bench.program("krake")
    subprocess.run([krake, "token", "key", key], check=True)
    signed = subprocess.run([krake, "token", "create", "--key", key, "--user", "reader"], capture_output=True, text=True, check=True).stdout.strip()
    roles = {"default_roles": [{"metadata": {"name": "reader"}, "rules": [{"api": "kubernetes", "resources": ["applications"], "namespaces": ["bench"],
                                                                           "verbs": ["get", "create"]}]}],
             "default_role_bindings": [{"metadata": {"name": "readers"}, "users": ["reader"], "roles": ["reader"]}]}
    strategy = {"signed": {"file": str(key)}}
    rates = {}
    for name, token, authorization, more in (("anonymous", None, "always-allow", {}), ("token", "s3cr3t-of-the-reader", "RBAC", roles),
                                             ("signed token", signed, "RBAC", roles)):
        tokens = {token: "reader"} if name == "token" else None
        with Server(bench, MEMORY, tokens=tokens, authorization=authorization, strategy=strategy, **more) as server:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("POST", path, json.dumps(application("web")), headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise Broken(f"{name}: {answer.status} {answer.read()[:300]!r}")
            answer.read()
            rates[name] = wrk(f"{server.url}{path}/web", CLIENTS, headers=headers)[1]
    anonymous = rates["anonymous"]
    for name, row, bar in (("token", "GET with a token and RBAC", 0.8), ("signed token", "GET with a signed token (JWT), remembered, and RBAC", 0.6)):
        bench.table.add(f"{row}, {CLIENTS} connections", f"{rates[name]:,.0f}/s", f"anonymous GET {anonymous:,.0f}/s", rates[name] / anonymous,
                        f">= {bar}", rates[name] >= bar * anonymous)


def nginx_rate(bench, body):
    folder = bench.new_folder("nginx")
    (folder / "web").write_bytes(body)
    port = kept_port()
    config = folder / "nginx.conf"
    config.write_text(f"daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log /dev/null; events {{ worker_connections 1024; }}\n"
                      f"http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{port}; root {folder}; default_type application/json; }} }}\n")

    def listens():
        try:
            http.client.HTTPConnection("127.0.0.1", port).connect()
            return True
        except ConnectionError:
            return False

    with running(pinned(SERVER_CPU, "nginx", "-c", config), stderr=subprocess.DEVNULL) as nginx:
        wait("nginx to listen", listens, nginx)
        return wrk(f"http://127.0.0.1:{port}/web", CLIENTS)[1]


def create(bench, server, namespace, connections):
    """Creates per second, their median latency, and the rate with its CPU as text."""
    before = server.cpu()
    requests, rate, median_us = wrk(server.url, connections, post_script(bench, namespace))
    return rate, median_us, f"{rate:,.0f}/s, {(server.cpu() - before) / requests * 1e6:.0f} us CPU"


def writes(bench):
    gets = get_rate(bench)
    with Server(bench, MEMORY) as server:
        rate, _, ours = create(bench, server, "memory", CLIENTS)
    bench.table.add(f"create, memory store, {CLIENTS} connections", ours, f"own GET {gets:,.0f}/s", rate / gets)
    with Server(bench, f'{{type: sqlite, path: "{bench.new_path("bench.db")}"}}') as server:
        raw = bench.raw_commit_us()
        _, single_us, _ = create(bench, server, "one", 1)
        rate, _, ours = create(bench, server, "many", CLIENTS)
    bench.table.add("durable create, 1 connection, median", f"{single_us:.0f} us", f"raw SQLite commit {raw:.0f} us", single_us / raw, "<= raw + 300 us", single_us <= raw + 300)
    bench.table.add(f"durable create, {CLIENTS} connections", ours, f"own GET {gets:,.0f}/s", rate / gets, ">= 0.4", rate >= 0.4 * gets)


def statuses(bench):
    """Status after status of up to 1,000 applications, as a share of the creates that came just before on the same server."""
    for name, store in (("memory store", MEMORY), ("durable", f'{{type: sqlite, path: "{bench.new_path("status.db")}"}}')):
        with Server(bench, store) as server:
            creates, _, created = create(bench, server, "bench", CLIENTS)
            script = status_script(bench, "bench", max(1, min(1000, int(creates * SECONDS / 2))))
            cpu, revision = server.cpu(), server.revision()
            requests, rate, _ = wrk(server.url, CLIENTS, script)
            cpu_us, written = (server.cpu() - cpu) / requests * 1e6, server.revision() - revision
        if written < requests:
            raise Broken(f"{requests} statuses were answered 200, {written} revisions were written")
        bench.table.add(f"PATCH of a status, {name}, {CLIENTS} connections", f"{rate:,.0f}/s, {cpu_us:.0f} us CPU", f"create {created}", rate / creates, ">= 0.8",
                        rate >= 0.8 * creates)


def fsyncs(bench):
    """Counted by the kernel where strace is there, else by the store."""
    store = f'{{type: sqlite, path: "{bench.new_path("fsync.db")}"}}'
    script = post_script(bench, "bench")
    if strace := shutil.which("strace"):
        counts = bench.new_path("strace.txt")
        with Server(bench, store, wrapper=[strace, "-f", "-c", "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-o", counts]) as server:
            creates, _, _ = wrk(server.url, CLIENTS, script)
        lines = [line.split() for line in counts.read_text().splitlines()]
        syncs, how = sum(int(line[3]) for line in lines if line and line[-1] in ("fsync", "fdatasync")), "strace"
    else:
        with Server(bench, store) as server:
            before = store_syncs(server)
            creates, _, _ = wrk(server.url, CLIENTS, script)
            syncs, how = store_syncs(server) - before, "/metrics"
    if syncs == 0:
        raise Broken("no fsync was seen")
    bench.table.add(f"creates per fsync, {CLIENTS} connections ({how})", f"{creates / syncs:.1f} ({creates:,} / {syncs:,})", bar=">= 16", met=creates >= 16 * syncs)


def store_syncs(server):
    found = re.search(r"^krake_store_syncs_total (\S+)", server.page("/metrics")[1], re.MULTILINE)
    if not found:
        raise Broken("no strace here, and /metrics has no krake_store_syncs_total")
    return int(float(found.group(1)))


def watches(bench):
    body = bench.new_path("body.json")
    body.write_text(json.dumps(application("NAME")))
    program = bench.program("krake_bench_watch")

    def load(port, pid, namespace, window):
        path = f"/kubernetes/namespaces/{namespace}/applications"
        command = pinned(LOAD_CPU, program, "load", "--port", port, "--pid", pid, "--watchers", WATCHERS, "--watch", f"{path}?watch&heartbeat=0", "--write", path,
                         "--body", body, "--seconds", SECONDS, "--window", window)
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise Broken(result.stderr.strip())
        seen = json.loads(result.stdout)
        rate = seen["lines"] / seen["seconds"]
        return rate, seen["cpu_seconds"] / seen["lines"] * 1e6, round(seen["bytes"] / seen["lines"])

    windows = {"alone": 1, "pipelined": 16}
    with Server(bench, MEMORY) as server:
        ours = {name: load(server.port, server.pid, name, window) for name, window in windows.items()}
    # The least a server can do: the same bytes into the same sockets, one send() per watcher for what came at one time.
    line_bytes = ours["alone"][2]
    with running(pinned(SERVER_CPU, program, "broadcast", "--line", line_bytes), stdout=subprocess.PIPE, text=True) as broadcaster:
        port = int(broadcaster.stdout.readline())
        bare = {name: load(port, broadcaster.pid, name, window) for name, window in windows.items()}
    what = f"event lines of {line_bytes} bytes to {WATCHERS:,} watchers, 1 writer"
    rate, cpu_us, _ = ours["alone"]
    bench.table.add(what, f"{rate:,.0f}/s", f"bare epoll {bare['alone'][0]:,.0f}/s", rate / bare["alone"][0], ">= 300,000/s", rate >= 300_000)
    bench.table.add("CPU per event line", f"{cpu_us:.2f} us", f"bare epoll {bare['alone'][1]:.2f} us", cpu_us / bare["alone"][1], "<= 3 us", cpu_us <= 3)
    rate, cpu_us, _ = ours["pipelined"]
    bench.table.add(f"the same with {windows['pipelined']} writes under way", f"{rate:,.0f}/s, {cpu_us:.2f} us CPU",
                    f"bare epoll {bare['pipelined'][0]:,.0f}/s, {bare['pipelined'][1]:.2f} us", rate / bare["pipelined"][0])
